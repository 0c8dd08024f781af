//! Clones of teams that their server names no longer.

use super::run::{LOCK_WAIT, job};
use super::site::Site;
use super::workspace::Target;
use crate::git::{CloneLock, unsaved};
use crate::kit::cancel::Cancel;
use crate::kit::file::with_suffix;
use crate::project::GitCredentials;

/// Puts the clone away, beside its place, where it is removed after a week. Only if it is proven that nothing would be lost: what cannot be
/// looked at stays.
///
/// # Errors
/// Why it stays, in words.
pub fn revoke(site: &Site, target: &Target, cancel: &Cancel) -> Result<(), String> {
    if let Target::Team { slug, team, .. } = target {
        is_no_member(site, slug, &team.id)?;
    }
    let job = job(site, target, cancel).map_err(|e| e.to_string())?;
    if std::fs::symlink_metadata(&job.at.path).is_err() {
        return Ok(());
    }
    let lock = CloneLock::acquire(&job.at.lock, LOCK_WAIT).map_err(|e| e.to_string())?;
    let Some(_lock) = lock else { return Err("another process works on it".to_string()) };
    let now = site.clock.now().wall;
    let what = unsaved(job.git(), &job.at.path, now, cancel).map_err(|e| e.to_string())?;
    if !what.is_empty() {
        return Err(format!("it holds {}", what.join(", ")));
    }
    let aside = with_suffix(&job.at.path, &format!(".revoked.{}", now.as_second()));
    std::fs::rename(&job.at.path, &aside).map_err(|e| e.to_string())?;
    log::info!("{}: put away as {}", job.at, aside.display());
    Ok(())
}

/// The user's credentials say that the team is not one of theirs. What was read of them before counts for nothing here.
fn is_no_member(site: &Site, slug: &str, team_id: &str) -> Result<(), String> {
    match GitCredentials::load(&site.dirs, slug) {
        Err(e) => Err(e.to_string()),
        Ok(None) => Err("there are no git credentials that would say whose team it is".to_string()),
        Ok(Some(credentials)) if credentials.repos.iter().any(|r| r.team_id == team_id) => {
            Err("the git credentials still list it".to_string())
        }
        Ok(Some(_)) => Ok(()),
    }
}
