//! What an event is known by, whoever tells of it: a hook and a transcript come to the same words (relay and hooks, B.7). Pure.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::happening::Happening;
use crate::kit::hex::hex;

/// The input of a tool that is longer has no hash, in bytes: the entry keeps no more in memory.
pub const INPUT_MAX: usize = 1 << 20;

/// A value as JSON in one form: keys in the order of their bytes, no blanks, numbers as short as they can be.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(values) => {
            text.push('[');
            for (n, value) in values.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_bytes());
            text.push('{');
            for (n, (name, value)) in fields.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::from(name.as_str()));
                write(value, text);
            }
            text.push('}');
        }
        // What has no parts has one form already.
        _ => {
            let _ = write!(text, "{value}");
        }
    }
}

/// What a tool was given, in hex: SHA-256 over what ours call the tool, a NUL, and the input as [`canonical`] JSON. What is no JSON counts as
/// a text. Empty for an input that is longer than [`INPUT_MAX`].
pub fn input_sha256(tool: &str, input: &str) -> String {
    if input.len() > INPUT_MAX {
        return String::new();
    }
    let value = serde_json::from_str(input).unwrap_or_else(|_| Value::from(input));
    hex(&digest(&[tool.as_bytes(), b"\0", canonical(&value).as_bytes()]))
}

/// What somebody said, in hex: SHA-256 over it without the blanks around it.
pub fn text_sha256(text: &str) -> String {
    hex(&digest(&[text.trim().as_bytes()]))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// The first eight bytes of SHA-256 over parts with a NUL between them, as a column holds it.
pub(super) fn short(parts: &[&str]) -> i64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte)).cast_signed()
}

/// What one session's event is known by, but for which of several alike it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// A call of a tool, by the id that the model gave it.
    Call(String),
    /// What may come again: which of them it is is counted, for each source on its own.
    Nth(String),
}

/// Whether it tells of a call's beginning or end.
pub(super) fn is_of_tool(event: &str) -> bool {
    event == "PreToolUse" || is_end_of_tool(event)
}

pub(super) fn is_end_of_tool(event: &str) -> bool {
    matches!(event, "PostToolUse" | "PostToolUseFailure")
}

/// Whether an event of that name, as ours call it, is known by its payload's digest alone.
pub fn is_known_by_payload(event: &str) -> bool {
    let others =
        ["PermissionRequest", "UserPromptSubmit", "Stop", "SubagentStop", "SessionStart", "SessionEnd"];
    // A compaction is known by its turn, which one program names.
    !is_of_tool(event) && !others.contains(&event)
}

