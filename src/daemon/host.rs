//! The core's shell: its thread, its inbox, and the workers that do what it wants done.

mod trees;
mod whispers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;

use super::beats::BeatFile;
use super::bind::{self, Socket};
use super::core::Core;
use super::event::{AttachEnd, Door, Effect, Event, Findable, Finding, Id, Key, RunId, Said, SyncedAt};
use super::instance::{Held, Instance};
use super::ledgers::Ledgers;
use super::registry::{Entry, Registry};
use super::restart::Passed;
use super::whisper_work::Desk;
use crate::health::StoredErrors;
use crate::health::beats::{self, Line};
use crate::ipc::listen::PathState;
use crate::ipc::wire::{Checkout, CheckoutResult, Message, Progress, Response, Served};
use crate::ipc::{Inbound, ListenerId, ListenerSpec, ServerHandle};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::clock::Now;
use crate::kit::file;
use crate::kit::gotime::GoTime;
use crate::kit::memory;
use crate::kit::pool::{Full, Pool, PoolConfig};
use crate::kit::process::{self, Seen};
use crate::kit::thread::{STACK_LARGE, STACK_SMALL};
use crate::project::{Dirs, Endpoint, LocalConfig, LocalTeam, Project};
use crate::sync::account::{Account, Called};
use crate::sync::api::{Access, Notes, RepoTeam};
use crate::sync::checkout::{self, Spot, Wanted};
use crate::sync::cloud::{self, Cloud, Looked};
use crate::sync::reclone::Reclone;
use crate::sync::{self, Ask, End, Failure, Loaded, Outcome, Saved, Site, Stores, Target, TeamRef};
use crate::watch::RootId;
use trees::Eyes;

/// Requests and progress lines that may wait for the core; a further request is answered `busy`.
pub const INBOX: usize = 1024;
/// Results of workers that may wait for the core. A worker with one more waits.
const RESULTS: usize = 256;
/// Jobs that may wait for a worker.
const QUEUE: usize = 512;
/// After this long the core looks again even without a deadline.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// At the end running work is given this long.
const WORKERS_END: Duration = Duration::from_secs(5);

/// Types that a project's socket serves.
pub const PROJECT_SERVES: Served = Served::of(&[
    Message::Status,
    Message::Sync,
    Message::TeamSync,
    Message::SyncHistory,
    Message::Checkout,
    Message::Doctor,
    Message::TriggerGc,
    Message::Heartbeat,
    Message::Instances,
    Message::Sessions,
    Message::GetErrors,
    Message::MarkErrors,
    Message::Murmur,
    Message::MurmurPause,
    Message::MurmurResume,
    Message::Whispers,
    Message::WhisperHistory,
    Message::Stop,
]);
/// Types that the host's socket serves.
pub const HOST_SERVES: Served = Served::of(&[Message::Attach, Message::Projects, Message::Stop]);

/// What wakes the core's thread.
pub enum Wake {
    /// A request.
    Ipc(Inbound),
    /// Anything else.
    Event(Box<Event>),
}

impl From<Inbound> for Wake {
    fn from(inbound: Inbound) -> Wake {
        Wake::Ipc(inbound)
    }
}

/// The file that remembers which projects are served, for the next start after an unclean end.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Attached {
    /// The process ended in order.
    pub clean: bool,
    /// Directories of the served projects.
    pub projects: Vec<PathBuf>,
}

impl Attached {
    /// Reads the file; a missing or broken one remembers nothing.
    pub fn load(path: &Path) -> Attached {
        const FILE_MAX: usize = 4 << 20;
        let bytes = file::read_capped(path, FILE_MAX).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(Attached { clean: true, projects: Vec::new() })
    }

    /// Replaces the file.
    pub fn save(&self, path: &Path) {
        let written =
            serde_json::to_vec(self).map_err(Into::into).and_then(|b| file::write_atomic(path, &b, 0o600));
        if let Err(e) = written {
            log::warn!("{}: {e}", path.display());
        }
    }
}

/// Listeners and what is recorded of them.
struct Listening {
    id: ListenerId,
    entry: Entry,
    cancel: Cancel,
}

