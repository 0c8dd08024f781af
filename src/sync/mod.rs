//! Ledgers and team contexts kept current: which there are, when (schedule, breaker, slots), how (pull, conflicts, rescue, push), and clones.
//!
//! Threads: none of its own; runs are performed on the daemon's `git` and `clone` threads, or by the command line.
//! Files: the clones at `<data>/<slug>/ledgers/<repo_id>` and `<data>/<slug>/teams/<team_id>`, their state under `<data>/<slug>/state/`,
//! `sync-state.json` inside them; while one is replaced `<clone>.ox-reclone-new` or `-old` beside it, `<clone>.bak.<time>` of what was put
//! aside; in a clone's state `lfs.json`, `outgoing/` (copies without secrets while they are sent) and `replaced/` (what lay in a pointer's
//! place); git's credentials of a server, and `account-*.json` beside its clones; in projects `config.local.toml` and the links in `.sageox/`.
//! Locks: the clone's lock, for the whole of every change; none while only looking.
//! Promises: nothing that somebody wrote is lost; no secret in a ledger's sessions is pushed; a network failure never counts against a
//! workspace; policy is pure.

mod access;
pub mod account;
pub mod api;
mod breaker;
pub mod checkout;
pub mod cloud;
mod former;
mod gc;
mod guard;
mod inventory;
mod kept;
mod links;
mod load;
mod lost;
mod making;
mod outcome;
pub mod reclone;
mod record;
mod registry;
pub mod rescue;
mod revoke;
mod run;
mod schedule;
mod setup;
mod shape;
pub mod share;
mod site;
mod slots;
mod team;
mod tidy;
pub mod upkeep;
mod workspace;

pub use breaker::{Admission, CircuitBreaker, PROBE_EVERY, WAIT_MAX};
pub use gc::{Stores, gc};
pub use guard::{Mended, mend};
pub use inventory::{STORED_MAX, Stored, stored};
pub use links::WrongLink;
pub use load::{CloudView, Known, Loaded, Saved, load, load_local, load_with_ledger, wrong_links};
pub use lost::{lost, put_back};
pub use outcome::{Blocked, Change, CloneInfo, Conflict, End, Facts, Failure, Outcome, Skip, way_out};
pub use registry::{Registry, Source, TEAMS_MAX};
pub use revoke::revoke;
pub use run::{Ask, OnProgress, clone, locate, sync};
pub use schedule::{BackoffKind, Ended, Run, Schedule, Timing};
pub use setup::{
    InitOptions, Initialised, Moved, SetupError, ask_remote, ensure_local_remote, init_project, move_ledger,
};
pub use site::{PendingCommits, Site};
pub use slots::{SLOTS, Slots, Urgency, timeout_text};
pub use team::{AddedTeam, add_team, drop_team, remove_clone};
pub use tidy::tidy_up;
pub use workspace::{Kind, Target, TeamRef, Workspace, ledger_of, team_of};

/// The workspace id of a project's ledger, and the key of its issues.
pub const LEDGER: &str = "ledger";
