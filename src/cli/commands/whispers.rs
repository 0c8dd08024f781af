//! `ox whispers`: what the agents of this machine hear, for the person at it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::cli::history;
use crate::cli::quoted::quoted;
use crate::ipc::wire::WhisperEntry;
use crate::kit::clock::pause;
use crate::kit::gotime::GoTime;
use crate::kit::text::plain_json;
use crate::whispers::Source;

/// With `--watch` new ones are asked for this often.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// So many are looked at then.
const PAGE: i64 = 200;

/// Flags of `ox whispers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox whispers\n  ox whispers --watch\n  ox whispers --last 100 --json")]
pub struct Args {
    /// Show at most N
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=200))]
    last: i64,
    /// Also show the reminders to agents
    #[arg(long)]
    reminders: bool,
    /// Keep printing what comes in; with --json one document a line
    #[arg(long)]
    watch: bool,
}

impl Args {
    /// Reminders are meant for one agent each and would fill the page.
    fn wants(&self, entry: &WhisperEntry) -> bool {
        let is_reminder = [Source::Nudge, Source::Reminder].iter().any(|s| s.name() == entry.source);
        self.reminders || !is_reminder
    }
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let mut page = history::page(cx, &project, "", GoTime(None), PAGE)?;
    if !args.watch {
        page.entries.retain(|e| args.wants(e));
        page.entries.truncate(usize::try_from(args.last).unwrap_or_default());
        if cx.ui.json() {
            return cx.ui.document(&page);
        }
        if page.entries.is_empty() {
            cx.ui.note("no whispers are stored");
            return Ok(());
        }
        let all: Vec<&WhisperEntry> = page.entries.iter().collect();
        return cx.ui.print(&quoted(
            cx,
            &history::table(&all, cx.now()).lines(cx.ui.width(), cx.ui.paint()).join("\n"),
        ));
    }
    // Of what is there already the newest; of what comes everything.
    let shown = usize::try_from(args.last).unwrap_or_default();
    page.entries.retain(|e| args.wants(e));
    let mut seen: BTreeSet<String> = page.entries.iter().skip(shown).map(|e| e.id.clone()).collect();
    let mut first = true;
    loop {
        let mut new: Vec<&WhisperEntry> =
            page.entries.iter().filter(|e| args.wants(e) && !seen.contains(&e.id)).collect();
        new.reverse();
        if cx.ui.json() {
            for entry in &new {
                let line = serde_json::to_string(entry).unwrap_or_default();
                cx.ui.raw(format!("{}\n", plain_json(&line)).as_bytes())?;
            }
        } else if !new.is_empty() {
            let lines = history::table(&new, cx.now()).lines(cx.ui.width(), cx.ui.paint());
            // The heads once.
            cx.ui.print(&quoted(cx, &lines[usize::from(!first)..].join("\n")))?;
            first = false;
        }
        seen = page.entries.iter().map(|e| e.id.clone()).collect();
        pause(WATCH_EVERY);
        page = history::page(cx, &project, "", GoTime(None), PAGE)?;
    }
}
