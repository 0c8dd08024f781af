//! The writer and the reader of `raw.jsonl`, on real files.

use std::fs;

use proptest::prelude::*;

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + secs).unwrap()
}

fn header() -> Header {
    Header {
        created_at: Some(at(0)),
        agent_id: "OxTndR".into(),
        agent_type: "codex".into(),
        username: "Dana".into(),
        session_id: "ses_1".into(),
        ..Header::default()
    }
}

fn said(content: &str, id: &str) -> Entry {
    Entry {
        kind: Kind::User,
        content: content.into(),
        timestamp: Some(at(1)),
        source_id: id.into(),
        ..Entry::default()
    }
}

fn lines(dir: &Path) -> Vec<Line> {
    let mut all = Vec::new();
    read(&dir.join(FILE), &mut |line| all.push(line)).unwrap();
    all
}

fn entries(dir: &Path) -> Vec<(Option<i64>, String)> {
    let take = |line| if let Line::Entry(e) = line { Some((e.seq, e.content)) } else { None };
    lines(dir).into_iter().filter_map(take).collect()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let redactor = Redactor::new();
    let call = Entry {
        kind: Kind::Tool,
        tool_name: "Bash".into(),
        tool_input: r#"{"command":"ls"}"#.into(),
        tool_output: "no".into(),
        is_error: true,
        call_id: "c1".into(),
        timestamp: Some(at(2)),
        ..Entry::default()
    };
    let mut writer = Writer::open(dir.path(), &header(), &redactor).unwrap();
    writer.append(&said("hello", "a")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let mut writer = Writer::open(dir.path(), &Header::default(), &redactor).unwrap();
    writer.append(&call).unwrap();
    let written = writer.close(at(3)).unwrap();
    assert_eq!((written.entries, written.next_seq), (1, 2));
    let expected = [
        Line::Header(Box::new(header())),
        Line::Entry(Box::new(Entry { seq: Some(0), ..said("hello", "a") })),
        Line::Entry(Box::new(Entry { seq: Some(1), ..call })),
        Line::Footer(Some(at(3))),
    ];
    assert_eq!(lines(dir.path()), expected);
    assert!(is_substantive(&dir.path().join(FILE)).unwrap());
}

#[test]
fn sec_04_no_string_of_an_entry_passes_unredacted() {
    let dir = tempfile::tempdir().unwrap();
    let redactor = Redactor::new();
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let entry = Entry {
        kind: Kind::Tool,
        content: format!("see {token}"),
        tool_name: format!("t {token}"),
        tool_input: json!({ "command": format!("export T={token}\n") }).to_string(),
        tool_output: json!({ "out": json!({ "deep": token }).to_string() }).to_string(),
        call_id: token.clone(),
        source_id: token.clone(),
        ..Entry::default()
    };
    let head = Header { username: token.clone(), ..header() };
    let mut writer = Writer::open(dir.path(), &head, &redactor).unwrap();
    writer.append(&entry).unwrap();
    let written = writer.commit().unwrap();
    assert_eq!(written.found.total(), 7);
    let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
    assert!(!text.contains(&token[4..]), "{text}");
}

#[test]
fn a_line_that_a_crash_cut_off_goes_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let redactor = Redactor::new();
    let mut writer = Writer::open(dir.path(), &header(), &redactor).unwrap();
    (0..3).for_each(|n| writer.append(&said(&format!("n{n}"), &format!("id{n}"))).unwrap());
    let size = writer.commit().unwrap().size;
    drop(writer);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut writer = Writer::open(dir.path(), &header(), &redactor).unwrap();
        let ids = writer.ids_behind(dir.path(), 0).unwrap();
        for n in 0..3 {
            if !ids.contains(&format!("id{n}")) {
                writer.append(&said(&format!("n{n}"), &format!("id{n}"))).unwrap();
            }
        }
        assert_eq!(writer.commit().unwrap().size, size, "cut at {cut}");
        drop(writer);
        let expected = (0..3).map(|n| (Some(n), format!("n{n}")));
        assert_eq!(entries(dir.path()), expected.collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn lines_of_other_programs_are_understood() {
    let check = |line: &str, kind: Kind, content: &str| match Line::parse(line.as_bytes()) {
        Line::Entry(e) => assert_eq!((e.kind, e.content.as_str()), (kind, content), "{line}"),
        other => panic!("{line}: {other:?}"),
    };
    check(r#"{"type":"human","data":{"content":"x"}}"#, Kind::User, "x");
    check(r#"{"type":"ai","text":"x","ts":"2026-03-12T09:09:00Z"}"#, Kind::Assistant, "x");
    check(r#"{"type":"tool_result","result":"x"}"#, Kind::Tool, "x");
    check(r#"{"type":"queue-operation","content":null}"#, Kind::Info, "");
    let meta = r#"{"_meta":{"schema_version":"1","session_id":"OxTndR","started_at":"2026-03-12T09:09:00Z","recovered":true}}"#;
    let Line::Header(header) = Line::parse(meta.as_bytes()) else { panic!("a header") };
    assert_eq!((header.agent_id.as_str(), header.session_id.as_str()), ("OxTndR", ""));
    assert!(header.is_recovered && header.created_at.is_some());
    for bad in ["", "{", "7", "[]", "{}", "\u{0}"] {
        assert_eq!(Line::parse(bad.as_bytes()), Line::Damaged, "{bad}");
    }
}

#[test]
fn a_file_that_stands_for_another_has_nothing_in_it_and_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    fs::write(&path, pointer).unwrap();
    assert!(!is_substantive(&path).unwrap());
    assert!(Writer::open(dir.path(), &header(), &Redactor::new()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), pointer);
    fs::write(&path, "{\"type\":\"header\"}\n{\"type\":\"footer\"}\n").unwrap();
    assert!(!is_substantive(&path).unwrap());
    fs::write(&path, "{\"type\":\"user\"}").unwrap();
    assert!(is_substantive(&path).unwrap(), "without header and newline");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(Writer::open(dir.path(), &header(), &Redactor::new()).is_err());
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_fail(line in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Line::parse(&line);
    }
}
