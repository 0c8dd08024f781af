//! Codex: `sessions/YYYY/MM/DD/rollout-<time>-<thread>.jsonl`. Seen of 0.171.0, 0.63.0 and 0.20.0.
//!
//! Words and calls are taken from response items, of which all versions write the same; events repeat them (`user_message`,
//! `agent_message`, `item_completed`) and are read only for how a command ended. Tokens come as one record an answer in new threads, in
//! older ones as counters that start again at 0 with each resumed session and are written again when nothing has changed.
//!
//! A fork begins with the thread it forks from: new threads name it and go on behind it, older ones write its records again, with its
//! `session_meta` behind the own one. What has no id of its own is known by a hash over all that stands before it in the thread where it
//! was written first, so that it is the same wherever it is written again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::lenient::{Count, Loose, Text, each, mend, parse};
use super::memory::{Recent, Seen, hash};
use super::{Fact, Role, Skipped, Spent, Thread, Turn, What, image};

/// With these a text begins that the program wrote in a person's place.
const CONTEXT: &[&str] = &[
    "# AGENTS.md instructions",
    "<INSTRUCTIONS>",
    "<environment_context>",
    "<hook_prompt",
    "<permissions instructions>",
    "<skill>",
    "<subagent_notification>",
    "<turn_aborted>",
    "<user_instructions>",
    "<user_shell_command>",
];

/// Lines that tell nothing.
const SILENT: &[&str] = &["world_state", "inter_agent_communication", "inter_agent_communication_metadata"];

/// Response items that tell nothing.
const SILENT_ITEMS: &[&str] = &[
    "compaction",
    "compaction_summary",
    "context_compaction",
    "ghost_snapshot",
    "image_generation_call",
    "other",
    "reasoning",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Reads a thread's rollout: a session's, or a sub-agent's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Codex {
    thread: Thread,
    turn: String,
    /// Turns are told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    turns: bool,
    /// A hash over what was told without an id so far, from the id of the thread whose records are being read: of a fork at first the one it forks from.
    said: u64,
    /// The same over the counters.
    counted: u64,
    /// The counters when they were last told.
    total: Option<Usage>,
    /// Answers have records, so that counters repeat them.
    has_records: bool,
    /// Facts and answers told.
    seen: Seen,
    /// How commands ended, 1 for those that failed.
    ends: Recent,
    skipped: Skipped,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    record_type: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    session_id: Text<'a>,
    #[serde(borrow)]
    parent_thread_id: Text<'a>,
    #[serde(borrow)]
    forked_from_id: Text<'a>,
    #[serde(borrow)]
    history_base: Option<&'a RawValue>,
    #[serde(borrow)]
    cwd: Text<'a>,
    #[serde(borrow)]
    cli_version: Text<'a>,
    #[serde(borrow)]
    source: Loose<Source<'a>>,
    #[serde(borrow)]
    git: Loose<Git<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    subagent: Loose<SubAgent<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SubAgent<'a> {
    #[serde(borrow)]
    thread_spawn: Loose<Spawn<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spawn<'a> {
    #[serde(borrow)]
    parent_thread_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Git<'a> {
    #[serde(borrow)]
    branch: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TurnContext<'a> {
    #[serde(borrow)]
    turn_id: Text<'a>,
    #[serde(borrow)]
    approval_policy: Text<'a>,
    #[serde(borrow)]
    cwd: Text<'a>,
    #[serde(borrow)]
    model: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Text<'a>,
    #[serde(borrow)]
    input: Text<'a>,
    #[serde(borrow)]
    call_id: Text<'a>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    internal_chat_message_metadata_passthrough: Loose<Passed<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Passed<'a> {
    #[serde(borrow)]
    content_item_metadata: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Provided<'a> {
    #[serde(borrow)]
    provenance: Loose<Provenance<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Provenance<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    image_url: Text<'a>,
}

/// What a tool gave back, where that is more than text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Output<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    metadata: Loose<End>,
    success: Loose<Option<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct End {
    exit_code: Loose<Option<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    turn_id: Text<'a>,
    #[serde(borrow)]
    call_id: Text<'a>,
    #[serde(borrow)]
    last_agent_message: Text<'a>,
    exit_code: Loose<Option<i64>>,
    success: Loose<Option<bool>>,
    info: Loose<Info>,
    #[serde(borrow)]
    item: Loose<Done<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Done<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    exit_code: Loose<Option<i64>>,
    #[serde(borrow)]
    status: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    total_token_usage: Loose<Option<Usage>>,
    last_token_usage: Loose<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(borrow)]
    response_id: Text<'a>,
    #[serde(borrow)]
    thread_id: Text<'a>,
    usage: Loose<Usage>,
}

