//! The real program, as a person or a script meets it.

mod agents;
mod completions;
mod foreign;
mod help;
mod places;
mod ways_out;

mod bundle;

mod events;
mod linked_settings;
mod manual;

mod documents;
mod newcomer;
mod teams;
mod up;
mod verdicts;

mod rescue;
mod session_archive;
mod sessions;
mod why;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Ran, TestEnv};
use serde_json::Value;

/// Commands that end by themselves without a daemon, and their exit codes inside a project that is not being synced.
const CALLS: &[(&[&str], i32)] = &[
    (&["--help"], 0),
    (&["--version"], 0),
    (&["help", "daemon"], 0),
    (&["version"], 0),
    (&["version", "-v"], 0),
    (&["status"], 0),
    (&["doctor"], 0),
    (&["init"], 0),
    (&["config", "list"], 0),
    (&["config", "list", "--origin"], 0),
    (&["config", "get", "daemon.auto_start"], 0),
    (&["config", "get", "nonsense"], 2),
    (&["config", "set", "endpoint", "x"], 2),
    (&["daemon", "status"], 3),
    (&["daemon", "stop"], 0),
    (&["daemon", "stop", "--all"], 0),
    (&["daemon", "kill"], 0),
    (&["daemon", "list"], 0),
    (&["daemon", "logs"], 0),
    (&["daemon", "logs", "--path"], 0),
    (&["completions", "bash"], 0),
    (&["completions", "tcsh"], 2),
    (&["agent", "list"], 0),
    (&["agent", "instances"], 0),
    (&["agent", "heartbeat"], 2),
    (&["agent", "OxAb12", "heartbeat"], 3),
    (&["agent", "OxAb12", "nonsense"], 2),
    (&["team", "list"], 0),
    (&["team", "add", "nonsense"], 2),
    (&["team", "add", "a=ext::sh"], 2),
    (&["team", "add", "../a=/srv/a.git"], 2),
    (&["team", "remove", "nobody"], 2),
    (&["clones"], 0),
    (&["workspaces"], 0),
    (&["clones", "--all", "-v"], 0),
    (&["sync", "--all-teams"], 0),
    (&["sync", "--team", "nobody"], 2),
    (&["sync", "--team", "a", "--all-teams"], 2),
    (&["sync", "--remove-team", "nobody"], 2),
    (&["sync", "--force"], 2),
    (&["ledger", "set-remote", "ext::sh"], 2),
    (&["ledger", "set-remote", "/nowhere/l.git"], 2),
    (&["session", "list"], 0),
    (&["session", "list", "--all"], 0),
    (&["session", "search", "parser"], 0),
    (&["session", "search", "*"], 2),
    (&["session", "subagents"], 2),
    (&["session", "commits"], 2),
    (&["why", "nothing.rs"], 2),
    (&["why", "../elsewhere"], 2),
    (&["session", "log", "--role", "user", "--content", "x"], 2),
    (&["session", "plan", "x"], 2),
    (&["session", "remind"], 2),
    (&["session", "subagent-complete", "--parent", "OxTndR"], 2),
    (&["session", "import", "/dev/null"], 1),
    (&["session", "finalize"], 2),
    (&["session", "finalize", "nobody"], 2),
    (&["session", "retry"], 0),
    (&["session", "retry", "nobody"], 2),
    (&["session", "regenerate", "nobody"], 2),
    (&["session", "regenerate", "--all"], 0),
    (&["session", "regenerate", "--all", "--dry-run"], 0),
    (&["session", "upload", "nobody"], 2),
    (&["session", "upload", "--all"], 0),
    (&["session", "download", "nobody"], 2),
    (&["session", "push-summary", "--file", "/nowhere", "nobody"], 2),
    (&["net"], 0),
    (&["net", "-v"], 0),
    (&["net", "--since", "soon"], 2),
    (&["net", "list"], 0),
    (&["net", "list", "--since", "1h", "--limit", "3"], 0),
    (&["relay", "status"], 0),
    (&["relay", "preview"], 0),
    (&["relay", "stop"], 0),
    (&["relay", "start"], 1),
    (&["relay", "sync"], 1),
    (&["relay", "dead", "list"], 1),
    (&["agents", "status"], 0),
    (&["agents", "budget"], 0),
    (&["agents", "pause"], 3),
    (&["agents", "resume"], 3),
    (&["session", "remove", "nobody", "--yes"], 2),
    (&["session", "remove", "--all"], 0),
    (&["session", "view"], 2),
    (&["session", "view", "../x"], 2),
    (&["session", "export", "nobody"], 2),
    (&["session", "redaction", "policy"], 0),
    (&["session", "redaction", "verify"], 2),
    (&["session", "redaction", "verify", "--all"], 0),
    (&["session", "redaction", "verify", "--all", "--fix"], 0),
    (&["session", "redaction", "verify", "nobody"], 2),
    (&["sessions", "live"], 0),
    (&["events", "list"], 0),
    (&["events", "list", "--agent", "codex", "--since", "2h", "--limit", "3"], 0),
    (&["events", "list", "--since", "soon"], 2),
    (&["events", "show", "1"], 1),
    (&["events", "stats"], 0),
    (&["session", "usage"], 0),
    (&["session", "usage", "--by", "day", "--since", "7d", "--all-projects"], 0),
    (&["session", "usage", "--since", "soon"], 2),
    (&["session", "usage", "--explain", "nothing"], 2),
    (&["session", "archive", "status"], 0),
    (&["session", "archive", "run"], 0),
    (&["session", "archive", "restore", "nobody"], 2),
    (&["session", "archive", "off"], 0),
    (&["hooks", "status"], 0),
    (&["hooks", "install"], 1),
    (&["hooks", "install", "--agent", "codex", "--dry-run"], 0),
    (&["hooks", "install", "--agent", "nobody"], 2),
    (&["hooks", "uninstall"], 0),
    (&["hooks", "uninstall", "--dry-run"], 0),
    (&["hooks", "test"], 1),
    (&["hooks", "test", "nobody"], 2),
    (&["rescue", "list"], 0),
    (&["rescue", "list", "--all"], 0),
    (&["rescue", "show", "00000000"], 2),
    (&["rescue", "restore", "00000000"], 2),
    (&["doctor", "--fix-slug", "nonsense"], 2),
    (&["login"], 2),
    (&["login", "--relay"], 2),
    (&["login", "--relay", "http://relay.example.com"], 2),
    (&["logout"], 0),
    (&["logout", "--relay"], 0),
    (&["logout", "--all", "--purge"], 0),
    (&["whoami"], 1),
    (&["nonsense"], 2),
    (&["status", "--nonsense"], 2),
];

