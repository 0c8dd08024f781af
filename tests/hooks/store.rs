//! The store: what it promises whatever comes in, and whatever becomes of its file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jiff::{SignedDuration, Timestamp};
use ox::hooks::record::{FOREIGN, Record};
use ox::hooks::store::{Filter, Store, StoreError};
use serde_json::json;

use super::seen::{self, Bench};

fn record(event: &str, session: &str, at_ms: i64) -> Record {
    let payload = json!({ "session_id": session, "tool_name": "Bash", "tool_use_id": "toolu_1", "model": "m",
        "prompt": "Hello", "last_assistant_message": "Done" });
    seen::record("claude", event, &payload, at_ms)
}

#[test]
fn a_line_of_the_spool_counts_once() {
    let mut bench = Bench::new();
    let twice = [record("UserPromptSubmit", "s", 1), record("UserPromptSubmit", "s", 2)];
    let taken = bench.store().take(&twice).unwrap();
    assert_eq!((taken.new, taken.merged, taken.replayed), (2, 0, 0));
    bench.reopen();
    let taken = bench.store().take(&twice).unwrap();
    assert_eq!((taken.new, taken.merged, taken.replayed), (0, 0, 2));
    let third = bench.store().take(&[record("UserPromptSubmit", "s", 3)]).unwrap();
    assert_eq!(third.new, 1, "which of several alike it is was not counted on by those");
    // One without an id is none, and one that is no id is told again by its text.
    let odd = Record { spool_id: "odd".to_owned(), ..record("Stop", "s", 4) };
    assert_eq!(bench.store().take(&[odd.clone(), odd]).unwrap().replayed, 1);
    // One call that two entries deliver, and the same id for another call.
    let call = |event: &str, at_ms| record(event, "s", at_ms);
    let calls =
        [call("PreToolUse", 5), call("PreToolUse", 5), call("PostToolUse", 6), call("PostToolUse", 6)];
    let taken = bench.store().take(&calls).unwrap();
    assert_eq!((taken.new, taken.merged), (2, 2));
    assert_eq!(bench.store().take(&[call("PreToolUse", 7), call("PostToolUse", 8)]).unwrap().new, 2);
}

#[test]
fn an_event_without_a_session_is_kept_and_makes_none() {
    let mut bench = Bench::new();
    let now = seen::now();
    bench.store().take(&[record("Stop", "", now.as_millisecond())]).unwrap();
    assert_eq!(bench.events().len(), 1);
    assert_eq!(bench.store().live(now).unwrap(), []);
    assert_eq!(bench.store().stats().unwrap().sessions, 0);
}

#[test]
fn a_store_that_is_damaged_is_moved_aside_and_a_newer_one_is_left_alone() {
    let mut bench = Bench::new();
    let path = bench.db.clone();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    bench.store().take(&[record("Stop", "s", 1)]).unwrap();
    bench.store = None;
    let garbage = "this is no database, and it is long enough for one to be looked for".repeat(99);
    fs::write(&path, &garbage).unwrap();
    assert!(Store::look(&path).unwrap_err().is_damage());
    let opened = Store::open(&path).unwrap();
    let damaged = opened.damaged.unwrap();
    assert_eq!(fs::read_to_string(&damaged).unwrap(), garbage);
    bench.store = Some(opened.store);
    bench.store().take(&[record("Stop", "s", 1)]).unwrap();
    assert_eq!(bench.events().len(), 1);
    // Found out while it is used.
    bench.store = None;
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("DROP TABLE counts").unwrap();
    drop(conn);
    let mut store = Store::open(&path).unwrap().store;
    let e = store.take(&[record("Stop", "s", 2)]).unwrap_err();
    assert!(e.is_damage(), "{e}");
    drop(store);
    let mut opened = Store::begin_anew(&path).unwrap();
    assert_eq!(opened.store.take(&[record("Stop", "s", 2)]).unwrap().new, 1);
    drop(opened);
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 9).unwrap();
    drop(conn);
    for e in [Store::open(&path).unwrap_err(), Store::look(&path).unwrap_err()] {
        assert!(matches!(e, StoreError::Newer { found: 9, .. }) && !e.is_damage(), "{e}");
    }
}

#[test]
fn looking_makes_nothing_and_changes_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("events/events.db");
    assert!(Store::look(&path).unwrap().is_none());
    assert!(!path.parent().unwrap().exists());
    // One that another process is making has a file before it has a table.
    let making = tmp.path().join("making.db");
    let conn = rusqlite::Connection::open(&making).unwrap();
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    assert!(std::fs::metadata(&making).unwrap().len() > 0 && Store::look(&making).unwrap().is_none());
    let mut bench = Bench::new();
    bench.store().take(&[record("Stop", "s", 1)]).unwrap();
    let mut looked = Store::look(&bench.db).unwrap().unwrap();
    assert_eq!(looked.list(&Filter { limit: 9, ..Filter::default() }).unwrap().len(), 1);
    assert!(looked.take(&[record("Stop", "s", 2)]).is_err());
}

