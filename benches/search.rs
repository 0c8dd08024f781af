//! `ox session search` over 15,000 sessions, as a whole process: the first time, and once its index is there.
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
use std::path::Path;

use common::support::TestEnv;
use common::{Times, fixed, note, project, rounds, time, title};

/// Sessions of a busy team in some years.
const SESSIONS: usize = 15_000;
/// What they are written of.
const WORDS: [&str; 24] = [
    "parser", "socket", "rebase", "timeout", "index", "worker", "channel", "fixture", "snapshot", "ledger",
    "commit", "branch", "token", "deadline", "budget", "header", "footer", "watcher", "queue", "mutex",
    "thread", "redact", "session", "murmur",
];

fn main() {
    title("search");
    let env = TestEnv::new();
    let project = project(&env, "app", None);
    env.ox_in(&project.root, ["up"]).ok();
    let ledger = fs::read_link(project.root.join(".sageox/ledger")).unwrap();
    let sessions = ledger.join("sessions");
    let mut bytes = 0;
    for n in 0..SESSIONS {
        bytes += session(&sessions, n);
    }
    note("sessions, MB of transcripts", bytes as f64 / 1e6, "MB");
    let mut floor = Times::default();
    for _ in 0..rounds(20) {
        floor.push(time(|| look(&sessions)));
    }
    note("floor: list and stat their directories", floor.p50(), "ms");
    let search = |words: &[&str]| {
        let args = [&["session", "search"], words].concat();
        time(|| env.ox_in(&project.root, &args).ok())
    };
    let mut first = Times::default();
    first.push(search(&["parser"]));
    note("the first search, which reads all", first.p50(), "ms");
    for (what, words) in [
        ("a word that a few have", &["only7000"][..]),
        ("a word that most have", &["parser"]),
        ("three words", &["parser", "socket", "rebase"]),
        ("a phrase", &["parser socket"]),
        ("a word that none has", &["nowhere"]),
    ] {
        let mut ours = Times::default();
        for _ in 0..rounds(20) {
            ours.push(search(words));
        }
        fixed(&format!("ox session search, {what}"), ours.p50(), "ms", 100.0);
    }
}

fn look(dir: &Path) {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path().symlink_metadata().unwrap().len());
    assert!(all.sum::<u64>() > 0);
}

/// Writes a session of 40 entries, about 5 KB; returns its size.
fn session(dir: &Path, n: usize) -> usize {
    let dir = dir.join(format!(
        "2026-{:02}-{:02}T{:02}-{:02}-dana-Ox{:04}",
        n / 1400 + 1,
        n / 50 % 28 + 1,
        n % 24,
        n % 60,
        n % 10_000
    ));
    fs::create_dir_all(&dir).unwrap();
    let mut text = String::from(
        "{\"type\":\"header\",\"metadata\":{\"version\":\"1.0\",\"agent_type\":\"codex\",\"created_at\":\"2026-03-12T09:09:00Z\"}}\n",
    );
    for entry in 0..40 {
        let word = |k: usize| WORDS[(n.wrapping_mul(31) ^ (entry * 7 + k * 13 + n / 7)) % WORDS.len()];
        let kind = if entry % 3 == 0 { "user" } else { "assistant" };
        text.push_str(&format!(
            "{{\"type\":\"{kind}\",\"content\":\"{} the {} of only{n} with {} and {}_{entry}\",\"timestamp\":\"2026-03-12T09:10:00Z\",\"seq\":{entry}}}\n",
            word(0), word(1), word(2), word(3)
        ));
    }
    fs::write(dir.join("raw.jsonl"), &text).unwrap();
    text.len()
}
