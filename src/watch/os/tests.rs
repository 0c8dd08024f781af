use std::fs;

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::kit::clock::{HANG as LIMIT, SystemClock, wait_until};
use crate::watch::change::RootId;
use crate::watch::hints::{Hints, Loss, Taken};
use crate::watch::limits::{COOKIES_MAX, UNWATCH_MAX};

const ROOT: RootId = RootId(1);

struct World {
    tmp: tempfile::TempDir,
    hints: Arc<Hints>,
    watches: Watches,
}

fn world() -> World {
    let tmp = tempfile::tempdir().unwrap();
    fs::create_dir_all(tmp.path().join("r/d")).unwrap();
    let hints = Arc::new(Hints::new(Arc::new(SystemClock), || ()));
    let watches = Watches::new(Arc::clone(&hints), Some(&tmp.path().join("cookies"))).unwrap();
    let world = World { tmp, hints, watches };
    world.add("");
    world.add("d");
    world
}

impl World {
    fn at(&self, path: &str) -> PathBuf {
        self.tmp.path().join("r").join(path)
    }

    fn add(&self, dir: &str) {
        self.watches.add(ROOT, dir.as_bytes(), &self.at(dir)).unwrap();
    }

    /// All that has happened is heard. The end of what was at a path before may have been taken for the end of what is there now: then it is
    /// not said to be watched, a hint names it, and whoever looks at hints adds it again.
    fn settles(&self, dirs: &[&str]) {
        let hinted = self.paths();
        for &dir in dirs.iter().filter(|dir| !self.watches.is_watched(ROOT, dir.as_bytes())) {
            assert!(
                hinted.iter().any(|(path, _)| path == dir),
                "{dir} is not watched, and nobody says so: {hinted:?}"
            );
            self.add(dir);
        }
        self.taken();
        assert!(dirs.iter().all(|dir| self.watches.is_watched(ROOT, dir.as_bytes())));
    }

    /// What came until now.
    fn taken(&self) -> Option<Taken> {
        self.watches.cookie(LIMIT).unwrap();
        self.hints.take(ROOT)
    }

    fn paths(&self) -> Vec<(String, bool)> {
        let taken = self.taken().map(|taken| taken.paths).unwrap_or_default();
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let mut paths: Vec<_> = taken.iter().map(|(path, touch)| (text(path), touch.renamed)).collect();
        paths.sort();
        paths
    }
}

fn named(paths: &[(&str, bool)]) -> Vec<(String, bool)> {
    paths.iter().map(|(path, renamed)| ((*path).to_string(), *renamed)).collect()
}

#[test]
fn a_cookie_proves_that_all_events_before_it_were_seen() {
    let w = world();
    for round in 0..50 {
        for n in 0..50 {
            fs::write(w.at(&format!("d/{n}")), format!("{round}")).unwrap();
        }
        assert_eq!(w.paths().len(), 50, "round {round}");
    }
    assert_eq!(fs::read_dir(w.tmp.path().join("cookies")).unwrap().count(), 0, "none is left");
    assert!(w.taken().is_none(), "a cookie is no change");
}

#[test]
fn renames_are_told_as_such_within_a_tree_and_as_an_end_beyond_it() {
    let w = world();
    fs::write(w.at("a"), "1").unwrap();
    fs::write(w.at("b"), "1").unwrap();
    w.taken();
    fs::rename(w.at("a"), w.at("d/a")).unwrap();
    fs::rename(w.at("b"), w.tmp.path().join("b")).unwrap();
    assert_eq!(w.paths(), named(&[("a", true), ("b", false), ("d/a", false)]));
}

#[test]
fn reading_is_no_event() {
    let w = world();
    fs::write(w.at("d/a"), "1").unwrap();
    w.taken();
    for _ in 0..100 {
        fs::read_dir(w.at("d")).unwrap().count();
        fs::read(w.at("d/a")).unwrap();
    }
    assert!(w.taken().is_none());
}

#[test]
fn what_is_no_directory_is_not_watched_and_a_link_is_not_followed() {
    let w = world();
    fs::write(w.at("f"), "1").unwrap();
    std::os::unix::fs::symlink("/", w.at("l")).unwrap();
    for name in ["f", "l", "missing"] {
        let error = w.watches.add(ROOT, name.as_bytes(), &w.at(name)).unwrap_err();
        assert!(error.is_of_the_path(), "{error}");
    }
    assert_eq!(w.watches.count(ROOT), 2);
}

#[test]
fn a_directory_that_moved_reports_at_its_new_place_once_it_is_added_there() {
    let w = world();
    fs::rename(w.at("d"), w.at("e")).unwrap();
    w.add("e");
    w.settles(&["e"]);
    fs::write(w.at("e/f"), "1").unwrap();
    assert_eq!(w.paths(), named(&[("e/f", false)]));
    assert_eq!((w.watches.count(ROOT), w.watches.is_watched(ROOT, b"d")), (2, false));
}

#[test]
fn a_directory_that_went_leaves_no_watch() {
    let w = world();
    for _ in 0..100 {
        fs::remove_dir_all(w.at("d")).unwrap();
        fs::create_dir(w.at("d")).unwrap();
        w.add("d");
    }
    w.settles(&["d"]);
    fs::write(w.at("d/f"), "1").unwrap();
    assert_eq!(w.paths(), named(&[("d/f", false)]));
    fs::remove_dir_all(w.at("d")).unwrap();
    w.taken();
    assert_eq!(w.watches.dirs(ROOT).len(), 1);
}

