//! `ox session start`, and the start by itself where an agent introduces itself.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::places;
use super::record::{agent, being};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::me::Me;
use crate::cli::ui::text::clean;
use crate::git::{Reader, user_name};
use crate::harness::transcript::places::{Located, Wanted, running};
use crate::ipc::wire::{Message, SessionWatchStart};
use crate::kit::process::{Seen, StartedAt, probe};
use crate::kit::{file, openat};
use crate::project::settings::{RecordingMode, Settings};
use crate::project::{Instance, Project};
use crate::sessions::input::{self, GENERIC};
use crate::sessions::{self, Name, Recording, can_read, stopped, watch_mode};

/// A transcript that was not written to for so long is that of another session.
const LATELY: Duration = Duration::from_secs(120);

/// Flags of `ox session start`.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// What the session is about
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
}

/// A recording that has begun.
pub struct Begun {
    /// Its name.
    pub name: Name,
    /// Its directory.
    pub dir: PathBuf,
    /// What is noted of it.
    pub recording: Recording,
}

pub fn start(cx: &Cx, args: &Start) -> Outcome {
    let project = cx.project()?;
    let me = agent(cx)?;
    if let Some(other) = being(cx, &project).into_iter().find(|being| being.recording.agent_id == me.id) {
        return Err(Failure::new(Exit::Failed, "the session of this agent is being recorded already")
            .on(&*other.found.name)
            .hint(format!("ox agent {} session stop", me.id)));
    }
    let (mode, origin) = Settings::load(&cx.env, &cx.dirs, Some(&project)).0.recording();
    if mode == RecordingMode::Disabled {
        return Err(Failure::new(Exit::Usage, "sessions are not recorded here")
            .because_of(format!("sessions.mode is disabled ({})", cx.ui.with_tilde(&origin.to_string())))
            .hint("ox config set sessions.mode manual"));
    }
    let places = places(cx, &project);
    let failed = |e: io::Error| {
        Failure::new(Exit::Failed, "the recording cannot be begun").on_path(places.own()).because(&e)
    };
    let title = args.title.as_deref().unwrap_or_default();
    let Begun { name, dir, recording } = begin(cx, &project, &me, title).map_err(failed)?;
    // Whoever starts one by hand has changed their mind.
    stopped::take(places.own(), &me.id);
    let kind = recording.kind();
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "type": "session_start", "agent_id": me.id, "session_name": &*name,
            "session_id": recording.session_id, "title": recording.title, "adapter": kind, "started": recording.started_at,
            "session_file": recording.session_file, "path": dir, "next_actions": next_actions(&recording),
        }));
    }
    cx.ui.done(&format!("recording {name}"))?;
    if recording.adapter_name == GENERIC {
        let of = if kind.is_empty() { "this agent".to_owned() } else { clean(kind) };
        cx.ui.note(&format!(
            "no transcript of {of} can be read: what is to be kept it says itself, with the command below; or it writes lines of raw.jsonl \
             into {}",
            cx.ui.with_tilde(&recording.session_file)
        ));
        cx.ui.next_step(&log_command(&me.id));
        return Ok(());
    }
    if recording.session_file.is_empty() {
        cx.ui.note("the agent's transcript is not there yet; it is taken over as soon as it is");
    }
    cx.ui.next_step(&format!("ox agent {} session stop", me.id));
    Ok(())
}

/// How an agent says itself what is to be kept.
pub fn log_command(agent: &str) -> String {
    format!("ox agent {agent} session log --role user --content \"…\"")
}

/// What an agent does whose session is recorded.
fn next_actions(recording: &Recording) -> Vec<String> {
    let agent = &recording.agent_id;
    let log = (recording.adapter_name == GENERIC).then(|| log_command(agent));
    log.into_iter().chain([format!("ox agent {agent} session stop")]).collect()
}

