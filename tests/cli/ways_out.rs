//! What goes wrong on the way to a remote: the code that the manual gives it, words that say what and why, and a hint that leads out.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::http_git::{Fault, GitServer};
use crate::support::{Ran, TestEnv};

/// A project whose ledger is at a server, synced once.
fn machine() -> (TestEnv, GitServer, PathBuf, PathBuf) {
    let env = TestEnv::new();
    let served = env.work().join("srv");
    fs::create_dir(&served).unwrap();
    env.git(&served, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
    let server = GitServer::start(&env, &served);
    let repo = env.repo("r");
    env.ox_in(&repo, ["init", "--yes", "--ledger", &server.url("ledger.git")]).ok();
    env.ox_in(&repo, ["up", "--yes"]).ok();
    let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
    let ledger = PathBuf::from(status["ledger"]["path"].as_str().unwrap());
    (env, server, repo, ledger)
}

fn hint(ran: &Ran) -> &str {
    ran.stderr
        .lines()
        .find_map(|line| line.strip_prefix("hint: "))
        .unwrap_or_else(|| panic!("no hint: {ran:?}"))
}

/// Another machine's commit.
fn push_elsewhere(env: &TestEnv, server: &GitServer, file: &str, text: &str) {
    let work = env.work().join("elsewhere");
    if !work.exists() {
        env.git(env.work(), ["clone", "-q", &server.url("ledger.git"), "elsewhere"]);
    }
    env.git(&work, ["pull", "-q", "--rebase"]);
    fs::write(work.join(file), text).unwrap();
    env.git(&work, ["add", file]);
    env.git(&work, ["commit", "-q", "-m", "elsewhere"]);
    env.git(&work, ["push", "-q"]);
}

fn commit(env: &TestEnv, ledger: &Path, file: &str, text: &str) {
    fs::write(ledger.join(file), text).unwrap();
    env.git(ledger, ["add", file]);
    env.git(ledger, ["commit", "-q", "-m", "own"]);
}

#[test]
fn a_host_that_fails_or_refuses_has_the_code_of_the_manual() {
    let (env, server, repo, _) = machine();
    for (fault, code, said, way) in [
        (Fault::Status(401), 5, "401", "git ls-remote http://127.0.0.1"),
        (Fault::Status(403), 5, "403", "git ls-remote http://127.0.0.1"),
        (Fault::Status(500), 7, "500", "ox sync"),
        (Fault::Reset, 7, "", "ox sync"),
        (Fault::Status(404), 2, "not found", "ox ledger set-remote"),
    ] {
        server.fault(Some(fault));
        for command in ["sync", "up"] {
            let ran = env.ox_in(&repo, [command]);
            assert_eq!(ran.code, Some(code), "{command} {fault:?}: {ran:?}");
            assert!(ran.stderr.contains(said), "{command} {fault:?}: {ran:?}");
            assert!(hint(&ran).starts_with(way), "{command} {fault:?}: {ran:?}");
            let json = env.ox_in(&repo, [command, "--json"]);
            assert_eq!(json.code, Some(code), "{command} {fault:?}: {json:?}");
        }
        server.fault(None);
        // What leads out is, in the end, the command itself.
        env.ox_in(&repo, ["sync"]).ok();
        let status = env.ox_in(&repo, ["status"]).ok().stdout;
        assert!(status.contains("Healthy"), "{fault:?}: {status}");
    }
    env.stop_daemon();
}

#[test]
fn a_conflict_names_the_command_that_leads_out() {
    let (env, server, repo, ledger) = machine();
    push_elsewhere(&env, &server, "notes.md", "theirs\n");
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    commit(&env, &ledger, "notes.md", "mine\n");
    let ran = env.ox_in(&repo, ["sync"]).fails(1);
    assert!(ran.stderr.contains("conflict in notes.md"), "{ran:?}");
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(
        status.contains("conflict in notes.md — last synced") && status.contains("attention"),
        "{status}"
    );
    assert_eq!(status.matches("conflict in notes.md").count(), 1, "{status}");
    assert!(status.contains(&format!("next: git -C {}", ledger.display())), "{status}");
    let doctor = env.ox_in(&repo, ["doctor"]).stdout;
    assert!(doctor.contains(&format!("git -C {} pull --rebase", ledger.display())), "{doctor}");
    // As it is printed, up to the first comma.
    let words: Vec<&str> = hint(&ran).split(',').next().unwrap().split_whitespace().skip(1).collect();
    assert_eq!(words, ["-C", ledger.to_str().unwrap(), "pull", "--rebase"], "{ran:?}");
    assert_ne!(env.try_git(&repo, &words).code, Some(0), "git stops where somebody has to decide");
    fs::write(ledger.join("notes.md"), "both\n").unwrap();
    env.git(&ledger, ["add", "notes.md"]);
    env.git(&ledger, ["-c", "core.editor=true", "rebase", "--continue"]);
    env.ox_in(&repo, ["sync"]).ok();
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(status.contains("Healthy") && !status.contains("conflict"), "{status}");
    assert_eq!(env.git(env.work().join("srv/ledger.git"), ["show", "main:notes.md"]), "both");
    env.stop_daemon();
}

/// What a remote refuses to take stays here, is said to wait with the reason, and goes as soon as the reason has gone.
#[test]
fn a_refused_push_is_said_with_its_reason_and_ends_with_it() {
    let (env, _server, repo, ledger) = machine();
    let hook = env.work().join("srv/ledger.git/hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho 'the quota is used up'\nexit 1\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    commit(&env, &ledger, "own.md", "own\n");
    let ran = env.ox_in(&repo, ["sync"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("quota"), "{ran:?}");
    let told = env.ox_in(&repo, ["murmur", "--topic", "t", "a word", "--json"]).ok().json();
    assert_eq!(told["status"], "queued");
    assert!(told["reason"].as_str().unwrap().contains("quota"), "{told}");
    fs::remove_file(&hook).unwrap();
    env.ox_in(&repo, ["sync"]).ok();
    assert!(env.ox_in(&repo, ["status"]).ok().stdout.contains("Healthy"));
    env.stop_daemon();
}

/// A slip of the finger is not told to the team; what was meant is named, and the word can be told all the same.
#[test]
fn a_mistyped_command_is_told_to_nobody() {
    let (env, _server, repo, ledger) = machine();
    for (word, meant) in [
        ("lsit", "ox murmur list"),
        ("remove", "ox murmur delete"),
        ("Status", "ox murmur status"),
        ("ls", "ox murmur list"),
    ] {
        let ran = env.ox_in(&repo, ["murmur", word]).fails(2);
        assert_eq!(hint(&ran), meant, "{ran:?}");
        assert!(ran.stderr.contains(&format!("ox murmur send {}", word.to_lowercase())), "{ran:?}");
    }
    assert!(!ledger.join("data/murmurs").exists(), "nothing was written");
    env.ox_in(&repo, ["murmur", "send", "--topic", "t", "lsit"]).ok();
    env.stop_daemon();
}

/// One fact, one verdict: every page says that the host does not answer, nothing is called broken, and all of it ends with the outage.
#[test]
fn offline_is_said_alike_everywhere_and_ends_by_itself() {
    let (mut env, server, repo, _) = machine();
    env.hurry();
    server.fault(Some(Fault::Reset));
    env.ox_in(&repo, ["sync"]).fails(7);
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(status.starts_with("◐ Offline") && status.contains("— last synced"), "{status}");
    assert!(!status.contains("next:"), "nothing is to be done: {status}");
    assert_eq!(env.ox_in(&repo, ["status", "--json"]).ok().json()["daemon"]["health"], "offline");
    let daemon = env.ox_in(&repo, ["daemon", "status"]).ok().stdout;
    assert!(daemon.starts_with("◐ Offline"), "{daemon}");
    let doctor = env.ox_in(&repo, ["doctor"]);
    assert!(doctor.stdout.contains("offline: "), "{doctor:?}");
    let told = env.ox_in(&repo, ["murmur", "--topic", "t", "a word", "--json"]).ok().json();
    assert_eq!(told["status"], "queued");
    server.fault(None);
    env.ox_in(&repo, ["sync"]).ok();
    let status = env.ox_in(&repo, ["status"]).ok().stdout;
    assert!(status.starts_with("● Healthy"), "{status}");
    env.stop_daemon();
}

/// A newcomer's first try has a slip in its address: nothing is written, the next command is named, and the right address then works; also
/// where the wrong one was written down by an older program.
#[test]
fn a_slip_in_the_ledgers_address_leaves_nothing_behind() {
    let env = TestEnv::new();
    let repo = env.repo("r");
    let wrong = env.work().join("tpyo ledger.git");
    let failed = env.ox_in(&repo, ["up", "--ledger", wrong.to_str().unwrap()]).fails(2);
    assert!(
        failed.stderr.contains("nothing was changed") && failed.stderr.contains("no repository at"),
        "{failed:?}"
    );
    assert!(!repo.join(".sageox").exists());
    // What is printed leads out, also with a space in it.
    let way = hint(&failed).to_owned();
    assert!(way.starts_with("git init --bare "), "{way}");
    assert_eq!(env.start("sh", &repo, ["-c", way.as_str()]).ended().code(), Some(0));
    env.ox_in(&repo, ["up", "--ledger", wrong.to_str().unwrap()]).ok();
    let again = env.ox_in(&repo, ["ledger", "set-remote", wrong.to_str().unwrap(), "--yes"]).ok();
    assert!(again.stdout.contains("already"), "{again:?}");

    let (other, right) = (env.repo("other"), env.bare("right.git"));
    let never = env.work().join("never.git");
    env.ox_in(&other, ["init", "--yes", "--ledger", never.to_str().unwrap()]).ok();
    let failed = env.ox_in(&other, ["up"]).fails(2);
    assert!(failed.stderr.contains("does not exist"), "{failed:?}");
    assert_eq!(hint(&failed), "ox ledger set-remote <URL>");
    env.ox_in(&other, ["ledger", "set-remote", right.to_str().unwrap(), "--yes"]).ok();
    env.ox_in(&other, ["up"]).ok();
    assert!(env.ox_in(&other, ["status"]).ok().stdout.contains("Healthy"));
    // A server that nobody answers at.
    let third = env.repo("third");
    let failed = env.ox_in(&third, ["up", "--yes", "--ledger", "http://127.0.0.1:9/x.git"]).fails(7);
    assert!(
        hint(&failed).starts_with("git ls-remote http://127.0.0.1:9/x.git")
            && !third.join(".sageox").exists()
    );
    env.stop_daemon();
}

/// Where a sync had to put somebody's edit beside a newer version, it says so at once, and what to do.
#[test]
fn a_sync_that_put_something_aside_says_so() {
    let (env, server, repo, ledger) = machine();
    push_elsewhere(&env, &server, "notes.md", "1\n");
    env.ox_in(&repo, ["sync"]).ok();
    fs::write(ledger.join("notes.md"), "mine\n").unwrap();
    push_elsewhere(&env, &server, "notes.md", "theirs\n");
    let ran = env.ox_in(&repo, ["sync"]).ok();
    assert!(ran.stderr.contains("notes.md") && ran.stderr.contains("next: ox rescue list"), "{ran:?}");
    assert_eq!(fs::read_to_string(ledger.join("notes.md")).unwrap(), "theirs\n");
    let quiet = env.ox_in(&repo, ["sync"]).ok();
    assert!(!quiet.stderr.contains("rescue"), "once: {quiet:?}");
    env.stop_daemon();
}