#[test]
fn the_end_of_a_root_is_a_loss() {
    let w = world();
    fs::rename(w.at(""), w.tmp.path().join("elsewhere")).unwrap();
    let lost = || w.hints.pulses().first().is_some_and(|(_, pulse)| pulse.lost == Some(Loss::Root));
    assert!(wait_until(LIMIT, lost));
}

#[test]
fn only_what_tells_of_another_index_or_head_counts_in_a_git_directory() {
    let w = world();
    fs::create_dir(w.at(".git")).unwrap();
    w.watches.watch_git(ROOT, &w.at(".git")).unwrap();
    w.taken();
    fs::write(w.at(".git/config"), "1").unwrap();
    assert!(w.taken().is_none());
    fs::write(w.at(".git/index.lock"), "1").unwrap();
    let taken = w.taken().unwrap();
    assert!(taken.git && taken.paths.is_empty());
}

#[test]
fn so_many_cookies_are_waited_for_and_no_more() {
    let w = world();
    let names = (0..COOKIES_MAX).map(|n| (vec![u8::try_from(n).unwrap()], false));
    w.watches.shared.cookies.lock().extend(names);
    assert_eq!(w.watches.cookie(LIMIT), Err(NoCookie));
    w.watches.shared.cookies.lock().pop();
    assert_eq!(w.watches.cookie(LIMIT), Ok(()));
}

#[test]
fn directories_that_are_let_go_of_and_taken_up_at_once_stay_watched() {
    let w = world();
    let dirs: Vec<String> = (0..50).map(|n| format!("d/{n}")).collect();
    dirs.iter().for_each(|dir| fs::create_dir(w.at(dir)).unwrap());
    for round in 0..20 {
        let before = RootId(100 + round);
        for dir in &dirs {
            w.watches.add(before, dir.as_bytes(), &w.at(dir)).unwrap();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| w.watches.forget(before));
            dirs.iter().for_each(|dir| w.add(dir));
        });
        w.taken();
        dirs.iter().for_each(|dir| fs::write(w.at(dir).join("x"), format!("{round}")).unwrap());
        let told: Vec<String> = w.paths().into_iter().map(|(path, _)| path).collect();
        let missing: Vec<&String> = dirs.iter().filter(|dir| !told.contains(&format!("{dir}/x"))).collect();
        assert_eq!(missing, Vec::<&String>::new(), "round {round}");
        w.watches.forget(ROOT);
        w.add("");
        w.add("d");
    }
}

#[test]
fn another_directory_at_the_same_path_is_watched_anew() {
    let w = world();
    fs::create_dir(w.at("e")).unwrap();
    w.add("e");
    for round in 0..50 {
        fs::rename(w.at("d"), w.at("x")).unwrap();
        fs::rename(w.at("e"), w.at("d")).unwrap();
        fs::rename(w.at("x"), w.at("e")).unwrap();
        w.add("d");
        w.add("e");
        w.settles(&["d", "e"]);
        fs::write(w.at("d/f"), "1").unwrap();
        fs::write(w.at("e/f"), "1").unwrap();
        assert_eq!(w.paths(), named(&[("d/f", false), ("e/f", false)]), "round {round}");
    }
}

#[test]
fn when_many_watches_are_let_go_of_nothing_is_missed_of_the_rest() {
    let w = world();
    let dirs: Vec<String> = (0..=UNWATCH_MAX).map(|n| format!("d/{n}")).collect();
    dirs.iter().for_each(|dir| fs::create_dir(w.at(dir)).unwrap());
    for round in 0..5 {
        let other = RootId(200 + round);
        for dir in &dirs {
            w.watches.add(other, dir.as_bytes(), &w.at(dir)).unwrap();
        }
        w.taken();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|n| fs::write(w.at(&format!("{round}-{n}")), "1").unwrap()));
            dirs.iter().for_each(|dir| fs::write(w.at(dir).join("x"), format!("{round}")).unwrap());
            w.watches.forget(other);
        });
        assert_eq!(w.paths().len(), 500, "round {round}");
        w.hints.take(other);
        fs::write(w.at("d/0/x"), "1").unwrap();
        assert!(w.taken().is_none() && w.hints.take(other).is_none(), "round {round}");
    }
}

#[test]
fn a_root_that_moved_is_watched_anew_at_its_old_name_and_at_its_new_one() {
    let w = world();
    let moved = w.tmp.path().join("moved");
    fs::rename(w.at(""), &moved).unwrap();
    let lost = || w.hints.pulses().first().is_some_and(|(_, pulse)| pulse.lost == Some(Loss::Root));
    assert!(wait_until(LIMIT, lost));
    fs::create_dir_all(w.at("d")).unwrap();
    w.add("");
    w.add("d");
    w.watches.add(RootId(2), b"", &moved).unwrap();
    w.taken();
    fs::write(w.at("d/f"), "1").unwrap();
    fs::write(moved.join("f"), "1").unwrap();
    assert_eq!(w.paths(), named(&[("d/f", false)]));
    assert_eq!(w.hints.take(RootId(2)).unwrap().paths.len(), 1);
}
