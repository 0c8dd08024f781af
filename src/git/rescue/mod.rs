//! Putting dirty files aside without a stash: captured as a commit under `refs/ox/rescue/`, then moved (not deleted) into
//! `.git/ox/hold/<time>/`, until `reapply` puts them back.
//!
//! Order, so that a kill between any two steps loses nothing: commit written and verified, `refs/ox/rescue/<time>`,
//! `refs/ox/pending/<time>`, files moved to the hold, HEAD's versions put in their place, (the remote comes in,) files put back
//! one by one, pending ref deleted. Whoever finds a pending ref goes on from there.

pub(super) mod rescued;

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use git2::{Oid, Repository, Tree};
use jiff::Timestamp;

use super::change::in_the_way::leads_through_link;
use super::change::reapply::remove_empty;
use super::command::{bytes_of, path_of, zero_ended, zero_split};
use super::error::GitError;
use super::limits::{CAPTURE_ATTEMPTS, CHILD_MAX, IN_THE_WAY_CAP, RESCUE_KEPT};
use super::managed::{ManagedClone, Standing};
use super::read::Reader;
use crate::kit::Class;
use crate::kit::cancel::Cancel;

pub(super) const RESCUE: &str = "refs/ox/rescue/";
/// Message of the commit that keeps the index; tells it from HEAD's.
pub(super) const INDEX_MESSAGE: &str = "ox: index put aside";
pub(super) const PENDING: &str = "refs/ox/pending/";

/// Dirty work that was put aside and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// The ref that keeps all of it for 30 days.
    pub reference: String,
    /// Paths that did not merge: the remote's version is in place, ours lies beside it.
    pub conflicts: Vec<PathBuf>,
    /// The files that lie beside.
    pub copies: Vec<PathBuf>,
}

/// Dirty work put aside and not yet back.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    /// Unix seconds; the last part of the refs' names and the hold's name.
    pub(super) time: i64,
    /// The commit: its tree has the files, its first parent is HEAD, its second (if any) the index.
    pub(super) commit: Oid,
    pub(super) paths: Vec<PathBuf>,
}

/// A dirty path, and whether its change is (also) staged.
pub(super) type Dirty = BTreeMap<PathBuf, bool>;

/// What is on disk under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnDisk {
    pub(super) kind: Kind,
    /// Device, inode, size, change time: whether it was touched since.
    pub(super) stat: (u64, u64, u64, i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    File(u32),
    Link,
}

