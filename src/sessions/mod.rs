//! Sessions of agents: recorded, read, kept.
//!
//! Threads: none of its own.
//! Files: `<ledger>/.sageox/cache/sessions/<name>/`: `.recording.json` while a session is recorded, `raw.jsonl`, and what is made of it.
//! Locks: `.recording.json.lock` and `raw.jsonl.lock` in the session's directory, in this order; commands and the daemon share them.
//! Promises: what a transcript tells is in `raw.jsonl` once, also when whoever writes is killed at any moment; nothing gets there without
//! having passed the redactor; a name from outside never leads out of the directory; a file of another version keeps its keys.

mod info;
mod name;
mod place;
pub mod raw;
mod recording;
pub mod render;

pub use info::{Info, Status, lives};
pub use name::Name;
pub use place::{Found, Place, Places, Unclear};
pub use recording::{Recording, State, Turn, new_session_id, watch_mode};
