//! What runs when: the one table of the daemon's own beats. When clones are synced is the business of [`crate::sync::Schedule`].

use std::time::Duration;

use super::event::{Id, Key};

/// Sockets, registry and project directories are looked at this often.
pub const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The time of the last sync is written down this often, if it has changed.
pub const FLUSH_EVERY: Duration = Duration::from_secs(5 * 60);
/// So long after something was done most of it is over: memory that only that needed is given back.
pub const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// While there is always something to do, memory is given back this often all the same.
pub const REST_EVERY: Duration = Duration::from_secs(15);
/// Heartbeat files are written this often.
pub const BEATS_EVERY: Duration = Duration::from_secs(5 * 60);
/// Databases are looked after this often, and clones looked at for whether it is time to slim one.
pub const GC_EVERY: Duration = Duration::from_secs(3600);
/// Agents at work are looked at this often for whether one is to be reminded that it may murmur (whispers and watching, 7.3).
pub const NUDGE_EVERY: Duration = Duration::from_secs(60);
/// What changed in a work tree is told this often, and a tree in which nobody is at work any more is let go of (11.1).
pub const TELL_CHANGES_EVERY: Duration = Duration::from_secs(10 * 60);
/// Who is at work is said this often (7.2).
pub const ACTIVITY_EVERY: Duration = Duration::from_secs(30 * 60);
/// How far agents have read is written down so long after it was told, with what others have read until then.
pub const MARKS_AFTER: Duration = Duration::from_millis(200);
/// Whoever waits for a sync hears something at least this often.
pub const LINE_EVERY: Duration = Duration::from_secs(10);
/// Without any project the process ends after this long.
pub const EMPTY_MAX: Duration = Duration::from_secs(60);
/// Ledgers of projects that are served again after a start have their first sync within this time.
pub const FIRST_SYNC_SPREAD: Duration = Duration::from_secs(10);
/// The first look at a team's context is within this time after it became known.
pub const FIRST_TEAM_SYNC: Duration = Duration::from_secs(5);
/// For a team that a heartbeat names and nobody knows, the project's files are read again at most this often.
pub const LOOK_FOR_TEAM_EVERY: Duration = Duration::from_secs(5);
/// At most this many different projects wait to be attached at once.
pub const ATTACH_MAX: usize = 256;
/// At most this many requests wait for one piece of work.
pub const WAITING_MAX: usize = 256;

/// How often the daemon looks after itself. The constants above are what it runs with; a simulation may take a longer beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beats {
    /// [`CHECK_EVERY`].
    pub check: Duration,
    /// [`FLUSH_EVERY`].
    pub flush: Duration,
    /// [`GC_EVERY`].
    pub gc: Duration,
}

impl Default for Beats {
    fn default() -> Beats {
        Beats { check: CHECK_EVERY, flush: FLUSH_EVERY, gc: GC_EVERY }
    }
}

/// The names of deadlines in the core's one heap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beat {
    /// A clone may be due.
    Sync(Key),
    /// Whoever waits for work on a clone has heard nothing for a while.
    Line(Key),
    /// Somebody has waited for a clone slot for long enough.
    Slots,
    /// A project may have been idle for long enough.
    Idle(Id),
    /// The processes of a project's agents are to be looked at.
    Look(Id),
    /// [`NUDGE_EVERY`], while a project has agents at work.
    Nudge(Id),
    /// [`ACTIVITY_EVERY`], while a project has agents at work.
    Activity(Id),
    /// A project's work tree is to be looked into.
    Tree(Id),
    /// [`TELL_CHANGES_EVERY`], while a project's work tree is watched.
    Changes(Id),
    /// [`MARKS_AFTER`].
    Marks,
    /// What heartbeats have told is to be shown.
    Show(Id),
    /// A server is to be asked, by its endpoint.
    Account(String),
    /// [`GC_EVERY`].
    Gc,
    /// [`BEATS_EVERY`].
    Beats,
    /// [`CHECK_EVERY`].
    Check,
    /// [`FLUSH_EVERY`].
    Flush,
    /// [`SETTLED_AFTER`].
    Settled,
    /// [`EMPTY_MAX`].
    Empty,
}

/// Whether a project has been idle for long enough to be let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Zero means never.
    timeout: Duration,
}

/// An idle project is not let go before it has been served for this long.
const UPTIME_MIN: Duration = Duration::from_secs(60);

impl Idle {
    /// Lets go after `timeout`; never, if zero.
    pub fn new(timeout: Duration) -> Idle {
        Idle { timeout }
    }

    /// How long until it has to be asked again; `None` if never.
    pub fn ask_again(&self) -> Option<Duration> {
        (!self.timeout.is_zero())
            .then(|| (self.timeout / 10).clamp(Duration::from_secs(60), Duration::from_secs(300)))
    }

    /// Whether to let go: nobody has asked anything for the time-out, and nothing is being worked on.
    pub fn is_over(&self, idle: Duration, served: Duration, pending_work: bool) -> bool {
        !self.timeout.is_zero() && idle >= self.timeout && served >= UPTIME_MIN && !pending_work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_let_go_after_its_time_out_unless_work_is_pending() {
        let hour = Duration::from_secs(3600);
        let idle = Idle::new(hour);
        assert_eq!(idle.ask_again(), Some(Duration::from_secs(300)));
        assert!(!idle.is_over(hour - Duration::from_secs(1), hour * 2, false));
        assert!(!idle.is_over(hour, hour * 2, true));
        assert!(idle.is_over(hour, hour * 2, false));
        let short = Idle::new(Duration::from_secs(10));
        assert_eq!(short.ask_again(), Some(Duration::from_secs(60)));
        assert!(!short.is_over(Duration::from_secs(30), Duration::from_secs(30), false));
        assert!(!Idle::new(Duration::ZERO).is_over(hour * 99, hour * 99, false));
        assert_eq!(Idle::new(Duration::ZERO).ask_again(), None);
    }
}
