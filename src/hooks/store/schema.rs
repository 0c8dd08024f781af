//! How the database is laid out and opened.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::StoreError;
use crate::kit::file;

/// Times are milliseconds since 1970. `sources` is a set: 1 hook, 2 transcript, 4 the command line.
///
/// `changed_ms` is when that happened which `status` comes from: what is told late does not change it back. `counts` has, of each source,
/// how many events with one key a session had, or which use of a call's id is the last and, by its lowest bit, whether it has ended;
/// `spooled` has the lines of the spool that were taken in, `files` how far transcripts were read.
const SCHEMA: &str = "
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        agent TEXT NOT NULL,
        session_id TEXT NOT NULL,
        repo_id TEXT,
        model TEXT,
        permission_mode TEXT,
        status TEXT NOT NULL,
        awaiting_since INTEGER,
        first_seen_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        ended_ms INTEGER,
        changed_ms INTEGER NOT NULL,
        hook_seen_ms INTEGER,
        sources INTEGER NOT NULL,
        forked_from TEXT,
        UNIQUE (agent, session_id)
    );
    CREATE INDEX sessions_by_time ON sessions (last_seen_ms);
    CREATE TABLE agents (
        session INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        agent_type TEXT,
        parent_id TEXT,
        status TEXT NOT NULL,
        current_tool TEXT,
        first_seen_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        PRIMARY KEY (session, agent_id)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        session INTEGER NOT NULL,
        event_type TEXT NOT NULL,
        dedup_key TEXT NOT NULL,
        hook_event_name TEXT,
        sources INTEGER NOT NULL,
        hook_at_ms INTEGER,
        transcript_at_ms INTEGER,
        tool_name TEXT,
        tool_name_raw TEXT,
        tool_use_id TEXT,
        turn_id TEXT,
        agent_id TEXT,
        agent_type TEXT,
        source_detail TEXT,
        reason TEXT,
        input_sha256 TEXT,
        input_bytes INTEGER,
        output_bytes INTEGER,
        is_error INTEGER NOT NULL DEFAULT 0,
        relay_state INTEGER NOT NULL DEFAULT 0,
        fact INTEGER,
        payload TEXT,
        cwd_hash TEXT,
        UNIQUE (session, event_type, dedup_key)
    );
    CREATE INDEX events_by_time ON events (coalesce(transcript_at_ms, hook_at_ms));
    CREATE INDEX events_by_fact ON events (fact) WHERE fact IS NOT NULL;
    CREATE TABLE counts (
        session INTEGER NOT NULL,
        key INTEGER NOT NULL,
        hook INTEGER NOT NULL DEFAULT 0,
        transcript INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (session, key)
    ) WITHOUT ROWID;
    CREATE TABLE spooled (id BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        state TEXT NOT NULL
    ) WITHOUT ROWID;
";
/// Version of the layout.
pub(super) const VERSION: i64 = 2;
/// What the second version has more than the first.
const SECOND: &str = "ALTER TABLE events ADD COLUMN cwd_hash TEXT";
/// So long whoever writes is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Opens the database, and makes it if it is not there.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        file::make_dirs(dir, 0o700).map_err(io)?;
    }
    // For its owner alone from the first byte on; its log gets the same rights from the library.
    let mut made = OpenOptions::new();
    made.write(true).create(true).truncate(false).mode(0o600).custom_flags(file::NOFOLLOW);
    made.open(path).map_err(io)?;
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, prepare)
}

/// Opens it to be looked at; none where there is none, or one that is only being made.
pub(super) fn look(path: &Path) -> Result<Option<Connection>, StoreError> {
    match file::look(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })? {
        Some(meta) if meta.len() > 0 => {}
        _ => return Ok(None),
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, version)?;
    let found = version(&conn).map_err(|source| StoreError::Database { path: path.to_owned(), source })?;
    Ok((found > 0).then_some(conn))
}

fn connect(
    path: &Path,
    mode: OpenFlags,
    prepare: fn(&Connection) -> rusqlite::Result<i64>,
) -> Result<Connection, StoreError> {
    let error = |source| StoreError::Database { path: path.to_owned(), source };
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(error)?;
    conn.busy_timeout(BUSY_WAIT).map_err(error)?;
    let found = prepare(&conn).map_err(error)?;
    if found > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The version that is found there; what is empty gets the newest.
fn prepare(conn: &Connection) -> rusqlite::Result<i64> {
    // Only before the first table, and only of use there: what is deleted leaves no hole for ever.
    conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 4194304;",
    )?;
    let found = version(conn)?;
    if found >= VERSION {
        return Ok(found);
    }
    let new = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    // Another process may have been first.
    match version(&new)? {
        0 => new.execute_batch(SCHEMA)?,
        1 => new.execute_batch(SECOND)?,
        _ => {}
    }
    if version(&new)? < VERSION {
        new.pragma_update(None, "user_version", VERSION)?;
    }
    new.commit()?;
    version(conn)
}

/// Moves a database with its log to `<name>.damaged`, in place of what lies there; where it lies then.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = file::with_suffix(path, ".damaged");
    // The log first: behind a new database the old one's log would be its.
    for part in ["-wal", "-shm", ""] {
        let (from, to) = (file::with_suffix(path, part), file::with_suffix(&aside, part));
        match fs::rename(&from, &to) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path: from, source: e });
            }
            _ => {}
        }
    }
    Ok(aside)
}
