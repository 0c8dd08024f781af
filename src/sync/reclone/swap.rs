//! Putting the new clone into the old one's place, and finishing or undoing that from wherever a killed process left it.
//!
//! Which directory is which is told by device and inode, never by name alone. What is neither the old nor the new clone is
//! left where it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::journal::{Identity, Journal, Phase, new_of, old_of};
use crate::git::limits::ORPHANS_END;
use crate::kit::clock::wait_until;
use crate::kit::file::{self, sync_dir};

/// Where the two clones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The old clone is in its place.
    Before,
    /// Nothing is in the place; both lie beside it. Only where the file system cannot exchange two names at once.
    Between,
    /// The new clone is in place, the old one has the new one's name.
    Exchanged,
    /// The new clone is in place, the old one beside it under its own mark.
    Swapped,
    /// The new clone is in place and the old one is gone.
    Gone,
    /// Something else is in the place.
    Foreign,
}

/// Looks where the old and the new clone are.
pub(super) fn layout(journal: &Journal, new: Identity) -> io::Result<Layout> {
    let clone = &journal.clone;
    let at = |path: &Path| Identity::at(path);
    let (place, beside, aside) = (at(clone)?, at(&new_of(clone))?, at(&old_of(clone))?);
    let old = Some(journal.old);
    Ok(match place {
        _ if place == old => Layout::Before,
        Some(there) if there != new => Layout::Foreign,
        Some(_) if beside == old => Layout::Exchanged,
        Some(_) if aside == old => Layout::Swapped,
        Some(_) => Layout::Gone,
        None if aside == old && beside == Some(new) => Layout::Between,
        None => Layout::Foreign,
    })
}

/// Both clones change places: in one step where the system can, else in two.
pub(super) fn exchange(clone: &Path) -> io::Result<()> {
    let new = new_of(clone);
    if file::exchange(&new, clone)? {
        return sync_dir(clone);
    }
    fs::rename(clone, old_of(clone))?;
    sync_dir(clone)?;
    fs::rename(&new, clone)?;
    sync_dir(clone)
}

/// Goes on from any layout to [`Layout::Swapped`], [`Layout::Gone`], or back to [`Layout::Before`].
pub(super) fn settle(journal: &Journal, new: Identity) -> io::Result<Layout> {
    let clone = &journal.clone;
    let mut now = layout(journal, new)?;
    if now == Layout::Between {
        fs::rename(new_of(clone), clone)?;
        sync_dir(clone)?;
        now = layout(journal, new)?;
    }
    if now == Layout::Exchanged {
        fs::rename(new_of(clone), old_of(clone))?;
        sync_dir(clone)?;
        now = layout(journal, new)?;
    }
    Ok(now)
}

/// Keeps the old clone for good as `<clone>.bak.<unix seconds>`, and answers that name.
pub(super) fn keep_old(clone: &Path, from: &Path, seconds: i64) -> io::Result<PathBuf> {
    let mut seconds = seconds;
    let mut to = file::with_suffix(clone, &format!(".bak.{seconds}"));
    while Identity::at(&to)?.is_some() {
        seconds += 1;
        to = file::with_suffix(clone, &format!(".bak.{seconds}"));
    }
    fs::rename(from, &to)?;
    sync_dir(&to)?;
    Ok(to)
}

/// Removes the directory at `path` if it is `known` (`None`: whatever is there), all of it. Children of a killed process may
/// still be writing to it for a moment.
pub(super) fn remove(path: &Path, known: Option<Identity>) -> io::Result<()> {
    let mut last = Ok(());
    wait_until(ORPHANS_END, || {
        last = remove_once(path, known);
        last.is_ok()
    });
    last
}

fn remove_once(path: &Path, known: Option<Identity>) -> io::Result<()> {
    match Identity::at(path)? {
        Some(there) if known.is_none_or(|known| known == there) => {
            fs::remove_dir_all(path)?;
            sync_dir(path)
        }
        _ => Ok(()),
    }
}

impl Journal {
    /// The new clone, once it is whole.
    pub(super) fn new_clone(&self) -> Option<Identity> {
        match &self.phase {
            Phase::Making => None,
            Phase::Swapping { new, .. } | Phase::Dropping { new } => Some(*new),
        }
    }
}
