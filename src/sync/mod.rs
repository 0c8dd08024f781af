//! Ledgers kept current: when (schedule, gate), how (pull, conflicts, rescue, push), and the first clone.
//!
//! Threads: none of its own; runs are performed on the daemon's `git` and `clone` threads, or by the command line.
//! Files: the clone at `<data>/<slug>/ledgers/<repo_id>`, its state under `<data>/<slug>/state/`, `sync-state.json` inside it, and
//! `last_sync` in the project's `config.local.toml`.
//! Locks: the clone's lock, for the whole of every change; none while only looking.
//! Promises: nothing that somebody wrote is lost; a network failure never counts against a workspace; policy is pure.

mod gate;
mod kept;
mod ledger;
mod outcome;
mod schedule;
mod setup;
mod site;

pub use gate::{Gate, PROBE_EVERY, Pass};
pub use ledger::{clone_ledger, locate, sync_ledger};
pub use outcome::{Blocked, Change, End, Failure, Kept, Outcome, Place, Skip};
pub use schedule::{Ended, JITTER_PERCENT, Run, Schedule, Timing};
pub use setup::{
    InitOptions, Initialised, LedgerPlace, Moved, SetupError, ensure_local_remote, init_project, move_ledger,
    place,
};
pub use site::Site;

/// The workspace id of a project's ledger, and the key of its issues.
pub const LEDGER: &str = "ledger";
