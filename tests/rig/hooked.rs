//! Each program with its hooks installed: it runs the command at every event, and starts as it did without.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::agents::Program;
use super::model::Call;
use super::{Scene, turn};
use crate::support::Ran;

/// Lines of standard error, but for those in which a program measures itself.
fn told(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran.stderr.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.starts_with("[STARTUP]"));
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
        assert!(!calls.exists(), "rly-12: what nobody has trusted does not run");
    }
    let with = run("turn-three", trusted);
    assert_eq!(told(&with), told(&before));
    let called = fs::read_to_string(&calls).unwrap();
    let mut called: Vec<&str> = called.lines().collect();
    called.dedup();
    let expected: Vec<String> = expected.iter().map(|event| format!("hook {name} {event}")).collect();
    assert_eq!(called, expected);
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
