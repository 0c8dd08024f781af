//! `ox hooks install`, `uninstall` and `status` on real files, as a person or a script meets them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ox::harness::hooks::{CLAUDE, CODEX, GEMINI, Hooks};
use ox::kit::rng::Rng;
use serde_json::{Value, json};

use crate::support::TestEnv;

const AGENTS: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

fn file(env: &TestEnv, agent: &str) -> PathBuf {
    env.home().join(match agent {
        "claude" => ".claude/settings.json",
        "codex" => ".codex/hooks.json",
        "gemini" => ".gemini/settings.json",
        _ => ".config/opencode/plugin/ox.js",
    })
}

/// A machine on which every agent program has a directory.
fn machine() -> TestEnv {
    let env = TestEnv::new();
    for agent in AGENTS {
        let path = file(&env, agent);
        let dir = if agent == "opencode" {
            path.parent().unwrap().parent().unwrap()
        } else {
            path.parent().unwrap()
        };
        fs::create_dir_all(dir).unwrap();
    }
    env
}

fn install(env: &TestEnv, agent: &str) -> Value {
    env.ox(["hooks", "install", "--agent", agent, "--force", "--json"]).ok().json()
}

fn uninstall(env: &TestEnv, agent: &str) -> Value {
    env.ox(["hooks", "uninstall", "--agent", agent, "--json"]).ok().json()
}

fn result(document: &Value, agent: &str) -> String {
    let all = document["agents"].as_array().unwrap();
    let one = all.iter().find(|one| one["agent"] == agent).unwrap_or_else(|| panic!("{agent}: {document}"));
    one["result"].as_str().unwrap().to_owned()
}

fn status(env: &TestEnv, agent: &str) -> Value {
    let document = env.ox(["hooks", "status", "--json"]).ok().json();
    let all = document["agents"].as_array().unwrap();
    all.iter().find(|one| one["agent"] == agent).unwrap().clone()
}

fn flag(env: &TestEnv, agent: &str) -> PathBuf {
    env.data().join("sageox/hooks").join(format!("enabled.{agent}"))
}

fn config(env: &TestEnv, key: &str) -> String {
    env.ox(["config", "get", key]).ok().stdout.trim().to_owned()
}

/// Everything below the home directory but what is ours alone: path, kind, mode, content.
fn others(env: &TestEnv) -> Vec<(PathBuf, u32, Vec<u8>)> {
    fn walk(dir: &Path, all: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            let is_ours = path.ends_with("sageox") || path.ends_with(".sageox") || path.ends_with(".cache");
            let meta = path.symlink_metadata().unwrap();
            if is_ours {
                continue;
            }
            if meta.is_dir() {
                walk(&path, all);
            }
            let content = match meta.is_file() {
                true => fs::read(&path).unwrap(),
                false => fs::read_link(&path)
                    .map(|to| to.into_os_string().into_encoded_bytes())
                    .unwrap_or_default(),
            };
            all.push((path, meta.mode(), content));
        }
    }
    let mut all = Vec::new();
    walk(&env.home(), &mut all);
    all.sort();
    all
}

