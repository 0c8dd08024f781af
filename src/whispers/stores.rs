//! All databases of the process, and what agents are given from them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::error::Error;
use super::limits::{HISTORY, LEASE, PAGE_BYTES, PAGE_MAX};
use super::murmur::Importance;
use super::store::{Marks, Pending, Reader, Store, Waiting};
use super::whisper::{Attention, Whisper};
use crate::kit::clock::{Mono, Now};

/// The databases, by state directory. Each has its own lock; this table's is never held over one of them.
#[derive(Debug, Default)]
pub struct Stores {
    open: Mutex<BTreeMap<PathBuf, Arc<Store>>>,
    /// Readers whose answer is on its way, and since when.
    leased: Mutex<BTreeMap<String, Mono>>,
}

/// What an agent asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// What its place is kept under: agents of different repositories may have the same id.
    pub key: String,
    /// Its id.
    pub agent: String,
    /// How much it wants to hear.
    pub attention: Attention,
    /// Only these topics; none: all.
    pub topics: Vec<String>,
    /// So many bytes of whispers at most, but one in any case; `None`: as many as an answer holds.
    pub budget: Option<usize>,
}

/// What is given to an agent. It counts as given when [`Stores::given`] is told so.
#[derive(Debug)]
pub struct Given {
    /// The most important first, and each of these the oldest first.
    pub whispers: Vec<Whisper>,
    /// What to tell of it.
    pub receipt: Receipt,
}

/// Names what an agent is given.
#[derive(Debug)]
#[must_use = "what is given without a word about it is given again"]
pub struct Receipt {
    key: String,
    leased: bool,
    marks: Vec<(Arc<Store>, u64, Marks)>,
}

impl Receipt {
    /// Whether a place moves: then it is to be written down.
    pub fn moves(&self) -> bool {
        !self.marks.is_empty()
    }
}

/// Whispers of the past.
#[derive(Debug, Default)]
pub struct Past {
    /// Newest first, and whether the reader has got each.
    pub whispers: Vec<(Whisper, bool)>,
    /// There are more.
    pub more: bool,
    /// When the newest was made that the reader has got from the first database; `None` if it has read nothing.
    pub read_up_to: Option<Timestamp>,
    /// The reader has a place in the first database.
    pub has_place: bool,
}

impl Stores {
    /// The database of the clone with this state directory.
    pub fn of(&self, state: &Path) -> Arc<Store> {
        let mut open = self.open.lock();
        Arc::clone(open.entry(state.to_owned()).or_insert_with(|| Arc::new(Store::of(state))))
    }

    /// What waits for an agent in these databases. A second request of the same agent gets nothing while the first one's answer is on its
    /// way. A database that fails is left out, with a word in the log.
    pub fn pending(&self, states: &[PathBuf], ask: &Ask, now: Now) -> Given {
        let nothing = |leased| Given {
            whispers: Vec::new(),
            receipt: Receipt { key: ask.key.clone(), leased, marks: Vec::new() },
        };
        if !self.lease(&ask.key, now.mono) {
            return nothing(false);
        }
        let reader = Reader { key: &ask.key, agent: &ask.agent };
        let mut found = Vec::new();
        for state in states {
            let store = self.of(state);
            match store.pending(now, reader, ask.attention, &ask.topics, ask.budget) {
                Ok(pending) => {
                    if pending.is_new {
                        // Before anything more is said: after a crash it is to go on from here, not to begin anew without the background.
                        store.read_up_to(&ask.key, pending.generation, pending.start);
                        store.write_marks(now);
                    }
                    found.push((store, pending));
                }
                Err(e) => log::warn!("whispers for {}: {e}", ask.agent),
            }
        }
        let whispers = take(&mut found, ask.budget.unwrap_or(usize::MAX));
        let marks: Vec<(Arc<Store>, u64, Marks)> = found
            .into_iter()
            .filter(|(_, pending)| pending.is_new || pending.end != pending.start)
            .map(|(store, pending)| (store, pending.generation, pending.end))
            .collect();
        Given { whispers, receipt: Receipt { marks, ..nothing(true).receipt } }
    }

    /// An answer is out, or will never be. Does not touch a disk.
    pub fn given(&self, receipt: Receipt, out: bool) {
        if out {
            for (store, generation, marks) in &receipt.marks {
                store.read_up_to(&receipt.key, *generation, *marks);
            }
        }
        if receipt.leased {
            self.leased.lock().remove(&receipt.key);
        }
    }

    fn lease(&self, key: &str, now: Mono) -> bool {
        let mut leased = self.leased.lock();
        leased.retain(|_, since| now.since(*since) < LEASE);
        if leased.contains_key(key) {
            return false;
        }
        leased.insert(key.to_string(), now);
        true
    }

