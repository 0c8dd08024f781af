//! Transcripts without their secrets, line by line: a line in which nothing is found stays as it is, byte for byte.

use serde_json::Value;

use crate::redact::{Findings, Redactor, Stream};

/// Redacts what it is given, in order.
pub(super) struct Clean<'r> {
    redactor: &'r Redactor,
    /// Text that is no line of JSON: a secret in it may go over several lines.
    text: Option<Stream<'r>>,
    found: Findings,
}

impl<'r> Clean<'r> {
    pub(super) fn new(redactor: &'r Redactor) -> Clean<'r> {
        Clean { redactor, text: None, found: Findings::default() }
    }

    /// A whole line, or a whole document, with what ends it.
    pub(super) fn whole(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let bare = line.trim_ascii_end();
        let is_json = bare.trim_ascii_start().starts_with(b"{") || bare.trim_ascii_start().starts_with(b"[");
        let Some(mut value) = is_json.then(|| serde_json::from_slice::<Value>(bare).ok()).flatten() else {
            return self.text(line, out);
        };
        self.end_text(out);
        let found = self.redactor.redact_json(&mut value);
        if found.is_empty() {
            drop(value);
            // A name that stands there twice is in the text, and not in the value.
            out.extend_from_slice(&self.redactor.redact_bytes(line, &mut self.found));
            return;
        }
        self.found.merge(&found);
        // Into memory, which refuses nothing.
        let _ = serde_json::to_writer(&mut *out, &value);
        out.extend_from_slice(&line[bare.len()..]);
    }

    /// A part of a text.
    pub(super) fn text(&mut self, part: &[u8], out: &mut Vec<u8>) {
        self.text.get_or_insert_with(|| self.redactor.stream()).push(part, out);
    }

    fn end_text(&mut self, out: &mut Vec<u8>) {
        if let Some(text) = self.text.take() {
            let found = text.finish(out);
            self.found.merge(&found);
        }
    }

    /// Adds the rest. What was replaced.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Findings {
        self.end_text(out);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(lines: &str) -> (String, u64) {
        let redactor = Redactor::new();
        let (mut clean, mut out) = (Clean::new(&redactor), Vec::new());
        lines.split_inclusive('\n').for_each(|line| clean.whole(line.as_bytes(), &mut out));
        let found = clean.finish(&mut out);
        (String::from_utf8(out).unwrap(), found.total())
    }

    fn token() -> String {
        ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat()
    }

    #[test]
    fn a_line_in_which_nothing_is_found_stays_as_it_is() {
        let same = |text: &str| assert_eq!(clean(text), (text.to_owned(), 0));
        same("");
        same("{\"b\": 1,  \"a\":\t0.0006000000000000001}\r\n\n{\"x\":\"\\u00e9\"}");
        same("no JSON\n{\"half\":\n[1,2]\n");
        same("{\"a\":1,\"a\":2}\n");
    }

    #[test]
    fn every_string_of_a_line_is_redacted_and_text_over_several_lines_as_one() {
        let t = token();
        let (text, found) = clean(&format!(
            "{{\"b\":{{\"deep\":[\"x {t}\"]}}}}\r\n{{\"in\":\"{{\\\"k\\\":\\\"{t}\\\"}}\"}}\ntext {t} text\n"
        ));
        assert_eq!(found, 3, "{text}");
        assert!(!text.contains(&t) && text.contains("}\r\n{") && text.ends_with(" text\n"), "{text}");
        let twice = clean(&format!("{{\"a\":\"{t}\",\"a\":\"x\"}}\n"));
        assert!(!twice.0.contains(&t) && twice.1 == 1, "{twice:?}");
        let body = "MIIEowIBAAKCAQEAx4UbaDzY5xjW6hc9jwN0mX33XpTDVW7aDzY5xjW6hc9jwN0m\n".repeat(5);
        let kind = "RSA PRIVATE KEY";
        let key = clean(&format!("-----BEGIN {kind}-----\n{body}-----END {kind}-----\n{{\"a\":1}}\n"));
        assert!(!key.0.contains("MIIE") && key.0.ends_with("{\"a\":1}\n"), "{key:?}");
    }
}
