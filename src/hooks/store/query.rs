//! What is asked of the store.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Row, ToSql};
use serde::Serialize;

use super::super::happening::Source;
use super::{Store, StoreError};

/// A session is live for so long after the last that was heard of it.
pub const LIVE_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Which events are asked for; what is none does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this program.
    pub agent: Option<String>,
    /// Of this session.
    pub session: Option<String>,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// An event, with all that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number here.
    pub seq: i64,
    /// The program, or `foreign`.
    pub agent: String,
    /// The session; empty of one that named none.
    pub session_id: String,
    /// What ours call it.
    pub event_type: String,
    /// What the program calls it.
    pub hook_event_name: Option<String>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<String>,
    /// The call of the tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
    /// The turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<String>,
    /// When, in milliseconds since 1970: as the transcript says, or else the hook.
    pub at_ms: i64,
    /// Who told of it.
    pub sources: Vec<&'static str>,
    /// It failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<String>,
    /// The rest.
    #[serde(skip)]
    pub rest: Rest,
}

/// What of an event only who asks for it alone is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rest {
    /// What it is known by in its session.
    pub dedup_key: String,
    /// When, as the hook says.
    pub hook_at_ms: Option<i64>,
    /// When, as the transcript says.
    pub transcript_at_ms: Option<i64>,
    /// What the program calls the tool.
    pub tool_name_raw: Option<String>,
    /// The sub-agent.
    pub agent_id: Option<String>,
    /// Its type.
    pub agent_type: Option<String>,
    /// What began it.
    pub source_detail: Option<String>,
    /// Why it ended.
    pub reason: Option<String>,
    /// SHA-256 of the tool and its input.
    pub input_sha256: Option<String>,
    /// Length of the input.
    pub input_bytes: Option<i64>,
    /// Length of what the tool gave back.
    pub output_bytes: Option<i64>,
    /// How far it was sent on: 0 not, 1 queued, 2 confirmed, 3 dropped.
    pub relay_state: i64,
    /// What the hook was given, where that is kept.
    pub payload: Option<String>,
}

const COLUMNS: &str = "e.seq, s.agent, s.session_id, e.event_type, e.hook_event_name, e.tool_name, e.tool_use_id, e.turn_id,
    coalesce(e.transcript_at_ms, e.hook_at_ms), e.sources, e.is_error, s.repo_id, e.dedup_key, e.hook_at_ms,
    e.transcript_at_ms, e.tool_name_raw, e.agent_id, e.agent_type, e.source_detail, e.reason, e.input_sha256, e.input_bytes,
    e.output_bytes, e.relay_state, e.payload";

impl Event {
    fn of(row: &Row<'_>) -> rusqlite::Result<Event> {
        Ok(Event {
            seq: row.get(0)?,
            agent: row.get(1)?,
            session_id: row.get(2)?,
            event_type: row.get(3)?,
            hook_event_name: row.get(4)?,
            tool_name: row.get(5)?,
            tool_use_id: row.get(6)?,
            turn_id: row.get(7)?,
            at_ms: row.get(8)?,
            sources: Source::names(row.get(9)?),
            is_error: Some(row.get(10)?).filter(|is_error| *is_error),
            repo_id: row.get(11)?,
            rest: Rest {
                dedup_key: row.get(12)?,
                hook_at_ms: row.get(13)?,
                transcript_at_ms: row.get(14)?,
                tool_name_raw: row.get(15)?,
                agent_id: row.get(16)?,
                agent_type: row.get(17)?,
                source_detail: row.get(18)?,
                reason: row.get(19)?,
                input_sha256: row.get(20)?,
                input_bytes: row.get(21)?,
                output_bytes: row.get(22)?,
                relay_state: row.get(23)?,
                payload: row.get(24)?,
            },
        })
    }
}

/// A session that something was heard of just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Live {
    /// The program, or `foreign`.
    pub agent: String,
    /// The session.
    pub session_id: String,
    /// `active`, `completed`, `abandoned` or `error`.
    pub status: String,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tool that it, or one of its sub-agents, runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_tool: Option<String>,
    /// Since when it waits for somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaiting_since_ms: Option<i64>,
    /// How many sub-agents are at work.
    pub subagents: i64,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo_id: Option<String>,
    /// When the first was heard of it.
    pub started_ms: i64,
    /// When the last was.
    pub last_seen_ms: i64,
    /// Who told of it.
    pub sources: Vec<&'static str>,
}

/// How many events there are of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The program, or `foreign`.
    pub agent: String,
    /// What ours call the event.
    pub event_type: String,
    /// How many hooks alone told of.
    pub hook: i64,
    /// How many transcripts alone told of.
    pub transcript: i64,
    /// How many both told of.
    pub both: i64,
}

/// What is in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// All events.
    pub events: i64,
    /// Those that hooks and transcripts told of.
    pub both: i64,
    /// Sessions.
    pub sessions: i64,
    /// By program and event.
    pub counts: Vec<Count>,
    /// When the newest one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event_ms: Option<i64>,
    /// Size of the database, in bytes.
    pub size: u64,
}

