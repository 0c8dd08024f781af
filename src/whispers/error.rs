//! What can go wrong with murmurs and whispers.

use std::io;
use std::path::PathBuf;

use super::murmur::Refused;
use crate::git::GitError;
use crate::kit::{Class, sqlite};

/// Why something with murmurs or whispers failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A database refused.
    #[error("{path}: {source}")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Another process is about to put a damaged database aside.
    #[error("{path}: another process is mending it")]
    Mending {
        /// Which.
        path: PathBuf,
    },
    /// A murmur that nobody would take.
    #[error("the murmur is refused: {0}")]
    Refused(Refused),
    /// A clone refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A bound is reached.
    #[error("{max} {what} are too many")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Error::Io { .. } => Class::Disk,
            Error::Database { source, .. } => sqlite::class(source),
            Error::Mending { .. } | Error::Full { .. } => Class::Busy,
            Error::Refused(_) => Class::Usage,
            Error::Git(e) => e.class(),
        }
    }
}
