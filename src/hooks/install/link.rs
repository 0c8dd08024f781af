//! `~/.sageox/bin/ox`: the one path that stands in agents' settings, a link to the program that was installed last. It does not depend on
//! where the program lies nor on any variable, so an update of the program changes no settings and codex's trust stays.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Error;
use crate::kit::file;

/// Where it lies.
pub(super) fn path(home: &Path) -> PathBuf {
    home.join(".sageox/bin/ox")
}

/// Whether an agent can run what lies at a path.
pub(super) fn runs(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Has the link lead to `program`. What is there instead of a link and can be run stays: somebody put it there. Whether a link was made.
///
/// # Errors
/// A directory on the way is somebody else's; something that cannot be run has its place; else the system's.
pub(super) fn maintain(home: &Path, program: &Path) -> Result<bool, Error> {
    let path = path(home);
    let disk = |e| Error::disk(&path, e);
    for dir in [home.join(".sageox"), home.join(".sageox/bin")] {
        own_dir(&dir).map_err(|e| Error::disk(&dir, e))?;
    }
    match file::look(&path).map_err(disk)? {
        Some(there) if !there.is_symlink() => match runs(&path) {
            true => return Ok(false),
            false => {
                let why = "something that is no program has the place of the link";
                return Err(disk(io::Error::new(io::ErrorKind::AlreadyExists, why)));
            }
        },
        Some(_) if fs::read_link(&path).is_ok_and(|to| to == program) => return Ok(false),
        // A program that was replaced while it runs has no path any more; the link that leads to the new one is right.
        Some(_) if !runs(program) => return Ok(false),
        _ => {}
    }
    replace(&path, program).map_err(disk)?;
    Ok(true)
}

/// Removes the link, whatever it leads to. What is no link stays.
///
/// # Errors
/// The system's.
pub(super) fn remove(home: &Path) -> Result<(), Error> {
    let path = path(home);
    let removed = || match file::look(&path)? {
        Some(there) if there.is_symlink() => file::found(fs::remove_file(&path)).map(drop),
        _ => Ok(()),
    };
    removed().map_err(|e| Error::disk(&path, e))
}

/// A directory of this user's, made if it is missing. A link there is one that the user made.
fn own_dir(dir: &Path) -> io::Result<()> {
    file::make_dirs(dir, 0o700)?;
    let us = rustix::process::geteuid().as_raw();
    let (link, real) = (fs::symlink_metadata(dir)?, fs::metadata(dir)?);
    let why = if link.uid() != us || real.uid() != us {
        "it belongs to another user"
    } else if !real.is_dir() {
        "it is not a directory"
    } else if real.mode() & 0o022 != 0 {
        "others may write into it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// In one step: there is a link at every moment.
fn replace(path: &Path, program: &Path) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let temp = path.with_file_name(format!(".ox.{}.{n}.tmp", std::process::id()));
    std::os::unix::fs::symlink(program, &temp)?;
    fs::rename(&temp, path).inspect_err(|_| {
        let _ = fs::remove_file(&temp);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn rly_15_the_path_stays_while_the_program_moves() {
        let tmp = tempfile::tempdir().unwrap();
        let (one, two) = (program(tmp.path(), "one"), program(tmp.path(), "two"));
        let link = path(tmp.path());
        assert!(maintain(tmp.path(), &one).unwrap());
        assert!(!maintain(tmp.path(), &one).unwrap());
        assert_eq!(fs::read_link(&link).unwrap(), one);
        assert!(maintain(tmp.path(), &two).unwrap());
        assert_eq!(fs::read_link(&link).unwrap(), two);
        assert!(!maintain(tmp.path(), &tmp.path().join("gone")).unwrap());
        assert_eq!(fs::read_dir(link.parent().unwrap()).unwrap().count(), 1);
        remove(tmp.path()).unwrap();
        remove(tmp.path()).unwrap();
        assert!(!link.is_symlink());
    }

    #[test]
    fn what_somebody_else_put_there_is_not_replaced() {
        let tmp = tempfile::tempdir().unwrap();
        let one = program(tmp.path(), "one");
        fs::create_dir_all(tmp.path().join(".sageox/bin")).unwrap();
        let theirs = program(&tmp.path().join(".sageox/bin"), "ox");
        assert!(!maintain(tmp.path(), &one).unwrap());
        remove(tmp.path()).unwrap();
        assert!(theirs.is_file() && !theirs.is_symlink());
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(maintain(tmp.path(), &one).is_err());
        fs::remove_file(&theirs).unwrap();
        fs::set_permissions(tmp.path().join(".sageox/bin"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(maintain(tmp.path(), &one).is_err());
    }
}
