//! What the server refused for good: kept for a while, so that somebody can look at it, and try it again or let it go.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::record::RECORD_MAX;
use super::Error;
use crate::kit::jsonl::{Limits, Position, Queue, Record};
use crate::kit::text::cut;

/// So much is kept at most, in bytes; beyond it the oldest goes.
const DEAD_MAX: u64 = 5 << 20;
/// It takes at most this part of what the queue may hold.
const PART: u64 = 4;
/// The longest reason, in bytes.
const CODE_MAX: usize = 256;
/// So many are read at a time.
const SOME: usize = 256;

/// A record that the server refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadRecord {
    /// When it was refused, in milliseconds since 1970.
    pub at_ms: i64,
    /// Why, in the server's words.
    pub code: String,
    /// The record.
    pub record: Box<RawValue>,
}

#[derive(Debug)]
pub(super) struct Dead {
    queue: Queue,
    count: u64,
}

impl Dead {
    pub(super) fn open(dir: &Path, max: u64) -> Result<Dead, Error> {
        let total = DEAD_MAX.min(max / PART);
        // A reason of control characters is six times as long in JSON.
        let record = RECORD_MAX + 6 * CODE_MAX + 64;
        let limits = Limits { record, segment: (total / 8).max(2 * record as u64), total };
        let (queue, _) =
            Queue::open_of(dir, limits, |line| serde_json::from_slice::<DeadRecord>(line).is_ok())?;
        let count = queue.count()?;
        Ok(Dead { queue, count })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes on disk.
    pub(super) fn size(&self) -> u64 {
        self.queue.size() + self.queue.aside()
    }

    /// Puts a record aside, unless it was the last one that was: whoever was killed in between does it again.
    pub(super) fn put(&mut self, record: &[u8], code: &str, at_ms: i64) -> Result<(), Error> {
        let text = String::from_utf8_lossy(record).into_owned();
        let Ok(record) = RawValue::from_string(text) else { return Ok(()) };
        if let Some(last) = self.queue.last()?
            && let Ok(last) = serde_json::from_slice::<DeadRecord>(&last)
            && last.record.get() == record.get()
            && self.queue.pending() > 0
        {
            return Ok(());
        }
        let dead = DeadRecord { at_ms, code: cut(code, CODE_MAX).to_owned(), record };
        let dropped = self.queue.append(&serde_json::to_vec(&dead).unwrap_or_default())?;
        self.count = (self.count + 1).saturating_sub(dropped);
        Ok(())
    }

    pub(super) fn list(&mut self, limit: usize) -> Result<Vec<DeadRecord>, Error> {
        let read = self.queue.read(self.queue.position(), limit, usize::MAX)?;
        Ok(parsed(&read))
    }

    /// The oldest records, and the place behind them; none if there are none.
    pub(super) fn some(&mut self) -> Result<Option<(Vec<DeadRecord>, Position)>, Error> {
        let read = self.queue.read(self.queue.position(), SOME, usize::MAX)?;
        let Some(upto) = read.last().map(|line| line.next) else { return Ok(None) };
        Ok(Some((parsed(&read), upto)))
    }

    pub(super) fn forget(&mut self, upto: Position) -> Result<(), Error> {
        self.queue.ack(upto)?;
        self.count = self.queue.count()?;
        Ok(())
    }

    pub(super) fn clear(&mut self) -> Result<u64, Error> {
        let count = self.count;
        while let Some((_, upto)) = self.some()? {
            self.forget(upto)?;
        }
        Ok(count)
    }
}

fn parsed(lines: &[Record]) -> Vec<DeadRecord> {
    lines.iter().filter_map(|line| serde_json::from_slice(&line.bytes).ok()).collect()
}
