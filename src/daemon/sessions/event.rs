//! What recordings hear, want done and wait for.

use std::path::PathBuf;

use crate::daemon::names::Id;
use crate::sessions::Name;

/// A recording that is to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its name.
    pub name: Name,
    /// Its directory.
    pub dir: PathBuf,
    /// The agent's transcript; none while that is not known, or is followed by somebody else.
    pub transcript: Option<PathBuf>,
}

/// An agent whose process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub agent: String,
    /// The process that its heartbeats told of.
    pub pid: u32,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// There is more to read now.
    More(Progress),
    /// All that was there is taken over, and something was.
    New(Progress),
    /// Nothing was new.
    Level,
    /// Nothing is being recorded there any more.
    Ended,
    /// It could not be read or written, and why.
    Failed(String),
}

/// What a transcript has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes.
    pub bytes: u64,
    /// Facts that were told of them.
    pub facts: u64,
}

/// What recordings hear.
#[derive(Debug)]
pub enum Event {
    /// An [`Effect::Look`] has ended; `None` if it could not be done.
    Found(Id, Option<Vec<Recorded>>),
    /// Something changed in a directory that is watched.
    Touched(PathBuf),
    /// An [`Effect::Step`] has ended.
    Stepped(Id, Name, Stepped),
}

/// What recordings want done.
#[derive(Debug)]
pub enum Effect {
    /// Find the recordings of the project at this directory, and finish those whose agent has ended, as is known of these; ends in
    /// [`Event::Found`].
    Look(Id, PathBuf, Vec<Ended>),
    /// Take over what a transcript has got; ends in [`Event::Stepped`].
    Step {
        /// The project.
        id: Id,
        /// Its directory.
        root: PathBuf,
        /// Which recording.
        name: Name,
        /// Its directory.
        dir: PathBuf,
    },
    /// Let go of what is kept open of a recording.
    Close(PathBuf),
    /// Watch a directory, or no longer.
    Watch {
        /// Which.
        dir: PathBuf,
        /// Whether.
        on: bool,
    },
}

/// Deadlines of recordings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The recordings of a project are looked for.
    Look(Id),
    /// A transcript is looked at.
    Step(Id, Name),
}
