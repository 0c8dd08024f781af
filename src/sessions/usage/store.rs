//! The database: what files told, each answer once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, civil};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::counts::Counts;
use super::error::UsageError;
use super::read::{Answer, State, Told};
use super::schema;

/// What is asked of all files.
pub(super) const FILES: &str = "SELECT path, id, size, modified FROM files WHERE part = ''";

/// How a file looked when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub size: u64,
    pub modified: Timestamp,
}

/// A file that was read before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub id: i64,
    pub look: (i64, i64),
}

impl Look {
    pub(super) fn columns(self) -> (i64, i64) {
        let nanos = i64::try_from(self.modified.as_nanosecond()).unwrap_or(i64::MAX);
        (i64::try_from(self.size).unwrap_or(i64::MAX), nanos)
    }
}

/// The database of a user.
#[derive(Debug)]
pub struct Store {
    pub(super) conn: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the one at `path`, and makes it if it is not there.
    ///
    /// # Errors
    /// It is damaged, of a newer version, or cannot be made.
    pub fn open(path: &Path) -> Result<Store, UsageError> {
        Ok(Store { conn: schema::open(path)?, path: path.to_owned() })
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> UsageError {
        UsageError::Database { path: self.path.clone(), source }
    }

    /// The files that were read, by path: of one that has several sessions what was noted of it as a whole.
    pub(super) fn files(&self) -> rusqlite::Result<HashMap<String, Known>> {
        let mut rows = self.conn.prepare(FILES)?;
        let mut rows = rows.query([])?;
        let mut files = HashMap::new();
        while let Some(row) = rows.next()? {
            files.insert(row.get(0)?, Known { id: row.get(1)?, look: (row.get(2)?, row.get(3)?) });
        }
        Ok(files)
    }

    /// What was noted of a session in the file at `path`.
    pub(super) fn part(&self, path: &str, part: &str) -> rusqlite::Result<Option<Known>> {
        let mut one =
            self.conn.prepare_cached("SELECT id, size, modified FROM files WHERE path = ?1 AND part = ?2")?;
        let known = |row: &rusqlite::Row<'_>| Ok(Known { id: row.get(0)?, look: (row.get(1)?, row.get(2)?) });
        one.query_row([path, part], known).optional()
    }

    /// What was kept of a file that was read before.
    pub(super) fn saved(&self, id: i64) -> rusqlite::Result<String> {
        let mut one = self.conn.prepare_cached("SELECT state FROM files WHERE id = ?1")?;
        one.query_row([id], |row| row.get(0))
    }

    /// Adds answers up anew if they were added up by days of another zone.
    pub(super) fn settle_zone(&mut self, zone: &TimeZone) -> rusqlite::Result<()> {
        let name = zone_name(zone);
        let mut fact = self.conn.prepare_cached("SELECT value FROM facts WHERE name = 'zone'")?;
        let known: Option<String> = fact.query_row([], |row| row.get(0)).optional()?;
        drop(fact);
        if known.as_deref() == Some(&name) {
            return Ok(());
        }
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM spend", [])?;
        let mut sums = Sums::new(zone.clone());
        {
            let mut rows = tx.prepare(&format!("SELECT {ROW} FROM answers"))?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                sums.add(&Row::of(row)?, 1);
            }
        }
        sums.write(&tx)?;
        tx.execute("INSERT OR REPLACE INTO facts VALUES ('zone', ?1)", [name])?;
        tx.commit()
    }
}

/// By which the days of one zone are told from those of another.
fn zone_name(zone: &TimeZone) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    // One without a name: how far it is off in each week of a year.
    let week = |n: i64| Timestamp::from_second(1_767_225_600 + n * 7 * 86_400).unwrap_or_default();
    let offsets = (0..53).map(|n| zone.to_offset(week(n)).seconds().to_string());
    offsets.collect::<Vec<_>>().join(" ")
}

/// The day of a moment in milliseconds, counted from 1970-01-01.
pub(super) fn day_of(zone: &TimeZone, ms: i64) -> i64 {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    // An offset is at most a day: days around the ends of what a date can be are cut.
    let local = ms.saturating_add(i64::from(zone.to_offset(at).seconds()) * 1000);
    local.div_euclid(86_400_000)
}

/// The date of a day.
pub(super) fn date_of(day: i64) -> civil::Date {
    let days = i32::try_from(day).unwrap_or(i32::MAX);
    civil::date(1970, 1, 1).checked_add(days.days()).unwrap_or_default()
}

/// The columns of an answer's [`Row`].
const ROW: &str = "model, thread, place, file, offset, time, rank_own, rank_first, rank_began, \
    input, cached, cache_written, cache_written_long, output, reasoning";

