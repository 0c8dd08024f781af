//! The owner of all state machines. It is told what happened and answers with what to do; it has no thread, clock, file or socket of its
//! own, so a simulation can run it through a year.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use jiff::Timestamp;

use super::accounts::Server;
use super::attach::Project;
use super::checkout::Checkouts;
use super::event::{Effect, Event, Findable, Id, Key, RunId, SyncedAt};
use super::gc::Gc;
use super::repo::{Phase, Repo, Slimming};
use super::restart::{Passed, Restart};
use super::schedule::{BEATS_EVERY, Beat, Beats, EMPTY_MAX, REST_EVERY, SETTLED_AFTER};
use super::teams::TeamRequests;
use super::trees::Trees;
use super::{accounts, beats, checkout, gc, presence, requests, restart, teams, trees, whispers, wiring};
use crate::ipc::ConnId;
use crate::kit::clock::{JumpDetector, Mono, Now};
use crate::kit::deadline::Deadlines;
use crate::kit::rng::Rng;
use crate::sync::{Ask, Gate, Pass, Slots, Source, Target, account};

/// What the process is, for its status.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// The data directory that it serves.
    pub data: PathBuf,
    /// Full version string.
    pub version: String,
    /// From the start of the process to its first answer.
    pub startup: std::time::Duration,
    /// How long background work waits after failed starts.
    pub throttle: std::time::Duration,
    /// Whether the process stays without a project.
    pub service: bool,
    /// How often it looks after itself.
    pub beats: Beats,
    /// What the process that made way for this one has left.
    pub passed: Passed,
}

/// All state of the daemon.
#[derive(Debug)]
pub struct Core {
    pub(super) identity: Identity,
    pub(super) started: Now,
    pub(super) rng: Rng,
    pub(super) projects: BTreeMap<Id, Project>,
    /// The clones that are kept level: a ledger a project, and the teams they use.
    pub(super) repos: BTreeMap<Key, Repo>,
    /// Which pieces of work make a clone now, and which wait. That of a clone nobody needs any more holds its slot until it has ended.
    pub(super) slots: Slots<(Key, RunId)>,
    pub(super) checkouts: Checkouts,
    pub(super) team_requests: TeamRequests,
    pub(super) gc: Gc,
    /// The servers of attached projects, by endpoint.
    pub(super) accounts: BTreeMap<String, Server>,
    /// Hosts that do not answer.
    pub(super) gates: BTreeMap<String, Gate>,
    /// Whose run tried each of them last.
    pub(super) probed: BTreeMap<String, Key>,
    pub(super) deadlines: Deadlines<Beat>,
    /// Work trees in which agents are at work.
    pub(super) trees: Trees,
    /// Projects to be attached, in turn; the first is in progress.
    pub(super) attaching: VecDeque<Attaching>,
    pub(super) restart: Restart,
    jumps: JumpDetector,
    /// Hashes secrets that are only compared.
    pub(super) secrets: std::hash::RandomState,
    checking: bool,
    /// Since when something was done that memory has not been given back for.
    used_since: Option<Mono>,
    last_run: RunId,
    pub(super) closing: bool,
    pub(super) out: Vec<Effect>,
}

/// A project that waits to be attached.
#[derive(Debug)]
pub(super) struct Attaching {
    pub(super) root: PathBuf,
    pub(super) waiting: Vec<ConnId>,
    /// Nobody asked: it was attached when the last process ended uncleanly.
    pub(super) again: bool,
}

impl Core {
    /// A core without projects.
    pub fn new(identity: Identity, now: Now, seed: u64) -> Core {
        let mut core = Core {
            identity,
            started: now,
            rng: Rng::new(seed),
            projects: BTreeMap::new(),
            repos: BTreeMap::new(),
            slots: Slots::default(),
            checkouts: Checkouts::default(),
            team_requests: TeamRequests::default(),
            gc: Gc::default(),
            accounts: BTreeMap::new(),
            gates: BTreeMap::new(),
            probed: BTreeMap::new(),
            deadlines: Deadlines::new(),
            trees: Trees::default(),
            attaching: VecDeque::new(),
            restart: Restart::default(),
            jumps: JumpDetector::new(now),
            secrets: std::hash::RandomState::new(),
            checking: false,
            used_since: None,
            last_run: 0,
            closing: false,
            out: Vec::new(),
        };
        core.deadlines.set(Beat::Check, Some(now.mono + core.identity.beats.check));
        core.deadlines.set(Beat::Flush, Some(now.mono + core.identity.beats.flush));
        core.deadlines.set(Beat::Settled, Some(now.mono + SETTLED_AFTER));
        core.deadlines.set(Beat::Beats, Some(now.mono + BEATS_EVERY));
        core.deadlines.set(Beat::Gc, Some(now.mono + core.identity.beats.gc));
        core.watch_emptiness(now.mono);
        core.out.push(Effect::TidyUp);
        core
    }

