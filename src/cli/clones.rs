//! What is known of managed clones: what lies on disk, and what the daemon says if it runs. Changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::context::Cx;
use super::daemon_status::State;
use super::ui::text::age;
use crate::git::{CloneLock, Reader, Verdict, verify};
use crate::ipc::wire::{StatusData, WorkspaceSyncStatus};
use crate::kit::mask::sanitise;
use crate::project::{Dirs, Project, SyncState};
use crate::sync::{self, Kind, Known, Loaded, SetupError, Site, Stored, TeamRef, Workspace};

/// A clone that was level with its remote longer ago than this is stale.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// One clone.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CloneFacts {
    /// `ledger` or the team's id.
    pub id: String,
    /// `ledger` or `team-context`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The team's name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who names the team: `config`, `credentials`, `api`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Directory name of its endpoint, where clones of several are listed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Where it is, or is to be.
    pub path: PathBuf,
    /// Where it comes from, fit to be shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote: String,
    /// It is there.
    pub exists: bool,
    /// In one word.
    pub status: State,
    /// What is wrong with it, or why its last sync failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Nobody on this machine has said yes to this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untrusted_host: Option<String>,
    /// Bytes on disk, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The branch that is checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// HEAD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Commits that the remote did not have when it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<usize>,
    /// Commits of the remote that are not merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<usize>,
    /// When it was last level with its remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync: Option<Timestamp>,
    /// That was more than a day ago; absent where it is not known to have ever been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<bool>,
    /// When the remote was last seen to have moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_changed: Option<Timestamp>,
    /// Failures in a row.
    pub sync_failures: i64,
    /// After failures, not before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sync_attempt: Option<Timestamp>,
    /// The next run as the daemon plans it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sync: Option<Timestamp>,
    /// Nothing is pushed there.
    pub read_only: bool,
    /// Its history is cut off.
    pub shallow: bool,
    /// File contents were left at the remote.
    pub partial: bool,
}

impl CloneFacts {
    /// What people call it.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }

    /// Counts its bytes, which takes a while.
    pub fn count_bytes(&mut self) {
        self.size_bytes = if self.exists { sync::reclone::taken(&self.path).ok() } else { None };
    }
}

/// The clones of one project.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The ledger; none if its remote is not known.
    pub ledger: Option<CloneFacts>,
    /// The teams, by id.
    pub teams: Vec<CloneFacts>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

/// The ledger and teams of `project`, with what the daemon says of them.
pub fn of_project(cx: &Cx, project: &Project, live: Option<&StatusData>) -> Found {
    let (at, loaded) = sync::load_with_ledger(&Site::new(cx.dirs.clone(), cx.env.clone()), project);
    let facts = |at| facts(&at, loaded.ledger.as_ref(), live_of(live, Kind::Ledger, ""), cx.now());
    Found { ledger: at.ok().map(facts), ..teams(cx, loaded, live) }
}

/// The teams as [`of_project`] has them, and where the ledger is, which is not opened.
pub fn teams_of_project(
    cx: &Cx,
    project: &Project,
    live: Option<&StatusData>,
) -> (Result<Workspace, SetupError>, Found) {
    let (at, loaded) = sync::load_with_ledger(&Site::new(cx.dirs.clone(), cx.env.clone()), project);
    (at, teams(cx, loaded, live))
}

fn teams(cx: &Cx, loaded: Loaded, live: Option<&StatusData>) -> Found {
    let now = cx.now();
    let mut teams: Vec<CloneFacts> =
        loaded.registry().teams().iter().map(|t| team_facts(cx, &loaded, t, live, now)).collect();
    // What only the daemon knows, because a server told it.
    for w in live.into_iter().flat_map(|l| l.workspaces.get(Kind::Team.name()).into_iter().flatten()) {
        if !teams.iter().any(|t| t.id == w.team_id) {
            let sources = w.sources.clone();
            teams.push(CloneFacts { sources, ..with_live(told(&cx.dirs, &loaded.slug, w), w, now) });
        }
    }
    Found { ledger: None, teams, problems: loaded.problems }
}

