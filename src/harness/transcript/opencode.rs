//! opencode: a database for all sessions.
//!
//! Seen at 1.18.33. A message is a row with parts; rows change while a turn runs and are read by `time_updated`. An answer of the model is a
//! `step-finish` among the parts; the message has the tokens of its last one only. A fork copies messages and parts under new ids and
//! leaves their content and the messages' `time_created` as they were, so facts and answers are named by these. The calls for titles
//! are written down nowhere. Older versions kept files instead; those are not read.

mod database;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use database::{Cannot, Database, SESSIONS_MAX, Session, at, path, running};

use super::image::embedded;
use super::lenient::{Raw, parsed, string};
use super::memory::name;
use super::told::Told;
use super::{Fact, Role, Skipped, Spent, Thread, Turn, What};

/// The reader of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Opencode {
    /// The session's id.
    session: String,
    thread: Thread,
    told: Told,
    skipped: Skipped,
    /// Turns are told, by the id of the message that began each.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    turns: bool,
    /// The turn that was told last.
    #[serde(skip_serializing_if = "String::is_empty")]
    turn: String,
    /// What was changed before this is read, in milliseconds since 1970.
    since: i64,
    /// The pass through what has changed that is under way.
    pass: Option<Pass>,
}

/// A pass through the messages that have changed, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Pass {
    /// The newest change when it began.
    until: i64,
    /// The message it has come to.
    created: i64,
    id: String,
}

/// A message with its parts, as they stand there.
struct Message {
    id: String,
    created: i64,
    /// `None` if it is too long.
    data: Option<String>,
    parts: Vec<Option<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow, default)]
    role: Raw<'a>,
    #[serde(borrow, default, rename = "modelID")]
    model_id: Raw<'a>,
    #[serde(borrow, default, rename = "providerID")]
    provider_id: Raw<'a>,
    #[serde(borrow, default)]
    path: Raw<'a>,
    #[serde(borrow, default)]
    summary: Raw<'a>,
    #[serde(borrow, default)]
    error: Raw<'a>,
    #[serde(borrow, default)]
    finish: Raw<'a>,
    #[serde(borrow, default, rename = "parentID")]
    parent_id: Raw<'a>,
    #[serde(borrow, default)]
    time: Raw<'a>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow, default)]
    cwd: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Times {
    start: Option<i64>,
    end: Option<i64>,
    completed: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    r#type: Raw<'a>,
    #[serde(borrow, default)]
    text: Raw<'a>,
    #[serde(borrow, default)]
    synthetic: Raw<'a>,
    #[serde(borrow, default)]
    ignored: Raw<'a>,
    #[serde(borrow, default)]
    time: Raw<'a>,
    #[serde(borrow, default)]
    tool: Raw<'a>,
    #[serde(borrow, default, rename = "callID")]
    call_id: Raw<'a>,
    #[serde(borrow, default)]
    state: Raw<'a>,
    #[serde(borrow, default)]
    tokens: Raw<'a>,
    #[serde(borrow, default)]
    mime: Raw<'a>,
    #[serde(borrow, default)]
    url: Raw<'a>,
    #[serde(borrow, default)]
    filename: Raw<'a>,
}

#[derive(Deserialize)]
struct State<'a> {
    #[serde(borrow, default)]
    status: Raw<'a>,
    #[serde(borrow, default)]
    input: Raw<'a>,
    #[serde(borrow, default)]
    output: Raw<'a>,
    #[serde(borrow, default)]
    error: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
    #[serde(borrow, default)]
    time: Raw<'a>,
}

#[derive(Deserialize)]
struct Exit {
    #[serde(default)]
    exit: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    total: Option<u64>,
    input: u64,
    output: u64,
    reasoning: u64,
    cache: Cache,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cache {
    read: u64,
    write: u64,
}

/// Whether a part is that of a tool that runs.
fn is_running(part: &str) -> bool {
    let part = serde_json::from_str::<Part<'_>>(part).ok();
    let state = part.and_then(|part| parsed::<State<'_>>(part.state));
    state.is_some_and(|state| string(state.status).as_deref() == Some("running"))
}

fn is_true(raw: Raw<'_>) -> bool {
    raw.is_some_and(|raw| raw.get() == "true")
}

fn time(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}

/// Whether a copied message's words are told, or only what it cost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Told,
    Untold,
}

impl Opencode {
    /// A reader of the session with this id.
    pub fn new(session: &str) -> Opencode {
        Opencode { session: session.to_string(), ..Opencode::default() }
    }

    /// A reader of that session of the program that recordings call `kind`, if it keeps a database.
    pub fn of(kind: &str, session: &str) -> Option<Opencode> {
        (kind == "opencode").then(|| Opencode::new(session))
    }

    /// What was passed over so far.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// From now on it tells of turns, too, as [`super::Reader::tell_turns`].
    pub fn tell_turns(&mut self) {
        self.turns = true;
    }

