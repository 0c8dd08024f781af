//! Partial, shallow and sparse clones: how they are made, what they survive, what they fetch when.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use ox::git::{
    CloneLock, Git, GitError, How, Made, ManagedClone, PartialClone, Profile, Progress, Reader, Sparse,
    Verdict, clone_partial, create_bare, disk_size, verify,
};
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock, pause};
use ox::kit::rng::Rng;

use super::{in_role, moments};
use crate::support::TestEnv;
use crate::support::git::{Cloned, Sandbox, rules, with_clone, write};
use crate::support::http_git::{Fault, GitServer};
use crate::support::seed::{self, rounds};

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
    let plan = PartialClone { filter: true, first: patterns(&[".sageox/"]), then: Box::new(by_manifest) };
    clone_partial(git, url, target, plan, progress, cancel)
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

/// A partial clone whose set is `sparse`.
fn made_with<'s>(s: &'s Sandbox, url: &str, name: &str, sparse: Sparse) -> Cloned<'s> {
    let path = s.at(name);
    let plan = PartialClone { filter: true, first: sparse.clone(), then: Box::new(move |_| sparse) };
    let made = clone_partial(&s.git(), url, &path, plan, &mut |_| (), &Cancel::new()).unwrap();
    assert!(made.filtered);
    Cloned { sandbox: s, path, lock: s.at(&format!("locks/{name}.lock")) }
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
    assert!(matches!(verify(&c.path), Verdict::Sound(_)));
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
    let plan = PartialClone { filter: false, first: cone(&["docs"]), then: Box::new(|_| cone(&["docs"])) };
    let got = clone_partial(&s.git(), bare.to_str().unwrap(), &s.at("d"), plan, &mut |_| (), &Cancel::new())
        .unwrap();
    assert_eq!(got, Made { filtered: false, refused: false });
    has(&s.at("d"), &["AGENTS.md", "docs/a.md", "docs/deep/b.md"]);
}

#[test]
fn a_slim_clone_over_http_leaves_contents_there() {
    let s = Sandbox::new();
    remote(&s, "r", true);
    let env = TestEnv::new();
    let server = GitServer::start(&env, &s.at(""));
    let (c, got) = made(&s, &server.url("r.git"), "c");
    assert_eq!(got, Made { filtered: true, refused: false });
    has(&c.path, TEAM);
    assert_eq!((c.status().as_str(), lacking(&c)), ("", 2));
    s.filters(&s.at("r.git"), false);
    let (d, got) = made(&s, &server.url("r.git"), "d");
    assert_eq!(got, Made { filtered: false, refused: true });
    assert_eq!((d.status().as_str(), lacking(&d)), ("", 0));
}

#[test]
fn a_remote_that_cuts_no_history_off_is_cloned_whole() {
    let mut s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let body = "case \"$*\" in *--depth=1*) echo 'fatal: dumb http transport does not support shallow capabilities' >&2; exit 128;; esac";
    s.git_that(body);
    let (c, got) = made(&s, bare.to_str().unwrap(), "c");
    assert_eq!(got, Made { filtered: false, refused: true });
    has(&c.path, TEAM);
    let reader = Reader::open(&c.path).unwrap();
    assert!(!reader.is_shallow() && !reader.is_partial());
    assert_eq!(c.sh(&["rev-list", "--count", "HEAD"]), "2");
}

#[test]
fn a_remote_without_a_commit_is_an_empty_clone() {
    let s = Sandbox::new();
    let bare = s.at("empty.git");
    create_bare(&s.git(), &bare, &Cancel::new()).unwrap();
    let (c, got) = made(&s, bare.to_str().unwrap(), "c");
    assert_eq!(got, Made { filtered: false, refused: false });
    assert_eq!(Reader::open(&c.path).unwrap().head().unwrap().commit, None);
    // Its set may be said before there is anything.
    assert!(c.with(|m| m.set_sparse(&cone(&["docs"])).unwrap()));
    s.push_elsewhere(&bare, |w| FILES.iter().for_each(|(name, text)| write(&w.join(name), text)));
    c.pull();
    has(&c.path, &["AGENTS.md", "docs/a.md", "docs/deep/b.md"]);
    assert_eq!(c.status(), "");
}

#[test]
fn the_default_branch_of_the_remote_is_taken() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    s.sh(&bare, &["branch", "trunk", "main~1"]);
    s.sh(&bare, &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let (c, _) = made(&s, bare.to_str().unwrap(), "c");
    assert_eq!(c.sh(&["symbolic-ref", "HEAD"]), "refs/heads/trunk");
    has(&c.path, &["gone"]);
}

#[test]
fn syn_10_an_interrupted_slim_clone_leaves_nothing() {
    let s = Sandbox::new();
    remote(&s, "r", true);
    let env = TestEnv::new();
    let mut server = GitServer::start(&env, &s.at(""));
    let url = server.url("r.git");
    let target = s.at("t/c");
    let none_left = || assert_eq!(fs::read_dir(s.at("t")).unwrap().count(), 0);
    // Cancelled at each thing it tells.
    for stop_at in 0..4 {
        let cancel = Cancel::new();
        let mut seen = 0;
        let mut stop = |_| {
            if seen == stop_at {
                cancel.cancel();
            }
            seen += 1;
        };
        let e = slim_with(&s.git(), &url, &target, &mut stop, &cancel).unwrap_err();
        assert!(matches!(e, GitError::Cancelled(_)), "{stop_at}: {e}");
        none_left();
    }
    // Every answer in its turn is cut in the middle.
    let before = server.requests();
    slim(&s.git(), &url, &target, &Cancel::new()).unwrap();
    let whole = server.requests() - before;
    fs::remove_dir_all(&target).unwrap();
    for n in 0..whole {
        server.fault_after(Fault::Cut, n);
        let e = slim(&s.git(), &url, &target, &Cancel::new()).unwrap_err();
        assert_eq!(e.class(), Class::Network, "request {n} of {whole}: {e}");
        none_left();
    }
    server.down();
    assert_eq!(slim(&s.git(), &url, &target, &Cancel::new()).unwrap_err().class(), Class::Network);
    none_left();
    server.up();
    server.fault(None);
    slim(&s.git(), &url, &target, &Cancel::new()).unwrap();
    has(&target, TEAM);
}

