//! What is kept, of whom, and what it comes back as.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use ox::sessions::archive::{How, Unclear, Which};
use serde_json::Value;

use super::{CLAUDE, CODEX, PROJECT, Scene, claude, codex, fixture, token};

/// Transcripts that the real programs wrote, laid where they keep them. Each by its name in the archive.
fn laid(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut put = |path: String, name: &str, bytes: Vec<u8>| {
        scene.put(&path, &bytes, 20);
        all.push((name.to_owned(), bytes));
    };
    for (fixture_name, session) in [
        ("claude-1.0.128-parent", "dd5cb5ab-a3ac-420d-bae1-b66334beb39f"),
        ("claude-1.0.128-session", "8b8d9571-c560-4123-b53e-4135eb4de298"),
        ("claude-2.1.332-fork", "b3edfa90-16b8-45e3-b0d3-db0a4bfd6124"),
        ("claude-2.1.332-image", "8d56d8da-082a-40c9-bdb0-1061a3ce98e1"),
        ("claude-2.1.332-parent", "8c25c95e-cc19-45b8-be76-a7277db070f8"),
        ("claude-2.1.332-pieces", "b1b61cd7-71ac-4bcc-bf76-fbe5573d2abf"),
        ("claude-2.1.332-session", "480c51bb-1fb3-4273-a2e6-d30017c937f5"),
    ] {
        let bytes = fixture(&format!("{fixture_name}.jsonl"));
        put(format!("{CLAUDE}/{session}.jsonl"), session, bytes);
    }
    let parent = "8c25c95e-cc19-45b8-be76-a7277db070f8";
    for (file, bytes) in [
        ("subagents/agent-1.jsonl", fixture("claude-2.1.332-subagent.jsonl")),
        ("subagents/agent-1.meta.json", b"{ \"agentType\": \"general-purpose\" }\n".to_vec()),
        ("tool-results/r.txt", b"a result that was too large\nand has no last newline".to_vec()),
    ] {
        let name = format!("{parent}/{}", file.strip_suffix(".jsonl").unwrap_or(file));
        put(format!("{CLAUDE}/{parent}/{file}"), &name, bytes);
    }
    for name in [
        "codex-0.171.0-compaction",
        "codex-0.171.0-fork",
        "codex-0.171.0-image",
        "codex-0.171.0-parent",
        "codex-0.171.0-session",
        "codex-0.171.0-subagent",
        "codex-0.63.0-image",
        "codex-0.63.0-session",
    ] {
        let rollout = format!("rollout-2026-11-30T09-00-00-{name}");
        put(format!("{CODEX}/{rollout}.jsonl"), &rollout, fixture(&format!("{name}.jsonl")));
    }
    let chats = ".gemini/tmp/project/chats";
    for (path, name, from) in [
        (
            "session-2026-11-30T08-51-aaaaaaaa.jsonl",
            "session-2026-11-30T08-51-aaaaaaaa",
            "gemini-0.61.0-resumed.jsonl",
        ),
        (
            "session-2026-11-30T08-52-48fe85c7.jsonl",
            "session-2026-11-30T08-52-48fe85c7",
            "gemini-0.61.0-parent.jsonl",
        ),
        ("48fe85c7-2350/sub.jsonl", "48fe85c7-2350/sub", "gemini-0.61.0-subagent.jsonl"),
        (
            "session-2025-10-01T08-00-0f0e0d0c.json",
            "session-2025-10-01T08-00-0f0e0d0c.json",
            "gemini-older.json",
        ),
    ] {
        put(format!("{chats}/{path}"), name, fixture(from));
    }
    scene.put(".gemini/tmp/project/.project_root", PROJECT.as_bytes(), 20);
    all
}

/// The programs' own clean-up, as they say they do it: all is gone 31 days later.
fn deletes_all(scene: &Scene) {
    [".claude/projects", ".codex/sessions", ".gemini/tmp"].iter().for_each(|dir| scene.remove(dir));
}