impl Store {
    /// Events, newest first: in the order in which hooks told of them, for a program may write down later what was before.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Event>, StoreError> {
        let since = filter.since.map(Timestamp::as_millisecond);
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let mut wanted = Vec::new();
        let mut values: Vec<(&str, &dyn ToSql)> = vec![(":limit", &limit)];
        if let Some(agent) = &filter.agent {
            wanted.push("s.agent = :agent");
            values.push((":agent", agent));
        }
        if let Some(session) = &filter.session {
            wanted.push("s.session_id = :session");
            values.push((":session", session));
        }
        if let Some(since) = &since {
            wanted.push("coalesce(e.transcript_at_ms, e.hook_at_ms) >= :since");
            values.push((":since", since));
        }
        let wanted =
            if wanted.is_empty() { String::new() } else { format!("WHERE {}", wanted.join(" AND ")) };
        let read = || {
            let mut rows = self.conn.prepare(&format!(
                "SELECT {COLUMNS} FROM events e JOIN sessions s ON s.id = e.session {wanted}
                 ORDER BY coalesce(e.hook_at_ms, e.transcript_at_ms) DESC, e.seq DESC LIMIT :limit"
            ))?;
            rows.query_map(&values[..], Event::of)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.error(e))
    }

    /// The event with a number; none if there is none.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn get(&self, seq: i64) -> Result<Option<Event>, StoreError> {
        let read = || {
            let mut one = self.conn.prepare(&format!(
                "SELECT {COLUMNS} FROM events e JOIN sessions s ON s.id = e.session WHERE e.seq = ?1"
            ))?;
            one.query_row([seq], Event::of).optional()
        };
        read().map_err(|e| self.error(e))
    }

    /// Sessions of which something was heard in the [`LIVE_FOR`] before `now`, the last one first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn live(&self, now: Timestamp) -> Result<Vec<Live>, StoreError> {
        let since = now.checked_sub(LIVE_FOR).unwrap_or(Timestamp::MIN).as_millisecond();
        let read = || {
            let mut rows = self.conn.prepare(
                "SELECT agent, session_id, status, model,
                     (SELECT current_tool FROM agents a WHERE a.session = s.id AND current_tool IS NOT NULL
                      ORDER BY agent_id <> '', changed_ms DESC LIMIT 1),
                     awaiting_since,
                     (SELECT count(*) FROM agents a WHERE a.session = s.id AND agent_id <> '' AND a.status = 'working'
                      AND a.last_seen_ms >= ?1),
                     repo_id, first_seen_ms, last_seen_ms, sources
                 FROM sessions s WHERE last_seen_ms >= ?1 AND session_id <> '' ORDER BY last_seen_ms DESC, id DESC",
            )?;
            let live = |row: &Row<'_>| {
                Ok(Live {
                    agent: row.get(0)?,
                    session_id: row.get(1)?,
                    status: row.get(2)?,
                    model: row.get(3)?,
                    current_tool: row.get(4)?,
                    awaiting_since_ms: row.get(5)?,
                    subagents: row.get(6)?,
                    repo_id: row.get(7)?,
                    started_ms: row.get(8)?,
                    last_seen_ms: row.get(9)?,
                    sources: Source::names(row.get(10)?),
                })
            };
            rows.query_map([since], live)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.error(e))
    }

    /// When the last event came through a hook of the program that recordings call `agent`; none if none did.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_event(&self, agent: &str) -> Result<Option<Timestamp>, StoreError> {
        let one = "SELECT max(hook_seen_ms) FROM sessions WHERE agent = ?1";
        let last = self.conn.query_row(one, [agent], |row| row.get::<_, Option<i64>>(0));
        let last = last.map_err(|e| self.error(e))?;
        Ok(last.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
    }

    /// Whether a session of that program that began after `since` was told of by its transcript and by no hook, which was also true of those
    /// since the last hook.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn has_session_without_hooks(&self, agent: &str, since: Timestamp) -> Result<bool, StoreError> {
        let one = "SELECT EXISTS (SELECT 1 FROM sessions WHERE agent = ?1 AND hook_seen_ms IS NULL AND first_seen_ms >
                max(?2, coalesce((SELECT max(hook_seen_ms) FROM sessions WHERE agent = ?1), 0)))";
        self.conn.query_row(one, (agent, since.as_millisecond()), |row| row.get(0)).map_err(|e| self.error(e))
    }

    /// What is in it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let read = || {
            let mut rows = self.conn.prepare(
                "SELECT s.agent, e.event_type, sum(e.sources & 3 = 1), sum(e.sources & 3 = 2), sum(e.sources & 3 = 3),
                     max(coalesce(e.transcript_at_ms, e.hook_at_ms)), count(*)
                 FROM events e JOIN sessions s ON s.id = e.session GROUP BY 1, 2 ORDER BY 1, 2",
            )?;
            let mut rows = rows.query([])?;
            let mut stats = Stats { size: self.size()?, ..Stats::default() };
            while let Some(row) = rows.next()? {
                let count = Count {
                    agent: row.get(0)?,
                    event_type: row.get(1)?,
                    hook: row.get(2)?,
                    transcript: row.get(3)?,
                    both: row.get(4)?,
                };
                stats.both += count.both;
                stats.events += row.get::<_, i64>(6)?;
                stats.last_event_ms = stats.last_event_ms.max(row.get(5)?);
                stats.counts.push(count);
            }
            let all = "SELECT count(*) FROM sessions WHERE session_id <> ''";
            stats.sessions = self.conn.query_row(all, [], |row| row.get(0))?;
            Ok(stats)
        };
        read().map_err(|e| self.error(e))
    }
}
