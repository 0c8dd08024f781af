//! What a project's committed configuration lost to a program that does not know our keys, and how it comes back.

use std::path::Path;

use super::setup::SetupError;
use super::site::Site;
use super::workspace::address;
use crate::project::{Config, Dirs, Lost, Project};

/// What the committed configuration no longer says and is known here: by what was remembered, or by where the ledger's clone comes from.
pub fn lost(dirs: &Dirs, project: &Project) -> Lost {
    let is_named = project.lost.ledger_url.is_none() && project.config.has("ledger_url");
    let ledger_url = if is_named || !project.endpoint.is_local() { None } else { address(dirs, project) };
    Lost { ledger_url, ..project.lost.clone() }
}

/// Writes into the committed configuration what it lost.
///
/// # Errors
/// The files cannot be read or written.
pub fn put_back(site: &Site, root: &Path) -> Result<Lost, SetupError> {
    let project = Project::load(root, &site.env)?;
    let lost = lost(&site.dirs, &project);
    Config::update(&project.root, &site.dirs, |config| lost.restore(config))?;
    Ok(lost)
}
