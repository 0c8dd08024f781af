//! JSON values: rules see the text a string stands for, and a value together with its name.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::continued::redact_continued;
use super::limits::PASSES_MAX;
use super::scan::{Put, State};
use super::{Findings, Redactor};

/// Redacts every string of `value`. Strings that hold JSON are opened `depth` levels deep.
pub(super) fn redact(redactor: &Redactor, value: &mut Value, found: &mut Findings, depth: usize) {
    match value {
        Value::String(text) => redact_string(redactor, text, found, depth),
        Value::Array(items) => items.iter_mut().for_each(|item| redact(redactor, item, found, depth)),
        Value::Object(fields) => redact_object(redactor, fields, found, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Redacts a text as a string of a value.
pub(super) fn redact_string(redactor: &Redactor, text: &mut String, found: &mut Findings, depth: usize) {
    if depth > 0
        && text.trim_start().starts_with(['{', '[', '"'])
        && let Ok(mut inner) = serde_json::from_str::<Value>(text)
    {
        let mut within = Findings::default();
        redact(redactor, &mut inner, &mut within, depth - 1);
        if !within.is_empty() {
            *text = inner.to_string();
            found.merge(&within);
        }
    }
    // What one takes may part the text for the other; a second run would find what this one leaves.
    for _ in 0..PASSES_MAX {
        let goes_on = redact_continued(redactor, text, found);
        // Also what was JSON: a name that was given twice is in the text, but not in the value.
        match redactor.redact_counting(text, found) {
            Cow::Owned(clean) => *text = clean,
            Cow::Borrowed(_) => break,
        }
        if !goes_on {
            break;
        }
    }
}

fn redact_object(redactor: &Redactor, fields: &mut Map<String, Value>, found: &mut Findings, depth: usize) {
    for (name, value) in fields.iter_mut() {
        redact(redactor, value, found, depth);
        redact_named(redactor, name, value, found);
    }
    // As lists of headers and of environment variables are written.
    if let Some(Value::String(name)) = fields.get("name").cloned()
        && let Some(value) = fields.get_mut("value")
    {
        redact_named(redactor, &name, value, found);
    }
    if fields.keys().any(|name| matches!(redactor.redact(name), Cow::Owned(_))) {
        let old = std::mem::take(fields);
        for (name, value) in old {
            let clean = redactor.redact_counting(&name, found).into_owned();
            fields.insert(free_name(fields, clean), value);
        }
    }
}

/// Replaces `value` if it is a text that its `name` makes a secret.
fn redact_named(redactor: &Redactor, name: &str, value: &mut Value, found: &mut Findings) {
    if let Value::String(text) = value
        && let Some(rule) = named_by(redactor, name, text)
    {
        let rule = &redactor.rules[usize::from(rule)];
        *text = rule.token().to_owned();
        found.add(rule.name());
    }
}

/// The rule that takes `text` for a secret because of its `name`, as it does where both stand in one line.
fn named_by(redactor: &Redactor, name: &str, text: &str) -> Option<u16> {
    if text.is_empty() || !redactor.anchors.is_name(name) {
        return None;
    }
    let head = format!("{}:", Value::from(name));
    let line = format!("{head}{}", Value::from(text));
    let mut spans = Vec::new();
    redactor.scan(&mut State::default(), line.as_bytes(), true, &mut spans);
    spans.iter().find(|span| span.end > head.len()).and_then(|span| match span.put {
        Put::Token(rule) => Some(rule),
        _ => None,
    })
}

/// `name`, or with a number if another field has it: two secret names may have the same token.
fn free_name(fields: &Map<String, Value>, name: String) -> String {
    if !fields.contains_key(&name) {
        return name;
    }
    let numbered = (2u64..).map(|n| format!("{name}#{n}"));
    numbered.into_iter().find(|other| !fields.contains_key(other)).unwrap_or(name)
}