#[test]
fn syn_10_a_killed_slim_clone_leaves_its_target_absent_or_whole() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    s.push_elsewhere(&bare, |w| {
        for n in 0..300 {
            write(&w.join(format!("docs/f{n}")), &format!("{n}\n").repeat(500));
            write(&w.join(format!("raw/f{n}")), &format!("{n}\n").repeat(500));
        }
    });
    let tip = s.sh(&bare, &["rev-parse", "main"]);
    let url = bare.to_str().unwrap();
    let start = SystemClock.now().mono;
    let timing = s.at("timing");
    assert!(in_role("slim", &s, &[url, timing.to_str().unwrap()]).wait().unwrap().success());
    let whole = SystemClock.now().mono - start;
    let expected = files(&timing);
    assert!(expected.contains("docs/f299") && !expected.contains("raw/f0"));
    let target = s.at("t/target");
    let mut absent = 0;
    for (_, at) in moments(10, whole) {
        let mut child = in_role("slim", &s, &[url, target.to_str().unwrap()]);
        pause(at);
        child.kill().unwrap();
        child.wait().unwrap();
        if fs::symlink_metadata(&target).is_err() {
            absent += 1;
            continue;
        }
        assert!(matches!(verify(&target), Verdict::Sound(_)));
        assert_eq!(s.sh(&target, &["rev-parse", "HEAD"]), tip);
        assert_eq!(s.sh(&target, &["ls-tree", "-r", "--name-only", "HEAD"]).lines().count(), 608);
        assert_eq!(files(&target), expected);
        assert_eq!(s.sh(&target, &["status", "--porcelain"]), "");
        fs::remove_dir_all(&target).unwrap();
    }
    assert!(absent > 0);
    slim(&s.git(), url, &target, &Cancel::new()).unwrap();
    let left: Vec<_> = fs::read_dir(s.at("t")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["target"]);
}

// ---- the set of files ----

#[test]
fn a_set_is_applied_only_when_it_differs() {
    let mut s = Sandbox::new();
    let log = s.count_git();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    let quiet = |set: &Sparse| {
        fs::write(&log, "").unwrap();
        assert!(!c.with(|m| m.set_sparse(set).unwrap()));
        assert_eq!(fs::read_to_string(&log).unwrap(), "");
    };
    quiet(&cone(&["docs"]));
    quiet(&cone(&["/docs/", "docs/deep"]));
    assert!(c.with(|m| m.set_sparse(&cone(&["data/x", "memory"])).unwrap()));
    has(&c.path, &["AGENTS.md", "data/x/1.json", "memory/m.json"]);
    quiet(&cone(&["memory", "data/x"]));
    assert!(c.with(|m| m.set_sparse(&patterns(&["/*", "!/*/", "/docs/"])).unwrap()));
    has(&c.path, &["AGENTS.md", "docs/a.md", "docs/deep/b.md"]);
    quiet(&patterns(&["/*", "!/*/", "/docs/"]));
    assert!(c.with(|m| m.set_sparse(&Sparse::Everything).unwrap()));
    assert_eq!(files(&c.path).len(), FILES.len());
    quiet(&Sparse::Everything);
    assert_eq!(c.status(), "");
}

/// Files that are not what HEAD has, in directories that leave the set.
fn disturb(c: &Cloned<'_>) {
    c.write(".git/info/exclude", "*.log\n");
    c.write("data/x/1.json", "{\"mine\":1}\n");
    c.write("data/y/staged.json", "{\"new\":1}\n");
    c.sh(&["add", "data/y/staged.json"]);
    c.write("raw/ignored.log", "ignored\n");
    c.write("docs/deep/only/untracked", "untracked\n");
    c.write("nobodys/untracked", "untracked\n");
}

const DISTURBED: &[&str] = &[
    "data/x/1.json",
    "data/y/staged.json",
    "docs/deep/only/untracked",
    "nobodys/untracked",
    "raw/ignored.log",
];

#[test]
fn syn_15_what_head_does_not_have_survives_every_set() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let sets = [
        cone(&["memory"]),
        patterns(&["/*", "!/*/", "/memory/"]),
        cone(&[]),
        patterns(&["/AGENTS.md"]),
        cone(&["docs"]),
    ];
    let (c, _) = made(&s, bare.to_str().unwrap(), "c");
    c.with(|m| m.set_sparse(&Sparse::Everything).unwrap());
    disturb(&c);
    let before: Vec<_> = DISTURBED.iter().map(|n| c.read(n)).collect();
    let status = c.status();
    for set in &sets {
        assert!(c.with(|m| m.set_sparse(set).unwrap()), "{set:?}");
        let after: Vec<_> = DISTURBED.iter().map(|n| c.read(n)).collect();
        assert_eq!(after, before, "{set:?}");
        assert_eq!(c.status(), status, "{set:?}");
        // Asked again, there is nothing to do.
        assert!(!c.with(|m| m.set_sparse(set).unwrap()), "{set:?}");
    }
    // Once clean, the directories leave.
    c.sh(&["checkout", "-q", "--", "data/x/1.json"]);
    c.sh(&["rm", "-q", "--cached", "data/y/staged.json"]);
    for name in &DISTURBED[1..] {
        fs::remove_file(c.path.join(name)).unwrap();
    }
    assert!(c.with(|m| m.set_sparse(&cone(&["memory"])).unwrap()));
    has(&c.path, &["AGENTS.md", "memory/m.json"]);
    assert_eq!(c.status(), "");
}

