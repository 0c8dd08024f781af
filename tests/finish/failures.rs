//! What the daemon makes of agents that fail.

use std::fs;

use serde_json::{Value, json};

use super::daemon::Scene;
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
