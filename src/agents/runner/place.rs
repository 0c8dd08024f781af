//! Where a run works: an empty directory that goes with it. There is a handful of them, taken one after the other, because programs remember
//! by its path each directory in which they ever were. What a crash leaves is taken away by whoever comes next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::agents::limits::PLACES;
use crate::harness::answer::DIRECTORY;
use crate::harness::headless;
use crate::kit::file;
use crate::kit::lock::FileLock;
use crate::project::Env;

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    work: PathBuf,
    of_gemini: Option<PathBuf>,
    _lock: FileLock,
}

impl Place {
    /// Takes one below `base`.
    ///
    /// # Errors
    /// All are taken, or the disk's.
    pub(super) fn take(base: &Path, env: &Env) -> io::Result<Place> {
        file::private_dir(base)?;
        // Programs note where they were by the true path.
        let base = base.canonicalize()?;
        for n in 1..=PLACES {
            let Some(lock) = FileLock::try_acquire(&lock_of(&base, n))? else { continue };
            let (dir, work) = paths(&base, n);
            let place = Place { dir, work, of_gemini: of_gemini(env), _lock: lock };
            place.clear();
            for dir in [&place.dir, &place.work, &place.temp()] {
                file::private_dir(dir)?;
            }
            return Ok(place);
        }
        Err(io::Error::other("too many agents work in the background already"))
    }

    /// The directory, empty at first.
    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// A directory for temporary files.
    pub(super) fn temp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn clear(&self) {
        clear(&self.dir, &self.work, self.of_gemini.as_deref());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
    }
}

fn lock_of(base: &Path, n: usize) -> PathBuf {
    base.join(format!("{n}.lock"))
}

fn paths(base: &Path, n: usize) -> (PathBuf, PathBuf) {
    let dir = base.join(n.to_string());
    let work = dir.join(format!("{DIRECTORY}{n}"));
    (dir, work)
}

/// Gemini CLI's own directory: it cannot be told to write nothing down.
fn of_gemini(env: &Env) -> Option<PathBuf> {
    let home = env.get_os("GEMINI_CLI_HOME").map(PathBuf::from).or_else(|| env.home().map(Path::to_owned))?;
    Some(home.join(".gemini"))
}

fn clear(dir: &Path, work: &Path, of_gemini: Option<&Path>) {
    let kept = of_gemini.map(|dir| headless::kept("gemini", dir, work)).unwrap_or_default();
    for path in kept.iter().map(PathBuf::as_path).chain([dir]) {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => log::warn!("{}: {e}", path.display()),
            _ => {}
        }
    }
}

/// Takes away what runs below `base` have left that have ended without doing so.
pub fn sweep(base: &Path, env: &Env) {
    let Ok(base) = base.canonicalize() else { return };
    for n in 1..=PLACES {
        let (dir, work) = paths(&base, n);
        if !dir.exists() {
            continue;
        }
        match FileLock::try_acquire(&lock_of(&base, n)) {
            Ok(Some(_lock)) => clear(&dir, &work, of_gemini(env).as_deref()),
            Ok(None) => {}
            Err(e) => log::warn!("{}: {e}", dir.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_run_has_a_directory_of_its_own_that_goes_with_it_and_what_a_crash_left_goes_later() {
        let tmp = tempfile::tempdir().unwrap();
        let env = Env::of([("HOME", tmp.path())], "/");
        let base = tmp.path().join("agents");
        let first = Place::take(&base, &env).unwrap();
        let second = Place::take(&base, &env).unwrap();
        assert_ne!(first.work(), second.work());
        assert!(crate::harness::answer::is_ours(first.work()));
        for place in [&first, &second] {
            let mode = fs::metadata(place.work()).unwrap().permissions().mode();
            assert_eq!((mode & 0o777, fs::read_dir(place.work()).unwrap().count()), (0o700, 0));
        }
        let kept = tmp.path().join(".gemini/tmp/x");
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join(".project_root"), first.work().to_str().unwrap()).unwrap();
        let others = tmp.path().join(".gemini/tmp/y");
        fs::create_dir_all(&others).unwrap();
        fs::write(others.join(".project_root"), "/somewhere").unwrap();
        sweep(&base, &env);
        assert!(first.work().exists() && kept.exists(), "it is at work");
        let (work, left) = (first.work().to_owned(), second.work().to_owned());
        drop(first);
        assert!(!work.exists() && !kept.exists() && others.exists());
        // As a crash does it.
        let Place { _lock, .. } = &second;
        fs::write(left.join("a"), "x").unwrap();
        let (dir, _) = paths(&base.canonicalize().unwrap(), 2);
        drop(second);
        fs::create_dir_all(dir.join("tmp")).unwrap();
        sweep(&base, &env);
        assert!(!dir.exists());
        let all: Vec<Place> = (0..PLACES).map(|_| Place::take(&base, &env).unwrap()).collect();
        assert!(Place::take(&base, &env).is_err());
        drop(all);
    }
}
