//! The door of a queue that any process may put records into, without opening the queue and without waiting for the disk.
//!
//! `in.jsonl` is appended to; `in-<nanoseconds>-<pid>.jsonl` were closed because they were full, or because `in.jsonl` could not be had
//! in time; `in.lost` counts what had to go. Whoever has the queue open makes segments of them ([`Queue::take_in`]).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Limits, Position, Queue, QueueError, Segment, at, count_lines, list, read_cursor};
use crate::kit::clock::{self, Clock as _, SystemClock};
use crate::kit::file::{self, NOFOLLOW, private_dir, sync_dir};
use crate::kit::lock::FileLock;

const CURRENT: &str = "in.jsonl";
const LOST: &str = "in.lost";
/// Somebody who makes a segment of the file holds it for a moment only; after so long a record gets a file of its own.
const WRITER_WAIT: Duration = Duration::from_millis(10);
/// A writer holds it for one write.
const OWNER_WAIT: Duration = Duration::from_secs(1);

/// The door of the queue in a directory.
#[derive(Clone, Debug)]
pub struct Inlet {
    dir: PathBuf,
    limits: Limits,
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Bytes of records, new for readers.
    pub bytes: u64,
    /// Records that went before anybody read them, because there was no room.
    pub dropped: u64,
}

/// What nobody has read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest file of them was last written to, in seconds since 1970.
    pub since: Option<i64>,
}

impl Inlet {
    /// The door of the queue in `dir`, which has `limits`.
    pub fn new(dir: &Path, limits: Limits) -> Inlet {
        Inlet { dir: dir.to_owned(), limits }
    }

    /// Puts one record in: a single write, which the kernel has when this returns, and no sync.
    ///
    /// # Errors
    /// [`QueueError::TooLong`], [`QueueError::NotJson`] if it is more than a line, or the disk's.
    pub fn append(&self, record: &[u8]) -> Result<(), QueueError> {
        if record.len() > self.limits.record {
            return Err(QueueError::TooLong { length: record.len(), limit: self.limits.record });
        }
        if record.contains(&b'\n') {
            return Err(QueueError::NotJson);
        }
        let path = self.dir.join(CURRENT);
        let put = || -> io::Result<()> {
            let Some(file) = self.open(&path)? else { return self.put_aside(record) };
            let done = put_line(&file, record).and_then(|length| match length >= self.limits.segment {
                true => self.close(&file, &path),
                false => Ok(()),
            });
            // Closing is not enough: a child that was begun meanwhile has the file too until it runs its program, and the lock with it.
            file.unlock()?;
            done
        };
        put().map_err(at(&path))
    }

    /// The current file, which nobody makes a segment of while it is open; none where somebody keeps it.
    fn open(&self, path: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(NOFOLLOW);
        let mut got = Ok(None);
        clock::wait_until(WRITER_WAIT, || {
            got = (|| {
                let file = match options.open(path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        private_dir(&self.dir)?;
                        options.open(path)?
                    }
                    opened => opened?,
                };
                match file.try_lock_shared() {
                    Ok(()) if is_at(&file, path)? => Ok(Some(file)),
                    Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(e)) => Err(e),
                }
            })();
            !matches!(got, Ok(None))
        });
        got
    }

    /// Puts a record into a file of its own.
    fn put_aside(&self, record: &[u8]) -> io::Result<()> {
        let name = closed_name();
        let temp = self.dir.join(format!(".{name}.{}.0.tmp", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        file.write_all(&[record, b"\n"].concat())?;
        fs::rename(&temp, self.dir.join(name))
    }

    /// Closes the current file, which is full, unless somebody else is writing to it: whoever comes last does it. Lets the oldest go where
    /// there are too many.
    fn close(&self, file: &File, path: &Path) -> io::Result<()> {
        match file.try_lock() {
            Ok(()) if is_at(file, path)? => fs::rename(path, self.dir.join(closed_name()))?,
            Ok(()) | Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let mut size = 0;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(".jsonl") {
                size += entry.metadata()?.len();
            }
        }
        for (oldest, length) in closed(&self.dir)? {
            if size + self.limits.segment <= self.limits.total {
                break;
            }
            let lost = count_lines(&oldest, 0, length).map_err(|e| io::Error::other(e.to_string()))?;
            // Somebody else may have let it go, or taken it in, just now.
            if file::found(fs::remove_file(&oldest))?.is_some() {
                note_lost(&self.dir, lost)?;
            }
            size = size.saturating_sub(length);
        }
        Ok(())
    }
}

impl Queue {
    /// Makes segments of what was put in at the door, the oldest first, and lets the oldest records go that find no room.
    ///
    /// # Errors
    /// The disk's; what was not taken in yet is later.
    pub fn take_in(&mut self) -> Result<TakenIn, QueueError> {
        file::remove_leftovers(&self.dir);
        let mut taken = TakenIn { dropped: self.take_lost()?, ..TakenIn::default() };
        for (path, length) in closed(&self.dir).map_err(at(&self.dir))? {
            if length == 0 {
                fs::remove_file(&path).map_err(at(&path))?;
                continue;
            }
            self.adopt(&path)?;
            taken.bytes += length;
        }
        let path = self.dir.join(CURRENT);
        let length = match fs::symlink_metadata(&path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(at(&path)(e)),
        };
        // One who writes and does not go on keeps it: it is taken in the next time.
        if length > 0
            && let Some(_lock) = FileLock::acquire(&path, OWNER_WAIT).map_err(at(&path))?
        {
            taken.bytes += self.adopt(&path)?;
        }
        taken.dropped += self.make_room(0)?;
        Ok(taken)
    }

    /// Makes the last segment of a file and returns its length.
    fn adopt(&mut self, path: &Path) -> Result<u64, QueueError> {
        let file = File::open(path).map_err(at(path))?;
        file.sync_data().map_err(at(path))?;
        let length = file.metadata().map_err(at(path))?.len();
        let number = self.segments.back().map_or(self.cursor.read.segment, |last| last.number + 1);
        let segment = self.path(number);
        fs::rename(path, &segment).and_then(|()| sync_dir(&segment)).map_err(at(&segment))?;
        // Nothing more goes into the one before it.
        self.tail = None;
        self.segments.push_back(Segment { number, length });
        let read = self.past_sealed(self.cursor.read);
        if read != self.cursor.read {
            self.save(super::Cursor { read, ..self.cursor })?;
            self.remove_read()?;
        }
        Ok(length)
    }

    /// Counts what went at the door.
    fn take_lost(&mut self) -> Result<u64, QueueError> {
        let (path, taken) = (self.dir.join(LOST), self.dir.join("in.lost.taken"));
        if !file::is_gone(&path) {
            fs::rename(&path, &taken).map_err(at(&path))?;
        }
        let text = match fs::read_to_string(&taken) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            text => text.map_err(at(&taken))?,
        };
        let lost = text.lines().filter_map(|line| line.parse::<u64>().ok()).sum();
        let mut cursor = self.cursor;
        cursor.losses.dropped += lost;
        self.save(cursor)?;
        fs::remove_file(&taken).map_err(at(&taken))?;
        Ok(lost)
    }
}

