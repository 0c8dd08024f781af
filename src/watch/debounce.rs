//! When the overlay of uncommitted files is refreshed: pure policy.

use super::limits::{OVERLAY_DEBOUNCE, OVERLAY_GAP, OVERLAY_MAX};
use crate::kit::clock::Mono;

/// Turns changes into refreshes: not at once, not too often, not too late.
#[derive(Debug, Default)]
pub struct Debounce {
    /// First and last change that no refresh has seen.
    unserved: Option<(Mono, Mono)>,
    fired: Option<Mono>,
    running: bool,
    /// The last one could not start: one more as soon as possible.
    again: bool,
    stopped: bool,
}

impl Debounce {
    /// Something changed, or events about it were lost.
    pub fn changed(&mut self, now: Mono) {
        if !self.stopped {
            let first = self.unserved.map_or(now, |(first, _)| first);
            self.unserved = Some((first, now));
        }
    }

    /// When the next refresh is due; `None` while nothing is to be done or one is running.
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.running || self.stopped {
            return None;
        }
        if self.again {
            return Some(Mono::ZERO);
        }
        let (first, last) = self.unserved?;
        let quiet = (last + OVERLAY_DEBOUNCE).min(first + OVERLAY_MAX);
        Some(self.fired.map_or(quiet, |at| quiet.max(at + OVERLAY_GAP)))
    }

    /// Whether to start a refresh at `now`. After a yes the caller tells how it went: [`Debounce::ended`] or
    /// [`Debounce::refused`].
    pub fn fire(&mut self, now: Mono) -> bool {
        let due = self.next_deadline().is_some_and(|at| at <= now);
        if due {
            self.unserved = None;
            self.again = false;
            self.fired = Some(now);
            self.running = true;
        }
        due
    }

    /// The refresh has ended, well or not.
    pub fn ended(&mut self) {
        self.running = false;
    }

    /// The refresh could not start because another is running: call [`Debounce::ended`] when that one ends, and there will be
    /// one more at once.
    pub fn refused(&mut self) {
        self.again = true;
    }

    /// No refresh any more.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.unserved = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(s: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn a_refresh_waits_for_quiet_and_keeps_its_distance() {
        let mut d = Debounce::default();
        assert_eq!(d.next_deadline(), None);
        d.changed(at(100));
        d.changed(at(102));
        assert_eq!(d.next_deadline(), Some(at(107)));
        assert!(!d.fire(at(106)) && d.fire(at(107)));
        d.changed(at(108));
        assert_eq!(d.next_deadline(), None, "one is running");
        d.ended();
        assert_eq!(d.next_deadline(), Some(at(137)), "30 s after the last start");
        assert!(d.fire(at(137)));
        d.ended();
        assert_eq!(d.next_deadline(), None);
    }

    #[test]
    fn saves_every_four_seconds_do_not_postpone_it_for_ever() {
        let mut d = Debounce::default();
        let fired: Vec<u64> = (100..220)
            .filter(|s| {
                if s % 4 == 0 {
                    d.changed(at(*s));
                }
                let fired = d.fire(at(*s));
                d.ended();
                fired
            })
            .collect();
        assert_eq!(fired, [130, 162, 194], "30 s after the first change that the last refresh has not seen");
    }

    #[test]
    fn a_refused_refresh_runs_when_the_other_ends() {
        let mut d = Debounce::default();
        d.changed(at(100));
        assert!(d.fire(at(105)));
        d.refused();
        assert_eq!(d.next_deadline(), None);
        d.ended();
        assert!(d.fire(at(106)));
        d.stop();
        d.changed(at(200));
        d.ended();
        assert_eq!(d.next_deadline(), None);
    }
}
