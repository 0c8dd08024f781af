//! The teams of projects: which clones they need, and requests that are about several of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::Effect;
use super::state::{Waiter, is_team};
use super::{CloneState, Clones, WAITING_MAX};
use crate::daemon::cx::{Cx, NOT_ATTACHED};
use crate::daemon::fact::Fact;
use crate::daemon::names::{Id, Key};
use crate::daemon::shared::Project;
use crate::ipc::ConnId;
use crate::ipc::wire::{Progress, Response, TeamSyncResult};
use crate::kit::clock::Now;
use crate::sync::{Known, Loaded, Schedule, Target, TeamRef, Timing};

/// The first look at a team's context is within this time after it became known.
const FIRST_TEAM_SYNC: Duration = Duration::from_secs(5);
/// For a team that a heartbeat names and nobody knows, the project's files are read again at most this often.
const LOOK_FOR_TEAM_EVERY: Duration = Duration::from_secs(5);
/// A remembered time further away than this is a clock that was set back.
const BACKOFF_TRUSTED: Duration = Duration::from_secs(3600);

/// Requests for several teams at once.
#[derive(Debug, Default)]
pub(super) struct TeamRequests {
    last: u64,
    /// Those that wait until the project's files have been read.
    pending: Vec<PendingTeamSync>,
    running: BTreeMap<u64, TeamRequest>,
}

