//! A managed clone: what it holds, where it lies, where it comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::access;
use super::outcome::CloneInfo;
use super::setup::SetupError;
use crate::git::Reader;
use crate::kit::file;
use crate::project::{
    self, AllowedHosts, Dirs, Endpoint, Env, GitCredentials, LocalConfig, Project, RemoteUrl, TrustedHosts,
    check_team_id,
};

/// What a managed clone holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The record of one project.
    Ledger,
    /// What a team shares.
    Team,
}

impl Kind {
    /// Its name in a status.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ledger => "ledger",
            Kind::Team => "team-context",
        }
    }

    /// Its name in paths of locks and state.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Kind::Ledger => super::LEDGER,
            Kind::Team => "team",
        }
    }

    /// Name of the state directory of the one with this id.
    pub fn state_name(self, id: &str) -> String {
        format!("{}-{id}", self.tag())
    }
}

/// A team as somebody named it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamRef {
    /// Its id, the same on every machine.
    pub id: String,
    /// Its name for people; may be empty.
    pub name: String,
    /// Its short name; may be empty.
    pub slug: String,
    /// The git remote of its context; empty if that source does not know it.
    pub url: String,
    /// Nothing may be pushed there.
    pub read_only: bool,
}

impl TeamRef {
    /// What people call it.
    pub fn label(&self) -> &str {
        [&self.name, &self.slug].into_iter().find(|s| !s.is_empty()).unwrap_or(&self.id)
    }
}

/// What is to be kept level, as the daemon's core knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The ledger of the project at `root`.
    Ledger {
        /// The project's directory.
        root: PathBuf,
        /// Its remote, where a server named it.
        url: Option<String>,
        /// Nothing may be pushed there.
        read_only: bool,
    },
    /// A team's context.
    Team {
        /// Directory name of the endpoint it belongs to.
        slug: String,
        /// Host of that endpoint; `None` where the team names its remotes itself.
        endpoint: Option<String>,
        /// Which.
        team: TeamRef,
    },
}

impl Target {
    /// What it holds.
    pub fn kind(&self) -> Kind {
        match self {
            Target::Ledger { .. } => Kind::Ledger,
            Target::Team { .. } => Kind::Team,
        }
    }

    /// What log lines call it.
    pub fn label(&self) -> String {
        match self {
            Target::Ledger { root, .. } => {
                root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned()
            }
            Target::Team { team, .. } => team.label().to_string(),
        }
    }

    /// What a message calls it in the middle of a sentence.
    pub fn noun(&self) -> String {
        match self {
            Target::Ledger { .. } => "the ledger".to_string(),
            Target::Team { team, .. } => format!("team {}", team.label()),
        }
    }

    /// What the status and issues call it: `ledger`, or the team's id.
    pub fn workspace_id(&self) -> &str {
        self.team_id().unwrap_or(super::LEDGER)
    }

    /// The team's id; `None` for a ledger.
    pub fn team_id(&self) -> Option<&str> {
        match self {
            Target::Ledger { .. } => None,
            Target::Team { team, .. } => Some(&team.id),
        }
    }
}

/// Where a managed clone is and where it comes from.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// What it holds.
    pub kind: Kind,
    /// `ledger`, or the team's id: what issues and messages call it.
    pub id: String,
    /// The clone's directory.
    pub path: PathBuf,
    /// The clone's lock file.
    pub lock: PathBuf,
    /// Directory for what belongs to the clone and never enters it.
    pub state: PathBuf,
    /// The remote.
    pub remote: RemoteUrl,
    /// The remote is of the team's own choice and not a vendor's.
    pub self_hosted: bool,
    /// The remote is named in the project's committed configuration.
    pub committed: bool,
    /// Nothing may be pushed to the remote.
    pub read_only: bool,
    /// Host that nobody on this machine has agreed to yet.
    pub untrusted_host: Option<String>,
}

impl Workspace {
    /// Whether there is a clone.
    pub fn exists(&self) -> bool {
        self.path.join(".git").exists()
    }

