//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;

use crate::kit::sqlite;

/// Why events cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is one of a newer program.
    #[error("{} is of a newer version of ox ({found}, this one knows {known})", path.display())]
    Newer {
        /// It.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The database cannot be used.
    #[error("{}: {source}", path.display())]
    Database {
        /// It.
        path: PathBuf,
        /// What the library says.
        source: rusqlite::Error,
    },
    /// The disk refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the content of the database is what is wrong: it would be so again.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Database { source, .. } => sqlite::is_wrong(source),
            StoreError::Newer { .. } | StoreError::Io { .. } => false,
        }
    }
}
