//! JSON as a text whose parts have places, so that one part is changed and every other byte stays. Comments are read over. Pure.

use std::ops::Range;

/// What some editors begin a file with.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// A text that has been read.
#[derive(Debug)]
pub(super) struct Doc<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// What it holds.
    pub(super) root: Node,
    /// Where comments stand, in order.
    pub(super) comments: Vec<Range<usize>>,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Object(Inside),
    Array(Inside),
    /// A text, without its escapes.
    Text(String),
    /// A number.
    Number,
    /// `true`, `false`, `null`.
    Word,
}

/// What stands between two braces or brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) children: Vec<Child>,
    /// Where the comma behind each child but the last stands.
    pub(super) commas: Vec<usize>,
}

/// An element, or a member with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    /// Empty for an element.
    pub(super) key: String,
    /// From its key on.
    pub(super) start: usize,
    pub(super) node: Node,
}

impl Child {
    pub(super) fn end(&self) -> usize {
        self.node.span.end
    }
}

impl Node {
    /// What is in an object.
    pub(super) fn object(&self) -> Option<&Inside> {
        if let Value::Object(inside) = &self.value { Some(inside) } else { None }
    }

    /// What is in an array.
    pub(super) fn array(&self) -> Option<&Inside> {
        if let Value::Array(inside) = &self.value { Some(inside) } else { None }
    }

    /// What is in either.
    pub(super) fn inside(&self) -> Option<&Inside> {
        self.object().or_else(|| self.array())
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The member of an object; of several with this name the last, as programs read it.
    pub(super) fn member(&self, key: &str) -> Option<&Child> {
        self.object()?.children.iter().rfind(|child| child.key == key)
    }
}

impl Inside {
    /// A key that stands there twice.
    pub(super) fn doubled(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.children.iter().map(|child| child.key.as_str()).collect();
        keys.sort_unstable();
        keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }
}

impl Doc<'_> {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no JSON: why, and where.
    pub(super) fn read(text: &str) -> Result<Doc<'_>, String> {
        let (plain, comments) = without_comments(text);
        // Claude Code reads over it.
        let plain = match plain.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => format!("{:1$}{rest}", "", BYTE_ORDER_MARK.len_utf8()),
            None => plain,
        };
        serde_json::from_str::<serde::de::IgnoredAny>(&plain).map_err(|e| {
            let what = if e.is_eof() { "it ends too early" } else { "it is no JSON" };
            format!("{what} (line {}, column {})", e.line(), e.column())
        })?;
        let mut reader = Reader { text: &plain, at: 0 };
        let root = reader.node().ok_or("it is no JSON")?;
        Ok(Doc { text, root, comments })
    }

    /// The comment that ends at a place, if one does that goes on to the end of its line.
    pub(super) fn is_behind_line_comment(&self, at: usize) -> bool {
        self.comments.iter().any(|c| c.end == at && self.text[c.clone()].starts_with("//"))
    }

    /// Whether a comment stands in there.
    pub(super) fn has_comment(&self, span: &Range<usize>) -> bool {
        self.comments.iter().any(|c| c.start >= span.start && c.end <= span.end)
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }
}

/// The text with blanks for comments, of the same length, and where those stood. A comment that is not closed goes on to the end.
fn without_comments(text: &str) -> (String, Vec<Range<usize>>) {
    let (mut plain, mut comments) = (String::with_capacity(text.len()), Vec::new());
    let bytes = text.as_bytes();
    let (mut at, mut from, mut in_text) = (0, 0, false);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(_)) if in_text => at += 2,
            (b'"', _) => {
                in_text = !in_text;
                at += 1;
            }
            (b'/', Some(kind @ (b'/' | b'*'))) if !in_text => {
                let rest = &text[at + 2..];
                let length = match kind {
                    b'/' => {
                        rest.find('\n').map_or(rest.len(), |n| n - usize::from(rest[..n].ends_with('\r')))
                    }
                    _ => rest.find("*/").map_or(rest.len(), |n| n + 2),
                };
                let end = at + 2 + length;
                plain.push_str(&text[from..at]);
                // Lines stay lines.
                plain.extend(text[at..end].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
                comments.push(at..end);
                (at, from) = (end, end);
            }
            _ => at += 1,
        }
    }
    plain.push_str(&text[from..]);
    (plain, comments)
}

