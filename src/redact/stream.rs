//! Text that arrives in pieces.

use super::limits::LINE_MAX;
use super::scan::State;
use super::{Findings, Redactor};

/// Redacts text that arrives in pieces. However it is cut, the result is that of [`Redactor::redact_bytes`] for the whole.
///
/// It holds back the last line as long as its end is missing, at most [`LINE_MAX`] bytes beside the piece at hand. Of a longer line
/// it gives out parts, and no secret of up to [`SECRET_MAX`](super::limits::SECRET_MAX) bytes is divided by that. A longer secret is
/// erased as it comes, up to the next blank or quote; one in quotes that may hold blanks up to the end of its line.
pub struct Stream<'r> {
    redactor: &'r Redactor,
    state: State,
    held: Vec<u8>,
    found: Findings,
}

impl Stream<'_> {
    pub(super) fn new(redactor: &Redactor) -> Stream<'_> {
        Stream { redactor, state: State::default(), held: Vec::new(), found: Findings::default() }
    }

    /// Takes the next piece and adds to `out` what is certain now.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let used = self.scan(piece, false, out);
            self.held.extend_from_slice(&piece[used..]);
            return;
        }
        self.held.extend_from_slice(piece);
        let may_go_on = memchr::memchr(b'\n', piece).is_some() || self.held.len() >= LINE_MAX;
        if may_go_on || !self.state.waits_for_newline() {
            let mut held = std::mem::take(&mut self.held);
            let used = self.scan(&held, false, out);
            held.drain(..used);
            self.held = held;
        }
    }

    /// Adds the rest to `out`; nothing follows. Answers what was replaced.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Findings {
        let held = std::mem::take(&mut self.held);
        self.scan(&held, true, out);
        self.found
    }

    /// Bytes that are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn scan(&mut self, text: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let mut spans = Vec::new();
        let used = self.redactor.scan(&mut self.state, text, end, &mut spans);
        self.redactor.write(&text[..used], &spans, out, &mut self.found);
        used
    }
}
