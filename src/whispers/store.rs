//! One database of whispers: what came in, how far each reader is, what was taken in already. All of it can be made anew but the readers'
//! places.

mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::Error;
use super::frame;
use super::limits::{
    DATABASE_MAX, FIRST_REACH, IDLE_CLOSE, KEPT, PAGE_BYTES, PAGE_MAX, READER_KEPT, REMEMBERED, SHRINK_STEP,
};
use super::murmur::Importance;
use super::outbox::FILE_CHANGES;
use super::whisper::{Attention, Source, Whisper};
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::kit::sqlite;

/// How far a reader is: the number of the last whisper of each importance that it has been given.
pub type Marks = [i64; 3];

/// A place before everything.
const NOTHING_READ: Marks = [0; 3];

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What its place is kept under: agents of different repositories may have the same id.
    pub key: &'a str,
    /// Its agent id: what is for it alone, and what it wrote itself, is told by it.
    pub agent: &'a str,
}

/// A whisper that waits for a reader.
#[derive(Debug)]
pub struct Waiting {
    /// Its number in the database.
    pub seq: i64,
    /// What it says.
    pub whisper: Whisper,
    /// Bytes of its entry before an agent, at most; zero where nobody counts them.
    pub size: usize,
    /// Bytes in an answer, at most.
    pub bytes: usize,
}

/// What waits for a reader in one database.
#[derive(Debug, Default)]
pub struct Pending {
    /// Each importance in the order in which they came in.
    pub whispers: [Vec<Waiting>; 3],
    /// How far the reader is when it has got all of that, and what was not for it has been passed over.
    pub end: Marks,
    /// How far it is now.
    pub start: Marks,
    /// It has not been here before.
    pub is_new: bool,
    /// Which of the databases at its path that is.
    pub generation: u64,
}

/// What maintenance found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Rows that went.
    pub pruned: u64,
    /// Bytes before, with the log.
    pub size_before: u64,
    /// Bytes after.
    pub size_after: u64,
    /// The file was rewritten without its gaps.
    pub vacuumed: bool,
    /// It was damaged, and has been put aside for a new one.
    pub healed: bool,
}

/// A database, opened when it is needed.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Places of readers that are ahead of those in the database: moved when an answer is out, written down a little later.
    ahead: Mutex<BTreeMap<String, Marks>>,
    /// Counts the databases that were at this path: numbers of one say nothing in another.
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    open: Option<Open>,
    /// It has been looked over since the process began.
    checked: bool,
    /// The name of the last one that was open.
    name: Option<String>,
}

#[derive(Debug)]
struct Open {
    conn: Connection,
    /// Device and inode: a file that was replaced or removed under an open connection gives no error.
    file: (u64, u64),
    used: Mono,
}

