//! A transcript that is a session in a database of its program: when it may have got something, and what that is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::harness::transcript::Fact;
use crate::harness::transcript::opencode::{Cannot, Opencode, at};

/// How a file looked: its device, number, length and last change; none that is not there.
type Look = Option<(u64, u64, u64, SystemTime)>;

/// A database that is looked at. Nothing of it is open between two looks.
#[derive(Debug)]
pub(super) struct Rows {
    path: PathBuf,
    /// How the database and its log looked before the last reading.
    looked: Option<[Look; 2]>,
    /// They looked the same before the reading before that. Changes within the same tick of the file system's clock look alike: what was
    /// written while the first of two readings went on has been read by the second.
    settled: bool,
}

impl Rows {
    pub(super) fn new(path: &Path) -> Rows {
        Rows { path: path.to_owned(), looked: None, settled: false }
    }

    /// The database.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody has written to it since it was read. Costs two looks.
    pub(super) fn is_level(&self) -> bool {
        self.settled && look(&self.path).is_ok_and(|now| self.looked == Some(now))
    }

    /// Tells what is new in the reader's session; whether there is more to be told at once. The reader of one that fails is as it was.
    ///
    /// # Errors
    /// It is not there, locked or damaged.
    pub(super) fn step(&mut self, reader: &mut Opencode, out: &mut Vec<Fact>) -> Result<bool, Cannot> {
        let before = look(&self.path).ok();
        let more = at(&self.path, |db| db.read(reader, out))?;
        self.settled = !more && before.is_some() && self.looked == before;
        self.looked = before;
        Ok(more)
    }
}

/// How the database and the log that lies beside it look.
fn look(path: &Path) -> io::Result<[Look; 2]> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let of = |path: &Path| match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some((meta.dev(), meta.ino(), meta.len(), meta.modified()?))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    Ok([of(path)?, of(Path::new(&log))?])
}
