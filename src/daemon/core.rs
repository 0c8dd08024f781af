//! The owner of all state machines. It is told what happened and answers with what to do; it has no thread, clock, file or socket of its
//! own, so a simulation can run it through a year.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use jiff::Timestamp;

use super::attach::Project;
use super::event::{Effect, Event, Id, RunId};
use super::schedule::{Beat, Beats, EMPTY_MAX};
use super::{requests, wiring};
use crate::ipc::ConnId;
use crate::kit::clock::{JumpDetector, Mono, Now};
use crate::kit::deadline::Deadlines;
use crate::kit::rng::Rng;
use crate::sync::{Gate, Pass};

/// What the process is, for its status.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
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
}

/// All state of the daemon.
#[derive(Debug)]
pub struct Core {
    pub(super) identity: Identity,
    pub(super) started: Now,
    pub(super) rng: Rng,
    pub(super) projects: BTreeMap<Id, Project>,
    /// Hosts that do not answer.
    pub(super) gates: BTreeMap<String, Gate>,
    /// Whose run tried each of them last.
    pub(super) probed: BTreeMap<String, Id>,
    pub(super) deadlines: Deadlines<Beat>,
    /// Projects to be attached, in turn; the first is in progress.
    pub(super) attaching: VecDeque<Attaching>,
    jumps: JumpDetector,
    checking: bool,
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
            gates: BTreeMap::new(),
            probed: BTreeMap::new(),
            deadlines: Deadlines::new(),
            attaching: VecDeque::new(),
            jumps: JumpDetector::new(now),
            checking: false,
            last_run: 0,
            closing: false,
            out: Vec::new(),
        };
        core.deadlines.set(Beat::Check, Some(now.mono + core.identity.beats.check));
        core.deadlines.set(Beat::Flush, Some(now.mono + core.identity.beats.flush));
        core.watch_emptiness(now.mono);
        core
    }

    /// Takes in one event, or only the time; does what is due; returns what is to be done, in order.
    pub fn turn(&mut self, now: Now, event: Option<Event>) -> Vec<Effect> {
        if self.jumps.check(now) {
            self.jumped(now.mono);
        }
        if let Some(event) = event {
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

    fn take_in(&mut self, now: Now, event: Event) {
        match event {
            Event::Request { conn, door, request } => requests::handle(self, now, conn, door, request),
            Event::Reattach(root) => self.attach(root, None),
            Event::AttachEnded { root, end } => self.attach_ended(now, root, end),
            Event::Progress { id, run, .. }
            | Event::Synced { id, run, .. }
            | Event::Cloned { id, run, .. }
            | Event::NoWorker { id, run }
                if self.projects.get(&id).is_none_or(|p| p.run != run) =>
            {
                log::debug!("run {run} of {id} ended after its time");
            }
            Event::Progress { id, progress, .. } => wiring::progress(self, now, &id, progress),
            Event::Synced { id, outcome, .. } => wiring::synced(self, now, &id, outcome),
            Event::Cloned { id, outcome, .. } => wiring::cloned(self, now, &id, outcome),
            Event::NoWorker { id, .. } => self.no_worker(now, &id),
            Event::Checked(findings) => {
                self.checking = false;
                wiring::checked(self, now, findings);
            }
            Event::StopAnswered(door) => requests::stop_answered(self, now, door),
            Event::Quit(why) => self.close(why),
        }
    }

    fn run_due(&mut self, now: Now) {
        while let Some(beat) = self.deadlines.pop_due(now.mono) {
            match beat {
                Beat::Sync(id) => self.start_due(now, &id),
                Beat::Line(id) => wiring::still_running(self, now, &id),
                Beat::Idle(id) => self.let_go_if_idle(now, &id),
                Beat::Check => self.check(now.mono),
                Beat::Flush => self.flush(now.mono),
                Beat::Empty => self.end_if_empty("no project"),
            }
            if self.closing {
                return;
            }
        }
    }

    /// What the gate of a project's remote says; always open for a directory of this machine.
    pub(super) fn pass(&self, id: &Id, now: Mono) -> Pass {
        let host = self.projects.get(id).and_then(Project::host);
        host.and_then(|host| self.gates.get(host)).map_or(Pass::Open, |gate| gate.pass(now))
    }

    /// Starts the project's sync if it is due, and sets its next deadline.
    pub(super) fn start_due(&mut self, now: Now, id: &Id) {
        let pass = self.pass(id, now.mono);
        if pass == Pass::Probe
            && let Some(other) = self.whose_turn_to_probe(now.mono, id)
        {
            self.start(now, &other, pass);
            self.plan(now.mono, id);
        } else {
            self.start(now, id, pass);
        }
    }

    /// Which project's run tries whether the host is back, if it is not that of `id`: they take turns, so that one whose own remote never
    /// answers does not keep all others waiting.
    fn whose_turn_to_probe(&self, now: Mono, id: &Id) -> Option<Id> {
        let host = self.projects.get(id)?.host()?;
        let last = self.probed.get(host);
        let due = |(_, p): &(&Id, &Project)| p.host() == Some(host) && p.schedule.is_due(now);
        let after_last = self.projects.iter().filter(due).find(|(id, _)| last.is_none_or(|last| *id > last));
        let (turn, _) = after_last.or_else(|| self.projects.iter().find(due))?;
        (turn != id).then(|| turn.clone())
    }

    fn start(&mut self, now: Now, id: &Id, pass: Pass) {
        let Some(project) = self.projects.get_mut(id) else { return };
        if let Some(run) = project.schedule.start_due(now.mono, pass) {
            if run.probe
                && let Some(host) = project.host().map(str::to_string)
                && let Some(gate) = self.gates.get_mut(&host)
            {
                gate.probe_started(now.mono);
                project.probing = Some(host.clone());
                self.probed.insert(host, id.clone());
            }
            project.dirty = true;
            self.last_run += 1;
            project.run = self.last_run;
            let (root, interval) = (project.root.clone(), project.interval);
            self.out.push(Effect::Sync {
                id: id.clone(),
                run: self.last_run,
                root,
                forced: run.forced,
                interval,
            });
        }
        self.plan(now.mono, id);
    }

    /// Sets the deadline of the project's next sync.
    pub(super) fn plan(&mut self, now: Mono, id: &Id) {
        let pass = self.pass(id, now);
        let at = self.projects.get(id).and_then(|p| p.schedule.next_deadline(now, pass));
        self.deadlines.set(Beat::Sync(id.clone()), at);
    }

    /// Plans anew all projects whose remote is on `host`: its gate has moved.
    pub(super) fn plan_host(&mut self, now: Mono, host: &str) {
        let on_host = |(_, p): &(&Id, &Project)| p.host() == Some(host);
        let ids: Vec<Id> = self.projects.iter().filter(on_host).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.plan(now, &id);
        }
    }

    /// A run that was to find out whether `host` is back has found out nothing: the next one's turn is at the next beat.
    pub(super) fn probe_came_to_nothing(&mut self, now: Mono, host: &str) {
        if let Some(gate) = self.gates.get_mut(host) {
            gate.failed(now);
        }
        self.plan_host(now, host);
    }

    fn no_worker(&mut self, now: Now, id: &Id) {
        if let Some(project) = self.projects.get_mut(id) {
            let probed = project.probing.take();
            project.cloning = false;
            project.schedule.not_started(now.mono);
            // A forced run would find the pool as full as it was.
            self.deadlines.set(Beat::Sync(id.clone()), Some(now.mono + std::time::Duration::from_secs(1)));
            if let Some(host) = probed {
                self.probe_came_to_nothing(now.mono, &host);
            }
        }
    }

    /// The machine slept: what was known about the network is void, and due runs happen once, spread out.
    fn jumped(&mut self, now: Mono) {
        log::info!("the clock jumped; due work runs once");
        for gate in self.gates.values_mut() {
            gate.jumped(now);
        }
        let ids: Vec<Id> = self.projects.keys().cloned().collect();
        for id in ids {
            if let Some(project) = self.projects.get_mut(&id) {
                project.schedule.jumped(now, &mut self.rng);
            }
            self.plan(now, &id);
        }
    }

    fn check(&mut self, now: Mono) {
        self.deadlines.set(Beat::Check, Some(now + self.identity.beats.check));
        if self.checking {
            return;
        }
        // Also without projects: the host's own socket is looked at.
        let entry = |(id, p): (&Id, &Project)| {
            let clone =
                p.place.as_ref().filter(|place| place.exists && !p.cloning).map(|place| place.path.clone());
            (id.clone(), p.root.clone(), clone)
        };
        let all = self.projects.iter().map(entry).collect();
        self.checking = true;
        self.out.push(Effect::Check(all));
    }

    fn flush(&mut self, now: Mono) {
        self.deadlines.set(Beat::Flush, Some(now + self.identity.beats.flush));
        for project in self.projects.values_mut() {
            if let Some(last_sync) = project.unflushed.take() {
                self.out.push(Effect::Flush { root: project.root.clone(), last_sync });
            }
        }
    }

    fn let_go_if_idle(&mut self, now: Now, id: &Id) {
        let Some(project) = self.projects.get(id) else { return };
        let idle = now.mono.since(project.published.last_activity());
        let served = now.mono.since(project.attached.mono);
        if project.idle.is_over(idle, served, project.is_busy()) {
            log::info!("[{}] idle for {} s: detached", project.label(), idle.as_secs());
            self.detach(now.mono, id, false);
            self.end_if_empty("idle");
        } else {
            let again = project.idle.ask_again().map(|d| now.mono + d);
            self.deadlines.set(Beat::Idle(id.clone()), again);
        }
    }

    /// Starts counting towards the end of a process that nobody needs, or stops counting.
    pub(super) fn watch_emptiness(&mut self, now: Mono) {
        let empty = self.projects.is_empty() && self.attaching.is_empty() && !self.identity.service;
        self.deadlines.set(Beat::Empty, empty.then(|| now + EMPTY_MAX));
    }

    /// Ends the process if no project is left and it is no service.
    pub(super) fn end_if_empty(&mut self, why: &'static str) {
        if self.projects.is_empty() && self.attaching.is_empty() && !self.identity.service {
            self.close(why);
        }
    }

    /// Begins the end: nothing new is started from here on.
    pub(super) fn close(&mut self, why: &'static str) {
        if self.closing {
            return;
        }
        log::info!("stopping: {why}");
        self.closing = true;
        let ids: Vec<Id> = self.projects.keys().cloned().collect();
        for id in ids {
            self.detach(Mono::ZERO, &id, false);
        }
        self.out.push(Effect::Exit);
    }

    /// The time of the last good sync of each project, for tests and the simulation.
    pub fn last_sync(&self, id: &str) -> Option<Timestamp> {
        self.projects.get(id)?.last_sync
    }

    /// How many projects are served.
    pub fn served(&self) -> usize {
        self.projects.len()
    }

    /// Kinds of the issues of a project now.
    pub fn issues(&self, id: &str) -> Vec<crate::health::IssueKind> {
        self.projects.get(id).map_or_else(Vec::new, |p| p.issues.sorted().iter().map(|i| i.kind).collect())
    }
}
