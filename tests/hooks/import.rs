//! One event is one row, whether a hook tells of it, a transcript, or both, in whatever order and however often.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use ox::hooks::record::Record;
use proptest::prelude::*;
use serde_json::json;

use super::seen::{self, Bench, Seen};

const PROGRAMS: [&str; 3] = ["claude", "codex", "gemini"];

fn told(bench: &mut Bench, seen: &Seen, hooks: bool, transcripts: bool, hooks_first: bool) {
    for is_hooks in [hooks_first, !hooks_first] {
        if is_hooks && hooks {
            bench.store().take(&seen.records).unwrap();
        }
        if !is_hooks && transcripts {
            seen.files.iter().for_each(|(path, bytes)| bench.write(path, bytes));
            bench.import();
        }
    }
}

fn summed(bench: &mut Bench) -> String {
    let counts = bench.counts();
    counts.iter().map(|((event, sources), n)| format!("{event} {sources} {n}\n")).collect()
}

#[test]
fn agt_09_what_real_programs_tell_twice_is_stored_once() {
    let check = |word: &str, expected: &str| {
        let seen = seen::of(word);
        let mut bench = Bench::new();
        told(&mut bench, &seen, true, true, true);
        let rows = bench.rows();
        assert_eq!(summed(&mut bench).trim(), expected.trim(), "{word}");
        let mut other = Bench::new();
        told(&mut other, &seen, true, true, false);
        assert_eq!(other.rows(), rows, "{word}: transcripts first");
        // Alone they tell the same, each what it can.
        let both: usize = bench.counts().values().sum();
        let mut hooks = Bench::new();
        told(&mut hooks, &seen, true, false, true);
        let mut transcripts = Bench::new();
        told(&mut transcripts, &seen, false, true, true);
        let (hooks, transcripts): (usize, usize) =
            (hooks.counts().values().sum(), transcripts.counts().values().sum());
        let shared: usize =
            bench.counts().iter().filter(|((_, who), _)| who == "hook+transcript").map(|(_, n)| n).sum();
        assert_eq!(hooks + transcripts - shared, both, "{word}");
        // And again.
        bench.store().take(&seen.records).unwrap();
        let imported = bench.import();
        assert_eq!((imported.read, imported.unchanged > 0), (0, true));
        assert_eq!(bench.rows(), rows);
    };
    check(
        "claude",
        "PostToolUse hook+transcript 5\n\
         PostToolUseFailure hook+transcript 3\n\
         PreCompact hook 1\n\
         PreToolUse hook+transcript 8\n\
         SessionEnd hook 6\n\
         SessionStart hook 7\n\
         Stop hook+transcript 6\n\
         SubagentStop hook 2\n\
         SubagentStop hook+transcript 1\n\
         UserPromptSubmit hook 1\n\
         UserPromptSubmit hook+transcript 5",
    );
    check(
        "codex",
        "PostToolUse hook+transcript 4\n\
         PreCompact hook+transcript 2\n\
         PreToolUse hook+transcript 4\n\
         SessionEnd hook 4\n\
         SessionStart hook 2\n\
         SessionStart hook+transcript 4\n\
         Stop hook+transcript 4\n\
         SubagentStart hook 1\n\
         UserPromptSubmit hook+transcript 6",
    );
    // That an answer was the last of its turn only the next prompt shows.
    check(
        "gemini",
        "PostToolUse hook+transcript 2\n\
         PreCompact hook 4\n\
         PreToolUse hook+transcript 2\n\
         SessionEnd hook 2\n\
         SessionStart hook 2\n\
         Stop hook 1\n\
         Stop hook+transcript 1\n\
         UserPromptSubmit hook+transcript 2",
    );
}

/// What of a program's session was told so far.
struct Telling<'s> {
    seen: &'s Seen,
    bench: Bench,
    taken: usize,
    written: Vec<usize>,
}

