//! Files, directories and links that meet under one name: what is the remote's comes, what is somebody's is kept, and nothing outside of the
//! clone is read or written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ox::git::Sparse;

use crate::support::git::{Cloned, Sandbox, write};

/// Something uncommitted lies at `n`, and the remote brings something to `n`: `theirs` with its text. Our own text is `mine`.
struct Meeting {
    what: &'static str,
    mine: fn(&Cloned<'_>, &Path),
    theirs: &'static str,
}

const MEETINGS: [Meeting; 4] = [
    Meeting { what: "file, directory", mine: |c, _| c.write("n", "mine\n"), theirs: "n/x" },
    Meeting { what: "directory, file", mine: |c, _| c.write("n/y", "mine\n"), theirs: "n" },
    Meeting {
        what: "link, directory",
        mine: |c, out| symlink(out, c.path.join("n")).unwrap(),
        theirs: "n/x",
    },
    Meeting { what: "link, file", mine: |c, out| symlink(out, c.path.join("n")).unwrap(), theirs: "n" },
];

/// Our own text somewhere in the clone, beside its place; or the link.
fn is_kept(c: &Cloned<'_>, out: &Path) -> bool {
    let mut todo = vec![c.path.clone()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            let kind = entry.symlink_metadata().unwrap().file_type();
            if kind.is_symlink() && fs::read_link(&entry).unwrap() == out {
                return true;
            }
            if kind.is_dir() && !entry.ends_with(".git") {
                todo.push(entry);
            } else if kind.is_file() && fs::read(&entry).unwrap() == b"mine\n" {
                return true;
            }
        }
    }
    false
}

fn meet(sparse: bool, diverged: bool) {
    for Meeting { what, mine, theirs } in MEETINGS {
        let s = Sandbox::new();
        let remote = s.remote("r", &[("data/a", "1\n")]);
        let c = s.clone(&remote, "c");
        let out = s.at("outside");
        fs::create_dir(&out).unwrap();
        write(&out.join("x"), "outside\n");
        if sparse {
            c.with(|m| m.set_sparse(&Sparse::Cone(vec!["data".into()])).unwrap());
        }
        if diverged {
            s.commit(&c.path, &[("data/own", "own\n")], "own");
        }
        mine(&c, &out);
        s.push_elsewhere(&remote, |w| write(&w.join(theirs), "theirs\n"));
        c.pull();
        if sparse {
            c.with(|m| m.set_sparse(&Sparse::Cone(vec!["data".into(), "n".into()])).unwrap());
        }
        assert_eq!(c.read(theirs), "theirs\n", "{what}");
        assert!(is_kept(&c, &out), "{what}");
        assert!(!c.status().contains(" D"), "{what}: {}", c.status());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "{what}");
        assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "outside\n", "{what}");
        assert_eq!(c.sh(&["for-each-ref", "refs/ox/pending"]), "", "{what}");
    }
}

#[test]
fn what_lies_in_the_way_of_another_kind_gives_way_and_stays_beside() {
    for diverged in [false, true] {
        meet(false, diverged);
    }
}

#[test]
fn in_a_sparse_clone_it_does_as_well_once_the_set_takes_it_in() {
    for diverged in [false, true] {
        meet(true, diverged);
    }
}

/// Somebody has put a link in the place of a directory of the clone: what the remote changes there comes into the clone, not to where it
/// leads.
#[test]
fn a_directory_that_became_a_link_leads_nowhere() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("d/x", "1\n"), ("d/z", "1\n"), ("a", "1\n")]);
    let c = s.clone(&remote, "c");
    let out = s.at("outside");
    fs::create_dir(&out).unwrap();
    write(&out.join("x"), "outside\n");
    fs::remove_dir_all(c.path.join("d")).unwrap();
    symlink(&out, c.path.join("d")).unwrap();
    s.push_elsewhere(&remote, |w| write(&w.join("d/x"), "theirs\n"));
    c.pull();
    assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "outside\n");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    assert_eq!(c.sh(&["show", "HEAD:d/x"]), "theirs");
    let rescued = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox/rescue"]);
    let is_there = fs::read_link(c.path.join("d")).is_ok();
    assert!(is_there || c.sh(&["ls-tree", "-r", &rescued]).contains("120000"), "{rescued}");
}
