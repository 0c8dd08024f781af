//! Transcripts of agent programs, made: lines in the shapes that the real programs write (`tests/harness/transcripts`), and long ones with
//! the mix of real work.

use std::io::{self, Write};

use ox::kit::rng::Rng;
use serde_json::{Value, json};

/// A program whose transcript is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Claude,
    Codex,
    Gemini,
}

pub const SESSION: &str = "11111111-2222-4333-8444-555555555555";
const TIME: &str = "2036-03-12T09:01:00.123Z";
const CWD: &str = "/home/anna/project";

/// A call of a tool and what came back.
pub struct Call<'a> {
    pub tool: &'a str,
    pub input: Value,
    pub output: &'a str,
    pub failed: bool,
}

impl Program {
    pub const ALL: [Program; 3] = [Program::Claude, Program::Codex, Program::Gemini];

    /// As recordings call it.
    pub fn kind(self) -> &'static str {
        match self {
            Program::Claude => "claude-code",
            Program::Codex => "codex",
            Program::Gemini => "gemini",
        }
    }

    /// What stands before everything else.
    pub fn begin(self) -> String {
        match self {
            Program::Claude => lines([json!({ "type": "mode", "mode": "normal", "sessionId": SESSION })]),
            Program::Codex => lines([
                json!({ "timestamp": TIME, "type": "session_meta", "payload": {
                    "id": SESSION, "session_id": SESSION, "timestamp": TIME, "cwd": CWD, "originator": "codex_exec",
                    "cli_version": "0.171.0", "source": "exec", "git": { "branch": "main" } } }),
                json!({ "timestamp": TIME, "type": "turn_context", "payload": {
                    "turn_id": "t1", "cwd": CWD, "approval_policy": "never", "model": "gpt-6", "summary": "none" } }),
            ]),
            Program::Gemini => lines([json!({
                "sessionId": SESSION, "projectHash": "c36cd372093648ba8a8e3c2b25944e6c3f73dc131b18a2da65a44b8afed0109d",
                "startTime": TIME, "lastUpdated": TIME, "kind": "main" })]),
        }
    }

    /// A person's words, or the agent's. `n` is not used again.
    pub fn said(self, n: usize, by_person: bool, text: &str) -> String {
        match (self, by_person) {
            (Program::Claude, true) => claude(
                n,
                "user",
                json!({ "role": "user", "content": text }),
                &json!({ "promptSource": "sdk" }),
            ),
            (Program::Claude, false) => {
                claude(n, "assistant", answer(n, json!([{ "type": "text", "text": text }])), &json!({}))
            }
            (Program::Codex, _) => {
                let (role, kind) =
                    if by_person { ("user", "input_text") } else { ("assistant", "output_text") };
                let item = if by_person { "UserMessage" } else { "AgentMessage" };
                lines([
                    codex(
                        "response_item",
                        json!({
                        "type": "message", "id": format!("msg_{n}"), "role": role,
                        "content": [{ "type": kind, "text": text }],
                        "internal_chat_message_metadata_passthrough": { "turn_id": "t1",
                            "content_item_metadata": [{ "provenance": { "type": "user" } }] } }),
                    ),
                    codex(
                        "event_msg",
                        json!({ "type": "item_completed", "turn_id": "t1", "item": {
                        "type": item, "id": format!("item_{n}"), "content": [{ "type": "text", "text": text }] } }),
                    ),
                    codex_spent(n),
                ])
            }
            (Program::Gemini, true) => gemini(
                json!({ "id": format!("m{n}"), "timestamp": TIME, "type": "user", "content": [{ "text": text }] }),
            ),
            (Program::Gemini, false) => gemini(json!({
                "id": format!("m{n}"), "timestamp": TIME, "type": "gemini", "content": text, "thoughts": [],
                "tokens": gemini_spent(n), "model": "gemini-3.1-pro-preview" })),
        }
    }

    /// A tool is called and comes back.
    pub fn called(self, n: usize, call: &Call<'_>) -> String {
        let Call { tool, input, output, failed } = call;
        match self {
            Program::Claude => {
                let id = format!("toolu_{n}");
                let block = json!([{ "type": "tool_use", "id": id, "name": tool, "input": input }]);
                let result = json!([{
                    "tool_use_id": id, "type": "tool_result", "content": output, "is_error": failed }]);
                let beside = json!({ "toolUseResult": {
                    "stdout": output, "stderr": "", "interrupted": false, "isImage": false } });
                claude(n, "assistant", answer(n, block), &json!({}))
                    + &claude(
                        n + 1_000_000_000,
                        "user",
                        json!({ "role": "user", "content": result }),
                        &beside,
                    )
            }
            Program::Codex => {
                let id = format!("call_{n}");
                let (status, code) = if *failed { ("failed", 1) } else { ("completed", 0) };
                lines([
                    codex(
                        "response_item",
                        json!({
                        "type": "function_call", "id": format!("fc_{n}"), "name": tool, "arguments": input.to_string(),
                        "call_id": id, "internal_chat_message_metadata_passthrough": { "turn_id": "t1" } }),
                    ),
                    codex(
                        "event_msg",
                        json!({ "type": "item_completed", "turn_id": "t1", "item": {
                        "type": "CommandExecution", "id": id, "command": ["/bin/bash", "-lc", input.to_string()],
                        "cwd": "file:///home/anna/project", "status": status, "aggregated_output": output,
                        "exit_code": code } }),
                    ),
                    codex(
                        "response_item",
                        json!({
                        "type": "function_call_output", "id": format!("fco_{n}"), "call_id": id,
                        "output": format!("Chunk ID: a26b5a\nWall time: 0.1 seconds\nProcess exited with code {code}\nOutput:\n{output}") }),
                    ),
                    codex_spent(n),
                ])
            }
            Program::Gemini => {
                let id = format!("{tool}_{n}");
                let message = |calls: Option<Value>| {
                    let mut message = json!({
                        "id": format!("m{n}"), "timestamp": TIME, "type": "gemini", "content": "", "thoughts": [],
                        "tokens": gemini_spent(n), "model": "gemini-3.1-pro-preview" });
                    if let Some(calls) = calls {
                        message["toolCalls"] = calls;
                    }
                    gemini(message)
                };
                let shown = if *failed { "Command exited with code: 1" } else { output };
                let response = json!({ "functionResponse": { "id": id, "name": tool, "response": { "output": output } } });
                let calls = json!([{
                    "id": id, "name": tool, "args": input, "result": [response], "timestamp": TIME,
                    "status": if *failed { "error" } else { "success" }, "resultDisplay": shown }]);
                let back = gemini(json!({
                    "id": format!("r{n}"), "timestamp": TIME, "type": "user", "content": [response] }));
                message(None) + &message(Some(calls)) + &back
            }
        }
    }

    /// A person shows an image, given in base64.
    pub fn image(self, n: usize, base64: &str) -> String {
        match self {
            Program::Claude => {
                let source = json!({ "type": "base64", "media_type": "image/png", "data": base64 });
                let content = json!([{ "type": "text", "text": "What is this?" }, { "type": "image", "source": source }]);
                claude(
                    n,
                    "user",
                    json!({ "role": "user", "content": content }),
                    &json!({ "imagePasteIds": [1] }),
                )
            }
            Program::Codex => lines([codex(
                "response_item",
                json!({
                "type": "message", "id": format!("msg_{n}"), "role": "user", "content": [
                    { "type": "input_text", "text": "What is this?" },
                    { "type": "input_image", "image_url": format!("data:image/png;base64,{base64}") }] }),
            )]),
            Program::Gemini => {
                gemini(json!({ "id": format!("m{n}"), "timestamp": TIME, "type": "user", "content": [
                { "text": "What is this?" }, { "inlineData": { "mimeType": "image/png", "data": base64 } }] }))
            }
        }
    }
}

