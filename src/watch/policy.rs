//! One watched root: when its hints are looked into, when all of it is compared, when a batch is handed out. Pure policy.
//!
//! The owner hands in what [`super::Hints::pulses`] says before every call, runs each [`Effect::Run`] on a pool and hands back its
//! report. At most one job of a root runs at a time.

use std::time::Duration;

use git2::Oid;

use super::accumulate::Accumulator;
use super::change::{Batch, Change, HeadMove, Mode, Reason, RootId, Stamp};
use super::hints::{Loss, Pulse};
use super::history::{History, Since};
use super::limits::{
    ACTIVE, EARLY, EARLY_HOLD, GIT_LOOK, JOB_RETRY, LOSS_GAP, LOSS_QUIET, POLL_ACTIVE, POLL_IDLE, POLL_SHARE,
    RETRY_FULL, ROOT_LOOK,
};
use crate::kit::clock::Mono;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Compares the whole tree with what was known of it, and repairs watches.
    Scan {
        /// Whether watches are added where there are none.
        add: bool,
    },
    /// Looks into the hints.
    Verify {
        /// Also while git holds its index.
        forced: bool,
        /// First waits until everything that happened before now has come through the kernel's queue.
        cookie: bool,
    },
    /// Keeps what is known, so that a later process finds what changed since.
    Save,
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanStatus {
    /// The tree was looked through.
    Scanned,
    /// Git holds its index: nothing was looked at.
    GitBusy,
    /// The cookie did not come back: events are lost.
    NoCookie,
    /// The root is not there.
    Gone,
    /// It is there, and could not be looked at.
    Unreadable(Reason),
}

/// What a job reports.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub found: ScanStatus,
    /// What truly changed since the job before; for a first look since something was kept ([`Task::Save`]).
    pub changes: Vec<Change>,
    /// It was a first look: nothing was known before.
    pub baseline: bool,
    /// The commit of HEAD; `None` if it was not looked at.
    pub head: Option<Option<Oid>>,
    /// Of a first look: the commit of HEAD when something was kept.
    pub head_before: Option<Option<Oid>>,
    /// Why not all directories are watched.
    pub short: Option<Reason>,
    /// What it saw asks for a look at the whole tree: ignore rules changed.
    pub rescan: bool,
    /// When the first and the last of the hints came that it looked into.
    pub span: Option<(Mono, Mono)>,
    /// How long it took.
    pub took: Duration,
    /// Directories that are watched.
    pub dirs: usize,
    /// Untracked files beyond [`super::limits::UNTRACKED_MAX`], which are not remembered.
    pub unrecorded: u64,
}

/// What the policy hears.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Due,
    /// Hints wait.
    Pulse(Pulse),
    /// The job has ended.
    Done(Box<Report>),
    /// The job could not run, or broke.
    NotRun,
    /// The machine slept, or a clock was set.
    Jumped,
    /// Somebody wants to know all that has happened until now.
    Flush(u64),
    /// All that was settled has been told: what is known now is to be kept.
    Told,
    /// Nobody wants to hear more: what has not settled is settled now, and no job begins.
    Ending,
}

/// What the policy wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A job is to run on a pool's thread.
    Run(Task),
    /// Changes, right after they were found.
    Early(Batch),
    /// Changes, after quiet.
    Settled(Batch),
    /// An [`Event::Flush`] is answered: all that happened before it has been told.
    Flushed {
        /// Which.
        asked: u64,
        /// Where history is now.
        stamp: Stamp,
    },
    /// Not everything is watched, or it is again.
    Trouble(Option<Reason>),
}

/// Numbers for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// What watching amounts to; holds the reason.
    pub mode: Mode,
    /// Directories that are watched.
    pub dirs_watched: usize,
    /// Losses of hints.
    pub overflows: u64,
    /// Looks at the whole tree after the first.
    pub rescans: u64,
    /// Changes dropped because there were too many, and files not remembered.
    pub dropped: u64,
    /// When the last look at the whole tree ended.
    pub last_rescan: Option<Mono>,
}

