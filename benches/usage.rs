//! `ox session usage` over 15,000 sessions: the first time, when nothing has changed, and when a few have grown. Beside a line scan of the same
//! bytes, and a look at the same files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::support::TestEnv;
use common::{Times, fixed, note, quick, ratio, rounds, time, title};

/// What is promised, in milliseconds.
const FIRST: f64 = 2_000.0;
const AFTER: f64 = 100.0;
/// Prompts of a session, each with an answer that calls a tool and one that ends the turn.
const TURNS: usize = 3;

fn main() {
    title("usage, 15,000 sessions");
    let sessions = if quick() { 1_500 } else { 15_000 };
    let mut env = TestEnv::new();
    env.set("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    let files: Vec<PathBuf> = (0..sessions).map(|n| session(&env.home(), &repo, n)).collect();
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    note("sessions", sessions as f64, "");
    note("answers", (sessions * TURNS * 2) as f64, "");
    note("bytes", bytes as f64 / 1e6, "MB");

    let floor = time(|| files.iter().map(|file| lines(file)).sum::<usize>()).as_secs_f64() * 1e3;
    let usage = |args: &[&str]| {
        let mut all = vec!["session", "usage", "--json"];
        all.extend(args);
        let mut said = String::new();
        let took = time(|| said = env.ox_in(&repo, &all).ok().stdout).as_secs_f64() * 1e3;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["total"]["answers"], sessions * TURNS * 2, "{}", said["total"]);
        took
    };
    let first = usage(&[]);
    ratio("first / a line scan", first, floor, "ms", 10.0);
    fixed("first", first, "ms", FIRST);

    let (mut looks, mut after, mut by_session) = (Times::default(), Times::default(), Times::default());
    for _ in 0..rounds(20) {
        looks.push(time(|| files.iter().map(|file| fs::symlink_metadata(file).unwrap().len()).sum::<u64>()));
        after.push(std::time::Duration::from_secs_f64(usage(&[]) / 1e3));
        by_session.push(std::time::Duration::from_secs_f64(usage(&["--by", "session"]) / 1e3));
    }
    ratio("nothing new / a look at each file", after.p50(), looks.p50(), "ms", 10.0);
    fixed("nothing new", after.p50(), "ms", AFTER);
    fixed("nothing new, by session", by_session.p50(), "ms", AFTER);
    note("nothing new, p99", after.p99(), "ms");

    let mut grown = Times::default();
    for round in 0..rounds(10) {
        // What was counted stays: an answer is written again, as a fork does.
        for file in files.iter().skip(round * 7).take(20) {
            let text = fs::read_to_string(file).unwrap();
            let last = text.lines().rfind(|line| line.contains("usage")).unwrap();
            writeln!(fs::OpenOptions::new().append(true).open(file).unwrap(), "{last}").unwrap();
        }
        grown.push(std::time::Duration::from_secs_f64(usage(&[]) / 1e3));
    }
    fixed("20 have grown", grown.p50(), "ms", AFTER);
    let database = env.data().join("sageox/usage.db");
    note("database", fs::metadata(database).unwrap().len() as f64 / 1e6, "MB");
}

fn lines(file: &Path) -> usize {
    memchr::memchr_iter(b'\n', &fs::read(file).unwrap()).count()
}

