//! `ox agent prime`: who the agent is, where it is, and how fresh what it reads there is.

mod page;
mod reading;
mod recording;

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::whisper;
use crate::cli::clones::{self, CloneFacts};
use crate::cli::commands::session;
use crate::cli::context::Cx;
use crate::cli::errors::{of_project, of_reach};
use crate::cli::failure::Outcome;
use crate::cli::me::Me;
use crate::cli::{heartbeat, notices};
use crate::daemon::reach::{self, ReachError};
use crate::git::user_name;
use crate::harness;
use crate::ipc::client::Client;
use crate::ipc::wire::{DaemonIssue, StatusData};
use crate::kit::gotime::GoTime;
use crate::kit::process;
use crate::project::settings::Settings;
use crate::project::{AgentSession, Instance, Introduction, Project, user_slug};
use crate::whispers::limits::{FRAME_HEAD, FRAME_MAX, PROMPT_MAX};
use reading::{PastSession, TeamText};
use recording::Recorded;

/// A file in which a shell's variables are kept is not read beyond this, in bytes.
const ENV_FILE_MAX: u64 = 1 << 20;
/// Names the file with the variables of Claude Code's shells.
const ENV_FILE: &str = "CLAUDE_ENV_FILE";

/// What is told altogether, in bytes (decisions, section 5; lesson wat-09). Whispers come behind it where there is room for them, else they
/// wait for the next command.
const PAGE_MAX: usize = FRAME_MAX;
/// A page up to this long leaves room for whispers behind it.
const WITH_WHISPERS: usize = PAGE_MAX - FRAME_HEAD - PROMPT_MAX;
/// In the place of a hook's entry there is no time for a daemon that takes longer to answer.
const AT_ONCE: Duration = Duration::from_millis(40);
/// The command that begins a recording.
const START: &str = "session start";

/// Commands for an agent, behind the prefix with its id, and what each is for.
const COMMANDS: &[(&str, &str)] = &[
    ("murmur --topic wip --files a.rs,b.rs \"…\"", "tell the team in a sentence what you work on"),
    ("whisper", "notes from others that are waiting for you"),
    ("list", "other agents at work on this machine"),
    ("murmur list", "what others told in the last hours"),
    (START, "record this session; it stays on this machine"),
    ("session list --all", "what was done before, by you and by others"),
    ("session search \"words\"", "the same by what was said and done"),
    ("why FILE:LINE", "which session and prompt a line came from"),
    ("session upload", "share the session that you recorded; ask your user first"),
    ("status", "the state of the project"),
    ("sync", "bring the ledger up to date now"),
    ("sync --all-teams", "bring the team contexts up to date now"),
    ("doctor", "find problems; show its output to your user"),
];

/// Flags of `ox agent prime`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Type of the agent, such as claude-code, codex or gemini
    #[arg(long, value_name = "TYPE")]
    agent: Option<String>,
    /// Model of the agent
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Version of the agent's program
    #[arg(long, value_name = "VERSION")]
    agent_ver: Option<String>,
    /// Print nothing if this session was introduced before
    #[arg(long)]
    idempotent: bool,
    /// Print everything, even to a session that was introduced before
    #[arg(long, conflicts_with = "idempotent")]
    full: bool,
    /// It stands in the place of a hook's entry: it has that one's time, starts no daemon, and fails without a word
    #[arg(long, hide = true, requires_all = ["session_id", "agent"])]
    hook: bool,
    /// The session, as the agent's program names it
    #[arg(long, value_name = "ID", hide = true)]
    session_id: Option<String>,
}

/// The document of `ox agent prime --json`.
#[derive(Debug, Serialize)]
struct Document {
    /// `new`, or `known` for a session that introduces itself again.
    status: &'static str,
    agent_id: String,
    session_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agent_session_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agent_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_agent_id: String,
    project: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<CloneFacts>,
    team_contexts: Vec<CloneFacts>,
    daemon: Daemon,
    issues: Vec<DaemonIssue>,
    /// Whether it is to murmur by itself.
    murmurs: bool,
    commands: Vec<Command>,
    /// Whether the session is recorded.
    session: Recorded,
    /// What teams wrote for agents.
    team_texts: Vec<TeamText>,
    /// What was done before, newest first.
    past_sessions: Vec<PastSession>,
    /// When this session was introduced, if it is told only what is new since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Place {
    root: String,
    repo_id: String,
    endpoint: String,
}