/// A team that only the daemon told of.
fn told(dirs: &Dirs, slug: &str, w: &WorkspaceSyncStatus) -> CloneFacts {
    let path = if w.path.is_empty() { dirs.team(slug, &w.team_id) } else { PathBuf::from(&w.path) };
    let found = CloneFacts {
        id: w.team_id.clone(),
        kind: Kind::Team.name(),
        name: w.team_name.clone(),
        remote: w.clone_url.clone(),
        exists: w.exists,
        path,
        ..CloneFacts::default()
    };
    if found.exists { with_disk(found) } else { found }
}

fn live_of<'l>(live: Option<&'l StatusData>, kind: Kind, team: &str) -> Option<&'l WorkspaceSyncStatus> {
    live?.workspaces.get(kind.name())?.iter().find(|w| w.team_id == team)
}

fn team_facts(
    cx: &Cx,
    loaded: &Loaded,
    team: &TeamRef,
    live: Option<&StatusData>,
    now: Timestamp,
) -> CloneFacts {
    let live = live_of(live, Kind::Team, &team.id);
    let found = match sync::team_of(&cx.dirs, &loaded.slug, loaded.endpoint.as_deref(), team) {
        Ok(at) => facts(&at, loaded.clones.get(&team.id), live, now),
        Err(e) => CloneFacts {
            id: team.id.clone(),
            kind: Kind::Team.name(),
            path: cx.dirs.team(&loaded.slug, &team.id),
            status: State::Error,
            error: e.to_string(),
            ..CloneFacts::default()
        },
    };
    let sources = loaded.registry().sources(&team.id);
    let mut sources: Vec<String> = sources.into_iter().map(|s| s.name().to_owned()).collect();
    for more in live.into_iter().flat_map(|w| &w.sources) {
        if !sources.contains(more) {
            sources.push(more.clone());
        }
    }
    let name = [team.name.as_str(), team.slug.as_str(), live.map_or("", |w| &w.team_name)];
    let name = name.into_iter().find(|n| !n.is_empty()).unwrap_or_default().to_owned();
    CloneFacts { name, sources, ..found }
}

/// What is known of the clone at `at`.
pub fn facts(
    at: &Workspace,
    known: Option<&Known>,
    live: Option<&WorkspaceSyncStatus>,
    now: Timestamp,
) -> CloneFacts {
    let found = CloneFacts {
        id: at.id.clone(),
        remote: at.remote.display(),
        untrusted_host: at.untrusted_host.clone(),
        read_only: at.read_only,
        ..on_disk(at.kind, &at.path, &at.lock, known)
    };
    match live {
        Some(live) => with_live(found, live, now),
        None => judged(found, false, now),
    }
}

/// All clones on this machine, whichever project they are of, with what the daemon says of those that it serves.
pub fn of_machine(cx: &Cx, live: &[StatusData]) -> Vec<CloneFacts> {
    let now = cx.now();
    let said: Vec<&WorkspaceSyncStatus> =
        live.iter().flat_map(|data| data.workspaces.values().flatten()).collect();
    let one = |s: Stored| {
        let live = said.iter().find(|w| s.path == Path::new(&w.path));
        let origin = Reader::open(&s.path).ok().and_then(|r| r.origin_url_bare());
        let found = CloneFacts {
            name: live.map(|w| w.team_name.clone()).unwrap_or_default(),
            sources: live.map(|w| w.sources.clone()).unwrap_or_default(),
            remote: origin.map(|o| sanitise(&o.url)).unwrap_or_default(),
            id: s.id,
            endpoint: s.slug,
            ..on_disk(s.kind, &s.path, &s.lock, None)
        };
        match live {
            Some(live) => with_live(found, live, now),
            None => judged(found, false, now),
        }
    };
    sync::stored(&cx.dirs).into_iter().map(one).collect()
}

