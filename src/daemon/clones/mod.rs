//! Clones that are kept up to date: a ledger a project, and the teams they use. What is done to each, when, and who waits for it.

mod checkout;
pub mod event;
mod flush;
mod gc;
mod hosts;
mod ledgers;
mod run;
mod state;
mod teams;
pub(super) mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use self::checkout::Checkouts;
use self::gc::Gc;
use self::hosts::Hosts;
pub(super) use self::state::CloneState;
use self::state::{Waiter, Work};
use self::teams::TeamRequests;
use super::cx::{Cx, NOT_ATTACHED, STOPPING};
use super::fact::Fact;
use super::names::{Id, JobId, Key};
use crate::health::Issue;
use crate::ipc::ConnId;
use crate::ipc::wire::{Environment, Response};
use crate::kit::clock::Mono;
use crate::sync::{Admission, Ask, Schedule, Slots, Target, Urgency};
use event::{Effect, Event, Timer};

/// Whoever waits for a sync hears something at least this often.
pub const LINE_EVERY: Duration = Duration::from_secs(10);
/// Ledgers of projects that are served again after a start have their first sync within this time.
const FIRST_SYNC_SPREAD: Duration = Duration::from_secs(10);
/// At most this many requests wait for one piece of work.
const WAITING_MAX: usize = 256;
/// A job that found no worker is begun again after this.
const WORKER_WAIT: Duration = Duration::from_secs(1);

/// All clones, and what they share.
#[derive(Debug, Default)]
pub(super) struct Clones {
    states: BTreeMap<Key, CloneState>,
    /// Which jobs make a clone now, and which wait. That of a clone nobody needs any more holds its slot until it has ended.
    slots: Slots<JobId>,
    checkouts: Checkouts,
    team_requests: TeamRequests,
    gc: Gc,
    hosts: Hosts,
    /// Clones whose time has come in this turn.
    due: Vec<Key>,
    /// The ledgers' directories that are watched.
    watched: BTreeMap<Id, PathBuf>,
    /// When a project's files were last read for a team that nobody knew.
    team_looked_for: BTreeMap<Id, Mono>,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Clones(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Clones(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Clones(timer)
    }
}

impl Clones {
    pub(super) fn start(&mut self, cx: &mut Cx) {
        cx.set_in(Timer::Flush, cx.identity.periods.flush);
        cx.set_in(Timer::Gc, cx.identity.periods.gc);
    }

    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        let job = match event {
            Event::PathChecked { key, result } => return self.path_checked(cx, &key, result),
            Event::CheckedOut { key, result } => return self.checkout_ended(cx, &key, result),
            Event::Revoked { key, kept } => return self.revoked(cx, &key, kept),
            Event::LedgerTouched(id) => return self.touched(cx, &Key::Ledger(id)),
            Event::Progress { job: JobId { key: key @ Key::Checkout(_), .. }, line } => {
                return self.checkout_progress(cx, &key, line);
            }
            Event::NoWorker(JobId { key: key @ Key::Checkout(_), .. }) => {
                return self.checkout_ended(cx, &key, Err("busy: clone workers".to_string()));
            }
            Event::Progress { ref job, .. }
            | Event::Synced { ref job, .. }
            | Event::Cloned { ref job, .. }
            | Event::GcEnded { ref job, .. }
            | Event::NoWorker(ref job) => job.clone(),
        };
        let key = &job.key;
        let work = self.states.get(key).map(|state| state.work).unwrap_or_default();
        if work.run() != Some(job.run) {
            log::debug!("{job} is not waited for any more");
            return if !matches!(event, Event::Progress { .. }) {
                self.free_slot(cx, &job)
            };
        }
        match event {
            Event::Progress { line, .. } if matches!(work, Work::Gc(_)) => self.gc_progress(cx, key, line),
            Event::Progress { line, .. } => self.progress(cx, key, line),
            Event::Synced { outcome, .. } => self.synced(cx, &job, outcome),
            Event::Cloned { outcome, .. } => {
                self.free_slot(cx, &job);
                self.cloned(cx, key, outcome);
            }
            Event::GcEnded { result, .. } => self.gc_ended(cx, key, result),
            _ if matches!(work, Work::Gc(_)) => {
                let busy = crate::sync::Failure::new(crate::kit::Class::Busy, "busy: clone workers");
                self.gc_ended(cx, key, Err(busy));
            }
            _ => self.no_worker(cx, &job),
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Sync(key) => self.due.push(key),
            Timer::Line(key) => self.still_running(cx, &key),
            Timer::Slots => self.slots_expired(cx),
            Timer::Gc => self.gc_due(cx),
            Timer::Flush => self.flush(cx),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { id, again, .. } => self.attached(cx, id, *again),
            Fact::Loaded { id, loaded } => self.loaded(cx, id, loaded.as_deref()),
            Fact::Detached { id, superseded, .. } => self.detached(cx, id, *superseded),
            Fact::Moved(id) => self.moved(cx, id),
            Fact::Jumped => self.jumped(cx),
            Fact::Heard { id, teams, .. } => self.used(cx, id, teams),
            Fact::Waiting(key) => self.touched(cx, key),
            Fact::CredentialsChanged(ids) => self.credentials_changed(cx, ids),
            Fact::LedgerNamed { id, url, read_only } => self.ledger_named(cx, id, url, *read_only),
            Fact::TeamsNamed { id, teams } => self.teams_named(cx, id, teams),
            Fact::TeamsChanged(id) => self.reconcile(cx, id, &BTreeMap::new()),
            Fact::TeamsLost { id, teams } => self.teams_lost(cx, id, teams),
            _ => {}
        }
    }

