//! A daemon of another program at the project's socket: whether it does what a command is about to rely on.

use std::path::Path;

use super::context::Cx;
use super::exit::Exit;
use super::failure::Failure;
use crate::daemon::{is_ours, shown_version};
use crate::ipc::client::Client;
use crate::ipc::wire::StatusData;
use crate::project::Project;
use crate::sync::{self, Workspace};

/// What is said of one that keeps other clones than the project's ledger, or none.
pub const NOT_KEPT: &str = "another daemon serves this project, it does not keep this ledger";

/// What leads out of it: the next command starts ours.
pub const WAY_OUT: &str = "ox daemon stop";

/// Whether another program's daemon answered, and the ledger is not among what it keeps.
pub fn leaves_out(data: &StatusData, ledger: &Workspace) -> bool {
    let listed = data.workspaces.get(sync::LEDGER).into_iter().flatten().map(|clone| clone.path.as_str());
    let mut named = listed.chain([data.ledger_path.as_str()]);
    !is_ours(&data.version) && !named.any(|path| is_same(Path::new(path), &ledger.path))
}

/// The failure of a command that needs the ledger kept.
pub fn refusal(data: &StatusData) -> Failure {
    Failure::new(Exit::Failed, NOT_KEPT).because_of(who(data)).hint(WAY_OUT)
}

/// The failure of a command that the project's daemon does not know how to serve.
pub fn too_old(cx: &Cx, project: &Project, what: &str) -> Failure {
    let data = cx.client(project).status().unwrap_or_default();
    let what = format!("the daemon ({}) is older and does not know {what}", version(&data));
    Failure::new(Exit::Failed, what).hint(if is_ours(&data.version) { "ox daemon restart" } else { WAY_OUT })
}

/// Says that the project is another program's daemon's, if so.
pub fn warn(cx: &Cx, client: &Client) {
    if let Some(who) = client.status().ok().and_then(|data| who_else(&data)) {
        cx.ui.warn(&format!(
            "another daemon serves this project, {who}; to hand it over: {WAY_OUT}, then ox up"
        ));
    }
}

/// Names the daemon that answered, if it is another program's.
pub fn who_else(data: &StatusData) -> Option<String> {
    (!is_ours(&data.version)).then(|| who(data))
}

fn who(data: &StatusData) -> String {
    match data.pid {
        0 => format!("it is {}", version(data)),
        pid => format!("it is {}, pid {pid}", version(data)),
    }
}

fn version(data: &StatusData) -> &str {
    if data.version.is_empty() { "an unknown version" } else { shown_version(&data.version) }
}

/// The Go program names directories with symbolic links resolved.
fn is_same(theirs: &Path, ours: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    theirs == ours || (theirs.is_absolute() && real(theirs).is_some_and(|path| Some(path) == real(ours)))
}
