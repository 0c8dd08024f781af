//! Following a transcript on real files: once, in order, whoever is ended when.

use proptest::prelude::*;
use serde_json::json;

use super::super::{raw, recording};
use super::*;

struct Bench {
    dir: tempfile::TempDir,
    redactor: Redactor,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Recording)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-03-12T09:00:00Z".parse().unwrap();
        let mut recording = Recording::new("OxTndR", now);
        recording.adapter_name = "claude-code".into();
        recording.session_file = dir.path().join("t.jsonl").to_string_lossy().into_owned();
        change(&mut recording);
        recording.create(dir.path()).unwrap();
        fs::write(dir.path().join("t.jsonl"), "").unwrap();
        Bench { dir, redactor: Redactor::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("t.jsonl")
    }

    fn follower(&self) -> Follower {
        Follower::open(self.dir.path(), |_| vec![self.dir.path().to_owned()]).unwrap()
    }

    fn drain(&self, follower: &mut Follower) -> u64 {
        follower.drain(&Header::default(), &self.redactor).unwrap().entries
    }

    fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        raw::read(&self.dir.path().join(raw::FILE), &mut |line| {
            if let raw::Line::Entry(entry) = line {
                told.push(entry.content);
            }
        })
        .unwrap();
        told
    }
}

/// A person's words, as Claude Code writes them.
fn said(n: usize) -> String {
    json!({
        "type": "user", "uuid": format!("u{n}"), "sessionId": "s", "timestamp": "2026-03-12T09:01:00Z", "cwd": "/p",
        "version": "2.1.332", "message": { "role": "user", "content": format!("word {n}") },
    })
    .to_string()
        + "\n"
}

/// An answer of the model, as Claude Code writes it: first as far as it had come, then whole.
fn answered(n: usize) -> String {
    let record = |part: usize, output: usize| {
        json!({
            "type": "assistant", "uuid": format!("a{n}-{part}"), "sessionId": "s", "timestamp": "2026-03-12T09:01:00Z",
            "cwd": "/p", "gitBranch": "main", "version": "2.1.332",
            "message": {
                "role": "assistant", "id": format!("m{n}"), "model": "claude-opus-5-5", "content": [],
                "usage": { "input_tokens": 10, "output_tokens": output },
            },
        })
        .to_string()
            + "\n"
    };
    record(0, 1) + &record(1, n + 2)
}

/// What `usage.jsonl` holds, a key and its output a line.
fn spent(b: &Bench) -> Vec<(String, u64)> {
    let text = fs::read_to_string(b.dir.path().join(usage::FILE)).unwrap_or_default();
    let line = |line: &str| {
        let line: usage::Line = serde_json::from_str(line).unwrap();
        assert_eq!((&*line.branch, &*line.session, &*line.model), ("main", "s", "claude-opus-5-5"));
        (line.answer, line.counts.output)
    };
    text.lines().map(line).collect()
}

fn served(n: std::ops::Range<usize>) -> Vec<(String, u64)> {
    let key = |n| format!("{:016x}", usage::Key::new("claude-code", &format!("m{n}")).0);
    n.flat_map(|n| [(key(n), 1), (key(n), n as u64 + 2)]).collect()
}

fn words(n: std::ops::Range<usize>) -> Vec<String> {
    n.map(|n| format!("word {n}")).collect()
}

#[test]
fn what_comes_is_taken_over_and_what_was_there_before_is_not() {
    let before = said(0) + &said(1);
    let b = Bench::new(|r| r.start_offset = before.len() as u64);
    fs::write(b.path(), &before).unwrap();
    let mut follower = b.follower();
    assert_eq!(b.drain(&mut follower), 0);
    assert!(follower.is_level());
    fs::write(b.path(), before + &said(2) + &said(3)[..20]).unwrap();
    assert!(!follower.is_level());
    assert_eq!(b.drain(&mut follower), 1);
    assert_eq!(b.told(), words(2..3));
    assert_eq!(follower.thread().cwd, "/p");
    follower.note(1).unwrap();
    let State::Some(recording) = Recording::load(b.dir.path()) else { panic!("a recording") };
    assert_eq!(recording.entry_count, 1);
}

