//! Whether a host can be reached. One breaker a host, for all workspaces on it.
//!
//! While a host does not answer, one workspace at a time tries it, at a fixed beat; all others wait. So a day without a network costs
//! one attempt a minute in all, no workspace is punished for it, and all go on as soon as the first attempt succeeds.

use std::time::Duration;

use crate::kit::clock::Mono;

/// Time between the starts of two attempts while a host does not answer. Below 60 s by the time that an attempt itself may take, so
/// that a network that returns is used within 60 s.
pub const PROBE_EVERY: Duration = Duration::from_secs(55);

/// A host that asks for more time than this is asked again after this.
pub const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// What a workspace may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Open,
    /// Go on, as the one that tries whether the host is back.
    Probe,
    /// Wait until then; without a time, until the attempt in progress has ended.
    Closed(Option<Mono>),
}

/// The breaker of one host.
#[derive(Clone, Debug, Default)]
pub struct CircuitBreaker {
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Open,
    Closed {
        next: Mono,
    },
    Probing {
        started: Mono,
    },
}

impl CircuitBreaker {
    /// What may be done at `now`, changing nothing.
    pub fn admission(&self, now: Mono) -> Admission {
        match self.state {
            State::Open => Admission::Open,
            State::Closed { next } if next <= now => Admission::Probe,
            State::Closed { next } => Admission::Closed(Some(next)),
            State::Probing { .. } => Admission::Closed(None),
        }
    }

    /// The attempt that [`Admission::Probe`] allowed begins.
    pub fn probe_started(&mut self, now: Mono) {
        if let State::Closed { .. } = self.state {
            self.state = State::Probing { started: now };
        }
    }

    /// The host answered, if only to refuse. True if it had not before.
    pub fn answered(&mut self) -> bool {
        !matches!(std::mem::take(&mut self.state), State::Open)
    }

    /// The host did not answer. True if it had before.
    pub fn failed(&mut self, now: Mono) -> bool {
        match self.state {
            State::Open => {
                self.state = State::Closed { next: now + PROBE_EVERY };
                true
            }
            State::Probing { started } => {
                self.state = State::Closed { next: (started + PROBE_EVERY).max(now) };
                false
            }
            // A run that a person asked for, beside the beat.
            State::Closed { .. } => false,
        }
    }

    /// The host answered, and asks to be left alone for so long; at most [`WAIT_MAX`] is granted.
    pub fn asked_to_wait(&mut self, now: Mono, wait: Duration) {
        if let State::Closed { next } = &mut self.state {
            *next = (*next).max(now + wait.min(WAIT_MAX));
        }
    }

    /// After a sleep of the machine nothing that was known about the network holds: try at once.
    pub fn jumped(&mut self, now: Mono) {
        if let State::Closed { next } = &mut self.state {
            *next = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn one_probe_at_a_time_at_a_fixed_beat() {
        let mut g = CircuitBreaker::default();
        assert_eq!(g.admission(at(0)), Admission::Open);
        assert!(g.failed(at(0)));
        assert_eq!(g.admission(at(54)), Admission::Closed(Some(at(55))));
        assert_eq!(g.admission(at(55)), Admission::Probe);
        g.probe_started(at(55));
        assert_eq!(g.admission(at(60)), Admission::Closed(None));
        assert!(!g.failed(at(75)));
        assert_eq!(g.admission(at(75)), Admission::Closed(Some(at(110))));
        g.probe_started(at(110));
        assert!(g.answered());
        assert_eq!(g.admission(at(111)), Admission::Open);
        assert!(!g.answered());
    }

    #[test]
    fn a_probe_longer_than_the_beat_is_followed_at_once_by_the_next() {
        let mut g = CircuitBreaker::default();
        g.failed(at(0));
        g.probe_started(at(55));
        g.failed(at(130));
        assert_eq!(g.admission(at(130)), Admission::Probe);
    }

    #[test]
    fn a_host_that_asks_for_time_gets_it_within_bounds() {
        let mut g = CircuitBreaker::default();
        g.failed(at(0));
        g.asked_to_wait(at(0), Duration::from_secs(10));
        assert_eq!(g.admission(at(0)), Admission::Closed(Some(at(55))));
        g.asked_to_wait(at(0), Duration::from_secs(300));
        assert_eq!(g.admission(at(299)), Admission::Closed(Some(at(300))));
        g.asked_to_wait(at(0), Duration::from_secs(86_400));
        assert_eq!(g.admission(at(1)), Admission::Closed(Some(at(900))));
    }

    #[test]
    fn a_forced_failure_does_not_move_the_beat() {
        let mut g = CircuitBreaker::default();
        g.failed(at(0));
        g.failed(at(50));
        assert_eq!(g.admission(at(55)), Admission::Probe);
        g.jumped(at(56));
        assert_eq!(g.admission(at(56)), Admission::Probe);
    }
}
