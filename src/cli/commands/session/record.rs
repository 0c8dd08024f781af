//! What follows `ox session start` until the recording is finished.

use std::fs;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::begin::{log_command, transcript};
use super::finish::tell;
use super::{Which, find, places};
use crate::cli::commands::version::OURS;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::me::Me;
use crate::cli::ui::text::{Table, count, relative, short};
use crate::git::user_name;
use crate::harness::transcript::places::roots;
use crate::ipc::wire::{Message, SessionWatchStop};
use crate::kit::gotime::GoTime;
use crate::project::Project;
use crate::project::settings::Settings;
use crate::sessions::input::{self, GENERIC};
use crate::sessions::subagents::Attached;
use crate::sessions::{
    self, FollowError, Follower, Found, Recording, State, Turn, header_of, lives, stopped, subagents,
};

/// Flags of `ox session stop`.
#[derive(Debug, clap::Args)]
pub struct Stop {}

/// Flags of `ox session abort`.
#[derive(Debug, clap::Args)]
pub struct Abort {
    /// Do not ask
    #[arg(short, long, alias = "force")]
    yes: bool,
}

/// Flags of `ox session status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Only the recording of the agent that runs this
    #[arg(long)]
    current: bool,
}

/// Flags of `ox session recover`.
#[derive(Debug, clap::Args)]
pub struct Recover {
    #[command(flatten)]
    which: Which,
}

/// A recording and where it lies.
pub struct Being {
    pub found: Found,
    pub recording: Recording,
}

/// What is being recorded in the project.
pub fn being(cx: &Cx, project: &Project) -> Vec<Being> {
    places(cx, project)
        .here()
        .into_iter()
        .filter_map(|found| match Recording::load(&found.dir) {
            State::Some(recording) => Some(Being { found, recording: *recording }),
            State::Unreadable(why) => {
                cx.ui.warn(&format!("the recording of {} cannot be read: {why}", found.name));
                None
            }
            State::None => None,
        })
        .collect()
}

/// The agent that runs this, which is known.
pub fn agent(cx: &Cx) -> Outcome<Me> {
    let me = Me::of(cx);
    if me.id.is_empty() {
        let failure = Failure::new(Exit::Usage, "no agent is named");
        return Err(failure.because_of("neither an id nor SAGEOX_AGENT_ID is given").hint("ox agent prime"));
    }
    Ok(me)
}

/// The recording of the agent that runs this.
pub fn own(cx: &Cx, project: &Project) -> Outcome<Being> {
    let me = agent(cx)?;
    let mine = being(cx, project).into_iter().find(|being| being.recording.agent_id == me.id);
    mine.ok_or_else(|| {
        Failure::new(Exit::Failed, "no session of this agent is being recorded")
            .on(&me.id)
            .hint(format!("ox agent {} session start", me.id))
    })
}

pub fn stop(cx: &Cx, _: &Stop) -> Outcome {
    let project = cx.project()?;
    let being = own(cx, &project)?;
    let (sessions, agent) = (places(cx, &project), being.recording.agent_id.clone());
    finish(cx, &project, being, "session_stop", "stopped")?;
    // Without the mark its next introduction would begin another one, where sessions are recorded by themselves.
    let _ = stopped::mark(sessions.own(), &agent, cx.now());
    Ok(())
}

pub fn recover(cx: &Cx, args: &Recover) -> Outcome {
    let project = cx.project()?;
    let found = find(cx, &args.which)?;
    let recording = match Recording::load(&found.dir) {
        State::Some(recording) => *recording,
        State::None => {
            return Err(Failure::new(Exit::Usage, "the session is finished already").on(&*found.name));
        }
        State::Unreadable(why) => {
            return Err(Failure::new(Exit::Failed, "the recording cannot be read")
                .on(&*found.name)
                .because_of(why));
        }
    };
    if recording.stopped_at.is_zero() && lives(&recording) && recording.parent_pid > 0 {
        return Err(Failure::new(Exit::Failed, "its agent is still at work")
            .on(&*found.name)
            .hint(format!("ox agent {} session stop", recording.agent_id)));
    }
    finish(cx, &project, Being { found, recording }, "session_recover", "recovered")
}