    /// What follows belongs to the turn that began with that message.
    fn in_turn(&mut self, id: &str, time: Option<Timestamp>, out: &mut Vec<Fact>) {
        if self.turns && !id.is_empty() && self.turn != id {
            id.clone_into(&mut self.turn);
            let began = Turn::Began { id: id.to_owned(), permission_mode: String::new() };
            out.push(Fact { id: format!("{id}#began"), time, what: What::Turn(began) });
        }
    }

    /// Tells what is known of the session if that has changed.
    fn now(&mut self, mut thread: Thread, at: Option<Timestamp>, out: &mut Vec<Fact>) {
        // What the messages say is newer.
        if thread.model.is_empty() {
            thread.model.clone_from(&self.thread.model);
        }
        if thread != self.thread {
            let known = serde_json::to_string(&thread).unwrap_or_default();
            out.push(Fact { id: name(&["thread", &known]), time: at, what: What::Thread(thread.clone()) });
            self.thread = thread;
        }
    }

    /// Tells what is new in a message.
    fn message(&mut self, message: &Message, words: Words, out: &mut Vec<Fact>) {
        let data = message.data.as_deref().and_then(|data| serde_json::from_str::<Data<'_>>(data).ok());
        let Some(data) = data else {
            if self.told.first(&["damaged", &message.id]) {
                self.skipped.damaged += 1;
            }
            return;
        };
        let role = match string(data.role).as_deref() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => {
                if self.told.first(&["unknown", &message.id]) {
                    self.skipped.unknown += 1;
                }
                return;
            }
        };
        let model = string(data.model_id).unwrap_or_default();
        // One that is read again says nothing of now.
        let place = words == Words::Told && role == Role::Assistant;
        if place && self.told.first(&["place", &message.id]) {
            let mut thread = self.thread.clone();
            if !model.is_empty() {
                thread.model = model.to_string();
            }
            if let Some(place) = parsed::<Place<'_>>(data.path).filter(|place| !place.cwd.is_empty()) {
                thread.cwd = place.cwd.into_owned();
            }
            self.now(thread, time(message.created), out);
        }
        let completed = parsed::<Times>(data.time).and_then(|times| times.completed);
        let ended = completed.is_some() || data.error.is_some();
        let asked = string(data.parent_id).unwrap_or_default();
        if words == Words::Told {
            let turn = if role == Role::User { &message.id } else { &*asked };
            self.in_turn(turn, time(message.created), out);
        }
        let mut seen = Seen {
            message: &message.id,
            role: if is_true(data.summary) { Role::System } else { role },
            ended: ended || role == Role::User,
            created: message.created,
            counted: Vec::new(),
            words,
            maker: string(data.provider_id).unwrap_or_default(),
            model,
            last: String::new(),
        };
        for part in &message.parts {
            match part.as_deref().and_then(|part| serde_json::from_str::<Part<'_>>(part).ok()) {
                Some(part) => self.part(&mut seen, &part, out),
                None => {
                    if self.told.first(&["damaged", &message.id, &seen.id("damaged", "")]) {
                        self.skipped.damaged += 1;
                    }
                }
            }
        }
        // With these it goes on.
        let goes_on = matches!(string(data.finish).as_deref(), Some("tool-calls" | "unknown"));
        let is_last = seen.role == Role::Assistant && ended && (!goes_on || data.error.is_some());
        if self.turns && is_last && words == Words::Told && self.told.first(&["ended", &message.id]) {
            let ended = Turn::Ended { text: seen.last };
            let time = time(completed.unwrap_or(message.created));
            out.push(Fact { id: format!("{}#ended", message.id), time, what: What::Turn(ended) });
        }
    }

