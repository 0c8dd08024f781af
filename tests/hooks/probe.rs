//! `ox hooks test`: it says of each broken link which it is, and what to do; and nothing of a test stays.
//!
//! The agents are scripts that read their settings and run what stands there; `tests/rig` has the real ones.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ox::harness::hooks::{CODEX, Hooks};
use ox::hooks::spool;
use ox::hooks::store::Filter;
use serde_json::{Value, json};

use super::seen::{self, Bench};
use crate::support::{Ran, TestEnv, run, until};

/// A program that runs the commands in its settings at the events of one turn. `FAKE` says what else it does: `silent` runs none of them,
/// `fail` ends before the first and `cut` after the second.
fn fake(word: &str, settings: &str) -> String {
    // codex names a rollout, or none.
    let transcript = if word == "codex" { "null" } else { "\"/t\"" };
    format!(
        r#"#!/bin/sh
echo "$@" >>"$HOME/started.{word}"
[ "$FAKE" = fail ] && {{ echo "no such flag" >&2; exit 7; }}
n=0
for event in SessionStart UserPromptSubmit PreToolUse PostToolUse Stop SessionEnd; do
  [ "$FAKE" = cut ] && [ $n = 2 ] && exit 3
  n=$((n + 1))
  [ "$FAKE" = silent ] && continue
  sed -n 's/.*"command": "\(.*\)",*$/\1/p' "{settings}" | sed 's/\\"/"/g' | while IFS= read -r command; do
    case $command in *" hook {word} $event "*)
      printf '%s' '{{"session_id":"fake-session","transcript_path":{transcript},"cwd":"'"$PWD"'","hook_event_name":"'$event'"}}' |
        /bin/sh -c "$command" ;;
    esac
  done
done
"#
    )
}

