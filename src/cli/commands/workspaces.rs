//! `ox clones`: every managed clone, with what the disk and the daemon know of it. Starts nothing, asks no network.

use jiff::Timestamp;
use serde_json::json;

use crate::cli::clones::{self, CloneFacts, Found};
use crate::cli::context::Cx;
use crate::cli::daemon_status::humanised;
use crate::cli::failure::Outcome;
use crate::cli::live::{Seen, probe};
use crate::cli::ui::Paint;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, bytes, clean, count, cut, relative, tilde};
use crate::daemon::reach;
use crate::ipc::client::Client;
use crate::ipc::wire::StatusData;

/// Columns of the names in the table of a terminal, so that all of it fits into 80.
const NAME_MAX: usize = 24;
/// Hex digits of a commit for people.
const COMMIT_SHOWN: usize = 12;

/// Flags of `ox clones`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox clones\n  ox clones -v\n  ox clones --all --json")]
pub struct Args {
    /// Show the clones of all projects on this machine
    #[arg(long)]
    all: bool,
}

/// Looks and tells.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let progress = cx.ui.progress("looking at the clones");
    let (mut clones, running, problems) = if args.all { of_machine(cx) } else { of_project(cx)? };
    for clone in &mut clones {
        clone.count_bytes();
    }
    drop(progress);
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "workspaces": clones, "daemon": { "running": running }, "problems": problems,
        }));
    }
    for problem in &problems {
        cx.ui.warn(problem);
    }
    if !running {
        cx.ui.note("the daemon is not running: nothing is kept in sync");
    }
    if clones.is_empty() {
        let data = tilde(&cx.dirs.data().to_string_lossy(), &cx.home());
        cx.ui.note(&format!("no clones below {data}"));
        cx.ui.next_step("ox up");
        return Ok(());
    }
    let now = cx.now();
    let mut lines = table(&clones, now, cx.ui.width(), cx.ui.paint());
    if cx.ui.verbose() {
        lines.extend(clones.iter().flat_map(|clone| details(clone, cx, now, cx.ui.paint())));
    } else {
        let errors = clones.iter().filter(|c| !c.error.is_empty());
        lines.extend(errors.map(|c| format!("{}: {}", clean(c.label()), clean(&humanised(&c.error)))));
    }
    cx.ui.print(&lines.join("\n"))?;
    if !running {
        cx.ui.next_step("ox up");
    }
    Ok(())
}

type Looked = (Vec<CloneFacts>, bool, Vec<String>);

fn of_project(cx: &Cx) -> Outcome<Looked> {
    let project = cx.project()?;
    let live = match probe(cx, Some(&project)) {
        Ok(Seen::Running { data, .. }) => Some(data),
        Ok(Seen::Absent(_)) | Err(_) => None,
    };
    let Found { ledger, teams, problems } = clones::of_project(cx, &project, live.as_deref());
    Ok((ledger.into_iter().chain(teams).collect(), live.is_some(), problems))
}

fn of_machine(cx: &Cx) -> Looked {
    let served = reach::projects(&cx.dirs);
    let running = served.is_ok();
    let live: Vec<StatusData> =
        served.unwrap_or_default().iter().filter_map(|p| Client::new(&p.socket_path).status().ok()).collect();
    (clones::of_machine(cx, &live), running, Vec::new())
}

fn table(clones: &[CloneFacts], now: Timestamp, width: Option<usize>, paint: Paint) -> Vec<String> {
    let mut table = Table::new(&["KIND", "NAME", "STATE", "SYNCED", "+/-", "SIZE"]);
    for clone in clones {
        let kind = if clone.kind == "ledger" { "ledger" } else { "team" };
        let name = cut(&clean(clone.label()), width.map(|_| NAME_MAX));
        let synced = clone.last_sync.map_or_else(|| "never".to_owned(), |t| relative(t, now));
        let apart = match (clone.ahead, clone.behind) {
            (Some(ahead), Some(behind)) => format!("+{ahead}/-{behind}"),
            _ => "-".to_owned(),
        };
        let size = clone.size_bytes.map_or_else(|| "-".to_owned(), bytes);
        table.row([kind.to_owned(), name, clone.status.words().to_owned(), synced, apart, size]);
        if let Some(tone) = clone.status.tone() {
            table.tone(2, tone);
        }
    }
    table.lines(width, paint)
}

/// All that is known of a clone, a line each.
fn details(clone: &CloneFacts, cx: &Cx, now: Timestamp, paint: Paint) -> Vec<String> {
    let home = cx.home();
    let mut lines = vec![String::new(), paint.text(Tone::Head, &clean(clone.label()))];
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<9} {}", clean(&value)));
        }
    };
    let when = |t: Option<Timestamp>| t.map(|t| relative(t, now)).unwrap_or_default();
    field("id", clone.id.clone());
    field("endpoint", clone.endpoint.clone());
    field("named by", clone.sources.join(", "));
    field("path", tilde(&clone.path.to_string_lossy(), &home));
    field("remote", tilde(&clone.remote, &home));
    field("at", standing(clone));
    field("error", humanised(&clone.error));
    field("changed", when(clone.remote_changed));
    if clone.sync_failures > 0 {
        let again = when(clone.next_sync_attempt);
        let again = if again.is_empty() { again } else { format!(", next attempt {again}") };
        field("failures", format!("{}{again}", count(clone.sync_failures.unsigned_abs(), "failure")));
    }
    field("next run", when(clone.next_sync));
    if let Some(host) = &clone.untrusted_host {
        field("waits", format!("{host} is not trusted yet"));
    }
    let traits = [
        (clone.read_only, "read-only"),
        (clone.shallow, "short history"),
        (clone.partial, "contents fetched when needed"),
        (clone.stale == Some(true), "not synced for a day"),
    ];
    let traits: Vec<&str> = traits.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    field("note", traits.join(", "));
    lines
}

/// Branch and commit, and how far they are from the remote's.
fn standing(clone: &CloneFacts) -> String {
    let commit = clone.commit.as_deref().unwrap_or_default();
    let mut text = clone.branch.clone().unwrap_or_default();
    if !commit.is_empty() {
        text.push_str(&format!(" {}", commit.get(..COMMIT_SHOWN).unwrap_or(commit)));
    }
    for (n, word) in [(clone.ahead, "ahead"), (clone.behind, "behind")] {
        if let Some(n) = n.filter(|n| *n > 0) {
            text.push_str(&format!(", {n} {word}"));
        }
    }
    text
}
