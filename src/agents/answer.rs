//! What an agent program said when it was run for an answer: each program's lines, read as they come. Pure.

use serde::Deserialize;
use serde_json::Value;

/// An answer is kept up to so many bytes.
const TEXT_MAX: usize = 1 << 20;
/// Of an error so many.
const ERROR_MAX: usize = 4 << 10;

/// How a program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Claude Code, `--output-format stream-json`: the last `result` counts.
    Claude,
    /// `codex exec --json`: the last message counts, tokens are of the whole thread.
    Codex,
    /// Gemini CLI, `-o json`: one document.
    Gemini,
    /// An answer of a server of chat completions: one document.
    Chat,
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub text: String,
    /// The model that gave it; empty where nobody says.
    pub model: String,
    /// Tokens that were read, cached ones included.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// What it has cost, in millionths of a dollar, where the program says so.
    pub micro_usd: Option<u64>,
    /// Why the program failed; empty where it did not.
    pub error: String,
}

/// Reads what a program says.
#[derive(Debug)]
pub struct Reader {
    speech: Speech,
    answer: Answer,
    has_ended: bool,
    document: Vec<u8>,
    overflowed: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Reader {
    /// Reads what such a program says.
    pub fn new(speech: Speech) -> Reader {
        Reader {
            speech,
            answer: Answer::default(),
            has_ended: false,
            document: Vec::new(),
            overflowed: false,
        }
    }

    /// The next line, without its end.
    pub fn line(&mut self, line: &[u8]) {
        match self.speech {
            Speech::Gemini | Speech::Chat => {
                let room = TEXT_MAX.saturating_sub(self.document.len());
                self.overflowed |= line.len() + 1 > room;
                self.document.extend_from_slice(&line[..line.len().min(room)]);
                self.document.push(b'\n');
            }
            Speech::Claude | Speech::Codex => {
                // What is no line of it is a word of somebody else's.
                let Ok(Value::Object(line)) = serde_json::from_slice(line) else { return };
                let line = Value::Object(line);
                match self.speech {
                    Speech::Claude => self.of_claude(&line),
                    _ => self.of_codex(&line),
                }
            }
        }
    }

    /// What it came to.
    ///
    /// # Errors
    /// There is no answer, or more of it than is kept.
    pub fn finish(mut self) -> Result<Answer, String> {
        match self.speech {
            Speech::Gemini => self.of_gemini(),
            Speech::Chat => self.of_chat(),
            Speech::Claude | Speech::Codex => {}
        }
        let answer = self.answer;
        if self.overflowed {
            return Err("the answer is too long".to_owned());
        }
        if !answer.error.is_empty() {
            return Ok(answer);
        }
        if !self.has_ended {
            return Err("the program ended without an answer".to_owned());
        }
        if answer.text.trim().is_empty() {
            return Err("the answer is empty".to_owned());
        }
        Ok(answer)
    }

    fn say(&mut self, text: &Value) {
        let text = text.as_str().unwrap_or_default();
        self.overflowed = text.len() > TEXT_MAX;
        text[..text.floor_char_boundary(TEXT_MAX)].clone_into(&mut self.answer.text);
        self.has_ended = true;
    }

    fn fail(&mut self, why: &Value) {
        let why = why.as_str().filter(|why| !why.is_empty()).unwrap_or("it does not say why");
        why[..why.floor_char_boundary(ERROR_MAX)].clone_into(&mut self.answer.error);
    }

    fn of_claude(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("system") if line["subtype"] == "init" => self.model(&line["model"]),
            Some("result") => {
                let usage: Usage = usage(&line["usage"]);
                let cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
                self.answer.input_tokens = usage.input_tokens + cached;
                self.answer.output_tokens = usage.output_tokens;
                self.answer.micro_usd = line["total_cost_usd"].as_f64().map(micro);
                self.answer.error.clear();
                self.say(&line["result"]);
                if line["is_error"] == true || line["subtype"] != "success" {
                    let why = if line["result"].is_string() { &line["result"] } else { &line["subtype"] };
                    self.fail(&why.clone());
                }
                if self.answer.model.is_empty()
                    && let Some(models) = line["modelUsage"].as_object()
                    && let (1, Some(model)) = (models.len(), models.keys().next())
                {
                    self.answer.model.clone_from(model);
                }
            }
            _ => {}
        }
    }

