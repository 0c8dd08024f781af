//! Databases over time: what is kept, what goes, what is mended.

use std::fs;

use super::*;

#[test]
fn places_survive_a_restart_and_none_is_given_twice() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "one");
    assert_eq!(desk.gets("OxBBBB"), ["one"]);
    desk.stores.close(desk.now());
    desk.stores = Stores::default();
    assert_eq!(desk.gets("OxBBBB"), Vec::<String>::new());
    desk.says("OxAAAA", "normal", "two");
    assert_eq!(desk.gets("OxBBBB"), ["two"]);
    // Without a word in time: as after a crash, given once more.
    desk.stores = Stores::default();
    assert_eq!(desk.gets("OxBBBB"), ["two"]);
}

#[test]
fn what_is_old_goes_and_a_murmur_is_remembered_longer_than_it_is_kept() {
    let mut desk = Desk::new();
    let murmur = desk.murmur("OxAAAA", "critical", "x");
    desk.comes_in("ledger", &murmur);
    let store = desk.stores.of(&desk.state("ledger"));
    desk.pass(23 * 3600);
    assert_eq!(store.maintain(desk.now()).unwrap().pruned, 0);
    desk.pass(3600 + 1);
    assert_eq!(store.maintain(desk.now()).unwrap().pruned, 1);
    desk.comes_in("ledger", &murmur);
    assert_eq!(desk.gets("OxBBBB"), Vec::<String>::new(), "it was taken in before");
}

#[test]
fn a_database_that_is_too_large_loses_what_matters_least_first() {
    let mut desk = Desk::new();
    let store = desk.stores.of(&desk.state("ledger"));
    let text = "x".repeat(4000);
    for importance in ["critical", "normal", "ambient"] {
        let some: Vec<Whisper> = (0..1500).map(|_| desk.murmur("OxAAAA", importance, &text)).collect();
        store.take_in(desk.now(), &some, &[]).unwrap();
    }
    let done = store.maintain(desk.now()).unwrap();
    assert!(
        done.size_before > limits::DATABASE_MAX && done.size_after <= limits::DATABASE_MAX + (1 << 20),
        "{done:?}"
    );
    assert!(done.vacuumed && done.pruned.is_multiple_of(500), "{done:?}");
    let count = |importance: &str| {
        let all = store.past(desk.now(), None, None, 10_000).unwrap().0;
        all.iter().filter(|(_, w)| w.importance == importance).count()
    };
    assert_eq!(count("ambient"), 0);
    assert_eq!(count("critical"), 1500);
    assert!(count("normal") > 0);
}

#[test]
fn only_proven_damage_is_put_aside() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "x");
    let store = desk.stores.of(&desk.state("ledger"));
    store.close(desk.now());
    let path = store.path().to_owned();
    let aside = path.with_file_name("whisper.db.corrupt");
    // Another process at work on it is no damage.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(!aside.exists());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert_eq!(desk.gets("OxBBBB"), ["x"]);
    store.close(desk.now());
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte = 0x5a;
    }
    fs::write(&path, &bytes).unwrap();
    // A later process finds it.
    desk.stores = Stores::default();
    assert_eq!(desk.gets("OxBBBB"), Vec::<String>::new());
    assert!(aside.exists());
    desk.says("OxAAAA", "normal", "y");
    assert_eq!(desk.gets("OxBBBB"), ["y"]);
    // Something that is none at all.
    desk.stores.close(desk.now());
    fs::write(&path, "no database").unwrap();
    desk.stores = Stores::default();
    desk.says("OxAAAA", "normal", "z");
    assert_eq!(desk.gets("OxBBBB"), ["z"]);
}

#[test]
fn a_file_that_is_removed_under_it_is_noticed() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "x");
    let store = desk.stores.of(&desk.state("ledger"));
    fs::remove_dir_all(desk.state("ledger")).unwrap();
    desk.says("OxAAAA", "normal", "y");
    assert!(store.path().exists());
    assert_eq!(desk.gets("OxBBBB"), ["y"]);
}

#[test]
fn wat_10_an_idle_database_is_closed_and_none_stays_open() {
    let mut desk = Desk::new();
    let open = || {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter(|e| fs::read_link(e.path()).is_ok_and(|to| to.to_string_lossy().contains("wat-10")))
            .count()
    };
    desk.tmp = tempfile::Builder::new().prefix("wat-10").tempdir().unwrap();
    for round in 0..30 {
        desk.says("OxAAAA", "normal", &format!("{round}"));
        desk.gets("OxBBBB");
        desk.pass(limits::IDLE_CLOSE.as_secs());
        assert!(open() > 0);
        desk.stores.close_idle(desk.now());
        assert_eq!(open(), 0);
        assert!(desk.stores.all().is_empty());
    }
}

#[test]
fn nudges_are_replaced_until_they_are_read_and_a_murmur_answers_them() {
    let mut desk = Desk::new();
    let store = desk.stores.of(&desk.state("ledger"));
    let reader = Reader { key: "repo:OxAAAA", agent: "OxAAAA" };
    for n in 1..4 {
        let mut nudge = desk.murmur("OxAAAA", "normal", &format!("nudge {n}"));
        nudge.source = "auto-murmur".into();
        store.nudge(desk.now(), reader, &nudge, n).unwrap();
        desk.pass(60);
    }
    assert_eq!(store.nudged(desk.now(), "OxAAAA").unwrap().unanswered, 3);
    assert_eq!(desk.gets("OxAAAA"), ["nudge 3"]);
    desk.says("OxAAAA, OxBBBB", "normal", "said");
    assert_eq!(store.nudged(desk.now(), "OxAAAA").unwrap().unanswered, 0);
    store.pause(desk.now(), "OxAAAA", true).unwrap();
    assert!(store.nudged(desk.now(), "OxAAAA").unwrap().paused);
    store.close(desk.now());
    assert!(store.nudged(desk.now(), "OxAAAA").unwrap().paused, "also after a restart");
    store.pause(desk.now(), "OxAAAA", false).unwrap();
    assert!(!store.nudged(desk.now(), "OxAAAA").unwrap().paused);
}
