//! What the world knows of one clone, and of the host that it comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ox::daemon::Key;
use ox::kit::clock::Mono;
use ox::sync::{CloneInfo, Known, Saved};

use super::host::state_of;

/// A host that remotes are on.
#[derive(Debug, Default)]
pub struct Host {
    pub up: bool,
    /// Since when the core has had a fair chance to find out that it is up: since it is, or since the last attempt told nothing.
    pub chance_since: Option<Mono>,
    /// Since when it is back, until the first success.
    pub back_since: Option<Mono>,
}

/// A piece of work on a clone.
#[derive(Debug)]
pub struct Work {
    pub cloning: bool,
    /// Nobody waits for it any more.
    pub dropped: bool,
}

/// A clone on disk, whether the core keeps it level or not.
#[derive(Debug)]
pub struct Site {
    pub key: Key,
    /// None for a directory of this machine.
    pub host: Option<usize>,
    pub cloned: bool,
    pub work: BTreeMap<u64, Work>,
    /// Failures in a row that are not the network's.
    pub failures: u32,
    pub saved: Option<Saved>,
    /// Since when nothing but success was possible for it.
    pub healthy_since: Option<Mono>,
    pub last_good: Option<Mono>,
    /// Runs since the last good one that were left out for good reason.
    pub skipped: u32,
    /// Its last run failed because of the network, and none has begun since that could succeed.
    pub waits_since: Option<Mono>,
    /// Since when its run has waited for a slot.
    pub queued_since: Option<Mono>,
    /// Its murmurs have been taken in since the process began, or are being.
    pub relayed: bool,
    /// The last sign of the core's that it cares: a run begun, or the project attached.
    pub last_sign: Option<Mono>,
}

impl Site {
    pub fn new(key: Key, host: Option<usize>, cloned: bool) -> Site {
        Site {
            key,
            host,
            cloned,
            work: BTreeMap::new(),
            failures: 0,
            saved: None,
            healthy_since: None,
            last_good: None,
            skipped: 0,
            waits_since: None,
            queued_since: None,
            relayed: false,
            last_sign: None,
        }
    }

    /// A job begins: one at a time.
    pub fn begins(&mut self, now: Mono, run: u64, cloning: bool) {
        assert!(self.work.values().all(|w| w.dropped), "{}: two pieces of work at once", self.key);
        self.work.insert(run, Work { cloning, dropped: false });
        self.last_sign = Some(now);
    }

    /// The core knows nothing of it any more. What runs for it goes on for a while.
    pub fn forget(&mut self) {
        self.work.values_mut().for_each(|w| w.dropped = true);
        self.failures = self.saved.as_ref().map_or(0, |s| s.failures);
        (self.healthy_since, self.last_good, self.skipped) = (None, None, 0);
        (self.waits_since, self.queued_since, self.last_sign) = (None, None, None);
        self.relayed = false;
    }

    pub fn place(&self) -> CloneInfo {
        CloneInfo {
            path: PathBuf::from(format!("/clones/{}", self.key)),
            url: "https://git.example/x.git".to_string(),
            host: self.host.map(|n| format!("git{n}.example")),
            exists: self.cloned,
            read_only: false,
            state: state_of(&self.key),
        }
    }

    pub fn known(&self) -> Known {
        Known { place: self.place(), last_sync: None, saved: self.saved.clone() }
    }
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub turns: u64,
    pub syncs: u64,
    pub offline: u64,
    pub unstarted: u64,
    pub failed: u64,
    pub cloned: u64,
    /// Clones that waited for a slot, in vain or not.
    pub queued: u64,
    /// Ends of work that nobody waited for any more.
    pub late: u64,
    pub suspended: u64,
    pub detached: u64,
    pub restarted: u64,
    pub slimmed: u64,
    /// Processes of agents that were probed.
    pub probed: u64,
    /// Scans of work trees.
    pub scanned: u64,
    /// Times that the murmurs of a clone were taken in.
    pub relayed: u64,
    /// Murmurs and notes about changed files.
    pub murmured: u64,
    /// Credentials that a server gave.
    pub renewed: u64,
    /// Times that a server did not take the login.
    pub logged_out: u64,
    pub answered: u64,
    pub worst_recovery: Duration,
    /// Longest time between two good syncs of a clone whose remote answers.
    pub longest_wait: Duration,
    pub longest_answer: Duration,
}

impl std::ops::Add for Totals {
    type Output = Totals;
    fn add(self, o: Totals) -> Totals {
        Totals {
            turns: self.turns + o.turns,
            syncs: self.syncs + o.syncs,
            offline: self.offline + o.offline,
            unstarted: self.unstarted + o.unstarted,
            failed: self.failed + o.failed,
            cloned: self.cloned + o.cloned,
            queued: self.queued + o.queued,
            late: self.late + o.late,
            suspended: self.suspended + o.suspended,
            detached: self.detached + o.detached,
            restarted: self.restarted + o.restarted,
            slimmed: self.slimmed + o.slimmed,
            probed: self.probed + o.probed,
            scanned: self.scanned + o.scanned,
            relayed: self.relayed + o.relayed,
            murmured: self.murmured + o.murmured,
            renewed: self.renewed + o.renewed,
            logged_out: self.logged_out + o.logged_out,
            answered: self.answered + o.answered,
            longest_wait: self.longest_wait.max(o.longest_wait),
            longest_answer: self.longest_answer.max(o.longest_answer),
            worst_recovery: self.worst_recovery.max(o.worst_recovery),
        }
    }
}
