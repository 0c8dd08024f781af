//! `ox hook <word> <event>`: what an agent's program runs at its events. It takes the event in and leaves: always 0, within
//! [`DEADLINE`], and without a word but where the program hands one to the model.
//!
//! It reads no configuration but the flag file, opens no database and no queue, and waits for nobody but who writes to its stdin.

mod caller;
mod edits;
mod scan;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::Sha256;

use self::scan::Scan;
use super::event;
use super::flag::{self, Flag, Payload, Scope};
use super::identity;
use super::record::{FOREIGN, NAME_MAX, Record, VERSION};
use super::spool;
use crate::harness::Program;
use crate::harness::hooks::Says;
use crate::harness::tool;
use crate::kit::clock::{Clock, Mono, SystemClock};
use crate::kit::hex::hex;
use crate::kit::{file, id, process, thread};
pub use crate::project::settings::DEPTH_VAR as DEPTH;
use crate::project::{Dirs, Env};

/// Whatever happens, it ends after this (decisions, section 6).
pub const DEADLINE: Duration = Duration::from_millis(200);
/// What has not come until then is not waited for: the rest of the time is for writing down what has.
const READ_MAX: Duration = Duration::from_millis(150);
/// What comes behind is read and not looked at, in bytes.
const PAYLOAD_MAX: u64 = 64 << 20;
/// The most of a payload that is kept where all of it is asked for, in bytes.
const FULL_MAX: usize = 64 << 10;
/// Directories above the working one in which a project is looked for.
const LEVELS_MAX: usize = 32;
/// Longest configuration of a project that is looked at, in bytes.
const CONFIG_MAX: usize = 256 << 10;

/// What an entry does: nothing with [`OFF`], no more than take the event in with [`STORE`].
pub const MODE: &str = "OX_HOOKS";
/// Every entry is switched off.
pub const OFF: &str = "0";
/// For sessions that are no person's, such as those of `ox hooks test`: nobody is introduced, told anything or served for them.
pub const STORE: &str = "store";

/// What the small program does: takes an event in, and leaves all else to `ox` beside it.
pub fn main(then: impl FnOnce(&Taken)) -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    if args.get(1).is_none_or(|word| word == "hook") {
        run(args.get(2..).unwrap_or_default(), then);
        return ExitCode::SUCCESS;
    }
    let error = become_ox(&args[1..], |_| ());
    // The one thing that is said here: whoever typed it waits for an answer.
    let _ = writeln!(io::stderr(), "error: ox cannot be started: {error}");
    ExitCode::FAILURE
}

/// What agents are to run: the small program beside this one, or this one itself where there is none. None where that cannot be told.
pub fn program() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let small = own.with_file_name("ox-hook");
    Some(if small.is_file() { small } else { own })
}

/// Runs the `ox` beside this program in its place; `change` has a say in how. Returns only where that cannot be done.
#[allow(clippy::disallowed_methods)] // no child: this process
pub fn become_ox(args: &[OsString], change: impl FnOnce(&mut std::process::Command)) -> io::Error {
    let ox = match env::current_exe() {
        Ok(own) => own.with_file_name("ox"),
        Err(e) => return e,
    };
    let mut command = std::process::Command::new(ox);
    change(command.args(args));
    std::os::unix::process::CommandExt::exec(&mut command)
}

/// An event that was taken in.
#[derive(Debug)]
pub struct Taken {
    /// The program whose entry ran; it is not known to be somebody else's.
    pub program: &'static Program,
    /// What ours call the event.
    pub event: String,
    /// What may be said to the agent now.
    pub says: Says,
    /// The session.
    pub session_id: String,
    /// It is a sub-agent's, which speaks through the session of another.
    pub is_sub_agent: bool,
    /// Where the agent works.
    pub cwd: PathBuf,
    /// Files that are about to be changed, as the agent names them.
    pub edits: Vec<String>,
    /// Why a session begins; else empty.
    pub source: String,
    /// Where everything of ours lies.
    pub dirs: Dirs,
    /// How much time is left for anything else.
    pub left: Duration,
}

/// Takes an event in, `args` being the words behind `ox hook`, and does `then` where it is one of a project. Never fails, and ends the
/// process at [`DEADLINE`].
pub fn run(args: &[OsString], then: impl FnOnce(&Taken)) {
    let began = SystemClock.now().mono;
    // Also in the middle of a write that hangs.
    let _ = process::end_after(DEADLINE);
    let _ = thread::contain(|| {
        if let Some(taken) = take(args, began).filter(|_| !mode_is(STORE)) {
            then(&taken);
        }
    });
}

