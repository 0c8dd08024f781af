//! The servers that projects come from: when they are asked for credentials, teams and ledgers, and what their answers change.

pub mod event;
pub(super) mod work;

use std::collections::{BTreeMap, BTreeSet};

use super::cx::Cx;
use super::fact::Fact;
use super::names::Id;
use super::shared::Project;
use crate::health::issues::Healed;
use crate::health::{Issue, IssueKind, Issues};
use crate::kit::clock::Mono;
use crate::sync::CloudView;
use crate::sync::account::{self, Account, CallOutcome, REPOS_EVERY};
use event::{Effect, Event, ServerAnswer, Timer};

/// The key of issues that are about no repository.
const NO_REPO: &str = "";

/// All servers, by endpoint.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    servers: BTreeMap<String, Server>,
    /// When its server last told about a project.
    told: BTreeMap<Id, Mono>,
}

/// One server, for all attached projects that come from it.
#[derive(Debug, Default)]
struct Server {
    account: Account,
    /// Its projects, with the repository whose ledger each needs.
    users: BTreeMap<Id, String>,
    issues: Issues,
}

impl From<Event> for super::event::Event {
    fn from(event: Event) -> Self {
        super::event::Event::Accounts(event)
    }
}

impl From<Effect> for super::event::Effect {
    fn from(effect: Effect) -> Self {
        super::event::Effect::Accounts(effect)
    }
}

impl From<Timer> for super::event::Timer {
    fn from(timer: Timer) -> Self {
        super::event::Timer::Accounts(timer)
    }
}

impl Accounts {
    pub(super) fn handle(&mut self, cx: &mut Cx, event: Event) {
        match event {
            Event::ReposAsked { endpoint, called, changed } => {
                self.repos_asked(cx, &endpoint, called, changed);
            }
            Event::LedgerAsked { endpoint, repo_id, called, answer } => {
                self.ledger_asked(cx, &endpoint, &repo_id, called, answer);
            }
        }
    }

    pub(super) fn due(&mut self, cx: &mut Cx, Timer(endpoint): Timer) {
        self.step(cx, &endpoint, account::Event::Tick);
    }

    pub(super) fn hear(&mut self, cx: &mut Cx, fact: &Fact) {
        match fact {
            Fact::Loaded { id, loaded: Some(loaded) } => {
                let endpoint = cx.shared.project(id).and_then(|project| project.endpoint.clone());
                self.leave(cx, id, endpoint.as_deref());
                if let Some(view) = &loaded.cloud {
                    self.loaded(cx, id, view);
                }
            }
            Fact::Failed { key, refused: true, .. } => {
                // A clone on a server's host was refused: its credentials may be old.
                let users = cx.shared.clone_row(key).map(|row| row.users.clone()).unwrap_or_default();
                let endpoint = |id: &Id| cx.shared.project(id)?.endpoint.clone();
                let endpoints: BTreeSet<String> = users.iter().filter_map(endpoint).collect();
                for endpoint in endpoints {
                    self.step(cx, &endpoint, account::Event::GitRefused);
                }
            }
            Fact::Detached { id, .. } => self.leave(cx, id, None),
            _ => {}
        }
    }

    /// The issues of a project's server.
    pub(super) fn issues_of(&self, project: &Project) -> Vec<Issue> {
        let server = project.endpoint.as_ref().and_then(|endpoint| self.servers.get(endpoint));
        server.map(|server| server.issues.sorted()).unwrap_or_default()
    }

    /// The files of a project have been read: its server's account knows what is stored.
    fn loaded(&mut self, cx: &mut Cx, id: &Id, view: &CloudView) {
        let Some(project) = cx.shared.project(id) else { return };
        let Some(endpoint) = project.endpoint.clone() else { return };
        let repo_id = project.repo_id.clone();
        let told = self.told.get(id).is_some_and(|told| cx.now.mono.since(*told) < REPOS_EVERY);
        let server = self.servers.entry(endpoint.clone()).or_insert_with(|| Server {
            // Waits that an earlier process noted; what this one knows is newer than any file.
            account: view.account.clone(),
            ..Server::default()
        });
        let before = server.users.insert(id.clone(), repo_id.clone());
        if let Some(before) = before.filter(|before| *before != repo_id) {
            self.unwanted(cx, &endpoint, before);
        }
        self.step(cx, &endpoint, account::Event::Login(view.login.clone()));
        self.step(cx, &endpoint, account::Event::Stored(view.stored));
        if !told && !repo_id.is_empty() {
            self.step(cx, &endpoint, account::Event::LedgerWanted(repo_id, true));
        }
    }

