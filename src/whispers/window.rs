//! The murmurs of the last hours in a clone, as its HEAD has them: whatever is checked out.

use git2::Oid;
use jiff::Timestamp;

use super::error::Error;
use super::limits::{FILE_MAX, HOUR_MAX};
use super::murmur::{DIR, Murmur, Refused, hour_dirs, is_id};
use crate::git::{BlobContent, BlobEntry, Reader};

/// A file that may be a murmur.
#[derive(Clone, Debug)]
pub struct Found {
    /// The stem of its name: the murmur's id.
    pub stem: String,
    /// Where it lies.
    pub path: String,
    /// Its content.
    pub blob: BlobEntry,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// A murmur.
    Murmur(Box<Murmur>),
    /// None; why.
    Refused(Refused),
    /// Its content was left at the remote.
    Missing,
}

/// The files of the last `hours` hours; at most [`HOUR_MAX`] an hour. Nothing in a clone without commits.
///
/// # Errors
/// Git's.
pub fn files(reader: &Reader, now: Timestamp, hours: i64) -> Result<Vec<Found>, Error> {
    let Some(head) = reader.head()?.commit else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for dir in hour_dirs(now, hours) {
        for blob in reader.blobs_in(head, &dir, HOUR_MAX)? {
            if let Some(stem) = blob.name.strip_suffix(".json").filter(|stem| is_id(stem)) {
                found.push(Found { stem: stem.to_string(), path: format!("{dir}/{}", blob.name), blob });
            }
        }
    }
    Ok(found)
}

/// The ids of murmurs that the commit named `old` has and `new` has not; none if the old one is not here any more.
///
/// # Errors
/// Git's.
pub fn removed(reader: &Reader, old: &str, new: Oid) -> Result<Vec<String>, Error> {
    let id = |path: &String| {
        let name = path.strip_prefix(DIR)?.rsplit('/').next()?;
        name.strip_suffix(".json").filter(|stem| is_id(stem)).map(str::to_owned)
    };
    Ok(reader.removed_paths(old, new)?.iter().filter_map(id).collect())
}

/// Reads one of them.
///
/// # Errors
/// Git's.
pub fn read(reader: &Reader, file: &Found, now: Timestamp) -> Result<Held, Error> {
    Ok(match reader.content(file.blob.id, FILE_MAX)? {
        BlobContent::Here(bytes) => match Murmur::read(&file.stem, &bytes, now) {
            Ok(murmur) => Held::Murmur(Box::new(murmur)),
            Err(why) => Held::Refused(why),
        },
        BlobContent::TooLarge(size) => Held::Refused(Refused::TooLarge(size)),
        BlobContent::Missing => Held::Missing,
    })
}

/// The murmurs of the last `hours` hours that are here, the newest first.
///
/// # Errors
/// Git's.
pub fn recent(reader: &Reader, now: Timestamp, hours: i64) -> Result<Vec<Murmur>, Error> {
    let mut found = Vec::new();
    for file in files(reader, now, hours)? {
        if let Held::Murmur(murmur) = read(reader, &file, now)? {
            found.push(*murmur);
        }
    }
    newest_first(&mut found);
    Ok(found)
}

/// Puts murmurs in order, the newest first.
pub fn newest_first(murmurs: &mut [Murmur]) {
    murmurs.sort_by(|a, b| (b.timestamp, &b.id).cmp(&(a.timestamp, &a.id)));
}
