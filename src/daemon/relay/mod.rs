//! The relay: whether stored events are sent to a server, when they are put into its queue, and the one link that sends them.
//!
//! How the link behaves is [`crate::relay`]'s matter; this part says when there is one, and for whom.

pub mod event;
mod sending;
mod waiting;
pub(super) mod work;

pub use crate::relay::settle::SETTLE;
pub use sending::{SendError, relay_account, relay_preview, relay_queue, send_once};

use std::time::Duration;

use super::cx::Cx;
use super::fact::Fact;
use crate::health::issues::Healed;
use crate::health::{Issue, IssueKind, Issues};
use crate::ipc::ConnId;
use crate::ipc::wire::{RelayState, RelayStatus, Response};
use crate::kit::backoff::Backoff;
use crate::kit::clock::Mono;
use crate::relay::account::Account;
use crate::sync::LEDGER;
use event::{Effect, Event, Fed, More, Off, Timer};

/// Whether there is a login is looked at again after this, if there is none (relay and hooks, A.1).
pub const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Where nobody wants it, somebody at work has it looked again, this often at most.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// What failed is tried again after this.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// Whoever waits until all is sent is answered after this at the latest.
pub const FLUSH_MAX: Duration = Duration::from_secs(25);
/// Unsent events keep the process from ending for want of work for so long (relay and hooks, C.2).
pub const UNSENT_HOLD: Duration = Duration::from_secs(10 * 60);
/// Requests that wait; a further one is answered `busy`.
const WAITING_MAX: usize = 16;

/// Who waits for what.
#[derive(Debug)]
enum Waiter {
    /// A look, of this number or later.
    Look(ConnId, u64),
    /// All being sent: so many were before.
    Flush(ConnId, i64),
    /// The link's end.
    End(ConnId),
}

/// The relay of the user.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Whose events go where; `off` says why none do.
    account: Option<Account>,
    off: Off,
    /// How many looks were begun; one at a time.
    looks: u64,
    looking: bool,
    look_again: bool,
    /// What the one under way finds is older than a stop, and counts for nothing.
    look_is_old: bool,
    looked: Option<Mono>,
    feeding: bool,
    feed_again: bool,
    /// All are to be put in, settled or not.
    feed_all: bool,
    /// How often in a row that has failed.
    feed_failures: u32,
    /// The link that there is, and whether it is to end.
    link: Option<(u64, bool)>,
    links: u64,
    /// How often in a row it has ended by its own fault.
    link_failures: u32,
    /// How the link stands; as the last one did, if there is none.
    shown: RelayStatus,
    /// Since when something waits to be sent.
    unsent: Option<Mono>,
    /// Events that were given up when it was last empty.
    dropped: i64,
    waiting: Vec<Waiter>,
    issues: Issues,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Relay(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Relay(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Relay(timer)
    }
}