#[test]
fn syn_15_cleaning_a_clone_loses_nothing_of_ours() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let (c, _) = made(&s, bare.to_str().unwrap(), "c");
    c.write("docs/a.md", "dirty\n");
    s.push_elsewhere(&bare, |w| write(&w.join("docs/a.md"), "theirs\n"));
    let rescue = c.pull().rescued.unwrap().reference;
    let stamp = CloneLock::peek(&c.lock);
    c.sh(&["clean", "-fdxq"]);
    c.sh(&["sparse-checkout", "set", "--no-cone", ".sageox/"]);
    assert_eq!(c.sh(&["show", &format!("{rescue}:docs/a.md")]), "dirty");
    assert_eq!(CloneLock::peek(&c.lock), stamp);
    c.with(|m| m.set_sparse(&by_manifest(&c.path)).unwrap());
    has(&c.path, TEAM);
    assert_eq!(c.status(), "");
}

#[test]
fn kill_in_the_middle_of_a_change_of_the_set_loses_nothing() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    s.push_elsewhere(&bare, |w| {
        for n in 0..400 {
            write(&w.join(format!("raw/f{n}")), &format!("{n}\n").repeat(300));
            write(&w.join(format!("docs/f{n}")), &format!("{n}\n").repeat(300));
        }
    });
    let run = |c: &Cloned<'_>, dirs: &str| {
        in_role("sparse", &s, &[c.lock.to_str().unwrap(), c.path.to_str().unwrap(), dirs])
    };
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    let start = SystemClock.now().mono;
    assert!(run(&c, "raw").wait().unwrap().success());
    let whole = SystemClock.now().mono - start;
    for (n, at) in moments(7, whole) {
        let (from, to) = if n % 2 == 0 { ("docs", "raw") } else { ("raw", "docs") };
        c.with(|m| m.set_sparse(&cone(&[from])).unwrap());
        c.write("AGENTS.md", &format!("dirty {n}\n"));
        fs::remove_file(c.path.join(from).join("f7")).unwrap();
        let mut child = run(&c, to);
        pause(at);
        child.kill().unwrap();
        child.wait().unwrap();
        // Opening it is enough: what the user took away is away, everything else is there.
        c.with(|_| ());
        assert_eq!(c.status(), format!(" M AGENTS.md\n D {from}/f7"), "moment {n}");
        c.with(|m| m.set_sparse(&cone(&[to])).unwrap());
        assert_eq!(c.status(), format!(" M AGENTS.md\n D {from}/f7"), "moment {n}");
        c.sh(&["checkout", "-q", "--", "."]);
    }
}

// ---- working in a clone that lacks things ----

#[test]
fn local_and_remote_commits_meet_in_a_shallow_partial_clone() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs", "data/x"]));
    let lacked = lacking(&c);
    s.push_elsewhere(&bare, |w| {
        write(&w.join("docs/a.md"), "theirs\n");
        write(&w.join("raw/big.bin"), "bigger\n");
        fs::remove_file(w.join("data/y/2.json")).unwrap();
    });
    c.write("data/x/2.json", "{\"own\":1}\n");
    c.with(|m| m.commit(&[Path::new("data")], "own").unwrap().unwrap());
    c.with(|m| {
        m.fetch("main").unwrap();
        let got = m.integrate("main", &rules()).unwrap();
        assert_eq!(got.how, How::Replayed { auto_resolved: vec![] });
        assert_eq!(m.unpushed("main").unwrap(), 1);
        m.push_retry("main", &rules()).unwrap();
    });
    assert!(Reader::open(&c.path).unwrap().is_shallow());
    assert_eq!(lacking(&c), lacked + 1, "the new content of a file outside of the set stays away too");
    has(&c.path, &["AGENTS.md", "data/x/1.json", "data/x/2.json", "docs/a.md", "docs/deep/b.md"]);
    assert_eq!(c.status(), "");
    assert_eq!(s.sh(&bare, &["rev-list", "--count", "main"]), "4");
    assert_eq!(s.sh(&bare, &["show", "main:data/x/2.json"]), "{\"own\":1}");
    assert_eq!(s.sh(&bare, &["ls-tree", "-r", "--name-only", "main"]).lines().count(), FILES.len());
    // And behind only.
    s.push_elsewhere(&bare, |w| write(&w.join("docs/a.md"), "again\n"));
    assert_eq!(c.pull().how, How::FastForward);
    assert_eq!(c.read("docs/a.md"), "again\n");
}

#[test]
fn a_conflict_of_commits_is_decided_with_contents_that_were_not_here() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    s.push_elsewhere(&bare, |w| write(&w.join("data/x/1.json"), "{\"theirs\":1}\n"));
    // Outside of the set, so neither base nor their version is here.
    let blob = c.sh(&["hash-object", "-w", "AGENTS.md"]);
    c.sh(&["update-index", "--cacheinfo", &format!("100644,{blob},data/x/1.json")]);
    c.sh(&["update-index", "--skip-worktree", "data/x/1.json"]);
    c.sh(&["commit", "-qm", "own"]);
    c.with(|m| {
        m.fetch("main").unwrap();
        let got = m.integrate("main", &rules()).unwrap();
        assert_eq!(got.how, How::Replayed { auto_resolved: vec!["data/x/1.json".into()] });
        m.push_retry("main", &rules()).unwrap();
    });
    assert_eq!(s.sh(&bare, &["show", "main:data/x/1.json"]), "agents");
}

