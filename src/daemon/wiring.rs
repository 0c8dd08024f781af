//! Who hears of what: one function an event of the rooms, which tells history, metrics, issues, gates, schedules and waiting requests.

use super::core::Core;
use super::event::{Effect, Finding, Id, Key, RunId};
use super::repo::{Phase, Repo, Waiter};
use super::schedule::{Beat, LINE_EVERY};
use super::{accounts, beats, checkout, errors, gc, teams, whispers};
use crate::health::issues::Healed;
use crate::health::{IssueKind, SyncKind, SyncRecord};
use crate::ipc::wire::{Progress, Response};
use crate::kit::Class;
use crate::kit::clock::Now;
use crate::kit::gotime::GoTime;
use crate::sync::{
    Blocked, Change, End, Ended, Facts, Failure, Kind, Outcome, Saved, Skip, Trouble, timeout_text,
};

/// A piece of work has come so far: whoever waits hears it.
pub(super) fn progress(core: &mut Core, now: Now, key: &Key, progress: Progress) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    repo.progress = progress;
    still_running(core, now, key);
}

/// Nothing new for a while: say the last line again, so that nobody takes silence for death.
pub(super) fn still_running(core: &mut Core, now: Now, key: &Key) {
    if let Key::Checkout(_) = key {
        return checkout::still_running(core, now, key);
    }
    // Some may wait for the sync, and one for the slimming that waits for it.
    tell(core, now, key);
    gc::still_running(core, now, key);
}

/// Whoever waits hears the newest line.
fn tell(core: &mut Core, now: Now, key: &Key) {
    let Some(repo) = core.repos.get(key).filter(|r| !r.waiting.is_empty()) else { return };
    let mut line = repo.progress.clone();
    if repo.team_id().is_some() && !line.message.is_empty() {
        line.message = format!("{}: {}", repo.label, line.message);
    }
    for waiter in repo.waiting.clone() {
        match waiter {
            Waiter::Conn(conn) => core.out.push(Effect::Progress(conn, line.clone())),
            Waiter::Teams(number) => teams::team_progress(core, number, &line),
        }
    }
    core.deadlines.set(Beat::Line(key.clone()), Some(now.mono + LINE_EVERY));
}

/// A sync has ended.
pub(super) fn synced(core: &mut Core, now: Now, key: &Key, outcome: Outcome) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    if outcome.place.is_some() {
        repo.place.clone_from(&outcome.place);
    }
    match &outcome.end {
        // The clone is part of the run: whoever waits goes on waiting, and the schedule stands still.
        End::NoClone | End::PutAside(_) => {
            if let End::PutAside(aside) = &outcome.end {
                let noun = repo.noun();
                log::error!("[{}] {noun} was damaged; put aside as {}", repo.label, aside.display());
            }
            repo.phase = Phase::WaitsForSlot;
            let work = (key.clone(), repo.run);
            let probed = repo.probing.take();
            core.changed(key);
            if let Some(host) = probed {
                core.pass_on_probe(now, key, &host);
            }
            let urgency = core.urgency(now.mono, key);
            if core.slots.take(now.mono, &work, urgency) {
                start_clone(core, now, key);
            } else {
                progress(core, now, key, Progress::new("cloning", "waiting for a clone slot"));
                core.plan_slots();
            }
        }
        _ => settle(core, now, key, &outcome),
    }
}

/// A clone slot is free for `key`.
fn start_clone(core: &mut Core, now: Now, key: &Key) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    repo.phase = Phase::Cloning;
    let effect = Effect::Clone { key: key.clone(), run: repo.run, target: repo.target.clone() };
    let text = format!("cloning {}", repo.noun());
    core.out.push(effect);
    progress(core, now, key, Progress::new("cloning", text));
}

impl Core {
    /// A clone has ended, or will not be made: whoever is next gets its slot.
    pub(super) fn free_slot(&mut self, now: Now, key: &Key, run: RunId) {
        for (next, _) in self.slots.release(&(key.clone(), run)) {
            match next {
                Key::Checkout(_) => checkout::start(self, &next),
                _ if self.queues_to_slim(&next) => gc::start(self, now, &next),
                _ => start_clone(self, now, &next),
            }
        }
        self.plan_slots();
    }

