//! What comes along.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use ox::git::clone_plain;
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock};
use ox::sync::reclone::{self, Callbacks, GcRecord, Reclone, Recovered, Target};

use crate::reclone::bench::{Bench, run};
use crate::support::git::write;

#[test]
fn syn_13_every_kind_of_local_work_comes_along() {
    let b = Bench::full();
    let before = b.look();
    let inode = |b: &Bench| std::os::unix::fs::MetadataExt::ino(&fs::metadata(&b.path).unwrap());
    let old = inode(&b);
    let done = b.done();
    assert_ne!(inode(&b), old, "it is another directory");
    b.has_all(&before, "after");
    assert_eq!(b.s.sh(&b.remote, &["rev-parse", "main"]), b.s.sh(&b.path, &["rev-parse", "HEAD"]));
    let kept = done.rescue.unwrap();
    assert_eq!(b.s.sh(&b.path, &["show", &format!("{kept}:both")]), "3");
    assert_eq!(b.s.sh(&b.path, &["show", &format!("{kept}^2:both")]), "2");
    assert_eq!(b.s.sh(&b.path, &["show", &format!("{kept}:new-staged")]), "n");
    assert!(done.before > 0 && done.after > 0 && done.kept.is_none());
    assert!(GcRecord::load(&b.state).last.is_some());
    // And it goes on being a clone like any other.
    let second = b.look();
    b.done();
    b.has_all(&second, "again");
}

#[test]
fn a_clean_clone_becomes_smaller_and_needs_no_rescue_ref() {
    let b = Bench::new();
    for n in 0..20 {
        let text: String = (0..20_000u64).map(|i| format!("{}\n", i * 7919 * (n + 1))).collect();
        b.s.commit(&b.path, &[("data", &text)], "more");
    }
    b.s.sh(&b.path, &["push", "-q"]);
    let before = b.look();
    let done = b.done();
    b.has_all(&before, "after");
    assert!(done.after < done.before && done.rescue.is_none(), "{done:?}");
}

#[test]
fn a_diverged_clone_is_integrated_first() {
    let b = Bench::new();
    b.s.commit(&b.path, &[("own", "own\n")], "own");
    b.s.push_elsewhere(&b.remote, |w| write(&w.join("theirs"), "theirs\n"));
    write(&b.path.join("clean"), "mine\n");
    b.done();
    for (name, text) in [("own", "own\n"), ("theirs", "theirs\n"), ("clean", "mine\n")] {
        assert_eq!(fs::read_to_string(b.path.join(name)).unwrap(), text);
    }
    assert_eq!(b.s.sh(&b.remote, &["show", "main:own"]), "own");
    assert_eq!(b.s.sh(&b.path, &["status", "--porcelain"]), " M clean");
}

#[test]
fn a_push_of_another_machine_while_the_new_clone_is_made_comes_in() {
    for early in [true, false] {
        let b = Bench::full();
        let url = b.remote.to_str().unwrap().to_owned();
        let push = || {
            b.s.push_elsewhere(&b.remote, |w| write(&w.join("late"), "late\n"));
        };
        let git = b.s.git();
        let mut make = |new: &Path| {
            // Before the copy the new clone is ahead of the old one, after it the other way round.
            early.then(push);
            let made = clone_plain(&git, &url, new, &mut |_| (), &Cancel::new());
            (!early).then(push);
            made
        };
        let hands = Callbacks { make: &mut make, before_swap: &mut || (), after_swap: &mut || () };
        let ended = b.with_target(|t| reclone::reclone(t, hands, &Cancel::new())).unwrap();
        assert!(matches!(ended, Reclone::Done(_)), "{ended:?}");
        assert_eq!(b.path.join("late").exists(), early);
        assert_eq!(fs::read_to_string(b.path.join("both")).unwrap(), "3\n");
        b.cloned().pull();
        assert_eq!(fs::read_to_string(b.path.join("late")).unwrap(), "late\n");
        assert_eq!(b.siblings(), Vec::<String>::new());
    }
}