#[test]
fn events_are_found_by_who_and_when() {
    let mut bench = Bench::new();
    let at = |n: i64| second(n).as_millisecond();
    bench
        .store()
        .take(&[record("Stop", "a", at(1)), record("Stop", "b", at(2)), record("Stop", "a", at(3))])
        .unwrap();
    let foreign = Record { agent: FOREIGN.to_owned(), ..record("Stop", "a", at(4)) };
    bench.store().take(&[foreign]).unwrap();
    let mut find = |filter: Filter| -> Vec<i64> {
        bench.store().list(&filter).unwrap().iter().map(|event| event.seq).collect()
    };
    let all = Filter { limit: 9, ..Filter::default() };
    assert_eq!(find(all.clone()), [4, 3, 2, 1]);
    assert_eq!(find(Filter { limit: 2, ..all.clone() }), [4, 3]);
    assert_eq!(find(Filter { session: Some("a".into()), ..all.clone() }), [4, 3, 1]);
    assert_eq!(find(Filter { agent: Some("claude-code".into()), ..all.clone() }), [3, 2, 1]);
    assert_eq!(find(Filter { since: Some(second(3)), ..all }), [4, 3]);
    let event = bench.store().get(2).unwrap().unwrap();
    assert_eq!((&*event.session_id, &*event.event_type, event.sources), ("b", "Stop", vec!["hook"]));
    assert_eq!(bench.store().get(99).unwrap(), None);
    assert_eq!(bench.store().last_event("claude-code").unwrap(), Some(second(3)));
    assert_eq!(bench.store().last_event("codex").unwrap(), None);
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(2_000_000_000 + n).unwrap()
}

#[test]
fn rly_13_a_session_lives_as_long_as_something_is_heard_of_it() {
    let mut bench = Bench::new();
    let at = |n: i64| second(n).as_millisecond();
    // No start, a tool that runs; and one that has ended.
    bench.store().take(&[record("PreToolUse", "a", at(0)), record("SessionEnd", "b", at(1))]).unwrap();
    let live = bench.store().live(second(60)).unwrap();
    let told: Vec<_> = live
        .iter()
        .map(|s| (&*s.session_id, &*s.status, s.current_tool.as_deref(), s.model.as_deref()))
        .collect();
    assert_eq!(told, [("b", "completed", None, Some("m")), ("a", "active", Some("Bash"), Some("m"))]);
    assert_eq!(live[0].sources, ["hook"]);
    assert_eq!(bench.store().live(second(601)).unwrap().len(), 1);
    assert_eq!(bench.store().live(second(602)).unwrap(), []);
    bench.store().keep(second(3 * 3600 + 60)).unwrap();
    bench.store().take(&[record("PostToolUse", "b", at(3 * 3600 + 100))]).unwrap();
    let live = bench.store().live(second(3 * 3600 + 100)).unwrap();
    assert_eq!((live.len(), &*live[0].status), (1, "active"), "it goes on");
}

#[test]
fn what_is_older_than_thirty_days_is_deleted() {
    let mut bench = Bench::new();
    let now = second(0);
    let days = |n: i64| (now - SignedDuration::from_hours(24 * n)).as_millisecond();
    bench
        .store()
        .take(&[
            record("Stop", "old", days(31)),
            record("Stop", "s", days(31)),
            record("Stop", "s", days(29)),
        ])
        .unwrap();
    let kept = bench.store().keep(now).unwrap();
    assert_eq!(kept.deleted, 2);
    assert_eq!(bench.events().len(), 1);
    assert_eq!(bench.store().stats().unwrap().sessions, 1);
    // Which of several alike it is goes on where it was.
    bench.store().take(&[record("Stop", "s", days(0))]).unwrap();
    assert_eq!(bench.events().len(), 2);
}

#[test]
fn a_session_that_was_another_programs_is_given_to_it() {
    let mut bench = Bench::new();
    let own = [record("PreToolUse", "s", 1), record("PostToolUse", "s", 2), record("Stop", "s", 3)];
    let foreign: Vec<Record> = own
        .iter()
        .map(|record| Record {
            agent: FOREIGN.to_owned(),
            spool_id: format!("f{}", record.spool_id),
            ..record.clone()
        })
        .collect();
    bench.store().take(&foreign).unwrap();
    assert!(bench.store().restamp("s", FOREIGN, "copilot").unwrap());
    assert!(!bench.store().restamp("s", FOREIGN, "copilot").unwrap());
    assert!(bench.events().iter().all(|event| event.agent == "copilot"));
    // Both were stored: they become one.
    bench.store().take(&own[..2]).unwrap();
    assert_eq!(bench.events().len(), 5);
    assert!(bench.store().restamp("s", "copilot", "claude-code").unwrap());
    let events = bench.events();
    assert!(events.len() == 3 && events.iter().all(|event| event.agent == "claude-code"), "{events:?}");
    assert_eq!(bench.store().stats().unwrap().sessions, 1);
}

