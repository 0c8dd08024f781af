//! Exact times of every call.

use proptest::prelude::*;

use super::*;
use crate::kit::clock::{Clock, SimClock};

const MIN: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

struct Sim {
    clock: SimClock,
    account: Account,
}

impl Sim {
    /// An account whose credentials are good for ever, with a login.
    fn new() -> Sim {
        let clock = SimClock::new("2026-03-01T10:00:00Z".parse().unwrap());
        let mut sim = Sim { clock, account: Account::default() };
        assert_eq!(sim.send(Event::Stored(Some(GoTime(None)))), []);
        sim
    }

    fn logged_in() -> Sim {
        let mut sim = Sim::new();
        assert_eq!(sim.login("one"), [Effect::Repos]);
        assert_eq!(sim.send(Event::ReposDone(CallOutcome::Fine)), []);
        sim
    }

    fn send(&mut self, event: Event) -> Vec<Effect> {
        self.account.handle(self.clock.now(), event)
    }

    fn login(&mut self, fingerprint: &str) -> Vec<Effect> {
        self.send(Event::Login(Some(fingerprint.into())))
    }

    /// How long until the next call.
    fn wait(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.account.next_deadline(now).map(|at| at - now.mono)
    }

    /// Lets the time to the next call pass and takes what is to be done.
    fn next(&mut self) -> (Duration, Vec<Effect>) {
        let wait = self.wait().unwrap();
        if !wait.is_zero() {
            self.clock.advance(wait - Duration::from_nanos(1));
            assert_eq!(self.send(Event::Tick), [], "nothing is early");
            self.clock.advance(Duration::from_nanos(1));
        }
        (wait, self.send(Event::Tick))
    }

    /// The account as a new process finds it.
    fn restart(&mut self, login: &str) -> Vec<Effect> {
        let text = serde_json::to_string(&self.account).unwrap();
        self.account = serde_json::from_str(&text).unwrap();
        assert_eq!(self.send(Event::Stored(Some(GoTime(None)))), []);
        self.login(login)
    }
}

fn ledger() -> Vec<Effect> {
    vec![Effect::Ledger("repo_1".into())]
}

fn want(wanted: bool) -> Event {
    Event::LedgerWanted("repo_1".into(), wanted)
}

fn done(called: CallOutcome) -> Event {
    Event::LedgerDone("repo_1".into(), called)
}

#[test]
fn teams_are_looked_for_every_five_minutes() {
    let mut sim = Sim::logged_in();
    for _ in 0..3 {
        assert_eq!(sim.next(), (REPOS_EVERY, vec![Effect::Repos]));
        assert_eq!(sim.wait(), None, "one call at a time");
        sim.send(Event::ReposDone(CallOutcome::Fine));
    }
}

#[test]
fn nobody_logged_in_asks_nothing() {
    let mut sim = Sim::new();
    assert_eq!(sim.send(want(true)), []);
    assert_eq!(sim.send(Event::GitRefused), []);
    assert_eq!(sim.wait(), None);
    assert_eq!(sim.login("one"), [vec![Effect::Repos], ledger()].concat());
    sim.send(Event::ReposDone(CallOutcome::Fine));
    sim.send(done(CallOutcome::Fine));
    assert_eq!(sim.send(Event::Login(None)), []);
    assert_eq!(sim.wait(), None);
}

#[test]
fn another_login_asks_at_once_and_the_same_one_does_not() {
    let mut sim = Sim::logged_in();
    assert_eq!(sim.login("one"), []);
    assert_eq!(sim.login("two"), [Effect::Repos]);
    assert_eq!(sim.login("three"), [], "while a call runs");
    assert_eq!(sim.send(Event::ReposDone(CallOutcome::Fine)), [Effect::Repos]);
}

