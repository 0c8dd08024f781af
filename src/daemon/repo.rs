//! The state of one clone that the daemon keeps level: a project's ledger, or a team's context shared by all projects that use it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::event::{Id, Key, RunId};
use crate::health::errors::Code;
use crate::health::{IssueKind, Issues};
use crate::ipc::ConnId;
use crate::ipc::wire::Progress;
use crate::kit::clock::{Mono, Now};
use crate::sync::{Facts, LEDGER, Place, Schedule, Target};

/// Where the work on a clone stands. One piece of work at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// None, or a sync: that the schedule knows.
    Level,
    /// The sync has found no clone, and all slots are taken.
    WaitsForSlot,
    /// The sync has found no clone, and it is being made.
    Cloning,
}

/// Whether a clone is being slimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slimming {
    /// No.
    No,
    /// As soon as the sync in progress has ended.
    WaitsForSync,
    /// As soon as there is a slot.
    WaitsForSlot,
    /// Yes.
    Runs,
}

/// Who waits for the run in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A request for this clone alone.
    Conn(ConnId),
    /// A request for several teams.
    Teams(u64),
}

impl Waiter {
    /// The request for several teams, if it is one.
    pub(super) fn teams(&self) -> Option<u64> {
        match self {
            Waiter::Conn(_) => None,
            Waiter::Teams(number) => Some(*number),
        }
    }
}

/// A clone and its state machines.
#[derive(Debug)]
pub(super) struct Repo {
    /// What log lines call it.
    pub(super) label: String,
    /// What issues call it: `ledger`, or the team's id.
    pub(super) name: String,
    pub(super) target: Target,
    /// Projects that use it.
    pub(super) users: BTreeSet<Id>,
    /// Time between runs that the user has set.
    pub(super) interval: Duration,
    pub(super) schedule: Schedule,
    pub(super) place: Option<Place>,
    pub(super) phase: Phase,
    /// The newest piece of work; the end of any other is not ours.
    pub(super) run: RunId,
    /// The host whose gate waits for what the run in progress finds out.
    pub(super) probing: Option<String>,
    pub(super) waiting: Vec<Waiter>,
    /// The newest progress line, to be said again when nothing new comes.
    pub(super) progress: Progress,
    pub(super) last_sync: Option<Timestamp>,
    /// A time of the last sync that is not written down yet.
    pub(super) unflushed: Option<Timestamp>,
    pub(super) last_error: String,
    pub(super) facts: Facts,
    pub(super) issues: Issues,
    /// When somebody last said that it is in use.
    pub(super) used: Option<Mono>,
    /// It is being slimmed: no sync meanwhile.
    pub(super) slimming: Slimming,
    /// When it was last slimmed.
    pub(super) last_slimmed: Option<Timestamp>,
    /// Why it could not be slimmed, if that is its own state.
    pub(super) kept_back: Option<String>,
    /// Its server names it no longer, and it is kept all the same: why.
    pub(super) revoked: Option<String>,
    /// The last run was refused for want of rights.
    pub(super) refused: bool,
    /// Credentials changed while the run in progress was at work: if that is refused, it was with the old ones.
    pub(super) renewed: bool,
    /// What its failures are stored under, since it was level last.
    pub(super) stored: Option<Code>,
    /// Failures stand in the clone's state directory.
    pub(super) backoff_saved: bool,
    /// Its murmurs have been taken in since the process began.
    pub(super) relayed: bool,
    /// Its commit then; empty before.
    pub(super) relayed_head: String,
}

impl Repo {
    pub(super) fn new(label: String, target: Target, schedule: Schedule) -> Repo {
        let name = match &target {
            Target::Ledger { .. } => LEDGER.to_string(),
            Target::Team { team, .. } => team.id.clone(),
        };
        Repo {
            label,
            name,
            target,
            users: BTreeSet::new(),
            interval: schedule.interval(),
            schedule,
            place: None,
            phase: Phase::Level,
            run: 0,
            probing: None,
            waiting: Vec::new(),
            progress: Progress::default(),
            last_sync: None,
            unflushed: None,
            last_error: String::new(),
            facts: Facts::default(),
            issues: Issues::default(),
            used: None,
            slimming: Slimming::No,
            last_slimmed: None,
            kept_back: None,
            revoked: None,
            refused: false,
            renewed: false,
            stored: None,
            backoff_saved: false,
            relayed: false,
            relayed_head: String::new(),
        }
    }

    /// The host behind the remote; none for a directory of this machine.
    pub(super) fn host(&self) -> Option<&str> {
        self.place.as_ref()?.host.as_deref()
    }

    /// Whether anything is being worked on.
    pub(super) fn is_busy(&self) -> bool {
        self.schedule.running().is_some() || self.is_slimming() || !self.waiting.is_empty()
    }

    /// Whether a slot is held for it, or waited for.
    pub(super) fn holds_slot(&self) -> bool {
        self.phase != Phase::Level || self.is_slimming()
    }

    /// Whether it is being slimmed, or is to be as soon as there is a slot: nothing else is done to it meanwhile.
    pub(super) fn is_slimming(&self) -> bool {
        self.slimming != Slimming::No
    }

    /// What a message calls it in the middle of a sentence.
    pub(super) fn noun(&self) -> String {
        match &self.target {
            Target::Ledger { .. } => "the ledger".to_string(),
            Target::Team { team, .. } => format!("team {}", team.label()),
        }
    }

    pub(super) fn raise(&mut self, kind: IssueKind, text: impl Into<String>, now: Now) {
        let Repo { issues, name, .. } = self;
        issues.raise(kind, name, text, now.wall);
    }

    /// The team's id; `None` for a ledger.
    pub(super) fn team_id(&self) -> Option<&str> {
        match &self.target {
            Target::Ledger { .. } => None,
            Target::Team { team, .. } => Some(&team.id),
        }
    }
}

impl Key {
    /// The key of a team's context.
    pub(super) fn team(slug: &str, team_id: &str) -> Key {
        Key::Team(Id::from(format!("{slug}/{team_id}")))
    }
}