impl Relay {
    pub(super) fn start(&mut self, cx: &mut Cx) {
        self.look(cx);
    }

    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Looked(found) => self.looked(cx, found),
            Event::Fed(came) => self.fed(cx, came),
            Event::Link(run, status) => self.told(cx, run, *status),
            Event::Ended(run, why) => self.ended(cx, run, why),
            Event::Told(conn, response) => cx.reply(conn, response),
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, timer: Timer) {
        match timer {
            Timer::Look => self.look(cx),
            Timer::Feed => self.feed(cx),
            Timer::Open => self.open(cx),
            Timer::Flush => self.flushed(cx),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            // At once, for it is then that events begin to settle.
            Fact::EventsStored if self.account.is_some() => cx.set_in_once(Timer::Feed, Duration::ZERO),
            // The configuration may say something else by now.
            Fact::Heard { .. } => {
                let is_old = self.looked.is_some_and(|at| cx.now.mono.since(at) >= ASK_EVERY);
                if self.account.is_none() && is_old {
                    self.look(cx);
                }
            }
            // A login may have ended meanwhile, and what the link waits for.
            Fact::Jumped if self.account.is_some() => {
                self.look(cx);
                cx.push(Effect::Login);
            }
            _ => {}
        }
    }

    /// How it stands.
    pub(super) fn status_asked(&self, cx: &mut Cx, conn: ConnId) {
        cx.push(Effect::Tell(conn, Box::new(self.status())));
    }

    /// The settings or the login have changed: they are looked at before the answer.
    pub(super) fn reload_asked(&mut self, cx: &mut Cx, conn: ConnId) {
        if self.waits(cx, Waiter::Look(conn, self.looks + 1)) {
            self.look(cx);
        }
    }

    /// All that is stored is to be sent before the answer.
    pub(super) fn flush_asked(&mut self, cx: &mut Cx, conn: ConnId) {
        if self.account.is_none() {
            return cx.reply(conn, Response::error(self.off.text()));
        }
        if self.waits(cx, Waiter::Flush(conn, self.shown.acked_total)) {
            self.feed_all = true;
            self.feed(cx);
            cx.push(Effect::Login);
            cx.set_in_once(Timer::Flush, FLUSH_MAX);
        }
    }

    /// The link is to end, and there is none until it is looked again.
    pub(super) fn stop_asked(&mut self, cx: &mut Cx, conn: ConnId) {
        if self.waits(cx, Waiter::End(conn)) {
            self.looked = Some(cx.now.mono);
            self.look_is_old = self.looking;
            self.leave(cx, Off::Disabled);
            self.answer_ended(cx);
        }
    }

    fn waits(&mut self, cx: &mut Cx, who: Waiter) -> bool {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(who);
            return true;
        }
        let (Waiter::Look(conn, _) | Waiter::Flush(conn, _) | Waiter::End(conn)) = who;
        cx.reply(conn, Response::busy("too many ask for the relay"));
        false
    }

    /// What of it a status page shows; none where nobody wants it.
    pub(super) fn shown(&self) -> Option<RelayStatus> {
        let is_wanted = self.account.is_some() || !matches!(self.off, Off::Disabled);
        is_wanted.then(|| self.status())
    }

    /// Whether the process is to stay because of what is to be sent.
    pub(super) fn holds(&self, now: Mono) -> bool {
        self.account.is_some() && self.unsent.is_some_and(|since| now.since(since) < UNSENT_HOLD)
    }

    /// What keeps events from being sent.
    pub(super) fn issues(&self) -> Vec<Issue> {
        self.issues.sorted()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.issues.sorted().len()
    }

    fn status(&self) -> RelayStatus {
        match &self.account {
            Some(account) => RelayStatus { server_url: account.server_url.clone(), ..self.shown.clone() },
            None => RelayStatus { state: self.off.state(), why: self.off.text(), ..RelayStatus::default() },
        }
    }

    /// Has it looked whether anything is to be sent: one look at a time, so that the last one says how it is.
    fn look(&mut self, cx: &mut Cx) {
        if self.looking {
            self.look_again = true;
            return;
        }
        self.looking = true;
        self.looks += 1;
        cx.push(Effect::Look);
    }

    fn looked(&mut self, cx: &mut Cx, found: Result<Account, Off>) {
        self.looking = false;
        self.looked = Some(cx.now.mono);
        let is_old = std::mem::take(&mut self.look_is_old);
        if std::mem::take(&mut self.look_again) {
            return self.look(cx);
        }
        match found {
            _ if is_old => {}
            Ok(account) => self.found(cx, account),
            Err(off) => self.leave(cx, off),
        }
        let looks = self.looks;
        for who in self.take(|who| matches!(who, Waiter::Look(_, look) if *look <= looks)) {
            if let Waiter::Look(conn, _) = who {
                self.status_asked(cx, conn);
            }
        }
        show(cx);
    }

    fn found(&mut self, cx: &mut Cx, account: Account) {
        cx.set(Timer::Look, None);
        self.issues.heal(LEDGER, Healed::RelayLoggedIn);
        if self.account.as_ref() == Some(&account) {
            // What the link waits for may be there now.
            cx.push(Effect::Login);
            return self.feed(cx);
        }
        self.close(cx);
        self.account = Some(account);
        // Until the link says something.
        self.shown = RelayStatus { state: RelayState::Connecting, ..RelayStatus::default() };
        self.unsent = None;
        self.open(cx);
        self.feed(cx);
    }

    /// Nothing is sent from now on.
    fn leave(&mut self, cx: &mut Cx, off: Off) {
        self.close(cx);
        (self.account, self.unsent, self.feed_failures) = (None, None, 0);
        (self.feed_again, self.feed_all) = (false, false);
        cx.set(Timer::Feed, None);
        cx.set(Timer::Open, None);
        cx.set(Timer::Look, off.is_looked_at_again().then(|| cx.now.mono + LOOK_EVERY));
        let is_told = matches!(off, Off::LoggedOut | Off::NeedsLogin | Off::NoServer | Off::NoConsent);
        if is_told {
            let text = format!("events of agents are not sent: {}", off.text());
            self.issues.raise(IssueKind::RelayNeedsLogin, LEDGER, text, cx.now.wall);
        } else {
            self.issues.heal(LEDGER, Healed::RelayLoggedIn);
            self.issues.heal(LEDGER, Healed::RelaySent);
        }
        if let Off::Unknown(why) = &off
            && off != self.off
        {
            log::warn!("whether events are to be sent is not known: {why}");
        }
        self.off = off;
        self.flushed(cx);
        show(cx);
    }

    /// Has a link, unless there is one or the last one has not ended yet.
    fn open(&mut self, cx: &mut Cx) {
        if let Some(account) = &self.account
            && self.link.is_none()
        {
            self.links += 1;
            self.link = Some((self.links, false));
            cx.push(Effect::Open(self.links, account.clone()));
        }
    }

    fn close(&mut self, cx: &mut Cx) {
        if let Some((_, ends)) = &mut self.link
            && !*ends
        {
            *ends = true;
            cx.push(Effect::Close);
        }
    }

    fn ended(&mut self, cx: &mut Cx, run: u64, why: Option<String>) {
        let Some((_, was_to_end)) = self.link.take_if(|(link, _)| *link == run) else { return };
        self.answer_ended(cx);
        if was_to_end {
            return self.open(cx);
        }
        // It may be because there is nothing to be sent any more, or for somebody else.
        self.look(cx);
        self.link_failures += 1;
        let wait = RETRY.delay(self.link_failures);
        let why = why.unwrap_or_else(|| "it has ended".to_owned());
        log::error!("the link to the relay's server is begun again in {} s: {why}", wait.as_secs());
        self.shown.last_error = why;
        self.shown.state = RelayState::Backoff;
        cx.set_in(Timer::Open, wait);
        show(cx);
    }

    fn told(&mut self, cx: &mut Cx, run: u64, status: RelayStatus) {
        if self.link.is_none_or(|(link, _)| link != run) {
            return;
        }
        if status.acked_total > self.shown.acked_total {
            self.link_failures = 0;
        }
        self.unsent = match status.queue_events {
            0 => None,
            _ if status.acked_total > self.shown.acked_total => Some(cx.now.mono),
            _ => self.unsent.or(Some(cx.now.mono)),
        };
        match status.state {
            RelayState::NeedsLogin => {
                let text = format!("events of agents are not sent: {}", Off::NeedsLogin.text());
                self.issues.raise(IssueKind::RelayNeedsLogin, LEDGER, text, cx.now.wall);
            }
            RelayState::Connected | RelayState::HttpFallback => {
                self.issues.heal(LEDGER, Healed::RelayLoggedIn);
            }
            _ => {}
        }
        self.shown = status;
        self.tell_dropped(cx);
        let is_final = self.shown.state == RelayState::NeedsLogin;
        let is_done = self.shown.queue_events == 0 && !self.feeding && !self.feed_again;
        if is_final || is_done {
            self.flushed(cx);
        }
        show(cx);
    }

    /// Events that were given up because the queue was full are an issue until all is sent.
    fn tell_dropped(&mut self, cx: &Cx) {
        if self.shown.queue_events == 0 {
            self.dropped = self.shown.dropped_total;
            self.issues.heal(LEDGER, Healed::RelaySent);
        } else if self.shown.dropped_total > self.dropped {
            let lost = self.shown.dropped_total - self.dropped;
            let text = format!(
                "the queue of the relay is full: {lost} of the oldest events are lost; ox relay status"
            );
            self.issues.raise(IssueKind::RelayQueueFull, LEDGER, text, cx.now.wall);
        }
    }

    fn feed(&mut self, cx: &mut Cx) {
        let Some(account) = self.account.clone() else { return };
        if self.feeding {
            self.feed_again = true;
            return;
        }
        self.feeding = true;
        let all = std::mem::take(&mut self.feed_all);
        cx.set(Timer::Feed, None);
        cx.push(Effect::Feed { account, all });
    }

    fn fed(&mut self, cx: &mut Cx, came: Result<Fed, String>) {
        self.feeding = false;
        let again = std::mem::take(&mut self.feed_again);
        if self.account.is_none() {
            return self.answer_ended(cx);
        }
        let wait = match came {
            Ok(fed) => {
                self.feed_failures = 0;
                if fed.new > 0 {
                    self.unsent.get_or_insert(cx.now.mono);
                    cx.push(Effect::Wake);
                }
                if fed.queued == 0 && fed.more == More::None && !again {
                    self.flushed(cx);
                }
                match fed.more {
                    More::Settled => Some(Duration::ZERO),
                    _ if again => Some(Duration::ZERO),
                    More::Unsettled => Some(SETTLE),
                    More::None => None,
                }
            }
            Err(why) => {
                if self.feed_failures == 0 {
                    log::warn!("events cannot be put into the queue of the relay: {why}");
                }
                self.feed_failures += 1;
                Some(RETRY.delay(self.feed_failures))
            }
        };
        match wait {
            Some(Duration::ZERO) => self.feed(cx),
            wait => cx.set(Timer::Feed, wait.map(|wait| cx.now.mono + wait)),
        }
    }
}

/// Every project shows it.
fn show(cx: &mut Cx) {
    let ids: Vec<_> = cx.shared.projects().keys().cloned().collect();
    ids.iter().for_each(|id| cx.stale_soon(id));
}
