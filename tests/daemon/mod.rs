//! The daemon as its users have it: machines that share a ledger, many commands at once, many projects, nothing on the network unasked.

mod checkout;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::support::http_git::GitServer;
use crate::support::{HANG, TestEnv, until, until_or};
use serde_json::Value;

/// The shortest interval that the configuration allows.
fn quick(env: &TestEnv, dir: &Path) {
    env.ox_in(dir, ["config", "set", "daemon.sync_interval_read", "10s"]).ok();
}

fn ledger_of(env: &TestEnv, repo: &Path) -> PathBuf {
    let status = env.ox_in(repo, ["status", "--json"]).ok().json();
    PathBuf::from(status["ledger"]["path"].as_str().expect("a ledger"))
}

fn commit(env: &TestEnv, ledger: &Path, name: &str, text: &str) {
    let path = ledger.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    env.git(ledger, ["add", name]);
    env.git(ledger, ["commit", "-q", "-m", name]);
}

fn is_running(env: &TestEnv) -> bool {
    env.daemon_pid().is_some_and(|pid| crate::support::census::state(pid).is_some())
}

#[test]
fn two_machines_share_a_ledger_over_http_without_a_command() {
    let (a, b) = (TestEnv::new(), TestEnv::new());
    let remotes = a.work().join("remotes");
    fs::create_dir_all(&remotes).unwrap();
    a.git(&remotes, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
    a.git(&remotes, ["init", "-q", "--bare", "-b", "main", "code.git"]);
    let server = GitServer::start(&a, &remotes);

    // The first machine makes the project, and the team gets it by an ordinary push.
    let repo_a = a.repo("proj");
    quick(&a, &repo_a);
    a.ox_in(&repo_a, ["up", "--ledger", &server.url("ledger.git")]).ok();
    a.git(&repo_a, ["add", ".sageox"]);
    a.git(&repo_a, ["commit", "-q", "-m", "ox"]);
    a.git(&repo_a, ["push", "-q", &server.url("code.git"), "HEAD:main"]);
    // The second clones it and says the same one word.
    let repo_b = b.work().join("proj");
    b.git(b.work(), ["clone", "-q", &server.url("code.git"), "proj"]);
    quick(&b, &repo_b);
    b.ox_in(&repo_b, ["up"]).ok();

    let (ledger_a, ledger_b) = (ledger_of(&a, &repo_a), ledger_of(&b, &repo_b));
    assert_ne!(ledger_a, ledger_b);
    commit(&a, &ledger_a, "data/note.txt", "from a");
    // A pushes within its interval, B pulls within its own.
    let seen = ledger_b.join("data/note.txt");
    let log =
        |env: &TestEnv| fs::read_to_string(env.cache().join("sageox/logs/daemon.log")).unwrap_or_default();
    until_or(
        || fs::read(&seen).is_ok_and(|b| b == b"from a"),
        || format!("a:\n{}\nb:\n{}", log(&a), log(&b)),
    );
    for (env, repo) in [(&a, &repo_a), (&b, &repo_b)] {
        let status = env.ox_in(repo, ["status", "--json"]).ok().json();
        assert_eq!(status["ledger"]["exists"], true, "{status}");
        let text = env.ox_in(repo, ["status"]).ok().stdout;
        assert!(text.contains("Healthy") && text.contains("synced"), "{text}");
    }
    for env in [&a, &b] {
        env.ox(["daemon", "stop", "--all"]).ok();
        assert!(!is_running(env));
        assert!(env.sockets().is_empty(), "{:?}", env.sockets());
    }
    drop(server);
}

#[test]
fn twenty_projects_are_one_process() {
    let env = TestEnv::new();
    let repos: Vec<PathBuf> = (0..20).map(|n| env.repo(&format!("p{n}"))).collect();
    for repo in &repos {
        env.ox_in(repo, ["up"]).ok();
    }
    let list = env.ox(["daemon", "list", "--json"]).ok().json();
    let pids: Vec<&Value> = list.as_array().unwrap().iter().map(|d| &d["pid"]).collect();
    assert_eq!(pids.len(), 20, "{list}");
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{list}");
    let daemons = env.processes();
    assert_eq!(daemons.len(), 1, "{daemons:?}");
    // The first to go leaves the others alone; the last takes the process with it.
    env.ox_in(&repos[0], ["daemon", "stop"]).ok();
    assert_eq!(env.ox(["daemon", "list", "--json"]).ok().json().as_array().unwrap().len(), 19);
    for repo in &repos[1..] {
        env.ox_in(repo, ["daemon", "stop"]).ok();
    }
    until_or(|| env.processes().is_empty(), || format!("{:?}", env.processes()));
}

#[test]
fn ipc_06_fifty_commands_at_once_make_one_daemon_and_all_are_answered() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    let mut calls: Vec<_> = (0..50).map(|_| env.start_ox(&repo, ["sync", "--json"])).collect();
    let codes: Vec<_> = calls.iter_mut().map(|c| c.ended().code()).collect();
    assert!(codes.iter().all(|c| *c == Some(0)), "{codes:?}");
    let daemons = env.processes();
    assert_eq!(daemons.len(), 1, "{daemons:?}");
    assert_eq!(crate::support::census::zombies_of(env.daemon_pid().unwrap()), 0);
}