impl Telling<'_> {
    /// The fork of Claude Code's session has the records of that one, which lie there before.
    fn may_grow(&self, file: usize) -> bool {
        file != 1 || self.written[0] == self.seen.files[0].1.len()
    }

    fn grow(&mut self, file: usize, by: usize) {
        let (path, bytes) = &self.seen.files[file];
        let (from, to) = (self.written[file], (self.written[file] + by).min(bytes.len()));
        if from < to && self.may_grow(file) {
            let path = self.bench.home.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file_there = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file_there.write_all(&bytes[from..to]).unwrap();
            self.written[file] = to;
        }
    }

    fn step(&mut self, step: u32) {
        let (what, n, m) = (step % 8, (step >> 3 & 0xff) as usize, (step >> 11 & 0xfff) as usize);
        let file = n % self.written.len();
        match what {
            0 | 1 => {
                let to = (self.taken + n % 9).min(self.seen.records.len());
                self.bench.store().take(&self.seen.records[self.taken..to]).unwrap();
                self.taken = to;
            }
            2 | 3 => self.grow(file, m),
            4 => drop(self.bench.import()),
            5 => self.bench.reopen(),
            // A claimed file of the spool is read again.
            6 => {
                let from = self.taken.saturating_sub(n % 20);
                let again = self.bench.store().take(&self.seen.records[from..self.taken]).unwrap();
                assert_eq!((again.new, again.merged), (0, 0));
            }
            // Another file with the same lines lies in its place.
            _ if file > 0 && self.written[file] > 0 => {
                let bytes = &self.seen.files[file].1[..self.written[file]];
                let path = self.bench.home.join(&self.seen.files[file].0);
                fs::write(path.with_extension("new"), bytes).unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        for file in 0..self.written.len() {
            self.grow(file, usize::MAX >> 1);
        }
        self.bench.store().take(&self.seen.records[self.taken..]).unwrap();
        self.bench.import();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Hooks and transcripts in any order, both told again, files replaced, whoever takes them in ended between two batches.
    #[test]
    fn agt_10_any_order_makes_the_same_events(steps in prop::collection::vec(any::<u32>(), 5..60)) {
        for word in PROGRAMS {
            let seen = seen::of(word);
            let mut straight = Bench::new();
            told(&mut straight, &seen, true, true, true);
            let written = vec![0; seen.files.len()];
            let mut telling = Telling { seen: &seen, bench: Bench::new(), taken: 0, written };
            steps.iter().for_each(|step| telling.step(*step));
            telling.end();
            prop_assert_eq!(telling.bench.rows(), straight.rows(), "{}", word);
        }
    }
}

const CALLS: usize = 10_000;
const SESSION: &str = "11111111-2222-4333-8444-555555555555";
const SECOND: &str = "2036-03-12T09:01:00.123Z";

fn second() -> i64 {
    SECOND.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn lines(values: impl IntoIterator<Item = serde_json::Value>) -> Vec<u8> {
    values.into_iter().map(|value| format!("{value}\n")).collect::<String>().into_bytes()
}

/// Ten thousand calls of one tool in one second, as a transcript, and as hooks whose clock is off by up to two seconds.
fn many(word: &str, calls: usize) -> (PathBuf, Vec<u8>, Vec<Record>) {
    // Without ids, calls are told apart by their input, and by which of several alike they are.
    let input = |n: usize| json!({ "command": format!("echo {}", if word == "gemini" { n % 3 } else { 0 }) });
    let mut rng = ox::kit::rng::Rng::new(7);
    let mut hooks = Vec::new();
    for n in 0..calls {
        let (before, after) =
            if word == "gemini" { ("BeforeTool", "AfterTool") } else { ("PreToolUse", "PostToolUse") };
        for event in [before, after] {
            let mut payload =
                json!({ "session_id": SESSION, "cwd": "/w", "tool_name": "Bash", "tool_input": input(n) });
            if word == "gemini" {
                payload["tool_name"] = json!("run_shell_command");
            } else {
                payload["tool_use_id"] = json!(format!("toolu_{n}"));
            }
            let drift = i64::try_from(rng.below(4001)).unwrap() - 2000;
            let record = seen::record(word, event, &payload, second() + drift);
            // The same in each process.
            hooks.push(Record { spool_id: format!("{event} {n}"), ..record });
        }
    }
    if word == "gemini" {
        let first = json!({ "sessionId": SESSION, "startTime": SECOND, "kind": "main" });
        let call = |n: usize| {
            json!({ "id": format!("m{n}"), "timestamp": SECOND, "type": "gemini", "content": "", "toolCalls": [{
                "id": format!("c{n}"), "name": "run_shell_command", "args": input(n), "status": "success",
                "timestamp": SECOND, "resultDisplay": "x" }] })
        };
        let path = ".gemini/tmp/w/chats/session-2036-03-12T09-01-11111111.jsonl";
        return (path.into(), lines([first].into_iter().chain((0..calls).map(call))), hooks);
    }
    let record = |kind: &str, uuid: String, content: serde_json::Value| {
        json!({ "type": kind, "uuid": uuid, "timestamp": SECOND, "sessionId": SESSION, "cwd": "/w",
            "message": { "content": [content] } })
    };
    let call = |n: usize| {
        let id = format!("toolu_{n}");
        [
            record(
                "assistant",
                format!("a{n}"),
                json!({ "type": "tool_use", "id": id, "name": "Bash", "input": input(n) }),
            ),
            record(
                "user",
                format!("u{n}"),
                json!({ "type": "tool_result", "tool_use_id": id, "content": "x" }),
            ),
        ]
    };
    let path = format!(".claude/projects/-w/{SESSION}.jsonl");
    (path.into(), lines((0..calls).flat_map(call)), hooks)
}

#[test]
fn agt_10_ten_thousand_calls_in_a_second_are_ten_thousand() {
    for word in ["claude", "gemini"] {
        let (path, bytes, hooks) = many(word, CALLS);
        let mut bench = Bench::new();
        // Some before, some between, some after.
        let half = bytes[..bytes.len() / 2].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        bench.store().take(&hooks[..5000]).unwrap();
        bench.write(&path, &bytes[..half]);
        bench.import();
        bench.store().take(&hooks[5000..14_999]).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(bench.home.join(&path)).unwrap();
        file.write_all(&bytes[half..]).unwrap();
        bench.import();
        bench.store().take(&hooks[14_999..]).unwrap();
        let stats = bench.store().stats().unwrap();
        let calls = i64::try_from(CALLS).unwrap();
        assert_eq!((stats.events, stats.both), (2 * calls, 2 * calls), "{word}: {:?}", stats.counts);
    }
}

#[test]
fn agt_10_what_hooks_miss_the_transcript_tells() {
    let (path, bytes, hooks) = many("claude", CALLS);
    let mut bench = Bench::new();
    let some: Vec<Record> = hooks.chunks(3).map(|three| three[0].clone()).collect();
    bench.store().take(&some).unwrap();
    bench.write(&path, &bytes);
    bench.import();
    let stats = bench.store().stats().unwrap();
    assert_eq!((stats.events, stats.both), (20_000, i64::try_from(some.len()).unwrap()));
}

const KILLED: &str = "OX_TEST_KILLED_IMPORT";
const KILLED_CALLS: usize = 400;

/// The process that is killed: takes in all that hooks and the transcript tell, from the beginning, as after any end.
#[test]
fn child_that_takes_in() {
    let Some(root) = std::env::var_os(KILLED) else { return };
    let (_, _, hooks) = many("claude", KILLED_CALLS);
    let mut bench = Bench::at(Path::new(&root));
    for some in hooks.chunks(20) {
        bench.store().take(some).unwrap();
        println!("\ntook");
        bench.import();
        println!("\ntook");
    }
}

#[test]
fn agt_10_who_is_killed_while_events_are_taken_in_loses_and_doubles_none() {
    crate::support::seed::with("hooks::import::agt_10_who", crate::support::seed::fresh(), |seed| {
        let tmp = tempfile::tempdir().unwrap();
        let (path, bytes, hooks) = many("claude", KILLED_CALLS);
        let mut rng = ox::kit::rng::Rng::new(seed);
        let mut written = 0;
        for _ in 0..crate::support::seed::rounds(12, 200) {
            let bench = Bench::at(tmp.path());
            written = (written + usize::try_from(rng.below(30_000)).unwrap()).min(bytes.len());
            bench.write(&path, &bytes[..written]);
            drop(bench);
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["hooks::import::child_that_takes_in", "--exact", "--nocapture", "--test-threads=1"])
                .env(KILLED, tmp.path())
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let lines = usize::try_from(rng.below(60)).unwrap();
            let out = std::io::BufReader::new(child.stdout.take().unwrap());
            for (heard, line) in out.lines().filter(|line| line.as_ref().unwrap() == "took").enumerate() {
                line.unwrap();
                if heard == lines {
                    child.kill().unwrap();
                }
            }
            child.wait().unwrap();
        }
        let mut bench = Bench::at(tmp.path());
        bench.store().take(&hooks).unwrap();
        bench.write(&path, &bytes);
        bench.import();
        let stats = bench.store().stats().unwrap();
        let all = i64::try_from(hooks.len()).unwrap();
        assert_eq!((stats.events, stats.both), (all, all), "{stats:?}");
    });
}

/// A transcript that a real program wrote.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/transcripts").join(name)).unwrap()
}

/// What is stored of a session, by event.
fn of_session(bench: &mut Bench, session: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in bench.events().into_iter().filter(|event| event.session_id == session) {
        *counts.entry(event.event_type).or_default() += 1;
    }
    counts
}

fn counts(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(event, n)| ((*event).to_owned(), *n)).collect()
}

