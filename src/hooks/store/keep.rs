//! How long events are kept.

use std::fs;
use std::io;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{TransactionBehavior, params};

use super::{Store, StoreError};

/// Older events are deleted.
pub const AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Of a larger database the oldest events are deleted, in bytes.
pub const SIZE_MAX: u64 = 200 << 20;
/// A session of which nothing was heard for so long was left.
const IDLE_MAX: SignedDuration = SignedDuration::from_mins(180);
/// So many events are deleted by one transaction.
const AT_ONCE: i64 = 20_000;

/// What keeping came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Events that were deleted.
    pub deleted: u64,
    /// Sessions that count as left now.
    pub left: u64,
    /// The size of the database, in bytes.
    pub size: u64,
}

impl Store {
    /// Deletes what is older than [`AGE_MAX`], and the oldest of what is beyond [`SIZE_MAX`]; to be called once a day.
    ///
    /// # Errors
    /// The database cannot be written to.
    pub fn keep(&mut self, now: Timestamp) -> Result<Kept, StoreError> {
        self.keep_within(now, SIZE_MAX).map_err(|e| self.error(e))
    }

    pub(super) fn keep_within(&mut self, now: Timestamp, size_max: u64) -> rusqlite::Result<Kept> {
        let oldest = now.checked_sub(AGE_MAX).unwrap_or(Timestamp::MIN).as_millisecond();
        let idle = now.checked_sub(IDLE_MAX).unwrap_or(Timestamp::MIN).as_millisecond();
        let mut kept = Kept { deleted: self.delete_before(oldest)?, ..Kept::default() };
        loop {
            self.conn.execute_batch("PRAGMA incremental_vacuum")?;
            kept.size = self.size()?;
            if kept.size <= size_max {
                break;
            }
            let deleted = self.delete_oldest()?;
            kept.deleted += deleted;
            if deleted == 0 {
                break;
            }
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let left = tx.execute(
            "UPDATE sessions SET status = 'abandoned' WHERE status = 'active' AND last_seen_ms < ?1",
            [idle],
        )?;
        kept.left = left as u64;
        tx.execute("DELETE FROM spooled WHERE at_ms < ?1", [oldest])?;
        // One without events that is still written to knows which of several alike comes next.
        tx.execute(
            "DELETE FROM sessions WHERE last_seen_ms < ?1 AND id NOT IN (SELECT session FROM events)",
            [oldest],
        )?;
        for table in ["agents", "counts"] {
            tx.execute(&format!("DELETE FROM {table} WHERE session NOT IN (SELECT id FROM sessions)"), [])?;
        }
        let paths: Vec<String> = {
            let mut all = tx.prepare("SELECT path FROM files")?;
            all.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        for path in paths {
            let gone = fs::symlink_metadata(path.split('\n').next().unwrap_or_default())
                .is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
            if gone {
                tx.execute("DELETE FROM files WHERE path = ?1", [path])?;
            }
        }
        tx.commit()?;
        self.conn.execute_batch("PRAGMA incremental_vacuum")?;
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        kept.size = self.size()?;
        Ok(kept)
    }

    fn delete_before(&self, oldest: i64) -> rusqlite::Result<u64> {
        let mut all = 0;
        loop {
            let deleted = self.conn.execute(
                "DELETE FROM events WHERE seq IN (SELECT seq FROM events
                     WHERE coalesce(transcript_at_ms, hook_at_ms) < ?1 LIMIT ?2)",
                params![oldest, AT_ONCE],
            )?;
            if deleted == 0 {
                return Ok(all);
            }
            all += deleted as u64;
        }
    }

    /// A twentieth of them, so that not each day has to.
    fn delete_oldest(&self) -> rusqlite::Result<u64> {
        let count: i64 = self.conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        let deleted = self.conn.execute(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events
                 ORDER BY coalesce(transcript_at_ms, hook_at_ms) LIMIT ?1)",
            [(count / 20).clamp(1, AT_ONCE)],
        )?;
        Ok(deleted as u64)
    }

    pub(super) fn size(&self) -> rusqlite::Result<u64> {
        let one = |name: &str| self.conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        Ok((one("page_count")? * one("page_size")?).unsigned_abs())
    }
}
