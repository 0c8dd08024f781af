//! `ox session import`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde_json::json;

use super::places;
use super::record::count_of;
use crate::cli::commands::version::OURS;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::me::Me;
use crate::git::user_name;
use crate::harness;
use crate::harness::PROGRAMS;
use crate::harness::transcript::places::{Text, is_below, roots};
use crate::kit::file;
use crate::project::is_agent_id;
use crate::sessions::import::{ImportError, Imported, of_lines, of_transcript};
use crate::sessions::raw::Header;
use crate::sessions::{Name, can_read, new_session_id};

/// Lines that agents wrote down themselves are read no further, in bytes.
const LINES_MAX: usize = 64 << 20;

/// Flags of `ox session import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A transcript of Claude Code, codex or Gemini CLI, or lines of raw.jsonl behind a line with _meta; - for such lines on stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// What the session was about
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
    /// Type of the agent, for a transcript that lies elsewhere than its program keeps it
    #[arg(long, value_name = "TYPE")]
    agent: Option<String>,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    let failed = |e: &dyn std::fmt::Display| {
        let failure = Failure::new(Exit::Failed, "nothing can be imported");
        failure.on_path(&args.file).because_of(e.to_string())
    };
    let imported = read(cx, args).map_err(|e| failed(&e))?;
    let user = user_name(&project.root);
    let me = Me::of(cx);
    let of_header = &imported.header.agent_id;
    let agent = if is_agent_id(of_header) { of_header } else { &me.id };
    let agent = if agent.is_empty() { stable_id(&imported) } else { agent.clone() };
    let began = imported.began().or(imported.header.created_at).unwrap_or_else(|| cx.now());
    let name = Name::new(began, &TimeZone::system(), &user, &agent);
    let header = Header {
        created_at: Some(began),
        agent_id: agent,
        username: user,
        repo_id: project.repo_id.clone(),
        ox_version: OURS.to_owned(),
        session_id: new_session_id(),
        ..imported.header.clone()
    };
    let imported = Imported { header, ..imported };
    let places = places(cx, &project);
    file::make_dirs(places.own(), 0o700).map_err(|e| failed(&e))?;
    let redactor = cx.redactor(Some(&project));
    let title = args.title.as_deref().unwrap_or_default();
    let written = imported.write(places.own(), &name, title, &redactor, cx.now());
    let (path, written) = written.map_err(|e| failed(&e))?;
    if imported.skipped > 0 {
        cx.ui.warn(&format!("records of the transcript that nobody knows: {}", imported.skipped));
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "type": "session_import", "session_name": &*name, "session_id": imported.header.session_id,
            "entry_count": written.next_seq, "secrets_redacted": written.found.total(), "path": path,
        }));
    }
    let entries = count_of(u64::try_from(written.next_seq).unwrap_or(0));
    cx.ui.done(&format!("imported {name}: {entries}"))?;
    cx.ui.next_step(&format!("ox session view {name}"));
    Ok(())
}

fn read(cx: &Cx, args: &Args) -> Result<Imported, ImportError> {
    if args.file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().lock().take(LINES_MAX as u64).read_to_end(&mut text)?;
        return of_lines(&text);
    }
    let path = args.file.canonicalize()?;
    let get = |name: &str| cx.env.get(name).map(str::to_owned);
    let is_of = |kind: &str| is_below(&path, &roots(kind, &cx.home(), get));
    let named = args.agent.as_deref().map(harness::kind);
    let found = || PROGRAMS.iter().map(|program| program.kind).find(|kind| can_read(kind) && is_of(kind));
    match named.or_else(found) {
        Some(kind) => {
            let is_lines = path.extension().is_none_or(|ending| ending != "json");
            of_transcript(Text::new(&path, File::open(&path)?)?, is_lines, kind)
        }
        None => of_lines(&file::read_capped(&path, LINES_MAX)?),
    }
}

/// An id for an agent that nobody knows: the same each time, so that a file is not imported twice.
fn stable_id(imported: &Imported) -> String {
    let first = imported.entries.first();
    let known = first.map(|entry| [entry.source_id.as_str(), &entry.content].concat()).unwrap_or_default();
    crate::project::agent_id_of(&known)
}
