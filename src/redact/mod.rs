//! Secrets out of text: known shapes are replaced by tokens like `[REDACTED_JWT]`, in linear time, also while text still arrives.
//!
//! Threads: none; a [`Redactor`] may be shared by all.
//! Files: none; this room does not know where text comes from.
//! Locks: none but the one-time compiling of each rule.
//! Promises: the same bytes give the same result however they are cut into pieces; redacting twice changes nothing more; what a reader
//! gets to see is looked at as well as the bytes (hidden characters, colours, URL and JSON encoding);
//! memory of a stream is bounded by [`limits::LINE_MAX`]; [`Redacted`] is made only here.

mod anchors;
mod continued;
pub mod custom;
mod file;
mod found;
mod json;
pub mod limits;
mod pattern;
mod pem;
mod place;
mod redacted;
mod rules;
mod scan;
mod stream;
mod value;
mod view;
mod words;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

pub use found::{Findings, Found};
pub use pattern::Rule;
pub use place::{hide_home, is_secret_path};
pub use redacted::Redacted;
pub use stream::Stream;

use anchors::Anchors;
use scan::{Put, Span, State};

/// Takes secrets out of text, by the built-in rules and those of `REDACT.md` files. A rule is compiled when text first asks for it.
pub struct Redactor {
    /// In the order in which they apply.
    rules: Vec<Rule>,
    anchors: Anchors,
    /// Rules that no literal announces; they look at every line.
    always: Vec<u16>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

impl Default for Redactor {
    fn default() -> Redactor {
        Redactor::new()
    }
}

impl Redactor {
    /// The built-in rules alone.
    pub fn new() -> Redactor {
        Redactor::with_rules(Vec::new())
    }

    /// The built-in rules, and after them `custom` in the given order.
    pub fn with_rules(custom: Vec<Rule>) -> Redactor {
        let mut rules: Vec<Rule> = rules::BUILT_IN.iter().map(Rule::built_in).collect();
        // Rules are numbered in 16 bits; the limits of the files allow far fewer.
        rules.extend(custom.into_iter().take(usize::from(u16::MAX) - rules.len()));
        let always = (0u16..).zip(&rules).filter(|(_, rule)| rule.is_unannounced()).map(|(n, _)| n).collect();
        Redactor { anchors: Anchors::of(&rules), always, rules }
    }

    /// All rules, in the order in which they apply: the built-in ones first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// `text` without its secrets; borrowed if there are none.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redact_counting(text, &mut Findings::default())
    }

    /// As [`redact`](Redactor::redact), and counts in `found` what was replaced.
    pub fn redact_counting<'t>(&self, text: &'t str, found: &mut Findings) -> Cow<'t, str> {
        match self.redact_bytes(text.as_bytes(), found) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|e| {
                // A pattern of a user may end inside of a character.
                String::from_utf8_lossy(e.as_bytes()).into_owned()
            })),
        }
    }

    /// As [`redact_counting`](Redactor::redact_counting), of bytes that may be no UTF-8.
    pub fn redact_bytes<'t>(&self, text: &'t [u8], found: &mut Findings) -> Cow<'t, [u8]> {
        let mut spans = Vec::new();
        self.scan(&mut State::default(), text, true, &mut spans);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        self.write(text, &spans, &mut out, found);
        Cow::Owned(out)
    }

    /// Every string of `value`, keys too, as the text it stands for. A string that holds JSON itself is read as such, and written
    /// anew only if something in it changed. Answers what was replaced.
    pub fn redact_json(&self, value: &mut Value) -> Findings {
        let mut found = Findings::default();
        json::redact(self, value, &mut found, limits::JSON_DEPTH);
        found
    }

    /// A text that may be JSON, or hold lines that go on behind a backslash: as [`redact_json`](Redactor::redact_json) does a string.
    pub fn redact_text(&self, text: &mut String) -> Findings {
        let mut found = Findings::default();
        json::redact_string(self, text, &mut found, limits::JSON_DEPTH);
        found
    }

    /// The content of the file called `name`: a value of JSON, lines of them, or text, as its ending says. Borrowed if there is nothing to
    /// replace; else lines that hold nothing stay as they are.
    pub fn redact_file<'t>(&self, name: &str, bytes: &'t [u8], found: &mut Findings) -> Cow<'t, [u8]> {
        file::redact(self, name, bytes, found)
    }

    /// What tells these rules from others: a text that was looked at by the same ones need not be looked at again.
    pub fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hash = DefaultHasher::new();
        for rule in &self.rules {
            (rule.name(), rule.token(), rule.pattern()).hash(&mut hash);
        }
        hash.finish()
    }

    /// Begins to redact text that arrives in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream::new(self)
    }

    /// `text` without its secrets, with the proof of it.
    pub fn seal(&self, text: &str) -> Redacted {
        Redacted::new(self.redact(text).into_owned())
    }

    /// `value` without its secrets as one line of JSON (no newline), with the proof of it.
    pub fn seal_json(&self, mut value: Value) -> Redacted {
        self.redact_json(&mut value);
        Redacted::new(value.to_string())
    }

    /// Writes `text` with `spans` replaced.
    fn write(&self, text: &[u8], spans: &[Span], out: &mut Vec<u8>, found: &mut Findings) {
        let mut done = 0;
        for span in spans {
            out.extend_from_slice(&text[done..span.start]);
            if let Put::Token(rule) = span.put {
                let rule = &self.rules[usize::from(rule)];
                out.extend_from_slice(rule.token().as_bytes());
                found.add(rule.name());
            }
            done = span.end;
        }
        out.extend_from_slice(&text[done..]);
    }
}

#[cfg(test)]
mod tests;
