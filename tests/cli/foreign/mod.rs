//! Beside the Go program: a small stand-in that speaks its wire serves a project here, or wrote a file that we share.

mod daemons;
mod files;
mod wire;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::machine;
use crate::support::{TestEnv, until_or};

/// A daemon of the Go program, which answers as it is told to and keeps what it was sent.
struct GoDaemon {
    socket: PathBuf,
    heard: Arc<Mutex<Vec<Value>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl GoDaemon {
    /// One that answers with success to everything.
    fn serve(socket: PathBuf) -> GoDaemon {
        GoDaemon::saying(socket, |_| json!({ "success": true }))
    }

    /// One that answers a message of a type with what `answer` makes of that; nothing for null.
    fn saying(socket: PathBuf, answer: impl Fn(&str) -> Value + Send + 'static) -> GoDaemon {
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, hears) = (Arc::clone(&stop), Arc::clone(&heard));
        let thread = std::thread::spawn(move || {
            while let (Ok((stream, _)), false) = (listener.accept(), stopped.load(Ordering::SeqCst)) {
                let mut line = String::new();
                // A look whether anybody listens sends nothing.
                if BufReader::new(&stream).read_line(&mut line).is_ok() && !line.is_empty() {
                    let line: Value = serde_json::from_str(&line).unwrap();
                    let said = answer(line["type"].as_str().unwrap());
                    hears.lock().push(line);
                    if !said.is_null() {
                        drop((&stream).write_all(format!("{said}\n").as_bytes()));
                    }
                }
            }
        });
        GoDaemon { socket, heard, stop, thread: Some(thread) }
    }

    /// All that was said, of one type.
    fn heard(&self, kind: &str) -> Vec<Value> {
        self.heard.lock().iter().filter(|line| line["type"] == kind).cloned().collect()
    }
}

impl Drop for GoDaemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(&self.socket));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Where the clone of the project's ledger is.
fn ledger(env: &TestEnv, repo: &Path) -> PathBuf {
    let status = env.ox_in(repo, ["status", "--json"]).ok().json();
    PathBuf::from(status["ledger"]["path"].as_str().unwrap())
}

fn registry(env: &TestEnv) -> PathBuf {
    env.runtime().join("sageox/daemon/registry.json")
}

fn change_registry(env: &TestEnv, change: impl FnOnce(&mut Value)) {
    let text = fs::read_to_string(registry(env)).unwrap_or_else(|_| r#"{"daemons":{}}"#.into());
    let mut entries: Value = serde_json::from_str(&text).unwrap();
    change(&mut entries["daemons"]);
    fs::write(registry(env), entries.to_string()).unwrap();
}

/// A heartbeat of another version makes a Go daemon end itself or start anew: a look changes nothing there.
#[test]
fn a_look_at_a_go_daemon_does_not_make_it_start_anew() {
    let (mut env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let document = env.ox_in(&repo, ["daemon", "list", "--json"]).ok().json();
    let ours = document[0].clone();
    env.ox_in(&repo, ["status"]).ok();
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    let socket = PathBuf::from(ours["socket_path"].as_str().unwrap());
    let go = GoDaemon::serve(socket.clone());
    change_registry(&env, |daemons| {
        daemons[ours["workspace_id"].as_str().unwrap()] = json!({
            "workspace_id": ours["workspace_id"], "workspace_path": repo, "socket_path": socket,
            "pid": std::process::id(), "version": "0.5.0", "started_at": "2026-01-01T00:00:00Z",
        });
    });
    drop(env.ox_in(&repo, ["status"]));
    until_or(|| !go.heard("heartbeat").is_empty(), || "no heartbeat");
    for beat in go.heard("heartbeat") {
        assert_eq!(beat["payload"]["cli_version"], Value::Null, "{beat}");
    }
    drop(go);
    env.allow_leftovers();
}

/// An older Go program that saves the registry leaves out what it does not know; whoever looks for a project by its repository then finds
/// nothing.
#[test]
fn what_another_program_left_out_of_the_registry_comes_back() {
    let (mut env, repo) = machine();
    env.hurry();
    env.ox_in(&repo, ["up"]).ok();
    let entry = |what: &str| {
        let entries: Value = serde_json::from_str(&fs::read_to_string(registry(&env)).unwrap()).unwrap();
        let entries = entries["daemons"].as_object().unwrap().clone();
        entries.values().next().unwrap()[what].clone()
    };
    let before = entry("repo_id");
    assert!(before.as_str().is_some_and(|id| !id.is_empty()), "{before}");
    change_registry(&env, |daemons| {
        let one = daemons.as_object_mut().unwrap().values_mut().next().unwrap();
        one.as_object_mut().unwrap().remove("repo_id");
        one["a_later_key"] = json!(7);
    });
    until_or(|| entry("repo_id") == before, || format!("{}", entry("repo_id")));
    assert_eq!(entry("a_later_key"), json!(7), "what others add stays");
    env.stop_daemon();
}

/// The state file of a clone is what Go's status and prime read: a sync that ends failures is written down although it brought nothing.
#[test]
fn the_end_of_failures_is_written_where_the_go_program_reads_it() {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let file = ledger(&env, &repo).join(".sageox/cache/sync-state.json");
    let read = || -> Value { serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap() };
    let mut state = read();
    state["consecutive_failures"] = json!(4);
    state["last_sync"] = json!("2026-01-01T00:00:00Z");
    fs::write(&file, state.to_string()).unwrap();
    env.ox_in(&repo, ["sync"]).ok();
    until_or(|| read()["consecutive_failures"] == json!(0), || read().to_string());
    assert_ne!(read()["last_sync"], json!("2026-01-01T00:00:00Z"));
    env.stop_daemon();
}