#[derive(Debug, Serialize)]
struct Daemon {
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Command {
    command: String,
    purpose: &'static str,
}

/// The commands, ready to be run by the agent.
fn commands(id: &str) -> Vec<Command> {
    let one = |(words, purpose): &(&str, &'static str)| Command {
        command: format!("ox agent {id} {words}"),
        purpose,
    };
    COMMANDS.iter().map(one).collect()
}

/// Introduces the agent, starting the daemon if need be, and tells it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    if args.hook {
        let _ = process::keep_end();
    }
    let project = cx.project()?;
    let me = match &args.session_id {
        None => Me::of(cx),
        Some(session) => {
            let me = Me::in_session(cx, session);
            // Another program has run the entry of this one: what it says is not for it.
            if args.agent.as_ref().is_some_and(|kind| !me.kind.is_empty() && me.kind != *kind) {
                return Ok(());
            }
            me
        }
    };
    let before = AgentSession::load(&cx.env, &me.session);
    let one = introduce(cx, &project, args, &me, before.as_ref())?;
    let me = Me {
        id: one.agent_id.clone(),
        kind: one.agent_type.clone(),
        parent: one.parent_agent_id.clone(),
        ..me
    };
    // Who is told nothing now is told next time what is new since the last telling; so is who may be cut off before it is told.
    let told_at = match &before {
        Some(session) if args.idempotent || args.hook => session.primed_at,
        None if args.hook => GoTime::default(),
        _ => cx.now().into(),
    };
    remember(cx, &me, &one, before.as_ref(), told_at);
    // An agent can work without a daemon: what is on disk is there. It is told so.
    let reached = match args.hook {
        true => there(cx, &project),
        false => reach::ensure(&cx.dirs, &cx.env, &project),
    };
    // The second heartbeat, with what this has cost, says whether the daemon was reached.
    let _ = heartbeat::of_agent(cx, &project, &me, "prime");
    let session = recording::of(cx, &project, &me);
    if args.idempotent && before.is_some() {
        return Ok(());
    }
    let live = reached.as_ref().ok().and_then(|client| client.status_patiently().ok());
    let error = reached.err().map(|e| of_reach(&e).headline());
    let since = before.as_ref().filter(|_| !args.full).and_then(|session| session.primed_at.0);
    let document = Document {
        since,
        session,
        ..document(cx, &project, &me, &one, before.is_some(), live.as_ref(), error)
    };
    if cx.ui.json() {
        cx.ui.document(&document)?;
    } else {
        let page = page::text(&document, cx.now(), &cx.home());
        cx.ui.print(&page)?;
        if args.hook {
            remember(cx, &me, &one, before.as_ref(), cx.now().into());
        }
        if page.len() <= WITH_WHISPERS {
            whisper::beside(cx, &project, &me)?;
        }
    }
    heartbeat::cost(cx, &project, &me, "prime");
    notices::tell(cx, &document.issues);
    Ok(())
}

/// The daemon, if it answers at once.
fn there(cx: &Cx, project: &Project) -> Result<Client, ReachError> {
    let client = cx.client(project);
    match client.ping(AT_ONCE) {
        Ok(()) => Ok(client),
        Err(_) => Err(ReachError::NotRunning),
    }
}

