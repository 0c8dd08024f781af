//! `ox session log`, `plan`, `subagent-complete` and `remind`: what agents add to the recording of their session.

use std::io::Read as _;

use jiff::Timestamp;
use serde_json::json;

use super::record::{Being, agent, being, count_of, own};
use crate::cli::commands::version::OURS;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::relative;
use crate::git::user_name;
use crate::kit::file;
use crate::project::Project;
use crate::sessions::input::GENERIC;
use crate::sessions::raw::{Entry, Kind, Writer};
use crate::sessions::{PLAN, Recording, header_of};

/// What is given on stdin is read no further, in bytes.
const STDIN_MAX: u64 = 8 << 20;

/// Who said it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// The agent's program.
    System,
    /// A tool was called.
    Tool,
}

/// Flags of `ox session log`.
#[derive(Debug, clap::Args)]
pub struct Log {
    /// Who said it
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// What was said
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["stdin", "tool_name"])]
    content: Option<String>,
    /// Read what was said from stdin
    #[arg(long, conflicts_with = "content")]
    stdin: bool,
    /// The tool that was called
    #[arg(long, value_name = "NAME")]
    tool_name: Option<String>,
    /// What the tool was given
    #[arg(long, value_name = "TEXT", requires = "tool_name")]
    tool_input: Option<String>,
}

pub fn log(cx: &Cx, args: &Log) -> Outcome {
    let project = cx.project()?;
    let being = own(cx, &project)?;
    let recording = &being.recording;
    if recording.adapter_name != GENERIC {
        return Err(Failure::new(Exit::Usage, "the session is recorded from the agent's own transcript")
            .on(recording.kind()));
    }
    let content = match args.stdin {
        true => stdin()?,
        false => args.content.clone().unwrap_or_default(),
    };
    let kind = match args.role {
        Role::User => Kind::User,
        Role::Assistant => Kind::Assistant,
        Role::System => Kind::System,
        Role::Tool => Kind::Tool,
    };
    let entry = Entry {
        kind,
        content,
        timestamp: Some(cx.now()),
        tool_name: args.tool_name.clone().unwrap_or_default(),
        tool_input: args.tool_input.clone().unwrap_or_default(),
        ..Entry::default()
    };
    let seq = add(cx, &project, &being, &entry)?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "seq": seq }));
    }
    cx.ui.done(&format!("entry {seq} of {}", being.found.name))
}

/// Adds an entry to a recording and returns its number.
fn add(cx: &Cx, project: &Project, being: &Being, entry: &Entry) -> Outcome<i64> {
    let user = user_name(&project.root);
    let header = header_of(&being.recording, &Default::default(), &project.repo_id, &user, OURS);
    let redactor = cx.redactor(Some(project));
    let write = || {
        let mut writer = Writer::open(&being.found.dir, &header, &redactor)?;
        writer.append(entry)?;
        let written = writer.commit()?;
        Recording::update(&being.found.dir, |recording| recording.entry_count = written.next_seq)?;
        Ok(written.next_seq - 1)
    };
    write().map_err(|e: std::io::Error| {
        Failure::new(Exit::Failed, "nothing can be added to the session").on(&*being.found.name).because(&e)
    })
}

/// Flags of `ox session subagent-complete`.
#[derive(Debug, clap::Args)]
pub struct SubagentComplete {
    /// The agent that gave the task [default: the one in which this agent was introduced]
    #[arg(long, value_name = "AGENT")]
    parent: Option<String>,
    /// What came of it
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
}

pub fn subagent_complete(cx: &Cx, args: &SubagentComplete) -> Outcome {
    let project = cx.project()?;
    let me = agent(cx)?;
    let parent = args.parent.clone().unwrap_or_else(|| me.parent.clone());
    if parent.is_empty() {
        let failure = Failure::new(Exit::Usage, "nobody is known who gave this agent its task").on(&me.id);
        return Err(failure.hint(format!("ox agent {} session subagent-complete --parent AGENT", me.id)));
    }
    let theirs = being(cx, &project).into_iter().find(|being| being.recording.agent_id == parent);
    let theirs = theirs.ok_or_else(|| {
        let failure = Failure::new(Exit::Failed, "no session of this agent is being recorded").on(&parent);
        failure.hint("ox session status")
    })?;
    let summary = args.summary.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let content = match summary {
        Some(summary) => format!("Sub-agent {} has finished: {summary}", me.id),
        None => format!("Sub-agent {} has finished", me.id),
    };
    let entry = Entry { kind: Kind::System, content, timestamp: Some(cx.now()), ..Entry::default() };
    let seq = add(cx, &project, &theirs, &entry)?;
    if cx.ui.json() {
        let document = json!({ "success": true, "agent_id": me.id, "parent_agent_id": parent, "seq": seq });
        return cx.ui.document(&document);
    }
    cx.ui.done(&format!("entry {seq} of {}", theirs.found.name))
}

/// Flags of `ox session plan`.
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// The plan; from stdin without it
    #[arg(value_name = "TEXT")]
    text: Option<String>,
}

pub fn plan(cx: &Cx, args: &Plan) -> Outcome {
    let project = cx.project()?;
    let being = own(cx, &project)?;
    let text = match &args.text {
        Some(text) => text.clone(),
        None => stdin()?,
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::new(Exit::Usage, "the plan is empty").hint("ox session plan \"…\""));
    }
    let path = being.found.dir.join(PLAN);
    let text = cx.redactor(Some(&project)).redact(text).into_owned() + "\n";
    file::write_durable(&path, text.as_bytes(), 0o600)
        .map_err(|e| Failure::new(Exit::Failed, "the plan cannot be kept").on_path(&path).because(&e))?;
    if cx.ui.json() {
        return cx
            .ui
            .document(&json!({ "success": true, "session_name": &*being.found.name, "plan_path": path }));
    }
    cx.ui.done(&format!("kept the plan of {}", being.found.name))
}

fn stdin() -> Outcome<String> {
    let failed = |why: String| Failure::new(Exit::Usage, "stdin cannot be read").because_of(why);
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(STDIN_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|e| failed(e.to_string()))?;
    if text.len() as u64 > STDIN_MAX {
        return Err(failed(format!("it has more than {} MiB", STDIN_MAX >> 20)));
    }
    Ok(text)
}

pub fn remind(cx: &Cx) -> Outcome {
    let project = cx.project()?;
    let being = own(cx, &project)?;
    let recording = &being.recording;
    let since = recording.entry_count - recording.last_reminder_seq;
    let is_due = since >= recording.reminder_interval.max(1);
    if is_due {
        let noted = Recording::update(&being.found.dir, |r| r.last_reminder_seq = r.entry_count);
        noted.map_err(|e| {
            Failure::new(Exit::Failed, "the recording cannot be changed").on(&*being.found.name).because(&e)
        })?;
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "agent_id": recording.agent_id, "session_name": &*being.found.name, "due": is_due,
            "entry_count": recording.entry_count, "started_at": recording.started_at,
        }));
    }
    if !is_due {
        return Ok(());
    }
    let began = recording.started_at.0.unwrap_or(Timestamp::UNIX_EPOCH);
    let entries = count_of(u64::try_from(recording.entry_count).unwrap_or(0));
    cx.ui.print(&format!(
        "This session is recorded since {}: {entries} so far. End it: ox agent {} session stop",
        relative(began, cx.now()),
        recording.agent_id
    ))
}
