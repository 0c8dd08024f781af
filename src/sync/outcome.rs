//! What a sync or a clone came to, as plain facts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::guard::{HELD_BACK, MEND};
use crate::git::GitError;
use crate::kit::{Class, shell};

/// Where a managed clone is and where it comes from, as the last run found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloneInfo {
    /// The clone's directory.
    pub path: PathBuf,
    /// The remote, fit to be shown: no secret in it.
    pub url: String,
    /// Host behind the remote; `None` for a directory of this machine.
    pub host: Option<String>,
    /// Whether the clone is there.
    pub exists: bool,
    /// Nothing is pushed there, by what is known on this machine.
    pub read_only: bool,
    /// Directory for what belongs to the clone and never enters it.
    pub state: PathBuf,
}

/// Why a run did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Another run looked less than half an interval ago, and nothing is to be pushed.
    Fresh,
    /// Somebody else works on the clone.
    Busy,
    /// Its server has yet to say where the remote is.
    NotNamed,
    /// Git's own lock files stand in it.
    LockFiles(Vec<String>),
    /// A rebase, merge or the like that is not ours is in progress.
    Foreign {
        /// What it is, in git's words.
        what: String,
        /// Since when nothing in it moved.
        age: Duration,
    },
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Files that the remote's commits changed here.
    pub files_in: u64,
    /// HEAD was moved by the remote's commits.
    pub pulled: bool,
    /// Commits of ours that the remote took.
    pub pushed: u64,
    /// Both sides had commits.
    pub diverged: bool,
    /// Where uncommitted work was kept that could not be merged back, and which files it is.
    pub kept: Option<Conflict>,
}

/// Uncommitted work that stood in the way and could not be merged back whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The ref that holds all of it.
    pub reference: String,
    /// The files whose own version now lies beside them.
    pub paths: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Level with the remote.
    UpToDate(Change),
    /// Nothing was done.
    Skipped(Skip),
    /// There is no clone yet.
    NoClone,
    /// The clone was damaged and has been put aside under this name.
    PutAside(PathBuf),
    /// It failed.
    Failed(Failure),
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Decides what happens next.
    pub class: Class,
    /// What the wire and the log say.
    pub text: String,
    /// What the failure left for a person to decide, if it did.
    pub blocked: Option<Blocked>,
    /// The remote asked to be left alone for so long.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that leaves nobody anything to decide.
    pub fn new(class: Class, text: impl Into<String>) -> Failure {
        Failure { class, text: text.into(), blocked: None, retry_after: None }
    }

    /// A failure of the disk: `what` was tried with `path`.
    pub fn io(what: &str, path: &Path, e: &std::io::Error) -> Failure {
        Failure::new(Class::of_io(e), format!("{what} {}: {e}", path.display()))
    }

    /// One that does.
    pub fn blocked(self, blocked: Blocked) -> Failure {
        Failure { blocked: Some(blocked), ..self }
    }
}

impl From<GitError> for Failure {
    fn from(e: GitError) -> Failure {
        let blocked = match &e {
            GitError::Conflict(_) => Some(Blocked::Conflict),
            GitError::RebaseStuck(_) => Some(Blocked::RebaseStuck),
            GitError::WrongBranch { .. } | GitError::Unrelated(_) | GitError::NoRemoteBranch(_) => {
                Some(Blocked::Diverged)
            }
            GitError::Redirected { .. } => Some(Blocked::Redirected),
            GitError::Held(_) => Some(Blocked::Secrets),
            _ => None,
        };
        let mut text = e.to_string();
        if matches!(e, GitError::Redirected { .. } | GitError::Refused { status: 300..=399, .. }) {
            text += "; if the repository has moved, set its new address: ox ledger set-remote, ox team add";
        }
        Failure { class: e.class(), text, blocked, retry_after: e.retry_after() }
    }
}

/// A failure that stays until somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Both sides changed the same file.
    Conflict,
    /// Both sides have commits that cannot be brought together.
    Diverged,
    /// Our own rebase could not be undone.
    RebaseStuck,
    /// The project names another remote than the one the clone has.
    OtherRemote,
    /// The remote's host was named by somebody else and is not trusted.
    Untrusted,
    /// The remote redirects to a host that was not agreed on.
    Redirected,
    /// What is to be pushed holds secrets.
    Secrets,
}

/// What is known of a clone after a run, beside how the run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// HEAD, in hex; empty if unknown.
    pub head: String,
    /// When the remote's branch was last seen to move.
    pub remote_changed: Option<Timestamp>,
    /// What the clone should hold and does not, in words; `None` if nothing is missing.
    pub missing: Option<String>,
    /// What waits to be committed and cannot be, in words; `None` if nothing does.
    pub stuck: Option<String>,
    /// The time between syncs that the team asks for.
    pub interval: Option<Duration>,
    /// The days between two gcs that the team asks for.
    pub gc_days: Option<u32>,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where the clone is; `None` if that could not be found out.
    pub place: Option<CloneInfo>,
    /// What is known of it; `None` if the run did not come so far.
    pub facts: Option<Facts>,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub took: Duration,
}

/// What leads out of a failed run on the clone at `path`, the team's of that id or the ledger, whose remote is `remote`, as it may be typed:
/// the same on every page. `None` where nobody knows more than the doctor.
pub fn way_out(class: Class, text: &str, path: &Path, remote: &str, team: Option<&str>) -> Option<String> {
    let sync = team.map_or("ox sync".to_owned(), |id| format!("ox sync --team {id}"));
    let at = || shell::word(&path.to_string_lossy());
    let has = |part: &str| text.contains(part);
    Some(match class {
        _ if text.ends_with("is not trusted yet") => "ox up".to_owned(),
        _ if has(HELD_BACK) => format!("{MEND}, then: {sync}"),
        Class::Conflict => format!("git -C {} pull --rebase, settle what it names, then: {sync}", at()),
        Class::Auth => {
            format!("git ls-remote {} (until it succeeds here), then: {sync}", shell::word(remote))
        }
        Class::Usage if ["not found", "does not exist", "no repository"].iter().any(|part| has(part)) => {
            team.map_or("ox ledger set-remote <URL>".to_owned(), |id| format!("ox team add {id}=<URL>"))
        }
        Class::Busy if has(" in progress") => {
            format!("git -C {} status, end what it names, then: {sync}", at())
        }
        Class::Network | Class::Busy => format!("{sync}, as soon as the remote answers"),
        _ if has("push failed") => format!("{sync}, as soon as the remote accepts the push"),
        _ => return None,
    })
}
