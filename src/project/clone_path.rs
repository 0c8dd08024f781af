//! Paths that come over the wire or from a file that somebody else committed, and where a clone may lie: what is at such a path is
//! cloned into and pushed from.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::ids::check_team_id;
use super::{Dirs, Env, Error};

/// The names in a slug's directory below which clones lie, each in a directory of its own.
const CLONES: [&str; 2] = ["ledgers", "teams"];

/// Nothing if a path that somebody else named may be looked at at all: from the root and without `..`. Every message and file that names a
/// path goes through here.
///
/// # Errors
/// `UnsafePath`, which never repeats the path.
pub fn check_named_path(path: &Path) -> Result<(), Error> {
    let plain = |c: Component| matches!(c, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) { Ok(()) } else { Err(Error::UnsafePath) }
}

/// The path with symbolic links resolved, if a clone may lie there: in its own place of our data directory, below the home directory
/// but in no hidden directory there, or below the directory for temporary files; never in what belongs to git.
///
/// # Errors
/// `UnsafePath`, which never repeats the path.
pub fn check_clone_path(env: &Env, dirs: &Dirs, path: &Path) -> Result<PathBuf, Error> {
    check_named_path(path)?;
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.windows(2).any(|w| w == b"..") || bytes.iter().any(u8::is_ascii_control) {
        return Err(Error::UnsafePath);
    }
    let real = resolve(path).ok_or(Error::UnsafePath)?;
    if is_in_git(&real) {
        return Err(Error::UnsafePath);
    }
    let home = env.home().and_then(resolve);
    let data = resolve(dirs.data());
    let below = |root: &Path| real.starts_with(root) && real != root;
    let hidden = |c: Component| c.as_os_str().as_encoded_bytes().starts_with(b".");
    let holds = |root: &Option<PathBuf>| root.as_deref().is_some_and(|root| root.starts_with(&real));
    if holds(&home) || holds(&data) {
        return Err(Error::UnsafePath);
    }
    let allowed = if let Some(rest) = data.and_then(|data| real.strip_prefix(data).ok()) {
        is_place_of_a_clone(rest)
    } else if let Some(rest) = home.as_deref().and_then(|home| real.strip_prefix(home).ok()) {
        !rest.components().any(hidden)
    } else {
        let temp = [env.temp(), Path::new("/tmp"), Path::new("/private/tmp")];
        temp.into_iter().filter_map(resolve).any(|root| below(&root))
    };
    if allowed { Ok(real) } else { Err(Error::UnsafePath) }
}

/// `<slug>/ledgers/<id>` and `<slug>/teams/<id>`: beside them are our locks, our state and the local remotes, and in them is what is kept.
fn is_place_of_a_clone(within_data: &Path) -> bool {
    let names: Vec<&OsStr> = within_data.iter().collect();
    match names.as_slice() {
        [_, kind, id] => {
            CLONES.iter().any(|c| *kind == *c) && id.to_str().is_some_and(|id| check_team_id(id).is_ok())
        }
        _ => false,
    }
}

/// Whether git would take what lies there for hooks, settings or objects of a repository: the path has a `.git` in it, however it is
/// written, or lies in a bare repository.
fn is_in_git(path: &Path) -> bool {
    let named = path.iter().any(|name| name.eq_ignore_ascii_case(".git"));
    let bare =
        |dir: &Path| dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir();
    named || path.ancestors().any(bare)
}

