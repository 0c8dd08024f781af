//! One function a message that the core answers.

use std::path::{Path, PathBuf};

use super::core::Core;
use super::event::{Door, Effect, Id, Key};
use super::repo::{Repo, Waiter};
use super::schedule::WAITING_MAX;
use super::{checkout, errors, gc, presence, teams, whispers};
use crate::ipc::wire::{Attach, Doctor, ProjectInfo, Projects, Response};
use crate::ipc::{ConnId, Request};
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;
use crate::project::check_named_path;

/// The answer to everything once the end has begun.
pub(super) const STOPPING: &str = "daemon is stopping";
const NOT_ATTACHED: &str = "project is not attached";

pub(super) fn handle(core: &mut Core, now: Now, conn: ConnId, door: Door, caller: &str, request: Request) {
    if core.closing {
        let one_way =
            matches!(request, Request::Heartbeat(_) | Request::Murmur(_) | Request::MurmurPause { .. });
        if !one_way {
            core.out.push(Effect::Reply(conn, Response::busy(STOPPING)));
        }
        return;
    }
    match (request, door) {
        (Request::Sync, Door::Project(id)) => sync(core, now, conn, &id),
        (Request::TeamSync(ask), Door::Project(id)) => teams::team_sync(core, conn, &id, ask.team),
        (Request::Checkout(ask), Door::Project(id)) => checkout::asked(core, now, conn, &id, ask),
        (Request::TriggerGc(ask), Door::Project(id)) => gc::asked(core, now, conn, &id, ask),
        (Request::Doctor, Door::Project(id)) => doctor(core, now, conn, &id),
        (Request::Heartbeat(beat), Door::Project(id)) => presence::heartbeat(core, now, &id, caller, &beat),
        (Request::Instances(ask), Door::Project(id)) => {
            reply_of(core, conn, &id, |project| presence::instances(project, now.mono, ask.detail));
        }
        (Request::Sessions, Door::Project(id)) => {
            reply_of(core, conn, &id, |project| presence::sessions(project, now.mono));
        }
        (Request::GetErrors, Door::Project(id)) => errors::unviewed(core, conn, &id),
        (Request::MarkErrors(ask), Door::Project(id)) => errors::mark(core, now, conn, &id, &ask),
        (Request::Murmur(murmur), Door::Project(id)) => whispers::murmur(core, &id, murmur),
        (Request::MurmurPause { agent, paused }, Door::Project(id)) => {
            whispers::pause(core, &id, agent.agent_id, paused);
        }
        (Request::Whispers(ask), Door::Project(id)) => whispers::pending(core, conn, &id, &ask),
        (Request::WhisperHistory(ask), Door::Project(id)) => whispers::history(core, conn, &id, ask),
        (Request::Stop, door) => core.out.push(Effect::ReplyStop(conn, door)),
        (Request::Attach(attach), Door::Host) => attach_project(core, conn, &attach),
        (Request::Projects, Door::Host) => projects(core, conn),
        (request, door) => {
            log::error!("bug: {request:?} came in at {door:?}");
            core.out.push(Effect::Reply(conn, Response::error(crate::ipc::wire::text::UNKNOWN_TYPE)));
        }
    }
}

/// Answers from what is known of a project.
fn reply_of(
    core: &mut Core,
    conn: ConnId,
    id: &Id,
    answer: impl FnOnce(&super::attach::Project) -> Response,
) {
    let response = core.projects.get(id).map_or_else(|| Response::error(NOT_ATTACHED), answer);
    core.out.push(Effect::Reply(conn, response));
}

/// Starts a sync now, or joins the one in progress; the answer comes when it has ended.
fn sync(core: &mut Core, now: Now, conn: ConnId, id: &Id) {
    let key = Key::Ledger(id.clone());
    let Some(repo) = core.repos.get_mut(&key) else {
        core.out.push(Effect::Reply(conn, Response::error(NOT_ATTACHED)));
        return;
    };
    if repo.waiting.len() >= WAITING_MAX {
        core.out.push(Effect::Reply(conn, Response::busy("sync")));
        return;
    }
    core.wait_for(now, &key, Waiter::Conn(conn));
}

/// Looks for missing clones: those that are not there and may be tried are begun now.
fn doctor(core: &mut Core, now: Now, conn: ConnId, id: &Id) {
    let missing = |(_, r): &(&Key, &Repo)| {
        let absent = r.place.as_ref().is_none_or(|place| !place.exists);
        r.users.contains(id) && absent && r.schedule.backoff().is_none() && r.schedule.running().is_none()
    };
    let keys: Vec<Key> = core.repos.iter().filter(missing).map(|(key, _)| key.clone()).collect();
    for key in &keys {
        if let Some(repo) = core.repos.get_mut(key) {
            repo.schedule.force();
        }
        core.start_due(now, key);
    }
    core.load(id);
    let errors = core.projects.get(id).map(|p| p.problems.clone()).unwrap_or_default();
    let clones_triggered = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let done = Doctor { anti_entropy_triggered: true, clones_triggered, errors, ..Doctor::default() };
    core.out.push(Effect::Reply(conn, Response::data(&done)));
}

fn attach_project(core: &mut Core, conn: ConnId, asked: &Attach) {
    let ours = &core.identity.data;
    if !asked.data_dir.is_empty() && Path::new(&asked.data_dir) != ours {
        let text =
            format!("this daemon serves the data in {}, not those in {}", ours.display(), asked.data_dir);
        return core.out.push(Effect::Reply(conn, Response::error(text)));
    }
    let root = PathBuf::from(&asked.project_root);
    if check_named_path(&root).is_ok() {
        core.attach(root, Some(conn));
    } else {
        let text = "invalid attach payload: project_root must be an absolute path without ..";
        core.out.push(Effect::Reply(conn, Response::error(text)));
    }
}

fn projects(core: &mut Core, conn: ConnId) {
    let info = |(id, p): (&Id, &super::attach::Project)| ProjectInfo {
        workspace_id: id.to_string(),
        project_root: p.root.to_string_lossy().into_owned(),
        repo_id: p.repo_id.clone(),
        socket_path: p.socket.to_string_lossy().into_owned(),
        attached_at: GoTime::from(p.attached.wall),
    };
    let projects = core.projects.iter().map(info).collect();
    core.out.push(Effect::Reply(conn, Response::data(&Projects { projects })));
}

/// The answer to `stop` is out: now it may happen.
pub(super) fn stop_answered(core: &mut Core, now: Now, door: Door) {
    match door {
        Door::Host => core.close(now, "asked to"),
        Door::Project(id) => {
            core.detach(now, &id, false);
            core.end_if_empty(now, "asked to");
        }
    }
}
