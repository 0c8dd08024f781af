//! Events in the order in which the store got them, for whoever tells them on.

use rusqlite::{OptionalExtension as _, Row, params};

use super::super::happening::Source;
use super::{Store, StoreError};

/// An event as it is told on: without a prompt, an answer, a tool's input, or digests of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// Its number here.
    pub seq: i64,
    /// The program, or `foreign`.
    pub agent: String,
    /// The session; empty of one that named none.
    pub session_id: String,
    /// What ours call it.
    pub event_type: String,
    /// What it is known by in its session.
    pub dedup_key: String,
    /// What the program calls it.
    pub hook_event_name: Option<String>,
    /// The tool.
    pub tool_name: Option<String>,
    /// The call of the tool.
    pub tool_use_id: Option<String>,
    /// The turn.
    pub turn_id: Option<String>,
    /// The session's model.
    pub model: Option<String>,
    /// What the session's agent may do unasked.
    pub permission_mode: Option<String>,
    /// Why it ended, or what began it.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970: as the transcript says, or else the hook.
    pub at_ms: i64,
    /// Who told of it: `hook`, `transcript`, `cli`.
    pub sources: Vec<&'static str>,
    /// It failed.
    pub is_error: bool,
    /// The project.
    pub repo_id: Option<String>,
    /// HMAC-SHA-256 of the working directory under the installation's key, in hex.
    pub cwd_hash: Option<String>,
}

impl After {
    fn of(row: &Row<'_>) -> rusqlite::Result<After> {
        Ok(After {
            seq: row.get(0)?,
            agent: row.get(1)?,
            session_id: row.get(2)?,
            event_type: row.get(3)?,
            dedup_key: row.get(4)?,
            hook_event_name: row.get(5)?,
            tool_name: row.get(6)?,
            tool_use_id: row.get(7)?,
            turn_id: row.get(8)?,
            model: row.get(9)?,
            permission_mode: row.get(10)?,
            reason: row.get(11)?,
            at_ms: row.get(12)?,
            sources: Source::names(row.get(13)?),
            is_error: row.get(14)?,
            repo_id: row.get(15)?,
            cwd_hash: row.get(16)?,
        })
    }
}

impl Store {
    /// A number that no event is above yet, and later ones will be; zero before the first. It never falls, also when events go.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_seq(&self) -> Result<i64, StoreError> {
        let one = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
        let last = self.read(|conn| conn.query_row(one, [], |row| row.get(0)).optional())?;
        Ok(last.unwrap_or(0))
    }

    /// The events whose numbers are above `seq` and up to `upto`, in their order, at most `limit` of them.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn after(&self, seq: i64, upto: i64, limit: usize) -> Result<Vec<After>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|conn| {
            let mut rows = conn.prepare_cached(
                "SELECT e.seq, s.agent, s.session_id, e.event_type, e.dedup_key, e.hook_event_name, e.tool_name, e.tool_use_id,
                     e.turn_id, s.model, s.permission_mode, coalesce(e.reason, e.source_detail),
                     coalesce(e.transcript_at_ms, e.hook_at_ms, 0), e.sources, e.is_error, s.repo_id, e.cwd_hash
                 FROM events e JOIN sessions s ON s.id = e.session WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq LIMIT ?3",
            )?;
            rows.query_map(params![seq, upto, limit], After::of)?.collect()
        })
    }
}
