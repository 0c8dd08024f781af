//! Replacing a clone by a fresh one without losing anything, crash or no crash; and when that is worth it.
//!
//! The order, so that a kill between any two steps loses nothing: everything is pushed; the journal says that a new clone is
//! being made beside the old one; it is made; whoever has stores in the old one closes them; dirty and untracked files go into a
//! rescue ref; refs and files are copied into the new one; that is compared with the old one, and put on disk; the journal
//! says that both may change places; they do, in one step where the system can; the old one is removed once it is proven that
//! nothing was written to it since, else kept as `<clone>.bak.<time>`. Until the swap the old clone is in its place and whole;
//! from then on the new one is.

mod due;
mod journal;
mod outcome;
mod recover;
mod space;
mod swap;

use std::path::{Path, PathBuf};

use super::kept::ConflictCopies;
use super::outcome::Failure;
use super::rescue::sweep;
use super::run::LOCK_WAIT_FORCED;
use crate::git::{
    CloneLock, Gate, Git, GitError, LocalWork, ManagedClone, Reader, ResolveRules, Verdict,
    foreign_operation, lock_files, unmovable, verify,
};
use crate::kit::cancel::Cancel;
use crate::kit::clock::Clock;
use crate::kit::file;
use journal::{Identity, Journal, Phase, new_of, old_of};
use swap::Layout;

pub use due::{Due, Facts, GcRecord, INTERVAL_DAYS, INTERVAL_DAYS_RANGE, WORTH_BYTES, due};
pub use journal::is_interrupted;
pub use outcome::{Done, Reclone, Refusal, Stop};
pub use recover::{Recovered, recover, recover_all};
pub use space::taken;

/// Room that must be free, as a multiple of what the clone takes.
const ROOM_FACTOR: u64 = 2;

/// Which clone, and how it is kept.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// How git is run for its remote.
    pub git: &'a Git,
    /// Where the time comes from.
    pub clock: &'a dyn Clock,
    /// The clone's directory.
    pub clone: &'a Path,
    /// Its lock file.
    pub lock: &'a Path,
    /// Its state directory.
    pub state: &'a Path,
    /// The branch that is kept in sync.
    pub branch: &'a str,
    /// Nothing may be pushed to its remote.
    pub read_only: bool,
    /// The rules for conflicts when commits of both sides are brought together.
    pub rules: &'a ResolveRules,
    /// What looks at each push, if anything does.
    pub gate: Option<Gate<'a>>,
}

/// What the caller does for a reclone.
pub struct Callbacks<'a> {
    /// Makes the new clone of the same remote at a path where nothing is: whole, or not at all.
    pub make: &'a mut dyn FnMut(&Path) -> Result<(), GitError>,
    /// Closes every store under the clone; called once, before anything is copied.
    pub before_swap: &'a mut dyn FnMut(),
    /// Opens them again; called once if the other one was, also after a failure.
    pub after_swap: &'a mut dyn FnMut(),
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// See whether it may be done, and bring everything to the remote.
    Prepare,
    /// Note that a new clone is being made.
    Note,
    /// Make it.
    Make,
    /// Close stores, keep a copy of the local work in a rescue ref, copy it into the new clone.
    Carry,
    /// Prove that the new clone has all of it, and put it on disk.
    Verify,
    /// Note that both may change places.
    Announce,
    /// Let them.
    Exchange,
    /// Give the old clone its mark, open stores again.
    Rename,
    /// Remove the old clone, or keep it.
    LetGo,
    /// Take the notes away.
    Close,
}

/// What a step does.
type Work<T> = fn(&mut T) -> Result<(), Stop>;

