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
            if self.used()? <= size_max {
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
        self.give_back()?;
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

    /// Gives free pages back to the disk.
    fn give_back(&self) -> rusqlite::Result<()> {
        // One row a page.
        let mut all = self.conn.prepare("PRAGMA incremental_vacuum")?;
        let mut rows = all.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    pub(super) fn size(&self) -> rusqlite::Result<u64> {
        Ok(self.pragma("page_count")? * self.pragma("page_size")?)
    }

    /// Without the pages that are free.
    fn used(&self) -> rusqlite::Result<u64> {
        let pages = self.pragma("page_count")?.saturating_sub(self.pragma("freelist_count")?);
        Ok(pages * self.pragma("page_size")?)
    }

    fn pragma(&self, name: &str) -> rusqlite::Result<u64> {
        self.conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::record::Record;
    use super::*;

    #[test]
    fn of_a_store_that_is_too_large_the_oldest_events_go() {
        let tmp = tempfile::tempdir().unwrap();
        let mut store = Store::open(&tmp.path().join("events.db")).unwrap().store;
        let now = Timestamp::from_second(2_000_000_000).unwrap();
        let records = (0..3_000).map(|n| Record {
            spool_id: n.to_string(),
            agent: "codex".into(),
            session_id: (n / 100).to_string(),
            event: "Stop".into(),
            at_ms: now.as_millisecond() - 3_000 + n,
            payload: Some("x".repeat(1000)),
            ..Record::default()
        });
        store.take(&records.collect::<Vec<_>>()).unwrap();
        let before = store.size().unwrap();
        assert!(before > 3_000_000, "{before}");
        let kept = store.keep_within(now, 1 << 20).unwrap();
        assert!(kept.size <= 1 << 20 && kept.deleted > 1_500 && kept.deleted < 2_900, "{kept:?}");
        let file = std::fs::metadata(tmp.path().join("events.db")).unwrap().len();
        assert!(file <= 1 << 20, "{file}");
        let left: (i64, i64) = store
            .conn
            .query_row("SELECT count(*), min(hook_at_ms) FROM events", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(left.1, now.as_millisecond() - left.0, "the newest stay");
        assert_eq!(store.keep_within(now, 1 << 20).unwrap().deleted, 0);
    }
}
