//! Work that waits: the most urgent first, each once. Pure.

use std::collections::BTreeSet;

use super::limits::WAITING_MAX;
use crate::kit::clock::Mono;

/// How urgent an item is; the smaller runs first (1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody asked for it: 1.
    Asked,
    /// A look found it: 10.
    Found,
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is; two of the same key are one. `session-finalize:<name>` on the wire.
    pub key: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Only with an agent; else it costs nothing but a slot.
    pub needs_agent: bool,
    /// The most input tokens that a run of it takes.
    pub tokens: u64,
    /// When it came.
    pub came: Mono,
    /// It is not run before.
    pub not_before: Mono,
    /// How often it has failed.
    pub attempts: u32,
    /// Why, the last time.
    pub error: String,
}

/// What became of an item that was put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Waits,
    /// It waits, in the place of one that was less urgent.
    InPlaceOf(String),
    /// It waited already, and is urgent now.
    Raised,
    /// It waits already, or is being run.
    Known,
    /// There is no room: a later look finds it again.
    Full,
}

/// What waits, and the keys of what is being run.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Vec<Item>,
    running: BTreeSet<String>,
}

impl Queue {
    /// Puts an item in.
    pub fn put(&mut self, item: Item) -> Put {
        if self.running.contains(&item.key) {
            return Put::Known;
        }
        if let Some(known) = self.waiting.iter_mut().find(|known| known.key == item.key) {
            if item.priority == Priority::Asked {
                // Whoever asks does not want to wait for a retry.
                known.not_before = known.not_before.min(item.came);
                let is_raised = item.priority < known.priority;
                known.priority = item.priority;
                return if is_raised { Put::Raised } else { Put::Known };
            }
            return Put::Known;
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(item);
            return Put::Waits;
        }
        let worst = self.waiting.iter().enumerate().max_by_key(|(_, item)| (item.priority, item.came));
        match worst.filter(|(_, worst)| item.priority < worst.priority).map(|(n, _)| n) {
            Some(n) => Put::InPlaceOf(std::mem::replace(&mut self.waiting[n], item).key),
            None => Put::Full,
        }
    }

    /// Takes out the next item that may be run now, which then counts as running. Without an agent only what needs none; with one, what
    /// takes at most `tokens`.
    pub fn next(&mut self, now: Mono, tokens: Option<u64>) -> Option<Item> {
        let may_run = |item: &&(usize, &Item)| {
            let fits = || tokens.is_some_and(|tokens| item.1.tokens <= tokens);
            item.1.not_before <= now && (!item.1.needs_agent || fits())
        };
        let all: Vec<(usize, &Item)> = self.waiting.iter().enumerate().collect();
        let next = all.iter().filter(may_run).min_by_key(|(_, item)| (item.priority, item.came, &item.key));
        let n = next.map(|(n, _)| *n)?;
        let item = self.waiting.swap_remove(n);
        self.running.insert(item.key.clone());
        Some(item)
    }

    /// It is run no more.
    pub fn done(&mut self, key: &str) {
        self.running.remove(key);
    }

    /// It is run no more, and waits again: no other of its key can come between. False if there is no room for it.
    pub fn again(&mut self, item: Item) -> bool {
        self.running.remove(&item.key);
        matches!(self.put(item), Put::Waits | Put::InPlaceOf(_))
    }

    /// Takes out all that wait for an agent.
    pub fn drop_those_for_agents(&mut self) {
        self.waiting.retain(|item| !item.needs_agent);
    }

    /// What waits, the next first.
    pub fn all(&self) -> Vec<&Item> {
        let mut all: Vec<&Item> = self.waiting.iter().collect();
        all.sort_by_key(|item| (item.priority, item.not_before, item.came));
        all
    }

    /// The fewest input tokens that an item takes which waits for an agent and may be run now.
    pub fn least_tokens(&self, now: Mono) -> Option<u64> {
        let due = self.waiting.iter().filter(|item| item.needs_agent && item.not_before <= now);
        due.map(|item| item.tokens).min()
    }

    /// Takes out all that wait whose keys begin so.
    pub fn drop_all(&mut self, start: &str) {
        self.waiting.retain(|item| !item.key.starts_with(start));
    }

