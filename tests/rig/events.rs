//! What the real programs do is stored as theirs, once and in its order, by their hooks, by their transcripts and by both: when sessions go
//! on and fork, when the daemon is killed under them, and when either source is missing.

use std::fs;

use serde_json::Value;

use super::agents::Program;
use super::model::Call;
use super::{Scene, turn};
use crate::support::{OX, until_or};

/// A row: its session by the order in which they began, the event, and who told of it.
type Row = (usize, String, String);

/// Who tells of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Hook,
    Both,
    /// Both, once something follows in the transcript.
    BothLater,
    /// Nobody but the transcript.
    Transcript,
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    New,
    Resumed,
    Forked,
}

use Begins::{Forked, New, Resumed};

/// What a program tells of a turn with one command.
fn events(program: Program, begins: Begins) -> Vec<(&'static str, By)> {
    let start = match (program, begins) {
        (Program::Opencode, Resumed) => None,
        // It writes down that it began, or from what.
        (Program::Opencode, _) | (Program::Codex, New | Forked) => Some(By::Both),
        _ => Some(By::Hook),
    };
    // Gemini CLI asks whether to compress before each question to its model.
    let compress = (program == Program::Gemini).then_some(("PreCompact", By::Hook));
    let mut all: Vec<(&str, By)> = start.map(|by| ("SessionStart", by)).into_iter().collect();
    all.push(("UserPromptSubmit", By::Both));
    all.extend(compress);
    all.extend([("PreToolUse", By::Both), ("PostToolUse", By::Both)]);
    all.extend(compress);
    all.push(("Stop", if program == Program::Gemini { By::BothLater } else { By::Both }));
    all.extend((program != Program::Opencode).then_some(("SessionEnd", By::Hook)));
    all
}

/// What opencode tells of a turn in which a sub-agent runs a command.
const WITH_A_SUB_AGENT: [(&str, By); 8] = [
    ("SessionStart", By::Both),
    ("UserPromptSubmit", By::Both),
    ("PreToolUse", By::Both),
    ("PreToolUse", By::Both),
    ("PostToolUse", By::Both),
    ("SubagentStop", By::Transcript),
    ("PostToolUse", By::Both),
    ("Stop", By::Both),
];

/// Which sources there are, and whether something follows in the session.
#[derive(Clone, Copy)]
struct Told {
    hooks: bool,
    transcripts: bool,
    goes_on: bool,
}

fn rows(session: usize, events: &[(&str, By)], told: Told) -> Vec<Row> {
    let of = |(event, by): &(&str, By)| {
        let is_in_transcript = match by {
            By::Hook => false,
            By::Both | By::Transcript => true,
            By::BothLater => told.goes_on,
        };
        let hook = (told.hooks && *by != By::Transcript).then_some("hook");
        let transcript = (told.transcripts && is_in_transcript).then_some("transcript");
        let sources: Vec<&str> = hook.into_iter().chain(transcript).collect();
        (!sources.is_empty()).then(|| (session, (*event).to_owned(), sources.join("+")))
    };
    events.iter().filter_map(of).collect()
}

/// A scene with what a program is to tell in it.
struct Telling {
    scene: Scene,
    program: Program,
    /// The words with which it runs hooks that nobody has trusted.
    trusted: &'static [&'static str],
    expected: Vec<Row>,
}

impl Telling {
    /// Has it do something; `more` are words of its own for this run.
    fn run(&self, args: &[&str], more: &[&str]) {
        let (last, first) = args.split_last().unwrap();
        self.scene.run(self.program, &[first, more, &[*last]].concat());
    }

    fn ox(&self, args: &[&str]) {
        self.scene.env.ox_in(&self.scene.repo, args).ok();
    }

    /// Everything that is stored, in its order; it is all this program's.
    fn stored(&self) -> (Vec<Row>, Vec<String>) {
        let all = self.scene.env.ox(["events", "list", "--limit", "1000", "--json"]).ok().json();
        let (mut rows, mut sessions) = (Vec::new(), Vec::<String>::new());
        for one in all["events"].as_array().unwrap().iter().rev() {
            assert_eq!(one["agent"], self.program.kind(), "{one}");
            let session = one["session_id"].as_str().unwrap();
            let known = sessions.iter().position(|known| known == session);
            let n = known.unwrap_or_else(|| {
                sessions.push(session.to_owned());
                sessions.len() - 1
            });
            let sources: Vec<&str> =
                one["sources"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            rows.push((n, one["event_type"].as_str().unwrap().to_owned(), sources.join("+")));
        }
        (rows, sessions)
    }

    /// Waits until that is what is expected.
    fn is_told(&self, when: &str) {
        until_or(
            || self.stored().0 == self.expected,
            || format!("{when}: {:#?}\nexpected {:#?}", self.stored().0, self.expected),
        );
    }

    /// A program with our marker around it fires all hooks, and introduces itself where sessions are recorded by themselves.
    fn runs_for_us(&mut self) {
        let words: &[&str] = match self.program {
            Program::Claude => &["--no-session-persistence"],
            Program::Codex => &["--ephemeral", self.trusted[0]],
            Program::Gemini | Program::Opencode => return,
        };
        self.ox(&["config", "set", "sessions.mode", "auto"]);
        self.scene.env.set("OX_HOOK_DEPTH", "1");
        self.run(&self.program.begin("turn-for-us"), words);
        self.scene.env.unset("OX_HOOK_DEPTH");
        assert_eq!(self.scene.told("us", "prime")["agent_type"], self.program.kind());
        let listed = self.scene.env.ox_in(&self.scene.repo, ["session", "list", "--json"]).ok().json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(0), "agt-02: {listed}");
        self.ox(&["config", "set", "sessions.mode", "manual"]);
    }
}

