//! The git room on real repositories: sync by many, foreign work, bad configurations, dirty files, kills.

mod kinds;
mod partial;
mod replays;

mod endless;
mod halted;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::HANG;
use crate::support::git::{Cloned, Sandbox, rules, with_clone, write};
use crate::support::seed::{self, rounds};
use ox::git::{
    CloneLock, GitError, How, Profile, Reader, ResolveRules, Seeded, Verdict, clone_plain, create_bare,
    discover, rescue_refs, verify,
};
use ox::kit::Class;
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock, pause};
use ox::kit::rng::Rng;

// ---- other processes: this test binary again, in a role ----

pub fn in_role(role: &str, sandbox: &Sandbox, args: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "git::role", "--nocapture", "--test-threads=1"])
        .env("OX_TEST_ROLE", role)
        .env("OX_TEST_ARGS", args.join("\n"))
        .env("HOME", sandbox.at("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(if std::env::var_os("OX_TEST_SHOW").is_some() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .unwrap()
}

#[test]
fn role() {
    let Ok(role) = std::env::var("OX_TEST_ROLE") else { return };
    let args = std::env::var("OX_TEST_ARGS").unwrap();
    let args: Vec<&str> = args.lines().collect();
    let env = ox::git::Env::of_process();
    let git = ox::git::Git::new(Profile::SelfHosted, env, std::sync::Arc::new(SystemClock), "other");
    match (role.as_str(), args.as_slice()) {
        ("clone", [url, target]) => {
            clone_plain(&git, url, Path::new(target), &mut |_| (), &Cancel::new()).unwrap();
        }
        ("slim", [url, target]) => {
            partial::slim(&git, url, Path::new(target), &Cancel::new()).map(drop).unwrap()
        }
        ("sparse", [lock, clone, dir]) => {
            let set = ox::git::Sparse::Cone(vec![(*dir).to_owned()]);
            with_clone(&git, Path::new(lock), Path::new(clone), |c| c.set_sparse(&set).map(drop).unwrap());
        }
        ("maintain", [lock, clone]) => {
            with_clone(&git, Path::new(lock), Path::new(clone), |c| c.maintain().unwrap());
        }
        ("cycles", [lock, clone, name, count]) => {
            for n in 0..count.parse::<u32>().unwrap() {
                with_clone(&git, Path::new(lock), Path::new(clone), |c| cycle(c, &format!("{name}-{n}")));
                // Who waits for the lock looks every 20 ms: without a pause it would never find it free.
                pause(Duration::from_millis(25));
            }
        }
        ("pull", [lock, clone]) => {
            with_clone(&git, Path::new(lock), Path::new(clone), |c| {
                c.fetch("main").unwrap();
                c.integrate("main", &rules()).unwrap();
            });
        }
        _ => panic!("unknown role {role}"),
    }
}

fn cycle(c: &mut ox::git::ManagedClone<'_>, name: &str) {
    let file = PathBuf::from(format!("data/{name}.txt"));
    write(&c.path().join(&file), name);
    c.fetch("main").unwrap();
    c.integrate("main", &rules()).unwrap();
    c.commit(&[&file], name).unwrap().unwrap();
    // Losing three races is an answer, not a failure; the next cycle pushes.
    while let Err(e) = c.push_retry("main", &rules()) {
        assert!(matches!(e, GitError::PushRaces), "{e}");
    }
}

// ---- many at once ----

#[test]
fn syn_01_many_processes_on_one_clone_never_fail() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    let d = s.clone(&remote, "d");
    let cycles = rounds(10, 200);
    let run = |clone: &Cloned<'_>, name: &str| {
        let args = [clone.lock.to_str().unwrap(), clone.path.to_str().unwrap(), name, &cycles.to_string()];
        in_role("cycles", &s, &args)
    };
    let children = vec![run(&c, "p1"), run(&c, "p2"), run(&c, "p3"), run(&c, "p4"), run(&d, "q")];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let count = s.sh(&remote, &["ls-tree", "-r", "--name-only", "main"]).lines().count();
    assert_eq!(count, 1 + 5 * cycles);
    assert!(!c.path.join(".git/FETCH_HEAD").exists());
    c.pull();
    assert_eq!(c.status(), "");
}

#[test]
fn syn_02_a_foreign_rebase_is_reported_and_left_as_it_is() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    s.push_elsewhere(&remote, |w| write(&w.join("a"), "theirs\n"));
    s.commit(&c.path, &[("a", "ours\n")], "ours");
    c.with(|m| m.fetch("main").unwrap());
    assert!(!s.try_sh(&c.path, &["rebase", "origin/main"]).0);
    let before = snapshot(&c.path);
    let e = c.with(|m| m.integrate("main", &rules()).unwrap_err());
    assert!(matches!(e, GitError::Foreign { what: "rebase", .. }), "{e}");
    let e = c.with(|m| m.commit(&[Path::new("a")], "x").unwrap_err());
    assert_eq!(e.class(), Class::Busy);
    assert_eq!(snapshot(&c.path), before);
}

/// Every file below a directory with its bytes.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(d) = todo.pop() {
        for e in fs::read_dir(d).unwrap().flatten() {
            match e.file_type().unwrap() {
                t if t.is_dir() => todo.push(e.path()),
                t if t.is_symlink() => drop(files.insert(e.path(), b"link".to_vec())),
                _ => drop(files.insert(e.path(), fs::read(e.path()).unwrap())),
            }
        }
    }
    files
}

#[test]
fn syn_18_reading_changes_nothing_in_a_repository() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    c.sh(&["worktree", "add", "-q", "../wt"]);
    let before = snapshot(&c.path);
    for path in [&c.path, &s.at("wt")] {
        let r = Reader::open(path).unwrap();
        let head = r.head().unwrap();
        assert!(r.is_ancestor(head.commit.unwrap(), head.commit.unwrap()).unwrap());
        assert!(matches!(verify(path), Verdict::Sound(_)));
    }
    assert_eq!(snapshot(&c.path), before);
}

#[test]
fn a_clone_that_is_held_tells_what_others_change_meanwhile() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    c.with(|m| {
        let reader = m.reader().unwrap();
        let first = reader.head().unwrap().commit;
        for n in 0..3 {
            let commit = s.commit(&c.path, &[("b", &format!("{n}\n"))], "theirs");
            let head = reader.head().unwrap().commit;
            assert_eq!(head.unwrap().to_string(), commit);
            assert_eq!(reader.changed_files(first, head).unwrap(), 1);
            // The packs and refs that were read a moment ago are others now.
            s.sh(&c.path, &["repack", "-adq"]);
            s.sh(&c.path, &["pack-refs", "--all"]);
            assert_eq!(reader.head().unwrap().commit, head);
            assert_eq!(reader.changed_files(first, head).unwrap(), 1);
            s.sh(&c.path, &["update-ref", "refs/heads/side", "HEAD"]);
            assert_eq!(reader.target("refs/heads/side").unwrap(), head);
            let url = s.at(&format!("r{n}")).display().to_string();
            s.sh(&c.path, &["remote", "set-url", "origin", &url]);
            assert_eq!(reader.origin_url(), Some(url));
        }
        // History that is cut off, and whole again.
        let (first, head) = (first.unwrap(), reader.head().unwrap().commit.unwrap());
        let knows = |cut: bool| {
            let reader = m.reader().unwrap();
            assert_eq!((reader.is_shallow(), reader.is_ancestor(first, head).unwrap()), (cut, !cut));
        };
        knows(false);
        fs::write(c.path.join(".git/shallow"), format!("{head}\n")).unwrap();
        knows(true);
        fs::remove_file(c.path.join(".git/shallow")).unwrap();
        knows(false);
        assert_eq!(m.unpushed("main").unwrap(), 3);
        s.sh(&c.path, &["reset", "-q", "--hard", "HEAD~1"]);
        assert_eq!(m.unpushed("main").unwrap(), 2);
    });
}