impl Store {
    /// The database of the clone with the state directory `state`.
    pub fn of(state: &Path) -> Store {
        Store {
            path: state.join("whisper.db"),
            inner: Mutex::default(),
            ahead: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the open database.
    fn with<T>(&self, now: Now, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let mut inner = self.inner.lock();
        let stale = inner.open.as_ref().is_some_and(|open| identity(&self.path) != Some(open.file));
        if stale {
            inner.open = None;
        }
        if inner.open.is_none() {
            let conn = schema::open(&self.path, !inner.checked)?;
            inner.checked = true;
            let name = schema::name_of(&conn).map_err(|e| self.error(e))?;
            if inner.name.replace(name.clone()).is_some_and(|before| before != name) {
                log::warn!(
                    "{} is another database than before: all of it counts as unread",
                    self.path.display()
                );
                self.generation.fetch_add(1, Ordering::SeqCst);
                self.ahead.lock().clear();
            }
            let file = identity(&self.path).unwrap_or_default();
            inner.open = Some(Open { conn, file, used: now.mono });
        }
        let Some(open) = inner.open.as_mut() else { return Err(Error::Mending { path: self.path.clone() }) };
        open.used = now.mono;
        let result = work(&open.conn);
        result.map_err(|source| {
            if sqlite::is_damaged(&source) {
                // The next one looks it over, and mends it.
                (inner.open, inner.checked) = (None, false);
            }
            self.error(source)
        })
    }

    fn error(&self, source: rusqlite::Error) -> Error {
        Error::Database { path: self.path.clone(), source }
    }

    /// Closes it if nobody asked for it lately; true if it is closed now.
    pub fn close_if_idle(&self, now: Now) -> bool {
        let idle =
            self.inner.lock().open.as_ref().is_some_and(|open| now.mono.since(open.used) >= IDLE_CLOSE);
        if idle {
            self.close(now);
        }
        self.inner.lock().open.is_none()
    }

    /// Writes down what is only in memory, and closes it.
    pub fn close(&self, now: Now) {
        self.write_marks(now);
        self.inner.lock().open = None;
    }

    // ---- what comes in ----

    /// Whether a murmur has been taken in, or refused, before.
    ///
    /// # Errors
    /// The database's.
    pub fn knows(&self, now: Now, ids: &mut Vec<String>) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        self.with(now, |conn| {
            let mut ask = conn.prepare_cached("SELECT 1 FROM relayed WHERE id = ?1")?;
            let mut unknown = Vec::new();
            for id in ids.drain(..) {
                if !ask.exists([&id])? {
                    unknown.push(id);
                }
            }
            *ids = unknown;
            Ok(())
        })
    }

    /// Takes in whispers, and remembers the murmurs they come from and those that were `refused`: all or nothing. What has been here before
    /// changes nothing. How many are new.
    ///
    /// # Errors
    /// The database's.
    pub fn take_in(&self, now: Now, whispers: &[Whisper], refused: &[String]) -> Result<usize, Error> {
        if whispers.is_empty() && refused.is_empty() {
            return Ok(0);
        }
        let stamp = nanos(now.wall);
        self.with(now, |conn| {
            let tx = conn.unchecked_transaction()?;
            let mut new = 0;
            {
                let mut relayed = tx.prepare_cached("INSERT OR IGNORE INTO relayed VALUES (?1, ?2)")?;
                let mut answered = tx.prepare_cached("UPDATE nudges SET unanswered = 0 WHERE agent = ?1")?;
                for whisper in whispers {
                    if whisper.source == Source::Murmur.name() {
                        if relayed.execute(params![whisper.id, stamp])? == 0 {
                            continue;
                        }
                        // What the daemon tells of changed files is no word of the agent's own.
                        for author in whisper.authors().filter(|_| whisper.topic != FILE_CHANGES) {
                            answered.execute([author])?;
                        }
                    }
                    new += insert(&tx, whisper, stamp)?;
                }
                for id in refused {
                    relayed.execute(params![id, stamp])?;
                }
            }
            tx.commit()?;
            Ok(new)
        })
    }

    /// Drops the murmurs with these ids; they stay known, so that they do not come in again.
    ///
    /// # Errors
    /// The database's.
    pub fn forget(&self, now: Now, murmurs: &[String]) -> Result<(), Error> {
        if murmurs.is_empty() || !self.path.exists() {
            return Ok(());
        }
        self.with(now, |conn| {
            let tx = conn.unchecked_transaction()?;
            for id in murmurs {
                tx.prepare_cached("DELETE FROM whispers WHERE id = ?1 AND source = 'murmur'")?
                    .execute([id])?;
            }
            tx.commit()
        })
    }

    // ---- what goes out ----

    /// What waits for a reader, the most important first: at most [`PAGE_MAX`], and one more than [`PAGE_BYTES`] of an answer and, where there
    /// is a `room`, that many bytes before an agent hold. What is less important than the last of these is not looked at.
    ///
    /// # Errors
    /// The database's.
    pub fn pending(
        &self,
        now: Now,
        reader: Reader<'_>,
        attention: Attention,
        topics: &[String],
        room: Option<usize>,
    ) -> Result<Pending, Error> {
        let ahead = self.ahead_of(reader.key);
        self.with(now, |conn| {
            // One look at one state of the database, and one lock.
            let conn = &*conn.unchecked_transaction()?;
            let known = marks(conn, reader.key)?.into_iter().chain(self.still(ahead)).reduce(later);
            let start = known.map_or_else(|| first_marks(conn, now.wall), Ok)?;
            let mut pending = Pending {
                end: start,
                start,
                is_new: known.is_none(),
                generation: self.generation.load(Ordering::SeqCst),
                ..Pending::default()
            };
            let mut ask = conn.prepare_cached(&format!(
                "SELECT seq, {COLUMNS} FROM whispers WHERE rank = ?1 AND seq > ?2 ORDER BY seq"
            ))?;
            let (mut count, mut sizes, mut all) = (0, 0, 0);
            for importance in Importance::ALL {
                let rank = importance as usize;
                if !attention.hears(importance) {
                    pending.end[rank] = newest(conn, importance)?.max(start[rank]);
                    continue;
                }
                let mut rows = ask.query(params![rank as i64, start[rank]])?;
                while count < PAGE_MAX && room.is_none_or(|room| sizes <= room) && all <= PAGE_BYTES {
                    let Some(row) = rows.next()? else { break };
                    let seq: i64 = row.get(0)?;
                    pending.end[rank] = seq;
                    let whisper = whisper_of(row, 1)?;
                    let wanted = topics.is_empty() || topics.contains(&whisper.topic);
                    if wanted && whisper.is_for(reader.agent) && !whisper.is_echo_for(reader.agent) {
                        let size = room.map_or(0, |_| frame::size(&whisper));
                        let bytes = whisper.wire_size();
                        (count, sizes, all) = (count + 1, sizes + size, all + bytes);
                        pending.whispers[rank].push(Waiting { seq, whisper, size, bytes });
                    }
                }
            }
            Ok(pending)
        })
    }

    /// A reader has got everything up to there, in the database of that generation. Kept in memory; [`Store::write_marks`] writes it down.
    pub fn read_up_to(&self, key: &str, generation: u64, to: Marks) {
        let mut ahead = self.ahead.lock();
        if generation != self.generation.load(Ordering::SeqCst) {
            return;
        }
        match ahead.get_mut(key) {
            Some(marks) => *marks = later(*marks, to),
            None => drop(ahead.insert(key.to_string(), to)),
        }
    }

    /// A place that is ahead, and of which database.
    fn ahead_of(&self, key: &str) -> Option<(u64, Marks)> {
        let ahead = self.ahead.lock();
        ahead.get(key).map(|marks| (self.generation.load(Ordering::SeqCst), *marks))
    }

    /// The same, if the database is still that one.
    fn still(&self, ahead: Option<(u64, Marks)>) -> Option<Marks> {
        ahead
            .filter(|(generation, _)| *generation == self.generation.load(Ordering::SeqCst))
            .map(|(_, marks)| marks)
    }

    /// Writes down how far readers are. What cannot be written is kept for the next time.
    pub fn write_marks(&self, now: Now) {
        let ahead = self.ahead.lock().clone();
        let generation = self.generation.load(Ordering::SeqCst);
        if ahead.is_empty() {
            return;
        }
        let written = self.with(now, |conn| {
            if generation != self.generation.load(Ordering::SeqCst) {
                return Ok(());
            }
            let tx = conn.unchecked_transaction()?;
            {
                let mut put = tx.prepare_cached(
                    "INSERT INTO cursors VALUES (?1, ?2, ?3, ?4) ON CONFLICT (reader, rank) \
                     DO UPDATE SET seq = max(seq, excluded.seq), updated = excluded.updated",
                )?;
                let updated = nanos(now.wall);
                for (key, marks) in &ahead {
                    for (rank, seq) in marks.iter().enumerate() {
                        put.execute(params![key, rank as i64, seq, updated])?;
                    }
                }
            }
            tx.commit()
        });
        match written {
            Ok(()) => self.ahead.lock().retain(|key, marks| ahead.get(key) != Some(marks)),
            Err(e) => log::warn!("how far agents have read is not written down yet: {e}"),
        }
    }

    /// How far a reader is; `None` if it has read nothing yet.
    ///
    /// # Errors
    /// The database's.
    pub fn place_of(&self, now: Now, key: &str) -> Result<Option<Marks>, Error> {
        let ahead = self.ahead_of(key);
        let written = self.with(now, |conn| marks(conn, key))?;
        Ok(written.into_iter().chain(self.still(ahead)).reduce(later))
    }

    /// When it was last written down how far a reader is; `None` if it was not yet.
    ///
    /// # Errors
    /// The database's.
    pub fn placed_at(&self, now: Now, key: &str) -> Result<Option<Timestamp>, Error> {
        self.with(now, |conn| {
            let mut ask = conn.prepare_cached("SELECT max(updated) FROM cursors WHERE reader = ?1")?;
            Ok(ask.query_row([key], |row| row.get::<_, Option<i64>>(0))?.and_then(time))
        })
    }

    /// Whispers of the past, newest first, made before `before`: at most `limit`, but all of one moment or none; whether there are more. For
    /// a reader what was or will be given to it and what it wrote itself; without one everything.
    ///
    /// # Errors
    /// The database's.
    pub fn past(
        &self,
        now: Now,
        agent: Option<&str>,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<(Vec<(i64, Whisper)>, bool), Error> {
        self.with(now, |conn| {
            let mut ask = conn.prepare_cached(&format!(
                "SELECT seq, {COLUMNS} FROM whispers WHERE created < ?1 ORDER BY created DESC, seq DESC"
            ))?;
            let mut rows = ask.query([before.map_or(i64::MAX, nanos)])?;
            let mut found: Vec<(i64, Whisper)> = Vec::new();
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                let whisper = whisper_of(row, 1)?;
                if agent.is_some_and(|agent| !whisper.is_for(agent)) {
                    continue;
                }
                let full = found.len() >= limit;
                let other_time = found.last().is_some_and(|(_, last)| last.created_at != whisper.created_at);
                bytes += whisper.wire_size();
                // More of one moment than an answer holds is not all shown.
                if (full && other_time) || bytes > PAGE_BYTES {
                    return Ok((found, true));
                }
                found.push((row.get(0)?, whisper));
            }
            Ok((found, false))
        })
    }

    // ---- nudges ----

    /// What is known about nudging an agent.
    ///
    /// # Errors
    /// The database's.
    pub fn nudged(&self, now: Now, agent: &str) -> Result<super::nudge::Record, Error> {
        self.with(now, |conn| {
            let paused = conn.prepare_cached("SELECT 1 FROM paused WHERE agent = ?1")?.exists([agent])?;
            let nudge: Option<(i64, u32)> = conn
                .prepare_cached("SELECT last, unanswered FROM nudges WHERE agent = ?1")?
                .query_row([agent], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let murmur: Option<i64> = conn
                .prepare_cached(
                    "SELECT max(created) FROM whispers WHERE source = 'murmur' AND agent_id = ?1 AND topic <> ?2",
                )?
                .query_row([agent, FILE_CHANGES], |row| row.get(0))?;
            Ok(super::nudge::Record {
                last_nudge: nudge.and_then(|(last, _)| time(last)),
                unanswered: nudge.map_or(0, |(_, unanswered)| unanswered),
                last_murmur: murmur.and_then(time),
                paused,
            })
        })
    }

    /// Nudges an agent: one that it has not been given yet is replaced.
    ///
    /// # Errors
    /// The database's.
    pub fn nudge(&self, now: Now, reader: Reader<'_>, nudge: &Whisper, unanswered: u32) -> Result<(), Error> {
        let ahead = self.ahead_of(reader.key);
        self.with(now, |conn| {
            let tx = conn.unchecked_transaction()?;
            let marks = marks(&tx, reader.key)?
                .into_iter()
                .chain(self.still(ahead))
                .reduce(later)
                .unwrap_or(NOTHING_READ);
            tx.execute(
                "DELETE FROM whispers WHERE source = ?1 AND agent_id = ?2 AND seq > ?3",
                params![nudge.source, reader.agent, marks[Importance::Normal as usize]],
            )?;
            insert(&tx, nudge, nanos(now.wall))?;
            tx.execute(
                "INSERT OR REPLACE INTO nudges VALUES (?1, ?2, ?3)",
                params![reader.agent, nanos(now.wall), unanswered],
            )?;
            tx.commit()
        })
    }

    /// An agent wants no nudges, or wants them again.
    ///
    /// # Errors
    /// The database's.
    pub fn pause(&self, now: Now, agent: &str, paused: bool) -> Result<(), Error> {
        self.with(now, |conn| {
            match paused {
                true => conn
                    .execute("INSERT OR IGNORE INTO paused VALUES (?1, ?2)", params![agent, nanos(now.wall)]),
                false => conn.execute("DELETE FROM paused WHERE agent = ?1", [agent]),
            }
            .map(drop)
        })
    }

    /// The last whisper of this source and topic.
    ///
    /// # Errors
    /// The database's.
    pub fn last_of(&self, now: Now, source: Source, topic: &str) -> Result<Option<Whisper>, Error> {
        self.with(now, |conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM whispers WHERE source = ?1 AND topic = ?2 ORDER BY seq DESC LIMIT 1"
            ))?
            .query_row(params![source.name(), topic], |row| whisper_of(row, 0))
            .optional()
        })
    }

    // ---- upkeep ----

    /// Forgets what is old, makes it small again, and looks whether it is sound; mends what is proven damaged.
    ///
    /// # Errors
    /// The database's, if it is not damage.
    pub fn maintain(&self, now: Now) -> Result<Maintained, Error> {
        if !self.path.exists() {
            return Ok(Maintained::default());
        }
        self.write_marks(now);
        // Looking after it is no use of it.
        let used = self.inner.lock().open.as_ref().map(|open| open.used);
        let size_before = self.size();
        let sound = self.with(now, |conn| Ok(schema::is_sound(conn)))?;
        let healed = sound == Some(false);
        if healed {
            let mut inner = self.inner.lock();
            (inner.open, inner.checked) = (None, false);
            schema::put_aside(&self.path)?;
        }
        let (pruned, vacuumed) = self.with(now, |conn| prune(conn, now.wall))?;
        let mut inner = self.inner.lock();
        match (used, &mut inner.open) {
            (Some(used), Some(open)) => open.used = used,
            _ => inner.open = None,
        }
        drop(inner);
        Ok(Maintained { pruned, vacuumed, healed, size_before, size_after: self.size() })
    }

    /// Whether it is proven damaged, without changing it; one that is not there is not.
    ///
    /// # Errors
    /// It could not be looked at: that says nothing about it.
    pub fn is_damaged(&self) -> Result<bool, Error> {
        schema::is_damaged(&self.path)
    }

    /// Renames a damaged one to `*.corrupt`; a sound one stays. The next one who needs it makes a new one.
    ///
    /// # Errors
    /// The disk's, or another process is at it.
    pub fn put_aside(&self) -> Result<(), Error> {
        schema::put_aside(&self.path)
    }

    /// Bytes of the file and its log.
    pub fn size(&self) -> u64 {
        let of = |path: PathBuf| fs::metadata(path).map_or(0, |m| m.len());
        of(self.path.clone()) + of(schema::beside(&self.path, "-wal"))
    }
}

