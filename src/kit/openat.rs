//! Files inside a directory whose content is other people's, such as a clone: no directory on the way is entered through a symbolic link.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fsync, linkat, mkdirat, open, openat, renameat, unlinkat};

use super::file;

/// Opens the directory `dirs` below `clone` one step at a time, following no link; with `make` missing ones are made, 0755.
///
/// # Errors
/// A directory is missing, a link or no directory.
pub fn enter(clone: &Path, dirs: &[&str], make: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = open(clone, flags, Mode::empty())?;
    for name in dirs {
        if make {
            match mkdirat(&dir, *name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        dir = openat(&dir, *name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(dir)
}

/// Reads the regular file `name` in `dirs` below `clone`.
///
/// # Errors
/// `InvalidInput` for what is no regular file, `FileTooLarge` above `cap` bytes, else the system's; a link is refused.
pub fn read(clone: &Path, dirs: &[&str], name: &str, cap: usize) -> io::Result<Vec<u8>> {
    let dir = enter(clone, dirs, false)?;
    // Without NONBLOCK a FIFO in the file's place would block for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    file::read_open(File::from(openat(&dir, name, flags, Mode::empty())?), cap)
}

/// A new file beside `name`, to be renamed or linked to it.
fn temporary(dir: &OwnedFd, name: &str, mode: u32) -> io::Result<(String, File)> {
    // Always the same name, so that the next writer removes what a killed one left.
    let temp = format!(".{name}.tmp");
    match unlinkat(dir, &temp, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(dir, &temp, flags, Mode::from_raw_mode(mode))?);
    Ok((temp, file))
}

/// Replaces the file `name` in `dirs` below `clone`, 0600; missing directories are made. Two writers of one file have to be kept apart.
///
/// # Errors
/// A directory on the way is a link, or the disk refuses.
pub fn replace(clone: &Path, dirs: &[&str], name: &str, text: &[u8]) -> io::Result<()> {
    let dir = enter(clone, dirs, true)?;
    let (temp, mut file) = temporary(&dir, name, 0o600)?;
    let done = file.write_all(text).and_then(|()| Ok(renameat(&dir, &temp, &dir, name)?));
    if done.is_err() {
        // The first error is the one to report; a leftover is only untidy.
        let _ = unlinkat(&dir, &temp, AtFlags::empty());
    }
    done
}

/// As [`replace`], with `mode`, and on disk before it returns. One that has these bytes already is left as it is.
///
/// # Errors
/// As [`replace`].
pub fn replace_durable(clone: &Path, dirs: &[&str], name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    if read(clone, dirs, name, bytes.len().max(1)).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let dir = enter(clone, dirs, true)?;
    let (temp, mut file) = temporary(&dir, name, mode)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let done = written.and_then(|()| Ok(renameat(&dir, &temp, &dir, name)?));
    if done.is_err() {
        let _ = unlinkat(&dir, &temp, AtFlags::empty());
    }
    done.and_then(|()| Ok(fsync(&dir)?))
}

/// Removes the file `name` in `dirs` below `clone`; one that is not there is removed already.
///
/// # Errors
/// A directory on the way is a link, or the disk refuses.
pub fn remove(clone: &Path, dirs: &[&str], name: &str) -> io::Result<()> {
    let dir = match enter(clone, dirs, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        dir => dir?,
    };
    match unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// How [`place`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The file is there now, or was there with the same bytes.
    There,
    /// Another file has that name; it was left alone.
    Taken,
}

/// Writes a new file `name` in `dirs` below `clone`, 0644, whole or not at all; missing directories are made.
///
/// # Errors
/// A directory on the way is a link, or the disk refuses.
pub fn place(clone: &Path, dirs: &[&str], name: &str, bytes: &[u8]) -> io::Result<Placed> {
    let dir = enter(clone, dirs, true)?;
    let (temp, mut file) = temporary(&dir, name, 0o644)?;
    let linked = file.write_all(bytes).and_then(|()| Ok(linkat(&dir, &temp, &dir, name, AtFlags::empty())?));
    let _ = unlinkat(&dir, &temp, AtFlags::empty());
    match linked {
        Ok(()) => Ok(Placed::There),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let same = read(clone, dirs, name, bytes.len().max(1)).is_ok_and(|there| there == bytes);
            Ok(if same { Placed::There } else { Placed::Taken })
        }
        Err(e) => Err(e),
    }
}
