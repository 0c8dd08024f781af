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
use crate::sync::{Site, Workspace};
use crate::whispers::{Outbox, Store, window};

/// So long somebody at work on the clone is waited for (8.1).
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Files of older hours are not checked out, and of no interest to anybody.
const HOURS: i64 = 12;

/// Flags of `ox murmur delete`.
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// Its id, as `ox murmur list --json` has it
    id: String,
    /// Through which clone it went
    #[arg(long, value_name = "SCOPE", default_value = "ledger")]
    scope: ScopeName,
}

pub(super) fn run(cx: &Cx, args: &Delete) -> Outcome {
    let project = cx.project()?;
    let at = place::find(cx, &project, args.scope)?;
    if !crate::whispers::is_id(&args.id) {
        return Err(Failure::new(Exit::Usage, "this is no id of a murmur")
            .on(&args.id)
            .hint("ox murmur list --json"));
    }
    let of_git =
        |e: GitError| Failure::new(Exit::of_class(e.class()), "the murmur cannot be taken out").because(&e);
    let Some(mut lock) = CloneLock::acquire(&at.lock, LOCK_WAIT).map_err(of_git)? else {
        return Err(Failure::new(Exit::Failed, "somebody else works on the clone").on_path(&at.path));
    };
    // Under the lock nobody commits what waits.
    let forgotten = Outbox::of(&at.state).forget(&args.id);
    let waited = forgotten.map_err(|e| place::failure("the murmur cannot be taken out", &e))?;
    let committed = remove(cx, &mut lock, &at, &args.id)?;
    drop(lock);
    // Other machines hear of it by the commit; here it may never have been in one.
    let now = SystemClock.now();
    if let Err(e) = Store::of(&at.state).forget(now, std::slice::from_ref(&args.id)) {
        cx.ui.warn(&format!("agents of this machine may still hear it: {e}"));
    }
    if !waited && !committed {
        let failure = Failure::new(Exit::Usage, "no murmur of the last hours has this id").on(&args.id);
        return Err(failure.hint("ox murmur list --json"));
    }
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "success": true, "id": args.id }));
    }
    cx.ui.done(&format!("deleted: {}", args.id))?;
    if committed {
        cx.ui.note("other machines tell it to nobody any more once they have synced");
    }
    Ok(())
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
    match gone {
        Some(_) => Ok(true),
        None => {
            let text = "the murmur is not checked out here; it goes by itself after a day";
            Err(Failure::new(Exit::Failed, text).on(id))
        }
    }
}
