//! The world around the core: hosts that go away, clones that fail, projects that change their minds, people who ask, a machine that
//! sleeps, a process that ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ox::daemon::parts::accounts::ServerAnswer;
use ox::daemon::parts::archive::Looked;
use ox::daemon::parts::projects::{AttachEnd, Attachable, Findable, Finding};
use ox::daemon::parts::{accounts, clones, hooks, projects, relay, trees, whispers};
use ox::daemon::{CHECK_EVERY, Effect, Event, FLUSH_EVERY, GC_EVERY, Id, Identity, JobId, Key, Periods, Via};
use ox::health::IssueKind;
use ox::ipc::Request;
use ox::ipc::wire::{
    AgentRef, Attach, Checkout, CheckoutResult, Heartbeat, Murmur, RelayState, RelayStatus, TeamSyncAsk,
    TriggerGcAsk, WhispersAsk,
};
use ox::kit::Class;
use ox::kit::clock::{Clock, Mono, Now};
use ox::kit::process::{Seen, StartedAt};
use ox::kit::rng::Rng;
use ox::relay::account::Account as RelayAccount;
use ox::sync::account::{Account, CallOutcome};
use ox::sync::reclone::{Reclone, Refusal};
use ox::sync::{
    Blocked, Change, End, Facts, Failure, Loaded, Outcome, SLOTS, Saved, Skip, Source, TeamRef, Timing,
};
use ox::watch::{Pulse, Report, RootId, Task};

use super::cloud::{Cloud, ENDPOINT};
use super::host::{FakeHost, Faults, Script, state_of};
pub use super::site::Totals;
use super::site::{Host, Site, Work};
use super::trees::report;

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
    /// Every fifth job finds no worker.
    pub few_workers: bool,
    /// Agents at work, each with a process behind it.
    pub agents: u64,
    /// After an hour the network goes for this long.
    pub offline_once: Option<Duration>,
    /// After ten minutes the machine sleeps for this long.
    pub suspend_once: Option<Duration>,
}

impl Plan {
    /// Everything goes wrong at random.
    pub fn faulty() -> Plan {
        Plan { teams: 5, hosts: 3, fail_percent: 4, life: true, agents: 4, ..Plan::calm(3) }
    }

