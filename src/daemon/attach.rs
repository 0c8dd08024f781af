//! Projects coming and going.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Attaching, Core};
use super::event::{AttachEnd, Effect, Found, Id, Key};
use super::presence::Presence;
use super::repo::{Phase, Repo, Slimming, Waiter};
use super::schedule::{ATTACH_MAX, Beat, FIRST_SYNC_SPREAD, Idle};
use super::{accounts, beats, gc, teams, trees};
use crate::health::{History, Metrics, StoredErrors};
use crate::ipc::wire::{Attached, Response};
use crate::ipc::{ConnId, Published};
use crate::kit::clock::{Mono, Now};
use crate::sync::{Registry, Schedule, Source, Target, Timing};

/// A served project and what is its own.
#[derive(Debug)]
pub struct Project {
    pub(super) repo_id: String,
    pub(super) root: PathBuf,
    pub(super) socket: PathBuf,
    /// Directory name of its endpoint.
    pub(super) slug: String,
    /// Host of its endpoint; `None` where it names its remotes itself.
    pub(super) endpoint: Option<String>,
    /// The team the project belongs to; may be empty.
    pub(super) primary: String,
    pub(super) timing: Timing,
    pub(super) team_interval: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) attached: Now,
    pub(super) published: Arc<Published>,
    pub(super) idle: Idle,
    /// Its teams, and who names them.
    pub(super) teams: Registry,
    /// Its files are being read; more than one request for that is one.
    pub(super) loading: Loading,
    /// The ledger's directory that is watched.
    pub(super) watched: Option<PathBuf>,
    /// When its files were last read for a team that nobody knew.
    pub(super) team_looked_for: Option<Mono>,
    /// When its server last told about it.
    pub(super) told: Option<Mono>,
    /// What was wrong with its files when they were last read.
    pub(super) problems: Vec<String>,
    pub(super) history: History,
    pub(super) metrics: Metrics,
    pub(super) presence: Presence,
    pub(super) errors: StoredErrors,
    /// A sync of its ledger has ended since it was attached.
    pub(super) has_synced: bool,
    /// The published snapshot is older than the state.
    pub(super) dirty: bool,
    /// It is older only in what heartbeats have told.
    pub(super) beaten: bool,
    /// When it was published.
    pub(super) shown: Mono,
}

/// Whether a project's files are being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Loading {
    /// No.
    #[default]
    No,
    /// Yes.
    Yes,
    /// Yes, and they may have changed since it began.
    Again,
}

impl Project {
    fn new(found: &Found, now: Now) -> Project {
        Project {
            repo_id: found.repo_id.clone(),
            root: found.root.clone(),
            socket: found.socket.clone(),
            slug: found.loaded.slug.clone(),
            endpoint: found.loaded.endpoint.clone(),
            primary: String::new(),
            timing: found.timing,
            team_interval: found.team_interval,
            idle_timeout: found.idle_timeout,
            attached: now,
            published: Arc::new(Published::new(now.mono)),
            idle: Idle::new(found.idle_timeout),
            teams: Registry::default(),
            loading: Loading::No,
            watched: None,
            team_looked_for: None,
            told: None,
            problems: Vec::new(),
            history: History::default(),
            metrics: Metrics::default(),
            presence: Presence::default(),
            errors: found.errors.clone(),
            has_synced: false,
            dirty: true,
            beaten: false,
            shown: now.mono,
        }
    }

    /// What log lines call it.
    pub(super) fn label(&self) -> String {
        self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy().into_owned()
    }
}

impl Core {
    /// Has a project attached, and `conn` answered when it is. A second request for the same directory joins the first.
    pub(super) fn attach(&mut self, root: PathBuf, conn: Option<ConnId>) {
        if let Some(pending) = self.attaching.iter_mut().find(|a| a.root == root) {
            pending.waiting.extend(conn);
            pending.again &= conn.is_none();
            return;
        }
        if let Some((id, project)) = self.projects.iter().find(|(_, p)| p.root == root) {
            // Whoever asks for it may have found nothing at its path.
            self.out.push(Effect::CheckSocket(id.clone()));
            let response = served(id, project);
            self.out.extend(conn.map(|conn| Effect::Reply(conn, response)));
            return;
        }
        if self.attaching.len() >= ATTACH_MAX {
            self.out.extend(conn.map(|conn| Effect::Reply(conn, Response::busy("attach"))));
            return;
        }
        self.attaching.push_back(Attaching {
            root,
            waiting: conn.into_iter().collect(),
            again: conn.is_none(),
        });
        self.deadlines.remove(&Beat::Empty);
        if self.attaching.len() == 1 {
            self.attach_next();
        }
    }

    /// One at a time, so that two directories of one project cannot race for its socket.
    fn attach_next(&mut self) {
        if let Some(next) = self.attaching.front() {
            let served = self.projects.keys().cloned().collect();
            self.out.push(Effect::Attach { root: next.root.clone(), served });
        }
    }

    pub(super) fn attach_ended(&mut self, now: Now, root: PathBuf, end: AttachEnd) {
        let Some(at) = self.attaching.iter().position(|a| a.root == root) else { return };
        let Some(asked) = self.attaching.remove(at) else { return };
        let response = match end {
            AttachEnd::Ready(found) => self.attached(now, *found, asked.again),
            AttachEnd::Served(id) => match self.projects.get(&id) {
                Some(project) => {
                    self.out.push(Effect::CheckSocket(id.clone()));
                    served(&id, project)
                }
                None => Response::busy("attach"),
            },
            AttachEnd::Failed(text) => {
                log::warn!("{}: not attached: {text}", root.display());
                Response::error(text)
            }
        };
        for conn in asked.waiting {
            self.out.push(Effect::Reply(conn, response.clone()));
        }
        self.attach_next();
        self.watch_emptiness(now.mono);
    }

