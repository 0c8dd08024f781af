//! Finishing or undoing a reclone that was interrupted.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::journal::{Identity, Journal, Phase, new_of, old_of};
use super::swap::{self, Layout};
use crate::git::{CloneLock, Git, LocalWork, open_elsewhere, remove_leftovers};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::sync::outcome::Failure;
use crate::sync::site::Site;

/// State directories that are looked into for journals; no machine has as many clones.
const STATES_MAX: usize = 10_000;

/// What recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// No reclone was interrupted.
    Nothing,
    /// The old clone is in its place, and nothing else is left.
    Undone,
    /// The new clone is in its place. The old one is gone, or kept here because it was written to since, or could not be looked
    /// at.
    Finished(Option<PathBuf>),
    /// Something else is in the clone's place; the old clone is kept here, if it still exists.
    Foreign(Option<PathBuf>),
}

/// Finishes or undoes an interrupted reclone of `clone`, whose state directory is `state`. Called first by whoever takes the
/// clone's lock to change it. Costs one look at a file if there is nothing to do.
///
/// # Errors
/// Nothing was lost; the next call goes on.
pub fn recover(
    _held: &CloneLock,
    git: &Git,
    clone: &Path,
    state: &Path,
    now: Timestamp,
    cancel: &Cancel,
) -> Result<Recovered, Failure> {
    let at_journal = |e| Failure::io("reading the journal of a reclone in", state, &e);
    let Some(journal) = Journal::load(state).map_err(at_journal)? else { return Ok(Recovered::Nothing) };
    if journal.clone != clone {
        let text = format!("the journal in {} is of {}", state.display(), journal.clone.display());
        return Err(Failure::new(Class::Damage, text));
    }
    log::warn!("a reclone of {} begun at {} did not end", clone.display(), journal.began);
    let on_disk = |e| Failure::io("recovering the reclone of", clone, &e);
    let Some(new) = journal.new_clone() else {
        discard_new(clone, None).map_err(on_disk)?;
        Journal::remove(state).map_err(on_disk)?;
        return Ok(Recovered::Undone);
    };
    let found = match swap::settle(&journal, new).map_err(on_disk)? {
        Layout::Before => {
            discard_new(clone, Some(new)).map_err(on_disk)?;
            Recovered::Undone
        }
        Layout::Swapped => Recovered::Finished(let_go(git, state, &journal, now, cancel)?),
        Layout::Gone => Recovered::Finished(None),
        Layout::Foreign | Layout::Between | Layout::Exchanged => {
            Recovered::Foreign(keep_all(&journal, new, now).map_err(on_disk)?)
        }
    };
    Journal::remove(state).map_err(on_disk)?;
    log::info!("the reclone of {}: {found:?}", clone.display());
    Ok(found)
}

/// Recovers every clone of this machine whose reclone was interrupted; for the start of the daemon. A clone that somebody works
/// on is left to them.
pub fn recover_all(site: &Site, cancel: &Cancel) -> Vec<(PathBuf, Result<Recovered, Failure>)> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).take(STATES_MAX).collect()
    };
    let mut found = Vec::new();
    for state in below(site.dirs.data()).iter().flat_map(|slug| below(&slug.join("state"))) {
        let Ok(Some(journal)) = Journal::load(&state) else { continue };
        if !journal.lock.starts_with(site.dirs.data()) || !journal.clone.starts_with(site.dirs.data()) {
            log::warn!("{}: its journal leads elsewhere", state.display());
            continue;
        }
        let lock = match CloneLock::acquire(&journal.lock, std::time::Duration::ZERO) {
            Ok(Some(lock)) => lock,
            Ok(None) => continue,
            Err(e) => {
                log::warn!("{}: {e}", journal.lock.display());
                continue;
            }
        };
        let now = site.clock.now().wall;
        let done = recover(&lock, site.git(true), &journal.clone, &state, now, cancel);
        found.push((journal.clone, done));
    }
    found
}

/// Removes a new clone that never got into place, and what was left of making it.
pub(super) fn discard_new(clone: &Path, known: Option<Identity>) -> std::io::Result<()> {
    let new = new_of(clone);
    swap::remove(&new, known)?;
    remove_leftovers(&new);
    Ok(())
}

/// The old clone after the swap: removed if it is proven that nothing was written to it since it was copied, else kept; answers
/// where.
pub(super) fn let_go(
    git: &Git,
    state: &Path,
    journal: &Journal,
    now: Timestamp,
    cancel: &Cancel,
) -> Result<Option<PathBuf>, Failure> {
    let old = old_of(&journal.clone);
    let on_disk = |e| Failure::io("removing", &old, &e);
    if let Phase::Swapping { new, fingerprint } = &journal.phase {
        let changed = changed(git, &old, fingerprint, cancel);
        if cancel.is_cancelled() {
            let text = format!("removing {} was cancelled", old.display());
            return Err(Failure::new(Class::Busy, text));
        }
        if let Some(why) = changed {
            let kept = swap::keep_old(&journal.clone, &old, now.as_second()).map_err(on_disk)?;
            log::warn!("{why}; the old clone is kept as {}", kept.display());
            return Ok(Some(kept));
        }
        let phase = Phase::Dropping { new: *new };
        Journal { phase, ..journal.clone() }.save(state).map_err(on_disk)?;
    }
    swap::remove(&old, Some(journal.old)).map_err(on_disk)?;
    Ok(None)
}

/// Why the old clone may have something that the new one has not; `None` if it is proven that it has not.
fn changed(git: &Git, old: &Path, fingerprint: &str, cancel: &Cancel) -> Option<String> {
    if let Some(pid) = open_elsewhere(old) {
        return Some(format!("process {pid} has files in {} open", old.display()));
    }
    match LocalWork::of(git, old, cancel) {
        Ok(work) if work.fingerprint() == fingerprint => None,
        Ok(_) => Some(format!("{} was written to while it was replaced", old.display())),
        Err(e) => Some(format!("{} could not be looked at: {e}", old.display())),
    }
}

/// Somebody put something else into the clone's place: the old clone is kept, the copy of it goes. Without the old one, the copy
/// is kept.
fn keep_all(journal: &Journal, new: Identity, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
    let clone = &journal.clone;
    for keep in [journal.old, new] {
        for from in [old_of(clone), new_of(clone)] {
            if Identity::at(&from)? == Some(keep) {
                let kept = swap::keep_old(clone, &from, now.as_second())?;
                discard_new(clone, Some(new))?;
                log::error!("{} is not what it was; its old content is {}", clone.display(), kept.display());
                return Ok(Some(kept));
            }
        }
    }
    Ok(None)
}