/// The state machine of one root.
#[derive(Debug)]
pub struct Machine {
    root: RootId,
    history: History,
    acc: Accumulator,
    counters: Counters,
    /// What was last told to be in the way.
    told: Option<Reason>,
    running: Option<Running>,
    /// Hints that wait: when the first and the last came.
    hinted: Option<(Mono, Mono)>,
    /// Git's lock is looked at again then.
    look_at: Option<Mono>,
    scan_at: Option<Mono>,
    lost: bool,
    last_loss: Option<Mono>,
    active_at: Mono,
    retry_full_at: Option<Mono>,
    flushes: Vec<u64>,
    head: Option<Option<Oid>>,
    /// What is known is to be kept.
    save: bool,
    /// Nobody wants to hear more.
    ended: bool,
}

#[derive(Debug)]
struct Running {
    task: Task,
    hinted: Option<(Mono, Mono)>,
    lost: bool,
    flushes: Vec<u64>,
}

impl Machine {
    /// A root that is first looked at as soon as possible. `instance` must differ from that of all machines before.
    pub fn new(root: RootId, instance: u64, now: Mono) -> Machine {
        Machine {
            root,
            history: History::new(instance),
            acc: Accumulator::default(),
            counters: Counters::default(),
            told: None,
            running: None,
            hinted: None,
            look_at: None,
            scan_at: Some(now),
            lost: false,
            last_loss: None,
            active_at: now,
            retry_full_at: None,
            flushes: Vec::new(),
            head: None,
            save: false,
            ended: false,
        }
    }

