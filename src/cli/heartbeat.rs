//! The word that a command says to the daemon: that the project, its teams, this clone and perhaps an agent are in use.

use super::context::Cx;
use super::me::Me;
use super::notices;
use crate::daemon::{VERSION, others};
use crate::ipc::client::ClientError;
use crate::ipc::wire::{Heartbeat, Message};
use crate::kit::Class;
use crate::kit::gotime::GoTime;
use crate::project::Project;

/// So many bytes of output are one token of a model, estimated (ipc and lifecycle, 8.1).
const BYTES_A_TOKEN: usize = 4;

/// Says it when the command `name` begins, if there is a project and a daemon serves that. Nothing waits for it, and nothing depends on it.
/// Where no agent runs the command, a person is told of stored failures then.
///
/// Credentials are never part of it: the daemon reads the files where they are.
pub fn send(cx: &Cx, name: &str, by_agent: bool) {
    let Ok(Some(project)) = cx.project_if_any() else { return };
    // An absent or busy daemon is told nothing.
    let _ = say(cx, &project, &of_command(cx, &project, name));
    if !by_agent {
        notices::banner(cx, &project);
    }
}

/// Says that `me` is at work, with its command.
///
/// # Errors
/// No daemon serves the project, or it did not take it.
pub fn of_agent(cx: &Cx, project: &Project, me: &Me, name: &str) -> Result<(), ClientError> {
    let beat = beat(cx, project, me, name);
    match say(cx, project, &beat) {
        // It has 50 ms, and whoever says only this does not want to hear that the machine was busy.
        Err(e) if e.class() == Class::Busy => say(cx, project, &beat),
        other => other,
    }
}

/// Says what a command's output has cost the agent that reads it.
pub fn cost(cx: &Cx, project: &Project, me: &Me, name: &str) {
    let tokens = i64::try_from(cx.ui.printed() / BYTES_A_TOKEN).unwrap_or(i64::MAX);
    if me.id.is_empty() || tokens == 0 {
        return;
    }
    let cost = Heartbeat {
        agent_id: me.id.clone(),
        timestamp: GoTime::from(cx.now()),
        context_tokens: tokens,
        command_name: name.to_owned(),
        parent_agent_id: me.parent.clone(),
        agent_type: me.kind.clone(),
        ..Heartbeat::default()
    };
    let _ = say(cx, project, &cost); // as at the beginning
}

fn say(cx: &Cx, project: &Project, beat: &Heartbeat) -> Result<(), ClientError> {
    cx.client(project).one_way(Message::Heartbeat, Some(beat))
}

fn of_command(cx: &Cx, project: &Project, name: &str) -> Heartbeat {
    let me = if Me::is_told(cx) { Me::of(cx) } else { Me::default() };
    beat(cx, project, &me, name)
}

fn beat(cx: &Cx, project: &Project, me: &Me, name: &str) -> Heartbeat {
    let root = project.root.to_string_lossy().into_owned();
    Heartbeat {
        repo_path: root.clone(),
        workspace_id: project.workspace_id.clone(),
        caller_path: root,
        agent_id: me.id.clone(),
        team_ids: project.config.teams().into_iter().map(|team| team.team_id).collect(),
        timestamp: GoTime::from(cx.now()),
        // A daemon of the Go program that is of another version would end itself or start anew.
        cli_version: if others::is_ours(&cx.dirs, project) { VERSION.to_string() } else { String::new() },
        command_name: name.to_string(),
        parent_agent_id: me.parent.clone(),
        agent_type: me.kind.clone(),
        parent_pid: i64::from(me.pid),
        ..Heartbeat::default()
    }
}
