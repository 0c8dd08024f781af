//! A model server for agent programs, on loopback, with no model behind it: it does what a script says, and counts what it serves.
//!
//! Four interfaces, each streamed: Anthropic's messages, OpenAI's responses and chat completions, Gemini's `streamGenerateContent`. A
//! conversation is at the last turn whose word a person has said in it; as many of that turn's calls are done as have results behind that.

use std::sync::{Arc, Mutex};

use ox::hooks::probe::speech::{self, Api, Item, Says, Tokens};
use serde_json::{Value, json};

use crate::support::http_script::{Act, Server, answer};

/// What the model does when it is told a word.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The word. No other text than the prompt of this turn has it.
    pub word: &'static str,
    /// What it calls, one after the other.
    pub calls: Vec<Call>,
    /// What it says in the end.
    pub answer: String,
}

/// What the model has a program do.
#[derive(Clone, Debug)]
pub enum Call {
    /// A shell command.
    Shell(String),
    /// Another agent, within the program, with this prompt.
    Agent(String),
    /// Wait for that one, where the program does not by itself.
    Wait,
    /// A file of that name in its directory, anew (Claude Code).
    Write(String),
}

/// An answer that was served.
#[derive(Clone, Debug)]
pub struct Served {
    /// The turn's word; empty of what the program asks for itself, such as a title, which no transcript has.
    pub word: &'static str,
    /// The model that was asked for.
    pub model: String,
    pub tokens: Tokens,
}

/// The server.
pub struct Model {
    server: Server,
    served: Arc<Mutex<Vec<Served>>>,
    heard: Arc<Mutex<String>>,
}

impl Model {
    /// Starts one that knows these turns.
    pub fn start(turns: Vec<Turn>) -> Model {
        let served: Arc<Mutex<Vec<Served>>> = Arc::default();
        let log = Arc::clone(&served);
        let heard: Arc<Mutex<String>> = Arc::default();
        let all = Arc::clone(&heard);
        let server = Server::start(move |_, request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
            let mut words = head.split(' ');
            if words.next() == Some("HEAD") {
                return vec![answer(200, "", b"")];
            }
            let target = words.next().unwrap_or_default();
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            all.lock().unwrap().push_str(&body.to_string());
            vec![reply(target, &body, &turns, &log)]
        });
        Model { server, served, heard }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// Whether that stood in anything that it was told, as JSON writes it.
    pub fn heard(&self, text: &str) -> bool {
        self.heard.lock().unwrap().contains(text)
    }

    /// How often it was asked for an answer.
    pub fn asked(&self) -> usize {
        self.served.lock().unwrap().len()
    }

    /// What was served of these turns' answers.
    pub fn served(&self) -> Vec<Served> {
        self.served.lock().unwrap().iter().filter(|served| !served.word.is_empty()).cloned().collect()
    }
}

/// What the model says next.
enum Next {
    Call(Call),
    /// More of the result of the last one, which this process has not ended.
    More(u64),
    Text(String),
}

fn reply(target: &str, body: &Value, turns: &[Turn], log: &Mutex<Vec<Served>>) -> Act {
    let path = target.split('?').next().unwrap_or_default();
    if path.ends_with("/count_tokens") || path.ends_with(":countTokens") {
        return document(&json!({ "input_tokens": 10, "totalTokens": 10 }));
    }
    let Some(api) = Api::of(path) else {
        return document(&json!({ "object": "list", "data": [], "models": [] }));
    };
    let items = api.items(body);
    let is_turn = speech::is_turn(body);
    let (word, next) = if is_turn { next(&items, turns) } else { ("", Next::Text(speech::aside(body))) };
    let model = api.model(path, body);
    let mut log = log.lock().unwrap();
    let n = log.len() as u64 + 1;
    let tokens = tokens(api, n);
    log.push(Served { word, model: model.to_owned(), tokens });
    drop(log);
    let says = match (call(api, &next, body), next) {
        (Some((tool, input)), _) => Says::Call { tool: tool.into(), input },
        (None, Next::Text(text)) => Says::Text(text),
        (None, _) => Says::Text(String::new()),
    };
    let events = api.answer(n, model, tokens, &says);
    if speech::is_streamed(path, body) {
        let text = speech::stream(&events);
        return answer(200, "Content-Type: text/event-stream\r\n", text.as_bytes());
    }
    // Only gemini asks like this, when it looks for the model that fits.
    document(&events.last().map(|(_, data)| data.clone()).unwrap_or_default())
}

