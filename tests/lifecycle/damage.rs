//! State files that hold nonsense: each can be made anew, and none keeps a project from being served.

use std::fs;
use std::path::{Path, PathBuf};

use super::machine::Machine;
use crate::support::{census, until, until_or};

/// What a crash, a full disk or another program may leave.
const NONSENSE: &[&[u8]] = &[
    b"",
    b"{",
    b"[]",
    b"{\"daemons\":[],\"projects\":7,\"clean\":\"x\",\"hosts\":{},\"restarts\":\"x\",\"failed_starts\":{}}",
    b"\0\0\0\0\0\0\0\0\xff\xfe",
];

/// A killed daemon and a damaged file: the next sync works, and the daemon after it starts in order.
#[track_caller]
fn check(m: &Machine, path: &Path, damage: impl Fn(&Path)) {
    m.kill();
    damage(path);
    m.here(["sync"]).ok();
    assert_eq!(m.served(), 1, "{}", path.display());
    assert_eq!(m.daemons(), 1, "{}", path.display());
    m.here(["daemon", "restart"]).ok();
    m.here(["status"]).ok();
    until_or(|| m.served() == 1, || path.display());
}

fn write(content: &'static [u8]) -> impl Fn(&Path) {
    move |path: &Path| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn ledger_state(m: &Machine) -> PathBuf {
    let repo_id = m.registry().entries().unwrap()[&m.id()].repo_id.clone();
    m.dirs().state_of("local", &repo_id)
}

#[test]
fn nonsense_in_the_daemons_files_is_replaced() {
    let mut m = Machine::up();
    m.allow_leftovers();
    for content in NONSENSE {
        for path in [m.dirs().registry(), m.dirs().attached(), m.dirs().restarts(), m.pid_file()] {
            check(&m, &path, write(content));
        }
        check(&m, &m.dirs().daemon_lock(), write(content));
        assert!(m.registered(&m.id()) == Some(m.pid()));
        assert_eq!(fs::read_to_string(m.pid_file()).unwrap(), m.pid().to_string());
        assert_eq!(m.attached()["projects"].as_array().unwrap().len(), 1);
        let restarts = fs::read(m.dirs().restarts()).unwrap();
        let restarts: serde_json::Value = serde_json::from_slice(&restarts).unwrap();
        assert!(restarts["restarts"].is_array(), "{restarts}");
    }
    assert!(m.log().contains("is damaged and is made anew"), "{}", m.log());
}

#[test]
fn nonsense_beside_a_ledger_does_not_stop_its_sync() {
    let mut m = Machine::up();
    m.allow_leftovers();
    let (state, data) = (ledger_state(&m), m.dirs().data().to_owned());
    let locks: Vec<PathBuf> =
        fs::read_dir(data.join("local/locks")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(locks.len(), 1, "{locks:?}");
    for content in NONSENSE {
        check(&m, &state.join("kept.json"), write(content));
        check(&m, &m.dirs().trusted_hosts(), write(content));
        check(&m, &locks[0], write(content));
    }
}

#[test]
fn nonsense_in_the_local_configuration_does_not_stop_the_sync() {
    let mut m = Machine::up();
    m.allow_leftovers();
    let path = m.repo.join(".sageox/config.local.toml");
    for content in [&b"ledger = 7\n"[..], b"[[[", b"", b"\0\0\0\0", b"\xff\xfe"] {
        check(&m, &path, write(content));
    }
}

#[test]
fn a_damaged_list_of_trusted_hosts_trusts_nobody() {
    let m = Machine { env: crate::support::TestEnv::new(), repo: PathBuf::new() };
    let repo = m.env.repo("p");
    m.ox_in(&repo, ["init", "--yes", "--ledger", "ssh://git@a.invalid/l.git"]).ok();
    let path = m.dirs().trusted_hosts();
    assert!(fs::read_to_string(&path).unwrap().contains("a.invalid"));
    for content in NONSENSE {
        write(content)(&path);
        let ran = m.ox_in(&repo, ["sync"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("a.invalid"), "{ran:?}");
        assert_eq!(m.daemon_pid(), None);
    }
}

#[test]
fn a_directory_where_a_state_file_belongs_stops_nothing() {
    let mut m = Machine::up();
    m.allow_leftovers();
    let files = [m.dirs().registry(), m.dirs().attached(), m.dirs().restarts(), m.pid_file()];
    let state = ledger_state(&m).join("kept.json");
    for path in files.iter().chain([&state]) {
        check(&m, path, |path| {
            let _ = fs::remove_file(path);
            fs::create_dir_all(path.join("in the way")).unwrap();
        });
        assert!(path.is_dir(), "somebody's directory stays: {}", path.display());
        m.here(["daemon", "stop"]).ok();
        fs::remove_dir_all(path).unwrap();
        m.here(["sync"]).ok();
    }
}

/// Every file that the daemon and its commands keep on a machine besides repositories: found by looking, so that a new one is among
/// them.
fn state_files(m: &Machine) -> Vec<PathBuf> {
    let is_repository = |p: &Path| {
        let names = ["ledgers", "teams", "remotes"].map(std::ffi::OsStr::new);
        p.components().any(|c| names.contains(&c.as_os_str()))
    };
    let kept = |p: &Path| fs::symlink_metadata(p).is_ok_and(|m| m.is_file()) && !is_repository(p);
    let log = m.dirs().log();
    let mut files = Vec::new();
    for base in [m.config(), m.data(), m.cache(), m.runtime()] {
        files.extend(census::files(&base, &|p| kept(p) && !p.starts_with(log.parent().unwrap())));
    }
    let local = m.repo.join(".sageox");
    files.extend(census::files(&local, &|p| {
        fs::symlink_metadata(p).is_ok_and(|m| m.is_file())
            && (p.ends_with("config.local.toml") || p.ends_with("agent_instances.jsonl"))
    }));
    let ledger = m.dirs().data().join("local/ledgers");
    files.extend(census::files(&ledger, &|p| p.ends_with(".sageox/cache/sync-state.json")));
    files
}

/// A machine on which every kind of state file has something good in it.
fn with_state() -> Machine {
    let mut m = Machine::up();
    m.allow_leftovers();
    m.here(["agent", "prime"]).ok();
    let error = |id: &str, message: &str| {
        serde_json::json!({ "id": id, "message": message, "code": id, "timestamp": jiff::Timestamp::now().to_string(),
            "viewed": false, "severity": "error" })
    };
    let errors = serde_json::json!([error("disk_full", "the first"), error("sync_failed", &"x".repeat(900))]);
    m.here(["daemon", "stop"]).ok();
    fs::write(m.dirs().project_errors(&m.id()), serde_json::to_vec_pretty(&errors).unwrap()).unwrap();
    m.here(["config", "set", "daemon.sync_interval_read", "7m"]).ok();
    m.here(["sync"]).ok();
    m
}

fn stored(m: &Machine) -> Vec<String> {
    let all = m.here(["daemon", "errors", "--all", "--json"]).ok().json();
    all["errors"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_state_file_may_be_cut_off_and_what_was_good_stays() {
    let m = with_state();
    let files = state_files(&m);
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    for part in ["daemon.lock", "attached.json", "registry.json", "daemon-restarts.json", "config.local.toml"]
    {
        assert!(names.iter().any(|n| n.ends_with(part)), "{part}: {names:?}");
    }
    for part in ["errors-", "/heartbeats/", ".pid", "config.yaml", "sync-state.json", "instances.jsonl"] {
        assert!(names.iter().any(|n| n.contains(part)), "{part}: {names:?}");
    }
    m.kill();
    for file in files.iter().filter(|f| !f.ends_with("config.yaml")) {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }
    m.here(["sync"]).ok();
    assert_eq!((m.served(), m.daemons()), (1, 1));
    assert_eq!(stored(&m), ["disk_full"], "what was before the cut");
    let log = m.log();
    assert!(log.contains("errors-") && log.contains("was damaged; it is now"), "{log}");
    assert!(log.contains("is damaged and is made anew"), "{log}");
    m.here(["agent", "prime"]).ok();
    m.here(["daemon", "restart"]).ok();
    m.here(["status"]).ok();
    until(|| m.served() == 1);
    assert_eq!(stored(&m), ["disk_full"]);
}

#[test]
fn every_state_file_may_be_read_only_or_somebody_elses_and_nothing_is_lost() {
    use std::os::unix::fs::PermissionsExt as _;
    let is_root = rustix::process::geteuid().is_root();
    for foreign in [false, true] {
        if foreign && !is_root {
            println!("skipped: only root can give files away");
            continue;
        }
        let m = with_state();
        m.kill();
        for file in state_files(&m) {
            if foreign {
                std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).unwrap();
            } else {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
            }
        }
        let ran = m.here(["sync"]);
        // Without the right to write to it nobody but root can take the lock of a file.
        if !foreign && !is_root && ran.code != Some(0) {
            assert!(ran.stderr.contains("ermission denied"), "{ran:?}");
            continue;
        }
        assert_eq!((ran.code, m.served(), m.daemons()), (Some(0), 1, 1), "foreign {foreign}: {ran:?}");
        assert_eq!(stored(&m).len(), 2, "foreign {foreign}");
        let interval = m.here(["config", "get", "daemon.sync_interval_read"]).ok().stdout;
        assert!(interval.contains("7m"), "{interval}");
        let instances = state_files(&m).into_iter().find(|f| f.ends_with("agent_instances.jsonl")).unwrap();
        let before = fs::read_to_string(&instances).unwrap();
        m.here(["agent", "prime"]).ok();
        assert!(fs::read_to_string(&instances).unwrap().contains(before.trim()), "foreign {foreign}");
        m.here(["daemon", "restart"]).ok();
        until(|| m.served() == 1);
    }
}

#[test]
fn a_user_configuration_that_was_cut_off_is_told_and_the_defaults_serve() {
    let m = with_state();
    let path = m.dirs().user_config();
    m.kill();
    fs::write(&path, "daemon:\n  sync_interval_read: [7").unwrap();
    m.here(["sync"]).ok();
    assert_eq!(m.served(), 1);
    let log = m.log();
    assert!(log.contains("config.yaml") && log.contains("the default is used"), "{log}");
    assert!(m.here(["doctor"]).stdout.contains("config.yaml"));
}
