//! `ox agent`: what agents do to be known, and who of them is at work.

mod everyone;
mod list;
mod prime;
pub mod whisper;

use std::ffi::OsString;

pub use list::tokens;

use crate::cli::context::Cx;
use crate::cli::errors::of_client;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::me::Me;
use crate::cli::{heartbeat, notices};
use crate::ipc::limits::client::STATUS;
use crate::ipc::wire::{Instances, InstancesAsk, Message};
use crate::project::{Instance, is_agent_id};

/// Flags of `ox agent`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ox agent [OPTIONS] [AGENT_ID] <COMMAND>",
    after_help = "With its id an agent runs any command of ox, as in the last example. Without one the agent is that of the session.\n\n\
                  Examples:\n  ox agent prime\n  ox agent list\n  ox agent OxAb12 heartbeat\n  ox agent OxAb12 murmur --topic wip \"Splitting the parser\""
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Introduce an agent: give it an id and tell it where it is
    ///
    /// Prints a short page for a coding agent: its id, what to read in the team contexts and in the ledger, how fresh these
    /// are, what needs attention, and the commands it can use. A session that was introduced before keeps its id and
    /// is told only what is new. Starts the daemon if need be.
    #[command(
        after_help = "Examples:\n  ox agent prime\n  ox agent prime --agent codex --json\n  ox agent prime --idempotent"
    )]
    Prime(prime::Args),
    /// List the agents at work on this machine, with what their commands cost
    #[command(
        after_help = "Examples:\n  ox agent list\n  ox agent list --all\n  ox agent list -v\n  ox agent list --json"
    )]
    List(list::Args),
    /// List the agents as the daemons report them
    #[command(
        after_help = "Examples:\n  ox agent instances\n  ox agent instances --json",
        alias = "sessions"
    )]
    Instances,
    /// Print what is waiting for an agent: notes from other agents and from the daemon
    ///
    /// A whisper is delivered to each agent once, critical ones first; what does not fit stays pending. Whispers also come
    /// behind the output of the other commands that an agent runs with its id.
    #[command(
        override_usage = "ox agent [AGENT_ID] whisper [OPTIONS] [COMMAND]",
        after_help = "Examples:\n  ox agent OxAb12 whisper\n  ox agent OxAb12 whisper history",
        alias = "whispers"
    )]
    Whisper(whisper::Args),
    /// Tell the daemon that an agent is at work
    #[command(
        override_usage = "ox agent [AGENT_ID] heartbeat [OPTIONS]",
        after_help = "Examples:\n  ox agent OxAb12 heartbeat"
    )]
    Heartbeat,
}

impl Command {
    /// Its name in heartbeats.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Prime(_) => "prime",
            Command::List(_) => "agent list",
            Command::Instances => "agent instances",
            Command::Whisper(_) => "whisper",
            Command::Heartbeat => "heartbeat",
        }
    }
}

impl Args {
    /// The name of its command in heartbeats.
    pub fn name(&self) -> &'static str {
        self.command.name()
    }

    /// It makes the agent that runs it known, and says itself that it runs, with more than a command's beginning knows.
    pub fn introduces(&self) -> bool {
        matches!(self.command, Command::Prime(_) | Command::Heartbeat)
    }
}

/// Does it, and afterwards tells on stderr what is wrong in the project.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Prime(flags) => return prime::run(cx, flags),
        Command::List(flags) => list::list(cx, flags)?,
        Command::Instances => list::instances(cx)?,
        Command::Heartbeat => beat(cx)?,
        Command::Whisper(flags) => whisper::run(cx, flags)?,
    }
    // Nobody reads what a heartbeat prints.
    afterwards(cx, args.name(), !matches!(args.command, Command::Whisper(_) | Command::Heartbeat))?;
    if let Ok(Some(project)) = cx.project_if_any() {
        notices::issues(cx, &project);
    }
    Ok(())
}

/// What follows the output of a command that an agent runs for a project: what waits for it, if it is `wanted`, and what it all has cost.
///
/// # Errors
/// The output cannot be written.
pub fn afterwards(cx: &Cx, name: &str, wanted: bool) -> Outcome {
    let Ok(Some(project)) = cx.project_if_any() else { return Ok(()) };
    let me = Me::of(cx);
    // Only who is named: what is given counts as heard, and a bare command in a session may be a script's.
    if wanted && Me::is_named(cx) {
        whisper::beside(cx, &project, &me)?;
    }
    heartbeat::cost(cx, &project, &me, name);
    Ok(())
}

