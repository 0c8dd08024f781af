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
use ox::hooks::{record::Record, spool};
use serde_json::json;

fn main() {
    title("hooks");
    let env = TestEnv::new();
    let project = project(&env, "app", None);
    let flag =
        Flag { scope: Scope::Initialized, payload: Payload::Meta, key: [7; 32], install_id: "i".into() };
    flag::write(dirs(&env).data(), "claude", &flag).unwrap();
    let payload = json!({
        "session_id": "11111111-2222-4333-8444-555555555555", "transcript_path": "/t.jsonl", "cwd": project.root,
        "hook_event_name": "PostToolUse", "permission_mode": "default", "tool_name": "Bash",
        "tool_input": { "command": "cargo test" }, "tool_response": { "stdout": "x".repeat(4000) },
        "tool_use_id": "toolu_1",
    })
    .to_string();
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