fn session_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let id = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["sessionId"].as_str().or(line["payload"]["id"].as_str()).map(str::to_owned)
    };
    text.lines().find_map(id).unwrap()
}

#[test]
fn agt_09_a_fork_of_claude_code_tells_only_what_is_its_own() {
    let (session, fork) = (fixture("claude-2.1.332-session.jsonl"), fixture("claude-2.1.332-fork.jsonl"));
    let (session_id, fork_id) = (session_of(&session), session_of(&fork));
    let mut bench = Bench::new();
    let place = |id: &str| PathBuf::from(format!(".claude/projects/-home-user-project/{id}.jsonl"));
    bench.write(&place(&session_id), &session);
    let mut first = Bench::new();
    first.write(&place(&session_id), &session);
    first.import();
    bench.write(&place(&fork_id), &fork);
    bench.import();
    assert_eq!(of_session(&mut bench, &session_id), of_session(&mut first, &session_id));
    let own = counts(&[("PostToolUse", 1), ("PreToolUse", 1), ("Stop", 1), ("UserPromptSubmit", 1)]);
    assert_eq!(of_session(&mut bench, &fork_id), own);
    // Read from the beginning, nothing is new.
    let before = bench.rows();
    fs::remove_file(bench.home.join(place(&fork_id))).unwrap();
    bench.write(&place(&fork_id), &fork);
    bench.write(&place(&session_id), &session[..session.len() - 1]);
    let imported = bench.import();
    assert!(imported.events.new == 0 && imported.events.replayed > 0, "{imported:?}");
    assert_eq!(bench.rows(), before);
}

