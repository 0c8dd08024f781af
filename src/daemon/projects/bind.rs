//! Finding out what a project is, and binding and recording its socket. Runs on a `disk` thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::event::{AttachEnd, Attachable};
use super::registry::{Entry, Registry};
use super::takeover;
use crate::daemon::cx::STOPPING;
use crate::daemon::names::{Id, VERSION};
use crate::health::StoredErrors;
use crate::ipc::listen::{self, Bound};
use crate::kit::cancel::Cancel;
use crate::kit::file;
use crate::kit::file::is_gone;
use crate::kit::gotime::GoTime;
use crate::project::{Config, Dirs, PROJECT_DIR, Project, settings::Settings};
use crate::sync::{self, Site, Timing};

/// What attaching left to be served.
pub struct Socket {
    /// The listening socket.
    pub bound: Bound,
    /// As it stands in the registry.
    pub entry: Entry,
}

/// Attaches the project at `root`, unless it is among `served`, or the process ends meanwhile.
pub fn attach(
    site: &Site,
    registry: &Registry,
    root: &Path,
    served: &BTreeMap<Id, PathBuf>,
    stop: &Cancel,
) -> (AttachEnd, Option<Socket>) {
    match try_attach(site, registry, root, served, stop) {
        Ok((end, socket)) => (end, socket),
        Err(text) => (AttachEnd::Failed(text), None),
    }
}

fn try_attach(
    site: &Site,
    registry: &Registry,
    root: &Path,
    served: &BTreeMap<Id, PathBuf>,
    stop: &Cancel,
) -> Result<(AttachEnd, Option<Socket>), String> {
    // Another daemon is not asked to make way for one that ends itself.
    let go_on = || if stop.is_cancelled() { Err(STOPPING.to_string()) } else { Ok(()) };
    go_on()?;
    if !Config::exists(root) {
        return Err(format!("{} is not an ox project; run there: ox init", root.display()));
    }
    let project = Project::load(root, &site.env).map_err(|e| e.to_string())?;
    let id: Id = Arc::from(project.workspace_id.as_str());
    if let Some(from) = served.get(&id) {
        let moved = from != root && is_gone(&from.join(PROJECT_DIR));
        return Ok((if moved { AttachEnd::Moved(id) } else { AttachEnd::Served(id) }, None));
    }
    takeover::clear_way(&site.dirs, registry, &project.workspace_id)?;
    if project.legacy_workspace_id != project.workspace_id {
        takeover::clear_way(&site.dirs, registry, &project.legacy_workspace_id)?;
    }
    go_on()?;
    let socket = site.dirs.project_socket(&project.workspace_id);
    // The instance lock is held for the life of this process, and a Go daemon has just been ruled out.
    let bound = listen::bind(&socket, true).map_err(|e| e.to_string())?;
    let entry = record(site, registry, &project, &socket);
    let found = found(site, project, id, socket);
    Ok((AttachEnd::Ready(Box::new(found)), Some(Socket { bound, entry })))
}

/// Writes pid file and registry entry. Without them the project is served all the same; only others find it less easily.
fn record(site: &Site, registry: &Registry, project: &Project, socket: &Path) -> Entry {
    let entry = Entry {
        workspace_id: project.workspace_id.clone(),
        workspace_path: project.root.to_string_lossy().into_owned(),
        repo_id: project.repo_id.clone(),
        socket_path: socket.to_string_lossy().into_owned(),
        pid: std::process::id(),
        version: VERSION.to_string(),
        started_at: GoTime::from(site.clock.now().wall),
    };
    write_pid_file(&site.dirs, &entry);
    if let Err(e) = registry.register(&entry) {
        log::warn!("registry: {e}");
    }
    entry
}

/// Writes down which process serves a project, where the Go program looks for it.
pub fn write_pid_file(dirs: &Dirs, entry: &Entry) {
    let pid_file = dirs.project_pid(&entry.workspace_id);
    if let Err(e) = file::write_atomic(&pid_file, entry.pid.to_string().as_bytes(), 0o600) {
        log::warn!("{}: {e}", pid_file.display());
    }
}

fn found(site: &Site, project: Project, id: Id, socket: PathBuf) -> Attachable {
    let (settings, damaged) = Settings::load(&site.env, &site.dirs, Some(&project));
    let (daemon, errors) = settings.daemon();
    for e in damaged.into_iter().chain(errors) {
        log::warn!("{e}; the default is used");
    }
    Attachable {
        id,
        socket,
        timing: Timing { interval: daemon.sync_interval_read, debounce: daemon.debounce_window },
        team_interval: daemon.team_context_sync_interval,
        idle_timeout: daemon.inactivity_timeout.unwrap_or_default(),
        loaded: sync::load(site, &project, None),
        errors: stored_errors(site, &project),
        repo_id: project.repo_id,
        root: project.root,
    }
}

/// What an earlier process stored of errors.
fn stored_errors(site: &Site, project: &Project) -> StoredErrors {
    let path = site.dirs.project_errors(&project.workspace_id);
    let (mut errors, aside) = match StoredErrors::load(&path) {
        Ok(loaded) => loaded,
        Err(e) => {
            log::warn!("{}: {e}; stored errors of before are not shown", path.display());
            return StoredErrors::default();
        }
    };
    if let Some(aside) = aside {
        log::warn!("{} was damaged; it is now {}", path.display(), aside.display());
    }
    errors.prune(site.clock.now().wall);
    errors
}

/// Takes back what [`attach`] recorded, unless it now belongs to another process or to a newer attachment.
pub fn forget(site: &Site, registry: &Registry, entry: &Entry) {
    let us = std::process::id();
    match registry.unregister(entry) {
        Ok(true) => {}
        Ok(false) => return,
        Err(e) => log::warn!("registry: {e}"),
    }
    let pid_file = site.dirs.project_pid(&entry.workspace_id);
    let ours = file::read_capped(&pid_file, 64).is_ok_and(|bytes| bytes == us.to_string().as_bytes());
    if ours && let Err(e) = std::fs::remove_file(&pid_file) {
        log::warn!("{}: {e}", pid_file.display());
    }
}
