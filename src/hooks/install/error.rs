//! Why an agent's hooks were not changed.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use super::edit::Refusal;
use crate::kit::Class;
use crate::project;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A settings file that its program rejects.
    #[error("{}: {why}, so its program ignores the whole file", path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that is not what it should be.
    #[error("{}: {why}", path.display())]
    Unclear {
        /// The file.
        path: PathBuf,
        /// Why it is left alone.
        why: String,
    },
    /// What is written here would end up in somebody else's settings.
    #[error(
        "this is a container ({0}), and what is written here may be the settings of the machine around it"
    )]
    Container(&'static str),
    /// Somebody else changes the file.
    #[error("{}: another process changes it", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory that cannot be read or written.
    #[error("{}", path.display())]
    Disk {
        /// It.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The user's settings cannot be read, so nobody knows what is wanted.
    #[error(transparent)]
    Settings(#[from] project::Error),
}

impl Error {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Error::Rejected { .. } | Error::Unclear { .. } => Class::Damage,
            Error::Container(_) => Class::Usage,
            Error::Busy { .. } => Class::Busy,
            Error::Disk { source, .. } => Class::of_io(source),
            Error::Settings(error) => error.class(),
        }
    }

    /// Whether something could not be read or written, rather than being left alone for a reason.
    pub fn is_disk(&self) -> bool {
        matches!(self, Error::Disk { .. } | Error::Settings(_))
    }

    /// It and what caused it, in one line.
    pub fn line(&self) -> String {
        self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }

    pub(super) fn disk(path: &Path, source: io::Error) -> Error {
        Error::Disk { path: path.to_owned(), source }
    }

    pub(super) fn refused(path: &Path, refusal: Refusal) -> Error {
        let path = path.to_owned();
        match refusal {
            Refusal::Rejected(why) => Error::Rejected { path, why },
            Refusal::Unclear(why) => Error::Unclear { path, why },
        }
    }
}
