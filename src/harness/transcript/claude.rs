//! Claude Code: `projects/<directory>/<session>.jsonl`, and sub-agents beside it. Seen of 2.1.332 and 1.0.128.
//!
//! A record goes by its `type`, never by the role of the message in it: messages of requests to the model stand there too, with the system
//! prompt. Records are known by their `uuid`, which a fork and a resumed session in a new file write again. An answer of the model comes as
//! several records with one `message.id`, one block in each, and the same usage in all of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::lenient::{Count, Flag, Loose, Text, each, mend, parse};
use super::memory::{Recent, Seen, hash};
use super::{Fact, Role, Skipped, Spent, Thread, Turn, What, image};

/// Records that tell nothing.
const SILENT: &[&str] = &[
    "agent-name",
    "api-request",
    "api-request-blob",
    "api-request-shape",
    "atis-latch",
    "cost-state",
    "custom-title",
    "file-history-snapshot",
    "last-prompt",
    "mode",
    "progress",
    "queue-operation",
    "summary",
    "tag",
    "tools-used",
];

/// With these a text begins that the program wrote in a person's place.
const NOTICES: &[&str] = &[
    "Entered plan mode.",
    "Plan mode is active.",
    "Plan mode still active",
    "This session is being continued from a previous conversation",
    "⏺ ",
    "⎿",
    "[Request interrupted",
];

/// In these pairs of tags stands what the program adds to a person's words.
const TAGS: &[&str] = &[
    "system-reminder",
    "system_instruction",
    "system-instruction",
    "local-command-stdout",
    "local-command-stderr",
    "local-command-caveat",
    "command-name",
    "command-message",
    "command-args",
    "task-notification",
    "bash-stdout",
    "bash-stderr",
];

/// The mark of what `ox` itself has put into a conversation.
const OURS: &str = "<!-- ox-hash:";

/// What the program calls the model where it answers itself.
const NO_MODEL: &str = "<synthetic>";

/// Reads a session's file, or a sub-agent's.
///
/// Of a sub-agent whose records stand in its parent's file (older versions) the tokens are told, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claude {
    thread: Thread,
    /// Records told.
    seen: Seen,
    /// Tokens told by answer.
    answers: Recent,
    /// Turns are told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    turns: bool,
    /// The answer with which the last turn ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    ended: String,
    skipped: Skipped,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    subtype: Text<'a>,
    #[serde(borrow)]
    uuid: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    session_id: Text<'a>,
    /// Of what a fork writes again: the session in which it was asked for.
    #[serde(borrow)]
    request_session_id: Text<'a>,
    #[serde(borrow)]
    agent_id: Text<'a>,
    #[serde(borrow)]
    cwd: Text<'a>,
    #[serde(borrow)]
    git_branch: Text<'a>,
    #[serde(borrow)]
    permission_mode: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    is_meta: Flag,
    is_sidechain: Flag,
    is_compact_summary: Flag,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    attachment: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    stop_reason: Text<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    usage: Loose<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Loose<CacheCreation>,
    output_tokens: Count,
    output_tokens_details: Loose<OutputDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Attachment<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    command_mode: Text<'a>,
    is_meta: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    is_error: Flag,
    #[serde(borrow)]
    source: Loose<Source<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    media_type: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
}

/// What is told of a record.
struct Told<'a> {
    record: &'a Record<'a>,
    id: String,
    out: &'a mut Vec<Fact>,
}

impl Told<'_> {
    /// Tells a fact; `part` tells it from others of the record.
    fn tell(&mut self, part: Option<usize>, what: What) {
        let id = match part {
            None => self.id.clone(),
            Some(n) => format!("{}/{n}", self.id),
        };
        self.out.push(Fact { id, time: self.record.timestamp.parse().ok(), what });
    }

    fn say(&mut self, part: Option<usize>, role: Role, text: String) {
        if !text.trim().is_empty() {
            self.tell(part, What::Said { role, text });
        }
    }
}

impl Claude {
    /// Reads a complete line, without its newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<Fact>) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let line = mend(line);
        let Some(record) = parse::<Record>(&line).filter(|record| !record.kind.is_empty()) else {
            self.skipped.damaged += 1;
            return;
        };
        match &*record.kind {
            "user" | "assistant" | "attachment" | "system" => self.record(&record, out),
            kind if SILENT.contains(&kind) => {}
            _ => self.skipped.unknown += 1,
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
        self.answers = Recent::default();
    }

