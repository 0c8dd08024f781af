//! The loop: one thread, all listeners, all connections. Nothing in it waits except for the kernel's events.

mod serve;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
#[cfg(target_os = "linux")]
use rustix::net::SocketFlags;

use super::conn::{Input, Output};
use super::limits::{
    ACCEPT_RETRY_MAX, ACCEPT_RETRY_MIN, ACCEPTS_PER_TURN, CLOSE_DRAIN, CONNECTIONS_PER_LISTENER,
    CONNECTIONS_TOTAL, EVENTS_PER_TURN, LINE_MAX, LISTENERS, READ_DEADLINE, READ_FIRST, REAP_EVERY,
};
use super::listen::{Bound, SocketState, peer_uid};
use super::published::Published;
use super::server::{Command, ConnId, Counters, Inbound, ListenerId, ListenerSpec, OnWritten, Outbox};
use super::wire::{Progress, Response, Served};
use super::workers::Job;
use crate::kit::clock::{Clock, Mono};
use crate::kit::thread::contain;

/// The event that says the outbox has something.
pub(super) const WAKER: Token = Token(usize::MAX);

const PONG: &[u8] = b"{\"success\":true,\"data\":\"pong\"}\n";
const NO_STATUS: &[u8] = b"{\"success\":true,\"data\":{}}\n";
const NO_HISTORY: &[u8] = b"{\"success\":true,\"data\":[]}\n";

/// A listening socket and what it serves.
struct Listener {
    bound: Bound,
    workspace_id: String,
    served: Served,
    published: Arc<Published>,
    open: usize,
    /// Accepting failed this often in a row, and is tried again then.
    failures: u32,
    retry_at: Option<Mono>,
}

/// A connection.
struct Conn {
    stream: OwnedFd,
    listener: ListenerId,
    input: Input,
    output: Output,
    /// Interests the kernel has been told.
    interest: Option<Interest>,
    /// The socket may hold bytes.
    readable: bool,
    /// The kernel has said that the peer sends no more.
    read_closed: bool,
    /// A read has shown it.
    eof: bool,
    /// No further request is served.
    last: bool,
    /// Serial of the request that is being worked on.
    asked: Option<u64>,
    /// A final line is on its way.
    finishing: bool,
    on_written: Option<OnWritten>,
    deadline: Option<Mono>,
    /// A kept connection on which no further request has been begun.
    idle: bool,
    /// It is the so-manyth that was admitted.
    number: usize,
    /// A whole line has come.
    heard: bool,
    /// Another one has come after an answer: its client asks on.
    kept: bool,
}

impl Conn {
    /// A request is worked on or its answer not sent yet: nothing further is read.
    fn is_occupied(&self) -> bool {
        self.asked.is_some() || self.finishing
    }
}

/// What the loop does with a connection next.
enum Step {
    /// Look for more.
    On,
    /// Nothing to do until the next event.
    Rest,
    /// Over.
    Close,
}

type HandOver = Box<dyn Fn(Inbound) -> bool + Send>;

/// All state of the loop.
pub(super) struct Turn {
    poll: Poll,
    outbox: Arc<Outbox>,
    jobs: Sender<Job>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    hand_over: HandOver,
    /// Messages without an answer that wait to be handed over, and until when.
    one_way: Vec<Inbound>,
    one_way_until: Option<Mono>,
    our_uid: u32,
    listeners: HashMap<ListenerId, Listener>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    open: usize,
    serial: u64,
    /// Empty request buffers for the next connections.
    spare: Vec<Vec<u8>>,
    /// Where lines are put together.
    line: Vec<u8>,
    /// Connections and listeners that had more than their share of this turn.
    again: Vec<Token>,
    /// The earliest deadline of any connection or listener, or earlier.
    sweep_at: Option<Mono>,
    now: Mono,
    /// Connections taken in this turn.
    admitted: usize,
    /// Dead kept connections are looked for again when so many were taken in this turn.
    reap_at: usize,
    closing: Option<Mono>,
}

impl Turn {
    pub(super) fn new(
        poll: Poll,
        outbox: Arc<Outbox>,
        jobs: Sender<Job>,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
        hand_over: HandOver,
    ) -> Turn {
        let now = clock.now().mono;
        Turn {
            poll,
            outbox,
            jobs,
            counters,
            clock,
            hand_over,
            one_way: Vec::new(),
            one_way_until: None,
            our_uid: rustix::process::geteuid().as_raw(),
            listeners: HashMap::new(),
            conns: Vec::new(),
            free: Vec::new(),
            open: 0,
            serial: 0,
            spare: Vec::new(),
            line: Vec::new(),
            again: Vec::new(),
            sweep_at: None,
            now,
            admitted: 0,
            reap_at: 0,
            closing: None,
        }
    }

