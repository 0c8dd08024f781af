//! The store of events: each once, whoever told of it, with the sessions and agents that they add up to (relay and hooks, B.6).
//!
//! One writes, in one transaction a batch, so that whoever is killed finds all of a batch or nothing of it. What a hook tells is known by
//! the id of its line in the spool, what a transcript tells by the id of its fact: told again it changes nothing, also no count of events
//! that are alike.

mod after;
mod effects;
mod error;
mod forget;
mod keep;
mod query;
mod restamp;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use after::After;
pub use error::StoreError;
pub use keep::{AGE_MAX, Kept, SIZE_MAX};
pub use query::{Count, Event, Filter, LIVE_FOR, Live, Rest, Stats};
pub use write::Taken;

use super::record::Record;

/// The store of a user.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub store: Store,
    /// Where the damaged one lies that was in its place: what it knew is lost to this one.
    pub damaged: Option<PathBuf>,
}

impl Store {
    /// Opens the one at `path`, and makes it if it is not there. One that is damaged is moved aside first, to `<name>.damaged`.
    ///
    /// # Errors
    /// It is of a newer version, or cannot be made.
    pub fn open(path: &Path) -> Result<Opened, StoreError> {
        match schema::open(path) {
            Err(e) if e.is_damage() => Store::begin_anew(path),
            other => Ok(Opened { store: Store { conn: other?, path: path.to_owned() }, damaged: None }),
        }
    }

    /// Moves the one at `path` aside, which nobody has open, and makes a new one: for whoever finds it damaged while it is used.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn begin_anew(path: &Path) -> Result<Opened, StoreError> {
        let damaged = schema::move_aside(path)?;
        Ok(Opened {
            store: Store { conn: schema::open(path)?, path: path.to_owned() },
            damaged: Some(damaged),
        })
    }

    /// Opens the one at `path` to look at it; none where there is none.
    ///
    /// # Errors
    /// It is damaged, of a newer version, or cannot be read.
    pub fn look(path: &Path) -> Result<Option<Store>, StoreError> {
        Ok(schema::look(path)?.map(|conn| Store { conn, path: path.to_owned() }))
    }

    /// Takes lines of the spool in, all of them or, on an error, none. A line that was taken in before counts for nothing.
    ///
    /// # Errors
    /// The database cannot be written to; [`StoreError::is_damage`] tells whether it will be so again.
    pub fn take(&mut self, records: &[Record]) -> Result<Taken, StoreError> {
        self.write(|batch| batch.records(records))
    }

    /// Asks something of the database.
    pub(in crate::hooks) fn read<T>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        ask(&self.conn).map_err(|e| self.error(e))
    }

    fn error(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}
