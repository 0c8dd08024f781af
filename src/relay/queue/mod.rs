//! Where records wait until the server has them: one queue for each account, which is only ever sent for that account.
//!
//! `<data>/relay/queue/<account>/` has `account.json`, the segments of the queue with their cursor, `damaged` with lines that were no
//! records, and `dead/` with what the server refused. All of it together is bounded.

mod dead;
mod feed;
mod line;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use dead::DeadRecord;
pub use feed::{Fed, Terms};

use dead::Dead;
use line::Mark;

use super::account::Account;
use super::frame::frame_len;
use super::record::RECORD_MAX;
use crate::kit::Class;
use crate::kit::file::{self, private_dir, read_capped, write_durable};
use crate::kit::jsonl::{Found, Limits, Position, Queue, QueueError};
use crate::kit::lock::FileLock;

/// The file that says whose queue it is.
const ACCOUNT: &str = "account.json";
/// It is far smaller than this, in bytes.
const ACCOUNT_MAX: usize = 16 << 10;
/// A segment is not larger than this, in bytes.
const SEGMENT_MAX: u64 = 4 << 20;
/// A queue has at least so many segments, so that what goes for room is a small part of it.
const SEGMENTS: u64 = 12;
/// A smaller limit counts as this, in bytes: that of the setting.
const TOTAL_MIN: u64 = 1 << 20;

/// A record as it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Its bytes, as they are sent.
    pub bytes: Vec<u8>,
    /// The place behind it: what to acknowledge once the server has it and all before it.
    pub upto: Position,
}

/// What is sent at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records, oldest first; never none.
    pub records: Vec<Raw>,
    /// How many they are.
    pub count: usize,
    /// Their bytes, without what goes around them.
    pub bytes: usize,
    /// The place behind the last of them.
    pub upto: Position,
}

impl Batch {
    /// The records' bytes, for the encoders of [`frame`](super::frame).
    pub fn raw(&self) -> Vec<&[u8]> {
        self.records.iter().map(|record| record.bytes.as_slice()).collect()
    }

    fn of(records: Vec<Raw>) -> Option<Batch> {
        let upto = records.last()?.upto;
        let bytes = records.iter().map(|record| record.bytes.len()).sum();
        Some(Batch { count: records.len(), bytes, upto, records })
    }
}

/// What is known of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Bytes that wait.
    pub bytes: u64,
    /// Records that wait.
    pub events: u64,
    /// When the oldest of them was, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Records that were given to a connection, each time.
    pub sent_total: u64,
    /// Records that the server has.
    pub acked_total: u64,
    /// Records that went because there was no room.
    pub dropped_total: u64,
    /// Records that the server refused, and lines that were no records.
    pub dead_total: u64,
    /// Events of which no record was made: nobody's, nameless or too long.
    pub refused_total: u64,
    /// Records that the server refused and that can be tried again.
    pub dead: u64,
}

/// Why a queue did not do as asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are named in the texts
pub enum Error {
    /// The queue itself.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// It is somebody else's.
    #[error("{}: these events wait for another account, {owner}", dir.display())]
    WrongAccount { dir: PathBuf, owner: String },
    /// Nobody knows whose it is.
    #[error("{}: it is not known whose events these are: {reason}", path.display())]
    NoAccount { path: PathBuf, reason: String },
    /// What is refused has to be the oldest record.
    #[error("a record can only be put aside when all before it are dealt with")]
    NotOldest,
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Error {
    /// The class of the failure.
    pub fn class(&self) -> Class {
        match self {
            Error::Queue(error) => error.class(),
            Error::WrongAccount { .. } | Error::NoAccount { .. } => Class::Usage,
            Error::NotOldest => Class::Bug,
            Error::Io { source, .. } => Class::of_io(source),
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path: path.clone(), source }
}

/// What stands beside the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    fed: Mark,
    sent: u64,
    acked: u64,
    rejected: u64,
    refused: u64,
    /// How many of those that went the server was told of.
    told: u64,
}

/// The open queue of an account. There is one, in all processes.
#[derive(Debug)]
pub struct AccountQueue {
    account: Account,
    queue: Queue,
    dead: Dead,
    max: u64,
    /// As it is now; the stored one may be older.
    note: Note,
    /// Records that wait.
    events: u64,
    /// The places behind the records that were handed out, oldest first.
    out: Vec<Position>,
    /// When the record at a place was.
    oldest: Option<(Position, Option<i64>)>,
}

impl AccountQueue {
    /// Opens the queue of an account below `relay`, the relay's directory, and makes it if it is not there. It holds at most `max` bytes.
    ///
    /// # Errors
    /// [`Error::WrongAccount`] or [`Error::NoAccount`] where what lies there is not known to be this account's, [`QueueError::Busy`] while
    /// somebody else has it open, or the disk's.
    pub fn open(relay: &Path, account: &Account, max: u64) -> Result<(AccountQueue, Found), Error> {
        let dir = dir_of(relay, account);
        let max = max.max(TOTAL_MIN);
        let segment = (max / SEGMENTS).min(SEGMENT_MAX);
        let limits = Limits { record: RECORD_MAX + line::AROUND, segment, total: max };
        for dir in [relay, &relay.join("queue")] {
            private_dir(dir).map_err(at(dir))?;
        }
        let (queue, found) = Queue::open_of(&dir, limits, line::is_one)?;
        own(&dir, account)?;
        let note: Note = serde_json::from_str(queue.note()).unwrap_or_default();
        let last = queue.last()?.and_then(|line| line::split(&line).map(|(mark, _)| mark));
        let fed = last.map_or(note.fed, |last| last.max(note.fed));
        let events = queue.count()?;
        let dead = Dead::open(&dir.join("dead"), max)?;
        let note = Note { fed, ..note };
        let mut queue = AccountQueue {
            account: account.clone(),
            queue,
            dead,
            max,
            note,
            events,
            out: Vec::new(),
            oldest: None,
        };
        queue.share();
        Ok((queue, found))
    }