#[derive(Debug)]
struct PendingTeamSync {
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
        self.pending.iter().any(|p| p.id == *id) || self.running.values().any(|r| r.id == *id)
    }

    /// Forgets those of a project; answers who waits for them.
    pub(super) fn drop_of(&mut self, id: &Id) -> Vec<ConnId> {
        let pending = self.pending.extract_if(.., |p| p.id == *id).map(|p| p.conn);
        let mut conns: Vec<ConnId> = pending.collect();
        conns.extend(self.running.extract_if(.., |_, r| r.id == *id).map(|(_, r)| r.conn));
        conns
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.running.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Clones {
    /// The answer to `team_sync`: all teams of a project, or the one that `team` names. The project's files are read first, so that a team
    /// that was just added is among them.
    pub(in crate::daemon) fn team_sync_asked(&mut self, cx: &mut Cx, conn: ConnId, id: &Id, team: String) {
        if self.team_requests.len() >= WAITING_MAX {
            return cx.reply(conn, Response::busy("team sync"));
        }
        let reading = cx.shared.project(id).is_some_and(|p| p.loading);
        let readings = if reading { 2 } else { 1 };
        self.team_requests.pending.push(PendingTeamSync { conn, id: id.clone(), team, readings });
        cx.tell(Fact::FilesChanged(id.clone()));
    }

    /// The files of a project have been read, or could not be.
    pub(super) fn loaded(&mut self, cx: &mut Cx, id: &Id, loaded: Option<&Loaded>) {
        if let Some(loaded) = loaded {
            let key = Key::Ledger(id.clone());
            if let (Some(state), Some(known)) = (self.states.get_mut(&key), &loaded.ledger) {
                take_in_known(state, cx.now, known);
                self.renew_row(cx, &key);
                self.plan(cx, &key);
            }
            self.reconcile(cx, id, &loaded.clones);
        }
        let pending = &mut self.team_requests.pending;
        pending.iter_mut().filter(|p| p.id == *id).for_each(|p| p.readings = p.readings.saturating_sub(1));
        let ready: Vec<PendingTeamSync> =
            pending.extract_if(.., |p| p.id == *id && p.readings == 0).collect();
        for PendingTeamSync { conn, id, team, .. } in ready {
            self.start_team_sync(cx, conn, &id, &team);
        }
    }

    /// Makes the clones that are kept up to date those that the project's teams need.
    pub(super) fn reconcile(&mut self, cx: &mut Cx, id: &Id, known: &BTreeMap<String, Known>) {
        let Some(project) = cx.shared.project(id) else { return };
        let (slug, endpoint, timing) = (project.slug.clone(), project.endpoint.clone(), project.timing);
        let timing = Timing { interval: project.team_interval, ..timing };
        let wanted: BTreeMap<Key, TeamRef> =
            project.teams.teams().into_iter().map(|t| (Key::team(&slug, &t.id), t)).collect();
        let gone = |(key, s): &(&Key, &CloneState)| {
            is_team(key) && s.users.contains(id) && !wanted.contains_key(key)
        };
        let gone: Vec<Key> = self.states.iter().filter(gone).map(|(key, _)| key.clone()).collect();
        for key in gone {
            log::info!("[{id}] {key} is not one of its teams any more");
            self.let_go_of(cx, &key, id);
        }
        for (key, team) in wanted {
            let known = known.get(&team.id);
            let target = Target::Team { slug: slug.clone(), endpoint: endpoint.clone(), team };
            let state = self.states.entry(key.clone()).or_insert_with(|| {
                // Background work waits after failed starts; what is in use or asked for does not.
                let first = cx.throttled.max(cx.now.mono) + cx.rng.up_to(FIRST_TEAM_SYNC);
                CloneState::new(target.clone(), Schedule::new(timing, first), id)
            });
            state.users.insert(id.clone());
            // The first project's word counts: a clone has one remote.
            if state.users.first() == Some(id) && state.target != target {
                state.label = target.label();
                state.target = target;
            }
            if let Some(known) = known {
                take_in_known(state, cx.now, known);
            }
            self.renew_row(cx, &key);
            self.plan(cx, &key);
        }
    }

    /// The project's files have been read: now the teams are synced.
    fn start_team_sync(&mut self, cx: &mut Cx, conn: ConnId, id: &Id, team: &str) {
        let Some(project) = cx.shared.project(id) else {
            return cx.reply(conn, Response::error(NOT_ATTACHED));
        };
        let teams = if team.is_empty() { project.teams.teams() } else { project.teams.find(team) };
        if let Some(text) = not_to_be_synced(project, team, &teams) {
            return cx.reply(conn, Response::error(text));
        }
        let keys: BTreeSet<Key> = teams.iter().map(|t| Key::team(&project.slug, &t.id)).collect();
        self.team_requests.last += 1;
        let number = self.team_requests.last;
        let request = TeamRequest { conn, id: id.clone(), pending: keys.clone(), results: Vec::new() };
        self.team_requests.running.insert(number, request);
        let text = match keys.len() {
            0 => "no team contexts".to_string(),
            n => format!("{n} team contexts"),
        };
        let stage = if keys.is_empty() { "skipped" } else { "starting" };
        cx.progress(conn, Progress::new(stage, text));
        for key in &keys {
            self.wait_for(cx, key, Waiter::Teams(number));
        }
        self.finish_if_done(cx, number);
    }

    /// How one team's run came out for a request that waits for several.
    pub(super) fn team_ended(&mut self, cx: &mut Cx, number: u64, key: &Key, status: &str, error: String) {
        let Some(state) = self.states.get(key) else { return };
        let Target::Team { team, .. } = &state.target else { return };
        let result = TeamSyncResult {
            team_id: team.id.clone(),
            team_name: team.name.clone(),
            team_slug: team.slug.clone(),
            path: state.place.as_ref().map(|p| p.path.to_string_lossy().into_owned()).unwrap_or_default(),
            status: status.to_string(),
            error,
        };
        if let Some(request) = self.team_requests.running.get_mut(&number)
            && request.pending.remove(key)
        {
            let text = match result.error.as_str() {
                "" => team.label().to_string(),
                error => format!("{}: {error}", team.label()),
            };
            cx.progress(request.conn, Progress::new(status, text));
            request.results.push(result);
        }
        self.finish_if_done(cx, number);
    }

    /// A team that several wait for has come so far.
    pub(super) fn team_progress(&self, cx: &mut Cx, number: u64, line: &Progress) {
        if let Some(request) = self.team_requests.running.get(&number) {
            cx.progress(request.conn, line.clone());
        }
    }

    fn finish_if_done(&mut self, cx: &mut Cx, number: u64) {
        let done = self.team_requests.running.get(&number).is_some_and(|r| r.pending.is_empty());
        let Some(request) = done.then(|| self.team_requests.running.remove(&number)).flatten() else {
            return;
        };
        let (conn, mut results) = (request.conn, request.results);
        results.sort_by(|a, b| a.team_id.cmp(&b.team_id));
        let failed = results.iter().filter(|r| r.status == "error").count();
        let mut response = Response::data(&results);
        if failed > 0 {
            // A list of successes and failures is no success.
            response.success = false;
            response.error = format!("{failed} of {} team contexts could not be synced", results.len());
        }
        cx.progress(conn, Progress::new("complete", format!("{} teams", results.len())));
        cx.reply(conn, response);
    }

    /// Somebody is at work: the teams that are named are in use, and one that is not known yet is looked for.
    pub(super) fn used(&mut self, cx: &mut Cx, id: &Id, team_ids: &[String]) {
        const NAMED_MAX: usize = 32;
        let Some(slug) = cx.shared.project(id).map(|p| p.slug.clone()) else { return };
        let mut unknown = false;
        for team_id in team_ids.iter().take(NAMED_MAX) {
            let key = Key::team(&slug, team_id);
            match self.states.get_mut(&key) {
                Some(state) => {
                    state.used = Some(cx.now.mono);
                    // Known but not there: looked for now, unless a failure asks for patience.
                    if state.place.as_ref().is_some_and(|p| !p.exists) && state.schedule.backoff().is_none() {
                        self.touched(cx, &key);
                    }
                }
                None => unknown = true,
            }
        }
        let looked_for = self.team_looked_for.get(id);
        if unknown && looked_for.is_none_or(|at| cx.now.mono.since(*at) >= LOOK_FOR_TEAM_EVERY) {
            // It may be in the files since they were last read. Whoever names it again and again finds it no sooner.
            self.team_looked_for.insert(id.clone(), cx.now.mono);
            cx.tell(Fact::FilesChanged(id.clone()));
        }
    }

    /// A server has handed out new credentials: what was refused with the old ones may be tried with them.
    pub(super) fn credentials_changed(&mut self, cx: &mut Cx, ids: &[Id]) {
        let mut refused: Vec<Key> = Vec::new();
        let concerned = |s: &CloneState| ids.iter().any(|id| s.users.contains(id));
        for (key, state) in self.states.iter_mut().filter(|(_, s)| concerned(s)) {
            state.renewed = state.work.is_run();
            if std::mem::take(&mut state.refused) {
                state.schedule.force();
                refused.push(key.clone());
            }
        }
        refused.iter().for_each(|key| self.start_due(cx, key));
    }

    /// A server has said where a project's ledger is.
    pub(super) fn ledger_named(&mut self, cx: &mut Cx, id: &Id, named: &str, viewer: bool) {
        let key = Key::Ledger(id.clone());
        let Some(state) = self.states.get_mut(&key) else { return };
        let Target::Ledger { url, read_only, .. } = &mut state.target else { return };
        if url.as_deref() == Some(named) && *read_only == viewer {
            return;
        }
        (*url, *read_only) = (Some(named.to_string()), viewer);
        // A clone that is missing is made now, whatever was in the way before, and what waits is pushed.
        state.schedule.force_anew();
        self.changed(cx, &key);
        self.start_due(cx, &key);
    }

    /// A server has said which teams a project has: what was said of them when it did not is void.
    pub(super) fn teams_named(&mut self, cx: &mut Cx, id: &Id, teams: &[TeamRef]) {
        let Some(slug) = cx.shared.project(id).map(|p| p.slug.clone()) else { return };
        for team in teams {
            if let Some(state) = self.states.get_mut(&Key::team(&slug, &team.id))
                && let Some(text) = state.revoked.take()
                && state.last_error == text
            {
                state.last_error.clear();
            }
        }
    }

    /// A server names these teams of a project no longer.
    pub(super) fn teams_lost(&mut self, cx: &mut Cx, id: &Id, teams: &[TeamRef]) {
        let Some(slug) = cx.shared.project(id).map(|p| p.slug.clone()) else { return };
        for team in teams {
            let key = Key::team(&slug, &team.id);
            let Some(state) = self.states.get(&key) else { continue };
            if state.users.len() == 1 {
                cx.push(Effect::Revoke { key, target: state.target.clone() });
            } else {
                // Another project goes on using the clone.
                cx.tell(Fact::TeamGone { id: id.clone(), team: team.id.clone() });
            }
        }
    }

    /// It is known what became of the clone of a team that its server names no longer.
    pub(super) fn revoked(&mut self, cx: &mut Cx, key: &Key, kept: Option<String>) {
        let Some(state) = self.states.get_mut(key) else { return };
        let Some(team) = state.target.team_id().map(str::to_string) else { return };
        if let Some(why) = kept {
            let text = format!("access was revoked; the local copy is kept: {why}");
            state.last_error.clone_from(&text);
            state.revoked = Some(text);
            return self.changed(cx, key);
        }
        for id in self.users(key) {
            cx.tell(Fact::TeamGone { id, team: team.clone() });
        }
    }
}

/// What the disk knows of a clone counts as long as no run has found out more.
fn take_in_known(state: &mut CloneState, now: Now, known: &Known) {
    if state.place.is_some() {
        return;
    }
    state.place = Some(known.place.clone());
    state.last_sync = state.last_sync.or(known.last_sync);
    if let Some(saved) = &known.saved {
        let wait = saved.retry_at.0.map(|at| at.duration_since(now.wall)).unwrap_or_default();
        let wait = Duration::try_from(wait).unwrap_or_default().min(BACKOFF_TRUSTED);
        state.schedule.restore(saved.failures, now.mono + wait);
        state.backoff_saved = true;
    }
}

/// Why a request for teams cannot be begun.
fn not_to_be_synced(project: &Project, name: &str, teams: &[TeamRef]) -> Option<String> {
    match teams {
        _ if !project.problems.is_empty() && teams.is_empty() => Some(project.problems.join("; ")),
        [] if !name.is_empty() => Some(format!("no team is called {name}; see: ox team list")),
        [one, two, ..] if !name.is_empty() => {
            Some(format!("{name} may mean {} or {}; name one by its id", one.id, two.id))
        }
        _ => None,
    }
}
