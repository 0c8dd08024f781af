//! What keeps agents' hooks from being as the user wants them, for the issues of the daemon.

use jiff::Timestamp;

use super::event::Problem;
use crate::health::IssueKind;
use crate::hooks::install::{self, Error, Status};
use crate::hooks::store::Store;
use crate::hooks::{event, flag};
use crate::sync::Site;

/// All that there is; none where the user's settings cannot be read, which other checks tell.
pub(super) fn find(site: &Site) -> Vec<Problem> {
    let program = crate::hooks::entry::program();
    let at = install::Site { env: &site.env, dirs: &site.dirs, program: program.as_deref() };
    let Ok((_, agents)) = install::status(at) else { return Vec::new() };
    let store = Store::look(&site.dirs.events()).ok().flatten();
    agents
        .iter()
        .filter_map(|status| problem(status, || is_at_work(site, store.as_ref(), status.agent)))
        .collect()
}

/// Whether the agent has worked without a word of its hooks since they were let in.
fn is_at_work(site: &Site, store: Option<&Store>, agent: &str) -> bool {
    let (Some(store), Some(program)) = (store, event::program(agent)) else { return false };
    let since = flag::since(site.dirs.data(), agent).ok().and_then(|since| Timestamp::try_from(since).ok());
    since.is_some_and(|since| store.has_session_without_hooks(program.kind, since).unwrap_or(false))
}

/// `is_at_work`: the agent is used, and runs no hook.
fn problem(status: &Status, is_at_work: impl FnOnce() -> bool) -> Option<Problem> {
    let agent = status.agent;
    let of = |kind, text: String| Some(Problem { kind, agent: agent.to_owned(), text });
    match status.state() {
        "on" | "off" => None,
        // Who never uses the agent has nothing to do.
        state @ ("untrusted" | "disabled" | "switched off") => match is_at_work() {
            true => of(
                IssueKind::HooksUntrusted,
                format!(
                    "{agent} is at work and runs none of our hooks ({state}): {}",
                    status.next_steps.first().map_or("ox hooks status", String::as_str)
                ),
            ),
            false => None,
        },
        state => {
            let why = status.refused.as_ref().map(|e: &Error| format!(" ({})", e.line())).unwrap_or_default();
            let verb = if status.effective { "install" } else { "uninstall" };
            of(
                IssueKind::HooksReconcile,
                format!("hooks of {agent} are not as wanted: {state}{why}; ox hooks {verb} --agent {agent}"),
            )
        }
    }
}
