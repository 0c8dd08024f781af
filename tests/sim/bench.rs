//! A core on a bench: everything it wants is answered at once and in full, unless a test says otherwise; what it wanted stands in a list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ox::agents::kept::Kept;
use ox::agents::manager::{self, Ended};
use ox::daemon::parts::projects::{AttachEnd, Attachable};
use ox::daemon::parts::{agents, archive, clones, hooks, projects, relay, sessions};
use ox::daemon::{Effect, Handover, Id, Identity, JobId, Key, Periods, Via};
use ox::ipc::wire::{Checkout, CheckoutResult, Heartbeat, Response, TeamSyncAsk, decode};
use ox::ipc::{ConnId, Request};
use ox::kit::Class;
use ox::kit::clock::Now;
use ox::kit::process::{Seen, StartedAt};
use ox::relay::account::Account as RelayAccount;
use ox::sessions::Name;
use ox::sync::{
    Change, CloneInfo, End, Facts, Failure, Known, Loaded, Outcome, Saved, Source, TeamRef, Timing,
};

pub use super::host::QUICK;
use super::host::{FakeHost, Script, state_of};

/// A core on a bench.
pub type Bench = FakeHost<Steady>;

/// How the next run of a clone ends, once.
#[derive(Clone)]
pub enum Run {
    /// Like this.
    Ends(End),
    /// It is up to date, and this is known of it.
    Knows(Facts),
    /// There is no clone, and making one comes to this.
    Clones(End),
}

/// All is well, but for what a test says.
pub struct Steady {
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
    /// How the next run of a clone ends.
    pub next_run: BTreeMap<Key, Run>,
    pub sync_takes: Duration,
    pub clone_takes: Duration,
    pub load_takes: Duration,
    pub interval: Duration,
    pub idle_timeout: Duration,
    pub team_interval: Option<Duration>,
    /// What all projects' files say, if they do not say what [`Bench::says`] was told.
    pub loaded: Option<Loaded>,
    saved: BTreeMap<PathBuf, Saved>,
    /// Processes that live, and when they started.
    pub processes: BTreeMap<u32, u64>,
    /// What is recorded in all projects.
    pub recorded: Vec<sessions::Recorded>,
    /// What the next looks for transcripts come to, the last of them from then on.
    pub looked: Vec<archive::Looked>,
    /// Whether agents' events are taken in.
    pub takes_events: bool,
    /// What was spent before this process.
    pub kept: Kept,
    /// What a look for sessions that are to be finished comes to.
    pub work: agents::Looked,
    /// How each run of background work ends; where there is none, the test says so.
    pub work_ends: Option<(Duration, Ended)>,
    /// What keeps agents' hooks from being as they should be.
    pub hook_problems: Vec<hooks::Problem>,
    /// What storing the spool comes to.
    pub taken: hooks::Came,
    /// Whose events are to be sent to a server.
    pub relays: Result<RelayAccount, relay::Off>,
    /// What putting events into its queue comes to.
    pub fed: Result<relay::Fed, String>,
}

impl Script for Steady {
    fn attach(&mut self, root: &Path, _: &BTreeMap<Id, PathBuf>) -> (Duration, AttachEnd) {
        (QUICK, AttachEnd::Ready(Box::new(self.found(root))))
    }

    fn load(&mut self, id: &Id) -> (Duration, Option<Loaded>) {
        (self.load_takes, Some(self.loaded(id)))
    }

    fn sync(&mut self, _: Now, job: &JobId, _: bool) -> (Duration, Outcome) {
        let key = &job.key;
        let up_to_date = End::UpToDate(self.change.clone());
        let (wait, end, facts) = match self.next_run.get(key).cloned() {
            Some(Run::Ends(end)) => (self.sync_takes, end, Facts::default()),
            Some(Run::Knows(facts)) => (self.sync_takes, up_to_date, facts),
            Some(Run::Clones(_)) => return (QUICK, self.outcome(key, End::NoClone)),
            None if self.missing.contains(key) => (QUICK, End::NoClone, Facts::default()),
            None => (self.sync_takes, self.sync_fails.map_or(up_to_date, failed), Facts::default()),
        };
        self.next_run.remove(key);
        let facts = (!matches!(end, End::NoClone)).then_some(facts);
        (wait, Outcome { facts, ..self.outcome(key, end) })
    }

    fn clone(&mut self, _: Now, job: &JobId) -> (Duration, Outcome) {
        let key = &job.key;
        let end = match self.next_run.remove(key) {
            Some(Run::Clones(end)) => end,
            _ => self.clone_fails.map_or(End::UpToDate(Change::default()), failed),
        };
        if matches!(end, End::UpToDate(_)) {
            self.missing.remove(key);
        }
        (self.clone_takes, self.outcome(key, end))
    }

    fn checkout(&mut self, _: &Key, checkout: &Checkout) -> (Duration, Result<CheckoutResult, String>) {
        let path = checkout.repo_path.clone();
        (self.clone_takes, Ok(CheckoutResult { path, already_exists: false, cloned: true }))
    }

