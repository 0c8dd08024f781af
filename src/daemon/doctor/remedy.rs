//! How a finding is mended. Remedies are values, not sentences, so that tests can carry them out.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::git::{CloneLock, lock_files};
use crate::kit::clock::{Clock as _, SystemClock};

/// How long the clone's lock is waited for before a lock file in it is removed.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// A way to mend a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A command of ours.
    Ox(Command),
    /// Something that `ox doctor --fix` does.
    Fix(Fix),
    /// Something that only a person can do.
    Person(String),
}

impl Remedy {
    /// What the person reads after `hint:`.
    pub fn hint(&self) -> String {
        match self {
            Remedy::Ox(command) => format!("ox {}", command.words().join(" ")),
            Remedy::Fix(_) => "ox doctor --fix".into(),
            Remedy::Person(text) => text.clone(),
        }
    }
}

/// A command of ours that mends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the project.
    Init,
    /// Write the project's files again.
    InitForce,
    /// Say yes to the ledger's host, and sync.
    Up,
    /// Sync now.
    Sync,
    /// Start the daemon, and have it serve the project.
    DaemonStart,
    /// Stop the daemon and start it again.
    DaemonRestart,
    /// Read what the daemon wrote down.
    DaemonLogs,
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 7] = [
        Command::Init,
        Command::InitForce,
        Command::Up,
        Command::Sync,
        Command::DaemonStart,
        Command::DaemonRestart,
        Command::DaemonLogs,
    ];

    /// The words after `ox`.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Command::Init => &["init"],
            Command::InitForce => &["init", "--force"],
            Command::Up => &["up"],
            Command::Sync => &["sync"],
            Command::DaemonStart => &["daemon", "start"],
            Command::DaemonRestart => &["daemon", "restart"],
            Command::DaemonLogs => &["daemon", "logs"],
        }
    }
}

/// What `ox doctor --fix` does: one change of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Take other people's rights off a directory of ours.
    MakePrivate(PathBuf),
    /// Remove lock files that git left in a clone, unless they have changed since or the clone is in use.
    RemoveGitLocks {
        /// The clone.
        clone: PathBuf,
        /// The lock that guards it.
        guard: PathBuf,
        /// The files.
        files: Vec<PathBuf>,
    },
    /// Move what is in the way of a clone beside it, with the time in its name. Nothing is deleted.
    SetAside(PathBuf),
}

impl Fix {
    /// Does it, and says what was done.
    ///
    /// # Errors
    /// What the file system said; nothing else was changed then.
    pub fn apply(&self, now: Timestamp) -> io::Result<String> {
        match self {
            Fix::MakePrivate(path) => {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
                Ok(format!("took the rights of others off {}", path.display()))
            }
            Fix::RemoveGitLocks { clone, guard, files } => remove_locks(clone, guard, files),
            Fix::SetAside(path) => set_aside(path, now),
        }
    }
}

fn remove_locks(clone: &Path, guard: &Path, files: &[PathBuf]) -> io::Result<String> {
    let lock = CloneLock::acquire(guard, LOCK_WAIT).map_err(io::Error::other)?;
    let Some(_lock) = lock else {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the clone is in use"));
    };
    // Looked at again under the lock: what is no leftover any more stays.
    let now = SystemClock.now().wall;
    let still = lock_files(clone, now).map_err(io::Error::other)?;
    let mut removed = Vec::new();
    for file in still.iter().filter(|f| files.contains(&f.path) && super::git_lock::is_leftover(f)) {
        fs::remove_file(&file.path)?;
        removed.push(file.path.display().to_string());
    }
    Ok(if removed.is_empty() {
        "nothing to remove any more".into()
    } else {
        format!("removed {}", removed.join(", "))
    })
}

fn set_aside(path: &Path, now: Timestamp) -> io::Result<String> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("_backup_{}", now.as_second()));
    let to = path.with_file_name(name);
    if to.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", to.display())));
    }
    fs::rename(path, &to)?;
    Ok(format!("moved {} to {}", path.display(), to.display()))
}
