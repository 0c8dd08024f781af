//! A durable queue of JSON lines in a directory of its own.
//!
//! `<number>.jsonl` are the segments, appended to one after the other; `cursor` says up to where they have been read; `damaged`
//! keeps lines that were no JSON; `lock` is held by the one process that has the queue open. A record is on disk before
//! [`Queue::append`] returns. A reader sees each record at least once, in order, and again after a crash between reading and
//! [`Queue::ack`]. Whatever is given up is counted. Who cannot open it or wait for the disk puts records in at its door, an
//! [`Inlet`]. Beside the cursor stands a note of the queue's owner, which changes with it in one step.

mod group;
mod inlet;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use inlet::{Inlet, TakenIn, Waiting, waiting};

use super::Class;
use super::file::{NOFOLLOW, found, private_dir, read_capped, sync_dir, write_durable};
use super::lock::FileLock;

/// The damaged lines kept aside fill at most two files of this size, in bytes.
const DAMAGED_MAX: u64 = 1 << 20;
/// The cursor file is far smaller than this, in bytes.
const CURSOR_MAX: usize = 8192;
/// The longest note beside the cursor, in bytes.
pub const NOTE_MAX: usize = 2048;

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest record, in bytes, without its newline. Less than a segment.
    pub record: usize,
    /// A segment is closed before it grows beyond this, in bytes.
    pub segment: u64,
    /// All segments together, in bytes: at least two segments. Beyond it the oldest goes.
    pub total: u64,
}

impl Default for Limits {
    /// Records of 256 KiB, segments of 4 MiB, 50 MiB in all.
    fn default() -> Limits {
        Limits { record: 256 << 10, segment: 4 << 20, total: 50 << 20 }
    }
}

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    segment: u64,
    offset: u64,
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its bytes, without the newline.
    pub bytes: Vec<u8>,
    /// The place behind it: what to read on from, and what to acknowledge once it is dealt with.
    pub next: Position,
}

/// What [`Queue::open`] met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes not read yet.
    pub pending: u64,
    /// Bytes of a last line without an end, left by a crash and cut off now.
    pub torn: u64,
    /// Segments that are not there although nobody acknowledged them.
    pub missing: u64,
    /// The cursor was gone or led to no record: reading starts before it, so that some records come twice.
    pub cursor_lost: bool,
}

/// What was given up so far, over the life of the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Unread records that went because the queue was full.
    pub dropped: u64,
    /// Lines that were no JSON or too long; they lie in `damaged`.
    pub damaged: u64,
    /// Last lines without an end, cut off after a crash.
    pub torn: u64,
}

/// Why the queue did not do as asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are named in the texts
pub enum QueueError {
    /// Another process, or another part of this one, has it open.
    #[error("{}: the queue is in use by another process", dir.display())]
    Busy { dir: PathBuf },
    /// The record is no single line of JSON.
    #[error("a record must be one line of JSON")]
    NotJson,
    /// The record is longer than the limit.
    #[error("a record of {length} bytes is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    /// The limits contradict each other.
    #[error("a queue of {limits:?} cannot hold its own segments")]
    Limits { limits: Limits },
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl QueueError {
    /// The class of the failure.
    pub fn class(&self) -> Class {
        match self {
            QueueError::Busy { .. } => Class::Busy,
            QueueError::NotJson | QueueError::TooLong { .. } => Class::Usage,
            QueueError::Limits { .. } => Class::Bug,
            QueueError::Io { source, .. } => Class::of_io(source),
        }
    }
}

/// The content of the cursor file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    read: Position,
    /// Damage before this place has been kept aside and counted.
    inspected: Position,
    losses: Losses,
}

/// Segments from the first number up to before the second, which went although older ones stay.
type Gap = (u64, u64);

/// The cursor file as it is read.
#[derive(Default, Deserialize)]
struct Stored {
    #[serde(flatten)]
    cursor: Cursor,
    #[serde(default)]
    gaps: Vec<Gap>,
    #[serde(default)]
    note: String,
}

