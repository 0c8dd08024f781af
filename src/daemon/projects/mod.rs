//! Projects: which are served, what their files say, and when they are let go of.

mod attached;
mod bind;
pub mod event;
mod idle;
mod instance;
mod registry;
mod takeover;
mod teams;
pub(super) mod work;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::idle::Idle;
use super::cx::{Cx, STOPPING};
use super::fact::Fact;
use super::names::{Id, Key, Via};
use super::shared::Project;
use crate::ipc::wire::{Attach, Attached as AttachedAt, ProjectInfo, Projects as List, Response};
use crate::ipc::{ConnId, Published};
use crate::kit::gotime::GoTime;
use crate::project::check_named_path;
use crate::sync::{Loaded, Registry as Teams, Source};
pub(super) use attached::AttachedFile;
use event::{AttachEnd, Attachable, Effect, Event, Findable, Finding, Timer, ToLoad};
pub(super) use instance::Instance;
pub use registry::{Entry, Registry};
pub(super) use takeover::end as end_process;

/// Without any project the process ends after this long.
pub const EMPTY_MAX: Duration = Duration::from_secs(60);
/// At most this many different projects wait to be attached at once.
const ATTACH_MAX: usize = 256;

/// The projects that come, are served and go.
#[derive(Debug, Default)]
pub(super) struct Projects {
    /// To be attached, in turn; the first is in progress.
    attaching: VecDeque<Attaching>,
    /// Their files may have changed since they began to be read.
    load_again: BTreeSet<Id>,
    checking: bool,
}

