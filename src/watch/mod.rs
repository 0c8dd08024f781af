//! What changes on disk under our eyes: the files of work trees, and single directories of ledgers.
//!
//! Threads: one that reads the kernel's queue and leaves hints, for all roots together; jobs run on the caller's pool.
//! Files: one descriptor for all watches; one short-lived cookie file in a directory of ours; a file a root
//! with what was unlike git's index when its changes were last told. Nothing in a repository is written.
//! Locks: the table of watches, the hints and the table of roots, each for a few instructions; never git's.
//! Promises: a hint is never taken for a fact, each told change is a true difference; the view is the tree 2 s after the last
//! change, 10 s where not all can be watched, and then it says so; memory and descriptors are bounded, idle costs no wake-up.
//!
//! The way of a change: kernel → [`Watches`] → [`Hints`] → ([`Machine`] decides when) → [`Runner`] looks → [`Machine`] tells it as
//! [`Effect::Early`] and, after quiet, as part of an [`Effect::Settled`].

mod accumulate;
mod change;
mod dirs;
mod files;
mod hints;
mod history;
pub mod limits;
mod os;
mod policy;
mod runner;
mod saved;
mod view;
mod walk;

pub use accumulate::{Accumulator, Settled, collapse};
pub use change::{Batch, Change, HeadMove, Kind, Mode, Reason, RootId, Stamp};
pub use dirs::{DirWatcher, HINT_EVERY};
pub use files::Stat;
pub use hints::{Hints, Loss, Pulse, Taken, Touch};
pub use history::{History, Since};
pub use os::{Listener, ListenerId, NoCookie, WatchError, Watches};
pub use policy::{Counters, Effect, Event, Machine, Report, ScanStatus, Task};
pub use runner::{Root, Runner};
