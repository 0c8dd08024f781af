//! What our daemon says to clients of the Go program.

use std::io::Read as _;

use super::*;

/// Says one line to the project's daemon and takes the last one of its answer.
fn ask(env: &TestEnv, repo: &Path, line: &Value) -> Value {
    let ours = env.ox_in(repo, ["daemon", "list", "--json"]).ok().json();
    let stream = UnixStream::connect(ours[0]["socket_path"].as_str().unwrap()).unwrap();
    (&stream).write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn served() -> (TestEnv, PathBuf) {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    (env, repo)
}

/// The Go program prints `triggered` as a number of team contexts.
#[test]
fn row_9_the_ledger_is_not_counted_among_the_teams() {
    let (env, repo) = served();
    let answer = ask(&env, &repo, &json!({ "type": "trigger_gc" }));
    assert_eq!(answer["data"], json!({ "triggered": 0, "ledger_triggered": true }), "{answer}");
    let ran = env.ox_in(&repo, ["doctor", "--gc"]).ok();
    assert!(ran.stdout.contains("made 1 clone, the ledger among them, smaller"), "{ran:?}");
    env.stop_daemon();
}

/// Its place is the time at which it asked.
#[test]
fn row_12_an_agent_that_asked_and_got_nothing_has_a_place_in_time() {
    let (env, repo) = served();
    let agent = "OxAb12";
    let history = || {
        ask(&env, &repo, &json!({ "type": "whisper_history", "payload": { "agent_id": agent } }))["data"]
            .clone()
    };
    assert_eq!(
        (&history()["has_cursor"], &history()["cursor"]),
        (&json!(false), &json!("0001-01-01T00:00:00Z"))
    );
    let before = jiff::Timestamp::now();
    let answer =
        ask(&env, &repo, &json!({ "type": "whispers", "payload": { "agent_id": agent, "limit": 5 } }));
    assert_eq!(answer["success"], json!(true), "{answer}");
    until_or(|| history()["has_cursor"] == json!(true), || history().to_string());
    let cursor: jiff::Timestamp = history()["cursor"].as_str().unwrap().parse().unwrap();
    assert!(cursor >= before && cursor <= jiff::Timestamp::now(), "{cursor}");
    env.stop_daemon();
}

/// Whoever reads to the end of the connection has the answer, and the end soon after; whoever asks on is served on.
#[test]
fn row_11_the_connection_ends_soon_after_the_last_line() {
    let (env, repo) = served();
    let socket = env.ox_in(&repo, ["daemon", "list", "--json"]).ok().json()[0]["socket_path"].clone();
    let mut stream = UnixStream::connect(socket.as_str().unwrap()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    for _ in 0..2 {
        stream.write_all(b"{\"type\":\"ping\"}\n").unwrap();
    }
    let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
    let pong = "{\"success\":true,\"data\":\"pong\"}";
    assert_eq!([lines.next(), lines.next()].map(Option::unwrap), [pong, pong]);
    let mut once = UnixStream::connect(socket.as_str().unwrap()).unwrap();
    once.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    once.write_all(b"{\"type\":\"ping\"}\n").unwrap();
    let mut all = String::new();
    once.read_to_string(&mut all).unwrap();
    assert_eq!(all, format!("{pong}\n"));
    env.stop_daemon();
}

#[test]
fn row_13_a_checkout_without_a_payload_is_told_so() {
    let (env, repo) = served();
    let answer = ask(&env, &repo, &json!({ "type": "checkout" }));
    assert!(answer["error"].as_str().unwrap().starts_with("invalid checkout payload: "), "{answer}");
    env.stop_daemon();
}

#[test]
fn row_14_what_newer_clients_tell_of_an_agent_is_passed_on() {
    let (env, repo) = served();
    let socket = env.ox_in(&repo, ["daemon", "list", "--json"]).ok().json()[0]["socket_path"].clone();
    for n in 1..=2 {
        let beat = json!({ "type": "heartbeat", "payload": {
            "agent_id": "OxAb12", "timestamp": jiff::Timestamp::now().to_string(), "principal_id": "mira",
            "context_tokens": 30 * n, "context_tokens_by_source": { "team": 10 * n, "sageox": 20 * n, "none": -1 },
            "context_tokens_by_kb_type": { "team": 30 * n },
        }});
        let mut stream = UnixStream::connect(socket.as_str().unwrap()).unwrap();
        stream.write_all(format!("{beat}\n").as_bytes()).unwrap();
    }
    let one = || ask(&env, &repo, &json!({ "type": "instances" }))["data"]["instances"][0].clone();
    until_or(|| one()["cumulative_context_tokens"] == json!(90), || one().to_string());
    let one = one();
    assert_eq!(one["principal_id"], json!("mira"));
    assert_eq!(one["cumulative_context_tokens_by_source"], json!({ "sageox": 60, "team": 30 }));
    assert_eq!(one["cumulative_context_tokens_by_kb_type"], json!({ "team": 90 }));
    env.stop_daemon();
}
