//! One connection's buffers and state. No clock, no poll: it is told the time and when the socket is ready.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::limits::{LINE_MAX, PROGRESS_WRITE, READ_FIRST, READ_KEEP};
use crate::kit::clock::Mono;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Bytes; `drained` when the socket held no more.
    Bytes {
        /// The read was shorter than there was room for.
        drained: bool,
    },
    /// Nothing yet.
    Nothing,
    /// The peer will send no more.
    Eof,
}

/// Bytes received and not yet used.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Start of the first unused byte.
    start: usize,
    /// Everything before this holds no newline.
    scanned: usize,
}

/// What [`Input::next_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line at these places of the buffer, without its newline.
    Line(std::ops::Range<usize>),
    /// No whole line yet.
    More,
    /// No newline within the longest line.
    TooLong,
}

impl Input {
    /// Starts with an empty buffer of somebody before.
    pub(super) fn with_buffer(buffer: Vec<u8>) -> Input {
        debug_assert!(buffer.is_empty());
        Input { buffer, start: 0, scanned: 0 }
    }

    /// Whether a line has been begun.
    pub(super) fn has_bytes(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Bytes of memory held.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Whether the next read needs more memory.
    pub(super) fn is_full(&self) -> bool {
        self.start == 0 && self.buffer.len() == self.buffer.capacity()
    }

    /// Gives up the buffer, for somebody after.
    pub(super) fn into_buffer(mut self) -> Vec<u8> {
        self.buffer.clear();
        self.buffer
    }

    /// Reads once. Never holds more than the longest line plus one byte, which is enough to see that it is too long.
    pub(super) fn fill(&mut self, socket: impl AsFd) -> io::Result<Fill> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        let len = self.buffer.len();
        debug_assert!(len <= LINE_MAX, "a line that is too long is not read on");
        if len == self.buffer.capacity() {
            let grown = (len * 2).clamp(READ_FIRST, LINE_MAX + 1);
            self.buffer.reserve_exact(grown - len);
        }
        let room = self.buffer.capacity() - len;
        let read = loop {
            match rustix::io::read(&socket, spare_capacity(&mut self.buffer)) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Fill::Nothing),
                other => break other?,
            }
        };
        Ok(if read == 0 { Fill::Eof } else { Fill::Bytes { drained: read < room } })
    }

    /// Finds the next line and counts it as used.
    pub(super) fn next_line(&mut self) -> Next {
        let from = self.scanned.max(self.start);
        match self.buffer[from..].iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                let (begin, end) = (self.start, from + at);
                self.start = end + 1;
                self.scanned = end + 1;
                if end + 1 - begin > LINE_MAX { Next::TooLong } else { Next::Line(begin..end) }
            }
            None => {
                self.scanned = self.buffer.len();
                if self.buffer.len() - self.start >= LINE_MAX { Next::TooLong } else { Next::More }
            }
        }
    }

    /// Lends the buffer out, so that a line can be looked at while the connection is changed.
    pub(super) fn lend(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Takes the buffer back. A large one is given up as soon as it is empty.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
        if !self.has_bytes() {
            self.start = 0;
            self.scanned = 0;
            self.buffer.clear();
            if self.buffer.capacity() > READ_KEEP {
                self.buffer = Vec::new();
            }
        }
    }
}

/// A line on its way out.
#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    tail: Option<Arc<[u8]>>,
    sent: usize,
    /// When a progress line was queued; a final line has none.
    progress_at: Option<Mono>,
}

impl Frame {
    fn len(&self) -> usize {
        self.bytes.len() + self.tail.as_ref().map_or(0, |tail| tail.len())
    }
}

/// Lines on their way out: at most one progress line and the final one behind it.
#[derive(Debug, Default)]
pub(super) struct Output(VecDeque<Frame>);

impl Output {
    /// Nothing left to send.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Queues a progress line, unless another is still on its way. Says whether it was taken.
    pub(super) fn progress(&mut self, now: Mono, bytes: Vec<u8>) -> bool {
        self.drop_late(now);
        if !self.0.is_empty() {
            return false;
        }
        self.0.push_back(Frame { bytes, tail: None, sent: 0, progress_at: Some(now) });
        true
    }

    /// Sends the final line, or what the socket takes of it, and queues the rest; true when nothing is left. A
    /// progress line that has not been begun makes room for it.
    pub(super) fn finish(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        tail: Option<Arc<[u8]>>,
    ) -> io::Result<bool> {
        self.0.retain(|frame| frame.progress_at.is_none() || frame.sent > 0);
        let mut sent = 0;
        if self.0.is_empty() {
            sent = write_parts(&socket, bytes, tail.as_deref().unwrap_or_default())?.unwrap_or(0);
            if sent == bytes.len() + tail.as_ref().map_or(0, |tail| tail.len()) {
                return Ok(true);
            }
        }
        self.0.push_back(Frame { bytes: bytes.to_vec(), tail, sent, progress_at: None });
        Ok(false)
    }

