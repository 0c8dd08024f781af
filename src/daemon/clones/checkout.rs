//! Clones that somebody asks for by path: the path is checked first, then the clone is made in a clone slot.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::event::{Effect, Timer};
use super::{Clones, LINE_EVERY, WAITING_MAX};
use crate::daemon::cx::{Cx, NOT_ATTACHED};
use crate::daemon::fact::Fact;
use crate::daemon::names::{Id, JobId, Key};
use crate::ipc::ConnId;
use crate::ipc::wire::{Checkout, CheckoutResult, Progress, Response};
use crate::sync::Urgency;

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

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// There is never a second job on one path.
fn job(key: &Key) -> JobId {
    JobId { key: key.clone(), run: 0 }
}

impl Clones {
    /// The answer to `checkout`, once the clone is there. A second request for the same path joins the first.
    pub(in crate::daemon) fn checkout_asked(
        &mut self,
        cx: &mut Cx,
        conn: ConnId,
        id: &Id,
        checkout: Checkout,
    ) {
        let Some(root) = cx.shared.project(id).map(|p| p.root.clone()) else {
            return cx.reply(conn, Response::error(NOT_ATTACHED));
        };
        let key = Key::Checkout(Id::from(checkout.repo_path.as_str()));
        if let Some(wanted) = self.checkouts.0.get_mut(&key) {
            if wanted.waiting.len() >= WAITING_MAX || wanted.checkout != checkout {
                return cx.reply(conn, Response::busy("checkout"));
            }
            wanted.waiting.push((conn, id.clone()));
            return;
        }
        if self.checkouts.0.len() >= WAITING_MAX {
            return cx.reply(conn, Response::busy("checkout"));
        }
        let progress = Progress::new("connecting", "looking at the path");
        let wanted = Wanted { checkout: checkout.clone(), root, waiting: vec![(conn, id.clone())], progress };
        self.checkouts.0.insert(key.clone(), wanted);
        cx.set_in(Timer::Line(key.clone()), LINE_EVERY);
        cx.push(Effect::CheckPath { key, checkout });
    }

    /// The path has been checked: it is refused, there is a clone already, or one may be made once a slot is free.
    pub(super) fn path_checked(&mut self, cx: &mut Cx, key: &Key, result: Result<CheckoutResult, String>) {
        match result {
            Ok(found) if !found.already_exists => {
                if self.slots.take(cx.now.mono, &job(key), Urgency::default()) {
                    self.start_checkout(cx, key);
                } else {
                    let line = Progress::new("connecting", "waiting for a clone slot");
                    self.checkout_progress(cx, key, line);
                    self.plan_slots(cx);
                }
            }
            done => self.checkout_ended(cx, key, done),
        }
    }

    /// A slot is free: the clone begins.
    pub(super) fn start_checkout(&mut self, cx: &mut Cx, key: &Key) {
        if let Some(wanted) = self.checkouts.0.get(key) {
            let (root, checkout) = (wanted.root.clone(), wanted.checkout.clone());
            cx.push(Effect::Checkout { job: job(key), root, checkout });
        }
    }

    /// Whoever waits hears how far it is.
    pub(super) fn checkout_progress(&mut self, cx: &mut Cx, key: &Key, line: Progress) {
        let Some(wanted) = self.checkouts.0.get_mut(key) else { return };
        for (conn, _) in &wanted.waiting {
            cx.progress(*conn, line.clone());
        }
        wanted.progress = line;
        cx.set_in(Timer::Line(key.clone()), LINE_EVERY);
    }

    /// Nothing new for a while: the last line again.
    pub(super) fn checkout_still_running(&mut self, cx: &mut Cx, key: &Key) {
        if let Some(last) = self.checkouts.0.get(key).map(|w| w.progress.clone()) {
            self.checkout_progress(cx, key, last);
        }
    }

    /// It is there, or will not be.
    pub(super) fn checkout_ended(&mut self, cx: &mut Cx, key: &Key, result: Result<CheckoutResult, String>) {
        cx.set(Timer::Line(key.clone()), None);
        let response = match result {
            Ok(done) => Response::data(&done),
            Err(text) => {
                log::warn!("{key}: {text}");
                Response::error(text)
            }
        };
        if let Some(wanted) = self.checkouts.0.remove(key) {
            for (conn, id) in wanted.waiting {
                cx.reply(conn, response.clone());
                // It may be one of the clones that are kept up to date.
                cx.tell(Fact::FilesChanged(id));
            }
        }
        self.free_slot(cx, &job(key));
    }
}
