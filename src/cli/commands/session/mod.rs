//! `ox session`: sessions of agents, listed, read and given out.

pub mod archive;
pub mod begin;
mod commits;
mod export;
mod finish;
mod import;
mod list;
mod log;
pub mod record;
mod redaction;
mod remove;
mod search;
mod share;
mod subagents;
mod usage;
mod view;

use jiff::tz::TimeZone;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::project::Project;
use crate::sessions::archive::Version;
use crate::sessions::raw::{self, Entry, Header, Line};
use crate::sessions::{Found, Info, Places, Unclear, subagents as helpers};
use crate::sync;

/// Flags of `ox session`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox session list\n  ox session view OxTndR\n  ox session export OxTndR --html"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Begin to record the session of the agent that runs this
    ///
    /// From now on what the agent's own transcript gets is taken over, without secrets, into a directory of the ledger's
    /// clone that stays on this machine. When it has ended it is shared by ox session upload, or by the daemon where an agent
    /// does background work (ox agents status) or the repository says session_publishing auto.
    #[command(
        after_help = "Examples:\n  ox session start\n  ox agent OxTndR session start --title \"Split the parser\""
    )]
    Start(begin::Start),
    /// Finish the recording of the agent's session
    #[command(after_help = "Examples:\n  ox session stop\n  ox agent OxTndR session stop --json")]
    Stop(record::Stop),
    /// Throw the recording of the agent's session away
    #[command(after_help = "Examples:\n  ox session abort --yes")]
    Abort(record::Abort),
    /// Write something down in the session of an agent whose transcript nobody can read
    ///
    /// What looks like a secret is taken out first.
    #[command(
        after_help = "Examples:\n  ox agent OxTndR session log --role user --content \"Split the parser\"\n  ox session log --role assistant --stdin < answer.md\n  ox session log --role tool --tool-name shell --tool-input \"cargo test\""
    )]
    Log(log::Log),
    /// Keep the agent's plan with its session
    #[command(
        after_help = "Examples:\n  ox session plan < plan.md\n  ox session plan \"First the lexer, then the parser\""
    )]
    Plan(log::Plan),
    /// Note in the session of another agent that the sub-agent which runs this has finished the task from there
    #[command(
        after_help = "Examples:\n  ox session subagent-complete --parent OxTndR --summary \"Tests pass\""
    )]
    SubagentComplete(log::SubagentComplete),
    /// Say now and then that the session is recorded
    ///
    /// Prints a line when fifty entries have been added since the last one, else nothing.
    #[command(after_help = "Examples:\n  ox agent OxTndR session remind")]
    Remind,
    /// Mark what is recorded from now on as not to be shared
    #[command(after_help = "Examples:\n  ox session pause")]
    Pause,
    /// Go on after a pause
    #[command(after_help = "Examples:\n  ox session resume")]
    Resume,
    /// Show what is being recorded here
    #[command(after_help = "Examples:\n  ox session status\n  ox session status --current --json")]
    Status(record::StatusArgs),
    /// Finish a recording whose agent has ended without a word
    #[command(after_help = "Examples:\n  ox session recover OxTndR")]
    Recover(record::Recover),
    /// Make a session of a file: an agent's transcript, or what an agent wrote down of what went before
    #[command(
        after_help = "Examples:\n  ox session import ~/.claude/projects/-srv-app/6f1c.jsonl\n  ox session import prior.jsonl --title \"Before the split\"",
        alias = "capture-prior"
    )]
    Import(import::Args),
    /// Have a session summed up by an agent and shared now
    ///
    /// The daemon does this by itself when a recording has ended, if agent_worker.agent names an agent. The summary is judged:
    /// what is worth little stays on this machine, and what is worth nothing is set aside for seven days.
    #[command(after_help = "Examples:\n  ox session finalize\n  ox session finalize OxTndR --json")]
    Finalize(finish::Finalize),
    /// Share a session in the ledger as it is, without any agent
    ///
    /// Its content goes to the remote's Git LFS, where there is none into git up to 5 MiB a file; what is here goes when the
    /// remote has all of it.
    #[command(after_help = "Examples:\n  ox session upload OxTndR\n  ox session upload --all")]
    Upload(share::Upload),
    /// Bring the content of a session that others have shared to this machine
    #[command(after_help = "Examples:\n  ox session download OxTndR")]
    Download(share::Download),
    /// Try once more what could not be finished
    ///
    /// An agent is asked three times about a session and then no more; this has it asked anew.
    #[command(after_help = "Examples:\n  ox session retry\n  ox session retry OxTndR")]
    Retry(finish::Retry),
    /// Have a session of this machine summed up anew
    #[command(
        after_help = "Examples:\n  ox session regenerate OxTndR\n  ox session regenerate --all --dry-run"
    )]
    Regenerate(finish::Regenerate),
    /// Give a session the summary that is in a file
    ///
    /// For an agent that sums up its own session. It is checked as the answer of any other agent: JSON with title, summary,
    /// key_actions and outcome.
    #[command(
        after_help = "Examples:\n  ox session push-summary --file summary.json OxTndR\n  ox session push-summary --file -"
    )]
    PushSummary(finish::PushSummary),
    /// Remove a session that is on this machine alone
    #[command(
        after_help = "Examples:\n  ox session remove OxTndR\n  ox session remove --all --yes",
        alias = "delete"
    )]
    Remove(remove::Args),
    /// List sessions, newest first
    ///
    /// Those that are recorded on this machine, those that others have shared in the ledger, and those that were never recorded but whose
    /// transcripts are in the archive.
    #[command(after_help = "Examples:\n  ox session list\n  ox session list --all\n  ox session list --json")]
    List(list::Args),
    /// Find sessions by what was said and done in them
    ///
    /// Looks through those of this machine and those that others have shared in the ledger, the best first.
    #[command(
        after_help = "Examples:\n  ox session search parser\n  ox session search \"half way\" rebase\n  ox session search 'parse_h*' --limit 3 --json"
    )]
    Search(search::Args),
    /// Show what was said and done in a session
    #[command(
        after_help = "Examples:\n  ox session view\n  ox session view OxTndR\n  ox session view 2026-03-12T11-09-dana-OxTndR --last 20",
        alias = "show"
    )]
    View(view::Args),
    /// List the sub-agents of a session
    ///
    /// What each did is kept apart when the session is finished.
    #[command(
        after_help = "Examples:\n  ox session subagents\n  ox session subagents OxTndR --json",
        alias = "subagent-list"
    )]
    Subagents(subagents::Args),
    /// List the commits with lines that a session wrote
    ///
    /// Found by content, on all branches, among the commits made since the session began, so that a rebase, a squash or an amend changes
    /// nothing. Shows how many of the lines that each added are the session's.
    #[command(
        after_help = "Examples:\n  ox session commits\n  ox session commits OxTndR\n  ox session commits OxTndR --json"
    )]
    Commits(commits::Args),
    /// Show what the answers of models cost, in tokens and money
    ///
    /// Counts each answer once, whichever transcripts tell it: a resumed session, a fork, a sub-agent. Looks at the transcripts
    /// of Claude Code, codex, Gemini CLI and opencode on this machine, and at what others share in the ledger; what was counted
    /// stays counted when the transcripts are gone. Nothing leaves the machine.
    ///
    /// Prices are the makers' list prices. prices.json in the configuration directory overrides them and adds others, in US
    /// dollars for a million tokens: {"models": [{"model": "my-model", "input": 1.5, "cached": 0.15, "cache_write": 1.9,
    /// "output": 6}]}. A model is named without the date behind it, or with * for all that begin so. "from" is the first day of
    /// a price, "cache_write_long" the price of what a cache keeps longer, "over" the prices of prompts of more than its
    /// "tokens" (100000, 200000 or 272000). What has no price is unknown, and never counted as 0.
    #[command(
        after_help = "Examples:\n  ox session usage\n  ox session usage --by day --since 7d\n  ox session usage --by project --all-projects --json\n  ox session usage --by model --explain claude-opus-5-5"
    )]
    Usage(usage::Args),
    /// Write a session as Markdown, as a page of HTML, or as JSON
    #[command(
        after_help = "Examples:\n  ox session export OxTndR\n  ox session export OxTndR --html\n  ox session export OxTndR --format json -o session.json"
    )]
    Export(export::Args),
    /// Show the rules for secrets, and look for secrets in recorded sessions
    Redaction(redaction::Args),
    /// Keep what agent programs write down, before they delete it
    ///
    /// Claude Code deletes transcripts after 30 days, Gemini CLI too. The archive keeps a copy of each, compressed and without
    /// secrets, on this machine alone.
    Archive(archive::Args),
}

