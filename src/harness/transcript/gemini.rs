//! Gemini CLI: a file a session, in three layouts.
//!
//! Seen at 0.61.0: JSON lines; the first names the session, messages follow, and `{"$set":…}` changes what is known of the session or
//! replaces the list of messages. A message is written again under its id when its tool calls have ended. A list without any message that
//! was there before is what a summary left. Routing and summarising are answers of the model that the program does not write down.
//! From the specification: the older layout, one object with `messages`, written anew each turn; and one with `role` and `parts`.

mod find;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use find::{Chat, Project, children, projects, root, running};

use super::image::embedded;
use super::lenient::{Raw, parsed, string};
use super::memory::name;
use super::told::{LINE_MAX, Told};
use super::{Fact, Role, Skipped, Spent, Thread, Turn, What};

/// How texts begin that the program writes in the person's place.
const CONTEXT: &[&str] = &[
    "<session_context>",
    "<hook_context>",
    "<state_snapshot>",
    "This is the Gemini CLI. We are setting up the context for our chat.",
];

/// So many lines at the end of a shell command's answer are searched for its exit code.
const TAIL_LINES: usize = 8;

/// The reader of one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gemini {
    thread: Thread,
    told: Told,
    /// Somebody said something other than context.
    talked: bool,
    /// Turns are told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    turns: bool,
    /// The last answer, without calls so far: they may be written later, and only what follows shows that it was the end of a turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    skipped: Skipped,
}

/// An answer that may be the end of a turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Answer {
    id: String,
    text: String,
    time: Option<Timestamp>,
}

/// A line, the value of `$set`, a message, or a whole file. Values are looked at one by one, so that one of another type costs no more
/// than itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default, rename = "$set")]
    set: Raw<'a>,
    #[serde(borrow, default, rename = "$rewindTo")]
    rewind_to: Raw<'a>,
    #[serde(borrow, default)]
    session_id: Raw<'a>,
    #[serde(borrow, default)]
    kind: Raw<'a>,
    #[serde(borrow, default)]
    directories: Raw<'a>,
    #[serde(borrow, default)]
    start_time: Raw<'a>,
    #[serde(borrow, default)]
    messages: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    r#type: Raw<'a>,
    #[serde(borrow, default)]
    role: Raw<'a>,
    #[serde(borrow, default)]
    timestamp: Raw<'a>,
    #[serde(borrow, default)]
    content: Raw<'a>,
    #[serde(borrow, default)]
    display_content: Raw<'a>,
    #[serde(borrow, default)]
    parts: Raw<'a>,
    #[serde(borrow, default)]
    tokens: Raw<'a>,
    #[serde(borrow, default)]
    model: Raw<'a>,
    #[serde(borrow, default)]
    tool_calls: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    model: Raw<'a>,
    #[serde(borrow, default)]
    agent_version: Raw<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input: u64,
    output: u64,
    cached: u64,
    thoughts: u64,
    tool: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    name: Raw<'a>,
    #[serde(borrow, default)]
    args: Raw<'a>,
    #[serde(borrow, default)]
    response: Raw<'a>,
    #[serde(borrow, default)]
    result: Raw<'a>,
    #[serde(borrow, default)]
    status: Raw<'a>,
    #[serde(borrow, default)]
    timestamp: Raw<'a>,
    #[serde(borrow, default)]
    result_display: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Raw<'a>,
    #[serde(borrow, default)]
    thought: Raw<'a>,
    #[serde(borrow, default)]
    inline_data: Raw<'a>,
    #[serde(borrow, default)]
    function_call: Raw<'a>,
    #[serde(borrow, default)]
    function_response: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inline<'a> {
    #[serde(borrow, default)]
    mime_type: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    output: Raw<'a>,
    #[serde(borrow, default)]
    error: Raw<'a>,
}

fn time(raw: Raw<'_>) -> Option<Timestamp> {
    string(raw)?.parse().ok()
}

