//! How far a reclone has come, on disk before each step that could not be told from the directories alone.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kit::file;

/// Name of the journal in the clone's state directory.
const FILE: &str = "reclone.json";
/// A larger file is not ours.
const FILE_MAX: usize = 64 << 10;
/// Mark of the new clone beside the old one until both change places.
const NEW: &str = ".ox-reclone-new";
/// Mark of the old clone from then until it is removed.
const OLD: &str = ".ox-reclone-old";

/// A directory, wherever it is moved on its file system: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The directory at `path`; `None` if there is nothing.
    pub(super) fn at(path: &Path) -> io::Result<Option<Identity>> {
        let there = file::found(fs::symlink_metadata(path))?;
        Ok(there.map(|meta| Identity { device: meta.dev(), inode: meta.ino() }))
    }
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub(super) enum Phase {
    /// The new clone is being made; the old one has everything.
    Making,
    /// The new clone has everything too, proven and on disk; both may change places at any moment.
    Swapping {
        /// The new clone.
        new: Identity,
        /// [`crate::git::LocalWork::fingerprint`] of the old clone when it was copied.
        fingerprint: String,
    },
    /// The new clone is in place and nothing was written to the old one since: that is being removed.
    Dropping {
        /// The new clone.
        new: Identity,
    },
}

/// The journal of one clone's reclone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Where the clone is.
    pub(super) clone: PathBuf,
    /// The clone's lock file.
    pub(super) lock: PathBuf,
    /// The old clone.
    pub(super) old: Identity,
    /// When it began.
    pub(super) began: Timestamp,
    /// How far it has come.
    #[serde(flatten)]
    pub(super) phase: Phase,
}

/// Whether a reclone of the clone with this state directory has not ended: it runs, or was killed.
pub fn is_interrupted(state: &Path) -> bool {
    state.join(FILE).exists()
}

impl Journal {
    /// Reads the journal in `state`; `None` if no reclone is under way.
    ///
    /// # Errors
    /// It is there and cannot be read or understood: then nothing may be touched.
    pub(super) fn load(state: &Path) -> io::Result<Option<Journal>> {
        let bytes = file::found(file::read_capped(&state.join(FILE), FILE_MAX))?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    /// Writes it down, durably.
    pub(super) fn save(&self, state: &Path) -> io::Result<()> {
        file::make_dirs(state, 0o700)?;
        file::write_durable(&state.join(FILE), &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// The reclone is over, one way or the other.
    pub(super) fn remove(state: &Path) -> io::Result<()> {
        let path = state.join(FILE);
        file::found(fs::remove_file(&path))?;
        file::sync_dir(&path)
    }
}

/// Where the new clone is made.
pub(super) fn new_of(clone: &Path) -> PathBuf {
    file::with_suffix(clone, NEW)
}

/// Where the old clone goes.
pub(super) fn old_of(clone: &Path) -> PathBuf {
    file::with_suffix(clone, OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_read_as_it_was_written_and_nonsense_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Journal::load(dir.path()).unwrap(), None);
        let id = Identity { device: 1, inode: u64::MAX };
        for phase in [
            Phase::Making,
            Phase::Swapping { new: id, fingerprint: "ab".into() },
            Phase::Dropping { new: id },
        ] {
            let journal = Journal {
                clone: "/c".into(),
                lock: "/l".into(),
                old: id,
                began: Timestamp::UNIX_EPOCH,
                phase,
            };
            journal.save(dir.path()).unwrap();
            assert_eq!(Journal::load(dir.path()).unwrap(), Some(journal));
        }
        for text in ["", "{", "{\"phase\":\"later\"}"] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert!(Journal::load(dir.path()).is_err(), "{text}");
        }
        Journal::remove(dir.path()).unwrap();
        Journal::remove(dir.path()).unwrap();
        assert_eq!(Journal::load(dir.path()).unwrap(), None);
    }
}
