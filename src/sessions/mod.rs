//! Sessions of agents: recorded, read, kept, counted.
//!
//! Threads: none of its own, but those with which `usage` reads.
//! Files: `<ledger>/.sageox/cache/sessions/<name>/`: `.recording.json` while a session is recorded, `raw.jsonl`, `usage.jsonl`, `plan.md`,
//! `edits.json`, and what is made of it; `.session_stopped.<agent>` beside these; `<data>/<slug>/archive/<repository>/`: what is kept of agents' own transcripts, in
//! `archive`; those of `usage` stand there.
//! Locks: `raw.jsonl.lock`, `.recording.json.lock` and `meta.json.lock` in the session's directory, in this order; `lock` in the archive for one
//! run; commands and the daemon share them.
//! Promises: what a transcript tells is in `raw.jsonl` once, also when whoever writes is killed at any moment; nothing gets there without
//! having passed the redactor; a name from outside never leads out of the directory; a file of another version keeps its keys.

pub mod archive;
mod changes;
pub mod edits;
pub mod finish;
mod follow;
pub mod import;
mod info;
pub mod input;
mod meta;
mod name;
mod place;
pub mod raw;
mod recording;
pub mod redaction;
pub mod render;
mod rows;
pub mod search;
pub mod stopped;
mod stub;
pub mod subagents;
pub mod summary;
pub mod usage;

use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::harness::transcript::Reader;
use crate::harness::transcript::opencode::Opencode;
use crate::redact::Redactor;

pub use follow::{FollowError, Follower, Step, header_of};

pub use info::{Glance, Info, Status, lives};
pub use meta::Ending;
pub use name::Name;
pub use place::{Found, Place, Places, Unclear};
pub use recording::{FILE as RECORDING, Recording, State, Turn, new_session_id, watch_mode};
pub use stub::{end_ghost, remove_stub};

/// Whether the transcripts of a program can be read, as recordings call it.
pub fn can_read(kind: &str) -> bool {
    Reader::of(kind).is_some() || Opencode::of(kind, "").is_some()
}

/// The file with an agent's plan, in the session's directory.
pub const PLAN: &str = "plan.md";

/// How a recording was finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// What its transcript has now.
    pub written: raw::Written,
    /// Lines that the agent wrote down itself and that are no entries.
    pub damaged: u64,
}

/// Takes over what the agent wrote down itself in the session directory `dir`, adds what its sub-agents `spent`, writes the end of the
/// transcript, ends the recording, and makes what can be told of it without an agent.
///
/// # Errors
/// The disk refuses; the recording is then stopped and not finished.
pub fn close(
    dir: &Path,
    header: &raw::Header,
    end: &Ending<'_>,
    spent: &[usage::Line],
    redactor: &Redactor,
    now: Timestamp,
) -> io::Result<Closed> {
    let mut writer = raw::Writer::open(dir, header, redactor)?;
    let damaged = input::take_over(dir, &mut writer)?;
    // Locked until nothing is recorded any more: who follows the transcript would write behind the end, and cut off what was spent beside it.
    usage::add(dir, spent, redactor)?;
    let written = writer.end(now)?;
    let (turns, root) = match Recording::load(dir) {
        State::Some(recording) => (recording.lifecycle, recording.workspace_path),
        State::None | State::Unreadable(_) => Default::default(),
    };
    meta::write(dir, header, end, written.next_seq, &turns, redactor)?;
    // As long as the recording says what was not to be shared. A session is finished without them, too.
    if !root.is_empty()
        && let Err(e) = edits::write(dir, Path::new(&root), redactor)
    {
        log::warn!("{}: what the session wrote cannot be kept: {e}", dir.display());
    }
    follow::forget(dir)?;
    input::remove(dir)?;
    Recording::remove(dir)?;
    writer.release();
    // It is finished without it; whoever looks for what is owed finds it.
    if let Err(e) = finish::summarize_locally(dir, Path::new(&root), redactor) {
        log::warn!("session {}: what can be told of it is not told yet: {e}", end.name);
    }
    Ok(Closed { written, damaged })
}

/// The name of the session in `dir`.
fn name_of(dir: &Path) -> &str {
    dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