#[test]
fn agt_09_a_fork_of_codex_that_writes_its_history_again_tells_only_what_is_its_own() {
    let (session, fork) = (fixture("codex-0.63.0-session.jsonl"), fixture("codex-made-fork.jsonl"));
    let (session_id, fork_id) = (session_of(&session), session_of(&fork));
    let place = |hour: u8, id: &str| {
        PathBuf::from(format!(".codex/sessions/2026/11/30/rollout-2026-11-30T{hour:02}-00-00-{id}.jsonl"))
    };
    let mut first = Bench::new();
    first.write(&place(8, &session_id), &session);
    first.import();
    let mut bench = Bench::new();
    bench.write(&place(9, &fork_id), &fork);
    bench.write(&place(8, &session_id), &session);
    bench.import();
    assert_eq!(of_session(&mut bench, &session_id), of_session(&mut first, &session_id));
    let own = of_session(&mut bench, &fork_id);
    assert_eq!(own.get("SessionStart"), Some(&1), "{own:?}");
    assert_eq!(own.get("UserPromptSubmit"), Some(&1), "{own:?}");
    // A fork of the fork has both histories.
    let again = String::from_utf8(fork.clone()).unwrap();
    let grand_id = format!("{}ffff", &fork_id[..fork_id.len() - 4]);
    let head = again.lines().next().unwrap().replace(&fork_id, &grand_id);
    let grand = format!("{head}\n{again}");
    bench.write(&place(10, &grand_id), grand.as_bytes());
    bench.import();
    let own = of_session(&mut bench, &grand_id);
    assert_eq!(own, counts(&[("SessionStart", 1)]));
}

#[test]
fn a_sub_agent_is_stored_under_the_session_of_its_root() {
    let (parent, sub) = (fixture("codex-0.171.0-parent.jsonl"), fixture("codex-0.171.0-subagent.jsonl"));
    let (parent_id, sub_id) = (session_of(&parent), session_of(&sub));
    let mut bench = Bench::new();
    for (id, bytes) in [(&parent_id, &parent), (&sub_id, &sub)] {
        let path = format!(".codex/sessions/2026/11/30/rollout-2026-11-30T08-00-00-{id}.jsonl");
        bench.write(Path::new(&path), bytes);
    }
    bench.import();
    assert_eq!(of_session(&mut bench, &sub_id), BTreeMap::new());
    let events = bench.events();
    let of_sub: Vec<&str> = events
        .iter()
        .filter(|event| event.rest.agent_id.as_deref() == Some(&*sub_id))
        .map(|event| &*event.event_type)
        .collect();
    assert!(of_sub.contains(&"UserPromptSubmit") && !of_sub.contains(&"SessionStart"), "{of_sub:?}");
    assert!(events.iter().all(|event| event.session_id == parent_id));
}

