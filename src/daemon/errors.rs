//! Failures that last, mirrored into the stored errors of the projects they concern.

use super::core::Core;
use super::event::{Effect, Id, Key};
use super::presence::fitting;
use crate::health::errors::Code;
use crate::ipc::ConnId;
use crate::ipc::wire::{MarkErrors, Response};
use crate::kit::Class;
use crate::kit::clock::Now;
use crate::sync::Failure;

/// A failure of a kind that may pass by itself is stored when it has happened this often in a row.
const IN_A_ROW: u32 = 2;

/// A run on a clone has failed, for the `failures`th time in a row. Stored once, until the clone is level again or fails for another
/// reason: who has seen it is not told of it every minute.
pub(super) fn mirror(core: &mut Core, now: Now, key: &Key, failure: &Failure, failures: u32) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    if failure.class == Class::Network && repo.host().is_some() {
        return;
    }
    let Some(code) = code_of(failure, failures) else { return };
    if repo.stored == Some(code) {
        return;
    }
    repo.stored = Some(code);
    let text = format!("{}: {}", repo.noun(), failure.text);
    for id in core.users(key) {
        store(core, now, &id, code, &text);
    }
}

/// Which code a failure is stored under; `None` if it may still pass.
fn code_of(failure: &Failure, failures: u32) -> Option<Code> {
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

/// Stores an error of a project.
pub(super) fn store(core: &mut Core, now: Now, id: &Id, code: Code, text: &str) {
    let random = u128::from(core.rng.next_u64()) << 64 | u128::from(core.rng.next_u64());
    let Some(project) = core.projects.get_mut(id) else { return };
    project.errors.add(now.wall, random, code, text);
    save(core, now, id);
}

fn save(core: &mut Core, now: Now, id: &Id) {
    let Some(project) = core.projects.get_mut(id) else { return };
    project.errors.prune(now.wall);
    project.dirty = true;
    core.out.push(Effect::SaveErrors { id: id.clone(), errors: project.errors.clone() });
}

/// The answer to `get_errors`.
pub(super) fn unviewed(core: &mut Core, conn: ConnId, id: &Id) {
    let all = core.projects.get(id).map(|p| fitting(p.errors.unviewed())).unwrap_or_default();
    let response = Response::data(&all);
    core.out.push(Effect::Reply(conn, response));
}

/// The answer to `mark_errors`.
pub(super) fn mark(core: &mut Core, now: Now, conn: ConnId, id: &Id, ask: &MarkErrors) {
    if core.projects.get_mut(id).is_some_and(|p| p.errors.mark(&ask.ids)) {
        save(core, now, id);
    }
    core.out.push(Effect::Reply(conn, Response::ok()));
}