/// Replaces the clone. Whatever an earlier run left is finished or undone first.
///
/// # Errors
/// The clone is whole and in its place, the old one or the new one; the class says whether to try again.
pub fn reclone(target: &Target<'_>, hands: Callbacks<'_>, cancel: &Cancel) -> Result<Reclone, Failure> {
    let Some(mut run) = Run::begin(target, hands, cancel)? else {
        return Ok(Reclone::Refused(Refusal::Busy));
    };
    loop {
        match run.step() {
            Ok(Some(step)) => log::debug!("reclone of {}: {step:?} done", target.clone.display()),
            Ok(None) => return Ok(Reclone::Done(run.done)),
            Err(stop) => {
                run.give_up();
                return match stop {
                    Stop::Refused(why) => Ok(Reclone::Refused(why)),
                    Stop::Failed(failure) => Err(failure),
                };
            }
        }
    }
}

/// Tidies the clone up in place: `tidy` does it under the clone's lock.
///
/// # Errors
/// Why it failed; the clone is as whole as it was.
pub fn maintain(
    target: &Target<'_>,
    tidy: &mut dyn FnMut(&mut ManagedClone<'_>) -> Result<(), GitError>,
    cancel: &Cancel,
) -> Result<Reclone, Failure> {
    let Some(mut lock) = begin(target, cancel)? else { return Ok(Reclone::Refused(Refusal::Busy)) };
    let size = || taken(target.clone).map_err(|e| Failure::io("measuring", target.clone, &e));
    let before = size()?;
    let tidied = lock.open(target.git, target.clone, cancel).and_then(|mut clone| tidy(&mut clone));
    match tidied.map_err(Stop::from) {
        Ok(()) => {}
        Err(Stop::Refused(why)) => return Ok(Reclone::Refused(why)),
        Err(Stop::Failed(failure)) => return Err(failure),
    }
    note_end(target, &lock, cancel);
    Ok(Reclone::Maintained { before, after: size()? })
}

/// Takes the lock and recovers; `None` if somebody else works on the clone.
fn begin(target: &Target<'_>, cancel: &Cancel) -> Result<Option<CloneLock>, Failure> {
    let Some(lock) = CloneLock::acquire(target.lock, LOCK_WAIT_FORCED)? else { return Ok(None) };
    recover(&lock, target.git, target.clone, target.state, target.clock.now().wall, cancel)?;
    Ok(Some(lock))
}

/// Notes the time, and lets go of what was put aside long ago and holds nothing.
fn note_end(target: &Target<'_>, lock: &CloneLock, cancel: &Cancel) {
    let now = target.clock.now().wall;
    sweep(lock, target.git, target.clone, now, cancel);
    let record = GcRecord { last: Some(now), ..GcRecord::load(target.state) };
    if let Err(e) = record.save(target.state) {
        log::warn!("{}: {e}", target.state.display());
    }
}

/// A reclone under way. Dropping it in the middle leaves what a killed process would leave, for [`recover`].
pub struct Run<'t, 'h> {
    target: Target<'t>,
    hands: Callbacks<'h>,
    cancel: Cancel,
    lock: CloneLock,
    next: usize,
    journal: Journal,
    work: Option<LocalWork>,
    closed: bool,
    done: Done,
}

impl<'t, 'h> Run<'t, 'h> {
    /// Takes the clone's lock and recovers; `None` if somebody else works on the clone.
    ///
    /// # Errors
    /// The lock or an earlier run's journal is unusable.
    pub fn begin(
        target: &Target<'t>,
        hands: Callbacks<'h>,
        cancel: &Cancel,
    ) -> Result<Option<Run<'t, 'h>>, Failure> {
        let Some(lock) = begin(target, cancel)? else { return Ok(None) };
        let looking = |e| Failure::io("looking at", target.clone, &e);
        let Some(old) = Identity::at(target.clone).map_err(looking)? else {
            let e = std::io::ErrorKind::NotFound.into();
            return Err(Failure::io("looking at", target.clone, &e));
        };
        let journal = Journal {
            clone: target.clone.to_path_buf(),
            lock: target.lock.to_path_buf(),
            old,
            began: target.clock.now().wall,
            phase: Phase::Making,
        };
        let (target, cancel, done) = (*target, cancel.clone(), Done::default());
        Ok(Some(Run { target, hands, cancel, lock, next: 0, journal, work: None, closed: false, done }))
    }

    /// Does the next step and answers which it was; `None` after the last.
    ///
    /// # Errors
    /// Why it did not end well; then [`Run::give_up`].
    pub fn step(&mut self) -> Result<Option<Step>, Stop> {
        let steps: [(Step, Work<Self>); 10] = [
            (Step::Prepare, Self::prepare),
            (Step::Note, |run| run.save()),
            (Step::Make, |run| Ok((run.hands.make)(&new_of(run.target.clone))?)),
            (Step::Carry, Self::carry),
            (Step::Verify, Self::verify),
            (Step::Announce, Self::announce),
            (Step::Exchange, |run| swap::exchange(run.target.clone).map_err(|e| run.stop("swapping", &e))),
            (Step::Rename, Self::rename),
            (Step::LetGo, Self::let_go),
            (Step::Close, Self::close),
        ];
        let Some((step, work)) = steps.get(self.next).copied() else { return Ok(None) };
        work(self)?;
        self.next += 1;
        Ok(Some(step))
    }

    /// After a step that did not end well: undoes or finishes, and opens stores again.
    pub fn give_up(mut self) {
        let Target { git, clone, state, clock, .. } = self.target;
        // What is taken back is not cancelled with what it takes back.
        if let Err(e) = recover(&self.lock, git, clone, state, clock.now().wall, &Cancel::new()) {
            log::warn!("{}", e.text);
        }
        self.reopen();
    }

    fn open(&mut self) -> Result<ManagedClone<'_>, GitError> {
        self.lock.open(self.target.git, self.target.clone, &self.cancel)
    }

    fn stop(&self, what: &str, e: &std::io::Error) -> Stop {
        Stop::Failed(Failure::io(what, self.target.clone, e))
    }

    fn save(&self) -> Result<(), Stop> {
        self.journal.save(self.target.state).map_err(|e| self.stop("writing the journal of", &e))
    }

    fn prepare(&mut self) -> Result<(), Stop> {
        self.check_sound()?;
        self.take_back()?;
        self.check_place()?;
        self.check_movable()?;
        self.level()?;
        // Leveling may have changed what there is.
        self.check_movable()?;
        self.done.before = taken(self.target.clone).map_err(|e| self.stop("measuring", &e))?;
        let beside = self.target.clone.parent().unwrap_or(self.target.clone);
        let free = file::free(beside).map_err(|e| self.stop("measuring the disk of", &e))?;
        let needed = self.done.before.saturating_mul(ROOM_FACTOR);
        if free < needed {
            return Err(Stop::Refused(Refusal::LowDisk { needed, free }));
        }
        Ok(())
    }

    fn check_sound(&self) -> Result<(), Stop> {
        match verify(self.target.clone) {
            Verdict::Sound(_) => Ok(()),
            Verdict::Damaged(proof) => Err(Stop::Refused(Refusal::Damaged(proof))),
            Verdict::Unknown(e) => Err(e.into()),
        }
    }

    /// What a dead holder of the lock left half done would look like somebody's work.
    fn take_back(&mut self) -> Result<(), Stop> {
        let (path, mut kept) = (self.target.clone, ConflictCopies::load(self.target.state));
        self.open()?.recovered().iter().for_each(|rescue| kept.add(rescue));
        kept.settle(path);
        Ok(())
    }

    /// Nobody is in the middle of something, nor is anything where the siblings go.
    fn check_place(&self) -> Result<(), Stop> {
        let (clone, now) = (self.target.clone, self.target.clock.now().wall);
        if let Some(f) = foreign_operation(clone, now) {
            return Err(GitError::from(f).into());
        }
        let files: Vec<PathBuf> = lock_files(clone, now)?.into_iter().map(|l| l.path).collect();
        if !files.is_empty() {
            return Err(GitError::LockFiles(files).into());
        }
        for sibling in [new_of(clone), old_of(clone)] {
            if Identity::at(&sibling).map_err(|e| self.stop("looking beside", &e))?.is_some() {
                return Err(Stop::Refused(Refusal::InTheWay(sibling)));
            }
        }
        Ok(())
    }

    fn check_movable(&self) -> Result<(), Stop> {
        let Target { git, clone, branch, .. } = self.target;
        match unmovable(git, clone, branch, &self.cancel)? {
            Some(what) => Err(Stop::Refused(Refusal::Unmovable(what))),
            None => Ok(()),
        }
    }

    /// Brings the remote's commits in and all of ours out.
    fn level(&mut self) -> Result<(), Stop> {
        let Target { branch, rules, state, clone: path, read_only, .. } = self.target;
        let mut kept = ConflictCopies::load(state);
        let gate = self.target.gate;
        let mut clone = self.open()?;
        if let Some(gate) = gate {
            clone.guard(gate);
        }
        clone.fetch(branch)?;
        let mut steps = vec![clone.integrate(branch, rules)?];
        if clone.unpushed(branch)? > 0 && !read_only {
            steps.extend(clone.push_retry(branch, rules)?.integrated);
        }
        let left = clone.unpushed(branch)?;
        steps.iter().filter_map(|step| step.rescued.as_ref()).for_each(|rescue| kept.add(rescue));
        kept.settle(path);
        match (left, read_only) {
            (0, _) => Ok(()),
            (_, true) => {
                let why = "nothing may be pushed to its remote".to_owned();
                Err(Stop::Refused(Refusal::Unpushed(why)))
            }
            (n, false) => Err(Stop::Refused(Refusal::Unpushed(format!("{n} are left after the push")))),
        }
    }

    fn carry(&mut self) -> Result<(), Stop> {
        let (new, branch) = (new_of(self.target.clone), self.target.branch);
        (self.hands.before_swap)();
        self.closed = true;
        // Somebody may have pushed while the new clone was made.
        if Reader::open(&new)?.head()? != Reader::open(self.target.clone)?.head()? {
            self.level()?;
        }
        let mut clone = self.open()?;
        let rescue = clone.keep_copy(&clone.local_work()?)?;
        let work = clone.local_work()?;
        clone.carry_into(&new, branch, &work)?;
        self.work = Some(work);
        self.done.rescue = rescue;
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Stop> {
        let new = new_of(self.target.clone);
        let Some(work) = self.work.take() else { return Err(Stop::Refused(Refusal::Unquiet)) };
        self.open()?.verify_carried(&new, &work)?;
        space::sync_all(&new).map_err(|e| self.stop("syncing the copy of", &e))?;
        self.check_movable()?;
        if self.open()?.local_work()? != work {
            return Err(Stop::Refused(Refusal::Unquiet));
        }
        self.work = Some(work);
        Ok(())
    }

    fn announce(&mut self) -> Result<(), Stop> {
        let new = Identity::at(&new_of(self.target.clone)).map_err(|e| self.stop("looking beside", &e))?;
        let (Some(new), Some(work)) = (new, &self.work) else {
            return Err(Stop::Refused(Refusal::Unquiet));
        };
        self.journal.phase = Phase::Swapping { new, fingerprint: work.fingerprint() };
        self.save()
    }

    fn rename(&mut self) -> Result<(), Stop> {
        let settled = match self.journal.new_clone() {
            Some(new) => swap::settle(&self.journal, new).map_err(|e| self.stop("swapping", &e))?,
            None => Layout::Foreign,
        };
        if settled != Layout::Swapped {
            let e = std::io::Error::other("something else took its place");
            return Err(self.stop("swapping", &e));
        }
        self.reopen();
        Ok(())
    }

    fn let_go(&mut self) -> Result<(), Stop> {
        let Target { git, state, clock, .. } = self.target;
        let kept = recover::let_go(git, state, &self.journal, clock.now().wall, &self.cancel);
        self.done.kept = kept.map_err(Stop::Failed)?;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        Journal::remove(self.target.state).map_err(|e| self.stop("removing the journal of", &e))?;
        self.done.after = taken(self.target.clone).map_err(|e| self.stop("measuring", &e))?;
        note_end(&self.target, &self.lock, &self.cancel);
        Ok(())
    }

    fn reopen(&mut self) {
        if std::mem::take(&mut self.closed) {
            (self.hands.after_swap)();
        }
    }
}
