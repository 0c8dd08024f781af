//! `ox hooks`: our command in agents' settings, put in, taken out and shown.

mod change;
mod offer;
mod status;

pub use offer::offer;

use clap::builder::PossibleValuesParser;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;
use crate::hooks::install::{self, Site};

/// Flags of `ox hooks`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox hooks install\n  ox hooks status\n  ox hooks uninstall --agent codex"
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
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Install(args) => change::install(cx, args),
        Command::Uninstall(args) => change::uninstall(cx, args),
        Command::Status => status::run(cx),
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