// ---- the user's configuration ----

#[test]
fn syn_04_broken_lfs_filters_of_the_user_do_not_matter() {
    let s = Sandbox::new();
    let remote =
        s.remote("r", &[(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"), ("a.bin", "1\n")]);
    s.configure(
        "[filter \"lfs\"]\n\tsmudge = false\n\tclean = false\n\tprocess = false\n\trequired = true\n",
    );
    let c = s.clone(&remote, "c");
    let elsewhere = Sandbox::new();
    for n in 0..10 {
        elsewhere.push_elsewhere(&remote, |w| write(&w.join("a.bin"), &format!("{n}\n")));
        assert_eq!(c.pull().how, How::FastForward);
        c.write("b.bin", &format!("{n}\n"));
        c.with(|m| {
            m.commit(&[Path::new("b.bin")], "b").unwrap().unwrap();
            m.push_retry("main", &rules()).unwrap();
        });
    }
    assert_eq!(c.read("a.bin"), "9\n");
    assert_eq!(c.sh(&["stash", "list"]), "");
    assert_eq!(elsewhere.sh(&c.path, &["status", "--porcelain"]), "");
}

#[test]
fn syn_07_a_signing_program_that_never_ends_is_not_asked() {
    let s = Sandbox::new();
    let sleeper = s.script("gpg", &format!("touch '{}'; exec sleep 1000", s.at("asked").display()));
    let remote = s.remote("r", &[("a", "1\n")]);
    let sign = "[commit]\n\tgpgsign = true\n[tag]\n\tgpgsign = true\n[push]\n\tgpgsign = true\n";
    let sleeper = sleeper.display();
    s.configure(&format!("{sign}[core]\n\teditor = {sleeper}\n[gpg]\n\tprogram = {sleeper}\n"));
    let c = s.clone(&remote, "c");
    let other = Sandbox::new();
    other.push_elsewhere(&remote, |w| write(&w.join("b"), "2\n"));
    c.write("c", "3\n");
    c.with(|m| {
        m.commit(&[Path::new("c")], "c").unwrap().unwrap();
        m.push_retry("main", &rules()).unwrap();
    });
    assert!(!s.at("asked").exists());
    assert_eq!(c.sh(&["rev-list", "--count", "HEAD"]), "3");
}

#[test]
fn hooks_and_editors_of_the_clone_and_the_user_do_not_run() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let hooks = ["pre-commit", "commit-msg", "post-checkout", "post-merge", "pre-push", "pre-rebase"];
    for hook in hooks {
        s.script(&format!("hooks/{hook}"), &format!("touch {}; exit 1", s.at("ran").display()));
    }
    s.configure(&format!("[core]\n\thooksPath = {}\n", s.at("hooks").display()));
    let c = s.clone(&remote, "c");
    c.write("c", "3\n");
    c.with(|m| {
        m.commit(&[Path::new("c")], "c").unwrap().unwrap();
        m.push_retry("main", &rules()).unwrap();
    });
    assert!(!s.at("ran").exists());
}

#[test]
fn no_content_of_a_clone_chooses_a_program_or_other_bytes() {
    let (s, elsewhere) = (Sandbox::new(), Sandbox::new());
    let attributes = "* filter=x diff=x merge=x ident\nu.txt working-tree-encoding=ISO-8859-1\n\
                      [attr]all filter=x merge=x\nd/* all\n*.rest filter=y diff=y merge=y\n";
    let files = [
        (".gitattributes", attributes),
        ("a", "$Id$\n1\n2\n3\n"),
        ("d/b.rest", "1\n"),
        ("u.txt", "é\n"),
        ("d/.gitattributes", "* all\n"),
    ];
    let remote = elsewhere.remote("r", &files);
    // Whatever is run tells so, and does its work.
    let ran = s.at("ran");
    let program = s.script("program", &format!("echo \"$0 $*\" >> '{}'; exec cat", ran.display()));
    let program = program.display();
    let of = |name: &str| {
        format!(
            "[filter \"{name}\"]\n\tsmudge = {program} smudge\n\tclean = {program} clean\n\trequired = true\n\
             [diff \"{name}\"]\n\tcommand = {program} diff\n\ttextconv = {program} textconv\n\
             [merge \"{name}\"]\n\tdriver = {program} merge %O %A %B\n"
        )
    };
    s.configure(&format!("{}{}[diff]\n\texternal = {program} external\n", of("x"), of("y")));
    let c = s.clone(&remote, "c");
    let check = |text: &str| {
        assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap_or_default());
        assert_eq!(c.read("a"), text);
        assert_eq!(c.read("u.txt"), "Ã©\n", "the bytes that were committed");
    };
    check("$Id$\n1\n2\n3\n");
    // Forward, then both sides of a rebase and what is dirty in its way.
    elsewhere.push_elsewhere(&remote, |w| write(&w.join("a"), "$Id$\n1\n2\n3\n4\n"));
    assert_eq!(c.pull().how, How::FastForward);
    check("$Id$\n1\n2\n3\n4\n");
    elsewhere.push_elsewhere(&remote, |w| write(&w.join("a"), "$Id$\n1\n2\n3\n4\n5\n"));
    c.write("d/own.rest", "own\n");
    c.with(|m| m.commit(&[Path::new("d/own.rest")], "own").unwrap().unwrap());
    c.write("a", "$Id$\n0\n1\n2\n3\n4\n");
    assert!(matches!(c.pull().how, How::Replayed { .. }));
    check("$Id$\n0\n1\n2\n3\n4\n5\n");
    c.with(|m| {
        m.commit(&[Path::new("a")], "both").unwrap().unwrap();
        m.push_retry("main", &rules()).unwrap();
    });
    check("$Id$\n0\n1\n2\n3\n4\n5\n");
    assert_eq!(elsewhere.sh(&remote, &["show", "main:a"]), "$Id$\n0\n1\n2\n3\n4\n5");
    // A clone of an older program has no line of ours: opening it mends that, and the user's own lines stay.
    fs::write(c.path.join(".git/info/attributes"), "*.mine -text\n").unwrap();
    elsewhere.push_elsewhere(&remote, |w| write(&w.join("a"), "$Id$\n6\n"));
    c.pull();
    check("$Id$\n6\n");
    assert!(fs::read_to_string(c.path.join(".git/info/attributes")).unwrap().starts_with("*.mine -text\n"));
    assert!(c.with(|m| ox::git::LocalWork::of(&s.git(), m.path(), &Cancel::new()).unwrap().is_clean()));
    check("$Id$\n6\n");
}

#[test]
fn syn_08_the_vendor_profile_asks_no_helper_and_no_person() {
    let s = Sandbox::new();
    let log = s.at("asked");
    let asks = s.script("helper", &format!("echo asked >> {}", log.display()));
    s.configure(&format!("[credential]\n\thelper = {0}\n[core]\n\taskPass = {0}\n", asks.display()));
    let (port, server) = refusing_server();
    let git = s.git_as(Profile::Vendor);
    for _ in 0..5 {
        let e = discover(&git, &format!("http://127.0.0.1:{port}/r.git"), Some("main"), &Cancel::new())
            .unwrap_err();
        assert_eq!(e.class(), Class::Auth, "{e}");
    }
    assert!(!log.exists());
    // The user's own remote does use the user's helper, but still no person is asked.
    let e = discover(&s.git(), &format!("http://127.0.0.1:{port}/r.git"), Some("main"), &Cancel::new())
        .unwrap_err();
    assert_eq!(e.class(), Class::Auth, "{e}");
    assert!(log.exists());
    drop(server);
}

/// A server on loopback that answers every request with 401.
fn refusing_server() -> (u16, std::net::TcpListener) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = accepting.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n";
            let _ =
                stream.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
        }
    });
    (port, listener)
}