impl ManagedClone<'_> {
    /// All tracked dirty paths, and the untracked files where HEAD or the remote's commits want to put something.
    pub(super) fn dirty(&self, standing: &Standing) -> Result<Dirty, GitError> {
        let mut dirty = self.tracked_dirty()?;
        let mut wanted = self.added(standing)?;
        wanted.extend(dirty.keys().cloned());
        let out = self.local("ls-files").arg("-z").run(&self.cancel)?;
        let tracked: HashSet<PathBuf> = zero_split(&out.stdout).map(path_of).collect();
        let mut found = Vec::new();
        for path in wanted {
            obstacles(&self.path, &path, &mut found)?;
        }
        for path in found {
            if !tracked.contains(&path) {
                dirty.entry(path).or_insert(false);
            }
        }
        Ok(dirty)
    }

    fn tracked_dirty(&self) -> Result<Dirty, GitError> {
        let status = self.local("status").args(["--porcelain", "-z", "--untracked-files=no", "--no-renames"]);
        let out = status.args(["--ignore-submodules=all"]).deadline(CHILD_MAX).run(&self.cancel)?;
        let mut dirty = Dirty::new();
        let mut unmerged = Vec::new();
        for entry in zero_split(&out.stdout) {
            let [x, y, b' ', path @ ..] = entry else { continue };
            let path = path_of(path);
            if matches!((x, y), (b'U', _) | (_, b'U') | (b'A', b'A') | (b'D', b'D')) {
                unmerged.push(path);
            } else {
                dirty.insert(path, *x != b' ');
            }
        }
        if unmerged.is_empty() { Ok(dirty) } else { Err(GitError::Conflict(unmerged)) }
    }

    /// Paths that the way to the upstream of `standing` adds.
    fn added(&self, standing: &Standing) -> Result<Vec<PathBuf>, GitError> {
        let Some(target) = standing.upstream else { return Ok(Vec::new()) };
        let target = target.to_string();
        let list = match standing.head {
            Some(head) => self
                .local("diff-tree")
                .args(["-r", "-z", "--name-only", "--no-renames", "--diff-filter=A"])
                .args([&head.to_string(), &target]),
            None => self.local("ls-tree").args(["-r", "-z", "--name-only", &target]),
        };
        let out = list.run(&self.cancel)?;
        Ok(zero_split(&out.stdout).map(path_of).collect())
    }

    /// Writes all of `dirty` into a commit, durably, and verifies it, to be put back later. Nothing is changed but refs
    /// and objects.
    pub(super) fn capture(&mut self, dirty: &Dirty, head: Option<Oid>) -> Result<Captured, GitError> {
        self.capture_as(&[RESCUE, PENDING], dirty, head)
    }

    /// As [`ManagedClone::capture`], named below each of the prefixes.
    pub(super) fn capture_as(
        &mut self,
        prefixes: &[&str],
        dirty: &Dirty,
        head: Option<Oid>,
    ) -> Result<Captured, GitError> {
        for _ in 0..CAPTURE_ATTEMPTS {
            let before = self.stat_files(dirty)?;
            let entries = match self.hash(&before) {
                Ok(entries) => entries,
                // A file went away between the look and the hash.
                Err(GitError::Failed { sub: "hash-object", class: Class::Bug, .. }) => continue,
                Err(e) => return Err(e),
            };
            let staged = dirty.values().any(|s| *s);
            let commit = self.write_capture(&entries, staged, head)?;
            verify(self.reader()?.repo(), commit, &entries)?;
            if self.stat_files(dirty)? == before {
                let time = self.name_capture(prefixes, commit)?;
                let paths = dirty.keys().cloned().collect();
                return Ok(Captured { time, commit, paths });
            }
        }
        Err(GitError::Unquiet)
    }

    fn stat_files(&self, dirty: &Dirty) -> Result<BTreeMap<PathBuf, OnDisk>, GitError> {
        dirty.keys().map(|p| Ok((p.clone(), on_disk_in(&self.path, p)?))).collect()
    }

    /// Stores the bytes as they are, without any filter; git reads the files itself, so their size does not matter.
    fn hash(
        &self,
        files: &BTreeMap<PathBuf, OnDisk>,
    ) -> Result<BTreeMap<PathBuf, Option<(u32, Oid)>>, GitError> {
        let mut entries: BTreeMap<PathBuf, Option<(u32, Oid)>> =
            files.keys().map(|p| (p.clone(), None)).collect();
        let plain: Vec<(&PathBuf, u32)> = files
            .iter()
            .filter_map(|(p, d)| match d.kind {
                Kind::File(mode) if !bytes_of(p).contains(&b'\n') => Some((p, mode)),
                _ => None,
            })
            .collect();
        if !plain.is_empty() {
            let list: Vec<u8> = plain.iter().flat_map(|(p, _)| [bytes_of(p), b"\n"].concat()).collect();
            let hash = self.local("hash-object").args(["-w", "--no-filters", "--stdin-paths"]).stdin(list);
            let out = hash.durable(&self.cancel)?.deadline(CHILD_MAX).run(&self.cancel)?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            for ((path, mode), id) in plain.iter().zip(text.lines()) {
                entries.insert((*path).clone(), Some((*mode, parse_oid(id)?)));
            }
        }
        for (path, disk) in files {
            let full = self.path.join(path);
            let entry = match disk.kind {
                Kind::Link => {
                    let target = fs::read_link(&full).map_err(GitError::io("reading", &full))?;
                    let hash =
                        self.local("hash-object").args(["-w", "--stdin"]).stdin(bytes_of(&target).to_vec());
                    (0o120_000, hash)
                }
                Kind::File(mode) if bytes_of(path).contains(&b'\n') => {
                    (mode, self.local("hash-object").args(["-w", "--no-filters", "--"]).arg(path))
                }
                _ => continue,
            };
            let out = entry.1.durable(&self.cancel)?.run(&self.cancel)?;
            let id = parse_oid(String::from_utf8_lossy(&out.stdout).trim())?;
            entries.insert(path.clone(), Some((entry.0, id)));
        }
        Ok(entries)
    }

    pub(super) fn write_capture(
        &self,
        entries: &BTreeMap<PathBuf, Option<(u32, Oid)>>,
        staged: bool,
        head: Option<Oid>,
    ) -> Result<Oid, GitError> {
        let index = self.capture_index(head)?;
        let parent = |i| match head {
            Some(h) => super::command::Invocation::args(i, ["-p", &h.to_string()]),
            None => i,
        };
        let staged = if staged {
            let tree = self.tree_of(&index)?;
            let commit = self.local_as_user("commit-tree")?.args([&tree, "-m", INDEX_MESSAGE]);
            Some(self.one_line(parent(commit).durable(&self.cancel)?)?)
        } else {
            None
        };
        let update = self.local("update-index").args(["--add", "--replace", "-z", "--index-info"]);
        update.env("GIT_INDEX_FILE", &index.0).stdin(index_info(entries)).run(&self.cancel)?;
        let tree = self.tree_of(&index)?;
        let mut commit =
            parent(self.local_as_user("commit-tree")?.args([&tree, "-m", "dirty files put aside"]));
        if let Some(staged) = staged {
            commit = commit.args(["-p", &staged]);
        }
        parse_oid(&self.one_line(commit.durable(&self.cancel)?)?)
    }

    /// The index that a capture is written on. One with open conflicts makes no tree, so in a rebase it is HEAD's.
    fn capture_index(&self, head: Option<Oid>) -> Result<TempIndex, GitError> {
        match head.filter(|_| self.rebase_under_way()) {
            Some(head) => {
                let index = TempIndex::empty(&self.git_dir())?;
                let read = self.local("read-tree").arg(head.to_string()).env("GIT_INDEX_FILE", &index.0);
                read.run(&self.cancel)?;
                Ok(index)
            }
            None => TempIndex::copy_of(&self.git_dir()),
        }
    }

    /// `write-tree`, which may refer to contents that were left at the remote.
    pub(super) fn write_tree(&self) -> Result<super::command::Invocation<'_>, GitError> {
        let write = self.local("write-tree");
        Ok(if self.is_partial()? { write.arg("--missing-ok") } else { write })
    }

    /// Brings here what putting dirty paths aside and back needs: their versions in HEAD and in the remote's branch.
    pub(super) fn ensure_versions(&self, dirty: &Dirty, standing: &Standing) -> Result<(), GitError> {
        let reader = self.reader()?;
        let (head, remote) =
            (tree_at(reader.repo(), standing.head)?, tree_at(reader.repo(), standing.upstream)?);
        let versions = dirty.keys().flat_map(|p| [entry(head.as_ref(), p), entry(remote.as_ref(), p)]);
        self.ensure_objects(&blobs(versions)).map(drop)
    }

    fn tree_of(&self, index: &TempIndex) -> Result<String, GitError> {
        let write = self.write_tree()?.env("GIT_INDEX_FILE", &index.0);
        self.one_line(write.durable(&self.cancel)?)
    }

    pub(super) fn one_line(&self, i: super::command::Invocation<'_>) -> Result<String, GitError> {
        let out = i.run(&self.cancel)?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// Gives the capture its refs: first the one that keeps it, then the one that says it has to be put back.
    pub(super) fn name_capture(&self, prefixes: &[&str], commit: Oid) -> Result<i64, GitError> {
        let reader = self.reader()?;
        let mut time = self.git.now().wall.as_second();
        while reader.target(&format!("{RESCUE}{time}"))?.is_some() {
            time += 1;
        }
        let none = "0".repeat(40);
        for prefix in prefixes {
            let update =
                self.local("update-ref").args([&format!("{prefix}{time}"), &commit.to_string(), &none]);
            update.durable(&self.cancel)?.run(&self.cancel)?;
        }
        Ok(time)
    }

    /// Moves files into the hold, as far as they are there.
    pub(super) fn move_to_hold(&self, paths: &[PathBuf], hold: &Path) -> Result<(), GitError> {
        for path in paths {
            let (from, to) = (self.path.join(path), hold.join(path));
            if matches!(on_disk_in(&self.path, path)?.kind, Kind::Absent) {
                continue;
            }
            if let Some(dir) = to.parent() {
                fs::create_dir_all(dir).map_err(GitError::io("making", dir))?;
            }
            fs::rename(&from, &to).map_err(GitError::io("moving", &from))?;
        }
        Ok(())
    }

    /// Moves the captured files into the hold and puts HEAD's versions in their place, in the index too.
    pub(super) fn clear_away(&mut self, captured: &Captured, head: Option<Oid>) -> Result<(), GitError> {
        self.move_to_hold(&captured.paths, &self.hold(captured.time))?;
        let entries = {
            let reader = self.reader()?;
            let tree = tree_at(reader.repo(), head)?;
            captured.paths.iter().map(|p| (p.clone(), entry(tree.as_ref(), p))).collect()
        };
        let present = self.restore_index(&entries)?;
        self.check_out_absent(&present)
    }

    /// Makes index and files of exactly these paths what `entries` say; a directory that stands in the way is empty.
    pub(super) fn restore(&self, entries: &BTreeMap<PathBuf, Option<(u32, Oid)>>) -> Result<(), GitError> {
        let present = self.restore_index(entries)?;
        if present.is_empty() {
            return Ok(());
        }
        let checkout = self.local("checkout-index").args(["-f", "-u", "-z", "--stdin"]);
        checkout.stdin(zero_ended(&present)).deadline(CHILD_MAX).run(&self.cancel).map(drop)
    }

    /// Makes the index of exactly these paths what `entries` say; answers those that are to have a file.
    fn restore_index(
        &self,
        entries: &BTreeMap<PathBuf, Option<(u32, Oid)>>,
    ) -> Result<Vec<PathBuf>, GitError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.ensure_objects(&blobs(entries.values().copied()))?;
        let update = self.local("update-index").args(["--add", "--replace", "-z", "--index-info"]);
        update.stdin(index_info(entries)).run(&self.cancel)?;
        Ok(entries.iter().filter(|(_, e)| e.is_some()).map(|(p, _)| p.clone()).collect())
    }

    /// Writes the index' versions of these paths where nothing is. What somebody has put there meanwhile stays.
    pub(super) fn check_out_absent(&self, paths: &[PathBuf]) -> Result<(), GitError> {
        if paths.is_empty() {
            return Ok(());
        }
        for dir in paths.iter().map(|p| self.path.join(p)).filter(|p| p.is_dir()) {
            remove_empty(&dir);
        }
        let checkout = self.local("checkout-index").args(["-u", "-q", "-z", "--stdin"]);
        let out = checkout.stdin(zero_ended(paths)).deadline(CHILD_MAX).run_any(&self.cancel)?;
        let lacks_any = || paths.iter().any(|p| fs::symlink_metadata(self.path.join(p)).is_err());
        if !out.status.success() && lacks_any() {
            return Err(GitError::of_output("checkout-index", &out));
        }
        Ok(())
    }

    pub(super) fn hold(&self, time: i64) -> PathBuf {
        self.git_dir().join("ox/hold").join(time.to_string())
    }

    /// The rescue refs with their times, oldest first.
    ///
    /// # Errors
    /// Refs that cannot be read.
    pub fn rescues(&self) -> Result<Vec<(String, Timestamp)>, GitError> {
        in_time(&*self.reader()?)
    }

    /// Deletes rescue refs older than 30 days; answers how many.
    ///
    /// # Errors
    /// Refs that cannot be read or deleted.
    pub fn prune_rescues(&mut self) -> Result<usize, GitError> {
        let now = self.git.now().wall;
        let old = |t: &Timestamp| now.duration_since(*t).as_secs() > RESCUE_KEPT.as_secs().cast_signed();
        let old: Vec<String> =
            self.rescues()?.into_iter().filter(|(_, t)| old(t)).map(|(name, _)| name).collect();
        for name in &old {
            self.within_refs(|c| c.local("update-ref").args(["-d", name]).run(&c.cancel).map(drop))?;
        }
        Ok(old.len())
    }
}