fn on_disk(kind: Kind, path: &Path, lock: &Path, known: Option<&Known>) -> CloneFacts {
    let stamp = CloneLock::peek(lock).unwrap_or_default();
    let noted = SyncState::load(path).last_sync.0;
    let saved = known.and_then(|k| k.saved.as_ref());
    let exists = path.join(".git").exists();
    let last = [stamp.fetched_at, noted, known.and_then(|k| k.last_sync)].into_iter().flatten().max();
    let found = CloneFacts {
        kind: kind.name(),
        path: path.to_owned(),
        exists,
        // Of a clone that is gone nothing is level.
        last_sync: last.filter(|_| exists),
        remote_changed: stamp.remote_changed_at,
        sync_failures: saved.map_or(0, |s| i64::from(s.failures)),
        next_sync_attempt: saved.and_then(|s| s.retry_at.0),
        ..CloneFacts::default()
    };
    if exists { with_disk(found) } else { found }
}

fn with_disk(mut found: CloneFacts) -> CloneFacts {
    let reader = match verify(&found.path) {
        Verdict::Sound(reader) => reader,
        Verdict::Damaged(why) => return CloneFacts { error: why, ..found },
        Verdict::Unknown(e) => return CloneFacts { error: e.to_string(), ..found },
    };
    (found.shallow, found.partial) = (reader.is_shallow(), reader.is_partial());
    let Ok(head) = reader.head() else { return found };
    let branch = head.branch.map(|b| b.trim_start_matches("refs/heads/").to_owned());
    found.commit = head.commit.map(|c| c.to_string());
    let upstream = branch.as_ref().and_then(|b| reader.target(&format!("refs/remotes/origin/{b}")).ok()?);
    if let (Some(commit), Some(upstream)) = (head.commit, upstream)
        && let Ok((ahead, behind)) = reader.ahead_behind(commit, upstream)
    {
        (found.ahead, found.behind) = (Some(ahead), Some(behind));
    }
    found.branch = branch;
    found
}

/// Adds what the daemon says; where it is younger, it counts.
fn with_live(mut found: CloneFacts, w: &WorkspaceSyncStatus, now: Timestamp) -> CloneFacts {
    // A look at the remote is no sync where what it found could not be brought in.
    found.last_sync = match w.last_error.is_empty() {
        true => found.last_sync.max(w.last_sync.0.filter(|_| found.exists)),
        false => w.last_sync.0.or(SyncState::load(&found.path).last_sync.0).filter(|_| found.exists),
    };
    found.remote_changed = found.remote_changed.max(w.remote_changed.0);
    found.sync_failures = w.sync_failures;
    found.next_sync_attempt = w.next_sync_attempt.0;
    found.next_sync = w.next_sync.0;
    found.read_only |= w.read_only;
    if found.error.is_empty() {
        found.error.clone_from(&w.last_error);
    }
    let found = judged(found, w.syncing, now);
    let is_offline = found.status == State::Error && w.offline;
    CloneFacts { status: if is_offline { State::Offline } else { found.status }, ..found }
}

fn judged(mut found: CloneFacts, syncing: bool, now: Timestamp) -> CloneFacts {
    found.status = State::of(found.exists, &found.error, syncing, found.last_sync);
    found.stale = found.last_sync.map(|last| age(last, now) > STALE);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_stale_a_day_after_it_was_level_and_unknown_if_it_never_was() {
        let tmp = tempfile::tempdir().unwrap();
        let (path, lock) = (tmp.path().join("clone"), tmp.path().join("lock"));
        git2::Repository::init(&path).unwrap();
        let then: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let stale = |hours: i64| {
            let now = then + jiff::SignedDuration::from_hours(hours);
            let found = judged(on_disk(Kind::Team, &path, &lock, None), false, now);
            (found.stale, found.status)
        };
        assert_eq!(stale(1), (None, State::NotSynced));
        let mut noted = SyncState::default();
        noted.succeeded(then, "");
        noted.save(&path).unwrap();
        assert_eq!(stale(24), (Some(false), State::Ok));
        assert_eq!(stale(25), (Some(true), State::Ok));
        // Nothing new for days, but looked at an hour ago.
        let looked = then + jiff::SignedDuration::from_hours(47);
        CloneLock::acquire(&lock, Duration::ZERO).unwrap().unwrap().note_fetch(looked, None).unwrap();
        assert_eq!(stale(48), (Some(false), State::Ok));
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(stale(48), (None, State::NotCloned));
    }
}
