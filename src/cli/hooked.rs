//! What the entry of hooks does once an event is taken in: a daemon for a session that begins without one, the agent's
//! introduction, what waits for it, and who else works on the file that it is about to edit.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::collision;
use super::whispered::Asked;
use crate::daemon::reach;
use crate::harness::hooks::Says;
use crate::hooks::entry::{self, Taken};
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::{child, file, lock, process};
use crate::project::{AgentSession, Dirs, Env, Project};
use crate::whispers::limits::PROMPT_MAX;

/// The daemon is asked no longer than this (whispers and watching, 8.5).
const PATIENCE: Duration = Duration::from_millis(100);
/// Time that is kept for printing.
const RESERVE: Duration = Duration::from_millis(20);
/// One session starts a daemon, not each of those that begin together.
const STARTS_APART: Duration = Duration::from_secs(30);

/// Does it. Where it cannot nobody hears of it: the agent has its work.
pub fn after_hook(taken: &Taken) {
    let env = || Env::of(std::env::vars_os().collect::<Vec<_>>(), &taken.cwd);
    match (&*taken.event, taken.says) {
        // What is told to a sub-agent is lost to the agent that it works for.
        ("SessionStart" | "UserPromptSubmit", Says::Text) if taken.is_sub_agent => {}
        ("SessionStart", says) => {
            start_daemon(&taken.dirs, &env());
            if says == Says::Text {
                introduce(taken);
            }
        }
        ("UserPromptSubmit", Says::Text) => {
            let env = env();
            match AgentSession::load(&env, &taken.session_id).filter(|session| session.primed_at.0.is_some())
            {
                Some(session) => whisper(taken, &env, &session.agent_id),
                // It began before its hooks were installed, or there was no time then.
                None => introduce(taken),
            }
        }
        ("PreToolUse", Says::Context) if !taken.edits.is_empty() => {
            if let Some(answer) = collision::warning(taken, &env(), SystemClock.now().wall) {
                let _ = std::io::stdout().write_all(answer.as_bytes());
            }
        }
        _ => {}
    }
}

/// Has `ox agent prime` go on in the place of this process, within the time that is left to it.
fn introduce(taken: &Taken) {
    if taken.session_id.is_empty() {
        return;
    }
    let (kind, session) = (taken.program.kind, &taken.session_id);
    let mut args = ["agent", "prime", "--hook"].map(OsString::from).to_vec();
    args.push(format!("--agent={kind}").into());
    args.push(format!("--session-id={session}").into());
    // What it was told before is not in its context any more.
    if matches!(&*taken.source, "clear" | "compact") {
        args.push("--full".into());
    }
    // It has no answer to the deadline before it is ready to print; then what is due is due at once.
    if process::hold_end().is_err() {
        return;
    }
    let _ = entry::become_ox(&args, |command| {
        command.current_dir(&taken.cwd).stdin(Stdio::null()).stderr(Stdio::null());
    });
    let _ = process::keep_end();
}

/// Starts one where none lives, or has the one that does serve the project; waits for nothing.
fn start_daemon(dirs: &Dirs, env: &Env) {
    let is_served = || Project::discover(env).is_ok_and(|p| dirs.project_socket(&p.workspace_id).exists());
    let is_there = || lock::is_held(&dirs.daemon_lock()).unwrap_or(true) && is_served();
    if env.get("CI").is_some() || is_there() {
        return;
    }
    let mark = crate::hooks::flag::dir(dirs.data()).join(".started");
    let is_recent = std::fs::metadata(&mark)
        .and_then(|meta| meta.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed < STARTS_APART));
    if is_recent || reach::may_start(dirs, env).is_err() {
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let _ = file::write_atomic(&mark, b"", 0o600);
    let dir = env.cwd().unwrap_or(std::path::Path::new("/")).to_owned();
    let cmd = child::Cmd::new(own.with_file_name("ox")).args(["daemon", "start"]).keep_all_env().dir(dir);
    let _ = child::spawn_detached(&cmd);
}

/// Prints what waits for the agent of the session, in one piece.
fn whisper(taken: &Taken, env: &Env, agent: &str) {
    let patience = PATIENCE.min(taken.left.saturating_sub(RESERVE));
    if patience.is_zero() {
        return;
    }
    let Ok(project) = Project::discover(env) else { return };
    let (dirs, budget) = (&taken.dirs, PROMPT_MAX);
    let client = reach::client_of(dirs, &project);
    let whispers = Asked { env, dirs, project: &project, agent, budget, patience };
    let text = whispers.text(&client, SystemClock.now().wall);
    if !text.is_empty() {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}
