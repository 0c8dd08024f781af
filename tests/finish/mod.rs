//! Finished sessions: what is owed to them, what is made of agents' answers, and what others get, whoever is killed when.

mod daemon;
mod failures;
mod killed;
mod long;
mod prompts;
mod sharers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ox::kit::pointer::{Storage, Stored};
use ox::project::{Dirs, Env};
use ox::redact::Redactor;
use ox::sessions::finish::{
    Accepted, Ask, By, Candidate, FinishError, Left, Looked, Need, Pack, Prepared, Wanted, accept, again,
    count, discard, fail, look, mark_downloaded, pack, prepare, shared, summarize_locally, tidy, uncount,
};
use ox::sessions::raw::{Entry, Header, Kind, Writer};
use ox::sessions::summary::{Disposition, Thresholds};
use ox::sessions::{self, Ending, Glance, Info, Name, Place, Places, Recording, Turn};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A name of a session.
const NAME: &str = "2026-03-12T11-09-dana-OxTndR";
/// What an agent says of it.
const GOOD: &str = r#"Here it is:
```json
{"title":"Mend the parser of the settings","summary":"The parser lost the last line of a file without a newline. It was found by a test and mended.",
 "key_actions":["Read the parser","Wrote a test","Mended it"],"outcome":"success","topics_found":["parser"],
 "aha_moments":[{"seq":1,"role":"assistant","type":"insight","highlight":"The loop ends early","why":"It was the cause"}],
 "chapter_titles":["The fault","The repair"],"quality_score":0.8,"score_reason":"a cause","quality_category":"share"}
```"#;

fn now() -> Timestamp {
    "2026-03-12T10:00:00Z".parse().unwrap()
}

/// A machine with a ledger.
struct Scene {
    /// Kept while it is used.
    _tmp: Option<tempfile::TempDir>,
    root: PathBuf,
    places: Places,
    redactor: Redactor,
}

impl Scene {
    fn new() -> Scene {
        let tmp = tempfile::tempdir().unwrap();
        let scene = Scene::at(tmp.path());
        Scene { _tmp: Some(tmp), ..scene }
    }

    fn at(root: &Path) -> Scene {
        let env = Env::of([("HOME", root.join("home").as_os_str())], "/");
        let dirs = Dirs::from_env(&env).unwrap();
        fs::create_dir_all(root.join("ledger/.git")).unwrap();
        let places = Places::new(&dirs, &root.join("p"), "repo_1", Some(&root.join("ledger")));
        Scene { _tmp: None, root: root.to_owned(), places, redactor: Redactor::new() }
    }

    fn dir(&self) -> PathBuf {
        self.named(NAME)
    }

    fn named(&self, name: &str) -> PathBuf {
        self.places.own().join(name)
    }

    fn in_ledger(&self) -> PathBuf {
        self.root.join("ledger/sessions").join(NAME)
    }

    /// Records a session; its recording is not finished.
    fn record(&self, name: &str, entries: &[Entry], turns: Vec<Turn>) -> PathBuf {
        let dir = self.named(name);
        fs::create_dir_all(&dir).unwrap();
        let mut writer = Writer::open(&dir, &header(), &self.redactor).unwrap();
        entries.iter().for_each(|entry| writer.append(entry).unwrap());
        writer.commit().unwrap();
        drop(writer);
        let workspace_path = self.root.join("p").to_string_lossy().into_owned();
        let recording = Recording { workspace_path, lifecycle: turns, ..Recording::new("OxTndR", now()) };
        recording.create(&dir).unwrap();
        dir
    }

    fn stop(&self, dir: &Path) {
        let name = Name::parse(dir.file_name().unwrap().to_str().unwrap()).unwrap();
        let end = Ending { name: &name, title: "", reason: "stopped", native: "" };
        sessions::close(dir, &header(), &end, &[], &self.redactor, now()).unwrap();
    }

    /// A session that was recorded and stopped.
    fn finished(&self) -> PathBuf {
        let dir = self.record(NAME, &talk(), Vec::new());
        self.stop(&dir);
        dir
    }

    fn look(&self) -> Looked {
        look(&self.places, &Wanted { agents: true, publish: true, is_ours: &|agent| agent == "OxTndR" })
    }

    fn needs(&self) -> Vec<Need> {
        let looked = self.look();
        assert_eq!(looked.troubles, [], "{looked:?}");
        looked.candidates.iter().map(|candidate| candidate.need).collect()
    }

