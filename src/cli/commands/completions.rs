//! `ox completions`.

use crate::cli::complete::Shell;
use crate::cli::context::Cx;
use crate::cli::failure::Outcome;

/// Flags of `ox completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In ~/.bashrc or ~/.zshrc: eval \"$(ox completions bash)\", or zsh. In ~/.config/fish/completions/ox.fish: ox completions fish | source\n\n\
                  Examples:\n  ox completions bash > ~/.local/share/bash-completion/completions/ox\n  ox completions fish > ~/.config/fish/completions/ox.fish"
)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let script = args.shell.script();
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "shell": args.shell.name(), "script": script }));
    }
    cx.ui.raw(script.as_bytes())
}
