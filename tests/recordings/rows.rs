//! An agent whose sessions are rows of one database.

use std::fs;
use std::path::PathBuf;

use ox::kit::rng::Rng;
use ox::redact::Redactor;
use ox::sessions::Follower;
use ox::sessions::raw::Header;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{Recorded, kill};
use crate::support::census::descriptors;
use crate::support::{TestEnv, seed, until_or};

/// The tables, as the program makes them.
const TABLES: &str = include_str!("../harness/transcripts/opencode-1.18.33-subagent.sql");
const SESSION: &str = "ses_dd44d0916ffepSRzZJDlInTCSc";
/// 2036-03-12 in milliseconds: later than any recording begins.
const LATER: i64 = 2_088_961_200_000;

/// A session of opencode that is being recorded. The program has its database open.
struct Scene {
    env: TestEnv,
    repo: PathBuf,
    path: PathBuf,
    program: Connection,
    recorded: Recorded,
}

/// A machine on which opencode works in a repository, in these sessions; what else its database holds is of another directory.
fn machine(sessions: &[&str]) -> (TestEnv, PathBuf, PathBuf, Connection) {
    let mut env = TestEnv::new();
    let repo = env.repo("r");
    env.ox_in(&repo, ["up"]).ok();
    env.set("OPENCODE", "1");
    let dir = env.data().join("opencode");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("opencode.db");
    let program = Connection::open(&path).unwrap();
    program.pragma_update(None, "journal_mode", "wal").unwrap();
    program.execute_batch(TABLES).unwrap();
    for id in sessions {
        let new = "INSERT INTO session (id, project_id, slug, directory, title, version, time_created, time_updated)
                   SELECT ?1, project_id, slug, ?2, title, version, ?3, ?3 FROM session WHERE id = ?4";
        program.execute(new, params![id, repo.to_str().unwrap(), LATER, SESSION]).unwrap();
    }
    (env, repo, path, program)
}

impl Scene {
    fn new() -> Scene {
        let (env, repo, path, program) = machine(&["ses_1"]);
        let recorded = Recorded::start(&env, &repo);
        Scene { env, repo, path, program, recorded }
    }

    fn put(&self, n: usize, message: &Value, part: &Value) {
        put(&self.program, "ses_1", n, message, part);
    }

    /// A person says something.
    fn says(&self, n: usize) {
        self.put(n, &json!({ "role": "user" }), &json!({ "type": "text", "text": format!("word {n}") }));
    }

    /// The model begins to answer.
    fn begins(&self, n: usize) {
        let part = json!({ "type": "text", "text": "wo", "time": { "start": at(n) } });
        self.put(n, &answer(), &part);
    }

    /// It has answered.
    fn ends(&self, n: usize) {
        let part =
            json!({ "type": "text", "text": format!("word {n}"), "time": { "start": at(n), "end": at(n) } });
        self.put(n, &answer(), &part);
    }
}

fn at(n: usize) -> i64 {
    LATER + 100 * i64::try_from(n).unwrap()
}

fn answer() -> Value {
    json!({ "role": "assistant", "modelID": "fake", "providerID": "local", "path": { "cwd": "/p" } })
}

fn put(program: &Connection, session: &str, n: usize, message: &Value, part: &Value) {
    let (m, p, at) = (format!("msg_{n:08}"), format!("prt_{n:08}"), at(n));
    program.execute_batch("BEGIN").unwrap();
    let one = "INSERT OR REPLACE INTO message VALUES (?1, ?2, ?3, ?3, ?4)";
    program.execute(one, params![m, session, at, message.to_string()]).unwrap();
    let one = "INSERT OR REPLACE INTO part VALUES (?1, ?2, ?3, ?4, ?4, ?5)";
    program.execute(one, params![p, m, session, at, part.to_string()]).unwrap();
    program.execute_batch("COMMIT").unwrap();
}

