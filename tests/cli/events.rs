//! `ox events` and `ox sessions`: what is in the store, for people and as documents.

use ox::hooks::record::Record;
use ox::hooks::store::Store;

use super::json;
use crate::support::TestEnv;

fn record(event: &str, tool: &str, at_ms: i64) -> Record {
    Record {
        spool_id: uuid::Uuid::now_v7().to_string(),
        at_ms,
        agent: "codex".into(),
        event: event.into(),
        raw_event: event.into(),
        session_id: "01a22ce6-144a-71e1-a188-837ab0902433".into(),
        tool_use_id: if tool.is_empty() { String::new() } else { "call_1".into() },
        tool_name: tool.into(),
        model: "fake".into(),
        ..Record::default()
    }
}

#[test]
fn events_and_live_sessions_are_shown_as_they_are_stored() {
    let env = TestEnv::new();
    let none = env.ox(["events", "list"]).ok();
    assert!(none.stdout.is_empty() && none.stderr.contains("no events are stored"), "{none:?}");
    assert!(none.stderr.contains("ox hooks install"), "{none:?}");
    let db = env.home().join(".local/share/sageox/events/events.db");
    assert!(!db.exists(), "nothing is made by looking");
    let mut store = Store::open(&db).unwrap().store;
    let now = jiff::Timestamp::now().as_millisecond();
    store.take(&[record("UserPromptSubmit", "", now - 2), record("PreToolUse", "Bash", now - 1)]).unwrap();

    let list = json(&env.ox(["events", "list", "--json"]));
    let newest = &list["events"][0];
    assert_eq!((&newest["seq"], &newest["event_type"]), (&2.into(), &"PreToolUse".into()), "{list}");
    assert_eq!((&newest["tool_name"], &newest["sources"]), (&"Bash".into(), &serde_json::json!(["hook"])));
    assert!(newest.get("is_error").is_none() && newest.get("dedup_key").is_none(), "{list}");
    let page = env.ox(["events", "list", "--agent", "codex", "--since", "1h"]).ok();
    assert!(page.stdout.contains("SOURCES") && page.stdout.contains("UserPromptSubmit"), "{page:?}");
    let other = env.ox(["events", "list", "--agent", "gemini"]).ok();
    assert!(other.stdout.is_empty() && !other.stderr.contains("ox hooks install"), "{other:?}");

    let show = env.ox(["events", "show", "2"]).ok();
    assert!(show.stdout.contains("t:call_1") && show.stdout.contains("Bash"), "{show:?}");
    assert_eq!(json(&env.ox(["events", "show", "2", "--json"]))["dedup_key"], "t:call_1");
    assert_eq!(env.ox(["events", "show", "99"]).code, Some(1));

    let stats = json(&env.ox(["events", "stats", "--json"]));
    assert_eq!((&stats["events"], &stats["sessions"], &stats["both"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(stats["counts"][0]["hook"], 1, "{stats}");

    let live = json(&env.ox(["sessions", "live", "--json"]));
    let session = &live["sessions"][0];
    assert_eq!((&session["status"], &session["current_tool"]), (&"active".into(), &"Bash".into()), "{live}");
    let page = env.ox(["sessions", "live"]).ok();
    assert!(page.stdout.contains("codex") && page.stdout.contains("Bash"), "{page:?}");

    let alone = env.ox(["sessions"]).ok();
    assert!(alone.stdout.contains("ox session list") && alone.stdout.contains("live"), "{alone:?}");
    // Beside each other.
    assert!(env.ox(["session", "--help"]).stdout.contains("ox session list"));
    assert!(env.ox(["sessions", "--help"]).stdout.contains("ox sessions live"));
}

#[test]
fn a_store_that_cannot_be_read_is_an_error_with_a_way_out() {
    let env = TestEnv::new();
    let db = env.home().join(".local/share/sageox/events/events.db");
    std::fs::create_dir_all(db.parent().unwrap()).unwrap();
    std::fs::write(&db, "no database, and long enough for one to be looked for".repeat(99)).unwrap();
    let ran = env.ox(["events", "list"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("hint: "), "{ran:?}");
}
