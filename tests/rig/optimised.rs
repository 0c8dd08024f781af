//! Long sessions of the real programs, made short for whoever sums them up: what a prompt takes of each, and that nothing is lost that a
//! field of a summary is written from.

use std::fs;
use std::path::{Path, PathBuf};

use ox::harness::transcript::places::{list, roots};
use ox::kit::text::tokens;
use ox::redact::Redactor;
use ox::sessions::finish::{Ask, prepare};

use super::agents::Program;
use super::model::{Call, Turn};
use super::{Scene, starts};
use crate::support::seed;

/// A prompt's tokens when nobody says anything else.
const ROOM: usize = 50_000;

/// What is planted in a session, and the field of a summary that wants it.
const PLANTED: &[(&str, &str)] = &[
    ("title", "an error has to name the token at which it stands"),
    ("constraints", "must not change the public interface"),
    ("non_goals", "speed is no goal of this"),
    ("decisions", "a token index instead of byte offsets, because offsets are wrong"),
    ("aha_moments", "the quotes were nested, not unbalanced"),
    ("key_actions", "src/parse.rs"),
    ("key_actions", "cargo test --lib parse"),
    ("summary: what failed", "expected Token(7), found Token(9)"),
    ("technical_context", "a lexer that hands tokens to a tree builder"),
    ("key_actions: the commit", "git commit -qm 'Split the parser'"),
    ("action_items", "the manual has to say so as well"),
    ("open_questions", "should the lexer keep comments"),
    ("outcome", "all 41 tests pass"),
];

/// A shell's words for what an agent does all day; the `n`-th time.
fn chores(n: usize) -> Vec<Call> {
    let shell = |text: String| Call::Shell(text);
    let file = n % 6;
    vec![
        shell("ls -la src".into()),
        shell(format!("cat src/part_{file}.rs")),
        shell("grep -n 'fn ' src/*.rs".into()),
        shell(format!("sed -n 1,200p src/part_{}.rs", (file + 1) % 6)),
        shell(format!("cat src/part_{file}.rs")),
        shell(format!("cat ../build.log; echo round {n}; false")),
        shell(format!("cat src/part_{file}.rs | head -300")),
        shell("git status; git log --oneline | head; git diff | head -400".into()),
    ]
}

fn turns(rounds: usize) -> Vec<(String, Turn)> {
    let of = |word: &'static str, said: &str, calls: Vec<Call>, answer: &str| {
        (format!("{word}: {said}"), Turn { word, calls, answer: answer.to_owned() })
    };
    let shell = |text: &str| Call::Shell(text.to_owned());
    let many = |from: usize| (from..from + rounds).flat_map(chores).collect::<Vec<Call>>();
    let edit = shell("printf '// split\\n' >>src/parse.rs && echo changed src/parse.rs");
    let test = shell(
        "cargo test --lib parse 2>/dev/null; cat ../test.log; echo 'parse::nested: expected Token(7), found Token(9)'; exit 1",
    );
    let commit = shell("git add src && git commit -qm 'Split the parser' && git log --oneline | head -1");
    vec![
        of("turn-alpha", "begin to record", vec![starts("own")], "it is recorded"),
        of(
            "turn-bravo",
            "Errors of the parser say nothing: an error has to name the token at which it stands. You must not change the public \
             interface, and speed is no goal of this.",
            many(0),
            "I looked through the parser. It reads bytes in one pass.",
        ),
        of(
            "turn-charlie",
            "How will you do it?",
            many(rounds),
            "There will be a lexer that hands tokens to a tree builder. I take a token index instead of byte offsets, because offsets \
             are wrong once tabs are expanded.",
        ),
        of(
            "turn-delta",
            "Go on.",
            [many(2 * rounds), vec![edit, test]].concat(),
            "The test fails: the quotes were nested, not unbalanced.",
        ),
        of(
            "turn-echo",
            "Mend it and commit.",
            [many(3 * rounds), vec![commit]].concat(),
            "Mended; all 41 tests pass.",
        ),
        of(
            "turn-foxtrot",
            "Good; the manual has to say so as well, another time.",
            vec![shell("git status")],
            "Noted. One question is open: should the lexer keep comments?",
        ),
    ]
}