/// A machine with one initialised project, and where that is.
fn machine() -> (TestEnv, PathBuf) {
    let env = TestEnv::new();
    let repo = env.repo("p");
    env.ox_in(&repo, ["init"]).ok();
    (env, repo)
}

/// What does not change between two runs of the same command.
fn stable(ran: &Ran) -> (Option<i32>, String) {
    let kept = |line: &&str| !line.contains("ago") && !line.contains("uptime");
    (ran.code, ran.stdout.lines().filter(kept).collect::<Vec<_>>().join("\n"))
}

fn json(ran: &Ran) -> Value {
    let mut values = serde_json::Deserializer::from_str(&ran.stdout).into_iter::<Value>();
    let first = values.next().unwrap_or_else(|| panic!("no document: {ran:?}")).unwrap();
    assert!(values.next().is_none(), "one document and nothing else: {ran:?}");
    first
}

#[test]
fn cli_02_cli_03_every_command_ends_without_a_terminal_and_sends_no_escape_codes() {
    let (mut env, repo) = machine();
    for no_color in [false, true] {
        if no_color {
            env.set("NO_COLOR", "yes");
        }
        env.set("TERM", "xterm-256color");
        for (args, code) in CALLS {
            let ran = env.ox_in(&repo, *args);
            assert_eq!(ran.code, Some(*code), "{ran:?}");
            assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
            if *code != 0 && *code != 3 {
                assert!(ran.stderr.starts_with("error: ") && ran.stdout.is_empty(), "{ran:?}");
                assert!(ran.stderr.contains("hint: ") || ran.stderr.contains("cause: "), "{ran:?}");
            }
        }
    }
}

