//! The lock of one clone, and what its file remembers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Oid;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::Git;
use super::error::GitError;
use super::limits::RECORD_CAP;
use super::managed::ManagedClone;
use crate::kit::cancel::Cancel;
use crate::kit::file::read_capped;
use crate::kit::lock::FileLock;

/// When a clone was last brought up to date, by whichever process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stamp {
    /// End of the last successful fetch, or of the last look that found nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// The remote's commit then; empty if its branch did not exist.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fetched_commit: String,
    /// When the remote's commit last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_changed_at: Option<Timestamp>,
}

/// What kind of own operation is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// `git fetch`.
    Fetch,
    /// `git merge --ff-only`.
    FastForward,
    /// `git rebase`, as versions before 0.2 replayed own commits; only ever found, never begun.
    Rebase,
    /// Putting dirty files aside or back.
    Rescue,
    /// A commit.
    Commit,
    /// A push.
    Push,
    /// Giving up our own first commit for the remote's.
    Seed,
    /// Changing which files are checked out.
    Sparse,
    /// Packing anew.
    Maintain,
    /// Changing refs or settings, and nothing else.
    Refs,
}

/// An own operation under way: written before the clone is touched, cleared after. Found by a new holder of the lock it
/// tells exactly what a dead one left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// What it is.
    pub kind: OpKind,
    /// HEAD's commit before it; empty if unborn.
    pub head: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The commit it goes to; empty if it has none.
    pub target: String,
    /// The commit that the branch goes on to from there, with the same files; empty if it stays.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub then: String,
    /// When it began.
    pub started: Timestamp,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    #[serde(flatten)]
    stamp: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<Op>,
}

fn parse(bytes: &[u8]) -> Option<Record> {
    // A longer, older record may follow the current one when a writer was killed.
    serde_json::Deserializer::from_slice(bytes).into_iter::<Record>().next()?.ok()
}

/// The lock of one clone, held until dropped, by a file outside the clone.
pub struct CloneLock {
    file: FileLock,
    path: PathBuf,
    record: Record,
}

impl CloneLock {
    /// Takes the lock, waiting at most `wait`; `None` if somebody still holds it then.
    ///
    /// # Errors
    /// The lock file could not be opened or read.
    pub fn acquire(path: &Path, wait: Duration) -> Result<Option<CloneLock>, GitError> {
        let Some(file) = FileLock::acquire(path, wait).map_err(GitError::io("locking", path))? else {
            return Ok(None);
        };
        let bytes = file.read().map_err(GitError::io("reading", path))?;
        Ok(Some(CloneLock { file, path: path.to_owned(), record: parse(&bytes).unwrap_or_default() }))
    }

    /// What the lock file at `path` says now, without taking the lock; `None` if there is none or it is being written.
    pub fn peek(path: &Path) -> Option<Stamp> {
        let bytes = read_capped(path, RECORD_CAP).ok()?;
        parse(&bytes).map(|record| record.stamp)
    }

    /// The own operation under way, or left behind by a dead holder.
    pub fn op(&self) -> Option<&Op> {
        self.record.op.as_ref()
    }

    /// The clone at `path`, ready to be changed: what a dead holder left half done is finished or taken back first.
    ///
    /// # Errors
    /// The clone could not be opened or repaired.
    pub fn open<'l>(
        &'l mut self,
        git: &'l Git,
        path: &Path,
        cancel: &Cancel,
    ) -> Result<ManagedClone<'l>, GitError> {
        ManagedClone::open(self, git, path, cancel)
    }

    /// Notes a successful look at the remote: its branch was at `commit`.
    ///
    /// # Errors
    /// The lock file could not be written.
    pub fn note_fetch(&mut self, at: Timestamp, commit: Option<Oid>) -> Result<(), GitError> {
        let commit = commit.map(|c| c.to_string()).unwrap_or_default();
        let stamp = &mut self.record.stamp;
        if stamp.fetched_commit != commit {
            stamp.remote_changed_at = Some(at);
        }
        stamp.fetched_at = Some(at);
        stamp.fetched_commit = commit;
        self.save()
    }

    pub(super) fn begin(&mut self, op: Op) -> Result<(), GitError> {
        self.record.op = Some(op);
        self.save()
    }

    /// Takes the record of the operation away without writing; the next save does.
    pub(super) fn forget_op(&mut self) {
        self.record.op = None;
    }

    pub(super) fn end(&mut self) -> Result<(), GitError> {
        if self.record.op.take().is_none() {
            return Ok(());
        }
        self.save()
    }

    fn save(&self) -> Result<(), GitError> {
        let bytes = serde_json::to_vec(&self.record).unwrap_or_default();
        self.file.write(&bytes).map_err(GitError::io("writing", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_survives_the_holder_and_an_old_tail() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l/ledger.lock");
        let mut lock = CloneLock::acquire(&path, Duration::ZERO).unwrap().unwrap();
        assert!(CloneLock::acquire(&path, Duration::ZERO).unwrap().is_none());
        let t = Timestamp::UNIX_EPOCH;
        let id = Oid::from_str("1111111111111111111111111111111111111111").unwrap();
        lock.note_fetch(t, Some(id)).unwrap();
        let op = Op {
            kind: OpKind::Rebase,
            head: "a".into(),
            branch: "main".into(),
            target: "b".into(),
            then: String::new(),
            started: t,
        };
        lock.begin(op.clone()).unwrap();
        drop(lock);
        let mut lock = CloneLock::acquire(&path, Duration::ZERO).unwrap().unwrap();
        assert_eq!(lock.op(), Some(&op));
        assert_eq!(lock.record.stamp.remote_changed_at, Some(t));
        let later = Timestamp::from_second(9).unwrap();
        lock.note_fetch(later, Some(id)).unwrap();
        lock.end().unwrap();
        assert_eq!(lock.record.stamp.remote_changed_at, Some(t));
        assert_eq!(CloneLock::peek(&path).unwrap().fetched_at, Some(later));
        assert!(parse(b"{\"fetched_commit\":\"x\"}\"op\":{}}").unwrap().stamp.fetched_commit == "x");
        assert!(parse(b"{\"fetch").is_none());
    }
}