#[test]
fn what_sub_agents_spent_stands_there_once_whoever_is_ended_when() {
    let b = Bench::new(|_| ());
    fs::write(b.path(), said(1) + &answered(1)).unwrap();
    b.drain(&mut b.follower());
    let (dir, key) = (b.dir.path(), usage::Key::new("claude-code", "h1").0);
    let helper = usage::Line {
        program: "claude-code".into(),
        answer: format!("{key:016x}"),
        model: "claude-opus-5-5".into(),
        thread: "h".into(),
        session: "s".into(),
        branch: "main".into(),
        counts: usage::Counts { output: 5, ..usage::Counts::default() },
        ..usage::Line::default()
    };
    let name = crate::sessions::Name::parse("2026-03-12T11-09-dana-OxTndR").unwrap();
    let end = crate::sessions::Ending { name: &name, title: "", reason: "stopped", native: "s" };
    let begun = fs::read(dir.join(recording::FILE)).unwrap();
    let mut expected = served(1..2);
    expected.push((helper.answer.clone(), 5));
    // Ended behind the addition, or when how far the transcript was taken over is forgotten, too.
    for is_forgotten in [false, true] {
        usage::add(dir, std::slice::from_ref(&helper), &b.redactor).unwrap();
        assert_eq!(spent(&b), expected);
        if is_forgotten {
            forget(dir).unwrap();
        }
        b.drain(&mut b.follower());
        assert_eq!(spent(&b), served(1..2), "what is not the transcript's is added again");
        let spent_by = [helper.clone(), helper.clone()];
        crate::sessions::close(dir, &Header::default(), &end, &spent_by, &b.redactor, Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(spent(&b), expected);
        fs::write(dir.join(recording::FILE), &begun).unwrap();
    }
}

#[test]
fn what_answers_cost_stands_beside_for_who_has_no_transcript() {
    use std::os::unix::fs::PermissionsExt as _;
    let before = answered(0);
    let b = Bench::new(|r| r.start_offset = before.len() as u64);
    fs::write(b.path(), before.clone() + &said(0)).unwrap();
    let mut follower = b.follower();
    b.drain(&mut follower);
    let file = b.dir.path().join(usage::FILE);
    assert!(!file.exists(), "nothing was spent yet");
    fs::write(b.path(), before + &said(0) + &answered(1)).unwrap();
    b.drain(&mut follower);
    assert_eq!(spent(&b), served(1..2));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn two_that_follow_the_same_do_not_double_anything() {
    let b = Bench::new(|_| ());
    let (mut one, mut two) = (b.follower(), b.follower());
    let mut text = String::new();
    for n in 0..20 {
        text += &said(n);
        text += &answered(n);
        fs::write(b.path(), &text).unwrap();
        b.drain(if n % 3 == 0 { &mut one } else { &mut two });
    }
    b.drain(&mut one);
    b.drain(&mut two);
    assert_eq!(b.told(), words(0..20));
    assert_eq!(spent(&b), served(0..20));
}

#[test]
fn what_cannot_be_read_now_is_read_later() {
    let b = Bench::new(|_| ());
    let mut follower = b.follower();
    fs::write(b.path(), said(0)).unwrap();
    b.drain(&mut follower);
    fs::rename(b.path(), b.path().with_extension("away")).unwrap();
    // A directory in the place of what is appended to.
    let raw = b.dir.path().join(raw::FILE);
    fs::rename(&raw, raw.with_extension("away")).unwrap();
    fs::create_dir(&raw).unwrap();
    assert!(follower.step(&Header::default(), &b.redactor).is_err());
    fs::remove_dir(&raw).unwrap();
    fs::rename(raw.with_extension("away"), &raw).unwrap();
    fs::rename(b.path().with_extension("away"), b.path()).unwrap();
    fs::write(b.path(), said(0) + &said(1)).unwrap();
    assert_eq!(b.drain(&mut follower), 1);
    assert_eq!(b.told(), words(0..2));
}

#[test]
fn a_recording_that_cannot_be_followed_says_why() {
    let no = |change: fn(&mut Recording), expected: &str| {
        let b = Bench::new(change);
        let opened = Follower::open(b.dir.path(), |_| vec![b.dir.path().to_owned()]);
        assert_eq!(opened.unwrap_err().to_string(), expected);
    };
    no(|r| r.session_file.clear(), "the agent's transcript is not known yet");
    no(|r| r.adapter_name = "vim".into(), "no transcript of vim can be read");
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Follower::open(dir.path(), |_| Vec::new()), Err(FollowError::NotRecording)));
    let b = Bench::new(|_| ());
    let elsewhere = Follower::open(b.dir.path(), |_| vec![dir.path().to_owned()]);
    assert!(matches!(elsewhere, Err(FollowError::Elsewhere { .. })), "sec-02");
}

