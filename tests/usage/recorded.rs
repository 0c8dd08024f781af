//! What a recording keeps of what was spent, for whoever has it in the ledger and not the transcripts.

use std::fs;
use std::path::{Path, PathBuf};

use ox::sessions::usage::{Key, Line};
use serde_json::{Value, json};

use crate::support::TestEnv;

const SESSION: &str = "11111111-2222-4333-8444-555555555555";

/// Records of Claude Code: what was asked, and an answer; of a sub-agent if one is named.
fn turn(repo: &Path, helper: Option<&str>, year: u32, answer: &str, input: u64) -> String {
    let record = |kind: &str, message: Value| {
        let mut record = json!({
            "type": kind, "uuid": format!("{kind}-{answer}"), "sessionId": SESSION, "isSidechain": helper.is_some(), "cwd": repo,
            "timestamp": format!("{year}-03-12T09:00:00Z"), "version": "2.1.332", "gitBranch": "main", "message": message,
        });
        if let Some(helper) = helper {
            record["agentId"] = helper.into();
        }
        record.to_string() + "\n"
    };
    let usage = json!({ "input_tokens": input, "output_tokens": 1 });
    record("user", json!({ "role": "user", "content": "go on" }))
        + &record(
            "assistant",
            json!({
                "role": "assistant", "id": answer, "model": "claude-opus-4-5", "usage": usage,
                "content": [{ "type": "text", "text": "done" }],
            }),
        )
}

fn lines(dir: &Path) -> Vec<Line> {
    let text = fs::read_to_string(dir.join("usage.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The name, the answers and the input of each row.
fn rows(env: &TestEnv, repo: &Path, by: &str) -> Vec<(String, u64, u64)> {
    let said = env.ox_in(repo, ["session", "usage", "--json", "--by", by]).ok().json();
    let n = |row: &Value, key: &str| row[key].as_u64().unwrap();
    let row =
        |row: &Value| (row["name"].as_str().unwrap().to_owned(), n(row, "answers"), n(row, "input_tokens"));
    said["groups"].as_array().unwrap().iter().map(row).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["raw.jsonl", "meta.json", "usage.jsonl"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn agt_09_what_sub_agents_spent_is_in_the_recording_once_and_counted_once() {
    let mut env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    env.ox_in(&repo, ["up"]).ok();
    env.set("CLAUDECODE", "1");
    env.set("CLAUDE_CODE_SESSION_ID", SESSION);
    env.ox_in(&repo, ["agent", "prime", "--json"]).ok();
    let slug: String =
        repo.to_str().unwrap().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let dir = env.home().join(".claude/projects").join(slug);
    let file = dir.join(format!("{SESSION}.jsonl"));
    let helper = file.with_extension("").join("subagents/agent-a1.jsonl");
    fs::create_dir_all(helper.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    env.ox_in(&repo, ["session", "start"]).ok();
    fs::write(&file, turn(&repo, None, 2036, "m1", 10)).unwrap();
    // The first was asked for before the recording began.
    let helped = turn(&repo, Some("a1"), 2006, "h0", 400) + &turn(&repo, Some("a1"), 2036, "h1", 20);
    fs::write(&helper, helped).unwrap();
    let own = fs::read_link(repo.join(".sageox/ledger")).unwrap().join(".sageox/cache/sessions");
    let is_recording = |dir: &PathBuf| dir.join(".recording.json").is_file();
    let recording =
        fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path()).find(is_recording).unwrap();
    let begun = fs::read(recording.join(".recording.json")).unwrap();
    let known = |line: &Line| {
        (
            line.answer.clone(),
            line.thread.clone(),
            line.session.clone(),
            line.parent.clone(),
            line.counts.input,
        )
    };
    let key = |answer: &str| format!("{:016x}", Key::new("claude-code", answer).0);
    let of = |answer: &str, thread: &str, parent: &str, input| {
        (key(answer), thread.to_owned(), SESSION.to_owned(), parent.to_owned(), input)
    };
    let expected = [of("m1", SESSION, "", 10), of("h1", "a1", SESSION, 20)];
    env.ox_in(&repo, ["session", "stop"]).ok();
    assert_eq!(lines(&recording).iter().map(known).collect::<Vec<_>>(), expected);
    // Somebody who was ended before the recording had: it is finished once more.
    fs::write(recording.join(".recording.json"), begun).unwrap();
    env.ox_in(&repo, ["session", "stop"]).ok();
    assert_eq!(lines(&recording).iter().map(known).collect::<Vec<_>>(), expected);

    // Who has the transcripts has all of it, and nothing twice.
    assert_eq!(rows(&env, &repo, "session"), [(SESSION.to_owned(), 3, 430)]);
    // Others have what was recorded, here in two places.
    fs::remove_dir_all(env.home().join(".claude")).unwrap();
    let database = env.data().join("sageox/usage.db");
    for name in ["usage.db", "usage.db-wal", "usage.db-shm"] {
        let _ = fs::remove_file(database.with_file_name(name));
    }
    copy(
        &recording,
        &own.parent()
            .unwrap()
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("sessions/2036-03-12T09-00-bo-OxBBBB"),
    );
    assert_eq!(rows(&env, &repo, "session"), [(SESSION.to_owned(), 2, 30)]);
    assert_eq!(rows(&env, &repo, "agent"), [("claude-code".to_owned(), 2, 30)]);
    let said = env
        .ox_in(&repo, ["session", "usage", "--json", "--by", "agent", "--explain", "claude-code"])
        .ok()
        .json();
    let threads: Vec<&str> =
        said["records"].as_array().unwrap().iter().map(|record| record["thread"].as_str().unwrap()).collect();
    assert_eq!(threads.iter().filter(|thread| **thread == "a1").count(), 1, "{said}");
    assert_eq!(threads.iter().filter(|thread| **thread == SESSION).count(), 1, "{said}");
    env.stop_daemon();
}

#[test]
fn an_imported_transcript_tells_what_it_cost() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    let file = env.work().join("t.jsonl");
    let text = turn(&repo, None, 2026, "m1", 10) + &turn(&repo, None, 2026, "m2", 20);
    fs::write(&file, text.clone() + &text).unwrap();
    let said = env
        .ox_in(&repo, ["session", "import", file.to_str().unwrap(), "--agent", "claude", "--json"])
        .ok()
        .json();
    let dir = PathBuf::from(said["path"].as_str().unwrap());
    assert_eq!(lines(&dir).iter().map(|line| line.counts.input).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(rows(&env, &repo, "session"), [(SESSION.to_owned(), 2, 30)]);
}
