//! Whether a fast-forward would write over something in a sparse clone: there git takes its own check for what it would overwrite for
//! a warning, and overwrites.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use git2::{Index, IndexEntry, IndexEntryExtendedFlag, Oid};

use crate::git::clone::sparse::Sparse;
use crate::git::entry::{Entry, GITLINK, entry, hash_of, lies_in_directories, look, mode_of, tree_at};
use crate::git::error::GitError;
use crate::git::limits::FEW_CHANGES;
use crate::git::managed::{ManagedClone, Standing};
use crate::git::read::Reader;

impl ManagedClone<'_> {
    /// Whether something dirty lies where the remote's commits want to change something. Only asked in a sparse clone.
    pub(in crate::git) fn is_in_the_way_of_sparse(&self, standing: &Standing) -> Result<bool, GitError> {
        let Some(target) = standing.upstream else { return Ok(false) };
        if self.sparse()? == Sparse::Everything {
            return Ok(false);
        }
        // The common answer, without the four git processes that the whole one takes.
        if let Some(head) = standing.head
            && is_clear(&*self.reader()?, &self.path, head, target).unwrap_or(false)
        {
            return Ok(false);
        }
        let dirty = self.dirty(standing)?;
        if dirty.is_empty() {
            return Ok(false);
        }
        let changed: HashSet<PathBuf> = self.changed_paths(standing.head, target, &[])?.into_iter().collect();
        let above: HashSet<&Path> = changed.iter().flat_map(|p| p.ancestors()).collect();
        Ok(dirty.keys().any(|p| above.contains(&**p) || p.ancestors().any(|a| changed.contains(a))))
    }
}

/// Whether it is proven that nothing of anybody's lies where `target` differs from `head`: index and files are there as HEAD has them.
/// Looks at few changes only; anything unusual is no proof.
fn is_clear(reader: &Reader, root: &Path, head: Oid, target: Oid) -> Result<bool, GitError> {
    let repo = reader.repo();
    let (old, new) = (tree_at(repo, Some(head))?, tree_at(repo, Some(target))?);
    let diff = repo.diff_tree_to_tree(old.as_ref(), new.as_ref(), None);
    let diff = diff.map_err(GitError::git2("comparing commits"))?;
    if diff.deltas().len() > FEW_CHANGES {
        return Ok(false);
    }
    let index = reader.index()?;
    if index.has_conflicts() {
        return Ok(false);
    }
    for delta in diff.deltas() {
        let Some(path) = delta.new_file().path().or_else(|| delta.old_file().path()) else {
            return Ok(false);
        };
        if !is_as(root, &index, path, entry(old.as_ref(), path))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether index and disk have `path` as `committed`.
fn is_as(root: &Path, index: &Index, path: &Path, committed: Entry) -> Result<bool, GitError> {
    let staged = index.get_path(path, 0);
    if staged.as_ref().map(|e| (e.mode, e.id)) != committed || is_amid_others(index, path) {
        return Ok(false);
    }
    match staged {
        Some(e) if e.mode == GITLINK || is_only_announced(&e) => Ok(false),
        Some(e) if !is_left_out(&e) => {
            let full = root.join(path);
            let is_such = mode_of(&full)? == Some(e.mode) && lies_in_directories(root, path)?;
            Ok(is_such && hash_of(&full, e.mode)? == e.id)
        }
        _ => is_absent(root, path),
    }
}

/// Whether the index has something above or below `path`, which one of the two has to give way to.
pub(in crate::git) fn is_amid_others(index: &Index, path: &Path) -> bool {
    let above = path.ancestors().skip(1).any(|p| !p.as_os_str().is_empty() && index.get_path(p, 0).is_some());
    above || index.find_prefix(path.join("")).is_ok()
}

pub(in crate::git) fn is_left_out(e: &IndexEntry) -> bool {
    e.flags_extended & IndexEntryExtendedFlag::SKIP_WORKTREE.bits() != 0
}

fn is_only_announced(e: &IndexEntry) -> bool {
    e.flags_extended & IndexEntryExtendedFlag::INTENT_TO_ADD.bits() != 0
}

/// Whether nothing is at `path`, and no file or link in place of a directory of it.
fn is_absent(root: &Path, path: &Path) -> Result<bool, GitError> {
    for at in path.ancestors() {
        if look(&root.join(at))?.is_some_and(|meta| at == path || !meta.is_dir()) {
            return Ok(false);
        }
    }
    Ok(true)
}
