//! `ox murmur delete`: takes one out of the clone again. Agents that have heard it have heard it; the others do not any more.

use std::path::Path;
use std::time::Duration;

use super::{ScopeName, place};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::git::{CloneLock, GitError, Reader};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::project::Project;
use crate::sync::{Site, Workspace};
use crate::whispers::{Outbox, Store, window};

/// So long somebody at work on the clone is waited for (8.1).
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// The end of an id has at least so many characters.
const ID_MIN: usize = 4;
/// Files of older hours are not checked out, and of no interest to anybody.
pub(super) const HOURS: i64 = 12;

/// Flags of `ox murmur delete`.
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// Id of the murmur, or its end as ox murmur list shows it
    #[arg(value_name = "MURMUR_ID")]
    id: String,
    /// Whether it is in the ledger or in the team context [default: look in both]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<ScopeName>,
}

pub(super) fn run(cx: &Cx, args: &Delete) -> Outcome {
    let project = cx.project()?;
    let (at, id) = meant(cx, &project, args)?;
    let id = id.as_str();
    let of_git =
        |e: GitError| Failure::new(Exit::of_class(e.class()), "the murmur cannot be taken out").because(&e);
    let Some(mut lock) = CloneLock::acquire(&at.lock, LOCK_WAIT).map_err(of_git)? else {
        return Err(Failure::new(Exit::Failed, "somebody else works on the clone").on_path(&at.path));
    };
    // Under the lock nobody commits what waits.
    let forgotten = Outbox::of(&at.state).forget(id);
    let waited = forgotten.map_err(|e| place::failure("the murmur cannot be taken out", &e))?;
    let committed = remove(cx, &mut lock, &at, id)?;
    drop(lock);
    // Other machines hear of it by the commit; here it may never have been in one.
    let now = SystemClock.now();
    if let Err(e) = Store::of(&at.state).forget(now, &[id.to_owned()]) {
        cx.ui.warn(&format!("agents of this machine may still hear it: {e}"));
    }
    if !waited && !committed {
        let failure = Failure::new(Exit::Usage, "no murmur of the last hours has this id").on(id);
        return Err(failure.hint("ox murmur list"));
    }
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "success": true, "id": id }));
    }
    cx.ui.done(&format!("deleted: {id}"))?;
    if committed {
        cx.ui.note("other machines stop showing it once they have synced");
    }
    Ok(())
}

/// The murmur that is meant, whole id or the end of one, and the clone that has it.
fn meant(cx: &Cx, project: &Project, args: &Delete) -> Outcome<(Workspace, String)> {
    let wrong = |what: &str| Failure::new(Exit::Usage, what).on(&args.id).hint("ox murmur list");
    let clones = place::all(cx, project, args.scope)?;
    let mut found = Vec::new();
    for at in &clones {
        let all = place::recent(at, cx.now(), HOURS)?;
        found.extend(all.into_iter().filter(|m| m.id.ends_with(&args.id)).map(|m| (at.clone(), m.id)));
    }
    match (found.len(), clones.into_iter().next()) {
        (1, _) if args.id.len() >= ID_MIN => Ok(found.remove(0)),
        (2.., _) => Err(wrong("several murmurs have ids that end like this")),
        // It may stand where it cannot be read from here.
        (_, Some(at)) if crate::whispers::is_id(&args.id) => Ok((at, args.id.clone())),
        _ => Err(wrong("no murmur of the last hours has this id")),
    }
}

/// Removes the file and commits that; false if it is not there.
fn remove(cx: &Cx, lock: &mut CloneLock, at: &Workspace, id: &str) -> Outcome<bool> {
    let of_git =
        |e: GitError| Failure::new(Exit::of_class(e.class()), "the murmur cannot be taken out").because(&e);
    let reader = Reader::open(&at.path).map_err(of_git)?;
    let files = window::files(&reader, cx.now(), HOURS);
    let files = files.map_err(|e| place::failure("murmurs cannot be read", &e))?;
    let Some(file) = files.into_iter().find(|f| f.stem == id) else { return Ok(false) };
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let mut clone = lock.open(site.git(at.self_hosted), &at.path, &Cancel::new()).map_err(of_git)?;
    let gone = clone.remove(Path::new(&file.path), &format!("murmur: delete {id}")).map_err(of_git)?;
    Ok(gone.is_some())
}
