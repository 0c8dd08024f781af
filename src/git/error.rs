//! What can go wrong with git, classified and safe to show.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits::{NAMED_PATHS, REPLAY_MAX};
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
    #[error("git {sub} was cancelled")]
    Cancelled {
        /// The sub-command.
        sub: &'static str,
    },
    /// There is no `git` program.
    #[error("git is not installed or not in PATH")]
    NotInstalled,
    /// The `git` program is older than what is needed.
    #[error("git {found} is too old: {needed} or newer is needed")]
    TooOld {
        /// The version found.
        found: String,
        /// The oldest version that works.
        needed: &'static str,
    },
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
    #[error("the answer of {host} ended too early")]
    CutOff {
        /// Host and port.
        host: String,
    },
    /// What answers over HTTP is no git server.
    #[error("{host} does not answer as a git server: {why}")]
    NotSmart {
        /// Host and port.
        host: String,
        /// What is wrong with the answer.
        why: &'static str,
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
    #[error("the clone is in use: {}", list(files))]
    LockFiles {
        /// The lock files.
        files: Vec<PathBuf>,
    },
    /// Somebody else's merge, rebase or the like is under way; it is left alone.
    #[error("a {what} that is not ours is under way in the clone")]
    Foreign {
        /// What is under way.
        what: &'static str,
        /// Since when.
        age: Duration,
    },
    /// Both sides changed these paths and no rule decides.
    #[error("conflict in {}", list(paths))]
    Conflict {
        /// The paths.
        paths: Vec<PathBuf>,
    },
    /// More own commits than are replayed.
    #[error("more than {REPLAY_MAX} commits wait that the remote lacks, while it has others")]
    TooManyCommits,
    /// Our own rebase could not be taken back; the next holder of the lock tries again.
    #[error("a rebase could not be aborted: {message}")]
    RebaseStuck {
        /// Why not.
        message: String,
    },
    /// The clone is not on the branch that is kept in sync.
    #[error("the clone is on {found}, not on branch {wanted}")]
    WrongBranch {
        /// Where HEAD is.
        found: String,
        /// The branch that is kept in sync.
        wanted: String,
    },
    /// There is nothing at a remote's address.
    #[error("there is no repository at {url}")]
    NoRepository {
        /// The address.
        url: String,
    },
    /// The remote has no such branch.
    #[error("the remote has no branch {branch}")]
    NoRemoteBranch {
        /// The branch.
        branch: String,
    },
    /// The remote's branch shares no commit with ours: it is another repository's.
    #[error("branch {branch} of the remote has no commit in common with the clone")]
    Unrelated {
        /// The branch.
        branch: String,
    },
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
    #[error("{} exists already", path.display())]
    AlreadyExists {
        /// The target.
        path: PathBuf,
    },
    /// Other machines pushed first at every attempt.
    #[error("the remote kept changing during {attempts} attempts to push")]
    PushRaces {
        /// Attempts made.
        attempts: u32,
    },
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
            GitError::Refused { status, .. } => class_of_status(*status),
            GitError::Timeout { network: true, .. } | GitError::Stalled { .. } | GitError::CutOff { .. } => {
                Class::Network
            }
            GitError::Timeout { .. }
            | GitError::Cancelled { .. }
            | GitError::LockFiles { .. }
            | GitError::Foreign { .. }
            | GitError::Unquiet
            | GitError::PushRaces { .. } => Class::Busy,
            GitError::Io { source, .. } => match source.kind() {
                io::ErrorKind::InvalidData => Class::Damage,
                _ => Class::of_io(source),
            },
            GitError::Conflict { .. } | GitError::TooManyCommits | GitError::Unrelated { .. } => {
                Class::Conflict
            }
            GitError::RebaseStuck { .. } | GitError::Damaged { .. } => Class::Damage,
            GitError::NotSmart { .. }
            | GitError::TooLarge { .. }
            | GitError::Redirected { .. }
            | GitError::NotInstalled
            | GitError::TooOld { .. }
            | GitError::WrongBranch { .. }
            | GitError::NoRepository { .. }
            | GitError::NoRemoteBranch { .. }
            | GitError::BadPath { .. }
            | GitError::BadJson { .. }
            | GitError::AlreadyExists { .. } => Class::Usage,
        }
    }

    /// How long the remote asked to be left alone; callers wait that long before they ask again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            GitError::Refused { retry_after, .. } => *retry_after,
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
                | GitError::Cancelled { .. }
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
            ChildError::Cancelled { .. } => GitError::Cancelled { sub },
            ChildError::Spawn { source, .. } | ChildError::Io { source, .. } => {
                GitError::Io { what: "running git", path: PathBuf::from(sub), source }
            }
        }
    }

    /// The error that a failed git child's output tells of.
    pub(super) fn failed(sub: &'static str, code: Option<i32>, output: &str) -> GitError {
        let message = match useful(output) {
            _ if unasked_host(output).is_some() => {
                format!("git has no password for {}", unasked_host(output).unwrap_or_default())
            }
            m if m.is_empty() => match code {
                Some(code) => format!("exit status {code}"),
                None => "ended by a signal".to_owned(),
            },
            m => m,
        };
        let class = match code {
            Some(super::command::UNKNOWN_OPTION) => Class::Usage,
            _ => classify(output),
        };
        GitError::Failed { sub, class, message, code }
    }
}