    /// Sets the deadline at which somebody has waited for a slot for long enough.
    pub(super) fn plan_slots(&mut self) {
        self.deadlines.set(Beat::Slots, self.slots.next_deadline());
    }

    /// Whoever has waited for a slot for too long gives up until the next cycle; that is no failure of its clone.
    pub(super) fn slots_expired(&mut self, now: Now) {
        for (key, _) in self.slots.expired(now.mono) {
            if let Key::Checkout(_) = key {
                checkout::expired(self, now, &key);
            } else if self.queues_to_slim(&key) {
                gc::expired(self, now, &key);
            } else {
                let end = End::Failed(Failure::new(Class::Busy, timeout_text()));
                let outcome = Outcome { place: None, facts: None, end, took: Default::default() };
                settle(self, now, &key, &outcome);
            }
        }
        self.plan_slots();
    }
}

/// A clone has ended.
pub(super) fn cloned(core: &mut Core, now: Now, key: &Key, outcome: Outcome) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    if outcome.place.is_some() {
        repo.place.clone_from(&outcome.place);
    }
    match &outcome.end {
        End::Level(_) => {
            repo.issues.heal(&repo.name, Healed::Cloned);
        }
        End::Failed(failure) if !matches!(failure.class, Class::Network | Class::Busy) => {
            repo.raise(IssueKind::CloneFailed, format!("clone failed: {}", failure.text), now);
        }
        _ => {}
    }
    let there = matches!(outcome.end, End::Level(_));
    settle(core, now, key, &outcome);
    if there {
        core.watch_ledger(key, true);
        // Links to it may be made now.
        for id in core.users(key) {
            core.load(&id);
        }
    }
}

/// Tells everybody how a run came out, and plans the next.
fn settle(core: &mut Core, now: Now, key: &Key, outcome: &Outcome) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    let cloning = std::mem::replace(&mut repo.phase, Phase::Level) != Phase::Level;
    if let Some(facts) = &outcome.facts {
        take_in_facts(repo, now, facts);
    }
    let (ended, line, told) = match &outcome.end {
        End::Level(change) => {
            level(core, now, key, outcome, change);
            (Ended::Fine, level_line(change), Told::Synced)
        }
        End::Skipped(skip) => {
            skipped(repo, now, skip);
            let text = skip_text(skip, &repo.noun());
            // Whoever asked for a sync and got none is not told that all is well.
            let told = if *skip == Skip::Fresh { Told::Skipped } else { Told::Error(text.clone()) };
            (Ended::Skipped, Progress::new("skipped", text), told)
        }
        End::Failed(failure) => {
            let ended = ended_by(repo, failure, cloning);
            failed(core, now, key, failure);
            if failure.class != Class::Network {
                whispers::failed(core, key);
            }
            (ended, Progress::new("error", failure.text.clone()), Told::Error(failure.text.clone()))
        }
        End::NoClone | End::PutAside(_) => {
            let text = format!("{} is missing and could not be cloned", repo.noun());
            (Ended::Failed(Trouble::Clone), Progress::new("error", text.clone()), Told::Error(text))
        }
    };
    let rng = &mut core.rng;
    let Some(repo) = core.repos.get_mut(key) else { return };
    repo.schedule.ended(now.mono, ended, rng);
    let is_answer = !repo.schedule.is_forced();
    if let (Some((failures, at)), Ended::Failed(_)) = (repo.schedule.backoff(), ended) {
        let minutes = at.since(now.mono).as_secs().div_ceil(60);
        let failed =
            if failures == 1 { "a sync failed".into() } else { format!("{failures} syncs failed in a row") };
        let command = repo.team_id().map_or("ox sync".into(), |id| format!("ox sync --team {id}"));
        let text = format!("{failed}; next attempt in {minutes} min ({command} tries at once)");
        repo.raise(IssueKind::SyncBackoff, text, now);
    }
    match &outcome.end {
        End::Failed(failure) => {
            let failures = repo.schedule.backoff().map_or(0, |(failures, _)| failures);
            errors::mirror(core, now, key, failure, failures);
        }
        End::Level(_) => repo.stored = None,
        _ => {}
    }
    let refused = matches!(&outcome.end, End::Failed(f) if f.class == Class::Auth);
    if let Some(repo) = core.repos.get_mut(key) {
        let again = std::mem::take(&mut repo.renewed) && refused;
        repo.refused = refused && !again;
        if again {
            repo.schedule.force();
        } else if refused {
            accounts::git_refused(core, now, key);
        }
    }
    remember_backoff(core, now, key);
    core.watch_ledger(key, false);
    if is_answer {
        answer(core, key, &line, &told);
    }
    tell_gate(core, now, key, outcome);
    beats::sync_ended(core, now, key);
    core.changed(key);
    core.plan(now.mono, key);
    if !is_answer {
        // Before anything that would only wait for a quiet clone.
        core.start_due(now, key);
    }
    gc::sync_ended(core, now, key);
}

