//! What a clone holds: which of its files are checked out, which rules decide its conflicts, what must not be missing.

use std::path::Path;
use std::time::Duration;

use git2::Oid;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::workspace::{Kind, Workspace};
use crate::git::{GitError, Reader, ResolveRules, Sparse};
use crate::project::Manifest;

/// Directories of a ledger that are always checked out, also while they do not exist yet.
const LEDGER_DIRS: [&str; 4] = [".sageox", ".sync", "sessions", "audit"];
/// Directories of a ledger that are never checked out whole: large files, and what is kept by date.
const LEDGER_LARGE: [&str; 2] = ["assets", "data"];
/// What lies below `data/` by date, and so comes and goes with it.
const LEDGER_DATED: [&str; 2] = ["github", "murmurs"];
/// Days of imported items that are checked out, today's included.
const GITHUB_DAYS: i64 = 30;
/// Hours of murmurs that are checked out, the present one included.
const MURMUR_HOURS: i64 = 12;
/// A ledger with more directories than this in one place shows only the fixed ones.
const DIRS_MAX: usize = 2000;

/// What a team's context holds at least one of.
const TEAM_CORE: [&str; 3] = ["SOUL.md", "TEAM.md", "MEMORY.md"];
/// What describes a ledger to agents.
const LEDGER_CORE: &str = "AGENTS.md";

/// What there is to know of a clone's shape.
pub(super) enum Shape {
    /// A ledger: fixed rules.
    Ledger,
    /// A team's context: what its manifest says.
    Team(Box<Manifest>),
}

impl Shape {
    /// The shape of the clone at `path` as it is now.
    pub(super) fn of(at: &Workspace, path: &Path) -> Shape {
        match at.kind {
            Kind::Ledger => Shape::Ledger,
            Kind::Team => Shape::Team(Box::new(Manifest::load(path))),
        }
    }

    /// The rules for conflicts.
    pub(super) fn rules(&self) -> ResolveRules {
        match self {
            Shape::Ledger => ledger_rules(),
            Shape::Team(m) => ResolveRules { auto: m.resolve.auto.clone(), none: m.resolve.none.clone() },
        }
    }

    /// The files that are to be checked out.
    ///
    /// # Errors
    /// HEAD's tree cannot be read.
    pub(super) fn sparse(&self, reader: &Reader, now: Timestamp) -> Result<Sparse, GitError> {
        match self {
            Shape::Ledger => ledger_cone(reader, now),
            Shape::Team(m) => Ok(Sparse::Patterns(m.patterns())),
        }
    }

    /// The time between syncs that a team asks for; nothing if it leaves that open.
    pub(super) fn interval(&self) -> Option<Duration> {
        match self {
            Shape::Team(m) if m.names_sync_interval => Some(m.sync_interval),
            _ => None,
        }
    }

    /// The days between two gcs that a team asks for.
    pub(super) fn gc_days(&self) -> Option<u32> {
        match self {
            Shape::Team(m) => u32::try_from(m.gc_interval.as_secs() / 86_400).ok(),
            Shape::Ledger => None,
        }
    }
}

/// Whether a set that was right an hour ago is right no longer: the windows of time have moved on.
pub(super) fn is_outdated(now_set: &Sparse, kind: Kind, now: Timestamp) -> bool {
    match (kind, now_set) {
        (Kind::Team, _) => false,
        (Kind::Ledger, Sparse::Cone(dirs)) => !dirs.contains(&murmur_hour(now)),
        // Cloned whole, by hand or by an older program.
        (Kind::Ledger, _) => true,
    }
}

/// The rules for conflicts in a ledger: under `data/` the local version wins, elsewhere a person decides.
pub(super) fn ledger_rules() -> ResolveRules {
    ResolveRules { auto: vec!["data/".into()], none: Vec::new() }
}

