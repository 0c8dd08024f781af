//! The owner of all state machines. It is told what happened and answers with what to do; it has no thread, clock, file or socket of its
//! own, so a simulation can run it through a year.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::cx::{Cx, Identity, Stale, Stop};
use super::event::{Effect, Event, Timer};
use super::fact::Fact;
use super::names::{Id, Key, RunId};
use super::shared::Shared;
use super::status;
use super::wiring::Parts;
use crate::kit::clock::{JumpDetector, Mono, Now};
use crate::kit::deadline::Deadlines;
use crate::kit::rng::Rng;

/// What heartbeats change is shown in the status at most this much later.
const SHOW_WITHIN: Duration = Duration::from_millis(250);

/// All state of the daemon.
#[derive(Debug)]
pub struct Core {
    identity: Identity,
    started: Now,
    rng: Rng,
    parts: Parts,
    shared: Shared,
    timers: Deadlines<Timer>,
    jumps: JumpDetector,
    facts: VecDeque<Fact>,
    out: Vec<Effect>,
    /// Projects whose published status is older than the state.
    stale: BTreeMap<Id, Stale>,
    /// When the status of each was published last.
    shown: BTreeMap<Id, Mono>,
    last_run: RunId,
    stop: Option<Stop>,
    closing: bool,
}

impl Core {
    /// A core without projects.
    pub fn new(identity: Identity, now: Now, seed: u64) -> Core {
        let mut core = Core {
            identity,
            started: now,
            rng: Rng::new(seed),
            parts: Parts::default(),
            shared: Shared::default(),
            timers: Deadlines::new(),
            jumps: JumpDetector::new(now),
            facts: VecDeque::new(),
            out: Vec::new(),
            stale: BTreeMap::new(),
            shown: BTreeMap::new(),
            last_run: 0,
            stop: None,
            closing: false,
        };
        core.with_parts(now, Parts::start);
        core
    }

    /// Takes in one event, or only the time; does what is due; returns what is to be done, in order.
    pub fn turn(&mut self, now: Now, event: Option<Event>) -> Vec<Effect> {
        if self.jumps.check(now) {
            self.with_parts(now, |_, cx| cx.tell(Fact::Jumped));
        }
        if let Some(event) = event {
            self.with_parts(now, |parts, cx| parts.handle(cx, event));
        }
        while !self.closing
            && let Some(timer) = self.timers.pop_due(now.mono)
        {
            self.with_parts(now, |parts, cx| parts.due(cx, timer));
        }
        if !self.closing {
            self.with_parts(now, |parts, cx| parts.clones.start_all_due(cx));
        }
        self.publish(now);
        std::mem::take(&mut self.out)
    }

    /// The last turn, after [`Effect::Exit`] and all that had come in until then: lets go of all projects, and answers whoever waits.
    pub fn close(&mut self, now: Now) -> Vec<Effect> {
        self.closing = true;
        self.act(now, |parts, cx| parts.projects.close(cx));
        std::mem::take(&mut self.out)
    }

    /// When [`Core::turn`] has to be called again if nothing happens.
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.closing { None } else { self.timers.next() }
    }

    /// Has the parts do something, tells them what came of it, and closes if one of them wants that.
    fn with_parts(&mut self, now: Now, act: impl FnOnce(&mut Parts, &mut Cx)) {
        self.act(now, act);
        if let Some(Stop { why, again }) = self.stop.take()
            && !self.closing
        {
            log::info!("stopping: {why}");
            // Nothing new is begun from here on, and what comes without an answer is still taken.
            self.closing = true;
            self.out.push(Effect::Exit { again });
        }
    }

    fn act(&mut self, now: Now, act: impl FnOnce(&mut Parts, &mut Cx)) {
        let mut cx = Cx {
            now,
            identity: &self.identity,
            throttled: self.started.mono + self.identity.throttle,
            closing: self.closing,
            rng: &mut self.rng,
            timers: &mut self.timers,
            shared: &mut self.shared,
            out: &mut self.out,
            facts: &mut self.facts,
            stale: &mut self.stale,
            stop: &mut self.stop,
            last_run: &mut self.last_run,
        };
        act(&mut self.parts, &mut cx);
        while let Some(fact) = cx.facts.pop_front() {
            self.parts.tell(&mut cx, &fact);
        }
    }

    /// Publishes the status of projects that changed since it was last published. What heartbeats tell waits a moment for more.
    fn publish(&mut self, now: Now) {
        for (id, stale) in std::mem::take(&mut self.stale) {
            let Some(project) = self.shared.project(&id) else {
                self.shown.remove(&id);
                self.timers.remove(&Timer::Show(id));
                continue;
            };
            let show_at = self.shown.get(&id).map_or(now.mono, |shown| *shown + SHOW_WITHIN);
            if stale == Stale::Now || show_at <= now.mono {
                let snapshot = status::snapshot(&self.parts, &self.shared, &self.identity, &id, project, now);
                project.published.publish(snapshot);
                self.shown.insert(id, now.mono);
            } else {
                self.timers.set(Timer::Show(id.clone()), Some(show_at));
                self.stale.insert(id, stale);
            }
        }
    }

    /// The time of the last good sync of a project's ledger, for tests and the simulation.
    pub fn last_sync(&self, id: &str) -> Option<jiff::Timestamp> {
        self.shared.clone_row(&Key::Ledger(Id::from(id)))?.last_sync
    }

    /// How many projects are served.
    pub fn served(&self) -> usize {
        self.shared.projects().len()
    }

    /// The clones that are kept up to date now, for tests and the simulation.
    pub fn clones(&self) -> impl Iterator<Item = &Key> {
        self.shared.clones().keys()
    }

    /// How many entries the core's collections hold in all: it does not grow with time.
    pub fn size(&self) -> usize {
        self.timers.len() + self.shared.len() + self.parts.len() + self.stale.len() + self.shown.len()
    }

    /// Kinds of the issues of a project now.
    pub fn issues(&self, id: &str) -> Vec<crate::health::IssueKind> {
        let id = Id::from(id);
        let issues = self.shared.project(&id).map(|project| self.parts.issues_of(&id, project));
        issues.unwrap_or_default().iter().map(|issue| issue.kind).collect()
    }

    /// What whoever asks for the status of a project is answered from.
    pub fn published(&self, id: &str) -> Option<&crate::ipc::Published> {
        self.shared.project(&Id::from(id)).map(|project| &*project.published)
    }

    /// The stored errors of a project.
    pub fn stored_errors(&self, id: &str) -> Option<&crate::health::StoredErrors> {
        self.parts.records.of(&Id::from(id)).map(|record| &record.errors)
    }
}
