//! What keeps a clone as it is, each with its reason.

use std::fs::{self, File};
use std::path::Path;

use ox::git::{CloneLock, Unmovable};
use ox::kit::Class;
use ox::sync::reclone::Refusal;

use crate::reclone::bench::{Bench, run};
use crate::support::git::write;

/// Prepares a clone, expects the refusal, and that nothing was changed.
#[track_caller]
fn check(prepare: impl FnOnce(&Bench), kind: &str) -> Refusal {
    let b = Bench::full();
    b.s.sh(&b.path, &["push", "-q", "origin", "main"]);
    prepare(&b);
    let before = b.look();
    let why = b.refused();
    assert_eq!(why.kind(), kind, "{why:?}");
    assert!(!why.to_string().is_empty());
    b.has_all(&before, kind);
    why
}

#[test]
fn somebody_elses_operations_are_left_alone() {
    check(|b| fs::write(b.path.join(".git/MERGE_HEAD"), "x").unwrap(), "foreign_operation");
    check(|b| fs::create_dir(b.path.join(".git/rebase-merge")).unwrap(), "foreign_operation");
    check(|b| fs::write(b.path.join(".git/index.lock"), "").unwrap(), "lock_files");
}

#[test]
fn what_cannot_be_carried_is_named() {
    let why = check(
        |b| {
            b.s.sh(&b.path, &["checkout", "-q", "-f", "-b", "side"]);
            b.s.commit(&b.path, &[("s", "s\n")], "side");
            b.s.sh(&b.path, &["checkout", "-q", "main"]);
        },
        "unmovable",
    );
    assert_eq!(why, Refusal::Unmovable(Unmovable::Branch("side".into())));
    check(
        |b| {
            write(&b.path.join("clean"), "stashed\n");
            b.s.sh(&b.path, &["rm", "-q", "--cached", "later"]);
            b.s.sh(&b.path, &["stash", "-q"]);
        },
        "stash",
    );
    let why = check(
        |b| {
            b.s.sh(&b.path, &["update-index", "--assume-unchanged", "clean"]);
            write(&b.path.join("clean"), "hidden\n");
        },
        "unmovable",
    );
    assert_eq!(why, Refusal::Unmovable(Unmovable::Hidden("clean".into())));
    let why = check(
        |b| {
            let tree = b.s.at("tree");
            b.s.sh(&b.path, &["worktree", "add", "-q", "--detach", tree.to_str().unwrap()]);
        },
        "unmovable",
    );
    assert_eq!(why, Refusal::Unmovable(Unmovable::WorkTrees));
}

#[test]
fn a_file_that_another_process_has_open_keeps_the_clone() {
    let b = Bench::new();
    let file = File::create(b.path.join("open.log")).unwrap();
    let mut child =
        std::process::Command::new("cat").stdin(std::process::Stdio::piped()).stdout(file).spawn().unwrap();
    let why = b.refused();
    assert_eq!(why, Refusal::Unmovable(Unmovable::InUse(child.id())));
    drop(child.stdin.take());
    child.wait().unwrap();
    b.done();
}

#[test]
fn another_branch_and_a_held_lock_are_reasons() {
    let b = Bench::new();
    b.s.sh(&b.path, &["checkout", "-q", "-b", "side"]);
    assert_eq!(b.refused().kind(), "wrong_branch");
    b.s.sh(&b.path, &["checkout", "-q", "main"]);
    fs::create_dir(b.s.at("c.ox-reclone-old")).unwrap();
    assert_eq!(b.refused().kind(), "in_the_way");
    fs::remove_dir(b.s.at("c.ox-reclone-old")).unwrap();
    b.done();
}

#[test]
fn commits_that_cannot_be_pushed_keep_the_clone() {
    let b = Bench::new();
    b.s.commit(&b.path, &[("clean", "ours\n")], "ours");
    b.s.push_elsewhere(&b.remote, |w| write(&w.join("clean"), "theirs\n"));
    let why = b.refused();
    assert_eq!(why.kind(), "unpushed", "{why:?}");
    assert_eq!(fs::read_to_string(b.path.join("clean")).unwrap(), "ours\n");
    assert_eq!(b.siblings(), Vec::<String>::new());
}

#[test]
fn a_remote_out_of_reach_is_a_failure_of_the_network_and_nothing_happens() {
    let b = Bench::full();
    b.s.sh(&b.path, &["remote", "set-url", "origin", "http://127.0.0.1:9/none"]);
    let before = b.look();
    let failure = b.run().unwrap_err();
    assert_eq!(failure.class, Class::Network, "{failure:?}");
    b.has_all(&before, "offline");
}

#[test]
fn a_file_that_changes_during_the_copy_keeps_the_old_clone() {
    let b = Bench::full();
    let url = b.remote.to_str().unwrap().to_owned();
    let steps = b.with_target(|t| {
        let git = t.git;
        let mut make =
            |new: &Path| ox::git::clone_plain(git, &url, new, &mut |_| (), &ox::kit::cancel::Cancel::new());
        let hands =
            ox::sync::reclone::Callbacks { make: &mut make, before_swap: &mut || (), after_swap: &mut || () };
        let cancel = ox::kit::cancel::Cancel::new();
        let mut run = ox::sync::reclone::Run::begin(t, hands, &cancel).unwrap().unwrap();
        let mut steps = 0;
        let stop = loop {
            match run.step() {
                Ok(step) => {
                    steps += 1;
                    if step == Some(ox::sync::reclone::Step::Carry) {
                        write(&b.path.join("x.log"), "written late\n");
                    }
                }
                Err(stop) => break stop,
            }
        };
        assert!(!matches!(stop, ox::sync::reclone::Stop::Refused(Refusal::Busy)), "{stop:?}");
        assert!(CloneLock::acquire(&b.lock, std::time::Duration::ZERO).unwrap().is_none());
        run.give_up();
        steps
    });
    assert_eq!(steps, 4);
    assert_eq!(fs::read_to_string(b.path.join("x.log")).unwrap(), "written late\n");
    let now = b.look();
    b.has_all(&now, "after");
    let busy = CloneLock::acquire(&b.lock, std::time::Duration::ZERO).unwrap().unwrap();
    drop(busy);
    b.with_target(|t| run(t, &url, &mut || ())).unwrap();
}
