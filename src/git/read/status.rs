//! What `git status` tells.

use std::path::{Path, PathBuf};

use crate::git::command::Git;
use crate::git::entry::{path_of, zero_split};
use crate::git::error::GitError;
use crate::git::limits::CHILD_MAX;
use crate::kit::cancel::Cancel;

/// A path with the two letters that tell what is different in the index, and what on disk. A directory's name ends with a slash.
pub(in crate::git) type Marked = ([u8; 2], PathBuf);

/// What is not as in HEAD in the clone at `path`; with `all` also what is untracked or ignored.
pub(in crate::git) fn status(
    git: &Git,
    path: &Path,
    all: bool,
    cancel: &Cancel,
) -> Result<Vec<Marked>, GitError> {
    let which: &[&str] =
        if all { &["--untracked-files=all", "--ignored=matching"] } else { &["--untracked-files=no"] };
    let status =
        git.local("status", path).args(["--porcelain", "-z", "--no-renames", "--ignore-submodules=all"]);
    let out = status.args(which).deadline(CHILD_MAX).run(cancel)?;
    let parse = |entry: &[u8]| match entry {
        [x, y, b' ', path @ ..] => Some(([*x, *y], path_of(path))),
        _ => None,
    };
    Ok(zero_split(&out.stdout).filter_map(parse).collect())
}

/// The same, but that a merge which nobody has settled is an error.
pub(in crate::git) fn settled(marked: Vec<Marked>) -> Result<Vec<Marked>, GitError> {
    let is_unmerged = |(mark, _): &Marked| matches!(mark, [b'U', _] | [_, b'U'] | b"AA" | b"DD");
    let (unmerged, settled): (Vec<Marked>, Vec<Marked>) = marked.into_iter().partition(is_unmerged);
    if unmerged.is_empty() {
        return Ok(settled);
    }
    Err(GitError::Conflict(unmerged.into_iter().map(|(_, path)| path).collect()))
}
