//! The word that a command says to the daemon when it begins: that the project, its teams, this clone and perhaps an agent are in use.

use super::args::Command;
use super::context::Cx;
use crate::daemon::VERSION;
use crate::ipc::client::Client;
use crate::ipc::wire::{Heartbeat, Message};
use crate::kit::gotime::GoTime;
use crate::project::Project;

/// Id of the agent that runs the command.
const AGENT_ID: &str = "SAGEOX_AGENT_ID";
/// Its type, such as `claude-code`.
const AGENT_TYPE: &str = "AGENT_ENV";
/// Its process, where a hook has passed it on.
const PARENT_PID: &str = "OX_PARENT_PID";

/// Says it, if `command` works on a project and a daemon serves that. Nothing waits for it, and nothing depends on it.
///
/// Credentials are never part of it: the daemon reads the files where they are.
pub fn send(cx: &Cx, command: &Command) {
    let Some(name) = name(command) else { return };
    let Ok(Some(project)) = cx.project_if_any() else { return };
    let client = Client::new(cx.dirs.project_socket(&project.workspace_id))
        .named(&project.workspace_id, &project.legacy_workspace_id);
    // An absent or busy daemon is told nothing.
    let _ = client.one_way(Message::Heartbeat, Some(&beat(cx, &project, name)));
}

fn beat(cx: &Cx, project: &Project, name: &str) -> Heartbeat {
    let root = project.root.to_string_lossy().into_owned();
    let agent = cx.env.get(AGENT_ID).unwrap_or_default();
    let parent_pid = match agent {
        "" => 0,
        _ => cx.env.get(PARENT_PID).and_then(|pid| pid.parse().ok()).unwrap_or_else(parent),
    };
    Heartbeat {
        repo_path: root.clone(),
        workspace_id: project.workspace_id.clone(),
        caller_path: root,
        agent_id: agent.to_string(),
        team_ids: project.config.teams().into_iter().map(|team| team.team_id).collect(),
        timestamp: GoTime::from(cx.now()),
        cli_version: VERSION.to_string(),
        command_name: name.to_string(),
        agent_type: cx.env.get(AGENT_TYPE).unwrap_or_default().to_string(),
        parent_pid,
        ..Heartbeat::default()
    }
}

fn parent() -> i64 {
    i64::from(std::os::unix::process::parent_id())
}

/// What the commands that work on a project are called; `None` for the others, and for those that start and stop the daemon.
fn name(command: &Command) -> Option<&'static str> {
    match command {
        Command::Up(_) => Some("up"),
        Command::Sync(_) => Some("sync"),
        Command::Status(_) => Some("status"),
        Command::Doctor(_) => Some("doctor"),
        Command::Team(_) => Some("team"),
        Command::Workspaces(_) => Some("workspaces"),
        Command::Ledger(_) => Some("ledger"),
        Command::Rescue(_) => Some("rescue"),
        Command::Init(_)
        | Command::Daemon(_)
        | Command::Config(_)
        | Command::Version(_)
        | Command::Completions(_)
        | Command::Docs(_)
        | Command::GitCredentialHelper(_) => None,
    }
}