#[test]
fn sec_10_the_vendor_profile_speaks_no_other_protocol() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let touch = format!("ext::touch {}", s.at("ran").display());
    let file = format!("file://{}", remote.display());
    for (git, url) in
        [(s.git_as(Profile::Vendor), file.as_str()), (s.git_as(Profile::Vendor), &touch), (s.git(), &touch)]
    {
        let e = clone_plain(&git, url, &s.at("x"), &mut |_| (), &Cancel::new()).unwrap_err();
        assert_eq!(e.class(), Class::Usage, "{url}: {e}");
    }
    assert!(!s.at("ran").exists() && !s.at("x").exists());
}

#[test]
fn syn_09_sec_06_a_token_in_an_url_is_in_no_error() {
    let s = Sandbox::new();
    let url = "http://oauth2:CANARY@127.0.0.1:1/r.git";
    let one = discover(&s.git(), url, None, &Cancel::new()).unwrap_err();
    let two = clone_plain(&s.git(), url, &s.at("x"), &mut |_| (), &Cancel::new()).unwrap_err();
    for e in [one, two] {
        assert_eq!(e.class(), Class::Network, "{e}");
        assert!(!format!("{e} {e:?}").contains("CANARY"), "{e:?}");
    }
}

// ---- bringing in ----

#[test]
fn a_sync_costs_no_process_without_news_and_two_with_one_commit() {
    let mut s = Sandbox::new();
    let log = s.count_git();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    let tip = s.push_elsewhere(&remote, |w| write(&w.join("a"), "2\n"));
    fs::write(&log, "").unwrap();
    let look = || discover(&s.git(), remote.to_str().unwrap(), Some("main"), &Cancel::new()).unwrap();
    assert_eq!(look().tip.unwrap().to_string(), tip);
    assert_eq!(c.pull().how, How::FastForward);
    let ours = fs::read_to_string(&log).unwrap();
    // What git starts itself is not in our list: it does not look for git in PATH first.
    assert_eq!(ours.lines().count(), 2, "{ours}");
    fs::write(&log, "").unwrap();
    assert_eq!(c.with(|m| m.integrate("main", &rules()).unwrap().how), How::Unchanged);
    c.with(|m| m.note_remote_tip(look().tip).unwrap());
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    assert!(CloneLock::peek(&c.lock).unwrap().fetched_at.is_some());
    assert_eq!(CloneLock::peek(&c.lock).unwrap().fetched_commit, tip);
}

#[test]
fn a_failed_fetch_leaves_no_stamp() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    fs::rename(&remote, s.at("away")).unwrap();
    let e = c.with(|m| m.fetch("main").unwrap_err());
    assert_eq!(e.class(), Class::Usage, "{e}");
    assert_eq!(CloneLock::peek(&c.lock).unwrap().fetched_at, None);
    fs::rename(s.at("away"), &remote).unwrap();
    let e = c.with(|m| m.fetch("other").unwrap_err());
    assert!(matches!(e, GitError::NoRemoteBranch(_)), "{e}");
}

/// Local and remote change `path`; what the file is after.
#[track_caller]
fn check_diverged(
    path: &str,
    base: Option<&str>,
    ours: Option<&str>,
    theirs: Option<&str>,
    expected: Result<Option<&str>, ()>,
) {
    let s = Sandbox::new();
    let mut first = vec![("keep", "x\n")];
    first.extend(base.map(|b| (path, b)));
    let remote = s.remote("r", &first);
    let c = s.clone(&remote, "c");
    let put = |w: &Path, text: Option<&str>| match text {
        Some(t) => write(&w.join(path), t),
        None => drop(fs::remove_file(w.join(path))),
    };
    s.push_elsewhere(&remote, |w| put(w, theirs));
    put(&c.path, ours);
    let head = s.commit(&c.path, &[("mine", "m\n")], "ours");
    c.with(|m| m.fetch("main").unwrap());
    let got = c.with(|m| m.integrate("main", &rules()));
    match expected {
        Ok(text) => {
            assert!(matches!(got.unwrap().how, How::Replayed { .. }));
            assert_eq!(fs::read_to_string(c.path.join(path)).ok().as_deref(), text);
            assert_eq!(c.read("mine"), "m\n");
        }
        Err(()) => {
            assert_eq!(got.unwrap_err().class(), Class::Conflict);
            assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
        }
    }
    assert_eq!(c.status(), "");
    assert!(!c.path.join(".git/rebase-merge").exists());
    assert_eq!(c.sh(&["symbolic-ref", "HEAD"]), "refs/heads/main");
}

#[test]
fn a_rebase_decides_what_the_rules_say_and_nothing_else() {
    let p = "data/x.txt";
    check_diverged(p, Some("1\n"), Some("ours\n"), Some("theirs\n"), Ok(Some("ours\n")));
    check_diverged(p, None, Some("ours\n"), Some("theirs\n"), Ok(Some("ours\n")));
    check_diverged(p, Some("1\n"), Some("ours\n"), None, Ok(Some("ours\n")));
    check_diverged(p, Some("1\n"), None, Some("theirs\n"), Ok(Some("theirs\n")));
    check_diverged(p, Some("1\n"), None, None, Ok(None));
    check_diverged("data/none/x", Some("1\n"), Some("ours\n"), Some("theirs\n"), Err(()));
    check_diverged("sessions/x", Some("1\n"), Some("ours\n"), Some("theirs\n"), Err(()));
    let base = "1\n2\n3\n4\n5\n6\n7\n";
    check_diverged(
        "sessions/x",
        Some(base),
        Some(&base.replace('1', "a")),
        Some(&base.replace('7', "b")),
        Ok(Some("a\n2\n3\n4\n5\n6\nb\n")),
    );
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n", "a".repeat(64));
    check_diverged("data/p", Some("1\n"), Some("hello"), Some(&pointer), Ok(Some(&pointer)));
    check_diverged("data/p", Some("1\n"), Some(&pointer), Some("hello"), Ok(Some(&pointer)));
}

