//! `.sageox/cache/sync-state.json` in a clone: when it was last in step with its remote. Other programs read it too.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Error, limits};
use crate::kit::gotime::GoTime;
use crate::kit::openat;

/// The directories below the clone.
const DIRS: [&str; 2] = [".sageox", "cache"];
const NAME: &str = "sync-state.json";

/// The state of one clone. All keys are always written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncState {
    /// The last success, UTC; zero for never.
    pub last_sync: GoTime,
    /// The commit the clone stood at then; empty if unknown.
    pub last_sync_commit: String,
    /// Failures since the last success.
    pub consecutive_failures: u32,
}

/// Readers of other programs take a clone for stale whose last sync is a day old.
const OUTDATED: SignedDuration = SignedDuration::from_hours(6);

impl SyncState {
    /// Whether a sync that brought nothing is to be written down all the same: failures have ended with it, or it was long ago.
    pub fn is_outdated(&self, now: Timestamp) -> bool {
        self.consecutive_failures > 0
            || self.last_sync.0.is_none_or(|last| now.duration_since(last) >= OUTDATED)
    }

    /// The clone's state. Missing, unreadable or damaged is never synced: it is only a note for readers.
    pub fn load(clone: &Path) -> SyncState {
        openat::read(clone, &DIRS, NAME, limits::SYNC_STATE_MAX)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Notes a success at `now` with the clone at `commit`.
    pub fn succeeded(&mut self, now: Timestamp, commit: &str) {
        *self =
            SyncState { last_sync: now.into(), last_sync_commit: commit.to_owned(), consecutive_failures: 0 };
    }

    /// Notes a failure.
    pub fn failed(&mut self) {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
    }

    /// Replaces the clone's state file (0600, its directories 0755 if they must be made).
    ///
    /// # Errors
    /// `Write`: the clone is gone, a directory on the way is a link, or the disk refuses.
    pub fn save(&self, clone: &Path) -> Result<(), Error> {
        let write = || {
            let text = serde_json::to_vec_pretty(self)?;
            openat::replace(clone, &DIRS, NAME, &text)
        };
        write().map_err(|e| Error::write(&path(clone), e))
    }
}

fn path(clone: &Path) -> PathBuf {
    clone.join(DIRS[0]).join(DIRS[1]).join(NAME)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn state() -> SyncState {
        let mut state = SyncState::default();
        state.succeeded("2026-03-01T10:00:00.5Z".parse().unwrap(), "abc");
        state
    }

    #[test]
    fn the_file_has_all_keys_and_is_read_back() {
        let clone = tempfile::tempdir().unwrap();
        let path = path(clone.path());
        state().save(clone.path()).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\n  \"last_sync\": \"2026-03-01T10:00:00.5Z\",\n  \"last_sync_commit\": \"abc\",\n  \"consecutive_failures\": 0\n}"
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut state = SyncState::load(clone.path());
        state.failed();
        state.failed();
        state.save(clone.path()).unwrap();
        assert_eq!(SyncState::load(clone.path()).consecutive_failures, 2);
        assert_eq!(SyncState::load(clone.path()).last_sync_commit, "abc");
        // Also after a writer that was killed.
        fs::write(path.with_file_name(".sync-state.json.tmp"), "{").unwrap();
        state.save(clone.path()).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn missing_and_damaged_are_never_synced() {
        let clone = tempfile::tempdir().unwrap();
        assert_eq!(SyncState::load(clone.path()), SyncState::default());
        state().save(clone.path()).unwrap();
        for text in ["", "{", "[]", "{\"consecutive_failures\":-1}", "{\"last_sync\":\"soon\"}"] {
            fs::write(path(clone.path()), text).unwrap();
            assert_eq!(SyncState::load(clone.path()), SyncState::default(), "{text:?}");
        }
        assert_eq!(
            serde_json::to_string(&SyncState::default()).unwrap(),
            r#"{"last_sync":"0001-01-01T00:00:00Z","last_sync_commit":"","consecutive_failures":0}"#
        );
    }

    #[test]
    fn sec_03_no_link_leads_out_of_the_clone() {
        let (clone, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sageox = clone.path().join(".sageox");
        let victim = outside.path().join("victim");
        fs::write(&victim, "keep").unwrap();
        fs::create_dir(outside.path().join("cache")).unwrap();

        symlink(outside.path(), &sageox).unwrap();
        assert!(state().save(clone.path()).is_err());
        fs::remove_file(&sageox).unwrap();

        fs::create_dir(&sageox).unwrap();
        symlink(outside.path().join("cache"), sageox.join("cache")).unwrap();
        assert!(state().save(clone.path()).is_err());
        fs::remove_file(sageox.join("cache")).unwrap();

        // A link in the file's own place is replaced, and so is one that waits under the temporary name.
        fs::create_dir(sageox.join("cache")).unwrap();
        symlink(&victim, path(clone.path())).unwrap();
        symlink(&victim, sageox.join(format!("cache/.{NAME}.{}.tmp", std::process::id()))).unwrap();
        assert_eq!(SyncState::load(clone.path()), SyncState::default());
        state().save(clone.path()).unwrap();
        assert_eq!(SyncState::load(clone.path()), state());

        assert_eq!(fs::read_to_string(&victim).unwrap(), "keep");
        assert_eq!(fs::read_dir(outside.path().join("cache")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_clone_that_is_gone_is_not_made() {
        let tmp = tempfile::tempdir().unwrap();
        assert!(state().save(&tmp.path().join("gone")).is_err());
        assert!(!tmp.path().join("gone").exists());
    }
}
