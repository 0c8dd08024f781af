//! The archive: what agent programs wrote down of a project's sessions, kept when they delete it, on this machine alone.
//!
//! `<data>/<slug>/archive/<repository>/` holds `index.db`, `lock`, and a file of zstd frames for each version of a transcript. What a
//! transcript got is a further frame; one that was written anew is another version beside the old one; nothing is ever removed because its
//! source was. A frame is on disk before the index says so, and what stands behind that after a crash goes with the next run.

mod clean;
mod copy;
mod error;
mod frames;
mod index;
pub mod limits;
mod look;
mod read;
mod run;
mod status;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::project::Dirs;
use crate::redact::Redactor;

pub use error::Error;
pub use index::{Sums, Version};
pub use read::Unclear;
pub use run::{Copied, Done, How, Left};
pub use status::{Endangered, Status};

/// The archive of a project. Making one touches nothing.
#[derive(Clone, Debug)]
pub struct Archive {
    dir: PathBuf,
}

/// Where agent programs keep their transcripts, and which directories are the project's.
#[derive(Clone, Copy)]
pub struct Agents<'a> {
    /// The user's home directory.
    pub home: &'a Path,
    /// Gives variables.
    pub get: &'a dyn Fn(&str) -> Option<String>,
    /// The project's work trees, as they are written and with their links resolved.
    pub trees: &'a [PathBuf],
}

/// What a run copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that is not kept yet.
    All,
    /// What has passed half of the time for which its program keeps it.
    Due,
}

/// A run.
pub struct Run<'a> {
    /// What it looks through.
    pub agents: Agents<'a>,
    /// What it copies.
    pub which: Which,
    /// At most so many bytes of transcripts.
    pub bytes: u64,
    /// What takes secrets out.
    pub redactor: &'a Redactor,
    /// The time.
    pub now: Timestamp,
    /// Whether it is to end early: with the line, or the file, at which it is.
    pub stop: &'a dyn Fn() -> bool,
    /// Told how far it is, after each file.
    pub progress: &'a mut dyn FnMut(&Done),
}

impl Archive {
    /// That of the project with this repository id at an endpoint.
    pub fn of(dirs: &Dirs, slug: &str, repo_id: &str) -> Archive {
        Archive { dir: dirs.archive(slug, repo_id) }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file in which a version is kept.
    fn file(&self, version: i64) -> PathBuf {
        self.dir.join(format!("{version:08}.zst"))
    }
}
