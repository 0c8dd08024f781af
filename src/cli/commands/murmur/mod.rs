//! `ox murmur`: what agents tell their team, and what was told.

mod list;
mod place;
mod publish;
mod withdraw;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::me::Me;
use crate::ipc::wire::{AgentRef, Message};
use crate::whispers::{Importance, Murmur};

pub use list::short_id;

/// Flags of `ox murmur`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    override_usage = "ox murmur [OPTIONS] <CONTENT>\n       ox murmur [OPTIONS] <COMMAND>",
    after_help = "Secrets and the home directory are taken out before anything is written.\n\n\
                  Examples:\n  ox murmur --topic wip \"Splitting the parser; src/parse/*\"\n  \
                  ox murmur --importance critical --files src/db.rs \"The schema is broken\"\n  ox murmur list"
)]
pub struct Args {
    #[command(flatten)]
    publish: publish::Publish,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of publishing one.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Murmur a text even if it looks like a command
    #[command(after_help = "Examples:\n  ox murmur send list")]
    Send(publish::Publish),
    /// Stop reminding an agent to murmur
    #[command(after_help = "Examples:\n  ox murmur pause\n  ox murmur pause --agent-id OxAb12")]
    Pause(Whose),
    /// Remind an agent to murmur again
    #[command(after_help = "Examples:\n  ox murmur resume")]
    Resume(Whose),
    /// List the murmurs of the last hours
    #[command(
        after_help = "Examples:\n  ox murmur list\n  ox murmur list wip --since 2h\n  ox murmur list --scope team --json"
    )]
    List(list::List),
    /// Show when each agent last murmured and when it may murmur again
    #[command(after_help = "Examples:\n  ox murmur status\n  ox murmur status --json")]
    Status(list::Status),
    /// Delete a murmur, for those who have not heard it yet
    #[command(after_help = "Examples:\n  ox murmur delete 0195f0c2-9a41-7c1e-b7d4-2f60c1a9e001")]
    Delete(withdraw::Delete),
}

/// Which agent is meant.
#[derive(Debug, clap::Args)]
struct Whose {
    /// Agent to remind or not [default: the session's agent]
    #[arg(long, value_name = "AGENT_ID")]
    agent_id: Option<String>,
}

/// Through which clone murmurs go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ScopeName {
    /// Everybody who works on this project
    #[default]
    Ledger,
    /// Everybody in the team
    Team,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        None => {
            args.publish.refuse_mistyped()?;
            publish::run(cx, &args.publish)
        }
        Some(Command::Send(publish)) => publish::run(cx, publish),
        Some(Command::Pause(whose)) => pause(cx, whose, true),
        Some(Command::Resume(whose)) => pause(cx, whose, false),
        Some(Command::List(args)) => list::list(cx, args),
        Some(Command::Status(args)) => list::status(cx, args),
        Some(Command::Delete(args)) => withdraw::run(cx, args),
    }
}

fn pause(cx: &Cx, whose: &Whose, paused: bool) -> Outcome {
    let project = cx.project()?;
    let agent_id = whose.agent_id.clone().unwrap_or_else(|| Me::of(cx).id);
    if agent_id.is_empty() {
        let failure = Failure::new(Exit::Usage, "no agent is named");
        return Err(failure.because_of("neither --agent-id nor SAGEOX_AGENT_ID is given"));
    }
    let message = if paused { Message::MurmurPause } else { Message::MurmurResume };
    let told = cx.client(&project).one_way(message, Some(&AgentRef { agent_id: agent_id.clone() })).is_ok();
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "success": true, "agent_id": agent_id, "told": told }));
    }
    match (told, paused) {
        (false, _) => cx.ui.note("the daemon is not running: nobody is reminded anyway"),
        (true, true) => cx.ui.note(&format!("reminders for {agent_id} are off")),
        (true, false) => cx.ui.note(&format!("reminders for {agent_id} are on")),
    }
    Ok(())
}

/// The murmurs of the last hours in this project's clones, newest first; none where they cannot be read.
pub fn recent(cx: &Cx) -> Vec<Murmur> {
    let Ok(project) = cx.project() else { return Vec::new() };
    let clones = place::all(cx, &project, None).unwrap_or_default();
    let all = clones.iter().flat_map(|at| place::recent(at, cx.now(), withdraw::HOURS).unwrap_or_default());
    all.collect()
}

/// The importance of that name.
fn importance(name: &str) -> Result<String, String> {
    match Importance::of(name) {
        Some(importance) => Ok(importance.name().to_string()),
        None => Err("it must be critical, normal or ambient".to_owned()),
    }
}
