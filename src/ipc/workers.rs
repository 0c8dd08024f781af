//! The fixed threads that do what the loop must not: encode long snapshots, read databases.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::limits::{REQUEST_QUEUE, REQUEST_WORKERS, STACK};
use super::published::Snapshot;
use super::server::{Command, ConnId, Counters, Outbox};
use super::wire::Message;
use crate::kit::thread::{contain, spawn};

/// One request for a worker.
pub(super) enum Job {
    /// Encode the part of the snapshot that `what` asks for.
    Encode {
        /// Who waits for it.
        conn: ConnId,
        snapshot: Arc<Snapshot>,
        what: Message,
    },
    /// Work of whoever answers requests, which answers by itself.
    Work {
        /// Who waits for it.
        conn: ConnId,
        work: Box<dyn FnOnce() + Send>,
    },
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
    while let Ok(job) = jobs.recv() {
        let (conn, snapshot, what) = match job {
            Job::Encode { conn, snapshot, what } => (conn, snapshot, what),
            Job::Work { conn, work } => {
                if let Err(panic) = contain(work) {
                    Counters::add(&counters.panics);
                    log::error!("ipc: a request worker panicked: {panic}");
                    outbox.send(Command::Failed { conn });
                }
                continue;
            }
        };
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
