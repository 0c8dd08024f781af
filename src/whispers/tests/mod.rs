//! What is given to whom, on a clock that stands still until it is moved.

mod delivery;
mod keeping;
mod past;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::kit::clock::{Clock as _, Now, SimClock};
use crate::kit::gotime::GoTime;

/// One machine: a ledger's database, and those of teams.
struct Desk {
    tmp: tempfile::TempDir,
    clock: SimClock,
    stores: Stores,
    serial: u64,
}

impl Desk {
    fn new() -> Desk {
        Desk {
            tmp: tempfile::tempdir().unwrap(),
            clock: SimClock::new("2026-11-21T12:00:00Z".parse().unwrap()),
            stores: Stores::default(),
            serial: 0,
        }
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn wall(&self) -> Timestamp {
        self.now().wall
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn state(&self, name: &str) -> PathBuf {
        self.tmp.path().join(name)
    }

    /// A murmur of `agent` made now.
    fn murmur(&mut self, agent: &str, importance: &str, content: &str) -> Whisper {
        self.serial += 1;
        Whisper {
            id: format!("m{:06}", self.serial),
            scope: "ledger".into(),
            kind: "trigger".into(),
            source: "murmur".into(),
            topic: "wip".into(),
            content: content.into(),
            importance: importance.into(),
            created_at: GoTime(Some(self.wall())),
            agent_id: agent.into(),
            ..Whisper::default()
        }
    }

    /// Has it come in.
    fn comes_in(&self, state: &str, whisper: &Whisper) {
        self.stores.of(&self.state(state)).take_in(self.now(), std::slice::from_ref(whisper), &[]).unwrap();
    }

    /// Somebody murmurs, and it comes in at once.
    fn says(&mut self, agent: &str, importance: &str, content: &str) {
        let whisper = self.murmur(agent, importance, content);
        self.comes_in("ledger", &whisper);
    }

    fn ask(agent: &str) -> Ask {
        Ask { key: format!("repo:{agent}"), agent: agent.into(), ..Ask::default() }
    }

    /// What an agent is given, as it gets it.
    fn gets(&self, agent: &str) -> Vec<String> {
        self.gets_of(&["ledger"], &Desk::ask(agent))
    }

    fn gets_of(&self, states: &[&str], ask: &Ask) -> Vec<String> {
        let states: Vec<PathBuf> = states.iter().map(|name| self.state(name)).collect();
        let given = self.stores.pending(&states, ask, self.now());
        let said = given.whispers.iter().map(|w| w.content.clone()).collect();
        self.stores.given(given.receipt, true);
        said
    }
}
