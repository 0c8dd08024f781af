//! A `git rebase` that a version before 0.2 began in a clone and did not end, because it was killed: aborted, with everything that lies there
//! kept in rescue refs. To be removed one release after 0.2.

use std::fs;
use std::path::PathBuf;

use super::repair::younger;
use crate::git::entry::{leads_through_link, look, parse_oid, path_of, zero_split};
use crate::git::error::GitError;
use crate::git::lock::Op;
use crate::git::managed::ManagedClone;
use crate::git::rescue::{Dirty, RESCUE};

impl ManagedClone<'_> {
    /// The record was written when no rebase was under way, so the one there now is ours, if it says so itself.
    pub(in crate::git) fn abort_left_rebase(&mut self, op: &Op) -> Result<(), GitError> {
        if !self.rebase_under_way() {
            return self.reattach(op);
        }
        let dir = self.git_dir().join("rebase-merge");
        // An empty file was just being written.
        let says = |file: &str| {
            let text = fs::read_to_string(dir.join(file)).ok()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        match (says("head-name"), says("orig-head")) {
            (Some(branch), Some(head)) => {
                let ours = branch == format!("refs/heads/{}", op.branch)
                    && (head == op.head || says("onto").is_some_and(|onto| onto == op.target));
                if !ours {
                    return Ok(());
                }
                self.keep_left_work(&head)?;
                // Everything that differs is kept, so nothing is in the way of this.
                self.lazy("reset")?.args(["--hard", "-q"]).run(&self.cancel)?;
                let aborted = self.lazy("rebase")?.arg("--abort").run(&self.cancel);
                aborted.map(drop).map_err(|e| GitError::RebaseStuck(e.to_string()))
            }
            _ => {
                // Killed while it was being set up: git itself cannot abort that.
                if younger(&dir, op.started) {
                    fs::remove_dir_all(&dir).map_err(GitError::io("removing", &dir))?;
                }
                self.reattach(op)
            }
        }
    }

    /// Keeps HEAD, what is staged and every file that differs: commits that somebody made meanwhile, and edits. Takes away what is in no
    /// index and would be in the way of going back to `before`.
    fn keep_left_work(&mut self, before: &str) -> Result<(), GitError> {
        let Some(head) = self.reader()?.head()?.commit else { return Ok(()) };
        self.name_capture(&[RESCUE], head)?;
        let differs = |cached: &[&str]| -> Result<Vec<PathBuf>, GitError> {
            let list = self.local("diff-index").args(["-z", "--name-only", "--ignore-submodules=all"]);
            let out = list.args(cached).args([&head.to_string(), "--"]).run(&self.cancel)?;
            Ok(zero_split(&out.stdout).map(path_of).collect())
        };
        let mut dirty: Dirty = differs(&[])?.into_iter().map(|path| (path, false)).collect();
        let staged = self.index_entries(&differs(&["--cached"])?)?;
        if !staged.is_empty() {
            let entries = staged.into_iter().map(|(path, entry)| (path, Some(entry))).collect();
            let commit = self.write_capture(&entries, false, Some(head))?;
            self.name_capture(&[RESCUE], commit)?;
        }
        let added = self.changed_paths(Some(head), parse_oid(before)?, &[])?;
        let known = self.index_entries(&added)?;
        let is_loose = |path: &PathBuf| {
            !known.contains_key(path)
                && !leads_through_link(&self.path, path)
                && matches!(look(&self.path.join(path)), Ok(Some(meta)) if !meta.is_dir())
        };
        let loose: Vec<PathBuf> = added.into_iter().filter(is_loose).collect();
        dirty.extend(loose.iter().map(|path| (path.clone(), false)));
        if !dirty.is_empty() {
            self.capture_as(&[RESCUE], &dirty, Some(head))?;
        }
        for path in loose.iter().map(|path| self.path.join(path)) {
            fs::remove_file(&path).map_err(GitError::io("removing", &path))?;
        }
        log::warn!("what lay in the clone during a rebase of an older version is kept (ox rescue list)");
        Ok(())
    }

    /// A rebase killed at its very begin may leave HEAD detached.
    fn reattach(&self, op: &Op) -> Result<(), GitError> {
        if self.reader()?.head()?.branch.is_some() {
            return Ok(());
        }
        let branch = format!("refs/heads/{}", op.branch);
        self.local("symbolic-ref").args(["HEAD", &branch]).run(&self.cancel).map(drop)
    }

    pub(in crate::git) fn rebase_under_way(&self) -> bool {
        ["rebase-merge", "rebase-apply"].iter().any(|d| self.git_dir().join(d).exists())
    }
}
