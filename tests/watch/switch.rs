//! Branch switches: whatever git does to how many files, it is one batch.

use ox::watch::{HeadMove, Kind, Task};
use std::collections::BTreeSet;
use std::fs;

use crate::support::{own_process, until};
use crate::watch::driver::Driver;
use crate::watch::model::Repo;

/// Files that differ between the two branches.
const FILES: usize = 10_000;

/// A repository with so many files that all differ between `main` and `other`; a tenth of them is only on one side.
fn repo(files: usize) -> Repo {
    let repo = Repo::new(&["a"]);
    for side in ["main", "other"] {
        if side == "other" {
            repo.git(&["checkout", "-q", "-b", "other"]);
        }
        for n in 0..files {
            let name =
                if n % 10 == 0 { format!("d{}/{side}-{n}", n % 100) } else { format!("d{}/{n}", n % 100) };
            repo.write(&name, side);
            if side == "other" && n % 10 == 0 {
                fs::remove_file(repo.at(&format!("d{}/main-{n}", n % 100))).unwrap();
            }
        }
        repo.commit();
    }
    repo.git(&["checkout", "-q", "main"]);
    repo
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_switch_of_ten_thousand_files_is_one_complete_batch() {
    // Memory is counted too, which other tests of the same process would take part in.
    own_process(
        "watch::switch::a_switch_of_ten_thousand_files_is_one_complete_batch",
        switch_of_ten_thousand,
    );
}

fn switch_of_ten_thousand() {
    let repo = repo(FILES);
    let driver = Driver::start(&repo.root);
    let before = (driver.view(), repo.git(&["rev-parse", "HEAD"]));
    let memory = resident_kib();
    driver.told.lock().jobs.clear();
    repo.git(&["checkout", "-q", "other"]);
    let batches = driver.settled();
    assert_eq!(batches.len(), 1);
    let batch = &batches[0];
    let (old, new) = (before.0, repo.tree());
    let expected: BTreeSet<Box<[u8]>> =
        old.keys().chain(new.keys()).filter(|path| old.get(*path) != new.get(*path)).cloned().collect();
    let told: BTreeSet<Box<[u8]>> = batch.changes.iter().map(|c| c.path.clone()).collect();
    assert!(expected.len() > FILES && told == expected, "{} told, {} true", told.len(), expected.len());
    let oid = |text: &str| Some(git2::Oid::from_str(text).unwrap());
    let moved = HeadMove { old: oid(&before.1), new: oid(&repo.git(&["rev-parse", "HEAD"])) };
    assert_eq!((batch.head_moved, batch.partial, batch.desynced), (Some(moved), false, false));
    assert_eq!(driver.view(), new);
    let grown = resident_kib().saturating_sub(memory);
    assert!(grown < 32 * 1024, "{grown} KiB more");
}

#[test]
fn a_switch_beyond_all_bounds_is_found_by_comparing() {
    let repo = repo(300);
    let setup =
        crate::watch::driver::Setup { hints_max: Some(100), ..crate::watch::driver::Setup::default() };
    let driver = Driver::with(&repo.root, setup);
    repo.git(&["checkout", "-q", "other"]);
    let tree = repo.tree();
    until(|| driver.view() == tree);
    let batches = driver.settled();
    assert!(batches.iter().any(|batch| batch.desynced), "{batches:?}");
    assert!(driver.told.lock().counters.overflows > 0);
}

#[test]
fn while_git_holds_its_lock_nothing_is_told() {
    let repo = Repo::new(&["a", "b"]);
    let driver = Driver::start(&repo.root);
    fs::write(repo.at(".git/index.lock"), "").unwrap();
    repo.write("a", "second");
    // It looks at the lock again and again, and at nothing else.
    until(|| driver.told.lock().jobs.len() > 10);
    assert!(driver.told.lock().early.is_empty());
    fs::remove_file(repo.at(".git/index.lock")).unwrap();
    let batches = driver.settled();
    assert_eq!((batches.len(), batches[0].changes.len()), (1, 1));
    assert!(!batches[0].partial);
}

#[test]
fn commits_and_merges_move_head_in_a_batch_of_no_files() {
    let repo = Repo::new(&["a"]);
    let driver = Driver::start(&repo.root);
    repo.git(&["commit", "-q", "--allow-empty", "-m", "Nothing"]);
    let batches = driver.settled();
    assert!(batches[0].changes.is_empty() && batches[0].head_moved.is_some(), "{batches:?}");
}

#[test]
fn linked_work_trees_and_submodules_are_roots_like_others() {
    let repo = Repo::new(&["a", "d/b"]);
    repo.git(&["worktree", "add", "-q", "../linked", "-b", "linked"]);
    let inner = Repo::new(&["x"]);
    let url = inner.root.to_str().unwrap().to_string();
    repo.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "sub"]);
    repo.commit();
    for (root, name) in [(repo.sandbox.at("linked"), "a"), (repo.at("sub"), "x")] {
        let driver = Driver::start(&root);
        fs::write(root.join(name), "second").unwrap();
        repo.git_in(&root, &["-c", "user.name=T", "-c", "user.email=t@e", "commit", "-qam", "Second"]);
        let batches = driver.settled();
        let batch = batches.last().unwrap();
        assert!(batch.head_moved.is_some(), "the git directory of {} is watched", root.display());
        assert_eq!((batch.changes.len(), batch.changes[0].kind), (1, Kind::Modified));
    }
    // What happens in a submodule is not the outer repository's.
    let driver = Driver::start(&repo.root);
    assert!(driver.view().keys().all(|path| !path.starts_with(b"sub")));
    fs::write(repo.at("sub/x"), "third").unwrap();
    repo.write("a", "second");
    let batches = driver.settled();
    assert_eq!(batches[0].changes.len(), 1);
    let scans = driver.told.lock().jobs.iter().filter(|(t, _)| matches!(t, Task::Scan { .. })).count();
    assert_eq!(scans, 1, "only the first look");
}
