//! One change of one settings file: under its lock, with a copy kept of what was there first, whole or not at all, and again from the
//! beginning where somebody else wrote in between.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::edit::Refusal;
use super::error::Error;
use crate::kit::file;
use crate::kit::lock::FileLock;

/// A longer file is no settings, in bytes.
const SIZE_MAX: usize = 16 << 20;
/// So often a change is begun anew because the file had changed.
const TRIES: usize = 3;
/// How long another change of the file is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What is to become of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is as it should be.
    Keep,
    /// It is to hold this.
    Text(String),
    /// It is to go.
    Gone,
}

/// What a file was when it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// What it holds; `None` if there is none.
    pub(super) text: Option<String>,
    stamp: Option<(u64, u64, u64, i64, i64)>,
    mode: u32,
    foreign_owner: Option<u32>,
}

/// Decides by a file's text what is to become of it.
pub(super) type Decide<'a> = dyn FnMut(Option<&str>) -> Result<Next, Refusal> + 'a;

fn stamp(meta: &Metadata) -> (u64, u64, u64, i64, i64) {
    (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec())
}

/// Reads a file, through links.
///
/// # Errors
/// It cannot be read, or is no text.
pub(super) fn read(path: &Path) -> Result<Seen, Error> {
    let seen = || {
        let Some(meta) = file::found(fs::metadata(path))? else {
            return Ok(Seen { text: None, stamp: None, mode: 0o600, foreign_owner: None });
        };
        let bytes = file::read_capped(path, SIZE_MAX)?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8"))?;
        let us = rustix::process::geteuid().as_raw();
        Ok(Seen {
            text: Some(text),
            stamp: Some(stamp(&meta)),
            mode: meta.mode() & 0o777,
            foreign_owner: Some(meta.uid()).filter(|owner| *owner != us),
        })
    };
    seen().map_err(|e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData => Error::refused(path, Refusal::Rejected("it is no UTF-8".to_owned())),
        _ => Error::disk(path, e),
    })
}

/// What `decide` makes of the file as it is. Writes nothing.
///
/// # Errors
/// Those of reading, and its refusal.
pub(super) fn decide(path: &Path, decide: &mut Decide<'_>) -> Result<(Seen, Next), Error> {
    let seen = read(path)?;
    let next = decide(seen.text.as_deref()).map_err(|refusal| Error::refused(path, refusal))?;
    Ok((seen, next))
}

/// Has the file become what `choose` says, which is asked again whenever the file has changed meanwhile. `before` is told what was there before
/// something is written. Whether something was.
///
/// # Errors
/// `Error`; the file is as it was.
pub(super) fn change(
    path: &Path,
    choose: &mut Decide<'_>,
    before: &mut dyn FnMut(&Seen) -> Result<(), Error>,
) -> Result<bool, Error> {
    if decide(path, choose)?.1 == Next::Keep {
        return Ok(false);
    }
    let disk = |e| Error::disk(path, e);
    if let Some(dir) = path.parent() {
        file::make_dirs(dir, 0o700).map_err(|e| Error::disk(dir, e))?;
    }
    let lock_path = file::with_suffix(path, ".ox-lock");
    let lock = FileLock::acquire(&lock_path, LOCK_WAIT).map_err(|e| Error::disk(&lock_path, e))?;
    let Some(lock) = lock else { return Err(Error::Busy { path: path.to_owned() }) };
    let changed = (|| {
        for _ in 0..TRIES {
            let (seen, next) = decide(path, choose)?;
            if next == Next::Keep {
                return Ok(false);
            }
            may_write(path, &seen)?;
            before(&seen)?;
            if write(path, &seen, &next).map_err(disk)? {
                verify(path, &next)?;
                return Ok(true);
            }
        }
        Err(Error::Busy { path: path.to_owned() })
    })();
    // While it is held: who waits for it finds that it is gone, and makes a new one.
    if let Err(e) = fs::remove_file(&lock_path) {
        log::debug!("{}: {e}", lock_path.display());
    }
    drop(lock);
    changed
}

fn may_write(path: &Path, seen: &Seen) -> Result<(), Error> {
    let denied = |why: String| Err(Error::disk(path, io::Error::new(io::ErrorKind::PermissionDenied, why)));
    match (seen.foreign_owner, seen.stamp) {
        (Some(owner), _) => denied(format!("it belongs to user {owner}")),
        (None, Some(_)) if seen.mode & 0o200 == 0 => denied("it is read-only".to_owned()),
        _ => Ok(()),
    }
}

