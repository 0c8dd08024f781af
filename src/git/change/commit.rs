//! Committing named paths, and nothing else.

use crate::kit::mask::sanitise;
use std::fs;
use std::path::{Component, Path, PathBuf};

use git2::Oid;

use crate::git::command::{Invocation, Version};
use crate::git::entry::{Entries, LINK, parse_oid, parse_staged, path_of, update_index, zero_split};
use crate::git::error::GitError;
use crate::git::limits::MERGE_CAP;
use crate::git::lock::OpKind;
use crate::git::managed::{ManagedClone, Standing};
use crate::git::rescue::TempIndex;
use crate::kit::openat;

impl ManagedClone<'_> {
    /// Commits the named files or directories (relative to the clone) as they are now, deletions included; `None` if they are
    /// what HEAD has. What else is staged stays staged and out of the commit.
    ///
    /// # Errors
    /// [`GitError::BadPath`] for a path outside, or through or to a link that leads outside; [`GitError::BadJson`];
    /// [`GitError::Conflict`] while the index has unmerged paths; [`GitError::Foreign`].
    pub fn commit(&mut self, paths: &[&Path], message: &str) -> Result<Option<Oid>, GitError> {
        self.commit_as(paths, message, |c| {
            let staged = c.stage_aside(paths)?;
            c.check_staged(&staged)?;
            Ok(staged)
        })
    }

    /// Commits the named paths as `staged` finds them: those that it leaves out go away.
    fn commit_as(
        &mut self,
        paths: &[&Path],
        message: &str,
        staged: impl FnOnce(&mut Self) -> Result<Entries, GitError>,
    ) -> Result<Option<Oid>, GitError> {
        for path in paths {
            check_path(&self.path, path)?;
        }
        self.refuse_foreign()?;
        let unmerged = self.reader()?.unmerged()?;
        if !unmerged.is_empty() {
            return Err(GitError::Conflict(unmerged));
        }
        let head = self.reader()?.head()?;
        let Some(branch) = &head.branch else {
            let found = "a detached HEAD".to_owned();
            return Err(GitError::WrongBranch { found, wanted: "any".to_owned() });
        };
        let short = head.name().unwrap_or(branch);
        self.within(OpKind::Commit, short, &Standing::at(head.commit), |c| {
            let staged = staged(c)?;
            c.commit_paths(paths, message, branch, head.commit, staged)
        })
    }

    /// Removes a file (relative to the clone), checked out or not, and commits that; `None` if HEAD has none.
    ///
    /// # Errors
    /// As [`ManagedClone::commit`], or the disk's.
    pub fn remove(&mut self, path: &Path, message: &str) -> Result<Option<Oid>, GitError> {
        check_path(&self.path, path)?;
        let names: Option<Vec<&str>> = path.iter().map(|part| part.to_str()).collect();
        let Some((name, dirs)) = names.as_deref().and_then(<[&str]>::split_last) else {
            return Err(GitError::BadPath { path: path.to_owned(), why: "not a name that can be removed" });
        };
        openat::remove(&self.path, dirs, name).map_err(GitError::io("removing", &self.path.join(path)))?;
        // `git add` knows nothing of a path outside of what is checked out.
        self.commit_as(&[path], message, |_| Ok(Entries::new()))
    }

    fn commit_paths(
        &mut self,
        paths: &[&Path],
        message: &str,
        branch: &str,
        head: Option<Oid>,
        staged: Entries,
    ) -> Result<Option<Oid>, GitError> {
        // From here on the objects are named, so the bytes that were checked are the bytes that are committed.
        let (tree, old, entries) = self.tree_with(paths, staged, head)?;
        if Some(&tree) == old.as_ref() {
            return Ok(None);
        }
        // The index before HEAD: killed in between, the files are staged and the next commit takes them.
        self.stage(paths, entries)?;
        let mut commit = self.commit_tree()?.args([&tree, "-m", message]);
        if let Some(h) = head {
            commit = commit.args(["-p", &h.to_string()]);
        }
        let new = self.one_line(commit)?;
        let was = head.unwrap_or(Oid::ZERO_SHA1).to_string();
        self.local("update-ref").args(["-m", "commit", branch, &new, &was]).run(&self.cancel)?;
        parse_oid(&new).map(Some)
    }

    /// Stages the paths in a copy of the index, so that what does not pass the checks is staged nowhere.
    fn stage_aside(&self, paths: &[&Path]) -> Result<Entries, GitError> {
        let index = TempIndex::copy_of(&self.git_dir())?;
        let mut add = self.local("add").args(["-A", "-f"]);
        if self.git.version(&self.cancel)? >= Version(2, 34) {
            add = add.arg("--sparse");
        }
        add.arg("--").args(paths).env("GIT_INDEX_FILE", &index.0).run(&self.cancel)?;
        self.entries(self.local("ls-files").env("GIT_INDEX_FILE", &index.0), paths)
    }

    fn entries(&self, list: Invocation<'_>, paths: &[&Path]) -> Result<Entries, GitError> {
        let out = list.args(["-s", "-z", "--"]).args(paths).run(&self.cancel)?;
        Ok(zero_split(&out.stdout).filter_map(parse_staged).map(|(p, e)| (p, Some(e))).collect())
    }

    /// Brings the index to `entries` where it differs; what it knows of other files stays.
    fn stage(&self, paths: &[&Path], mut entries: Entries) -> Result<(), GitError> {
        let there = self.entries(self.local("ls-files"), paths)?;
        entries.retain(|p, e| there.get(p).copied().flatten() != *e);
        update_index(self.git, &self.path, &entries).run(&self.cancel).map(drop)
    }

    fn check_staged(&self, staged: &Entries) -> Result<(), GitError> {
        let reader = self.reader()?;
        let partial = reader.is_partial();
        for (path, entry) in staged {
            let Some((mode, id)) = entry else { continue };
            // What was staged now is here; what was left at the remote was committed by somebody before.
            if partial && !reader.has_object(*id) {
                continue;
            }
            if *mode == LINK {
                check_path(&self.path, path)?;
            } else if path.extension().is_some_and(|e| e == "json") {
                let blob = reader.repo().find_blob(*id).map_err(GitError::git2("reading a staged file"))?;
                if blob.size() > MERGE_CAP {
                    return Err(GitError::BadPath { path: path.clone(), why: "JSON too large to check" });
                }
                serde_json::from_slice::<serde::de::IgnoredAny>(blob.content()).map_err(|e| {
                    GitError::BadJson { path: path.clone(), message: sanitise(&e.to_string()) }
                })?;
            }
        }
        Ok(())
    }

    /// HEAD's tree with the named paths as they are staged; HEAD's tree; the entries with those that go away.
    fn tree_with(
        &self,
        paths: &[&Path],
        mut entries: Entries,
        head: Option<Oid>,
    ) -> Result<(String, Option<String>, Entries), GitError> {
        let index = TempIndex::empty(&self.git_dir())?;
        let with = |i: Invocation<'_>| self.one_line(i.env("GIT_INDEX_FILE", &index.0));
        let mut old = None;
        if let Some(h) = head {
            with(self.local("read-tree").arg(h.to_string()))?;
            old = Some(with(self.local("rev-parse").arg(format!("{h}^{{tree}}")))?);
            let list = self.local("ls-files").args(["-z", "--"]).args(paths).env("GIT_INDEX_FILE", &index.0);
            for path in zero_split(&list.run(&self.cancel)?.stdout).map(path_of) {
                entries.entry(path).or_insert(None);
            }
        }
        with(update_index(self.git, &self.path, &entries))?;
        Ok((with(self.write_tree()?)?, old, entries))
    }
}