    /// What goes wrong with workers and disks.
    fn faults(&self) -> Faults {
        match (self.life, self.few_workers) {
            (true, _) => Faults { full: 2, dead: 1, slow_disk: Duration::from_secs(60), lost: 5 },
            (false, true) => Faults { full: 200, ..Faults::default() },
            (false, false) => Faults::default(),
        }
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
            agents: 0,
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

/// When what is asked for once at the start has been done: workers fail from then on.
const FAULTS_FROM: Duration = Duration::from_secs(60);
/// A work tree is watched at most this long after the last sign of an agent: it is told of every ten minutes, and an agent counts as at work
/// for fifteen.
const TREE_MAX: Duration = Duration::from_secs((10 + 15 + 1) * 60);

struct Project {
    root: PathBuf,
    attached: bool,
    /// What its files say.
    names: BTreeSet<usize>,
    /// What the core was last told that they say.
    told: BTreeSet<usize>,
    readable: bool,
    /// When an agent was last heard of.
    heard: Option<Mono>,
}

enum Coming {
    Life,
    NetworkDown(Duration),
    HostDown(usize, Duration),
    HostUp(usize),
    Suspend(Duration),
}

/// What the machine and the remotes are like, and what has come of the core's work.
pub struct Life {
    rng: Rng,
    plan: Plan,
    projects: BTreeMap<Id, Project>,
    sites: BTreeMap<Key, Site>,
    hosts: Vec<Host>,
    cloud: Cloud,
    /// The one clone that is being made smaller.
    slimming: Option<(Key, u64)>,
    /// Checkouts in progress; true while one is being cloned.
    checkouts: BTreeMap<Key, bool>,
    /// Watched work trees, and whether each is being scanned.
    trees: BTreeMap<RootId, (PathBuf, bool)>,
    /// What a server has just said about the login.
    called: Option<CallOutcome>,
    /// A clone has just been synced well.
    up_to_date: Option<Key>,
    /// Who is logged in at the relay's server: 0 for nobody wants it, 1 for nobody, then users.
    relay_user: u64,
    totals: Totals,
}

pub struct World {
    host: FakeHost<Life>,
    coming: BTreeMap<(Mono, u64), Coming>,
    serial: u64,
    slept: Mono,
}

impl World {
    pub fn new(seed: u64, plan: &Plan) -> World {
        let life = Life {
            rng: Rng::new(seed ^ 0x5EED),
            plan: plan.clone(),
            projects: BTreeMap::new(),
            sites: BTreeMap::new(),
            hosts: Vec::new(),
            cloud: Cloud::new(),
            slimming: None,
            checkouts: BTreeMap::new(),
            trees: BTreeMap::new(),
            called: None,
            up_to_date: None,
            relay_user: 0,
            totals: Totals::default(),
        };
        let host = FakeHost::with(life, identity(plan), seed);
        let mut world = World { host, coming: BTreeMap::new(), serial: 0, slept: Mono::ZERO };
        world.set_out();
        world
    }

    fn set_out(&mut self) {
        let life = &mut self.host.script;
        let plan = life.plan.clone();
        let hosts = if plan.life { 1 + life.rng.below(plan.hosts as u64) as usize } else { 1 };
        life.hosts = (0..hosts).map(|_| Host { up: true, ..Host::default() }).collect();
        let cloned = !plan.life;
        for n in 0..plan.teams {
            let host = (!plan.life || n % 4 != 3).then_some(n % hosts);
            life.sites.insert(team_key(n), Site::new(team_key(n), host, cloned));
        }
        let mut roots = Vec::new();
        for n in 0..plan.projects {
            let id = Id::from(format!("{n:08x}"));
            let root = PathBuf::from(format!("/home/a/project-{n}"));
            // In a calm world all are on the host, so that its breaker is what is looked at.
            let remote = !plan.on_this_machine && (!plan.life || n % 3 != 2);
            let key = Key::Ledger(id.clone());
            life.sites.insert(key.clone(), Site::new(key, remote.then_some(n % hosts), cloned));
            let names = (0..plan.teams).filter(|_| !plan.life || life.rng.chance(60)).collect();
            let told = BTreeSet::new();
            roots.push(root.clone());
            let project = Project { root, attached: false, names, told, readable: true, heard: None };
            life.projects.insert(id, project);
        }
        roots.iter().for_each(|root| self.ask(Via::Host, attach(root)));
        if let Some(offline) = plan.offline_once {
            self.after(Duration::from_secs(3600), Coming::NetworkDown(offline));
        }
        if let Some(sleep) = plan.suspend_once {
            self.after(Duration::from_secs(600), Coming::Suspend(sleep));
        }
        if plan.life {
            self.after(Duration::from_secs(60), Coming::Life);
        }
    }

    pub fn run(mut self) -> Totals {
        let end = Mono::ZERO + self.host.plan.length;
        loop {
            let own = self.coming.keys().next().map(|(at, _)| *at);
            let Some(next) = self.host.next().into_iter().chain(own).min() else { break };
            if next > end || self.host.exited {
                break;
            }
            let now = self.now();
            self.host.clock.advance(next.since(now));
            match own {
                Some(at) if at <= self.now() => {
                    let (_, coming) = self.coming.pop_first().unwrap();
                    self.happen(coming);
                }
                _ => self.host.step(),
            }
            // Workers fail when all that is asked for once at the start has been done.
            if self.now().since(Mono::ZERO) >= FAULTS_FROM {
                self.host.faults = self.host.plan.faults();
            }
            self.look();
        }
        self.host.script.totals.turns = self.host.turns;
        self.host.script.totals
    }

    fn now(&self) -> Mono {
        self.host.mono()
    }

    fn after(&mut self, wait: Duration, coming: Coming) {
        self.serial += 1;
        self.coming.insert((self.now() + wait, self.serial), coming);
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Life => self.live(),
            Coming::NetworkDown(length) => {
                for n in 0..self.host.hosts.len() {
                    self.host_down(n, length);
                }
            }
            Coming::HostDown(n, length) => self.host_down(n, length),
            Coming::HostUp(n) => {
                let now = Some(self.now());
                self.host.hosts[n] = Host { up: true, chance_since: now, back_since: now };
            }
            Coming::Suspend(length) => {
                self.host.totals.suspended += 1;
                // What ends in a sleep is renewed after it.
                self.host.cloud.slept();
                self.host.clock.suspend(length);
                self.slept = self.now();
                self.host.turn(None);
            }
        }
    }

    fn host_down(&mut self, n: usize, length: Duration) {
        let life = &mut self.host.script;
        if !life.hosts[n].up {
            return;
        }
        life.hosts[n] = Host::default();
        life.sites.values_mut().filter(|s| s.host == Some(n)).for_each(|s| s.healthy_since = None);
        self.after(length, Coming::HostUp(n));
    }

    /// Something that people, agents or machines do.
    fn live(&mut self) {
        let life = &mut self.host.script;
        let n = life.rng.below(life.plan.projects as u64);
        let id = Id::from(format!("{n:08x}"));
        let via = Via::Project(id.clone());
        match life.rng.below(126) {
            0..20 => self.ask(via, Request::Sync),
            20..35 => {
                const WORDS: [&str; 6] = ["", "", "team_0", "Same", "nobody", "team_3"];
                let team = WORDS[life.rng.below(6) as usize].to_string();
                self.ask(via, Request::TeamSync(TeamSyncAsk { team }));
            }
            35..45 => {
                let team_ids = (0..3).map(|_| format!("team_{}", life.rng.below(7))).collect();
                self.ask(via, Request::Heartbeat(Box::new(Heartbeat { team_ids, ..Heartbeat::default() })));
            }
            45..47 => self.ask(via, Request::Doctor),
            47..49 => {
                let progress = life.rng.chance(50);
                self.ask(via, Request::TriggerGc(TriggerGcAsk { progress }));
            }
            49..50 => life.cloud.live(&mut life.rng),
            50..58 => self.checkouts_asked(&via),
            58..63 => self.ask(via, Request::Stop),
            63..75 => {
                let root = life.projects[&id].root.clone();
                self.ask(Via::Host, attach(&root));
            }
            75..85 => {
                let team = life.rng.below(life.plan.teams as u64) as usize;
                let project = life.projects.get_mut(&id).unwrap();
                if !project.names.remove(&team) {
                    project.names.insert(team);
                }
                self.after(LOAD_MAX, Coming::Life);
            }
            85..87 => {
                let project = life.projects.get_mut(&id).unwrap();
                project.readable = !project.readable;
            }
            87..91 => {
                let host = life.rng.below(life.hosts.len() as u64) as usize;
                let length = life.rng.up_to(Duration::from_secs(4 * 3600));
                self.after(Duration::ZERO, Coming::HostDown(host, length));
            }
            91..93 => {
                let length = life.rng.up_to(Duration::from_secs(8 * 3600));
                self.after(Duration::ZERO, Coming::NetworkDown(length));
            }
            93..95 => life.lose_clones(),
            95..97 => self.restart(),
            97..100 => {
                let length = life.rng.up_to(Duration::from_secs(8 * 3600));
                self.after(Duration::ZERO, Coming::Suspend(length));
            }
            100..120 => self.agent_at_work(&id),
            _ => self.relay_lives(),
        }
        // What comes in a burst meets what is still in progress.
        let rng = &mut self.host.script.rng;
        let most = if rng.chance(50) { 30 } else { 4 * 3600 };
        let pause = rng.up_to(Duration::from_secs(most));
        if self.coming.values().filter(|c| matches!(c, Coming::Life)).count() == 0 {
            self.after(pause, Coming::Life);
        }
    }

    /// Somebody logs in or out at the relay's server, or asks for the relay; events come in; the link says something.
    fn relay_lives(&mut self) {
        let rng = &mut self.host.script.rng;
        match rng.below(8) {
            0 => self.host.script.relay_user = rng.below(5),
            1 => self.ask(Via::Host, Request::RelayStatus),
            2 => self.ask(Via::Host, Request::RelayReload),
            3 => self.ask(Via::Host, Request::RelayFlush),
            4 => self.ask(Via::Host, Request::RelayStop),
            5 => self.host.event(hooks::Event::Taken(hooks::Came::All { new: true })),
            _ => {
                use RelayState::{Backoff, Connected, HttpFallback, NeedsLogin};
                let state = [Backoff, Connected, HttpFallback, NeedsLogin][rng.below(4) as usize];
                let (queue_events, acked_total) = (rng.below(3) as i64, rng.below(1000) as i64);
                let dropped_total = rng.below(3) as i64;
                let status =
                    RelayStatus { state, queue_events, acked_total, dropped_total, ..RelayStatus::default() };
                let run = self.host.link().unwrap_or_else(|| self.host.rng.below(10));
                self.host.event(relay::Event::Link(run, Box::new(status)));
            }
        }
    }

    /// An agent says that it is there, and does something: it murmurs, asks what came in, or changes files.
    fn agent_at_work(&mut self, id: &Id) {
        let (via, now) = (Via::Project(id.clone()), self.now());
        let life = &mut self.host.script;
        let n = life.rng.below(life.plan.agents);
        let agent_id = format!("Ox{n:04}");
        let parent_pid = i64::try_from(100 + n).unwrap();
        let beat = Heartbeat { agent_id: agent_id.clone(), parent_pid, ..Heartbeat::default() };
        self.ask(via.clone(), Request::Heartbeat(Box::new(beat)));
        let life = &mut self.host.script;
        let project = life.projects.get_mut(id).unwrap();
        if !project.attached {
            return;
        }
        project.heard = Some(now);
        let root = project.root.clone();
        let watched = life.trees.iter().find(|(_, (path, _))| *path == root).map(|(root, _)| *root);
        let watched = watched.unwrap_or_else(|| panic!("{id} is not watched although {agent_id} is at work"));
        match life.rng.below(4) {
            0 => {
                let target_dir = format!("/clones/{}", Key::Ledger(id.clone()));
                self.ask(via, Request::Murmur(Box::new(Murmur { target_dir, ..Murmur::default() })));
            }
            1 => self.ask(via, Request::Whispers(WhispersAsk { agent_id, ..WhispersAsk::default() })),
            2 => {
                let (who, paused) = (AgentRef { agent_id }, life.rng.chance(50));
                self.ask(via, if paused { Request::MurmurPause(who) } else { Request::MurmurResume(who) });
            }
            _ => self.host.event(trees::Event::Pulse(watched, Pulse { span: (now, now), lost: None })),
        }
    }

    /// Several at once, so that slots fill; some for the same path.
    fn checkouts_asked(&mut self, via: &Via) {
        for _ in 0..=self.host.script.rng.below(5) {
            let repo_path = format!("/home/a/checkout-{}", self.host.script.rng.below(6));
            let checkout = Checkout { repo_path, clone_url: "u".into(), repo_type: "ledger".into() };
            self.ask(via.clone(), Request::Checkout(checkout));
        }
    }

    /// The process is killed, and another one serves what this one served.
    fn restart(&mut self) {
        let life = &mut self.host.script;
        life.totals.restarted += 1;
        life.cloud.restart();
        life.slimming = None;
        life.checkouts.clear();
        life.trees.clear();
        for site in life.sites.values_mut() {
            site.forget();
            site.work.clear();
        }
        let seed = life.rng.next_u64();
        let mut again = Vec::new();
        for project in life.projects.values_mut() {
            project.heard = None;
            if std::mem::take(&mut project.attached) {
                again.push(project.root.clone());
            }
        }
        let identity = identity(&life.plan);
        self.host.restart_as(identity, seed);
        for root in again {
            self.host.event(projects::Event::Reattach(root));
        }
    }

    fn ask(&mut self, via: Via, request: Request) {
        // Nothing listens where nobody is served.
        if !matches!(&via, Via::Project(id) if !self.host.projects[id].attached) {
            self.host.ask(via, request);
        }
    }

    /// The issue about the login is there exactly while the server has not taken the one that is stored.
    fn look_at_login(&self, called: CallOutcome) {
        for id in self.host.projects.iter().filter(|(_, p)| p.attached).map(|(id, _)| id) {
            let has = self.host.core.issues(id).contains(&IssueKind::AuthExpiring);
            match called {
                _ if !self.host.comes_from_server(id) => assert!(!has, "{id} has no login"),
                CallOutcome::Fine => assert!(!has, "{id}: the login works"),
                CallOutcome::Unauthorized => {
                    assert!(has, "{id}: nobody is told that the login does not work")
                }
                _ => {}
            }
        }
    }

    /// Issues are there while there is a reason, and no longer.
    fn look_at_issues(&self) {
        for (id, project) in self.host.projects.iter().filter(|(_, p)| p.attached) {
            let mut used = project.told.iter().map(|n| &self.host.sites[&team_key(*n)]);
            let ledger = &self.host.sites[&Key::Ledger(id.clone())];
            if ledger.failures == 0 && used.all(|s| s.failures == 0) {
                let issues = self.host.core.issues(id);
                assert!(!issues.contains(&IssueKind::SyncBackoff), "{id} has {issues:?} without a failure");
            }
        }
    }

    /// Promises that hold after every step.
    fn look(&mut self) {
        let now = self.now();
        if let Some(called) = self.host.script.called.take() {
            self.look_at_login(called);
        }
        if let Some(key) = self.host.script.up_to_date.take() {
            self.look_at_issues();
            assert!(self.host.sites[&key].relayed, "{key} is up to date and its murmurs were not taken in");
        }
        if let Some(at) = self.host.core.next_deadline() {
            assert!(at >= now || self.host.exited, "a deadline was left in the past");
        }
        for (conn, open) in &self.host.open {
            let waits = now.since(open.since);
            let most = match (open.long, self.host.plan.few_workers) {
                (true, _) => (SLOT_WAIT + SLIM_MAX + ANSWER_MAX) * 12,
                (false, true) => ANSWER_MAX * 2,
                // A run may wait for the end of another's probe, and for a gc of the clone.
                (false, false) => ANSWER_MAX + SLOT_WAIT + SLIM_MAX + Duration::from_secs(600),
            };
            assert!(waits <= most, "{conn:?} has waited {waits:?}");
        }
        for site in self.host.sites.values() {
            self.host.look_at_site(now, site);
        }
        let somebody = self.host.projects.iter().any(|(id, p)| p.attached && self.host.comes_from_server(id));
        let somebody = somebody && self.host.projects[&*Id::from("00000001")].readable;
        let wall = self.host.clock.now();
        self.host.cloud.look(wall, somebody);
        let attached = self.host.projects.values().filter(|p| p.attached).count();
        assert_eq!(attached, self.host.core.served(), "the core serves what it says it serves");
        self.look_at_keys();
        self.look_at_trees(now);
        let size = self.host.core.size();
        let most = 6 * self.host.core.clones().count()
            + (8 + 2 * self.host.plan.agents as usize + 8) * attached
            + 2 * self.host.open.len()
            + 4 * self.host.hosts.len()
            + 20;
        assert!(size <= most, "the core has grown to {size} entries");
    }

    /// Watched are trees of served projects in which somebody was at work not long ago, and no others.
    fn look_at_trees(&self, now: Mono) {
        for (path, _) in self.host.trees.values() {
            let project = self.host.projects.values().find(|p| p.root == *path).unwrap();
            assert!(project.attached, "{path:?} is watched and its project not served");
            let heard = project.heard.expect("a tree is watched in which nobody is at work");
            let idle = now.since(heard.max(self.slept));
            assert!(idle <= TREE_MAX, "{path:?} is watched although nobody was at work for {idle:?}");
        }
    }

    /// Kept up to date is what some attached project names, and nothing else.
    fn look_at_keys(&self) {
        let attached = self.host.projects.iter().filter(|(_, p)| p.attached);
        let mut named = BTreeSet::new();
        for (id, project) in attached {
            named.insert(Key::Ledger(id.clone()));
            named.extend(project.told.iter().map(|n| team_key(*n)));
        }
        assert!(
            self.host.core.clones().eq(named.iter()),
            "kept up to date: {:?}",
            self.host.core.clones().collect::<Vec<_>>()
        );
    }
}

impl Script for Life {
    fn attach(&mut self, root: &Path, served: &BTreeMap<Id, PathBuf>) -> (Duration, AttachEnd) {
        let (id, project) = self.projects.iter().find(|(_, p)| p.root == root).unwrap();
        let (id, names) = (id.clone(), project.names.clone());
        let end = if served.contains_key(&id) {
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
                loaded: self.named(&names),
                errors: Default::default(),
                root: root.to_path_buf(),
                id: id.clone(),
            };
            self.projects.get_mut(&id).unwrap().told = names;
            AttachEnd::Ready(Box::new(found))
        };
        (self.rng.up_to(Duration::from_millis(50)), end)
    }

