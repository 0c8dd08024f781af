//! Changes of a text by its places: elements and members put in behind those that are there, and taken out, in the file's own layout. What
//! is put in and taken out again leaves the text as it was. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;

use super::json::{Child, Doc, Inside, Node, is_blank};

/// How the file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    newline: &'static str,
    /// One step of indentation.
    unit: String,
    /// Blanks stand behind commas and colons of what is written in one line.
    airy: bool,
}

/// How what is inside of a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One child a line, behind this indentation.
    Lines(String),
    /// All in one line.
    Line,
}

/// Text that takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) span: Range<usize>,
    pub(super) text: String,
}

/// The text with all edits, which do not overlap.
pub(super) fn applied(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let (mut changed, mut at) = (String::with_capacity(text.len()), 0);
    for edit in edits {
        changed.push_str(&text[at..edit.span.start]);
        changed.push_str(&edit.text);
        at = edit.span.end;
    }
    changed.push_str(&text[at..]);
    changed
}

impl Style {
    /// That of a text; of an empty one two blanks and a line for each.
    pub(super) fn of(doc: &Doc<'_>) -> Style {
        let newline = match doc.text.find('\n') {
            Some(at) if doc.text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let first = doc.root.inside().and_then(|inside| inside.children.first());
        let unit = first.and_then(|child| indent(doc.text, child.start)).filter(|unit| !unit.is_empty());
        let colon = first.and_then(|child| doc.text[child.start..child.node.span.start].chars().next_back());
        Style {
            newline,
            unit: unit.unwrap_or("  ").to_owned(),
            airy: colon.is_none_or(|last| last.is_whitespace()),
        }
    }

    /// A value as text, in the layout of what it will stand in.
    pub(super) fn render(&self, value: &Json, layout: &Layout) -> String {
        let mut out = String::new();
        let indent = if let Layout::Lines(indent) = layout { Some(indent.as_str()) } else { None };
        self.write(value, indent, &mut out);
        out
    }

    /// A member as text.
    pub(super) fn member(&self, key: &str, value: &Json, layout: &Layout) -> String {
        let colon = if self.airy || *layout != Layout::Line { ": " } else { ":" };
        format!("{}{colon}{}", Json::from(key), self.render(value, layout))
    }

    fn write(&self, value: &Json, indent: Option<&str>, out: &mut String) {
        let (open, close, children): (_, _, Vec<(Option<&String>, &Json)>) = match value {
            Json::Object(map) => ('{', '}', map.iter().map(|(key, value)| (Some(key), value)).collect()),
            Json::Array(list) => ('[', ']', list.iter().map(|value| (None, value)).collect()),
            plain => return out.push_str(&plain.to_string()),
        };
        let inner = indent.map(|indent| format!("{indent}{}", self.unit));
        out.push(open);
        for (n, (key, value)) in children.iter().enumerate() {
            match &inner {
                Some(inner) => {
                    out.push_str(if n > 0 { "," } else { "" });
                    out.push_str(self.newline);
                    out.push_str(inner);
                }
                None if n > 0 => out.push_str(if self.airy { ", " } else { "," }),
                None => {}
            }
            if let Some(key) = key {
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push_str(if self.airy || inner.is_some() { ": " } else { ":" });
            }
            self.write(value, inner.as_deref(), out);
        }
        if let Some(indent) = indent.filter(|_| !children.is_empty()) {
            out.push_str(self.newline);
            out.push_str(indent);
        }
        out.push(close);
    }

    /// One step further in.
    fn deeper(&self, outer: &Layout) -> Layout {
        match outer {
            Layout::Lines(indent) => Layout::Lines(format!("{indent}{}", self.unit)),
            Layout::Line => Layout::Line,
        }
    }
}

/// The indentation of what begins at a place, if it is the first of its line.
fn indent(text: &str, at: usize) -> Option<&str> {
    let from = text[..at].rfind('\n')? + 1;
    text[from..at].bytes().all(|b| b == b' ' || b == b'\t').then(|| &text[from..at])
}

impl Layout {
    /// That of a value which stands in one of layout `outer`.
    pub(super) fn of(doc: &Doc<'_>, style: &Style, node: &Node, outer: &Layout) -> Layout {
        match node.inside().and_then(|inside| inside.children.last()) {
            Some(last) => match indent(doc.text, last.start) {
                Some(indent) => Layout::Lines(indent.to_owned()),
                None => Layout::Line,
            },
            None => style.deeper(outer),
        }
    }