/// Tokens as codex counts them: those from a cache and those written to one are input, reasoning is output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Usage {
    input_tokens: u64,
    cached_input_tokens: u64,
    cache_write_input_tokens: u64,
    output_tokens: u64,
    reasoning_output_tokens: u64,
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Usage, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Counts {
            input_tokens: Count,
            cached_input_tokens: Count,
            cache_write_input_tokens: Count,
            output_tokens: Count,
            reasoning_output_tokens: Count,
        }
        let counts = Counts::deserialize(from)?;
        Ok(Usage {
            input_tokens: counts.input_tokens.0,
            cached_input_tokens: counts.cached_input_tokens.0,
            cache_write_input_tokens: counts.cache_write_input_tokens.0,
            output_tokens: counts.output_tokens.0,
            reasoning_output_tokens: counts.reasoning_output_tokens.0,
        })
    }
}

impl Usage {
    fn counts(&self) -> [u64; 5] {
        [
            self.input_tokens,
            self.cached_input_tokens,
            self.cache_write_input_tokens,
            self.output_tokens,
            self.reasoning_output_tokens,
        ]
    }

    /// What was counted since; none if a counter has gone back.
    fn since(&self, before: &Usage) -> Option<Usage> {
        Some(Usage {
            input_tokens: self.input_tokens.checked_sub(before.input_tokens)?,
            cached_input_tokens: self.cached_input_tokens.checked_sub(before.cached_input_tokens)?,
            cache_write_input_tokens: self
                .cache_write_input_tokens
                .checked_sub(before.cache_write_input_tokens)?,
            output_tokens: self.output_tokens.checked_sub(before.output_tokens)?,
            reasoning_output_tokens: self
                .reasoning_output_tokens
                .checked_sub(before.reasoning_output_tokens)?,
        })
    }

    fn spent(&self, answer: String, thread: &str, model: &str) -> Spent {
        let cached = self.cached_input_tokens.min(self.input_tokens);
        let cache_written = self.cache_write_input_tokens.min(self.input_tokens - cached);
        Spent {
            answer,
            thread: thread.to_owned(),
            model: model.to_owned(),
            cache_written_long: 0,
            input: self.input_tokens - cached - cache_written,
            cached,
            cache_written,
            output: self.output_tokens,
            reasoning: self.reasoning_output_tokens.min(self.output_tokens),
        }
    }
}

impl Codex {
    /// Reads a complete line, without its newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<Fact>) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let text = mend(line);
        if self.read(&text, out).is_none() {
            self.skipped.damaged += 1;
        }
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// What is known of the thread so far.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// As [`super::Reader::tell_turns`].
    pub fn tell_turns(&mut self) {
        self.turns = true;
    }

    /// As [`super::Reader::forget_told`].
    pub fn forget_told(&mut self) {
        self.seen = Seen::default();
        self.ends = Recent::default();
    }

    /// None if the line is damaged.
    fn read(&mut self, text: &str, out: &mut Vec<Fact>) -> Option<()> {
        let line: Line = parse(text)?;
        let Some(payload) = line.payload.map(RawValue::get) else {
            return self.bare(&line, text, out);
        };
        match &*line.kind {
            "session_meta" => self.meta(&line, &parse(payload)?, out),
            "turn_context" => self.turn(&line, &parse(payload)?, out),
            "response_item" => self.item(&line, &parse(payload)?, out),
            "event_msg" => self.event(&line, &parse(payload)?, out),
            "token_usage_record" => self.answered(&line, &parse(payload)?, out),
            "compacted" => {
                let id = self.next_id("compacted", "");
                self.tell(&line, id, What::Compacted, out);
            }
            kind if SILENT.contains(&kind) => {}
            "" => return None,
            _ => self.skipped.unknown += 1,
        }
        Some(())
    }

    /// A line without an envelope, as the oldest versions write them: what the thread is, or a response item.
    fn bare(&mut self, line: &Line, text: &str, out: &mut Vec<Fact>) -> Option<()> {
        match (&*line.kind, &*line.record_type) {
            ("", "") if !line.id.is_empty() && !line.timestamp.is_empty() => {
                self.meta(line, &parse(text)?, out)
            }
            ("", "") => return None,
            ("", "state") => {}
            ("", _) => self.skipped.unknown += 1,
            _ => self.item(line, &parse(text)?, out),
        }
        Some(())
    }

