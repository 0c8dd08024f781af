//! The clones and work trees that have called.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::activity::KEY_MAX;
use crate::kit::clock::{Mono, Now};

/// So many are remembered; a further one takes the place of the one that has been silent for longest.
pub const CALLERS_MAX: usize = 200;

/// One that has called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its directory; may be empty.
    pub path: String,
    /// When it called last.
    pub seen: Timestamp,
    /// The agent that called last; may be empty.
    pub agent: String,
    order: Mono,
}

/// All of them, by the id that is made of the path.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    by_id: BTreeMap<Box<str>, Caller>,
}

impl Callers {
    /// Notes a call. What it does not tell stays as it was.
    pub fn called(&mut self, now: Now, id: &str, path: &str, agent: &str) {
        if id.is_empty() || [id, path, agent].iter().any(|text| text.len() > KEY_MAX) {
            return;
        }
        if !self.by_id.contains_key(id) && self.by_id.len() >= CALLERS_MAX {
            let oldest = self.by_id.iter().min_by_key(|(_, c)| c.order).map(|(id, _)| id.clone());
            oldest.map(|id| self.by_id.remove(&id));
        }
        let new = || Caller { path: String::new(), seen: now.wall, agent: String::new(), order: now.mono };
        let caller = self.by_id.entry(id.into()).or_insert_with(new);
        (caller.seen, caller.order) = (now.wall, now.mono);
        if !path.is_empty() {
            path.clone_into(&mut caller.path);
        }
        if !agent.is_empty() {
            agent.clone_into(&mut caller.agent);
        }
    }

    /// All, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Caller)> {
        self.by_id.iter().map(|(id, caller)| (&**id, caller))
    }

    /// Directory of the newest that has told one.
    pub fn newest_path(&self) -> Option<&str> {
        let told = self.by_id.values().filter(|c| !c.path.is_empty());
        told.max_by_key(|c| c.order).map(|c| c.path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kit::clock::{Clock, SimClock};

    #[test]
    fn the_newest_stay_and_what_was_told_stays() {
        let clock = SimClock::new(Timestamp::UNIX_EPOCH);
        let mut callers = Callers::default();
        callers.called(clock.now(), "", "/no", "");
        for n in 0..CALLERS_MAX + 3 {
            clock.advance(Duration::from_secs(1));
            callers.called(clock.now(), &format!("{n:08}"), &format!("/w/{n}"), "Oxaaaa");
            clock.advance(Duration::from_secs(1));
            callers.called(clock.now(), "00000000", "", "");
        }
        assert_eq!(callers.iter().len(), CALLERS_MAX);
        let first = callers.iter().next().unwrap();
        assert_eq!((first.0, &*first.1.path, &*first.1.agent), ("00000000", "/w/0", "Oxaaaa"));
        assert_eq!(callers.newest_path(), Some("/w/0"));
        assert!(!callers.iter().any(|(id, _)| id == "00000002"));
    }
}
