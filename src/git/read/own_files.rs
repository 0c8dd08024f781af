//! Files as own commits have them: what a push would bring to the remote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use git2::{Commit, Delta, Oid, Repository, Tree};

use super::Reader;
use crate::git::entry::{EXEC, FILE, entry, path_of};
use crate::git::error::GitError;

/// A file that a commit has and none of its parents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub id: Oid,
    /// The first line of the message of the commit that brought it.
    pub subject: String,
}

impl Reader {
    /// The files in the directory `dir` that commits have which `head` leads to and `upstream` does not: each path and content once. A commit
    /// that changes nothing there costs a look at its tree.
    ///
    /// # Errors
    /// A commit or tree that cannot be read.
    pub fn own_files(&self, head: Oid, upstream: Option<Oid>, dir: &str) -> Result<Vec<OwnFile>, GitError> {
        let read = || {
            let mut walk = self.repo().revwalk()?;
            walk.push(head)?;
            if let Some(upstream) = upstream {
                walk.hide(upstream)?;
            }
            let mut seen = BTreeSet::new();
            let mut files = Vec::new();
            for id in walk {
                let commit = self.repo().find_commit(id?)?;
                for (path, id) in brought(self.repo(), &commit, dir)? {
                    if seen.insert((path.clone(), id)) {
                        let subject = commit.summary_bytes().map(String::from_utf8_lossy).unwrap_or_default();
                        files.push(OwnFile { path, id, subject: subject.into_owned() });
                    }
                }
            }
            Ok(files)
        };
        read().map_err(GitError::git2("listing files of own commits"))
    }
}

/// The files in `dir` that a commit has otherwise than all of its parents.
fn brought(repo: &Repository, commit: &Commit<'_>, dir: &str) -> Result<Vec<(PathBuf, Oid)>, git2::Error> {
    let below = |tree: &Tree<'_>| tree.get_name(dir).filter(|e| e.filemode() == 0o040_000).map(|e| e.id());
    let tree = commit.tree()?;
    let Some(new) = below(&tree) else { return Ok(Vec::new()) };
    let mut olds = Vec::new();
    for parent in commit.parents() {
        olds.push(below(&parent.tree()?));
    }
    if olds.contains(&Some(new)) {
        return Ok(Vec::new());
    }
    let find = |id: Option<Oid>| id.map(|id| repo.find_tree(id)).transpose();
    let olds = olds.into_iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let first = olds.first().and_then(Option::as_ref);
    let diff = repo.diff_tree_to_tree(first, Some(&repo.find_tree(new)?), None)?;
    let is_file = |mode: u32| matches!(mode, FILE | EXEC);
    let files = diff.deltas().filter(|delta| delta.status() != Delta::Deleted);
    let files = files.filter(|delta| is_file(delta.new_file().mode().into()));
    let named =
        files.filter_map(|delta| Some((path_of(delta.new_file().path_bytes()?), delta.new_file().id())));
    let is_new = |(path, id): &(PathBuf, Oid)| {
        olds.iter().skip(1).all(|old| entry(old.as_ref(), path).is_none_or(|(_, there)| there != *id))
    };
    Ok(named.filter(is_new).map(|(path, id)| (Path::new(dir).join(path), id)).collect())
}