    /// Whether anything is run whose key begins so, or waits and may be run; `agents`: also what needs one may.
    pub fn has(&self, start: &str, agents: bool) -> bool {
        let waiting = self.waiting.iter().filter(|item| agents || !item.needs_agent).map(|item| &item.key);
        waiting.chain(&self.running).any(|key| key.starts_with(start))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many are run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether any waits that needs an agent.
    pub fn wants_agent(&self) -> bool {
        self.waiting.iter().any(|item| item.needs_agent)
    }

    /// When the first comes due that is not yet.
    pub fn next_due(&self, now: Mono) -> Option<Mono> {
        self.waiting.iter().map(|item| item.not_before).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(s: u64) -> Mono {
        Mono::ZERO + Duration::from_secs(s)
    }

    fn item(key: &str, priority: Priority, came: u64) -> Item {
        Item {
            key: key.into(),
            priority,
            needs_agent: true,
            tokens: 1000,
            came: at(came),
            not_before: at(came),
            attempts: 0,
            error: String::new(),
        }
    }

    #[test]
    fn the_most_urgent_comes_first_then_the_oldest_and_each_once() {
        let mut queue = Queue::default();
        assert_eq!(queue.put(item("b", Priority::Found, 1)), Put::Waits);
        assert_eq!(queue.put(item("a", Priority::Found, 0)), Put::Waits);
        assert_eq!(queue.put(item("c", Priority::Asked, 2)), Put::Waits);
        assert_eq!(queue.put(item("a", Priority::Found, 3)), Put::Known);
        let next = |queue: &mut Queue| queue.next(at(9), Some(5000)).map(|item| item.key);
        assert_eq!(next(&mut queue).as_deref(), Some("c"));
        assert_eq!(queue.put(item("c", Priority::Asked, 4)), Put::Known, "it is being run");
        queue.done("c");
        assert_eq!(queue.put(item("b", Priority::Asked, 4)), Put::Raised);
        assert_eq!(next(&mut queue).as_deref(), Some("b"));
        assert_eq!(next(&mut queue).as_deref(), Some("a"));
        assert_eq!((next(&mut queue), queue.waiting(), queue.running()), (None, 0, 2));
    }

    #[test]
    fn what_needs_no_agent_runs_without_one_and_what_is_too_large_waits() {
        let mut queue = Queue::default();
        queue.put(item("llm", Priority::Asked, 0));
        queue.put(Item { needs_agent: false, ..item("upload", Priority::Found, 1) });
        assert_eq!(queue.next(at(9), None).map(|i| i.key).as_deref(), Some("upload"));
        assert_eq!(queue.next(at(9), None), None);
        assert_eq!(queue.next(at(9), Some(999)), None);
        assert_eq!(queue.next(at(9), Some(1000)).map(|i| i.key).as_deref(), Some("llm"));
    }

    #[test]
    fn a_retry_waits_unless_somebody_asks_for_it() {
        let mut queue = Queue::default();
        queue.put(item("a", Priority::Found, 0));
        let first = queue.next(at(0), Some(5000)).unwrap();
        assert!(queue.again(Item { not_before: at(30), attempts: 1, ..first }));
        assert_eq!(queue.running(), 0);
        assert_eq!((queue.next(at(29), Some(5000)), queue.next_due(at(29))), (None, Some(at(30))));
        assert_eq!(queue.put(item("a", Priority::Asked, 10)), Put::Raised);
        let again = queue.next(at(10), Some(5000)).unwrap();
        assert_eq!((again.attempts, again.priority), (1, Priority::Asked));
    }

    #[test]
    fn there_is_a_cap_and_the_urgent_put_out_the_others() {
        let mut queue = Queue::default();
        for n in 0..WAITING_MAX as u64 {
            assert_eq!(queue.put(item(&n.to_string(), Priority::Found, n)), Put::Waits);
        }
        assert_eq!(queue.put(item("x", Priority::Found, 200)), Put::Full);
        assert_eq!(queue.put(item("x", Priority::Asked, 201)), Put::InPlaceOf("99".into()));
        assert_eq!(queue.waiting(), WAITING_MAX);
        let mut asked = Queue::default();
        for n in 0..WAITING_MAX as u64 {
            asked.put(item(&n.to_string(), Priority::Asked, n));
        }
        assert_eq!(asked.put(item("x", Priority::Asked, 200)), Put::Full);
    }
}
