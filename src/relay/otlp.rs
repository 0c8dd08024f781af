//! Records as logs of OpenTelemetry: the body of OTLP/HTTP in JSON, and what a collector answers. Pure.
//!
//! Names begin with `gen_ai.` where the semantic conventions for generative AI have one (their names of 2026, all of them still in
//! development), with `ox.` elsewhere. Numbers of 64 bits are texts, as protobuf's JSON has them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What is put behind the address of a collector that names no path.
pub const PATH: &str = "/v1/logs";
/// INFO (logs data model).
const INFO: u8 = 9;
/// WARN, for events that failed.
const WARN: u8 = 13;

/// Keys of records and what they are called as attributes, in this order.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("session_id", "gen_ai.conversation.id"),
    ("integration", "gen_ai.agent.name"),
    ("model", "gen_ai.request.model"),
    ("tool_name", "gen_ai.tool.name"),
    ("tool_use_id", "gen_ai.tool.call.id"),
    ("client_event_id", "ox.event.id"),
    ("hook_event_name", "ox.event.raw_name"),
    ("source", "ox.event.source"),
    ("decision", "ox.decision"),
    ("reason", "ox.reason"),
    ("duration_ms", "ox.hook.duration_ms"),
    ("permission_mode", "ox.permission_mode"),
    ("turn_id", "ox.turn.id"),
    ("repo_id", "ox.repo.id"),
    ("cwd_hash", "ox.cwd.hash"),
    ("dropped", "ox.dropped"),
    ("schema_version", "ox.schema_version"),
];

/// Who makes the models of an agent program, as `gen_ai.provider.name` has it.
const PROVIDERS: &[(&str, &str)] = &[("claude", "anthropic"), ("codex", "openai"), ("gemini", "gcp.gemini")];

/// The body of a request with these records; what is no record is left out.
pub fn body(records: &[&[u8]]) -> Vec<u8> {
    let records: Vec<Map<String, Value>> =
        records.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let install = records.iter().find_map(|record| record.get("install_id").filter(|id| id.is_string()));
    let mut resource = vec![
        attribute("service.name", &json!("ox")),
        attribute("service.version", &json!(env!("CARGO_PKG_VERSION"))),
    ];
    resource.extend(install.map(|id| attribute("service.instance.id", id)));
    let logs: Vec<Value> = records.iter().map(log_record).collect();
    let body = json!({ "resourceLogs": [{
        "resource": { "attributes": resource },
        "scopeLogs": [{
            "scope": { "name": "ox.relay", "version": env!("CARGO_PKG_VERSION") },
            "logRecords": logs,
        }],
    }]});
    body.to_string().into_bytes()
}

fn log_record(record: &Map<String, Value>) -> Value {
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let event = text("event_type");
    let nanos =
        i128::from(record.get("timestamp").and_then(Value::as_i64).unwrap_or_default().max(0)) * 1_000_000;
    let is_failed = event.ends_with("Failure") || event.ends_with("_failure");
    let (severity, word) = if is_failed { (WARN, "WARN") } else { (INFO, "INFO") };
    let known = ATTRIBUTES.iter().filter_map(|(key, name)| {
        let value = record.get(*key).filter(|value| !value.is_null())?;
        Some(attribute(name, value))
    });
    let provider = PROVIDERS.iter().find(|(agent, _)| *agent == text("integration"));
    let provider = provider.map(|(_, name)| attribute("gen_ai.provider.name", &json!(name)));
    let operation = if text("tool_name").is_empty() { "invoke_agent" } else { "execute_tool" };
    let operation = attribute("gen_ai.operation.name", &json!(operation));
    let attributes: Vec<Value> = [operation].into_iter().chain(provider).chain(known).collect();
    json!({
        "timeUnixNano": nanos.to_string(),
        "observedTimeUnixNano": nanos.to_string(),
        "severityNumber": severity,
        "severityText": word,
        "eventName": format!("ox.{event}"),
        "body": { "stringValue": event },
        "attributes": attributes,
    })
}

fn attribute(name: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(is) => json!({ "boolValue": is }),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            json!({ "intValue": number.to_string() })
        }
        Value::Number(number) => json!({ "doubleValue": number }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    };
    json!({ "key": name, "value": value })
}

/// What a collector says of a request that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// So many records it did not take, and never will.
    pub rejected: u64,
    /// Why, or a warning.
    pub message: String,
}

