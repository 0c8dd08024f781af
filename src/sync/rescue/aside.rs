//! Whole clones that were put aside: which there are, and which may go.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::git::{CloneLock, Git, open_elsewhere, unsaved};
use crate::kit::cancel::Cancel;

/// The newest so many backups of a clone stay, whatever is in them.
const BACKUPS_KEPT: usize = 2;
/// An older backup goes, if it is proven to hold nothing.
const BACKUP_KEPT: Duration = Duration::from_secs(14 * 86_400);
/// A clone of a team that one no longer belongs to goes after this, if it is proven to hold nothing.
const REVOKED_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Why a clone was put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AsideKind {
    /// It was damaged, or replaced while somebody wrote to it: `<clone>.bak.<unix>`.
    Backup,
    /// Its team is no longer ours: `<clone>.revoked.<unix>`.
    Revoked,
}

impl AsideKind {
    /// Reads a directory's name: the clone's own name, why, and when.
    pub(super) fn parse(name: &str) -> Option<(&str, AsideKind, Timestamp)> {
        for (mark, kind) in [(".bak.", AsideKind::Backup), (".revoked.", AsideKind::Revoked)] {
            if let Some((own, seconds)) = name.rsplit_once(mark)
                && !own.is_empty()
                && seconds.bytes().all(|b| b.is_ascii_digit())
            {
                return Some((own, kind, Timestamp::from_second(seconds.parse().ok()?).ok()?));
            }
        }
        None
    }
}

/// The directories that were put aside of `clone`, newest first.
pub(super) fn asides(clone: &Path) -> Vec<(AsideKind, Timestamp, PathBuf)> {
    let (Some(home), Some(own)) = (clone.parent(), clone.file_name()) else { return Vec::new() };
    let mut found: Vec<_> = fs::read_dir(home)
        .into_iter()
        .flatten()
        .flatten()
        // A link by such a name is nothing that we put there.
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| {
            let name = e.file_name();
            let (of, kind, at) = AsideKind::parse(name.to_str()?)?;
            (of == own).then(|| (kind, at, e.path()))
        })
        .collect();
    found.sort_by_key(|(_, at, _)| Reverse(*at));
    found
}

/// Which of them have been kept long enough, by their kinds and times, newest first. Whether they hold anything is another
/// question.
pub fn expired(asides: &[(AsideKind, Timestamp)], now: Timestamp) -> Vec<bool> {
    let mut backups = 0;
    let older = |at: Timestamp, kept: Duration| {
        Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > kept)
    };
    asides
        .iter()
        .map(|(kind, at)| match kind {
            AsideKind::Backup => {
                backups += 1;
                backups > BACKUPS_KEPT && older(*at, BACKUP_KEPT)
            }
            AsideKind::Revoked => older(*at, REVOKED_KEPT),
        })
        .collect()
}

/// What became of a directory that has been kept long enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Which.
    pub path: PathBuf,
    /// Why it is still there; `None` if it is gone.
    pub kept: Option<String>,
}

/// Removes what was put aside of `clone` long enough ago and is proven to hold nothing that is nowhere else. The clone's lock is
/// held.
pub fn sweep(_held: &CloneLock, git: &Git, clone: &Path, now: Timestamp, cancel: &Cancel) -> Vec<Swept> {
    let found = asides(clone);
    let times: Vec<(AsideKind, Timestamp)> = found.iter().map(|(kind, at, _)| (*kind, *at)).collect();
    let old = found.into_iter().zip(expired(&times, now)).filter(|(_, old)| *old);
    old.map(|((.., path), _)| {
        let kept = match unsaved(git, &path, now, cancel) {
            Ok(what) if what.is_empty() => match open_elsewhere(&path) {
                Some(pid) => Some(format!("process {pid} has a file in it open")),
                None => fs::remove_dir_all(&path).err().map(|e| e.to_string()),
            },
            Ok(what) => Some(format!("it holds {}", what.join(", "))),
            Err(e) => Some(e.to_string()),
        };
        match &kept {
            None => log::info!("removed {}: all of it is on the remote", path.display()),
            Some(why) => log::info!("{} stays: {why}", path.display()),
        }
        Swept { path, kept }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let at = |n| Timestamp::from_second(n).unwrap();
        let check = |name: &str, expected| assert_eq!(AsideKind::parse(name), expected, "{name}");
        check("c.bak.5", Some(("c", AsideKind::Backup, at(5))));
        check("c.revoked.5", Some(("c", AsideKind::Revoked, at(5))));
        check("c.bak.1.bak.5", Some(("c.bak.1", AsideKind::Backup, at(5))));
        check("c.bak.", None);
        check("c.bak.-5", None);
        check(".bak.5", None);
        check("c", None);
    }

    #[test]
    fn the_newest_two_backups_stay_and_others_for_their_time() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let days = |n: i64| now - jiff::SignedDuration::from_hours(24 * n);
        use AsideKind::{Backup, Revoked};
        let check = |asides: &[(AsideKind, i64)], expected: &[bool]| {
            let asides: Vec<_> = asides.iter().map(|(k, n)| (*k, days(*n))).collect();
            assert_eq!(expired(&asides, now), expected, "{asides:?}");
        };
        check(&[(Backup, 100), (Backup, 200)], &[false, false]);
        check(&[(Backup, 1), (Backup, 2), (Backup, 13), (Backup, 15)], &[false, false, false, true]);
        check(&[(Revoked, 6), (Revoked, 8)], &[false, true]);
        check(&[(Revoked, 1), (Backup, 20), (Backup, 30), (Backup, 40)], &[false, false, false, true]);
        check(&[(Revoked, -5)], &[false]);
    }
}
