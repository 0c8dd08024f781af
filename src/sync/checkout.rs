//! A clone at a path that somebody names: where it may lie, what may be there already, and making it.

use std::path::{Path, PathBuf};

use super::outcome::End;
use super::run::{self, OnProgress};
use super::site::Site;
use super::workspace::{Kind, Target, TeamRef, ledger_of, remote_of};
use crate::git::{CloneLock, Reader, clone_plain};
use crate::kit::cancel::Cancel;
use crate::project::{self, Project, check_clone_path, workspace_id_of_path};

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
pub enum Spot {
    /// The clone is there.
    Taken(PathBuf),
    /// It may be made here. What lies there now is no clone, and will be put aside.
    Free(PathBuf),
}

/// Looks whether a clone is at the path or may be made there. Nothing is touched.
///
/// # Errors
/// In words for the wire; a refused path is never repeated.
pub fn look(site: &Site, wanted: &Wanted) -> Result<Spot, String> {
    let path = check_clone_path(&site.env, &site.dirs, &wanted.path).map_err(|e| e.to_string())?;
    let there = path.join(".git").exists();
    // A team's clone without it was interrupted by a program that clones in place.
    let whole = wanted.kind == Kind::Ledger || path.join(project::PROJECT_DIR).is_dir();
    Ok(if there && whole { Spot::Taken(path) } else { Spot::Free(path) })
}

/// Makes the clone. True if it was not there before.
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
    let path = match look(site, wanted)? {
        Spot::Taken(path) => return Ok((path, false)),
        Spot::Free(path) => path,
    };
    let project = Project::load(root, &site.env).map_err(|e| e.to_string())?;
    put_aside(site, &path)?;
    match target_of(site, &project, wanted, &path) {
        Some(target) => match run::clone(site, &target, on_progress, cancel).end {
            End::Level(_) => {}
            End::Failed(failure) => return Err(failure.text),
            _ => return Err("busy: another process works on the clone".to_string()),
        },
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
    let (remote, untrusted) = remote_of(&site.dirs, &wanted.url).map_err(|e| e.to_string())?;
    if let Some(host) = untrusted {
        return Err(format!("invalid clone URL: nobody here has agreed to {host}"));
    }
    let lock = site.dirs.clone_lock(&project.slug, "checkout", &workspace_id_of_path(path));
    let lock = CloneLock::acquire(&lock, run::LOCK_WAIT_FORCED).map_err(|e| e.to_string())?;
    let Some(_lock) = lock else { return Err("busy: another process clones to this path".to_string()) };
    on_progress("connecting", None, &format!("cloning {}", remote.display()));
    clone_plain(site.git(local), remote.as_str(), path, &mut |p| run::tell(p, on_progress), cancel)
        .map_err(|e| e.to_string())
}

/// What is no clone makes way, and is kept.
fn put_aside(site: &Site, path: &Path) -> Result<(), String> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".bak.{}", site.clock.now().wall.as_second()));
    let what = |e| format!("what lies at the path cannot be put aside: {e}");
    std::fs::rename(path, &aside).map_err(what)?;
    log::warn!("{} was no clone; put aside as {}", path.display(), Path::new(&aside).display());
    Ok(())
}