/// The core's shell.
pub struct Host {
    core: Core,
    site: Site,
    server: ServerHandle,
    inbox: Receiver<Wake>,
    inbox_tx: Sender<Wake>,
    results: Receiver<Event>,
    results_tx: Sender<Event>,
    git: Pool,
    clone: Pool,
    job: Pool,
    registry: Registry,
    host_listener: ListenerId,
    /// Held for life.
    instance: Arc<Instance>,
    /// Sockets that are bound and recorded but not served yet.
    ready: Arc<Mutex<BTreeMap<Id, Socket>>>,
    listening: BTreeMap<Id, Listening>,
    watcher: Arc<Mutex<Ledgers>>,
    /// Made when the first directory is to be watched.
    eyes: Option<Eyes>,
    /// Trees that were watched until the end.
    last_trees: Vec<RootId>,
    /// What is to be written down of accounts, by endpoint.
    accounts: Arc<Mutex<BTreeMap<String, Account>>>,
    /// What is to be written down of stored errors.
    errors: Arc<Mutex<BTreeMap<Id, StoredErrors>>>,
    desk: Desk,
    /// Ends calls to servers, and looking after what lies around.
    asking: Cancel,
    /// Ends what runs for a clone.
    cancels: BTreeMap<Key, Cancel>,
    remembered: Arc<Mutex<Vec<PathBuf>>>,
    /// The core has said that this is the last turn.
    ending: bool,
    /// Projects whose records are taken back when all workers have ended.
    forgotten: Vec<(Entry, SyncedAt)>,
}

impl Host {
    /// A shell around `core`, whose requests come in at `inbox`.
    ///
    /// # Errors
    /// A pool could not be made.
    pub fn new(
        core: Core,
        site: Site,
        server: ServerHandle,
        (host_listener, instance): (ListenerId, Instance),
        (inbox_tx, inbox): (Sender<Wake>, Receiver<Wake>),
    ) -> std::io::Result<Host> {
        let pool =
            |name, threads, stack| Pool::new(PoolConfig { name, threads, queue: QUEUE, stack, fixed: false });
        let (results_tx, results) = bounded(RESULTS);
        let registry = Registry::at(site.dirs.registry());
        Ok(Host {
            core,
            server,
            inbox,
            inbox_tx,
            results,
            results_tx,
            git: pool("git", 4, STACK_LARGE)?,
            clone: pool("clone", 3, STACK_LARGE)?,
            job: pool("job", 2, STACK_LARGE)?,
            registry,
            host_listener,
            instance: Arc::new(instance),
            ready: Arc::default(),
            listening: BTreeMap::new(),
            watcher: Arc::default(),
            eyes: None,
            last_trees: Vec::new(),
            accounts: Arc::default(),
            errors: Arc::default(),
            desk: Desk::new(site.clone()),
            asking: Cancel::new(),
            cancels: BTreeMap::new(),
            remembered: Arc::default(),
            ending: false,
            forgotten: Vec::new(),
            site,
        })
    }

    /// Runs until the core wants to exit; answers what is to be left to the program that then runs anew, if it does.
    pub fn run(&mut self) -> Option<Passed> {
        let mut event = None;
        loop {
            let now = self.site.clock.now();
            let mut effects = self.pulses(now);
            effects.extend(self.core.turn(now, event.take()));
            let exit =
                effects.iter().find_map(|e| if let Effect::Exit { again } = e { Some(again) } else { None });
            let exit = exit.cloned();
            self.ending = exit.is_some();
            effects.into_iter().for_each(|effect| self.perform(effect));
            if let Some(again) = exit {
                return again;
            }
            event = self.wait(now);
        }
    }

    fn wait(&self, now: Now) -> Option<Event> {
        let wait = self.core.next_deadline().map_or(WAIT_MAX, |at| at.since(now.mono)).min(WAIT_MAX);
        select! {
            recv(self.results) -> event => event.ok(),
            recv(self.inbox) -> wake => match wake {
                Ok(Wake::Event(event)) => Some(*event),
                Ok(Wake::Ipc(inbound)) => self.request(inbound),
                Err(_) => None,
            },
            default(wait) => None,
        }
    }

