//! The world around the core: hosts that go away, clones that fail, projects that change their minds, people who ask, a machine that
//! sleeps, a process that ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use ox::daemon::parts::accounts::ServerAnswer;
use ox::daemon::parts::projects::{AttachEnd, Attachable, Findable, Finding};
use ox::daemon::parts::{accounts, clones, presence, projects, records, trees, upkeep, whispers};
use ox::daemon::{
    CHECK_EVERY, Core, Effect, Event, FLUSH_EVERY, GC_EVERY, Id, Identity, JobId, Key, Periods, Via,
};
use ox::health::IssueKind;
use ox::ipc::wire::{Attach, Checkout, CheckoutResult, Heartbeat, TeamSyncAsk, TriggerGcAsk};
use ox::ipc::{ConnId, Request};
use ox::kit::Class;
use ox::kit::clock::{Clock, Mono, SimClock};
use ox::kit::rng::Rng;
use ox::sync::account::Called;
use ox::sync::reclone::{Reclone, Refusal};
use ox::sync::{Blocked, Change, End, Facts, Failure, Loaded, Outcome, SLOTS, Skip, Source, TeamRef, Timing};

use super::cloud::{Cloud, ENDPOINT};
pub use super::site::Totals;
use super::site::{Host, Site, Work, state_of};