/// Reads the answer to a request that succeeded. What cannot be read means that all was taken: the status has said so.
pub fn taken(answer: &[u8]) -> Taken {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Partial {
        rejected_log_records: Value,
        error_message: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Answer {
        partial_success: Option<Partial>,
    }
    let answer: Answer = serde_json::from_slice(answer).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    // A text, by protobuf's rules; a number by some collectors.
    let rejected = match &partial.rejected_log_records {
        Value::String(text) => text.parse().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    };
    Taken { rejected, message: partial.error_message }
}

/// Whether a status means that the same request may succeed later (OTLP/HTTP, retryable response codes).
pub fn is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(extra: &Value) -> Vec<u8> {
        let mut record = json!({
            "client_event_id": "0190", "timestamp": 1_780_000_000_123_i64, "event_type": "PreToolUse",
            "tool_name": "Bash", "policy_name": null, "policy_names": [], "decision": "allow", "reason": null,
            "duration_ms": 3, "session_id": "s1", "cwd_hash": null, "permission_mode": "default",
            "hook_event_name": "PreToolUse", "schema_version": 2, "integration": "claude", "source": "hook",
            "tool_use_id": "toolu_1", "turn_id": null, "model": "opus", "repo_id": "repo_1", "install_id": "i1",
        });
        for (key, value) in extra.as_object().unwrap() {
            record[key] = value.clone();
        }
        record.to_string().into_bytes()
    }

    fn logs(records: &[&[u8]]) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&body(records)).unwrap();
        body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone()
    }

    fn attributes(log: &Value) -> Vec<(String, Value)> {
        let of = |one: &Value| (one["key"].as_str().unwrap().to_owned(), one["value"].clone());
        log["attributes"].as_array().unwrap().iter().map(of).collect()
    }

    #[test]
    fn a_record_becomes_a_log_with_the_conventions_names_and_no_empty_attribute() {
        let line = record(&json!({}));
        let body: Value = serde_json::from_slice(&body(&[&line])).unwrap();
        let resource = &body["resourceLogs"][0]["resource"]["attributes"];
        assert_eq!(resource[0], json!({ "key": "service.name", "value": { "stringValue": "ox" } }));
        assert_eq!(resource[2], json!({ "key": "service.instance.id", "value": { "stringValue": "i1" } }));
        let log = &logs(&[&line])[0];
        assert_eq!(log["timeUnixNano"], "1780000000123000000");
        assert_eq!((&log["severityNumber"], &log["eventName"]), (&json!(9), &json!("ox.PreToolUse")));
        assert_eq!(log["body"], json!({ "stringValue": "PreToolUse" }));
        let all = attributes(log);
        let get = |name: &str| all.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        for (name, text) in [
            ("gen_ai.operation.name", "execute_tool"),
            ("gen_ai.provider.name", "anthropic"),
            ("gen_ai.conversation.id", "s1"),
            ("gen_ai.agent.name", "claude"),
            ("gen_ai.request.model", "opus"),
            ("gen_ai.tool.name", "Bash"),
            ("gen_ai.tool.call.id", "toolu_1"),
            ("ox.event.id", "0190"),
            ("ox.repo.id", "repo_1"),
        ] {
            assert_eq!(get(name), Some(json!({ "stringValue": text })), "{name}");
        }
        assert_eq!(get("ox.hook.duration_ms"), Some(json!({ "intValue": "3" })));
        assert_eq!((get("ox.reason"), get("ox.turn.id"), get("ox.dropped")), (None, None, None));
        let names: Vec<&String> = all.iter().map(|(name, _)| name).collect();
        assert!(names.iter().enumerate().all(|(n, name)| !names[..n].contains(name)), "each once: {names:?}");
    }

    #[test]
    fn what_failed_is_a_warning_and_what_is_no_record_is_left_out() {
        let failed = record(&json!({ "event_type": "PostToolUseFailure" }));
        let prompt = record(
            &json!({ "event_type": "UserPromptSubmit", "tool_name": null, "integration": "opencode" }),
        );
        let all = logs(&[&failed, b"not json", b"[]", &prompt]);
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0]["severityNumber"], &all[0]["severityText"]), (&json!(13), &json!("WARN")));
        let names: Vec<String> = attributes(&all[1]).into_iter().map(|(name, _)| name).collect();
        assert!(!names.contains(&"gen_ai.provider.name".to_owned()), "{names:?}");
        assert_eq!(attributes(&all[1])[0].1, json!({ "stringValue": "invoke_agent" }));
    }

    #[test]
    fn a_collectors_answer_says_what_it_did_not_take() {
        let of = |text: &str| taken(text.as_bytes());
        assert_eq!(of("{}"), Taken::default());
        assert_eq!(of(""), Taken::default());
        assert_eq!(of("<html>"), Taken::default());
        assert_eq!(of(r#"{"partialSuccess":{}}"#), Taken::default());
        let three = Taken { rejected: 3, message: "too old".into() };
        assert_eq!(of(r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#), three);
        assert_eq!(of(r#"{"partialSuccess":{"rejectedLogRecords":3,"errorMessage":"too old"}}"#), three);
        assert!(is_retryable(429) && is_retryable(503) && !is_retryable(400) && !is_retryable(500));
    }
}
