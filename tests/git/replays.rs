//! Own commits replayed on the remote's: what they keep, merges among them, and what is no rename.

use ox::kit::clock::{Clock as _, SystemClock};

use super::{in_role, moments, pause};
use crate::support::git::{Sandbox, rules, write};

/// A clone with a merge of its own that says more than its sides, and a remote that has moved.
fn with_own_merge(s: &Sandbox) -> crate::support::git::Cloned<'_> {
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    c.sh(&["checkout", "-q", "-b", "side"]);
    s.commit(&c.path, &[("side", "side\n")], "side");
    c.sh(&["checkout", "-q", "main"]);
    s.commit(&c.path, &[("own", "own\n")], "own");
    c.sh(&["merge", "-q", "--no-ff", "--no-commit", "side"]);
    s.commit(&c.path, &[("only-here", "only in the merge\n")], "merge");
    s.push_elsewhere(&remote, |work| write(&work.join("theirs"), "theirs\n"));
    c
}

#[test]
fn what_only_a_local_merge_says_is_replayed_with_it() {
    let s = Sandbox::new();
    let c = with_own_merge(&s);
    c.pull();
    for (file, text) in [("own", "own\n"), ("side", "side\n"), ("theirs", "theirs\n")] {
        assert_eq!(c.read(file), text);
    }
    assert_eq!(c.read("only-here"), "only in the merge\n");
    assert_eq!(c.sh(&["log", "--format=%s", "--topo-order", "origin/main.."]).lines().count(), 3);
    assert_eq!(c.sh(&["log", "--format=%s", "--merges", "origin/main.."]), "merge");
    assert_eq!((c.status().as_str(), c.sh(&["for-each-ref", "refs/ox"]).as_str()), ("", ""));
}

/// Who has settled a conflict in a merge of their own is not asked again because the remote moved once more before the push.
#[test]
fn a_conflict_that_a_person_has_settled_by_a_merge_stays_settled() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("notes", "base\n")]);
    let c = s.clone(&remote, "c");
    s.push_elsewhere(&remote, |w| write(&w.join("notes"), "theirs\n"));
    let own = s.commit(&c.path, &[("notes", "mine\n")], "mine");
    assert!(c.try_pull().is_err());
    assert!(!s.try_sh(&c.path, &["merge", "-q", "origin/main"]).0);
    s.commit(&c.path, &[("notes", "both\n")], "settled");
    s.push_elsewhere(&remote, |w| write(&w.join("more"), "more\n"));
    c.pull();
    assert_eq!((c.read("notes"), c.read("more")), ("both\n".into(), "more\n".into()));
    assert_eq!(c.status(), "");
    assert!(s.try_sh(&c.path, &["merge-base", "--is-ancestor", &own, "HEAD"]).0);
    assert_eq!(c.with(|m| m.push_retry("main", &rules()).unwrap().attempts), 1);
}

#[test]
fn what_replay_keeps_of_a_commit() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    c.write("own", "own\n");
    c.sh(&["add", "own"]);
    let message = "first line\n\n  indented, and a # sign\n\n\ntwo empty lines above\n";
    let author = "--author=Mira <mira@example.com>";
    c.sh(&["commit", "-q", "--cleanup=verbatim", author, "--date=1700000000 -0330", "-m", message]);
    c.sh(&["commit", "-q", "--allow-empty", "-m", "nothing in it, on purpose"]);
    s.push_elsewhere(&remote, |w| write(&w.join("b"), "b\n"));
    let of = |what: &str| c.sh(&["cat-file", "commit", what]);
    let part = |text: String| {
        let kept = |line: &&str| !["tree ", "parent ", "committer "].iter().any(|p| line.starts_with(p));
        text.lines().filter(kept).collect::<Vec<_>>().join("\n")
    };
    let before = (part(of("HEAD~1")), part(of("HEAD")));
    c.pull();
    assert_eq!((part(of("HEAD~1")), part(of("HEAD"))), before);
    assert_eq!(c.sh(&["rev-parse", "HEAD~2"]), c.sh(&["rev-parse", "origin/main"]));
    assert_eq!(c.sh(&["fsck", "--strict", "--no-dangling"]), "");
}

/// A change that the remote has already leaves nothing to say, and a commit that became empty goes.
#[test]
fn what_the_remote_has_already_is_not_said_again() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("a", "2\n")], "same");
    s.commit(&c.path, &[("b", "b\n")], "own");
    s.push_elsewhere(&remote, |w| write(&w.join("a"), "2\n"));
    c.pull();
    assert_eq!(c.sh(&["log", "--format=%s", "origin/main.."]), "own");
}

