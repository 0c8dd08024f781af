//! Who hears of what: one function an event of the rooms, which tells history, metrics, issues, gates, schedules and waiting requests.

use super::attach::Project;
use super::core::Core;
use super::event::{Effect, Finding, Id};
use super::schedule::{Beat, LINE_EVERY};
use crate::health::issues::Healed;
use crate::health::{IssueKind, SyncKind, SyncRecord};
use crate::ipc::wire::{Progress, Response};
use crate::kit::Class;
use crate::kit::clock::Now;
use crate::sync::{Blocked, Change, End, Ended, Failure, LEDGER, Outcome, Skip};

/// A piece of work has come so far: whoever waits hears it.
pub(super) fn progress(core: &mut Core, now: Now, id: &Id, progress: Progress) {
    let Some(project) = core.projects.get_mut(id) else { return };
    for conn in &project.waiting {
        core.out.push(Effect::Progress(*conn, progress.clone()));
    }
    if !project.waiting.is_empty() {
        core.deadlines.set(Beat::Line(id.clone()), Some(now.mono + LINE_EVERY));
    }
    project.progress = progress;
}

/// Nothing new for a while: say the last line again, so that nobody takes silence for death.
pub(super) fn still_running(core: &mut Core, now: Now, id: &Id) {
    let Some(project) = core.projects.get_mut(id) else { return };
    if project.waiting.is_empty() {
        return;
    }
    for conn in &project.waiting {
        core.out.push(Effect::Progress(*conn, project.progress.clone()));
    }
    core.deadlines.set(Beat::Line(id.clone()), Some(now.mono + LINE_EVERY));
}

/// A sync has ended.
pub(super) fn synced(core: &mut Core, now: Now, id: &Id, outcome: Outcome) {
    let Some(project) = core.projects.get_mut(id) else { return };
    if outcome.place.is_some() {
        project.place.clone_from(&outcome.place);
    }
    match &outcome.end {
        // The clone is part of the run: whoever waits goes on waiting, and the schedule stands still.
        End::NoClone | End::PutAside(_) => {
            if let End::PutAside(aside) = &outcome.end {
                log::error!("[{}] ledger was damaged; put aside as {}", project.label(), aside.display());
            }
            project.cloning = true;
            project.dirty = true;
            let (run, root) = (project.run, project.root.clone());
            core.out.push(Effect::Clone { id: id.clone(), run, root });
            progress(core, now, id, Progress::new("cloning", "cloning the ledger"));
        }
        _ => settle(core, now, id, &outcome, SyncKind::Pull),
    }
}

/// A clone has ended.
pub(super) fn cloned(core: &mut Core, now: Now, id: &Id, outcome: Outcome) {
    let Some(project) = core.projects.get_mut(id) else { return };
    project.cloning = false;
    if outcome.place.is_some() {
        project.place.clone_from(&outcome.place);
    }
    match &outcome.end {
        End::Level(_) => {
            project.issues.heal(LEDGER, Healed::Cloned);
        }
        End::Failed(failure) if failure.class != Class::Network => {
            let text = format!("clone failed: {}", failure.text);
            project.issues.raise(IssueKind::CloneFailed, LEDGER, text, now.wall);
        }
        _ => {}
    }
    settle(core, now, id, &outcome, SyncKind::Pull);
}

