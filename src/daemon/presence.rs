//! Who is at work in a project: what heartbeats tell, the processes behind agents, and what is told of them.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::attach::Project;
use super::core::Core;
use super::event::{Effect, Id};
use super::schedule::Beat;
use super::{restart, teams, whispers};
use crate::health::activity::{REPOS_MAX, TEAMS_MAX, Tracker, Uses, WORKSPACES_MAX};
use crate::health::agents::{Agent, Agents, Beat as AgentBeat, IDLE, Status};
use crate::health::callers::Callers;
use crate::ipc::limits::{LIST_MAX, STATUS_TIMESTAMPS_ALL};
use crate::ipc::wire::{
    ActivityEntry, ActivitySummary, AgentSession, AuthenticatedUser, CallerInfo, CommandCost, Credentials,
    Heartbeat, InstanceInfo, Response,
};
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::kit::process::Seen;

/// What heartbeats change is shown in the status at most this much later.
pub(super) const SHOW_WITHIN: Duration = Duration::from_millis(250);

/// What heartbeats have told a project.
#[derive(Debug)]
pub(super) struct Presence {
    repos: Tracker,
    teams: Tracker,
    workspaces: Tracker,
    pub(super) agents: Agents,
    callers: Callers,
    user: Option<User>,
    /// The processes of agents are being looked at.
    looking: bool,
    look_at: Option<Mono>,
}

/// Whose credentials the last heartbeat with any carried. The secrets themselves are not kept: they are in the files that the commands
/// write, and those are read again.
#[derive(Debug)]
struct User {
    email: String,
    id: String,
    /// Tells new secrets from those already seen.
    secrets: u64,
    expires: GoTime,
}

impl Default for Presence {
    fn default() -> Presence {
        Presence {
            repos: Tracker::new(REPOS_MAX),
            teams: Tracker::new(TEAMS_MAX),
            workspaces: Tracker::new(WORKSPACES_MAX),
            agents: Agents::default(),
            callers: Callers::default(),
            user: None,
            looking: false,
            look_at: None,
        }
    }
}

/// Takes in a heartbeat. The times in it are its sender's and are not used.
pub(super) fn heartbeat(core: &mut Core, now: Now, id: &Id, caller: &str, beat: &Heartbeat) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let renewed = match &beat.credentials {
        Some(credentials) => {
            project.handed_over(core.secrets.hash_one(secrets_of(credentials)), now, credentials)
        }
        None => false,
    };
    let presence = &mut project.presence;
    presence.callers.called(now, caller, &beat.caller_path, &beat.agent_id);
    presence.repos.used(&beat.repo_path, now.wall);
    presence.workspaces.used(&beat.workspace_id, now.wall);
    beat.team_ids.iter().take(TEAMS_MAX).for_each(|team| presence.teams.used(team, now.wall));
    let look_within = presence.agents.beat(
        now,
        &AgentBeat {
            agent: &beat.agent_id,
            path: &beat.caller_path,
            parent: &beat.parent_agent_id,
            kind: &beat.agent_type,
            pid: u32::try_from(beat.parent_pid).unwrap_or(0),
            tokens: u64::try_from(beat.context_tokens).unwrap_or(0),
            command: &beat.command_name,
        },
    );
    project.beaten = true;
    plan_look(core, now.mono, id, look_within);
    teams::used(core, now, id, &beat.team_ids);
    if !beat.agent_id.is_empty() {
        whispers::heard(core, now, id);
    }
    if renewed {
        core.load(id);
    }
    restart::heard(core, now, &beat.cli_version);
}

fn secrets_of(c: &Credentials) -> (&str, &str, &str) {
    (&c.token, &c.auth_token, &c.server_url)
}

impl Project {
    /// Takes in credentials; true if they are others than before. What has expired is not taken.
    fn handed_over(&mut self, secrets: u64, now: Now, c: &Credentials) -> bool {
        if c.expires_at.0.is_some_and(|end| end < now.wall) {
            log::debug!(
                "[{}] a heartbeat carried credentials that expired at {}",
                self.label(),
                c.expires_at
            );
            return false;
        }
        let before = self.presence.user.as_ref();
        let renewed = before.is_none_or(|u| u.secrets != secrets);
        let (old, new) = (before.map(|u| u.email.as_str()).unwrap_or_default(), c.user_email.as_str());
        match (old.is_empty(), new.is_empty()) {
            (true, false) => log::info!("[{}] login: {new:?}", self.label()),
            (false, true) => log::info!("[{}] logout: {old:?}", self.label()),
            (false, false) if old != new => log::info!("[{}] switch: {old:?} to {new:?}", self.label()),
            _ if renewed => log::info!("[{}] new credentials, end {}", self.label(), c.expires_at),
            _ => {}
        }
        self.dirty |= old != new;
        let (email, id) = (c.user_email.clone(), c.user_id.clone());
        self.presence.user = Some(User { email, id, secrets, expires: c.expires_at });
        renewed
    }
}