/// A machine with a project, the two programs, and their hooks installed.
fn machine() -> (TestEnv, PathBuf) {
    let mut env = TestEnv::new();
    let repo = env.repo("r");
    env.ox_in(&repo, ["up"]).ok();
    let bin = env.work().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let programs = [
        ("claude", "${CLAUDE_CONFIG_DIR:-$HOME/.claude}/settings.json"),
        ("codex", "${CODEX_HOME:-$HOME/.codex}/hooks.json"),
    ];
    for (word, settings) in programs {
        let program = bin.join(word);
        fs::write(&program, fake(word, settings)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(env.home().join(format!(".{word}"))).unwrap();
        env.ox(["hooks", "install", "--agent", word, "--force"]).ok();
    }
    trust(&env);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    env.set("PATH", path);
    (env, repo)
}

/// Has codex trust what is installed, as far as its configuration tells.
fn trust(env: &TestEnv) {
    let file = env.home().join(".codex/hooks.json");
    let snake = |name: &str| {
        let parts = name.split_inclusive(|_: char| true).map(|c| match c.to_lowercase().to_string() {
            lower if lower == c => lower,
            lower => format!("_{lower}"),
        });
        parts.collect::<String>().trim_start_matches('_').to_owned()
    };
    let entries = CODEX.events.iter().map(|event| {
        format!(
            "[hooks.state.\"{}:{}:0:0\"]\ntrusted_hash = \"sha256:a\"\n",
            file.display(),
            snake(event.name)
        )
    });
    fs::write(env.home().join(".codex/config.toml"), entries.collect::<String>()).unwrap();
}

/// What a test of one agent shows, and how it ended.
#[track_caller]
fn tested(env: &TestEnv, repo: &Path, word: &str) -> (Value, Ran) {
    let ran = env.ox_in(repo, ["hooks", "test", word, "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let works = document["agents"][0]["works"].as_bool().unwrap_or_else(|| panic!("{document:#}"));
    assert_eq!((document["success"] == true, ran.code), (works, Some(i32::from(!works))), "{document:#}");
    (document, ran)
}

/// The one link that is broken, and that is what a person is told too, with the next step as the hint.
#[track_caller]
fn broken(env: &TestEnv, repo: &Path, word: &str, link: &str, reason: &str, next: &str) -> Value {
    let (document, _) = tested(env, repo, word);
    let agent = document["agents"][0].clone();
    let found: Vec<&Value> = agent["broken"].as_array().unwrap().iter().collect();
    assert_eq!(found.len(), 1, "{agent:#}");
    let is = ["link", "reason", "next_step"].map(|key| found[0][key].as_str().unwrap());
    assert_eq!(is, [link, reason, next], "{agent:#}");
    let page = env.ox_in(repo, ["hooks", "test", word]);
    assert_eq!(page.code, Some(1), "{page:?}");
    assert!(page.stderr.contains(&format!("hint: {next}")), "{page:?}");
    assert!(page.stderr.contains(&format!("{word}: not {link}: ")), "{page:?}");
    agent
}

fn is_started(env: &TestEnv, word: &str) -> bool {
    env.home().join(format!("started.{word}")).exists()
}

/// Nothing of a test is in the store, in the spool for later, or among the temporary files, and no daemon serves its project.
#[track_caller]
fn leaves_nothing(env: &TestEnv) {
    let all = env.ox(["events", "list", "--json"]).ok().json();
    assert_eq!(all["events"], json!([]));
    let live = env.ox(["sessions", "live", "--json"]).ok().json();
    assert_eq!(live["sessions"], json!([]));
    let served = env.ox(["daemon", "list", "--json"]).ok().stdout;
    assert!(!served.contains("ox-hooks-test"), "{served}");
    let left: Vec<_> = fs::read_dir(env.tmp()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains("ox-hooks-test")), "{left:?}");
}

fn fired<'a>(agent: &'a Value, event: &str) -> &'a Value {
    let all = agent["events"].as_array().unwrap();
    all.iter().find(|one| one["event"] == event).unwrap()
}

#[test]
fn a_way_that_is_whole_is_proven_event_by_event_and_leaves_no_trace() {
    let (env, repo) = machine();
    for (word, hooks) in [("claude", &ox::harness::hooks::CLAUDE), ("codex", &CODEX)] {
        let (document, _) = tested(&env, &repo, word);
        let agent = &document["agents"][0];
        assert_eq!((&agent["how"], &agent["works"]), (&"run".into(), &true.into()), "{agent:#}");
        let names: Vec<&str> = hooks.events.iter().map(|event| event.name).collect();
        let told: Vec<&str> =
            agent["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
        assert_eq!(told, names);
        for name in names {
            let one = fired(agent, name);
            let is_of_turn =
                ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd"]
                    .contains(&name);
            assert_eq!(one["fired"], if is_of_turn { "run" } else { "replayed" }, "{one:#}");
            for key in ["configured", "trusted", "delivered", "stored"] {
                assert_eq!(one[key], true, "{name} {key}: {agent:#}");
            }
            assert!(
                one["handler_us"].as_u64().is_some_and(|us| us > 0) && one["stored_ms"].is_u64(),
                "{one:#}"
            );
        }
        leaves_nothing(&env);
    }
    let status = env.ox_in(&repo, ["hooks", "status"]).ok();
    assert!(
        status.stderr.ends_with("next: ox hooks test\n"),
        "all is in place, and nothing has come: {status:?}"
    );
    let page = env.ox_in(&repo, ["hooks", "test"]).ok();
    let row = page.stdout.lines().find(|line| line.starts_with("codex   Stop ")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert!(
        matches!(words[..], ["codex", "Stop", "yes", "yes", "yes", "in", _, "ms", "after", _, "ms"]),
        "{row}"
    );
    assert!(page.stdout.contains("claude: events get through: 6 events fired by it, 4 replayed"), "{page:?}");
    assert!(page.stdout.contains("codex: events get through: 6 events fired by it, 3 replayed"), "{page:?}");
    env.stop_daemon();
}

#[test]
fn what_the_settings_show_to_be_broken_is_named_and_nothing_is_run() {
    let (mut env, repo) = machine();
    let home = env.home();
    let install = |word: &str| format!("ox hooks install --agent {word}");
    let configured = |agent: &Value| fired(agent, "Stop")["configured"].as_bool().unwrap();
    // codex: trust, the switch, the file.
    let config = home.join(".codex/config.toml");
    let trusted = fs::read_to_string(&config).unwrap();
    fs::write(&config, "").unwrap();
    let agent = broken(&env, &repo, "codex", "trusted", "untrusted", "type /hooks in codex and trust them");
    assert!(configured(&agent) && fired(&agent, "Stop")["trusted"] == false, "{agent:#}");
    fs::write(&config, format!("[features]\nhooks = false\n{trusted}")).unwrap();
    let next = format!("{} --enable-feature", install("codex"));
    broken(&env, &repo, "codex", "trusted", "feature-off", &next);
    fs::write(&config, trusted.replacen("\"sha256:a\"", "\"sha256:a\"\nenabled = false", 1)).unwrap();
    broken(&env, &repo, "codex", "trusted", "disabled", "type /hooks in codex and switch them on");
    fs::write(&config, &trusted).unwrap();
    let hooks = home.join(".codex/hooks.json");
    let good = fs::read_to_string(&hooks).unwrap();
    fs::write(&hooks, good.replacen('{', "{ \"version\": 1,", 1)).unwrap();
    let next = format!("mend {}, then: {}", hooks.display(), install("codex"));
    let agent = broken(&env, &repo, "codex", "configured", "file-rejected", &next);
    assert!(
        !configured(&agent) && agent["broken"][0]["what"].as_str().unwrap().contains("version"),
        "{agent:#}"
    );
    fs::write(&hooks, &good).unwrap();
    // claude: a comment, the switch, also that of the project.
    let settings = home.join(".claude/settings.json");
    let good = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("// mine\n{good}")).unwrap();
    let next = format!("mend {}, then: {}", settings.display(), install("claude"));
    broken(&env, &repo, "claude", "configured", "file-rejected", &next);
    fs::write(&settings, good.replacen("SessionEnd", "SomeOther", 1)).unwrap();
    let agent = broken(&env, &repo, "claude", "configured", "incomplete", &install("claude"));
    assert!(configured(&agent) && fired(&agent, "SessionEnd")["configured"] == false, "{agent:#}");
    fs::write(&settings, good.replacen('{', "{ \"disableAllHooks\": true,", 1)).unwrap();
    let next = format!("remove disableAllHooks from {}", settings.display());
    broken(&env, &repo, "claude", "trusted", "hooks-disabled", &next);
    fs::write(&settings, &good).unwrap();
    let local = repo.join(".claude/settings.local.json");
    fs::create_dir_all(local.parent().unwrap()).unwrap();
    fs::write(&local, "{\"disableAllHooks\":true}").unwrap();
    let next = format!("remove disableAllHooks from {}", local.display());
    broken(&env, &repo, "claude", "trusted", "hooks-disabled", &next);
    fs::remove_file(local).unwrap();
    // What our own installation has lost.
    let link = home.join(".sageox/bin/ox");
    let program = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(home.join("gone"), &link).unwrap();
    let agent = broken(&env, &repo, "claude", "delivered", "dangling-command", &install("claude"));
    assert!(agent["broken"][0]["what"].as_str().unwrap().contains("h/gone"), "{agent:#}");
    fs::remove_file(&link).unwrap();
    symlink(program, &link).unwrap();
    let flag = env.data().join("sageox/hooks/enabled.claude");
    let lines = fs::read(&flag).unwrap();
    fs::remove_file(&flag).unwrap();
    broken(&env, &repo, "claude", "delivered", "no-flag-file", &install("claude"));
    fs::write(&flag, lines).unwrap();
    env.set("OX_HOOKS", "0");
    broken(&env, &repo, "claude", "delivered", "switched-off", "unset OX_HOOKS");
    env.unset("OX_HOOKS");
    // Another directory is in force, which has nothing of ours.
    for (word, variable) in [("claude", "CLAUDE_CONFIG_DIR"), ("codex", "CODEX_HOME")] {
        let other = env.work().join("other");
        fs::create_dir_all(&other).unwrap();
        env.set(variable, &other);
        let agent = broken(&env, &repo, word, "configured", "foreign-configuration", &install(word));
        let what = agent["broken"][0]["what"].as_str().unwrap();
        assert!(what.contains(variable) && what.contains(&format!("h/.{word}/")), "{what}");
        env.unset(variable);
    }
    // Not asked for.
    env.ox(["hooks", "uninstall", "--agent", "codex"]).ok();
    broken(&env, &repo, "codex", "configured", "not-opted-in", &install("codex"));
    assert!(!is_started(&env, "claude") && !is_started(&env, "codex"));
    env.ox(["hooks", "uninstall"]).ok();
    let all = env.ox_in(&repo, ["hooks", "test"]);
    assert!(all.code == Some(1) && all.stderr.ends_with("hint: ox hooks install\n"), "{all:?}");
    leaves_nothing(&env);
    env.stop_daemon();
}

#[test]
fn a_program_that_does_not_run_ours_is_told_from_an_entry_that_does_not_deliver() {
    let (mut env, repo) = machine();
    env.set("FAKE", "silent");
    let next = "type /hooks in codex: it may want them to be trusted anew";
    let agent = broken(&env, &repo, "codex", "fired", "not-fired", next);
    let first = fired(&agent, "SessionStart");
    assert_eq!((&first["fired"], &first["delivered"]), (&"no".into(), &true.into()), "{agent:#}");
    env.unset("FAKE");
    assert!(is_started(&env, "codex"));
    // The link leads to a program, but not to ours.
    let link = env.home().join(".sageox/bin/ox");
    let program = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("/bin/true", &link).unwrap();
    let install = "ox hooks install --agent claude";
    let agent = broken(&env, &repo, "claude", "delivered", "not-delivered", install);
    assert_eq!(fired(&agent, "Stop")["delivered"], false, "{agent:#}");
    fs::remove_file(&link).unwrap();
    symlink(program, &link).unwrap();
    // Nobody may write into the spool; where that stops nobody, something else has the place of its file.
    let dir = spool::dir(&env.data().join("sageox"));
    let current = dir.join("in.jsonl");
    let _ = fs::remove_file(&current);
    let mode = |mode| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    match rustix::process::geteuid().is_root() {
        true => fs::create_dir(&current).unwrap(),
        false => mode(0o500),
    }
    let agent = broken(&env, &repo, "claude", "delivered", "spool-unwritable", "ox doctor");
    assert!(agent["broken"][0]["what"].as_str().unwrap().contains("in.jsonl"), "{agent:#}");
    mode(0o700);
    let _ = fs::remove_dir(&current);
    // The daemon, which could not read there either, tries again at growing times.
    until(|| env.ox_in(&repo, ["hooks", "test", "claude"]).code == Some(0));
    leaves_nothing(&env);
    env.stop_daemon();
}

#[test]
fn without_a_daemon_events_are_delivered_and_not_stored_then_nor_later() {
    let (mut env, repo) = machine();
    env.ox_in(&repo, ["daemon", "stop", "--all"]).ok();
    env.set("OX_NO_DAEMON", "1");
    let agent = broken(&env, &repo, "claude", "stored", "daemon-absent", "ox daemon start");
    let stop = fired(&agent, "Stop");
    let is = ["fired", "delivered", "stored"].map(|key| stop[key].clone());
    assert_eq!(is, [json!("run"), json!(true), json!(false)], "{agent:#}");
    env.unset("OX_NO_DAEMON");
    // What waits in the spool is not taken for an event by the next one.
    env.ox_in(&repo, ["daemon", "start"]).ok();
    let (document, _) = tested(&env, &repo, "claude");
    assert_eq!(document["agents"][0]["works"], true, "{document:#}");
    let waiting = || env.ox_in(&repo, ["hooks", "status", "--json"]).ok().json()["waiting"]["events"].clone();
    until(|| waiting() == 0);
    leaves_nothing(&env);
    env.stop_daemon();
}

#[test]
fn where_the_program_cannot_be_run_its_commands_are_and_that_is_said() {
    let (mut env, repo) = machine();
    env.set("FAKE", "fail");
    let (document, _) = tested(&env, &repo, "claude");
    let agent = &document["agents"][0];
    assert_eq!((&agent["works"], &agent["how"]), (&true.into(), &"replayed".into()), "{agent:#}");
    assert_eq!(agent["not_run_because"], "it ended with 7: no such flag");
    assert!(agent["events"].as_array().unwrap().iter().all(|one| one["fired"] == "replayed"), "{agent:#}");
    let page = env.ox_in(&repo, ["hooks", "test", "claude"]).ok();
    assert!(page.stderr.contains("claude was not run (it ended with 7: no such flag)"), "{page:?}");
    // What it came to counts, and the rest is replayed.
    env.set("FAKE", "cut");
    let (document, _) = tested(&env, &repo, "claude");
    let agent = &document["agents"][0];
    let fired_by = |event: &str| fired(agent, event)["fired"].as_str().unwrap().to_owned();
    assert_eq!([fired_by("SessionStart"), fired_by("Stop")], ["run", "replayed"], "{agent:#}");
    assert!(agent["notes"][0].as_str().unwrap().contains("it ended with 3"), "{agent:#}");
    env.unset("FAKE");
    fs::remove_file(env.work().join("bin/claude")).unwrap();
    let real =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("claude").exists());
    if !real {
        let (document, _) = tested(&env, &repo, "claude");
        assert_eq!(document["agents"][0]["not_run_because"], "it is not on PATH", "{document:#}");
    }
    leaves_nothing(&env);
    env.stop_daemon();
}

/// What a program's run is told.
fn words(env: &TestEnv, hooks: &Hooks) -> String {
    fs::read_to_string(env.home().join(format!("started.{}", hooks.word))).unwrap()
}

#[test]
fn a_run_asks_no_model_keeps_no_transcript_and_has_the_user_s_settings() {
    let (mut env, repo) = machine();
    // What an agent in whose shell this is run has set, and what would lead to a model.
    for name in ["CLAUDECODE", "CODEX_THREAD_ID", "OX_HOOK_DEPTH", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"] {
        env.set(name, "1");
    }
    let script = env.work().join("bin/codex");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, text.replacen('\n', "\nenv >\"$HOME/variables\"\n", 1)).unwrap();
    for word in ["claude", "codex"] {
        assert_eq!(tested(&env, &repo, word).0["agents"][0]["works"], true);
    }
    let (claude, codex) = (words(&env, &ox::harness::hooks::CLAUDE), words(&env, &CODEX));
    for word in
        ["--no-session-persistence", "--strict-mcp-config", "\"ANTHROPIC_BASE_URL\":\"http://127.0.0.1:"]
    {
        assert!(claude.contains(word), "{claude}");
    }
    for word in ["exec --json --ephemeral", "read-only", "base_url=\"http://127.0.0.1:"] {
        assert!(codex.contains(word), "{codex}");
    }
    let variables = fs::read_to_string(env.home().join("variables")).unwrap();
    for name in ["CLAUDECODE", "CODEX_THREAD_ID", "OX_HOOK_DEPTH", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"] {
        assert!(!variables.lines().any(|line| line.starts_with(&format!("{name}="))), "{variables}");
    }
    let home = env.home().display().to_string();
    assert!(variables.lines().any(|line| line == format!("HOME={home}")), "{variables}");
    assert!(variables.contains("HTTPS_PROXY=http://127.0.0.1:"), "{variables}");
    env.stop_daemon();
}