/// A project that waits to be attached.
#[derive(Debug)]
struct Attaching {
    root: PathBuf,
    waiting: Vec<ConnId>,
    /// Nobody asked: it was attached when the last process ended uncleanly.
    again: bool,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Projects(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Projects(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Projects(timer)
    }
}

impl Projects {
    pub(super) fn start(&mut self, cx: &mut Cx) {
        cx.set_in(Timer::Check, cx.identity.periods.check);
        self.watch_emptiness(cx);
    }

    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::Reattach(root) => self.attach(cx, root, None),
            Event::AttachEnded { root, end } => self.attach_ended(cx, root, end),
            Event::Loaded(all) => {
                for (id, loaded) in all {
                    self.loaded(cx, &id, loaded.map(|loaded| *loaded));
                }
            }
            Event::Checked(findings) => self.checked(cx, findings),
            Event::StopAnswered(Via::Host) => cx.stop("asked to", None),
            Event::StopAnswered(Via::Project(id)) => detach(cx, &id, false, "asked to"),
        }
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::FilesChanged(id) => self.load(cx, std::slice::from_ref(id)),
            Fact::TeamsNamed { id, teams } => teams::named(cx, id, teams),
            Fact::TeamGone { id, team } => teams::gone(cx, id, team),
            Fact::Detached { id, superseded, why } => self.detached(cx, id, *superseded, why),
            _ => {}
        }
    }

    /// The answer to `attach`, once the project is served.
    pub(super) fn attach_asked(&mut self, cx: &mut Cx, conn: ConnId, asked: &Attach) {
        let ours = &cx.identity.data;
        if !asked.data_dir.is_empty() && Path::new(&asked.data_dir) != ours {
            let text =
                format!("this daemon serves the data in {}, not those in {}", ours.display(), asked.data_dir);
            return cx.reply(conn, Response::error(text));
        }
        let root = PathBuf::from(&asked.project_root);
        if check_named_path(&root).is_ok() {
            self.attach(cx, root, Some(conn));
        } else {
            let text = "invalid attach payload: project_root must be an absolute path without ..";
            cx.reply(conn, Response::error(text));
        }
    }

    /// The answer to `projects`.
    pub(super) fn list(&self, cx: &mut Cx, conn: ConnId) {
        let info = |(id, p): (&Id, &Project)| ProjectInfo {
            workspace_id: id.to_string(),
            project_root: p.root.to_string_lossy().into_owned(),
            repo_id: p.repo_id.clone(),
            socket_path: p.socket.to_string_lossy().into_owned(),
            attached_at: GoTime::from(p.attached.wall),
        };
        let projects = cx.shared.projects().iter().map(info).collect();
        cx.reply(conn, Response::data(&List { projects }));
    }

    /// Somebody wants a project let go of, or the process ended: once that has been answered.
    pub(super) fn stop_asked(&self, cx: &mut Cx, conn: ConnId, via: Via) {
        cx.push(Effect::ReplyStop(conn, via));
    }

    /// Has a project attached, and `conn` answered when it is. A second request for the same directory joins the first.
    fn attach(&mut self, cx: &mut Cx, root: PathBuf, conn: Option<ConnId>) {
        if let Some(pending) = self.attaching.iter_mut().find(|a| a.root == root) {
            pending.waiting.extend(conn);
            pending.again &= conn.is_none();
            return;
        }
        if let Some((id, project)) = cx.shared.projects().iter().find(|(_, p)| p.root == root) {
            // Whoever asks for it may have found nothing at its path.
            let (id, response) = (id.clone(), served(id, project));
            cx.push(Effect::CheckSocket(id));
            return conn.into_iter().for_each(|conn| cx.reply(conn, response.clone()));
        }
        if self.attaching.len() >= ATTACH_MAX {
            return conn.into_iter().for_each(|conn| cx.reply(conn, Response::busy("attach")));
        }
        let again = conn.is_none();
        self.attaching.push_back(Attaching { root, waiting: conn.into_iter().collect(), again });
        cx.set(Timer::Empty, None);
        if self.attaching.len() == 1 {
            self.attach_next(cx);
        }
    }

    /// One at a time, so that two directories of one project cannot race for its socket.
    fn attach_next(&mut self, cx: &mut Cx) {
        if let Some(next) = self.attaching.front() {
            let served = cx.shared.projects().iter().map(|(id, p)| (id.clone(), p.root.clone())).collect();
            cx.push(Effect::Attach { root: next.root.clone(), served });
        }
    }

    fn attach_ended(&mut self, cx: &mut Cx, root: PathBuf, end: AttachEnd) {
        let Some(at) = self.attaching.iter().position(|a| a.root == root) else { return };
        let Some(asked) = self.attaching.remove(at) else { return };
        let response = match end {
            AttachEnd::Ready(found) => self.attached(cx, *found, asked.again),
            AttachEnd::Served(id) => match cx.shared.project(&id) {
                Some(project) => {
                    let response = served(&id, project);
                    cx.push(Effect::CheckSocket(id));
                    response
                }
                None => Response::busy("attach"),
            },
            AttachEnd::Moved(id) => self.moved(cx, &id, root.clone()),
            AttachEnd::Failed(text) => {
                log::warn!("{}: not attached: {text}", root.display());
                Response::error(text)
            }
        };
        for conn in asked.waiting {
            cx.reply(conn, response.clone());
        }
        self.attach_next(cx);
        self.watch_emptiness(cx);
    }

    /// The directory that a project was served from is gone, and somebody works in another one of it: that has its place.
    fn moved(&mut self, cx: &mut Cx, id: &Id, root: PathBuf) -> Response {
        let Some(project) = cx.shared.projects_mut().get_mut(id) else { return Response::busy("attach") };
        log::info!(
            "[{}] {} is gone: served from {}",
            project.label(),
            project.root.display(),
            root.display()
        );
        project.root = root;
        let response = served(id, project);
        cx.push(Effect::CheckSocket(id.clone()));
        cx.stale(id);
        cx.tell(Fact::Moved(id.clone()));
        self.load(cx, std::slice::from_ref(id));
        self.remember(cx);
        response
    }

    fn attached(&mut self, cx: &mut Cx, found: Attachable, again: bool) -> Response {
        let Attachable { id, loaded, errors, .. } = found;
        let project = Project {
            repo_id: found.repo_id,
            root: found.root,
            socket: found.socket,
            slug: loaded.slug.clone(),
            endpoint: loaded.endpoint.clone(),
            primary: String::new(),
            timing: found.timing,
            team_interval: found.team_interval,
            idle_timeout: found.idle_timeout,
            attached: cx.now,
            published: Arc::new(Published::new(cx.now.mono)),
            teams: Teams::default(),
            loading: false,
            problems: Vec::new(),
        };
        log::info!("[{}] attached: {} at {}", project.label(), id, project.root.display());
        let response = served(&id, &project);
        cx.push(Effect::Serve { id: id.clone(), published: Arc::clone(&project.published) });
        let idle = Idle::new(project.idle_timeout).ask_again().map(|wait| cx.now.mono + wait);
        cx.set(Timer::Idle(id.clone()), idle);
        cx.shared.projects_mut().insert(id.clone(), project);
        cx.stale(&id);
        cx.tell(Fact::Attached { id: id.clone(), again, errors });
        self.loaded(cx, &id, Some(loaded));
        self.remember(cx);
        response
    }

    /// Has the files of projects read again, of all of them by one worker: each wake-up of a thread costs as much as the reading.
    fn load(&mut self, cx: &mut Cx, ids: &[Id]) {
        let mut all = Vec::new();
        for id in ids {
            let Some(project) = cx.shared.projects_mut().get_mut(id) else { continue };
            if std::mem::replace(&mut project.loading, true) {
                self.load_again.insert(id.clone());
                continue;
            }
            let (root, told) = (project.root.clone(), project.teams.said_by(Source::Api));
            all.push(ToLoad { id: id.clone(), root, told });
        }
        if !all.is_empty() {
            cx.push(Effect::Load(all));
        }
    }

    fn loaded(&mut self, cx: &mut Cx, id: &Id, loaded: Option<Loaded>) {
        let Some(project) = cx.shared.projects_mut().get_mut(id) else { return };
        project.loading = false;
        if loaded.as_ref().is_some_and(|loaded| teams::take_in(project, loaded)) {
            cx.stale(id);
        }
        cx.tell(Fact::Loaded { id: id.clone(), loaded: loaded.map(Arc::new) });
        if self.load_again.remove(id) {
            self.load(cx, std::slice::from_ref(id));
        }
    }

    fn detached(&mut self, cx: &mut Cx, id: &Id, superseded: bool, why: &'static str) {
        if cx.shared.projects_mut().remove(id).is_none() {
            return;
        }
        self.load_again.remove(id);
        cx.stale(id);
        cx.set(Timer::Idle(id.clone()), None);
        cx.push(Effect::Detach { id: id.clone(), superseded });
        self.remember(cx);
        if !cx.closing {
            self.watch_emptiness(cx);
            self.end_if_empty(cx, why);
        }
    }

    fn remember(&self, cx: &mut Cx) {
        if !cx.closing {
            // Also those that a second unclean end would find still waiting.
            let waiting = self.attaching.iter().filter(|a| a.again).map(|a| a.root.clone());
            let served = cx.shared.projects().values().map(|p| p.root.clone());
            let roots = served.chain(waiting).collect();
            cx.push(Effect::Remember(roots));
        }
    }

    /// It is time to check what others may have changed; also without projects, for the host's own socket is checked too.
    pub(super) fn check(&mut self, cx: &mut Cx, all: Vec<Findable>) {
        cx.set_in(Timer::Check, cx.identity.periods.check);
        if std::mem::replace(&mut self.checking, true) {
            return;
        }
        let ids: Vec<Id> = all.iter().map(|p| p.id.clone()).collect();
        cx.push(Effect::Check(all));
        self.load(cx, &ids);
    }

    fn checked(&mut self, cx: &mut Cx, findings: Vec<(Id, Finding)>) {
        const LEFT: &str = "no project left";
        self.checking = false;
        for (id, finding) in findings {
            let Some(project) = cx.shared.project(&id) else { continue };
            match finding {
                Finding::Superseded => {
                    log::warn!("[{}] another daemon has taken over: detached", project.label());
                    detach(cx, &id, true, LEFT);
                }
                Finding::Gone => {
                    log::info!("[{}] {} is gone: detached", project.label(), project.root.display());
                    detach(cx, &id, false, LEFT);
                }
                Finding::LedgerGone => {
                    log::warn!("[{}] the ledger's clone is gone; it is cloned again", project.label());
                    cx.tell(Fact::Waiting(Key::Ledger(id)));
                }
            }
        }
    }

    /// Lets a project go that nobody has asked anything for long; `busy` if something is being worked on for it.
    pub(super) fn idle_due(&self, cx: &mut Cx, id: &Id, busy: bool) {
        let Some(project) = cx.shared.project(id) else { return };
        let idle = cx.now.mono.since(project.published.last_activity());
        let served = cx.now.mono.since(project.attached.mono);
        let policy = Idle::new(project.idle_timeout);
        if policy.is_over(idle, served, busy) {
            log::info!("[{}] idle for {} s: detached", project.label(), idle.as_secs());
            detach(cx, id, false, "idle");
        } else {
            let again = policy.ask_again().map(|wait| cx.now.mono + wait);
            cx.set(Timer::Idle(id.clone()), again);
        }
    }

    /// Whether any project is being attached.
    pub(super) fn is_attaching(&self) -> bool {
        !self.attaching.is_empty()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.attaching.len() + self.load_again.len()
    }

    /// Starts counting towards the end of a process that nobody needs, or stops counting.
    fn watch_emptiness(&self, cx: &mut Cx) {
        let at = self.is_empty(cx).then(|| cx.now.mono + EMPTY_MAX);
        cx.set(Timer::Empty, at);
    }

    /// Ends the process if no project is left and it is no service.
    pub(super) fn end_if_empty(&self, cx: &mut Cx, why: &'static str) {
        if self.is_empty(cx) {
            cx.stop(why, None);
        }
    }

    fn is_empty(&self, cx: &Cx) -> bool {
        cx.shared.projects().is_empty() && self.attaching.is_empty() && !cx.identity.service
    }

    /// The process ends: all projects are let go of, and whoever waits to be served is told so.
    pub(super) fn close(&mut self, cx: &mut Cx) {
        let ids: Vec<Id> = cx.shared.projects().keys().cloned().collect();
        for id in ids {
            detach(cx, &id, false, "");
        }
        for asked in self.attaching.drain(..) {
            asked.waiting.into_iter().for_each(|conn| cx.reply(conn, Response::busy(STOPPING)));
        }
    }
}

/// Serves a project no longer; if it was the last one, the process ends because of `why`.
fn detach(cx: &mut Cx, id: &Id, superseded: bool, why: &'static str) {
    cx.tell(Fact::Detached { id: id.clone(), superseded, why });
}

fn served(id: &Id, project: &Project) -> Response {
    let socket_path = project.socket.to_string_lossy().into_owned();
    Response::data(&AttachedAt { workspace_id: id.to_string(), socket_path })
}
