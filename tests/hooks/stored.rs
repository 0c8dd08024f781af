//! From an agent's program to a row: through the real entry and a real daemon, whatever is ended when.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ox::ipc::client::Client;
use ox::ipc::wire::HooksSet;
use ox::kit::rng::Rng;
use ox::project::{Dirs, Env};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{OX, TestEnv, run, seed, send, until, until_or};

/// A machine with a project that a daemon serves, and Claude Code's hooks in place.
fn machine() -> (TestEnv, PathBuf) {
    let env = TestEnv::new();
    let repo = env.repo("r");
    env.ox_in(&repo, ["up"]).ok();
    fs::create_dir_all(env.home().join(".claude")).unwrap();
    env.ox_in(&repo, ["hooks", "install", "--agent", "claude", "--force"]).ok();
    (env, repo)
}

#[track_caller]
fn fire(env: &TestEnv, repo: &Path, event: &str, payload: &Value) {
    assert_eq!(fired(env, repo, event, payload), "");
}

/// The event is fired as Claude Code does it: by the command that stands in its settings. Returns what it is told.
#[track_caller]
pub fn fired(env: &TestEnv, repo: &Path, event: &str, payload: &Value) -> String {
    let text = fs::read_to_string(env.home().join(".claude/settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&text).unwrap();
    let command = settings["hooks"][event][0]["hooks"][0]["command"].as_str().unwrap().to_owned();
    let payload = payload.to_string().into_bytes();
    let cmd = env.cmd("/bin/sh").args(["-c", &command]).dir(repo).stdin_bytes(payload);
    let ran = run(cmd.deadline(Duration::from_secs(10)), command);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    ran.stdout
}

fn call(repo: &Path, n: usize) -> Value {
    json!({
        "session_id": "11111111-2222-4333-8444-555555555555", "transcript_path": "/t.jsonl", "cwd": repo,
        "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": { "command": format!("echo {n}") },
        "tool_use_id": format!("toolu_{n}"),
    })
}

fn events(env: &TestEnv) -> Vec<Value> {
    let all = env.ox(["events", "list", "--limit", "100000", "--json"]).ok().json();
    all["events"].as_array().unwrap().clone()
}

#[test]
fn an_event_that_is_fired_is_a_row_soon() {
    let (env, repo) = machine();
    fire(&env, &repo, "PreToolUse", &call(&repo, 1));
    until_or(|| events(&env).len() == 1, || format!("{:?}", events(&env)));
    let one = events(&env).remove(0);
    let told =
        ["agent", "event_type", "tool_use_id", "session_id"].map(|key| one[key].as_str().unwrap().to_owned());
    assert_eq!(told, ["claude-code", "PreToolUse", "toolu_1", "11111111-2222-4333-8444-555555555555"]);
    assert_eq!(one["sources"], json!(["hook"]));
    // While no daemon lives they wait, and that is told.
    env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
    fire(&env, &repo, "PreToolUse", &call(&repo, 2));
    let status = env.ox_in(&repo, ["hooks", "status", "--json"]).ok().json();
    assert_eq!((&status["waiting"]["events"], &status["daemon"]), (&1.into(), &false.into()), "{status}");
    let page = env.ox_in(&repo, ["hooks", "status"]).ok();
    assert!(
        page.stderr.contains("1 event to be stored") && page.stderr.contains("ox daemon start"),
        "{page:?}"
    );
    env.ox_in(&repo, ["daemon", "start"]).ok();
    until(|| events(&env).len() == 2);
    // Switched off: the settings are as before, and nothing more is taken in.
    let before = fs::read(env.home().join(".claude/settings.json")).unwrap();
    env.ox_in(&repo, ["hooks", "uninstall"]).ok();
    assert_ne!(fs::read(env.home().join(".claude/settings.json")).ok(), Some(before));
    let cmd = env.cmd(OX).args(["hook", "claude", "PreToolUse"]).dir(&repo);
    run(cmd.stdin_bytes(call(&repo, 3).to_string().into_bytes()), "hook".into()).ok();
    env.ox_in(&repo, ["sync"]).ok();
    assert_eq!(events(&env).len(), 2);
    env.stop_daemon();
}

#[test]
fn hooks_are_asked_for_and_set_over_the_wire() {
    let (env, repo) = machine();
    let vars: Vec<_> = env.vars().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let host = Client::new(Dirs::from_env(&Env::of(vars, &repo)).unwrap().host_socket());
    let of = |word: &str| {
        let state = host.hooks().unwrap();
        let one = state.agents.into_iter().find(|one| one.agent == word).unwrap();
        (state.enabled, one.opted_in, one.effective, one.installed)
    };
    assert_eq!(host.hooks().unwrap().agents.len(), 4, "complete for every row");
    assert_eq!(of("claude"), (true, true, true, true));
    let set =
        |agent: &str, enabled: bool| host.set_hooks(&HooksSet { agent: agent.into(), enabled }).unwrap();
    let settings = env.home().join(".claude/settings.json");
    let ours = || fs::read_to_string(&settings).unwrap_or_default().contains("hook claude");
    // The master off: nothing of ours stays, and what each wants is kept.
    let done = set("all", false);
    assert!(done.ok && !done.enabled && !ours(), "{done:?}");
    assert_eq!(of("claude"), (false, true, false, false));
    let done = set("all", true);
    assert!(done.ok && ours(), "{done:?}");
    assert_eq!(of("claude"), (true, true, true, true));
    // One agent, and the others as they were.
    assert!(set("claude", false).ok && !ours());
    assert_eq!((of("claude"), of("gemini")), ((true, false, false, false), (true, false, false, false)));
    // Where it cannot be done what is wanted is kept, and done when the process begins the next time.
    fs::write(&settings, "{ // a comment\n}").unwrap();
    let refused = set("claude", true);
    assert!(!refused.ok && refused.enabled && refused.error.contains("settings.json"), "{refused:?}");
    assert!(of("claude").1);
    fs::write(&settings, "{}").unwrap();
    env.ox_in(&repo, ["daemon", "restart"]).ok();
    until(ours);
    assert!(host.set_hooks(&HooksSet { agent: "vim".into(), enabled: true }).is_err());
    // At once: an event of who was switched on is taken in.
    fire(&env, &repo, "PreToolUse", &call(&repo, 1));
    until(|| events(&env).len() == 1);
    assert!(host.hooks().unwrap().agents.iter().any(|one| one.last_event_ms.is_some()));
    env.stop_daemon();
}

#[test]
fn rly_07_each_event_is_a_row_once_whoever_is_killed_when() {
    let test = "hooks::stored::rly_07_each_event_is_a_row_once_whoever_is_killed_when";
    seed::with(test, seed::fresh(), killed);
}

fn killed(seed: u64) {
    let (mut env, repo) = machine();
    env.allow_leftovers();
    let mut rng = Rng::new(seed);
    let mut n = 0;
    for _ in 0..seed::rounds(8, 500) {
        for _ in 0..rng.below(12) {
            fire(&env, &repo, "PreToolUse", &call(&repo, n));
            n += 1;
        }
        if let Some(pid) = env.daemon_pid() {
            send(pid, Signal::KILL);
        }
        env.ox_in(&repo, ["daemon", "start"]).ok();
    }
    let told = || events(&env);
    until_or(|| told().len() >= n, || format!("{} of {n}", told().len()));
    let mut ids: Vec<String> =
        told().iter().map(|one| one["tool_use_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), told().len()), (n, n));
    env.stop_daemon();
}

#[test]
fn wat_07_what_waits_for_an_agent_is_put_before_it_with_the_next_prompt_and_nowhere_else() {
    let (mut env, repo) = machine();
    let session = "11111111-2222-4333-8444-555555555555";
    env.set("CLAUDECODE", "1");
    env.set("CLAUDE_CODE_SESSION_ID", session);
    env.ox_in(&repo, ["agent", "prime"]).ok();
    env.set("CLAUDE_CODE_SESSION_ID", "22222222-2222-4333-8444-555555555555");
    env.ox_in(&repo, ["agent", "prime"]).ok();
    env.ox_in(&repo, ["murmur", "The parser is mine now"]).ok();
    env.ox_in(&repo, ["sync"]).ok();
    env.unset("CLAUDE_CODE_SESSION_ID");
    env.unset("CLAUDECODE");
    let payload = |event: &str| {
        json!({
            "session_id": session, "transcript_path": "/t.jsonl", "cwd": repo, "hook_event_name": event, "prompt": "go on",
        })
    };
    for event in ["PreToolUse", "PostToolUse", "Stop", "SessionEnd"] {
        assert_eq!(fired(&env, &repo, event, &payload(event)), "", "{event}");
    }
    let prompt = || fired(&env, &repo, "UserPromptSubmit", &payload("UserPromptSubmit"));
    let mut told = String::new();
    until(|| {
        told = prompt();
        !told.is_empty()
    });
    assert!(told.contains("The parser is mine now") && told.contains("<system-reminder>"), "{told}");
    assert_eq!(prompt(), "", "once");
    env.stop_daemon();
}

#[test]
fn a_session_that_begins_without_a_daemon_has_one_started_unless_nobody_may() {
    let (mut env, repo) = machine();
    env.allow_leftovers();
    env.stop_daemon();
    let payload = json!({
        "session_id": "s", "transcript_path": "/t.jsonl", "cwd": repo, "hook_event_name": "SessionStart", "source": "startup",
    });
    env.set("OX_NO_DAEMON", "1");
    fired(&env, &repo, "SessionStart", &payload);
    env.unset("OX_NO_DAEMON");
    env.set("CI", "1");
    fired(&env, &repo, "SessionStart", &payload);
    env.unset("CI");
    fire(&env, &repo, "PreToolUse", &call(&repo, 1));
    assert_eq!(env.processes().len(), 0);
    fired(&env, &repo, "SessionStart", &payload);
    until(|| env.daemon_pid().is_some());
    until(|| events(&env).len() == 4);
    env.stop_daemon();
}

/// A session that begins, and what its agent is told: all or nothing, for there are 200 ms.
fn begins(env: &TestEnv, repo: &Path, session: &str, source: &str) -> String {
    let payload = json!({
        "session_id": session, "transcript_path": "/t.jsonl", "cwd": repo, "hook_event_name": "SessionStart", "source": source,
    });
    let told = fired(env, repo, "SessionStart", &payload);
    let has_end = told.contains(" session list") || told.contains("All of it again");
    let is_whole = told.starts_with("You are") && told.ends_with('\n') && has_end;
    assert!(told.is_empty() || is_whole, "{told}");
    told
}

#[test]
fn wat_09_an_agent_is_introduced_where_its_session_begins_and_told_what_is_new_where_it_goes_on() {
    let (mut env, repo) = machine();
    // Who has no time to the end may leave a file half written.
    env.allow_leftovers();
    let (mut session, mut told) = (String::new(), String::new());
    // A machine that is busy may have no time for it.
    let mut n = 0;
    until(|| {
        n += 1;
        session = format!("11111111-2222-4333-8444-{n:012}");
        told = begins(&env, &repo, &session, "startup");
        !told.is_empty()
    });
    assert!(told.contains("(claude-code)") && told.len() <= 8 << 10, "{told}");
    let id = told.split_whitespace().find(|word| word.starts_with("Ox")).unwrap().to_owned();
    // Who was cut off right behind the page is told all of it once more.
    let next = |source: &str, begin: &str| {
        let mut told = String::new();
        until(|| {
            told = begins(&env, &repo, &session, source);
            told.starts_with(&format!("{begin} {id}"))
        });
        told
    };
    let resumed = next("resume", "You are still agent");
    assert!(next("clear", "You are agent").len() > resumed.len());
    // An agent whose hooks were installed while it was at work is introduced at its next prompt, once.
    let prompt = |session: &str, sub: Option<&str>| {
        let mut payload = json!({
            "session_id": session, "transcript_path": "/t.jsonl", "cwd": repo, "hook_event_name": "UserPromptSubmit",
            "prompt": "go on",
        });
        if let Some(sub) = sub {
            payload["agent_id"] = sub.into();
        }
        fired(&env, &repo, "UserPromptSubmit", &payload)
    };
    assert_eq!(prompt("s-2", Some("a-1")), "", "a sub-agent is nobody of its own");
    let mut told = String::new();
    until(|| {
        told = prompt("s-2", None);
        !told.is_empty()
    });
    assert!(told.starts_with("You are agent Ox") && !told.contains(&id), "{told}");
    until(|| prompt("s-2", None).is_empty());
    env.stop_daemon();
}

#[test]
fn rly_01_who_has_no_time_to_be_introduced_begins_without_a_word() {
    let (mut env, repo) = machine();
    env.allow_leftovers();
    // It answers nobody: most of the time goes with waiting for it.
    env.freeze_daemon();
    for n in 0..20 {
        begins(&env, &repo, &format!("33333333-2222-4333-8444-{n:012}"), "startup");
    }
    env.signal_daemon(Signal::CONT);
    until_or(|| events(&env).len() == 20, || format!("{:?}", events(&env)));
    env.stop_daemon();
}

#[test]
fn events_are_read_from_transcripts_as_well_as_without_hooks_and_each_is_one() {
    let (env, repo) = machine();
    let session = "11111111-2222-4333-8444-555555555555";
    let dir = env.home().join(".claude/projects/-p");
    fs::create_dir_all(&dir).unwrap();
    let record = |kind: &str, id: &str, message: Value| {
        json!({
            "type": kind, "uuid": id, "sessionId": session, "timestamp": "2026-11-30T09:01:00Z", "version": "2.1.332",
            "cwd": repo, "message": message,
        })
        .to_string()
            + "\n"
    };
    let tool = |n: usize| {
        let input = json!({ "command": format!("echo {n}") });
        let call =
            json!([{ "type": "tool_use", "id": format!("toolu_{n}"), "name": "Bash", "input": input }]);
        record(
            "assistant",
            &format!("a{n}"),
            json!({ "role": "assistant", "id": format!("m{n}"), "content": call }),
        )
    };
    let said = record("user", "u1", json!({ "role": "user", "content": "go on" }));
    fs::write(dir.join(format!("{session}.jsonl")), [said, tool(1), tool(2)].concat()).unwrap();
    fire(&env, &repo, "PreToolUse", &call(&repo, 1));
    let calls = || {
        let mut all: Vec<(String, Value)> = events(&env)
            .iter()
            .filter(|one| one["event_type"] == "PreToolUse")
            .map(|one| (one["tool_use_id"].as_str().unwrap().to_owned(), one["sources"].clone()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let both = json!(["hook", "transcript"]);
    let expected = [("toolu_1".to_owned(), both), ("toolu_2".to_owned(), json!(["transcript"]))];
    until_or(|| calls() == expected, || format!("{:?}", events(&env)));
    assert_eq!(events(&env).iter().filter(|one| one["event_type"] == "UserPromptSubmit").count(), 1);
    env.stop_daemon();
}
