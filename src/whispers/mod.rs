//! Agents hear of each other: murmurs go out through a clone, whispers come in from it.
//!
//! Threads: none of its own; every call runs on the caller's thread, and only what a function's name says it touches a disk.
//! Files: below a clone's state directory `whisper.db`, `outbox/` and `uncommitted.json`; in the clone `data/murmurs/<day>/<hour>/<id>.json`, committed.
//! Locks: one for each database and small ones for the table of them and for places of readers, which are never held over I/O.
//! Promises: a murmur that was taken waits on disk until it is in a commit; a whisper is given to each agent it is for once, again only
//! when a crash comes between an answer and its place; nobody gets what is for another, or what it wrote itself.

mod error;
pub mod file_changes;
mod frame;
pub mod limits;
mod murmur;
pub mod nudge;
mod outbox;
mod relay;
mod store;
mod stores;
#[cfg(test)]
mod tests;
pub mod uncommitted;
mod whisper;
pub mod window;

pub use error::Error;
pub use file_changes::FileChanges;
pub use frame::{escaped, frame};
pub use murmur::{DIR, Importance, Murmur, Refused, hour_dirs, is_id, topic};
pub use outbox::{FILE_CHANGES, Outbox};
pub use relay::{Relayed, relay};
pub use store::{Maintained, Marks, Pending, Reader, Store};
pub use stores::{Ask, Given, Past, Receipt, Stores};
pub use uncommitted::Uncommitted;
pub use whisper::{Attention, Scope, Source, Whisper};
