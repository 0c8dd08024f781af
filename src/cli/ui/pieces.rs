//! A long document, written while it is made: whoever reads it reads meanwhile, and it is nowhere whole.

use std::io::{self, Write};

use crate::kit::text::plain_json;

/// A document that is shorter is written when it is whole, in bytes.
const PIECE: usize = 64 << 10;

/// Takes indented JSON and hands it on in pieces of whole lines, the hidden characters in its strings written as escapes.
#[derive(Debug)]
pub(super) struct Pieces<W: Write> {
    out: W,
    text: Vec<u8>,
    /// Bytes that were handed on.
    pub written: usize,
}

impl<W: Write> Pieces<W> {
    pub(super) fn new(out: W) -> Pieces<W> {
        Pieces { out, text: Vec::new(), written: 0 }
    }

    /// Ends the last line and hands on what is left.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.text.push(b'\n');
        self.lines()?;
        self.out.flush()
    }

    /// Hands on all whole lines. No line is broken within a string: a piece is text for itself.
    fn lines(&mut self) -> io::Result<()> {
        let Some(last) = memchr::memrchr(b'\n', &self.text) else { return Ok(()) };
        let piece = str::from_utf8(&self.text[..=last]).map_err(io::Error::other)?;
        let piece = plain_json(piece);
        self.written += piece.len();
        self.out.write_all(piece.as_bytes())?;
        self.text.drain(..=last);
        Ok(())
    }
}

impl<W: Write> Write for Pieces<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(bytes);
        if self.text.len() >= PIECE && bytes.contains(&b'\n') { self.lines() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Counts how often it is written to.
    #[derive(Debug, Default)]
    struct Sink {
        text: Vec<u8>,
        pieces: usize,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.text.extend_from_slice(bytes);
            self.pieces += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_document_is_the_same_in_pieces_and_what_nobody_sees_is_escaped_in_each() {
        let check = |value: &Value, pieces: bool| {
            let mut sink = Sink::default();
            let mut out = Pieces::new(&mut sink);
            serde_json::to_writer_pretty(&mut out, value).unwrap();
            out.end().unwrap();
            let written = out.written;
            let expected = serde_json::to_string_pretty(value).unwrap() + "\n";
            assert_eq!(
                (str::from_utf8(&sink.text).unwrap(), written),
                (&*plain_json(&expected), sink.text.len())
            );
            assert_eq!(sink.pieces > 1, pieces, "{}", sink.pieces);
        };
        check(&json!({ "a": "é\u{202e}\n" }), false);
        check(&json!("x\u{202e}".repeat(PIECE)), false);
        check(&json!(vec![json!(["é\u{202e}b\n", 1, { "c": [] }]); PIECE / 20]), true);
    }
}