const COLUMNS: &str = "id, scope, type, source, topic, content, importance, created, agent_id, principal_id, \
                       principal_type, team_id, metadata";

fn insert(conn: &Connection, whisper: &Whisper, arrived: i64) -> rusqlite::Result<usize> {
    let metadata = if whisper.metadata.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&whisper.metadata).unwrap_or_default()
    };
    let mut put = conn.prepare_cached(&format!(
        "INSERT OR IGNORE INTO whispers (rank, arrived, {COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    ))?;
    put.execute(params![
        whisper.rank() as i64,
        arrived,
        whisper.id,
        whisper.scope,
        whisper.kind,
        whisper.source,
        whisper.topic,
        whisper.content,
        whisper.importance,
        whisper.created_at.0.map_or(0, nanos),
        whisper.agent_id,
        whisper.principal_id,
        whisper.principal_type,
        whisper.team_id,
        metadata,
    ])
}

/// The whisper in a row whose columns from `at` on are [`COLUMNS`].
fn whisper_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Whisper> {
    let metadata: String = row.get(at + 12)?;
    Ok(Whisper {
        id: row.get(at)?,
        scope: row.get(at + 1)?,
        kind: row.get(at + 2)?,
        source: row.get(at + 3)?,
        topic: row.get(at + 4)?,
        content: row.get(at + 5)?,
        importance: row.get(at + 6)?,
        created_at: GoTime(time(row.get(at + 7)?)),
        agent_id: row.get(at + 8)?,
        principal_id: row.get(at + 9)?,
        principal_type: row.get(at + 10)?,
        team_id: row.get(at + 11)?,
        metadata: if metadata.is_empty() {
            BTreeMap::new()
        } else {
            serde_json::from_str(&metadata).unwrap_or_default()
        },
    })
}

/// How far a reader is, as it is written down.
fn marks(conn: &Connection, key: &str) -> rusqlite::Result<Option<Marks>> {
    let mut ask = conn.prepare_cached("SELECT rank, seq FROM cursors WHERE reader = ?1")?;
    let mut rows = ask.query([key])?;
    let mut found = None;
    while let Some(row) = rows.next()? {
        let rank = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX);
        if let Some(mark) = found.get_or_insert(NOTHING_READ).get_mut(rank) {
            *mark = row.get(1)?;
        }
    }
    Ok(found)
}

