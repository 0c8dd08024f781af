//! Making clones smaller: one at a time in the whole process, when it is time or when somebody asks.

use std::collections::VecDeque;

use super::event::{Effect, Timer};
use super::state::{Work, is_team};
use super::{CloneState, Clones, LINE_EVERY};
use crate::daemon::cx::Cx;
use crate::daemon::names::{Id, JobId, Key};
use crate::health::IssueKind;
use crate::health::issues::Healed;
use crate::ipc::ConnId;
use crate::ipc::wire::{Progress, Response, TriggerGc, TriggerGcAsk};
use crate::kit::human::bytes;
use crate::sync::reclone::Reclone;
use crate::sync::{Failure, Urgency};

/// A gc of several clones, one after the other.
#[derive(Debug, Default)]
pub(super) struct Gc {
    /// Those that are still to be done.
    queue: VecDeque<Key>,
    current: Option<Key>,
    /// Who asked; nobody for the periodic one.
    request: Option<GcRequest>,
    /// The periodic one has made a team's clone smaller already: that is enough for this time.
    team_done: bool,
    /// The team that was done last, so that all have their turn.
    last_team: Option<Key>,
}

#[derive(Debug)]
struct GcRequest {
    conn: ConnId,
    id: Id,
    progress: bool,
    result: TriggerGc,
    line: Progress,
}

impl Gc {
    /// Whether one that a project asked for is under way.
    pub(super) fn is_for(&self, id: &Id) -> bool {
        self.request.as_ref().is_some_and(|r| r.id == *id)
    }

    /// A project that asked is no longer served: what is under way ends by itself. Answers who waited.
    pub(super) fn drop_of(&mut self, id: &Id) -> Option<ConnId> {
        self.is_for(id).then(|| self.request.take().map(|r| r.conn)).flatten()
    }
}

impl Clones {
    /// The answer to `trigger_gc`: all clones of a project, teams, then the ledger.
    pub(in crate::daemon) fn gc_asked(&mut self, cx: &mut Cx, conn: ConnId, id: &Id, ask: TriggerGcAsk) {
        if self.gc.current.is_some() {
            let busy = TriggerGc { skipped: 1, ..TriggerGc::default() };
            return cx.reply(conn, Response::data(&busy));
        }
        let ours = |(key, s): &(&Key, &CloneState)| is_team(key) && s.users.contains(id) && s.exists();
        let mut queue: VecDeque<Key> = self.states.iter().filter(ours).map(|(key, _)| key.clone()).collect();
        queue.push_back(Key::Ledger(id.clone()));
        let (result, line) = (TriggerGc::default(), Progress::default());
        let request = GcRequest { conn, id: id.clone(), progress: ask.progress, result, line };
        self.gc = Gc { queue, request: Some(request), ..std::mem::take(&mut self.gc) };
        self.gc_next(cx);
    }

    /// It is time to see whether a clone has grown: one team, and the ledgers.
    pub(super) fn gc_due(&mut self, cx: &mut Cx) {
        cx.set_in(Timer::Gc, cx.identity.periods.gc);
        if self.gc.current.is_some() {
            return;
        }
        let teams: Vec<Key> = self.states.keys().filter(|key| is_team(key)).cloned().collect();
        // All teams in turn, beginning behind the one that was done last.
        let last = self.gc.last_team.take();
        let split = teams.iter().position(|k| last.as_ref().is_none_or(|last| k > last)).unwrap_or(0);
        let in_turn = teams.iter().cycle().skip(split).take(teams.len()).cloned();
        let ledgers = self.states.keys().filter(|key| !is_team(key)).cloned();
        self.gc = Gc { queue: in_turn.chain(ledgers).collect(), last_team: last, ..Gc::default() };
        self.gc_next(cx);
    }

    /// Goes on with the next clone, or answers.
    fn gc_next(&mut self, cx: &mut Cx) {
        while let Some(key) = self.gc.queue.pop_front() {
            if self.gc.team_done && is_team(&key) {
                continue;
            }
            let Some(state) = self.states.get_mut(&key) else { continue };
            match state.work {
                Work::Idle => {
                    self.gc.current = Some(key.clone());
                    return self.gc_take_slot(cx, &key);
                }
                _ if self.gc.request.is_some() => {
                    let text = format!("{}: waiting for the sync in progress", state.noun());
                    self.gc.current = Some(key.clone());
                    return self.gc_progress(cx, &key, Progress::new("starting", text));
                }
                _ => log::debug!("{key}: a sync is in progress; it is made smaller another time"),
            }
        }
        if let Some(request) = self.gc.request.take() {
            cx.reply(request.conn, Response::data(&request.result));
        }
    }

    /// A run on the clone has ended: if a gc has waited for that, it is next. True if so.
    pub(super) fn gc_if_waiting(&mut self, cx: &mut Cx, key: &Key) -> bool {
        let waits = self.gc.current.as_ref() == Some(key);
        if waits {
            self.gc_take_slot(cx, key);
        }
        waits
    }

