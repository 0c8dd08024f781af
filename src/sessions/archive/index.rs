//! What the archive knows: every file that was looked at, every version of one that is kept, and its frames. SQLite, beside the frames.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};

use super::Error;
use super::frames::Frame;
use super::limits::HEAD;
use crate::harness::transcript::kept::{Part, Stat};
use crate::kit::file::{self, NOFOLLOW};

/// The file's name.
pub(super) const FILE: &str = "index.db";
/// The version of its tables. A newer one is left alone.
const VERSION: i64 = 1;
/// Readers and the one writer wait so long for each other.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// With less than this free a disk counts as full, in bytes: what SQLite needs beside the index.
const ROOM: u64 = 128 << 10;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS source (
  program TEXT NOT NULL, place TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  modified INTEGER NOT NULL, state TEXT NOT NULL, version INTEGER, is_whole INTEGER NOT NULL, cwd TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (program, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS version (
  id INTEGER PRIMARY KEY, program TEXT NOT NULL, name TEXT NOT NULL, part INTEGER NOT NULL, thread TEXT NOT NULL, session TEXT NOT NULL,
  cwd TEXT NOT NULL, title TEXT NOT NULL, began INTEGER, modified INTEGER NOT NULL, archived INTEGER NOT NULL, is_lines INTEGER NOT NULL,
  head TEXT NOT NULL, head_length INTEGER NOT NULL, edge TEXT NOT NULL, edge_length INTEGER NOT NULL, settled INTEGER NOT NULL,
  raw INTEGER NOT NULL, length INTEGER NOT NULL, is_closed INTEGER NOT NULL, redacted INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS version_name ON version (program, name);
CREATE INDEX IF NOT EXISTS version_head ON version (program, head);
CREATE TABLE IF NOT EXISTS frame (
  version INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
  hash TEXT NOT NULL, PRIMARY KEY (version, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tree (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);
";

/// What is known of a file of an agent program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is kept.
    Kept,
    /// It is another project's.
    Foreign,
    /// It does not say whose it is.
    Unclear,
    /// It is not copied, and why stands beside.
    Refused,
}

impl State {
    const ALL: [(State, &'static str); 4] = [
        (State::Kept, "kept"),
        (State::Foreign, "foreign"),
        (State::Unclear, "unclear"),
        (State::Refused, "refused"),
    ];

    fn name(self) -> &'static str {
        State::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }
}

/// A file that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) program: String,
    pub(super) place: String,
    /// As it was then.
    pub(super) stat: Stat,
    pub(super) state: State,
    /// Where it is kept.
    pub(super) version: Option<i64>,
    /// All of it is.
    pub(super) is_whole: bool,
    /// Its directory.
    pub(super) cwd: String,
    pub(super) why: String,
}

/// A transcript as it was at some time and what was appended since; one that is written anew is another.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Its number.
    pub id: i64,
    /// The program.
    pub program: String,
    /// What the file is known by wherever it lies.
    pub name: String,
    /// What it is.
    pub part: Part,
    /// The id of its thread.
    pub thread: String,
    /// The id of its session.
    pub session: String,
    /// Its directory.
    pub cwd: String,
    /// What the person said first.
    pub title: String,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it was last written to.
    pub modified: Timestamp,
    /// When it was last copied.
    pub archived: Timestamp,
    /// It is a file of lines.
    pub is_lines: bool,
    /// How many bytes of it are kept, as they were before redaction and compression.
    pub raw: u64,
    /// How many bytes that takes.
    pub length: u64,
    /// Secrets that were replaced.
    pub redacted: u64,
    pub(super) head: String,
    pub(super) head_length: u64,
    pub(super) edge: String,
    pub(super) edge_length: u64,
    /// Up to here frames are final; what is behind is replaced when the transcript grows.
    pub(super) settled: u64,
    /// It ends within a line of which the rest cannot be redacted any more: what follows is another version.
    pub(super) is_closed: bool,
}

/// What the archive holds in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Sessions.
    pub sessions: u64,
    /// Files, each of its versions counted.
    pub files: u64,
    /// Bytes as they were.
    pub raw: u64,
    /// Bytes that this takes.
    pub length: u64,
    /// When it last ran.
    pub last_run: Option<Timestamp>,
    /// Files that do not say whose they are.
    pub unclear: u64,
}

/// The index, open.
pub(super) struct Index {
    conn: Connection,
    path: PathBuf,
}

impl Index {
    /// Opens the one in `dir`; `None` if there is none and it is not to be made.
    ///
    /// # Errors
    /// It is damaged, newer than this program, or cannot be opened.
    pub(super) fn open(dir: &Path, make: bool) -> Result<Option<Index>, Error> {
        let path = dir.join(FILE);
        let failed = |source| Error::Io { path: path.clone(), source };
        // Its log gets the same rights from the library.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(make).mode(0o600).custom_flags(NOFOLLOW);
        if file::found(options.open(&path)).map_err(failed)?.is_none() {
            return Ok(None);
        }
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let conn = Connection::open(&path)?;
            conn.busy_timeout(BUSY_WAIT)?;
            conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            // What it says is kept may be deleted by its program the next moment.
            conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256;")?;
            let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if version < VERSION {
                conn.execute_batch(&format!(
                    "BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
                ))?;
            }
            Ok((conn, version))
        };
        let (conn, version) = match open() {
            // What is kept is to be had on a full disk too.
            Err(e) if !make && is_refused(&e) && is_at_rest(&path) => as_it_is(&path),
            opened => opened,
        }
        .map_err(|source| error(&path, source))?;
        if version > VERSION {
            return Err(Error::Newer { path });
        }
        // Whoever began it had no room for its tables.
        if version == 0 && !make {
            return Ok(None);
        }
        Ok(Some(Index { conn, path }))
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| error(&path, source)
    }

    /// All files that were looked at, by program and place.
    pub(super) fn known(&self) -> Result<HashMap<(String, String), Known>, Error> {
        let read = || -> rusqlite::Result<_> {
            let mut all = self.conn.prepare("SELECT * FROM source")?;
            let rows = all.query_map([], known_of)?;
            rows.map(|row| row.map(|row| ((row.program.clone(), row.place.clone()), row))).collect()
        };
        read().map_err(self.failed())
    }

    /// The version of that number.
    pub(super) fn version(&self, id: i64) -> Result<Option<Version>, Error> {
        let found = self.conn.query_row("SELECT * FROM version WHERE id = ?1", [id], version_of).optional();
        found.map_err(self.failed())
    }

    /// Versions that may be this file: of its name, or with a beginning of its own that is the same. The newest first.
    pub(super) fn candidates(&self, program: &str, name: &str, head: &str) -> Result<Vec<Version>, Error> {
        let sql = "SELECT * FROM version WHERE program = ?1 AND (name = ?2 OR (head = ?3 AND head_length = ?4)) \
                   ORDER BY id DESC";
        self.versions(sql, params![program, name, head, HEAD as i64])
    }

    /// All versions, those written to last first.
    pub(super) fn all(&self) -> Result<Vec<Version>, Error> {
        self.versions("SELECT * FROM version ORDER BY modified DESC, id DESC", [])
    }

    fn versions(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Version>, Error> {
        let read =
            || -> rusqlite::Result<_> { self.conn.prepare(sql)?.query_map(params, version_of)?.collect() };
        read().map_err(self.failed())
    }

    /// The frames of a version, in order.
    pub(super) fn frames(&self, version: i64) -> Result<Vec<Frame>, Error> {
        let read = || -> rusqlite::Result<_> {
            let sql = "SELECT at, length, start, stop, hash FROM frame WHERE version = ?1 ORDER BY n";
            let mut frames = self.conn.prepare(sql)?;
            let frame = |row: &Row<'_>| {
                Ok(Frame {
                    at: number(row, 0)?,
                    length: number(row, 1)?,
                    from: number(row, 2)?,
                    to: number(row, 3)?,
                    hash: row.get(4)?,
                })
            };
            frames.query_map([version], frame)?.collect()
        };
        read().map_err(self.failed())
    }

    /// The number that the next new version gets.
    pub(super) fn next_id(&self) -> Result<i64, Error> {
        let next = self.conn.query_row("SELECT coalesce(max(id), 0) + 1 FROM version", [], |row| row.get(0));
        next.map_err(self.failed())
    }

    /// Notes that files were looked at.
    pub(super) fn note(&mut self, files: &[Known]) -> Result<(), Error> {
        let failed = self.failed();
        let mut write = || -> rusqlite::Result<()> {
            let change = self.conn.transaction()?;
            files.iter().try_for_each(|file| put_source(&change, file))?;
            change.commit()
        };
        write().map_err(failed)
    }

    /// Notes that a file is kept: its version, and the version's frames.
    pub(super) fn keep(&mut self, file: &Known, version: &Version, frames: &[Frame]) -> Result<(), Error> {
        let failed = self.failed();
        let mut write = || -> rusqlite::Result<()> {
            let change = self.conn.transaction()?;
            put_version(&change, version)?;
            change.execute("DELETE FROM frame WHERE version = ?1", [version.id])?;
            for (n, frame) in (0_i64..).zip(frames) {
                let [at, length, from, to] = [frame.at, frame.length, frame.from, frame.to].map(signed);
                let values = params![version.id, n, at, length, from, to, frame.hash];
                change.execute("INSERT INTO frame VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values)?;
            }
            put_source(&change, file)?;
            change.commit()
        };
        write().map_err(failed)
    }

    /// Notes that a run has looked through everything, for the work trees `trees`.
    pub(super) fn ran(&mut self, at: Timestamp, trees: &[PathBuf]) -> Result<(), Error> {
        let failed = self.failed();
        let mut write = || -> rusqlite::Result<()> {
            let change = self.conn.transaction()?;
            change.execute("INSERT OR REPLACE INTO run VALUES (1, ?1)", [at.as_millisecond()])?;
            for tree in trees.iter().filter_map(|tree| tree.to_str()) {
                change.execute("INSERT OR IGNORE INTO tree VALUES (?1)", [tree])?;
            }
            change.commit()
        };
        write().map_err(failed)
    }

    /// Work trees that were there when something was copied.
    pub(super) fn trees(&self) -> Result<Vec<PathBuf>, Error> {
        let read = || -> rusqlite::Result<Vec<String>> {
            self.conn.prepare("SELECT path FROM tree")?.query_map([], |row| row.get(0))?.collect()
        };
        Ok(read().map_err(self.failed())?.into_iter().map(PathBuf::from).collect())
    }

    /// What it holds in all.
    pub(super) fn sums(&self) -> Result<Sums, Error> {
        let read = || -> rusqlite::Result<Sums> {
            let sql = "SELECT count(DISTINCT CASE WHEN part = 0 THEN program || ' ' || name END), count(*), \
                       coalesce(sum(raw), 0), coalesce(sum(length), 0) FROM version";
            let mut sums = self.conn.query_row(sql, [], |row| {
                let [sessions, files, raw, length] = [0, 1, 2, 3].map(|n| number(row, n));
                let (sessions, files, raw, length) = (sessions?, files?, raw?, length?);
                Ok(Sums { sessions, files, raw, length, ..Sums::default() })
            })?;
            let at = self.conn.query_row("SELECT at FROM run", [], |row| row.get(0)).optional()?;
            sums.last_run = at.and_then(|at| Timestamp::from_millisecond(at).ok());
            let sql = "SELECT count(*) FROM source WHERE state = ?1";
            sums.unclear = self.conn.query_row(sql, [State::Unclear.name()], |row| number(row, 0))?;
            Ok(sums)
        };
        read().map_err(self.failed())
    }
}

/// What went wrong, with a full disk named as such: SQLite calls some of what comes of it by another name.
fn error(path: &Path, source: rusqlite::Error) -> Error {
    let is_full = source.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || (is_refused(&source) && path.parent().is_some_and(|dir| file::free(dir).is_ok_and(|n| n < ROOM)));
    if is_full {
        return Error::Io { path: path.to_owned(), source: rustix::io::Errno::NOSPC.into() };
    }
    Error::Index { path: path.to_owned(), source }
}

fn is_refused(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::DiskFull)
    )
}

