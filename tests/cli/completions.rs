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

/// A machine that is busy with other tests keeps no shell from its answer.
fn patient(env: &mut TestEnv) {
    env.set("OX_COMPLETION_MS", "60000");
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
    patient(&mut env);
    let remote = env.bare("ops");
    env.ox_in(&repo, ["team", "add", &format!("ops={}", remote.display())]).ok();
    let agent =
        json(&env.ox_in(&repo, ["agent", "prime", "--json"]))["agent_id"].as_str().unwrap().to_owned();
    env.ox_in(&repo, ["up"]).ok();
    let served = json(&env.ox_in(&repo, ["daemon", "list", "--json"]))[0]["workspace_id"].clone();
    env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
    let stored = ["0195f0c2-1", "0195f0c2-2", "0195f0c2-3"].map(|id| {
        serde_json::json!({ "id": id, "message": "no room left", "code": id, "viewed": id.ends_with('3'),
            "timestamp": "2026-11-30T10:00:00Z", "severity": "error" })
    });
    let errors = format!("sageox/daemon/errors-{}.json", served.as_str().unwrap());
    fs::write(env.runtime().join(errors), serde_json::to_vec(&stored).unwrap()).unwrap();
    env.set("SAGEOX_DAEMON", "false");
    env.ox_in(&repo, ["murmur", "--agent-id", &agent, "--topic", "parser", "Splitting the parser"]).ok();
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
    check("ox daemon errors --mark ", &["0195f0c2-2", "0195f0c2-1"]);
    check("ox daemon errors --mark 0195f0c2-1 0195f0c2-2", &["0195f0c2-2"]);
    let murmurs = offered(&env, &repo, "ox murmur delete ");
    assert_eq!(murmurs.len(), 1, "{murmurs:?}");
    check("ox config unset daemon.auto", &["daemon.auto_start"]);
    check("ox doctor --fix-slug git-l", &["git-lock"]);
    assert_eq!(offered(&env, &repo, "ox rescue show "), [rescued.as_str().unwrap()]);
    // Of the project that is named, wherever one is.
    let elsewhere = format!("ox -C {} team remove ", repo.display());
    assert_eq!(offered(&env, env.root(), &elsewhere), ["ops"]);
    fs::create_dir(env.home().join("deep")).unwrap();
    std::os::unix::fs::symlink(&repo, env.home().join("deep/p")).unwrap();
    for home in ["~", "$HOME", "\"$HOME\""] {
        assert_eq!(
            offered(&env, env.root(), &format!("ox -C {home}/deep/p team remove ")),
            ["ops"],
            "{home}"
        );
    }
    check("ox -C /nowhere team remove ", &[]);
    fs::remove_dir_all(env.home().join("deep")).unwrap();
    assert_eq!(files(env.root()), before, "nothing is written");
    assert_eq!(env.daemon_pid(), None, "nothing is started");
    // Who murmured is known by that alone.
    fs::remove_dir_all(repo.join(".sageox/agent_instances")).unwrap();
    check("ox murmur pause --agent-id ", &[]);
    check("ox murmur list --agent-id ", &[&agent]);
}

#[test]
fn where_nothing_can_be_read_nothing_is_offered_without_a_word() {
    let (mut env, repo) = machine();
    patient(&mut env);
    let remote = env.bare("ops");
    env.ox_in(&repo, ["team", "add", &format!("ops={}", remote.display())]).ok();
    env.ox_in(&repo, ["agent", "prime"]).ok();
    let lines = ["ox team remove ", "ox sync --team ", "ox murmur --agent-id "];
    for line in lines {
        assert_eq!(offered(&env, &repo, line).len(), 1, "{line}");
    }
    fs::write(repo.join(".sageox/config.json"), "{").unwrap();
    for line in lines {
        assert!(offered(&env, &repo, line).is_empty(), "{line}");
    }
    let malformed = env.ox_in(&repo, ["__complete", "tcsh", "1", "--", "ox"]).fails(1);
    assert_eq!((malformed.stdout.as_str(), malformed.stderr.as_str()), ("", ""));
}

/// A project with two teams, in an environment in which the shells find the program.
fn shells() -> (TestEnv, PathBuf) {
    let (mut env, repo) = machine();
    patient(&mut env);
    for team in ["ops", "plat"] {
        let remote = env.bare(team);
        env.ox_in(&repo, ["team", "add", &format!("{team}={}", remote.display())]).ok();
    }
    fs::create_dir(repo.join("srv")).unwrap();
    fs::write(repo.join("srv/a=b.txt"), "").unwrap();
    env.set("PATH", format!("{}:/usr/bin:/bin", Path::new(OX).parent().unwrap().display()));
    env.set("TERM", "xterm");
    (env, repo)
}

