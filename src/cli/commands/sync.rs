//! `ox sync`: the ledger, or the teams' contexts, now.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::team;
use crate::cli::context::Cx;
use crate::cli::errors::{of_client, of_reach, of_run};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::foreign;
use crate::cli::ui::Progress;
use crate::cli::ui::text::{clean, count, tilde, took};
use crate::cli::{team_clone, trust};
use crate::daemon::reach;
use crate::git::uncommitted;
use crate::health::IssueKind;
use crate::ipc::client::{Client, ClientError};
use crate::ipc::wire::{self, DaemonIssue, TeamSyncResult};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{Clock as _, SystemClock};
use crate::project::Project;
use crate::sync::{self, Loaded, Site, TeamRef, Workspace};

/// Flags of `ox sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox sync\n  ox sync --team platform\n  ox sync --all-teams --json")]
pub struct Args {
    /// Sync this team context instead of the ledger
    #[arg(long, value_name = "TEAM", group = "what")]
    team: Option<String>,
    /// Sync all team contexts instead of the ledger
    #[arg(long, group = "what")]
    all_teams: bool,
    /// The same as `ox team remove TEAM --clone`
    #[arg(long, value_name = "TEAM", group = "what", hide = true)]
    remove_team: Option<String>,
    /// With --remove-team: even if the clone has commits or files that exist only here
    #[arg(long, requires = "remove_team", hide = true)]
    force: bool,
    /// Trust new hosts without asking
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

/// Does it, starting the daemon if need be.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    match (&args.remove_team, &args.team, args.all_teams) {
        (Some(word), ..) => team_clone::remove(cx, &project, word, args.force, args.yes),
        (None, Some(word), _) => teams(cx, &project, word, args.yes),
        (None, None, true) => teams(cx, &project, "", args.yes),
        (None, None, false) => ledger(cx, &project, args.yes),
    }
}

/// Says what the project's committed configuration has lost, if anything.
pub fn say_lost(cx: &Cx, project: &Project) {
    let lost = sync::lost(&cx.dirs, project);
    if !lost.is_empty() {
        cx.ui.warn(&format!("{}; to put it back: ox doctor --fix", lost.text()));
    }
}

fn ledger(cx: &Cx, project: &Project, yes: bool) -> Outcome {
    say_lost(cx, project);
    let place = trust::ensure(cx, project, yes)?;
    let progress = cx.ui.progress("reaching the daemon");
    let path = place.path.to_string_lossy().into_owned();
    let synced = serve(cx, project).and_then(|client| {
        let started = cx.now();
        let time = sync(&client, &place, &progress)?;
        Ok((time, moved_beside(&client, started)))
    });
    drop(progress);
    let (time, beside) = synced.map_err(|failure| {
        let cause = failure.causes.first().cloned().unwrap_or_else(|| failure.headline());
        failure
            .with("mode", "daemon".into())
            .with("ledger", json!({ "path": path, "status": "error", "error": cause }))
    })?;
    if cx.ui.json() {
        let ledger = Ledger { path, status: "synced" };
        let took_ms = time.as_millis();
        return cx.ui.document(&Document { success: true, mode: "daemon", ledger, took_ms });
    }
    cx.ui.done(&format!("synced {} in {}", tilde(&path, &cx.home()), took(time)))?;
    if let Some(text) = beside {
        cx.ui.note(&clean(&text));
        cx.ui.next_step("ox rescue list");
    }
    note_uncommitted(cx, &place);
    Ok(())
}

/// Says what of the ledger no sync takes anywhere. Costs a `git status`, so only where somebody waits anyway.
fn note_uncommitted(cx: &Cx, place: &Workspace) {
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let found = uncommitted(site.git(place.self_hosted), &place.path, &Cancel::new()).unwrap_or_default();
    let Some(first) = found.first() else { return };
    let more = if found.len() > 1 { ", …" } else { "" };
    let n = count(found.len() as u64, "file");
    cx.ui.note(&format!(
        "not committed, so it stays on this machine: {n} ({}{more})",
        clean(&first.to_string_lossy())
    ));
}

/// What a sync since `started` has put beside because it met something newer, in the daemon's words.
fn moved_beside(client: &Client, started: Timestamp) -> Option<String> {
    let issues = client.status().ok()?.issues;
    let is_new = |issue: &DaemonIssue| issue.since.0.is_some_and(|since| since >= started);
    let ours = |issue: &DaemonIssue| matches!(issue.repo.as_str(), "" | sync::LEDGER);
    let found =
        issues.into_iter().find(|i| i.kind == IssueKind::DirtyWorkspace.name() && ours(i) && is_new(i));
    found.map(|issue| issue.summary)
}

/// Syncs once, showing how it goes. Returns how long it took.
///
/// # Errors
/// The sync failed; its own words are the cause. Or who serves the project does not keep this ledger.
pub fn sync(client: &Client, place: &Workspace, progress: &Progress) -> Outcome<Duration> {
    // A daemon of the Go program answers "synced" also where it keeps no ledger. One that gives no status tells with the sync itself.
    if let Some(data) = client.status().ok().filter(|data| foreign::leaves_out(data, place)) {
        return Err(foreign::refusal(&data));
    }
    let start = SystemClock.now().mono;
    progress.phase("syncing the ledger", None);
    client
        .sync(|p| show(progress, &p))
        .map_err(|e| match &e {
            ClientError::Run { text, class } => {
                of_run("the ledger could not be synced", text, *class, &place.path, &place.remote.display())
            }
            _ => of_client("the ledger could not be synced", &e),
        })
        .map(|()| SystemClock.now().mono.since(start))
}

