//! What becomes of a session here when others have it.

use std::fs;
use std::io;
use std::path::Path;

use super::discard::remove;
use super::notes::{is_marked, unmark};
use super::pack::{CONTENT, PLAIN, Pack, digest, seen_of, to_share};
use super::paused::Paused;
use super::{FinishError, NEEDS_SUMMARY, SHARE, TO_SHARE, own};
use crate::kit::file;
use crate::kit::pointer::{Storage, Stored};
use crate::sessions::{meta, raw};

/// What is left of a session here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: all of it is elsewhere.
    Nothing,
    /// All of it: something is on this machine alone, or is owed still.
    All,
    /// All of it, and it has changed since it was packed: it is to be shared once more.
    Changed,
}

/// Others have the session in `dir` as it was packed, and where its files are was confirmed: what is here goes, unless something of it is
/// nowhere else, or the summary of an agent is owed. A second call changes nothing. Nobody else may share it meanwhile: see [`hold`](super::hold).
///
/// # Errors
/// See [`FinishError`].
pub fn shared(dir: &Path, packed: &Pack, stored: &[Stored]) -> Result<Left, FinishError> {
    if file::look(dir)?.is_none() {
        return Ok(Left::Nothing);
    }
    own(dir)?;
    // Until it is gone: whoever writes another summary does it before, and is seen, or finds nothing to write it for.
    let _locked = meta::lock(dir)?;
    for (name, seen) in &packed.seen {
        if seen_of(&dir.join(name))? != *seen {
            return Ok(Left::Changed);
        }
    }
    let paused = Paused::of_dir(dir).map_err(FinishError::Meta)?;
    let of = |name: &str| stored.iter().find(|one| one.name == name);
    let mut is_elsewhere = paused.is_empty() && !is_marked(dir, NEEDS_SUMMARY)?;
    for name in CONTENT {
        let path = dir.join(name);
        if file::look(&path)?.is_none() || raw::is_pointer(&path)? {
            continue;
        }
        let Some(one) = of(name) else {
            is_elsewhere = false;
            continue;
        };
        is_elsewhere &= one.storage != Storage::Here;
        let path = if name == raw::FILE { to_share(dir, &paused)? } else { path };
        if digest(&path)? != (one.oid.clone(), one.size) {
            return Ok(Left::Changed);
        }
    }
    // A large one of these is kept as content is.
    is_elsewhere &= PLAIN.iter().all(|name| of(name).is_none_or(|one| one.storage != Storage::Here));
    file::found(fs::remove_dir_all(dir.join(SHARE)))?;
    if is_elsewhere && holds_nothing_else(dir, stored)? {
        remove(dir)?;
        return Ok(Left::Nothing);
    }
    unmark(dir, TO_SHARE)?;
    Ok(Left::All)
}

/// Whether all that lies in `dir` is shared, or only of use while it is being finished.
fn holds_nothing_else(dir: &Path, stored: &[Stored]) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { return Ok(false) };
        let is_stored = stored.iter().any(|one| one.name == name && one.storage != Storage::Here);
        let is_known =
            PLAIN.contains(&name) || [TO_SHARE, meta::LOCK].contains(&name) || name.ends_with(".tmp");
        if !is_stored && !is_known && !name.ends_with(".lock") {
            return Ok(false);
        }
    }
    Ok(true)
}
