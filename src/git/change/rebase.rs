//! Replaying local commits on top of the remote's, with conflicts decided by rules or not at all.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use git2::Oid;

use super::reapply::is_json;
use super::resolve::ResolveRules;
use crate::git::clone::seed::SEED;
use crate::git::command::{Invocation, failure, path_of, zero_split};
use crate::git::error::GitError;
use crate::git::limits::{CHILD_MAX, REBASE_BASE, REBASE_MAX, REBASE_PASSES, REBASE_PER_COMMIT};
use crate::git::managed::{ManagedClone, Standing};
use crate::git::rescue::{blobs, entry, tree_at};
use crate::kit::clock::Mono;

impl ManagedClone<'_> {
    /// Replays HEAD's own commits on the remote's; answers which paths the rules decided. The caller has put dirty files
    /// aside and written down that a rebase of ours begins. On an error the rebase is still under way.
    pub(in crate::git) fn rebase(
        &mut self,
        rules: &ResolveRules,
        standing: &Standing,
        ahead: usize,
    ) -> Result<Vec<PathBuf>, GitError> {
        let (Some(head), Some(upstream)) = (standing.head, standing.upstream) else { return Ok(Vec::new()) };
        let end = self.git.now().mono + budget(ahead);
        let mut resolved = BTreeSet::new();
        let target = upstream.to_string();
        let start = self.rebase_command(end)?.args(["--quiet", "--no-autostash", "--no-rerere-autoupdate"]);
        let start = match self.own_seed(head, upstream)? {
            // Our own first commit gives way to the one of the machine that was first.
            Some(seed) => start.args(["--onto", &target, &seed.to_string()]),
            None => start.arg(&target),
        };
        let mut out = start.run_any(&self.cancel)?;
        for _ in 0..REBASE_PASSES {
            if !self.rebase_under_way() {
                if !out.status.success() {
                    return Err(failure("rebase", &out));
                }
                self.check_json(rules, head, upstream, &mut resolved)?;
                return Ok(resolved.into_iter().collect());
            }
            // It stops with 1 where somebody has to decide; anything else is a failure that must not be skipped over.
            if !out.status.success() && out.status.code() != Some(1) {
                return Err(failure("rebase", &out));
            }
            let unmerged = self.unmerged()?;
            let stopped_for_conflict = !unmerged.is_empty();
            self.resolve(rules, &unmerged)?;
            resolved.extend(unmerged.into_keys());
            // Git passes over a commit with nothing left to say by itself. Where it stops without a conflict it could not
            // replay the commit at all, and skipping would lose it.
            if !stopped_for_conflict {
                return Err(failure("rebase", &out));
            }
            let verb = if self.replay_is_empty()? { "--skip" } else { "--continue" };
            out = self.rebase_command(end)?.arg(verb).run_any(&self.cancel)?;
        }
        Err(GitError::failed("rebase", None, "too many conflicts in one rebase"))
    }

    fn rebase_command(&self, end: Mono) -> Result<Invocation<'_>, GitError> {
        let left = end - self.git.now().mono;
        Ok(self
            .as_user(self.lazy("rebase")?)?
            .config("rebase.backend=merge")
            .config("rebase.updateRefs=false")
            .config("rebase.autoSquash=false")
            .config("rebase.rebaseMerges=false")
            .config("rebase.forkPoint=false")
            .config("rebase.stat=false")
            .config("rebase.missingCommitsCheck=ignore")
            .config("rerere.enabled=false")
            .config("merge.default=text")
            .config("merge.conflictStyle=merge")
            // Many small files look alike: a guessed rename would carry a change into another session's file.
            .config("merge.renames=false")
            .config("merge.directoryRenames=false")
            .config("diff.renames=false")
            .deadline(left.max(Duration::from_millis(1)).min(CHILD_MAX)))
    }

    pub(in crate::git) fn rebase_under_way(&self) -> bool {
        ["rebase-merge", "rebase-apply"].iter().any(|d| self.git_dir().join(d).exists())
    }

    fn replay_is_empty(&self) -> Result<bool, GitError> {
        let diff =
            self.local("diff-index").args(["--cached", "--quiet", "HEAD", "--"]).run_any(&self.cancel)?;
        Ok(diff.status.success())
    }

    /// A merge line by line can make JSON that does not parse although neither side's was broken. Such a file gets its local
    /// bytes back whole where the rules allow, in a commit of its own; elsewhere it is a conflict.
    fn check_json(
        &mut self,
        rules: &ResolveRules,
        head: Oid,
        upstream: Oid,
        resolved: &mut BTreeSet<PathBuf>,
    ) -> Result<(), GitError> {
        let broken = self.broken_json(head, upstream)?;
        if broken.is_empty() {
            return Ok(());
        }
        let undecided: Vec<PathBuf> = broken.keys().filter(|p| !rules.is_auto(p)).cloned().collect();
        if !undecided.is_empty() {
            self.lazy("reset")?.args(["--keep", "-q", &head.to_string()]).run(&self.cancel)?;
            return Err(GitError::Conflict { paths: undecided });
        }
        self.restore(&broken)?;
        let commit = self.as_user(self.lazy("commit")?)?.args([
            "-q",
            "--no-verify",
            "-m",
            "Keep local files that did not merge",
        ]);
        commit.run(&self.cancel)?;
        resolved.extend(broken.into_keys());
        Ok(())
    }

    /// JSON files that both sides changed, that parse on our side and no longer in HEAD; with our version.
    fn broken_json(
        &self,
        head: Oid,
        upstream: Oid,
    ) -> Result<BTreeMap<PathBuf, Option<(u32, Oid)>>, GitError> {
        let reader = self.reader()?;
        let repo = reader.repo();
        let Ok(base) = repo.merge_base(head, upstream) else { return Ok(BTreeMap::new()) };
        let ours: HashSet<PathBuf> = self.changed_json(base, head)?.into_iter().collect();
        let both = self.changed_json(base, upstream)?.into_iter().filter(|p| ours.contains(p));
        let local = tree_at(repo, Some(head))?;
        let now = tree_at(repo, reader.head()?.commit)?;
        let parses = |e: Option<(u32, Oid)>| {
            e.and_then(|(_, id)| repo.find_blob(id).ok()).map(|b| is_json(b.content()))
        };
        let both: Vec<PathBuf> = both.collect();
        let versions = both.iter().flat_map(|p| [entry(local.as_ref(), p), entry(now.as_ref(), p)]);
        self.ensure_objects(&blobs(versions))?;
        let mut broken = BTreeMap::new();
        for path in both {
            let mine = entry(local.as_ref(), &path);
            if parses(mine) == Some(true) && parses(entry(now.as_ref(), &path)) == Some(false) {
                broken.insert(path, mine);
            }
        }
        Ok(broken)
    }

    fn changed_json(&self, from: Oid, to: Oid) -> Result<Vec<PathBuf>, GitError> {
        let diff = self.local("diff-tree").args(["-r", "-z", "--name-only", "--no-renames"]);
        let out = diff.args([from.to_string(), to.to_string()]).run(&self.cancel)?;
        Ok(zero_split(&out.stdout).filter(|p| p.ends_with(b".json")).map(path_of).collect())
    }

    /// The first commit that we made on an empty remote, if HEAD stands on it and the remote's does not.
    pub(in crate::git) fn own_seed(&self, head: Oid, upstream: Oid) -> Result<Option<Oid>, GitError> {
        let reader = self.reader()?;
        let Some(seed) = reader.target(SEED)? else { return Ok(None) };
        let ours = reader.is_ancestor(seed, head)? && !reader.is_ancestor(seed, upstream)?;
        Ok(ours.then_some(seed))
    }
}

fn budget(ahead: usize) -> Duration {
    let commits = u32::try_from(ahead).unwrap_or(u32::MAX);
    REBASE_BASE.saturating_add(REBASE_PER_COMMIT.saturating_mul(commits)).min(REBASE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_grows_with_the_commits_to_a_cap() {
        assert_eq!(budget(0), Duration::from_secs(60));
        assert_eq!(budget(40), Duration::from_secs(100));
        assert_eq!(budget(usize::MAX), Duration::from_secs(900));
    }
}