    fn save_backoff(&mut self, state: &Path, saved: Option<&Saved>) {
        match saved {
            Some(saved) => self.saved.insert(state.to_path_buf(), saved.clone()),
            None => self.saved.remove(state),
        };
    }

    fn recorded(&mut self, _: &Id) -> Vec<sessions::Recorded> {
        self.recorded.clone()
    }

    fn archive(&mut self, _: Now, _: &Id) -> archive::Looked {
        if self.looked.len() > 1 { self.looked.remove(0) } else { self.looked[0].clone() }
    }

    fn takes_events(&mut self) -> bool {
        self.takes_events
    }

    fn hook_problems(&mut self) -> Vec<hooks::Problem> {
        self.hook_problems.clone()
    }

    fn kept(&mut self) -> Kept {
        self.kept.clone()
    }

    fn work(&mut self, _: Now, places: &[agents::Place]) -> agents::Looked {
        let mut looked = self.work.clone();
        looked.found.retain(|found| places.iter().any(|place| place.id == found.id));
        looked
    }

    fn work_run(&mut self, _: Now, place: &agents::Place, name: &Name, _: bool) -> Option<(Duration, Ended)> {
        let ends = self.work_ends.clone()?;
        if ends.1.end == manager::End::Done {
            self.work.found.retain(|found| found.id != place.id || found.name != *name);
        }
        Some(ends)
    }

    fn taken(&mut self, _: Now) -> hooks::Came {
        self.taken.clone()
    }

    fn relay_account(&mut self, _: Now) -> Result<RelayAccount, relay::Off> {
        self.relays.clone()
    }

    fn fed(&mut self, _: Now, _: bool) -> Result<relay::Fed, String> {
        self.fed.clone()
    }

    fn probe(&mut self, pid: u32) -> Seen {
        self.processes.get(&pid).map_or(Seen::Gone, |at| Seen::Lives(Some(StartedAt(*at))))
    }
}

impl Bench {
    pub fn new() -> Bench {
        let steady = Steady {
            projects: BTreeMap::new(),
            missing: BTreeSet::new(),
            host: None,
            sync_fails: None,
            clone_fails: None,
            change: Change::default(),
            next_run: BTreeMap::new(),
            sync_takes: QUICK,
            clone_takes: QUICK,
            load_takes: QUICK,
            interval: Duration::from_secs(60),
            idle_timeout: Duration::ZERO,
            team_interval: None,
            loaded: None,
            saved: BTreeMap::new(),
            processes: BTreeMap::new(),
            recorded: Vec::new(),
            looked: vec![archive::Looked::Off],
            takes_events: false,
            kept: Kept::default(),
            work: agents::Looked::default(),
            work_ends: None,
            hook_problems: Vec::new(),
            taken: hooks::Came::All { new: false },
            relays: Err(relay::Off::Disabled),
            fed: Ok(relay::Fed { new: 0, more: relay::More::None, queued: 0 }),
        };
        let mut bench = FakeHost::with(steady, identity(), 1);
        bench.keeps_wanted = true;
        bench
    }

    /// Another process begins; what the last one left on disk is there.
    pub fn restart(&mut self) {
        self.restart_with(Handover::default());
    }

    /// As [`Bench::restart`], after a process that made way.
    pub fn restart_with(&mut self, handover: Handover) {
        self.restart_as(Identity { handover, ..identity() }, 2);
        for root in self.projects.keys().map(root_of).collect::<Vec<_>>() {
            self.event(projects::Event::Reattach(root));
        }
    }

    /// What a project's files say from now on.
    pub fn says(&mut self, project: &str, teams: &[&str]) {
        self.projects.insert(Id::from(project), teams.iter().map(ToString::to_string).collect());
    }

    /// Attaches a project that names these teams.
    pub fn attach(&mut self, project: &str, teams: &[&str]) {
        self.says(project, teams);
        self.event(projects::Event::Reattach(root_of(&Id::from(project))));
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
}

impl Steady {
    fn found(&self, root: &Path) -> Attachable {
        let id = self.projects.keys().find(|id| root_of(id) == root).unwrap().clone();
        Attachable {
            repo_id: format!("repo_{id}"),
            socket: PathBuf::from(format!("/run/{id}.sock")),
            timing: Timing { interval: self.interval, debounce: Duration::from_millis(500) },
            team_interval: self.team_interval.unwrap_or(self.interval),
            idle_timeout: self.idle_timeout,
            loaded: self.loaded(&id),
            errors: Default::default(),
            root: root.to_path_buf(),
            id,
        }
    }

    fn loaded(&self, id: &Id) -> Loaded {
        if let Some(loaded) = &self.loaded {
            return loaded.clone();
        }
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

    fn place(&self, key: &Key) -> CloneInfo {
        CloneInfo {
            path: PathBuf::from(format!("/clones/{key}")),
            url: "https://git.example/x.git".into(),
            host: self.host.clone(),
            exists: !self.missing.contains(key),
            read_only: false,
            state: state_of(key),
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
