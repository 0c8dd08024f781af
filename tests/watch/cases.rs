//! One thing after another: each way in which watchers are known to fail.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use ox::kit::clock::{Clock, SystemClock};
use ox::watch::{Change, Kind, Mode, Task};

use crate::support::seed::{self, rounds};
use crate::support::{Census, own_process, until};
use crate::watch::driver::{Driver, ROOT, Setup};
use crate::watch::model::Repo;
use crate::watch::random::work;

fn change(path: &str, kind: Kind) -> Change {
    Change::new(path.as_bytes(), kind)
}

/// The changes of the next batch.
fn next(driver: &Driver) -> Vec<Change> {
    driver.settled().remove(0).changes
}

fn seen(driver: &Driver, repo: &Repo) {
    let tree = repo.tree();
    until(|| driver.runner.files(ROOT).is_some_and(|view| view == tree));
}

#[test]
fn wat_04_nothing_is_missed_right_after_mkdir() {
    let repo = Repo::new(&["a"]);
    let mut driver = Driver::start(&repo.root);
    for n in 0..1000 {
        repo.write(&format!("new{n}/x/y/z/f"), "1");
    }
    driver.flush();
    assert_eq!(driver.view(), repo.tree());
    assert_eq!(driver.view().len(), 1001);
    for n in 0..1000 {
        repo.write(&format!("new{n}/x/y/z/f"), "22");
    }
    driver.flush();
    assert_eq!(driver.view(), repo.tree(), "all of them are watched");
}

#[test]
fn a_save_by_rename_is_one_modification_and_what_comes_and_goes_is_nothing() {
    let repo = Repo::new(&["a", "b"]);
    let driver = Driver::start(&repo.root);
    repo.write("a.tmp", "second");
    fs::rename(repo.at("a.tmp"), repo.at("a")).unwrap();
    repo.write("passing", "1");
    fs::remove_file(repo.at("passing")).unwrap();
    assert_eq!(next(&driver), [change("a", Kind::Modified)]);
}

#[test]
fn a_change_is_told_early_after_half_a_second_and_settled_after_three() {
    let repo = Repo::new(&["a", "b"]);
    let driver = Driver::start(&repo.root);
    let saved = SystemClock.now().mono;
    repo.write("a", "second");
    until(|| !driver.told.lock().settled.is_empty());
    let told = driver.told.lock();
    let (early, settled) = (told.early[0].0 - saved, told.settled[0].0 - saved);
    // No sooner; that it is no later either, `policy_tests` show exactly and `--bench watch` measures.
    assert!(early >= Duration::from_millis(500), "{early:?}");
    assert!(settled >= Duration::from_secs(3), "{settled:?}");
    assert_eq!(told.settled[0].1.stamp, told.early[0].1.stamp);
}

#[test]
fn a_file_written_all_the_time_is_told_every_fifteen_seconds() {
    let repo = Repo::new(&["log"]);
    let driver = Driver::start(&repo.root);
    let mut n = 0;
    let told = || driver.told.lock().settled.len();
    until(|| {
        n += 1;
        repo.write("log", &format!("{n}"));
        told() > 0
    });
}

#[test]
fn a_renamed_directory_is_watched_under_its_new_name() {
    let repo = Repo::new(&["d/a", "d/e/b", "d-c/f"]);
    let driver = Driver::start(&repo.root);
    fs::rename(repo.at("d"), repo.at("n")).unwrap();
    let expected = [
        change("d/a", Kind::Renamed),
        change("d/e/b", Kind::Renamed),
        change("n/a", Kind::Created),
        change("n/e/b", Kind::Created),
    ];
    assert_eq!(next(&driver), expected);
    repo.write("n/e/b", "second");
    assert_eq!(next(&driver), [change("n/e/b", Kind::Modified)]);
    fs::rename(repo.at("n"), repo.sandbox.at("outside")).unwrap();
    assert_eq!(next(&driver), [change("n/a", Kind::Deleted), change("n/e/b", Kind::Deleted)]);
    fs::write(repo.sandbox.at("outside/a"), "third").unwrap();
    repo.write("d-c/f", "second");
    assert_eq!(next(&driver), [change("d-c/f", Kind::Modified)]);
}

