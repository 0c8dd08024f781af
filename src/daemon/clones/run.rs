//! A run on a clone: how it ended, what that means for the clone, who is told, and what is next. And the slots that clones are made in.

use super::event::{Effect, Timer};
use super::state::{Waiter, Work};
use super::{CloneState, Clones, LINE_EVERY};
use crate::daemon::cx::Cx;
use crate::daemon::fact::Fact;
use crate::daemon::names::{Id, JobId, Key};
use crate::health::IssueKind;
use crate::health::issues::Healed;
use crate::ipc::wire::{Progress, Response};
use crate::kit::Class;
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;
use crate::kit::human::count;
use crate::sync::{
    BackoffKind, Blocked, Change, End, Ended, Facts, Failure, Outcome, Saved, Skip, timeout_text,
};

/// A foreign operation is reported as stuck when nothing in it has moved for this long.
const STUCK_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

/// What whoever asked for a run is told of it.
enum Reply {
    Synced,
    Skipped,
    Error(String, Class),
}

impl Clones {
    /// A run has come so far: whoever waits hears it.
    pub(super) fn progress(&mut self, cx: &mut Cx, key: &Key, line: Progress) {
        let Some(state) = self.states.get_mut(key) else { return };
        state.progress = line;
        self.still_running(cx, key);
    }

    /// Nothing new for a while: say the last line again, so that nobody takes silence for death.
    pub(super) fn still_running(&mut self, cx: &mut Cx, key: &Key) {
        if let Key::Checkout(_) = key {
            return self.checkout_still_running(cx, key);
        }
        // Some may wait for the sync, and one for the gc that waits for it.
        self.tell_waiters(cx, key);
        self.gc_still_running(cx, key);
    }

    /// Whoever waits hears the newest line.
    fn tell_waiters(&self, cx: &mut Cx, key: &Key) {
        let Some(state) = self.states.get(key).filter(|s| !s.waiting.is_empty()) else { return };
        let mut line = state.progress.clone();
        if state.target.team_id().is_some() && !line.message.is_empty() {
            line.message = format!("{}: {}", state.label, line.message);
        }
        for waiter in &state.waiting {
            match waiter {
                Waiter::Conn(conn) => cx.progress(*conn, line.clone()),
                Waiter::Teams(number) => self.team_progress(cx, *number, &line),
            }
        }
        cx.set_in(Timer::Line(key.clone()), LINE_EVERY);
    }

    /// A sync has ended.
    pub(super) fn synced(&mut self, cx: &mut Cx, job: &JobId, outcome: Outcome) {
        let key = &job.key;
        let Some(state) = self.states.get_mut(key) else { return };
        if outcome.place.is_some() {
            state.place.clone_from(&outcome.place);
        }
        if let End::PutAside(aside) = &outcome.end {
            let noun = state.noun();
            log::error!("[{}] {noun} was damaged; put aside as {}", state.label, aside.display());
        }
        if !matches!(outcome.end, End::NoClone | End::PutAside(_)) {
            return self.settle(cx, key, &outcome);
        }
        // The clone is part of the run: whoever waits goes on waiting, and the schedule stands still.
        state.work = Work::QueuedClone(job.run);
        let probed = state.probing.take();
        self.changed(cx, key);
        if let Some(host) = probed {
            self.pass_on_probe(cx, key, &host);
        }
        let urgency = self.urgency(cx, key);
        if self.slots.take(cx.now.mono, job, urgency) {
            self.start_clone(cx, key);
        } else {
            self.progress(cx, key, Progress::new("cloning", "waiting for a clone slot"));
            self.plan_slots(cx);
        }
    }

    /// A clone slot is free for `key`.
    fn start_clone(&mut self, cx: &mut Cx, key: &Key) {
        let Some(state) = self.states.get_mut(key) else { return };
        let Work::QueuedClone(run) = state.work else { return };
        state.work = Work::Clone(run);
        let (target, text) = (state.target.clone(), format!("cloning {}", state.noun()));
        cx.push(Effect::Clone { job: JobId { key: key.clone(), run }, target });
        self.progress(cx, key, Progress::new("cloning", text));
    }

    /// A job has ended, or will not be begun: whoever is next gets its slot.
    pub(super) fn free_slot(&mut self, cx: &mut Cx, job: &JobId) {
        for JobId { key, .. } in self.slots.release(job) {
            match (&key, self.states.get(&key).map(|s| s.work)) {
                (Key::Checkout(_), _) => self.start_checkout(cx, &key),
                (_, Some(Work::QueuedGc(_))) => self.start_gc(cx, &key),
                _ => self.start_clone(cx, &key),
            }
        }
        self.plan_slots(cx);
    }

