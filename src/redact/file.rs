//! Files as sessions have them: what a line of JSON stands for is looked at, and lines without secrets stay byte for byte.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use super::{Findings, Redactor};

/// Redacts the content of the file called `name`, as its ending says what it is.
pub(super) fn redact<'t>(
    redactor: &Redactor,
    name: &str,
    bytes: &'t [u8],
    found: &mut Findings,
) -> Cow<'t, [u8]> {
    match Path::new(name).extension().and_then(|e| e.to_str()) {
        Some("jsonl") => lines(redactor, bytes, found),
        Some("json") => value(redactor, bytes, found),
        _ => redactor.redact_bytes(bytes, found),
    }
}

fn lines<'t>(redactor: &Redactor, bytes: &'t [u8], found: &mut Findings) -> Cow<'t, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let (text, end) = line.split_at(line.len() - usize::from(line.ends_with(b"\n")));
        if let Cow::Owned(clean) = value(redactor, text, found) {
            let out = out.get_or_insert_with(|| bytes[..at].to_vec());
            out.extend_from_slice(&clean);
            out.extend_from_slice(end);
        } else if let Some(out) = &mut out {
            out.extend_from_slice(line);
        }
        at += line.len();
    }
    out.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// One value of JSON; what is none is text.
fn value<'t>(redactor: &Redactor, bytes: &'t [u8], found: &mut Findings) -> Cow<'t, [u8]> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return redactor.redact_bytes(bytes, found);
    };
    // What is written otherwise than a value is read, a name that is given twice say, may hold what the value does not.
    let is_plain = value.to_string().as_bytes() == bytes;
    let within = redactor.redact_json(&mut value);
    let clean = if within.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned(written(&value, bytes)) };
    found.merge(&within);
    if is_plain {
        return clean;
    }
    match redactor.redact_bytes(&clean, found) {
        Cow::Owned(out) => Cow::Owned(out),
        Cow::Borrowed(_) => clean,
    }
}

/// A value as text: over lines if it was so before.
fn written(value: &Value, before: &[u8]) -> Vec<u8> {
    let is_pretty = memchr::memchr(b'\n', before.trim_ascii()).is_some();
    let mut text = if is_pretty { format!("{value:#}") } else { value.to_string() }.into_bytes();
    if before.ends_with(b"\n") {
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(name: &str, text: &str) -> (String, u64) {
        let redactor = Redactor::new();
        let mut found = Findings::default();
        let clean = redactor.redact_file(name, text.as_bytes(), &mut found).into_owned();
        let mut again = Findings::default();
        assert_eq!(&*redactor.redact_file(name, &clean, &mut again), &*clean, "again");
        assert!(again.is_empty(), "{again:?}");
        (String::from_utf8(clean).unwrap(), found.total())
    }

    #[test]
    fn lines_without_secrets_stay_byte_for_byte() {
        let token = ["gh", "p_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
        let check = |name: &str, text: &str, expected: &str, count: u64| {
            assert_eq!(redact(name, text), (expected.to_owned(), count), "{text}");
        };
        let odd = "{\"b\" : 1,\"a\":1.50, \"t\":\"\\u003c\"}";
        check("raw.jsonl", &format!("{odd}\n\nno json\n{odd}"), &format!("{odd}\n\nno json\n{odd}"), 0);
        check(
            "raw.jsonl",
            &format!("{odd}\n{{\"seq\":3,\"content\":\"{token}\"}}\n{odd}\n{{\"cut\": \"{token}"),
            &format!(
                "{odd}\n{{\"seq\":3,\"content\":\"[REDACTED_GITHUB_TOKEN]\"}}\n{odd}\n{{\"cut\": \"[REDACTED_GITHUB_TOKEN]"
            ),
            2,
        );
        check(
            "meta.json",
            &format!("{{\n  \"title\": \"{token}\"\n}}\n"),
            "{\n  \"title\": \"[REDACTED_GITHUB_TOKEN]\"\n}\n",
            1,
        );
        check("summary.md", &format!("# {token}\n"), "# [REDACTED_GITHUB_TOKEN]\n", 1);
        // A name that is given twice: the value has the last one only.
        check(
            "a.json",
            &format!("{{\"a\":\"{token}\",\"a\":\"x\"}}"),
            "{\"a\":\"[REDACTED_GITHUB_TOKEN]\",\"a\":\"x\"}",
            1,
        );
    }
}
