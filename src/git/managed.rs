//! A clone that may be changed, because its lock is held.

use std::cell::{OnceCell, RefCell};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use git2::Oid;
use jiff::tz::TimeZone;

use super::change::resolve::ResolveRules;
use super::command::{Git, Invocation, Profile};
use super::entry::zero_split;
use super::error::GitError;
use super::limits::{REPLAY_ATTEMPTS, STALE_DEAD_OWNER, STALE_OWNERLESS};
use super::lock::{CloneLock, Op, OpKind};
use super::read::{LockFile, Reader, foreign_operation, lock_files};
use super::rescue::{Captured, Rescue};
use crate::kit::Class;
use crate::kit::cancel::Cancel;

/// Looks at what is about to be pushed: the commits that the first one leads to and the second, the remote's, does not. An error keeps all of
/// it here.
pub type Gate<'g> = &'g dyn Fn(&Reader, Oid, Option<Oid>) -> Result<(), GitError>;

/// A clone under its lock. The only thing that changes a clone.
pub struct ManagedClone<'l> {
    pub(super) lock: &'l mut CloneLock,
    pub(super) git: &'l Git,
    pub(super) path: PathBuf,
    pub(super) cancel: Cancel,
    pub(super) recovered: Vec<Rescue>,
    pub(super) gate: Option<Gate<'l>>,
    identity: OnceCell<Identity>,
    reader: RefCell<Option<(Cached, Rc<Reader>)>>,
}

/// State of what an open repository keeps in memory and does not look at again: where history is cut off, and which packs there are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cached([Option<(u64, i64, i64)>; 2]);

impl Cached {
    fn of(clone: &Path) -> Cached {
        let stamp = |m: Metadata| (m.ino(), m.mtime(), m.mtime_nsec());
        let stat = |file: &str| clone.join(".git").join(file).metadata().ok().map(stamp);
        Cached([stat("shallow"), stat("objects/pack")])
    }
}

/// Whose commits ours are.
#[derive(Debug)]
pub(super) struct Identity {
    name: String,
    email: String,
    /// Whether git finds it by itself.
    is_told: bool,
}

/// What a fetch found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The remote-tracking ref before.
    pub old: Option<Oid>,
    /// The remote's branch now.
    pub new: Oid,
}

/// How the remote's commits came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// There was nothing to bring in.
    Unchanged,
    /// HEAD was behind only.
    FastForward,
    /// Local commits were replayed on top of the remote's.
    Replayed {
        /// Paths whose conflict the rules decided.
        auto_resolved: Vec<PathBuf>,
    },
}

/// The result of [`ManagedClone::integrate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrated {
    /// HEAD before; `None` if unborn.
    pub old: Option<Oid>,
    /// HEAD after.
    pub new: Option<Oid>,
    /// How it got there.
    pub how: How,
    /// What happened to dirty files that stood in the way, if any did.
    pub rescued: Option<Rescue>,
}

/// HEAD and the remote's branch as they stand.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) head: Option<Oid>,
    pub(super) upstream: Option<Oid>,
    pub(super) relation: Relation,
}

impl Standing {
    /// Of an operation that goes nowhere from `head`.
    pub(super) fn at(head: Option<Oid>) -> Standing {
        Standing { head, upstream: None, relation: Relation::Contained }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// HEAD has all of the remote's commits.
    Contained,
    /// HEAD has nothing of its own.
    Behind,
    /// Both have commits of their own.
    Diverged,
}

impl<'l> ManagedClone<'l> {
    pub(super) fn open(
        lock: &'l mut CloneLock,
        git: &'l Git,
        path: &Path,
        cancel: &Cancel,
    ) -> Result<ManagedClone<'l>, GitError> {
        let (path, cancel) = (path.to_path_buf(), cancel.clone());
        let (recovered, identity, reader) = (Vec::new(), OnceCell::new(), RefCell::default());
        let mut clone = ManagedClone { lock, git, path, cancel, recovered, gate: None, identity, reader };
        super::ensure_attributes(&clone.path)?;
        clone.recover()?;
        Ok(clone)
    }

    /// Where the clone is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From here on nothing is pushed that `gate` does not let through.
    pub fn guard(&mut self, gate: Gate<'l>) {
        self.gate = Some(gate);
    }

    /// Dirty work that a dead holder of the lock had put aside and that was put back when the clone was opened.
    pub fn recovered(&self) -> &[Rescue] {
        &self.recovered
    }

