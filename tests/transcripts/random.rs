//! Whatever a file holds, a reader goes on; and where it was left off does not matter.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A value of any shape, with the names that readers look for.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        "[a-z<>\\\\\" é😀]{0,8}",
        Just("message".to_owned()),
        Just("tool_use".to_owned()),
        Just("function_call".to_owned()),
        Just("data:image/png;base64,AAA".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text.prop_map(Into::into),
    ];
    let name = prop::sample::select(vec![
        "type",
        "message",
        "content",
        "uuid",
        "payload",
        "id",
        "usage",
        "input_tokens",
        "output_tokens",
        "role",
        "timestamp",
        "sessionId",
        "isSidechain",
        "text",
        "output",
        "metadata",
        "exit_code",
        "info",
        "item",
        "total_token_usage",
        "last_token_usage",
        "source",
        "call_id",
        "name",
        "attachment",
        "prompt",
    ]);
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|pairs| {
                pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<serde_json::Map<_, _>>().into()
            }),
        ]
    })
}

/// A line of a fixture in which a value is another one, or bytes are.
fn mutated(bytes: &[u8], n: usize, at: usize, value: &serde_json::Value, raw: &[u8]) -> Vec<u8> {
    let lines = lines(bytes);
    let line = lines[n % lines.len()];
    if at.is_multiple_of(2) {
        let mut line = line.to_vec();
        let from = at % line.len();
        let to = (from + raw.len()).min(line.len());
        line.splice(from..to, raw.iter().copied());
        return line;
    }
    let mut json: serde_json::Value = serde_json::from_slice(line).unwrap();
    let mut places = Vec::new();
    fn walk(json: &serde_json::Value, here: &str, places: &mut Vec<String>) {
        places.push(here.to_owned());
        match json {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(k, v)| walk(v, &format!("{here}/{}", k.replace('/', "~1")), places));
            }
            serde_json::Value::Array(list) => {
                list.iter().enumerate().for_each(|(k, v)| walk(v, &format!("{here}/{k}"), places));
            }
            _ => {}
        }
    }
    walk(&json, "", &mut places);
    if let Some(place) = json.pointer_mut(&places[at % places.len()]) {
        *place = value.clone();
    }
    serde_json::to_vec(&json).unwrap()
}

fn survives<R: Reader>(program: &str, n: usize, at: usize, value: &serde_json::Value, raw: &[u8]) {
    let files = fixtures(program);
    let file = &files[n % files.len()];
    let mut reader = R::default();
    let mut facts = Vec::new();
    for line in lines(file).into_iter().take(n % 9) {
        reader.line(line, &mut facts);
    }
    reader.line(raw, &mut facts);
    reader.line(value.to_string().as_bytes(), &mut facts);
    reader.line(&mutated(file, n / 7, at, value, raw), &mut facts);
    for line in lines(file) {
        reader.line(line, &mut facts);
    }
    let ids: BTreeSet<&str> = facts.iter().map(|fact| fact.id.as_str()).collect();
    assert!(!ids.is_empty());
    let saved = serde_json::to_string(&reader).unwrap();
    assert_eq!(serde_json::from_str::<R>(&saved).unwrap(), reader);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_survives_everything(
        n in any::<usize>(), at in any::<usize>(), value in any_json(), raw in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        survives::<Claude>("claude-", n, at, &value, &raw);
        survives::<Codex>("codex-", n, at, &value, &raw);
    }
}

/// Each fixture, left off and taken up again behind each line, and once behind all of them.
fn goes_on<R: Reader>(program: &str) {
    for file in fixtures(program) {
        let (whole, expected) = read::<R>(&file);
        let (mut reader, mut facts) = (R::default(), Vec::new());
        for line in lines(&file) {
            reader.line(line, &mut facts);
            reader = serde_json::from_str(&serde_json::to_string(&reader).unwrap()).unwrap();
        }
        assert_eq!(facts, expected);
        assert_eq!(reader, whole);
        assert_eq!(whole.skipped(), Skipped::default());
    }
}

#[test]
fn a_reader_goes_on_where_it_was_left_off() {
    goes_on::<Claude>("claude-");
    goes_on::<Codex>("codex-");
}

/// Ids are what a fact is known by: no two facts of a file have the same, but for an answer that is counted anew.
fn are_told_apart<R: Reader>(program: &str) {
    for file in fixtures(program) {
        let (_, facts) = read::<R>(&file);
        let mut ids = BTreeSet::new();
        for fact in facts.iter().filter(|fact| !matches!(fact.what, What::Spent(_))) {
            assert!(ids.insert(&fact.id), "{fact:?}");
        }
    }
}

#[test]
fn no_two_facts_have_one_id() {
    are_told_apart::<Claude>("claude-");
    are_told_apart::<Codex>("codex-");
}

#[test]
fn what_is_kept_between_lines_has_a_limit() {
    let (mut claude, mut codex, mut facts) = (Claude::default(), Codex::default(), Vec::new());
    for n in 0..5_000 {
        let line = format!(
            r#"{{"type":"assistant","uuid":"{n}","sessionId":"s","message":{{"id":"m{n}","content":"x","usage":{{"input_tokens":1}}}}}}"#
        );
        Reader::line(&mut claude, line.as_bytes(), &mut facts);
        let lines = [
            format!(
                r#"{{"type":"response_item","payload":{{"type":"function_call","name":"t","arguments":"","call_id":"{n}"}}}}"#
            ),
            format!(
                r#"{{"type":"event_msg","payload":{{"type":"exec_command_end","call_id":"{n}","exit_code":1}}}}"#
            ),
        ];
        lines.iter().for_each(|line| Reader::line(&mut codex, line.as_bytes(), &mut facts));
        facts.clear();
    }
    for saved in [serde_json::to_string(&claude).unwrap(), serde_json::to_string(&codex).unwrap()] {
        assert!((10_000..64_000).contains(&saved.len()), "{}", saved.len());
    }
}