    /// Whose it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The oldest records, at most `max_events` of them, whose batch is encoded in at most `max_bytes`; one in any case. The same ones again
    /// until they are acknowledged. While they are dealt with they do not go for room.
    ///
    /// # Errors
    /// The disk's.
    pub fn next(&mut self, max_events: usize, max_bytes: usize) -> Result<Option<Batch>, Error> {
        let from = self.queue.position();
        let records = self.read(from, max_events.max(1), max_bytes)?;
        self.out = records.iter().map(|record| record.upto).collect();
        self.queue.hold(self.out.last().copied().unwrap_or_default());
        Ok(Batch::of(records))
    }

    /// What [`AccountQueue::next`] would hand out one after the other if all were acknowledged, at most `batches` of them. Nothing changes.
    ///
    /// # Errors
    /// The disk's.
    pub fn peek(&mut self, batches: usize, max_events: usize, max_bytes: usize) -> Result<Vec<Batch>, Error> {
        let (mut from, mut all) = (self.queue.position(), Vec::new());
        while all.len() < batches
            && let Some(batch) = Batch::of(self.read(from, max_events.max(1), max_bytes)?)
        {
            from = batch.upto;
            all.push(batch);
        }
        Ok(all)
    }

    fn read(&mut self, from: Position, records: usize, bytes: usize) -> Result<Vec<Raw>, Error> {
        let damaged = self.queue.losses().damaged;
        // What goes around a record here is longer than what goes around it in a batch.
        let read = self.queue.read(from, records, bytes.saturating_sub(frame_len(0, 0)));
        let damaged = self.queue.losses().damaged - damaged;
        if damaged > 0 {
            self.events = self.events.saturating_sub(damaged);
            self.share();
        }
        let raw = |record: crate::kit::jsonl::Record| {
            let (_, bytes) = line::split(&record.bytes)?;
            Some(Raw { bytes: bytes.to_vec(), upto: record.next })
        };
        Ok(read?.into_iter().filter_map(raw).collect())
    }

    /// So many records were given to a connection.
    pub fn sent(&mut self, count: usize) {
        self.note.sent += count as u64;
    }

    /// Forgets, durably, the records before `upto` that were handed out last: the server has them. Returns how many they were.
    ///
    /// # Errors
    /// The disk's; then none is forgotten.
    pub fn ack(&mut self, upto: Position) -> Result<usize, Error> {
        let count = self.out.iter().take_while(|place| **place <= upto).count();
        let note = Note { acked: self.note.acked + count as u64, ..self.note };
        self.done(count, note)?;
        Ok(count)
    }

    /// Those that were handed out will not be acknowledged: the connection is gone.
    pub fn release(&mut self) {
        self.out.clear();
        self.queue.hold(Position::default());
    }

    /// Puts the oldest record aside, durably, because the server will never take it: `code` says why.
    ///
    /// # Errors
    /// [`Error::NotOldest`] if it is not the oldest of those that were handed out, or the disk's: then it still waits, and may be aside too.
    pub fn reject(&mut self, record: &Raw, code: &str, at_ms: i64) -> Result<(), Error> {
        if self.out.first() != Some(&record.upto) {
            return Err(Error::NotOldest);
        }
        self.dead.put(&record.bytes, code, at_ms)?;
        self.share();
        let note = Note { rejected: self.note.rejected + 1, ..self.note };
        self.done(1, note)
    }

    /// The first `count` of those that were handed out are dealt with.
    fn done(&mut self, count: usize, note: Note) -> Result<(), Error> {
        let Some(upto) = self.out[..count].last().copied() else { return Ok(()) };
        self.keep(upto, note)?;
        self.out.drain(..count);
        self.events = self.events.saturating_sub(count as u64);
        if self.out.is_empty() {
            self.release();
        }
        Ok(())
    }

    /// Acknowledges and makes `note` the durable one.
    fn keep(&mut self, upto: Position, note: Note) -> Result<(), Error> {
        let text = serde_json::to_string(&note).map_err(|e| at(Path::new("cursor"))(e.into()))?;
        self.queue.ack_noting(upto, &text)?;
        self.note = note;
        Ok(())
    }

