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
    let said = |kind: &str, text: &str, minute: u32| {
        json!({ "type": kind, "content": text, "timestamp": format!("2026-03-12T09:{minute:02}:00Z"), "seq": minute })
    };
    let call = json!({
        "type": "tool", "content": "", "timestamp": "2026-03-12T09:12:00Z", "seq": 2, "tool_name": "Bash",
        "tool_input": "{\"command\":\"ls <b>\"}", "tool_output": "no such file", "is_error": true,
    });
    let own = ledger.join(".sageox/cache/sessions");
    let entries = [said("user", "Fix the \u{1b}[31mparser", 10), said("assistant", "<script>done</script>", 11), call];
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
    fs::write(far.join("raw.jsonl"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n").unwrap();
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
fn a_session_is_exported_without_secrets_and_never_over_a_file() {
    let (env, repo, ledger) = with_sessions();
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    let entry = json!({ "type": "user", "content": format!("use {token}"), "timestamp": "2026-03-12T09:10:00Z" });
    session(&ledger.join("sessions"), "2026-03-15T11-09-bo-OxSSSS", &[entry]);
    for (format, holds) in [("md", "## "), ("html", "<!doctype html>"), ("json", "\"entries\"")] {
        let text = env.ox_in(&repo, ["session", "export", "OxSSSS", "--format", format, "-o", "-"]).ok().stdout;
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
