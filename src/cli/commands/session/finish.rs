//! What becomes of a session when it has ended: `ox session finalize`, `retry`, `regenerate` and `push-summary`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::share::fetch;
use super::{Which, find, find_named, places};
use crate::cli::commands::agents::paused;
use crate::cli::commands::sync::serve;
use crate::cli::context::Cx;
use crate::cli::errors::of_client;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::count;
use crate::ipc::client::Client;
use crate::ipc::wire::{
    AgentWorkAsk, AgentWorkRun, AgentWorkStatus, AgentWorkWaiting, Message, SessionFinalize,
};
use crate::kit::clock::pause;
use crate::project::settings::Settings;
use crate::project::{Instance, Project};
use crate::sessions::finish::{self, Ask, By, FinishError};
use crate::sessions::summary::{Disposition, Thresholds};
use crate::sessions::{Found, Name, Place, Recording, State};

/// Between two questions how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// An answer that is given is no longer, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// Flags of `ox session finalize`.
#[derive(Debug, clap::Args)]
pub struct Finalize {
    #[command(flatten)]
    which: Which,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

/// Flags of `ox session retry`.
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// Name of the session, or the agent it ends with [default: all that could not be finished]
    #[arg(value_name = "SESSION")]
    session: Option<String>,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

/// Flags of `ox session regenerate`.
#[derive(Debug, clap::Args)]
pub struct Regenerate {
    #[command(flatten)]
    which: Which,
    /// All sessions of this machine
    #[arg(long, conflicts_with = "session")]
    all: bool,
    /// Show which sessions are meant, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

/// Flags of `ox session push-summary`.
#[derive(Debug, clap::Args)]
pub struct PushSummary {
    /// The file with the summary; - for standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Name of the session, or the agent it ends with [default: the newest]
    #[arg(value_name = "SESSION")]
    session: Option<String>,
}

pub fn finalize(cx: &Cx, args: &Finalize) -> Outcome {
    let project = cx.project()?;
    let found = find(cx, &args.which)?;
    refuse_recorded(&found)?;
    run(cx, &project, "session_finalize", &[found], args.no_wait)
}

pub fn retry(cx: &Cx, args: &Retry) -> Outcome {
    let project = cx.project()?;
    let places = places(cx, &project);
    let ours = Instance::all(&project.root);
    let is_ours = |found: &Found| is_ours(&ours, found);
    let meant = match &args.session {
        Some(word) => {
            let found = find_named(&places, word)?;
            refuse_others(&found, is_ours(&found))?;
            vec![found]
        }
        // Also those that were shared as they were, when no agent could sum them up.
        None => {
            let is_meant = |found: &Found| is_ours(found) && finish::is_stuck(&found.dir);
            places.all().0.into_iter().filter(is_meant).collect()
        }
    };
    meant.iter().try_for_each(refuse_recorded)?;
    let meant = again(cx, &project, meant, false)?;
    if meant.is_empty() && !cx.ui.json() {
        cx.ui.note("every session of this machine is finished, or was not tried yet");
    }
    run(cx, &project, "session_retry", &meant, args.no_wait)
}

pub fn regenerate(cx: &Cx, args: &Regenerate) -> Outcome {
    let project = cx.project()?;
    let places = places(cx, &project);
    let ours = Instance::all(&project.root);
    let is_ours = |found: &Found| is_ours(&ours, found);
    let meant: Vec<Found> = match args.all {
        true => {
            let is_done = |found: &Found| matches!(Recording::load(&found.dir), State::None);
            places.all().0.into_iter().filter(|found| is_ours(found) && is_done(found)).collect()
        }
        false => {
            let found = find(cx, &args.which)?;
            refuse_recorded(&found)?;
            refuse_others(&found, is_ours(&found))?;
            vec![found]
        }
    };
    if args.dry_run {
        if cx.ui.json() {
            let names: Vec<&str> = meant.iter().map(|found| &*found.name).collect();
            return cx.ui.document(&json!({ "success": true, "dry_run": true, "sessions": names }));
        }
        return cx.ui.print(&meant.iter().map(|found| &*found.name).collect::<Vec<_>>().join("\n"));
    }
    let here = again(cx, &project, meant, true)?;
    run(cx, &project, "session_regenerate", &here, args.no_wait)
}

/// Whether a session was recorded on this machine, of whose agents `ours` are.
fn is_ours(ours: &BTreeMap<String, Instance>, found: &Found) -> bool {
    matches!(found.place, Place::Local | Place::Cache) && !finish::is_downloaded(&found.dir)
        || found.place == Place::Ledger && ours.contains_key(found.name.agent())
}

fn refuse_others(found: &Found, is_ours: bool) -> Outcome {
    if is_ours {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "the session was not recorded on this machine")
        .on(&*found.name)
        .because_of("whoever recorded it sums it up"))
}

/// Notes of sessions that they are to be finished once more, if there is who does it. Answers where they lie then.
fn again(cx: &Cx, project: &Project, meant: Vec<Found>, anew: bool) -> Outcome<Vec<Found>> {
    let Some(first) = meant.first() else { return Ok(meant) };
    serve(cx, project)?;
    refuse_unable(cx, project, &first.name)?;
    let redactor = cx.redactor(Some(project));
    let mut here = Vec::new();
    for found in meant {
        // What was shared and went from here comes back first.
        let found = match found.place {
            Place::Ledger => fetch(cx, project, &found)?,
            _ => found,
        };
        finish::again(&found.dir, anew, &redactor).map_err(|e| failed(&found, &e))?;
        here.push(found);
    }
    Ok(here)
}

/// Asks the daemon, which knows from then on what the configuration says now, whether it finishes sessions.
fn refuse_unable(cx: &Cx, project: &Project, name: &Name) -> Outcome {
    let work = Client::new(cx.dirs.host_socket()).agent_work(&AgentWorkAsk::default());
    let work = work.map_err(|e| of_client("the daemon gave no answer", &e))?;
    let worker = Settings::load(&cx.env, &cx.dirs, None).0.agent_worker().0;
    if work.enabled || worker.publishes(project) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "no agent is run in the background")
        .because_of(work.agent_detail)
        .hint(format!("ox agents status, or ox session upload {name} to share it as it is")))
}

