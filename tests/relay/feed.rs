//! What is told of an event, and which events are told of.

use std::fs;

use ox::kit::hex::hex;
use ox::project::CwdHash;
use ox::relay::record::{Cwd, Fact, RECORD_MAX, Recorder, Refused, Source, Told};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::facts::*;

fn parsed(recorder: &Recorder, fact: &Fact) -> Value {
    serde_json::from_slice(&recorder.line(fact).unwrap()).unwrap()
}

#[test]
fn a_record_has_all_keys_in_one_order_and_null_where_nothing_is_known() {
    let full = String::from_utf8(recorder().line(&fact(4)).unwrap()).unwrap();
    let id = ox::relay::record::event_id("install-1", "codex", "session-0", "PreToolUse", "t:call_4");
    let expected = format!(
        "{{\"client_event_id\":\"{id}\",\"timestamp\":1796000000004,\"event_type\":\"PreToolUse\",\"tool_name\":\"Bash\",\
         \"policy_name\":null,\"policy_names\":[],\"decision\":\"allow\",\"reason\":null,\"duration_ms\":0,\
         \"session_id\":\"session-0\",\"cwd_hash\":\"{}\",\"permission_mode\":\"default\",\"hook_event_name\":\"PreToolUse\",\
         \"schema_version\":2,\"integration\":\"codex\",\"source\":\"hook\",\"tool_use_id\":\"call_4\",\"turn_id\":\"turn-0\",\
         \"model\":\"gpt-5\",\"repo_id\":\"repo_1\",\"install_id\":\"install-1\",\"dropped\":null}}",
        "ab".repeat(32)
    );
    assert_eq!(full, expected);
    let keys = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let bare = Fact { agent: "gemini".into(), event: "Stop".into(), ..Fact::default() };
    let bare = String::from_utf8(recorder().line(&bare).unwrap()).unwrap();
    assert_eq!(keys(&bare), keys(&full));
    let bare: Value = serde_json::from_str(&bare).unwrap();
    for key in
        ["tool_name", "reason", "session_id", "cwd_hash", "hook_event_name", "turn_id", "model", "repo_id"]
    {
        assert_eq!(bare[key], Value::Null, "{key}");
    }
    let sources = |sources: &[Source]| {
        parsed(&recorder(), &Fact { sources: sources.to_vec(), ..fact(1) })["source"].clone()
    };
    assert_eq!(sources(&[Source::Transcript]), "transcript");
    assert_eq!(sources(&[Source::Cli, Source::Transcript, Source::Hook]), "hook");
    assert_eq!(sources(&[Source::Cli]), "cli");
}

#[test]
fn an_id_comes_from_what_an_event_is_known_by() {
    let id = |fact: &Fact| parsed(&recorder(), fact)["client_event_id"].as_str().unwrap().to_owned();
    let one = fact(1);
    for same in [
        Fact { at_ms: 1, model: String::new(), ..fact(1) },
        Fact { sources: vec![Source::Transcript], turn_id: String::new(), ..fact(1) },
    ] {
        assert_eq!(id(&one), id(&same));
    }
    let s = |fact: &str| fact.to_owned();
    for other in [
        Fact { agent: s("claude"), ..fact(1) },
        Fact { session_id: s("other"), ..fact(1) },
        Fact { event: s("Stop"), ..fact(1) },
        Fact { dedup_key: s("t:call_1:1"), ..fact(1) },
        // No two run together.
        Fact { session_id: s("session-0P"), event: s("ostToolUse"), ..fact(1) },
    ] {
        assert_ne!(id(&one), id(&other));
    }
    let elsewhere = Recorder::new("install-2", [7; 32], CwdHash::Hmac, "", ALL);
    assert_ne!(id(&one), parsed(&elsewhere, &one)["client_event_id"].as_str().unwrap());
}