#[test]
fn names_of_any_bytes_are_told_as_they_are() {
    let repo = Repo::new(&["a", "ä/ö"]);
    let driver = Driver::start(&repo.root);
    let odd = OsStr::from_bytes(b"li\nne \xff\"'");
    fs::write(repo.root.join(odd), "1").unwrap();
    repo.write("ä/ö", "second");
    let expected = [Change::new(odd.as_bytes(), Kind::Created), change("ä/ö", Kind::Modified)];
    assert_eq!(next(&driver), expected);
    repo.commit();
    driver.forget();
    fs::remove_file(repo.root.join(odd)).unwrap();
    seen(&driver, &repo);
}

#[test]
fn links_are_files_and_lead_nowhere() {
    let repo = Repo::new(&["d/a"]);
    symlink("/", repo.at("root")).unwrap();
    symlink(".", repo.at("d/loop")).unwrap();
    let driver = Driver::start(&repo.root);
    seen(&driver, &repo);
    assert_eq!(driver.told.lock().counters.dirs_watched, 2);
    // A directory becomes a link to one with files of the same names.
    fs::create_dir(repo.sandbox.at("other")).unwrap();
    fs::write(repo.sandbox.at("other/a"), "1").unwrap();
    fs::remove_dir_all(repo.at("d")).unwrap();
    symlink(repo.sandbox.at("other"), repo.at("d")).unwrap();
    seen(&driver, &repo);
    let expected =
        [change("d", Kind::Created), change("d/a", Kind::Deleted), change("d/loop", Kind::Deleted)];
    assert_eq!(next(&driver), expected);
}

#[test]
fn what_git_was_told_to_leave_alone_is_followed_and_not_told() {
    let repo = Repo::new(&["a", "d/local", "d/large", "d/left", "later"]);
    repo.git(&["update-index", "--skip-worktree", "d/local", "d/left"]);
    repo.git(&["update-index", "--assume-unchanged", "d/large"]);
    let mut driver = Driver::start(&repo.root);
    for name in ["a", "d/local", "d/large"] {
        repo.write(name, "second");
    }
    fs::remove_file(repo.at("d/left")).unwrap();
    assert_eq!(repo.git(&["status", "--porcelain"]), " M a");
    assert_eq!(next(&driver), [change("a", Kind::Modified)]);
    assert_eq!(driver.view(), repo.tree());
    // From now on it counts, and another one does not.
    repo.git(&["update-index", "--no-skip-worktree", "d/local"]);
    repo.git(&["update-index", "--skip-worktree", "later"]);
    driver.flush();
    for name in ["d/local", "d/large", "later"] {
        repo.write(name, "the third");
    }
    assert_eq!(next(&driver), [change("d/local", Kind::Modified)]);
    // Compared as a whole.
    driver.jump();
    repo.write("d/large", "the fourth");
    repo.write("a", "the fourth");
    assert_eq!(next(&driver), [change("a", Kind::Modified)]);
}

#[test]
fn what_git_was_told_to_leave_alone_is_not_told_after_a_start_either() {
    let repo = Repo::new(&["a", "local", "large", "left"]);
    repo.git(&["update-index", "--skip-worktree", "local", "left"]);
    repo.git(&["update-index", "--assume-unchanged", "large"]);
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let saved = Some(dir.path().join("tree.json"));
        Driver::with(&repo.root, Setup { saved, ..Setup::default() })
    };
    let first = start();
    first.keep();
    drop(first);
    for name in ["a", "local", "large"] {
        repo.write(name, "while nobody watched");
    }
    fs::remove_file(repo.at("left")).unwrap();
    assert_eq!(next(&start()), [change("a", Kind::Modified)]);
}

#[test]
fn what_a_sparse_checkout_takes_away_is_not_told() {
    let repo = Repo::new(&["a", "in/b", "out/c", "out/d/e"]);
    let driver = Driver::start(&repo.root);
    repo.git(&["sparse-checkout", "set", "in"]);
    assert!(!repo.at("out").exists());
    seen(&driver, &repo);
    repo.write("in/b", "second");
    assert_eq!(next(&driver), [change("in/b", Kind::Modified)]);
}