#[test]
fn an_entry_may_be_told_to_take_an_event_in_and_do_no_more() {
    let (mut env, repo) = machine();
    let settings = fs::read(env.home().join(".claude/settings.json")).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    let command = settings["hooks"]["SessionStart"][0]["hooks"][0]["command"].as_str().unwrap().to_owned();
    let fire = |env: &TestEnv, session: &str| {
        let payload = json!({ "session_id": session, "transcript_path": "/t", "cwd": repo, "hook_event_name": "SessionStart" });
        let cmd = env.cmd("/bin/sh").args(["-c", &command]).dir(&repo);
        run(cmd.stdin_bytes(payload.to_string().into_bytes()), command.clone()).ok().stdout
    };
    let stored = |env: &TestEnv| {
        let all = env.ox(["events", "list", "--json"]).ok().json();
        all["events"].as_array().unwrap().len()
    };
    env.set("OX_HOOKS", "store");
    assert_eq!(fire(&env, "one"), "");
    until(|| stored(&env) == 1);
    let agents = |env: &TestEnv| env.ox_in(&repo, ["agent", "list", "--json"]).ok().stdout;
    let before = agents(&env);
    env.unset("OX_HOOKS");
    until(|| !fire(&env, "two").is_empty());
    assert_ne!(agents(&env), before, "a session that is somebody's is introduced");
    env.stop_daemon();
}

