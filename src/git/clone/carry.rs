//! Carrying a clone's local work into a new clone of the same remote: refs by git itself, files byte for byte. The old clone
//! is only read, but for a rescue ref that keeps the work a second time.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use git2::Oid;

use super::partial::unshallow;
use crate::git::change::reapply::safe_parent;
use crate::git::entry::{Entries, LINK, OnDisk, hash_of, lies_in_directories, mode_of, update_index};
use crate::git::error::GitError;
use crate::git::limits::CHILD_MAX;
use crate::git::managed::ManagedClone;
use crate::git::read::local_work::{LocalWork, Piece, index_of};
use crate::git::read::{Reader, Verdict, verify};
use crate::git::rescue::{Dirty, RESCUE};

impl ManagedClone<'_> {
    /// Looks at what this clone has that a new one would not have.
    ///
    /// # Errors
    /// Those of [`LocalWork::of`].
    pub fn local_work(&self) -> Result<LocalWork, GitError> {
        LocalWork::of(self.git, &self.path, &self.cancel)
    }

    /// Writes the dirty and untracked files of `work` into a rescue ref and answers its name; `None` if there are none. The
    /// files stay as they are.
    ///
    /// # Errors
    /// [`GitError::Unquiet`] if they keep changing; else why git failed.
    pub fn keep_copy(&mut self, work: &LocalWork) -> Result<Option<String>, GitError> {
        if work.is_clean() {
            return Ok(None);
        }
        let dirty: Dirty = work.pieces.iter().map(|(p, piece)| (p.clone(), piece.staged)).collect();
        let kept = self.within_refs(|c| c.capture_as(&[RESCUE], &dirty, work.head.commit))?;
        Ok(Some(format!("{RESCUE}{}", kept.time)))
    }

    /// Makes the new clone at `new`, of the same remote and on `branch`, hold all of `work` beside what the remote has.
    /// Nobody else may know of `new` yet.
    ///
    /// # Errors
    /// `new` is then half done and to be thrown away; this clone is as it was.
    pub fn carry_into(&self, new: &Path, branch: &str, work: &LocalWork) -> Result<(), GitError> {
        if self.needs_history(new, work)? {
            unshallow(self.git, new, branch, &self.cancel)?;
        }
        self.carry_refs(new, branch, work)?;
        self.align(new, branch, work)?;
        for path in work.pieces.keys() {
            make_room(new, path)?;
        }
        let entry = |piece: &Piece| piece.index.filter(|_| !piece.announced);
        let entries: Entries = work.pieces.iter().map(|(p, piece)| (p.clone(), entry(piece))).collect();
        if !entries.is_empty() {
            update_index(self.git, new, &entries).run(&self.cancel)?;
        }
        let pieces = work.pieces.iter().map(|(p, piece)| (p, &piece.disk));
        for (path, disk) in pieces.chain(&work.plain) {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled("carry"));
            }
            copy(&self.path, new, path, disk)?;
        }
        let announced: Vec<&PathBuf> =
            work.pieces.iter().filter(|(_, piece)| piece.announced).map(|(p, _)| p).collect();
        if !announced.is_empty() {
            let add = self.git.local("add", new).args(["--intent-to-add", "--force", "--"]);
            add.args(announced).run(&self.cancel)?;
        }
        for (name, value) in &work.settings {
            self.git.local("config", new).args(["--local", name, value]).run(&self.cancel)?;
        }
        // Its exit code tells only whether something is dirty.
        let refresh = self.git.local("update-index", new).args(["-q", "--refresh"]);
        refresh.deadline(CHILD_MAX).run_any(&self.cancel).map(drop)
    }

    /// Whether the new clone has only the last commit and a ref is made on another one: git would bring all that leads there out
    /// of this clone, contents too, where the remote can leave those out.
    fn needs_history(&self, new: &Path, work: &LocalWork) -> Result<bool, GitError> {
        let reader = self.reader()?;
        let near = |id: Oid| {
            let Ok(commit) = reader.repo().find_object(id, None).and_then(|o| o.peel_to_commit()) else {
                return false;
            };
            Some(commit.id()) == work.head.commit || commit.parent_id(0).ok() == work.head.commit
        };
        Ok(Reader::open(new)?.repo().is_shallow() && !work.refs.values().all(|id| near(*id)))
    }

    /// Brings all refs of ours over, with what they reach. What both clones have is not sent again.
    fn carry_refs(&self, new: &Path, branch: &str, work: &LocalWork) -> Result<(), GitError> {
        let (own, mirror) = (format!("refs/heads/{branch}"), format!("refs/remotes/origin/{branch}"));
        let carried = work.refs.keys().filter(|name| **name != own).chain([&mirror]);
        let list: String = carried.map(|name| format!("+{name}:{name}\n")).collect();
        let fetch = self.git.local("fetch", new).config("protocol.file.allow=always");
        fetch
            .config("fetch.prune=false")
            .config("fetch.writeCommitGraph=false")
            .args(["--quiet", "--no-write-fetch-head", "--no-tags", "--no-auto-maintenance"])
            .args(["--no-recurse-submodules", "--update-shallow", "--refmap=", "--stdin", "--"])
            .arg(&self.path)
            .stdin(list.into_bytes())
            .durable(&self.cancel)?
            .deadline(CHILD_MAX)
            .run(&self.cancel)
            .map(drop)
    }

    /// Both must be at the same commit, so that nothing has to be merged; the new one may have been cloned a moment too early.
    fn align(&self, new: &Path, branch: &str, work: &LocalWork) -> Result<(), GitError> {
        let mirror = format!("refs/remotes/origin/{branch}");
        if Reader::open(new)?.head()? != work.head {
            let merge = self.git.local("merge", new).args(["--ff-only", "--no-autostash", "--quiet"]);
            merge.arg(&mirror).deadline(CHILD_MAX).run(&self.cancel)?;
        }
        if Reader::open(new)?.head()? == work.head { Ok(()) } else { Err(GitError::Unquiet) }
    }

    /// Proves that the clone at `new` has all of `work`: refs, index entries, the bytes and modes of every file, and nothing
    /// dirty besides.
    ///
    /// # Errors
    /// [`GitError::Damaged`] names what is missing.
    pub fn verify_carried(&self, new: &Path, work: &LocalWork) -> Result<(), GitError> {
        let lacks = |proof: String| Err(GitError::Damaged { what: "the new clone", proof });
        match verify(new) {
            Verdict::Sound(_) => {}
            Verdict::Damaged(proof) => return lacks(proof),
            Verdict::Unknown(e) => return Err(e),
        }
        let there = LocalWork::of(self.git, new, &self.cancel)?;
        if there.head != work.head {
            return lacks("HEAD is elsewhere".to_owned());
        }
        if let Some((name, _)) = work.refs.iter().find(|(name, id)| there.refs.get(*name) != Some(*id)) {
            return lacks(format!("{name} is missing"));
        }
        if let Some(path) = there.pieces.keys().find(|p| !work.pieces.contains_key(*p)) {
            return lacks(format!("{} is dirty only there", path.display()));
        }
        let index = index_of(self.git, new, &self.cancel)?;
        if let Some((path, _)) = work.pieces.iter().find(|(p, piece)| index.get(*p).copied() != piece.index) {
            return lacks(format!("{} is staged differently", path.display()));
        }
        let pieces = work.pieces.iter().map(|(p, piece)| (p, &piece.disk));
        for (path, disk) in pieces.chain(&work.plain) {
            if !same(&self.path.join(path), &new.join(path), disk)? {
                return lacks(format!("{} is not as it was", path.display()));
            }
        }
        Ok(())
    }
}

