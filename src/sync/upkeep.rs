//! Small things that can be wrong with a sound clone, and setting them right. For whoever looks after clones; a sync does the same by
//! itself when it changes anything.

use std::io;

use super::run::{EXCLUDES, LOCK_WAIT};
use super::setup::SetupError;
use super::shape::Shape;
use super::site::Site;
use super::workspace::Workspace;
use crate::git::{CloneLock, GitError, ManagedClone, Reader, Sparse};
use crate::kit::cancel::Cancel;
use crate::kit::file;

/// A larger file of excludes is not looked at.
const EXCLUDE_MAX: usize = 1 << 20;

/// Lines for machine-local files that git is not told to leave out of the clone.
///
/// # Errors
/// The file of excludes cannot be read; a missing one has no line.
pub fn missing_excludes(at: &Workspace) -> io::Result<Vec<String>> {
    let bytes = file::found(file::read_capped(&at.path.join(".git/info/exclude"), EXCLUDE_MAX))?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let missing = EXCLUDES.iter().filter(|line| !text.lines().any(|l| l == **line));
    Ok(missing.map(|line| (*line).to_owned()).collect())
}

/// Patterns of a team's manifest that are not checked out, of a clone that is not checked out whole.
///
/// # Errors
/// The clone cannot be read.
pub fn missing_patterns(site: &Site, at: &Workspace) -> Result<Vec<String>, GitError> {
    let reader = Reader::open(&at.path)?;
    let Sparse::Patterns(now) = Sparse::read(&reader)? else { return Ok(Vec::new()) };
    let wanted = Shape::of(at, &at.path).sparse(&reader, site.clock.now().wall)?;
    let Sparse::Patterns(wanted) = wanted else { return Ok(Vec::new()) };
    Ok(wanted.into_iter().filter(|pattern| !now.contains(pattern)).collect())
}

/// Has git leave machine-local files out of the clone.
///
/// # Errors
/// Somebody works on the clone, or it cannot be changed.
pub fn write_excludes(site: &Site, at: &Workspace) -> Result<(), SetupError> {
    with_clone(site, at, |clone| clone.ensure_excludes(&EXCLUDES))
}

/// Checks out what the manifest names.
///
/// # Errors
/// Somebody works on the clone, it cannot be changed, or contents cannot be fetched now.
pub fn check_out(site: &Site, at: &Workspace) -> Result<(), SetupError> {
    let wanted = Shape::of(at, &at.path).sparse(&Reader::open(&at.path)?, site.clock.now().wall)?;
    with_clone(site, at, |clone| clone.set_sparse(&wanted).map(drop))
}

fn with_clone(
    site: &Site,
    at: &Workspace,
    work: impl FnOnce(&mut ManagedClone<'_>) -> Result<(), GitError>,
) -> Result<(), SetupError> {
    let Some(mut lock) = CloneLock::acquire(&at.lock, LOCK_WAIT)? else { return Err(SetupError::Busy) };
    let mut clone = lock.open(site.git(at.self_hosted), &at.path, &Cancel::new())?;
    Ok(work(&mut clone)?)
}