#[test]
fn cut_off_history_is_fetched_where_branches_seem_to_have_nothing_in_common() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let (c, _) = made(&s, bare.to_str().unwrap(), "c");
    c.write("docs/own.md", "own\n");
    c.with(|m| m.commit(&[Path::new("docs/own.md")], "own").unwrap().unwrap());
    // Another branch from below where our history ends becomes the one that is kept in sync.
    let other = s.at("w");
    s.sh(&s.at(""), &["clone", "-q", bare.to_str().unwrap(), "w"]);
    s.sh(&other, &["checkout", "-q", "-b", "side", "HEAD~1"]);
    s.commit(&other, &[("docs/side.md", "side\n")], "side");
    s.sh(&other, &["push", "-q", "origin", "side"]);
    c.sh(&["checkout", "-q", "-b", "side"]);
    c.with(|m| {
        m.fetch("side").unwrap();
        let got = m.integrate("side", &rules()).unwrap();
        assert!(matches!(got.how, How::Replayed { .. }), "{got:?}");
    });
    assert!(!Reader::open(&c.path).unwrap().is_shallow());
    assert_eq!((c.read("docs/side.md"), c.read("docs/own.md")), ("side\n".into(), "own\n".into()));
}

#[test]
fn dirty_files_are_rescued_where_contents_are_missing() {
    let s = Sandbox::new();
    let lines = |first: &str, last: &str| format!("{first}\n2\n3\n4\n5\n6\n7\n8\n{last}\n");
    let bare = remote(&s, "r", true);
    s.push_elsewhere(&bare, |w| write(&w.join("raw/long"), &lines("1", "9")));
    for diverged in [false, true] {
        let name = format!("c{diverged}");
        let c = made_with(&s, bare.to_str().unwrap(), &name, cone(&["docs"]));
        // A file outside of the set, changed by somebody who did not ask for the rest of its directory.
        c.write("raw/long", &lines("mine", "9"));
        c.write("docs/a.md", "mine\n");
        let status = c.status();
        assert!(status.contains(" M raw/long"), "{status}");
        s.push_elsewhere(&bare, |w| {
            write(&w.join("raw/long"), &lines("1", &format!("theirs {diverged}")));
            write(&w.join("docs/a.md"), &format!("theirs {diverged}\n"));
        });
        if diverged {
            c.write("docs/own.md", "own\n");
            c.with(|m| m.commit(&[Path::new("docs/own.md")], "own").unwrap().unwrap());
        }
        let got = c.pull();
        let rescued = got.rescued.unwrap();
        assert_eq!(c.read("raw/long"), lines("mine", &format!("theirs {diverged}")));
        assert_eq!(rescued.conflicts, [PathBuf::from("docs/a.md")]);
        assert_eq!(fs::read_to_string(c.path.join(&rescued.copies[0])).unwrap(), "mine\n");
        assert_eq!(c.read("docs/a.md"), format!("theirs {diverged}\n"));
        assert_eq!(c.status(), " M raw/long");
        s.push_elsewhere(&bare, |w| {
            write(&w.join("raw/long"), &lines("1", "9"));
        });
    }
}

#[test]
fn kill_in_the_middle_of_a_pull_of_a_partial_clone_loses_nothing() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let text = |n: u32, f: usize| format!("{n} {f}\n").repeat(300);
    let push = |n: u32| {
        s.push_elsewhere(&bare, |w| {
            for f in 0..60 {
                write(&w.join(format!("docs/f{f}")), &text(n, f));
                write(&w.join(format!("raw/f{f}")), &format!("raw {}", text(n, f)));
            }
            let (new, old) = (n.to_string(), n.wrapping_sub(1).to_string());
            write(&w.join("docs").join(&new), "comes and goes\n");
            write(&w.join("raw").join(&new), "comes and goes\n");
            let _ = fs::remove_file(w.join("docs").join(&old));
            let _ = fs::remove_file(w.join("raw").join(old));
        })
    };
    push(0);
    let run = |c: &Cloned<'_>| in_role("pull", &s, &[c.lock.to_str().unwrap(), c.path.to_str().unwrap()]);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    push(1);
    let start = SystemClock.now().mono;
    assert!(run(&c).wait().unwrap().success());
    let whole = SystemClock.now().mono - start;
    let lacked = lacking(&c);
    for (n, at) in moments(7, whole) {
        c.write("AGENTS.md", &format!("dirty {n}\n"));
        if n % 2 == 0 {
            c.write("docs/own", &format!("own {n}\n"));
            c.with(|m| m.commit(&[Path::new("docs/own")], "own").unwrap().unwrap());
        }
        let tip = push(n + 2);
        let mut child = run(&c);
        pause(at);
        child.kill().unwrap();
        child.wait().unwrap();
        c.with(|_| ());
        assert_eq!(c.status(), " M AGENTS.md", "moment {n}");
        c.pull();
        assert_eq!(c.status(), " M AGENTS.md", "moment {n}");
        assert_eq!(c.read("docs/f7"), text(n + 2, 7), "moment {n}");
        assert!(s.try_sh(&c.path, &["merge-base", "--is-ancestor", &tip, "HEAD"]).0);
        assert!(!c.path.join("raw").exists(), "moment {n}");
        if n % 2 == 0 {
            assert_eq!(c.read("docs/own"), format!("own {n}\n"));
            c.with(|m| m.push_retry("main", &rules()).unwrap());
        }
    }
    assert!(lacking(&c) > lacked);
    assert_eq!(c.sh(&["ls-files", "-t", "raw"]).lines().filter(|l| !l.starts_with("S ")).count(), 0);
}

/// What must not change when nothing could be fetched: files, HEAD, index as seen, set.
fn state(c: &Cloned<'_>) -> (BTreeSet<String>, String, String, String) {
    let set = fs::read_to_string(c.path.join(".git/info/sparse-checkout")).unwrap();
    (files(&c.path), c.sh(&["rev-parse", "HEAD"]), c.status(), set)
}

