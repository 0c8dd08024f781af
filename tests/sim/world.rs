//! The world around the core: hosts that go away, clones that fail, people who ask, a machine that sleeps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use ox::daemon::{
    AttachEnd, Beats, CHECK_EVERY, Core, Door, Effect, Event, FLUSH_EVERY, Finding, Found, Id, Identity, Key,
};
use ox::ipc::wire::Attach;
use ox::ipc::{ConnId, Request};
use ox::kit::Class;
use ox::kit::clock::{Clock, Mono, SimClock};
use ox::kit::rng::Rng;
use ox::sync::{Blocked, Change, End, Facts, Failure, Known, Loaded, Outcome, Place, Skip, Timing};

/// What happens to the world.
#[derive(Clone, Debug)]
pub struct Plan {
    pub length: Duration,
    /// All intervals are this many times as long: more seeds in the same time.
    pub slow: u32,
    pub projects: usize,
    /// Percent of runs that fail for a reason of their own.
    pub fail_percent: u64,
    /// People, sleeps, other daemons, losses of the network, at random.
    pub life: bool,
    /// The first project's remote never answers, though its host does.
    pub silent_project: bool,
    /// The remotes are directories of this machine.
    pub on_this_machine: bool,
    /// Every fifth run finds no worker.
    pub few_workers: bool,
    /// After an hour the network goes for this long.
    pub offline_once: Option<Duration>,
    /// After ten minutes the machine sleeps for this long.
    pub suspend_once: Option<Duration>,
}

impl Plan {
    /// Everything goes wrong at random.
    pub fn faulty() -> Plan {
        Plan { projects: 3, fail_percent: 4, life: true, ..Plan::calm(3) }
    }

    /// Nothing goes wrong but what is planned.
    pub fn calm(projects: usize) -> Plan {
        Plan {
            length: Duration::from_secs(3600),
            slow: 1,
            projects,
            fail_percent: 0,
            life: false,
            silent_project: false,
            on_this_machine: false,
            few_workers: false,
            offline_once: None,
            suspend_once: None,
        }
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
    pub suspended: u64,
    pub detached: u64,
    pub answered: u64,
    pub worst_recovery: Duration,
    /// Longest time between two good syncs of a project whose remote answers.
    pub longest_wait: Duration,
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
            suspended: self.suspended + o.suspended,
            detached: self.detached + o.detached,
            answered: self.answered + o.answered,
            longest_wait: self.longest_wait.max(o.longest_wait),
            worst_recovery: self.worst_recovery.max(o.worst_recovery),
        }
    }
}

const HOST: &str = "git.example";
const INTERVAL: Duration = Duration::from_secs(60);
/// A run takes at most this long, also one that times out.
const RUN_MAX: Duration = Duration::from_secs(10);
/// Whoever asks is answered within this: a run in progress, a clone, and the run itself.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What the world knows of a project.
struct Site {
    root: PathBuf,
    /// On the host, or a directory of this machine.
    remote: bool,
    cloned: bool,
    /// Runs of it in progress: at most one.
    running: Option<u64>,
    attached: bool,
    /// Since when nothing but success was possible for it; None while something may go wrong.
    healthy_since: Option<Mono>,
    last_good: Option<Mono>,
}

enum Coming {
    Event(Box<Event>),
    Life,
    NetworkDown(Duration),
    NetworkUp,
    Suspend(Duration),
}

pub struct World {
    clock: SimClock,
    core: Core,
    rng: Rng,
    plan: Plan,
    sites: BTreeMap<String, Site>,
    coming: BTreeMap<(Mono, u64), Coming>,
    serial: u64,
    online: bool,
    back_since: Option<Mono>,
    /// Requests not answered yet, and since when.
    open: BTreeMap<ConnId, Mono>,
    exited: bool,
    /// Print every event and effect: for one seed.
    trace: bool,
    totals: Totals,
}

