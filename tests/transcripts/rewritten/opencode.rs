//! opencode.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ox::harness::transcript::opencode::{Database, Opencode, running};
use ox::harness::transcript::{Fact, Skipped, What};
use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::{assert_once, bytes, served, spent, told};

const FORKED: &str = "opencode-1.18.33-resumed-and-forked.sql";
const SUB: &str = "opencode-1.18.33-subagent.sql";
const COMPACTED: &str = "opencode-1.18.33-compacted.sql";

struct Store {
    _dir: tempfile::TempDir,
    path: PathBuf,
    /// The program's.
    conn: Connection,
}

/// A database as the program has it open.
fn store(name: &str) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("opencode.db");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "wal").unwrap();
    conn.execute_batch(&String::from_utf8(bytes(name)).unwrap()).unwrap();
    Store { _dir: dir, path, conn }
}

fn sessions(store: &Store) -> Vec<String> {
    let mut rows = store.conn.prepare("SELECT id FROM session ORDER BY time_created").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn read(store: &Store, reader: &mut Opencode) -> Vec<Fact> {
    let db = Database::open(&store.path).unwrap();
    let mut out = Vec::new();
    while db.read(reader, &mut out).unwrap() {}
    out
}

fn all(store: &Store, session: &str) -> Vec<Fact> {
    let mut reader = Opencode::new(session);
    let facts = read(store, &mut reader);
    assert_eq!(reader.skipped(), Skipped::default());
    assert_once(&facts);
    assert_eq!(read(store, &mut reader), [], "told again");
    facts
}

fn answers(of: &[u64]) -> Vec<[u64; 4]> {
    of.iter().map(|n| served(*n)).collect()
}

#[test]
fn a_session_is_told_in_its_order() {
    let store = store(FORKED);
    let ids = sessions(&store);
    let facts = all(&store, &ids[0]);
    assert_eq!(
        told(&facts),
        [
            "thread  /home/user/work",
            "user: \"say hi\"",
            "thread fake /home/user/work",
            r#"bash {"command":"echo hello-from-agent"}"#,
            "done hello-from-agent|",
            "spent 1034 52",
            "assistant: Done: listed the files.",
            "spent 1051 58",
            "user: \"go on\"",
            "assistant: Done: listed the files.",
            "spent 1068 54",
        ]
    );
    let What::Thread(thread) = &facts[0].what else { panic!() };
    assert_eq!((thread.id.as_str(), thread.session.as_str()), (ids[0].as_str(), ids[0].as_str()));
    assert_eq!((thread.version.as_str(), thread.forked_from.as_str()), ("1.18.33", ""));
    assert!(facts.iter().map(|f| f.time.unwrap()).is_sorted_by_key(|t| t.as_second() / 60));
}

#[test]
fn a_fork_tells_what_is_its_own_and_spends_nothing_twice() {
    let store = store(FORKED);
    let ids = sessions(&store);
    let (first, fork) = (all(&store, &ids[0]), all(&store, &ids[1]));
    let words: Vec<String> = told(&fork).into_iter().filter(|l| l.contains(": ")).collect();
    assert_eq!(words, ["user: \"another way\"", "assistant: Done: listed the files."]);
    let What::Thread(thread) = &fork[0].what else { panic!() };
    assert_eq!((thread.forked_from.as_str(), thread.parent.as_str()), (ids[0].as_str(), ""));
    assert_eq!(spent(&[first, fork].concat()), answers(&[2, 3, 4, 5]));
}

#[test]
fn a_fork_whose_original_is_gone_tells_all() {
    let store = store(FORKED);
    let ids = sessions(&store);
    let first = all(&store, &ids[0]);
    store.conn.execute("DELETE FROM session WHERE id = ?1", [&ids[0]]).unwrap();
    store.conn.execute("DELETE FROM part WHERE session_id = ?1", [&ids[0]]).unwrap();
    store.conn.execute("DELETE FROM message WHERE session_id = ?1", [&ids[0]]).unwrap();
    let fork = all(&store, &ids[1]);
    assert_eq!(spent(&fork), answers(&[2, 3, 4, 5]));
    // A copy is known by the same ids as what it was copied from.
    for fact in first.iter().filter(|f| !matches!(f.what, What::Thread(_))) {
        assert!(fork.contains(fact), "{fact:?}");
    }
}

#[test]
fn a_sub_agent_is_a_thread_of_its_session() {
    let store = store(SUB);
    let ids = sessions(&store);
    let (parent, sub) = (all(&store, &ids[0]), all(&store, &ids[1]));
    let What::Thread(thread) = &sub[0].what else { panic!() };
    assert_eq!((&thread.parent, &thread.session, &thread.id), (&ids[0], &ids[0], &ids[1]));
    assert!(told(&sub).contains(&"user: look around here".to_string()));
    assert_eq!(spent(&[parent, sub].concat()), answers(&[2, 5, 3, 4]));
}

#[test]
fn a_summary_is_not_said_by_anybody_and_what_fails_has_failed() {
    let store = store(COMPACTED);
    let facts = all(&store, &sessions(&store)[0]);
    let bash = r#"bash {"command":"echo to-stderr >&2; exit 3"}"#;
    assert_eq!(
        told(&facts),
        [
            "thread  /home/user/work",
            "user: \"do something failing\"",
            "thread fake /home/user/work",
            bash,
            "failed to-stderr|",
            "spent 1034 52",
            "compacted",
            "system: Done: listed the files.",
            "spent 1051 58",
            "system: Continue if you have next steps, or stop and ask for clarification if you are unsure how to proceed.",
            bash,
            "failed to-stderr|",
            "spent 1068 54",
        ]
    );
    assert_eq!(spent(&facts), answers(&[2, 3, 4]));
}

#[test]
fn what_changes_while_a_turn_runs_is_told_when_it_is_there() {
    let store = store(FORKED);
    let id = &sessions(&store)[0];
    let whole = all(&store, id);
    let (db, mut reader, mut out) = (Database::open(&store.path).unwrap(), Opencode::new(id), Vec::new());
    let mut rows = store
        .conn
        .prepare("SELECT id, time_updated, data FROM part WHERE session_id = ?1 ORDER BY id")
        .unwrap();
    let parts: Vec<(String, i64, String)> = rows
        .query_map([id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let update = "UPDATE part SET data = ?2, time_updated = ?3 WHERE id = ?1";
    let ended = "UPDATE message SET data = json_remove(data, '$.time.completed') WHERE session_id = ?1";
    store.conn.execute(ended, [id]).unwrap();
    for (part, at, data) in &parts {
        let early = match () {
            () if data.contains("\"tool\"") => data.replace("completed", "pending"),
            () if data.contains("\"end\"") => {
                r#"{"type":"text","text":"Do","time":{"start":1796028787873}}"#.into()
            }
            () => r#"{"type":"step-start"}"#.into(),
        };
        store.conn.execute(update, params![part, early, at]).unwrap();
    }
    assert!(!db.read(&mut reader, &mut out).unwrap());
    assert!(!told(&out).iter().any(|l| l.starts_with("spent") || l.starts_with("bash") || l.contains("Do")));
    for (part, at, data) in &parts {
        store.conn.execute(update, params![part, data, at + 1_000_000]).unwrap();
        let saved = serde_json::to_string(&reader).unwrap();
        reader = serde_json::from_str(&saved).unwrap();
        assert!(!db.read(&mut reader, &mut out).unwrap());
    }
    assert_once(&out);
    let (mut out, mut whole) = (told(&out), told(&whole));
    out.sort();
    whole.sort();
    assert_eq!(out, whole);
}

#[test]
fn a_long_session_is_told_piece_by_piece() {
    let store = store(FORKED);
    let id = &sessions(&store)[0];
    store.conn.execute_batch("BEGIN").unwrap();
    for n in 0..1000 {
        let (message, at) = (format!("m{n:05}"), 1_796_040_000_000_i64 + n / 400);
        let sql = "INSERT INTO message VALUES (?1, ?2, ?3, ?3, '{\"role\":\"user\"}')";
        store.conn.execute(sql, params![message, id, at]).unwrap();
        let text = format!(r#"{{"type":"text","text":"n {n}"}}"#);
        let sql = "INSERT INTO part VALUES ('p' || ?1, ?1, ?2, ?3, ?3, ?4)";
        store.conn.execute(sql, params![message, id, at, text]).unwrap();
    }
    store.conn.execute_batch("COMMIT").unwrap();
    let db = Database::open(&store.path).unwrap();
    let (mut reader, mut out, mut pages) = (Opencode::new(id), Vec::new(), 1);
    while db.read(&mut reader, &mut out).unwrap() {
        reader = serde_json::from_str(&serde_json::to_string(&reader).unwrap()).unwrap();
        pages += 1;
    }
    assert_eq!(pages, 6);
    assert_once(&out);
    let said: Vec<String> = told(&out).into_iter().filter(|l| l.starts_with("user: n ")).collect();
    assert_eq!(said, (0..1000).map(|n| format!("user: n {n}")).collect::<Vec<_>>());
}

#[test]
fn the_program_is_neither_written_to_nor_waited_for() {
    let store = store(FORKED);
    let id = &sessions(&store)[0];
    let db = Database::open(&store.path).unwrap();
    // It is in the middle of a write, and writes on while somebody reads.
    store.conn.execute_batch("BEGIN IMMEDIATE; UPDATE session SET title = 'x';").unwrap();
    let (mut reader, mut out) = (Opencode::new(id), Vec::new());
    assert!(!db.read(&mut reader, &mut out).unwrap());
    store.conn.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    let size = fs::metadata(&store.path).unwrap().len();
    assert!(!db.read(&mut reader, &mut out).unwrap());
    drop(db);
    assert_eq!(fs::metadata(&store.path).unwrap().len(), size);
    assert!(Database::open(&store.path).unwrap().sessions().is_ok());
    assert_eq!(store.conn.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0)).unwrap(), "ok");
}

#[test]
fn a_database_that_nobody_has_open_gets_no_files_beside_it() {
    let Store { _dir: dir, path, conn } = store(FORKED);
    drop(conn);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["opencode.db"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let before = fs::read(&path).unwrap();
    let db = Database::open(&path).unwrap();
    let listed = db.sessions().unwrap();
    let (mut reader, mut out) = (Opencode::new(&listed[0].id), Vec::new());
    assert!(!db.read(&mut reader, &mut out).unwrap());
    assert!(!out.is_empty());
    assert_eq!(names(), ["opencode.db"]);
    assert_eq!(fs::read(&path).unwrap(), before);
    // The program comes back: what was taken for still is not any more, and the reader knows what it knew.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.execute("UPDATE session SET title = 'y', time_updated = time_updated + 1", []).unwrap();
    let known = reader.clone();
    let e = db.read(&mut reader, &mut out).unwrap_err();
    assert!(Database::is_busy(&e), "{e}");
    assert_eq!(reader, known);
    assert!(Database::open(&path).unwrap().sessions().is_ok());
}

#[test]
fn what_is_no_database_or_a_link_is_not_read() {
    let store = store(FORKED);
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("opencode.db");
    assert!(Database::open(&link).is_err());
    std::os::unix::fs::symlink(&store.path, &link).unwrap();
    assert!(Database::open(&link).and_then(|db| db.sessions()).is_err());
    let other = dir.path().join("other.db");
    fs::write(&other, "no database, but a text that is long enough to be taken for the beginning of one, if it is not looked at").unwrap();
    assert!(Database::open(&other).and_then(|db| db.sessions()).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn the_running_session_is_the_only_one_there() {
    let sub = store(SUB);
    let listed = Database::open(&sub.path).unwrap().sessions().unwrap();
    assert_eq!(listed.len(), 2);
    let work = Path::new("/home/user/work/deep");
    let found = running(&listed, work, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(found.id, sessions(&sub)[0], "not the sub-agent");
    assert_eq!(running(&listed, Path::new("/home/user"), Timestamp::UNIX_EPOCH), None);
    let later = found.modified + std::time::Duration::from_secs(1);
    assert_eq!(running(&listed, work, later), None);
    let two = Database::open(&store(FORKED).path).unwrap().sessions().unwrap();
    assert_eq!(running(&two, work, Timestamp::UNIX_EPOCH), None, "two sessions");
}

proptest! {
    #[test]
    fn no_damage_makes_it_fail(
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<char>()), 1..8),
    ) {
        let store = store(COMPACTED);
        for (row, at, c) in hits {
            let n = row.index(20) as i64;
            for table in ["message", "part"] {
                let one = format!("SELECT id, data FROM {table} ORDER BY id LIMIT 1 OFFSET ?1");
                let found = store.conn.query_row(&one, [n], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)));
                let Ok((id, data)) = found else { continue };
                let mut chars: Vec<char> = data.chars().collect();
                let at = at.index(chars.len());
                chars[at] = c;
                let data: String = chars.into_iter().collect();
                store.conn.execute(&format!("UPDATE {table} SET data = ?2 WHERE id = ?1"), params![id, data]).unwrap();
            }
        }
        let id = &sessions(&store)[0];
        let mut reader = Opencode::new(id);
        read(&store, &mut reader);
        prop_assert_eq!(read(&store, &mut reader), []);
        let saved: Opencode = serde_json::from_str(&serde_json::to_string(&reader).unwrap()).unwrap();
        prop_assert_eq!(saved, reader);
    }
}