    /// Takes in one event, or only the time; does what is due; returns what is to be done, in order.
    pub fn turn(&mut self, now: Now, event: Option<Event>) -> Vec<Effect> {
        if self.jumps.check(now) {
            self.jumped(now.mono);
            trees::jumped(self, now);
        }
        if let Some(event) = event {
            let small = matches!(
                event,
                Event::Loaded { .. }
                    | Event::Checked(_)
                    | Event::Looked { .. }
                    | Event::Hinted
                    | Event::Pulse(..)
            );
            if !small && !self.closing {
                self.rest_soon(now.mono);
            }
            self.take_in(now, event);
        }
        if !self.closing {
            self.run_due(now);
        }
        self.publish(now);
        std::mem::take(&mut self.out)
    }

    /// When [`Core::turn`] has to be called again if nothing happens.
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.closing { None } else { self.deadlines.next() }
    }

    /// Something was asked for or worked on: when that is over, memory is given back.
    fn rest_soon(&mut self, now: Mono) {
        let since = *self.used_since.get_or_insert(now);
        self.deadlines.set(Beat::Settled, Some((now + SETTLED_AFTER).min(since + REST_EVERY)));
    }

    fn take_in(&mut self, now: Now, event: Event) {
        match event {
            Event::Request { conn, door, caller, request } => {
                requests::handle(self, now, conn, door, &caller, request);
            }
            Event::Looked { id, seen } => presence::looked(self, now, &id, &seen),
            Event::Reattach(root) => self.attach(root, None),
            Event::AttachEnded { root, end } => self.attach_ended(now, root, end),
            Event::Loaded { id, loaded } => teams::loaded(self, now, &id, loaded.map(|l| *l)),
            Event::PathChecked { key, result } => checkout::path_checked(self, now, &key, result),
            Event::CheckedOut { key, result } => checkout::ended(self, now, &key, result),
            Event::ReposAsked { endpoint, called, changed } => {
                accounts::repos_asked(self, now, &endpoint, called, changed);
            }
            Event::LedgerAsked { endpoint, repo_id, called, said } => {
                accounts::ledger_asked(self, now, &endpoint, &repo_id, called, said);
            }
            Event::Revoked { key, kept } => accounts::revoked(self, now, &key, kept),
            Event::LedgerTouched(id) => self.touched(now.mono, &id),
            Event::Hinted => {}
            Event::Pulse(root, pulse) => trees::pulse(self, now, root, pulse),
            Event::TreeLooked(root, report) => trees::looked(self, now, root, report),
            Event::Murmured(key) => whispers::murmured(self, now, &key),
            Event::Relayed { key, done } => whispers::relayed(self, &key, done),
            Event::Whispered { id, agent, any } => whispers::given(self, now, &id, &agent, any),
            Event::Progress { key: key @ Key::Checkout(_), progress, .. } => {
                checkout::progress(self, now, &key, progress);
            }
            Event::NoWorker { key: key @ Key::Checkout(_), .. } => {
                checkout::ended(self, now, &key, Err("busy: clone workers".to_string()));
            }
            Event::Progress { key, progress, run } if self.is_slimming(&key, run) => {
                gc::progress(self, now, &key, progress);
            }
            Event::NoWorker { key, run } if self.is_slimming(&key, run) => {
                let busy = crate::sync::Failure::new(crate::kit::Class::Busy, "busy: clone workers");
                gc::ended(self, now, &key, Err(busy));
            }
            Event::Slimmed { key, run, result } if self.is_slimming(&key, run) => {
                gc::ended(self, now, &key, result);
            }
            Event::Slimmed { key, run, .. } => self.free_slot(now, &key, run),
            Event::Cloned { ref key, run, .. } | Event::NoWorker { ref key, run }
                if !self.is_ours(key, run) =>
            {
                self.free_slot(now, key, run);
            }
            Event::Progress { key, run, .. } | Event::Synced { key, run, .. } if !self.is_ours(&key, run) => {
                log::debug!("{key}: run {run} is not waited for any more");
            }
            Event::Progress { key, progress, .. } => wiring::progress(self, now, &key, progress),
            Event::Synced { key, outcome, .. } => wiring::synced(self, now, &key, outcome),
            Event::Cloned { key, run, outcome } => {
                self.free_slot(now, &key, run);
                wiring::cloned(self, now, &key, outcome);
            }
            Event::NoWorker { key, run } => self.no_worker(now, &key, run),
            Event::Checked(findings) => {
                wiring::checked(self, now, findings);
                // No wake-up of its own: most of what a look needs of the program nobody needs before the next.
                if std::mem::take(&mut self.checking) {
                    self.out.push(Effect::Rest);
                }
            }
            Event::StopAnswered(door) => requests::stop_answered(self, now, door),
            Event::Quit(why) => self.close(now, why),
        }
    }

    /// Whether a piece of work is the newest on a clone that is kept level, and has not ended.
    fn is_ours(&self, key: &Key, run: RunId) -> bool {
        self.repos.get(key).is_some_and(|r| r.run == run && r.schedule.running().is_some())
    }

    fn run_due(&mut self, now: Now) {
        let mut due = Vec::new();
        while let Some(beat) = self.deadlines.pop_due(now.mono) {
            match beat {
                Beat::Sync(key) => due.push(key),
                Beat::Line(key) => wiring::still_running(self, now, &key),
                Beat::Idle(id) => self.let_go_if_idle(now, &id),
                Beat::Look(id) => presence::look(self, now, &id),
                // What is published after every turn.
                Beat::Show(_) => {}
                Beat::Account(endpoint) => accounts::handle(self, now, &endpoint, account::Event::Tick),
                Beat::Gc => {
                    gc::due(self, now);
                    whispers::maintain(self);
                }
                Beat::Nudge(id) => whispers::nudge(self, now, &id),
                Beat::Activity(id) => whispers::activity(self, now, &id),
                Beat::Tree(id) => trees::due(self, now, &id),
                Beat::Changes(id) => trees::tell_due(self, now, &id),
                Beat::Marks => self.out.push(Effect::WriteMarks),
                Beat::Beats => beats::due(self, now),
                Beat::Slots => self.slots_expired(now),
                Beat::Check => {
                    self.check(now.mono);
                    restart::due(self, now);
                }
                Beat::Flush => self.flush(now.mono),
                Beat::Settled => {
                    self.used_since = None;
                    self.out.push(Effect::Rest);
                }
                Beat::Empty => self.end_if_empty(now, "no project"),
            }
            if self.closing {
                return;
            }
        }
        // Workers take what comes first first: what is in use goes before what is not.
        due.sort_by_cached_key(|key| (self.urgency(now.mono, key), key.clone()));
        for key in due {
            self.start_due(now, &key);
        }
    }

    /// What the gate of a clone's remote says; always open for a directory of this machine.
    pub(super) fn pass(&self, key: &Key, now: Mono) -> Pass {
        let host = self.repos.get(key).and_then(Repo::host);
        host.and_then(|host| self.gates.get(host)).map_or(Pass::Open, |gate| gate.pass(now))
    }

    /// Starts the clone's sync if it is due, and sets its next deadline.
    pub(super) fn start_due(&mut self, now: Now, key: &Key) {
        let pass = self.pass(key, now.mono);
        if pass == Pass::Probe
            && let Some(other) = self.whose_turn_to_probe(now.mono, key)
        {
            self.start(now, &other, pass);
            self.plan(now.mono, key);
        } else {
            self.start(now, key, pass);
        }
    }

    /// Which clone's run tries whether the host is back, if it is not that of `key`: they take turns, so that one whose own remote never
    /// answers does not keep all others waiting.
    fn whose_turn_to_probe(&self, now: Mono, key: &Key) -> Option<Key> {
        let host = self.repos.get(key)?.host()?;
        let last = self.probed.get(host);
        let due =
            |(_, r): &(&Key, &Repo)| r.host() == Some(host) && !r.is_slimming() && r.schedule.is_due(now);
        let after_last = self.repos.iter().filter(due).find(|(key, _)| last.is_none_or(|last| *key > last));
        let (turn, _) = after_last.or_else(|| self.repos.iter().find(due))?;
        (turn != key).then(|| turn.clone())
    }

    fn start(&mut self, now: Now, key: &Key, pass: Pass) {
        let Some(repo) = self.repos.get_mut(key).filter(|r| !r.is_slimming()) else { return };
        if let Some(run) = repo.schedule.start_due(now.mono, pass) {
            if run.probe
                && let Some(host) = repo.host().map(str::to_string)
                && let Some(gate) = self.gates.get_mut(&host)
            {
                gate.probe_started(now.mono);
                repo.probing = Some(host.clone());
                self.probed.insert(host, key.clone());
            }
            self.last_run += 1;
            repo.run = self.last_run;
            let ask = Ask { forced: run.forced, interval: repo.schedule.interval() };
            let target = repo.target.clone();
            self.out.push(Effect::Sync { key: key.clone(), run: self.last_run, target, ask });
            self.changed(key);
        }
        self.plan(now.mono, key);
    }

    /// Has a project's ledger watched where it now is; `renewed` if the directory at its path is another one.
    pub(super) fn watch_ledger(&mut self, key: &Key, renewed: bool) {
        let Key::Ledger(id) = key else { return };
        let place = self.repos.get(key).and_then(|r| r.place.as_ref()).filter(|p| p.exists);
        let (Some(place), Some(project)) = (place, self.projects.get_mut(id)) else { return };
        if renewed || project.watched.as_ref() != Some(&place.path) {
            project.watched = Some(place.path.clone());
            self.out.push(Effect::Watch(id.clone(), Some(place.path.clone())));
        }
    }

    /// Whether this is the slimming of that clone under way.
    fn is_slimming(&self, key: &Key, run: RunId) -> bool {
        self.repos.get(key).is_some_and(|r| r.slimming == Slimming::Runs && r.run == run)
    }

    /// Whether the clone's place in the queue for a slot is that of its slimming, not that of a sync.
    pub(super) fn queues_to_slim(&self, key: &Key) -> bool {
        self.repos.get(key).is_some_and(|r| r.slimming == Slimming::WaitsForSlot)
    }

    /// A number for a piece of work that is no sync.
    pub(super) fn next_run(&mut self) -> RunId {
        self.last_run += 1;
        self.last_run
    }

    /// Sets the deadline of the clone's next sync.
    pub(super) fn plan(&mut self, now: Mono, key: &Key) {
        let pass = self.pass(key, now);
        let free = self.repos.get(key).filter(|r| !r.is_slimming());
        let at = free.and_then(|r| r.schedule.next_deadline(now, pass));
        self.deadlines.set(Beat::Sync(key.clone()), at);
    }

    /// Plans anew all clones whose remote is on `host`: its gate has moved.
    pub(super) fn plan_host(&mut self, now: Mono, host: &str) {
        let on_host = |(_, r): &(&Key, &Repo)| r.host() == Some(host);
        let keys: Vec<Key> = self.repos.iter().filter(on_host).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.plan(now, &key);
        }
    }

    /// What is shown of the projects that use the clone is older than the state.
    pub(super) fn changed(&mut self, key: &Key) {
        let Some(repo) = self.repos.get(key) else { return };
        for id in &repo.users {
            if let Some(project) = self.projects.get_mut(id) {
                project.dirty = true;
            }
        }
    }

    /// A run that was to find out whether `host` is back has found out nothing: the next one's turn is at the next beat.
    pub(super) fn probe_came_to_nothing(&mut self, now: Mono, host: &str) {
        if let Some(gate) = self.gates.get_mut(host) {
            gate.failed(now);
        }
        self.plan_host(now, host);
    }

    /// The run whose turn it was to try `host` has become a clone, which may take long: one that has a clone tries in its place, at once,
    /// for this beat has told nothing yet.
    pub(super) fn pass_on_probe(&mut self, now: Now, key: &Key, host: &str) {
        self.probe_came_to_nothing(now.mono, host);
        let able = |(_, r): &(&Key, &Repo)| {
            let there = r.place.as_ref().is_some_and(|place| place.exists);
            there && r.host() == Some(host) && r.schedule.is_due(now.mono)
        };
        let next = self.repos.iter().find(able).map(|(key, _)| key.clone());
        if let Some(next) = next
            && self.gates.contains_key(host)
        {
            self.start(now, &next, Pass::Probe);
            // Whose turn is next goes on from the one that was passed over.
            self.probed.insert(host.to_string(), key.clone());
        }
    }

    fn no_worker(&mut self, now: Now, key: &Key, run: RunId) {
        self.free_slot(now, key, run);
        if let Some(repo) = self.repos.get_mut(key) {
            let probed = repo.probing.take();
            repo.phase = Phase::Level;
            repo.schedule.not_started(now.mono);
            if let Some(host) = probed {
                self.probe_came_to_nothing(now.mono, &host);
            }
            // Last, for a plan would have a forced run start now, and it would find the pool as full as it was.
            self.deadlines.set(Beat::Sync(key.clone()), Some(now.mono + std::time::Duration::from_secs(1)));
        }
        gc::sync_ended(self, now, key);
    }

    /// Somebody changed something in a ledger: a sync sees it soon.
    pub(super) fn touched(&mut self, now: Mono, id: &Id) {
        let key = Key::Ledger(id.clone());
        if let Some(repo) = self.repos.get_mut(&key) {
            repo.schedule.trigger(now);
            self.plan(now, &key);
        }
    }

    /// The machine slept: what was known about the network is void, and due runs happen once, spread out.
    fn jumped(&mut self, now: Mono) {
        log::info!("the clock jumped; due work runs once");
        for gate in self.gates.values_mut() {
            gate.jumped(now);
        }
        let keys: Vec<Key> = self.repos.keys().cloned().collect();
        for key in keys {
            if let Some(repo) = self.repos.get_mut(&key) {
                repo.schedule.jumped(now, &mut self.rng);
            }
            self.plan(now, &key);
        }
    }

    fn check(&mut self, now: Mono) {
        self.deadlines.set(Beat::Check, Some(now + self.identity.beats.check));
        if self.checking {
            return;
        }
        // Also without projects: the host's own socket is looked at.
        let entry = |(id, p): (&Id, &Project)| {
            let repo = self.repos.get(&Key::Ledger(id.clone()));
            let whole = repo.filter(|r| r.phase == Phase::Level && !r.is_slimming());
            let place = whole.and_then(|r| r.place.as_ref()).filter(|place| place.exists);
            Findable {
                id: id.clone(),
                root: p.root.clone(),
                ledger: place.map(|place| place.path.clone()),
                caller: p.newest_path(),
            }
        };
        let all = self.projects.iter().map(entry).collect();
        self.checking = true;
        self.out.push(Effect::Check(all));
        let ids: Vec<Id> = self.projects.keys().cloned().collect();
        for id in ids {
            self.load(&id);
        }
    }

    fn flush(&mut self, now: Mono) {
        self.deadlines.set(Beat::Flush, Some(now + self.identity.beats.flush));
        let ids: Vec<Id> = self.projects.keys().cloned().collect();
        for id in ids {
            let synced = self.unflushed(&id);
            if let Some(project) = self.projects.get(&id)
                && !synced.is_empty()
            {
                self.out.push(Effect::Flush { root: project.root.clone(), synced });
            }
        }
        for repo in self.repos.values_mut() {
            repo.unflushed = None;
        }
    }

    /// When the project's clones were last level, as far as that is not written down in it yet.
    pub(super) fn unflushed(&self, id: &Id) -> SyncedAt {
        let mut synced = SyncedAt::default();
        let Some(project) = self.projects.get(id) else { return synced };
        for repo in self.repos.values().filter(|r| r.users.contains(id)) {
            let (Some(at), Some(place)) = (repo.unflushed, &repo.place) else { continue };
            match &repo.target {
                Target::Ledger { .. } => synced.ledger = Some(at),
                // What others name has no place in the project's own file.
                Target::Team { team, .. } if project.teams.sources(&team.id).contains(&Source::Config) => {
                    synced.teams.push((team.clone(), place.path.clone(), at));
                }
                Target::Team { .. } => {}
            }
        }
        synced
    }

    fn let_go_if_idle(&mut self, now: Now, id: &Id) {
        let busy = self.is_busy(id);
        let Some(project) = self.projects.get(id) else { return };
        let idle = now.mono.since(project.published.last_activity());
        let served = now.mono.since(project.attached.mono);
        if project.idle.is_over(idle, served, busy) {
            log::info!("[{}] idle for {} s: detached", project.label(), idle.as_secs());
            self.detach(now, id, false);
            self.end_if_empty(now, "idle");
        } else {
            let again = project.idle.ask_again().map(|d| now.mono + d);
            self.deadlines.set(Beat::Idle(id.clone()), again);
        }
    }

    /// Whether anything is being worked on for a project. Its teams' own beat is no work of its.
    fn is_busy(&self, id: &Id) -> bool {
        let ledger = self.repos.get(&Key::Ledger(id.clone())).is_some_and(Repo::is_busy);
        ledger || self.team_requests.any_of(id) || self.checkouts.any_of(id) || self.gc.is_for(id)
    }

    /// Whether anything is being worked on.
    pub(super) fn is_any_busy(&self) -> bool {
        !self.attaching.is_empty()
            || self.repos.values().any(Repo::is_busy)
            || self.projects.keys().any(|id| self.is_busy(id))
    }

    /// Starts counting towards the end of a process that nobody needs, or stops counting.
    pub(super) fn watch_emptiness(&mut self, now: Mono) {
        let empty = self.projects.is_empty() && self.attaching.is_empty() && !self.identity.service;
        self.deadlines.set(Beat::Empty, empty.then(|| now + EMPTY_MAX));
    }

    /// Ends the process if no project is left and it is no service.
    pub(super) fn end_if_empty(&mut self, now: Now, why: &'static str) {
        if self.projects.is_empty() && self.attaching.is_empty() && !self.identity.service {
            self.close(now, why);
        }
    }

    /// Begins the end: nothing new is started from here on.
    pub(super) fn close(&mut self, now: Now, why: &'static str) {
        if self.closing {
            return;
        }
        log::info!("stopping: {why}");
        self.closing = true;
        let ids: Vec<Id> = self.projects.keys().cloned().collect();
        for id in ids {
            self.detach(now, &id, false);
        }
        for asked in self.attaching.drain(..) {
            let stopping = || crate::ipc::wire::Response::busy(requests::STOPPING);
            self.out.extend(asked.waiting.into_iter().map(|conn| Effect::Reply(conn, stopping())));
        }
        let again = self.restart.now.take();
        self.out.push(Effect::Exit { again });
    }

    /// The time of the last good sync of a project's ledger, for tests and the simulation.
    pub fn last_sync(&self, id: &str) -> Option<Timestamp> {
        self.repos.get(&Key::Ledger(Id::from(id)))?.last_sync
    }

    /// How many projects are served.
    pub fn served(&self) -> usize {
        self.projects.len()
    }

    /// The clones that are kept level now, for tests and the simulation.
    pub fn repos(&self) -> impl Iterator<Item = &Key> {
        self.repos.keys()
    }

    /// How many entries the core's collections hold in all: it does not grow with time.
    pub fn size(&self) -> usize {
        let gates = self.gates.len() + self.probed.len();
        let work = self.slots.len() + self.checkouts.len() + self.team_requests.len() + self.attaching.len();
        let waiting: usize = self.repos.values().map(|r| r.waiting.len()).sum();
        let agents: usize = self.projects.values().map(|p| p.presence.agents.len()).sum();
        self.deadlines.len()
            + self.trees.len()
            + self.projects.len()
            + self.repos.len()
            + gates
            + work
            + waiting
            + agents
    }

    /// Kinds of the issues of a project now.
    pub fn issues(&self, id: &str) -> Vec<crate::health::IssueKind> {
        self.issues_of(&Id::from(id)).iter().map(|i| i.kind).collect()
    }
}