/// What happens to the world.
#[derive(Clone, Debug)]
pub struct Plan {
    pub length: Duration,
    /// All intervals are this many times as long: more seeds in the same time.
    pub slow: u32,
    pub projects: usize,
    /// Teams that projects name at random.
    pub teams: usize,
    pub hosts: usize,
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
        Plan { teams: 5, hosts: 3, fail_percent: 4, life: true, ..Plan::calm(3) }
    }

    /// Nothing goes wrong but what is planned.
    pub fn calm(projects: usize) -> Plan {
        Plan {
            length: Duration::from_secs(3600),
            slow: 1,
            projects,
            teams: 0,
            hosts: 1,
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

const INTERVAL: Duration = Duration::from_secs(60);
/// A sync takes at most this long, also one that times out.
const RUN_MAX: Duration = Duration::from_secs(10);
/// A clone takes at most this long.
const CLONE_MAX: Duration = Duration::from_secs(300);
/// A slimming takes at most this long.
const SLIM_MAX: Duration = Duration::from_secs(120);
/// Reading a project's files takes at most this long.
const LOAD_MAX: Duration = Duration::from_secs(2);
/// Whoever waits for a slot gives up after this.
const SLOT_WAIT: Duration = Duration::from_secs(120);
/// Whoever asks is answered within this: two readings of files, a run in progress, a slot, a clone.
const ANSWER_MAX: Duration = Duration::from_secs(2 * 2 + 10 + 120 + 300 + 1);
/// A host that is back is noticed within this, and an attempt that was on its way then may have to end first.
const NOTICED: Duration = Duration::from_secs(60 + 10);

struct Project {
    root: PathBuf,
    attached: bool,
    /// What its files say.
    names: BTreeSet<usize>,
    /// What the core was last told that they say.
    told: BTreeSet<usize>,
    readable: bool,
}

enum Coming {
    Event(Box<Event>),
    Loaded { id: Id, names: Option<BTreeSet<usize>> },
    ReposAsked,
    LedgerAsked(String),
    Life,
    NetworkDown(Duration),
    HostDown(usize, Duration),
    HostUp(usize),
    Suspend(Duration),
}

struct Open {
    since: Mono,
    /// Several clones, one after the other.
    long: bool,
    project: Option<Id>,
}

pub struct World {
    clock: SimClock,
    core: Core,
    rng: Rng,
    plan: Plan,
    projects: BTreeMap<Id, Project>,
    sites: BTreeMap<Key, Site>,
    hosts: Vec<Host>,
    cloud: Cloud,
    /// The one clone that is being slimmed.
    slimming: Option<(Key, u64)>,
    /// Checkouts in progress; true while one is being cloned.
    checkouts: BTreeMap<Key, bool>,
    coming: BTreeMap<(Mono, u64), Coming>,
    serial: u64,
    /// Requests not answered yet.
    open: BTreeMap<ConnId, Open>,
    exited: bool,
    /// Print every event and effect: for one seed.
    trace: bool,
    totals: Totals,
}

impl World {
    pub fn new(seed: u64, plan: &Plan) -> World {
        let clock = SimClock::new(Timestamp::from_second(1_780_000_000).unwrap());
        let core = Core::new(identity(plan), clock.now(), seed);
        let mut world = World {
            clock,
            core,
            rng: Rng::new(seed ^ 0x5EED),
            plan: plan.clone(),
            projects: BTreeMap::new(),
            sites: BTreeMap::new(),
            hosts: Vec::new(),
            cloud: Cloud::new(),
            slimming: None,
            checkouts: BTreeMap::new(),
            coming: BTreeMap::new(),
            serial: 0,
            open: BTreeMap::new(),
            exited: false,
            trace: std::env::var_os("OX_SIM_TRACE").is_some(),
            totals: Totals::default(),
        };
        world.set_out();
        world
    }

    fn set_out(&mut self) {
        let hosts = if self.plan.life { 1 + self.rng.below(self.plan.hosts as u64) as usize } else { 1 };
        self.hosts = (0..hosts).map(|_| Host { up: true, ..Host::default() }).collect();
        let cloned = !self.plan.life;
        for n in 0..self.plan.teams {
            let host = (!self.plan.life || n % 4 != 3).then_some(n % hosts);
            self.sites.insert(team_key(n), Site::new(team_key(n), host, cloned));
        }
        for n in 0..self.plan.projects {
            let id = Id::from(format!("{n:08x}"));
            let root = PathBuf::from(format!("/home/a/project-{n}"));
            // In a calm world all are on the host, so that its gate is what is looked at.
            let remote = !self.plan.on_this_machine && (!self.plan.life || n % 3 != 2);
            let key = Key::Ledger(id.clone());
            self.sites.insert(key.clone(), Site::new(key, remote.then_some(n % hosts), cloned));
            let names = (0..self.plan.teams).filter(|_| !self.plan.life || self.rng.chance(60)).collect();
            let told = BTreeSet::new();
            let project = Project { root: root.clone(), attached: false, names, told, readable: true };
            self.projects.insert(id, project);
            self.ask(Via::Host, attach(&root));
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
            let now = self.now();
            self.clock.advance(next.since(now));
            match coming {
                Some(at) if at <= self.now() => {
                    let (_, coming) = self.coming.pop_first().unwrap();
                    self.happen(coming);
                }
                _ => self.turn(None),
            }
            self.look();
        }
        self.totals
    }

    fn now(&self) -> Mono {
        self.clock.now().mono
    }

    fn after(&mut self, wait: Duration, coming: Coming) {
        self.serial += 1;
        self.coming.insert((self.now() + wait, self.serial), coming);
    }

    fn event(&mut self, wait: Duration, event: Event) {
        self.after(wait, Coming::Event(Box::new(event)));
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Event(event) => {
                self.ended(&event);
                let level = matches!(
                    &*event,
                    Event::Clones(clones::Event::Synced { .. }) | Event::Clones(clones::Event::Cloned { .. })
                );
                self.turn(Some(*event));
                if level {
                    self.look_at_issues();
                }
            }
            Coming::Loaded { id, names } => {
                let loaded = names.as_ref().map(|names| Box::new(self.loaded(&id, names)));
                let project = self.projects.get_mut(&id).unwrap();
                if let Some(names) = names.filter(|_| project.attached) {
                    project.told = names;
                }
                self.turn(Some(Event::Projects(projects::Event::Loaded { id, loaded })));
            }
            Coming::ReposAsked => {
                let called = self.cloud.answer(self.clock.now(), &mut self.rng);
                self.totals.renewed += u64::from(called == Called::Fine);
                self.totals.logged_out += u64::from(called == Called::Unauthorized);
                let changed = called == Called::Fine;
                self.turn(Some(Event::Accounts(accounts::Event::ReposAsked {
                    endpoint: ENDPOINT.into(),
                    called,
                    changed,
                })));
                self.look_at_login(called);
            }
            Coming::LedgerAsked(repo_id) => {
                let (called, said) = match self.rng.below(4) {
                    0 => (Called::Pending, Some(ServerAnswer::default())),
                    1 => (Called::Network, None),
                    n => {
                        let ledger = Some("https://git0.example/x.git".to_string());
                        (Called::Fine, Some(ServerAnswer { ledger, read_only: n == 3, teams: None }))
                    }
                };
                let endpoint = ENDPOINT.into();
                self.turn(Some(Event::Accounts(accounts::Event::LedgerAsked {
                    endpoint,
                    repo_id,
                    called,
                    answer: said,
                })));
            }
            Coming::Life => self.live(),
            Coming::NetworkDown(length) => {
                for n in 0..self.hosts.len() {
                    self.host_down(n, length);
                }
            }
            Coming::HostDown(n, length) => self.host_down(n, length),
            Coming::HostUp(n) => {
                self.hosts[n] =
                    Host { up: true, chance_since: Some(self.now()), back_since: Some(self.now()) };
            }
            Coming::Suspend(length) => {
                self.totals.suspended += 1;
                // What ends in a sleep is renewed after it.
                self.cloud.slept();
                self.clock.suspend(length);
                self.turn(None);
            }
        }
    }

    fn host_down(&mut self, n: usize, length: Duration) {
        if !self.hosts[n].up {
            return;
        }
        self.hosts[n] = Host::default();
        self.sites.values_mut().filter(|s| s.host == Some(n)).for_each(|s| s.healthy_since = None);
        self.after(length, Coming::HostUp(n));
    }

    /// Something that people or machines do.
    fn live(&mut self) {
        let n = self.rng.below(self.plan.projects as u64);
        let id = Id::from(format!("{n:08x}"));
        let via = Via::Project(id.clone());
        match self.rng.below(100) {
            0..20 => self.ask(via, Request::Sync),
            20..35 => {
                const WORDS: [&str; 6] = ["", "", "team_0", "Same", "nobody", "team_3"];
                let team = WORDS[self.rng.below(6) as usize].to_string();
                self.ask(via, Request::TeamSync(TeamSyncAsk { team }));
            }
            35..45 => {
                let team_ids = (0..3).map(|_| format!("team_{}", self.rng.below(7))).collect();
                self.ask(via, Request::Heartbeat(Box::new(Heartbeat { team_ids, ..Heartbeat::default() })));
            }
            45..47 => self.ask(via, Request::Doctor),
            47..49 => {
                let progress = self.rng.chance(50);
                self.ask(via, Request::TriggerGc(TriggerGcAsk { progress }));
            }
            49..50 => self.cloud.live(&mut self.rng),
            50..58 => self.checkouts_asked(&via),
            58..63 => self.ask(via, Request::Stop),
            63..75 => {
                let root = self.projects[&id].root.clone();
                self.ask(Via::Host, attach(&root));
            }
            75..85 => {
                let team = self.rng.below(self.plan.teams as u64) as usize;
                let project = self.projects.get_mut(&id).unwrap();
                if !project.names.remove(&team) {
                    project.names.insert(team);
                }
                self.after(LOAD_MAX, Coming::Life);
            }
            85..87 => {
                let project = self.projects.get_mut(&id).unwrap();
                project.readable = !project.readable;
            }
            87..91 => {
                let host = self.rng.below(self.hosts.len() as u64) as usize;
                let length = self.rng.up_to(Duration::from_secs(4 * 3600));
                self.after(Duration::ZERO, Coming::HostDown(host, length));
            }
            91..93 => {
                let length = self.rng.up_to(Duration::from_secs(8 * 3600));
                self.after(Duration::ZERO, Coming::NetworkDown(length));
            }
            93..95 => self.lose_clones(),
            95..97 => self.restart(),
            _ => {
                let length = self.rng.up_to(Duration::from_secs(8 * 3600));
                self.after(Duration::ZERO, Coming::Suspend(length));
            }
        }
        // What comes in a burst meets what is still in progress.
        let most = if self.rng.chance(50) { 30 } else { 4 * 3600 };
        let pause = self.rng.up_to(Duration::from_secs(most));
        if self.coming.values().filter(|c| matches!(c, Coming::Life)).count() == 0 {
            self.after(pause, Coming::Life);
        }
    }

    /// Several at once, so that slots fill; some for the same path.
    fn checkouts_asked(&mut self, via: &Via) {
        for _ in 0..=self.rng.below(5) {
            let repo_path = format!("/home/a/checkout-{}", self.rng.below(6));
            let checkout = Checkout { repo_path, clone_url: "u".into(), repo_type: "ledger".into() };
            self.ask(via.clone(), Request::Checkout(checkout));
        }
    }

    /// Somebody deletes clones.
    fn lose_clones(&mut self) {
        for key in self.sites.keys().cloned().collect::<Vec<_>>() {
            if self.rng.chance(50) {
                let site = self.sites.get_mut(&key).unwrap();
                (site.cloned, site.healthy_since) = (false, None);
            }
        }
    }

    /// The process is killed, and another one serves what this one served.
    fn restart(&mut self) {
        self.totals.restarted += 1;
        let ends = |c: &Coming| {
            matches!(
                c,
                Coming::Event(_) | Coming::Loaded { .. } | Coming::ReposAsked | Coming::LedgerAsked(_)
            )
        };
        self.coming.retain(|_, c| !ends(c));
        self.cloud.restart();
        self.slimming = None;
        self.open.clear();
        self.checkouts.clear();
        for site in self.sites.values_mut() {
            site.forget();
            site.work.clear();
        }
        let seed = self.rng.next_u64();
        self.core = Core::new(identity(&self.plan), self.clock.now(), seed);
        let mut again = Vec::new();
        for project in self.projects.values_mut() {
            if std::mem::take(&mut project.attached) {
                again.push(project.root.clone());
            }
        }
        for root in again {
            self.turn(Some(Event::Projects(projects::Event::Reattach(root))));
        }
    }

    fn ask(&mut self, via: Via, request: Request) {
        let project = match &via {
            Via::Host => None,
            Via::Project(id) if self.projects[id].attached => Some(id.clone()),
            Via::Project(_) => return, // nothing listens there
        };
        self.serial += 1;
        let conn = ConnId::simulated(self.serial);
        if !matches!(request, Request::Heartbeat(_)) {
            let long = matches!(request, Request::TriggerGc(_));
            self.open.insert(conn, Open { since: self.now(), long, project });
        }
        self.turn(Some(Event::Request { conn, via, caller: String::new(), request }));
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

    fn answered(&mut self, conn: ConnId) {
        let open = self.open.remove(&conn).expect("a request was answered twice, or one that has no answer");
        self.totals.answered += 1;
        self.totals.longest_answer = self.totals.longest_answer.max(self.now().since(open.since));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(conn, _) => self.answered(conn),
            Effect::Projects(projects::Effect::ReplyStop(conn, via)) => {
                self.answered(conn);
                self.event(Duration::from_millis(1), Event::Projects(projects::Event::StopAnswered(via)));
            }
            Effect::Progress(conn, _) => {
                assert!(self.open.contains_key(&conn), "progress after the answer");
            }
            Effect::Projects(projects::Effect::Attach { root, served }) => self.attach(root, &served),
            Effect::Projects(projects::Effect::Serve { id, .. }) => {
                let project = self.projects.get_mut(&id).unwrap();
                assert!(!project.attached, "{id} is served twice");
                project.attached = true;
            }
            Effect::Projects(projects::Effect::Detach { id, .. }) => {
                self.totals.detached += 1;
                let project = self.projects.get_mut(&id).unwrap();
                assert!(project.attached, "{id} is not served");
                project.attached = false;
                let waits = self.open.values().any(|o| o.project.as_ref() == Some(&id));
                assert!(!waits, "{id} is detached and a request to it not answered");
            }
            Effect::Projects(projects::Effect::Load { id, .. }) => {
                let project = &self.projects[&id];
                let names = project.readable.then(|| project.names.clone());
                let wait = if self.rng.chance(10) { LOAD_MAX } else { Duration::from_millis(50) };
                let wait = self.rng.up_to(wait);
                self.after(wait, Coming::Loaded { id, names });
            }
            Effect::Clones(clones::Effect::Sync { job, ask, .. }) => self.sync(&job.key, job.run, ask.forced),
            Effect::Clones(clones::Effect::Clone { job, .. }) => self.clone(&job.key, job.run),
            Effect::Clones(clones::Effect::Drop(key)) => {
                let site = self.sites.get_mut(&key).unwrap();
                let host = site.host.filter(|_| !site.work.is_empty());
                site.forget();
                // It is cancelled, and ends soon.
                self.slimming = self.slimming.take().filter(|(slimmed, _)| *slimmed != key);
                self.tells_nothing(host);
            }
            Effect::Clones(clones::Effect::Gc { job, asked, .. }) => self.slim(&job.key, job.run, asked),
            Effect::Accounts(accounts::Effect::AskRepos { endpoint }) => {
                assert_eq!(endpoint, ENDPOINT);
                self.cloud.ask(self.clock.now().wall);
                let wait = self.rng.up_to(RUN_MAX);
                self.after(wait, Coming::ReposAsked);
            }
            Effect::Accounts(accounts::Effect::AskLedger { repo_id, .. }) => {
                let wait = self.rng.up_to(RUN_MAX);
                self.after(wait, Coming::LedgerAsked(repo_id));
            }
            Effect::Accounts(accounts::Effect::Save { account, .. }) => self.cloud.save(&account),
            Effect::Clones(clones::Effect::Revoke { key, .. }) => panic!("{key}: no server names teams here"),
            Effect::Clones(clones::Effect::CheckPath { key, checkout }) => self.check_path(key, checkout),
            Effect::Clones(clones::Effect::Checkout { job, checkout, .. }) => {
                self.checkout(job.key, checkout)
            }
            Effect::Clones(clones::Effect::SaveBackoff { state, saved }) => {
                let site = self.sites.values_mut().find(|s| state_of(&s.key) == state).unwrap();
                let failures = saved.as_ref().map_or(0, |s| s.failures);
                assert_eq!(failures, site.failures, "{}: failures in a row", site.key);
                site.saved = saved;
            }
            Effect::Projects(projects::Effect::Check(all)) => {
                let findings = self.findings(&all);
                self.event(Duration::from_millis(2), Event::Projects(projects::Event::Checked(findings)));
            }
            Effect::Whispers(whispers::Effect::Relay { key, .. }) => self.event(
                Duration::from_millis(2),
                Event::Whispers(whispers::Event::Relayed { key, done: true }),
            ),
            Effect::Whispers(whispers::Effect::Murmur { .. })
            | Effect::Whispers(whispers::Effect::Pending { .. })
            | Effect::Whispers(whispers::Effect::History { .. })
            | Effect::Whispers(whispers::Effect::PauseNudges { .. }) => panic!("nobody murmurs here"),
            Effect::Projects(projects::Effect::Remember(_))
            | Effect::Projects(projects::Effect::CheckSocket(_))
            | Effect::Clones(clones::Effect::Flush { .. })
            | Effect::Clones(clones::Effect::Watch(..))
            | Effect::Presence(presence::Effect { .. })
            | Effect::Records(records::Effect::SaveErrors { .. })
            | Effect::Records(records::Effect::WriteHeartbeats { .. })
            | Effect::Whispers(whispers::Effect::WritePlaces)
            | Effect::Trees(trees::Effect::Watch { .. })
            | Effect::Trees(trees::Effect::Forget { .. })
            | Effect::Trees(trees::Effect::Scan { .. })
            | Effect::Whispers(whispers::Effect::TellChanges { .. })
            | Effect::Whispers(whispers::Effect::Maintain { .. })
            | Effect::Whispers(whispers::Effect::Nudge { .. })
            | Effect::Whispers(whispers::Effect::TellActivity { .. })
            | Effect::Upkeep(upkeep::Effect::TidyUp) => {}
            Effect::Exit { .. } => self.exited = true,
        }
    }

    fn attach(&mut self, root: PathBuf, served: &[Id]) {
        let (id, project) = self.projects.iter().find(|(_, p)| p.root == root).unwrap();
        let (id, names) = (id.clone(), project.names.clone());
        let end = if served.contains(&id) {
            AttachEnd::Served(id)
        } else if self.plan.life && self.rng.chance(5) {
            AttachEnd::Failed("could not".into())
        } else {
            let found = Attachable {
                repo_id: format!("repo_{id}"),
                socket: PathBuf::from(format!("/run/{id}.sock")),
                timing: Timing { interval: INTERVAL * self.plan.slow, debounce: Duration::from_millis(500) },
                team_interval: INTERVAL * self.plan.slow,
                idle_timeout: Duration::ZERO,
                loaded: self.loaded(&id, &names),
                errors: Default::default(),
                root: root.clone(),
                id: id.clone(),
            };
            self.projects.get_mut(&id).unwrap().told = names;
            AttachEnd::Ready(Box::new(found))
        };
        let wait = self.rng.up_to(Duration::from_millis(50));
        self.event(wait, Event::Projects(projects::Event::AttachEnded { root, end }));
    }

    fn loaded(&self, id: &Id, names: &BTreeSet<usize>) -> Loaded {
        // Two of them have the same name.
        let team = |n: &usize| TeamRef {
            id: format!("team_{n}"),
            name: if *n < 2 { "Same".into() } else { format!("Team {n}") },
            ..TeamRef::default()
        };
        let clones = names.iter().map(|n| (format!("team_{n}"), self.sites[&team_key(*n)].known()));
        Loaded {
            slug: "local".into(),
            primary: names.first().map(|n| format!("team_{n}")).unwrap_or_default(),
            ledger: Some(self.sites[&Key::Ledger(id.clone())].known()),
            teams: BTreeMap::from([(Source::Config, names.iter().map(team).collect())]),
            clones: clones.collect(),
            endpoint: self.comes_from_server(id).then(|| ENDPOINT.to_string()),
            cloud: self.comes_from_server(id).then(|| self.cloud.view()),
            ..Loaded::default()
        }
    }

    /// In a life with everything the second project of three comes from a server.
    fn comes_from_server(&self, id: &Id) -> bool {
        self.plan.life && **id == *"00000001"
    }

    fn slim(&mut self, key: &Key, run: u64, asked: bool) {
        let site = self.sites.get_mut(key).unwrap();
        assert!(site.work.values().all(|w| w.dropped), "{key} is slimmed while something else is done to it");
        assert!(self.slimming.is_none(), "{key} is slimmed beside {:?}", self.slimming);
        site.work.insert(run, Work { cloning: true, dropped: false });
        self.slimming = Some((key.clone(), run));
        self.look_at_slots();
        let result = match self.rng.below(10) {
            _ if !self.sites[key].cloned => Ok(None),
            0 => Err(Failure::new(Class::Disk, "no room")),
            1 => Ok(Some(Reclone::Refused(Refusal::Busy))),
            2 => Ok(Some(Reclone::Refused(Refusal::Unquiet))),
            3..7 if !asked => Ok(None),
            _ => Ok(Some(Reclone::Maintained { before: 2, after: 1 })),
        };
        let wait = self.rng.up_to(if self.plan.life { SLIM_MAX } else { Duration::from_secs(1) });
        self.event(
            wait,
            Event::Clones(clones::Event::GcEnded { job: JobId { key: key.clone(), run }, result }),
        );
    }

    /// The issue about the login is there exactly while the server has not taken the one that is stored.
    fn look_at_login(&self, called: Called) {
        for id in self.projects.iter().filter(|(_, p)| p.attached).map(|(id, _)| id) {
            let has = self.core.issues(id).contains(&IssueKind::AuthExpiring);
            match called {
                _ if !self.comes_from_server(id) => assert!(!has, "{id} has no login"),
                Called::Fine => assert!(!has, "{id}: the login works"),
                Called::Unauthorized => assert!(has, "{id}: nobody is told that the login does not work"),
                _ => {}
            }
        }
    }

    fn findings(&mut self, all: &[Findable]) -> Vec<(Id, Finding)> {
        let mut findings = Vec::new();
        for Findable { id, ledger, .. } in all {
            let cloned = self.sites[&Key::Ledger(id.clone())].cloned;
            if self.plan.life && self.rng.below(5000) == 0 {
                findings.push((id.clone(), Finding::Superseded));
            } else if ledger.is_some() && !cloned {
                findings.push((id.clone(), Finding::LedgerGone));
            }
        }
        findings
    }

    fn sync(&mut self, key: &Key, run: u64, forced: bool) {
        let now = self.now();
        self.sites.get_mut(key).unwrap().last_sign = Some(now);
        if (self.plan.few_workers && self.rng.chance(20)) || (self.plan.life && self.rng.below(500) == 0) {
            self.totals.unstarted += 1;
            self.tells_nothing(self.sites[key].host);
            return self.event(
                Duration::ZERO,
                Event::Clones(clones::Event::NoWorker(JobId { key: key.clone(), run })),
            );
        }
        self.totals.syncs += 1;
        let reachable = self.reaches(key);
        let from_server = matches!(key, Key::Ledger(id) if self.comes_from_server(id));
        let refused = reachable && from_server && !self.cloud.lets_in(self.clock.now().wall);
        let site = self.sites.get_mut(key).unwrap();
        assert!(site.work.values().all(|w| w.dropped), "{key}: two pieces of work at once");
        site.work.insert(run, Work { cloning: false, dropped: false });
        let queued = site.queued_since.take().map_or(SLOT_WAIT, |since| now.since(since));
        assert!(queued >= SLOT_WAIT, "{key} has given up its place after {queued:?}");
        if reachable {
            site.waits_since = None;
        }
        let (wait, end) = if !site.cloned {
            (Duration::from_millis(1), End::NoClone)
        } else if refused {
            self.totals.failed += 1;
            (Duration::from_millis(100), failed(Class::Auth, None))
        } else if !forced && self.plan.life && self.rng.chance(2) {
            (Duration::from_millis(1), End::Skipped(Skip::Fresh))
        } else {
            self.try_remote(reachable, RUN_MAX, Duration::from_millis(900))
        };
        let outcome = self.outcome(key, end, wait);
        self.event(
            wait,
            Event::Clones(clones::Event::Synced { job: JobId { key: key.clone(), run }, outcome }),
        );
    }

    fn clone(&mut self, key: &Key, run: u64) {
        let reachable = self.reaches(key);
        let now = self.now();
        let site = self.sites.get_mut(key).unwrap();
        assert!(site.work.values().all(|w| w.dropped), "{key}: two pieces of work at once");
        site.work.insert(run, Work { cloning: true, dropped: false });
        let queued = now.since(site.queued_since.take().expect("a clone is part of a run"));
        if reachable {
            site.waits_since = None;
        }
        assert!(queued <= SLOT_WAIT, "{key} has waited {queued:?} for a slot");
        self.totals.queued += u64::from(!queued.is_zero());
        self.look_at_slots();
        let most = if self.plan.life { CLONE_MAX } else { RUN_MAX };
        let (wait, end) = self.try_remote(reachable, most, most);
        // There is nothing yet that could be damaged.
        let end = if matches!(end, End::PutAside(_)) { failed(Class::Disk, None) } else { end };
        let outcome = self.outcome(key, end, wait);
        self.event(
            wait,
            Event::Clones(clones::Event::Cloned { job: JobId { key: key.clone(), run }, outcome }),
        );
    }

    fn check_path(&mut self, key: Key, checkout: Checkout) {
        // One may have waited for a slot in vain before.
        assert!(
            self.checkouts.insert(key.clone(), false) != Some(true),
            "{key} is looked at while it is made"
        );
        let path = checkout.repo_path;
        let result = match self.rng.below(10) {
            0 => Err("refused".to_string()),
            n => Ok(CheckoutResult { path, already_exists: n == 1, cloned: false }),
        };
        if !result.as_ref().is_ok_and(|r| !r.already_exists) {
            self.checkouts.remove(&key);
        }
        let wait = self.rng.up_to(Duration::from_millis(50));
        self.event(wait, Event::Clones(clones::Event::PathChecked { key, result }));
    }

    fn checkout(&mut self, key: Key, checkout: Checkout) {
        assert!(self.checkouts.insert(key.clone(), true) != Some(true), "{key} is cloned twice");
        self.look_at_slots();
        let path = checkout.repo_path;
        let result = match self.rng.below(10) {
            0 => Err("failed".to_string()),
            _ => Ok(CheckoutResult { path, already_exists: false, cloned: true }),
        };
        let wait = self.rng.up_to(CLONE_MAX);
        self.event(wait, Event::Clones(clones::Event::CheckedOut { key, result }));
    }

    fn reaches(&self, key: &Key) -> bool {
        let silent = self.plan.silent_project && matches!(key, Key::Ledger(id) if **id == *"00000000");
        !silent && self.sites[key].host.is_none_or(|n| self.hosts[n].up)
    }

    fn try_remote(&mut self, reachable: bool, silent_for: Duration, takes: Duration) -> (Duration, End) {
        if !reachable {
            self.totals.offline += 1;
            return (self.rng.up_to(silent_for), failed(Class::Network, None));
        }
        let wait = self.rng.up_to(takes);
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

    fn outcome(&self, key: &Key, end: End, took: Duration) -> Outcome {
        let facts = Facts { head: "0".repeat(40), ..Facts::default() };
        Outcome { place: Some(self.sites[key].place()), facts: Some(facts), end, took }
    }

    /// An attempt that may have been the one that finds out about the host has told nothing.
    fn tells_nothing(&mut self, host: Option<usize>) {
        let now = self.now();
        if let Some(host) = host.map(|n| &mut self.hosts[n]).filter(|h| h.up) {
            host.chance_since = Some(now);
        }
    }

    /// Notes what the end of a piece of work means, before the core hears of it.
    fn ended(&mut self, event: &Event) {
        let (key, run, end, of_clone) = match event {
            Event::Clones(clones::Event::Synced { job, outcome }) => {
                (&job.key, &job.run, &outcome.end, false)
            }
            Event::Clones(clones::Event::Cloned { job, outcome }) => (&job.key, &job.run, &outcome.end, true),
            Event::Clones(clones::Event::CheckedOut { key, .. }) => {
                self.checkouts.remove(key);
                return;
            }
            Event::Clones(clones::Event::GcEnded { job: JobId { key, run }, result }) => {
                self.slimming = self.slimming.take().filter(|s| *s != (key.clone(), *run));
                self.totals.slimmed += u64::from(matches!(result, Ok(Some(Reclone::Maintained { .. }))));
                self.sites.get_mut(key).unwrap().work.remove(run);
                return;
            }
            Event::Clones(clones::Event::PathChecked { .. }) => return,
            _ => return,
        };
        let now = self.now();
        let site = self.sites.get_mut(key).unwrap();
        match end {
            End::PutAside(_) => site.cloned = false,
            End::Level(_) if of_clone => {
                site.cloned = true;
                self.totals.cloned += 1;
            }
            _ => {}
        }
        let dropped = site.work[run].dropped;
        // Whoever waits for a slot does not work.
        site.work.remove(run);
        if dropped {
            self.totals.late += 1;
            return; // nobody hears of it
        }
        let host = site.host;
        let up = host.is_none_or(|n| self.hosts[n].up);
        match end {
            End::NoClone | End::PutAside(_) => {
                site.queued_since = Some(now);
                site.healthy_since = None;
                self.tells_nothing(host);
            }
            End::Level(_) => {
                let wait = site.last_good.replace(now).map_or(Duration::ZERO, |good| now.since(good));
                self.totals.longest_wait = self.totals.longest_wait.max(wait);
                (site.failures, site.skipped) = (0, 0);
                // A run that began before the network went may end after it.
                if up && site.cloned {
                    site.healthy_since.get_or_insert(now);
                }
                if let Some(back) = host.and_then(|n| self.hosts[n].back_since.take()) {
                    self.totals.worst_recovery = self.totals.worst_recovery.max(now.since(back));
                }
            }
            End::Skipped(_) => {
                // Somebody else has looked: it is content until its next turn.
                (site.skipped, site.waits_since) = (site.skipped + 1, None);
                self.tells_nothing(host);
            }
            End::Failed(failure) => {
                site.healthy_since = None;
                match failure.class {
                    Class::Network if host.is_some() => site.waits_since = Some(now),
                    _ => site.failures += 1,
                }
                self.tells_nothing(host);
            }
        }
    }

    fn look_at_slots(&self) {
        let works = self.sites.values().flat_map(|s| s.work.values());
        let clones = works.filter(|w| w.cloning).count() + self.checkouts.values().filter(|c| **c).count();
        assert!(clones <= SLOTS, "{clones} clones at once");
    }

    /// Issues are there while there is a reason, and no longer.
    fn look_at_issues(&self) {
        for (id, project) in self.projects.iter().filter(|(_, p)| p.attached) {
            let mut used = project.told.iter().map(|n| &self.sites[&team_key(*n)]);
            let ledger = &self.sites[&Key::Ledger(id.clone())];
            if ledger.failures == 0 && used.all(|s| s.failures == 0) {
                let issues = self.core.issues(id);
                assert!(!issues.contains(&IssueKind::SyncBackoff), "{id} has {issues:?} without a failure");
            }
        }
    }

    /// Promises that hold after every step.
    fn look(&mut self) {
        let now = self.now();
        if let Some(at) = self.core.next_deadline() {
            assert!(at >= now || self.exited, "a deadline was left in the past");
        }
        for (conn, open) in &self.open {
            let waits = now.since(open.since);
            let most = match (open.long, self.plan.few_workers) {
                (true, _) => (SLOT_WAIT + SLIM_MAX + ANSWER_MAX) * 12,
                (false, true) => ANSWER_MAX * 2,
                // A run may wait for the end of another's probe, and for a slimming of the clone.
                (false, false) => ANSWER_MAX + SLOT_WAIT + SLIM_MAX + Duration::from_secs(600),
            };
            assert!(waits <= most, "{conn:?} has waited {waits:?}");
        }
        for site in self.sites.values() {
            self.look_at_site(now, site);
        }
        let somebody = self.projects.iter().any(|(id, p)| p.attached && self.comes_from_server(id));
        let somebody = somebody && self.projects[&*Id::from("00000001")].readable;
        self.cloud.look(self.clock.now(), somebody);
        let attached = self.projects.values().filter(|p| p.attached).count();
        assert_eq!(attached, self.core.served(), "the core serves what it says it serves");
        self.look_at_keys();
        let size = self.core.size();
        let most =
            4 * self.core.clones().count() + 4 * attached + 2 * self.open.len() + 4 * self.hosts.len() + 20;
        assert!(size <= most, "the core has grown to {size} entries");
    }

    /// Kept level is what some attached project names, and nothing else.
    fn look_at_keys(&self) {
        let attached = self.projects.iter().filter(|(_, p)| p.attached);
        let mut named = BTreeSet::new();
        for (id, project) in attached {
            named.insert(Key::Ledger(id.clone()));
            named.extend(project.told.iter().map(|n| team_key(*n)));
        }
        assert!(
            self.core.clones().eq(named.iter()),
            "kept level: {:?}",
            self.core.clones().collect::<Vec<_>>()
        );
    }

    fn look_at_site(&self, now: Mono, site: &Site) {
        let key = &site.key;
        let chance =
            site.host.map(|n| &self.hosts[n]).filter(|h| h.up).map(|h| h.chance_since.unwrap_or(Mono::ZERO));
        if let (Some(since), Some(chance)) = (site.waits_since, chance)
            // What has failed by itself before waits for its own time, and what waits for a slot, or did in vain, for its next turn.
            && site.failures == 0
            && site.queued_since.is_none()
            && !self.plan.silent_project
            && !self.plan.few_workers
        {
            let waits = now.since(since.max(chance));
            // In a life with everything it may have to be slimmed first, and wait for a slot for that; and where those on a host have no
            // clone yet they try in turn, each with a clone that tells late.
            let others = self.sites.values().filter(|s| s.host == site.host).count() as u32;
            let most = if self.plan.life { NOTICED * others + SLOT_WAIT + SLIM_MAX } else { NOTICED };
            assert!(waits <= most, "{key}: its host is back for {waits:?}");
        }
        let beat = INTERVAL * self.plan.slow * 11 / 10;
        if let (Some(_), Some(good)) = (site.healthy_since, site.last_good)
            && chance.is_none_or(|since| now.since(since) > NOTICED)
        {
            // The interval with its jitter, once more for each skipped run, a gate that another's trouble has closed, a run, a worker.
            let slimming = SLOT_WAIT + SLIM_MAX;
            let limit =
                beat * (1 + site.skipped) + NOTICED * 2 + RUN_MAX + slimming + Duration::from_secs(30);
            assert!(
                now.since(good) <= limit,
                "{key} is healthy and was not synced for {:?}",
                now.since(good)
            );
        }
        // Whatever happened to it: it has a next run. The longest back-off, a beat, a run, a slot, a clone, and the time to notice a host.
        if let Some(sign) = site.last_sign.filter(|_| chance.is_some() || site.host.is_none()) {
            let chance = chance.unwrap_or(Mono::ZERO);
            let limit =
                Duration::from_secs(3600) + beat + RUN_MAX + SLOT_WAIT * 2 + SLIM_MAX + CLONE_MAX + NOTICED;
            assert!(now.since(sign.max(chance)) <= limit, "{key} is forgotten since {sign:?}");
        }
    }
}

fn identity(plan: &Plan) -> Identity {
    let slow = plan.slow;
    Identity {
        pid: 1,
        data: "/data".into(),
        version: "0.6.1+rs.sim".into(),
        startup: Duration::from_millis(10),
        throttle: Duration::ZERO,
        service: true,
        periods: Periods { check: CHECK_EVERY * slow.min(10), flush: FLUSH_EVERY * slow, gc: GC_EVERY },
        handover: Default::default(),
    }
}

fn attach(root: &std::path::Path) -> Request {
    Request::Attach(Attach { project_root: root.to_string_lossy().into_owned(), ..Attach::default() })
}

fn team_key(n: usize) -> Key {
    Key::Team(Id::from(format!("local/team_{n}")))
}

fn failed(class: Class, blocked: Option<Blocked>) -> End {
    let failure = Failure::new(class, format!("{class} trouble"));
    End::Failed(Failure { blocked, ..failure })
}
