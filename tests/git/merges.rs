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
