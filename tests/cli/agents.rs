//! Agents on the command line: introduced, listed, and told what is wrong.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::machine;
use crate::support::{TestEnv, comes, until_or};

/// A daemon of the Go program, as far as it gives one answer to everything.
struct Go {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Go {
    fn answering(socket: PathBuf, line: String) -> Go {
        let listener = UnixListener::bind(&socket).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while let (Ok((stream, _)), false) = (listener.accept(), stopped.load(Ordering::SeqCst)) {
                let mut request = String::new();
                BufReader::new(&stream).read_line(&mut request).unwrap();
                (&stream).write_all(line.as_bytes()).unwrap();
            }
        });
        Go { socket, stop, thread: Some(thread) }
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A program that the process table shows as an agent's, and that runs `command` for it.
fn agent_program(env: &TestEnv, name: &str, command: &str) -> PathBuf {
    let bin = env.work().join(name);
    // Without the second command the shell would become the first.
    fs::write(&bin, format!("#!/bin/sh\n{command}\nexit $?\n")).unwrap();
    fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bin
}

fn agents(env: &TestEnv, dir: &Path, command: &str) -> Vec<Value> {
    let name = if command == "list" { "agents" } else { "instances" };
    let document = env.ox_in(dir, ["agent", command, "--json"]).ok().json();
    document[name].as_array().unwrap_or_else(|| panic!("{document}")).clone()
}

fn ids(list: &[Value]) -> Vec<&str> {
    list.iter().map(|a| a["agent_id"].as_str().unwrap()).collect()
}

/// The daemon takes in one agent's heartbeat.
fn is_heard(env: &TestEnv, dir: &Path, id: &str) -> bool {
    comes(|| ids(&agents(env, dir, "instances")).contains(&id))
}

#[test]
fn an_agent_is_introduced_once_for_its_session_and_heard_by_the_daemon() {
    let (mut env, repo) = machine();
    let shell = env.work().join("env.sh");
    env.set("CODEX_THREAD_ID", "thread-1");
    env.set("CLAUDE_ENV_FILE", &shell);
    let first = env.ox_in(&repo, ["agent", "prime", "--json", "--model", "m-1"]).ok().json();
    let id = first["agent_id"].as_str().unwrap().to_owned();
    assert_eq!((&first["status"], &first["agent_type"]), (&json!("new"), &json!("codex")));
    assert_eq!(first["daemon"], json!({ "running": true }));
    assert!(first["session_id"].as_str().unwrap().starts_with("oxsid_"));
    assert_eq!(fs::read_to_string(&shell).unwrap(), format!("export SAGEOX_AGENT_ID={id}\n"));
    let again = env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json();
    assert_eq!((&again["status"], &again["agent_id"]), (&json!("known"), &json!(id)));
    let silent = env.ox_in(&repo, ["agent", "prime", "--idempotent"]).ok();
    assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("", ""));
    assert!(is_heard(&env, &repo, &id));

    let mut users = fs::read_dir(repo.join(".sageox/agent_instances")).unwrap().map(|e| e.unwrap().path());
    let lines = users.next().unwrap().join("agent_instances.jsonl");
    assert_eq!(users.next(), None);
    let line: Value = serde_json::from_str(fs::read_to_string(&lines).unwrap().trim()).unwrap();
    assert_eq!((&line["model"], &line["prime_call_count"]), (&json!("m-1"), &json!(3)));
    assert_eq!(env.git(&repo, ["status", "--porcelain", ".sageox/agent_instances"]), "", "git leaves it out");

    // Another session of another program, started by this one.
    env.unset("CODEX_THREAD_ID");
    env.set("SAGEOX_AGENT_ID", &id);
    env.set("CLAUDE_CODE_SESSION_ID", "s-2");
    let child = env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json();
    assert_eq!((&child["parent_agent_id"], &child["agent_type"]), (&json!(id), &json!("claude-code")));
    let child = child["agent_id"].as_str().unwrap();
    assert_ne!(child, id);
    assert!(is_heard(&env, &repo, child));
    let list = env.ox_in(&repo, ["agent", "list"]).ok().stdout;
    let at = |what: &str| list.find(what).unwrap_or_else(|| panic!("{what} in {list}"));
    assert!(at(&format!("\n{id} ")) < at(&format!("\n└{child} ")), "{list}");
    assert!(list.contains("\nID ") && !list.contains("WORKSPACE"), "{list}");
    // An agent asked.
    assert!(list.starts_with("<others-wrote ") && list.ends_with("</others-wrote>\n"), "{list}");
    let status = env.ox_in(&repo, ["status", "--json"]).ok().json();
    let known: Vec<&str> = ids(status["ai_coworkers"].as_array().unwrap());
    assert!(known.contains(&id.as_str()) && known.contains(&child), "{status}");
    assert_eq!(status["auth"], json!({ "authenticated": false, "endpoint": "local" }));
    assert!(env.ox_in(&repo, ["status"]).ok().stdout.contains(&format!("agent    {id} active, ")));
    let costs = agents(&env, &repo, "list");
    let cost = costs.iter().find(|a| a["agent_id"] == id.as_str()).unwrap();
    assert!(cost["context_tokens"].as_i64().unwrap() > 100, "{cost}");
    assert!(cost["created_at"].is_string(), "{cost}");
    env.stop_daemon();
}

