//! One yes for a host that somebody else's commit names.

use super::context::Cx;
use super::errors::{of_project, of_setup};
use super::failure::{Failure, Outcome};
use crate::project::{Project, RemoteUrl, TrustedHosts};
use crate::sync::{self, Loaded, Workspace};

/// Where the ledger is, once its host is trusted: asks if it is not yet, and remembers the yes.
///
/// # Errors
/// The ledger's address is unknown or not one that may be used; nobody could be asked; the answer was no.
pub fn ensure(cx: &Cx, project: &Project, yes: bool) -> Outcome<Workspace> {
    let unknown = |e| of_setup("the ledger's address is unusable", &e);
    let place = sync::ledger_of(&cx.env, &cx.dirs, project, None).map_err(unknown)?;
    let Some(host) = &place.untrusted_host else { return Ok(place) };
    let keeps = format!("This project keeps its ledger at {}.", place.remote.display());
    ask(cx, &keeps, host, &place.remote, yes)?;
    sync::ledger_of(&cx.env, &cx.dirs, project, None).map_err(unknown)
}

/// Asks about the host of the context of the team that people call `team`, unless nobody needs to be asked.
///
/// # Errors
/// Nobody could be asked; the answer was no; the yes could not be written down.
pub fn ensure_team(cx: &Cx, team: &str, remote: &RemoteUrl, yes: bool) -> Outcome {
    let (trusted, damaged) = TrustedHosts::load(&cx.dirs);
    if let Some(e) = damaged {
        cx.ui.warn(&format!("{e}; no host is trusted"));
    }
    match remote.host() {
        Some(host) if !trusted.is_trusted(remote) => {
            let keeps = format!("Team {team} keeps its context at {}.", remote.display());
            ask(cx, &keeps, host, remote, yes)
        }
        _ => Ok(()),
    }
}

/// Asks about every host of the project's teams that is not trusted, once each. Returns the ids of the teams whose hosts stay untrusted:
/// the answer was no, or nobody could be asked.
///
/// # Errors
/// The yes could not be written down.
pub fn ensure_teams(cx: &Cx, loaded: &Loaded, yes: bool) -> Outcome<Vec<String>> {
    let (mut refused, mut untrusted) = (Vec::new(), Vec::new());
    for team in loaded.registry().teams() {
        let Ok(at) = sync::team_of(&cx.dirs, &loaded.slug, loaded.endpoint.as_deref(), &team) else {
            continue;
        };
        let Some(host) = at.untrusted_host else { continue };
        let keeps = format!("Team {} keeps its context at {}.", team.label(), at.remote.display());
        if !refused.contains(&host) && cx.ui.answer(&question(&keeps, &host), yes) == Some(true) {
            trust(cx, &host, &at.remote)?;
        } else {
            refused.push(host);
            untrusted.push(team.id);
        }
    }
    Ok(untrusted)
}

fn ask(cx: &Cx, keeps: &str, host: &str, remote: &RemoteUrl, yes: bool) -> Outcome {
    cx.ui.confirm(&question(keeps, host), yes)?;
    trust(cx, host, remote)
}

fn question(keeps: &str, host: &str) -> String {
    format!("{keeps} Trust {host}? ox will read from it and write to it.")
}

fn trust(cx: &Cx, host: &str, remote: &RemoteUrl) -> Outcome {
    TrustedHosts::trust(&cx.dirs, remote).map_err(|e| of_project(&e))?;
    cx.ui.note(&format!("{host} is trusted from now on"));
    Ok(())
}

/// The address of a remote as it was typed.
///
/// # Errors
/// It is not one that may be used.
pub fn parse(url: &str) -> Outcome<RemoteUrl> {
    RemoteUrl::parse(url).map_err(|e| -> Failure { of_project(&e) })
}
