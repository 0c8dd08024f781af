//! A clone at a path that a message names: what is at the path is never lost, and nothing is cloned where something would run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ox::ipc::client::Client;
use ox::ipc::wire::{Checkout, CheckoutResult};

use crate::support::TestEnv;

struct World {
    env: TestEnv,
    client: Client,
    /// A repository that may be cloned.
    good: String,
}

impl World {
    fn new() -> World {
        let env = TestEnv::new();
        let repo = env.repo("p");
        env.ox_in(&repo, ["up"]).ok();
        let is_project =
            |s: &PathBuf| s.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"daemon-"));
        let client =
            Client::new(env.sockets().into_iter().find(is_project).expect("a socket of the project"));
        let writer = env.repo("good");
        fs::create_dir(writer.join(".sageox")).unwrap();
        fs::write(writer.join(".sageox/about"), "a team\n").unwrap();
        fs::write(writer.join("post-commit"), "#!/bin/sh\n").unwrap();
        env.git(&writer, ["add", "."]);
        env.git(&writer, ["commit", "-qm", "files"]);
        let good = writer.to_str().unwrap().to_owned();
        World { env, client, good }
    }

    fn ask(&self, path: &Path, url: &str, kind: &str) -> Result<CheckoutResult, String> {
        let repo_path = path.to_str().unwrap().to_owned();
        let ask = Checkout { repo_path, clone_url: url.to_owned(), repo_type: kind.to_owned() };
        self.client.checkout(&ask, |_| ()).map_err(|e| e.to_string())
    }
}

/// Every file below a directory but what the daemon itself goes on writing.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                found.insert(path.clone(), Vec::new());
                dirs.push(path);
            } else if kind.is_file() {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_checkout_touches_nothing_that_it_did_not_make() {
    let w = World::new();
    let home = w.env.home();
    fs::create_dir_all(home.join("Documents")).unwrap();
    fs::write(home.join("Documents/thesis.txt"), "years of work\n").unwrap();
    fs::write(home.join("note.txt"), "a file\n").unwrap();
    w.env.git(&home, ["init", "-q", "mine"]);
    w.env.git(&home, ["init", "-q", "--bare", "store"]);
    fs::remove_dir_all(home.join("mine/.git/hooks")).unwrap_or_default();
    fs::remove_dir_all(home.join("store/hooks")).unwrap_or_default();
    let local = w.env.data().join("sageox/local");
    let ledger = fs::read_dir(local.join("ledgers")).unwrap().flatten().next().unwrap().path();
    let own = [
        "Documents",
        "note.txt",
        "mine/.git",
        "mine/.git/hooks",
        "mine/.git/objects",
        "mine/.GIT/hooks",
        "store/hooks",
        "store/objects",
        ".ssh",
        "mine/.husky",
    ];
    let kept = [
        local.clone(),
        local.join("locks"),
        local.join("state"),
        local.join("remotes"),
        local.join("ledgers"),
        ledger.join("data"),
        ledger.join("new"),
        ledger.join(".git/hooks"),
        local.join("ledgers/repo_of_another_project"),
        w.env.data().join("sageox"),
    ];
    let paths: Vec<PathBuf> = own.iter().map(|p| home.join(p)).chain(kept).collect();
    let before = (files(&home.join("Documents")), files(&home.join("mine")), files(&home.join("store")));
    for path in &paths {
        for url in ["ext::sh -c id", "/nonexistent", &w.good] {
            for kind in ["ledger", "team-context"] {
                let refused = w.ask(path, url, kind).expect_err(&path.display().to_string());
                assert!(!refused.contains("thesis") && !refused.contains("Documents"), "{refused}");
            }
        }
        let parent = path.parent().unwrap();
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            assert!(
                !name.contains(".bak.") && !name.contains(".ox-clone-"),
                "{name} in {}",
                parent.display()
            );
        }
    }
    let after = (files(&home.join("Documents")), files(&home.join("mine")), files(&home.join("store")));
    assert_eq!(before, after);
    assert!(ledger.join(".git").is_dir());
    for path in ["mine/.git/hooks", "mine/.GIT", "mine/.husky", "store/hooks", ".ssh"] {
        assert!(!home.join(path).exists(), "{path}");
    }
}

#[test]
fn a_checkout_goes_where_nothing_is_and_an_address_is_checked_first() {
    let w = World::new();
    let home = w.env.home();
    let empty = home.join("empty");
    fs::create_dir(&empty).unwrap();
    for url in ["ext::sh -c id", "/nonexistent"] {
        w.ask(&empty, url, "ledger").unwrap_err();
        w.ask(&home.join("new/deep"), url, "ledger").unwrap_err();
        assert!(fs::read_dir(&empty).unwrap().next().is_none());
        assert!(!home.join("new/deep").exists());
    }
    for path in [empty, home.join("new/deep")] {
        let done = w.ask(&path, &w.good, "ledger").unwrap();
        assert!(done.cloned && path.join(".git").is_dir(), "{done:?}");
        let again = w.ask(&path, &w.good, "ledger").unwrap();
        assert!(again.already_exists && !again.cloned, "{again:?}");
    }
}

#[test]
fn a_broken_clone_of_ours_stays_until_the_new_one_is_whole() {
    let w = World::new();
    let teams = w.env.data().join("sageox/local/teams");
    let team = teams.join("acme");
    w.env.git(w.env.work(), ["init", "-q", team.to_str().unwrap()]);
    fs::write(team.join("half.txt"), "half\n").unwrap();
    w.ask(&team, "/nonexistent", "team-context").unwrap_err();
    assert_eq!(fs::read(team.join("half.txt")).unwrap(), b"half\n");
    let done = w.ask(&team, &w.good, "team-context").unwrap();
    assert!(done.cloned && team.join(".sageox/about").is_file(), "{done:?}");
    let mut names: Vec<String> =
        fs::read_dir(&teams).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    let aside = names.iter().find(|n| n.starts_with("acme.bak.")).expect("what was broken is kept");
    assert_eq!(fs::read(teams.join(aside).join("half.txt")).unwrap(), b"half\n");
    assert_eq!(names.len(), 2, "{names:?}");
}
