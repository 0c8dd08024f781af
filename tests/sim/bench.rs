//! A core on a bench: everything it wants is answered at once and in full, unless a test says otherwise; what it wanted stands in a list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use ox::daemon::parts::projects::{AttachEnd, Attachable};
use ox::daemon::parts::{clones, presence, projects};
use ox::daemon::{Core, Effect, Event, Handover, Id, Identity, Key, Periods, Via};
use ox::ipc::wire::{Checkout, CheckoutResult, Heartbeat, Response, TeamSyncAsk, decode};
use ox::ipc::{ConnId, Request};
use ox::kit::Class;
use ox::kit::clock::{Clock, Mono, SimClock};
use ox::kit::process::{Seen, StartedAt};
use ox::sync::{Change, End, Facts, Failure, Known, Loaded, Outcome, Place, Saved, Source, TeamRef, Timing};

/// What any quick piece of work takes.
pub const QUICK: Duration = Duration::from_millis(1);
const WALL: i64 = 1_780_000_000;

pub struct Bench {
    pub core: Core,
    clock: SimClock,
    coming: BTreeMap<(Mono, u64), Event>,
    serial: u64,
    /// Projects and the teams they name.
    projects: BTreeMap<Id, Vec<String>>,
    /// Clones that are not there.
    pub missing: BTreeSet<Key>,
    /// The one host that all clones are on.
    pub host: Option<String>,
    /// Why every sync fails.
    pub sync_fails: Option<Class>,
    /// Why every clone fails.
    pub clone_fails: Option<Class>,
    /// What every sync that succeeds has changed.
    pub change: Change,
    pub sync_takes: Duration,
    pub clone_takes: Duration,
    pub load_takes: Duration,
    pub interval: Duration,
    saved: BTreeMap<PathBuf, Saved>,
    /// Processes that live, and when they started.
    pub processes: BTreeMap<u32, u64>,
    /// All that the core wanted, and when.
    pub wanted: Vec<(Duration, Effect)>,
}

impl Bench {
    pub fn new() -> Bench {
        let clock = SimClock::new(Timestamp::from_second(WALL).unwrap());
        Bench {
            core: Core::new(identity(), clock.now(), 1),
            clock,
            coming: BTreeMap::new(),
            serial: 0,
            projects: BTreeMap::new(),
            missing: BTreeSet::new(),
            host: None,
            sync_fails: None,
            clone_fails: None,
            change: Change::default(),
            sync_takes: QUICK,
            clone_takes: QUICK,
            load_takes: QUICK,
            interval: Duration::from_secs(60),
            saved: BTreeMap::new(),
            processes: BTreeMap::new(),
            wanted: Vec::new(),
        }
    }

    /// Another process begins; what the last one left on disk is there.
    pub fn restart(&mut self) {
        self.restart_with(Handover::default());
    }

    /// As [`Bench::restart`], after a process that made way.
    pub fn restart_with(&mut self, handover: Handover) {
        self.coming.clear();
        self.core = Core::new(Identity { handover, ..identity() }, self.clock.now(), 2);
        for root in self.projects.keys().map(root_of).collect::<Vec<_>>() {
            self.event(Event::Projects(projects::Event::Reattach(root)));
        }
    }

    /// What a project's files say from now on.
    pub fn says(&mut self, project: &str, teams: &[&str]) {
        self.projects.insert(Id::from(project), teams.iter().map(ToString::to_string).collect());
    }

    /// Attaches a project that names these teams.
    pub fn attach(&mut self, project: &str, teams: &[&str]) {
        self.says(project, teams);
        self.event(Event::Projects(projects::Event::Reattach(root_of(&Id::from(project)))));
    }

    pub fn now(&self) -> Duration {
        self.clock.now().mono.since(Mono::ZERO)
    }

    pub fn ask(&mut self, via: Via, request: Request) -> ConnId {
        self.serial += 1;
        let conn = ConnId::simulated(self.serial);
        self.event(Event::Request { conn, via, caller: String::new(), request });
        conn
    }

    pub fn team_sync(&mut self, project: &str, team: &str) -> ConnId {
        self.ask(Via::Project(Id::from(project)), Request::TeamSync(TeamSyncAsk { team: team.into() }))
    }

    pub fn heartbeat(&mut self, project: &str, teams: &[&str]) {
        let team_ids = teams.iter().map(ToString::to_string).collect();
        self.beat(project, Heartbeat { team_ids, ..Heartbeat::default() });
    }

    pub fn beat(&mut self, project: &str, beat: Heartbeat) {
        self.ask(Via::Project(Id::from(project)), Request::Heartbeat(Box::new(beat)));
    }

