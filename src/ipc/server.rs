//! The server seen from outside: how it is started, what it asks the core, how the core answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::limits::{CLOSE_WAIT, OUTBOX, OUTBOX_PROGRESS, STACK};
use super::listen::{Bound, SocketState};
use super::published::{Published, Snapshot};
use super::turn::Turn;
use super::wire::{Message, Progress, Request, Response, Served};
use super::workers::{self, Job};
use crate::kit::clock::Clock;
use crate::kit::thread::spawn;

/// What a server needs from its surroundings.
#[derive(Clone)]
pub struct Config {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// Names a listener for the life of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub(super) u32);

/// Names one request of one connection. An answer to a request that is over, or whose connection is gone, is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(super) slot: u32,
    pub(super) serial: u64,
}

impl ConnId {
    /// Names a request that no server knows: for simulations of whoever answers.
    pub const fn simulated(serial: u64) -> ConnId {
        ConnId { slot: u32::MAX, serial }
    }
}

/// A request that the core has to answer.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Whom to answer.
    pub conn: ConnId,
    /// Where it came in.
    pub listener: ListenerId,
    /// Clone the caller stands in; may be empty.
    pub caller_id: String,
    /// What is asked.
    pub request: Request,
}

/// What a listener serves.
#[derive(Debug)]
pub struct ListenerSpec {
    /// The socket, from [`super::listen::bind`].
    pub socket: Bound,
    /// Eight hex digits, or empty at the host. A request for another workspace is logged and served all the same.
    pub workspace_id: String,
    /// Served beside `ping` and `version`; every other type is unknown.
    pub served: Served,
    /// What `status` and `sync_history` are answered from, and where activity is noted.
    pub published: Arc<Published>,
}

/// How often things happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections taken.
    pub accepted: AtomicU64,
    /// Connections refused because there were too many.
    pub refused: AtomicU64,
    /// Connections of another user, closed.
    pub foreign: AtomicU64,
    /// Request lines read.
    pub requests: AtomicU64,
    /// Requests refused because a queue was full.
    pub busy: AtomicU64,
    /// Connections closed at a deadline.
    pub timed_out: AtomicU64,
    /// Progress lines not sent.
    pub progress_dropped: AtomicU64,
    /// Panics contained.
    pub panics: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
}

impl Counters {
    /// Adds one.
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Called once: `true` when the kernel has taken the last byte of the reply, `false` when it never will.
pub(super) type OnWritten = Box<dyn FnOnce(bool) + Send>;

/// What the loop is told.
pub(super) enum Command {
    Reply { conn: ConnId, response: Response, on_written: Option<OnWritten> },
    Progress { conn: ConnId, progress: Progress },
    Encoded { conn: ConnId, snapshot: Arc<Snapshot>, what: Message },
    Failed { conn: ConnId },
    Add { id: ListenerId, spec: ListenerSpec },
    Remove { id: ListenerId },
    Check { id: ListenerId, then: Box<dyn FnOnce(SocketState) + Send> },
    HandOver(Sender<()>),
    Close,
}

impl Command {
    /// The connection it is about.
    pub(super) fn conn(&self) -> Option<ConnId> {
        match self {
            Command::Reply { conn, .. }
            | Command::Progress { conn, .. }
            | Command::Encoded { conn, .. }
            | Command::Failed { conn } => Some(*conn),
            Command::Add { .. }
            | Command::Remove { .. }
            | Command::Check { .. }
            | Command::HandOver(_)
            | Command::Close => None,
        }
    }
}

/// Commands on their way to the loop: bounded, and never waited for.
pub(super) struct Outbox {
    queue: Mutex<Vec<Command>>,
    waker: mio::Waker,
}

impl Outbox {
    pub(super) fn new(waker: mio::Waker) -> Outbox {
        Outbox { queue: Mutex::default(), waker }
    }

    /// Adds a command while fewer than `limit` wait; else hands it back.
    fn push(&self, command: Command, limit: usize) -> Result<(), Command> {
        let wake = {
            let mut queue = self.queue.lock();
            if queue.len() >= limit {
                return Err(command);
            }
            queue.push(command);
            queue.len() == 1
        };
        if wake && let Err(e) = self.waker.wake() {
            log::error!("ipc: the loop cannot be woken: {e}");
        }
        Ok(())
    }

    /// Adds a command that must not be lost. The limit is out of reach: each connection has one open request.
    pub(super) fn send(&self, command: Command) {
        if self.push(command, OUTBOX).is_err() {
            log::error!("ipc: bug: {OUTBOX} commands wait for the loop; one was dropped");
        }
    }

    /// Exchanges the waiting commands for an empty list.
    pub(super) fn take(&self, empty: &mut Vec<Command>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut *self.queue.lock(), empty);
    }
}

