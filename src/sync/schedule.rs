//! When a workspace is synced: pure policy, driven by the core's clock.

use std::time::Duration;

use super::breaker::Admission;
use crate::kit::backoff::Backoff;
use crate::kit::clock::Mono;
use crate::kit::rng::Rng;

/// The time to the next run is up to so many percent less than the interval, so that machines do not march in step; never more, for what
/// others push is promised within one interval.
const JITTER_PERCENT: u32 = 10;
/// The time to the next run ends on a multiple of such a part of the interval, up to that much earlier, so that the runs of many clones
/// fall together and the process is woken once for several.
const GRAIN_PART: u32 = 20;
/// After a sleep of the machine due runs are spread over this time.
pub const AFTER_JUMP: Duration = Duration::from_secs(30);
/// However often a trigger comes again, the run it asks for waits no longer than this.
pub const TRIGGER_MAX: Duration = Duration::from_secs(5);
/// After failed syncs that are not the network's fault: 1, 2, 4, 8, 16, 30, 30 … minutes.
pub const BACKOFF: Backoff = Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(30 * 60) };
/// After failed clones: 1, 2, 4 … 32, 60 minutes.
pub const CLONE_BACKOFF: Backoff =
    Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(60 * 60) };
/// After clones that were refused, which a person can mend any moment: 1, 2, 4, 5, 5 … minutes.
pub const REFUSED_BACKOFF: Backoff =
    Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(5 * 60) };

/// While a host is not trusted: an attempt only reads the list of trusted hosts, and once it is trusted nobody should have to wait.
pub const UNTRUSTED_AGAIN: Duration = Duration::from_secs(15);

/// The numbers of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between runs.
    pub interval: Duration,
    /// A trigger waits this long for further ones.
    pub debounce: Duration,
}

/// A run that is to start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Somebody asked for it and waits: no back-off, no breaker, no skipping because of a recent one.
    pub forced: bool,
    /// It is the attempt that finds out whether the host is back.
    pub probe: bool,
}

/// How a run ended, as far as the schedule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Level with the remote.
    Fine,
    /// Left for good reason (fresh, in use by somebody else): nothing was learnt.
    Skipped,
    /// The network failed: the breaker decides when to go on, nothing counts against the workspace.
    Network,
    /// The remote's host is not trusted: tried again after `UNTRUSTED_AGAIN`.
    Untrusted,
    /// It failed.
    Failed(BackoffKind),
}

/// What failed, as far as the time until the next attempt depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackoffKind {
    /// A sync: `BACKOFF`.
    Sync,
    /// A clone: `CLONE_BACKOFF`.
    Clone,
    /// A clone that was refused: `REFUSED_BACKOFF`.
    CloneRefused,
}

impl BackoffKind {
    fn backoff(self) -> Backoff {
        match self {
            BackoffKind::Sync => BACKOFF,
            BackoffKind::Clone => CLONE_BACKOFF,
            BackoffKind::CloneRefused => REFUSED_BACKOFF,
        }
    }
}

/// When one workspace is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    timing: Timing,
    next: Mono,
    /// First and latest trigger not yet acted on.
    triggered: Option<(Mono, Mono)>,
    failures: u32,
    retry_at: Option<Mono>,
    running: Option<Run>,
    /// A forced run was asked for and could not start at once.
    force_waits: bool,
}

impl Schedule {
    /// A schedule whose first run is at `first`.
    pub fn new(timing: Timing, first: Mono) -> Schedule {
        Schedule {
            timing,
            next: first,
            triggered: None,
            failures: 0,
            retry_at: None,
            running: None,
            force_waits: false,
        }
    }

    /// Something changed that a sync should see; many at once make one run.
    pub fn trigger(&mut self, now: Mono) {
        let first = self.triggered.map_or(now, |(first, _)| first);
        self.triggered = Some((first, now));
    }

    /// Somebody wants a sync now and waits for it. It joins a run in progress that somebody else asked for. One of our own may have begun
    /// before what they want synced, or leave out what is fresh: theirs follows it.
    pub fn force(&mut self) {
        self.force_waits |= self.running.is_none_or(|run| !run.forced);
    }

    /// What a run is to do has changed: one that begins now is needed, whoever asked for the one in progress.
    pub fn force_anew(&mut self) {
        self.force_waits = true;
    }

    /// Whether a run that somebody asked for is still to begin.
    pub fn is_forced(&self) -> bool {
        self.force_waits
    }

    /// When a periodic or triggered run is due, leaving aside the breaker.
    fn due_at(&self) -> Mono {
        let triggered = self.triggered.map(|(first, last)| {
            (last + self.timing.debounce).min(first + TRIGGER_MAX.max(self.timing.debounce))
        });
        let wanted = triggered.map_or(self.next, |t| t.min(self.next));
        self.retry_at.map_or(wanted, |retry| retry.max(wanted))
    }

