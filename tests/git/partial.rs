//! Partial, shallow and sparse clones: how they are made, what they survive, what they fetch when.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ox::git::{Git, GitError, Made, Progress, Reader, Slim, Sparse, Verdict, clone_slim, verify};
use ox::kit::cancel::Cancel;

use crate::support::git::{Cloned, Sandbox, write};

fn patterns(lines: &[&str]) -> Sparse {
    Sparse::Patterns(lines.iter().map(|l| (*l).to_owned()).collect())
}

fn cone(dirs: &[&str]) -> Sparse {
    Sparse::Cone(dirs.iter().map(|d| (*d).to_owned()).collect())
}

/// What a manifest in the clone names, and `.sageox/`.
fn by_manifest(work: &Path) -> Sparse {
    let text = fs::read_to_string(work.join(".sageox/sync.manifest")).unwrap_or_default();
    let mut lines = vec!["/*".to_owned(), "!/*/".to_owned()];
    lines.extend(text.lines().map(|l| format!("/{l}")));
    lines.push("/.sageox/".to_owned());
    Sparse::Patterns(lines)
}

/// A clone as a team's is made.
pub fn slim(git: &Git, url: &str, target: &Path, cancel: &Cancel) -> Result<Made, GitError> {
    slim_with(git, url, target, &mut |_| (), cancel)
}

fn slim_with(
    git: &Git,
    url: &str,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
    cancel: &Cancel,
) -> Result<Made, GitError> {
    let plan = Slim { filter: true, first: patterns(&[".sageox/"]), then: Box::new(by_manifest) };
    clone_slim(git, url, target, plan, progress, cancel)
}

const FILES: &[(&str, &str)] = &[
    (".sageox/sync.manifest", "docs/\nmemory/\n"),
    ("AGENTS.md", "agents\n"),
    ("docs/a.md", "a\n"),
    ("docs/deep/b.md", "b\n"),
    ("memory/m.json", "{\"a\":1}\n"),
    ("raw/big.bin", "big\n"),
    ("data/x/1.json", "{}\n"),
    ("data/y/2.json", "{}\n"),
];

/// A remote with some history and the files.
fn remote(s: &Sandbox, name: &str, filters: bool) -> PathBuf {
    let bare = s.remote(name, &[("docs/a.md", "first\n"), ("gone", "gone\n")]);
    s.filters(&bare, filters);
    s.push_elsewhere(&bare, |w| {
        fs::remove_file(w.join("gone")).unwrap();
        for (name, text) in FILES {
            write(&w.join(name), text);
        }
    });
    bare
}

fn made<'s>(s: &'s Sandbox, url: &str, name: &str) -> (Cloned<'s>, Made) {
    let path = s.at(name);
    let made = slim(&s.git(), url, &path, &Cancel::new()).unwrap();
    (Cloned { sandbox: s, path, lock: s.at(&format!("locks/{name}.lock")) }, made)
}

/// The files in a work tree.
fn files(clone: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![clone.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for e in fs::read_dir(dir).unwrap().flatten().filter(|e| e.file_name() != ".git") {
            if e.file_type().unwrap().is_dir() {
                todo.push(e.path());
            } else {
                found.insert(e.path().strip_prefix(clone).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn has(clone: &Path, names: &[&str]) {
    let expected: BTreeSet<String> = names.iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(files(clone), expected);
}

const TEAM: &[&str] = &[".sageox/sync.manifest", "AGENTS.md", "docs/a.md", "docs/deep/b.md", "memory/m.json"];

/// How many objects of HEAD are not here.
fn lacking(c: &Cloned<'_>) -> usize {
    c.sh(&["rev-list", "--objects", "--missing=print", "HEAD"]).lines().filter(|l| l.starts_with('?')).count()
}

// ---- cloning ----

#[test]
fn a_slim_clone_has_the_tip_and_the_files_of_its_set() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let mut seen = Vec::new();
    let url = bare.to_str().unwrap();
    let got = slim_with(&s.git(), url, &s.at("c"), &mut |p| seen.push(p), &Cancel::new()).unwrap();
    assert_eq!(got, Made { filtered: true, refused: false });
    let c = Cloned { sandbox: &s, path: s.at("c"), lock: s.at("locks/c.lock") };
    has(&c.path, TEAM);
    assert_eq!(c.status(), "");
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), s.sh(&bare, &["rev-parse", "main"]));
    let reader = Reader::open(&c.path).unwrap();
    assert!(reader.is_shallow() && reader.is_partial());
    assert_eq!(c.sh(&["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(lacking(&c), 2, "the contents of raw and data");
    assert!(matches!(verify(&c.path), Verdict::Sound));
    assert!(seen.iter().any(|p| p.percent == Some(100)), "{seen:?}");

    let now = c.with(|m| m.sparse().unwrap());
    assert_eq!(now, by_manifest(&c.path));
    assert!(c.with(|m| m.deepen().unwrap()));
    assert!(!c.with(|m| m.deepen().unwrap()));
    let reader = Reader::open(&c.path).unwrap();
    assert!(!reader.is_shallow() && reader.is_partial());
    assert_eq!(c.sh(&["rev-list", "--count", "HEAD"]), "2");
    assert!(!c.path.join(".git/FETCH_HEAD").exists());
    let tip = reader.head().unwrap().commit;
    assert_eq!(reader.changed_files(None, tip).unwrap(), FILES.len());
}

#[test]
fn a_remote_without_filters_is_cloned_with_contents() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", false);
    let (c, got) = made(&s, bare.to_str().unwrap(), "c");
    assert_eq!(got, Made { filtered: false, refused: true });
    has(&c.path, TEAM);
    let reader = Reader::open(&c.path).unwrap();
    assert!(reader.is_shallow() && !reader.is_partial());
    assert_eq!(lacking(&c), 0);
    assert!(c.with(|m| m.deepen().unwrap()));
    assert_eq!(c.sh(&["fsck"]), "");
    // Who knows does not ask.
    let plan = Slim { filter: false, first: cone(&["docs"]), then: Box::new(|_| cone(&["docs"])) };
    let got =
        clone_slim(&s.git(), bare.to_str().unwrap(), &s.at("d"), plan, &mut |_| (), &Cancel::new()).unwrap();
    assert_eq!(got, Made { filtered: false, refused: false });
    has(&s.at("d"), &["AGENTS.md", "docs/a.md", "docs/deep/b.md"]);
}