    fn meta(&mut self, line: &Line, meta: &Meta, out: &mut Vec<Fact>) {
        let id = if meta.id.is_empty() { &meta.session_id } else { &meta.id };
        let is_first = self.thread.id.is_empty();
        if !is_first && **id != *self.thread.id {
            // The thread that this one forks from, whose records follow.
            self.begin(id);
            if self.thread.forked_from.is_empty() {
                self.change(line, out, |thread| (**id).clone_into(&mut thread.forked_from));
            }
            return;
        }
        if is_first {
            // New threads go on behind the one they fork from, without its records.
            let replays = !meta.forked_from_id.is_empty() && meta.history_base.is_none();
            self.begin(if replays { &meta.forked_from_id } else { id });
        }
        let spawned = &meta.source.0.subagent.0.thread_spawn.0.parent_thread_id;
        let parent = if meta.parent_thread_id.is_empty() { spawned } else { &meta.parent_thread_id };
        // Older sub-agents name their parent alone, which is the root of all but those of sub-agents.
        let session = [&meta.session_id, parent, id].into_iter().find(|id| !id.is_empty());
        self.change(line, out, |thread| {
            set(&mut thread.id, id);
            set(&mut thread.session, session.map_or("", |session| session));
            set(&mut thread.parent, parent);
            set(&mut thread.forked_from, &meta.forked_from_id);
            set(&mut thread.cwd, &meta.cwd);
            set(&mut thread.branch, &meta.git.0.branch);
            set(&mut thread.version, &meta.cli_version);
        });
    }

    /// From here on records are those of the thread `origin`.
    fn begin(&mut self, origin: &str) {
        self.said = hash(&[origin]);
        self.counted = self.said;
        self.total = None;
    }

    fn turn(&mut self, line: &Line, turn: &TurnContext, out: &mut Vec<Fact>) {
        set(&mut self.turn, &turn.turn_id);
        // As its hooks say it.
        let mode = match &*turn.approval_policy {
            "" => "",
            "never" => "bypassPermissions",
            _ => "default",
        };
        self.began(line, mode, out);
        self.change(line, out, |thread| {
            set(&mut thread.cwd, &turn.cwd);
            set(&mut thread.model, &turn.model);
        });
    }