/// A file and a directory of one name: nobody's is written over, whichever side has which.
#[test]
fn a_file_that_meets_a_directory_is_a_conflict() {
    for (own, theirs) in [("n", "n/x"), ("n/x", "n"), ("data/n", "data/n/x"), ("data/n/x", "data/n")] {
        let s = Sandbox::new();
        let remote = s.remote("r", &[("a", "1\n")]);
        let c = s.clone(&remote, "c");
        let head = s.commit(&c.path, &[(own, "own\n")], "own");
        s.push_elsewhere(&remote, |w| write(&w.join(theirs), "theirs\n"));
        let e = c.try_pull().unwrap_err();
        assert!(e.to_string().contains(own), "{e}");
        assert_eq!((c.sh(&["rev-parse", "HEAD"]), c.read(own)), (head, "own\n".into()));
        assert_eq!(c.status(), "");
    }
}

#[test]
fn own_files_that_become_directories_and_links_are_replayed() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("n", "1\n"), ("d/x", "1\n"), ("l", "1\n")]);
    let c = s.clone(&remote, "c");
    for name in ["n", "d", "l"] {
        c.sh(&["rm", "-q", "-r", name]);
    }
    std::os::unix::fs::symlink("a", c.path.join("l")).unwrap();
    s.commit(&c.path, &[("n/x", "2\n"), ("d", "2\n")], "kinds");
    s.push_elsewhere(&remote, |w| write(&w.join("b"), "b\n"));
    c.pull();
    assert_eq!((c.read("n/x"), c.read("d")), ("2\n".into(), "2\n".into()));
    assert_eq!(std::fs::read_link(c.path.join("l")).unwrap().to_str(), Some("a"));
    assert_eq!((c.read("b"), c.status()), ("b\n".into(), String::new()));
}

#[test]
fn a_plain_replay_leaves_no_rescue_ref() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("own", "own\n")], "own");
    s.push_elsewhere(&remote, |work| write(&work.join("theirs"), "theirs\n"));
    c.pull();
    assert_eq!(c.sh(&["for-each-ref", "refs/ox/rescue"]), "");
}

/// Git sees in both renames one file that went to two places, whatever it is told about renames, and while that is open its old name
/// is git's.
#[test]
fn a_new_file_under_the_old_name_of_one_that_both_sides_renamed_stays() {
    for committed in [false, true] {
        let s = Sandbox::new();
        let text = "1\n2\n3\n4\n5\n6\n7\n8\n";
        let remote = s.remote("r", &[("notes/a", text), ("notes/z", "z\n")]);
        let c = s.clone(&remote, "c");
        c.sh(&["mv", "notes/a", "notes/mine"]);
        c.sh(&["commit", "-qm", "mine"]);
        s.push_elsewhere(&remote, |work| {
            std::fs::rename(work.join("notes/a"), work.join("notes/theirs")).unwrap();
        });
        c.write("notes/a", "something else\n");
        if committed {
            c.sh(&["add", "notes/a"]);
            c.sh(&["commit", "-qm", "something else"]);
        }
        let head = c.sh(&["rev-parse", "HEAD"]);
        let end = c.try_pull();
        assert_eq!(c.read("notes/a"), "something else\n", "{committed}: {end:?}");
        if end.is_err() {
            assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
            assert_eq!(c.status(), if committed { "" } else { "?? notes/a" });
        }
    }
}

