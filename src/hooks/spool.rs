//! Where events wait between the entry and the store: a queue of [`kit::jsonl`](crate::kit::jsonl) at whose door every entry puts its own.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::flag;
use super::record::Record;
use crate::kit::jsonl::{Inlet, Limits, Queue, QueueError, Waiting, waiting};

/// Longest record, in bytes: with a whole payload of 64 KiB, written as a text of JSON.
const RECORD_MAX: usize = 200 << 10;

/// How much waits: segments of 4 MiB, 50 MiB in all (decisions, section 6).
pub const LIMITS: Limits = Limits { record: RECORD_MAX, segment: 4 << 20, total: 50 << 20 };

/// What came in this lately is being stored, in seconds.
const STORED_WITHIN: i64 = 60;

/// The directory, below the data directory.
pub fn dir(data: &Path) -> PathBuf {
    flag::dir(data).join("spool")
}

/// Puts an event in; without its payload, where that makes it too long.
///
/// # Errors
/// As [`Inlet::append`].
pub fn put(data: &Path, record: &Record) -> Result<(), QueueError> {
    let line = |record: &Record| serde_json::to_vec(record).map_err(|_| QueueError::NotJson);
    let inlet = Inlet::new(&dir(data), LIMITS);
    match inlet.append(&line(record)?) {
        Err(QueueError::TooLong { .. }) => inlet.append(&line(&Record { payload: None, ..record.clone() })?),
        put => put,
    }
}

/// Opens it to read.
///
/// # Errors
/// As [`Queue::open`].
pub fn open(data: &Path) -> Result<Queue, QueueError> {
    Queue::open(&dir(data), LIMITS).map(|(queue, _)| queue)
}

/// What waits there longer than it should; none if all is stored.
///
/// # Errors
/// The disk's.
pub fn late(data: &Path, now: Timestamp) -> Result<Option<Waiting>, QueueError> {
    let waiting = status(data)?;
    let is_late = waiting.since.is_some_and(|since| now.as_second() - since >= STORED_WITHIN);
    Ok((waiting.records > 0 && is_late).then_some(waiting))
}

/// What waits there, also while somebody has it open.
///
/// # Errors
/// The disk's.
pub fn status(data: &Path) -> Result<Waiting, QueueError> {
    waiting(&dir(data))
}