    fn item(&mut self, line: &Line, item: &Item, out: &mut Vec<Fact>) {
        let call = if item.call_id.is_empty() { &item.id } else { &item.call_id };
        match &*item.kind {
            "message" => self.message(line, item, out),
            "function_call" => self.called(line, call, &item.name, &item.arguments, out),
            "custom_tool_call" => self.called(line, call, &item.name, &item.input, out),
            "local_shell_call" => {
                self.called(line, call, "shell", item.action.map_or("", RawValue::get), out);
            }
            "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
                self.returned(line, call, item.output, out);
            }
            kind if SILENT_ITEMS.contains(&kind) => {}
            _ => self.skipped.unknown += 1,
        }
    }

    fn message(&mut self, line: &Line, item: &Item, out: &mut Vec<Fact>) {
        let blocks: Vec<Block> = item.content.map(each).unwrap_or_default();
        let mut is_asked = false;
        let (role, text) = match &*item.role {
            "assistant" => (Role::Assistant, joined(blocks.iter())),
            "user" => {
                let metadata = item.internal_chat_message_metadata_passthrough.0.content_item_metadata;
                let (role, text) = of_person(&blocks, &metadata.map(each).unwrap_or_default());
                is_asked = role == Role::User;
                // What is asked of a sub-agent its parent says.
                if self.thread.parent.is_empty() { (role, text) } else { (Role::System, text) }
            }
            _ => return,
        };
        if text.trim().is_empty() {
            return;
        }
        let id = match &*item.id {
            "" => Some(self.next_id(&item.role, &text)),
            id => self.known_id(id, &text),
        };
        let Some(id) = id else { return };
        let asked =
            (is_asked && self.turns).then(|| (format!("{id}/asked"), Turn::Asked { text: text.clone() }));
        self.tell(line, id, What::Said { role, text }, out);
        if let Some((id, asked)) = asked {
            self.tell(line, id, What::Turn(asked), out);
        }
    }

    fn called(&mut self, line: &Line, call: &str, tool: &str, input: &str, out: &mut Vec<Fact>) {
        if tool.is_empty() {
            return;
        }
        if let Some(id) = self.known_id(call, &format!("{tool} {input}")) {
            let (call, tool, input) = (call.to_owned(), tool.to_owned(), input.to_owned());
            self.tell(line, id, What::Called { call, tool, input }, out);
        }
    }

    fn returned(&mut self, line: &Line, call: &str, output: Option<&RawValue>, out: &mut Vec<Fact>) {
        let (text, is_failure) = output.map(result).unwrap_or_default();
        let failed = match self.ends.get(hash(&[call])) {
            Some(end) => end != 0,
            None => is_failure,
        };
        if let Some(id) = self.known_id(&format!("{call}/result"), &text) {
            self.tell(line, id, What::Returned { call: call.to_owned(), output: text, failed }, out);
        }
    }

    fn began(&self, line: &Line, mode: &str, out: &mut Vec<Fact>) {
        if self.turns {
            let began = Turn::Began { id: self.turn.clone(), permission_mode: mode.to_owned() };
            self.tell(line, format!("{}/began", self.turn), What::Turn(began), out);
        }
    }

    fn event(&mut self, line: &Line, event: &Event, out: &mut Vec<Fact>) {
        match &*event.kind {
            "task_started" | "turn_started" => {
                set(&mut self.turn, &event.turn_id);
                self.began(line, "", out);
            }
            "task_complete" | "turn_complete" if self.turns => {
                set(&mut self.turn, &event.turn_id);
                let id =
                    if event.turn_id.is_empty() { format!("{:016x}", self.said) } else { self.turn.clone() };
                let text = event.last_agent_message.to_string();
                self.tell(line, format!("{id}/ended"), What::Turn(Turn::Ended { text }), out);
            }
            "token_count" => self.count(line, &event.info.0, out),
            "exec_command_end" | "patch_apply_end" => {
                self.ended(&event.call_id, event.exit_code.0, event.success.0);
            }
            "item_completed" => {
                let item = &event.item.0;
                let success = match &*item.status {
                    "failed" | "declined" => Some(false),
                    "completed" => Some(true),
                    _ => None,
                };
                self.ended(&item.id, item.exit_code.0, success);
            }
            _ => {}
        }
    }

    /// Notes how a call ended, where that is said.
    fn ended(&mut self, call: &str, exit_code: Option<i64>, success: Option<bool>) {
        let failed = exit_code.map(|code| code != 0).or_else(|| success.map(|success| !success));
        if let Some(failed) = failed.filter(|_| !call.is_empty()) {
            self.ends.put(hash(&[call]), u64::from(failed));
        }
    }

    fn answered(&mut self, line: &Line, record: &Answered, out: &mut Vec<Fact>) {
        self.has_records = true;
        let usage = record.usage.0;
        let answer = match &*record.response_id {
            "" => self.next_id("answer", &usage.counts().map(|count| count.to_string()).join(" ")),
            id => id.to_owned(),
        };
        if self.seen.insert(hash(&["answer", &answer])) {
            self.spend(line, usage, answer, &record.thread_id, out);
        }
    }

    /// Counters are written again unchanged, start again, and are not those of the file's beginning in some forks.
    fn count(&mut self, line: &Line, info: &Info, out: &mut Vec<Fact>) {
        let Some(total) =
            info.total_token_usage.0.filter(|total| !self.has_records && self.total != Some(*total))
        else {
            return;
        };
        let last = info.last_token_usage.0;
        let since = self.total.as_ref().filter(|_| total != last).and_then(|before| total.since(before));
        self.total = Some(total);
        let counts = total.counts().map(|count| count.to_string());
        let [input, cached, written, output, reasoning] = counts.each_ref().map(String::as_str);
        let before = self.counted.to_string();
        self.counted = hash(&[&before, &self.turn, input, cached, written, output, reasoning]);
        self.spend(line, since.unwrap_or(last), format!("{:016x}", self.counted), "", out);
    }

    fn spend(&self, line: &Line, usage: Usage, answer: String, thread: &str, out: &mut Vec<Fact>) {
        if usage != Usage::default() {
            let id = format!("{answer}/tokens");
            self.tell(line, id, What::Spent(usage.spent(answer, thread, &self.thread.model)), out);
        }
    }

    /// Changes what is known of the thread, and tells it if that is something new.
    fn change(&mut self, line: &Line, out: &mut Vec<Fact>, change: impl FnOnce(&mut Thread)) {
        let before = self.thread.clone();
        change(&mut self.thread);
        if self.thread != before {
            // Lines that only a fork's file has do not count in what it repeats.
            let known = serde_json::to_string(&self.thread).unwrap_or_default();
            let id = hash(&[&self.said.to_string(), "thread", &line.timestamp, &known]);
            self.tell(line, format!("{id:016x}"), What::Thread(self.thread.clone()), out);
        }
    }

    /// The id of what has none.
    fn next_id(&mut self, kind: &str, text: &str) -> String {
        self.said = hash(&[&self.said.to_string(), kind, text]);
        format!("{:016x}", self.said)
    }

    /// The id of what has one; none if it was told. Some makers of models give an id twice: what differs is told under another one.
    fn known_id(&mut self, id: &str, text: &str) -> Option<String> {
        if !self.seen.insert(hash(&["fact", id, text])) {
            return None;
        }
        let is_new = self.seen.insert(hash(&["id", id]));
        Some(if is_new { id.to_owned() } else { format!("{id}/{:016x}", hash(&[text])) })
    }

    fn tell(&self, line: &Line, id: String, what: What, out: &mut Vec<Fact>) {
        out.push(Fact { id, time: line.timestamp.parse().ok(), what });
    }
}

