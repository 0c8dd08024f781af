//! What is told of who is at work.

use std::collections::BTreeMap;

use super::Presence;
use crate::daemon::cx::{Cx, NOT_ATTACHED};
use crate::daemon::names::Id;
use crate::daemon::shared::{Project, Shared};
use crate::health::activity::Uses;
use crate::health::agents::{Agent, IDLE, Split, Status};
use crate::ipc::ConnId;
use crate::ipc::limits::STATUS_TIMESTAMPS_ALL;
use crate::ipc::wire::{
    ActivityEntry, ActivitySummary, AgentSession, AuthenticatedUser, CallerInfo, CommandCost, InstanceInfo,
    Response, fitting,
};
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;

impl Presence {
    /// The answer to `instances`: newest heartbeat first.
    pub(in crate::daemon) fn instances(&self, cx: &mut Cx, conn: ConnId, id: &Id, detail: bool) {
        let (Some(project), Some(agents)) = (cx.shared.project(id), cx.shared.agents().get(id)) else {
            return cx.reply(conn, Response::error(NOT_ATTACHED));
        };
        let present = agents.present(cx.now.mono);
        let all = present.iter().map(|(id, agent, status)| instance(project, id, agent, *status, detail));
        let response = Response::data(&BTreeMap::from([("instances", fitting(all))]));
        cx.reply(conn, response);
    }

    /// The answer to `sessions`, the older form: everybody who is followed, by the silence alone.
    pub(in crate::daemon) fn sessions(&self, cx: &mut Cx, conn: ConnId, id: &Id) {
        let (Some(project), Some(agents)) = (cx.shared.project(id), cx.shared.agents().get(id)) else {
            return cx.reply(conn, Response::error(NOT_ATTACHED));
        };
        let mut all: Vec<AgentSession> =
            agents.iter().map(|(id, agent)| session(project, id, agent, cx.now.mono)).collect();
        all.sort_by(|a, b| b.last_heartbeat.cmp(&a.last_heartbeat).then_with(|| a.agent_id.cmp(&b.agent_id)));
        let response = Response::data(&BTreeMap::from([("sessions", fitting(all.iter()))]));
        cx.reply(conn, response);
    }

    /// Who was active.
    pub(in crate::daemon) fn activity(&self, id: &Id, shared: &Shared) -> ActivitySummary {
        let Some(heard) = self.projects.get(id) else { return ActivitySummary::default() };
        let agents = shared.agents().get(id).into_iter().flat_map(|agents| agents.iter());
        ActivitySummary {
            repos: entries(heard.repos.iter().collect()),
            teams: entries(heard.teams.iter().collect()),
            workspaces: entries(heard.workspaces.iter().collect()),
            agents: entries(agents.map(|(id, agent)| (id, &agent.beats)).collect()),
        }
    }

    /// The clones that have called, newest first.
    pub(in crate::daemon) fn callers(&self, id: &Id) -> Vec<CallerInfo> {
        let caller = |(id, c): (&str, &crate::health::callers::Caller)| CallerInfo {
            id: id.to_string(),
            path: c.path.clone(),
            last_seen: GoTime::from(c.seen),
            agent_id: c.agent.clone(),
        };
        let heard = self.projects.get(id);
        let mut callers: Vec<CallerInfo> =
            heard.into_iter().flat_map(|heard| heard.callers.iter().map(caller)).collect();
        callers.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.id.cmp(&b.id)));
        callers
    }

    /// The directory that called last, else the project's.
    pub(in crate::daemon) fn newest_path(&self, id: &Id, project: &Project) -> String {
        let newest = self.projects.get(id).and_then(|heard| heard.callers.newest_path());
        newest.map_or_else(|| project.root.to_string_lossy().into_owned(), str::to_string)
    }

    /// Whose credentials are in use, if they have not expired.
    pub(in crate::daemon) fn user(&self, id: &Id, now: Now) -> Option<AuthenticatedUser> {
        let user = self.projects.get(id)?.user.as_ref().filter(|u| !u.email.is_empty())?;
        let valid = user.expires.0.is_none_or(|end| now.wall < end);
        valid.then(|| AuthenticatedUser { email: user.email.clone(), id: user.id.clone() })
    }
}

/// Where an agent works: where it said, else where the project is.
fn path_of(project: &Project, agent: &Agent) -> String {
    if agent.path.is_empty() { project.root.to_string_lossy().into_owned() } else { agent.path.clone() }
}

fn session(project: &Project, id: &str, agent: &Agent, now: Mono) -> AgentSession {
    AgentSession {
        agent_id: id.to_string(),
        workspace_path: path_of(project, agent),
        last_heartbeat: GoTime::from(agent.beats.last()),
        heartbeat_count: i64::from(agent.beats.count()),
        status: if agent.silent(now) > IDLE { Status::Idle } else { Status::Active }.name().to_string(),
    }
}

fn instance(project: &Project, id: &str, agent: &Agent, status: Status, detail: bool) -> InstanceInfo {
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let command = |(name, cost): &(Box<str>, crate::health::agents::Cost)| CommandCost {
        name: name.to_string(),
        tokens: whole(cost.tokens),
        count: whole(cost.commands),
    };
    let split = |split: &Split| split.iter().map(|(name, n)| (name.to_owned(), whole(n))).collect();
    InstanceInfo {
        principal_id: agent.principal.clone(),
        cumulative_context_tokens_by_source: split(&agent.by_source),
        cumulative_context_tokens_by_kb_type: split(&agent.by_kb_type),
        agent_id: id.to_string(),
        workspace_path: path_of(project, agent),
        last_heartbeat: GoTime::from(agent.beats.last()),
        heartbeat_count: i64::from(agent.beats.count()),
        status: status.name().to_string(),
        cumulative_context_tokens: whole(agent.cost.tokens),
        command_count: whole(agent.cost.commands),
        parent_agent_id: agent.parent.clone(),
        agent_type: agent.kind.clone(),
        parent_pid: i64::from(agent.pid()),
        last_whisper: GoTime(agent.last_whisper),
        commands: if detail { agent.by_command.iter().map(command).collect() } else { Vec::new() },
    }
}

/// Newest first. The more keys there are, the fewer times each has.
fn entries(mut uses: Vec<(&str, &Uses)>) -> Vec<ActivityEntry> {
    uses.sort_by(|a, b| b.1.last().cmp(&a.1.last()).then_with(|| a.0.cmp(b.0)));
    let times = STATUS_TIMESTAMPS_ALL / uses.len().max(1);
    let entry = |(key, uses): (&str, &Uses)| ActivityEntry {
        key: key.to_string(),
        count: i64::from(uses.count()),
        last: GoTime::from(uses.last()),
        timestamps: uses.times(times).map(GoTime::from).collect(),
    };
    uses.into_iter().map(entry).collect()
}