fn lines<const N: usize>(all: [Value; N]) -> String {
    all.iter().map(|line| line.to_string() + "\n").collect()
}

fn claude(n: usize, kind: &str, message: Value, more: &Value) -> String {
    let mut record = json!({
        "parentUuid": format!("00000000-0000-4000-8000-{:012}", n.saturating_sub(1)), "isSidechain": false, "type": kind,
        "message": message, "uuid": format!("00000000-0000-4000-8000-{n:012}"), "timestamp": TIME,
        "userType": "external", "entrypoint": "sdk-cli", "cwd": CWD, "sessionId": SESSION, "version": "2.1.332",
        "gitBranch": "main" });
    for (name, value) in more.as_object().into_iter().flatten() {
        record[name] = value.clone();
    }
    record.to_string() + "\n"
}

fn answer(n: usize, content: Value) -> Value {
    json!({ "id": format!("msg_{n}"), "type": "message", "role": "assistant", "model": "claude-opus-5-5",
        "content": content, "stop_reason": "end_turn", "stop_sequence": null, "usage": {
            "input_tokens": n % 900, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 1000, "output_tokens": 90,
            "output_tokens_details": { "thinking_tokens": 0 }, "service_tier": "standard" } })
}

fn codex(kind: &str, payload: Value) -> Value {
    json!({ "timestamp": TIME, "type": kind, "payload": payload })
}