#[test]
fn syn_05_json_that_merges_to_nonsense_keeps_its_local_bytes() {
    let base = "{\n\"a\": 1,\n\"b\": 2,\n\"c\": 3,\n\"d\": 4,\n\"e\": 5\n}\n";
    // Both are valid, a merge by lines is not: a comma is missing between what was last on either side.
    let ours = base
        .replace("\"a\": 1,\n\"b\": 2,\n", "\"a\": [1,\n\"b\", 2,\n")
        .replace("\"e\": 5\n", "\"e\", 5]\n")
        .replace("\"c\": 3,\n\"d\": 4,\n", "\"c\", 3,\n\"d\", 4,\n");
    assert!(serde_json::from_str::<serde_json::Value>(&ours).is_ok(), "{ours}");
    check_diverged(
        "data/x.json",
        Some(base),
        Some(&ours),
        Some(&base.replace("\"a\": 1", "\"a\": 9")),
        Ok(Some(&ours)),
    );
    let split = "[\n1,\n2,\n3,\n4\n]\n";
    let ours = "[\n1,\n2,\n3,\n4,\n5\n]\n";
    let theirs = "{\"x\": [\n1,\n2,\n3,\n4\n]}\n";
    check_diverged("data/y.json", Some(split), Some(ours), Some(theirs), Ok(Some(ours)));
    let long = |open: &str, close: &str| format!("{open}\n1,\n2,\n3,\n4,\n5,\n6\n{close}\n");
    let ours = long("[", "]").replace("6\n]", "6\n,7]");
    let theirs = long("{\"a\":[", "]}").replace("]}", "]").replace("6\n]", "6]}\n");
    assert!(serde_json::from_str::<serde_json::Value>(&theirs).is_ok());
    check_diverged("data/z.json", Some(&long("[", "]")), Some(&ours), Some(&theirs), Ok(Some(&ours)));
}

#[test]
fn syn_05_random_histories_never_leave_a_marker() {
    seed::with("git::syn_05", seed::fresh(), random_histories);
}

fn random_histories(seed: u64) {
    let mut rng = Rng::new(seed);
    let s = Sandbox::new();
    let remote = s.remote("r", &[("data/a.json", "[\n0\n]\n")]);
    let clones = [s.clone(&remote, "c"), s.clone(&remote, "d")];
    for round in 0..rounds(25, 500) {
        let c = &clones[usize::try_from(rng.below(2)).unwrap()];
        for _ in 0..=rng.below(3) {
            let name =
                format!("data/{}.json", ["a", "b", "c", "d/e"][usize::try_from(rng.below(4)).unwrap()]);
            let rows: Vec<String> = (0..=rng.below(6)).map(|_| rng.below(4).to_string()).collect();
            if rng.below(5) == 0 {
                let _ = fs::remove_file(c.path.join(&name));
            } else {
                c.write(&name, &format!("[\n{}\n]\n", rows.join(",\n")));
            }
            s.sh(&c.path, &["add", "-A"]);
            s.sh(&c.path, &["commit", "-q", "--allow-empty", "-m", &format!("{round}")]);
        }
        if rng.below(3) > 0 {
            c.with(|m| {
                m.fetch("main").unwrap();
                m.integrate("main", &rules()).unwrap_or_else(|e| panic!("round {round}: {e}"));
                m.push_retry("main", &rules()).unwrap();
            });
        }
        assert_eq!(c.status(), "", "round {round}");
    }
    for c in &clones {
        let (found, where_) = s.try_sh(&c.path, &["grep", "-E", "^(<<<<<<<|=======|>>>>>>>)", "HEAD"]);
        assert!(!found, "{where_}");
        for file in c.sh(&["ls-files"]).lines() {
            let text = c.read(file);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{file}: {text}");
        }
    }
}

#[test]
fn a_push_brings_in_first_what_others_pushed_and_is_never_forced() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    s.commit(&c.path, &[("ours", "1\n")], "ours");
    s.push_elsewhere(&remote, |w| write(&w.join("b"), "2\n"));
    let pushed = c.with(|m| m.push_retry("main", &rules()).unwrap());
    assert_eq!(pushed.attempts, 2);
    assert_eq!(s.sh(&remote, &["rev-list", "--count", "main"]), "3");
    assert_eq!(c.with(|m| m.push_retry("main", &rules()).unwrap()).attempts, 0);
    s.script("r.git/hooks/pre-receive", "echo 'rejected by policy'; exit 1");
    s.commit(&c.path, &[("more", "1\n")], "more");
    let e = c.with(|m| m.push_retry("main", &rules()).unwrap_err());
    assert!(e.to_string().contains("pre-receive hook declined"), "{e}");
}

// ---- dirty files ----

/// `dirty` happens in the clone, `theirs` comes from the remote.
struct Case<'s> {
    c: Cloned<'s>,
    got: ox::git::Integrated,
}

fn rescue_case<'s>(
    s: &'s Sandbox,
    diverged: bool,
    dirty: impl FnOnce(&Cloned<'_>),
    theirs: impl FnOnce(&Path),
) -> Case<'s> {
    let lines = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let remote = s.remote("r", &[("a", lines), ("b", lines), ("d/e", "e\n"), ("bin", "\0\x01base")]);
    let c = s.clone(&remote, "c");
    s.push_elsewhere(&remote, theirs);
    if diverged {
        s.commit(&c.path, &[("own", "own\n")], "own");
    }
    dirty(&c);
    let got = c.pull();
    let refs = c.sh(&["for-each-ref", "--format=%(refname)", "refs/ox"]);
    assert!(!refs.contains("pending"), "{refs}");
    assert!(!c.path.join(".git/ox/hold").exists() || snapshot(&c.path.join(".git/ox/hold")).is_empty());
    assert_eq!(c.sh(&["stash", "list"]), "");
    assert_eq!(s.sh(&remote, &["rev-parse", "main"]), c.sh(&["rev-parse", "origin/main"]));
    assert!(s.try_sh(&c.path, &["merge-base", "--is-ancestor", "origin/main", "HEAD"]).0);
    Case { c, got }
}

impl Case<'_> {
    fn conflicts(&self) -> Vec<String> {
        let rescued = self.got.rescued.as_ref().expect("a rescue");
        assert!(self.c.sh(&["for-each-ref", "refs/ox/rescue"]).contains(&rescued.reference));
        rescued.conflicts.iter().map(|p| p.display().to_string()).collect()
    }

    /// The content of the one copy that lies beside.
    fn copy(&self) -> Vec<u8> {
        let copies = &self.got.rescued.as_ref().unwrap().copies;
        assert_eq!(copies.len(), 1);
        assert!(copies[0].display().to_string().contains(".conflict-box-"));
        fs::read(self.c.path.join(&copies[0])).unwrap()
    }
}

fn lines(first: &str, last: &str) -> String {
    format!("{first}\n2\n3\n4\n5\n6\n7\n8\n{last}\n")
}

/// Runs a case by fast-forward and by replay.
fn both(check: impl Fn(bool, Sandbox)) {
    for diverged in [false, true] {
        check(diverged, Sandbox::new());
    }
}

#[test]
fn rescue_merges_changes_of_both_sides() {
    both(|diverged, s| {
        let case = rescue_case(
            &s,
            diverged,
            |c| c.write("a", &lines("mine", "9")),
            |w| write(&w.join("a"), &lines("1", "theirs")),
        );
        assert!(case.conflicts().is_empty());
        assert_eq!(case.c.read("a"), lines("mine", "theirs"));
        assert_eq!(case.c.status(), " M a");
    });
}

