//! How the database is laid out and opened.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::UsageError;
use crate::kit::file;

/// Times are milliseconds since 1970, days count from it; `key` and `modified` are what is hashed and what the system says.
///
/// `spend` adds `answers` up by all that does not change within a session, so that a question costs a look at each session and not at each
/// answer. Both change in one transaction, with what is known of the file that told it.
const SCHEMA: &str = "
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL,
        part TEXT NOT NULL,
        size INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        state TEXT NOT NULL,
        UNIQUE (path, part)
    );
    CREATE TABLE threads (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        thread TEXT NOT NULL,
        session TEXT NOT NULL,
        parent TEXT NOT NULL,
        UNIQUE (kind, thread)
    );
    CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE places (
        id INTEGER PRIMARY KEY,
        known_by TEXT NOT NULL UNIQUE,
        own INTEGER NOT NULL,
        cwd TEXT NOT NULL,
        branch TEXT NOT NULL,
        repo TEXT NOT NULL,
        root TEXT NOT NULL,
        person TEXT NOT NULL
    );
    CREATE TABLE answers (
        key INTEGER PRIMARY KEY,
        answer TEXT NOT NULL,
        model INTEGER NOT NULL,
        thread INTEGER NOT NULL,
        place INTEGER NOT NULL,
        file INTEGER NOT NULL,
        offset INTEGER,
        time INTEGER NOT NULL,
        rank_own INTEGER NOT NULL,
        rank_first INTEGER NOT NULL,
        rank_began INTEGER NOT NULL,
        input INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        cache_written INTEGER NOT NULL,
        cache_written_long INTEGER NOT NULL,
        output INTEGER NOT NULL,
        reasoning INTEGER NOT NULL
    );
    CREATE INDEX answers_of_thread ON answers (thread);
    CREATE TABLE spend (
        thread INTEGER NOT NULL,
        model INTEGER NOT NULL,
        place INTEGER NOT NULL,
        day INTEGER NOT NULL,
        band INTEGER NOT NULL,
        answers INTEGER NOT NULL,
        input INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        cache_written INTEGER NOT NULL,
        cache_written_long INTEGER NOT NULL,
        output INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        PRIMARY KEY (thread, model, place, day, band)
    ) WITHOUT ROWID;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";
/// What is asked of all files each time stands in pages of its own: their states fill nearly all of the table's. A database that was made
/// without it gets it.
const LOOKS: &str = "CREATE INDEX IF NOT EXISTS files_as_they_looked ON files (part, path, size, modified);";
/// Version of the layout.
pub(super) const VERSION: i64 = 1;
/// So long whoever writes is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Opens the database, and makes it if it is not there.
pub(super) fn open(path: &Path) -> Result<Connection, UsageError> {
    let io = |source| UsageError::Io { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        file::make_dirs(dir, 0o700).map_err(io)?;
    }
    // For its owner alone from the first byte on; its log gets the same rights from the library.
    let mut made = OpenOptions::new();
    made.write(true).create(true).truncate(false).mode(0o600).custom_flags(file::NOFOLLOW);
    made.open(path).map_err(io)?;
    let error = |source| UsageError::Database { path: path.to_owned(), source };
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(error)?;
    let found = prepare(&conn).map_err(error)?;
    if found > VERSION {
        return Err(UsageError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(conn)
}

/// The version that is found there; what is empty gets the newest.
fn prepare(conn: &Connection) -> rusqlite::Result<i64> {
    conn.busy_timeout(BUSY_WAIT)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 4194304;",
    )?;
    let version = |conn: &Connection| conn.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let found = version(conn)?;
    if found == VERSION {
        conn.execute_batch(LOOKS)?;
    }
    if found != 0 {
        return Ok(found);
    }
    let new = rusqlite::Transaction::new_unchecked(conn, rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if version(&new)? == 0 {
        new.execute_batch(SCHEMA)?;
        new.execute_batch(LOOKS)?;
        new.pragma_update(None, "user_version", VERSION)?;
    }
    new.commit()?;
    version(conn)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn how_files_looked_is_read_without_their_states() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("usage.db");
        let is_covered = || {
            let conn = open(&path).unwrap();
            let sql = format!("EXPLAIN QUERY PLAN {}", super::super::store::FILES);
            let plan: String = conn.query_row(&sql, [], |row| row.get(3)).unwrap();
            plan.contains("COVERING INDEX files_as_they_looked")
        };
        assert!(is_covered());
        open(&path).unwrap().execute_batch("DROP INDEX files_as_they_looked").unwrap();
        assert!(is_covered(), "one of an earlier program");
    }

    #[test]
    fn it_is_for_its_owner_alone_and_what_cannot_be_used_is_an_error() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("deep/usage.db");
        drop(open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let conn = open(&path).unwrap();
        conn.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(conn);
        let newer = open(&path).unwrap_err();
        assert!(matches!(newer, UsageError::Newer { found: 2, .. }) && newer.is_damage(), "{newer}");
        fs::write(&path, "this is no database, and it is long enough for one to be looked for".repeat(99))
            .unwrap();
        let damaged = open(&path).unwrap_err();
        assert!(damaged.is_damage(), "{damaged}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(open(&path).is_err());
    }
}
