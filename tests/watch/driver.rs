//! Runs one root as the daemon does: hints wake the owner, jobs run on a pool, batches are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use ox::kit::clock::{Clock, Mono, SystemClock};
use ox::kit::pool::{Pool, PoolConfig};
use ox::kit::thread::{self, STACK_LARGE};
use ox::watch::{
    Batch, Counters, Effect, Event, Hints, Kind, Machine, Mode, Reason, Report, Root, RootId, Runner, Stat,
    Task, Watches,
};
use parking_lot::Mutex;

use crate::support::{HANG, until, until_or};

pub const ROOT: RootId = RootId(1);
enum Message {
    Wake,
    Ended(Option<Report>),
    Flush(u64),
    Jump,
    Told,
    Stop,
}

/// What was told.
#[derive(Default)]
pub struct Told {
    pub early: Vec<(Mono, Batch)>,
    pub settled: Vec<(Mono, Batch)>,
    pub flushed: Vec<u64>,
    pub trouble: Vec<Option<Reason>>,
    pub jobs: Vec<(Task, Duration)>,
    pub counters: Counters,
    pub turns: usize,
}

/// How a driver is made.
#[derive(Default)]
pub struct Setup {
    pub exclude: Vec<PathBuf>,
    /// Where what is known is kept.
    pub saved: Option<PathBuf>,
    pub hints_max: Option<usize>,
    /// No kernel watches: all is polled.
    pub blind: bool,
    /// Called whenever hints wake the owner, in the thread that reads the kernel's queue.
    pub on_wake: Option<Box<dyn Fn() + Send + Sync>>,
}

/// One root and everything that watches it.
pub struct Driver {
    pub runner: Arc<Runner>,
    pub told: Arc<Mutex<Told>>,
    send: Sender<Message>,
    owner: Option<JoinHandle<()>>,
    cookies: tempfile::TempDir,
    asked: u64,
}

impl Driver {
    /// Watches `root`; returns when the first look is done.
    pub fn start(root: &Path) -> Driver {
        Driver::with(root, Setup::default())
    }

    pub fn with(root: &Path, setup: Setup) -> Driver {
        let (send, receive) = unbounded();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (wakes, on_wake) = (send.clone(), setup.on_wake);
        let wake = move || {
            drop(wakes.send(Message::Wake));
            on_wake.iter().for_each(|f| f());
        };
        let max = setup.hints_max.unwrap_or(ox::watch::limits::HINTS_MAX);
        let hints = Arc::new(Hints::bounded(Arc::clone(&clock), max, wake));
        let cookies = tempfile::tempdir().unwrap();
        let watches = (!setup.blind)
            .then(|| Arc::new(Watches::new(Arc::clone(&hints), Some(&cookies.path().join("c"))).unwrap()));
        let runner = Arc::new(Runner::new(Arc::clone(&clock), Arc::clone(&hints), watches));
        let root = root.canonicalize().unwrap();
        runner.add_root(ROOT, Root { path: root, exclude: setup.exclude, saved: setup.saved });
        let told = Arc::new(Mutex::new(Told::default()));
        let owner = Owner {
            clock,
            hints,
            runner: Arc::clone(&runner),
            told: Arc::clone(&told),
            send: send.clone(),
            pool: Pool::new(PoolConfig {
                name: "job",
                threads: 1,
                queue: 4,
                stack: STACK_LARGE,
                fixed: false,
            })
            .unwrap(),
        };
        let owner = thread::spawn("owner", STACK_LARGE, move || owner.run(&receive)).unwrap();
        let driver = Driver { runner, told, send, owner: Some(owner), cookies, asked: 0 };
        until_or(|| driver.told.lock().counters.last_rescan.is_some(), || "no first look");
        driver
    }

    /// Returns when all that has happened is known.
    pub fn flush(&mut self) {
        self.asked += 1;
        self.send.send(Message::Flush(self.asked)).unwrap();
        let asked = self.asked;
        until_or(|| self.told.lock().flushed.contains(&asked), || "no answer to a flush");
    }

    /// As if the machine had slept.
    pub fn jump(&self) {
        self.send.send(Message::Jump).unwrap();
    }

    /// All that has settled was told: returns when what is known is kept.
    pub fn keep(&self) {
        let saves = || self.told.lock().jobs.iter().filter(|(task, _)| *task == Task::Save).count();
        let before = saves();
        self.send.send(Message::Told).unwrap();
        until_or(|| saves() > before, || "nothing is kept");
    }