/// Which session is meant.
#[derive(Debug, clap::Args)]
struct Which {
    /// Name of the session, the agent it ends with, or the id of one in the archive [default: the newest]
    #[arg(value_name = "SESSION")]
    session: Option<String>,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Start(args) => begin::start(cx, args),
        Command::Stop(args) => record::stop(cx, args),
        Command::Abort(args) => record::abort(cx, args),
        Command::Pause => record::pause(cx, true),
        Command::Resume => record::pause(cx, false),
        Command::Log(args) => log::log(cx, args),
        Command::Plan(args) => log::plan(cx, args),
        Command::SubagentComplete(args) => log::subagent_complete(cx, args),
        Command::Remind => log::remind(cx),
        Command::Import(args) => import::run(cx, args),
        Command::Finalize(args) => finish::finalize(cx, args),
        Command::Upload(args) => share::upload(cx, args),
        Command::Download(args) => share::download(cx, args),
        Command::Retry(args) => finish::retry(cx, args),
        Command::Regenerate(args) => finish::regenerate(cx, args),
        Command::PushSummary(args) => finish::push_summary(cx, args),
        Command::Remove(args) => remove::run(cx, args),
        Command::Status(args) => record::status(cx, args),
        Command::Recover(args) => record::recover(cx, args),
        Command::List(args) => list::run(cx, args),
        Command::Search(args) => search::run(cx, args),
        Command::View(args) => view::run(cx, args),
        Command::Subagents(args) => subagents::run(cx, args),
        Command::Commits(args) => commits::run(cx, args),
        Command::Usage(args) => usage::run(cx, args),
        Command::Export(args) => export::run(cx, args),
        Command::Redaction(args) => redaction::run(cx, args),
        Command::Archive(args) => archive::run(cx, args),
    }
}