    fn request(&self, inbound: Inbound) -> Option<Event> {
        let door = if inbound.listener == self.host_listener {
            Door::Host
        } else {
            let Some((id, _)) = self.listening.iter().find(|(_, l)| l.id == inbound.listener) else {
                // Its project was let go of while the request waited.
                self.server.reply(inbound.conn, Response::busy("project is being detached"));
                return None;
            };
            Door::Project(id.clone())
        };
        let Inbound { conn, caller_id: caller, request, .. } = inbound;
        Some(Event::Request { conn, door, caller, request })
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(conn, response) => self.server.reply(conn, response),
            Effect::ReplyStop(conn, door) => {
                let inbox = self.inbox_tx.clone();
                self.server.reply_then(conn, Response::ok(), move |_| {
                    if inbox.try_send(Wake::Event(Box::new(Event::StopAnswered(door)))).is_err() {
                        log::error!("the core's inbox is full; a stop was lost");
                    }
                });
            }
            Effect::Progress(conn, progress) => self.server.progress(conn, progress),
            Effect::Attach { root, served } => self.attach(root, served),
            Effect::Serve { id, published } => self.serve(id, published),
            Effect::Detach { id, superseded, synced } => self.detach(&id, superseded, synced),
            Effect::Remember(projects) => self.remember(projects),
            Effect::Load { id, root, told } => self.load(id, root, told),
            Effect::Sync { key, run, target, ask } => self.sync(key, run, target, ask),
            Effect::Clone { key, run, target } => self.clone(key, run, target),
            Effect::Drop(key) => {
                if let Some(cancel) = self.cancels.remove(&key) {
                    cancel.cancel();
                }
            }
            Effect::CheckPath { key, checkout } => self.check_path(key, checkout),
            Effect::Checkout { key, run, root, checkout } => self.checkout(key, run, root, checkout),
            Effect::AskRepos { endpoint } => self.ask_repos(endpoint),
            Effect::AskLedger { endpoint, repo_id } => self.ask_ledger(endpoint, repo_id),
            Effect::SaveAccount { endpoint, account } => self.save_account(&endpoint, *account),
            Effect::Revoke { key, target } => self.revoke(key, target),
            Effect::Slim { key, run, target, asked } => self.slim(key, run, target, asked),
            Effect::WriteBeats { id, slug, repo_id, lines } => {
                let dirs = self.site.dirs.clone();
                self.in_background(move || write_beats(&dirs, &id, &slug, &repo_id, &lines));
            }
            Effect::SaveErrors { id, errors } => self.save_errors(id, errors),
            Effect::Look { id, pids } => self.look(id, pids),
            Effect::Murmur { key, root, state, scope, murmur } => {
                self.murmur(key, root, state, scope, murmur);
            }
            Effect::Relay { key, relay } => self.relay(key, relay),
            Effect::Whispers { conn, id, states, ask } => self.whispers(conn, id, states, ask),
            Effect::WhisperHistory { conn, states, reader, ask } => {
                let (desk, server) = (self.desk.clone(), self.server.clone());
                self.server.work(conn, move || server.reply(conn, desk.history(&states, &reader, &ask)));
            }
            Effect::PauseNudges { state, agent, paused } => {
                self.at_desk(move |desk| desk.pause(&state, &agent, paused));
            }
            Effect::Nudge { root, state, prefix, agents } => {
                self.at_desk(move |desk| desk.nudge(&root, &state, &prefix, &agents));
            }
            Effect::SayActivity { state, text } => self.at_desk(move |desk| desk.say_activity(&state, text)),
            Effect::WatchTree { root, path } => self.watch_tree(root, path),
            Effect::ForgetTree { root, told } => self.forget_tree(root, told),
            Effect::LookAtTree { root, task } => self.look_at_tree(root, task),
            Effect::TellChanges { key, state, root, agents, changes } => {
                self.tell_changes(key, state, root, agents, *changes);
            }
            Effect::WriteMarks => {
                self.at_desk(|desk| {
                    desk.stores.write_marks(desk.now());
                    desk.stores.close_idle(desk.now());
                });
            }
            Effect::MaintainStores { states } => self.at_desk(move |desk| desk.maintain(&states)),
            Effect::TidyUp => {
                let (site, cancel) = (self.site.clone(), self.asking.clone());
                self.in_background(move || sync::tidy_up(&site, &cancel));
            }
            Effect::Rest => self.in_background(|| {
                memory::let_go_of_program_pages();
            }),
            Effect::Watch(id, path) => self.watch(&id, path),
            Effect::SaveBackoff { state, saved } => self.in_background(move || {
                if let Err(e) = Saved::save(&state, saved.as_ref()) {
                    log::warn!("{}: {e}", state.display());
                }
            }),
            Effect::Check(all) => self.check(all),
            Effect::CheckSocket(id) => {
                if let Some(listening) = self.listening.get(&id) {
                    self.check_socket(listening.id, id);
                }
            }
            Effect::Flush { root, synced } => {
                let dirs = self.site.dirs.clone();
                self.in_background(move || flush(&dirs, &root, &synced));
            }
            Effect::Exit { .. } => {}
        }
    }

    /// Small work whose result nobody waits for.
    fn in_background(&self, work: impl FnOnce() + Send + 'static) {
        let done = |result: Result<(), String>| {
            if let Err(panic) = result {
                log::error!("a job panicked: {panic}");
            }
        };
        if let Err(full) = self.job.submit(work, done) {
            log::warn!("{full}; a job was left out");
        }
    }

    fn attach(&self, root: PathBuf, served: Vec<Id>) {
        let (site, registry, ready) = (self.site.clone(), self.registry.clone(), Arc::clone(&self.ready));
        let (results, at) = (self.results_tx.clone(), root.clone());
        let work = move || {
            let (end, socket) = bind::attach(&site, &registry, &at, &served);
            if let (AttachEnd::Ready(found), Some(socket)) = (&end, socket) {
                ready.lock().insert(found.id.clone(), socket);
            }
            end
        };
        let at = root.clone();
        let done = move |end: Result<AttachEnd, String>| {
            let end = end.unwrap_or_else(|panic| AttachEnd::Failed(format!("internal error: {panic}")));
            send(&results, Event::AttachEnded { root: at, end });
        };
        if let Err(full) = self.job.submit(work, done) {
            send(&self.results_tx, Event::AttachEnded { root, end: AttachEnd::Failed(full.to_string()) });
        }
    }

    fn serve(&mut self, id: Id, published: Arc<crate::ipc::Published>) {
        let Some(Socket { bound, entry }) = self.ready.lock().remove(&id) else {
            log::error!("bug: {id} is to be served and has no socket");
            return;
        };
        let workspace_id = id.to_string();
        let spec = ListenerSpec { socket: bound, workspace_id, served: PROJECT_SERVES, published };
        let listener = self.server.add_listener(spec);
        self.listening.insert(id, Listening { id: listener, entry, cancel: Cancel::new() });
    }

    fn detach(&mut self, id: &Id, superseded: bool, synced: SyncedAt) {
        let Some(listening) = self.listening.remove(id) else { return };
        listening.cancel.cancel();
        self.server.remove_listener(listening.id);
        if superseded {
            // Files at those paths now belong to the other daemon.
            return;
        }
        if self.ending {
            self.forgotten.push((listening.entry, synced));
            return;
        }
        let (site, registry, entry) = (self.site.clone(), self.registry.clone(), listening.entry);
        self.in_background(move || forget(&site, &registry, &entry, &synced));
    }

    fn remember(&self, projects: Vec<PathBuf>) {
        // The job writes what is true when it runs, so that two of them cannot end in the older state.
        *self.remembered.lock() = projects;
        let (remembered, path) = (Arc::clone(&self.remembered), self.site.dirs.attached());
        static WRITING: Mutex<()> = Mutex::new(());
        self.in_background(move || {
            let _one = WRITING.lock();
            let projects = remembered.lock().clone();
            Attached { clean: false, projects }.save(&path);
        });
    }

    fn load(&self, id: Id, root: PathBuf, told: Option<Vec<TeamRef>>) {
        let (site, results) = (self.site.clone(), self.results_tx.clone());
        let work = move || match Project::load(&root, &site.env) {
            Ok(project) => Some(sync::load(&site, &project, told.as_deref())),
            Err(e) => {
                log::warn!("{}: {e}; what was read before counts", root.display());
                None
            }
        };
        let whose = id.clone();
        let done = move |loaded: Result<Option<Loaded>, String>| {
            send(&results, Event::Loaded { id: whose, loaded: loaded.ok().flatten().map(Box::new) });
        };
        if let Err(full) = self.job.submit(work, done) {
            log::warn!("{full}; a project's files were not read again");
            send(&self.results_tx, Event::Loaded { id, loaded: None });
        }
    }

    fn sync(&mut self, key: Key, run: RunId, target: Target, ask: Ask) {
        let (site, cancel, tell) = (self.site.clone(), self.cancel_of(&key), self.teller(&key, run));
        let work = move || sync::sync(&site, &target, ask, &mut |s, p, t| tell(s, p, t), &cancel);
        let which = key.clone();
        let done = outcome_of(move |outcome| Event::Synced { key: which, run, outcome });
        self.submit(&self.git, (key, run), work, done);
    }

    fn clone(&mut self, key: Key, run: RunId, target: Target) {
        let (site, cancel, tell) = (self.site.clone(), self.cancel_of(&key), self.teller(&key, run));
        let work = move || sync::clone(&site, &target, &mut |s, p, t| tell(s, p, t), &cancel);
        let which = key.clone();
        let done = outcome_of(move |outcome| Event::Cloned { key: which, run, outcome });
        self.submit(&self.clone, (key, run), work, done);
    }

    fn check_path(&self, key: Key, asked: Checkout) {
        let (site, results) = (self.site.clone(), self.results_tx.clone());
        let work = move || match checkout::look(&site, &wanted(&asked))? {
            Spot::Taken(path) => Ok(result(&path, true, false)),
            Spot::Free(path) | Spot::Broken(path) => Ok(result(&path, false, false)),
        };
        let which = key.clone();
        let done = move |looked: Result<Result<CheckoutResult, String>, String>| {
            let result = looked.unwrap_or_else(|panic| Err(format!("internal error: {panic}")));
            send(&results, Event::PathChecked { key: which, result });
        };
        if let Err(Full(what)) = self.job.submit(work, done) {
            let result = Err(format!("busy: {what} workers"));
            send(&self.results_tx, Event::PathChecked { key, result });
        }
    }

    fn checkout(&mut self, key: Key, run: RunId, root: PathBuf, asked: Checkout) {
        let (site, cancel, tell) = (self.site.clone(), self.cancel_of(&key), self.teller(&key, run));
        let work = move || {
            let on_progress = &mut |s: &str, p: Option<u8>, t: &str| tell(s, p, t);
            let (path, made) = checkout::make(&site, &root, &wanted(&asked), on_progress, &cancel)?;
            Ok(result(&path, !made, made))
        };
        let which = key.clone();
        let done = move |made: Result<Result<CheckoutResult, String>, String>| Event::CheckedOut {
            key: which,
            result: made.unwrap_or_else(|panic| Err(format!("internal error: {panic}"))),
        };
        self.submit(&self.clone, (key, run), work, done);
    }

    /// Hands work to a pool; what it came to is told to the core.
    fn submit<T: Send + 'static>(
        &self,
        pool: &Pool,
        (key, run): (Key, RunId),
        work: impl FnOnce() -> T + Send + 'static,
        event: impl FnOnce(Result<T, String>) -> Event + Send + 'static,
    ) {
        let results = self.results_tx.clone();
        let done = move |ended: Result<T, String>| {
            if let Err(panic) = &ended {
                log::error!("a worker panicked: {panic}");
            }
            send(&results, event(ended));
        };
        if let Err(Full(what)) = pool.submit(work, done) {
            log::warn!("busy: {what} workers");
            send(&self.results_tx, Event::NoWorker { key, run });
        }
    }

    fn cancel_of(&mut self, key: &Key) -> Cancel {
        self.cancels.entry(key.clone()).or_default().clone()
    }

    /// Has a worker do something with a server; `event` is raised with what came of it, or with `failed`.
    fn ask<T: Send + 'static>(
        &self,
        endpoint: &str,
        work: impl FnOnce(&Cloud<'_>) -> T + Send + 'static,
        failed: impl FnOnce() -> T + Send + 'static,
        event: impl FnOnce(T) -> Event + Send + 'static,
    ) {
        let (site, results, cancel) = (self.site.clone(), self.results_tx.clone(), self.asking.clone());
        let endpoint = Endpoint::parse(endpoint).unwrap_or_else(Endpoint::local);
        let work = move || {
            let (http, dirs, now) = (&site.http, &site.dirs, site.clock.now().wall);
            work(&Cloud { http, dirs, endpoint: &endpoint, cancel: &cancel, now })
        };
        let shared = Arc::new(Mutex::new(Some((event, failed))));
        let mine = Arc::clone(&shared);
        let done = move |ended: Result<T, String>| {
            let Some((event, failed)) = mine.lock().take() else { return };
            send(&results, event(ended.unwrap_or_else(|_| failed())));
        };
        if self.job.submit(work, done).is_err()
            && let Some((event, failed)) = shared.lock().take()
        {
            send(&self.results_tx, event(failed()));
        }
    }

    fn ask_repos(&self, endpoint: String) {
        let work = |cloud: &Cloud<'_>| match cloud::refresh_credentials(cloud) {
            Ok(refreshed) => {
                note(&refreshed.notes);
                (Called::Fine, refreshed.changed)
            }
            Err(e) => {
                log::warn!("{}: {e}", cloud.endpoint);
                (e.called(), false)
            }
        };
        let whose = endpoint.clone();
        let event = move |(called, changed)| Event::ReposAsked { endpoint: whose, called, changed };
        self.ask(&endpoint, work, || (Called::Network, false), event);
    }

    fn ask_ledger(&self, endpoint: String, repo_id: String) {
        let wanted = repo_id.clone();
        let work = move |cloud: &Cloud<'_>| match cloud::lookup_ledger(cloud, &wanted) {
            Ok(looked) => {
                note(&looked.notes);
                (looked.called(), Some(said(&looked)))
            }
            Err(e) => {
                log::warn!("{}: where the ledger is: {e}", cloud.endpoint);
                (e.called(), None)
            }
        };
        let whose = endpoint.clone();
        let event = move |(called, said)| Event::LedgerAsked { endpoint: whose, repo_id, called, said };
        self.ask(&endpoint, work, || (Called::Network, None), event);
    }

    fn save_account(&self, endpoint: &str, account: Account) {
        let Some(endpoint) = Endpoint::parse(endpoint) else { return };
        let dirs = self.site.dirs.clone();
        // The job writes what is true when it runs, so that two of them cannot end in the older state.
        self.accounts.lock().insert(endpoint.as_str().to_string(), account);
        let newest = Arc::clone(&self.accounts);
        self.in_background(move || {
            let mut all = newest.lock();
            if let Some(account) = all.remove(endpoint.as_str())
                && let Err(e) = account.save(&dirs, &endpoint)
            {
                log::warn!("{endpoint}: {e}");
            }
        });
    }

    fn revoke(&mut self, key: Key, target: Target) {
        let (site, cancel, results) = (self.site.clone(), self.cancel_of(&key), self.results_tx.clone());
        let work = move || sync::revoke(&site, &target, &cancel).err();
        let which = key.clone();
        let done = move |kept: Result<Option<String>, String>| {
            send(&results, Event::Revoked { key: which, kept: kept.unwrap_or_else(Some) });
        };
        if self.job.submit(work, done).is_err() {
            let kept = Some("nobody was free to look at it".to_string());
            send(&self.results_tx, Event::Revoked { key, kept });
        }
    }

    fn slim(&mut self, key: Key, run: RunId, target: Target, asked: bool) {
        let (site, cancel, tell) = (self.site.clone(), self.cancel_of(&key), self.teller(&key, run));
        let watched = match &key {
            Key::Ledger(id) => Some((id.clone(), Arc::clone(&self.watcher))),
            _ => None,
        };
        let work = move || {
            let watch = |on: bool| {
                let Some((id, watcher)) = &watched else { return };
                watcher.lock().hold(id, on);
            };
            let stores = Stores { close: &mut || watch(false), open: &mut || watch(true) };
            sync::slim(&site, &target, asked, stores, &mut |s, p, t| tell(s, p, t), &cancel)
        };
        let which = key.clone();
        let done = move |ended: Result<Result<Option<Reclone>, Failure>, String>| {
            let bug = |panic| Err(Failure::new(Class::Bug, format!("internal error: {panic}")));
            Event::Slimmed { key: which, run, result: ended.unwrap_or_else(bug) }
        };
        self.submit(&self.clone, (key, run), work, done);
    }

    fn watch(&mut self, id: &Id, path: Option<PathBuf>) {
        let inbox = self.inbox_tx.clone();
        let hint = move |name: &str| {
            // A hint that finds no room is made up for by the next beat.
            drop(inbox.try_send(Wake::Event(Box::new(Event::LedgerTouched(Id::from(name))))));
        };
        let eyes = self.eyes();
        let watches = eyes.watches.clone();
        self.watcher.lock().set(watches.as_ref(), &self.site, id, path, hint);
    }

    /// A function that tells the core how far a run has come; what does not fit into the inbox is left out.
    fn teller(&self, key: &Key, run: RunId) -> impl Fn(&str, Option<u8>, &str) + Send + 'static {
        let (inbox, key) = (self.inbox_tx.clone(), key.clone());
        move |stage, percent, text| {
            let mut progress = Progress::new(stage, text);
            progress.percent = percent.map(i64::from);
            drop(inbox.try_send(Wake::Event(Box::new(Event::Progress { key: key.clone(), run, progress }))));
        }
    }

    fn save_errors(&self, id: Id, errors: StoredErrors) {
        let path = self.site.dirs.project_errors(&id);
        // The job writes what is true when it runs, so that two of them cannot end in the older state.
        self.errors.lock().insert(id.clone(), errors);
        let newest = Arc::clone(&self.errors);
        self.in_background(move || {
            let mut all = newest.lock();
            if let Some(errors) = all.remove(&id)
                && let Err(e) = errors.save(&path)
            {
                log::warn!("{}: {e}", path.display());
            }
        });
    }

    fn look(&self, id: Id, pids: Vec<u32>) {
        let results = self.results_tx.clone();
        let whose = id.clone();
        let work = move || pids.into_iter().map(|pid| (pid, process::look(pid))).collect();
        let done = move |seen: Result<Vec<(u32, Seen)>, String>| {
            send(&results, Event::Looked { id: whose, seen: seen.unwrap_or_default() });
        };
        if self.job.submit(work, done).is_err() {
            send(&self.results_tx, Event::Looked { id, seen: Vec::new() });
        }
    }

    /// Has a socket's path looked at, and bound again if it is gone.
    fn check_socket(&self, listener: ListenerId, id: Id) {
        let inbox = self.inbox_tx.clone();
        self.server.check_listener(listener, move |state: PathState| match state {
            PathState::Ours | PathState::Unknown => {}
            PathState::Rebound => log::warn!("the socket of {id} was gone; it is bound again"),
            PathState::Failed(e) => log::error!("the socket of {id} is gone: {e}"),
            PathState::Taken => {
                drop(inbox.try_send(Wake::Event(Box::new(Event::Checked(vec![(id, Finding::Superseded)])))));
            }
        });
    }

    fn check(&self, all: Vec<Findable>) {
        self.check_socket(self.host_listener, Id::from("host"));
        for (id, listening) in &self.listening {
            self.check_socket(listening.id, id.clone());
        }
        let ours = |(id, l): (&Id, &Listening)| (id.clone(), (l.entry.clone(), l.cancel.clone()));
        let ours = self.listening.iter().map(ours).collect();
        let (registry, results) = (self.registry.clone(), self.results_tx.clone());
        let (dirs, instance) = (self.site.dirs.clone(), Arc::clone(&self.instance));
        let work = move || (keeps(&instance, &dirs), look(&dirs, &registry, &all, &ours));
        let done = move |looked: Result<(bool, Vec<(Id, Finding)>), String>| {
            let (keeps, findings) = looked.unwrap_or((true, Vec::new()));
            send(&results, Event::Checked(findings));
            if !keeps {
                send(&results, Event::Quit("another daemon has the instance lock"));
            }
        };
        if self.job.submit(work, done).is_err() {
            send(&self.results_tx, Event::Checked(Vec::new()));
        }
    }

    /// Takes back everything outside the process and gives workers a last moment. False if some did not end. What was served is remembered
    /// if the program runs `again`.
    pub fn end(&mut self, again: bool) -> bool {
        self.asking.cancel();
        let detached = self.listening.values().map(|l| &l.cancel);
        detached.chain(self.cancels.values()).for_each(Cancel::cancel);
        self.listening.clear();
        // Nobody reads results any more: a worker must not wait for room.
        let results = self.results.clone();
        let drain = crate::kit::thread::spawn("drain", STACK_SMALL, move || while results.recv().is_ok() {});
        let answers = self.server.close();
        let ended = [&self.git, &self.clone, &self.job].map(|pool| pool.close(WORKERS_END));
        self.keep_trees();
        for (entry, synced) in std::mem::take(&mut self.forgotten) {
            forget(&self.site, &self.registry, &entry, &synced);
        }
        let projects = if again { self.remembered.lock().clone() } else { Vec::new() };
        Attached { clean: !again, projects }.save(&self.site.dirs.attached());
        self.desk.stores.close(self.site.clock.now());
        drop(drain);
        answers && ended.iter().all(|ended| *ended)
    }
}

