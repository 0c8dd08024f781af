//! Files as the rest of the house writes and reads them: whole or not at all, private, bounded.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::process::may_live;

/// Replaces `path` by `bytes` in one step: a reader sees the old content or the new. For what can be made again.
///
/// # Errors
/// The first that happens; the old content is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, false)
}

/// As [`write_atomic`], and on disk before it returns. For what must survive a power cut.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, true)
}

fn replace(path: &Path, bytes: &[u8], mode: u32, durable: bool) -> io::Result<()> {
    let temp = sibling(path)?;
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temp)?;
        // The umask may have taken bits away.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temp, path)
    })();
    if let Err(e) = written {
        // The first error is the one to report; a leftover is only untidy.
        let _ = fs::remove_file(&temp);
        return Err(e);
    }
    if durable { sync_dir(path) } else { Ok(()) }
}

/// A name beside `path` that no other writer uses.
fn sibling(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path without a name"))?;
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let temp = format!(".{}.{}.{n}.tmp", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(temp))
}

/// Removes what [`write_atomic`] left in `dir` when its process was killed in the middle. What another living process may be writing stays.
pub fn remove_leftovers(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(writer_of) else { continue };
        if pid != std::process::id()
            && !may_live(pid)
            && let Err(e) = fs::remove_file(entry.path())
        {
            log::debug!("{}: {e}", entry.path().display());
        }
    }
}

/// The process that a temporary name of ours names: `.<name>.<pid>.<n>.tmp`.
fn writer_of(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit('.');
    parts.next()?.parse::<u64>().ok()?;
    let pid = parts.next()?.parse().ok()?;
    parts.next()?;
    Some(pid)
}

/// Makes the directory entry of `path` durable.
///
/// # Errors
/// The open or sync error.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// For files of ours that are opened for writing: a link in their place is an error, whoever laid it.
#[allow(clippy::cast_possible_wrap)] // a flag of the system, far below the sign
pub const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// Whether nothing is there. What cannot be looked at is not gone.
pub fn is_gone(path: &Path) -> bool {
    matches!(std::fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound)
}

/// Reads a regular file of at most `cap` bytes.
///
/// # Errors
/// `InvalidInput` for what is no regular file, `FileTooLarge` above the cap, else the system's.
pub fn read_capped(path: &Path, cap: usize) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK a FIFO in the file's place would block for ever.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    read_open(OpenOptions::new().read(true).custom_flags(flags).open(path)?, cap)
}

/// As [`read_capped`], of a file that was opened without blocking.
///
/// # Errors
/// As there.
pub fn read_open(file: File, cap: usize) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(cap as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > cap {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {cap} bytes")));
    }
    Ok(bytes)
}

/// Bytes that this user may still write on the file system of `dir`.
///
/// # Errors
/// It could not be asked.
pub fn free(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes a directory and its missing parents with `mode`.
///
/// # Errors
/// The system's.
pub fn make_dirs(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Makes sure `path` is a directory of ours that nobody else can enter: made 0700 with its missing parents, or checked.
///
/// # Errors
/// `PermissionDenied` if it is a symbolic link or belongs to somebody else, `NotADirectory`, else the system's.
pub fn private_dir(path: &Path) -> io::Result<()> {
    match make_dirs(path, 0o700) {
        // What is there instead of a directory is said below.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let meta = fs::symlink_metadata(path)?;
    if meta.file_type().is_symlink() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is a symbolic link", path.display()),
        ));
    }
    if !meta.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} is not a directory", path.display()),
        ));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        let text = format!("{} belongs to user {}", path.display(), meta.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    if meta.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Renames to a name that nobody has.
///
/// # Errors
/// `AlreadyExists` if somebody has it; else the system's.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems do not know the flag.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Lets what has these two names change places in one step; false where the system cannot.
///
/// # Errors
/// The system's, as when one of the names is nobody's; nothing has changed then.
pub fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            // Some file systems do not know the flag.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Ok(false),
            done => done.map(|()| true).map_err(io::Error::from),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (one, other);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_with_its_mode_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic(&path, b"one", 0o644).unwrap();
        write_durable(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), "x").unwrap();
        assert!(write_atomic(&path, b"new", 0o600).is_err());
        assert!(path.join("x").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_dead_writers_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let dead = i32::MAX - 1;
        let names = [
            format!(".a.json.{dead}.3.tmp"),
            format!(".a.json.{}.3.tmp", std::process::id()),
            ".a.json.1.0.tmp".to_string(),
            format!("a.json.{dead}.3.tmp"),
            ".mine.tmp".to_string(),
        ];
        names.iter().for_each(|n| fs::write(dir.path().join(n), "x").unwrap());
        remove_leftovers(dir.path());
        let left: Vec<bool> = names.iter().map(|n| dir.path().join(n).exists()).collect();
        assert_eq!(left, [false, true, true, true, true]);
    }

    #[test]
    fn reading_is_bounded_and_only_of_regular_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_capped(&path, 5).unwrap(), b"12345");
        assert_eq!(read_capped(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_capped(dir.path(), 5).is_err());
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert_eq!(read_capped(&fifo, 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_private_directory_is_closed_to_others_and_never_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p/q");
        private_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(private_dir(&link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
