//! A newcomer's way: an address with a slip, the right one, a remote that wants a password, a conflict, a team on an untrusted host. Each is
//! mended by what is printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use super::teams::config;
use crate::support::http_git::{Fault, GitServer};
use crate::support::{Ran, TestEnv};

/// The command that is printed as the next one.
fn printed(ran: &Ran) -> String {
    let lines = ran.stderr.lines().chain(ran.stdout.lines());
    let found = lines.filter_map(|l| l.strip_prefix("hint: ").or_else(|| l.strip_prefix("next: "))).next();
    found.unwrap_or_else(|| panic!("nothing is printed to go on with: {ran:?}")).to_owned()
}

#[test]
fn a_newcomer_is_led_through_by_what_is_printed() {
    let mut env = TestEnv::new();
    // Its host is this machine.
    let ssh = env.work().join("ssh");
    fs::write(&ssh, "#!/bin/sh\nfor last; do :; done\neval \"$last\"\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    env.set("GIT_SSH_COMMAND", &ssh);
    env.set("GIT_SSH_VARIANT", "ssh");
    let served = env.work().join("srv");
    fs::create_dir(&served).unwrap();
    env.git(&served, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
    let server = GitServer::start(&env, &served);
    let repo = env.repo("r");

    // Outside of a repository, then in one.
    let plain = env.work().join("plain");
    fs::create_dir(&plain).unwrap();
    assert_eq!(printed(&env.ox_in(&plain, ["up"]).fails(2)), "git init");
    assert_eq!(printed(&env.ox_in(&repo, ["status"]).ok()), "ox up");

    // A slip, and the right address: nothing was written by the first.
    let wrong = env
        .ox_in(&repo, ["up", "--yes", "--ledger", &server.url("ledger.git").replace("ledger", "tpyo")])
        .fails(2);
    assert!(wrong.stderr.contains("nothing was changed"), "{wrong:?}");
    assert!(printed(&wrong).starts_with("git ls-remote "), "{wrong:?}");
    assert!(!repo.join(".sageox").exists());
    // The server wants a password that git has not.
    server.fault(Some(Fault::Status(401)));
    let refused = env.ox_in(&repo, ["up", "--yes", "--ledger", &server.url("ledger.git")]).fails(5);
    assert!(printed(&refused).starts_with("git ls-remote http://127.0.0.1"), "{refused:?}");
    server.fault(None);
    let up = env.ox_in(&repo, ["up", "--yes", "--ledger", &server.url("ledger.git")]).ok();
    assert_eq!(printed(&up), "git add .sageox && git commit -m 'Add ox project files'");
    env.git(&repo, ["add", ".sageox"]);
    env.git(&repo, ["commit", "-q", "-m", "Add ox project files"]);

    // A conflict.
    let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
    let ledger = PathBuf::from(status["ledger"]["path"].as_str().unwrap());
    let other = env.work().join("other");
    env.git(env.work(), ["clone", "-q", &server.url("ledger.git"), "other"]);
    for (dir, text) in [(&other, "theirs\n"), (&ledger, "mine\n")] {
        fs::write(dir.join("notes.md"), text).unwrap();
        env.git(dir, ["add", "--sparse", "notes.md"]);
        env.git(dir, ["commit", "-q", "-m", "notes"]);
    }
    env.git(&other, ["push", "-q"]);
    let conflict = env.ox_in(&repo, ["sync"]).fails(1);
    let way = printed(&conflict);
    assert_eq!(way, printed(&env.ox_in(&repo, ["status"]).ok()), "one way out");
    let words: Vec<&str> = way.split(',').next().unwrap().split_whitespace().skip(1).collect();
    env.try_git(&repo, &words);
    fs::write(ledger.join("notes.md"), "both\n").unwrap();
    env.git(&ledger, ["add", "notes.md"]);
    env.git(&ledger, ["-c", "core.editor=true", "rebase", "--continue"]);
    assert!(way.ends_with("then: ox sync"), "{way}");
    env.ox_in(&repo, ["sync"]).ok();

    // A team on a host that nobody has trusted, named by somebody else's commit.
    let mut value = config(&repo);
    let team = format!("ssh://me@gitbox.example{}", env.bare("plat.git").display());
    value["teams"] = json!([{ "team_id": "plat", "name": "", "url": team }]);
    fs::write(repo.join(".sageox/config.json"), value.to_string()).unwrap();
    let status = env.ox_in(&repo, ["status"]).ok();
    assert!(status.stdout.starts_with("◐ Waiting for trust"), "{status:?}");
    assert_eq!(printed(&status), "ox up");
    let asked = env.ox_in(&repo, ["up"]).ok();
    assert_eq!(printed(&asked), "ox up --yes", "there is no terminal to ask on");
    env.ox_in(&repo, ["up", "--yes"]).ok();
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(status.starts_with("● Healthy") && !status.contains("next: "), "{status}");
    assert!(env.ox_in(&repo, ["doctor"]).ok().stdout.contains("no problems"));
    env.stop_daemon();
}