    fn ask(&self, force: bool) -> Ask<'static> {
        Ask { tokens: 60_000, force, root: Path::new("/p") }
    }

    fn prepare(&self, dir: &Path) -> Result<Prepared, FinishError> {
        prepare(dir, self.ask(false), &self.redactor)
    }

    fn by(&self) -> By<'_> {
        By { thresholds: Thresholds::default(), redactor: &self.redactor }
    }

    fn answer(&self, dir: &Path, said: &str) -> Accepted {
        let prepared = self.prepare(dir).unwrap();
        accept(dir, &prepared, said, self.by()).unwrap()
    }

    fn pack(&self, dir: &Path) -> Result<Pack, FinishError> {
        let there = self.in_ledger();
        pack(dir, Some(&there), Path::new("/p"), &self.redactor)
    }

    /// What brings a session to others, in small: content goes into a directory by its digest, the rest into the ledger.
    fn share(&self, dir: &Path) -> Left {
        let packed = self.pack(dir).unwrap();
        let stored: Vec<Stored> = packed.content.iter().map(|path| self.store(path)).collect();
        let there = self.root.join("ledger/sessions").join(&packed.name);
        fs::create_dir_all(&there).unwrap();
        for one in &stored {
            let pointer = format!(
                "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
                one.oid, one.size
            );
            fs::write(there.join(&one.name), pointer).unwrap();
        }
        for (name, bytes) in packed.plain(&stored).unwrap() {
            fs::write(there.join(name), bytes).unwrap();
        }
        shared(dir, &packed, &stored).unwrap()
    }

    fn store(&self, path: &Path) -> Stored {
        let bytes = fs::read(path).unwrap();
        let oid: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::create_dir_all(self.root.join("remote")).unwrap();
        fs::write(self.root.join("remote").join(&oid), &bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Stored { name, oid, size: bytes.len() as u64, storage: Storage::Lfs }
    }

    /// Does what a look says until it says nothing; how often an agent was asked.
    fn drive(&self, said: &str) -> usize {
        let mut asked = 0;
        for _ in 0..20 {
            tidy(&self.places, now());
            let looked = self.look();
            assert_eq!(looked.troubles, [], "{looked:?}");
            let Some(Candidate { dir, need, .. }) = looked.candidates.first() else { return asked };
            match need {
                Need::Summary => {
                    let prepared = self.prepare(dir).unwrap();
                    asked += usize::from(prepared.prompt.is_some());
                    let accepted = accept(dir, &prepared, said, self.by()).unwrap();
                    assert!(!accepted.title.is_empty());
                }
                Need::Upload => drop(self.share(dir)),
            }
        }
        panic!("there is always more to be done: {:?}", self.look());
    }

    /// All files of the session and of what others have, by their paths.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        walk(&self.root, &self.root, &mut all);
        all
    }

    /// The transcript, wherever it is.
    fn transcript(&self) -> Vec<u8> {
        let all = self.files();
        let of = |name: &str| {
            let found = all.iter().filter(|(path, _)| path.ends_with(name));
            found.map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
        };
        let real = of("raw.jsonl").into_iter().find(|bytes| !bytes.starts_with(b"version https://git-lfs"));
        let stored = || {
            let meta: Value = serde_json::from_slice(&of("meta.json")[0]).unwrap();
            let oid = meta["files"]["raw.jsonl"]["oid"].as_str().unwrap().to_owned();
            all[&format!("remote/{}", oid.strip_prefix("sha256:").unwrap())].clone()
        };
        real.unwrap_or_else(stored)
    }

    fn json(&self, dir: &Path, name: &str) -> Value {
        serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
    }
}

fn walk(root: &Path, dir: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, all);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            all.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn header() -> Header {
    Header {
        created_at: Some("2026-03-12T09:09:00Z".parse().unwrap()),
        agent_id: "OxTndR".into(),
        agent_type: "claude-code".into(),
        username: "Dana".into(),
        session_id: "ses_1".into(),
        ..Header::default()
    }
}

fn said(kind: Kind, minute: u32, content: &str) -> Entry {
    let timestamp = Some(format!("2026-03-12T09:{minute:02}:00Z").parse().unwrap());
    Entry { kind, content: content.into(), timestamp, ..Entry::default() }
}

fn called(minute: u32, tool: &str, input: Value) -> Entry {
    let (tool_name, tool_input) = (tool.into(), input.to_string());
    Entry { tool_name, tool_input, ..said(Kind::Tool, minute, "") }
}

/// A session worth a summary.
fn talk() -> Vec<Entry> {
    vec![
        said(Kind::User, 10, "Why does the parser lose the last line of the settings?"),
        said(Kind::Assistant, 11, "I look at the loop that reads lines."),
        called(12, "Read", json!({ "file_path": "/p/src/parse.rs" })),
        called(
            13,
            "Edit",
            json!({ "file_path": "/p/src/parse.rs", "old_string": "a", "new_string": "b\nc" }),
        ),
        called(14, "Bash", json!({ "command": "cargo test parse" })),
        said(Kind::User, 20, "Now write it down"),
        said(Kind::Assistant, 21, "The loop ended before the last line; a test says so now."),
    ]
}