#[test]
fn rescue_leaves_the_remotes_version_and_ours_beside() {
    both(|diverged, s| {
        let case = rescue_case(
            &s,
            diverged,
            |c| c.write("a", &lines("mine", "9")),
            |w| write(&w.join("a"), &lines("theirs", "9")),
        );
        assert_eq!(case.conflicts(), ["a"]);
        assert_eq!(case.c.read("a"), lines("theirs", "9"));
        assert_eq!(case.copy(), lines("mine", "9").as_bytes());
        // The copy is ignored by git.
        assert_eq!(case.c.status(), "");
    });
}

#[test]
fn rescue_modify_and_delete() {
    both(|diverged, s| {
        let case =
            rescue_case(&s, diverged, |c| c.write("a", "mine\n"), |w| fs::remove_file(w.join("a")).unwrap());
        assert_eq!(case.conflicts(), ["a"]);
        assert_eq!(case.copy(), b"mine\n");
        assert!(!case.c.path.join("a").exists());
    });
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| fs::remove_file(c.path.join("a")).unwrap();
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), "theirs\n"));
        assert_eq!(case.c.read("a"), "theirs\n");
        // The newer version comes to where a file was deleted; there is nothing to keep.
        assert!(case.got.rescued.is_none());
    });
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            fs::remove_file(c.path.join("b")).unwrap();
            c.write("a", "mine\n");
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), "theirs\n"));
        assert_eq!(case.conflicts(), ["a"]);
        assert!(!case.c.path.join("b").exists());
    });
}

#[test]
fn rescue_untracked_in_the_way() {
    both(|diverged, s| {
        let case = rescue_case(
            &s,
            diverged,
            |c| c.write("new/x", "mine\n"),
            |w| write(&w.join("new/x"), "theirs\n"),
        );
        assert_eq!(case.conflicts(), ["new/x"]);
        assert_eq!(case.c.read("new/x"), "theirs\n");
        assert_eq!(case.copy(), b"mine\n");
    });
    // The same content is no conflict.
    both(|diverged, s| {
        let case =
            rescue_case(&s, diverged, |c| c.write("new", "same\n"), |w| write(&w.join("new"), "same\n"));
        assert!(case.conflicts().is_empty());
        assert_eq!(case.c.status(), "");
    });
    // An ignored file is not overwritten either.
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            write(&c.path.join(".git/info/exclude"), "ign\n");
            c.write("ign", "mine\n");
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("ign"), "theirs\n"));
        assert_eq!(case.conflicts(), ["ign"]);
        assert_eq!(case.copy(), b"mine\n");
    });
}

#[test]
fn rescue_a_file_where_a_directory_comes_and_the_other_way_round() {
    both(|diverged, s| {
        let case =
            rescue_case(&s, diverged, |c| c.write("n", "mine\n"), |w| write(&w.join("n/x"), "theirs\n"));
        assert_eq!(case.conflicts(), ["n"]);
        assert_eq!(case.c.read("n/x"), "theirs\n");
        assert_eq!(case.copy(), b"mine\n");
    });
    both(|diverged, s| {
        let case =
            rescue_case(&s, diverged, |c| c.write("n/x/y", "mine\n"), |w| write(&w.join("n"), "theirs\n"));
        assert_eq!(case.conflicts(), ["n/x/y"]);
        assert_eq!(case.c.read("n"), "theirs\n");
        assert_eq!(case.copy(), b"mine\n");
    });
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            fs::remove_file(c.path.join("a")).unwrap();
            c.write("a/x", "mine\n");
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), "theirs\n"));
        assert_eq!(case.c.read("a"), "theirs\n");
        assert_eq!(case.copy(), b"mine\n");
    });
}

#[test]
fn rescue_keeps_what_is_staged_staged() {
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            c.write("staged-new", "s\n");
            c.write("b", "staged\n");
            c.sh(&["add", "staged-new", "b"]);
            c.write("a", &lines("mine", "9"));
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), &lines("1", "theirs")));
        assert!(case.conflicts().is_empty());
        assert_eq!(case.c.status(), " M a\nM  b\nA  staged-new");
    });
    // What was staged and then changed again is in the rescue ref in both forms.
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            c.write("a", "one\n");
            c.sh(&["add", "a"]);
            c.write("a", "two\n");
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), "theirs\n"));
        assert_eq!(case.conflicts(), ["a"]);
        let rescue = case.got.rescued.clone().unwrap().reference;
        assert_eq!(case.c.sh(&["show", &format!("{rescue}:a")]), "two");
        assert_eq!(case.c.sh(&["show", &format!("{rescue}^2:a")]), "one");
    });
}

#[test]
fn rescue_keeps_a_directory_staged_that_took_the_place_of_a_file() {
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            fs::remove_file(c.path.join("b")).unwrap();
            c.write("b/now", "below a directory\n");
            c.sh(&["add", "-A", "b"]);
            c.write("a", &lines("mine", "9"));
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), &lines("1", "theirs")));
        assert!(case.conflicts().is_empty());
        assert_eq!(case.c.status(), " M a\nD  b\nA  b/now");
    });
}

/// While a dirty file is put aside somebody writes another one in its place.
#[test]
fn rescue_leaves_what_is_written_while_a_file_is_away() {
    both(|diverged, mut s| {
        let remote = s.remote("r", &[("a", "base\n"), ("b", "base\n")]);
        s.push_elsewhere(&remote, |w| write(&w.join("a"), "theirs\n"));
        let c = s.clone(&remote, "c");
        c.sh(&["reset", "-q", "--hard", "HEAD~1"]);
        if diverged {
            s.commit(&c.path, &[("own", "own\n")], "own");
        }
        c.write("a", "first\n");
        let (path, lock, at) = (c.path.clone(), c.lock.clone(), c.path.join("a"));
        let at = at.display();
        s.git_that(&format!(
            r#"case "$*" in *checkout-index*) [ -e '{at}' ] || echo second > '{at}';; esac"#
        ));
        let c = Cloned { sandbox: &s, path, lock };
        // Git refuses to write over it, so this pull may come to nothing; the file is what counts.
        let _ = c.try_pull();
        let there: String = fs::read_dir(&c.path)
            .unwrap()
            .flatten()
            .filter(|e| e.path().is_file())
            .map(|e| fs::read_to_string(e.path()).unwrap())
            .collect();
        assert!(there.contains("second\n") && there.contains("first\n"), "{there}");
    });
}