#[test]
fn agt_08_an_agent_that_names_no_session_is_not_the_one_in_whose_shell_it_runs() {
    let (mut env, repo) = machine();
    env.set("CLAUDE_CODE_SESSION_ID", "s-1");
    let outer = env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json()["agent_id"].clone();
    env.unset("CLAUDE_CODE_SESSION_ID");
    // As a shell of Claude Code has it, where its hooks have introduced it.
    env.set("SAGEOX_AGENT_ID", outer.as_str().unwrap());
    let gemini = agent_program(&env, "gemini", "\"$@\"");
    let run =
        |words: &[&str]| env.run_in(&repo, &gemini, [&[crate::support::OX], words].concat()).ok().json();
    let inner = run(&["agent", "prime", "--json"]);
    assert_ne!(inner["agent_id"], outer, "{inner}");
    assert_eq!((&inner["agent_type"], &inner["parent_agent_id"]), (&json!("gemini"), &outer));
    assert_eq!(env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json()["agent_id"], outer);
    env.stop_daemon();
}

#[test]
fn an_agent_in_the_environment_beats_and_one_without_an_id_is_told_how_to_get_one() {
    let (mut env, repo) = machine();
    let ran = env.ox_in(&repo, ["agent", "heartbeat"]).fails(2);
    assert!(ran.stderr.contains("no agent is named") && ran.stderr.contains("ox agent prime"), "{ran:?}");
    let ran = env.ox_in(&repo, ["agent", "OxAb12", "heartbeat"]).fails(3);
    assert!(ran.stderr.contains("not running"), "{ran:?}");
    env.ox_in(&repo, ["daemon", "start"]).ok();
    let ran = env.ox_in(&repo, ["agent", "OxAb12", "heartbeat"]).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert!(is_heard(&env, &repo, "OxAb12"));
    // Every command of an agent is a sign of life, and what `ox agent` prints costs it something.
    env.set("SAGEOX_AGENT_ID", "OxCd34");
    env.set("AGENT_ENV", "gemini");
    env.ox_in(&repo, ["status"]).ok();
    assert!(is_heard(&env, &repo, "OxCd34"));
    let costs = || agents(&env, &repo, "list").into_iter().find(|a| a["agent_id"] == "OxCd34").unwrap();
    until_or(|| costs()["commands"].to_string().contains("agent list"), costs);
    assert_eq!(costs()["agent_type"], "gemini");
    env.stop_daemon();
}

#[test]
fn agents_of_all_projects_are_listed_and_those_of_a_go_daemon_too() {
    let (mut env, repo) = machine();
    let other = env.repo("other");
    env.ox_in(&other, ["init", "--yes"]).ok();
    for (dir, id) in [(&repo, "OxAb12"), (&other, "OxCd34")] {
        env.ox_in(dir, ["daemon", "start"]).ok();
        env.ox_in(dir, ["agent", id, "heartbeat"]).ok();
        assert!(is_heard(&env, dir, id));
    }
    // Outside of any project, and with what no daemon knows: an agent that wrote itself down and lives.
    let all = agents(&env, &env.work(), "list");
    assert_eq!(ids(&all).len(), 2, "{all:?}");
    let text = env.ox_in(env.work(), ["agent", "list"]).ok().stdout;
    assert!(text.contains("PROJECT") && text.contains("/p\n") && text.contains("/other\n"), "{text}");
    let table = env.ox_in(env.work(), ["agent", "instances"]).ok().stdout;
    assert!(table.starts_with("AGENT ") && table.ends_with("\n2 instances\n"), "{table}");
    let line = json!({
        "agent_id": "OxEe55", "oxsid": "oxsid_1", "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2999-01-01T00:00:00Z", "agent_type": "codex", "parent_pid": std::process::id(),
    });
    let dir = other.join(".sageox/agent_instances/somebody");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("agent_instances.jsonl"), format!("{line}\n")).unwrap();
    let all = agents(&env, &env.work(), "list");
    let written = all.iter().find(|a| a["agent_id"] == "OxEe55").unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!((&written["status"], &written["agent_type"]), (&json!("active"), &json!("codex")));
    assert!(!ids(&agents(&env, &env.work(), "instances")).contains(&"OxEe55"));

    // A daemon of the Go program serves a third project.
    let socket = env.work().join("go.sock");
    let answer = json!({ "success": true, "data": { "instances": [{
        "agent_id": "OxGo77", "workspace_path": "", "last_heartbeat": "2026-01-01T00:00:00Z",
        "heartbeat_count": 1, "status": "idle", "last_whisper": "0001-01-01T00:00:00Z" }] } });
    let go = Go::answering(socket.clone(), format!("{answer}\n"));
    let registry = env.runtime().join("sageox/daemon/registry.json");
    let mut entries: Value = serde_json::from_slice(&fs::read(&registry).unwrap()).unwrap();
    entries["daemons"]["0123abcd"] = json!({
        "workspace_id": "0123abcd", "workspace_path": "/srv/go", "socket_path": socket,
        "pid": std::process::id(), "version": "0.6.1", "started_at": "2026-01-01T00:00:00Z",
    });
    fs::write(&registry, entries.to_string()).unwrap();
    let all = agents(&env, &env.work(), "instances");
    let theirs = all.iter().find(|a| a["agent_id"] == "OxGo77").unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(theirs["workspace_path"], "/srv/go");
    drop(go);
    env.allow_leftovers();
    env.stop_daemon();
}

