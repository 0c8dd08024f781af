//! What workers do for projects: sockets, registry entries, and the files of a project.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::bind::{self, Socket};
use super::event::{AttachEnd, Effect, Event, Findable, Finding, ToLoad};
use super::instance::{Held, Instance};
use super::{AttachedFile, Entry, Registry};
use crate::daemon::host::lanes::{Lane, Lanes, hint};
use crate::daemon::host::latest::Latest;
use crate::daemon::names::{Id, Via};
use crate::ipc::listen::SocketState;
use crate::ipc::wire::{On, Response, Served};
use crate::ipc::{ConnId, ListenerId, ListenerSpec, Published};
use crate::kit::cancel::Cancel;
use crate::kit::file::is_gone;
use crate::project::{Dirs, Project};
use crate::sync::{self, Site};

/// A served socket, and what is recorded of it.
struct Listening {
    id: ListenerId,
    entry: Entry,
    /// It is served no longer: nothing of it is restored.
    detached: Cancel,
}

/// What the work for projects needs.
pub(in crate::daemon) struct Work {
    registry: Registry,
    host_listener: ListenerId,
    /// Held for life.
    instance: Arc<Instance>,
    /// Sockets that are bound and recorded but not served yet.
    ready: Arc<Mutex<BTreeMap<Id, Socket>>>,
    listening: BTreeMap<Id, Listening>,
    /// Directories of the served projects, as last said.
    served: Vec<PathBuf>,
    attached: PathBuf,
    remembered: Latest<(), Vec<PathBuf>>,
}

impl Work {
    pub(in crate::daemon) fn new(lanes: &Lanes, host_listener: ListenerId, instance: Instance) -> Work {
        let dirs = &lanes.site.dirs;
        let attached = dirs.attached();
        let path = attached.clone();
        let remembered = Latest::new(move |(), projects| AttachedFile { clean: false, projects }.save(&path));
        Work {
            registry: Registry::at(dirs.registry()),
            host_listener,
            instance: Arc::new(instance),
            ready: Arc::default(),
            listening: BTreeMap::new(),
            served: Vec::new(),
            attached,
            remembered,
        }
    }

    /// Whose socket it is; `None` if it is served no longer.
    pub(in crate::daemon) fn via(&self, listener: ListenerId) -> Option<Via> {
        if listener == self.host_listener {
            return Some(Via::Host);
        }
        let (id, _) = self.listening.iter().find(|(_, l)| l.id == listener)?;
        Some(Via::Project(id.clone()))
    }

    pub(in crate::daemon) fn perform(&mut self, lanes: &Lanes, effect: Effect) {
        match effect {
            Effect::ReplyStop(conn, via) => reply_stop(lanes, conn, via),
            Effect::Attach { root, served } => self.attach(lanes, root, served),
            Effect::Serve { id, published } => self.serve(lanes, id, published),
            Effect::Detach { id, superseded } => self.detach(lanes, &id, superseded),
            Effect::Remember(roots) => {
                self.served.clone_from(&roots);
                self.remembered.put(lanes, (), roots);
            }
            Effect::Load(all) => load(lanes, all),
            Effect::Check(all) => self.check(lanes, all),
            Effect::CheckSocket(id) => {
                if let Some(listening) = self.listening.get(&id) {
                    check_socket(lanes, listening.id, id);
                }
            }
        }
    }

    fn attach(&self, lanes: &Lanes, root: PathBuf, served: BTreeMap<Id, PathBuf>) {
        let (site, registry) = (lanes.site.clone(), self.registry.clone());
        let (ready, at, stop) = (Arc::clone(&self.ready), root.clone(), lanes.stop.clone());
        let work = move || {
            let (end, socket) = bind::attach(&site, &registry, &at, &served, &stop);
            if let (AttachEnd::Ready(found), Some(socket)) = (&end, socket) {
                ready.lock().insert(found.id.clone(), socket);
            }
            end
        };
        lanes.start(Lane::Disk, work, move |end| {
            let end = end.unwrap_or_else(|e| AttachEnd::Failed(e.to_string()));
            Event::AttachEnded { root, end }.into()
        });
    }

    fn serve(&mut self, lanes: &Lanes, id: Id, published: Arc<Published>) {
        let Some(Socket { bound, entry }) = self.ready.lock().remove(&id) else {
            log::error!("bug: {id} is to be served and has no socket");
            return;
        };
        let workspace_id = id.to_string();
        let spec = ListenerSpec { socket: bound, workspace_id, served: Served::on(On::Project), published };
        let listener = lanes.server.add_listener(spec);
        self.listening.insert(id, Listening { id: listener, entry, detached: Cancel::new() });
    }