#[test]
fn wat_05_ignored_files_are_neither_watched_nor_told() {
    let repo = Repo::new(&["a", "src/b"]);
    repo.write(".gitignore", "target/\n*.o\n");
    repo.commit();
    repo.write("target/deep/er/x", "1");
    let mut driver = Driver::start(&repo.root);
    driver.flush();
    assert_eq!(driver.told.lock().counters.dirs_watched, 2);
    let turns = driver.told.lock().turns;
    for n in 0..10_000 {
        fs::write(repo.at(&format!("target/deep/{n}")), "1").unwrap();
    }
    assert_eq!(driver.told.lock().turns, turns, "nobody was woken");
    repo.write("src/x.o", "1");
    repo.write("src/b", "second");
    assert_eq!(next(&driver), [change("src/b", Kind::Modified)]);
    // Other rules, other files.
    repo.write(".gitignore", "target/deep\n");
    seen(&driver, &repo);
    assert_eq!(next(&driver), [change(".gitignore", Kind::Modified), change("src/x.o", Kind::Created)]);
}

#[test]
fn idx_06_what_we_write_ourselves_is_not_taken_for_the_users_work() {
    let repo = Repo::new(&["a", "d/b"]);
    let own = repo.at("d/cache");
    fs::create_dir(&own).unwrap();
    let setup = Setup { exclude: vec![own.clone()], ..Setup::default() };
    let driver = Driver::with(&repo.root, setup);
    // By what it is, not by its name.
    fs::rename(&own, repo.at("d/other-name")).unwrap();
    repo.write("d/cache/new", "1");
    fs::rename(repo.at("d/cache"), repo.at("d/x")).unwrap();
    fs::rename(repo.at("d/other-name"), &own).unwrap();
    repo.write("d/cache/ours", "1");
    assert_eq!(next(&driver), [change("d/x/new", Kind::Created)]);
    driver.told.lock().jobs.clear();
    let turns = driver.told.lock().turns;
    for n in 0..1000 {
        repo.write("d/cache/ours", &format!("{n}"));
    }
    repo.write("a", "second");
    assert_eq!(next(&driver), [change("a", Kind::Modified)]);
    assert!(driver.told.lock().turns - turns < 10, "one hint, one look, one batch");
}

#[test]
fn idx_08_nothing_below_an_ignored_directory_is_looked_at() {
    let repo = Repo::new(&["a"]);
    repo.write(".gitignore", "ignored/\n");
    repo.commit();
    repo.write("ignored/f", "1");
    let ignored = repo.at("ignored");
    // Whoever lists a directory changes the time of its last access, where the file system keeps that.
    let access = || std::os::unix::fs::MetadataExt::atime_nsec(&fs::metadata(&ignored).unwrap());
    let before = access();
    let mut driver = Driver::start(&repo.root);
    repo.write("ignored/deep/g", "1");
    repo.write("a", "second");
    driver.flush();
    driver.jump();
    assert_eq!(next(&driver), [change("a", Kind::Modified)]);
    assert_eq!((driver.view().len(), driver.told.lock().counters.dirs_watched), (2, 1));
    assert_eq!(access(), before);
    fs::read_dir(&ignored).unwrap().count();
    if access() == before {
        println!("the file system keeps no access times: only watches and the view were checked");
    }
}

#[test]
fn nested_repositories_are_left_alone() {
    let repo = Repo::new(&["a"]);
    let driver = Driver::start(&repo.root);
    repo.git(&["init", "-q", "inner"]);
    repo.write("inner/f", "1");
    repo.write("a", "second");
    assert_eq!(next(&driver), [change("a", Kind::Modified)]);
    assert_eq!(driver.told.lock().counters.dirs_watched, 1);
}

