//! Recordings with a real daemon: what an agent's transcript gets is in the recording soon, once, whoever is ended when.

mod corpus;
mod left;
mod memory;
mod pushed;
mod rows;
mod secrets;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ox::kit::rng::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{TestEnv, seed, send, until, until_or};

/// An agent's session that is being recorded.
struct Scene {
    env: TestEnv,
    repo: PathBuf,
    transcript: PathBuf,
    recorded: Recorded,
}

/// A session's recording.
struct Recorded {
    /// The session's directory.
    dir: PathBuf,
    agent: String,
}

impl Recorded {
    /// Begins one: the agent that `env` tells of introduces itself and starts it.
    fn start(env: &TestEnv, repo: &Path) -> Recorded {
        let primed = env.ox_in(repo, ["agent", "prime", "--json"]).ok().json();
        let started = env.ox_in(repo, ["session", "start", "--json"]).ok().json();
        let dir = PathBuf::from(started["path"].as_str().unwrap());
        Recorded { dir, agent: primed["agent_id"].as_str().unwrap().to_owned() }
    }

    fn contents(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("raw.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| Some(line.get("content")?.as_str()?.to_owned())).collect()
    }

    /// So many words are recorded, once and in order, and nothing else.
    #[track_caller]
    fn has(&self, n: usize) {
        let words: Vec<String> = (0..n).map(|n| format!("word {n}")).collect();
        until_or(|| self.contents().len() >= n, || format!("{:?} of {n}", self.contents()));
        assert_eq!(self.contents(), words);
    }

    fn marker(&self) -> PathBuf {
        self.dir.join(".recording.json")
    }
}

/// The daemon ends in the middle of whatever it does.
fn kill(env: &TestEnv) {
    if let Some(pid) = env.daemon_pid() {
        send(pid, Signal::KILL);
    }
}

const SESSION: &str = "11111111-2222-4333-8444-555555555555";

/// A person's words, as Claude Code writes them.
fn said(n: usize) -> String {
    let record = json!({
        "type": "user", "uuid": format!("u{n}"), "sessionId": SESSION, "timestamp": "2036-03-12T09:01:00Z", "cwd": "/p",
        "version": "2.1.332", "message": { "role": "user", "content": format!("word {n}") },
    });
    record.to_string() + "\n"
}

impl Scene {
    fn new() -> Scene {
        let mut env = TestEnv::new();
        let repo = env.repo("r");
        env.ox_in(&repo, ["up"]).ok();
        env.set("CLAUDECODE", "1");
        env.set("CLAUDE_CODE_SESSION_ID", SESSION);
        let dir = env.home().join(".claude/projects/-p");
        fs::create_dir_all(&dir).unwrap();
        let transcript = dir.join(format!("{SESSION}.jsonl"));
        fs::write(&transcript, "").unwrap();
        let recorded = Recorded::start(&env, &repo);
        Scene { env, repo, transcript, recorded }
    }

    /// The agent writes.
    fn writes(&self, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(&self.transcript).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn what_the_agent_writes_is_recorded_while_it_goes_on() {
    let s = Scene::new();
    s.writes(&said(0));
    s.recorded.has(1);
    let next = said(1);
    s.writes(&next[..30]);
    s.writes(&next[30..]);
    s.recorded.has(2);
    // How far it is stands where others read it.
    let counted = || {
        let marker: Value = serde_json::from_slice(&fs::read(s.recorded.marker()).unwrap()).unwrap();
        marker["entry_count"] == 2
            && marker["source_offset"].as_u64() == Some((said(0) + &said(1)).len() as u64)
    };
    until(counted);
    // A daemon that was away goes on where it was.
    s.env.ox_in(&s.repo, ["daemon", "stop", "--all"]).ok();
    s.writes(&said(2));
    s.env.ox_in(&s.repo, ["daemon", "start"]).ok();
    s.recorded.has(3);
    let stopped = s.env.ox_in(&s.repo, ["agent", &s.recorded.agent, "session", "stop", "--json"]).ok().json();
    assert_eq!(stopped["entry_count"], 3, "{stopped}");
    // What is written from now on is none of it.
    s.writes(&said(3));
    s.env.ox_in(&s.repo, ["sync"]).ok();
    assert_eq!(s.recorded.contents().len(), 3);
    assert!(!s.recorded.marker().exists());
    s.env.stop_daemon();
}

#[test]
fn agt_11_a_daemon_that_is_killed_at_any_moment_loses_nothing_and_doubles_nothing() {
    let test = "recordings::agt_11_a_daemon_that_is_killed_at_any_moment_loses_nothing_and_doubles_nothing";
    seed::with(test, seed::fresh(), killed);
}

fn killed(seed: u64) {
    let s = Scene::new();
    let mut rng = Rng::new(seed);
    let mut n = 0;
    for _ in 0..seed::rounds(10, 200) {
        for _ in 0..rng.below(40) {
            s.writes(&said(n));
            n += 1;
        }
        let half = said(n);
        let cut = usize::try_from(rng.below(half.len() as u64)).unwrap();
        s.writes(&half[..cut]);
        kill(&s.env);
        s.env.ox_in(&s.repo, ["daemon", "start"]).ok();
        s.writes(&half[cut..]);
        n += 1;
    }
    s.recorded.has(n);
    s.env.stop_daemon();
}

#[test]
fn agt_05_a_recording_whose_agent_has_ended_is_finished_by_the_daemon() {
    let s = Scene::new();
    s.writes(&said(0));
    s.recorded.has(1);
    s.env.ox_in(&s.repo, ["daemon", "stop", "--all"]).ok();
    s.writes(&said(1));
    // It began long ago, in a process that is another one now.
    let mut marker: Value = serde_json::from_slice(&fs::read(s.recorded.marker()).unwrap()).unwrap();
    marker["started_at"] = "2026-03-12T09:00:00Z".into();
    marker["parent_pid"] = std::process::id().into();
    marker["parent_start"] = 1.into();
    fs::write(s.recorded.marker(), marker.to_string()).unwrap();
    s.env.ox_in(&s.repo, ["daemon", "start"]).ok();
    until(|| !s.recorded.marker().exists());
    assert_eq!(s.recorded.contents().len(), 2);
    let meta: Value = serde_json::from_slice(&fs::read(s.recorded.dir.join("meta.json")).unwrap()).unwrap();
    assert_eq!((&meta["stop_reason"], &meta["entry_count"]), (&"recovered".into(), &2.into()));
    assert!(!s.recorded.dir.join(".tail.json").exists());
    s.env.stop_daemon();
}

#[test]
fn a_rule_that_comes_while_a_session_is_recorded_holds_from_then_on() {
    let s = Scene::new();
    s.writes(&said(0));
    s.recorded.has(1);
    let rules = "```redact\nliteral \"word\" -> [WORD]\n```\n";
    fs::write(s.repo.join(".sageox/REDACT.md"), rules).unwrap();
    s.writes(&said(1));
    until_or(|| s.recorded.contents() == ["word 0", "[WORD] 1"], || format!("{:?}", s.recorded.contents()));
    s.env.stop_daemon();
}
