//! `.session_stopped.<agent>` beside the sessions: an agent whose recording somebody stopped is not recorded by itself the next time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::kit::file;
use crate::project::is_agent_id;

/// How its name begins.
const PREFIX: &str = ".session_stopped.";

fn path(sessions: &Path, agent: &str) -> Option<PathBuf> {
    is_agent_id(agent).then(|| sessions.join(format!("{PREFIX}{agent}")))
}

/// Notes in the directory of the sessions that the recording of `agent` was stopped at `now`.
///
/// # Errors
/// The disk refuses.
pub fn mark(sessions: &Path, agent: &str, now: Timestamp) -> io::Result<()> {
    path(sessions, agent).map_or(Ok(()), |path| file::write_atomic(&path, now.to_string().as_bytes(), 0o600))
}

/// Whether it was noted; from now on it is not.
pub fn take(sessions: &Path, agent: &str) -> bool {
    path(sessions, agent).is_some_and(|path| fs::remove_file(path).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_once_and_for_one_agent() {
        let dir = tempfile::tempdir().unwrap();
        mark(dir.path(), "OxTndR", Timestamp::UNIX_EPOCH).unwrap();
        mark(dir.path(), "../OxTnd", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(!take(dir.path(), "OxAAAA"));
        assert!(take(dir.path(), "OxTndR") && !take(dir.path(), "OxTndR"));
    }
}