    /// That of the whole file, in which its root stands.
    pub(super) fn of_file(doc: &Doc<'_>, style: &Style) -> Layout {
        let outside = Layout::Lines(String::new());
        match Layout::of(doc, style, &doc.root, &outside) {
            Layout::Lines(_) => outside,
            Layout::Line => Layout::Line,
        }
    }
}

/// Puts children, already text, in behind those of `node`, which stands in a value of layout `outer`.
pub(super) fn append(
    doc: &Doc<'_>,
    style: &Style,
    node: &Node,
    outer: &Layout,
    texts: &[String],
) -> Vec<Edit> {
    let layout = Layout::of(doc, style, node, outer);
    let text = doc.text;
    let close = node.span.end - 1;
    let end = close - text[node.span.start + 1..close].bytes().rev().take_while(|b| is_blank(*b)).count();
    let last = node.inside().and_then(|inside| inside.children.last());
    // Behind a comment that goes on to the end of its line nothing else can stand.
    let gap = match &layout {
        Layout::Lines(indent) => format!("{}{indent}", style.newline),
        Layout::Line if doc.is_behind_line_comment(end) => style.newline.to_owned(),
        Layout::Line if last.is_some() && style.airy => " ".to_owned(),
        Layout::Line => String::new(),
    };
    let between = match &layout {
        Layout::Lines(_) => format!(",{gap}"),
        Layout::Line => if style.airy { ", " } else { "," }.to_owned(),
    };
    let put = format!("{gap}{}", texts.join(&between));
    match last {
        // In one edit where nothing stands between the two.
        Some(last) if last.end() == end => vec![Edit { span: end..end, text: format!(",{put}") }],
        Some(last) => vec![
            Edit { span: last.end()..last.end(), text: ",".to_owned() },
            Edit { span: end..end, text: put },
        ],
        None => {
            let tail = match (&layout, outer) {
                (Layout::Lines(_), Layout::Lines(outer)) => format!("{}{outer}", style.newline),
                _ => String::new(),
            };
            let (span, tail) = match doc.has_comment(&node.span) {
                // Blanks alone are in the way.
                false => (node.span.start + 1..close, tail),
                true if text[end..close].contains('\n') => (end..end, String::new()),
                true => (end..close, tail),
            };
            vec![Edit { span, text: format!("{put}{tail}") }]
        }
    }
}

/// Takes children out of `node`, of which others stay.
pub(super) fn take_out(doc: &Doc<'_>, inside: &Inside, goes: &dyn Fn(usize) -> bool) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut cut = |span: Range<usize>| edits.push(Edit { span, text: String::new() });
    let last_kept = (0..inside.children.len()).rfind(|n| !goes(*n));
    let is_blank_between = |span: Range<usize>| doc.text[span].bytes().all(is_blank);
    for (n, child) in inside.children.iter().enumerate().filter(|(n, _)| goes(*n)) {
        if last_kept.is_some_and(|kept| n < kept) {
            // With the comma behind it, up to what comes next.
            let Some(&comma) = inside.commas.get(n) else { continue };
            let next = behind_blanks(doc.text, comma + 1);
            match is_blank_between(child.end()..comma) {
                true => cut(child.start..next),
                false => {
                    cut(child.start..child.end());
                    cut(comma..comma + 1);
                }
            }
            continue;
        }
        let from = own_start(doc, child, inside.children.last().map_or(child.end(), Child::end));
        match n.checked_sub(1).and_then(|before| inside.commas.get(before).copied()) {
            // With the comma before it.
            Some(comma) if from == comma + 1 => cut(comma..child.end()),
            Some(comma) => {
                cut(comma..comma + 1);
                cut(from..child.end());
            }
            None => cut(from..child.end()),
        }
    }
    edits
}

fn behind_blanks(text: &str, at: usize) -> usize {
    at + text[at..].bytes().take_while(|b| is_blank(*b)).count()
}

/// Where what belongs to a child begins of which all that follow it go too: the blanks before it, unless they end a comment that what comes
/// next would fall into.
fn own_start(doc: &Doc<'_>, child: &Child, end: usize) -> usize {
    let text = doc.text;
    let from = child.start - text[..child.start].bytes().rev().take_while(|b| is_blank(*b)).count();
    let next = if doc.has_comment(&(child.end()..end)) { child.end() } else { end };
    // A blank that came to stand behind the comment would be a part of it.
    let rest = &text[next..];
    let ends_line = rest.is_empty() || rest.starts_with('\n') || rest.starts_with("\r\n");
    if doc.is_behind_line_comment(from) && !ends_line { child.start } else { from }
}

/// What values that were empty looked like before something was put in, by their path: `hooks/Stop`, and nothing for the file.
pub(super) type Emptied = BTreeMap<String, String>;

/// Whether a value with nothing but blanks and comments left in it is the one that was written down, so that its text can come back.
pub(super) fn is_same_but_blanks(left: &str, was: &str) -> bool {
    let solid = |text: &str| text.bytes().filter(|b| !is_blank(*b)).collect::<Vec<_>>();
    solid(left) == solid(was)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn appended(text: &str, value: &Json) -> String {
        let doc = Doc::read(text).unwrap();
        let style = Style::of(&doc);
        let outer = Layout::of_file(&doc, &style);
        let layout = Layout::of(&doc, &style, &doc.root, &outer);
        let put = style.member("new", value, &layout);
        let edits = append(&doc, &style, &doc.root, &outer, &[put]);
        applied(text, edits)
    }

    fn taken_out(text: &str) -> String {
        let doc = Doc::read(text).unwrap();
        let inside = doc.root.object().unwrap();
        let edits = take_out(&doc, inside, &|n| inside.children[n].key == "new");
        applied(text, edits)
    }

    #[test]
    fn what_is_put_in_follows_the_layout_and_goes_without_a_trace() {
        let check = |text: &str, expected: &str| {
            let changed = appended(text, &json!([{ "a": 1 }]));
            assert_eq!(changed, expected, "{text}");
            assert_eq!(taken_out(&changed), text);
        };
        check("{\"x\": 1}", "{\"x\": 1, \"new\": [{\"a\": 1}]}");
        check("{\"x\":1}", "{\"x\":1,\"new\":[{\"a\":1}]}");
        check("{ \"x\": 1 }\n", "{ \"x\": 1, \"new\": [{\"a\": 1}] }\n");
        check("{\n\t\"x\": 1\n}", "{\n\t\"x\": 1,\n\t\"new\": [\n\t\t{\n\t\t\t\"a\": 1\n\t\t}\n\t]\n}");
        check(
            "{\r\n \"x\": {}\r\n}\r\n",
            "{\r\n \"x\": {},\r\n \"new\": [\r\n  {\r\n   \"a\": 1\r\n  }\r\n ]\r\n}\r\n",
        );
        check(
            "{\n  \"x\": 1 // one\n}",
            "{\n  \"x\": 1, // one\n  \"new\": [\n    {\n      \"a\": 1\n    }\n  ]\n}",
        );
        check("{\"x\": 1 // one\n}", "{\"x\": 1, // one\n\"new\": [{\"a\": 1}]\n}");
        check("{\"x\": 1 /* one */}", "{\"x\": 1, /* one */ \"new\": [{\"a\": 1}]}");
        check("{\n\n   \"x\":1,\n   \"y\":2}", {
            "{\n\n   \"x\":1,\n   \"y\":2,\n   \"new\": [\n      {\n         \"a\": 1\n      }\n   ]}"
        });
    }

    #[test]
    fn what_is_taken_out_takes_one_comma_with_it_and_no_comment() {
        let check = |text: &str, expected: &str| {
            let left = taken_out(text);
            assert_eq!(left, expected, "{text}");
            Doc::read(&left).unwrap();
        };
        check("{\"new\": 1, \"x\": 2}", "{\"x\": 2}");
        check("{\n  \"new\": 1,\n  \"x\": 2\n}", "{\n  \"x\": 2\n}");
        check("{\"x\": 2 /* a */, /* b */ \"new\": 1 /* c */}", "{\"x\": 2 /* a */ /* b */ /* c */}");
        check("{\"x\": 2, // a\n \"new\": 1}", "{\"x\": 2 // a\n }");
        check("{\"x\": 2, // a\n \"new\": 1, // b\n \"y\": 3}", "{\"x\": 2, // a\n // b\n \"y\": 3}");
        check("{\"x\": 2, // a\n \"new\": 1 // b\n, \"y\": 3}", "{\"x\": 2, // a\n  // b\n \"y\": 3}");
        check("{\"x\":2,\"new\":1,\"new\":1,\"y\":3,\"new\":4,\"new\":5}", "{\"x\":2,\"y\":3}");
        check("{\"x\": 2, // a\n \"new\": 1 \n}", "{\"x\": 2 // a\n  \n}");
        check("{ \"new\": 1 }", "{ }");
    }
}