#[test]
fn events_are_told_on_in_the_order_in_which_they_came_and_without_content() {
    let mut bench = Bench::new();
    assert_eq!((bench.store().last_seq().unwrap(), bench.store().after(0, 9, 9).unwrap().len()), (0, 0));
    let at = |n: i64| second(n).as_millisecond();
    // The later one came first.
    let mut start = record("SessionStart", "s", at(1));
    start.detail = "startup".into();
    start.cwd_hash = "ab".repeat(32);
    start.repo_id = "repo_1".into();
    let end = Record { detail: "clear".into(), ..record("SessionEnd", "s", at(3)) };
    bench.store().take(&[record("PostToolUse", "s", at(2)), start]).unwrap();
    bench.store().take(&[end, Record { agent: FOREIGN.into(), ..record("Stop", "f", at(4)) }]).unwrap();
    assert_eq!(bench.store().last_seq().unwrap(), 4);
    let all = bench.store().after(0, i64::MAX, 10).unwrap();
    assert_eq!(all.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let names: Vec<_> = all.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(names, ["PostToolUse", "SessionStart", "SessionEnd", "Stop"]);
    assert_eq!((all[0].tool_name.as_deref(), all[0].tool_use_id.as_deref()), (Some("Bash"), Some("toolu_1")));
    assert_eq!((all[0].model.as_deref(), all[0].dedup_key.as_str()), (Some("m"), "t:toolu_1"));
    assert_eq!(all[1].cwd_hash, Some("ab".repeat(32)));
    assert_eq!((all[1].reason.as_deref(), all[2].reason.as_deref()), (Some("startup"), Some("clear")));
    assert_eq!((all[0].cwd_hash.as_deref(), all[0].repo_id.as_deref()), (None, Some("repo_1")));
    assert_eq!(
        (all[1].at_ms, all[1].sources.as_slice(), all[3].agent.as_str()),
        (at(1), &["hook"][..], FOREIGN)
    );
    let db = bench.db.clone();
    let seqs = |after, upto, limit| {
        let store = Store::look(&db).unwrap().unwrap();
        store.after(after, upto, limit).unwrap().iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(1, 3, 10), [2, 3]);
    assert_eq!(seqs(1, 4, 2), [2, 3]);
    assert_eq!(seqs(4, 9, 10), Vec::<i64>::new());
    // What is told again is no other event, and what is removed was one.
    let mut again = record("PostToolUse", "s", at(2));
    again.cwd_hash = "cd".repeat(32);
    bench.store().take(&[again]).unwrap();
    assert_eq!(seqs(0, i64::MAX, 10), [1, 2, 3, 4]);
    let last = bench.store().last_seq().unwrap();
    let conn = rusqlite::Connection::open(&bench.db).unwrap();
    conn.execute("DELETE FROM events", []).unwrap();
    assert_eq!((bench.store().last_seq().unwrap(), bench.events().len()), (last, 0));
    bench.store().take(&[record("Stop", "s", at(5))]).unwrap();
    assert!(seqs(last, bench.store().last_seq().unwrap(), 10).len() == 1 && last >= 4);
}

#[test]
fn a_store_of_the_first_layout_gets_what_the_second_has_more() {
    let mut bench = Bench::new();
    bench.store().take(&[record("Stop", "s", 1)]).unwrap();
    bench.store = None;
    let conn = rusqlite::Connection::open(&bench.db).unwrap();
    conn.execute_batch("ALTER TABLE events DROP COLUMN cwd_hash; PRAGMA user_version = 1").unwrap();
    drop(conn);
    // Who only looks leaves it as it is.
    let looked = Store::look(&bench.db).unwrap().unwrap();
    assert_eq!(looked.list(&Filter { limit: 9, ..Filter::default() }).unwrap().len(), 1);
    bench.reopen();
    let told = Record { cwd_hash: "ab".into(), ..record("Stop", "t", 2) };
    bench.store().take(&[told]).unwrap();
    let all = bench.store().after(0, 9, 9).unwrap();
    assert_eq!((all[0].cwd_hash.as_deref(), all[1].cwd_hash.as_deref()), (None, Some("ab")));
}