    fn load(&mut self, id: &Id) -> (Duration, Option<Loaded>) {
        let project = &self.projects[id];
        let loaded = project.readable.then(|| self.named(&project.names));
        let most = if self.rng.chance(10) { LOAD_MAX } else { Duration::from_millis(50) };
        (self.rng.up_to(most), loaded)
    }

    fn archive(&mut self, _: Now, _: &Id) -> Looked {
        match self.rng.below(10) {
            0 => Looked::Failed("the disk is full".into()),
            1 => Looked::Off,
            2 => Looked::Done { more: true, next: None },
            3 => Looked::Done { more: false, next: None },
            _ => Looked::Done { more: false, next: Some(self.rng.up_to(Duration::from_secs(5 * 24 * 3600))) },
        }
    }

    fn sync(&mut self, now: Now, job: &JobId, forced: bool) -> (Duration, Outcome) {
        let (key, now) = (&job.key, now);
        self.totals.syncs += 1;
        let reachable = self.reaches(key);
        let from_server = matches!(key, Key::Ledger(id) if self.comes_from_server(id));
        let refused = reachable && from_server && !self.cloud.lets_in(now.wall);
        let site = self.sites.get_mut(key).unwrap();
        site.begins(now.mono, job.run, false);
        let queued = site.queued_since.take().map_or(SLOT_WAIT, |since| now.mono.since(since));
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
        (wait, self.outcome(key, end, wait))
    }

