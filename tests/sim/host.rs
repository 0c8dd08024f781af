//! A host that performs nothing: it answers every effect of the core as a script says, on a simulated clock. Simulation, exact tests and
//! issue tests all run on it, so that a new part takes part in all of them by being listed here.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use ox::agents::kept::Kept;
use ox::agents::manager::{self, Ended};
use ox::daemon::parts::accounts::ServerAnswer;
use ox::daemon::parts::projects::{AttachEnd, Findable, Finding};
use ox::daemon::parts::{
    accounts, agents, archive, clones, hooks, presence, projects, records, relay, sessions, trees, upkeep,
    whispers,
};
use ox::daemon::{Core, Effect, Event, Id, Identity, JobId, Key, Via};
use ox::ipc::wire::{Checkout, CheckoutResult};
use ox::ipc::{ConnId, Request};
use ox::kit::Class;
use ox::kit::clock::{Clock, Mono, Now, SimClock};
use ox::kit::process::Seen;
use ox::kit::rng::Rng;
use ox::relay::account::Account as RelayAccount;
use ox::sessions::Name;
use ox::sync::account::{Account, CallOutcome};
use ox::sync::reclone::Reclone;
use ox::sync::{End, Failure, Loaded, Outcome, Saved};
use ox::watch::{Report, RootId, Task};

/// What any quick piece of work takes.
pub const QUICK: Duration = Duration::from_millis(1);
const WALL: i64 = 1_780_000_000;

/// What comes of work, and when. Where a script says nothing all is well at once.
pub trait Script {
    fn attach(&mut self, root: &Path, served: &BTreeMap<Id, PathBuf>) -> (Duration, AttachEnd);
    fn load(&mut self, id: &Id) -> (Duration, Option<Loaded>);
    fn sync(&mut self, now: Now, job: &JobId, forced: bool) -> (Duration, Outcome);
    fn clone(&mut self, now: Now, job: &JobId) -> (Duration, Outcome);

    fn gc(&mut self, _job: &JobId, _asked: bool) -> (Duration, Result<Option<Reclone>, Failure>) {
        (QUICK, Ok(None))
    }

    fn check_path(&mut self, _key: &Key, checkout: &Checkout) -> (Duration, Result<CheckoutResult, String>) {
        let path = checkout.repo_path.clone();
        (QUICK, Ok(CheckoutResult { path, already_exists: false, cloned: false }))
    }

    fn checkout(&mut self, _key: &Key, checkout: &Checkout) -> (Duration, Result<CheckoutResult, String>) {
        let path = checkout.repo_path.clone();
        (QUICK, Ok(CheckoutResult { path, already_exists: false, cloned: true }))
    }

    fn revoke(&mut self, _key: &Key) -> (Duration, Option<String>) {
        (QUICK, None)
    }

    fn save_backoff(&mut self, _state: &Path, _saved: Option<&Saved>) {}

    /// A server is asked; what it says is known when [`Script::arrives`] is asked.
    fn ask(&mut self, _now: Now, _effect: &accounts::Effect) -> Duration {
        QUICK
    }

    fn save_account(&mut self, _account: &Account) {}

    fn check(&mut self, _all: &[Findable]) -> Vec<(Id, Finding)> {
        Vec::new()
    }

    fn probe(&mut self, _pid: u32) -> Seen {
        Seen::Gone
    }

    /// `None` if the test says itself what a scan finds.
    fn scan(&mut self, _root: RootId, _task: &Task) -> Option<(Duration, Option<Report>)> {
        None
    }

    /// What is recorded in a project.
    fn recorded(&mut self, _id: &Id) -> Vec<sessions::Recorded> {
        Vec::new()
    }

    /// `None` if the test says itself what a step came to.
    fn step(&mut self, _id: &Id, _name: &str) -> Option<sessions::Stepped> {
        None
    }

    /// What a look for transcripts that are due came to.
    fn archive(&mut self, _now: Now, _id: &Id) -> archive::Looked {
        archive::Looked::Off
    }

    /// Whether agents' events are taken in.
    fn takes_events(&mut self) -> bool {
        false
    }

    /// What keeps agents' hooks from being as they should be.
    fn hook_problems(&mut self) -> Vec<hooks::Problem> {
        Vec::new()
    }

    /// What storing the spool comes to.
    fn taken(&mut self, _now: Now) -> hooks::Came {
        hooks::Came::All { new: false }
    }

