//! Clones that do not have everything: contents that were never fetched, history that is cut off.
//!
//! The library in process cannot fetch a missing object; the git program does so by itself, in the middle of another command.
//! So whoever reads contents in process asks for them here first, and every command that may fetch in its middle gets what a
//! command needs that talks to the remote.

use std::path::Path;

use git2::{OdbLookupFlags, Oid};

use crate::git::command::{Git, Invocation};
use crate::git::entry::parse_oid;
use crate::git::error::GitError;
use crate::git::limits::{CHILD_MAX, OBJECTS_BATCH};
use crate::git::lock::OpKind;
use crate::git::managed::{ManagedClone, Standing};
use crate::git::read::Reader;
use crate::kit::cancel::Cancel;

impl Reader {
    /// Whether history is cut off somewhere.
    pub fn is_shallow(&self) -> bool {
        self.repo().is_shallow()
    }

    /// Whether contents were left at the remote, to be fetched when needed.
    pub fn is_partial(&self) -> bool {
        let Ok(config) = self.repo().config() else { return false };
        config.get_bool("remote.origin.promisor").unwrap_or(false)
            || config.get_string("extensions.partialclone").is_ok_and(|remote| !remote.is_empty())
    }

    /// Whether this object is here.
    pub(in crate::git) fn has_object(&self, id: Oid) -> bool {
        self.repo().odb().is_ok_and(|odb| odb.exists_ext(id, OdbLookupFlags::NO_REFRESH))
    }
}

impl<'l> ManagedClone<'l> {
    /// How commands start that may need contents which are not here.
    pub(in crate::git) fn lazy_start(
        &self,
    ) -> Result<impl Fn(&'static str) -> Invocation<'l> + use<'l>, GitError> {
        let reader = self.reader()?;
        let url = reader.is_partial().then(|| reader.origin_url().unwrap_or_default());
        let (git, path) = (self.git, self.path.clone());
        Ok(move |sub| match &url {
            Some(url) => git.network(sub, &path, url).in_tree().deadline(CHILD_MAX),
            None => git.local(sub, &path),
        })
    }

    /// A command that may need contents which are not here.
    pub(in crate::git) fn lazy(&self, sub: &'static str) -> Result<Invocation<'l>, GitError> {
        Ok(self.lazy_start()?(sub))
    }

    /// Fetches those of the objects that were left at the remote, all in one go; how many there were. In a clone that is not
    /// partial there are none such.
    ///
    /// # Errors
    /// What git's output tells of; then some may have come.
    pub fn ensure_objects(&self, wanted: &[Oid]) -> Result<usize, GitError> {
        let reader = self.reader()?;
        if wanted.is_empty() || !reader.is_partial() {
            return Ok(0);
        }
        let mut missing: Vec<Oid> = wanted.iter().copied().filter(|id| !reader.has_object(*id)).collect();
        missing.sort_unstable();
        missing.dedup();
        let url = reader.origin_url().unwrap_or_default();
        for batch in missing.chunks(OBJECTS_BATCH) {
            let list: String = batch.iter().map(|id| format!("{id}\n")).collect();
            // As git itself fetches what it finds missing: nothing to negotiate, these objects and no others.
            let fetch = self.git.fetch(&self.path, &url).config("fetch.negotiationAlgorithm=noop");
            fetch.args(["--filter=blob:none", "--stdin"]).stdin(list.into_bytes()).run(&self.cancel)?;
        }
        Ok(missing.len())
    }

    /// Fetches every content of HEAD's history that was left at the remote; how many there were.
    ///
    /// # Errors
    /// What git's output tells of; then some may have come.
    pub fn ensure_history(&mut self) -> Result<usize, GitError> {
        if !self.reader()?.is_partial() {
            return Ok(0);
        }
        let list = self.local("rev-list").args(["--objects", "--missing=print", "--no-object-names", "HEAD"]);
        let out = list.deadline(CHILD_MAX).run(&self.cancel)?;
        if out.stdout_truncated {
            return Err(GitError::failed("rev-list", None, "the history is too long"));
        }
        let missing = out.stdout.split(|b| *b == b'\n').filter_map(|line| line.strip_prefix(b"?"));
        let missing: Result<Vec<Oid>, GitError> =
            missing.map(|id| parse_oid(&String::from_utf8_lossy(id))).collect();
        self.ensure_objects(&missing?)
    }

    /// Fetches the history that is still at the remote; whether there was any. Contents stay there.
    ///
    /// # Errors
    /// What git's output tells of; the clone is as usable as before.
    pub fn deepen(&mut self) -> Result<bool, GitError> {
        let reader = self.reader()?;
        if !reader.is_shallow() {
            return Ok(false);
        }
        let head = reader.head()?;
        let branch = head.name().unwrap_or("main").to_owned();
        let upstream = self.remote_tip(&branch)?;
        drop(reader);
        let standing = Standing { upstream, ..Standing::at(head.commit) };
        self.within(OpKind::Fetch, &branch, &standing, |c| unshallow(c.git, &c.path, &branch, &c.cancel))?;
        Ok(true)
    }

    /// As [`ManagedClone::standing`]. Where history is cut off, two branches may only seem to have nothing in common.
    pub(in crate::git) fn standing_deep(&mut self, branch: &str) -> Result<Standing, GitError> {
        match self.standing(branch) {
            Err(GitError::Unrelated(_)) if self.reader()?.is_shallow() => {
                self.deepen()?;
                self.standing(branch)
            }
            other => other,
        }
    }
}

/// Fetches the history of `branch` that the clone at `path` lacks. No ref moves: what is new is a matter of the next fetch.
pub(in crate::git) fn unshallow(
    git: &Git,
    path: &Path,
    branch: &str,
    cancel: &Cancel,
) -> Result<(), GitError> {
    let url = Reader::open(path)?.origin_url().unwrap_or_default();
    let fetch = git.fetch(path, &url).args(["--unshallow", "--refmap="]);
    fetch.arg(format!("refs/heads/{branch}")).run(cancel).map(drop)
}