pub fn push_summary(cx: &Cx, args: &PushSummary) -> Outcome {
    let project = cx.project()?;
    let found = find(cx, &Which { session: args.session.clone() })?;
    refuse_recorded(&found)?;
    let mut said = String::new();
    let read = match args.file.to_str() {
        Some("-") => std::io::stdin().take(ANSWER_MAX).read_to_string(&mut said),
        _ => std::fs::File::open(&args.file).and_then(|file| file.take(ANSWER_MAX).read_to_string(&mut said)),
    };
    read.map_err(|e| {
        Failure::new(Exit::Usage, "the summary cannot be read").on_path(&args.file).because(&e)
    })?;
    let redactor = cx.redactor(Some(&project));
    let ask = Ask { tokens: 0, force: true, root: &project.root };
    let prepared = finish::prepare(&found.dir, ask, &redactor).map_err(|e| failed(&found, &e))?;
    let worker = Settings::load(&cx.env, &cx.dirs, None).0.agent_worker().0;
    let thresholds =
        Thresholds { upload: worker.quality_upload_threshold, discard: worker.quality_discard_threshold };
    let by = By { thresholds, redactor: &redactor };
    let accepted = finish::accept(&found.dir, &prepared, &said, by).map_err(|e| failed(&found, &e))?;
    if let Some(why) = accepted.error {
        return Err(Failure::new(Exit::Usage, "this is no summary of the session")
            .on(&*found.name)
            .because_of(why)
            .with("type", "push_summary".into()));
    }
    tell(cx, &project, &found);
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "type": "push_summary", "session_name": &*found.name, "title": accepted.title,
            "disposition": accepted.disposition.name(), "summary_path": found.dir.join("summary.json"),
        }));
    }
    cx.ui.done(&format!("{}: {}", found.name, accepted.title))?;
    match accepted.disposition {
        Disposition::Upload => {}
        Disposition::LocalOnly => cx.ui.note("by its score it stays on this machine"),
        Disposition::Discard => {
            let aside = finish::discarded(&found.dir);
            cx.ui.note(&format!(
                "by its score it was thrown away: it lies in {} for seven days",
                aside.display()
            ));
        }
    }
    Ok(())
}

