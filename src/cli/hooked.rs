//! What the entry of hooks does once an event is taken in: a daemon for a session that begins without one, and what waits for the agent.

use std::io::Write as _;
use std::time::Duration;

use super::collision;
use super::whispered::Asked;
use crate::daemon::reach;
use crate::harness::hooks::Says;
use crate::hooks::entry::Taken;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::kit::{child, file, lock};
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
        ("SessionStart", _) => start_daemon(&taken.dirs, &env()),
        ("UserPromptSubmit", Says::Text) => whisper(taken, &taken.dirs, &env()),
        ("PreToolUse", Says::Context) if !taken.edits.is_empty() => {
            if let Some(answer) = collision::warning(taken, &env(), SystemClock.now().wall) {
                let _ = std::io::stdout().write_all(answer.as_bytes());
            }
        }
        _ => {}
    }
}

/// Starts one where none lives, and waits for nothing.
fn start_daemon(dirs: &Dirs, env: &Env) {
    if env.get("CI").is_some() || lock::is_held(&dirs.daemon_lock()).unwrap_or(true) {
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
fn whisper(taken: &Taken, dirs: &Dirs, env: &Env) {
    let patience = PATIENCE.min(taken.left.saturating_sub(RESERVE));
    let Some(session) = AgentSession::load(env, &taken.session_id).filter(|_| !patience.is_zero()) else {
        return;
    };
    let Ok(project) = Project::discover(env) else { return };
    let client = reach::client_of(dirs, &project);
    let whispers =
        Asked { env, dirs, project: &project, agent: &session.agent_id, budget: PROMPT_MAX, patience };
    let text = whispers.text(&client, SystemClock.now().wall);
    if !text.is_empty() {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}
