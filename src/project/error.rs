//! What can go wrong with ids, directories and configuration files.

use std::io;
use std::path::{Path, PathBuf};

use crate::kit::Class;

/// An error of this room. Its text names what failed, on which file, why, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `HOME` nor the user database names a home directory, and not every `XDG_*` directory is set.
    #[error("no home directory is known: set HOME")]
    NoHome,
    /// No directory from here up to the root holds `.sageox/`.
    #[error("no project here: no .sageox directory in {} or above it; run `ox up`", from.display())]
    NoProject {
        /// Where the search began.
        from: PathBuf,
    },
    /// `.sageox/` or its `config.json` is missing.
    #[error("project not initialized: {} has no .sageox/config.json; run `ox up` there", root.display())]
    NotInitialized {
        /// The project's root.
        root: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written; its old content stands.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there and does not say anything sensible. It is never taken for an empty one.
    #[error("{} is damaged: {reason}; repair it or restore it from git", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A file of a version that this program does not know.
    #[error("{} is of version {version}, made by a newer ox; upgrade this one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A file with tokens is there and does not say anything sensible. Nothing goes on as if there were no login.
    #[error("{}{} cannot be used: {reason}; mend it, or move it away and log in again", path.display(),
        named.map(|name| format!(" (named by {name})")).unwrap_or_default())]
    DamagedSecret {
        /// The file.
        path: PathBuf,
        /// The variable that named it, if one did.
        named: Option<&'static str>,
        /// What is wrong, without a word out of the file.
        reason: String,
    },
    /// A team id that cannot be one.
    #[error("team id {id:?} refused: {reason}")]
    BadTeamId {
        /// The id, cut if it is long.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another process has been changing the file for too long.
    #[error("{} is being changed by another process; try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A directory on the way is a symbolic link, through which we do not write.
    #[error("{} is a symbolic link; nothing is written through it", path.display())]
    Linked {
        /// The link.
        path: PathBuf,
    },
    /// A clone would lie where none may. Other programs look for this text; it never repeats the path.
    #[error("invalid repo path: path traversal or unsafe location detected")]
    UnsafePath,
    /// A directory of ours belongs to somebody else, as with `sudo` and the user's HOME: what is written there would lock them out.
    #[error("{} belongs to user {owner}, and this is user {us}; run the same command as user {owner}, without sudo", path.display())]
    ForeignHome {
        /// The directory, or the nearest one above it that exists.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        us: u32,
    },
    /// A remote URL that is never used, whoever wrote it.
    #[error("remote {url:?} refused: {reason}")]
    RemoteRefused {
        /// The URL, its secrets masked and its length cut.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No such configuration key.
    #[error("unknown key {key:?}; `ox config list` shows all")]
    UnknownKey {
        /// The key as given.
        key: String,
    },
    /// A value that the key cannot have.
    #[error("{key} {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A key that is only shown here.
    #[error("{key} is not set this way; {instead}")]
    NotSettable {
        /// The key.
        key: String,
        /// The command that changes it.
        instead: &'static str,
    },
}

impl Error {
    /// The class that decides what happens next.
    pub fn class(&self) -> Class {
        match self {
            Error::Read { source, .. } | Error::Write { source, .. } => Class::of_io(source),
            Error::Damaged { .. } => Class::Damage,
            Error::DamagedSecret { .. } => Class::Auth,
            Error::Busy { .. } => Class::Busy,
            Error::NoHome
            | Error::Newer { .. }
            | Error::ForeignHome { .. }
            | Error::NoProject { .. }
            | Error::NotInitialized { .. }
            | Error::Linked { .. }
            | Error::UnsafePath
            | Error::BadTeamId { .. }
            | Error::RemoteRefused { .. }
            | Error::UnknownKey { .. }
            | Error::BadValue { .. }
            | Error::NotSettable { .. } => Class::Usage,
        }
    }

    pub(super) fn read(path: &Path, source: io::Error) -> Error {
        Error::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Error {
        Error::Write { path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, reason: impl ToString) -> Error {
        Error::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn damaged_secret(path: &Path, named: Option<&'static str>, reason: String) -> Error {
        Error::DamagedSecret { path: path.to_owned(), named, reason }
    }
}
