use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::sessions::raw::{Entry, Header, Writer};
use crate::sessions::recording::Turn;

struct Bench {
    tmp: tempfile::TempDir,
    entries: Vec<Entry>,
}

impl Bench {
    fn new() -> Bench {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("p/.git")).unwrap();
        fs::create_dir_all(tmp.path().join("s")).unwrap();
        Bench { tmp, entries: Vec::new() }
    }

    fn at(&self) -> Option<Timestamp> {
        Timestamp::from_second(1_790_000_000 + i64::try_from(self.entries.len()).unwrap()).ok()
    }

    fn say(&mut self, text: &str) -> &mut Bench {
        let entry =
            Entry { kind: Kind::User, content: text.into(), timestamp: self.at(), ..Entry::default() };
        self.entries.push(entry);
        self
    }

    fn call(&mut self, tool: &str, input: &Value) -> &mut Bench {
        let (timestamp, call_id) = (self.at(), format!("c{}", self.entries.len()));
        self.entries.push(Entry {
            kind: Kind::Tool,
            tool_name: tool.into(),
            tool_input: input.to_string(),
            timestamp,
            call_id,
            ..Entry::default()
        });
        self
    }

    fn fail(&mut self) -> &mut Bench {
        let call_id = self.entries.last().unwrap().call_id.clone();
        self.entries.push(Entry { kind: Kind::Tool, is_error: true, call_id, ..Entry::default() });
        self
    }

    fn edits(&self) -> Edits {
        let (dir, redactor) = (self.tmp.path().join("s"), Redactor::new());
        let mut writer = Writer::open(&dir, &Header::default(), &redactor).unwrap();
        self.entries.iter().for_each(|entry| writer.append(entry).unwrap());
        writer.commit().unwrap();
        drop(writer);
        let edits = write(&dir, &self.tmp.path().join("p"), &redactor).unwrap();
        assert_eq!(load(&dir).unwrap(), Some(edits.clone()));
        fs::remove_file(dir.join(raw::FILE)).unwrap();
        edits
    }
}

/// Of each edit its file, entry, prompt and number of lines.
fn told(edits: &Edits) -> Vec<(&str, i64, Option<i64>, u64)> {
    let all = edits.files.iter().flat_map(|file| file.edits.iter().map(|edit| (file.path.as_str(), edit)));
    all.map(|(path, edit)| (path, edit.seq, edit.prompt, edit.lines)).collect()
}

#[test]
fn each_edit_is_told_with_its_prompt_and_none_that_failed() {
    let mut bench = Bench::new();
    bench.say("make it").call("Write", &json!({"file_path": "a.rs", "content": "one\ntwo\nthree\n"}));
    bench.call("Edit", &json!({"file_path": "a.rs", "old_string": "one", "new_string": "no"})).fail();
    bench
        .say("change it")
        .call("Edit", &json!({"file_path": "a.rs", "old_string": "wo\nth", "new_string": "wo!\nth"}));
    bench.call("Write", &json!({"file_path": "/elsewhere/b.rs", "content": "x"}));
    let edits = bench.edits();
    assert_eq!(told(&edits), [("a.rs", 1, Some(0), 3), ("a.rs", 5, Some(4), 1)]);
    let [first, second] = &edits.files[0].edits[..] else { panic!() };
    // A whole line was changed, with the lines around it that the session knows of.
    assert_eq!((first.whole, second.whole, second.runs[0].known()), (false, false, 3));
    assert_eq!((edits.lines(), edits.began()), (4, Timestamp::from_second(1_790_000_001).ok()));
}

#[test]
fn what_was_written_again_is_the_first_edit_s() {
    let mut bench = Bench::new();
    bench.say("1").call("write_file", &json!({"file_path": "a", "content": "one\ntwo\n"}));
    bench.say("2").call("write_file", &json!({"file_path": "a", "content": "zero\n  one\ntwo\n"}));
    assert_eq!(told(&bench.edits()), [("a", 1, Some(0), 2), ("a", 3, Some(2), 1)]);
}

