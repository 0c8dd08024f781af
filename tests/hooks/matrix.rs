//! Who ran an entry: every agent's payloads through every agent's entry, each from a tree of processes with another agent around it.
//!
//! The rule that is checked is that of the machine, and not the program's: an event is that of the agent whose process ran the entry, or
//! `foreign`; never another's. Agents are shells under other names, so their trees, their variables and their command lines are real.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use ox::hooks::spool;
use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::support::{Background, TestEnv, seed, until_or};

/// What is stored of an event whose program is not known.
const FOREIGN: &str = "foreign";
/// The words of the entries.
const ENTRIES: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

/// How the process of a program looks, what recordings call it, and what it sets for what it runs.
struct Image {
    kind: &'static str,
    /// Its executable with what stands behind it; of an interpreter its options and the script last.
    words: &'static [&'static str],
    sets: &'static [(&'static str, &'static str)],
}

const fn image(
    kind: &'static str,
    words: &'static [&'static str],
    sets: &'static [(&'static str, &'static str)],
) -> Image {
    Image { kind, words, sets }
}

const OF_CLAUDE: &[(&str, &str)] = &[
    ("CLAUDECODE", "1"),
    ("CLAUDE_PID", "1"),
    ("CLAUDE_CODE_SESSION_ID", "c0ffee00-0000-4000-8000-000000000000"),
    ("CLAUDE_PROJECT_DIR", "/p"),
    ("AI_AGENT", "claude-code_2.1.332_harness"),
];
const OF_CODEX: &[(&str, &str)] = &[
    ("CODEX_SESSION_ID", "0fada000-0000-7000-8000-000000000000"),
    ("CODEX_THREAD_ID", "0fada000-0000-7000-8000-000000000000"),
    ("CODEX_CI", "1"),
];

/// Agents around the one that runs the entry: what they set is handed down.
const OUTER: [Image; 8] = [
    image("claude-code", &["claude"], OF_CLAUDE),
    image("codex", &["codex"], OF_CODEX),
    image("gemini", &["node", "gemini.js"], &[("GEMINI_CLI", "1")]),
    image("opencode", &["opencode"], &[("OPENCODE", "1"), ("OPENCODE_PID", "1"), ("AGENT", "1")]),
    image("copilot", &["node", "copilot"], &[("COPILOT_CLI", "1"), ("COPILOT_AGENT_SESSION_ID", "x")]),
    image("qwen", &["node", "qwen.js"], &[("QWEN_CODE", "1"), ("QWEN_CODE_SESSION_ID", "x")]),
    image("pi", &["pi"], &[("PI_SESSION_ID", "x"), ("PI_CODING_AGENT", "true")]),
    image("cursor", &["cursor-agent"], &[]),
];

/// The process that runs the entry. Hooks of codex have no variables of its own, those of claude all of them.
const INNER: [Image; 13] = [
    image("claude-code", &["claude.exe"], OF_CLAUDE),
    image("claude-code", &["node", "claude.js"], OF_CLAUDE),
    image("codex", &["codex"], &[]),
    image("codex", &["node", "codex.js"], &[]),
    image("codex", &["codex", "app-server"], &[]),
    image("gemini", &["node", "gemini"], &[]),
    // As it runs itself again, with an option of its interpreter.
    image("gemini", &["node", "--norc", "gemini.js"], &[]),
    image("opencode", &["opencode.exe"], &[]),
    image("copilot", &["node", "copilot"], &[("COPILOT_CLI", "1")]),
    image("qwen", &["node", "qwen"], &[]),
    image("pi", &["pi"], &[]),
    image("cursor", &["cursor-agent"], &[]),
    image("droid", &["droid"], &[]),
];

/// Programs that nobody knows, one by its name alone and one by its script.
const STRANGERS: [Image; 2] = [image("", &["grok"], &[]), image("", &["node", "cli.js"], &[])];

/// An event as a program hands it over.
#[derive(Clone, Debug)]
struct Told {
    /// What the program calls it.
    event: String,
    payload: Value,
}

/// What a program calls an event, in the words of ours.
fn canonical(event: &str) -> String {
    let known = match event {
        "BeforeAgent" | "chat.message" | "userPromptSubmitted" => "UserPromptSubmit",
        "BeforeTool" | "tool.execute.before" => "PreToolUse",
        "AfterTool" | "tool.execute.after" => "PostToolUse",
        "AfterAgent" | "session.idle" | "agentStop" => "Stop",
        "PreCompress" => "PreCompact",
        "session.created" => "SessionStart",
        other => return other[..1].to_uppercase() + &other[1..],
    };
    known.to_owned()
}

