//! `ox gc`: has the daemon make the clones of the project smaller, and says what that came to.

use serde_json::json;

use crate::cli::commands::sync::{serve, show};
use crate::cli::context::Cx;
use crate::cli::errors::of_client;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::foreign;
use crate::cli::ui::text::count;
use crate::ipc::wire::{Progress, TriggerGc};

/// The stage of a progress line that says what a clone came to.
const COMPLETE: &str = "complete";

/// Flags of `ox gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox gc\n  ox gc --json")]
pub struct Args {}

/// Does it, starting the daemon if need be.
pub fn run(cx: &Cx) -> Outcome<Exit> {
    let project = cx.project()?;
    let progress = cx.ui.progress("reaching the daemon");
    let client = serve(cx, &project)?;
    progress.phase("making the clones smaller", None);
    let mut sizes = Vec::new();
    let done = client.trigger_gc(|p: Progress| {
        if p.stage == COMPLETE {
            sizes.push(p.message.clone());
        }
        show(&progress, &p);
    });
    drop(progress);
    let done = done.map_err(|e| of_client("the clones could not be made smaller", &e))?;
    // Another program's counts are its own, and it may keep other clones.
    let other = client.status().ok().and_then(|data| foreign::who_else(&data));
    tell(cx, &done, &sizes, other.as_deref())
}

/// The clones that were begun; the ledger is counted apart on the wire.
fn begun(done: &TriggerGc) -> i64 {
    done.triggered + i64::from(done.ledger_triggered)
}

fn tell(cx: &Cx, done: &TriggerGc, sizes: &[String], other: Option<&str>) -> Outcome<Exit> {
    if begun(done) == 0 && done.skipped > 0 {
        return Err(Failure::new(Exit::Failed, "a gc is in progress already; nothing was started")
            .with("skipped", json!(done.skipped))
            .hint("ox gc, when that has ended"));
    }
    let exit = match (begun(done), done.errors.is_empty()) {
        (_, true) => Exit::Done,
        (0, false) => Exit::Failed,
        (_, false) => Exit::Partial,
    };
    if exit == Exit::Done && cx.ui.json() {
        cx.ui.document(&json!({
            "success": true, "triggered": begun(done), "skipped": done.skipped,
            "ledger_triggered": done.ledger_triggered, "sizes": sizes,
        }))?;
        return Ok(exit);
    }
    if !cx.ui.json() {
        for line in sizes {
            cx.ui.done(line)?;
        }
        cx.ui.done(&headline(done, other))?;
        if other.is_some() {
            cx.ui.next_step(foreign::WAY_OUT);
        }
    }
    if exit == Exit::Done {
        return Ok(exit);
    }
    let kept = format!("{} not made smaller", count(done.errors.len() as u64, "clone"));
    let failure = done.errors.iter().fold(Failure::new(exit, kept), |failure, e| failure.because_of(e));
    let TriggerGc { skipped, ledger_triggered, errors, .. } = done;
    Err(failure
        .with("triggered", json!(begun(done)))
        .with("skipped", json!(skipped))
        .with("ledger_triggered", json!(ledger_triggered))
        .with("sizes", json!(sizes))
        .with("errors", json!(errors))
        .hint("ox doctor"))
}

fn headline(done: &TriggerGc, other: Option<&str>) -> String {
    let by = other.map(|who| format!(" by another daemon, {who}")).unwrap_or_default();
    match (begun(done), done.errors.is_empty()) {
        (0, true) if other.is_some() => format!("nothing was made smaller{by}"),
        (0, true) => "nothing to do: this project has no clone here yet".into(),
        (0, false) => format!("no clone was made smaller{by}"),
        (n, _) => {
            let ledger = if done.ledger_triggered { ", the ledger among them," } else { "" };
            format!("made {}{ledger} smaller{by}", count(n.unsigned_abs(), "clone"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_own_words() {
        let check = |triggered, error: bool, ledger_triggered, other: Option<&str>, expected: &str| {
            let errors = if error { vec!["the ledger: dirty".to_owned()] } else { Vec::new() };
            let done = TriggerGc { triggered, ledger_triggered, errors, skipped: 0 };
            assert_eq!(headline(&done, other), expected);
        };
        check(0, false, false, None, "nothing to do: this project has no clone here yet");
        check(0, true, false, None, "no clone was made smaller");
        check(0, false, true, None, "made 1 clone, the ledger among them, smaller");
        check(2, true, false, None, "made 2 clones smaller");
        let other = Some("it is 0.6.1, pid 7");
        check(0, false, false, other, "nothing was made smaller by another daemon, it is 0.6.1, pid 7");
        check(
            2,
            false,
            true,
            other,
            "made 3 clones, the ledger among them, smaller by another daemon, it is 0.6.1, pid 7",
        );
    }
}
