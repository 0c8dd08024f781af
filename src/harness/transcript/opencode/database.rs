//! opencode's database: where it lies, how it is read without being in the program's way, and which session is running.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};

use super::super::Skipped;
use super::super::told::LINE_MAX;
use super::{Fact, Message, Opencode, Pass, Thread, Words, time};

/// So long a look waits for the program, which then has not to wait for us: a reader of a write-ahead log stops nobody.
const BUSY_WAIT: Duration = Duration::from_millis(250);
/// So many messages are read at once.
const MESSAGES_MAX: i64 = 200;
/// So many parts of a message are read; more are passed over.
const PARTS_MAX: i64 = 10_000;
/// Rows that say that they are older than what was read already, by so much, are read again: they are written a while after the moment that
/// they name. In milliseconds.
const SLACK: i64 = 10_000;
/// So many sessions, the newest, are told.
pub const SESSIONS_MAX: i64 = 10_000;
/// Sub-agents of sub-agents are followed to their session so far up.
const DEPTH_MAX: usize = 32;

/// Where it lies. `data` is the user's data directory (`XDG_DATA_HOME`), `named` the value of `OPENCODE_DB`, if it is set.
pub fn path(data: &Path, named: Option<&str>) -> PathBuf {
    let own = data.join("opencode");
    own.join(named.filter(|name| !name.is_empty()).unwrap_or("opencode.db"))
}

/// A session, as the list of sessions has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The session whose sub-agent it is; else empty.
    pub parent: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// When the program last wrote that it changed.
    pub modified: Timestamp,
}

/// The session that runs in `cwd` or above it, of those changed since `since`. Of two in one directory neither, for it cannot be told which
/// is meant.
pub fn running<'a>(sessions: &'a [Session], cwd: &Path, since: Timestamp) -> Option<&'a Session> {
    for dir in cwd.ancestors() {
        let mut here = sessions.iter().filter(|s| s.parent.is_empty() && s.cwd == dir && s.modified >= since);
        if let Some(first) = here.next() {
            return here.next().is_none().then_some(first);
        }
    }
    None
}

/// So often a database is opened for one look: the program may open or leave it at the same moment.
const TRIES: usize = 3;

/// Why the database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Cannot {
    /// It is not there.
    #[error("there is no database {}", .0.display())]
    Missing(PathBuf),
    /// Its program keeps it to itself; that passes.
    #[error("the database {} is locked by its program", .0.display())]
    Locked(PathBuf),
    /// It is damaged, no database, or of a version with other tables.
    #[error("the database {} cannot be read: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        why: rusqlite::Error,
    },
}

/// Opens the database at `path` for one look, and again where its program has opened or left it meanwhile.
///
/// # Errors
/// See [`Cannot`].
pub fn at<T>(path: &Path, mut look: impl FnMut(&Database) -> rusqlite::Result<T>) -> Result<T, Cannot> {
    for _ in 0..TRIES {
        match Database::open(path).and_then(|db| look(&db)) {
            Ok(found) => return Ok(found),
            Err(e) if Database::is_busy(&e) => {}
            Err(why) => {
                let is_missing =
                    fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
                let path = path.to_owned();
                return Err(if is_missing { Cannot::Missing(path) } else { Cannot::Damaged { path, why } });
            }
        }
    }
    Err(Cannot::Locked(path.to_owned()))
}

/// The database, open for reading.
#[derive(Debug)]
pub struct Database {
    conn: Connection,
    path: PathBuf,
    /// It was opened as a file that nobody has open: how it looked then.
    still: Option<(u64, std::time::SystemTime)>,
}

fn look(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.len(), file.modified().ok()?))
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

