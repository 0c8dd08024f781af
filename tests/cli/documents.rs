//! The documents of `--json`: the same keys whether there is much to tell or little.

use std::collections::BTreeSet;

use serde_json::Value;

use super::machine;
use crate::support::TestEnv;

/// Every command that has a document and looks only, and the keys that may be missing because what they tell is not known yet.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&["status"], &["ledger.branch", "ledger.last_sync", "ledger.remote_changed"]),
    (
        &["daemon", "status"],
        &["sync.avg_time", "project.ledger", "project.team_context", "last_sync", "watching"],
    ),
    (&["workspaces"], &[]),
    (&["team", "list"], &[]),
    (&["doctor"], &["available_fixes"]),
    (&["daemon", "errors"], &[]),
    (&["agent", "list"], &[]),
    (&["agent", "instances"], &[]),
    (&["murmur", "list"], &[]),
    (&["murmur", "status"], &[]),
    (&["rescue", "list"], &[]),
    (&["hooks", "status"], &[]),
    (&["whispers"], &["has_more", "next_cursor", "has_cursor", "cursor"]),
    (&["version"], &[]),
    (&["sync"], &[]),
    (&["sync", "--all-teams"], &[]),
    (&["up"], &["daemon.watching", "daemon.last_sync"]),
];

/// The keys of a document and of the objects in it, not of those in lists.
fn keys(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (key, value) in document.as_object().unwrap() {
        all.insert(key.clone());
        for inner in value.as_object().into_iter().flat_map(|o| o.keys()) {
            all.insert(format!("{key}.{inner}"));
        }
    }
    all
}

fn documents(env: &TestEnv, repo: &std::path::Path) -> Vec<BTreeSet<String>> {
    COMMANDS
        .iter()
        .map(|(args, _)| keys(&env.ox_in(repo, [args, &["--json"][..]].concat()).ok().json()))
        .collect()
}

#[test]
fn ux_68_keys_do_not_come_and_go() {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let little = documents(&env, &repo);
    let bare = env.bare("plat.git");
    env.ox_in(&repo, ["team", "add", &format!("plat={}", bare.display())]).ok();
    env.ox_in(&repo, ["up"]).ok();
    env.ox_in(&repo, ["agent", "prime"]).ok();
    env.ox_in(&repo, ["murmur", "hello"]).ok();
    let much = documents(&env, &repo);
    for (((args, may), little), much) in COMMANDS.iter().zip(little).zip(much) {
        let differ: Vec<&String> = little
            .symmetric_difference(&much)
            .filter(|key| !may.iter().any(|m| key.starts_with(m)))
            .collect();
        assert!(differ.is_empty(), "{args:?}: {differ:?}");
    }
    env.stop_daemon();
}

#[test]
fn every_error_is_a_document_too() {
    let (env, repo) = machine();
    for args in
        [&["sync", "--team", "nobody"][..], &["config", "get", "nonsense"], &["murmur", ""], &["nonsense"]]
    {
        let ran = env.ox_in(&repo, [args, &["--json"][..]].concat());
        let document = ran.json();
        assert_eq!(document["success"], false, "{ran:?}");
        assert_eq!(document["exit_code"], ran.code.unwrap(), "{ran:?}");
        assert!(document["error"].is_string(), "{ran:?}");
    }
}