/// Replaces the file, or removes it. False if it was not what had been seen any more.
fn write(path: &Path, seen: &Seen, next: &Next) -> io::Result<bool> {
    let target = file::end_of_links(path)?;
    let still = || Ok(file::found(fs::metadata(path))?.as_ref().map(stamp) == seen.stamp);
    match next {
        Next::Keep => Ok(true),
        Next::Text(text) => file::write_unless_changed(&target, text.as_bytes(), seen.mode, &still),
        Next::Gone if !still()? => Ok(false),
        Next::Gone => {
            fs::remove_file(&target)?;
            file::sync_dir(&target).map(|()| true)
        }
    }
}

fn verify(path: &Path, next: &Next) -> Result<(), Error> {
    let expected = match next {
        Next::Keep => return Ok(()),
        Next::Text(text) => Some(text.as_str()),
        Next::Gone => None,
    };
    match read(path)?.text.as_deref() == expected {
        true => Ok(()),
        false => Err(Error::Busy { path: path.to_owned() }),
    }
}

/// Where the copy of what was there before us lies.
pub(super) fn backup_path(path: &Path) -> PathBuf {
    file::with_suffix(path, ".ox-bak")
}

/// Keeps a copy of what was there, unless there is one already.
///
/// # Errors
/// It cannot be written.
pub(super) fn back_up(path: &Path, seen: &Seen) -> Result<(), Error> {
    let Some(text) = &seen.text else { return Ok(()) };
    let backup = backup_path(path);
    let written = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(seen.mode).custom_flags(file::NOFOLLOW);
        match options.open(&backup) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
            Ok(mut copy) => {
                copy.set_permissions(fs::Permissions::from_mode(seen.mode))?;
                copy.write_all(text.as_bytes())?;
                copy.sync_all()
            }
        }
    };
    written().map_err(|e| Error::disk(&backup, e))
}

/// Removes the copy where it says nothing that the file does not.
pub(super) fn drop_backup(path: &Path) {
    let backup = backup_path(path);
    let same = match (file::read_capped(&backup, SIZE_MAX), read(path)) {
        (Ok(copy), Ok(now)) => now.text.is_some_and(|now| now.as_bytes() == copy),
        _ => false,
    };
    if same && let Err(e) = fs::remove_file(&backup) {
        log::debug!("{}: {e}", backup.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) -> Result<bool, Error> {
        let mut choose = |now: Option<&str>| match now {
            Some(now) if now == text => Ok(Next::Keep),
            _ => Ok(Next::Text(text.to_owned())),
        };
        change(path, &mut choose, &mut |seen| back_up(path, seen))
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_through_its_link_and_the_first_text_is_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let (path, real) = (tmp.path().join("a/settings.json"), tmp.path().join("dot/real.json"));
        assert!(put(&path, "one").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::create_dir(tmp.path().join("dot")).unwrap();
        fs::write(&real, "first").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../dot/real.json", &path).unwrap();
        assert!(put(&path, "two").unwrap());
        assert!(put(&path, "three").unwrap());
        assert!(!put(&path, "three").unwrap());
        assert!(path.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"three");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read(backup_path(&path)).unwrap(), b"first");
        drop_backup(&path);
        assert!(backup_path(&path).exists(), "it says something else");
        assert!(put(&path, "first").unwrap());
        drop_backup(&path);
        let left: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["settings.json"]);
    }

    #[test]
    fn what_somebody_else_writes_in_between_is_not_lost() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("settings.json");
        fs::write(&path, "0").unwrap();
        let mut n = 0;
        let mut choose = |now: Option<&str>| Ok(Next::Text(format!("{} and ours", now.unwrap())));
        let changed = change(&path, &mut choose, &mut |_| {
            n += 1;
            if n < TRIES {
                fs::write(&path, format!("{n} theirs")).unwrap();
            }
            Ok(())
        });
        assert!(changed.unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "2 theirs and ours");
        let mut n = 0;
        let changed = change(&path, &mut choose, &mut |_| {
            n += 1;
            fs::write(&path, format!("still {n}")).unwrap();
            Ok(())
        });
        assert!(matches!(changed, Err(Error::Busy { .. })), "{changed:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "still 3");
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_read_only_file_and_one_that_is_no_text_are_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("settings.json");
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let error = put(&path, "x").unwrap_err();
        assert!(error.is_disk(), "{error:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(put(&path, "x"), Err(Error::Rejected { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"\xff");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(put(&path, "x").unwrap_err().is_disk());
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 1);
    }
}
