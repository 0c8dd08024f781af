//! Clones that somebody asks for by path: looked at first, then made in a clone slot.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::core::Core;
use super::event::{Effect, Id, Key, RunId};
use super::schedule::{Beat, LINE_EVERY, WAITING_MAX};
use crate::ipc::ConnId;
use crate::ipc::wire::{Checkout, CheckoutResult, Progress, Response};
use crate::kit::clock::Now;
use crate::sync::{Urgency, timeout_text};

/// There is never a second piece of work on one path: this stands for its number where slots are concerned.
const ONLY: RunId = 0;

/// Clones that are wanted and not there yet, by path.
#[derive(Debug, Default)]
pub(super) struct Checkouts(BTreeMap<Key, Wanted>);

#[derive(Debug)]
struct Wanted {
    checkout: Checkout,
    root: PathBuf,
    waiting: Vec<(ConnId, Id)>,
    progress: Progress,
}

impl Checkouts {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether one of a project is under way.
    pub(super) fn any_of(&self, id: &Id) -> bool {
        self.0.values().any(|w| w.waiting.iter().any(|(_, whose)| whose == id))
    }

    /// Those of a project wait no longer; a clone in progress is finished all the same.
    pub(super) fn drop_of(&mut self, id: &Id) -> Vec<ConnId> {
        let all = self.0.values_mut().flat_map(|w| w.waiting.extract_if(.., |(_, whose)| whose == id));
        all.map(|(conn, _)| conn).collect()
    }
}

/// Somebody wants a clone at a path. A second request for the same path joins the first.
pub(super) fn asked(core: &mut Core, now: Now, conn: ConnId, id: &Id, checkout: Checkout) {
    let Some(root) = core.projects.get(id).map(|p| p.root.clone()) else {
        return core.out.push(Effect::Reply(conn, Response::error("project is not attached")));
    };
    let key = Key::Checkout(Id::from(checkout.repo_path.as_str()));
    if let Some(wanted) = core.checkouts.0.get_mut(&key) {
        if wanted.waiting.len() >= WAITING_MAX || wanted.checkout != checkout {
            return core.out.push(Effect::Reply(conn, Response::busy("checkout")));
        }
        wanted.waiting.push((conn, id.clone()));
        return;
    }
    if core.checkouts.0.len() >= WAITING_MAX {
        return core.out.push(Effect::Reply(conn, Response::busy("checkout")));
    }
    let progress = Progress::new("connecting", "looking at the path");
    let wanted = Wanted { checkout: checkout.clone(), root, waiting: vec![(conn, id.clone())], progress };
    core.checkouts.0.insert(key.clone(), wanted);
    core.deadlines.set(Beat::Line(key.clone()), Some(now.mono + LINE_EVERY));
    core.out.push(Effect::CheckPath { key, checkout });
}

/// The path has been looked at: it is refused, there is a clone already, or one may be made once a slot is free.
pub(super) fn path_checked(core: &mut Core, now: Now, key: &Key, result: Result<CheckoutResult, String>) {
    match result {
        Ok(found) if !found.already_exists => {
            let urgency = Urgency::default();
            if core.slots.take(now.mono, &(key.clone(), ONLY), urgency) {
                start(core, key);
            } else {
                progress(core, now, key, Progress::new("connecting", "waiting for a clone slot"));
                core.plan_slots();
            }
        }
        done => ended(core, now, key, done),
    }
}

/// A slot is free: the clone begins.
pub(super) fn start(core: &mut Core, key: &Key) {
    let run = core.next_run();
    if let Some(wanted) = core.checkouts.0.get(key) {
        let (root, checkout) = (wanted.root.clone(), wanted.checkout.clone());
        core.out.push(Effect::Checkout { key: key.clone(), run, root, checkout });
    }
}

/// Nobody got a slot in time.
pub(super) fn expired(core: &mut Core, now: Now, key: &Key) {
    ended(core, now, key, Err(timeout_text()));
}

/// Whoever waits hears how far it is.
pub(super) fn progress(core: &mut Core, now: Now, key: &Key, progress: Progress) {
    let Some(wanted) = core.checkouts.0.get_mut(key) else { return };
    for (conn, _) in &wanted.waiting {
        core.out.push(Effect::Progress(*conn, progress.clone()));
    }
    wanted.progress = progress;
    core.deadlines.set(Beat::Line(key.clone()), Some(now.mono + LINE_EVERY));
}

/// Nothing new for a while: the last line again.
pub(super) fn still_running(core: &mut Core, now: Now, key: &Key) {
    if let Some(last) = core.checkouts.0.get(key).map(|w| w.progress.clone()) {
        progress(core, now, key, last);
    }
}

/// It is there, or will not be.
pub(super) fn ended(core: &mut Core, now: Now, key: &Key, result: Result<CheckoutResult, String>) {
    core.deadlines.remove(&Beat::Line(key.clone()));
    let response = match result {
        Ok(done) => Response::data(&done),
        Err(text) => {
            log::warn!("{key}: {text}");
            Response::error(text)
        }
    };
    if let Some(wanted) = core.checkouts.0.remove(key) {
        for (conn, id) in wanted.waiting {
            core.out.push(Effect::Reply(conn, response.clone()));
            // It may be one of the clones that are kept level.
            core.load(&id);
        }
    }
    core.free_slot(now, key, ONLY);
}