/// Whether the instance lock is still ours; a deleted one is taken anew, with the directory around it.
fn keeps(instance: &Instance, dirs: &Dirs) -> bool {
    match instance.keep() {
        Ok(Held::Yes) => true,
        Ok(Held::Anew) => {
            log::warn!("somebody deleted {}; it is locked anew", dirs.daemon_lock().display());
            // The directory may have been deleted as well, and it is the current one.
            if let Err(e) = std::env::set_current_dir(dirs.data()) {
                log::warn!("{}: {e}", dirs.data().display());
            }
            true
        }
        Ok(Held::No) => false,
        Err(e) => {
            log::warn!("the instance lock cannot be looked at: {e}");
            true
        }
    }
}

/// Results are few and the core reads them whenever it waits; at the end they are drained.
fn send(results: &Sender<Event>, event: Event) {
    if results.send(event).is_err() {
        log::debug!("a result came after the end");
    }
}

/// The event that a run's outcome becomes, also when its worker panicked.
fn outcome_of(event: impl FnOnce(Outcome) -> Event) -> impl FnOnce(Result<Outcome, String>) -> Event {
    move |ended| {
        event(ended.unwrap_or_else(|panic| {
            let end = End::Failed(Failure::new(Class::Bug, format!("internal error: {panic}")));
            Outcome { place: None, facts: None, end, took: Duration::ZERO }
        }))
    }
}

