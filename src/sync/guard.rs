//! What a push must not bring to others: secrets in the sessions of a ledger. Each file that own commits bring is looked at once more, by the
//! rules of today. What the tool itself has committed is redacted anew; anything else is held back, with all that was committed behind it,
//! until somebody has it mended.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::outcome::Failure;
use super::record;
use super::run::{Job, LOCK_WAIT_FORCED, job};
use super::site::Site;
use super::workspace::{Kind, Target};
use crate::git::{BlobContent, CloneLock, GitError, ManagedClone, OwnFile, Reader};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::openat;
use crate::kit::pointer::Pointer;
use crate::project::{Dirs, Project, RedactRules};
use crate::redact::{Findings, Redactor};

/// The ledger's directory of sessions.
pub(super) const DIR: &str = "sessions";
/// What was found clean, beside the clone.
const FILE: &str = "scanned.json";
/// A larger file is not looked into, and so not pushed, in bytes; git servers refuse such files as well.
pub(super) const FILE_MAX: usize = 100 << 20;
/// So many files of one directory are looked at.
const FILES_MAX: usize = 2000;
/// So many contents are remembered as clean, the newest.
const KNOWN_MAX: usize = 10_000;
/// So many files are named when something is held back.
const NAMED_MAX: usize = 5;
/// How the messages of commits begin that the tool makes of sessions: this program and the Go program.
const OURS: [&str; 2] = ["session: ", "finalize session "];
/// What every text of this says.
pub(super) const HELD_BACK: &str = "held back, for it holds secrets";
/// What leads out.
pub(super) const MEND: &str = "ox session redaction verify --all --fix";

/// What is looked at, and by which rules.
pub(super) struct Guard<'a> {
    pub(super) dirs: &'a Dirs,
    pub(super) project: Option<&'a Project>,
    /// The clone's state directory.
    pub(super) state: &'a Path,
}

/// Contents that were found clean, by the rules with this fingerprint.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    rules: String,
    contents: Vec<String>,
}

/// A file that may not be pushed.
struct Held {
    file: OwnFile,
    found: Findings,
    /// What it is without its secrets; none if that cannot be said.
    clean: Option<Vec<u8>>,
}

impl Guard<'_> {
    /// Lets the commits through that `head` has and `upstream` has not, or says what keeps them.
    pub(super) fn check(&self, reader: &Reader, head: Oid, upstream: Option<Oid>) -> Result<(), GitError> {
        let held = self.held(reader, head, upstream)?;
        if held.is_empty() { Ok(()) } else { Err(GitError::Held(told(&held))) }
    }

    /// What of these commits may not be pushed. Contents that were looked at before are not looked at again.
    fn held(&self, reader: &Reader, head: Oid, upstream: Option<Oid>) -> Result<Vec<Held>, GitError> {
        let files = reader.own_files(head, upstream, DIR)?;
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let redactor = self.redactor();
        let path = self.state.join(FILE);
        let mut known: Known = record::load(&path);
        let rules = format!("{:016x}", redactor.fingerprint());
        if known.rules != rules {
            known = Known { rules, contents: Vec::new() };
        }
        let clean: BTreeSet<String> = known.contents.iter().cloned().collect();
        let (mut held, mut is_new) = (Vec::new(), false);
        for file in files {
            let id = file.id.to_string();
            let name = file.path.to_string_lossy().into_owned();
            let mut found = Findings::default();
            redactor.redact_counting(&name, &mut found);
            if !found.is_empty() {
                held.push(Held { file, found, clean: None });
            } else if !clean.contains(&id) {
                match reader.content(file.id, FILE_MAX)? {
                    // It was left at the remote, so it is there already.
                    BlobContent::Missing => {}
                    BlobContent::TooLarge(_) => held.push(Held { file, found, clean: None }),
                    BlobContent::Here(bytes) if Pointer::parse_exact(&bytes).is_some() => {}
                    BlobContent::Here(bytes) => {
                        let redacted = redactor.redact_file(&name, &bytes, &mut found);
                        if found.is_empty() {
                            is_new = true;
                            known.contents.push(id);
                        } else {
                            let clean = Some(redacted.into_owned());
                            held.push(Held { file, found, clean });
                        }
                    }
                }
            }
        }
        if is_new {
            known.contents.drain(..known.contents.len().saturating_sub(KNOWN_MAX));
            if let Err(e) = record::save(&path, &known) {
                log::debug!("{}: {e}; the same is looked at again", path.display());
            }
        }
        Ok(held)
    }

    pub(super) fn redactor(&self) -> Redactor {
        let found = RedactRules::read(self.dirs, self.project);
        found.trouble.iter().for_each(|trouble| log::warn!("{trouble}"));
        Redactor::with_rules(found.rules)
    }
}

/// What is held back, in words.
fn told(held: &[Held]) -> String {
    let one = |held: &Held| {
        let rules: Vec<&str> = held.found.rules().iter().map(|found| found.rule.as_str()).collect();
        let why = if rules.is_empty() { "too large to be looked into".to_owned() } else { rules.join(", ") };
        // A name that holds a secret is not told.
        let path = held.file.path.parent().filter(|_| held.clean.is_none() && !rules.is_empty());
        format!("{} ({why})", path.unwrap_or(&held.file.path).display())
    };
    let mut named: Vec<String> = held.iter().map(one).collect();
    named.sort();
    named.dedup();
    let more = named.len().saturating_sub(NAMED_MAX);
    named.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("what was to be pushed is {HELD_BACK}: {}{more}; {MEND}", named.join(", "))
}

