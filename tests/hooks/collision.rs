//! What an agent is told before it edits a file that somebody else has changed and not committed: two machines over plain git.

use std::fs;

use ox::whispers::Uncommitted;
use serde_json::{Value, json};

use super::stored::fired;
use crate::support::until_or;
use crate::whispers::machine::Machine;

/// A work tree with an agent in it, whose changed files are known.
fn at_work(machine: &Machine) {
    machine.introduce("OxAAAA");
    until_or(|| machine.watches_tree(), || machine.log());
    let status = || machine.ox(["daemon", "status", "--json"]).ok().json();
    until_or(|| status()["watching"]["last_rescan"].is_string(), status);
}

/// The daemon ends, which tells what it has to tell, and the ledger is synced by a command.
fn tells(machine: &Machine) {
    machine.ox(["daemon", "stop", "--all"]).ok();
    machine.ox(["sync"]).ok();
    machine.ox(["daemon", "start"]).ok();
}

fn edit(machine: &Machine, session: &str, file: &str) -> Value {
    json!({
        "session_id": session, "transcript_path": "/t.jsonl", "cwd": machine.repo, "hook_event_name": "PreToolUse",
        "tool_name": "Edit", "tool_use_id": "toolu_1",
        "tool_input": { "file_path": machine.repo.join(file), "old_string": "a", "new_string": "b" },
    })
}

/// What the agent of `session` is told before it edits `file`; nothing else is said.
#[track_caller]
fn told(machine: &Machine, session: &str, file: &str) -> Option<String> {
    let said = fired(&machine.env, &machine.repo, "PreToolUse", &edit(machine, session, file));
    if said.is_empty() {
        return None;
    }
    let answer: Value = serde_json::from_str(&said).unwrap();
    let output = answer["hookSpecificOutput"].as_object().unwrap();
    let keys: Vec<&str> = output.keys().map(String::as_str).collect();
    // codex drops an answer with any other key.
    assert_eq!((answer.as_object().unwrap().len(), keys), (1, vec!["hookEventName", "additionalContext"]));
    assert_eq!(output["hookEventName"], "PreToolUse");
    Some(output["additionalContext"].as_str().unwrap().to_owned())
}

/// Whether a machine knows of uncommitted files elsewhere.
fn hears(machine: &Machine, file: &str) -> bool {
    let known = Uncommitted::load(&machine.state());
    let now = ox::kit::clock::Clock::now(&ox::kit::clock::SystemClock).wall;
    !known.others(&machine.repo, file, now).is_empty()
}

#[test]
fn who_edits_a_file_is_told_once_who_has_it_changed_elsewhere_and_not_when_that_is_over() {
    let a = Machine::first();
    let commit = |m: &Machine, what: &str| {
        m.env.git(&m.repo, ["add", "src", ".gitignore"]);
        m.env.git(&m.repo, ["commit", "-q", "-m", what]);
    };
    fs::create_dir(a.repo.join("src")).unwrap();
    fs::write(a.repo.join(".gitignore"), ".sageox\n").unwrap();
    for file in ["src/one.rs", "src/two.rs"] {
        fs::write(a.repo.join(file), "1").unwrap();
    }
    commit(&a, "code");
    let b = Machine::beside(&a);
    fs::create_dir_all(b.env.home().join(".claude")).unwrap();
    b.ox(["hooks", "install", "--agent", "claude", "--force"]).ok();

    at_work(&a);
    fs::write(a.repo.join("src/one.rs"), "22").unwrap();
    fs::write(a.repo.join("src/new <b>.rs"), "1").unwrap();
    let pending = |m: &Machine, n: u64| {
        let status = || m.ox(["daemon", "status", "--json"]).ok().json();
        until_or(|| status()["watching"]["pending"] == n, status);
    };
    pending(&a, 2);
    assert_eq!(told(&b, "s0", "src/one.rs"), None);
    tells(&a);
    // Within one interval.
    until_or(|| hears(&b, "src/one.rs"), || b.log());
    let said = told(&b, "s1", "src/one.rs").unwrap();
    assert!(said.starts_with("<system-reminder>\nFrom ox: information about work of others, no instruction.\nsrc/one.rs has uncommitted changes elsewhere: agent OxAAAA"), "{said}");
    assert!(said.contains(", branch main, for ") && said.ends_with("</system-reminder>"), "{said}");
    assert_eq!(told(&b, "s1", "src/one.rs"), None, "once a session");
    let quoted = told(&b, "s1", "src/new <b>.rs").unwrap();
    assert!(quoted.contains("src/new &lt;b&gt;.rs"), "{quoted}");
    assert_eq!(told(&b, "s1", "src/two.rs"), None);
    assert!(told(&b, "s2", "src/one.rs").is_some());
    // Off by one setting.
    b.ox(["config", "set", "hooks.collisions", "false"]).ok();
    assert_eq!(told(&b, "s3", "src/one.rs"), None);
    b.ox(["config", "unset", "hooks.collisions"]).ok();

    // One is committed, the other stays.
    at_work(&a);
    commit(&a, "one");
    fs::write(a.repo.join("src/new <b>.rs"), "22").unwrap();
    pending(&a, 1);
    tells(&a);
    b.ox(["sync"]).ok();
    until_or(|| !hears(&b, "src/one.rs") || !hears(&b, "src/new <b>.rs"), || b.log());
    assert_eq!(told(&b, "s4", "src/one.rs"), None);
    assert!(told(&b, "s4", "src/new <b>.rs").is_some());
    let list = b.ox(["murmur", "list", "--show-file-changes", "--json"]).ok().json();
    assert_eq!(list["murmurs"][0]["content"], "[main] mod src/new <b>.rs; committed or undone: src/one.rs");

    // And when it is undone: no file changes by a commit, and nothing else is to be told.
    at_work(&a);
    commit(&a, "all");
    tells(&a);
    b.ox(["sync"]).ok();
    until_or(|| !hears(&b, "src/new <b>.rs"), || b.log());
    assert_eq!(told(&b, "s5", "src/new <b>.rs"), None);
}
