//! A kill at any moment: between any two steps, and anywhere.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ox::git::{Env, Git, Profile, clone_plain};
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock, pause};
use ox::kit::rng::Rng;
use ox::sync::reclone::{Callbacks, Reclone, Recovered, Run, Step};

use crate::reclone::bench::{Bench, Look, run, with_target};
use crate::support::git::write;
use crate::support::seed::{self, rounds};

#[test]
fn role() {
    let Ok(args) = std::env::var("OX_TEST_ARGS") else { return };
    let [url, clone, lock, state] = args.lines().collect::<Vec<_>>()[..] else { panic!("{args}") };
    let git = Git::new(Profile::SelfHosted, Env::of_process(), std::sync::Arc::new(SystemClock), "box");
    let ended =
        with_target(&git, Path::new(clone), Path::new(lock), Path::new(state), |t| run(t, url, &mut || ()));
    assert!(matches!(ended, Ok(Reclone::Done(_))), "{ended:?}");
}

fn child(b: &Bench) -> Child {
    let args = [&b.remote, &b.path, &b.lock, &b.state].map(|p| p.to_str().unwrap()).join("\n");
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reclone::kills::role", "--nocapture", "--test-threads=1"])
        .env("OX_TEST_ARGS", args)
        .env("HOME", b.s.at("home"))
        .env("PATH", b.s.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(if std::env::var_os("OX_TEST_SHOW").is_some() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .unwrap()
}

#[test]
fn syn_13_a_kill_at_any_moment_loses_nothing() {
    seed::with("reclone::kills::syn_13_a_kill", seed::fresh(), kills);
}

fn kills(seed: u64) {
    let count: u32 = rounds(12, 200);
    let b = Bench::full();
    let before = b.look();
    let start = SystemClock.now().mono;
    assert!(child(&b).wait().unwrap().success());
    let whole = SystemClock.now().mono - start;
    b.has_all(&before, "whole");
    let mut rng = Rng::new(seed);
    let (mut undone, mut finished) = (0, 0);
    for n in 0..count {
        // Something of its own for each moment: a commit that is not pushed, and a file.
        b.s.sh(&b.path, &["commit", "-q", "--allow-empty", "-m", "own"]);
        write(&b.path.join("untracked"), &format!("{n}\n"));
        let before = b.look();
        let mut run = child(&b);
        // The steps after the copy are short; every second kill aims at them.
        let at = whole * n / count + rng.up_to(whole / count);
        pause(if n % 2 == 0 { at } else { whole / 2 + at / 2 });
        run.kill().unwrap();
        run.wait().unwrap();
        assert!(b.path.join(".git").is_dir() || b.s.at("c.ox-reclone-old/.git").is_dir(), "moment {n}");
        match b.recover() {
            Recovered::Undone => undone += 1,
            Recovered::Finished(None) => finished += 1,
            Recovered::Nothing => {}
            other => panic!("moment {n}: {other:?}"),
        }
        b.has_all(&before, &format!("moment {n}"));
    }
    println!("{undone} undone, {finished} finished of {count}");
    assert!(undone > 0, "no kill hit a run");
    let last = b.look();
    b.done();
    b.has_all(&last, "a whole run after all kills");
}

/// What is being written when a process is killed has a lock file of git, which nobody else may be taken for.
#[test]
fn a_kill_while_the_copy_is_named_leaves_nothing_in_the_way() {
    let mut b = Bench::full();
    let before = b.look();
    let lock = b.path.join(".git/refs/ox/rescue/1.lock");
    let (ours, at) = ("*update-ref*refs/ox/rescue/*", lock.display());
    b.s.git_that(&format!(r#"case "$*" in {ours}) : > '{at}'; kill -9 $PPID; exit 1;; esac"#));
    assert!(!child(&b).wait().unwrap().success());
    assert!(lock.exists());
    b.s.git_that(":");
    assert_eq!(b.recover(), Recovered::Undone);
    b.done();
    b.has_all(&before, "a run after it");
    assert!(!lock.exists());
}

/// Runs the first `steps` steps and stops there as a killed process would; answers the last step done.
pub fn stop_after(b: &Bench, steps: usize) -> Option<Step> {
    let url = b.remote.to_str().unwrap().to_owned();
    b.with_target(|t| {
        let git = t.git;
        let mut make = |new: &Path| clone_plain(git, &url, new, &mut |_| (), &Cancel::new());
        let hands = Callbacks { make: &mut make, before_swap: &mut || (), after_swap: &mut || () };
        let mut run = Run::begin(t, hands, &Cancel::new()).unwrap().unwrap();
        let mut last = None;
        for _ in 0..steps {
            last = run.step().unwrap();
        }
        last
    })
}

#[test]
fn syn_13_a_stop_between_any_two_steps_loses_nothing() {
    use Step::*;
    let expected = [
        (Prepare, Recovered::Nothing),
        (Note, Recovered::Undone),
        (Make, Recovered::Undone),
        (Carry, Recovered::Undone),
        (Verify, Recovered::Undone),
        (Announce, Recovered::Undone),
        (Exchange, Recovered::Finished(None)),
        (Rename, Recovered::Finished(None)),
        (LetGo, Recovered::Finished(None)),
        (Close, Recovered::Nothing),
    ];
    for (n, (step, recovered)) in expected.into_iter().enumerate() {
        let b = Bench::full();
        let before = b.look();
        assert_eq!(stop_after(&b, n + 1), Some(step));
        assert!(b.path.join("clean").exists(), "{step:?}: the clone is in its place");
        assert_eq!(b.recover(), recovered, "{step:?}");
        b.has_all(&before, &format!("after {step:?}"));
        assert_eq!(b.recover(), Recovered::Nothing);
        b.done();
        b.has_all(&before, &format!("a run after {step:?}"));
    }
}

/// Between the two renames of a file system that cannot exchange names.
#[test]
fn a_stop_between_two_renames_is_finished() {
    let b = Bench::full();
    let before = b.look();
    assert_eq!(stop_after(&b, 6), Some(Step::Announce));
    fs::rename(&b.path, b.s.at("c.ox-reclone-old")).unwrap();
    assert_eq!(b.recover(), Recovered::Finished(None));
    b.has_all(&before, "after");
}

#[test]
fn what_is_written_to_the_old_clone_at_the_last_moment_is_kept() {
    type Change = fn(&Bench, &Path);
    let changes: [(&str, Change); 4] = [
        ("a file", |_, old| write(&old.join("changed"), "late\n")),
        ("an ignored file", |_, old| write(&old.join("late.log"), "late\n")),
        ("a commit", |b, old| {
            b.s.sh(old, &["commit", "-q", "--allow-empty", "-m", "late"]);
        }),
        ("what is staged", |b, old| {
            b.s.sh(old, &["add", "binary"]);
        }),
    ];
    for (what, change) in changes {
        let b = Bench::full();
        let before = b.look();
        assert_eq!(stop_after(&b, 8), Some(Step::Rename));
        change(&b, &b.s.at("c.ox-reclone-old"));
        let Recovered::Finished(Some(kept)) = b.recover() else { panic!("{what}") };
        assert!(kept.join(".git").is_dir(), "{what}");
        let name = kept.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("c.bak."), "{name}");
        assert_eq!(b.siblings(), [name]);
        fs::remove_dir_all(&kept).unwrap();
        b.has_all(&before, what);
    }
}

#[test]
fn a_foreign_directory_in_the_clones_place_is_left_and_the_old_clone_kept() {
    let b = Bench::full();
    assert_eq!(stop_after(&b, 8), Some(Step::Rename));
    fs::rename(&b.path, b.s.at("moved-away")).unwrap();
    fs::create_dir(&b.path).unwrap();
    fs::write(b.path.join("theirs"), "x").unwrap();
    let Recovered::Foreign(Some(kept)) = b.recover() else { panic!("not seen") };
    assert_eq!(fs::read_to_string(kept.join("both")).unwrap(), "3\n");
    assert!(b.path.join("theirs").exists() && b.s.at("moved-away").exists());
}

#[test]
fn a_journal_that_cannot_be_read_stops_everything() {
    let b = Bench::full();
    assert_eq!(stop_after(&b, 3), Some(Step::Make));
    fs::write(b.state.join("reclone.json"), "{").unwrap();
    let failure = b.run().unwrap_err();
    assert!(failure.text.contains("journal"), "{failure:?}");
    assert!(b.s.at("c.ox-reclone-new").exists(), "nothing is touched");
}

/// Used by other checks: what a look says is stable.
#[test]
fn a_look_sees_the_same_twice() {
    let b = Bench::full();
    let one: Look = b.look();
    assert_eq!(one, b.look());
    assert!(one.len() > 20, "{}", one.len());
}
