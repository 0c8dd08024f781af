//! A session that never was: what a test of hooks made is taken out again.

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::{Store, StoreError};

impl Store {
    /// Takes all sessions with this id out, of whatever program, and sees to it that these lines of the spool, each by its id and when it
    /// was received in milliseconds, are not taken in later. How many events are gone.
    ///
    /// # Errors
    /// The database cannot be written to.
    pub fn forget(&mut self, session_id: &str, lines: &[(&str, i64)]) -> Result<usize, StoreError> {
        self.take_out(session_id, lines).map_err(|e| self.error(e))
    }

    /// Takes one event out that belongs to no session, by its number. Whether it was there.
    ///
    /// # Errors
    /// The database cannot be written to.
    pub fn forget_nobodys(&mut self, seq: i64) -> Result<bool, StoreError> {
        let one = "DELETE FROM events WHERE seq = ?1 AND session IN (SELECT id FROM sessions WHERE session_id = '')";
        self.conn.execute(one, [seq]).map(|gone| gone > 0).map_err(|e| self.error(e))
    }

    fn take_out(&mut self, session_id: &str, lines: &[(&str, i64)]) -> rusqlite::Result<usize> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone = 0;
        for (id, at_ms) in lines {
            super::write::take_line(&tx, id, *at_ms)?;
        }
        // Events without a session are not one session.
        let next = || match session_id {
            "" => Ok(None),
            id => tx
                .prepare_cached("SELECT id FROM sessions WHERE session_id = ?1 LIMIT 1")?
                .query_row([id], |row| row.get::<_, i64>(0))
                .optional(),
        };
        while let Some(row) = next()? {
            gone += tx.execute("DELETE FROM events WHERE session = ?1", [row])?;
            for table in ["agents", "counts"] {
                tx.execute(&format!("DELETE FROM {table} WHERE session = ?1"), [row])?;
            }
            tx.execute("DELETE FROM sessions WHERE id = ?1", params![row])?;
        }
        tx.commit()?;
        Ok(gone)
    }
}
