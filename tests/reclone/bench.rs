//! A clone with every kind of local work, and a full look at it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ox::git::{CloneLock, Git, clone_plain};
use ox::kit::cancel::Cancel;
use ox::kit::clock::{Clock, SystemClock};
use ox::sync::Failure;
use ox::sync::reclone::{self, Callbacks, Done, Reclone, Recovered, Refusal, Target};

use crate::support::git::{Cloned, Sandbox, rules, write};

/// A clone under test: its remote, and where its state is.
pub struct Bench {
    pub s: Sandbox,
    pub remote: PathBuf,
    pub path: PathBuf,
    pub lock: PathBuf,
    pub state: PathBuf,
}

impl Bench {
    /// A clone of a remote with a few files.
    pub fn new() -> Bench {
        let s = Sandbox::new();
        let big = "line\n".repeat(2000);
        let files = [
            ("changed", big.as_str()),
            ("staged", "1\n"),
            ("both", "1\n"),
            ("gone", "1\n"),
            ("gone-staged", "1\n"),
            ("tool", "1\n"),
            ("link", "1\n"),
            ("turned/in/to", "1\n"),
            ("clean", "1\n"),
            ("dir", "a file\n"),
            (".gitignore", "*.log\nbuild/\n.sageox/cache/\n"),
        ];
        let remote = s.remote("r", &files);
        let c = s.clone(&remote, "c");
        let (path, lock) = (c.path.clone(), c.lock.clone());
        let state = s.at("state");
        Bench { remote, path, lock, state, s }
    }

    /// The same with every kind of local work in it.
    pub fn full() -> Bench {
        let b = Bench::new();
        b.s.commit(&b.path, &[("own", "own\n")], "not pushed");
        b.s.sh(&b.path, &["branch", "mark", "HEAD~1"]);
        b.s.sh(&b.path, &["tag", "-a", "-m", "t", "own-tag"]);
        b.s.sh(&b.path, &["update-ref", "refs/ox/rescue/1700000000", "HEAD"]);
        b.s.sh(&b.path, &["config", "user.email", "own@example.org"]);
        let at = |name: &str| b.path.join(name);
        write(&at("changed"), &format!("mine\n{}", "line\n".repeat(2000)));
        write(&at("staged"), "2\n");
        write(&at("both"), "2\n");
        write(&at("new-staged"), "n\n");
        b.s.sh(&b.path, &["add", "staged", "both", "new-staged"]);
        write(&at("both"), "3\n");
        fs::remove_file(at("gone")).unwrap();
        b.s.sh(&b.path, &["rm", "-q", "gone-staged"]);
        fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(at("link")).unwrap();
        symlink("clean", at("link")).unwrap();
        fs::remove_dir_all(at("turned")).unwrap();
        write(&at("turned"), "now a file\n");
        fs::remove_file(at("dir")).unwrap();
        write(&at("dir/inside"), "now a directory\n");
        fs::write(at("binary"), [0u8, 255, 13, 10, 0, 128]).unwrap();
        write(&at("deep/er/untracked ü\n"), "odd name\n");
        symlink("/nowhere", at("dangling")).unwrap();
        write(&at("later"), "announced\n");
        b.s.sh(&b.path, &["add", "-N", "later"]);
        write(&at("x.log"), "ignored\n");
        write(&at("build/out"), "ignored too\n");
        write(&at(".sageox/cache/sync-state.json"), "{}\n");
        fs::set_permissions(at(".sageox/cache/sync-state.json"), fs::Permissions::from_mode(0o600)).unwrap();
        write(&at("a.conflict-box-1"), "copy\n");
        write(&at(".git/info/exclude"), "*.conflict-*-[0-9]*\n");
        write(&at(".git/hooks/post-commit"), "#!/bin/sh\nexit 1\n");
        write(&at(".git/lfs/objects/ab/cd"), "large\n");
        fs::create_dir(at("nested")).unwrap();
        b.s.sh(&at("nested"), &["init", "-q"]);
        b.s.commit(&at("nested"), &[("n", "n\n")], "nested");
        b
    }