#[test]
fn a_root_that_was_moved_away_and_back_is_compared() {
    let repo = Repo::new(&["a", "d/b", "d/c"]);
    let driver = Driver::start(&repo.root);
    let away = repo.sandbox.at("away");
    fs::rename(&repo.root, &away).unwrap();
    until(|| driver.mode() == Mode::Gone);
    assert!(driver.told.lock().early.is_empty(), "nobody has removed files");
    fs::write(away.join("a"), "second").unwrap();
    fs::remove_file(away.join("d/b")).unwrap();
    fs::rename(&away, &repo.root).unwrap();
    // As after 30 s.
    driver.jump();
    let batch = driver.settled().remove(0);
    assert_eq!(batch.changes, [change("a", Kind::Modified), change("d/b", Kind::Deleted)]);
    assert!(batch.desynced);
    repo.write("d/c", "second");
    assert_eq!(next(&driver), [change("d/c", Kind::Modified)]);
}

#[test]
fn after_a_sleep_of_the_machine_everything_is_compared_and_only_differences_are_told() {
    let repo = Repo::new(&["a", "b"]);
    let driver = Driver::start(&repo.root);
    driver.jump();
    let batch = driver.settled().remove(0);
    assert!(batch.desynced && batch.changes.is_empty());
    assert_eq!(driver.told.lock().counters.rescans, 1);
}

#[test]
fn the_users_repository_is_not_touched() {
    let repo = Repo::new(&["a", "d/b"]);
    let of = |name: &str| {
        let meta = fs::metadata(repo.at(name)).unwrap();
        (std::os::unix::fs::MetadataExt::ino(&meta), meta.modified().unwrap(), meta.len())
    };
    // Racy and stale entries tempt whoever reads the index to write it.
    fs::write(repo.at("a"), "first").unwrap();
    let before = ["index", "HEAD", "config"].map(|name| of(&format!(".git/{name}")));
    let names = || fs::read_dir(repo.at(".git")).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let listed = names();
    let mut driver = Driver::start(&repo.root);
    repo.write("d/b", "second");
    driver.flush();
    driver.jump();
    driver.settled();
    assert_eq!(["index", "HEAD", "config"].map(|name| of(&format!(".git/{name}"))), before);
    assert_eq!(names(), listed);
}

#[test]
fn wat_01_descriptors_do_not_grow_with_files_and_nothing_is_left() {
    own_process("watch::cases::wat_01_descriptors_do_not_grow_with_files_and_nothing_is_left", || {
        let repo = Repo::new(&["a"]);
        for n in 0..2000 {
            repo.write(&format!("d{}/f{n}", n % 500), "1");
        }
        repo.commit();
        let before = Census::take();
        {
            let mut driver = Driver::start(&repo.root);
            let held = || fs::read_dir("/proc/self/fd").unwrap().count();
            let start = held();
            for n in 0..10_000 {
                let dir = repo.at(&format!("d{}/new", n % 500));
                fs::create_dir(&dir).unwrap();
                fs::remove_dir(&dir).unwrap();
            }
            driver.flush();
            assert!(held().abs_diff(start) <= 2 && start < 64, "{start} descriptors, then {}", held());
            assert_eq!(driver.told.lock().counters.dirs_watched, 501);
            fs::remove_dir_all(repo.at("d7")).unwrap();
            repo.git(&["checkout", "-q", "."]);
            driver.flush();
            assert_eq!(driver.told.lock().counters.dirs_watched, 501);
            assert_eq!(driver.view(), repo.tree());
        }
        before.assert_nothing_left();
    });
}

#[test]
fn idle_costs_no_wake_up() {
    let repo = Repo::new(&["a", "d/b"]);
    let driver = Driver::start(&repo.root);
    // The first look, and keeping what it saw; each wakes the owner once at its end.
    until(|| driver.told.lock().jobs.len() == 2 && driver.told.lock().turns == 2);
    let turns = driver.told.lock().turns;
    for _ in 0..100 {
        fs::read(repo.at("d/b")).unwrap();
        repo.git(&["--no-optional-locks", "status"]);
    }
    assert_eq!(driver.told.lock().turns, turns);
    let jobs = driver.told.lock().jobs.clone();
    assert!(matches!(jobs[..], [(Task::Scan { add: true }, _), (Task::Save, _)]), "{jobs:?}");
}