#[test]
fn failures_back_off_unless_the_credentials_are_about_to_end_or_were_refused() {
    let mut sim = Sim::logged_in();
    assert_eq!(sim.next(), (REPOS_EVERY, vec![Effect::Repos]));
    for minutes in [5, 5, 5, 8, 16, 30, 30] {
        sim.send(Event::ReposDone(CallOutcome::Failed));
        assert_eq!(sim.next(), (minutes * MIN, vec![Effect::Repos]), "never sooner than after five minutes");
    }
    sim.send(Event::ReposDone(CallOutcome::Failed));
    sim.clock.advance(4 * MIN);
    assert_eq!(sim.send(Event::GitRefused), [], "asked less than five minutes ago");
    assert_eq!(sim.next(), (MIN, vec![Effect::Repos]));
    sim.send(Event::ReposDone(CallOutcome::Failed));
    sim.clock.advance(10 * MIN);
    assert_eq!(sim.send(Event::Tick), [Effect::Repos], "still refused");
    sim.send(Event::ReposDone(CallOutcome::Fine));
    sim.next();
    for _ in 0..5 {
        sim.send(Event::ReposDone(CallOutcome::Failed));
        sim.next();
    }
    sim.send(Event::ReposDone(CallOutcome::Failed));
    sim.clock.advance(6 * MIN);
    let end = |left: Duration| GoTime(Some(sim.clock.now().wall + left));
    let (later, soon) = (end(HOUR), end(HOUR - Duration::from_nanos(1)));
    assert_eq!(sim.send(Event::Stored(Some(later))), []);
    assert_eq!(sim.send(Event::Stored(Some(soon))), [Effect::Repos]);
}

#[test]
fn missing_credentials_are_asked_for_every_five_minutes() {
    let mut sim = Sim::logged_in();
    sim.send(Event::Stored(None));
    for _ in 0..9 {
        assert_eq!(sim.next(), (REPOS_EVERY, vec![Effect::Repos]));
        sim.send(Event::ReposDone(CallOutcome::Failed));
    }
}

#[test]
fn a_ledger_is_looked_for_until_it_is_found() {
    let mut sim = Sim::logged_in();
    assert_eq!(sim.send(want(true)), ledger());
    assert_eq!(sim.send(want(true)), [], "one call at a time");
    sim.send(done(CallOutcome::Pending));
    for _ in 0..4 {
        assert_eq!(sim.next(), (AGAIN, ledger()), "one that is being made is no failure");
        sim.send(done(CallOutcome::Pending));
    }
    assert_eq!(sim.next(), (AGAIN, [vec![Effect::Repos], ledger()].concat()));
    sim.send(Event::ReposDone(CallOutcome::Fine));
    sim.send(done(CallOutcome::Fine));
    assert_eq!(sim.next(), (REPOS_EVERY, vec![Effect::Repos]));
}

/// Lets only the search for the ledger run: the other call never ends.
fn only_lookups() -> Sim {
    let mut sim = Sim::logged_in();
    assert_eq!(sim.next().1, [Effect::Repos]);
    assert_eq!(sim.send(want(true)), ledger());
    sim
}

#[test]
fn a_search_that_fails_backs_off_and_the_network_never_counts() {
    let mut sim = only_lookups();
    for minutes in [1, 2, 4] {
        sim.send(done(CallOutcome::Failed));
        assert_eq!(sim.next(), (minutes * MIN, ledger()));
    }
    for _ in 0..3 {
        sim.send(done(CallOutcome::Network));
        assert_eq!(sim.next(), (AGAIN, ledger()));
    }
    for minutes in [8, 16, 30, 30] {
        sim.send(done(CallOutcome::Failed));
        assert_eq!(sim.next(), (minutes * MIN, ledger()));
    }
    sim.send(done(CallOutcome::Pending));
    sim.next();
    sim.send(done(CallOutcome::Failed));
    assert_eq!(sim.next(), (MIN, ledger()), "it answered in between");
    sim.send(want(false));
    assert_eq!(sim.send(done(CallOutcome::Failed)), []);
    assert_eq!(sim.wait(), None);
}