/// What a shell prints that runs `script` with `words`; `None` if this machine has no such shell, which is said.
fn run(env: &TestEnv, dir: &Path, shell: &str, script: &str, words: &[&str]) -> Option<Vec<String>> {
    let no_files: &[&str] = match shell {
        "zsh" => &["-f"],
        "fish" => &["--no-config"],
        _ => &["--norc", "--noprofile"],
    };
    let args = [no_files, &["-c", script, shell], words].concat();
    let out = match child::run(env.cmd(shell).args(args).dir(dir), &Cancel::new()) {
        Ok(out) => out,
        Err(child::ChildError::NotFound { .. }) => {
            println!("skipped: there is no {shell}");
            return None;
        }
        Err(e) => panic!("{shell}: {e}"),
    };
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{words:?}");
    let shown = String::from_utf8_lossy(&out.stdout);
    Some(shown.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The real shell with the real script: what it would show behind a line.
#[test]
fn bash_shows_what_is_offered() {
    let (env, repo) = shells();
    let shown = |line: &str| {
        let script = format!(
            "eval \"$(ox completions bash)\"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ox ox \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        run(&env, &repo, "bash", &script, &[]).unwrap()
    };
    assert_eq!(shown("ox daemon re"), ["restart"]);
    assert_eq!(shown("ox murmur --scope ''"), ["ledger", "team"]);
    assert_eq!(shown("ox murmur --scope = t"), ["team"]);
    assert_eq!(shown("ox git-cred"), [""; 0]);
    assert_eq!(shown("ox team add ''"), [""; 0], "no dash where a word belongs");
    assert_eq!(shown("ox team remove ''"), ["ops", "plat"]);
    assert_eq!(shown("ox -C ''"), [""; 0], "the shell's own completion of directories follows");
}

/// Types each line into a zsh on a terminal of its own, with a tab at its end, and prints what the line has become.
const TYPE_INTO_ZSH: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
# The terminal shows these lines as well, so the marks are no words of them.
zpty -w z "PS1=; autoload -Uz compinit; setopt completeinword; $1; show() { print -r -- '<<''<'\$BUFFER'>>''>' }; zle -N show"
# The editor itself says that it is ready: before it is, the terminal would take the ^D for the end of the input.
zpty -w z "bindkey '^X^D' show; bindkey '^I' complete-word; zle-line-init() { print REA''DY }; zle -N zle-line-init"
zpty -r z out '*READY*'
for line in "${@:2}"; do
    zpty -n -w z $'\x15'"$line"$'\t\x18\x04'
    zpty -r z out '*<<<*>>>*'
    print -r -- "${${out##*<<<}%%>>>*}"
done
zpty -d z
"#;

#[test]
fn zsh_completes_what_is_offered() {
    let (env, repo) = shells();
    let by_eval = "compinit -u -D; eval \"$(ox completions zsh)\"";
    let by_file = "mkdir -p ~/fp; ox completions zsh > ~/fp/_ox; fpath=(~/fp $fpath); compinit -u -D";
    let cases = [
        ("ox daemon re", "ox daemon restart "),
        ("ox murmur --scope=t", "ox murmur --scope=team "),
        ("ox --no-in", "ox --no-interactive "),
        ("ox git-cred", "ox git-cred"),
        ("ox team remove o", "ox team remove ops "),
        ("ox team remove 'o", "ox team remove 'ops' "),
        ("ox -C s", "ox -C srv/"),
        ("ox debug bundle --output=s", "ox debug bundle --output=srv/"),
        ("ox debug bundle --output=srv/a=", "ox debug bundle --output=srv/a=b.txt "),
        // In the middle of a word, one letter back.
        ("ox team remove os\u{1b}[D", "ox team remove ops "),
    ];
    for set_up in [by_eval, by_file] {
        let words: Vec<&str> = [set_up].into_iter().chain(cases.map(|(typed, _)| typed)).collect();
        let Some(became) = run(&env, &repo, "zsh", TYPE_INTO_ZSH, &words) else { return };
        assert_eq!(became, cases.map(|(_, expected)| expected), "{set_up}");
    }
}

#[test]
fn fish_shows_what_is_offered() {
    let (env, repo) = shells();
    let shown =
        |line: &str| run(&env, &repo, "fish", "ox completions fish | source; complete -C $argv[2]", &[line]);
    for (line, expected) in [
        ("ox daemon re", &["restart\tRestart the daemon with the projects it served"][..]),
        ("ox murmur --scope=t", &["--scope=team\tEverybody in the team"]),
        ("ox git-cred", &[]),
        ("ox team remove ", &["ops\tops", "plat\tplat"]),
        ("ox team remove \"o", &["ops\tops"]),
        ("true; ox team remove p", &["plat\tplat"]),
        ("ox -C s", &["srv/\tDirectory"]),
        ("ox debug bundle --output s", &["srv/"]),
        ("ox debug bundle --output=s", &["--output=srv/"]),
        ("ox debug bundle --output=srv/a=", &["--output=srv/a=b.txt"]),
    ] {
        let Some(shown) = shown(line) else { return };
        assert_eq!(shown, expected, "{line}");
    }
}
