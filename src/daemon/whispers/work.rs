//! Which worker does what of murmurs and whispers, and what the core hears of it.

use super::event::{Effect, Event, NoteOutcome};
use super::worker::WhisperWorker;
use crate::daemon::host::lanes::{Lane, Lanes, hint};
use crate::daemon::names::Id;
use crate::ipc::ConnId;
use crate::whispers::Ask;

/// What the work on whispers needs.
pub(in crate::daemon) struct Work {
    worker: WhisperWorker,
}

impl Work {
    pub(in crate::daemon) fn new(lanes: &Lanes) -> Work {
        Work { worker: WhisperWorker::new(lanes.site.clone()) }
    }

    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        let worker = self.worker.clone();
        let background = |work: Box<dyn FnOnce(&WhisperWorker) + Send>| {
            lanes.run(Lane::Disk, move || work(&worker));
        };
        match effect {
            Effect::Murmur { key, root, state, scope, murmur } => {
                let worker = self.worker.clone();
                lanes.run_and_tell(Lane::Disk, move || {
                    match worker.murmur(&root, &state, &scope, &murmur) {
                        Ok(true) => return Some(Event::Murmured(key).into()),
                        Ok(false) => {}
                        Err(e) => log::warn!("a murmur is not taken: {e}"),
                    }
                    None
                });
            }
            Effect::TellChanges { key, state, root, agents, changes, receipt } => {
                let (worker, what) = (self.worker.clone(), changes.clone());
                let work = move || {
                    let told = worker.tell_changes(&state, &root, &agents, &what);
                    receipt.map(|receipt| receipt.send(told.0 != NoteOutcome::Failed));
                    told
                };
                lanes.start(Lane::Disk, work, move |told| {
                    let (told, uncommitted) = told.unwrap_or((NoteOutcome::Failed, true));
                    Event::ChangesTold { key, told, changes, uncommitted }.into()
                });
            }
            Effect::Relay { key, relay } => {
                let (worker, stop) = (self.worker.clone(), lanes.stop.clone());
                let since = relay.removed_since.clone();
                // It may fetch.
                let work = move || worker.relay(&relay, &stop);
                lanes.start(Lane::Git, work, move |done| {
                    Event::Relayed { key, failed: (!done.unwrap_or(false)).then_some(since) }.into()
                });
            }
            Effect::Pending { conn, id, states, ask } => self.pending(lanes, conn, id, states, ask),
            Effect::History { conn, states, reader, ask } => {
                let (worker, server) = (self.worker.clone(), lanes.server.clone());
                lanes.server.work(conn, move || server.reply(conn, worker.history(&states, &reader, &ask)));
            }
            Effect::PauseNudges { state, agent, paused } => {
                background(Box::new(move |w| w.pause(&state, &agent, paused)));
            }
            Effect::Nudge { root, state, prefix, agents } => {
                background(Box::new(move |w| w.nudge(&root, &state, &prefix, &agents)));
            }
            Effect::TellActivity { state, text } => {
                background(Box::new(move |w| w.tell_activity(&state, text)));
            }
            Effect::WritePlaces => background(Box::new(|w| {
                w.stores.write_marks(w.now());
                w.stores.close_idle(w.now());
            })),
            Effect::Maintain { states } => background(Box::new(move |w| w.maintain(&states))),
        }
    }

    fn pending(&self, lanes: &Lanes, conn: ConnId, id: Id, states: Vec<std::path::PathBuf>, ask: Ask) {
        let (worker, server, inbox) = (self.worker.clone(), lanes.server.clone(), lanes.inbox.clone());
        lanes.server.work(conn, move || {
            let (response, any, receipt) = worker.pending(&states, &ask);
            server.reply_then(conn, response, move |out| {
                let moved = out && receipt.moves();
                worker.stores.given(receipt, out);
                if moved {
                    // With a full inbox it is shown and written down later.
                    hint(&inbox, Event::Delivered { id, agent: ask.agent, any });
                }
            });
        });
    }

    /// Closes the databases, when all workers have ended.
    pub(in crate::daemon) fn end(&self) {
        self.worker.stores.close(self.worker.now());
    }
}