    fn record(&mut self, record: &Record, out: &mut Vec<Fact>) {
        let id = match &*record.uuid {
            "" => format!("{:016x}", hash(&[&record.timestamp, record.message.map_or("", RawValue::get)])),
            uuid => uuid.to_owned(),
        };
        if !self.seen.insert(hash(&[&id])) {
            return;
        }
        let message = match record.message.map(|raw| parse::<Message>(raw.get())) {
            Some(Some(message)) => message,
            Some(None) => {
                self.skipped.damaged += 1;
                return;
            }
            None => Message::default(),
        };
        let mut told = Told { record, id, out };
        if self.is_own(record) {
            self.note(record, &message, &mut told);
            match &*record.kind {
                "user" => {
                    let is_context = record.is_meta.0 || record.is_compact_summary.0;
                    self.user(is_context, message.content, &mut told);
                    if self.turns && !is_context && self.thread.parent.is_empty() {
                        asked(message.content, &mut told);
                    }
                }
                "assistant" => {
                    assistant(&message, &mut told);
                    if self.turns {
                        self.ends(&message, &mut told);
                    }
                }
                "attachment" => self.attachment(record, &mut told),
                _ if &*record.subtype == "compact_boundary" => told.tell(None, What::Compacted),
                _ => {}
            }
        }
        if &*record.kind == "assistant" {
            self.spent(&message, &mut told);
        }
    }

    /// Whether a record is the thread's own, and not of a sub-agent that writes into the same file.
    fn is_own(&self, record: &Record) -> bool {
        match &*self.thread.id {
            "" => true,
            _ if self.thread.parent.is_empty() => !record.is_sidechain.0,
            id => *record.agent_id == *id,
        }
    }

    /// Takes in what a record says of its thread.
    fn note(&mut self, record: &Record, message: &Message, told: &mut Told) {
        let before = self.thread.clone();
        let thread = &mut self.thread;
        let set = |field: &mut String, value: &str| {
            if !value.is_empty() && field != value {
                value.clone_into(field);
            }
        };
        if thread.id.is_empty() && record.is_sidechain.0 && !record.agent_id.is_empty() {
            set(&mut thread.id, &record.agent_id);
            set(&mut thread.parent, &record.session_id);
        }
        if thread.parent.is_empty() && !record.session_id.is_empty() {
            // A resumed session in a new file may begin with the records of the old one.
            if !thread.id.is_empty() && *thread.id != *record.session_id {
                thread.forked_from = std::mem::take(&mut thread.id);
            }
            set(&mut thread.id, &record.session_id);
        }
        set(&mut thread.session, &record.session_id);
        set(&mut thread.cwd, &record.cwd);
        set(&mut thread.branch, &record.git_branch);
        set(&mut thread.version, &record.version);
        if &*message.model != NO_MODEL {
            set(&mut thread.model, &message.model);
        }
        if *thread != before {
            let fact = What::Thread(thread.clone());
            let id = format!("{}/thread", told.id);
            told.out.push(Fact { id, time: told.record.timestamp.parse().ok(), what: fact });
        }
    }

    fn user(&self, is_context: bool, content: Option<&RawValue>, told: &mut Told) {
        let blocks = blocks(content);
        for (n, block) in blocks.iter().enumerate() {
            if matches!(&*block.kind, "tool_result" | "mcp_tool_result") {
                let what = What::Returned {
                    call: block.tool_use_id.to_string(),
                    output: result(block.content),
                    failed: block.is_error.0,
                };
                told.tell(Some(n), what);
            }
        }
        let text = joined(&blocks);
        if is_context || !self.thread.parent.is_empty() {
            told.say(None, Role::System, text);
        } else {
            let (role, text) = of_person(text);
            told.say(None, role, text);
        }
    }

    /// Tells that a turn has ended, if this answer ends it: its pieces all say so.
    fn ends(&mut self, message: &Message, told: &mut Told) {
        let is_last = !matches!(&*message.stop_reason, "" | "tool_use" | "pause_turn");
        if !is_last || &*message.model == NO_MODEL || (!message.id.is_empty() && *self.ended == *message.id) {
            return;
        }
        let text = words(&blocks(message.content));
        if !text.trim().is_empty() {
            message.id.clone_into(&mut self.ended);
            let id = format!("{}/ended", told.id);
            let time = told.record.timestamp.parse().ok();
            told.out.push(Fact { id, time, what: What::Turn(Turn::Ended { text }) });
        }
    }

    /// What a person says while the agent works comes as an attachment, and not as a message.
    fn attachment(&self, record: &Record, told: &mut Told) {
        let Some(attachment) = record.attachment.and_then(|raw| parse::<Attachment>(raw.get())) else {
            return;
        };
        if &*attachment.kind == "queued_command" {
            let is_person = matches!(&*attachment.command_mode, "" | "prompt") && !attachment.is_meta.0;
            self.user(!is_person, attachment.prompt, told);
        }
    }