#[test]
fn rescue_modes_links_and_binaries() {
    let mode = |c: &Cloned<'_>, name: &str| fs::metadata(c.path.join(name)).unwrap().mode() & 0o777;
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            fs::set_permissions(c.path.join("a"), fs::Permissions::from_mode(0o755)).unwrap()
        };
        let case = rescue_case(&s, diverged, dirty, |w| write(&w.join("a"), "theirs\n"));
        assert!(case.conflicts().is_empty());
        assert_eq!((case.c.read("a").as_str(), mode(&case.c, "a")), ("theirs\n", 0o755));
    });
    both(|diverged, s| {
        let dirty = |c: &Cloned<'_>| {
            fs::remove_file(c.path.join("a")).unwrap();
            symlink("b", c.path.join("a")).unwrap();
            symlink("/nowhere", c.path.join("new")).unwrap();
        };
        let case = rescue_case(&s, diverged, dirty, |w| {
            write(&w.join("a"), "theirs\n");
            write(&w.join("new"), "theirs\n");
        });
        assert_eq!(case.conflicts(), ["a", "new"]);
        let copies = &case.got.rescued.as_ref().unwrap().copies;
        assert_eq!(fs::read_link(case.c.path.join(&copies[0])).unwrap(), Path::new("b"));
        assert_eq!(case.c.read("a"), "theirs\n");
    });
    both(|diverged, s| {
        let case = rescue_case(
            &s,
            diverged,
            |c| c.write("bin", "\0\x02mine"),
            |w| write(&w.join("bin"), "\0\x03theirs"),
        );
        assert_eq!(case.conflicts(), ["bin"]);
        assert_eq!(case.copy(), b"\0\x02mine");
    });
    // A parent that became a link is not written through.
    both(|diverged, s| {
        fs::create_dir(s.at("outside")).unwrap();
        let outside = s.at("outside");
        let case = rescue_case(
            &s,
            diverged,
            |c| c.write("d/e", "mine\n"),
            |w| {
                fs::remove_dir_all(w.join("d")).unwrap();
                symlink(&outside, w.join("d")).unwrap();
            },
        );
        assert_eq!(case.conflicts(), ["d/e"]);
        assert_eq!(case.copy(), b"mine\n");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    });
}

#[test]
fn dirty_files_not_in_the_way_of_a_fast_forward_are_not_touched() {
    let s = Sandbox::new();
    let case = rescue_case(&s, false, |c| c.write("b", "mine\n"), |w| write(&w.join("a"), "theirs\n"));
    assert_eq!(case.got.rescued, None);
    assert_eq!(case.c.status(), " M b");
}

#[test]
fn rescue_a_conflict_of_commits_puts_everything_back() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n"), ("b", "1\n")]);
    let c = s.clone(&remote, "c");
    s.push_elsewhere(&remote, |w| write(&w.join("a"), "theirs\n"));
    let head = s.commit(&c.path, &[("a", "ours\n")], "ours");
    c.write("b", "dirty\n");
    c.with(|m| m.fetch("main").unwrap());
    let e = c.with(|m| m.integrate("main", &rules()).unwrap_err());
    assert!(matches!(&e, GitError::Conflict(paths) if paths == &[PathBuf::from("a")]), "{e}");
    assert_eq!(
        (c.sh(&["rev-parse", "HEAD"]), c.read("b"), c.status()),
        (head, "dirty\n".to_owned(), " M b".to_owned())
    );
}

#[test]
fn rescue_in_a_clone_without_a_commit() {
    let s = Sandbox::new();
    let bare = s.at("empty.git");
    create_bare(&s.git(), &bare, &Cancel::new()).unwrap();
    let c = s.clone(&bare, "c");
    s.push_elsewhere(&bare, |w| {
        write(&w.join("a"), "theirs\n");
        write(&w.join("b"), "b\n");
    });
    c.write("a", "mine\n");
    c.write("staged", "s\n");
    c.sh(&["add", "staged"]);
    let got = c.pull();
    assert_eq!(got.old, None);
    let rescued = got.rescued.unwrap();
    assert_eq!((rescued.conflicts, rescued.copies.len()), (vec![PathBuf::from("a")], 1));
    assert_eq!((c.read("a").as_str(), c.status().as_str()), ("theirs\n", "A  staged"));
}

#[test]
fn rescue_refs_are_pruned_after_30_days() {
    let s = Sandbox::new();
    let c = s.clone(&s.remote("r", &[("a", "1\n")]), "c");
    let now = SystemClock.now().wall.as_second();
    for age in [29 * 86_400, 31 * 86_400] {
        c.sh(&["update-ref", &format!("refs/ox/rescue/{}", now - age), "HEAD"]);
    }
    assert_eq!(c.with(|m| m.prune_rescues().unwrap()), 1);
    assert_eq!(rescue_refs(&c.path).unwrap().len(), 1);
}

// ---- kills ----

/// Moments of something that takes `whole`, numbered: the first is its very begin, the others are spread over it, each anywhere in its
/// part, so that every run kills elsewhere.
pub fn moments(short: u32, whole: Duration) -> impl Iterator<Item = (u32, Duration)> {
    let (count, seed) = (rounds(short, 200), seed::fresh());
    println!("moments of seed {seed}");
    let mut rng = Rng::new(seed);
    (0..count)
        .map(move |n| (n, if n == 0 { Duration::ZERO } else { whole * n / count + rng.up_to(whole / count) }))
}

#[test]
fn kill_in_the_middle_of_a_pull_loses_nothing() {
    let s = Sandbox::new();
    let names: Vec<String> = (0..60).map(|n| format!("f/{n}")).collect();
    let big = "line\n".repeat(3000);
    let base: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), big.as_str())).collect();
    let remote = s.remote("r", &base);
    let whole = {
        let c = s.clone(&remote, "timing");
        change_all(&s, &remote, &names, 0);
        let start = SystemClock.now().mono;
        dirty_all(&c, 0);
        let mut child = in_role("pull", &s, &[c.lock.to_str().unwrap(), c.path.to_str().unwrap()]);
        assert!(child.wait().unwrap().success());
        SystemClock.now().mono - start
    };
    for (n, at) in moments(7, whole) {
        let c = s.clone(&remote, &format!("k{n}"));
        if n % 2 == 0 {
            s.commit(&c.path, &[("own", "own\n")], "own");
        }
        change_all(&s, &remote, &names, n);
        dirty_all(&c, n);
        let mut child = in_role("pull", &s, &[c.lock.to_str().unwrap(), c.path.to_str().unwrap()]);
        pause(at);
        child.kill().unwrap();
        child.wait().unwrap();
        let got = c.pull();
        // The remote's change and ours are both there, whichever process brought them together.
        assert_eq!(c.read("f/0"), format!("mine {n}\n{big}theirs {n}\n"), "moment {n}: {got:?}");
        assert_eq!(c.read("f/1"), format!("{big}theirs {n}\n"), "moment {n}");
        assert_eq!(c.read("untracked"), format!("u{n}\n"));
        assert_eq!(c.status(), " M f/0\n?? untracked", "moment {n}");
        assert!(s.try_sh(&c.path, &["merge-base", "--is-ancestor", "origin/main", "HEAD"]).0);
        assert!(!c.path.join(".git/rebase-merge").exists() && !c.path.join(".git/index.lock").exists());
        fs::remove_dir_all(&c.path).unwrap();
    }
}

