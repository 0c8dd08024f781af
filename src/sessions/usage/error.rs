//! What can go wrong when usage is counted.

use std::io;
use std::path::PathBuf;

use crate::kit::sqlite;

/// Why usage cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
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
    /// Somebody else counts.
    #[error("another command is counting")]
    Busy,
    /// A table of prices cannot be read.
    #[error("{}: {why}", path.display())]
    Prices {
        /// It.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
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

impl UsageError {
    /// Whether the database itself is what is wrong, and not the moment: it would be so again.
    pub fn is_damage(&self) -> bool {
        match self {
            UsageError::Newer { .. } => true,
            UsageError::Database { source, .. } => sqlite::is_wrong(source),
            UsageError::Busy | UsageError::Prices { .. } | UsageError::Io { .. } => false,
        }
    }
}
