//! Slimming of clones: one at a time in the whole process, when it is time or when somebody asks.

use std::collections::VecDeque;

use super::core::Core;
use super::event::{Effect, Id, Key};
use super::repo::{Repo, Slimming};
use super::schedule::{Beat, LINE_EVERY};
use crate::health::IssueKind;
use crate::health::issues::Healed;
use crate::ipc::ConnId;
use crate::ipc::wire::{Progress, Response, TriggerGc, TriggerGcAsk};
use crate::kit::clock::Now;
use crate::sync::reclone::Reclone;
use crate::sync::{Failure, Urgency, timeout_text};

/// A slimming of several clones, one after the other.
#[derive(Debug, Default)]
pub(super) struct Gc {
    /// Those that are still to be looked at.
    queue: VecDeque<Key>,
    current: Option<Key>,
    /// Who asked; nobody for the periodic one.
    asked: Option<Asked>,
    /// The periodic one has slimmed a team already: that is enough for this time.
    team_done: bool,
    /// The team that was looked at last, so that all have their turn.
    last_team: Option<Key>,
}

#[derive(Debug)]
struct Asked {
    conn: ConnId,
    id: Id,
    progress: bool,
    result: TriggerGc,
    line: Progress,
}

impl Gc {
    /// Whether one that a project asked for is under way.
    pub(super) fn is_for(&self, id: &Id) -> bool {
        self.asked.as_ref().is_some_and(|a| a.id == *id)
    }

    /// A project that asked is no longer served: what is under way ends by itself. Answers who waited.
    pub(super) fn drop_of(&mut self, id: &Id) -> Option<ConnId> {
        self.is_for(id).then(|| self.asked.take().map(|a| a.conn)).flatten()
    }
}

/// Somebody wants all clones of a project slimmed: teams, then the ledger.
pub(super) fn asked(core: &mut Core, now: Now, conn: ConnId, id: &Id, ask: TriggerGcAsk) {
    if core.gc.current.is_some() {
        let busy = TriggerGc { skipped: 1, ..TriggerGc::default() };
        return core.out.push(Effect::Reply(conn, Response::data(&busy)));
    }
    let ours = |(key, r): &(&Key, &Repo)| {
        let there = r.place.as_ref().is_some_and(|p| p.exists);
        (matches!(key, Key::Team(_)) && r.users.contains(id) && there).then(|| (*key).clone())
    };
    let mut queue: VecDeque<Key> = core.repos.iter().filter_map(|entry| ours(&entry)).collect();
    queue.push_back(Key::Ledger(id.clone()));
    let asked = Asked {
        conn,
        id: id.clone(),
        progress: ask.progress,
        result: TriggerGc::default(),
        line: Progress::default(),
    };
    core.gc = Gc { queue, asked: Some(asked), ..std::mem::take(&mut core.gc) };
    next(core, now);
}

/// It is time to look whether a clone has grown: one team, and the ledgers.
pub(super) fn due(core: &mut Core, now: Now) {
    core.deadlines.set(Beat::Gc, Some(now.mono + core.identity.beats.gc));
    core.out.push(Effect::TidyUp);
    if core.gc.current.is_some() {
        return;
    }
    let teams: Vec<Key> = core.repos.keys().filter(|k| matches!(k, Key::Team(_))).cloned().collect();
    // All teams in turn, beginning behind the one that was slimmed last.
    let last = core.gc.last_team.take();
    let split = teams.iter().position(|k| last.as_ref().is_none_or(|last| k > last)).unwrap_or(0);
    let in_turn = teams.iter().cycle().skip(split).take(teams.len()).cloned();
    let ledgers = core.repos.keys().filter(|k| matches!(k, Key::Ledger(_))).cloned();
    core.gc = Gc { queue: in_turn.chain(ledgers).collect(), last_team: last, ..Gc::default() };
    next(core, now);
}

/// Goes on with the next clone, or answers.
fn next(core: &mut Core, now: Now) {
    while let Some(key) = core.gc.queue.pop_front() {
        if core.gc.team_done && matches!(key, Key::Team(_)) {
            continue;
        }
        let Some(repo) = core.repos.get_mut(&key) else { continue };
        let syncs = repo.schedule.running().is_some();
        if syncs && core.gc.asked.is_none() {
            log::debug!("{key}: a sync is in progress; it is slimmed another time");
            continue;
        }
        repo.slimming = Slimming::WaitsForSync;
        let noun = repo.noun();
        core.gc.current = Some(key.clone());
        core.plan(now.mono, &key);
        if syncs {
            let line = Progress::new("starting", format!("{noun}: waiting for the sync in progress"));
            progress(core, now, &key, line);
        } else {
            take_slot(core, now, &key);
        }
        return;
    }
    finish(core);
}

/// A sync has ended that a slimming may wait for.
pub(super) fn sync_ended(core: &mut Core, now: Now, key: &Key) {
    let waits = core.repos.get(key).is_some_and(|r| r.slimming == Slimming::WaitsForSync);
    if waits {
        take_slot(core, now, key);
    }
}