/// An answer as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    model: i64,
    thread: i64,
    place: i64,
    file: i64,
    offset: Option<i64>,
    time: i64,
    /// Told by this user's own programs: what others share says nothing against that.
    own: bool,
    /// Told in the thread that asked for it.
    first: bool,
    /// When the thread that tells it began.
    began: i64,
    counts: Counts,
}

impl Row {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        Ok(Row {
            model: row.get(0)?,
            thread: row.get(1)?,
            place: row.get(2)?,
            file: row.get(3)?,
            offset: row.get(4)?,
            time: row.get(5)?,
            own: row.get(6)?,
            first: row.get(7)?,
            began: row.get(8)?,
            counts: Counts::of_row(row, 9)?,
        })
    }

    /// Which of several tellings of an answer holds, in whatever order they come: a program tells an answer again when it has counted
    /// more of it; who tells it with the same count and later only repeats it.
    fn rank(&self) -> (bool, u64, bool, Reverse<i64>, Reverse<i64>) {
        (self.own, self.counts.total(), self.first, Reverse(self.began), Reverse(self.time))
    }
}

/// What one transaction changes in `spend`.
struct Sums {
    zone: TimeZone,
    by: HashMap<[i64; 5], (i64, [i64; 6])>,
}

impl Sums {
    fn new(zone: TimeZone) -> Sums {
        Sums { zone, by: HashMap::new() }
    }

    /// Adds an answer, or with -1 takes it away.
    fn add(&mut self, row: &Row, sign: i64) {
        // In columns there are at most three bands.
        let band = i64::try_from(row.counts.band()).unwrap_or_default();
        let by = [row.thread, row.model, row.place, day_of(&self.zone, row.time), band];
        let (answers, counts) = self.by.entry(by).or_default();
        *answers += sign;
        for (sum, count) in counts.iter_mut().zip(row.counts.columns()) {
            *sum += sign * count;
        }
    }

    fn write(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut put = conn.prepare_cached(
            "INSERT INTO spend VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT DO UPDATE SET answers = answers + excluded.answers, input = input + excluded.input,
                 cached = cached + excluded.cached, cache_written = cache_written + excluded.cache_written,
                 cache_written_long = cache_written_long + excluded.cache_written_long,
                 output = output + excluded.output, reasoning = reasoning + excluded.reasoning",
        )?;
        let mut empty = conn.prepare_cached(
            "DELETE FROM spend WHERE answers = 0 AND thread = ?1 AND model = ?2 AND place = ?3 AND day = ?4 AND band = ?5",
        )?;
        let mut all: Vec<_> = self.by.drain().filter(|(_, sum)| *sum != (0, [0; 6])).collect();
        all.sort_unstable();
        for ([thread, model, place, day, band], (answers, c)) in all {
            put.execute(params![
                thread, model, place, day, band, answers, c[0], c[1], c[2], c[3], c[4], c[5]
            ])?;
            if answers <= 0 {
                empty.execute([thread, model, place, day, band])?;
            }
        }
        Ok(())
    }
}

/// Takes in what files told, many of them in one transaction.
pub(super) struct Taker<'c> {
    conn: &'c Connection,
    sums: Sums,
    threads: HashMap<(String, String), i64>,
    models: HashMap<String, i64>,
    places: HashMap<String, i64>,
    open: bool,
}

