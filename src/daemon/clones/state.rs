//! The state of one clone that the daemon keeps up to date: a project's ledger, or a team's context shared by all projects that use it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::daemon::names::{Id, Key, RunId};
use crate::daemon::shared::CloneRow;
use crate::health::issues::Healed;
use crate::health::{IssueKind, Issues};
use crate::ipc::ConnId;
use crate::ipc::wire::Progress;
use crate::kit::Class;
use crate::kit::clock::{Mono, Now};
use crate::sync::{Blocked, CloneInfo, End, Facts, Outcome, Schedule, Target};

/// What is being done to a clone: one thing at a time. The number names the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing.
    #[default]
    Idle,
    /// It is synced.
    Sync(RunId),
    /// The sync has found no clone, and all slots are taken.
    QueuedClone(RunId),
    /// The sync has found no clone, and it is being made.
    Clone(RunId),
    /// It is made smaller as soon as there is a slot.
    QueuedGc(RunId),
    /// It is being made smaller: no sync meanwhile.
    Gc(RunId),
}

impl Work {
    /// The job.
    pub(super) fn run(self) -> Option<RunId> {
        match self {
            Work::Idle => None,
            Work::Sync(run) | Work::QueuedClone(run) | Work::Clone(run) => Some(run),
            Work::QueuedGc(run) | Work::Gc(run) => Some(run),
        }
    }

    /// Whether it is part of a run that [`Schedule`] has begun.
    pub(super) fn is_run(self) -> bool {
        matches!(self, Work::Sync(_) | Work::QueuedClone(_) | Work::Clone(_))
    }

    /// Whether it waits for a slot.
    pub(super) fn is_queued(self) -> bool {
        matches!(self, Work::QueuedClone(_) | Work::QueuedGc(_))
    }

    /// Whether it is being made smaller, or is to be as soon as there is a slot.
    pub(super) fn is_gc(self) -> bool {
        matches!(self, Work::QueuedGc(_) | Work::Gc(_))
    }
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
pub(in crate::daemon) struct CloneState {
    /// What log lines call it.
    pub(in crate::daemon) label: String,
    /// What issues call it: `ledger`, or the team's id.
    pub(in crate::daemon) name: String,
    pub(in crate::daemon) target: Target,
    /// Projects that use it.
    pub(in crate::daemon) users: BTreeSet<Id>,
    /// Time between runs that the user has set.
    pub(super) interval: Duration,
    pub(in crate::daemon) schedule: Schedule,
    pub(in crate::daemon) place: Option<CloneInfo>,
    pub(super) work: Work,
    /// The host whose breaker waits for what the run in progress finds out.
    pub(super) probing: Option<String>,
    pub(super) waiting: Vec<Waiter>,
    /// The newest progress line, to be said again when nothing new comes.
    pub(super) progress: Progress,
    pub(in crate::daemon) last_sync: Option<Timestamp>,
    /// A time of the last sync that is not written down yet.
    pub(super) unflushed: Option<Timestamp>,
    pub(in crate::daemon) last_error: String,
    /// Of what class that is.
    pub(in crate::daemon) error_class: Option<Class>,
    /// Its host did not answer the last time.
    pub(in crate::daemon) offline: bool,
    /// Its host was not trusted the last time.
    pub(in crate::daemon) untrusted: bool,
    pub(in crate::daemon) facts: Facts,
    pub(in crate::daemon) issues: Issues,
    /// When somebody last said that it is in use.
    pub(super) used: Option<Mono>,
    /// When it was last made smaller.
    pub(in crate::daemon) last_gc: Option<Timestamp>,
    /// Why it could not be made smaller, if that is its own state.
    pub(super) gc_refusal: Option<String>,
    /// Its server names it no longer, and it is kept all the same: why.
    pub(super) revoked: Option<String>,
    /// The last run was refused for want of rights.
    pub(super) refused: bool,
    /// Credentials changed while the run in progress was at work: if that is refused, it was with the old ones.
    pub(super) renewed: bool,
    /// Failures stand in the clone's state directory.
    pub(super) backoff_saved: bool,
}

impl CloneState {
    pub(super) fn new(target: Target, schedule: Schedule, user: &Id) -> CloneState {
        CloneState {
            label: target.label(),
            name: target.workspace_id().to_string(),
            target,
            users: BTreeSet::from([user.clone()]),
            interval: schedule.interval(),
            schedule,
            place: None,
            work: Work::Idle,
            probing: None,
            waiting: Vec::new(),
            progress: Progress::default(),
            last_sync: None,
            unflushed: None,
            last_error: String::new(),
            error_class: None,
            offline: false,
            untrusted: false,
            facts: Facts::default(),
            issues: Issues::default(),
            used: None,
            last_gc: None,
            gc_refusal: None,
            revoked: None,
            refused: false,
            renewed: false,
            backoff_saved: false,
        }
    }

    /// The host behind the remote; none for a directory of this machine.
    pub(super) fn host(&self) -> Option<&str> {
        self.place.as_ref()?.host.as_deref()
    }

    /// Whether the clone is there, as far as is known.
    pub(super) fn exists(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.exists)
    }

    /// Whether anything is being worked on, or waited for.
    pub(in crate::daemon) fn is_busy(&self) -> bool {
        self.work != Work::Idle || !self.waiting.is_empty()
    }

    /// Whether it is being synced, made or made smaller.
    pub(in crate::daemon) fn is_at_work(&self) -> bool {
        self.work != Work::Idle
    }

    /// What a message calls it in the middle of a sentence.
    pub(super) fn noun(&self) -> String {
        self.target.noun()
    }

    pub(super) fn raise(&mut self, kind: IssueKind, text: impl Into<String>, now: Now) {
        self.issues.raise(kind, &self.name, text, now.wall);
    }

    /// Takes in whether a run met a host that is not trusted. Once it is trusted nothing says otherwise, whatever comes next.
    pub(super) fn note_trust(&mut self, outcome: &Outcome) {
        let untrusted = matches!(&outcome.end, End::Failed(f) if f.blocked == Some(Blocked::Untrusted));
        if std::mem::replace(&mut self.untrusted, untrusted) && !untrusted {
            self.issues.heal(&self.name, Healed::Cloned);
        }
    }

    /// What other parts see of it.
    pub(super) fn row(&self) -> CloneRow {
        CloneRow {
            target: self.target.clone(),
            users: self.users.clone(),
            place: self.place.clone(),
            last_sync: self.last_sync,
            head: self.facts.head.clone(),
            whole: matches!(self.work, Work::Idle | Work::Sync(_)),
        }
    }
}

/// Whether it is a team's context.
pub(super) fn is_team(key: &Key) -> bool {
    matches!(key, Key::Team(_))
}
