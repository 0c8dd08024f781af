//! A temporary sibling of a directory that does not exist yet or is empty: filled, then renamed. What a dead process left is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::git::error::GitError;
use crate::git::limits::STAGING_NAMES;
use crate::kit::file::{found, rename_new, sync_dir, with_suffix};
use crate::kit::lock::FileLock;
use crate::kit::process::may_live;

/// Between the target's name and the maker's process id.
const MARK: &str = ".ox-clone-";

/// A directory being filled, `<target>.ox-clone-<pid>-<n>`, with its lock `….lock` beside it. Removed when dropped.
pub(in crate::git) struct Staging {
    pub(in crate::git) dir: PathBuf,
    lock_path: PathBuf,
    _lock: FileLock,
    target: PathBuf,
}

impl Staging {
    /// Makes the target's parents and finds a free name; the directory itself is left to whoever fills it.
    pub(in crate::git) fn new(target: &Path) -> Result<Staging, GitError> {
        let is_empty_dir = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
        if fs::symlink_metadata(target).is_ok_and(|meta| !meta.is_dir() || !is_empty_dir()) {
            return Err(GitError::AlreadyExists(target.to_owned()));
        }
        let parent = target.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(GitError::io("making", parent))?;
        remove_leftovers(target);
        let pid = std::process::id();
        for n in 0..STAGING_NAMES {
            let dir = with_suffix(target, &format!("{MARK}{pid}-{n}"));
            let lock_path = with_suffix(&dir, ".lock");
            let lock = FileLock::try_acquire(&lock_path).map_err(GitError::io("locking", &lock_path))?;
            if let Some(lock) = lock {
                if fs::symlink_metadata(&dir).is_err() {
                    return Ok(Staging { dir, lock_path, _lock: lock, target: target.to_owned() });
                }
                // Left by an earlier process with our id.
                remove(&dir, &lock_path);
            }
        }
        Err(GitError::BadPath { path: target.to_owned(), why: "no name for a temporary sibling is free" })
    }

    /// Renames the directory to the target, where still nothing may be but an empty directory.
    pub(in crate::git) fn finish(self) -> Result<(), GitError> {
        let _ = fs::remove_dir(&self.target); // takes an empty one and nothing else; what is left is said below
        match rename_new(&self.dir, &self.target) {
            Ok(()) => sync_dir(&self.target).map_err(GitError::io("syncing", &self.target)),
            Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {
                Err(GitError::AlreadyExists(self.target.clone()))
            }
            Err(e) => Err(GitError::io("renaming to", &self.target)(e)),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(&self.dir, &self.lock_path);
    }
}

/// The lock file goes last: a directory without one is judged by its process id alone.
fn remove(dir: &Path, lock_path: &Path) {
    match found(fs::remove_dir_all(dir)) {
        Err(e) => log::warn!("removing {}: {e}", dir.display()),
        Ok(_) => {
            let _ = fs::remove_file(lock_path); // a leftover lock file is found and removed by the next run
        }
    }
}

/// Removes temporary siblings of a clone's place whose maker is proven dead: its lock is free, or its process gone.
pub fn remove_leftovers(target: &Path) {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return };
    let mut prefix = name.to_owned();
    prefix.push(MARK);
    let Ok(entries) = fs::read_dir(parent) else { return };
    for e in entries.flatten() {
        let file = e.file_name();
        let Some(rest) = file.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()) else { continue };
        let Some((pid, is_lock)) = parse_suffix(rest) else { continue };
        let dir = if is_lock { e.path().with_extension("") } else { e.path() };
        let lock_path = with_suffix(&dir, ".lock");
        if !lock_path.exists() {
            if !may_live(pid) {
                remove(&dir, &lock_path);
            }
        } else if let Ok(Some(_lock)) = FileLock::try_acquire(&lock_path) {
            remove(&dir, &lock_path);
        }
    }
}

/// `<pid>-<n>` or `<pid>-<n>.lock`.
fn parse_suffix(rest: &[u8]) -> Option<(u32, bool)> {
    let text = std::str::from_utf8(rest).ok()?;
    let (text, is_lock) = match text.strip_suffix(".lock") {
        Some(t) => (t, true),
        None => (text, false),
    };
    let (pid, n) = text.split_once('-')?;
    n.parse::<u32>().ok()?;
    Some((pid.parse().ok()?, is_lock))
}
