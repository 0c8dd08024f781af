//! Where a user's work tree begins, as git itself says it. The library is asked first; what it cannot read, or must not be trusted with, the
//! `git` program decides: could not look is never "not there".

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use git2::{Repository, RepositoryOpenFlags};

use super::prepare_library;
use crate::git::command::Git;
use crate::kit::cancel::Cancel;
use crate::kit::mask::sanitise;

/// Why there is no work tree to work in.
#[derive(Debug, thiserror::Error)]
pub enum NoWorkTree {
    /// Neither the directory nor one above it is a repository.
    #[error("{} is not in a git repository", .0.display())]
    NoRepository(PathBuf),
    /// The repository has no work tree.
    #[error("{} is a bare repository, which has no files to work on", .0.display())]
    Bare(PathBuf),
    /// There is one, and git does not read it.
    #[error("git does not read the repository at {}: {why}", path.display())]
    Refused {
        /// The directory with its `.git`.
        path: PathBuf,
        /// Git's own words.
        why: String,
        /// The command that makes git read it, where it is known.
        remedy: Option<String>,
    },
}

/// The top of the work tree that `start` lies in.
///
/// # Errors
/// See [`NoWorkTree`].
pub fn find_work_tree(git: &Git, start: &Path, cancel: &Cancel) -> Result<PathBuf, NoWorkTree> {
    let Some(top) = start.ancestors().find(|dir| is_marked(dir)) else {
        return Err(NoWorkTree::NoRepository(start.to_owned()));
    };
    prepare_library();
    let nothing: [&Path; 0] = [];
    let opened = Repository::open_ext(start, RepositoryOpenFlags::CROSS_FS, nothing);
    if let Ok(repo) = opened {
        match repo.workdir() {
            Some(root) if is_ours(root) && is_ours(repo.path()) => return Ok(root.to_owned()),
            None if repo.is_bare() => return Err(NoWorkTree::Bare(top.to_owned())),
            _ => {}
        }
    }
    let refused = |why: String, remedy| NoWorkTree::Refused { path: top.to_owned(), why, remedy };
    // All directories above are looked into here.
    let ask = git.outside("rev-parse", start).env("GIT_CEILING_DIRECTORIES", "").arg("--show-toplevel");
    let out = ask.run_any(cancel).map_err(|e| refused(e.to_string(), None))?;
    let root = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim_end_matches('\n'));
    if out.status.success() && root.is_dir() {
        return Ok(root);
    }
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let why = said.lines().next().unwrap_or_default();
    let why = sanitise(why.strip_prefix("fatal: ").unwrap_or(why));
    let remedy = said.lines().map(str::trim).find(|line| line.starts_with("git config --global --add safe."));
    Err(refused(why, remedy.map(str::to_owned)))
}

/// Whether `start` lies in a repository, readable or not.
pub fn is_in_repository(start: &Path) -> bool {
    start.ancestors().any(is_marked)
}

/// Whether something in `dir` says that it is a repository, readable or not.
fn is_marked(dir: &Path) -> bool {
    let has = |name: &str| fs::symlink_metadata(dir.join(name)).is_ok();
    has(".git") || (has("HEAD") && has("objects") && has("refs"))
}

/// Whether the directory belongs to whoever runs this.
fn is_ours(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|what| what.uid() == rustix::process::geteuid().as_raw())
}

/// What the library cannot read of a repository, in words that name the way out where there is one. `message` is its own.
pub fn unreadable(message: &str) -> String {
    let known = [
        ("'link'", "its index is split (core.splitIndex); to join it: git update-index --no-split-index"),
        ("'sdir'", "its index is sparse; to fill it: git sparse-checkout reapply --no-sparse-index"),
        ("refstorage", "its refs are a reftable; to change that: git refs migrate --ref-format=files"),
        ("sha256", "it names its objects by SHA-256"),
    ];
    let found = known.iter().find(|(part, _)| message.contains(part));
    found.map_or_else(|| message.to_owned(), |(_, text)| (*text).to_owned())
}
