//! `ox events` and `ox sessions`: what agents of this machine do, as their programs' hooks and transcripts tell.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, relative, row};
use crate::cli::when;
use crate::harness::{self, PROGRAMS};
use crate::hooks::record::FOREIGN;
use crate::hooks::store::{Event, Filter, Live, Rest, Stats, Store, StoreError};
use crate::kit::human::{bytes, count};
use crate::project::settings::Settings;

/// So much of a session's id is shown in a table; what follows is rarely needed to tell two apart.
const ID_SHOWN: usize = 13;

/// Flags of `ox events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox events list\n  ox events show 812\n  ox events stats --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to show.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what agents did, newest first
    ///
    /// Prompts, calls of tools, ends of turns and the like, in all projects of this user. What a hook and a transcript both
    /// tell is one event, and SOURCES names both.
    #[command(
        after_help = "Examples:\n  ox events list\n  ox events list --agent codex --since 2h\n  ox events list --session 01a22ce6-144a-71e1-a188-837ab0902433 --json"
    )]
    List(ListArgs),
    /// Show all that is stored of one event
    #[command(after_help = "Examples:\n  ox events show 812\n  ox events show 812 --json")]
    Show(ShowArgs),
    /// Count events by agent, kind and who told of them
    #[command(after_help = "Examples:\n  ox events stats\n  ox events stats --json")]
    Stats,
}

/// Flags of `ox events list`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those of this agent program: claude, codex, gemini, …
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only those of this session, by its program's id
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only those since this: a day, a time, or how long ago, such as 2h
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Show at most N
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Flags of `ox events show`.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The number of the event in ox events list
    #[arg(value_name = "SEQ")]
    seq: i64,
}

/// Flags of `ox sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox sessions live\n  ox sessions live --json")]
pub struct SessionsArgs {
    #[command(subcommand)]
    command: SessionsCommand,
}

/// Which sessions to show.
#[derive(Debug, clap::Subcommand)]
enum SessionsCommand {
    /// List the sessions of agents of which something was heard in the last ten minutes
    ///
    /// Of every program whose events are taken in or whose transcripts are read, whether or not it is recorded.
    #[command(after_help = "Examples:\n  ox sessions live\n  ox sessions live --json")]
    Live,
}

/// All of an event.
#[derive(Serialize)]
struct Whole<'e> {
    #[serde(flatten)]
    event: &'e Event,
    #[serde(flatten)]
    rest: &'e Rest,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::List(args) => list(cx, args),
        Command::Show(args) => show(cx, args.seq),
        Command::Stats => stats(cx),
    }
}

pub fn run_sessions(cx: &Cx, args: &SessionsArgs) -> Outcome {
    match args.command {
        SessionsCommand::Live => live(cx),
    }
}

/// The agent programs whose events there may be.
pub fn programs(_: &Cx) -> Vec<(String, String)> {
    let known = PROGRAMS.iter().filter(|program| program.hooks.is_some()).map(|program| program.kind);
    known.chain([FOREIGN]).map(|kind| (kind.to_owned(), String::new())).collect()
}

/// The store, to be looked at; none where nothing was ever stored.
fn store(cx: &Cx) -> Result<Option<Store>, Failure> {
    Store::look(&cx.dirs.events()).map_err(|e| failed(cx, &e))
}

fn failed(cx: &Cx, e: &StoreError) -> Failure {
    let failure = Failure::new(Exit::Failed, "the events cannot be read").because(e);
    match e {
        StoreError::Newer { .. } => failure.hint("install the newer ox"),
        _ => failure.on_path(&cx.dirs.events()).hint("ox daemon restart"),
    }
}

/// Says that there is nothing, and what would make that otherwise.
fn say_none(cx: &Cx, what: &str, is_empty: bool) {
    cx.ui.note(what);
    if is_empty {
        let is_on = Settings::load(&cx.env, &cx.dirs, None).0.hooks_enabled() == Some(true);
        cx.ui.next_step(if is_on { "ox hooks status" } else { "ox hooks install" });
    }
}

