//! `ox hook`: 0 and silent whatever happens, and the event in the spool where it belongs there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ox::hooks::flag::{self, Flag, Payload, Scope};
use ox::hooks::spool;
use serde_json::{Value, json};

use crate::support::{OX, TestEnv, run};

/// A machine with a project, on which the entries of these agents take events in.
fn machine(payload: Payload) -> (TestEnv, PathBuf) {
    let env = TestEnv::new();
    let repo = env.repo("r");
    fs::create_dir_all(repo.join(".sageox")).unwrap();
    fs::write(repo.join(".sageox/config.json"), r#"{"config_version":"2","repo_id":"repo_1"}"#).unwrap();
    for word in ["claude", "codex", "gemini", "opencode"] {
        let flag = Flag { scope: Scope::Initialized, payload, key: [7; 32], install_id: "i-1".into() };
        flag::write(&data(&env), word, &flag).unwrap();
    }
    (env, repo)
}

fn data(env: &TestEnv) -> PathBuf {
    env.data().join("sageox")
}

/// Has an entry run; it says nothing and ends with 0.
#[track_caller]
fn fire(env: &TestEnv, dir: &Path, words: &[&str], payload: &[u8]) {
    let args = [&["hook"], words].concat();
    let cmd = env.cmd(OX).args(&args).dir(dir).stdin_bytes(payload.to_vec()).deadline(Duration::from_secs(5));
    let ran = run(cmd, args.join(" "));
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""), "{words:?}");
}

/// What waits in the spool.
fn spooled(env: &TestEnv) -> Vec<Value> {
    let mut queue = spool::open(&data(env)).unwrap();
    queue.take_in().unwrap();
    let records = queue.read(queue.position(), usize::MAX, usize::MAX).unwrap();
    if let Some(last) = records.last() {
        queue.ack(last.next).unwrap();
    }
    assert_eq!(queue.losses(), Default::default());
    records.iter().map(|record| serde_json::from_slice(&record.bytes).unwrap()).collect()
}

fn call(repo: &Path) -> Value {
    json!({
        "session_id": "11111111-2222-4333-8444-555555555555", "transcript_path": "/t.jsonl", "cwd": repo,
        "hook_event_name": "PreToolUse", "permission_mode": "default", "effort": { "level": "high" },
        "tool_name": "Bash", "tool_input": { "description": "d", "command": "cat secret" }, "tool_use_id": "toolu_1",
    })
}

#[test]
fn an_event_is_taken_in_without_its_content() {
    let (env, repo) = machine(Payload::Meta);
    let deep = repo.join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    fire(&env, &deep, &["claude", "PreToolUse"], call(&deep).to_string().as_bytes());
    let all = spooled(&env);
    let [one] = &all[..] else { panic!("{all:?}") };
    let is = |key: &str, value: &str| assert_eq!(one[key], value, "{key} {one}");
    is("agent", "claude-code");
    is("event", "PreToolUse");
    is("raw_event", "PreToolUse");
    is("session_id", "11111111-2222-4333-8444-555555555555");
    is("tool_use_id", "toolu_1");
    is("tool_name", "Bash");
    is("permission_mode", "default");
    is("repo_id", "repo_1");
    let same = ox::hooks::identity::input_sha256("Bash", r#"{"command":"cat secret","description":"d"}"#);
    is("input_sha256", &same);
    assert!(one["caller_pid"].as_u64().unwrap() > 0 && one["at_ms"].as_i64().unwrap() > 0);
    let kept = one.to_string();
    for not in ["cat secret", "/t.jsonl", repo.to_str().unwrap(), "payload\""] {
        assert!(!kept.contains(not), "{not}: {kept}");
    }
    let modes: Vec<u32> = [spool::dir(&data(&env)), spool::dir(&data(&env)).join("0000000000000001.jsonl")]
        .iter()
        .map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o700, 0o600]);
}