/// The parts of a content, which is a text, a part or a list of both.
fn list(raw: Raw<'_>) -> Vec<&RawValue> {
    match raw {
        Some(raw) if raw.get().starts_with('[') => parsed(Some(raw)).unwrap_or_default(),
        Some(raw) => vec![raw],
        None => Vec::new(),
    }
}

/// What a content says; thoughts and calls are not said.
fn text(raw: Raw<'_>) -> String {
    let mut out = String::new();
    for raw in list(raw) {
        if let Some(text) = string(Some(raw)) {
            out.push_str(&text);
        } else if let Some(part) = parsed::<Part<'_>>(Some(raw)) {
            if part.thought.is_some_and(|thought| thought.get() == "true") {
                continue;
            }
            out.push_str(&string(part.text).unwrap_or_default());
            if let Some(inline) = parsed::<Inline<'_>>(part.inline_data) {
                out.push_str(&embedded(&inline.mime_type, &inline.data));
            }
        }
    }
    out
}

impl Gemini {
    /// A reader of a file that lies among those of the session `parent`, if it is a sub-agent's, and belongs to the project at `cwd`, if
    /// that is known: the file itself may say neither.
    pub fn new(parent: &str, cwd: &str) -> Gemini {
        let thread = Thread { parent: parent.to_string(), cwd: cwd.to_string(), ..Thread::default() };
        Gemini { thread, ..Gemini::default() }
    }

