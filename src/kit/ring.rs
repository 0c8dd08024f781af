//! A list that keeps the newest N entries.

use std::collections::VecDeque;

/// A list with a fixed capacity; a new entry pushes out the oldest.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    items: VecDeque<T>,
    capacity: usize,
}

impl<T> Ring<T> {
    /// An empty ring that keeps `capacity` entries (at least one). Memory is taken as entries come.
    pub fn new(capacity: usize) -> Ring<T> {
        Ring { items: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Adds an entry and returns the one it pushed out.
    pub fn push(&mut self, item: T) -> Option<T> {
        let out = if self.items.len() == self.capacity { self.items.pop_front() } else { None };
        self.items.push_back(item);
        out
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// The entries, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.items.iter()
    }

    /// The newest entry.
    pub fn last(&self) -> Option<&T> {
        self.items.back()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut r = Ring::new(3);
        assert!(r.is_empty());
        let out: Vec<_> = (0..5).map(|n| r.push(n)).collect();
        assert_eq!(out, [None, None, None, Some(0), Some(1)]);
        assert_eq!(r.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((r.len(), r.last()), (3, Some(&4)));
    }
}