/// Begins to record the session of `me`, of whom nothing is being recorded, and tells the daemon.
///
/// # Errors
/// The disk refuses, or a session of the agent was recorded in this minute.
pub fn begin(cx: &Cx, project: &Project, me: &Me, title: &str) -> io::Result<Begun> {
    let places = places(cx, project);
    let now = cx.now();
    let user = user_name(&project.root);
    let name = Name::new(now, &TimeZone::system(), &user, &me.id);
    let instance = Instance::all(&project.root).remove(&me.id);
    let kind = if me.kind.is_empty() {
        instance.map(|one| one.agent_type).unwrap_or_default()
    } else {
        me.kind.clone()
    };
    let transcript = transcript(cx, project, &kind, &me.session, now)?;
    // What a database held before is told by its time.
    let start_offset = match &transcript {
        Some(at) if at.session.is_empty() => fs::metadata(&at.path)?.len(),
        _ => 0,
    };
    let (session_file, session) = match &transcript {
        Some(at) => (at.path.to_string_lossy().into_owned(), at.session.clone()),
        None => Default::default(),
    };
    let started = match (me.pid, probe(me.pid)) {
        (pid, Seen::Lives(Some(StartedAt(start)))) if pid > 0 => start,
        _ => 0,
    };
    let recording = Recording {
        adapter_name: kind,
        session_file,
        title: cx.redactor(Some(project)).redact(title).into_owned(),
        workspace_path: project.root.to_string_lossy().into_owned(),
        branch: branch(project),
        parent_agent_id: me.parent.clone(),
        parent_pid: me.pid,
        parent_start: started,
        start_offset,
        watch_mode: watch_mode::TAIL.to_owned(),
        native_session: if session.is_empty() { me.session.clone() } else { session },
        ..Recording::new(&me.id, now)
    };
    let dir = make_dir(cx, project, &places, &name)?;
    let recording = if can_read(&recording.adapter_name) {
        recording
    } else {
        // The agent writes down itself what is to be kept.
        Recording {
            agent_type: recording.adapter_name,
            adapter_name: GENERIC.to_owned(),
            session_file: input::path(&dir).to_string_lossy().into_owned(),
            watch_mode: String::new(),
            ..recording
        }
    };
    let recording = Recording { session_path: dir.to_string_lossy().into_owned(), ..recording };
    recording.create(&dir)?;
    // Whoever is not there finds it when they come.
    let told = SessionWatchStart {
        session_name: name.to_string(),
        session_file: recording.session_file.clone(),
        adapter_name: recording.adapter_name.clone(),
    };
    let _ = cx.client(project).one_way(Message::SessionWatchStart, Some(&told));
    Ok(Begun { name, dir, recording })
}

/// The directory of a new session: nothing on the way in the ledger's clone may be a link.
fn make_dir(cx: &Cx, project: &Project, places: &sessions::Places, name: &Name) -> io::Result<PathBuf> {
    let own = places.own().to_owned();
    let ledger = crate::sync::ledger_of(&cx.env, &cx.dirs, project, None).ok().map(|at| at.path);
    match ledger.as_ref().filter(|ledger| own.starts_with(ledger)) {
        Some(ledger) => drop(openat::enter(ledger, &[".sageox", "cache", "sessions"], true)?),
        None => file::make_dirs(&own, 0o700)?,
    }
    let dir = own.join(&**name);
    if dir.join(sessions::raw::FILE).exists() {
        let text = "a session of this agent was recorded in this minute; try again in the next one";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    file::make_dirs(&dir, 0o700)?;
    Ok(dir)
}

/// The transcript of the agent's session, if it can be told which.
pub fn transcript(
    cx: &Cx,
    project: &Project,
    kind: &str,
    session: &str,
    since: Timestamp,
) -> io::Result<Option<Located>> {
    let Some(home) = cx.env.home() else { return Ok(None) };
    // Where the session is not named, only one that is being written now may be it.
    let since = since.checked_sub(LATELY).unwrap_or(since);
    let cwd = cx.env.cwd().unwrap_or(&project.root).to_string_lossy().into_owned();
    let wanted = Wanted { session, cwd: &cwd, since };
    running(kind, home, |name| cx.env.get(name).map(str::to_owned), wanted)
}

fn branch(project: &Project) -> String {
    let head = Reader::open(&project.root).ok().and_then(|repo| repo.head().ok());
    head.and_then(|head| head.name().map(str::to_owned)).unwrap_or_default()
}