impl<'c> Taker<'c> {
    pub(super) fn new(conn: &'c Connection, zone: &TimeZone) -> Taker<'c> {
        Taker {
            conn,
            sums: Sums::new(zone.clone()),
            threads: HashMap::new(),
            models: HashMap::new(),
            places: HashMap::new(),
            open: false,
        }
    }

    /// Takes in what a file told, and how it looked before it was read.
    pub(super) fn take(&mut self, path: &str, part: &str, look: Look, told: &Told) -> rusqlite::Result<()> {
        if !std::mem::replace(&mut self.open, true) {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
        }
        let (size, modified) = look.columns();
        let file: i64 = self
            .conn
            .prepare_cached(
                "INSERT INTO files (path, part, size, modified, state) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET size = ?3, modified = ?4, state = ?5 RETURNING id",
            )?
            .query_row(params![path, part, size, modified, told.saved], |row| row.get(0))?;
        let mut states = Vec::with_capacity(told.states.len());
        for state in &told.states {
            states.push((self.thread(state)?, self.place(state)?));
        }
        for answer in &told.answers {
            let state = &told.states[answer.state];
            let (thread, place) = states[answer.state];
            let thread = match &answer.asked_in {
                Some(other) => self.other_thread(&state.kind, other)?,
                None => thread,
            };
            let row = Row {
                model: self.model(&answer.model)?,
                thread,
                place,
                file,
                offset: answer.offset.map(u64::cast_signed),
                time: answer.time.as_millisecond(),
                own: state.repo.is_empty(),
                first: answer.asked_in.is_none(),
                began: told.began.as_millisecond(),
                counts: answer.counts,
            };
            self.answer(answer, &row)?;
        }
        Ok(())
    }

    /// Has on disk what was taken in.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        if self.open {
            self.sums.write(self.conn)?;
            self.conn.execute_batch("COMMIT")?;
            self.open = false;
        }
        Ok(())
    }

    fn answer(&mut self, answer: &Answer, row: &Row) -> rusqlite::Result<()> {
        let mut new: CachedStatement<'_> = self.conn.prepare_cached(
            "INSERT INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT DO NOTHING",
        )?;
        let key = answer.key.column();
        let c = row.counts.columns();
        let put = |statement: &mut CachedStatement<'_>| {
            statement.execute(params![
                key, answer.id, row.model, row.thread, row.place, row.file, row.offset, row.time, row.own,
                row.first, row.began, c[0], c[1], c[2], c[3], c[4], c[5]
            ])
        };
        if put(&mut new)? == 1 {
            self.sums.add(row, 1);
            return Ok(());
        }
        let mut old = self.conn.prepare_cached(&format!("SELECT {ROW} FROM answers WHERE key = ?1"))?;
        let old = old.query_row([key], Row::of)?;
        if row.rank() > old.rank() {
            let mut change = self.conn.prepare_cached(
                "UPDATE answers SET answer = ?2, model = ?3, thread = ?4, place = ?5, file = ?6, offset = ?7, time = ?8,
                     rank_own = ?9, rank_first = ?10, rank_began = ?11, input = ?12, cached = ?13, cache_written = ?14,
                     cache_written_long = ?15, output = ?16, reasoning = ?17
                 WHERE key = ?1",
            )?;
            put(&mut change)?;
            self.sums.add(&old, -1);
            self.sums.add(row, 1);
        }
        Ok(())
    }

    /// The thread that tells something. Its own transcript knows best what session it belongs to.
    fn thread(&mut self, state: &State) -> rusqlite::Result<i64> {
        let thread = &state.thread;
        let known = (state.kind.clone(), thread.id.clone());
        let session = if thread.session.is_empty() { &thread.id } else { &thread.session };
        let keep = if state.repo.is_empty() { "session = ?3, parent = ?4" } else { "thread = thread" };
        let mut put = self.conn.prepare_cached(&format!(
            "INSERT INTO threads (kind, thread, session, parent) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET {keep} RETURNING id"
        ))?;
        let id = put.query_row(params![state.kind, thread.id, session, thread.parent], |row| row.get(0))?;
        self.threads.insert(known, id);
        Ok(id)
    }

    /// A thread that another one repeats. While nothing else is known of it, it is a session.
    fn other_thread(&mut self, kind: &str, thread: &str) -> rusqlite::Result<i64> {
        let known = (kind.to_owned(), thread.to_owned());
        if let Some(id) = self.threads.get(&known) {
            return Ok(*id);
        }
        let mut put = self.conn.prepare_cached(
            "INSERT INTO threads (kind, thread, session, parent) VALUES (?1, ?2, ?2, '')
             ON CONFLICT DO UPDATE SET thread = thread RETURNING id",
        )?;
        let id = put.query_row([kind, thread], |row| row.get(0))?;
        self.threads.insert(known, id);
        Ok(id)
    }

    fn model(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.models.get(name) {
            return Ok(*id);
        }
        let mut put = self.conn.prepare_cached(
            "INSERT INTO models (name) VALUES (?1) ON CONFLICT DO UPDATE SET name = name RETURNING id",
        )?;
        let id = put.query_row([name], |row| row.get(0))?;
        self.models.insert(name.to_owned(), id);
        Ok(id)
    }

    fn place(&mut self, state: &State) -> rusqlite::Result<i64> {
        let State { thread, person, repo, .. } = state;
        let own = repo.is_empty();
        let known =
            [if own { &thread.cwd } else { repo }, &thread.branch, person].map(String::as_str).join("\n");
        let known = format!("{} {known}", if own { "own" } else { "shared" });
        if let Some(id) = self.places.get(&known) {
            return Ok(*id);
        }
        let mut put = self.conn.prepare_cached(
            "INSERT INTO places (known_by, own, cwd, branch, repo, root, person) VALUES (?1, ?2, ?3, ?4, ?5, '', ?6)
             ON CONFLICT DO UPDATE SET known_by = known_by RETURNING id",
        )?;
        let id =
            put.query_row(params![known, own, thread.cwd, thread.branch, repo, person], |row| row.get(0))?;
        self.places.insert(known, id);
        Ok(id)
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        if self.open {
            // What was not taken in whole is read again.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }
}
