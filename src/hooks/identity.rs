//! What an event is known by, whoever tells of it: a hook and a transcript come to the same words (relay and hooks, B.7). Pure.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

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
    hex(&[tool.as_bytes(), b"\0", canonical(&value).as_bytes()])
}

/// What somebody said, in hex: SHA-256 over it without the blanks around it.
pub fn text_sha256(text: &str) -> String {
    hex(&[text.trim().as_bytes()])
}

fn hex(parts: &[&[u8]]) -> String {
    digest(parts).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
