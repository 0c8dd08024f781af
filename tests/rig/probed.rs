//! `ox hooks test` with the real programs: it runs each with its user's settings and a model of its own, and what it says is so.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Scene;
use super::agents::Program;
use crate::support::{TestEnv, census};

/// The events that one turn with one command brings, as ours call them.
const OF_A_TURN: [&str; 6] =
    ["SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"];

/// A machine on which the program is found, has its hooks and asks no model of ours.
fn scene(program: Program) -> Option<Scene> {
    let mut scene = Scene::new(&[program], Vec::new())?;
    let dir = std::env::var(super::AGENTS).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    scene.env.set("PATH", format!("{dir}:{path}"));
    scene.env.ox(["hooks", "install", "--agent", program.name(), "--force"]).ok();
    Some(scene)
}

fn tested(scene: &Scene, program: Program) -> Value {
    let ran = scene.env.ox_in(&scene.repo, ["hooks", "test", program.name(), "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    document["agents"][0].clone()
}

/// The whole way is proven by a run of the program, no model was asked, and nothing of it is left, also no transcript.
fn proven(scene: &Scene, program: Program) {
    let agent = tested(scene, program);
    assert_eq!((&agent["works"], &agent["how"]), (&true.into(), &"run".into()), "{agent:#}");
    for event in agent["events"].as_array().unwrap() {
        let is_of_turn = OF_A_TURN.contains(&event["event_type"].as_str().unwrap());
        // What a program brings besides is its own business.
        assert!(event["fired"] == "run" || !is_of_turn && event["fired"] == "replayed", "{event:#}");
        assert!(event["handler_us"].is_u64() && event["stored_ms"].is_u64(), "{event:#}");
    }
    assert_eq!(scene.model.asked(), 0, "the model of the user's settings is not asked");
    let all = scene.env.ox(["events", "list", "--json"]).ok().json();
    assert_eq!(all["events"], json!([]));
    let is_left = |path: &std::path::Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_of_test = path.to_string_lossy().contains("ox-hooks-test");
        let is_transcript = name.starts_with("rollout-") || name.starts_with("session-");
        name.ends_with(".jsonl") && (is_of_test || is_transcript)
    };
    let left = census::files(scene.env.root(), &is_left);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_way_from_claude_to_a_stored_event_is_proven() {
    let Some(scene) = scene(Program::Claude) else { return };
    proven(&scene, Program::Claude);
    // A project of the user's own may switch them off.
    let local = scene.repo.join(".claude/settings.json");
    fs::create_dir_all(local.parent().unwrap()).unwrap();
    fs::write(&local, r#"{"disableAllHooks":true}"#).unwrap();
    let agent = tested(&scene, Program::Claude);
    assert_eq!(agent["broken"][0]["reason"], "hooks-disabled", "{agent:#}");
    scene.ends();
}

#[test]
fn the_way_from_codex_is_proven_once_it_trusts_our_command_as_it_stands() {
    let Some(scene) = scene(Program::Codex) else { return };
    let agent = tested(&scene, Program::Codex);
    assert_eq!(agent["broken"][0]["reason"], "untrusted", "{agent:#}");
    let config = scene.env.home().join(".codex/config.toml");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{before}{}", trust(&scene.env))).unwrap();
    proven(&scene, Program::Codex);
    // What was trusted is not what stands there: only codex knows, and says nothing.
    let stale = fs::read_to_string(&config).unwrap().replace("sha256:", "sha256:0");
    fs::write(&config, stale).unwrap();
    let agent = tested(&scene, Program::Codex);
    let is = ["link", "reason"].map(|key| agent["broken"][0][key].as_str().unwrap().to_owned());
    assert_eq!(is, ["fired", "not-fired"], "{agent:#}");
    scene.ends();
}

#[test]
fn the_way_from_gemini_is_proven() {
    let Some(scene) = scene(Program::Gemini) else { return };
    proven(&scene, Program::Gemini);
    // Signed in otherwise it would ask a real model, so it is not run.
    let settings = scene.env.home().join(".gemini/settings.json");
    let text = fs::read_to_string(&settings).unwrap().replace("gemini-api-key", "oauth-personal");
    fs::write(&settings, text).unwrap();
    let agent = tested(&scene, Program::Gemini);
    assert_eq!((&agent["works"], &agent["how"]), (&true.into(), &"replayed".into()), "{agent:#}");
    scene.ends();
}

#[test]
fn the_way_from_opencode_is_proven() {
    let Some(scene) = scene(Program::Opencode) else { return };
    proven(&scene, Program::Opencode);
    scene.ends();
}

/// What codex writes down when its user trusts all that is installed: it says the hash of each itself.
fn trust(env: &TestEnv) -> String {
    let dir = std::env::var(super::AGENTS).unwrap();
    let mut server = Command::new(format!("{dir}/codex"));
    server.arg("app-server").env_clear().envs(env.vars()).current_dir(env.work());
    let mut server =
        server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let ask = [
        json!({ "id": 1, "method": "initialize", "params": { "clientInfo": { "name": "ox", "version": "1" } } }),
        json!({ "method": "initialized" }),
        json!({ "id": 2, "method": "hooks/list", "params": { "cwds": [env.work()] } }),
    ];
    let mut stdin = server.stdin.take().unwrap();
    ask.iter().for_each(|line| writeln!(stdin, "{line}").unwrap());
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut answers = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap_or_default());
    let answer = answers.find(|answer| answer["id"] == 2).expect("codex tells of its hooks");
    drop(stdin);
    server.wait().unwrap();
    let hooks = answer["result"]["data"][0]["hooks"].as_array().unwrap().clone();
    assert!(!hooks.is_empty(), "{answer}");
    let entry =
        |hook: &Value| format!("[hooks.state.{}]\ntrusted_hash = {}\n", hook["key"], hook["currentHash"]);
    hooks.iter().map(entry).collect()
}