/// Tells everybody how a run came out, and plans the next.
fn settle(core: &mut Core, now: Now, id: &Id, outcome: &Outcome, kind: SyncKind) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let (ended, line, response) = match &outcome.end {
        End::Level(change) => {
            level(project, now, outcome, change, kind);
            (Ended::Fine, level_line(change), Response::ok())
        }
        End::Skipped(skip) => {
            skipped(project, now, skip);
            let text = skip_text(skip);
            // Whoever asked for a sync and got none is not told that all is well.
            let response = if *skip == Skip::Fresh { Response::ok() } else { Response::error(text.clone()) };
            (Ended::Skipped, Progress::new("skipped", text), response)
        }
        End::Failed(failure) => {
            failed(project, now, failure);
            // Only a host has a gate that says when to go on.
            let by_gate = failure.class == Class::Network && project.host().is_some();
            let ended = if by_gate { Ended::Network } else { Ended::Failed };
            (ended, Progress::new("error", failure.text.clone()), Response::error(failure.text.clone()))
        }
        End::NoClone | End::PutAside(_) => {
            let text = "ledger is missing and could not be cloned";
            (Ended::Failed, Progress::new("error", text), Response::error(text))
        }
    };
    project.schedule.ended(now.mono, ended, &mut core.rng);
    if let (Some((failures, at)), Ended::Failed) = (project.schedule.backoff(), ended) {
        let minutes = at.since(now.mono).as_secs().div_ceil(60);
        let text = format!(
            "{failures} failed syncs in a row; next attempt in {minutes} min (ox sync tries at once)"
        );
        project.issues.raise(IssueKind::SyncBackoff, LEDGER, text, now.wall);
    }
    project.dirty = true;
    project.progress = Progress::default();
    core.deadlines.remove(&Beat::Line(id.clone()));
    for conn in std::mem::take(&mut project.waiting) {
        core.out.push(Effect::Progress(conn, line.clone()));
        core.out.push(Effect::Reply(conn, response.clone()));
    }
    tell_gate(core, now, id, outcome);
    core.plan(now.mono, id);
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
fn tell_gate(core: &mut Core, now: Now, id: &Id, outcome: &Outcome) {
    let Some(project) = core.projects.get_mut(id) else { return };
    let (host, probed) = (project.host().map(str::to_string), project.probing.take());
    let word = word(&outcome.end);
    if let Some(host) = &host {
        match word {
            Word::Silent => {
                if core.gates.entry(host.clone()).or_default().failed(now.mono) {
                    let why =
                        if let End::Failed(failure) = &outcome.end { failure.text.as_str() } else { "" };
                    log::warn!("{host} does not answer; syncs wait: {why}");
                }
                core.plan_host(now.mono, host);
            }
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

fn level(project: &mut Project, now: Now, outcome: &Outcome, change: &Change, kind: SyncKind) {
    project.last_sync = Some(now.wall);
    // What changed was written down by the run itself; a mere confirmation is written down in a while.
    project.unflushed = (!change.pulled && change.pushed == 0).then_some(now.wall);
    project.last_error.clear();
    // A look that found nothing new is no sync in the history, as with the Go program.
    if change.pulled {
        project.metrics.pulled(now.wall, outcome.took, change.diverged);
        let files = change.files_in;
        log::info!("[{}] ledger pulled: {} files, now at {}", project.label(), files, short(&outcome.head));
        record(project, now, outcome, kind, files);
    }
    if change.pushed > 0 {
        log::info!(
            "[{}] ledger pushed: {} commits, now at {}",
            project.label(),
            change.pushed,
            short(&outcome.head)
        );
        record(project, now, outcome, SyncKind::Push, 0);
    }
    project.issues.heal(LEDGER, Healed::Synced);
    match &change.kept {
        Some(kept) => {
            let text = format!(
                "uncommitted changes to {} met newer ones; yours are beside them as *.conflict-* and in {}",
                named(&kept.paths),
                kept.reference
            );
            project.issues.raise(IssueKind::DirtyWorkspace, LEDGER, text, now.wall);
        }
        None => {
            project.issues.heal(LEDGER, Healed::Clean);
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

fn record(project: &mut Project, now: Now, outcome: &Outcome, kind: SyncKind, files_changed: u64) {
    let workspace = LEDGER.to_string();
    project.history.synced(SyncRecord { time: now.wall, kind, workspace, took: outcome.took, files_changed });
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

fn skip_text(skip: &Skip) -> String {
    match skip {
        Skip::Fresh => "Recently fetched, skipping pull".to_string(),
        Skip::Busy => "Another process works on the ledger, skipping pull".to_string(),
        Skip::LockFiles(names) => format!("Lock files present: {}", names.join(", ")),
        Skip::Foreign { what, .. } => format!("{what} in progress, skipping pull"),
    }
}

/// A foreign operation is reported as stuck when nothing in it has moved for this long.
const STUCK_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

fn skipped(project: &mut Project, now: Now, skip: &Skip) {
    match skip {
        Skip::Fresh | Skip::Busy => {}
        Skip::LockFiles(names) => {
            let text = format!("git lock files stay in the ledger: {}", names.join(", "));
            project.issues.raise(IssueKind::GitLock, LEDGER, text, now.wall);
        }
        Skip::Foreign { what, age } if *age >= STUCK_AFTER => {
            let text = format!("a {what} that ox did not start is in progress in the ledger");
            project.issues.raise(IssueKind::RebaseStuck, LEDGER, text, now.wall);
        }
        Skip::Foreign { .. } => {}
    }
}

fn failed(project: &mut Project, now: Now, failure: &Failure) {
    project.last_error.clone_from(&failure.text);
    if failure.class == Class::Network && project.host().is_some() {
        // Being offline is normal: no error, no metric; the gate says it once.
        log::debug!("[{}] {}", project.label(), failure.text);
        return;
    }
    log::warn!("[{}] sync failed: {}", project.label(), failure.text);
    project.metrics.failed(now.wall, failure.class == Class::Conflict);
    project.history.failed(now.wall, failure.text.clone());
    let kind = match failure.blocked {
        Some(Blocked::Conflict) => IssueKind::MergeConflict,
        Some(Blocked::Diverged) => IssueKind::Diverged,
        Some(Blocked::RebaseStuck) => IssueKind::RebaseStuck,
        Some(Blocked::Untrusted) => IssueKind::CloneFailed,
        None => return,
    };
    project.issues.raise(kind, LEDGER, failure.text.clone(), now.wall);
}

/// A periodic look has found that others changed something.
pub(super) fn checked(core: &mut Core, now: Now, findings: Vec<(Id, Finding)>) {
    let served = core.projects.len();
    for (id, finding) in findings {
        let Some(project) = core.projects.get_mut(&id) else { continue };
        match finding {
            Finding::Superseded => {
                log::warn!("[{}] another daemon has taken over: detached", project.label());
                core.detach(now.mono, &id, true);
            }
            Finding::Gone => {
                log::info!("[{}] {} is gone: detached", project.label(), project.root.display());
                core.detach(now.mono, &id, false);
            }
            Finding::LedgerGone => {
                log::warn!("[{}] the ledger's clone is gone; it is cloned again", project.label());
                project.schedule.trigger(now.mono);
                core.plan(now.mono, &id);
            }
        }
    }
    if core.projects.len() < served {
        core.end_if_empty("no project left");
    }
}