#[test]
fn syn_16_a_failed_sync_says_so_and_a_mended_one_is_healthy_again() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let remote = env.bare("l.git");
    env.ox_in(&repo, ["up", "--ledger", remote.to_str().unwrap()]).ok();
    let aside = remote.with_extension("aside");
    fs::rename(&remote, &aside).unwrap();
    let failed = env.ox_in(&repo, ["sync"]);
    assert_ne!(failed.code, Some(0), "{}", failed.stdout);
    assert!(failed.stderr.contains("error"), "{}", failed.stderr);
    let issues = env.ox_in(&repo, ["daemon", "status", "--json"]).ok().json();
    assert_eq!(issues["issues"][0]["type"], "sync_backoff", "{issues}");
    fs::rename(&aside, &remote).unwrap();
    env.ox_in(&repo, ["sync"]).ok();
    let healed = env.ox_in(&repo, ["daemon", "status", "--json"]).ok().json();
    assert!(healed.get("issues").is_none_or(|i| i.as_array().is_some_and(Vec::is_empty)), "{healed}");
}

#[test]
fn a_failure_that_lasts_is_kept_until_it_is_marked_also_without_the_daemon_and_over_damage() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let remote = env.bare("l.git");
    env.ox_in(&repo, ["up", "--ledger", remote.to_str().unwrap()]).ok();
    let errors = |more: &[&str]| {
        let args = ["daemon", "errors", "--json"].iter().chain(more);
        let Value::Array(errors) = env.ox_in(&repo, args).ok().json()["errors"].take() else {
            panic!("a list")
        };
        errors
    };
    assert!(errors(&[]).is_empty());
    let away = remote.with_extension("away");
    fs::rename(&remote, &away).unwrap();
    for _ in 0..2 {
        assert_ne!(env.ox_in(&repo, ["sync"]).code, Some(0));
    }
    let seen = errors(&[]);
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0]["code"], &seen[0]["viewed"]), (&"sync_failed".into(), &false.into()));
    // From anywhere, those of all projects; an error goes by its code.
    let other = env.repo("q");
    env.ox_in(&other, ["up"]).ok();
    let everywhere = env.ox_in(env.work(), ["daemon", "errors", "--all-projects", "--json"]).ok().json();
    let project = everywhere["errors"][0]["project"].as_str();
    assert_eq!((project, everywhere["errors"].as_array().map(Vec::len)), (repo.to_str(), Some(1)));
    let page = env.ox_in(&other, ["daemon", "errors", "--all-projects"]).ok().stdout;
    assert!(page.starts_with("PROJECT") && page.contains("sync_failed"), "{page}");
    env.ox_in(&other, ["daemon", "errors", "--mark", "sync_failed"]).fails(2);
    env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
    until(|| !is_running(&env));
    assert_eq!(errors(&[]), seen);
    let dir = env.runtime().join("sageox/daemon");
    let names = || fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path());
    let is_errors = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with("errors-");
    let file = names().find(is_errors).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut bytes = fs::read(&file).unwrap();
    bytes.pop();
    fs::write(&file, &bytes).unwrap();
    env.ox_in(&repo, ["daemon", "start"]).ok();
    assert_eq!(errors(&[]), seen);
    env.ox_in(&repo, ["daemon", "errors", "--mark", "sync_failed", seen[0]["id"].as_str().unwrap()]).ok();
    assert!(errors(&[]).is_empty());
    let all = errors(&["--all"]);
    assert_eq!((all.len(), &all[0]["id"], &all[0]["viewed"]), (1, &seen[0]["id"], &true.into()));
    let aside = file.with_extension("json.damaged");
    assert_eq!(fs::read(&aside).unwrap(), bytes);
    let log = env.ox_in(&repo, ["daemon", "logs", "--all"]).ok().stdout;
    assert!(log.contains("was damaged; it is now"), "{log}");
}

