//! What presence hears, wants done and waits for.

use crate::daemon::names::Id;
use crate::kit::process::Seen;

/// An [`Effect`] has ended.
#[derive(Debug)]
pub struct Event {
    /// Whose agents.
    pub id: Id,
    /// What became of each process, by number.
    pub seen: Vec<(u32, Seen)>,
}

/// Probe the processes of a project's agents; ends in an [`Event`].
#[derive(Debug)]
pub struct Effect {
    /// Whose agents.
    pub id: Id,
    /// Their numbers, ascending.
    pub pids: Vec<u32>,
}

/// The processes of a project's agents are to be probed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub Id);
