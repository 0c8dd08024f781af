//! What changed since a point in history: for consumers that remember what they have seen.

use std::collections::{BTreeMap, VecDeque};

use super::change::{Change, Stamp};
use super::limits::{HISTORY_AGE, HISTORY_MAX};
use crate::kit::clock::Mono;

/// The answer to "what changed since".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// Too long ago, or of another instance: everything may have changed.
    Fresh(Stamp),
    /// These paths, each once, in order.
    Paths(Vec<Box<[u8]>>, Stamp),
}

/// The latest changes of a root with their ticks.
#[derive(Debug)]
pub struct History {
    now: Stamp,
    /// Ticks up to this one are forgotten.
    forgotten: u64,
    entries: VecDeque<(u64, Mono, Box<[u8]>)>,
}

impl History {
    /// A history that begins now. `instance` must differ from that of all earlier ones.
    pub fn new(instance: u64) -> History {
        History { now: Stamp { instance, tick: 0 }, forgotten: 0, entries: VecDeque::new() }
    }

    /// The present.
    pub fn stamp(&self) -> Stamp {
        self.now
    }

    /// Notes a set of changes; the present moves on by one.
    pub fn push(&mut self, now: Mono, changes: &[Change]) -> Stamp {
        self.now.tick += 1;
        let tick = self.now.tick;
        if changes.len() > HISTORY_MAX {
            self.forget_all();
        } else {
            self.entries.extend(changes.iter().map(|c| (tick, now, c.path.clone())));
        }
        while self
            .entries
            .front()
            .is_some_and(|(_, at, _)| self.entries.len() > HISTORY_MAX || now.since(*at) > HISTORY_AGE)
        {
            if let Some((tick, _, _)) = self.entries.pop_front() {
                self.forgotten = tick;
            }
        }
        self.now
    }

    /// Something happened whose paths are not known: nobody can ask about before.
    pub fn forget_all(&mut self) {
        self.entries.clear();
        self.forgotten = self.now.tick;
    }

    /// What changed after `seen`.
    pub fn since(&self, seen: Stamp) -> Since {
        if seen.instance != self.now.instance || seen.tick < self.forgotten || seen.tick > self.now.tick {
            return Since::Fresh(self.now);
        }
        let later = self.entries.iter().rev().take_while(|(tick, _, _)| *tick > seen.tick);
        let paths: BTreeMap<&[u8], ()> = later.map(|(_, _, path)| (&**path, ())).collect();
        Since::Paths(paths.into_keys().map(Into::into).collect(), self.now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::Kind;

    fn changes(names: std::ops::Range<usize>) -> Vec<Change> {
        names.map(|n| Change::new(format!("f{n}").as_bytes(), Kind::Modified)).collect()
    }

    #[test]
    fn what_changed_since_a_tick_is_told_while_it_is_remembered() {
        let mut h = History::new(7);
        let start = h.stamp();
        let one = h.push(Mono::ZERO, &changes(0..2));
        let two = h.push(Mono::ZERO, &changes(1..3));
        let paths =
            |from: usize, to: usize| changes(from..to).into_iter().map(|c| c.path).collect::<Vec<_>>();
        assert_eq!(h.since(start), Since::Paths(paths(0, 3), two));
        assert_eq!(h.since(one), Since::Paths(paths(1, 3), two));
        assert_eq!(h.since(two), Since::Paths(Vec::new(), two));
        assert_eq!(h.since(Stamp { instance: 8, tick: 1 }), Since::Fresh(two));
        assert_eq!(h.since(Stamp { instance: 7, tick: 9 }), Since::Fresh(two));
        let later = Mono::ZERO + HISTORY_AGE + Duration::from_secs(1);
        let three = h.push(later, &[]);
        assert_eq!(h.since(one), Since::Fresh(three));
        assert_eq!(h.since(two), Since::Paths(Vec::new(), three));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut h = History::new(7);
        for n in 0..30 {
            h.push(Mono::ZERO, &changes(n * 1000..(n + 1) * 1000));
        }
        assert_eq!(h.entries.len(), HISTORY_MAX);
        assert_eq!(h.since(Stamp { instance: 7, tick: 19 }), Since::Fresh(h.stamp()));
        assert!(
            matches!(h.since(Stamp { instance: 7, tick: 20 }), Since::Paths(p, _) if p.len() == HISTORY_MAX)
        );
        h.push(Mono::ZERO, &changes(0..HISTORY_MAX + 1));
        assert!(h.entries.is_empty());
    }
}
