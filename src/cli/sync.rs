//! `ox sync`.

use std::time::Duration;

use serde::Serialize;

use super::context::Cx;
use super::errors::{of_client, of_reach};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::trust;
use super::ui::Progress;
use super::ui::text::{tilde, took};
use crate::daemon::reach;
use crate::ipc::client::{Client, ClientError};
use crate::ipc::wire;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::project::Project;

/// Flags of `ox sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox sync\n  ox sync --json")]
pub struct Args {
    /// Trust the ledger's host without being asked
    #[arg(short, long)]
    yes: bool,
}

/// The document of `ox sync --json`.
#[derive(Debug, Serialize)]
struct Document {
    success: bool,
    mode: &'static str,
    ledger: Ledger,
    took_ms: u128,
}

/// What became of the ledger.
#[derive(Debug, Serialize)]
struct Ledger {
    path: String,
    status: &'static str,
}

/// Starts the daemon if need be, and syncs.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let place = trust::ensure(cx, &project, args.yes)?;
    let progress = cx.ui.progress("reaching the daemon");
    let path = place.path.to_string_lossy().into_owned();
    let synced = reach::ensure(&cx.dirs, &cx.env, &project)
        .map_err(|e| of_reach(&e))
        .and_then(|client| sync(&client, &progress));
    drop(progress);
    let time = synced.map_err(|failure| {
        let cause = failure.causes.first().cloned().unwrap_or_else(|| failure.headline());
        failure
            .with("mode", "daemon".into())
            .with("ledger", serde_json::json!({ "path": path, "status": "error", "error": cause }))
    })?;
    if cx.ui.json() {
        let ledger = Ledger { path, status: "synced" };
        let took_ms = time.as_millis();
        return cx.ui.document(&Document { success: true, mode: "daemon", ledger, took_ms });
    }
    cx.ui.print(&format!("synced {} in {}", tilde(&path, &cx.home()), took(time)))
}

/// Syncs once, showing how it goes. Returns how long it took.
///
/// # Errors
/// The sync failed; its own words are the cause.
pub fn sync(client: &Client, progress: &Progress) -> Outcome<Duration> {
    let start = SystemClock.now().mono;
    progress.phase("syncing the ledger", None);
    client
        .sync(|p| show(progress, &p))
        .map_err(|e| match &e {
            ClientError::Remote(text) => Failure::new(Exit::Failed, "the ledger could not be synced")
                .because_of(text)
                .hint("ox doctor"),
            _ => of_client("the ledger could not be synced", &e),
        })
        .map(|()| SystemClock.now().mono.since(start))
}

fn show(progress: &Progress, p: &wire::Progress) {
    let text = if p.message.is_empty() { &p.stage } else { &p.message };
    if !text.is_empty() {
        progress.phase(text, p.percent.and_then(|n| u8::try_from(n).ok()));
    }
}

/// Serves the project, starting the daemon if need be.
///
/// # Errors
/// It cannot be started, or must not be, or does not answer.
pub fn serve(cx: &Cx, project: &Project) -> Outcome<Client> {
    reach::ensure(&cx.dirs, &cx.env, project).map_err(|e| of_reach(&e))
}
