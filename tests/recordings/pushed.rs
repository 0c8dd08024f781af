//! Decisions, section 11: before a push of a ledger's sessions they are looked at once more, and no secret gets to the remote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Ran, TestEnv};

const NAME: &str = "2026-03-13T11-09-bo-OxBBBB";

/// A machine whose project has a ledger, and a token that nobody is to see.
struct Bench {
    env: TestEnv,
    repo: PathBuf,
    ledger: PathBuf,
    remote: PathBuf,
    token: String,
}

fn entry(n: usize, text: &str) -> String {
    json!({ "type": "user", "content": text, "timestamp": "2026-03-13T11:09:00Z", "seq": n, "source_id": format!("u{n}") })
        .to_string()
        + "\n"
}

impl Bench {
    fn new() -> Bench {
        let env = TestEnv::new();
        let repo = env.repo("r");
        env.ox_in(&repo, ["up"]).ok();
        let ledger = fs::read_link(repo.join(".sageox/ledger")).unwrap();
        let remote = PathBuf::from(env.git(&ledger, ["remote", "get-url", "origin"]));
        let token = ["gh", "p_aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
        Bench { env, repo, ledger, remote, token }
    }

    /// Commits a file of the session in the ledger's clone, as somebody else than this program does.
    fn commit(&self, file: &str, text: &str, message: &str) -> String {
        let path = self.ledger.join("sessions").join(NAME).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self.env.git(&self.ledger, ["add", "--sparse", path.to_str().unwrap()]);
        self.env.git(&self.ledger, ["-c", "user.name=Bo", "commit", "-qm", message]);
        self.env.git(&self.ledger, ["rev-parse", "HEAD"])
    }

    fn ox(&self, words: &[&str]) -> Ran {
        self.env.ox_in(&self.repo, words)
    }

    /// Everything that a repository has, of whatever age.
    fn objects(&self, at: &Path) -> String {
        self.env.git(at, ["cat-file", "--batch", "--batch-all-objects"])
    }

    fn shared(&self, file: &str) -> String {
        self.env.git(&self.remote, ["show", &format!("main:sessions/{NAME}/{file}")])
    }

    fn issues(&self) -> String {
        self.ox(&["daemon", "status", "--json"]).ok().stdout
    }

    #[track_caller]
    fn never_left(&self) {
        assert!(!self.objects(&self.remote).contains(&self.token), "the secret is at the remote");
    }
}

#[test]
fn sec_05_what_a_person_committed_is_held_back_and_named_until_it_is_mended() {
    let b = Bench::new();
    let text = entry(0, "hello") + &entry(1, &format!("use {}", b.token));
    b.commit("raw.jsonl", &text, "A session of mine");
    b.commit("notes.md", "nothing here\n", "Notes");
    let held = b.ox(&["sync"]);
    assert_ne!(held.code, Some(0), "{held:?}");
    let told = format!("{}{}", held.stdout, held.stderr);
    assert!(told.contains("github_token") && told.contains(&format!("sessions/{NAME}/raw.jsonl")), "{told}");
    assert!(told.contains("ox session redaction verify --all --fix") && !told.contains(&b.token), "{told}");
    b.never_left();
    let issues = b.issues();
    assert!(issues.contains("secrets_held") && issues.contains("github_token"), "{issues}");

    // Others go on, and what they push is brought in all the same.
    let peer = b.env.work().join("peer");
    b.env.git(b.env.work(), ["clone", "-q", b.remote.to_str().unwrap(), peer.to_str().unwrap()]);
    fs::write(peer.join("theirs.md"), "theirs\n").unwrap();
    b.env.git(&peer, ["add", "."]);
    b.env.git(&peer, ["commit", "-qm", "Theirs"]);
    b.env.git(&peer, ["push", "-q"]);
    b.ox(&["sync"]).fails(held.code.unwrap());
    assert_eq!(b.env.git(&b.ledger, ["show", "HEAD:theirs.md"]), "theirs");
    b.never_left();

    let found = b.ox(&["session", "redaction", "verify", NAME]).fails(1);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{found:?}");
    assert!(
        lines[1].starts_with(NAME) && lines[1].contains("raw.jsonl") && lines[1].ends_with("1"),
        "{found:?}"
    );
    assert!(found.stderr.contains(&format!("ox session redaction verify {NAME} --fix")), "{found:?}");
    let document = b.ox(&["session", "redaction", "verify", "--all", "--json"]).fails(1).json();
    assert_eq!(document["sessions"][0]["unclean"][0]["rules"][0]["rule"], "github_token", "{document}");
    let fixed = b.ox(&["session", "redaction", "verify", "--all", "--fix"]).ok();
    assert!(fixed.stderr.contains("ox sync") && !format!("{fixed:?}").contains(&b.token), "{fixed:?}");
    b.ox(&["session", "redaction", "verify", "--all"]).ok();
    b.ox(&["sync"]).ok();
    b.never_left();
    let expected = (entry(0, "hello") + &entry(1, "use [REDACTED_GITHUB_TOKEN]")).trim_end().to_owned();
    assert_eq!(b.shared("raw.jsonl"), expected);
    assert_eq!(b.shared("notes.md"), "nothing here");
    let log = b.env.git(&b.remote, ["log", "--format=%an %s", "main"]);
    assert!(log.contains("Bo A session of mine\n") && log.contains("Bo Notes\n"), "{log}");
    assert_eq!(
        fs::read_to_string(b.ledger.join("sessions").join(NAME).join("raw.jsonl")).unwrap().trim_end(),
        expected
    );
    assert!(!b.issues().contains("secrets_held"));
    b.env.stop_daemon();
}

#[test]
fn what_the_tool_itself_committed_is_redacted_anew_and_pushed() {
    let b = Bench::new();
    b.commit("raw.jsonl", &entry(0, &b.token), &format!("session: {NAME}"));
    b.commit(
        "meta.json",
        &format!("{{\n  \"title\": \"{}\"\n}}", b.token),
        &format!("finalize session {NAME}"),
    );
    b.ox(&["sync"]).ok();
    b.never_left();
    assert_eq!(b.shared("raw.jsonl"), entry(0, "[REDACTED_GITHUB_TOKEN]").trim_end());
    assert_eq!(b.shared("meta.json"), "{\n  \"title\": \"[REDACTED_GITHUB_TOKEN]\"\n}");
    assert_eq!(b.env.git(&b.ledger, ["status", "--porcelain"]), "");
    b.env.stop_daemon();
}

#[test]
fn a_secret_that_a_later_commit_has_taken_out_is_held_back_as_well() {
    let b = Bench::new();
    b.commit("raw.jsonl", &entry(0, &b.token), "Mine");
    b.commit("raw.jsonl", &entry(0, "gone"), "Without it");
    assert_ne!(b.ox(&["sync"]).code, Some(0));
    b.never_left();
    b.ox(&["session", "redaction", "verify", "--all", "--fix"]).ok();
    b.ox(&["sync"]).ok();
    b.never_left();
    assert_eq!(b.shared("raw.jsonl"), entry(0, "gone").trim_end());
    b.env.stop_daemon();
}

#[test]
fn rules_of_the_project_count_and_what_stands_for_a_file_does_not() {
    let b = Bench::new();
    let rules = "```redact\nliteral \"Blue Heron\" -> [CUSTOMER]\n```\n";
    fs::write(b.repo.join(".sageox/REDACT.md"), rules).unwrap();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1\n", "0".repeat(64));
    b.commit("raw.jsonl", &pointer, "A pointer");
    b.commit("notes.md", "Green Heron\n", "A clean one");
    b.ox(&["sync"]).ok();
    assert!(b.shared("raw.jsonl").starts_with("version https://git-lfs"));
    b.commit("notes.md", "Blue Heron\n", "A customer");
    let held = b.ox(&["sync"]);
    assert!(format!("{held:?}").contains("custom_repo_L2"), "{held:?}");
    assert!(!b.objects(&b.remote).contains("Blue Heron"));
    // What is beside the sessions is nobody's concern here.
    b.ox(&["session", "redaction", "verify", "--all", "--fix"]).ok();
    fs::write(b.ledger.join("readme.md"), "Blue Heron\n").unwrap();
    b.env.git(&b.ledger, ["add", "--sparse", "readme.md"]);
    b.env.git(&b.ledger, ["commit", "-qm", "Readme"]);
    b.ox(&["sync"]).ok();
    assert_eq!(b.shared("notes.md"), "[CUSTOMER]");
    b.env.stop_daemon();
}

#[test]
fn what_was_shared_before_a_rule_came_is_taken_out_by_a_new_commit() {
    let b = Bench::new();
    b.commit("notes.md", "Blue Heron\n", "A customer");
    b.ox(&["sync"]).ok();
    fs::write(b.repo.join(".sageox/REDACT.md"), "```redact\nliteral \"Blue Heron\" -> [CUSTOMER]\n```\n")
        .unwrap();
    let found = b.ox(&["session", "redaction", "verify", "--all"]).fails(1);
    assert!(found.stdout.contains("custom_repo_L2"), "{found:?}");
    let fixed = b.ox(&["session", "redaction", "verify", "--all", "--fix"]).ok();
    assert!(fixed.stderr.contains("make those keys invalid"), "{fixed:?}");
    b.ox(&["sync"]).ok();
    assert_eq!(b.shared("notes.md"), "[CUSTOMER]");
    b.env.stop_daemon();
}

/// A git that ends whoever has called it, with KILL, at a call of theirs.
fn deadly_git(env: &TestEnv, at: usize) -> (PathBuf, PathBuf) {
    let dir = env.work().join("deadly");
    fs::create_dir_all(&dir).unwrap();
    let count = dir.join("count");
    fs::write(&count, "").unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = path.split(':').map(|d| Path::new(d).join("git")).find(|p| p.exists()).unwrap();
    let script = format!(
        "#!/bin/sh\necho x >> '{0}'\nif [ \"$(wc -l < '{0}')\" -eq {at} ]; then kill -KILL $PPID; exit 1; fi\nexec '{1}' \"$@\"\n",
        count.display(),
        real.display()
    );
    fs::write(dir.join("git"), script).unwrap();
    fs::set_permissions(dir.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    (dir, count)
}

#[test]
fn a_fix_that_is_killed_at_any_call_of_git_loses_nothing_and_shares_nothing() {
    let mut b = Bench::new();
    b.commit("raw.jsonl", &(entry(0, &b.token) + &entry(1, "kept")), "Mine");
    b.commit("notes.md", "kept\n", "Notes");
    let path = std::env::var("PATH").unwrap();
    let mut killed = 0;
    for at in 1.. {
        assert!(at < 60, "it never comes to its end");
        b.ox(&["daemon", "stop", "--all"]);
        let (dir, count) = deadly_git(&b.env, at);
        b.env.set("PATH", format!("{}:{path}", dir.display()));
        let ran = b.ox(&["session", "redaction", "verify", "--all", "--fix"]);
        b.env.set("PATH", &path);
        let calls = fs::read_to_string(count).unwrap().lines().count();
        b.never_left();
        if calls < at {
            // It was not killed: nothing was left to do, or all was done.
            ran.ok();
            break;
        }
        killed += 1;
        // Nothing of it is lost, wherever it was ended.
        let notes = b.env.git(&b.ledger, ["show", &format!("HEAD:sessions/{NAME}/notes.md")]);
        assert_eq!(notes, "kept", "killed at call {at}");
    }
    println!("killed {killed} times");
    assert!(killed > 0, "no call of git was met");
    b.ox(&["session", "redaction", "verify", "--all", "--fix"]).ok();
    b.ox(&["sync"]).ok();
    b.never_left();
    assert_eq!(b.shared("raw.jsonl"), (entry(0, "[REDACTED_GITHUB_TOKEN]") + &entry(1, "kept")).trim_end());
    assert_eq!(b.shared("notes.md"), "kept");
    assert_eq!(b.env.git(&b.ledger, ["status", "--porcelain"]), "");
    b.env.stop_daemon();
}

#[test]
fn the_rules_that_hold_are_told_with_their_places_and_never_what_they_look_for() {
    let b = Bench::new();
    let rules = "# Ours\n\n```redact\nliteral \"Blue Heron\" -> [CUSTOMER]\nregex \"h(\" -> [X]\n```\n";
    fs::write(b.repo.join(".sageox/REDACT.md"), rules).unwrap();
    let ran = b.ox(&["session", "redaction", "policy"]).ok();
    assert!(ran.stderr.contains(".sageox/REDACT.md:5: the pattern is no valid expression"), "{ran:?}");
    let row = ran.stdout.lines().find(|line| line.starts_with("custom_repo_L4")).unwrap();
    assert!(row.contains("[CUSTOMER]") && row.contains("REDACT.md:4") && !row.contains("Heron"), "{row}");
    assert!(ran.stdout.contains("github_token") && ran.stdout.contains("tokens of GitHub"), "{ran:?}");
    let document: Value = b.ox(&["session", "redaction", "policy", "--json"]).ok().json();
    let last = document["rules"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["level"], &last["line"]), (&"project".into(), &4.into()), "{document}");
    assert_eq!(document["problems"][0]["line"], 5, "{document}");
    assert!(!document.to_string().contains("Heron"));
    b.env.stop_daemon();
}
