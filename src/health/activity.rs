//! What was used when: for each key, such as a team's id, how often and when last.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::kit::ring::Ring;

/// So many uses of a key are counted; more stay at this.
pub const COUNT_MAX: u32 = 100;
/// A longer key is not followed: it is no path and no id.
pub const KEY_MAX: usize = 4096;
/// Repositories that are followed.
pub const REPOS_MAX: usize = 100;
/// Teams that are followed.
pub const TEAMS_MAX: usize = 50;
/// Workspaces that are followed.
pub const WORKSPACES_MAX: usize = 50;

/// Follows a bounded number of keys.
#[derive(Clone, Debug)]
pub struct Tracker {
    keys_max: usize,
    by_key: BTreeMap<Box<str>, Uses>,
}

/// The uses of one key.
#[derive(Clone, Debug)]
pub struct Uses {
    count: u32,
    last: Timestamp,
    /// Whole seconds, to be small.
    times: Ring<u32>,
}

impl Uses {
    /// Known since `at`, and not used yet; the newest `times_max` times are kept.
    pub fn none(at: Timestamp, times_max: usize) -> Uses {
        Uses { count: 0, last: at, times: Ring::new(times_max) }
    }

    /// Counts one more use.
    pub fn add(&mut self, at: Timestamp) {
        self.count = (self.count + 1).min(COUNT_MAX);
        self.last = at;
        self.times.push(u32::try_from(at.as_second()).unwrap_or_default());
    }

    /// How often, at most [`COUNT_MAX`].
    pub fn count(&self) -> u32 {
        self.count
    }

    /// When last.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// The newest times, at most `n`, oldest first, in whole seconds.
    pub fn times(&self, n: usize) -> impl Iterator<Item = Timestamp> {
        let skipped = self.times.len().saturating_sub(n);
        self.times.iter().skip(skipped).filter_map(|s| Timestamp::from_second(i64::from(*s)).ok())
    }
}

impl Tracker {
    /// Follows at most `keys_max` keys.
    pub fn new(keys_max: usize) -> Tracker {
        Tracker { keys_max, by_key: BTreeMap::new() }
    }

    /// Counts a use. At the limit a new key takes the place of the one that was not used for longest.
    pub fn used(&mut self, key: &str, at: Timestamp) {
        if key.is_empty() || key.len() > KEY_MAX {
            return;
        }
        if self.by_key.len() >= self.keys_max && !self.by_key.contains_key(key) {
            let oldest = self.by_key.iter().min_by_key(|(_, uses)| uses.last).map(|(key, _)| key.clone());
            oldest.map(|key| self.by_key.remove(&key));
        }
        let new = || Uses::none(at, COUNT_MAX as usize);
        self.by_key.entry(key.into()).or_insert_with(new).add(at);
    }

    /// All keys in order with their uses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Uses)> {
        self.by_key.iter().map(|(key, uses)| (&**key, uses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    #[test]
    fn the_key_that_was_not_used_for_longest_gives_way() {
        let mut t = Tracker::new(2);
        for (key, s) in [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("", 5)] {
            t.used(key, at(s));
        }
        t.used(&"x".repeat(KEY_MAX + 1), at(6));
        let keys: Vec<_> = t.iter().map(|(key, uses)| (key, uses.count(), uses.last())).collect();
        assert_eq!(keys, [("a", 2, at(3)), ("c", 1, at(4))]);
    }

    #[test]
    fn counts_and_times_stop_at_a_hundred() {
        let mut t = Tracker::new(1);
        (0..250).for_each(|s| t.used("a", at(s)));
        let (_, uses) = t.iter().next().unwrap();
        assert_eq!((uses.count(), uses.last(), uses.times(999).count()), (COUNT_MAX, at(249), 100));
        assert_eq!(uses.times(2).collect::<Vec<_>>(), [at(248), at(249)]);
    }
}
