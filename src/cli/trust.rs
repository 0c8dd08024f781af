//! One yes for a host that somebody else's commit names.

use super::context::Cx;
use super::errors::{of_project, of_setup};
use super::failure::{Failure, Outcome};
use crate::project::{Project, RemoteUrl, TrustedHosts};
use crate::sync::{self, Workspace};

/// Where the ledger is, once its host is trusted: asks if it is not yet, and remembers the yes.
///
/// # Errors
/// The ledger's address is unknown or not one that may be used; nobody could be asked; the answer was no.
pub fn ensure(cx: &Cx, project: &Project, yes: bool) -> Outcome<Workspace> {
    let unknown = |e| of_setup("the ledger's address is unusable", &e);
    let place = sync::ledger_of(&cx.env, &cx.dirs, project, None).map_err(unknown)?;
    let Some(host) = &place.untrusted_host else { return Ok(place) };
    let url = place.remote.display();
    let question = format!("This project keeps its ledger at {url}. Read from and write to {host}?");
    cx.ui.confirm(&question, yes)?;
    TrustedHosts::trust(&cx.dirs, &place.remote).map_err(|e| of_project(&e))?;
    cx.ui.note(&format!("{host} is trusted from now on"));
    sync::ledger_of(&cx.env, &cx.dirs, project, None).map_err(unknown)
}

/// The address of a remote as it was typed.
///
/// # Errors
/// It is not one that may be used.
pub fn parse(url: &str) -> Outcome<RemoteUrl> {
    RemoteUrl::parse(url).map_err(|e| -> Failure { of_project(&e) })
}
