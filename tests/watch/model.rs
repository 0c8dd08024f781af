//! What a tree truly is, as git and the disk tell it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::git::Sandbox;
use ox::watch::Stat;

/// A repository in a sandbox.
pub struct Repo {
    pub sandbox: Sandbox,
    pub root: PathBuf,
}

impl Repo {
    /// A repository with the files of `names`.
    pub fn new(names: &[&str]) -> Repo {
        let sandbox = Sandbox::on_disk();
        let root = sandbox.at("r");
        fs::create_dir(&root).unwrap();
        let repo = Repo { sandbox, root: root.canonicalize().unwrap() };
        repo.git(&["init", "-q"]);
        for name in names {
            repo.write(name, "first");
        }
        repo.commit();
        repo
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    pub fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "Change"]);
    }

    pub fn git(&self, args: &[&str]) -> String {
        String::from_utf8_lossy(&self.git_in(&self.root, args)).trim_end().to_string()
    }

    pub fn git_in(&self, dir: &Path, args: &[&str]) -> Vec<u8> {
        let out = self.command(dir, args).output().unwrap();
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(dir).env("HOME", self.sandbox.at("home")).stdin(Stdio::null());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env_remove("GIT_DIR");
        command
    }

    /// Runs git, which may refuse.
    pub fn try_git(&self, args: &[&str]) -> bool {
        self.command(&self.root, args).output().unwrap().status.success()
    }

    /// Every file that git tracks or does not leave out, as it is on disk.
    pub fn tree(&self) -> BTreeMap<Box<[u8]>, Stat> {
        tree_of(
            &self.git_in(
                &self.root,
                &["--no-optional-locks", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            ),
            &self.root,
        )
    }
}

/// What is on disk of the paths that `git ls-files -z` names.
fn tree_of(listed: &[u8], root: &Path) -> BTreeMap<Box<[u8]>, Stat> {
    let mut found = BTreeMap::new();
    for path in listed.split(|b| *b == 0).filter(|p| !p.is_empty()) {
        let at = root.join(Path::new(std::ffi::OsStr::from_bytes(path)));
        // A directory on the way may have become a link.
        let up = at.ancestors().skip(1).take_while(|up| *up != root);
        let linked = up.into_iter().any(|dir| fs::symlink_metadata(dir).is_ok_and(|m| m.is_symlink()));
        let Some(meta) = fs::symlink_metadata(&at).ok().filter(|_| !linked) else { continue };
        if meta.is_file() || meta.is_symlink() {
            let mtime = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
            found.insert(path.into(), Stat { size: meta.size(), mtime, ino: meta.ino(), mode: meta.mode() });
        }
    }
    found
}