#[test]
fn who_follows_a_session_that_has_ended_leaves_nothing_there() {
    let b = Bench::new(|_| ());
    let mut follower = b.follower();
    fs::write(b.path(), said(0)).unwrap();
    b.drain(&mut follower);
    // Finished between the look and the lock.
    Recording::remove(b.dir.path()).unwrap();
    assert!(matches!(follower.locked(), Err(FollowError::NotRecording)));
    assert!(!b.dir.path().join("raw.jsonl.lock").exists());
    // Thrown away: its directory stays away.
    fs::remove_dir_all(b.dir.path()).unwrap();
    assert!(matches!(follower.locked(), Err(FollowError::NotRecording)));
    follower.note(0).unwrap();
    assert!(!b.dir.path().exists());
}

proptest! {
    /// Killed between any two of its writes, and gone on with by another process: every whole line once.
    #[test]
    fn agt_11_every_line_is_taken_over_once_whoever_is_ended_when(
        steps in prop::collection::vec((0_usize..4, 0_u8..4, 0_usize..400), 1..12),
    ) {
        let b = Bench::new(|_| ());
        let mut text = String::new();
        let mut n = 0;
        let mut follower = b.follower();
        for (more, end, cut) in steps {
            for _ in 0..more {
                text += &said(n);
                text += &answered(n);
                n += 1;
            }
            fs::write(b.path(), &text).unwrap();
            let noted = fs::read(b.dir.path().join(FILE)).ok();
            b.drain(&mut follower);
            let raw = b.dir.path().join(raw::FILE);
            match end {
                // Before it was noted how far it was.
                0 => match &noted {
                    Some(noted) => fs::write(b.dir.path().join(FILE), noted).unwrap(),
                    None => forget(b.dir.path()).unwrap(),
                },
                // In the middle of writing, and so before that too.
                1 => {
                    match &noted {
                        Some(noted) => fs::write(b.dir.path().join(FILE), noted).unwrap(),
                        None => forget(b.dir.path()).unwrap(),
                    }
                    let whole = fs::read(&raw).unwrap();
                    let kept = noted.as_ref().map_or(0, |noted| {
                        let saved: Saved = serde_json::from_slice(noted).unwrap_or_default();
                        usize::try_from(saved.raw_size).unwrap()
                    });
                    fs::write(&raw, &whole[..whole.len().saturating_sub(cut).max(kept)]).unwrap();
                    let costs = b.dir.path().join(usage::FILE);
                    let whole = fs::read(&costs).unwrap_or_default();
                    let kept = noted.as_ref().map_or(0, |noted| {
                        let saved: Saved = serde_json::from_slice(noted).unwrap_or_default();
                        usize::try_from(saved.usage_size).unwrap()
                    });
                    fs::write(costs, &whole[..whole.len().saturating_sub(cut).max(kept)]).unwrap();
                }
                // The note is damaged.
                2 => fs::write(b.dir.path().join(FILE), "{").unwrap(),
                _ => {}
            }
            if end < 3 {
                follower = b.follower();
            }
        }
        b.drain(&mut follower);
        prop_assert_eq!(b.told(), words(0..n));
        prop_assert_eq!(spent(&b), served(0..n));
    }
}
