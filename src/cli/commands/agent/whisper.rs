//! `ox agent <id> whisper`: what waits for an agent, put before it.

use std::time::Duration;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::history;
use crate::cli::me::Me;
use crate::cli::whispered::{Asked, framed};
use crate::ipc::wire::{WhisperEntry, Whispers};
use crate::project::Project;
use crate::whispers::limits::{FRAME_BODY, PROMPT_MAX};

/// An answer may take so long when it is asked for (whispers and watching, 8.2).
const PATIENCE: Duration = Duration::from_millis(500);
/// And so long behind the output of another command (8.5).
const BESIDE: Duration = Duration::from_millis(100);

/// Flags of `ox agent <id> whisper`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what was delivered to the agent and what is pending; delivers nothing
    #[command(
        override_usage = "ox agent [AGENT_ID] whisper history [OPTIONS]",
        after_help = "Examples:\n  ox agent OxAb12 whisper history\n  ox agent OxAb12 whisper history --json"
    )]
    History,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let me = Me::of(cx);
    if me.id.is_empty() {
        let failure = Failure::new(Exit::Usage, "no agent is named");
        return Err(failure.because_of("neither an id nor SAGEOX_AGENT_ID is given").hint("ox agent prime"));
    }
    if let Some(Command::History) = args.command {
        return history::of_agent(cx, &project, &me.id);
    }
    let whispers = ask(cx, &project, &me, FRAME_BODY, PATIENCE);
    if cx.ui.json() {
        let entries: Vec<WhisperEntry> = whispers;
        return cx.ui.document(&Whispers { entries });
    }
    print(cx, whispers)
}

/// What waits for the agent that ran another command, behind the output of that. Nothing if no daemon answers at once.
pub fn beside(cx: &Cx, project: &Project, me: &Me) -> Outcome {
    if me.id.is_empty() || cx.ui.json() {
        return Ok(());
    }
    print(cx, ask(cx, project, me, PROMPT_MAX, BESIDE))
}

fn print(cx: &Cx, entries: Vec<WhisperEntry>) -> Outcome {
    match framed(entries, cx.now()) {
        text if text.is_empty() => Ok(()),
        text => cx.ui.print(text.trim_end()),
    }
}

/// What waits; nothing if no daemon answers.
fn ask(cx: &Cx, project: &Project, me: &Me, budget: usize, patience: Duration) -> Vec<WhisperEntry> {
    let asked = Asked { env: &cx.env, dirs: &cx.dirs, project, agent: &me.id, budget, patience };
    asked.entries(&cx.client(project))
}