fn said(looked: &Looked) -> Said {
    let team = |t: &RepoTeam| TeamRef {
        id: t.team_id.clone(),
        name: t.name.clone(),
        slug: t.slug.clone(),
        url: t.repo_url.clone(),
        read_only: t.access_level == Access::Viewer,
    };
    Said {
        ledger: looked.ledger.as_ref().map(|url| url.as_str().to_string()),
        read_only: looked.access == Access::Viewer,
        teams: looked.teams.as_ref().map(|teams| teams.iter().map(team).collect()),
    }
}

/// What a server says besides its answer is for people.
fn note(notes: &Notes) {
    if let Some(text) = &notes.deprecated {
        log::warn!("the server says that this version will not be served for ever: {text}");
    }
}

fn wanted(checkout: &Checkout) -> Wanted {
    // Whatever is not said to be a team's is a ledger, as with the Go program.
    let team = matches!(checkout.repo_type.as_str(), "team-context" | "team_context");
    let kind = if team { sync::Kind::Team } else { sync::Kind::Ledger };
    Wanted { path: PathBuf::from(&checkout.repo_path), url: checkout.clone_url.clone(), kind }
}

fn result(path: &Path, already_exists: bool, cloned: bool) -> CheckoutResult {
    CheckoutResult { path: path.to_string_lossy().into_owned(), already_exists, cloned }
}