#[test]
fn no_text_gets_into_the_file_and_no_hash_of_a_secret() {
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let mut bench = Bench::new();
    let content = format!(
        "before the secret\nlet key_of_the_service = \"{token}\";\nbehind the secret\nand more of it\n"
    );
    bench.call("Write", &json!({"file_path": "a.rs", "content": content}));
    let edits = bench.edits();
    let text = fs::read_to_string(bench.tmp.path().join("s").join(FILE)).unwrap();
    assert!(!text.contains("secret") && !text.contains(&token) && text.contains("a.rs"), "{text}");
    let run = &edits.files[0].edits[0].runs[0];
    assert_eq!((run.lines(), run.alone[1], run.pairs[0], run.pairs[1]), (4, 0, 0, 0));
    assert_ne!(run.pairs[2], 0);
}

#[test]
fn what_was_not_to_be_shared_is_left_out() {
    let mut bench = Bench::new();
    for n in 0..4 {
        bench.call("Write", &json!({"file_path": format!("{n}"), "content": "x"}));
    }
    let turn = |action: &str, seq| Turn { action: action.into(), seq: Some(seq), ..Turn::default() };
    let recording = Recording {
        lifecycle: vec![turn("start", 0), turn("pause", 1), turn("pause", 2), turn("resume", 3)],
        ..Recording::default()
    };
    recording.create(&bench.tmp.path().join("s")).unwrap();
    let edits = bench.edits();
    assert_eq!(told(&edits).iter().map(|edit| edit.0).collect::<Vec<_>>(), ["0", "3"]);
}

#[test]
fn limits_are_kept_and_said() {
    let mut bench = Bench::new();
    let lines = |n: usize| (0..n).map(|n| format!("line {n}\n")).collect::<String>();
    bench.call("Write", &json!({"file_path": "large", "content": lines(limits::CALL_LINES_MAX + 1)}));
    bench.call("Write", &json!({"file_path": "small", "content": lines(3)}));
    let edits = bench.edits();
    assert_eq!((edits.truncated, told(&edits)), (true, vec![("small", 1, None, 3)]));
    let mut bench = Bench::new();
    for n in 0..=limits::FILES_MAX {
        bench.call("Write", &json!({"file_path": format!("{n}"), "content": "x"}));
    }
    let edits = bench.edits();
    assert_eq!((edits.truncated, edits.files.len()), (true, limits::FILES_MAX));
    let mut bench = Bench::new();
    for n in 0..4 {
        bench.call("Write", &json!({"file_path": format!("{n}"), "content": lines(limits::LINES_MAX / 3)}));
    }
    let edits = bench.edits();
    assert!(edits.truncated && edits.lines() <= limits::LINES_MAX as u64, "{}", edits.lines());
    let size = fs::metadata(bench.tmp.path().join("s").join(FILE)).unwrap().len();
    assert!(size < limits::FILE_BYTES_MAX as u64, "{size}");
}

#[test]
fn a_file_of_a_newer_version_or_none_is_not_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load(dir.path()).unwrap(), None);
    fs::write(dir.path().join(FILE), r#"{"version":9,"files":[]}"#).unwrap();
    assert_eq!(load(dir.path()).unwrap(), None);
    fs::write(dir.path().join(FILE), "{").unwrap();
    assert!(load(dir.path()).is_err());
}

#[test]
fn of_files_that_are_not_wanted_it_is_only_told_when_they_were_edited() {
    let mut bench = Bench::new();
    for path in ["a\"b.rs", "c.rs"] {
        bench.call("Write", &json!({"file_path": path, "content": "one\ntwo\n"}));
    }
    let all = bench.edits();
    let some = load_of(&bench.tmp.path().join("s"), &|path| path == "a\"b.rs").unwrap().unwrap();
    assert_eq!((&some.files[0], some.began(), some.lines()), (&all.files[0], all.began(), all.lines()));
    assert_eq!((&*some.files[1].path, some.files[1].edits[0].runs.len()), ("c.rs", 0));
}