    fn spent(&mut self, message: &Message, told: &mut Told) {
        let usage = &message.usage.0;
        let answer = if message.id.is_empty() { told.id.clone() } else { message.id.to_string() };
        let of = &told.record.request_session_id;
        let is_repeated = !of.is_empty() && **of != *told.record.session_id;
        let written = usage.cache_creation_input_tokens.0;
        let spent = Spent {
            answer: answer.clone(),
            thread: if is_repeated { of.to_string() } else { self.thread.id.clone() },
            model: message.model.to_string(),
            input: usage.input_tokens.0,
            cached: usage.cache_read_input_tokens.0,
            cache_written: written,
            cache_written_long: usage.cache_creation.0.ephemeral_1h_input_tokens.0.min(written),
            output: usage.output_tokens.0,
            reasoning: usage.output_tokens_details.0.thinking_tokens.0.min(usage.output_tokens.0),
        };
        let counts = [spent.input, spent.cached, spent.cache_written, spent.output];
        let all = counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let key = hash(&[&answer]);
        if all > self.answers.get(key).unwrap_or(0) {
            self.answers.put(key, all);
            let time = told.record.timestamp.parse().ok();
            told.out.push(Fact { id: format!("{answer}/tokens"), time, what: What::Spent(spent) });
        }
    }
}

/// Tells what a person asks for, and what the agent may do for that.
fn asked(content: Option<&RawValue>, told: &mut Told) {
    let (role, text) = of_person(words(&blocks(content)));
    if role != Role::User || text.trim().is_empty() {
        return;
    }
    let time = told.record.timestamp.parse().ok();
    let permission_mode = told.record.permission_mode.to_string();
    let began = Turn::Began { id: String::new(), permission_mode };
    for (part, turn) in [("began", began), ("asked", Turn::Asked { text })] {
        told.out.push(Fact { id: format!("{}/{part}", told.id), time, what: What::Turn(turn) });
    }
}

fn assistant(message: &Message, told: &mut Told) {
    let role = if &*message.model == NO_MODEL { Role::System } else { Role::Assistant };
    for (n, block) in blocks(message.content).into_iter().enumerate() {
        match &*block.kind {
            "text" => told.say(Some(n), role, block.text.0.into_owned()),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => told.tell(
                Some(n),
                What::Called {
                    call: block.id.0.into_owned(),
                    tool: block.name.0.into_owned(),
                    input: block.input.map_or("", RawValue::get).to_owned(),
                },
            ),
            _ => {}
        }
    }
}

/// The blocks of a message, whose content may be a text alone.
fn blocks(content: Option<&RawValue>) -> Vec<Block<'_>> {
    let Some(content) = content else { return Vec::new() };
    if content.get().starts_with('"') {
        let text = parse::<Text>(content.get()).unwrap_or_default();
        return vec![Block { kind: Text(Cow::Borrowed("text")), text, ..Block::default() }];
    }
    each(content)
}

/// Texts alone, a line each.
fn words(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks.iter().filter(|b| &*b.kind == "text").map(|b| &*b.text).collect();
    texts.join("\n")
}

/// Texts and images, a line each.
fn joined(blocks: &[Block]) -> String {
    let mut lines: Vec<Cow<str>> = Vec::new();
    for block in blocks {
        match &*block.kind {
            "text" => lines.push(Cow::Borrowed(&block.text)),
            "image" | "document" => lines.push(Cow::Owned(pictured(&block.source.0))),
            _ => {}
        }
    }
    lines.join("\n")
}

fn pictured(source: &Source) -> String {
    if source.data.is_empty() {
        image::addressed(&source.url)
    } else {
        image::embedded(&source.media_type, &source.data)
    }
}

/// What a tool gave back, as text.
fn result(content: Option<&RawValue>) -> String {
    match content {
        Some(content) if content.get().starts_with('{') => content.get().to_owned(),
        content => joined(&blocks(content)),
    }
}

/// Whose words a text in a person's place is, without what the program has put around them.
fn of_person(text: String) -> (Role, String) {
    let is_notice = NOTICES.iter().any(|notice| text.starts_with(notice));
    if is_notice || text.contains(OURS) {
        return (Role::System, text);
    }
    let rest = without_tags(&text);
    match rest.trim() {
        "" => (Role::System, text),
        words if words.len() == text.len() => (Role::User, text),
        words => (Role::User, words.to_owned()),
    }
}

