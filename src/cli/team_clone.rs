//! `ox team remove --clone`: a team's clone off this machine, if nothing is lost with it or somebody says so.

use serde_json::json;

use super::commands::team;
use super::context::Cx;
use super::errors::{of_project, of_setup};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::ui::text::{clean, tilde};
use crate::git;
use crate::kit::cancel::Cancel;
use crate::project::{Project, check_team_id};
use crate::sync::{self, Loaded, SetupError, Site, TeamRef, Workspace};

/// What the failures of this command say first.
const WHAT: &str = "the team's clone could not be removed";

/// Takes the team that `word` means out of the project, and its clone off this machine. Needs no daemon.
///
/// # Errors
/// No such team; its clone holds what is nowhere else and `force` is not said; nobody could be asked; the answer was no.
pub fn remove(cx: &Cx, project: &Project, word: &str, force: bool, yes: bool) -> Outcome {
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let loaded = sync::load_local(&site, project);
    let team = find(cx, project, &loaded, word)?;
    let path = cx.dirs.team(&project.slug, &team.id);
    let at = match std::fs::symlink_metadata(&path) {
        Ok(_) => Some(place(cx, &loaded, &team)?),
        Err(_) => None,
    };
    if let Some(at) = &at {
        agree(cx, &site, at, &team, force, yes)?;
    }
    // First out of the files, so that nobody makes the clone again.
    let named = team::drop_from(cx, &site, project, &team.id)?;
    let removed = match &at {
        Some(at) => sync::remove_clone(&site, at, force, &Cancel::new()).map_err(|e| refused(&e, at))?,
        None => false,
    };
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "team_id": team.id, "team_name": team.name, "path": path,
            "clone_removed": removed, "was_named": named,
        }));
    }
    let name = clean(team.label());
    let shown = tilde(&path.to_string_lossy(), &cx.home());
    cx.ui.done(&match removed {
        true => format!("removed team {name} and its clone {shown}"),
        false => format!("removed team {name}; there was no clone at {shown}"),
    })?;
    let project = Project::load(&project.root, &cx.env).map_err(|e| of_project(&e))?;
    if sync::load_local(&site, &project).registry().team(&team.id).is_some() {
        let server = project.endpoint.as_str();
        cx.ui.warn(&format!("{server} still names the team; the daemon will clone it again"));
    } else if named {
        cx.ui.next_step(&format!("git add .sageox && git commit -m 'Remove team {}'", team.id));
    }
    Ok(())
}

/// The team that is meant: one of the project's, or one that it no longer names and that has a clone here.
fn find(cx: &Cx, project: &Project, loaded: &Loaded, word: &str) -> Outcome<TeamRef> {
    team::find(loaded, word).or_else(|unknown| {
        let is_dir = check_team_id(word).is_ok() && cx.dirs.team(&project.slug, word).is_dir();
        match loaded.registry().find(word).is_empty() && is_dir {
            true => Ok(TeamRef { id: word.to_owned(), ..TeamRef::default() }),
            false => Err(unknown),
        }
    })
}

fn place(cx: &Cx, loaded: &Loaded, team: &TeamRef) -> Outcome<Workspace> {
    sync::team_of(&cx.dirs, &loaded.slug, loaded.endpoint.as_deref(), team).map_err(|e| of_setup(WHAT, &e))
}

/// Shows what the clone holds, and asks.
fn agree(cx: &Cx, site: &Site, at: &Workspace, team: &TeamRef, force: bool, yes: bool) -> Outcome {
    let progress = cx.ui.progress("looking for work that is only here");
    let unsaved = git::unsaved(site.git(at.self_hosted), &at.path, cx.now(), &Cancel::new());
    drop(progress);
    let what = match (unsaved, force) {
        (Ok(what), _) => what,
        (Err(e), true) => vec![format!("what could not be looked at ({e})")],
        (Err(e), false) => return Err(refused(&SetupError::Git(e), at)),
    };
    if !what.is_empty() && !force {
        return Err(unsaved_failure(at, what));
    }
    let holds = match what.is_empty() {
        true => "Everything in it is at its remote.".to_owned(),
        false => format!("It holds {}, which will be LOST.", what.join(", ")),
    };
    let path = tilde(&at.path.to_string_lossy(), &cx.home());
    cx.ui.confirm(&format!("Remove the clone of team {} at {path}? {holds}", team.label()), yes)
}

fn unsaved_failure(at: &Workspace, what: Vec<String>) -> Failure {
    let failure = Failure::new(Exit::Failed, "the team's clone holds work that is nowhere else");
    let failure = what.into_iter().fold(failure.on_path(&at.path), Failure::because_of);
    failure.hint(format!("push or move it, or to lose it: ox team remove {} --clone --force", at.id))
}

fn refused(error: &SetupError, at: &Workspace) -> Failure {
    match error {
        SetupError::Unsaved { what, .. } => unsaved_failure(at, vec![what.clone()]),
        _ => of_setup(WHAT, error).on_path(&at.path),
    }
}