#[test]
fn an_agent_works_without_a_daemon_and_is_told_that_nothing_is_kept_current() {
    let (mut env, repo) = machine();
    env.set("SAGEOX_DAEMON", "false");
    let text = env.ox_in(&repo, ["agent", "prime"]).ok().stdout;
    assert!(text.starts_with("You are agent Ox") && text.contains("Nothing is kept up to date"), "{text}");
    assert!(text.contains("SAGEOX_DAEMON=false keeps ox from starting it"), "{text}");
    let document = env.ox_in(&repo, ["agent", "list", "--json"]).ok().json();
    assert!(document["agents"].is_array(), "{document}");
    assert_eq!(env.daemon_pid(), None);
    let outside = env.ox_in(env.work(), ["agent", "prime"]).fails(2);
    assert!(outside.stderr.contains("not in a git repository"), "{outside:?}");
}

#[test]
fn issues_are_told_to_agents_on_stderr_and_to_nobody_else() {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let ledger = env.ox_in(&repo, ["status", "--json"]).ok().json()["ledger"].clone();
    let (path, remote) = (ledger["path"].as_str().unwrap(), ledger["remote"].as_str().unwrap());
    // Two machines committed different things under one name, and no rule decides.
    let elsewhere = env.work().join("elsewhere");
    env.git(env.work(), ["clone", "-q", remote, "elsewhere"]);
    for (dir, text) in [(elsewhere.as_path(), "theirs\n"), (Path::new(path), "ours\n")] {
        fs::write(dir.join("x.md"), text).unwrap();
        env.git(dir, ["add", "--sparse", "x.md"]);
        env.git(dir, ["commit", "-qm", "x"]);
    }
    env.git(&elsewhere, ["push", "-q", "origin", "HEAD:main"]);
    env.ox_in(&repo, ["sync"]).fails(1);
    // A daemon that has no time for an answer at once is not waited for.
    let told = || {
        let said = env.ox_in(&repo, ["agent", "list"]).ok().stderr;
        said.contains("ox: ") && said.contains("\n  [error] ledger: ") && said.contains("[CONFIRM REQUIRED]")
    };
    until_or(told, || format!("{:?}", env.ox_in(&repo, ["agent", "list"])));
    let ran = env.ox_in(&repo, ["agent", "list", "--json"]).ok();
    assert!(ran.stderr.contains("[CONFIRM REQUIRED]") && ran.json().is_object(), "{ran:?}");
    assert_eq!(env.ox_in(&repo, ["-q", "agent", "list"]).ok().stderr, "");
    assert!(!env.ox_in(&repo, ["status"]).ok().stderr.contains("CONFIRM"));
    let prime = env.ox_in(&repo, ["agent", "prime"]).ok();
    assert!(
        prime.stdout.contains("Problems (quoted; tell your user") && prime.stderr.contains("ox: "),
        "{prime:?}"
    );
    env.stop_daemon();
}