#[test]
fn a_session_gets_its_summary_is_shared_and_a_second_time_nothing_changes() {
    let s = Scene::new();
    let dir = s.finished();
    // At once there is what can be told without an agent.
    let local = s.json(&dir, "summary.json");
    assert_eq!(local["title"], "Why does the parser lose the last line of the settings?");
    assert_eq!(local["files_changed"], json!([{ "path": "/p/src/parse.rs", "added": 2, "removed": 1 }]));
    assert_eq!(local["summary_status"], "local");
    assert_eq!(local["key_actions"], json!(["Changed /p/src/parse.rs (+2 −1)", "Ran cargo test parse"]));
    assert!(dir.join("session.md").exists() && dir.join(".needs-summary").exists());
    assert_eq!(s.needs(), [Need::Summary]);

    let prepared = s.prepare(&dir).unwrap();
    assert_eq!((prepared.entries, prepared.left_out), (7, 0));
    assert!(prepared.prompt.as_ref().unwrap().text.contains("[0] user: Why does the parser"));
    let accepted = accept(&dir, &prepared, GOOD, s.by()).unwrap();
    assert_eq!((accepted.disposition, accepted.valid), (Disposition::Upload, true));
    assert_eq!(accepted.title, "Mend the parser of the settings");
    let summary = s.json(&dir, "summary.json");
    assert_eq!(summary["title"], "Mend the parser of the settings");
    assert_eq!(summary["files_changed"], json!([{ "path": "src/parse.rs", "added": 2, "removed": 1 }]));
    let chapters: Vec<_> = summary["chapters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["title"], &c["start_seq"], &c["end_seq"]))
        .collect();
    assert_eq!(
        chapters,
        [(&json!("The fault"), &json!(0), &json!(4)), (&json!("The repair"), &json!(5), &json!(6))]
    );
    let told = fs::read_to_string(dir.join("summary.md")).unwrap();
    insta::assert_snapshot!(told, @r"
    # Mend the parser of the settings

    | | |
    | --- | --- |
    | Session | 2026-03-12T11-09-dana-OxTndR |
    | Began | 2026-03-12 09:09 UTC |
    | Agent | claude-code |
    | User | Dana |
    | Id | ses_1 |
    | Outcome | success |

    The parser lost the last line of a file without a newline. It was found by a test and mended.

    ## Key actions

    - Read the parser
    - Wrote a test
    - Mended it

    ## Files changed

    | File | Added | Removed |
    | --- | --- | --- |
    | src/parse.rs | 2 | 1 |

    ## Topics

    - parser
    ");
    assert!(
        fs::read_to_string(dir.join("session.md"))
            .unwrap()
            .contains("- [1](#msg-1) insight: The loop ends early")
    );
    // The answer comes again, or the item stands in a queue still.
    let before = s.files();
    assert_eq!(accept(&dir, &prepared, "nothing", s.by()).unwrap().title, accepted.title);
    assert!(matches!(s.prepare(&dir), Err(FinishError::Finished)));
    assert!(!summarize_locally(&dir, Path::new("/p"), &s.redactor).unwrap());
    assert_eq!(s.files(), before);

    assert_eq!(s.needs(), [Need::Upload]);
    let (content, packed) = (s.transcript(), s.pack(&dir).unwrap());
    assert_eq!(s.share(&dir), Left::Nothing);
    assert!(!dir.exists());
    assert_eq!(s.needs(), []);
    assert_eq!(s.transcript(), content);
    let meta = s.json(&s.in_ledger(), "meta.json");
    assert_eq!(
        (&meta["title"], &meta["sageox_score"], &meta["entry_count"], &meta["username"]),
        (&json!("Mend the parser of the settings"), &json!(0.8), &json!(7), &json!("Dana"))
    );
    let before = s.files();
    assert_eq!(s.drive(GOOD), 0);
    assert_eq!(shared(&dir, &packed, &[]).unwrap(), Left::Nothing);
    assert_eq!(s.files(), before);
}

#[test]
fn syn_06_three_answers_that_are_none_end_it_for_good() {
    let s = Scene::new();
    let dir = s.finished();
    for n in 1..=3 {
        assert_eq!(s.needs(), [Need::Summary], "{n}");
        let accepted = s.answer(&dir, "I need permission to write the summary.");
        assert_eq!(
            (accepted.valid, accepted.attempts, accepted.given_up, accepted.disposition),
            (false, n, n == 3, Disposition::Upload)
        );
        assert_eq!(accepted.title, "Why does the parser lose the last line of the settings?");
        // What was said is safe all the same, and stays here while a summary is owed.
        let expected = if n == 3 { Left::Nothing } else { Left::All };
        assert_eq!(s.share(&dir), expected);
    }
    let meta = s.json(&s.in_ledger(), "meta.json");
    assert_eq!((&meta["summary_status"], &meta["summary_attempts"]), (&json!("unrecoverable"), &json!(3)));
    assert_eq!(s.drive(GOOD), 0);

    // Where it cannot be shared it is not asked about again either.
    let s = Scene::new();
    let dir = s.finished();
    (0..3).for_each(|_| drop(s.answer(&dir, "{}")));
    for _ in 0..1_000 {
        assert_eq!(s.needs(), [Need::Upload]);
    }
    fs::remove_file(dir.join("summary.md")).unwrap();
    assert_eq!(s.needs(), [Need::Upload]);
    assert!(matches!(s.prepare(&dir), Err(FinishError::GivenUp)));
    // Somebody wants it all the same, and it is counted from the beginning.
    let prepared = prepare(&dir, s.ask(true), &s.redactor).unwrap();
    assert_eq!(accept(&dir, &prepared, "{}", s.by()).unwrap().attempts, 1);
    assert_eq!(s.answer(&dir, GOOD).attempts, 0);
    // A transcript that has changed is another one.
    let (s, dir) = (Scene::new(), ());
    let () = dir;
    let dir = s.finished();
    (0..3).for_each(|_| drop(s.answer(&dir, "{}")));
    let mut writer = Writer::open(&dir, &header(), &s.redactor).unwrap();
    writer.append(&said(Kind::User, 40, "One more thing")).unwrap();
    writer.close(now()).unwrap();
    fs::write(dir.join(".needs-summary"), "{}").unwrap();
    assert_eq!(s.needs(), [Need::Summary]);
    assert_eq!(s.answer(&dir, "{}").attempts, 1);
}

#[test]
fn agt_12_whatever_is_answered_no_title_is_empty_where_it_is_shown() {
    let bad = [
        "",
        "I cannot do that.",
        "{",
        "[]",
        "null",
        r#"{"title":""}"#,
        r#"{"title":"   ","key_actions":["a"],"summary":"x","outcome":"success"}"#,
        r#"{"title":5,"key_actions":["a"]}"#,
        r#"{"title":"T"}"#,
        r#"{"title":"\u001b[0m","key_actions":["a"]}"#,
        r#"{"title":"Let me look at the session","summary":"Long enough for a summary it is.","key_actions":["a"],"outcome":"success"}"#,
        r#"{"title":"Validation failed","summary":"","key_actions":["a"]}"#,
        r#"{"quality_category":"skip"}"#,
        r#"{"quality_category":"skip","title":""}"#,
        r#"{"quality_category":"share","title":"  "}"#,
        "```json\n{\"title\":\"T\"\n```",
    ];
    let talks = [
        talk(),
        vec![
            said(Kind::Assistant, 1, "I begin\nby myself"),
            said(Kind::Tool, 2, ""),
            said(Kind::System, 2, ""),
        ],
        vec![said(Kind::System, 1, "You are an agent"); 6],
    ];
    let mut seen = 0;
    for said in bad {
        for entries in &talks {
            for has_local in [true, false] {
                let s = Scene::new();
                let dir = s.record(NAME, entries, Vec::new());
                s.stop(&dir);
                if !has_local {
                    for name in ["summary.json", "summary.md", "session.md", ".needs-summary"] {
                        fs::remove_file(dir.join(name)).unwrap();
                    }
                }
                // Nothing that is thin goes here: it is to be shown.
                let thresholds = Thresholds { upload: 0.0, discard: 0.0 };
                let by = By { thresholds, redactor: &s.redactor };
                let mut dir = dir;
                for _ in 0..3 {
                    let Ok(prepared) = s.prepare(&dir) else { break };
                    let accepted = accept(&dir, &prepared, said, by).unwrap();
                    assert!(!accepted.title.trim().is_empty(), "{said}");
                    if accepted.disposition == Disposition::Discard {
                        dir = s.root.join("ledger/.sageox/cache/discarded").join(NAME);
                        break;
                    }
                }
                let found = sessions::Found {
                    name: Name::parse(NAME).unwrap(),
                    dir: dir.clone(),
                    place: Place::Local,
                    in_ledger: false,
                };
                let titles = [
                    Info::of(&found).unwrap().title,
                    Glance::of(&found).title,
                    s.json(&dir, "meta.json")["title"].as_str().unwrap_or_default().to_owned(),
                ];
                for title in titles {
                    assert!(!title.trim().is_empty(), "{said} {entries:?}");
                    assert!(!title.contains("answer") && !title.contains("Validation"), "{title}");
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, bad.len() * talks.len() * 2 * 3);
}

#[test]
fn what_is_to_stay_stays_and_what_is_to_go_goes_after_a_week() {
    let answer = |category: &str| GOOD.replace("\"share\"", &format!("\"{category}\""));
    let s = Scene::new();
    let dir = s.finished();
    assert_eq!(s.answer(&dir, &answer("local_only")).disposition, Disposition::LocalOnly);
    assert_eq!(s.json(&dir, "meta.json")["disposition"], "local_only");
    assert_eq!(s.needs(), []);
    fs::remove_file(dir.join("summary.md")).unwrap();
    assert_eq!(s.needs(), [], "it is not summarized again either");
    assert!(matches!(s.pack(&dir), Err(FinishError::NotShared)));
    // Somebody wants it summed up anew: until there is an answer it stays where it is, also where there never is one.
    again(&dir, true, &s.redactor).unwrap();
    assert_eq!(s.needs(), [Need::Summary]);
    for _ in 0..3 {
        assert!(matches!(s.pack(&dir), Err(FinishError::NotShared)));
        assert!(!s.answer(&dir, "no").valid);
    }
    assert_eq!(s.needs(), [], "nor is it shared without one");
    again(&dir, false, &s.redactor).unwrap();
    assert!(s.answer(&dir, GOOD).valid);
    assert_eq!(s.needs(), [Need::Upload]);
    assert!(!s.json(&dir, "meta.json").to_string().contains("disposition_before"));

    let s = Scene::new();
    let dir = s.finished();
    assert_eq!(s.answer(&dir, &answer("skip")).disposition, Disposition::Discard);
    assert!(!dir.exists());
    assert_eq!(s.needs(), []);
    let aside = s.root.join("ledger/.sageox/cache/discarded").join(NAME);
    assert!(aside.join("raw.jsonl").exists());
    let thrown =
        Timestamp::try_from(fs::metadata(aside.join(".discarded")).unwrap().modified().unwrap()).unwrap();
    let later = |hours: i64| thrown + jiff::SignedDuration::from_hours(hours);
    assert_eq!(tidy(&s.places, later(7 * 24 - 1)).purged, 0);
    assert_eq!((tidy(&s.places, later(7 * 24)).purged, aside.exists()), (1, false));

    // A session that git keeps is nobody's to throw away, or to write to.
    let s = Scene::new();
    let dir = s.finished();
    fs::create_dir_all(s.root.join("ledger/sessions")).unwrap();
    fs::rename(&dir, s.in_ledger()).unwrap();
    let before = s.files();
    assert!(matches!(discard(&s.in_ledger()), Err(FinishError::Tracked)));
    assert!(matches!(s.prepare(&s.in_ledger()), Err(FinishError::Tracked)));
    assert!(matches!(s.pack(&s.in_ledger()), Err(FinishError::Tracked)));
    assert!(summarize_locally(&s.in_ledger(), Path::new(""), &s.redactor).is_err());
    assert_eq!(s.files(), before);
}

#[test]
fn only_those_are_found_that_something_is_owed_to() {
    let s = Scene::new();
    let dir = s.finished();
    let with = |agents, publish| {
        let looked = look(&s.places, &Wanted { agents, publish, is_ours: &|_| false });
        (looked.candidates.iter().map(|c| c.need).collect::<Vec<_>>(), looked.troubles.len())
    };
    assert_eq!(with(true, true), (vec![Need::Summary], 0));
    assert_eq!(with(false, true), (vec![Need::Upload], 0), "without agents others get what there is");
    assert_eq!(with(false, false), (vec![], 0));
    let only = |change: &dyn Fn(), back: &dyn Fn(), expected: (Vec<Need>, usize)| {
        change();
        assert_eq!(with(true, true), expected);
        back();
        assert_eq!(with(true, true), (vec![Need::Summary], 0));
    };
    let put = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    let gone = |name: &str| fs::remove_file(dir.join(name)).unwrap();
    only(&|| put(".recording.json", "{"), &|| gone(".recording.json"), (vec![], 0));
    only(&|| mark_downloaded(&dir).unwrap(), &|| gone(".downloaded"), (vec![], 0));
    let meta = fs::read_to_string(dir.join("meta.json")).unwrap();
    only(&|| put("meta.json", "{"), &|| put("meta.json", &meta), (vec![], 1));
    only(&|| put("meta.json", r#"{"draft":true}"#), &|| put("meta.json", &meta), (vec![], 1));
    let raw = fs::read_to_string(dir.join("raw.jsonl")).unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    only(&|| put("raw.jsonl", pointer), &|| put("raw.jsonl", &raw), (vec![], 0));
    let bare = raw.lines().next().unwrap();
    only(&|| put("raw.jsonl", bare), &|| put("raw.jsonl", &raw), (vec![], 0));
    only(&|| gone("raw.jsonl"), &|| put("raw.jsonl", &raw), (vec![], 0));

    // Without agents it is shared once, and its summary stays owed.
    assert_eq!(s.share(&dir), Left::All);
    assert_eq!(with(false, true), (vec![], 0));
    assert_eq!(with(true, true), (vec![Need::Summary], 0));
    assert_eq!(s.drive(GOOD), 1);
    assert_eq!(s.json(&s.in_ledger(), "summary.json")["summary_status"], "ok");

    // In the ledger only those of this machine with all their content, whose artifacts are not there.
    let s = Scene::new();
    let dir = s.finished();
    fs::create_dir_all(s.root.join("ledger/sessions")).unwrap();
    fs::rename(&dir, s.in_ledger()).unwrap();
    assert_eq!(s.needs(), [Need::Summary]);
    assert_eq!(look(&s.places, &Wanted { agents: true, publish: true, is_ours: &|_| false }).candidates, []);
    let before = s.files();
    let here = ox::sessions::finish::bring_here(&s.places, &s.look().candidates[0]).unwrap();
    assert_eq!(here, dir);
    assert_eq!(fs::read(here.join("raw.jsonl")).unwrap(), fs::read(s.in_ledger().join("raw.jsonl")).unwrap());
    assert!(before.iter().all(|(path, bytes)| s.files()[path] == *bytes));
    assert!(s.answer(&here, GOOD).valid);
}

#[test]
fn what_is_said_in_a_pause_is_given_to_nobody() {
    let s = Scene::new();
    let mut entries = talk();
    entries.insert(5, said(Kind::User, 15, "the word is PLATYPUS"));
    entries.insert(6, called(16, "Write", json!({ "file_path": "/p/PLATYPUS.md", "content": "PLATYPUS" })));
    entries.insert(7, said(Kind::Assistant, 17, "PLATYPUS it is"));
    let turn = |action: &str, seq: i64, minute: u32| Turn {
        action: action.into(),
        at: format!("2026-03-12T09:{minute:02}:00Z").parse::<Timestamp>().unwrap().into(),
        seq: Some(seq),
        ..Turn::default()
    };
    // The last of it was taken over when it went on already: only its time tells.
    let dir =
        s.record(NAME, &entries, vec![turn("start", 0, 9), turn("pause", 5, 15), turn("resume", 7, 18)]);
    s.stop(&dir);
    let prepared = s.prepare(&dir).unwrap();
    assert_eq!((prepared.entries, prepared.left_out), (7, 3));
    assert!(!prepared.prompt.as_ref().unwrap().text.contains("PLATYPUS"));
    assert!(accept(&dir, &prepared, GOOD, s.by()).unwrap().valid);
    assert_eq!(s.share(&dir), Left::All, "what was said in it is nowhere else");
    let shared: Vec<_> = s.files().into_iter().filter(|(path, _)| !path.contains(".sageox/cache")).collect();
    assert!(shared.iter().any(|(path, _)| path.starts_with("remote/")));
    for (path, bytes) in shared {
        assert!(!String::from_utf8_lossy(&bytes).contains("PLATYPUS"), "{path}");
    }
    assert!(fs::read_to_string(dir.join("raw.jsonl")).unwrap().contains("PLATYPUS"));
    for name in ["summary.json", "summary.md", "session.md"] {
        assert!(!fs::read_to_string(dir.join(name)).unwrap().contains("PLATYPUS"), "{name}");
    }
    assert!(s.json(&s.in_ledger(), "meta.json").get("lifecycle").is_none());
    assert_eq!(s.drive(GOOD), 0);
}

#[test]
fn what_others_know_of_a_session_stays_and_no_address_gets_there() {
    let s = Scene::new();
    let dir = s.finished();
    assert!(s.answer(&dir, GOOD).valid);
    let mut meta = s.json(&dir, "meta.json");
    meta["username"] = "dana@example.org".into();
    meta["ours_later"] = 1.into();
    fs::write(dir.join("meta.json"), meta.to_string()).unwrap();
    fs::create_dir_all(s.in_ledger()).unwrap();
    let theirs = json!({ "linked_prs": [7], "title": "Old", "files": {
        "raw.jsonl": { "oid": "sha256:0", "size": 1, "storage": "git" }, "plan.md": { "oid": "sha256:1", "size": 2 } } });
    fs::write(s.in_ledger().join("meta.json"), theirs.to_string()).unwrap();
    fs::write(dir.join("usage.jsonl"), "{}\n").unwrap();
    fs::write(dir.join("edits.json"), "{}").unwrap();
    fs::write(dir.join("input.jsonl"), "{}").unwrap();
    let packed = s.pack(&dir).unwrap();
    let names: Vec<_> =
        packed.content.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["raw.jsonl", "summary.md", "session.md"]);
    let stored: Vec<Stored> = packed.content.iter().map(|path| s.store(path)).collect();
    let plain: BTreeMap<String, Vec<u8>> = packed.plain(&stored).unwrap().into_iter().collect();
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["edits.json", "meta.json", "summary.json", "usage.jsonl"]);
    let meta: Value = serde_json::from_slice(&plain["meta.json"]).unwrap();
    assert_eq!(
        (&meta["linked_prs"], &meta["ours_later"], &meta["username"]),
        (&json!([7]), &json!(1), &json!("dana"))
    );
    assert_eq!(meta["title"], "Mend the parser of the settings");
    assert_eq!(meta["files"]["raw.jsonl"], theirs["files"]["raw.jsonl"], "git keeps it");
    assert_eq!(meta["files"]["plan.md"]["size"], 2);
    assert_eq!(meta["files"]["session.md"]["storage"], "lfs");
    assert!(meta.get("disposition").is_none());
    // With a file on it that nobody else has it stays; what has changed since is told.
    assert_eq!(shared(&dir, &packed, &stored).unwrap(), Left::All);
    fs::write(dir.join("session.md"), "other").unwrap();
    assert_eq!(shared(&dir, &packed, &stored).unwrap(), Left::Changed);
    // What of others cannot be read is not written over.
    fs::write(s.in_ledger().join("meta.json"), "{").unwrap();
    assert!(matches!(s.pack(&dir), Err(FinishError::Meta(_))));
}

#[test]
fn what_a_session_wrote_is_shared_with_it_and_goes_here_unless_it_is_nowhere_else() {
    let s = Scene::new();
    let dir = s.finished();
    assert!(s.answer(&dir, GOOD).valid);
    let lines: String = (0..19_000).map(|n| format!("let value_{n} = {};\n", n * 7919)).collect();
    for large in [false, true] {
        let content = if large { lines.as_str() } else { "fn a() {\n    one();\n}\n" };
        let wrote = called(10, "Write", json!({ "file_path": s.root.join("p/a.rs"), "content": content }));
        fs::create_dir_all(dir.with_file_name("of")).unwrap();
        let mut writer = Writer::open(&dir.with_file_name("of"), &header(), &s.redactor).unwrap();
        writer.append(&wrote).unwrap();
        writer.commit().unwrap();
        drop(writer);
        let edits =
            sessions::edits::collect(&dir.with_file_name("of"), &s.root.join("p"), &s.redactor).unwrap();
        fs::remove_dir_all(dir.with_file_name("of")).unwrap();
        let bytes = serde_json::to_vec(&edits).unwrap();
        assert!(edits.lines() > 2);
        fs::write(dir.join(sessions::edits::FILE), &bytes).unwrap();
        let packed = s.pack(&dir).unwrap();
        let in_content = packed.content.iter().find(|path| path.ends_with(sessions::edits::FILE));
        assert_eq!(in_content.is_some(), large);
        let packed_bytes = match in_content {
            Some(path) => fs::read(path).unwrap(),
            None => packed.plain(&[]).unwrap().into_iter().collect::<BTreeMap<_, _>>()["edits.json"].clone(),
        };
        let mut found = ox::redact::Findings::default();
        s.redactor.redact_file("edits.json", &bytes, &mut found);
        let rules: Vec<&str> = found.rules().iter().map(|one| one.rule.as_str()).collect();
        assert!(packed_bytes == bytes, "it is shared as it is: {rules:?}");
        if large {
            let mut stored: Vec<Stored> = packed.content.iter().map(|path| s.store(path)).collect();
            stored.iter_mut().for_each(|one| {
                one.storage = if one.name == "edits.json" { Storage::Here } else { Storage::Lfs };
            });
            assert_eq!(shared(&dir, &packed, &stored).unwrap(), Left::All, "it is nowhere else");
            assert!(dir.join("edits.json").exists());
        } else {
            assert_eq!(s.share(&dir), Left::Nothing);
            assert!(!dir.exists());
            assert_eq!(sessions::edits::load(&s.in_ledger()).unwrap(), Some(edits));
            let again = s.finished();
            assert!(s.answer(&again, GOOD).valid);
        }
    }
}

#[test]
fn sec_04_what_rules_of_today_find_is_taken_out_before_others_get_it() {
    let s = Scene::new();
    let dir = s.finished();
    assert!(s.answer(&dir, GOOD).valid);
    let token = ["gh", "p_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let raw = fs::read_to_string(dir.join("raw.jsonl")).unwrap();
    fs::write(dir.join("raw.jsonl"), raw.replace("Now write", &format!("Use {token} and write"))).unwrap();
    fs::write(dir.join("plan.md"), format!("First {token}\n")).unwrap();
    fs::write(dir.join("usage.jsonl"), format!("{{\"model\":\"{token}\"}}\n")).unwrap();
    let said = GOOD.replace("by a test", &format!("by {token}"));
    let prepared = prepare(&dir, s.ask(true), &s.redactor).unwrap();
    assert!(!prepared.prompt.as_ref().unwrap().text.contains(&token));
    assert!(accept(&dir, &prepared, &said, s.by()).unwrap().valid);
    s.share(&dir);
    assert!(s.files().iter().any(|(path, _)| path.starts_with("remote/")));
    for (path, bytes) in s.files() {
        assert!(!String::from_utf8_lossy(&bytes).contains(&token), "{path}");
    }
}

#[test]
fn a_session_in_which_little_happened_needs_no_agent() {
    let s = Scene::new();
    let dir = s.record(NAME, &[said(Kind::User, 1, "hi"), said(Kind::Assistant, 2, "Hello")], Vec::new());
    s.stop(&dir);
    let prepared = s.prepare(&dir).unwrap();
    assert!(prepared.prompt.is_none());
    let keep = By { thresholds: Thresholds { upload: 0.3, discard: 0.01 }, redactor: &s.redactor };
    let accepted = accept(&dir, &prepared, "", keep).unwrap();
    assert_eq!((accepted.disposition, &*accepted.title), (Disposition::LocalOnly, "hi"));
    assert_eq!(s.json(&dir, "summary.json")["quality_score"], 0.05);
}

#[test]
fn agt_02_a_wanted_summary_that_fails_leaves_the_one_that_is_there() {
    let s = Scene::new();
    let dir = s.finished();
    assert!(s.answer(&dir, GOOD).valid);
    let before = s.files();
    let prepared = prepare(&dir, s.ask(true), &s.redactor).unwrap();
    let accepted = accept(&dir, &prepared, "no", s.by()).unwrap();
    assert_eq!((accepted.valid, &*accepted.title), (false, "Mend the parser of the settings"));
    assert_eq!(s.files(), before);
    let better = GOOD.replace("Mend the parser of the settings", "Read the last line too");
    let prepared = prepare(&dir, s.ask(true), &s.redactor).unwrap();
    assert_eq!(accept(&dir, &prepared, &better, s.by()).unwrap().title, "Read the last line too");
    // Somebody else has written one while the agent was at it.
    assert!(accept(&dir, &prepared, GOOD, s.by()).is_ok_and(|done| done.title == "Read the last line too"));
    // The session goes on, or its transcript is another one.
    let mut writer = Writer::open(&dir, &header(), &s.redactor).unwrap();
    writer.append(&said(Kind::User, 40, "One more thing")).unwrap();
    writer.close(now()).unwrap();
    assert!(matches!(accept(&dir, &prepared, GOOD, s.by()), Err(FinishError::Changed)));
}

#[test]
fn an_agent_that_is_asked_is_counted_before_it_answers_and_given_back_where_it_was_not_heard() {
    let s = Scene::new();
    let dir = s.finished();
    let attempts = || s.json(&dir, "meta.json")["summary_attempts"].clone();
    let asked = || {
        let mut prepared = s.prepare(&dir).unwrap();
        count(&dir, &mut prepared, &s.redactor).unwrap();
        prepared
    };
    uncount(&dir, &asked(), &s.redactor).unwrap();
    assert_eq!(attempts(), 0);
    assert_eq!(fail(&dir, &asked(), "it crashed", &s.redactor).unwrap().attempts, 1);
    let meta = s.json(&dir, "meta.json");
    assert_eq!((&meta["validation_error"], &meta["summary_attempts"]), (&json!("it crashed"), &json!(1)));
    // What cannot be written down was paid for all the same.
    fs::remove_file(dir.join("session.md")).unwrap();
    fs::create_dir(dir.join("session.md")).unwrap();
    for n in 2..=3 {
        assert!(accept(&dir, &asked(), GOOD, s.by()).is_err());
        assert_eq!(attempts(), n);
    }
    assert!(matches!(s.prepare(&dir), Err(FinishError::GivenUp)));
    fs::remove_dir(dir.join("session.md")).unwrap();
    assert!(ox::sessions::finish::is_stuck(&dir));
    ox::sessions::finish::again(&dir, false, &s.redactor).unwrap();
    assert!(accept(&dir, &asked(), GOOD, s.by()).unwrap().valid);
    assert_eq!(attempts(), 0);
}
