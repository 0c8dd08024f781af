//! Setting a project and its ledger up, and moving a ledger. Needs no daemon.

use std::path::{Path, PathBuf};

use git2::Oid;
use jiff::Timestamp;

use super::former::PreviousRemotes;
use super::guard::Guard;
use super::outcome::Failure;
use super::run::{BRANCH, LOCK_WAIT_FORCED};
use super::shape::ledger_rules as rules;
use super::site::Site;
use super::workspace::{Workspace, ledger_of};
use crate::git::{
    CloneLock, GitError, NoWorkTree, Reader, ResolveRules, create_bare, discover, find_work_tree,
};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::file;
use crate::kit::lock::FileLock;
use crate::project::{
    self, Config, Endpoint, Marker, Project, RemoteUrl, TrustedHosts, recall, remember, scaffold,
};

/// Why a project or its ledger could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its configuration.
    #[error(transparent)]
    Project(#[from] project::Error),
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The project has no repository id.
    #[error("{} has no repo_id in .sageox/config.json; run: ox init --force", .0.display())]
    NoRepoId(PathBuf),
    /// Nothing on this machine knows the ledger's remote.
    #[error(
        "the ledger of this project comes from {0}, which has not said yet where it is, and there is no clone of it here; what is missing: ox doctor"
    )]
    NoRemote(String),
    /// The address of the ledger is not one that may be used.
    #[error("ledger address: {0}")]
    BadUrl(String),
    /// There is no work tree to initialise.
    #[error(transparent)]
    NoWorkTree(#[from] NoWorkTree),
    /// The project has a ledger already, and it is another one.
    #[error("this project already has the ledger {0}; to move it run: ox ledger set-remote URL")]
    HasLedger(String),
    /// The new remote holds something else.
    #[error("{0} already holds commits that are not this ledger's; use an empty repository")]
    NotEmpty(String),
    /// Nobody has said where the team's context comes from.
    #[error("the context of team {0} has no address; run: ox team add <id>=<URL>")]
    NoTeamRemote(String),
    /// The teams of this project come from its server.
    #[error("the teams of this project are named by {0}")]
    TeamsByServer(String),
    /// Another remote goes by the team's id.
    #[error("{team} is the team at {url}; take that one off first: ox team remove {team}")]
    OtherTeam {
        /// The id.
        team: String,
        /// The remote that it means.
        url: String,
    },
    /// The clone could not be made.
    #[error("{}", .0.text)]
    Clone(Failure),
    /// The clone holds something that is nowhere else.
    #[error("{} holds {what}; push or move that first, or say --force", path.display())]
    Unsaved {
        /// The clone.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// Somebody else works on the clone.
    #[error("the clone is in use by another process; try again")]
    Busy,
    /// After the push the new remote does not show what was pushed.
    #[error("{url} does not show the pushed commit {commit}; the ledger stays where it was")]
    NotVerified {
        /// The remote.
        url: String,
        /// What it should show.
        commit: String,
    },
}

impl SetupError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SetupError {
        let path = path.to_path_buf();
        move |source| SetupError::Io { path, source }
    }

    /// The class of the failure.
    pub fn class(&self) -> Class {
        match self {
            SetupError::Project(e) => e.class(),
            SetupError::Git(e) => e.class(),
            SetupError::Io { source, .. } => Class::of_io(source),
            SetupError::Busy => Class::Busy,
            SetupError::NotVerified { .. } | SetupError::Unsaved { .. } => Class::Conflict,
            SetupError::Clone(failure) => failure.class,
            _ => Class::Usage,
        }
    }
}

/// What `ox init` is told.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// The ledger's remote; without one it is a bare repository of our own on this machine.
    pub ledger: Option<RemoteUrl>,
    /// Write the files anew where they are there already; ids and unknown keys stay.
    pub force: bool,
}

/// What `ox init` did.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The project's directory.
    pub root: PathBuf,
    /// Files made or changed, relative to it.
    pub written: Vec<PathBuf>,
    /// The project was initialised before.
    pub already: bool,
    /// Its files had gone, and it has its former ledger again.
    pub restored: bool,
}

