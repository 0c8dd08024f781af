//! Whoever finishes a session is killed before each change it makes to the disk.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use ox::sessions::finish::accept;

use super::{GOOD, NAME, Scene, talk};

/// Names the directory in which the test's other process works.
const DIR: &str = "OX_TEST_FINISH_DIR";
/// What it does there.
const DO: &str = "OX_TEST_FINISH_DO";
/// Calls of the system that change something on the disk.
const CALLS: &str = "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,ftruncate";

/// The other process: one step of finishing a session.
#[test]
fn finishes_for_another_process() {
    let (Some(dir), Ok(what)) = (std::env::var_os(DIR), std::env::var(DO)) else { return };
    let s = Scene::at(Path::new(&dir));
    match what.as_str() {
        "stop" => s.stop(&s.dir()),
        "share" => drop(s.share(&s.dir())),
        said => {
            let prepared = s.prepare(&s.dir()).unwrap();
            accept(&s.dir(), &prepared, said, s.by()).unwrap();
        }
    }
}

#[test]
fn syn_14_whoever_is_killed_at_any_step_loses_nothing_and_is_taken_over() {
    let strace =
        ["/usr/bin/strace", "/usr/local/bin/strace"].into_iter().find(|path| Path::new(path).exists());
    let Some(strace) = strace else {
        println!("skipped: strace is not installed");
        return;
    };
    let discard = GOOD.replace("\"share\"", "\"skip\"");
    let local = GOOD.replace("\"share\"", "\"local_only\"");
    let mut steps = 0;
    for (what, then) in
        [("stop", GOOD), (GOOD, GOOD), (&local, &local), (&discard, &discard), ("no", "no"), ("share", GOOD)]
    {
        let set_up = || {
            let s = Scene::new();
            match what {
                "stop" => drop(s.record(NAME, &talk(), Vec::new())),
                "share" => drop(s.answer(&s.finished(), GOOD)),
                _ => drop(s.finished()),
            }
            s
        };
        // What there is in the end if nobody is killed.
        let whole = set_up();
        if what == "stop" {
            whole.stop(&whole.dir());
        }
        let asked = whole.drive(then);
        let expected = whole.files();
        let mut at = 0;
        loop {
            at += 1;
            let s = set_up();
            let before = s.transcript();
            let status = Command::new(strace)
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")])
                .args(["-e", &format!("inject={CALLS}:signal=KILL:when={at}")])
                .arg(std::env::current_exe().unwrap())
                .args(["finish::killed::finishes_for_another_process", "--exact", "--test-threads", "1"])
                .env(DIR, &s.root)
                .env(DO, what)
                .output()
                .unwrap()
                .status;
            let after = String::from_utf8(s.transcript()).unwrap();
            let entries = |text: &str| {
                let lines = text.lines().filter(|line| line.contains("\"seq\""));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(entries(&after), entries(&String::from_utf8(before).unwrap()), "{what} {at}");
            if what == "stop" && s.dir().join(".recording.json").exists() {
                s.stop(&s.dir());
            }
            let more = s.drive(then);
            assert!(more <= asked + 1, "{what} {at}: {more}");
            if what != "no" {
                same(&s, &expected, &format!("{what} {at}"));
            }
            if status.success() {
                break;
            }
            assert!(status.signal() == Some(9) || status.code() == Some(137), "{what} {at}: {status:?}");
            steps += 1;
        }
        assert!(at > 5, "{what}: {at}");
    }
    println!("killed at {steps} steps");
}

/// Nothing of it is missing, nothing is left over, and all says the same.
fn same(s: &Scene, expected: &std::collections::BTreeMap<String, Vec<u8>>, when: &str) {
    let clean = |all: &std::collections::BTreeMap<String, Vec<u8>>, root: &Path| {
        let root = root.to_str().unwrap().to_owned();
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).replace(&root, "ROOT");
        let is_meant = |path: &&String| !path.contains("/.") || path.contains(".needs-summary");
        let plain =
            |path: &&String| !path.starts_with("remote/") && !path.ends_with(".tmp") && is_meant(path);
        let all = all.keys().filter(plain).map(|path| (path.clone(), text(&all[path])));
        all.collect::<Vec<_>>()
    };
    let root = expected.keys().next().map(|_| s.root.clone()).unwrap();
    let (ours, theirs) = (clean(&s.files(), &root), clean(expected, &root));
    let names = |all: &[(String, String)]| all.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "{when}");
    for ((path, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{when}: {path}");
    }
    assert!(fs::metadata(s.root.join("ledger/.sageox/cache/dropped").join(NAME)).is_err(), "{when}");
}
