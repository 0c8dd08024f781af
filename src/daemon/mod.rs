//! The process: one daemon a user, serving all attached projects.
//!
//! Threads: `main` (signals, order of the end), `core` (the one owner of all state machines), `ipc` and `request-N`, `log` (for which nobody
//! waits), and on demand up to 4 `git`, 3 `clone`, 2 `net`, 2 `disk`, 1 `scan`, 2 `agent` and 1 `relay` threads.
//! Files: instance lock, `attached.json`, restart history, log; per project a socket, a pid file and a registry entry.
//! Locks: the instance lock, taken first and held for life; the registry's for one rewrite.
//! Promises: at most one daemon a user; the core never does I/O nor waits for a lock that is held over I/O; an answer to `stop` is written
//! before anything stops; what waits to be written then is written; what an unclean end leaves is picked up by the next start.
//!
//! A part is a folder: its state in `mod.rs`, what it hears, wants done and waits for in `event.rs`, how a worker does that in `work.rs`.
//! No part calls another: they tell each other facts, and `wiring.rs` says who hears which.

mod accounts;
mod agents;
mod archive;
mod client;
mod clones;
mod core;
mod cx;
mod event;
mod fact;
mod hooks;
mod host;
#[cfg(test)]
mod host_tests;
mod log_file;
mod names;
mod presence;
mod projects;
mod records;
mod relay;
mod requests;
pub mod run;
mod sessions;
mod shared;
mod status;
mod throttle;
mod trees;
mod upkeep;
mod whispers;
mod wiring;

pub use agents::{HOLD, PublishError, Published, Sharer, publish};
pub use archive::{ASK_EVERY, GO_ON, LOOK_MIN, RETRY};
pub use client::{kill, others, reach};
pub use clones::LINE_EVERY;
pub use core::Core;
pub use cx::Identity;
pub use event::{Effect, Event};
pub use hooks::{IMPORT_AFTER, IMPORT_EVERY, KEEP_EVERY, LOOK_AFTER, RETRY_MAX, RETRY_MIN, TAKE_EVERY};
pub use log_file::parse_line as parse_log_line;
pub use names::{Id, JobId, Key, RunId, VERSION, Via, is_ours, shown_version};
pub use projects::{EMPTY_MAX, Entry, Registry};
pub use records::HEARTBEATS_EVERY;
pub use relay::{
    FLUSH_MAX, LOOK_EVERY, SETTLE, SendError, UNSENT_HOLD, relay_account, relay_preview, relay_queue,
    send_once,
};
pub use upkeep::event::{CHECK_EVERY, FLUSH_EVERY, GC_EVERY, Handover, Periods};
pub use upkeep::is_newer;
pub use upkeep::{GRACE, SPACING};

/// What each part hears and wants done: the variants of [`Event`] and [`Effect`].
pub mod parts {
    pub use super::accounts::event as accounts;
    pub use super::agents::event as agents;
    pub use super::archive::event as archive;
    pub use super::clones::event as clones;
    pub use super::hooks::event as hooks;
    pub use super::presence::event as presence;
    pub use super::projects::event as projects;
    pub use super::records::event as records;
    pub use super::relay::event as relay;
    pub use super::sessions::event as sessions;
    pub use super::trees::event as trees;
    pub use super::upkeep::event as upkeep;
    pub use super::whispers::event as whispers;
}

/// The directories of the projects that are served, or were when the last process ended without order.
pub fn attached_roots(dirs: &crate::project::Dirs) -> Vec<std::path::PathBuf> {
    projects::AttachedFile::load(&dirs.attached()).projects
}
