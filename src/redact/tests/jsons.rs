//! JSON values.

use serde_json::json;

use super::*;

fn check(value: Value, expected: Value) {
    let mut out = value.clone();
    REDACTOR.redact_json(&mut out);
    assert_eq!(out, expected, "{value}");
    assert!(REDACTOR.redact_json(&mut out).is_empty(), "again: {value}");
}

fn key() -> String {
    ["AK", "IA", "ABCDEFGHIJKLMNOP"].concat()
}

#[test]
fn names_and_values_are_read_together() {
    check(json!({"password": "correct horse"}), json!({"password": "[REDACTED_PASSWORD]"}));
    check(json!({"password": "say \"friend\"\n"}), json!({"password": "[REDACTED_PASSWORD]"}));
    check(
        json!({"password": "short", "user": "correct horse"}),
        json!({"password": "short", "user": "correct horse"}),
    );
    check(
        json!([{"name": "DB_PASSWORD", "value": "correct horse"}, {"name": "x", "value": "correct horse"}]),
        json!([{"name": "DB_PASSWORD", "value": "[REDACTED_PASSWORD]"}, {"name": "x", "value": "correct horse"}]),
    );
    check(json!({"password": 12_345_678, "secret": null}), json!({"password": 12_345_678, "secret": null}));
    let token = ["Bearer", &"x1".repeat(15)].join(" ");
    check(
        json!({"headers": {"Authorization": token}}),
        json!({"headers": {"Authorization": "[REDACTED_BEARER_TOKEN]"}}),
    );
}

#[test]
fn escapes_hide_nothing() {
    let script = "cat <<X\npassword=\"hunter2hunter2\"\nX";
    let input = json!({ "command": script }).to_string();
    let expected = json!({"command": "cat <<X\n[REDACTED_PASSWORD]\nX"}).to_string();
    check(json!({ "tool_input": input }), json!({ "tool_input": expected }));
    let twice = Value::from(input).to_string();
    check(json!([twice]), json!([Value::from(expected).to_string()]));
    let hidden = ["{\"k\":\"\\u0041K", "IA", "ABCDEFGHIJKLMNOP\"}"].concat();
    check(json!(hidden), json!("{\"k\":\"[REDACTED_AWS_KEY]\"}"));
}

#[test]
fn text_without_secrets_is_not_written_anew() {
    let text = "{ \"a\" : 1.50,\n \"a\": 2 }";
    check(json!({ "t": text }), json!({ "t": text }));
}

#[test]
fn keys_that_are_secrets_go_and_no_field_is_lost() {
    let (a, b) = (key(), key().replace('P', "Q"));
    check(
        json!({ &a: 1, &b: 2, "c": 3 }),
        json!({"[REDACTED_AWS_KEY]": 1, "[REDACTED_AWS_KEY]#2": 2, "c": 3}),
    );
}

#[test]
fn deep_nesting_is_read_as_text() {
    let mut text = json!({ "k": key() }).to_string();
    for _ in 0..limits::JSON_DEPTH + 3 {
        text = json!([text]).to_string();
    }
    let mut value = Value::from(text);
    assert_eq!(REDACTOR.redact_json(&mut value).total(), 1);
    assert!(!value.to_string().contains("ABCDEFGH"));
}

#[test]
fn sealed_text_has_been_redacted() {
    let sealed = REDACTOR.seal(&key());
    assert_eq!((sealed.as_str(), sealed.to_string().as_str()), ("[REDACTED_AWS_KEY]", "[REDACTED_AWS_KEY]"));
    assert_eq!(serde_json::to_string(&sealed).unwrap(), "\"[REDACTED_AWS_KEY]\"");
    let line = REDACTOR.seal_json(json!({"content": key(), "n": 1}));
    assert_eq!(line.into_string(), "{\"content\":\"[REDACTED_AWS_KEY]\",\"n\":1}");
}

#[test]
fn a_line_of_json_stays_one_also_where_its_quotes_are_encoded() {
    for inner in [
        r"password%3D%22correct horse",
        r"password=\u0022correct horse",
        r"password%3D'correct horse%27",
        r"password=\u0022hunter22\u0022",
    ] {
        let line = format!("{{\"k\":\"{inner}\",\"x\":1}}");
        let out = redact(&line);
        let read: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line} -> {out}: {e}"));
        assert_eq!(read["x"], 1, "{out}");
        assert!(!out.contains("horse") && !out.contains("hunter22"), "{out}");
    }
}
