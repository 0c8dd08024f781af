//! The teams of projects: which there are, and requests that are about several of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::accounts;
use super::attach::{Loading, Project};
use super::core::Core;
use super::event::{Effect, Id, Key};
use super::repo::{Phase, Repo, Waiter};
use super::schedule::{Beat, FIRST_TEAM_SYNC, LINE_EVERY, LOOK_FOR_TEAM_EVERY, WAITING_MAX};
use crate::health::Issue;
use crate::ipc::ConnId;
use crate::ipc::wire::{Progress, Response, TeamSyncResult};
use crate::kit::clock::{Mono, Now};
use crate::sync::{Known, Loaded, Schedule, Target, TeamRef, Timing, Urgency};

/// Requests for several teams at once.
#[derive(Debug, Default)]
pub(super) struct TeamRequests {
    last: u64,
    /// Those that wait until the project's files have been read.
    asked: Vec<Asked>,
    running: BTreeMap<u64, TeamRequest>,
}

#[derive(Debug)]
struct Asked {
    conn: ConnId,
    id: Id,
    team: String,
    /// So many readings of the files have to end first: one that began before the request may have missed a new team.
    readings: u8,
}

#[derive(Debug)]
struct TeamRequest {
    conn: ConnId,
    id: Id,
    pending: BTreeSet<Key>,
    results: Vec<TeamSyncResult>,
}

impl TeamRequests {
    /// Whether one of a project is under way.
    pub(super) fn any_of(&self, id: &Id) -> bool {
        self.asked.iter().any(|a| a.id == *id) || self.running.values().any(|r| r.id == *id)
    }

    /// Forgets those of a project; answers who waits for them.
    pub(super) fn drop_of(&mut self, id: &Id) -> Vec<ConnId> {
        let asked = self.asked.extract_if(.., |a| a.id == *id).map(|a| a.conn);
        let mut conns: Vec<ConnId> = asked.collect();
        conns.extend(self.running.extract_if(.., |_, r| r.id == *id).map(|(_, r)| r.conn));
        conns
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.running.len()
    }
}

/// Somebody wants the teams of a project synced now: all, or the one that `team` names. The project's files are read first, so that a team
/// that was just added is among them.
pub(super) fn team_sync(core: &mut Core, conn: ConnId, id: &Id, team: String) {
    if core.team_requests.len() >= WAITING_MAX {
        core.out.push(Effect::Reply(conn, Response::busy("team sync")));
        return;
    }
    let reading = core.projects.get(id).is_some_and(|p| p.loading != Loading::No);
    let readings = if reading { 2 } else { 1 };
    core.team_requests.asked.push(Asked { conn, id: id.clone(), team, readings });
    core.load(id);
}

/// The files of a project have been read: its teams are what they say.
pub(super) fn loaded(core: &mut Core, now: Now, id: &Id, loaded: Option<Loaded>) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let again = std::mem::take(&mut project.loading) == Loading::Again;
    if let Some(loaded) = loaded {
        take_in(project, &loaded);
        take_in_ledger(core, now, id, &loaded);
        reconcile(core, now, id, &loaded.clones);
        if let Some(view) = loaded.cloud {
            accounts::loaded(core, now, id, view);
        }
    }
    if again {
        core.load(id);
    }
    let asks = &mut core.team_requests.asked;
    asks.iter_mut().filter(|a| a.id == *id).for_each(|a| a.readings = a.readings.saturating_sub(1));
    let asked: Vec<Asked> = asks.extract_if(.., |a| a.id == *id && a.readings == 0).collect();
    for Asked { conn, id, team, .. } in asked {
        start(core, now, conn, &id, &team);
    }
}

fn take_in(project: &mut Project, loaded: &Loaded) {
    if project.problems != loaded.problems {
        for problem in &loaded.problems {
            log::warn!("[{}] {problem}", project.label());
        }
        project.problems.clone_from(&loaded.problems);
    }
    project.dirty |= project.primary != loaded.primary;
    project.primary.clone_from(&loaded.primary);
    project.slug.clone_from(&loaded.slug);
    project.endpoint.clone_from(&loaded.endpoint);
    for (source, teams) in &loaded.teams {
        project.dirty |= project.teams.replace(*source, teams.iter().cloned());
    }
}

fn take_in_ledger(core: &mut Core, now: Now, id: &Id, loaded: &Loaded) {
    let key = Key::Ledger(id.clone());
    let (Some(repo), Some(known)) = (core.repos.get_mut(&key), &loaded.ledger) else { return };
    take_in_known(repo, now, known);
    core.plan(now.mono, &key);
}

/// What the disk knows of a clone counts as long as no run has found out more.
fn take_in_known(repo: &mut Repo, now: Now, known: &Known) {
    if repo.place.is_none() {
        repo.place = Some(known.place.clone());
        repo.last_sync = repo.last_sync.or(known.last_sync);
        if let Some(saved) = &known.saved {
            let wait = saved.retry_at.0.map(|at| at.duration_since(now.wall)).unwrap_or_default();
            let wait = Duration::try_from(wait).unwrap_or_default().min(BACKOFF_TRUSTED);
            repo.schedule.restore(saved.failures, now.mono + wait);
            repo.backoff_saved = true;
        }
    }
}

