//! `ox session`: what is recorded and what others have shared, listed, read and given out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::machine;
use crate::support::TestEnv;

/// A session in a directory, as the Go program and this one write it.
fn session(dir: &Path, name: &str, entries: &[Value]) {
    let dir = dir.join(name);
    fs::create_dir_all(&dir).unwrap();
    let header = json!({ "type": "header", "metadata": {
        "version": "1.0", "created_at": "2026-03-12T09:09:00Z", "agent_id": "OxTndR", "agent_type": "codex", "username": "Dana",
    }});
    let lines: Vec<String> = [header].iter().chain(entries).map(Value::to_string).collect();
    fs::write(dir.join("raw.jsonl"), lines.join("\n") + "\n").unwrap();
}

fn with_sessions() -> (TestEnv, PathBuf, PathBuf) {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let ledger = fs::read_link(repo.join(".sageox/ledger")).unwrap();
    let said = |kind: &str, text: &str, minute: u32| json!({ "type": kind, "content": text, "timestamp": format!("2026-03-12T09:{minute:02}:00Z"), "seq": minute });
    let call = json!({
        "type": "tool", "content": "", "timestamp": "2026-03-12T09:12:00Z", "seq": 2, "tool_name": "Bash",
        "tool_input": "{\"command\":\"ls <b>\"}", "tool_output": "no such file", "is_error": true,
    });
    let own = ledger.join(".sageox/cache/sessions");
    let entries =
        [said("user", "Fix the \u{1b}[31mparser", 10), said("assistant", "<script>done</script>", 11), call];
    session(&own, "2026-03-12T11-09-dana-OxTndR", &entries);
    session(&ledger.join("sessions"), "2026-03-13T11-09-bo-OxBBBB", &[said("user", "Another one", 1)]);
    (env, repo, ledger)
}