/// Where a new reader begins: some hours back, and without what is background.
fn first_marks(conn: &Connection, wall: Timestamp) -> rusqlite::Result<Marks> {
    let since = nanos(wall.checked_sub(FIRST_REACH).unwrap_or(Timestamp::UNIX_EPOCH));
    let first: Option<i64> = conn
        .prepare_cached("SELECT seq FROM whispers WHERE arrived >= ?1 ORDER BY arrived, seq LIMIT 1")?
        .query_row([since], |row| row.get(0))
        .optional()?;
    let newest = [
        newest(conn, Importance::Critical)?,
        newest(conn, Importance::Normal)?,
        newest(conn, Importance::Ambient)?,
    ];
    // Nothing that late: everything there is counts as read.
    let Some(first) = first else { return Ok(newest) };
    Ok([first - 1, first - 1, newest[Importance::Ambient as usize]])
}

fn newest(conn: &Connection, importance: Importance) -> rusqlite::Result<i64> {
    let newest: Option<i64> = conn
        .prepare_cached("SELECT max(seq) FROM whispers WHERE rank = ?1")?
        .query_row([importance as i64], |row| row.get(0))?;
    Ok(newest.unwrap_or(0))
}

fn later(a: Marks, b: Marks) -> Marks {
    std::array::from_fn(|rank| a[rank].max(b[rank]))
}

