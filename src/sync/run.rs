//! One run: bring a managed clone level with its remote. How one is made stands in [`super::making`].

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use git2::Oid;
use jiff::Timestamp;

use super::former::PreviousRemotes;
use super::kept::ConflictCopies;
use super::outcome::{Blocked, Change, End, Facts, Failure, Outcome, Skip};
use super::reclone;
use super::setup::SetupError;
use super::shape::{self, Shape};
use super::site::Site;
use super::workspace::{Kind, Target, Workspace, ledger_of, team_of};
use crate::git::{
    CloneLock, Git, GitError, How, Integrated, ManagedClone, Reader, Sparse, Verdict, discover, verify,
};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::project::{LocalConfig, LocalLedger, Project, RemoteKind, SyncState};

/// A run that nobody asked for gives way to another process at work after this long.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(2);
/// A run that somebody waits for is more patient.
pub(super) const LOCK_WAIT_FORCED: Duration = Duration::from_secs(30);
/// The branch of a ledger whose clone does not say otherwise.
pub(super) const BRANCH: &str = "main";
/// Machine-local files of a ledger's clone that git is not to see.
pub(super) const EXCLUDES: [&str; 9] = [
    ".sageox/cache/",
    ".sageox/checkout.json",
    ".sageox/workspaces.jsonl",
    "*.conflict-*",
    // What recording leaves beside a session.
    "/sessions/**/.recording.json*",
    "/sessions/**/.needs-summary",
    "/sessions/**/*.lock",
    "/sessions/**/*.tmp",
    "/sessions/**/input.jsonl",
];

/// Says how far a run has come: stage, percent if known, text.
pub type OnProgress<'a> = &'a mut dyn FnMut(&str, Option<u8>, &str);

/// What a run is about.
pub(super) struct Job<'a> {
    pub(super) site: &'a Site,
    /// Whose ledger it is; none for a team's context.
    pub(super) project: Option<Project>,
    pub(super) at: Workspace,
    pub(super) cancel: &'a Cancel,
    /// HEAD when the run began; none where there was no clone.
    before: Cell<Option<Oid>>,
}

/// The job of working on the clone of `target`.
pub(super) fn job<'a>(site: &'a Site, target: &Target, cancel: &'a Cancel) -> Result<Job<'a>, SetupError> {
    let (project, at) = locate(site, target)?;
    Ok(Job { site, project, at, cancel, before: Cell::new(None) })
}

/// How much a sync may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Somebody waits for it: nothing is left out.
    pub forced: bool,
    /// A look by anybody that is younger than half of this is enough.
    pub interval: Duration,
}

/// Where the clone of `target` is, without touching it.
///
/// # Errors
/// Configuration that cannot be read, or no usable remote.
pub fn locate(site: &Site, target: &Target) -> Result<(Option<Project>, Workspace), SetupError> {
    match target {
        Target::Ledger { root, url, read_only } => {
            let project = Project::load(root, &site.env)?;
            let at = ledger_of(&site.env, &site.dirs, &project, url.as_deref())?;
            let read_only = *read_only || at.read_only;
            Ok((Some(project), Workspace { read_only, ..at }))
        }
        Target::Team { slug, endpoint, team } => {
            team_of(&site.dirs, slug, endpoint.as_deref(), team).map(|at| (None, at))
        }
    }
}

/// Brings a managed clone level with its remote.
pub fn sync(site: &Site, target: &Target, ask: Ask, on_progress: OnProgress<'_>, cancel: &Cancel) -> Outcome {
    run(site, target, cancel, |job| job.sync(ask.forced, ask.interval, on_progress))
}

/// Makes a managed clone, and gives the empty remote of a ledger its first commit.
pub fn clone(site: &Site, target: &Target, on_progress: OnProgress<'_>, cancel: &Cancel) -> Outcome {
    run(site, target, cancel, |job| job.clone(false, on_progress))
}

