//! What upkeep wants done and waits for, and what it leaves to the next process.

use std::time::Duration;

use jiff::Timestamp;

/// Sockets, registry and project directories are checked this often.
pub const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The time of the last sync is written down this often, if it has changed.
pub const FLUSH_EVERY: Duration = Duration::from_secs(5 * 60);
/// Databases are maintained this often, leftovers removed, and clones looked at for whether it is time to make one smaller.
pub const GC_EVERY: Duration = Duration::from_secs(3600);

/// How often the daemon looks after itself; a simulation may take longer periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// [`CHECK_EVERY`].
    pub check: Duration,
    /// [`FLUSH_EVERY`].
    pub flush: Duration,
    /// [`GC_EVERY`].
    pub gc: Duration,
}

impl Default for Periods {
    fn default() -> Periods {
        Periods { check: CHECK_EVERY, flush: FLUSH_EVERY, gc: GC_EVERY }
    }
}

/// What a process that makes way leaves to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// When it made way.
    pub at: Option<Timestamp>,
    /// For which version. If the new process is older still, its program was not replaced, and another restart would not help.
    pub version: String,
}

impl Handover {
    /// Reads it from the environment variable.
    pub fn read(text: &str) -> Handover {
        let Some((seconds, version)) = text.split_once(' ') else { return Handover::default() };
        let at = seconds.parse().ok().and_then(|s| Timestamp::from_second(s).ok());
        Handover { at, version: version.to_string() }
    }

    /// The environment variable's text.
    pub fn text(&self) -> String {
        format!("{} {}", self.at.map_or(0, Timestamp::as_second), self.version)
    }
}

/// What upkeep wants done.
#[derive(Debug)]
pub enum Effect {
    /// Remove what earlier processes left beside the clones.
    TidyUp,
}

/// Deadlines of upkeep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// [`Effect::TidyUp`] is due.
    TidyUp,
    /// It may be time to run the program anew.
    Restart,
}
