//! Private key blocks: all from the BEGIN line to the END line (RFC 7468; PGP: RFC 9580), over many lines or in one with `\n` written
//! out.
//!
//! Without an END line a block ends where its lines look like no key any more, at the latest after [`PEM_MAX`] bytes. So the mention
//! of a BEGIN line costs a few lines, and a key that was cut off still goes.

use memchr::memmem;

use super::limits::{PEM_DULL_LINES, PEM_LINE_MAX, PEM_MAX, PEM_RUN};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END";

/// A block that has begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Bytes of it so far, since its last BEGIN line.
    length: usize,
    /// Lines in a row that cannot be part of a key.
    dull: u32,
}

/// What the next bytes of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not known before more text is there.
    Wait,
    /// So many bytes belong to it, and it goes on.
    More(usize, Block),
    /// So many bytes belong to it, and then it is over.
    Over(usize),
}

/// Whether `text` begins with the BEGIN line of a private key, of whatever kind.
pub(super) fn is_begin(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(BEGIN) else { return false };
    let label = &rest[..rest.len().min(PEM_LINE_MAX - BEGIN.len())];
    let Some(end) = memmem::find(label, b"-----") else { return false };
    let label = &label[..end];
    let label = label.strip_suffix(b" BLOCK").unwrap_or(label);
    label.ends_with(b"PRIVATE KEY")
        && label.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ')
}

impl Block {
    /// Looks at one line of a block, or at as much as a block may still have. `end` says that no more text follows.
    pub(super) fn step(self, text: &[u8], end: bool) -> Step {
        // A block within this one gets its own length.
        let this = if is_begin(text) { Block::default() } else { self };
        // As many bytes as a block may still have, and a BEGIN line that begins in them.
        let room = (PEM_MAX + PEM_LINE_MAX).saturating_sub(this.length);
        let window = &text[..text.len().min(room)];
        let (newline, closing) = first_stop(window);
        let line = &window[..newline.map_or(window.len(), |n| n + 1)];
        if newline.is_none() && window.len() < room && !end {
            return Step::Wait;
        }
        if newline.is_none()
            && let Some(closing) = closing
        {
            return Step::Over(end_of(line, closing));
        }
        if let Some(at) = last_begin(line) {
            return Step::More(at, Block::default());
        }
        if newline.is_none() && window.len() == room {
            return Step::Over(whole_characters(line, line.len() - PEM_LINE_MAX));
        }
        let next = Block { length: this.length + line.len(), dull: this.dull_after(line) };
        if next.dull >= PEM_DULL_LINES || next.length >= PEM_MAX {
            // Its newline stays, so that what follows is a line of its own.
            return Step::Over(line.len() - usize::from(newline.is_some()));
        }
        Step::More(line.len(), next)
    }

    fn dull_after(self, line: &[u8]) -> u32 {
        if is_begin(line) || has_run(line) {
            0
        } else if line.iter().all(u8::is_ascii_whitespace) {
            self.dull
        } else {
            self.dull + 1
        }
    }
}

/// Where the first newline or the first END line is, whichever comes first.
fn first_stop(window: &[u8]) -> (Option<usize>, Option<usize>) {
    for at in memchr::memchr2_iter(b'\n', b'-', window) {
        if window[at] == b'\n' {
            return (Some(at), None);
        }
        if window[at..].starts_with(END) {
            return (None, Some(at));
        }
    }
    (None, None)
}

/// Where the last BEGIN line in `line` begins, but for one at its very start.
fn last_begin(line: &[u8]) -> Option<usize> {
    memmem::rfind_iter(line, BEGIN).find(|at| *at > 0 && is_begin(&line[*at..]))
}

/// Behind the END line that begins at `at`.
fn end_of(line: &[u8], at: usize) -> usize {
    let is_label = |b: &&u8| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b' ';
    let label = at + END.len();
    let dashes = label + line[label..].iter().take(PEM_LINE_MAX).take_while(is_label).count();
    dashes + line[dashes..].iter().take(5).take_while(|b| **b == b'-').count()
}

/// Whether a line may carry part of a key.
fn has_run(line: &[u8]) -> bool {
    let mut run = 0;
    line.iter().any(|b| {
        run = if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=') { run + 1 } else { 0 };
        run >= PEM_RUN
    })
}

/// At most `at`, and not inside of a character.
fn whole_characters(text: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at).rev().find(|n| text.get(*n).is_none_or(|b| b & 0xC0 != 0x80)).unwrap_or(at)
}
