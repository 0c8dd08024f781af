//! When a server is asked about an account: pure policy, one for each endpoint, driven by the core's clock.
//!
//! All times are the wall clock's, so that a restart does not forget how long to wait, and a machine that slept goes on at once. No
//! time may lie further ahead than the wait that made it, whatever the clock was set to.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kit::backoff::Backoff;
use crate::kit::clock::{Mono, Now};
use crate::kit::gotime::GoTime;
use crate::project::limits::EXPIRING_SOON;

/// Teams are looked for this often, and credentials are never asked for more often.
pub const REPOS_EVERY: Duration = Duration::from_secs(5 * 60);
/// A ledger that is still being made is looked for this often; so is anything after a failure of the network.
pub const AGAIN: Duration = Duration::from_secs(60);
/// After other failures: 1, 2, 4, 8, 16, 30, 30 … minutes.
pub const BACKOFF: Backoff = Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(30 * 60) };
/// A login that was refused is tried again this often; a new one at once.
pub const REFUSED_LOGIN: Duration = Duration::from_secs(30 * 60);
/// Nothing is asked for so long after the server no longer serves this version.
pub const UNSUPPORTED: Duration = Duration::from_secs(60 * 60);
/// The most repositories whose ledgers are looked for; the ones beyond wait for room.
pub const LOOKUPS_MAX: usize = 256;

/// How a call ended, as far as policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It has what was asked for.
    Fine,
    /// What was asked for is still being made.
    Pending,
    /// The login is not accepted, or there is none.
    Unauthorized,
    /// The server no longer serves this version.
    Unsupported,
    /// The server asks for patience.
    Wait(Duration),
    /// The network failed, or this machine was busy: nothing counts.
    Network,
    /// It failed.
    Failed,
}

/// What the account hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The login that is stored, by a fingerprint; `None` = none. At the start, and when the file changed.
    Login(Option<String>),
    /// The git credentials that are stored, by their end; `None` = none. At the start, and when the file changed.
    Stored(Option<GoTime>),
    /// Git was refused with the credentials.
    GitRefused,
    /// A project of this repository needs to know where its ledger is, or no longer does.
    LedgerWanted(String, bool),
    /// [`Effect::Repos`] has ended.
    ReposDone(CallOutcome),
    /// [`Effect::Ledger`] has ended.
    LedgerDone(String, CallOutcome),
    /// A deadline has come.
    Tick,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask for credentials and teams.
    Repos,
    /// Ask where the ledger of this repository is.
    Ledger(String),
    /// The login does not work: tell the user.
    RaiseAuth,
    /// It does again.
    ClearAuth,
}

/// What is known about an account. What is written to disk is what a restart must not forget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// When credentials and teams were last asked for, and with which login.
    repos_called: Option<Timestamp>,
    repos_login: Option<String>,
    repos_failures: u32,
    repos_retry: Option<Timestamp>,
    /// The login that was refused.
    refused: Option<String>,
    /// Nothing at all is asked before.
    stopped: Option<Timestamp>,
    lookups: BTreeMap<String, Lookup>,
    #[serde(skip)]
    login: Option<String>,
    /// The end of the stored git credentials; `None` outside = there are none.
    #[serde(skip)]
    stored: Option<GoTime>,
    #[serde(skip)]
    git_refused: bool,
    #[serde(skip)]
    repos_running: bool,
    #[serde(skip)]
    raised: bool,
}

/// The search for one ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Lookup {
    failures: u32,
    retry: Option<Timestamp>,
    #[serde(skip)]
    wanted: bool,
    #[serde(skip)]
    running: bool,
}

