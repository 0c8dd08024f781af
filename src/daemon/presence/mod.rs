//! Who is at work in a project: what heartbeats tell, the processes behind agents, and what is told of them.

mod answers;
pub mod event;
pub(super) mod work;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use super::names::Id;
use crate::health::activity::{REPOS_MAX, TEAMS_MAX, Tracker, WORKSPACES_MAX};
use crate::health::agents::AgentHeartbeat;
use crate::health::callers::Callers;
use crate::ipc::wire::{Credentials, Heartbeat};
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::kit::process::Seen;
use event::{Effect, Event, Timer};

/// Who is at work, by project; the agents themselves are shared.
#[derive(Debug, Default)]
pub(super) struct Presence {
    projects: BTreeMap<Id, Heard>,
    /// Hashes secrets that are only compared.
    secrets: RandomState,
}

/// What heartbeats have told of a project.
#[derive(Debug)]
struct Heard {
    label: String,
    repos: Tracker,
    teams: Tracker,
    workspaces: Tracker,
    callers: Callers,
    user: Option<User>,
    /// The processes of agents are being probed.
    probing: bool,
    probe_at: Option<Mono>,
    /// Agents of which was told that they have ended, and their processes.
    exited: BTreeMap<String, u32>,
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

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Presence(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Presence(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Presence(timer)
    }
}

impl Presence {
    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        self.probed(cx, &event.id, &event.seen);
    }

    pub(super) fn due(&mut self, cx: &mut Cx, Timer(id): Timer) {
        let Some(heard) = self.projects.get_mut(&id) else { return };
        heard.probe_at = None;
        let pids = cx.shared.agents().get(&id).map(|agents| agents.to_probe()).unwrap_or_default();
        if pids.is_empty() {
            self.probed(cx, &id, &[]);
        } else if !std::mem::replace(&mut heard.probing, true) {
            cx.push(Effect { id, pids });
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { id, .. } => {
                let label = cx.shared.project(id).map(|p| p.label()).unwrap_or_default();
                self.projects.insert(id.clone(), Heard::new(label));
                cx.shared.agents_mut().insert(id.clone(), Default::default());
            }
            Fact::Delivered { id, agent } => {
                if let Some(agents) = cx.shared.agents_mut().get_mut(id) {
                    agents.whispered(agent, cx.now.wall);
                    cx.stale_soon(id);
                }
            }
            Fact::Detached { id, .. } => {
                self.projects.remove(id);
                cx.shared.agents_mut().remove(id);
                cx.set(Timer(id.clone()), None);
            }
            _ => {}
        }
    }

    /// Takes in a heartbeat. The times in it are its sender's and are not used.
    pub(super) fn heartbeat(&mut self, cx: &mut Cx, id: &Id, caller: &str, beat: Heartbeat) {
        let (Some(heard), Some(agents)) = (self.projects.get_mut(id), cx.shared.agents_mut().get_mut(id))
        else {
            return;
        };
        let probe_within = agents.beat(
            cx.now,
            &AgentHeartbeat {
                agent: &beat.agent_id,
                path: &beat.caller_path,
                parent: &beat.parent_agent_id,
                kind: &beat.agent_type,
                pid: u32::try_from(beat.parent_pid).unwrap_or(0),
                tokens: u64::try_from(beat.context_tokens).unwrap_or(0),
                command: &beat.command_name,
                principal: &beat.principal_id,
                by_source: Some(&beat.context_tokens_by_source),
                by_kb_type: Some(&beat.context_tokens_by_kb_type),
            },
        );
        heard.callers.called(cx.now, caller, &beat.caller_path, &beat.agent_id);
        heard.repos.used(&beat.repo_path, cx.now.wall);
        heard.workspaces.used(&beat.workspace_id, cx.now.wall);
        beat.team_ids.iter().take(TEAMS_MAX).for_each(|team| heard.teams.used(team, cx.now.wall));
        cx.stale_soon(id);
        if let Some(credentials) = &beat.credentials {
            let before = heard.email().to_string();
            if heard.handed_over(self.secrets.hash_one(secrets_of(credentials)), cx.now, credentials) {
                cx.tell(Fact::FilesChanged(id.clone()));
            }
            if heard.email() != before {
                cx.stale(id);
            }
        }
        heard.plan_probe(cx, id, probe_within);
        cx.tell(Fact::Heard {
            id: id.clone(),
            agent: !beat.agent_id.is_empty(),
            teams: beat.team_ids,
            version: beat.cli_version,
        });
    }