fn list(cx: &Cx, args: &ListArgs) -> Outcome {
    let since = args.since.as_ref().map(|text| when::parse(text, cx.now(), &TimeZone::system())).transpose();
    let since = since.map_err(|why| Failure::new(Exit::Usage, "--since is no time").because_of(why))?;
    let filter = Filter {
        agent: args.agent.as_deref().map(|name| harness::kind(name).to_owned()),
        session: args.session.clone(),
        since,
        limit: args.limit,
    };
    let store = store(cx)?;
    let events = store.as_ref().map(|store| store.list(&filter)).transpose().map_err(|e| failed(cx, &e))?;
    let events = events.unwrap_or_default();
    if cx.ui.json() {
        return cx.ui.document(&json!({ "events": events }));
    }
    if events.is_empty() {
        let is_all = filter.agent.is_none() && filter.session.is_none() && since.is_none();
        let what = if is_all { "no events are stored" } else { "no such events are stored" };
        say_none(cx, what, store.is_none() || is_all);
        return Ok(());
    }
    let mut table = Table::new(&["SEQ", "WHEN", "AGENT", "SESSION", "EVENT", "TOOL", "SOURCES"]);
    for event in events {
        let failed = if event.is_error == Some(true) { " (failed)" } else { "" };
        table.row([
            event.seq.to_string(),
            ago(cx, event.at_ms),
            event.agent,
            id(&event.session_id),
            format!("{}{failed}", event.event_type),
            event.tool_name.unwrap_or_default(),
            event.sources.join(", "),
        ]);
    }
    cx.ui.page(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

fn show(cx: &Cx, seq: i64) -> Outcome {
    let store = store(cx)?;
    let event = store.map(|store| store.get(seq)).transpose().map_err(|e| failed(cx, &e))?.flatten();
    let Some(event) = event else {
        return Err(Failure::new(Exit::Failed, format!("there is no event {seq}")).hint("ox events list"));
    };
    let whole = Whole { event: &event, rest: &event.rest };
    if cx.ui.json() {
        return cx.ui.document(&whole);
    }
    let fields = serde_json::to_value(&whole).unwrap_or_default();
    let mut lines = Vec::new();
    for (name, value) in fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(_) => event.sources.join(", "),
            value => {
                match value.as_i64().filter(|_| name.ends_with("at_ms")).map(Timestamp::from_millisecond) {
                    Some(Ok(at)) => at.to_string(),
                    _ => value.to_string(),
                }
            }
        };
        lines.push(row(name.trim_end_matches("_ms"), &text));
    }
    cx.ui.print(&lines.join("\n"))
}

fn stats(cx: &Cx) -> Outcome {
    let store = store(cx)?;
    let stats = store.map(|store| store.stats()).transpose().map_err(|e| failed(cx, &e))?;
    let stats = stats.unwrap_or_else(Stats::default);
    if cx.ui.json() {
        return cx.ui.document(&stats);
    }
    if stats.events == 0 {
        say_none(cx, "no events are stored", true);
        return Ok(());
    }
    let mut table = Table::new(&["AGENT", "EVENT", "HOOK ONLY", "TRANSCRIPT ONLY", "BOTH"]);
    for of in &stats.counts {
        let numbers = [of.hook, of.transcript, of.both].map(|n| n.to_string());
        table.row([of.agent.clone(), of.event_type.clone()].into_iter().chain(numbers));
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    let last = stats.last_event_ms.map(|ms| format!(", the last one {}", ago(cx, ms))).unwrap_or_default();
    cx.ui.note(&format!(
        "{} of {}, {} told by hooks and transcripts{last}; {}",
        count(stats.events.unsigned_abs(), "event"),
        count(stats.sessions.unsigned_abs(), "session"),
        stats.both,
        bytes(stats.size)
    ));
    Ok(())
}

fn live(cx: &Cx) -> Outcome {
    let store = store(cx)?;
    let now = cx.now();
    let sessions = store.as_ref().map(|store| store.live(now)).transpose().map_err(|e| failed(cx, &e))?;
    let sessions: Vec<Live> = sessions.unwrap_or_default();
    if cx.ui.json() {
        return cx.ui.document(&json!({ "sessions": sessions }));
    }
    if sessions.is_empty() {
        let what = if store.is_none() {
            "no events are stored"
        } else {
            "nothing was heard of any session in the last ten minutes"
        };
        say_none(cx, what, store.is_none());
        return Ok(());
    }
    let mut table =
        Table::new(&["AGENT", "SESSION", "STATUS", "MODEL", "TOOL", "BEGAN", "LAST SEEN", "SOURCES"]);
    for session in sessions {
        let status = match (&*session.status, session.awaiting_since_ms) {
            ("active", Some(_)) => "waiting",
            (status, _) => status,
        };
        table.row([
            session.agent,
            id(&session.session_id),
            status.to_owned(),
            session.model.unwrap_or_default(),
            session.current_tool.unwrap_or_default(),
            ago(cx, session.started_ms),
            ago(cx, session.last_seen_ms),
            session.sources.join(", "),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

fn ago(cx: &Cx, ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|at| relative(at, cx.now())).unwrap_or_default()
}

fn id(session: &str) -> String {
    session.chars().take(ID_SHOWN).collect()
}
