//! Records as logs of OpenTelemetry, against the rules of its JSON (protobuf's mapping, with OTLP's own exceptions), and against its messages
//! as Python reads them, in the directory that `OX_TEST_RELAY` names; `.ci/run` installs them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ox::relay::frame::Shape;
use ox::relay::otlp::{Taken, taken};
use ox::relay::record::Fact;
use serde_json::{Map, Value};

use super::facts::*;

/// Where the Python packages are.
const TOOLS: &str = "OX_TEST_RELAY";

/// The keys that a message may have (opentelemetry/proto, 1.5 and later), and what stands behind each.
type Fields = &'static [(&'static str, Is)];

#[derive(Clone, Copy)]
enum Is {
    Text,
    /// A number of 64 bits without a sign: a text.
    Long,
    /// A number of 32 bits.
    Int,
    One(Fields),
    Many(Fields),
    Any,
    Attributes,
}

const REQUEST: Fields = &[("resourceLogs", Is::Many(RESOURCE_LOGS))];
const RESOURCE_LOGS: Fields =
    &[("resource", Is::One(RESOURCE)), ("scopeLogs", Is::Many(SCOPE_LOGS)), ("schemaUrl", Is::Text)];
const RESOURCE: Fields = &[("attributes", Is::Attributes), ("droppedAttributesCount", Is::Int)];
const SCOPE_LOGS: Fields =
    &[("scope", Is::One(SCOPE)), ("logRecords", Is::Many(LOG)), ("schemaUrl", Is::Text)];
const SCOPE: Fields = &[("name", Is::Text), ("version", Is::Text), ("attributes", Is::Attributes)];
const LOG: Fields = &[
    ("timeUnixNano", Is::Long),
    ("observedTimeUnixNano", Is::Long),
    ("severityNumber", Is::Int),
    ("severityText", Is::Text),
    ("body", Is::Any),
    ("attributes", Is::Attributes),
    ("droppedAttributesCount", Is::Int),
    ("flags", Is::Int),
    ("eventName", Is::Text),
];

fn check(value: &Value, is: Is, at: &str) {
    match is {
        Is::Text => assert!(value.is_string(), "{at}: {value}"),
        Is::Long => assert!(value.as_str().is_some_and(|text| text.parse::<u64>().is_ok()), "{at}: {value}"),
        Is::Int => assert!(value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()), "{at}: {value}"),
        Is::One(fields) => message(value, fields, at),
        Is::Many(fields) => {
            for (n, one) in value.as_array().unwrap_or_else(|| panic!("{at}: {value}")).iter().enumerate() {
                message(one, fields, &format!("{at}[{n}]"));
            }
        }
        Is::Any => {
            let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
            let (kind, value) = object.iter().next().filter(|_| object.len() == 1).unwrap();
            match kind.as_str() {
                "stringValue" => assert!(value.is_string(), "{at}: {value}"),
                "boolValue" => assert!(value.is_boolean(), "{at}: {value}"),
                "intValue" => {
                    assert!(value.as_str().is_some_and(|text| text.parse::<i64>().is_ok()), "{at}: {value}");
                }
                "doubleValue" => assert!(value.is_number(), "{at}: {value}"),
                _ => panic!("{at}: {kind} is no kind of value that is used"),
            }
        }
        Is::Attributes => {
            let mut names = Vec::new();
            for one in value.as_array().unwrap() {
                let keys: Vec<_> = one.as_object().unwrap().keys().collect();
                assert_eq!(keys, ["key", "value"], "{at}");
                let name = one["key"].as_str().unwrap();
                assert!(!name.is_empty() && !names.contains(&name), "{at}: {name} stands there twice");
                names.push(name);
                check(&one["value"], Is::Any, &format!("{at}.{name}"));
            }
        }
    }
}

fn message(value: &Value, fields: Fields, at: &str) {
    for (key, value) in value.as_object().unwrap_or_else(|| panic!("{at}: {value}")) {
        let Some((_, is)) = fields.iter().find(|(name, _)| name == key) else { panic!("{at}: no {key}") };
        check(value, *is, &format!("{at}.{key}"));
    }
}

/// Records of all kinds, and the body that they come to.
fn some() -> (Vec<Vec<u8>>, Vec<u8>) {
    let recorder = recorder();
    let odd = Fact { event: "PostToolUseFailure".into(), tool: "ü\"\\\u{1}".into(), at_ms: -5, ..fact(3) };
    let bare =
        Fact { agent: "gemini".into(), event: "Stop".into(), at_ms: i64::MAX / 2_000_000, ..Fact::default() };
    let mut records: Vec<_> = [fact(1), odd, bare].iter().map(|fact| recorder.line(fact).unwrap()).collect();
    records.push(recorder.overflow("account", 7, 9, 1_796_000_000_000));
    let raw: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let body = Shape::Otlp.encode(&raw);
    (records, body)
}

#[test]
fn the_body_keeps_the_rules_of_the_json_of_otlp() {
    let (records, body) = some();
    let body: Value = serde_json::from_slice(&body).unwrap();
    message(&body, REQUEST, "");
    let logs = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(logs.len(), records.len());
    // None is no batch, and still a request.
    message(&serde_json::from_slice(&Shape::Otlp.encode(&[])).unwrap(), REQUEST, "");
}

/// Reads a request from standard input, tells what is in it, and then a partial success.
const READ: &str = r#"
import sys, json
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
request = json_format.Parse(sys.stdin.read(), logs.ExportLogsServiceRequest())
again = logs.ExportLogsServiceRequest.FromString(request.SerializeToString())
value = lambda v: getattr(v, v.WhichOneof("value"))
for record in again.resource_logs[0].scope_logs[0].log_records:
    attributes = {a.key: value(a.value) for a in record.attributes}
    print(json.dumps([record.time_unix_nano, record.severity_number, record.event_name, attributes]))
answer = logs.ExportLogsServiceResponse()
answer.partial_success.rejected_log_records = 2
answer.partial_success.error_message = "too old"
print(json.dumps(json_format.MessageToDict(answer)))
"#;

#[test]
fn the_messages_of_opentelemetry_read_it() {
    let Some(tools) = std::env::var_os(TOOLS).map(PathBuf::from) else {
        println!("skipped: {TOOLS} names no directory with the messages of OpenTelemetry");
        return;
    };
    let python = tools.join("python");
    if !python.exists() {
        println!("skipped: there is no python in {}", tools.display());
        return;
    }
    let (records, body) = some();
    let mut child = Command::new("python3")
        .args(["-c", READ])
        .env("PYTHONPATH", python)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let lines: Vec<&str> = std::str::from_utf8(&out.stdout).unwrap().lines().collect();
    assert_eq!(lines.len(), records.len() + 1);
    for (line, record) in lines.iter().zip(&records) {
        let log: Value = serde_json::from_str(line).unwrap();
        let record: Map<String, Value> = serde_json::from_slice(record).unwrap();
        let time = record["timestamp"].as_i64().unwrap().max(0) * 1_000_000;
        assert_eq!(
            (&log[0], log[2].as_str()),
            (&time.into(), Some(&*format!("ox.{}", record["event_type"].as_str().unwrap())))
        );
        assert_eq!(log[3]["ox.event.id"], record["client_event_id"]);
        for (name, key) in [("gen_ai.tool.name", "tool_name"), ("gen_ai.conversation.id", "session_id")] {
            assert_eq!(log[3].get(name).unwrap_or(&Value::Null), &record[key], "{name}");
        }
    }
    let answer = taken(lines[records.len()].as_bytes());
    assert_eq!(answer, Taken { rejected: 2, message: "too old".into() });
}