/// Tells the daemon that a session may be finished. False where none runs that hears it.
pub fn tell(cx: &Cx, project: &Project, found: &Found) -> bool {
    let client = cx.client(project);
    client.is_reachable()
        && client.one_way(Message::SessionFinalize, Some(&request(cx, project, found))).is_ok()
}

fn request(cx: &Cx, project: &Project, found: &Found) -> SessionFinalize {
    let ledger = places(cx, project);
    let ledger = ledger.dirs().find(|(place, _)| *place == Place::Ledger).and_then(|(_, dir)| dir.parent());
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    SessionFinalize {
        session_name: found.name.to_string(),
        ledger_path: ledger.map(text).unwrap_or_default(),
        cache_path: text(&found.dir),
        project_root: text(&project.root),
    }
}

/// Has the daemon finish sessions, and waits for it.
fn run(cx: &Cx, project: &Project, kind: &str, all: &[Found], no_wait: bool) -> Outcome {
    if all.is_empty() {
        return match cx.ui.json() {
            true => cx.ui.document(&json!({ "success": true, "type": kind, "sessions": [] })),
            false => Ok(()),
        };
    }
    let client = serve(cx, project)?;
    let progress = cx.ui.progress("asking the daemon");
    // The first look that this has done may begin what is asked for.
    let begun = cx.now();
    let host = Client::new(cx.dirs.host_socket());
    refuse_unable(cx, project, &all[0].name)?;
    let mut done = Vec::new();
    for found in all {
        client
            .one_way(Message::SessionFinalize, Some(&request(cx, project, found)))
            .map_err(|e| of_client("the daemon could not be asked", &e))?;
        if !no_wait {
            progress.phase(&format!("finishing {}", found.name), None);
            // Answered when it has been looked at.
            let work = host.agent_work(&AgentWorkAsk::default());
            let work = work.map_err(|e| of_client("the daemon gave no answer", &e))?;
            done.push((found, wait(&host, &found.name, begun, work)?));
        }
    }
    drop(progress);
    if no_wait {
        return match cx.ui.json() {
            true => {
                let row = |found: &Found| json!({ "session_name": &*found.name, "status": "asked" });
                let rows: Vec<Value> = all.iter().map(row).collect();
                cx.ui.document(&json!({ "success": true, "type": kind, "sessions": rows }))
            }
            false => cx.ui.done(&format!("asked for {}", count(all.len() as u64, "session"))),
        };
    }
    report(cx, project, kind, &done)
}

