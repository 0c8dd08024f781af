//! Each program alone: what it does is recorded, and all its tokens are found in what it writes down.

use ox::hooks::probe::speech::Tokens;
use serde_json::Value;

use super::agents::Program;
use super::model::Call;
use super::{Scene, starts, turn};
use crate::support::OX;

/// What is recorded nowhere.
fn secret() -> String {
    ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat()
}

/// A program begins a session and has it recorded; the session goes on with a command that fails; then another one begins from that, in
/// which a sub-agent works.
fn recorded(program: Program) {
    let secret = secret();
    let status = format!("{OX} session status --current --json >../own.status");
    let mut spawns = vec![Call::Agent("turn-delta in your own words".into())];
    if program == Program::Codex {
        spawns.push(Call::Wait);
    }
    let turns = vec![
        turn("turn-alpha", vec![starts("own"), Call::Shell(status)]),
        turn("turn-bravo", vec![Call::Shell(format!("echo result-of-bravo {secret}; false"))]),
        turn("turn-charlie", spawns),
        turn("turn-delta", Vec::new()),
    ];
    let Some(scene) = Scene::new(&[program], turns) else { return };
    scene.run(program, &program.begin("turn-alpha"));
    is_known(&scene, program);
    let prompt = format!("turn-bravo with {secret}");
    scene.run(program, &program.resume(&prompt));
    let native = is_recorded(&scene, program);
    assert_eq!(scene.leaks(&secret), Vec::<std::path::PathBuf>::new());
    let forked = program.fork(&native, "turn-charlie").unwrap_or_else(|| program.resume("turn-charlie"));
    scene.run(program, &forked);
    adds_up(&scene, program);
    scene.ends();
}

/// The agent was found by its program's process, which lived when the shell that began the recording had ended.
fn is_known(scene: &Scene, program: Program) {
    let primed = scene.told("own", "prime");
    assert_eq!(primed["agent_type"], program.kind(), "{primed}");
    let started = scene.told("own", "start");
    assert_eq!(
        (&started["agent_id"], &started["adapter"]),
        (&primed["agent_id"], &program.kind().into()),
        "{started}"
    );
    let status = scene.told("own", "status");
    let own = &status["sessions"][0];
    assert_eq!((&status["count"], &own["agent_id"]), (&1.into(), &primed["agent_id"]), "{status}");
    assert_eq!(own["agent_lives"], true, "agt-07: {status}");
    let after = scene.env.ox_in(&scene.repo, ["session", "status", "--json"]).ok().json();
    assert_eq!(after["sessions"][0]["agent_lives"], false, "agt-07: {after}");
}

/// The recording has what was said and done since it began, in order and as it was; what the program calls its session.
fn is_recorded(scene: &Scene, program: Program) -> String {
    let dir = scene.told("own", "start")["path"].as_str().unwrap().to_owned();
    let marker = || -> Value {
        let bytes = std::fs::read(std::path::Path::new(&dir).join(".recording.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let native = || {
        let marker = marker();
        let file = std::path::PathBuf::from(marker["session_file"].as_str().unwrap());
        match marker["native_session"].as_str() {
            Some(session) => session.to_owned(),
            None => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    };
    let native = native();
    let session = scene.finish("own");
    let told = session.told_from("turn-bravo");
    assert!(!session.told().iter().any(|line| line.contains("turn-alpha")), "{:#?}", session.told());
    let expected = ["user: ", "tool: ", "failed: ", "assistant: done with bravo"];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.starts_with(expected), "{told:#?}");
    }
    for line in &told[..3] {
        assert!(line.contains("bravo") && line.contains("REDACTED"), "{told:#?}");
    }
    let (header, footer) = (&session.lines[0]["metadata"], session.lines.last().unwrap());
    assert_eq!(
        (&header["agent_type"], &session.meta["agent_type"]),
        (&program.kind().into(), &program.kind().into())
    );
    let served = scene.model.served();
    assert_eq!(session.meta["model"], served.last().unwrap().model, "{}", session.meta);
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (began, ended) = (time(&header["created_at"]), time(&footer["closed_at"]));
    // A call that was written down while recording began is as old as the answer that it is in.
    let is_said = |line: &Value| line["content"].as_str().is_some_and(|text| text.contains("turn-bravo"));
    let from = session.lines.iter().position(is_said).unwrap();
    let entries = session.lines[from..].iter().filter(|line| line.get("seq").is_some());
    let times: Vec<jiff::Timestamp> = entries.map(|entry| time(&entry["timestamp"])).collect();
    assert!(times.iter().all(|at| (began..=ended).contains(at)), "{began} {times:?} {ended}");
    native
}

/// What the model served is what the transcripts tell, to the token.
fn adds_up(scene: &Scene, program: Program) {
    let mut served: Vec<Tokens> = scene.model.served().iter().map(|served| served.tokens).collect();
    let mut spent = program.spent(&scene.env);
    let words: Vec<&str> = scene.model.served().iter().map(|served| served.word).collect();
    assert!(
        ["turn-alpha", "turn-bravo", "turn-charlie", "turn-delta"].iter().all(|word| words.contains(word)),
        "{words:?}"
    );
    let by = |tokens: &Tokens| (tokens.input, tokens.cached, tokens.output);
    served.sort_by_key(by);
    spent.sort_by_key(by);
    assert_eq!(spent, served, "agt-09: {words:?}");
}

#[test]
fn agt_07_agt_08_agt_09_claude_is_recorded_as_itself_and_counted_once() {
    recorded(Program::Claude);
}

#[test]
fn agt_07_agt_08_agt_09_codex_is_recorded_as_itself_and_counted_once() {
    recorded(Program::Codex);
}

#[test]
fn agt_07_agt_08_agt_09_gemini_is_recorded_as_itself_and_counted_once() {
    recorded(Program::Gemini);
}

#[test]
fn agt_07_agt_08_agt_09_opencode_is_recorded_as_itself_and_counted_once() {
    recorded(Program::Opencode);
}
