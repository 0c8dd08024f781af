//! What the watcher asks of a user's repository, in process: its git directory, HEAD, tracked files, what is ignored. Nothing
//! here writes into the repository or takes one of its locks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Index, IndexEntry, IndexEntryFlag, Oid, Repository, Status, StatusOptions};

use super::open;
use crate::git::change::in_the_way::is_left_out;
use crate::git::entry::{GITLINK, LINK, path_of};
use crate::git::error::GitError;

/// A work tree that is open for reading. It keeps what it has read of ignore rules: open one for each piece of work.
pub struct WorkTree {
    repo: Repository,
}

/// What git's index holds of a file's state, cut to 32 bits as git does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Bytes.
    pub size: u32,
    /// Seconds since 1970 of the last change of content, and nanoseconds.
    pub mtime: (i32, u32),
    /// Inode.
    pub ino: u32,
    /// Whether it may be run; `None` for a link.
    pub executable: Option<bool>,
}

/// A path in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its bytes, relative to the root, with `/` between names.
    pub path: Vec<u8>,
    /// Whether it stands for another repository.
    pub gitlink: bool,
    /// Whether somebody told git not to look at the file (`git update-index --skip-worktree` or `--assume-unchanged`): it shows no change
    /// of it then.
    pub left_alone: bool,
}

impl WorkTree {
    /// Opens the work tree at exactly `root`: a repository, a linked work tree or a submodule.
    ///
    /// # Errors
    /// [`GitError::Library`] with the class of what was found.
    pub fn open(root: &Path) -> Result<WorkTree, GitError> {
        open(root).map(|repo| WorkTree { repo }).map_err(GitError::git2("opening the repository"))
    }

    /// The directory with this work tree's own `HEAD` and `index`; not that of the main repository for a linked one.
    pub fn git_dir(&self) -> PathBuf {
        self.repo.path().to_path_buf()
    }

    /// The commit HEAD leads to; `None` while the branch is unborn.
    ///
    /// # Errors
    /// A HEAD that cannot be read.
    pub fn head(&self) -> Result<Option<Oid>, GitError> {
        match self.repo.refname_to_id("HEAD") {
            Ok(id) => Ok(Some(id)),
            Err(e) if matches!(e.code(), ErrorCode::NotFound | ErrorCode::UnbornBranch) => Ok(None),
            Err(e) => Err(GitError::git2("reading HEAD")(e)),
        }
    }

    fn index(&self) -> Result<Index, GitError> {
        let index = self.repo.index().and_then(|mut index| index.read(false).map(|()| index));
        index.map_err(GitError::git2("reading the index"))
    }

    /// Every path of the index once, in the order of its bytes.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn tracked(&self) -> Result<Vec<Tracked>, GitError> {
        let index = self.index()?;
        let mut found: Vec<Tracked> = Vec::with_capacity(index.len());
        for entry in index.iter() {
            // One in conflict has up to three entries of the same path.
            if found.last().is_none_or(|last| last.path != entry.path) {
                let left_alone = is_left_alone(&entry);
                found.push(Tracked { path: entry.path, gitlink: entry.mode == GITLINK, left_alone });
            }
        }
        // The library sorts without regard to case where the user has told git to.
        if !found.is_sorted_by(|a, b| a.path < b.path) {
            found.sort_by(|a, b| a.path.cmp(&b.path));
            found.dedup_by(|a, b| a.path == b.path);
        }
        Ok(found)
    }

    /// Shows each file of the index that belongs into the work tree with what it holds of its state; one in conflict as often as it is there.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn each_recorded(&self, mut show: impl FnMut(&[u8], Recorded)) -> Result<(), GitError> {
        let index = self.index()?;
        for entry in index.iter().filter(|entry| entry.mode != GITLINK && !is_left_out(entry)) {
            let mtime = (entry.mtime.seconds(), entry.mtime.nanoseconds());
            let executable = (entry.mode != LINK).then_some(entry.mode & 0o100 != 0);
            show(&entry.path, Recorded { size: entry.file_size, mtime, ino: entry.ino, executable });
        }
        Ok(())
    }

    /// Files that are in only one of two commits, and whether that is the new one.
    ///
    /// # Errors
    /// A commit that cannot be read.
    pub fn come_and_gone(&self, old: Oid, new: Oid) -> Result<Vec<(Vec<u8>, bool)>, GitError> {
        let read = || {
            let tree = |id: Oid| self.repo.find_commit(id)?.tree();
            let diff = self.repo.diff_tree_to_tree(Some(&tree(old)?), Some(&tree(new)?), None)?;
            let one_sided = |delta: git2::DiffDelta<'_>| match delta.status() {
                git2::Delta::Deleted => Some((delta.old_file().path_bytes()?.to_vec(), false)),
                git2::Delta::Added => Some((delta.new_file().path_bytes()?.to_vec(), true)),
                _ => None,
            };
            Ok(diff.deltas().filter_map(one_sided).collect())
        };
        read().map_err(GitError::git2("comparing commits"))
    }

    /// Which of these files are not as HEAD has them, or are new to it and not ignored.
    ///
    /// # Errors
    /// An index, a HEAD or a work tree that cannot be read.
    pub fn uncommitted(&self, files: &BTreeSet<String>) -> Result<BTreeSet<String>, GitError> {
        if files.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).disable_pathspec_match(true);
        // Looks at what others use and leaves it as it is.
        options.update_index(false);
        for file in files {
            options.pathspec(file);
        }
        let all = self.repo.statuses(Some(&mut options)).map_err(GitError::git2("comparing files"))?;
        let changed =
            all.iter().filter(|entry| !entry.status().intersects(Status::IGNORED | Status::CURRENT));
        // A name that is a directory stands for what lies in it.
        Ok(changed
            .filter_map(|entry| entry.path().ok().map(str::to_owned))
            .filter(|p| files.contains(p))
            .collect())
    }

    /// Whether the rules of `.gitignore` and the like leave out `path`. `dir` says that it is a directory: some rules are for
    /// those only.
    ///
    /// # Errors
    /// Rules that cannot be read.
    pub fn is_ignored(&self, path: &[u8], dir: bool) -> Result<bool, GitError> {
        let mut bytes = path.to_vec();
        if dir {
            bytes.push(b'/');
        }
        self.repo.is_path_ignored(path_of(&bytes)).map_err(GitError::git2("reading ignore rules"))
    }
}

fn is_left_alone(entry: &IndexEntry) -> bool {
    is_left_out(entry) || entry.flags & IndexEntryFlag::VALID.bits() != 0
}