    fn clone(&mut self, now: Now, job: &JobId) -> (Duration, Outcome) {
        let key = &job.key;
        let reachable = self.reaches(key);
        let site = self.sites.get_mut(key).unwrap();
        site.begins(now.mono, job.run, true);
        let queued = now.mono.since(site.queued_since.take().expect("a clone is part of a run"));
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
        (wait, self.outcome(key, end, wait))
    }

    fn gc(&mut self, job: &JobId, asked: bool) -> (Duration, Result<Option<Reclone>, Failure>) {
        self.gc_begins(job);
        let result = match self.rng.below(10) {
            _ if !self.sites[&job.key].cloned => Ok(None),
            0 => Err(Failure::new(Class::Disk, "no room")),
            1 => Ok(Some(Reclone::Refused(Refusal::Busy))),
            2 => Ok(Some(Reclone::Refused(Refusal::Unquiet))),
            3..7 if !asked => Ok(None),
            _ => Ok(Some(Reclone::Maintained { before: 2, after: 1 })),
        };
        (self.rng.up_to(if self.plan.life { SLIM_MAX } else { Duration::from_secs(1) }), result)
    }

    fn check_path(&mut self, key: &Key, checkout: &Checkout) -> (Duration, Result<CheckoutResult, String>) {
        // One may have waited for a slot in vain before.
        let before = self.checkouts.insert(key.clone(), false);
        assert!(before != Some(true), "{key} is looked at while it is made");
        let path = checkout.repo_path.clone();
        let result = match self.rng.below(10) {
            0 => Err("refused".to_string()),
            n => Ok(CheckoutResult { path, already_exists: n == 1, cloned: false }),
        };
        if !result.as_ref().is_ok_and(|r| !r.already_exists) {
            self.checkouts.remove(key);
        }
        (self.rng.up_to(Duration::from_millis(50)), result)
    }