    /// Whether a run is due at `now`, leaving aside the breaker.
    pub fn is_due(&self, now: Mono) -> bool {
        self.running.is_none() && (self.force_waits || self.due_at() <= now)
    }

    /// The run to start at `now`, if any. `admission` is what the host's breaker says; with [`Run::probe`] the caller tells the breaker.
    pub fn start_due(&mut self, now: Mono, admission: Admission) -> Option<Run> {
        if self.running.is_some() {
            return None;
        }
        let run = if self.force_waits {
            Run { forced: true, probe: admission == Admission::Probe }
        } else if self.due_at() > now {
            return None;
        } else {
            match admission {
                Admission::Open => Run { forced: false, probe: false },
                Admission::Probe => Run { forced: false, probe: true },
                Admission::Closed(_) => return None,
            }
        };
        self.force_waits = false;
        self.triggered = None;
        self.running = Some(run);
        Some(run)
    }

    /// The run has ended.
    pub fn ended(&mut self, now: Mono, ended: Ended, rng: &mut Rng) {
        self.running = None;
        let interval = self.timing.interval;
        let next = now + (interval - rng.up_to(interval / 100 * JITTER_PERCENT));
        self.next = next.on_grain(interval / GRAIN_PART);
        match ended {
            Ended::Fine => {
                self.failures = 0;
                self.retry_at = None;
            }
            Ended::Skipped => {}
            // Due at once: when the breaker opens, or as the next one to try it.
            Ended::Network => self.next = now,
            Ended::Untrusted => self.next = now + UNTRUSTED_AGAIN,
            Ended::Failed(trouble) => {
                self.failures = self.failures.saturating_add(1);
                self.retry_at = Some(now + trouble.backoff().delay(self.failures));
            }
        }
    }

    /// The run could not be started after all (no worker was free): try again soon.
    pub fn not_started(&mut self, now: Mono) {
        if let Some(run) = self.running.take() {
            // Somebody may have asked meanwhile.
            self.force_waits |= run.forced;
            self.next = now + Duration::from_secs(1);
        }
    }

    /// The machine slept: what is due, or would have become due meanwhile, runs once, spread out.
    pub fn jumped(&mut self, now: Mono, rng: &mut Rng) {
        let soon = now + rng.up_to(AFTER_JUMP);
        self.next = self.next.min(soon);
        self.retry_at = self.retry_at.map(|at| at.min(soon));
    }

    /// When to ask again; `None` while a run is in progress or the breaker waits for somebody else's attempt.
    pub fn next_deadline(&self, now: Mono, admission: Admission) -> Option<Mono> {
        if self.running.is_some() {
            return None;
        }
        if self.force_waits {
            return Some(now);
        }
        match admission {
            Admission::Open | Admission::Probe => Some(self.due_at()),
            Admission::Closed(Some(opens)) => Some(self.due_at().max(opens)),
            Admission::Closed(None) => None,
        }
    }

    /// The run in progress.
    pub fn running(&self) -> Option<Run> {
        self.running
    }

    /// The team asks for another time between runs, or the user has set one; counts from the next run on.
    pub fn set_interval(&mut self, interval: Duration) {
        self.timing.interval = interval;
    }

    /// Time between runs.
    pub fn interval(&self) -> Duration {
        self.timing.interval
    }

    /// Takes up what an earlier process knew: so many failures in a row, the next attempt not before `at`.
    pub fn restore(&mut self, failures: u32, at: Mono) {
        if failures > 0 && self.failures == 0 {
            self.failures = failures;
            self.retry_at = Some(at);
        }
    }

    /// When the next run of its own is, as far as is known.
    pub fn next_run(&self) -> Option<Mono> {
        self.running.is_none().then(|| self.due_at())
    }

