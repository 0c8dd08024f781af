//! A session is another program's than was thought.

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};

use super::{Store, StoreError};

impl Store {
    /// Gives the session that is stored as one of `from` to the program `to`, with all that is known of it. Where `to` has it already, both
    /// become one. Whether there was such a session.
    ///
    /// # Errors
    /// The database cannot be written to.
    pub fn restamp(&mut self, session_id: &str, from: &str, to: &str) -> Result<bool, StoreError> {
        self.change_agent(session_id, from, to).map_err(|e| self.error(e))
    }

    fn change_agent(&mut self, session_id: &str, from: &str, to: &str) -> rusqlite::Result<bool> {
        if from == to || session_id.is_empty() {
            return Ok(false);
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row = |agent: &str| {
            tx.prepare_cached("SELECT id FROM sessions WHERE agent = ?1 AND session_id = ?2")?
                .query_row([agent, session_id], |row| row.get::<_, i64>(0))
                .optional()
        };
        let Some(old) = row(from)? else { return Ok(false) };
        match row(to)? {
            None => {
                tx.execute("UPDATE sessions SET agent = ?2 WHERE id = ?1", params![old, to])?;
            }
            Some(new) => {
                // What both tell of stays as the right one has it.
                tx.execute(
                    "UPDATE events SET sources = sources | (SELECT o.sources FROM events o WHERE o.session = ?1
                         AND o.event_type = events.event_type AND o.dedup_key = events.dedup_key),
                         hook_at_ms = coalesce(hook_at_ms, (SELECT o.hook_at_ms FROM events o WHERE o.session = ?1
                             AND o.event_type = events.event_type AND o.dedup_key = events.dedup_key))
                     WHERE session = ?2 AND (event_type, dedup_key) IN
                         (SELECT event_type, dedup_key FROM events WHERE session = ?1)",
                    params![old, new],
                )?;
                for table in ["events", "agents", "counts"] {
                    tx.execute(
                        &format!("UPDATE OR IGNORE {table} SET session = ?2 WHERE session = ?1"),
                        [old, new],
                    )?;
                    tx.execute(&format!("DELETE FROM {table} WHERE session = ?1"), [old])?;
                }
                tx.execute(
                    "UPDATE sessions AS s SET first_seen_ms = min(s.first_seen_ms, o.first_seen_ms),
                         last_seen_ms = max(s.last_seen_ms, o.last_seen_ms),
                         hook_seen_ms = nullif(max(coalesce(s.hook_seen_ms, 0), coalesce(o.hook_seen_ms, 0)), 0),
                         sources = s.sources | o.sources, repo_id = coalesce(s.repo_id, o.repo_id),
                         model = coalesce(s.model, o.model)
                     FROM (SELECT * FROM sessions WHERE id = ?1) AS o WHERE s.id = ?2",
                    [old, new],
                )?;
                tx.execute("DELETE FROM sessions WHERE id = ?1", [old])?;
            }
        }
        tx.commit()?;
        Ok(true)
    }
}
