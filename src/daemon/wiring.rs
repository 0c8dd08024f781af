//! The parts, and who hears what: events and deadlines go to the part they are named after, facts to all parts they concern.

use super::cx::Cx;
use super::event::{Event, Timer};
use super::fact::Fact;
use super::names::{Id, Key};
use super::projects::event::{Findable, Timer as ProjectTimer};
use super::shared::{Project, Shared};
use super::{
    accounts, agents, archive, clones, hooks, presence, projects, records, relay, requests, sessions, trees,
    upkeep, whispers,
};
use crate::health::Issue;

/// All parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) projects: projects::Projects,
    pub(super) clones: clones::Clones,
    pub(super) accounts: accounts::Accounts,
    pub(super) presence: presence::Presence,
    pub(super) records: records::Records,
    pub(super) whispers: whispers::Whispers,
    pub(super) trees: trees::Trees,
    pub(super) sessions: sessions::Sessions,
    pub(super) archive: archive::Archive,
    pub(super) hooks: hooks::Hooks,
    pub(super) agents: agents::Agents,
    pub(super) relay: relay::Relay,
    pub(super) upkeep: upkeep::Upkeep,
}

impl Parts {
    /// The process begins: parts that do something without being asked set their deadlines.
    pub(super) fn start(&mut self, cx: &mut Cx) {
        self.projects.start(cx);
        self.clones.start(cx);
        self.records.start(cx);
        self.whispers.start(cx);
        self.hooks.start(cx);
        self.agents.start(cx);
        self.relay.start(cx);
        self.upkeep.start(cx);
    }