impl Database {
    /// Opens it. It is never written to. Without a write-ahead log nobody has it open, and it is read as a file that stays as it is, for
    /// else a log would be made beside it.
    ///
    /// # Errors
    /// It is not there, a link, or no database.
    pub fn open(path: &Path) -> rusqlite::Result<Database> {
        let cannot = |e: io::Error| {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            rusqlite::Error::SqliteFailure(code, Some(format!("{}: {e}", path.display())))
        };
        let dir = path.parent().unwrap_or(Path::new("/"));
        let path = fs::canonicalize(dir).map_err(cannot)?.join(path.file_name().unwrap_or_default());
        let still = if log_of(&path).exists() { None } else { look(&path) };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_URI;
        let mut uri = String::from("file:");
        for byte in path.as_os_str().as_encoded_bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                    uri.push(*byte as char)
                }
                _ => uri.push_str(&format!("%{byte:02x}")),
            }
        }
        uri.push_str(if still.is_some() { "?immutable=1" } else { "?mode=ro" });
        let conn = Connection::open_with_flags(uri, flags)?;
        conn.busy_timeout(BUSY_WAIT)?;
        conn.pragma_update(None, "query_only", true)?;
        Ok(Database { conn, path, still })
    }

    /// Nobody has changed a database that was taken for one that stays as it is.
    fn is_still(&self) -> rusqlite::Result<()> {
        match self.still {
            Some(then) if log_of(&self.path).exists() || look(&self.path) != Some(then) => {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                Err(rusqlite::Error::SqliteFailure(code, Some("the program has opened it".into())))
            }
            _ => Ok(()),
        }
    }

    /// The sessions, the newest first.
    ///
    /// # Errors
    /// The database is busy, damaged, or of a version with other tables.
    pub fn sessions(&self) -> rusqlite::Result<Vec<Session>> {
        let mut rows = self.conn.prepare_cached(
            "SELECT id, coalesce(parent_id, ''), directory, time_updated FROM session ORDER BY time_updated DESC LIMIT ?1",
        )?;
        let rows = rows.query_map([SESSIONS_MAX], |row| {
            Ok(Session {
                id: row.get(0)?,
                parent: row.get(1)?,
                cwd: PathBuf::from(row.get::<_, String>(2)?),
                modified: time(row.get(3)?).unwrap_or_default(),
            })
        })?;
        let sessions = rows.collect::<rusqlite::Result<_>>()?;
        self.is_still()?;
        Ok(sessions)
    }

    /// The session that runs in `cwd` or above it, of those that have got something since `since`; of several the one whose tool runs now.
    /// A session's own row says only when its last answer ended.
    ///
    /// # Errors
    /// As [`sessions`](Database::sessions).
    pub fn running(&self, cwd: &Path, since: Timestamp) -> rusqlite::Result<Option<String>> {
        let mut here = self.sessions()?;
        here.retain(|session| session.parent.is_empty() && cwd.starts_with(&session.cwd));
        for session in &mut here {
            let newest = time(newest(&self.conn, &session.id)?).unwrap_or_default();
            session.modified = session.modified.max(newest);
        }
        let mut found = running(&here, cwd, since);
        if found.is_none() {
            let mut at_work = Vec::new();
            for session in here {
                if is_calling(&self.conn, &session.id)? {
                    at_work.push(session);
                }
            }
            here = at_work;
            found = running(&here, cwd, since);
        }
        let found = found.map(|session| session.id.clone());
        self.is_still()?;
        Ok(found)
    }

    /// Whether there is a session with this id.
    ///
    /// # Errors
    /// As [`sessions`](Database::sessions).
    pub fn has(&self, id: &str) -> rusqlite::Result<bool> {
        let found = self.conn.prepare_cached("SELECT 1 FROM session WHERE id = ?1")?.exists([id])?;
        self.is_still()?;
        Ok(found)
    }

    /// Tells what is new in the reader's session: a number of messages, and whether there is more to be told at once. The answer to
    /// `SQLITE_BUSY` is to open it again; what the reader knows is then as it was before.
    ///
    /// # Errors
    /// The database is busy, damaged, or of a version with other tables.
    pub fn read(&self, reader: &mut Opencode, out: &mut Vec<Fact>) -> rusqlite::Result<bool> {
        let mut next = reader.clone();
        let told = out.len();
        let read = self.conn.unchecked_transaction().and_then(|snapshot| {
            let more = page(&snapshot, &mut next, out)?;
            self.is_still()?;
            Ok(more)
        });
        match read {
            Ok(_) => *reader = next,
            Err(_) => out.truncate(told),
        }
        read
    }

    /// Whether the error passes when the database is opened again.
    pub fn is_busy(e: &rusqlite::Error) -> bool {
        matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
}

