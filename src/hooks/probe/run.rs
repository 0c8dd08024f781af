//! What a test runs: the agent's program once, and the commands in its settings as it would run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::stub::{COMMAND, Served, Stub};
use crate::harness::headless;
use crate::harness::hooks::{CLAUDE, CODEX, GEMINI, Hooks};
use crate::hooks::entry::{DEPTH, MODE, STORE};
use crate::kit::cancel::Cancel;
use crate::kit::child::{self, ChildError, Cmd, Output};
use crate::kit::contact::{self, Contact, End, Peer, Purpose};
use crate::kit::{file, id};
use crate::project::Env;
use crate::project::settings::RECORDING_VAR;

/// A program is ended after this.
const RUN_MAX: Duration = Duration::from_secs(60);
/// A command is: an agent waits no longer for ours.
const COMMAND_MAX: Duration = Duration::from_secs(5);
/// So much is kept of what a program prints, in bytes.
const OUTPUT_MAX: usize = 64 << 10;
/// The directory of a run is named so, and by an id.
const PRIVATE: &str = "ox-hooks-test-";

/// A directory of ours with a project in it, which goes with this.
#[derive(Debug)]
pub(super) struct Private {
    dir: PathBuf,
    repo_id: String,
}

impl Private {
    /// Makes it.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn new(env: &Env) -> std::io::Result<Private> {
        // Programs note where they were by the true path.
        let temp = env.temp().canonicalize()?;
        let dir = temp.join(format!("{PRIVATE}{}", id::new_id()));
        let private = Private { dir, repo_id: format!("repo_{}", id::new_id()) };
        file::private_dir(&private.dir)?;
        let config = private.project().join(".sageox/config.json");
        file::make_dirs(&private.project().join(".sageox"), 0o700)?;
        let repo = json!({ "repo_id": private.repo_id });
        file::write_atomic(&config, repo.to_string().as_bytes(), 0o600)?;
        Ok(private)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the events of its project are known by.
    pub(super) fn repo_id(&self) -> &str {
        &self.repo_id
    }

    /// The project in it.
    pub(super) fn project(&self) -> PathBuf {
        self.dir.join("ox-hooks-test")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            log::debug!("{}: {e}", self.dir.display());
        }
    }
}

/// What came of a program's run.
#[derive(Debug)]
pub(super) struct Ran {
    /// What was asked of the model server.
    pub(super) served: Served,
    /// Why it did not come to its end.
    pub(super) failed: Option<String>,
}

/// Runs a program once in `dir`, with a model server of ours.
///
/// # Errors
/// It cannot be run, in words.
pub(super) fn run(hooks: &Hooks, program: &Path, dir: &Path, private: &Path) -> Result<Ran, String> {
    let stub = Stub::start().map_err(|e| format!("no model server can be started: {e}"))?;
    let Some(once) = headless::once(hooks.word, &stub.url(), private) else {
        return Err("it cannot be told which model to ask".to_owned());
    };
    let mut cmd = clean(Cmd::new(program).args(&once.args)).dir(dir).deadline(RUN_MAX);
    for (name, value) in &once.set {
        cmd = cmd.env(name, value);
    }
    let ended = child::run(cmd.stdout_cap(OUTPUT_MAX), &Cancel::new());
    // It is led to the model server here, and may ask its vendor for other things.
    if let Some(end) = End::of_run(&ended) {
        contact::tell(Contact::new(Purpose::Agent, Peer::Program(hooks.word), end));
    }
    let served = stub.served();
    match ended {
        Ok(output) => Ok(Ran { served, failed: failure(&output) }),
        Err(e @ (ChildError::NotFound { .. } | ChildError::Spawn { .. })) => Err(e.to_string()),
        Err(e) => Ok(Ran { served, failed: Some(e.to_string()) }),
    }
}

