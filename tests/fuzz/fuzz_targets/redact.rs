//! Text without its secrets is the same however it arrived, and nothing more goes when it is redacted again.
//!
//! The last bytes of the input say where it is cut.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ox::redact::custom::{Level, parse};
use ox::redact::{Findings, Redactor};

/// Bytes at the end of the input that are no text.
const CONTROL: usize = 16;
const CUSTOM: &str =
    "```redact\nliteral \"Acme Corp\" -> [CUSTOMER]\nregex \"cust-\\d{4,}\" -> [CUSTOMER]\n```\n";

static REDACTORS: LazyLock<[Redactor; 2]> =
    LazyLock::new(|| [Redactor::new(), Redactor::with_rules(parse(Level::Team, CUSTOM).0)]);

fn in_pieces(redactor: &Redactor, text: &[u8], control: &[u8]) -> (Vec<u8>, Findings) {
    let mut cuts: Vec<usize> = control
        .chunks_exact(2)
        .map(|c| usize::from(u16::from_le_bytes([c[0], c[1]])) * text.len() / usize::from(u16::MAX))
        .collect();
    cuts.sort_unstable();
    cuts.push(text.len());
    let (mut stream, mut out, mut from) = (redactor.stream(), Vec::new(), 0);
    for to in cuts {
        stream.push(&text[from..to], &mut out);
        from = to;
    }
    let found = stream.finish(&mut out);
    (out, found)
}

fuzz_target!(|data: &[u8]| {
    let (text, control) = data.split_at(data.len().saturating_sub(CONTROL));
    for redactor in &*REDACTORS {
        let mut found = Findings::default();
        let once = redactor.redact_bytes(text, &mut found).into_owned();
        let (streamed, told) = in_pieces(redactor, text, control);
        assert_eq!(String::from_utf8_lossy(&streamed), String::from_utf8_lossy(&once), "in pieces");
        assert_eq!(told, found, "what was found in pieces");
        let mut again = Findings::default();
        let twice = redactor.redact_bytes(&once, &mut again);
        assert!(again.is_empty(), "redacted twice: {:?}", again);
        assert_eq!(&*twice, &*once);
        if let Ok(text) = std::str::from_utf8(text) {
            let mut once = text.to_owned();
            redactor.redact_text(&mut once);
            assert!(redactor.redact_text(&mut once.clone()).is_empty(), "as a value twice: {once:?}");
            let mut line = serde_json::json!({ "content": text });
            redactor.redact_json(&mut line);
            let mut again = Findings::default();
            redactor.redact_file("raw.jsonl", line.to_string().as_bytes(), &mut again);
            assert!(again.is_empty(), "as a file: {line}");
        }
    }
});
