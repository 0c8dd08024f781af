//! What is thrown away: moved aside first, and removed some days later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::notes::{Notes, mark, unmark};
use super::{FinishError, NEEDS_SUMMARY, is_own, own};
use crate::kit::file;
use crate::sessions::place::{Found, Places};
use crate::sessions::summary::Disposition;

/// What was thrown away is removed after this (agentwork and sessions, 6.5).
pub const DISCARDED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Beside the directory of the sessions: what was thrown away.
const DISCARDED: &str = "discarded";
/// And what is being removed.
const DROPPED: &str = "dropped";
/// In a session that was thrown away; its age is that of this file.
const MARK: &str = ".discarded";

/// Throws the session in `dir` away, which comes back by moving it back within [`DISCARDED_FOR`]. A directory that git keeps is never
/// touched.
///
/// # Errors
/// See [`FinishError`].
pub fn discard(dir: &Path) -> Result<(), FinishError> {
    own(dir)?;
    file::found(fs::remove_file(dir.join(MARK)))?;
    mark(dir, MARK)?;
    unmark(dir, NEEDS_SUMMARY)?;
    move_to(dir, DISCARDED)?;
    Ok(())
}

/// Where the session that lay in `dir` is when it was thrown away.
pub fn discarded(dir: &Path) -> PathBuf {
    let all = dir.parent().unwrap_or(dir).with_file_name(DISCARDED);
    all.join(crate::sessions::name_of(dir))
}

/// Removes a session's directory: gone in one step, whoever is ended when.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    fs::remove_dir_all(move_to(dir, DROPPED)?)
}

/// Moves a session's directory beside the directory of the sessions; one of the same name there is removed.
fn move_to(dir: &Path, to: &str) -> io::Result<PathBuf> {
    let (Some(sessions), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no session's directory"));
    };
    let all = sessions.with_file_name(to);
    file::make_dirs(&all, 0o700)?;
    let target = all.join(name);
    if file::look(&target)?.is_some() {
        let aside = sessions.with_file_name(DROPPED).join(name);
        if aside != target {
            file::make_dirs(&sessions.with_file_name(DROPPED), 0o700)?;
            file::found(fs::remove_dir_all(&aside))?;
            fs::rename(&target, &aside)?;
        }
        file::found(fs::remove_dir_all(&aside))?;
    }
    fs::rename(dir, &target)?;
    file::sync_dir(dir)?;
    file::sync_dir(&target)?;
    Ok(target)
}

/// What was tidied up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Sessions that are gone for good.
    pub purged: usize,
    /// Sessions that were to be thrown away, by whoever was ended in the middle of it.
    pub discarded: usize,
}

/// Removes what was thrown away long enough ago, and completes what somebody was ended in the middle of. What cannot be done is left to the
/// next time and told in the log.
pub fn tidy(places: &Places, now: Timestamp) -> Tidied {
    let mut tidied = Tidied::default();
    for Found { name, dir, .. } in places.here() {
        let Ok(notes) = Notes::read(&dir) else { continue };
        let done = match notes.disposition() {
            Disposition::Discard => discard(&dir).map(|()| tidied.discarded += 1),
            // It was decided, and no agent is asked any more.
            Disposition::LocalOnly => unmark(&dir, NEEDS_SUMMARY).map_err(FinishError::Io),
            Disposition::Upload => Ok(()),
        };
        match done {
            Ok(()) | Err(FinishError::Recording) => {}
            Err(e) => log::warn!("session {name} cannot be finished as was decided: {e}"),
        }
    }
    for (_, sessions) in places.dirs().filter(|(place, _)| is_own(*place)) {
        for (all, is_due) in [
            (sessions.with_file_name(DROPPED), (&|_: &Path| true) as &dyn Fn(&Path) -> bool),
            (sessions.with_file_name(DISCARDED), &|dir: &Path| is_old(dir, now)),
        ] {
            let Ok(entries) = fs::read_dir(&all) else { continue };
            for entry in entries.flatten() {
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if !is_dir || !is_due(&entry.path()) {
                    continue;
                }
                match fs::remove_dir_all(entry.path()) {
                    Ok(()) => tidied.purged += 1,
                    Err(e) => log::warn!("{}: {e}", entry.path().display()),
                }
            }
        }
    }
    tidied
}

/// Whether one was thrown away long enough ago; of what cannot be looked at that is not known.
fn is_old(dir: &Path, now: Timestamp) -> bool {
    let since = |path: &Path| fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let Ok(since) = since(&dir.join(MARK)).or_else(|_| since(dir)) else { return false };
    SystemTime::from(now).duration_since(since).is_ok_and(|age| age >= DISCARDED_FOR)
}
