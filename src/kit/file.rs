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
    replace(path, &mut &*bytes, mode, false).map(drop)
}

/// As [`write_atomic`], of what is read from `bytes`, whatever its size. How many bytes it was.
///
/// # Errors
/// As [`write_atomic`], and those of reading.
pub fn write_stream(path: &Path, bytes: &mut dyn Read, mode: u32) -> io::Result<u64> {
    replace(path, bytes, mode, false)
}

/// As [`write_atomic`], and on disk before it returns. For what must survive a power cut.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, &mut &*bytes, mode, true).map(drop)
}

/// As [`write_durable`], of a file of the user's own that may be kept elsewhere: where `path` is a symbolic link, the links stay and the file
/// at their end is replaced, or made if it is not there yet. Never for a path in a directory whose content is other people's: they would
/// choose what is written over.
///
/// # Errors
/// `InvalidInput` if the links lead in a circle, `NotFound` if they lead into a directory that is not there, else as [`write_durable`].
pub fn write_linked(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(&end_of_links(path)?, &mut &*bytes, mode, true).map(drop)
}

/// As [`write_durable`], of what `fill` writes, whatever its size.
///
/// # Errors
/// As [`write_durable`], and those of `fill`.
pub fn write_filled(
    path: &Path,
    mode: u32,
    fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let fill = &mut |file: &mut File| {
        let mut out = io::BufWriter::new(file);
        fill(&mut out)?;
        out.flush().map(|()| 0)
    };
    replace_if(path, fill, mode, true, &|| Ok(true)).map(drop)
}

/// As [`write_durable`], unless `still` says at the last moment that what it was made from is not there any more. Whether it was done.
///
/// # Errors
/// As [`write_durable`].
pub fn write_unless_changed(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    still: &dyn Fn() -> io::Result<bool>,
) -> io::Result<bool> {
    let written = replace_if(path, &mut |file| io::copy(&mut &*bytes, file), mode, true, still)?;
    Ok(written.is_some())
}

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// What a path leads to: itself if it is no link. That may be a file that is not there.
///
/// # Errors
/// As [`write_linked`].
pub fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..=LINKS_MAX {
        match fs::read_link(&at) {
            // It counts from the link's own directory, unless it is absolute.
            Ok(next) => at = at.parent().unwrap_or(Path::new("")).join(next),
            // There is something, and it is no link.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Ok(at),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let has_dir =
                    at == path || at.parent().is_some_and(|dir| dir.as_os_str().is_empty() || dir.exists());
                let why = || format!("it is a link to {}, whose directory does not exist", at.display());
                return if has_dir { Ok(at) } else { Err(io::Error::new(e.kind(), why())) };
            }
            Err(e) => return Err(plain_circle(e)),
        }
    }
    Err(circle())
}

fn circle() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link that leads in a circle")
}

/// The same error, said in words if links lead in a circle.
fn plain_circle(e: io::Error) -> io::Error {
    match e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        true => circle(),
        false => e,
    }
}

fn replace(path: &Path, bytes: &mut dyn Read, mode: u32, durable: bool) -> io::Result<u64> {
    replace_if(path, &mut |file| io::copy(bytes, file), mode, durable, &|| Ok(true))
        .map(Option::unwrap_or_default)
}

fn replace_if(
    path: &Path,
    fill: &mut dyn FnMut(&mut File) -> io::Result<u64>,
    mode: u32,
    durable: bool,
    still: &dyn Fn() -> io::Result<bool>,
) -> io::Result<Option<u64>> {
    let temp = sibling(path)?;
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temp)?;
        // The umask may have taken bits away.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        let size = fill(&mut file)?;
        if durable {
            file.sync_all()?;
        }
        if !still()? {
            return Ok(None);
        }
        fs::rename(&temp, path).map(|()| Some(size))
    })();
    if !matches!(written, Ok(Some(_))) {
        // The first error is the one to report; a leftover is only untidy.
        let _ = fs::remove_file(&temp);
    }
    let size = written?;
    if durable && size.is_some() {
        sync_dir(path)?;
    }
    Ok(size)
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

/// What was done, or `None` where nothing is there. What cannot be looked at is not gone.
///
/// # Errors
/// Those of `done` but `NotFound`.
pub fn found<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// What lies at `path`, no link followed; `None` if nothing does, also where a file or link has the place of its directory.
///
/// # Errors
/// It cannot be looked at.
pub fn look(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(None),
        there => found(there),
    }
}