#[test]
fn every_command_with_json_prints_one_document_also_when_it_fails() {
    let (env, repo) = machine();
    let called =
        CALLS.iter().filter(|(args, _)| !args.iter().any(|a| ["--help", "--version", "help"].contains(a)));
    for (args, code) in called {
        let ran = env.ox_in(&repo, args.iter().chain(&["--json"]));
        assert_eq!(ran.code, Some(*code), "{ran:?}");
        let document = json(&ran);
        if *code == 2 {
            assert_eq!((&document["success"], &document["exit_code"]), (&false.into(), &2.into()), "{ran:?}");
            assert!(document["error"].is_string(), "{ran:?}");
        }
    }
}

#[test]
fn cli_10_the_directory_below_the_root_makes_no_difference() {
    let (env, repo) = machine();
    let below: Vec<PathBuf> = ["a", "a/b c", ".sageox/cache"].iter().map(|d| repo.join(d)).collect();
    for dir in &below {
        fs::create_dir_all(dir).unwrap();
    }
    let calls: [&[&str]; 8] = [
        &["status"],
        &["status", "--json"],
        &["doctor"],
        &["config", "list", "--origin"],
        &["daemon", "status"],
        &["team", "list"],
        &["workspaces", "--json"],
        &["init"],
    ];
    for args in calls {
        let at_root = stable(&env.ox_in(&repo, args));
        for dir in &below {
            assert_eq!(stable(&env.ox_in(dir, args)), at_root, "{args:?} in {dir:?}");
            let with_flag = ["-C", dir.to_str().unwrap()].into_iter().chain(args.iter().copied());
            assert_eq!(stable(&env.ox(with_flag)), at_root, "{args:?} with -C {dir:?}");
        }
    }
}

#[test]
fn cli_14_an_unknown_word_names_its_neighbour() {
    let env = TestEnv::new();
    let check = |args: &[&str], hint: &str| {
        let ran = env.ox(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("hint: {hint}")), "{ran:?}");
    };
    check(&["stauts"], "did you mean: ox status?");
    check(&["start"], "did you mean: ox daemon start?");
    check(&["daemon", "restrat"], "did you mean: ox daemon restart?");
    check(&["config", "lst"], "did you mean: ox config list?");
    check(&["sync", "--jsn"], "--json");
}

#[test]
fn a_group_of_commands_alone_says_what_there_is() {
    let env = TestEnv::new();
    for group in [&[][..], &["agent"], &["daemon"], &["team"], &["config"], &["ledger"], &["rescue"]] {
        let ran = env.ox(group).ok();
        let heading = if group.is_empty() { "Team and agents:" } else { "Commands:" };
        assert!(ran.stdout.contains("Usage: ox") && ran.stdout.contains(heading), "{ran:?}");
        assert!(ran.stdout.contains("Global options:"), "{ran:?}");
        let json = env.ox(group.iter().chain([&"--json"])).fails(2).json();
        assert_eq!(json["success"], false, "{json}");
    }
}

#[test]
fn init_touches_nothing_but_its_own_directory() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let before = (env.git(&repo, ["rev-parse", "HEAD"]), hooks(&repo));
    let ran = env.ox_in(&repo, ["init"]).ok();
    assert!(ran.stdout.contains("wrote .sageox/config.json"), "{ran:?}");
    assert_eq!(ran.stderr.matches("next:").count(), 1, "{ran:?}");
    assert_eq!((env.git(&repo, ["rev-parse", "HEAD"]), hooks(&repo)), before);
    assert_eq!(env.git(&repo, ["status", "--porcelain"]), "?? .sageox/");
    assert_eq!(env.git(&repo, ["diff", "--cached", "--name-only"]), "");
    assert_eq!(json(&env.ox_in(&repo, ["init", "--json"]))["already_initialized"], true);
}