    /// Sets the deadline at which somebody has waited for a slot for long enough.
    pub(super) fn plan_slots(&self, cx: &mut Cx) {
        cx.set(Timer::Slots, self.slots.next_deadline());
    }

    /// Whoever has waited for a slot for too long gives up until the next cycle; that is no failure of its clone.
    pub(super) fn slots_expired(&mut self, cx: &mut Cx) {
        for JobId { key, .. } in self.slots.expired(cx.now.mono) {
            let busy = || Failure::new(Class::Busy, timeout_text());
            match (&key, self.states.get(&key).map(|s| s.work)) {
                (Key::Checkout(_), _) => self.checkout_ended(cx, &key, Err(timeout_text())),
                (_, Some(Work::QueuedGc(_))) => self.gc_ended(cx, &key, Err(busy())),
                _ => {
                    let end = End::Failed(busy());
                    let outcome = Outcome { place: None, facts: None, end, took: Default::default() };
                    self.settle(cx, &key, &outcome);
                }
            }
        }
        self.plan_slots(cx);
    }

    /// A clone has been made, or not.
    pub(super) fn cloned(&mut self, cx: &mut Cx, key: &Key, outcome: Outcome) {
        let Some(state) = self.states.get_mut(key) else { return };
        if outcome.place.is_some() {
            state.place.clone_from(&outcome.place);
        }
        state.note_trust(&outcome);
        match &outcome.end {
            End::UpToDate(_) => {
                state.issues.heal(&state.name, Healed::Cloned);
            }
            End::Failed(failure) if !matches!(failure.class, Class::Network | Class::Busy) => {
                let text = format!("clone failed: {}", failure.text);
                state.raise(IssueKind::CloneFailed, text, cx.now);
            }
            _ => {}
        }
        let there = matches!(outcome.end, End::UpToDate(_));
        self.settle(cx, key, &outcome);
        if there {
            self.watch_ledger(cx, key, true);
            // Links to it may be made now.
            for id in self.users(key) {
                cx.tell(Fact::FilesChanged(id));
            }
        }
    }

    /// Tells everybody how a run came out, and plans the next.
    fn settle(&mut self, cx: &mut Cx, key: &Key, outcome: &Outcome) {
        let Some(state) = self.states.get_mut(key) else { return };
        let work = std::mem::take(&mut state.work);
        let cloning = matches!(work, Work::QueuedClone(_) | Work::Clone(_));
        state.note_trust(outcome);
        if let Some(facts) = &outcome.facts {
            take_in_facts(state, cx.now, facts);
        }
        let (ended, line, reply) = match &outcome.end {
            End::UpToDate(change) => {
                up_to_date(state, cx.now, change);
                (Ended::Fine, done_line(change), Reply::Synced)
            }
            End::Skipped(skip) => {
                skipped(state, cx.now, skip);
                let text = skip_text(skip, &state.noun());
                // Whoever asked for a sync and got none is not told that all is well.
                let reply = if *skip == Skip::Fresh {
                    Reply::Skipped
                } else {
                    Reply::Error(text.clone(), Class::Busy)
                };
                (Ended::Skipped, Progress::new("skipped", text), reply)
            }
            End::Failed(failure) => {
                let ended = ended_by(state, failure, cloning);
                failed(state, cx.now, failure);
                let text = &failure.text;
                (ended, Progress::new("error", text.clone()), Reply::Error(text.clone(), failure.class))
            }
            End::NoClone | End::PutAside(_) => {
                let text = format!("{} is missing and could not be cloned", state.noun());
                let reply = Reply::Error(text.clone(), Class::Damage);
                (Ended::Failed(BackoffKind::Clone), Progress::new("error", text), reply)
            }
        };
        state.schedule.ended(cx.now.mono, ended, cx.rng);
        let is_answer = !state.schedule.is_forced();
        if matches!(ended, Ended::Failed(_)) {
            raise_backoff(state, cx.now);
        }
        let refused = matches!(&outcome.end, End::Failed(f) if f.class == Class::Auth);
        let again = std::mem::take(&mut state.renewed) && refused;
        state.refused = refused && !again;
        if again {
            state.schedule.force();
        }
        tell_others(state, cx, key, outcome);
        remember_backoff(state, cx);
        self.watch_ledger(cx, key, false);
        if is_answer {
            self.answer(cx, key, &line, &reply);
        }
        self.tell_gate(cx, key, outcome);
        self.changed(cx, key);
        self.plan(cx, key);
        if !self.gc_if_waiting(cx, key) && !is_answer {
            self.start_due(cx, key);
        }
    }

