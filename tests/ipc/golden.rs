//! Frames recorded between the Go client and the Go daemon: read and written again they are the same bytes, and a
//! replay of the client's side gets answers of the same shape.

use std::collections::BTreeMap;
use std::io::Write;

use ox::health::errors::StoredError;
use ox::ipc::wire::{
    AgentRef, Checkout, Doctor, Envelope, Friction, Heartbeat, Instances, Kind, Line, MarkErrors, Message,
    Progress, Response, Sessions, StatusData, SyncEvent, Telemetry, TriggerGc, decode, parse_line,
    parse_request,
};
use ox::ipc::{Request, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::peers::{HANG, read_all, server};

const RECORDED: &str = include_str!("../data/ipc-go-0.3.0.jsonl");

struct Talk {
    message: Message,
    request: String,
    answers: Vec<String>,
}

fn talks() -> Vec<Talk> {
    let mut talks: BTreeMap<u64, Talk> = BTreeMap::new();
    for line in RECORDED.lines() {
        let frame: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = frame["line"].as_str().unwrap().to_owned();
        let conn = frame["conn"].as_u64().unwrap();
        if frame["from"] == "client" {
            let message = Message::from_name(&parse_request(text.as_bytes()).unwrap().kind).unwrap();
            talks.insert(conn, Talk { message, request: text, answers: Vec::new() });
        } else {
            talks.get_mut(&conn).unwrap().answers.push(text);
        }
    }
    talks.into_values().collect()
}

/// Reads `json` as `T` and writes it again, without the always-written keys that 0.6 has and 0.3 had not.
fn again<T: DeserializeOwned + Default + Serialize>(json: &str, newer: &[&str]) -> String {
    let value: T = decode(Some(json.as_bytes())).unwrap();
    let mut json = serde_json::to_string(&value).unwrap();
    for key in newer {
        assert!(json.contains(key), "{json}");
        json = json.replace(key, "");
    }
    json
}

fn data(message: Message, json: &str) -> String {
    match message {
        Message::Status => again::<StatusData>(json, &[]),
        Message::SyncHistory => again::<Vec<SyncEvent>>(json, &[]),
        Message::GetErrors => again::<Vec<StoredError>>(json, &[]),
        Message::Sessions => again::<Sessions>(json, &[]),
        Message::Instances if json.contains("agent_id") => {
            again::<Instances>(json, &[",\"last_whisper\":\"0001-01-01T00:00:00Z\""])
        }
        Message::Instances => again::<Instances>(json, &[]),
        Message::Doctor => {
            again::<Doctor>(json, &[",\"session_finalize_triggered\":false,\"session_finalize_queued\":0"])
        }
        Message::TriggerGc => again::<TriggerGc>(json, &[]),
        Message::Ping => again::<String>(json, &[]),
        other => panic!("no data was recorded for {}", other.name()),
    }
}

fn payload(message: Message, json: &str) -> String {
    match message {
        Message::MarkErrors => again::<MarkErrors>(json, &[]),
        Message::Checkout => again::<Checkout>(json, &[]),
        Message::Heartbeat => again::<Heartbeat>(json, &[]),
        Message::Telemetry => again::<Telemetry>(json, &[]),
        Message::Friction => again::<Friction>(json, &[]),
        other => panic!("no payload was recorded for {}", other.name()),
    }
}

#[test]
fn ipc_golden_every_recorded_frame_is_written_again_byte_for_byte() {
    for talk in talks() {
        let request = parse_request(talk.request.as_bytes()).unwrap();
        let written = request.payload.map(|p| RawValue::from_string(payload(talk.message, p.get())).unwrap());
        let envelope = Envelope {
            kind: &request.kind,
            workspace_id: &request.workspace_id,
            caller_id: &request.caller_id,
            payload: written.as_deref(),
        };
        assert_eq!(serde_json::to_string(&envelope).unwrap(), talk.request);

        for answer in &talk.answers {
            let mut line = Vec::new();
            match parse_line(answer.as_bytes()).unwrap() {
                Line::Progress(progress) => progress.write_line(&mut line),
                Line::Final(mut response) => {
                    response.data =
                        response.data.map(|d| RawValue::from_string(data(talk.message, d.get())).unwrap());
                    response.write_line(&mut line);
                }
            }
            assert_eq!(String::from_utf8(line).unwrap(), format!("{answer}\n"));
        }
    }
}

#[test]
fn ipc_golden_types_that_were_not_recorded_keep_the_documented_form() {
    fn check<T: DeserializeOwned + Default + Serialize>(json: &str) {
        assert_eq!(again::<T>(json, &[]), json);
    }
    use ox::ipc::wire as w;
    check::<SyncEvent>(
        r#"{"time":"2026-03-01T10:00:00.5Z","type":"pull","workspace_id":"ledger","duration":11500000,"files_changed":0}"#,
    );
    check::<w::CheckoutResult>(r#"{"path":"/x/t","already_exists":false,"cloned":true}"#);
    check::<StoredError>(
        r#"{"id":"1","message":"m","code":"sync_failed","timestamp":"0001-01-01T00:00:00Z","viewed":false,"severity":"error"}"#,
    );
    check::<w::AgentSession>(
        r#"{"agent_id":"Oxa7b3","workspace_path":"/p","last_heartbeat":"2026-03-01T10:00:00Z","heartbeat_count":1,"status":"idle"}"#,
    );
    check::<w::CodeIndex>(r#"{"url":"u","full":true}"#);
    check::<w::CodeIndex>("{}");
    check::<w::CodeIndexResult>(
        r#"{"blobs_parsed":1,"symbols_extracted":2,"comments_extracted":3,"index_duration_ms":4,"symbol_duration_ms":5,"comment_duration_ms":6,"total_duration_ms":15}"#,
    );
    check::<w::WhispersAsk>(r#"{"agent_id":"Oxa7b3","attention":"focused","topics":["t"]}"#);
    check::<w::Whispers>(r#"{"entries":[]}"#);
    check::<w::WhisperEntry>(
        r#"{"id":"i","scope":"team","type":"trigger","source":"s","topic":"t","content":"c","importance":"normal","created_at":"2026-03-01T10:00:00Z","agent_id":"a","principal_id":"p","principal_type":"human","team_id":"team_a","metadata":{"a":"b","k":"v"}}"#,
    );
    check::<w::WhisperHistoryAsk>(r#"{"agent_id":"a","before":"0001-01-01T00:00:00Z","limit":20}"#);
    check::<w::WhisperHistory>(
        r#"{"entries":[],"cursor":"0001-01-01T00:00:00Z","has_cursor":false,"next_cursor":"0001-01-01T00:00:00Z"}"#,
    );
    check::<w::SessionFinalize>(
        r#"{"session_name":"s","ledger_path":"/l","cache_path":"/c","project_root":"/p"}"#,
    );
    check::<w::SessionWatchStart>(r#"{"session_name":"s","session_file":"/f","adapter_name":"codex"}"#);
    check::<w::SessionWatchStop>(r#"{"session_name":"s"}"#);
    check::<w::Murmur>(r#"{"target_dir":"/d","content":"c","rel_path":"r","murmur_json":"e30="}"#);
    check::<AgentRef>(r#"{"agent_id":"Oxa7b3"}"#);
    check::<w::CodeDbStats>(
        r#"{"commits":1,"blobs":2,"symbols":3,"comments":4,"prs":5,"issues":6,"repos":[{"name":"n","path":"/p","commits":1,"blobs":2}],"last_indexed":"0001-01-01T00:00:00Z","indexing_now":false,"data_dir":"/d","index_exists":true,"ledger_exists":true,"ledger_commits":7,"ledger_indexing_now":false}"#,
    );
    check::<w::AgentWorkStatus>(
        r#"{"enabled":true,"agent_type":"claude","agent_available":true,"queue_depth":0,"active":[{"pid":1,"work_type":"w","target":"t","started_at":"2026-03-01T10:00:00Z","status":"failed","duration":5,"error":"e","exit_code":2}],"stats":{"total_invocations":1,"successes":0,"failures":1}}"#,
    );
    check::<StatusData>(
        r#"{"running":true,"pid":1,"version":"0.6.1","uptime":1,"ledger_path":"","last_sync":"0001-01-01T00:00:00Z","sync_interval_read":60000000000,"recent_error_count":1,"last_error":"e","last_error_time":"2026-03-01T10:00:00Z","total_syncs":2,"syncs_last_hour":1,"avg_sync_time":7,"team_contexts":[{"team_id":"t","team_name":"n","path":"/p","last_sync":"0001-01-01T00:00:00Z","exists":true}],"authenticated_user":{"email":"u@example.com"},"needs_help":true,"issues":[{"type":"diverged","severity":"error","repo":"ledger","summary":"s","since":"2026-03-01T10:00:00Z","requires_confirm":true}],"unviewed_error_count":3,"startup_duration_ms":4,"callers":[{"id":"bb97ae4c","path":"/p","last_seen":"2026-03-01T10:00:00Z"}]}"#,
    );
}

#[test]
fn ipc_golden_a_replay_of_the_recorded_client_gets_the_recorded_shapes() {
    let server = server();
    let handle = server.handle.clone();
    let inbox = server.inbox.clone();
    let core = std::thread::spawn(move || {
        while let Ok(inbound) = inbox.recv() {
            if inbound.request == Request::Sync {
                handle.progress(inbound.conn, Progress::new("skipped", "Remote unchanged, skipping pull"));
            }
            handle.reply(inbound.conn, Response::ok());
        }
    });
    for talk in talks() {
        if talk.message == Message::Status {
            let Line::Final(recorded) = parse_line(talk.answers[0].as_bytes()).unwrap() else {
                panic!("final")
            };
            let status = decode::<StatusData>(recorded.data.as_ref().map(|d| d.get().as_bytes())).unwrap();
            server.published.publish(Snapshot::new(status, Vec::new()));
        }
        let mut peer = server.peer();
        peer.write_all(format!("{}\n", talk.request).as_bytes()).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let got = read_all(&peer);
        let served = [Message::Ping, Message::Status, Message::Sync, Message::SyncHistory, Message::Stop];
        let expected = match talk.message {
            m if served.contains(&m) => talk.answers.iter().map(|a| format!("{a}\n")).collect::<String>(),
            m if m.kind() == Kind::OneWay => String::new(),
            _ => "{\"success\":false,\"error\":\"unknown message type\"}\n".to_owned(),
        };
        assert_eq!(without_running_numbers(&got), without_running_numbers(&expected), "{}", talk.request);
    }
    server.client().ping(HANG).unwrap();
    drop(server);
    core.join().unwrap();
}

/// Cuts out the digits of the two numbers that differ each time.
fn without_running_numbers(line: &str) -> String {
    let mut line = line.to_owned();
    for key in ["\"uptime\":", "\"time_since_activity\":"] {
        if let Some(at) = line.find(key).map(|at| at + key.len()) {
            let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
            line.replace_range(at..at + digits, "");
        }
    }
    line
}
