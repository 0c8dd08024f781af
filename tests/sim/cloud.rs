//! The server that some projects come from: it answers or does not, takes the login or does not, and hands out credentials that end.

use std::cell::Cell;
use std::time::Duration;

use jiff::Timestamp;
use ox::kit::clock::{Mono, Now};
use ox::kit::gotime::GoTime;
use ox::kit::rng::Rng;
use ox::sync::CloudView;
use ox::sync::account::{Account, CallOutcome, REPOS_EVERY};

pub const ENDPOINT: &str = "https://ox.example";
/// Credentials are good for this long.
const GOOD_FOR: Duration = Duration::from_secs(12 * 3600);
/// While all is well they are renewed an hour before their end; this is what a late look and an answer may take of that.
const RENEWED_WITHIN: Duration = Duration::from_secs(30 * 60);

/// The server, and what this machine has stored for it.
#[derive(Debug)]
pub struct Cloud {
    /// Calls come to something.
    pub up: bool,
    /// Which login is stored; none while the user is logged out.
    login: Option<u64>,
    /// It takes the login.
    takes: bool,
    ends: Option<Timestamp>,
    saved: Account,
    asking: bool,
    /// When it was last asked, and with which login.
    asked: Option<(Timestamp, Option<u64>)>,
    /// The login that the core was last told of.
    told: Cell<Option<u64>>,
    /// Since when nothing but success was possible, and somebody was there to ask.
    fine_since: Option<Mono>,
}

impl Cloud {
    pub fn new() -> Cloud {
        Cloud {
            up: true,
            login: Some(0),
            takes: true,
            ends: None,
            saved: Account::default(),
            asking: false,
            asked: None,
            told: Cell::new(None),
            fine_since: None,
        }
    }

    /// What the files say.
    pub fn view(&self) -> CloudView {
        self.told.set(self.login);
        CloudView {
            login: self.login.map(|n| format!("login {n}")),
            stored: self.ends.map(|at| GoTime(Some(at))),
            account: self.saved.clone(),
        }
    }

    /// As a file keeps it.
    pub fn save(&mut self, account: &Account) {
        self.saved = serde_json::from_slice(&serde_json::to_vec(account).unwrap()).unwrap();
    }

    /// A person or the server's people do something.
    pub fn live(&mut self, rng: &mut Rng) {
        self.fine_since = None;
        match rng.below(4) {
            0 => self.up = !self.up,
            1 => self.takes = !self.takes,
            2 => self.login = None,
            _ => self.login = Some(rng.next_u64()),
        }
    }

    /// The process was killed: nobody waits for an answer any more.
    pub fn restart(&mut self) {
        (self.asking, self.fine_since) = (false, None);
    }

    /// The machine slept.
    pub fn slept(&mut self) {
        self.fine_since = None;
    }

    /// The core asks for credentials.
    pub fn ask(&mut self, now: Timestamp) {
        assert!(!std::mem::replace(&mut self.asking, true), "the server is asked twice at once");
        let told = self.told.get();
        if let Some((before, with)) = self.asked.replace((now, told))
            && with == told
        {
            let since = Duration::try_from(now.duration_since(before)).unwrap();
            assert!(since >= REPOS_EVERY, "the server is asked again after {since:?}");
        }
    }

    /// Whether it has been asked and has not answered.
    pub fn is_asked(&self) -> bool {
        self.asking
    }

    /// It answers.
    pub fn answer(&mut self, now: Now, rng: &mut Rng) -> CallOutcome {
        self.asking = false;
        let called = match (self.login, self.up) {
            (None, _) => CallOutcome::Unauthorized,
            (_, false) => match rng.below(4) {
                0 => CallOutcome::Failed,
                1 => CallOutcome::Wait(Duration::from_secs(120)),
                _ => CallOutcome::Network,
            },
            (Some(_), true) if !self.takes => CallOutcome::Unauthorized,
            _ => CallOutcome::Fine,
        };
        if called == CallOutcome::Fine {
            self.ends = now.wall.checked_add(GOOD_FOR).ok();
        }
        called
    }

    /// Whether git is let in.
    pub fn lets_in(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|at| at > now)
    }

    /// While server and login are fine and somebody is there to ask, credentials never end.
    pub fn look(&mut self, now: Now, somebody: bool) {
        if !somebody || !self.up || !self.takes || self.login.is_none() {
            self.fine_since = None;
            return;
        }
        let since = *self.fine_since.get_or_insert(now.mono);
        if now.mono.since(since) > RENEWED_WITHIN + Duration::from_secs(3600) {
            assert!(self.lets_in(now.wall), "credentials ended at {:?} although all was well", self.ends);
        }
    }
}