/// Reads what is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| is_blank(**b)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn node(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        let value = match first {
            b'{' => Value::Object(self.inside(b'}')?),
            b'[' => Value::Array(self.inside(b']')?),
            b'"' => Value::Text(self.string()?),
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                self.at += rest.iter().take_while(|b| !is_blank(**b) && !b",]}".contains(b)).count();
                if first.is_ascii_alphabetic() { Value::Word } else { Value::Number }
            }
        };
        Some(Node { span: start..self.at, value })
    }

    fn inside(&mut self, close: u8) -> Option<Inside> {
        let mut inside = Inside::default();
        self.at += 1;
        loop {
            match self.peek()? {
                b',' => {
                    inside.commas.push(self.at);
                    self.at += 1;
                }
                b if b == close => {
                    self.at += 1;
                    return Some(inside);
                }
                _ => {
                    let start = self.at;
                    let key = if close == b'}' { self.key()? } else { String::new() };
                    inside.children.push(Child { key, start, node: self.node()? });
                }
            }
        }
    }

    fn key(&mut self) -> Option<String> {
        let key = self.string()?;
        self.peek()?;
        // The colon.
        self.at += 1;
        Some(key)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let raw = self.text.get(start..self.at)?;
        // Half of a character beyond U+FFFF is JSON and no text of ours.
        Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
    }
}

/// What JSON takes between tokens.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text_whatever_stands_between() {
        let text = "{ // one\r\n  \"a\\\"//\": [1, /* , */ \"x\\u0041\"],\n\"b\" : {\"a\":null}}\n";
        let doc = Doc::read(text).unwrap();
        let keys: Vec<&str> = doc.root.object().unwrap().children.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys, ["a\"//", "b"]);
        let list = &doc.root.member("a\"//").unwrap().node;
        assert_eq!(&text[list.span.clone()], "[1, /* , */ \"x\\u0041\"]");
        assert_eq!(list.array().unwrap().children[1].node.text(), Some("xA"));
        let comments: Vec<&str> = doc.comments.iter().map(|c| &text[c.clone()]).collect();
        assert_eq!(comments, ["// one", "/* , */"]);
        assert!(doc.is_behind_line_comment(8) && !doc.is_behind_line_comment(9));
        let b = doc.root.member("b").unwrap();
        assert_eq!((&text[b.start..b.end()], doc.line(b.start)), ("\"b\" : {\"a\":null}", 3));
        assert_eq!(doc.root.object().unwrap().commas.len(), 1);
    }

    #[test]
    fn what_is_no_json_says_where() {
        let check = |text: &str, expected: &str| assert_eq!(Doc::read(text).unwrap_err(), expected, "{text}");
        check("{\"a\": 1,}", "it is no JSON (line 1, column 9)");
        check("{\n\"a\": [1", "it ends too early (line 2, column 7)");
        check("{\"a\": 1} x", "it is no JSON (line 1, column 10)");
        check("/* {}", "it ends too early (line 1, column 5)");
        assert_eq!(Doc::read("\u{feff}{}").unwrap().root.span, 3..5);
        let deep = "[".repeat(100_000);
        assert!(Doc::read(&deep).is_err());
        assert!(Doc::read("{\"a\": \"\\ud800\"}").is_ok());
        assert_eq!(
            Doc::read("{\"a\":1,\"b\":2,\"a\":3}").unwrap().root.object().unwrap().doubled(),
            Some("a")
        );
    }
}
