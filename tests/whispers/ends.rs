//! What is said just before the daemon ends.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use ox::health::StoredErrors;
use ox::health::errors::Code;
use ox::kit::clock::{Clock as _, SystemClock};
use serde_json::json;

use super::machine::Machine;
use crate::support::seed::rounds;
use crate::support::{HANG, until};

#[test]
fn a_murmur_and_a_seen_error_just_before_a_stop_are_on_disk() {
    let a = Machine::first();
    for round in 0..rounds(10, 200) {
        a.ox(["daemon", "stop", "--all"]);
        until(|| a.env.daemon_pid().is_none());
        let mut errors = StoredErrors::default();
        errors.add(SystemClock.now().wall, round as u128 + 1, Code::SyncFailed, "it failed");
        errors.save(&a.errors()).unwrap();
        a.starts();
        let murmur = a.murmur("OxAAAA", "normal", &format!("round {round}"));
        let lines = [json!({ "type": "mark_errors", "payload": {} }), json!({ "type": "stop" })];
        let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut stream = UnixStream::connect(a.socket()).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        a.tells(&murmur);
        stream.write_all(all.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "{\"success\":true}\n".repeat(2), "the errors and the stop");
        until(|| a.env.daemon_pid().is_none());
        let (errors, _) = StoredErrors::load(&a.errors()).unwrap();
        assert_eq!(errors.newest_first().map(|e| e.viewed).collect::<Vec<_>>(), [true], "round {round}");
        let waits = a.state().join("outbox").join(format!("{}.json", murmur.id)).exists();
        let committed = a.ledger().join(murmur.path()).exists();
        assert!(waits || committed, "round {round}: the murmur is lost: {}", a.log());
    }
}
