//! Lines out of a byte stream, with a limit that holds before memory grows.

/// A line longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line longer than {cap} bytes")]
pub struct TooLong {
    /// The limit in bytes, counting the newline.
    pub cap: usize,
}

/// Splits pushed bytes into lines. Holds at most the unread part.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Start of the first unread line.
    start: usize,
    /// Up to here no newline was found since `start`.
    scanned: usize,
    cap: usize,
}

impl LineBuffer {
    /// A buffer for lines of at most `cap` bytes, counting the newline.
    pub fn new(cap: usize) -> LineBuffer {
        LineBuffer { cap, ..LineBuffer::default() }
    }

    /// Adds bytes as they came from the peer.
    ///
    /// # Errors
    /// [`TooLong`] when the unfinished line would exceed the limit; what was added before stays.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let newline = bytes.iter().position(|b| *b == b'\n');
        if self.find().is_none() {
            let line = self.bytes.len() - self.start + newline.map_or(bytes.len(), |n| n + 1);
            let room = if newline.is_some() { self.cap } else { self.cap.saturating_sub(1) };
            if line > room {
                return Err(TooLong { cap: self.cap });
            }
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Where the first complete line ends (behind its newline), scanning only new bytes.
    fn find(&mut self) -> Option<usize> {
        let from = self.scanned.max(self.start);
        match self.bytes[from..].iter().position(|b| *b == b'\n') {
            Some(n) => {
                self.scanned = from + n;
                Some(from + n + 1)
            }
            None => {
                self.scanned = self.bytes.len();
                None
            }
        }
    }

    /// Takes the next complete line, without its newline.
    ///
    /// # Errors
    /// [`TooLong`] when it, or the unfinished rest, exceeds the limit.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TooLong> {
        match self.find() {
            Some(end) if end - self.start > self.cap => Err(TooLong { cap: self.cap }),
            Some(end) => {
                let line = self.start..end - 1;
                self.start = end;
                self.scanned = end;
                Ok(Some(&self.bytes[line]))
            }
            None if self.bytes.len() - self.start >= self.cap => Err(TooLong { cap: self.cap }),
            None => Ok(None),
        }
    }

    /// Bytes that are not part of a taken line.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(b: &mut LineBuffer) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(line) = b.next_line().unwrap() {
            out.push(line.to_vec());
        }
        out
    }

    #[test]
    fn the_limit_counts_the_newline() {
        let mut b = LineBuffer::new(4);
        b.push(b"abc\n").unwrap();
        assert_eq!(all(&mut b), [b"abc"]);
        assert_eq!(b.push(b"abcd\n"), Err(TooLong { cap: 4 }));
        b.push(b"abc").unwrap();
        assert_eq!(b.push(b"d"), Err(TooLong { cap: 4 }));
        b.push(b"\n").unwrap();
        assert_eq!(all(&mut b), [b"abc"]);
        b.push(b"a\nabcdefgh").unwrap();
        assert_eq!(b.next_line().unwrap(), Some(&b"a"[..]));
        assert_eq!(b.next_line(), Err(TooLong { cap: 4 }));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(lines in prop::collection::vec("[a-z]{0,20}", 0..20), cuts in prop::collection::vec(1usize..9, 1..40)) {
            let text: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), b"\n"].concat()).collect();
            let mut b = LineBuffer::new(64);
            let (mut at, mut got) = (0, Vec::new());
            for cut in cuts.iter().cycle() {
                if at >= text.len() { break; }
                let end = (at + cut).min(text.len());
                b.push(&text[at..end]).unwrap();
                at = end;
                got.extend(all(&mut b));
            }
            prop_assert_eq!(got, lines.iter().map(|l| l.as_bytes().to_vec()).collect::<Vec<_>>());
            prop_assert_eq!(b.pending(), 0);
        }
    }
}
