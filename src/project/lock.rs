//! The kernel lock around a read-modify-write of a file that others change too.

use std::path::Path;

use super::{Error, limits};
use crate::kit::lock::FileLock;

/// Takes `lock` for a change of `file`, waiting at most five seconds.
///
/// # Errors
/// `Busy` if somebody else keeps it, `Write` if it cannot be taken at all.
pub(super) fn hold(lock: &Path, file: &Path) -> Result<FileLock, Error> {
    FileLock::acquire(lock, limits::LOCK_WAIT)
        .map_err(|e| Error::write(lock, e))?
        .ok_or_else(|| Error::Busy { path: file.to_owned() })
}
