//! One heap of deadlines, one entry a key.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::clock::Mono;

/// Deadlines by key. Setting a key again moves its deadline.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    by_time: BTreeSet<(Mono, K)>,
    by_key: HashMap<K, Mono>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_time: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Deadlines<K> {
    /// No deadlines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets or moves the deadline of `key`; `None` removes it.
    pub fn set(&mut self, key: K, at: Option<Mono>) {
        let Some(at) = at else {
            self.remove(&key);
            return;
        };
        if let Some(old) = self.by_key.insert(key.clone(), at) {
            if old == at {
                return;
            }
            self.by_time.remove(&(old, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    /// Whether `key` has a deadline.
    pub fn has(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Mono> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key whose deadline is at or before `now`.
    pub fn pop_due(&mut self, now: Mono) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has one.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keys_come_out_in_time_order_and_can_move() {
        let at = |s| Mono::ZERO + Duration::from_secs(s);
        let mut d = Deadlines::new();
        d.set("a", Some(at(3)));
        d.set("b", Some(at(1)));
        d.set("c", Some(at(2)));
        d.set("b", Some(at(4)));
        d.set("c", None);
        assert_eq!((d.len(), d.next()), (2, Some(at(3))));
        assert_eq!(d.pop_due(at(2)), None);
        assert_eq!(d.pop_due(at(5)), Some("a"));
        assert_eq!(d.pop_due(at(5)), Some("b"));
        assert_eq!(d.pop_due(at(5)), None);
        assert!(d.is_empty());
    }
}
