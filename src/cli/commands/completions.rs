//! `ox completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::context::Cx;
use crate::cli::failure::Outcome;

/// Flags of `ox completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox completions bash > ~/.local/share/bash-completion/completions/ox\n  ox completions fish > ~/.config/fish/completions/ox.fish"
)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::args::Args::command(), "ox", &mut script);
    if cx.ui.json() {
        let script = String::from_utf8_lossy(&script);
        return cx.ui.document(&serde_json::json!({ "shell": args.shell.to_string(), "script": script }));
    }
    cx.ui.raw(&script)
}