#[test]
fn a_session_that_is_forgotten_leaves_nothing_and_takes_nothing_with_it() {
    let mut bench = Bench::new();
    let now = seen::now().as_millisecond();
    let record = |session: &str, event: &str| {
        let payload = json!({ "session_id": session, "tool_name": "Bash", "tool_use_id": "toolu_1", "prompt": "Hello" });
        seen::record("claude", event, &payload, now)
    };
    let ours = ["UserPromptSubmit", "PreToolUse", "PostToolUse"].map(|event| record("ours", event));
    let others = [record("theirs", "UserPromptSubmit"), record("", "Notification")];
    let late = record("ours", "Stop");
    bench.store().take(&[&ours[..], &others[..]].concat()).unwrap();
    let all = ours.iter().chain([&late]);
    let lines: Vec<(&str, i64)> = all.map(|record| (record.spool_id.as_str(), record.at_ms)).collect();
    assert_eq!(bench.store().forget("ours", &lines).unwrap(), 3);
    assert_eq!(bench.store().forget("ours", &lines).unwrap(), 0);
    assert_eq!(bench.store().forget("", &[]).unwrap(), 0, "events without a session are not one session");
    assert_eq!(bench.events().len(), 2);
    let mut seq = |of: &str| {
        let all = bench.store().list(&Filter { limit: 9, ..Filter::default() }).unwrap();
        all.into_iter().find(|event| event.session_id == of).map(|event| event.seq)
    };
    let (own, nobodys) = (seq("theirs").unwrap(), seq("").unwrap());
    assert!(!bench.store().forget_nobodys(own).unwrap(), "it is somebody's");
    assert!(
        bench.store().forget_nobodys(nobodys).unwrap() && !bench.store().forget_nobodys(nobodys).unwrap()
    );
    assert_eq!(bench.events().len(), 1);
    let live = bench.store().live(seen::now()).unwrap();
    assert_eq!(live.iter().map(|one| one.session_id.as_str()).collect::<Vec<_>>(), ["theirs"]);
    // A line that comes later was taken in already; and what is told anew counts anew.
    assert_eq!(bench.store().take(&[late]).unwrap().replayed, 1);
    assert_eq!(bench.store().take(&[record("ours", "UserPromptSubmit")]).unwrap().new, 1);
}
