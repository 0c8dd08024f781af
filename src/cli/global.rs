//! The flags that every command takes.

use std::path::PathBuf;

use super::ui::Options;

/// Flags that every command takes, each with one meaning everywhere.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Run as if started in this directory
    #[arg(short = 'C', value_name = "DIR", global = true, value_hint = clap::ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Print one JSON document on stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Show more detail
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print only results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Never colour the output
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Never ask a question; where one is needed, fail with exit code 2
    #[arg(long, global = true)]
    pub no_interactive: bool,
}

impl Global {
    /// How to print.
    pub fn options(&self) -> Options {
        Options {
            json: self.json,
            quiet: self.quiet,
            verbose: self.verbose,
            no_color: self.no_color,
            no_interactive: self.no_interactive,
        }
    }
}