/// Starts servers; see [`Server::start`].
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Starts the loop and its workers, without any listener. Requests for the core go into `core` and are refused
    /// as busy while it is full.
    ///
    /// # Errors
    /// No descriptor or no thread to be had.
    pub fn start<E: From<Inbound> + Send + 'static>(
        config: Config,
        core: Sender<E>,
    ) -> io::Result<ServerHandle> {
        let poll = mio::Poll::new()?;
        let outbox = Arc::new(Outbox::new(mio::Waker::new(poll.registry(), super::turn::WAKER)?));
        let counters = Arc::new(Counters::default());
        let jobs = workers::start(&outbox, &counters)?;
        let for_core = Mutex::new(Some(jobs.clone()));
        let hand_over = move |inbound: Inbound| match core.try_send(E::from(inbound)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        };
        let turn = Turn::new(poll, outbox.clone(), jobs, counters.clone(), config.clock, Box::new(hand_over));
        let (alive, ended) = crossbeam_channel::bounded::<()>(0);
        let thread = spawn("ipc", STACK, move || {
            turn.run();
            drop(alive);
        })?;
        Ok(ServerHandle(Arc::new(Shared {
            outbox,
            counters,
            jobs: for_core,
            next_listener: AtomicU32::new(1),
            ended,
            thread: Mutex::new(Some(thread)),
        })))
    }
}

struct Shared {
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    /// Work for the request threads; none any more once the server is closed.
    jobs: Mutex<Option<Sender<Job>>>,
    next_listener: AtomicU32,
    ended: Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.outbox.send(Command::Close);
    }
}

/// The core's end of a server. Clones share it; the server ends with the last one, or by [`ServerHandle::close`].
#[derive(Clone)]
pub struct ServerHandle(Arc<Shared>);

impl ServerHandle {
    /// Sends the final line of a request. Dropped when the connection is gone or has been answered.
    pub fn reply(&self, conn: ConnId, response: Response) {
        self.0.outbox.send(Command::Reply { conn, response, on_written: None });
    }

    /// As [`ServerHandle::reply`], and calls `then` exactly once, on the loop's thread: with `true` when the kernel has
    /// taken the last byte, with `false` when it never will. `then` must not block.
    pub fn reply_then(&self, conn: ConnId, response: Response, then: impl FnOnce(bool) + Send + 'static) {
        self.0.outbox.send(Command::Reply { conn, response, on_written: Some(Box::new(then)) });
    }

    /// Sends a progress line, unless the peer or the loop is behind.
    pub fn progress(&self, conn: ConnId, progress: Progress) {
        if self.0.outbox.push(Command::Progress { conn, progress }, OUTBOX_PROGRESS).is_err() {
            Counters::add(&self.0.counters.progress_dropped);
        }
    }

    /// Has a request thread do `work`, which answers `conn`. If too much waits for them it is answered busy instead.
    pub fn work(&self, conn: ConnId, work: impl FnOnce() + Send + 'static) {
        let job = Job::Work { conn, work: Box::new(work) };
        let taken = self.0.jobs.lock().as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if !taken {
            Counters::add(&self.0.counters.busy);
            self.reply(conn, Response::busy("request workers"));
        }
    }

    /// Serves a bound socket. At most [`super::limits::LISTENERS`]; a further one is logged and its path removed.
    pub fn add_listener(&self, spec: ListenerSpec) -> ListenerId {
        let id = ListenerId(self.0.next_listener.fetch_add(1, Ordering::Relaxed));
        self.0.outbox.send(Command::Add { id, spec });
        id
    }

    /// Serves it no longer: its path is removed if it is still ours, its connections are closed, after their answer
    /// where one is due.
    pub fn remove_listener(&self, id: ListenerId) {
        self.0.outbox.send(Command::Remove { id });
    }

    /// Looks whether the listener's path still leads to it and binds it again if it is gone; `then` is told, on the
    /// loop's thread, and must not block.
    pub fn check_listener(&self, id: ListenerId, then: impl FnOnce(SocketState) + Send + 'static) {
        self.0.outbox.send(Command::Check { id, then: Box::new(then) });
    }

    /// How often things happened.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Hands over at once what waits a moment to be handed over together. Waits for the loop at most [`CLOSE_WAIT`].
    pub fn hand_over(&self) {
        let (done, is_done) = bounded(1);
        self.0.outbox.send(Command::HandOver(done));
        let _ = is_done.recv_timeout(CLOSE_WAIT); // a loop that hangs or has ended hands nothing over
    }

    /// Ends the server: no more connections, paths that are still ours removed, answers already given sent to their end.
    /// Waits for the loop at most [`CLOSE_WAIT`]; false if it has not ended by then.
    pub fn close(&self) -> bool {
        self.0.jobs.lock().take();
        self.0.outbox.send(Command::Close);
        let ended = !matches!(
            self.0.ended.recv_timeout(CLOSE_WAIT),
            Err(crossbeam_channel::RecvTimeoutError::Timeout)
        );
        if ended && let Some(thread) = self.0.thread.lock().take() {
            return thread.join().is_ok();
        }
        ended
    }
}
