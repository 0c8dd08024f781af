//! What is kept of a tree across restarts: the files that are unlike git's index. What changed while nobody watched is found by comparing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git2::Oid;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::{Change, Kind};
use super::files::{Entry, Stat};
use super::limits::{SAVED_AGE, SAVED_MAX, SETTLE};
use super::view::{Job, View};
use crate::git::{GitError, Recorded, WorkTree};
use crate::kit::file;

/// Files by path, with what is there; `None` where git has a file and there is none.
type Files = BTreeMap<Box<[u8]>, Option<Stat>>;

/// A tree as it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// What was written later is not in it: it has not settled, so nobody was told.
    taken: Timestamp,
    /// The commit of HEAD.
    pub(super) head: Option<Oid>,
    unlike: Files,
}

/// A [`Stat`] in the file.
type Written = (u64, i64, u64, u32);

/// The file: paths in base64, for they are bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    taken: Timestamp,
    head: Option<String>,
    unlike: Vec<(String, Option<Written>)>,
}

impl Saved {
    /// The tree as the view knows it.
    pub(super) fn of(view: &View, job: &mut Job<'_>, now: Timestamp) -> Result<Saved, GitError> {
        let repo = job.repo()?;
        let taken = now.checked_sub(SETTLE).unwrap_or(now);
        let mut unlike = unlike(view, repo)?;
        unlike.retain(|_, stat| stat.is_none_or(|stat| !is_between(taken, stat, now)));
        Ok(Saved { taken, head: repo.head()?, unlike })
    }

    /// What was kept in a file; `None` if there is nothing that is of use.
    pub(super) fn read(path: &Path, now: Timestamp) -> Option<Saved> {
        let bytes = match file::read_capped(path, SAVED_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => {
                log::info!("{}: {e}; what changed before the start is not told", path.display());
                return None;
            }
        };
        let saved = Saved::decode(&bytes);
        if saved.is_none() {
            log::info!("{} is damaged; what changed before the start is not told", path.display());
        }
        saved.filter(|saved| {
            (jiff::SignedDuration::ZERO..SAVED_AGE).contains(&now.duration_since(saved.taken))
        })
    }

    fn decode(bytes: &[u8]) -> Option<Saved> {
        let document: Document = serde_json::from_slice(bytes).ok()?;
        let file = |(path, stat): (String, Option<Written>)| {
            let stat = stat.map(|(size, mtime, ino, mode)| Stat { size, mtime, ino, mode });
            Some((STANDARD.decode(path).ok()?.into(), stat))
        };
        let head = document.head.map(|id| Oid::from_str(&id)).transpose().ok()?;
        let unlike = document.unlike.into_iter().map(file).collect::<Option<Files>>()?;
        Some(Saved { taken: document.taken, head, unlike })
    }

    /// Keeps it. With more than fits nothing is kept.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let written = |s: Stat| (s.size, s.mtime, s.ino, s.mode);
        let document = Document {
            taken: self.taken,
            head: self.head.map(|id| id.to_string()),
            unlike: self
                .unlike
                .iter()
                .map(|(path, stat)| (STANDARD.encode(path), stat.map(written)))
                .collect(),
        };
        let bytes = serde_json::to_vec(&document)?;
        if bytes.len() <= SAVED_MAX {
            return file::write_atomic(path, &bytes, 0o600);
        }
        log::info!("{} files are unlike the index: too many to be kept across a restart", self.unlike.len());
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// What has changed until `until`. Not found are files that `git rm` or `git mv` has changed in the index alone, and rights of files
    /// whose change was committed.
    pub(super) fn changes(
        &self,
        view: &View,
        job: &mut Job<'_>,
        head: Option<Oid>,
        until: Timestamp,
    ) -> Vec<Change> {
        let found = job.repo().and_then(|repo| {
            let committed = match (self.head, head) {
                (Some(old), Some(new)) if old != new => repo.come_and_gone(old, new)?,
                _ => Vec::new(),
            };
            Ok((unlike(view, repo)?, committed))
        });
        let (now, committed) = match found {
            Ok(found) => found,
            Err(e) => {
                log::info!("{}: {e}; what changed before the start is not told", job.root.display());
                return Vec::new();
            }
        };
        let mut changes = BTreeMap::new();
        // Written since, and perhaps committed or staged.
        for (path, stat) in view.files().filter(|(_, stat)| is_between(self.taken, *stat, until)) {
            if self.unlike.get(path) != Some(&Some(stat)) {
                let new = view.tracked.find(path).is_none() && !self.unlike.contains_key(path);
                changes.insert(Box::from(path), if new { Kind::Created } else { Kind::Modified });
            }
        }
        // Unlike the index now, and either not then or in another way.
        for (path, stat) in &now {
            let kind = match (self.unlike.get(path), stat) {
                (Some(then), now) if then == now => continue,
                (_, None) => Kind::Deleted,
                (Some(None), Some(_)) => Kind::Created,
                (None, Some(_)) if view.tracked.find(path).is_none() => Kind::Created,
                _ => Kind::Modified,
            };
            changes.insert(path.clone(), kind);
        }
        // Unlike it then, and not now.
        for (path, then) in self.unlike.iter().filter(|(path, _)| !now.contains_key(*path)) {
            let kind = match (then, view.stat(path)) {
                (then, now) if *then == now => continue,
                (None, Some(_)) => Kind::Created,
                (Some(_), Some(_)) => Kind::Modified,
                // What git leaves out by now is forgotten in silence.
                (_, None) if job.scan_entry(path) != Entry::Nothing => continue,
                (_, None) => Kind::Deleted,
            };
            changes.insert(path.clone(), kind);
        }
        for (path, came) in committed {
            let path = Box::<[u8]>::from(path);
            match (came, view.stat(&path), self.unlike.get(&path)) {
                // It came with its content from elsewhere in the tree.
                (true, Some(_), None) => drop(changes.entry(path).or_insert(Kind::Created)),
                (false, None, then) if then != Some(&None) && job.scan_entry(&path) == Entry::Nothing => {
                    changes.insert(path, Kind::Deleted);
                }
                _ => {}
            }
        }
        changes.into_iter().map(|(path, kind)| Change { path, kind }).collect()
    }
}

