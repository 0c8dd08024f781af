//! The real agent programs with no model behind them: what they do is recorded as theirs, and what they spend is counted once.
//!
//! They are looked for in the directory that `OX_TEST_AGENTS` names; `.ci/run` installs them.

mod agents;
pub mod answers;
mod events;
mod finished;
mod hooked;
mod model;
mod nested;
mod optimised;
mod probed;
mod recorded;
mod told;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{OX, Ran, TestEnv, census, send, until_or};
use agents::Program;
use model::{Call, Model, Turn};

/// The directory with the programs.
const AGENTS: &str = "OX_TEST_AGENTS";

/// A machine with agent programs, a project in which they work, and the model that they ask.
struct Scene {
    env: TestEnv,
    repo: PathBuf,
    model: Model,
}

/// A shell's words for what an agent does first: it introduces itself and begins to record. What is said about it lies in `<name>.*`.
fn starts(name: &str) -> Call {
    Call::Shell(format!(
        "{OX} agent prime --json >../{name}.prime && {OX} session start --json >../{name}.start"
    ))
}

/// What the model does at `word`.
fn turn(word: &'static str, calls: Vec<Call>) -> Turn {
    Turn { word, calls, answer: format!("done with {}", word.trim_start_matches("turn-")) }
}

impl Scene {
    /// None where one of these programs is not installed.
    fn new(programs: &[Program], turns: Vec<Turn>) -> Option<Scene> {
        let Some(dir) = std::env::var_os(AGENTS).map(PathBuf::from) else {
            println!("skipped: {AGENTS} names no directory with agent programs");
            return None;
        };
        if let Some(missing) = programs.iter().find(|program| !dir.join(program.name()).exists()) {
            println!("skipped: there is no {} in {}", missing.name(), dir.display());
            return None;
        }
        let mut env = TestEnv::new();
        // Sockets and temporary files of the programs.
        env.allow_leftovers();
        env.set("NO_COLOR", "1");
        let repo = env.repo("project");
        env.ox_in(&repo, ["up"]).ok();
        env.ox_in(&repo, ["daemon", "start"]).ok();
        let model = Model::start(turns);
        for program in programs {
            program.set_up(&env, &dir, &model.url());
        }
        Some(Scene { env, repo, model })
    }

    /// Has a program do something in the project.
    fn run(&self, program: Program, args: &[&str]) -> Ran {
        let script = program.script(&self.env);
        let ran = self.env.run_in(&self.repo, &script, args);
        ran.ok()
    }

    /// What an agent was told under that name.
    fn told(&self, name: &str, what: &str) -> Value {
        let path = self.env.work().join(format!("{name}.{what}"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}: {text}", path.display()))
    }

    /// Finishes the recording of the agent of that name; what was recorded.
    fn finish(&self, name: &str) -> Finished {
        let agent = self.told(name, "prime")["agent_id"].as_str().unwrap().to_owned();
        let stopped = self.env.ox_in(&self.repo, ["agent", &agent, "session", "stop", "--json"]).ok().json();
        let raw = PathBuf::from(stopped["raw_path"].as_str().unwrap());
        let meta = fs::read(raw.with_file_name("meta.json")).unwrap();
        let raw = fs::read_to_string(raw).unwrap();
        let lines = raw.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Finished { meta: serde_json::from_slice(&meta).unwrap(), lines }
    }

    /// All the programs have ended, and only the daemon is left. What a program leaves running for its next start is ended as it is meant to be.
    fn ends(&self) {
        let of_codex = self.env.home().join(".codex/app-server-daemon");
        for name in ["daemon.pid", "daemon-updater.pid"] {
            let pid = fs::read_to_string(of_codex.join(name)).ok().and_then(|pid| pid.trim().parse().ok());
            pid.into_iter().for_each(|pid| send(pid, rustix::process::Signal::TERM));
        }
        let daemon = self.env.daemon_pid();
        let others = || {
            let mut all = self.env.processes();
            all.retain(|process| Some(process.pid) != daemon);
            all
        };
        until_or(|| others().is_empty(), || format!("still there: {:?}", others()));
        self.env.stop_daemon();
    }

    /// Files that are ours and have `secret` in them.
    fn leaks(&self, secret: &str) -> Vec<PathBuf> {
        let (runtime, repo) = (self.env.runtime(), &self.repo);
        let is_ours = |path: &Path| {
            let by_name =
                path.components().any(|part| matches!(part.as_os_str().to_str(), Some("sageox" | ".sageox")));
            (by_name || path.starts_with(&runtime) || path.starts_with(repo)) && path.is_file()
        };
        let mut ours = census::files(self.env.root(), &is_ours);
        assert!(ours.iter().any(|path| path.ends_with("raw.jsonl")), "{ours:?}");
        let needle = secret.as_bytes();
        ours.retain(|path| fs::read(path).unwrap_or_default().windows(needle.len()).any(|at| at == needle));
        ours
    }
}

/// A session whose recording is finished.
struct Finished {
    meta: Value,
    /// Its lines: header, entries, footer.
    lines: Vec<Value>,
}

impl Finished {
    /// What was said and done, a line each, but for what the program says itself.
    fn told(&self) -> Vec<String> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let line = |entry: &Value| {
            Some(match entry["type"].as_str()? {
                "tool" if entry["is_error"] == true => format!("failed: {}", text(entry, "tool_output")),
                "tool" => format!("tool: {}", text(entry, "tool_input")),
                kind @ ("user" | "assistant") => format!("{kind}: {}", text(entry, "content")),
                _ => return None,
            })
        };
        self.lines.iter().filter_map(line).collect()
    }

    /// The same from where a person says `word`.
    fn told_from(&self, word: &str) -> Vec<String> {
        let told = self.told();
        let from = told.iter().position(|line| line.starts_with("user: ") && line.contains(word));
        told[from.unwrap_or_else(|| panic!("nobody says {word}: {told:#?}"))..].to_vec()
    }
}
