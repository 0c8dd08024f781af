//! `ox session archive`: kept, shown, brought back; and what a kill at any moment leaves.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ox::kit::rng::Rng;
use serde_json::{Value, json};

use crate::cli::machine;
use crate::support::{TestEnv, seed, until};

const SESSION: &str = "480c51bb-1fb3-4273-a2e6-d30017c937f5";

/// Where Claude Code keeps the transcripts of a directory.
fn claude_dir(env: &TestEnv, repo: &Path) -> PathBuf {
    let slug = repo.to_str().unwrap().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    env.home().join(".claude/projects").join(slug)
}

/// A session of Claude Code: a prompt, an answer and a call that failed, so often.
fn transcript(repo: &Path, session: &str, turns: std::ops::Range<usize>) -> String {
    let record = |kind: &str, id: String, message: Value| {
        json!({
            "type": kind, "uuid": id, "sessionId": session, "timestamp": "2026-03-12T09:01:00Z", "cwd": repo,
            "version": "2.1.332", "message": message,
        })
        .to_string()
            + "\n"
    };
    let turn = |n: usize| {
        let said = json!({ "role": "user", "content": format!("do {n}") });
        let text = json!([{ "type": "text", "text": format!("done {n}") }]);
        let answer = json!({ "role": "assistant", "id": format!("m{n}"), "model": "claude-opus-5-5", "content": text });
        record("user", format!("u{n}"), said) + &record("assistant", format!("a{n}"), answer)
    };
    turns.map(turn).collect()
}

/// A project in which Claude Code has worked, and its transcript.
fn worked() -> (TestEnv, PathBuf, PathBuf) {
    let (env, repo) = machine();
    let dir = claude_dir(&env, &repo);
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join(format!("{SESSION}.jsonl"));
    fs::write(&file, transcript(&repo, SESSION, 0..3)).unwrap();
    (env, repo, file)
}