    fn of_codex(&mut self, line: &Value) {
        match line["type"].as_str() {
            Some("item.completed") => {
                let item = &line["item"];
                let kind = item["type"].as_str().or(item["item_type"].as_str());
                if matches!(kind, Some("agent_message" | "assistant_message")) {
                    self.say(&item["text"]);
                }
            }
            Some("turn.completed") => {
                // Of the whole thread: the last one counts.
                let usage = usage(&line["usage"]);
                self.answer.input_tokens = usage.input_tokens;
                self.answer.output_tokens = usage.output_tokens;
                // What it told before was a connection that it made again.
                self.answer.error.clear();
            }
            Some("turn.failed") => self.fail(&line["error"]["message"]),
            Some("error") => self.fail(&line["message"]),
            _ => {}
        }
    }

    fn of_gemini(&mut self) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.document)).into_owned();
        // Remarks may stand before the document.
        let Some(found) = text.find('{').and_then(|at| serde_json::from_str::<Value>(text[at..].trim()).ok())
        else {
            return;
        };
        for (model, of) in found["stats"]["models"].as_object().into_iter().flatten() {
            self.model(&Value::from(model.as_str()));
            self.answer.input_tokens += of["tokens"]["prompt"].as_u64().unwrap_or(0);
            let written = [&of["tokens"]["candidates"], &of["tokens"]["thoughts"]];
            self.answer.output_tokens += written.into_iter().filter_map(Value::as_u64).sum::<u64>();
        }
        match found["error"].is_object() {
            true => self.fail(&found["error"]["message"]),
            false => self.say(&found["response"]),
        }
    }

    fn of_chat(&mut self) {
        let Ok(found) = serde_json::from_slice::<Value>(&std::mem::take(&mut self.document)) else { return };
        self.model(&found["model"]);
        let usage = usage(&found["usage"]);
        (self.answer.input_tokens, self.answer.output_tokens) =
            (usage.prompt_tokens, usage.completion_tokens);
        match found["error"].is_null() {
            true if found["choices"][0]["message"].is_object() => {
                self.say(&found["choices"][0]["message"]["content"])
            }
            true => {}
            false if found["error"].is_string() => self.fail(&found["error"]),
            false => self.fail(&found["error"]["message"]),
        }
    }

    fn model(&mut self, name: &Value) {
        let name = name.as_str().unwrap_or_default();
        if self.answer.model.is_empty() {
            name[..name.floor_char_boundary(200)].clone_into(&mut self.answer.model);
        }
    }
}

