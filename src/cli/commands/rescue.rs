//! `ox rescue`: what was rescued on this machine, and getting it back. Needs no daemon.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{Table, clean, count, relative, tilde};
use crate::kit::Class;
use crate::kit::text::plain;
use crate::sync::rescue::{self, Became, Clone as Managed, Item, Kind, Put, RescuedFile, State};
use crate::sync::{self, Site};

/// Flags of `ox rescue`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox rescue list\n  ox rescue show 1a2b3c4d\n  ox rescue restore 1a2b3c4d"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List uncommitted work, conflict copies and replaced clones that were kept aside
    #[command(after_help = "Examples:\n  ox rescue list\n  ox rescue list --all")]
    List(List),
    /// Show the files of a rescue and how they differ; with -v as a patch
    #[command(after_help = "Examples:\n  ox rescue show 1a2b3c4d\n  ox rescue show 1a2b3c4d -v")]
    Show(Show),
    /// Write the files of a rescue beside the present ones; overwrites nothing
    #[command(
        after_help = "Examples:\n  ox rescue restore 1a2b3c4d\n  ox rescue restore 1a2b3c4d notes/a.md --to /tmp/rescued"
    )]
    Restore(Restore),
}

/// Flags of `ox rescue list`.
#[derive(Debug, clap::Args)]
struct List {
    /// Look in every ledger and team context of this machine
    #[arg(long)]
    all: bool,
}

/// Flags of `ox rescue show`.
#[derive(Debug, clap::Args)]
struct Show {
    /// Id that ox rescue list shows, or its beginning
    #[arg(value_name = "RESCUE_ID")]
    id: String,
}

