//! What model servers say to agent programs, in the forms of four interfaces: Anthropic's messages, OpenAI's responses and chat
//! completions, Gemini's `generateContent`. Pure.

use serde_json::{Value, json};

/// The interface that a program asks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Anthropic's messages.
    Messages,
    /// OpenAI's responses.
    Responses,
    /// OpenAI's chat completions, and whoever offers the same.
    Chat,
    /// Gemini's.
    Gemini,
}

/// Tokens of one answer, each in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read, and not known to the server before.
    pub input: u64,
    /// Read, and known.
    pub cached: u64,
    /// Written, with what was thought.
    pub output: u64,
    /// Of these, thought.
    pub reasoning: u64,
}

/// What a conversation holds that is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Somebody said it, or the program for them.
    Said(String),
    /// A tool gave it back.
    Result(String),
}

/// What the model says.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// Nothing more than this text.
    Text(String),
    /// That a tool is to be called.
    Call {
        /// Its name.
        tool: String,
        /// What it is given.
        input: Value,
    },
}

/// An answer as it is streamed: the events' names, empty where the interface has none, and what each holds.
pub type Events = Vec<(&'static str, Value)>;

impl Api {
    /// The interface whose requests for an answer go to a path.
    pub fn of(path: &str) -> Option<Api> {
        let ends = [
            ("/messages", Api::Messages),
            ("/responses", Api::Responses),
            ("/chat/completions", Api::Chat),
            (":generateContent", Api::Gemini),
            (":streamGenerateContent", Api::Gemini),
        ];
        ends.into_iter().find(|(end, _)| path.ends_with(end)).map(|(_, api)| api)
    }

    /// The model that a request to a path asks for; may be empty.
    pub fn model<'r>(self, path: &'r str, body: &'r Value) -> &'r str {
        match self {
            Api::Gemini => {
                path.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap_or_default()
            }
            _ => body["model"].as_str().unwrap_or_default(),
        }
    }

    /// What the conversation in a request holds, in its order.
    pub fn items(self, body: &Value) -> Vec<Item> {
        match self {
            Api::Messages => of_messages(body),
            Api::Responses => of_responses(body),
            Api::Chat => of_chat(body),
            Api::Gemini => of_contents(body),
        }
    }

    /// The n-th answer of a server.
    pub fn answer(self, n: u64, model: &str, tokens: Tokens, says: &Says) -> Events {
        match self {
            Api::Messages => messages(n, model, tokens, says),
            Api::Responses => responses(n, tokens, says),
            Api::Chat => chat(n, model, tokens, says),
            Api::Gemini => gemini(model, tokens, says),
        }
    }

    /// The names of the tools that a request offers.
    pub fn tools(self, body: &Value) -> Vec<&str> {
        let tools = body["tools"].as_array().into_iter().flatten();
        match self {
            Api::Gemini => {
                let declared = tools.filter_map(|tools| tools["functionDeclarations"].as_array()).flatten();
                declared.filter_map(|tool| tool["name"].as_str()).collect()
            }
            Api::Chat => tools.filter_map(|tool| tool["function"]["name"].as_str()).collect(),
            Api::Messages | Api::Responses => tools.filter_map(|tool| tool["name"].as_str()).collect(),
        }
    }
}

/// Whether a request is for a turn of a conversation. What a program asks for itself, a title or which model is to be taken, comes without
/// tools.
pub fn is_turn(body: &Value) -> bool {
    body["tools"].as_array().is_some_and(|tools| !tools.is_empty())
}

/// What is answered to what a program asks for itself: a title, or as a document which model is to do the work (gemini).
pub fn aside(body: &Value) -> String {
    if body["generationConfig"]["responseMimeType"] == "application/json" {
        json!({ "reasoning": "any will do", "model_choice": "flash", "complexity_reasoning": "none", "complexity_score": 10 }).to_string()
    } else {
        "A title".to_owned()
    }
}

/// Whether an answer to a request is streamed.
pub fn is_streamed(path: &str, body: &Value) -> bool {
    path.ends_with(":streamGenerateContent") || body["stream"] == true
}

/// The text of a stream of events.
pub fn stream(events: &Events) -> String {
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
    out
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

fn messages(n: u64, model: &str, tokens: Tokens, says: &Says) -> Events {
    let usage = json!({
        "input_tokens": tokens.input, "cache_read_input_tokens": tokens.cached, "cache_creation_input_tokens": 0, "output_tokens": 1,
    });
    let (block, delta, stop) = match says {
        Says::Call { tool, input } => (
            json!({ "type": "tool_use", "id": format!("toolu_{n}"), "name": tool, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": input.to_string() }),
            "tool_use",
        ),
        Says::Text(text) => {
            (json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": text }), "end_turn")
        }
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

fn responses(n: u64, tokens: Tokens, says: &Says) -> Events {
    let item = match says {
        Says::Call { tool, input } => {
            let mut item = json!({
                "type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"), "name": tool,
                "arguments": input.to_string(),
            });
            if tool.ends_with("_agent") {
                item["namespace"] = "multi_agent_v1".into();
            }
            item
        }
        Says::Text(text) => {
            let text = json!({ "type": "output_text", "text": text, "annotations": [] });
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

fn chat(n: u64, model: &str, tokens: Tokens, says: &Says) -> Events {
    let (delta, stop) = match says {
        Says::Call { tool, input } => {
            let call = json!({
                "index": 0, "id": format!("call_{n}"), "type": "function",
                "function": { "name": tool, "arguments": input.to_string() },
            });
            (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls")
        }
        Says::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
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

fn gemini(model: &str, tokens: Tokens, says: &Says) -> Events {
    let Tokens { input, cached, output, reasoning } = tokens;
    let part = match says {
        Says::Call { tool, input } => json!({ "functionCall": { "name": tool, "args": input } }),
        Says::Text(text) => json!({ "text": text }),
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: Tokens = Tokens { input: 1, cached: 0, output: 2, reasoning: 0 };

    #[test]
    fn an_interface_is_told_by_its_path_and_its_conversation_by_its_form() {
        let check = |path: &str, body: Value, tool: &str| {
            let api = Api::of(path).unwrap();
            let items = [Item::Said("hi".into()), Item::Result("ox".into())];
            let mut found = api.items(&body);
            found.retain(|item| *item != Item::Said(String::new()));
            assert_eq!(found, items, "{path}");
            assert_eq!(api.tools(&body), [tool], "{path}");
        };
        check(
            "/v1/messages",
            json!({ "tools": [{ "name": "Bash" }], "messages": [{ "role": "user", "content": "hi" }, { "role": "assistant", "content": "x" },
                { "role": "user", "content": [{ "type": "tool_result", "content": [{ "type": "text", "text": "ox" }] }] }] }),
            "Bash",
        );
        check(
            "/v1/responses",
            json!({ "tools": [{ "type": "function", "name": "shell" }, { "type": "web_search" }], "input": [
                { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hi" }] },
                { "type": "function_call_output", "output": "ox" }] }),
            "shell",
        );
        check(
            "/v1/chat/completions",
            json!({ "tools": [{ "type": "function", "function": { "name": "bash" } }], "messages": [
                { "role": "system", "content": "x" }, { "role": "user", "content": "hi" }, { "role": "tool", "content": "ox" }] }),
            "bash",
        );
        let gemini = json!({ "tools": [{ "functionDeclarations": [{ "name": "run" }] }], "contents": [
            { "role": "user", "parts": [{ "text": "hi" }] }, { "role": "user", "parts": [{ "functionResponse": { "response": "ox" } }] }] });
        assert_eq!(Api::Gemini.tools(&gemini), ["run"]);
        assert_eq!(Api::Gemini.model("/v1beta/models/g-1:streamGenerateContent", &gemini), "g-1");
        assert_eq!(Api::of("/v1/models"), None);
    }

    #[test]
    fn a_stream_ends_as_its_interface_says() {
        let says = Says::Call { tool: "Bash".into(), input: json!({ "command": "true" }) };
        let check = |api: Api, end: &str| {
            for says in [&says, &Says::Text("ox".into())] {
                let text = stream(&api.answer(1, "m", TOKENS, says));
                assert!(text.contains(if matches!(says, Says::Text(_)) { "ox" } else { "Bash" }), "{text}");
                assert!(text.trim_end().lines().last().unwrap().contains(end), "{text}");
            }
        };
        check(Api::Messages, "message_stop");
        check(Api::Responses, "response.completed");
        check(Api::Chat, "[DONE]");
        check(Api::Gemini, "usageMetadata");
    }
}