impl Job<'_> {
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard { dirs: &self.site.dirs, project: self.project.as_ref(), state: &self.at.state }
    }

    /// Whether own commits may be pushed: of a ledger only without secrets in its sessions.
    pub(super) fn may_push(&self, reader: &Reader, head: Oid, upstream: Option<Oid>) -> Result<(), GitError> {
        match self.at.kind {
            Kind::Ledger => self.guard().check(reader, head, upstream),
            Kind::Team => Ok(()),
        }
    }

    /// Redacts anew what the tool has committed of sessions; what others have is left for the push to be refused.
    pub(super) fn redact_own(&self, clone: &mut ManagedClone<'_>, branch: &str) -> Result<(), GitError> {
        if self.at.kind == Kind::Ledger {
            let is_ours = |file: &OwnFile| OURS.iter().any(|start| file.subject.starts_with(start));
            self.redact_anew(clone, branch, is_ours)?;
        }
        Ok(())
    }

    /// Rewrites the own commits that hold secrets, if `may` says so of every file that does.
    fn redact_anew(
        &self,
        clone: &mut ManagedClone<'_>,
        branch: &str,
        may: impl Fn(&OwnFile) -> bool,
    ) -> Result<Mended, GitError> {
        let reader = clone.reader()?;
        let upstream = clone.remote_tip(branch)?;
        let Some(head) = reader.head()?.commit.filter(|head| Some(*head) != upstream) else {
            return Ok(Mended::default());
        };
        let held = self.guard().held(&reader, head, upstream)?;
        if held.is_empty() || !held.iter().all(|held| held.clean.is_some() && may(&held.file)) {
            let left = if held.is_empty() { None } else { Some(told(&held)) };
            return Ok(Mended { left, ..Mended::default() });
        }
        let mut mended = Mended::default();
        let mut contents = BTreeMap::new();
        for Held { file, found, clean } in held {
            mended.files += 1;
            mended.found.merge(&found);
            contents.extend(clean.map(|clean| (file.id, clean)));
        }
        mended.commits = clone.rewrite_own(branch, DIR, &contents)?;
        log::info!("{}: redacted {} files of sessions before they are pushed", self.at, mended.files);
        Ok(mended)
    }
}

/// What became of own commits with secrets in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Files that were redacted anew.
    pub files: usize,
    /// Commits that were written anew for that.
    pub commits: usize,
    /// What was found in them.
    pub found: Findings,
    /// What could not be mended, in words.
    pub left: Option<String>,
}

/// Redacts anew what own commits of the ledger of `target` hold that were not pushed yet, whoever made them; and commits without their
/// secrets the files `shared`, named below the directory of sessions, which the remote has already.
///
/// # Errors
/// The clone is at work, or cannot be read or written. Nothing is lost.
pub fn mend(site: &Site, target: &Target, shared: &[PathBuf], cancel: &Cancel) -> Result<Mended, Failure> {
    let job = job(site, target, cancel).map_err(|e| Failure::new(e.class(), e.to_string()))?;
    if !job.at.exists() || job.at.kind != Kind::Ledger {
        return Ok(Mended::default());
    }
    job.finish_reclone()?;
    let branch = job.branch()?;
    let busy = || Failure::new(Class::Busy, format!("somebody else works on {}", job.at));
    let mut lock = CloneLock::acquire(&job.at.lock, LOCK_WAIT_FORCED)?.ok_or_else(busy)?;
    let mut clone = lock.open(job.git(), &job.at.path, cancel)?;
    let mut mended = job.redact_anew(&mut clone, &branch, |_| true)?;
    let redactor = job.guard().redactor();
    let done = redact_shared(&mut clone, shared, &redactor, &mut mended.found)?;
    mended.files += done;
    mended.commits += usize::from(done > 0);
    Ok(mended)
}

/// Takes the secrets out of checked out files of sessions and commits them; how many.
fn redact_shared(
    clone: &mut ManagedClone<'_>,
    files: &[PathBuf],
    redactor: &Redactor,
    found: &mut Findings,
) -> Result<usize, Failure> {
    let reader = clone.reader()?;
    let Some(head) = reader.head()?.commit else { return Ok(0) };
    let mut changed: Vec<PathBuf> = Vec::new();
    for path in files.iter().map(|file| Path::new(DIR).join(file)) {
        let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
        let Some((name, dirs)) = names.as_deref().and_then(<[&str]>::split_last) else { continue };
        // What nobody has committed is not shared by that.
        if !reader.blobs_in(head, &dirs.join("/"), FILES_MAX)?.iter().any(|file| file.name == *name) {
            continue;
        }
        let bytes = openat::read(clone.path(), dirs, name, FILE_MAX)
            .map_err(|e| Failure::io("reading", &path, &e))?;
        if let Cow::Owned(clean) = redactor.redact_file(name, &bytes, found) {
            openat::replace(clone.path(), dirs, name, &clean)
                .map_err(|e| Failure::io("writing", &path, &e))?;
            changed.push(path);
        }
    }
    if !changed.is_empty() {
        let paths: Vec<&Path> = changed.iter().map(PathBuf::as_path).collect();
        clone.commit(&paths, &format!("{}without secrets", OURS[0]))?;
    }
    Ok(changed.len())
}
