//! Projects coming and going.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::core::{Attaching, Core};
use super::event::{AttachEnd, Effect, Found, Id, RunId};
use super::schedule::{ATTACH_MAX, Beat, FIRST_SYNC_SPREAD, Idle};
use crate::health::{History, Issues, Metrics};
use crate::ipc::wire::{Attached, Progress, Response};
use crate::ipc::{ConnId, Published};
use crate::kit::clock::{Mono, Now};
use crate::sync::{Place, Schedule};

/// A served project and its state machines.
#[derive(Debug)]
pub struct Project {
    pub(super) repo_id: String,
    pub(super) root: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) team_id: String,
    pub(super) interval: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) attached: Now,
    pub(super) published: Arc<Published>,
    pub(super) schedule: Schedule,
    pub(super) idle: Idle,
    pub(super) place: Option<Place>,
    /// The newest run; the end of any other is not ours.
    pub(super) run: RunId,
    /// The host whose gate waits for what the run in progress finds out.
    pub(super) probing: Option<String>,
    pub(super) cloning: bool,
    /// Requests that wait for the sync in progress.
    pub(super) waiting: Vec<ConnId>,
    /// The newest progress line, to be said again when nothing new comes.
    pub(super) progress: Progress,
    pub(super) last_sync: Option<Timestamp>,
    /// A time of the last sync that is not written down yet.
    pub(super) unflushed: Option<Timestamp>,
    pub(super) last_error: String,
    pub(super) history: History,
    pub(super) metrics: Metrics,
    pub(super) issues: Issues,
    /// The published snapshot is older than the state.
    pub(super) dirty: bool,
}

impl Project {
    fn new(found: Found, now: Now, first_sync: Mono) -> Project {
        Project {
            repo_id: found.repo_id,
            root: found.root,
            socket: found.socket,
            team_id: found.team_id,
            interval: found.timing.interval,
            idle_timeout: found.idle_timeout,
            attached: now,
            published: Arc::new(Published::new(now.mono)),
            schedule: Schedule::new(found.timing, first_sync),
            idle: Idle::new(found.idle_timeout),
            place: found.place,
            run: 0,
            probing: None,
            cloning: false,
            waiting: Vec::new(),
            progress: Progress::default(),
            last_sync: found.last_sync,
            unflushed: None,
            last_error: String::new(),
            history: History::default(),
            metrics: Metrics::default(),
            issues: Issues::default(),
            dirty: true,
        }
    }

    /// What log lines call it.
    pub(super) fn label(&self) -> String {
        self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy().into_owned()
    }

    /// The host behind the ledger's remote; none for a directory of this machine.
    pub(super) fn host(&self) -> Option<&str> {
        self.place.as_ref()?.host.as_deref()
    }

    /// Whether anything is being worked on for it.
    pub(super) fn is_busy(&self) -> bool {
        self.cloning || self.schedule.running().is_some() || !self.waiting.is_empty()
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
        let project = Project::new(found, now, first_sync);
        log::info!("[{}] attached: {} at {}", project.label(), id, project.root.display());
        let response = served(&id, &project);
        self.out.push(Effect::Serve { id: id.clone(), published: Arc::clone(&project.published) });
        let idle = project.idle.ask_again().map(|d| now.mono + d);
        self.deadlines.set(Beat::Idle(id.clone()), idle);
        self.projects.insert(id.clone(), project);
        self.plan(now.mono, &id);
        self.remember();
        response
    }

    /// Serves a project no longer. Whoever waits for something of it is told so.
    pub(super) fn detach(&mut self, now: Mono, id: &Id, superseded: bool) {
        let Some(project) = self.projects.remove(id) else { return };
        for conn in project.waiting {
            self.out.push(Effect::Reply(conn, Response::error("daemon is stopping")));
        }
        for beat in [Beat::Sync(id.clone()), Beat::Line(id.clone()), Beat::Idle(id.clone())] {
            self.deadlines.remove(&beat);
        }
        // Its attempt may have been the one that all others on the host wait for.
        if let Some(host) = project.probing {
            self.probe_came_to_nothing(now, &host);
        }
        self.out.push(Effect::Detach { id: id.clone(), superseded, last_sync: project.unflushed });
        self.remember();
        if !self.closing {
            self.watch_emptiness(now);
        }
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