    /// Whoever waited hears how it came out.
    fn answer(&mut self, cx: &mut Cx, key: &Key, line: &Progress, reply: &Reply) {
        cx.set(Timer::Line(key.clone()), None);
        let Some(state) = self.states.get_mut(key) else { return };
        state.progress = Progress::default();
        let (status, error, class) = match reply {
            Reply::Synced => ("synced", "", None),
            Reply::Skipped => ("skipped", "", None),
            Reply::Error(text, class) => ("error", text.as_str(), Some(*class)),
        };
        for waiter in std::mem::take(&mut state.waiting) {
            match waiter {
                Waiter::Conn(conn) => {
                    let response = match class {
                        Some(class) => Response::error(error).of_class(class),
                        None => Response::ok(),
                    };
                    cx.progress(conn, line.clone());
                    cx.reply(conn, response);
                }
                Waiter::Teams(number) => self.team_ended(cx, number, key, status, error.to_string()),
            }
        }
    }

    /// The projects that use a clone.
    pub(super) fn users(&self, key: &Key) -> Vec<Id> {
        self.states.get(key).map(|s| s.users.iter().cloned().collect()).unwrap_or_default()
    }
}

/// What the other parts hear of a run.
fn tell_others(state: &CloneState, cx: &mut Cx, key: &Key, outcome: &Outcome) {
    match &outcome.end {
        End::UpToDate(change) => {
            cx.tell(Fact::UpToDate { key: key.clone(), change: change.clone(), took: outcome.took })
        }
        End::Failed(failure) if is_untrusted(failure) => {}
        End::Failed(failure) => cx.tell(Fact::Failed {
            key: key.clone(),
            failure: failure.clone(),
            failures: state.schedule.backoff().map_or(0, |(failures, _)| failures),
            offline: is_offline(state, failure),
            refused: state.refused,
        }),
        _ => {}
    }
    cx.tell(Fact::RunEnded(key.clone()));
}

/// Being offline is normal: only a host has a circuit breaker that says when to go on.
fn is_offline(state: &CloneState, failure: &Failure) -> bool {
    failure.class == Class::Network && state.host().is_some()
}

/// Nothing went wrong: somebody has to trust the host.
fn is_untrusted(failure: &Failure) -> bool {
    failure.blocked == Some(Blocked::Untrusted)
}

/// Failures are remembered over a restart, and forgotten with the first success.
fn remember_backoff(state: &mut CloneState, cx: &mut Cx) {
    let Some(place) = &state.place else { return };
    let saved = state.schedule.backoff().map(|(failures, at)| {
        let wait = jiff::SignedDuration::try_from(at.since(cx.now.mono)).unwrap_or_default();
        Saved { failures, retry_at: GoTime(cx.now.wall.checked_add(wait).ok()) }
    });
    if saved.is_some() || state.backoff_saved {
        state.backoff_saved = saved.is_some();
        cx.push(Effect::SaveBackoff { state: place.state.clone(), saved });
    }
}

fn raise_backoff(state: &mut CloneState, now: Now) {
    let Some((failures, at)) = state.schedule.backoff() else { return };
    let minutes = at.since(now.mono).as_secs().div_ceil(60);
    let failed =
        if failures == 1 { "a sync failed".into() } else { format!("{failures} syncs failed in a row") };
    let command = state.target.team_id().map_or("ox sync".into(), |id| format!("ox sync --team {id}"));
    let text = format!("{failed}; next attempt in {minutes} min ({command} tries at once)");
    state.raise(IssueKind::SyncBackoff, text, now);
}

/// What a failure means for the time until the next attempt.
fn ended_by(state: &CloneState, failure: &Failure, cloning: bool) -> Ended {
    match failure.class {
        _ if is_offline(state, failure) => Ended::Network,
        _ if is_untrusted(failure) => Ended::Untrusted,
        // All slots are busy: they free themselves.
        Class::Busy if cloning => Ended::Skipped,
        Class::Auth | Class::Usage if cloning => Ended::Failed(BackoffKind::CloneRefused),
        _ if cloning => Ended::Failed(BackoffKind::Clone),
        _ => Ended::Failed(BackoffKind::Sync),
    }
}

fn take_in_facts(state: &mut CloneState, now: Now, facts: &Facts) {
    state.facts.clone_from(facts);
    match &facts.missing {
        Some(text) => state.raise(IssueKind::MissingScaffolding, text.clone(), now),
        None => {
            state.issues.heal(&state.name, Healed::Whole);
        }
    }
    match &facts.stuck {
        Some(text) => state.raise(IssueKind::MurmurStuck, text.clone(), now),
        None => {
            state.issues.heal(&state.name, Healed::Told);
        }
    }
    let asked = facts.interval.unwrap_or_default();
    state.schedule.set_interval(asked.max(state.interval));
}