#[test]
fn after_31_days_no_session_is_lost_and_every_byte_comes_back() {
    let mut scene = Scene::new();
    let all = laid(&scene);
    let done = scene.run();
    assert_eq!((done.left, done.found.total(), done.more), (vec![], 0, false));
    assert_eq!(done.copied.len(), all.len());
    assert!(done.copied.iter().all(|copied| copied.how == How::New));
    let raw: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(done.added, raw as u64);
    scene.now = scene.now.checked_add(SignedDuration::from_hours(31 * 24)).unwrap();
    deletes_all(&scene);
    let done = scene.run();
    assert_eq!((done.copied, done.opened, done.left_count), (vec![], 0, 0));
    for (name, bytes) in &all {
        assert!(scene.bytes_of(name) == *bytes, "{name}");
    }
    let sums = scene.archive.sums().unwrap();
    assert_eq!((sums.sessions, sums.files, sums.raw), (18, all.len() as u64, raw as u64));
    assert!(sums.length < sums.raw / 2, "{sums:?}");
    // They are known by what the programs call them, too.
    let by_session = scene.archive.find("480c51bb-1fb3-4273-a2e6-d30017c937f5").unwrap().unwrap();
    assert_eq!(by_session.session, by_session.name);
    assert_eq!(scene.archive.find("480c51bb").unwrap().unwrap(), by_session);
    assert!(!by_session.title.is_empty(), "{by_session:?}");
    assert_eq!(scene.archive.find("480").unwrap(), Err(Unclear::None));
}

#[test]
fn nobody_else_can_read_it() {
    let scene = Scene::new();
    scene.put(&format!("{CLAUDE}/s1.jsonl"), &claude("s1", 0..1), 20);
    scene.run();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(scene.archive.dir()), 0o700);
    for entry in fs::read_dir(scene.archive.dir()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert!(scene.archive.dir().ends_with("local/archive/repo_1"));
}

#[test]
fn secrets_are_taken_out_and_all_else_stays() {
    let scene = Scene::new();
    let plain = claude("s1", 0..3);
    let secret =
        String::from_utf8(claude("s1", 3..5)).unwrap().replace("prompt 4", &format!("use {}", token()));
    let last = claude("s1", 5..6);
    let text = [&plain[..], secret.as_bytes(), &last].concat();
    scene.put(&format!("{CLAUDE}/s1.jsonl"), &text, 20);
    let result = format!("no JSON\nTOKEN={}\nmore\n", token());
    scene.put(&format!("{CLAUDE}/s1/tool-results/r.txt"), result.as_bytes(), 20);
    let done = scene.run();
    assert_eq!(done.found.total(), 2);
    let mut expected = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let mut value: Value = serde_json::from_slice(line).unwrap();
        if scene.redactor.redact_json(&mut value).is_empty() {
            expected.extend_from_slice(line);
        } else {
            expected.extend_from_slice(value.to_string().as_bytes());
            expected.push(b'\n');
        }
    }
    let kept = scene.bytes_of("s1");
    assert!(kept == expected, "{}", String::from_utf8_lossy(&kept));
    assert!(kept.starts_with(&plain) && kept.ends_with(&last));
    assert_eq!(scene.bytes_of("s1/tool-results/r.txt"), scene.redactor.redact(&result).as_bytes());
    for entry in fs::read_dir(scene.archive.dir()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|e| e == "zst") {
            bytes = zstd::decode_all(&bytes[..]).unwrap();
        }
        assert!(memchr::memmem::find(&bytes, token().as_bytes()).is_none(), "{}", path.display());
    }
}

