//! What is written down about projects: stored errors, the history and figures of syncs, and heartbeat files.

mod errors;
pub mod event;
mod heartbeats;
pub(super) mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use super::names::{Id, Key};
use crate::health::errors::Code;
use crate::health::{History, Metrics, StoredErrors, SyncKind, SyncRecord};
use crate::kit::Class;
use crate::sync::{Change, Failure, Kind};
use event::{Effect, Timer};

/// Heartbeat files are written this often.
pub const HEARTBEATS_EVERY: Duration = Duration::from_secs(5 * 60);

/// The records of all projects.
#[derive(Debug, Default)]
pub(super) struct Records {
    projects: BTreeMap<Id, Record>,
    /// What the failures of clones are stored under, since each was up to date last.
    stored: BTreeMap<Key, Code>,
}

/// The records of one project.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) history: History,
    pub(super) metrics: Metrics,
    pub(super) errors: StoredErrors,
    /// A sync of its ledger has ended since it was attached.
    has_synced: bool,
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Records(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Records(timer)
    }
}

impl Records {
    pub(super) fn start(&mut self, cx: &mut Cx) {
        cx.set_in(Timer, HEARTBEATS_EVERY);
    }

    pub(super) fn due(&mut self, cx: &mut Cx, Timer: Timer) {
        cx.set_in(Timer, HEARTBEATS_EVERY);
        let ids: Vec<Id> = self.projects.keys().cloned().collect();
        ids.iter().for_each(|id| self.write_heartbeats(cx, id));
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Attached { id, errors, .. } => {
                let record = Record { errors: errors.clone(), ..Record::default() };
                self.projects.insert(id.clone(), record);
            }
            // The first time with what its clones are.
            Fact::Loaded { id, .. } if cx.shared.project(id).is_some_and(|p| p.attached == cx.now) => {
                self.write_heartbeats(cx, id);
            }
            Fact::Detached { id, .. } => drop(self.projects.remove(id)),
            Fact::Dropped(key) => drop(self.stored.remove(key)),
            Fact::UpToDate { key, change, took } => self.up_to_date(cx, key, change, *took),
            Fact::Failed { offline: true, .. } => {}
            Fact::Failed { key, failure, failures, .. } => self.failed(cx, key, failure, *failures),
            Fact::RunEnded(key) => self.run_ended(cx, key),
            Fact::LoginRefused { ids, text } => {
                ids.iter().for_each(|id| self.store(cx, id, Code::AuthExpired, text));
            }
            _ => {}
        }
    }

    /// Those of a project, for its status.
    pub(super) fn of(&self, id: &Id) -> Option<&Record> {
        self.projects.get(id)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.projects.len() + self.stored.len()
    }

    /// Writes a sync that moved commits into history and metrics of all projects that use the clone. One that found nothing new is none,
    /// as with the Go program.
    fn up_to_date(&mut self, cx: &mut Cx, key: &Key, change: &Change, took: Duration) {
        let solved = self.stored.remove(key);
        let Some(row) = cx.shared.clone_row(key) else { return };
        if let Some(code) = solved {
            row.users.clone().iter().for_each(|id| self.solved(cx, id, code));
        }
        let Some(row) = cx.shared.clone_row(key) else { return };
        let (kind, workspace) = (row.target.kind(), row.target.workspace_id());
        let event = |kind, files_changed| SyncRecord {
            time: cx.now.wall,
            kind,
            workspace: workspace.to_string(),
            took,
            files_changed,
        };
        for id in &row.users {
            let Some(record) = self.projects.get_mut(id) else { continue };
            if kind == Kind::Ledger {
                record.history.solved();
            }
            match kind {
                Kind::Ledger if change.pulled => {
                    record.metrics.pulled(cx.now.wall, took, change.diverged);
                    record.history.synced(event(SyncKind::Pull, change.files_in));
                }
                Kind::Team if change.pulled => {
                    record.metrics.team_synced();
                    record.history.synced(event(SyncKind::Team, change.files_in));
                }
                _ => {}
            }
            if change.pushed > 0 {
                record.history.synced(event(SyncKind::Push, 0));
            }
        }
    }

    /// A run on a clone has failed, and not because its host does not answer.
    fn failed(&mut self, cx: &mut Cx, key: &Key, failure: &Failure, failures: u32) {
        let Some(row) = cx.shared.clone_row(key) else { return };
        let (kind, users) = (row.target.kind(), row.users.clone());
        let text = format!("{}: {}", row.target.noun(), failure.text);
        for id in &users {
            let Some(record) = self.projects.get_mut(id) else { continue };
            match kind {
                Kind::Ledger => {
                    record.metrics.failed(cx.now.wall, failure.class == Class::Conflict);
                    record.history.failed(cx.now.wall, failure.text.clone());
                }
                Kind::Team => record.metrics.team_failed(),
            }
        }
        // Stored once, until the clone is up to date again or fails for another reason: who has seen it is not told of it every minute.
        let Some(code) = errors::code_of(failure, failures) else { return };
        if self.stored.insert(key.clone(), code) != Some(code) {
            users.iter().for_each(|id| self.store(cx, id, code, &text));
        }
    }

    /// A run on a clone has ended, well or not. With the first one of its ledger a project is no longer starting.
    fn run_ended(&mut self, cx: &mut Cx, key: &Key) {
        let Key::Ledger(id) = key else { return };
        let Some(record) = self.projects.get_mut(id) else { return };
        if !std::mem::replace(&mut record.has_synced, true) {
            self.write_heartbeats(cx, id);
        }
    }
}