impl Account {
    /// Takes an event and says what to do now.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let wall = now.wall;
        let mut effects = Vec::new();
        match event {
            Event::Login(login) => self.login_is(login, &mut effects),
            Event::Stored(stored) => {
                self.stored = stored;
                self.git_refused = false;
            }
            Event::GitRefused => self.git_refused = true,
            Event::LedgerWanted(repo_id, wanted) => self.want(repo_id, wanted),
            Event::ReposDone(called) => self.repos_done(wall, called, &mut effects),
            Event::LedgerDone(repo_id, called) => self.ledger_done(wall, &repo_id, called, &mut effects),
            Event::Tick => {}
        }
        self.start_due(wall, &mut effects);
        effects
    }

    /// When to send a [`Event::Tick`]; `None` while nothing is to be asked.
    pub fn next_deadline(&self, now: Now) -> Option<Mono> {
        let lookups = self.lookups.values().filter_map(|lookup| self.lookup_due(now.wall, lookup));
        let at = lookups.chain(self.repos_due(now.wall)).min()?;
        Some(now.mono + until(now.wall, at))
    }

    /// Whether the stored login was refused and waits for a person.
    pub fn needs_login(&self) -> bool {
        self.refused.is_some() && self.refused == self.login
    }

    fn login_is(&mut self, login: Option<String>, effects: &mut Vec<Effect>) {
        if self.login != login {
            // What another login was refused says nothing about this one.
            for lookup in self.lookups.values_mut().filter(|_| self.repos_login != login) {
                *lookup = Lookup { wanted: lookup.wanted, running: lookup.running, ..Lookup::default() };
            }
            self.login = login;
        }
        if self.needs_login() && !self.raised {
            self.raised = true;
            effects.push(Effect::RaiseAuth);
        }
        if self.login.is_none() && std::mem::take(&mut self.raised) {
            effects.push(Effect::ClearAuth);
        }
    }

    fn want(&mut self, repo_id: String, wanted: bool) {
        if !wanted {
            self.lookups.remove(&repo_id);
        } else if self.lookups.contains_key(&repo_id)
            || self.lookups.len() < LOOKUPS_MAX
            || self.drop_unwanted()
        {
            self.lookups.entry(repo_id).or_default().wanted = true;
        }
    }

    /// Forgets one search that was read from disk and that nobody wants any more.
    fn drop_unwanted(&mut self) -> bool {
        let unwanted = self.lookups.iter().find(|(_, lookup)| !lookup.wanted).map(|(id, _)| id.clone());
        unwanted.is_some_and(|id| self.lookups.remove(&id).is_some())
    }

    fn repos_done(&mut self, now: Timestamp, called: CallOutcome, effects: &mut Vec<Effect>) {
        self.repos_running = false;
        self.heard(now, called, effects);
        match called {
            CallOutcome::Fine => {
                (self.repos_failures, self.repos_retry) = (0, None);
                self.git_refused = false;
            }
            CallOutcome::Failed => {
                self.repos_failures = self.repos_failures.saturating_add(1);
                self.repos_retry = after(now, BACKOFF.delay(self.repos_failures));
            }
            _ => {}
        }
    }

    fn ledger_done(&mut self, now: Timestamp, repo_id: &str, called: CallOutcome, effects: &mut Vec<Effect>) {
        self.heard(now, called, effects);
        let Some(lookup) = self.lookups.get_mut(repo_id) else { return };
        lookup.running = false;
        match called {
            CallOutcome::Fine => {
                self.lookups.remove(repo_id);
            }
            CallOutcome::Pending => {
                *lookup = Lookup { wanted: true, retry: after(now, AGAIN), ..Lookup::default() }
            }
            CallOutcome::Failed => {
                lookup.failures = lookup.failures.saturating_add(1);
                lookup.retry = after(now, BACKOFF.delay(lookup.failures));
            }
            CallOutcome::Network => lookup.retry = after(now, AGAIN),
            // These wait with all others.
            CallOutcome::Unauthorized | CallOutcome::Unsupported | CallOutcome::Wait(_) => {}
        }
    }

    /// What any answer says about the login and about the server as a whole.
    fn heard(&mut self, now: Timestamp, called: CallOutcome, effects: &mut Vec<Effect>) {
        match called {
            CallOutcome::Fine | CallOutcome::Pending => {
                self.refused = None;
                if std::mem::take(&mut self.raised) {
                    effects.push(Effect::ClearAuth);
                }
            }
            CallOutcome::Unauthorized => {
                self.refused = self.login.clone();
                if !std::mem::replace(&mut self.raised, true) {
                    effects.push(Effect::RaiseAuth);
                }
            }
            CallOutcome::Unsupported => self.stopped = after(now, UNSUPPORTED),
            CallOutcome::Wait(wait) => self.stopped = after(now, wait.min(UNSUPPORTED)),
            CallOutcome::Network | CallOutcome::Failed => {}
        }
    }

    fn start_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if due(self.repos_due(now)) {
            // Noted before the call, so that no second one begins while it runs or after a restart in the middle.
            self.repos_called = Some(now);
            self.repos_login = self.login.clone();
            self.repos_running = true;
            effects.push(Effect::Repos);
        }
        let ready = self.lookups.iter().filter(|(_, lookup)| due(self.lookup_due(now, lookup)));
        let ready: Vec<String> = ready.map(|(id, _)| id.clone()).collect();
        for id in ready {
            self.lookups.entry(id.clone()).and_modify(|lookup| lookup.running = true);
            effects.push(Effect::Ledger(id));
        }
    }

    fn repos_due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.repos_running || self.login.is_none() {
            return None;
        }
        let stopped = bounded(self.stopped, now, UNSUPPORTED);
        if self.repos_login != self.login {
            return Some(stopped);
        }
        let called = self.repos_called.map(|at| at.min(now));
        let since = |wait| called.and_then(|at| after(at, wait)).unwrap_or(now);
        let soon = self.stored.is_none_or(|end| end.0.is_some_and(|end| end.duration_since(now) < soon()));
        let mut due = since(REPOS_EVERY);
        if !soon && !self.git_refused {
            due = due.max(bounded(self.repos_retry, now, BACKOFF.cap));
        }
        if self.needs_login() {
            due = due.max(since(REFUSED_LOGIN));
        }
        Some(due.max(stopped))
    }

    fn lookup_due(&self, now: Timestamp, lookup: &Lookup) -> Option<Timestamp> {
        // With a refused login only the call for credentials is tried; its success lets these go on.
        if lookup.running || !lookup.wanted || self.login.is_none() || self.needs_login() {
            return None;
        }
        let retry = bounded(lookup.retry, now, BACKOFF.cap);
        Some(retry.max(bounded(self.stopped, now, UNSUPPORTED)))
    }
}

fn soon() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(EXPIRING_SOON).unwrap_or(jiff::SignedDuration::MAX)
}

/// A time to wait for, no further away than `most`; without one, now.
fn bounded(at: Option<Timestamp>, now: Timestamp, most: Duration) -> Timestamp {
    let latest = after(now, most).unwrap_or(now);
    at.map_or(now, |at| at.min(latest))
}

fn after(now: Timestamp, wait: Duration) -> Option<Timestamp> {
    Some(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;