/// The cursor file as it is written.
#[derive(Serialize)]
struct Storing<'a> {
    #[serde(flatten)]
    cursor: Cursor,
    #[serde(skip_serializing_if = "<[Gap]>::is_empty")]
    gaps: &'a [Gap],
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// Bytes of whole lines, as far as they are known to be on disk.
    length: u64,
}

/// An open queue. There is one per directory, in all processes.
#[derive(Debug)]
pub struct Queue {
    dir: PathBuf,
    limits: Limits,
    cursor: Cursor,
    /// At most one behind each segment that is held.
    gaps: Vec<Gap>,
    note: String,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last segment, if it can be appended to.
    tail: Option<File>,
    /// Segments up to this one do not go for room.
    held: u64,
    /// Bytes that others take of the total.
    beside: u64,
    /// Whether a line is a record.
    is_record: fn(&[u8]) -> bool,
    _lock: FileLock,
}

impl Queue {
    /// Opens the queue in `dir`, making it if missing, and mends what a crash has left.
    ///
    /// # Errors
    /// [`QueueError::Busy`] while somebody else has it open, [`QueueError::Limits`], or the disk's.
    pub fn open(dir: &Path, limits: Limits) -> Result<(Queue, Found), QueueError> {
        Queue::open_of(dir, limits, is_json)
    }

    /// As [`Queue::open`], of records that are more than JSON: a line of which `is_record` says no is a damaged one.
    ///
    /// # Errors
    /// As there.
    pub fn open_of(
        dir: &Path,
        limits: Limits,
        is_record: fn(&[u8]) -> bool,
    ) -> Result<(Queue, Found), QueueError> {
        if limits.record as u64 >= limits.segment || limits.total / 2 < limits.segment {
            return Err(QueueError::Limits { limits });
        }
        private_dir(dir).map_err(at(dir))?;
        let lock = FileLock::try_acquire(&dir.join("lock")).map_err(at(dir))?;
        let lock = lock.ok_or_else(|| QueueError::Busy { dir: dir.into() })?;
        remove_cursors(dir)?;
        let mut segments = list(dir)?;
        let stored = read_cursor(dir)?;
        let (stored, gaps, note) = stored.map_or_else(Default::default, |s| (Some(s.cursor), s.gaps, s.note));
        let mut found = Found { cursor_lost: stored.is_none() && !segments.is_empty(), ..Found::default() };
        let mut cursor = stored.unwrap_or_default();
        if segments.is_empty() {
            cursor.read.segment = cursor.read.segment.max(1);
        }
        remove_gaps(dir, &gaps, &mut segments)?;
        let mut queue = Queue {
            dir: dir.into(),
            limits,
            cursor,
            gaps,
            note,
            segments,
            tail: None,
            held: 0,
            beside: 0,
            is_record,
            _lock: lock,
        };
        queue.cut_torn_tail(&mut found)?;
        queue.mend_cursor(&mut found)?;
        if stored.is_none() {
            sync_dir(dir).map_err(at(dir))?;
        }
        if stored != Some(queue.cursor) {
            queue.save(queue.cursor)?;
        }
        queue.remove_read()?;
        found.pending = queue.pending();
        Ok((queue, found))
    }

    /// Appends one record, on disk when this returns. Returns how many unread records had to go for it.
    ///
    /// # Errors
    /// [`QueueError::NotJson`], [`QueueError::TooLong`], or the disk's: then the record is not in the queue.
    pub fn append(&mut self, record: &[u8]) -> Result<u64, QueueError> {
        self.append_all(&[record])
    }