    pub fn cloned(&self) -> Cloned<'_> {
        Cloned { sandbox: &self.s, path: self.path.clone(), lock: self.lock.clone() }
    }

    /// Hands `work` the clone as a target.
    pub fn with_target<T>(&self, work: impl FnOnce(&Target<'_>) -> T) -> T {
        with_target(&self.s.git(), &self.path, &self.lock, &self.state, work)
    }

    /// One run.
    pub fn run(&self) -> Result<Reclone, Failure> {
        let url = self.remote.to_str().unwrap();
        self.with_target(|t| run(t, url, &mut || ()))
    }

    #[track_caller]
    pub fn done(&self) -> Done {
        match self.run() {
            Ok(Reclone::Done(done)) => done,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn refused(&self) -> Refusal {
        match self.run() {
            Ok(Reclone::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    pub fn recover(&self) -> Recovered {
        let lock =
            CloneLock::acquire(&self.lock, Duration::from_secs(30)).unwrap().expect("the lock in time");
        let now = SystemClock.now().wall;
        reclone::recover(&lock, &self.s.git(), &self.path, &self.state, now, &Cancel::new()).unwrap()
    }

    /// Everything that lies beside the clone and is named after it.
    pub fn siblings(&self) -> Vec<String> {
        let entries = fs::read_dir(self.s.at("")).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|n| n.into_string().unwrap()).collect();
        names.retain(|n| n.starts_with("c."));
        names
    }

    /// All there is in the clone, but for what a reclone may change: the remote's mirror, packs, and new rescue refs.
    pub fn look(&self) -> Look {
        let mut look = Look::new();
        let mut note = |name: String, bytes: Vec<u8>| assert!(look.insert(name, bytes).is_none());
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(self.path.join(&dir)).unwrap() {
                let path = dir.join(entry.unwrap().file_name());
                let full = self.path.join(&path);
                let meta = fs::symlink_metadata(&full).unwrap();
                let inside = [".git/info/exclude", ".git/hooks", ".git/lfs", ".git/info"];
                if path.starts_with(".git")
                    && path != Path::new(".git")
                    && !inside.iter().any(|i| path.starts_with(i))
                {
                    continue;
                }
                if meta.is_dir() {
                    todo.push(path);
                    continue;
                }
                let bytes = if meta.is_symlink() {
                    fs::read_link(&full).unwrap().into_os_string().into_encoded_bytes()
                } else {
                    fs::read(&full).unwrap()
                };
                note(format!("{} {:o}", path.display(), meta.mode()), bytes);
            }
        }
        let git = |args: &[&str]| self.s.sh(&self.path, args).into_bytes();
        note("HEAD".into(), git(&["symbolic-ref", "HEAD"]));
        note("staged".into(), git(&["diff", "--cached", "--binary"]));
        note("unstaged".into(), git(&["diff", "--binary"]));
        note(
            "user".into(),
            self.s.try_sh(&self.path, &["config", "--local", "--get-regexp", "^user"]).1.into_bytes(),
        );
        let refs = self.s.sh(&self.path, &["for-each-ref", "--format=%(refname) %(objectname)"]);
        for line in refs.lines().filter(|l| !l.starts_with("refs/remotes/")) {
            note(line.to_owned(), Vec::new());
        }
        look
    }

    /// The clone is in its place with all that `before` had, and nothing else is left of any run.
    #[track_caller]
    pub fn has_all(&self, before: &Look, moment: &str) {
        let now = self.look();
        for (name, bytes) in before {
            let there = now.get(name);
            assert!(
                there == Some(bytes),
                "{moment}: {name} is {:?}",
                there.map(|b| String::from_utf8_lossy(b).into_owned())
            );
        }
        let new: Vec<&String> = now.keys().filter(|name| !before.contains_key(*name)).collect();
        assert!(new.iter().all(|n| n.starts_with("refs/ox/rescue/")), "{moment}: {new:?}");
        for (name, bytes) in &now {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains("<<<<<<<") && !text.contains(">>>>>>>"), "{moment}: a marker in {name}");
        }
        assert_eq!(self.siblings(), Vec::<String>::new(), "{moment}");
        assert!(!self.state.join("reclone.json").exists(), "{moment}");
        self.s.sh(&self.path, &["fsck", "--connectivity-only"]);
    }
}

/// Names and bytes.
pub type Look = BTreeMap<String, Vec<u8>>;

pub fn with_target<T>(
    git: &Git,
    clone: &Path,
    lock: &Path,
    state: &Path,
    work: impl FnOnce(&Target<'_>) -> T,
) -> T {
    let (rules, clock) = (rules(), SystemClock);
    work(&Target {
        git,
        clock: &clock,
        clone,
        lock,
        state,
        branch: "main",
        read_only: false,
        rules: &rules,
        gate: None,
    })
}

/// One run that makes the new clone from `url`; `meanwhile` happens after that, before anything is copied.
pub fn run(target: &Target<'_>, url: &str, meanwhile: &mut dyn FnMut()) -> Result<Reclone, Failure> {
    let cancel = Cancel::new();
    let git = target.git;
    let mut make = |new: &Path| clone_plain(git, url, new, &mut |_| (), &Cancel::new());
    let hands = Callbacks { make: &mut make, before_swap: meanwhile, after_swap: &mut || () };
    reclone::reclone(target, hands, &cancel)
}