    fn checkout(&mut self, key: &Key, checkout: &Checkout) -> (Duration, Result<CheckoutResult, String>) {
        assert!(self.checkouts.insert(key.clone(), true) != Some(true), "{key} is cloned twice");
        self.look_at_slots();
        let path = checkout.repo_path.clone();
        let result = match self.rng.below(10) {
            0 => Err("failed".to_string()),
            _ => Ok(CheckoutResult { path, already_exists: false, cloned: true }),
        };
        (self.rng.up_to(CLONE_MAX), result)
    }

    fn revoke(&mut self, key: &Key) -> (Duration, Option<String>) {
        panic!("{key}: no server names teams here")
    }

    fn save_backoff(&mut self, state: &Path, saved: Option<&Saved>) {
        let site = self.sites.values_mut().find(|s| state_of(&s.key) == state).unwrap();
        let failures = saved.map_or(0, |s| s.failures);
        assert_eq!(failures, site.failures, "{}: failures in a row", site.key);
        site.saved = saved.cloned();
    }

    fn ask(&mut self, now: Now, effect: &accounts::Effect) -> Duration {
        if let accounts::Effect::AskRepos { endpoint } = effect {
            assert_eq!(endpoint, ENDPOINT);
            self.cloud.ask(now.wall);
        }
        self.rng.up_to(RUN_MAX)
    }

