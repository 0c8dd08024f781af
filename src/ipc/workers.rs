//! The fixed threads that do what the loop must not: encode long snapshots.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::limits::{REQUEST_QUEUE, REQUEST_WORKERS, STACK};
use super::published::Snapshot;
use super::server::{Command, ConnId, Counters, Outbox};
use super::wire::Message;
use crate::kit::thread::{contain, spawn};

/// One request for a worker: encode the part of the snapshot that `what` asks for.
pub(super) struct Job {
    pub(super) conn: ConnId,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) what: Message,
}

/// Starts the workers. They end when the returned sender is dropped.
///
/// # Errors
/// No thread to be had.
pub(super) fn start(outbox: &Arc<Outbox>, counters: &Arc<Counters>) -> io::Result<Sender<Job>> {
    let (sender, jobs) = crossbeam_channel::bounded(REQUEST_QUEUE);
    for n in 1..=REQUEST_WORKERS {
        let (jobs, outbox, counters) = (jobs.clone(), outbox.clone(), counters.clone());
        spawn(&format!("request-{n}"), STACK, move || work(&jobs, &outbox, &counters))?;
    }
    Ok(sender)
}

fn work(jobs: &Receiver<Job>, outbox: &Outbox, counters: &Counters) {
    while let Ok(Job { conn, snapshot, what }) = jobs.recv() {
        let done = contain(|| match what {
            Message::Status => drop(snapshot.encode_status()),
            _ => drop(snapshot.encode_history()),
        });
        outbox.send(match done {
            Ok(()) => Command::Encoded { conn, snapshot, what },
            Err(panic) => {
                Counters::add(&counters.panics);
                log::error!("ipc: a request worker panicked over {}: {panic}", what.name());
                Command::Failed { conn }
            }
        });
    }
}
