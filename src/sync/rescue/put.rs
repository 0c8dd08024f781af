//! Writing rescued files back: beside what is there, never over it, and never through a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, readlinkat, statat, symlinkat};

use super::show::{differing, open_plain, same_bytes};
use super::{Item, Kind};
use crate::git::{CONFLICT_MARK, CloneLock, link_leaves, rescued, rescued_paths};
use crate::kit::Class;
use crate::kit::file::make_dirs;
use crate::sync::outcome::Failure;
use crate::sync::run::LOCK_WAIT_FORCED;

/// Names tried beside a file.
const NAMES_MAX: u32 = 100;
/// Mode of a link in git.
const LINK: u32 = 0o120_000;

/// A file, relative to the clone, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The file.
    pub path: PathBuf,
    /// What became of it.
    pub became: Became,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// Written here.
    Written(PathBuf),
    /// The same bytes are here already.
    Present(PathBuf),
    /// It had been deleted, so there is nothing to write.
    Deleted,
    /// It is not written, for this reason.
    Refused(String),
}

/// Writes the files of `item`, or only those at or below `only`, into `to`, or without that into the clone. Where something else is
/// already, it goes beside that as `<name>.conflict-<machine>-<time>`. The clone's lock is held meanwhile.
///
/// # Errors
/// Nothing of the item is at one of the paths, somebody works on the clone, or the item cannot be read. What became of each file
/// is in the answer.
pub fn restore(
    item: &Item,
    lock: &Path,
    machine: &str,
    only: &[PathBuf],
    to: Option<&Path>,
) -> Result<Vec<Put>, Failure> {
    let busy = || Failure::new(Class::Busy, format!("another process works on {}", item.clone.display()));
    let _held = CloneLock::acquire(lock, LOCK_WAIT_FORCED)?.ok_or_else(busy)?;
    let paths = select(paths_of(item)?, only)?;
    if to.is_none() && !item.clone.join(".git").exists() {
        let text = format!("there is no clone at {}; name another directory", item.clone.display());
        return Err(Failure::new(Class::Usage, text));
    }
    let root = to.unwrap_or(&item.clone);
    make_dirs(root, 0o755).map_err(|e| Failure::io("making", root, &e))?;
    let suffix = match &item.kind {
        Kind::Copy { path, copy } => own_suffix(path, copy),
        _ => OsString::from(format!("{CONFLICT_MARK}{machine}-{}", item.at.as_second())),
    };
    paths.into_iter().map(|path| put_one(item, &path, root, &suffix)).collect()
}

fn paths_of(item: &Item) -> Result<Vec<PathBuf>, Failure> {
    match &item.kind {
        Kind::Ref(reference) => Ok(rescued_paths(&item.clone, reference)?),
        Kind::Copy { path, .. } => Ok(vec![path.clone()]),
        Kind::Backup(directory) | Kind::Revoked(directory) => {
            differing(&item.clone, directory).map_err(|e| Failure::io("reading", directory, &e))
        }
    }
}

/// What a copy's name has beyond its file's: beside that file it lies already.
fn own_suffix(path: &Path, copy: &Path) -> OsString {
    let name = |p: &Path| p.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    let (own, copy) = (name(path), name(copy));
    os(copy.strip_prefix(own.as_slice()).unwrap_or_default().to_vec())
}

fn select(paths: Vec<PathBuf>, only: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if let Some(missing) = only.iter().find(|o| !paths.iter().any(|p| p.starts_with(o))) {
        let text = format!("it has no {}", missing.display());
        return Err(Failure::new(Class::Usage, text));
    }
    Ok(paths.into_iter().filter(|p| only.is_empty() || only.iter().any(|o| p.starts_with(o))).collect())
}

/// A rescued version of a file.
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Source {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Source::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes))),
            Source::File(path) => Ok(Box::new(open_plain(path)?)),
        }
    }
}

/// What is to be written: a file with its mode, or a link.
enum Version {
    File(Source, u32),
    Link(OsString),
}

fn put_one(item: &Item, path: &Path, root: &Path, suffix: &OsStr) -> Result<Put, Failure> {
    let version = version_of(item, path)?;
    let became = match version.as_ref().map(|version| write(root, path, version, suffix)) {
        None => Became::Deleted,
        Some(Ok((to, true))) => Became::Written(to),
        Some(Ok((to, false))) => Became::Present(to),
        Some(Err(e)) => Became::Refused(e.to_string()),
    };
    Ok(Put { path: path.to_path_buf(), became })
}

/// What was rescued of a file; `None` if it had been deleted.
fn version_of(item: &Item, path: &Path) -> Result<Option<Version>, Failure> {
    let own = match &item.kind {
        Kind::Ref(reference) => {
            let versions = rescued(&item.clone, reference, path)?;
            return Ok(versions.own.map(|own| match own.mode {
                LINK => Version::Link(os(own.bytes)),
                mode => Version::File(Source::Bytes(own.bytes), 0o644 | (mode & 0o111)),
            }));
        }
        Kind::Copy { copy, .. } => item.clone.join(copy),
        Kind::Backup(directory) | Kind::Revoked(directory) => directory.join(path),
    };
    let failed = |e| Failure::io("reading", &own, &e);
    let meta = std::fs::symlink_metadata(&own).map_err(failed)?;
    if meta.is_symlink() {
        return Ok(Some(Version::Link(std::fs::read_link(&own).map_err(failed)?.into_os_string())));
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&meta) & 0o777;
    Ok(Some(Version::File(Source::File(own), mode)))
}