fn introduce(
    cx: &Cx,
    project: &Project,
    args: &Args,
    me: &Me,
    before: Option<&AgentSession>,
) -> Outcome<Instance> {
    let known = cx.agent.clone().or_else(|| before.map(|p| p.agent_id.clone()));
    // Without a session to go by, the id in the environment is the agent's own; with one it is that of who started it.
    let id = known.unwrap_or_else(|| if me.session.is_empty() { me.id.clone() } else { String::new() });
    let parent = [&me.parent, &me.id].into_iter().find(|p| !p.is_empty() && **p != id);
    let told = Introduction {
        agent_type: args
            .agent
            .as_deref()
            .map_or_else(|| me.kind.clone(), |kind| harness::kind(kind).to_owned()),
        agent_ver: args.agent_ver.clone().unwrap_or_default(),
        model: args.model.clone().unwrap_or_default(),
        parent_pid: me.pid,
        parent_agent_id: parent.cloned().unwrap_or_default(),
        agent_id: id,
    };
    let name = user_name(&project.root);
    Instance::introduce(&project.root, &cx.dirs, &user_slug(&name), cx.now(), told)
        .map_err(|e| of_project(&e))
}

/// Writes the id where the next commands of the same session find it. Without that the session gets another id next time.
fn remember(cx: &Cx, me: &Me, one: &Instance, before: Option<&AgentSession>, told_at: GoTime) {
    if !me.session.is_empty() {
        let primed = AgentSession {
            agent_id: one.agent_id.clone(),
            session_id: one.oxsid.clone(),
            agent_session_id: me.session.clone(),
            primed_at: told_at,
            ..before.cloned().unwrap_or_default()
        };
        if let Err(e) = primed.save(&cx.env) {
            cx.ui.warn(&format!("this session will not be known again: {e}"));
        }
    }
    if let Some(file) = cx.env.dir(ENV_FILE)
        && let Err(e) = export(file, &one.agent_id)
    {
        cx.ui.warn(&format!("{}: {e}", file.display()));
    }
}

/// Adds the variable with the agent's id to a shell's file, unless it says so already.
fn export(file: &Path, id: &str) -> io::Result<()> {
    let line = format!("export SAGEOX_AGENT_ID={id}");
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    let mut text = String::new();
    (&mut file).take(ENV_FILE_MAX).read_to_string(&mut text)?;
    let said = text.lines().rev().find(|l| l.starts_with("export SAGEOX_AGENT_ID="));
    if said == Some(line.as_str()) {
        return Ok(());
    }
    let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{start}{line}\n").as_bytes())
}

fn document(
    cx: &Cx,
    project: &Project,
    me: &Me,
    one: &Instance,
    known: bool,
    live: Option<&StatusData>,
    error: Option<String>,
) -> Document {
    let found = clones::of_project(cx, project, live);
    let redactor = cx.redactor(Some(project));
    let there = found.teams.iter().filter(|team| team.exists);
    let team_texts = there.flat_map(|team| reading::of_team(team, &redactor)).collect();
    Document {
        session: Recorded::default(),
        team_texts,
        past_sessions: reading::past(&session::places(cx, project), &redactor),
        status: if known { "known" } else { "new" },
        agent_id: one.agent_id.clone(),
        session_id: one.oxsid.clone(),
        agent_session_id: me.session.clone(),
        agent_type: one.agent_type.clone(),
        parent_agent_id: one.parent_agent_id.clone(),
        project: Place {
            root: project.root.to_string_lossy().into_owned(),
            repo_id: project.repo_id.clone(),
            endpoint: project.endpoint.slug(),
        },
        ledger: found.ledger,
        team_contexts: found.teams,
        daemon: Daemon { running: live.is_some(), error },
        issues: live.map(|l| l.issues.clone()).unwrap_or_default(),
        murmurs: Settings::load(&cx.env, &cx.dirs, Some(project)).0.murmurs_by_itself(),
        commands: commands(&one.agent_id),
        since: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::is_agent_id;

    #[test]
    fn the_shells_file_says_the_id_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env");
        std::fs::write(&file, "export A=1").unwrap();
        for id in ["OxAb12", "OxAb12", "OxCd34"] {
            assert!(is_agent_id(id));
            export(&file, id).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "export A=1\nexport SAGEOX_AGENT_ID=OxAb12\nexport SAGEOX_AGENT_ID=OxCd34\n");
    }
}
