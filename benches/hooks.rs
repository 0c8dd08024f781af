//! The entry that agents run at every event, whole process, beside the spawn of a program that does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::support::{OX, TestEnv};
use common::{Daemon, Times, dirs, fixed, note, project, ratio, rounds, title};
use ox::hooks::flag::{self, Flag, Payload, Scope};
use ox::hooks::store::Store;
use ox::hooks::{record::Record, spool};
use ox::kit::clock::{Clock as _, SystemClock};
use ox::project::{AgentSession, Env, Project};
use ox::whispers::{FILE_CHANGES, Murmur, Uncommitted, limits, uncommitted};
use serde_json::{Value, json};

fn main() {
    title("hooks");
    let env = TestEnv::new();
    let project = project(&env, "app", None);
    let flag =
        Flag { scope: Scope::Initialized, payload: Payload::Meta, key: [7; 32], install_id: "i".into() };
    flag::write(dirs(&env).data(), "claude", &flag).unwrap();
    let event = |name: &str, tool: &str, input: Value| {
        json!({
            "session_id": "11111111-2222-4333-8444-555555555555", "transcript_path": "/t.jsonl", "cwd": project.root,
            "hook_event_name": name, "permission_mode": "default", "tool_name": tool, "tool_input": input,
            "tool_response": { "stdout": "x".repeat(4000) }, "tool_use_id": "toolu_1",
        })
        .to_string()
    };
    let payload = event("PostToolUse", "Bash", json!({ "command": "cargo test" }));
    let calls = rounds(10_000);
    let floor = calls_of(&env, &project.root, Path::new("true"), &[], &payload, calls / 5);
    note("an empty native process", floor.p50(), "ms");
    // What agents run: the small program beside the whole one.
    let small = Path::new(OX).with_file_name("ox-hook");
    let hook =
        |calls| calls_of(&env, &project.root, &small, &["hook", "claude", "PostToolUse"], &payload, calls);
    let told = |what: &str, calls: &Times| {
        ratio(&format!("ox hook, {what} / empty process"), calls.p50(), floor.p50(), "ms", 2.0);
        fixed(&format!("ox hook, {what}, p99"), calls.p99(), "ms", 10.0);
    };
    told("no daemon", &hook(calls));
    old_sessions(&env);
    told("10,000 old sessions", &hook(calls / 5));
    let before_edit = |file: &str| {
        let input = json!({ "file_path": project.root.join(file), "old_string": "a", "new_string": "b" });
        let payload = event("PreToolUse", "Edit", input);
        calls_of(&env, &project.root, &small, &["hook", "claude", "PreToolUse"], &payload, calls / 5)
    };
    let alone = before_edit("src/a.rs");
    others(&env, &project);
    let among_others = before_edit("src/a.rs");
    fixed("before an edit, among 64 work trees, more", among_others.p50() - alone.p50(), "ms", 1.0);
    fixed(
        "the same, of a file that another has changed",
        before_edit("d1/f1.rs").p50() - alone.p50(),
        "ms",
        1.0,
    );
    let whole = calls_of(
        &env,
        &project.root,
        Path::new(OX),
        &["hook", "claude", "PostToolUse"],
        &payload,
        calls / 10,
    );
    note("the same by the whole program", whole.p50(), "ms");
    fs::remove_dir_all(spool::dir(dirs(&env).data())).unwrap();
    fill(dirs(&env).data());
    told("a full spool", &hook(calls / 5));
    fs::remove_dir_all(spool::dir(dirs(&env).data())).unwrap();
    let daemon = Daemon::start(&env);
    daemon.attach(&project);
    told("a daemon that takes in", &hook(calls / 5));
    env.freeze_daemon();
    told("a stopped daemon", &hook(calls / 5));
    env.signal_daemon(rustix::process::Signal::CONT);
}

/// What 10,000 sessions of before leave: events, and ids of agents.
fn old_sessions(env: &TestEnv) {
    let session = |n: usize| format!("00000000-0000-4000-8000-{n:012}");
    let mut store = Store::open(&dirs(env).events()).unwrap().store;
    let records: Vec<Record> = (0..10_000)
        .map(|n| Record {
            spool_id: session(n),
            at_ms: 1_900_000_000_000,
            agent: "claude-code".into(),
            event: "SessionStart".into(),
            session_id: session(n),
            repo_id: "repo_1".into(),
            ..Record::default()
        })
        .collect();
    for some in records.chunks(500) {
        store.take(some).unwrap();
    }
    let lib = Env::of(env.vars(), env.work());
    for n in 0..10_000 {
        let (agent_id, agent_session_id) = (format!("Ox{n:04}"), session(n));
        AgentSession { agent_id, agent_session_id, ..AgentSession::default() }.save(&lib).unwrap();
    }
}

/// As many work trees with uncommitted files as are remembered.
fn others(env: &TestEnv, project: &Project) {
    let state =
        dirs(env).state_of(&project.endpoint.slug(), &ox::sync::Kind::Ledger.state_name(&project.repo_id));
    let now = SystemClock.now().wall;
    let mut known = Uncommitted::load(&state);
    for tree in 0..limits::TREES_MAX {
        let files: Vec<String> = (0..limits::TREE_FILES_MAX).map(|n| format!("d{tree}/f{n}.rs")).collect();
        let metadata = [
            (uncommitted::TREE.to_owned(), format!("{tree:016x}")),
            (uncommitted::FILES.to_owned(), files.join(",")),
        ];
        known.take_in(&Murmur {
            topic: FILE_CHANGES.into(),
            timestamp: now.into(),
            agent_id: "OxAb12".into(),
            metadata: metadata.into(),
            ..Murmur::default()
        });
    }
    known.save(&state, now).unwrap();
}

/// Runs a program again and again with `payload` on its stdin, as an agent does.
fn calls_of(env: &TestEnv, dir: &Path, program: &Path, args: &[&str], payload: &str, calls: usize) -> Times {
    let mut times = Times::default();
    for _ in 0..calls {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(env.vars()).current_dir(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        // One that reads nothing may be gone.
        let _ = child.stdin.take().unwrap().write_all(payload.as_bytes());
        assert!(child.wait().unwrap().success());
        times.push(start.elapsed());
    }
    times
}

/// As much as the spool holds.
fn fill(data: &Path) {
    let record = Record { session_id: "x".repeat(250), cwd_hash: "y".repeat(64), ..Record::default() };
    let line = serde_json::to_vec(&record).unwrap().len() as u64;
    for _ in 0..spool::LIMITS.total / line {
        spool::put(data, &record).unwrap();
    }
}