    pub fn mode(&self) -> Mode {
        self.told.lock().counters.mode.clone()
    }

    /// The files as they were last seen.
    pub fn view(&self) -> BTreeMap<Box<[u8]>, Stat> {
        let mut files = None;
        until(|| {
            files = self.runner.files(ROOT);
            files.is_some()
        });
        files.unwrap()
    }

    /// Waits until a batch has settled, and takes all that have.
    pub fn settled(&self) -> Vec<Batch> {
        until_or(|| !self.told.lock().settled.is_empty(), || "nothing settled");
        std::mem::take(&mut self.told.lock().settled).into_iter().map(|(_, batch)| batch).collect()
    }

    /// Forgets what was told.
    pub fn forget(&self) {
        let mut told = self.told.lock();
        (told.early, told.settled) = (Vec::new(), Vec::new());
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.send.send(Message::Stop));
        if let Some(owner) = self.owner.take() {
            owner.join().unwrap();
        }
        let left = std::fs::read_dir(self.cookies.path().join("c")).map_or(0, Iterator::count);
        assert!(std::thread::panicking() || left == 0, "a cookie is left");
    }
}

struct Owner {
    clock: Arc<dyn Clock>,
    hints: Arc<Hints>,
    runner: Arc<Runner>,
    told: Arc<Mutex<Told>>,
    send: Sender<Message>,
    pool: Pool,
}

impl Owner {
    fn run(self, receive: &Receiver<Message>) {
        let mut machine = Machine::new(ROOT, 7, self.clock.now().mono);
        let mut event = Some(Event::Due);
        while let Some(next) = event {
            for (_, pulse) in self.hints.pulses() {
                let effects = machine.handle(self.clock.now().mono, Event::Pulse(pulse));
                self.perform(effects);
            }
            let effects = machine.handle(self.clock.now().mono, next);
            self.told.lock().counters = machine.counters();
            self.perform(effects);
            event = self.next(receive, &machine);
        }
        self.runner.remove_root(ROOT);
        self.pool.shut(false);
        assert!(self.pool.wait(HANG));
    }

    /// The next event; `None` at the end.
    fn next(&self, receive: &Receiver<Message>, machine: &Machine) -> Option<Event> {
        let now = self.clock.now().mono;
        let wait = machine.next_deadline().map_or(HANG * 60, |at| at.since(now));
        let message = receive.recv_timeout(wait);
        self.told.lock().turns += 1;
        match message {
            Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => Some(Event::Due),
            Ok(Message::Ended(Some(report))) => Some(Event::Done(Box::new(report))),
            Ok(Message::Ended(None)) => Some(Event::NotRun),
            Ok(Message::Flush(asked)) => Some(Event::Flush(asked)),
            Ok(Message::Jump) => Some(Event::Jumped),
            Ok(Message::Told) => Some(Event::Told),
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            let now = self.clock.now().mono;
            let mut told = self.told.lock();
            match effect {
                Effect::Run(task) => {
                    drop(told);
                    self.submit(task);
                }
                Effect::Early(batch) => told.early.push((now, batch)),
                Effect::Settled(batch) => told.settled.push((now, batch)),
                Effect::Flushed { asked, .. } => told.flushed.push(asked),
                Effect::Trouble(reason) => told.trouble.push(reason),
            }
        }
    }

    fn submit(&self, task: Task) {
        let (runner, send, told) = (Arc::clone(&self.runner), self.send.clone(), Arc::clone(&self.told));
        let ended = move |report: Result<Option<Report>, String>| {
            let report = report.unwrap_or_else(|panic| panic!("a job broke: {panic}"));
            let took = report.as_ref().map_or(Duration::ZERO, |r| r.took);
            told.lock().jobs.push((task, took));
            drop(send.send(Message::Ended(report)));
        };
        self.pool.submit(move || runner.run(ROOT, task), ended).unwrap();
    }
}

/// Applies what was told to a set of paths.
pub fn apply(paths: &mut BTreeSet<Box<[u8]>>, batches: &[(Mono, Batch)]) {
    for change in batches.iter().flat_map(|(_, batch)| &batch.changes) {
        match change.kind {
            Kind::Created => assert!(paths.insert(change.path.clone()), "created twice: {change:?}"),
            Kind::Modified => assert!(paths.contains(&change.path), "modified but unknown: {change:?}"),
            Kind::Deleted | Kind::Renamed => {
                assert!(paths.remove(&change.path), "gone but unknown: {change:?}")
            }
        }
    }
}
