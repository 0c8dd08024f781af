//! What the facts of one transcript are as events: the same ones that hooks tell of, and no others.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::happening::{Happening, Source};
use super::super::identity;
use crate::harness::transcript::opencode::Opencode;
use crate::harness::transcript::{Fact, Reader, Thread, Turn, What};
use crate::harness::{PROGRAMS, Program, tool};
use crate::tail::Cursor;

/// So many calls are remembered until they end.
const CALLS_MAX: usize = 256;

/// A call that has not ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Call {
    id: String,
    tool: String,
    input_sha256: String,
    input_bytes: u64,
}

/// An event with where it comes from.
#[derive(Debug)]
pub(super) struct Told {
    pub happening: Happening,
    /// What its fact is known by in its thread; empty where something was only seen.
    pub id: String,
    /// The directory of its thread.
    pub cwd: String,
    /// The thread that its own goes on from, when that becomes known.
    pub forked_from: Option<String>,
}

/// A transcript that is followed, as it is kept between two times.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Followed {
    #[serde(skip)]
    kind: String,
    pub cursor: Cursor,
    pub reader: Option<Reader>,
    rows: Option<Opencode>,
    thread: Thread,
    turn: String,
    permission_mode: String,
    calls: VecDeque<Call>,
    last_ms: i64,
    /// Its beginning was told.
    is_begun: bool,
    /// It has told something that no thread told which it goes on from: from there on all is its own.
    goes_on: bool,
    #[serde(skip)]
    told: Vec<Told>,
}

impl Followed {
    /// As it was kept; anew where nothing was, or what was kept is another version's.
    pub(super) fn load(kind: &str, state: &str) -> Followed {
        let followed: Followed = serde_json::from_str(state).unwrap_or_default();
        Followed { kind: kind.to_owned(), ..followed }
    }

