//! `ox docs`: the manual, made from the command table, the exit codes, the table of settings and the texts beside this.

mod documents;
mod pages;
mod roff;
mod settings;
mod texts;

use std::path::{Path, PathBuf};

pub use documents::DOCUMENTS;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::count;

/// Flags of `ox docs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox docs man ~/.local/share/man")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to write.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the manual pages into man1/ and man5/ below a directory
    ///
    /// `man` finds them where the directory is on its search path, as `~/.local/share/man` is for most people, or is named
    /// with `man -M`.
    #[command(after_help = "Examples:\n  ox docs man ~/.local/share/man")]
    Man {
        /// The directory, created if it is missing
        #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
        into: PathBuf,
    },
}

/// One page of the manual.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its name, without the section.
    pub name: String,
    /// Its section: 1 for commands, 5 for files.
    pub section: u8,
    /// Its text, in roff.
    pub text: String,
}

impl Page {
    /// Name of its file: `ox.1`.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    /// Where it lies in a directory that `man` searches: `man1/ox.1`.
    pub fn path(&self) -> PathBuf {
        Path::new(&format!("man{}", self.section)).join(self.file_name())
    }
}

/// Writes what was asked for.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let Command::Man { into } = &args.command;
    let written = write(into).map_err(|(path, e)| {
        Failure::new(Exit::Failed, "cannot write the manual").on_path(&path).because(&e)
    })?;
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "success": true, "directory": into, "pages": written }));
    }
    cx.ui.note(&format!("wrote {} into {}", count(written as u64, "page"), into.display()));
    Ok(())
}

fn write(into: &Path) -> Result<usize, (PathBuf, std::io::Error)> {
    let pages = pages();
    for page in &pages {
        let path = into.join(page.path());
        let dir = path.parent().unwrap_or(into);
        std::fs::create_dir_all(dir).map_err(|e| (dir.to_owned(), e))?;
        std::fs::write(&path, &page.text).map_err(|e| (path, e))?;
    }
    Ok(pages.len())
}

/// All pages, `ox.1` first.
pub fn pages() -> Vec<Page> {
    let mut pages = pages::of_commands();
    pages.push(settings::page());
    pages
}
