//! The link's decisions: what is done at which moment with a server that answers, refuses, is silent or is not there. Pure.

mod work;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Builder;

use super::frames::{CODES_AUTH, CODES_BUSY};
use super::limits::{
    ACK, BACKOFF, BATCH_BYTES, BATCH_EVENTS, CONNECTS, DEAD, FAILURES, FALLBACK, JITTER, LOGIN, PING, RENEW,
    RENEW_AGAIN, RETRY_AFTER_MAX, STABLE, STOP,
};
use super::status::{Snapshot, State};
use super::{Denied, Link, Want};
use crate::kit::clock::{Mono, Now};
use crate::kit::rng::Rng;
use crate::project::RelayTransport;

use work::{Done, Work};

/// How a server is spoken to on a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The token is the first message.
    One,
    /// The token is in the head of the upgrade, and a new one can be sent later.
    Two,
}

/// Why a connection did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server refuses the token: 401 or 403.
    Refused(u16),
    /// There is no WebSocket: 404 or 426.
    Missing(u16),
    /// The server has too much to do: 429 or 503.
    Busy {
        /// The status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Anything else.
    Other(String),
}

/// What a server says to a batch by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Taken,
    /// It refuses the token: 401 or 403.
    Refused(u16),
    /// It is too much: 413.
    TooLarge,
    /// It will never take it, by this code.
    Bad(String),
    /// It has too much to do: 429 or 503.
    Busy {
        /// The status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Anything else.
    Failed {
        /// What.
        why: String,
        /// Whether the server was there and could have taken it, so that the batch may be why.
        reached: bool,
    },
}

/// What happens to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// It begins.
    Start,
    /// A deadline is there.
    Tick,
    /// Something waits that can be sent.
    Data,
    /// Somebody logged in or out.
    Login,
    /// There is a token.
    Access {
        /// The same for the same token.
        mark: u64,
        /// When it ends.
        expires_at: Option<Timestamp>,
    },
    /// There is no token.
    Denied(Denied),
    /// The WebSocket is open.
    Connected(Dialect),
    /// It is not.
    NotConnected(Failure),
    /// Something came, whatever it is.
    Heard,
    /// What the server takes at a time.
    Hello {
        /// Records.
        events: Option<usize>,
        /// Bytes.
        bytes: Option<usize>,
    },
    /// The server has stored a batch.
    Ack(String),
    /// The server says that something is wrong.
    Error {
        /// What.
        code: String,
        /// With which batch; `None` where that is not said.
        batch_id: Option<String>,
        /// Whether it may go well later.
        retryable: bool,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A message that means nothing.
    Noise,
    /// The connection has ended.
    Closed {
        /// The code that the server gave, if it did.
        code: Option<u16>,
        /// Why, for people.
        reason: String,
    },
    /// What was posted has its answer.
    Answered(Answer),
    /// So many records are at hand.
    Fetched(usize),
    /// The queue could not be read or written.
    QueueFailed(String),
    /// It is to end.
    Stop,
}

/// What is to be done. Records are counted from the first of those fetched last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a token: [`Input::Access`] or [`Input::Denied`] is the answer.
    Authorize(Want),
    /// Connect with the token: [`Input::Connected`] or [`Input::NotConnected`].
    Connect,
    /// Have the oldest records at hand: [`Input::Fetched`] or [`Input::QueueFailed`].
    Fetch {
        /// Records, at most.
        events: usize,
        /// Bytes of their frame, at most.
        bytes: usize,
    },
    /// Send the records `from..to` as a batch on the WebSocket.
    Send {
        /// The batch.
        id: String,
        /// The first.
        from: usize,
        /// Behind the last.
        to: usize,
    },
    /// Send them by HTTP: [`Input::Answered`].
    Post {
        /// The first.
        from: usize,
        /// Behind the last.
        to: usize,
    },
    /// The server has the records before this one: forget them.
    Settle(usize),
    /// The server will never take this one, before which all are dealt with: put it aside.
    Reject {
        /// Which.
        at: usize,
        /// Why.
        code: String,
    },
    /// None of those at hand is needed any more.
    Release,
    /// Send the new token on the WebSocket.
    SendAuth,
    /// Ask whether the server is there.
    Ping,
    /// End the WebSocket in order, by code 1000.
    Close,
    /// Let go of the WebSocket.
    Drop,
    /// That was all.
    Finish,
}

