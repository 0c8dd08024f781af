//! How each program is started, and what it is told of the model.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ox::harness::transcript::opencode::{Database, Opencode};
use ox::harness::transcript::places::{list, roots};
use ox::harness::transcript::{Fact, Reader, Spent, What};
use serde_json::json;

use crate::support::TestEnv;
use ox::hooks::probe::speech::Tokens;

/// An agent program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Claude,
    Codex,
    Gemini,
    Opencode,
}

impl Program {
    /// Its executable.
    pub fn name(self) -> &'static str {
        match self {
            Program::Claude => "claude",
            Program::Codex => "codex",
            Program::Gemini => "gemini",
            Program::Opencode => "opencode",
        }
    }

    /// What recordings call it.
    pub fn kind(self) -> &'static str {
        if self == Program::Claude { "claude-code" } else { self.name() }
    }

    /// What starts it, here or in another agent's shell.
    pub fn script(self, env: &TestEnv) -> PathBuf {
        env.work().join(format!("run-{}", self.name()))
    }

    /// Writes that, and what the program reads of its model at `url`. `dir` has the program.
    pub fn set_up(self, env: &TestEnv, dir: &Path, url: &str) {
        let write = |path: PathBuf, text: String| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let program = dir.join(self.name());
        let program = program.display();
        let words = match self {
            Program::Claude => format!(
                "export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=fake CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1\n\
                 export DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1 IS_SANDBOX=1 CLAUDE_CODE_TMPDIR=$TMPDIR\n\
                 exec {program} --output-format stream-json --verbose --dangerously-skip-permissions \"$@\""
            ),
            Program::Codex => {
                let config = format!(
                    "model = \"fake-codex\"\nmodel_provider = \"local\"\ncheck_for_update_on_startup = false\n\
                     [model_providers.local]\nname = \"local\"\nbase_url = \"{url}/v1\"\nenv_key = \"FAKE_KEY\"\n\
                     wire_api = \"responses\"\n[analytics]\nenabled = false\n"
                );
                write(env.home().join(".codex/config.toml"), config);
                format!("FAKE_KEY=x exec {program} \"$@\"")
            }
            Program::Gemini => {
                let settings = json!({
                    "security": { "auth": { "selectedType": "gemini-api-key" } }, "privacy": { "usageStatisticsEnabled": false },
                    "general": { "disableAutoUpdate": true, "enableAutoUpdate": false },
                });
                write(env.home().join(".gemini/settings.json"), settings.to_string());
                format!(
                    "export GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY=fake\n\
                     exec {program} --yolo --skip-trust --output-format stream-json \"$@\""
                )
            }
            Program::Opencode => {
                let provider = json!({
                    "npm": "@ai-sdk/openai-compatible", "name": "local",
                    "options": { "baseURL": format!("{url}/v1"), "apiKey": "fake" },
                    "models": { "fake-opencode": { "name": "fake" } },
                });
                let config = json!({
                    "model": "local/fake-opencode", "autoupdate": false, "share": "disabled", "provider": { "local": provider },
                });
                let dir = env.config().join("opencode");
                write(dir.join("opencode.json"), config.to_string());
                // What it would have npm fetch for plug-ins, before it loads any, is here already as far as it looks.
                let known = json!({ "packages": { "": { "dependencies": { "@opencode-ai/plugin": "*" } } } });
                write(dir.join("package-lock.json"), known.to_string());
                fs::create_dir(dir.join("node_modules")).unwrap();
                format!(
                    "export OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1\n\
                     exec {program} run --format json --auto \"$@\""
                )
            }
        };
        let script = self.script(env);
        write(script.clone(), format!("#!/bin/sh\n{words} </dev/null\n"));
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The words behind the script's name for a new session.
    pub fn begin(self, prompt: &str) -> Vec<&str> {
        match self {
            Program::Claude | Program::Gemini => vec!["-p", prompt],
            Program::Codex => [&["exec"], CODEX, &[prompt]].concat(),
            Program::Opencode => vec![prompt],
        }
    }

    /// Those that go on with the last session.
    pub fn resume(self, prompt: &str) -> Vec<&str> {
        match self {
            Program::Claude => vec!["-p", prompt, "--continue"],
            Program::Codex => [&["exec", "resume", "--last"], CODEX, &[prompt]].concat(),
            Program::Gemini => vec!["-p", prompt, "--resume", "latest"],
            Program::Opencode => vec!["--continue", prompt],
        }
    }

    /// Those that begin a new session with what was said in the last one, whose id is `session`; none where the program has no such thing.
    pub fn fork<'a>(self, session: &'a str, prompt: &'a str) -> Option<Vec<&'a str>> {
        match self {
            Program::Claude => Some(vec!["-p", prompt, "--continue", "--fork-session"]),
            Program::Codex => Some([&["exec", "fork", session], CODEX, &[prompt]].concat()),
            Program::Gemini => None,
            Program::Opencode => Some(vec!["--continue", "--fork", prompt]),
        }
    }

    /// What all its transcripts on this machine say was spent, each answer of the model once.
    pub fn spent(self, env: &TestEnv) -> Vec<Tokens> {
        let home = env.home();
        let variable = |name: &str| {
            let found = env.vars().find(|(key, _)| *key == name)?;
            found.1.to_str().map(str::to_owned)
        };
        let mut facts = Vec::new();
        for root in roots(self.kind(), &home, variable) {
            if self == Program::Opencode {
                rows(&root.join("opencode.db"), &mut facts);
                continue;
            }
            let mut files = list(&root).unwrap();
            files.retain(|file| file.path.extension().is_some_and(|extension| extension == "jsonl"));
            for file in files {
                let mut reader = Reader::of(self.kind()).unwrap();
                let bytes = fs::read(root.join(file.path)).unwrap();
                bytes.split(|byte| *byte == b'\n').for_each(|line| reader.line(line, &mut facts));
            }
        }
        let mut answers: BTreeMap<String, Spent> = BTreeMap::new();
        for fact in facts {
            if let What::Spent(spent) = fact.what {
                answers.insert(spent.answer.clone(), spent);
            }
        }
        answers.into_values().map(tokens).collect()
    }
}

const CODEX: &[&str] = &["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"];

fn tokens(spent: Spent) -> Tokens {
    let Spent { input, cached, cache_written, output, reasoning, .. } = spent;
    assert_eq!(cache_written, 0, "none was served");
    Tokens { input, cached, output, reasoning }
}

/// Everything in a database.
fn rows(path: &Path, facts: &mut Vec<Fact>) {
    let db = Database::open(path).unwrap();
    for session in db.sessions().unwrap() {
        let mut reader = Opencode::new(&session.id);
        while db.read(&mut reader, facts).unwrap() {}
    }
}