    /// Reads records from `from` on, at most `records` of them and, beyond the first, at most `bytes` in all. Start at
    /// [`Queue::position`] and go on at the last record's `next`. Damaged lines are kept aside, counted and passed over.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&mut self, from: Position, records: usize, bytes: usize) -> Result<Vec<Record>, QueueError> {
        let mut place = from.max(self.cursor.read);
        let (mut out, mut size) = (Vec::new(), 0);
        for segment in self.segments.clone() {
            if segment.number < place.segment {
                continue;
            }
            place = place.max(Position { segment: segment.number, offset: 0 });
            let path = self.path(segment.number);
            let mut lines = Lines::open(&path, place.offset, segment.length, self.limits.record)?;
            while let Some(line) = lines.take()? {
                let next = Position { segment: segment.number, offset: lines.offset };
                if line.whole && line.bytes.is_empty() {
                    // Two who put records in found the same line without an end.
                    self.pass_over(None, place, next)?;
                } else if line.whole && (self.is_record)(&line.bytes) {
                    size += line.bytes.len();
                    if out.len() == records || (size > bytes && !out.is_empty()) {
                        return Ok(out);
                    }
                    out.push(Record { bytes: line.bytes, next });
                } else {
                    self.pass_over(Some(&line.bytes), place, next)?;
                }
                place = next;
            }
        }
        Ok(out)
    }

    /// Up to where everything has been acknowledged.
    pub fn position(&self) -> Position {
        self.cursor.read
    }

    /// Acknowledges everything before `upto`, durably, and removes the segments that are done with.
    ///
    /// # Errors
    /// The disk's; then nothing is acknowledged.
    pub fn ack(&mut self, upto: Position) -> Result<(), QueueError> {
        let read = self.acked(upto);
        if read <= self.cursor.read {
            return Ok(());
        }
        self.save(Cursor { read, ..self.cursor })?;
        self.remove_read()
    }

    /// Where reading goes on once everything before `upto` is acknowledged.
    fn acked(&self, upto: Position) -> Position {
        let end = self.segments.back().map_or(self.cursor.read, Segment::end);
        self.past_sealed(upto.min(end)).max(self.cursor.read)
    }

    /// Bytes not acknowledged yet.
    pub fn pending(&self) -> u64 {
        let read = self.cursor.read;
        let unread =
            |s: &Segment| s.length - if s.number == read.segment { read.offset.min(s.length) } else { 0 };
        self.segments.iter().filter(|s| s.number >= read.segment).map(unread).sum()
    }

    /// Bytes of all segments, read or not.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|s| s.length).sum()
    }

    /// What was given up so far.
    pub fn losses(&self) -> Losses {
        self.cursor.losses
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(file_name(number))
    }

    /// Makes `cursor` the durable one.
    fn save(&mut self, cursor: Cursor) -> Result<(), QueueError> {
        let path = self.dir.join("cursor");
        self.gaps.retain(|(_, to)| cursor.read.segment < *to);
        let text = serde_json::to_vec(&Storing { cursor, gaps: &self.gaps, note: &self.note });
        let text = text.map_err(|e| at(&path)(e.into()))?;
        write_durable(&path, &text, 0o600).map_err(at(&path))?;
        self.cursor = cursor;
        Ok(())
    }

    /// Opens the last segment for `more` bytes, or a new one if it has no room or cannot be trusted.
    fn open_tail(&mut self, more: u64) -> Result<(), QueueError> {
        let last = self.segments.back().copied();
        if self.tail.is_some() && last.is_some_and(|s| s.length + more <= self.limits.segment) {
            return Ok(());
        }
        self.tail = None;
        let number = last.map_or(self.cursor.read.segment, |s| s.number + 1);
        let path = self.path(number);
        let file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path).map_err(at(&path))?;
        // From here on the file is there, also if it cannot be made durable now.
        self.segments.push_back(Segment { number, length: 0 });
        if let Err(e) = sync_dir(&path) {
            self.forget_empty_tail();
            return Err(at(&path)(e));
        }
        self.tail = Some(file);
        let read = self.past_sealed(self.cursor.read);
        if read != self.cursor.read {
            self.save(Cursor { read, ..self.cursor })?;
            self.remove_read()?;
        }
        Ok(())
    }

    /// Lets the oldest segments go that are not held until `more` bytes fit. Returns how many unread records went.
    fn make_room(&mut self, more: u64) -> Result<u64, QueueError> {
        let mut dropped = 0;
        while self.size() + self.beside + more > self.limits.total
            && let Some(n) = self.segments.iter().position(|s| s.number > self.held)
            && let Some(next) = self.segments.get(n + 1).map(|s| s.number)
        {
            let oldest = self.segments[n];
            let from = if oldest.number == self.cursor.read.segment { self.cursor.read.offset } else { 0 };
            let unread = count_lines(&self.path(oldest.number), from, oldest.length)?;
            let mut cursor = self.cursor;
            cursor.losses.dropped += unread;
            if n == 0 {
                cursor.read = cursor.read.max(Position { segment: next, offset: 0 });
                self.save(cursor)?;
                self.remove_read()?;
            } else {
                let before = self.gaps.clone();
                match self.gaps.last_mut() {
                    Some((_, to)) if *to == oldest.number => *to = next,
                    _ => self.gaps.push((oldest.number, next)),
                }
                if let Err(e) = self.save(cursor) {
                    self.gaps = before;
                    return Err(e);
                }
                remove_gaps(&self.dir, &self.gaps, &mut self.segments)?;
            }
            dropped += unread;
        }
        Ok(dropped)
    }

    /// Writes and syncs lines at the end of the tail; on failure the tail is as it was before, or not used any more.
    fn write(&mut self, lines: &[u8]) -> Result<(), QueueError> {
        let (Some(file), Some(last)) = (&mut self.tail, self.segments.back_mut()) else {
            return Err(at(&self.dir)(io::ErrorKind::NotFound.into()));
        };
        let written = file.write_all(lines);
        let sync_failed = written.is_ok();
        let Err(error) = written.and_then(|()| file.sync_data()) else {
            last.length += lines.len() as u64;
            return Ok(());
        };
        let number = last.number;
        let cut = file.set_len(last.length);
        // After a failed sync the kernel may take unwritten pages for written, so nothing more goes into this file.
        if sync_failed || cut.is_err() {
            self.tail = None;
            self.forget_empty_tail();
        }
        Err(at(&self.path(number))(error))
    }

    /// Removes a last segment that holds nothing, so that failing again and again does not fill the directory.
    fn forget_empty_tail(&mut self) {
        if let Some(Segment { number, length: 0 }) = self.segments.back().copied()
            && fs::remove_file(self.path(number)).is_ok()
        {
            self.segments.pop_back();
        }
    }

    /// `place`, or the start of the next segment if it is the end of one that gets no more.
    fn past_sealed(&self, mut place: Position) -> Position {
        for (segment, next) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            if segment.number == place.segment && place.offset >= segment.length {
                place = Position { segment: next.number, offset: 0 };
            }
        }
        place
    }

    /// Removes the segments before the cursor.
    fn remove_read(&mut self) -> Result<(), QueueError> {
        while let Some(first) = self.segments.front().copied()
            && first.number < self.cursor.read.segment
        {
            let path = self.path(first.number);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path)(e)),
                _ => self.segments.pop_front(),
            };
        }
        Ok(())
    }

    /// Passes over a line between two places: an empty one, or a damaged one, which is kept and counted the first time it is met.
    fn pass_over(
        &mut self,
        damaged: Option<&[u8]>,
        from: Position,
        next: Position,
    ) -> Result<(), QueueError> {
        let mut cursor = self.cursor;
        if let Some(bytes) = damaged
            && from >= cursor.inspected
        {
            self.set_aside(bytes)?;
            cursor.inspected = next;
            cursor.losses.damaged += 1;
        }
        // Nobody acknowledges what is never handed out.
        if from == cursor.read {
            cursor.read = self.past_sealed(next);
        }
        if cursor != self.cursor {
            self.save(cursor)?;
        }
        self.remove_read()
    }

    /// Keeps the bytes of a damaged line, whatever becomes of its segment.
    fn set_aside(&self, bytes: &[u8]) -> Result<(), QueueError> {
        let path = self.dir.join("damaged");
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(NOFOLLOW);
        let open = || options.open(&path);
        let keep = || -> io::Result<()> {
            let mut file = open()?;
            if file.metadata()?.len() + bytes.len() as u64 >= DAMAGED_MAX {
                fs::rename(&path, path.with_extension("old"))?;
                file = open()?;
            }
            file.write_all(&[bytes, b"\n"].concat())?;
            file.sync_data()?;
            sync_dir(&path)
        };
        keep().map_err(at(&path))
    }

    /// Cuts what follows the last newline of the last segment and opens it to append.
    fn cut_torn_tail(&mut self, found: &mut Found) -> Result<(), QueueError> {
        let Some(last) = self.segments.back_mut() else { return Ok(()) };
        let path = self.dir.join(file_name(last.number));
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).custom_flags(NOFOLLOW).open(&path).map_err(at(&path))?;
        let whole = whole_lines(&file, last.length).map_err(at(&path))?;
        if whole < last.length {
            file.set_len(whole).and_then(|()| file.sync_all()).map_err(at(&path))?;
            found.torn = last.length - whole;
            self.cursor.losses.torn += 1;
        }
        last.length = whole;
        self.tail = Some(file);
        Ok(())
    }

    /// Moves a cursor that leads to no start of a record to one before it, or over what is not there any more.
    fn mend_cursor(&mut self, found: &mut Found) -> Result<(), QueueError> {
        let read = self.cursor.read;
        let numbers = self.segments.iter().map(|s| s.number);
        let gone = numbers.clone().zip(numbers.skip(1)).flat_map(|(a, b)| a + 1..b);
        found.missing = gone.filter(|number| !is_in(&self.gaps, *number)).count() as u64;
        let Some(first) = self.segments.front().copied() else {
            if read.offset > 0 {
                found.missing = 1;
                self.cursor.read = Position { segment: read.segment + 1, offset: 0 };
            }
            return Ok(());
        };
        let start = |number| Position { segment: number, offset: 0 };
        match self.segments.iter().find(|s| s.number >= read.segment).copied() {
            Some(segment) if segment.number == read.segment => {
                let path = self.path(segment.number);
                if read.offset > segment.length || !starts_line(&path, read.offset).map_err(at(&path))? {
                    found.cursor_lost = true;
                    self.cursor.read.offset = 0;
                }
            }
            Some(segment) => {
                if segment.number == first.number && read.segment > 0 {
                    found.missing += segment.number - read.segment;
                }
                self.cursor.read = start(segment.number);
            }
            // The segment it waits for has not been made yet.
            None if self.segments.back().is_some_and(|s| s.number + 1 == read.segment)
                && read.offset == 0 => {}
            None => {
                found.cursor_lost = true;
                self.cursor.read = start(first.number);
            }
        }
        self.cursor.read = self.past_sealed(self.cursor.read);
        Ok(())
    }
}

