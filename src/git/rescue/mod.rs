//! Putting dirty files aside without a stash: captured as a commit under `refs/ox/rescue/`, then moved (not deleted) into
//! `.git/ox/hold/<time>/`, until `reapply` puts them back.
//!
//! Order, so that a kill between any two steps loses nothing: commit written and verified, `refs/ox/rescue/<time>`,
//! `refs/ox/pending/<time>`, files moved to the hold, HEAD's versions put in their place, (the remote comes in,) files put back
//! one by one, pending ref deleted. Whoever finds a pending ref goes on from there.

pub(super) mod rescued;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};
use jiff::Timestamp;

use super::change::reapply::remove_empty;
use super::entry::{
    Entries, LINK, OnDisk, blobs, bytes_of, entry, look, on_disk_in, parse_oid, path_of, tree_at,
    update_index, zero_ended, zero_split,
};
use super::error::GitError;
use super::limits::{CAPTURE_ATTEMPTS, CHILD_MAX, IN_THE_WAY_CAP, RESCUE_KEPT};
use super::managed::{ManagedClone, Standing};
use super::read::Reader;
use super::read::status::{settled, status};
use crate::kit::Class;
use crate::kit::file::found;

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

impl ManagedClone<'_> {
    /// All tracked dirty paths, and the untracked files where HEAD or the remote's commits want to put something.
    pub(super) fn dirty(&self, standing: &Standing) -> Result<Dirty, GitError> {
        let tracked = settled(status(self.git, &self.path, false, &self.cancel)?)?;
        let mut dirty: Dirty = tracked.into_iter().map(|([x, _], path)| (path, x != b' ')).collect();
        // Paths that the way to the upstream adds.
        let mut wanted = match standing.upstream {
            Some(target) => self.changed_paths(standing.head, target, &["--diff-filter=A"])?,
            None => Vec::new(),
        };
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
    fn hash(&self, files: &BTreeMap<PathBuf, OnDisk>) -> Result<Entries, GitError> {
        let mut entries: Entries = files.keys().map(|path| (path.clone(), None)).collect();
        let there = || files.iter().filter_map(|(path, disk)| disk.mode.map(|mode| (path, mode)));
        let is_listed = |(path, mode): &(&PathBuf, u32)| *mode != LINK && !bytes_of(path).contains(&b'\n');
        let listed: Vec<(&PathBuf, u32)> = there().filter(is_listed).collect();
        if !listed.is_empty() {
            let list: Vec<u8> = listed.iter().flat_map(|(p, _)| [bytes_of(p), b"\n"].concat()).collect();
            let hash = self.local("hash-object").args(["-w", "--no-filters", "--stdin-paths"]).stdin(list);
            let ids = self.one_line(hash.durable(&self.cancel)?.deadline(CHILD_MAX))?;
            for ((path, mode), id) in listed.into_iter().zip(ids.lines()) {
                entries.insert(path.clone(), Some((mode, parse_oid(id)?)));
            }
        }
        for (path, mode) in there().filter(|one| !is_listed(one)) {
            let hash = self.local("hash-object").arg("-w");
            let hash = if mode == LINK {
                let full = self.path.join(path);
                let target = fs::read_link(&full).map_err(GitError::io("reading", &full))?;
                hash.arg("--stdin").stdin(bytes_of(&target).to_vec())
            } else {
                hash.args(["--no-filters", "--"]).arg(path)
            };
            let id = self.one_line(hash.durable(&self.cancel)?)?;
            entries.insert(path.clone(), Some((mode, parse_oid(&id)?)));
        }
        Ok(entries)
    }

    pub(super) fn write_capture(
        &self,
        entries: &Entries,
        staged: bool,
        head: Option<Oid>,
    ) -> Result<Oid, GitError> {
        let index = self.capture_index(head)?;
        let parent = |of: Option<&String>| of.map(|id| ["-p".to_owned(), id.clone()]);
        let head = head.map(|head| head.to_string());
        let commit = |message: &str, staged: Option<&String>| {
            let commit = self.commit_tree()?.args([&self.tree_of(&index)?, "-m", message]);
            let parents = parent(head.as_ref()).into_iter().chain(parent(staged)).flatten();
            self.one_line(commit.args(parents).durable(&self.cancel)?)
        };
        let staged = if staged { Some(commit(INDEX_MESSAGE, None)?) } else { None };
        update_index(self.git, &self.path, entries).env("GIT_INDEX_FILE", &index.0).run(&self.cancel)?;
        parse_oid(&commit("dirty files put aside", staged.as_ref())?)
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
        Ok(if self.reader()?.is_partial() { write.arg("--missing-ok") } else { write })
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
        for prefix in prefixes {
            let (name, none) = (format!("{prefix}{time}"), Oid::ZERO_SHA1.to_string());
            let update = self.local("update-ref").args([name, commit.to_string(), none]);
            update.durable(&self.cancel)?.run(&self.cancel)?;
        }
        Ok(time)
    }

    /// Moves files into the hold, as far as they are there.
    pub(super) fn move_to_hold(&self, paths: &[PathBuf], hold: &Path) -> Result<(), GitError> {
        for path in paths {
            let (from, to) = (self.path.join(path), hold.join(path));
            if on_disk_in(&self.path, path)?.mode.is_none() {
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
    pub(super) fn restore(&self, entries: &Entries) -> Result<(), GitError> {
        let present = self.restore_index(entries)?;
        if present.is_empty() {
            return Ok(());
        }
        let checkout = self.local("checkout-index").args(["-f", "-u", "-z", "--stdin"]);
        checkout.stdin(zero_ended(&present)).deadline(CHILD_MAX).run(&self.cancel).map(drop)
    }

    /// Makes the index of exactly these paths what `entries` say; answers those that are to have a file.
    fn restore_index(&self, entries: &Entries) -> Result<Vec<PathBuf>, GitError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.ensure_objects(&blobs(entries.values().copied()))?;
        update_index(self.git, &self.path, entries).run(&self.cancel)?;
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

    /// Deletes rescue refs older than 30 days; answers how many.
    ///
    /// # Errors
    /// Refs that cannot be read or deleted.
    pub fn prune_rescues(&mut self) -> Result<usize, GitError> {
        let now = self.git.now().wall;
        let old = in_time(&*self.reader()?)?.into_iter().filter(|(_, at)| is_old(*at, now));
        let old: Vec<String> = old.map(|(name, _)| name).collect();
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
    let named = reader.refs(RESCUE)?.into_iter();
    let mut found: Vec<_> = named.filter_map(|(name, _)| time_of(&name).map(|at| (name, at))).collect();
    found.sort_by_key(|(_, at)| *at);
    Ok(found)
}

/// When the rescue ref of this name was made.
pub(super) fn time_of(name: &str) -> Option<Timestamp> {
    Timestamp::from_second(name.strip_prefix(RESCUE)?.parse().ok()?).ok()
}

/// Whether what was rescued then is kept no longer.
pub(super) fn is_old(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).as_secs() > RESCUE_KEPT.as_secs().cast_signed()
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
        found(copied).map(|_| index).map_err(GitError::io("copying", &original))
    }

    pub(super) fn empty(git_dir: &Path) -> Result<TempIndex, GitError> {
        let dir = git_dir.join("ox");
        fs::create_dir_all(&dir).map_err(GitError::io("making", &dir))?;
        // The clone's lock is held, so there is one at a time; a dead holder's is of no use.
        let path = dir.join("index");
        for leftover in [path.clone(), dir.join("index.lock")] {
            found(fs::remove_file(&leftover)).map_err(GitError::io("removing", &leftover))?;
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

/// Everything on disk that keeps a file from being put at `path`: the file itself, a file among its parents, or all files
/// below if it is a directory.
pub(super) fn obstacles(root: &Path, path: &Path, found: &mut Vec<PathBuf>) -> Result<(), GitError> {
    let mut at = PathBuf::new();
    let parts: Vec<_> = path.components().collect();
    for (i, part) in parts.iter().enumerate() {
        at.push(part);
        match look(&root.join(&at))? {
            None => return Ok(()),
            Some(meta) if !meta.is_dir() => {
                found.push(at);
                return Ok(());
            }
            Some(_) if i + 1 == parts.len() => return below(root, &at, found),
            Some(_) => {}
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
fn verify(repo: &Repository, commit: Oid, entries: &Entries) -> Result<(), GitError> {
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