/// The path with the links of its existing part resolved; `None` if that cannot be done, as with a link to nowhere.
fn resolve(path: &Path) -> Option<PathBuf> {
    for base in path.ancestors() {
        match base.symlink_metadata() {
            Ok(_) => {
                let real = base.canonicalize().ok()?;
                let rest = path.strip_prefix(base).ok()?;
                return Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        tmp: tempfile::TempDir,
        env: Env,
        dirs: Dirs,
    }

    impl Fixture {
        /// A home inside of the directory for temporary files, as tests have it.
        fn new() -> Fixture {
            let tmp = tempfile::tempdir().unwrap();
            let home = tmp.path().join("home");
            std::fs::create_dir_all(home.join("w")).unwrap();
            let env = Env::of([("HOME", home.as_os_str())], &home);
            let dirs = Dirs::from_env(&env).unwrap();
            Fixture { tmp, env, dirs }
        }

        fn home(&self) -> PathBuf {
            self.tmp.path().canonicalize().unwrap().join("home")
        }

        fn check(&self, path: impl AsRef<Path>, allowed: bool) {
            let done = check_clone_path(&self.env, &self.dirs, path.as_ref());
            assert_eq!(done.is_ok(), allowed, "{:?}: {done:?}", path.as_ref());
        }
    }

    #[test]
    fn clones_lie_with_our_data_in_the_home_or_in_temporary_directories() {
        let f = Fixture::new();
        f.check(f.dirs.ledger("local", "repo_1"), true);
        f.check(f.home().join("w/p_sageox/sageox.ai/ledger"), true);
        f.check(f.home().join("new/deep/er"), true);
        f.check(f.tmp.path().join("elsewhere"), true);
        std::fs::create_dir(f.home().join("real")).unwrap();
        symlink(f.home().join("real"), f.home().join("link")).unwrap();
        let got = check_clone_path(&f.env, &f.dirs, &f.home().join("link/x")).unwrap();
        assert_eq!(got, f.home().join("real/x"));
        let other = Env::of([("HOME", "/nonexistent/h"), ("XDG_DATA_HOME", "/nonexistent/data")], "/");
        let dirs = Dirs::from_env(&other).unwrap();
        assert!(check_clone_path(&other, &dirs, &dirs.ledger("local", "repo_1")).is_ok());
    }

    #[test]
    fn sec_02_no_path_of_somebody_else_s_choice_leads_elsewhere() {
        let f = Fixture::new();
        for path in [
            "",
            ".",
            "..",
            "/",
            "//",
            "x",
            "./x",
            "../x",
            "~",
            "~/x",
            "$HOME/x",
            "C:\\x",
            "file:///tmp/x",
            "-x",
            "/..",
            "/tmp/../etc",
            "/tmp/..",
            "/tmp/a..b",
            "/tmp/.../x",
            "/tmp/x/../../etc/passwd",
            "/tmp",
            "/tmp/",
            "/etc",
            "/etc/passwd",
            "/root/.ssh-none",
            "/usr/local/x",
            "/var/lib/x",
            "/proc/self/root/etc/x",
            "/dev/shm/x",
            "/dev/null",
            "/sys/x",
            "/boot/x",
            "/opt/x",
            "/home",
            "/bin/x",
            "/tmpx",
            "/tmp/x\n",
            "/tmp/x\0y",
            "/tmp/\u{1b}[2J",
            "/nonexistent/x",
            "/tmp/x/.git",
            "/tmp/x/.git/hooks",
            "/tmp/x/.GIT/hooks",
        ] {
            f.check(path, false);
        }
        for below in [
            "",
            ".",
            ".ssh",
            ".ssh/x",
            ".config/git",
            ".local",
            ".local/share",
            ".local/share/sageox",
            ".gnupg/x",
            ".bashrc",
            ".cargo/bin",
            "../x",
            "w/../../x",
            "w/../.ssh",
            "w/.git/hooks",
            "w/.Git/objects",
            "w/.husky",
            "w/.github/workflows",
            ".local/share/sageox/local",
            ".local/share/sageox/local/locks",
            ".local/share/sageox/local/state",
            ".local/share/sageox/local/remotes/repo_1.git",
            ".local/share/sageox/local/ledgers",
            ".local/share/sageox/local/ledgers/repo_1/data",
            ".local/share/sageox/local/ledgers/repo_1.new",
            ".local/share/sageox/local/ledgers/repo_1.bak.17",
        ] {
            f.check(f.home().join(below), false);
        }
        let bare = f.home().join("store");
        git2::Repository::init_bare(&bare).unwrap();
        for below in ["", "hooks", "hooks/deep", "new"] {
            f.check(bare.join(below), false);
        }
        f.check(f.tmp.path(), false);
        f.check(Path::new(OsStr::from_bytes(b"/tmp/../\xff")), false);
        symlink("/etc", f.home().join("etc")).unwrap();
        symlink("/nonexistent", f.home().join("nowhere")).unwrap();
        symlink(f.home().join("loop"), f.home().join("loop")).unwrap();
        symlink(f.home().join(".ssh"), f.home().join("keys")).unwrap();
        std::fs::create_dir(f.home().join(".ssh")).unwrap();
        std::fs::write(f.home().join("file"), "").unwrap();
        for below in ["etc", "etc/x", "nowhere", "nowhere/x", "loop", "loop/x", "keys/x", "file/x"] {
            f.check(f.home().join(below), false);
        }
        let error = check_clone_path(&f.env, &f.dirs, Path::new("/etc/x")).unwrap_err();
        assert!(!error.to_string().contains("etc"));
    }
}