fn usage(value: &Value) -> Usage {
    Usage::deserialize(value).unwrap_or_default()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and nothing costs less than nothing
fn micro(usd: f64) -> u64 {
    (usd.max(0.0) * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(speech: Speech, lines: &[&str]) -> Result<Answer, String> {
        let mut reader = Reader::new(speech);
        lines.iter().for_each(|line| reader.line(line.as_bytes()));
        reader.finish()
    }

    fn answer(text: &str, model: &str, tokens: (u64, u64), micro_usd: Option<u64>) -> Answer {
        let (input_tokens, output_tokens) = tokens;
        Answer {
            text: text.into(),
            model: model.into(),
            input_tokens,
            output_tokens,
            micro_usd,
            error: String::new(),
        }
    }

    #[test]
    fn the_last_result_of_claude_counts() {
        let init = r#"{"type":"system","subtype":"init","model":"claude-x"}"#;
        let result = |text: &str, more: &str| {
            format!(
                r#"{{"usage":{{"input_tokens":3,"output_tokens":5,"cache_read_input_tokens":40,"cache_creation_input_tokens":2}},"total_cost_usd":0.0123,"type":"result","subtype":"success","is_error":false,"result":"{text}"{more}}}"#
            )
        };
        let all = [init, "", "not json", r#"{"type":"assistant"}"#, &result("one", ""), &result("two", "")];
        assert_eq!(said(Speech::Claude, &all), Ok(answer("two", "claude-x", (45, 5), Some(12_300))));
        let models = result("one", r#","modelUsage":{"m":{}}"#);
        assert_eq!(said(Speech::Claude, &[&models]).unwrap().model, "m");
        let failed = r#"{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key"}"#;
        assert_eq!(said(Speech::Claude, &[failed]).unwrap().error, "Invalid API key");
        let failed = r#"{"type":"result","subtype":"error_max_turns"}"#;
        assert_eq!(said(Speech::Claude, &[failed]).unwrap().error, "error_max_turns");
        assert!(said(Speech::Claude, &[init]).is_err() && said(Speech::Claude, &[&result(" ", "")]).is_err());
        let long = result(&"x".repeat(TEXT_MAX + 1), "");
        assert_eq!(said(Speech::Claude, &[&long]).unwrap_err(), "the answer is too long");
    }

    #[test]
    fn the_last_message_of_codex_counts() {
        let message = |text: &str| {
            format!(
                r#"{{"type":"item.completed","item":{{"id":"1","type":"agent_message","text":"{text}"}}}}"#
            )
        };
        let warning = r#"{"type":"item.completed","item":{"type":"error","message":"a warning"}}"#;
        let turn = r#"{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":7}}"#;
        let all = [r#"{"type":"thread.started"}"#, warning, &message("one"), &message("two"), turn];
        assert_eq!(said(Speech::Codex, &all), Ok(answer("two", "", (100, 7), None)));
        let failed = r#"{"type":"turn.failed","error":{"message":"usage limit"}}"#;
        assert_eq!(said(Speech::Codex, &[&message("x"), failed]).unwrap().error, "usage limit");
        // 0.171.0, where a connection breaks off and the next one holds.
        let again =
            r#"{"type":"error","message":"Reconnecting... 1/5 (unexpected status 401 Unauthorized)"}"#;
        let ended = said(Speech::Codex, &[again, &message("two"), turn]).unwrap();
        assert_eq!((ended.text.as_str(), ended.error.as_str()), ("two", ""));
        assert!(
            said(Speech::Codex, &[&message("two"), turn, again]).unwrap().error.starts_with("Reconnecting")
        );
        let old = r#"{"type":"item.completed","item":{"item_type":"assistant_message","text":"o"}}"#;
        assert_eq!(said(Speech::Codex, &[old]).unwrap().text, "o");
        assert!(said(Speech::Codex, &[turn]).is_err());
    }

    #[test]
    fn documents_are_read_whole() {
        let gemini = [
            "Loaded credentials.",
            "{",
            r#""session_id":"s","response":"yes","stats":{"models":{"g":{"tokens":{"prompt":9,"candidates":2,"thoughts":3}}}}"#,
            "}",
        ];
        assert_eq!(said(Speech::Gemini, &gemini), Ok(answer("yes", "g", (9, 5), None)));
        let failed = r#"{"error":{"type":"x","message":"no key","code":41}}"#;
        assert_eq!(said(Speech::Gemini, &[failed]).unwrap().error, "no key");
        let chat = r#"{"model":"m","choices":[{"message":{"role":"assistant","content":"yes"}}],"usage":{"prompt_tokens":4,"completion_tokens":1}}"#;
        assert_eq!(said(Speech::Chat, &[chat]), Ok(answer("yes", "m", (4, 1), None)));
        for failed in [r#"{"error":"no such model"}"#, r#"{"error":{"message":"no such model"}}"#] {
            assert_eq!(said(Speech::Chat, &[failed]).unwrap().error, "no such model");
        }
        for speech in [Speech::Gemini, Speech::Chat] {
            assert!(
                said(speech, &["nothing"]).is_err()
                    && said(speech, &["{}"]).is_err()
                    && said(speech, &[]).is_err()
            );
            assert!(said(speech, &[&"x".repeat(TEXT_MAX + 1)]).unwrap_err().contains("too long"));
        }
    }
}