#[test]
fn what_is_another_projects_is_left_and_opened_once() {
    let mut scene = Scene::new();
    scene.put(&format!("{CODEX}/rollout-1-a.jsonl"), &codex("a", "/home/user/project/sub", 1), 20);
    scene.put(&format!("{CODEX}/rollout-1-b.jsonl"), &codex("b", "/home/user/project-b", 1), 20);
    scene.put(&format!("{CODEX}/rollout-1-c.jsonl"), &codex("c", "/home/user", 1), 20);
    scene.put(&format!("{CODEX}/rollout-1-d.jsonl"), b"{\"record_type\":\"state\"}\n", 20);
    // The same name in Claude Code's directories, of another directory.
    let other = String::from_utf8(claude("s2", 0..1)).unwrap().replace(PROJECT, "/home/user-project");
    scene.put(&format!("{CLAUDE}/s2.jsonl"), other.as_bytes(), 20);
    scene.put(&format!("{CLAUDE}/s2/tool-results/r.txt"), b"x", 20);
    let done = scene.run();
    let names: Vec<&str> = done.copied.iter().map(|copied| copied.name.as_str()).collect();
    assert_eq!(names, ["rollout-1-a"]);
    assert_eq!(scene.archive.sums().unwrap().unclear, 1);
    assert_eq!(scene.run().opened, 0);
    // A work tree of the project is made where one of them worked; and goes again.
    let linked = scene.home().join("linked");
    fs::create_dir_all(&linked).unwrap();
    scene.put(&format!("{CODEX}/rollout-1-e.jsonl"), &codex("e", linked.to_str().unwrap(), 1), 20);
    assert!(scene.run().copied.is_empty());
    scene.trees.push(linked.clone());
    assert_eq!(scene.ran().into_keys().collect::<Vec<_>>(), ["rollout-1-e"]);
    fs::remove_dir(&linked).unwrap();
    scene.trees.pop();
    scene.put(&format!("{CODEX}/rollout-1-f.jsonl"), &codex("f", linked.to_str().unwrap(), 1), 20);
    assert_eq!(scene.ran().into_keys().collect::<Vec<_>>(), ["rollout-1-f"]);
    // Somebody else's directory is there now.
    fs::create_dir_all(&linked).unwrap();
    scene.put(&format!("{CODEX}/rollout-1-g.jsonl"), &codex("g", linked.to_str().unwrap(), 1), 20);
    assert!(scene.run().copied.is_empty());
}

#[test]
fn no_link_leads_out() {
    let scene = Scene::new();
    let out = scene.home().join("out");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("s1.jsonl"), claude("s1", 0..1)).unwrap();
    fs::create_dir_all(scene.home().join(CLAUDE)).unwrap();
    fs::create_dir_all(scene.home().join(CODEX)).unwrap();
    symlink(out.join("s1.jsonl"), scene.home().join(CLAUDE).join("s1.jsonl")).unwrap();
    symlink(&out, scene.home().join(CLAUDE).join("s1")).unwrap();
    symlink(out.join("s1.jsonl"), scene.home().join(CODEX).join("rollout-1-s1.jsonl")).unwrap();
    let done = scene.run();
    assert_eq!((done.copied, done.opened), (vec![], 0));
    // Nor in the archive's own directory.
    scene.put(&format!("{CLAUDE}/s2.jsonl"), &claude("s2", 0..1), 20);
    let target: PathBuf = out.join("target");
    symlink(&target, scene.archive.dir().join("00000001.zst")).unwrap();
    assert!(scene.try_run(Which::All).is_err());
    assert!(!target.exists());
}

#[test]
fn what_is_due_has_passed_half_of_its_time_and_the_next_deadline_follows() {
    let mut scene = Scene::new();
    scene.put(&format!("{CLAUDE}/old.jsonl"), &claude("old", 0..1), 16);
    scene.put(&format!("{CLAUDE}/young.jsonl"), &claude("young", 0..1), 5);
    scene.put(&format!("{CODEX}/rollout-1-a.jsonl"), &codex("a", PROJECT, 1), 400);
    let day = |days: i64| scene.now.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
    let status = scene.status();
    let told: Vec<(&str, Timestamp)> = status.endangered.iter().map(|e| (e.name.as_str(), e.until)).collect();
    assert_eq!(told, [("old", day(14)), ("young", day(25))]);
    assert_eq!((status.sessions, status.files, status.sums.sessions), (3, 3, 0));
    let done = scene.try_run(Which::Due).unwrap();
    assert_eq!(done.copied.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_eq!((done.next, done.more), (Some(day(10)), false));
    let again = scene.try_run(Which::Due).unwrap();
    assert_eq!((again.copied, again.opened, again.next), (vec![], 0, Some(day(10))));
    assert_eq!(scene.status().endangered.len(), 1);
    scene.now = day(10);
    let done = scene.try_run(Which::Due).unwrap();
    assert_eq!(done.copied.len(), 1);
    // What is written from now on is due no sooner than after half of the shortest time.
    assert_eq!(done.next, scene.now.checked_add(SignedDuration::from_hours(24 * 15)).ok());
    scene.put(".claude/settings.json", b"{\"cleanupPeriodDays\":2}", 0);
    let done = scene.try_run(Which::Due).unwrap();
    assert_eq!(done.next, scene.now.checked_add(SignedDuration::from_hours(24)).ok());
    assert!(scene.status().endangered.is_empty());
}