    fn attached(&mut self, now: Now, found: Found, again: bool) -> Response {
        let id = found.id.clone();
        let first_sync = if again {
            // Background work waits after failed starts; what a person asks for does not.
            let throttled = self.started.mono + self.identity.throttle;
            throttled.max(now.mono) + self.rng.up_to(FIRST_SYNC_SPREAD)
        } else {
            now.mono + found.timing.debounce
        };
        let project = Project::new(&found, now);
        log::info!("[{}] attached: {} at {}", project.label(), id, project.root.display());
        let response = served(&id, &project);
        self.out.push(Effect::Serve { id: id.clone(), published: Arc::clone(&project.published) });
        let idle = project.idle.ask_again().map(|d| now.mono + d);
        self.deadlines.set(Beat::Idle(id.clone()), idle);
        let key = Key::Ledger(id.clone());
        let target = Target::Ledger { root: found.root.clone(), url: None, read_only: false };
        let mut ledger = Repo::new(project.label(), target, Schedule::new(found.timing, first_sync));
        ledger.users.insert(id.clone());
        self.repos.insert(key.clone(), ledger);
        self.projects.insert(id.clone(), project);
        teams::loaded(self, now, &id, Some(found.loaded));
        self.plan(now.mono, &key);
        beats::write(self, now, &id);
        self.remember();
        response
    }

    /// Has the project's files read again.
    pub(super) fn load(&mut self, id: &Id) {
        let Some(project) = self.projects.get_mut(id) else { return };
        match project.loading {
            Loading::No => {
                project.loading = Loading::Yes;
                let (root, told) = (project.root.clone(), project.teams.said_by(Source::Api));
                self.out.push(Effect::Load { id: id.clone(), root, told });
            }
            Loading::Yes | Loading::Again => project.loading = Loading::Again,
        }
    }

    /// Serves a project no longer. Whoever waits for something of it is told so.
    pub(super) fn detach(&mut self, now: Now, id: &Id, superseded: bool) {
        let synced = self.unflushed(id);
        trees::forget(self, now, id);
        if self.projects.remove(id).is_none() {
            return;
        }
        let stopping = || Response::error("daemon is stopping");
        let mut waiting: Vec<ConnId> = self.team_requests.drop_of(id);
        waiting.extend(self.checkouts.drop_of(id));
        waiting.extend(self.gc.drop_of(id));
        for beat in [Beat::Idle, Beat::Look, Beat::Show, Beat::Nudge, Beat::Activity] {
            self.deadlines.remove(&beat(id.clone()));
        }
        let keys: Vec<Key> =
            self.repos.iter().filter(|(_, r)| r.users.contains(id)).map(|(k, _)| k.clone()).collect();
        for key in keys {
            waiting.extend(self.let_go_of(now, &key, id));
        }
        self.out.extend(waiting.into_iter().map(|conn| Effect::Reply(conn, stopping())));
        accounts::let_go(self, now, id);
        self.out.push(Effect::Watch(id.clone(), None));
        self.out.push(Effect::Detach { id: id.clone(), superseded, synced });
        self.remember();
        if !self.closing {
            self.watch_emptiness(now.mono);
        }
    }

    /// The project uses a clone no longer; without any user it is not kept level any more. Answers who waited for it alone.
    pub(super) fn let_go_of(&mut self, now: Now, key: &Key, id: &Id) -> Vec<ConnId> {
        let Some(repo) = self.repos.get_mut(key) else { return Vec::new() };
        repo.users.remove(id);
        if !repo.users.is_empty() {
            return Vec::new();
        }
        let requests = repo.waiting.iter().filter_map(Waiter::teams).collect::<Vec<u64>>();
        for number in requests {
            teams::team_ended(
                self,
                number,
                key,
                "error",
                "it is not one of the project's teams any more".into(),
            );
        }
        let Some(repo) = self.repos.remove(key) else { return Vec::new() };
        self.deadlines.remove(&Beat::Sync(key.clone()));
        self.deadlines.remove(&Beat::Line(key.clone()));
        self.out.push(Effect::Drop(key.clone()));
        // Its attempt may have been the one that all others on the host wait for.
        if let Some(host) = repo.probing {
            self.probe_came_to_nothing(now.mono, &host);
        }
        if repo.phase == Phase::WaitsForSlot || repo.slimming == Slimming::WaitsForSlot {
            self.slots.release(&(key.clone(), repo.run));
        }
        let slimming = repo.slimming;
        let conns = repo.waiting.into_iter().filter_map(|w| match w {
            Waiter::Conn(conn) => Some(conn),
            Waiter::Teams(_) => None,
        });
        let conns = conns.collect();
        if slimming != Slimming::No {
            gc::gone(self, now, key);
        }
        conns
    }

    fn remember(&mut self) {
        if !self.closing {
            // Also those that a second unclean end would find still waiting.
            let waiting = self.attaching.iter().filter(|a| a.again).map(|a| a.root.clone());
            let served = self.projects.values().map(|p| p.root.clone());
            self.out.push(Effect::Remember(served.chain(waiting).collect()));
        }
    }
}

fn served(id: &Id, project: &Project) -> Response {
    let socket_path = project.socket.to_string_lossy().into_owned();
    Response::data(&Attached { workspace_id: id.to_string(), socket_path })
}
