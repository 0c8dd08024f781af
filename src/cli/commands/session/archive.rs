//! `ox session archive`.

use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, clean, count, relative, row};
use crate::git::work_trees;
use crate::harness::transcript::kept::{Keeping, Part};
use crate::kit::file;
use crate::kit::human::{bytes, short};
use crate::project::Project;
use crate::project::settings::{self, Settings};
use crate::sessions::archive::limits::RUN_MAX;
use crate::sessions::archive::{Agents, Archive, Done, Error, Run, Status, Unclear, Version, Which};

/// Transcripts that are shown one by one without `-v`.
const SHOWN: usize = 10;

/// Flags of `ox session archive`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox session archive on\n  ox session archive run\n  ox session archive status"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keep what agent programs write down of sessions, in all projects
    ///
    /// From now on the daemon copies each transcript of a project before its program deletes it. `run` copies all of them at once.
    #[command(after_help = "Examples:\n  ox session archive on")]
    On,
    /// Copy no further transcripts
    ///
    /// What is kept stays.
    #[command(after_help = "Examples:\n  ox session archive off")]
    Off,
    /// Show what is kept, and which transcripts would be lost next
    #[command(after_help = "Examples:\n  ox session archive status\n  ox session archive status --json")]
    Status,
    /// Copy now all transcripts of the project that are not kept yet
    ///
    /// Also while archiving is off. What is kept already is not read again.
    #[command(after_help = "Examples:\n  ox session archive run")]
    Run,
    /// Bring back a transcript as its program wrote it, without secrets
    #[command(
        after_help = "Examples:\n  ox session archive restore 480c51bb\n  ox session archive restore 480c51bb@1 -o first.jsonl"
    )]
    Restore(Restore),
}

/// Flags of `ox session archive restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// Id of the session, or of a thread, or name of a file; an older version with its number: ID@1
    #[arg(value_name = "ID")]
    transcript: String,
    /// Write to this file; - is standard output [default: <NAME>.jsonl here]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::On => switch(cx, true),
        Command::Off => switch(cx, false),
        Command::Status => status(cx),
        Command::Run => copy(cx),
        Command::Restore(args) => restore(cx, args),
    }
}

/// The archive of a project.
pub(super) fn of(cx: &Cx, project: &Project) -> Archive {
    Archive::of(&cx.dirs, &project.slug, &project.repo_id)
}

/// The archive of the project here.
fn here(cx: &Cx) -> Outcome<(Project, Archive)> {
    let project = cx.project()?;
    if project.repo_id.is_empty() {
        let failure = Failure::new(Exit::Usage, "the project has no id yet").on_path(&project.root);
        return Err(failure.hint("ox init"));
    }
    let archive = of(cx, &project);
    Ok((project, archive))
}

pub(super) fn failed(what: &'static str, error: &Error) -> Failure {
    let failure = Failure::new(Exit::of_class(error.class()), what).because(error);
    match error {
        Error::Busy => failure.hint("ox session archive status"),
        full if full.is_full() => failure.hint("ox session archive run"),
        _ => failure,
    }
}

/// How the archive of a project stands.
fn standing(cx: &Cx, project: &Project, archive: &Archive) -> Outcome<Status> {
    let (home, trees) = (cx.home(), work_trees(&project.root));
    let get = |name: &str| cx.env.get(name).map(str::to_owned);
    let agents = Agents { home: &home, get: &get, trees: &trees };
    archive.status(agents).map_err(|e| failed("the archive cannot be read", &e))
}

/// Sessions of the project of which something is not kept, if there are any.
pub fn not_kept(cx: &Cx, project: &Project) -> Option<u64> {
    let status = standing(cx, project, &of(cx, project)).ok()?;
    Some(status.sessions).filter(|n| *n > 0)
}

/// Whether transcripts are kept; `None` if the user never said.
pub fn is_on(cx: &Cx) -> Option<bool> {
    Settings::load(&cx.env, &cx.dirs, None).0.archives_sessions()
}