    /// What reading transcripts for events comes to.
    fn imported(&mut self, _now: Now) -> hooks::Came {
        hooks::Came::All { new: false }
    }

    /// What was spent before this process.
    fn kept(&mut self) -> Kept {
        Kept::default()
    }

    /// What a look for sessions that are to be finished comes to.
    fn work(&mut self, _now: Now, _places: &[agents::Place]) -> agents::Looked {
        agents::Looked::default()
    }

    /// How a run of background work ends. `None` if the test says itself when.
    fn work_run(
        &mut self,
        _now: Now,
        _place: &agents::Place,
        _name: &Name,
        _with_agent: bool,
    ) -> Option<(Duration, Ended)> {
        None
    }

    /// Whose events are to be sent to a server.
    fn relay_account(&mut self, _now: Now) -> Result<RelayAccount, relay::Off> {
        Err(relay::Off::Disabled)
    }

    /// What putting events into its queue comes to.
    fn fed(&mut self, _now: Now, _all: bool) -> Result<relay::Fed, String> {
        Ok(relay::Fed { new: 0, more: relay::More::None, queued: 0 })
    }

    fn relay(&mut self, _key: &Key) -> (Duration, bool) {
        (QUICK, true)
    }

    /// Whether a murmur is one, and is kept. `None` if the test says itself when.
    fn murmur(&mut self, _key: &Key) -> Option<(Duration, bool)> {
        None
    }

    /// An effect that no event follows, or one that changes what else is true.
    fn done(&mut self, _now: Now, _effect: &Effect) {}

    /// A job was not begun for want of a worker, or its worker dies, which the core hears as this.
    fn not_begun(&mut self, _now: Now, _effect: &Effect, _event: &Event) {}

    /// A request was answered after so long.
    fn answered(&mut self, _waited: Duration) {}

    /// An event is about to be heard; what depends on the moment is filled in.
    fn arrives(&mut self, _now: Now, _event: &mut Event) {}
}

/// What goes wrong with workers and disks, whatever the work is: in a thousand jobs so many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Find their lane full.
    pub full: u64,
    /// Die with their worker.
    pub dead: u64,
    /// Work for the disk takes up to this long more.
    pub slow_disk: Duration,
    /// Events that the core may miss do not come.
    pub lost: u64,
}

/// A request that was not answered yet.
#[derive(Debug)]
pub struct Open {
    pub since: Mono,
    /// Several clones, one after the other.
    pub long: bool,
    pub project: Option<Id>,
}

pub struct FakeHost<S> {
    pub core: Core,
    pub clock: SimClock,
    pub script: S,
    pub faults: Faults,
    pub rng: Rng,
    /// All that the core wanted, and when, if that is kept.
    pub wanted: Vec<(Duration, Effect)>,
    pub keeps_wanted: bool,
    /// Requests not answered yet.
    pub open: BTreeMap<ConnId, Open>,
    pub exited: bool,
    pub turns: u64,
    coming: BTreeMap<(Mono, u64), Event>,
    serial: u64,
    /// The relay's links that have not ended: one at most.
    links: Vec<u64>,
    /// Print every event and effect: for one seed.
    trace: bool,
}

impl<S> Deref for FakeHost<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.script
    }
}

impl<S> DerefMut for FakeHost<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.script
    }
}

impl<S: Script> FakeHost<S> {
    pub fn with(script: S, identity: Identity, seed: u64) -> FakeHost<S> {
        let clock = SimClock::new(Timestamp::from_second(WALL).unwrap());
        let mut host = FakeHost {
            core: Core::new(identity, clock.now(), seed),
            clock,
            script,
            faults: Faults::default(),
            rng: Rng::new(seed ^ 0x5EED),
            wanted: Vec::new(),
            keeps_wanted: false,
            open: BTreeMap::new(),
            exited: false,
            turns: 0,
            coming: BTreeMap::new(),
            serial: 0,
            links: Vec::new(),
            trace: std::env::var_os("OX_SIM_TRACE").is_some(),
        };
        // What a new core wants before anything has happened.
        host.turn(None);
        host
    }

    /// Another process begins; nobody waits for what the last one did.
    pub fn restart_as(&mut self, identity: Identity, seed: u64) {
        self.coming.clear();
        self.links.clear();
        self.open.clear();
        self.core = Core::new(identity, self.clock.now(), seed);
        self.turn(None);
    }

