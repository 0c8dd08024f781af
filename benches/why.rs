//! `ox why` over 1,000 sessions of a ledger that keep what they wrote, as a whole process, beside `git blame` of the same lines.
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
use ox::redact::Redactor;
use ox::sessions::edits;
use serde_json::json;

const SESSIONS: usize = 1_000;
/// Edits of a session, each of them into another file.
const EDITS: usize = 20;
/// Files of the project.
const FILES: usize = 50;
/// Sessions between two commits.
const COMMIT_EVERY: usize = 10;
/// What an answer may take, in milliseconds.
const BUDGET: f64 = 300.0;

fn main() {
    title("why");
    let env = TestEnv::new();
    let project = project(&env, "app", None);
    let root = project.root.clone();
    env.ox_in(&root, ["up"]).ok();
    let ledger = fs::read_link(root.join(".sageox/ledger")).unwrap();
    fs::create_dir_all(root.join("src")).unwrap();
    let mut files: Vec<String> = (0..FILES).map(|n| format!("//! File {n}.\n")).collect();
    let redactor = Redactor::new();
    let mut bytes = 0;
    for n in 0..SESSIONS {
        bytes += session(&ledger.join("sessions"), &root, n, &mut files, &redactor);
        if n % COMMIT_EVERY == COMMIT_EVERY - 1 {
            for (file, text) in files.iter().enumerate() {
                fs::write(root.join(path(file)), text).unwrap();
            }
            env.git(&root, ["add", "src"]);
            env.git(&root, ["commit", "-qm", "Work of agents"]);
        }
    }
    note("sessions, MB of what they wrote as hashes", bytes as f64 / 1e6, "MB");
    note("lines of the file that is asked for", files[7].lines().count() as f64, "");
    let (mut blame, mut whole) = (Times::default(), Times::default());
    let (mut line, mut all) = (Times::default(), Times::default());
    let asked = path(7);
    let answered = env.ox_in(&root, ["why", &format!("{asked}:400")]).ok();
    assert!(answered.stdout.contains("dana"), "a line leads to its session: {answered:?}");
    for _ in 0..rounds(20) {
        blame.push(time(|| env.git(&root, ["blame", "-L", "400,400", &asked])));
        whole.push(time(|| env.git(&root, ["blame", &asked])));
        line.push(time(|| env.ox_in(&root, ["why", &format!("{asked}:400")]).ok()));
        all.push(time(|| env.ox_in(&root, ["why", &asked]).ok()));
    }
    note("git blame of one line", blame.p50(), "ms");
    note("git blame of the file", whole.p50(), "ms");
    fixed("ox why of one line", line.p50(), "ms", BUDGET);
    fixed("ox why of the file", all.p50(), "ms", BUDGET);
}

fn path(file: usize) -> String {
    format!("src/part_{file}.rs")
}

/// Writes a session that puts a block at the end of some files, and keeps what it wrote; returns the size of that.
fn session(dir: &Path, root: &Path, n: usize, files: &mut [String], redactor: &Redactor) -> u64 {
    let name =
        format!("2026-{:02}-{:02}T{:02}-{:02}-dana-Ox{n:04}", n / 700 + 1, n / 25 % 28 + 1, n % 24, n % 60);
    let dir = dir.join(name);
    fs::create_dir_all(&dir).unwrap();
    let mut text = format!(
        "{}\n{}\n",
        json!({ "type": "header", "metadata": { "agent_id": format!("Ox{n:04}"), "agent_type": "claude-code", "username": "dana" } }),
        json!({ "type": "user", "seq": 0, "timestamp": "2026-03-12T09:10:00Z", "content": format!("Write part {n}") })
    );
    for edit in 0..EDITS {
        let file = (n * 7 + edit * 11) % files.len();
        let new = format!(
            "\n/// Of session {n}, edit {edit}.\npub fn part_{n}_{edit}(input: u64) -> u64 {{\n    input * {n} + {edit}\n}}\n"
        );
        let old = files[file].lines().last().unwrap().to_owned();
        let entry = json!({ "type": "tool", "seq": edit + 1, "timestamp": "2026-03-12T09:11:00Z", "tool_name": "Edit",
            "call_id": format!("c{edit}"), "tool_input": json!({ "file_path": root.join(path(file)),
                "old_string": format!("{old}\n"), "new_string": format!("{old}\n{new}") }).to_string() });
        text.push_str(&format!("{entry}\n"));
        files[file].push_str(&new);
    }
    fs::write(dir.join("raw.jsonl"), text).unwrap();
    edits::write(&dir, root, redactor).unwrap();
    dir.join("edits.json").metadata().unwrap().len()
}
