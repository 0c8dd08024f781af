//! `ox session search`.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::list::archived;
use super::{id_of, places};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::quoted::quoted;
use crate::cli::ui::Tone;
use crate::cli::ui::text::{clean, relative};
use crate::project::Project;
use crate::sessions::archive::{Archive, Version};
use crate::sessions::raw;
use crate::sessions::search::{
    self, Excerpt, Excerpts, Index, Item, excerpts, items, text_of, text_of_entries,
};
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

/// Where a session that can be found lies.
enum Source {
    Recorded(Found),
    Archived(Box<Version>),
}

/// A session that was found.
struct Hit {
    name: String,
    title: String,
    username: String,
    agent_type: String,
    began: Option<Timestamp>,
    path: PathBuf,
    excerpts: Vec<Excerpt>,
}

impl Hit {
    fn new(source: &Source, archive: &Archive, words: &[String]) -> Hit {
        match source {
            Source::Recorded(found) => {
                let glance = Glance::of(found);
                Hit {
                    name: found.name.to_string(),
                    title: glance.title,
                    username: glance.username,
                    agent_type: glance.agent_type,
                    began: found.name.began(&TimeZone::system()),
                    path: found.dir.clone(),
                    // What cannot be read has no places to show, and is found all the same.
                    excerpts: excerpts(&found.dir.join(raw::FILE), words, EXCERPTS).unwrap_or_default(),
                }
            }
            Source::Archived(version) => {
                let mut places = Excerpts::new(words, EXCERPTS);
                let _ = archive.entries(version, &mut |entry| places.take(&entry));
                Hit {
                    name: id_of(version).to_owned(),
                    title: version.title.clone(),
                    username: String::new(),
                    agent_type: version.program.clone(),
                    began: version.began,
                    path: archive.dir().to_owned(),
                    excerpts: places.found(),
                }
            }
        }
    }
}

/// All that can be found: what is recorded and shared, and what only the archive has.
fn sources(cx: &Cx, project: &Project) -> (Vec<(Item, Source)>, Archive) {
    let recorded = items(&places(cx, project), cx.now());
    let found: Vec<Found> = recorded.iter().map(|(_, found)| found.clone()).collect();
    let (archive, versions) = archived(cx, project, &found);
    let mut all: Vec<(Item, Source)> =
        recorded.into_iter().map(|(item, found)| (item, Source::Recorded(found))).collect();
    all.extend(versions.into_iter().map(|version| {
        let stamp = i64::try_from(version.length).unwrap_or(i64::MAX);
        let item = Item { key: format!("archive {}", version.id), stamp };
        (item, Source::Archived(Box::new(version)))
    }));
    (all, archive)
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
    let (all, archive) = sources(cx, &project);
    let mut index = Index::open(&path).map_err(|e| failed(&e))?;
    let progress = cx.ui.progress("reading sessions");
    let mut text = |n: usize| match &all[n].1 {
        // What cannot be read of it is not found.
        Source::Recorded(found) => text_of(found, &redactor).unwrap_or_default(),
        Source::Archived(version) => text_of_entries(&version.title, &redactor, |hand| {
            let _ = archive.entries(version, &mut |entry| hand(entry));
        }),
    };
    let keys: Vec<&Item> = all.iter().map(|(item, _)| item).collect();
    let mut on = |done: usize, of: usize| {
        progress.phase("reading sessions", u8::try_from(done * 100 / of.max(1)).ok());
    };
    index.refresh(&keys, &mut text, &mut on).map_err(|e| failed(&e))?;
    drop(progress);
    let keys = index.query(&args.words, args.limit).map_err(|e| failed(&e))?;
    let found = keys.iter().filter_map(|key| all.iter().find(|(item, _)| item.key == *key));
    let hits: Vec<Hit> = found.map(|(_, source)| Hit::new(source, &archive, &args.words)).collect();
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
                    "session_name": hit.name, "title": told(&hit.title), "username": hit.username,
                    "agent_type": hit.agent_type, "started_at": hit.began, "path": hit.path,
                    "excerpts": places,
                })
            })
            .collect();
        return cx.ui.document(&json!({ "sessions": hits, "searched": all.len() }));
    }
    if hits.is_empty() {
        let searched = crate::cli::ui::text::count(all.len() as u64, "session");
        cx.ui.note(&format!("nothing found in {searched} of this machine, its archive and the ledger"));
        return Ok(());
    }
    let paint = cx.ui.paint();
    let mut lines = Vec::new();
    for hit in &hits {
        let began = hit.began.map(|at| relative(at, cx.now())).unwrap_or_default();
        let title = clean(&told(&hit.title));
        lines.push(format!(
            "{}  {}  {title}",
            paint.text(Tone::Head, &clean(&hit.name)),
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
