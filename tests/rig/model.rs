//! A model server for agent programs, on loopback, with no model behind it: it does what a script says, and counts what it serves.
//!
//! Four interfaces, each streamed: Anthropic's messages, OpenAI's responses and chat completions, Gemini's `streamGenerateContent`. A
//! conversation is at the last turn whose word a person has said in it; as many of that turn's calls are done as have results behind that.

use std::sync::{Arc, Mutex};

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
}

/// Tokens of one answer, each in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub reasoning: u64,
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
}

impl Model {
    /// Starts one that knows these turns.
    pub fn start(turns: Vec<Turn>) -> Model {
        let served: Arc<Mutex<Vec<Served>>> = Arc::default();
        let log = Arc::clone(&served);
        let server = Server::start(move |_, request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
            let mut words = head.split(' ');
            if words.next() == Some("HEAD") {
                return vec![answer(200, "", b"")];
            }
            let target = words.next().unwrap_or_default();
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            vec![reply(target, &body, &turns, &log)]
        });
        Model { server, served }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// What was served of these turns' answers.
    pub fn served(&self) -> Vec<Served> {
        self.served.lock().unwrap().iter().filter(|served| !served.word.is_empty()).cloned().collect()
    }
}

/// Something in a conversation that is not the model's.
enum Item {
    Said(String),
    Result(String),
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
    let (api, items) = if path.ends_with("/messages") {
        (Api::Messages, of_messages(body))
    } else if path.ends_with("/responses") {
        (Api::Responses, of_responses(body))
    } else if path.ends_with("/chat/completions") {
        (Api::Chat, of_chat(body))
    } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
        (Api::Gemini, of_contents(body))
    } else {
        return document(&json!({ "object": "list", "data": [], "models": [] }));
    };
    // What a program asks for itself, a title or which model is to be taken, comes without tools.
    let is_turn = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let (word, next) = if is_turn { next(&items, turns) } else { ("", Next::Text(aside(body))) };
    let model = match api {
        Api::Gemini => path.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap_or_default(),
        _ => body["model"].as_str().unwrap_or_default(),
    };
    let mut log = log.lock().unwrap();
    let n = log.len() as u64 + 1;
    let tokens = tokens(api, n);
    log.push(Served { word, model: model.to_owned(), tokens });
    drop(log);
    let call = |next: &Next| api.call(next, body);
    let streamed = path.ends_with(":streamGenerateContent") || body["stream"] == true;
    let events = match api {
        Api::Messages => messages(n, model, tokens, &next, call(&next)),
        Api::Responses => responses(n, tokens, &next, call(&next)),
        Api::Chat => chat(n, model, tokens, &next, call(&next)),
        Api::Gemini => gemini(model, tokens, &next, call(&next)),
    };
    if streamed {
        return stream(&events);
    }
    // Only gemini asks like this, when it looks for the model that fits.
    document(&events.last().map(|(_, data)| data.clone()).unwrap_or_default())
}

