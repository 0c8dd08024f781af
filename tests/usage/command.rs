//! `ox session usage`: its figures, its prices, where they come from, and what it says when something is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Ran, TestEnv};

/// An answer of Claude Code in a directory, on a branch.
fn answer(dir: &Path, session: &str, n: u64, model: &str, branch: &str) -> String {
    let record = json!({
        "type": "assistant", "uuid": format!("u{n}"), "sessionId": session, "timestamp": format!("2026-11-{:02}T09:00:00Z", 10 + n),
        "cwd": dir, "gitBranch": branch, "version": "2.1.332",
        "message": {
            "role": "assistant", "id": format!("m{n}"), "model": model, "content": [],
            "usage": {
                "input_tokens": 1_000_000 * n, "output_tokens": 100_000, "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 1000, "cache_creation": { "ephemeral_1h_input_tokens": 400 },
            },
        },
    });
    record.to_string() + "\n"
}

fn transcript(env: &TestEnv, session: &str, text: &str) -> PathBuf {
    let dir = env.home().join(".claude/projects/-p");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{session}.jsonl"));
    fs::write(&path, text).unwrap();
    path
}

/// A project in which two sessions worked, and a directory without one in which another did.
fn machine() -> (TestEnv, PathBuf) {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    transcript(
        &env,
        "s1",
        &(answer(&repo, "s1", 1, "claude-opus-4-5", "main") + &answer(&repo, "s1", 2, "fake", "side")),
    );
    transcript(&env, "s2", &answer(&repo.join("deep/er"), "s2", 3, "claude-opus-4-5", "main"));
    transcript(&env, "s3", &answer(&env.work().join("elsewhere"), "s3", 4, "claude-opus-4-5", "main"));
    (env, repo)
}

fn usage(env: &TestEnv, dir: &Path, args: &[&str]) -> Ran {
    env.ox_in(dir, ["session", "usage"].iter().chain(args))
}

fn document(env: &TestEnv, dir: &Path, args: &[&str]) -> Value {
    usage(env, dir, &[args, &["--json"]].concat()).ok().json()
}

/// The name and the input of each row.
fn rows(document: &Value) -> Vec<(String, u64)> {
    let row = |row: &Value| (row["name"].as_str().unwrap().to_owned(), row["input_tokens"].as_u64().unwrap());
    document["groups"].as_array().unwrap().iter().map(row).collect()
}

fn named(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(name, millions)| ((*name).to_owned(), millions * 1_000_000)).collect()
}

#[test]
fn figures_are_those_of_the_project_or_of_all() {
    let (env, repo) = machine();
    let check = |args: &[&str], expected: &[(&str, u64)]| {
        let document = document(&env, &repo, args);
        assert_eq!(rows(&document), named(expected), "{args:?}: {document}");
    };
    check(&[], &[("claude-opus-4-5", 4), ("fake", 2)]);
    check(&["--by", "session"], &[("s2", 3), ("s1", 3)]);
    check(&["--by", "agent"], &[("claude-code", 6)]);
    check(&["--by", "branch"], &[("main", 4), ("side", 2)]);
    check(&["--by", "person"], &[("Test User", 6)]);
    check(&["--by", "day"], &[("2026-11-11", 1), ("2026-11-12", 2), ("2026-11-13", 3)]);
    check(&["--by", "day", "--since", "2026-11-12"], &[("2026-11-12", 2), ("2026-11-13", 3)]);
    check(&["--since", "2026-11-12T09:00:01Z"], &[("claude-opus-4-5", 3)]);
    check(&["--since", "2026-11-12T09:00:00Z"], &[("claude-opus-4-5", 3), ("fake", 2)]);
    let elsewhere = env.work().join("elsewhere");
    let id = document(&env, &repo, &["--by", "project"])["groups"][0]["name"].as_str().unwrap().to_owned();
    let all = [(&*id, 6), (elsewhere.to_str().unwrap(), 4)];
    check(&["--by", "project", "--all-projects"], &all.map(|(name, n)| (name, n)));
    // Outside of a project all of it is meant.
    let outside = document(&env, env.work().as_path(), &["--by", "agent"]);
    assert_eq!((rows(&outside), &outside["project"]), (named(&[("claude-code", 10)]), &Value::Null));
    // Days are those of the user's zone.
    let mut there = env;
    there.set("TZ", "LINT-14");
    let days = rows(&document(&there, &repo, &["--by", "day"]));
    assert_eq!(days, named(&[("2026-11-11", 1), ("2026-11-12", 2), ("2026-11-13", 3)]));
    there.set("TZ", "HST10");
    let days = rows(&document(&there, &repo, &["--by", "day"]));
    assert_eq!(days, named(&[("2026-11-10", 1), ("2026-11-11", 2), ("2026-11-12", 3)]));
}