/// Where the sessions of the project here lie.
pub fn places(cx: &Cx, project: &Project) -> Places {
    let ledger = sync::ledger_of(&cx.env, &cx.dirs, project, None).ok().filter(sync::Workspace::exists);
    Places::new(&cx.dirs, &project.root, &project.repo_id, ledger.as_ref().map(|at| at.path.as_path()))
}

/// The session that is meant.
///
/// # Errors
/// There is none, or several are meant.
fn find(cx: &Cx, which: &Which) -> Outcome<Found> {
    let project = cx.project()?;
    let places = places(cx, &project);
    let Some(word) = &which.session else {
        return newest(places.all().0).ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no session here yet").hint("ox session list")
        });
    };
    find_named(&places, word)
}

/// The one that began last: names tell the minute, and of those of one minute what they say of themselves counts.
fn newest(all: Vec<Found>) -> Option<Found> {
    let minute = |found: &Found| found.name.began(&TimeZone::UTC);
    let last = all.first().and_then(minute);
    let of_it: Vec<Found> = all.into_iter().take_while(|found| minute(found) == last).collect();
    let began = |found: &Found| Info::of(found).ok().and_then(|info| info.header.created_at);
    // The last of several that are alike is the first by name.
    of_it.into_iter().rev().max_by_key(began)
}

/// The session that `word` means.
fn find_named(places: &Places, word: &str) -> Outcome<Found> {
    places.find(word).map_err(|unclear| match unclear {
        Unclear::None => Failure::new(Exit::Usage, "no such session").on(word).hint("ox session list --all"),
        Unclear::Several(names) => {
            let all: Vec<&str> = names.iter().map(|name| &**name).collect();
            Failure::new(Exit::Usage, "several sessions are of this agent")
                .on(word)
                .because_of(format!("it may be {}", all.join(" or ")))
                .hint(format!("the same command with {}", all[0]))
        }
    })
}