/// A session's row.
struct Row {
    thread: Thread,
    project: String,
    created: i64,
}

fn page(conn: &Connection, reader: &mut Opencode, out: &mut Vec<Fact>) -> rusqlite::Result<bool> {
    let Some(mut row) = session(conn, &reader.session)? else { return Ok(false) };
    let until = newest(conn, &reader.session)?;
    let pass = reader.pass.clone().unwrap_or(Pass { until, created: i64::MIN, id: String::new() });
    row.thread.forked_from = match reader.thread.forked_from.as_str() {
        "" => origin(conn, &row)?,
        known => known.to_string(),
    };
    // Where the messages say it, they know better.
    if !reader.thread.cwd.is_empty() {
        row.thread.cwd.clone_from(&reader.thread.cwd);
    }
    reader.now(row.thread.clone(), time(row.created), out);
    let changed = changed(conn, &reader.session, reader.since.saturating_sub(SLACK), &pass)?;
    let more = changed.len() as i64 == MESSAGES_MAX;
    let mut at = (pass.created, pass.id);
    for (created, id) in changed {
        if let Some(message) = message(conn, &id, created, &mut reader.skipped)? {
            // A copy's words are its original's, if that is still there.
            let copied = created < row.created && !reader.thread.forked_from.is_empty();
            reader.message(&message, if copied { Words::Untold } else { Words::Told }, out);
        }
        at = (created, id);
    }
    if more {
        reader.pass = Some(Pass { until: pass.until, created: at.0, id: at.1 });
    } else {
        reader.pass = None;
        reader.since = reader.since.max(pass.until);
    }
    Ok(more)
}

fn session(conn: &Connection, id: &str) -> rusqlite::Result<Option<Row>> {
    let mut one = conn.prepare_cached(
        "SELECT coalesce(parent_id, ''), directory, version, project_id, time_created FROM session WHERE id = ?1",
    )?;
    let row = one.query_row([id], |row| {
        let parent: String = row.get(0)?;
        let thread = Thread {
            id: id.to_string(),
            parent,
            cwd: row.get(1)?,
            version: row.get(2)?,
            ..Thread::default()
        };
        Ok(Row { thread, project: row.get(3)?, created: row.get(4)? })
    });
    let Some(mut row) = row.optional()? else { return Ok(None) };
    let mut root = id.to_string();
    let mut above = row.thread.parent.clone();
    for _ in 0..DEPTH_MAX {
        if above.is_empty() {
            break;
        }
        let mut up = conn.prepare_cached("SELECT coalesce(parent_id, '') FROM session WHERE id = ?1")?;
        let next = up.query_row([&above], |row| row.get::<_, String>(0)).optional()?;
        root = std::mem::replace(&mut above, next.unwrap_or_default());
    }
    row.thread.session = root;
    Ok(Some(row))
}

/// The session whose messages a fork begins with: in which the last of them was made.
fn origin(conn: &Connection, row: &Row) -> rusqlite::Result<String> {
    let mut last = conn.prepare_cached(
        "SELECT time_created FROM message WHERE session_id = ?1 AND time_created < ?2 ORDER BY time_created DESC LIMIT 1",
    )?;
    let last: Option<i64> =
        last.query_row(params![row.thread.id, row.created], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(String::new()) };
    let mut made = conn.prepare_cached(
        "SELECT s.id FROM session s JOIN message m ON m.session_id = s.id AND m.time_created = ?2
         WHERE s.project_id = ?1 AND s.id <> ?3 AND s.time_created <= ?2 LIMIT 1",
    )?;
    let made = made.query_row(params![row.project, last, row.thread.id], |row| row.get(0)).optional()?;
    Ok(made.unwrap_or_default())
}