/// The host that git would have asked a password for, had there been somebody to ask: no helper of the user's knows one.
fn unasked_host(output: &str) -> Option<String> {
    let begin = "could not read Username for '";
    let url = output.lines().find_map(|line| line.split_once(begin))?.1.split('\'').next()?;
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next()?;
    Some(sanitise(host.rsplit('@').next().unwrap_or_default()))
}

/// The class of an HTTP status that is no success. What a server cannot do for now counts as not being reached.
fn class_of_status(status: u16) -> Class {
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

/// Lower-case markers in git's output (`LC_ALL=C`), most specific class first: the first table that matches wins.
const MARKERS: &[(Class, &[&str])] = &[
    (
        Class::Disk,
        &["no space left on device", "disk quota exceeded", "read-only file system", "input/output error"],
    ),
    (
        Class::Conflict,
        &[
            "(non-fast-forward)",
            "(fetch first)",
            "not possible to fast-forward",
            "would be overwritten by",
            "conflict (",
            "could not apply",
            "you have unmerged",
            "needs merge",
            "would lose untracked files",
        ],
    ),
    (
        Class::Auth,
        &[
            "authentication failed",
            "permission denied (",
            "permission denied, please",
            "could not read username",
            "could not read password",
            "invalid credentials",
            "invalid username or",
            "host key verification failed",
            "http 401",
            "http 403",
            "returned error: 401",
            "returned error: 403",
            "access denied",
            "too many authentication failures",
        ],
    ),
    (
        Class::Network,
        &[
            "could not resolve host",
            "resolving timed out",
            "no such host",
            "name or service not known",
            "connection timed out",
            "operation timed out",
            "operation too slow",
            "timed out",
            "connection refused",
            "connection reset",
            "connection closed",
            "network is unreachable",
            "network is down",
            "no route to host",
            "temporary failure in name resolution",
            "ssl connect error",
            "ssl_error_syscall",
            "gnutls_handshake() failed",
            "empty reply from server",
            "failed to connect to",
            "couldn't connect to server",
            "unexpected disconnect",
            "the remote end hung up",
            "early eof",
            "deadline exceeded",
            "i/o timeout",
            "from promisor remote",
            "transfer closed with",
            "expected flush after",
            "too large response headers",
            "bad gateway",
            "service unavailable",
            "gateway timeout",
            "gateway time-out",
            "returned error: 429",
            "returned error: 500",
            "returned error: 502",
            "returned error: 503",
            "returned error: 504",
        ],
    ),
    (
        Class::Busy,
        &[
            ".lock': file exists",
            "another git process",
            "gc is already running",
            "cannot lock ref",
            "could not lock config file",
            "resource temporarily unavailable",
            "text file busy",
        ],
    ),
    (
        Class::Usage,
        &[
            "repository not found",
            "does not appear to be a git repository",
            "' does not exist",
            "returned error: 404",
            "http 404",
            "couldn't find remote ref",
            "dubious ownership",
            "unknown option",
            "not allowed",
            "not supported",
            "unable to find remote helper",
            "does not support",
            "does not allow request",
            "invalid refspec",
            "did not match any file",
        ],
    ),
    (
        Class::Disk,
        &["permission denied", "operation not permitted", "too many open files", "file name too long"],
    ),
    (
        Class::Damage,
        &[
            "not a git repository",
            "bad object",
            "bad tree object",
            "is corrupt",
            "object file",
            "index file",
            "bad signature",
            "inflate: data stream error",
            "unable to read tree",
            "unable to read sha1 file",
            "could not read",
            "missing blob",
            "broken ref",
            "invalid head",
            "bad revision 'head'",
            "your current branch appears to be broken",
        ],
    ),
];

/// The class that a failed child's output tells of; [`Class::Bug`] if it tells nothing.
pub(super) fn classify(output: &str) -> Class {
    let text = output.to_ascii_lowercase();
    // The remote-end line follows every failed ssh or path remote and says nothing by itself.
    let text = text.replace("could not read from remote repository", "");
    for (class, markers) in MARKERS {
        if markers.iter().any(|m| text.contains(m)) {
            return *class;
        }
    }
    Class::Bug
}

/// The first lines that say what failed, sanitised and bounded.
fn useful(output: &str) -> String {
    let noise = |l: &str| {
        l.is_empty() || l.starts_with("hint:") || l.starts_with("warning:") || l.starts_with("Done")
    };
    let lines: Vec<&str> = output.split(['\n', '\r']).map(str::trim).filter(|l| !noise(l)).collect();
    let telling = |l: &&&str| {
        ["fatal:", "error:", "ssh:", "! [", "!\t", "CONFLICT", "remote: error", "remote: fatal"]
            .iter()
            .any(|p| l.starts_with(p))
            || classify(l) != Class::Bug
    };
    // Who refuses a push says why in words of its own; progress is none.
    let is_refused = lines.iter().any(|l| l.contains("[remote rejected]"));
    let said = |l: &&&str| is_refused && l.starts_with("remote: ") && !l.contains('%');
    let mut picked: Vec<&str> = lines.iter().filter(said).take(2).copied().collect();
    let more: Vec<&str> =
        lines.iter().filter(telling).filter(|l| !picked.contains(*l)).take(3).copied().collect();
    picked.extend(more);
    if picked.is_empty() {
        picked = lines.iter().take(2).copied().collect();
    }
    sanitise(&picked.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_class(output: &str, expected: Class) {
        assert_eq!(GitError::failed("fetch", Some(128), output).class(), expected, "{output}");
    }

    #[test]
    fn output_is_classified() {
        check_class("fatal: unable to access 'https://x/': Could not resolve host: x", Class::Network);
        check_class(
            "ssh: Could not resolve hostname x: Name or service not known\nfatal: Could not read from remote repository.",
            Class::Network,
        );
        check_class(
            "fatal: unable to access 'https://x/': Failed to connect to x port 443: Connection refused",
            Class::Network,
        );
        check_class(
            "error: RPC failed; curl 56 GnuTLS recv error\nfetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF",
            Class::Network,
        );
        check_class(
            "fatal: unable to access 'http://x/': The requested URL returned error: 503",
            Class::Network,
        );
        check_class("fatal: Authentication failed for 'https://x/'", Class::Auth);
        check_class("fatal: could not read Username for 'https://x': terminal prompts disabled", Class::Auth);
        check_class(
            "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            Class::Auth,
        );
        check_class(
            "fatal: unable to access 'http://x/': The requested URL returned error: 403",
            Class::Auth,
        );
        check_class(
            "Host key verification failed.\nfatal: Could not read from remote repository.",
            Class::Auth,
        );
        check_class("remote: Repository not found.\nfatal: repository 'https://x/' not found", Class::Usage);
        check_class(
            "fatal: '/r.git' does not appear to be a git repository\nfatal: Could not read from remote repository.",
            Class::Usage,
        );
        check_class("fatal: couldn't find remote ref refs/heads/main", Class::Usage);
        check_class("fatal: detected dubious ownership in repository at '/r'", Class::Usage);
        check_class(" ! [rejected]        main -> main (fetch first)", Class::Conflict);
        check_class(
            "error: Your local changes to the following files would be overwritten by merge:\n\ta",
            Class::Conflict,
        );
        check_class(
            "fatal: Unable to create '/c/.git/index.lock': File exists.\n\nAnother git process seems to be running",
            Class::Busy,
        );
        check_class("error: cannot lock ref 'refs/heads/main': is at 1 but expected 2", Class::Busy);
        check_class("fatal: write error: No space left on device", Class::Disk);
        check_class("error: open(\"a\"): Permission denied", Class::Disk);
        check_class("fatal: loose object 12 (stored in .git/objects/1) is corrupt", Class::Damage);
        check_class("fatal: not a git repository (or any of the parent directories): .git", Class::Damage);
        check_class("fatal: something nobody has seen", Class::Bug);
        assert_eq!(GitError::failed("x", Some(129), "error: unknown switch").class(), Class::Usage);
    }

    #[test]
    fn a_message_names_the_command_and_the_useful_lines() {
        let e = GitError::failed(
            "push",
            Some(1),
            "hint: no\nwarning: w\nTo x\n! [rejected] main -> main (fetch first)\nhint: b",
        );
        assert_eq!(e.to_string(), "git push failed: ! [rejected] main -> main (fetch first)");
        assert!(e.lost_a_race());
        assert_eq!(GitError::failed("gc", Some(3), "").to_string(), "git gc failed: exit status 3");
    }
}