    fn save_account(&mut self, account: &Account) {
        self.cloud.save(account);
    }

    fn check(&mut self, all: &[Findable]) -> Vec<(Id, Finding)> {
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

    fn probe(&mut self, pid: u32) -> Seen {
        self.totals.probed += 1;
        // Processes of agents end now and then.
        if self.rng.below(200) == 0 { Seen::Gone } else { Seen::Lives(Some(StartedAt(u64::from(pid)))) }
    }

    fn scan(&mut self, root: RootId, task: &Task) -> Option<(Duration, Option<Report>)> {
        let (_, scanning) = self.trees.get_mut(&root).expect("a tree that is not watched is scanned");
        assert!(!std::mem::replace(scanning, true), "a tree is scanned twice at once");
        self.totals.scanned += 1;
        let report = Report { baseline: matches!(task, Task::Scan { add: true }), ..report(&[]) };
        Some((self.rng.up_to(Duration::from_secs(3)), Some(report)))
    }

    fn relay_account(&mut self, _: Now) -> Result<RelayAccount, relay::Off> {
        match self.relay_user {
            0 => Err(relay::Off::Disabled),
            1 => Err(relay::Off::LoggedOut),
            n => Ok(RelayAccount::new("https://relay.example", &n.to_string())),
        }
    }

    fn fed(&mut self, _: Now, _: bool) -> Result<relay::Fed, String> {
        let more = match self.rng.below(4) {
            0 => relay::More::Unsettled,
            1 => relay::More::Settled,
            2 => return Err("the disk is full".into()),
            _ => relay::More::None,
        };
        Ok(relay::Fed { new: self.rng.below(3), more, queued: self.rng.below(3) })
    }

    fn relay(&mut self, key: &Key) -> (Duration, bool) {
        self.sites.get_mut(key).unwrap().relayed = true;
        self.totals.relayed += 1;
        (self.rng.up_to(Duration::from_secs(2)), !self.rng.chance(5))
    }

    fn murmur(&mut self, _: &Key) -> Option<(Duration, bool)> {
        self.totals.murmured += 1;
        Some((self.rng.up_to(Duration::from_millis(50)), !self.rng.chance(10)))
    }

    fn answered(&mut self, waited: Duration) {
        self.totals.answered += 1;
        self.totals.longest_answer = self.totals.longest_answer.max(waited);
    }

    fn done(&mut self, now: Now, effect: &Effect) {
        match effect {
            Effect::Projects(projects::Effect::Serve { id, .. }) => {
                let project = self.projects.get_mut(id).unwrap();
                assert!(!std::mem::replace(&mut project.attached, true), "{id} is served twice");
            }
            Effect::Projects(projects::Effect::Detach { id, .. }) => {
                self.totals.detached += 1;
                let project = self.projects.get_mut(id).unwrap();
                assert!(std::mem::take(&mut project.attached), "{id} is not served");
                project.heard = None;
            }
            Effect::Clones(clones::Effect::Drop(key)) => {
                let site = self.sites.get_mut(key).unwrap();
                let host = site.host.filter(|_| !site.work.is_empty());
                site.forget();
                // It is cancelled, and ends soon.
                self.slimming = self.slimming.take().filter(|(slimmed, _)| slimmed != key);
                self.tells_nothing(now.mono, host);
            }
            Effect::Whispers(whispers::Effect::Maintain { .. }) => {
                self.sites.values_mut().for_each(|site| site.relayed = false);
            }
            Effect::Trees(trees::Effect::Watch { root, path }) => {
                assert!(self.trees.values().all(|(watched, _)| watched != path), "{path:?} is watched twice");
                self.trees.insert(*root, (path.clone(), false));
            }
            Effect::Trees(trees::Effect::Forget { root, .. }) => {
                assert!(self.trees.remove(root).is_some(), "{root:?} is not watched");
            }
            _ => {}
        }
    }

    fn not_begun(&mut self, now: Now, effect: &Effect, event: &Event) {
        self.totals.unstarted += 1;
        let no_worker = matches!(event, Event::Clones(clones::Event::NoWorker(_)));
        match effect {
            Effect::Clones(clones::Effect::Sync { job, .. } | clones::Effect::Clone { job, .. }) => {
                let cloning = matches!(effect, Effect::Clones(clones::Effect::Clone { .. }));
                let site = self.sites.get_mut(&job.key).unwrap();
                (site.queued_since, site.last_sign) = (None, Some(now.mono));
                if !no_worker {
                    site.begins(now.mono, job.run, cloning);
                }
                let host = site.host;
                self.tells_nothing(now.mono, host);
            }
            Effect::Clones(clones::Effect::Gc { job, .. }) if !no_worker => self.gc_begins(job),
            Effect::Clones(clones::Effect::Checkout { job, .. }) => drop(self.checkouts.remove(&job.key)),
            Effect::Whispers(whispers::Effect::Relay { key, .. }) => {
                self.sites.get_mut(key).unwrap().relayed = true;
            }
            Effect::Trees(trees::Effect::Scan { root, .. }) => {
                self.trees.get_mut(root).expect("a tree that is not watched is scanned").1 = true;
            }
            _ => {}
        }
    }

    fn arrives(&mut self, now: Now, event: &mut Event) {
        self.ended(now.mono, event);
        match event {
            Event::Projects(projects::Event::Loaded(all)) => {
                for (id, loaded) in all.iter_mut().filter_map(|(id, loaded)| Some((id, loaded.as_mut()?))) {
                    let named = loaded.teams[&Source::Config].iter();
                    let names = named.map(|t| t.id.trim_start_matches("team_").parse().unwrap()).collect();
                    // What is stored for the server is what it is now.
                    **loaded = self.loaded(id, &names);
                    let project = self.projects.get_mut(id).unwrap();
                    if project.attached {
                        project.told = names;
                    }
                }
            }
            Event::Projects(projects::Event::AttachEnded { end: AttachEnd::Ready(found), .. }) => {
                let names = self.projects[&found.id].told.clone();
                found.loaded = self.loaded(&found.id, &names);
            }
            Event::Accounts(accounts::Event::ReposAsked { called, changed, .. }) if self.cloud.is_asked() => {
                *called = self.cloud.answer(now, &mut self.rng);
                *changed = *called == CallOutcome::Fine;
                self.totals.renewed += u64::from(*called == CallOutcome::Fine);
                self.totals.logged_out += u64::from(*called == CallOutcome::Unauthorized);
                self.called = Some(*called);
            }
            Event::Accounts(accounts::Event::LedgerAsked { called, answer: Some(answer), .. }) => {
                let n = self.rng.below(4);
                let ledger = (n > 1).then(|| "https://git0.example/x.git".to_string());
                *called = if n > 1 { CallOutcome::Fine } else { CallOutcome::Pending };
                *answer = ServerAnswer { ledger, read_only: n == 3, teams: None };
            }
            Event::Whispers(whispers::Event::Relayed { key, failed: Some(_) }) => {
                self.sites.get_mut(key).unwrap().relayed = false;
            }
            Event::Trees(trees::Event::Scanned(root, _)) => {
                if let Some((_, scanning)) = self.trees.get_mut(root) {
                    *scanning = false;
                }
            }
            _ => {}
        }
    }
}

impl Life {
    fn gc_begins(&mut self, job: &JobId) {
        let key = &job.key;
        let site = self.sites.get_mut(key).unwrap();
        assert!(
            site.work.values().all(|w| w.dropped),
            "{key} is made smaller while something else is done to it"
        );
        assert!(self.slimming.is_none(), "{key} is made smaller beside {:?}", self.slimming);
        site.work.insert(job.run, Work { cloning: true, dropped: false });
        self.slimming = Some((key.clone(), job.run));
        self.look_at_slots();
    }