#[test]
fn what_is_no_line_is_counted_and_what_is_not_whole_waits() {
    let mut bench = Bench::new();
    let path = Path::new(".claude/projects/-w/s.jsonl");
    let line = |uuid: &str, text: &str| {
        lines([json!({ "type": "user", "uuid": uuid, "sessionId": "s", "cwd": "/w", "timestamp": SECOND,
            "message": { "content": text } })])
    };
    let (one, two) = (line("a", "One"), line("b", "Two"));
    bench.write(path, &[&one[..], b"{\n", &two[..two.len() - 1]].concat());
    let imported = bench.import();
    assert_eq!((imported.damaged, imported.events.new), (1, 1));
    let mut file = fs::OpenOptions::new().append(true).open(bench.home.join(path)).unwrap();
    file.write_all(b"\n").unwrap();
    let imported = bench.import();
    assert_eq!((imported.damaged, imported.events.new), (0, 1));
    assert_eq!(bench.import().unchanged, 1);
}

#[test]
fn nothing_is_stored_of_directories_that_are_no_project() {
    let seen = seen::of("claude");
    let mut bench = Bench::new();
    bench.only_projects();
    let files = |bench: &Bench, cwd: &Path| {
        for (path, bytes) in &seen.files {
            let text = String::from_utf8(bytes.clone()).unwrap();
            bench.write(path, text.replace("/home/user/project", &cwd.to_string_lossy()).as_bytes());
        }
    };
    let elsewhere = bench.home.join("elsewhere");
    files(&bench, &elsewhere);
    bench.import();
    assert_eq!(bench.rows(), Vec::<String>::new());
    let mut bench = Bench::new();
    bench.only_projects();
    let project = bench.home.join("project");
    bench.write(Path::new("project/.sageox/config.json"), br#"{"config_version":"2","repo_id":"repo_1"}"#);
    files(&bench, &project.join("src"));
    bench.import();
    let events = bench.events();
    assert!(
        !events.is_empty() && events.iter().all(|e| e.repo_id.as_deref() == Some("repo_1")),
        "{events:?}"
    );
}

#[test]
fn rows_of_opencode_are_its_events_and_those_that_a_fork_copied_are_not() {
    let mut bench = Bench::new();
    let path = bench.home.join(".local/share/opencode/opencode.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let sql = String::from_utf8(fixture("opencode-1.18.33-resumed-and-forked.sql")).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    let imported = bench.import_rows(&path);
    assert!(imported.failed.is_empty() && imported.events.new > 0, "{imported:?}");
    let rows = bench.rows();
    let mut events = bench.events();
    events.reverse();
    let told: Vec<(&str, &str, &str)> = events
        .iter()
        .map(|e| (&e.session_id[4..8], &*e.event_type, e.turn_id.as_deref().map_or("", |id| &id[..14])))
        .collect();
    let expected = [
        ("dd45", "SessionStart", ""),
        ("dd45", "UserPromptSubmit", "msg_22ba84f890"),
        ("dd45", "PreToolUse", "msg_22ba84f890"),
        ("dd45", "PostToolUse", "msg_22ba84f890"),
        ("dd45", "Stop", "msg_22ba84f890"),
        ("dd45", "UserPromptSubmit", "msg_22bb1e9080"),
        ("dd45", "Stop", "msg_22bb1e9080"),
        ("dd44", "SessionStart", ""),
        ("dd44", "UserPromptSubmit", "msg_22bb209cf0"),
        ("dd44", "Stop", "msg_22bb209cf0"),
    ];
    assert_eq!(told, expected);
    let again = bench.import_rows(&path);
    assert_eq!((again.events.new, bench.rows()), (0, rows));
}

/// What the plug-in tells of the same sessions comes to the same rows.
#[test]
fn what_opencode_tells_twice_is_stored_once() {
    let mut bench = Bench::new();
    let path = bench.home.join(".local/share/opencode/opencode.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let sql = String::from_utf8(fixture("opencode-1.18.33-resumed-and-forked.sql")).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    bench.import_rows(&path);
    let (session, turn) = ("ses_dd457b20dffeWeDggZJWbjOJ2i", "msg_22ba84f8900140BLQxt4OqgM6Z");
    let of = |name: &str, more: serde_json::Value| {
        let mut payload = json!({ "session_id": session, "cwd": "/home/user/work" });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        seen::record("opencode", name, &payload, 1_796_028_780_018)
    };
    let call = json!({
        "turn_id": turn, "tool_name": "bash", "tool_use_id": "call_2", "tool_input": { "command": "echo hello-from-agent" },
    });
    let records = [
        of("session.created", json!({})),
        of("chat.message", json!({ "turn_id": turn })),
        of("tool.execute.before", call.clone()),
        of("tool.execute.after", call),
        of("session.idle", json!({ "turn_id": turn })),
    ];
    let taken = bench.store().take(&records).unwrap();
    assert_eq!((taken.new, taken.merged), (0, 5), "{:#?}", bench.rows());
}
