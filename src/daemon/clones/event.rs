//! What clones hear, want done and wait for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::daemon::names::{Id, JobId, Key};
use crate::ipc::wire::{Checkout, CheckoutResult, Progress};
use crate::sync::reclone::Reclone;
use crate::sync::{Ask, Failure, Outcome, Saved, Target, TeamRef};

/// When the clones of one project were last up to date with their remotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncedAt {
    /// The ledger.
    pub ledger: Option<jiff::Timestamp>,
    /// Teams.
    pub teams: Vec<(TeamRef, PathBuf, jiff::Timestamp)>,
}

impl SyncedAt {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ledger.is_none() && self.teams.is_empty()
    }
}

/// What clones hear.
#[derive(Debug)]
pub enum Event {
    /// A job has come so far.
    Progress {
        /// Which job.
        job: JobId,
        /// How far.
        line: Progress,
    },
    /// An [`Effect::Sync`] has ended.
    Synced {
        /// Which job.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// An [`Effect::Clone`] has ended.
    Cloned {
        /// Which job.
        job: JobId,
        /// How: [`crate::sync::End::UpToDate`] when the clone is there.
        outcome: Outcome,
    },
    /// An [`Effect::Gc`] has ended.
    GcEnded {
        /// Which job.
        job: JobId,
        /// How; `None` if it was not time yet.
        result: Result<Option<Reclone>, Failure>,
    },
    /// No worker was free for a job.
    NoWorker(JobId),
    /// An [`Effect::CheckPath`] has ended: the clone is there already, or may be made.
    PathChecked {
        /// Which checkout.
        key: Key,
        /// Why not, as the wire says it.
        result: Result<CheckoutResult, String>,
    },
    /// An [`Effect::Checkout`] has ended.
    CheckedOut {
        /// Which checkout.
        key: Key,
        /// Why not, as the wire says it.
        result: Result<CheckoutResult, String>,
    },
    /// An [`Effect::Revoke`] has ended.
    Revoked {
        /// Which team.
        key: Key,
        /// Why its clone was kept; `None` if it is gone.
        kept: Option<String>,
    },
    /// Somebody changed something in a project's ledger.
    LedgerTouched(Id),
}

/// What clones want done.
#[derive(Debug)]
pub enum Effect {
    /// Sync a clone; ends in [`Event::Synced`] or [`Event::NoWorker`].
    Sync {
        /// Which job.
        job: JobId,
        /// What the clone is.
        target: Target,
        /// What may be left out.
        ask: Ask,
    },
    /// Make a clone; ends in [`Event::Cloned`] or [`Event::NoWorker`].
    Clone {
        /// That of the run that has found no clone.
        job: JobId,
        /// What the clone is.
        target: Target,
    },
    /// Make a clone smaller; ends in [`Event::GcEnded`] or [`Event::NoWorker`].
    Gc {
        /// Which job.
        job: JobId,
        /// What the clone is.
        target: Target,
        /// Somebody asked for it: by a fresh clone, and now.
        asked: bool,
    },
    /// Git children of the project have these variables from now on, and those of team contexts too.
    Environment(Id, BTreeMap<String, String>),
    /// Nobody needs this clone any more: what runs for it ends.
    Drop(Key),
    /// Find out whether a clone may be made where somebody wants one; ends in [`Event::PathChecked`].
    CheckPath {
        /// Which checkout.
        key: Key,
        /// What is wanted.
        checkout: Checkout,
    },
    /// Make a clone where somebody wants one; ends in [`Event::CheckedOut`] or [`Event::NoWorker`].
    Checkout {
        /// Which job.
        job: JobId,
        /// For which project.
        root: PathBuf,
        /// What is wanted.
        checkout: Checkout,
    },
    /// Move the clone of a team aside that nobody names any more, if all of it is at its remote; ends in [`Event::Revoked`].
    Revoke {
        /// Which team.
        key: Key,
        /// What it is.
        target: Target,
    },
    /// Watch the directory of a project's ledger, or no longer.
    Watch(Id, Option<PathBuf>),
    /// Remember a clone's failures for the next start, or that there are none.
    SaveBackoff {
        /// The clone's state directory.
        state: PathBuf,
        /// What to remember.
        saved: Option<Saved>,
    },
    /// Write down in a project when its ledger and teams were last up to date with their remotes.
    Flush {
        /// The project's directory.
        root: PathBuf,
        /// When which was.
        synced: SyncedAt,
    },
}

/// Deadlines of clones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A clone may be due.
    Sync(Key),
    /// Whoever waits for work on a clone has heard nothing for a while.
    Line(Key),
    /// Somebody has waited for a clone slot for long enough.
    Slots,
    /// It may be time to make a clone smaller: [`crate::daemon::GC_EVERY`].
    Gc,
    /// [`crate::daemon::FLUSH_EVERY`].
    Flush,
}