#[test]
fn a_path_becomes_what_the_setting_says() {
    let told = |policy, cwd: Cwd| {
        let recorder = Recorder::new("i", [7; 32], policy, "", ALL);
        parsed(&recorder, &Fact { cwd, ..fact(1) })["cwd_hash"].clone()
    };
    let path = || Cwd::Path("/home/anna/project".into());
    let keyed = told(CwdHash::Hmac, path());
    assert_eq!(keyed.as_str().unwrap().len(), 64);
    let plain = hex(&Sha256::digest("/home/anna/project"));
    assert_eq!(told(CwdHash::Sha256, path()), plain);
    assert_ne!(keyed, plain);
    let other_key = Recorder::new("i", [8; 32], CwdHash::Hmac, "", ALL);
    assert_ne!(parsed(&other_key, &Fact { cwd: path(), ..fact(1) })["cwd_hash"], keyed);
    assert_eq!(told(CwdHash::None, path()), Value::Null);
    assert_eq!(told(CwdHash::Hmac, Cwd::Path("".into())), Value::Null);
    assert_eq!(told(CwdHash::Hmac, Cwd::Keyed("ef".repeat(32))), "ef".repeat(32));
    // A digest under a key is not one that others could compare.
    assert_eq!(told(CwdHash::Sha256, Cwd::Keyed("ef".repeat(32))), Value::Null);
}

#[test]
fn only_the_kinds_that_were_agreed_to_are_told() {
    let told = |models, projects| {
        let told = Told { models, projects };
        let record = parsed(&Recorder::new("i", [7; 32], CwdHash::Hmac, "", told), &fact(1));
        ["model", "repo_id", "cwd_hash"].map(|key| !record[key].is_null())
    };
    assert_eq!(told(false, false), [false, false, false]);
    assert_eq!(told(true, false), [true, false, false]);
    assert_eq!(told(false, true), [false, true, true]);
}

#[test]
fn a9_13_secrets_and_content_never_reach_the_disk() {
    // The patterns of A.4, each in words around it.
    let of_anthropic = ["sk-ant", "api03", "abcdefghijklmnopqrstuvwxyz0123456789"].join("-");
    let secrets = [
        &of_anthropic,
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "gho_abcdefghijklmnopqrstuvwxyz0123456789",
        "ghu_abcdefghijklmnopqrstuvwxyz0123456789",
        "ghs_abcdefghijklmnopqrstuvwxyz0123456789",
        "ghr_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
        "sk-abcdefghijklmnopqrstuvwx",
        "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
        "xoxb-123456789012-123456789012-abcdefghijklmnopqrstuvwx",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "glpat-a1cdefg2ijklmn3pqrst",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "sk_live_a1cdefg2ijklmnopqrstuvwx",
        "rk_live_a1cdefg2ijklmnopqrstuvwx",
        "Bearer abcdefghijklmnop1234567890",
        "https://anna:hunter2secret@example.com/x",
        "password=hunter2secret",
        "api_key: hunter2secretvalue",
        "authorization: Basic YW5uYTpodW50ZXIyc2VjcmV0",
    ];
    let bench = Bench::new();
    let mut queue = bench.open();
    for (n, secret) in (0..).zip(secrets) {
        let reason = format!("stopped, {secret} was there, in /home/anna/private");
        // A tool of a server that the user named, too.
        let told = Fact { reason, tool: secret.to_owned(), permission_mode: secret.to_owned(), ..fact(n) };
        queue.feed([(n + 1, told)].into_iter(), &bench.terms(), 1).unwrap();
    }
    let path = Fact { cwd: Cwd::Path("/home/anna/private".into()), ..fact(100) };
    queue.feed([(101, path)].into_iter(), &bench.terms(), 1).unwrap();
    let batch = queue.next(1, BATCH).unwrap().unwrap();
    queue.reject(&batch.records[0], "bad", 1).unwrap();
    assert_eq!(queue.stats().unwrap().events, secrets.len() as u64);
    drop(queue);
    for file in files(&bench.relay) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for secret in secrets {
            let part = secret.rsplit([' ', '=', '@']).next().unwrap();
            let part = secret.split_once("://").map_or(part, |_| "hunter2");
            assert!(!text.contains(part), "{secret} in {}", file.display());
        }
        assert!(!text.contains("/home/anna"), "{}", file.display());
    }
    // Ids are told as they are; what has not the form of one is not.
    let odd = Fact { session_id: "my secret session".into(), tool_use_id: "x".repeat(300), ..fact(1) };
    let record = parsed(&recorder(), &odd);
    assert_eq!(record["session_id"], hex(&Sha256::digest("my secret session")));
    assert_eq!(record["tool_use_id"].as_str().unwrap().len(), 64);
}

