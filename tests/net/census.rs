//! The contacts that the kernel saw are those that receipts tell of.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::tracer::{Peers, Traced, peers_of, purposes_of, receipts, strace};
use crate::rig::answers::model;
use crate::support::TestEnv;
use crate::support::http_git::GitServer;
use crate::support::port::Port;
use crate::vendor::world::{World, put};

const SUMMARY: &str = r#"{"title":"Parser split into lexer and tree","summary":"The parser was split into a lexer and a tree builder, so that an error can name its token.","key_actions":["split the parser","tested it","removed the old pass"],"outcome":"success","quality_score":0.8}"#;
const NAME: &str = "2026-03-12T11-09-dana-OxTndR";

/// A session that has ended, large enough that it is no matter for git where large files are kept beside it.
fn session(ledger: &std::path::Path) {
    let line = |at: usize| {
        let kind = if at.is_multiple_of(2) { "user" } else { "assistant" };
        format!("{{\"type\":\"{kind}\",\"content\":\"Split the parser, step {at}\",\"seq\":{at}}}\n")
    };
    let raw: String = (0..8).map(line).collect();
    put(ledger, &format!(".sageox/cache/sessions/{NAME}/raw.jsonl"), &raw);
}

fn use_chat(env: &TestEnv, url: &str) {
    for (key, value) in [("agent", "chat"), ("chat_url", url), ("chat_model", "small")] {
        env.ox(["config", "set", &format!("agent_worker.{key}"), value]).ok();
    }
}

#[test]
fn a_project_of_a_server_contacts_whom_its_receipts_tell_of_and_nobody_else() {
    let Some(strace) = strace() else { return };
    let w = World::new();
    w.all_well();
    let lfs = w.git.with_lfs();
    let chat = model(200, SUMMARY);
    use_chat(&w.env, &chat.url("/v1"));
    let mut traced = Traced::new(strace, &w.env, &w.repo);
    traced.daemon();
    w.until_all_level();
    w.elsewhere("ledger.git", &|work| put(work, "sessions/theirs.md", "x"));
    w.commit(&w.ledger(), "sessions/mine.md", "mine");
    assert_eq!(traced.ox(&["sync"]), Some(0));
    assert_eq!(traced.ox(&["sync", "--all-teams"]), Some(0));
    session(&w.ledger());
    assert_eq!(traced.ox(&["session", "finalize", NAME]), Some(0));
    assert!(!lfs.seen().is_empty(), "nothing went to the server of large files");
    assert_eq!(traced.ox(&["agents", "status"]), Some(0));
    let seen = traced.end();
    let kept = receipts(&w.env);
    assert_eq!(seen, peers_of(&kept));
    assert_eq!(seen.len(), 3, "{seen:?}");
    let api = w.api.url().rsplit(':').next().unwrap().trim_matches('/').parse().unwrap();
    assert_eq!(purposes_of(&kept, api), BTreeSet::from(["vendor api"]));
    assert_eq!(purposes_of(&kept, w.git.address().port()), BTreeSet::from(["clone", "lfs", "push", "sync"]));
    assert_eq!(purposes_of(&kept, chat.address.port()), BTreeSet::from(["chat"]));
    // By whom: the daemon, and a command that asks by itself.
    let by = |who: &str| kept.iter().filter(|one| one["by"] == who).count();
    assert!(by("daemon") > 5 && by("ox") > 0, "{kept:#?}");
    // Of what was asked in process every byte is counted.
    let asked: Vec<&Value> = kept.iter().filter(|one| one["purpose"] == "vendor api").collect();
    assert!(asked.iter().all(|one| one["sent"].as_u64() > Some(50) && one["received"].as_u64() > Some(50)));
}

#[test]
fn a_remote_of_ones_own_and_one_that_refuses_are_told_of() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    let repo = env.repo("p");
    let served = env.work().join("served");
    fs::create_dir(&served).unwrap();
    env.git(&served, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
    let server = GitServer::start(&env, &served);
    let refusing = Port::refusing();
    let nobody = format!("http://{}/team.git", refusing.address());
    let mut traced = Traced::new(strace, &env, &repo);
    traced.daemon();
    assert_eq!(traced.ox(&["up", "--yes", "--ledger", &server.url("ledger.git")]), Some(0));
    assert_eq!(traced.ox(&["sync"]), Some(0));
    let place = format!("http://{}", refusing.address());
    assert!(traced.ox(&["login", "--relay", &place, "--no-browser", "--yes"]) > Some(0));
    assert!(traced.ox(&["login", "--endpoint", &place, "--no-browser"]) > Some(0));
    traced.ox(&["team", "add", &format!("gone={nobody}"), "--yes"]);
    traced.ox(&["ledger", "set-remote", &format!("http://{}/l.git", refusing.address()), "--yes"]);
    let seen = traced.end();
    let kept = receipts(&env);
    assert_eq!(seen, peers_of(&kept));
    let both: Peers = [server.address(), refusing.address()]
        .map(|address| (address.ip().to_string(), u64::from(address.port())))
        .into();
    assert_eq!(seen, both);
    let refused: Vec<&Value> = kept
        .iter()
        .filter(|one| one["port"] == refusing.address().port())
        .map(|one| &one["outcome"])
        .collect();
    assert!(!refused.is_empty() && refused.iter().all(|outcome| **outcome == "refused"), "{refused:?}");
    let purposes = purposes_of(&kept, refusing.address().port());
    assert!(purposes.contains("login") && purposes.contains("sync"), "{purposes:?}");
}

#[test]
fn on_paths_alone_nobody_is_contacted_and_no_receipt_is_made() {
    let Some(strace) = strace() else { return };
    let mut env = TestEnv::new();
    // Whatever the environment says: a local project talks to nobody.
    env.set("SAGEOX_ENDPOINT", "https://127.0.0.1:1");
    env.set("CHAT_KEY", "x");
    let (repo, team) = (env.repo("p"), env.bare("team"));
    let mut traced = Traced::new(strace, &env, &repo);
    assert_eq!(traced.ox(&["init"]), Some(0));
    traced.daemon();
    for (args, code) in [
        (&["up"][..], 0),
        (&["status"], 0),
        (&["sync"], 0),
        (&["team", "add", &format!("t={}", team.display()), "--yes"], 0),
        (&["sync", "--all-teams"], 0),
        (&["session", "list"], 0),
        (&["session", "usage"], 0),
        (&["session", "archive", "status"], 0),
        (&["agent", "prime"], 0),
        (&["doctor"], 0),
        (&["agents", "status"], 0),
        (&["hooks", "status"], 0),
        (&["gc"], 0),
        (&["net"], 0),
        (&["net", "-v"], 0),
        (&["daemon", "status"], 0),
    ] {
        assert_eq!(traced.ox(args), Some(code), "{args:?}");
    }
    traced.ox(&["murmur", "Split the parser"]);
    let net = env.ox_in(&repo, ["net"]).ok();
    assert_eq!(net.stdout, "contacts nobody\n\nnobody was contacted\n");
    let shown = env.ox_in(&repo, ["net", "--json"]).ok().json();
    assert_eq!((&shown["contacts_nobody"], &shown["contacted"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(traced.end(), Peers::new());
    assert_eq!(receipts(&env), Vec::<Value>::new());
    assert!(!env.data().join("sageox/net").exists(), "there is nothing to keep");
}