/// Makes the git repository around `start` a project with a ledger: files under `.sageox/`, nothing else in the repository.
///
/// # Errors
/// No git repository there, another ledger than the one asked for, or a file that cannot be written.
pub fn init_project(site: &Site, start: &Path, options: &InitOptions) -> Result<Initialised, SetupError> {
    let root = work_tree(site, start)?;
    // Two at once would make two ids.
    let lock = site.dirs.init_lock(&root);
    let held = FileLock::acquire(&lock, std::time::Duration::from_secs(10));
    let _one = held.map_err(SetupError::io(&lock))?.ok_or(SetupError::Busy)?;
    let already = Config::exists(&root);
    let mut config = Config::load(&root)?;
    if already && !options.force {
        if let Some(wanted) = &options.ledger
            && config.ledger_url().as_deref() != Some(wanted.as_str())
        {
            let current = config.ledger_url().unwrap_or_else(|| "on this machine".to_string());
            return Err(SetupError::HasLedger(current));
        }
        return Ok(Initialised { root, written: Vec::new(), already, restored: false });
    }
    let former = recall(&root).filter(|_| !already && !options.force && config.repo_id().is_empty());
    let wanted = options.ledger.as_ref();
    let former =
        former.filter(|former| wanted.is_none_or(|url| former.ledger_url().as_deref() == Some(url.as_str())));
    let restored = former.is_some();
    config = former.unwrap_or(config);
    let dir = root.join(".sageox");
    make_project_dir(&dir)?;
    if config.repo_id().is_empty() {
        // A marker that survived a lost configuration file still knows the id.
        let known = Marker::find(&root, None)?.map(|m| m.repo_id);
        config.set_repo_id(&known.unwrap_or_else(project::new_repo_id));
    }
    if config.endpoint().is_none() {
        config.set_endpoint(&Endpoint::local());
    }
    if let Some(remote) = &options.ledger {
        config.set_ledger_url(Some(remote.as_str()));
        TrustedHosts::trust(&site.dirs, remote)?;
    }
    let mut written = Vec::new();
    let readme = dir.join("README.md");
    if options.force || !readme.exists() {
        file::write_atomic(&readme, scaffold::README.as_bytes(), 0o644).map_err(SetupError::io(&readme))?;
        written.push(PathBuf::from(".sageox/README.md"));
    }
    merge_ignore(&dir, &mut written)?;
    let endpoint = config.endpoint().unwrap_or_else(Endpoint::local);
    write_marker(site, &root, &config, &endpoint, &mut written)?;
    // Last: its presence says that the project is initialised.
    config.save(&root)?;
    written.push(PathBuf::from(".sageox/config.json"));
    remember(&root);
    Ok(Initialised { root, written, already, restored })
}

fn work_tree(site: &Site, start: &Path) -> Result<PathBuf, SetupError> {
    let dir = find_work_tree(site.git(true), start, &Cancel::new())?;
    dir.canonicalize().map_err(SetupError::io(&dir))
}

/// The marker carries the id to whoever loses the configuration file; one that is there is kept.
fn write_marker(
    site: &Site,
    root: &Path,
    config: &Config,
    endpoint: &Endpoint,
    written: &mut Vec<PathBuf>,
) -> Result<(), SetupError> {
    if Marker::all(root)?.iter().any(|m| m.repo_id == config.repo_id()) {
        return Ok(());
    }
    let first = Reader::open(root).and_then(|reader| reader.first_commit()).unwrap_or_default();
    let marker = Marker {
        repo_id: config.repo_id(),
        r#type: "git".to_string(),
        init_at: site.clock.now().wall.into(),
        repo_salt: first.map(|c| c.to_string()).unwrap_or_default(),
        endpoint: endpoint.as_str().to_string(),
        ..Marker::default()
    };
    marker.write(root)?;
    let path = marker.path(root)?;
    written.push(path.strip_prefix(root).unwrap_or(&path).to_path_buf());
    Ok(())
}

fn make_project_dir(dir: &Path) -> Result<(), SetupError> {
    let made = file::make_dirs(dir, 0o755).and_then(|()| std::fs::symlink_metadata(dir));
    let made = made.and_then(|meta| match meta.is_dir() {
        true => Ok(()),
        false => {
            Err(std::io::Error::new(std::io::ErrorKind::NotADirectory, "not a directory of this repository"))
        }
    });
    made.map_err(SetupError::io(dir))
}

fn merge_ignore(dir: &Path, written: &mut Vec<PathBuf>) -> Result<(), SetupError> {
    const IGNORE_MAX: usize = 1 << 20;
    let path = dir.join(".gitignore");
    let old = file::found(file::read_capped(&path, IGNORE_MAX)).map_err(SetupError::io(&path))?;
    let old = old.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if let Some(new) = scaffold::gitignore(old.as_deref()) {
        file::write_atomic(&path, new.as_bytes(), 0o644).map_err(SetupError::io(&path))?;
        written.push(PathBuf::from(".sageox/.gitignore"));
    }
    Ok(())
}

