//! Taking back what an operation of ours left half done: our own failed one, or that of a holder of the lock who was
//! killed. Only what its record tells of is touched; a rebase or a lock file of somebody else stays as it is.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Oid;
use jiff::Timestamp;

use super::reapply::is_part_of;
use crate::git::entry::{
    Entries, bytes_of, entry, hash_of, leads_through_link, mode_of, parse_staged, path_of, tree_at,
    zero_split,
};
use crate::git::error::GitError;
use crate::git::limits::ORPHANS_END;
use crate::git::lock::{Op, OpKind};
use crate::git::managed::ManagedClone;
use crate::git::read::lock_files;
use crate::git::rescue::PENDING;
use crate::kit::clock::wait_until;
use crate::kit::file::found;

/// File times come from a coarser clock than records do.
const FILE_TIME_SLACK: Duration = Duration::from_secs(1);

impl ManagedClone<'_> {
    /// Called when the lock was just taken: finishes or takes back what a dead holder left.
    pub(in crate::git) fn recover(&mut self) -> Result<(), GitError> {
        let left_behind = match self.lock.op() {
            Some(op) => {
                log::warn!("taking back a {:?} begun at {} that did not end", op.kind, op.started);
                true
            }
            None => !self.reader()?.refs(PENDING)?.is_empty(),
        };
        if !left_behind {
            return Ok(());
        }
        // The children of a killed holder's children outlive it by a moment.
        let mut users = Vec::new();
        wait_until(ORPHANS_END, || {
            users = git_processes_in(&self.path);
            users.is_empty() || self.cancel.is_cancelled()
        });
        if !users.is_empty() {
            return Err(GitError::LockFiles(users));
        }
        self.take_back(true, true)
    }

    /// Takes back the recorded operation, puts back what was put aside, clears the record. Only a git child that was cut
    /// short leaves lock files: after an orderly failure those that are there are somebody else's. Files are rolled back only
    /// if they may be `half_done`.
    pub(in crate::git) fn take_back(&mut self, cut_short: bool, half_done: bool) -> Result<(), GitError> {
        if let Some(op) = self.lock.op().cloned() {
            if cut_short && git_processes_in(&self.path).is_empty() {
                self.remove_own_locks(&op)?;
                self.remove_own_packs(&op)?;
                if op.kind == OpKind::Maintain {
                    self.remove_own_gc_mark()?;
                }
            }
            if op.kind == OpKind::Rebase {
                self.abort_left_rebase(&op)?;
            }
            if half_done && matches!(op.kind, OpKind::FastForward | OpKind::Rebase | OpKind::Seed) {
                self.roll_back_checkout(&op)?;
            }
            if op.kind == OpKind::FastForward
                && let Err(e) = self.finish_move(&op)
            {
                // All files and commits are there; the branch only stays at a commit of its own.
                log::warn!("the end of a replay: {e}");
            }
            if op.kind == OpKind::Sparse {
                self.roll_back_sparse()?;
            }
        }
        self.put_back_pending()?;
        self.lock.end()
    }

    /// Lock files that appeared after our operation began are its own: whoever holds the clone's lock is alone with it.
    fn remove_own_locks(&self, op: &Op) -> Result<(), GitError> {
        let now = self.git.now().wall;
        let running = Duration::try_from(now.duration_since(op.started)).unwrap_or_default();
        for lock in lock_files(&self.path, now)? {
            let owner_lives = lock.owner.is_some_and(|(_, alive)| alive);
            if !owner_lives && lock.age <= running + FILE_TIME_SLACK {
                fs::remove_file(&lock.path).map_err(GitError::io("removing", &lock.path))?;
                log::info!("removed our own {}", lock.path.display());
            }
        }
        Ok(())
    }

    /// What came of a pack before a fetch was cut short. Git leaves it lying for two weeks, and a remote that fails each time would fill
    /// the disk with them.
    fn remove_own_packs(&self, op: &Op) -> Result<(), GitError> {
        let dir = self.git_dir().join("objects/pack");
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b"tmp_") && younger(&path, op.started) {
                fs::remove_file(&path).map_err(GitError::io("removing", &path))?;
            }
        }
        Ok(())
    }

    /// An upkeep that was killed leaves its mark, which keeps the next one away for half a day if its process id looks alive.
    fn remove_own_gc_mark(&self) -> Result<(), GitError> {
        let mark = self.git_dir().join("gc.pid");
        found(fs::remove_file(&mark)).map(drop).map_err(GitError::io("removing", &mark))
    }

    /// Where HEAD has come to the recorded commit, the branch goes on to the one that has the same files. Where somebody has committed on
    /// top, the next replay does that.
    fn finish_move(&self, op: &Op) -> Result<(), GitError> {
        let (Ok(from), Ok(to)) = (Oid::from_str(&op.target), Oid::from_str(&op.then)) else { return Ok(()) };
        let head = self.reader()?.head()?;
        let is_there = head.commit == Some(from) && head.branch == Some(format!("refs/heads/{}", op.branch));
        if op.then.is_empty() || !is_there || self.refuse_foreign().is_err() {
            return Ok(());
        }
        match self.move_branch(&op.branch, from, to) {
            Err(GitError::Unquiet) => Ok(()),
            moved => moved,
        }
    }

    /// A checkout towards `op.target` that was killed leaves some files, and perhaps the index, on the way to it. Every path
    /// that is at the target, or is the beginning of it, goes back to HEAD; what somebody else wrote stays.
    fn roll_back_checkout(&self, op: &Op) -> Result<(), GitError> {
        let Ok(target) = Oid::from_str(&op.target) else { return Ok(()) };
        let head = self.reader()?.head()?.commit;
        if op.target.is_empty() || head.map(|h| h.to_string()).unwrap_or_default() != op.head {
            return Ok(());
        }
        let (entries, skipped) = self.half_done(head, target)?;
        self.restore_skipped(&skipped)?;
        for (path, _) in entries.iter().filter(|(_, e)| e.is_none()) {
            let full = self.path.join(path);
            if mode_of(&full)?.is_some() {
                fs::remove_file(&full).map_err(GitError::io("removing", &full))?;
            }
        }
        self.restore(&entries)
    }

    /// Which paths go back to what: those whose file (and index) does, and those that are not checked out, whose index does.
    fn half_done(&self, head: Option<Oid>, target: Oid) -> Result<(Entries, Entries), GitError> {
        let changed = self.changed_paths(head, target, &[])?;
        let index = self.index_entries(&changed)?;
        let sparse = self.sparse()?;
        let skipped = self.skipped()?;
        let mut unseen = Entries::new();
        let reader = self.reader()?;
        let repo = reader.repo();
        let (from, to) = (tree_at(repo, head)?, tree_at(repo, Some(target))?);
        let mut entries = Entries::new();
        for path in changed.into_iter().filter(|path| !leads_through_link(&self.path, path)) {
            let (old, new) = (entry(from.as_ref(), &path), entry(to.as_ref(), &path));
            let full = self.path.join(&path);
            let disk = match mode_of(&full)? {
                Some(mode) => Some((mode, hash_of(&full, mode)?)),
                None => None,
            };
            let in_index = index.get(&path).copied();
            // Outside of the set there is no file that could tell.
            let outside = in_index.is_none() && sparse.has(&path) == Some(false);
            if disk.is_none() && (outside || skipped.contains(&path)) {
                if in_index != old && in_index == new {
                    unseen.insert(path, old);
                }
                continue;
            }
            // git takes the old file away before it writes the new one.
            let moved =
                disk.is_none() || disk == new || new.is_some_and(|(_, id)| is_part_of(repo, &full, id));
            let untouched = disk == old && in_index == old;
            if (moved && (in_index == old || in_index == new) && !untouched)
                || (disk == old && in_index == new)
            {
                entries.insert(path, old);
            }
        }
        Ok((entries, unseen))
    }

    /// Paths that differ between HEAD and `target`, where `more` narrows that down; without a HEAD all that `target` has.
    pub(in crate::git) fn changed_paths(
        &self,
        head: Option<Oid>,
        target: Oid,
        more: &[&str],
    ) -> Result<Vec<PathBuf>, GitError> {
        let list = match head {
            Some(head) => self.local("diff-tree").arg("--no-renames").args(more).arg(head.to_string()),
            None => self.local("ls-tree"),
        };
        let out = list.args(["-r", "-z", "--name-only"]).arg(target.to_string()).run(&self.cancel)?;
        Ok(zero_split(&out.stdout).map(path_of).collect())
    }

    pub(in crate::git) fn index_entries(
        &self,
        paths: &[PathBuf],
    ) -> Result<BTreeMap<PathBuf, (u32, Oid)>, GitError> {
        let out = self.local("ls-files").args(["-s", "-z"]).run(&self.cancel)?;
        let wanted: HashSet<&[u8]> = paths.iter().map(|p| bytes_of(p)).collect();
        let staged = zero_split(&out.stdout).filter_map(parse_staged);
        Ok(staged.filter(|(path, _)| wanted.contains(bytes_of(path))).collect())
    }
}

pub(in crate::git) fn younger(path: &Path, than: Timestamp) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|m| m.modified()).ok();
    let Some(modified) = modified.and_then(|m| Timestamp::try_from(m).ok()) else { return false };
    modified + FILE_TIME_SLACK >= than
}

/// Running git programs whose directory is in the clone, by their places in /proc; nothing where there is no /proc. Our own
/// children ended with us.
fn git_processes_in(clone: &Path) -> Vec<PathBuf> {
    let Ok(clone) = clone.canonicalize() else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_git = |dir: &Path| fs::read_to_string(dir.join("comm")).is_ok_and(|c| c.starts_with("git"));
    let inside = |dir: &Path| fs::read_link(dir.join("cwd")).is_ok_and(|c| c.starts_with(&clone));
    let numbered =
        |p: &PathBuf| p.file_name().is_some_and(|n| n.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    entries.flatten().map(|e| e.path()).filter(numbered).filter(|p| inside(p) && is_git(p)).collect()
}