/// The path whose name goes on with `suffix`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Reads a regular file of at most `cap` bytes.
///
/// # Errors
/// `InvalidInput` for what is no regular file and for links that lead in a circle, `FileTooLarge` above the cap, else the system's.
pub fn read_capped(path: &Path, cap: usize) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK a FIFO in the file's place would block for ever.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    read_open(OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(plain_circle)?, cap)
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
/// `AlreadyExists` also for a link to a directory that is not there; else the system's.
pub fn make_dirs(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| {
        let link = path.ancestors().find(|up| up.is_symlink() && !up.exists());
        match link.filter(|_| e.kind() == io::ErrorKind::AlreadyExists) {
            Some(link) => {
                let why = format!("{} is a link to a directory that does not exist", link.display());
                io::Error::new(e.kind(), why)
            }
            None => e,
        }
    })
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
    fn what_was_made_from_something_else_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_durable(&path, b"one", 0o600).unwrap();
        assert!(!write_unless_changed(&path, b"two", 0o600, &|| Ok(false)).unwrap());
        assert!(write_unless_changed(&path, b"two", 0o600, &|| Err(io::Error::other("x"))).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert!(write_unless_changed(&path, b"two", 0o600, &|| Ok(true)).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
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
    fn links_stay_and_what_they_lead_to_is_written() {
        use std::os::unix::fs::symlink;
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        fs::create_dir_all(dir.join("dot/files")).unwrap();
        fs::write(dir.join("dot/there"), "old").unwrap();
        symlink(dir.join("dot"), dir.join("dir")).unwrap();
        let absolute = dir.join("dot/files/absolute");
        let links = [
            ("to-a-file", "dot/there"),
            ("to-nothing", "dot/new"),
            ("absolute", absolute.to_str().unwrap()),
            ("up", "dir/files/../upper"),
            ("chain", "to-chain"),
            ("to-chain", "dir/next"),
            ("dot/next", "files/last"),
            ("dot/files/last", "chained"),
        ];
        links.iter().for_each(|(link, to)| symlink(to, dir.join(link)).unwrap());
        for (link, end) in [
            ("to-a-file", "dot/there"),
            ("to-nothing", "dot/new"),
            ("absolute", "dot/files/absolute"),
            ("up", "dot/upper"),
            ("chain", "dot/files/chained"),
        ] {
            write_linked(&dir.join(link), link.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read(dir.join(end)).unwrap(), link.as_bytes(), "{link}");
            assert!(!dir.join(end).is_symlink(), "{link}");
        }
        for (link, to) in links {
            assert_eq!(fs::read_link(dir.join(link)).unwrap(), Path::new(to), "{link}");
        }
        write_linked(&dir.join("plain"), b"no link", 0o640).unwrap();
        assert_eq!(fs::metadata(dir.join("plain")).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn links_that_lead_nowhere_are_told_and_stay() {
        use std::os::unix::fs::symlink;
        let tmp = tempfile::tempdir().unwrap();
        let at = |name: &str| tmp.path().join(name);
        symlink("self", at("self")).unwrap();
        symlink("two", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        symlink("self/file", at("below")).unwrap();
        for n in 0..60 {
            symlink(format!("long{}", n + 1), at(&format!("long{n}"))).unwrap();
        }
        for link in ["self", "one", "below", "long0"] {
            let e = write_linked(&at(link), b"x", 0o600).unwrap_err();
            assert_eq!(
                (e.kind(), e.to_string()),
                (io::ErrorKind::InvalidInput, circle().to_string()),
                "{link}"
            );
            assert!(at(link).is_symlink());
        }
        assert_eq!(read_capped(&at("one"), 9).unwrap_err().to_string(), circle().to_string());
        symlink("gone/file", at("lost")).unwrap();
        let e = write_linked(&at("lost"), b"x", 0o600).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::NotFound);
        assert!(e.to_string().contains("gone/file, whose directory does not exist"), "{e}");
        symlink("gone", at("lost-dir")).unwrap();
        for dir in ["lost-dir", "lost-dir/a/b"] {
            let e = make_dirs(&at(dir), 0o700).unwrap_err();
            assert!(e.to_string().ends_with("lost-dir is a link to a directory that does not exist"), "{e}");
        }
        fs::create_dir(at("dir")).unwrap();
        symlink("dir", at("to-dir")).unwrap();
        assert!(write_linked(&at("to-dir"), b"x", 0o600).is_err());
        assert!(at("to-dir").is_symlink() && at("dir").is_dir());
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
