//! The index: SQLite's, of words alone.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{Item, Text};
use crate::kit::file;
use crate::kit::sqlite::is_damaged;

/// The version of what is in it. One of another version is made anew.
const VERSION: i64 = 1;
/// Whoever else brings it up to date is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// A word in the title counts as so many in the text.
const TITLE_WEIGHT: f64 = 4.0;
/// So many sessions are read before what was made of them is written down: who is ended goes on from there.
const BATCH: usize = 500;
/// More words are not looked for.
const WORDS_MAX: usize = 32;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, stamp INTEGER NOT NULL);
    CREATE VIRTUAL TABLE IF NOT EXISTS said USING fts5(
        title, text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
    );";

/// Why nothing can be looked for.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index's file or directory.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The index.
    #[error("{}: {source}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What the library says.
        source: rusqlite::Error,
    },
}

/// An index that is open.
#[derive(Debug)]
pub struct Index {
    conn: Connection,
    path: PathBuf,
}

impl Index {
    /// Opens the one at `path`; it is made if it is not there, and made anew if it is damaged or of another version.
    ///
    /// # Errors
    /// See [`SearchError`].
    pub fn open(path: &Path) -> Result<Index, SearchError> {
        let io = |source| SearchError::Io { path: path.to_owned(), source };
        file::private_dir(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
        match try_open(path) {
            Ok(Some(conn)) => return Ok(Index { conn, path: path.to_owned() }),
            Err(e) if !is_damaged(&e) => return Err(database(path, e)),
            Ok(None) | Err(_) => {}
        }
        for suffix in ["", "-wal", "-shm"] {
            file::found(fs::remove_file(file::with_suffix(path, suffix))).map_err(io)?;
        }
        match try_open(path) {
            Ok(Some(conn)) => Ok(Index { conn, path: path.to_owned() }),
            Ok(None) => Err(database(path, rusqlite::Error::InvalidQuery)),
            Err(e) => Err(database(path, e)),
        }
    }

    /// Makes it say what `items` are now: `text` gives the words of the item with a number; `on` hears how many of how many were read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn refresh(
        &mut self,
        items: &[&Item],
        text: &mut dyn FnMut(usize) -> Text,
        on: &mut dyn FnMut(usize, usize),
    ) -> Result<(), SearchError> {
        let path = self.path.clone();
        self.try_refresh(items, text, on).map_err(|e| database(&path, e))
    }

    fn try_refresh(
        &mut self,
        items: &[&Item],
        text: &mut dyn FnMut(usize) -> Text,
        on: &mut dyn FnMut(usize, usize),
    ) -> rusqlite::Result<()> {
        let (changed, gone) = self.compare(items)?;
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut done = 0;
        let mut batches = changed.chunks(BATCH).peekable();
        // What is gone goes with the first of them.
        let mut gone = Some(gone);
        loop {
            let batch = batches.next().unwrap_or_default();
            let step = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for id in gone.take().unwrap_or_default() {
                step.execute("DELETE FROM said WHERE rowid = ?1", [id])?;
                step.execute("DELETE FROM item WHERE id = ?1", [id])?;
            }
            for n in batch {
                let item = items[*n];
                let words = text(*n);
                // Whoever else was here meanwhile may have put it in.
                step.execute(
                    "DELETE FROM said WHERE rowid = (SELECT id FROM item WHERE key = ?1)",
                    [&item.key],
                )?;
                let id: i64 = step.query_row(
                    "INSERT INTO item (key, stamp) VALUES (?1, ?2)
                     ON CONFLICT (key) DO UPDATE SET stamp = excluded.stamp RETURNING id",
                    params![item.key, item.stamp],
                    |row| row.get(0),
                )?;
                step.execute(
                    "INSERT INTO said (rowid, title, text) VALUES (?1, ?2, ?3)",
                    params![id, words.title, words.text],
                )?;
                done += 1;
                on(done, changed.len());
            }
            step.commit()?;
            if batches.peek().is_none() {
                return Ok(());
            }
        }
    }

    /// The numbers of the items that are new or have changed, and the rows of those that are gone.
    fn compare(&self, items: &[&Item]) -> rusqlite::Result<(Vec<usize>, Vec<i64>)> {
        let mut known: HashMap<String, (i64, i64)> = HashMap::with_capacity(items.len());
        let mut all = self.conn.prepare("SELECT key, stamp, id FROM item")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            known.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
        }
        let mut changed = Vec::new();
        for (n, item) in items.iter().enumerate() {
            if known.remove(&item.key).is_none_or(|(stamp, _)| stamp != item.stamp) {
                changed.push(n);
            }
        }
        Ok((changed, known.into_values().map(|(_, id)| id).collect()))
    }

    /// The keys of the first `limit` items that have all these words, the best first. Several words in one are looked for as they stand there;
    /// a word that ends with `*` is a beginning.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn query(&self, words: &[String], limit: usize) -> Result<Vec<String>, SearchError> {
        let question: Vec<String> = words.iter().take(WORDS_MAX).filter_map(|word| term(word)).collect();
        if question.is_empty() {
            return Ok(Vec::new());
        }
        self.try_query(&question.join(" "), limit).map_err(|e| database(&self.path, e))
    }

    fn try_query(&self, question: &str, limit: usize) -> rusqlite::Result<Vec<String>> {
        let mut found = self.conn.prepare(
            "SELECT key FROM (SELECT rowid, bm25(said, ?2, 1.0) AS score FROM said WHERE said MATCH ?1)
             JOIN item ON item.id = rowid ORDER BY score, key DESC LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        found.query_map(params![question, TITLE_WEIGHT, limit], |row| row.get(0))?.collect()
    }
}

/// A word as the library takes it, whatever is in it: nothing of it is an operator.
fn term(word: &str) -> Option<String> {
    let (word, star) = word.trim().strip_suffix('*').map_or((word.trim(), ""), |word| (word, "*"));
    word.chars().any(char::is_alphanumeric).then(|| format!("\"{}\"{star}", word.replace('"', "\"\"")))
}

fn database(path: &Path, source: rusqlite::Error) -> SearchError {
    SearchError::Database { path: path.to_owned(), source }
}

/// `None` if it is of another version.
fn try_open(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;")?;
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
