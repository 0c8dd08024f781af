//! `ox why` and `ox session commits`, as a person and a script meet them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::machine;
use crate::support::TestEnv;

const NAME: &str = "2026-03-12T11-09-dana-OxTndR";
const WRITTEN: &str =
    "fn parse(input: &str) -> Tree {\n    let mut tree = Tree::new();\n    tree.read(input);\n    tree\n}\n";

/// The directory of a session of this machine.
fn dir(env: &TestEnv, repo: &Path) -> PathBuf {
    let config = fs::read_to_string(repo.join(".sageox/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    let id = config["repo_id"].as_str().unwrap().to_owned();
    env.cache().join("sageox/sessions").join(id).join("sessions").join(NAME)
}

/// A project in which a session wrote a file that is committed, and changed since.
fn with_history() -> (TestEnv, PathBuf, PathBuf) {
    let (env, repo) = machine();
    let dir = dir(&env, &repo);
    fs::create_dir_all(&dir).unwrap();
    let lines = [
        json!({ "type": "header", "metadata": { "agent_id": "OxTndR", "agent_type": "claude-code", "username": "Dana" } }),
        json!({ "type": "user", "seq": 0, "timestamp": "2026-03-12T09:10:00Z", "content": "Write the parser\nplease" }),
        json!({ "type": "tool", "seq": 1, "timestamp": "2026-03-12T09:11:00Z", "tool_name": "Write", "call_id": "c",
            "tool_input": json!({ "file_path": repo.join("src/parse.rs"), "content": WRITTEN }).to_string() }),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(dir.join("raw.jsonl"), text).unwrap();
    fs::create_dir_all(repo.join("src")).unwrap();
    fs::write(repo.join("src/old.rs"), "struct Tree;\n").unwrap();
    commit(&env, &repo, "before", "2026-03-11T09:00:00Z");
    fs::write(repo.join("src/parse.rs"), format!("use crate::Tree;\n{WRITTEN}")).unwrap();
    commit(&env, &repo, "a parser", "2026-03-12T10:00:00Z");
    (env, repo, dir)
}

fn commit(env: &TestEnv, repo: &Path, subject: &str, at: &str) {
    git_at(env, repo, &["add", "src"], at);
    git_at(env, repo, &["commit", "-q", "-m", subject], at);
}

fn git_at(env: &TestEnv, repo: &Path, args: &[&str], at: &str) {
    let dates = [format!("GIT_AUTHOR_DATE={at}"), format!("GIT_COMMITTER_DATE={at}"), "git".to_owned()];
    let args = dates.into_iter().chain(args.iter().map(|&arg| arg.to_owned()));
    env.run_in(repo, "env", args).ok();
}

#[test]
fn a_line_leads_to_its_commit_session_and_prompt_or_to_the_reason_why_not() {
    let (env, repo, dir) = with_history();
    let why = env.ox_in(&repo, ["why", "src/parse.rs"]).ok();
    let lines: Vec<&str> = why.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{why:?}");
    assert!(
        lines[0].starts_with("src/parse.rs:1  ") && lines[0].ends_with("not written by a recorded edit"),
        "{why:?}"
    );
    assert!(
        lines[1].starts_with("src/parse.rs:2-6  ")
            && lines[1].contains("dana, claude-code")
            && lines[1].ends_with(&format!("{NAME}  \"Write the parser\"")),
        "{why:?}"
    );
    assert!(why.stderr.contains(&format!("next: ox session view {NAME}")), "{why:?}");
    let one = env.ox_in(repo.join("src"), ["why", "parse.rs:3", "--json"]).ok().json();
    let line = &one["lines"][0];
    assert_eq!((&line["from"], &line["commit"]["subject"]), (&3.into(), &"a parser".into()), "{one}");
    assert_eq!(
        (&line["session"]["prompt"], &line["session"]["seq"]),
        (&"Write the parser".into(), &1.into()),
        "{one}"
    );
    // What was changed by hand is said to have been, with the session that stood there; what is older, too.
    let changed = fs::read_to_string(repo.join("src/parse.rs"))
        .unwrap()
        .replace("tree.read(input);", "tree.fill(input)?;");
    fs::write(repo.join("src/parse.rs"), changed).unwrap();
    let changed = env.ox_in(&repo, ["why", "src/parse.rs:4", "--json"]).ok().json();
    let line = &changed["lines"][0];
    assert_eq!(
        (&line["reason"], &line["candidates"], &line["commit"]),
        (&"changed_since".into(), &json!([NAME]), &Value::Null)
    );
    let old = env.ox_in(&repo, ["why", "src/old.rs"]).ok().stdout;
    assert!(old.contains("written before any recorded session"), "{old}");
    // The edits alone are enough, where the transcript is not here; and where there is neither, it is said what brings them.
    let redactor = ox::redact::Redactor::new();
    ox::sessions::edits::write(&dir, &repo, &redactor).unwrap();
    fs::remove_file(dir.join("raw.jsonl")).unwrap();
    fs::write(dir.join("summary.json"), r#"{"title":"The parser","files_changed":["src/parse.rs"]}"#)
        .unwrap();
    let far = env.ox_in(&repo, ["why", "src/parse.rs:2"]).ok().stdout;
    assert!(far.trim_end().ends_with("\"The parser\""), "{far}");
    fs::remove_file(dir.join("edits.json")).unwrap();
    let gone = env.ox_in(&repo, ["why", "src/parse.rs:2"]).ok();
    assert!(
        gone.stdout.contains("not on this machine")
            && gone.stderr.contains(&format!("next: ox session download {NAME}")),
        "{gone:?}"
    );
    let none = env.ox_in(&repo, ["why", "src/parse.rs:90"]).fails(2);
    assert!(none.stderr.contains("the file has 6 lines"), "{none:?}");
}

#[test]
fn commits_of_a_session_are_found_by_content_also_when_they_are_others() {
    let (env, repo, dir) = with_history();
    let first = env.ox_in(&repo, ["session", "commits"]).ok().stdout;
    assert!(first.contains("5 of 6") && first.contains("this one") && first.contains("a parser"), "{first}");
    git_at(&env, &repo, &["branch", "aside"], "2026-03-12T10:00:00Z");
    git_at(&env, &repo, &["commit", "-q", "--amend", "-m", "the parser"], "2026-03-13T10:00:00Z");
    fs::write(
        dir.join("meta.json"),
        json!({ "produced_commits": ["0123456789", git2_head(&repo)] }).to_string(),
    )
    .unwrap();
    let both = env.ox_in(&repo, ["session", "commits", "OxTndR", "--json"]).ok().json();
    let rows = both["commits"].as_array().unwrap();
    let told: Vec<(&str, bool)> = rows
        .iter()
        .map(|row| (row["subject"].as_str().unwrap(), row["on_branch"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [("the parser", true), ("a parser", false)], "{both}");
    assert_eq!(
        (&rows[0]["lines"], &rows[0]["lines_added"], &both["searched"]),
        (&5.into(), &6.into(), &3.into())
    );
    // It is in the list already.
    assert_eq!(both["produced_commits"], json!([]));
}

fn git2_head(repo: &Path) -> String {
    git2::Repository::open(repo).unwrap().head().unwrap().target().unwrap().to_string()
}