    /// Reads a complete line, without its newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<Fact>) {
        if !line.trim_ascii().is_empty() {
            self.whole(line, out);
        }
    }

    /// Reads a whole file of the layouts that are one object. Each turn writes it anew: what was told of it is not told again. One that is
    /// just being written counts as damaged and is to be read again.
    pub fn whole(&mut self, text: &[u8], out: &mut Vec<Fact>) {
        match serde_json::from_slice::<Record<'_>>(text) {
            Ok(record) if text.len() <= LINE_MAX => self.record(&record, out),
            _ => self.skipped.damaged += 1,
        }
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// As [`super::Reader::tell_turns`].
    pub fn tell_turns(&mut self) {
        self.turns = true;
    }

    /// The last answer was the end of its turn.
    fn ended(&mut self, out: &mut Vec<Fact>) {
        if let Some(Answer { id, text, time }) = self.answer.take() {
            out.push(Fact { id: format!("{id}#ended"), time, what: What::Turn(Turn::Ended { text }) });
        }
    }

    /// Notes of a message where its turn stands.
    fn turn(&mut self, id: &str, role: Role, said: &str, time: Option<Timestamp>, out: &mut Vec<Fact>) {
        match role {
            Role::User if self.thread.parent.is_empty() => {
                self.ended(out);
                let asked = Turn::Asked { text: said.to_owned() };
                out.push(Fact { id: format!("{id}#asked"), time, what: What::Turn(asked) });
            }
            Role::Assistant => {
                self.answer = Some(Answer { id: id.to_owned(), text: said.to_owned(), time });
            }
            Role::User | Role::System => {}
        }
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<Fact>) {
        if record.rewind_to.is_some() {
            // What was said and spent stays said and spent; what follows has ids of its own.
        } else if let Some(id) = string(record.id) {
            self.message(&id, record, out);
        } else if let Some(set) = record.set {
            match parsed::<Record<'_>>(Some(set)) {
                Some(set) => {
                    self.session(&set, out);
                    self.replaced(set.messages, out);
                }
                None => self.skipped.damaged += 1,
            }
        } else if record.session_id.is_some() || record.messages.is_some() {
            // Whoever takes a session up again writes its first line anew.
            if record.messages.is_none() {
                self.ended(out);
            }
            self.session(record, out);
            for (n, raw) in list(record.messages).into_iter().enumerate() {
                match parsed::<Record<'_>>(Some(raw)) {
                    Some(message) => {
                        let id = string(message.id)
                            .unwrap_or_else(|| Cow::Owned(name(&[&n.to_string(), raw.get()])));
                        self.message(&id, &message, out);
                    }
                    None => self.skipped.damaged += 1,
                }
            }
        } else {
            self.skipped.unknown += 1;
        }
    }

    /// What is known of the session.
    fn session(&mut self, record: &Record<'_>, out: &mut Vec<Fact>) {
        let mut thread = self.thread.clone();
        if let Some(id) = string(record.session_id) {
            thread.id = id.into_owned();
        }
        if let Some(dirs) = parsed::<Vec<Cow<'_, str>>>(record.directories)
            && let [first, ..] = &dirs[..]
            && thread.cwd.is_empty()
        {
            thread.cwd = first.to_string();
        }
        if let Some(metadata) = parsed::<Metadata<'_>>(record.metadata) {
            if let Some(model) = string(metadata.model) {
                thread.model = model.into_owned();
            }
            if let Some(version) = string(metadata.agent_version) {
                thread.version = version.into_owned();
            }
        }
        if string(record.kind).is_some_and(|kind| kind == "main") {
            thread.parent.clear();
        }
        thread.session = if thread.parent.is_empty() { thread.id.clone() } else { thread.parent.clone() };
        self.now(thread, time(record.start_time), out);
    }

    fn now(&mut self, thread: Thread, time: Option<Timestamp>, out: &mut Vec<Fact>) {
        if thread != self.thread && !thread.id.is_empty() {
            let known = serde_json::to_string(&thread).unwrap_or_default();
            out.push(Fact { id: name(&["thread", &known]), time, what: What::Thread(thread.clone()) });
        }
        self.thread = thread;
    }

    /// The list of messages is another one from now on.
    fn replaced(&mut self, messages: Raw<'_>, out: &mut Vec<Fact>) {
        let messages: Vec<Record<'_>> =
            list(messages).into_iter().filter_map(|raw| parsed(Some(raw))).collect();
        let talk = |m: &&Record<'_>| !is_context(&text(m.content));
        let known = |m: &Record<'_>| string(m.id).is_some_and(|id| self.told.has(&["message", &id]));
        let compacted =
            self.talked && messages.iter().any(|m| talk(&m)) && !messages.iter().filter(talk).any(known);
        if !compacted {
            for message in &messages {
                match string(message.id) {
                    Some(id) => self.message(&id, message, out),
                    None => self.skipped.unknown += 1,
                }
            }
            return;
        }
        let first = messages.iter().find(talk);
        if let Some((first, id)) = first.and_then(|m| Some((m, string(m.id)?))) {
            let time = time(first.timestamp);
            out.push(Fact { id: format!("{id}#compacted"), time, what: What::Compacted });
            let said = What::Said { role: Role::System, text: text(first.content) };
            out.push(Fact { id: id.into_owned(), time, what: said });
        }
        for id in messages.iter().filter_map(|m| string(m.id)) {
            self.told.first(&["message", &id]);
            self.told.first(&["text", &id]);
        }
    }

    fn message(&mut self, id: &str, record: &Record<'_>, out: &mut Vec<Fact>) {
        let kind = string(record.r#type).or_else(|| string(record.role)).unwrap_or_default();
        let role = match &*kind {
            "user" => Role::User,
            "gemini" | "model" => Role::Assistant,
            "error" => Role::System,
            // Notices on the screen.
            "info" | "warning" => return,
            _ => {
                self.skipped.unknown += 1;
                return;
            }
        };
        let time = time(record.timestamp);
        let model = string(record.model);
        // One that is written again says nothing of now.
        if self.told.first(&["message", id])
            && let Some(model) = &model
            && *model != self.thread.model
        {
            let thread = Thread { model: model.to_string(), ..self.thread.clone() };
            self.now(thread, time, out);
        }
        let content = record.content.or(record.parts);
        let said = match (role, record.display_content) {
            (Role::User, Some(_)) => text(record.display_content),
            _ => text(content),
        };
        let context = role == Role::User && is_context(&said);
        self.talked |= !context;
        if !said.trim().is_empty() && self.told.first(&["text", id]) {
            let role = if context { Role::System } else { role };
            if self.turns {
                self.turn(id, role, &said, time, out);
            }
            out.push(Fact { id: id.to_string(), time, what: What::Said { role, text: said } });
        }
        if record.tool_calls.is_some() {
            self.answer.take_if(|answer| answer.id == id);
        }
        for (n, raw) in list(record.tool_calls).into_iter().enumerate() {
            match parsed::<ToolCall<'_>>(Some(raw)) {
                Some(call) => self.call(id, n, time, &call, out),
                None => self.skipped.damaged += 1,
            }
        }
        // The layout with `type` has calls and answers in `toolCalls`, and then once more among the parts.
        if record.r#type.is_none() {
            for (n, part) in
                list(content).into_iter().filter_map(|raw| parsed::<Part<'_>>(Some(raw))).enumerate()
            {
                for raw in [part.function_call, part.function_response] {
                    if let Some(call) = parsed::<ToolCall<'_>>(raw) {
                        self.call(id, n, time, &call, out);
                    }
                }
            }
        }
        if let Some(tokens) = parsed::<Tokens>(record.tokens)
            && self.told.first(&["tokens", id])
        {
            let spent = Spent {
                answer: format!("google/{id}"),
                thread: String::new(),
                model: model.map_or_else(|| self.thread.model.clone(), Cow::into_owned),
                input: tokens.input.saturating_sub(tokens.cached).saturating_add(tokens.tool),
                cached: tokens.cached,
                cache_written: 0,
                cache_written_long: 0,
                output: tokens.output.saturating_add(tokens.thoughts),
                reasoning: tokens.thoughts,
            };
            out.push(Fact { id: format!("{id}#tokens"), time, what: What::Spent(spent) });
        }
    }

    fn call(
        &mut self,
        message: &str,
        n: usize,
        said: Option<Timestamp>,
        call: &ToolCall<'_>,
        out: &mut Vec<Fact>,
    ) {
        let tool = string(call.name).unwrap_or_default().into_owned();
        let id = string(call.id).map_or_else(|| format!("{message}#{n}"), Cow::into_owned);
        let at = time(call.timestamp).or(said);
        let is_answer = call.response.is_some();
        if !is_answer && self.told.first(&["call", &id]) {
            let input = call.args.map_or("{}", RawValue::get).to_string();
            out.push(Fact {
                id: id.clone(),
                time: said,
                what: What::Called { call: id.clone(), tool, input },
            });
        }
        let status = string(call.status).unwrap_or_default();
        let ended = is_answer || matches!(&*status, "success" | "error" | "cancelled");
        if ended && self.told.first(&["result", &id]) {
            let (output, failed) = returned(call);
            let failed = failed || matches!(&*status, "error" | "cancelled");
            let what = What::Returned { call: id.clone(), output, failed };
            out.push(Fact { id: format!("{id}#result"), time: at, what });
        }
    }
}