    /// Somebody deletes clones.
    fn lose_clones(&mut self) {
        for site in self.sites.values_mut() {
            if self.rng.chance(50) {
                (site.cloned, site.healthy_since) = (false, None);
            }
        }
    }

    /// What a project's files say of its teams. Two of them have the same name.
    fn named(&self, names: &BTreeSet<usize>) -> Loaded {
        let team = |n: &usize| TeamRef {
            id: format!("team_{n}"),
            name: if *n < 2 { "Same".into() } else { format!("Team {n}") },
            ..TeamRef::default()
        };
        Loaded {
            slug: "local".into(),
            primary: names.first().map(|n| format!("team_{n}")).unwrap_or_default(),
            teams: BTreeMap::from([(Source::Config, names.iter().map(team).collect())]),
            ..Loaded::default()
        }
    }

    /// The same with what is known of clones and of the server at this moment.
    fn loaded(&self, id: &Id, names: &BTreeSet<usize>) -> Loaded {
        let clones = names.iter().map(|n| (format!("team_{n}"), self.sites[&team_key(*n)].known()));
        Loaded {
            ledger: Some(self.sites[&Key::Ledger(id.clone())].known()),
            clones: clones.collect(),
            endpoint: self.comes_from_server(id).then(|| ENDPOINT.to_string()),
            cloud: self.comes_from_server(id).then(|| self.cloud.view()),
            ..self.named(names)
        }
    }