/// Our own environment without what would make another of it than a person's terminal is. Entries do no more than take events in: what is
/// begun here is no session that anybody is to hear of.
fn clean(cmd: Cmd) -> Cmd {
    let mut names = headless::unset();
    names.push(DEPTH);
    cmd.keep_all_env().without_env(&names).env(MODE, STORE).env(RECORDING_VAR, "disabled")
}

/// How it ended, where that is no success, with the last that it said.
fn failure(output: &Output) -> Option<String> {
    if output.status.success() {
        return None;
    }
    let (told, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    let last = |text: &str| text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
    let last = last(&told).or_else(|| last(&said)).unwrap_or_default();
    let last: String = last.chars().take(200).collect();
    let end = match output.status.code() {
        Some(code) => format!("it ended with {code}"),
        None => "a signal ended it".to_owned(),
    };
    Some(if last.is_empty() { end } else { format!("{end}: {last}") })
}

/// Runs the command of an event as the program does it. What is wrong with it, where it does not end as it always does.
pub(super) fn replay(
    hooks: &Hooks,
    event: &str,
    command: &str,
    session: &str,
    dir: &Path,
    now: Timestamp,
) -> Option<String> {
    let payload = payload(hooks, event, session, dir, now).to_string().into_bytes();
    let cmd = clean(Cmd::new("/bin/sh").args(["-c", command])).dir(dir).stdin_bytes(payload);
    match child::run(cmd.deadline(COMMAND_MAX), &Cancel::new()) {
        Ok(output) => failure(&output),
        Err(e) => Some(e.to_string()),
    }
}

/// What a program hands to the command of an event.
fn payload(hooks: &Hooks, event: &str, session: &str, dir: &Path, now: Timestamp) -> Value {
    let mut payload = json!({ "session_id": session, "cwd": dir });
    let mut put = |name: &str, value: Value| payload[name] = value;
    let is = |one: &Hooks| hooks.word == one.word;
    if is(&CLAUDE) || is(&CODEX) || is(&GEMINI) {
        put("hook_event_name", event.into());
        let transcript = dir.join("no-transcript.jsonl");
        put("transcript_path", if is(&CODEX) { Value::Null } else { json!(transcript) });
    }
    if is(&GEMINI) {
        put("timestamp", now.to_string().into());
    }
    let canonical = hooks.events.iter().find(|one| one.name == event).map_or("", |one| one.canonical);
    match canonical {
        "SessionStart" => put("source", "startup".into()),
        "SessionEnd" => put("reason", "other".into()),
        "UserPromptSubmit" => put("prompt", headless::PROMPT.into()),
        "PreCompact" => put("trigger", "manual".into()),
        "Notification" => put("message", "ox hooks test".into()),
        "PreToolUse" | "PostToolUse" | "PostToolUseFailure" => {
            put("tool_name", if is(&CLAUDE) || is(&CODEX) { "Bash" } else { "bash" }.into());
            put("tool_input", json!({ "command": COMMAND }));
            put("tool_use_id", "ox-hooks-test".into());
        }
        _ => {}
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::install;

    #[test]
    fn what_is_handed_to_a_command_is_what_its_program_would_hand_to_it() {
        for hooks in install::rows() {
            for event in hooks.events {
                let payload = payload(hooks, event.name, "s", Path::new("/p"), Timestamp::UNIX_EPOCH);
                assert_eq!((&payload["session_id"], &payload["cwd"]), (&"s".into(), &"/p".into()));
                assert_eq!(payload.get("timestamp").is_some(), hooks.word == "gemini", "{payload}");
                assert_eq!(
                    payload.get("tool_input").is_some(),
                    event.canonical.contains("ToolUse"),
                    "{payload}"
                );
            }
        }
    }

    #[test]
    fn a_project_of_a_run_goes_with_it() {
        let tmp = tempfile::tempdir().unwrap();
        let env = Env::of([("TMPDIR", tmp.path())], "/");
        let private = Private::new(&env).unwrap();
        assert!(private.project().join(".sageox/config.json").is_file());
        drop(private);
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
    }
}