/// The text without the pairs of tags in [`TAGS`] and what stands between them.
fn without_tags(text: &str) -> Cow<'_, str> {
    let mut kept: Option<String> = None;
    let (mut at, mut copied) = (0, 0);
    // A tag whose end was looked for in vain is not looked for again: each byte is searched once a tag.
    let mut endless = [false; TAGS.len()];
    while let Some(found) = memchr::memchr(b'<', &text.as_bytes()[at..]) {
        let open = at + found;
        at = open + 1;
        let rest = &text[open + 1..];
        let is_here = |tag: &str| rest.strip_prefix(tag).is_some_and(|rest| rest.starts_with('>'));
        let Some(n) = TAGS.iter().position(|tag| is_here(tag)).filter(|n| !endless[*n]) else { continue };
        let end = format!("</{}>", TAGS[n]);
        let Some(length) = memchr::memmem::find(rest.as_bytes(), end.as_bytes()) else {
            endless[n] = true;
            continue;
        };
        kept.get_or_insert_default().push_str(&text[copied..open]);
        at = open + 1 + length + end.len();
        copied = at;
    }
    match kept {
        None => Cow::Borrowed(text),
        Some(mut kept) => {
            kept.push_str(&text[copied..]);
            Cow::Owned(kept)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Claude, Vec<What>) {
        let (mut reader, mut out) = (Claude::default(), Vec::new());
        for line in lines {
            reader.line(line.as_bytes(), &mut out);
        }
        (reader, out.into_iter().map(|fact| fact.what).collect())
    }

    fn said(role: Role, text: &str) -> What {
        What::Said { role, text: text.to_owned() }
    }

    #[test]
    fn only_a_persons_words_are_a_persons() {
        let check = |text: &str, role: Role, expected: &str| {
            assert_eq!(of_person(text.to_owned()), (role, expected.to_owned()), "{text}");
        };
        check("Hello <b>you</b>", Role::User, "Hello <b>you</b>");
        check("<system-reminder>a\n</system-reminder>\nHello", Role::User, "Hello");
        check("A<command-args>x</command-args>B<bash-stdout>", Role::User, "AB<bash-stdout>");
        check(
            "<command-name>/compact</command-name> ",
            Role::System,
            "<command-name>/compact</command-name> ",
        );
        check("<system-reminder>never closed", Role::User, "<system-reminder>never closed");
        check("[Request interrupted by user]", Role::System, "[Request interrupted by user]");
        check("x <!-- ox-hash: 1 -->", Role::System, "x <!-- ox-hash: 1 -->");
    }

    #[test]
    fn tags_without_an_end_cost_no_more_than_others() {
        let text = "<system-reminder><command-name>".repeat(200_000);
        assert_eq!(without_tags(&text), text);
    }

    #[test]
    fn an_answer_in_pieces_counts_as_its_last_piece_says() {
        let piece = |uuid: &str, text: &str, output: u64| {
            format!(
                r#"{{"type":"assistant","uuid":"{uuid}","sessionId":"s","message":{{"id":"m","model":"x","content":[{{"type":"text","text":"{text}"}}],"usage":{{"input_tokens":5,"output_tokens":{output}}}}}}}"#
            )
        };
        let (_, facts) = read(&[&piece("a", "One", 1), &piece("b", "Two", 1), &piece("c", "Three", 9)]);
        let outputs: Vec<u64> =
            facts.iter().filter_map(|f| if let What::Spent(s) = f { Some(s.output) } else { None }).collect();
        assert_eq!(outputs, [1, 9]);
        assert_eq!(facts.len(), 6, "{facts:?}");
    }

    #[test]
    fn a_record_that_is_written_again_is_told_once() {
        let line = r#"{"type":"user","uuid":"a","sessionId":"s","message":{"content":"Hello"}}"#;
        let (_, facts) = read(&[line, line]);
        assert_eq!(facts.len(), 2);
        assert_eq!(facts[1], said(Role::User, "Hello"));
    }

    #[test]
    fn a_session_in_a_new_file_goes_on_from_the_old_one() {
        let line = |uuid: &str, session: &str| {
            format!(
                r#"{{"type":"user","uuid":"{uuid}","sessionId":"{session}","message":{{"content":"Hi"}}}}"#
            )
        };
        let (reader, _) = read(&[&line("a", "old"), &line("b", "new")]);
        let thread = reader.thread();
        assert_eq!((&*thread.id, &*thread.session, &*thread.forked_from), ("new", "new", "old"));
    }

    #[test]
    fn what_is_not_known_is_counted() {
        let (reader, facts) = read(&[
            "",
            "{",
            "[]",
            r#"{"type":"new-kind"}"#,
            r#"{"type":"mode"}"#,
            r#"{"no":"type"}"#,
            r#"{"type":"user","uuid":"a","message":[]}"#,
            r#"{"type":"user","uuid":"b","message":{"content":[1,"x",{"type":"text","text":7},{"type":"future"}]}}"#,
        ]);
        assert_eq!(reader.skipped(), Skipped { unknown: 1, damaged: 3 });
        assert_eq!(facts, []);
    }
}
