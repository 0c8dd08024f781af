//! What people did in a clone while a rebase of ours stood half done: taking the rebase back must not take that with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Commit, Oid, Repository};

use super::reapply::{hash_of, is_part_of, mode_of};
use crate::git::command::{path_of, zero_ended, zero_split};
use crate::git::error::GitError;
use crate::git::limits::MERGE_CAP;
use crate::git::lock::Op;
use crate::git::managed::{ManagedClone, Standing};
use crate::git::rescue::{Dirty, RESCUE, entry, tree_at};
use crate::kit::file::read_capped;

impl ManagedClone<'_> {
    /// Keeps commits made on top of the replayed ones in a rescue ref, and puts edits aside, to be put back afterwards.
    /// `killed`: between the rebase and now people may have had time, also to touch what the replay has merged.
    pub(in crate::git) fn salvage(&mut self, op: &Op, killed: bool) -> Result<(), GitError> {
        let Some(head) = self.reader()?.head()?.commit else { return Ok(()) };
        if self.has_foreign_commits(op, head)? {
            let time = self.name_capture(&[RESCUE], head)?;
            log::warn!("commits made during a rebase of ours are kept in {RESCUE}{time}");
        }
        let (mut edited, mut mixed) = self.edited(op, head)?;
        self.add_staged(op, head, killed, (&mut edited, &mut mixed))?;
        if !mixed.is_empty() {
            // What git merged there is in them too, so they do not come back as they are.
            let kept = self.capture_as(&[RESCUE], &mixed, Some(head))?;
            log::warn!("files edited during a conflict are kept in {RESCUE}{}", kept.time);
        }
        if !edited.is_empty() {
            let captured = self.capture(&edited, Some(head))?;
            self.clear_away(&captured, Some(head))?;
        }
        Ok(())
    }

    /// Keeps commits that people made while the rebase was under way or being taken back, where no branch has them now: HEAD's own
    /// log names them. What comes between the last look and the taking back is seen here.
    pub(in crate::git) fn keep_strays(&self, op: &Op) -> Result<(), GitError> {
        let reader = self.reader()?;
        let mut kept: Vec<Oid> = reader.refs("refs/heads/")?.into_iter().map(|(_, id)| id).collect();
        kept.extend(reader.refs(RESCUE)?.into_iter().map(|(_, id)| id));
        for id in reader.head_since(op.started)? {
            // What was never whole on the disk cannot be kept; and what stands below something looked at is no other's either.
            let known =
                !reader.knows(id) || kept.iter().any(|tip| reader.is_ancestor(id, *tip).unwrap_or(false));
            if known || self.cancel.is_cancelled() {
                continue;
            }
            match self.has_foreign_commits(op, id) {
                Ok(true) => {
                    let time = self.name_capture(&[RESCUE], id)?;
                    log::warn!(
                        "commits made while a rebase of ours was taken back are kept in {RESCUE}{time}"
                    );
                }
                Ok(false) => {}
                Err(e) => log::warn!("HEAD was at {id} during a rebase of ours, which cannot be read: {e}"),
            }
            kept.push(id);
        }
        Ok(())
    }

    /// A rebase leaves merges out, and with them what somebody wrote only there: where HEAD has any of its own it is kept in a
    /// rescue ref, once.
    pub(in crate::git) fn keep_merges(&self, standing: &Standing) -> Result<(), GitError> {
        let (Some(head), Some(upstream)) = (standing.head, standing.upstream) else { return Ok(()) };
        let reader = self.reader()?;
        let merges = between(reader.repo(), upstream, head)?.iter().any(|c| c.parent_count() > 1);
        if merges && !reader.refs(RESCUE)?.iter().any(|(_, kept)| *kept == head) {
            let time = self.name_capture(&[RESCUE], head)?;
            log::warn!(
                "local merges are replayed without what only they say; all of it is kept in {RESCUE}{time}"
            );
        }
        Ok(())
    }

    /// Whether HEAD has a commit that is not a replay of one of ours.
    fn has_foreign_commits(&self, op: &Op, head: Oid) -> Result<bool, GitError> {
        let (Ok(own), Ok(target)) = (Oid::from_str(&op.head), Oid::from_str(&op.target)) else {
            return Ok(false);
        };
        let reader = self.reader()?;
        let ours = between(reader.repo(), target, own)?;
        let replayed = between(reader.repo(), target, head)?;
        Ok(replayed.iter().any(|c| c.id() != own && !ours.iter().any(|o| is_replay(o, c))))
    }

    /// Files that differ from the index by somebody's hand: those that can be put back, and those with an open conflict.
    fn edited(&self, op: &Op, head: Oid) -> Result<(Dirty, Dirty), GitError> {
        let out = self.local("diff-files").args(["-z", "--name-only", "--ignore-submodules=all"]);
        let out = out.run(&self.cancel)?;
        let unmerged = self.unmerged()?;
        let paths: Vec<PathBuf> = zero_split(&out.stdout).map(path_of).collect();
        let index = self.index_entries(&paths)?;
        let reader = self.reader()?;
        let repo = reader.repo();
        let commits = [Oid::from_str(&op.head).ok(), Oid::from_str(&op.target).ok(), Some(head)];
        let mut trees = Vec::new();
        for commit in commits {
            trees.extend(tree_at(repo, commit)?);
        }
        let (mut edited, mut mixed) = (Dirty::new(), Dirty::new());
        for path in paths {
            let full = self.path.join(&path);
            let Some(mode) = mode_of(&full)? else { continue };
            if unmerged.contains_key(&path) {
                if self.is_younger_than_index(&full) || self.is_by_hand(&full, mode)? {
                    mixed.insert(path, false);
                }
                continue;
            }
            // Whatever git writes it has as an object; a killed one leaves the beginning of it.
            let known = trees.iter().filter_map(|t| entry(Some(t), &path)).chain(index.get(&path).copied());
            let by_git = reader.has_object(hash_of(&full, mode)?)
                || known.into_iter().any(|(_, id)| is_part_of(repo, &full, id));
            if !by_git {
                edited.insert(path, false);
            }
        }
        Ok((edited, mixed))
    }

    /// What is staged and in no commit of either side: taking back a rebase would delete it or turn it back. A path that both
    /// sides have alike was staged by somebody; elsewhere it may be a merge by the replay.
    fn add_staged(
        &self,
        op: &Op,
        head: Oid,
        killed: bool,
        (edited, mixed): (&mut Dirty, &mut Dirty),
    ) -> Result<(), GitError> {
        let (Ok(own), Ok(target)) = (Oid::from_str(&op.head), Oid::from_str(&op.target)) else {
            return Ok(());
        };
        let list = self.local("diff-index").args(["--cached", "-z", "--name-only", "--diff-filter=AMT"]);
        let out = list.args([&head.to_string(), "--"]).run(&self.cancel)?;
        let paths: Vec<PathBuf> = zero_split(&out.stdout).map(path_of).collect();
        let index = self.index_entries(&paths)?;
        let reader = self.reader()?;
        let repo = reader.repo();
        let sides = (tree_at(repo, Some(own))?, tree_at(repo, Some(target))?);
        let mut replayed = Vec::new();
        for commit in between(repo, target, own)? {
            replayed.extend(tree_at(repo, Some(commit.id()))?);
        }
        let mut only_staged = BTreeMap::new();
        for (path, staged) in index {
            let sides = (entry(sides.0.as_ref(), &path), entry(sides.1.as_ref(), &path));
            let known = |v| sides.1 == Some(v) || replayed.iter().any(|t| entry(Some(t), &path) == Some(v));
            if !known(staged) && !self.is_on_disk(&path, staged)? {
                only_staged.insert(path.clone(), Some(staged));
            }
            let full = self.path.join(&path);
            let now = match mode_of(&full)? {
                Some(mode) => (mode, hash_of(&full, mode)?),
                None => staged,
            };
            if known(now) {
                continue;
            }
            if sides.0 == sides.1 {
                edited.insert(path, false);
            } else if killed {
                mixed.insert(path, false);
            }
        }
        self.unstage(&only_staged, head)
    }

    fn is_on_disk(&self, path: &Path, (mode, id): (u32, Oid)) -> Result<bool, GitError> {
        let full = self.path.join(path);
        Ok(match mode_of(&full)? {
            Some(found) => (found, hash_of(&full, found)?) == (mode, id),
            None => false,
        })
    }

    /// Keeps what only the index has in a rescue ref, and writes it where there is no file: in a sparse clone git removes the file
    /// of what is staged outside of the set.
    fn unstage(&self, entries: &BTreeMap<PathBuf, Option<(u32, Oid)>>, head: Oid) -> Result<(), GitError> {
        if entries.is_empty() {
            return Ok(());
        }
        let commit = self.write_capture(entries, false, Some(head))?;
        let time = self.name_capture(&[RESCUE], commit)?;
        log::warn!("what was only staged during a rebase of ours is kept in {RESCUE}{time}");
        // Without --force a file that is there stays as it is, and that is no failure.
        let write = self
            .local("checkout-index")
            .args(["-q", "--ignore-skip-worktree-bits", "-z", "--stdin"])
            .stdin(zero_ended(entries.keys()));
        write.run_any(&self.cancel).map(drop)
    }

    /// In a file with an open conflict git writes either a version that it has as an object, or a mixture with marks.
    fn is_by_hand(&self, path: &Path, mode: u32) -> Result<bool, GitError> {
        if self.reader()?.has_object(hash_of(path, mode)?) {
            return Ok(false);
        }
        // What cannot be looked at is kept rather than lost.
        let bytes = read_capped(path, MERGE_CAP).unwrap_or_default();
        Ok(!bytes.split(|b| *b == b'\n').any(|line| line.starts_with(b"<<<<<<< ")))
    }

    /// Git writes the index after the files of a conflict.
    fn is_younger_than_index(&self, path: &Path) -> bool {
        let modified = |p: &Path| fs::symlink_metadata(p).and_then(|m| m.modified());
        match (modified(path), modified(&self.git_dir().join("index"))) {
            (Ok(file), Ok(index)) => file > index,
            // Not to be told: kept rather than lost.
            _ => true,
        }
    }
}

/// The commits that `to` has and `from` has not.
fn between(repo: &Repository, from: Oid, to: Oid) -> Result<Vec<Commit<'_>>, GitError> {
    let list = || -> Result<Vec<Commit<'_>>, git2::Error> {
        let mut walk = repo.revwalk()?;
        walk.push(to)?;
        walk.hide(from)?;
        walk.map(|id| repo.find_commit(id?)).collect()
    };
    list().map_err(GitError::git2("listing commits"))
}

/// A replay keeps author, time and message.
fn is_replay(of: &Commit<'_>, commit: &Commit<'_>) -> bool {
    let (a, b) = (of.author(), commit.author());
    a.email_bytes() == b.email_bytes()
        && a.when() == b.when()
        && of.message_raw_bytes() == commit.message_raw_bytes()
}