/// The rescue refs of the clone at `path` with their times, oldest first.
///
/// # Errors
/// Refs that cannot be read.
pub fn rescue_refs(path: &Path) -> Result<Vec<(String, Timestamp)>, GitError> {
    in_time(&Reader::open(path)?)
}

fn in_time(reader: &Reader) -> Result<Vec<(String, Timestamp)>, GitError> {
    let time = |name: &str| Timestamp::from_second(name.strip_prefix(RESCUE)?.parse().ok()?).ok();
    let refs = reader.refs(RESCUE)?;
    let mut found: Vec<_> =
        refs.into_iter().filter_map(|(name, _)| Some((name.clone(), time(&name)?))).collect();
    found.sort_by_key(|(_, t)| *t);
    Ok(found)
}

/// A copy of the index that commands work on instead of the real one; gone when dropped.
pub(super) struct TempIndex(pub(super) PathBuf);

impl TempIndex {
    pub(super) fn copy_of(git_dir: &Path) -> Result<TempIndex, GitError> {
        let index = TempIndex::empty(git_dir)?;
        let original = git_dir.join("index");
        // Git looks into a file that was changed in the second its index was written. A copy that seems younger than the
        // index would hide such a change of equal length.
        let copied = fs::copy(&original, &index.0).and_then(|_| {
            let written = fs::metadata(&original)?.modified()?;
            fs::File::options().write(true).open(&index.0)?.set_modified(written)
        });
        match copied {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io("copying", &original)(e)),
            _ => Ok(index),
        }
    }

    pub(super) fn empty(git_dir: &Path) -> Result<TempIndex, GitError> {
        let dir = git_dir.join("ox");
        fs::create_dir_all(&dir).map_err(GitError::io("making", &dir))?;
        // The clone's lock is held, so there is one at a time; a dead holder's is of no use.
        let path = dir.join("index");
        for leftover in [path.clone(), dir.join("index.lock")] {
            match fs::remove_file(&leftover) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(GitError::io("removing", &leftover)(e));
                }
                _ => {}
            }
        }
        Ok(TempIndex(path))
    }
}