/// Syncs the contexts of the teams that `word` means; of all for an empty one.
fn teams(cx: &Cx, project: &Project, word: &str, yes: bool) -> Outcome {
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let loaded = sync::load_local(&site, project);
    let wanted = wanted(&loaded, word).map_err(|f| f.with("mode", "daemon".into()))?;
    if wanted.is_empty() && word.is_empty() && loaded.endpoint.is_none() {
        return no_teams(cx, &loaded);
    }
    for team in &wanted {
        if let Ok(at) = sync::team_of(&cx.dirs, &loaded.slug, loaded.endpoint.as_deref(), team)
            && at.untrusted_host.is_some()
        {
            trust::ensure_team(cx, team.label(), &at.remote, yes)?;
        }
    }
    let progress = cx.ui.progress("reaching the daemon");
    let start = SystemClock.now().mono;
    let results = serve(cx, project).and_then(|client| sync_teams(&client, word, &progress));
    let time = SystemClock.now().mono.since(start);
    drop(progress);
    let results = results.map_err(|f| f.with("mode", "daemon".into()))?;
    report(cx, &results, time)
}

/// Syncs the contexts of the teams that `word` means, of all for an empty one, showing how it goes.
///
/// # Errors
/// Nothing was tried at all.
pub fn sync_teams(client: &Client, word: &str, progress: &Progress) -> Outcome<Vec<TeamSyncResult>> {
    progress.phase("syncing team contexts", None);
    client.team_sync(word, |p| show(progress, &p)).map_err(|e| match &e {
        ClientError::Remote(text) => Failure::new(Exit::Failed, "the team contexts could not be synced")
            .because_of(text)
            .hint("ox team list"),
        _ => of_client("the team contexts could not be synced", &e),
    })
}

/// The teams that `word` means. Of those that only a server names nothing is known here: then the daemon is asked.
fn wanted(loaded: &Loaded, word: &str) -> Outcome<Vec<TeamRef>> {
    if word.is_empty() {
        return Ok(loaded.registry().teams());
    }
    match team::find(loaded, word) {
        Ok(team) => Ok(vec![team]),
        Err(_) if loaded.endpoint.is_some() && loaded.registry().find(word).is_empty() => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn no_teams(cx: &Cx, loaded: &Loaded) -> Outcome {
    for problem in &loaded.problems {
        cx.ui.warn(problem);
    }
    if cx.ui.json() {
        return cx
            .ui
            .document(&json!({ "success": true, "mode": "daemon", "team_contexts": [], "took_ms": 0 }));
    }
    cx.ui.note("nothing to sync: this project has no teams");
    cx.ui.next_step("ox team add <id>=<URL>");
    Ok(())
}

/// Tells what became of each team. Those that succeeded are a result, those that did not are an error.
fn report(cx: &Cx, results: &[TeamSyncResult], time: Duration) -> Outcome {
    let entries: Vec<serde_json::Value> = results.iter().map(entry).collect();
    let (good, bad): (Vec<_>, Vec<_>) = results.iter().partition(|r| is_good(r));
    if cx.ui.json() && bad.is_empty() {
        return cx.ui.document(&json!({
            "success": true, "mode": "daemon", "team_contexts": entries, "took_ms": time.as_millis(),
        }));
    }
    if !cx.ui.json() {
        for r in &good {
            let why = if r.error.is_empty() { String::new() } else { format!(" ({})", clean(&r.error)) };
            let path = tilde(&r.path, &cx.home());
            cx.ui.done(&format!("{} {}{why}  {path}", clean(&r.status), clean(label(r))))?;
        }
    }
    let exit = if good.is_empty() { Exit::Failed } else { Exit::Partial };
    match failure(exit, &bad, results.len()) {
        Some(failure) => Err(failure.with("mode", "daemon".into()).with("team_contexts", entries.into())),
        None => {
            cx.ui.note(&format!("{} in {}", count(results.len() as u64, "team context"), took(time)));
            Ok(())
        }
    }
}

/// The failure of `bad` among `all` team contexts; none if there are no bad ones.
pub fn failure(exit: Exit, bad: &[&TeamSyncResult], all: usize) -> Option<Failure> {
    let what = match (bad.len(), all) {
        (0, _) => return None,
        (1, 1) => "the team context was not synced".to_owned(),
        (bad, all) => format!("{bad} of {all} team contexts were not synced"),
    };
    let failure = bad.iter().fold(Failure::new(exit, what), |failure, r| failure.because_of(reason(r)));
    Some(failure.hint("ox team list"))
}

/// Whether it is synced.
pub fn is_good(r: &TeamSyncResult) -> bool {
    matches!(r.status.as_str(), "synced" | "skipped")
}

/// What people call the team.
pub fn label(r: &TeamSyncResult) -> &str {
    let names = [&r.team_name, &r.team_slug].into_iter().find(|s| !s.is_empty());
    names.unwrap_or(&r.team_id)
}

fn reason(r: &TeamSyncResult) -> String {
    match (r.status.as_str(), r.error.as_str()) {
        ("cloning", "") => format!("{}: is still being cloned", label(r)),
        (status, "") => format!("{}: {status}", label(r)),
        (_, error) => format!("{}: {error}", label(r)),
    }
}

/// One team in the document of `--json`: what names it is always there.
pub fn entry(r: &TeamSyncResult) -> serde_json::Value {
    let mut entry = json!({
        "team_id": r.team_id, "team_name": r.team_name, "path": r.path, "status": r.status,
    });
    if !r.error.is_empty() {
        entry["error"] = r.error.clone().into();
    }
    entry
}

/// Shows what the daemon says of a job.
pub fn show(progress: &Progress, p: &wire::Progress) {
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