/// Takes over what is left, closes the transcript and ends the recording.
fn finish(cx: &Cx, project: &Project, being: Being, kind: &str, reason: &str) -> Outcome {
    let Being { found, recording } = being;
    let now = cx.now();
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, "the session cannot be finished")
            .on(&*found.name)
            .because_of(e.to_string())
    };
    if recording.adapter_name == GENERIC
        && recording.entry_count == 0
        && !input::is_there(&found.dir)
        && !recording.stop_incomplete
    {
        let noted = Recording::update(&found.dir, |recording| recording.stop_incomplete = true);
        noted.map_err(|e| failed(&e))?;
        return Err(Failure::new(Exit::Failed, "the agent has not written anything down yet")
            .on(&*found.name)
            .because_of("a second stop finishes it all the same")
            .with("type", "session_stop_retry".into())
            .with("session_file", recording.session_file.clone().into())
            .hint(log_command(&recording.agent_id)));
    }
    // From here on it is stopped, whatever happens to this process.
    let stopped = Recording::update(&found.dir, |recording| {
        if recording.stopped_at.is_zero() {
            recording.stopped_at = now.into();
            recording.lifecycle.push(Turn { action: "stop".into(), at: now.into(), ..Turn::default() });
        }
    });
    stopped.map_err(|e| failed(&e))?;
    if recording.session_file.is_empty() {
        let since = recording.started_at.0.unwrap_or(now);
        let late = transcript(cx, project, &recording.adapter_name, &recording.native_session, since);
        if let Some(place) = late.map_err(|e| failed(&e))? {
            Recording::locate(&found.dir, &place).map_err(|e| failed(&e))?;
        }
    }
    let redactor = cx.redactor(Some(project));
    let user = user_name(&project.root);
    let (mut thread, mut secrets) = (Default::default(), 0);
    let progress = cx.ui.progress("reading the transcript");
    let get = |name: &str| cx.env.get(name).map(str::to_owned);
    match Follower::open(&found.dir, |kind| roots(kind, &cx.home(), get)) {
        Ok(mut follower) => {
            let header = header_of(&recording, follower.thread(), &project.repo_id, &user, OURS);
            let done = follower.drain(&header, &redactor).map_err(|e| failed(&e))?;
            secrets = done.found.total();
            thread = follower.thread().clone();
            follower.note(done.entries).map_err(|e| failed(&e))?;
        }
        Err(FollowError::NoReader(_)) if recording.adapter_name == GENERIC => {}
        Err(e @ (FollowError::NoTranscript | FollowError::NoReader(_))) => {
            cx.ui.warn(&format!("{e}: nothing was taken over"));
        }
        Err(e) => return Err(failed(&e)),
    }
    drop(progress);
    let header = header_of(&recording, &thread, &project.repo_id, &user, OURS);
    // Where the transcript lies may have been found only now.
    let recording = match Recording::load(&found.dir) {
        State::Some(recording) => *recording,
        State::None | State::Unreadable(_) => recording,
    };
    let helpers = subagents::attach(&found.dir, &recording, &header, &cx.home(), &get, &redactor);
    let helpers = helpers.unwrap_or_else(|e| {
        cx.ui.warn(&format!("what sub-agents did cannot be kept: {e}"));
        Attached::default()
    });
    let native = recording.native_session.as_str();
    let end = sessions::Ending { name: &found.name, title: &recording.title, reason, native };
    let closed = sessions::close(&found.dir, &header, &end, &helpers.spent, &redactor, now);
    let closed = closed.map_err(|e| failed(&e))?;
    let written = closed.written;
    secrets += written.found.total();
    if closed.damaged > 0 {
        cx.ui.warn(&format!("lines that the agent wrote and that are no entries: {}", closed.damaged));
    }
    let told = SessionWatchStop { session_name: found.name.to_string() };
    let _ = cx.client(project).one_way(Message::SessionWatchStop, Some(&told));
    let is_told = tell(cx, project, &found);
    let worker = Settings::load(&cx.env, &cx.dirs, None).0.agent_worker().0;
    let shares = worker.publishes(project);
    let took = recording.started_at.0.map(|began| now.duration_since(began).unsigned_abs());
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "type": kind, "agent_id": recording.agent_id, "session_name": &*found.name,
            "session_id": recording.session_id, "title": recording.title, "entry_count": written.next_seq,
            "duration": took.map(short), "secrets_redacted": secrets, "raw_path": found.dir.join(sessions::raw::FILE),
            "subagents": helpers.kept, "shared_in_background": shares,
        }));
    }
    let entries = u64::try_from(written.next_seq).unwrap_or(0);
    let length = took.map(|took| format!(" in {}", short(took))).unwrap_or_default();
    cx.ui.done(&format!("recorded {}: {}{length}", found.name, count_of(entries)))?;
    if helpers.kept > 0 {
        cx.ui.note(&format!("{} kept beside it", count(helpers.kept as u64, "sub-agent")));
    }
    if secrets > 0 {
        cx.ui.note(&format!("{} taken out", count(secrets, "secret")));
    }
    if shares {
        let how = if worker.is_wanted() { "summed up and shared" } else { "shared" };
        let when = if is_told { "in the background" } else { "when the daemon runs" };
        cx.ui.note(&format!("it will be {how} {when}"));
        if !is_told {
            cx.ui.next_step("ox daemon start");
            return Ok(());
        }
    } else {
        cx.ui.note(&format!("it is on this machine alone; ox session upload {} shares it", found.name));
    }
    cx.ui.next_step(&format!("ox session view {}", found.name));
    Ok(())
}

