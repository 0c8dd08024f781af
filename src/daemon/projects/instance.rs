//! The instance lock: one daemon a user. It is held for life and looked after, for who deletes its file deletes the lock with it.

use std::path::PathBuf;

use parking_lot::Mutex;

use crate::kit::lock::FileLock;

/// The lock of this process and what its file says.
#[derive(Debug)]
pub struct Instance {
    path: PathBuf,
    text: Vec<u8>,
    lock: Mutex<FileLock>,
}

/// What a look at the instance lock found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It is ours.
    Yes,
    /// Its file had gone and was made and locked anew.
    Anew,
    /// Another daemon has it.
    No,
}

impl Instance {
    /// Of a lock on the file at `path`, which from now on says `text`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(in crate::daemon) fn of(lock: FileLock, path: PathBuf, text: Vec<u8>) -> std::io::Result<Instance> {
        lock.write(&text)?;
        Ok(Instance { path, text, lock: Mutex::new(lock) })
    }

    /// Looks whether the file at the lock's path is still the one that is locked; where it is gone, takes the lock anew.
    ///
    /// # Errors
    /// It could not be looked at, or not be taken anew; then nothing has changed.
    pub(super) fn keep(&self) -> std::io::Result<Held> {
        let mut lock = self.lock.lock();
        if lock.is_at(&self.path)? {
            return Ok(Held::Yes);
        }
        let Some(new) = FileLock::try_acquire(&self.path)? else { return Ok(Held::No) };
        new.write(&self.text)?;
        *lock = new;
        Ok(Held::Anew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_file_goes_is_taken_anew_or_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/daemon.lock");
        let take = || FileLock::try_acquire(&path).unwrap();
        let one = Instance::of(take().unwrap(), path.clone(), b"one".to_vec()).unwrap();
        assert_eq!(one.keep().unwrap(), Held::Yes);
        for gone in [path.clone(), dir.path().join("data")] {
            std::fs::remove_file(&gone).or_else(|_| std::fs::remove_dir_all(&gone)).unwrap();
            assert_eq!(one.keep().unwrap(), Held::Anew);
            assert_eq!(std::fs::read(&path).unwrap(), b"one");
            assert!(take().is_none());
        }
        std::fs::remove_file(&path).unwrap();
        let other = take().unwrap();
        assert_eq!(one.keep().unwrap(), Held::No);
        drop(other);
        assert_eq!(one.keep().unwrap(), Held::Anew);
    }
}