impl Drop for TempIndex {
    fn drop(&mut self) {
        // Only untidy if it stays.
        let _ = fs::remove_file(&self.0);
    }
}

/// Input of `update-index -z --index-info`: removals first, so that a file may become a directory.
pub(super) fn index_info(entries: &BTreeMap<PathBuf, Option<(u32, Oid)>>) -> Vec<u8> {
    let mut text = Vec::new();
    let mut line = |start: String, path: &Path| {
        text.extend_from_slice(start.as_bytes());
        text.extend_from_slice(bytes_of(path));
        text.push(0);
    };
    for (path, _) in entries.iter().filter(|(_, e)| e.is_none()) {
        line(format!("0 {}\t", "0".repeat(40)), path);
    }
    for (path, e) in entries {
        if let Some((mode, id)) = e {
            line(format!("{mode:o} {id}\t"), path);
        }
    }
    text
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
pub(super) fn entry(tree: Option<&Tree<'_>>, path: &Path) -> Option<(u32, Oid)> {
    let e = tree?.get_path(path).ok()?;
    let mode = u32::try_from(e.filemode()).ok()?;
    (mode != 0o040_000).then(|| (mode, e.id()))
}

/// The objects of entries that are files or links.
pub(super) fn blobs(entries: impl IntoIterator<Item = Option<(u32, Oid)>>) -> Vec<Oid> {
    let is_blob = |(mode, _): &(u32, Oid)| *mode != 0o160_000;
    entries.into_iter().flatten().filter(is_blob).map(|(_, id)| id).collect()
}

/// What is on disk under a path of the work tree `root`; nothing behind a link.
///
/// # Errors
/// As [`on_disk`].
pub(super) fn on_disk_in(root: &Path, path: &Path) -> Result<OnDisk, GitError> {
    match leads_through_link(root, path) {
        true => Ok(OnDisk { kind: Kind::Absent, stat: (0, 0, 0, 0, 0) }),
        false => on_disk(&root.join(path)),
    }
}

/// What is on disk under a path.
///
/// # Errors
/// It cannot be looked at, or is neither file nor link nor directory.
pub(super) fn on_disk(path: &Path) -> Result<OnDisk, GitError> {
    let absent = OnDisk { kind: Kind::Absent, stat: (0, 0, 0, 0, 0) };
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(absent);
        }
        Err(e) => return Err(GitError::io("looking at", path)(e)),
    };
    let stat = (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
    let kind = match meta.file_type() {
        t if t.is_file() => Kind::File(if meta.mode() & 0o100 == 0 { 0o100_644 } else { 0o100_755 }),
        t if t.is_symlink() => Kind::Link,
        // The files in a directory are dirty paths of their own.
        t if t.is_dir() => return Ok(absent),
        _ => {
            return Err(GitError::BadPath {
                path: path.to_owned(),
                why: "neither file nor link nor directory",
            });
        }
    };
    Ok(OnDisk { kind, stat })
}