    pub fn mono(&self) -> Mono {
        self.clock.now().mono
    }

    pub fn now(&self) -> Duration {
        self.mono().since(Mono::ZERO)
    }

    /// When something happens next by itself.
    pub fn next(&self) -> Option<Mono> {
        let coming = self.coming.keys().next().map(|(at, _)| *at);
        self.core.next_deadline().into_iter().chain(coming).min()
    }

    /// Has happen what is next at this moment.
    pub fn step(&mut self) {
        let due = self.coming.first_entry().filter(|e| e.key().0 <= self.clock.now().mono);
        match due.map(|entry| entry.remove()) {
            Some(event) => self.event(event),
            None => self.turn(None),
        }
    }

    /// Lets `length` pass.
    pub fn pass(&mut self, length: Duration) {
        let end = self.mono() + length;
        while let Some(next) = self.next().filter(|at| *at <= end) {
            self.clock.advance(next.since(self.mono()));
            self.step();
        }
        self.clock.advance(end.since(self.mono()));
    }

    /// The core hears of it now.
    pub fn event(&mut self, event: impl Into<Event>) {
        let mut event = event.into();
        self.script.arrives(self.clock.now(), &mut event);
        self.turn(Some(event));
    }

    pub fn after(&mut self, wait: Duration, event: impl Into<Event>) {
        self.serial += 1;
        self.coming.insert((self.mono() + wait, self.serial), event.into());
    }

    /// Somebody asks; answered exactly once, unless it is of those that have no answer.
    pub fn ask(&mut self, via: Via, request: Request) -> ConnId {
        self.serial += 1;
        let conn = ConnId::simulated(self.serial);
        let one_way = matches!(
            request,
            Request::Heartbeat(_)
                | Request::Murmur(_)
                | Request::MurmurPause(_)
                | Request::MurmurResume(_)
                | Request::SessionFinalize(_)
                | Request::SessionWatchStart(_)
                | Request::SessionWatchStop(_)
        );
        if !one_way {
            let long = matches!(request, Request::TriggerGc(_));
            let project = if let Via::Project(id) = &via { Some(id.clone()) } else { None };
            self.open.insert(conn, Open { since: self.mono(), long, project });
        }
        self.event(Event::Request { conn, via, caller: String::new(), request });
        conn
    }

    pub fn turn(&mut self, event: Option<Event>) {
        self.turns += 1;
        let now = self.clock.now();
        if self.trace && event.is_some() {
            eprintln!("{:>12.3} {event:?}", now.mono.as_nanos() as f64 / 1e9);
        }
        for effect in self.core.turn(now, event) {
            if self.trace {
                eprintln!("{:>12.3}   -> {effect:?}", now.mono.as_nanos() as f64 / 1e9);
            }
            self.perform(&effect);
            if self.keeps_wanted {
                self.wanted.push((now.mono.since(Mono::ZERO), effect));
            }
        }
    }

