//! What the files of a project and of this machine say about its ledger and teams.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::cloud;
use super::links::{self, Links, WrongLink};
use super::outcome::CloneInfo;
use super::record;
use super::registry::{Registry, Source};
use super::setup::SetupError;
use super::site::Site;
use super::workspace::{TeamRef, Workspace, ledger_of, team_of};
use crate::git::{CloneLock, exclude_locally};
use crate::kit::file;
use crate::kit::gotime::GoTime;
use crate::project::scaffold::local_paths;
use crate::project::{
    CredentialRepo, GitCredentials, LocalConfig, LocalTeam, Logins, Project, Team, common_dir, remember,
};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Directory name of the project's endpoint.
    pub slug: String,
    /// Host of the endpoint; `None` where the project names its remotes itself.
    pub endpoint: Option<String>,
    /// The project's own team; may be empty.
    pub primary: String,
    /// Its ledger; `None` if its remote is not known.
    pub ledger: Option<Known>,
    /// The teams, by who names them. A source that could not be read is absent.
    pub teams: BTreeMap<Source, Vec<TeamRef>>,
    /// What is known of clones of teams, by team id.
    pub clones: BTreeMap<String, Known>,
    /// What is stored for the project's server; `None` where there is none.
    pub cloud: Option<CloudView>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

/// What this machine has stored for a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloudView {
    /// Tells logins apart; `None` without one that can be used.
    pub login: Option<String>,
    /// The end of git's credentials; `None` without any.
    pub stored: Option<GoTime>,
    /// What the last process left of asking it.
    pub account: Account,
}

/// What this machine knows of a clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Where it is.
    pub place: CloneInfo,
    /// When it was last level with its remote.
    pub last_sync: Option<Timestamp>,
    /// Failures that an earlier process remembered.
    pub saved: Option<Saved>,
}

/// Failures in a row, as they are remembered over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// How many.
    pub failures: u32,
    /// The next attempt is not before.
    pub retry_at: GoTime,
}

/// File below a clone's state directory.
const BACKOFF_FILE: &str = "backoff.json";

impl Saved {
    /// Reads what is remembered below `state`; nothing, if that cannot be read: then an attempt is made early.
    pub fn load(state: &Path) -> Option<Saved> {
        Some(record::load(&state.join(BACKOFF_FILE))).filter(|saved: &Saved| saved.failures > 0)
    }

    /// Remembers it below `state`; `None` forgets.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(state: &Path, saved: Option<&Saved>) -> std::io::Result<()> {
        let path = state.join(BACKOFF_FILE);
        match saved {
            Some(saved) => record::save(&path, saved),
            None => file::found(std::fs::remove_file(&path)).map(drop),
        }
    }
}

/// As [`load_local`], makes the project's links lead to its clones, and remembers its configuration. No clone is touched.
/// `told` is what the server has said about its teams; `None` while it has said nothing.
pub fn load(site: &Site, project: &Project, told: Option<&[TeamRef]>) -> Loaded {
    let (_, mut loaded) = load_with(site, project, told);
    remember(&project.root);
    let all_known = told.is_some() || loaded.endpoint.is_none();
    // So that a branch without `.sageox/.gitignore` shows nothing of what is kept on this machine only.
    if let Some(Err(e)) = common_dir(&project.root).map(|common| exclude_locally(&common, &local_paths())) {
        log::debug!("{}: {e}", project.root.display());
    }
    let problems = links::ensure(&project.root, &Links { all_known, ..links_of(&loaded) });
    loaded.problems.extend(problems);
    loaded
}

/// Which of the project's links do not lead to its clones. Changes nothing.
pub fn wrong_links(site: &Site, project: &Project) -> Vec<WrongLink> {
    links::wrong(&project.root, &links_of(&load_local(site, project)))
}

/// Reads what there is to know about the ledger and teams of `project`. Changes nothing.
pub fn load_local(site: &Site, project: &Project) -> Loaded {
    load_with_ledger(site, project).1
}

/// As [`load_local`], and where the ledger is, or why that is not known.
pub fn load_with_ledger(site: &Site, project: &Project) -> (Result<Workspace, SetupError>, Loaded) {
    load_with(site, project, None)
}

fn load_with(
    site: &Site,
    project: &Project,
    told: Option<&[TeamRef]>,
) -> (Result<Workspace, SetupError>, Loaded) {
    let mut loaded = Loaded {
        slug: project.slug.clone(),
        endpoint: (!project.endpoint.is_local()).then(|| project.endpoint.as_str().to_string()),
        primary: project.config.team_id(),
        ..Loaded::default()
    };
    let local = LocalConfig::load(&project.root).unwrap_or_else(|e| {
        loaded.problems.push(e.to_string());
        LocalConfig::default()
    });
    let ledger = ledger_of(&site.env, &site.dirs, project, None);
    match &ledger {
        Ok(at) => {
            let last_sync = last_level(at, local.ledger().and_then(|l| l.last_sync.0));
            loaded.ledger = Some(Known { saved: Saved::load(&at.state), place: at.to_place(), last_sync });
        }
        // Its server has yet to be asked.
        Err(SetupError::NoRemote(_)) => {}
        Err(e) => loaded.problems.push(e.to_string()),
    }
    name_teams(site, project, &local, &mut loaded);
    add_cloud(site, project, &mut loaded);
    add_clones(site, &local, told, &mut loaded);
    (ledger, loaded)
}

