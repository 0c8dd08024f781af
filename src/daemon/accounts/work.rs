//! What workers do for accounts: they ask servers, and write down what a restart must not forget.

use super::event::{Effect, Event, ServerAnswer};
use crate::cloud::{AccessError, Calls, VENDOR_TIMEOUTS, Want, vendor_access};
use crate::daemon::host::lanes::{Lane, Lanes};
use crate::daemon::host::latest::Latest;
use crate::kit::cancel::Cancel;
use crate::kit::clock::pause;
use crate::kit::secret::Secret;
use crate::project::Endpoint;
use crate::sync::Site;
use crate::sync::TeamRef;
use crate::sync::account::{Account, CallOutcome};
use crate::sync::api::{Access, Notes, RepoTeam};
use crate::sync::cloud::{self, Cloud, LedgerLookup};

/// What the work for accounts needs.
pub(in crate::daemon) struct Work {
    accounts: Latest<String, Box<Account>>,
}

impl Work {
    pub(in crate::daemon) fn new(lanes: &Lanes) -> Work {
        let dirs = lanes.site.dirs.clone();
        let save = move |endpoint: &String, account: Box<Account>| {
            let Some(endpoint) = Endpoint::parse(endpoint) else { return };
            if let Err(e) = account.save(&dirs, &endpoint) {
                log::warn!("{endpoint}: {e}");
            }
        };
        Work { accounts: Latest::new(save) }
    }

    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        match effect {
            Effect::AskRepos { endpoint } => ask_repos(lanes, endpoint),
            Effect::AskLedger { endpoint, repo_id } => ask_ledger(lanes, endpoint, repo_id),
            Effect::Save { endpoint, account } => self.accounts.put(lanes, endpoint, account),
        }
    }

    /// Writes what no worker had room for.
    pub(in crate::daemon) fn end(&self) {
        self.accounts.finish();
    }
}

/// Has a worker ask a server. A login that is about to end is renewed first, and one that the server refuses once.
fn ask<T: Send + 'static>(
    lanes: &Lanes,
    endpoint: &str,
    call: impl Fn(&Cloud<'_>) -> (CallOutcome, T) + Send + 'static,
    event: impl FnOnce(Option<(CallOutcome, T)>) -> Event + Send + 'static,
) {
    let (site, cancel) = (lanes.site.clone(), lanes.stop.clone());
    let endpoint = Endpoint::parse(endpoint).unwrap_or_else(Endpoint::local);
    let work = move || {
        let (http, dirs, endpoint, cancel) = (&site.http, &site.dirs, &endpoint, &cancel);
        let once = || call(&Cloud { http, dirs, endpoint, cancel, now: site.clock.now().wall });
        let login = renewed(&site, cancel, endpoint, &Want::Fresh);
        let done = once();
        match login {
            Some(not) if done.0 == CallOutcome::Unauthorized => {
                let login = renewed(&site, cancel, endpoint, &Want::Forced { not });
                login.map_or(done, |_| once())
            }
            _ => done,
        }
    };
    lanes.start(Lane::Net, work, |ended| event(ended.ok()).into());
}

/// The token of a login as it is wanted, written down where others read it; `None` where there is none to be had.
fn renewed(site: &Site, cancel: &Cancel, endpoint: &Endpoint, want: &Want) -> Option<Secret> {
    let http = &site.http;
    let calls = Calls { http, clock: &*site.clock, pause: &pause, cancel, timeouts: VENDOR_TIMEOUTS };
    match vendor_access(&calls, &site.dirs, endpoint, want) {
        Ok(token) => Some(token),
        Err(e) => {
            if e != AccessError::NotLoggedIn {
                log::warn!("{endpoint}: {e}");
            }
            None
        }
    }
}

fn ask_repos(lanes: &Lanes, endpoint: String) {
    let call = |cloud: &Cloud<'_>| match cloud::refresh_credentials(cloud) {
        Ok(refreshed) => {
            note(&refreshed.notes);
            (CallOutcome::Fine, refreshed.changed)
        }
        Err(e) => {
            log::warn!("{}: {e}", cloud.endpoint);
            (e.called(), false)
        }
    };
    ask(lanes, &endpoint.clone(), call, |ended| {
        let (called, changed) = ended.unwrap_or((CallOutcome::Network, false));
        Event::ReposAsked { endpoint, called, changed }
    });
}

fn ask_ledger(lanes: &Lanes, endpoint: String, repo_id: String) {
    let wanted = repo_id.clone();
    let call = move |cloud: &Cloud<'_>| match cloud::lookup_ledger(cloud, &wanted) {
        Ok(found) => {
            note(&found.notes);
            (found.called(), Some(answer(&found)))
        }
        Err(e) => {
            log::warn!("{}: where the ledger is: {e}", cloud.endpoint);
            (e.called(), None)
        }
    };
    ask(lanes, &endpoint.clone(), call, |ended| {
        let (called, answer) = ended.unwrap_or((CallOutcome::Network, None));
        Event::LedgerAsked { endpoint, repo_id, called, answer }
    });
}

fn answer(found: &LedgerLookup) -> ServerAnswer {
    let team = |t: &RepoTeam| TeamRef {
        id: t.team_id.clone(),
        name: t.name.clone(),
        slug: t.slug.clone(),
        url: t.repo_url.clone(),
        read_only: t.access_level == Access::Viewer,
    };
    ServerAnswer {
        ledger: found.ledger.as_ref().map(|url| url.as_str().to_string()),
        read_only: found.access == Access::Viewer,
        teams: found.teams.as_ref().map(|teams| teams.iter().map(team).collect()),
    }
}

/// What a server says besides its answer is for people.
fn note(notes: &Notes) {
    if let Some(text) = &notes.deprecated {
        log::warn!("the server says that this version will not be served for ever: {text}");
    }
}
