//! Errors of the rooms as a person reads them: what failed, why, and the next command.

use std::io::ErrorKind;
use std::path::Path;

use super::exit::Exit;
use super::failure::Failure;
use crate::daemon::reach::ReachError;
use crate::git::{NoWorkTree, is_in_repository};
use crate::ipc::client::ClientError;
use crate::kit::{Class, shell};
use crate::project::Error;
use crate::sync::{SetupError, way_out};

/// A failure from an error of the project's files.
pub fn of_project(error: &Error) -> Failure {
    let exit = Exit::of_class(error.class());
    match error {
        Error::NoProject { from } if is_in_repository(from) => {
            Failure::new(exit, "this repository does not use ox yet").on_path(from).hint("ox up")
        }
        Error::NoProject { from } => {
            Failure::new(exit, "not in a git repository").on_path(from).hint("git init")
        }
        Error::NotInitialized { root } => {
            Failure::new(exit, "the project is not initialised").on_path(root).hint("ox up")
        }
        Error::UnknownKey { key } => Failure::new(exit, "unknown key").on(key).hint("ox config list"),
        Error::NotSettable { key, instead } => {
            Failure::new(exit, "the key is not set this way").on(key).hint(*instead)
        }
        Error::BadValue { .. } => Failure::new(exit, error.to_string()),
        Error::RemoteRefused { url, reason } => {
            Failure::new(exit, "the remote is refused").on(url).because_of(*reason)
        }
        Error::Write { path, source } | Error::Read { path, source } => {
            let failure = Failure::new(exit, error.to_string());
            let dir = shell::word(&path.parent().unwrap_or(path).to_string_lossy());
            match source.kind() {
                ErrorKind::PermissionDenied => {
                    failure.hint(format!("ls -ld {dir}, and make it readable and writable"))
                }
                ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => {
                    failure.hint(format!("df -h {dir}"))
                }
                _ => failure.hint("ox doctor"),
            }
        }
        // What no check of the doctor looks at.
        Error::BadTeamId { .. } => Failure::new(exit, error.to_string()).hint("ox team list"),
        Error::Busy { .. } | Error::ForeignHome { .. } | Error::NoHome | Error::Newer { .. } => {
            Failure::new(exit, error.to_string())
        }
        _ => Failure::new(exit, error.to_string()).hint("ox doctor"),
    }
}

/// A failure from not reaching the daemon.
pub fn of_reach(error: &ReachError) -> Failure {
    match error {
        ReachError::NotRunning => {
            Failure::new(Exit::NotRunning, "the daemon is not running").hint("ox daemon start")
        }
        ReachError::Disabled { by } => {
            let what = format!("the daemon is not running, and {by} keeps ox from starting it");
            Failure::new(Exit::NotRunning, what).hint("ox daemon start")
        }
        ReachError::Unresponsive { pid } => Failure::new(Exit::Unresponsive, "the daemon does not answer")
            .on(format!("pid {pid}"))
            .hint("ox daemon restart"),
        ReachError::StartFailed { text } => {
            Failure::new(Exit::Failed, "the daemon could not be started").because_of(text).hint("ox doctor")
        }
        ReachError::Refused { text } => {
            Failure::new(Exit::Failed, "the daemon refused").because_of(text).hint("ox doctor")
        }
        ReachError::Client(error) => of_client("the daemon gave no answer", error),
    }
}

/// A failure from a call that the daemon did not answer as hoped.
pub fn of_client(what: &str, error: &ClientError) -> Failure {
    match error {
        ClientError::NotRunning { .. } => {
            Failure::new(Exit::NotRunning, "the daemon is not running").hint("ox daemon start")
        }
        ClientError::Remote(text) => Failure::new(Exit::Failed, what).because_of(text).hint("ox doctor"),
        ClientError::Timeout { .. } | ClientError::Closed { .. } => {
            Failure::new(Exit::Unresponsive, what).because(error).hint("ox daemon restart")
        }
        _ => Failure::new(Exit::Failed, what).because(error).hint("ox doctor"),
    }
}

fn of_no_work_tree(error: &NoWorkTree) -> Failure {
    match error {
        NoWorkTree::NoRepository(start) => {
            Failure::new(Exit::Usage, "not in a git repository").on_path(start).hint("git init")
        }
        NoWorkTree::Bare(path) => Failure::new(Exit::Usage, "a bare repository has no files to work on")
            .on_path(path)
            .hint(format!("git clone {}", shell::word(&path.to_string_lossy()))),
        NoWorkTree::Refused { path, why, remedy } => {
            let status = || format!("git -C {} status", shell::word(&path.to_string_lossy()));
            Failure::new(Exit::Usage, "git does not read this repository")
                .on_path(path)
                .because_of(why)
                .hint(remedy.clone().unwrap_or_else(status))
        }
    }
}

/// A failure from a run on the clone at `path`, whose remote is `remote`: each class with what leads out of it.
pub fn of_run(what: &str, text: &str, class: Class, path: &Path, remote: &str) -> Failure {
    let exit = match class {
        // A refusal of the other side is no fault of ours, whatever it was.
        Class::Bug => Exit::Failed,
        class => Exit::of_class(class),
    };
    let failure = Failure::new(exit, what).because_of(text);
    failure.hint(way_out(class, text, path, remote, None).unwrap_or_else(|| "ox doctor".to_owned()))
}

/// A failure from setting up or moving a ledger.
pub fn of_setup(what: &str, error: &SetupError) -> Failure {
    let failure = Failure::new(Exit::of_class(error.class()), what);
    match error {
        SetupError::Project(error) => of_project(error),
        SetupError::NoWorkTree(error) => of_no_work_tree(error),
        SetupError::NoRepoId(root) => {
            Failure::new(Exit::Usage, "the project has no repo_id").on_path(root).hint("ox init --force")
        }
        SetupError::HasLedger(current) => Failure::new(Exit::Usage, "the project has a ledger already")
            .on(current)
            .hint("ox ledger set-remote <URL>"),
        SetupError::TeamsByServer(endpoint) => {
            Failure::new(Exit::Usage, "the teams of this project are named by its server").on(endpoint)
        }
        SetupError::OtherTeam { team, url } => Failure::new(Exit::Usage, "another team goes by that id")
            .on(team)
            .because_of(format!("here it is the team at {url}"))
            .hint(format!("ox team remove {team} --clone")),
        SetupError::NoTeamRemote(team) => Failure::new(Exit::Usage, "the team's context has no address")
            .on(team)
            .hint("ox team add <id>=<URL>"),
        SetupError::Busy => failure.because(error),
        _ => failure.because(error).hint("ox doctor"),
    }
}