    /// The remote as git takes it.
    pub fn url(&self) -> String {
        self.remote.as_str().to_string()
    }

    /// The bare repository of our own that is the remote when none is named.
    pub fn own_remote(&self) -> Option<&Path> {
        (self.kind == Kind::Ledger && !self.committed).then(|| self.remote.local_path()).flatten()
    }

    /// The facts for a status.
    pub fn to_place(&self) -> CloneInfo {
        CloneInfo {
            path: self.path.clone(),
            url: self.remote.display(),
            host: self.remote.host().map(str::to_string),
            exists: self.exists(),
            read_only: self.read_only,
            state: self.state.clone(),
        }
    }

    fn at(dirs: &Dirs, slug: &str, kind: Kind, id: &str, path: PathBuf, remote: RemoteUrl) -> Workspace {
        let state = dirs.state_of(slug, &kind.state_name(id));
        Workspace {
            kind,
            id: if kind == Kind::Ledger { super::LEDGER.to_string() } else { id.to_string() },
            path,
            lock: dirs.clone_lock(slug, kind.tag(), id),
            read_only: access::is_read_only(&state),
            state,
            remote,
            self_hosted: true,
            committed: true,
            untrusted_host: None,
        }
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Ledger => f.write_str("the ledger"),
            Kind::Team => write!(f, "team context {}", self.id),
        }
    }
}

/// Where the project's ledger is. `named` is its remote if a server has told it.
///
/// # Errors
/// Its remote is unknown or not one that may be used.
pub fn ledger_of(
    env: &Env,
    dirs: &Dirs,
    project: &Project,
    named: Option<&str>,
) -> Result<Workspace, SetupError> {
    if project.repo_id.is_empty() {
        return Err(SetupError::NoRepoId(project.root.clone()));
    }
    let path = dirs.ledger(&project.slug, &project.repo_id);
    let at = |path, remote| Workspace::at(dirs, &project.slug, Kind::Ledger, &project.repo_id, path, remote);
    if !project.endpoint.is_local() {
        let (path, remote) = vendor_ledger(env, dirs, project, path, named)?;
        return Ok(Workspace { self_hosted: false, ..at(path, remote) });
    }
    let Some(url) = address(dirs, project) else {
        let bare = dirs.local_remote(&project.repo_id);
        let remote = parse(&bare.to_string_lossy())?;
        return Ok(Workspace { committed: false, ..at(path, remote) });
    };
    let (remote, untrusted_host) = remote_of(dirs, &url)?;
    Ok(Workspace { untrusted_host, ..at(path, remote) })
}

/// The remote of a ledger that the project's people named. Where the configuration has lost it, the clone tells where it comes from, else
/// what is remembered counts; `None` if the ledger is kept on this machine alone.
pub(super) fn address(dirs: &Dirs, project: &Project) -> Option<String> {
    let named = project.config.ledger_url();
    if project.lost.ledger_url.is_none() && project.config.has("ledger_url") {
        return named;
    }
    // The repository beside our data may have lain elsewhere before.
    let own = format!("/remotes/{}.git", project.repo_id);
    let origin = origin_of(&dirs.ledger(&project.slug, &project.repo_id)).ok().flatten();
    origin.filter(|url| !url.is_empty() && !url.ends_with(&own)).or(named)
}

/// A ledger that a vendor handed out: known by a clone that was made before, or by what the server says.
fn vendor_ledger(
    env: &Env,
    dirs: &Dirs,
    project: &Project,
    computed: PathBuf,
    named: Option<&str>,
) -> Result<(PathBuf, RemoteUrl), SetupError> {
    // The file is not committed by us, but somebody else's commit may hold one.
    let path = match LocalConfig::load(&project.root)?.ledger() {
        Some(local) if local.path != computed => {
            let path = project::check_clone_path(env, dirs, &local.path)?;
            if is_ledger_of(&path, &project.repo_id) { path } else { computed }
        }
        _ => computed,
    };
    let origin = origin_of(&path)?;
    let Some(url) = origin.or_else(|| named.map(str::to_string)) else {
        return Err(SetupError::NoRemote(project.endpoint.as_str().to_string()));
    };
    Ok((path, vendor_remote(dirs, &project.endpoint, &url)?))
}