#[test]
fn what_is_installed_is_the_rows_and_goes_again_without_a_trace() {
    let env = machine();
    let before = others(&env);
    for agent in AGENTS {
        let one = status(&env, agent);
        assert_eq!((&one["state"], &one["effective"]), (&"off".into(), &false.into()), "{one}");
    }
    let ran = env.ox(["hooks", "install", "--force"]).ok();
    for agent in AGENTS {
        assert!(ran.stdout.contains(&format!("{agent}: installed, ~/")), "{ran:?}");
        assert_eq!(config(&env, &format!("hooks.{agent}")), "true");
        assert_eq!(fs::metadata(flag(&env, agent)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file(&env, agent)).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(config(&env, "hooks.enabled"), "true");
    assert!(ran.stderr.contains("type /hooks in codex"), "{ran:?}");
    let lines = fs::read_to_string(flag(&env, "codex")).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!((lines[0], lines[1], lines[2].len(), lines.len()), ("initialized", "meta", 64, 4));
    assert_eq!(fs::read_to_string(flag(&env, "claude")).unwrap().lines().nth(2), Some(lines[2]));
    let link = env.home().join(".sageox/bin/ox");
    let program = fs::read_link(&link).unwrap();
    assert!(program.is_absolute() && program.is_file(), "{program:?}");
    for (hooks, agent) in [(&CLAUDE, "claude"), (&CODEX, "codex"), (&GEMINI, "gemini")] {
        let written: Value = serde_json::from_slice(&fs::read(file(&env, agent)).unwrap()).unwrap();
        for event in hooks.events {
            let group = &written["hooks"][event.name][0];
            assert_eq!(group.get("matcher").and_then(Value::as_str), event.matcher, "{group}");
            let command =
                format!("[ -x \"{0}\" ] && \"{0}\" hook {agent} {1} || :", link.display(), event.name);
            let handler = json!({ "type": "command", "command": command, "timeout": event.timeout });
            assert_eq!(group["hooks"], json!([handler]));
        }
    }
    let plugin = fs::read_to_string(file(&env, "opencode")).unwrap();
    assert!(plugin.contains(link.to_str().unwrap()), "{plugin}");
    let installed = others(&env);
    let again = env.ox(["hooks", "install", "--force", "--json"]).ok().json();
    AGENTS.iter().for_each(|agent| assert_eq!(result(&again, agent), "unchanged"));
    assert_eq!(others(&env), installed, "a second run changes nothing");
    for agent in ["claude", "gemini", "opencode"] {
        let one = status(&env, agent);
        assert_eq!((&one["state"], &one["installed"]), (&"on".into(), &true.into()), "{one}");
    }
    let gone = env.ox(["hooks", "uninstall", "--json"]).ok().json();
    AGENTS.iter().for_each(|agent| assert_eq!(result(&gone, agent), "removed"));
    let mut after = others(&env);
    after.retain(|(path, ..)| !path.ends_with(".config/opencode/plugin"));
    assert_eq!(after, before);
    assert!(!link.is_symlink() && AGENTS.iter().all(|agent| !flag(&env, agent).exists()));
    assert_eq!(
        (config(&env, "hooks.enabled"), config(&env, "hooks.codex")),
        ("false".into(), "false".into())
    );
    let nothing = env.ox(["hooks", "uninstall"]).ok();
    assert!(nothing.stdout.contains("nothing of ours"), "{nothing:?}");
}

/// A command that a program or a person may have in its settings.
const COMMANDS: [&str; 6] = [
    "ox agent prime",
    "ox agent hook SessionStart",
    "ox-adapter-codex hook",
    "npx lint \\\"$FILE\\\"",
    "caf\\u00e9 \\/ \\ud83d\\ude00",
    "ox hooks status",
];

/// A settings file as people and programs write them: of any layout, with hooks of others.
fn generated(seed: u64, hooks: &Hooks, comments: bool) -> String {
    let mut rng = Rng::new(seed);
    let mut pick = |n: u64| rng.below(n);
    let (newline, unit) = (["\n", "\r\n"][pick(2) as usize], ["  ", "\t", "    ", ""][pick(4) as usize]);
    let is_wide = pick(4) > 0;
    let line =
        |depth: usize| if is_wide { format!("{newline}{}", unit.repeat(depth)) } else { String::new() };
    let mut note = || match comments && pick(3) == 0 {
        true => format!(" // it's {{ \"{newline}"),
        false => String::new(),
    };
    let mut rng = Rng::new(seed ^ 1);
    let mut pick = |n: u64| rng.below(n);
    let mut events = Vec::new();
    for event in hooks.events.iter().map(|event| event.name).chain(["Unheard"]) {
        if pick(2) == 0 {
            continue;
        }
        let groups: Vec<String> = (0..pick(3))
            .map(|_| {
                let handlers: Vec<String> = (0..pick(3))
                    .map(|_| {
                        let command = COMMANDS[pick(6) as usize];
                        let rest = ["", ", \"timeout\": 9", ", \"statusMessage\": \"x\""][pick(3) as usize];
                        format!("{{\"type\":\"command\", \"command\": \"{command}\"{rest}}}")
                    })
                    .collect();
                let matcher = ["", "\"matcher\": \"Bash\", ", "\"matcher\":\"\","][pick(3) as usize];
                format!("{}{{{matcher}\"hooks\": [{}]}}", line(3), handlers.join(", "))
            })
            .collect();
        events.push(format!("{}\"{event}\" :[{}{}]", line(2), groups.join(","), line(2)));
    }
    let mut members = vec![format!("{}\"hooks\": {{{}{}{}}}", line(1), note(), events.join(","), line(1))];
    if pick(2) == 0 {
        members.insert(0, format!("{}\"description\": \"a {{ b\"", line(1)));
    }
    if pick(6) == 0 {
        members.remove(members.len() - 1);
    }
    format!("{{{}{}{}}}{}", note(), members.join(","), line(0), ["", newline][pick(2) as usize])
}

#[test]
fn rly_14_a_hundred_files_come_back_byte_for_byte_and_no_hook_of_others_moves() {
    let env = machine();
    for seed in 0..34 {
        let mut before = Vec::new();
        for (hooks, agent, comments) in
            [(&CLAUDE, "claude", false), (&CODEX, "codex", false), (&GEMINI, "gemini", true)]
        {
            let text = generated(seed, hooks, comments);
            fs::write(file(&env, agent), &text).unwrap();
            before.push((agent, text));
        }
        let done = env.ox(["hooks", "install", "--force", "--json"]).ok().json();
        let mut installed = Vec::new();
        for (agent, text) in &before {
            assert_eq!(result(&done, agent), "installed", "{seed}: {text}");
            let now = fs::read_to_string(file(&env, agent)).unwrap();
            let taken =
                COMMANDS.iter().all(|command| text.matches(command).count() == now.matches(command).count());
            assert!(taken, "{now}");
            assert_eq!(fs::read_to_string(file(&env, agent).with_extension("json.ox-bak")).unwrap(), *text);
            installed.push(now);
        }
        let again = env.ox(["hooks", "install", "--force", "--json"]).ok().json();
        for ((agent, _), installed) in before.iter().zip(&installed) {
            assert_eq!(result(&again, agent), "unchanged");
            assert_eq!(fs::read_to_string(file(&env, agent)).unwrap(), *installed);
        }
        env.ox(["hooks", "uninstall"]).ok();
        for (agent, text) in &before {
            assert_eq!(fs::read_to_string(file(&env, agent)).unwrap(), *text, "{seed} {agent}");
            assert!(!file(&env, agent).with_extension("json.ox-bak").exists());
        }
    }
}

#[test]
fn rly_14_a_file_that_its_agent_rejects_is_left_alone_and_told_as_that() {
    let env = machine();
    let handler = |handler: &str| format!("{{\"hooks\":{{\"Stop\":[{{\"hooks\":[{handler}]}}]}}}}");
    let codex: Vec<(String, &str)> = vec![
        ("{\"version\": 1, \"hooks\": {}}".into(), "\"version\""),
        ("{\"$schema\": \"x\"}".into(), "\"$schema\""),
        ("{\n  // mine\n  \"hooks\": {}\n}".into(), "a comment (line 2)"),
        ("{\"hooks\": {},}".into(), "no JSON"),
        ("{\"hooks\": {".into(), "ends too early"),
        ("\u{feff}{}".into(), "byte order mark"),
        (handler("{\"type\":\"http\",\"url\":\"x\"}"), "type \"http\""),
        (
            handler("{\"type\":\"command\",\"command\":\"x\",\"timeout\":\"3\"}"),
            "timeout is not a whole number",
        ),
        (handler("{\"type\":\"command\",\"command\":1}"), "command is not a text"),
    ];
    let claude: Vec<(String, &str)> = vec![
        ("{\"model\": \"x\" /* mine */}".into(), "a comment (line 1)"),
        ("{\"model\": \"x\"".into(), "ends too early"),
    ];
    let unclear: Vec<(String, &str)> = vec![
        ("[]".into(), "holds no object"),
        ("{\"hooks\": []}".into(), "hooks is no object"),
        ("{\"hooks\": {\"SessionEnd\": {}}}".into(), "hooks.SessionEnd is no list"),
    ];
    for (agent, state, cases) in [
        ("codex", "file rejected", codex),
        ("claude", "file rejected", claude),
        ("claude", "file unclear", unclear.clone()),
        ("gemini", "file unclear", unclear),
    ] {
        for (text, why) in cases {
            fs::write(file(&env, agent), &text).unwrap();
            let ran = env.ox(["hooks", "install", "--agent", agent, "--force"]).fails(1);
            assert!(ran.stderr.contains(why) && ran.stderr.contains("hint: ox hooks status"), "{ran:?}");
            assert_eq!(fs::read_to_string(file(&env, agent)).unwrap(), text);
            let one = status(&env, agent);
            assert_eq!(one["state"], state, "{one}");
            assert!(one["file_rejected"].as_str().unwrap().contains(why), "{one}");
            assert_eq!(one["opted_in"], true, "a failed change keeps the wish");
            assert!(!flag(&env, agent).exists());
            let left: Vec<_> = fs::read_dir(file(&env, agent).parent().unwrap()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
        fs::remove_file(file(&env, agent)).unwrap();
        assert_eq!(result(&install(&env, agent), agent), "installed");
        assert_eq!(result(&uninstall(&env, agent), agent), "removed");
    }
}

#[test]
fn a_linked_file_stays_linked_and_a_read_only_one_is_not_written() {
    let env = machine();
    let (path, real) = (file(&env, "claude"), env.home().join("dotfiles/claude.json"));
    fs::create_dir_all(real.parent().unwrap()).unwrap();
    fs::write(&real, "{\n\t\"model\": \"x\"\n}").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../dotfiles/claude.json", &path).unwrap();
    install(&env, "claude");
    assert!(path.is_symlink() && !real.is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(real.parent().unwrap()).unwrap().count(), 1);
    uninstall(&env, "claude");
    assert_eq!(fs::read_to_string(&real).unwrap(), "{\n\t\"model\": \"x\"\n}");
    fs::write(file(&env, "codex"), "{}").unwrap();
    fs::set_permissions(file(&env, "codex"), fs::Permissions::from_mode(0o444)).unwrap();
    let ran = env.ox(["hooks", "install", "--agent", "codex", "--force"]).fails(2);
    assert!(ran.stderr.contains("it is read-only"), "{ran:?}");
    assert_eq!(fs::read_to_string(file(&env, "codex")).unwrap(), "{}");
    symlink("nowhere/settings.json", file(&env, "gemini")).unwrap();
    let ran = env.ox(["hooks", "install", "--agent", "gemini", "--force"]).fails(2);
    assert!(ran.stderr.contains("does not exist"), "{ran:?}");
    assert!(file(&env, "gemini").is_symlink());
}

#[test]
fn a_wish_is_kept_when_the_change_fails_and_is_made_good_later_in_both_directions() {
    let env = machine();
    fs::write(file(&env, "codex"), "{ // mine\n}").unwrap();
    let ran = env.ox(["hooks", "install", "--force", "--json"]).fails(1);
    let document = ran.json();
    assert_eq!(result(&document, "codex"), "failed", "one that fails keeps no other from it");
    assert_eq!(result(&document, "claude"), "installed");
    assert!(status(&env, "claude")["installed"] == true && !flag(&env, "codex").exists());
    fs::write(file(&env, "codex"), "{}").unwrap();
    let again = install(&env, "claude");
    assert_eq!(result(&again, "codex"), "installed", "what was wanted before is made good");
    assert!(flag(&env, "codex").exists());
    // What somebody has undone comes back.
    fs::write(file(&env, "claude"), "{\"hooks\":{\"Stop\":[]}}").unwrap();
    fs::remove_file(flag(&env, "claude")).unwrap();
    assert_eq!(status(&env, "claude")["state"], "missing");
    assert_eq!(result(&install(&env, "codex"), "claude"), "installed");
    assert_eq!(status(&env, "claude")["state"], "on");
    // The master is off: what is left over goes, though nobody named the agent.
    env.ox(["config", "set", "hooks.enabled", "false"]).ok();
    assert_eq!(status(&env, "claude")["state"], "left over");
    let done = uninstall(&env, "gemini");
    assert_eq!(result(&done, "claude"), "removed");
    assert_eq!(result(&done, "codex"), "removed");
    assert_eq!(fs::read_to_string(file(&env, "claude")).unwrap(), "{\"hooks\":{\"Stop\":[]}}");
    assert_eq!(config(&env, "hooks.codex"), "true", "the agent's own wish stays");
    // A wish that cannot be read changes nothing.
    install(&env, "claude");
    let user = env.home().join(".config/sageox/config.yaml");
    let text = fs::read_to_string(&user).unwrap();
    fs::write(&user, text.replace("enabled: true", "enabled: perhaps")).unwrap();
    let ran = env.ox(["hooks", "status"]).fails(2);
    assert!(ran.stderr.contains("hooks.enabled"), "{ran:?}");
    assert!(flag(&env, "claude").exists());
}

#[test]
fn one_agent_is_one_switch_and_its_flag_goes_even_if_its_file_cannot_be_read() {
    let env = machine();
    install(&env, "claude");
    install(&env, "codex");
    assert!(!file(&env, "gemini").exists() && !flag(&env, "gemini").exists());
    fs::write(file(&env, "codex"), "{ ox hook codex").unwrap();
    let ran = env.ox(["hooks", "uninstall", "--agent", "codex"]).fails(1);
    assert!(ran.stderr.contains("no JSON"), "{ran:?}");
    assert!(!flag(&env, "codex").exists() && flag(&env, "claude").exists());
    assert_eq!((config(&env, "hooks.codex"), config(&env, "hooks.enabled")), ("false".into(), "true".into()));
    assert_eq!(status(&env, "claude")["state"], "on");
    env.ox(["config", "set", "hooks.payload", "full"]).ok();
    install(&env, "claude");
    assert_eq!(fs::read_to_string(flag(&env, "claude")).unwrap().lines().nth(1), Some("full"));
}

#[test]
fn what_others_have_put_there_stays_and_only_ours_goes() {
    let env = machine();
    install(&env, "claude");
    let theirs = json!({ "type": "command", "command": "theirs" });
    let mut settings: Value = serde_json::from_slice(&fs::read(file(&env, "claude")).unwrap()).unwrap();
    settings["hooks"]["Stop"][0]["hooks"].as_array_mut().unwrap().push(theirs.clone());
    settings["model"] = "x".into();
    fs::write(file(&env, "claude"), settings.to_string()).unwrap();
    assert_eq!(result(&install(&env, "claude"), "claude"), "unchanged");
    uninstall(&env, "claude");
    let left: Value = serde_json::from_slice(&fs::read(file(&env, "claude")).unwrap()).unwrap();
    assert_eq!(left, json!({ "hooks": { "Stop": [{ "hooks": [theirs] }] }, "model": "x" }));
    fs::create_dir_all(file(&env, "opencode").parent().unwrap()).unwrap();
    fs::write(file(&env, "opencode"), "export const X = 1\n").unwrap();
    let ran = env.ox(["hooks", "install", "--agent", "opencode", "--force"]).fails(1);
    assert!(ran.stderr.contains("not made by ox"), "{ran:?}");
    uninstall(&env, "opencode");
    assert_eq!(fs::read_to_string(file(&env, "opencode")).unwrap(), "export const X = 1\n");
}

#[test]
fn rly_15_an_older_command_is_put_right_in_its_place() {
    let env = machine();
    let old = r#"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"/opt/old/ox hook codex Stop","timeout":9,"statusMessage":"x"}]},{"hooks":[{"type":"command","command":"theirs"}]}]}}"#;
    fs::write(file(&env, "codex"), old).unwrap();
    env.ox(["config", "set", "hooks.enabled", "true"]).ok();
    env.ox(["config", "set", "hooks.codex", "true"]).ok();
    let one = status(&env, "codex");
    assert_eq!((&one["state"], &one["stale_path"]), (&"incomplete".into(), &"/opt/old/ox".into()), "{one}");
    assert_eq!(one["installed_events"], json!(["Stop"]));
    install(&env, "codex");
    let now: Value = serde_json::from_slice(&fs::read(file(&env, "codex")).unwrap()).unwrap();
    let stop = &now["hooks"]["Stop"];
    assert_eq!(
        (&stop[0]["hooks"][0]["timeout"], &stop[1]["hooks"][0]["command"]),
        (&5.into(), &"theirs".into())
    );
    assert_eq!((&stop[0]["hooks"][0]["statusMessage"], stop.as_array().unwrap().len()), (&"x".into(), 2));
    // The link is what moves: the settings stay as they are.
    let before = fs::read(file(&env, "codex")).unwrap();
    let link = env.home().join(".sageox/bin/ox");
    fs::remove_file(&link).unwrap();
    symlink("/gone/ox", &link).unwrap();
    assert!(status(&env, "codex")["stale_path"].as_str().unwrap().ends_with(".sageox/bin/ox"));
    assert_eq!(result(&install(&env, "codex"), "codex"), "unchanged");
    assert!(link.is_file() && status(&env, "codex")["stale_path"].is_null());
    assert_eq!(fs::read(file(&env, "codex")).unwrap(), before);
}

#[test]
fn rly_12_codex_is_asked_what_it_says_and_told_nothing() {
    let env = machine();
    let config = env.home().join(".codex/config.toml");
    fs::write(&config, "# mine\n[features]\nhooks = false # no\n").unwrap();
    let done = install(&env, "codex");
    let steps = done["agents"][0]["next_steps"].to_string();
    assert!(steps.contains("ox hooks install --agent codex --enable-feature"), "{done}");
    let one = status(&env, "codex");
    assert_eq!(
        json!([one["state"], one["feature"], one["trust"]]),
        json!(["switched off", "off", "untrusted"])
    );
    let on = env.ox(["hooks", "install", "--agent", "codex", "--enable-feature", "--force"]).ok();
    assert!(on.stdout.contains("switched the use of hooks on"), "{on:?}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n[features]\nhooks = true # no\n");
    assert_eq!(status(&env, "codex")["state"], "untrusted");
    let path = file(&env, "codex");
    let snake = |name: &str| {
        name.chars().enumerate().fold(String::new(), |out, (n, c)| {
            let gap = if n > 0 && c.is_ascii_uppercase() { "_" } else { "" };
            format!("{out}{gap}{}", c.to_ascii_lowercase())
        })
    };
    let entry = |name: &str| {
        format!("[hooks.state.\"{}:{}:0:0\"]\ntrusted_hash = \"sha256:a\"\n", path.display(), snake(name))
    };
    let all: String = CODEX.events.iter().map(|event| entry(event.name)).collect();
    fs::write(&config, &all).unwrap();
    let one = status(&env, "codex");
    assert_eq!((&one["state"], &one["trust"]), (&"on".into(), &"trusted or modified".into()), "{one}");
    uninstall(&env, "codex");
    assert_eq!(fs::read_to_string(&config).unwrap(), all);
}

#[test]
fn rly_12_hooks_of_others_that_move_up_may_have_to_be_trusted_anew_and_that_is_told() {
    let env = machine();
    install(&env, "codex");
    let mut written: Value = serde_json::from_slice(&fs::read(file(&env, "codex")).unwrap()).unwrap();
    let theirs = json!({ "hooks": [{ "type": "command", "command": "theirs" }] });
    written["hooks"]["Stop"].as_array_mut().unwrap().push(theirs);
    fs::write(file(&env, "codex"), written.to_string()).unwrap();
    let ran = env.ox(["hooks", "uninstall", "--agent", "codex"]).ok();
    assert!(ran.stdout.contains("codex: removed"), "{ran:?}");
    assert!(ran.stderr.contains("(/hooks): Stop\n"), "{ran:?}");
    assert!(ran.stderr.contains("events of codex are read from its transcripts all the same"), "{ran:?}");
    let again = env.ox(["hooks", "uninstall", "--agent", "codex"]).ok();
    assert!(!again.stderr.contains("transcripts") && again.stdout.contains("nothing of ours"), "{again:?}");
}

#[test]
fn a_preview_shows_the_change_and_makes_none() {
    let env = machine();
    fs::write(file(&env, "codex"), "{\n  \"description\": \"mine\"\n}\n").unwrap();
    let before = others(&env);
    let ran = env.ox(["hooks", "install", "--agent", "codex", "--dry-run"]).ok();
    assert!(
        ran.stdout.contains("\n-  \"description\": \"mine\"\n+  \"description\": \"mine\",\n+  \"hooks\": {"),
        "{ran:?}"
    );
    let all = env.ox(["hooks", "install", "--dry-run", "--json"]).ok().json();
    assert_eq!(all["agents"].as_array().unwrap().len(), 4);
    assert_eq!(others(&env), before);
    assert!(!env.home().join(".sageox").exists() && !env.data().join("sageox/hooks").exists());
    assert_eq!(config(&env, "hooks.codex"), "false");
    install(&env, "codex");
    let ran = env.ox(["hooks", "install", "--agent", "codex", "--dry-run"]).ok();
    assert!(ran.stdout.contains("nothing would change"), "{ran:?}");
    let ran = env.ox(["hooks", "uninstall", "--agent", "codex", "--dry-run"]).ok();
    assert!(ran.stdout.contains("\n-  \"hooks\": {"), "{ran:?}");
    assert_eq!(status(&env, "codex")["installed"], true);
}

#[test]
fn in_a_container_nothing_is_written_unless_it_is_forced() {
    let mut env = machine();
    env.set("container", "podman");
    let ran = env.ox(["hooks", "install", "--agent", "claude"]).fails(1);
    assert!(
        ran.stderr.contains("this is a container") && ran.stderr.contains("ox hooks install --force"),
        "{ran:?}"
    );
    assert!(!file(&env, "claude").exists() && !env.home().join(".sageox/bin").exists());
    assert_eq!(config(&env, "hooks.claude"), "true");
    install(&env, "claude");
    let again = env.ox(["hooks", "install", "--agent", "claude"]).ok();
    assert!(again.stdout.contains("unchanged"), "what stands there already may be put right: {again:?}");
    uninstall(&env, "claude");
    assert!(!file(&env, "claude").exists());
}

#[test]
fn an_agent_that_is_not_here_is_left_out_unless_it_is_named() {
    let env = TestEnv::new();
    fs::create_dir_all(env.home().join(".codex")).unwrap();
    let done = env.ox(["hooks", "install", "--force", "--json"]).ok().json();
    assert_eq!(done["agents"].as_array().unwrap().len(), 1, "{done}");
    assert!(!env.home().join(".claude").exists());
    install(&env, "claude");
    assert!(file(&env, "claude").is_file());
    fs::remove_dir_all(env.home().join(".claude")).unwrap();
    install(&env, "codex");
    assert!(file(&env, "claude").is_file(), "what is wanted and was there comes back");
}

#[test]
fn a_moved_directory_is_found_again_without_its_variable() {
    let mut env = machine();
    let moved = env.home().join("elsewhere");
    fs::create_dir_all(&moved).unwrap();
    env.set("CODEX_HOME", &moved);
    install(&env, "codex");
    assert!(moved.join("hooks.json").is_file() && !file(&env, "codex").exists());
    env.unset("CODEX_HOME");
    fs::write(moved.join("hooks.json"), "{}").unwrap();
    install(&env, "claude");
    assert!(fs::read_to_string(moved.join("hooks.json")).unwrap().contains("hook codex"));
    assert!(!file(&env, "codex").exists(), "nothing is put where it was not asked for");
    uninstall(&env, "codex");
    assert!(
        !moved.join("hooks.json").exists() || fs::read_to_string(moved.join("hooks.json")).unwrap() == "{}"
    );
}

#[test]
fn hooks_are_offered_where_an_agent_is_set_up_until_the_user_has_said_something() {
    let env = TestEnv::new();
    let repo = env.repo("r");
    let is_offered = || env.ox_in(&repo, ["up"]).ok().stderr.contains("ox hooks install has them tell");
    assert!(!is_offered(), "no agent is set up");
    fs::create_dir_all(env.home().join(".claude")).unwrap();
    let signs = ["/.dockerenv", "/run/.containerenv"];
    let is_container = signs.iter().any(|sign| std::path::Path::new(sign).exists());
    assert_eq!(is_offered(), !is_container);
    env.ox(["config", "set", "hooks.enabled", "false"]).ok();
    assert!(!is_offered());
}