/// Whenever a replay is killed: HEAD, index and files are those of before or of after, as soon as somebody has the lock, and until then
/// HEAD is on its branch and no conflict is marked in any file.
#[test]
fn killed_replays_leave_before_or_after() {
    let s = Sandbox::new();
    let names: Vec<String> = (0..40).map(|n| format!("f/{n}")).collect();
    let text = |first: &str, last: &str| format!("{first}\n{}{last}\n", "line\n".repeat(500));
    let base = text("1", "9");
    let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), base.as_str())).collect();
    let remote = s.remote("r", &files);
    let own = s.clone(&remote, "own");
    for n in 0..50 {
        s.commit(
            &own.path,
            &[(names[n % 40].as_str(), text(&format!("own {n}"), "9").as_str())],
            &format!("own {n}"),
        );
    }
    s.push_elsewhere(&remote, |w| names.iter().for_each(|n| write(&w.join(n), &text("1", "theirs"))));
    let at = |count: usize| {
        let c = s.clone(&remote, &format!("k{count}"));
        c.sh(&["fetch", "-q", own.path.to_str().unwrap(), "main"]);
        c.sh(&["reset", "-q", "--hard", &format!("FETCH_HEAD~{}", 50 - count)]);
        c
    };
    let pull = |c: &crate::support::git::Cloned<'_>| {
        in_role("pull", &s, &[c.lock.to_str().unwrap(), c.path.to_str().unwrap()])
    };
    let whole = {
        let c = at(50);
        let start = SystemClock.now().mono;
        assert!(pull(&c).wait().unwrap().success());
        let whole = SystemClock.now().mono - start;
        std::fs::remove_dir_all(&c.path).unwrap();
        whole
    };
    let mut ends = [0, 0];
    for (n, moment) in moments(6, whole) {
        let count = 1 + (n as usize * 7) % 50;
        let c = at(count);
        let before = c.sh(&["rev-parse", "HEAD"]);
        let mut child = pull(&c);
        pause(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(c.sh(&["symbolic-ref", "HEAD"]), "refs/heads/main", "moment {n}");
        assert!(!c.path.join(".git/rebase-merge").exists());
        assert!(
            names
                .iter()
                .all(|name| !std::fs::read_to_string(c.path.join(name)).is_ok_and(|t| t.contains("<<<<<<<")))
        );
        c.with(|_| ());
        assert_eq!(
            (c.status(), c.sh(&["for-each-ref", "refs/ox"])),
            (String::new(), String::new()),
            "moment {n}"
        );
        let is_before = c.sh(&["rev-parse", "HEAD"]) == before;
        ends[usize::from(is_before)] += 1;
        if !is_before {
            assert_eq!(c.sh(&["log", "--format=%s", "origin/main.."]).lines().count(), count);
        }
        c.pull();
        assert_eq!(c.read("f/0"), text(if count > 40 { "own 40" } else { "own 0" }, "theirs"), "moment {n}");
        assert_eq!((c.status(), c.sh(&["fsck", "--no-dangling"])), (String::new(), String::new()));
        std::fs::remove_dir_all(&c.path).unwrap();
    }
    println!("{} ended after, {} before", ends[0], ends[1]);
}

/// Who pulls by hand brings commits of the remote in by a merge. They are no change of that merge: what the remote takes back later stays
/// taken back.
#[test]
fn what_a_merge_of_the_remote_brought_in_is_not_brought_back() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("doc", "1\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("own", "own\n")], "own");
    s.push_elsewhere(&remote, |w| {
        write(&w.join("leaked"), "secret\n");
        write(&w.join("doc"), "2\n");
    });
    c.sh(&["pull", "-q", "--no-rebase", "--no-edit"]);
    s.push_elsewhere(&remote, |w| {
        std::fs::remove_file(w.join("leaked")).unwrap();
        write(&w.join("doc"), "1\n");
    });
    c.pull();
    assert_eq!((c.read("doc"), c.read("own")), ("1\n".into(), "own\n".into()));
    assert!(!c.path.join("leaked").exists());
    assert_eq!(c.status(), "");
}

/// A clone whose replay was killed when HEAD had come to the commit on the way, and the branch had not gone on; with the commit that it
/// was to go on to.
fn on_the_way<'s>(s: &'s Sandbox, remote: &std::path::Path) -> (crate::support::git::Cloned<'s>, String) {
    let c = s.clone(remote, "c");
    let head = s.commit(&c.path, &[("own", "own\n")], "own");
    s.push_elsewhere(remote, |w| {
        write(&w.join("leaked"), "secret\n");
        write(&w.join("doc"), "2\n");
    });
    c.sh(&["fetch", "-q"]);
    let tree = c.sh(&["merge-tree", "--write-tree", "HEAD", "origin/main"]);
    let tip = c.sh(&["commit-tree", "-p", "origin/main", "-m", "own", &tree]);
    let bridge = c.sh(&["commit-tree", "-p", &tip, "-p", &head, "-m", "on the way", &tree]);
    c.sh(&["merge", "-q", "--ff-only", &bridge]);
    let op = format!(
        r#"{{"op":{{"kind":"fast-forward","head":"{head}","branch":"main","target":"{bridge}","then":"{tip}","started":"{}"}}}}"#,
        jiff::Timestamp::now()
    );
    write(&c.lock, &op);
    (c, tip)
}

#[test]
fn a_replay_killed_at_its_last_step_is_finished() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("doc", "1\n")]);
    let (c, tip) = on_the_way(&s, &remote);
    c.with(|_| ());
    assert_eq!((c.sh(&["rev-parse", "HEAD"]), c.status()), (tip, String::new()));
    assert_eq!(c.sh(&["symbolic-ref", "HEAD"]), "refs/heads/main");
}