#[test]
fn commands_tell_the_daemon_who_runs_them_and_where() {
    let mut env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    env.git(&repo, ["add", "-A"]);
    env.git(&repo, ["commit", "-q", "-m", "ox"]);
    let tree = env.work().join("tree");
    env.git(&repo, ["worktree", "add", "-q", tree.to_str().unwrap()]);
    let us = std::process::id();
    for (dir, agent, kind) in [(&repo, "Oxaaaa", "codex"), (&tree, "Oxbbbb", "claude-code")] {
        env.set("SAGEOX_AGENT_ID", agent);
        env.set("AGENT_ENV", kind);
        env.set("OX_PARENT_PID", us.to_string());
        env.ox_in(dir, ["status"]).ok();
    }
    let socket = env.sockets().into_iter().find(|s| s.to_string_lossy().contains("daemon-")).unwrap();
    let agents = || {
        let answer = answers(&socket, r#"{"type":"instances"}"#).remove(0);
        let all = answer["data"]["instances"].as_array().unwrap().clone();
        let text = |v: &Value| v.as_str().unwrap().to_string();
        let mut all: Vec<_> = all
            .iter()
            .map(|a| {
                let pid = a["parent_pid"].as_u64().unwrap();
                (text(&a["agent_id"]), text(&a["agent_type"]), text(&a["workspace_path"]), pid)
            })
            .collect();
        all.sort();
        all
    };
    let at = |dir: &Path| dir.to_str().unwrap().to_string();
    let expected = [
        ("Oxaaaa".to_string(), "codex".to_string(), at(&repo), u64::from(us)),
        ("Oxbbbb".to_string(), "claude-code".to_string(), at(&tree), u64::from(us)),
    ];
    until_or(|| agents() == expected, || format!("{:?}", agents()));
    let status = || answers(&socket, r#"{"type":"status"}"#).remove(0)["data"].take();
    let callers = |status: &Value| status["callers"].as_array().map_or(0, Vec::len);
    until_or(|| callers(&status()) == 2, status);
    assert_eq!(status()["workspace_path"], at(&tree));
    assert_eq!(status()["callers"][0]["agent_id"], "Oxbbbb");
}

#[test]
fn ipc_09_a_newer_command_has_the_daemon_run_anew_once_with_its_projects() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let pid = env.daemon_pid().unwrap();
    let socket = env.sockets().into_iter().find(|s| s.to_string_lossy().contains("daemon-")).unwrap();
    let call = |version: &str| {
        let beat = serde_json::json!({"type": "heartbeat", "payload": {"cli_version": version}});
        assert!(answers(&socket, &beat.to_string()).is_empty());
    };
    let starts = || {
        let log = env.ox_in(&repo, ["daemon", "logs", "--all", "-n", "1000"]).ok().stdout;
        log.matches("started: ox").count()
    };
    for older in ["0.6.1+rs.0.0.1", "0.7.0", "nonsense"] {
        call(older);
    }
    assert_eq!(starts(), 1);
    call("0.6.1+rs.99.0.0");
    until(|| starts() == 2);
    // The same process, and it serves the project without anybody asking for it.
    let serves = || env.ox_in(&repo, ["daemon", "status", "--json"]).json()["running"] == true;
    until(serves);
    assert_eq!(env.daemon_pid(), Some(pid));
    // Its program was not replaced: it does not try again, and for no other version within ten minutes.
    for version in ["0.6.1+rs.99.0.0", "0.6.1+rs.99.0.1"] {
        call(version);
        env.ox_in(&repo, ["sync"]).ok();
    }
    assert_eq!(starts(), 2);
}

#[test]
fn heartbeat_files_tell_that_the_clones_are_kept_current() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let dir = env.cache().join("sageox/local/heartbeats");
    let files = || -> Vec<PathBuf> {
        let all = fs::read_dir(&dir).into_iter().flatten();
        all.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect()
    };
    let last = |p: &PathBuf| -> Value {
        let text = fs::read_to_string(p).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    };
    let healthy = || files().len() == 2 && files().iter().all(|p| last(p)["status"] == "healthy");
    until_or(healthy, || format!("{:?}", files()));
    for file in files() {
        let line = last(&file);
        assert_eq!(line["pid"], env.daemon_pid().unwrap());
        assert_eq!((&line["version"], &line["workspace"]), (&"0.6.1".into(), &repo.to_str().unwrap().into()));
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("repo_"), "{name}");
    }
}

