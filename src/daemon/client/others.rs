//! Daemons beside ours, as the registry tells of them: those of the Go program, and of other homes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::daemon::names;
use crate::daemon::projects::{Entry, Registry};
use crate::ipc::client::Client;
use crate::kit::process::may_live;
use crate::project::{Dirs, Project};

/// Before a living process is asked again; then twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Whether whoever serves the project is a daemon of this program, as far as the registry tells; nobody counts as one.
pub fn is_ours(dirs: &Dirs, project: &Project) -> bool {
    server(dirs, project).is_none_or(|entry| names::is_ours(&entry.version))
}

/// The daemons of the registry that answer and are not the process `ours`.
pub fn alive(dirs: &Dirs, ours: u32) -> Vec<Entry> {
    // Its process lives: on a busy machine it may need more than a moment.
    let answers = |e: &Entry| Client::new(&e.socket_path).is_reachable_with_retry(3, FIRST_WAIT);
    let lives = |e: &Entry| e.pid != ours && may_live(e.pid) && answers(e);
    entries(dirs).into_values().filter(lives).collect()
}

/// Whether the registry says that another process than `ours` serves the project.
pub(super) fn is_foreign(dirs: &Dirs, project: &Project, ours: u32) -> bool {
    server(dirs, project).is_some_and(|entry| entry.pid != ours)
}

/// Who serves the project.
fn server(dirs: &Dirs, project: &Project) -> Option<Entry> {
    entries(dirs).remove(&project.workspace_id)
}

/// What the registry says; nothing if it cannot be read.
fn entries(dirs: &Dirs) -> BTreeMap<String, Entry> {
    Registry::at(dirs.registry()).entries().unwrap_or_default()
}
