//! What hooks print is read by the model of the real programs: who the agent is, and who else works on the file that it is about to change.

use std::fs;

use ox::kit::clock::{Clock as _, SystemClock};
use ox::project::{Dirs, Env, Project};
use ox::sync::Kind;
use ox::whispers::{FILE_CHANGES, Murmur, Uncommitted, uncommitted};

use super::agents::Program;
use super::model::Call;
use super::{Scene, turn};

/// What another work tree has changed is known here.
fn somebody_has(scene: &Scene, file: &str) {
    let lib = Env::of(scene.env.vars(), &scene.repo);
    let (project, dirs) = (Project::discover(&lib).unwrap(), Dirs::from_env(&lib).unwrap());
    let state = dirs.state_of(&project.slug, &Kind::Ledger.state_name(&project.repo_id));
    let now = SystemClock.now().wall;
    let mut known = Uncommitted::load(&state);
    let metadata = [(uncommitted::TREE, "00112233445566aa"), (uncommitted::FILES, file), ("branch", "fix")];
    known.take_in(&Murmur {
        topic: FILE_CHANGES.into(),
        timestamp: now.into(),
        agent_id: "OxZZZZ".into(),
        principal_id: "dana".into(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Murmur::default()
    });
    known.save(&state, now).unwrap();
}

fn is_told(program: Program, words: &[&str], edit: impl Fn(&str) -> Call) {
    let calls = |path: &str| vec![edit(path)];
    let turns = vec![turn("turn-one", calls("one.rs")), turn("turn-two", calls("one.rs"))];
    let Some(scene) = Scene::new(&[program], turns) else { return };
    let name = program.name();
    fs::write(scene.repo.join("one.rs"), "1\n").unwrap();
    scene.env.ox(["hooks", "install", "--agent", name, "--force"]).ok();
    somebody_has(&scene, "one.rs");
    let run = |prompt: &str| {
        let begin = program.begin(prompt);
        let (last, first) = begin.split_last().unwrap();
        scene.run(program, &[first, words, &[*last]].concat())
    };
    // wat-07, wat-09: it is there when the model is asked the first time, and whole. A machine that is busy may have no time for that in one
    // session.
    let (introduced, warned) =
        ("You are agent Ox", "one.rs has uncommitted changes elsewhere: agent OxZZZZ of dana");
    run("turn-one");
    if !scene.model.heard(introduced) || !scene.model.heard(warned) {
        run("turn-two");
    }
    assert!(scene.model.heard(introduced) && scene.model.heard("session search"), "{name}");
    assert!(scene.model.heard(warned), "{name}");
    scene.ends();
}

#[test]
fn wat_07_claude_is_told_by_its_hooks() {
    is_told(Program::Claude, &[], |path| Call::Write(path.to_owned()));
}

#[test]
fn wat_07_codex_is_told_by_its_hooks() {
    is_told(Program::Codex, &["--dangerously-bypass-hook-trust"], |path| {
        Call::Shell(format!(
            "apply_patch '*** Begin Patch\n*** Update File: {path}\n@@\n-1\n+2\n*** End Patch\n'"
        ))
    });
}
