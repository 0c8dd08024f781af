//! People who work on in a clone while a rebase of ours, whose process was killed, stands half done.

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

#[test]
fn an_edit_made_meanwhile_is_put_back() {
    for conflict in [true, false] {
        let s = Sandbox::new();
        let (c, head) = halted(&s, conflict);
        c.write("notes/b", "1\n2\n3\n4\nwritten meanwhile\n");
        c.with(|_| ());
        assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
        assert_eq!(c.read("notes/b"), "1\n2\n3\n4\nwritten meanwhile\n", "{conflict}");
        assert_eq!(c.status(), " M notes/b");
        assert_eq!(c.sh(&["for-each-ref", "refs/ox/pending"]), "");
    }
}

#[test]
fn what_was_staged_meanwhile_is_put_back() {
    for conflict in [true, false] {
        let s = Sandbox::new();
        let (c, head) = halted(&s, conflict);
        c.write("notes/b", "1\n2\n3\n4\nstaged meanwhile\n");
        c.write("notes/c", "new meanwhile\n");
        c.sh(&["add", "notes/b", "notes/c"]);
        c.with(|_| ());
        assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
        assert_eq!(c.read("notes/b"), "1\n2\n3\n4\nstaged meanwhile\n", "{conflict}");
        assert_eq!(c.read("notes/c"), "new meanwhile\n", "{conflict}");
    }
}

/// In a sparse clone git removes the file of what is staged outside of the set at the next change.
#[test]
fn what_only_the_index_has_is_put_back() {
    for conflict in [true, false] {
        let s = Sandbox::new();
        let (c, head) = halted(&s, conflict);
        c.write("outside/c", "staged meanwhile\n");
        c.sh(&["add", "outside/c"]);
        fs::remove_dir_all(c.path.join("outside")).unwrap();
        c.sh(&["update-index", "--skip-worktree", "outside/c"]);
        c.with(|_| ());
        assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
        assert_eq!(c.read("outside/c"), "staged meanwhile\n", "{conflict}");
    }
}

/// A file that an own commit adds and a later one removes is staged while the first is replayed.
#[test]
fn what_the_replay_itself_has_staged_does_not_come_back() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("notes/a", "base\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("notes/a", "mine\n"), ("notes/passing", "p\n")], "first");
    fs::remove_file(c.path.join("notes/passing")).unwrap();
    let head = s.commit(&c.path, &[("notes/own", "own\n")], "second");
    let target = s.push_elsewhere(&remote, |w| write(&w.join("notes/a"), "theirs\n"));
    c.sh(&["fetch", "-q"]);
    let op = format!(
        r#"{{"op":{{"kind":"rebase","head":"{head}","branch":"main","target":"{target}","started":"{}"}}}}"#,
        jiff::Timestamp::now()
    );
    write(&c.lock, &op);
    assert!(!s.try_sh(&c.path, &["rebase", "-q", "origin/main"]).0);
    assert_eq!(c.sh(&["diff", "--cached", "--name-only", "--diff-filter=A"]), "notes/passing");
    c.with(|_| ());
    assert_eq!((c.sh(&["rev-parse", "HEAD"]), c.status()), (head, String::new()));
    assert_eq!(rescued(&c), "");
}

#[test]
fn a_line_added_to_a_file_in_conflict_is_in_a_rescue_ref() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    let mixture = c.read("notes/a");
    c.write("notes/a", &format!("{mixture}written meanwhile\n"));
    c.with(|_| ());
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    assert_eq!(c.read("notes/a"), "mine\n");
    assert_eq!(c.status(), "");
    assert!(rescued(&c).contains("written meanwhile"), "{}", rescued(&c));
}