#[test]
fn an_unknown_price_is_unknown_and_a_file_of_the_users_gives_one() {
    let (env, repo) = machine();
    let said = document(&env, &repo, &[]);
    // Input, writing to a cache for five minutes and for an hour, and output, at 5, 6.25, 10 and 25 dollars for a million.
    let each = 600.0 * 6.25e-6 + 400.0 * 10e-6 + 100_000.0 * 25e-6;
    let known = 4.0 * 5.0 + 2.0 * each;
    let is_near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;
    assert!(is_near(&said["groups"][0]["price_usd"], known), "{said}");
    assert_eq!(
        (&said["groups"][1]["price_usd"], &said["groups"][1]["price_complete"]),
        (&Value::Null, &false.into())
    );
    assert!(is_near(&said["total"]["price_usd"], known), "{said}");
    assert_eq!(
        (&said["total"]["price_complete"], &said["unpriced_models"]),
        (&false.into(), &json!(["fake"]))
    );
    let text = usage(&env, &repo, &[]).ok();
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert!(lines[1].contains("4,000,000") && lines[1].ends_with("$25.02"), "{text:?}");
    assert!(lines[2].starts_with("fake") && lines[2].ends_with('?'), "{text:?}");
    assert!(lines[3].starts_with("total") && lines[3].ends_with("at least $25.02"), "{text:?}");
    assert!(
        text.stderr.contains("no price is known for all of: fake") && text.stderr.contains("prices.json"),
        "{text:?}"
    );
    let prices = env.config().join("sageox/prices.json");
    fs::create_dir_all(prices.parent().unwrap()).unwrap();
    fs::write(
        &prices,
        r#"{"models":[{"model":"fa*","input":2,"cache_write":0,"cache_write_long":0,"output":10}]}"#,
    )
    .unwrap();
    let said = document(&env, &repo, &[]);
    assert!(is_near(&said["groups"][1]["price_usd"], 5.0), "{said}");
    assert!(is_near(&said["total"]["price_usd"], known + 5.0), "{said}");
    assert_eq!((&said["total"]["price_complete"], &said["own_prices"]), (&true.into(), &1.into()));
    fs::write(&prices, r#"{"models":[{"model":"fake","imput":2}]}"#).unwrap();
    let wrong = usage(&env, &repo, &[]).fails(1);
    assert!(wrong.stderr.contains("prices.json") && wrong.stderr.contains("imput"), "{wrong:?}");
}

#[test]
fn each_figure_is_explained_by_records_whose_sum_it_is() {
    let (env, repo) = machine();
    for by in ["session", "model", "branch", "day", "person", "agent", "project"] {
        let all = document(&env, &repo, &["--by", by]);
        for group in all["groups"].as_array().unwrap() {
            let name = group["name"].as_str().unwrap();
            let said = document(&env, &repo, &["--by", by, "--explain", name]);
            let records = said["records"].as_array().unwrap();
            for key in ["answers", "input_tokens", "cache_written_tokens", "output_tokens"] {
                let sum: u64 = records.iter().map(|record| record[key].as_u64().unwrap()).sum();
                assert_eq!(
                    (sum, &said["total"][key]),
                    (group[key].as_u64().unwrap(), &group[key]),
                    "{by} {name}: {said}"
                );
            }
            let price: f64 = records.iter().filter_map(|record| record["price_usd"].as_f64()).sum();
            assert!((price - group["price_usd"].as_f64().unwrap_or(0.0)).abs() < 1e-9, "{said}");
        }
    }
    // A record stands where it is said to.
    let said = document(&env, &repo, &["--by", "session", "--explain", "s1"]);
    let record = &said["records"][1];
    let text = fs::read(record["path"].as_str().unwrap()).unwrap();
    let line = text[usize::try_from(record["offset"].as_u64().unwrap()).unwrap()..]
        .split(|b| *b == b'\n')
        .next()
        .unwrap();
    let line: Value = serde_json::from_slice(line).unwrap();
    assert_eq!((&line["message"]["id"], &record["answer"]), (&"m2".into(), &"m2".into()), "{said}");
    let shown = usage(&env, &repo, &["--by", "session", "--explain", "s1"]).ok().stdout;
    assert!(shown.contains("m2") && shown.contains(" byte ") && shown.contains("total"), "{shown}");
    let several = usage(&env, &repo, &["--by", "session", "--explain", "s"]).fails(2);
    assert!(several.stderr.contains("several") && several.stderr.contains("--explain s"), "{several:?}");
    usage(&env, &repo, &["--explain", "nothing"]).fails(2);
}

#[test]
fn what_was_counted_outlives_its_transcript_and_its_work_tree() {
    let (env, repo) = machine();
    let tree = env.work().join("tree");
    env.git(&repo, ["add", ".sageox"]);
    env.git(&repo, ["commit", "-qm", "Project"]);
    env.git(&repo, ["worktree", "add", "-q", tree.to_str().unwrap()]);
    let file = transcript(&env, "s9", &answer(&tree, "s9", 9, "claude-opus-4-5", "tree"));
    assert_eq!(rows(&document(&env, &repo, &["--by", "branch"]))[0], named(&[("tree", 9)])[0]);
    fs::remove_file(file).unwrap();
    env.git(&repo, ["worktree", "remove", "--force", tree.to_str().unwrap()]);
    assert_eq!(rows(&document(&env, &repo, &["--by", "branch"]))[0], named(&[("tree", 9)])[0]);
}

#[test]
fn what_others_share_is_theirs_and_what_is_known_already_is_counted_once() {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let ledger = fs::read_link(repo.join(".sageox/ledger")).unwrap();
    let own = answer(&repo, "s1", 1, "claude-opus-4-5", "main");
    let line = |program: &str, answer: &str, input: u64| {
        let key = ox::sessions::usage::Key::new(program, answer);
        json!({
            "program": program, "answer": format!("{:016x}", key.0), "model": "claude-opus-4-5", "timestamp": "2026-11-20T09:00:00Z",
            "thread": "t", "session": "t", "branch": "theirs", "input": input, "output": 7,
        })
        .to_string()
            + "\n"
    };
    let shared = |name: &str, user: &str, lines: &str| {
        let dir = ledger.join("sessions").join(name);
        fs::create_dir_all(&dir).unwrap();
        let header = json!({ "type": "header", "metadata": { "agent_id": "OxBBBB", "username": user } });
        fs::write(dir.join("raw.jsonl"), format!("{header}\n")).unwrap();
        fs::write(dir.join("usage.jsonl"), lines).unwrap();
    };
    // Bo's own, counted while it went on; and Dana's session s1 as it was shared, with what claims to be more.
    let bo = line("codex", "resp_1", 1) + &line("codex", "resp_1", 5_000_000) + "no line\n";
    shared("2026-11-20T09-00-bo-OxBBBB", "Bo", &bo);
    shared("2026-11-11T09-00-test-OxAAAA", "Somebody", &line("claude-code", "m1", 999_000_000));
    let said = document(&env, &repo, &["--by", "person"]);
    assert_eq!(rows(&said), named(&[("Test User", 6), ("Bo", 5)]), "{said}");
    assert_eq!(
        rows(&document(&env, &repo, &["--by", "branch"])),
        named(&[("main", 4), ("theirs", 5), ("side", 2)])
    );
    assert!(own.contains("\"m1\""));
    // It grows by a pull, which writes the whole file.
    shared("2026-11-20T09-00-bo-OxBBBB", "Bo", &(bo + &line("codex", "resp_2", 1_000_000)));
    assert_eq!(rows(&document(&env, &repo, &["--by", "person"])), named(&[("Bo", 6), ("Test User", 6)]));
    let outside = document(&env, &env.work(), &["--by", "person"]);
    assert_eq!(rows(&outside), named(&[("Test User", 10), ("Bo", 6)]));
    env.stop_daemon();
}

#[test]
fn a_database_that_cannot_be_used_is_no_zero_and_there_is_a_way_out() {
    let (env, repo) = machine();
    document(&env, &repo, &[]);
    let path = env.data().join("sageox/usage.db");
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let refused = usage(&env, &repo, &[]).fails(1);
    assert!(refused.stderr.contains("newer version of ox") && refused.stderr.contains("mv "), "{refused:?}");
    let hint = refused.stderr.lines().find_map(|line| line.trim().strip_prefix("hint: ")).unwrap();
    let way_out = hint.split("; ox").next().unwrap().to_owned();
    fs::write(&path, "no database at all, but long enough to be looked at as one".repeat(200)).unwrap();
    let refused = usage(&env, &repo, &[]).fails(1);
    assert!(refused.stderr.contains("mkdir "), "{refused:?}");
    let moved =
        env.cmd("sh").args(["-c", &way_out.replace(&format!(" {}-*", path.display()), "")]).dir(&repo);
    crate::support::run(moved, way_out).ok();
    assert_eq!(rows(&document(&env, &repo, &["--by", "agent"])), named(&[("claude-code", 6)]));
}

#[test]
fn what_cannot_be_read_is_told() {
    let (env, repo) = machine();
    fs::write(env.home().join(".codex"), "").unwrap();
    let said = document(&env, &repo, &[]);
    assert_eq!(said["problems"].as_array().unwrap().len(), 2, "{said}");
    let text = usage(&env, &repo, &[]).ok();
    assert!(text.stderr.contains("not counted: ") && text.stderr.contains(".codex"), "{text:?}");
}