#[test]
fn syn_12_a_failed_fetch_notes_nothing_and_the_next_one_is_not_put_off() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let remotes = env.work().join("remotes");
    fs::create_dir_all(&remotes).unwrap();
    env.git(&remotes, ["init", "-q", "--bare", "-b", "main", "ledger.git"]);
    let mut server = GitServer::start(&env, &remotes);
    env.ox_in(&repo, ["up", "--ledger", &server.url("ledger.git")]).ok();
    let other = env.work().join("other");
    env.git(env.work(), ["clone", "-q", remotes.join("ledger.git").to_str().unwrap(), "other"]);
    commit(&env, &other, "data/new.txt", "new");
    env.git(&other, ["push", "-q", "origin", "HEAD:main"]);
    let locks = env.data().join("sageox/local/locks");
    let stamp = || {
        let lock = fs::read_dir(&locks).unwrap().map(|e| e.unwrap().path()).next().unwrap();
        fs::read_to_string(lock).unwrap()
    };
    let before = stamp();
    server.down();
    let failed = env.ox_in(&repo, ["sync"]);
    assert_ne!(failed.code, Some(0), "{}", failed.stdout);
    assert_eq!(stamp(), before);
    server.up();
    env.ox_in(&repo, ["sync"]).ok();
    assert!(ledger_of(&env, &repo).join("data/new.txt").exists());
    assert_ne!(stamp(), before);
    env.ox(["daemon", "stop", "--all"]).ok();
}

#[test]
fn syn_15_cleaning_the_clone_loses_nothing_of_ours() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let ledger = ledger_of(&env, &repo);
    commit(&env, &ledger, "data/a.txt", "a");
    env.ox_in(&repo, ["sync"]).ok();
    env.git(&ledger, ["clean", "-q", "-f", "-d", "-x"]);
    env.git(&ledger, ["sparse-checkout", "set", "--no-cone", "/*"]);
    commit(&env, &ledger, "data/b.txt", "b");
    env.ox_in(&repo, ["sync"]).ok();
    let status = env.ox_in(&repo, ["daemon", "status", "--json"]).ok().json();
    assert_eq!(status["health"], "healthy", "{status}");
    assert_eq!(env.git(&ledger, ["status", "--porcelain"]).trim(), "");
    let remotes = env.data().join("sageox/local/remotes");
    let remote = fs::read_dir(remotes).unwrap().next().unwrap().unwrap().path();
    assert!(env.git(&remote, ["ls-tree", "-r", "--name-only", "main"]).contains("data/b.txt"));
}