/// Of three sessions two are Claude Code's and one is that of codex.
fn session(home: &Path, repo: &Path, n: usize) -> PathBuf {
    let id = format!("{n:08x}-0000-4000-8000-{:012x}", n * 7919);
    let day = 1 + n % 28;
    let (dir, name, text) = match n % 3 {
        0 => (
            home.join(format!(".codex/sessions/2026/11/{day:02}")),
            format!("rollout-2026-11-{day:02}T09-00-00-{id}.jsonl"),
            codex(repo, &id, n, day),
        ),
        _ => (
            home.join(format!(".claude/projects/-work-{}", n % 40)),
            format!("{id}.jsonl"),
            claude(repo, &id, n, day),
        ),
    };
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// What a tool gave back.
const OUTPUT: &str =
    "test sessions::upload::tests::a_lost_connection_is_tried_again ... ok\\n   Compiling serde v1.0.219\\n";

fn claude(repo: &Path, id: &str, n: usize, day: usize) -> String {
    let mut text = String::new();
    let repo = repo.display();
    for turn in 0..TURNS {
        let end = format!(
            "\"timestamp\":\"2026-11-{day:02}T{:02}:{:02}:00.000Z\",\"userType\":\"external\",\"cwd\":\"{repo}\",\"sessionId\":\"{id}\",\"version\":\"2.1.332\",\"gitBranch\":\"b{}\"}}",
            8 + n % 10,
            turn * 5,
            n % 12
        );
        let uuid = |part: &str| format!("\"uuid\":\"{n:08x}-{turn:04x}-4000-8000-{part}\"");
        let usage = format!(
            "\"usage\":{{\"input_tokens\":{},\"cache_creation_input_tokens\":700,\"cache_read_input_tokens\":{},\"output_tokens\":{}}}",
            n % 90,
            20_000 + n,
            300 + turn
        );
        let _ = writeln!(
            text,
            "{{\"parentUuid\":null,\"isSidechain\":false,\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":\"Go on with part {turn} of it.\"}},{},{end}",
            uuid("00000001")
        );
        let _ = writeln!(
            text,
            "{{\"parentUuid\":null,\"isSidechain\":false,\"type\":\"assistant\",\"message\":{{\"id\":\"msg_{n}_{turn}\",\"model\":\"claude-opus-5-5\",\"role\":\"assistant\",\"content\":[{{\"type\":\"tool_use\",\"id\":\"toolu_{n}_{turn}\",\"name\":\"Bash\",\"input\":{{\"command\":\"cargo test\"}}}}],{usage}}},{},{end}",
            uuid("00000002")
        );
        let _ = writeln!(
            text,
            "{{\"parentUuid\":null,\"isSidechain\":false,\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":[{{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_{n}_{turn}\",\"content\":\"{}\"}}]}},{},{end}",
            OUTPUT.repeat(4 + n % 12),
            uuid("00000003")
        );
        let _ = writeln!(
            text,
            "{{\"parentUuid\":null,\"isSidechain\":false,\"type\":\"assistant\",\"message\":{{\"id\":\"msg_{n}_{turn}_b\",\"model\":\"claude-opus-5-5\",\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"It works now, and all tests pass.\"}}],{usage}}},{},{end}",
            uuid("00000004")
        );
    }
    text
}

fn codex(repo: &Path, id: &str, n: usize, day: usize) -> String {
    let mut text = String::new();
    let at = format!("\"timestamp\":\"2026-11-{day:02}T{:02}:00:00.000Z\"", 8 + n % 10);
    let repo = repo.display();
    let _ = writeln!(
        text,
        "{{{at},\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"session_id\":\"{id}\",\"cwd\":\"{repo}\",\"cli_version\":\"0.171.0\",\"source\":\"exec\",\"git\":{{\"branch\":\"b{}\"}}}}}}",
        n % 12
    );
    for turn in 0..TURNS {
        let _ = writeln!(
            text,
            "{{{at},\"type\":\"turn_context\",\"payload\":{{\"turn_id\":\"{n}-{turn}\",\"cwd\":\"{repo}\",\"model\":\"gpt-6.2-sol\"}}}}"
        );
        let _ = writeln!(
            text,
            "{{{at},\"type\":\"response_item\",\"payload\":{{\"type\":\"message\",\"id\":\"msg_{n}_{turn}\",\"role\":\"user\",\"content\":[{{\"type\":\"input_text\",\"text\":\"Go on with part {turn} of it.\"}}]}}}}"
        );
        for answer in 0..2 {
            let _ = writeln!(
                text,
                "{{{at},\"type\":\"response_item\",\"payload\":{{\"type\":\"function_call\",\"name\":\"exec_command\",\"arguments\":\"{{}}\",\"call_id\":\"call_{n}_{turn}_{answer}\"}}}}"
            );
            let _ = writeln!(
                text,
                "{{{at},\"type\":\"token_usage_record\",\"payload\":{{\"thread_id\":\"{id}\",\"session_id\":\"{id}\",\"response_id\":\"resp_{n}_{turn}_{answer}\",\"usage\":{{\"input_tokens\":{},\"cached_input_tokens\":{},\"output_tokens\":{},\"reasoning_output_tokens\":64,\"total_tokens\":0}}}}}}",
                30_000 + n,
                20_000 + n,
                300 + answer
            );
            let _ = writeln!(
                text,
                "{{{at},\"type\":\"response_item\",\"payload\":{{\"type\":\"function_call_output\",\"call_id\":\"call_{n}_{turn}_{answer}\",\"output\":\"{}\"}}}}",
                OUTPUT.repeat(2 + n % 6)
            );
        }
    }
    text
}
