//! Files inside a clone or a project. Its content is other people's, so no directory on the way is entered through a symbolic link.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, renameat, unlinkat};

use crate::kit::file;

/// Opens the directory `dirs` below `clone` one step at a time, following no link; with `make` missing ones are made, 0755.
pub(super) fn enter(clone: &Path, dirs: &[&str], make: bool) -> io::Result<OwnedFd> {
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
pub(super) fn read(clone: &Path, dirs: &[&str], name: &str, cap: usize) -> io::Result<Vec<u8>> {
    let dir = enter(clone, dirs, false)?;
    // Without NONBLOCK a FIFO in the file's place would block for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    file::read_open(File::from(openat(&dir, name, flags, Mode::empty())?), cap)
}

/// Replaces the file `name` in `dirs` below `clone`, 0600; missing directories are made. Two writers of one file have to be kept apart.
///
/// # Errors
/// A directory on the way is a link, or the disk refuses.
pub(super) fn replace(clone: &Path, dirs: &[&str], name: &str, text: &[u8]) -> io::Result<()> {
    let dir = enter(clone, dirs, true)?;
    // Always the same name, so that the next writer removes what a killed one left.
    let temp = format!(".{name}.tmp");
    match unlinkat(&dir, &temp, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&dir, &temp, flags, Mode::from_raw_mode(0o600))?);
    let done = file.write_all(text).and_then(|()| Ok(renameat(&dir, &temp, &dir, name)?));
    if done.is_err() {
        // The first error is the one to report; a leftover is only untidy.
        let _ = unlinkat(&dir, &temp, AtFlags::empty());
    }
    done
}
