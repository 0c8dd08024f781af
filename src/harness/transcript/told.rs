//! What a reader of a transcript that is written anew remembers: all that it has told, within a limit.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::memory::hash;

/// A longer line, or a longer value of a database, is passed over.
pub const LINE_MAX: usize = 64 << 20;
/// So many facts a reader remembers as told. Of a longer transcript the oldest are forgotten: should a program write one of those again,
/// it is told again, with the same id.
pub(super) const TOLD_MAX: usize = 1 << 16;

/// What was told, by hashes of 64 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "VecDeque<u64>", into = "VecDeque<u64>")]
pub struct Told {
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

impl Told {
    /// Whether `parts` is told for the first time; from now on it is told.
    pub fn first(&mut self, parts: &[&str]) -> bool {
        let key = hash(parts);
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > TOLD_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Whether `parts` was told.
    pub fn has(&self, parts: &[&str]) -> bool {
        self.known.contains(&hash(parts))
    }
}

impl From<VecDeque<u64>> for Told {
    fn from(mut order: VecDeque<u64>) -> Told {
        order.drain(..order.len().saturating_sub(TOLD_MAX));
        let known = order.iter().copied().collect();
        Told { order, known }
    }
}

impl From<Told> for VecDeque<u64> {
    fn from(told: Told) -> VecDeque<u64> {
        told.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_known_also_when_it_was_saved() {
        let mut told = Told::default();
        assert!(told.first(&["a", "b"]) && told.first(&["ab"]) && told.first(&["a", "b", ""]));
        assert!(!told.first(&["a", "b"]));
        let again: Told = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
        assert_eq!(again, told);
        assert!(again.has(&["ab"]) && !again.has(&["b"]));
    }

    #[test]
    fn the_oldest_is_forgotten_at_the_limit() {
        let mut told = Told::default();
        for n in 0..=TOLD_MAX {
            assert!(told.first(&[&n.to_string()]));
        }
        assert!(!told.has(&["0"]) && told.has(&["1"]));
        assert_eq!((told.order.len(), told.known.len()), (TOLD_MAX, TOLD_MAX));
    }
}
