//! The servers that projects come from: when they are asked for credentials, teams and ledgers, and what their answers change.

use std::collections::BTreeSet;

use super::core::Core;
use super::event::{Effect, Id, Key, Said};
use super::schedule::Beat;
use super::{errors, teams};
use crate::health::errors::Code;
use crate::health::issues::Healed;
use crate::health::{IssueKind, Issues};
use crate::kit::clock::Now;
use crate::sync::account::{self, Account, Called, REPOS_EVERY};
use crate::sync::{CloudView, Known, Source, Target, TeamRef};

/// One server, for all attached projects that come from it.
#[derive(Debug, Default)]
pub(super) struct Server {
    account: Account,
    users: BTreeSet<Id>,
    pub(super) issues: Issues,
}

/// The key of issues that are about no repository.
const NO_REPO: &str = "";

/// The files of a project have been read: its server's account knows what is stored.
pub(super) fn loaded(core: &mut Core, now: Now, id: &Id, view: CloudView) {
    let Some(project) = core.projects.get(id) else { return };
    let Some(endpoint) = project.endpoint.clone() else { return };
    let repo_id = project.repo_id.clone();
    let told = project.told.is_some_and(|told| now.mono.since(told) < REPOS_EVERY);
    let server = core.accounts.entry(endpoint.clone()).or_insert_with(|| Server {
        // Waits that an earlier process noted; what this one knows is newer than any file.
        account: view.account,
        ..Server::default()
    });
    server.users.insert(id.clone());
    handle(core, now, &endpoint, account::Event::Login(view.login));
    handle(core, now, &endpoint, account::Event::Stored(view.stored));
    if !told && !repo_id.is_empty() {
        handle(core, now, &endpoint, account::Event::LedgerWanted(repo_id, true));
    }
}

/// A project is served no longer.
pub(super) fn let_go(core: &mut Core, now: Now, id: &Id) {
    let endpoints: Vec<String> =
        core.accounts.iter().filter(|(_, s)| s.users.contains(id)).map(|(e, _)| e.clone()).collect();
    for endpoint in endpoints {
        let Some(server) = core.accounts.get_mut(&endpoint) else { continue };
        server.users.remove(id);
        if server.users.is_empty() {
            core.accounts.remove(&endpoint);
            core.deadlines.remove(&Beat::Account(endpoint));
        } else {
            plan(core, now, &endpoint);
        }
    }
}

/// Hands an event to a server's account, does what that wants, and sets its next deadline.
pub(super) fn handle(core: &mut Core, now: Now, endpoint: &str, event: account::Event) {
    let Some(server) = core.accounts.get_mut(endpoint) else { return };
    let before = server.account.clone();
    let wanted = server.account.handle(now, event);
    let mut refused = None;
    for effect in &wanted {
        match effect {
            account::Effect::Repos => {
                core.out.push(Effect::AskRepos { endpoint: endpoint.to_string() });
            }
            account::Effect::Ledger(repo_id) => {
                let (endpoint, repo_id) = (endpoint.to_string(), repo_id.clone());
                core.out.push(Effect::AskLedger { endpoint, repo_id });
            }
            account::Effect::RaiseAuth => {
                let text = format!("{endpoint} does not take the login; run: ox login");
                if server.issues.raise(IssueKind::AuthExpiring, NO_REPO, &text, now.wall) {
                    refused = Some(text);
                }
            }
            account::Effect::ClearAuth => {
                server.issues.heal(NO_REPO, Healed::LoggedIn);
            }
        }
    }
    if server.account != before {
        let (endpoint, account) = (endpoint.to_string(), Box::new(server.account.clone()));
        core.out.push(Effect::SaveAccount { endpoint, account });
    }
    let told = wanted.iter().any(|e| matches!(e, account::Effect::RaiseAuth | account::Effect::ClearAuth));
    if told {
        for id in server.users.clone() {
            if let Some(project) = core.projects.get_mut(&id) {
                project.dirty = true;
            }
            if let Some(text) = &refused {
                errors::store(core, now, &id, Code::AuthExpired, text);
            }
        }
    }
    plan(core, now, endpoint);
}

fn plan(core: &mut Core, now: Now, endpoint: &str) {
    let at = core.accounts.get(endpoint).and_then(|s| s.account.next_deadline(now));
    core.deadlines.set(Beat::Account(endpoint.to_string()), at);
}

/// A clone on a server's host was refused: its credentials may be old.
pub(super) fn git_refused(core: &mut Core, now: Now, key: &Key) {
    let Some(repo) = core.repos.get(key) else { return };
    let endpoints: BTreeSet<String> =
        repo.users.iter().filter_map(|id| core.projects.get(id)?.endpoint.clone()).collect();
    for endpoint in endpoints {
        handle(core, now, &endpoint, account::Event::GitRefused);
    }
}