fn flush(dirs: &crate::project::Dirs, root: &Path, synced: &SyncedAt) {
    let written = LocalConfig::update(root, dirs, |local| {
        if let (Some(at), Some(mut ledger)) = (synced.ledger, local.ledger()) {
            ledger.last_sync = GoTime::from(at);
            local.set_ledger(&ledger);
        }
        for (team, path, at) in &synced.teams {
            local.set_team(&LocalTeam {
                team_id: team.id.clone(),
                team_name: team.name.clone(),
                slug: team.slug.clone(),
                path: path.clone(),
                last_sync: GoTime::from(*at),
            });
        }
    });
    if let Err(e) = written {
        log::debug!("last sync of {}: {e}", root.display());
    }
}

fn write_beats(dirs: &Dirs, id: &str, slug: &str, repo_id: &str, lines: &[(BeatFile, Line)]) {
    for (file, line) in lines {
        let path = match file {
            BeatFile::Project => dirs.heartbeat(slug, &format!("{repo_id}_{id}")),
            BeatFile::Ledger => dirs.heartbeat(slug, &format!("{repo_id}_{id}_ledger")),
            BeatFile::Team(team) => dirs.heartbeat(slug, team),
        };
        if let Err(e) = beats::append(&path, line) {
            log::debug!("{}: {e}", path.display());
        }
    }
}