#[test]
fn a_restart_forgets_no_wait() {
    let mut sim = only_lookups();
    for _ in 0..4 {
        sim.send(done(CallOutcome::Failed));
        sim.next();
    }
    sim.send(done(CallOutcome::Failed));
    sim.clock.advance(MIN);
    assert_eq!(sim.restart("one"), [Effect::Repos], "it was not asked for since");
    assert_eq!(sim.send(want(true)), []);
    sim.send(Event::ReposDone(CallOutcome::Fine));
    assert_eq!(sim.restart("one"), [], "it was just asked for");
    assert_eq!(sim.send(want(true)), []);
    for _ in 0..2 {
        assert_eq!(sim.next(), (5 * MIN, vec![Effect::Repos]));
        sim.send(Event::ReposDone(CallOutcome::Fine));
    }
    // The fifth failure's wait is 16 minutes, of which one had gone by.
    assert_eq!(sim.next(), (5 * MIN, [vec![Effect::Repos], ledger()].concat()));
}

#[test]
fn a_version_that_is_no_longer_served_stops_everything_for_an_hour() {
    let mut sim = Sim::logged_in();
    sim.send(want(true));
    sim.send(done(CallOutcome::Unsupported));
    assert_eq!(sim.login("two"), [], "not even another login");
    assert_eq!(sim.send(Event::GitRefused), []);
    assert_eq!(sim.restart("two"), [], "nor a restart");
    assert_eq!(sim.send(want(true)), []);
    assert_eq!(sim.next(), (HOUR, [vec![Effect::Repos], ledger()].concat()));
}

#[test]
fn a_server_that_asks_for_patience_gets_it_but_not_for_ever() {
    let mut sim = Sim::logged_in();
    sim.send(want(true));
    sim.send(done(CallOutcome::Wait(7 * MIN)));
    assert_eq!(sim.next(), (7 * MIN, [vec![Effect::Repos], ledger()].concat()));
    sim.send(Event::ReposDone(CallOutcome::Wait(100 * HOUR)));
    sim.send(done(CallOutcome::Pending));
    assert_eq!(sim.next().0, HOUR);
}

#[test]
fn a_refused_login_is_told_once_and_taken_back_when_it_works() {
    let mut sim = Sim::logged_in();
    assert_eq!(sim.send(want(true)), ledger());
    assert_eq!(sim.send(done(CallOutcome::Unauthorized)), [Effect::RaiseAuth]);
    assert!(sim.account.needs_login());
    assert_eq!(sim.next(), (REFUSED_LOGIN, vec![Effect::Repos]), "only one call, and seldom");
    assert_eq!(sim.send(Event::ReposDone(CallOutcome::Unauthorized)), []);
    assert_eq!(sim.restart("one"), [Effect::RaiseAuth], "what was told is not on disk");
    assert_eq!(sim.send(want(true)), []);
    assert_eq!(sim.login("two"), [vec![Effect::Repos], ledger()].concat());
    assert!(!sim.account.needs_login());
    assert_eq!(sim.send(done(CallOutcome::Pending)), [Effect::ClearAuth]);
    assert_eq!(sim.send(Event::ReposDone(CallOutcome::Fine)), []);
    sim.next();
    assert_eq!(sim.send(done(CallOutcome::Unauthorized)), [Effect::RaiseAuth]);
    assert_eq!(sim.send(Event::Login(None)), [Effect::ClearAuth], "who logged out wants none");
}

#[test]
fn a_refused_login_that_works_again_lets_the_searches_go_on() {
    let mut sim = Sim::logged_in();
    sim.send(want(true));
    sim.send(done(CallOutcome::Unauthorized));
    sim.next();
    assert_eq!(sim.send(Event::ReposDone(CallOutcome::Fine)), [vec![Effect::ClearAuth], ledger()].concat());
}