    /// The processes of a project's agents have been probed.
    fn probed(&mut self, cx: &mut Cx, id: &Id, seen: &[(u32, Seen)]) {
        let (Some(heard), Some(agents)) = (self.projects.get_mut(id), cx.shared.agents_mut().get_mut(id))
        else {
            return;
        };
        heard.probing = false;
        agents.probed(seen);
        let exited: BTreeMap<String, u32> = agents.exited(cx.now.mono).collect();
        let before = agents.len();
        agents.prune(cx.now.mono);
        let within = agents.probe_within();
        if agents.len() != before {
            cx.stale_soon(id);
        }
        heard.plan_probe(cx, id, within);
        for (agent, pid) in &exited {
            if heard.exited.get(agent) != Some(pid) {
                cx.tell(Fact::AgentEnded { id: id.clone(), agent: agent.clone(), pid: *pid });
            }
        }
        heard.exited = exited;
    }
}

fn secrets_of(c: &Credentials) -> (&str, &str, &str) {
    (&c.token, &c.auth_token, &c.server_url)
}

impl Heard {
    fn new(label: String) -> Heard {
        Heard {
            label,
            repos: Tracker::new(REPOS_MAX),
            teams: Tracker::new(TEAMS_MAX),
            workspaces: Tracker::new(WORKSPACES_MAX),
            callers: Callers::default(),
            user: None,
            probing: false,
            probe_at: None,
            exited: BTreeMap::new(),
        }
    }

    fn email(&self) -> &str {
        self.user.as_ref().map(|u| u.email.as_str()).unwrap_or_default()
    }

    /// Takes in credentials; true if they are others than before. What has expired is not taken.
    fn handed_over(&mut self, secrets: u64, now: Now, c: &Credentials) -> bool {
        if c.expires_at.0.is_some_and(|end| end < now.wall) {
            let end = c.expires_at;
            log::debug!("[{}] a heartbeat carried credentials that expired at {end}", self.label);
            return false;
        }
        let renewed = self.user.as_ref().is_none_or(|u| u.secrets != secrets);
        let (old, new) = (self.email(), c.user_email.as_str());
        match (old.is_empty(), new.is_empty()) {
            (true, false) => log::info!("[{}] login: {new:?}", self.label),
            (false, true) => log::info!("[{}] logout: {old:?}", self.label),
            (false, false) if old != new => log::info!("[{}] switch: {old:?} to {new:?}", self.label),
            _ if renewed => log::info!("[{}] new credentials, end {}", self.label, c.expires_at),
            _ => {}
        }
        let (email, id) = (c.user_email.clone(), c.user_id.clone());
        self.user = Some(User { email, id, secrets, expires: c.expires_at });
        renewed
    }

    /// Sees to it that the processes of agents are probed in time.
    fn plan_probe(&mut self, cx: &mut Cx, id: &Id, within: Option<Duration>) {
        let wanted = within.map(|within| cx.now.mono + within);
        let at = match (self.probe_at, wanted) {
            (Some(planned), Some(wanted)) => Some(planned.min(wanted)),
            (planned, wanted) => planned.or(wanted),
        };
        if at != self.probe_at {
            self.probe_at = at;
            cx.set(Timer(id.clone()), at);
        }
    }
}
