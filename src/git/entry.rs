//! Files as git has them: names and modes, in trees, in the index and on disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository, Tree};

use super::command::{Git, Invocation};
use super::error::GitError;
use crate::kit::file;

/// Mode of a file.
pub(super) const FILE: u32 = 0o100_644;
/// Mode of a file that may be run.
pub(super) const EXEC: u32 = 0o100_755;
/// Mode of a symbolic link, whose object is its target.
pub(super) const LINK: u32 = 0o120_000;
/// Mode of another repository, whose object is a commit of that.
pub(super) const GITLINK: u32 = 0o160_000;
const DIRECTORY: u32 = 0o040_000;

/// Mode and object of a path; nothing where there is no file.
pub(super) type Entry = Option<(u32, Oid)>;

/// What paths are, or are to be.
pub(super) type Entries = BTreeMap<PathBuf, Entry>;

/// Splits `-z` output.
pub(super) fn zero_split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == 0).filter(|s| !s.is_empty())
}

/// Paths as git reads them with `-z`.
pub(super) fn zero_ended<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<u8> {
    paths.into_iter().flat_map(|p| [bytes_of(p), b"\0"].concat()).collect()
}

/// A path as git prints it with `-z`.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The path inside a repository as git takes it with `-z`.
pub(super) fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// One line of `ls-files -s -z`, of stage 0.
pub(super) fn parse_staged(line: &[u8]) -> Option<(PathBuf, (u32, Oid))> {
    let tab = line.iter().position(|b| *b == b'\t')?;
    let about = std::str::from_utf8(line.get(..tab)?).ok()?;
    let mut words = about.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let id = Oid::from_str(words.next()?).ok()?;
    (words.next()? == "0").then(|| (path_of(line.get(tab + 1..).unwrap_or_default()), (mode, id)))
}

/// Makes the index of the clone at `path` say `entries`.
pub(super) fn update_index<'g>(git: &'g Git, path: &Path, entries: &Entries) -> Invocation<'g> {
    let update = git.local("update-index", path).args(["--add", "--replace", "-z", "--index-info"]);
    update.stdin(index_info(entries))
}

/// Input of `update-index -z --index-info`: removals first, so that a file may become a directory.
fn index_info(entries: &Entries) -> Vec<u8> {
    let line = |about: String, path: &Path| [about.as_bytes(), b"\t", bytes_of(path), b"\0"].concat();
    let gone = entries.iter().filter(|(_, entry)| entry.is_none());
    let gone = gone.map(|(path, _)| line(format!("0 {}", Oid::ZERO_SHA1), path));
    let there = entries.iter().filter_map(|(path, entry)| entry.map(|(mode, id)| (path, mode, id)));
    gone.chain(there.map(|(path, mode, id)| line(format!("{mode:o} {id}"), path))).flatten().collect()
}

pub(super) fn parse_oid(text: &str) -> Result<Oid, GitError> {
    Oid::from_str(text).map_err(GitError::git2("reading an object's name"))
}

pub(super) fn tree_at(repo: &Repository, commit: Option<Oid>) -> Result<Option<Tree<'_>>, GitError> {
    let Some(id) = commit else { return Ok(None) };
    let tree = repo.find_commit(id).and_then(|c| c.tree());
    tree.map(Some).map_err(GitError::git2("reading a tree"))
}

/// Mode and object of a path in a tree; nothing for a directory.
pub(super) fn entry(tree: Option<&Tree<'_>>, path: &Path) -> Entry {
    let e = tree?.get_path(path).ok()?;
    let mode = u32::try_from(e.filemode()).ok()?;
    (mode != DIRECTORY).then(|| (mode, e.id()))
}

/// The objects of entries that are files or links.
pub(super) fn blobs(entries: impl IntoIterator<Item = Entry>) -> Vec<Oid> {
    let is_blob = |(mode, _): &(u32, Oid)| *mode != GITLINK;
    entries.into_iter().flatten().filter(is_blob).map(|(_, id)| id).collect()
}

/// What is on disk under a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnDisk {
    /// As git would have it; nothing where there is no file or link. The files in a directory are paths of their own.
    pub(super) mode: Option<u32>,
    /// Device, inode, size, change time: whether it was touched since.
    pub(super) stat: (u64, u64, u64, i64, i64),
}

/// What is on disk under a path.
///
/// # Errors
/// It cannot be looked at, or is neither file nor link nor directory.
pub(super) fn on_disk(path: &Path) -> Result<OnDisk, GitError> {
    let there = look(path)?.filter(|meta| !meta.is_dir());
    let Some(meta) = there else { return Ok(OnDisk::default()) };
    let mode = match meta.file_type() {
        kind if kind.is_symlink() => LINK,
        kind if !kind.is_file() => {
            let why = "neither file nor link nor directory";
            return Err(GitError::BadPath { path: path.to_owned(), why });
        }
        _ if meta.mode() & 0o100 == 0 => FILE,
        _ => EXEC,
    };
    let stat = (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
    Ok(OnDisk { mode: Some(mode), stat })
}

/// As [`on_disk`], of a path of the work tree `root`; nothing behind a link.
pub(super) fn on_disk_in(root: &Path, path: &Path) -> Result<OnDisk, GitError> {
    match leads_through_link(root, path) {
        true => Ok(OnDisk::default()),
        false => on_disk(&root.join(path)),
    }
}

/// The mode git would give what lies there; `None` if there is no file or link.
pub(super) fn mode_of(path: &Path) -> Result<Option<u32>, GitError> {
    on_disk(path).map(|there| there.mode)
}

pub(super) fn hash_of(path: &Path, mode: u32) -> Result<Oid, GitError> {
    let hashed = if mode == LINK {
        let target = fs::read_link(path).map_err(GitError::io("reading", path))?;
        Oid::hash_object(ObjectType::Blob, bytes_of(&target))
    } else {
        Oid::hash_file(ObjectType::Blob, path)
    };
    hashed.map_err(GitError::git2("hashing a file"))
}

/// What lies at `path`, no link followed; `None` if nothing does.
pub(super) fn look(path: &Path) -> Result<Option<fs::Metadata>, GitError> {
    file::look(path).map_err(GitError::io("looking at", path))
}

/// Whether a directory of `path` is a link in the work tree: what lies behind that is not the clone's, and is neither read nor changed.
pub(super) fn leads_through_link(root: &Path, path: &Path) -> bool {
    let above = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    let is_link = |dir: &Path| fs::symlink_metadata(root.join(dir)).is_ok_and(|what| what.is_symlink());
    above.into_iter().any(is_link)
}

/// Whether all of the directories of `path` are that, and no links.
pub(super) fn lies_in_directories(root: &Path, path: &Path) -> Result<bool, GitError> {
    for dir in path.ancestors().skip(1) {
        if !look(&root.join(dir))?.is_some_and(|meta| meta.is_dir()) {
            return Ok(false);
        }
    }
    Ok(true)
}