    /// The answer to `sync`: starts one now, or joins the one in progress; the answer comes when it has ended.
    pub(super) fn sync_asked(&mut self, cx: &mut Cx, conn: ConnId, id: &Id) {
        let key = Key::Ledger(id.clone());
        match self.states.get(&key) {
            None => cx.reply(conn, Response::error(NOT_ATTACHED)),
            Some(state) if state.waiting.len() >= WAITING_MAX => cx.reply(conn, Response::busy("sync")),
            Some(_) => self.wait_for(cx, &key, Waiter::Conn(conn)),
        }
    }

    /// Begins those clones that are not there and may be tried, as `doctor` asks for it; how many.
    pub(super) fn doctor_asked(&mut self, cx: &mut Cx, id: &Id) -> usize {
        let missing = |(_, s): &(&Key, &CloneState)| {
            s.users.contains(id) && !s.exists() && s.schedule.backoff().is_none() && !s.work.is_run()
        };
        let keys: Vec<Key> = self.states.iter().filter(missing).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            if let Some(state) = self.states.get_mut(key) {
                state.schedule.force();
            }
            self.start_due(cx, key);
        }
        cx.tell(Fact::FilesChanged(id.clone()));
        keys.len()
    }

    /// All clones, for the status.
    pub(super) fn states(&self) -> &BTreeMap<Key, CloneState> {
        &self.states
    }

    /// The issues of the clones that a project uses.
    pub(super) fn issues_of(&self, id: &Id) -> Vec<Issue> {
        let used = self.states.values().filter(|s| s.users.contains(id));
        used.flat_map(|s| s.issues.sorted()).collect()
    }

    /// Whether anything is being worked on for a project. Its teams' own timer is no work of its.
    pub(super) fn is_busy(&self, id: &Id) -> bool {
        let ledger = self.states.get(&Key::Ledger(id.clone())).is_some_and(CloneState::is_busy);
        ledger || self.team_requests.any_of(id) || self.checkouts.any_of(id) || self.gc.is_for(id)
    }

    /// Whether anything is being worked on.
    pub(super) fn is_any_busy(&self) -> bool {
        self.states.values().any(CloneState::is_busy)
            || !self.checkouts.is_empty()
            || !self.team_requests.is_empty()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        let waiting: usize = self.states.values().map(|s| s.waiting.len()).sum();
        let work = self.slots.len() + self.checkouts.len() + self.team_requests.len();
        self.states.len()
            + self.hosts.len()
            + self.watched.len()
            + self.team_looked_for.len()
            + work
            + waiting
    }

    /// The newest caller's way to remotes is that of the project's ledger, and of team contexts.
    pub(super) fn environment_told(&self, cx: &mut Cx, conn: ConnId, id: Id, told: Environment) {
        cx.push(Effect::Environment(id, told.vars));
        cx.reply(conn, Response::ok());
    }

    fn attached(&mut self, cx: &mut Cx, id: &Id, again: bool) {
        let Some(project) = cx.shared.project(id) else { return };
        let first_sync = if again {
            // Background work waits after failed starts; what a person asks for does not.
            cx.throttled.max(cx.now.mono) + cx.rng.up_to(FIRST_SYNC_SPREAD)
        } else {
            cx.now.mono + project.timing.debounce
        };
        let key = Key::Ledger(id.clone());
        let target = Target::Ledger { root: project.root.clone(), url: None, read_only: false };
        let state = CloneState::new(target, Schedule::new(project.timing, first_sync), id);
        self.states.insert(key.clone(), state);
        self.changed(cx, &key);
        self.plan(cx, &key);
    }

    /// A project is served from another directory: its ledger is that of what the configuration there says.
    fn moved(&mut self, cx: &Cx, id: &Id) {
        let Some(project) = cx.shared.project(id) else { return };
        if let Some(CloneState { target: Target::Ledger { root, .. }, .. }) =
            self.states.get_mut(&Key::Ledger(id.clone()))
        {
            root.clone_from(&project.root);
        }
    }

    /// A project is served no longer: whoever waits for something of it is told so.
    fn detached(&mut self, cx: &mut Cx, id: &Id, superseded: bool) {
        let synced = self.unflushed(cx, id);
        if let Some(root) = cx.shared.project(id).map(|p| p.root.clone())
            && !superseded
            && !synced.is_empty()
        {
            cx.push(Effect::Flush { root, synced });
        }
        let mut waiting: Vec<ConnId> = self.team_requests.drop_of(id);
        waiting.extend(self.checkouts.drop_of(id));
        waiting.extend(self.gc.drop_of(id));
        let used = |(_, s): &(&Key, &CloneState)| s.users.contains(id);
        let keys: Vec<Key> = self.states.iter().filter(used).map(|(key, _)| key.clone()).collect();
        for key in keys {
            waiting.extend(self.let_go_of(cx, &key, id));
        }
        waiting.into_iter().for_each(|conn| cx.reply(conn, Response::error(STOPPING)));
        self.team_looked_for.remove(id);
        if self.watched.remove(id).is_some() {
            cx.push(Effect::Watch(id.clone(), None));
        }
    }

    /// The project uses a clone no longer; without any user it is not kept up to date any more. Answers who waited for it alone.
    fn let_go_of(&mut self, cx: &mut Cx, key: &Key, id: &Id) -> Vec<ConnId> {
        let Some(state) = self.states.get_mut(key) else { return Vec::new() };
        state.users.remove(id);
        if !state.users.is_empty() {
            self.changed(cx, key);
            return Vec::new();
        }
        for number in state.waiting.iter().filter_map(Waiter::teams).collect::<Vec<u64>>() {
            let why = "it is not one of the project's teams any more";
            self.team_ended(cx, number, key, "error", why.into());
        }
        let Some(state) = self.states.remove(key) else { return Vec::new() };
        cx.shared.clones_mut().remove(key);
        cx.set(Timer::Sync(key.clone()), None);
        cx.set(Timer::Line(key.clone()), None);
        cx.push(Effect::Drop(key.clone()));
        cx.tell(Fact::Dropped(key.clone()));
        // Its attempt may have been the one that all others on the host wait for.
        if let Some(host) = state.probing {
            self.probe_came_to_nothing(cx, &host);
        }
        if let Some(run) = state.work.run().filter(|_| state.work.is_queued()) {
            self.free_slot(cx, &JobId { key: key.clone(), run });
        }
        self.gc_gone(cx, key);
        let conn = |waiter| if let Waiter::Conn(conn) = waiter { Some(conn) } else { None };
        state.waiting.into_iter().filter_map(conn).collect()
    }

    /// Starts what has become due in this turn. Workers take what comes first first: what is in use goes before what is not.
    pub(super) fn start_all_due(&mut self, cx: &mut Cx) {
        let mut due = std::mem::take(&mut self.due);
        due.sort_by_cached_key(|key| (self.urgency(cx, key), key.clone()));
        due.iter().for_each(|key| self.start_due(cx, key));
    }

    /// Starts the clone's sync if it is due, and sets its next deadline.
    fn start_due(&mut self, cx: &mut Cx, key: &Key) {
        let pass = self.pass(cx, key);
        if pass == Admission::Probe
            && let Some(other) = self.whose_turn_to_probe(cx, key)
        {
            self.start_sync(cx, &other, pass);
            self.plan(cx, key);
        } else {
            self.start_sync(cx, key, pass);
        }
    }

    fn start_sync(&mut self, cx: &mut Cx, key: &Key, pass: Admission) {
        let Some(state) = self.states.get_mut(key).filter(|s| s.work == Work::Idle) else { return };
        if let Some(run) = state.schedule.start_due(cx.now.mono, pass) {
            let job = cx.next_job(key);
            state.work = Work::Sync(job.run);
            if run.probe
                && let Some(host) = state.host().map(str::to_string)
                && self.hosts.probe_started(cx.now.mono, &host, key)
            {
                state.probing = Some(host);
            }
            let ask = Ask { forced: run.forced, interval: state.schedule.interval() };
            let target = state.target.clone();
            cx.push(Effect::Sync { job, target, ask });
            self.changed(cx, key);
        }
        self.plan(cx, key);
    }

    /// Sets the deadline of the clone's next sync.
    fn plan(&self, cx: &mut Cx, key: &Key) {
        let pass = self.pass(cx, key);
        let free = self.states.get(key).filter(|s| !s.work.is_gc());
        let at = free.and_then(|s| s.schedule.next_deadline(cx.now.mono, pass));
        cx.set(Timer::Sync(key.clone()), at);
    }

    /// The state of a clone has changed: its row is renewed, and what is shown of the projects that use it is stale.
    fn changed(&self, cx: &mut Cx, key: &Key) {
        let Some(state) = self.states.get(key) else { return };
        cx.shared.clones_mut().insert(key.clone(), state.row());
        state.users.iter().for_each(|id| cx.stale(id));
    }

    /// As [`Clones::changed`], if anything that others see has changed.
    fn renew_row(&self, cx: &mut Cx, key: &Key) {
        let Some(row) = self.states.get(key).map(CloneState::row) else { return };
        if cx.shared.clone_row(key) != Some(&row) {
            self.changed(cx, key);
        }
    }

    fn no_worker(&mut self, cx: &mut Cx, job: &JobId) {
        self.free_slot(cx, job);
        let Some(state) = self.states.get_mut(&job.key) else { return };
        state.work = Work::Idle;
        state.schedule.not_started(cx.now.mono);
        if let Some(host) = state.probing.take() {
            self.probe_came_to_nothing(cx, &host);
        }
        self.changed(cx, &job.key);
        // Last, for a plan would have a forced run start now, and it would find the pool as full as it was.
        cx.set_in(Timer::Sync(job.key.clone()), WORKER_WAIT);
        self.gc_if_waiting(cx, &job.key);
    }

    /// Somebody changed something in a clone: a sync sees it soon.
    fn touched(&mut self, cx: &mut Cx, key: &Key) {
        if let Some(state) = self.states.get_mut(key) {
            state.schedule.trigger(cx.now.mono);
            self.plan(cx, key);
        }
    }

    /// The machine slept: what was known about the network is void, and due runs happen once, spread out.
    fn jumped(&mut self, cx: &mut Cx) {
        log::info!("the clock jumped; due work runs once");
        self.hosts.jumped(cx.now.mono);
        for state in self.states.values_mut() {
            state.schedule.jumped(cx.now.mono, cx.rng);
        }
        self.states.keys().for_each(|key| self.plan(cx, key));
    }

    /// Somebody waits for a sync of a clone from now on: it begins at once, or the one in progress is joined.
    fn wait_for(&mut self, cx: &mut Cx, key: &Key, waiter: Waiter) {
        let Some(state) = self.states.get_mut(key) else { return };
        if state.waiting.is_empty() {
            // Who joins does not put off the next line for who is there.
            cx.set_in(Timer::Line(key.clone()), LINE_EVERY);
        }
        state.waiting.push(waiter);
        state.schedule.force();
        if let Work::QueuedClone(run) = state.work {
            let urgency = self.urgency(cx, key);
            self.slots.take(cx.now.mono, &JobId { key: key.clone(), run }, urgency);
        }
        self.start_due(cx, key);
    }

    /// How urgent work on a clone is: what somebody waits for, then what is a project's own, then what was used last.
    fn urgency(&self, cx: &Cx, key: &Key) -> Urgency {
        let Some(state) = self.states.get(key) else { return Urgency::default() };
        let own = |id: &Id| {
            let primary = cx.shared.project(id).map(|p| p.primary.as_str());
            state.target.team_id().is_none_or(|team| primary == Some(team))
        };
        Urgency {
            unasked: state.waiting.is_empty(),
            secondary: !state.users.iter().any(own),
            unused: state.used.map_or(Duration::MAX, |used| cx.now.mono.since(used)),
        }
    }

    /// Has a project's ledger watched where it now is; `renewed` if the directory at its path is another one.
    fn watch_ledger(&mut self, cx: &mut Cx, key: &Key, renewed: bool) {
        let Key::Ledger(id) = key else { return };
        let place = self.states.get(key).and_then(|s| s.place.as_ref()).filter(|p| p.exists);
        let Some(path) = place.map(|place| place.path.clone()) else {
            // What comes to lie there is another directory, whoever makes it.
            if self.watched.remove(id).is_some() {
                cx.push(Effect::Watch(id.clone(), None));
            }
            return;
        };
        if renewed || self.watched.get(id) != Some(&path) {
            self.watched.insert(id.clone(), path.clone());
            cx.push(Effect::Watch(id.clone(), Some(path)));
        }
    }
}
