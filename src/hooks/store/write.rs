//! What one transaction takes in.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::super::happening::{Happening, Source};
use super::super::identity::{self, Base};
use super::super::record::Record;
use super::effects::{self, Agent, Session};
use super::{Store, StoreError};

/// What taking events in came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events that were not known.
    pub new: usize,
    /// Events that another source, or the same once more, had told of.
    pub merged: usize,
    /// What was told again, and had been taken in before.
    pub replayed: usize,
}

/// What a column becomes that both sources tell: a hook knows best, and the first of two alike.
macro_rules! told {
    ($($column:literal),*) => {
        concat!($($column, " = CASE WHEN excluded.sources & ~sources & 1 THEN coalesce(excluded.", $column, ", ", $column,
            ") ELSE coalesce(", $column, ", excluded.", $column, ") END, "),*)
    };
}

/// A history is looked for in so many sessions.
const FORKS_MAX: usize = 16;

const NEW: &str = "
    INSERT INTO events (session, event_type, dedup_key, hook_event_name, sources, hook_at_ms, transcript_at_ms, tool_name,
        tool_name_raw, tool_use_id, turn_id, agent_id, agent_type, source_detail, reason, input_sha256, input_bytes,
        output_bytes, is_error, fact, payload, cwd_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
    ON CONFLICT DO ";

const MERGE: &str = concat!(
    "UPDATE SET ",
    told!(
        "hook_event_name",
        "tool_name",
        "tool_name_raw",
        "tool_use_id",
        "turn_id",
        "agent_id",
        "agent_type",
        "source_detail",
        "reason",
        "input_sha256",
        "input_bytes",
        "output_bytes",
        "payload",
        "cwd_hash"
    ),
    "sources = sources | excluded.sources, hook_at_ms = coalesce(hook_at_ms, excluded.hook_at_ms),
     transcript_at_ms = coalesce(transcript_at_ms, excluded.transcript_at_ms), is_error = max(is_error, excluded.is_error),
     fact = coalesce(fact, excluded.fact)"
);

impl Store {
    /// Has all of it on disk that `take` takes in, or nothing.
    pub(in crate::hooks) fn write<T>(
        &mut self,
        take: impl FnOnce(&mut Batch<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let done = (|| {
            let conn = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut batch = Batch { conn, known: HashMap::new(), agents: HashMap::new() };
            let taken = take(&mut batch)?;
            batch.finish()?;
            Ok(taken)
        })();
        done.map_err(|e| self.error(e))
    }
}

/// Whether a line of the spool was not taken in before; from now on it was.
pub(super) fn take_line(conn: &Connection, spool_id: &str, at_ms: i64) -> rusqlite::Result<bool> {
    let id = Uuid::parse_str(spool_id).map_or_else(
        |_| {
            let hash = Sha256::digest(spool_id.as_bytes());
            hash.iter().copied().take(16).collect()
        },
        |id| id.as_bytes().to_vec(),
    );
    let mut put = conn.prepare_cached("INSERT INTO spooled VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    Ok(put.execute(params![id, at_ms])? == 1)
}

/// A transaction that takes events in.
pub(in crate::hooks) struct Batch<'c> {
    conn: Transaction<'c>,
    /// Sessions that it changes, by program and id, each with its row.
    known: HashMap<(String, String), (i64, Session)>,
    /// Their agents, by the session's row and their id.
    agents: HashMap<(i64, String), Agent>,
}

impl Batch<'_> {
    /// The connection, for what stands in the same transaction.
    pub(in crate::hooks) fn conn(&self) -> &rusqlite::Connection {
        &self.conn
    }

    pub(super) fn records(&mut self, records: &[Record]) -> rusqlite::Result<Taken> {
        let mut taken = Taken::default();
        for record in records {
            if self.is_first(record)? {
                self.happened(&Happening::from(record), &mut taken)?;
            } else {
                taken.replayed += 1;
            }
        }
        Ok(taken)
    }

    /// Whether the line was not taken in before; from now on it was.
    fn is_first(&self, record: &Record) -> rusqlite::Result<bool> {
        take_line(&self.conn, &record.spool_id, record.at_ms)
    }

    /// Whether a transcript's fact was taken in before.
    pub(in crate::hooks) fn is_known(&self, fact: i64) -> rusqlite::Result<bool> {
        self.conn.prepare_cached("SELECT 1 FROM events WHERE fact = ?1")?.exists([fact])
    }

    /// The sessions whose history one goes on from, the nearest first.
    pub(in crate::hooks) fn ancestors(
        &self,
        agent: &str,
        forked_from: &str,
    ) -> rusqlite::Result<Vec<String>> {
        let mut of = self
            .conn
            .prepare_cached("SELECT forked_from FROM sessions WHERE agent = ?1 AND session_id = ?2")?;
        let (mut found, mut next) = (Vec::new(), Some(forked_from.to_owned()));
        while let Some(one) = next.filter(|one| !one.is_empty() && found.len() < FORKS_MAX) {
            next = of.query_row([agent, &one], |row| row.get(0)).optional()?.flatten();
            found.push(one);
        }
        Ok(found)
    }

    /// Notes which session's history one goes on from.
    pub(in crate::hooks) fn forked(&mut self, h: &Happening, from: &str) -> rusqlite::Result<()> {
        let session = self.session(h)?;
        let mut put = self.conn.prepare_cached("UPDATE sessions SET forked_from = ?2 WHERE id = ?1")?;
        put.execute(params![session, from]).map(drop)
    }

    /// Takes in one event.
    pub(in crate::hooks) fn happened(&mut self, h: &Happening, taken: &mut Taken) -> rusqlite::Result<()> {
        let session = self.session(h)?;
        let key = self.key(session, h)?;
        self.load_agent(session, h)?;
        let is_new = self.put(session, &key, h)?;
        if let Some((_, known)) = self.known.get_mut(&(h.agent.clone(), h.session_id.clone()))
            && let Some(agent) = self.agents.get_mut(&(session, h.agent_id.clone()))
        {
            effects::note(h, known, agent);
            if is_new {
                effects::apply(h, known, agent);
            }
        }
        if is_new {
            taken.new += 1;
        } else {
            taken.merged += 1;
        }
        Ok(())
    }

    /// Notes that a session's transcript was written to, and what it says of the session.
    pub(in crate::hooks) fn saw(&mut self, h: &Happening) -> rusqlite::Result<()> {
        let session = self.session(h)?;
        self.load_agent(session, h)?;
        if let Some((_, known)) = self.known.get_mut(&(h.agent.clone(), h.session_id.clone()))
            && let Some(agent) = self.agents.get_mut(&(session, h.agent_id.clone()))
        {
            effects::note(h, known, agent);
        }
        Ok(())
    }

    /// The row of its session, which is made if it is not there.
    fn session(&mut self, h: &Happening) -> rusqlite::Result<i64> {
        let by = (h.agent.clone(), h.session_id.clone());
        if let Some((row, _)) = self.known.get(&by) {
            return Ok(*row);
        }
        let mut one = self.conn.prepare_cached(
            "SELECT id, repo_id, model, permission_mode, status, awaiting_since, first_seen_ms, last_seen_ms, ended_ms,
                 changed_ms, hook_seen_ms, sources
             FROM sessions WHERE agent = ?1 AND session_id = ?2",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            let session = Session {
                repo_id: row.get(1)?,
                model: row.get(2)?,
                permission_mode: row.get(3)?,
                status: row.get(4)?,
                awaiting_since: row.get(5)?,
                first_seen_ms: row.get(6)?,
                last_seen_ms: row.get(7)?,
                ended_ms: row.get(8)?,
                changed_ms: row.get(9)?,
                hook_seen_ms: row.get(10)?,
                sources: row.get(11)?,
            };
            Ok((row.get(0)?, session))
        };
        let found = one.query_row([&h.agent, &h.session_id], read).optional()?;
        drop(one);
        let (row, session) = match found {
            Some(found) => found,
            None => {
                let new = Session::new(h.at_ms);
                self.conn
                    .prepare_cached(
                        "INSERT INTO sessions (agent, session_id, status, first_seen_ms, last_seen_ms, changed_ms, sources)
                         VALUES (?1, ?2, ?3, ?4, ?4, ?5, 0)",
                    )?
                    .execute(params![h.agent, h.session_id, new.status, h.at_ms, new.changed_ms])?;
                (self.conn.last_insert_rowid(), new)
            }
        };
        self.known.insert(by, (row, session));
        Ok(row)
    }

    fn load_agent(&mut self, session: i64, h: &Happening) -> rusqlite::Result<()> {
        let by = (session, h.agent_id.clone());
        if self.agents.contains_key(&by) {
            return Ok(());
        }
        let mut one = self.conn.prepare_cached(
            "SELECT agent_type, parent_id, status, current_tool, first_seen_ms, last_seen_ms, changed_ms
             FROM agents WHERE session = ?1 AND agent_id = ?2",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Agent {
                agent_type: row.get(0)?,
                parent_id: row.get(1)?,
                status: row.get(2)?,
                current_tool: row.get(3)?,
                first_seen_ms: row.get(4)?,
                last_seen_ms: row.get(5)?,
                changed_ms: row.get(6)?,
            })
        };
        let found = one.query_row(params![session, h.agent_id], read).optional()?;
        drop(one);
        self.agents.insert(by, found.unwrap_or_else(|| Agent::new(h.at_ms)));
        Ok(())
    }

    /// What the event is known by in its session: which of several alike it is is counted for each source.
    fn key(&self, session: i64, h: &Happening) -> rusqlite::Result<String> {
        let column = match h.source {
            Source::Hook => "hook",
            Source::Transcript => "transcript",
        };
        match identity::base(h) {
            Base::Nth(base) => {
                let key = identity::short(&[&h.event, &base]);
                let n: i64 = self
                    .conn
                    .prepare_cached(&format!(
                        "INSERT INTO counts (session, key, {column}) VALUES (?1, ?2, 1)
                         ON CONFLICT DO UPDATE SET {column} = {column} + 1 RETURNING {column} - 1"
                    ))?
                    .query_row([session, key], |row| row.get(0))?;
                Ok(format!("{base}:{n}"))
            }
            Base::Call(base) => {
                // Some makers of models give an id again. While its call has not ended, it is the same one, told again.
                let key = identity::short(&["call", &base]);
                let is_end = identity::is_end_of_tool(&h.event);
                let mut next = self.conn.prepare_cached(&format!(
                    "INSERT INTO counts (session, key, {column}) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET {column} = CASE WHEN ?3 THEN {column} | 1
                         WHEN {column} & 1 THEN {column} + 1 ELSE {column} END
                     RETURNING {column} >> 1"
                ))?;
                let n: i64 = next.query_row(params![session, key, is_end], |row| row.get(0))?;
                Ok(if n == 0 { base } else { format!("{base}:{n}") })
            }
        }
    }

    /// Whether it is new.
    fn put(&self, session: i64, key: &str, h: &Happening) -> rusqlite::Result<bool> {
        let text = |text: &'_ str| if text.is_empty() { None } else { Some(text.to_owned()) };
        let size =
            |bytes: u64| if bytes == 0 { None } else { Some(i64::try_from(bytes).unwrap_or(i64::MAX)) };
        let (hook_at, transcript_at) = match h.source {
            Source::Hook => (Some(h.at_ms), None),
            Source::Transcript => (None, Some(h.at_ms)),
        };
        let (reason, detail) = match &*h.event {
            "SessionEnd" => (text(&h.detail), None),
            _ => (None, text(&h.detail)),
        };
        let execute = |does: &str| {
            self.conn.prepare_cached(&format!("{NEW}{does}"))?.execute(params![
                session,
                h.event,
                key,
                text(&h.raw_event),
                h.source.bit(),
                hook_at,
                transcript_at,
                text(&h.tool_name),
                text(&h.tool_name_raw),
                text(&h.tool_use_id),
                text(&h.turn_id),
                text(&h.agent_id),
                text(&h.agent_type),
                detail,
                reason,
                text(&h.input_sha256),
                size(h.input_bytes),
                size(h.output_bytes),
                h.is_error,
                h.fact,
                h.payload,
                text(&h.cwd_hash),
            ])
        };
        if execute("NOTHING")? == 1 {
            return Ok(true);
        }
        execute(MERGE)?;
        Ok(false)
    }

    fn finish(self) -> rusqlite::Result<()> {
        {
            let mut put = self.conn.prepare_cached(
                "UPDATE sessions SET repo_id = ?2, model = ?3, permission_mode = ?4, status = ?5, awaiting_since = ?6,
                     first_seen_ms = ?7, last_seen_ms = ?8, ended_ms = ?9, changed_ms = ?10, hook_seen_ms = ?11, sources = ?12
                 WHERE id = ?1",
            )?;
            for (row, s) in self.known.values() {
                put.execute(params![
                    row,
                    s.repo_id,
                    s.model,
                    s.permission_mode,
                    s.status,
                    s.awaiting_since,
                    s.first_seen_ms,
                    s.last_seen_ms,
                    s.ended_ms,
                    s.changed_ms,
                    s.hook_seen_ms,
                    s.sources
                ])?;
            }
            let mut put = self.conn.prepare_cached(
                "INSERT OR REPLACE INTO agents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for ((session, id), a) in &self.agents {
                put.execute(params![
                    session,
                    id,
                    a.agent_type,
                    a.parent_id,
                    a.status,
                    a.current_tool,
                    a.first_seen_ms,
                    a.last_seen_ms,
                    a.changed_ms
                ])?;
            }
        }
        self.conn.commit()
    }
}