fn name_teams(site: &Site, project: &Project, local: &LocalConfig, loaded: &mut Loaded) {
    let named = |t: Team| TeamRef { id: t.team_id, name: t.name, url: t.url, ..TeamRef::default() };
    if loaded.endpoint.is_none() {
        // The local file only remembers when they were synced.
        loaded.teams.insert(Source::Config, project.config.teams().into_iter().map(named).collect());
        return;
    }
    let known =
        |t: LocalTeam| TeamRef { id: t.team_id, name: t.team_name, slug: t.slug, ..TeamRef::default() };
    let mut configured: Vec<TeamRef> = local.teams().into_iter().map(known).collect();
    let own = project.config.team_id();
    let has_own = configured.iter().any(|t| t.id == own);
    // Only one that is there: its remote is not known from here.
    if !own.is_empty() && !has_own && site.dirs.team(&loaded.slug, &own).join(".git").exists() {
        configured.push(TeamRef { id: own, name: project.config.team_name(), ..TeamRef::default() });
    }
    loaded.teams.insert(Source::Config, configured);
    match GitCredentials::load(&site.dirs, &loaded.slug) {
        Ok(credentials) => {
            let repos = credentials.map(|c| c.repos).unwrap_or_default();
            let opened = repos.into_iter().filter(|r| r.is_team_context() && !r.team_id.is_empty());
            let team = |r: CredentialRepo| TeamRef {
                id: r.team_id,
                name: r.name,
                slug: r.slug,
                url: r.url,
                read_only: false,
            };
            loaded.teams.insert(Source::Credentials, opened.map(team).collect());
        }
        // What they said before counts: a damaged file takes no team away.
        Err(e) => loaded.problems.push(e.to_string()),
    }
}

impl Loaded {
    /// The teams that all sources together name.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        for (source, teams) in &self.teams {
            registry.replace(*source, teams.iter().cloned());
        }
        registry
    }
}

fn add_cloud(site: &Site, project: &Project, loaded: &mut Loaded) {
    if project.endpoint.is_local() {
        return;
    }
    let now = site.clock.now().wall;
    let login = match Logins::load(&site.dirs, &project.endpoint) {
        Ok(logins) => {
            // One that has ended is renewed before it is used.
            let usable =
                logins.get(&project.endpoint).filter(|login| login.is_valid(now) || login.can_be_renewed());
            usable.map(|login| cloud::fingerprint(&login.access_token))
        }
        // A login that cannot be read is none: nothing is sent.
        Err(e) => {
            loaded.problems.push(e.to_string());
            None
        }
    };
    let stored = GitCredentials::load(&site.dirs, &loaded.slug).ok().flatten();
    let stored = stored.filter(|c| !c.token.is_empty()).map(|c| c.expires_at);
    let account = Account::load(&site.dirs, &project.endpoint);
    loaded.cloud = Some(CloudView { login, stored, account });
}

fn add_clones(site: &Site, local: &LocalConfig, told: Option<&[TeamRef]>, loaded: &mut Loaded) {
    let mut registry = loaded.registry();
    registry.replace(Source::Api, told.unwrap_or_default().iter().cloned());
    for team in registry.teams() {
        match team_of(&site.dirs, &loaded.slug, loaded.endpoint.as_deref(), &team) {
            Ok(at) => {
                let last_sync = last_level(&at, local.team(&team.id).and_then(|t| t.last_sync.0));
                let known = Known { saved: Saved::load(&at.state), place: at.to_place(), last_sync };
                loaded.clones.insert(team.id, known);
            }
            Err(e) => loaded.problems.push(format!("team {}: {e}", team.label())),
        }
    }
}

/// When a clone that is there was last level: what was noted, or a look by anybody since.
fn last_level(at: &Workspace, noted: Option<Timestamp>) -> Option<Timestamp> {
    let looked = CloneLock::peek(&at.lock).and_then(|stamp| stamp.fetched_at);
    noted.max(looked).filter(|_| at.exists())
}

fn links_of(loaded: &Loaded) -> Links {
    let there = |known: &Known| known.place.exists.then(|| known.place.path.clone());
    Links {
        ledger: loaded.ledger.as_ref().and_then(there),
        teams: loaded.clones.iter().filter_map(|(id, known)| Some((id.clone(), there(known)?))).collect(),
        primary: loaded.primary.clone(),
        all_known: loaded.endpoint.is_none(),
    }
}
