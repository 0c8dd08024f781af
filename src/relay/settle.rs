//! A while for a second source to tell what the first did not know: an event is told on once, some time after it was stored.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kit::clock::Mono;

/// An event is told on after this.
pub const SETTLE: Duration = Duration::from_secs(2);
/// So many looks are kept.
const LOOKS_MAX: usize = 64;

/// Up to which number of the store events have settled. Only a clock that never jumps is asked.
#[derive(Debug, Default)]
pub struct Settle {
    /// The last number, and when it was first seen.
    looks: VecDeque<(Mono, i64)>,
    settled: i64,
}

impl Settle {
    /// The store's last number is `last` now; up to which one events have settled. A last number that has become smaller is that of a store
    /// that was begun anew.
    pub fn look(&mut self, last: i64, now: Mono) -> i64 {
        let newest = |settle: &Settle| settle.looks.back().map_or(settle.settled, |(_, seq)| *seq);
        if last < newest(self) {
            *self = Settle::default();
        }
        if last > newest(self) && self.looks.len() < LOOKS_MAX {
            self.looks.push_back((now, last));
        }
        while let Some((at, seq)) = self.looks.front().copied()
            && now.since(at) >= SETTLE
        {
            self.settled = seq;
            self.looks.pop_front();
        }
        self.settled
    }

    /// When the next events will have settled, if some wait for it.
    pub fn next(&self) -> Option<Mono> {
        self.looks.front().map(|(at, _)| *at + SETTLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn an_event_settles_a_while_after_it_was_first_seen() {
        let mut settle = Settle::default();
        assert_eq!((settle.look(0, at(0)), settle.next()), (0, None));
        assert_eq!(settle.look(5, at(1000)), 0);
        assert_eq!(settle.look(7, at(2999)), 0);
        assert_eq!(settle.next(), Some(at(3000)));
        assert_eq!(settle.look(7, at(3000)), 5);
        assert_eq!(settle.next(), Some(at(4999)));
        assert_eq!(settle.look(9, at(9000)), 7);
        assert_eq!(settle.look(9, at(11_000)), 9);
        assert_eq!(settle.next(), None);
    }

    #[test]
    fn a_store_that_was_begun_anew_is_noticed() {
        let mut settle = Settle::default();
        settle.look(100, at(0));
        assert_eq!(settle.look(100, at(2000)), 100);
        assert_eq!(settle.look(3, at(2001)), 0);
        assert_eq!(settle.look(3, at(4001)), 3);
    }

    #[test]
    fn who_looks_all_the_time_keeps_few_looks_and_waits_no_longer_than_twice() {
        let mut settle = Settle::default();
        let mut behind = 0;
        for n in 1..10_000 {
            let settled = settle.look(n, at(n as u64));
            assert!(settle.looks.len() <= LOOKS_MAX);
            behind = behind.max(n - settled);
        }
        assert!((2000..4100).contains(&behind), "{behind} ms");
    }
}
