//! Of which files a session was told that others work on them: one small file for each session, a line for each file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::flag;
use crate::kit::file::{self, NOFOLLOW};
use crate::kit::hex::hex;

/// A session is told of so many files; then no more, for what it was told is not known any more.
const FILES_MAX: usize = 1000;
/// A line, in bytes.
const LINE: usize = 17;
/// What sessions were told is forgotten when nothing was added for so long.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// So many sessions are remembered, the newest.
const SESSIONS_MAX: usize = 1000;

/// What one session was told.
#[derive(Debug)]
pub struct Told {
    file: PathBuf,
    lines: Vec<u8>,
}

impl Told {
    /// Reads it; where it cannot be read it was told nothing.
    pub fn of(data: &Path, session: &str) -> Told {
        let file = dir(data).join(digest(session));
        let lines = file::read_capped(&file, FILES_MAX * LINE).unwrap_or_default();
        Told { file, lines }
    }

    /// Whether it was not told of that file yet; from now on it was. Where that cannot be kept it is told of nothing, rather than again and
    /// again.
    pub fn is_new(&mut self, path: &str) -> bool {
        let line = digest(path) + "\n";
        let is_known = self.lines.chunks(LINE).any(|known| known == line.as_bytes());
        if is_known || self.lines.len() >= FILES_MAX * LINE || self.keep(&line).is_err() {
            return false;
        }
        self.lines.extend_from_slice(line.as_bytes());
        true
    }

    fn keep(&self, line: &str) -> io::Result<()> {
        file::private_dir(self.file.parent().unwrap_or(Path::new("/")))?;
        let mut options = OpenOptions::new();
        let mut file =
            options.append(true).create(true).mode(0o600).custom_flags(NOFOLLOW).open(&self.file)?;
        file.write_all(line.as_bytes())
    }
}

/// Forgets what sessions were told that have ended long ago, or are too many.
///
/// # Errors
/// The disk's.
pub fn forget_old(data: &Path, now: SystemTime) -> io::Result<()> {
    let Some(entries) = file::found(fs::read_dir(dir(data)))? else { return Ok(()) };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let changed = entry.metadata()?.modified()?;
        files.push((changed, entry.path()));
    }
    files.sort();
    let too_many = files.len().saturating_sub(SESSIONS_MAX);
    for (n, (changed, path)) in files.iter().enumerate() {
        if n < too_many || now.duration_since(*changed).is_ok_and(|age| age > KEPT) {
            file::found(fs::remove_file(path))?;
        }
    }
    Ok(())
}

fn dir(data: &Path) -> PathBuf {
    flag::dir(data).join("told")
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_of_each_file_once_and_of_a_bounded_number() {
        let data = tempfile::tempdir().unwrap();
        let of = |session: &str| Told::of(data.path(), session);
        assert!(of("s").is_new("a") && !of("s").is_new("a") && of("s").is_new("b") && of("t").is_new("a"));
        let mut told = of("s");
        let new = (0..FILES_MAX + 10).filter(|n| told.is_new(&n.to_string())).count();
        assert_eq!(new, FILES_MAX - 2);
        assert!(!of("s").is_new("z"));
        // Where it cannot be kept.
        fs::remove_dir_all(dir(data.path())).unwrap();
        fs::write(dir(data.path()), "").unwrap();
        assert!(!of("s").is_new("a"));
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        forget_old(data.path(), now).unwrap();
        for n in 0..SESSIONS_MAX as u64 + 5 {
            assert!(Told::of(data.path(), &n.to_string()).is_new("a"));
            let age = if n < 3 { KEPT + Duration::from_secs(1) } else { Duration::from_secs(5000 - n) };
            let file = fs::File::open(dir(data.path()).join(digest(&n.to_string()))).unwrap();
            file.set_modified(now - age).unwrap();
        }
        forget_old(data.path(), now).unwrap();
        let is_new = |n: u64| Told::of(data.path(), &n.to_string()).is_new("a");
        assert!((0..5).all(is_new), "the oldest");
        assert!((5..SESSIONS_MAX as u64 + 5).all(|n| !is_new(n)));
    }
}
