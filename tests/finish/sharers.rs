//! Several who share one session while its summary is made.

use std::fs;
use std::sync::Barrier;
use std::thread;

use ox::kit::cancel::Cancel;
use ox::kit::pointer::{Storage, Stored};
use ox::sessions::finish::{Left, accept, hold, shared};
use serde_json::json;

use super::{GOOD, NAME, Scene};
use crate::support::seed::rounds;

impl Scene {
    /// Shares the session as the daemon and commands do, until nothing changes under it.
    fn share_as_others_do(&self) {
        let dir = self.dir();
        let _held = hold(&dir, &Cancel::default()).unwrap();
        if !dir.exists() {
            assert!(self.in_ledger().join("meta.json").exists());
            return;
        }
        while self.share(&dir) == Left::Changed {}
    }
}

#[test]
fn a_summary_that_is_made_while_others_share_the_session_is_shared_whole() {
    for round in 0..rounds(25, 400) {
        let s = Scene::new();
        let dir = s.finished();
        let prepared = s.prepare(&dir).unwrap();
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    barrier.wait();
                    s.share_as_others_do();
                });
            }
            scope.spawn(|| {
                barrier.wait();
                assert!(accept(&dir, &prepared, GOOD, s.by()).unwrap().valid);
                s.share_as_others_do();
            });
        });
        assert!(!dir.exists(), "{round}");
        let (meta, summary) = (s.json(&s.in_ledger(), "meta.json"), s.json(&s.in_ledger(), "summary.json"));
        let title = json!("Mend the parser of the settings");
        assert_eq!((&meta["title"], &summary["title"]), (&title, &title), "{round}");
        assert_eq!((&meta["summary_status"], &summary["summary_status"]), (&json!("ok"), &json!("ok")));
        let locks = s.root.join("ledger/.sageox/cache/sharing");
        assert_eq!(fs::read_dir(locks).unwrap().count(), 0, "{round}");
    }
}

/// Who waited for somebody else's sharing, and what of a summary alone has changed.
#[test]
fn a_session_of_which_only_the_summary_has_changed_is_shared_once_more() {
    let s = Scene::new();
    let dir = s.finished();
    assert!(s.answer(&dir, GOOD).valid);
    let packed = s.pack(&dir).unwrap();
    let stored: Vec<Stored> = packed.content.iter().map(|path| s.store(path)).collect();
    for name in ["summary.json", "meta.json", "usage.jsonl"] {
        let before = fs::read(dir.join(name)).ok();
        fs::write(dir.join(name), "{}").unwrap();
        assert_eq!(shared(&dir, &packed, &stored).unwrap(), Left::Changed, "{name}");
        match before {
            Some(bytes) => fs::write(dir.join(name), bytes).unwrap(),
            None => fs::remove_file(dir.join(name)).unwrap(),
        }
    }
    // What is kept nowhere else by its own name either: a large one of the small.
    let mut large = stored.clone();
    let here = Stored { name: "usage.jsonl".into(), storage: Storage::Here, ..stored[0].clone() };
    large.push(here);
    assert_eq!(shared(&dir, &packed, &large).unwrap(), Left::All);
    assert!(dir.join("raw.jsonl").exists());
    assert_eq!(shared(&dir, &packed, &stored).unwrap(), Left::Nothing, "{NAME}");
}
