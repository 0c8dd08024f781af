//! The real programs run for an answer: each gives the one that its model gives, and nobody else hears of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ox::agents::manager::End;
use ox::agents::runner::{Ask, ChatServer, Failed, Ran, Runner, Which};
use ox::agents::usable;
use ox::hooks::probe::speech::{self, Api, Says, Tokens};
use ox::http::Client;
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;
use ox::kit::supervise::Supervisor;
use ox::project::{Dirs, Env};
use serde_json::{Value, json};

use super::agents::Program;
use super::{AGENTS, Scene};
use crate::support::http_script::{Act, Server, answer};
use crate::support::{OX, TestEnv, census};

/// What is answered, with what JSON would escape.
const ANSWER: &str = "{\"title\":\"What \\\"was\\\" done\"}\nand a line — more";
/// Of each answer.
const TOKENS: Tokens = Tokens { input: 40, cached: 0, output: 7, reasoning: 0 };
const PROMPT: &str = "turn-answer: what is the title?";

/// A model's server that answers with that text, or with that status to all.
pub fn model(status: u16, said: &'static str) -> Server {
    Server::start(move |_, request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        let target = head.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        vec![reply(path, &body, status, said)]
    })
}

fn reply(path: &str, body: &Value, status: u16, said: &str) -> Act {
    let document = |status: u16, value: &Value| {
        answer(status, "Content-Type: application/json\r\n", value.to_string().as_bytes())
    };
    let Some(api) = Api::of(path) else {
        return document(200, &json!({ "object": "list", "data": [], "models": [], "totalTokens": 10 }));
    };
    if status != 200 {
        return document(status, &refusal(api, status));
    }
    let text = if body["generationConfig"]["responseMimeType"] == "application/json" {
        speech::aside(body)
    } else {
        said.to_owned()
    };
    let model = api.model(path, body);
    if api == Api::Chat && !speech::is_streamed(path, body) {
        let usage = json!({ "prompt_tokens": TOKENS.input, "completion_tokens": TOKENS.output });
        let message = json!({ "role": "assistant", "content": text });
        return document(
            200,
            &json!({ "model": "fake", "choices": [{ "message": message }], "usage": usage }),
        );
    }
    let events = api.answer(1, model, TOKENS, &Says::Text(text));
    if speech::is_streamed(path, body) {
        let text = speech::stream(&events);
        return answer(200, "Content-Type: text/event-stream\r\n", text.as_bytes());
    }
    document(200, &events.last().map(|(_, data)| data.clone()).unwrap_or_default())
}

/// As each maker's server says it.
fn refusal(api: Api, status: u16) -> Value {
    let is_quota = status == 429;
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    match api {
        Api::Messages => {
            let (kind, text) = match is_quota {
                true => (
                    "rate_limit_error",
                    "This request would exceed your account's rate limit. Please try again later.",
                ),
                false => ("authentication_error", "invalid x-api-key"),
            };
            json!({ "type": "error", "error": { "type": kind, "message": text } })
        }
        Api::Gemini => {
            let (state, text) = match is_quota {
                true => ("RESOURCE_EXHAUSTED", quota),
                false => ("UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
            };
            json!({ "error": { "code": status, "message": text, "status": state } })
        }
        Api::Responses | Api::Chat => {
            let (code, text) = match is_quota {
                true => ("insufficient_quota", quota),
                false => ("invalid_api_key", "Incorrect API key provided: fake."),
            };
            json!({ "error": { "message": text, "type": "invalid_request_error", "code": code } })
        }
    }
}

/// Has the program's settings start a server of tools, and tell somebody of ends, which leaves a file behind.
fn tools(program: Program, env: &TestEnv) {
    let started = env.work().join("started");
    let command = format!("touch {}; exec cat >/dev/null", started.display());
    let home = env.home();
    match program {
        Program::Codex => {
            let path = home.join(".codex/config.toml");
            let config = std::fs::read_to_string(&path).unwrap();
            let server = format!("[mcp_servers.beside]\ncommand = \"sh\"\nargs = [\"-c\", \"{command}\"]\n");
            std::fs::write(
                path,
                format!("notify = [\"touch\", \"{}\"]\n{config}{server}", started.display()),
            )
            .unwrap();
        }
        Program::Gemini => {
            let path = home.join(".gemini/settings.json");
            let mut settings: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            settings["mcpServers"] = json!({ "beside": { "command": "sh", "args": ["-c", command] } });
            std::fs::write(path, settings.to_string()).unwrap();
        }
        Program::Claude | Program::Opencode => {
            let server = json!({ "type": "stdio", "command": "sh", "args": ["-c", command], "env": {} });
            std::fs::write(
                home.join(".claude.json"),
                json!({ "mcpServers": { "beside": server } }).to_string(),
            )
            .unwrap();
        }
    }
}

/// A machine with the program, its hooks of ours, and this model.
struct Answers {
    scene: Scene,
    program: Program,
    server: Server,
    env: Env,
}

impl Answers {
    fn new(program: Program, status: u16) -> Option<Answers> {
        let mut scene = Scene::new(&[program], Vec::new())?;
        let dir = PathBuf::from(std::env::var_os(AGENTS).unwrap());
        let server = model(status, ANSWER);
        program.set_up(&scene.env, &dir, &server.url(""));
        tools(program, &scene.env);
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
        scene.env.set("PATH", path);
        scene.env.ox(["hooks", "install", "--agent", program.name(), "--force"]).ok();
        let url = server.url("");
        // As if it ran within another agent, too.
        let more = [
            ("ANTHROPIC_BASE_URL", url.as_str()),
            ("ANTHROPIC_API_KEY", "fake"),
            ("FAKE_KEY", "x"),
            ("GOOGLE_GEMINI_BASE_URL", url.as_str()),
            ("GEMINI_API_KEY", "fake"),
            ("CLAUDECODE", "1"),
            ("GEMINI_CLI", "1"),
            ("CODEX_THREAD_ID", "0"),
        ];
        for (name, value) in more {
            scene.env.set(name, value);
        }
        let vars = scene.env.vars().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = Env::of(vars.collect::<Vec<_>>(), &scene.repo);
        Some(Answers { scene, program, server, env })
    }

    fn which(&self) -> Which {
        match self.program {
            Program::Claude => Which::Claude,
            Program::Codex => Which::Codex,
            Program::Gemini => Which::Gemini,
            Program::Opencode => unreachable!("it is not run for an answer"),
        }
    }

    fn ask(&self, which: Which) -> Result<Ran, Failed> {
        let private = Dirs::from_env(&self.env).unwrap().agent_work();
        let ask = Ask {
            prompt: PROMPT,
            model: "",
            deadline: Duration::from_secs(120),
            cancel: &Cancel::new(),
            env: &self.env,
            private: &private,
            clock: &SystemClock,
        };
        Runner::new(which, Supervisor::at(OX), Client::new(Arc::new(SystemClock))).run(&ask)
    }

    /// Nobody but the model has heard of a run.
    fn is_nobodys(&self) {
        let is_transcript = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_named = name.starts_with("rollout-") || name.starts_with("session-");
            let is_of_claude =
                path.to_string_lossy().contains("/.claude/projects/") && name.ends_with(".jsonl");
            path.is_file() && (is_named || is_of_claude || name == "spool.jsonl")
        };
        let left = census::files(self.scene.env.root(), &is_transcript);
        assert!(left.is_empty(), "{left:?}");
        assert!(!self.scene.env.work().join("started").exists(), "a server of tools was started");
        assert!(self.program.spent(&self.scene.env).is_empty());
        let events = self.scene.env.ox(["events", "list", "--json"]).ok().json();
        assert_eq!(events["events"], json!([]));
        self.scene.ends();
    }
}

