//! Real git repositories, each sandbox with its own home and configuration.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Once};

use ox::git::{CloneLock, Env, Git, GitError, Integrated, ManagedClone, Profile, ResolveRules, clone_plain};
use ox::kit::cancel::Cancel;
use ox::kit::clock::SystemClock;

use super::{HANG, spawn, temp};

/// A private home with a git configuration, and room for repositories.
pub struct Sandbox {
    root: tempfile::TempDir,
    path: OsString,
}

impl Default for Sandbox {
    fn default() -> Sandbox {
        Sandbox::new()
    }
}

impl Sandbox {
    pub fn new() -> Sandbox {
        Sandbox::below(&temp::place())
    }

    /// One on a disk: there numbers of inodes are given out again, and times of access are kept.
    pub fn on_disk() -> Sandbox {
        Sandbox::below(&std::env::temp_dir())
    }

    fn below(place: &Path) -> Sandbox {
        no_real_home();
        let root = tempfile::Builder::new().prefix("ox-git-").tempdir_in(place).unwrap();
        let home = root.path().join("home");
        fs::create_dir(&home).unwrap();
        let config = "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n";
        fs::write(home.join(".gitconfig"), config).unwrap();
        Sandbox { root, path: std::env::var_os("PATH").unwrap() }
    }

