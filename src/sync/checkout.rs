//! A clone at a path that somebody names: where it may lie, what may be there already, and making it.

use std::path::{Path, PathBuf};

use super::making;
use super::outcome::End;
use super::run::{self, LOCK_WAIT_FORCED, OnProgress};
use super::site::Site;
use super::workspace::{Kind, Target, TeamRef, ledger_of, remote_of};
use crate::git::{CloneLock, Reader, clone_plain};
use crate::kit::cancel::Cancel;
use crate::project::{self, Dirs, Project, RemoteUrl, check_clone_path, workspace_id_of_path};

/// The answer to a path that holds what this program did not put there; the path is not repeated.
const NOT_OURS: &str =
    "invalid repo path: something that is no clone lies there; name a path where nothing is";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where; as it came over the wire.
    pub path: PathBuf,
    /// Where from; as it came over the wire.
    pub url: String,
    /// What it holds.
    pub kind: Kind,
}

/// What a look at the path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathState {
    /// The clone is there.
    Taken(PathBuf),
    /// It may be made here: nothing is there, or an empty directory.
    Free(PathBuf),
    /// It may be made here: what is there is a broken clone of ours, which is kept beside the new one.
    Broken(PathBuf),
}

/// Looks whether a clone is at the path or may be made there. Nothing is touched.
///
/// # Errors
/// In words for the wire; a refused path is never repeated.
pub fn probe(site: &Site, wanted: &Wanted) -> Result<PathState, String> {
    let path = check_clone_path(&site.env, &site.dirs, &wanted.path).map_err(|e| e.to_string())?;
    let spot = match lies_at(&site.dirs, &path, wanted.kind) {
        Lies::Clone => return Ok(PathState::Taken(path)),
        Lies::Nothing => PathState::Free(path),
        Lies::Broken => PathState::Broken(path),
        Lies::Foreign => return Err(NOT_OURS.to_string()),
    };
    RemoteUrl::parse(&wanted.url).map_err(|e| format!("invalid clone URL: {e}"))?;
    Ok(spot)
}

/// What is at a path where a clone may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lies {
    /// Nothing, or an empty directory.
    Nothing,
    /// A clone.
    Clone,
    /// What was to be a clone of ours and is none, in a place where nobody else puts anything.
    Broken,
    /// Somebody's.
    Foreign,
}

/// Looks at a path that may have a clone.
pub(super) fn lies_at(dirs: &Dirs, path: &Path, kind: Kind) -> Lies {
    if path.join(".git").exists() {
        if kind == Kind::Ledger || has_team_files(path) {
            return Lies::Clone;
        }
    } else if is_vacant(path) {
        return Lies::Nothing;
    }
    let is_dir = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if is_dir && is_in_data(dirs, path) { Lies::Broken } else { Lies::Foreign }
}

/// A team's clone without these was interrupted by a program that clones in place. What is kept there about the machine does not count.
fn has_team_files(clone: &Path) -> bool {
    let entries = std::fs::read_dir(clone.join(project::PROJECT_DIR)).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name() != "cache")
}

fn is_vacant(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Whether a checked path is one of the places that only this program fills.
fn is_in_data(dirs: &Dirs, path: &Path) -> bool {
    dirs.data().canonicalize().is_ok_and(|data| path.starts_with(data))
}

/// Makes the clone. True if it was not there before. Path and address are checked before anything is touched, and what is at the path
/// stays until the clone is whole.
///
/// # Errors
/// In words for the wire.
pub fn make(
    site: &Site,
    root: &Path,
    wanted: &Wanted,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<(PathBuf, bool), String> {
    let (path, broken) = match probe(site, wanted)? {
        PathState::Taken(path) => return Ok((path, false)),
        PathState::Free(path) => (path, false),
        PathState::Broken(path) => (path, true),
    };
    let project = Project::load(root, &site.env).map_err(|e| e.to_string())?;
    let target = target_of(site, &project, wanted, &path);
    match target {
        Some(target) => {
            let made = if broken { run::clone_anew } else { run::clone };
            match made(site, &target, on_progress, cancel).end {
                End::UpToDate(_) => {}
                End::Failed(failure) => return Err(failure.text),
                _ => return Err("busy: another process works on the clone".to_string()),
            }
        }
        // In our data lies what this project and its teams need, and nothing of an address that somebody names.
        None if is_in_data(&site.dirs, &path) => return Err(project::Error::UnsafePath.to_string()),
        None => clone_elsewhere(site, &project, wanted, &path, on_progress, cancel)?,
    }
    on_progress("verifying", None, "checking the clone");
    Reader::open(&path).and_then(|r| r.head()).map_err(|e| e.to_string())?;
    Ok((path, true))
}

/// One of the clones that are kept level anyway, if the path is one's.
fn target_of(site: &Site, project: &Project, wanted: &Wanted, path: &Path) -> Option<Target> {
    let url = || wanted.url.clone();
    match wanted.kind {
        Kind::Ledger => {
            let own = ledger_of(&site.env, &site.dirs, project, Some(&wanted.url)).ok()?;
            let root = project.root.clone();
            (own.path == path).then(|| Target::Ledger { root, url: Some(url()), read_only: false })
        }
        Kind::Team => {
            let id = path.file_name()?.to_str()?.to_string();
            let endpoint = (!project.endpoint.is_local()).then(|| project.endpoint.as_str().to_string());
            let team = TeamRef { url: url(), id, ..TeamRef::default() };
            let ours = site.dirs.team(&project.slug, &team.id) == path;
            ours.then(|| Target::Team { slug: project.slug.clone(), endpoint, team })
        }
    }
}

fn clone_elsewhere(
    site: &Site,
    project: &Project,
    wanted: &Wanted,
    path: &Path,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<(), String> {
    let local = project.endpoint.is_local();
    // Neither in nor around a ledger that lies outside of our data.
    let ledger = ledger_of(&site.env, &site.dirs, project, Some(&wanted.url)).map(|at| at.path);
    if ledger.is_ok_and(|ledger| path.starts_with(&ledger) || ledger.starts_with(path)) {
        return Err(project::Error::UnsafePath.to_string());
    }
    let (remote, untrusted) = remote_of(&site.dirs, &wanted.url).map_err(|e| e.to_string())?;
    if let Some(host) = untrusted {
        return Err(format!("invalid clone URL: {host} is not trusted yet"));
    }
    let lock = site.dirs.clone_lock(&project.slug, "checkout", &workspace_id_of_path(path));
    let lock = CloneLock::acquire(&lock, LOCK_WAIT_FORCED).map_err(|e| e.to_string())?;
    let Some(_lock) = lock else { return Err("busy: another process clones to this path".to_string()) };
    on_progress("connecting", None, &format!("cloning {}", remote.display()));
    clone_plain(site.git(local), remote.as_str(), path, &mut |p| making::tell(p, on_progress), cancel)
        .map_err(|e| e.to_string())
}