/// Everything people write in a ledger, and of what comes by date the last of it.
fn ledger_cone(reader: &Reader, now: Timestamp) -> Result<Sparse, GitError> {
    let mut dirs: Vec<String> = LEDGER_DIRS.map(str::to_owned).to_vec();
    if let Some(head) = reader.head()?.commit {
        let top = reader.directories(head, "", DIRS_MAX)?;
        dirs.extend(top.into_iter().filter(|d| !LEDGER_LARGE.contains(&d.as_str())));
        let data = reader.directories(head, "data", DIRS_MAX)?;
        let undated = data.into_iter().filter(|d| !LEDGER_DATED.contains(&d.as_str()));
        dirs.extend(undated.map(|d| format!("data/{d}")));
    }
    let at = |back: jiff::Span| now.to_zoned(TimeZone::UTC).checked_sub(back).ok();
    for day in (0..GITHUB_DAYS).filter_map(|n| at(n.days())) {
        dirs.push(day.strftime("data/github/%Y/%m/%d").to_string());
    }
    for hour in (0..MURMUR_HOURS).filter_map(|n| at(n.hours())) {
        dirs.push(murmur_hour(hour.timestamp()));
    }
    dirs.sort();
    dirs.dedup();
    Ok(Sparse::Cone(dirs))
}

fn murmur_hour(at: Timestamp) -> String {
    at.strftime("data/murmurs/%Y-%m-%d/%H").to_string()
}

/// What a clone should hold and does not, in words. For a ledger only what the last pull took away: one that never had it is
/// as it was made.
pub(super) fn missing(
    kind: Kind,
    reader: &Reader,
    head: Option<Oid>,
    before: Option<Oid>,
) -> Result<Option<String>, GitError> {
    let Some(head) = head else { return Ok(None) };
    let has = |commit, path: &str| reader.has_path(commit, path);
    match kind {
        Kind::Team => {
            if !has(head, ".sageox")? {
                return Ok(Some("there is no .sageox/ in the team's context".to_string()));
            }
            for name in TEAM_CORE {
                if has(head, name)? {
                    return Ok(None);
                }
            }
            Ok(Some(format!("there is none of {} in the team's context", TEAM_CORE.join(", "))))
        }
        Kind::Ledger => {
            let had = before.map_or(Ok(false), |before| has(before, LEDGER_CORE))?;
            let gone = had && !has(head, LEDGER_CORE)?;
            Ok(gone.then(|| format!("{LEDGER_CORE} was removed from the ledger")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_of_a_ledger_move_with_the_hour() {
        let tmp = tempfile::tempdir().unwrap();
        git2::Repository::init(tmp.path()).unwrap();
        let reader = Reader::open(tmp.path()).unwrap();
        let at: Timestamp = "2026-03-01T00:30:00Z".parse().unwrap();
        let Sparse::Cone(dirs) = ledger_cone(&reader, at).unwrap() else { panic!("a cone") };
        assert_eq!(dirs.iter().filter(|d| d.starts_with("data/github/")).count(), 30);
        assert_eq!(dirs.iter().filter(|d| d.starts_with("data/murmurs/")).count(), 12);
        for dir in [
            "sessions",
            "data/github/2026/03/01",
            "data/github/2026/01/31",
            "data/murmurs/2026-03-01/00",
            "data/murmurs/2026-02-28/13",
        ] {
            assert!(dirs.iter().any(|d| d == dir), "{dir}: {dirs:?}");
        }
        let set = Sparse::Cone(dirs);
        let check = |time: &str, outdated: bool| {
            assert_eq!(is_outdated(&set, Kind::Ledger, time.parse().unwrap()), outdated, "{time}");
        };
        check("2026-03-01T00:59:59Z", false);
        check("2026-03-01T01:00:00Z", true);
        assert!(is_outdated(&Sparse::Everything, Kind::Ledger, at));
        assert!(!is_outdated(&Sparse::Everything, Kind::Team, at));
    }
}