fn mode_is(mode: &str) -> bool {
    env::var_os(MODE).is_some_and(|value| value == mode)
}

fn take(args: &[OsString], began: Mono) -> Option<Taken> {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let program = words.first().and_then(|word| event::program(word));
    let is_off = mode_is(OFF) || env::var_os(DEPTH).is_some();
    let dirs = Dirs::from_env(&Env::process()).ok();
    let flag = match (program, &dirs) {
        (Some(_), Some(dirs)) if !is_off => flag::read(dirs.data(), words[0]),
        _ => None,
    };
    let (Some(program), Some(dirs), Some(flag)) = (program, dirs, flag) else {
        // Whoever writes to it must not find it closed.
        drain(began);
        return None;
    };
    let name = words.get(1).copied().unwrap_or_default();
    let keep = if flag.payload == Payload::Full { FULL_MAX } else { 0 };
    let called = event::canonical(program, name);
    // A prompt may turn out to be a notification.
    let digests = identity::is_known_by_payload(&called) || called == "UserPromptSubmit";
    let payload = read(began, keep, Scan::of_payload(digests));
    let (mut record, cwd) = record_of(program, name, &flag, &payload)?;
    record.handler_us = micros(SystemClock.now().mono.since(began));
    // Nobody can be told: what could not be kept is the agent's no more than it is ours.
    let _ = spool::put(dirs.data(), &record);
    if record.agent == FOREIGN || record.repo_id.is_empty() {
        return None;
    }
    let mut events = program.hooks.into_iter().flat_map(|hooks| hooks.events);
    let says = events.find(|one| one.canonical == record.event).map_or(Says::Nothing, |one| one.says);
    let is_edit = says == Says::Context && record.event == "PreToolUse";
    let edits = match payload.scan.get("tool_name", NAME_MAX) {
        Some(tool) if is_edit => edits::edited(tool::called(&tool), payload.scan.beginning("tool_input")),
        _ => Vec::new(),
    };
    let left = DEADLINE.saturating_sub(SystemClock.now().mono.since(began));
    let is_sub_agent = !record.agent_id.is_empty();
    let (event, session_id, source) = (record.event, record.session_id, record.detail);
    Some(Taken { program, event, says, session_id, is_sub_agent, cwd, edits, source, dirs, left })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What came on stdin.
#[derive(Debug, Default)]
struct Received {
    scan: Scan,
    /// Its beginning, where all of it is to be kept.
    text: Vec<u8>,
    bytes: u64,
    truncated: bool,
}

/// Reads stdin to its end, or until there is no more time. A terminal says nothing.
fn read(began: Mono, keep: usize, scan: Scan) -> Received {
    let mut got = Received { scan, ..Received::default() };
    let all = receive(began, |bytes| {
        got.bytes += bytes.len() as u64;
        if got.bytes <= PAYLOAD_MAX {
            got.scan.read(bytes);
        } else {
            got.truncated = true;
        }
        let room = (keep + 1).saturating_sub(got.text.len()).min(bytes.len());
        got.text.extend_from_slice(&bytes[..room]);
    });
    got.truncated |= !all;
    got
}

fn drain(began: Mono) {
    receive(began, |_| ());
}

/// Hands over what comes on stdin. Returns whether it came to its end in time.
fn receive(began: Mono, mut take: impl FnMut(&[u8])) -> bool {
    let stdin = io::stdin();
    if io::IsTerminal::is_terminal(&stdin) {
        return true;
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = READ_MAX.saturating_sub(SystemClock.now().mono.since(began));
        let wait = Timespec { tv_sec: 0, tv_nsec: left.as_nanos().try_into().unwrap_or(0) };
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            // A closed one.
            Err(_) => return true,
        }
        match rustix::io::read(stdin.as_fd(), &mut buffer) {
            Ok(0) => return true,
            Ok(n) => take(&buffer[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// What is kept of an event; none where events are not taken in from there.
fn record_of(program: &Program, name: &str, flag: &Flag, got: &Received) -> Option<(Record, PathBuf)> {
    let scan = &got.scan;
    let text = |member: &str| scan.get(member, NAME_MAX).unwrap_or_default().into_owned();
    let cwd = scan.get("cwd", 4096).map(|dir| PathBuf::from(&*dir)).or_else(|| env::current_dir().ok());
    let repo_id = cwd.as_deref().and_then(project_of);
    if repo_id.is_none() && flag.scope == Scope::Initialized {
        return None;
    }
    let word = program.hooks.map_or("", |hooks| hooks.word);
    let is_ours = caller::may_be(word, scan, |name| env::var_os(name).is_some());
    let raw_event = text("hook_event_name");
    let raw_event = if raw_event.is_empty() { name.chars().take(NAME_MAX).collect() } else { raw_event };
    let (pid, start) = caller::process();
    let mut record = Record {
        v: VERSION,
        spool_id: id::new_id().to_string(),
        at_ms: SystemClock.now().wall.as_millisecond(),
        agent: if is_ours { program.kind } else { FOREIGN }.to_owned(),
        event: event::canonical(program, name).into_owned(),
        raw_event,
        session_id: text("session_id"),
        repo_id: repo_id.unwrap_or_default(),
        caller_pid: pid,
        caller_start: start,
        truncated: got.truncated,
        parse_error: got.bytes > 0 && !scan.is_whole() && !got.truncated,
        ..Record::default()
    };
    let cwd = cwd.unwrap_or_default();
    // By these a transcript is known to tell of the same event; they say nothing of what it was about.
    (record.turn_id, record.tool_use_id, record.agent_id) =
        (text("turn_id"), text("tool_use_id"), text("agent_id"));
    let raw_tool = text("tool_name");
    let tool = tool::called(&raw_tool).to_owned();
    record.prompt_sha256 = said(scan, "prompt");
    record.message_sha256 = said(scan, "last_assistant_message");
    if record.message_sha256.is_empty() {
        record.message_sha256 = said(scan, "prompt_response");
    }
    record.input_sha256 = input(scan, &tool);
    record.payload_sha256 = scan.digest();
    let details = ["source", "reason", "trigger", "notification_type"];
    record.detail = details.map(text).into_iter().find(|t| !t.is_empty()).unwrap_or_default();
    if is_task_end(&record.event, scan) {
        (record.event, record.detail) = ("Notification".to_owned(), TASK_END.to_owned());
    }
    if flag.payload == Payload::None {
        return Some((record, cwd));
    }
    record.agent_at_ms =
        text("timestamp").parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    (record.agent_type, record.model, record.permission_mode) =
        (text("agent_type"), text("model"), text("permission_mode"));
    if tool != raw_tool {
        record.tool_name_raw = raw_tool;
    }
    record.tool_name = tool;
    if cwd != Path::new("") {
        record.cwd_hash = keyed(&flag.key, cwd.as_os_str());
    }
    record.input_bytes = scan.length("tool_input");
    record.output_bytes = scan.length("tool_response").max(scan.length("tool_result"));
    record.is_error = record.event == "PostToolUseFailure" || scan.has("error");
    record.stop_hook_active = text("stop_hook_active") == "true";
    if flag.payload == Payload::Full && got.text.len() <= FULL_MAX {
        record.payload = String::from_utf8(got.text.clone()).ok();
    }
    Some((record, cwd))
}

/// What the end of a background task is called, which Claude Code tells as a prompt (relay and hooks, B.2).
const TASK_END: &str = "task-notification";

fn is_task_end(event: &str, scan: &Scan) -> bool {
    let prompt = || scan.get("prompt", usize::MAX);
    event == "UserPromptSubmit" && prompt().is_some_and(|prompt| prompt.starts_with("<task-notification>"))
}

/// The digest of what somebody said.
fn said(scan: &Scan, member: &str) -> String {
    scan.get(member, usize::MAX).map(|text| identity::text_sha256(&text)).unwrap_or_default()
}

/// The digest of what a tool is given.
fn input(scan: &Scan, tool: &str) -> String {
    let raw = scan.raw("tool_input").and_then(|raw| std::str::from_utf8(raw).ok());
    raw.map(|raw| identity::input_sha256(tool, raw)).unwrap_or_default()
}

fn keyed(key: &[u8], text: &OsStr) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(text.as_encoded_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The id of the project that `dir` lies in; empty where the project's configuration cannot be read. None where there is no project.
fn project_of(dir: &Path) -> Option<String> {
    let id = |path: PathBuf| -> Option<String> {
        match file::read_capped(&path, CONFIG_MAX) {
            Ok(text) => {
                #[derive(serde::Deserialize)]
                struct Config {
                    #[serde(default)]
                    repo_id: String,
                }
                let config: Option<Config> = serde_json::from_slice(&text).ok();
                Some(
                    config.map(|config| config.repo_id).filter(|id| id.len() <= NAME_MAX).unwrap_or_default(),
                )
            }
            Err(e) => (e.kind() != io::ErrorKind::NotFound && e.kind() != io::ErrorKind::NotADirectory)
                .then(String::new),
        }
    };
    // The second is where it stands for branches without the first.
    let places = [".sageox/config.json", ".git/ox/project.json"];
    dir.ancestors().take(LEVELS_MAX).find_map(|dir| places.iter().find_map(|place| id(dir.join(place))))
}
