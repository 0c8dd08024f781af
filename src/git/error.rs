//! What can go wrong with git, classified and safe to show. What a child printed is read in [`super::output`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{MINIMUM, Version};
use super::limits::{NAMED_PATHS, PUSH_ATTEMPTS, REPLAY_MAX};
use crate::http::HttpError;
use crate::kit::Class;
use crate::kit::child::ChildError;
use crate::kit::mask::sanitise;

/// An error of the git room. Its text never carries a secret and is bounded; [`GitError::class`] decides on retry.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// A git child ended with an error.
    #[error("git {sub} failed: {message}")]
    Failed {
        /// The sub-command.
        sub: &'static str,
        /// What kind of failure its output tells of.
        class: Class,
        /// The first useful lines of its output, sanitised.
        message: String,
        /// The exit code; `None` if a signal ended it.
        code: Option<i32>,
    },
    /// A git child did not end in time and was stopped.
    #[error("git {sub} did not end within {} s", after.as_secs())]
    Timeout {
        /// The sub-command.
        sub: &'static str,
        /// The deadline it missed.
        after: Duration,
        /// Whether it was talking to a remote.
        network: bool,
    },
    /// A git child talked to a remote that sent nothing which brings the work forward, and was stopped.
    #[error("git {sub} was stopped: {host} sent nothing of use for {} s", after.as_secs())]
    Stalled {
        /// The sub-command.
        sub: &'static str,
        /// Host and port.
        host: String,
        /// For how long.
        after: Duration,
    },
    /// What a remote sends takes more than a git child may have.
    #[error("git {sub} was stopped: what {host} sends takes more than {} MiB of {what}", most >> 20)]
    TooLarge {
        /// The sub-command.
        sub: &'static str,
        /// Host and port.
        host: String,
        /// What it takes too much of.
        what: &'static str,
        /// The bound, in bytes.
        most: u64,
    },
    /// A remote sends whoever asks to another host, which nobody has agreed to.
    #[error("{from} redirects to {to}, which is not trusted; nothing was sent there")]
    Redirected {
        /// Host and port of the remote.
        from: String,
        /// Host and port it names.
        to: String,
    },
    /// The caller's cancel flag ended the operation.
    #[error("git {0} was cancelled")]
    Cancelled(&'static str),
    /// There is no `git` program.
    #[error("git is not installed or not in PATH")]
    NotInstalled,
    /// The `git` program is older than what is needed.
    #[error("git {0} is too old: {MINIMUM} or newer is needed")]
    TooOld(Version),
    /// A remote could not be asked over HTTP.
    #[error("asking the remote failed: {0}")]
    Http(#[from] HttpError),
    /// A remote answered over HTTP, but not with success.
    #[error("{host} answered with HTTP status {status}{}", meaning(*status))]
    Refused {
        /// Host and port.
        host: String,
        /// The status.
        status: u16,
        /// How long it asks to wait before the next request.
        retry_after: Option<Duration>,
    },
    /// A remote's answer over HTTP broke off.
    #[error("the answer of {0} ended too early")]
    CutOff(String),
    /// What answers over HTTP is no git server.
    #[error("{host} does not answer as a git server: {why}")]
    NotSmart {
        /// Host and port.
        host: String,
        /// What is wrong with the answer.
        why: &'static str,
    },
    /// The remote keeps no large files.
    #[error("{0} has no Git LFS")]
    NoLfs(String),
    /// The server of large files is of no use.
    #[error("Git LFS at {host}: {why}")]
    Lfs {
        /// Host and port of the remote.
        host: String,
        /// What kind of failure it is.
        class: Class,
        /// Why.
        why: String,
    },
    /// The server of large files answered, but not with success.
    #[error("Git LFS at {host} answered with HTTP status {status}{}", said_as(said, *status))]
    LfsRefused {
        /// Host and port of the remote.
        host: String,
        /// The status.
        status: u16,
        /// The server's own words, sanitised; may be empty.
        said: String,
        /// How long it asks to wait before the next request.
        retry_after: Option<Duration>,
    },
    /// Large files that did not come or go.
    #[error("{doing} Git LFS at {host} failed: {}", list_unmoved(failed))]
    LfsObjects {
        /// What was done: `uploading to`, `downloading from`.
        doing: &'static str,
        /// Host and port of the remote.
        host: String,
        /// Which, and why; never empty.
        failed: Vec<Unmoved>,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// A read in process failed.
    #[error("{what}: {message}")]
    Library {
        /// What was read.
        what: &'static str,
        /// What kind of failure it is.
        class: Class,
        /// The library's words, sanitised.
        message: String,
    },
    /// The operating system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another git process works in the clone, or died there.
    #[error("the clone is in use: {}", list(.0))]
    LockFiles(Vec<PathBuf>),
    /// Somebody else's merge, rebase or the like is under way; it is left alone.
    #[error("a {what} that is not ours is under way in the clone")]
    Foreign {
        /// What is under way.
        what: &'static str,
        /// Since when.
        age: Duration,
    },
    /// Both sides changed these paths and no rule decides.
    #[error("conflict in {}", list(.0))]
    Conflict(Vec<PathBuf>),
    /// The gate keeps what was to be pushed.
    #[error("{0}")]
    Held(String),
    /// More own commits than are replayed.
    #[error("more than {REPLAY_MAX} commits wait that the remote lacks, while it has others")]
    TooManyCommits,
    /// Our own rebase could not be taken back; the next holder of the lock tries again.
    #[error("a rebase could not be aborted: {0}")]
    RebaseStuck(String),
    /// The clone is not on the branch that is kept in sync.
    #[error("the clone is on {found}, not on branch {wanted}")]
    WrongBranch {
        /// Where HEAD is.
        found: String,
        /// The branch that is kept in sync.
        wanted: String,
    },
    /// There is nothing at a remote's address.
    #[error("there is no repository at {0}")]
    NoRepository(String),
    /// The remote has no such branch.
    #[error("the remote has no branch {0}")]
    NoRemoteBranch(String),
    /// The remote's branch shares no commit with ours: it is another repository's.
    #[error("branch {0} of the remote has no commit in common with the clone")]
    Unrelated(String),
    /// Dirty files kept changing while they were being put aside.
    #[error("files in the clone keep changing")]
    Unquiet,
    /// A path that must not be committed or written.
    #[error("{}: {why}", path.display())]
    BadPath {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// A file that claims to be JSON and is not.
    #[error("{} is not valid JSON: {message}", path.display())]
    BadJson {
        /// The path.
        path: PathBuf,
        /// The parser's words, without content.
        message: String,
    },
    /// There is something at the target already.
    #[error("{} exists already", .0.display())]
    AlreadyExists(PathBuf),
    /// Other machines pushed first at every attempt.
    #[error("the remote kept changing during {PUSH_ATTEMPTS} attempts to push")]
    PushRaces,
    /// What was just made does not hold together.
    #[error("{what} is damaged: {proof}")]
    Damaged {
        /// What was looked at.
        what: &'static str,
        /// What proves it.
        proof: String,
    },
}

impl GitError {
    /// The class, which decides on retry.
    pub fn class(&self) -> Class {
        match self {
            GitError::Failed { class, .. } | GitError::Library { class, .. } => *class,
            GitError::Http(e) => e.class(),
            GitError::Refused { status, .. } | GitError::LfsRefused { status, .. } => {
                class_of_status(*status)
            }
            GitError::Lfs { class, .. } => *class,
            // What somebody has to do something about counts before what is only to be tried again.
            GitError::LfsObjects { failed, .. } => {
                let lasting = failed.iter().map(|f| f.class).find(|c| *c != Class::Network);
                lasting.unwrap_or(Class::Network)
            }
            GitError::Timeout { network: true, .. } | GitError::Stalled { .. } | GitError::CutOff(_) => {
                Class::Network
            }
            GitError::Timeout { .. }
            | GitError::Cancelled(_)
            | GitError::LockFiles(_)
            | GitError::Foreign { .. }
            | GitError::Unquiet
            | GitError::PushRaces => Class::Busy,
            GitError::Io { source, .. } => match source.kind() {
                io::ErrorKind::InvalidData => Class::Damage,
                _ => Class::of_io(source),
            },
            GitError::Conflict(_) | GitError::TooManyCommits | GitError::Unrelated(_) => Class::Conflict,
            GitError::RebaseStuck(_) | GitError::Damaged { .. } => Class::Damage,
            GitError::NotSmart { .. }
            | GitError::TooLarge { .. }
            | GitError::Redirected { .. }
            | GitError::NoLfs(_)
            | GitError::NotInstalled
            | GitError::TooOld(_)
            | GitError::WrongBranch { .. }
            | GitError::NoRepository(_)
            | GitError::NoRemoteBranch(_)
            | GitError::Held(_)
            | GitError::BadPath { .. }
            | GitError::BadJson { .. }
            | GitError::AlreadyExists(_) => Class::Usage,
        }
    }

    /// How long the remote asked to be left alone; callers wait that long before they ask again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            GitError::Refused { retry_after, .. }
            | GitError::LfsRefused { retry_after, .. }
            | GitError::LfsObjects { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a git child may have been ended before it could tidy up after itself.
    pub(super) fn cut_short(&self) -> bool {
        matches!(
            self,
            GitError::Timeout { .. }
                | GitError::Stalled { .. }
                | GitError::TooLarge { .. }
                | GitError::Cancelled(_)
                | GitError::Failed { code: None, .. }
        )
    }

    /// Whether a git child may have ended because it could not fetch contents that it needed.
    pub(super) fn lacked_contents(&self) -> bool {
        matches!(self, GitError::Failed { class: Class::Network | Class::Auth, .. })
    }

    /// Whether the remote said that another machine pushed first.
    pub(super) fn lost_a_race(&self) -> bool {
        match self {
            GitError::Failed { sub: "push", message, .. } => [
                "(non-fast-forward)",
                "(fetch first)",
                "(cannot lock ref",
                "(incorrect old value",
                "(failed to update ref",
            ]
            .iter()
            .any(|m| message.contains(m)),
            _ => false,
        }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GitError {
        let path = path.to_path_buf();
        move |source| GitError::Io { what, path, source }
    }

    pub(super) fn git2(what: &'static str) -> impl FnOnce(git2::Error) -> GitError {
        move |e| GitError::Library { what, class: class_of_git2(&e), message: sanitise(e.message()) }
    }

    /// Why a git child did not end by itself; `host` is the remote's, if it talks to one.
    pub(super) fn child(sub: &'static str, host: Option<&str>, error: ChildError) -> GitError {
        let name = || host.unwrap_or("this machine").to_owned();
        match error {
            ChildError::NotFound { .. } => GitError::NotInstalled,
            ChildError::Timeout { after, .. } => GitError::Timeout { sub, after, network: host.is_some() },
            ChildError::Stalled { after, .. } => GitError::Stalled { sub, host: name(), after },
            ChildError::TooMuch { most, .. } => {
                GitError::TooLarge { sub, host: name(), what: "output", most }
            }
            ChildError::Cancelled { .. } | ChildError::Enough { .. } => GitError::Cancelled(sub),
            ChildError::Spawn { source, .. } | ChildError::Io { source, .. } => {
                GitError::Io { what: "running git", path: PathBuf::from(sub), source }
            }
        }
    }
}

/// A large file that did not come or go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmoved {
    /// The file's name.
    pub name: String,
    /// What kind of failure it is.
    pub class: Class,
    /// Why, in words without a secret.
    pub why: String,
}

fn list_unmoved(failed: &[Unmoved]) -> String {
    let mut text: Vec<String> =
        failed.iter().take(NAMED_PATHS).map(|f| format!("{}: {}", f.name, f.why)).collect();
    if failed.len() > NAMED_PATHS {
        text.push(format!("and {} more", failed.len() - NAMED_PATHS));
    }
    text.join("; ")
}

fn said_as(said: &str, status: u16) -> String {
    if said.is_empty() { meaning(status).to_owned() } else { format!(": {said}") }
}

/// The class of an HTTP status that is no success. What a server cannot do for now counts as not being reached.
pub(super) fn class_of_status(status: u16) -> Class {
    match status {
        401 | 403 | 407 => Class::Auth,
        408 | 425 | 429 | 500..=599 => Class::Network,
        _ => Class::Usage,
    }
}

/// What a person can make of an HTTP status.
fn meaning(status: u16) -> &'static str {
    match status {
        401 => ": it wants a login that it accepts",
        413 => ": it is too large for the server",
        507 => ": the server has no room left",
        403 => ": this login may not read the repository",
        404 | 410 => ": repository not found",
        429 => ": too many requests",
        300..=399 => ": the repository is at another address",
        500..=599 => ": the server has a problem of its own",
        _ => "",
    }
}

fn list(paths: &[PathBuf]) -> String {
    let mut text: Vec<String> = paths.iter().take(NAMED_PATHS).map(|p| p.display().to_string()).collect();
    if paths.len() > NAMED_PATHS {
        text.push(format!("and {} more", paths.len() - NAMED_PATHS));
    }
    text.join(", ")
}

fn class_of_git2(e: &git2::Error) -> Class {
    use git2::{ErrorClass, ErrorCode};
    match (e.code(), e.class()) {
        (ErrorCode::Locked, _) => Class::Busy,
        (ErrorCode::Owner, _) => Class::Usage,
        (ErrorCode::NotFound, ErrorClass::Os | ErrorClass::Repository) => Class::Usage,
        (_, ErrorClass::Os) => Class::Disk,
        (_, ErrorClass::Odb | ErrorClass::Zlib | ErrorClass::Object) => Class::Damage,
        (ErrorCode::NotFound | ErrorCode::InvalidSpec, _) => Class::Usage,
        _ => Class::Bug,
    }
}
