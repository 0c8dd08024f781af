//! `ox session remove`.

use std::fs;

use serde_json::json;

use super::{find_named, places};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::count;
use crate::sessions::{Found, Place, Recording, State, finish};

/// Flags of `ox session remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the session, or the agent it ends with
    #[arg(value_name = "SESSION", required_unless_present = "all")]
    session: Option<String>,
    /// Remove all that are on this machine alone
    #[arg(long, conflicts_with = "session")]
    all: bool,
    /// Do not ask
    #[arg(short, long, alias = "force")]
    yes: bool,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let is_own = |found: &Found| matches!(found.place, Place::Local | Place::Cache);
    let is_recorded = |found: &Found| !matches!(Recording::load(&found.dir), State::None);
    let meant = match &args.session {
        Some(word) => {
            let found = find_named(&places(cx, &project), word)?;
            if !is_own(&found) {
                return Err(Failure::new(Exit::Usage, "the session is not of this machine alone")
                    .on(&*found.name)
                    .because_of("it is in the ledger, or in the repository, with everybody who has these"));
            }
            if is_recorded(&found) {
                return Err(Failure::new(Exit::Usage, "the session is being recorded")
                    .on(&*found.name)
                    .hint(format!("ox agent {} session abort", found.name.agent())));
            }
            vec![found]
        }
        None => {
            let (all, _) = places(cx, &project).all();
            let is_alone = |found: &Found| is_own(found) && !found.in_ledger && !is_recorded(found);
            all.into_iter().filter(is_alone).collect()
        }
    };
    if !meant.is_empty() {
        let what = match &meant[..] {
            [one] => one.name.to_string(),
            several => count(several.len() as u64, "session"),
        };
        let question = match &meant[..] {
            [one] if one.in_ledger => {
                format!("Remove the copy of {what} on this machine? The ledger keeps it.")
            }
            _ => format!("Remove {what}? Nobody else has it."),
        };
        cx.ui.confirm(&question, args.yes)?;
    }
    for found in &meant {
        remove(found)?;
    }
    if cx.ui.json() {
        let names: Vec<&str> = meant.iter().map(|found| &*found.name).collect();
        return cx.ui.document(&json!({ "success": true, "removed": names }));
    }
    match &meant[..] {
        [] => {
            cx.ui.note("no session is on this machine alone");
            Ok(())
        }
        [one] => cx.ui.done(&format!("removed {}", one.name)),
        several => cx.ui.done(&format!("removed {}", count(several.len() as u64, "session"))),
    }
}

/// Removes it, unless somebody shares it now: that would then be a part of it.
fn remove(found: &Found) -> Outcome {
    let failed = |e: &std::io::Error| {
        Failure::new(Exit::Failed, "the session cannot be removed").on_path(&found.dir).because(e)
    };
    let Some(_held) = finish::try_hold(&found.dir).map_err(|e| failed(&e))? else {
        return Err(Failure::new(Exit::Failed, "the session is being shared")
            .on(&*found.name)
            .because_of("it goes from here by itself when the ledger has it")
            .hint("ox session list"));
    };
    match fs::remove_dir_all(&found.dir) {
        // Whoever shared it has removed it meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| failed(&e)),
    }
}
