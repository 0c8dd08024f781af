//! A line as its reader gets it: without what nobody sees, and with URL and JSON encoding taken off. A secret that hides behind these is
//! found there, and goes from the text itself.

use std::ops::Range;

use crate::kit::text::{escape_len, is_hidden};

/// How characters begin that nobody sees and that are no ASCII.
const UNSEEN: &[&[u8]] = &[
    b"\xc2",
    b"\xcd\x8f",
    b"\xd8\x9c",
    b"\xe1\x85",
    b"\xe1\x9e",
    b"\xe1\xa0",
    b"\xe2\x80",
    b"\xe2\x81",
    b"\xe3\x85",
    b"\xef\xb8",
    b"\xef\xbb",
    b"\xef\xbe",
    b"\xef\xbf",
    b"\xf0\x9d\x85",
    b"\xf3\xa0",
];

/// Beginnings of what makes a view differ from its line; [`is_veil`] decides.
pub(super) fn veils() -> impl Iterator<Item = Vec<u8>> {
    let controls = (0..0x20u8).chain([0x7f]).filter(|b| !matches!(b, b'\t' | b'\n')).map(|b| vec![b]);
    let written = ["%", r"\u", r"\x", r"\0", r"\e[", r"\/"].map(|text| text.as_bytes().to_vec());
    controls.chain(written).chain(UNSEEN.iter().map(|start| start.to_vec()))
}

/// Whether what begins at `at` is not what a reader gets.
pub(super) fn is_veil(line: &[u8], at: usize) -> bool {
    let rest = &line[at..];
    match rest {
        [b'\r'] => false,
        [b'%' | b'\\', ..] => decoded(rest).is_some(),
        [b, ..] if b.is_ascii() => true,
        _ => {
            let end = rest.len().min(4);
            rest[..end].utf8_chunks().next().and_then(|c| c.valid().chars().next()).is_some_and(is_unseen)
        }
    }
}

/// What a reader gets of a line, and where in it each byte of that comes from.
pub(super) struct View {
    /// Its text.
    pub text: Vec<u8>,
    /// By byte of the text, the bytes of the line that it stands for.
    from: Vec<Range<usize>>,
}

impl View {
    pub(super) fn of(line: &[u8]) -> View {
        let mut plain = View { text: Vec::with_capacity(line.len()), from: Vec::with_capacity(line.len()) };
        let mut at = 0;
        while at < line.len() {
            let (unit, bytes) = match decoded(&line[at..]) {
                Some((length, c)) => (at..at + length, c),
                None => (at..at + 1, Decoded::Byte(line[at])),
            };
            at = unit.end;
            match bytes {
                Decoded::Byte(b) => plain.push(&[b], unit),
                Decoded::Char(c) => plain.push(c.encode_utf8(&mut [0; 4]).as_bytes(), unit),
            }
        }
        plain.seen()
    }

    /// What is left of it without what nobody sees.
    fn seen(self) -> View {
        let mut seen =
            View { text: Vec::with_capacity(self.text.len()), from: Vec::with_capacity(self.from.len()) };
        let mut at = 0;
        for chunk in self.text.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(c) = rest.chars().next() {
                let escape = escape_len(rest);
                let length = escape.max(c.len_utf8());
                if escape == 0 && !is_unseen(c) {
                    seen.take(&self, at..at + length);
                }
                at += length;
                rest = &rest[length..];
            }
            seen.take(&self, at..at + chunk.invalid().len());
            at += chunk.invalid().len();
        }
        seen
    }

    fn push(&mut self, bytes: &[u8], unit: Range<usize>) {
        self.text.extend_from_slice(bytes);
        self.from.resize(self.text.len(), unit);
    }

    fn take(&mut self, of: &View, range: Range<usize>) {
        self.text.extend_from_slice(&of.text[range.clone()]);
        self.from.extend_from_slice(&of.from[range]);
    }

    /// The bytes of the line that `range` of the view stands for. A quote at its end that belongs to none in it stays: that of a line of
    /// JSON ends a string whose own quotes are encoded.
    pub(super) fn back_whole(&self, range: Range<usize>) -> Range<usize> {
        let quotes =
            |quote: u8| range.clone().filter(|n| self.text[*n] == quote && self.from[*n].len() == 1).count();
        match self.text.get(range.end.wrapping_sub(1)) {
            Some(quote @ (b'"' | b'\'' | b'`')) if quotes(*quote) == 1 => {
                self.back(range.start..range.end - 1)
            }
            _ => self.back(range),
        }
    }

    /// The same, as it is.
    pub(super) fn back(&self, range: Range<usize>) -> Range<usize> {
        let end = self.from.get(range.end.wrapping_sub(1)).map_or(0, |unit| unit.end);
        let start = self.from.get(range.start).map_or(end, |unit| unit.start);
        start..end.max(start)
    }

    /// What of the view any byte of `range` of the line stands for.
    pub(super) fn forth(&self, range: Range<usize>) -> Range<usize> {
        let start = self.from.partition_point(|unit| unit.end <= range.start);
        start..self.from.partition_point(|unit| unit.start < range.end).max(start)
    }
}

/// What an encoded character stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoded {
    Byte(u8),
    Char(char),
}

