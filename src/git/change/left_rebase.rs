//! A `git rebase` that a version before 0.2 began in a clone and did not end, because it was killed: aborted, with everything that lies there
//! kept in rescue refs. To be removed one release after 0.2.

use std::fs;

use super::repair::younger;
use crate::git::command::{path_of, zero_split};
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
                self.keep_left_work()?;
                // Everything that differs is kept, so nothing is in the way of this.
                self.lazy("reset")?.args(["--hard", "-q"]).run(&self.cancel)?;
                let aborted = self.lazy("rebase")?.arg("--abort").run(&self.cancel);
                aborted.map(drop).map_err(|e| GitError::RebaseStuck { message: e.to_string() })
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

    /// Keeps HEAD and every file that differs from it: commits that somebody made meanwhile, and edits.
    fn keep_left_work(&mut self) -> Result<(), GitError> {
        let Some(head) = self.reader()?.head()?.commit else { return Ok(()) };
        self.name_capture(&[RESCUE], head)?;
        let differs = self.local("diff-index").args(["-z", "--name-only", "--ignore-submodules=all"]);
        let out = differs.args([&head.to_string(), "--"]).run(&self.cancel)?;
        let dirty: Dirty = zero_split(&out.stdout).map(|path| (path_of(path), false)).collect();
        if !dirty.is_empty() {
            self.capture_as(&[RESCUE], &dirty, Some(head))?;
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