impl World {
    pub fn new(seed: u64, plan: &Plan) -> World {
        let clock = SimClock::new(Timestamp::from_second(1_780_000_000).unwrap());
        let identity = Identity {
            pid: 1,
            version: "0.6.1+rs.sim".into(),
            startup: Duration::from_millis(10),
            throttle: Duration::ZERO,
            service: true,
            beats: if plan.slow > 1 {
                Beats { check: CHECK_EVERY * plan.slow, flush: FLUSH_EVERY * plan.slow }
            } else {
                Beats::default()
            },
        };
        let core = Core::new(identity, clock.now(), seed);
        let mut world = World {
            clock,
            core,
            rng: Rng::new(seed ^ 0x5EED),
            plan: plan.clone(),
            sites: BTreeMap::new(),
            coming: BTreeMap::new(),
            serial: 0,
            online: true,
            back_since: None,
            open: BTreeMap::new(),
            exited: false,
            trace: std::env::var_os("OX_SIM_TRACE").is_some(),
            totals: Totals::default(),
        };
        world.set_out();
        world
    }

    fn set_out(&mut self) {
        for n in 0..self.plan.projects {
            let id = format!("{n:08x}");
            let root = PathBuf::from(format!("/home/a/project-{n}"));
            // In a calm world all are on the host, so that its gate is what is looked at.
            let remote = !self.plan.on_this_machine && (!self.plan.life || n % 3 != 2);
            let site = Site {
                root: root.clone(),
                remote,
                cloned: !self.plan.life,
                running: None,
                attached: false,
                healthy_since: None,
                last_good: None,
            };
            self.sites.insert(id, site);
            self.ask(
                Door::Host,
                Request::Attach(Attach { project_root: root.to_string_lossy().into_owned() }),
            );
        }
        if let Some(offline) = self.plan.offline_once {
            self.after(Duration::from_secs(3600), Coming::NetworkDown(offline));
        }
        if let Some(sleep) = self.plan.suspend_once {
            self.after(Duration::from_secs(600), Coming::Suspend(sleep));
        }
        if self.plan.life {
            self.after(Duration::from_secs(60), Coming::Life);
        }
    }

    pub fn run(mut self) -> Totals {
        let end = Mono::ZERO + self.plan.length;
        loop {
            let deadline = self.core.next_deadline();
            let coming = self.coming.keys().next().map(|(at, _)| *at);
            let Some(next) = deadline.into_iter().chain(coming).min() else { break };
            if next > end || self.exited {
                break;
            }
            let now = self.clock.now().mono;
            self.clock.advance(next.since(now));
            let now = self.clock.now().mono;
            match coming {
                Some(at) if at <= now => {
                    let (_, coming) = self.coming.pop_first().unwrap();
                    self.happen(coming);
                }
                _ => self.turn(None),
            }
            self.look();
        }
        self.totals
    }