    fn perform(&mut self, effect: &Effect) {
        let now = self.clock.now();
        if let Some(event) = self.fault(effect) {
            self.script.not_begun(now, effect, &event);
            return self.after(Duration::ZERO, event);
        }
        match effect {
            Effect::Reply(conn, _) => self.answered(*conn),
            Effect::Progress(conn, _) => {
                assert!(self.open.contains_key(conn), "progress after the answer");
            }
            Effect::Exit { .. } => self.exited = true,
            Effect::Projects(effect) => self.of_projects(effect),
            Effect::Clones(effect) => self.of_clones(effect),
            Effect::Accounts(effect) => self.of_accounts(effect),
            Effect::Presence(presence::Effect { id, pids }) => {
                let seen = pids.iter().map(|pid| (*pid, self.script.probe(*pid))).collect();
                let wait = QUICK + self.disk();
                self.after(wait, presence::Event { id: id.clone(), seen });
            }
            Effect::Records(records::Effect::SaveErrors { .. } | records::Effect::WriteHeartbeats { .. })
            | Effect::Upkeep(upkeep::Effect::TidyUp) => {}
            Effect::Whispers(effect) => self.of_whispers(effect),
            Effect::Trees(effect) => match effect {
                trees::Effect::Watch { .. } | trees::Effect::Forget { .. } => {}
                trees::Effect::Scan { root, task } => {
                    if let Some((wait, report)) = self.script.scan(*root, task) {
                        let wait = wait + self.disk();
                        self.after(wait, trees::Event::Scanned(*root, report.map(Box::new)));
                    }
                }
            },
            Effect::Sessions(effect) => self.of_sessions(effect),
            Effect::Hooks(effect) => {
                let wait = QUICK + self.disk();
                match effect {
                    hooks::Effect::Ask(conn, _) => {
                        let response = ox::ipc::wire::Response::ok();
                        self.after(wait, hooks::Event::Answered { conn: *conn, response, changed: true });
                    }
                    hooks::Effect::Look => {
                        let on = self.script.takes_events();
                        let problems = self.script.hook_problems();
                        self.after(wait, hooks::Event::Looked(on, problems));
                    }
                    hooks::Effect::Take => {
                        let came = self.script.taken(now);
                        self.after(wait, hooks::Event::Taken(came));
                    }
                    hooks::Effect::Import => {
                        let came = self.script.imported(now);
                        self.after(wait, hooks::Event::Imported(came));
                    }
                    hooks::Effect::Watch(_) | hooks::Effect::Keep => {}
                }
            }
            Effect::Agents(effect) => self.of_agents(now, effect),
            Effect::Relay(effect) => self.of_relay(now, effect),
            Effect::Archive(archive::Effect::Look(id, _)) => {
                let (looked, wait) = (self.script.archive(now, id), QUICK + self.disk());
                self.after(wait, archive::Event::Looked(id.clone(), looked));
            }
        }
        self.script.done(now, effect);
    }

    fn of_agents(&mut self, now: Now, effect: &agents::Effect) {
        let wait = QUICK + self.disk();
        match effect {
            agents::Effect::Load => {
                let kept = self.script.kept();
                self.after(wait, agents::Event::Loaded(kept));
            }
            agents::Effect::Look(places) => {
                let looked = self.script.work(now, places);
                self.after(wait, agents::Event::Looked(Some(looked)));
            }
            agents::Effect::Run { run, place, name, with_agent, .. } => {
                if let Some((wait, ended)) = self.script.work_run(now, place, name, *with_agent) {
                    self.after(wait, agents::Event::Ended(*run, ended));
                }
            }
            agents::Effect::Keep(_) => {}
        }
    }

    /// The relay's link, if there is one.
    pub fn link(&self) -> Option<u64> {
        self.links.first().copied()
    }

    /// The relay's link ends by itself.
    pub fn end_link(&mut self, why: &str) {
        for run in std::mem::take(&mut self.links) {
            self.event(relay::Event::Ended(run, Some(why.to_owned())));
        }
    }

    fn of_relay(&mut self, now: Now, effect: &relay::Effect) {
        let wait = QUICK + self.disk();
        match effect {
            relay::Effect::Look => {
                let found = self.script.relay_account(now);
                self.after(wait, relay::Event::Looked(found));
            }
            relay::Effect::Feed { all, .. } => {
                let fed = self.script.fed(now, *all);
                self.after(wait, relay::Event::Fed(fed));
            }
            relay::Effect::Open(run, _) => {
                assert!(self.links.is_empty(), "a second link");
                self.links.push(*run);
            }
            relay::Effect::Close => {
                for run in std::mem::take(&mut self.links) {
                    self.after(wait, relay::Event::Ended(run, None));
                }
            }
            relay::Effect::Tell(conn, status) => {
                let response = ox::ipc::wire::Response::data(status);
                self.after(wait, relay::Event::Told(*conn, response));
            }
            relay::Effect::Wake | relay::Effect::Login | relay::Effect::LetGo => {}
        }
    }

    fn of_sessions(&mut self, effect: &sessions::Effect) {
        let wait = QUICK + self.disk();
        match effect {
            sessions::Effect::Look(id, ..) => {
                let found = self.script.recorded(id);
                self.after(wait, sessions::Event::Found(id.clone(), Some(found)));
            }
            sessions::Effect::Step { id, name, .. } => {
                if let Some(came) = self.script.step(id, name) {
                    self.after(wait, sessions::Event::Stepped(id.clone(), name.clone(), came));
                }
            }
            sessions::Effect::Close(_) | sessions::Effect::Watch { .. } => {}
        }
    }

