//! One run: bring a ledger level with its remote, or clone it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Oid;

use super::kept::KeptList;
use super::outcome::{Blocked, Change, End, Failure, Outcome, Skip};
use super::setup::{self, LedgerPlace, SetupError};
use super::site::Site;
use crate::git::{
    CloneLock, CloneStage, GitError, How, Integrated, ManagedClone, Reader, Verdict, clone_plain,
    create_bare, discover, verify,
};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::project::{LocalConfig, LocalLedger, Project, SyncState};

/// A run that nobody asked for gives way to another process at work after this long.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// A run that somebody waits for is more patient.
const LOCK_WAIT_FORCED: Duration = Duration::from_secs(30);
/// The branch of a ledger whose clone does not say otherwise.
const BRANCH: &str = "main";
/// Machine-local files of a ledger's clone that git is not to see.
const EXCLUDES: [&str; 4] =
    [".sageox/cache/", ".sageox/checkout.json", ".sageox/workspaces.jsonl", "*.conflict-*"];

/// Says how far a run has come: stage, percent if known, text.
pub type OnProgress<'a> = &'a mut dyn FnMut(&str, Option<u8>, &str);

/// What a run is about.
struct Job<'a> {
    site: &'a Site,
    project: Project,
    ledger: LedgerPlace,
    cancel: &'a Cancel,
}

/// Where the project's ledger is, without touching it.
///
/// # Errors
/// The project's configuration cannot be read, or names no usable remote.
pub fn locate(site: &Site, root: &Path) -> Result<(Project, LedgerPlace), SetupError> {
    let project = Project::load(root, &site.env)?;
    let ledger = setup::place(&site.env, &site.dirs, &project)?;
    Ok((project, ledger))
}

