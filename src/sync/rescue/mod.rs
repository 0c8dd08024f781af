//! What was rescued on this machine and waits for somebody to look at it: rescue refs, copies that did not merge, and
//! directories that were put aside. Looking changes nothing.

mod aside;
mod find;
mod put;
mod show;

use std::path::PathBuf;

use jiff::Timestamp;

pub use aside::{AsideKind, Swept, expired, sweep};
pub use find::{Clone, Listing, clones, list};
pub use put::{Became, Put, restore};
pub use show::{RescuedFile, State, files};

/// Something that was rescued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Eight hex digits that name it on this machine.
    pub id: String,
    /// The clone it comes from.
    pub clone: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// When it was rescued.
    pub at: Timestamp,
    /// When it goes away by itself; `None` if it does not.
    pub until: Option<Timestamp>,
    /// How many files it has.
    pub files: usize,
    /// Which of them could not be merged and lie beside the present ones.
    pub unmerged: Vec<PathBuf>,
}

/// What a rescued thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Uncommitted work, in the ref of this name.
    Ref(String),
    /// One file's own version, lying beside the present one.
    Copy {
        /// The file, relative to the clone.
        path: PathBuf,
        /// Its own version, relative to the clone.
        copy: PathBuf,
    },
    /// A whole clone that was damaged or replaced, in this directory.
    Backup(PathBuf),
    /// A whole clone of a team that one no longer belongs to, in this directory.
    Revoked(PathBuf),
}

impl Kind {
    /// A word for programs.
    pub fn tag(&self) -> &'static str {
        match self {
            Kind::Ref(_) => "ref",
            Kind::Copy { .. } => "copy",
            Kind::Backup(_) => "backup",
            Kind::Revoked(_) => "revoked",
        }
    }

    /// A word for a table.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Ref(_) => "uncommitted work",
            Kind::Copy { .. } => "conflict copy",
            Kind::Backup(_) => "replaced clone",
            Kind::Revoked(_) => "revoked clone",
        }
    }
}
