//! What workers do for the relay: whom events are sent for, how they get into the queue, and the one link.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::event::{Effect, Event, Off};
use super::sending::{Queue, access, feed, link_of, look, opened};
use crate::daemon::host::lanes::{Lane, Lanes, NotDone};
use crate::ipc::wire::{RelayState, RelayStatus, Response};
use crate::kit::cancel::Cancel;
use crate::kit::clock::Mono;
use crate::relay::account::Account;
use crate::relay::link::{self, Shared, Snapshot, State, Waker, Want};
use crate::relay::settle::Settle;

/// While all goes on as it did the core hears of the link so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The link that there is.
struct Running {
    cancel: Cancel,
    waker: Waker,
    shared: Shared,
}

/// What the work needs.
#[derive(Default)]
pub(in crate::daemon) struct Work {
    /// One account's at a time.
    queue: Arc<Mutex<Option<Queue>>>,
    link: Mutex<Option<Running>>,
    settle: Arc<Mutex<Settle>>,
}

impl Work {
    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        let site = lanes.site.clone();
        match effect {
            Effect::Look => lanes.start(
                Lane::Disk,
                move || look(&site).map(|(_, open)| open.account),
                |found| Event::Looked(found.unwrap_or_else(|e| Err(Off::Unknown(e.to_string())))).into(),
            ),
            Effect::Feed { account, all } => {
                let (queue, settle) = (Arc::clone(&self.queue), Arc::clone(&self.settle));
                lanes.start(
                    Lane::Disk,
                    move || feed(&site, &queue, &settle, &account, all),
                    |fed| Event::Fed(fed.unwrap_or_else(|e| Err(e.to_string()))).into(),
                );
            }
            Effect::Open(run, account) => self.open(lanes, run, account),
            Effect::Wake => {
                if let Some(running) = &*self.link.lock() {
                    running.waker.data();
                }
            }
            Effect::Login => {
                if let Some(running) = &*self.link.lock() {
                    running.waker.login();
                }
            }
            Effect::Close => {
                if let Some(running) = self.link.lock().take() {
                    running.cancel.cancel();
                    running.waker.data();
                }
            }
            Effect::LetGo => *self.queue.lock() = None,
            Effect::Tell(conn, status) => {
                let shared = self.link.lock().as_ref().map(|running| running.shared.clone());
                let queue = Arc::clone(&self.queue);
                lanes.start(
                    Lane::Disk,
                    move || match shared {
                        Some(shared) => told(&shared.get(), &queue),
                        None => *status,
                    },
                    move |status| {
                        let response = match status {
                            Ok(status) => Response::data(&status),
                            Err(e) => Response::error(e.to_string()),
                        };
                        Event::Told(conn, response).into()
                    },
                );
            }
        }
    }

    /// Begins a link, on a thread of its own.
    fn open(&self, lanes: &Lanes, run: u64, account: Account) {
        let ended = move |why: Result<Option<String>, NotDone>| {
            Event::Ended(run, why.unwrap_or_else(|e| Some(e.to_string()))).into()
        };
        let waker = match Waker::new() {
            Ok(waker) => waker,
            Err(e) => return drop(lanes.sender().send(Event::Ended(run, Some(e.to_string())).into())),
        };
        let (site, queue, cancel) = (lanes.site.clone(), Arc::clone(&self.queue), Cancel::new());
        let shared = teller(lanes, run, Arc::clone(&self.queue));
        let running = Running { cancel: cancel.clone(), waker: waker.clone(), shared: shared.clone() };
        *self.link.lock() = Some(running);
        let work = move || {
            let relay = match look(&site) {
                Ok((relay, open)) if open.account == account => relay,
                // Somebody else is logged in by now, or nobody: the core hears of it by its own look.
                _ => return None,
            };
            let queue = match opened(&queue, &site, &account, relay.max_queue_bytes) {
                Ok(queue) => queue,
                Err(why) => return Some(why),
            };
            let link = match link_of(&site, &account, &relay) {
                Ok(link) => link,
                Err(why) => return Some(why),
            };
            let mut last = None;
            let mut access = |want: Want| access(&site, &account, want, &mut last, &cancel);
            link::run(&link, &queue, &mut access, &waker, &shared, &*site.clock, &cancel);
            None
        };
        lanes.start(Lane::Relay, work, ended);
    }

    /// The link is to end with the process.
    pub(in crate::daemon) fn end(&self) {
        if let Some(running) = self.link.lock().take() {
            running.cancel.cancel();
            running.waker.data();
        }
    }
}

/// What of a link the core hears, not more often than it has use for.
fn teller(lanes: &Lanes, run: u64, queue: Arc<Mutex<Option<Queue>>>) -> Shared {
    let (results, clock) = (lanes.sender(), Arc::clone(&lanes.site.clock));
    let last: Mutex<Option<(Mono, State, bool)>> = Mutex::default();
    Shared::telling(move |snapshot: &Snapshot| {
        let status = told(snapshot, &queue);
        let (now, is_empty) = (clock.now().mono, status.queue_events == 0);
        let mut last = last.lock();
        let is_new = last.is_none_or(|(at, state, was_empty)| {
            state != snapshot.state || is_empty != was_empty || is_empty || now.since(at) >= TELL_EVERY
        });
        if is_new {
            *last = Some((now, snapshot.state, is_empty));
            drop(results.send(Event::Link(run, Box::new(status)).into()));
        }
    })
}

/// How a link stands, and what waits.
fn told(snapshot: &Snapshot, queue: &Mutex<Option<Queue>>) -> RelayStatus {
    let queue = queue.lock().clone();
    let stats = queue.and_then(|queue| queue.lock().stats().ok()).unwrap_or_default();
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    RelayStatus {
        state: match snapshot.state {
            // It has said nothing yet.
            State::Disabled => RelayState::Connecting,
            State::NeedsLogin => RelayState::NeedsLogin,
            State::Idle => RelayState::Idle,
            State::Connecting => RelayState::Connecting,
            State::Connected => RelayState::Connected,
            State::Backoff => RelayState::Backoff,
            State::HttpFallback => RelayState::HttpFallback,
        },
        server_url: snapshot.server_url.clone(),
        transport: snapshot.transport.to_owned(),
        leader_pid: i64::from(std::process::id()),
        since_ms: snapshot.since_ms.unwrap_or_default(),
        queue_bytes: count(stats.bytes),
        queue_events: count(stats.events),
        oldest_event_ms: stats.oldest_ms.unwrap_or_default(),
        sent_total: count(snapshot.sent_total),
        acked_total: count(snapshot.acked_total),
        dropped_total: count(stats.dropped_total),
        dead_total: count(stats.dead_total),
        last_ack_ms: snapshot.last_ack_ms.unwrap_or_default(),
        last_error: snapshot.last_error.clone().unwrap_or_default(),
        next_retry_ms: snapshot.next_retry_ms.unwrap_or_default(),
        why: String::new(),
    }
}