/// What is answered to what a program asks for itself: a title, or as a document which model is to do the work (gemini).
fn aside(body: &Value) -> String {
    if body["generationConfig"]["responseMimeType"] == "application/json" {
        json!({ "reasoning": "any will do", "model_choice": "flash", "complexity_reasoning": "none", "complexity_score": 10 }).to_string()
    } else {
        "A title".to_owned()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    Messages,
    Responses,
    Chat,
    Gemini,
}

impl Api {
    /// The tool that does it, and what it is given.
    fn call(self, next: &Next, body: &Value) -> Option<(&'static str, Value)> {
        const LONG: u64 = 600_000;
        let call = match next {
            Next::Text(text) => {
                // A sub-agent of gemini says by a tool that it has done.
                let is_asked = self == Api::Gemini && declares(body, "complete_task");
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
        Some(match (self, call) {
            (Api::Messages, Call::Shell(command)) => {
                ("Bash", json!({ "command": command, "description": "run it", "timeout": LONG }))
            }
            (Api::Messages, Call::Agent(prompt)) => (
                "Agent",
                json!({
                    "description": "look around", "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": false,
                }),
            ),
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
            (Api::Chat, Call::Agent(prompt)) => (
                "task",
                json!({ "description": "look around", "prompt": prompt, "subagent_type": "general" }),
            ),
            (Api::Gemini, Call::Shell(command)) => ("run_shell_command", json!({ "command": command })),
            (Api::Gemini, Call::Agent(prompt)) => {
                ("invoke_agent", json!({ "agent_name": "codebase_investigator", "prompt": prompt }))
            }
            (_, Call::Wait) => return None,
        })
    }
}

/// Whether gemini offers a tool.
fn declares(body: &Value, tool: &str) -> bool {
    let tools = body["tools"].as_array().into_iter().flatten();
    let all = tools.filter_map(|tools| tools["functionDeclarations"].as_array()).flatten();
    all.into_iter().any(|declared| declared["name"] == tool)
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

/// A string, or the texts of a list of parts.
fn texts(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn of_messages(body: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    let messages = body["messages"].as_array().into_iter().flatten();
    for content in messages.filter(|message| message["role"] == "user").map(|message| &message["content"]) {
        let results = content.as_array().into_iter().flatten().filter(|part| part["type"] == "tool_result");
        items.extend(results.map(|part| Item::Result(texts(&part["content"]))));
        items.push(Item::Said(texts(content)));
    }
    items
}

fn of_responses(body: &Value) -> Vec<Item> {
    let all = body["input"].as_array().into_iter().flatten();
    all.filter_map(|item| match item["type"].as_str()? {
        "message" if item["role"] == "user" => Some(Item::Said(texts(&item["content"]))),
        kind if kind.ends_with("_call_output") => Some(Item::Result(texts(&item["output"]))),
        _ => None,
    })
    .collect()
}

fn of_chat(body: &Value) -> Vec<Item> {
    let all = body["messages"].as_array().into_iter().flatten();
    all.filter_map(|message| match message["role"].as_str()? {
        "user" => Some(Item::Said(texts(&message["content"]))),
        "tool" => Some(Item::Result(texts(&message["content"]))),
        _ => None,
    })
    .collect()
}

fn of_contents(body: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    let contents = body["contents"].as_array().into_iter().flatten();
    for parts in contents.filter(|content| content["role"] == "user").map(|content| &content["parts"]) {
        let results = parts.as_array().into_iter().flatten().filter_map(|part| part.get("functionResponse"));
        items.extend(results.map(|result| Item::Result(result["response"].to_string())));
        items.push(Item::Said(texts(parts)));
    }
    items
}

type Events = Vec<(&'static str, Value)>;

fn text_of(next: &Next) -> &str {
    if let Next::Text(text) = next { text } else { "" }
}

fn messages(n: u64, model: &str, tokens: Tokens, next: &Next, call: Option<(&str, Value)>) -> Events {
    let usage = json!({
        "input_tokens": tokens.input, "cache_read_input_tokens": tokens.cached, "cache_creation_input_tokens": 0, "output_tokens": 1,
    });
    let (block, delta, stop) = match call {
        Some((tool, input)) => (
            json!({ "type": "tool_use", "id": format!("toolu_{n}"), "name": tool, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": input.to_string() }),
            "tool_use",
        ),
        None => (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": text_of(next) }),
            "end_turn",
        ),
    };
    let message = json!({
        "id": format!("msg_{n}"), "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": usage,
    });
    let end = json!({ "stop_reason": stop, "stop_sequence": null });
    let all = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": end, "usage": { "output_tokens": tokens.output } }),
        json!({ "type": "message_stop" }),
    ];
    let names = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    names.into_iter().zip(all).collect()
}

fn responses(n: u64, tokens: Tokens, next: &Next, call: Option<(&str, Value)>) -> Events {
    let item = match call {
        Some((tool, input)) => {
            let mut item = json!({
                "type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"), "name": tool,
                "arguments": input.to_string(),
            });
            if tool.ends_with("_agent") {
                item["namespace"] = "multi_agent_v1".into();
            }
            item
        }
        None => {
            let text = json!({ "type": "output_text", "text": text_of(next), "annotations": [] });
            json!({ "type": "message", "role": "assistant", "id": format!("msg_{n}"), "content": [text] })
        }
    };
    let all = tokens.input + tokens.cached;
    let usage = json!({
        "input_tokens": all, "input_tokens_details": { "cached_tokens": tokens.cached }, "output_tokens": tokens.output,
        "output_tokens_details": { "reasoning_tokens": tokens.reasoning }, "total_tokens": all + tokens.output,
    });
    let id = format!("resp_{n}");
    let done = json!({ "id": id, "output": [item.clone()], "usage": usage });
    vec![
        ("response.created", json!({ "type": "response.created", "response": { "id": id } })),
        (
            "response.output_item.done",
            json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        ),
        ("response.completed", json!({ "type": "response.completed", "response": done })),
    ]
}

fn chat(n: u64, model: &str, tokens: Tokens, next: &Next, call: Option<(&str, Value)>) -> Events {
    let (delta, stop) = match call {
        Some((tool, input)) => {
            let call = json!({
                "index": 0, "id": format!("call_{n}"), "type": "function",
                "function": { "name": tool, "arguments": input.to_string() },
            });
            (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls")
        }
        None => (json!({ "role": "assistant", "content": text_of(next) }), "stop"),
    };
    let all = tokens.input + tokens.cached;
    let usage = json!({
        "prompt_tokens": all, "completion_tokens": tokens.output, "total_tokens": all + tokens.output,
        "prompt_tokens_details": { "cached_tokens": tokens.cached },
        "completion_tokens_details": { "reasoning_tokens": tokens.reasoning },
    });
    let chunk = |choice: Value, usage: &Value| {
        json!({
            "id": format!("chatcmpl_{n}"), "created": 1, "model": model, "object": "chat.completion.chunk",
            "choices": [choice], "usage": usage,
        })
    };
    vec![
        ("", chunk(json!({ "index": 0, "delta": delta, "finish_reason": null }), &Value::Null)),
        ("", chunk(json!({ "index": 0, "delta": {}, "finish_reason": stop }), &usage)),
        ("", "[DONE]".into()),
    ]
}

fn gemini(model: &str, tokens: Tokens, next: &Next, call: Option<(&str, Value)>) -> Events {
    let Tokens { input, cached, output, reasoning } = tokens;
    let part = match call {
        Some((tool, input)) => json!({ "functionCall": { "name": tool, "args": input } }),
        None => json!({ "text": text_of(next) }),
    };
    let content = json!({ "role": "model", "parts": [part] });
    let usage = json!({
        "promptTokenCount": input + cached, "cachedContentTokenCount": cached, "candidatesTokenCount": output - reasoning,
        "thoughtsTokenCount": reasoning, "totalTokenCount": input + cached + output,
    });
    let answer = json!({
        "candidates": [{ "content": content, "finishReason": "STOP", "index": 0 }], "usageMetadata": usage, "modelVersion": model,
    });
    vec![("", answer)]
}

fn stream(events: &Events) -> Act {
    let mut out = String::new();
    for (name, data) in events {
        if !name.is_empty() {
            out += &format!("event: {name}\n");
        }
        out += &match data {
            Value::String(word) => format!("data: {word}\n\n"),
            data => format!("data: {data}\n\n"),
        };
    }
    answer(200, "Content-Type: text/event-stream\r\n", out.as_bytes())
}

fn document(value: &Value) -> Act {
    answer(200, "Content-Type: application/json\r\n", value.to_string().as_bytes())
}