    /// What is answered at once.
    pub fn answer<T: serde::de::DeserializeOwned + Default>(&mut self, project: &str, request: Request) -> T {
        let conn = self.ask(Via::Project(Id::from(project)), request);
        let Some((_, Effect::Reply(to, response))) = self.wanted.pop() else { panic!("an answer") };
        assert_eq!(to, conn);
        decode(response.data.as_ref().map(|d| d.get().as_bytes())).unwrap()
    }

    pub fn checkout(&mut self, project: &str, path: &str) -> ConnId {
        let repo_path = format!("/home/a/{path}");
        let checkout = Checkout { repo_path, clone_url: "https://x/y".into(), repo_type: "ledger".into() };
        self.ask(Via::Project(Id::from(project)), Request::Checkout(checkout))
    }

    /// The core hears of it now.
    pub fn event(&mut self, event: Event) {
        self.turn(Some(event));
    }

    /// Lets `length` pass.
    pub fn pass(&mut self, length: Duration) {
        let end = self.clock.now().mono + length;
        loop {
            let coming = self.coming.keys().next().map(|(at, _)| *at);
            let next = self.core.next_deadline().into_iter().chain(coming).min();
            let now = self.clock.now().mono;
            let Some(next) = next.filter(|at| *at <= end) else {
                return self.clock.advance(end.since(now));
            };
            self.clock.advance(next.since(now));
            match coming.filter(|at| *at <= next) {
                Some(_) => {
                    let (_, event) = self.coming.pop_first().unwrap();
                    self.turn(Some(event));
                }
                None => self.turn(None),
            }
        }
    }

    /// When syncs of a clone began.
    pub fn syncs(&self, wanted: &Key) -> Vec<Duration> {
        let of = |(at, e): &(Duration, Effect)| {
            matches!(e, Effect::Clones(clones::Effect::Sync { job, .. }) if job.key == *wanted).then_some(*at)
        };
        self.wanted.iter().filter_map(of).collect()
    }

    /// Which clones began to be made, in order.
    pub fn clones(&self) -> Vec<(Duration, Key)> {
        let of = |(at, e): &(Duration, Effect)| match e {
            Effect::Clones(clones::Effect::Clone { job, .. } | clones::Effect::Checkout { job, .. }) => {
                Some((*at, job.key.clone()))
            }
            _ => None,
        };
        self.wanted.iter().filter_map(of).collect()
    }

