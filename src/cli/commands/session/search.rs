//! `ox session search`.

use jiff::tz::TimeZone;
use serde_json::json;

use super::places;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::quoted::quoted;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{clean, relative};
use crate::sessions::raw;
use crate::sessions::search::{self, Excerpt, Index, excerpts, items, refresh};
use crate::sessions::{Found, Glance};

/// So many places of a session are shown.
const EXCERPTS: usize = 2;

/// Flags of `ox session search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Words that all stand in the session; several in quotes stand there together, and wor* is a beginning
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,
    /// Show at most N
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// A session that was found.
struct Hit<'a> {
    found: &'a Found,
    glance: Glance,
    excerpts: Vec<Excerpt>,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project()?;
    if !args.words.iter().any(|word| word.chars().any(char::is_alphanumeric)) {
        return Err(Failure::new(Exit::Usage, "there is no word to look for")
            .on(args.words.join(" "))
            .because_of("a word has a letter or a digit in it"));
    }
    let redactor = cx.redactor(Some(&project));
    let path = search::path(&cx.dirs.state_of(&project.endpoint.slug(), &project.repo_id));
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the sessions cannot be searched").because_of(e.to_string())
    };
    let all = items(&places(cx, &project), cx.now());
    let mut index = Index::open(&path).map_err(|e| failed(&e))?;
    let progress = cx.ui.progress("reading sessions");
    refresh(&mut index, &all, &redactor, &mut |done, of| {
        progress.phase("reading sessions", u8::try_from(done * 100 / of.max(1)).ok());
    })
    .map_err(|e| failed(&e))?;
    drop(progress);
    let keys = index.query(&args.words, args.limit).map_err(|e| failed(&e))?;
    let hits: Vec<Hit<'_>> = keys
        .iter()
        .filter_map(|key| all.iter().find(|(item, _)| item.key == *key))
        .map(|(_, found)| Hit {
            found,
            glance: Glance::of(found),
            // What cannot be read has no places to show, and is found all the same.
            excerpts: excerpts(&found.dir.join(raw::FILE), &args.words, EXCERPTS).unwrap_or_default(),
        })
        .collect();
    let zone = TimeZone::system();
    let told = |text: &str| redactor.redact(text).into_owned();
    if cx.ui.json() {
        let hits: Vec<_> = hits
            .iter()
            .map(|hit| {
                let places: Vec<_> = hit
                    .excerpts
                    .iter()
                    .map(|e| json!({ "seq": e.seq, "type": e.kind.name(), "text": told(&e.text) }))
                    .collect();
                json!({
                    "session_name": &*hit.found.name, "title": told(&hit.glance.title), "username": hit.glance.username,
                    "agent_type": hit.glance.agent_type, "started_at": hit.found.name.began(&zone), "path": hit.found.dir,
                    "excerpts": places,
                })
            })
            .collect();
        return cx.ui.document(&json!({ "sessions": hits, "searched": all.len() }));
    }
    if hits.is_empty() {
        let searched = crate::cli::ui::text::count(all.len() as u64, "session");
        cx.ui.note(&format!("nothing found in {searched} of this machine and of the ledger"));
        return Ok(());
    }
    let paint = cx.ui.paint();
    let mut lines = Vec::new();
    for hit in &hits {
        let began = hit.found.name.began(&zone).map(|at| relative(at, cx.now())).unwrap_or_default();
        let title = clean(&told(&hit.glance.title));
        lines.push(format!(
            "{}  {}  {title}",
            paint.text(Tone::Head, &hit.found.name),
            paint.text(Tone::Dim, &began)
        ));
        lines.extend(hit.excerpts.iter().map(|e| {
            let seq = e.seq.map(|seq| format!(" {seq}")).unwrap_or_default();
            format!(
                "  {}: {}",
                paint.text(Tone::Dim, &format!("{}{seq}", e.kind.name())),
                clean(&told(&e.text))
            )
        }));
    }
    cx.ui.print(&quoted(cx, &lines.join("\n")))
}
