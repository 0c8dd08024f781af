//! The first commit on an empty remote.

use std::fs;
use std::path::Path;

use git2::Oid;

use crate::git::change::commit::check_path;
use crate::git::change::reapply::rename;
use crate::git::error::GitError;
use crate::git::lock::OpKind;
use crate::git::managed::ManagedClone;

/// Our own first commit until the remote has it: should another machine be first, ours gives way, also after a restart.
pub(in crate::git) const SEED: &str = "refs/ox/seed";

/// Whose first commit the remote has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// Ours.
    Ours(Oid),
    /// Another machine was first; the clone has its commits and nothing of ours.
    Theirs(Oid),
}

impl ManagedClone<'_> {
    /// Makes the first commit of a still empty clone out of `files` (path, content) and pushes it. If the remote has got
    /// commits meanwhile those are taken instead.
    ///
    /// # Errors
    /// Those of committing and pushing. After a network error the commit stays; the next `seed` or push goes on with it.
    pub fn seed(
        &mut self,
        branch: &str,
        files: &[(&Path, &[u8])],
        message: &str,
    ) -> Result<Seeded, GitError> {
        if self.standing(branch)?.head.is_none() {
            match self.fetch(branch) {
                Ok(found) => return self.take_theirs(branch, found.new),
                Err(GitError::NoRemoteBranch(_)) => self.first_commit(files, message)?,
                Err(e) => return Err(e),
            }
        }
        let standing = self.standing(branch)?;
        match self.push_once(branch, &standing) {
            Ok(()) => {
                self.forget_seed()?;
                standing.head.map(Seeded::Ours).ok_or_else(|| GitError::NoRemoteBranch(branch.to_owned()))
            }
            Err(e) if e.lost_a_race() => {
                let found = self.fetch(branch)?;
                self.take_theirs(branch, found.new)
            }
            Err(e) => Err(e),
        }
    }

    fn first_commit(&mut self, files: &[(&Path, &[u8])], message: &str) -> Result<(), GitError> {
        for (path, bytes) in files {
            check_path(&self.path, path)?;
            let full = self.path.join(path);
            if let Some(dir) = full.parent() {
                fs::create_dir_all(dir).map_err(GitError::io("making", dir))?;
            }
            rename(&self.scratch("seed", bytes, 0o644)?, &full)?;
        }
        let paths: Vec<&Path> = files.iter().map(|(p, _)| *p).collect();
        if let Some(id) = self.commit(&paths, message)? {
            self.within_refs(|c| {
                c.local("update-ref").args([SEED, &id.to_string()]).run(&c.cancel).map(drop)
            })?;
        }
        Ok(())
    }

    /// Drops our own first commit, if that is all there is, for the remote's.
    fn take_theirs(&mut self, branch: &str, theirs: Oid) -> Result<Seeded, GitError> {
        let standing = self.standing(branch)?;
        let reader = self.reader()?;
        if standing.head.is_some() && standing.head == reader.target(SEED)? {
            // --keep refuses where a file was changed since; then the replay of the next integration decides.
            let kept = self.within(OpKind::Seed, branch, &standing, |c| {
                c.lazy("reset")?.args(["--keep", "-q", &theirs.to_string()]).run(&c.cancel).map(drop)
            });
            if kept.is_ok() {
                self.forget_seed()?;
                return Ok(Seeded::Theirs(theirs));
            }
        }
        self.integrate(branch, &Default::default())?;
        self.forget_seed()?;
        Ok(Seeded::Theirs(theirs))
    }

    pub(in crate::git) fn forget_seed(&mut self) -> Result<(), GitError> {
        if self.reader()?.target(SEED)?.is_none() {
            return Ok(());
        }
        self.within_refs(|c| c.local("update-ref").args(["-d", SEED]).run(&c.cancel).map(drop))
    }
}