impl Segment {
    fn end(&self) -> Position {
        Position { segment: self.number, offset: self.length }
    }
}

/// Names the path an error happened on.
fn at(path: &Path) -> impl Fn(io::Error) -> QueueError {
    let path = path.to_path_buf();
    move |source| QueueError::Io { path: path.clone(), source }
}

fn file_name(number: u64) -> String {
    format!("{number:016}.jsonl")
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Removes what an interrupted write of the cursor has left: nobody else writes it.
fn remove_cursors(dir: &Path) -> Result<(), QueueError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".cursor.") && name.ends_with(".tmp") {
            fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

/// The segments of a directory, oldest first.
fn list(dir: &Path) -> Result<VecDeque<Segment>, QueueError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_suffix(".jsonl").filter(|n| n.len() == 16).and_then(|n| n.parse().ok());
        if let Some(number) = number {
            let length = entry.metadata().map_err(at(&entry.path()))?.len();
            segments.push(Segment { number, length });
        }
    }
    segments.sort_by_key(|s| s.number);
    Ok(segments.into())
}

fn is_in(gaps: &[Gap], number: u64) -> bool {
    gaps.iter().any(|(from, to)| (*from..*to).contains(&number))
}

/// Removes the segments of gaps, which a crash may have left.
fn remove_gaps(dir: &Path, gaps: &[Gap], segments: &mut VecDeque<Segment>) -> Result<(), QueueError> {
    while let Some(n) = segments.iter().position(|s| is_in(gaps, s.number)) {
        let path = dir.join(file_name(segments[n].number));
        found(fs::remove_file(&path)).map_err(at(&path))?;
        segments.remove(n);
    }
    Ok(())
}

