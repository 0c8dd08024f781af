//! What work trees hear, want done and wait for.

use std::path::PathBuf;

use crossbeam_channel::Receiver;

use crate::daemon::names::Id;
use crate::watch::{Pulse, Report, RootId, Task};

/// What work trees hear.
#[derive(Debug)]
pub enum Event {
    /// Something may have happened in a watched work tree: the pulses tell.
    Hinted,
    /// Something happened in a watched work tree.
    Pulse(RootId, Pulse),
    /// An [`Effect::Scan`] has ended; without a report if it did not run.
    Scanned(RootId, Option<Box<Report>>),
}

/// Whether all that was seen in a work tree has been told.
#[derive(Clone, Debug)]
pub enum Told {
    /// No.
    No,
    /// Yes.
    All,
    /// A worker is at it, and says so here.
    When(Receiver<bool>),
}

/// What work trees want done.
#[derive(Debug)]
pub enum Effect {
    /// Watch a work tree.
    Watch {
        /// What it is called from now on.
        root: RootId,
        /// Where it is.
        path: PathBuf,
    },
    /// Watch it no longer.
    Forget {
        /// Which.
        root: RootId,
        /// Whether all that was seen there was told: then what is known is kept for the next time.
        told: Told,
    },
    /// Scan a work tree; ends in [`Event::Scanned`].
    Scan {
        /// Which.
        root: RootId,
        /// How.
        task: Task,
    },
}

/// Deadlines of work trees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A project's work tree is to be scanned.
    Scan(Id),
    /// `TELL_CHANGES_EVERY`, while a project's work tree is watched.
    Changes(Id),
}