    /// What is known of it.
    ///
    /// # Errors
    /// The disk's.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        let from = self.queue.position();
        if self.events == 0 {
            self.oldest = None;
        } else if self.oldest.is_none_or(|(place, when)| place != from || when.is_none()) {
            let first = self.read(from, 1, 0)?;
            self.oldest = Some((from, first.first().and_then(|record| line::time(&record.bytes))));
        }
        let losses = self.queue.losses();
        Ok(Stats {
            bytes: self.queue.pending(),
            events: self.events,
            oldest_ms: self.oldest.and_then(|(_, when)| when),
            sent_total: self.note.sent,
            acked_total: self.note.acked,
            dropped_total: losses.dropped,
            dead_total: self.note.rejected + losses.damaged,
            refused_total: self.note.refused,
            dead: self.dead.count(),
        })
    }

    /// What the server refused, oldest first, at most `limit` of them.
    ///
    /// # Errors
    /// The disk's.
    pub fn dead(&mut self, limit: usize) -> Result<Vec<DeadRecord>, Error> {
        self.dead.list(limit)
    }

    /// Puts all that the server refused back to the others, behind them. Returns how many they were.
    ///
    /// # Errors
    /// The disk's; some may be back, and still aside too.
    pub fn retry_dead(&mut self) -> Result<u64, Error> {
        let mut count = 0;
        while let Some((records, upto)) = self.dead.some()? {
            let line = |dead: &DeadRecord| line::join(self.note.fed, dead.record.get().as_bytes());
            let lines: Vec<_> = records.iter().map(line).collect();
            self.append(&lines)?;
            self.dead.forget(upto)?;
            self.share();
            count += records.len() as u64;
        }
        Ok(count)
    }

    /// Forgets all that the server refused. Returns how many they were.
    ///
    /// # Errors
    /// The disk's.
    pub fn clear_dead(&mut self) -> Result<u64, Error> {
        let count = self.dead.clear()?;
        self.share();
        Ok(count)
    }

    /// Appends lines, and returns how many records went for them.
    fn append(&mut self, lines: &[Vec<u8>]) -> Result<u64, Error> {
        let before = self.queue.losses().dropped;
        let done = self.queue.append_all(lines);
        let dropped = self.queue.losses().dropped - before;
        match done {
            Ok(_) => self.events += lines.len() as u64,
            Err(e) => {
                // Some of them may be in.
                self.events = self.queue.count()?;
                return Err(e.into());
            }
        }
        self.events = self.events.saturating_sub(dropped);
        Ok(dropped)
    }

    /// Whether the next records cost older ones.
    pub fn is_full(&self) -> bool {
        self.size() + (self.max / SEGMENTS).min(SEGMENT_MAX) > self.max
    }

    /// Bytes that it takes of its limit.
    fn size(&self) -> u64 {
        self.queue.size() + self.queue.aside() + self.dead.size()
    }

    /// Has what lies beside the queue count with it.
    fn share(&mut self) {
        self.queue.set_beside(self.queue.aside() + self.dead.size());
    }
}

/// Where the queue of an account lies, below the relay's directory.
pub fn dir_of(relay: &Path, account: &Account) -> PathBuf {
    relay.join("queue").join(account.key())
}

/// Removes the queue of an account with all that waits in it. Whether there was one.
///
/// # Errors
/// [`QueueError::Busy`] while somebody has it open, or the disk's.
pub fn purge(relay: &Path, account: &Account) -> Result<bool, Error> {
    let dir = dir_of(relay, account);
    if file::look(&dir).map_err(at(&dir))?.is_none() {
        return Ok(false);
    }
    let lock = FileLock::try_acquire(&dir.join("lock")).map_err(at(&dir))?;
    let _lock = lock.ok_or_else(|| QueueError::Busy { dir: dir.clone() })?;
    fs::remove_dir_all(&dir).map_err(at(&dir))?;
    Ok(true)
}

/// Makes sure that the directory is the account's: says so where nothing lies there yet.
fn own(dir: &Path, account: &Account) -> Result<(), Error> {
    let path = dir.join(ACCOUNT);
    let unknown = |reason: String| Error::NoAccount { path: path.clone(), reason };
    match read_capped(&path, ACCOUNT_MAX) {
        Ok(bytes) => {
            let owner: Account = serde_json::from_slice(&bytes).map_err(|e| unknown(e.to_string()))?;
            if owner == *account {
                return Ok(());
            }
            let owner = format!("{} at {}", owner.user_id, owner.server_url);
            Err(Error::WrongAccount { dir: dir.to_owned(), owner })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            for entry in fs::read_dir(dir).map_err(at(dir))? {
                let name = entry.map_err(at(dir))?.file_name();
                if name.to_string_lossy().ends_with(".jsonl") {
                    return Err(unknown("events lie there, and nothing says whose they are".to_owned()));
                }
            }
            let text = serde_json::to_vec_pretty(account).map_err(|e| at(&path)(e.into()))?;
            write_durable(&path, &text, 0o600).map_err(at(&path))
        }
        Err(e) => Err(at(&path)(e)),
    }
}