/// The tool that does it, and what it is given.
fn call(api: Api, next: &Next, body: &Value) -> Option<(&'static str, Value)> {
    const LONG: u64 = 600_000;
    let call = match next {
        Next::Text(text) => {
            // A sub-agent of gemini says by a tool that it has done.
            let is_asked = api == Api::Gemini && api.tools(body).contains(&"complete_task");
            let report =
                json!({ "SummaryOfFindings": text, "ExplorationTrace": [], "RelevantLocations": [] });
            return is_asked.then(|| ("complete_task", json!({ "result": text, "report": report })));
        }
        Next::More(id) => {
            let more = json!({ "session_id": id, "chars": "", "yield_time_ms": 30_000 });
            return Some(("write_stdin", more));
        }
        Next::Call(call) => call,
    };
    Some(match (api, call) {
        (Api::Messages, Call::Shell(command)) => {
            ("Bash", json!({ "command": command, "description": "run it", "timeout": LONG }))
        }
        (Api::Messages, Call::Agent(prompt)) => (
            "Agent",
            json!({
                "description": "look around", "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": false,
            }),
        ),
        (Api::Messages, Call::Write(path)) => ("Write", json!({ "file_path": path, "content": "2\n" })),
        (Api::Responses, Call::Shell(command)) => {
            ("exec_command", json!({ "cmd": command, "yield_time_ms": 30_000 }))
        }
        (Api::Responses, Call::Agent(prompt)) => ("spawn_agent", json!({ "message": prompt })),
        (Api::Responses, Call::Wait) => {
            ("wait_agent", json!({ "targets": [spawned(body)], "timeout_ms": LONG }))
        }
        (Api::Chat, Call::Shell(command)) => {
            ("bash", json!({ "command": command, "description": "run it", "timeout": LONG }))
        }
        (Api::Chat, Call::Agent(prompt)) => {
            ("task", json!({ "description": "look around", "prompt": prompt, "subagent_type": "general" }))
        }
        (Api::Gemini, Call::Shell(command)) => ("run_shell_command", json!({ "command": command })),
        (Api::Gemini, Call::Agent(prompt)) => {
            ("invoke_agent", json!({ "agent_name": "codebase_investigator", "prompt": prompt }))
        }
        (_, Call::Wait | Call::Write(_)) => return None,
    })
}

fn next(items: &[Item], turns: &[Turn]) -> (&'static str, Next) {
    let turn_of = |item: &Item| match item {
        Item::Said(text) => turns.iter().find(|turn| text.contains(turn.word)),
        Item::Result(_) => None,
    };
    let found = items.iter().enumerate().rev().find_map(|(at, item)| Some((at, turn_of(item)?)));
    let Some((at, turn)) = found else { return ("", Next::Text("Nothing to do.".into())) };
    let results = items[at..].iter().filter_map(|item| match item {
        Item::Result(text) => Some(text.as_str()),
        Item::Said(_) => None,
    });
    let results: Vec<&str> = results.collect();
    if let Some(id) = results.last().and_then(|text| unfinished(text)) {
        return (turn.word, Next::More(id));
    }
    let done = results.iter().filter(|text| unfinished(text).is_none()).count();
    let next = turn.calls.get(done).cloned();
    (turn.word, next.map_or_else(|| Next::Text(turn.answer.clone()), Next::Call))
}

/// The process that goes on, where a command has not ended in the time that it was given (codex).
fn unfinished(result: &str) -> Option<u64> {
    let (_, rest) = result.split_once("Process running with session ID ")?;
    rest.chars()
        .map_while(|c| c.to_digit(10))
        .fold(None, |n, digit| Some(n.unwrap_or(0) * 10 + u64::from(digit)))
}

/// The agent that was spawned last (codex).
fn spawned(body: &Value) -> Value {
    let outputs = body["input"].as_array().into_iter().flatten().rev();
    let mut ids = outputs.filter_map(|item| {
        serde_json::from_str::<Value>(item["output"].as_str()?).ok()?.get("agent_id").cloned()
    });
    ids.next().unwrap_or_default()
}

/// The n-th answer's tokens: no two answers have the same. Anthropic's interface does not tell reasoning apart.
fn tokens(api: Api, n: u64) -> Tokens {
    let cached = if n % 2 == 1 { 100 + n } else { 0 };
    let reasoning = if n.is_multiple_of(3) && api != Api::Messages { 5 } else { 0 };
    Tokens { input: 1000 + 17 * n - cached, cached, output: 50 + n + reasoning, reasoning }
}

fn document(value: &Value) -> Act {
    answer(200, "Content-Type: application/json\r\n", value.to_string().as_bytes())
}
