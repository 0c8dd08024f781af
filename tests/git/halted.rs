//! What a killed process left half done in a clone: a rebase, as older versions had them, and a fast-forward.

use std::fs;

use crate::support::git::{Cloned, Sandbox, rules, write};

/// A clone with own commits whose rebase was killed: where it stopped for a conflict, or between two commits.
fn halted<'s>(s: &'s Sandbox, conflict: bool) -> (Cloned<'s>, String) {
    let remote = s.remote("r", &[("notes/a", "base\n"), ("notes/b", "1\n2\n3\n4\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("notes/own", "own\n")], "own");
    let own = if conflict { "mine\n" } else { "base\n" };
    let head = s.commit(&c.path, &[("notes/a", own), ("notes/own2", "own\n")], "second");
    let target = s.push_elsewhere(&remote, |w| {
        write(&w.join("notes/a"), "theirs\n");
        write(&w.join("notes/new"), "new\n");
    });
    c.sh(&["fetch", "-q"]);
    let op = format!(
        r#"{{"op":{{"kind":"rebase","head":"{head}","branch":"main","target":"{target}","started":"{}"}}}}"#,
        jiff::Timestamp::now()
    );
    write(&c.lock, &op);
    if conflict {
        assert!(!s.try_sh(&c.path, &["rebase", "-q", "origin/main"]).0);
    } else {
        let stop = ["-c", "sequence.editor=echo break >", "rebase", "-q", "-i", "origin/main"];
        s.try_sh(&c.path, &stop);
    }
    assert!(c.path.join(".git/rebase-merge").is_dir());
    (c, head)
}

fn rescued(c: &Cloned<'_>) -> String {
    let refs = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
    let logs = refs.lines().map(|r| c.sh(&["log", "-p", "--format=%s", &format!("{r}~1..{r}")]));
    logs.collect::<Vec<_>>().join("\n")
}

/// The clone is where it was before the rebase, and all of `kept` is in rescue refs.
#[track_caller]
fn check_aborted(c: &Cloned<'_>, head: &str, kept: &[&str]) {
    c.with(|_| ());
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    assert_eq!(c.sh(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(c.status(), "");
    assert!(!c.path.join(".git/rebase-merge").exists());
    let rescued = rescued(c);
    for text in kept {
        assert!(rescued.contains(text), "{text}: {rescued}");
    }
}

#[test]
fn a_rebase_of_an_older_version_is_aborted_and_what_lay_there_is_kept() {
    for conflict in [true, false] {
        let s = Sandbox::new();
        let (c, head) = halted(&s, conflict);
        c.write("notes/b", "1\n2\n3\n4\nwritten meanwhile\n");
        c.write("notes/c", "staged meanwhile\n");
        c.sh(&["add", "notes/c"]);
        check_aborted(&c, &head, &["written meanwhile", "staged meanwhile"]);
        // What is left to do is what was left before.
        assert_eq!(c.with(|clone| clone.integrate("main", &rules()).is_ok()), !conflict);
    }
}

#[test]
fn an_edit_of_a_file_in_conflict_is_kept() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    let mixture = c.read("notes/a");
    c.write("notes/a", &format!("{mixture}written meanwhile\n"));
    check_aborted(&c, &head, &["written meanwhile"]);
    assert_eq!(c.read("notes/a"), "mine\n");
}

#[test]
fn a_commit_made_during_a_rebase_of_an_older_version_is_kept() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, false);
    s.commit(&c.path, &[("notes/c", "committed meanwhile\n")], "meanwhile");
    check_aborted(&c, &head, &["committed meanwhile"]);
}

#[test]
fn what_only_lies_there_or_is_only_staged_is_kept_and_not_in_the_way() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    c.sh(&["rm", "-q", "--cached", "notes/own2"]);
    c.write("notes/own2", "untracked meanwhile\n");
    c.write("notes/b", "staged meanwhile\n");
    c.sh(&["add", "notes/b"]);
    c.write("notes/b", "1\n2\n3\n4\n");
    check_aborted(&c, &head, &["untracked meanwhile", "staged meanwhile"]);
    assert_eq!(c.read("notes/own2"), "own\n");
}

/// Between our look at HEAD and git's somebody commits: the rebase sets out from that, and is ours all the same.
#[test]
fn a_rebase_that_took_a_commit_of_the_last_moment_along_is_aborted() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    let before = c.sh(&["rev-parse", &format!("{head}~1")]);
    write(&c.lock, &fs::read_to_string(&c.lock).unwrap().replace(&head, &before));
    check_aborted(&c, &head, &[]);
    assert_eq!(c.read("notes/a"), "mine\n");
}

#[test]
fn a_rebase_that_was_just_being_set_up_is_taken_away() {
    for gone in [false, true] {
        let s = Sandbox::new();
        let (c, head) = halted(&s, false);
        c.sh(&["checkout", "-q", &head]);
        match gone {
            true => fs::remove_dir_all(c.path.join(".git/rebase-merge")).unwrap(),
            false => fs::write(c.path.join(".git/rebase-merge/head-name"), "").unwrap(),
        }
        check_aborted(&c, &head, &[]);
    }
}

#[test]
fn a_commit_is_not_skipped_because_an_untracked_file_is_in_the_way() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("notes/a", "base\n")]);
    let c = s.clone(&remote, "c");
    let added = s.commit(&c.path, &[("notes/x", "first\n")], "add");
    c.sh(&["rm", "-q", "notes/x"]);
    c.sh(&["commit", "-q", "-m", "remove"]);
    c.write("notes/x", "untracked\n");
    s.push_elsewhere(&remote, |w| write(&w.join("notes/b"), "b\n"));
    c.pull();
    assert_eq!(c.read("notes/x"), "untracked\n");
    assert_eq!(c.sh(&["log", "--format=%s", "-2"]), "remove\nadd");
    assert_ne!(c.sh(&["rev-parse", "HEAD~1"]), added);
}

/// Between taking the old file away and writing the new one a killed checkout leaves none.
#[test]
fn a_file_that_a_killed_fast_forward_had_taken_away_is_put_back() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("notes/a", "base\n"), ("notes/b", "base\n"), ("notes/c", "base\n")]);
    let c = s.clone(&remote, "c");
    let head = c.sh(&["rev-parse", "HEAD"]);
    let target = s.push_elsewhere(&remote, |w| {
        write(&w.join("notes/a"), "theirs\n");
        write(&w.join("notes/b"), "theirs\n");
    });
    c.sh(&["fetch", "-q"]);
    let op = format!(
        r#"{{"op":{{"kind":"fast-forward","head":"{head}","branch":"main","target":"{target}","started":"{}"}}}}"#,
        jiff::Timestamp::now()
    );
    write(&c.lock, &op);
    c.write("notes/a", "theirs\n");
    fs::remove_file(c.path.join("notes/b")).unwrap();
    fs::remove_file(c.path.join("notes/c")).unwrap();
    c.with(|_| ());
    // What the remote did not change was somebody else's doing.
    assert_eq!(c.status(), " D notes/c");
    assert_eq!((c.read("notes/a"), c.read("notes/b")), ("base\n".to_owned(), "base\n".to_owned()));
}
