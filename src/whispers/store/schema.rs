//! How the database is laid out, opened, looked over and put aside when it is damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::kit::file;
use crate::kit::id::new_id;
use crate::kit::lock::FileLock;
use crate::kit::sqlite;
use crate::whispers::error::Error;
use crate::whispers::limits::{BUSY_WAIT, CACHE_KIB};

/// Times are nanoseconds since 1970; `seq` grows with every whisper that comes in and is never used twice.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS whispers (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        rank INTEGER NOT NULL,
        arrived INTEGER NOT NULL,
        id TEXT NOT NULL UNIQUE,
        scope TEXT NOT NULL,
        type TEXT NOT NULL,
        source TEXT NOT NULL,
        topic TEXT NOT NULL,
        content TEXT NOT NULL,
        importance TEXT NOT NULL,
        created INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        principal_id TEXT NOT NULL,
        principal_type TEXT NOT NULL,
        team_id TEXT NOT NULL,
        metadata TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS whispers_rank ON whispers (rank, seq);
    CREATE INDEX IF NOT EXISTS whispers_arrived ON whispers (arrived);
    CREATE INDEX IF NOT EXISTS whispers_created ON whispers (created, seq);
    CREATE INDEX IF NOT EXISTS whispers_source ON whispers (source, agent_id, created);
    CREATE TABLE IF NOT EXISTS cursors (
        reader TEXT NOT NULL, rank INTEGER NOT NULL, seq INTEGER NOT NULL, updated INTEGER NOT NULL,
        PRIMARY KEY (reader, rank)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS relayed (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS itself (name TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS paused (agent TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS nudges (
        agent TEXT PRIMARY KEY, last INTEGER NOT NULL, unanswered INTEGER NOT NULL
    ) WITHOUT ROWID;
";
/// Version of the layout. One with another version cannot be used and is put aside.
const VERSION: i64 = 1;
/// A look from outside waits so long for whoever writes (8.7).
const LOOK_WAIT: Duration = Duration::from_secs(3);
/// So long another process may take to mend it.
const MEND_WAIT: Duration = Duration::from_secs(2);

/// Opens the database, and makes it if need be. With `look_over` it is looked over first; one that is proven damaged is put aside and made
/// anew.
pub(super) fn open(path: &Path, look_over: bool) -> Result<Connection, Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    file::private_dir(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
    match try_open(path, look_over) {
        Ok(Some(conn)) => Ok(conn),
        Ok(None) => mend(path),
        Err(e) if sqlite::is_damaged(&e) => mend(path),
        Err(source) => Err(Error::Database { path: path.to_owned(), source }),
    }
}

/// `None` if it opens and is proven damaged.
fn try_open(path: &Path, look_over: bool) -> rusqlite::Result<Option<Connection>> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let new = !path.exists();
    let conn = Connection::open_with_flags(path, flags)?;
    if new {
        make_private(path);
    }
    conn.busy_timeout(BUSY_WAIT)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.execute_batch(&format!(
        "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY; \
         PRAGMA journal_size_limit = 4194304;"
    ))?;
    if look_over && is_sound(&conn) == Some(false) {
        return Ok(None);
    }
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != 0 && version != VERSION {
        return Ok(None);
    }
    conn.execute_batch(SCHEMA)?;
    if version == 0 {
        conn.execute_batch(&format!("PRAGMA user_version = {VERSION}"))?;
    }
    Ok(Some(conn))
}

/// Others have no business in it; its log gets the same rights from the library.
fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Err(e) = fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        log::warn!("{}: {e}", path.display());
    }
}

/// The name of the database: one that was made anew has another.
pub(super) fn name_of(conn: &Connection) -> rusqlite::Result<String> {
    let fresh = new_id().to_string();
    conn.execute("INSERT INTO itself SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM itself)", [fresh])?;
    conn.query_row("SELECT name FROM itself LIMIT 1", [], |row| row.get(0))
}

/// Whether the database is sound: `Some(false)` only if the look itself ran and found damage.
pub(super) fn is_sound(conn: &Connection) -> Option<bool> {
    match conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(verdict) => Some(verdict == "ok"),
        Err(e) if sqlite::is_damaged(&e) => Some(false),
        Err(_) => None,
    }
}

/// Whether the database at `path` is proven damaged.
pub(super) fn is_damaged(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    let error = |source| Error::Database { path: path.to_owned(), source };
    let look = || {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.busy_timeout(LOOK_WAIT)?;
        conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
    };
    match look() {
        Ok(verdict) => Ok(verdict != "ok"),
        Err(e) if sqlite::is_damaged(&e) => Ok(true),
        Err(e) => Err(error(e)),
    }
}

fn mend(path: &Path) -> Result<Connection, Error> {
    put_aside(path)?;
    match try_open(path, false) {
        Ok(Some(conn)) => Ok(conn),
        Ok(None) => Err(Error::Mending { path: path.to_owned() }),
        Err(source) => Err(Error::Database { path: path.to_owned(), source }),
    }
}

/// Renames a damaged database to `*.corrupt`, of which the last one is kept. Another process may have done so meanwhile: it is looked at
/// once more under a lock.
pub(super) fn put_aside(path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let lock = beside(path, ".lock");
    let Some(_lock) = FileLock::acquire(&lock, MEND_WAIT).map_err(io)? else {
        return Err(Error::Mending { path: path.to_owned() });
    };
    match try_open(path, true) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        Err(e) if sqlite::is_damaged(&e) => {}
        Err(source) => return Err(Error::Database { path: path.to_owned(), source }),
    }
    log::warn!("{} is damaged: kept as *.corrupt, and made anew", path.display());
    fs::rename(path, beside(path, ".corrupt")).map_err(io)?;
    for log in ["-wal", "-shm"] {
        match fs::remove_file(beside(path, log)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
    }
    Ok(())
}

/// The file beside it with this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