pub fn count_of(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

pub fn abort(cx: &Cx, args: &Abort) -> Outcome {
    let project = cx.project()?;
    let Being { found, recording } = own(cx, &project)?;
    cx.ui.confirm(&format!("Throw away what was recorded of {}?", found.name), args.yes)?;
    let failed = |e: std::io::Error| {
        Failure::new(Exit::Failed, "the recording cannot be removed").on_path(&found.dir).because(&e)
    };
    Recording::remove(&found.dir).map_err(failed)?;
    fs::remove_dir_all(&found.dir).map_err(failed)?;
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "type": "session_abort", "agent_id": recording.agent_id, "session_name": &*found.name,
        }));
    }
    cx.ui.done(&format!("threw away {}", found.name))
}

pub fn pause(cx: &Cx, pause: bool) -> Outcome {
    let project = cx.project()?;
    let Being { found, recording } = own(cx, &project)?;
    let failed = |e: std::io::Error| {
        Failure::new(Exit::Failed, "the recording cannot be changed").on(&*found.name).because(&e)
    };
    if recording.is_paused() != pause {
        let action = if pause { "pause" } else { "resume" };
        let seq = sessions::raw::next_seq_in(&found.dir).map_err(failed)?;
        let turn =
            Turn { action: action.into(), at: GoTime::from(cx.now()), seq: Some(seq), ..Turn::default() };
        Recording::update(&found.dir, |recording| recording.lifecycle.push(turn)).map_err(failed)?;
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "agent_id": recording.agent_id, "session_name": &*found.name, "paused": pause,
        }));
    }
    cx.ui.done(&match pause {
        true => format!("{} is paused: what comes now is not to be shared", found.name),
        false => format!("{} goes on", found.name),
    })
}

pub fn status(cx: &Cx, args: &StatusArgs) -> Outcome {
    let project = cx.project()?;
    let mut all = being(cx, &project);
    if args.current {
        let me = agent(cx)?;
        all.retain(|being| being.recording.agent_id == me.id);
    }
    let now = cx.now();
    if cx.ui.json() {
        let rows: Vec<Value> = all.iter().map(|being| row(being, now)).collect();
        return cx
            .ui
            .document(&json!({ "recording": !rows.is_empty(), "count": rows.len(), "sessions": rows }));
    }
    if all.is_empty() {
        cx.ui.note("nothing is being recorded");
        return Ok(());
    }
    let mut table = Table::new(&["SESSION", "STATUS", "AGENT", "BEGAN", "ENTRIES", "TITLE"]);
    for Being { found, recording } in &all {
        let began = recording.started_at.0.map(|at| relative(at, now)).unwrap_or_default();
        let status = if recording.is_paused() { "paused" } else { "recording" };
        let status = if lives(recording) { status } else { "orphaned" };
        let entries = recording.entry_count.to_string();
        table.row([
            found.name.to_string(),
            status.to_owned(),
            recording.kind().to_owned(),
            began,
            entries,
            recording.title.clone(),
        ]);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

fn row(Being { found, recording }: &Being, now: Timestamp) -> Value {
    let took = recording.started_at.0.map(|began| now.duration_since(began).unsigned_abs());
    json!({
        "session_name": &*found.name, "agent_id": recording.agent_id, "title": recording.title, "agent": recording.kind(),
        "duration_seconds": took.map(|took| took.as_secs()), "duration": took.map(short),
        "started_at": recording.started_at, "session_file": recording.session_file,
        "workspace_path": recording.workspace_path, "branch": recording.branch, "paused": recording.is_paused(),
        "entry_count": recording.entry_count, "agent_lives": lives(recording),
    })
}
