//! What is left of recordings whose agents have ended: finished or removed when the daemon begins, and nothing else is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use ox::kit::clock::{Clock as _, SystemClock};
use ox::sessions::{Recording, watch_mode};
use serde_json::{Value, json};

use super::{SESSION, said};
use crate::support::{TestEnv, until_or};

const HEADER: &str =
    "{\"type\":\"header\",\"metadata\":{\"version\":\"1.0\",\"agent_type\":\"claude-code\"}}\n";

/// A line as the Go program's hooks write it: without a number and without an id.
fn written(n: usize) -> String {
    json!({ "type": "user", "content": format!("word {n}"), "timestamp": "2036-03-12T09:01:00Z" }).to_string()
        + "\n"
}

/// What was written last in a session's directory was so many hours ago.
fn last_written(dir: &Path, hours: u64) {
    let at = SystemTime::now() - Duration::from_secs(hours * 3600);
    for entry in fs::read_dir(dir).unwrap() {
        File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(at).unwrap();
    }
}

struct Left {
    env: TestEnv,
    repo: PathBuf,
    sessions: PathBuf,
    transcript: PathBuf,
}

impl Left {
    fn new() -> Left {
        let mut env = TestEnv::new();
        let repo = env.repo("r");
        env.ox_in(&repo, ["up"]).ok();
        env.set("CLAUDECODE", "1");
        env.set("CLAUDE_CODE_SESSION_ID", SESSION);
        let dir = env.home().join(".claude/projects/-p");
        fs::create_dir_all(&dir).unwrap();
        let transcript = dir.join(format!("{SESSION}.jsonl"));
        fs::write(&transcript, (0..3).map(said).collect::<String>()).unwrap();
        // Where sessions lie is known of one that is begun and thrown away.
        let recorded = super::Recorded::start(&env, &repo);
        env.ox_in(&repo, ["session", "abort", "--yes"]).ok();
        env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
        let sessions = recorded.dir.parent().unwrap().to_owned();
        Left { env, repo, sessions, transcript }
    }

    /// A recording that began two days ago, by an agent whose process has ended.
    fn recording(&self, agent: &str, change: impl FnOnce(&mut Recording)) -> PathBuf {
        let now = SystemClock.now().wall;
        let dir = self.sessions.join(format!("2026-03-12T11-09-dana-{agent}"));
        fs::create_dir_all(&dir).unwrap();
        let began: Timestamp = now - jiff::SignedDuration::from_hours(48);
        let mut recording = Recording {
            adapter_name: "claude-code".into(),
            session_file: self.transcript.to_str().unwrap().into(),
            watch_mode: watch_mode::HOOK.into(),
            // This process, which began at another time.
            parent_pid: std::process::id(),
            parent_start: 1,
            ..Recording::new(agent, began)
        };
        change(&mut recording);
        recording.create(&dir).unwrap();
        dir
    }
}

fn words(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("raw.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some(line.get("content")?.as_str()?.to_owned())).collect()
}

#[test]
fn agt_06_what_is_left_of_recordings_is_finished_and_what_may_be_at_work_is_not() {
    let s = Left::new();
    let put = |dir: &Path, name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    // Hooks of the Go program have taken over the first word.
    let hooked = s.recording("OxHook", |r| r.source_offset = said(0).len() as u64);
    put(&hooked, "raw.jsonl", &(HEADER.to_owned() + &written(0)));
    last_written(&hooked, 1);
    File::options()
        .write(true)
        .open(&s.transcript)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(30 * 3600))
        .unwrap();
    // The same, and something was written just now.
    let at_work = s.recording("OxWork", |r| r.source_offset = said(0).len() as u64);
    put(&at_work, "raw.jsonl", &(HEADER.to_owned() + &written(0)));
    // Nothing was said.
    let (ghost, with_head) = (s.recording("OxGhos", |r| r.session_file = String::new()), "OxHead");
    let with_head = s.recording(with_head, |r| r.session_file = String::new());
    put(&with_head, "raw.jsonl", HEADER);
    [&ghost, &with_head].into_iter().for_each(|dir| last_written(dir, 1));
    // Nothing says which process it is.
    let no_pid = |r: &mut Recording| {
        r.parent_pid = 0;
        r.session_file = String::new();
    };
    let (silent, silent_too_short) = (s.recording("OxSile", no_pid), s.recording("OxLive", no_pid));
    // Nothing says anything.
    let (unreadable, fresh) = (s.recording("OxUnre", |_| ()), s.recording("OxFres", |_| ()));
    for dir in [&silent, &silent_too_short, &unreadable, &fresh] {
        put(dir, "raw.jsonl", &(HEADER.to_owned() + &written(0)));
    }
    [&unreadable, &fresh].into_iter().for_each(|dir| put(dir, ".recording.json", "{\"agent_id\":"));
    [(&silent, 25), (&silent_too_short, 23), (&unreadable, 25), (&fresh, 23)]
        .into_iter()
        .for_each(|(dir, hours)| last_written(dir, hours));
    // It was stopped, whatever lives.
    let stopped = s.recording("OxStop", |r| {
        (r.parent_start, r.session_file) = (0, String::new());
        r.stopped_at = SystemClock.now().wall.checked_sub(jiff::SignedDuration::from_mins(2)).unwrap().into();
    });
    put(&stopped, "raw.jsonl", &(HEADER.to_owned() + &written(0)));

    s.env.ox_in(&s.repo, ["daemon", "start"]).ok();
    let is_open = |dir: &PathBuf| dir.join(".recording.json").exists();
    let ended = [&hooked, &ghost, &with_head, &silent, &unreadable, &stopped];
    until_or(
        || !ended.iter().any(|dir| is_open(dir)),
        || format!("{:?}", ended.iter().filter(|dir| is_open(dir)).collect::<Vec<_>>()),
    );
    assert_eq!(words(&hooked), ["word 0", "word 1", "word 2"]);
    assert!(!ghost.exists() && with_head.join("raw.jsonl").exists());
    for dir in [&silent, &unreadable, &stopped] {
        assert_eq!(words(dir), ["word 0"]);
        let meta: Value = serde_json::from_slice(&fs::read(dir.join("meta.json")).unwrap()).unwrap();
        let reason = if dir == &stopped { "stopped" } else { "recovered" };
        assert_eq!((&meta["stop_reason"], &meta["entry_count"]), (&reason.into(), &1.into()), "{dir:?}");
        assert_eq!(meta["title"], "word 0");
    }
    for dir in [&at_work, &silent_too_short, &fresh] {
        assert!(is_open(dir), "{dir:?}");
        assert_eq!(words(dir), ["word 0"]);
    }
    s.env.stop_daemon();
}