/// Takes away what the new clone has at a path that is dirty in the old one. A path through a link is none of its files.
fn make_room(new: &Path, path: &Path) -> Result<(), GitError> {
    let place = new.join(path);
    if lies_in_directories(new, path)? && mode_of(&place)?.is_some() {
        fs::remove_file(&place).map_err(GitError::io("removing", &place))?;
    }
    Ok(())
}

fn copy(old: &Path, new: &Path, path: &Path, disk: &OnDisk) -> Result<(), GitError> {
    let Some(mode) = disk.mode else { return Ok(()) };
    let (from, to) = (old.join(path), new.join(path));
    make_room(new, path)?;
    // Where a file takes the place of a directory, that has been emptied before.
    while let Some(empty) = deepest_empty(&to) {
        fs::remove_dir(&empty).map_err(GitError::io("removing", &empty))?;
    }
    if !safe_parent(new, path)? {
        return Err(GitError::BadPath { path: path.to_owned(), why: "something stands in its way" });
    }
    if mode != LINK {
        return copy_file(&from, &to).map_err(GitError::io("copying", &from));
    }
    let target = fs::read_link(&from).map_err(GitError::io("reading", &from))?;
    std::os::unix::fs::symlink(target, &to).map_err(GitError::io("making", &to))
}

/// A directory without entries at or below `dir`; `None` if there is no directory, or one with a file in it.
fn deepest_empty(dir: &Path) -> Option<PathBuf> {
    if !fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir()) {
        return None;
    }
    match fs::read_dir(dir).ok()?.flatten().next() {
        None => Some(dir.to_path_buf()),
        Some(entry) => deepest_empty(&entry.path()),
    }
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut source = OpenOptions::new().read(true).custom_flags(flags).open(from)?;
    let meta = source.metadata()?;
    let mut target = File::create_new(to)?;
    io::copy(&mut source, &mut target)?;
    target.set_permissions(meta.permissions())?;
    target.set_times(FileTimes::new().set_modified(meta.modified()?))
}

/// Whether both hold the same bytes with the same mode.
fn same(one: &Path, other: &Path, disk: &OnDisk) -> Result<bool, GitError> {
    let (a, b) = (mode_of(one)?, mode_of(other)?);
    match (disk.mode, a) {
        _ if a != b => Ok(false),
        (None, _) => Ok(a.is_none()),
        (Some(_), Some(mode)) => Ok(hash_of(one, mode)? == hash_of(other, mode)?),
        (Some(_), None) => Ok(false),
    }
}