/// Runs `work` without the network and again with it.
fn without_and_with(
    clone: impl Fn(&Sandbox, &str) -> PathBuf,
    prepare: impl Fn(&Sandbox, &Cloned<'_>, &Path),
    work: impl Fn(&mut ManagedClone<'_>) -> Result<(), GitError>,
) {
    let s = Sandbox::new();
    let bare = clone(&s, "r");
    let env = TestEnv::new();
    let mut server = GitServer::start(&env, &s.at(""));
    let c = made_with(&s, &server.url("r.git"), "c", cone(&["docs"]));
    prepare(&s, &c, &bare);
    c.with(|m| m.fetch("main").unwrap());
    let before = state(&c);
    server.down();
    let e = c.with(|m| work(m).unwrap_err());
    assert_eq!(e.class(), Class::Network, "{e}");
    c.with(|m| assert!(m.recovered().is_empty()));
    assert_eq!(state(&c), before);
    assert!(!c.path.join(".git/rebase-merge").exists());
    server.up();
    c.with(|m| work(m).unwrap());
    assert_ne!(state(&c), before);
}

fn integrate(m: &mut ManagedClone<'_>) -> Result<(), GitError> {
    m.integrate("main", &rules()).map(drop)
}

/// Removes one file and changes others, so that a checkout begins before it needs contents.
fn change_docs(s: &Sandbox, bare: &Path) {
    s.push_elsewhere(bare, |w| {
        fs::remove_file(w.join("docs/a.md")).unwrap();
        write(&w.join("docs/deep/b.md"), "theirs\n");
        write(&w.join("docs/new.md"), "new\n");
        write(&w.join("raw/big.bin"), "theirs\n");
        fs::remove_file(w.join("data/y/2.json")).unwrap();
    });
}

#[test]
fn a_fast_forward_that_cannot_fetch_changes_nothing() {
    without_and_with(|s, n| remote(s, n, true), |s, _, bare| change_docs(s, bare), integrate);
}

#[test]
fn a_rebase_that_cannot_fetch_changes_nothing() {
    let own = |s: &Sandbox, c: &Cloned<'_>, bare: &Path| {
        change_docs(s, bare);
        c.write("docs/own.md", "own\n");
        c.with(|m| m.commit(&[Path::new("docs/own.md")], "own").unwrap().unwrap());
    };
    without_and_with(|s, n| remote(s, n, true), own, integrate);
}

#[test]
fn a_rescue_that_cannot_fetch_changes_nothing() {
    for diverged in [false, true] {
        let dirty = |s: &Sandbox, c: &Cloned<'_>, bare: &Path| {
            change_docs(s, bare);
            if diverged {
                c.write("docs/own.md", "own\n");
                c.with(|m| m.commit(&[Path::new("docs/own.md")], "own").unwrap().unwrap());
            }
            c.write("docs/deep/b.md", "mine\n");
            c.write("raw/big.bin", "mine\n");
        };
        without_and_with(|s, n| remote(s, n, true), dirty, integrate);
    }
}

#[test]
fn a_set_that_cannot_be_fetched_changes_nothing() {
    without_and_with(
        |s, n| remote(s, n, true),
        |_, c, _| c.write("AGENTS.md", "dirty\n"),
        |m| m.set_sparse(&cone(&["raw", "data"])).map(drop),
    );
}

#[test]
fn missing_contents_are_fetched_in_one_go() {
    let mut s = Sandbox::new();
    let log = s.count_git();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    let missing: Vec<git2::Oid> = c
        .sh(&["rev-list", "--objects", "--missing=print", "HEAD"])
        .lines()
        .filter_map(|l| l.strip_prefix('?')?.parse().ok())
        .collect();
    assert!(missing.len() > 2);
    fs::write(&log, "").unwrap();
    assert_eq!(c.with(|m| m.ensure_objects(&missing).unwrap()), missing.len());
    assert_eq!(c.with(|m| m.ensure_objects(&missing).unwrap()), 0);
    assert_eq!(fs::read_to_string(&log).unwrap().lines().filter(|l| l.contains("fetch")).count(), 1);
    assert_eq!(lacking(&c), 0);
    assert!(!c.path.join(".git/FETCH_HEAD").exists());
}

#[test]
fn a_commit_fetches_nothing() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    let lacked = lacking(&c);
    fs::rename(&bare, s.at("away")).unwrap();
    c.write("docs/new.md", "new\n");
    c.write("data/new.json", "{}x");
    let e = c.with(|m| m.commit(&[Path::new("data")], "bad").unwrap_err());
    assert!(matches!(e, GitError::BadJson { .. }), "{e}");
    c.write("data/new.json", "{\"a\":2}\n");
    let id = c.with(|m| m.commit(&[Path::new("data"), Path::new("docs")], "own").unwrap().unwrap());
    let changed = c.sh(&["diff-tree", "--no-commit-id", "-r", "--name-only", &id.to_string()]);
    assert_eq!(changed, "data/new.json\ndocs/new.md");
    assert_eq!((c.status().as_str(), lacking(&c)), ("", lacked));
    fs::rename(s.at("away"), &bare).unwrap();
    c.with(|m| m.push_retry("main", &rules()).unwrap());
    assert_eq!(s.sh(&bare, &["rev-parse", "main"]), id.to_string());
}

#[test]
fn a_clone_that_an_older_git_calls_partial_is_read_too() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let (c, _) = made(&s, bare.to_str().unwrap(), "c");
    c.sh(&["config", "--unset", "remote.origin.promisor"]);
    c.sh(&["config", "extensions.partialClone", "origin"]);
    assert!(matches!(verify(&c.path), Verdict::Sound(_)));
    assert!(Reader::open(&c.path).unwrap().is_partial());
    s.push_elsewhere(&bare, |w| write(&w.join("docs/a.md"), "theirs\n"));
    c.pull();
    assert_eq!(c.read("docs/a.md"), "theirs\n");
}

