//! Murmurs and whispers: which worker does what, and what the core hears of it.

use std::path::PathBuf;

use super::{Host, Wake, send};
use crate::daemon::event::{Event, Id, Key, Relay};
use crate::daemon::whisper_work::Desk;
use crate::ipc::ConnId;
use crate::ipc::wire::Murmur;
use crate::whispers::{Ask, Scope};

impl Host {
    /// Small work at the desk whose result nobody waits for.
    pub(super) fn at_desk(&self, work: impl FnOnce(&Desk) + Send + 'static) {
        let desk = self.desk.clone();
        self.in_background(move || work(&desk));
    }

    pub(super) fn murmur(&self, key: Key, root: PathBuf, state: PathBuf, scope: Scope, murmur: Box<Murmur>) {
        let results = self.results_tx.clone();
        self.at_desk(move |desk| match desk.murmur(&root, &state, &scope, &murmur) {
            Ok(true) => send(&results, Event::Murmured(key)),
            Ok(false) => {}
            Err(e) => log::warn!("a murmur is not taken: {e}"),
        });
    }

    pub(super) fn relay(&mut self, key: Key, relay: Box<Relay>) {
        let (desk, cancel, results) = (self.desk.clone(), self.cancel_of(&key), self.results_tx.clone());
        let work = move || desk.relay(&relay, &cancel);
        let which = key.clone();
        let done = move |ended: Result<bool, String>| {
            if let Err(panic) = &ended {
                log::error!("a worker panicked: {panic}");
            }
            send(&results, Event::Relayed { key: which, done: ended.unwrap_or(false) });
        };
        // It may fetch.
        if let Err(full) = self.git.submit(work, done) {
            log::warn!("{full}; murmurs are taken in after the next sync");
            send(&self.results_tx, Event::Relayed { key, done: false });
        }
    }

    pub(super) fn whispers(&self, conn: ConnId, id: Id, states: Vec<PathBuf>, ask: Ask) {
        let (desk, server, inbox) = (self.desk.clone(), self.server.clone(), self.inbox_tx.clone());
        self.server.work(conn, move || {
            let (response, any, receipt) = desk.pending(&states, &ask);
            server.reply_then(conn, response, move |out| {
                let moved = out && receipt.moves();
                desk.stores.given(receipt, out);
                if moved {
                    // With a full inbox it is shown and written down later.
                    let whispered = Event::Whispered { id, agent: ask.agent, any };
                    drop(inbox.try_send(Wake::Event(Box::new(whispered))));
                }
            });
        });
    }
}
