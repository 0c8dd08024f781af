//! Setting up the teams of a project whose people choose the remotes themselves, and taking clones of teams off this machine.

use std::path::{Path, PathBuf};

use super::outcome::End;
use super::run::{self, LOCK_WAIT_FORCED, OnProgress};
use super::setup::SetupError;
use super::site::Site;
use super::workspace::{Target, TeamRef, Workspace, team_of};
use crate::git::{CloneLock, Reader, unsaved};
use crate::kit::cancel::Cancel;
use crate::kit::file::with_suffix;
use crate::project::{Config, LocalConfig, Project, RemoteUrl, Team, TrustedHosts, check_team_id};

/// What [`add_team`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedTeam {
    /// Where its clone is.
    pub path: PathBuf,
    /// Its remote was empty and has got its first commit.
    pub seeded: bool,
    /// The project named it before.
    pub already: bool,
}

/// Clones a team's context, gives an empty one its first files, and names it in the project's committed configuration.
///
/// # Errors
/// The id or the remote is refused, another remote goes by that id, or the clone failed; nothing is named then.
pub fn add_team(
    site: &Site,
    root: &Path,
    team: &Team,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<AddedTeam, SetupError> {
    check_team_id(&team.team_id)?;
    let remote = RemoteUrl::parse(&team.url)?;
    let project = Project::load(root, &site.env)?;
    if !project.endpoint.is_local() {
        return Err(SetupError::TeamsByServer(project.endpoint.as_str().to_string()));
    }
    let known = project.config.teams().into_iter().find(|t| t.team_id == team.team_id);
    if let Some(other) = known.as_ref().filter(|t| t.url != team.url) {
        return Err(SetupError::OtherTeam { team: team.team_id.clone(), url: other.url.clone() });
    }
    TrustedHosts::trust(&site.dirs, &remote)?;
    let named = TeamRef {
        id: team.team_id.clone(),
        name: team.name.clone(),
        url: team.url.clone(),
        ..TeamRef::default()
    };
    let at = team_of(&site.dirs, &project.slug, None, &named)?;
    let target = Target::Team { slug: project.slug.clone(), endpoint: None, team: named };
    match run::clone(site, &target, on_progress, cancel).end {
        End::UpToDate(_) => {}
        End::Failed(failure) => return Err(SetupError::Clone(failure)),
        _ => return Err(SetupError::Busy),
    }
    let origin = Reader::open(&at.path)?.origin_url().unwrap_or_default();
    if origin != team.url {
        return Err(SetupError::OtherTeam { team: team.team_id.clone(), url: origin });
    }
    let seeded = seed(site, &at, team, cancel)?;
    Config::update(&project.root, &site.dirs, |config| {
        project.lost.restore(config);
        config.add_team(team);
    })?;
    Ok(AddedTeam { path: at.path, seeded, already: known.is_some() })
}

/// Gives an empty team context the files that every one has. False if it has commits.
fn seed(site: &Site, at: &Workspace, team: &Team, cancel: &Cancel) -> Result<bool, SetupError> {
    let head = Reader::open(&at.path)?.head()?;
    if head.commit.is_some() {
        return Ok(false);
    }
    // The remote's own choice, which is git's old default where nobody has made one.
    let branch = head.name().unwrap_or("main");
    let Some(mut lock) = CloneLock::acquire(&at.lock, LOCK_WAIT_FORCED)? else {
        return Err(SetupError::Busy);
    };
    let mut clone = lock.open(site.git(true), &at.path, cancel)?;
    let name = if team.name.is_empty() { &team.team_id } else { &team.name };
    let agents = format!(
        "# Team context of {name}\n\nThis repository is kept by `ox`: what it holds is on the machine of everybody in the team, and their \
         agents read it.\nWhatever is committed here reaches all of them.\n\n| what | where |\n| --- | --- |\n| what the team is \
         and how it works | `TEAM.md` |\n| what it has learnt | `memory/` |\n| longer texts | `docs/` |\n"
    );
    let text = format!("# {name}\n\nWho is in this team, what it builds, how it works together.\n");
    let files: [(&Path, &[u8]); 3] = [
        (Path::new(".sageox/sync.manifest"), MANIFEST.as_bytes()),
        (Path::new("AGENTS.md"), agents.as_bytes()),
        (Path::new("TEAM.md"), text.as_bytes()),
    ];
    clone.seed(branch, &files, "docs: describe this team context")?;
    Ok(true)
}

/// What a new team context checks out on every machine.
const MANIFEST: &str = "\
# Which files of this repository ox keeps on every machine.
version 1
include .sageox/
include AGENTS.md
include SOUL.md
include TEAM.md
include MEMORY.md
include memory/
include docs/
include coworkers/
include agents/
include discussions/
";

/// Takes a team out of the project's configuration. Its clone stays, for other projects and because it may hold work. False if the project
/// did not name it.
///
/// # Errors
/// The files cannot be read or written.
pub fn drop_team(site: &Site, root: &Path, team_id: &str) -> Result<bool, SetupError> {
    let mut named = false;
    let lost = Project::load(root, &site.env)?.lost;
    Config::update(root, &site.dirs, |config| {
        lost.restore(config);
        named = config.remove_team(team_id);
    })?;
    LocalConfig::update(root, &site.dirs, |local| {
        local.remove_team(team_id);
    })?;
    Ok(named)
}

/// Removes a team's clone from this machine. Nothing that is not at the remote is removed, unless `force` says so.
///
/// # Errors
/// It holds something that the remote has not ([`SetupError::Unsaved`]), somebody works on it, or the disk refuses.
pub fn remove_clone(site: &Site, at: &Workspace, force: bool, cancel: &Cancel) -> Result<bool, SetupError> {
    if std::fs::symlink_metadata(&at.path).is_err() {
        return Ok(false);
    }
    let Some(_lock) = CloneLock::acquire(&at.lock, LOCK_WAIT_FORCED)? else { return Err(SetupError::Busy) };
    if !force {
        let what = unsaved(site.git(at.self_hosted), &at.path, site.clock.now().wall, cancel)?;
        if !what.is_empty() {
            return Err(SetupError::Unsaved { path: at.path.clone(), what: what.join(", ") });
        }
    }
    // Out of the way in one step, so that nobody finds half a clone.
    let gone = with_suffix(&at.path, &format!(".gc-removed-{}", std::process::id()));
    std::fs::rename(&at.path, &gone).map_err(SetupError::io(&at.path))?;
    std::fs::remove_dir_all(&gone).map_err(SetupError::io(&gone))?;
    Ok(true)
}