/// Whether nobody has left anything beside the index that belongs into it.
fn is_at_rest(path: &Path) -> bool {
    file::look(&file::with_suffix(path, "-wal")).is_ok_and(|log| log.is_none_or(|log| log.len() == 0))
}

/// Opens an index that is at rest to read alone, without a file beside it.
fn as_it_is(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte);
    let name = path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut name, byte| {
        match plain(byte) {
            true => name.push(char::from(*byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
        name
    });
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
    let version = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((conn, version))
}

fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or_default())
}

/// As the database keeps numbers of 64 bits.
fn signed(n: u64) -> i64 {
    n.cast_signed()
}

fn known_of(row: &Row<'_>) -> rusqlite::Result<Known> {
    let state: String = row.get(6)?;
    let state =
        State::ALL.iter().find(|(_, name)| *name == state).map_or(State::Unclear, |(state, _)| *state);
    let bits = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let stat = Stat { device: bits(2)?, inode: bits(3)?, size: bits(4)?, modified: row.get(5)? };
    let (program, place) = (row.get(0)?, row.get(1)?);
    let (version, is_whole, cwd, why) = (row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?);
    Ok(Known { program, place, stat, state, version, is_whole, cwd, why })
}

fn put_source(conn: &Connection, file: &Known) -> rusqlite::Result<()> {
    let Known { program, place, stat, state, version, is_whole, cwd, why } = file;
    let numbers = [stat.device, stat.inode, stat.size].map(signed);
    conn.execute(
        "INSERT OR REPLACE INTO source VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            program,
            place,
            numbers[0],
            numbers[1],
            numbers[2],
            stat.modified,
            state.name(),
            version,
            is_whole,
            cwd,
            why
        ],
    )?;
    Ok(())
}

