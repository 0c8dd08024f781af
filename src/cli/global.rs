//! The flags that every command takes.

use std::path::PathBuf;

use super::ui::Options;
use super::ui::colour::When;

/// The heading of these flags in every help text.
pub const HEADING: &str = "Global options";

/// Flags that every command takes, each with one meaning everywhere.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true, value_hint = clap::ValueHint::DirPath, help_heading = HEADING)]
    pub dir: Option<PathBuf>,
    /// Print one JSON document on stdout and nothing else there
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// Show more detail
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub verbose: bool,
    /// Print only results and errors
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub quiet: bool,
    /// Colour the output: always, auto or never
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        hide_possible_values = true,
        help_heading = HEADING
    )]
    pub color: When,
    /// The same as --color=never
    #[arg(long, global = true, hide = true, help_heading = HEADING)]
    pub no_color: bool,
    /// Never ask a question; where one is needed, fail with exit code 2
    #[arg(long, global = true, help_heading = HEADING)]
    pub no_interactive: bool,
    /// Print help, the whole of it with --help
    #[arg(short, long, global = true, action = clap::ArgAction::Help, help_heading = HEADING)]
    help: Option<bool>,
}

impl Global {
    /// How to print.
    pub fn options(&self) -> Options {
        Options {
            json: self.json,
            quiet: self.quiet,
            verbose: self.verbose,
            colour: if self.no_color { When::Never } else { self.color },
            no_interactive: self.no_interactive,
        }
    }
}
