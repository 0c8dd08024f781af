//! `ox net`: whom this program can contact over a network, and whom it has. Asks no network itself.

mod ways;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, bytes, count, relative};
use crate::cli::when;
use crate::project::{Dealings, Receipt, Receipts, dealings};
use ways::{State, Way};

/// Flags of `ox net`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  ox net\n  ox net --since 1h\n  ox net --json\n  ox net list"
)]
pub struct Args {
    #[command(flatten)]
    span: Span,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which receipts count.
#[derive(Debug, clap::Args)]
struct Span {
    /// Count nothing before this: a day, a time, or how long ago, such as 7d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
}

/// What to show instead.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List single contacts, newest first
    #[command(
        after_help = "Examples:\n  ox net list\n  ox net list --since 1h --limit 500\n  ox net list --json"
    )]
    List(List),
}

/// Flags of `ox net list`.
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    span: Span,
    /// Show at most N
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Looks and tells.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Some(Command::List(args)) => list(cx, args),
        None => both(cx, &args.span),
    }
}

/// The receipts that count, oldest first, and when the oldest of all is of.
fn receipts(cx: &Cx, span: &Span) -> Outcome<(Vec<Receipt>, Option<Timestamp>)> {
    let since = span.since.as_ref().map(|text| when::parse(text, cx.now(), &TimeZone::system())).transpose();
    let since = since.map_err(|why| {
        Failure::new(Exit::Usage, "--since is no time").because_of(why).hint("ox net --since 7d")
    })?;
    let kept = Receipts::of(&cx.dirs).read();
    let mut kept = kept.map_err(|e| {
        let failure = Failure::new(Exit::Failed, "the receipts of contacts cannot be read");
        failure.on_path(&cx.dirs.receipts()).because(&e).hint("ox doctor")
    })?;
    // Processes write beside each other, and each takes the time before it writes.
    kept.sort_by_key(|receipt| receipt.time);
    let oldest = kept.first().map(|receipt| receipt.time);
    kept.retain(|receipt| since.is_none_or(|since| receipt.time >= since));
    Ok((kept, oldest))
}

fn both(cx: &Cx, span: &Span) -> Outcome {
    let (kept, oldest) = receipts(cx, span)?;
    let (ways, problems) = ways::all(cx);
    let done = dealings(&kept);
    let is_silent = !ways.iter().any(|way| way.state == State::On);
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "contacts_nobody": is_silent, "can_contact": ways, "contacted": done, "receipts_since": oldest,
            "problems": problems,
        }));
    }
    problems.iter().for_each(|problem| cx.ui.warn(problem));
    cx.ui.print(&verdict(&ways))?;
    let shown: Vec<&Way> = ways.iter().filter(|way| way.is_known() || cx.ui.verbose()).collect();
    if !shown.is_empty() {
        cx.ui.print(&format!("\n{}", table_of_ways(cx, &shown).join("\n")))?;
    }
    if done.is_empty() {
        let since = if span.since.is_some() { " since then" } else { "" };
        return cx.ui.print(&format!("\nnobody was contacted{since}"));
    }
    cx.ui.print(&format!("\n{}", table_of_dealings(cx, &done).join("\n")))?;
    if let Some(oldest) = oldest {
        cx.ui.note(&format!("receipts are kept since {oldest:.0}; single ones: ox net list"));
    }
    Ok(())
}

/// In one line.
fn verdict(ways: &[Way]) -> String {
    let mut peers: Vec<&str> =
        ways.iter().filter(|way| way.state == State::On).map(|way| way.to.as_str()).collect();
    peers.sort_unstable();
    peers.dedup();
    match peers.len() as u64 {
        0 => "contacts nobody".to_owned(),
        n => format!("contacts {}: {}", count(n, "host"), peers.join(", ")),
    }
}

fn table_of_ways(cx: &Cx, ways: &[&Way]) -> Vec<String> {
    let mut table = Table::new(&["WHAT", "HOST", "STATE", "CHANGED BY"]);
    for way in ways {
        let to = if way.to.is_empty() { "-".to_owned() } else { way.to.clone() };
        let state = match way.note.as_str() {
            "" => way.state.word().to_owned(),
            note => format!("{}: {note}", way.state.word()),
        };
        table.row([way.what.to_owned(), to, state, way.setting.to_owned()]);
        if way.state == State::Off {
            table.tone(2, Tone::Dim);
        }
    }
    table.lines(cx.ui.width(), cx.ui.paint())
}

fn table_of_dealings(cx: &Cx, all: &[Dealings]) -> Vec<String> {
    let mut table = Table::new(&["CONTACTED", "FOR", "TIMES", "FAILED", "LAST", "OUTCOME", "OUT", "IN"]);
    for one in all {
        // What was not counted is no zero.
        let figure = |n: u64| if one.uncounted > 0 && n == 0 { "?".to_owned() } else { bytes(n) };
        table.row([
            one.peer(),
            one.purpose.clone(),
            one.contacts.to_string(),
            one.failures.to_string(),
            relative(one.last, cx.now()),
            one.outcome.clone(),
            figure(one.sent),
            figure(one.received),
        ]);
        if one.failures > 0 {
            table.tone(3, Tone::Warn);
        }
    }
    table.lines(cx.ui.width(), cx.ui.paint())
}

fn list(cx: &Cx, args: &List) -> Outcome {
    let (kept, _) = receipts(cx, &args.span)?;
    let shown: Vec<&Receipt> = kept.iter().rev().take(args.limit).collect();
    if cx.ui.json() {
        return cx.ui.document(&json!({ "receipts": shown }));
    }
    if shown.is_empty() {
        let since = if args.span.since.is_some() { " since then" } else { "" };
        cx.ui.note(&format!("nobody was contacted{since}"));
        return Ok(());
    }
    let mut table = Table::new(&["TIME", "BY", "FOR", "CONTACTED", "OUTCOME", "OUT", "IN"]);
    for one in shown {
        let figure = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), bytes);
        let peer = match &one.via {
            Some(proxy) => format!("{} by {proxy}", one.peer()),
            None => one.peer(),
        };
        table.row([
            format!("{:.0}", one.time),
            one.by.clone(),
            one.purpose.clone(),
            peer,
            one.outcome.clone(),
            figure(one.sent),
            figure(one.received),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}