/// Flags of `ox rescue restore`.
#[derive(Debug, clap::Args)]
struct Restore {
    /// Id that ox rescue list shows, or its beginning
    #[arg(value_name = "RESCUE_ID")]
    id: String,
    /// Only these files or directories, as ox rescue show names them
    #[arg(value_name = "PATH")]
    path: Vec<PathBuf>,
    /// Write into this directory instead of the clone
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    to: Option<PathBuf>,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome<Exit> {
    match &args.command {
        Command::List(args) => list(cx, args),
        Command::Show(args) => show(cx, args),
        Command::Restore(args) => restore(cx, args),
    }
}

fn list(cx: &Cx, args: &List) -> Outcome<Exit> {
    let clones = if args.all { everywhere(cx)? } else { vec![of_project(cx)?] };
    let found = rescue::list(&clones);
    if cx.ui.json() {
        let items: Vec<Value> = found.items.iter().map(to_json).collect();
        cx.ui.document(&json!({ "items": items, "problems": found.problems }))?;
    } else if found.items.is_empty() {
        cx.ui.note(if args.all {
            "nothing was rescued on this machine"
        } else {
            "nothing was rescued in this project's ledger"
        });
    } else {
        cx.ui.print(&table(cx, &found.items))?;
        cx.ui.next_step("ox rescue show <id>");
    }
    found.problems.iter().for_each(|problem| cx.ui.warn(problem));
    Ok(if found.problems.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The ledger of the project around the current directory.
fn of_project(cx: &Cx) -> Outcome<Managed> {
    let Some(project) = cx.project_if_any()? else {
        return Err(Failure::new(Exit::Usage, "no project here").hint("ox rescue list --all"));
    };
    let path = cx.dirs.ledger(&project.slug, &project.repo_id);
    Ok(Managed { path, lock: cx.dirs.clone_lock(&project.slug, sync::LEDGER, &project.repo_id) })
}

/// Every clone of this machine, and the project's own ledger wherever that is.
fn everywhere(cx: &Cx) -> Outcome<Vec<Managed>> {
    let mut clones = rescue::clones(&cx.dirs);
    if cx.project_if_any()?.is_some() {
        clones.push(of_project(cx)?);
    }
    clones.sort();
    clones.dedup();
    Ok(clones)
}

/// The ids of all that was rescued, and what each is.
pub fn ids(cx: &Cx) -> Vec<(String, String)> {
    let found = rescue::list(&everywhere(cx).unwrap_or_default());
    let one =
        |item: &Item| (item.id.clone(), format!("{}, {}", item.kind.word(), relative(item.at, cx.now())));
    found.items.iter().map(one).collect()
}

/// The item with this id, or the only one whose id begins so, and its clone.
fn find(cx: &Cx, id: &str) -> Outcome<(Managed, Item)> {
    let clones = everywhere(cx)?;
    let found = rescue::list(&clones);
    let all_of_it = |item: &Item| clones.iter().find(|c| c.path == item.clone).cloned();
    let mut hits = found.items.into_iter().filter(|item| !id.is_empty() && item.id.starts_with(id));
    match (hits.next(), hits.next()) {
        (Some(item), None) => match all_of_it(&item) {
            Some(clone) => Ok((clone, item)),
            None => Err(Failure::new(Exit::Internal, "its clone is unknown").on(id)),
        },
        (Some(_), Some(_)) => Err(Failure::new(Exit::Usage, "several rescues have ids that begin like this")
            .on(id)
            .hint("ox rescue list --all")),
        (None, _) => {
            let failure = Failure::new(Exit::Usage, "no such rescue").on(id);
            let failure = found.problems.into_iter().fold(failure, Failure::because_of);
            Err(failure.hint("ox rescue list --all"))
        }
    }
}

fn show(cx: &Cx, args: &Show) -> Outcome<Exit> {
    let (_, item) = find(cx, &args.id)?;
    let files = rescue::files(&item).map_err(|e| of_sync("it cannot be read", &item, &e))?;
    if cx.ui.json() {
        let mut document = to_json(&item);
        let files: Vec<Value> = files.iter().map(|f| file_json(f, cx.ui.verbose())).collect();
        document["files"] = files.into();
        return cx.ui.document(&document).map(|()| Exit::Done);
    }
    cx.ui.print(&page(cx, &item, &files))?;
    if cx.ui.verbose() {
        for file in &files {
            if let Some(diff) = &file.diff {
                cx.ui.print(&patch(&diff.patch))?;
            }
        }
    }
    cx.ui.next_step(&format!("ox rescue restore {}", item.id));
    Ok(Exit::Done)
}

fn restore(cx: &Cx, args: &Restore) -> Outcome<Exit> {
    let (clone, item) = find(cx, &args.id)?;
    let to = args.to.as_ref().map(|dir| cx.env.absolute(dir));
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let machine = site.git(true).machine();
    let put = rescue::restore(&item, &clone.lock, machine, &args.path, to.as_deref());
    let put = put.map_err(|e| of_sync("it cannot be restored", &item, &e))?;
    let refused = put.iter().filter(|p| matches!(p.became, Became::Refused(_))).count();
    if cx.ui.json() {
        let files: Vec<Value> = put.iter().map(put_json).collect();
        cx.ui.document(&json!({ "success": refused == 0, "id": item.id, "files": files }))?;
    } else {
        let lines: Vec<String> = put.iter().map(|p| put_line(p, &cx.home())).collect();
        cx.ui.done(&lines.join("\n"))?;
    }
    if refused == 0 {
        return Ok(Exit::Done);
    }
    cx.ui.warn(&format!("{} could not be written", count(refused as u64, "file")));
    Ok(Exit::Failed)
}

fn of_sync(what: &str, item: &Item, error: &sync::Failure) -> Failure {
    let hint = match error.class {
        Class::Usage => format!("ox rescue show {}", item.id),
        _ => "ox doctor".to_owned(),
    };
    Failure::new(Exit::of_class(error.class), what).on(&item.id).because_of(&error.text).hint(hint)
}

fn table(cx: &Cx, items: &[Item]) -> String {
    let mut table = Table::new(&["ID", "WHEN", "WHAT", "FILES", "EXPIRES", "CLONE"]);
    for item in items {
        let clone = tilde(&item.clone.to_string_lossy(), &cx.home());
        let when = relative(item.at, cx.now());
        let what = item.kind.word().to_owned();
        table.row([item.id.clone(), when, what, item.files.to_string(), goes(item, cx.now()), clone]);
    }
    table.lines(cx.ui.width(), cx.ui.paint()).join("\n")
}

/// When it goes away.
fn goes(item: &Item, now: Timestamp) -> String {
    match (&item.kind, item.until) {
        (_, Some(until)) if until > now => relative(until, now),
        (_, Some(_)) => "with the next sync".to_owned(),
        (Kind::Ref(_) | Kind::Copy { .. }, None) => "never".to_owned(),
        (Kind::Backup(_) | Kind::Revoked(_), None) => "when proven empty".to_owned(),
    }
}

fn page(cx: &Cx, item: &Item, files: &[RescuedFile]) -> String {
    let (home, now) = (cx.home(), cx.now());
    let place = match &item.kind {
        Kind::Ref(reference) => reference.clone(),
        Kind::Copy { copy, .. } => copy.to_string_lossy().into_owned(),
        Kind::Backup(directory) | Kind::Revoked(directory) => tilde(&directory.to_string_lossy(), &home),
    };
    let mut lines = vec![
        format!("{} of {}", item.kind.word(), clean(&tilde(&item.clone.to_string_lossy(), &home))),
        format!("  kept in   {}", clean(&place)),
        format!("  rescued   {} ({})", item.at.strftime("%Y-%m-%d %H:%M:%S UTC"), relative(item.at, now)),
        format!("  goes      {}", goes(item, now)),
        format!("  {}", count(files.len() as u64, "file")),
    ];
    for file in files {
        let beside = if item.unmerged.contains(&file.path) { "  (did not merge; lies beside)" } else { "" };
        lines.push(format!("    {} {}{}{beside}", mark(file.state), name(&file.path), stat(file)));
    }
    lines.join("\n")
}

fn mark(state: State) -> &'static str {
    match state {
        State::Added => "A",
        State::Changed => "M",
        State::Deleted => "D",
    }
}

fn stat(file: &RescuedFile) -> String {
    match &file.diff {
        Some(diff) => format!("  +{} -{}", diff.added, diff.removed),
        None => "  (not text)".to_owned(),
    }
}

fn name(path: &Path) -> String {
    clean(&path.to_string_lossy())
}

/// A patch for a terminal: other people's bytes do not move the cursor.
fn patch(bytes: &[u8]) -> String {
    plain(&String::from_utf8_lossy(bytes), true).into_owned()
}

fn to_json(item: &Item) -> Value {
    let unmerged: Vec<_> = item.unmerged.iter().map(|p| p.to_string_lossy()).collect();
    let mut document = json!({
        "id": item.id,
        "clone": item.clone.to_string_lossy(),
        "kind": item.kind.tag(),
        "at": item.at.to_string(),
        "until": item.until.map(|t| t.to_string()),
        "file_count": item.files,
        "unmerged": unmerged,
    });
    match &item.kind {
        Kind::Ref(reference) => document["reference"] = reference.as_str().into(),
        Kind::Copy { path, copy } => {
            document["path"] = path.to_string_lossy().into();
            document["copy"] = copy.to_string_lossy().into();
        }
        Kind::Backup(directory) | Kind::Revoked(directory) => {
            document["directory"] = directory.to_string_lossy().into();
        }
    }
    document
}

fn file_json(file: &RescuedFile, patch: bool) -> Value {
    let mut document = json!({ "path": file.path.to_string_lossy(), "state": mark(file.state) });
    if let Some(diff) = &file.diff {
        document["added"] = diff.added.into();
        document["removed"] = diff.removed.into();
        if patch {
            document["patch"] = String::from_utf8_lossy(&diff.patch).into();
        }
    }
    document
}

fn put_json(put: &Put) -> Value {
    let text = |p: &Path| p.to_string_lossy().into_owned();
    let path = text(&put.path);
    match &put.became {
        Became::Written(to) => json!({ "path": path, "result": "written", "to": text(to) }),
        Became::Present(to) => json!({ "path": path, "result": "present", "to": text(to) }),
        Became::Deleted => json!({ "path": path, "result": "deleted" }),
        Became::Refused(why) => json!({ "path": path, "result": "refused", "error": why }),
    }
}

fn put_line(put: &Put, home: &Path) -> String {
    let place = |to: &Path| clean(&tilde(&to.to_string_lossy(), home));
    let file = name(&put.path);
    match &put.became {
        Became::Written(to) => format!("restored {file} as {}", place(to)),
        Became::Present(to) => format!("{file} is there already: {}", place(to)),
        Became::Deleted => format!("{file} had been deleted: nothing to restore"),
        Became::Refused(why) => format!("not restored: {file}: {}", clean(why)),
    }
}