    /// Runs until told to close.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut commands = Vec::new();
        while !self.is_done() {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    log::error!("ipc: waiting for events failed, the server ends: {e}");
                    break;
                }
            }
            self.now = self.clock.now().mono;
            (self.admitted, self.reap_at) = (0, 0);
            let again = std::mem::take(&mut self.again);
            for event in &events {
                let token = event.token();
                let (read, write) = (event.is_readable() || event.is_error(), event.is_writable());
                self.contained(token, |turn| turn.ready(token, read, write, event.is_read_closed()));
            }
            // After the events: those may have closed what takes up the room.
            for token in again {
                self.contained(token, |turn| turn.ready(token, false, false, false));
            }
            self.outbox.take(&mut commands);
            for command in commands.drain(..) {
                let token =
                    command.conn().and_then(|conn| self.waiting(conn)).map_or(WAKER, |slot| Token(slot * 2));
                self.contained(token, |turn| turn.obey(command));
            }
            if self.sweep_at.is_some_and(|at| at <= self.now) {
                self.sweep();
            }
            if self.one_way_until.is_some_and(|at| at <= self.now) {
                self.hand_over_one_way();
            }
        }
        self.hand_over_one_way();
        let ids: Vec<ListenerId> = self.listeners.keys().copied().collect();
        ids.into_iter().for_each(|id| self.remove(id));
        (0..self.conns.len()).for_each(|slot| self.close(slot));
    }

    /// Runs `work`; if it panics, the connection it was for is closed and everything else goes on.
    fn contained(&mut self, token: Token, work: impl FnOnce(&mut Turn)) {
        if let Err(panic) = contain(|| work(&mut *self)) {
            Counters::add(&self.counters.panics);
            log::error!("ipc: bug: a request panicked: {panic}");
            if token.0.is_multiple_of(2) {
                let _ = contain(|| self.close(token.0 / 2));
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.sweep_at, self.closing, self.one_way_until].into_iter().flatten().min()?;
        // Rounded up by the poller; a turn that is a hair early would only go round once more.
        Some(next.since(self.clock.now().mono))
    }

    fn is_done(&self) -> bool {
        self.closing
            .is_some_and(|at| at <= self.now || !self.conns.iter().flatten().any(|conn| conn.finishing))
    }

    /// Remembers to look at the deadlines at `at`.
    fn arm(&mut self, at: Mono) {
        self.sweep_at = Some(self.sweep_at.map_or(at, |before| before.min(at)));
    }

    // ---- events ----

    fn ready(&mut self, token: Token, read: bool, write: bool, read_closed: bool) {
        if token == WAKER {
            return;
        }
        if token.0 % 2 == 1 {
            return self.accept(listener_of(token));
        }
        let slot = token.0 / 2;
        let Some(conn) = self.conns.get_mut(slot).and_then(Option::as_mut) else { return };
        conn.readable |= read || read_closed;
        conn.read_closed |= read_closed;
        if write && !self.flush(slot) {
            return;
        }
        self.drive(slot);
    }

    fn accept(&mut self, id: ListenerId) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.get_mut(&id) else { return };
            if listener.retry_at.is_some_and(|at| at > self.now) {
                return;
            }
            match accept_one(&listener.bound.fd) {
                Ok(stream) => {
                    listener.failures = 0;
                    listener.retry_at = None;
                    self.admit(id, stream);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                Err(e) => return self.accept_failed(id, &e),
            }
        }
        self.again.push(token_of(id));
    }

    /// Out of descriptors or memory: waits before the next attempt, longer each time.
    fn accept_failed(&mut self, id: ListenerId, error: &io::Error) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let wait = ACCEPT_RETRY_MIN.saturating_mul(1 << listener.failures.min(10)).min(ACCEPT_RETRY_MAX);
        listener.failures += 1;
        let at = self.now + wait;
        listener.retry_at = Some(at);
        log::error!(
            "ipc: accepting on {} failed, next attempt in {wait:?}: {error}",
            listener.bound.path().display()
        );
        self.arm(at);
    }

    fn admit(&mut self, id: ListenerId, stream: OwnedFd) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        match peer_uid(&stream) {
            Ok(uid) if uid == self.our_uid => {}
            other => {
                Counters::add(&self.counters.foreign);
                log::warn!("ipc: a connection of another user was closed: {other:?}");
                return;
            }
        }
        let full = listener.open >= CONNECTIONS_PER_LISTENER || self.open >= CONNECTIONS_TOTAL;
        if full && !self.reap(id) && !self.drop_silent(id) {
            let refused = self.counters.refused.fetch_add(1, Ordering::Relaxed) + 1;
            if refused.is_power_of_two() {
                log::warn!("ipc: {} connections are open, {refused} refused so far", self.open);
            }
            say_busy(&stream);
            return;
        }
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        listener.open += 1;
        self.open += 1;
        self.admitted += 1;
        Counters::add(&self.counters.accepted);
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        let deadline = self.now + READ_DEADLINE;
        let conn = Conn {
            stream,
            listener: id,
            input: Input::with_buffer(self.spare.pop().unwrap_or_else(|| Vec::with_capacity(READ_FIRST))),
            output: Output::default(),
            interest: None,
            readable: true, // the request is often there already
            read_closed: false,
            eof: false,
            last: false,
            asked: None,
            finishing: false,
            on_written: None,
            deadline: Some(deadline),
            idle: false,
            number: self.admitted,
            heard: false,
            kept: false,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.conns.push(None);
                self.conns.len() - 1
            }
        };
        self.conns[slot] = Some(conn);
        self.arm(deadline);
        self.contained(Token(slot * 2), |turn| turn.drive(slot));
    }

    /// Closes the kept connections whose peer is gone and whose event has not been seen yet; true if that made room for one more. Clients
    /// that call in a loop can come and go many times within one turn, so it is done again after every few that were taken.
    fn reap(&mut self, id: ListenerId) -> bool {
        if self.admitted >= self.reap_at {
            self.reap_at = self.admitted + REAP_EVERY;
            for slot in 0..self.conns.len() {
                if let Some(conn) = self.conn(slot).filter(|conn| conn.idle) {
                    conn.readable = true;
                    self.contained(Token(slot * 2), |turn| turn.drive(slot));
                }
            }
        }
        let open = self.listeners.get(&id).map_or(usize::MAX, |listener| listener.open);
        open < CONNECTIONS_PER_LISTENER && self.open < CONNECTIONS_TOTAL
    }

    /// Closes the oldest connection that has not said a whole line yet, so that who asks nothing keeps nobody out. False if there is none
    /// where it would make room.
    fn drop_silent(&mut self, id: ListenerId) -> bool {
        let crowded = self.listeners.get(&id).is_some_and(|l| l.open >= CONNECTIONS_PER_LISTENER);
        let silent = self.conns.iter().enumerate().filter_map(|(slot, conn)| Some((slot, conn.as_ref()?)));
        let silent = silent.filter(|(_, conn)| !conn.heard && (!crowded || conn.listener == id));
        let Some((slot, conn)) = silent.min_by_key(|(_, conn)| conn.number) else { return false };
        say_busy(&conn.stream);
        self.close(slot);
        true
    }

    // ---- commands ----

    fn obey(&mut self, command: Command) {
        match command {
            Command::Reply { conn, response, on_written } => self.reply(conn, &response, on_written),
            Command::Progress { conn, progress } => self.progress(conn, &progress),
            Command::Encoded { conn, snapshot, what } => {
                if let Some(slot) = self.waiting(conn) {
                    let step = self.send_published(slot, &snapshot, what);
                    self.go_on(slot, &step);
                }
            }
            Command::Failed { conn } => {
                if let Some(slot) = self.waiting(conn) {
                    self.close(slot);
                }
            }
            Command::Add { id, spec } => self.add(id, spec),
            Command::Remove { id } => self.remove(id),
            Command::Check { id, then } => then(self.check(id)),
            Command::HandOver(done) => {
                self.hand_over_one_way();
                let _ = done.send(()); // it waits no longer
            }
            Command::Close => {
                self.listeners.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.remove(id));
                self.closing.get_or_insert(self.now + CLOSE_DRAIN);
            }
        }
    }

    /// The connection that still waits for this answer.
    fn waiting(&self, id: ConnId) -> Option<usize> {
        let slot = id.slot as usize;
        (self.conns.get(slot)?.as_ref()?.asked == Some(id.serial)).then_some(slot)
    }

    fn reply(&mut self, id: ConnId, response: &Response, on_written: Option<OnWritten>) {
        let waiting = self.waiting(id).and_then(|slot| self.conn(slot).map(|conn| (slot, conn)));
        let Some((slot, conn)) = waiting else {
            if let Some(told) = on_written {
                told(false);
            }
            return;
        };
        conn.on_written = on_written;
        let step = self.answer(slot, response);
        self.go_on(slot, &step);
    }

    /// Goes on with a connection after its answer was given from outside its own turn.
    fn go_on(&mut self, slot: usize, step: &Step) {
        match step {
            Step::Close => self.close(slot),
            Step::On | Step::Rest => self.drive(slot),
        }
    }

    fn progress(&mut self, id: ConnId, progress: &Progress) {
        let now = self.now;
        let Some(slot) = self.waiting(id) else { return };
        let mut line = Vec::new();
        progress.write_line(&mut line);
        let fits = line.len() <= LINE_MAX;
        let taken = self.conn(slot).is_some_and(|conn| fits && conn.output.progress(now, line));
        if !taken {
            Counters::add(&self.counters.progress_dropped);
        }
        if self.flush(slot) {
            self.settle(slot);
        }
    }

    fn add(&mut self, id: ListenerId, spec: ListenerSpec) {
        let ListenerSpec { socket, workspace_id, served, published } = spec;
        if self.listeners.len() >= LISTENERS || self.closing.is_some() {
            log::error!(
                "ipc: {} cannot be served: {} listeners",
                socket.path().display(),
                self.listeners.len()
            );
            socket.remove();
            return;
        }
        self.watch(id, &socket);
        let listener =
            Listener { bound: socket, workspace_id, served, published, open: 0, failures: 0, retry_at: None };
        self.listeners.insert(id, listener);
        self.accept(id);
    }

    fn watch(&self, id: ListenerId, socket: &Bound) {
        let raw = socket.fd.as_raw_fd();
        if let Err(e) = self.poll.registry().register(&mut SourceFd(&raw), token_of(id), Interest::READABLE) {
            log::error!("ipc: {} cannot be waited for: {e}", socket.path().display());
        }
    }

    fn remove(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        listener.bound.remove();
        for slot in 0..self.conns.len() {
            match self.conn(slot) {
                Some(conn) if conn.listener == id && conn.is_occupied() => conn.last = true,
                Some(conn) if conn.listener == id => self.close(slot),
                _ => {}
            }
        }
    }

    fn check(&mut self, id: ListenerId) -> SocketState {
        let Some(listener) = self.listeners.get_mut(&id) else { return SocketState::Unknown };
        let state = listener.bound.check();
        if matches!(state, SocketState::Rebound) {
            log::warn!("ipc: {} was gone and has been bound again", listener.bound.path().display());
            let listener = &self.listeners[&id];
            self.watch(id, &listener.bound);
        }
        state
    }

    // ---- deadlines ----

    /// Closes what is over its deadline, tries again to accept where that failed, and finds the next deadline.
    fn sweep(&mut self) {
        self.sweep_at = None;
        for slot in 0..self.conns.len() {
            match self.conns[slot].as_ref().and_then(|conn| conn.deadline) {
                Some(at) if at <= self.now => {
                    Counters::add(&self.counters.timed_out);
                    log::debug!("ipc: a connection was closed at its deadline");
                    self.contained(Token(slot * 2), |turn| turn.close(slot));
                }
                Some(at) => self.arm(at),
                None => {}
            }
        }
        for id in self.listeners.keys().copied().collect::<Vec<_>>() {
            match self.listeners[&id].retry_at {
                Some(at) if at <= self.now => self.accept(id),
                Some(at) => self.arm(at),
                None => {}
            }
        }
    }
}

/// Listeners have odd tokens, connections even ones.
fn token_of(id: ListenerId) -> Token {
    Token(id.0 as usize * 2 + 1)
}

fn listener_of(token: Token) -> ListenerId {
    ListenerId(u32::try_from(token.0 / 2).unwrap_or(u32::MAX))
}

/// Takes a waiting connection; it never blocks and children do not inherit it.
/// Says `busy` as far as the socket takes it at once; it is closed then.
fn say_busy(stream: &OwnedFd) {
    let mut line = Vec::new();
    Response::busy("too many connections").write_line(&mut line);
    let _ = rustix::io::write(stream, &line);
}

fn accept_one(socket: &OwnedFd) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let fd = rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    #[cfg(not(target_os = "linux"))]
    let fd = {
        let fd = rustix::net::accept(socket)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        fd
    };
    Ok(fd)
}