    /// In a life with everything the second project of three comes from a server.
    fn comes_from_server(&self, id: &Id) -> bool {
        self.plan.life && **id == *"00000001"
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
        (wait, End::UpToDate(Change { pulled, files_in: u64::from(pulled), ..Change::default() }))
    }

    fn outcome(&self, key: &Key, end: End, took: Duration) -> Outcome {
        let facts = Facts { head: "0".repeat(40), ..Facts::default() };
        Outcome { place: Some(self.sites[key].place()), facts: Some(facts), end, took }
    }

    /// An attempt that may have been the one that finds out about the host has told nothing.
    fn tells_nothing(&mut self, now: Mono, host: Option<usize>) {
        if let Some(host) = host.map(|n| &mut self.hosts[n]).filter(|h| h.up) {
            host.chance_since = Some(now);
        }
    }

    /// Notes what the end of a piece of work means, before the core hears of it.
    fn ended(&mut self, now: Mono, event: &Event) {
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
        let site = self.sites.get_mut(key).unwrap();
        match end {
            End::PutAside(_) => site.cloned = false,
            End::UpToDate(_) if of_clone => {
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
                self.tells_nothing(now, host);
            }
            End::UpToDate(_) => {
                self.up_to_date = Some(key.clone());
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
                self.tells_nothing(now, host);
            }
            End::Failed(failure) => {
                site.healthy_since = None;
                match failure.class {
                    Class::Network if host.is_some() => site.waits_since = Some(now),
                    _ => site.failures += 1,
                }
                self.tells_nothing(now, host);
            }
        }
    }

    fn look_at_slots(&self) {
        let works = self.sites.values().flat_map(|s| s.work.values());
        let clones = works.filter(|w| w.cloning).count() + self.checkouts.values().filter(|c| **c).count();
        assert!(clones <= SLOTS, "{clones} clones at once");
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
            // The interval with its jitter, once more for each skipped run, a breaker that another's trouble has closed, a run, a worker.
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