#[test]
fn a_session_that_its_program_has_deleted_is_listed_viewed_exported_and_brought_back() {
    let (env, repo, file) = worked();
    let status = env.ox_in(&repo, ["session", "archive", "status"]).ok().stdout;
    assert!(status.contains("archive") && status.contains("off") && status.contains(SESSION), "{status}");
    let on = env.ox_in(&repo, ["session", "archive", "on"]).ok();
    assert!(on.stderr.contains("1 session can be copied now"), "{on:?}");
    assert!(on.stderr.contains("next: ox session archive run"), "{on:?}");
    let before = fs::read(&file).unwrap();
    let run = env.ox_in(&repo, ["session", "archive", "run"]).ok();
    assert!(run.stdout.contains("do 0") && run.stdout.contains("copied 1 file"), "{run:?}");
    fs::remove_dir_all(env.home().join(".claude")).unwrap();
    let list = env.ox_in(&repo, ["session", "list", "--all", "--json"]).ok().json();
    let row = &list["sessions"][0];
    assert_eq!((&row["status"], &row["session_name"]), (&"archived".into(), &SESSION.into()), "{list}");
    assert_eq!((&row["title"], &row["agent_type"]), (&"do 0".into(), &"claude-code".into()));
    let found = env.ox_in(&repo, ["session", "search", "done 1", "--json"]).ok().json();
    assert_eq!(found["sessions"][0]["session_name"], SESSION, "{found}");
    assert_eq!(found["sessions"][0]["excerpts"][0]["text"], "done 1", "{found}");
    let view = env.ox_in(&repo, ["session", "view", "480c51bb", "--json"]).ok().json();
    let said: Vec<&str> =
        view["entries"].as_array().unwrap().iter().map(|entry| entry["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["do 0", "done 0", "do 1", "done 1", "do 2", "done 2"]);
    let shown = env.ox_in(&repo, ["session", "view", SESSION, "--last", "1"]).ok().stdout;
    assert!(shown.contains("done 2") && !shown.contains("do 1"), "{shown}");
    let page = env.ox_in(&repo, ["session", "export", SESSION, "-o", "-"]).ok().stdout;
    assert!(page.starts_with("# do 0"), "{page}");
    let back = env.ox_in(&repo, ["session", "archive", "restore", "480c51bb", "-o", "-"]).ok().stdout;
    assert!(back.as_bytes() == before);
    let wrote = env.ox_in(&repo, ["session", "archive", "restore", SESSION, "--json"]).ok().json();
    assert!(fs::read(repo.join(format!("{SESSION}.jsonl"))).unwrap() == before, "{wrote}");
    let again = env.ox_in(&repo, ["session", "archive", "restore", SESSION]).fails(2);
    assert!(again.stderr.contains("--force"), "{again:?}");
    let none = env.ox_in(&repo, ["session", "archive", "restore", "nobody"]).fails(2);
    assert!(none.stderr.contains("no such transcript in the archive: nobody"), "{none:?}");
    let status = env.ox_in(&repo, ["session", "archive", "status", "--json"]).ok().json();
    assert_eq!((&status["archive"], &status["sessions"]), (&true.into(), &1.into()), "{status}");
    assert_eq!((&status["raw_bytes"], &status["lost_next"]), (&before.len().into(), &json!([])), "{status}");
    env.ox_in(&repo, ["session", "archive", "off"]).ok();
    let config = env.ox_in(&repo, ["config", "get", "sessions.archive"]).ok().stdout;
    assert_eq!(config.trim(), "off");
    env.stop_daemon();
}

#[test]
fn sessions_of_a_linked_work_tree_are_the_projects() {
    let (env, repo, _) = worked();
    let linked = env.root().join("linked");
    env.git(&repo, ["worktree", "add", "-q", linked.to_str().unwrap()]);
    let dir = claude_dir(&env, &linked);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("s2.jsonl"), transcript(&linked, "s2", 0..1)).unwrap();
    let run = env.ox_in(&repo, ["session", "archive", "run", "--json"]).ok().json();
    assert_eq!(run["copied"].as_array().unwrap().len(), 2, "{run}");
    env.stop_daemon();
}

#[test]
fn up_offers_to_keep_what_agents_have_left_until_the_user_has_said() {
    let (env, repo, file) = worked();
    let hint = "ox session archive on keeps copies";
    let up = env.ox_in(&repo, ["up"]).ok();
    assert!(up.stderr.contains("agents have left 1 session") && up.stderr.contains(hint), "{up:?}");
    env.ox_in(&repo, ["session", "archive", "off"]).ok();
    assert!(!env.ox_in(&repo, ["up"]).ok().stderr.contains(hint));
    env.ox_in(&repo, ["config", "unset", "sessions.archive"]).ok();
    fs::remove_file(file).unwrap();
    assert!(!env.ox_in(&repo, ["up"]).ok().stderr.contains(hint), "there is nothing to keep");
    env.stop_daemon();
}

#[test]
fn the_daemon_keeps_what_is_due_once_it_is_told_to() {
    let (env, repo, file) = worked();
    // Long before half of the time for which Claude Code keeps it.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_770_000_000);
    fs::File::options().append(true).open(&file).unwrap().set_modified(old).unwrap();
    let young = file.with_file_name("s2.jsonl");
    fs::write(young, transcript(&repo, "s2", 0..1)).unwrap();
    env.ox_in(&repo, ["session", "archive", "on"]).ok();
    env.ox_in(&repo, ["up"]).ok();
    let kept = || env.ox_in(&repo, ["session", "archive", "status", "--json"]).ok().json();
    until(|| kept()["sessions"] == 1);
    assert_eq!(kept()["lost_next"][0]["name"], "s2");
    env.stop_daemon();
}

#[test]
fn a_run_that_is_killed_at_any_moment_loses_nothing_and_keeps_nothing_twice() {
    let test =
        "cli::session_archive::a_run_that_is_killed_at_any_moment_loses_nothing_and_keeps_nothing_twice";
    seed::with(test, seed::fresh(), killed);
}

fn killed(seed: u64) {
    let (env, repo, file) = worked();
    let dir = file.parent().unwrap();
    let mut rng = Rng::new(seed);
    let archive = env.ox_in(&repo, ["session", "archive", "status", "--json"]).ok().json();
    let archive = PathBuf::from(archive["path"].as_str().unwrap());
    // What has no pattern takes its room also when it is compressed.
    let filler: String = (0..20_000).map(|_| format!("{:016x}", rng.next_u64())).collect();
    let size = || {
        let files = fs::read_dir(&archive).into_iter().flatten().filter_map(Result::ok);
        files.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.size()).sum::<u64>()
    };
    let mut names = Vec::new();
    for round in 0..seed::rounds(6, 100) {
        for n in 0..5 {
            let name = format!("s{round}-{n}");
            let text =
                transcript(&repo, &name, 0..20).replace("done", &filler[..rng.below(100_000) as usize]);
            fs::write(dir.join(format!("{name}.jsonl")), text).unwrap();
            names.push(name);
        }
        let grown = dir.join(format!("{}.jsonl", names[rng.below(names.len() as u64) as usize]));
        let more = fs::read_to_string(&grown).unwrap().repeat(2);
        fs::write(&grown, more).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ox"));
        command.args(["session", "archive", "run"]).env_clear().envs(env.vars()).current_dir(&repo);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let before = size();
        let mut child = command.spawn().unwrap();
        let written = rng.below(1_500_000);
        until(|| size() >= before + written || child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
    }
    env.ox_in(&repo, ["session", "archive", "run"]).ok();
    for name in &names {
        let back =
            env.ox_in(&repo, ["session", "archive", "restore", name, "-o", "-", "--force"]).ok().stdout;
        assert!(back == fs::read_to_string(dir.join(format!("{name}.jsonl"))).unwrap(), "{name}");
    }
    // What is there is known, and nothing else lies there.
    let status = env.ox_in(&repo, ["session", "archive", "status", "--json"]).ok().json();
    let frames: u64 = fs::read_dir(&archive)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name().to_str().unwrap().ends_with(".zst"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!((&status["bytes"], &status["pending_files"]), (&frames.into(), &0.into()), "{status}");
    let run = env.ox_in(&repo, ["session", "archive", "run", "--json"]).ok().json();
    assert_eq!((&run["copied"], &run["added_bytes"]), (&json!([]), &0.into()), "{run}");
    env.stop_daemon();
}

#[test]
fn a_large_transcript_is_kept_in_little_memory() {
    const MEMORY: u64 = 64 << 20;
    let size = seed::rounds(24_usize, 500) << 20;
    let (env, repo, file) = worked();
    let turn = transcript(&repo, SESSION, 0..50);
    {
        use std::io::Write as _;
        let mut file = std::io::BufWriter::new(fs::File::create(&file).unwrap());
        (0..size / turn.len()).for_each(|_| file.write_all(turn.as_bytes()).unwrap());
        // And a line of 24 MiB.
        let line = transcript(&repo, SESSION, 0..1).replace("do 0", &"x ".repeat(12 << 20));
        file.write_all(line.as_bytes()).unwrap();
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ox"));
    command.args(["session", "archive", "run"]).env_clear().envs(env.vars()).current_dir(&repo);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = until_some(|| {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let anonymous =
            text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        most = most.max(anonymous.map_or(0, |kb| kb.trim().parse::<u64>().unwrap() * 1024));
        child.try_wait().unwrap()
    });
    assert!(ended.success());
    println!("{} MiB for {} MiB", most >> 20, size >> 20);
    assert!(most > 0 && most <= MEMORY, "{most}");
    env.stop_daemon();
}

/// Asks until there is an answer.
fn until_some<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let mut answer = None;
    until(|| {
        answer = ask();
        answer.is_some()
    });
    answer.unwrap()
}