    /// The answers to a request, and when they came.
    pub fn answers(&self, to: ConnId) -> Vec<(Duration, &Response)> {
        let of = |(at, e): &'_ (Duration, Effect)| {
            matches!(e, Effect::Reply(conn, _) if *conn == to).then_some(*at)
        };
        let all = self.wanted.iter().filter_map(|w| of(w).map(|at| (at, &w.1)));
        all.filter_map(|(at, e)| if let Effect::Reply(_, response) = e { Some((at, response)) } else { None })
            .collect()
    }

    /// When something was said to whoever waits for a request.
    pub fn lines(&self, to: ConnId) -> Vec<Duration> {
        let of = |(at, e): &(Duration, Effect)| {
            matches!(e, Effect::Progress(conn, _) if *conn == to).then_some(*at)
        };
        self.wanted.iter().filter_map(of).collect()
    }

    fn turn(&mut self, event: Option<Event>) {
        let now = self.clock.now();
        for effect in self.core.turn(now, event) {
            self.perform(&effect);
            self.wanted.push((now.mono.since(Mono::ZERO), effect));
        }
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.serial += 1;
        self.coming.insert((self.clock.now().mono + wait, self.serial), event);
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::Projects(projects::Effect::Attach { root, .. }) => {
                let found = Box::new(self.found(root));
                self.after(
                    QUICK,
                    Event::Projects(projects::Event::AttachEnded {
                        root: root.clone(),
                        end: AttachEnd::Ready(found),
                    }),
                );
            }
            Effect::Projects(projects::Effect::Load { id, .. }) => {
                let loaded = Some(Box::new(self.loaded(id)));
                self.after(
                    self.load_takes,
                    Event::Projects(projects::Event::Loaded { id: id.clone(), loaded }),
                );
            }
            Effect::Clones(clones::Effect::Sync { job, .. }) => {
                let key = &job.key;
                let end = match self.sync_fails {
                    _ if self.missing.contains(key) => End::NoClone,
                    Some(class) => failed(class),
                    None => End::Level(self.change.clone()),
                };
                let outcome = self.outcome(key, end);
                let wait = if self.missing.contains(key) { QUICK } else { self.sync_takes };
                self.after(wait, Event::Clones(clones::Event::Synced { job: job.clone(), outcome }));
            }
            Effect::Clones(clones::Effect::Clone { job, .. }) => {
                let key = &job.key;
                let end = self.clone_fails.map_or(End::Level(Change::default()), failed);
                if self.clone_fails.is_none() {
                    self.missing.remove(key);
                }
                let outcome = self.outcome(key, end);
                self.after(
                    self.clone_takes,
                    Event::Clones(clones::Event::Cloned { job: job.clone(), outcome }),
                );
            }
            Effect::Clones(clones::Effect::Gc { job, .. }) => {
                self.after(
                    QUICK,
                    Event::Clones(clones::Event::GcEnded { job: job.clone(), result: Ok(None) }),
                );
            }
            Effect::Clones(clones::Effect::CheckPath { key, checkout }) => {
                let path = checkout.repo_path.clone();
                let result = Ok(CheckoutResult { path, already_exists: false, cloned: false });
                self.after(QUICK, Event::Clones(clones::Event::PathChecked { key: key.clone(), result }));
            }
            Effect::Clones(clones::Effect::Checkout { job, checkout, .. }) => {
                let key = &job.key;
                let path = checkout.repo_path.clone();
                let result = Ok(CheckoutResult { path, already_exists: false, cloned: true });
                self.after(
                    self.clone_takes,
                    Event::Clones(clones::Event::CheckedOut { key: key.clone(), result }),
                );
            }
            Effect::Clones(clones::Effect::SaveBackoff { state, saved }) => {
                match saved {
                    Some(saved) => self.saved.insert(state.clone(), saved.clone()),
                    None => self.saved.remove(state),
                };
            }
            Effect::Presence(presence::Effect { id, pids }) => {
                let look = |pid: &u32| {
                    self.processes.get(pid).map_or(Seen::Gone, |at| Seen::Lives(Some(StartedAt(*at))))
                };
                let seen = pids.iter().map(|pid| (*pid, look(pid))).collect();
                self.after(QUICK, Event::Presence(presence::Event { id: id.clone(), seen }));
            }
            Effect::Projects(projects::Effect::Check(_)) => {
                self.after(QUICK, Event::Projects(projects::Event::Checked(Vec::new())))
            }
            Effect::Projects(projects::Effect::ReplyStop(_, via)) => {
                self.after(QUICK, Event::Projects(projects::Event::StopAnswered(via.clone())))
            }
            _ => {}
        }
    }

    fn found(&self, root: &std::path::Path) -> Attachable {
        let id = self.projects.keys().find(|id| root_of(id) == root).unwrap().clone();
        Attachable {
            repo_id: format!("repo_{id}"),
            socket: PathBuf::from(format!("/run/{id}.sock")),
            timing: Timing { interval: self.interval, debounce: Duration::from_millis(500) },
            team_interval: self.interval,
            idle_timeout: Duration::ZERO,
            loaded: self.loaded(&id),
            errors: Default::default(),
            root: root.to_path_buf(),
            id,
        }
    }

    fn loaded(&self, id: &Id) -> Loaded {
        let named = &self.projects[id];
        let team = |id: &String| TeamRef { id: id.clone(), name: format!("Team {id}"), ..TeamRef::default() };
        let clones = named.iter().map(|id| (id.clone(), self.known(&team_key(id)))).collect();
        Loaded {
            slug: "local".into(),
            primary: named.first().cloned().unwrap_or_default(),
            ledger: Some(self.known(&Key::Ledger(id.clone()))),
            teams: BTreeMap::from([(Source::Config, named.iter().map(team).collect())]),
            clones,
            ..Loaded::default()
        }
    }

    fn known(&self, key: &Key) -> Known {
        let place = self.place(key);
        Known { saved: self.saved.get(&place.state).cloned(), place, last_sync: None }
    }

    fn place(&self, key: &Key) -> Place {
        Place {
            path: PathBuf::from(format!("/clones/{key}")),
            url: "https://git.example/x.git".into(),
            host: self.host.clone(),
            exists: !self.missing.contains(key),
            read_only: false,
            state: PathBuf::from(format!("/state/{key}")),
        }
    }

    fn outcome(&self, key: &Key, end: End) -> Outcome {
        let facts = Some(Facts::default());
        Outcome { place: Some(self.place(key)), facts, end, took: QUICK }
    }
}

pub fn team_key(id: &str) -> Key {
    Key::Team(Id::from(format!("local/{id}")))
}

pub fn ledger_key(project: &str) -> Key {
    Key::Ledger(Id::from(project))
}

fn root_of(id: &Id) -> PathBuf {
    PathBuf::from(format!("/home/a/{id}"))
}

fn failed(class: Class) -> End {
    End::Failed(Failure::new(class, format!("{class} trouble")))
}

fn identity() -> Identity {
    Identity {
        pid: 1,
        data: "/data".into(),
        version: "0.6.1+rs.0.1.0".into(),
        startup: Duration::ZERO,
        throttle: Duration::ZERO,
        service: true,
        periods: Periods::default(),
        handover: Default::default(),
    }
}