/// Removes what is old; then, while the database is too large, what matters least and came in first.
fn prune(conn: &Connection, wall: Timestamp) -> rusqlite::Result<(u64, bool)> {
    let before = |kept: SignedDuration| nanos(wall.checked_sub(kept).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut pruned = 0;
    for (statement, kept) in [
        ("DELETE FROM whispers WHERE arrived < ?1", KEPT),
        ("DELETE FROM relayed WHERE at < ?1", REMEMBERED),
        ("DELETE FROM cursors WHERE updated < ?1", READER_KEPT),
        ("DELETE FROM paused WHERE since < ?1", READER_KEPT),
        ("DELETE FROM nudges WHERE last < ?1", READER_KEPT),
    ] {
        pruned += conn.execute(statement, [before(kept)])? as u64;
    }
    for importance in [Importance::Ambient, Importance::Normal, Importance::Critical] {
        while live_bytes(conn)? > DATABASE_MAX {
            let gone = conn.execute(
                "DELETE FROM whispers WHERE seq IN (SELECT seq FROM whispers WHERE rank = ?1 ORDER BY seq LIMIT ?2)",
                params![importance as i64, SHRINK_STEP as i64],
            )?;
            if gone == 0 {
                break;
            }
            pruned += gone as u64;
        }
    }
    let vacuumed = has_gaps(conn)?;
    if vacuumed {
        conn.execute_batch("VACUUM")?;
    }
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok((pruned, vacuumed))
}

/// Bytes in use.
fn live_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let (pages, free, size) = pages(conn)?;
    Ok((pages - free).max(0).unsigned_abs() * size.unsigned_abs())
}

/// More than a quarter of a file of more than a megabyte is unused (14).
fn has_gaps(conn: &Connection) -> rusqlite::Result<bool> {
    let (pages, free, size) = pages(conn)?;
    Ok(pages * size > 1 << 20 && free * 4 > pages)
}

fn pages(conn: &Connection) -> rusqlite::Result<(i64, i64, i64)> {
    let one = |pragma: &str| conn.query_row(pragma, [], |row| row.get(0));
    Ok((one("PRAGMA page_count")?, one("PRAGMA freelist_count")?, one("PRAGMA page_size")?))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

fn time(nanos: i64) -> Option<Timestamp> {
    if nanos == 0 { None } else { Timestamp::from_nanosecond(i128::from(nanos)).ok() }
}