    fn part(&mut self, seen: &mut Seen<'_>, part: &Part<'_>, out: &mut Vec<Fact>) {
        let kind = string(part.r#type).unwrap_or_default();
        match &*kind {
            "text" => {
                let text = string(part.text).unwrap_or_default();
                let times = parsed::<Times>(part.time).unwrap_or_default();
                // While it streams it has a beginning and no end.
                if text.trim().is_empty() || is_true(part.ignored) || !(seen.ended || times.end.is_some()) {
                    return;
                }
                let role = if is_true(part.synthetic) { Role::System } else { seen.role };
                self.say(seen, role, text.into_owned(), times.start, out);
            }
            "file" => {
                let mime = string(part.mime).unwrap_or_default();
                let url = string(part.url).unwrap_or_default();
                if mime.starts_with("image/")
                    && let Some((_, base64)) = url.split_once(";base64,")
                {
                    self.say(seen, seen.role, embedded(&mime, base64), None, out);
                } else if !url.starts_with("data:") {
                    let file = string(part.filename).unwrap_or(url);
                    self.say(seen, Role::System, format!("[file {file}]"), None, out);
                }
            }
            "tool" => self.tool(seen, part, out),
            "step-finish" => self.answer(seen, part, out),
            "compaction" => {
                let id = seen.id("compaction", "");
                if seen.words == Words::Told && self.told.first(&[&id]) {
                    out.push(Fact { id, time: time(seen.created), what: What::Compacted });
                }
            }
            // Thinking, marks between steps, and what changed in files.
            "reasoning" | "step-start" | "snapshot" | "patch" | "agent" | "subtask" | "retry" => {}
            _ => {
                if self.told.first(&[&seen.id("unknown", &kind)]) {
                    self.skipped.unknown += 1;
                }
            }
        }
    }

    fn say(
        &mut self,
        seen: &mut Seen<'_>,
        role: Role,
        text: String,
        start: Option<i64>,
        out: &mut Vec<Fact>,
    ) {
        let id = seen.id("text", &text);
        if self.turns && role == Role::Assistant {
            text.clone_into(&mut seen.last);
        }
        if seen.words == Words::Told && self.told.first(&[&id]) {
            let time = time(start.unwrap_or(seen.created));
            // Of a sub-agent nobody asks but its parent.
            let is_asked = self.turns && role == Role::User && self.thread.parent.is_empty();
            if is_asked && self.told.first(&["asked", seen.message]) {
                let asked = Turn::Asked { text: text.clone() };
                out.push(Fact { id: format!("{}#asked", seen.message), time, what: What::Turn(asked) });
            }
            out.push(Fact { id, time, what: What::Said { role, text } });
        }
    }

    fn tool(&mut self, seen: &mut Seen<'_>, part: &Part<'_>, out: &mut Vec<Fact>) {
        let call = string(part.call_id).unwrap_or_default().into_owned();
        let key = seen.id("call", &call);
        let Some(state) = parsed::<State<'_>>(part.state) else { return };
        let status = string(state.status).unwrap_or_default();
        // Pending: its input is still being written.
        if seen.words == Words::Untold || !matches!(&*status, "running" | "completed" | "error") {
            return;
        }
        let times = parsed::<Times>(state.time).unwrap_or_default();
        if self.told.first(&[&key, "call"]) {
            let tool = string(part.tool).unwrap_or_default().into_owned();
            let input = state.input.map_or("{}", RawValue::get).to_string();
            let at = time(times.start.unwrap_or(seen.created));
            out.push(Fact {
                id: key.clone(),
                time: at,
                what: What::Called { call: call.clone(), tool, input },
            });
        }
        if status != "running" && self.told.first(&[&key, "result"]) {
            let exit = parsed::<Exit>(state.metadata).and_then(|m| m.exit);
            let failed = status == "error" || exit.is_some_and(|code| code != 0);
            let output = string(state.output).or_else(|| string(state.error)).unwrap_or_default();
            let what = What::Returned { call, output: output.into_owned(), failed };
            out.push(Fact {
                id: format!("{key}#result"),
                time: time(times.end.unwrap_or(seen.created)),
                what,
            });
        }
    }

    fn answer(&mut self, seen: &mut Seen<'_>, part: &Part<'_>, out: &mut Vec<Fact>) {
        let tokens = parsed::<Tokens>(part.tokens).unwrap_or_default();
        let Cache { read, write } = tokens.cache;
        let counts = [tokens.input, tokens.output, tokens.reasoning, read, write];
        let known: Vec<String> = counts.iter().map(u64::to_string).collect();
        let answer =
            seen.id("answer", &[seen.maker.as_ref(), seen.model.as_ref(), &known.join(" ")].join(" "));
        if !self.told.first(&[&answer]) {
            return;
        }
        // Reasoning stands beside the output, unless the total says that it is part of it.
        let sum = |counts: &[u64]| counts.iter().copied().fold(0, u64::saturating_add);
        let within = tokens.total == Some(sum(&[tokens.input, tokens.output, read, write]));
        let spent = Spent {
            answer: answer.clone(),
            thread: String::new(),
            model: seen.model.to_string(),
            input: tokens.input,
            cached: read,
            cache_written: write,
            cache_written_long: 0,
            output: if within { tokens.output } else { sum(&[tokens.output, tokens.reasoning]) },
            reasoning: tokens.reasoning,
        };
        out.push(Fact { id: answer, time: time(seen.created), what: What::Spent(spent) });
    }
}

/// The message whose parts are read.
struct Seen<'a> {
    message: &'a str,
    role: Role,
    /// Nothing of it changes any more.
    ended: bool,
    created: i64,
    counted: Vec<String>,
    words: Words,
    maker: Cow<'a, str>,
    model: Cow<'a, str>,
    /// What was said last in it, where turns are told.
    last: String,
}

impl Seen<'_> {
    /// What a part is known by, in a copy too: when its message was made, what it is, and the how-manieth of that it is.
    fn id(&mut self, kind: &str, what: &str) -> String {
        let known = name(&[&self.created.to_string(), kind, what]);
        let before = self.counted.iter().filter(|id| **id == known).count();
        self.counted.push(known.clone());
        if before == 0 { known } else { format!("{known}-{before}") }
    }
}
