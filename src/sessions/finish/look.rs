//! Which sessions something is owed to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::notes::{ATTEMPTS_MAX, Notes, is_marked, owe_from};
use super::{DOWNLOADED, FinishError, NEEDS_SUMMARY, TO_SHARE, is_own};
use crate::kit::file;
use crate::sessions::place::{Found, Place, Places};
use crate::sessions::summary::Disposition;
use crate::sessions::{Name, meta, raw, recording};

/// What every finished session has beside its transcript.
pub(super) const ARTIFACTS: [&str; 3] = ["summary.md", "summary.json", "session.md"];

/// What a session is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The summary of an agent.
    Summary,
    /// That others get it; no agent has to be asked.
    Upload,
}

/// A session that something is owed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: Name,
    /// Its directory. In the ledger's own place nothing may be written: [`bring_here`] first.
    pub dir: PathBuf,
    /// Which place that is in.
    pub place: Place,
    /// What it is owed.
    pub need: Need,
    /// Bytes of its transcript.
    pub bytes: u64,
}

/// A session that was left alone because of what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which; none of a whole place.
    pub name: Option<Name>,
    /// What is meant.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Newest first.
    pub candidates: Vec<Candidate>,
    /// What was left alone, and is to be told.
    pub troubles: Vec<Trouble>,
    /// Sessions that were looked at.
    pub looked_at: usize,
}

/// What may be done with what is found.
pub struct Wanted<'a> {
    /// Agents may be asked. Without, a session is shared with the summary that was made without one.
    pub agents: bool,
    /// Sessions are shared without somebody saying so each time.
    pub publish: bool,
    /// Whether an agent was one of this machine: of sessions in the ledger others are left to theirs.
    pub is_ours: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted")
            .field("agents", &self.agents)
            .field("publish", &self.publish)
            .finish_non_exhaustive()
    }
}

/// Looks through all places (agentwork and sessions, 5.2). Reads of a session what says how it stands, and of its transcript at most the
/// beginning.
pub fn look(places: &Places, wanted: &Wanted<'_>) -> Looked {
    let (all, unread) = places.all();
    let mut looked = Looked::default();
    let trouble = |(path, e): (PathBuf, io::Error)| Trouble { name: None, path, why: e.to_string() };
    looked.troubles = unread.into_iter().map(trouble).collect();
    let ledger = places.dirs().find(|(place, _)| *place == Place::Ledger).map(|(_, dir)| dir);
    for found in all {
        looked.looked_at += 1;
        let need = match found.place {
            Place::Local | Place::Cache => need(&found, ledger, wanted),
            Place::Ledger if wanted.agents && (wanted.is_ours)(found.name.agent()) => need_in_ledger(&found),
            // What older versions left there is read and nothing else.
            Place::Ledger | Place::Project => continue,
        };
        let Found { name, dir, place, .. } = found;
        match need {
            Ok(Some((need, bytes))) => looked.candidates.push(Candidate { name, dir, place, need, bytes }),
            Ok(None) => {}
            Err(why) => looked.troubles.push(Trouble { name: Some(name), path: dir, why: why.to_string() }),
        }
    }
    looked
}

/// What one of this machine is owed, and the bytes of its transcript.
fn need(
    found: &Found,
    ledger: Option<&Path>,
    wanted: &Wanted<'_>,
) -> Result<Option<(Need, u64)>, FinishError> {
    let dir = &found.dir;
    if is_marked(dir, recording::FILE)? || is_marked(dir, DOWNLOADED)? {
        return Ok(None);
    }
    let Some(bytes) = bytes(dir)? else { return Ok(None) };
    let notes = Notes::read(dir)?;
    if notes.is_draft {
        return Err(FinishError::Meta(io::Error::other("it is a draft")));
    }
    if notes.disposition() != Disposition::Upload {
        return Ok(None);
    }
    let is_owed = notes.attempts(bytes) < ATTEMPTS_MAX && (lacks(dir)? || is_marked(dir, NEEDS_SUMMARY)?);
    let shared = ledger.map(|ledger| ledger.join(&*found.name).join(meta::FILE));
    let need = if is_owed && wanted.agents {
        Need::Summary
    } else if let Some(shared) = shared
        && wanted.publish
        && notes.may_share()
        && (is_marked(dir, TO_SHARE)? || file::look(&shared)?.is_none())
    {
        Need::Upload
    } else {
        return Ok(None);
    };
    Ok(raw::is_substantive(&dir.join(raw::FILE))?.then_some((need, bytes)))
}

/// The same of one of this machine's that lies in the ledger with all its content.
fn need_in_ledger(found: &Found) -> Result<Option<(Need, u64)>, FinishError> {
    let dir = &found.dir;
    let Some(bytes) = bytes(dir)? else { return Ok(None) };
    if is_marked(dir, recording::FILE)? || !(lacks(dir)? || is_marked(dir, NEEDS_SUMMARY)?) {
        return Ok(None);
    }
    let notes = Notes::read(dir)?;
    if notes.is_draft {
        return Err(FinishError::Meta(io::Error::other("it is a draft")));
    }
    if notes.attempts(bytes) >= ATTEMPTS_MAX || notes.disposition() != Disposition::Upload {
        return Ok(None);
    }
    Ok(raw::is_substantive(&dir.join(raw::FILE))?.then_some((Need::Summary, bytes)))
}

/// Bytes of the transcript; none where it is not there, or kept elsewhere.
fn bytes(dir: &Path) -> io::Result<Option<u64>> {
    let path = dir.join(raw::FILE);
    match file::look(&path)? {
        Some(meta) if meta.is_file() && !raw::is_pointer(&path)? => Ok(Some(meta.len())),
        _ => Ok(None),
    }
}

/// Whether one of the artifacts is not there.
pub(super) fn lacks(dir: &Path) -> io::Result<bool> {
    for name in ARTIFACTS {
        if file::look(&dir.join(name))?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes that the session in `dir` came from others: nobody here finishes it.
///
/// # Errors
/// The disk refuses.
pub fn mark_downloaded(dir: &Path) -> io::Result<()> {
    super::notes::mark(dir, DOWNLOADED)
}

/// Directories of a session that are made in the middle of it.
const DRAFT: &str = ".bring";

/// The directory in which a session is finished: its own, or a copy of what lies in the ledger.
///
/// # Errors
/// The disk refuses.
pub fn bring_here(places: &Places, candidate: &Candidate) -> io::Result<PathBuf> {
    if is_own(candidate.place) {
        return Ok(candidate.dir.clone());
    }
    let (target, draft) = (places.own().join(&*candidate.name), places.own().join(DRAFT));
    if file::look(&target)?.is_some() {
        return Ok(target);
    }
    file::found(fs::remove_dir_all(&draft))?;
    file::make_dirs(&draft, 0o700)?;
    for name in super::pack::CONTENT.iter().chain(&super::pack::PLAIN) {
        let from = candidate.dir.join(name);
        if file::look(&from)?.is_some_and(|meta| meta.is_file()) {
            file::write_filled(&draft.join(name), 0o600, &mut |out| {
                io::copy(&mut raw::open(&from)?, out).map(drop)
            })?;
        }
    }
    if is_marked(&candidate.dir, NEEDS_SUMMARY)? {
        owe_from(&draft, &target)?;
    }
    match file::rename_new(&draft, &target) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        done => done?,
    }
    file::sync_dir(&target)?;
    Ok(target)
}
