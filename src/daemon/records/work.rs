//! What workers do for records: they write errors and heartbeat files.

use std::path::PathBuf;

use super::event::{Effect, HeartbeatFile};
use crate::daemon::host::lanes::Lanes;
use crate::daemon::host::latest::Latest;
use crate::daemon::names::Id;
use crate::health::StoredErrors;
use crate::health::beats::{self, Line};

/// Lines of one heartbeat file that wait for the disk; beyond them the oldest go.
const LINES_WAITING_MAX: usize = 100;

/// What the work for records needs.
pub(in crate::daemon) struct Work {
    errors: Latest<Id, StoredErrors>,
    /// By file, so that two projects never append to one team's at once.
    heartbeats: Latest<PathBuf, Vec<Line>>,
}

impl Work {
    pub(in crate::daemon) fn new(lanes: &Lanes) -> Work {
        let dirs = lanes.site.dirs.clone();
        let save = move |id: &Id, errors: StoredErrors| {
            let path = dirs.project_errors(id);
            if let Err(e) = errors.save(&path) {
                log::warn!("{}: {e}", path.display());
            }
        };
        let append = |path: &PathBuf, lines: Vec<Line>| {
            for line in &lines {
                if let Err(e) = beats::append(path, line) {
                    log::debug!("{}: {e}", path.display());
                }
            }
        };
        Work { errors: Latest::new(save), heartbeats: Latest::new(append) }
    }

    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        match effect {
            Effect::SaveErrors { id, errors } => self.errors.put(lanes, id, errors),
            Effect::WriteHeartbeats { id, slug, repo_id, lines } => {
                for (file, line) in lines {
                    let dirs = &lanes.site.dirs;
                    let path = match file {
                        HeartbeatFile::Project => dirs.heartbeat(&slug, &format!("{repo_id}_{id}")),
                        HeartbeatFile::Ledger => dirs.heartbeat(&slug, &format!("{repo_id}_{id}_ledger")),
                        HeartbeatFile::Team(team) => dirs.heartbeat(&slug, &team),
                    };
                    self.heartbeats.merge(lanes, path, |waiting| {
                        let mut lines = waiting.unwrap_or_default();
                        lines.push(line);
                        let over = lines.len().saturating_sub(LINES_WAITING_MAX);
                        lines.drain(..over);
                        lines
                    });
                }
            }
        }
    }

    /// Writes what no worker had room for.
    pub(in crate::daemon) fn end(&self) {
        self.errors.finish();
        self.heartbeats.finish();
    }
}