/// Makes the bare repository that is the ledger's remote when none is named. True if it was missing.
///
/// # Errors
/// Git's.
pub fn ensure_local_remote(site: &Site, ledger: &Workspace, cancel: &Cancel) -> Result<bool, SetupError> {
    match ledger.own_remote() {
        Some(bare) if !bare.exists() => {
            create_bare(site.git(true), bare, cancel)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Asks a remote whether it is there, and changes nothing.
///
/// # Errors
/// It cannot be asked, or there is none.
pub fn ask_remote(site: &Site, remote: &RemoteUrl, cancel: &Cancel) -> Result<(), SetupError> {
    discover(site.git(true), remote.as_str(), None, cancel).map(drop).map_err(Into::into)
}

/// What [`move_ledger`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The remote before, fit to be shown.
    pub from: String,
    /// The remote now, fit to be shown.
    pub to: String,
    /// The commit that both show.
    pub commit: String,
}

/// Moves the project's ledger to another remote: pushes everything there, looks that it arrived, then switches the clone and the
/// project's configuration. Nothing is taken away from the old remote.
///
/// # Errors
/// Nothing is switched by any of them.
pub fn move_ledger(site: &Site, root: &Path, to: &RemoteUrl, cancel: &Cancel) -> Result<Moved, SetupError> {
    let project = Project::load(root, &site.env)?;
    let ledger = ledger_of(&site.env, &site.dirs, &project, None)?;
    let git = site.git(true);
    let old = ledger.url();
    let is_kept_here = ledger.own_remote().is_some_and(Path::exists);
    let name_it = |commit: Option<Oid>| {
        Config::update(&project.root, &site.dirs, |config| {
            project.lost.restore(config);
            config.set_ledger_url(Some(to.as_str()));
        })?;
        let commit = commit.map(|commit| commit.to_string()).unwrap_or_default();
        Ok(Moved { from: ledger.remote.display(), to: to.display(), commit })
    };
    if !ledger.exists() && !is_kept_here {
        // Nothing is here that could be moved: an address that never worked, say.
        let there = discover(git, to.as_str(), None, cancel)?.tip;
        TrustedHosts::trust(&site.dirs, to)?;
        return name_it(there);
    }
    let guard = Guard { dirs: &site.dirs, project: Some(&project), state: &ledger.state };
    let gate = |reader: &Reader, head, upstream| guard.check(reader, head, upstream);
    let Some(mut lock) = CloneLock::acquire(&ledger.lock, LOCK_WAIT_FORCED)? else {
        return Err(SetupError::Busy);
    };
    let mut clone = lock.open(git, &ledger.path, cancel)?;
    clone.guard(&gate);
    // The new remote gets everything, so everything has to be here.
    clone.deepen()?;
    bring_all(&mut clone)?;
    clone.ensure_history()?;
    let reader = Reader::open(&ledger.path)?;
    let head = reader.head()?;
    let branch = head.name().unwrap_or(BRANCH);
    let there = discover(git, to.as_str(), Some(branch), cancel)?.tip;
    let ours = match (there, head.commit) {
        (None, _) => true,
        (Some(there), Some(here)) => reader.knows(there) && reader.is_ancestor(there, here)?,
        (Some(_), None) => false,
    };
    if !ours {
        return Err(SetupError::NotEmpty(to.display()));
    }
    let switched = clone.set_origin(to.as_str()).and_then(|()| {
        clone.push_retry(branch, &ResolveRules::default())?;
        discover(git, to.as_str(), Some(branch), cancel)
    });
    if !switched.as_ref().is_ok_and(|shown| shown.tip == head.commit) {
        clone.set_origin(&old)?;
        switched?;
        let commit = head.commit.map(|c| c.to_string()).unwrap_or_default();
        return Err(SetupError::NotVerified { url: to.display(), commit });
    }
    TrustedHosts::trust(&site.dirs, to)?;
    if let Err(e) = PreviousRemotes::note(&ledger.state, &old, to.as_str()) {
        log::warn!(
            "{}: {e}; a checkout that still names {} may move the ledger back",
            ledger.state.display(),
            ledger.remote.display()
        );
    }
    name_it(head.commit)
}

/// What others pushed to the old remote since the last sync comes along. An old remote that does not answer is a good reason to move.
fn bring_all(clone: &mut crate::git::ManagedClone<'_>) -> Result<(), SetupError> {
    let head = Reader::open(clone.path())?.head()?;
    let branch = head.name().unwrap_or(BRANCH);
    match clone.fetch(branch) {
        Ok(_) => clone.integrate(branch, &rules()).map(drop).map_err(Into::into),
        Err(e) if matches!(e.class(), Class::Network) => {
            log::warn!("the old remote does not answer; what only it has stays there: {e}");
            Ok(())
        }
        Err(GitError::NoRemoteBranch(_)) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The first file of a new ledger: what it is, for whoever opens it.
pub(super) fn ledger_readme(project: &Project, now: Timestamp) -> String {
    let name = project.root.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "# Ledger of {name}\n\n\
         This repository is kept by `ox`: it holds what agents and people record about their work on the project, beside the\n\
         project's own repository. It is synced in the background; whatever is committed here reaches every machine of the team.\n\n\
         | what | where |\n| --- | --- |\n\
         | recorded sessions | `sessions/` |\n\
         | imported and generated data, merged by rule | `data/` |\n\n\
         - project: `{}`\n- endpoint: `{}`\n- made by ox {} on {}\n",
        project.repo_id,
        project.endpoint.as_str(),
        env!("CARGO_PKG_VERSION"),
        now.strftime("%Y-%m-%d"),
    )
}