// ---- upkeep ----

#[test]
fn syn_13_upkeep_makes_a_clone_small_and_loses_nothing() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let (c, _) = made(&s, bare.to_str().unwrap(), "c");
    c.write("docs/a.md", "dirty\n");
    s.push_elsewhere(&bare, |w| write(&w.join("docs/a.md"), "theirs\n"));
    let rescue = c.pull().rescued.unwrap().reference;
    for n in 0..40 {
        c.write("docs/own.md", &format!("own {n}\n"));
        c.with(|m| m.commit(&[Path::new("docs/own.md")], "own").unwrap().unwrap());
    }
    // Nothing refers to this one, but it is young.
    c.write("loose", "loose\n");
    let young = c.sh(&["hash-object", "-w", "loose"]);
    let (lacked, head) = (lacking(&c), c.sh(&["rev-parse", "HEAD"]));
    fs::rename(&bare, s.at("away")).unwrap();
    let before = disk_size(&c.path);
    c.with(|m| m.maintain().unwrap());
    assert!(disk_size(&c.path) < before, "{before}");
    assert_eq!(c.sh(&["show", &format!("{rescue}:docs/a.md")]), "dirty");
    assert_eq!(c.sh(&["cat-file", "-p", &young]), "loose");
    assert_eq!((lacking(&c), c.sh(&["rev-parse", "HEAD"])), (lacked, head));
    let packs: Vec<_> = fs::read_dir(c.path.join(".git/objects/pack")).unwrap().flatten().collect();
    assert!(packs.iter().any(|p| p.path().extension().is_some_and(|e| e == "promisor")));
    fs::rename(s.at("away"), &bare).unwrap();
    c.with(|m| m.push_retry("main", &rules()).unwrap());
    assert!(c.with(|m| m.deepen().unwrap()));
    assert_eq!(c.status(), "?? loose");
}

#[test]
fn syn_13_killed_upkeep_loses_nothing() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", cone(&["docs"]));
    let run = || in_role("maintain", &s, &[c.lock.to_str().unwrap(), c.path.to_str().unwrap()]);
    let start = SystemClock.now().mono;
    assert!(run().wait().unwrap().success());
    let whole = SystemClock.now().mono - start;
    let mut blobs = Vec::new();
    for (n, at) in moments(6, whole) {
        c.write("docs/own.md", &format!("own {n}\n"));
        c.with(|m| m.commit(&[Path::new("docs/own.md")], "own").unwrap().unwrap());
        let rescue = format!("refs/ox/rescue/{}", 1_000_000_000 + n);
        c.sh(&["update-ref", &rescue, "HEAD"]);
        blobs.push(format!("{rescue}:docs/own.md"));
        let mut child = run();
        pause(at);
        child.kill().unwrap();
        child.wait().unwrap();
        c.with(|m| assert_eq!(m.sparse().unwrap(), cone(&["docs"])));
        for (i, blob) in blobs.iter().enumerate() {
            assert_eq!(c.sh(&["show", blob]), format!("own {i}"), "moment {n}");
        }
        assert_eq!(c.status(), "", "moment {n}");
    }
    c.with(|m| m.push_retry("main", &rules()).unwrap());
    c.with(|m| m.maintain().unwrap());
    assert_eq!(c.sh(&["fsck", "--connectivity-only", "--no-dangling"]), "");
}

// ---- credentials ----

#[test]
fn the_vendors_remotes_ask_our_helper_and_no_other() {
    let s = Sandbox::new();
    remote(&s, "r", true);
    let env = TestEnv::new();
    let server = GitServer::start(&env, &s.at(""));
    server.require_login("oauth2", "right");
    let url = server.url("r.git");
    let asked = s.at("asked");
    // The directory has a quote and a space, as a home may.
    let helper = s.script(
        "it's here/ox",
        &format!(
            "echo \"$1 $2 $OX_GIT_CREDENTIALS_FILE\" >> '{}'\n[ \"$2\" = get ] && printf 'username=oauth2\\npassword=right\\n'",
            asked.display()
        ),
    );
    s.configure(&format!("[credential]\n\thelper = !touch '{}'\n", s.at("users-helper-ran").display()));
    let path = std::env::var("PATH").unwrap();
    let vars = [("OX_GIT_CREDENTIALS_FILE", "/the/file"), ("HOME", "/nonexistent"), ("PATH", &path)];
    let clear = ox::git::Env::of(vars.map(|(n, v)| (n.into(), v.into())));
    let git = Git::new(Profile::Vendor, clear, std::sync::Arc::new(SystemClock), "box");
    let e = slim(&git, &url, &s.at("none"), &Cancel::new()).unwrap_err();
    assert_eq!(e.class(), Class::Auth, "{e}");
    let git = git.with_helper(&helper);
    let target = s.at("c");
    slim(&git, &url, &target, &Cancel::new()).unwrap();
    has(&target, TEAM);
    let lock = s.at("locks/c.lock");
    s.push_elsewhere(&s.at("r.git"), |w| write(&w.join("docs/a.md"), "theirs\n"));
    with_clone(&git, &lock, &target, |m| {
        m.fetch("main").unwrap();
        // The new content is fetched in the middle of the merge.
        m.integrate("main", &rules()).unwrap();
        assert!(m.set_helper().unwrap());
        assert!(m.set_helper().unwrap());
    });
    assert_eq!(fs::read_to_string(target.join("docs/a.md")).unwrap(), "theirs\n");
    let asked = fs::read_to_string(&asked).unwrap();
    assert!(asked.lines().any(|l| l == "git-credential-helper get /the/file"), "{asked}");
    assert!(!s.at("users-helper-ran").exists());
    let c = Cloned { sandbox: &s, path: target, lock };
    let site = url.strip_suffix("/r.git").unwrap();
    let said = c.sh(&["config", "--get-all", &format!("credential.{site}.helper")]);
    assert_eq!(
        said,
        format!("!'{}' git-credential-helper", helper.display().to_string().replace('\'', "'\\''"))
    );
    assert_eq!(
        (c.sh(&["config", "commit.gpgsign"]), c.sh(&["config", "tag.gpgsign"])),
        ("false".into(), "false".into())
    );
    // A plain git in the clone asks it too.
    fs::write(s.at("home/.gitconfig"), "").unwrap();
    c.sh(&["fetch", "-q"]);
    // It is the vendor's alone.
    with_clone(&s.git().with_helper(&helper), &c.lock, &c.path, |m| assert!(!m.set_helper().unwrap()));
}