/// Sees to it that the processes of agents are looked at in time.
fn plan_look(core: &mut Core, now: Mono, id: &Id, within: Option<Duration>) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let presence = &mut project.presence;
    let wanted = within.map(|within| now + within);
    let at = match (presence.look_at, wanted) {
        (Some(planned), Some(wanted)) => Some(planned.min(wanted)),
        (planned, wanted) => planned.or(wanted),
    };
    if at != presence.look_at {
        presence.look_at = at;
        core.deadlines.set(Beat::Look(id.clone()), at);
    }
}

/// It is time to look at the processes of a project's agents.
pub(super) fn look(core: &mut Core, now: Now, id: &Id) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let presence = &mut project.presence;
    presence.look_at = None;
    let pids = presence.agents.to_look_at();
    if pids.is_empty() {
        looked(core, now, id, &[]);
    } else if !presence.looking {
        presence.looking = true;
        core.out.push(Effect::Look { id: id.clone(), pids });
    }
}

/// The processes of a project's agents have been looked at.
pub(super) fn looked(core: &mut Core, now: Now, id: &Id, seen: &[(u32, Seen)]) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let presence = &mut project.presence;
    presence.looking = false;
    presence.agents.looked(seen);
    let before = presence.agents.len();
    presence.agents.prune(now.mono);
    let within = presence.agents.look_within();
    project.beaten |= presence.agents.len() != before;
    plan_look(core, now.mono, id, within);
}

/// The answer to `instances`: newest heartbeat first.
pub(super) fn instances(project: &Project, now: Mono, detail: bool) -> Response {
    let present = project.presence.agents.present(now);
    let all = present.iter().map(|(id, agent, status)| instance(project, id, agent, *status, detail));
    Response::data(&BTreeMap::from([("instances", fitting(all))]))
}

/// The first of a list, as JSON, as many as an answer may hold.
pub(super) fn fitting<T: Serialize>(all: impl Iterator<Item = T>) -> Vec<Box<RawValue>> {
    let mut room = LIST_MAX;
    let encoded = all.filter_map(|item| serde_json::value::to_raw_value(&item).ok());
    let mut fits = |size: usize| {
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    // A comma each.
    encoded.take_while(|item| fits(item.get().len() + 1)).collect()
}

fn instance(project: &Project, id: &str, agent: &Agent, status: Status, detail: bool) -> InstanceInfo {
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let command = |(name, cost): &(Box<str>, crate::health::agents::Cost)| CommandCost {
        name: name.to_string(),
        tokens: whole(cost.tokens),
        count: whole(cost.commands),
    };
    InstanceInfo {
        agent_id: id.to_string(),
        workspace_path: project.path_of(agent),
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

/// The answer to `sessions`, the older form: everybody who is followed, by the silence alone.
pub(super) fn sessions(project: &Project, now: Mono) -> Response {
    let session = |(id, agent): (&str, &Agent)| AgentSession {
        agent_id: id.to_string(),
        workspace_path: project.path_of(agent),
        last_heartbeat: GoTime::from(agent.beats.last()),
        heartbeat_count: i64::from(agent.beats.count()),
        status: if agent.silent(now) > IDLE { Status::Idle } else { Status::Active }.name().to_string(),
    };
    let mut sessions: Vec<AgentSession> = project.presence.agents.iter().map(session).collect();
    sessions
        .sort_by(|a, b| b.last_heartbeat.cmp(&a.last_heartbeat).then_with(|| a.agent_id.cmp(&b.agent_id)));
    Response::data(&BTreeMap::from([("sessions", fitting(sessions.iter()))]))
}

impl Project {
    /// Where an agent works: where it said, else where the project is.
    fn path_of(&self, agent: &Agent) -> String {
        if agent.path.is_empty() { self.root.to_string_lossy().into_owned() } else { agent.path.clone() }
    }

    /// Who was active.
    pub(super) fn activity(&self) -> ActivitySummary {
        let presence = &self.presence;
        let agents: Vec<(&str, &Uses)> = presence.agents.iter().map(|(id, a)| (id, &a.beats)).collect();
        ActivitySummary {
            repos: entries(presence.repos.iter().collect()),
            teams: entries(presence.teams.iter().collect()),
            workspaces: entries(presence.workspaces.iter().collect()),
            agents: entries(agents),
        }
    }

    /// The clones that have called, newest first.
    pub(super) fn callers(&self) -> Vec<CallerInfo> {
        let caller = |(id, c): (&str, &crate::health::callers::Caller)| CallerInfo {
            id: id.to_string(),
            path: c.path.clone(),
            last_seen: GoTime::from(c.seen),
            agent_id: c.agent.clone(),
        };
        let mut callers: Vec<CallerInfo> = self.presence.callers.iter().map(caller).collect();
        callers.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.id.cmp(&b.id)));
        callers
    }

    /// The directory that called last, else the project's.
    pub(super) fn newest_path(&self) -> String {
        let newest = self.presence.callers.newest_path().map(str::to_string);
        newest.unwrap_or_else(|| self.root.to_string_lossy().into_owned())
    }

    /// Whose credentials are in use, if they have not expired.
    pub(super) fn user(&self, now: Now) -> Option<AuthenticatedUser> {
        let user = self.presence.user.as_ref().filter(|u| !u.email.is_empty())?;
        let valid = user.expires.0.is_none_or(|end| now.wall < end);
        valid.then(|| AuthenticatedUser { email: user.email.clone(), id: user.id.clone() })
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