/// What stands behind `ox hook` in the command that an agent's settings have for an event; the event's own name where they have none.
fn installed(word: &str, event: &str) -> String {
    let ours = canonical(event);
    let own = match (word, &*ours) {
        ("gemini", "UserPromptSubmit") => "BeforeAgent",
        ("gemini", "PreToolUse") => "BeforeTool",
        ("gemini", "PostToolUse") => "AfterTool",
        ("gemini", "Stop") => "AfterAgent",
        ("gemini", "PreCompact") => "PreCompress",
        ("opencode", "SessionStart") => "session.created",
        ("opencode", "UserPromptSubmit") => "chat.message",
        ("opencode", "PreToolUse") => "tool.execute.before",
        ("opencode", "PostToolUse") => "tool.execute.after",
        ("opencode", "Stop") => "session.idle",
        _ => return ours,
    };
    own.to_owned()
}

/// One of each event that a real program told, as recorded.
fn recorded(word: &str) -> Vec<Told> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hooks/seen").join(word).join("hooks.jsonl");
    let mut told: Vec<Told> = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = line["event"].as_str().unwrap().to_owned();
        if !told.iter().any(|known| known.event == event) {
            told.push(Told { event, payload: line["payload"].clone() });
        }
    }
    told
}

fn made(all: &[(&str, Value)], shared: &Value) -> Vec<Told> {
    let of = |(event, own): &(&str, Value)| {
        let mut payload = shared.as_object().unwrap().clone();
        payload.extend(own.as_object().unwrap().clone());
        if let Some(name) = payload.get_mut("hook_event_name") {
            *name = (*event).into();
        }
        Told { event: (*event).to_owned(), payload: Value::Object(payload) }
    };
    all.iter().map(of).collect()
}

/// Every program's events in each form that it hands them over in: what recordings call it, the word of its own entry where it has one, and
/// the events. What is not recorded is as observed.
fn payloads() -> Vec<(&'static str, &'static str, Vec<Told>)> {
    let mut codex = recorded("codex");
    // What nobody is to keep has no transcript.
    let kept_nowhere: Vec<Told> = codex
        .iter()
        .map(|told| {
            let mut told = told.clone();
            told.payload["transcript_path"] = Value::Null;
            told
        })
        .collect();
    codex.extend(kept_nowhere);
    let args = json!({ "command": "ls" });
    let camel = [
        ("sessionStart", json!({ "source": "new", "initialPrompt": "go" })),
        ("userPromptSubmitted", json!({ "prompt": "go" })),
        ("preToolUse", json!({ "toolName": "bash", "toolArgs": args })),
        (
            "postToolUse",
            json!({ "toolName": "bash", "toolArgs": args, "toolResult": { "resultType": "success" } }),
        ),
        (
            "agentStop",
            json!({ "transcriptPath": "/h/.copilot/session-state/x/events.jsonl", "stopReason": "end_turn" }),
        ),
        ("sessionEnd", json!({ "reason": "complete" })),
    ];
    let pascal = [
        ("SessionStart", json!({ "source": "new", "initial_prompt": "go" })),
        ("UserPromptSubmit", json!({ "prompt": "go" })),
        ("PreToolUse", json!({ "tool_name": "Bash", "tool_input": args })),
        (
            "PostToolUse",
            json!({ "tool_name": "Bash", "tool_input": args, "tool_result": { "result_type": "success" } }),
        ),
        (
            "Stop",
            json!({ "stop_reason": "end_turn", "transcript_path": "/h/.copilot/session-state/x/events.jsonl" }),
        ),
        ("SessionEnd", json!({ "reason": "complete" })),
    ];
    let call = json!({ "tool_name": "run_shell_command", "tool_input": args, "tool_call_id": "c", "tool_use_id": "h" });
    let qwen = [
        ("SessionStart", json!({ "source": "startup", "model": "fake" })),
        ("UserPromptSubmit", json!({ "prompt": "go", "submitted_prompt": "go" })),
        ("PreToolUse", call.clone()),
        ("PostToolUse", call),
        ("Stop", json!({ "stop_hook_active": false, "last_assistant_message": "Done." })),
        ("Notification", json!({ "message": "m", "notification_type": "t" })),
    ];
    let tool =
        json!({ "turn_id": "msg_1", "tool_name": "bash", "tool_use_id": "call_1", "tool_input": args });
    let opencode = [
        ("session.created", json!({})),
        ("chat.message", json!({ "turn_id": "msg_1" })),
        ("tool.execute.before", tool.clone()),
        ("tool.execute.after", tool),
        ("session.idle", json!({ "turn_id": "msg_1" })),
    ];
    let cursor = [
        ("beforeSubmitPrompt", json!({ "prompt": "go" })),
        ("preToolUse", json!({ "tool_name": "Shell", "tool_input": args })),
        ("stop", json!({ "status": "completed" })),
    ];
    let at = "2026-11-30T14:42:15.151Z";
    vec![
        ("claude-code", "claude", recorded("claude")),
        ("codex", "codex", codex),
        ("gemini", "gemini", recorded("gemini")),
        (
            "copilot",
            "",
            made(&camel, &json!({ "sessionId": "", "timestamp": 1_796_049_595_425_i64, "cwd": "" })),
        ),
        (
            "copilot",
            "",
            made(&pascal, &json!({ "hook_event_name": "", "session_id": "", "timestamp": at, "cwd": "" })),
        ),
        (
            "qwen",
            "",
            made(
                &qwen,
                &json!({
                    "session_id": "", "transcript_path": "/h/.qwen/projects/-p/chats/s.jsonl", "cwd": "", "hook_event_name": "",
                    "timestamp": at, "permission_mode": "yolo", "prompt_id": "s########1",
                }),
            ),
        ),
        ("opencode", "opencode", made(&opencode, &json!({ "cwd": "", "timestamp": at, "session_id": "" }))),
        (
            "cursor",
            "",
            made(
                &cursor,
                &json!({ "session_id": "", "hook_event_name": "", "cursor_version": "2.1.0", "workspace_roots": [], "cwd": "" }),
            ),
        ),
    ]
}