/// [`clone`] at the place of a broken clone of ours, which is kept beside the new one once that is whole.
pub(super) fn clone_anew(
    site: &Site,
    target: &Target,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Outcome {
    run(site, target, cancel, |job| job.clone(true, on_progress))
}

fn run(
    site: &Site,
    target: &Target,
    cancel: &Cancel,
    work: impl FnOnce(&Job<'_>) -> Result<End, Failure>,
) -> Outcome {
    let start = site.clock.now().mono;
    let took = || site.clock.now().mono - start;
    let job = match job(site, target, cancel) {
        Ok(job) => job,
        Err(e) => {
            let end = match &e {
                SetupError::NoRemote(_) => End::Skipped(Skip::NotNamed),
                _ => End::Failed(Failure::new(e.class(), e.to_string())),
            };
            return Outcome { place: None, facts: None, end, took: took() };
        }
    };
    let end = work(&job).unwrap_or_else(End::Failed);
    // Facts follow from HEAD, the time and the clone's own files.
    let facts = matches!(end, End::UpToDate(_)).then(|| job.facts());
    job.write_down(&end, facts.as_ref());
    Outcome { place: Some(job.at.to_place()), facts, end, took: took() }
}

impl Job<'_> {
    fn sync(&self, forced: bool, interval: Duration, on_progress: OnProgress<'_>) -> Result<End, Failure> {
        self.check_trust()?;
        self.finish_reclone()?;
        let path = &self.at.path;
        if !self.at.exists() {
            return Ok(End::NoClone);
        }
        let reader = match verify(path) {
            Verdict::Sound(reader) => reader,
            Verdict::Damaged(proof) => return self.put_aside(&proof),
            Verdict::Unknown(e) => return Err(e.into()),
        };
        self.leave_tokens_behind(&reader)?;
        let view = View::of(&reader, self.at.kind, self.site.clock.now().wall)?;
        drop(reader);
        self.before.set(view.head);
        let moved = view.origin != self.at.url();
        if moved {
            self.may_move(&view.origin)?;
        }
        let fresh = !forced && !moved && self.is_fresh(interval);
        let remote = if fresh {
            RemoteTip::Told(view.tracking)
        } else if forced && self.at.remote.kind() == RemoteKind::Ssh {
            // The fetch asks anyway, and a look costs as much; over HTTP a look is one request.
            RemoteTip::NotYet
        } else {
            RemoteTip::Told(discover(self.git(), &self.at.url(), Some(&view.branch), self.cancel)?.tip)
        };
        if self.at.kind == Kind::Ledger && view.head.is_none() && remote == RemoteTip::Told(None) {
            // The first commit is part of making the clone.
            return Ok(End::NoClone);
        }
        let level = remote == RemoteTip::Told(view.tracking)
            && view.head == view.tracking
            && !moved
            && !view.unfinished
            && !self.has_waiting();
        // A look needs the lock only to be noted; when somebody holds it, that is not worth a wait.
        let wait = match (level, forced) {
            (true, _) => Duration::ZERO,
            (false, true) => LOCK_WAIT_FORCED,
            (false, false) => LOCK_WAIT,
        };
        let mut kept = ConflictCopies::load(&self.at.state);
        let gate = |reader: &Reader, head, upstream| self.may_push(reader, head, upstream);
        let mut lock = match CloneLock::acquire(&self.at.lock, wait)? {
            Some(lock) => lock,
            None if level => return Ok(self.level(Change::default(), kept)),
            None => return Ok(End::Skipped(Skip::Busy)),
        };
        if level && lock.op().is_none() {
            if fresh {
                return Ok(End::Skipped(Skip::Fresh));
            }
            lock.note_fetch(self.site.clock.now().wall, view.tracking)?;
            return Ok(self.level(Change::default(), kept));
        }
        let mut clone = lock.open(self.git(), path, self.cancel)?;
        clone.guard(&gate);
        let mut change = Change::default();
        let brought =
            self.bring_up_to_date(&mut clone, &view, remote, fresh, (&mut change, &mut kept), on_progress);
        clone.recovered().iter().for_each(|rescue| kept.add(rescue));
        match brought {
            Ok(()) => Ok(self.level(change, kept)),
            Err(e) => {
                // What was laid beside is remembered, whatever else failed.
                kept.settle(path);
                self.skip_or_fail(e)
            }
        }
    }

    /// Whether something waits to be committed, where that may be pushed.
    fn has_waiting(&self) -> bool {
        !self.at.read_only && self.site.waiting.is_some_and(|waiting| (waiting.is_any)(&self.at.state))
    }

    /// A reclone that was killed may have left the clone beside its place: that is settled before anything else is thought about it.
    pub(super) fn finish_reclone(&self) -> Result<(), Failure> {
        if !reclone::is_interrupted(&self.at.state) {
            return Ok(());
        }
        // Without the lock somebody is still at it, and the clone is not missing.
        let busy = || Failure::new(Class::Busy, format!("{} is being replaced", self.at));
        let lock = CloneLock::acquire(&self.at.lock, LOCK_WAIT)?.ok_or_else(busy)?;
        let now = self.site.clock.now().wall;
        reclone::recover(&lock, self.git(), &self.at.path, &self.at.state, now, self.cancel).map(drop)
    }

    /// Under the lock: fetch, integrate, push.
    fn bring_up_to_date(
        &self,
        clone: &mut ManagedClone<'_>,
        view: &View,
        remote: RemoteTip,
        fresh: bool,
        (change, kept): (&mut Change, &mut ConflictCopies),
        on_progress: OnProgress<'_>,
    ) -> Result<(), GitError> {
        let moved = view.origin != self.at.url();
        if moved {
            clone.set_origin(&self.at.url())?;
        }
        let tip = match remote {
            RemoteTip::Told(tip) if tip == view.tracking && !moved => {
                if !fresh {
                    clone.note_remote_tip(tip)?;
                }
                tip
            }
            RemoteTip::Told(None) => None,
            RemoteTip::Told(Some(_)) | RemoteTip::NotYet => {
                on_progress("fetching", None, "fetching from the remote");
                match clone.fetch(&view.branch) {
                    Ok(fetched) => Some(fetched.new),
                    Err(GitError::NoRemoteBranch(_)) => None,
                    Err(e) => return Err(e),
                }
            }
        };
        if tip.is_none() && view.tracking.is_some() && !moved {
            let Some(name) = self.renamed(&view.branch)? else {
                // It had the branch: an emptied remote is not filled again behind its owner's back.
                return Err(GitError::NoRemoteBranch(view.branch.clone()));
            };
            log::warn!("{}: branch {} of the remote is now {name}; followed", self.at, view.branch);
            clone.rename_branch(&view.branch, &name)?;
            let view = View { branch: name, tracking: None, ..view.clone() };
            return self.bring_up_to_date(
                clone,
                &view,
                RemoteTip::NotYet,
                false,
                (change, kept),
                on_progress,
            );
        }
        let rules = Shape::of(&self.at, clone.path()).rules();
        let step = clone.integrate(&view.branch, &rules)?;
        count(&*clone.reader()?, &step, change, kept);
        self.bring_into_shape(clone)?;
        if let Some(waiting) = self.site.waiting.filter(|_| self.has_waiting()) {
            on_progress("committing", None, "committing what waits");
            (waiting.commit)(clone, &self.at.state, self.site.clock.now().wall)?;
        }
        let ahead = if self.at.read_only { 0 } else { clone.unpushed(&view.branch)? };
        if ahead > 0 {
            on_progress("pushing", None, "pushing own commits");
            self.redact_own(clone, &view.branch)?;
            let pushed = clone.push_retry(&view.branch, &rules)?;
            change.pushed = ahead as u64;
            let reader = clone.reader()?;
            pushed.integrated.iter().for_each(|step| count(&reader, step, change, kept));
        }
        self.complete_history(clone, on_progress)?;
        // Kept for 30 days; one that cannot be removed now is tried again with the next change.
        if let Err(e) = clone.prune_rescues() {
            log::warn!("old rescue refs of {}: {e}", self.at.path.display());
        }
        Ok(())
    }

    /// What the remote's default branch is called, if it has one of another name than `branch`, which it has no longer.
    fn renamed(&self, branch: &str) -> Result<Option<String>, GitError> {
        let remote = discover(self.git(), &self.at.url(), None, self.cancel)?;
        Ok(remote.head_branch.filter(|name| name != branch && remote.tip.is_some()))
    }

    /// A ledger follows its project's configuration to another remote, but not back to one that it was moved away from: that is an older
    /// state of the configuration. A team's clone follows nobody, since projects that do not know each other share it.
    fn may_move(&self, origin: &str) -> Result<(), Failure> {
        let (from, to) = (crate::kit::mask::sanitise(origin), self.at.remote.display());
        let text = match self.at.kind {
            Kind::Ledger if !PreviousRemotes::load(&self.at.state).has(&self.at.url()) => return Ok(()),
            Kind::Ledger => format!(
                "the ledger has moved from {to} to {from}, and this checkout still names the old place; \
                 bring .sageox/config.json up to date: git pull"
            ),
            Kind::Team => format!(
                "{} on this machine comes from {from}, and this project names {to}; one of them has to give way: ox team remove {}",
                self.at, self.at.id
            ),
        };
        Err(Failure::new(Class::Usage, text).blocked(Blocked::OtherRemote))
    }

    /// A clone that an older program made may have a token in its files: it goes, and git asks our helper from then on.
    fn leave_tokens_behind(&self, reader: &Reader) -> Result<(), Failure> {
        if self.at.self_hosted || !reader.origin_url_bare().is_some_and(|origin| origin.had_token) {
            return Ok(());
        }
        let Some(mut lock) = CloneLock::acquire(&self.at.lock, LOCK_WAIT)? else {
            return Ok(());
        };
        let mut clone = lock.open(self.git(), &self.at.path, self.cancel)?;
        clone.strip_credentials()?;
        clone.set_helper()?;
        log::info!("{}: took the token out of its files", self.at);
        Ok(())
    }

    /// Checks out what belongs there now, and no more. A triggered run comes here only when HEAD has moved, so that what it writes never
    /// triggers it again.
    fn bring_into_shape(&self, clone: &mut ManagedClone<'_>) -> Result<(), GitError> {
        let now = self.site.clock.now().wall;
        let wanted = Shape::of(&self.at, clone.path()).sparse(&*clone.reader()?, now)?;
        match clone.set_sparse(&wanted) {
            Ok(_) => Ok(()),
            // Files can wait; commits are what must not be held up.
            Err(e) if e.class() != Class::Network => {
                log::warn!("{}: its files stay as they are: {e}", self.at);
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Fetches the history that a quick clone has left out.
    fn complete_history(
        &self,
        clone: &mut ManagedClone<'_>,
        on_progress: OnProgress<'_>,
    ) -> Result<(), GitError> {
        if !clone.reader()?.is_shallow() {
            return Ok(());
        }
        on_progress("fetching", None, "fetching the history");
        match clone.deepen() {
            Ok(_) => Ok(()),
            Err(e) if e.class() == Class::Network => Err(e),
            Err(e) => {
                log::debug!("{}: its history stays short: {e}", self.at);
                Ok(())
            }
        }
    }

    pub(super) fn check_trust(&self) -> Result<(), Failure> {
        let Some(host) = &self.at.untrusted_host else { return Ok(()) };
        let text = format!("{host}, the host of {}, is not trusted yet", self.at);
        Err(Failure::new(Class::Usage, text).blocked(Blocked::Untrusted))
    }

    fn is_fresh(&self, interval: Duration) -> bool {
        let Some(at) = CloneLock::peek(&self.at.lock).and_then(|stamp| stamp.fetched_at) else {
            return false;
        };
        let age = self.site.clock.now().wall.duration_since(at);
        // Half an interval, so that with jitter a look of our own never counts as somebody else's.
        // A stamp of the future is a clock that was set back: it proves nothing.
        !age.is_negative() && age.unsigned_abs() < interval / 2
    }

    pub(super) fn level(&self, change: Change, kept: ConflictCopies) -> End {
        End::UpToDate(Change { kept: kept.settle(&self.at.path), ..change })
    }

    fn skip_or_fail(&self, e: GitError) -> Result<End, Failure> {
        match e {
            GitError::LockFiles(files) => {
                let name = |f: &PathBuf| f.strip_prefix(&self.at.path).unwrap_or(f).display().to_string();
                Ok(End::Skipped(Skip::LockFiles(files.iter().map(name).collect())))
            }
            GitError::Foreign { what, age } => {
                Ok(End::Skipped(Skip::Foreign { what: what.to_string(), age }))
            }
            e => Err(e.into()),
        }
    }

    /// What others read: the state file inside the clone, and the project's local configuration. Only when something changed, or failures
    /// ended, or what stands there grows old, so that a quiet clone costs four writes a day.
    fn write_down(&self, end: &End, facts: Option<&Facts>) {
        let now = self.site.clock.now().wall;
        let mut state = SyncState::load(&self.at.path);
        let written = match (end, facts) {
            (End::UpToDate(change), Some(facts))
                if change.pulled || change.pushed > 0 || state.is_outdated(now) =>
            {
                state.succeeded(now, &facts.head);
                state.save(&self.at.path).and(self.note_ledger(now))
            }
            (End::Failed(f), _) if f.class != Class::Network && self.at.exists() => {
                state.failed();
                state.save(&self.at.path)
            }
            _ => return,
        };
        if let Err(e) = written {
            log::warn!("sync state of {}: {e}", self.at.path.display());
        }
    }

    fn note_ledger(&self, now: Timestamp) -> Result<(), crate::project::Error> {
        let Some(project) = &self.project else { return Ok(()) };
        let ledger = LocalLedger { path: self.at.path.clone(), last_sync: now.into() };
        LocalConfig::update(&project.root, &self.site.dirs, |l| l.set_ledger(&ledger))
    }

    /// What is known of the clone after a run.
    fn facts(&self) -> Facts {
        let reader = Reader::open(&self.at.path);
        let head = reader.as_ref().ok().and_then(|r| r.head().ok()).and_then(|h| h.commit);
        let missing = reader.and_then(|r| shape::missing(self.at.kind, &r, head, self.before.get()));
        let shape = Shape::of(&self.at, &self.at.path);
        Facts {
            head: head.map(|h| h.to_string()).unwrap_or_default(),
            remote_changed: CloneLock::peek(&self.at.lock).and_then(|stamp| stamp.remote_changed_at),
            missing: missing.unwrap_or_default(),
            stuck: self.site.waiting.and_then(|waiting| {
                (waiting.stuck)(&self.at.state, &self.at.path, self.site.clock.now().wall)
            }),
            interval: shape.interval(),
            gc_days: shape.gc_days(),
        }
    }

    pub(super) fn git(&self) -> &Git {
        self.site.git(self.at.self_hosted)
    }

    /// The branch that is kept level.
    pub(super) fn branch(&self) -> Result<String, Failure> {
        self.view().map(|view| view.branch)
    }

    pub(super) fn view(&self) -> Result<View, Failure> {
        let reader = Reader::open(&self.at.path)?;
        Ok(View::of(&reader, self.at.kind, self.site.clock.now().wall)?)
    }
}

/// Adds what a step of a pull brought in and what it put aside.
fn count(reader: &Reader, step: &Integrated, change: &mut Change, kept: &mut ConflictCopies) {
    if let Some(rescue) = &step.rescued {
        kept.add(rescue);
    }
    if step.how == How::Unchanged {
        return;
    }
    change.pulled = true;
    change.diverged |= matches!(step.how, How::Replayed { .. });
    change.files_in += reader.changed_files(step.old, step.new).unwrap_or_default() as u64;
}

/// What is known of the remote's branch before the clone is touched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RemoteTip {
    /// Its commit; none if there is no such branch.
    Told(Option<Oid>),
    /// Nothing: the fetch itself asks, in one conversation instead of two.
    NotYet,
}

/// The clone as it stands.
#[derive(Clone)]
pub(super) struct View {
    pub(super) branch: String,
    pub(super) head: Option<Oid>,
    tracking: Option<Oid>,
    pub(super) origin: String,
    /// Its history is short, or its files are those of another hour.
    unfinished: bool,
}

impl View {
    fn of(reader: &Reader, kind: Kind, now: Timestamp) -> Result<View, GitError> {
        let head = reader.head()?;
        let branch = head.name().unwrap_or(BRANCH).to_string();
        let tracking = reader.target(&format!("refs/remotes/origin/{branch}"))?;
        let outdated = head.commit.is_some() && shape::is_outdated(&Sparse::read(reader)?, kind, now);
        let unfinished = outdated || reader.is_shallow();
        let origin = reader.origin_url().unwrap_or_default();
        Ok(View { branch, head: head.commit, tracking, origin, unfinished })
    }
}