    fn of_projects(&mut self, effect: &projects::Effect) {
        match effect {
            projects::Effect::ReplyStop(conn, via) => {
                self.answered(*conn);
                self.after(QUICK, projects::Event::StopAnswered(via.clone()));
            }
            projects::Effect::Attach { root, served } => {
                let (wait, end) = self.script.attach(root, served);
                let wait = wait + self.disk();
                self.after(wait, projects::Event::AttachEnded { root: root.clone(), end });
            }
            projects::Effect::Detach { id, .. } => {
                let waits = self.open.values().any(|o| o.project.as_ref() == Some(id));
                assert!(!waits, "{id} is detached and a request to it not answered");
            }
            projects::Effect::Load(all) => {
                let mut wait = self.disk();
                let mut loaded = Vec::new();
                for one in all {
                    let (takes, says) = self.script.load(&one.id);
                    wait += takes;
                    loaded.push((one.id.clone(), says.map(Box::new)));
                }
                self.after(wait, projects::Event::Loaded(loaded));
            }
            projects::Effect::Check(all) => {
                let findings = self.script.check(all);
                let wait = QUICK + self.disk();
                self.after(wait, projects::Event::Checked(findings));
            }
            projects::Effect::Serve { .. }
            | projects::Effect::Remember(_)
            | projects::Effect::CheckSocket(_) => {}
        }
    }

    fn of_clones(&mut self, effect: &clones::Effect) {
        let now = self.clock.now();
        match effect {
            clones::Effect::Sync { job, ask, .. } => {
                let (wait, outcome) = self.script.sync(now, job, ask.forced);
                self.after(wait, clones::Event::Synced { job: job.clone(), outcome });
            }
            clones::Effect::Clone { job, .. } => {
                let (wait, outcome) = self.script.clone(now, job);
                self.after(wait, clones::Event::Cloned { job: job.clone(), outcome });
            }
            clones::Effect::Gc { job, asked, .. } => {
                let (wait, result) = self.script.gc(job, *asked);
                self.after(wait, clones::Event::GcEnded { job: job.clone(), result });
            }
            clones::Effect::CheckPath { key, checkout } => {
                let (wait, result) = self.script.check_path(key, checkout);
                let wait = wait + self.disk();
                self.after(wait, clones::Event::PathChecked { key: key.clone(), result });
            }
            clones::Effect::Checkout { job, checkout, .. } => {
                let (wait, result) = self.script.checkout(&job.key, checkout);
                self.after(wait, clones::Event::CheckedOut { key: job.key.clone(), result });
            }
            clones::Effect::Revoke { key, .. } => {
                let (wait, kept) = self.script.revoke(key);
                self.after(wait, clones::Event::Revoked { key: key.clone(), kept });
            }
            clones::Effect::SaveBackoff { state, saved } => self.script.save_backoff(state, saved.as_ref()),
            clones::Effect::Drop(_)
            | clones::Effect::Environment(..)
            | clones::Effect::Watch(..)
            | clones::Effect::Flush { .. } => {}
        }
    }

    fn of_accounts(&mut self, effect: &accounts::Effect) {
        let now = self.clock.now();
        match effect {
            accounts::Effect::AskRepos { endpoint } => {
                let (wait, endpoint) = (self.script.ask(now, effect), endpoint.clone());
                self.after(
                    wait,
                    accounts::Event::ReposAsked { endpoint, called: CallOutcome::Fine, changed: false },
                );
            }
            accounts::Effect::AskLedger { endpoint, repo_id } => {
                let (endpoint, repo_id) = (endpoint.clone(), repo_id.clone());
                let answer = Some(ServerAnswer::default());
                let event =
                    accounts::Event::LedgerAsked { endpoint, repo_id, called: CallOutcome::Pending, answer };
                let wait = self.script.ask(now, effect);
                self.after(wait, event);
            }
            accounts::Effect::Save { account, .. } => self.script.save_account(account),
        }
    }

