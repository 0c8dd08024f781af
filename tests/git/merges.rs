//! What somebody wrote only into a merge.

use crate::support::git::Sandbox;

#[test]
fn what_only_a_local_merge_says_is_kept_when_the_remote_moves() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    c.sh(&["checkout", "-q", "-b", "side"]);
    s.commit(&c.path, &[("side", "side\n")], "side");
    c.sh(&["checkout", "-q", "main"]);
    s.commit(&c.path, &[("own", "own\n")], "own");
    c.sh(&["merge", "-q", "--no-ff", "--no-commit", "side"]);
    s.commit(&c.path, &[("only-here", "only in the merge\n")], "merge");
    let before = c.sh(&["rev-parse", "HEAD"]);
    s.push_elsewhere(&remote, |work| crate::support::git::write(&work.join("theirs"), "theirs\n"));
    c.pull();
    assert_eq!(c.read("own"), "own\n");
    assert_eq!(c.read("theirs"), "theirs\n");
    let kept = c.sh(&["for-each-ref", "--format=%(objectname)", "refs/ox/rescue"]);
    assert_eq!(kept, before, "the whole merge is in one rescue ref");
    assert_eq!(c.sh(&["show", &format!("{kept}:only-here")]), "only in the merge");
}

#[test]
fn a_plain_rebase_leaves_no_rescue_ref() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("own", "own\n")], "own");
    s.push_elsewhere(&remote, |work| crate::support::git::write(&work.join("theirs"), "theirs\n"));
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
