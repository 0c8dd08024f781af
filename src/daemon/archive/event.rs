//! What the archive hears, wants done and waits for.

use std::path::PathBuf;
use std::time::Duration;

use crate::daemon::names::Id;

/// What a look at agents' transcripts came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The user does not want them kept.
    Off,
    /// What was due is kept.
    Done {
        /// Not all of it: a look has its limits.
        more: bool,
        /// When something may next be due, from now; `None` if no program deletes anything.
        next: Option<Duration>,
    },
    /// It could not be done, and why.
    Failed(String),
}

/// What the archive hears.
#[derive(Debug)]
pub enum Event {
    /// An [`Effect::Look`] has ended.
    Looked(Id, Looked),
}

/// What the archive wants done.
#[derive(Debug)]
pub enum Effect {
    /// Keep what is due of the transcripts of the project at this directory; ends in [`Event::Looked`].
    Look(Id, PathBuf),
}

/// Deadlines of the archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Something may be due in a project.
    Look(Id),
}
