//! What a rescued thing has in it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::find::FILES_MAX;
use super::{Item, Kind};
use crate::git::limits::MERGE_CAP;
use crate::git::{LineDiff, line_diff, rescued, rescued_paths};
use crate::kit::file::read_capped;
use crate::sync::outcome::Failure;

/// Bytes compared at a time.
const CHUNK: usize = 64 << 10;

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is only in the rescued version.
    Added,
    /// Both versions have it.
    Changed,
    /// It had been deleted.
    Deleted,
}

/// A file of a rescued thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RescuedFile {
    /// Relative to the clone.
    pub path: PathBuf,
    /// What happened to it.
    pub state: State,
    /// How it differs; `None` where lines make no sense.
    pub diff: Option<LineDiff>,
}

/// The files of a rescued thing: of uncommitted work compared with what HEAD had, of copies and directories with what is in the
/// clone now.
///
/// # Errors
/// It cannot be read.
pub fn files(item: &Item) -> Result<Vec<RescuedFile>, Failure> {
    match &item.kind {
        Kind::Ref(reference) => {
            let paths = rescued_paths(&item.clone, reference)?;
            paths.into_iter().map(|path| of_ref(&item.clone, reference, path)).collect()
        }
        Kind::Copy { path, copy } => Ok(vec![between(path, &item.clone.join(path), &item.clone.join(copy))?]),
        Kind::Backup(directory) | Kind::Revoked(directory) => {
            let paths =
                differing(&item.clone, directory).map_err(|e| Failure::io("reading", directory, &e))?;
            paths.iter().map(|p| between(p, &item.clone.join(p), &directory.join(p))).collect()
        }
    }
}

fn of_ref(clone: &Path, reference: &str, path: PathBuf) -> Result<RescuedFile, Failure> {
    let versions = rescued(clone, reference, &path)?;
    let (base, own) = (versions.base.map(|c| c.bytes), versions.own.map(|c| c.bytes));
    let state = match (&base, &own) {
        (_, None) => State::Deleted,
        (None, _) => State::Added,
        _ => State::Changed,
    };
    let diff = line_diff(&path, base.as_deref(), own.as_deref())?;
    Ok(RescuedFile { path, state, diff })
}

fn between(path: &Path, present: &Path, own: &Path) -> Result<RescuedFile, Failure> {
    let there = fs::symlink_metadata(present).is_ok();
    let state = if there { State::Changed } else { State::Added };
    let old = if there { plain_bytes(present) } else { Some(Vec::new()) };
    let diff = match (old, plain_bytes(own)) {
        (Some(old), Some(own)) => line_diff(path, Some(&old), Some(&own))?,
        _ => None,
    };
    Ok(RescuedFile { path: path.to_path_buf(), state, diff })
}

/// The bytes of a regular file of reasonable size. Nothing is read through a link.
fn plain_bytes(path: &Path) -> Option<Vec<u8>> {
    if !fs::symlink_metadata(path).is_ok_and(|m| m.is_file()) {
        return None;
    }
    read_capped(path, MERGE_CAP).ok()
}

/// The files and links in `directory`, without `.git`, that `clone` does not have as they are. Sorted.
pub(super) fn differing(clone: &Path, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(directory.join(&dir))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = dir.join(entry.file_name());
            if entry.file_name() == ".git" {
                continue;
            }
            if kind.is_dir() {
                todo.push(path);
            } else if (kind.is_file() || kind.is_symlink())
                && !same(&clone.join(&path), &directory.join(&path))?
            {
                if found.len() >= FILES_MAX {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too many files differ"));
                }
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether both are links to the same target, or regular files with the same bytes.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (Ok(a), Ok(b)) = (fs::symlink_metadata(one), fs::symlink_metadata(other)) else { return Ok(false) };
    if a.is_symlink() && b.is_symlink() {
        return Ok(fs::read_link(one)? == fs::read_link(other)?);
    }
    if !a.is_file() || !b.is_file() || a.len() != b.len() {
        return Ok(false);
    }
    same_bytes(&mut open_plain(one)?, &mut open_plain(other)?)
}

/// Opens a file, not through a link in its last place.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    fs::OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path)
}

/// Whether both give the same bytes to their ends.
pub(super) fn same_bytes(one: &mut dyn Read, other: &mut dyn Read) -> io::Result<bool> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        a.clear();
        b.clear();
        one.take(CHUNK as u64).read_to_end(&mut a)?;
        other.take(CHUNK as u64).read_to_end(&mut b)?;
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}