/// A remembered time further away than this is a clock that was set back.
const BACKOFF_TRUSTED: Duration = Duration::from_secs(3600);

/// Makes the clones that are kept level those that the project's teams need.
pub(super) fn reconcile(core: &mut Core, now: Now, id: &Id, clones: &BTreeMap<String, Known>) {
    let Some(project) = core.projects.get(id) else { return };
    let (slug, endpoint, interval) = (project.slug.clone(), project.endpoint.clone(), project.team_interval);
    let debounce = project.timing.debounce;
    let wanted: BTreeMap<Key, TeamRef> =
        project.teams.teams().into_iter().map(|t| (Key::team(&slug, &t.id), t)).collect();
    let gone: Vec<Key> = core
        .repos
        .iter()
        .filter(|(key, r)| matches!(key, Key::Team(_)) && r.users.contains(id) && !wanted.contains_key(key))
        .map(|(key, _)| key.clone())
        .collect();
    for key in gone {
        log::info!("[{id}] {key} is not one of its teams any more");
        core.let_go_of(now, &key, id);
    }
    for (key, team) in wanted {
        let known = clones.get(&team.id).cloned();
        let target = Target::Team { slug: slug.clone(), endpoint: endpoint.clone(), team };
        match core.repos.get_mut(&key) {
            Some(repo) => {
                repo.users.insert(id.clone());
                // The first project's word counts: a clone has one remote.
                if repo.users.first() == Some(id) && repo.target != target {
                    repo.label = target.label();
                    repo.target = target;
                    core.changed(&key);
                }
            }
            None => {
                // Background work waits after failed starts; what is in use or asked for does not.
                let throttled = core.started.mono + core.identity.throttle;
                let first = throttled.max(now.mono) + core.rng.up_to(FIRST_TEAM_SYNC);
                let schedule = Schedule::new(Timing { interval, debounce }, first);
                let label = target.label();
                let mut repo = Repo::new(label, target, schedule);
                repo.users.insert(id.clone());
                core.repos.insert(key.clone(), repo);
            }
        }
        if let (Some(repo), Some(known)) = (core.repos.get_mut(&key), known) {
            take_in_known(repo, now, &known);
        }
        core.plan(now.mono, &key);
    }
}

/// The project's files have been read: now the teams are synced.
fn start(core: &mut Core, now: Now, conn: ConnId, id: &Id, word: &str) {
    let Some(project) = core.projects.get(id) else {
        return core.out.push(Effect::Reply(conn, Response::error("project is not attached")));
    };
    let teams = if word.is_empty() { project.teams.teams() } else { project.teams.find(word) };
    if let Some(text) = not_to_be_synced(project, word, &teams) {
        return core.out.push(Effect::Reply(conn, Response::error(text)));
    }
    let slug = project.slug.clone();
    let keys: BTreeSet<Key> = teams.iter().map(|t| Key::team(&slug, &t.id)).collect();
    core.team_requests.last += 1;
    let number = core.team_requests.last;
    let request = TeamRequest { conn, id: id.clone(), pending: keys.clone(), results: Vec::new() };
    core.team_requests.running.insert(number, request);
    let text = match keys.len() {
        0 => "no team contexts".to_string(),
        n => format!("{n} team contexts"),
    };
    let stage = if keys.is_empty() { "skipped" } else { "starting" };
    core.out.push(Effect::Progress(conn, Progress::new(stage, text)));
    for key in &keys {
        core.wait_for(now, key, Waiter::Teams(number));
    }
    finish_if_done(core, number);
}

/// Why a request for teams cannot be begun.
fn not_to_be_synced(project: &Project, word: &str, teams: &[TeamRef]) -> Option<String> {
    match teams {
        _ if !project.problems.is_empty() && teams.is_empty() => Some(project.problems.join("; ")),
        [] if !word.is_empty() => Some(format!("no team is called {word}; see: ox team list")),
        [one, two, ..] if !word.is_empty() => {
            Some(format!("{word} may mean {} or {}; name one by its id", one.id, two.id))
        }
        _ => None,
    }
}

/// How one team's run came out for a request that waits for several.
pub(super) fn team_ended(core: &mut Core, number: u64, key: &Key, status: &str, error: String) {
    let Some(repo) = core.repos.get(key) else { return };
    let Target::Team { team, .. } = &repo.target else { return };
    let result = TeamSyncResult {
        team_id: team.id.clone(),
        team_name: team.name.clone(),
        team_slug: team.slug.clone(),
        path: repo.place.as_ref().map(|p| p.path.to_string_lossy().into_owned()).unwrap_or_default(),
        status: status.to_string(),
        error,
    };
    if let Some(request) = core.team_requests.running.get_mut(&number)
        && request.pending.remove(key)
    {
        let text = match result.error.as_str() {
            "" => team.label().to_string(),
            error => format!("{}: {error}", team.label()),
        };
        core.out.push(Effect::Progress(request.conn, Progress::new(status, text)));
        request.results.push(result);
    }
    finish_if_done(core, number);
}

