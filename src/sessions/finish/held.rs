//! Who shares a session.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::FinishError;
use crate::kit::cancel::Cancel;
use crate::kit::clock::wait_until;
use crate::kit::lock::FileLock;

/// Beside the directory of the sessions: a lock for each that is being shared.
const SHARING: &str = "sharing";
/// Whoever shares a session is done before this, unless it is a large one on a slow line.
const WAIT: Duration = Duration::from_secs(300);

/// Nobody else shares the session until this is dropped.
#[derive(Debug)]
pub struct Held {
    _lock: FileLock,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The lock of the session in `dir`.
fn lock_of(dir: &Path) -> io::Result<PathBuf> {
    let (Some(sessions), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no session's directory"));
    };
    Ok(sessions.with_file_name(SHARING).join(name).with_extension("lock"))
}

/// As [`hold`], without waiting; `None` where somebody shares the session now.
///
/// # Errors
/// The disk refuses.
pub fn try_hold(dir: &Path) -> io::Result<Option<Held>> {
    let path = lock_of(dir)?;
    Ok(FileLock::try_acquire(&path)?.map(|lock| Held { _lock: lock, path }))
}

/// Has nobody else share the session in `dir`, and waits for whoever does. The lock lies outside of the directory, which may be gone when
/// it is got: whoever has it looks again. It is taken before that of a clone and that of `meta.json`.
///
/// # Errors
/// Somebody else keeps it, or the disk refuses.
pub fn hold(dir: &Path, cancel: &Cancel) -> Result<Held, FinishError> {
    let path = lock_of(dir)?;
    let mut got = Ok(None);
    wait_until(WAIT, || {
        got = FileLock::try_acquire(&path);
        !matches!(got, Ok(None)) || cancel.is_cancelled()
    });
    let busy = || io::Error::new(io::ErrorKind::WouldBlock, "somebody else is sharing it");
    let lock = got?.ok_or_else(busy)?;
    Ok(Held { _lock: lock, path })
}