#[test]
fn what_the_program_puts_into_its_database_is_recorded_while_it_goes_on() {
    let s = Scene::new();
    s.says(0);
    s.recorded.has(1);
    s.begins(1);
    s.ends(1);
    s.recorded.has(2);
    let marker: Value = serde_json::from_slice(&fs::read(s.recorded.marker()).unwrap()).unwrap();
    assert_eq!((&marker["native_session"], &marker["adapter_name"]), (&"ses_1".into(), &"opencode".into()));
    assert_eq!(marker["session_file"], s.path.to_str().unwrap());
    // Idle: nothing of it is open.
    let open = || {
        let all = s.env.daemon_pid().map(descriptors).unwrap_or_default();
        all.into_values().filter(|to| to.contains("opencode.db")).collect::<Vec<_>>()
    };
    until_or(|| open().is_empty(), || format!("{:?}", open()));
    // What was written while the daemon was away, and what it missed of a call that fails.
    s.env.ox_in(&s.repo, ["daemon", "stop", "--all"]).ok();
    s.says(2);
    s.env.ox_in(&s.repo, ["daemon", "start"]).ok();
    s.recorded.has(3);
    let state = json!({
        "status": "completed", "input": { "command": "false" }, "output": "no", "metadata": { "exit": 1 },
        "time": { "start": at(3), "end": at(3) },
    });
    s.put(3, &answer(), &json!({ "type": "tool", "tool": "bash", "callID": "call_1", "state": state }));
    let stopped = s.env.ox_in(&s.repo, ["agent", &s.recorded.agent, "session", "stop", "--json"]).ok().json();
    assert_eq!(stopped["entry_count"], 5, "{stopped}");
    let view = s.env.ox_in(&s.repo, ["session", "view", &s.recorded.agent, "--json"]).ok().json();
    let told = |n: usize, what: &str| view["entries"][n][what].as_str().unwrap().to_owned();
    let call = ["type", "tool_name", "tool_input"].map(|what| told(3, what));
    assert_eq!(call, ["tool", "bash", r#"{"command":"false"}"#]);
    assert_eq!((told(4, "tool_output").as_str(), &view["entries"][4]["is_error"]), ("no", &true.into()));
    let raw = fs::read_to_string(s.recorded.dir.join("raw.jsonl")).unwrap();
    assert!(raw.lines().next().unwrap().contains(r#""agent_type":"opencode""#), "{raw}");
    s.env.stop_daemon();
}

#[test]
fn agt_11_rows_are_recorded_once_whenever_the_daemon_is_killed() {
    let test = "recordings::rows::agt_11_rows_are_recorded_once_whenever_the_daemon_is_killed";
    seed::with(test, seed::fresh(), killed);
}

fn killed(seed: u64) {
    let s = Scene::new();
    let mut rng = Rng::new(seed);
    let mut n = 0;
    for _ in 0..seed::rounds(10, 200) {
        for _ in 0..rng.below(40) {
            s.says(n);
            n += 1;
        }
        s.begins(n);
        if rng.below(3) == 0 {
            s.program.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
        kill(&s.env);
        s.env.ox_in(&s.repo, ["daemon", "start"]).ok();
        s.ends(n);
        n += 1;
    }
    s.recorded.has(n);
    let stopped = s.env.ox_in(&s.repo, ["agent", &s.recorded.agent, "session", "stop", "--json"]).ok().json();
    assert_eq!(stopped["entry_count"], n, "{stopped}");
    s.recorded.has(n);
    s.env.stop_daemon();
}

#[test]
fn agt_08_of_two_sessions_in_one_directory_the_one_whose_tool_runs_is_meant() {
    let (env, repo, path, program) = machine(&["ses_1", "ses_2"]);
    let call = |status: &str| {
        let state = json!({ "status": status, "input": { "command": "ox session start" }, "time": { "start": at(0) } });
        let part = json!({ "type": "tool", "tool": "bash", "callID": "call_1", "state": state });
        put(&program, "ses_2", 0, &answer(), &part);
    };
    // None is guessed.
    call("completed");
    let recorded = Recorded::start(&env, &repo);
    let marker = || serde_json::from_slice::<Value>(&fs::read(recorded.marker()).unwrap()).unwrap();
    assert_eq!(marker()["session_file"], "");
    let stop = || env.ox_in(&repo, ["agent", &recorded.agent, "session", "stop", "--json"]);
    call("running");
    let stopped = stop().ok().json();
    assert_eq!(stopped["entry_count"], 1, "{stopped}");
    assert!(path.exists());
    env.stop_daemon();
}

#[test]
fn a_database_that_cannot_be_read_is_told_and_loses_nothing() {
    let s = Scene::new();
    s.says(0);
    s.recorded.has(1);
    s.env.ox_in(&s.repo, ["daemon", "stop", "--all"]).ok();
    s.says(1);
    let stop = || s.env.ox_in(&s.repo, ["agent", &s.recorded.agent, "session", "stop"]);
    let name = "~/.local/share/opencode/opencode.db";
    // Its program keeps everybody out.
    drop(s.program);
    let program = Connection::open(&s.path).unwrap();
    program
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; UPDATE session SET title = 'x'")
        .unwrap();
    let locked = stop().fails(1);
    assert!(locked.stderr.contains(&format!("the database {name} is locked by its program")), "{locked:?}");
    drop(program);
    let away = s.path.with_extension("away");
    fs::rename(&s.path, &away).unwrap();
    let missing = stop().fails(1);
    assert!(missing.stderr.contains(&format!("there is no database {name}")), "{missing:?}");
    for damage in
        ["no database, but a text of some length", "SQLite format 3\0 and then nothing that is of the form"]
    {
        fs::write(&s.path, damage.repeat(40)).unwrap();
        let damaged = stop().fails(1);
        assert!(damaged.stderr.contains(&format!("the database {name} cannot be read: ")), "{damaged:?}");
    }
    fs::rename(&away, &s.path).unwrap();
    stop().ok();
    s.recorded.has(2);
}

#[test]
fn sec_02_a_database_elsewhere_is_not_read() {
    let s = Scene::new();
    s.says(0);
    s.recorded.has(1);
    s.env.ox_in(&s.repo, ["daemon", "stop", "--all"]).ok();
    let other = s.env.home().join("other.db");
    fs::copy(&s.path, &other).unwrap();
    let mut marker: Value = serde_json::from_slice(&fs::read(s.recorded.marker()).unwrap()).unwrap();
    marker["session_file"] = other.to_str().unwrap().into();
    fs::write(s.recorded.marker(), marker.to_string()).unwrap();
    let stopped = s.env.ox_in(&s.repo, ["agent", &s.recorded.agent, "session", "stop"]).fails(1);
    assert!(stopped.stderr.contains("is no transcript of opencode: it lies elsewhere"), "{stopped:?}");
}

#[test]
fn a_database_that_nobody_has_written_to_is_not_read_again() {
    let s = Scene::new();
    s.env.ox_in(&s.repo, ["daemon", "stop", "--all"]).ok();
    let roots = |_: &str| vec![s.path.parent().unwrap().to_owned()];
    let mut follower = Follower::open(&s.recorded.dir, roots).unwrap();
    let redactor = Redactor::new();
    let mut step =
        || follower.step(&Header::default(), &redactor).map(|step| (step.entries, follower.is_level()));
    s.says(0);
    // Two readings: what was written while the first went on may look like what it has read.
    assert_eq!(step().unwrap(), (1, false));
    assert_eq!(step().unwrap(), (0, true));
    s.says(1);
    assert_eq!(step().unwrap(), (1, false));
    assert_eq!((step().unwrap(), step().unwrap()), ((0, true), (0, true)));
    // The log goes into the database: that looks different, and holds nothing new.
    s.program.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(step().unwrap(), (0, false));
}
