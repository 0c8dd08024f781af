//! What goes over the socket, byte by byte.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::support::{HANG, until, until_or};
use crate::whispers::machine::Machine;

fn answer(machine: &Machine, line: &str) -> Vec<Value> {
    let mut stream = UnixStream::connect(machine.socket()).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    BufReader::new(stream).lines().map(|l| serde_json::from_str(&l.unwrap()).unwrap()).collect()
}

#[test]
fn questions_are_answered_as_the_go_program_answers_them() {
    let a = Machine::first();
    let check = |line: &str, expected: Value| assert_eq!(answer(&a, line), [expected], "{line}");
    let empty = json!({ "success": true, "data": { "entries": [] } });
    check(r#"{"type":"whispers","payload":{"agent_id":"OxAAAA"}}"#, empty.clone());
    check(r#"{"type":"whispers","payload":{"agent_id":"OxAAAA","attention":"odd","topics":null}}"#, empty);
    check(r#"{"type":"whispers"}"#, json!({ "success": false, "error": "agent_id required" }));
    check(
        r#"{"type":"whispers","payload":{"agent_id":""}}"#,
        json!({ "success": false, "error": "agent_id required" }),
    );
    for bad in [r#"{"type":"whispers","payload":5}"#, r#"{"type":"whisper_history","payload":{"limit":"x"}}"#]
    {
        let said = answer(&a, bad).remove(0);
        assert!(said["error"].as_str().unwrap().starts_with("invalid payload: "), "{said}");
    }
    let ask = r#"{"type":"whisper_history","payload":{"agent_id":"OxAAAA","before":"0001-01-01T00:00:00Z"}}"#;
    let mut said = answer(&a, ask).remove(0);
    // The place of one that asked and was given nothing is the time of its question (foreign, 12).
    let cursor: jiff::Timestamp = said["data"]["cursor"].take().as_str().unwrap().parse().unwrap();
    assert!(cursor > jiff::Timestamp::UNIX_EPOCH && cursor <= jiff::Timestamp::now(), "{cursor}");
    let expected = json!({ "success": true, "data": {
        "entries": [], "cursor": null, "has_cursor": true, "next_cursor": "0001-01-01T00:00:00Z",
    } });
    assert_eq!(said, expected, "{ask}");
    // Without an answer, whatever is in them.
    for line in [
        r#"{"type":"murmur","payload":{}}"#,
        r#"{"type":"murmur","payload":5}"#,
        r#"{"type":"murmur"}"#,
        r#"{"type":"murmur_pause","payload":{"agent_id":"OxAAAA"}}"#,
        r#"{"type":"murmur_pause"}"#,
        r#"{"type":"murmur_resume","payload":{"agent_id":""}}"#,
    ] {
        assert_eq!(answer(&a, line), Vec::<Value>::new(), "{line}");
    }
    let murmur = a.murmur("OxCCCC", "critical", "hello");
    a.tells(&murmur);
    let mut said = Vec::new();
    until(|| {
        said = answer(&a, r#"{"type":"whispers","payload":{"agent_id":"OxAAAA"}}"#);
        said[0]["data"]["entries"][0] != Value::Null
    });
    let entry = json!({
        "id": murmur.id, "scope": "ledger", "type": "trigger", "source": "murmur", "topic": "wip", "content": "hello",
        "importance": "critical", "created_at": murmur.timestamp, "agent_id": "OxCCCC",
    });
    assert_eq!(said, [json!({ "success": true, "data": { "entries": [entry] } })]);
    let past = answer(&a, r#"{"type":"whisper_history","payload":{"agent_id":"OxAAAA"}}"#).remove(0);
    assert_eq!(past["data"]["entries"][0]["delivered"], true, "{past}");
    assert_eq!(
        (&past["data"]["cursor"], &past["data"]["has_cursor"]),
        (&json!(murmur.timestamp), &json!(true))
    );
    let instances = answer(&a, r#"{"type":"instances"}"#).remove(0);
    assert_eq!(instances["data"]["instances"], json!([]), "an agent without a heartbeat is none");
}

#[test]
fn who_goes_away_before_the_answer_gets_it_the_next_time() {
    let a = Machine::first();
    a.gets("OxBBBB");
    a.tells(&a.murmur("OxAAAA", "normal", "x"));
    until(|| a.gets("OxCCCC") == ["x"]);
    for _ in 0..5 {
        let mut stream = UnixStream::connect(a.socket()).unwrap();
        // From here on nothing can be written to us.
        stream.shutdown(Shutdown::Read).unwrap();
        stream.write_all(b"{\"type\":\"whispers\",\"payload\":{\"agent_id\":\"OxBBBB\"}}\n").unwrap();
        drop(stream);
    }
    until_or(|| a.gets("OxBBBB") == ["x"], || a.log());
    assert_eq!(a.gets("OxBBBB"), Vec::<String>::new());
}

#[test]
fn wat_06_the_last_whisper_is_shown_of_the_agent_that_got_it() {
    let a = Machine::first();
    for agent in ["OxAAAA", "OxBBBB"] {
        a.ox(["agent", agent, "heartbeat"]).ok();
    }
    a.tells(&a.murmur("OxAAAA", "normal", "x"));
    until(|| a.gets("OxBBBB") == ["x"]);
    let shown = || {
        let said = answer(&a, r#"{"type":"instances"}"#).remove(0);
        let all = said["data"]["instances"].as_array().unwrap().clone();
        let of = |id: &str| all.iter().find(|i| i["agent_id"] == id).unwrap()["last_whisper"].clone();
        (of("OxAAAA"), of("OxBBBB"))
    };
    let zero = json!("0001-01-01T00:00:00Z");
    until(|| shown().1 != zero);
    assert_eq!(shown().0, zero);
}