fn forget(site: &Site, registry: &Registry, entry: &Entry, synced: &SyncedAt) {
    if !synced.is_empty() {
        flush(&site.dirs, Path::new(&entry.workspace_path), synced);
    }
    bind::forget(site, registry, entry);
}

/// Looks for what others may have changed. What could not be looked at is no finding.
fn look(
    dirs: &crate::project::Dirs,
    registry: &Registry,
    all: &[Findable],
    ours: &BTreeMap<Id, (Entry, Cancel)>,
) -> Vec<(Id, Finding)> {
    let entries = registry.entries();
    let mut findings = Vec::new();
    for Findable { id, root, ledger, caller } in all {
        let Some((mine, detached)) = ours.get(id) else { continue };
        match entries.as_ref().map(|e| e.get(&**id)) {
            Ok(Some(there)) if there.pid != mine.pid => {
                findings.push((id.clone(), Finding::Superseded));
                continue;
            }
            found => {
                restore(dirs, registry, mine, matches!(found, Ok(None)), detached);
                let moved = found.ok().flatten().is_some_and(|there| there.workspace_path != *caller);
                if moved && let Err(e) = registry.name(mine, caller) {
                    log::warn!("registry: {e}");
                }
            }
        }
        if is_gone(&root.join(".sageox")) {
            findings.push((id.clone(), Finding::Gone));
        } else if ledger.as_ref().is_some_and(|c| is_gone(c)) {
            findings.push((id.clone(), Finding::LedgerGone));
        }
    }
    findings
}

/// Writes down again what was lost of an entry and its pid file, but not for a project that is being detached: that takes them back under
/// the same lock.
fn restore(dirs: &crate::project::Dirs, registry: &Registry, mine: &Entry, lost: bool, detached: &Cancel) {
    let pid_file = dirs.project_pid(&mine.workspace_id);
    if !lost && !is_gone(&pid_file) {
        return;
    }
    let still = || {
        let still = !detached.is_cancelled();
        if still && is_gone(&pid_file) {
            bind::write_pid_file(dirs, mine);
        }
        still
    };
    if let Err(e) = registry.restore(mine, still) {
        log::warn!("registry: {e}");
    }
}

fn is_gone(path: &Path) -> bool {
    matches!(std::fs::symlink_metadata(path), Err(e) if e.kind() == std::io::ErrorKind::NotFound)
}
