//! Kernel file locks on files that stay. The kernel lets go when the holder ends, however it ends, so no lock is ever judged by
//! its age or by a process id.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::clock;

/// The most that is read out of a lock file, in bytes.
const CONTENT_MAX: u64 = 64 * 1024;

/// An exclusive lock, held until dropped. Two handles exclude each other also within one process.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Takes the lock if it is free; `None` if somebody holds it. Makes the file (0600) and its directory (0700) if missing.
    ///
    /// # Errors
    /// Any that says the lock could not be looked at: then nothing is known about it.
    pub fn try_acquire(path: &Path) -> io::Result<Option<FileLock>> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(e),
            }
            // Somebody may have removed the file between open and lock; then this lock excludes nobody.
            let lock = FileLock { file };
            if lock.is_at(path)? {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether the file at `path` is the one that is locked; another one excludes others from nothing.
    ///
    /// # Errors
    /// It could not be looked at.
    pub fn is_at(&self, path: &Path) -> io::Result<bool> {
        let mine = self.file.metadata()?;
        match std::fs::metadata(path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (mine.dev(), mine.ino())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Takes the lock, waiting at most `wait` for its holder; `None` if it is still held then.
    ///
    /// # Errors
    /// As [`FileLock::try_acquire`].
    pub fn acquire(path: &Path, wait: Duration) -> io::Result<Option<FileLock>> {
        let mut got = Ok(None);
        clock::wait_until(wait, || {
            got = FileLock::try_acquire(path);
            !matches!(got, Ok(None))
        });
        got
    }

    /// The content of the lock file.
    ///
    /// # Errors
    /// The read error.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.take(CONTENT_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Replaces the content of the lock file. Readers without the lock may see it half written.
    ///
    /// # Errors
    /// The write error.
    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(content)?;
        file.set_len(content.len() as u64)
    }
}

/// Lets go expressly: closing alone would leave the lock to a child that another thread forked a moment ago, until that one has
/// begun its program.
impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(super::file::NOFOLLOW);
    match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = path.parent() {
                super::file::make_dirs(dir, 0o700)?;
            }
            options.open(path)
        }
        other => other,
    }
}

/// Whether somebody holds the lock now. A missing file is a free lock.
///
/// # Errors
/// When it could not be looked at; that is neither a yes nor a no.
pub fn is_held(path: &Path) -> io::Result<bool> {
    // To look is not to write: also where nothing can be written.
    let file = match OpenOptions::new().read(true).custom_flags(super::file::NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // A shared lock excludes only the exclusive one of a holder, not others who are looking too.
    match file.try_lock_shared() {
        // For the reason that `Drop` of the lock has.
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_others_and_is_free_after_drop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/a.lock");
        assert!(!is_held(&path).unwrap());
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        lock.write(b"a longer text").unwrap();
        lock.write(b"text").unwrap();
        assert_eq!(lock.read().unwrap(), b"text");
        assert!(is_held(&path).unwrap());
        assert!(FileLock::acquire(&path, Duration::from_millis(5)).unwrap().is_none());
        drop(lock);
        assert!(!is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_copy_of_the_handle_in_a_child_does_not_hold_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        // What a fork leaves in the child until its exec.
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(!is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
        drop(copy);
    }

    #[test]
    fn ipc_05_a_lock_file_left_by_a_dead_holder_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        std::fs::write(&path, "999999").unwrap();
        assert!(FileLock::acquire(&path, Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn a_path_that_cannot_be_opened_is_an_error_not_a_free_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_held(dir.path()).is_err());
        assert!(FileLock::try_acquire(dir.path()).is_err());
    }
}
