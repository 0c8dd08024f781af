//! Errors that lasted, kept on disk until somebody has seen them.
//!
//! The file is the Go program's: a JSON array of records, newest last, at `<state>/daemon/errors-<workspace_id>.json`, 0600.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::kit::file;
use crate::kit::gotime::GoTime;

/// So many are kept; the oldest goes first.
pub const STORED_MAX: usize = 100;
/// So long they are kept.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// A longer message is cut off.
pub const MESSAGE_MAX: usize = 2000;
/// A longer file is not one of ours.
const FILE_MAX: usize = 4 << 20;

/// What kind of failure it was. A new one replaces the stored one of the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Syncs fail, and none of the others says why.
    SyncFailed,
    /// The login is not taken.
    AuthExpired,
    /// Both sides changed the same thing and no rule decides.
    GitConflict,
    /// The disk is full.
    DiskFull,
    /// A file may not be read or written.
    PermissionDenied,
}

impl Code {
    /// Its name in messages and files.
    pub fn name(self) -> &'static str {
        match self {
            Code::SyncFailed => "sync_failed",
            Code::AuthExpired => "auth_expired",
            Code::GitConflict => "git_conflict",
            Code::DiskFull => "disk_full",
            Code::PermissionDenied => "permission_denied",
        }
    }
}

/// One stored error, as in the file and in messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredError {
    /// Unique.
    pub id: String,
    /// For people.
    pub message: String,
    /// Such as `sync_failed`.
    pub code: String,
    /// When it happened last.
    pub timestamp: GoTime,
    /// Somebody has seen it.
    pub viewed: bool,
    /// `warning` or `error`.
    pub severity: String,
}

/// The stored errors of a project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredErrors {
    all: Vec<StoredError>,
}

impl StoredErrors {
    /// Stores an error under a new id made of the time and `random`, or in the place of the one with the same code; that keeps its id and is to be seen again.
    pub fn add(&mut self, now: Timestamp, random: u128, code: Code, message: &str) {
        let cut = message.floor_char_boundary(MESSAGE_MAX);
        let old = self.all.iter().position(|e| e.code == code.name()).map(|at| self.all.remove(at));
        if self.all.len() >= STORED_MAX {
            self.all.remove(0);
        }
        self.all.push(StoredError {
            id: old.map_or_else(|| new_id(now, random), |old| old.id),
            message: message[..cut].to_string(),
            code: code.name().to_string(),
            timestamp: GoTime::from(now),
            viewed: false,
            severity: "error".to_string(),
        });
    }

    /// Somebody has seen these; none means all. True if that is new of any of them. Unknown ids are left out.
    pub fn mark(&mut self, ids: &[String]) -> bool {
        let seen = |e: &&mut StoredError| !e.viewed && (ids.is_empty() || ids.contains(&e.id));
        self.all.iter_mut().filter(seen).map(|e| e.viewed = true).count() > 0
    }

    /// What goes by this code is over, and counts as seen. True if nobody had seen it.
    pub fn solved(&mut self, code: Code) -> bool {
        let open = |e: &&mut StoredError| !e.viewed && e.code == code.name();
        self.all.iter_mut().filter(open).map(|e| e.viewed = true).count() > 0
    }

    /// Those nobody has seen, newest first.
    pub fn unviewed(&self) -> impl Iterator<Item = &StoredError> {
        self.newest_first().filter(|e| !e.viewed)
    }

    /// All, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &StoredError> {
        self.all.iter().rev()
    }

    /// Forgets those that are older than [`KEPT`]. True if there were any.
    pub fn prune(&mut self, now: Timestamp) -> bool {
        let before = self.all.len();
        let first = now.checked_sub(KEPT).ok();
        self.all.retain(|e| e.timestamp.0 > first);
        self.all.len() != before
    }

    /// Reads the file. A missing one is empty. Of a damaged one all records before the damage are taken; what is damaged or cannot be
    /// read is put beside as `….damaged`, where it stays until the next one, and what was taken is written anew.
    ///
    /// # Errors
    /// It could not be put there.
    pub fn load(path: &Path) -> io::Result<(StoredErrors, Option<PathBuf>)> {
        let (mut all, whole) = match file::read_capped(path, FILE_MAX) {
            Ok(bytes) => parse(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(_) => (Vec::new(), false),
        };
        all.sort_by_key(|e| e.timestamp);
        all.drain(..all.len().saturating_sub(STORED_MAX));
        let mut aside = None;
        if !whole {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".damaged");
            let to = path.with_file_name(name);
            fs::rename(path, &to)?;
            aside = Some(to);
        }
        let stored = StoredErrors { all };
        if aside.is_some()
            && !stored.all.is_empty()
            && let Err(e) = stored.save(path)
        {
            log::warn!("{}: {e}; what was good in it is in memory alone", path.display());
        }
        Ok((stored, aside))
    }

    /// Reads the file and leaves it as it is. A missing one is empty; of a damaged one the records before the damage are taken.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn peek(path: &Path) -> io::Result<StoredErrors> {
        match file::read_capped(path, FILE_MAX) {
            Ok(bytes) => Ok(StoredErrors { all: parse(&bytes).0 }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(StoredErrors::default()),
            Err(e) => Err(e),
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It could not be written; the old one is untouched.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        file::write_atomic(path, &serde_json::to_vec_pretty(&self.all)?, 0o600)
    }
}

