//! What cannot be shared says why, by class, and leaves everything as it was.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::share::bench::{Bench, Ended, NAME, transcript};
use crate::support::lfs::{Step, Trick, oid};

/// Fails with this class and these words, and nothing has come to the remote or into the clone's history.
#[track_caller]
fn refused(b: &Bench, before: &str, ended: Ended, class: &str, words: &str) {
    let (found, text) = ended.err();
    assert_eq!(found, class, "{text}");
    assert!(text.contains(words), "{text}");
    assert_eq!((b.tip().as_str(), b.m.head().as_str()), (before, before));
}

#[test]
fn while_lfs_is_down_nothing_is_committed_and_no_content_goes_to_git() {
    let b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let before = b.tip();
    b.lfs.absent(Some(503));
    refused(&b, &before, b.m.share(&content), "network", "status 503");
    b.lfs.absent(Some(401));
    refused(&b, &before, b.m.share(&content), "auth", "status 401");
    b.lfs.absent(None);
    b.lfs.trick(Step::Put, Trick::Lose);
    refused(&b, &before, b.m.share(&content), "network", "does not give out what was sent to it: raw.jsonl");
    b.lfs.trick(Step::Put, Trick::Status(413));
    refused(&b, &before, b.m.share(&content), "usage", "raw.jsonl: it is too large for the server");
    b.m.share(&content).ok();
}

#[test]
fn a_pointer_without_its_content_is_not_pushed() {
    let b = Bench::new();
    let before = b.tip();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n", oid(b"abc"));
    let content = b.m.session(&[("raw.jsonl", pointer.as_bytes()), ("session.md", b"# x\n")]);
    let words = "does not have what pointers of session 2026-03-13T11-09-bo-OxBBBB stand for: raw.jsonl";
    refused(&b, &before, b.m.share(&content), "usage", words);
    b.lfs.put(b"abcd");
    assert_eq!(b.lfs.count(Step::Put), 0);
    let content =
        b.m.session(&[("raw.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")]);
    refused(&b, &before, b.m.share(&content), "damage", "does not say which");
    let b = Bench::without_lfs();
    let before = b.tip();
    let content = b.m.session(&[("raw.jsonl", pointer.as_bytes())]);
    refused(&b, &before, b.m.share(&content), "usage", "has no Git LFS that could have it");
}

#[test]
fn syn_05_a_file_with_conflict_markers_is_never_committed() {
    let b = Bench::new();
    let before = b.tip();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let plain = json!({ "summary.json": "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n" });
    let ended = b.m.run(json!({ "op": "share", "content": content, "plain": plain }));
    refused(&b, &before, ended, "usage", "summary.json is not valid JSON");
}

#[test]
fn a_ledger_that_may_not_be_pushed_to_is_left_alone() {
    let b = Bench::new();
    let before = b.tip();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let ended = b.m.run(json!({ "op": "share", "content": content, "read_only": true }));
    refused(&b, &before, ended, "usage", "read-only");
    assert_eq!(b.lfs.seen().len(), 0);
}

#[test]
fn syn_06_a_push_that_is_refused_for_good_is_tried_once_a_call_and_makes_one_commit() {
    let b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    b.hook("echo x >> pushes; echo 'You are not allowed to push' >&2; exit 1");
    let before = b.tip();
    let (class, text) = b.m.share(&content).err();
    assert_ne!(class, "network", "{text}");
    assert_eq!(fs::read_to_string(b.bare.join("pushes")).unwrap(), "x\n");
    assert_eq!(b.tip(), before);
    assert!(content[0].exists());
    // The commit waits; the next calls make no other.
    let head = b.m.head();
    for _ in 0..3 {
        b.m.share(&content).err();
        assert_eq!(b.m.head(), head);
    }
    b.hook("exit 0");
    assert_eq!(b.m.share(&content).ok()["commit"], head.as_str());
}

#[test]
fn a_server_that_misses_contents_gets_them_once_more() {
    let b = Bench::new();
    let raw = transcript(3);
    let content = b.m.session(&[("raw.jsonl", &raw)]);
    b.hook("if [ -e seen ]; then exit 0; fi; touch seen; echo 'GitLab: LFS objects are missing. Ensure LFS is properly set up' >&2; exit 1");
    b.m.share(&content).ok();
    assert!(b.shared("raw.jsonl").starts_with("version "));
    assert_eq!(b.lfs.get(&oid(&raw)).unwrap(), raw);
    // It is no endless thing.
    let b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &raw)]);
    b.hook("echo x >> pushes; echo 'GitLab: LFS objects are missing.' >&2; exit 1");
    b.m.share(&content).err();
    assert_eq!(fs::read_to_string(b.bare.join("pushes")).unwrap(), "x\nx\n");
}

#[test]
fn offline_is_a_network_failure() {
    let mut b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let before = b.tip();
    b.server.down();
    refused(&b, &before, b.m.share(&content), "network", "connection refused");
    // Known to have LFS it is no other.
    b.server.up();
    b.m.share(&content).ok();
    b.server.down();
    assert_eq!(b.m.share(&content).err().0, "network");
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let b = Bench::new();
    let before = b.tip();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    let dir = content[0].parent().unwrap();
    symlink("/etc/passwd", dir.join("plan.md")).unwrap();
    refused(&b, &before, b.m.share(&[dir.join("plan.md")]), "disk", "plan.md");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.join("fifo.md"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    refused(&b, &before, b.m.share(&[dir.join("fifo.md")]), "usage", "not a regular file");
    for name in ["../x", "a/b", "", ".git", "-x", "a\nb"] {
        let ended = b.m.run(json!({ "op": "share", "content": content, "name": name }));
        refused(&b, &before, ended, "usage", "no name of a session");
    }
    for name in ["../x.json", ".gitattributes", "a/b.json"] {
        let plain = json!({ name: "{}" });
        let ended = b.m.run(json!({ "op": "share", "content": content, "plain": plain }));
        refused(&b, &before, ended, "usage", "no name of a session's file");
    }
    let outside = b.m.env.work().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(b.m.ledger.join("sessions")).unwrap();
    symlink(&outside, b.m.ledger.join("sessions").join(NAME)).unwrap();
    let (_, text) = b.m.share(&content).err();
    assert!(text.contains("raw.jsonl"), "{text}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(b.tip(), before);
}

#[test]
fn a_clone_that_is_not_there_says_what_to_do() {
    let b = Bench::new();
    let content = b.m.session(&[("raw.jsonl", &transcript(3))]);
    fs::rename(b.m.ledger.join(".git"), b.m.env.work().join("git")).unwrap();
    let (class, text) = b.m.share(&content).err();
    assert_eq!((class.as_str(), text.as_str()), ("usage", "the ledger is not on this machine yet; ox sync"));
}