#[test]
fn another_login_forgets_what_the_old_one_was_refused() {
    let mut sim = Sim::logged_in();
    sim.send(want(true));
    sim.send(done(CallOutcome::Failed));
    assert_eq!(sim.login("two"), [vec![Effect::Repos], ledger()].concat());
    sim.send(Event::ReposDone(CallOutcome::Fine));
    sim.send(done(CallOutcome::Failed));
    assert_eq!(sim.login("two"), []);
    assert_eq!(sim.wait(), Some(MIN));
}

#[test]
fn a_clock_that_was_set_back_delays_nothing_beyond_its_wait() {
    let mut sim = only_lookups();
    sim.send(Event::ReposDone(CallOutcome::Fine));
    sim.send(done(CallOutcome::Failed));
    sim.clock = SimClock::new("2020-01-01T00:00:00Z".parse().unwrap());
    assert!(sim.wait().unwrap() <= REPOS_EVERY);
    sim.send(done(CallOutcome::Unsupported));
    sim.clock = SimClock::new("2010-01-01T00:00:00Z".parse().unwrap());
    assert!(sim.wait().unwrap() <= HOUR);
}

#[test]
fn a_machine_that_slept_asks_once() {
    let mut sim = Sim::logged_in();
    sim.clock.suspend(24 * HOUR);
    assert_eq!(sim.wait(), Some(Duration::ZERO));
    assert_eq!(sim.send(Event::Tick), [Effect::Repos]);
    assert_eq!(sim.send(Event::Tick), []);
}

#[test]
fn the_number_of_searches_is_bounded_and_old_ones_give_way() {
    let mut sim = Sim::logged_in();
    for n in 0..LOOKUPS_MAX + 5 {
        sim.send(Event::LedgerWanted(format!("repo_{n}"), true));
    }
    assert_eq!(sim.account.lookups.len(), LOOKUPS_MAX);
    sim.restart("one");
    let newcomer = Event::LedgerWanted("repo_new".into(), true);
    assert_eq!(sim.send(newcomer), [Effect::Ledger("repo_new".into())]);
    assert_eq!(sim.account.lookups.len(), LOOKUPS_MAX);
}

proptest! {
    /// Whatever happens in whatever order: no call of a kind beside another, none too soon after the last one with the same login,
    /// and always a next deadline while there is something to ask.
    #[test]
    fn calls_are_never_doubled_nor_forgotten(steps in prop::collection::vec((0u8..12, 0u64..4000), 1..120)) {
        let mut sim = Sim::new();
        let (mut repos, mut ledgers, mut last, mut login) = (false, false, None::<(Timestamp, u64)>, 0);
        for (what, seconds) in steps {
            sim.clock.advance(Duration::from_secs(seconds));
            let called = match seconds % 7 {
                0 => CallOutcome::Fine,
                1 => CallOutcome::Pending,
                2 => CallOutcome::Unauthorized,
                3 => CallOutcome::Unsupported,
                4 => CallOutcome::Wait(Duration::from_secs(seconds)),
                5 => CallOutcome::Network,
                _ => CallOutcome::Failed,
            };
            let event = match what {
                0 => { login += 1; Event::Login(Some(login.to_string())) }
                1 => Event::Stored(None),
                2 => Event::GitRefused,
                3 => want(true),
                4..=6 if repos => { repos = false; Event::ReposDone(called) }
                7..=9 if ledgers => { ledgers = false; done(called) }
                _ => Event::Tick,
            };
            for effect in sim.send(event) {
                match effect {
                    Effect::Repos => {
                        prop_assert!(!repos);
                        repos = true;
                        let now = sim.clock.now().wall;
                        if let Some((at, with)) = last && with == login {
                            prop_assert!(until(at, now) >= REPOS_EVERY);
                        }
                        last = Some((now, login));
                    }
                    Effect::Ledger(_) => { prop_assert!(!ledgers); ledgers = true; }
                    _ => {}
                }
            }
            if login > 0 && !repos {
                prop_assert!(sim.wait().is_some_and(|wait| wait <= HOUR));
            }
        }
    }
}
