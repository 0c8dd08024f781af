//! A session that is to be finished anew, because somebody says so.

use std::path::Path;

use serde_json::{Map, Value};

use super::artifacts::JSON;
use super::notes::{self, ATTEMPTS, BEFORE, DISPOSITION, ERROR, Notes, OF, STATUS, Status, is_marked};
use super::{DOWNLOADED, FinishError, TO_SHARE, own, size_of};
use crate::kit::file;
use crate::redact::Redactor;
use crate::sessions::meta;
use crate::sessions::summary::Summary;

/// What is known of a summary in its own file is no longer, in bytes.
const JSON_MAX: usize = 4 << 20;

/// Has the session in `dir` finished once more: an agent that was asked in vain is asked anew, and where it is to be summed up `anew`, also
/// one whose summary is there. That stays until there is another.
///
/// # Errors
/// See [`FinishError`].
pub fn again(dir: &Path, anew: bool, redactor: &Redactor) -> Result<(), FinishError> {
    own(dir)?;
    size_of(dir)?;
    let locked = meta::lock(dir)?;
    let is_ok = Notes::read(dir)?.is_ok();
    if is_ok && !anew {
        return Ok(());
    }
    // From here on it is owed, whatever happens to this process.
    notes::owe(dir)?;
    forget(dir)?;
    meta::change(&locked, redactor, |all| {
        // It holds until there is another summary.
        if let Some(before) = all.remove(DISPOSITION) {
            all.insert(BEFORE.into(), before);
        }
        [ATTEMPTS, ERROR, OF].iter().for_each(|key| drop(all.remove(*key)));
        all.insert(STATUS.into(), Status::Local.name().into());
    })
    .map_err(FinishError::Meta)
}

/// The summary that is there counts as one that was made without an agent.
fn forget(dir: &Path) -> Result<(), FinishError> {
    let path = dir.join(JSON);
    let Some(bytes) = file::found(file::read_capped(&path, JSON_MAX))? else { return Ok(()) };
    // What is none counts for none already.
    let Ok(mut all) = serde_json::from_slice::<Map<String, Value>>(&bytes) else { return Ok(()) };
    all.insert(STATUS.into(), Status::Local.name().into());
    let bytes = serde_json::to_vec_pretty(&all).map_err(std::io::Error::other)?;
    Ok(file::write_durable(&path, &bytes, 0o600)?)
}

/// Whether the session in `dir` was to be finished, and could not be.
pub fn is_stuck(dir: &Path) -> bool {
    let is_given_up = || Notes::read(dir).is_ok_and(|notes| notes.has_failed());
    is_given_up() || is_marked(dir, TO_SHARE).unwrap_or(false)
}

/// Whether an agent, or what needs none, has summed the session in `dir` up, and nothing is owed to it.
pub fn is_finished(dir: &Path) -> bool {
    Notes::read(dir).is_ok_and(|notes| notes.is_ok())
}

/// What the session in `dir` was about, if anybody has said so: an agent, or what could be told without one.
pub fn summary_of(dir: &Path) -> Option<Summary> {
    super::artifacts::read(dir).ok().flatten().map(|there| there.summary)
}

/// Whether the session in `dir` came from others.
pub fn is_downloaded(dir: &Path) -> bool {
    is_marked(dir, DOWNLOADED).unwrap_or(false)
}