fn os(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// Writes one version below `root`; answers where, and whether it was not there already.
fn write(root: &Path, path: &Path, version: &Version, suffix: &OsStr) -> io::Result<(PathBuf, bool)> {
    let refuse = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
    if let Version::Link(target) = version
        && link_leaves(Path::new(target), path.components().count().saturating_sub(1))
    {
        return Err(refuse("a link that leads outside"));
    }
    let name = path.file_name().ok_or_else(|| refuse("not a plain path"))?;
    let dir = enter(root, path.parent().unwrap_or(Path::new("")))?;
    for n in 0..NAMES_MAX {
        let name = nth_name(name, suffix, n);
        let to = root.join(path).with_file_name(&name);
        match put_new(&dir, &name, version) {
            Ok(()) => return Ok((to, true)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if is_there(&dir, &name, version)? {
                    return Ok((to, false));
                }
            }
            Err(e) => return Err(e),
        }
    }
    Err(refuse("no name is free beside it"))
}

/// The name itself, then the one of a conflict copy, then numbered ones.
fn nth_name(name: &OsStr, suffix: &OsStr, n: u32) -> OsString {
    let mut text = name.to_os_string();
    if n > 0 {
        text.push(suffix);
    }
    if n > 1 {
        text.push(format!("-{n}"));
    }
    text
}

/// Opens the directory `path` below `root`, making what is missing. No component may be a link, nor `.git`.
fn enter(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let mut at = openat(CWD, root, flags, Mode::empty())?;
    for part in path.components() {
        let part = match part {
            Component::Normal(part) if !part.eq_ignore_ascii_case(".git") => part,
            _ => return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a plain path")),
        };
        match mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        at = openat(&at, part, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(|e| match e {
            rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
                let why = format!("{} is a link or a file", Path::new(part).display());
                io::Error::new(io::ErrorKind::PermissionDenied, why)
            }
            e => e.into(),
        })?;
    }
    Ok(at)
}

fn put_new(dir: &OwnedFd, name: &OsStr, version: &Version) -> io::Result<()> {
    let (source, mode) = match version {
        Version::Link(target) => return symlinkat(target, dir, name).map_err(io::Error::from),
        Version::File(source, mode) => (source, *mode),
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, name, flags, Mode::from_raw_mode(mode))?);
    let written = source.open().and_then(|mut from| {
        io::copy(&mut from, &mut file)?;
        file.flush()?;
        file.sync_all()
    });
    if written.is_err() {
        // The first error is the one to tell; half a file must not look like the whole.
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
    }
    written
}

fn is_there(dir: &OwnedFd, name: &OsStr, version: &Version) -> io::Result<bool> {
    match version {
        Version::Link(target) => Ok(readlinkat(dir, name, Vec::new())
            .is_ok_and(|there| there.as_bytes() == target.as_encoded_bytes())),
        Version::File(source, _) => {
            let kind = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
            if !rustix::fs::FileType::from_raw_mode(kind).is_file() {
                return Ok(false);
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut there = File::from(openat(dir, name, flags, Mode::empty())?);
            same_bytes(&mut there, &mut source.open()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn file(text: &str) -> Version {
        Version::File(Source::Bytes(text.into()), 0o644)
    }

    #[test]
    fn nothing_is_ever_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("a"), "present").unwrap();
        let put = |text: &str| {
            let (to, new) = write(root, Path::new("a"), &file(text), ".conflict-box-5".as_ref()).unwrap();
            (to.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), new)
        };
        assert_eq!(put("present"), ("a".into(), false));
        assert_eq!(put("one"), ("a.conflict-box-5".into(), true));
        assert_eq!(put("one"), ("a.conflict-box-5".into(), false));
        assert_eq!(put("two"), ("a.conflict-box-5-2".into(), true));
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "present");
        let (to, _) = write(root, Path::new("new/dir/b"), &file("b"), ".x".as_ref()).unwrap();
        assert_eq!(fs::read_to_string(to).unwrap(), "b");
    }

    #[test]
    fn nothing_is_written_through_links_or_outside() {
        let dir = tempfile::tempdir().unwrap();
        let (root, out) = (dir.path().join("root"), dir.path().join("out"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&out).unwrap();
        symlink(&out, root.join("dir")).unwrap();
        symlink(out.join("target"), root.join("link")).unwrap();
        for path in ["dir/x", "../x", "/x", ".git/hooks/x", "a/.GIT/config", "a/../../x"] {
            assert!(write(&root, Path::new(path), &file("x"), ".c".as_ref()).is_err(), "{path}");
        }
        let (to, _) = write(&root, Path::new("link"), &file("x"), ".c".as_ref()).unwrap();
        assert_eq!(to.file_name().unwrap(), "link.c");
        for target in ["/etc/passwd", "../out/x", "a/../../x"] {
            assert!(
                write(&root, Path::new("l"), &Version::Link(target.into()), ".c".as_ref()).is_err(),
                "{target}"
            );
        }
        write(&root, Path::new("d/l"), &Version::Link("../link".into()), ".c".as_ref()).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        assert!(!dir.path().join("x").exists());
    }
}
