//! Contents of files as a commit has them, without a work tree.

use std::path::Path;

use git2::Oid;

use super::Reader;
use crate::git::entry::{EXEC, FILE};
use crate::git::error::GitError;

/// A regular file in a directory of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name in the directory.
    pub name: String,
    /// Its content.
    pub id: Oid,
}

/// What is to be had of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobContent {
    /// All of it.
    Here(Vec<u8>),
    /// It is larger than was asked for: so many bytes.
    TooLarge(usize),
    /// It was left at the remote.
    Missing,
}

impl Reader {
    /// The regular files in the directory `dir` of a commit's tree whose names are UTF-8, at most the last `max`; none if it is not there. Links
    /// and submodules are none.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn blobs_in(&self, commit: Oid, dir: &str, max: usize) -> Result<Vec<BlobEntry>, GitError> {
        let read = || {
            let Some(tree) = self.tree_in(commit, dir)? else { return Ok(Vec::new()) };
            let is_file = |mode: i32| u32::try_from(mode).is_ok_and(|mode| matches!(mode, FILE | EXEC));
            let files = tree.iter().filter(|e| is_file(e.filemode()));
            let named = files.filter_map(|e| Some(BlobEntry { name: e.name().ok()?.to_owned(), id: e.id() }));
            let mut named: Vec<BlobEntry> = named.collect();
            // Names that begin with their time: the newest stay.
            named.drain(..named.len().saturating_sub(max));
            Ok(named)
        };
        read().map_err(GitError::git2("listing files of a commit"))
    }

    /// The paths that differ between the commit named `old` and `new`, sorted; none if the old one is not here any more. Names that
    /// are not UTF-8 are left out.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn changed_paths(&self, old: &str, new: Oid) -> Result<Vec<String>, GitError> {
        self.compare(old, new, |_| true)
    }

    /// Of these, those that are gone.
    ///
    /// # Errors
    /// As there.
    pub fn removed_paths(&self, old: &str, new: Oid) -> Result<Vec<String>, GitError> {
        self.compare(old, new, |status| status == git2::Delta::Deleted)
    }

    fn compare(
        &self,
        old: &str,
        new: Oid,
        wanted: impl Fn(git2::Delta) -> bool,
    ) -> Result<Vec<String>, GitError> {
        let read = || {
            let tree = |id: Oid| self.repo().find_commit(id)?.tree();
            let Some(old) = Oid::from_str(old).ok().and_then(|id| tree(id).ok()) else {
                return Ok(Vec::new());
            };
            let diff = self.repo().diff_tree_to_tree(Some(&old), Some(&tree(new)?), None)?;
            let path = |delta: git2::DiffDelta<'_>| {
                let file = delta.new_file().path().or_else(|| delta.old_file().path());
                file.and_then(Path::to_str).map(str::to_owned)
            };
            Ok(diff.deltas().filter(|delta| wanted(delta.status())).filter_map(path).collect())
        };
        read().map_err(GitError::git2("comparing commits"))
    }

    /// A content of at most `cap` bytes.
    ///
    /// # Errors
    /// An object that cannot be read, or is no content.
    pub fn content(&self, id: Oid, cap: usize) -> Result<BlobContent, GitError> {
        if !self.has_object(id) {
            return Ok(BlobContent::Missing);
        }
        let read = || {
            let size = self.repo().odb()?.read_header(id)?.0;
            if size > cap {
                return Ok(BlobContent::TooLarge(size));
            }
            Ok(BlobContent::Here(self.repo().find_blob(id)?.content().to_vec()))
        };
        read().map_err(GitError::git2("reading a file of a commit"))
    }
}
