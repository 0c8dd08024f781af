//! Hosts that do not answer: whose run tries each of them again, and what a run says about its host.

use std::collections::BTreeMap;

use super::{CloneState, Clones};
use crate::daemon::cx::Cx;
use crate::daemon::names::Key;
use crate::kit::Class;
use crate::kit::clock::Mono;
use crate::sync::{Admission, CircuitBreaker, End, Outcome};

/// The breakers of hosts.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    breakers: BTreeMap<String, CircuitBreaker>,
    /// Whose run tried each of them last.
    probed: BTreeMap<String, Key>,
}

impl Hosts {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.breakers.len() + self.probed.len()
    }

    /// The machine slept.
    pub(super) fn jumped(&mut self, now: Mono) {
        self.breakers.values_mut().for_each(|breaker| breaker.jumped(now));
    }

    /// A run of `key` tries whether the host is back. False if nobody waits for that.
    pub(super) fn probe_started(&mut self, now: Mono, host: &str, key: &Key) -> bool {
        let Some(breaker) = self.breakers.get_mut(host) else { return false };
        breaker.probe_started(now);
        self.probed.insert(host.to_string(), key.clone());
        true
    }
}

/// What a run says about a host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostVerdict {
    /// It answered, if only with a refusal.
    Answered,
    /// It did not answer.
    Silent,
    /// It was not asked, or that cannot be told.
    Unknown,
}

fn verdict(end: &End) -> HostVerdict {
    match end {
        End::UpToDate(_) => HostVerdict::Answered,
        End::Failed(failure) => match failure.class {
            Class::Network => HostVerdict::Silent,
            Class::Auth | Class::Conflict => HostVerdict::Answered,
            _ => HostVerdict::Unknown,
        },
        End::Skipped(_) | End::NoClone | End::PutAside(_) => HostVerdict::Unknown,
    }
}

impl Clones {
    /// What the breaker of a clone's remote says; always open for a directory of this machine.
    pub(super) fn pass(&self, cx: &Cx, key: &Key) -> Admission {
        let host = self.states.get(key).and_then(CloneState::host);
        host.and_then(|host| self.hosts.breakers.get(host))
            .map_or(Admission::Open, |breaker| breaker.admission(cx.now.mono))
    }

    /// Which clone's run tries whether the host is back, if it is not that of `key`: they take turns, so that one whose own remote never
    /// answers does not keep all others waiting.
    pub(super) fn whose_turn_to_probe(&self, cx: &Cx, key: &Key) -> Option<Key> {
        let host = self.states.get(key)?.host()?;
        let last = self.hosts.probed.get(host);
        let due = |(_, s): &(&Key, &CloneState)| {
            s.host() == Some(host) && !s.work.is_gc() && s.schedule.is_due(cx.now.mono)
        };
        let after_last = self.states.iter().filter(due).find(|(key, _)| last.is_none_or(|last| *key > last));
        let (turn, _) = after_last.or_else(|| self.states.iter().find(due))?;
        (turn != key).then(|| turn.clone())
    }

    /// A run that was to find out whether `host` is back has found out nothing: the next one's turn is at the next probe.
    pub(super) fn probe_came_to_nothing(&mut self, cx: &mut Cx, host: &str) {
        if let Some(breaker) = self.hosts.breakers.get_mut(host) {
            breaker.failed(cx.now.mono);
        }
        self.plan_host(cx, host);
    }

    /// The run whose turn it was to try `host` has become a clone, which may take long: one that has a clone tries in its place, at once,
    /// for this probe has told nothing yet.
    pub(super) fn pass_on_probe(&mut self, cx: &mut Cx, key: &Key, host: &str) {
        self.probe_came_to_nothing(cx, host);
        let able = |(_, s): &(&Key, &CloneState)| {
            s.exists() && s.host() == Some(host) && s.schedule.is_due(cx.now.mono)
        };
        let next = self.states.iter().find(able).map(|(key, _)| key.clone());
        if let Some(next) = next
            && self.hosts.breakers.contains_key(host)
        {
            self.start_sync(cx, &next, Admission::Probe);
            // Whose turn is next goes on from the one that was passed over.
            self.hosts.probed.insert(host.to_string(), key.clone());
        }
    }

    /// Plans anew all clones whose remote is on `host`: its breaker has moved.
    fn plan_host(&mut self, cx: &mut Cx, host: &str) {
        let on_host = self.states.iter().filter(|(_, s)| s.host() == Some(host));
        on_host.for_each(|(key, _)| self.plan(cx, key));
    }

    /// Tells the breakers what a run came to: that of the host it asked, and, if it was an attempt to find out whether a host is back, that one.
    pub(super) fn tell_gate(&mut self, cx: &mut Cx, key: &Key, outcome: &Outcome) {
        let Some(state) = self.states.get_mut(key) else { return };
        let (host, probed) = (state.host().map(str::to_string), state.probing.take());
        let verdict = verdict(&outcome.end);
        if let Some(host) = &host {
            match verdict {
                HostVerdict::Silent => self.silent(cx, host, &outcome.end),
                HostVerdict::Answered => {
                    self.hosts.probed.remove(host);
                    if self.hosts.breakers.remove(host).is_some_and(|mut breaker| breaker.answered()) {
                        log::info!("{host} answers again");
                    }
                    self.plan_host(cx, host);
                }
                HostVerdict::Unknown => {}
            }
        }
        // An attempt that found nothing out about its host leaves that to the next one.
        if let Some(probed) = probed
            && (verdict == HostVerdict::Unknown || host.as_ref() != Some(&probed))
        {
            self.probe_came_to_nothing(cx, &probed);
        }
    }

    fn silent(&mut self, cx: &mut Cx, host: &str, end: &End) {
        let breaker = self.hosts.breakers.entry(host.to_string()).or_default();
        let first = breaker.failed(cx.now.mono);
        let End::Failed(failure) = end else { return };
        if let Some(wait) = failure.retry_after {
            breaker.asked_to_wait(cx.now.mono, wait);
        }
        if first {
            log::warn!("{host} does not answer; syncs wait: {}", failure.text);
        }
        self.plan_host(cx, host);
    }
}
