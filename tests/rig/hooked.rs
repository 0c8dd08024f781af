//! Each program with its hooks installed: it runs the command at every event, and starts as it did without.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::agents::Program;
use super::model::Call;
use super::{Scene, turn};
use crate::support::{Ran, until_or};

/// Lines of standard error, but for those in which a program measures itself.
fn told(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran.stderr.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.starts_with("[STARTUP]"));
    lines
}

/// What it prints on standard output, by the kinds of its lines, each once where several follow each other. That a hook runs is told to
/// programs only.
fn printed(ran: &Ran) -> Vec<String> {
    let kind = |line: &str| {
        let Ok(line) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
        [&line["type"], &line["subtype"], &line["item"]["type"]]
            .map(|one| one.as_str().unwrap_or_default())
            .join(" ")
    };
    let mut lines: Vec<String> = ran.stdout.lines().map(kind).collect();
    lines.retain(|line| !line.starts_with("system hook_"));
    lines.dedup();
    lines
}

/// Runs a program without hooks, with them, and when they are gone again. `trusted` are the words with which it runs what nobody has trusted.
fn hooked(program: Program, trusted: &[&str], expected: &[&str]) {
    let turns = ["turn-one", "turn-two", "turn-three", "turn-four"];
    let turns = turns.map(|word| turn(word, vec![Call::Shell("echo one".into())])).into();
    let Some(scene) = Scene::new(&[program], turns) else { return };
    let (env, name) = (&scene.env, program.name());
    let run = |prompt: &str, words: &[&str]| {
        let begin = program.begin(prompt);
        let (last, first) = begin.split_last().unwrap();
        scene.run(program, &[first, words, &[*last]].concat())
    };
    let before = run("turn-one", &[]);
    env.ox(["hooks", "install", "--agent", name, "--force"]).ok();
    // What agents run is a path that stays: another program in its place changes no settings.
    let (link, calls) = (env.home().join(".sageox/bin/ox"), env.work().join("calls"));
    fs::remove_file(&link).unwrap();
    fs::write(&link, format!("#!/bin/sh\necho \"$*\" >>{}\ncat >/dev/null\n", calls.display())).unwrap();
    fs::set_permissions(&link, fs::Permissions::from_mode(0o755)).unwrap();
    if !trusted.is_empty() {
        let untrusted = run("turn-two", &[]);
        assert_eq!(told(&untrusted), told(&before), "rly-12");
        assert_eq!(printed(&untrusted), printed(&before), "rly-12");
        assert!(!calls.exists(), "rly-12: what nobody has trusted does not run");
    }
    let with = run("turn-three", trusted);
    assert_eq!(told(&with), told(&before));
    // Asked to run what nobody has trusted it says so.
    if trusted.is_empty() {
        assert_eq!(printed(&with), printed(&before));
    }
    let expected: Vec<String> = expected.iter().map(|event| format!("hook {name} {event}")).collect();
    let called = || {
        let called = fs::read_to_string(&calls).unwrap_or_default();
        let mut called: Vec<String> = called.lines().map(str::to_owned).collect();
        called.dedup();
        called
    };
    // A plug-in waits for none of them.
    until_or(|| called() == expected, || format!("{:?}, not {expected:?}", called()));
    env.ox(["hooks", "uninstall"]).ok();
    fs::remove_file(&calls).unwrap();
    run("turn-four", trusted);
    assert!(!calls.exists());
    scene.ends();
}

const EVENTS: [&str; 6] =
    ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd"];

#[test]
fn claude_runs_what_is_installed() {
    hooked(Program::Claude, &[], &EVENTS);
}

#[test]
fn codex_runs_what_is_installed_once_it_is_trusted() {
    hooked(Program::Codex, &["--dangerously-bypass-hook-trust"], &EVENTS);
}

#[test]
fn gemini_runs_what_is_installed() {
    let events = [
        "SessionStart",
        "BeforeAgent",
        "PreCompress",
        "BeforeTool",
        "AfterTool",
        "PreCompress",
        "AfterAgent",
        "SessionEnd",
    ];
    hooked(Program::Gemini, &[], &events);
}

#[test]
fn opencode_loads_the_plug_in_and_runs_what_that_names() {
    let events =
        ["session.created", "chat.message", "tool.execute.before", "tool.execute.after", "session.idle"];
    hooked(Program::Opencode, &[], &events);
}