/// A team that several wait for has come so far.
pub(super) fn team_progress(core: &mut Core, number: u64, progress: &Progress) {
    if let Some(request) = core.team_requests.running.get(&number) {
        core.out.push(Effect::Progress(request.conn, progress.clone()));
    }
}

fn finish_if_done(core: &mut Core, number: u64) {
    let Some(request) = core.team_requests.running.get(&number).filter(|r| r.pending.is_empty()) else {
        return;
    };
    let (conn, mut results) = (request.conn, request.results.clone());
    core.team_requests.running.remove(&number);
    results.sort_by(|a, b| a.team_id.cmp(&b.team_id));
    let failed = results.iter().filter(|r| r.status == "error").count();
    let mut response = Response::data(&results);
    if failed > 0 {
        // A list of successes and failures is no success.
        response.success = false;
        response.error = format!("{failed} of {} team contexts could not be synced", results.len());
    }
    core.out.push(Effect::Progress(conn, Progress::new("complete", format!("{} teams", results.len()))));
    core.out.push(Effect::Reply(conn, response));
}

/// Somebody is at work: the teams that are named are in use, and one that is not known yet is looked for.
pub(super) fn used(core: &mut Core, now: Now, id: &Id, team_ids: &[String]) {
    const NAMED_MAX: usize = 32;
    let Some(slug) = core.projects.get(id).map(|p| p.slug.clone()) else { return };
    let mut unknown = false;
    for team_id in team_ids.iter().take(NAMED_MAX) {
        let key = Key::team(&slug, team_id);
        match core.repos.get_mut(&key) {
            Some(repo) => {
                repo.used = Some(now.mono);
                // Known but not there: looked for now, unless a failure asks for patience.
                if repo.place.as_ref().is_some_and(|p| !p.exists) && repo.schedule.backoff().is_none() {
                    repo.schedule.trigger(now.mono);
                    core.plan(now.mono, &key);
                }
            }
            None => unknown = true,
        }
    }
    if unknown
        && let Some(project) = core.projects.get_mut(id)
        && project.team_looked_for.is_none_or(|at| now.mono.since(at) >= LOOK_FOR_TEAM_EVERY)
    {
        // It may be in the files since they were last read. Whoever names it again and again finds it no sooner.
        project.team_looked_for = Some(now.mono);
        core.load(id);
    }
}

impl Core {
    /// Somebody waits for a sync of a clone from now on: it begins at once, or the one in progress is joined.
    pub(super) fn wait_for(&mut self, now: Now, key: &Key, waiter: Waiter) {
        let Some(repo) = self.repos.get_mut(key) else { return };
        if repo.waiting.is_empty() {
            // Who joins does not put off the next line for who is there.
            self.deadlines.set(Beat::Line(key.clone()), Some(now.mono + LINE_EVERY));
        }
        repo.waiting.push(waiter);
        repo.schedule.force();
        let queued = (repo.phase == Phase::WaitsForSlot).then(|| (key.clone(), repo.run));
        if let Some(work) = queued {
            let urgency = self.urgency(now.mono, key);
            self.slots.take(now.mono, &work, urgency);
        }
        self.start_due(now, key);
    }

    /// How urgent work on a clone is: what somebody waits for, then what is a project's own, then what was used last.
    pub(super) fn urgency(&self, now: Mono, key: &Key) -> Urgency {
        let Some(repo) = self.repos.get(key) else { return Urgency::default() };
        let own = |id: &Id| {
            let primary = self.projects.get(id).map(|p| p.primary.as_str());
            repo.team_id().is_none_or(|team| primary == Some(team))
        };
        Urgency {
            unasked: repo.waiting.is_empty(),
            secondary: !repo.users.iter().any(own),
            unused: repo.used.map_or(Duration::MAX, |used| now.since(used)),
        }
    }

    /// The issues of a project: its own, and those of the teams it uses. Most severe first.
    pub(super) fn issues_of(&self, id: &Id) -> Vec<Issue> {
        let repos = self.repos.values().filter(|r| r.users.contains(id));
        let mut all: Vec<Issue> = repos.flat_map(|r| r.issues.sorted()).collect();
        let endpoint = self.projects.get(id).and_then(|p| p.endpoint.as_ref());
        let server = endpoint.and_then(|endpoint| self.accounts.get(endpoint));
        all.extend(server.into_iter().flat_map(|s| s.issues.sorted()));
        all.sort_by(|a, b| b.kind.severity().cmp(&a.kind.severity()).then(a.since.cmp(&b.since)));
        all
    }
}