fn codex_spent(n: usize) -> Value {
    let usage = json!({ "input_tokens": 100 + n % 900, "cached_input_tokens": 20, "cache_write_input_tokens": 0,
        "output_tokens": 11, "reasoning_output_tokens": 3, "total_tokens": 112 });
    codex(
        "token_usage_record",
        json!({ "thread_id": SESSION, "turn_id": "t1", "response_id": format!("resp_{n}"),
        "usage": usage, "turn_token_usage": usage, "thread_token_usage": usage }),
    )
}

fn gemini(message: Value) -> String {
    lines([message, json!({ "$set": { "lastUpdated": TIME } })])
}

fn gemini_spent(n: usize) -> Value {
    json!({ "input": 1000 + n % 900, "output": 52, "cached": 0, "thoughts": 0, "tool": 0, "total": 1086 })
}

/// Tool output and prose as they stand in transcripts. Much of it has words that rules look for, and no secret.
const PROSE: &[&str] = &[
    "Now I will look at how the token is refreshed before I change the retry loop.",
    "    let response = client.get(url).header(\"accept\", \"application/json\").send()?;",
    "export const handler = async (event) => { return await next(event); };",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (HEAD -> main, origin/main)",
    "   Compiling serde v1.0.219 (/home/anna/src/crates/serde-1.0.219)",
    "test sessions::upload::tests::a_lost_connection_is_tried_again ... ok",
    "The password field stays empty until the user has chosen one; see docs/login.md for more.",
    "diff --git a/src/daemon/core.rs b/src/daemon/core.rs",
    "+        self.deadlines.push(Deadline { at: now + self.interval, what: Job::Sync });",
    "  \"integrity\": \"sha512-9kaR1Qm0u7kQWm1fGdYJq2cVn5zX3pLx8sT4vB6yN0hD2jK7aZ==\",",
    "https://example.com/docs/reference/configuration.html#timeouts",
    "0190f6e2-8a4c-7d31-9b52-3f7e6a1c0d84 INFO request done status=200 bytes=18342 ms=12",
    "    \x1b[32m✓\x1b[0m parses an empty file (3 ms)",
    "/* Größe und Maß: the ü must survive — naïve café */",
];

fn prose(rng: &mut Rng, least: usize) -> String {
    let mut text = String::new();
    while text.len() < least {
        text.push_str(PROSE[usize::try_from(rng.below(PROSE.len() as u64)).unwrap_or(0)]);
        text.push('\n');
    }
    text
}

/// Writes a transcript of at least `size` bytes: prompts, answers, calls of tools with outputs of several KB of which one in ten failed, and
/// now and then an image. Answers how many bytes it has.
pub fn write_long(program: Program, size: u64, out: &mut dyn Write) -> io::Result<u64> {
    let mut rng = Rng::new(16);
    let image = base64(&mut rng, 120_000);
    let (mut written, mut n) = (0, 0);
    let mut put = |text: String| {
        written += text.len() as u64;
        out.write_all(text.as_bytes()).map(|()| written)
    };
    let mut total = put(program.begin())?;
    while total < size {
        n += 1;
        total = put(match n % 10 {
            0 => program.said(n, true, &prose(&mut rng, 300)),
            5 => program.said(n, false, &prose(&mut rng, 900)),
            3 if n % 200 == 3 => program.image(n, &image),
            turn => {
                let output = prose(&mut rng, 1000 + n * 7919 % 9000);
                let (tool, input) = match turn % 3 {
                    0 => (
                        "Edit",
                        json!({ "file_path": "/home/anna/project/src/core.rs",
                        "old_string": prose(&mut rng, 300), "new_string": prose(&mut rng, 400) }),
                    ),
                    1 => (
                        "Bash",
                        json!({ "command": "cargo test --test all -- sessions:: 2>&1 | tail -40",
                        "description": "run the tests" }),
                    ),
                    _ => ("Read", json!({ "file_path": "/home/anna/project/src/daemon/sessions/mod.rs" })),
                };
                program.called(n, &Call { tool, input, output: &output, failed: turn == 7 })
            }
        })?;
    }
    Ok(total)
}

fn base64(rng: &mut Rng, length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..length).map(|_| char::from(ALPHABET[usize::try_from(rng.below(64)).unwrap_or(0)])).collect()
}