#[derive(Clone, Debug)]
enum Phase {
    New,
    /// A token has been asked for.
    Asking,
    NeedsLogin {
        again: Mono,
    },
    Connecting,
    Open(Open),
    /// By HTTP, with a token.
    Http,
    Backoff {
        until: Mono,
    },
    Done,
}

/// An open WebSocket.
#[derive(Clone, Copy, Debug)]
struct Open {
    dialect: Dialect,
    heard: Mono,
    ping: Mono,
    stable: Option<Mono>,
    /// Something was acknowledged on it.
    acked: bool,
    /// A token has been asked for meanwhile.
    renewing: bool,
}

/// The link's state.
#[derive(Debug)]
pub struct Machine {
    auto: bool,
    socket: bool,
    max_events: usize,
    flush: Duration,
    /// What the server takes at a time.
    events: usize,
    bytes: usize,
    /// The same for a connection on which it says nothing.
    known: (usize, usize),
    rng: Rng,
    phase: Phase,
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// Connections in a row that did not come about.
    connects: u32,
    fallback: Option<Mono>,
    /// The token in use, and whether it was made because the server refused another one.
    mark: Option<u64>,
    refused: Option<u64>,
    forced: bool,
    renew: Option<Mono>,
    work: Option<Work>,
    /// Failures in a row of what is first in the queue.
    tries: u32,
    looked: Option<Mono>,
    look: Option<Mono>,
    stop: Option<Mono>,
    out: Vec<Action>,
    snapshot: Snapshot,
}

impl Machine {
    /// One for a link, with its own random source.
    pub fn new(link: &Link, rng: Rng) -> Machine {
        let max_events = link.batch_events.clamp(1, BATCH_EVENTS);
        Machine {
            auto: link.transport == RelayTransport::Auto,
            socket: link.has_socket(),
            max_events,
            flush: link.flush,
            events: max_events,
            bytes: BATCH_BYTES,
            known: (max_events, BATCH_BYTES),
            rng,
            phase: Phase::New,
            failures: 0,
            connects: 0,
            fallback: None,
            mark: None,
            refused: None,
            forced: false,
            renew: None,
            work: None,
            tries: 0,
            looked: None,
            look: None,
            stop: None,
            out: Vec::new(),
            snapshot: Snapshot {
                server_url: link.server_url.clone(),
                transport: if link.has_socket() { "ws" } else { "http" },
                ..Snapshot::default()
            },
        }
    }