/// Whether a file was written after `from`, and not in the future: such a time says nothing.
fn is_between(from: Timestamp, stat: Stat, until: Timestamp) -> bool {
    let nanos = |at: Timestamp| i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
    (nanos(from).saturating_add(1)..=nanos(until)).contains(&stat.mtime)
}

/// The files that are unlike the index, and those that are not in it.
fn unlike(view: &View, repo: &WorkTree) -> Result<Files, GitError> {
    let mut unlike: Files = view.others.iter().map(|(path, stat)| (path.into(), Some(stat))).collect();
    repo.each_recorded(|path, recorded| {
        let stat = view.stat(path);
        if stat.is_none_or(|stat| cut(stat) != recorded) {
            unlike.insert(path.into(), stat);
        }
    })?;
    Ok(unlike)
}

/// A state as git keeps it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as git does
fn cut(stat: Stat) -> Recorded {
    const SECOND: i64 = 1_000_000_000;
    let mtime = (stat.mtime.div_euclid(SECOND) as i32, stat.mtime.rem_euclid(SECOND) as u32);
    const TYPE: u32 = 0o170_000;
    let executable = (stat.mode & TYPE == 0o100_000).then_some(stat.mode & 0o100 != 0);
    Recorded { size: stat.size as u32, mtime, ino: stat.ino as u32, executable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_old_or_damaged_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tree.json");
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let stat = Stat { size: 1, mtime: -2, ino: u64::MAX, mode: 0o100_644 };
        let unlike = Files::from([(Box::from(&b"a\xff\n"[..]), Some(stat)), (Box::from(&b"b"[..]), None)]);
        let saved = Saved { taken: now, head: Some(Oid::from_bytes(&[7; 20]).unwrap()), unlike };
        assert_eq!(Saved::read(&path, now), None, "there is none");
        saved.write(&path).unwrap();
        let after = |minutes| now + jiff::SignedDuration::from_mins(minutes);
        assert_eq!(Saved::read(&path, after(29)), Some(saved));
        assert_eq!(Saved::read(&path, after(30)), None, "too long ago");
        assert_eq!(Saved::read(&path, after(-1)), None, "of the future");
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() / 2], b"[]", b"", &[0xff; 9]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(Saved::read(&path, now), None);
        }
    }

    #[test]
    fn more_than_fits_is_not_kept_and_nothing_older_either() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tree.json");
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let files = |n: usize| (0..n).map(|n| (Box::from(format!("{n:0100}").as_bytes()), None)).collect();
        Saved { taken: now, head: None, unlike: files(10) }.write(&path).unwrap();
        assert_eq!(Saved::read(&path, now).unwrap().unlike.len(), 10);
        Saved { taken: now, head: None, unlike: files(10_000) }.write(&path).unwrap();
        assert!(!path.exists());
    }
}