/// Has transcripts kept from now on, and copies those of the project here.
pub fn begin(cx: &Cx) -> Outcome {
    settings::archive_sessions(&cx.dirs, true).map_err(|e| of_project(&e))?;
    copy(cx)
}

/// Notes that transcripts are not to be kept.
pub fn decline(cx: &Cx) -> Outcome {
    settings::archive_sessions(&cx.dirs, false).map_err(|e| of_project(&e))
}

fn switch(cx: &Cx, on: bool) -> Outcome {
    settings::archive_sessions(&cx.dirs, on).map_err(|e| of_project(&e))?;
    let project = cx.project_if_any()?.filter(|project| !project.repo_id.is_empty());
    let found = match &project {
        Some(project) => Some((of(cx, project), standing(cx, project, &of(cx, project))?)),
        None => None,
    };
    if cx.ui.json() {
        let found = found.as_ref();
        return cx.ui.document(&json!({
            "success": true, "archive": on, "file": cx.dirs.user_config(),
            "path": found.map(|(archive, _)| archive.dir()),
            "pending_sessions": found.map(|(_, status)| status.sessions),
            "pending_bytes": found.map(|(_, status)| status.bytes),
        }));
    }
    if !on {
        return cx.ui.done("transcripts are no longer copied; what is kept stays");
    }
    cx.ui.done("transcripts of agents are kept from now on, in all projects of this user")?;
    let Some((archive, status)) = found else { return Ok(()) };
    cx.ui.note(&format!(
        "they are copied to {}, without secrets, and stay on this machine",
        archive.dir().display()
    ));
    cx.ui.note("images in them are copied as they are");
    if status.sessions > 0 {
        let sessions = count(status.sessions, "session");
        cx.ui.note(&format!("of this project {sessions} can be copied now ({})", bytes(status.bytes)));
        cx.ui.next_step("ox session archive run");
    }
    Ok(())
}

