//! Keeping a clone small, in place.

use std::fs;
use std::path::Path;

use crate::git::error::GitError;
use crate::git::limits::{CHILD_MAX, SIZE_ENTRIES_CAP};
use crate::git::lock::OpKind;
use crate::git::managed::{ManagedClone, Standing};

impl ManagedClone<'_> {
    /// Packs objects and refs anew and drops what nothing has referred to for two weeks. Whatever a ref keeps, also a rescue,
    /// stays; so do contents that came from the remote when needed. It takes ten minutes at most.
    ///
    /// # Errors
    /// Why it did not end; the clone is as usable as before.
    pub fn maintain(&mut self) -> Result<(), GitError> {
        self.clear_lock_files()?;
        self.within(OpKind::Maintain, "", &Standing::at(None), |c| {
            c.local("gc")
                .config("gc.pruneExpire=2.weeks.ago")
                .config("gc.worktreePruneExpire=never")
                // Beside the work of a person one thread is enough.
                .config("pack.threads=1")
                .config("gc.writeCommitGraph=false")
                .config("gc.autoDetach=false")
                .arg("--quiet")
                .deadline(CHILD_MAX)
                .run(&c.cancel)
                .map(drop)
        })
    }
}

/// Bytes of the files in the `.git` of the clone at `path`; of the first million of them if there are more.
pub fn disk_size(path: &Path) -> u64 {
    let (mut bytes, mut seen) = (0, 0);
    let mut todo = vec![path.join(".git")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > SIZE_ENTRIES_CAP {
                return bytes;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => todo.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {} // gone meanwhile
            }
        }
    }
    bytes
}
