//! Writing own commits anew with other contents of files, before the remote has them. As a replay it happens in the object database first;
//! a kill leaves objects that nothing names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use git2::{Commit, ObjectType, Oid, Repository, Sort, TreeWalkMode, TreeWalkResult};

use super::replay::{rewritten, updated, write_commit};
use crate::git::error::GitError;
use crate::git::managed::{ManagedClone, Relation, Standing};

impl ManagedClone<'_> {
    /// Writes the commits anew that the remote's branch has not, with other contents of files in the directory `dir`: by what each content is,
    /// what it is to be. Message, author and all else stays. HEAD, index and files follow as by a fast-forward, so that uncommitted work is
    /// kept; what the commits were before nothing leads to any more. How many commits have changed.
    ///
    /// # Errors
    /// As [`ManagedClone::integrate`]; somebody commits all the while.
    pub fn rewrite_own(
        &mut self,
        branch: &str,
        dir: &str,
        contents: &BTreeMap<Oid, Vec<u8>>,
    ) -> Result<usize, GitError> {
        self.clear_lock_files()?;
        let standing = self.standing_deep(branch)?;
        let (Some(head), false) = (standing.head, contents.is_empty()) else { return Ok(0) };
        let (tip, changed) = self.write_anew(head, standing.upstream, dir, contents)?;
        if tip == head {
            return Ok(0);
        }
        let next = self.bridge(head, tip)?;
        let way = Standing { head: Some(head), upstream: Some(next), relation: Relation::Behind };
        self.fast_forward(branch, &way, Some(tip))?;
        Ok(changed)
    }

    /// The last of the commits that become of own ones, and how many are others now.
    fn write_anew(
        &self,
        head: Oid,
        upstream: Option<Oid>,
        dir: &str,
        contents: &BTreeMap<Oid, Vec<u8>>,
    ) -> Result<(Oid, usize), GitError> {
        let failed = || GitError::git2("writing own commits anew");
        let reader = self.reader()?;
        let repo = reader.repo();
        let committer = self.committer()?;
        let mut blobs = HashMap::new();
        for (old, bytes) in contents {
            blobs.insert(*old, repo.blob(bytes).map_err(failed())?);
        }
        let mut done: HashMap<Oid, Oid> = HashMap::new();
        for commit in own(repo, head, upstream).map_err(failed())? {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled("rewrite"));
            }
            let there = replaced(repo, &commit, dir, &blobs).map_err(failed())?;
            let parents: Vec<Oid> =
                commit.parent_ids().map(|id| done.get(&id).copied().unwrap_or(id)).collect();
            if there.is_empty() && commit.parent_ids().eq(parents.iter().copied()) {
                continue;
            }
            let tree = updated(repo, &commit.tree().map_err(failed())?, &[], &there)?.id();
            let new = write_commit(repo, &rewritten(&commit, tree, &parents, &committer))?;
            done.insert(commit.id(), new);
        }
        Ok((done.get(&head).copied().unwrap_or(head), done.len()))
    }
}

/// The commits that `head` has and `upstream` has not, oldest first.
fn own(repo: &Repository, head: Oid, upstream: Option<Oid>) -> Result<Vec<Commit<'_>>, git2::Error> {
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    walk.push(head)?;
    if let Some(upstream) = upstream {
        walk.hide(upstream)?;
    }
    walk.map(|id| repo.find_commit(id?)).collect()
}

/// The files in `dir` of a commit whose content is to be another one, each with that.
fn replaced(
    repo: &Repository,
    commit: &Commit<'_>,
    dir: &str,
    blobs: &HashMap<Oid, Oid>,
) -> Result<BTreeMap<PathBuf, (u32, Oid)>, git2::Error> {
    let mut there = BTreeMap::new();
    let tree = commit.tree()?;
    let Some(below) = tree.get_name(dir).filter(|e| e.kind() == Some(ObjectType::Tree)) else {
        return Ok(there);
    };
    repo.find_tree(below.id())?.walk(TreeWalkMode::PreOrder, |root, e| {
        if let (Some(new), Ok(name), Ok(mode)) = (blobs.get(&e.id()), e.name(), u32::try_from(e.filemode())) {
            there.insert(Path::new(dir).join(root).join(name), (mode, *new));
        }
        TreeWalkResult::Ok
    })?;
    Ok(there)
}