/// Brings the ledger of the project at `root` level with its remote. `forced`: somebody waits for it.
pub fn sync_ledger(
    site: &Site,
    root: &Path,
    forced: bool,
    interval: Duration,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Outcome {
    run(site, root, cancel, |job| job.sync(forced, interval, on_progress))
}

/// Clones the ledger of the project at `root`, and gives an empty remote its first commit.
pub fn clone_ledger(site: &Site, root: &Path, on_progress: OnProgress<'_>, cancel: &Cancel) -> Outcome {
    run(site, root, cancel, |job| job.clone(on_progress))
}

fn run(
    site: &Site,
    root: &Path,
    cancel: &Cancel,
    work: impl FnOnce(&Job<'_>) -> Result<End, Failure>,
) -> Outcome {
    let start = site.clock.now().mono;
    let took = || site.clock.now().mono - start;
    let (project, ledger) = match locate(site, root) {
        Ok(found) => found,
        Err(e) => {
            let failure = Failure { class: e.class(), text: e.to_string(), blocked: None };
            return Outcome { place: None, head: String::new(), end: End::Failed(failure), took: took() };
        }
    };
    let job = Job { site, project, ledger, cancel };
    let end = work(&job).unwrap_or_else(End::Failed);
    let place = job.ledger.to_place();
    let head = match &end {
        End::Level(_) => Reader::open(&job.ledger.path).and_then(|r| r.head()).ok().and_then(|h| h.commit),
        _ => None,
    };
    let head = head.map(|h| h.to_string()).unwrap_or_default();
    job.write_down(&end, &head);
    Outcome { place: Some(place), head, end, took: took() }
}

impl Job<'_> {
    fn sync(&self, forced: bool, interval: Duration, on_progress: OnProgress<'_>) -> Result<End, Failure> {
        self.check_trust()?;
        let path = &self.ledger.path;
        if !self.ledger.exists() {
            return Ok(End::NoClone);
        }
        match verify(path) {
            Verdict::Sound => {}
            Verdict::Damaged(proof) => return self.put_aside(&proof),
            Verdict::Unknown(e) => return Err(failure(e)),
        }
        let view = View::of(path).map_err(failure)?;
        let moved = view.origin != self.ledger.url();
        let fresh = !forced && !moved && self.is_fresh(interval);
        let remote = if fresh {
            Asked::Told(view.tracking)
        } else if forced && !self.ledger.remote.is_local() {
            Asked::NotYet
        } else {
            Asked::Told(
                discover(self.git(), &self.ledger.url(), Some(&view.branch), self.cancel)
                    .map_err(failure)?
                    .tip,
            )
        };
        if view.head.is_none() && remote == Asked::Told(None) {
            // The first commit is part of making the clone.
            return Ok(End::NoClone);
        }
        let level = remote == Asked::Told(view.tracking) && view.head == view.tracking && !moved;
        // A look needs the lock only to be noted; when somebody holds it, that is not worth a wait.
        let wait = match (level, forced) {
            (true, _) => Duration::ZERO,
            (false, true) => LOCK_WAIT_FORCED,
            (false, false) => LOCK_WAIT,
        };
        let mut kept = KeptList::load(&self.state_dir());
        let mut lock = match CloneLock::acquire(&self.lock_path(), wait).map_err(failure)? {
            Some(lock) => lock,
            None if level => return Ok(self.level(Change::default(), kept)),
            None => return Ok(End::Skipped(Skip::Busy)),
        };
        if level && lock.op().is_none() {
            if fresh {
                return Ok(End::Skipped(Skip::Fresh));
            }
            lock.note_fetch(self.site.clock.now().wall, view.tracking).map_err(failure)?;
            return Ok(self.level(Change::default(), kept));
        }
        let mut clone = lock.open(self.git(), path, self.cancel).map_err(failure)?;
        clone.recovered().iter().for_each(|rescue| kept.add(rescue));
        let mut change = Change::default();
        match self.bring_level(&mut clone, &view, remote, fresh, (&mut change, &mut kept), on_progress) {
            Ok(()) => Ok(self.level(change, kept)),
            Err(e) => {
                // What was laid beside is remembered, whatever else failed.
                kept.settle(path);
                self.skip_or_fail(e)
            }
        }
    }

    /// Under the lock: fetch, integrate, push.
    fn bring_level(
        &self,
        clone: &mut ManagedClone<'_>,
        view: &View,
        remote: Asked,
        fresh: bool,
        (change, kept): (&mut Change, &mut KeptList),
        on_progress: OnProgress<'_>,
    ) -> Result<(), GitError> {
        let moved = view.origin != self.ledger.url();
        if moved {
            clone.set_origin(&self.ledger.url())?;
        }
        let tip = match remote {
            Asked::Told(tip) if tip == view.tracking && !moved => {
                if !fresh {
                    clone.note_looked(tip)?;
                }
                tip
            }
            Asked::Told(None) => None,
            Asked::Told(Some(_)) | Asked::NotYet => {
                on_progress("fetching", None, "fetching from the remote");
                match clone.fetch(&view.branch) {
                    Ok(fetched) => Some(fetched.new),
                    Err(GitError::NoRemoteBranch { .. }) => None,
                    Err(e) => return Err(e),
                }
            }
        };
        if tip.is_none() && view.tracking.is_some() && !moved {
            // It had the branch: an emptied remote is not filled again behind its owner's back.
            return Err(GitError::NoRemoteBranch { branch: view.branch.clone() });
        }
        self.count(&clone.integrate(&view.branch, &setup::rules())?, change, kept);
        let ahead = clone.unpushed(&view.branch)?;
        if ahead > 0 {
            on_progress("pushing", None, "pushing own commits");
            let pushed = clone.push_retry(&view.branch, &setup::rules())?;
            change.pushed = ahead as u64;
            pushed.integrated.iter().for_each(|step| self.count(step, change, kept));
        }
        // Kept for 30 days; one that cannot be removed now is tried again with the next change.
        if let Err(e) = clone.prune_rescues() {
            log::warn!("old rescue refs of {}: {e}", self.ledger.path.display());
        }
        Ok(())
    }

    fn count(&self, step: &Integrated, change: &mut Change, kept: &mut KeptList) {
        if let Some(rescue) = &step.rescued {
            kept.add(rescue);
        }
        if step.how == How::Unchanged {
            return;
        }
        change.pulled = true;
        change.diverged |= matches!(step.how, How::Rebased { .. });
        let files = Reader::open(&self.ledger.path).and_then(|r| r.changed_files(step.old, step.new));
        change.files_in += files.unwrap_or_default() as u64;
    }

    fn clone(&self, on_progress: OnProgress<'_>) -> Result<End, Failure> {
        self.check_trust()?;
        let Some(mut lock) = CloneLock::acquire(&self.lock_path(), LOCK_WAIT_FORCED).map_err(failure)? else {
            return Ok(End::Skipped(Skip::Busy));
        };
        if !self.ledger.exists() {
            self.make_clone(on_progress).map_err(failure)?;
        }
        on_progress("verifying", None, "checking the clone");
        let git = self.git();
        let mut clone = lock.open(git, &self.ledger.path, self.cancel).map_err(failure)?;
        let mut kept = KeptList::load(&self.state_dir());
        clone.recovered().iter().for_each(|rescue| kept.add(rescue));
        clone.ensure_excludes(&EXCLUDES).map_err(failure)?;
        let view = View::of(&self.ledger.path).map_err(failure)?;
        let mut change = Change { pulled: true, ..Change::default() };
        if view.head.is_none() {
            on_progress("initializing", None, "writing the first commit");
            let text = setup::ledger_readme(&self.project, self.site.clock.now().wall);
            let files: [(&Path, &[u8]); 1] = [(Path::new("AGENTS.md"), text.as_bytes())];
            clone.seed(&view.branch, &files, "docs: describe this ledger").map_err(failure)?;
            change.pushed = 1;
        }
        let tip = clone.remote_tip(&view.branch).map_err(failure)?;
        clone.note_looked(tip).map_err(failure)?;
        Ok(self.level(change, kept))
    }

    fn make_clone(&self, on_progress: OnProgress<'_>) -> Result<(), GitError> {
        let git = self.git();
        if let Some(bare) = self.ledger.own_remote()
            && !bare.exists()
        {
            create_bare(git, bare, self.cancel)?;
        }
        on_progress("connecting", None, &format!("cloning {}", self.ledger.remote.display()));
        let mut last = None;
        let made = clone_plain(
            git,
            &self.ledger.url(),
            &self.ledger.path,
            &mut |p| {
                if last != Some(p) {
                    last = Some(p);
                    let (stage, text) = match p.stage {
                        CloneStage::Connecting => ("connecting", "waiting for the remote"),
                        CloneStage::Receiving => ("cloning", "receiving objects"),
                        CloneStage::Resolving => ("materializing", "resolving deltas"),
                        CloneStage::CheckingOut => ("materializing", "writing files"),
                        CloneStage::Verifying => ("verifying", "checking the clone"),
                    };
                    on_progress(stage, p.percent, text);
                }
            },
            self.cancel,
        );
        match made {
            Err(GitError::AlreadyExists { .. }) if self.ledger.exists() => Ok(()),
            other => other,
        }
    }

    /// A proven damaged clone is moved out of the way, never deleted.
    fn put_aside(&self, proof: &str) -> Result<End, Failure> {
        let Some(_lock) = CloneLock::acquire(&self.lock_path(), LOCK_WAIT).map_err(failure)? else {
            return Ok(End::Skipped(Skip::Busy));
        };
        // Somebody may have mended it meanwhile.
        if !matches!(verify(&self.ledger.path), Verdict::Damaged(_)) {
            return Ok(End::Skipped(Skip::Busy));
        }
        let seconds = self.site.clock.now().wall.as_second();
        let mut name = self.ledger.path.as_os_str().to_owned();
        name.push(format!(".bak.{seconds}"));
        let aside = PathBuf::from(name);
        log::error!("ledger {} is damaged: {proof}", self.ledger.path.display());
        std::fs::rename(&self.ledger.path, &aside).map_err(|e| Failure {
            class: Class::of_io(&e),
            text: format!("ledger is damaged ({proof}) and cannot be moved aside: {e}"),
            blocked: None,
        })?;
        Ok(End::PutAside(aside))
    }

    fn check_trust(&self) -> Result<(), Failure> {
        match &self.ledger.untrusted_host {
            None => Ok(()),
            Some(host) => Err(Failure {
                class: Class::Usage,
                text: format!(
                    "{host} is named as the ledger's host but nobody here has agreed to it; run: ox up"
                ),
                blocked: Some(Blocked::Untrusted),
            }),
        }
    }

    fn is_fresh(&self, interval: Duration) -> bool {
        let Some(at) = CloneLock::peek(&self.lock_path()).and_then(|stamp| stamp.fetched_at) else {
            return false;
        };
        let age = self.site.clock.now().wall.duration_since(at);
        // Half an interval, so that with jitter a look of our own never counts as somebody else's.
        // A stamp of the future is a clock that was set back: it proves nothing.
        !age.is_negative() && age.unsigned_abs() < interval / 2
    }

    fn level(&self, change: Change, kept: KeptList) -> End {
        End::Level(Change { kept: kept.settle(&self.ledger.path), ..change })
    }

    fn skip_or_fail(&self, e: GitError) -> Result<End, Failure> {
        match e {
            GitError::LockFiles { files } => {
                let name = |f: &PathBuf| f.strip_prefix(&self.ledger.path).unwrap_or(f).display().to_string();
                Ok(End::Skipped(Skip::LockFiles(files.iter().map(name).collect())))
            }
            GitError::Foreign { what, age } => {
                Ok(End::Skipped(Skip::Foreign { what: what.to_string(), age }))
            }
            e => Err(failure(e)),
        }
    }

    /// What others read: the state file inside the clone, and the project's local configuration. Only when something changed, so that a
    /// quiet ledger costs no write.
    fn write_down(&self, end: &End, head: &str) {
        let now = self.site.clock.now().wall;
        let mut state = SyncState::load(&self.ledger.path);
        let written = match end {
            End::Level(change) if change.pulled || change.pushed > 0 => {
                state.succeeded(now, head);
                let ledger = LocalLedger { path: self.ledger.path.clone(), last_sync: now.into() };
                let local =
                    LocalConfig::update(&self.project.root, &self.site.dirs, |l| l.set_ledger(&ledger));
                state.save(&self.ledger.path).and(local)
            }
            End::Failed(f) if f.class != Class::Network && self.ledger.exists() => {
                state.failed();
                state.save(&self.ledger.path)
            }
            _ => return,
        };
        if let Err(e) = written {
            log::warn!("sync state of {}: {e}", self.ledger.path.display());
        }
    }

    fn git(&self) -> &crate::git::Git {
        self.site.git(self.project.endpoint.is_local())
    }

    fn lock_path(&self) -> PathBuf {
        self.ledger.lock.clone()
    }

    fn state_dir(&self) -> PathBuf {
        self.site.dirs.state_of(&self.project.slug, &format!("{}-{}", super::LEDGER, self.project.repo_id))
    }
}

/// What is known of the remote's branch before the clone is touched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Its commit; none if there is no such branch.
    Told(Option<Oid>),
    /// Nothing: the fetch itself asks, in one conversation instead of two.
    NotYet,
}

/// The clone as it stands.
struct View {
    branch: String,
    head: Option<Oid>,
    tracking: Option<Oid>,
    origin: String,
}

impl View {
    fn of(path: &Path) -> Result<View, GitError> {
        let reader = Reader::open(path)?;
        let head = reader.head()?;
        let name = head.branch.as_deref().and_then(|b| b.strip_prefix("refs/heads/"));
        let branch = name.unwrap_or(BRANCH).to_string();
        let tracking = reader.target(&format!("refs/remotes/origin/{branch}"))?;
        Ok(View { branch, head: head.commit, tracking, origin: reader.origin_url().unwrap_or_default() })
    }
}

fn failure(e: GitError) -> Failure {
    let blocked = match &e {
        GitError::Conflict { .. } => Some(Blocked::Conflict),
        GitError::RebaseStuck { .. } => Some(Blocked::RebaseStuck),
        GitError::WrongBranch { .. } | GitError::Unrelated { .. } | GitError::NoRemoteBranch { .. } => {
            Some(Blocked::Diverged)
        }
        _ => None,
    };
    Failure { class: e.class(), text: e.to_string(), blocked }
}
