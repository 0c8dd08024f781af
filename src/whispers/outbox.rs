//! Murmurs that wait to be committed: one file each beside the clone, so that nothing is lost while the clone cannot take them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::Error;
use super::limits::{COMMIT_MAX, FILE_MAX, OUTBOX_MAX};
use super::murmur::{DIR, Murmur, Refused};
use super::text::{cut, plain};
use crate::git::ManagedClone;
use crate::kit::file;
use crate::kit::inside::{self, Placed};

/// The name of the directory below a clone's state directory.
const OUTBOX: &str = "outbox";
/// The subject of a commit says so much of one murmur, in bytes (3.3).
const SUBJECT_MAX: usize = 50;
/// Topic of notes about changed files: their text stays out of commit messages (8.8).
pub const FILE_CHANGES: &str = "file-changes";

/// The waiting murmurs of the clone with this state directory.
#[derive(Clone, Debug)]
pub struct Outbox {
    dir: PathBuf,
}

impl Outbox {
    /// That of the clone with the state directory `state`.
    pub fn of(state: &Path) -> Outbox {
        Outbox { dir: state.join(OUTBOX) }
    }

    /// Has a murmur wait here, durably; one with the same id has been here before and stays.
    ///
    /// # Errors
    /// `Full`, or the disk's.
    pub fn put(&self, murmur: &Murmur) -> Result<(), Error> {
        let path = self.dir.join(format!("{}.json", murmur.id));
        if path.exists() {
            return Ok(());
        }
        if self.names()?.len() >= OUTBOX_MAX {
            return Err(Error::Full { what: "murmurs that wait to be committed", max: OUTBOX_MAX });
        }
        let write = || {
            file::private_dir(&self.dir)?;
            file::write_durable(&path, &murmur.to_json(), 0o600)
        };
        write().map_err(|source| Error::Io { path: path.clone(), source })
    }

    /// Whether anything waits.
    pub fn is_empty(&self) -> bool {
        self.names().is_ok_and(|names| names.is_empty())
    }

    /// What waits, the oldest first. What is no murmur any more, also by its age, is removed.
    ///
    /// # Errors
    /// The disk's.
    pub fn waiting(&self, now: Timestamp) -> Result<Vec<Murmur>, Error> {
        let mut found = Vec::new();
        for name in self.names()? {
            let path = self.dir.join(&name);
            let bytes = match file::read_capped(&path, FILE_MAX) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::Io { path, source }),
            };
            match Murmur::read(name.trim_end_matches(".json"), &bytes, now) {
                Ok(murmur) => found.push(murmur),
                // A clock that was set back may come forward again.
                Err(Refused::Ahead) => {}
                Err(why) => {
                    log::warn!("a murmur that waited is dropped: {}: {why}", path.display());
                    remove(&path)?;
                }
            }
        }
        found.sort_by(|a, b| (a.timestamp, &a.id).cmp(&(b.timestamp, &b.id)));
        Ok(found)
    }

    /// Commits what waits in the clone; how many. They leave the outbox when they are part of HEAD.
    ///
    /// # Errors
    /// Git's or the disk's; what is not committed waits on.
    pub fn commit(&self, clone: &mut ManagedClone<'_>, now: Timestamp) -> Result<usize, Error> {
        let mut done = 0;
        for some in self.waiting(now)?.chunks(COMMIT_MAX) {
            let mut placed = Vec::new();
            for murmur in some {
                if place(clone.path(), murmur)? {
                    placed.push(murmur);
                }
            }
            let paths: Vec<String> = placed.iter().map(|m| m.path()).collect();
            let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
            if !paths.is_empty() {
                clone.commit(&paths, &subject(&placed))?;
            }
            for murmur in some {
                self.forget(&murmur.id)?;
            }
            done += placed.len();
        }
        Ok(done)
    }

    /// Has one murmur wait no longer. True if it did.
    ///
    /// # Errors
    /// The disk's.
    pub fn forget(&self, id: &str) -> Result<bool, Error> {
        remove(&self.dir.join(format!("{id}.json")))
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Io { path: self.dir.clone(), source }),
        };
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.') && name.ends_with(".json")).collect())
    }
}

/// Writes the murmur's file into the clone. False, with a word in the log, if another file is in its place or a link is on the way.
fn place(clone: &Path, murmur: &Murmur) -> Result<bool, Error> {
    let Some([day, hour, name]) = murmur.place() else { return Ok(false) };
    let dirs: Vec<&str> = DIR.split('/').chain([day.as_str(), hour.as_str()]).collect();
    match inside::place(clone, &dirs, &name, &murmur.to_json()) {
        Ok(Placed::There) => Ok(true),
        Ok(Placed::Taken) => {
            log::warn!("a murmur is dropped: {} is there and says something else", murmur.path());
            Ok(false)
        }
        Err(e) if is_refusal(&e) => {
            log::warn!("a murmur is dropped: the way to {} is no plain directory: {e}", murmur.path());
            Ok(false)
        }
        Err(source) => Err(Error::Io { path: clone.join(murmur.path()), source }),
    }
}

/// A link or a file where a directory belongs.
fn is_refusal(e: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(e),
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR | rustix::io::Errno::MLINK)
    )
}

fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// What the commit is called (3.3).
fn subject(murmurs: &[&Murmur]) -> String {
    match murmurs {
        [one] if one.topic == FILE_CHANGES => "murmur: file changes".to_string(),
        [one] => {
            let text = plain(&one.content, false);
            let dots = if text.len() > SUBJECT_MAX { "..." } else { "" };
            format!("murmur: {}{dots}", cut(&text, SUBJECT_MAX).trim_end())
        }
        all => format!("murmur: {} notes", all.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_says_a_little_of_one_murmur_and_counts_more() {
        let murmur = |content: &str, topic: &str| Murmur {
            content: content.into(),
            topic: topic.into(),
            ..Murmur::default()
        };
        let check = |all: &[Murmur], expected: &str| {
            assert_eq!(subject(&all.iter().collect::<Vec<_>>()), expected);
        };
        check(&[murmur("splitting\nauth", "wip")], "murmur: splitting auth");
        let long = "é".repeat(40);
        check(&[murmur(&long, "wip")], &format!("murmur: {}...", "é".repeat(25)));
        check(&[murmur("src/secret-plan.rs", FILE_CHANGES)], "murmur: file changes");
        check(&[murmur("a", "wip"), murmur("b", "wip")], "murmur: 2 notes");
    }
}
