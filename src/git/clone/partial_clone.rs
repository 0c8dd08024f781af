//! Clones that take only what is needed now: the last commit, the files of a set, no contents beyond those.

use std::fs;
use std::path::Path;

use super::sparse::{self, Sparse};
use super::{CloneStage, Making, Progress, damaged};
use crate::git::change::exclude::ensure_attributes;
use crate::git::command::Git;
use crate::git::error::GitError;
use crate::git::read::Reader;
use crate::git::remote::discover::discover;
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::file::found;

/// What a partial clone takes.
pub struct PartialClone<'p> {
    /// Whether to ask the remote to leave contents out; no use where it is known not to know how.
    pub filter: bool,
    /// The files that are checked out first.
    pub first: Sparse,
    /// Given the work tree with these, the files that are wanted in the end.
    pub then: Box<dyn FnOnce(&Path) -> Sparse + 'p>,
}

/// What a partial clone became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Contents were left at the remote.
    pub filtered: bool,
    /// The remote was asked to leave contents out and does not know how: worth remembering.
    pub refused: bool,
}

/// Clones the last commit of the default branch of `url` to `target`, with the files of the set only. History comes later, by
/// [`ManagedClone::deepen`](crate::git::ManagedClone::deepen). A remote that leaves no contents out, or cuts no history off, is
/// cloned with them; one without any commit becomes an empty clone.
///
/// # Errors
/// [`GitError::AlreadyExists`] if there is anything but an empty directory at `target`; else why the clone failed, and then nothing is at `target`.
pub fn clone_partial(
    git: &Git,
    url: &str,
    target: &Path,
    plan: PartialClone<'_>,
    progress: &mut dyn FnMut(Progress),
    cancel: &Cancel,
) -> Result<Made, GitError> {
    let (mut making, staging) = Making::begin(git, url, target, progress, cancel)?;
    let remote = discover(git, url, None, cancel)?;
    let branch = remote.head_branch.as_deref().unwrap_or("main");
    let made = match remote.tip {
        Some(_) => {
            let made = making.fetch_some(branch, plan.filter)?;
            making.check_out(plan)?;
            made
        }
        None => {
            making.fetch_all()?;
            Made { filtered: false, refused: false }
        }
    };
    making.finish(staging)?;
    Ok(made)
}

impl Making<'_> {
    /// The last commit of a branch, without contents if the remote knows how.
    fn fetch_some(&mut self, branch: &str, filter: bool) -> Result<Made, GitError> {
        let mut partial =
            vec!["--depth=1", "--sparse", "--no-checkout", "--single-branch", "--branch", branch];
        if filter {
            partial.push("--filter=blob:none");
        }
        match self.clone(&partial) {
            Ok(_) if !filter => Ok(Made { filtered: false, refused: false }),
            Ok(stderr) if !ignored_filter(&stderr) => Ok(Made { filtered: true, refused: false }),
            Ok(_) => {
                self.forget_filter()?;
                Ok(Made { filtered: false, refused: true })
            }
            // A remote that sends too much, or elsewhere, does so again.
            Err(e @ GitError::Failed { .. }) if matches!(e.class(), Class::Usage | Class::Bug) => {
                log::info!("{}: no partial clone, so a whole one: {e}", self.dir.display());
                found(fs::remove_dir_all(&self.dir)).map_err(GitError::io("removing", &self.dir))?;
                self.clone(&["--sparse", "--no-checkout"])?;
                Ok(Made { filtered: false, refused: filter })
            }
            Err(e) => Err(e),
        }
    }

    /// Everything came, so the clone must not count as one that lacks something.
    fn forget_filter(&self) -> Result<(), GitError> {
        for key in ["extensions.partialClone", "remote.origin.promisor", "remote.origin.partialclonefilter"] {
            // Which of them are set depends on git's version; one that is not set is no failure.
            self.git.local("config", &self.dir).args(["--unset-all", key]).run_any(self.cancel)?;
        }
        match Reader::open(&self.dir)?.is_partial() {
            false => Ok(()),
            true => Err(damaged("it counts as partial".to_owned())),
        }
    }

    fn check_out(&mut self, plan: PartialClone<'_>) -> Result<(), GitError> {
        self.tell(CloneStage::CheckingOut);
        ensure_attributes(&self.dir)?;
        self.set(&plan.first)?;
        self.check_out_head()?;
        let all = (plan.then)(&self.dir);
        if all == plan.first { Ok(()) } else { self.set(&all) }
    }

    fn set(&mut self, set: &Sparse) -> Result<(), GitError> {
        let Making { git, url, dir, cancel, parser, progress } = self;
        let start = |sub| git.network(sub, dir, url).in_tree();
        sparse::apply(git, &start, set, cancel, &mut |bytes| parser.feed(bytes, *progress))
    }
}

fn ignored_filter(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("filtering not recognized by server")
}