    fn after(&mut self, wait: Duration, coming: Coming) {
        self.serial += 1;
        self.coming.insert((self.clock.now().mono + wait, self.serial), coming);
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Event(event) => {
                self.ended(&event);
                self.turn(Some(*event));
            }
            Coming::Life => self.live(),
            Coming::NetworkDown(length) => {
                self.online = false;
                self.back_since = None;
                self.sites.values_mut().filter(|s| s.remote).for_each(|s| s.healthy_since = None);
                self.after(length, Coming::NetworkUp);
            }
            Coming::NetworkUp => {
                self.online = true;
                self.back_since = Some(self.clock.now().mono);
            }
            Coming::Suspend(length) => {
                self.totals.suspended += 1;
                self.clock.suspend(length);
                self.turn(None);
            }
        }
    }

    /// Something that people or machines do.
    fn live(&mut self) {
        let id = format!("{:08x}", self.rng.below(self.plan.projects as u64));
        match self.rng.below(100) {
            0..60 => self.ask(Door::Project(Id::from(id.as_str())), Request::Sync),
            60..65 => self.ask(Door::Project(Id::from(id.as_str())), Request::Stop),
            65..85 => {
                let root = self.sites[&id].root.to_string_lossy().into_owned();
                self.ask(Door::Host, Request::Attach(Attach { project_root: root }));
            }
            85..90 => self.ask(Door::Host, Request::Projects),
            90..95 if self.online => {
                let length = self.rng.up_to(Duration::from_secs(4 * 3600));
                self.after(Duration::ZERO, Coming::NetworkDown(length));
            }
            _ => {
                let length = self.rng.up_to(Duration::from_secs(8 * 3600));
                self.after(Duration::ZERO, Coming::Suspend(length));
            }
        }
        let pause = self.rng.up_to(Duration::from_secs(2 * 3600));
        self.after(pause, Coming::Life);
    }

    fn ask(&mut self, door: Door, request: Request) {
        if let Door::Project(id) = &door
            && !self.sites[&**id].attached
        {
            return; // nothing listens there
        }
        self.serial += 1;
        let conn = ConnId::simulated(self.serial);
        self.open.insert(conn, self.clock.now().mono);
        self.turn(Some(Event::Request { conn, door, request }));
    }

    fn turn(&mut self, event: Option<Event>) {
        self.totals.turns += 1;
        let now = self.clock.now();
        if self.trace && event.is_some() {
            eprintln!("{:>12.3} {event:?}", now.mono.as_nanos() as f64 / 1e9);
        }
        let effects = self.core.turn(now, event);
        for effect in effects {
            if self.trace {
                eprintln!("{:>12.3}   -> {effect:?}", now.mono.as_nanos() as f64 / 1e9);
            }
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(conn, _) => {
                assert!(self.open.remove(&conn).is_some(), "a request was answered twice");
                self.totals.answered += 1;
            }
            Effect::ReplyStop(conn, door) => {
                assert!(self.open.remove(&conn).is_some(), "a request was answered twice");
                self.after(Duration::from_millis(1), Coming::Event(Box::new(Event::StopAnswered(door))));
            }
            Effect::Progress(conn, _) => {
                assert!(self.open.contains_key(&conn), "progress after the answer");
            }
            Effect::Attach { root, served } => self.attach(root, &served),
            Effect::Serve { id, .. } => {
                let site = self.sites.get_mut(&*id).unwrap();
                assert!(!site.attached, "{id} is served twice");
                site.attached = true;
            }
            Effect::Detach { id, .. } => {
                self.totals.detached += 1;
                let site = self.sites.get_mut(&*id).unwrap();
                assert!(site.attached, "{id} is not served");
                // A run in progress is cancelled; whatever it comes to, nobody hears of it.
                (site.attached, site.running) = (false, None);
                (site.healthy_since, site.last_good) = (None, None);
            }
            Effect::Sync { key, run, ask, .. } => self.sync(&id_of(&key), run, ask.forced),
            Effect::Clone { key, run, .. } => self.clone_ledger(&id_of(&key), run),
            Effect::Load { id, .. } => {
                let loaded = Some(Box::new(loaded(&self.sites[&*id])));
                self.after(Duration::from_millis(3), Coming::Event(Box::new(Event::Loaded { id, loaded })));
            }
            Effect::Check(all) => {
                let findings = self.findings(&all);
                self.after(Duration::from_millis(2), Coming::Event(Box::new(Event::Checked(findings))));
            }
            Effect::Remember(_)
            | Effect::CheckSocket(_)
            | Effect::Flush { .. }
            | Effect::Watch(..)
            | Effect::Drop(_)
            | Effect::SaveBackoff { .. } => {}
            Effect::CheckPath { .. } | Effect::Checkout { .. } => unreachable!("nobody asked for a checkout"),
            Effect::Exit => self.exited = true,
        }
    }

    fn attach(&mut self, root: PathBuf, served: &[Id]) {
        let (id, site) = self.sites.iter().find(|(_, s)| s.root == root).unwrap();
        let id = Id::from(id.as_str());
        let end = if served.contains(&id) {
            AttachEnd::Served(id)
        } else if self.plan.life && self.rng.chance(5) {
            AttachEnd::Failed("could not".into())
        } else {
            AttachEnd::Ready(Box::new(Found {
                repo_id: format!("repo_{id}"),
                socket: PathBuf::from(format!("/run/{id}.sock")),
                timing: Timing { interval: INTERVAL * self.plan.slow, debounce: Duration::from_millis(500) },
                idle_timeout: Duration::ZERO,
                team_interval: INTERVAL * self.plan.slow,
                loaded: loaded(site),
                root: root.clone(),
                id,
            }))
        };
        let wait = self.rng.up_to(Duration::from_millis(50));
        self.after(wait, Coming::Event(Box::new(Event::AttachEnded { root, end })));
    }

    fn findings(&mut self, all: &[(Id, PathBuf, Option<PathBuf>)]) -> Vec<(Id, Finding)> {
        let mut findings = Vec::new();
        for (id, ..) in all {
            if self.plan.life && self.rng.below(5000) == 0 {
                findings.push((id.clone(), Finding::Superseded));
            } else if self.plan.life && self.rng.below(5000) == 0 {
                let site = self.sites.get_mut(&**id).unwrap();
                (site.cloned, site.healthy_since) = (false, None);
                findings.push((id.clone(), Finding::LedgerGone));
            }
        }
        findings
    }

    fn sync(&mut self, id: &Id, run: u64, forced: bool) {
        if self.plan.few_workers && self.rng.chance(20) {
            self.totals.unstarted += 1;
            self.after(
                Duration::ZERO,
                Coming::Event(Box::new(Event::NoWorker { key: Key::Ledger(id.clone()), run })),
            );
            return;
        }
        self.totals.syncs += 1;
        self.begin(id, run);
        let site = &self.sites[&**id];
        let silent = self.plan.silent_project && **id == *"00000000";
        let (cloned, reachable) = (site.cloned, (self.online || !site.remote) && !silent);
        let (wait, end) = if !cloned {
            (Duration::from_millis(1), End::NoClone)
        } else if !forced && self.plan.life && self.rng.chance(2) {
            (Duration::from_millis(1), End::Skipped(Skip::Fresh))
        } else {
            self.try_remote(reachable)
        };
        let outcome = self.outcome(id, end, wait);
        self.after(
            wait,
            Coming::Event(Box::new(Event::Synced { key: Key::Ledger(id.clone()), run, outcome })),
        );
    }

    fn clone_ledger(&mut self, id: &Id, run: u64) {
        let site = self.sites.get_mut(&**id).unwrap();
        assert!(site.running == Some(run), "a clone is part of a run");
        let reachable = self.online || !site.remote;
        let (wait, end) = self.try_remote(reachable);
        // There is nothing yet that could be damaged.
        let end = if matches!(end, End::PutAside(_)) { failed(Class::Disk, None) } else { end };
        if let End::Level(_) = end {
            self.sites.get_mut(&**id).unwrap().cloned = true;
            self.totals.cloned += 1;
        }
        let outcome = self.outcome(id, end, wait);
        self.after(
            wait,
            Coming::Event(Box::new(Event::Cloned { key: Key::Ledger(id.clone()), run, outcome })),
        );
    }

    fn begin(&mut self, id: &Id, run: u64) {
        let site = self.sites.get_mut(&**id).unwrap();
        assert!(site.attached, "{id}: a run of a project that is not served");
        assert!(site.running.is_none(), "{id}: two runs at once");
        site.running = Some(run);
    }

    fn try_remote(&mut self, reachable: bool) -> (Duration, End) {
        if !reachable {
            self.totals.offline += 1;
            let wait = self.rng.up_to(RUN_MAX);
            return (wait, failed(Class::Network, None));
        }
        let wait = self.rng.up_to(Duration::from_millis(900));
        if self.rng.chance(self.plan.fail_percent) {
            self.totals.failed += 1;
            let end = match self.rng.below(4) {
                0 => failed(Class::Auth, None),
                1 => failed(Class::Conflict, Some(Blocked::Conflict)),
                2 => failed(Class::Disk, None),
                _ => End::PutAside(PathBuf::from("/aside")),
            };
            return (wait, end);
        }
        let pulled = self.rng.chance(10);
        (wait, End::Level(Change { pulled, files_in: u64::from(pulled), ..Change::default() }))
    }

    fn outcome(&self, id: &Id, end: End, took: Duration) -> Outcome {
        let facts = Facts { head: "0".repeat(40), ..Facts::default() };
        Outcome { place: Some(place(&self.sites[&**id])), facts: Some(facts), end, took }
    }

    /// Notes what the end of a run means for a project, before the core hears of it.
    fn ended(&mut self, event: &Event) {
        let (Event::Synced { key, run, outcome } | Event::Cloned { key, run, outcome }) = event else {
            return;
        };
        let id = &id_of(key);
        let now = self.clock.now().mono;
        let site = self.sites.get_mut(&**id).unwrap();
        if let End::PutAside(_) = outcome.end {
            site.cloned = false;
        }
        if site.running != Some(*run) {
            return; // of an earlier attachment: nobody hears of it
        }
        match &outcome.end {
            End::NoClone => {}
            End::PutAside(_) => site.healthy_since = None,
            End::Level(_) => {
                site.running = None;
                let wait = site.last_good.replace(now).map_or(Duration::ZERO, |good| now.since(good));
                self.totals.longest_wait = self.totals.longest_wait.max(wait);
                // A run that began before the network went may end after it.
                if self.online || !site.remote {
                    site.healthy_since.get_or_insert(now);
                }
                if let Some(back) = self.back_since.filter(|_| site.remote) {
                    self.totals.worst_recovery = self.totals.worst_recovery.max(now.since(back));
                    self.back_since = None;
                }
            }
            End::Skipped(_) => site.running = None,
            End::Failed(_) => (site.running, site.healthy_since) = (None, None),
        }
    }

    /// Promises that hold after every step.
    fn look(&mut self) {
        let now = self.clock.now().mono;
        if let Some(at) = self.core.next_deadline() {
            assert!(at >= now || self.exited, "a deadline was left in the past");
        }
        if let Some((conn, since)) = self.open.iter().next() {
            let waits = now.since(*since);
            assert!(waits <= ANSWER_MAX, "{conn:?} has waited {waits:?}");
        }
        for (id, site) in &self.sites {
            let (Some(_), Some(good)) = (site.healthy_since, site.last_good) else { continue };
            // The interval with its jitter, a run, a skipped run, and the spread after a sleep.
            let limit = INTERVAL * self.plan.slow * 5 + RUN_MAX * 2;
            assert!(now.since(good) <= limit, "{id} is healthy and was not synced for {:?}", now.since(good));
        }
        let attached = self.sites.values().filter(|s| s.attached).count();
        assert_eq!(attached, self.core.served(), "the core serves what it says it serves");
    }
}

fn place(site: &Site) -> Place {
    Place {
        path: site.root.join("ledger"),
        url: format!("https://{HOST}/ledger.git"),
        host: site.remote.then(|| HOST.to_string()),
        exists: site.cloned,
        state: site.root.join("state"),
    }
}

fn loaded(site: &Site) -> Loaded {
    let ledger = Known { place: place(site), last_sync: None, saved: None };
    Loaded { slug: "local".into(), ledger: Some(ledger), ..Loaded::default() }
}

fn id_of(key: &Key) -> Id {
    match key {
        Key::Ledger(id) | Key::Team(id) | Key::Checkout(id) => id.clone(),
    }
}

fn failed(class: Class, blocked: Option<Blocked>) -> End {
    let failure = Failure::new(class, format!("{class} trouble"));
    End::Failed(Failure { blocked, ..failure })
}
