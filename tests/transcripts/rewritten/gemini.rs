//! Gemini CLI.

use ox::harness::transcript::gemini::Gemini;
use ox::harness::transcript::{Fact, Skipped, What};
use proptest::prelude::*;

use super::{assert_once, bytes, served, spent, told};

const ALL: &[&str] = &[
    "gemini-0.61.0-resumed.jsonl",
    "gemini-0.61.0-resumed-second-file.jsonl",
    "gemini-0.61.0-failing.jsonl",
    "gemini-0.61.0-compressed.jsonl",
    "gemini-0.61.0-parent.jsonl",
    "gemini-0.61.0-subagent.jsonl",
];

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

fn read(reader: &mut Gemini, text: &[u8]) -> Vec<Fact> {
    let mut out = Vec::new();
    lines(text).for_each(|line| reader.line(line, &mut out));
    out
}

fn all(name: &str) -> Vec<Fact> {
    let mut reader = Gemini::default();
    let facts = read(&mut reader, &bytes(name));
    assert_eq!(reader.skipped(), Skipped::default(), "{name}");
    assert_once(&facts);
    facts
}

fn answers(of: &[u64]) -> Vec<[u64; 4]> {
    of.iter().map(|n| served(*n)).collect()
}

#[test]
fn a_session_and_its_resumption_are_told_once() {
    let mut reader = Gemini::new("", "/home/user/work");
    let facts = read(&mut reader, &bytes("gemini-0.61.0-resumed.jsonl"));
    let output = "<untrusted_context>|Output: hello-from-agent|Process Group PGID: 4711|</untrusted_context>";
    let command = r#"run_shell_command {"command":"echo hello-from-agent"}"#;
    assert_eq!(
        told(&facts),
        [
            "thread  /home/user/work",
            "system: <session_context>",
            "user: say hi",
            "thread gemini-3.1-pro-preview /home/user/work",
            "spent 1034 52",
            command,
            &format!("done {output}"),
            "assistant: Done: listed the files.",
            "spent 1051 58",
            "user: go on",
            "spent 1085 55",
            command,
            &format!("done {output}"),
            "assistant: Done: listed the files.",
            "spent 1102 61",
        ]
    );
    let What::Thread(thread) = &facts[0].what else { panic!() };
    assert_eq!((thread.id.as_str(), thread.parent.as_str()), ("ec7bf948-d8d5-47a3-9cd7-bafc0731e338", ""));
    assert_eq!(thread.id, thread.session);
    assert_eq!(facts[2].time.unwrap().to_string(), "2026-11-30T08:51:06.427Z");
    // The file beside it has nothing but the context, under the id that this has already.
    let second = read(&mut reader, &bytes("gemini-0.61.0-resumed-second-file.jsonl"));
    assert_eq!(told(&second), [] as [&str; 0]);
}

#[test]
fn what_the_program_writes_down_is_what_the_model_served() {
    assert_eq!(spent(&all("gemini-0.61.0-resumed.jsonl")), answers(&[2, 3, 5, 6]));
    assert_eq!(spent(&all("gemini-0.61.0-failing.jsonl")), answers(&[2, 3]));
    assert_eq!(spent(&all("gemini-0.61.0-compressed.jsonl")), answers(&[1, 2, 5, 8, 11, 14]));
    let both = [all("gemini-0.61.0-parent.jsonl"), all("gemini-0.61.0-subagent.jsonl")].concat();
    assert_eq!(spent(&both), answers(&[2, 4, 3]));
}

#[test]
fn a_command_that_fails_has_failed() {
    let facts = all("gemini-0.61.0-failing.jsonl");
    let failed = "failed <untrusted_context>|Output: (empty)|Exit Code: 1|Process Group PGID: 4711|</untrusted_context>";
    assert!(told(&facts).iter().any(|line| line == failed), "{:#?}", told(&facts));
}