/// A remote as a vendor's server named it: on one of its own hosts, or on one that the user has agreed to.
fn vendor_remote(dirs: &Dirs, endpoint: &Endpoint, url: &str) -> Result<RemoteUrl, SetupError> {
    let vendor = RemoteUrl::parse_vendor(url, &allowed_hosts(dirs, endpoint));
    vendor.map(|vendor| vendor.url).map_err(|e| SetupError::BadUrl(e.to_string()))
}

/// The hosts that a vendor's server may name.
pub(super) fn allowed_hosts(dirs: &Dirs, endpoint: &Endpoint) -> AllowedHosts {
    let stored = GitCredentials::load(dirs, &endpoint.slug()).ok().flatten();
    AllowedHosts::of(endpoint, stored.as_ref().map(|c| c.server_url.as_str()), &trusted(dirs))
}

fn trusted(dirs: &Dirs) -> TrustedHosts {
    let (trusted, damaged) = TrustedHosts::load(dirs);
    if let Some(e) = damaged {
        log::warn!("{e}; no host is trusted");
    }
    trusted
}

/// Where a team's context is.
///
/// # Errors
/// Its id is none, or its remote is not one that may be used.
pub fn team_of(
    dirs: &Dirs,
    slug: &str,
    endpoint: Option<&str>,
    team: &TeamRef,
) -> Result<Workspace, SetupError> {
    check_team_id(&team.id)?;
    let path = dirs.team(slug, &team.id);
    let origin = origin_of(&path)?;
    let url = match (team.url.is_empty(), origin) {
        (false, _) => team.url.clone(),
        (true, Some(origin)) => origin,
        (true, None) => return Err(SetupError::NoTeamRemote(team.label().to_string())),
    };
    let (remote, untrusted_host) = match endpoint.and_then(Endpoint::parse) {
        Some(endpoint) => (vendor_remote(dirs, &endpoint, &url)?, None),
        None => remote_of(dirs, &url)?,
    };
    let self_hosted = endpoint.is_none();
    let at = Workspace::at(dirs, slug, Kind::Team, &team.id, path, remote);
    let read_only = team.read_only || at.read_only;
    Ok(Workspace { self_hosted, read_only, untrusted_host, ..at })
}

/// A remote as somebody named it, and its host if nobody on this machine has agreed to it yet.
///
/// # Errors
/// It is not one that may be used.
pub(super) fn remote_of(dirs: &Dirs, url: &str) -> Result<(RemoteUrl, Option<String>), SetupError> {
    let remote = parse(url)?;
    let untrusted =
        (!trusted(dirs).is_trusted(&remote)).then(|| remote.host().unwrap_or_default().to_string());
    Ok((remote, untrusted))
}

/// Where the clone at `path` comes from, without the token that an older program may have put there; `None` if there is no clone.
fn origin_of(path: &Path) -> Result<Option<String>, SetupError> {
    if !path.join(".git").exists() {
        return Ok(None);
    }
    Ok(Reader::open(path)?.origin_url_bare().map(|origin| origin.url))
}

fn parse(url: &str) -> Result<RemoteUrl, SetupError> {
    RemoteUrl::parse(url).map_err(|e| SetupError::BadUrl(e.to_string()))
}

/// Whether the clone itself says that it is this project's ledger: a path in a file of the project's proves nothing.
fn is_ledger_of(clone: &Path, repo_id: &str) -> bool {
    const MARKER_MAX: usize = 64 << 10;
    let marker = file::read_capped(&clone.join(".sageox/checkout.json"), MARKER_MAX).unwrap_or_default();
    let marker: serde_json::Value = serde_json::from_slice(&marker).unwrap_or_default();
    marker["type"] == super::LEDGER && marker["repo_id"] == repo_id
}