    /// Nothing else is done to the clone now: a slot is needed.
    fn gc_take_slot(&mut self, cx: &mut Cx, key: &Key) {
        let job = cx.next_job(key);
        let Some(state) = self.states.get_mut(key) else { return self.gc_gone(cx, key) };
        state.work = Work::QueuedGc(job.run);
        let noun = state.noun();
        self.plan(cx, key);
        let urgency = Urgency { unasked: self.gc.request.is_none(), ..Urgency::default() };
        if self.slots.take(cx.now.mono, &job, urgency) {
            self.start_gc(cx, key);
        } else {
            self.plan_slots(cx);
            let line = Progress::new("starting", format!("{noun}: waiting for a clone slot"));
            self.gc_progress(cx, key, line);
        }
    }

    /// A slot is free for it.
    pub(super) fn start_gc(&mut self, cx: &mut Cx, key: &Key) {
        let Some(state) = self.states.get_mut(key) else { return self.gc_gone(cx, key) };
        let Work::QueuedGc(run) = state.work else { return };
        state.work = Work::Gc(run);
        let (target, noun) = (state.target.clone(), state.noun());
        let job = JobId { key: key.clone(), run };
        cx.push(Effect::Gc { job, target, asked: self.gc.request.is_some() });
        self.changed(cx, key);
        self.gc_progress(cx, key, Progress::new("starting", format!("making {noun} smaller")));
    }

    /// Whoever asked hears how far it is.
    pub(super) fn gc_progress(&mut self, cx: &mut Cx, key: &Key, line: Progress) {
        let Some(request) = self.gc.request.as_mut().filter(|r| r.progress) else { return };
        request.line = line.clone();
        cx.progress(request.conn, line);
        cx.set_in(Timer::Line(key.clone()), LINE_EVERY);
    }

    /// Nothing new for a while: the last line again.
    pub(super) fn gc_still_running(&mut self, cx: &mut Cx, key: &Key) {
        if self.gc.current.as_ref() == Some(key)
            && let Some(line) = self.gc.request.as_ref().map(|r| r.line.clone())
        {
            self.gc_progress(cx, key, line);
        }
    }

    /// It will not be done to this clone: on with the next.
    pub(super) fn gc_gone(&mut self, cx: &mut Cx, key: &Key) {
        if self.gc.current.as_ref() == Some(key) {
            self.gc.current = None;
            self.gc_next(cx);
        }
    }

    /// A clone has been made smaller, or was left as it is.
    pub(super) fn gc_ended(&mut self, cx: &mut Cx, key: &Key, result: Result<Option<Reclone>, Failure>) {
        cx.set(Timer::Line(key.clone()), None);
        if let Some(state) = self.states.get_mut(key) {
            let run = std::mem::take(&mut state.work).run();
            if matches!(result, Ok(Some(Reclone::Done(_) | Reclone::Maintained { .. }))) {
                state.last_gc = Some(cx.now.wall);
                state.gc_refusal = None;
                state.issues.heal(&state.name, Healed::Clean);
            }
            if let Ok(Some(Reclone::Refused(why))) = &result
                && why.is_local_state()
            {
                let text = format!("{} could not be made smaller: {why}", state.noun());
                state.gc_refusal = Some(text.clone());
                state.raise(IssueKind::DirtyWorkspace, text, cx.now);
            }
            if !matches!(result, Ok(None)) {
                // The clone may be another one now.
                state.schedule.trigger(cx.now.mono);
            }
            if let Some(run) = run {
                self.free_slot(cx, &JobId { key: key.clone(), run });
            }
            self.gc_note(cx, key, &result);
            self.changed(cx, key);
            self.plan(cx, key);
        }
        self.gc_gone(cx, key);
    }

    /// Writes down what a clone came to, for the log and for whoever asked.
    fn gc_note(&mut self, cx: &mut Cx, key: &Key, result: &Result<Option<Reclone>, Failure>) {
        let Some(state) = self.states.get(key) else { return };
        let noun = state.noun();
        let text = match result {
            Ok(None) => return,
            Ok(Some(Reclone::Refused(why))) => Err(format!("{noun}: {why}")),
            Err(failure) => Err(format!("{noun}: {}", failure.text)),
            Ok(Some(Reclone::Done(done))) => Ok((done.before, done.after)),
            Ok(Some(Reclone::Maintained { before, after })) => Ok((*before, *after)),
        };
        match &text {
            Ok((before, after)) => {
                log::info!("[{}] {noun} made smaller: {} to {}", state.label, bytes(*before), bytes(*after));
                self.gc.team_done |= is_team(key) && self.gc.request.is_none();
                if is_team(key) {
                    self.gc.last_team = Some(key.clone());
                }
            }
            Err(why) => log::warn!("[{}] not made smaller: {why}", state.label),
        }
        let Some(request) = &mut self.gc.request else { return };
        match text {
            Ok((before, after)) => {
                request.result.triggered += i64::from(is_team(key));
                request.result.ledger_triggered |= !is_team(key);
                let line = format!("{noun}: {before} bytes before, {after} after");
                if request.progress {
                    cx.progress(request.conn, Progress::new("complete", line));
                }
            }
            Err(why) => request.result.errors.push(why),
        }
    }
}