/// Everything on disk that keeps a file from being put at `path`: the file itself, a file among its parents, or all files
/// below if it is a directory.
pub(super) fn obstacles(root: &Path, path: &Path, found: &mut Vec<PathBuf>) -> Result<(), GitError> {
    let mut at = PathBuf::new();
    let parts: Vec<_> = path.components().collect();
    for (i, part) in parts.iter().enumerate() {
        at.push(part);
        let full = root.join(&at);
        let meta = match fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(e) => return Err(GitError::io("looking at", &full)(e)),
        };
        if !meta.is_dir() {
            found.push(at);
            return Ok(());
        }
        if i + 1 == parts.len() {
            return below(root, &at, found);
        }
    }
    Ok(())
}

fn below(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), GitError> {
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        let full = root.join(&dir);
        for e in fs::read_dir(&full).map_err(GitError::io("listing", &full))? {
            let e = e.map_err(GitError::io("listing", &full))?;
            let path = dir.join(e.file_name());
            if e.file_name() == ".git" || found.len() > IN_THE_WAY_CAP {
                return Err(GitError::BadPath { path, why: "too much, or a repository, stands in the way" });
            }
            let kind = e.file_type().map_err(GitError::io("looking at", &full))?;
            if kind.is_dir() { todo.push(path) } else { found.push(path) }
        }
    }
    Ok(())
}

/// Every captured file is in the commit with its object.
fn verify(
    repo: &Repository,
    commit: Oid,
    entries: &BTreeMap<PathBuf, Option<(u32, Oid)>>,
) -> Result<(), GitError> {
    let tree = tree_at(repo, Some(commit))?;
    let odb = repo.odb().map_err(GitError::git2("opening the objects"))?;
    for (path, expected) in entries {
        let there = entry(tree.as_ref(), path);
        if there != *expected || there.is_some_and(|(_, id)| !odb.exists(id)) {
            let proof = format!("{} is not in it as it is on disk", path.display());
            return Err(GitError::Damaged { what: "the rescue commit", proof });
        }
    }
    Ok(())
}

/// Deletes a ref that says a capture has to be put back.
pub(super) fn settle(clone: &ManagedClone<'_>, time: i64, cancel: &Cancel) -> Result<(), GitError> {
    let name = format!("{PENDING}{time}");
    clone.local("update-ref").args(["-d", &name]).durable(cancel)?.run(cancel).map(drop)
}
