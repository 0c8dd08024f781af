//! Events, and a queue to put them into.

use std::path::{Path, PathBuf};

use ox::project::settings::Settings;
use ox::project::{CwdHash, Dirs, Env, Relay};
use ox::relay::account::Account;
use ox::relay::queue::{AccountQueue, Batch, Fed, Terms};
use ox::relay::record::{Cwd, Fact, Recorder, Source, Told};
use serde_json::Value;

/// Everything may be told.
pub const ALL: Told = Told { models: true, projects: true };
/// The smallest limit there is.
pub const SMALL: u64 = 1 << 20;
/// More than any batch needs.
pub const BATCH: usize = 256 << 10;

/// The event with a number: each one is another.
pub fn fact(n: i64) -> Fact {
    Fact {
        agent: "codex".into(),
        session_id: format!("session-{}", n / 100),
        event: if n % 2 == 0 { "PreToolUse" } else { "PostToolUse" }.into(),
        raw_event: "PreToolUse".into(),
        tool: "Bash".into(),
        tool_use_id: format!("call_{n}"),
        turn_id: format!("turn-{}", n / 10),
        model: "gpt-5".into(),
        permission_mode: "default".into(),
        reason: String::new(),
        at_ms: 1_796_000_000_000 + n,
        duration_ms: 0,
        sources: vec![Source::Hook],
        dedup_key: format!("t:call_{n}"),
        repo_id: "repo_1".into(),
        cwd: Cwd::Keyed("ab".repeat(32)),
    }
}

/// Those from one number up to before another, as the store numbers them: from 1.
pub fn facts(numbers: std::ops::Range<i64>) -> impl Iterator<Item = (i64, Fact)> {
    numbers.map(|n| (n + 1, fact(n)))
}

pub fn recorder() -> Recorder {
    Recorder::new("install-1", [7; 32], CwdHash::Hmac, "/home/anna", ALL)
}

/// Settings as they are where nobody says anything.
pub fn settings() -> Relay {
    let env = Env::of([("HOME", "/nowhere")], Path::new("/nowhere"));
    let dirs = Dirs::from_env(&env).unwrap();
    Settings::load(&env, &dirs, None).0.relay().0
}

pub fn account() -> Account {
    Account::new("https://relay.example", "user-1")
}

/// A queue below a directory of its own.
pub struct Bench {
    _tmp: tempfile::TempDir,
    pub relay: PathBuf,
    pub recorder: Recorder,
    pub settings: Relay,
}

impl Bench {
    pub fn new() -> Bench {
        let tmp = tempfile::tempdir().unwrap();
        let relay = tmp.path().join("relay");
        Bench { _tmp: tmp, relay, recorder: recorder(), settings: settings() }
    }

    pub fn open(&self) -> AccountQueue {
        AccountQueue::open(&self.relay, &account(), SMALL).unwrap().0
    }

    pub fn dir(&self) -> PathBuf {
        ox::relay::queue::dir_of(&self.relay, &account())
    }

    pub fn terms(&self) -> Terms<'_> {
        Terms { recorder: &self.recorder, relay: &self.settings, since_ms: 0 }
    }

    pub fn feed(&self, queue: &mut AccountQueue, numbers: std::ops::Range<i64>) -> Fed {
        queue.feed(facts(numbers), &self.terms(), 5).unwrap()
    }
}

/// The number of the event of a record.
pub fn number(record: &[u8]) -> i64 {
    let record: Value = serde_json::from_slice(record).unwrap();
    let call = record["tool_use_id"].as_str().unwrap_or_else(|| panic!("{record}"));
    call.strip_prefix("call_").unwrap().parse().unwrap()
}

pub fn numbers(batch: &Batch) -> Vec<i64> {
    batch.records.iter().map(|record| number(&record.bytes)).collect()
}

/// The numbers of all events that wait, without handing any out.
pub fn waiting(queue: &mut AccountQueue) -> Vec<i64> {
    queue.peek(usize::MAX, 100, BATCH).unwrap().iter().flat_map(numbers).collect()
}

/// All files below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// The segments of a queue, oldest first.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all = files(dir);
    all.retain(|path| path.parent() == Some(dir) && path.extension().is_some_and(|end| end == "jsonl"));
    all.sort();
    all
}