/// A machine with a project, whose entries take events in.
struct Machine {
    env: TestEnv,
    repo: PathBuf,
    /// Open until all agents may end.
    gate: Option<File>,
    n: usize,
}

/// What an agent runs: the entry with these words, given this file.
type Call = (String, String, PathBuf);

impl Machine {
    fn new() -> Machine {
        let mut env = TestEnv::new();
        let repo = env.repo("r");
        env.ox_in(&repo, ["up"]).ok();
        env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
        // Thousands of sessions that begin would each be introduced.
        env.set("OX_HOOKS", "store");
        for word in ENTRIES {
            env.ox_in(&repo, ["hooks", "install", "--agent", word, "--force"]).ok();
        }
        let dir = env.work().join("images");
        fs::create_dir(&dir).unwrap();
        for image in OUTER.iter().chain(&INNER).chain(&STRANGERS) {
            let program = dir.join(image.words[0]);
            if !program.exists() {
                symlink("/bin/bash", program).unwrap();
            }
        }
        // The outer one starts the inner one and waits; the inner one runs its hooks, some of them by a shell, and lives on.
        let ox = Path::new(crate::support::OX).with_file_name("ox-hook");
        let outer = "#!/bin/bash\n\"$@\"\n:\n";
        let inner = format!(
            "#!/bin/bash\nn=0\nwhile IFS=$'\\t' read -r word event payload; do n=$((n + 1))\n\
             if [ $((n % 4)) = 0 ]; then sh -c '\"$0\" hook \"$1\" \"$2\"; :' '{ox}' \"$word\" \"$event\"\n\
             else '{ox}' hook \"$word\" \"$event\"; fi <\"$payload\" 2>>\"$LIST.said\" >/dev/null || echo failed >>\"$LIST.said\"\n\
             done <\"$LIST\"\n: >\"$LIST.done\"\nread -r _ <'{gate}'\n:\n",
            ox = ox.display(),
            gate = env.work().join("gate").display(),
        );
        for (name, text) in [("outer", outer), ("inner", &inner)] {
            let path = env.work().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let gate = env.work().join("gate");
        mkfifoat(CWD, &gate, Mode::RWXU).unwrap();
        let gate = OpenOptions::new().read(true).write(true).open(gate).unwrap();
        Machine { env, repo, gate: Some(gate), n: 0 }
    }

    /// The words that start a program's process, which does what the script says.
    fn starts(&self, image: &Image, script: &str) -> Vec<String> {
        let work = self.env.work();
        let (program, rest) = image.words.split_first().unwrap();
        let (before, name, behind): (&[&str], &str, &[&str]) = match rest.split_last() {
            Some((name, options)) if *program == "node" => (options, name, &[]),
            _ => (&[], script, rest),
        };
        let place = work.join(format!("scripts-{script}")).join(name);
        if !place.exists() {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            symlink(work.join(script), &place).unwrap();
        }
        let program = work.join("images").join(program).display().to_string();
        let place = place.display().to_string();
        let words = [&[&*program], before, &[&*place], behind].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    /// Has the inner agent run its hooks inside of the outer one.
    fn runs(&mut self, outer: Option<&Image>, inner: &Image, calls: &[Call]) -> Running {
        self.n += 1;
        let list = self.env.work().join(format!("list-{}", self.n));
        let line = |(word, event, payload): &Call| format!("{word}\t{event}\t{}\n", payload.display());
        fs::write(&list, calls.iter().map(line).collect::<String>()).unwrap();
        let mut words: Vec<String> = Vec::new();
        for (image, script) in outer.map(|outer| (outer, "outer")).into_iter().chain([(inner, "inner")]) {
            words.push("/usr/bin/env".to_owned());
            words.extend(image.sets.iter().map(|(name, value)| format!("{name}={value}")));
            words.extend(self.starts(image, script));
        }
        // What an outer script is given is what it runs, but for the word by which it is known.
        words.insert(1, format!("LIST={}", list.display()));
        Running { process: self.env.start(&words[0], &self.repo, &words[1..]), list }
    }

    /// Lets all agents end.
    fn end(&mut self, all: Vec<Running>) {
        self.gate = None;
        for mut one in all {
            let ended: ExitStatus = one.process.ended();
            assert!(ended.success());
        }
    }

    /// Looks at what is stored of these combinations: each once, and as is expected. Returns how many are a program's, and how many nobody's.
    fn stored(&self, made: &[Combination]) -> (usize, usize) {
        let events = || {
            let all = self.env.ox(["events", "list", "--limit", "100000", "--json"]).ok().json();
            all["events"].as_array().unwrap().clone()
        };
        until_or(|| events().len() >= made.len(), || format!("{} of {}", events().len(), made.len()));
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in events() {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            found.entry(text("session_id")).or_default().push(text("agent"));
        }
        let mut wrong = Vec::new();
        for one in made.iter().filter(|one| !one.session.is_empty()) {
            let agents = found.remove(&one.session).unwrap_or_default();
            if agents != [&*one.expected] {
                wrong.push(format!("{}: {agents:?}, not {}", one.what, one.expected));
            }
        }
        assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:#?}", wrong.len(), made.len());
        let nameless = made.iter().filter(|one| one.session.is_empty()).count();
        let rest: Vec<(String, Vec<String>)> = found.into_iter().collect();
        assert_eq!(rest, [(String::new(), vec![FOREIGN.to_owned(); nameless])]);
        let foreign = made.iter().filter(|one| one.expected == FOREIGN).count();
        (made.len() - foreign, foreign)
    }
}

fn data(env: &TestEnv) -> PathBuf {
    env.data().join("sageox")
}

/// An agent at work.
struct Running {
    process: Background,
    list: PathBuf,
}

impl Running {
    /// All its hooks have run, and said nothing.
    fn has_run(&self) {
        let with = |ending: &str| PathBuf::from(format!("{}.{ending}", self.list.display()));
        until_or(|| with("done").exists(), || format!("{:?}", fs::read_to_string(&self.list)));
        assert_eq!(fs::read_to_string(with("said")).unwrap_or_default(), "");
    }
}

/// One combination, with the session that tells it from all others.
struct Combination {
    session: String,
    /// What is to be stored.
    expected: String,
    what: String,
}

/// Makes combinations: a session and a file each.
struct Maker {
    dir: PathBuf,
    repo: PathBuf,
    n: u32,
    made: Vec<Combination>,
}

impl Maker {
    fn new(machine: &Machine) -> Maker {
        let dir = machine.env.work().join("payloads");
        fs::create_dir(&dir).unwrap();
        Maker { dir, repo: machine.repo.clone(), n: 0, made: Vec::new() }
    }

    /// An event with a session of its own, whose id has the program's form.
    fn call(&mut self, kind: &str, told: &Told, entry: &'static str, expected: &str, around: &str) -> Call {
        self.n += 1;
        let n = self.n;
        let session = match kind {
            "codex" => format!("01a22ce6-{:04x}-7000-8000-{n:012x}", n & 0xffff),
            "opencode" => format!("ses_{n:022x}"),
            _ => format!("{n:08x}-2222-4333-8444-555555555555"),
        };
        let mut payload = told.payload.clone();
        payload["cwd"] = json!(self.repo);
        // Of who names its session otherwise the entry knows none, and nobody's is what it stays.
        let is_nameless = payload.get("sessionId").is_some();
        payload[if is_nameless { "sessionId" } else { "session_id" }] = session.clone().into();
        let path = self.dir.join(n.to_string());
        fs::write(&path, payload.to_string()).unwrap();
        let (session, expected) = if is_nameless { (String::new(), FOREIGN) } else { (session, expected) };
        let what = format!("{} of {kind} through {entry}, {around}", told.event);
        self.made.push(Combination { session, expected: expected.to_owned(), what });
        (entry.to_owned(), installed(entry, &told.event), path)
    }
}

/// Nobody, or one of the programs around.
fn around() -> impl Iterator<Item = Option<&'static Image>> {
    let some = seed::rounds(5, OUTER.len());
    std::iter::once(None).chain(OUTER.iter().take(some).map(Some))
}

fn named(outer: Option<&Image>, inner: &Image) -> String {
    let outer = outer.map(|outer| format!(" inside of {:?}", outer.words)).unwrap_or_default();
    format!("run by {:?}{outer}", inner.words)
}

/// Two agents at work at a time, each until it has run all; they live on.
#[derive(Default)]
struct AtWork(Vec<Running>);

impl AtWork {
    fn add(&mut self, one: Running) {
        self.0.push(one);
        if let Some(before) = self.0.len().checked_sub(2) {
            self.0[before].has_run();
        }
    }

