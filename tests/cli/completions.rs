//! What shells are told of a line that is being typed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ox::kit::cancel::Cancel;
use ox::kit::child;

use super::{json, machine};
use crate::support::{OX, TestEnv};

/// Asks what may stand at the end of `line`.
fn offered(env: &TestEnv, dir: &Path, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let index = (words.len() - 1).to_string();
    let asked = ["__complete", "bash", index.as_str(), "--"].into_iter().chain(words);
    let ran = env.ox_in(dir, asked).ok();
    assert_eq!(ran.stderr, "", "{line}");
    ran.stdout.lines().map(str::to_owned).collect()
}

/// Every file below `dir`, with what it holds.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                found.insert(entry.path(), Vec::new());
                todo.push(entry.path());
            } else {
                found.insert(entry.path(), fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    found
}

#[test]
fn values_come_from_the_projects_files_and_nothing_is_started_or_written() {
    let (mut env, repo) = machine();
    let remote = env.bare("ops");
    env.ox_in(&repo, ["team", "add", &format!("ops={}", remote.display())]).ok();
    let agent =
        json(&env.ox_in(&repo, ["agent", "prime", "--json"]))["agent_id"].as_str().unwrap().to_owned();
    env.ox_in(&repo, ["up"]).ok();
    env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
    env.set("SAGEOX_DAEMON", "false");
    env.ox_in(&repo, ["murmur", "--topic", "parser", "Splitting the parser"]).ok();
    let status = json(&env.ox_in(&repo, ["status", "--json"]));
    let ledger = Path::new(status["ledger"]["path"].as_str().unwrap());
    fs::write(ledger.join("a.md.conflict-box-1790000000"), "mine").unwrap();
    let rescued = json(&env.ox_in(&repo, ["rescue", "list", "--json"]))["items"][0]["id"].clone();
    let before = files(env.root());
    let check = |line: &str, expected: &[&str]| assert_eq!(offered(&env, &repo, line), expected, "{line}");
    for line in ["ox team remove ", "ox sync --team ", "ox sync --remove-team o", "ox sync --json --team "] {
        check(line, &["ops"]);
    }
    check("ox sync --team=", &["--team=ops"]);
    check(&format!("ox murmur --agent-id {}", &agent[..3]), &[&agent]);
    assert!(offered(&env, &repo, "ox agent ").contains(&agent), "agents stand behind the commands");
    check("ox murmur list pa", &["parser"]);
    let murmurs = offered(&env, &repo, "ox murmur delete ");
    assert_eq!(murmurs.len(), 1, "{murmurs:?}");
    check("ox config unset daemon.auto", &["daemon.auto_start"]);
    check("ox doctor --fix-slug git-l", &["git-lock"]);
    assert_eq!(offered(&env, &repo, "ox rescue show "), [rescued.as_str().unwrap()]);
    // Of the project that is named, wherever one is.
    let elsewhere = format!("ox -C {} team remove ", repo.display());
    assert_eq!(offered(&env, env.root(), &elsewhere), ["ops"]);
    assert_eq!(files(env.root()), before, "nothing is written");
    assert_eq!(env.daemon_pid(), None, "nothing is started");
}

#[test]
fn where_nothing_can_be_read_nothing_is_offered_without_a_word() {
    let (env, repo) = machine();
    fs::write(repo.join(".sageox/config.json"), "{").unwrap();
    for line in
        ["ox team remove x", "ox agent Ox", "ox murmur delete x", "ox rescue show x", "ox sync --team x"]
    {
        assert!(offered(&env, &repo, line).is_empty(), "{line}");
    }
    let malformed = env.ox_in(&repo, ["__complete", "tcsh", "1", "--", "ox"]).fails(1);
    assert_eq!((malformed.stdout.as_str(), malformed.stderr.as_str()), ("", ""));
}

/// The real shell with the real script: what it would show behind a line.
#[test]
fn bash_shows_what_is_offered() {
    let (env, repo) = machine();
    let path = format!("{}:/usr/bin:/bin", Path::new(OX).parent().unwrap().display());
    let shown = |line: &str| -> Vec<String> {
        let script = format!(
            "eval \"$(ox completions bash)\"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ox ox \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let cmd = env.cmd("bash").args(["-c", &script]).env("PATH", &path).dir(&repo);
        let out = child::run(cmd, &Cancel::new()).unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{line}");
        let shown = String::from_utf8_lossy(&out.stdout);
        shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(shown("ox daemon re"), ["restart"]);
    assert_eq!(shown("ox murmur --scope ''"), ["ledger", "team"]);
    assert_eq!(shown("ox murmur --scope = t"), ["team"]);
    assert_eq!(shown("ox git-cred"), [""; 0]);
    assert_eq!(shown("ox team add ''"), [""; 0], "no dash where a word belongs");
    assert_eq!(shown("ox -C ''"), [""; 0], "the shell's own completion of directories follows");
    for shell in ["zsh", "fish"] {
        let script = env.ox(["completions", shell]).ok().stdout;
        assert!(script.contains("ox __complete"), "{shell}");
    }
}
