//! A daemon of the Go program serves the project, and our commands meet it.

use super::*;

/// A project that our daemon has served and let go of, with the socket and the id that it is served by.
fn let_go() -> (TestEnv, PathBuf, Value) {
    let (env, repo) = machine();
    env.ox_in(&repo, ["up"]).ok();
    let ours = env.ox_in(&repo, ["daemon", "list", "--json"]).ok().json()[0].clone();
    env.ox_in(&repo, ["daemon", "stop"]).ok();
    (env, repo, ours)
}

/// Where a project's daemon listens.
fn socket(of: &Value) -> PathBuf {
    PathBuf::from(of["socket_path"].as_str().unwrap())
}

/// The status of a Go daemon that keeps no clone.
fn status_of(version: &str) -> Value {
    json!({ "success": true, "data": {
        "running": true, "pid": std::process::id(), "version": version, "uptime": 1, "workspace_path": "", "ledger_path": "",
        "last_sync": "0001-01-01T00:00:00Z", "sync_interval_read": 300_000_000_000_u64, "needs_help": false,
    }})
}

/// The status is that of `version`, to all else is said yes.
fn keeping_nothing(version: &'static str) -> impl Fn(&str) -> Value + Send + 'static {
    move |kind| match kind {
        "status" => status_of(version),
        _ => json!({ "success": true }),
    }
}

const NOT_KEPT: &str = "another daemon serves this project, it does not keep this ledger";

/// It says yes to a sync and has no clone: nobody is told that all is well.
#[test]
fn row_2_a_daemon_that_does_not_keep_the_ledger_has_synced_nothing() {
    let (mut env, repo, ours) = let_go();
    fs::remove_dir_all(ledger(&env, &repo)).unwrap();
    let go = GoDaemon::saying(socket(&ours), keeping_nothing("0.6.1"));
    for command in [&["up"][..], &["sync"], &["murmur", "hello there"]] {
        let ran = env.ox_in(&repo, command);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(NOT_KEPT) && ran.stderr.contains("hint: ox daemon stop"), "{ran:?}");
        assert!(!ran.stdout.contains("synced"), "{ran:?}");
    }
    let failed = env.ox_in(&repo, ["up", "--json"]).fails(1).json();
    assert_eq!((&failed["success"], &failed["error"]), (&json!(false), &json!(NOT_KEPT)));
    assert!(go.heard("sync").is_empty(), "nothing is asked of it");
    let ran = env.ox_in(&repo, ["status"]).ok();
    assert!(!ran.stdout.contains("Healthy") && ran.stdout.contains(NOT_KEPT), "{ran:?}");
    assert!(ran.stdout.ends_with("next: ox daemon stop\n"), "{ran:?}");
    drop(go);
    env.allow_leftovers();
}

/// One that keeps the ledger is as good as ours.
#[test]
fn row_2_a_daemon_that_keeps_the_ledger_is_asked() {
    let (mut env, repo, ours) = let_go();
    let ledger = ledger(&env, &repo);
    let go = GoDaemon::saying(socket(&ours), move |kind| match kind {
        "status" => {
            let mut status = status_of("0.6.1");
            status["data"]["ledger_path"] = json!(ledger);
            status
        }
        _ => json!({ "success": true }),
    });
    let ran = env.ox_in(&repo, ["sync"]).ok();
    assert!(ran.stdout.contains("synced"), "{ran:?}");
    assert!(!env.ox_in(&repo, ["status"]).ok().stdout.contains(NOT_KEPT));
    drop(go);
    env.allow_leftovers();
}