#[test]
fn the_process_of_an_agent_program_is_the_one_that_is_named() {
    let (env, repo) = machine();
    let ox = env!("CARGO_BIN_EXE_ox");
    let bin = agent_program(&env, "codex", &format!("'{ox}' agent prime --json; echo pid $$"));
    let ran = crate::support::run(env.cmd(bin).dir(&repo), "codex".into()).ok();
    let (document, pid) = ran.stdout.rsplit_once("pid ").unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["agent_type"], if cfg!(target_os = "linux") { json!("codex") } else { Value::Null });
    let id = document["agent_id"].as_str().unwrap();
    assert!(is_heard(&env, &repo, id));
    let all = agents(&env, &repo, "instances");
    let told = &all.iter().find(|a| a["agent_id"] == id).unwrap()["parent_pid"];
    assert_eq!(told.to_string(), pid.trim());
    env.stop_daemon();
}

/// What a command says on stderr when that is a terminal.
fn on_terminal(env: &TestEnv, dir: &Path, args: &[&str]) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ox"));
    command.args(args).env_clear().envs(env.vars()).current_dir(dir);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    drop(command);
    // What was written stays readable after the other end is closed; then the read fails.
    let mut text = Vec::new();
    let _ = std::io::Read::read_to_end(&mut fs::File::from(ours), &mut text);
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap()
}

#[test]
fn a_person_is_told_of_stored_failures_now_and_then_and_a_script_never() {
    let (env, repo) = machine();
    let dir = env.runtime().join("sageox/daemon");
    env.ox_in(&repo, ["daemon", "start"]).ok();
    let entries: Value = serde_json::from_slice(&fs::read(dir.join("registry.json")).unwrap()).unwrap();
    let id = entries["daemons"].as_object().unwrap().keys().next().unwrap().clone();
    env.stop_daemon();
    let stored = json!([{ "id": "1", "message": "no room\u{1b}[2J left", "code": "disk_full",
        "timestamp": jiff::Timestamp::now().to_string(), "viewed": false, "severity": "error" }]);
    fs::write(dir.join(format!("errors-{id}.json")), stored.to_string()).unwrap();
    assert!(!on_terminal(&env, &repo, &["status"]).contains("no room"), "nobody is asked");
    env.ox_in(&repo, ["daemon", "start"]).ok();
    assert!(!env.ox_in(&repo, ["status"]).ok().stderr.contains("no room"));
    assert!(!on_terminal(&env, &repo, &["-q", "status"]).contains("no room"));
    let mut told = String::new();
    let is_told = || {
        told = on_terminal(&env, &repo, &["status"]);
        told.contains("no room") && told.contains("ox daemon errors")
    };
    assert!(comes(is_told), "{told}");
    assert!(!told.contains("\u{1b}[2J"), "{told}");
    assert!(!on_terminal(&env, &repo, &["status"]).contains("no room"), "not again within ten minutes");
    env.stop_daemon();
}

/// What an agent tells is told by it, however it says so: by its session's variable, by its process where there is none; and it does not
/// hear itself.
#[test]
fn every_command_of_a_session_is_the_agents_that_was_introduced_in_it() {
    let (mut env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let murmurs = |env: &TestEnv| env.ox_in(&repo, ["murmur", "list", "--json"]).ok().stdout;
    for (mark, session) in [("CODEX_THREAD_ID", "CODEX_THREAD_ID"), ("CLAUDECODE", "CLAUDE_CODE_SESSION_ID")]
    {
        env.set(mark, "1");
        env.set(session, format!("session-of-{mark}"));
        let primed = env.ox_in(&repo, ["agent", "prime", "--json"]).ok().json();
        let id = primed["agent_id"].as_str().unwrap().to_owned();
        env.ox_in(&repo, ["murmur", "--topic", "t", &format!("a word under {mark}")]).ok();
        let told = murmurs(&env);
        assert!(told.contains(&format!("a word under {mark}")) && told.contains(&id), "{told}");
        let heard = env.ox_in(&repo, ["agent", &id, "whisper", "--json"]).ok().stdout;
        assert!(!heard.contains(&format!("a word under {mark}")), "{heard}");
        // Without the session it is somebody else's.
        env.unset(mark);
        env.unset(session);
    }
    // A program without a session of its own: the same process is the same agent, also when it introduces itself again.
    let ox = crate::support::OX;
    let command = format!(
        "cd '{}'; {ox} agent prime --json >first; {ox} murmur --topic t 'a word of gemini'; {ox} agent prime --json >second",
        repo.display()
    );
    let program = agent_program(&env, "gemini", &command);
    assert_eq!(env.start(program.to_str().unwrap(), &repo, [] as [&str; 0]).ended().code(), Some(0));
    let id = |file: &str| {
        let document: Value = serde_json::from_slice(&fs::read(repo.join(file)).unwrap()).unwrap();
        document["agent_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id("first"), id("second"));
    let told = murmurs(&env);
    assert!(told.contains("a word of gemini") && told.contains(&id("first")), "{told}");
    env.stop_daemon();
}
