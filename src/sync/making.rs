//! Making a managed clone, and putting aside what is none any more.

use std::path::{Path, PathBuf};

use super::checkout::{Lies, lies_at};
use super::kept::ConflictCopies;
use super::outcome::{Change, End, Failure, Skip};
use super::reclone::GcRecord;
use super::run::{EXCLUDES, Job, LOCK_WAIT, LOCK_WAIT_FORCED, OnProgress};
use super::setup;
use super::shape::Shape;
use super::workspace::Kind;
use crate::git::{
    CloneLock, CloneStage, Git, GitError, PartialClone, Progress, Reader, Sparse, Verdict, clone_partial,
    clone_plain, create_bare, verify,
};
use crate::kit::Class;
use crate::kit::file::{found, rename_new, with_suffix};
use crate::project::PROJECT_DIR;

impl Job<'_> {
    pub(super) fn clone(&self, anew: bool, on_progress: OnProgress<'_>) -> Result<End, Failure> {
        self.check_trust()?;
        self.finish_reclone()?;
        let Some(mut lock) = CloneLock::acquire(&self.at.lock, LOCK_WAIT_FORCED)? else {
            return Ok(End::Skipped(Skip::Busy));
        };
        // Another process may have mended it meanwhile.
        if anew && lies_at(&self.site.dirs, &self.at.path, self.at.kind) == Lies::Broken {
            self.make_anew(on_progress)?;
        } else if !self.at.exists() {
            self.make_clone(&self.at.path, on_progress)?;
        }
        on_progress("verifying", None, "checking the clone");
        let git = self.git();
        let mut clone = lock.open(git, &self.at.path, self.cancel)?;
        let mut kept = ConflictCopies::load(&self.at.state);
        clone.recovered().iter().for_each(|rescue| kept.add(rescue));
        clone.ensure_excludes(&EXCLUDES)?;
        if !self.at.self_hosted {
            clone.set_helper()?;
        }
        let view = self.view()?;
        let mut change = Change { pulled: true, ..Change::default() };
        if let (Some(project), None) = (&self.project, view.head) {
            on_progress("initializing", None, "writing the first commit");
            let text = setup::ledger_readme(project, self.site.clock.now().wall);
            let files: [(&Path, &[u8]); 1] = [(Path::new("AGENTS.md"), text.as_bytes())];
            clone.seed(&view.branch, &files, "docs: describe this ledger")?;
            change.pushed = 1;
        }
        let tip = clone.remote_tip(&view.branch)?;
        clone.note_remote_tip(tip)?;
        Ok(self.level(change, kept))
    }

    /// Makes the clone beside what is broken, and lets them change places.
    fn make_anew(&self, on_progress: OnProgress<'_>) -> Result<(), Failure> {
        let new = with_suffix(&self.at.path, ".new");
        found(std::fs::remove_dir_all(&new))
            .map_err(|e| Failure::io("cannot remove the unfinished clone", &new, &e))?;
        self.make_clone(&new, on_progress)?;
        let aside = self
            .move_aside()
            .map_err(|e| Failure::io("cannot move aside the broken clone", &self.at.path, &e))?;
        if let Err(e) = rename_new(&new, &self.at.path) {
            let _ = rename_new(&aside, &self.at.path); // the first failure is the one to tell
            return Err(Failure::io("cannot move the new clone to", &self.at.path, &e));
        }
        log::warn!("{} was no clone; put aside as {}", self.at.path.display(), aside.display());
        Ok(())
    }

    /// Renames what lies at the clone's place; answers to what.
    fn move_aside(&self) -> std::io::Result<PathBuf> {
        let now = self.site.clock.now().wall.as_second();
        let aside = with_suffix(&self.at.path, &format!(".bak.{now}"));
        rename_new(&self.at.path, &aside).map(|()| aside)
    }

    fn make_clone(&self, to: &Path, on_progress: OnProgress<'_>) -> Result<(), GitError> {
        let git = self.git();
        if let Some(bare) = self.at.own_remote()
            && !bare.exists()
        {
            create_bare(git, bare, self.cancel)?;
        }
        on_progress("connecting", None, &format!("cloning {}", self.at.remote.display()));
        match self.make_at(to, on_progress) {
            Err(GitError::AlreadyExists(_)) if self.at.exists() => Ok(()),
            other => other,
        }
    }

    /// Makes a clone of the same remote somewhere else.
    pub(super) fn make_at(&self, to: &Path, on_progress: OnProgress<'_>) -> Result<(), GitError> {
        let git = self.git();
        match self.at.remote.local_path() {
            // Nothing is saved by leaving out what lies on the same machine.
            Some(_) => clone_plain(git, &self.at.url(), to, &mut |p| tell(p, on_progress), self.cancel),
            None => self.clone_partial(git, to, on_progress),
        }
    }

    /// The files that matter now, and nothing else yet.
    fn clone_partial(&self, git: &Git, to: &Path, on_progress: OnProgress<'_>) -> Result<(), GitError> {
        let url = self.at.url();
        let mut record = GcRecord::load(&self.at.state);
        let first = match self.at.kind {
            Kind::Ledger => Sparse::Cone(vec![PROJECT_DIR.to_owned()]),
            Kind::Team => Sparse::Patterns(vec![format!("/{PROJECT_DIR}/")]),
        };
        let now = self.site.clock.now().wall;
        let then = Box::new(|files: &Path| {
            let shape = Shape::of(&self.at, files);
            Reader::open(files).and_then(|r| shape.sparse(&r, now)).unwrap_or(Sparse::Everything)
        });
        let filter = record.without_filters.as_deref() != Some(&url);
        let plan = PartialClone { filter, first, then };
        let made = clone_partial(git, &url, to, plan, &mut |p| tell(p, on_progress), self.cancel)?;
        if made.refused {
            record.without_filters = Some(url);
            if let Err(e) = record.save(&self.at.state) {
                log::warn!("{}: {e}", self.at.state.display());
            }
        }
        Ok(())
    }

    /// A proven damaged clone is moved out of the way, never deleted.
    pub(super) fn put_aside(&self, proof: &str) -> Result<End, Failure> {
        let Some(_lock) = CloneLock::acquire(&self.at.lock, LOCK_WAIT)? else {
            return Ok(End::Skipped(Skip::Busy));
        };
        // Somebody may have mended it meanwhile.
        if !matches!(verify(&self.at.path), Verdict::Damaged(_)) {
            return Ok(End::Skipped(Skip::Busy));
        }
        log::error!("{} at {} is damaged: {proof}", self.at, self.at.path.display());
        self.move_aside().map(End::PutAside).map_err(|e| {
            let text = format!("{} is damaged ({proof}) and cannot be moved aside: {e}", self.at);
            Failure::new(Class::of_io(&e), text)
        })
    }
}

/// Hands on how far git has come with a clone.
pub(super) fn tell(p: Progress, on_progress: OnProgress<'_>) {
    let (stage, text) = match p.stage {
        CloneStage::Connecting => ("connecting", "waiting for the remote"),
        CloneStage::Receiving => ("cloning", "receiving objects"),
        CloneStage::Resolving => ("materializing", "resolving deltas"),
        CloneStage::CheckingOut => ("materializing", "writing files"),
        CloneStage::Verifying => ("verifying", "checking the clone"),
    };
    on_progress(stage, p.percent, text);
}