/// An old one drops the message; the murmur waits on the disk, and that is what is said.
#[test]
fn row_7_a_murmur_that_an_old_daemon_drops_is_queued_and_goes_out_with_ours() {
    let (env, repo, ours) = let_go();
    let go = GoDaemon::saying(socket(&ours), keeping_nothing("0.3.0"));
    let ran = env.ox_in(&repo, ["murmur", "the build is green"]).ok();
    assert!(ran.stdout.starts_with("queued: "), "{ran:?}");
    assert!(
        ran.stderr.contains("another daemon serves this project") && ran.stderr.contains("0.3.0"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("ox daemon stop"), "{ran:?}");
    assert_eq!(go.heard("murmur").len(), 1);
    drop(go);
    fs::remove_file(socket(&ours)).unwrap();
    env.ox_in(&repo, ["up"]).ok();
    let ran = env.ox_in(&repo, ["murmur", "list"]).ok();
    assert!(ran.stdout.contains("the build is green"), "{ran:?}");
    let ledger = ledger(&env, &repo);
    let files = || env.git(&ledger, ["log", "--remotes", "--name-only", "--format="]);
    until_or(|| files().contains("murmurs/"), files);
    env.stop_daemon();
}

/// Another program's daemon is listed beside ours, and a start that leaves the project to it says so.
#[test]
fn row_8_the_list_has_every_daemon_that_lives() {
    let (mut env, repo, ours) = let_go();
    let other = env.repo("other");
    env.ox_in(&other, ["up"]).ok();
    let go = GoDaemon::saying(socket(&ours), keeping_nothing("0.3.0"));
    let pid = json!(std::process::id());
    change_registry(&env, |daemons| {
        daemons[ours["workspace_id"].as_str().unwrap()] = json!({
            "workspace_id": ours["workspace_id"], "workspace_path": repo, "socket_path": socket(&ours),
            "pid": pid, "version": "0.3.0", "started_at": "2026-01-01T00:00:00Z",
        });
        // One whose process is gone.
        daemons["dead"] =
            json!({ "workspace_id": "dead", "workspace_path": "/d", "socket_path": "/d.sock", "pid": 1 });
    });
    let listed = env.ox_in(&repo, ["daemon", "list", "--json"]).ok().json();
    let listed: Vec<(&Value, &Value)> =
        listed.as_array().unwrap().iter().map(|e| (&e["workspace_path"], &e["version"])).collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!((listed[0].0, listed[1]), (&json!(other), (&json!(repo), &json!("0.3.0"))));
    let page = env.ox_in(&repo, ["daemon", "list"]).ok().stdout;
    assert!(page.contains("0.3.0") && page.contains(&pid.to_string()), "{page}");
    let ran = env.ox_in(&repo, ["daemon", "start"]).ok();
    assert!(ran.stderr.contains("another daemon serves this project, it is 0.3.0"), "{ran:?}");
    drop(go);
    env.stop_daemon();
    env.allow_leftovers();
}

/// Two teams and the ledger are three clones, and they are that daemon's.
#[test]
fn row_9_and_16_who_made_clones_smaller_is_said_and_how_many() {
    let (mut env, repo, ours) = let_go();
    let go = GoDaemon::saying(socket(&ours), |kind| match kind {
        "status" => status_of("0.6.1"),
        _ => json!({ "success": true, "data": { "triggered": 2, "ledger_triggered": true } }),
    });
    let ran = env.ox_in(&repo, ["doctor", "--gc"]).ok();
    assert!(
        ran.stdout.contains("made 3 clones, the ledger among them, smaller by another daemon, it is 0.6.1"),
        "{ran:?}"
    );
    drop(go);
    fs::remove_file(socket(&ours)).unwrap();
    let go = GoDaemon::saying(socket(&ours), |kind| match kind {
        "status" => status_of("0.6.1"),
        _ => json!({ "success": true, "data": { "triggered": 0 } }),
    });
    let ran = env.ox_in(&repo, ["doctor", "--gc"]).ok();
    assert!(
        ran.stdout.contains("nothing was made smaller by another daemon")
            && !ran.stdout.contains("no clone here"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("ox daemon stop"), "{ran:?}");
    drop(go);
    env.allow_leftovers();
}

/// On the wire we are 0.6.1, and so is a daemon of that version.
#[test]
fn row_10_the_version_is_compared_as_the_wire_has_it() {
    let (mut env, repo, ours) = let_go();
    for (version, is_ours) in [("0.6.1", true), ("0.3.0", false)] {
        let go = GoDaemon::saying(socket(&ours), keeping_nothing(version));
        let ran = env.ox_in(&repo, ["daemon", "status"]).ok();
        assert!(ran.stdout.contains(&format!("  daemon   v{version}, running")), "{ran:?}");
        assert_eq!(!ran.stdout.contains("  version  this program is v0.6.1"), is_ours, "{ran:?}");
        drop(go);
        fs::remove_file(socket(&ours)).unwrap();
    }
    env.allow_leftovers();
}

#[test]
fn row_15_a_daemon_without_whispers_is_an_older_one() {
    let (mut env, repo, ours) = let_go();
    let go = GoDaemon::saying(socket(&ours), |kind| match kind {
        "whisper_history" => json!({ "success": false, "error": "unknown message type" }),
        _ => status_of("0.6.1"),
    });
    let ran = env.ox_in(&repo, ["whispers"]).fails(1);
    assert!(ran.stderr.contains("the daemon (0.6.1) is older and does not know whispers"), "{ran:?}");
    assert!(ran.stderr.contains("hint: ox daemon stop"), "{ran:?}");
    drop(go);
    env.allow_leftovers();
}

/// It takes one request a connection; its agents are asked for on another.
#[test]
fn row_11_the_agents_of_a_daemon_that_closes_at_once_are_shown() {
    let (mut env, repo, ours) = let_go();
    let agent = json!({ "agent_id": "OxAb12", "status": "active", "last_heartbeat": "2026-01-01T00:00:00Z" });
    let go = GoDaemon::saying(socket(&ours), move |kind| match kind {
        "status" => status_of("0.6.1"),
        _ => json!({ "success": true, "data": { "instances": [agent] } }),
    });
    let ran = env.ox_in(&repo, ["status"]).ok();
    assert!(ran.stdout.contains("OxAb12 active"), "{ran:?}");
    drop(go);
    env.allow_leftovers();
}