    /// Hears an event and says what is to be done now.
    pub fn handle(&mut self, now: Mono, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Due => {}
            Event::Pulse(pulse) => self.pulse(now, pulse),
            Event::Done(report) => self.done(now, *report, &mut effects),
            Event::NotRun => self.not_run(now),
            Event::Jumped => self.lose(now),
            Event::Flush(asked) => self.flushes.push(asked),
            // What waits has not been told.
            Event::Told => self.save = self.acc.next_deadline().is_none(),
            Event::Ending => {
                self.acc.hurry();
                self.ended = true;
            }
        }
        if let Some(settled) = self.acc.settle(now) {
            // It will be told later: until then it is kept as not known.
            self.save = false;
            effects.push(Effect::Settled(Batch {
                root: self.root,
                changes: settled.changes,
                partial: settled.partial,
                desynced: settled.desynced,
                head_moved: settled.head_moved,
                stamp: self.history.stamp(),
            }));
        }
        effects.extend(self.start_due(now).map(Effect::Run));
        effects
    }

    /// When [`Event::Due`] is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        let job = self.running.is_none().then(|| self.verify_at().into_iter().chain(self.scan_at).min());
        job.flatten().into_iter().chain(self.acc.next_deadline()).min()
    }

    /// Whether no job is under way.
    pub fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Numbers for people.
    pub fn counters(&self) -> Counters {
        let dropped = self.counters.dropped + self.acc.dropped();
        Counters { dropped, ..self.counters.clone() }
    }

    /// What changed after `seen`.
    pub fn since(&self, seen: Stamp) -> Since {
        self.history.since(seen)
    }

    /// Where history is.
    pub fn stamp(&self) -> Stamp {
        self.history.stamp()
    }

    fn pulse(&mut self, now: Mono, pulse: Pulse) {
        let first = self.hinted.map_or(pulse.span.0, |(first, _)| first);
        self.hinted = Some((first, pulse.span.1));
        self.acc.touch(pulse.span.1);
        self.active_at = self.active_at.max(pulse.span.1);
        match pulse.lost {
            // There is nothing to be compared until it is found again.
            Some(Loss::Root) => self.lose(now),
            Some(_) => {
                self.counters.overflows += 1;
                let again = self.last_loss.is_some_and(|at| now.since(at) < LOSS_GAP);
                self.last_loss = Some(now);
                if again && self.counters.mode == Mode::Watching {
                    self.counters.mode = Mode::Degraded(Reason::Overflow);
                }
                if matches!(self.counters.mode, Mode::Degraded(_)) {
                    // The next poll sees to it; polls keep to their share of the time.
                    self.lost = true;
                    if self.running.is_none() {
                        self.scan_at.get_or_insert(now + POLL_ACTIVE);
                    }
                } else {
                    self.lose(now);
                }
            }
            None => {}
        }
    }

    /// The tree has to be compared at once.
    fn lose(&mut self, now: Mono) {
        self.lost = true;
        self.scan_at = Some(now);
    }

    fn verify_at(&self) -> Option<Mono> {
        let (first, last) = self.hinted?;
        let quiet = (last + EARLY).min(first + EARLY_HOLD);
        Some(self.look_at.map_or(quiet, |look| quiet.max(look)))
    }

    fn start_due(&mut self, now: Mono) -> Option<Task> {
        if self.running.is_some() || self.ended {
            return None;
        }
        let trusted = self.counters.mode == Mode::Watching && !self.lost;
        let flush = !self.flushes.is_empty();
        let task = if self.scan_at.is_some_and(|at| at <= now) || flush && !trusted {
            self.scan(now)
        } else if flush || self.verify_at().is_some_and(|at| at <= now) {
            Task::Verify { forced: flush || self.acc.git_is_late(now), cookie: flush }
        } else if self.acc.next_deadline().is_none() && std::mem::take(&mut self.save) {
            self.running = Some(Running { task: Task::Save, hinted: None, lost: false, flushes: Vec::new() });
            return Some(Task::Save);
        } else {
            return None;
        };
        let lost = matches!(task, Task::Scan { .. }) && std::mem::take(&mut self.lost);
        let flushes = std::mem::take(&mut self.flushes);
        self.running = Some(Running { task, hinted: self.hinted.take(), lost, flushes });
        self.look_at = None;
        Some(task)
    }

    fn scan(&mut self, now: Mono) -> Task {
        self.scan_at = None;
        let limited = matches!(&self.counters.mode, Mode::Degraded(reason) if *reason != Reason::Overflow);
        let retry = self.retry_full_at.is_some_and(|at| at <= now);
        Task::Scan { add: !limited || retry }
    }

    fn not_run(&mut self, now: Mono) {
        let Some(ran) = self.running.take() else { return };
        if ran.task == Task::Save {
            return;
        }
        self.flushes.splice(0..0, ran.flushes);
        self.lost |= ran.lost;
        self.scan_at = Some(now + JOB_RETRY);
    }

    fn done(&mut self, now: Mono, report: Report, effects: &mut Vec<Effect>) {
        let Some(ran) = self.running.take() else { return };
        if ran.task == Task::Save {
            return;
        }
        match report.found {
            ScanStatus::GitBusy => {
                self.acc.git_busy(now, true);
                let first = ran.hinted.map(|(first, _)| first);
                let later = self.hinted.or(ran.hinted);
                self.hinted = later.map(|(at, last)| (first.unwrap_or(at), last));
                self.look_at = Some(now + GIT_LOOK);
                return;
            }
            ScanStatus::NoCookie => {
                self.flushes.splice(0..0, ran.flushes);
                self.counters.overflows += 1;
                return self.lose(now);
            }
            ScanStatus::Gone | ScanStatus::Unreadable(_) => {
                self.counters.mode = match report.found {
                    ScanStatus::Unreadable(reason) => Mode::Unreadable(reason),
                    _ => Mode::Gone,
                };
                self.counters.dirs_watched = 0;
                self.lost |= ran.lost;
                self.scan_at = Some(now + ROOT_LOOK);
                effects.extend(self.answer(ran.flushes));
                return self.tell_trouble(effects);
            }
            ScanStatus::Scanned => {}
        }
        if !matches!(ran.task, Task::Verify { forced: true, .. }) {
            self.acc.git_busy(now, false);
        }
        self.tell(now, &report, ran.lost, effects);
        effects.extend(self.answer(ran.flushes));
        self.plan(now, ran.task, report, effects);
    }

    fn answer(&self, flushes: Vec<u64>) -> impl Iterator<Item = Effect> + use<> {
        let stamp = self.history.stamp();
        flushes.into_iter().map(move |asked| Effect::Flushed { asked, stamp })
    }

    /// Puts what a job has found into history, the early batch and the one that settles.
    fn tell(&mut self, now: Mono, report: &Report, lost: bool, effects: &mut Vec<Effect>) {
        let restarted = report.baseline && self.counters.last_rescan.is_some();
        if restarted {
            self.history.forget_all();
        }
        let desynced = (lost && !report.baseline) || restarted;
        if desynced {
            self.acc.desync(now);
        }
        // Changes that are not told yet must be found again after a crash.
        self.save = report.changes.is_empty() && (report.baseline || self.save);
        self.head = report.head_before.or(self.head);
        let (first, last) = report.span.unwrap_or((now, now));
        let head_moved = self.head_move(report.head);
        if let Some(by) = head_moved {
            self.acc.head_moved(last, by);
        }
        if report.changes.is_empty() && head_moved.is_none() && !desynced {
            return;
        }
        self.active_at = now;
        self.acc.add(first, last, &report.changes);
        let stamp = self.history.push(now, &report.changes);
        effects.push(Effect::Early(Batch {
            root: self.root,
            changes: report.changes.clone(),
            partial: false,
            desynced,
            head_moved,
            stamp,
        }));
    }

    fn head_move(&mut self, seen: Option<Option<Oid>>) -> Option<HeadMove> {
        let new = seen?;
        let old = self.head.replace(new)?;
        (old != new).then_some(HeadMove { old, new })
    }

    /// Decides on the mode and the next look at the whole tree.
    fn plan(&mut self, now: Mono, task: Task, report: Report, effects: &mut Vec<Effect>) {
        self.counters.dirs_watched = report.dirs;
        self.counters.dropped = report.unrecorded;
        let scanned = matches!(task, Task::Scan { .. });
        if scanned {
            self.counters.rescans += u64::from(self.counters.last_rescan.is_some());
            self.counters.last_rescan = Some(now);
        }
        let stormy = self.counters.mode == Mode::Degraded(Reason::Overflow)
            && self.last_loss.is_some_and(|at| now.since(at) < LOSS_QUIET);
        match report.short {
            Some(reason) => {
                let retried = self.retry_full_at.is_none_or(|at| at <= now);
                self.retry_full_at = if retried { Some(now + RETRY_FULL) } else { self.retry_full_at };
                self.counters.mode = Mode::Degraded(reason);
            }
            None if stormy => {}
            None if scanned => {
                self.retry_full_at = None;
                self.counters.mode = Mode::Watching;
            }
            None => {}
        }
        let polled = matches!(self.counters.mode, Mode::Degraded(_));
        if polled && (scanned || self.scan_at.is_none()) {
            let at = now + self.poll_interval(now, if scanned { report.took } else { Duration::ZERO });
            self.scan_at = Some(self.scan_at.map_or(at, |planned| planned.min(at)));
        }
        if report.rescan {
            self.scan_at = Some(now);
        }
        self.tell_trouble(effects);
    }

    fn tell_trouble(&mut self, effects: &mut Vec<Effect>) {
        let trouble = self.counters.mode.reason().cloned();
        if trouble != self.told {
            self.told.clone_from(&trouble);
            effects.push(Effect::Trouble(trouble));
        }
    }

    fn poll_interval(&self, now: Mono, took: Duration) -> Duration {
        let wanted = if now.since(self.active_at) < ACTIVE { POLL_ACTIVE } else { POLL_IDLE };
        wanted.max(took * POLL_SHARE)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
