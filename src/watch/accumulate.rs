//! Collects changes until nothing more comes, and makes one of several changes of a path: pure policy.

use std::collections::BTreeMap;

use super::change::{Change, HeadMove, Kind};
use super::limits::{GIT_HOLD, HEAD_REST, PENDING_BYTES_MAX, PENDING_MAX, SETTLE, SETTLE_HOLD};
use crate::kit::clock::Mono;

/// What two changes of a path, one after the other, come to; `None` when they cancel each other.
pub fn collapse(pending: Kind, new: Kind) -> Option<Kind> {
    use Kind::{Created, Deleted, Modified, Renamed};
    match (pending, new) {
        // Never seen by anybody: a temporary name.
        (Created, Deleted | Renamed) => None,
        (Created, Created | Modified) => Some(Created),
        (_, Created | Modified) => Some(Modified),
        (_, Deleted) => Some(Deleted),
        (_, Renamed) => Some(Renamed),
    }
}

/// What is settled: a [`super::Batch`] without its place in history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// In the order of paths.
    pub changes: Vec<Change>,
    /// Git was still at work.
    pub partial: bool,
    /// Events were lost, or changes dropped.
    pub desynced: bool,
    /// HEAD moved meanwhile.
    pub head_moved: Option<HeadMove>,
}

/// Changes that wait for quiet.
#[derive(Debug, Default)]
pub struct Accumulator {
    pending: BTreeMap<Box<[u8]>, Kind>,
    bytes: usize,
    dropped: u64,
    /// What waits is no longer all there was.
    overflowed: bool,
    desynced: bool,
    head_moved: Option<HeadMove>,
    /// When what waits began, and when it was last added to or hinted at.
    first: Option<Mono>,
    last: Mono,
    head_at: Option<Mono>,
    /// Since when git is known to hold its index.
    git_since: Option<Mono>,
}

impl Accumulator {
    /// Adds changes that were first heard of at `first`, and last at `last`.
    pub fn add(&mut self, first: Mono, last: Mono, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.begin(first);
        self.touch(last);
        for change in changes {
            self.add_one(change);
        }
    }

    fn add_one(&mut self, change: &Change) {
        let Some(pending) = self.pending.get(&change.path).copied() else {
            let full =
                self.pending.len() >= PENDING_MAX || self.bytes + change.path.len() > PENDING_BYTES_MAX;
            if full || self.overflowed {
                return self.overflow();
            }
            self.bytes += change.path.len();
            self.pending.insert(change.path.clone(), change.kind);
            return;
        };
        match collapse(pending, change.kind) {
            Some(kind) => drop(self.pending.insert(change.path.clone(), kind)),
            None => {
                self.pending.remove(&change.path);
                self.bytes -= change.path.len();
            }
        }
    }

    /// Too many: which ones no longer matters, that there were does.
    fn overflow(&mut self) {
        self.dropped += self.pending.len() as u64 + 1;
        self.pending.clear();
        self.bytes = 0;
        self.desynced = true;
        self.overflowed = true;
    }

    /// Something is happening in the tree: what waits goes on waiting.
    pub fn touch(&mut self, now: Mono) {
        self.last = self.last.max(now);
    }

    /// Events were lost and the tree has been compared: the next batch says so, even an empty one.
    pub fn desync(&mut self, now: Mono) {
        self.begin(now);
        self.desynced = true;
    }

    /// HEAD moved.
    pub fn head_moved(&mut self, now: Mono, by: HeadMove) {
        self.begin(now);
        self.head_at = Some(now);
        let old = self.head_moved.map_or(by.old, |earlier| earlier.old);
        // There and back again is no move.
        self.head_moved = (old != by.new).then_some(HeadMove { old, new: by.new });
    }

    /// Git was seen to hold its index, or not to.
    pub fn git_busy(&mut self, now: Mono, busy: bool) {
        self.git_since = match (busy, self.git_since) {
            (false, _) => None,
            (true, since) => since.or(Some(now)),
        };
    }

    /// Whether git has held its index for so long that it is waited for no more.
    pub fn git_is_late(&self, now: Mono) -> bool {
        self.git_since.is_some_and(|since| now.since(since) >= GIT_HOLD)
    }

    /// What waits is waited with no longer.
    pub fn hurry(&mut self) {
        if self.first.is_some() {
            (self.first, self.last, self.head_at) = (Some(Mono::ZERO), Mono::ZERO, None);
            self.git_since = None;
        }
    }

    fn begin(&mut self, now: Mono) {
        self.first.get_or_insert(now);
        self.touch(now);
    }

    /// How many changes wait.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How many changes were dropped because there were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When what waits is settled; `None` when nothing waits.
    pub fn next_deadline(&self) -> Option<Mono> {
        let first = self.first?;
        let quiet = (self.last + SETTLE).min(first + SETTLE_HOLD);
        let rested = self.head_at.map_or(quiet, |at| quiet.max(at + HEAD_REST)).min(first + GIT_HOLD);
        Some(self.git_since.map_or(rested, |since| rested.max(since + GIT_HOLD)))
    }

    /// What is settled at `now`.
    pub fn settle(&mut self, now: Mono) -> Option<Settled> {
        if self.next_deadline().is_none_or(|at| at > now) {
            return None;
        }
        let partial = self.git_since.is_some();
        self.first = None;
        self.bytes = 0;
        self.overflowed = false;
        self.head_at = None;
        let settled = Settled {
            changes: std::mem::take(&mut self.pending)
                .into_iter()
                .map(|(path, kind)| Change { path, kind })
                .collect(),
            partial,
            desynced: std::mem::take(&mut self.desynced),
            head_moved: self.head_moved.take(),
        };
        let nothing = settled.changes.is_empty() && !settled.desynced && settled.head_moved.is_none();
        (!nothing).then_some(settled)
    }
}

#[cfg(test)]
#[path = "accumulate_tests.rs"]
mod tests;