    /// What can be seen of it.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// When it is to be called next, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Mono> {
        let sent = self.work.as_ref().and_then(|work| work.sent.as_ref()).map(|sent| sent.at + ACK);
        let at = match &self.phase {
            Phase::New | Phase::Asking | Phase::Connecting | Phase::Done => [None; 5],
            Phase::NeedsLogin { again } => [Some(*again), None, None, None, None],
            Phase::Backoff { until } => [Some(*until), None, None, None, None],
            Phase::Open(open) => {
                let alive = Some(open.ping.min(open.heard + DEAD));
                let idle = sent.is_none();
                let renew = self.renew.filter(|_| idle && !open.renewing);
                [alive, open.stable, renew, sent, self.look.filter(|_| self.work.is_none())]
            }
            Phase::Http => {
                let idle = self.work.is_none();
                [self.look.filter(|_| idle), self.fallback.filter(|_| self.socket), None, None, None]
            }
        };
        at.into_iter().flatten().chain(self.stop).min()
    }

    /// What is to be done now that this has happened.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        match input {
            Input::Start => self.begin(now),
            Input::Tick => self.tick(now),
            Input::Data => self.data(now),
            Input::Login => self.login(now),
            Input::Access { mark, expires_at } => self.access(now, mark, expires_at),
            Input::Denied(why) => self.denied(now, why),
            Input::Connected(dialect) => self.connected(now, dialect),
            Input::NotConnected(failure) => self.not_connected(now, failure),
            Input::Heard => self.heard(now),
            Input::Hello { events, bytes } => self.hello(events, bytes),
            Input::Ack(id) => self.ack(now, &id),
            Input::Error { code, batch_id, retryable, retry_after } => {
                self.error(now, &code, batch_id.as_deref(), retryable, retry_after);
            }
            Input::Noise => self.snapshot.ignored_total += 1,
            Input::Closed { code, reason } => self.closed(now, code, &reason),
            Input::Answered(answer) => self.answered(now, answer),
            Input::Fetched(count) => self.fetched(now, count),
            Input::QueueFailed(why) => self.queue_failed(now, &why),
            Input::Stop => self.stop(now),
        }
        self.describe(now);
        std::mem::take(&mut self.out)
    }

    // ---- tokens ----

    /// Begins a connection, or the use of HTTP, with a token.
    fn begin(&mut self, now: Now) {
        if self.stop.is_some() {
            return self.finish();
        }
        if self.fallback.is_some_and(|until| until <= now.mono) {
            self.fallback = None;
        }
        self.phase = Phase::Asking;
        self.look = None;
        let want = if self.forced { Want::Renewed } else { Want::Current };
        self.out.push(Action::Authorize(want));
    }

    fn by_http(&self) -> bool {
        !self.socket || self.fallback.is_some()
    }

    fn access(&mut self, now: Now, mark: u64, expires_at: Option<Timestamp>) {
        let is_new = self.mark != Some(mark);
        self.mark = Some(mark);
        self.renew = expires_at.map(|at| {
            let left = Duration::try_from(at.duration_since(now.wall)).unwrap_or_default();
            now.mono + left.saturating_sub(RENEW).max(RENEW_AGAIN)
        });
        let by_http = self.by_http();
        match &mut self.phase {
            Phase::Asking if self.refused == Some(mark) => self.needs_login(now),
            Phase::Asking if by_http => {
                self.phase = Phase::Http;
                self.go_on(now);
            }
            Phase::Asking => {
                self.phase = Phase::Connecting;
                self.out.push(Action::Connect);
            }
            Phase::Open(open) => {
                open.renewing = false;
                match open.dialect {
                    Dialect::Two if is_new => {
                        self.out.push(Action::SendAuth);
                        self.go_on(now);
                    }
                    Dialect::One if is_new => {
                        self.out.push(Action::Close);
                        self.phase = Phase::Connecting;
                        self.out.push(Action::Connect);
                    }
                    _ => self.go_on(now),
                }
            }
            _ => {}
        }
    }

    fn denied(&mut self, now: Now, why: Denied) {
        match (why, &mut self.phase) {
            (Denied::NoLogin(why), Phase::Open(_)) => {
                self.snapshot.last_error = Some(why);
                self.out.push(Action::Close);
                self.needs_login(now);
            }
            (Denied::NoLogin(why), Phase::Asking) => {
                self.snapshot.last_error = Some(why);
                self.needs_login(now);
            }
            (Denied::Later(why), Phase::Open(open)) => {
                open.renewing = false;
                self.snapshot.last_error = Some(why);
                self.renew = Some(now.mono + RENEW_AGAIN);
                self.go_on(now);
            }
            (Denied::Later(why), Phase::Asking) => self.lost(now, why, None, false),
            _ => {}
        }
    }

    fn needs_login(&mut self, now: Now) {
        self.put_back();
        self.forced = false;
        self.phase = Phase::NeedsLogin { again: now.mono + LOGIN };
    }

    fn login(&mut self, now: Now) {
        self.forced = false;
        let is_free = !self.is_sending();
        match &mut self.phase {
            Phase::NeedsLogin { .. } | Phase::Backoff { .. } => {
                self.refused = None;
                self.begin(now);
            }
            Phase::Open(open) if !open.renewing && is_free => self.renew_now(),
            Phase::Open(_) => self.renew = Some(now.mono),
            _ => {}
        }
    }

    /// The server refuses the token: another one is tried once.
    fn refused(&mut self, now: Now, what: String) {
        self.snapshot.last_error = Some(what);
        self.put_back();
        self.refused = self.mark;
        if self.forced {
            return self.needs_login(now);
        }
        self.forced = true;
        self.begin(now);
    }

    fn renew_now(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.renewing = true;
            self.renew = None;
            self.out.push(Action::Authorize(Want::Current));
        }
    }

    // ---- connections ----

    fn connected(&mut self, now: Now, dialect: Dialect) {
        if !matches!(self.phase, Phase::Connecting) {
            return self.out.push(Action::Drop);
        }
        self.connects = 0;
        self.fallback = None;
        (self.events, self.bytes) = self.known;
        let at = now.mono;
        self.phase = Phase::Open(Open {
            dialect,
            heard: at,
            ping: at + PING,
            stable: Some(at + STABLE),
            acked: false,
            renewing: false,
        });
        self.go_on(now);
    }

    fn not_connected(&mut self, now: Now, failure: Failure) {
        if !matches!(self.phase, Phase::Connecting) {
            return;
        }
        match failure {
            Failure::Refused(status) => {
                self.refused(now, format!("the server refuses the login (HTTP {status})"));
            }
            Failure::Missing(status) if self.auto => {
                self.snapshot.last_error = Some(format!("the server has no WebSocket (HTTP {status})"));
                self.connects = CONNECTS;
                self.fallback = Some(now.mono + FALLBACK);
                self.begin(now);
            }
            Failure::Missing(status) => {
                self.lost(now, format!("the server has no WebSocket (HTTP {status})"), None, false);
            }
            Failure::Busy { status, retry_after } => {
                let what = format!("the server has too much to do (HTTP {status})");
                self.lost(now, what, retry_after, false);
            }
            Failure::Other(why) => {
                self.connects = self.connects.saturating_add(1);
                if self.auto && self.connects >= CONNECTS {
                    self.fallback = Some(now.mono + FALLBACK);
                }
                self.lost(now, why, None, false);
            }
        }
    }

    fn closed(&mut self, now: Now, code: Option<u16>, reason: &str) {
        let Phase::Open(open) = self.phase else { return };
        self.out.push(Action::Drop);
        if self.stop.is_some() {
            return self.finish();
        }
        if !open.acked && matches!(code, Some(1008 | 4401 | 4403)) {
            let code = code.unwrap_or_default();
            return self.refused(now, format!("the server refuses the login (close code {code})"));
        }
        let code = code.map(|code| format!(" (code {code})")).unwrap_or_default();
        self.lost(now, format!("the connection ended: {reason}{code}"), None, true);
    }

    /// An attempt has failed. `counts` is whether the batch that was on its way may be why.
    fn lost(&mut self, now: Now, why: String, retry_after: Option<Duration>, counts: bool) {
        self.snapshot.last_error = Some(why);
        let was_sending = self.is_sending();
        if let Some(work) = &mut self.work
            && was_sending
            && counts
        {
            self.tries = self.tries.saturating_add(1);
            if self.tries >= FAILURES && !work.failed() {
                // Nothing of it went through, so the server is what is wrong, as far as can be told.
                self.tries = 0;
                self.work = None;
                self.out.push(Action::Release);
            }
        }
        self.put_back();
        if self.stop.is_some() {
            return self.finish();
        }
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let wait = self.rng.jitter(BACKOFF.delay(self.failures), JITTER).max(asked);
        self.phase = Phase::Backoff { until: now.mono + wait };
    }

    /// What was on its way is to be sent again: with what has come meanwhile, unless it is known that something is wrong with it.
    fn put_back(&mut self) {
        let Some(work) = &mut self.work else { return };
        work.take_back();
        if work.is_whole() {
            self.work = None;
            self.out.push(Action::Release);
        }
    }

    fn heard(&mut self, now: Now) {
        if let Phase::Open(open) = &mut self.phase {
            open.heard = now.mono;
        }
    }

    fn hello(&mut self, events: Option<usize>, bytes: Option<usize>) {
        let at_most = |most: Option<usize>, own: usize| most.map_or(own, |most| most.clamp(1, own));
        let limits = (at_most(events, self.max_events), at_most(bytes, BATCH_BYTES));
        (self.events, self.bytes) = limits;
        if !matches!(self.phase, Phase::Open(_)) {
            self.known = limits;
        }
    }

    fn tick(&mut self, now: Now) {
        if self.stop.is_some_and(|at| at <= now.mono) {
            if matches!(self.phase, Phase::Open(_)) {
                self.out.push(Action::Close);
            }
            return self.finish();
        }
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now.mono);
        match self.phase {
            Phase::NeedsLogin { again } if again <= now.mono => self.begin(now),
            Phase::Backoff { until } if until <= now.mono => self.begin(now),
            Phase::Http if self.socket && due(self.fallback) => self.begin(now),
            Phase::Http if due(self.look) => self.go_on(now),
            Phase::Open(open) => {
                if open.heard + DEAD <= now.mono {
                    self.out.push(Action::Drop);
                    let what = format!("nothing came from the server for {} s", DEAD.as_secs());
                    return self.lost(now, what, None, true);
                }
                let sent = self.work.as_ref().and_then(|work| work.sent.as_ref());
                if due(sent.map(|sent| sent.at + ACK)) {
                    self.out.push(Action::Drop);
                    let what = format!("the server did not acknowledge a batch within {} s", ACK.as_secs());
                    return self.lost(now, what, None, true);
                }
                if open.ping <= now.mono {
                    self.out.push(Action::Ping);
                }
                if due(open.stable) {
                    self.failures = 0;
                    self.forced = false;
                }
                if let Phase::Open(open) = &mut self.phase {
                    open.stable = open.stable.filter(|at| *at > now.mono);
                    if open.ping <= now.mono {
                        open.ping = now.mono + PING;
                    }
                }
                if due(self.renew) && !open.renewing && !self.is_sending() {
                    self.renew_now();
                } else if due(self.look) {
                    self.go_on(now);
                }
            }
            _ => {}
        }
    }

    // ---- records ----

    fn is_sending(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.sent.is_some())
    }

    fn data(&mut self, now: Now) {
        if !matches!(self.phase, Phase::Open(_) | Phase::Http) || self.work.is_some() {
            return;
        }
        let at = self.looked.map_or(now.mono, |looked| (looked + self.flush).max(now.mono));
        self.look = Some(self.look.map_or(at, |look| look.min(at)));
        if at <= now.mono {
            self.go_on(now);
        }
    }

    /// Sends what is next, if the line is free.
    fn go_on(&mut self, now: Now) {
        let renewing = matches!(&self.phase, Phase::Open(open) if open.renewing);
        if self.is_sending() || renewing || self.stop.is_some() {
            return;
        }
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now.mono);
        if matches!(self.phase, Phase::Http) && (due(self.renew) || due(self.fallback)) {
            return self.begin(now);
        }
        let Some(work) = &mut self.work else {
            self.looked = Some(now.mono);
            self.look = None;
            return self.out.push(Action::Fetch { events: self.events, bytes: self.bytes });
        };
        let mut raw = [0; 16];
        for half in raw.chunks_mut(8) {
            half.copy_from_slice(&self.rng.next_u64().to_be_bytes());
        }
        let id = Builder::from_random_bytes(raw).into_uuid().to_string();
        let Some((from, to)) = work.send(&id, now.mono, self.events) else { return };
        self.snapshot.sent_total += (to - from) as u64;
        self.out.push(match self.phase {
            Phase::Http => Action::Post { from, to },
            _ => Action::Send { id, from, to },
        });
    }

    fn fetched(&mut self, now: Now, count: usize) {
        if !matches!(self.phase, Phase::Open(_) | Phase::Http) {
            return;
        }
        if count == 0 {
            // Whoever appends says so; this is for the case that nobody did.
            self.look = Some(now.mono + PING);
            return;
        }
        self.work = Some(Work::new(count, self.tries >= FAILURES));
        self.go_on(now);
    }

    fn queue_failed(&mut self, now: Now, why: &str) {
        match self.phase {
            Phase::Open(_) => {
                self.out.push(Action::Drop);
                self.work = None;
                self.lost(now, format!("the queue: {why}"), None, false);
            }
            Phase::Http => {
                self.work = None;
                self.lost(now, format!("the queue: {why}"), None, false);
            }
            _ => {}
        }
    }

    fn ack(&mut self, now: Now, id: &str) {
        let is_sent =
            self.work.as_ref().and_then(|work| work.sent.as_ref()).is_some_and(|sent| sent.id == id);
        if !is_sent {
            self.snapshot.ignored_total += 1;
            return;
        }
        if let Phase::Open(open) = &mut self.phase {
            open.acked = true;
        }
        self.taken(now);
    }

    /// The server has what was sent.
    fn taken(&mut self, now: Now) {
        let Some(work) = &mut self.work else { return };
        self.snapshot.acked_total += work.taken() as u64;
        self.snapshot.last_ack_ms = Some(now.wall.as_millisecond());
        self.snapshot.last_error = None;
        (self.failures, self.forced, self.refused) = (0, false, None);
        self.settle(now);
    }

    /// Tells the queue of what is dealt with, and goes on.
    fn settle(&mut self, now: Now) {
        let Some(work) = &mut self.work else { return };
        for done in work.settle() {
            self.tries = 0;
            self.out.push(match done {
                Done::Taken(upto) => Action::Settle(upto),
                Done::Dead(at, code) => {
                    self.snapshot.dead_total += 1;
                    Action::Reject { at, code }
                }
            });
        }
        if work.is_done() {
            self.work = None;
        } else if work.is_stuck() {
            self.work = None;
            self.tries = 0;
            self.out.push(Action::Release);
        }
        if self.stop.is_some() {
            if matches!(self.phase, Phase::Open(_)) {
                self.out.push(Action::Close);
            }
            return self.finish();
        }
        if self.renew.is_some_and(|at| at <= now.mono) && matches!(self.phase, Phase::Open(_)) {
            return self.renew_now();
        }
        self.go_on(now);
    }

    /// The server will never take what was sent.
    fn bad(&mut self, now: Now, code: &str) {
        let Some(work) = &mut self.work else { return };
        self.snapshot.last_error = Some(format!("the server refuses events ({code})"));
        work.refused(code);
        self.settle(now);
    }

    fn error(
        &mut self,
        now: Now,
        code: &str,
        batch_id: Option<&str>,
        retryable: bool,
        retry_after: Option<Duration>,
    ) {
        if !matches!(self.phase, Phase::Open(_)) {
            return;
        }
        let sent = self.work.as_ref().and_then(|work| work.sent.as_ref());
        if batch_id.is_some() && sent.map(|sent| sent.id.as_str()) != batch_id {
            self.snapshot.ignored_total += 1;
            return;
        }
        let what = format!("the server says {code}");
        if CODES_AUTH.contains(&code) {
            self.out.push(Action::Drop);
            return self.refused(now, what);
        }
        if !retryable && sent.is_some() {
            return self.bad(now, code);
        }
        let busy = CODES_BUSY.contains(&code) || retry_after.is_some();
        self.out.push(Action::Drop);
        self.lost(now, what, retry_after, !busy);
    }

    fn answered(&mut self, now: Now, answer: Answer) {
        if !matches!(self.phase, Phase::Http) || !self.is_sending() {
            return;
        }
        match answer {
            Answer::Taken => self.taken(now),
            Answer::Refused(status) => {
                self.refused(now, format!("the server refuses the login (HTTP {status})"));
            }
            Answer::TooLarge => self.bad(now, "too_large"),
            Answer::Bad(code) => self.bad(now, &code),
            Answer::Busy { status, retry_after } => {
                self.lost(now, format!("the server has too much to do (HTTP {status})"), retry_after, false);
            }
            Answer::Failed { why, reached } => self.lost(now, why, None, reached),
        }
    }

    // ---- end ----

    fn stop(&mut self, now: Now) {
        if self.stop.is_some() || matches!(self.phase, Phase::Done) {
            return;
        }
        match self.phase {
            Phase::Open(_) if self.is_sending() => self.stop = Some(now.mono + STOP),
            Phase::Open(_) => {
                self.out.push(Action::Close);
                self.finish();
            }
            _ => self.finish(),
        }
    }

    fn finish(&mut self) {
        self.stop = None;
        self.work = None;
        self.phase = Phase::Done;
        self.out.extend([Action::Release, Action::Finish]);
    }

    fn describe(&mut self, now: Now) {
        let fallback = self.socket && self.fallback.is_some();
        let state = match self.phase {
            Phase::Done => State::Disabled,
            Phase::NeedsLogin { .. } => State::NeedsLogin,
            Phase::Backoff { .. } => State::Backoff,
            Phase::Open(_) => State::Connected,
            Phase::Asking | Phase::Http if fallback => State::HttpFallback,
            Phase::Http if self.work.is_some() => State::Connected,
            Phase::Http => State::Idle,
            Phase::New | Phase::Asking | Phase::Connecting => State::Connecting,
        };
        let ms = now.wall.as_millisecond();
        if state != self.snapshot.state || self.snapshot.since_ms.is_none() {
            self.snapshot.state = state;
            self.snapshot.since_ms = Some(ms);
        }
        self.snapshot.transport = if self.by_http() { "http" } else { "ws" };
        self.snapshot.next_retry_ms = match self.phase {
            Phase::Backoff { until } => {
                let left = i64::try_from(until.since(now.mono).as_millis()).unwrap_or(i64::MAX);
                Some(ms.saturating_add(left))
            }
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests;