    /// Failures in a row that were not the network's, and when the next attempt is.
    pub fn backoff(&self) -> Option<(u32, Mono)> {
        self.retry_at.map(|at| (self.failures, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = 60;

    fn at(s: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(s)
    }

    fn ms(ms: u64) -> Mono {
        Mono::ZERO + Duration::from_millis(ms)
    }

    fn schedule() -> (Schedule, Rng) {
        let timing = Timing { interval: Duration::from_secs(60), debounce: Duration::from_millis(500) };
        (Schedule::new(timing, at(0)), Rng::new(1))
    }

    const OWN: Run = Run { forced: false, probe: false };
    const FORCED: Run = Run { forced: true, probe: false };

    #[test]
    fn runs_follow_each_other_at_the_interval_with_jitter_on_its_grain() {
        let (mut s, mut rng) = schedule();
        let mut now = at(0);
        for _ in 0..100 {
            assert_eq!(s.start_due(now, Admission::Open), Some(OWN));
            assert_eq!(s.start_due(now, Admission::Open), None);
            assert_eq!(s.next_deadline(now, Admission::Open), None);
            s.ended(now, Ended::Fine, &mut rng);
            let next = s.next_deadline(now, Admission::Open).unwrap();
            let (least, most) = (Duration::from_secs(51), Duration::from_secs(60));
            assert!((least..=most).contains(&(next - now)), "{:?}", next - now);
            assert_eq!(next.as_nanos() % 3_000_000_000, 0);
            now = next;
        }
    }

    #[test]
    fn triggers_are_joined_but_not_put_off_for_ever() {
        let (mut s, mut rng) = schedule();
        s.start_due(at(0), Admission::Open);
        s.ended(at(0), Ended::Fine, &mut rng);
        s.trigger(ms(1000));
        s.trigger(ms(1400));
        assert_eq!(s.next_deadline(ms(1400), Admission::Open), Some(ms(1900)));
        for n in 0..20 {
            s.trigger(ms(1900 + n * 400));
        }
        assert_eq!(s.next_deadline(ms(9500), Admission::Open), Some(ms(6000)));
        assert_eq!(s.start_due(ms(9500), Admission::Open), Some(OWN));
        s.ended(ms(9600), Ended::Fine, &mut rng);
        assert!(s.next_deadline(ms(9600), Admission::Open).unwrap() > at(60));
    }

    #[test]
    fn failures_back_off_and_a_forced_run_does_not_wait() {
        let (mut s, mut rng) = schedule();
        let mut now = at(0);
        for minutes in [1, 2, 4, 8, 16, 30, 30] {
            assert!(s.start_due(now, Admission::Open).is_some());
            s.ended(now, Ended::Failed(BackoffKind::Sync), &mut rng);
            let next = s.next_deadline(now, Admission::Open).unwrap();
            let floor = Duration::from_secs(minutes * MIN);
            assert!(next - now >= floor && next - now <= floor + Duration::from_secs(6), "{minutes}");
            now = next;
        }
        s.start_due(now, Admission::Open);
        s.ended(now, Ended::Failed(BackoffKind::Sync), &mut rng);
        s.force();
        assert_eq!(s.next_deadline(now, Admission::Open), Some(now));
        assert_eq!(s.start_due(now, Admission::Closed(None)), Some(FORCED));
        s.ended(now, Ended::Fine, &mut rng);
        assert_eq!(s.backoff(), None);
    }

    #[test]
    fn a_request_joins_a_run_that_was_asked_for_and_follows_one_of_our_own() {
        for ended in [Ended::Fine, Ended::Skipped, Ended::Network, Ended::Failed(BackoffKind::Sync)] {
            let (mut s, mut rng) = schedule();
            assert_eq!(s.start_due(at(0), Admission::Open), Some(OWN));
            s.force();
            s.ended(at(1), ended, &mut rng);
            assert_eq!(s.start_due(at(1), Admission::Closed(None)), Some(FORCED));
            s.force();
            s.ended(at(2), Ended::Fine, &mut rng);
            assert_eq!(s.start_due(at(2), Admission::Open), None);
        }
    }

    #[test]
    fn what_changes_while_a_run_is_under_way_gets_one_more() {
        let (mut s, mut rng) = schedule();
        s.force();
        s.start_due(at(0), Admission::Open);
        s.force_anew();
        s.force();
        s.ended(at(1), Ended::Fine, &mut rng);
        assert_eq!(s.start_due(at(1), Admission::Open), Some(FORCED));
    }

    #[test]
    fn syn_11_network_failures_never_count_and_wait_for_the_gate() {
        let (mut s, mut rng) = schedule();
        s.start_due(at(0), Admission::Open);
        s.ended(at(10), Ended::Network, &mut rng);
        assert_eq!(s.backoff(), None);
        assert_eq!(s.next_deadline(at(10), Admission::Closed(Some(at(65)))), Some(at(65)));
        assert_eq!(s.next_deadline(at(10), Admission::Closed(None)), None);
        assert_eq!(s.start_due(at(65), Admission::Probe), Some(Run { forced: false, probe: true }));
    }

    #[test]
    fn syn_20_after_a_sleep_a_due_run_happens_once_within_thirty_seconds() {
        let (mut s, mut rng) = schedule();
        s.start_due(at(0), Admission::Open);
        s.ended(at(0), Ended::Failed(BackoffKind::Sync), &mut rng);
        s.jumped(at(5), &mut rng);
        let next = s.next_deadline(at(5), Admission::Open).unwrap();
        assert!(next <= at(35));
        assert!(s.start_due(next, Admission::Open).is_some());
        s.ended(next, Ended::Fine, &mut rng);
        assert!(s.next_deadline(next, Admission::Open).unwrap() >= next + Duration::from_secs(51));
    }

    #[test]
    fn a_run_without_a_worker_is_asked_for_again() {
        let (mut s, _) = schedule();
        s.force();
        assert_eq!(s.start_due(at(0), Admission::Open), Some(FORCED));
        s.not_started(at(0));
        assert_eq!(s.start_due(at(0), Admission::Open), Some(FORCED));
    }
}
