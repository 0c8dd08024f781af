//! Murmurs that wait to be committed: one file each beside the clone, so that nothing is lost while the clone cannot take them. What cannot
//! be read is moved to `bad/` below, and what cannot be written into the clone waits on; neither stops the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::Error;
use super::limits::{BAD_MAX, COMMIT_MAX, FILE_MAX, OUTBOX_MAX};
use super::murmur::{DIR, Murmur, Refused};
use crate::git::ManagedClone;
use crate::kit::file;
use crate::kit::openat::{self, Placed};
use crate::kit::text::{cut, plain};

/// The name of the directory below a clone's state directory.
const OUTBOX: &str = "outbox";
/// Below it lies what could not be read.
const BAD: &str = "bad";
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

    /// Has a murmur wait here, durably, as it will be read again; one with the same id has been here before and stays.
    ///
    /// # Errors
    /// `Refused` for what nobody would take from here, `Full`, or the disk's.
    pub fn put(&self, murmur: &Murmur) -> Result<(), Error> {
        let made = murmur.timestamp.0.ok_or(Error::Refused(Refused::NoTime))?;
        let murmur = Murmur::read(&murmur.id, &murmur.to_json(), made).map_err(Error::Refused)?;
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

    /// The one with this id, if it waits here and can be read.
    ///
    /// # Errors
    /// The disk's.
    pub fn get(&self, id: &str, now: Timestamp) -> Result<Option<Murmur>, Error> {
        // Who is asked for by a path waits nowhere.
        if id.is_empty() || id.starts_with('.') || id.contains('/') {
            return Ok(None);
        }
        match read_one(&self.dir, &format!("{id}.json"), now) {
            Entry::Murmur(murmur) => Ok(Some(*murmur)),
            Entry::Unclear(source) => Err(Error::Io { path: self.dir.clone(), source }),
            Entry::Bad(_) | Entry::Gone | Entry::Later => Ok(None),
        }
    }

    /// Whether anything waits.
    pub fn is_empty(&self) -> bool {
        self.names().is_ok_and(|names| names.is_empty())
    }

    /// What waits, the oldest first. What cannot be read is left out.
    ///
    /// # Errors
    /// The disk's.
    pub fn waiting(&self, now: Timestamp) -> Result<Vec<Murmur>, Error> {
        self.sorted(now, |name, why| log::debug!("{name} in {}: {why}", self.dir.display()))
    }

    /// What waits, the oldest first; what can never be read is shown to `bad` by name, with why.
    fn sorted(&self, now: Timestamp, mut bad: impl FnMut(&str, &str)) -> Result<Vec<Murmur>, Error> {
        let mut found = Vec::new();
        for name in self.names()? {
            match read_one(&self.dir, &name, now) {
                Entry::Murmur(murmur) => found.push(*murmur),
                Entry::Bad(why) => bad(&name, &why),
                Entry::Unclear(e) => log::warn!("a murmur waits on: {name} in {}: {e}", self.dir.display()),
                Entry::Gone | Entry::Later => {}
            }
        }
        found.sort_by(|a, b| (a.timestamp, &a.id).cmp(&(b.timestamp, &b.id)));
        Ok(found)
    }

    /// Commits what waits in the clone; how many. They leave the outbox when they are part of HEAD. What can never be read leaves it first,
    /// and what the clone has no room for waits on.
    ///
    /// # Errors
    /// Git's or the disk's; what is not committed waits on.
    pub fn commit(&self, clone: &mut ManagedClone<'_>, now: Timestamp) -> Result<usize, Error> {
        let mut done = 0;
        for some in self.sorted(now, |name, why| self.put_away(name, why))?.chunks(COMMIT_MAX) {
            let mut placed = Vec::new();
            for murmur in some {
                match place(clone.path(), murmur)? {
                    None => placed.push(murmur),
                    Some(why) => log::warn!("a murmur waits on: {why}"),
                }
            }
            let paths: Vec<String> = placed.iter().map(|m| m.path()).collect();
            let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
            if !paths.is_empty() {
                clone.commit(&paths, &subject(&placed))?;
            }
            for murmur in &placed {
                self.forget(&murmur.id)?;
            }
            done += placed.len();
        }
        Ok(done)
    }

    /// Moves what can never be read out of the way; where that fails, or too much lies there already, it stays and is looked at again.
    fn put_away(&self, name: &str, why: &str) {
        let bad = self.dir.join(BAD);
        let moved = || -> io::Result<PathBuf> {
            file::private_dir(&bad)?;
            if fs::read_dir(&bad)?.count() >= BAD_MAX {
                return Err(io::Error::other(format!("{BAD_MAX} lie in {} already", bad.display())));
            }
            let mut to = bad.join(name);
            for n in 1..=BAD_MAX {
                match file::rename_new(&self.dir.join(name), &to) {
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                        to = bad.join(format!("{name}.{n}"))
                    }
                    done => return done.map(|()| to),
                }
            }
            Err(io::ErrorKind::AlreadyExists.into())
        };
        match moved() {
            Ok(to) => log::warn!("what waited as a murmur is none and lies in {}: {why}", to.display()),
            Err(e) => log::warn!("what waits as a murmur is none ({why}) and stays: {e}"),
        }
    }

    /// What lies in `bad/`, with why; at most [`BAD_MAX`].
    pub fn bad(&self, now: Timestamp) -> Vec<(PathBuf, String)> {
        let dir = self.dir.join(BAD);
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten().take(BAD_MAX);
        let mut found: Vec<(PathBuf, String)> = entries
            .map(|entry| {
                let why = match read_one(&dir, &entry.file_name().to_string_lossy(), now) {
                    Entry::Bad(why) => why,
                    Entry::Unclear(e) => e.to_string(),
                    Entry::Murmur(_) | Entry::Later | Entry::Gone => "it can be read now".to_string(),
                };
                (entry.path(), why)
            })
            .collect();
        found.sort();
        found
    }

    /// Why murmurs that wait cannot be written into the clone at `clone`, a line each. Nothing is written.
    ///
    /// # Errors
    /// The disk's.
    pub fn blocked(&self, clone: &Path, now: Timestamp) -> Result<Vec<String>, Error> {
        Ok(self.waiting(now)?.iter().filter_map(|murmur| obstacle(clone, murmur)).collect())
    }

    /// What keeps murmurs from going out through the clone at `clone`, in words; `None` if nothing does.
    pub fn stuck(&self, clone: &Path, now: Timestamp) -> Option<String> {
        let bad = self.bad(now).len();
        let blocked = self.blocked(clone, now).unwrap_or_default();
        let bad = match bad {
            0 => None,
            n => Some(format!("{n} that cannot be read, in {}", self.dir.join(BAD).display())),
        };
        let blocked = match blocked.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [one, rest @ ..] => Some(format!("{one}; and {} more", rest.len())),
        };
        let all: Vec<String> = bad.into_iter().chain(blocked).collect();
        (!all.is_empty()).then(|| format!("murmurs do not go out: {}; see: ox doctor", all.join("; ")))
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