fn newest(conn: &Connection, session: &str) -> rusqlite::Result<i64> {
    let mut newest = conn.prepare_cached(
        "SELECT max(coalesce((SELECT max(time_updated) FROM message WHERE session_id = ?1), 0),
                    coalesce((SELECT max(time_updated) FROM part WHERE session_id = ?1), 0))",
    )?;
    newest.query_row([session], |row| row.get(0))
}

/// Whether a tool of a session runs, by the last thing that it has got.
fn is_calling(conn: &Connection, session: &str) -> rusqlite::Result<bool> {
    let mut last = conn.prepare_cached(
        "SELECT CASE WHEN typeof(data) = 'text' AND octet_length(data) <= ?2 THEN data END FROM part
         WHERE id = (SELECT id FROM part WHERE session_id = ?1 ORDER BY time_updated DESC, id DESC LIMIT 1)",
    )?;
    let data = last.query_row(params![session, LINE_MAX as i64], text).optional()?.flatten();
    Ok(data.is_some_and(|data| super::is_running(&data)))
}

/// The next messages that have changed, or a part of which has, in their order.
fn changed(
    conn: &Connection,
    session: &str,
    since: i64,
    pass: &Pass,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut rows = conn.prepare_cached(
        "SELECT time_created, id FROM message
         WHERE session_id = ?1 AND (time_created, id) > (?3, ?4) AND (time_updated >= ?2
             OR id IN (SELECT message_id FROM part WHERE session_id = ?1 AND time_updated >= ?2))
         ORDER BY time_created, id LIMIT ?5",
    )?;
    let rows = rows.query_map(params![session, since, pass.created, pass.id, MESSAGES_MAX], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    rows.collect()
}

/// `None` if it is gone.
fn message(
    conn: &Connection,
    id: &str,
    created: i64,
    skipped: &mut Skipped,
) -> rusqlite::Result<Option<Message>> {
    let mut one = conn.prepare_cached(
        "SELECT CASE WHEN typeof(data) = 'text' AND octet_length(data) <= ?2 THEN data END FROM message WHERE id = ?1",
    )?;
    let Some(data) = one.query_row(params![id, LINE_MAX as i64], text).optional()? else { return Ok(None) };
    let mut rows = conn.prepare_cached(
        "SELECT CASE WHEN typeof(data) = 'text' AND octet_length(data) <= ?2 THEN data END FROM part
         WHERE message_id = ?1 ORDER BY id LIMIT ?3",
    )?;
    let parts = rows.query_map(params![id, LINE_MAX as i64, PARTS_MAX + 1], text)?;
    let mut parts: Vec<Option<String>> = parts.collect::<rusqlite::Result<_>>()?;
    if parts.len() as i64 > PARTS_MAX {
        parts.pop();
        skipped.damaged += 1;
    }
    Ok(Some(Message { id: id.to_string(), created, data, parts }))
}

/// A text; what is not one is damaged.
fn text(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<String>> {
    let value = row.get_ref(0)?;
    Ok(value.as_str_or_null().ok().flatten().map(str::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_where_the_program_puts_it() {
        let check = |named: Option<&str>, expected: &str| {
            assert_eq!(path(Path::new("/d"), named), Path::new(expected), "{named:?}");
        };
        check(None, "/d/opencode/opencode.db");
        check(Some(""), "/d/opencode/opencode.db");
        check(Some("mine.db"), "/d/opencode/mine.db");
        check(Some("/elsewhere/my.db"), "/elsewhere/my.db");
    }
}