#[test]
fn what_lies_deeper_than_the_limit_is_left_alone() {
    use ox::watch::limits::DEPTH_MAX;
    let repo = Repo::new(&["a"]);
    let mut driver = Driver::start(&repo.root);
    let deep = |n: usize| vec!["d"; n].join("/") + "/f";
    repo.write(&deep(DEPTH_MAX), "1");
    repo.write(&deep(DEPTH_MAX + 1), "1");
    driver.flush();
    let expected = [Box::from(&b"a"[..]), deep(DEPTH_MAX).into_bytes().into_boxed_slice()];
    assert!(driver.view().into_keys().eq(expected));
    assert_eq!(driver.told.lock().counters.dirs_watched, DEPTH_MAX + 1, "and the root");
}

#[test]
fn what_changed_while_nobody_watched_is_told_after_the_next_start() {
    let tracked = [
        "clean",
        "dirty",
        "still",
        "gone",
        "staged",
        "committed",
        "back",
        "left",
        "moved",
        "run",
        "dir/kept",
    ];
    let repo = Repo::new(&tracked);
    repo.write("dirty", "dirty before");
    repo.write("seen", "not tracked");
    repo.write("passing", "not tracked");
    fs::remove_file(repo.at("back")).unwrap();
    // Long enough ago that all of it counts as told.
    let written = |name: &str, at: SystemTime| {
        let file = fs::File::options().append(true).open(repo.at(name)).unwrap();
        file.set_modified(at).unwrap();
    };
    for name in tracked.iter().filter(|name| **name != "back").chain(&["seen", "passing"]) {
        written(name, SystemTime::now() - Duration::from_secs(60));
    }
    // A clock that was wrong says nothing about when.
    written("dir/kept", SystemTime::now() + Duration::from_secs(86_400));
    written("seen", SystemTime::now() + Duration::from_secs(86_400));
    repo.git(&["status"]);
    let head = repo.git(&["rev-parse", "HEAD"]);
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let saved = Some(dir.path().join("tree.json"));
        Driver::with(&repo.root, Setup { saved, ..Setup::default() })
    };
    let first = start();
    first.keep();
    drop(first);

    for name in ["clean", "staged", "committed", "new/one"] {
        repo.write(name, "while nobody watched");
    }
    repo.git(&["add", "committed"]);
    repo.git(&["rm", "-q", "left"]);
    repo.git(&["mv", "moved", "dir/moved"]);
    repo.git(&["commit", "-q", "-m", "Change"]);
    repo.git(&["add", "staged"]);
    fs::set_permissions(repo.at("run"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["gone", "passing"] {
        fs::remove_file(repo.at(name)).unwrap();
    }
    repo.git(&["checkout", "--", "back"]);

    let expected = [
        change("back", Kind::Created),
        change("clean", Kind::Modified),
        change("committed", Kind::Modified),
        change("dir/moved", Kind::Created),
        change("gone", Kind::Deleted),
        change("left", Kind::Deleted),
        change("moved", Kind::Deleted),
        change("new/one", Kind::Created),
        change("passing", Kind::Deleted),
        change("run", Kind::Modified),
        change("staged", Kind::Modified),
    ];
    // Told once more after a crash before they were told, and never again after that.
    drop(start());
    let mut driver = start();
    let batch = driver.settled().remove(0);
    assert_eq!(batch.changes, expected);
    assert_eq!(batch.head_moved.unwrap().old.unwrap().to_string(), head);
    assert!(!batch.desynced);
    driver.keep();
    drop(driver);
    driver = start();
    driver.flush();
    assert!(driver.told.lock().early.is_empty(), "{:?}", driver.told.lock().early);
}

#[test]
fn wat_04_after_random_work_the_view_is_the_tree() {
    // Two that every run tries, two that none has tried before; every second one changes the rules of what is ignored as well.
    let workers: Vec<_> = seed::seeds(2, 2)
        .into_iter()
        .map(|seed| {
            let run = |seed| drop(work(seed, rounds(12, 250), seed % 2 == 1, Setup::default()));
            let run = move || seed::with("watch::cases::wat_04_after", seed, run);
            ox::kit::thread::spawn("worker", ox::kit::thread::STACK_LARGE, run).unwrap()
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}