    fn of_whispers(&mut self, effect: &whispers::Effect) {
        match effect {
            whispers::Effect::TellChanges { key, changes, .. } => {
                // A job of a lane ends in any case.
                let (wait, told) = match self.script.murmur(key) {
                    Some((wait, true)) => (wait, whispers::NoteOutcome::Kept),
                    Some((wait, false)) => (wait, whispers::NoteOutcome::Failed),
                    None => return,
                };
                let wait = wait + self.disk();
                let (key, changes) = (key.clone(), changes.clone());
                self.after(wait, whispers::Event::ChangesTold { key, told, changes, uncommitted: false });
            }
            whispers::Effect::Murmur { key, .. } => {
                if let Some((wait, true)) = self.script.murmur(key)
                    && !self.is_lost()
                {
                    let wait = wait + self.disk();
                    self.after(wait, whispers::Event::Murmured(key.clone()));
                }
            }
            whispers::Effect::Relay { key, relay } => {
                let (wait, done) = self.script.relay(key);
                let failed = (!done).then(|| relay.removed_since.clone());
                self.after(wait, whispers::Event::Relayed { key: key.clone(), failed });
            }
            whispers::Effect::Pending { conn, id, ask, .. } => {
                self.answered(*conn);
                if !self.is_lost() {
                    let event =
                        whispers::Event::Delivered { id: id.clone(), agent: ask.agent.clone(), any: true };
                    self.after(QUICK, event);
                }
            }
            whispers::Effect::History { conn, .. } => self.answered(*conn),
            whispers::Effect::PauseNudges { .. }
            | whispers::Effect::Nudge { .. }
            | whispers::Effect::TellActivity { .. }
            | whispers::Effect::WritePlaces
            | whispers::Effect::Maintain { .. } => {}
        }
    }

    fn answered(&mut self, conn: ConnId) {
        let open = self.open.remove(&conn).expect("a request was answered twice, or one that has no answer");
        let waited = self.mono().since(open.since);
        self.script.answered(waited);
    }

    fn is_lost(&mut self) -> bool {
        self.faults.lost > 0 && self.rng.below(1000) < self.faults.lost
    }

    /// What a disk takes more than it should.
    fn disk(&mut self) -> Duration {
        match self.faults.slow_disk {
            Duration::ZERO => Duration::ZERO,
            // Most of the time it is quick.
            slow => {
                if self.rng.below(20) == 0 {
                    self.rng.up_to(slow)
                } else {
                    Duration::ZERO
                }
            }
        }
    }

