//! What an error of a SQLite database means. Pure.

use rusqlite::{Error, ErrorCode};

use super::Class;

/// The class of an error.
pub fn class(error: &Error) -> Class {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Class::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Damage,
        Some(_) => Class::Disk,
        None => Class::Bug,
    }
}

/// Whether the file itself is damaged. Busy, locked, full, unreadable say nothing about that.
pub fn is_damaged(error: &Error) -> bool {
    class(error) == Class::Damage
}

/// Whether what is in the database is wrong, be it damaged or of another shape than it should have: it would be so again.
pub fn is_wrong(error: &Error) -> bool {
    // What has no code of its own is a table or a column that is not there.
    let is_of_shape = matches!(error.sqlite_error_code(), Some(ErrorCode::TypeMismatch | ErrorCode::Unknown));
    is_damaged(error)
        || is_of_shape
        || matches!(error, Error::InvalidColumnType(..) | Error::SqlInputError { .. })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn damage_another_shape_and_a_busy_moment_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let check = |error: Error, expected: (Class, bool, bool)| {
            assert_eq!((class(&error), is_damaged(&error), is_wrong(&error)), expected, "{error:?}");
        };
        let path = dir.path().join("a.db");
        std::fs::write(&path, "no database, but long enough to be looked at as if it were one".repeat(100))
            .unwrap();
        let query =
            |conn: &Connection, sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_err();
        check(query(&Connection::open(&path).unwrap(), "SELECT 1 FROM t"), (Class::Damage, true, true));
        let path = dir.path().join("b.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES ('x');").unwrap();
        check(query(&conn, "SELECT b FROM t"), (Class::Bug, false, true));
        check(query(&conn, "SELECT a FROM t"), (Class::Bug, false, true));
        conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let other = Connection::open(&path).unwrap();
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        check(other.execute_batch("BEGIN EXCLUSIVE").unwrap_err(), (Class::Busy, false, false));
    }
}