fn part_of(n: i64) -> Part {
    match n {
        0 => Part::Session,
        1 => Part::SubAgent,
        _ => Part::Companion,
    }
}

fn version_of(row: &Row<'_>) -> rusqlite::Result<Version> {
    let time = |at: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(at)?.and_then(|at| Timestamp::from_millisecond(at).ok()))
    };
    Ok(Version {
        id: row.get(0)?,
        program: row.get(1)?,
        name: row.get(2)?,
        part: part_of(row.get(3)?),
        thread: row.get(4)?,
        session: row.get(5)?,
        cwd: row.get(6)?,
        title: row.get(7)?,
        began: time(8)?,
        modified: time(9)?.unwrap_or_default(),
        archived: time(10)?.unwrap_or_default(),
        is_lines: row.get(11)?,
        head: row.get(12)?,
        head_length: number(row, 13)?,
        edge: row.get(14)?,
        edge_length: number(row, 15)?,
        settled: number(row, 16)?,
        raw: number(row, 17)?,
        length: number(row, 18)?,
        is_closed: row.get(19)?,
        redacted: number(row, 20)?,
    })
}

fn put_version(conn: &Connection, v: &Version) -> rusqlite::Result<()> {
    let part = match v.part {
        Part::Session => 0,
        Part::SubAgent => 1,
        Part::Companion => 2,
    };
    conn.execute(
        "INSERT OR REPLACE INTO version VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        params![
            v.id,
            v.program,
            v.name,
            part,
            v.thread,
            v.session,
            v.cwd,
            v.title,
            v.began.map(Timestamp::as_millisecond),
            v.modified.as_millisecond(),
            v.archived.as_millisecond(),
            v.is_lines,
            v.head,
            signed(v.head_length),
            v.edge,
            signed(v.edge_length),
            signed(v.settled),
            signed(v.raw),
            signed(v.length),
            v.is_closed,
            signed(v.redacted)
        ],
    )?;
    Ok(())
}