    /// A project is served no longer, or comes from no other server than `endpoint` any more.
    fn leave(&mut self, cx: &mut Cx, id: &Id, endpoint: Option<&str>) {
        let left = |(at, server): &(&String, &Server)| {
            Some(at.as_str()) != endpoint && server.users.contains_key(id)
        };
        let left: Vec<String> = self.servers.iter().filter(left).map(|(at, _)| at.clone()).collect();
        if endpoint.is_none() || !left.is_empty() {
            self.told.remove(id);
        }
        for endpoint in left {
            let Some(server) = self.servers.get_mut(&endpoint) else { continue };
            let repo_id = server.users.remove(id);
            if server.users.is_empty() {
                self.servers.remove(&endpoint);
                cx.set(Timer(endpoint), None);
            } else if let Some(repo_id) = repo_id {
                self.unwanted(cx, &endpoint, repo_id);
            }
        }
    }

    /// A project needs the ledger of that repository no longer; perhaps another one does.
    fn unwanted(&mut self, cx: &mut Cx, endpoint: &str, repo_id: String) {
        let Some(server) = self.servers.get(endpoint) else { return };
        if !server.users.values().any(|wanted| *wanted == repo_id) {
            self.step(cx, endpoint, account::Event::LedgerWanted(repo_id, false));
        }
    }

    /// Hands an event to a server's account, does what that wants, and sets its next deadline.
    fn step(&mut self, cx: &mut Cx, endpoint: &str, event: account::Event) {
        let Some(server) = self.servers.get_mut(endpoint) else { return };
        let before = server.account.clone();
        for effect in server.account.handle(cx.now, event) {
            let endpoint = endpoint.to_string();
            match effect {
                account::Effect::Repos => cx.push(Effect::AskRepos { endpoint }),
                account::Effect::Ledger(repo_id) => cx.push(Effect::AskLedger { endpoint, repo_id }),
                account::Effect::RaiseAuth => {
                    let text = format!("{endpoint} does not take the login; run: ox login");
                    if server.issues.raise(IssueKind::AuthExpiring, NO_REPO, &text, cx.now.wall) {
                        let ids = server.users.keys().cloned().collect();
                        cx.tell(Fact::LoginRefused { ids, text });
                    }
                    server.users.keys().for_each(|id| cx.stale(id));
                }
                account::Effect::ClearAuth => {
                    server.issues.heal(NO_REPO, Healed::LoggedIn);
                    server.users.keys().for_each(|id| cx.stale(id));
                }
            }
        }
        if server.account != before {
            let (endpoint, account) = (endpoint.to_string(), Box::new(server.account.clone()));
            cx.push(Effect::Save { endpoint, account });
        }
        self.plan(cx, endpoint);
    }

    fn plan(&self, cx: &mut Cx, endpoint: &str) {
        let at = self.servers.get(endpoint).and_then(|s| s.account.next_deadline(cx.now));
        cx.set(Timer(endpoint.to_string()), at);
    }

    /// A server has been asked for credentials and teams.
    fn repos_asked(&mut self, cx: &mut Cx, endpoint: &str, called: CallOutcome, changed: bool) {
        self.step(cx, endpoint, account::Event::ReposDone(called));
        if called != CallOutcome::Fine {
            return;
        }
        let users: Vec<Id> =
            self.servers.get(endpoint).map(|s| s.users.keys().cloned().collect()).unwrap_or_default();
        users.iter().for_each(|id| cx.tell(Fact::FilesChanged(id.clone())));
        if changed {
            cx.tell(Fact::CredentialsChanged(users));
        }
    }

    /// A server has been asked about a project.
    fn ledger_asked(
        &mut self,
        cx: &mut Cx,
        endpoint: &str,
        repo_id: &str,
        called: CallOutcome,
        answer: Option<ServerAnswer>,
    ) {
        self.step(cx, endpoint, account::Event::LedgerDone(repo_id.to_string(), called));
        let Some(answer) = answer else { return };
        let of_it = |p: &Project| p.repo_id == repo_id && p.endpoint.as_deref() == Some(endpoint);
        let projects = cx.shared.projects().iter().filter(|(_, p)| of_it(p));
        for id in projects.map(|(id, _)| id.clone()).collect::<Vec<Id>>() {
            self.told.insert(id.clone(), cx.now.mono);
            if let Some(url) = answer.ledger.clone() {
                cx.tell(Fact::LedgerNamed { id: id.clone(), url, read_only: answer.read_only });
            }
            if let Some(teams) = answer.teams.clone() {
                cx.tell(Fact::TeamsNamed { id, teams });
            }
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.servers.len() + self.told.len()
    }
}