#[test]
fn sessions_of_this_machine_and_of_others_are_listed_newest_first() {
    let (env, repo, ledger) = with_sessions();
    let recent = env.ox_in(&repo, ["session", "list"]).ok();
    assert!(recent.stdout.is_empty() && recent.stderr.contains("next: ox session list --all"), "{recent:?}");
    let list = env.ox_in(&repo, ["session", "list", "--all"]).ok().stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[1].starts_with("2026-03-13T11-09-bo-OxBBBB") && lines[1].contains("shared"), "{list}");
    assert!(lines[2].contains("local") && lines[2].ends_with("Fix the parser"), "{list}");
    let all = env.ox_in(&repo, ["session", "list", "--all", "--json"]).ok().json();
    assert_eq!((&all["total"], &all["sessions"][1]["entry_count"]), (&2.into(), &3.into()), "{all}");
    assert_eq!(all["sessions"][1]["duration_seconds"], 180, "{all}");
    // What is kept elsewhere is told by its notes, and has nothing to show.
    let far = ledger.join("sessions/2026-03-14T11-09-bo-OxCCCC");
    fs::create_dir(&far).unwrap();
    fs::write(far.join("raw.jsonl"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        .unwrap();
    fs::write(far.join("meta.json"), r#"{"title":"Far away","entry_count":9}"#).unwrap();
    let list = env.ox_in(&repo, ["session", "list", "--all"]).ok().stdout;
    assert!(list.contains("Far away"), "{list}");
    let view = env.ox_in(&repo, ["session", "view", "OxCCCC"]).fails(2);
    assert!(view.stderr.contains("not on this machine"), "{view:?}");
    env.stop_daemon();
}

#[test]
fn a_session_is_shown_as_text_that_moves_no_cursor() {
    let (env, repo, _) = with_sessions();
    let view = env.ox_in(&repo, ["session", "view", "OxTndR"]).ok().stdout;
    assert!(view.contains("Fix the parser") && !view.contains('\u{1b}'), "{view}");
    assert!(view.contains("Bash failed 09:12:00\n  no such file\n"), "{view}");
    let last = env.ox_in(&repo, ["session", "view", "OxTndR", "--last", "1"]).ok().stdout;
    assert!(last.contains("Bash") && !last.contains("user"), "{last}");
    let newest = env.ox_in(&repo, ["session", "view", "--json"]).ok().json();
    assert_eq!(newest["entries"][0]["content"], "Another one");
    let none = env.ox_in(&repo, ["session", "view", "OxZZZZ"]).fails(2);
    assert!(none.stderr.contains("no such session: OxZZZZ"), "{none:?}");
    env.ox_in(&repo, ["session", "view", "../../etc"]).fails(2);
    env.stop_daemon();
}

#[test]
fn sessions_are_found_by_what_was_said_in_them_or_it_is_said_where_nothing_was() {
    let (env, repo, _) = with_sessions();
    let found = env.ox_in(&repo, ["session", "search", "parser"]).ok().stdout;
    assert!(
        found.starts_with("2026-03-12T11-09-dana-OxTndR  ") && found.contains("  user 10: Fix the "),
        "{found}"
    );
    assert!(!found.contains('\u{1b}') && !found.contains("OxBBBB"), "{found}");
    let both = env.ox_in(&repo, ["session", "search", "one OR parser", "--json"]).ok().json();
    assert_eq!((&both["sessions"], &both["searched"]), (&json!([]), &2.into()), "{both}");
    let none = env.ox_in(&repo, ["session", "search", "elsewhere"]).ok();
    assert!(
        none.stdout.is_empty()
            && none
                .stderr
                .contains("nothing found in 2 sessions of this machine, its archive and the ledger"),
        "{none:?}"
    );
    env.ox_in(&repo, ["session", "search", "*"]).fails(2);
    env.stop_daemon();
}

#[test]
fn a_session_is_exported_without_secrets_and_never_over_a_file() {
    let (env, repo, ledger) = with_sessions();
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let entry =
        json!({ "type": "user", "content": format!("use {token}"), "timestamp": "2026-03-12T09:10:00Z" });
    session(&ledger.join("sessions"), "2026-03-15T11-09-bo-OxSSSS", &[entry]);
    for (format, holds) in [("md", "## "), ("html", "<!doctype html>"), ("json", "\"entries\"")] {
        let text =
            env.ox_in(&repo, ["session", "export", "OxSSSS", "--format", format, "-o", "-"]).ok().stdout;
        assert!(text.contains(holds) && text.contains("REDACTED") && !text.contains(&token), "{text}");
    }
    let page = env.ox_in(&repo, ["session", "export", "OxTndR", "--html", "-o", "-"]).ok().stdout;
    assert!(page.contains("&lt;script&gt;done&lt;/script&gt;") && !page.contains("<script"), "{page}");
    env.ox_in(&repo, ["session", "export", "OxTndR"]).ok();
    let file = repo.join("2026-03-12T11-09-dana-OxTndR.md");
    assert!(fs::read_to_string(&file).unwrap().starts_with("# Fix the"));
    let again = env.ox_in(&repo, ["session", "export", "OxTndR"]).fails(2);
    assert!(again.stderr.contains("there already") && again.stderr.contains("--force"), "{again:?}");
    env.ox_in(&repo, ["session", "export", "OxTndR", "--force"]).ok();
    env.stop_daemon();
}

/// What Claude Code writes of a person's words, an answer and a call that failed.
fn transcript(n: usize) -> String {
    let record = |kind: &str, id: &str, message: Value| {
        json!({
            "type": kind, "uuid": format!("{id}{n}"), "sessionId": "11111111-2222-4333-8444-555555555555",
            "timestamp": format!("2026-03-12T09:{n:02}:00Z"), "version": "2.1.332", "cwd": "/p", "message": message,
        })
    };
    let text = |text: String| json!([{ "type": "text", "text": text }]);
    let call = json!([{ "type": "tool_use", "id": format!("c{n}"), "name": "Bash", "input": { "command": "false" } }]);
    let result = json!([{ "type": "tool_result", "tool_use_id": format!("c{n}"), "content": "Exit code 1", "is_error": true }]);
    let answer = |content: Value| json!({ "role": "assistant", "id": format!("m{n}"), "model": "claude-opus-5-5", "content": content });
    let lines = [
        record("user", "u", json!({ "role": "user", "content": format!("do {n}") })),
        record("assistant", "a", answer(text(format!("will do {n}")))),
        record("assistant", "t", answer(call)),
        record("user", "r", json!({ "role": "user", "content": result })),
    ];
    lines.map(|line| line.to_string() + "\n").concat()
}

/// A primed session of Claude Code, and the file that it writes to.
fn claude() -> (TestEnv, PathBuf, PathBuf, String) {
    let (mut env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    env.set("CLAUDECODE", "1");
    env.set("CLAUDE_CODE_SESSION_ID", "11111111-2222-4333-8444-555555555555");
    let agent =
        env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json()["agent_id"].as_str().unwrap().to_owned();
    let slug: String =
        repo.to_str().unwrap().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let dir = env.home().join(".claude/projects").join(slug);
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("11111111-2222-4333-8444-555555555555.jsonl");
    fs::write(&file, transcript(1)).unwrap();
    (env, repo, file, agent)
}

#[test]
fn a_session_is_recorded_from_its_start_to_its_end() {
    let (env, repo, file, agent) = claude();
    let start = env.ox_in(&repo, ["session", "start", "--title", "Try it", "--json"]).ok().json();
    assert_eq!(
        (&start["agent_id"], &start["session_file"]),
        (&agent.as_str().into(), &file.to_str().unwrap().into())
    );
    assert!(start["session_id"].as_str().unwrap().starts_with("ses_"), "{start}");
    let twice = env.ox_in(&repo, ["session", "start"]).fails(1);
    assert!(
        twice.stderr.contains("being recorded already") && twice.stderr.contains("session stop"),
        "{twice:?}"
    );
    fs::write(&file, transcript(1) + &transcript(2) + "{\"type\":\"user\",\"uu").unwrap();
    // Sub-agents write beside it, also such as are not of this project.
    let beside = |dir: &Path, name: &str| {
        let record = json!({
            "type": "user", "uuid": "h1", "sessionId": "11111111-2222-4333-8444-555555555555", "isSidechain": true, "agentId": "a1",
            "timestamp": "2036-03-12T09:00:00Z", "cwd": repo, "message": { "role": "user", "content": format!("look for {name}") },
        });
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(format!("agent-{name}.jsonl")), record.to_string() + "\n").unwrap();
    };
    beside(&file.with_extension("").join("subagents"), "a1");
    beside(&file.with_file_name("other").join("subagents"), "a2");
    let status = env.ox_in(&repo, ["session", "status", "--current"]).ok().stdout;
    assert!(status.contains("Try it"), "{status}");
    env.ox_in(&repo, ["session", "pause"]).ok();
    env.ox_in(&repo, ["session", "resume"]).ok();
    let stop = env.ox_in(&repo, ["agent", &agent, "session", "stop", "--json"]).ok().json();
    assert_eq!((&stop["entry_count"], &stop["subagents"]), (&4.into(), &1.into()), "{stop}");
    let helpers = env.ox_in(&repo, ["session", "subagents", &agent]).ok();
    assert!(
        helpers.stdout.contains("agent-a1") && helpers.stderr.contains("--subagent agent-a1"),
        "{helpers:?}"
    );
    let helper = env.ox_in(&repo, ["session", "view", &agent, "--subagent", "a1"]).ok().stdout;
    assert!(helper.contains("look for a1"), "{helper}");
    env.ox_in(&repo, ["session", "view", &agent, "--subagent", "a2"]).fails(2);
    let view = env.ox_in(&repo, ["session", "view", &agent, "--json"]).ok().json();
    let told: Vec<String> = view["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            format!(
                "{} {}{}{}",
                e["type"].as_str().unwrap(),
                e["content"].as_str().unwrap(),
                e["tool_input"].as_str().unwrap(),
                e["tool_output"].as_str().unwrap()
            )
        })
        .collect();
    let expected = ["user do 2", "assistant will do 2", "tool {\"command\":\"false\"}", "tool Exit code 1"];
    assert_eq!(told, expected);
    assert_eq!((&view["title"], &view["status"]), (&"Try it".into(), &"local".into()));
    env.ox_in(&repo, ["session", "stop"]).fails(1);
    // Nothing of it is the ledger's, and nobody else can read it.
    let ledger = fs::read_link(repo.join(".sageox/ledger")).unwrap();
    assert_eq!(env.git(&ledger, ["status", "--short"]), "");
    let dir = Path::new(stop["raw_path"].as_str().unwrap()).parent().unwrap().to_owned();
    let mut names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let artifacts = ["session.md", "subagents", "summary.json", "summary.md"];
    assert_eq!(names, [&[".needs-summary", "edits.json", "meta.json", "raw.jsonl"][..], &artifacts].concat());
    names.retain(|name| name != "subagents");
    for name in names {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(dir.join(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    env.stop_daemon();
}

#[test]
fn a_recording_is_thrown_away_or_finished_by_others_when_its_agent_has_ended() {
    let (env, repo, file, agent) = claude();
    env.ox_in(&repo, ["session", "start"]).ok();
    let asked = env.ox_in(&repo, ["session", "abort"]).fails(2);
    assert!(asked.stderr.contains("Throw away") && asked.stderr.contains("--yes"), "{asked:?}");
    env.ox_in(&repo, ["session", "abort", "--yes"]).ok();
    let status = env.ox_in(&repo, ["session", "status", "--json"]).ok().json();
    assert_eq!(status["count"], 0, "{status}");
    let start = env.ox_in(&repo, ["session", "start", "--json"]).ok().json();
    fs::write(&file, transcript(1) + &transcript(2)).unwrap();
    // Its process, as it was noted, is another one now.
    let marker = Path::new(start["path"].as_str().unwrap()).join(".recording.json");
    let mut recording: Value = serde_json::from_slice(&fs::read(&marker).unwrap()).unwrap();
    recording["parent_pid"] = std::process::id().into();
    recording["parent_start"] = 1.into();
    fs::write(&marker, recording.to_string()).unwrap();
    let list = env.ox_in(&repo, ["session", "list"]).ok().stdout;
    assert!(list.contains("orphaned"), "{list}");
    let recovered = env.ox_in(&repo, ["session", "recover", &agent, "--json"]).ok().json();
    assert_eq!(recovered["entry_count"], 4, "{recovered}");
    let again = env.ox_in(&repo, ["session", "recover", &agent]).fails(2);
    assert!(again.stderr.contains("finished already"), "{again:?}");
    env.stop_daemon();
}

#[test]
fn a_session_is_recorded_by_itself_where_the_repository_says_so_and_not_again_after_a_stop() {
    let (mut env, repo, file, _) = claude();
    let config = repo.join(".sageox/config.json");
    let mut project: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    project["session_recording"] = "auto".into();
    fs::write(&config, project.to_string()).unwrap();
    let prime = |env: &TestEnv| env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json()["session"].clone();
    let begun = prime(&env);
    assert_eq!((&begun["recording"], &begun["auto_started"]), (&true.into(), &true.into()), "{begun}");
    assert!(begun["source"].as_str().unwrap().contains("config.json"), "{begun}");
    let again = prime(&env);
    assert_eq!((&again["session_name"], &again["auto_started"]), (&begun["session_name"], &Value::Null));
    fs::write(&file, transcript(1) + &transcript(2)).unwrap();
    assert_eq!(env.ox_in(&repo, ["session", "stop", "--json"]).ok().json()["entry_count"], 4);
    // Who stopped it meant it: once.
    env.ox_in(&repo, ["agent", "prime", "--idempotent"]).ok();
    assert_eq!(env.ox_in(&repo, ["session", "status", "--json"]).ok().json()["count"], 0);
    env.ox_in(&repo, ["session", "abort", "--yes"]).fails(1);
    // The user has the last word, and whoever runs agents by itself before them.
    env.set("OX_SESSION_RECORDING", "disabled");
    let off = prime(&env);
    assert_eq!((&off["recording"], &off["mode"]), (&false.into(), &"disabled".into()), "{off}");
    let refused = env.ox_in(&repo, ["session", "start"]).fails(2);
    assert!(refused.stderr.contains("environment OX_SESSION_RECORDING"), "{refused:?}");
    env.set("OX_SESSION_RECORDING", "");
    env.ox_in(&repo, ["config", "set", "sessions.mode", "manual"]).ok();
    assert_eq!(prime(&env)["recording"], false);
    let page = env.ox_in(&repo, ["agent", "prime", "--full"]).ok().stdout;
    assert!(page.contains("- session start: ") && page.contains(": \"do 2\""), "{page}");
    env.stop_daemon();
}

#[test]
fn an_agent_whose_transcript_nobody_can_read_writes_down_itself_what_is_to_be_kept() {
    let (mut env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let prime = env.ox_in(&repo, ["agent", "prime", "--agent", "cursor", "--json"]).ok().json();
    let agent = prime["agent_id"].as_str().unwrap().to_owned();
    env.set("SAGEOX_AGENT_ID", &agent);
    let start = env.ox_in(&repo, ["session", "start", "--json"]).ok().json();
    assert_eq!(start["adapter"], "cursor", "{start}");
    let (dir, input) = (start["path"].as_str().unwrap(), start["session_file"].as_str().unwrap());
    let log = start["next_actions"][0].as_str().unwrap();
    assert!(log.contains("session log --role user"), "{start}");
    let early = env.ox_in(&repo, ["session", "stop"]).fails(1);
    assert!(
        early.stderr.contains("not written anything down yet") && early.stderr.contains("session log"),
        "{early:?}"
    );
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let say = |args: &[&str]| {
        env.ox_in(&repo, [&["session", "log"], args, &["--json"]].concat()).ok().json()["seq"].clone()
    };
    assert_eq!(say(&["--role", "user", "--content", &format!("use {token}")]), 0);
    assert_eq!(say(&["--role", "tool", "--tool-name", "shell", "--tool-input", "cargo test"]), 1);
    env.ox_in(&repo, ["session", "log", "--role", "user"]).fails(2);
    fs::write(input, "{\"type\":\"assistant\",\"content\":\"done\"}\n").unwrap();
    env.ox_in(&repo, ["session", "plan", &format!("first {token}")]).ok();
    assert_eq!(env.ox_in(&repo, ["session", "remind", "--json"]).ok().json()["due"], false);
    let stop = env.ox_in(&repo, ["session", "stop", "--json"]).ok().json();
    assert_eq!(stop["entry_count"], 3, "{stop}");
    let view = env.ox_in(&repo, ["session", "view", &agent]).ok().stdout;
    assert!(view.contains("done") && view.contains("cargo test"), "{view}");
    for name in ["raw.jsonl", "plan.md"] {
        let text = fs::read_to_string(Path::new(dir).join(name)).unwrap();
        assert!(text.contains("REDACTED") && !text.contains(&token), "{text}");
    }
    assert!(!Path::new(input).exists());
    env.stop_daemon();
}

#[test]
fn what_came_of_a_sub_agents_task_stands_in_the_session_of_who_gave_it() {
    let (mut env, repo, file, agent) = claude();
    env.ox_in(&repo, ["session", "start"]).ok();
    let session = "CLAUDE_CODE_SESSION_ID";
    env.set(session, "22222222-2222-4333-8444-555555555555");
    let sub = env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json();
    env.set(session, "11111111-2222-4333-8444-555555555555");
    let sub = sub["agent_id"].as_str().unwrap();
    assert_ne!(sub, agent);
    let of_sub =
        |args: &[&str]| env.ox_in(&repo, [&["agent", sub, "session", "subagent-complete"], args].concat());
    let told = ["--parent", &agent, "--summary", "All tests pass", "--json"];
    let told = of_sub(&told).ok().json();
    assert_eq!((&told["agent_id"], &told["parent_agent_id"]), (&sub.into(), &agent.as_str().into()));
    let nobody = of_sub(&["--parent", "OxTndR"]).fails(1);
    assert!(nobody.stderr.contains("no session of this agent is being recorded: OxTndR"), "{nobody:?}");
    // The agent goes on, and what it writes follows that.
    fs::write(&file, transcript(1) + &transcript(2)).unwrap();
    env.ox_in(&repo, ["session", "stop"]).ok();
    let view = env.ox_in(&repo, ["session", "view", &agent, "--json"]).ok().json();
    let lines: Vec<_> =
        view["entries"].as_array().unwrap().iter().map(|e| e["content"].as_str().unwrap()).collect();
    let at = format!("Sub-agent {sub} has finished: All tests pass");
    assert_eq!(lines.iter().filter(|line| **line == at).count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| **line == "do 2").count(), 1, "{lines:?}");
    env.stop_daemon();
}

#[test]
fn sessions_are_made_of_transcripts_of_before_and_removed() {
    let (env, repo, file, agent) = claude();
    let imported = env.ox_in(&repo, ["session", "import", file.to_str().unwrap(), "--json"]).ok().json();
    assert_eq!((&imported["entry_count"], &imported["type"]), (&4.into(), &"session_import".into()));
    let name = imported["session_name"].as_str().unwrap();
    assert!(name.ends_with(&agent) && name.contains("2026-03-12T"), "{name}");
    let again = env.ox_in(&repo, ["session", "import", file.to_str().unwrap()]).fails(1);
    assert!(again.stderr.contains("the session is there already"), "{again:?}");
    let prior = repo.join("prior.jsonl");
    fs::write(&prior, "{\"_meta\":{\"agent_type\":\"cursor\"}}\n{\"seq\":1,\"type\":\"user\",\"content\":\"Before\",\"ts\":\"2026-03-10T09:00:00Z\"}\n")
        .unwrap();
    let prior = env.ox_in(&repo, ["session", "capture-prior", prior.to_str().unwrap(), "--json"]).ok().json();
    assert_eq!(prior["entry_count"], 1, "{prior}");
    fs::write(repo.join("other"), "no transcript\n").unwrap();
    let other = env.ox_in(&repo, ["session", "import", "other"]).fails(1);
    assert!(other.stderr.contains("there is no line with _meta"), "{other:?}");
    let list = env.ox_in(&repo, ["session", "list", "--all", "--json"]).ok().json();
    assert_eq!(list["total"], 2, "{list}");
    let asked = env.ox_in(&repo, ["session", "remove", name]).fails(2);
    assert!(asked.stderr.contains("Remove 2026-03-12") && asked.stderr.contains("--yes"), "{asked:?}");
    env.ox_in(&repo, ["session", "remove", name, "--yes"]).ok();
    env.ox_in(&repo, ["session", "remove", name, "--yes"]).fails(2);
    let started = env.ox_in(&repo, ["session", "start", "--json"]).ok().json();
    let started = started["session_name"].as_str().unwrap();
    let recorded = env.ox_in(&repo, ["session", "remove", started, "--yes"]).fails(2);
    assert!(recorded.stderr.contains("session abort"), "{recorded:?}");
    let all = env.ox_in(&repo, ["session", "delete", "--all", "--yes", "--json"]).ok().json();
    assert_eq!(all["removed"], json!([prior["session_name"]]), "{all}");
    env.stop_daemon();
}

#[test]
fn a_session_is_called_by_the_time_of_the_zone_that_is_named() {
    if !Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
        println!("skipped: there is no zone database");
        return;
    }
    let (mut env, repo, file, _) = claude();
    env.set("TZ", "Asia/Tokyo");
    let imported = env.ox_in(&repo, ["session", "import", file.to_str().unwrap(), "--json"]).ok().json();
    assert!(imported["session_name"].as_str().unwrap().starts_with("2026-03-12T18-01-"), "{imported}");
    env.stop_daemon();
}

#[test]
fn what_nobody_can_sum_up_anew_stays_as_it_is() {
    let (env, repo, ledger) = with_sessions();
    env.ox(["config", "set", "agent_worker.agent", "none"]).ok();
    let dir = ledger.join(".sageox/cache/sessions/2026-03-12T11-09-dana-OxTndR");
    let meta = r#"{"summary_status":"ok","disposition":"local_only","title":"T"}"#;
    fs::write(dir.join("meta.json"), meta).unwrap();
    for command in ["regenerate", "retry"] {
        let failed = env.ox_in(&repo, ["session", command, "OxTndR"]).fails(1);
        assert!(failed.stderr.contains("no agent is run in the background"), "{failed:?}");
        assert_eq!(fs::read_to_string(dir.join("meta.json")).unwrap(), meta, "{command}");
        assert!(!dir.join(".needs-summary").exists(), "{command}");
    }
    env.stop_daemon();
}

#[test]
fn a_download_brings_all_of_a_session_or_leaves_nothing_and_mends_what_was_left_of_one() {
    let (env, repo, ledger) = with_sessions();
    let name = "2026-03-13T11-09-bo-OxBBBB";
    let (own, shared) =
        (ledger.join(".sageox/cache/sessions").join(name), ledger.join("sessions").join(name));
    let size = fs::metadata(shared.join("raw.jsonl")).unwrap().len();
    let kept = |oid: &str| {
        let files =
            json!({ "raw.jsonl": { "oid": format!("sha256:{oid}"), "size": size, "storage": "git" } });
        fs::write(shared.join("meta.json"), json!({ "files": files }).to_string()).unwrap();
    };
    let raw = fs::read(shared.join("raw.jsonl")).unwrap();
    // What was left of one that failed: it hides the session.
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join(".downloaded"), "").unwrap();
    kept(&"0".repeat(64));
    env.ox_in(&repo, ["session", "download", name]).fails(1);
    kept(&crate::support::lfs::oid(&raw));
    env.ox_in(&repo, ["session", "download", name]).ok();
    assert_eq!(fs::read(own.join("raw.jsonl")).unwrap(), raw);
    assert!(own.join(".downloaded").exists());
    fs::remove_dir_all(&own).unwrap();
    fs::write(shared.join("raw.jsonl"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        .unwrap();
    kept(&"0".repeat(64));
    env.ox_in(&repo, ["session", "download", name]).fails(1);
    assert!(!own.exists());
    env.stop_daemon();
}

#[test]
fn a_copy_of_what_the_ledger_has_is_no_session_of_this_machine_alone() {
    let (env, repo, ledger) = with_sessions();
    let name = "2026-03-12T11-09-dana-OxTndR";
    let own = ledger.join(".sageox/cache/sessions").join(name);
    session(&ledger.join("sessions"), name, &[]);
    let status = || {
        let list = env.ox_in(&repo, ["session", "list", "--all", "--json"]).ok().json();
        list["sessions"][1]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(), "shared");
    // Not all of it is there yet.
    fs::write(own.join(".to-share"), "").unwrap();
    assert_eq!(status(), "local");
    fs::remove_file(own.join(".to-share")).unwrap();
    let none = env.ox_in(&repo, ["session", "remove", "--all", "--yes"]).ok();
    assert!(none.stderr.contains("no session is on this machine alone") && own.exists(), "{none:?}");
    let asked = env.ox_in(&repo, ["session", "remove", name]).fails(2);
    assert!(asked.stderr.contains("The ledger keeps it"), "{asked:?}");
    // While somebody shares it, it is theirs.
    let held = ox::sessions::finish::hold(&own, &Default::default()).unwrap();
    let shared = env.ox_in(&repo, ["session", "remove", name, "--yes"]).fails(1);
    assert!(shared.stderr.contains("the session is being shared") && own.exists(), "{shared:?}");
    drop(held);
    env.ox_in(&repo, ["session", "remove", name, "--yes"]).ok();
    assert!(!own.exists() && ledger.join("sessions").join(name).exists());
    env.stop_daemon();
}

#[test]
fn of_sessions_of_one_minute_the_one_that_began_last_comes_first() {
    let (env, repo, ledger) = with_sessions();
    let own = ledger.join(".sageox/cache/sessions");
    for (agent, second) in [("OxAAAA", 40), ("OxZZZZ", 10), ("OxMMMM", 50)] {
        let dir = own.join(format!("2026-03-15T11-09-dana-{agent}"));
        fs::create_dir_all(&dir).unwrap();
        let header = json!({ "type": "header", "metadata": { "version": "1.0", "agent_id": agent,
            "created_at": format!("2026-03-15T10:09:{second}Z") }});
        fs::write(dir.join("raw.jsonl"), format!("{header}\n")).unwrap();
    }
    let list = env.ox_in(&repo, ["session", "list", "--all", "--json"]).ok().json();
    let agents: Vec<&str> = list["sessions"].as_array().unwrap()[..3]
        .iter()
        .map(|row| row["agent_id"].as_str().unwrap())
        .collect();
    assert_eq!(agents, ["OxMMMM", "OxAAAA", "OxZZZZ"]);
    env.stop_daemon();
}