    /// A path in the sandbox.
    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Adds to the user's git configuration.
    pub fn configure(&self, text: &str) {
        let file = self.at("home/.gitconfig");
        fs::write(&file, format!("{}{text}", fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// Puts a shell script into the sandbox and answers its path.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// From now on every git that `ox` starts writes its sub-command into the answered file.
    pub fn count_git(&mut self) -> PathBuf {
        let log = self.at("git.log");
        self.git_that(&format!("echo \"$@\" >> '{}'", log.display()));
        log
    }

    /// From now on every git that `ox` starts runs these lines of shell first.
    pub fn git_that(&mut self, does: &str) {
        let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
        let real = String::from_utf8(real).unwrap();
        self.script("counted/git", &format!("{does}\nexec {} \"$@\"", real.trim()));
        let mut path = self.at("counted").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        self.path = path;
    }

    /// Where programs are looked for.
    pub fn path(&self) -> &OsStr {
        &self.path
    }

    /// What a git child of `ox` may see here.
    pub fn env(&self) -> Env {
        self.env_with(&[])
    }

    /// The same with more variables.
    pub fn env_with(&self, more: &[(&str, &str)]) -> Env {
        let vars = [("PATH", self.path.clone()), ("HOME", self.at("home").into())];
        let more = more.iter().map(|(n, v)| (*n, OsString::from(v)));
        Env::of(vars.into_iter().chain(more).map(|(n, v)| (OsString::from(n), v)))
    }

    /// How `ox` runs git here.
    pub fn git(&self) -> Git {
        self.git_as(Profile::SelfHosted)
    }

    /// The same with a profile.
    pub fn git_as(&self, profile: Profile) -> Git {
        Git::new(profile, self.env(), Arc::new(SystemClock), "box")
    }

    /// Runs plain git, as a user would; panics if it fails.
    pub fn sh(&self, dir: &Path, args: &[&str]) -> String {
        let (ok, text) = self.try_sh(dir, args);
        assert!(ok, "git {args:?}: {text}");
        text
    }

    /// Runs plain git; whether it succeeded and what it printed.
    pub fn try_sh(&self, dir: &Path, args: &[&str]) -> (bool, String) {
        let path = std::env::var_os("PATH").unwrap();
        let mut command = Command::new(spawn::found("git".as_ref(), &path));
        command.args(args).current_dir(dir).env_clear().env("PATH", path).env("HOME", self.at("home"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let out = spawn::output(command).unwrap();
        let text = if out.status.success() { out.stdout } else { [out.stdout, out.stderr].concat() };
        (out.status.success(), String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    /// A bare remote `name.git` with one commit of `files`.
    pub fn remote(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let bare = self.at(&format!("{name}.git"));
        ox::git::create_bare(&self.git(), &bare, &Cancel::new()).unwrap();
        let work = self.at(&format!("{name}-first"));
        self.sh(&self.at(""), &["clone", "-q", bare.to_str().unwrap(), work.to_str().unwrap()]);
        self.commit(&work, files, "first");
        self.sh(&work, &["push", "-q", "origin", "HEAD:main"]);
        bare
    }

    /// Writes files (`None` would be deleted) and commits all of them, by plain git.
    pub fn commit(&self, work: &Path, files: &[(&str, &str)], message: &str) -> String {
        for (name, text) in files {
            write(&work.join(name), text);
        }
        self.sh(work, &["add", "-A", "-f"]);
        self.sh(work, &["commit", "-q", "--allow-empty", "-m", message]);
        self.sh(work, &["rev-parse", "HEAD"])
    }

    /// A plain clone, made by `ox`.
    pub fn clone(&self, remote: &Path, name: &str) -> Cloned<'_> {
        let path = self.at(name);
        clone_plain(&self.git(), remote.to_str().unwrap(), &path, &mut |_| (), &Cancel::new()).unwrap();
        Cloned { sandbox: self, path, lock: self.at(&format!("locks/{name}.lock")) }
    }

    /// Whether a remote knows how to leave contents out of what it sends.
    pub fn filters(&self, remote: &Path, on: bool) {
        self.sh(remote, &["config", "uploadpack.allowFilter", if on { "true" } else { "false" }]);
    }

    /// Commits to a remote from another machine, by plain git.
    pub fn push_elsewhere(&self, remote: &Path, change: impl FnOnce(&Path)) -> String {
        let dir = tempfile::Builder::new().prefix("other-").tempdir_in(self.root.path()).unwrap();
        self.sh(dir.path(), &["clone", "-q", remote.to_str().unwrap(), "w"]);
        let work = dir.path().join("w");
        change(&work);
        let id = self.commit(&work, &[], "elsewhere");
        self.sh(&work, &["push", "-q", "origin", "HEAD:main"]);
        id
    }
}

/// A clone with its lock file.
pub struct Cloned<'s> {
    pub sandbox: &'s Sandbox,
    pub path: PathBuf,
    pub lock: PathBuf,
}

impl Cloned<'_> {
    /// Opens it under its lock.
    pub fn with<T>(&self, work: impl FnOnce(&mut ManagedClone<'_>) -> T) -> T {
        with_clone(&self.sandbox.git(), &self.lock, &self.path, work)
    }

    /// One fetch and integration of `main`.
    pub fn pull(&self) -> Integrated {
        self.try_pull().unwrap()
    }

    /// As [`Cloned::pull`], which may come to nothing.
    pub fn try_pull(&self) -> Result<Integrated, GitError> {
        self.with(|c| {
            c.fetch("main").unwrap();
            c.integrate("main", &rules())
        })
    }

    pub fn write(&self, name: &str, text: &str) {
        write(&self.path.join(name), text);
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }

    pub fn sh(&self, args: &[&str]) -> String {
        self.sandbox.sh(&self.path, args)
    }

    /// What git calls dirty here.
    pub fn status(&self) -> String {
        self.sh(&["status", "--porcelain", "-uall"])
    }
}

/// Opens a clone under its lock, waiting for it.
pub fn with_clone<T>(
    git: &Git,
    lock: &Path,
    path: &Path,
    work: impl FnOnce(&mut ManagedClone<'_>) -> T,
) -> T {
    let mut lock = CloneLock::acquire(lock, HANG).unwrap().expect("the lock in time");
    let cancel = Cancel::new();
    let mut clone = lock.open(git, path, &cancel).unwrap();
    work(&mut clone)
}

/// The rules of a ledger.
pub fn rules() -> ResolveRules {
    ResolveRules { auto: vec!["data/".into()], none: vec!["data/none/".into()] }
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// libgit2 looks for the user's configuration by itself; in tests it finds none.
pub fn no_real_home() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for level in [git2::ConfigLevel::Global, git2::ConfigLevel::XDG, git2::ConfigLevel::System] {
            // Sound: it is called once, before any other call of the library in this process can run, because every test
            // that uses the library makes its sandbox or its machine first and waits here.
            #[allow(unsafe_code)]
            unsafe {
                git2::opts::set_search_path(level, "/nonexistent").unwrap();
            }
        }
    });
}