/// A kill leaves no file of ours in the work tree, for there is never one.
#[test]
fn a_pull_writes_only_files_of_the_repository() {
    use notify::Watcher;
    let s = Sandbox::new();
    let names: Vec<String> = (0..3).map(|n| format!("f/{n}")).collect();
    let big = "line\n".repeat(3000);
    let base: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), big.as_str())).collect();
    let remote = s.remote("r", &base);
    for diverged in [false, true] {
        let c = s.clone(&remote, &format!("c{diverged}"));
        if diverged {
            s.commit(&c.path, &[("own", "own\n")], "own");
        }
        change_all(&s, &remote, &names, u32::from(diverged));
        dirty_all(&c, 7);
        let (tell, told) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(tell).unwrap();
        watcher.watch(&c.path, notify::RecursiveMode::Recursive).unwrap();
        assert!(c.pull().rescued.is_some());
        c.write("last", "");
        let events = std::iter::from_fn(|| told.recv_timeout(HANG).ok());
        let paths = events.flat_map(|e| e.unwrap().paths);
        let paths = paths.filter(|p| !p.starts_with(c.path.join(".git")));
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for path in paths {
            let name = path.strip_prefix(&c.path).unwrap().to_str().unwrap().to_owned();
            if name == "last" {
                break;
            }
            seen.insert(name);
        }
        assert!(seen.remove("f/0") && seen.remove("f/1"), "{seen:?}");
        let allowed = ["", ".git", "f", "f/2", "own", "untracked"];
        assert!(seen.iter().all(|n| allowed.contains(&n.as_str())), "{seen:?}");
    }
}

fn change_all(s: &Sandbox, remote: &Path, names: &[String], n: u32) {
    s.push_elsewhere(remote, |w| {
        for name in names {
            write(&w.join(name), &format!("{}theirs {n}\n", "line\n".repeat(3000)));
        }
    });
}

fn dirty_all(c: &Cloned<'_>, n: u32) {
    let text = c.read("f/0");
    c.write("f/0", &format!("mine {n}\n{text}"));
    c.write("untracked", &format!("u{n}\n"));
}

#[test]
fn syn_10_a_killed_clone_leaves_its_target_absent_or_whole() {
    let s = Sandbox::new();
    let files: Vec<(String, String)> =
        (0..300).map(|n| (format!("f/{n}"), format!("{n}\n").repeat(500))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let remote = s.remote("r", &files);
    let tip = s.sh(&remote, &["rev-parse", "main"]);
    let url = remote.to_str().unwrap();
    let start = SystemClock.now().mono;
    assert!(in_role("clone", &s, &[url, s.at("timing").to_str().unwrap()]).wait().unwrap().success());
    let whole = SystemClock.now().mono - start;
    let target = s.at("t/target");
    let mut absent = 0;
    for (_, at) in moments(10, whole) {
        let mut child = in_role("clone", &s, &[url, target.to_str().unwrap()]);
        pause(at);
        child.kill().unwrap();
        child.wait().unwrap();
        match fs::symlink_metadata(&target) {
            Err(_) => absent += 1,
            Ok(_) => {
                assert!(matches!(verify(&target), Verdict::Sound(_)));
                assert_eq!(s.sh(&target, &["rev-parse", "HEAD"]), tip);
                assert_eq!(s.sh(&target, &["status", "--porcelain"]), "");
                fs::remove_dir_all(&target).unwrap();
            }
        }
    }
    assert!(absent > 0);
    clone_plain(&s.git(), url, &target, &mut |_| (), &Cancel::new()).unwrap();
    let left: Vec<_> = fs::read_dir(s.at("t")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["target"]);
}

#[test]
fn a_clone_says_how_far_it_is_and_never_replaces_anything() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let mut seen = Vec::new();
    clone_plain(&s.git(), remote.to_str().unwrap(), &s.at("c"), &mut |p| seen.push(p), &Cancel::new())
        .unwrap();
    assert!(seen.iter().any(|p| p.percent == Some(100)), "{seen:?}");
    for target in ["c", "home"] {
        let e = clone_plain(&s.git(), remote.to_str().unwrap(), &s.at(target), &mut |_| (), &Cancel::new())
            .unwrap_err();
        assert!(matches!(e, GitError::AlreadyExists(_)), "{e}");
    }
    let e = create_bare(&s.git(), &remote, &Cancel::new()).unwrap_err();
    assert!(matches!(e, GitError::AlreadyExists(_)), "{e}");
    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(
        clone_plain(&s.git(), remote.to_str().unwrap(), &s.at("n"), &mut |_| (), &cancel)
            .unwrap_err()
            .class(),
        Class::Busy
    );
    assert!(!s.at("n").exists());
}

// ---- first commit, looking, commits ----

#[test]
fn the_first_of_two_machines_seeds_and_the_other_takes_it() {
    let s = Sandbox::new();
    let bare = s.at("empty.git");
    create_bare(&s.git(), &bare, &Cancel::new()).unwrap();
    let look = discover(&s.git(), bare.to_str().unwrap(), None, &Cancel::new()).unwrap();
    assert_eq!((look.head_branch.as_deref(), look.tip), (Some("main"), None));
    let (c, d, e) = (s.clone(&bare, "c"), s.clone(&bare, "d"), s.clone(&bare, "e"));
    let seed = |m: &mut ox::git::ManagedClone<'_>, text: &str| {
        m.seed("main", &[(Path::new("AGENTS.md"), text.as_bytes())], "seed")
    };
    // One machine commits while the remote is away, and goes on working.
    fs::rename(&bare, s.at("away")).unwrap();
    e.with(|m| {
        assert!(seed(m, "e").is_err());
    });
    fs::rename(s.at("away"), &bare).unwrap();
    // Two without a word of each other.
    let ours = c.with(|m| seed(m, "c").unwrap());
    assert!(matches!(ours, Seeded::Ours(_)));
    let Seeded::Theirs(theirs) = d.with(|m| seed(m, "d").unwrap()) else { panic!() };
    assert_eq!(Seeded::Ours(theirs), ours);
    e.with(|m| seed(m, "e").unwrap());
    for clone in [&c, &d, &e] {
        assert_eq!(clone.read("AGENTS.md"), "c");
        assert_eq!((clone.status().as_str(), clone.sh(&["rev-list", "--count", "HEAD"]).as_str()), ("", "1"));
    }
}

#[test]
fn a_seed_that_came_too_late_gives_way_also_below_later_commits() {
    let s = Sandbox::new();
    let bare = s.at("empty.git");
    create_bare(&s.git(), &bare, &Cancel::new()).unwrap();
    let (c, d) = (s.clone(&bare, "c"), s.clone(&bare, "d"));
    for (clone, text) in [(&c, "c"), (&d, "d")] {
        write(&clone.path.join("AGENTS.md"), text);
    }
    d.with(|m| m.commit(&[Path::new("AGENTS.md")], "seed").unwrap());
    d.sh(&["update-ref", "refs/ox/seed", "HEAD"]);
    d.write("data/own", "own\n");
    d.with(|m| m.commit(&[Path::new("data/own")], "own").unwrap());
    c.with(|m| m.seed("main", &[(Path::new("AGENTS.md"), b"c")], "seed").unwrap());
    d.with(|m| m.push_retry("main", &rules()).unwrap());
    assert_eq!((d.read("AGENTS.md"), d.read("data/own")), ("c".to_owned(), "own\n".to_owned()));
    assert_eq!(s.sh(&bare, &["rev-list", "--count", "main"]), "2");
}