fn set(field: &mut String, value: &str) {
    if !value.is_empty() && field != value {
        value.clone_into(field);
    }
}

/// Whose words a message in a person's place is. New versions say of each block where it is from.
fn of_person(blocks: &[Block], provided: &[Provided]) -> (Role, String) {
    let is_persons = |(_, provided): &(&Block, &Provided)| &*provided.provenance.0.kind == "user";
    let is_told = provided.len() == blocks.len()
        && provided.iter().all(|provided| !provided.provenance.0.kind.is_empty());
    let words = if is_told {
        joined(blocks.iter().zip(provided).filter(is_persons).map(|(block, _)| block))
    } else {
        joined(blocks.iter())
    };
    let is_context = CONTEXT.iter().any(|context| words.trim_start().starts_with(context));
    if is_context || words.is_empty() { (Role::System, joined(blocks.iter())) } else { (Role::User, words) }
}

/// Texts and images, a line each, without what the program sets around images.
fn joined<'b, 'a: 'b>(blocks: impl Iterator<Item = &'b Block<'a>>) -> String {
    let mut lines: Vec<Cow<str>> = Vec::new();
    let mut is_in_image = false;
    for block in blocks {
        match &*block.kind {
            "input_image" | "output_image" => {
                if lines.last().is_some_and(|line| line.starts_with("<image") && line.ends_with('>')) {
                    lines.pop();
                    is_in_image = true;
                }
                lines.push(Cow::Owned(image::addressed(&block.image_url)));
            }
            "input_text" | "output_text" | "text" if is_in_image && &*block.text == "</image>" => {
                is_in_image = false;
            }
            "input_text" | "output_text" | "text" => lines.push(Cow::Borrowed(&block.text)),
            _ => {}
        }
    }
    lines.join("\n")
}

/// What a tool gave back, as text, and whether it says that it failed.
fn result(raw: &RawValue) -> (String, bool) {
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text = parse::<Text>(raw.get()).unwrap_or_default();
            if text.starts_with('{')
                && let Some(output) = parse::<Output>(&text).filter(|o| o.output.is_some())
            {
                return structured(&output);
            }
            let is_failure = is_failure(&text);
            (text.0.into_owned(), is_failure)
        }
        Some(b'[') => {
            let text = joined(each::<Block>(raw).iter());
            let is_failure = is_failure(&text);
            (text, is_failure)
        }
        Some(b'{') => match parse::<Output>(raw.get()) {
            Some(output) if output.output.or(output.content).is_some() => structured(&output),
            output => {
                let is_failure = output.is_some_and(|output| output.success.0 == Some(false));
                (raw.get().to_owned(), is_failure)
            }
        },
        _ => (raw.get().to_owned(), false),
    }
}

fn structured(output: &Output) -> (String, bool) {
    let code = output.metadata.0.exit_code.0;
    let text = match output.output.or(output.content) {
        Some(raw) if raw.get().starts_with('"') => {
            parse::<Text>(raw.get()).unwrap_or_default().0.into_owned()
        }
        Some(raw) if raw.get().starts_with('[') => joined(each::<Block>(raw).iter()),
        raw => raw.map_or("", RawValue::get).to_owned(),
    };
    (text, code.is_some_and(|code| code != 0) || output.success.0 == Some(false))
}

/// Whether the lines before the command's own output say that it failed.
fn is_failure(text: &str) -> bool {
    let code = |line: &str| {
        let code =
            line.strip_prefix("Process exited with code ").or_else(|| line.strip_prefix("Exit code: "));
        code.and_then(|code| code.trim().parse::<i64>().ok())
    };
    text.lines().take_while(|line| *line != "Output:").find_map(code).is_some_and(|code| code != 0)
}