fn optimised(program: Program) {
    let turns = turns(seed::rounds(1, 8));
    let (prompts, script): (Vec<String>, Vec<Turn>) = turns.into_iter().unzip();
    let Some(scene) = Scene::new(&[program], script) else { return };
    sources(&scene);
    scene.run(program, &program.begin(&prompts[0]));
    for prompt in &prompts[1..] {
        scene.run(program, &program.resume(prompt));
    }
    let native = native(&scene, program);
    let started = scene.told("own", "start");
    scene.finish("own");
    let dir = PathBuf::from(started["path"].as_str().unwrap());
    let raw = fs::read_to_string(dir.join("raw.jsonl")).unwrap();
    let ask = Ask { tokens: ROOM, force: true, root: &scene.repo };
    let prepared = prepare(&dir, ask, &Redactor::new()).unwrap();
    let prompt = prepared.prompt.expect("there is enough to sum up");
    let (own, all) = (tokens(&native), tokens(&raw));
    println!(
        "{}: {} entries; tokens: the program's file {own}, the recording {all}, what was said and done in it {}, the prompt's transcript {}, \
         the whole prompt {}",
        program.name(),
        prepared.entries,
        prompt.tokens_before,
        prompt.tokens_after,
        tokens(&prompt.text)
    );
    assert!(prompt.tokens_before > 10_000, "a long session");
    assert!(tokens(&prompt.text) * 10 <= prompt.tokens_before * 4, "60 % fewer, its own words included");
    let given = prompt.text.split("===== session =====").nth(1).unwrap();
    let lost: Vec<_> = PLANTED.iter().filter(|(_, fact)| !given.contains(fact)).collect();
    assert!(lost.is_empty(), "lost: {lost:?} of\n{given}");
    scene.ends();
}

/// Real sources, and what a build and a test say at length.
fn sources(scene: &Scene) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kit");
    fs::create_dir(scene.repo.join("src")).unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    for (n, path) in files.iter().take(6).enumerate() {
        fs::copy(path, scene.repo.join(format!("src/part_{n}.rs"))).unwrap();
    }
    fs::write(scene.repo.join("src/parse.rs"), "fn parse() {}\n").unwrap();
    let error = |n: usize| {
        format!(
            "error[E0308]: mismatched types\n  --> src/part_{}.rs:{n}:9\n   |\n{n} |     let token = next(input);\n   |         ^^^^^ expected `Token`, found `u8`\n\n",
            n % 6
        )
    };
    fs::write(scene.env.work().join("build.log"), (0..60).map(error).collect::<String>()).unwrap();
    let test = |n: usize| format!("test parse::case_{n} ... ok\n");
    fs::write(scene.env.work().join("test.log"), (0..200).map(test).collect::<String>()).unwrap();
}

/// What the program has written down itself: the longest of its files.
fn native(scene: &Scene, program: Program) -> String {
    let home = scene.env.home();
    let variable = |name: &str| {
        let found = scene.env.vars().find(|(key, _)| *key == name)?;
        found.1.to_str().map(str::to_owned)
    };
    let of_root = |root: PathBuf| {
        let files = list(&root).unwrap().into_iter();
        files
            .map(|file| root.join(file.path))
            .filter(|path| path.extension().is_some_and(|e| e == "jsonl" || e == "json"))
            .collect::<Vec<_>>()
    };
    let files = roots(program.kind(), &home, variable).into_iter().flat_map(of_root);
    let longest =
        files.max_by_key(|path| path.metadata().map_or(0, |meta| meta.len())).expect("a transcript");
    fs::read_to_string(longest).unwrap()
}

#[test]
fn a_long_session_of_claude_is_made_short_and_keeps_what_a_summary_is_written_from() {
    optimised(Program::Claude);
}

#[test]
fn a_long_session_of_codex_is_made_short_and_keeps_what_a_summary_is_written_from() {
    optimised(Program::Codex);
}

#[test]
fn a_long_session_of_gemini_is_made_short_and_keeps_what_a_summary_is_written_from() {
    optimised(Program::Gemini);
}
