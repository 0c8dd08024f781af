//! Clones that were put aside, and the recovery of a whole machine.

use std::fs;
use std::path::{Path, PathBuf};

use ox::git::{CloneLock, unsaved};
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock};
use ox::project::{Dirs, Env};
use ox::sync::Site;
use ox::sync::reclone::{Recovered, recover_all};
use ox::sync::rescue::{self, Kind, sweep};

use crate::reclone::bench::Bench;
use crate::reclone::kills::stop_after;
use crate::support::git::write;

const LONG_AGO: i64 = 1_700_000_000;

/// A copy of the bench's clone, put aside by this mark.
fn put_aside(b: &Bench, mark: &str) -> PathBuf {
    let to = b.s.at(&format!("c.{mark}"));
    b.s.clone(&b.remote, &format!("c.{mark}"));
    to
}

fn swept(b: &Bench) -> Vec<(String, bool)> {
    let lock = CloneLock::acquire(&b.lock, std::time::Duration::ZERO).unwrap().unwrap();
    let found = sweep(&lock, &b.s.git(), &b.path, SystemClock.now().wall, &Cancel::new());
    let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
    for one in &found {
        assert_eq!(one.path.exists(), one.kept.is_some(), "{one:?}");
    }
    found.iter().map(|s| (name(&s.path), s.kept.is_none())).collect()
}

#[test]
fn only_what_is_proven_to_hold_nothing_goes() {
    let b = Bench::new();
    let old = |n: i64| format!("bak.{}", LONG_AGO + n);
    for n in 0..5 {
        put_aside(&b, &old(n));
    }
    write(&b.s.at(&format!("c.{}/new", old(0))), "only here\n");
    fs::remove_file(b.s.at(&format!("c.{}/.git/HEAD", old(1)))).unwrap();
    put_aside(&b, &format!("revoked.{LONG_AGO}"));
    std::os::unix::fs::symlink(b.s.at("home"), b.s.at("c.bak.5")).unwrap();
    let found = swept(&b);
    let expected = [
        (format!("c.{}", old(2)), true),
        (format!("c.{}", old(1)), false),
        (format!("c.{}", old(0)), false),
        (format!("c.revoked.{LONG_AGO}"), true),
    ];
    let mut found = found;
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert!(b.s.at(&format!("c.{}", old(4))).exists() && b.s.at("home").exists());
}

#[test]
fn whatever_is_only_here_keeps_a_clone() {
    type Change = fn(&Bench, &Path);
    let changes: [(&str, Change); 9] = [
        ("1 uncommitted or untracked file", |_, c| write(&c.join("clean"), "x\n")),
        ("1 uncommitted or untracked file", |_, c| write(&c.join("new"), "x\n")),
        ("1 ignored file", |_, c| write(&c.join("x.log"), "x\n")),
        ("stashed changes", |b, c| {
            write(&c.join("clean"), "x\n");
            b.s.sh(c, &["stash", "-q"]);
        }),
        ("commits of main that are not on the remote", |b, c| {
            b.s.commit(c, &[("own", "x\n")], "own");
        }),
        ("commits of HEAD that are not on the remote", |b, c| {
            b.s.sh(c, &["checkout", "-q", "--detach"]);
            b.s.commit(c, &[("own", "x\n")], "own");
        }),
        ("commits of side that are not on the remote", |b, c| {
            b.s.sh(c, &["checkout", "-q", "-b", "side"]);
            b.s.commit(c, &[("own", "x\n")], "own");
            b.s.sh(c, &["checkout", "-q", "main"]);
        }),
        ("1 rescued version of files", |b, c| {
            let now = SystemClock.now().wall.as_second();
            let tree = b.s.sh(c, &["write-tree"]);
            let own = b.s.sh(c, &["commit-tree", "-p", "HEAD", "-m", "x", &tree]);
            b.s.sh(c, &["update-ref", &format!("refs/ox/rescue/{now}"), &own]);
        }),
        ("a merge under way", |_, c| fs::write(c.join(".git/MERGE_HEAD"), "x").unwrap()),
    ];
    let b = Bench::new();
    let look = |path: &Path| unsaved(&b.s.git(), path, SystemClock.now().wall, &Cancel::new());
    assert_eq!(look(&b.path).unwrap(), [""; 0]);
    for (n, (what, change)) in changes.into_iter().enumerate() {
        let c = b.s.clone(&b.remote, &format!("x{n}")).path;
        change(&b, &c);
        assert_eq!(look(&c).unwrap().join(", "), what);
    }
    fs::remove_dir_all(b.path.join(".git/objects")).unwrap();
    assert!(look(&b.path).unwrap_err().to_string().starts_with("the clone is damaged: "));
}

#[test]
fn the_start_of_a_daemon_recovers_every_clone() {
    let mut b = Bench::full();
    let before = b.look();
    let data = b.s.at("data");
    let env = Env::of([("HOME", "/nonexistent"), ("XDG_DATA_HOME", data.to_str().unwrap())], "/");
    let dirs = Dirs::from_env(&env).unwrap();
    let place = dirs.ledger("local", "repo_x");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::rename(&b.path, &place).unwrap();
    b.path = place.clone();
    b.lock = dirs.clone_lock("local", "ledger", "repo_x");
    b.state = dirs.state_of("local", "ledger-repo_x");
    stop_after(&b, 7);
    let site = Site::new(dirs.clone(), env);
    {
        let _busy = CloneLock::acquire(&b.lock, std::time::Duration::ZERO).unwrap().unwrap();
        assert!(recover_all(&site, &Cancel::new()).is_empty(), "whoever works on it recovers it");
    }
    let found = recover_all(&site, &Cancel::new());
    assert_eq!(found, [(place.clone(), Ok(Recovered::Finished(None)))]);
    b.has_all(&before, "after");
    assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
    assert!(recover_all(&site, &Cancel::new()).is_empty());
    // The rescue made for it is listed, and so is the copy that lay there.
    let clones = rescue::clones(&dirs);
    assert_eq!(clones.len(), 1);
    assert_eq!((&clones[0].path, &clones[0].lock), (&b.path, &b.lock));
    let listing = rescue::list(&clones);
    assert_eq!(listing.problems, Vec::<String>::new());
    let refs = listing.items.iter().filter(|i| matches!(i.kind, Kind::Ref(_))).count();
    assert_eq!(refs, 2, "{listing:?}");
}