fn take_slot(core: &mut Core, now: Now, key: &Key) {
    let run = core.next_run();
    let Some(repo) = core.repos.get_mut(key) else { return gone(core, now, key) };
    repo.run = run;
    repo.slimming = Slimming::WaitsForSlot;
    let noun = repo.noun();
    let urgency = Urgency { unasked: core.gc.asked.is_none(), ..Urgency::default() };
    if core.slots.take(now.mono, &(key.clone(), run), urgency) {
        start(core, now, key);
    } else {
        core.plan_slots();
        progress(core, now, key, Progress::new("starting", format!("{noun}: waiting for a clone slot")));
    }
}

/// A slot is free for it.
pub(super) fn start(core: &mut Core, now: Now, key: &Key) {
    let asked = core.gc.asked.is_some();
    let Some(repo) = core.repos.get_mut(key) else { return gone(core, now, key) };
    repo.slimming = Slimming::Runs;
    let run = repo.run;
    let (target, noun) = (repo.target.clone(), repo.noun());
    core.out.push(Effect::Slim { key: key.clone(), run, target, asked });
    core.changed(key);
    progress(core, now, key, Progress::new("starting", format!("slimming {noun}")));
}

/// Whoever asked hears how far it is.
pub(super) fn progress(core: &mut Core, now: Now, key: &Key, line: Progress) {
    let Some(asked) = core.gc.asked.as_mut().filter(|a| a.progress) else { return };
    asked.line = line.clone();
    core.out.push(Effect::Progress(asked.conn, line));
    core.deadlines.set(Beat::Line(key.clone()), Some(now.mono + LINE_EVERY));
}

/// Nothing new for a while: the last line again.
pub(super) fn still_running(core: &mut Core, now: Now, key: &Key) {
    if core.gc.current.as_ref() == Some(key)
        && let Some(line) = core.gc.asked.as_ref().map(|a| a.line.clone())
    {
        progress(core, now, key, line);
    }
}

/// It did not get a slot in time.
pub(super) fn expired(core: &mut Core, now: Now, key: &Key) {
    ended(core, now, key, Err(Failure::new(crate::kit::Class::Busy, timeout_text())));
}

/// Nobody uses the clone any more: what was done is done.
pub(super) fn gone(core: &mut Core, now: Now, key: &Key) {
    if core.gc.current.as_ref() == Some(key) {
        core.gc.current = None;
        next(core, now);
    }
}

/// A clone has been slimmed, or was left as it is.
pub(super) fn ended(core: &mut Core, now: Now, key: &Key, result: Result<Option<Reclone>, Failure>) {
    core.deadlines.remove(&Beat::Line(key.clone()));
    if let Some(run) = core.repos.get(key).map(|r| r.run) {
        core.free_slot(now, key, run);
    }
    if let Some(repo) = core.repos.get_mut(key) {
        repo.slimming = Slimming::No;
        if matches!(result, Ok(Some(Reclone::Done(_) | Reclone::Maintained { .. }))) {
            repo.last_slimmed = Some(now.wall);
            repo.kept_back = None;
            repo.issues.heal(&repo.name, Healed::Clean);
        }
        if let Ok(Some(Reclone::Refused(why))) = &result
            && why.is_local_state()
        {
            let text = format!("{} could not be slimmed: {why}", repo.noun());
            repo.kept_back = Some(text.clone());
            repo.raise(IssueKind::DirtyWorkspace, text, now);
        }
        if !matches!(result, Ok(None)) {
            // The clone may be another one now.
            repo.schedule.trigger(now.mono);
        }
        note(core, key, &result);
        core.changed(key);
        core.plan(now.mono, key);
    }
    gone(core, now, key);
}

/// Writes down what a clone came to, for the log and for whoever asked.
fn note(core: &mut Core, key: &Key, result: &Result<Option<Reclone>, Failure>) {
    let Some(repo) = core.repos.get(key) else { return };
    let noun = repo.noun();
    let text = match result {
        Ok(None) => return,
        Ok(Some(Reclone::Refused(why))) => Err(format!("{noun}: {why}")),
        Err(failure) => Err(format!("{noun}: {}", failure.text)),
        Ok(Some(Reclone::Done(done))) => Ok((done.before, done.after)),
        Ok(Some(Reclone::Maintained { before, after })) => Ok((*before, *after)),
    };
    let is_team = matches!(key, Key::Team(_));
    match &text {
        Ok((before, after)) => {
            log::info!("[{}] {noun} slimmed: {before} to {after} bytes", repo.label);
            core.gc.team_done |= is_team && core.gc.asked.is_none();
            if is_team {
                core.gc.last_team = Some(key.clone());
            }
        }
        Err(why) => log::warn!("[{}] not slimmed: {why}", repo.label),
    }
    let Some(asked) = &mut core.gc.asked else { return };
    match text {
        Ok((before, after)) => {
            asked.result.triggered += 1;
            asked.result.ledger_triggered |= !is_team;
            let line = format!("{noun}: {before} bytes before, {after} after");
            if asked.progress {
                core.out.push(Effect::Progress(asked.conn, Progress::new("complete", line)));
            }
        }
        Err(why) => asked.result.errors.push(why),
    }
}

fn finish(core: &mut Core) {
    if let Some(asked) = core.gc.asked.take() {
        core.out.push(Effect::Reply(asked.conn, Response::data(&asked.result)));
    }
}
