//! `ox session upload` and `download`: a session from this machine to the others, and from the others to this machine.

use std::fs;
use std::io::ErrorKind;

use serde_json::{Value, json};

use super::{Which, find, places};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{bytes, count};
use crate::daemon::{PublishError, Sharer, publish};
use crate::kit::cancel::Cancel;
use crate::kit::file;
use crate::kit::pointer::{Storage, Stored};
use crate::project::{Instance, Project};
use crate::sessions::finish::{self, FinishError, Left};
use crate::sessions::{Found, Place, raw};
use crate::sync::share::fetch_content;
use crate::sync::{Failure as SyncFailure, Site, Target};

/// Flags of `ox session upload`.
#[derive(Debug, clap::Args)]
pub struct Upload {
    #[command(flatten)]
    which: Which,
    /// All sessions of this machine that others have not
    #[arg(long, conflicts_with = "session")]
    all: bool,
}

/// Flags of `ox session download`.
#[derive(Debug, clap::Args)]
pub struct Download {
    #[command(flatten)]
    which: Which,
}

fn target(project: &Project) -> Target {
    Target::Ledger { root: project.root.clone(), url: None, read_only: false }
}

pub fn upload(cx: &Cx, args: &Upload) -> Outcome {
    let project = cx.project()?;
    let meant = match args.all {
        true => {
            let never = |_: &str| false;
            let wanted = finish::Wanted { agents: false, publish: true, is_ours: &never };
            let looked = finish::look(&places(cx, &project), &wanted);
            let found = looked.candidates.into_iter();
            found
                .map(|one| Found { name: one.name, dir: one.dir, place: one.place, in_ledger: false })
                .collect()
        }
        false => vec![find(cx, &args.which)?],
    };
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let (target, redactor) = (target(&project), cx.redactor(Some(&project)));
    let mut rows = Vec::new();
    for found in &meant {
        if found.place == Place::Ledger {
            return Err(Failure::new(Exit::Usage, "the session is in the ledger already").on(&*found.name));
        }
        let progress = cx.ui.progress(&format!("sharing {}", found.name));
        let on_progress = &mut |_: &str, percent: Option<u8>, text: &str| progress.phase(text, percent);
        let of = (&project, &target);
        let done =
            publish(&site, of, &found.dir, Sharer::Command, &redactor, on_progress, &Cancel::default());
        drop(progress);
        let done = done.map_err(|e| not_shared(found, &e))?;
        let here: Vec<&Stored> = done.stored.iter().filter(|one| one.storage == Storage::Here).collect();
        if !cx.ui.json() {
            let size = done.stored.iter().map(|one| one.size).sum();
            let files = count(done.stored.len() as u64, "file");
            cx.ui.done(&format!("shared {}: {files}, {}", found.name, bytes(size)))?;
            for one in here {
                let size = bytes(one.size);
                cx.ui.warn(&format!(
                    "{} stays on this machine: it has {size}, and the remote keeps no large files (Git LFS)",
                    one.name
                ));
            }
        }
        let files: Vec<Value> = done
            .stored
            .iter()
            .map(|one| {
                json!({ "name": one.name, "oid": one.oid, "size": one.size, "storage": one.storage.name() })
            })
            .collect();
        rows.push(json!({
            "session_name": &*found.name, "commit": done.commit, "files": files,
            "kept_here": done.left != Left::Nothing,
        }));
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "sessions": rows }));
    }
    if meant.is_empty() {
        cx.ui.note("others have every session of this machine");
    }
    Ok(())
}

pub fn download(cx: &Cx, args: &Download) -> Outcome {
    let project = cx.project()?;
    let found = find(cx, &args.which)?;
    let is_here = || raw::is_substantive(&found.dir.join(raw::FILE)).unwrap_or(false);
    let there = if is_here() { found } else { fetch(cx, &project, &found)? };
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "session_name": &*there.name, "path": there.dir }));
    }
    cx.ui.done(&format!("{} is on this machine", there.name))?;
    cx.ui.next_step(&format!("ox session view {}", there.name));
    Ok(())
}

/// Brings the content of a session that lies in the ledger here, beside those of this machine: all of it, or nothing. One of another
/// machine is finished there.
pub fn fetch(cx: &Cx, project: &Project, found: &Found) -> Outcome<Found> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the session cannot be fetched").on(&*found.name).because_of(e.to_string())
    };
    let all = places(cx, project);
    let (target_dir, into) = (all.own().join(&*found.name), all.own().join(format!(".fetch-{}", found.name)));
    let ledger = all.dirs().find(|(place, _)| *place == Place::Ledger);
    let shared = ledger.map_or(found.dir.clone(), |(_, dir)| dir.join(&*found.name));
    let wanted = finish::stored(&shared).map_err(|e| failed(&e))?.unwrap_or_default();
    if !wanted.iter().any(|one| one.name == raw::FILE) {
        return Err(failed(&"its meta.json does not say where its transcript is")
            .hint("the machine that recorded it: ox session upload"));
    }
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let progress = cx.ui.progress(&format!("fetching {}", found.name));
    let on_progress = &mut |_: &str, percent: Option<u8>, text: &str| progress.phase(text, percent);
    file::make_dirs(&into, 0o700).map_err(|e| failed(&e))?;
    if !Instance::all(&project.root).contains_key(found.name.agent()) {
        finish::mark_downloaded(&into).map_err(|e| failed(&e))?;
    }
    let name = &*found.name;
    let done = fetch_content(&site, &target(project), name, &wanted, &into, on_progress, &Cancel::default());
    drop(progress);
    done.map_err(|e| of_sync(Failure::new(Exit::Failed, "the session cannot be fetched").on(name), &e))?;
    let entries = fs::read_dir(&shared).map_err(|e| failed(&e))?;
    for entry in entries.filter_map(Result::ok) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_plain = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_plain || wanted.iter().any(|one| one.name == name) || into.join(&name).exists() {
            continue;
        }
        let copied = file::read_capped(&entry.path(), PLAIN_MAX)
            .and_then(|bytes| file::write_durable(&into.join(&name), &bytes, 0o600));
        match copied {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(&e)),
            _ => {}
        }
    }
    // What older versions left of a fetch that failed hides the session, and holds nothing.
    if finish::is_downloaded(&target_dir) && file::is_gone(&target_dir.join(raw::FILE)) {
        fs::remove_dir_all(&target_dir).map_err(|e| failed(&e))?;
    }
    file::rename_new(&into, &target_dir).map_err(|e| failed(&e))?;
    file::sync_dir(&target_dir).map_err(|e| failed(&e))?;
    Ok(Found { name: found.name.clone(), dir: target_dir, place: Place::Local, in_ledger: true })
}

/// What git keeps of a session is no larger, in bytes.
const PLAIN_MAX: usize = 5 << 20;

fn not_shared(found: &Found, e: &PublishError) -> Failure {
    let failure = Failure::new(Exit::of_class(e.class()), "the session is not shared").on(&*found.name);
    match e {
        PublishError::Share(e) => of_sync(failure, e),
        PublishError::Finish(FinishError::Recording) => {
            failure.because(e).hint(format!("ox agent {} session stop", found.name.agent()))
        }
        PublishError::Finish(FinishError::NotShared) => failure
            .because_of("it was decided that it stays on this machine")
            .hint(format!("ox session regenerate {}", found.name)),
        _ => failure.because(e),
    }
}

fn of_sync(failure: Failure, e: &SyncFailure) -> Failure {
    failure.because_of(e.text.clone()).hint("ox status")
}
