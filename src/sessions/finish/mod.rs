//! What becomes of a session when its recording has ended: which ones something is owed to, what an agent is asked about them, what is made
//! of its answer, and what of them is shared. Who asks the agent, and who brings it into the ledger, is told from outside.
//!
//! Files: in a session's directory `summary.json`, `summary.md` and `session.md` (the artifacts), `meta.json` with what was decided,
//! `.needs-summary` while the summary of an agent is owed, `.to-share` while others have not all of what is there, `.downloaded` in one that
//! came from others, `.share` with what is shared in place of what is here. `discarded` and `dropped` beside the directory of the sessions:
//! what was thrown away within the last days, and what is being removed; `sharing` there with a lock for each session that is being shared.
//! Locks: `sharing/<name>.lock`, which is the outermost, while a session is shared and goes from here; `meta.json.lock`, which is the innermost;
//! `raw.jsonl.lock` while a transcript is written anew.
//! Promises: whoever is killed leaves what the same call completes, and a second call changes no byte; a directory that git keeps is never
//! written to; an agent is asked three times about a transcript and no more; nothing is removed here before somebody else has it.

mod accept;
mod again;
mod artifacts;
mod collect;
mod discard;
mod held;
mod local;
mod look;
mod notes;
mod pack;
mod paused;
mod prepare;
mod shared;

use std::io;
use std::path::Path;

pub use accept::{Accepted, By, accept, count, fail, uncount};
pub use again::{again, is_downloaded, is_finished, is_stuck, summary_of};
pub use discard::{DISCARDED_FOR, Tidied, discard, discarded, tidy};
pub use held::{Held, hold, try_hold};
pub use local::summarize_locally;
pub use look::{Candidate, Looked, Need, Trouble, Wanted, bring_here, look, mark_downloaded};
pub use notes::ATTEMPTS_MAX;
pub use pack::{Pack, pack, stored};
pub use paused::Paused;
pub use prepare::{Ask, Prepared, prepare};
pub use shared::{Left, shared};

use super::place::Place;
use super::raw;
use super::recording::{Recording, State};

/// What an agent is asked for is owed.
const NEEDS_SUMMARY: &str = ".needs-summary";
/// Others have not all of what is here.
const TO_SHARE: &str = ".to-share";
/// It came from others.
const DOWNLOADED: &str = ".downloaded";
/// What is shared in place of what is here.
const SHARE: &str = ".share";

/// Why a session cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// It is being recorded, or its recording has to be finished first.
    #[error("it is being recorded")]
    Recording,
    /// Its transcript is kept elsewhere.
    #[error("its transcript is not on this machine")]
    Elsewhere,
    /// Nothing was said in it.
    #[error("there is no entry in it")]
    Empty,
    /// It has its summary, and nobody asked for another one.
    #[error("it has a summary already")]
    Finished,
    /// An agent was asked about this transcript as often as it may be.
    #[error("no agent could summarize it, and it was tried {ATTEMPTS_MAX} times")]
    GivenUp,
    /// It is to stay here, or to go.
    #[error("it is not to be shared")]
    NotShared,
    /// Its transcript has changed since the agent was asked.
    #[error("its transcript has changed meanwhile")]
    Changed,
    /// Its directory is one that git keeps.
    #[error("its directory is in the ledger")]
    Tracked,
    /// What is known of it cannot be read: nobody may write it anew.
    #[error("its meta.json cannot be read: {0}")]
    Meta(io::Error),
    /// The disk refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether the session in `dir` waits for being shared, or for being shared anew.
pub fn is_to_be_shared(dir: &Path) -> bool {
    notes::is_marked(dir, TO_SHARE).unwrap_or(true)
}

/// Whether `dir` is a session of this machine alone that is not being recorded: nothing else may be written to.
fn own(dir: &Path) -> Result<(), FinishError> {
    if is_tracked(dir) {
        return Err(FinishError::Tracked);
    }
    if !matches!(Recording::load(dir), State::None) {
        return Err(FinishError::Recording);
    }
    Ok(())
}

/// Whether a session's directory lies in `sessions` of a clone: git keeps what is in it.
fn is_tracked(dir: &Path) -> bool {
    let clone = dir.parent().and_then(Path::parent);
    clone.is_none_or(|clone| std::fs::symlink_metadata(clone.join(".git")).is_ok())
}

/// Bytes of the transcript in `dir`, which is here.
fn size_of(dir: &Path) -> Result<u64, FinishError> {
    let path = dir.join(raw::FILE);
    let Some(meta) = crate::kit::file::look(&path)? else { return Err(FinishError::Empty) };
    if raw::is_pointer(&path)? {
        return Err(FinishError::Elsewhere);
    }
    Ok(meta.len())
}

/// Whether sessions in a place are of this machine alone.
fn is_own(place: Place) -> bool {
    matches!(place, Place::Local | Place::Cache)
}