fn copy(cx: &Cx) -> Outcome {
    let (project, archive) = here(cx)?;
    let (home, trees) = (cx.home(), work_trees(&project.root));
    let get = |name: &str| cx.env.get(name).map(str::to_owned);
    let redactor = cx.redactor(Some(&project));
    let progress = cx.ui.progress("copying transcripts");
    let run = Run {
        agents: Agents { home: &home, get: &get, trees: &trees },
        which: Which::All,
        bytes: RUN_MAX,
        redactor: &redactor,
        now: cx.now(),
        stop: &|| false,
        progress: &mut |done| {
            let files = count(done.copied.len() as u64, "file");
            progress.phase(&format!("copying transcripts: {files}, {}", bytes(done.added)), None);
        },
    };
    let done = archive.run(run).map_err(|e| failed("transcripts cannot be copied", &e))?;
    drop(progress);
    let Done { copied, left, left_count, added, found, more, .. } = done;
    if cx.ui.json() {
        let copied: Vec<Value> = copied
            .iter()
            .map(|one| {
                json!({
                    "agent_type": one.program, "name": one.name, "part": part(one.part), "title": one.title,
                    "how": one.how.name(), "added_bytes": one.added,
                })
            })
            .collect();
        let left: Vec<Value> =
            left.iter().map(|left| json!({ "path": left.place, "reason": left.why })).collect();
        return cx.ui.document(&json!({
            "success": true, "copied": copied, "added_bytes": added, "secrets_redacted": found.total(), "left": left,
            "left_count": left_count, "more": more, "path": archive.dir(),
        }));
    }
    for left in &left {
        cx.ui.warn(&format!("not copied: {}: {}", left.place.display(), left.why));
    }
    if copied.is_empty() {
        return cx.ui.done("nothing is to be copied");
    }
    let mut table = Table::new(&["AGENT", "NAME", "WHAT", "SIZE", "TITLE"]);
    let shown = if cx.ui.verbose() { copied.len() } else { SHOWN };
    for one in copied.iter().filter(|one| cx.ui.verbose() || one.part == Part::Session).take(shown) {
        let size = bytes(one.added);
        table.row([
            one.program.clone(),
            one.name.clone(),
            one.how.name().to_owned(),
            size,
            one.title.clone(),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
    let files = count(copied.len() as u64, "file");
    cx.ui.done(&format!("copied {files}, {}", bytes(added)))?;
    if found.total() > 0 {
        cx.ui.note(&format!("{} taken out", count(found.total(), "secret")));
    }
    if more {
        cx.ui.next_step("ox session archive run");
    }
    Ok(())
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Session => "session",
        Part::SubAgent => "subagent",
        Part::Companion => "companion",
    }
}

fn status(cx: &Cx) -> Outcome {
    let (project, archive) = here(cx)?;
    let on = is_on(cx);
    let status = standing(cx, &project, &archive)?;
    if cx.ui.json() {
        return cx.ui.document(&document(on, &archive, &status));
    }
    let sums = &status.sums;
    let mut lines = vec![
        row("archive", if on == Some(true) { "on" } else { "off" }),
        row(
            "kept",
            &match sums.files {
                0 => "nothing".to_owned(),
                files => {
                    let (sessions, files) = (count(sums.sessions, "session"), count(files, "file"));
                    format!(
                        "{sessions} in {files}: {}, compressed to {}",
                        bytes(sums.raw),
                        bytes(sums.length)
                    )
                }
            },
        ),
        row("last run", &sums.last_run.map_or_else(|| "never".to_owned(), |at| relative(at, cx.now()))),
        row(
            "not kept",
            &match status.files {
                0 => "nothing".to_owned(),
                files => {
                    let (sessions, files) = (count(status.sessions, "session"), count(files, "file"));
                    format!("{sessions} in {files}: {}", bytes(status.bytes))
                }
            },
        ),
        row("path", &cx.ui.with_tilde(&archive.dir().to_string_lossy())),
    ];
    lines.extend(status.keeping.iter().map(|(program, keeping)| row(program, &kept_for(keeping))));
    lines.push(row("opencode", "keeps a database and deletes nothing; it is not copied"));
    cx.ui.print(&lines.join("\n"))?;
    for left in &status.left {
        cx.ui.warn(&format!("not copied: {}: {}", left.place.display(), left.why));
    }
    if sums.unclear > 0 {
        let text = count(sums.unclear, "transcript");
        cx.ui.note(&format!("{text} not copied: they do not say in which directory they were made"));
    }
    if status.endangered.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["AGENT", "LOST NEXT", "SIZE", "MAY BE DELETED"]);
    for one in status.endangered.iter().take(if cx.ui.verbose() { usize::MAX } else { SHOWN }) {
        table.row([one.program.to_owned(), one.name.clone(), bytes(one.size), when(one.until, cx.now())]);
    }
    cx.ui.print(&format!("\n{}", table.lines(cx.ui.width(), cx.ui.paint()).join("\n")))?;
    cx.ui.next_step(if on == Some(true) { "ox session archive run" } else { "ox session archive on" });
    Ok(())
}

fn document(on: Option<bool>, archive: &Archive, status: &Status) -> Value {
    let endangered: Vec<Value> = status
        .endangered
        .iter()
        .map(|one| json!({ "agent_type": one.program, "name": one.name, "bytes": one.size, "until": one.until }))
        .collect();
    let keeping: serde_json::Map<String, Value> = status
        .keeping
        .iter()
        .map(|(program, keeping)| {
            let seconds = if let Keeping::For(period) = keeping { Some(period.as_secs()) } else { None };
            ((*program).to_owned(), json!(seconds))
        })
        .chain([("opencode".to_owned(), Value::Null)])
        .collect();
    let left: Vec<Value> =
        status.left.iter().map(|left| json!({ "path": left.place, "reason": left.why })).collect();
    let sums = &status.sums;
    json!({
        "archive": on.unwrap_or(false), "decided": on.is_some(), "path": archive.dir(), "sessions": sums.sessions,
        "files": sums.files, "bytes": sums.length, "raw_bytes": sums.raw, "last_run": sums.last_run,
        "unclear": sums.unclear, "pending_sessions": status.sessions, "pending_files": status.files,
        "pending_bytes": status.bytes, "kept_for_seconds": keeping, "lost_next": endangered, "left": left,
    })
}

fn kept_for(keeping: &Keeping) -> String {
    match keeping {
        Keeping::Always => "deletes nothing by itself".to_owned(),
        Keeping::For(period) => format!("deletes after {} without a change", short(*period)),
    }
}

/// When something may be deleted.
fn when(at: Timestamp, now: Timestamp) -> String {
    let left = at.duration_since(now);
    if left.is_positive() { format!("in {}", short(left.unsigned_abs())) } else { "at any time".to_owned() }
}

/// The transcript that a word means.
pub(super) fn find(archive: &Archive, word: &str) -> Outcome<Version> {
    let found = archive.find(word).map_err(|e| failed("the archive cannot be read", &e))?;
    found.map_err(|unclear| match unclear {
        Unclear::None => {
            let failure = Failure::new(Exit::Usage, "no such transcript in the archive").on(clean(word));
            failure.hint("ox session list --all")
        }
        Unclear::Several(names) => Failure::new(Exit::Usage, "several transcripts begin so")
            .on(clean(word))
            .because_of(format!("it may be {}", names.join(" or ")))
            .hint(format!("the same command with {}", names[0])),
    })
}

/// Ids of archived sessions and what each is about, for completion.
pub fn names(cx: &Cx) -> Vec<(String, String)> {
    const OFFERED: usize = 50;
    let Ok((_, archive)) = here(cx) else { return Vec::new() };
    let sessions = archive.sessions().unwrap_or_default();
    sessions.into_iter().take(OFFERED).map(|version| (version.name, version.title)).collect()
}

fn restore(cx: &Cx, args: &Restore) -> Outcome {
    let (_, archive) = here(cx)?;
    let version = find(&archive, &args.transcript)?;
    let unreadable = |e: &Error| failed("the transcript cannot be brought back", e);
    let mut text = archive.text(&version).map_err(|e| unreadable(&e))?;
    let damaged = |e: std::io::Error| {
        Failure::new(Exit::Failed, "the transcript cannot be brought back").on(&version.name).because(&e)
    };
    if args.output.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        let mut piece = vec![0; 256 << 10];
        loop {
            let n = text.read(&mut piece).map_err(damaged)?;
            if n == 0 {
                return Ok(());
            }
            cx.ui.raw(&piece[..n])?;
        }
    }
    let path = args.output.clone().unwrap_or_else(|| default_name(&version));
    let path = cx.env.absolute(&path);
    if !args.force && std::fs::symlink_metadata(&path).is_ok() {
        let failure = Failure::new(Exit::Usage, "the file is there already").on_path(&path);
        return Err(failure.hint("the same command with --force, or another name with -o"));
    }
    let size = file::write_stream(&path, &mut text, 0o600)
        .map_err(|e| Failure::new(Exit::Failed, "cannot write").on_path(&path).because(&e))?;
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "name": version.name, "agent_type": version.program, "path": path, "bytes": size,
        }));
    }
    cx.ui.done(&format!("wrote {}", path.display()))
}

/// The file's own name, without its directories.
fn default_name(version: &Version) -> PathBuf {
    let name = Path::new(&version.name).file_name().unwrap_or_default().to_string_lossy();
    PathBuf::from(if version.is_lines { format!("{name}.jsonl") } else { name.into_owned() })
}