#[test]
fn what_a_summary_replaces_is_not_told_again() {
    let lines = told(&all("gemini-0.61.0-compressed.jsonl"));
    let count = |line: &str| lines.iter().filter(|l| *l == line).count();
    assert_eq!(count("compacted"), 4, "{lines:#?}");
    for turn in ["user: turn 1 of it", "user: turn 2 of it", "user: turn 3 of it"] {
        assert_eq!(count(turn), 1, "{lines:#?}");
    }
    assert_eq!(count(r#"run_shell_command {"command":"echo hello-from-agent"}"#), 3);
    assert_eq!(count("assistant: Done: listed the files."), 3);
    assert_eq!(count("system: Done: listed the files."), 4, "the summaries");
}

#[test]
fn a_sub_agent_knows_its_session() {
    let mut reader = Gemini::new("1280efb0-511e-466a-8dcc-3f0567033728", "");
    let facts = read(&mut reader, &bytes("gemini-0.61.0-subagent.jsonl"));
    let What::Thread(thread) = &facts[0].what else { panic!("{facts:?}") };
    assert_eq!(thread.parent, "1280efb0-511e-466a-8dcc-3f0567033728");
    assert_eq!((thread.session.as_str(), thread.cwd.as_str()), (thread.parent.as_str(), "/home/user/work"));
    assert_ne!(thread.id, thread.parent);
}

#[test]
fn what_was_rewound_stays_told() {
    let mut reader = Gemini::default();
    let mut out = Vec::new();
    for line in [
        r#"{"sessionId":"s","projectHash":"h","kind":"main"}"#,
        r#"{"id":"a","type":"user","content":"one"}"#,
        r#"{"$rewindTo":"a"}"#,
        r#"{"id":"b","type":"user","content":"two"}"#,
        r#"{"$set":{"messages":[{"id":"b","type":"user","content":[{"text":"two"}]}]}}"#,
        r#"{"id":"c","type":"novel"}"#,
        r#"{"unknown":1}"#,
        r#"{"cut":"#,
    ] {
        reader.line(line.as_bytes(), &mut out);
    }
    assert_eq!(told(&out), ["thread", "user: one", "user: two"]);
    assert_eq!(reader.skipped(), Skipped { unknown: 2, damaged: 1 });
}

#[test]
fn the_older_layout_is_told_once_however_often_it_is_written() {
    let (mut reader, mut out) = (Gemini::default(), Vec::new());
    let text = bytes("gemini-older.json");
    reader.whole(&text[..text.len() / 2], &mut out);
    assert!(out.is_empty());
    reader.whole(&text, &mut out);
    reader.whole(&text, &mut out);
    assert_once(&out);
    assert_eq!(reader.skipped(), Skipped { unknown: 0, damaged: 1 });
    assert_eq!(
        told(&out),
        [
            "thread",
            "user: list the files",
            "thread gemini-2.5-pro",
            "assistant: Listing.",
            r#"run_shell_command { "command": "ls" }"#,
            "done Command: ls|Output: a.txt|Exit Code: 0",
            r#"read_file { "path": "b" }"#,
            "failed no such file",
            "spent 122 10",
            "system: quota exceeded",
        ]
    );
    // Its resumption writes the same messages into a file of lines.
    let line =
        br#"{"id":"m1","timestamp":"2025-10-01T08:00:01.000Z","type":"user","content":"list the files"}"#;
    let before = out.len();
    reader.line(line, &mut out);
    assert_eq!(out.len(), before);
}

#[test]
fn the_layout_with_parts_is_told() {
    let (mut reader, mut out) = (Gemini::default(), Vec::new());
    for _ in 0..2 {
        reader.whole(&bytes("gemini-parts.json"), &mut out);
    }
    let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(
        told(&out),
        [
            &format!("user: look at [image image/png, 5 bytes, sha256:{sha}]"),
            "assistant: Reading.",
            r#"read_file { "path": "b" }"#,
            "failed no such file",
        ]
    );
}

#[test]
fn a_reader_that_was_saved_between_any_two_lines_goes_on() {
    for name in ALL {
        let text = bytes(name);
        let whole = all(name);
        for at in 0..=lines(&text).count() {
            let (mut reader, mut out) = (Gemini::default(), Vec::new());
            lines(&text).take(at).for_each(|line| reader.line(line, &mut out));
            let saved = serde_json::to_string(&reader).unwrap();
            let mut reader: Gemini = serde_json::from_str(&saved).unwrap();
            lines(&text).skip(at).for_each(|line| reader.line(line, &mut out));
            assert_eq!(out, whole, "{name} at {at}");
        }
    }
}

/// Any JSON, with the names that the reader knows among its keys.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z<>/]{0,8}".prop_map(Into::into),
        proptest::sample::select(vec!["user", "gemini", "model", "success", "error", "main", "subagent"])
            .prop_map(Into::into),
    ];
    let keys = vec![
        "$set",
        "$rewindTo",
        "sessionId",
        "kind",
        "directories",
        "messages",
        "metadata",
        "id",
        "type",
        "role",
        "timestamp",
        "content",
        "displayContent",
        "parts",
        "tokens",
        "model",
        "toolCalls",
        "text",
        "name",
        "args",
        "result",
        "response",
        "status",
        "functionCall",
        "functionResponse",
        "inlineData",
        "data",
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec((proptest::sample::select(keys.clone()), inner), 0..6).prop_map(
                |pairs| {
                    serde_json::Value::Object(pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect())
                }
            ),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (mut reader, mut out) = (Gemini::default(), Vec::new());
        reader.line(&bytes, &mut out);
        reader.whole(&bytes, &mut out);
    }

    #[test]
    fn no_json_makes_it_fail(values in proptest::collection::vec(json(), 1..6)) {
        let (mut reader, mut out) = (Gemini::default(), Vec::new());
        for value in &values {
            reader.line(value.to_string().as_bytes(), &mut out);
        }
        let before = out.len();
        for value in values.iter().filter(|v| v.get("id").is_some_and(|id| id.is_string())) {
            reader.line(value.to_string().as_bytes(), &mut out);
        }
        prop_assert_eq!(&out[before..], &[] as &[Fact]);
    }

    #[test]
    fn no_damage_makes_it_fail(name in proptest::sample::select(ALL), hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut text = bytes(name);
        for (at, byte) in hits {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let mut reader = Gemini::default();
        read(&mut reader, &text);
        let saved: Gemini = serde_json::from_str(&serde_json::to_string(&reader).unwrap()).unwrap();
        prop_assert_eq!(saved, reader);
    }
}