/// A resolution that was killed has told the index which side it takes, and the file still shows both, with somebody's edit.
#[test]
fn markers_do_not_come_back_with_an_edit_after_a_killed_resolution() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    let mixture = c.read("notes/a");
    assert!(mixture.contains("<<<<<<< "), "{mixture}");
    c.write("notes/a", &format!("{mixture}written meanwhile\n"));
    let theirs = c.sh(&["rev-parse", "origin/main:notes/a"]);
    c.sh(&["update-index", "--cacheinfo", &format!("100644,{theirs},notes/a")]);
    assert_eq!(c.sh(&["ls-files", "-u"]), "");
    c.with(|_| ());
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    assert_eq!((c.read("notes/a").as_str(), c.status().as_str()), ("mine\n", ""));
    assert!(rescued(&c).contains("written meanwhile"), "{}", rescued(&c));
}

/// Between our look at HEAD and git's somebody commits: the rebase sets out from that, and is ours all the same.
#[test]
fn a_rebase_that_took_a_commit_of_the_last_moment_along_is_taken_back() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    let before = c.sh(&["rev-parse", &format!("{head}~1")]);
    write(&c.lock, &fs::read_to_string(&c.lock).unwrap().replace(&head, &before));
    c.with(|_| ());
    assert!(!c.path.join(".git/rebase-merge").exists());
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    assert_eq!(c.sh(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!((c.read("notes/a").as_str(), c.status().as_str()), ("mine\n", ""));
}

/// Any git command may have written the index since.
#[test]
fn a_file_in_conflict_that_was_written_anew_is_in_a_rescue_ref() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, true);
    c.write("notes/a", "written anew\n");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::open(c.path.join(".git/index")).unwrap().set_modified(later).unwrap();
    c.with(|_| ());
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    assert_eq!(c.read("notes/a"), "mine\n");
    assert!(rescued(&c).contains("written anew"), "{}", rescued(&c));
}

#[test]
fn a_commit_made_meanwhile_is_in_a_rescue_ref() {
    let s = Sandbox::new();
    let (c, head) = halted(&s, false);
    s.commit(&c.path, &[("notes/c", "committed meanwhile\n")], "meanwhile");
    c.with(|_| ());
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    assert!(rescued(&c).contains("committed meanwhile"), "{}", rescued(&c));
}

/// The last moment is after we looked at HEAD and before git moved it; or git's own notes about the rebase are not there yet.
#[test]
fn a_commit_made_at_the_last_moment_is_in_a_rescue_ref() {
    let taken_back: [fn(&Cloned<'_>); 4] = [
        |c| drop(c.sh(&["rebase", "--abort"])),
        |c| fs::write(c.path.join(".git/rebase-merge/head-name"), "").unwrap(),
        |c| fs::remove_dir_all(c.path.join(".git/rebase-merge")).unwrap(),
        |c| {
            fs::remove_dir_all(c.path.join(".git/rebase-merge")).unwrap();
            c.sh(&["symbolic-ref", "HEAD", "refs/heads/main"]);
        },
    ];
    for (n, taken_back) in taken_back.into_iter().enumerate() {
        let s = Sandbox::new();
        let (c, head) = halted(&s, false);
        s.commit(&c.path, &[("notes/c", "one\n")], "meanwhile");
        s.commit(&c.path, &[("notes/d", "two\n")], "meanwhile, again");
        taken_back(&c);
        c.with(|_| ());
        assert_eq!(c.sh(&["rev-parse", "HEAD"]), head, "{n}");
        let refs = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
        assert_eq!(refs.lines().count(), 1, "{n}: {refs}");
        assert_eq!(c.sh(&["show", &format!("{refs}:notes/c")]), "one", "{n}");
        assert_eq!(c.sh(&["show", &format!("{refs}:notes/d")]), "two", "{n}");
    }
}

#[test]
fn a_rebase_that_nobody_touched_leaves_no_rescue() {
    for conflict in [true, false] {
        let s = Sandbox::new();
        let (c, head) = halted(&s, conflict);
        c.with(|_| ());
        assert_eq!((c.sh(&["rev-parse", "HEAD"]), c.status()), (head, String::new()));
        assert_eq!(rescued(&c), "", "{conflict}");
        assert!(!fs::exists(c.path.join(".git/rebase-merge")).unwrap());
        // What is left to do is what was left before.
        assert_eq!(c.with(|clone| clone.integrate("main", &rules()).is_ok()), !conflict);
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