/// A UUID version 7.
fn new_id(now: Timestamp, random: u128) -> String {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&random.to_le_bytes()[..10]);
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid().to_string()
}

/// The records of a file, and whether it was whole.
fn parse(bytes: &[u8]) -> (Vec<StoredError>, bool) {
    struct Records<'a>(&'a mut Vec<StoredError>);
    impl<'de> Visitor<'de> for Records<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of errors")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while let Some(record) = seq.next_element()? {
                self.0.push(record);
            }
            Ok(())
        }

        /// What Go writes for an empty list.
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    }
    let mut all = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let whole = json.deserialize_any(Records(&mut all)).and_then(|()| json.end()).is_ok();
    (all, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    fn ids<'a>(list: impl Iterator<Item = &'a StoredError>) -> Vec<&'a str> {
        list.map(|e| e.id.as_str()).collect()
    }

    fn two() -> StoredErrors {
        let mut errors = StoredErrors::default();
        errors.add(at(1), 1, Code::AuthExpired, "login");
        errors.add(at(2), 2, Code::DiskFull, "disk");
        for (error, id) in errors.all.iter_mut().zip(["one", "two"]) {
            assert_eq!(uuid::Uuid::parse_str(&error.id).unwrap().get_version_num(), 7);
            error.id = id.into();
        }
        errors
    }

    #[test]
    fn the_same_code_keeps_its_id_and_is_to_be_seen_again() {
        let mut errors = two();
        assert_eq!(ids(errors.unviewed()), ["two", "one"]);
        assert!(errors.mark(&["one".into(), "nobody".into()]));
        assert!(!errors.mark(&["one".into()]));
        assert_eq!(ids(errors.unviewed()), ["two"]);
        errors.add(at(3), 3, Code::AuthExpired, "again");
        assert_eq!(ids(errors.unviewed()), ["one", "two"]);
        assert!(errors.mark(&[]));
        assert_eq!((errors.unviewed().count(), errors.newest_first().count()), (0, 2));
    }

    #[test]
    fn they_are_kept_for_thirty_days() {
        let mut errors = two();
        let days = i64::try_from(KEPT.as_secs()).unwrap();
        assert!(!errors.prune(at(days)));
        assert!(errors.prune(at(1 + days)));
        assert_eq!(ids(errors.newest_first()), ["two"]);
    }

    #[test]
    fn a_file_is_read_again_as_it_was_written_and_a_missing_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("errors-1.json");
        assert_eq!(StoredErrors::load(&path).unwrap(), (StoredErrors::default(), None));
        two().save(&path).unwrap();
        assert_eq!(StoredErrors::load(&path).unwrap(), (two(), None));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(
            "[\n  {\n    \"id\": \"one\",\n    \"message\": \"login\",\n    \"code\": \"auth_expired\","
        ));
        for empty in ["null", "[]", " [ ] \n"] {
            fs::write(&path, empty).unwrap();
            assert_eq!(StoredErrors::load(&path).unwrap(), (StoredErrors::default(), None), "{empty}");
        }
    }

    #[test]
    fn res_07_of_a_damaged_file_everything_before_the_damage_is_kept_and_the_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("errors-1.json");
        two().save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let second = whole.windows(5).position(|w| w == b"\"two\"").unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (errors, aside) = StoredErrors::load(&path).unwrap();
            let aside = aside.expect("a truncated file is not whole");
            assert_eq!(fs::read(&aside).unwrap(), &whole[..cut]);
            // What was good is in its place at once, for whoever reads the file.
            assert_eq!(path.exists(), errors != StoredErrors::default());
            assert_eq!(StoredErrors::load(&path).unwrap(), (errors.clone(), None), "{cut}");
            fs::remove_file(&aside).unwrap();
            if cut > second {
                assert_eq!(errors.newest_first().last().map(|e| e.id.as_str()), Some("one"), "{cut}");
            }
        }
        for bad in ["{}", "7", "[1]", "\0\0\0", "[]x"] {
            fs::write(&path, bad).unwrap();
            assert!(StoredErrors::load(&path).unwrap().1.is_some(), "{bad}");
        }
    }

    #[test]
    fn there_is_a_cap_and_messages_are_cut_at_characters() {
        let mut errors = two();
        errors.add(at(3), 3, Code::SyncFailed, &"é".repeat(MESSAGE_MAX));
        assert_eq!(errors.newest_first().next().unwrap().message.len(), MESSAGE_MAX);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("errors-1.json");
        let record = |n: i64| StoredError {
            id: n.to_string(),
            timestamp: GoTime::from(at(n)),
            ..StoredError::default()
        };
        fs::write(&path, serde_json::to_vec(&(0..150).map(record).collect::<Vec<_>>()).unwrap()).unwrap();
        let (errors, _) = StoredErrors::load(&path).unwrap();
        assert_eq!(errors.newest_first().count(), STORED_MAX);
        assert_eq!(ids(errors.newest_first())[0], "149");
    }
}