    pub(super) fn saved(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Nothing is known of the file in its place.
    pub(super) fn begin_anew(&mut self) {
        let (kind, told) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.told));
        *self = Followed { kind, told, ..Followed::default() };
    }

    /// The reader of a session that is rows.
    pub(super) fn rows(&mut self, session: &str) -> Opencode {
        self.rows.take().unwrap_or_else(|| Opencode::new(session))
    }

    pub(super) fn keep_rows(&mut self, rows: Opencode) {
        self.rows = Some(rows);
    }

    /// How many events wait to be taken in.
    pub(super) fn told(&self) -> usize {
        self.told.len()
    }

    pub(super) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// The thread that this one goes on from.
    pub(super) fn forked_from(&self) -> &str {
        &self.thread.forked_from
    }

    /// Whether it may still tell what another thread told.
    pub(super) fn may_repeat(&self) -> bool {
        !self.goes_on && self.kind == "codex" && !self.thread.forked_from.is_empty()
    }

    pub(super) fn goes_on(&mut self) {
        self.goes_on = true;
    }

    /// What a fact would be known by in another thread.
    pub(super) fn fact_in(&self, thread: &str, event: &str, id: &str) -> i64 {
        fact(&self.kind, thread, event, id)
    }

    /// Its file was written to.
    pub(super) fn seen(&mut self, modified: Timestamp) {
        let at_ms = modified.as_millisecond();
        if !self.thread.id.is_empty() {
            let happening = Happening { at_ms, ..self.happening("") };
            self.push(happening, "", None);
        }
    }

    /// Takes in a fact; one without a time is as old as what stands before it.
    pub(super) fn fact(&mut self, told: Fact, otherwise: Timestamp) {
        let Fact { id, time, what } = told;
        if let Some(time) = time {
            self.last_ms = time.as_millisecond();
        } else if self.last_ms == 0 {
            self.last_ms = otherwise.as_millisecond();
        }
        let is_main = self.thread.parent.is_empty();
        match what {
            What::Thread(thread) => {
                let is_forked = thread.forked_from != self.thread.forked_from;
                self.thread = thread;
                if is_forked {
                    let from = self.thread.forked_from.clone();
                    self.push(self.happening(""), "", Some(from));
                }
                let is_new = !std::mem::replace(&mut self.is_begun, true);
                if is_new && matches!(&*self.kind, "codex" | "opencode") && self.thread.parent.is_empty() {
                    let is_fork = !self.thread.forked_from.is_empty();
                    let detail = match &*self.kind {
                        // Its hook does not say what began the session.
                        "opencode" => "",
                        _ if is_fork => "fork",
                        _ => "startup",
                    };
                    self.event("SessionStart", "start", |h| detail.clone_into(&mut h.detail));
                }
            }
            What::Turn(Turn::Began { id, permission_mode }) => {
                self.turn = id;
                if !permission_mode.is_empty() {
                    self.permission_mode = permission_mode;
                }
            }
            What::Turn(Turn::Asked { text }) => {
                let hash = identity::text_sha256(&text);
                self.event("UserPromptSubmit", &id, |h| h.prompt_sha256 = hash);
            }
            What::Turn(Turn::Ended { text }) => {
                let hash = identity::text_sha256(&text);
                let event = if is_main { "Stop" } else { "SubagentStop" };
                if is_main || self.kind != "gemini" {
                    self.event(event, &id, |h| h.message_sha256 = hash);
                }
            }
            What::Called { call, tool, input } => {
                let ours = tool::called(&tool);
                let call = Call {
                    input_sha256: identity::input_sha256(ours, &input),
                    input_bytes: input.len() as u64,
                    id: call,
                    tool,
                };
                self.of_call("PreToolUse", &id, &call, |_| {});
                self.calls.push_back(call);
                if self.calls.len() > CALLS_MAX {
                    self.calls.pop_front();
                }
            }
            What::Returned { call, output, failed } => {
                let at = self.calls.iter().rposition(|known| known.id == call);
                let known = at.and_then(|at| self.calls.remove(at));
                let known = known.unwrap_or_else(|| Call { id: call, ..Call::default() });
                let is_failure = failed && self.kind == "claude-code";
                let event = if is_failure { "PostToolUseFailure" } else { "PostToolUse" };
                self.of_call(event, &id, &known, |h| {
                    (h.output_bytes, h.is_error) = (output.len() as u64, failed);
                });
            }
            What::Compacted if self.kind == "codex" => self.event("PreCompact", &id, |_| {}),
            What::Compacted | What::Said { .. } | What::Spent(_) => {}
        }
    }

    fn of_call(&mut self, event: &str, id: &str, call: &Call, change: impl FnOnce(&mut Happening)) {
        // Hooks of Gemini CLI name no call.
        let has_id = self.kind != "gemini";
        self.event(event, id, |h| {
            if has_id {
                call.id.clone_into(&mut h.tool_use_id);
            }
            tool::called(&call.tool).clone_into(&mut h.tool_name);
            call.tool.clone_into(&mut h.tool_name_raw);
            call.input_sha256.clone_into(&mut h.input_sha256);
            h.input_bytes = call.input_bytes;
            change(h);
        });
    }

    fn event(&mut self, event: &str, id: &str, change: impl FnOnce(&mut Happening)) {
        // Claude Code's ids are those of no other record, and a fork keeps them.
        let scope = if self.kind == "claude-code" { "" } else { &self.thread.id };
        let known_by = fact(&self.kind, scope, event, id);
        let mut happening = self.happening(event);
        happening.fact = Some(known_by);
        change(&mut happening);
        self.push(happening, id, None);
    }

    fn happening(&self, event: &str) -> Happening {
        let thread = &self.thread;
        let is_sub = !thread.parent.is_empty();
        let session = if thread.session.is_empty() { &thread.id } else { &thread.session };
        let parent = if thread.parent == *session { "" } else { &thread.parent };
        Happening {
            source: Source::Transcript,
            at_ms: self.last_ms,
            agent: self.kind.clone(),
            session_id: session.clone(),
            event: event.to_owned(),
            raw_event: raw_name(&self.kind, event).to_owned(),
            turn_id: self.turn.clone(),
            agent_id: if is_sub { thread.id.clone() } else { String::new() },
            parent_id: parent.to_owned(),
            model: thread.model.clone(),
            permission_mode: self.permission_mode.clone(),
            ..Happening::default()
        }
    }

    fn push(&mut self, happening: Happening, id: &str, forked_from: Option<String>) {
        self.told.push(Told { happening, id: id.to_owned(), cwd: self.thread.cwd.clone(), forked_from });
    }
}

fn fact(kind: &str, thread: &str, event: &str, id: &str) -> i64 {
    identity::short(&[kind, thread, event, id])
}

/// What a program calls an event of ours.
fn raw_name<'a>(kind: &str, event: &'a str) -> &'a str {
    let hooks = PROGRAMS.iter().find(|program| program.kind == kind).and_then(|p: &Program| p.hooks);
    let known = hooks.and_then(|hooks| hooks.events.iter().find(|known| known.canonical == event));
    known.map_or(event, |known| known.name)
}
