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

/// A session of another machine that wrote `path`: in the ledger are its edits, and a pointer in place of what was said.
fn of_another(env: &TestEnv, repo: &Path, name: &str, path: &str, text: &str) -> PathBuf {
    let dir = dir(env, repo).with_file_name(name);
    fs::create_dir_all(&dir).unwrap();
    let call = json!({ "type": "tool", "seq": 1, "timestamp": "2026-03-12T09:11:30Z", "tool_name": "Write", "call_id": "c",
        "tool_input": json!({ "file_path": repo.join(path), "content": text }).to_string() });
    fs::write(dir.join("raw.jsonl"), format!("{call}\n")).unwrap();
    ox::sessions::edits::write(&dir, repo, &ox::redact::Redactor::new()).unwrap();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 100\n", "0".repeat(64));
    fs::write(dir.join("raw.jsonl"), pointer).unwrap();
    dir
}

#[test]
fn what_a_session_of_another_machine_wrote_leads_to_its_title_and_to_what_brings_it() {
    let (env, repo, own) = with_history();
    fs::remove_dir_all(&own).unwrap();
    let name = "2026-03-12T11-10-bo-OxBoBo";
    let dir = of_another(&env, &repo, name, "src/parse.rs", WRITTEN);
    fs::write(dir.join("summary.json"), r#"{"title":"The parser"}"#).unwrap();
    let told = env.ox_in(&repo, ["why", "src/parse.rs:2-6"]).ok();
    assert!(told.stdout.trim_end().ends_with(&format!("{name}  \"The parser\"")), "{told:?}");
    assert!(told.stderr.contains(&format!("next: ox session download {name}")), "{told:?}");
}

#[test]
fn what_two_sessions_may_have_written_is_settled_by_the_one_that_the_commit_names() {
    let (env, repo, _) = with_history();
    let name = "2026-03-12T11-10-bo-OxBoBo";
    // Twice in one file, by one session each: nobody could tell which is whose.
    of_another(&env, &repo, name, "src/parse.rs", WRITTEN);
    fs::write(repo.join("src/parse.rs"), format!("{WRITTEN}// between\n{WRITTEN}")).unwrap();
    git_at(&env, &repo, &["add", "src"], "2026-03-12T10:00:00Z");
    let amend = |message: &str| {
        git_at(&env, &repo, &["commit", "-q", "--amend", "-m", message], "2026-03-12T10:00:00Z");
        env.ox_in(&repo, ["why", "src/parse.rs:7-11", "--json"]).ok().json()["lines"][0].clone()
    };
    let open = amend("a parser");
    assert_eq!(open["reason"], "ambiguous", "{open}");
    assert_eq!(open["candidates"], json!([name, NAME]), "{open}");
    for key in ["Ox-Session", "ox-session"] {
        let settled = amend(&format!("a parser\n\nWhy not.\n\n{key}: {name}\nReviewed-by: Al"));
        assert_eq!(settled["session"]["session_name"], name, "{settled}");
    }
    // What stands in the text of a message is no trailer.
    let open = amend(&format!("a parser\n\nOx-Session: {name}\n\nThe end."));
    assert_eq!(open["reason"], "ambiguous", "{open}");
}

#[test]
fn strange_files_and_lines_are_told_about_and_nothing_breaks() {
    let (env, repo, _) = with_history();
    let all = env.ox_in(&repo, ["why", "src/parse.rs:2-18446744073709551615", "--json"]).ok().json();
    assert_eq!(all["lines"][0]["to"], 6, "{all}");
    for lines in ["0", "5-2", "0-0", "7-9"] {
        let none = env.ox_in(&repo, ["why", &format!("src/parse.rs:{lines}")]).fails(2);
        assert!(none.stderr.contains("hint: ox why src/parse.rs"), "{none:?}");
    }
    fs::write(repo.join("src/raw.bin"), b"a\0b").unwrap();
    for file in ["src/raw.bin", "src", "src/none.rs"] {
        let none = env.ox_in(&repo, ["why", file]).fails(2);
        assert!(none.stderr.contains("there is no such file of text"), "{none:?}");
    }
    let outside = env.ox_in(&repo, ["why", "/etc/passwd"]).fails(2);
    assert!(outside.stderr.contains("the file is not in the project"), "{outside:?}");
    fs::write(repo.join("src/empty.rs"), "").unwrap();
    assert_eq!(env.ox_in(&repo, ["why", "src/empty.rs", "--json"]).ok().json()["lines"], json!([]));
    // Line ends of another system, and a name that would paint the screen.
    fs::write(repo.join("src/parse.rs"), format!("use crate::Tree;\n{WRITTEN}").replace('\n', "\r\n"))
        .unwrap();
    let ends = env.ox_in(&repo, ["why", "src/parse.rs:3", "--json"]).ok().json();
    assert_eq!(ends["lines"][0]["session"]["session_name"], NAME, "{ends}");
    let name = "src/\u{1b}[31mred.rs";
    fs::write(repo.join(name), b"fn a() { \xff }\n").unwrap();
    let red = env.ox_in(&repo, ["why", name]).ok();
    let far = env.ox_in(&repo, ["why", &format!("{name}:9")]).fails(2);
    assert!(![red.stdout, far.stderr].concat().contains('\u{1b}'));
    // A repository below has a history of its own.
    env.run_in(&repo, "git", ["init", "-q", "below"]).ok();
    fs::create_dir_all(repo.join("below/src")).unwrap();
    fs::write(repo.join("below/src/a.rs"), "fn a() {}\n").unwrap();
    let below = env.ox_in(&repo, ["why", "below/src/a.rs"]).fails(2);
    assert!(below.stderr.contains("below has a history of its own"), "{below:?}");
    // A branch without a commit.
    env.run_in(&repo, "git", ["symbolic-ref", "HEAD", "refs/heads/unborn"]).ok();
    let unborn = env.ox_in(&repo, ["why", "src/old.rs", "--json"]).ok().json();
    assert_eq!(unborn["lines"][0]["commit"], Value::Null, "{unborn}");
    env.ox_in(&repo, ["session", "commits", "OxTndR"]).ok();
}