    /// Something happened.
    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Request { conn, via, caller, request } => {
                requests::handle(self, cx, conn, via, &caller, request);
            }
            Event::Quit(why) => cx.stop(why, None),
            Event::Projects(event) => self.projects.handle(cx, event),
            Event::Clones(event) => self.clones.handle(cx, event),
            Event::Accounts(event) => self.accounts.handle(cx, event),
            Event::Presence(event) => self.presence.handle(cx, event),
            Event::Whispers(event) => self.whispers.handle(cx, event),
            Event::Trees(event) => self.trees.handle(cx, event),
            Event::Sessions(event) => self.sessions.handle(cx, event),
            Event::Archive(event) => self.archive.handle(cx, event),
            Event::Hooks(event) => self.hooks.handle(cx, event),
            Event::Agents(event) => self.agents.handle(cx, event),
            Event::Relay(event) => self.relay.handle(cx, event),
        }
    }

    /// A deadline has come. What a part has to know of others for it is handed to it.
    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            // What is published after every turn.
            Timer::Show(_) => {}
            Timer::Projects(ProjectTimer::Check) => self.projects.check(cx, self.findable(cx.shared)),
            Timer::Projects(ProjectTimer::Idle(id)) => {
                let held = self.relay.holds(cx.now.mono);
                let busy = held || self.clones.is_busy(&id) || self.agents.is_busy(&id);
                self.projects.idle_due(cx, &id, busy);
            }
            Timer::Projects(ProjectTimer::Empty) => self.projects.end_if_empty(cx, "no project"),
            Timer::Clones(timer) => self.clones.due(cx, timer),
            Timer::Accounts(timer) => self.accounts.due(cx, timer),
            Timer::Presence(timer) => self.presence.due(cx, timer),
            Timer::Records(timer) => self.records.due(cx, timer),
            Timer::Whispers(timer) => self.whispers.due(cx, timer),
            Timer::Trees(timer) => self.trees.due(cx, timer),
            Timer::Sessions(timer) => self.sessions.due(cx, timer),
            Timer::Archive(timer) => self.archive.due(cx, timer),
            Timer::Hooks(timer) => self.hooks.due(cx, timer),
            Timer::Agents(timer) => self.agents.due(cx, timer),
            Timer::Relay(timer) => self.relay.due(cx, timer),
            Timer::Upkeep(timer) => {
                let busy = self.projects.is_attaching() || self.clones.is_any_busy();
                self.upkeep.due(cx, timer, busy);
            }
        }
    }

    /// Who hears what, in this order.
    pub(super) fn tell(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { .. } => {
                self.clones.hear(cx, fact);
                self.presence.hear(cx, fact);
                self.records.hear(cx, fact);
                self.sessions.hear(cx, fact);
                self.archive.hear(cx, fact);
                self.agents.hear(cx, fact);
            }
            Fact::Loaded { .. } => {
                self.clones.hear(cx, fact);
                self.accounts.hear(cx, fact);
                self.records.hear(cx, fact);
            }
            Fact::Detached { .. } => {
                // What changed there is told while it is known who is at work and where the ledger is; the project's row goes last.
                self.trees.hear(cx, fact);
                self.sessions.hear(cx, fact);
                self.archive.hear(cx, fact);
                self.agents.hear(cx, fact);
                self.whispers.hear(cx, fact);
                self.clones.hear(cx, fact);
                self.accounts.hear(cx, fact);
                self.presence.hear(cx, fact);
                self.records.hear(cx, fact);
                self.projects.hear(cx, fact);
            }
            Fact::Jumped => {
                self.clones.hear(cx, fact);
                self.trees.hear(cx, fact);
                self.sessions.hear(cx, fact);
                self.archive.hear(cx, fact);
                self.hooks.hear(cx, fact);
                self.agents.hear(cx, fact);
                self.relay.hear(cx, fact);
            }
            Fact::Heard { .. } => {
                self.clones.hear(cx, fact);
                self.whispers.hear(cx, fact);
                self.trees.hear(cx, fact);
                self.archive.hear(cx, fact);
                self.hooks.hear(cx, fact);
                self.agents.hear(cx, fact);
                self.relay.hear(cx, fact);
                self.upkeep.hear(cx, fact);
            }
            Fact::UpToDate { .. } => {
                self.records.hear(cx, fact);
                self.whispers.hear(cx, fact);
                self.agents.hear(cx, fact);
            }
            Fact::Failed { .. } => {
                self.records.hear(cx, fact);
                self.accounts.hear(cx, fact);
                self.whispers.hear(cx, fact);
            }
            Fact::Dropped(_) => {
                self.records.hear(cx, fact);
                self.whispers.hear(cx, fact);
            }
            Fact::TeamsNamed { .. } => {
                self.projects.hear(cx, fact);
                self.clones.hear(cx, fact);
            }
            Fact::FilesChanged(_) | Fact::TeamGone { .. } => self.projects.hear(cx, fact),
            Fact::Waiting(_)
            | Fact::CredentialsChanged(_)
            | Fact::LedgerNamed { .. }
            | Fact::TeamsChanged(_)
            | Fact::TeamsLost { .. } => self.clones.hear(cx, fact),
            Fact::RunEnded(_) | Fact::LoginRefused { .. } => self.records.hear(cx, fact),
            Fact::AgentEnded { .. } => self.sessions.hear(cx, fact),
            Fact::EventsStored => self.relay.hear(cx, fact),
            Fact::Delivered { .. } => self.presence.hear(cx, fact),
            Fact::TreeChanged { .. } => self.whispers.hear(cx, fact),
            Fact::Moved(_) => {
                self.clones.hear(cx, fact);
                self.trees.hear(cx, fact);
                self.sessions.hear(cx, fact);
                self.archive.hear(cx, fact);
                self.agents.hear(cx, fact);
            }
            Fact::TreeTold { .. } | Fact::TreeLeft { .. } => self.trees.hear(cx, fact),
        }
    }

    /// The issues of a project: those of the clones it uses, of its server, of its work tree and of its recordings.
    /// Most severe first.
    pub(super) fn issues_of(&self, id: &Id, project: &Project) -> Vec<Issue> {
        let mut all = self.clones.issues_of(id);
        all.extend(self.accounts.issues_of(project));
        all.extend(self.trees.issues_of(id));
        all.extend(self.sessions.issues_of(id));
        all.extend(self.hooks.issues());
        all.extend(self.agents.issues_of(id));
        all.extend(self.relay.issues());
        all.sort_by(|a, b| b.kind.severity().cmp(&a.kind.severity()).then(a.since.cmp(&b.since)));
        all
    }

    /// How many entries all parts hold.
    pub(super) fn len(&self) -> usize {
        let parts = [self.projects.len(), self.clones.len(), self.accounts.len(), self.records.len()];
        parts.iter().sum::<usize>()
            + self.whispers.len()
            + self.trees.len()
            + self.sessions.len()
            + self.archive.len()
            + self.hooks.len()
            + self.agents.len()
            + self.relay.len()
    }

    /// The projects as others must find them.
    fn findable(&self, shared: &Shared) -> Vec<Findable> {
        let findable = |(id, p): (&Id, &Project)| {
            let row = shared.clone_row(&Key::Ledger(id.clone())).filter(|row| row.whole);
            let place = row.and_then(|row| row.place.as_ref()).filter(|place| place.exists);
            Findable {
                id: id.clone(),
                root: p.root.clone(),
                ledger: place.map(|place| place.path.clone()),
                caller: self.presence.newest_path(id, p),
            }
        };
        shared.projects().iter().map(findable).collect()
    }
}