#[test]
fn a_record_is_never_too_long_and_nobodys_event_is_none() {
    let recorder = recorder();
    let long = "\u{1}".repeat(10_000);
    let record = parsed(&recorder, &Fact { reason: format!("ä{}", "é".repeat(5000)), ..fact(1) });
    assert_eq!(record["reason"].as_str().unwrap().chars().count(), 2048);
    let record = parsed(&recorder, &Fact { tool: long.clone(), model: "m".repeat(257), ..fact(1) });
    assert_eq!((&record["tool_name"], &record["model"]), (&Value::Null, &Value::Null));
    let name = "\u{1}".repeat(256);
    let widest = Fact {
        reason: long.clone(),
        tool: name.clone(),
        raw_event: name.clone(),
        permission_mode: name.clone(),
        model: name.clone(),
        session_id: "s".repeat(256),
        ..fact(1)
    };
    assert!(recorder.line(&widest).unwrap().len() <= RECORD_MAX);
    let wide = Recorder::new(&"i".repeat(RECORD_MAX), [0; 32], CwdHash::None, "", ALL);
    assert_eq!(wide.line(&fact(1)), Err(Refused::TooLong));
    let refused = |change: &dyn Fn(&mut Fact)| {
        let mut fact = fact(1);
        change(&mut fact);
        recorder.line(&fact).unwrap_err()
    };
    assert_eq!(refused(&|f| f.agent = "foreign".into()), Refused::Foreign);
    assert_eq!(refused(&|f| f.agent.clear()), Refused::Nameless);
    assert_eq!(refused(&|f| f.event = long.clone()), Refused::Nameless);
}

#[test]
fn what_was_not_agreed_to_passes_by_and_each_event_is_looked_at_once() {
    let mut bench = Bench::new();
    bench.settings.events = vec!["PreToolUse".into()];
    let mut queue = bench.open();
    let terms = ox::relay::queue::Terms { since_ms: 1_796_000_000_004, ..bench.terms() };
    let foreign = (12, Fact { agent: "foreign".into(), ..fact(20) });
    let fed = queue.feed(facts(1..11).chain([foreign]), &terms, 0).unwrap();
    assert_eq!((fed.queued, fed.passed, fed.refused), (4, 6, 1));
    assert_eq!(waiting(&mut queue), [4, 6, 8, 10]);
    assert_eq!((queue.fed(), queue.stats().unwrap().refused_total), (12, 1));
    let again = queue.feed(facts(1..11), &terms, 0).unwrap();
    assert_eq!((again.queued, again.passed), (0, 0));
    // After a start it goes on behind the last that is in the queue, also when the server has it.
    let batch = queue.next(100, BATCH).unwrap().unwrap();
    drop(queue);
    let mut queue = bench.open();
    assert_eq!(queue.fed(), 11);
    let batch_again = queue.next(100, BATCH).unwrap().unwrap();
    assert_eq!(batch, batch_again);
    queue.ack(batch.upto).unwrap();
    drop(queue);
    assert_eq!(bench.open().fed(), 11);
}

#[test]
fn what_passes_by_is_written_down_now_and_then_and_a_store_may_begin_anew() {
    let mut bench = Bench::new();
    bench.settings.events = vec!["Stop".into()];
    let mut queue = bench.open();
    assert_eq!(bench.feed(&mut queue, 0..2000).passed, 2000);
    drop(queue);
    let mut queue = bench.open();
    assert_eq!(queue.fed(), 2000);
    assert_eq!(bench.feed(&mut queue, 2000..5000).passed, 3000);
    drop(queue);
    bench.settings.events.clear();
    let mut queue = bench.open();
    assert_eq!((queue.fed(), bench.feed(&mut queue, 4990..5003).queued), (5000, 3));
    queue.restart().unwrap();
    assert_eq!(queue.fed(), 0);
    drop(queue);
    let mut queue = bench.open();
    assert_eq!(queue.fed(), 0, "not the number that the old store gave the last one");
    assert_eq!(bench.feed(&mut queue, 0..3).queued, 3);
    drop(queue);
    assert_eq!(bench.open().fed(), 3);
}

#[test]
fn a_record_reads_as_a_log_of_a_collector() {
    let line = recorder().line(&fact(2)).unwrap();
    let logs: Value = serde_json::from_slice(&ox::relay::frame::Shape::Otlp.encode(&[&line])).unwrap();
    let log = &logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(log["timeUnixNano"], json!("1796000000002000000"));
}