#[test]
fn a_commit_takes_its_paths_and_nothing_else() {
    let s = Sandbox::new();
    let c = s.clone(&s.remote("r", &[("a", "1\n"), ("d/x", "1\n"), (".gitignore", "*.log\n")]), "c");
    c.write("a", "staged by somebody\n");
    c.sh(&["add", "a"]);
    c.write("d/x", "2\n");
    c.write("d/new.log", "ignored, still wanted\n");
    c.write("e", "not named\n");
    let id = c.with(|m| m.commit(&[Path::new("d")], "one").unwrap()).unwrap();
    assert_eq!(
        c.sh(&["diff-tree", "--no-commit-id", "-r", "--name-only", &id.to_string()]),
        "d/new.log\nd/x"
    );
    assert_eq!(c.status(), "M  a\n?? e");
    assert_eq!(c.with(|m| m.commit(&[Path::new("d")], "two").unwrap()), None);
    fs::remove_dir_all(c.path.join("d")).unwrap();
    let id = c.with(|m| m.commit(&[Path::new("d")], "gone").unwrap()).unwrap();
    assert_eq!(c.sh(&["ls-tree", "--name-only", &id.to_string()]), ".gitignore\na");
    let e = c.with(|m| m.commit(&[Path::new("nothing-there")], "x").unwrap_err());
    assert_eq!(e.class(), Class::Usage, "{e}");
    c.write("bad.json", "<<<<<<< HEAD\n{}\n");
    let head = c.sh(&["rev-parse", "HEAD"]);
    let e = c.with(|m| m.commit(&[Path::new("bad.json")], "x").unwrap_err());
    assert!(matches!(e, GitError::BadJson { .. }), "{e}");
    assert!(c.status().contains("?? bad.json"), "it is not left staged either");
    assert_eq!(c.sh(&["rev-parse", "HEAD"]), head);
    symlink("/etc/passwd", c.path.join("link")).unwrap();
    assert!(matches!(c.with(|m| m.commit(&[Path::new("link")], "x").unwrap_err()), GitError::BadPath { .. }));
}

#[test]
fn commits_have_the_users_name_or_a_stand_in() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    let who = |name: &str, profile| {
        c.write(name, "x");
        with_clone(&s.git_as(profile), &c.lock, &c.path, |m| {
            m.commit(&[Path::new(name)], "x").unwrap().unwrap()
        });
        c.sh(&["log", "-1", "--format=%an <%ae>"])
    };
    assert_eq!(who("x", Profile::SelfHosted), "Test <test@example.org>");
    assert_eq!(who("y", Profile::Vendor), "Test <test@example.org>");
    fs::write(s.at("home/.gitconfig"), "").unwrap();
    assert_eq!(who("z", Profile::SelfHosted), "ox <ox@box>");
}

#[test]
fn lock_files_of_others_are_waited_for_and_stale_ones_removed() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let c = s.clone(&remote, "c");
    s.push_elsewhere(&remote, |w| write(&w.join("a"), "2\n"));
    let lock = c.path.join(".git/index.lock");
    write(&lock, "");
    c.with(|m| m.fetch("main").unwrap());
    let e = c.with(|m| m.integrate("main", &rules()).unwrap_err());
    assert!(
        matches!(&e, GitError::LockFiles(files) if files == std::slice::from_ref(&lock))
            && e.class() == Class::Busy,
        "{e}"
    );
    assert!(lock.exists());
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(&lock).unwrap().set_modified(old).unwrap();
    assert_eq!(c.pull().how, How::FastForward);
}

#[test]
fn damage_is_told_from_not_knowing() {
    let s = Sandbox::new();
    let remote = s.remote("r", &[("a", "1\n")]);
    let check = |name: &str, damage: &dyn Fn(&Path), damaged: bool| {
        let c = s.clone(&remote, name);
        damage(&c.path);
        let got = verify(&c.path);
        assert_eq!(matches!(got, Verdict::Damaged(_)), damaged, "{name}: {got:?}");
    };
    check("sound", &|_| (), false);
    check("no-git", &|p| fs::remove_dir_all(p.join(".git")).unwrap(), true);
    check("gone", &|p| fs::remove_dir_all(p).unwrap(), true);
    check("no-head", &|p| fs::remove_file(p.join(".git/HEAD")).unwrap(), true);
    check("invalid-head", &|p| write(&p.join(".git/HEAD"), "ref: refs/heads/.invalid\n"), true);
    check("garbage-head", &|p| write(&p.join(".git/HEAD"), "\0\0\0"), true);
    check("empty-index", &|p| write(&p.join(".git/index"), ""), true);
    check("garbage-index", &|p| write(&p.join(".git/index"), "no index at all"), true);
    check("no-index", &|p| fs::remove_file(p.join(".git/index")).unwrap(), false);
    check("no-objects", &|p| fs::remove_dir_all(p.join(".git/objects")).unwrap(), true);
    check("config", &|p| write(&p.join(".git/config"), "[core"), false);
    check(
        "missing-tip",
        &|p| {
            write(&p.join(".git/refs/heads/main"), "1111111111111111111111111111111111111111\n");
        },
        true,
    );
}

#[test]
fn a_remote_on_this_machine_is_read_in_process() {
    let mut s = Sandbox::new();
    let log = s.count_git();
    let remote = s.remote("r x", &[("a", "1\n")]);
    let tip = s.sh(&remote, &["rev-parse", "main"]);
    let work = s.at("r x-first");
    fs::write(&log, "").unwrap();
    let check = |url: String, branch, head: Option<&str>, tip: Option<&str>| {
        let got = discover(&s.git(), &url, branch, &Cancel::new()).unwrap();
        assert_eq!(
            (got.head_branch.as_deref(), got.tip.map(|t| t.to_string()).as_deref()),
            (head, tip),
            "{url}"
        );
    };
    check(remote.display().to_string(), None, Some("main"), Some(&tip));
    check(format!("file://{}", remote.display()).replace(' ', "%20"), Some("main"), Some("main"), Some(&tip));
    check(s.at("r x").display().to_string(), Some("nope"), Some("main"), None);
    check(work.display().to_string(), None, Some("main"), Some(&tip));
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    let e = discover(&s.git(), "/nonexistent/r.git", None, &Cancel::new()).unwrap_err();
    assert_eq!(e.class(), Class::Usage, "{e}");
}

#[test]
fn a_wrong_branch_is_an_answer() {
    let s = Sandbox::new();
    let c = s.clone(&s.remote("r", &[("a", "1\n")]), "c");
    c.sh(&["checkout", "-q", "-b", "x"]);
    assert!(matches!(
        c.with(|m| m.integrate("main", &ResolveRules::default()).unwrap_err()),
        GitError::WrongBranch { .. }
    ));
    c.sh(&["checkout", "-q", "--detach"]);
    assert!(matches!(
        c.with(|m| m.integrate("main", &ResolveRules::default()).unwrap_err()),
        GitError::WrongBranch { .. }
    ));
}

#[test]
fn origin_and_excludes_are_set_without_a_commit() {
    let s = Sandbox::new();
    let c = s.clone(&s.remote("r", &[("a", "1\n")]), "c");
    let other = s.remote("q", &[("a", "1\n")]);
    c.with(|m| {
        m.set_origin(other.to_str().unwrap()).unwrap();
        m.ensure_excludes(&[".sageox/cache/"]).unwrap();
        m.ensure_excludes(&[".sageox/cache/"]).unwrap();
    });
    c.write(".sageox/cache/x", "x");
    c.write("a.conflict-box-123", "x");
    assert_eq!(c.status(), "");
    assert_eq!(c.sh(&["remote", "get-url", "origin"]), other.display().to_string());
}