/// What whoever asked for a run is told of it.
enum Told {
    Synced,
    Skipped,
    Error(String),
}

/// Whoever waited hears how it came out.
fn answer(core: &mut Core, key: &Key, line: &Progress, told: &Told) {
    core.deadlines.remove(&Beat::Line(key.clone()));
    let Some(repo) = core.repos.get_mut(key) else { return };
    repo.progress = Progress::default();
    let (status, error) = match told {
        Told::Synced => ("synced", ""),
        Told::Skipped => ("skipped", ""),
        Told::Error(text) => ("error", text.as_str()),
    };
    for waiter in std::mem::take(&mut repo.waiting) {
        match waiter {
            Waiter::Conn(conn) => {
                let response = if error.is_empty() { Response::ok() } else { Response::error(error) };
                core.out.push(Effect::Progress(conn, line.clone()));
                core.out.push(Effect::Reply(conn, response));
            }
            Waiter::Teams(number) => teams::team_ended(core, number, key, status, error.to_string()),
        }
    }
}

/// Failures are remembered over a restart, and forgotten with the first success.
fn remember_backoff(core: &mut Core, now: Now, key: &Key) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    let Some(state) = repo.place.as_ref().map(|p| p.state.clone()) else { return };
    let saved = repo.schedule.backoff().map(|(failures, at)| {
        let wait = jiff::SignedDuration::try_from(at.since(now.mono)).unwrap_or_default();
        Saved { failures, retry_at: GoTime(now.wall.checked_add(wait).ok()) }
    });
    if saved.is_some() || repo.backoff_saved {
        repo.backoff_saved = saved.is_some();
        core.out.push(Effect::SaveBackoff { state, saved });
    }
}

/// What a failure means for the time until the next attempt.
fn ended_by(repo: &Repo, failure: &Failure, cloning: bool) -> Ended {
    match failure.class {
        // Only a host has a gate that says when to go on.
        Class::Network if repo.host().is_some() => Ended::Network,
        // All slots are busy: they free themselves.
        Class::Busy if cloning => Ended::Skipped,
        Class::Auth | Class::Usage if cloning => Ended::Failed(Trouble::CloneRefused),
        _ if cloning => Ended::Failed(Trouble::Clone),
        _ => Ended::Failed(Trouble::Sync),
    }
}

fn take_in_facts(repo: &mut Repo, now: Now, facts: &Facts) {
    repo.facts.clone_from(facts);
    match &facts.missing {
        Some(text) => repo.raise(IssueKind::MissingScaffolding, text.clone(), now),
        None => {
            repo.issues.heal(&repo.name, Healed::Whole);
        }
    }
    match &facts.stuck {
        Some(text) => repo.raise(IssueKind::MurmurStuck, text.clone(), now),
        None => {
            repo.issues.heal(&repo.name, Healed::Told);
        }
    }
    let asked = facts.interval.unwrap_or_default();
    repo.schedule.set_interval(asked.max(repo.interval));
}

/// What a run says about a host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// It answered, if only with a refusal.
    Answered,
    /// It did not answer.
    Silent,
    /// It was not asked, or that cannot be told.
    Nothing,
}