    fn all(self) -> Vec<Running> {
        self.0.iter().for_each(Running::has_run);
        self.0
    }
}

#[test]
fn agt_08_an_event_is_that_of_the_agent_whose_process_ran_the_entry() {
    let mut machine = Machine::new();
    machine.env.ox_in(&machine.repo, ["daemon", "start"]).ok();
    let (payloads, mut maker, mut at_work) = (payloads(), Maker::new(&machine), AtWork::default());
    let mut turn = 0;
    for outer in around() {
        for inner in &INNER {
            let mut calls = Vec::new();
            for (kind, _, all) in &payloads {
                for entry in ENTRIES {
                    for told in all.iter().cycle().skip(turn % all.len()).take(seed::rounds(1, all.len())) {
                        calls.push(maker.call(kind, told, entry, inner.kind, &named(outer, inner)));
                    }
                }
                turn += 1;
            }
            at_work.add(machine.runs(outer, inner, &calls));
        }
    }
    // What nobody knows may be what an agent runs its hooks by, or another agent in its shell: only its own entry with its own payload is
    // its own. Where nothing is around it the payload alone is there to go by.
    for outer in around() {
        for stranger in &STRANGERS {
            let mut calls = Vec::new();
            for (kind, word, all) in &payloads {
                let told = &all[turn % all.len()];
                for entry in ENTRIES {
                    let is_own = *word == entry && outer.is_none_or(|outer| outer.kind == *kind);
                    let expected = if is_own { kind } else { FOREIGN };
                    calls.push(maker.call(kind, told, entry, expected, &named(outer, stranger)));
                }
                turn += 1;
            }
            at_work.add(machine.runs(outer, stranger, &calls));
        }
    }
    let all = at_work.all();
    let (right, foreign) = machine.stored(&maker.made);
    println!("{} combinations: {right} right, {foreign} foreign, 0 wrong", maker.made.len());
    // What names no session is nobody's; all else is that of the process.
    let (outers, entries) = (around().count(), ENTRIES.len());
    let is_nameless = |all: &[Told]| all[0].payload.get("sessionId").is_some();
    let events = |nameless: bool| {
        let forms = payloads.iter().filter(|(.., all)| is_nameless(all) == nameless);
        forms.map(|(.., all)| seed::rounds(1, all.len())).sum::<usize>()
    };
    let known = outers * INNER.len() * entries;
    // Of strangers what goes through its own entry: inside of nothing, and inside of its own program.
    let strangers = STRANGERS.len() * entries * 2;
    let others = STRANGERS.len() * outers * entries * payloads.len() - strangers;
    assert_eq!((right, foreign), (known * events(false) + strangers, known * events(true) + others));
    machine.end(all);
    machine.env.stop_daemon();
}

#[test]
fn agt_08_an_event_of_an_agent_that_has_ended_is_its_own_or_nobodys() {
    let mut machine = Machine::new();
    machine.env.set("OX_NO_DAEMON", "1");
    let (payloads, mut maker, mut at_work) = (payloads(), Maker::new(&machine), AtWork::default());
    for outer in around() {
        for inner in &INNER {
            let mut calls = Vec::new();
            for (kind, word, all) in payloads.iter().filter(|(kind, ..)| *kind == inner.kind) {
                for entry in ENTRIES {
                    let expected = if *word == entry { kind } else { FOREIGN };
                    let some = if outer.is_none() { all.len() } else { 2 };
                    for told in &all[..some] {
                        calls.push(maker.call(kind, told, entry, expected, &named(outer, inner)));
                    }
                }
            }
            at_work.add(machine.runs(outer, inner, &calls));
        }
    }
    let all = at_work.all();
    machine.end(all);
    machine.env.unset("OX_NO_DAEMON");
    machine.env.ox_in(&machine.repo, ["daemon", "start"]).ok();
    let (right, foreign) = machine.stored(&maker.made);
    println!("{} combinations: {right} right, {foreign} foreign, 0 wrong", maker.made.len());
    let own = |inner: &Image| payloads.iter().find(|(kind, word, _)| *kind == inner.kind && !word.is_empty());
    let expected: usize =
        INNER.iter().filter_map(own).map(|(_, _, all)| all.len() + 2 * (around().count() - 1)).sum();
    assert_eq!((right, foreign), (expected, maker.made.len() - expected));
    machine.env.stop_daemon();
}

#[test]
fn agt_02_what_runs_for_us_makes_no_event_and_no_recording() {
    let mut machine = Machine::new();
    machine.env.ox_in(&machine.repo, ["config", "set", "sessions.mode", "auto"]).ok();
    machine.env.ox_in(&machine.repo, ["daemon", "start"]).ok();
    let (payloads, mut maker) = (payloads(), Maker::new(&machine));
    let mut calls = Vec::new();
    for (kind, _, all) in &payloads {
        for told in all {
            calls.extend(ENTRIES.map(|entry| maker.call(kind, told, entry, "", "")));
        }
    }
    for (name, value) in OF_CLAUDE.iter().chain([&("OX_HOOK_DEPTH", "1")]) {
        machine.env.set(name, value);
    }
    let agent = machine.runs(None, &INNER[0], &calls);
    agent.has_run();
    let primed = machine.env.ox_in(&machine.repo, ["agent", "prime", "--json"]).ok().json();
    let text = primed.to_string();
    assert!(text.contains("OX_HOOK_DEPTH") && !text.contains(r#""recording":true"#), "{primed}");
    let refused = machine.env.ox_in(&machine.repo, ["session", "start"]).fails(2);
    assert!(refused.stderr.contains("OX_HOOK_DEPTH"), "{refused:?}");
    assert_eq!(spool::status(&data(&machine.env)).unwrap().records, 0);
    let recorded = machine.env.ox_in(&machine.repo, ["session", "list", "--json"]).ok().json();
    assert_eq!(recorded["sessions"].as_array().map(Vec::len), Some(0), "{recorded}");
    // As one that is told shows: all before it would be there.
    machine.env.unset("OX_HOOK_DEPTH");
    let mut told = Maker { made: Vec::new(), ..maker };
    let call = told.call("claude-code", &payloads[0].2[0], "claude", "claude-code", "");
    let other = machine.runs(None, &INNER[0], &[call]);
    other.has_run();
    let events = || machine.env.ox(["events", "list", "--json"]).ok().json();
    until_or(|| events()["events"][0]["session_id"] == told.made[0].session.as_str(), events);
    assert_eq!(events()["events"].as_array().unwrap().len(), 1);
    machine.end(vec![agent, other]);
    machine.env.stop_daemon();
}