/// What of the queue in `dir` nobody has read yet, also while nobody or somebody else has it open.
///
/// # Errors
/// The disk's.
pub fn waiting(dir: &Path) -> Result<Waiting, QueueError> {
    if file::is_gone(dir) {
        return Ok(Waiting::default());
    }
    let read = read_cursor(dir)?.map_or(Position::default(), |stored| stored.cursor.read);
    let mut files: Vec<(PathBuf, u64, u64)> = Vec::new();
    for segment in list(dir)?.into_iter().filter(|s| s.number >= read.segment) {
        let from = if segment.number == read.segment { read.offset.min(segment.length) } else { 0 };
        files.push((dir.join(super::file_name(segment.number)), from, segment.length));
    }
    files.extend(closed(dir).map_err(at(dir))?.into_iter().map(|(path, length)| (path, 0, length)));
    let current = dir.join(CURRENT);
    if let Ok(meta) = fs::symlink_metadata(&current) {
        files.push((current, 0, meta.len()));
    }
    let mut waiting = Waiting::default();
    for (path, from, to) in files.into_iter().filter(|(_, from, to)| from < to) {
        // It may be taken in or read meanwhile.
        let Ok(records) = count_lines(&path, from, to) else { continue };
        waiting.records += records;
        waiting.bytes += to - from;
        waiting.since = waiting.since.or_else(|| fs::metadata(&path).ok().map(|meta| meta.mtime()));
    }
    Ok(waiting)
}

/// Writes a line at the end of the file in one piece, and returns its length then. What somebody left without an end gets one.
fn put_line(file: &File, record: &[u8]) -> io::Result<u64> {
    let before = file.metadata()?.len();
    let mut last = [b'\n'];
    if before > 0 {
        file.read_exact_at(&mut last, before - 1)?;
    }
    let mut line = Vec::with_capacity(record.len() + 2);
    if last != *b"\n" {
        line.push(b'\n');
    }
    line.extend_from_slice(record);
    line.push(b'\n');
    let mut file = file;
    file.write_all(&line)?;
    Ok(file.metadata()?.len())
}

/// Whether `file` is what lies at `path`: it may have been made a segment since it was opened.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let mine = file.metadata()?;
    Ok(file::found(fs::symlink_metadata(path))?
        .is_some_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino())))
}

fn closed_name() -> String {
    let now = SystemClock.now().wall.as_nanosecond();
    format!("in-{now:022}-{}.jsonl", std::process::id())
}

/// The closed files with their lengths, the oldest first.
fn closed(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("in-") && name.ends_with(".jsonl"))
            && let Some(meta) = file::found(entry.metadata())?
        {
            all.push((entry.path(), meta.len()));
        }
    }
    all.sort();
    Ok(all)
}

fn note_lost(dir: &Path, lost: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(NOFOLLOW);
    options.open(dir.join(LOST))?.write_all(format!("{lost}\n").as_bytes())
}