fn word(end: &End) -> Word {
    match end {
        End::Level(_) => Word::Answered,
        End::Failed(failure) => match failure.class {
            Class::Network => Word::Silent,
            Class::Auth | Class::Conflict => Word::Answered,
            _ => Word::Nothing,
        },
        End::Skipped(_) | End::NoClone | End::PutAside(_) => Word::Nothing,
    }
}

/// Tells the gates what the run came to: that of the host it asked, and, if it was an attempt to find out whether a host is back, that one.
fn tell_gate(core: &mut Core, now: Now, key: &Key, outcome: &Outcome) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    let (host, probed) = (repo.host().map(str::to_string), repo.probing.take());
    let word = word(&outcome.end);
    if let Some(host) = &host {
        match word {
            Word::Silent => silent(core, now, host, &outcome.end),
            Word::Answered => {
                core.probed.remove(host);
                if core.gates.remove(host).is_some_and(|mut gate| gate.answered()) {
                    log::info!("{host} answers again");
                }
                core.plan_host(now.mono, host);
            }
            Word::Nothing => {}
        }
    }
    // An attempt that found nothing out about its host leaves that to the next one.
    if let Some(probed) = probed
        && (word == Word::Nothing || host.as_ref() != Some(&probed))
    {
        core.probe_came_to_nothing(now.mono, &probed);
    }
}

fn silent(core: &mut Core, now: Now, host: &str, end: &End) {
    let gate = core.gates.entry(host.to_string()).or_default();
    let first = gate.failed(now.mono);
    let End::Failed(failure) = end else { return };
    if let Some(wait) = failure.retry_after {
        gate.asked_to_wait(now.mono, wait);
    }
    if first {
        log::warn!("{host} does not answer; syncs wait: {}", failure.text);
    }
    core.plan_host(now.mono, host);
}

fn level(core: &mut Core, now: Now, key: &Key, outcome: &Outcome, change: &Change) {
    let Some(repo) = core.repos.get_mut(key) else { return };
    repo.last_sync = Some(now.wall);
    // What changed in a ledger was written down by the run itself; a mere confirmation is written down in a while.
    let written = repo.team_id().is_none() && (change.pulled || change.pushed > 0);
    repo.unflushed = (!written).then_some(now.wall);
    // Level or not, it is one that the server named no longer.
    repo.last_error = repo.revoked.clone().unwrap_or_default();
    let (label, noun, head) = (repo.label.clone(), repo.noun(), repo.facts.head.clone());
    if change.pulled {
        log::info!("[{label}] {noun} pulled: {} files, now at {}", change.files_in, short(&head));
    }
    if change.pushed > 0 {
        log::info!("[{label}] {noun} pushed: {} commits, now at {}", change.pushed, short(&head));
    }
    repo.issues.heal(&repo.name, Healed::Synced);
    match &change.kept {
        Some(kept) => {
            let text = format!(
                "uncommitted changes to {} met newer ones; yours are beside them as *.conflict-* and in {}",
                named(&kept.paths),
                kept.reference
            );
            repo.raise(IssueKind::DirtyWorkspace, text, now);
        }
        None if repo.kept_back.is_none() => {
            repo.issues.heal(&repo.name, Healed::Clean);
        }
        None => {}
    }
    record(core, now, key, outcome, change);
    whispers::level(core, key, change.pulled || change.pushed > 0);
}

