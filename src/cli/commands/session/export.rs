//! `ox session export`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::{Which, read};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::kit::file;
use crate::sessions::render::{About, Html, Markdown};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Markdown.
    Md,
    /// One page of HTML that needs nothing else.
    Html,
    /// The lines of the transcript as one JSON document.
    Json,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Format::Md => "md",
            Format::Html => "html",
            Format::Json => "json",
        }
    }
}

/// Flags of `ox session export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "md")]
    format: Format,
    /// The same as --format html
    #[arg(long, conflicts_with = "format")]
    html: bool,
    /// The same as --format md
    #[arg(long, alias = "markdown", conflicts_with_all = ["format", "html"])]
    md: bool,
    /// Write to this file; - is standard output [default: <SESSION>.<FORMAT> here]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let format = match (args.html, args.md) {
        (true, _) => Format::Html,
        (_, true) => Format::Md,
        _ => args.format,
    };
    let (name, text) = text(cx, &args.which, format)?;
    let to_stdout = args.output.as_ref().is_some_and(|path| path.as_os_str() == "-");
    if to_stdout {
        return cx.ui.raw(text.as_bytes());
    }
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.{}", format.extension())));
    let path = cx.env.absolute(&path);
    if !args.force && std::fs::symlink_metadata(&path).is_ok() {
        let failure = Failure::new(Exit::Usage, "the file is there already").on_path(&path);
        return Err(failure.hint("the same command with --force, or another name with -o"));
    }
    file::write_atomic(&path, text.as_bytes(), 0o600)
        .map_err(|e| Failure::new(Exit::Failed, "cannot write").on_path(&path).because(&e))?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "session_name": name, "path": path }));
    }
    cx.ui.done(&format!("wrote {}", path.display()))
}

/// The session in that form, and its name. Secrets that an older version, or another program, has left in it are taken out once more.
fn text(cx: &Cx, which: &Which, format: Format) -> Outcome<(String, String)> {
    let project = cx.project()?;
    let redactor = cx.redactor(Some(&project));
    let mut text = String::new();
    let mut entries = Vec::new();
    let session = read(cx, which, None, &mut |entry| entries.push(entry.redacted(&redactor)))?;
    let title = redactor.redact(&session.title).into_owned();
    let about = About { title, name: session.name, header: session.header };
    let written = match format {
        Format::Md => {
            Markdown::new(&mut text, &about).and_then(|mut md| entries.iter().try_for_each(|e| md.entry(e)))
        }
        Format::Html => Html::new(&mut text, &about).and_then(|mut html| {
            entries.iter().try_for_each(|e| html.entry(e))?;
            html.finish()
        }),
        Format::Json => {
            let entries: Vec<_> = entries.iter().map(super::view::document).collect();
            let all = json!({ "session_name": about.name, "title": about.title, "entries": entries });
            writeln!(text, "{all:#}")
        }
    };
    // Into memory, which refuses nothing.
    written.map_err(|e| Failure::new(Exit::Internal, "the session cannot be written").because(&e))?;
    Ok((about.name, text))
}