#[test]
fn old_tokens_are_taken_out_of_a_clone() {
    let s = Sandbox::new();
    let c = s.clone(&s.remote("r", &[("a", "1\n")]), "c");
    let url = "https://oauth2:glpat-CANARY@git.example.org/t/r.git";
    c.sh(&["remote", "set-url", "origin", url]);
    c.sh(&[
        "config",
        "url.https://oauth2:glpat-CANARY@git.example.org/.insteadOf",
        "https://git.example.org/",
    ]);
    c.sh(&["config", "http.extraHeader", "Authorization: Basic b2F1dGgyOmdscGF0LUNBTkFSWQ=="]);
    c.write(".git/FETCH_HEAD", &format!("{}\t\tbranch 'main' of {url}\n", "1".repeat(40)));
    let log = c.path.join(".git/logs/refs/remotes/origin/main");
    let old = fs::read_to_string(&log).unwrap_or_default();
    write(&log, &format!("{old}{0} {0} T <t@e> 1 +0000\tfetch {url}: fast-forward\n", "1".repeat(40)));
    let bare = Reader::open(&c.path).unwrap().origin_url_bare().unwrap();
    assert_eq!((bare.url.as_str(), bare.had_token), ("https://git.example.org/t/r.git", true));
    assert!(c.with(|m| m.strip_credentials().unwrap()));
    assert!(!c.with(|m| m.strip_credentials().unwrap()));
    let left = c.path.join(".git");
    for file in files(&left) {
        let bytes = fs::read(left.join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("CANARY") && !text.contains("b2F1dGgyO"), "{file}: {text}");
    }
    assert!(
        fs::read_to_string(&log).unwrap().contains("fetch https://git.example.org/t/r.git: fast-forward")
    );
    assert_eq!(c.sh(&["remote", "get-url", "origin"]), "https://git.example.org/t/r.git");
    assert_eq!(c.sh(&["config", "pull.rebase"]), "true");
}

#[test]
fn a_change_of_equal_length_within_a_second_is_committed() {
    let s = Sandbox::new();
    let c = s.clone(&s.remote("r", &[("a", "one\n")]), "c");
    c.with(|m| {
        let second = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let date = |name: &str| {
            fs::File::options().write(true).open(m.path().join(name)).unwrap().set_modified(second).unwrap()
        };
        // The index knows the file as of a second, was written in it, and the file is changed in it once more.
        date("a");
        s.sh(m.path(), &["-c", "core.trustctime=false", "update-index", "--refresh"]);
        date(".git/index");
        write(&m.path().join("a"), "two\n");
        date("a");
        s.sh(m.path(), &["config", "core.trustctime", "false"]);
        assert!(m.commit(&[Path::new("a")], "two").unwrap().is_some());
    });
}

/// In a sparse clone git itself puts what it fetched over untracked files, and only warns.
#[test]
fn what_is_not_committed_in_a_sparse_clone_is_not_overwritten_by_a_pull() {
    for set in [cone(&["docs", "memory"]), patterns(&["/*", "!/*/", "/docs/", "/memory/"])] {
        for name in ["docs/new", "data/x/new", "data/y/2.json", "x.log"] {
            let s = Sandbox::new();
            let bare = remote(&s, "r", true);
            let c = made_with(&s, bare.to_str().unwrap(), "c", set.clone());
            write(&c.path.join(".git/info/exclude"), "*.log\n");
            write(&c.path.join(name), "mine\n");
            s.push_elsewhere(&bare, |w| {
                write(&w.join(name), "theirs\n");
                write(&w.join("memory/other"), "theirs\n");
            });
            c.pull();
            assert_eq!(c.read("memory/other"), "theirs\n");
            assert_eq!(c.sh(&["show", &format!("HEAD:{name}")]), "theirs");
            let rescued = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
            let kept = rescued.lines().any(|r| {
                let (there, text) = s.try_sh(&c.path, &["show", &format!("{r}:{name}")]);
                there && text.trim() == "mine"
            });
            assert!(kept, "{set:?}: {name} is lost: {:?}", files(&c.path));
        }
    }
}

#[test]
fn a_pull_of_one_commit_into_a_sparse_clone_costs_two_processes() {
    let mut s = Sandbox::new();
    let log = s.count_git();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", patterns(&["/*", "!/*/", "/docs/", "/memory/"]));
    s.push_elsewhere(&bare, |w| {
        write(&w.join("docs/a.md"), "theirs\n");
        write(&w.join("docs/new/one"), "theirs\n");
        write(&w.join("data/x/1.json"), "{\"theirs\":1}\n");
        fs::remove_file(w.join("memory/m.json")).unwrap();
    });
    fs::write(&log, "").unwrap();
    assert_eq!(c.pull().how, How::FastForward);
    let ours = fs::read_to_string(&log).unwrap();
    let by_us = ours.lines().filter(|l| l.starts_with("-C "));
    assert_eq!(by_us.count(), 2, "{ours}");
    has(&c.path, &["AGENTS.md", "docs/a.md", "docs/deep/b.md", "docs/new/one"]);
}