#[test]
fn res_02_memory_stays_small_under_many_requests() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let socket = env.sockets().into_iter().find(|s| s.to_string_lossy().contains("daemon-")).unwrap();
    for _ in 0..2000 {
        assert_eq!(answers(&socket, "{\"type\":\"status\"}")[0]["success"], true);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", env.daemon_pid().unwrap())).unwrap();
    // Its own memory: pages of the program count by how it was compiled.
    let line = status.lines().find(|l| l.starts_with("RssAnon:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib <= 10 * 1024, "{kib} KiB");
}

#[test]
fn res_08_what_cannot_be_made_again_is_on_disk_before_it_has_its_name() {
    let Some(strace) =
        ["/usr/bin/strace", "/usr/local/bin/strace"].into_iter().find(|p| Path::new(p).exists())
    else {
        println!("skipped: strace is not installed");
        return;
    };
    let env = TestEnv::new();
    let repo = env.repo("p");
    let trace = env.work().join("trace");
    let args = [
        "-f",
        "-qq",
        "-y",
        "-e",
        "trace=fsync,fdatasync,rename",
        "-o",
        trace.to_str().unwrap(),
        crate::support::OX,
        "init",
    ];
    assert_eq!(env.start(strace, &repo, args).ended().code(), Some(0));
    let text = fs::read_to_string(trace).unwrap();
    let last = |what: &dyn Fn(&str) -> bool| {
        text.lines().collect::<Vec<_>>().iter().rposition(|l| what(l)).unwrap_or_else(|| panic!("{text}"))
    };
    let synced = last(&|l| l.contains("sync(") && l.contains(".config.json."));
    let named = last(&|l| l.contains("rename(") && l.contains("/config.json\""));
    let directory = last(&|l| l.contains("sync(") && l.contains(".sageox>"));
    assert!(synced < named && named < directory, "{text}");
}

#[test]
fn rescued_work_is_kept_for_thirty_days() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let ledger = ledger_of(&env, &repo);
    let now = jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap().as_second();
    let name = |days: i64| format!("refs/ox/rescue/{}", now - days * 86_400);
    for days in [29, 31] {
        env.git(&ledger, ["update-ref", &name(days), "HEAD"]);
    }
    commit(&env, &ledger, "data/a.txt", "a");
    env.ox_in(&repo, ["sync"]).ok();
    let refs = env.git(&ledger, ["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
    assert_eq!(refs.trim(), name(29));
}

#[test]
fn an_emptied_remote_is_an_issue_and_not_a_level_one() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let remote = env.bare("l.git");
    env.ox_in(&repo, ["up", "--ledger", remote.to_str().unwrap()]).ok();
    env.git(&remote, ["update-ref", "-d", "refs/heads/main"]);
    let said = env.ox_in(&repo, ["sync"]);
    assert_ne!(said.code, Some(0), "{}", said.stdout);
    let status = env.ox_in(&repo, ["daemon", "status", "--json"]).ok().json();
    let kinds: Vec<&Value> = status["issues"].as_array().unwrap().iter().map(|i| &i["type"]).collect();
    assert!(kinds.contains(&&Value::from("diverged")), "{status}");
    assert_eq!(env.git(&remote, ["for-each-ref"]).trim(), "");
}

#[test]
fn work_in_the_way_is_kept_beside_and_named_until_it_is_settled() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let remote = env.bare("l.git");
    env.ox_in(&repo, ["up", "--ledger", remote.to_str().unwrap()]).ok();
    let ledger = ledger_of(&env, &repo);
    commit(&env, &ledger, "data/a.txt", "base\n");
    env.ox_in(&repo, ["sync"]).ok();
    // Somebody else changes the file, and so does somebody here without committing it.
    let other = env.work().join("other");
    env.git(env.work(), ["clone", "-q", remote.to_str().unwrap(), "other"]);
    commit(&env, &other, "data/a.txt", "theirs\n");
    env.git(&other, ["push", "-q", "origin", "HEAD:main"]);
    fs::write(ledger.join("data/a.txt"), "mine\n").unwrap();
    env.ox_in(&repo, ["sync"]).ok();
    assert_eq!(fs::read_to_string(ledger.join("data/a.txt")).unwrap(), "theirs\n");
    let beside: Vec<PathBuf> =
        fs::read_dir(ledger.join("data")).unwrap().map(|e| e.unwrap().path()).collect();
    let copy = beside.iter().find(|p| p.to_string_lossy().contains(".conflict-")).expect("a copy").clone();
    assert_eq!(fs::read_to_string(&copy).unwrap(), "mine\n");
    let issues = || {
        let status = env.ox_in(&repo, ["daemon", "status", "--json"]).ok().json();
        status["issues"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(issues(), 1);
    env.ox_in(&repo, ["sync"]).ok();
    assert_eq!(issues(), 1, "it stays until somebody settles it");
    fs::remove_file(copy).unwrap();
    env.ox_in(&repo, ["sync"]).ok();
    assert_eq!(issues(), 0);
}

#[test]
fn a_ledger_moves_to_another_remote_and_the_running_daemon_follows() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let ledger = ledger_of(&env, &repo);
    commit(&env, &ledger, "data/before.txt", "before");
    let remote = env.bare("new.git");
    env.ox_in(&repo, ["ledger", "set-remote", remote.to_str().unwrap(), "--yes"]).ok();
    assert!(env.git(&remote, ["ls-tree", "-r", "--name-only", "main"]).contains("data/before.txt"));
    commit(&env, &ledger, "data/after.txt", "after");
    env.ox_in(&repo, ["sync"]).ok();
    assert!(env.git(&remote, ["ls-tree", "-r", "--name-only", "main"]).contains("data/after.txt"));
    let status = env.ox_in(&repo, ["daemon", "status", "--json"]).ok().json();
    assert_eq!(status["health"], "healthy", "{status}");
}

#[test]
fn syn_18_nothing_of_the_users_repository_changes_but_dot_sageox() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.git(&repo, ["worktree", "add", "-q", "../linked", "-b", "side"]);
    let before = picture(&env, &repo);
    env.ox_in(&repo, ["up"]).ok();
    env.ox_in(&repo, ["sync"]).ok();
    env.ox_in(env.work().join("linked"), ["status"]);
    assert_eq!(picture(&env, &repo), before);
    assert_eq!(env.git(&repo, ["status", "--porcelain"]).trim(), "?? .sageox/");
}

fn picture(env: &TestEnv, repo: &Path) -> Vec<String> {
    let config = fs::read_to_string(repo.join(".git/config")).unwrap();
    let hooks = fs::read_dir(repo.join(".git/hooks")).map_or(0, Iterator::count).to_string();
    let index = fs::read(repo.join(".git/index")).map(|b| format!("{b:?}")).unwrap_or_default();
    vec![config, hooks, index, env.git(repo, ["for-each-ref"]), env.git(repo, ["worktree", "list"])]
}

/// What a line has: its keys in order, with `null`, `bool`, `number`, `string` in place of values.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), shape(v))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(shape).collect()),
        Value::Null => "null".into(),
        Value::Bool(b) => (*b).into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
    }
}

