//! Reads what is kept: lists it, brings back its bytes, and shows it as a session.

use std::io::Read;

use super::frames::Reader as Frames;
use super::index::{Index, Sums, Version};
use super::{Archive, Error};
use crate::harness::transcript::Reader;
use crate::harness::transcript::kept::Part;
use crate::sessions::follow::entry_of;
use crate::sessions::raw::Entry;

/// A shorter word means no session by its beginning, in bytes.
const WORD_MIN: usize = 4;

/// Why a word means no one transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// None has such an id.
    None,
    /// Several have: their names, the newest first.
    Several(Vec<String>),
}

impl Archive {
    /// All versions that are kept, those written to last first; none where nothing was ever archived.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn versions(&self) -> Result<Vec<Version>, Error> {
        Index::open(&self.dir, false)?.map_or(Ok(Vec::new()), |index| index.all())
    }

    /// The newest version of each session.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn sessions(&self) -> Result<Vec<Version>, Error> {
        let mut all = self.versions()?;
        all.retain(|version| version.part == Part::Session);
        Ok(newest(all))
    }

    /// What it holds in all.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn sums(&self) -> Result<Sums, Error> {
        Index::open(&self.dir, false)?.map_or(Ok(Sums::default()), |index| index.sums())
    }

    /// The transcript that `word` means: the id of a session or a thread, or the name of a file; what begins so, if it is one. An older
    /// version has its number behind it: `ID@2`, the oldest being 1.
    ///
    /// # Errors
    /// The index cannot be read; inside: none or several are meant.
    pub fn find(&self, word: &str) -> Result<Result<Version, Unclear>, Error> {
        let (word, number) = match word.rsplit_once('@') {
            Some((word, n)) => (word, n.parse::<usize>().ok()),
            None => (word, None),
        };
        let all = self.versions()?;
        let is_whole = |v: &&Version| {
            v.name == word || v.thread == word || (v.session == word && v.part == Part::Session)
        };
        let begins = |v: &&Version| {
            let names = [&v.name, &v.thread, &v.session];
            word.len() >= WORD_MIN
                && v.part == Part::Session
                && names.iter().any(|name| name.starts_with(word))
        };
        let mut meant: Vec<Version> = all.iter().filter(is_whole).cloned().collect();
        if meant.is_empty() {
            meant = all.iter().filter(begins).cloned().collect();
        }
        // A session's id is its sub-agents' too.
        if meant.iter().any(|v| v.part == Part::Session) {
            meant.retain(|v| v.part == Part::Session);
        }
        let files = newest(meant.clone());
        let Some(file) = files.first() else { return Ok(Err(Unclear::None)) };
        if files.len() > 1 {
            return Ok(Err(Unclear::Several(files.into_iter().map(|v| v.name).collect())));
        }
        let Some(n) = number else { return Ok(Ok(file.clone())) };
        meant.sort_by_key(|version| version.id);
        Ok(n.checked_sub(1).and_then(|n| meant.get(n).cloned()).ok_or(Unclear::None))
    }

    /// The bytes of a version, from the beginning.
    ///
    /// # Errors
    /// The index or the file cannot be read; reading fails where the file is damaged.
    pub fn text(&self, version: &Version) -> Result<impl Read + use<>, Error> {
        let frames = match Index::open(&self.dir, false)? {
            Some(index) => index.frames(version.id)?,
            None => Vec::new(),
        };
        let path = self.file(version.id);
        Frames::open(&path, frames).map_err(|source| Error::Damaged { path, source })
    }

    /// What was said and done in a transcript, in order.
    ///
    /// # Errors
    /// As [`text`](Archive::text).
    pub fn entries(&self, version: &Version, on_entry: &mut dyn FnMut(Entry)) -> Result<(), Error> {
        let Some(mut reader) = Reader::of(&version.program) else { return Ok(()) };
        let mut seq = 0;
        let read = reader.read_all(self.text(version)?, version.is_lines, &mut |fact| {
            if let Some(entry) = entry_of(fact) {
                on_entry(Entry { seq: Some(seq), ..entry });
                seq += 1;
            }
        });
        read.map(drop).map_err(|source| Error::Damaged { path: self.file(version.id), source })
    }
}

/// Of each file the newest version, in the same order.
fn newest(all: Vec<Version>) -> Vec<Version> {
    let mut seen = std::collections::HashMap::new();
    for version in &all {
        let newest = seen.entry((version.program.clone(), version.name.clone())).or_insert(version.id);
        *newest = version.id.max(*newest);
    }
    all.into_iter().filter(|v| seen.get(&(v.program.clone(), v.name.clone())) == Some(&v.id)).collect()
}
