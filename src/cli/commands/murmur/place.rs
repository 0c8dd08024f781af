//! The clones that murmurs go through.

use jiff::Timestamp;

use super::ScopeName;
use crate::cli::context::Cx;
use crate::cli::errors::of_setup;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::foreign;
use crate::git::Reader;
use crate::project::Project;
use crate::sync::{self, Site, Workspace};
use crate::whispers::{Murmur, Outbox, window};

/// The clone of that scope.
///
/// # Errors
/// There is none, or it has not been made yet.
pub(super) fn find(cx: &Cx, project: &Project, scope: ScopeName) -> Outcome<Workspace> {
    let at = match scope {
        ScopeName::Ledger => sync::ledger_of(&cx.env, &cx.dirs, project, None)
            .map_err(|e| of_setup("the ledger is not known", &e))?,
        ScopeName::Team => team(cx, project)?,
    };
    if !at.exists() {
        let data = cx.client(project).status().ok().filter(|_| matches!(scope, ScopeName::Ledger));
        if let Some(data) = data.filter(|data| foreign::leaves_out(data, &at)) {
            return Err(foreign::refusal(&data));
        }
        let failure = Failure::new(Exit::Usage, format!("{at} has not been cloned yet")).on_path(&at.path);
        return Err(failure.hint(match scope {
            ScopeName::Ledger => "ox sync",
            ScopeName::Team => "ox sync --all-teams",
        }));
    }
    Ok(at)
}

/// The clones that murmurs of this scope are in; without one all that are there.
///
/// # Errors
/// There is none, or the one that is named has not been made yet.
pub(super) fn all(cx: &Cx, project: &Project, scope: Option<ScopeName>) -> Outcome<Vec<Workspace>> {
    if let Some(scope) = scope {
        return Ok(vec![find(cx, project, scope)?]);
    }
    let ledger = find(cx, project, ScopeName::Ledger)?;
    Ok(std::iter::once(ledger).chain(find(cx, project, ScopeName::Team)).collect())
}

/// The context of the project's own team, or of the only one it has.
fn team(cx: &Cx, project: &Project) -> Outcome<Workspace> {
    let loaded = sync::load_local(&Site::new(cx.dirs.clone(), cx.env.clone()), project);
    let registry = loaded.registry();
    let teams = registry.teams();
    let own = teams.iter().find(|t| t.id == loaded.primary);
    let team = match (own, &teams[..]) {
        (Some(team), _) => team,
        (None, [team]) => team,
        (None, []) => {
            return Err(Failure::new(Exit::Usage, "the project has no team").hint("ox team add"));
        }
        (None, _) => {
            let failure = Failure::new(Exit::Usage, "which team?");
            return Err(failure.because_of("the project has several, and none of them is its own"));
        }
    };
    sync::team_of(&cx.dirs, &loaded.slug, loaded.endpoint.as_deref(), team)
        .map_err(|e| of_setup("the team's context is not known", &e))
}

/// The murmurs of the last `hours` hours in a clone, with those that wait to be committed there; newest first.
///
/// # Errors
/// The clone or the disk refuses.
pub(super) fn recent(at: &Workspace, now: Timestamp, hours: i64) -> Outcome<Vec<Murmur>> {
    let read = || {
        let mut found = window::recent(&Reader::open(&at.path)?, now, hours)?;
        for waiting in Outbox::of(&at.state).waiting(now)? {
            if !found.iter().any(|m| m.id == waiting.id) {
                found.push(waiting);
            }
        }
        window::newest_first(&mut found);
        Ok(found)
    };
    read().map_err(|e: crate::whispers::Error| failure("murmurs cannot be read", &e))
}

/// A failure from the room of murmurs.
pub(super) fn failure(what: &str, e: &crate::whispers::Error) -> Failure {
    Failure::new(Exit::of_class(e.class()), what).because(e)
}