#[test]
fn a_partial_clone_is_carried_without_what_it_never_had() {
    let b = Bench::new();
    b.s.push_elsewhere(&b.remote, |w| write(&w.join("changed"), "newer\n"));
    b.s.sh(&b.remote, &["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", b.remote.display());
    let clone =
        |to: &Path| b.s.sh(&b.s.at(""), &["clone", "-q", "--filter=blob:none", &url, to.to_str().unwrap()]);
    fs::remove_dir_all(&b.path).unwrap();
    clone(&b.path);
    // A rescue of long ago, made on a commit whose files this clone never had.
    let tree = b.s.sh(&b.path, &["write-tree"]);
    let old = b.s.sh(&b.path, &["commit-tree", "-p", "HEAD~1", "-m", "old", &tree]);
    b.s.sh(&b.path, &["update-ref", "refs/ox/rescue/1700000000", &old]);
    write(&b.path.join("clean"), "mine\n");
    write(&b.path.join("staged"), "mine\n");
    b.s.sh(&b.path, &["add", "staged"]);
    let missing = |b: &Bench| {
        let all = b.s.sh(&b.path, &["rev-list", "--objects", "--all", "--missing=print"]);
        all.lines().filter(|l| l.starts_with('?')).count()
    };
    assert!(missing(&b) > 0, "it is a partial clone");
    let mut make = |new: &Path| {
        clone(new);
        Ok(())
    };
    let hands = Callbacks { make: &mut make, before_swap: &mut || (), after_swap: &mut || () };
    let ended = b.with_target(|t| reclone::reclone(t, hands, &Cancel::new())).unwrap();
    assert!(matches!(ended, Reclone::Done(_)), "{ended:?}");
    assert!(missing(&b) > 0, "and still one");
    assert_eq!(b.s.sh(&b.path, &["status", "--porcelain"]), " M clean\nM  staged");
    assert_eq!(b.s.sh(&b.path, &["rev-parse", "refs/ox/rescue/1700000000"]), old);
}

/// Runs a reclone whose new clone is made by plain git with these options.
fn reclone_by(b: &Bench, options: &[&str]) {
    let url = format!("file://{}", b.remote.display());
    let mut make = |new: &Path| {
        let args =
            [&["clone", "-q", "--template="], options, &[url.as_str(), new.to_str().unwrap()]].concat();
        b.s.sh(&b.s.at(""), &args);
        Ok(())
    };
    let hands = Callbacks { make: &mut make, before_swap: &mut || (), after_swap: &mut || () };
    let ended = b.with_target(|t| reclone::reclone(t, hands, &Cancel::new())).unwrap();
    assert!(matches!(ended, Reclone::Done(_)), "{ended:?}");
}

#[test]
fn a_clone_of_the_last_commit_only_gets_history_where_a_ref_needs_it() {
    let b = Bench::full();
    b.s.sh(&b.remote, &["config", "uploadpack.allowFilter", "true"]);
    let shallow = |b: &Bench| b.path.join(".git/shallow").exists();
    let before = b.look();
    reclone_by(&b, &["--depth=1", "--filter=blob:none"]);
    b.has_all(&before, "history was needed");
    assert!(!shallow(&b));
    b.s.sh(&b.path, &["branch", "-D", "mark"]);
    b.s.sh(&b.path, &["tag", "-d", "own-tag"]);
    let before = b.look();
    reclone_by(&b, &["--depth=1", "--filter=blob:none"]);
    b.has_all(&before, "history was not needed");
    assert!(shallow(&b));
    // And out of such a clone into one like it, and into a whole one.
    b.s.push_elsewhere(&b.remote, |w| write(&w.join("theirs"), "theirs\n"));
    b.cloned().pull();
    let before = b.look();
    reclone_by(&b, &["--depth=1"]);
    b.has_all(&before, "shallow to shallow");
    reclone_by(&b, &[]);
    b.has_all(&before, "shallow to whole");
    assert!(!shallow(&b), "a whole one stays whole");
}

#[test]
fn the_vendor_profile_carries_between_two_directories() {
    let b = Bench::full();
    b.s.sh(&b.path, &["push", "-q", "origin", "main"]);
    let new = b.s.at("new");
    clone_plain(&b.s.git(), b.remote.to_str().unwrap(), &new, &mut |_| (), &Cancel::new()).unwrap();
    let git = b.s.git_as(ox::git::Profile::Vendor);
    crate::support::git::with_clone(&git, &b.lock, &b.path, |c| {
        c.keep_copy(&c.local_work().unwrap()).unwrap().unwrap();
        let work = c.local_work().unwrap();
        assert!(c.verify_carried(&new, &work).is_err(), "not yet");
        c.carry_into(&new, "main", &work).unwrap();
        c.verify_carried(&new, &work).unwrap();
        // Each kind of loss is seen.
        fs::write(new.join("x.log"), "other\n").unwrap();
        let e = c.verify_carried(&new, &work).unwrap_err();
        assert!(e.to_string().contains("x.log"), "{e}");
        fs::copy(b.path.join("x.log"), new.join("x.log")).unwrap();
        b.s.sh(&new, &["reset", "-q", "new-staged"]);
        assert!(c.verify_carried(&new, &work).is_err());
        b.s.sh(&new, &["add", "new-staged"]);
        c.verify_carried(&new, &work).unwrap();
        b.s.sh(&new, &["update-ref", "-d", "refs/ox/rescue/1700000000"]);
        let e = c.verify_carried(&new, &work).unwrap_err();
        assert!(e.to_string().contains("refs/ox/rescue/1700000000"), "{e}");
    });
}

#[test]
fn commits_for_a_remote_that_takes_none_keep_the_clone() {
    let b = Bench::full();
    let url = b.remote.to_str().unwrap().to_owned();
    let ended = b.with_target(|t| run(&Target { read_only: true, ..*t }, &url, &mut || ())).unwrap();
    assert!(matches!(&ended, Reclone::Refused(why) if why.kind() == "unpushed"), "{ended:?}");
    assert_ne!(b.s.sh(&b.remote, &["rev-parse", "main"]), b.s.sh(&b.path, &["rev-parse", "HEAD"]));
}

#[test]
fn stores_are_closed_before_the_copy_and_opened_after_also_when_it_fails() {
    for fails in [false, true] {
        let b = Bench::new();
        let url = b.remote.to_str().unwrap().to_owned();
        let calls = RefCell::new(Vec::new());
        let git = b.s.git();
        let mut make = |new: &Path| {
            calls.borrow_mut().push("make");
            clone_plain(&git, &url, new, &mut |_| (), &Cancel::new())
        };
        let mut before = || {
            calls.borrow_mut().push("close");
            if fails {
                b.s.sh(&b.path, &["checkout", "-q", "-b", "elsewhere"]);
            }
        };
        let mut after = || calls.borrow_mut().push("open");
        let hands = Callbacks { make: &mut make, before_swap: &mut before, after_swap: &mut after };
        let ended = b.with_target(|t| reclone::reclone(t, hands, &Cancel::new())).unwrap();
        assert_eq!(matches!(ended, Reclone::Done(_)), !fails, "{ended:?}");
        assert_eq!(*calls.borrow(), ["make", "close", "open"]);
        assert_eq!(b.siblings(), Vec::<String>::new());
    }
}

#[test]
fn a_clone_that_cannot_be_made_changes_nothing() {
    let b = Bench::full();
    b.s.sh(&b.path, &["push", "-q", "origin", "main"]);
    let before = b.look();
    let failure = b.with_target(|t| run(t, "/nowhere/at/all.git", &mut || ())).unwrap_err();
    assert!(!failure.text.is_empty());
    b.has_all(&before, "after");
    assert_eq!(b.recover(), Recovered::Nothing);
}

#[test]
fn maintenance_in_place_runs_under_the_lock_and_is_noted() {
    let b = Bench::full();
    let before = b.look();
    let mut seen = None;
    let ended = b
        .with_target(|t| {
            let mut tidy = |clone: &mut ox::git::ManagedClone<'_>| {
                seen = Some(clone.path().to_path_buf());
                Ok(())
            };
            reclone::maintain(t, &mut tidy, &Cancel::new())
        })
        .unwrap();
    assert!(matches!(ended, Reclone::Maintained { before, after } if before == after), "{ended:?}");
    assert_eq!(seen.as_deref(), Some(b.path.as_path()));
    let noted = GcRecord::load(&b.state).last.unwrap();
    assert!(SystemClock.now().wall.duration_since(noted).as_secs() < 60);
    b.has_all(&before, "after");
}
