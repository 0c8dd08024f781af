//! What records want done and wait for.

use crate::daemon::names::Id;
use crate::health::StoredErrors;
use crate::health::beats::Line;

/// Which heartbeat file of an endpoint a line goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeartbeatFile {
    /// `<repo_id>_<workspace_id>.jsonl`.
    Project,
    /// `<repo_id>_<workspace_id>_ledger.jsonl`.
    Ledger,
    /// `<team_id>.jsonl`: of all daemons the last that writes wins.
    Team(String),
}

/// What records want done.
#[derive(Debug)]
pub enum Effect {
    /// Add lines to the heartbeat files of a project.
    WriteHeartbeats {
        /// Whose.
        id: Id,
        /// Directory name of its endpoint.
        slug: String,
        /// Its repository.
        repo_id: String,
        /// The lines.
        lines: Vec<(HeartbeatFile, Line)>,
    },
    /// Write down a project's stored errors.
    SaveErrors {
        /// Whose.
        id: Id,
        /// All of them.
        errors: StoredErrors,
    },
}

/// Heartbeat files are due: [`super::HEARTBEATS_EVERY`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer;