    /// Notes that a look at the remote found its branch at `commit`, so that no fetch is needed.
    ///
    /// # Errors
    /// The lock file could not be written.
    pub fn note_remote_tip(&mut self, commit: Option<Oid>) -> Result<(), GitError> {
        self.lock.note_fetch(self.git.now().wall, commit)
    }

    /// Reads in the clone. One opening serves many calls, as long as nobody changes what an open repository keeps in memory.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Rc<Reader>, GitError> {
        // Looked at first: what changes while it is opened is then seen as a change.
        let now = Cached::of(&self.path);
        if let Some((then, reader)) = &*self.reader.borrow()
            && *then == now
        {
            return Ok(Rc::clone(reader));
        }
        let reader = Rc::new(Reader::open(&self.path)?);
        *self.reader.borrow_mut() = Some((now, Rc::clone(&reader)));
        Ok(reader)
    }

    pub(super) fn local(&self, sub: &'static str) -> Invocation<'l> {
        self.git.local(sub, &self.path)
    }

    pub(super) fn git_dir(&self) -> PathBuf {
        self.path.join(".git")
    }

    /// Runs `work` with its record in the lock file. After a failure what it left half done is taken back at once;
    /// if even that fails, the record stays for the next holder.
    pub(super) fn within<T>(
        &mut self,
        kind: OpKind,
        branch: &str,
        standing: &Standing,
        work: impl FnOnce(&mut Self) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        self.within_op(kind, branch, standing, None, work)
    }

    /// [`ManagedClone::within`] for an operation that ends with the branch going on to `then`.
    fn within_op<T>(
        &mut self,
        kind: OpKind,
        branch: &str,
        standing: &Standing,
        then: Option<Oid>,
        work: impl FnOnce(&mut Self) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let text = |id: Option<Oid>| id.map(|i| i.to_string()).unwrap_or_default();
        self.lock.begin(Op {
            kind,
            head: text(standing.head),
            branch: branch.to_owned(),
            target: text(standing.upstream),
            then: text(then),
            started: self.git.now().wall,
        })?;
        match work(self) {
            Ok(done) => self.lock.end().map(|()| done),
            Err(e) => {
                // Taking back is not cancelled with what it takes back.
                let cancel = std::mem::take(&mut self.cancel);
                // A command that could not fetch what it needed may have begun to change files.
                let half_done = e.cut_short() || e.lacked_contents();
                let taken_back = self.take_back(e.cut_short(), half_done);
                self.cancel = cancel;
                match taken_back {
                    Err(stuck @ GitError::RebaseStuck(_)) => return Err(stuck),
                    Err(second) => log::warn!("taking back a failed {kind:?}: {second}"),
                    Ok(()) => {}
                }
                Err(e)
            }
        }
    }

    /// [`ManagedClone::within`] for work that changes refs or settings and nothing else: what a kill leaves of it, a lock file,
    /// would look like somebody else's.
    pub(super) fn within_refs<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        self.within(OpKind::Refs, "", &Standing::at(None), work)
    }

    /// Brings the remote's branch into its remote-tracking ref. FETCH_HEAD is not written; the stamp only after success.
    ///
    /// # Errors
    /// [`GitError::NoRemoteBranch`] if the remote has no such branch; else what git's output tells of.
    pub fn fetch(&mut self, branch: &str) -> Result<Fetched, GitError> {
        let (old, url) = (self.remote_tip(branch)?, self.reader()?.origin_url().unwrap_or_default());
        let standing = Standing { upstream: old, ..Standing::at(None) };
        let new = self.within(OpKind::Fetch, branch, &standing, |c| {
            c.run_fetch(branch, &url)?;
            let new = c.remote_tip(branch)?;
            c.lock.forget_op();
            c.lock.note_fetch(c.git.now().wall, new)?;
            new.ok_or_else(|| GitError::NoRemoteBranch(branch.to_owned()))
        })?;
        Ok(Fetched { old, new })
    }

    fn run_fetch(&self, branch: &str, url: &str) -> Result<(), GitError> {
        let refs = format!("+refs/heads/{branch}:refs/remotes/origin/{branch}");
        let out = self.git.fetch(&self.path, url).arg(refs).run_any(&self.cancel)?;
        if out.status.success() {
            return Ok(());
        }
        if String::from_utf8_lossy(&out.stderr).contains("couldn't find remote ref") {
            return Err(GitError::NoRemoteBranch(branch.to_owned()));
        }
        Err(GitError::of_output("fetch", &out))
    }

    /// Brings what was fetched into HEAD and the files: not at all, by fast-forward, or by replaying local commits. Dirty
    /// files in the way are put aside before and back after.
    ///
    /// # Errors
    /// Nothing is lost by any: HEAD is where it was, or where it should be; dirty files lie in place or in a rescue ref
    /// that the next holder of the lock puts back.
    pub fn integrate(&mut self, branch: &str, rules: &ResolveRules) -> Result<Integrated, GitError> {
        for _ in 0..REPLAY_ATTEMPTS {
            let standing = self.standing_deep(branch)?;
            let (head, upstream) = match (standing.relation, standing.head, standing.upstream) {
                (Relation::Diverged, Some(head), Some(upstream)) => (head, upstream),
                (Relation::Contained, head, _) => {
                    return Ok(Integrated { old: head, new: head, how: How::Unchanged, rescued: None });
                }
                _ => {
                    self.clear_lock_files()?;
                    return self.fast_forward(branch, &standing, None);
                }
            };
            self.clear_lock_files()?;
            if let Some(done) = self.integrate_by_replay(branch, rules, head, upstream)? {
                return Ok(done);
            }
        }
        Err(GitError::Unquiet)
    }

    /// A merge, rebase or the like that somebody else has under way is an answer.
    pub(super) fn refuse_foreign(&self) -> Result<(), GitError> {
        foreign_operation(&self.path, self.git.now().wall).map_or(Ok(()), |foreign| Err(foreign.into()))
    }

    /// Compares HEAD with the remote-tracking ref; refuses a clone that somebody is working in.
    pub(super) fn standing(&self, branch: &str) -> Result<Standing, GitError> {
        self.refuse_foreign()?;
        let reader = self.reader()?;
        let on = reader.head()?;
        if on.name() != Some(branch) {
            let found = on.branch.unwrap_or_else(|| "a detached HEAD".to_owned());
            return Err(GitError::WrongBranch { found, wanted: branch.to_owned() });
        }
        let head = on.commit;
        let upstream = self.remote_tip(branch)?;
        let relation = match (head, upstream) {
            (_, None) => Relation::Contained,
            (None, Some(_)) => Relation::Behind,
            (Some(h), Some(u)) if h == u => Relation::Contained,
            (Some(h), Some(u)) => match reader.ahead_behind(h, u)? {
                (_, 0) => Relation::Contained,
                (0, _) => Relation::Behind,
                // Nothing in common is refused, but for our own first commit that came too late: it gives way.
                _ if reader.is_related(h, u)? || self.own_seed(h, u)?.is_some() => Relation::Diverged,
                _ => return Err(GitError::Unrelated(branch.to_owned())),
            },
        };
        Ok(Standing { head, upstream, relation })
    }

    /// Moves HEAD, index and files from the head of `standing` to its upstream, and the branch then on to a commit with the same files.
    pub(super) fn fast_forward(
        &mut self,
        branch: &str,
        standing: &Standing,
        then: Option<Oid>,
    ) -> Result<Integrated, GitError> {
        let done = |rescued| Integrated {
            old: standing.head,
            new: then.or(standing.upstream),
            how: How::FastForward,
            rescued,
        };
        self.within_op(OpKind::FastForward, branch, standing, then, |c| {
            let refused = if c.is_in_the_way_of_sparse(standing)? {
                None
            } else {
                match c.merge(branch, standing) {
                    Ok(()) => return c.go_on(branch, standing, then).map(|()| done(None)),
                    Err(e) if matches!(e.class(), Class::Conflict | Class::Bug) => Some(e),
                    Err(e) => return Err(e),
                }
            };
            c.still_at(branch, standing)?;
            let Some(aside) = c.put_aside(standing)? else {
                refused.map_or_else(|| c.merge(branch, standing), Err)?;
                return c.go_on(branch, standing, then).map(|()| done(None));
            };
            let merged = c.merge(branch, standing).and_then(|()| c.go_on(branch, standing, then));
            let rescue = c.put_back(aside.time, aside.commit)?;
            if merged.is_err() {
                c.recovered.push(rescue.clone());
            }
            merged.map(|()| done(Some(rescue)))
        })
    }

    /// Whoever commits, resets or changes the branch meanwhile has a say: what was planned for another HEAD is not done.
    fn still_at(&self, branch: &str, standing: &Standing) -> Result<(), GitError> {
        let head = self.reader()?.head()?;
        let is_there = head.name() == Some(branch) && head.commit == standing.head;
        if is_there { Ok(()) } else { Err(GitError::Unquiet) }
    }

    /// Moves the branch on, unless somebody has committed meanwhile.
    fn go_on(&self, branch: &str, standing: &Standing, then: Option<Oid>) -> Result<(), GitError> {
        match (standing.upstream, then) {
            (Some(from), Some(to)) => self.move_branch(branch, from, to),
            _ => Ok(()),
        }
    }

    /// Moves a branch from one commit to another one with the same files. Where it is somewhere else it stays.
    pub(super) fn move_branch(&self, branch: &str, from: Oid, to: Oid) -> Result<(), GitError> {
        let reader = self.reader()?;
        let tree = |id| reader.repo().find_commit(id).map(|commit| commit.tree_id());
        let trees =
            tree(from).and_then(|from| Ok((from, tree(to)?))).map_err(GitError::git2("reading a commit"))?;
        if trees.0 != trees.1 {
            return Err(GitError::Damaged { what: "a replay", proof: format!("{from} and {to} differ") });
        }
        let name = format!("refs/heads/{branch}");
        match reader.repo().reference_matching(&name, to, true, from, "ox: own commits replayed") {
            Err(e) if e.code() == git2::ErrorCode::Modified => Err(GitError::Unquiet),
            moved => moved.map(drop).map_err(GitError::git2("moving the branch")),
        }
    }

    fn merge(&self, branch: &str, standing: &Standing) -> Result<(), GitError> {
        self.still_at(branch, standing)?;
        let target = standing.upstream.map(|u| u.to_string()).unwrap_or_default();
        // Without --no-overwrite-ignore git replaces ignored files without a word.
        self.lazy("merge")?
            .args(["--ff-only", "--no-overwrite-ignore", "--no-autostash", "--no-stat", "--quiet", &target])
            .deadline(super::limits::CHILD_MAX)
            .run(&self.cancel)
            .map(drop)
    }

    /// Replays own commits on the remote's, then moves there: first, as by a fast-forward, to a commit on top of HEAD with the files of the
    /// last replayed one, so that what protects files in a fast-forward protects them here; then the branch alone. `None` if somebody
    /// committed meanwhile, so that there is more to replay.
    fn integrate_by_replay(
        &mut self,
        branch: &str,
        rules: &ResolveRules,
        head: Oid,
        upstream: Oid,
    ) -> Result<Option<Integrated>, GitError> {
        let replayed = self.replay(branch, rules, head, upstream)?;
        let how = How::Replayed { auto_resolved: replayed.auto_resolved };
        let is_merge = self.reader()?.is_ancestor(head, replayed.tip)?;
        let (next, then) = match is_merge {
            true => (replayed.tip, None),
            false => (self.bridge(head, replayed.tip)?, Some(replayed.tip)),
        };
        let way = Standing { head: Some(head), upstream: Some(next), relation: Relation::Behind };
        match self.fast_forward(branch, &way, then) {
            Ok(done) => Ok(Some(Integrated { how, ..done })),
            Err(GitError::Unquiet) if self.reader()?.head()?.commit != Some(head) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts all dirty tracked files and what is untracked in the way aside; `None` if there is nothing such.
    fn put_aside(&mut self, standing: &Standing) -> Result<Option<Captured>, GitError> {
        let dirty = self.dirty(standing)?;
        if dirty.is_empty() {
            return Ok(None);
        }
        self.ensure_versions(&dirty, standing)?;
        let captured = self.capture(&dirty, standing.head)?;
        self.clear_away(&captured, standing.head)?;
        Ok(Some(captured))
    }

    /// Removes lock files that are proven stale; any other is an answer.
    pub(super) fn clear_lock_files(&self) -> Result<(), GitError> {
        let mut left = Vec::new();
        for lock in lock_files(&self.path, self.git.now().wall)? {
            if is_stale(&lock) && std::fs::remove_file(&lock.path).is_ok() {
                log::info!("removed stale {}", lock.path.display());
            } else {
                left.push(lock.path);
            }
        }
        if left.is_empty() { Ok(()) } else { Err(GitError::LockFiles(left)) }
    }

    /// Gives the branch that HEAD is on the name it has at the remote now; what was known of the remote's under the old one is forgotten.
    ///
    /// # Errors
    /// What git's output tells of: there is a branch of that name, say.
    pub fn rename_branch(&mut self, old: &str, new: &str) -> Result<(), GitError> {
        self.within_refs(|c| {
            c.local("branch").args(["-m", "--", old, new]).run(&c.cancel)?;
            c.local("config")
                .args([format!("branch.{new}.merge"), format!("refs/heads/{new}")])
                .run(&c.cancel)?;
            let fetched = |name: &str| format!("+refs/heads/{name}:refs/remotes/origin/{name}");
            let asked = c.local("config").args(["--get", "remote.origin.fetch"]).run_any(&c.cancel)?;
            if asked.stdout.trim_ascii() == fetched(old).as_bytes() {
                c.local("config").args(["remote.origin.fetch", &fetched(new)]).run(&c.cancel)?;
            }
            let gone = format!("refs/remotes/origin/{old}");
            c.local("update-ref").args(["-d", &gone]).run(&c.cancel).map(drop)
        })
    }

    /// Sets the URL of `origin`, adding the remote if it is missing. What was known of another remote's branches is
    /// forgotten first: it says nothing about this one.
    ///
    /// # Errors
    /// What git's output tells of.
    pub fn set_origin(&mut self, url: &str) -> Result<(), GitError> {
        self.within_refs(|c| {
            let reader = c.reader()?;
            let has = reader.repo().find_remote("origin").is_ok();
            if has && reader.origin_url().as_deref() != Some(url) {
                let known = reader.refs("refs/remotes/origin/")?;
                let orders: String =
                    known.iter().map(|(name, _)| format!("option no-deref\ndelete {name}\n")).collect();
                if !orders.is_empty() {
                    c.local("update-ref").arg("--stdin").stdin(orders.into_bytes()).run(&c.cancel)?;
                }
            }
            let verb = if has { "set-url" } else { "add" };
            c.local("remote").args([verb, "--", "origin", url]).run(&c.cancel).map(drop)
        })
    }

    /// Who commits: the one that the user has told git, else a stand-in.
    pub(super) fn identity(&self) -> Result<&Identity, GitError> {
        if let Some(known) = self.identity.get() {
            return Ok(known);
        }
        let found = self.look_up_identity()?;
        Ok(self.identity.get_or_init(|| found))
    }

    fn look_up_identity(&self) -> Result<Identity, GitError> {
        // The user's name is theirs whatever remote the commits go to, so it is looked up with their configuration.
        let own = self.git.with_profile(Profile::SelfHosted);
        let ask = own.local("config", &self.path).args(["-z", "--get-regexp", r"^user\.(name|email)$"]);
        let out = ask.run_any(&self.cancel)?;
        let (mut name, mut email) = (None, None);
        for entry in zero_split(&out.stdout) {
            match String::from_utf8_lossy(entry).split_once('\n') {
                Some(("user.name", v)) if !v.is_empty() => name = Some(v.to_owned()),
                Some(("user.email", v)) if !v.is_empty() => email = Some(v.to_owned()),
                _ => {}
            }
        }
        let is_told = self.git.profile() == Profile::SelfHosted && name.is_some() && email.is_some();
        let name = name.unwrap_or_else(|| "ox".to_owned());
        let email = email.unwrap_or_else(|| format!("ox@{}", self.git.machine()));
        Ok(Identity { name, email, is_told })
    }

    /// The line of a commit that says who wrote it and when.
    pub(super) fn committer(&self) -> Result<String, GitError> {
        let Identity { name, email, .. } = self.identity()?;
        let plain = |text: &str| text.replace(['<', '>', '\n', '\0'], "");
        let now = self.git.now().wall;
        let minutes = now.to_zoned(TimeZone::system()).offset().seconds() / 60;
        let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
        let zone = format!("{sign}{:02}{:02}", minutes / 60, minutes % 60);
        Ok(format!("{} <{}> {} {zone}", plain(name), plain(email), now.as_second()))
    }

    /// `git commit-tree` as the user. The author of a replayed commit stays who it was.
    pub(super) fn commit_tree(&self) -> Result<Invocation<'l>, GitError> {
        let mut i = self.local("commit-tree");
        let Identity { name, email, is_told } = self.identity()?;
        if !is_told {
            for (variable, value) in [("NAME", name), ("EMAIL", email)] {
                for of in ["AUTHOR", "COMMITTER"] {
                    i = i.env(&format!("GIT_{of}_{variable}"), value);
                }
            }
        }
        Ok(i)
    }
}

fn is_stale(lock: &LockFile) -> bool {
    match lock.owner {
        Some((_, true)) => false,
        Some((_, false)) => lock.age > STALE_DEAD_OWNER,
        None => lock.age > STALE_OWNERLESS,
    }
}