fn answers(socket: &Path, line: &str) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    BufReader::new(stream).lines().map(|l| serde_json::from_str(&l.unwrap()).unwrap()).collect()
}

/// Keys that 0.6.1 or this program has and the recorded 0.3.0 had not, or that were left out there because they were zero.
const NEWER: [&str; 9] = [
    "last_whisper",
    "startup_duration_ms",
    "sync_metrics",
    "clone_url",
    "total_syncs",
    "syncs_last_hour",
    "head",
    "remote_changed",
    "next_sync",
];

fn without_newer(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(k, _)| {
                    !NEWER.contains(&k.as_str()) && k != "avg_sync_time" && k != "project_team_id"
                })
                .map(|(k, v)| (k, without_newer(v)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(without_newer).collect()),
        other => other,
    }
}

#[test]
fn recorded_calls_of_the_go_client_are_answered_in_the_recorded_shape() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let socket = env.sockets().into_iter().find(|s| s.to_string_lossy().contains("daemon-")).unwrap();
    let frames =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ipc-go-0.3.0.jsonl"))
            .unwrap();
    let frames: Vec<Value> = frames.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let lines_of = |conn: &Value, from: &str| -> Vec<Value> {
        let of = frames.iter().filter(|f| f["conn"] == *conn && f["from"] == from);
        of.map(|f| serde_json::from_str(f["line"].as_str().unwrap()).unwrap()).collect()
    };
    let mut seen = 0;
    for conn in [1, 2, 3, 4, 6, 7, 10, 11, 15, 16, 17, 18, 20].map(Value::from) {
        let ask = lines_of(&conn, "client")[0].to_string();
        if conn == 18 {
            // A heartbeat has no answer that tells when it has been taken in.
            let agents = || answers(&socket, &ask)[0]["data"]["instances"].as_array().unwrap().len();
            until(|| agents() == 1);
        }
        let expected: Vec<Value> =
            lines_of(&conn, "server").into_iter().map(|v| shape(&without_newer(v))).collect();
        let got: Vec<Value> = answers(&socket, &ask).into_iter().map(|v| shape(&without_newer(v))).collect();
        if ask.contains("sync_history") {
            // The recorded one was empty; ours lists the first clone.
            assert_eq!(got[0]["success"], expected[0]["success"]);
            assert!(got[0]["data"].is_array());
        } else if ask.contains("\"sync\"") {
            // Nothing new: the same two lines, whatever came before them.
            assert_eq!(got[got.len() - 2..], expected[..], "{ask}");
        } else {
            let text = |v: &[Value]| v.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            assert_eq!(text(&got), text(&expected), "{ask}");
        }
        seen += 1;
    }
    assert_eq!(seen, 13);
    until_or(|| !is_running(&env), || "the recorded stop was its last project's");
}