/// What a name in the outbox stands for.
enum Entry {
    Murmur(Box<Murmur>),
    /// Its time has not come: a clock that was set back may come forward again.
    Later,
    /// Somebody was faster.
    Gone,
    /// It will never be a murmur.
    Bad(String),
    /// It cannot be read now.
    Unclear(io::Error),
}

fn read_one(dir: &Path, name: &str, now: Timestamp) -> Entry {
    let bytes = match openat::read(dir, &[], name, FILE_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Entry::Gone,
        Err(e) if is_hopeless(&e) => return Entry::Bad(e.to_string()),
        Err(e) => return Entry::Unclear(e),
    };
    match Murmur::read(name.trim_end_matches(".json"), &bytes, now) {
        Ok(murmur) => Entry::Murmur(Box::new(murmur)),
        Err(Refused::Ahead) => Entry::Later,
        Err(why) => Entry::Bad(why.to_string()),
    }
}

/// No regular file, a link, too large, or somebody else's: reading it again would not help.
fn is_hopeless(e: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidInput, PermissionDenied};
    use rustix::io::Errno;
    matches!(e.kind(), FileTooLarge | InvalidInput | PermissionDenied)
        || matches!(Errno::from_io_error(e), Some(Errno::LOOP | Errno::MLINK | Errno::NXIO))
}

/// Writes the murmur's file into the clone; why not, if another file is in its place or a link is on the way.
fn place(clone: &Path, murmur: &Murmur) -> Result<Option<String>, Error> {
    let Some(([day, hour, name], path)) = murmur.place().zip(Some(murmur.path())) else { return Ok(None) };
    let dirs: Vec<&str> = DIR.split('/').chain([day.as_str(), hour.as_str()]).collect();
    match openat::place(clone, &dirs, &name, &murmur.to_json()) {
        Ok(Placed::There) => Ok(None),
        Ok(Placed::Taken) => Ok(Some(format!("{path} is there and says something else"))),
        Err(e) if is_refusal(&e) => Ok(Some(format!("the way to {path} is no plain directory: {e}"))),
        Err(source) => Err(Error::Io { path: clone.join(path), source }),
    }
}

/// Why [`place`] would not write the murmur's file, as far as a look tells.
fn obstacle(clone: &Path, murmur: &Murmur) -> Option<String> {
    let ([day, hour, name], path) = (murmur.place()?, murmur.path());
    let dirs: Vec<&str> = DIR.split('/').chain([day.as_str(), hour.as_str()]).collect();
    match openat::read(clone, &dirs, &name, FILE_MAX) {
        Ok(bytes) if bytes == murmur.to_json() => None,
        Ok(_) => Some(format!("{path} is there and says something else")),
        Err(e) if is_refusal(&e) => Some(format!("the way to {path} is no plain directory: {e}")),
        Err(e) if is_hopeless(&e) => Some(format!("{path} is there and is no file: {e}")),
        Err(_) => None,
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