/// The encoded character that `text` begins with, and how many bytes that takes: `%2F`, `%252F`, `\u002f`, `\x2f`, `\/`, `\033`, `\e[`.
/// Any number of backslashes, as JSON in JSON has them.
fn decoded(text: &[u8]) -> Option<(usize, Decoded)> {
    match text.first()? {
        b'%' => {
            let mut at = 1;
            while text[at..].starts_with(b"25") && hex(&text[at + 2..], 2).is_some() {
                at += 2;
            }
            Some((at + 2, Decoded::Byte(u8::try_from(hex(&text[at..], 2)?).ok()?)))
        }
        b'\\' => {
            let slashes = text.iter().take_while(|b| **b == b'\\').count();
            let rest = &text[slashes..];
            match rest.first()? {
                b'u' | b'U' => {
                    let (length, c) = unicode(&rest[1..], slashes)?;
                    Some((slashes + 1 + length, Decoded::Char(c)))
                }
                b'x' | b'X' => Some((slashes + 3, Decoded::Byte(u8::try_from(hex(&rest[1..], 2)?).ok()?))),
                b'0' if rest.starts_with(b"033") => Some((slashes + 3, Decoded::Byte(0x1b))),
                b'e' if rest.starts_with(b"e[") => Some((slashes + 1, Decoded::Byte(0x1b))),
                b'/' => Some((slashes + 1, Decoded::Byte(b'/'))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The character that `00ad`, `{ad}` or two halves like `dbff\udfff` name.
fn unicode(text: &[u8], slashes: usize) -> Option<(usize, char)> {
    if text.first() == Some(&b'{') {
        let digits = text[1..].iter().take(6).take_while(|b| b.is_ascii_hexdigit()).count();
        let c = char::from_u32(hex(&text[1..], digits)?)?;
        return (text.get(1 + digits) == Some(&b'}')).then_some((digits + 2, c));
    }
    let first = hex(text, 4)?;
    if let Some(c) = char::from_u32(first) {
        return Some((4, c));
    }
    let rest = &text[4..];
    let again = rest.iter().take_while(|b| **b == b'\\').count();
    let second = (again == slashes && matches!(rest.get(again), Some(b'u' | b'U')))
        .then(|| hex(&rest[again + 1..], 4))
        .flatten();
    match second {
        Some(second @ 0xdc00..=0xdfff) if first < 0xdc00 => {
            let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
            Some((4 + again + 1 + 4, c))
        }
        _ => Some((4, char::REPLACEMENT_CHARACTER)),
    }
}

/// The number of so many hex digits.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = text.get(..digits).filter(|d| !d.is_empty() && d.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether a reader does not see `c` in a line. Also what only chooses a form of the sign before.
fn is_unseen(c: char) -> bool {
    c != '\t' && c != '\n' && (is_hidden(c) || matches!(c, '\u{fe00}'..='\u{fe0f}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(line: &str) -> String {
        String::from_utf8(View::of(line.as_bytes()).text).unwrap()
    }

    #[test]
    fn a_reader_gets_it_decoded_and_without_what_nobody_sees() {
        for (line, expected) in [
            ("a\u{ad}b\u{200b}c\u{fe0f}d", "abcd"),
            ("a\u{1b}[1;31mb\u{1b}[0mc", "abc"),
            (r"a\u001b[31mb\x1b[0mc\033[1md\e[0me", "abcde"),
            ("a%2Fb%252fc%25252Fd%", "a/b/c/d%"),
            (r"a\u0062\\u0063\\\u{64}\x65\/f", "abcde/f"),
            (r"\udb40\udc41a\ud83d\ude00\ud83d", "a😀\u{fffd}"),
            ("%C2%ADa%0", "a%0"),
            (r"a\nb\tc\u00", r"a\nb\tc\u00"),
            ("a\rb\tc", "ab\tc"),
        ] {
            assert_eq!(seen(line), expected, "{line:?}");
        }
    }

    #[test]
    fn every_unseen_character_is_announced() {
        let mut text = [0; 4];
        for c in ('\u{80}'..=char::MAX).filter(|c| is_unseen(*c)) {
            let bytes = c.encode_utf8(&mut text).as_bytes();
            assert!(UNSEEN.iter().any(|start| bytes.starts_with(start)), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn every_veil_is_announced_and_every_byte_has_its_place(
            line in "([a-z%\\\\u0-9\\{\\}xX/e\\[;m]|\\PC|[\u{0}-\u{9}\u{b}-\u{20}\u{7f}-\u{9f}\u{ad}\u{fe0f}\u{200b}\u{e0041}]){0,40}"
        ) {
            let view = View::of(line.as_bytes());
            let announced = veils().any(|veil| {
                memchr::memmem::find_iter(line.as_bytes(), &veil).any(|at| is_veil(line.as_bytes(), at))
            });
            prop_assert!(announced || view.text == line.trim_end_matches('\r').as_bytes() || view.text == line.as_bytes());
            for at in 0..view.text.len() {
                let back = view.back(at..at + 1);
                prop_assert!(back.end > back.start && back.end <= line.len());
                prop_assert!(view.forth(back).contains(&at));
            }
        }
    }
}