fn hooks(repo: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(repo.join(".git/hooks"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn init_commit_commits_exactly_its_files_and_leaves_what_else_is_staged() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    fs::write(repo.join("mine.txt"), "mine").unwrap();
    env.git(&repo, ["add", "mine.txt"]);
    env.ox_in(&repo, ["init", "--commit"]).ok();
    let files = env.git(&repo, ["show", "--name-only", "--format=", "HEAD"]);
    assert!(files.lines().count() >= 3 && files.lines().all(|f| f.starts_with(".sageox/")), "{files}");
    assert!(!files.contains("config.local.toml"), "{files}");
    assert_eq!(env.git(&repo, ["status", "--porcelain"]), "A  mine.txt");
    assert_eq!(json(&env.ox_in(&repo, ["init", "--commit", "--json"]))["commit"], Value::Null);
}

#[test]
fn init_commit_obeys_the_users_hooks_and_leaves_nothing_staged_when_they_refuse() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = TestEnv::new();
    let repo = env.repo("p");
    let hook = repo.join(".git/hooks/pre-commit");
    fs::write(&hook, "#!/bin/sh\necho not today >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = env.ox_in(&repo, ["init", "--commit"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("not today") && ran.stderr.contains("hint: "), "{ran:?}");
    assert_eq!(env.git(&repo, ["status", "--porcelain"]), "?? .sageox/");
}

#[test]
fn cli_02_a_host_from_somebody_elses_commit_needs_one_yes() {
    let (env, repo) = machine();
    let config = repo.join(".sageox/config.json");
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    value["ledger_url"] = "https://git.example.invalid/l.git".into();
    fs::write(&config, value.to_string()).unwrap();
    for command in ["up", "sync", "init"] {
        let ran = env.ox_in(&repo, [command]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("--yes") && ran.stderr.contains("git.example.invalid"), "{ran:?}");
        assert_eq!(env.ox_in(&repo, [command, "--no-interactive"]).code, Some(2));
    }
    assert!(env.ox_in(&repo, ["status"]).ok().stdout.contains("Waiting for trust"));
    env.ox_in(&repo, ["init", "--yes"]).ok();
    env.ox_in(&repo, ["init"]).ok();
    assert!(env.daemon_pid().is_none());
}

#[test]
fn status_and_version_never_start_anything() {
    let (env, repo) = machine();
    for args in [&["status"][..], &["version"], &["daemon", "status"], &["doctor"], &["daemon", "list"]] {
        env.ox_in(&repo, args);
        assert_eq!(env.daemon_pid(), None, "{args:?}");
    }
}

#[test]
fn forbidding_the_daemon_forbids_it_and_says_so() {
    let (mut env, repo) = machine();
    env.set("OX_NO_DAEMON", "1");
    let ran = env.ox_in(&repo, ["sync"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("OX_NO_DAEMON"), "{ran:?}");
    let document = json(&env.ox_in(&repo, ["sync", "--json"]));
    assert_eq!((&document["mode"], &document["ledger"]["status"]), (&"daemon".into(), &"error".into()));
    assert_eq!(env.daemon_pid(), None);
}

#[test]
fn cli_07_up_can_be_repeated_and_leaves_a_healthy_machine() {
    let env = TestEnv::new();
    let repo = env.repo("p");
    let first = env.ox_in(&repo, ["up"]).ok();
    assert!(first.stdout.starts_with("● ") && first.stdout.contains("is up"), "{first:?}");
    let pid = env.daemon_pid();
    assert!(pid.is_some());
    let again = json(&env.ox_in(&repo, ["up", "--json"]).ok());
    assert_eq!((&again["success"], &again["initialized_now"]), (&true.into(), &false.into()));
    assert_eq!(env.daemon_pid(), pid);
    let synced = json(&env.ox_in(&repo, ["sync", "--json"]).ok());
    assert_eq!((&synced["mode"], &synced["ledger"]["status"]), (&"daemon".into(), &"synced".into()));
    let doctor = json(&env.ox_in(&repo, ["doctor", "--json"]).ok());
    assert_eq!(
        (&doctor["summary"]["warnings"], &doctor["summary"]["failed"]),
        (&0.into(), &0.into()),
        "{doctor}"
    );
    assert!(env.ox_in(&repo, ["status"]).ok().stdout.starts_with("● Healthy"));
    assert!(env.ox_in(&repo, ["daemon", "status"]).ok().stdout.starts_with("● Healthy"));
    assert_eq!(json(&env.ox_in(&repo, ["daemon", "status", "--json"]))["running"], true);
    assert_eq!(json(&env.ox_in(&repo, ["daemon", "list", "--json"])).as_array().unwrap().len(), 1);
    assert!(env.ox_in(&repo, ["daemon", "logs"]).ok().stdout.contains("level=INFO"));
    env.ox_in(&repo, ["daemon", "restart"]).ok();
    assert_ne!(env.daemon_pid(), pid);
    assert_eq!(json(&env.ox_in(&repo, ["daemon", "list", "--json"])).as_array().unwrap().len(), 1);
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    assert_eq!(env.daemon_pid(), None);
    assert_eq!(env.ox_in(&repo, ["daemon", "status"]).code, Some(3));
}

#[test]
fn cli_05_what_doctor_advises_mends_what_it_found() {
    let (env, repo) = machine();
    let finding = |slug: &str| -> Value {
        let report = json(&env.ox_in(&repo, ["doctor", "--json"]));
        let rows = report["categories"].as_array().unwrap().iter();
        let mut rows = rows.flat_map(|c| c["checks"].as_array().unwrap().clone());
        rows.find(|row| row["slug"] == slug).unwrap()
    };
    let obey = |slug: &str| {
        let remedy = finding(slug)["remedy"].as_str().unwrap().to_owned();
        let words: Vec<&str> = remedy.split_whitespace().skip(1).collect();
        env.ox_in(&repo, &words).ok();
        assert_eq!(finding(slug)["status"], "passed", "{slug}: {remedy}");
    };
    obey("daemon-running");
    obey("ledger-path");
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    let ledger =
        PathBuf::from(json(&env.ox_in(&repo, ["status", "--json"]))["ledger"]["path"].as_str().unwrap());
    fs::remove_dir_all(&ledger).unwrap();
    assert_eq!(finding("ledger-path")["status"], "failed");
    assert_eq!(env.ox_in(&repo, ["doctor"]).code, Some(1));
    obey("ledger-path");
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    fs::remove_file(ledger.join(".git/HEAD")).unwrap();
    let ran = env.ox_in(&repo, ["doctor", "--fix"]);
    assert!(ran.stderr.contains("--fix-slug ledger-path --yes"), "{ran:?}");
    let ran = env.ox_in(&repo, ["doctor", "--fix-slug", "ledger-path", "--yes"]);
    assert!(ran.stdout.contains("fixed: moved"), "{ran:?}");
    obey("ledger-path");
    env.ox_in(&repo, ["daemon", "stop"]).ok();
}

#[test]
fn ins_11_each_missing_precondition_is_one_line_with_its_remedy() {
    let (mut env, repo) = machine();
    let empty = env.work().join("empty");
    fs::create_dir(&empty).unwrap();
    env.set("PATH", &empty);
    let ran = env.ox_in(&repo, ["doctor"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stdout.matches("fail").count(), 2, "the check and the sum: {ran:?}");
    assert_eq!(ran.stdout.matches("hint: install git").count(), 1, "{ran:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let (env, repo) = machine();
    let script =
        format!("'{}' completions bash | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}", crate::support::OX);
    let cmd = env.cmd("bash").args(["-c", &script]).dir(&repo);
    let out = ox::kit::child::run(cmd, &ox::kit::cancel::Cancel::new()).unwrap();
    assert_eq!((String::from_utf8_lossy(&out.stdout).trim(), out.stderr.as_slice()), ("0", &b""[..]));
}

/// The pages that a reader of the repository looks for; all others are made when packaging.
const COMMITTED_PAGES: [&str; 2] = ["ox-config.5", "ox.1"];

#[test]
fn the_manual_is_what_the_program_would_write() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let names =
        fs::read_dir(&committed).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> = names.collect();
    found.sort();
    assert_eq!(found, COMMITTED_PAGES, "the other pages are made when packaging: ox docs man DIR");
    let pages = ox::cli::docs::pages();
    assert!(pages.len() > 40, "a page a command");
    for page in pages.iter().filter(|page| COMMITTED_PAGES.contains(&page.file_name().as_str())) {
        let same = fs::read_to_string(committed.join(page.file_name())).unwrap() == page.text;
        let again =
            "cargo run -- docs man target/man; cp target/man/man1/ox.1 target/man/man5/ox-config.5 man/";
        assert!(same, "{} is out of date; {again}", page.file_name());
    }
}

#[test]
fn a_daemon_that_does_not_answer_has_its_own_exit_code_and_can_be_killed() {
    let (mut env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    env.freeze_daemon();
    let ran = env.ox_in(&repo, ["daemon", "status"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(env.ox_in(&repo, ["daemon", "stop"]).code, Some(4));
    env.ox_in(&repo, ["daemon", "kill", "--all"]).ok();
    assert_eq!(env.daemon_pid(), None);
    env.allow_leftovers();
}
