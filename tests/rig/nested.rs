//! One program in the shell of another: each session is that of the program that it was begun in, and each event.

use super::agents::Program;
use super::model::Call;
use super::{Scene, starts, turn};
use crate::support::until_or;

/// The words, with that by which codex runs hooks that nobody has trusted.
fn trusting(program: Program, mut words: Vec<&str>) -> Vec<&str> {
    if program == Program::Codex {
        words.insert(words.len() - 1, "--dangerously-bypass-hook-trust");
    }
    words
}

/// `outer` has itself recorded, and runs `inner` twice, which has itself recorded and goes on.
fn nested(outer: Program, inner: Program) {
    let words = |args: Vec<&str>| args.iter().map(|arg| format!(" '{arg}'")).collect::<String>();
    let script = format!("../run-{}", inner.name());
    let runs = format!(
        "{script}{} >../inner.out 2>&1 && {script}{} >>../inner.out 2>&1",
        words(trusting(inner, inner.begin("turn-inner"))),
        words(trusting(inner, inner.resume("turn-within"))),
    );
    let turns = vec![
        turn("turn-outer", vec![starts("outer"), Call::Shell(runs)]),
        turn("turn-inner", vec![starts("inner")]),
        turn("turn-within", vec![Call::Shell("echo result-of-within; false".into())]),
    ];
    let Some(scene) = Scene::new(&[outer, inner], turns) else { return };
    for program in [outer, inner] {
        scene.env.ox(["hooks", "install", "--agent", program.name(), "--force"]).ok();
    }
    scene.run(outer, &trusting(outer, outer.begin("turn-outer")));
    let (agent, other) = (scene.told("outer", "prime"), scene.told("inner", "prime"));
    assert_ne!(agent["agent_id"], other["agent_id"]);
    assert_eq!((&agent["agent_type"], &other["agent_type"]), (&outer.kind().into(), &inner.kind().into()));
    let (of_outer, of_inner) = (scene.finish("outer"), scene.finish("inner"));
    assert_eq!(
        (&of_outer.meta["agent_type"], &of_inner.meta["agent_type"]),
        (&outer.kind().into(), &inner.kind().into())
    );
    let said = |told: Vec<String>| {
        told.into_iter().filter(|line| line.starts_with("assistant: ")).collect::<Vec<_>>()
    };
    assert_eq!(said(of_outer.told()), ["assistant: done with outer"]);
    assert_eq!(said(of_inner.told()), ["assistant: done with inner", "assistant: done with within"]);
    let told = of_inner.told_from("turn-within");
    let expected = ["user: ", "tool: ", "failed: ", "assistant: "];
    assert!(
        told.len() == 4 && told.iter().zip(expected).all(|(line, kind)| line.starts_with(kind)),
        "{told:#?}"
    );
    assert!(told[2].contains("result-of-within"), "{told:#?}");
    // What hooks told is each program's own, whatever variables it was handed down.
    let events = || {
        let all = scene.env.ox(["events", "list", "--limit", "1000", "--json"]).ok().json();
        let all = all["events"].as_array().unwrap().iter();
        let of = |event: &serde_json::Value| {
            let is_hooks = event["sources"][0] == "hook";
            (
                event["agent"].as_str().unwrap().to_owned(),
                event["event_type"].as_str().unwrap().to_owned(),
                is_hooks,
            )
        };
        all.map(of).collect::<Vec<_>>()
    };
    let count = |program: Program, event: &str| {
        let wanted = (program.kind().to_owned(), event.to_owned(), true);
        events().into_iter().filter(|one| *one == wanted).count()
    };
    let all = [
        (outer, "UserPromptSubmit", 1),
        (outer, "Stop", 1),
        (inner, "UserPromptSubmit", 2),
        (inner, "Stop", 2),
    ];
    until_or(
        || all.iter().all(|(program, event, n)| count(*program, event) == *n),
        || format!("{:#?}", events()),
    );
    let kinds = [outer.kind(), inner.kind()];
    assert!(events().iter().all(|(agent, ..)| kinds.contains(&&**agent)), "{:#?}", events());
    scene.ends();
}

#[test]
fn agt_08_codex_inside_of_claude_is_codex() {
    nested(Program::Claude, Program::Codex);
}

#[test]
fn agt_08_claude_inside_of_codex_is_claude() {
    nested(Program::Codex, Program::Claude);
}

#[test]
fn agt_08_gemini_inside_of_claude_is_gemini() {
    nested(Program::Claude, Program::Gemini);
}

#[test]
fn agt_08_claude_inside_of_opencode_is_claude() {
    nested(Program::Opencode, Program::Claude);
}

#[test]
fn agt_08_opencode_inside_of_codex_is_opencode() {
    nested(Program::Codex, Program::Opencode);
}
