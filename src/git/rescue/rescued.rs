//! Reading what a rescue ref keeps. In process, and of this clone's own objects only.

use std::path::{Path, PathBuf};

use git2::{DiffOptions, Oid, Patch, Tree};

use crate::git::change::reapply::{changed, parents_of};
use crate::git::entry::{entry, tree_at};
use crate::git::error::GitError;
use crate::git::limits::MERGE_CAP;
use crate::git::read::Reader;

/// A file's content: mode as git has it, and bytes (of a link its target).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// `0o100644`, `0o100755` or `0o120000`.
    pub mode: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One path of a rescue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// What HEAD had then; `None` if nothing, or if this clone no longer has it.
    pub base: Option<Content>,
    /// What was rescued; `None` if the file had been deleted.
    pub own: Option<Content>,
}

/// The paths that a rescue ref keeps, sorted.
///
/// # Errors
/// There is no such ref, or it cannot be read.
pub fn rescued_paths(clone: &Path, reference: &str) -> Result<Vec<PathBuf>, GitError> {
    let reader = Reader::open(clone)?;
    let (base, own) = trees(&reader, reference)?;
    let mut paths = changed(reader.repo(), base.as_ref(), own.as_ref())?;
    paths.sort();
    Ok(paths)
}

/// The versions of one path that a rescue ref keeps.
///
/// # Errors
/// There is no such ref, or the rescued version cannot be read.
pub fn rescued(clone: &Path, reference: &str, path: &Path) -> Result<Rescued, GitError> {
    let reader = Reader::open(clone)?;
    let (base, own) = trees(&reader, reference)?;
    let own = entry(own.as_ref(), path).map(|e| content(&reader, e)).transpose()?;
    // In a partial clone what HEAD had may have gone; that is no reason not to show the rest.
    let base = entry(base.as_ref(), path).and_then(|e| content(&reader, e).ok());
    Ok(Rescued { base, own })
}

type Trees<'r> = (Option<Tree<'r>>, Option<Tree<'r>>);

fn trees<'r>(reader: &'r Reader, reference: &str) -> Result<Trees<'r>, GitError> {
    let Some(commit) = reader.target(reference)? else {
        return Err(GitError::BadPath { path: reference.into(), why: "there is no such rescue" });
    };
    let (head, _) = parents_of(reader.repo(), commit)?;
    Ok((tree_at(reader.repo(), head)?, tree_at(reader.repo(), Some(commit))?))
}

fn content(reader: &Reader, (mode, id): (u32, Oid)) -> Result<Content, GitError> {
    let blob = reader.repo().find_blob(id).map_err(GitError::git2("reading a rescued file"))?;
    Ok(Content { mode, bytes: blob.content().to_vec() })
}

/// How two versions of a file differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineDiff {
    /// Lines that only the second has.
    pub added: usize,
    /// Lines that only the first has.
    pub removed: usize,
    /// A patch from the first to the second.
    pub patch: Vec<u8>,
}

/// Compares two versions of the file `path` line by line; `None` if that makes no sense: too large, or not text.
///
/// # Errors
/// The library's.
pub fn line_diff(path: &Path, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<Option<LineDiff>, GitError> {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let is_text = |bytes: &[u8]| bytes.len() <= MERGE_CAP && !bytes.contains(&0);
    if !is_text(old) || !is_text(new) {
        return Ok(None);
    }
    let what = "comparing two versions";
    let mut options = DiffOptions::new();
    let patch = Patch::from_buffers(old, Some(path), new, Some(path), Some(&mut options));
    let mut patch = patch.map_err(GitError::git2(what))?;
    let (_, added, removed) = patch.line_stats().map_err(GitError::git2(what))?;
    let text = patch.to_buf().map_err(GitError::git2(what))?;
    Ok(Some(LineDiff { added, removed, patch: text.to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_lines_where_they_have_lines() {
        let check = |old: Option<&[u8]>, new: Option<&[u8]>, expected: Option<(usize, usize)>| {
            let diff = line_diff(Path::new("a"), old, new).unwrap();
            assert_eq!(diff.map(|d| (d.added, d.removed)), expected, "{old:?} {new:?}");
        };
        check(Some(b"1\n2\n"), Some(b"1\n3\n4\n"), Some((2, 1)));
        check(None, Some(b"1\n"), Some((1, 0)));
        check(Some(b"1\n"), None, Some((0, 1)));
        check(Some(b"1\n"), Some(b"1\n"), Some((0, 0)));
        check(Some(b"1\n"), Some(b"\0"), None);
        let patch = line_diff(Path::new("a b"), Some(b"1\n"), Some(b"2\n")).unwrap().unwrap().patch;
        let text = String::from_utf8(patch).unwrap();
        assert!(text.contains("-1\n+2\n") && text.contains("a b"), "{text}");
    }
}
