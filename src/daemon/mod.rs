//! The process: one daemon a user, serving all attached projects.
//!
//! Threads: `main` (signals, order of the end), `core` (the one owner of all state machines), `ipc` and `request-N`, and on demand up to 4 `git`,
//! 3 `clone` and 2 `job` threads.
//! Files: instance lock, `attached.json`, restart history, log; per project a socket, a pid file and a registry entry.
//! Locks: the instance lock, taken first and held for life; the registry's for one rewrite.
//! Promises: at most one daemon a user; the core never does I/O; an answer to `stop` is written before anything stops; what an
//! unclean end leaves is picked up by the next start.

mod accounts;
mod attach;
mod beats;
mod bind;
mod checkout;
mod core;
pub mod doctor;
mod end;
mod errors;
mod event;
mod gc;
mod host;
mod instance;
#[cfg(test)]
mod issue_tests;
mod ledgers;
mod log_file;
mod presence;
pub mod reach;
mod registry;
mod repo;
mod requests;
mod restart;
pub mod run;
mod schedule;
mod status;
mod takeover;
mod teams;
mod throttle;
mod trees;
mod whisper_work;
mod whispers;
mod wiring;

pub use beats::BeatFile;
pub use core::{Core, Identity};
pub use end::kill;
pub use event::{AttachEnd, Door, Effect, Event, Findable, Finding, Found, Id, Key, Said, SyncedAt};
pub use log_file::parse_line as parse_log_line;
pub use registry::{Entry, Registry};
pub use restart::{GRACE, Passed, SPACING};
pub use schedule::{BEATS_EVERY, Beats, CHECK_EVERY, EMPTY_MAX, FLUSH_EVERY, GC_EVERY, LINE_EVERY};

/// The directories of the projects that are served, or were when the last process ended without order.
pub fn attached_roots(dirs: &crate::project::Dirs) -> Vec<std::path::PathBuf> {
    host::Attached::load(&dirs.attached()).projects
}

/// Our version as it stands in messages and files: that of the Go program we are compatible with, and our own behind the `+`.
pub const VERSION: &str = concat!("0.6.1+rs.", env!("CARGO_PKG_VERSION"));