#[test]
fn one_way_messages_get_no_byte_and_types_not_built_are_unknown() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["up"]).ok();
    let socket = env.sockets().into_iter().find(|s| s.to_string_lossy().contains("daemon-")).unwrap();
    for kind in ["heartbeat", "telemetry", "friction", "murmur", "session_finalize", "murmur_pause"] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(format!("{{\"type\":\"{kind}\",\"payload\":{{}}}}\n").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all.is_empty(), "{kind}: {}", String::from_utf8_lossy(&all));
    }
    for kind in ["code_search", "code_status", "nonsense", "attach"] {
        let answer = &answers(&socket, &format!("{{\"type\":\"{kind}\"}}"))[0];
        assert_eq!(answer.to_string(), "{\"success\":false,\"error\":\"unknown message type\"}", "{kind}");
    }
}

#[test]
fn local_mode_opens_no_internet_connection() {
    let strace = ["/usr/bin/strace", "/usr/local/bin/strace"].into_iter().find(|p| Path::new(p).exists());
    let Some(strace) = strace else {
        println!("skipped: strace is not installed");
        return;
    };
    let mut env = TestEnv::new();
    // Whatever the environment says: a local project talks to nobody.
    env.set("SAGEOX_ENDPOINT", "https://127.0.0.1:1");
    let repo = env.repo("p");
    let trace = env.work().join("trace");
    let traced = |args: &[&str]| {
        let mut all = vec![
            "-f",
            "-qq",
            "-e",
            "trace=connect,sendto",
            "-o",
            trace.to_str().unwrap(),
            crate::support::OX,
        ];
        all.extend(args);
        let mut cmd = env.start(strace, &repo, all);
        cmd.ended().code()
    };
    // The daemon in the foreground under the tracer, so that all it does is seen.
    env.ox_in(&repo, ["init"]).ok();
    let mut daemon = {
        let args = ["-f", "-qq", "-e", "trace=connect,sendto", "-o"];
        let daemon_trace = env.work().join("daemon-trace");
        let mut all: Vec<String> = args.iter().map(|s| (*s).to_string()).collect();
        all.push(daemon_trace.to_string_lossy().into_owned());
        all.extend([crate::support::OX, "daemon", "start", "--foreground"].map(str::to_string));
        env.start(strace, &repo, all)
    };
    until(|| env.ox_in(&repo, ["daemon", "status"]).code == Some(0));
    assert_eq!(traced(&["up"]), Some(0));
    assert_eq!(traced(&["sync"]), Some(0));
    env.ox(["daemon", "stop", "--all"]).ok();
    daemon.ended();
    for file in ["trace", "daemon-trace"] {
        let text = fs::read_to_string(env.work().join(file)).unwrap();
        assert!(text.contains("AF_UNIX") || file == "daemon-trace", "the tracer saw nothing:\n{text}");
        let inet: Vec<&str> = text.lines().filter(|l| l.contains("AF_INET")).collect();
        assert!(inet.is_empty(), "{inet:#?}");
    }
}
