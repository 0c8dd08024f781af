//! The clone slots: how many clones run at once, who is next, and how long anybody waits. Pure policy.

use std::time::Duration;

use crate::kit::clock::Mono;

/// Clones that run at once.
pub const SLOTS: usize = 3;
/// Whoever waits longer for a slot gives up until its next turn.
pub const WAIT_MAX: Duration = Duration::from_secs(120);

/// How urgent a clone is; the smaller goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency {
    /// Nobody waits for it.
    pub unasked: bool,
    /// It is not the project's own ledger or team.
    pub secondary: bool,
    /// How long ago it was last used; the longest if never.
    pub unused: Duration,
}

/// Who holds a slot and who waits for one. `K` names a piece of work.
#[derive(Clone, Debug)]
pub struct Slots<K> {
    held: Vec<K>,
    waiting: Vec<Waiting<K>>,
}

#[derive(Clone, Debug)]
struct Waiting<K> {
    key: K,
    urgency: Urgency,
    until: Mono,
}

impl<K> Default for Slots<K> {
    fn default() -> Slots<K> {
        Slots { held: Vec::new(), waiting: Vec::new() }
    }
}

impl<K: Clone + Ord> Slots<K> {
    /// Asks for a slot. True if `key` has one now; else it waits until [`Slots::release`] names it or its time is over. Asking again
    /// while it waits says how urgent it is now, and gives it no more time.
    pub fn take(&mut self, now: Mono, key: &K, urgency: Urgency) -> bool {
        if self.held.contains(key) {
            return true;
        }
        if self.held.len() < SLOTS && self.waiting.is_empty() {
            self.held.push(key.clone());
            return true;
        }
        match self.waiting.iter_mut().find(|w| w.key == *key) {
            Some(waiting) => waiting.urgency = urgency,
            None => self.waiting.push(Waiting { key: key.clone(), urgency, until: now + WAIT_MAX }),
        }
        self.waiting.sort_by(|a, b| a.urgency.cmp(&b.urgency).then_with(|| a.key.cmp(&b.key)));
        false
    }

    /// `key` needs no slot any more, whether it had one or waited. Those named have one now.
    pub fn release(&mut self, key: &K) -> Vec<K> {
        self.held.retain(|k| k != key);
        self.waiting.retain(|w| w.key != *key);
        let mut started = Vec::new();
        while self.held.len() < SLOTS && !self.waiting.is_empty() {
            let next = self.waiting.remove(0).key;
            self.held.push(next.clone());
            started.push(next);
        }
        started
    }

    /// Those whose time of waiting is over; they wait no longer.
    pub fn expired(&mut self, now: Mono) -> Vec<K> {
        let over = self.waiting.iter().filter(|w| w.until <= now).map(|w| w.key.clone()).collect();
        self.waiting.retain(|w| w.until > now);
        over
    }

    /// When [`Slots::expired`] has somebody to name.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.waiting.iter().map(|w| w.until).min()
    }

    /// How many hold a slot or wait for one.
    pub fn len(&self) -> usize {
        self.held.len() + self.waiting.len()
    }

    /// Whether nobody holds a slot or waits for one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What somebody is told who waited in vain.
pub fn timeout_text() -> String {
    format!("clone semaphore timeout: all {SLOTS} clone slots were busy for {} s", WAIT_MAX.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(s)
    }

    fn urgency(unasked: bool, secondary: bool, unused: u64) -> Urgency {
        Urgency { unasked, secondary, unused: Duration::from_secs(unused) }
    }

    #[test]
    fn three_run_and_the_most_urgent_is_next() {
        let mut s = Slots::default();
        for key in ["a", "b", "c", "a"] {
            assert!(s.take(at(0), &key, Urgency::default()));
        }
        assert!(!s.take(at(0), &"late", urgency(true, true, 500)));
        assert!(!s.take(at(1), &"used", urgency(true, true, 5)));
        assert!(!s.take(at(2), &"own", urgency(true, false, 900)));
        assert!(!s.take(at(3), &"asked", urgency(false, true, 900)));
        assert!(!s.take(at(4), &"used", urgency(true, true, 0)));
        assert_eq!(s.release(&"a"), ["asked"]);
        assert_eq!(s.release(&"asked"), ["own"]);
        assert_eq!(s.release(&"b"), ["used"]);
        assert_eq!(s.release(&"late"), [""; 0]);
        assert_eq!(s.release(&"c"), [""; 0]);
        assert_eq!(s.len(), 2);
    }

    #[test]
    fn nobody_waits_longer_than_two_minutes() {
        let mut s = Slots::default();
        for key in [1, 2, 3] {
            assert!(s.take(at(0), &key, Urgency::default()));
        }
        assert!(!s.take(at(10), &4, urgency(true, true, 9)));
        assert!(!s.take(at(60), &4, Urgency::default()));
        assert_eq!(s.next_deadline(), Some(at(130)));
        assert!(s.expired(at(129)).is_empty());
        assert_eq!(s.expired(at(130)), [4]);
        assert_eq!(s.next_deadline(), None);
        assert!(s.release(&1).is_empty());
        assert!(s.take(at(131), &4, Urgency::default()));
    }
}
