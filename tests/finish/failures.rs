//! What the daemon makes of agents that fail.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::daemon::{SUMMARY, Scene};
use crate::support::census;
use crate::support::http_script::{Server, answer};

fn meta(scene: &Scene, name: &str) -> Value {
    serde_json::from_slice(&fs::read(scene.local(name).join("meta.json")).unwrap()).unwrap()
}

#[test]
fn a_key_that_a_server_says_it_refuses_gets_nowhere() {
    let key = ["sk-", "proj-", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2dE5gH7jK9mN1"].concat();
    let said = json!({ "error": { "message": format!("Incorrect API key provided: {key}.") } }).to_string();
    let server = Server::start(move |_, request| {
        let is_asked = request.contains("chat/completions");
        let (status, body) = if is_asked { (401, said.as_str()) } else { (200, r#"{"data":[]}"#) };
        vec![answer(status, "Content-Type: application/json\r\n", body.as_bytes())]
    });
    let mut scene = Scene::with(server);
    let name = scene.session(1);
    let failed = scene.env.ox_in(&scene.repo, ["session", "finalize", &name]).fails(1);
    assert!(!failed.stderr.contains(&key), "{failed:?}");
    for args in [&["status", "--json"][..], &["agents", "status", "--json"]] {
        let told = scene.env.ox_in(&scene.repo, args);
        assert!(!told.stdout.contains(&key), "{told:?}");
    }
    let told = scene.env.ox_in(&scene.repo, ["agents", "status", "--json"]);
    assert!(told.stdout.contains("its key was refused"), "{told:?}");
    assert_eq!(meta(&scene, &name)["summary_attempts"], 0);
    scene.env.stop_daemon();
    for path in census::files(&scene.env.home(), &|_| true) {
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(&key), "{}", path.display());
    }
}

#[test]
fn a_server_that_gives_no_answer_is_no_attempt() {
    let server = Server::start(move |_, request| {
        let is_asked = request.contains("chat/completions");
        let body = if is_asked { "<html>busy</html>" } else { r#"{"data":[]}"# };
        vec![answer(200, "Content-Type: application/json\r\n", body.as_bytes())]
    });
    let mut scene = Scene::with(server);
    let name = scene.session(1);
    let failed = scene.env.ox_in(&scene.repo, ["session", "finalize", &name]).fails(1);
    let meta = meta(&scene, &name);
    let expected = (&json!(0), &Value::Null);
    assert_eq!((&meta["summary_attempts"], &meta["validation_error"]), expected, "{meta} {failed:?}");
    scene.env.stop_daemon();
}

/// A server of chat completions that says `bad` until it is told otherwise; how often it was asked.
fn moody(status: u16, bad: &'static str) -> (Server, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (is_well, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (well, count) = (Arc::clone(&is_well), Arc::clone(&asked));
    let server = Server::start(move |_, request| {
        if !request.contains("chat/completions") {
            return vec![answer(200, "Content-Type: application/json\r\n", br#"{"data":[]}"#)];
        }
        count.fetch_add(1, Ordering::Relaxed);
        let is_well = well.load(Ordering::Relaxed);
        let said = if is_well { SUMMARY } else { bad };
        let body =
            json!({ "choices": [{ "message": { "role": "assistant", "content": said } }] }).to_string();
        let (status, body) = if is_well || status == 200 { (200, body) } else { (status, bad.to_owned()) };
        vec![answer(status, "Content-Type: application/json\r\n", body.as_bytes())]
    });
    (server, is_well, asked)
}

#[test]
fn a_server_that_fails_three_times_is_left_alone_and_no_session_pays_for_it() {
    let (server, is_well, asked) = moody(500, "internal error");
    let mut scene = Scene::with(server);
    let names: Vec<String> = (1..5).map(|n| scene.session(n)).collect();
    for name in &names {
        scene.env.ox_in(&scene.repo, ["session", "finalize", name]).fails(1);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3, "then nobody asks it for a while");
    let status = scene.env.ox_in(&scene.repo, ["agents", "status", "--json"]).ok().json();
    assert_eq!(
        (&status["work"]["paused"], &status["work"]["queue_depth"]),
        (&json!("failures"), &json!(4)),
        "{status}"
    );
    let told = scene.env.ox_in(&scene.repo, ["agents", "status"]).ok();
    assert!(told.stdout.contains("it has failed three times in a row"), "{told:?}");
    for name in &names {
        let meta = fs::read(scene.local(name).join("meta.json")).ok();
        let meta: Value = meta.map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
        assert!(matches!(meta["summary_attempts"].as_u64(), None | Some(0)), "{meta}");
    }
    // Who resumes it does not wait.
    is_well.store(true, Ordering::Relaxed);
    scene.env.ox_in(&scene.repo, ["agents", "resume"]).ok();
    for name in &names {
        scene.env.ox_in(&scene.repo, ["session", "finalize", name]).ok();
        assert!(
            scene.there(name, "summary.json").is_some_and(|text| text.contains("Parser split")),
            "{name}"
        );
    }
    scene.env.stop_daemon();
}

#[test]
fn a_session_that_was_given_up_and_shared_can_be_tried_again() {
    let (server, is_well, asked) = moody(200, "I cannot help with that.");
    let mut scene = Scene::with(server);
    let primed = scene.env.ox_in(&scene.repo, ["agent", "prime", "--json"]).ok().json();
    let name = scene.session_of(1, primed["agent_id"].as_str().unwrap());
    let raw = fs::read(scene.local(&name).join("raw.jsonl")).unwrap();
    for _ in 0..3 {
        scene.env.ox_in(&scene.repo, ["session", "finalize", &name]);
        scene.env.ox_in(&scene.repo, ["agents", "resume"]).ok();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    // It is shared as it is, and says so.
    scene.env.ox_in(&scene.repo, ["session", "finalize", &name]);
    let there =
        |file: &str| -> Value { serde_json::from_str(&scene.there(&name, file).expect(file)).unwrap() };
    assert_eq!(there("meta.json")["summary_status"], "unrecoverable", "{}", there("meta.json"));
    assert_eq!(asked.load(Ordering::Relaxed), 3, "and nobody is asked again");
    // Somebody has mended the model.
    is_well.store(true, Ordering::Relaxed);
    scene.env.ox_in(&scene.repo, ["session", "retry", &name]).ok();
    assert_eq!(there("meta.json")["summary_status"], "ok");
    assert_eq!(there("summary.json")["title"], "Parser split into lexer and tree");
    assert!(!scene.local(&name).exists(), "the remote has it");
    // The ledger has the transcript itself: there is nothing to fetch.
    let fetched = scene.env.ox_in(&scene.repo, ["session", "download", &name, "--json"]).ok().json();
    assert_eq!(fs::read(Path::new(fetched["path"].as_str().unwrap()).join("raw.jsonl")).unwrap(), raw);
    let meant =
        scene.env.ox_in(&scene.repo, ["session", "regenerate", &name, "--dry-run", "--json"]).ok().json();
    assert_eq!(meant["sessions"], json!([name]));
    let listed = scene.env.ox_in(&scene.repo, ["session", "list", "--all", "--json"]).ok().json();
    assert_eq!(listed["sessions"][0]["status"], "shared", "{listed}");
    let again = scene.env.ox_in(&scene.repo, ["session", "finalize", &name]).ok();
    assert!(again.stderr.contains("was finished already; its summary: "), "{again:?}");
    scene.env.stop_daemon();
}

#[test]
fn what_a_summary_says_of_its_worth_decides_and_is_told() {
    let (server, _, asked) = moody(500, "");
    let mut scene = Scene::with(server);
    scene.env.ox(["config", "set", "agent_worker.agent", "none"]).ok();
    scene.env.ox(["config", "set", "agent_worker.quality_discard_threshold", "0.2"]).ok();
    scene.env.ox(["config", "set", "agent_worker.quality_upload_threshold", "0.5"]).ok();
    for (n, score, says) in [
        (1, "0.1", "by its score it was thrown away: it lies in "),
        (2, "0.3", "by its score it stays on this machine"),
    ] {
        let name = scene.session(n);
        let summary = SUMMARY.replace("\"quality_score\":0.8", &format!("\"quality_score\":{score}"));
        let file = scene.repo.join("summary.json");
        fs::write(&file, summary).unwrap();
        let args = ["session", "push-summary", "--file", file.to_str().unwrap(), &name];
        let told = scene.env.ox_in(&scene.repo, args).ok();
        assert!(
            told.stdout.contains("Parser split into lexer and tree") && told.stderr.contains(says),
            "{told:?}"
        );
        let is_here = scene.local(&name).join("raw.jsonl").exists();
        assert_eq!(is_here, n == 2, "{told:?}");
        if n == 1 {
            let aside = scene.local(&name).parent().unwrap().with_file_name("discarded").join(&name);
            assert!(aside.join("raw.jsonl").exists() && told.stderr.contains("discarded"), "{told:?}");
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    scene.env.stop_daemon();
}
