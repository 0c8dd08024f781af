//! `ox hooks`: our command in agents' settings, put in, taken out, shown and tried.

mod change;
mod offer;
mod status;
mod test;

pub use offer::offer;

use clap::builder::PossibleValuesParser;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::hooks::install::{self, Site};

/// Flags of `ox hooks`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox hooks install\n  ox hooks status\n  ox hooks test\n  ox hooks uninstall --agent codex"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Have agents tell of their events
    ///
    /// Puts one command for each event behind what stands in the agent's settings: ~/.claude/settings.json, ~/.codex/hooks.json,
    /// ~/.gemini/settings.json, and a plug-in for opencode. Everything else in the file stays as it is, byte for byte, and a copy
    /// of it is kept beside it as *.ox-bak. Can be repeated: it puts right what is not.
    ///
    /// The wish is kept in hooks.enabled and hooks.<AGENT>; the daemon brings the files to it at its start. What is taken in
    /// stays on this machine: hooks.scope says where, hooks.payload what of it.
    ///
    /// The exit code is 1 if a file was left alone for a reason, 2 if one could not be read or written.
    #[command(
        after_help = "Examples:\n  ox hooks install\n  ox hooks install --agent claude --dry-run\n  ox hooks install --agent codex --enable-feature"
    )]
    Install(change::Install),
    /// Take our commands out of agents' settings
    ///
    /// Only ours go. A file that ox made and that holds nothing else goes too.
    #[command(
        after_help = "Examples:\n  ox hooks uninstall\n  ox hooks uninstall --agent codex\n  ox hooks uninstall --dry-run"
    )]
    Uninstall(change::Uninstall),
    /// Show whether agents run our commands, and what keeps them from it
    ///
    /// Reads the agents' settings; changes nothing.
    #[command(after_help = "Examples:\n  ox hooks status\n  ox hooks status --json")]
    Status,
    /// Prove that events get from an agent to the store, or show where they do not
    ///
    /// Looks at the agent's settings; then runs the agent once, with its settings as they are, in a project of its own that goes again. A
    /// small server of ox on this machine stands in for the model: it has the agent run the command true, and no real model is asked.
    /// Other hooks in these settings run too. Where the agent cannot be run so, and for events that one turn does not bring, the
    /// commands in its settings are run in its place; FIRED says replayed then.
    ///
    /// Each event is configured (ours stands in the file that the agent reads), trusted (the agent runs hooks, and these),
    /// fired (it ran ours), delivered into the spool, with how long that took the entry, and stored, with how soon after that.
    /// Where something in the settings keeps events from getting through nothing is run. What the test made is taken out of the
    /// store again.
    ///
    /// The exit code is 0 if the events of every agent that was tested get through, 1 if those of one do not: the hint says what
    /// to do.
    #[command(
        after_help = "Examples:\n  ox hooks test\n  ox hooks test codex\n  ox hooks test claude --json"
    )]
    Test(test::Args),
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Install(args) => change::install(cx, args),
        Command::Uninstall(args) => change::uninstall(cx, args),
        Command::Status => status::run(cx),
        Command::Test(args) => test::run(cx, args),
    }
}

/// Stands for every agent.
const ALL: &str = "all";

/// The agents that a flag may name.
fn agents() -> PossibleValuesParser {
    PossibleValuesParser::new(install::rows().map(|hooks| hooks.word).chain([ALL]))
}

/// This machine.
fn site<'a>(cx: &'a Cx, program: Option<&'a std::path::Path>) -> Site<'a> {
    Site { env: &cx.env, dirs: &cx.dirs, program }
}
