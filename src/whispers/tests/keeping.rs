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
fn a_crash_makes_nobody_who_was_here_a_new_one() {
    let mut desk = Desk::new();
    let gets = |desk: &Desk, agent| {
        desk.gets_of(&["ledger"], &Ask { attention: Attention::All, ..Desk::ask(agent) })
    };
    assert_eq!(gets(&desk, "OxBBBB"), Vec::<String>::new());
    // What is background is for those only who were here when it was said.
    desk.says("OxAAAA", "ambient", "said before the crash");
    desk.stores = Stores::default();
    assert_eq!(gets(&desk, "OxBBBB"), ["said before the crash"]);
    assert_eq!(gets(&desk, "OxCCCC"), Vec::<String>::new());
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
    let conn = rusqlite::Connection::open(store.path()).unwrap();
    let count = |importance: &str| {
        let sql = "SELECT count(*) FROM whispers WHERE importance = ?1";
        conn.query_row(sql, [importance], |row| row.get::<_, i64>(0)).unwrap()
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

#[test]
fn a_reader_of_a_database_that_was_made_anew_hears_everything_in_it() {
    let mut desk = Desk::new();
    for n in 0..20 {
        desk.says("OxAAAA", "normal", &format!("{n}"));
    }
    assert_eq!(desk.gets("OxBBBB").len(), 20);
    // How far it is was not written down yet; an answer is on its way; and then there is another database.
    let on_its_way = desk.stores.pending(&[desk.state("ledger")], &Desk::ask("OxCCCC"), desk.now());
    fs::remove_dir_all(desk.state("ledger")).unwrap();
    desk.says("OxAAAA", "normal", "new");
    desk.stores.given(on_its_way.receipt, true);
    desk.stores.write_marks(desk.now());
    assert_eq!(desk.gets("OxBBBB"), ["new"]);
    assert_eq!(desk.gets("OxCCCC"), ["new"]);
}

#[test]
fn an_answer_is_never_larger_than_a_line_may_be() {
    let mut desk = Desk::new();
    desk.gets("OxBBBB");
    let value = "\"\\\n".repeat(600);
    for _ in 0..200 {
        let mut w = desk.murmur("OxAAAA", "critical", &"\n".repeat(4000));
        w.metadata = (0..16).map(|n| (format!("k{n}"), value.clone())).collect();
        desk.comes_in("ledger", &w);
    }
    let size = |all: &[Whisper]| {
        all.iter().map(|w| serde_json::to_vec(&(&w.content, &w.metadata)).unwrap().len()).sum::<usize>()
    };
    let states = [desk.state("ledger")];
    let past = desk.stores.past(&states, None, None, 200, desk.now()).unwrap();
    let shown: Vec<Whisper> = past.whispers.into_iter().map(|(w, _)| w).collect();
    assert!(past.more && !shown.is_empty() && size(&shown) < 1 << 20, "{}", size(&shown));
    let mut got = 0;
    loop {
        let given = desk.stores.pending(&states, &Desk::ask("OxBBBB"), desk.now());
        assert!(size(&given.whispers) < 1 << 20);
        got += given.whispers.len();
        let done = given.whispers.is_empty();
        desk.stores.given(given.receipt, true);
        if done {
            break;
        }
    }
    assert_eq!(got, 200);
}