#[test]
fn nothing_is_taken_in_where_nobody_asked_for_it() {
    let (mut env, repo) = machine(Payload::Meta);
    let payload = call(&repo).to_string();
    let elsewhere = env.work().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let away = call(&elsewhere).to_string();
    fire(&env, &repo, &["claude", "PreToolUse"], away.as_bytes());
    fire(&env, &repo, &["vim", "PreToolUse"], payload.as_bytes());
    fire(&env, &repo, &["claude-code", "PreToolUse"], payload.as_bytes());
    fire(&env, &repo, &[], payload.as_bytes());
    flag::remove(&data(&env), "codex").unwrap();
    fire(&env, &repo, &["codex", "PreToolUse"], payload.as_bytes());
    env.set("OX_HOOKS", "0");
    fire(&env, &repo, &["claude", "PreToolUse"], payload.as_bytes());
    env.unset("OX_HOOKS");
    // agt-02: what the daemon starts is no work of the user's.
    env.set("OX_HOOK_DEPTH", "1");
    fire(&env, &repo, &["claude", "PreToolUse"], payload.as_bytes());
    env.unset("OX_HOOK_DEPTH");
    assert!(!spool::dir(&data(&env)).exists());
    let everywhere = Flag { scope: Scope::All, payload: Payload::Meta, key: [7; 32], install_id: "i".into() };
    flag::write(&data(&env), "claude", &everywhere).unwrap();
    fire(&env, &repo, &["claude", "PreToolUse"], away.as_bytes());
    let all = spooled(&env);
    assert_eq!((all.len(), all[0].get("repo_id")), (1, None));
}

#[test]
fn what_a_payload_keeps_is_what_was_asked_for() {
    let repo_of = |env: &TestEnv| env.work().join("r");
    let (env, repo) = machine(Payload::None);
    fire(&env, &repo, &["claude", "PreToolUse"], call(&repo).to_string().as_bytes());
    let one = spooled(&env).remove(0);
    for key in ["tool_name", "permission_mode", "cwd_hash", "input_bytes", "payload"] {
        assert_eq!(one.get(key), None, "{key}");
    }
    // By these its transcript is known to tell of the same.
    assert_eq!((&one["event"], &one["tool_use_id"]), (&"PreToolUse".into(), &"toolu_1".into()));
    assert_eq!(one["input_sha256"].as_str().unwrap().len(), 64);
    // A background task that ends is nobody's prompt.
    let mut prompt = call(&repo);
    (prompt["hook_event_name"], prompt["prompt"]) =
        ("UserPromptSubmit".into(), "<task-notification>done".into());
    fire(&env, &repo, &["claude", "UserPromptSubmit"], prompt.to_string().as_bytes());
    let one = spooled(&env).remove(0);
    assert_eq!((&one["event"], &one["detail"]), (&"Notification".into(), &"task-notification".into()));
    let (env, repo) = machine(Payload::Full);
    assert_eq!(repo, repo_of(&env));
    let text = call(&repo).to_string();
    fire(&env, &repo, &["claude", "PreToolUse"], text.as_bytes());
    assert_eq!(spooled(&env).remove(0)["payload"], text);
    // More than is kept: the event, without it.
    let mut long = call(&repo);
    long["tool_input"]["content"] = "\"\\".repeat(40_000).into();
    fire(&env, &repo, &["claude", "PreToolUse"], long.to_string().as_bytes());
    let one = spooled(&env).remove(0);
    assert_eq!((one.get("payload"), &one["tool_use_id"]), (None, &"toolu_1".into()));
}