fn answers(program: Program) {
    let Some(machine) = Answers::new(program, 200) else { return };
    let found = usable::usable(program.name(), &machine.env);
    assert!(found.is_usable(), "{found:?}");
    let ran = machine.ask(machine.which()).unwrap();
    assert_eq!((ran.answer.text.trim_end(), ran.exit_code), (ANSWER, 0));
    assert_eq!((ran.answer.input_tokens, ran.answer.output_tokens), (TOKENS.input, TOKENS.output));
    assert!(!ran.answer.model.is_empty());
    // The model was given the prompt, and nothing by which a command could be run.
    let asked: Vec<String> =
        machine.server.requests().into_iter().filter(|text| text.contains("turn-answer")).collect();
    assert!(!asked.is_empty());
    for request in asked {
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let path = request.split(' ').nth(1).unwrap().split('?').next().unwrap();
        let tools = Api::of(path).unwrap().tools(&body).join(" ");
        for tool in ["Bash", "exec_command", "shell", "run_shell_command", "spawn_agent"] {
            assert!(!tools.split(' ').any(|one| one == tool), "{tools}");
        }
    }
    machine.is_nobodys();
}

#[test]
fn agt_02_claude_answers_and_nobody_hears_of_it() {
    answers(Program::Claude);
}

#[test]
fn agt_02_codex_answers_and_nobody_hears_of_it() {
    answers(Program::Codex);
}

#[test]
fn agt_02_gemini_answers_and_nobody_hears_of_it() {
    answers(Program::Gemini);
}

#[test]
fn a_server_of_chat_completions_answers() {
    let Some(machine) = Answers::new(Program::Claude, 200) else { return };
    let server = ChatServer { url: machine.server.url("/v1"), model: "fake".into(), key: None };
    let ran = machine.ask(Which::Chat(server)).unwrap();
    assert_eq!((ran.answer.text.as_str(), ran.answer.input_tokens), (ANSWER, TOKENS.input));
    machine.is_nobodys();
}

fn refused(program: Program, status: u16, end: &End, error: &str) {
    let Some(machine) = Answers::new(program, status) else { return };
    let failed = machine.ask(machine.which()).unwrap_err();
    assert_eq!(&failed.end, end, "{failed:?}");
    assert!(failed.error.starts_with(error) && !failed.error.contains("turn-answer"), "{failed:?}");
    machine.is_nobodys();
}

#[test]
fn agt_04_a_wall_that_claude_stands_at_is_told() {
    refused(Program::Claude, 429, &End::Quota(None), "claude: its quota is used up");
}

#[test]
fn agt_04_a_wall_that_codex_stands_at_is_told() {
    refused(Program::Codex, 429, &End::Quota(None), "codex: its quota is used up");
}

#[test]
fn agt_04_a_wall_that_gemini_stands_at_is_told() {
    refused(Program::Gemini, 429, &End::Quota(None), "gemini: its quota is used up");
}

#[test]
fn agt_04_a_login_of_claude_that_is_refused_is_told() {
    refused(Program::Claude, 401, &End::Auth, "claude: its login was refused");
}

#[test]
fn agt_04_a_login_of_codex_that_is_refused_is_told() {
    refused(Program::Codex, 401, &End::Auth, "codex: its login was refused");
}

#[test]
fn agt_04_a_login_of_gemini_that_is_refused_is_told() {
    refused(Program::Gemini, 401, &End::Auth, "gemini: its login was refused");
}
