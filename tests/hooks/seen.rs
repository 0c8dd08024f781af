//! What real programs told of the same sessions by hooks and in their transcripts (`seen/`), and what both come to in a store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ox::harness::transcript::sources::{Source, all};
use ox::hooks::event;
use ox::hooks::identity::{input_sha256, text_sha256};
use ox::hooks::import::{Imported, Projects, Run, import, import_rows};
use ox::hooks::record::Record;
use ox::hooks::store::{Event, Filter, Store};
use ox::project::Env;
use serde_json::Value;

/// What was told.
pub struct Seen {
    /// By hooks, in their order.
    pub records: Vec<Record>,
    /// Transcripts below a home, in the order in which their threads began.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

fn dir(word: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hooks/seen").join(word)
}

fn files_below(root: &Path, dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files_below(root, &path, found);
        } else if path.file_name().unwrap() != "hooks.jsonl" {
            found.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
}

/// What the program with the entry's word told.
pub fn of(word: &str) -> Seen {
    let hooks = fs::read_to_string(dir(word).join("hooks.jsonl")).unwrap();
    let records = hooks.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = line["event"].as_str().unwrap();
        record(word, event, &line["payload"], line["at_ms"].as_i64().unwrap())
    });
    let mut files = Vec::new();
    files_below(&dir(word), &dir(word), &mut files);
    // The first time in a file is that of its beginning.
    let began = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let is_fork = line["requestSessionId"].is_string();
            (!is_fork)
                .then(|| line["timestamp"].as_str().or(line["startTime"].as_str()).map(str::to_owned))?
        })
    };
    files.sort_by_key(|(path, bytes)| (began(bytes), path.clone()));
    Seen { records: records.collect(), files }
}

/// What the entry keeps of a payload.
pub fn record(word: &str, name: &str, payload: &Value, at_ms: i64) -> Record {
    let program = event::program(word).unwrap();
    let text = |key: &str| payload[key].as_str().unwrap_or_default().to_owned();
    let hash = |key: &str| payload[key].as_str().map(text_sha256).unwrap_or_default();
    let length = |key: &str| payload.get(key).map_or(0, |value| value.to_string().len() as u64);
    let (raw_tool, canonical) = (text("tool_name"), event::canonical(program, name).into_owned());
    let tool = ox::harness::tool::called(&raw_tool).to_owned();
    let details = ["source", "reason", "trigger", "notification_type"].map(text);
    let time: Option<Timestamp> = text("timestamp").parse().ok();
    Record {
        v: 1,
        spool_id: uuid::Uuid::now_v7().to_string(),
        at_ms,
        agent_at_ms: time.map(Timestamp::as_millisecond),
        agent: program.kind.to_owned(),
        event: canonical,
        raw_event: name.to_owned(),
        session_id: text("session_id"),
        turn_id: text("turn_id"),
        tool_use_id: text("tool_use_id"),
        agent_id: text("agent_id"),
        agent_type: text("agent_type"),
        model: text("model"),
        permission_mode: text("permission_mode"),
        tool_name_raw: if tool == raw_tool { String::new() } else { raw_tool },
        input_sha256: payload
            .get("tool_input")
            .map(|input| input_sha256(&tool, &input.to_string()))
            .unwrap_or_default(),
        tool_name: tool,
        detail: details.into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
        prompt_sha256: hash("prompt"),
        message_sha256: match hash("last_assistant_message") {
            none if none.is_empty() => hash("prompt_response"),
            some => some,
        },
        payload_sha256: text_sha256(&payload.to_string()),
        input_bytes: length("tool_input"),
        output_bytes: length("tool_response"),
        is_error: payload.get("error").is_some(),
        ..Record::default()
    }
}

/// A home with transcripts, and a store.
pub struct Bench {
    _tmp: Option<tempfile::TempDir>,
    pub home: PathBuf,
    pub db: PathBuf,
    pub store: Option<Store>,
    projects: Projects,
}

impl Bench {
    pub fn new() -> Bench {
        let tmp = tempfile::tempdir().unwrap();
        let bench = Bench::at(tmp.path());
        Bench { _tmp: Some(tmp), ..bench }
    }

    /// In a directory that stays.
    pub fn at(root: &Path) -> Bench {
        let (home, db) = (root.join("home"), root.join("data/events/events.db"));
        fs::create_dir_all(&home).unwrap();
        let store = Some(Store::open(&db).unwrap().store);
        let env = Env::of([("HOME", home.as_os_str())], &home);
        Bench { home, db, store, projects: Projects::new(env, true), _tmp: None }
    }

    pub fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    /// As after a kill: nothing but what is on disk.
    pub fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Store::open(&self.db).unwrap().store);
    }

    pub fn write(&self, path: &Path, bytes: &[u8]) {
        let path = self.home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn sources(&self) -> Vec<Source> {
        let (sources, unread) = all(&self.home, |_| None);
        assert!(unread.is_empty(), "{unread:?}");
        sources
    }

    pub fn import(&mut self) -> Imported {
        let sources = self.sources();
        let run = Run { now: now(), projects: &mut self.projects, stop: &|| false };
        let imported = import(self.store.as_mut().unwrap(), sources, run).unwrap();
        assert!(imported.failed.is_empty(), "{imported:?}");
        imported
    }

    /// Only what happens in projects is stored.
    pub fn only_projects(&mut self) {
        let env = Env::of([("HOME", self.home.as_os_str())], &self.home);
        self.projects = Projects::new(env, false);
    }

    pub fn import_rows(&mut self, path: &Path) -> Imported {
        let run = Run { now: now(), projects: &mut self.projects, stop: &|| false };
        import_rows(self.store.as_mut().unwrap(), path, run).unwrap()
    }

    pub fn events(&mut self) -> Vec<Event> {
        self.store().list(&Filter { limit: usize::MAX, ..Filter::default() }).unwrap()
    }

    /// All of each event but its number, and of hooks and transcripts what they are together.
    pub fn rows(&mut self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .events()
            .into_iter()
            .map(|event| {
                let rest = event.rest.clone();
                let event = Event { seq: 0, ..event };
                format!("{event:?} {rest:?}")
            })
            .collect();
        rows.sort();
        rows
    }

    /// How many events there are by their name and by who told of them.
    pub fn counts(&mut self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for event in self.events() {
            *counts.entry((event.event_type, event.sources.join("+"))).or_default() += 1;
        }
        counts
    }
}

pub fn now() -> Timestamp {
    Timestamp::now()
}