fn told(program: Program, trusted: &'static [&'static str]) {
    let says = |word: &str| format!("echo result-of-{word}");
    let prime = |name: &str| format!("{OX} agent prime --json >../{name}.prime");
    let is_nesting = program == Program::Opencode;
    let fork = match is_nesting {
        true => Call::Agent("turn-within in your own words".into()),
        false => Call::Shell(says("fork")),
    };
    let killed = format!("xargs kill -9 <../daemon.pid; {OX} daemon start >../start.out 2>&1");
    let turns = vec![
        turn("turn-first", vec![Call::Shell(says("first"))]),
        turn("turn-killed", vec![Call::Shell(killed)]),
        turn("turn-fork", vec![fork]),
        turn("turn-within", vec![Call::Shell(says("within"))]),
        turn("turn-for-us", vec![Call::Shell(prime("us"))]),
        turn("turn-hooks", vec![Call::Shell(says("hooks"))]),
        turn("turn-alone", vec![Call::Shell(prime("alone"))]),
    ];
    let Some(scene) = Scene::new(&[program], turns) else { return };
    let mut t = Telling { scene, program, trusted, expected: Vec::new() };
    let (both, last) = (
        Told { hooks: true, transcripts: true, goes_on: true },
        Told { hooks: true, transcripts: true, goes_on: false },
    );
    let install = ["hooks", "install", "--agent", program.name(), "--force"];
    t.ox(&install);
    t.run(&program.begin("turn-first"), trusted);
    t.expected.extend(rows(0, &events(program, New), both));
    // Goes on, and the daemon is killed under it and begins anew.
    let before = t.scene.env.daemon_pid().unwrap();
    fs::write(t.scene.env.work().join("daemon.pid"), before.to_string()).unwrap();
    t.run(&program.resume("turn-killed"), trusted);
    assert_ne!(t.scene.env.daemon_pid(), Some(before));
    t.expected.extend(rows(0, &events(program, Resumed), last));
    let session = || t.stored().1.into_iter().next();
    until_or(|| session().is_some(), || "nothing is stored");
    if let Some(args) = program.fork(&session().unwrap(), "turn-fork") {
        t.run(&args, trusted);
        let events = if is_nesting { WITH_A_SUB_AGENT.to_vec() } else { events(program, Forked) };
        t.expected.extend(rows(1, &events, last));
    }
    t.runs_for_us();
    t.is_told("resumed, while the daemon was killed, and forked");
    // By hooks alone.
    t.ox(&["config", "set", "hooks.import_transcripts", "false"]);
    t.run(&program.begin("turn-hooks"), trusted);
    let (n, before) = (t.expected.last().unwrap().0 + 1, t.expected.clone());
    let mut alone = Told { transcripts: false, ..last };
    t.expected.extend(rows(n, &events(program, New), alone));
    t.is_told("by hooks alone");
    // By transcripts alone, which now tell of what hooks told before.
    t.ox(&["config", "set", "hooks.import_transcripts", "true"]);
    t.ox(&["hooks", "uninstall"]);
    t.run(&program.begin("turn-alone"), trusted);
    (alone.hooks, alone.transcripts) = (false, true);
    t.expected =
        [before, rows(n, &events(program, New), last), rows(n + 1, &events(program, New), alone)].concat();
    t.is_told("by transcripts alone");
    t.scene.ends();
}

#[test]
fn agt_09_what_claude_does_is_told_once() {
    told(Program::Claude, &[]);
}

#[test]
fn agt_09_what_codex_does_is_told_once() {
    told(Program::Codex, &["--dangerously-bypass-hook-trust"]);
}

#[test]
fn agt_09_what_gemini_does_is_told_once() {
    told(Program::Gemini, &[]);
}

#[test]
fn agt_09_what_opencode_does_is_told_once() {
    told(Program::Opencode, &[]);
}