/// A path that names something inside the clone, not through a link, and no link to the outside.
pub(in crate::git) fn check_path(root: &Path, path: &Path) -> Result<(), GitError> {
    let bad = |why| Err(GitError::BadPath { path: path.to_owned(), why });
    let mut at = PathBuf::new();
    for part in path.components() {
        let Component::Normal(part) = part else { return bad("not a plain relative path") };
        if part.eq_ignore_ascii_case(".git") {
            return bad("inside .git");
        }
        at.push(part);
        let Ok(target) = fs::read_link(root.join(&at)) else { continue };
        if at != path {
            return bad("leads through a link");
        }
        if link_leaves(&target, path.components().count() - 1) {
            return bad("a link that leads outside");
        }
    }
    if at.as_os_str().is_empty() { bad("empty") } else { Ok(()) }
}

/// Whether a link's target, seen from `depth` directories below the root, leaves the root.
pub fn link_leaves(target: &Path, depth: usize) -> bool {
    let mut depth = depth;
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_escape_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("d")).unwrap();
        for (name, target) in
            [("out", "/etc"), ("up", ".."), ("d/in", "../x"), ("d/up2", "../../x"), ("dir", "d")]
        {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        let check =
            |path: &str, ok: bool| assert_eq!(check_path(root, Path::new(path)).is_ok(), ok, "{path}");
        for path in ["a", "d/b", "new/deep/c", "d/in", "dir", "..a"] {
            check(path, true);
        }
        for path in [
            "",
            "/a",
            "../a",
            "d/../../a",
            ".git/config",
            "d/.GIT/x",
            "out",
            "out/passwd",
            "up",
            "d/up2",
            "dir/x",
        ] {
            check(path, false);
        }
    }
}