fn report(cx: &Cx, project: &Project, kind: &str, done: &[(&Found, Option<AgentWorkRun>)]) -> Outcome {
    let is_failed = |run: &Option<AgentWorkRun>| run.as_ref().is_some_and(|run| run.status == "failed");
    // Whoever was told that it has ended may have finished it before.
    let places = places(cx, project);
    let summary = |found: &Found| {
        let there = places.find(&found.name).ok().filter(|there| finish::is_finished(&there.dir))?;
        Some(there.dir.join("summary.md"))
    };
    let row = |(found, run): &(&Found, Option<AgentWorkRun>)| {
        let status = run.as_ref().map_or("nothing to do", |run| run.status.as_str());
        let error = run.as_ref().map(|run| run.error.as_str()).filter(|error| !error.is_empty());
        json!({ "session_name": &*found.name, "status": status, "error": error, "summary_path": summary(found) })
    };
    let rows: Vec<Value> = done.iter().map(row).collect();
    if let Some((found, run)) = done.iter().find(|(_, run)| is_failed(run)) {
        let why = run.as_ref().map(|run| run.error.clone()).unwrap_or_default();
        return Err(Failure::new(Exit::Failed, "the session is not finished")
            .on(&*found.name)
            .because_of(why)
            .with("type", kind.into())
            .with("sessions", rows.into())
            .hint("ox agents status"));
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "type": kind, "sessions": rows }));
    }
    for (found, run) in done {
        match run {
            Some(_) => cx.ui.done(&format!("finished {}", found.name))?,
            None => match summary(found) {
                Some(path) => cx.ui.note(&format!(
                    "{} was finished already; its summary: {}",
                    found.name,
                    cx.ui.with_tilde(&path.to_string_lossy())
                )),
                None => cx.ui.note(&format!("{}: there was nothing to do", found.name)),
            },
        }
    }
    if let [(found, _)] = done {
        cx.ui.next_step(&format!("ox session view {}", found.name));
    }
    Ok(())
}

/// Waits until the daemon is done with a session, from how it stands now; none where there was nothing to do.
fn wait(
    host: &Client,
    name: &Name,
    begun: Timestamp,
    mut work: AgentWorkStatus,
) -> Outcome<Option<AgentWorkRun>> {
    let is_named = |target: &str| target.rsplit_once(':').is_some_and(|(_, it)| it == &**name);
    let is_new = |run: &AgentWorkRun| run.started_at.0.is_some_and(|at| at >= begun);
    loop {
        let waiting = work.waiting.iter().find(|one| is_named(&one.target));
        if let Some(one) = waiting
            && let Some(why) = stands_still(&work, one)
        {
            return Err(Failure::new(Exit::Failed, "the session is not finished yet")
                .on(&**name)
                .because_of(why)
                .hint(if work.paused == "user" { "ox agents resume" } else { "ox agents status" }));
        }
        let is_active = work.active.iter().any(|run| is_named(&run.target));
        if !is_active && waiting.is_none() {
            let mut ended = work.recent.iter().rev().filter(|run| is_named(&run.target));
            return Ok(ended.find(|run| is_new(run)).cloned());
        }
        pause(ASK_EVERY);
        let peek = host.agent_work(&AgentWorkAsk { peek: true, ..AgentWorkAsk::default() });
        work = peek.map_err(|e| of_client("the daemon gave no answer", &e))?;
    }
}

/// Why what waits is not begun soon.
fn stands_still(work: &AgentWorkStatus, one: &AgentWorkWaiting) -> Option<String> {
    let is_later = one.not_before.0.is_some();
    let failed = |then: &str| format!("{}; {then}", one.error);
    match work.paused.as_str() {
        _ if is_later && !one.error.is_empty() => Some(failed("it is tried again by itself")),
        "" if one.needs_agent && !work.enabled => Some("no agent is run in the background".to_owned()),
        "" if one.needs_agent && !work.agent_usable => {
            Some(format!("{} cannot be used: {}", work.agent_type, work.agent_detail))
        }
        "" => None,
        _ if one.needs_agent => Some(paused(work)),
        _ => None,
    }
}

fn refuse_recorded(found: &Found) -> Outcome {
    match Recording::load(&found.dir) {
        State::None => Ok(()),
        _ => Err(Failure::new(Exit::Usage, "the session is being recorded")
            .on(&*found.name)
            .hint(format!("ox agent {} session stop", found.name.agent()))),
    }
}

pub fn failed(found: &Found, e: &FinishError) -> Failure {
    let failure = Failure::new(Exit::Failed, "the session cannot be finished").on(&*found.name).because(e);
    match e {
        FinishError::Elsewhere => failure.hint(format!("ox session download {}", found.name)),
        FinishError::Recording => failure.hint(format!("ox agent {} session stop", found.name.agent())),
        _ => failure,
    }
}