/// Writes a sync that moved commits into history and metrics of all projects that use the clone. A look that found nothing new is none,
/// as with the Go program.
fn record(core: &mut Core, now: Now, key: &Key, outcome: &Outcome, change: &Change) {
    let Some(repo) = core.repos.get(key) else { return };
    let (kind, workspace) = (repo.target.kind(), repo.name.clone());
    let event = |kind, files_changed| SyncRecord {
        time: now.wall,
        kind,
        workspace: workspace.clone(),
        took: outcome.took,
        files_changed,
    };
    for id in core.users(key) {
        let Some(project) = core.projects.get_mut(&id) else { continue };
        match kind {
            Kind::Ledger if change.pulled => {
                project.metrics.pulled(now.wall, outcome.took, change.diverged);
                project.history.synced(event(SyncKind::Pull, change.files_in));
            }
            Kind::Team if change.pulled => {
                project.metrics.team_synced();
                project.history.synced(event(SyncKind::Team, change.files_in));
            }
            _ => {}
        }
        if change.pushed > 0 {
            project.history.synced(event(SyncKind::Push, 0));
        }
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

fn level_line(change: &Change) -> Progress {
    let text = match (change.pulled, change.pushed) {
        (true, 0) => format!("{} files updated", change.files_in),
        (true, n) => format!("{} files updated, {n} commits pushed", change.files_in),
        (false, 0) => return Progress::new("skipped", "Remote unchanged, skipping pull"),
        (false, n) => format!("{n} commits pushed"),
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

/// A foreign operation is reported as stuck when nothing in it has moved for this long.
const STUCK_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

fn skipped(repo: &mut Repo, now: Now, skip: &Skip) {
    let noun = repo.noun();
    match skip {
        Skip::Fresh | Skip::Busy | Skip::NotNamed => {}
        Skip::LockFiles(names) => {
            let text = format!("git lock files stay in {noun}: {}", names.join(", "));
            repo.raise(IssueKind::GitLock, text, now);
        }
        Skip::Foreign { what, age } if *age >= STUCK_AFTER => {
            let text = format!("a {what} that ox did not start is in progress in {noun}");
            repo.raise(IssueKind::RebaseStuck, text, now);
        }
        Skip::Foreign { .. } => {}
    }
}

fn failed(core: &mut Core, now: Now, key: &Key, failure: &Failure) {
    let users = core.users(key);
    let Some(repo) = core.repos.get_mut(key) else { return };
    // Of one that the server named no longer nothing else is to be expected.
    repo.last_error = repo.revoked.clone().unwrap_or_else(|| failure.text.clone());
    if failure.class == Class::Network && repo.host().is_some() {
        // Being offline is normal: no error, no metric; the gate says it once.
        log::debug!("[{}] {}", repo.label, failure.text);
        return;
    }
    log::warn!("[{}] sync failed: {}", repo.label, failure.text);
    match failure.blocked {
        Some(Blocked::Conflict) => repo.raise(IssueKind::MergeConflict, &failure.text, now),
        Some(Blocked::Diverged) => repo.raise(IssueKind::Diverged, &failure.text, now),
        Some(Blocked::RebaseStuck) => repo.raise(IssueKind::RebaseStuck, &failure.text, now),
        Some(Blocked::Untrusted | Blocked::OtherRemote) => {
            repo.raise(IssueKind::CloneFailed, &failure.text, now)
        }
        None => {}
    }
    let kind = repo.target.kind();
    for id in users {
        let Some(project) = core.projects.get_mut(&id) else { continue };
        match kind {
            Kind::Ledger => {
                project.metrics.failed(now.wall, failure.class == Class::Conflict);
                project.history.failed(now.wall, failure.text.clone());
            }
            Kind::Team => project.metrics.team_failed(),
        }
    }
}

impl Core {
    /// The projects that use a clone.
    pub(super) fn users(&self, key: &Key) -> Vec<Id> {
        self.repos.get(key).map(|r| r.users.iter().cloned().collect()).unwrap_or_default()
    }
}

/// A periodic look has found that others changed something.
pub(super) fn checked(core: &mut Core, now: Now, findings: Vec<(Id, Finding)>) {
    let served = core.projects.len();
    for (id, finding) in findings {
        let Some(project) = core.projects.get_mut(&id) else { continue };
        match finding {
            Finding::Superseded => {
                log::warn!("[{}] another daemon has taken over: detached", project.label());
                core.detach(now, &id, true);
            }
            Finding::Gone => {
                log::info!("[{}] {} is gone: detached", project.label(), project.root.display());
                core.detach(now, &id, false);
            }
            Finding::LedgerGone => {
                log::warn!("[{}] the ledger's clone is gone; it is cloned again", project.label());
                core.touched(now.mono, &id);
            }
        }
    }
    if core.projects.len() < served {
        core.end_if_empty(now, "no project left");
    }
}