    fn detach(&mut self, lanes: &Lanes, id: &Id, superseded: bool) {
        let Some(listening) = self.listening.remove(id) else { return };
        listening.detached.cancel();
        lanes.server.remove_listener(listening.id);
        // Files at those paths may now belong to the other daemon.
        if !superseded {
            let (site, registry, entry) = (lanes.site.clone(), self.registry.clone(), listening.entry);
            lanes.run(Lane::Disk, move || bind::forget(&site, &registry, &entry));
        }
    }

    fn check(&self, lanes: &Lanes, all: Vec<Findable>) {
        check_socket(lanes, self.host_listener, Id::from("host"));
        for (id, listening) in &self.listening {
            check_socket(lanes, listening.id, id.clone());
        }
        let ours = |(id, l): (&Id, &Listening)| (id.clone(), (l.entry.clone(), l.detached.clone()));
        let ours: BTreeMap<_, _> = self.listening.iter().map(ours).collect();
        let (registry, inbox) = (self.registry.clone(), lanes.inbox.clone());
        let (dirs, instance) = (lanes.site.dirs.clone(), Arc::clone(&self.instance));
        let work = move || {
            if !keeps(&instance, &dirs) {
                hint(&inbox, crate::daemon::event::Event::Quit("another daemon has the instance lock"));
            }
            findings(&dirs, &registry, &all, &ours)
        };
        lanes.start(Lane::Disk, work, |found| Event::Checked(found.unwrap_or_default()).into());
    }

    /// The last word, when all workers have ended: what was attached and never served is taken back, and written down is whether the process
    /// ended in order, or what the program that now runs anew is to serve.
    pub(in crate::daemon) fn end(&mut self, site: &Site, again: bool) {
        for (_, Socket { bound, entry }) in std::mem::take(&mut *self.ready.lock()) {
            bound.remove();
            bind::forget(site, &self.registry, &entry);
        }
        let projects = if again { std::mem::take(&mut self.served) } else { Vec::new() };
        AttachedFile { clean: !again, projects }.save(&self.attached);
    }
}

fn reply_stop(lanes: &Lanes, conn: ConnId, via: Via) {
    let results = lanes.sender();
    // Not by the inbox, which may be full. One connection asks once at a time.
    lanes
        .server
        .reply_then(conn, Response::ok(), move |_| drop(results.send(Event::StopAnswered(via).into())));
}

fn load(lanes: &Lanes, all: Vec<ToLoad>) {
    let site = lanes.site.clone();
    let ids: Vec<Id> = all.iter().map(|one| one.id.clone()).collect();
    let one = move |ToLoad { id, root, told }: ToLoad| match Project::load(&root, &site.env) {
        Ok(project) => (id, Some(Box::new(sync::load(&site, &project, told.as_deref())))),
        Err(e) => {
            log::warn!("{}: {e}; what was read before counts", root.display());
            (id, None)
        }
    };
    let work = move || all.into_iter().map(one).collect();
    lanes.start(Lane::Disk, work, |loaded| {
        Event::Loaded(loaded.unwrap_or_else(|_| ids.into_iter().map(|id| (id, None)).collect())).into()
    });
}

/// Has a socket's path looked at, and bound again if it is gone.
fn check_socket(lanes: &Lanes, listener: ListenerId, id: Id) {
    let inbox = lanes.inbox.clone();
    lanes.server.check_listener(listener, move |state: SocketState| match state {
        SocketState::Ours | SocketState::Unknown => {}
        SocketState::Rebound => log::warn!("the socket of {id} was gone; it is bound again"),
        SocketState::Failed(e) => log::error!("the socket of {id} is gone: {e}"),
        SocketState::Taken => hint(&inbox, Event::Checked(vec![(id, Finding::Superseded)])),
    });
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

/// What others have changed. What could not be looked at is no finding.
fn findings(
    dirs: &Dirs,
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
                // Other programs write the file too, and leave out what they do not know.
                let right = Entry { workspace_path: caller.clone(), ..mine.clone() };
                let wrong = found.ok().flatten().is_some_and(|there| *there != right);
                if wrong && let Err(e) = registry.correct(&right) {
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
fn restore(dirs: &Dirs, registry: &Registry, mine: &Entry, lost: bool, detached: &Cancel) {
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