    /// What the core hears of a job whose lane is full, or whose worker dies: what the real host tells then.
    fn fault(&mut self, effect: &Effect) -> Option<Event> {
        let Faults { full, dead, .. } = self.faults;
        if full + dead == 0 {
            return None;
        }
        let chance = self.rng.below(1000);
        let is_full = chance < full;
        if !is_full && chance >= full + dead {
            return None;
        }
        let text = || if is_full { "busy: workers".to_string() } else { "internal error".to_string() };
        let bug = || Failure::new(Class::Bug, "internal error");
        let outcome = || Outcome { place: None, facts: None, end: End::Failed(bug()), took: Duration::ZERO };
        Some(match effect {
            Effect::Clones(
                clones::Effect::Sync { job, .. }
                | clones::Effect::Clone { job, .. }
                | clones::Effect::Gc { job, .. }
                | clones::Effect::Checkout { job, .. },
            ) if is_full => clones::Event::NoWorker(job.clone()).into(),
            Effect::Clones(clones::Effect::Sync { job, .. }) => {
                clones::Event::Synced { job: job.clone(), outcome: outcome() }.into()
            }
            Effect::Clones(clones::Effect::Clone { job, .. }) => {
                clones::Event::Cloned { job: job.clone(), outcome: outcome() }.into()
            }
            Effect::Clones(clones::Effect::Gc { job, .. }) => {
                clones::Event::GcEnded { job: job.clone(), result: Err(bug()) }.into()
            }
            Effect::Clones(clones::Effect::Checkout { job, .. }) => {
                clones::Event::CheckedOut { key: job.key.clone(), result: Err(text()) }.into()
            }
            Effect::Clones(clones::Effect::CheckPath { key, .. }) => {
                clones::Event::PathChecked { key: key.clone(), result: Err(text()) }.into()
            }
            Effect::Clones(clones::Effect::Revoke { key, .. }) => {
                clones::Event::Revoked { key: key.clone(), kept: Some(text()) }.into()
            }
            Effect::Projects(projects::Effect::Attach { root, .. }) => {
                projects::Event::AttachEnded { root: root.clone(), end: AttachEnd::Failed(text()) }.into()
            }
            Effect::Projects(projects::Effect::Load(all)) => {
                projects::Event::Loaded(all.iter().map(|one| (one.id.clone(), None)).collect()).into()
            }
            Effect::Projects(projects::Effect::Check(_)) => projects::Event::Checked(Vec::new()).into(),
            Effect::Accounts(accounts::Effect::AskRepos { endpoint }) => {
                let endpoint = endpoint.clone();
                accounts::Event::ReposAsked { endpoint, called: CallOutcome::Network, changed: false }.into()
            }
            Effect::Accounts(accounts::Effect::AskLedger { endpoint, repo_id }) => {
                let (endpoint, repo_id) = (endpoint.clone(), repo_id.clone());
                accounts::Event::LedgerAsked { endpoint, repo_id, called: CallOutcome::Network, answer: None }
                    .into()
            }
            Effect::Presence(presence::Effect { id, .. }) => {
                presence::Event { id: id.clone(), seen: Vec::new() }.into()
            }
            Effect::Whispers(whispers::Effect::Relay { key, relay }) => {
                whispers::Event::Relayed { key: key.clone(), failed: Some(relay.removed_since.clone()) }
                    .into()
            }
            Effect::Whispers(whispers::Effect::TellChanges { key, changes, .. }) => {
                let (key, changes) = (key.clone(), changes.clone());
                whispers::Event::ChangesTold {
                    key,
                    told: whispers::NoteOutcome::Failed,
                    changes,
                    uncommitted: true,
                }
                .into()
            }
            Effect::Trees(trees::Effect::Scan { root, .. }) => trees::Event::Scanned(*root, None).into(),
            Effect::Agents(agents::Effect::Load) => agents::Event::Loaded(Kept::default()).into(),
            Effect::Agents(agents::Effect::Keep(_)) => return None,
            Effect::Agents(agents::Effect::Look(_)) => agents::Event::Looked(None).into(),
            Effect::Agents(agents::Effect::Run { run, .. }) => {
                let ended = Ended { end: manager::End::Failed, error: text(), exit_code: 0, cost: None };
                agents::Event::Ended(*run, ended).into()
            }
            Effect::Relay(relay::Effect::Look) => {
                relay::Event::Looked(Err(relay::Off::Unknown(text()))).into()
            }
            Effect::Relay(relay::Effect::Feed { .. }) => relay::Event::Fed(Err(text())).into(),
            Effect::Relay(relay::Effect::Open(run, _)) => relay::Event::Ended(*run, Some(text())).into(),
            Effect::Relay(relay::Effect::Tell(conn, _)) => {
                relay::Event::Told(*conn, ox::ipc::wire::Response::error(text())).into()
            }
            Effect::Sessions(sessions::Effect::Look(id, ..)) => {
                sessions::Event::Found(id.clone(), None).into()
            }
            Effect::Sessions(sessions::Effect::Step { id, name, .. }) => {
                sessions::Event::Stepped(id.clone(), name.clone(), sessions::Stepped::Failed(text())).into()
            }
            Effect::Hooks(hooks::Effect::Ask(conn, _)) => {
                let response = ox::ipc::wire::Response::error(text());
                hooks::Event::Answered { conn: *conn, response, changed: false }.into()
            }
            Effect::Hooks(hooks::Effect::Look) => hooks::Event::Looked(false, Vec::new()).into(),
            Effect::Hooks(hooks::Effect::Take) => hooks::Event::Taken(hooks::Came::Failed(text())).into(),
            Effect::Hooks(hooks::Effect::Import) => {
                hooks::Event::Imported(hooks::Came::Failed(text())).into()
            }
            Effect::Archive(archive::Effect::Look(id, _)) => {
                archive::Event::Looked(id.clone(), archive::Looked::Failed(text())).into()
            }
            // Nobody hears of these either way, or they are no work.
            Effect::Reply(..)
            | Effect::Progress(..)
            | Effect::Exit { .. }
            | Effect::Projects(_)
            | Effect::Clones(_)
            | Effect::Accounts(_)
            | Effect::Records(_)
            | Effect::Whispers(_)
            | Effect::Trees(_)
            | Effect::Relay(_)
            | Effect::Sessions(_)
            | Effect::Hooks(_)
            | Effect::Upkeep(_) => return None,
        })
    }
}

/// Where a clone's state lies.
pub fn state_of(key: &Key) -> PathBuf {
    PathBuf::from(format!("/state/{key}"))
}