fn is_context(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || CONTEXT.iter().any(|start| text.starts_with(start))
}

/// What a tool gave back, and whether that says that it failed.
fn returned(call: &ToolCall<'_>) -> (String, bool) {
    let mut output = String::new();
    let mut failed = false;
    let mut add = |response: Raw<'_>| {
        let Some(response) = response else { return };
        let fields = parsed::<Response<'_>>(Some(response));
        let told = fields.as_ref().and_then(|f| f.error.or(f.output));
        failed |= fields.is_some_and(|f| f.error.is_some());
        let told = told.unwrap_or(response);
        output.push_str(&string(Some(told)).unwrap_or(Cow::Borrowed(told.get())));
    };
    add(call.response);
    for raw in list(call.result) {
        if let Some(part) = parsed::<Part<'_>>(Some(raw)) {
            match parsed::<ToolCall<'_>>(part.function_response) {
                Some(inner) => add(inner.response),
                None => add(part.text),
            }
        }
    }
    if output.is_empty() {
        output.push_str(&string(call.result_display).unwrap_or_default());
    }
    // The shell tool's answer ends with notes; one is the code, where it is not zero.
    failed |= output.lines().rev().take(TAIL_LINES).any(|line| {
        line.strip_prefix("Exit Code: ").is_some_and(|code| code.trim() != "0" && code.trim() != "(none)")
    });
    (output, failed)
}
