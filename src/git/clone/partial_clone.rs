//! Clones that take only what is needed now: the last commit, the files of a set, no contents beyond those.

use std::fs;
use std::path::Path;

use super::sparse::{self, Sparse};
use super::staging::Staging;
use super::{CloneStage, Progress, ProgressParser, verify_clone};
use crate::git::change::exclude::ensure_attributes;
use crate::git::command::{Git, Invocation};
use crate::git::error::GitError;
use crate::git::limits::CHILD_MAX;
use crate::git::read::Reader;
use crate::git::remote::discover::discover;
use crate::kit::Class;
use crate::kit::cancel::Cancel;

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
    git.version(cancel)?;
    let staging = Staging::new(target)?;
    progress(Progress { stage: CloneStage::Connecting, percent: None });
    let remote = discover(git, url, None, cancel)?;
    let branch = remote.head_branch.as_deref().unwrap_or("main");
    let partial = remote.tip.is_some();
    let mut run = Run { git, url, dir: &staging.dir, progress, cancel, parser: ProgressParser::default() };
    let made = match partial {
        true => run.fetch_some(branch, plan.filter)?,
        false => run.fetch_all().map(|()| Made { filtered: false, refused: false })?,
    };
    if partial {
        run.check_out(plan)?;
    } else {
        run.check_out_all()?;
    }
    progress(Progress { stage: CloneStage::Verifying, percent: None });
    verify_clone(git, url, &staging.dir, cancel)?;
    staging.finish()?;
    Ok(made)
}

/// A clone under way.
struct Run<'r> {
    git: &'r Git,
    url: &'r str,
    dir: &'r Path,
    progress: &'r mut dyn FnMut(Progress),
    cancel: &'r Cancel,
    parser: ProgressParser,
}

impl<'r> Run<'r> {
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
                self.clear()?;
                self.clone(&["--sparse", "--no-checkout"])?;
                Ok(Made { filtered: false, refused: filter })
            }
            Err(e) => Err(e),
        }
    }

    fn fetch_all(&mut self) -> Result<(), GitError> {
        self.clone(&["--no-checkout"]).map(drop)
    }

    /// Somebody may have pushed a first commit meanwhile.
    fn check_out_all(&mut self) -> Result<(), GitError> {
        ensure_attributes(self.dir)?;
        match Reader::open(self.dir)?.head()?.commit {
            None => Ok(()),
            Some(_) => check_out_head(
                self.git,
                self.url,
                self.dir,
                &mut self.parser,
                &mut *self.progress,
                self.cancel,
            ),
        }
    }

    /// Runs `git clone` with `more`; answers what it printed to stderr.
    fn clone(&mut self, more: &[&str]) -> Result<Vec<u8>, GitError> {
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        let clone = clone_command(self.git, parent, self.url).args(more).args(["--", self.url]).arg(self.dir);
        let (parser, progress) = (&mut self.parser, &mut *self.progress);
        Ok(clone.run_with(self.cancel, &mut |bytes| parser.feed(bytes, progress))?.stderr)
    }

    /// What a clone that failed may have left.
    fn clear(&self) -> Result<(), GitError> {
        match fs::remove_dir_all(self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("removing", self.dir)(e)),
            _ => Ok(()),
        }
    }

    /// Everything came, so the clone must not count as one that lacks something.
    fn forget_filter(&self) -> Result<(), GitError> {
        for key in ["extensions.partialClone", "remote.origin.promisor", "remote.origin.partialclonefilter"] {
            // Which of them are set depends on git's version; one that is not set is no failure.
            self.git.local("config", self.dir).args(["--unset-all", key]).run_any(self.cancel)?;
        }
        match Reader::open(self.dir)?.is_partial() {
            false => Ok(()),
            true => {
                Err(GitError::Damaged { what: "the new clone", proof: "it counts as partial".to_owned() })
            }
        }
    }

    fn check_out(&mut self, plan: PartialClone<'_>) -> Result<(), GitError> {
        (self.progress)(Progress { stage: CloneStage::CheckingOut, percent: None });
        ensure_attributes(self.dir)?;
        self.set(&plan.first)?;
        check_out_head(self.git, self.url, self.dir, &mut self.parser, &mut *self.progress, self.cancel)?;
        let all = (plan.then)(self.dir);
        if all == plan.first { Ok(()) } else { self.set(&all) }
    }

    fn set(&mut self, set: &Sparse) -> Result<(), GitError> {
        let (git, url, dir) = (self.git, self.url, self.dir);
        let (parser, progress) = (&mut self.parser, &mut *self.progress);
        let start = |sub| git.network(sub, dir, url).in_tree();
        sparse::apply(git, &start, set, self.cancel, &mut |bytes| parser.feed(bytes, progress))
    }
}

/// Checks out HEAD of a clone that was made without files.
pub(in crate::git) fn check_out_head(
    git: &Git,
    url: &str,
    dir: &Path,
    parser: &mut ProgressParser,
    progress: &mut dyn FnMut(Progress),
    cancel: &Cancel,
) -> Result<(), GitError> {
    let checkout = git.network("checkout", dir, url).in_tree().args(["-q", "--progress", "HEAD", "--"]);
    checkout.deadline(CHILD_MAX).run_with(cancel, &mut |bytes| parser.feed(bytes, progress)).map(drop)
}

/// `git clone` with what every clone of ours has.
pub(in crate::git) fn clone_command<'g>(git: &'g Git, parent: &Path, url: &str) -> Invocation<'g> {
    git.network_outside("clone", parent, url)
        .args(["--progress", "--no-local", "--no-tags", "--no-recurse-submodules", "--template="])
        .args(["--origin", "origin"])
        // The Go program sets this too; it keeps a `git pull` by hand from making merge commits.
        .args(["--config", "pull.rebase=true"])
        .while_payload_flows()
}

fn ignored_filter(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("filtering not recognized by server")
}