/// Edits, new files, links, directories in place of files and the other way round, staged or not: none is lost by a pull.
#[test]
fn whatever_lies_in_a_sparse_clone_survives_a_pull() {
    seed::with("git::partial::whatever_lies", seed::fresh(), random_pulls);
}

const PLACES: [&str; 11] = [
    "AGENTS.md",
    "docs/a.md",
    "docs/deep/b.md",
    "docs/deep",
    "docs/new",
    "memory/m.json",
    "memory",
    "data/x/1.json",
    "data/x/new",
    "data/x",
    "top",
];

fn random_pulls(seed: u64) {
    let mut rng = Rng::new(seed);
    for round in 0..rounds(8, 100) {
        let s = Sandbox::new();
        let bare = remote(&s, "r", true);
        let set =
            if rng.chance(50) { cone(&["docs", "memory"]) } else { patterns(&["/*", "!/*/", "/docs/"]) };
        let c = made_with(&s, bare.to_str().unwrap(), "c", set);
        for n in 0..1 + rng.below(3) {
            let staged = change(&c.path, &format!("mine-{round}-{n}\n"), &mut rng);
            if rng.chance(30) {
                s.try_sh(&c.path, &["add", "-A", "--sparse", "--", staged]);
            }
            if rng.chance(10) {
                fs::remove_file(c.path.join(staged)).ok();
            }
        }
        s.push_elsewhere(&bare, |w| {
            for n in 0..1 + rng.below(4) {
                change(w, &format!("theirs-{round}-{n}\n"), &mut rng);
            }
        });
        let (before, status) = (mine(&c), c.sh(&["status", "--short", "-uall"]));
        let pulled = c.try_pull();
        let after = mine(&c);
        assert!(pulled.is_ok(), "round {round}: {pulled:?}");
        let lost: Vec<&String> = before.difference(&after).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {before:?}, {pulled:?}, before:\n{status}");
    }
}

/// Puts a file, a link or nothing at one of the places.
fn change(work: &Path, text: &str, rng: &mut Rng) -> &'static str {
    let place = PLACES[usize::try_from(rng.below(PLACES.len() as u64)).unwrap()];
    let at = work.join(place);
    for above in at.ancestors().take_while(|a| *a != work) {
        if fs::symlink_metadata(above).is_ok_and(|m| !m.is_dir()) {
            fs::remove_file(above).unwrap();
        }
    }
    if at.is_dir() {
        fs::remove_dir_all(&at).unwrap();
    }
    match rng.below(10) {
        0..8 => write(&at, text),
        8 => {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(text.trim(), &at).unwrap();
        }
        _ => {}
    }
    place
}

/// What anybody can still find: on disk, in the index, in a rescue ref.
fn mine(c: &Cloned<'_>) -> BTreeSet<String> {
    let mut text = c.sh(&["diff", "--cached"]) + "\n";
    for file in files(&c.path) {
        let full = c.path.join(file);
        text += &match fs::read_link(&full) {
            Ok(target) => target.to_str().unwrap().to_owned(),
            Err(_) => fs::read_to_string(&full).unwrap(),
        };
        text.push('\n');
    }
    let refs = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
    for commit in refs.lines().flat_map(|r| [r.to_owned(), format!("{r}^2")]) {
        text += &c.sandbox.try_sh(&c.path, &["show", "-m", "--format=", &commit]).1;
        text.push('\n');
    }
    text.split_whitespace()
        .map(|w| w.trim_start_matches('+').to_owned())
        .filter(|w| w.starts_with("mine-"))
        .collect()
}

/// A staged link in place of a directory that is outside of the set: the index still has what lies below that.
#[test]
fn a_pull_goes_on_where_something_staged_is_in_place_of_a_directory_outside_of_the_set() {
    for link in [false, true] {
        let s = Sandbox::new();
        let bare = remote(&s, "r", true);
        let c = made_with(&s, bare.to_str().unwrap(), "c", patterns(&["/*", "!/*/", "/docs/"]));
        if link {
            fs::create_dir(c.path.join("data")).unwrap();
            std::os::unix::fs::symlink("mine", c.path.join("data/x")).unwrap();
        } else {
            c.write("data/x", "mine\n");
        }
        s.sh(&c.path, &["add", "--sparse", "data/x"]);
        s.push_elsewhere(&bare, |w| write(&w.join("data/x/1.json"), "{\"theirs\":1}\n"));
        c.pull();
        assert_eq!(c.sh(&["rev-parse", "HEAD"]), c.sh(&["rev-parse", "origin/main"]));
        let refs = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox"]);
        assert_eq!(refs.lines().count(), 1, "{refs}");
        assert_eq!(s.sh(&c.path, &["show", &format!("{refs}:data/x")]), "mine");
    }
}

/// As after a seed, or a copy: what lies on disk is what the index has, but at a time that it has not seen.
#[test]
fn a_file_that_the_index_has_not_looked_at_leaves_with_its_set() {
    let s = Sandbox::new();
    let bare = remote(&s, "r", true);
    let c = made_with(&s, bare.to_str().unwrap(), "c", patterns(&["/*", "!/*/", "/docs/", "/memory/"]));
    for file in files(&c.path) {
        let file = fs::File::open(c.path.join(file)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }
    assert!(c.with(|m| m.set_sparse(&patterns(&["/*", "!/*/", "/memory/"])).unwrap()));
    has(&c.path, &["AGENTS.md", "memory/m.json"]);
    assert_eq!(c.status(), "");
}