/// A server has been asked for credentials and teams.
pub(super) fn repos_asked(core: &mut Core, now: Now, endpoint: &str, called: Called, changed: bool) {
    handle(core, now, endpoint, account::Event::ReposDone(called));
    let users = core.accounts.get(endpoint).map(|s| s.users.clone()).unwrap_or_default();
    if called != Called::Fine {
        return;
    }
    for id in &users {
        core.load(id);
    }
    if changed {
        // What was refused with the old credentials may be tried with the new ones.
        let mut refused: Vec<Key> = Vec::new();
        for (key, repo) in core.repos.iter_mut().filter(|(_, r)| !r.users.is_disjoint(&users)) {
            repo.renewed = repo.schedule.running().is_some();
            refused.extend(repo.refused.then(|| key.clone()));
        }
        for key in refused {
            if let Some(repo) = core.repos.get_mut(&key) {
                repo.refused = false;
                repo.schedule.force();
            }
            core.start_due(now, &key);
        }
    }
}

/// A server has been asked about a project.
pub(super) fn ledger_asked(
    core: &mut Core,
    now: Now,
    endpoint: &str,
    repo_id: &str,
    called: Called,
    said: Option<Said>,
) {
    handle(core, now, endpoint, account::Event::LedgerDone(repo_id.to_string(), called));
    let Some(said) = said else { return };
    let of_it = |(id, p): (&Id, &super::attach::Project)| {
        (p.repo_id == repo_id && p.endpoint.as_deref() == Some(endpoint)).then(|| id.clone())
    };
    let ids: Vec<Id> = core.projects.iter().filter_map(of_it).collect();
    for id in ids {
        if let Some(project) = core.projects.get_mut(&id) {
            project.told = Some(now.mono);
        }
        if let Some(url) = &said.ledger {
            name_ledger(core, now, &id, url, said.read_only);
        }
        if let Some(teams) = &said.teams {
            name_teams(core, now, &id, teams);
        }
    }
}

fn name_ledger(core: &mut Core, now: Now, id: &Id, named: &str, viewer: bool) {
    let key = Key::Ledger(id.clone());
    let Some(repo) = core.repos.get_mut(&key) else { return };
    let Target::Ledger { url, read_only, .. } = &mut repo.target else { return };
    if url.as_deref() == Some(named) && *read_only == viewer {
        return;
    }
    (*url, *read_only) = (Some(named.to_string()), viewer);
    // A clone that is missing is made now, whatever was in the way before, and what waits is pushed.
    repo.schedule.force_anew();
    core.changed(&key);
    core.start_due(now, &key);
}

/// The teams that the server names now. One that it names no longer is taken away, unless somebody else names it, its clone holds
/// anything of its own, or it is not known what else the user may see.
fn name_teams(core: &mut Core, now: Now, id: &Id, teams: &[TeamRef]) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let slug = project.slug.clone();
    let mut named: Vec<TeamRef> = teams.to_vec();
    let lost: Vec<TeamRef> = project
        .teams
        .teams()
        .into_iter()
        .filter(|t| project.teams.sources(&t.id) == [Source::Api] && !teams.iter().any(|n| n.id == t.id))
        .collect();
    // Kept until it is known what becomes of their clones.
    named.extend(lost.iter().cloned());
    let changed = project.teams.replace(Source::Api, named);
    project.dirty |= changed;
    if changed {
        teams::reconcile(core, now, id, &std::collections::BTreeMap::<String, Known>::new());
    }
    for team in teams {
        if let Some(repo) = core.repos.get_mut(&Key::team(&slug, &team.id))
            && let Some(text) = repo.revoked.take()
            && repo.last_error == text
        {
            repo.last_error.clear();
        }
    }
    let knows_membership = core.projects.get(id).is_some_and(|p| p.teams.has(Source::Credentials));
    if !knows_membership {
        return;
    }
    for team in lost {
        let key = Key::team(&slug, &team.id);
        let Some(repo) = core.repos.get(&key) else { continue };
        if repo.users.len() == 1 {
            core.out.push(Effect::Revoke { key, target: repo.target.clone() });
        } else {
            // Another project goes on using the clone.
            forget(core, now, id, &team.id);
        }
    }
}

/// It is known what became of the clone of a team that the server names no longer.
pub(super) fn revoked(core: &mut Core, now: Now, key: &Key, kept: Option<String>) {
    let Some(team) = core.repos.get(key).and_then(|r| r.team_id()).map(str::to_string) else { return };
    if let Some(why) = kept {
        if let Some(repo) = core.repos.get_mut(key) {
            let text = format!("access was revoked; the local copy is kept: {why}");
            repo.last_error.clone_from(&text);
            repo.revoked = Some(text);
        }
        return core.changed(key);
    }
    for id in core.users(key) {
        forget(core, now, &id, &team);
    }
}

/// A project's server names a team no longer.
fn forget(core: &mut Core, now: Now, id: &Id, team: &str) {
    let Some(project) = core.projects.get_mut(id) else { return };
    if project.teams.sources(team) == [Source::Api] && project.teams.forget(Source::Api, team) {
        project.dirty = true;
        log::info!("[{}] team {team} is gone: its server names it no longer", project.label());
        teams::reconcile(core, now, id, &std::collections::BTreeMap::<String, Known>::new());
        // Its link goes, too.
        core.load(id);
    }
}
