//! What is shared, and how it is kept.

use std::fs;

use serde_json::{Value, json};

use crate::share::bench::{Bench, NAME, transcript};
use crate::support::lfs::{Step, oid};

#[test]
fn a_session_goes_to_lfs_with_pointers_in_git() {
    let b = Bench::new();
    let (raw, md) = (transcript(20_000), b"# A session\n".to_vec());
    let content = b.m.session(&[("raw.jsonl", &raw), ("session.md", &md), ("events.jsonl", b"")]);
    // What is staged by somebody else stays theirs.
    fs::write(b.m.ledger.join("theirs.md"), "x").unwrap();
    b.m.env.git(&b.m.ledger, ["add", "theirs.md"]);
    let done = b.m.share(&content).ok();
    assert_eq!(done["commit"], b.tip().as_str());
    assert_eq!(b.tip(), b.m.head());
    let kept =
        |bytes: &[u8], storage: &str| json!({ "oid": oid(bytes), "size": bytes.len(), "storage": storage });
    let files = json!({ "raw.jsonl": kept(&raw, "lfs"), "session.md": kept(&md, "lfs"), "events.jsonl": kept(b"", "git") });
    assert_eq!(done["stored"], files);
    let meta: Value = serde_json::from_str(&b.shared("meta.json")).unwrap();
    assert_eq!(meta["files"], files);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}", oid(&raw), raw.len());
    assert_eq!(b.shared("raw.jsonl"), pointer);
    assert_eq!(b.lfs.get(&oid(&raw)).unwrap(), raw);
    let name = |file: &str| format!("sessions/{NAME}/{file}");
    let expected = ["events.jsonl", "meta.json", "raw.jsonl", "session.md", "summary.json"].map(name);
    assert_eq!(b.listing(), [vec!["sessions/.gitignore".to_owned()], expected.to_vec()].concat());
    assert!(!b.host.git(&b.bare, ["show", "main:sessions/.gitignore"]).lines().any(|l| !l.starts_with('#')));
    assert_eq!(b.host.git(&b.bare, ["log", "-1", "--format=%s", "main"]), format!("finalize session {NAME}"));
    assert_eq!(b.m.status(), "A  theirs.md");
    assert_eq!(fs::read(&content[0]).unwrap(), raw, "the session's own files are as they were");

    // Again there is nothing to do.
    let before = (b.tip(), b.lfs.count(Step::Put));
    assert_eq!(b.m.share(&content).ok(), done);
    assert_eq!((b.tip(), b.lfs.count(Step::Put)), before);
}

#[test]
fn what_recording_leaves_beside_a_session_is_never_committed() {
    let b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let dir = b.m.ledger.join("sessions").join(NAME);
    fs::create_dir_all(&dir).unwrap();
    for name in [
        ".recording.json",
        ".recording.json.lock",
        ".needs-summary",
        "input.jsonl",
        "raw.jsonl.lock",
        "x.tmp",
    ] {
        fs::write(dir.join(name), "x").unwrap();
    }
    b.m.share(&content).ok();
    assert_eq!(b.m.status(), "");
    assert_eq!(b.listing().len(), 4, "{:?}", b.listing());
    fs::remove_file(dir.join("x.tmp")).unwrap();
}

#[test]
fn without_lfs_small_contents_go_to_git_and_large_ones_stay_and_say_so() {
    for b in [Bench::on_disk(), Bench::without_lfs()] {
        let (raw, large) = (transcript(1000), transcript(150_000));
        assert!(large.len() > 5 << 20);
        let content = b.m.session(&[("raw.jsonl", &raw), ("events.jsonl", &large)]);
        let done = b.m.share(&content).ok();
        assert_eq!(done["stored"]["raw.jsonl"]["storage"], "git");
        assert_eq!(done["stored"]["events.jsonl"]["storage"], "local");
        assert_eq!(b.shared("raw.jsonl").as_bytes(), raw.trim_ascii_end());
        assert!(!b.listing().iter().any(|file| file.ends_with("events.jsonl")));
        assert_eq!((b.tip(), b.m.status()), (b.m.head(), String::new()));
        let before = b.tip();
        assert_eq!(b.m.share(&content).ok(), done);
        assert_eq!(b.tip(), before);
    }
}

/// A pointer would not take it out of the history.
#[test]
fn what_git_had_as_it_is_stays_so_when_the_remote_gets_lfs() {
    let b = Bench::without_lfs();
    let content = b.m.session(&[("raw.jsonl", &transcript(10))]);
    b.m.share(&content).ok();
    b.server.with_lfs_of(&b.lfs);
    let longer = transcript(20);
    b.m.session(&[("raw.jsonl", &longer)]);
    let done = b.m.share(&content).ok();
    assert_eq!(done["stored"]["raw.jsonl"]["storage"], "git");
    assert_eq!(b.shared("raw.jsonl").as_bytes(), longer.trim_ascii_end());
}