/// What a session is, with its content handed out.
struct Session {
    /// Its name, or its program's id for it.
    name: String,
    /// What it is about; may be empty.
    title: String,
    /// How it stands, in one word.
    status: &'static str,
    /// What is known of it.
    header: Header,
    /// Lines that cannot be read.
    damaged: u64,
}

/// The status of a session that was never recorded, and whose transcript is in the archive.
const ARCHIVED: &str = "archived";

/// The session that is meant, recorded or in the archive. Hands out its entries in order, or those of a sub-agent of a recorded one.
///
/// # Errors
/// None or several are meant; it is not here, or cannot be read.
fn read(cx: &Cx, which: &Which, subagent: Option<&str>, on_entry: &mut dyn FnMut(Entry)) -> Outcome<Session> {
    let found = match find(cx, which) {
        Ok(found) => found,
        Err(failure) if subagent.is_some() => return Err(failure),
        Err(failure) => {
            let project = cx.project()?;
            let archive = archive::of(cx, &project);
            let word = which.session.as_deref().unwrap_or_default();
            let Ok(Ok(version)) = archive.find(word) else { return Err(failure) };
            archive
                .entries(&version, on_entry)
                .map_err(|e| archive::failed("the session cannot be read", &e))?;
            let header = Header {
                created_at: version.began,
                agent_type: version.program.clone(),
                ..Header::default()
            };
            let name = id_of(&version).to_owned();
            return Ok(Session { name, title: version.title, status: ARCHIVED, header, damaged: 0 });
        }
    };
    let failed = |e: std::io::Error| {
        Failure::new(Exit::Failed, "the session cannot be read").on(&*found.name).because(&e)
    };
    let info = Info::of(&found).map_err(failed)?;
    if !info.is_here {
        return Err(not_here(&found));
    }
    let mut damaged = 0;
    let mut take = |line| match line {
        Line::Entry(entry) => on_entry(*entry),
        Line::Damaged => damaged += 1,
        Line::Header(_) | Line::Footer(_) => {}
    };
    let path = match subagent {
        None => found.dir.join(raw::FILE),
        Some(id) => {
            let all = helpers::list(&found.dir);
            let one = all.into_iter().find(|one| one.id == *id || one.id.strip_prefix("agent-") == Some(id));
            let missing = || {
                Failure::new(Exit::Usage, "the session has no such sub-agent")
                    .on(id)
                    .hint(format!("ox session subagents {}", found.name))
            };
            one.ok_or_else(missing)?.dir.join(raw::FILE)
        }
    };
    raw::read(&path, &mut take).map_err(failed)?;
    let (name, status) = (found.name.to_string(), info.status.name());
    Ok(Session { name, title: info.title, status, header: info.header, damaged })
}

/// What a session in the archive is called: its program's id for it.
fn id_of(version: &Version) -> &str {
    let names = [&version.session, &version.thread, &version.name];
    names.into_iter().find(|name| !name.is_empty()).map_or("", String::as_str)
}

/// The content of a session is not on this machine.
fn not_here(found: &Found) -> Failure {
    Failure::new(Exit::Usage, "the session's transcript is not on this machine")
        .on(&*found.name)
        .hint(format!("ox session download {}", found.name))
}

/// Names of sessions and what each is about, for completion.
pub fn names(cx: &Cx) -> Vec<(String, String)> {
    const OFFERED: usize = 50;
    let Ok(project) = cx.project() else { return Vec::new() };
    let (all, _) = places(cx, &project).all();
    let archived = archive::of(cx, &project).sessions().unwrap_or_default();
    let archived = archived.iter().map(|version| (id_of(version).to_owned(), version.title.clone()));
    let recorded = all.into_iter().map(|found| (found.name.to_string(), String::new()));
    recorded.take(OFFERED).chain(archived.take(OFFERED)).collect()
}
