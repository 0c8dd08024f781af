//! Values that are written down behind the back of whoever changes them: by key, the newest only, one at a time, and never in the wrong
//! order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::lanes::{Lane, Lanes};
use crate::kit::thread;

/// Values that wait to be written. Cheap to clone.
pub(in crate::daemon) struct Latest<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    state: Mutex<State<K, V>>,
    write: Write<K, V>,
}

/// Writes one value down.
type Write<K, V> = Box<dyn Fn(&K, V) + Send + Sync>;

struct State<K, V> {
    waiting: BTreeMap<K, V>,
    /// Those that a worker writes now, or is about to.
    writing: BTreeSet<K>,
}

impl<K, V> Clone for Latest<K, V> {
    fn clone(&self) -> Self {
        Latest { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Clone + Ord + Send + 'static, V: Send + 'static> Latest<K, V> {
    /// Values that `write` writes down.
    pub(in crate::daemon) fn new(write: impl Fn(&K, V) + Send + Sync + 'static) -> Latest<K, V> {
        let state = Mutex::new(State { waiting: BTreeMap::new(), writing: BTreeSet::new() });
        Latest { inner: Arc::new(Inner { state, write: Box::new(write) }) }
    }

    /// Has `value` written soon, in place of one of the same key that was not written yet. Waits for no disk.
    pub(in crate::daemon) fn put(&self, lanes: &Lanes, key: K, value: V) {
        self.merge(lanes, key, |_| value);
    }

    /// As [`Latest::put`], with what waits already under that key.
    pub(in crate::daemon) fn merge(&self, lanes: &Lanes, key: K, value: impl FnOnce(Option<V>) -> V) {
        let mut state = self.inner.state.lock();
        let before = state.waiting.remove(&key);
        state.waiting.insert(key.clone(), value(before));
        if state.writing.insert(key.clone()) {
            drop(state);
            let latest = self.clone();
            let which = key.clone();
            if !lanes.run(Lane::Disk, move || latest.write(&which)) {
                // It goes with the next one, or at the end.
                self.inner.state.lock().writing.remove(&key);
            }
        }
    }

    /// Writes until nothing of `key` waits.
    fn write(&self, key: &K) {
        loop {
            let value = {
                let mut state = self.inner.state.lock();
                let Some(value) = state.waiting.remove(key) else {
                    state.writing.remove(key);
                    return;
                };
                value
            };
            // A writer that panics has lost this value, not those to come.
            if let Err(panic) = thread::contain(|| (self.inner.write)(key, value)) {
                log::error!("a writer panicked: {panic}");
            }
        }
    }

    /// Writes what no worker had room for: at the end, when all workers have ended.
    pub(in crate::daemon) fn finish(&self) {
        let left = {
            let mut state = self.inner.state.lock();
            // A worker that hangs with a value of a key is not overtaken: its older one could come last.
            let State { waiting, writing } = &mut *state;
            waiting.retain(|key, _| !writing.contains(key));
            std::mem::take(waiting)
        };
        for (key, value) in left {
            if let Err(panic) = thread::contain(|| (self.inner.write)(&key, value)) {
                log::error!("a writer panicked: {panic}");
            }
        }
    }
}