    /// Whispers of the past made before `before`, newest first, from these databases: for an agent what is or was for it, without one
    /// everything. `limit` as on the wire: zero is the default.
    ///
    /// # Errors
    /// Those of a database.
    pub fn past(
        &self,
        states: &[PathBuf],
        who: Option<Reader<'_>>,
        before: Option<Timestamp>,
        limit: i64,
        now: Now,
    ) -> Result<Past, Error> {
        let limit = match usize::try_from(limit) {
            Ok(0) | Err(_) => HISTORY.0,
            Ok(n) => n.min(HISTORY.1),
        };
        let mut past = Past::default();
        let mut bytes = 0;
        let mut all: Vec<(Whisper, bool)> = Vec::new();
        for (n, state) in states.iter().enumerate() {
            let store = self.of(state);
            let marks = match who {
                Some(reader) => store.place_of(now, reader.key)?,
                None => None,
            };
            let (found, more) = store.past(now, who.map(|w| w.agent), before, limit)?;
            let read = |(seq, w): (i64, Whisper)| {
                let read = marks.is_some_and(|marks| seq <= marks[w.rank() as usize]);
                (w, read)
            };
            let found: Vec<(Whisper, bool)> = found.into_iter().map(read).collect();
            if n == 0 {
                past.has_place = marks.is_some();
                past.read_up_to = found.iter().find(|(_, read)| *read).and_then(|(w, _)| w.created_at.0);
                // Who asked and got nothing is as far as the time of that call, which is written down in a moment.
                if let (None, true, Some(reader)) = (past.read_up_to, past.has_place, who) {
                    past.read_up_to = Some(store.placed_at(now, reader.key)?.unwrap_or(now.wall));
                }
            }
            past.more |= more;
            all.extend(found);
        }
        all.sort_by(|(a, _), (b, _)| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        all.dedup_by(|(a, _), (b, _)| a.id == b.id);
        // All of one moment or none: the next page begins before it.
        let end = all.get(limit).map_or(all.len(), |(first_left, _)| {
            let same = |(w, _): &&(Whisper, bool)| w.created_at == first_left.created_at;
            let reach = all[limit..].iter().take_while(same).count();
            if all[limit - 1].0.created_at == first_left.created_at { limit + reach } else { limit }
        });
        past.more |= end < all.len();
        all.truncate(end);
        // Each database has kept to the bound, all together have to as well.
        let fits = all.iter().take_while(|(w, _)| {
            bytes += w.wire_size();
            bytes <= PAGE_BYTES
        });
        let fits = fits.count();
        past.more |= fits < all.len();
        all.truncate(fits);
        past.whispers = all;
        Ok(past)
    }

    /// Writes down how far readers are.
    pub fn write_marks(&self, now: Now) {
        self.all().iter().for_each(|(_, store)| store.write_marks(now));
    }

    /// Closes databases that nobody asks for, and forgets them.
    pub fn close_idle(&self, now: Now) {
        for (state, store) in self.all() {
            if store.close_if_idle(now) {
                let mut open = self.open.lock();
                // Another may have taken it from the table meanwhile: then it stays.
                if open.get(&state).is_some_and(|s| Arc::ptr_eq(s, &store)) && Arc::strong_count(&store) == 2
                {
                    open.remove(&state);
                }
            }
        }
    }

    /// Closes all.
    pub fn close(&self, now: Now) {
        self.all().iter().for_each(|(_, store)| store.close(now));
    }

    /// All that are in use.
    pub fn all(&self) -> Vec<(PathBuf, Arc<Store>)> {
        self.open.lock().iter().map(|(state, store)| (state.clone(), Arc::clone(store))).collect()
    }
}

/// Takes as much as `budget` bytes before an agent, [`PAGE_BYTES`] of an answer and [`PAGE_MAX`] entries hold, the most important first;
/// what is left stays before the reader's place.
fn take(found: &mut [(Arc<Store>, Pending)], budget: usize) -> Vec<Whisper> {
    let (mut taken, mut room): (Vec<Whisper>, usize) = (Vec::new(), budget);
    let mut all = 0;
    let mut full = false;
    // One database has each of them once.
    let several = found.len() > 1;
    let mut ids = HashSet::new();
    for importance in Importance::ALL {
        let rank = importance as usize;
        let mut queues: Vec<_> = found
            .iter_mut()
            .map(|(_, pending)| {
                let queue = std::mem::take(&mut pending.whispers[rank]);
                (&mut pending.end[rank], queue.into_iter().peekable())
            })
            .collect();
        loop {
            // Of the databases the one whose next whisper is the oldest; within one their order stays.
            let heads = queues.iter_mut().enumerate();
            let oldest = heads
                .filter_map(|(n, (_, queue))| {
                    queue.peek().map(|w| ((w.whisper.created_at, &w.whisper.id), n))
                })
                .min()
                .map(|(_, n)| n);
            let Some(n) = oldest else { break };
            let Some(Waiting { seq, whisper, size, bytes }) = queues[n].1.next() else { break };
            if several && !ids.insert(whisper.id.clone()) {
                continue;
            }
            all += bytes;
            full |= taken.len() >= PAGE_MAX || ((size > room || all > PAGE_BYTES) && !taken.is_empty());
            if full {
                *queues[n].0 = seq - 1;
                // Every other queue stops before its head as well.
                for (end, queue) in &mut queues {
                    if let Some(waiting) = queue.peek() {
                        **end = (**end).min(waiting.seq - 1);
                    }
                }
                break;
            }
            room = room.saturating_sub(size);
            taken.push(whisper);
        }
    }
    taken.sort_by(|a, b| (a.rank(), a.created_at, &a.id).cmp(&(b.rank(), b.created_at, &b.id)));
    taken
}