/// Reads the cursor; `None` if it is not there or cannot be understood.
fn read_cursor(dir: &Path) -> Result<Option<Stored>, QueueError> {
    let path = dir.join("cursor");
    match read_capped(&path, CURSOR_MAX) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(&path)(e)),
    }
}

/// The length up to and with the last newline.
fn whole_lines(file: &File, length: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    let mut block = [0; 4096];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(part, start)?;
        if let Some(n) = part.iter().rposition(|b| *b == b'\n') {
            return Ok(start + n as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether a record can start at `offset`.
fn starts_line(path: &Path, offset: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let Some(before) = offset.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, before)?;
    Ok(byte == *b"\n")
}

/// How many lines that are not empty lie between two offsets.
fn count_lines(path: &Path, from: u64, to: u64) -> Result<u64, QueueError> {
    let mut lines = Lines::open(path, from, to, 0)?;
    let mut count = 0;
    while let Some(line) = lines.take()? {
        // With no room for bytes, only an empty line is whole.
        count += u64::from(!line.whole);
    }
    Ok(count)
}

/// A line of a segment.
struct Line {
    /// Its bytes, at most as many as the limit, without the newline.
    bytes: Vec<u8>,
    /// Whether that is all of it, and its newline was there.
    whole: bool,
}

/// The lines of a part of a segment, in memory bounded by the longest record.
struct Lines {
    path: PathBuf,
    reader: BufReader<io::Take<File>>,
    /// Behind the last line given.
    offset: u64,
    limit: usize,
}

impl Lines {
    fn open(path: &Path, from: u64, to: u64, limit: usize) -> Result<Lines, QueueError> {
        let mut file = File::open(path).map_err(at(path))?;
        file.seek(SeekFrom::Start(from)).map_err(at(path))?;
        let reader = BufReader::with_capacity(64 << 10, file.take(to.saturating_sub(from)));
        Ok(Lines { path: path.into(), reader, offset: from, limit })
    }

    /// The next line; `None` at the end.
    fn take(&mut self) -> Result<Option<Line>, QueueError> {
        let mut line = Line { bytes: Vec::new(), whole: true };
        loop {
            let part = self.reader.fill_buf().map_err(at(&self.path))?;
            if part.is_empty() {
                line.whole = false;
                return Ok((!line.bytes.is_empty()).then_some(line));
            }
            let newline = part.iter().position(|b| *b == b'\n');
            let text = &part[..newline.unwrap_or(part.len())];
            let room = self.limit - line.bytes.len();
            line.whole &= text.len() <= room;
            line.bytes.extend_from_slice(&text[..text.len().min(room)]);
            let used = newline.map_or(part.len(), |n| n + 1);
            self.reader.consume(used);
            self.offset += used as u64;
            if newline.is_some() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests;