    /// Drops a progress line that the peer did not begin to take in time.
    fn drop_late(&mut self, now: Mono) {
        self.0.retain(|frame| {
            frame.sent > 0 || frame.progress_at.is_none_or(|at| now.since(at) <= PROGRESS_WRITE)
        });
    }

    /// Sends what the socket takes; true when nothing is left.
    pub(super) fn flush(&mut self, now: Mono, socket: impl AsFd) -> io::Result<bool> {
        self.drop_late(now);
        while let Some(frame) = self.0.front_mut() {
            let own = &frame.bytes[frame.sent.min(frame.bytes.len())..];
            let tail =
                frame.tail.as_deref().map_or(&[][..], |t| &t[frame.sent.saturating_sub(frame.bytes.len())..]);
            match write_parts(&socket, own, tail)? {
                Some(n) => frame.sent += n,
                None => return Ok(false),
            }
            if frame.sent >= frame.len() {
                self.0.pop_front();
            }
        }
        Ok(true)
    }
}

/// Writes once from two pieces that follow each other; `None` when the socket takes nothing now.
fn write_parts(socket: impl AsFd, own: &[u8], tail: &[u8]) -> io::Result<Option<usize>> {
    loop {
        let wrote = match (own.is_empty(), tail.is_empty()) {
            (_, true) => rustix::io::write(&socket, own),
            (true, _) => rustix::io::write(&socket, tail),
            _ => rustix::io::writev(&socket, &[IoSlice::new(own), IoSlice::new(tail)]),
        };
        match wrote {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            other => return Ok(Some(other?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (a, b)
    }

    fn lines(input: &mut Input) -> Vec<String> {
        let mut found = Vec::new();
        while let Next::Line(at) = input.next_line() {
            let buffer = input.lend();
            found.push(String::from_utf8_lossy(&buffer[at]).into_owned());
            input.give_back(buffer);
        }
        found
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(parts in proptest::collection::vec("[a\n]{0,40}", 0..20)) {
            let (mut peer, socket) = pair();
            let mut input = Input::default();
            let mut found = Vec::new();
            for part in &parts {
                peer.write_all(part.as_bytes()).unwrap();
                while !matches!(input.fill(&socket).unwrap(), Fill::Nothing) {
                    found.extend(lines(&mut input));
                }
            }
            let whole = parts.concat();
            let mut expected: Vec<&str> = whole.split('\n').collect();
            prop_assert_eq!(input.has_bytes(), !expected.pop().unwrap_or("").is_empty());
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn ipc_13_the_longest_line_passes_and_one_more_byte_does_not() {
        for (len, fits) in [(LINE_MAX - 1, true), (LINE_MAX, true), (LINE_MAX + 1, false)] {
            let (mut peer, socket) = pair();
            let mut line = vec![b'x'; len];
            line[len - 1] = b'\n';
            let (mut input, mut rest) = (Input::default(), &line[..]);
            let found = loop {
                if let Ok(n) = peer.write(rest) {
                    rest = &rest[n..];
                }
                let _ = input.fill(&socket).unwrap();
                match input.next_line() {
                    Next::More => {}
                    found => break found,
                }
                assert!(input.held() <= LINE_MAX + 1);
            };
            assert_eq!(found, if fits { Next::Line(0..len - 1) } else { Next::TooLong }, "{len}");
        }
    }

    #[test]
    fn a_slow_peer_loses_progress_lines_but_never_the_final_one() {
        let (mut peer, socket) = pair();
        let mut output = Output::default();
        let now = Mono::ZERO;
        while rustix::io::write(&socket, &[b'-'; 4096]).is_ok() {} // the peer's buffer is full
        assert!(output.progress(now, b"one\n".to_vec()));
        assert!(!output.flush(now, &socket).unwrap());
        assert!(!output.progress(now, b"two\n".to_vec()));
        let later = now + PROGRESS_WRITE + Duration::from_millis(1);
        assert!(output.progress(later, b"three\n".to_vec()), "the first one was dropped");
        assert!(!output.flush(later, &socket).unwrap());
        assert!(!output.finish(&socket, b"fin", Some(Arc::from(&b"al\n"[..]))).unwrap());
        assert!(!output.flush(later, &socket).unwrap());
        let mut got = Vec::new();
        let mut chunk = [0; 65536];
        while let Ok(n) = peer.read(&mut chunk) {
            got.extend_from_slice(&chunk[..n]);
        }
        assert!(output.flush(later, &socket).unwrap());
        let n = peer.read(&mut chunk).unwrap();
        assert_eq!(&chunk[..n], b"final\n");
        assert!(got.iter().all(|&b| b == b'-'));
    }
}
