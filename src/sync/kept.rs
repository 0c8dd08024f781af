//! Which files of a clone have an own version lying beside them, until somebody has settled it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::outcome::Conflict;
use super::record;
use crate::git::Rescue;
use crate::kit::file;

/// More is not remembered; the copies lie in the clone all the same.
const KEPT_MAX: usize = 1000;

/// One file's own version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Copy {
    path: PathBuf,
    copy: PathBuf,
    reference: String,
}

/// The remembered copies of one clone.
pub(super) struct ConflictCopies {
    file: PathBuf,
    copies: Vec<Copy>,
    changed: bool,
}

impl ConflictCopies {
    /// Reads `<state>/kept.json`; a missing or broken file is an empty list, since the copies themselves are what counts.
    pub(super) fn load(state: &Path) -> ConflictCopies {
        let file = state.join("kept.json");
        ConflictCopies { copies: record::load(&file), file, changed: false }
    }

    /// Remembers what a run had to lay beside.
    pub(super) fn add(&mut self, rescue: &Rescue) {
        for (path, copy) in rescue.conflicts.iter().zip(&rescue.copies) {
            if self.copies.len() < KEPT_MAX && !self.copies.iter().any(|c| c.copy == *copy) {
                let (path, copy) = (path.clone(), copy.clone());
                self.copies.push(Copy { path, copy, reference: rescue.reference.clone() });
                self.changed = true;
            }
        }
    }

    /// Forgets copies that somebody has removed from `clone`, and writes the list down.
    pub(super) fn settle(mut self, clone: &Path) -> Option<Conflict> {
        let before = self.copies.len();
        self.copies.retain(|c| !file::is_gone(&clone.join(&c.copy)));
        if (self.changed || self.copies.len() != before)
            && let Err(e) = self.save()
        {
            log::warn!("{}: {e}", self.file.display());
        }
        let newest = self.copies.last()?;
        let paths = self.copies.iter().map(|c| c.path.to_string_lossy().into_owned()).collect();
        Some(Conflict { reference: newest.reference.clone(), paths })
    }

    fn save(&self) -> io::Result<()> {
        if self.copies.is_empty() {
            return std::fs::remove_file(&self.file);
        }
        record::save(&self.file, &self.copies)
    }
}
