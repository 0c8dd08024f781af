//! What goes wrong with the archive.

use std::io;
use std::path::PathBuf;

use crate::kit::{Class, sqlite};

/// Why the archive cannot be read or written. Whatever it is, all that was kept before stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process copies at this moment.
    #[error("another process is archiving right now")]
    Busy,
    /// The index cannot be used.
    #[error("the index of the archive cannot be used: {}: {source}", path.display())]
    Index {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The index was made by a newer version of this program.
    #[error("the archive was made by a newer version of ox: {}", path.display())]
    Newer {
        /// Its path.
        path: PathBuf,
    },
    /// What is kept is not what the index says.
    #[error("what is kept of a transcript is damaged: {}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        source: io::Error,
    },
    /// The disk refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The class of what went wrong.
    pub fn class(&self) -> Class {
        match self {
            Error::Busy => Class::Busy,
            Error::Index { source, .. } => sqlite::class(source),
            Error::Newer { .. } => Class::Usage,
            Error::Damaged { .. } => Class::Damage,
            Error::Io { source, .. } => Class::of_io(source),
        }
    }

    /// Whether the disk has no room left.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}