/// Refuses an agent in front of a command that nobody introduced in this project: what it would be given or tell is nobody's.
///
/// # Errors
/// It is unknown, as far as the project's files and the daemon tell.
pub fn check_known(cx: &Cx) -> Outcome {
    let (Some(id), Ok(Some(project))) = (&cx.agent, cx.project_if_any()) else { return Ok(()) };
    let is_heard = || {
        let ask = InstancesAsk { detail: false };
        let heard: Result<Instances, _> = cx.client(&project).call_as(Message::Instances, Some(&ask), STATUS);
        // Without a daemon that tells nobody can say that it is unknown.
        heard.map_or(true, |all| all.instances.iter().any(|one| one.agent_id == *id))
    };
    if Instance::all(&project.root).contains_key(id) || is_heard() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "unknown agent").on(id).hint("ox agent prime"))
}

fn beat(cx: &Cx) -> Outcome {
    let project = cx.project()?;
    let me = Me::of(cx);
    if me.id.is_empty() {
        let failure = Failure::new(Exit::Usage, "no agent is named");
        return Err(failure.because_of("neither an id nor SAGEOX_AGENT_ID is given").hint("ox agent prime"));
    }
    heartbeat::of_agent(cx, &project, &me, "heartbeat")
        .map_err(|e| of_client("the daemon cannot be told", &e).with("agent_id", me.id.clone().into()))?;
    if cx.ui.json() {
        cx.ui.document(&serde_json::json!({ "success": true, "agent_id": me.id }))?;
    }
    Ok(())
}

/// What follows `ox agent <id>` and is a command of `ox agent` itself.
const OWN: [&str; 8] = ["prime", "list", "instances", "sessions", "whisper", "whispers", "heartbeat", "help"];

/// `ox agent <id> …` without the id, and the id: it says who runs the command, not what is to be done. It may stand before every command:
/// `ox agent <id> murmur …` is `ox murmur …`, run by that agent.
pub fn take_id(mut argv: Vec<OsString>) -> (Vec<OsString>, Option<String>) {
    let at = command_at(&argv);
    let is_agent = argv.get(at).is_some_and(|word| word == "agent");
    let id = argv.get(at + 1).and_then(|w| w.to_str()).filter(|w| is_agent && is_agent_id(w));
    let id = id.map(str::to_owned);
    if id.is_some() {
        argv.remove(at + 1);
        let next = argv[at + 1..].iter().filter_map(|w| w.to_str()).find(|w| !w.starts_with('-'));
        if next.is_some_and(|word| !OWN.contains(&word)) {
            argv.remove(at);
        }
    }
    (argv, id)
}

/// The command line without `agent`, if that is its last word and the command.
pub fn without_group(argv: &[OsString]) -> Option<Vec<OsString>> {
    let (last, others) = argv.split_last()?;
    (last == "agent" && command_at(argv) == others.len()).then(|| others.to_vec())
}

/// Where the command stands, behind the flags before it, of which two have values of their own.
fn command_at(argv: &[OsString]) -> usize {
    let mut at = 1;
    while let Some(word) = argv.get(at).and_then(|w| w.to_str()).filter(|w| w.starts_with('-')) {
        at += if matches!(word, "-C" | "--color") { 2 } else { 1 };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_before_the_command_says_who_runs_it() {
        let check = |line: &str, rest: &str, id: Option<&str>| {
            let (argv, found) = take_id(line.split_whitespace().map(OsString::from).collect());
            let words: Vec<String> = argv.iter().map(|w| w.to_string_lossy().into_owned()).collect();
            assert_eq!((words.join(" ").as_str(), found.as_deref()), (rest, id), "{line}");
        };
        check("ox agent OxAb12 heartbeat", "ox agent heartbeat", Some("OxAb12"));
        check("ox agent OxAb12 murmur -t wip hello", "ox murmur -t wip hello", Some("OxAb12"));
        check("ox agent OxAb12 --json status", "ox --json status", Some("OxAb12"));
        check("ox agent OxAb12 --help", "ox agent --help", Some("OxAb12"));
        check("ox agent OxAb12", "ox agent", Some("OxAb12"));
        check("ox --color never agent OxAb12 status", "ox --color never status", Some("OxAb12"));
        check("ox -q -C agent agent OxAb12 list -v", "ox -q -C agent agent list -v", Some("OxAb12"));
        for same in [
            "ox",
            "ox agent",
            "ox agent list",
            "ox agent OxAb1 heartbeat",
            "ox daemon OxAb12",
            "ox -C agent OxAb12",
            "ox config get agent OxAb12",
        ] {
            check(same, same, None);
        }
    }
}