#[test]
fn a_commit_made_on_the_way_of_a_killed_replay_brings_nothing_back() {
    for amended in [false, true] {
        let s = Sandbox::new();
        let remote = s.remote("r", &[("doc", "1\n")]);
        let (c, _) = on_the_way(&s, &remote);
        c.write("more", "more\n");
        c.sh(&["add", "more"]);
        c.sh(if amended {
            &["commit", "-q", "--amend", "-m", "m"][..]
        } else {
            &["commit", "-q", "-m", "m"]
        });
        s.push_elsewhere(&remote, |w| {
            std::fs::remove_file(w.join("leaked")).unwrap();
            write(&w.join("doc"), "1\n");
        });
        c.pull();
        assert_eq!(
            (c.read("doc"), c.read("own"), c.read("more")),
            ("1\n".into(), "own\n".into(), "more\n".into())
        );
        assert!(!c.path.join("leaked").exists(), "{amended}");
        assert_eq!(c.status(), "");
        c.with(|m| m.push_retry("main", &rules()).unwrap());
    }
}

#[test]
fn a_branch_goes_on_to_nothing_that_is_not_there() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("doc", "1\n")]);
    let (c, tip) = on_the_way(&s, &remote);
    let at = c.sh(&["rev-parse", "HEAD"]);
    write(&c.lock, &std::fs::read_to_string(&c.lock).unwrap().replace(&tip, &"1".repeat(40)));
    c.with(|_| ());
    assert_eq!((c.sh(&["rev-parse", "HEAD"]), c.status()), (at, String::new()));
    c.pull();
}

/// Whoever commits in the moment in which the files are to move has their commit replayed too, and what they wrote since stays.
#[test]
fn a_commit_of_the_last_moment_is_replayed_with_the_others() {
    let mut s = Sandbox::new();
    let remote = s.remote("r", &[("doc", "1\n")]);
    let clone = s.at("c");
    // In a shell of its own, with the real git and no variable of ours.
    let work = "echo first >n && git add n && git commit -q -m meanwhile && echo second >n";
    let mark = s.at("worked");
    s.git_that(&format!(
        "case \" $* \" in *' merge '*) if [ ! -e '{0}' ]; then touch '{0}'; (cd '{1}'; env -i PATH=\"${{PATH#*:}}\" HOME=\"$HOME\" \
         sh -c '{work}'); fi;; esac",
        mark.display(),
        clone.display()
    ));
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("own", "own\n")], "own");
    s.push_elsewhere(&remote, |w| write(&w.join("doc"), "2\n"));
    c.pull();
    assert_eq!(
        (c.read("doc"), c.read("own"), c.read("n")),
        ("2\n".into(), "own\n".into(), "second\n".into())
    );
    assert_eq!(c.sh(&["log", "--format=%s", "origin/main.."]), "meanwhile\nown");
    assert_eq!(c.status(), " M n");
    assert!(mark.exists());
}

/// What the remote has taken in another way, and changed or taken back since, is not said again.
#[test]
fn what_came_to_the_remote_another_way_is_not_replayed() {
    for then in ["c\n", "a\n"] {
        let s = Sandbox::new();
        let remote = s.remote("r", &[("notes/f", "a\n")]);
        let c = s.clone(&remote, "c");
        s.commit(&c.path, &[("notes/f", "b\n")], "mine");
        s.commit(&c.path, &[("notes/g", "g\n")], "more");
        s.push_elsewhere(&remote, |w| write(&w.join("notes/f"), "b\n"));
        s.push_elsewhere(&remote, |w| write(&w.join("notes/f"), then));
        c.pull();
        assert_eq!((c.read("notes/f"), c.read("notes/g")), (then.into(), "g\n".into()));
        assert_eq!(c.sh(&["log", "--format=%s", "origin/main.."]), "more");
    }
}

#[test]
fn a_file_that_became_another_repository_is_replayed() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("n", "1\n"), ("a", "1\n")]);
    let c = s.clone(&remote, "c");
    let id = c.sh(&["rev-parse", "HEAD"]);
    c.sh(&["rm", "-q", "n"]);
    std::fs::create_dir(c.path.join("n")).unwrap();
    c.sh(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},n")]);
    c.sh(&["commit", "-q", "-m", "kinds"]);
    s.push_elsewhere(&remote, |w| write(&w.join("b"), "b\n"));
    c.pull();
    assert_eq!(c.sh(&["ls-tree", "HEAD", "n"]), format!("160000 commit {id}\tn"));
    assert_eq!((c.read("b"), c.status()), ("b\n".into(), String::new()));
}