#[test]
fn whatever_comes_on_stdin_the_agent_sees_no_error() {
    let (env, repo) = machine(Payload::Meta);
    let huge = |length: usize| {
        let head =
            format!(r#"{{"session_id":"s","transcript_path":"/t","cwd":{},"tool_response":""#, json!(repo));
        [head.as_bytes(), &vec![b'x'; length], br#"","tool_use_id":"toolu_9"}"#].concat()
    };
    fire(&env, &repo, &["claude", "PostToolUse"], &huge(2 << 20));
    let one = spooled(&env).remove(0);
    assert_eq!((&one["tool_use_id"], &one["output_bytes"]), (&"toolu_9".into(), &json!((2 << 20) + 2)));
    assert!(one.get("truncated").is_none() && one.get("parse_error").is_none());
    for bad in [&b"not JSON"[..], b"[1]", b"{\"session_id\":\"s\"", b"\xff\xfe{}", b"\0\0"] {
        fire(&env, &repo, &["codex", "Stop"], bad);
        let one = spooled(&env).remove(0);
        assert_eq!((&one["event"], &one["parse_error"]), (&"Stop".into(), &true.into()), "{bad:?}");
    }
    let invalid = [
        &b"{\"session_id\":\"\xff\",\"cwd\":"[..],
        json!(repo).to_string().as_bytes(),
        b",\"turn_id\":\"t\"}",
    ]
    .concat();
    fire(&env, &repo, &["codex", "Stop"], &invalid);
    let one = spooled(&env).remove(0);
    assert_eq!((one.get("session_id"), &one["turn_id"]), (None, &"t".into()));
    // Nothing at all: a closed one, an empty one.
    fire(&env, &repo, &["codex", "some_new_event"], b"");
    assert_eq!(spooled(&env).remove(0)["event"], "SomeNewEvent");
    let closed = env.run_in(&repo, "/bin/sh", ["-c", &format!("exec '{OX}' hook codex Stop <&-")]);
    assert_eq!((closed.code, closed.stdout.as_str(), closed.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(spooled(&env).len(), 1);
}

#[test]
fn rly_01_who_writes_slowly_or_never_ends_is_left_in_time_with_what_came() {
    let (env, repo) = machine(Payload::Meta);
    let head = format!(
        r#"{{"session_id":"s","transcript_path":"/t","cwd":{},"tool_use_id":"toolu_1","tool_response":"xx"#,
        json!(repo)
    );
    // A pipe that somebody keeps open.
    let pipe = env.work().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let mut writer = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    std::io::Write::write_all(&mut writer, head.as_bytes()).unwrap();
    let script = format!("exec '{OX}' hook claude PostToolUse < '{}'", pipe.display());
    let ran = env.run_in(&repo, "/bin/bash", ["-c", &script]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    drop(writer);
    let one = spooled(&env).remove(0);
    assert_eq!((&one["truncated"], &one["tool_use_id"]), (&true.into(), &"toolu_1".into()));
}

#[test]
fn rly_05_a_disk_that_hangs_refuses_or_is_full_costs_the_agent_nothing() {
    let (env, repo) = machine(Payload::Meta);
    let payload = call(&repo).to_string();
    let dir = spool::dir(&data(&env));
    fs::create_dir_all(&dir).unwrap();
    // Hangs: nobody reads from a pipe in its place.
    let current = dir.join("in.jsonl");
    rustix::fs::mkfifoat(rustix::fs::CWD, &current, rustix::fs::Mode::RWXU).unwrap();
    fire(&env, &repo, &["claude", "PreToolUse"], payload.as_bytes());
    fs::remove_file(&current).unwrap();
    // Refuses: a link, a directory in its place.
    std::os::unix::fs::symlink(env.home().join("x"), &current).unwrap();
    fire(&env, &repo, &["claude", "PreToolUse"], payload.as_bytes());
    assert!(!env.home().join("x").exists());
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    fire(&env, &repo, &["claude", "PreToolUse"], payload.as_bytes());
    fs::remove_dir(&current).unwrap();
    // Full.
    let limited =
        format!("ulimit -f 0; trap '' XFSZ; printf '%s' '{payload}' | '{OX}' hook claude PreToolUse");
    let ran = env.run_in(&repo, "/bin/bash", ["-c", &limited]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    fire(&env, &repo, &["claude", "PreToolUse"], payload.as_bytes());
    assert_eq!(spooled(&env).len(), 1);
    // Without a home there is nowhere to keep anything.
    let homeless =
        env.cmd("/usr/bin/env").args(["-i", OX, "hook", "claude", "Stop"]).stdin_bytes(payload.into_bytes());
    let ran = run(homeless, "without a home".into());
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn rly_06_an_entry_works_in_any_directory_also_one_that_is_gone() {
    let (env, repo) = machine(Payload::Meta);
    let gone = repo.join("gone");
    fs::create_dir(&gone).unwrap();
    let payload = call(&repo).to_string();
    let script =
        format!("cd gone && rmdir ../gone && printf '%s' '{payload}' | '{OX}' hook claude PreToolUse");
    let ran = env.run_in(&repo, "/bin/bash", ["-c", &script]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(spooled(&env).len(), 1);
}

#[test]
fn two_hundred_entries_at_once_give_as_many_whole_lines() {
    let (env, repo) = machine(Payload::Meta);
    std::thread::scope(|scope| {
        for part in 0..10 {
            let (env, repo) = (&env, &repo);
            scope.spawn(move || {
                for n in 0..20 {
                    let mut one = call(repo);
                    one["tool_use_id"] = format!("toolu_{part}_{n}").into();
                    fire(env, repo, &["claude", "PreToolUse"], one.to_string().as_bytes());
                }
            });
        }
    });
    let mut ids: Vec<String> =
        spooled(&env).iter().map(|one| one["tool_use_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[test]
fn an_event_of_somebody_else_is_nobodys() {
    let (mut env, repo) = machine(Payload::Meta);
    env.set("COPILOT_CLI", "1");
    let payload = json!({
        "hook_event_name": "PreToolUse", "session_id": "s", "timestamp": "2036-03-12T09:01:00Z", "cwd": repo,
        "tool_name": "Bash", "tool_input": {},
    });
    fire(&env, &repo, &["claude", "PreToolUse"], payload.to_string().as_bytes());
    assert_eq!(spooled(&env).remove(0)["agent"], "foreign");
}
