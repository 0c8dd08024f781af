use std::path::PathBuf;

use super::*;
use crate::project::{Dirs, Env};
use crate::sessions::Place;

struct Fixture {
    tmp: tempfile::TempDir,
    places: Places,
}

impl Fixture {
    fn new() -> Fixture {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().join("home").as_os_str())], "/")).unwrap();
        let places = Places::new(&dirs, &tmp.path().join("p"), "repo_1", Some(&tmp.path().join("ledger")));
        Fixture { tmp, places }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.tmp.path().join("ledger/sessions").join(name)
    }

    fn session(&self, name: &str, said: &[&str]) {
        fs::create_dir_all(self.dir(name)).unwrap();
        let lines =
            said.iter().map(|text| serde_json::json!({ "type": "user", "content": text }).to_string() + "\n");
        // As whoever changes a session does it.
        file::write_atomic(&self.dir(name).join(raw::FILE), lines.collect::<String>().as_bytes(), 0o600)
            .unwrap();
    }

    fn index(&self) -> Index {
        Index::open(&path(&self.tmp.path().join("state"))).unwrap()
    }

    /// The names of what is found, and how many sessions were read for it.
    fn found(&self, words: &[&str]) -> (Vec<String>, usize) {
        let (mut index, items, mut read) = (self.index(), items(&self.places, later()), 0);
        let keys: Vec<&Item> = items.iter().map(|(item, _)| item).collect();
        let mut text = |n: usize| text_of(&items[n].1, &Redactor::new()).unwrap();
        index.refresh(&keys, &mut text, &mut |_, _| read += 1).unwrap();
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let keys = index.query(&words, 10).unwrap();
        let name = |key: &String| Path::new(key).file_name().unwrap().to_str().unwrap()[17..].to_owned();
        (keys.iter().map(name).collect(), read)
    }
}

/// When everything has settled.
fn later() -> Timestamp {
    Timestamp::from_second(4_000_000_000).unwrap()
}

const A: &str = "2026-03-12T11-09-dana-OxAAAA";
const B: &str = "2026-03-13T11-09-bo-OxBBBB";

#[test]
fn sessions_are_found_by_words_phrases_and_beginnings_and_only_what_changed_is_read() {
    let f = Fixture::new();
    assert_eq!(f.found(&["x"]), (vec![], 0));
    f.session(A, &["Fix the parser", "of tests/parse_header.rs, naïvely"]);
    f.session(B, &["The parser is fixed", "parser parser"]);
    let both = || vec!["bo-OxBBBB".to_owned(), "dana-OxAAAA".to_owned()];
    let (a, b) = (vec!["dana-OxAAAA".to_owned()], vec!["bo-OxBBBB".to_owned()]);
    assert_eq!(f.found(&["PARSER"]), (both(), 2));
    assert_eq!(f.found(&["parser", "naively"]), (a.clone(), 0));
    assert_eq!(f.found(&["the parser is"]).0, b);
    assert_eq!(f.found(&["parse_header"]).0, a);
    assert_eq!(f.found(&["parse_h*"]).0, a);
    assert_eq!(f.found(&["dana"]).0, a);
    for odd in ["\"", "NOT", "parser OR x", "*", "", "text:fixed", "(parser", "a\"b"] {
        f.found(&[odd]);
    }
    f.session(A, &["Another thing"]);
    assert_eq!(f.found(&["parser"]), (b.clone(), 1));
    fs::remove_dir_all(f.dir(B)).unwrap();
    assert_eq!(f.found(&["parser"]), (vec![], 0));
}

#[test]
fn an_index_that_is_damaged_or_of_another_version_is_made_anew() {
    let f = Fixture::new();
    f.session(A, &["Fix the parser"]);
    assert_eq!(f.found(&["parser"]).1, 1);
    let file = path(&f.tmp.path().join("state"));
    fs::write(&file, "no database, but long enough to be taken for one by whoever looks at its length alone")
        .unwrap();
    assert_eq!(f.found(&["parser"]), (vec!["dana-OxAAAA".to_owned()], 1));
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(conn);
    assert_eq!(f.found(&["parser"]), (vec!["dana-OxAAAA".to_owned()], 1));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn no_secret_gets_into_the_index_and_the_best_comes_first() {
    let f = Fixture::new();
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC2"].concat();
    f.session(A, &["about other things", &format!("the token {token}"), "one parser"]);
    f.session(B, &["parser"]);
    assert_eq!(f.found(&["parser"]).0[0], "bo-OxBBBB");
    assert_eq!(f.found(&[&token]).0, Vec::<String>::new());
    let index = fs::read(path(&f.tmp.path().join("state"))).unwrap();
    let wal = fs::read(f.tmp.path().join("state/sessions.db-wal")).unwrap_or_default();
    let lower = token.to_lowercase();
    for bytes in [index, wal] {
        assert!(!bytes.windows(12).any(|w| w == &lower.as_bytes()[4..16]));
    }
}

#[test]
fn what_changed_just_now_is_read_once_more() {
    let f = Fixture::new();
    f.session(A, &["Fix the parser"]);
    let at = fs::metadata(f.dir(A)).unwrap().mtime();
    let stamp = |second: i64| items(&f.places, Timestamp::from_second(second).unwrap())[0].0.stamp;
    assert_eq!((stamp(at), stamp(at + 2)), (stamp(at + 1), stamp(at + 1) + 1));
}

#[test]
fn excerpts_say_where_the_words_stand() {
    let f = Fixture::new();
    f.session(A, &["Fix the parser", "nothing", "the Parser again", "parser"]);
    let found = items(&f.places, later()).remove(0).1;
    assert_eq!(found.place, Place::Ledger);
    let told = excerpts(&found.dir.join(raw::FILE), &["parser".to_owned()], 2).unwrap();
    let texts: Vec<&str> = told.iter().map(|e| e.text.as_str()).collect();
    assert_eq!(texts, ["Fix the parser", "the Parser again"]);
}
