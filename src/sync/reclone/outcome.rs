//! What a reclone came to.

use std::path::PathBuf;

use crate::git::{GitError, Unmovable};
use crate::sync::outcome::Failure;

/// How a reclone or a maintenance ended, if it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reclone {
    /// The clone was replaced by a fresh one that has all of its local work.
    Done(Done),
    /// The clone was tidied up in place.
    Maintained {
        /// Bytes on disk before.
        before: u64,
        /// Bytes on disk after.
        after: u64,
    },
    /// The clone stays as it is, for this reason.
    Refused(Refusal),
}

/// A clone that was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes on disk before.
    pub before: u64,
    /// Bytes on disk after.
    pub after: u64,
    /// The ref that keeps the dirty and untracked files for 30 days, besides their being in place.
    pub rescue: Option<String>,
    /// Where the old clone is kept, if somebody wrote to it at the last moment.
    pub kept: Option<PathBuf>,
}

/// Why a clone is not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another process works on it.
    #[error("another process works on the clone")]
    Busy,
    /// A rebase, merge or the like that is not ours is in progress.
    #[error("{0}")]
    Foreign(String),
    /// Git's own lock files stand in it.
    #[error("{0}")]
    LockFiles(String),
    /// Another branch than the tracked one is checked out.
    #[error("{0}")]
    WrongBranch(String),
    /// It has commits that the remote has not and that cannot be pushed.
    #[error("it has commits that the remote has not, and they cannot be pushed: {0}")]
    Unpushed(String),
    /// It has something that cannot be carried over.
    #[error("{0}")]
    Unmovable(Unmovable),
    /// A file in it cannot be carried over.
    #[error("{0}")]
    Uncarried(String),
    /// Its files keep changing.
    #[error("files in the clone keep changing")]
    Unquiet,
    /// The disk has too little room.
    #[error("{} MiB of disk are needed and {} MiB are free", needed >> 20, free >> 20)]
    LowDisk {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// Something of nobody's knowledge has the name that the new or the old clone would get.
    #[error("{} is in the way", .0.display())]
    InTheWay(PathBuf),
    /// It is not a sound clone; that is to be repaired first.
    #[error("the clone is damaged: {0}")]
    Damaged(String),
}

impl Refusal {
    /// Whether somebody has to settle something in the clone before it can be replaced.
    pub fn is_local_state(&self) -> bool {
        !matches!(self, Refusal::Busy | Refusal::LockFiles(_) | Refusal::Unquiet | Refusal::LowDisk { .. })
    }

    /// A short fixed word for the wire and the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::Busy => "busy",
            Refusal::Foreign(_) => "foreign_operation",
            Refusal::LockFiles(_) => "lock_files",
            Refusal::WrongBranch(_) => "wrong_branch",
            Refusal::Unpushed(_) => "unpushed",
            Refusal::Unmovable(Unmovable::Stash) => "stash",
            Refusal::Unmovable(_) => "unmovable",
            Refusal::Uncarried(_) => "uncarried",
            Refusal::Unquiet => "unquiet",
            Refusal::LowDisk { .. } => "low_disk",
            Refusal::InTheWay(_) => "in_the_way",
            Refusal::Damaged(_) => "damaged",
        }
    }
}

/// Why a step did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing is wrong; the clone stays as it is.
    Refused(Refusal),
    /// Something is.
    Failed(Failure),
}

impl From<GitError> for Stop {
    fn from(e: GitError) -> Stop {
        let text = e.to_string();
        match e {
            GitError::Foreign { .. } => Stop::Refused(Refusal::Foreign(text)),
            GitError::LockFiles(_) => Stop::Refused(Refusal::LockFiles(text)),
            GitError::WrongBranch { .. } => Stop::Refused(Refusal::WrongBranch(text)),
            GitError::Conflict(_)
            | GitError::Unrelated(_)
            | GitError::PushRaces
            | GitError::NoRemoteBranch(_) => Stop::Refused(Refusal::Unpushed(text)),
            GitError::Unquiet => Stop::Refused(Refusal::Unquiet),
            GitError::BadPath { .. } => Stop::Refused(Refusal::Uncarried(text)),
            e => Stop::Failed(Failure::new(e.class(), text)),
        }
    }
}
