//! A ledger whose clone leaves contents at the remote moves to another remote whole.

use std::fs;

use crate::support::TestEnv;
use crate::support::http_git::GitServer;

#[test]
fn a_partial_ledger_moves_with_all_of_its_history() {
    let env = TestEnv::new();
    let host = TestEnv::new();
    let remotes = host.work().join("remotes");
    fs::create_dir_all(&remotes).unwrap();
    for name in ["old.git", "new.git"] {
        host.git(&remotes, ["init", "-q", "--bare", "-b", "main", name]);
        host.git(remotes.join(name), ["config", "uploadpack.allowFilter", "true"]);
    }
    // A past of contents that no machine of today checks out.
    host.git(host.work(), ["clone", "-q", remotes.join("old.git").to_str().unwrap(), "past"]);
    let past = host.work().join("past");
    fs::create_dir_all(past.join("assets")).unwrap();
    for n in 0..5 {
        fs::write(past.join("AGENTS.md"), format!("state {n}\n")).unwrap();
        fs::write(past.join("assets/large.bin"), format!("large {n}\n").repeat(100)).unwrap();
        host.git(&past, ["add", "-A"]);
        host.git(&past, ["commit", "-q", "-m", "past"]);
    }
    host.git(&past, ["push", "-q", "origin", "HEAD:main"]);
    let server = GitServer::start(&host, &remotes);
    let repo = env.repo("p");
    env.ox_in(&repo, ["up", "--yes", "--ledger", &server.url("old.git")]).ok();
    let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
    let ledger = status["ledger"]["path"].as_str().unwrap();
    let lacking = env.git(ledger, ["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert!(lacking.lines().any(|l| l.starts_with('?')), "the clone has everything, so this shows nothing");

    env.ox_in(&repo, ["ledger", "set-remote", &server.url("new.git"), "--yes"]).ok();
    fs::rename(remotes.join("old.git"), remotes.join("gone.git")).unwrap();
    host.git(remotes.join("new.git"), ["fsck", "--full", "--strict", "--connectivity-only"]);
    env.git(env.work(), ["clone", "-q", &server.url("new.git"), "whole"]);
    let whole = env.work().join("whole");
    let count = |dir: &std::path::Path| host.git(dir, ["rev-list", "--objects", "HEAD"]).lines().count();
    assert_eq!(count(&whole), count(&past));
    for n in 0..5 {
        let text = env.git(&whole, ["show", &format!("HEAD~{n}:assets/large.bin")]);
        assert_eq!(text, format!("large {}\n", 4 - n).repeat(100).trim_end());
    }
    env.ox_in(&repo, ["sync"]).ok();
    env.ox(["daemon", "stop", "--all"]).ok();
    drop(server);
}
