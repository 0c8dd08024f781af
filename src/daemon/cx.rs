//! All that a part may touch beside its own state.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use super::event::{Effect, Timer};
use super::fact::Fact;
use super::names::{Id, JobId, Key, RunId};
use super::shared::Shared;
use super::upkeep::event::{Handover, Periods};
use crate::ipc::ConnId;
use crate::ipc::wire::{Progress, Response};
use crate::kit::clock::{Mono, Now};
use crate::kit::deadline::Deadlines;
use crate::kit::rng::Rng;

/// The answer to everything once the end has begun.
pub(super) const STOPPING: &str = "daemon is stopping";
/// The answer to what concerns a project that is served no longer.
pub(super) const NOT_ATTACHED: &str = "project is not attached";

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
    pub startup: Duration,
    /// How long background work waits after failed starts.
    pub throttle: Duration,
    /// Whether the process stays without a project.
    pub service: bool,
    /// How often it looks after itself.
    pub periods: Periods,
    /// What the process that made way for this one has left.
    pub handover: Handover,
}

/// How much of a project's published status is older than the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stale {
    /// What heartbeats have told: it may wait a moment for more.
    Soon,
    /// It is to be published with this turn.
    Now,
}

/// Why the process ends.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) why: &'static str,
    /// Run the program anew.
    pub(super) again: Option<Handover>,
}

/// What a part is handed with everything that happens.
pub(super) struct Cx<'a> {
    pub(super) now: Now,
    pub(super) identity: &'a Identity,
    /// Background work waits until then after failed starts.
    pub(super) throttled: Mono,
    /// Nothing new is begun any more.
    pub(super) closing: bool,
    pub(super) rng: &'a mut Rng,
    pub(super) timers: &'a mut Deadlines<Timer>,
    pub(super) shared: &'a mut Shared,
    pub(super) out: &'a mut Vec<Effect>,
    pub(super) facts: &'a mut VecDeque<Fact>,
    pub(super) stale: &'a mut BTreeMap<Id, Stale>,
    pub(super) stop: &'a mut Option<Stop>,
    pub(super) last_run: &'a mut RunId,
}

impl Cx<'_> {
    /// Has something done.
    pub(super) fn push(&mut self, effect: impl Into<Effect>) {
        self.out.push(effect.into());
    }

    /// Answers a request.
    pub(super) fn reply(&mut self, conn: ConnId, response: Response) {
        self.out.push(Effect::Reply(conn, response));
    }

    /// Tells whoever waits for a request how far it is.
    pub(super) fn progress(&mut self, conn: ConnId, line: Progress) {
        self.out.push(Effect::Progress(conn, line));
    }

    /// Tells the other parts, when this one has returned.
    pub(super) fn tell(&mut self, fact: Fact) {
        self.facts.push_back(fact);
    }

    /// Sets or moves a deadline; `None` removes it.
    pub(super) fn set(&mut self, timer: impl Into<Timer>, at: Option<Mono>) {
        self.timers.set(timer.into(), at);
    }

    /// Sets a deadline from now.
    pub(super) fn set_in(&mut self, timer: impl Into<Timer>, wait: Duration) {
        self.timers.set(timer.into(), Some(self.now.mono + wait));
    }

    /// Sets a deadline from now, unless it is set already.
    pub(super) fn set_in_once(&mut self, timer: impl Into<Timer>, wait: Duration) {
        let timer = timer.into();
        if !self.timers.has(&timer) {
            self.timers.set(timer, Some(self.now.mono + wait));
        }
    }

    /// What is shown of a project is older than the state.
    pub(super) fn stale(&mut self, id: &Id) {
        self.stale.insert(id.clone(), Stale::Now);
    }

    /// As [`Cx::stale`], for what may be shown a moment later.
    pub(super) fn stale_soon(&mut self, id: &Id) {
        self.stale.entry(id.clone()).or_insert(Stale::Soon);
    }

    /// A name for a new job on a clone.
    pub(super) fn next_job(&mut self, key: &Key) -> JobId {
        *self.last_run += 1;
        JobId { key: key.clone(), run: *self.last_run }
    }

    /// Has the process end.
    pub(super) fn stop(&mut self, why: &'static str, again: Option<Handover>) {
        self.stop.get_or_insert(Stop { why, again });
    }
}
