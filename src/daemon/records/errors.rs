//! Failures that last, in the stored errors of the projects they concern.

use super::Records;
use super::event::Effect;
use crate::daemon::cx::Cx;
use crate::daemon::names::Id;
use crate::health::errors::Code;
use crate::ipc::ConnId;
use crate::ipc::wire::{MarkErrors, Response, fitting};
use crate::kit::Class;
use crate::sync::Failure;

/// A failure of a kind that may pass by itself is stored when it has happened this often in a row.
const IN_A_ROW: u32 = 2;

/// Which code a failure is stored under; `None` if it may still pass.
pub(super) fn code_of(failure: &Failure, failures: u32) -> Option<Code> {
    match failure.class {
        Class::Auth => Some(Code::AuthExpired),
        Class::Conflict => Some(Code::GitConflict),
        // The text only chooses what it is called.
        Class::Disk if failure.text.contains("No space left") || failure.text.contains("quota") => {
            Some(Code::DiskFull)
        }
        Class::Disk if failure.text.to_lowercase().contains("permission denied") => {
            Some(Code::PermissionDenied)
        }
        _ => (failures >= IN_A_ROW).then_some(Code::SyncFailed),
    }
}

impl Records {
    /// Stores an error of a project.
    pub(super) fn store(&mut self, cx: &mut Cx, id: &Id, code: Code, text: &str) {
        let random = u128::from(cx.rng.next_u64()) << 64 | u128::from(cx.rng.next_u64());
        let Some(record) = self.projects.get_mut(id) else { return };
        record.errors.add(cx.now.wall, random, code, text);
        self.save(cx, id);
    }

    /// What was stored under a code is over: it is kept, and nobody has to look at it any more.
    pub(super) fn solved(&mut self, cx: &mut Cx, id: &Id, code: Code) {
        if self.projects.get_mut(id).is_some_and(|record| record.errors.solved(code)) {
            self.save(cx, id);
        }
    }

    fn save(&mut self, cx: &mut Cx, id: &Id) {
        let Some(record) = self.projects.get_mut(id) else { return };
        record.errors.prune(cx.now.wall);
        cx.stale(id);
        cx.push(Effect::SaveErrors { id: id.clone(), errors: record.errors.clone() });
    }

    /// The answer to `get_errors`.
    pub(in crate::daemon) fn unviewed(&self, cx: &mut Cx, conn: ConnId, id: &Id) {
        let all = self.projects.get(id).map(|r| fitting(r.errors.unviewed())).unwrap_or_default();
        cx.reply(conn, Response::data(&all));
    }

    /// The answer to `mark_errors`.
    pub(in crate::daemon) fn mark(&mut self, cx: &mut Cx, conn: ConnId, id: &Id, ask: &MarkErrors) {
        if self.projects.get_mut(id).is_some_and(|r| r.errors.mark(&ask.ids)) {
            self.save(cx, id);
        }
        cx.reply(conn, Response::ok());
    }
}
