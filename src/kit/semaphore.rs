//! A counting semaphore whose waiters give up after a while.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A fixed number of slots. Clones share them.
#[derive(Clone, Debug)]
pub struct Semaphore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Mutex<usize>,
    freed: Condvar,
    total: usize,
}

/// A slot held; given back on drop.
#[derive(Debug)]
pub struct Slot(Arc<Inner>);

impl Semaphore {
    /// A semaphore with `slots` free slots.
    pub fn new(slots: usize) -> Semaphore {
        Semaphore(Arc::new(Inner { free: Mutex::new(slots), freed: Condvar::new(), total: slots }))
    }

    /// Takes a slot, waiting at most `wait`. `None` when none came free in that time.
    pub fn acquire(&self, wait: Duration) -> Option<Slot> {
        let mut free = self.0.free.lock();
        let timed_out = self.0.freed.wait_while_for(&mut free, |free| *free == 0, wait).timed_out();
        if timed_out && *free == 0 {
            return None;
        }
        *free -= 1;
        Some(Slot(Arc::clone(&self.0)))
    }

    /// How many slots there are, free or not.
    pub fn total(&self) -> usize {
        self.0.total
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::thread;

    #[test]
    fn a_full_semaphore_times_out_and_a_freed_slot_wakes_the_waiter() {
        let s = Semaphore::new(1);
        let slot = s.acquire(Duration::ZERO).unwrap();
        assert!(s.acquire(Duration::from_millis(1)).is_none());
        let other = s.clone();
        let waiter = thread::spawn("waiter", thread::STACK_SMALL, move || {
            other.acquire(Duration::from_secs(10)).is_some()
        })
        .unwrap();
        drop(slot);
        assert!(waiter.join().unwrap());
        assert_eq!(s.total(), 1);
    }
}