fn up_to_date(state: &mut CloneState, now: Now, change: &Change) {
    state.last_sync = Some(now.wall);
    // What changed in a ledger was written down by the run itself; a mere confirmation is written down in a while.
    let written = state.target.team_id().is_none() && (change.pulled || change.pushed > 0);
    state.unflushed = (!written).then_some(now.wall);
    state.offline = false;
    // Up to date or not, it is one that the server named no longer.
    (state.last_error, state.error_class) = (state.revoked.clone().unwrap_or_default(), None);
    let (label, noun, head) = (&state.label, state.noun(), short(&state.facts.head));
    if change.pulled {
        log::info!("[{label}] {noun} pulled: {}, now at {head}", count(change.files_in, "file"));
    }
    if change.pushed > 0 {
        log::info!("[{label}] {noun} pushed: {}, now at {head}", count(change.pushed, "commit"));
    }
    state.issues.heal(&state.name, Healed::Synced);
    match &change.kept {
        Some(kept) => {
            let text = format!(
                "{} changed here and remotely; your version was kept beside it as *.conflict-* and in {}",
                named(&kept.paths),
                kept.reference
            );
            state.raise(IssueKind::DirtyWorkspace, text, now);
        }
        None if state.gc_refusal.is_none() => {
            state.issues.heal(&state.name, Healed::Clean);
        }
        None => {}
    }
}

/// The first few of many names.
fn named(paths: &[String]) -> String {
    const NAMED: usize = 5;
    let first = paths.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn short(head: &str) -> &str {
    head.get(..10).unwrap_or(head)
}

fn done_line(change: &Change) -> Progress {
    let files = count(change.files_in, "file");
    let text = match (change.pulled, change.pushed) {
        (true, 0) => format!("{files} updated"),
        (true, n) => format!("{files} updated, {} pushed", count(n, "commit")),
        (false, 0) => return Progress::new("skipped", "Remote unchanged, skipping pull"),
        (false, n) => format!("{} pushed", count(n, "commit")),
    };
    Progress::new("complete", text)
}

fn skip_text(skip: &Skip, noun: &str) -> String {
    match skip {
        Skip::Fresh => "Recently fetched, skipping pull".to_string(),
        Skip::Busy => format!("Another process works on {noun}, skipping pull"),
        Skip::NotNamed => format!("the server has not said yet where {noun} is"),
        Skip::LockFiles(names) => format!("Lock files present: {}", names.join(", ")),
        Skip::Foreign { what, .. } => format!("{what} in progress, skipping pull"),
    }
}

fn skipped(state: &mut CloneState, now: Now, skip: &Skip) {
    let noun = state.noun();
    match skip {
        Skip::Fresh | Skip::Busy | Skip::NotNamed => {}
        Skip::LockFiles(names) => {
            let text = format!("git lock files stay in {noun}: {}", names.join(", "));
            state.raise(IssueKind::GitLock, text, now);
        }
        Skip::Foreign { what, age } if *age >= STUCK_AFTER => {
            let text = format!("a {what} that ox did not start is in progress in {noun}");
            state.raise(IssueKind::RebaseStuck, text, now);
        }
        Skip::Foreign { .. } => {}
    }
}

fn failed(state: &mut CloneState, now: Now, failure: &Failure) {
    // Of one that the server named no longer nothing else is to be expected.
    state.last_error = state.revoked.clone().unwrap_or_else(|| failure.text.clone());
    state.error_class = Some(failure.class);
    state.offline = is_offline(state, failure);
    if state.offline {
        // No error, no metric; the breaker says it once.
        log::debug!("[{}] {}", state.label, failure.text);
        return;
    }
    // Looked at often and told by its issue.
    let level = if is_untrusted(failure) { log::Level::Debug } else { log::Level::Warn };
    log::log!(level, "[{}] sync failed: {}", state.label, failure.text);
    match failure.blocked {
        Some(Blocked::Conflict) => state.raise(IssueKind::MergeConflict, &failure.text, now),
        Some(Blocked::Diverged) => state.raise(IssueKind::Diverged, &failure.text, now),
        Some(Blocked::Secrets) => state.raise(IssueKind::SecretsHeld, &failure.text, now),
        Some(Blocked::RebaseStuck) => state.raise(IssueKind::RebaseStuck, &failure.text, now),
        Some(Blocked::Untrusted | Blocked::Redirected | Blocked::OtherRemote) => {
            state.raise(IssueKind::CloneFailed, &failure.text, now)
        }
        None => {}
    }
}