/// What an event is known by. No time: clocks differ, and two calls may begin in one moment.
pub(super) fn base(happening: &Happening) -> Base {
    let h = happening;
    let in_agent = |text: String| if h.agent_id.is_empty() { text } else { format!("{text}:{}", h.agent_id) };
    Base::Nth(match &*h.event {
        event if is_of_tool(event) && !h.tool_use_id.is_empty() => {
            return Base::Call(format!("t:{}", h.tool_use_id));
        }
        event if is_of_tool(event) || event == "PermissionRequest" => {
            format!("h:{}:{}", h.input_sha256, h.turn_id)
        }
        "UserPromptSubmit" | "Stop" | "SubagentStop" | "PreCompact" | "PostCompact"
            if !h.turn_id.is_empty() =>
        {
            in_agent(format!("u:{}", h.turn_id))
        }
        "UserPromptSubmit" => format!("p:{}", h.prompt_sha256),
        "Stop" | "SubagentStop" => in_agent(format!("m:{}", h.message_sha256)),
        // A rollout tells of a fork only.
        "SessionStart" if h.agent == "codex" && matches!(&*h.detail, "startup" | "clear" | "fork") => {
            "s:startup".to_owned()
        }
        "SessionStart" => format!("s:{}", h.detail),
        "SessionEnd" => "e".to_owned(),
        _ => format!("x:{}", h.payload_sha256),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_one_form() {
        let check = |json: &str, expected: &str| {
            assert_eq!(canonical(&serde_json::from_str(json).unwrap()), expected, "{json}");
        };
        check(
            r#" { "b" : [ 1 , 2.50 , -3e2 ] , "a" : { "é" : null , "z" : "x\ty\u00e9" } } "#,
            r#"{"a":{"z":"x\tyé","é":null},"b":[1,2.5,-300.0]}"#,
        );
        check(r#"{"a\"":true,"A":{}}"#, r#"{"A":{},"a\"":true}"#);
        check("[]", "[]");
        check("18446744073709551615", "18446744073709551615");
    }

    #[test]
    fn an_input_has_one_hash_whatever_its_form_and_none_when_it_is_long() {
        let one = input_sha256("Bash", r#"{"b":1,"a":"x"}"#);
        assert_eq!(one, input_sha256("Bash", r#"{ "a": "x", "b": 1 }"#));
        assert_ne!(one, input_sha256("Read", r#"{"b":1,"a":"x"}"#));
        assert_eq!(input_sha256("Bash", "not json"), input_sha256("Bash", r#""not json""#));
        assert_eq!(input_sha256("Bash", &"1".repeat(INPUT_MAX + 1)), "");
        assert_eq!(text_sha256(" a\n"), "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    }

    #[test]
    fn events_are_known_by_what_both_sources_tell() {
        let check = |change: fn(&mut Happening), expected: Base| {
            let mut happening = Happening { agent: "codex".into(), ..Happening::default() };
            change(&mut happening);
            assert_eq!(base(&happening), expected, "{happening:?}");
        };
        let nth = |text: &str| Base::Nth(text.to_owned());
        let call = |h: &mut Happening| (h.event, h.tool_use_id) = ("PreToolUse".into(), "c".into());
        check(call, Base::Call("t:c".into()));
        check(|h| (h.event, h.input_sha256) = ("PostToolUse".into(), "i".into()), nth("h:i:"));
        check(
            |h| {
                (h.event, h.input_sha256, h.turn_id) = ("PermissionRequest".into(), "i".into(), "t".into());
            },
            nth("h:i:t"),
        );
        check(|h| (h.event, h.turn_id) = ("Stop".into(), "t".into()), nth("u:t"));
        check(
            |h| (h.event, h.turn_id, h.agent_id) = ("UserPromptSubmit".into(), "t".into(), "a".into()),
            nth("u:t:a"),
        );
        check(|h| (h.event, h.turn_id) = ("PreCompact".into(), "t".into()), nth("u:t"));
        check(|h| (h.event, h.prompt_sha256) = ("UserPromptSubmit".into(), "s".into()), nth("p:s"));
        check(|h| (h.event, h.message_sha256) = ("Stop".into(), "s".into()), nth("m:s"));
        check(|h| (h.event, h.detail) = ("SessionStart".into(), "fork".into()), nth("s:startup"));
        check(|h| (h.event, h.detail) = ("SessionStart".into(), "resume".into()), nth("s:resume"));
        check(
            |h| {
                h.agent = "claude-code".into();
                (h.event, h.detail) = ("SessionStart".into(), "clear".into());
            },
            nth("s:clear"),
        );
        check(|h| h.event = "SessionEnd".into(), nth("e"));
        check(|h| (h.event, h.payload_sha256) = ("Notification".into(), "s".into()), nth("x:s"));
        for event in
            ["PreToolUse", "PostToolUseFailure", "PermissionRequest", "UserPromptSubmit", "Stop", "Xyz"]
                .into_iter()
                .chain([
                    "SubagentStop",
                    "SessionStart",
                    "SessionEnd",
                    "PreCompact",
                    "Interrupt",
                    "Notification",
                ])
        {
            let happening =
                Happening { event: event.into(), payload_sha256: "s".into(), ..Happening::default() };
            assert_eq!(base(&happening) == nth("x:s"), is_known_by_payload(event), "{event}");
        }
    }
}
