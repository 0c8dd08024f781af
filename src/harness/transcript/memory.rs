//! What a reader remembers between lines, within limits.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A hash of several parts, the same in every version and on every machine: the first eight bytes of SHA-256 over each part's length and
/// bytes.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A name for what has none: the [`hash`] of what is known of it.
pub(super) fn name(parts: &[&str]) -> String {
    format!("{:016x}", hash(parts))
}

/// The newest of what was seen: at most [`Seen::LIMIT`], the oldest is forgotten. What was forgotten counts as new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Seen(VecDeque<u64>);

impl Seen {
    pub(super) const LIMIT: usize = 1024;

    /// Notes it; whether it is new.
    pub(super) fn insert(&mut self, what: u64) -> bool {
        if self.0.contains(&what) {
            return false;
        }
        while self.0.len() >= Self::LIMIT {
            self.0.pop_front();
        }
        self.0.push_back(what);
        true
    }
}

/// A number for each of the newest: at most [`Recent::LIMIT`], the oldest is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Recent(VecDeque<(u64, u64)>);

impl Recent {
    pub(super) const LIMIT: usize = 256;

    pub(super) fn get(&self, what: u64) -> Option<u64> {
        self.0.iter().rev().find(|(key, _)| *key == what).map(|(_, value)| *value)
    }

    pub(super) fn put(&mut self, what: u64, value: u64) {
        if let Some(known) = self.0.iter_mut().find(|(key, _)| *key == what) {
            known.1 = value;
            return;
        }
        while self.0.len() >= Self::LIMIT {
            self.0.pop_front();
        }
        self.0.push_back((what, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["", "a"]), hash(&["a", ""]));
        assert_eq!(hash(&["a"]), 0xae61_21c8_8ba5_55f6);
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut seen = Seen::default();
        let mut recent = Recent::default();
        for n in 0..=Seen::LIMIT as u64 {
            assert!(seen.insert(n) && !seen.insert(n));
            recent.put(n, n);
            recent.put(n, n + 1);
        }
        assert!(seen.insert(0) && !seen.insert(2));
        assert_eq!(seen.0.len(), Seen::LIMIT);
        assert_eq!((recent.get(1024), recent.get(1024 - 256)), (Some(1025), None));
        assert_eq!(recent.0.len(), Recent::LIMIT);
    }
}
