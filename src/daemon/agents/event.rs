//! What background work hears, wants done and waits for.

use std::path::PathBuf;

use crate::agents::kept::Kept;
use crate::agents::manager::{Ended, Settings};
use crate::daemon::names::Id;
use crate::sessions::Name;
use crate::sync::Target;

/// A project as work on its sessions sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which project.
    pub id: Id,
    /// Its directory.
    pub root: PathBuf,
    /// Its ledger.
    pub target: Target,
}

/// Which agent is run, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Its word; empty for none.
    pub word: String,
    /// Its program is installed, or its server answers.
    pub is_there: bool,
    /// What was found of it, in words.
    pub detail: String,
}

/// A session that is to be finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose.
    pub id: Id,
    /// Which.
    pub name: Name,
    /// An agent is to sum it up; else it is to be shared as it is.
    pub needs_agent: bool,
    /// Bytes of its transcript.
    pub bytes: u64,
}

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What the configuration says, and what was found of the agent that it names.
    pub settings: Settings,
    /// That agent.
    pub agent: Agent,
    /// Sessions that are to be finished.
    pub found: Vec<Found>,
    /// What was found wrong with one, by project, in words.
    pub troubles: Vec<(Id, String)>,
}

/// What it hears.
#[derive(Debug)]
pub enum Event {
    /// An [`Effect::Load`] has ended.
    Loaded(Kept),
    /// An [`Effect::Look`] has ended; `None` if it could not be done.
    Looked(Option<Looked>),
    /// The process that a run has begun.
    Began(u64, u32),
    /// An [`Effect::Run`] has ended.
    Ended(u64, Ended),
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read what is kept across restarts; ends in [`Event::Loaded`].
    Load,
    /// Look for sessions that are to be finished; ends in [`Event::Looked`].
    Look(Vec<Place>),
    /// Finish a session; ends in [`Event::Ended`].
    Run {
        /// Which run.
        run: u64,
        /// The project.
        place: Box<Place>,
        /// The session.
        name: Name,
        /// An agent may be run for it.
        with_agent: bool,
        /// What is to be kept before it begins.
        kept: Kept,
    },
    /// Write down what is kept across restarts.
    Keep(Kept),
}

/// Its deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Something is to be looked for, or to be run.
    Due,
}