#[test]
fn no_secret_leaves_by_any_way() {
    let token = ["gh", "p_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let line = json!({ "type": "user", "content": format!("use {token}"), "seq": 9 }).to_string();
    let raw = [transcript(9), line.into_bytes(), b"\n".to_vec(), transcript(3)].concat();
    for b in [Bench::new(), Bench::without_lfs()] {
        let content = b.m.session(&[("raw.jsonl", &raw), ("session.md", format!("# {token}\n").as_bytes())]);
        let plain = json!({ "summary.json": json!({ "title": token }).to_string() });
        let done = b.m.run(json!({ "op": "share", "content": content, "plain": plain })).ok();
        assert!(!b.objects().contains(&token), "in the remote's git");
        for name in ["raw.jsonl", "session.md"] {
            let stored = &done["stored"][name];
            if stored["storage"] == "lfs" {
                let kept = b.lfs.get(stored["oid"].as_str().unwrap()).unwrap();
                assert_eq!(kept.len() as u64, stored["size"].as_u64().unwrap());
                let kept = String::from_utf8(kept).unwrap();
                assert!(!kept.contains(&token) && kept.contains("[REDACTED_GITHUB_TOKEN]"), "{kept}");
            }
        }
        assert_eq!(fs::read(&content[0]).unwrap(), raw, "the session's own files are as they were");
        let state = b.m.env.data().join("sageox/local/state");
        let left = crate::support::census::files(&state, &|p| p.to_string_lossy().contains("outgoing"));
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn others_who_push_meanwhile_keep_theirs() {
    let b = Bench::new();
    b.somebody_pushes("notes/a.md", "theirs\n");
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    b.m.share(&content).ok();
    assert_eq!(b.host.git(&b.bare, ["show", "main:notes/a.md"]), "theirs");
    assert!(b.shared("raw.jsonl").starts_with("version "));
    // A remote that was put back has the commit no more; then it is pushed again.
    let old = b.host.git(&b.bare, ["rev-parse", "main~1"]);
    b.host.git(&b.bare, ["update-ref", "refs/heads/main", &old]);
    b.m.share(&content).ok();
    assert!(b.shared("raw.jsonl").starts_with("version "));
}

#[test]
fn a_pointer_is_carried_over_if_the_remote_has_its_content() {
    let b = Bench::new();
    let raw = transcript(100);
    b.lfs.put(&raw);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", oid(&raw), raw.len());
    let content = b.m.session(&[("raw.jsonl", pointer.as_bytes())]);
    let done = b.m.share(&content).ok();
    assert_eq!(done["stored"]["raw.jsonl"], json!({ "oid": oid(&raw), "size": raw.len(), "storage": "lfs" }));
    assert_eq!(b.lfs.count(Step::Put), 0);
    assert_eq!(b.shared("raw.jsonl"), pointer.trim_end());
}

#[test]
fn what_lay_in_a_pointers_place_is_kept() {
    let b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let dir = b.m.ledger.join("sessions").join(NAME);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("raw.jsonl"), "the only copy of something\n").unwrap();
    b.m.share(&content).ok();
    let state = b.m.env.data().join("sageox/local/state");
    let kept = crate::support::census::files(&state, &|p| p.to_string_lossy().ends_with("-raw.jsonl"));
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "the only copy of something\n");
}

#[test]
fn another_machine_fetches_what_was_shared() {
    let b = Bench::new();
    let (raw, md) = (transcript(50_000), b"# A session\n".to_vec());
    let done = b.m.share(&b.m.session(&[("raw.jsonl", &raw), ("session.md", &md)])).ok();
    let other = b.other();
    let into = other.env.work().join("in");
    let fetch = |wanted: &Value| other.run(json!({ "op": "fetch", "wanted": wanted, "into": into }));
    fetch(&done["stored"]).ok();
    assert_eq!(
        (fs::read(into.join("raw.jsonl")).unwrap(), fs::read(into.join("session.md")).unwrap()),
        (raw.clone(), md)
    );
    let gets = b.lfs.count(Step::Get);
    fetch(&done["stored"]).ok();
    assert_eq!(b.lfs.count(Step::Get), gets, "it is here already");
    let (class, text) = fetch(&json!({ "../x": done["stored"]["raw.jsonl"] })).err();
    assert_eq!((class.as_str(), text.as_str()), ("usage", "that is no name of a session's file"));
    let here = json!({ "plan.md": { "oid": oid(b"x"), "size": 1, "storage": "local" } });
    assert!(fetch(&here).err().1.contains("only on the machine that recorded it"));
    b.lfs.lose(&oid(&raw));
    fs::remove_file(into.join("raw.jsonl")).unwrap();
    assert!(fetch(&done["stored"]).err().1.ends_with("raw.jsonl: the server does not have it"));
}

#[test]
fn another_machine_copies_what_git_keeps() {
    let b = Bench::without_lfs();
    let raw = transcript(1000);
    let done = b.m.share(&b.m.session(&[("raw.jsonl", &raw)])).ok();
    let other = b.other();
    let into = other.env.work().join("in");
    other.run(json!({ "op": "fetch", "wanted": done["stored"], "into": into })).ok();
    assert_eq!(fs::read(into.join("raw.jsonl")).unwrap(), raw);
    let mut wrong = done["stored"].clone();
    wrong["raw.jsonl"]["oid"] = json!(oid(b"x"));
    let (class, text) = other.run(json!({ "op": "fetch", "wanted": wrong, "into": into })).err();
    assert_eq!(class, "usage");
    assert!(text.contains("has no content with the id"), "{text}");
}
