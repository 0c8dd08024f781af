//! State files that hold nonsense: each can be made anew, and none keeps a project from being served.

use std::fs;
use std::path::{Path, PathBuf};

use super::machine::{Machine, SOON};
use super::support::wait_until;

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
    assert!(wait_until(SOON, || m.served() == 1), "{}", path.display());
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
    let m = Machine { env: super::support::TestEnv::new(), repo: PathBuf::new() };
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
