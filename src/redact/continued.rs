//! Lines that go on behind a backslash, as shells and makefiles have them: a secret that is divided there is put together, found, and goes
//! with the line's end in it.

use memchr::memmem;

use super::scan::{Put, Span, State};
use super::{Findings, Redactor};

/// How a line ends that goes on.
const SEAM: &[u8] = b"\\\n";
/// Signs that stand before every line of a diff or a quotation.
const SIGNS: [u8; 3] = [b'+', b'-', b'>'];

/// Replaces what stands on both sides of a line's end with a backslash before it. Answers whether any line goes on.
pub(super) fn redact_continued(redactor: &Redactor, text: &mut String, found: &mut Findings) -> bool {
    let Some(joined) = Joined::of(text.as_bytes()) else { return false };
    let mut spans: Vec<Span> = Vec::new();
    redactor.scan(&mut State::default(), &joined.text, true, &mut spans);
    for span in spans.iter().rev() {
        let is_divided = joined.seams.iter().any(|seam| span.head < seam.at && seam.at < span.end);
        let (Put::Token(rule), true) = (span.put, is_divided) else { continue };
        let rule = &redactor.rules[usize::from(rule)];
        let place = joined.back(span.start, true)..joined.back(span.end, false);
        if text.is_char_boundary(place.start) && text.is_char_boundary(place.end) {
            text.replace_range(place, rule.token());
            found.add(rule.name());
        }
    }
    true
}

/// A text without the ends of lines that go on.
struct Joined {
    text: Vec<u8>,
    seams: Vec<Seam>,
}

/// Where a line went on.
struct Seam {
    /// Place in the joined text.
    at: usize,
    /// Bytes left out here and before.
    gone: usize,
}

impl Joined {
    /// None if no line goes on.
    fn of(text: &[u8]) -> Option<Joined> {
        let mut joined = Joined { text: Vec::new(), seams: Vec::new() };
        let mut from = 0;
        for at in memmem::find_iter(text, SEAM) {
            // One that is escaped itself ends nothing, and one that was left out with the seam before it neither.
            if at < from || text[..at].ends_with(b"\\") {
                continue;
            }
            let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |n| n + 1);
            let mut next = at + SEAM.len();
            if SIGNS.contains(&text[start]) && text.get(next) == text.get(start) {
                next += 1;
            }
            next += text[next..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            joined.text.extend_from_slice(&text[from..at]);
            joined.seams.push(Seam { at: joined.text.len(), gone: next - joined.text.len() });
            from = next;
        }
        if joined.seams.is_empty() {
            return None;
        }
        joined.text.extend_from_slice(&text[from..]);
        Some(joined)
    }

    /// The place in the text itself: of what begins there, or of what ends there.
    fn back(&self, place: usize, begins: bool) -> usize {
        let before = |seam: &&Seam| seam.at < place || begins && seam.at == place;
        place + self.seams.iter().rev().find(before).map_or(0, |seam| seam.gone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(text: &str) -> (String, u64) {
        let mut text = text.to_owned();
        let found = Redactor::new().redact_text(&mut text);
        let mut again = text.clone();
        assert!(Redactor::new().redact_text(&mut again).is_empty() && again == text, "{text} {again}");
        (text, found.total())
    }

    #[test]
    fn a_secret_that_a_backslash_divides_goes_whole() {
        let (head, tail) = (["gh", "p_aB3dE5gH7jK9mN"].concat(), "1pQ2rS4tU6vW8xY0zA1bC2");
        let check =
            |text: String, expected: &str| assert_eq!(redact(&text), (expected.to_owned(), 1), "{text:?}");
        check(format!("{head}\\\n{tail}"), "[REDACTED_GITHUB_TOKEN]");
        check(format!("X={head}\\\n   {tail} y"), "X=[REDACTED_GITHUB_TOKEN] y");
        check(format!("+X={head}\\\n+{tail}\n+z"), "+X=[REDACTED_GITHUB_TOKEN]\n+z");
        check(format!("> {head}\\\n> {tail}"), "> [REDACTED_GITHUB_TOKEN]");
        check(format!("a \\\n  b {head}\\\n{} \\\n  c", tail), "a \\\n  b [REDACTED_GITHUB_TOKEN] \\\n  c");
        // What makes it one is on the line before.
        let netrc = "machine h.example login anna \\\n  password Mj9ZpdUnndOI";
        check(netrc.to_owned(), "machine h.example login anna \\\n  password [REDACTED_PASSWORD]");
        // In the string of a call's input.
        let input = serde_json::json!({ "command": format!("export X={head}\\\n{tail}") }).to_string();
        check(input, "{\"command\":\"export X=[REDACTED_GITHUB_TOKEN]\"}");
    }

    #[test]
    fn lines_that_go_on_stay_as_they_are() {
        let (head, tail) = (["gh", "p_aB3dE5gH7jK9mN"].concat(), "1pQ2rS4tU6vW8xY0zA1bC2");
        let texts = [
            "cargo build \\\n  --release \\\n  --locked".to_owned(),
            "\\\n\\\n\\\n".to_owned(),
            "a\\\n".to_owned(),
            // An escaped backslash, and no continuation.
            format!("{head}\\\\\n{tail}"),
            format!("{head}\n{tail}"),
        ];
        for text in texts {
            assert_eq!(redact(&text), (text.clone(), 0));
        }
    }

    /// Pieces of which texts are made that go on, and hold names, values, quotes and JSON.
    fn text() -> impl Strategy<Value = String> {
        let token = ["gh", "p_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
        let (head, tail) = (token[..18].to_owned(), token[18..].to_owned());
        let pieces: Vec<String> = [
            "\\\n",
            "\\\n  ",
            "\n",
            "+",
            "> ",
            "\\",
            "\"",
            "'",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "=",
            " ",
            "password",
            "\"password\"",
            "export X=",
            "--token ",
            "hunter2!x",
            "{\"token\":\"",
            "https://a:",
            "@h.example/",
            "login anna password ",
            "Authorization: Bearer ",
            "\\\"",
            "\\n",
            "\u{1b}[1m",
            "%3D",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([token, head, tail])
        .collect();
        prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_more_goes_when_a_text_or_a_file_of_it_is_redacted_again(text in text(), other in text()) {
            let redactor = Redactor::new();
            let mut once = text.clone();
            redactor.redact_text(&mut once);
            let mut twice = once.clone();
            prop_assert!(redactor.redact_text(&mut twice).is_empty(), "{text:?} {once:?} {twice:?}");
            // As a recording has it, and as a push looks at it.
            let mut line = serde_json::json!({ "content": text, "tool_input": other, "seq": 1 });
            redactor.redact_json(&mut line);
            let mut found = Findings::default();
            redactor.redact_file("raw.jsonl", format!("{line}\n").as_bytes(), &mut found);
            prop_assert!(found.is_empty(), "{line} {found:?}");
            // As another program may have written it.
            let file = format!("{text}\n{{ \"a\": {} }}\n", serde_json::Value::from(other));
            let clean = redactor.redact_file("raw.jsonl", file.as_bytes(), &mut found).into_owned();
            let mut found = Findings::default();
            let again = redactor.redact_file("raw.jsonl", &clean, &mut found);
            prop_assert_eq!(&*again, &*clean);
            prop_assert!(found.is_empty(), "{} {:?}", file, found);
        }
    }
}
