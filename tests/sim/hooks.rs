//! Events of agents: when the spool is stored and transcripts are read, to the millisecond.

use std::time::Duration;

use ox::daemon::parts::hooks::{Came, Effect as Wanted, Event, Problem};
use ox::daemon::{
    Effect, IMPORT_AFTER, IMPORT_EVERY, KEEP_EVERY, LOOK_AFTER, RETRY_MAX, RETRY_MIN, TAKE_EVERY,
};
use ox::health::IssueKind;
use ox::ipc::wire::{Heartbeat, Response};
use ox::watch::HINT_EVERY;

use super::bench::Bench;

const PROJECT: &str = "p";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A core with one project, where events of agents are taken in.
fn bench(on: bool) -> Bench {
    let mut bench = Bench::new();
    bench.interval = DAY * 300;
    bench.takes_events = on;
    bench.restart();
    bench.attach(PROJECT, &[]);
    bench.pass(Duration::from_secs(60));
    bench
}

/// When something was wanted since the last time.
fn when(bench: &mut Bench, what: &Wanted) -> Vec<Duration> {
    let all = bench.wanted.iter();
    all.filter_map(|(at, effect)| matches!(effect, Effect::Hooks(one) if one == what).then_some(*at))
        .collect()
}

#[test]
fn where_nothing_is_taken_in_nothing_is_watched_and_what_was_left_is_stored() {
    let mut bench = bench(false);
    assert_eq!(when(&mut bench, &Wanted::Take).len(), 1);
    assert_eq!(when(&mut bench, &Wanted::Watch(true)), []);
    bench.heartbeat(PROJECT, &[]);
    bench.wanted.clear();
    bench.pass(DAY * 3);
    for what in [Wanted::Take, Wanted::Import, Wanted::Keep, Wanted::Look] {
        assert_eq!(when(&mut bench, &what), [], "{what:?}");
    }
}

#[test]
fn an_event_is_stored_at_once_and_many_together() {
    let mut bench = bench(true);
    assert_eq!(when(&mut bench, &Wanted::Watch(true)).len(), 1);
    bench.wanted.clear();
    bench.event(Event::Touched);
    assert_eq!(when(&mut bench, &Wanted::Take).len(), 1);
    bench.pass(Duration::from_millis(100));
    for _ in 0..10 {
        bench.event(Event::Touched);
    }
    assert_eq!(when(&mut bench, &Wanted::Take).len(), 1);
    bench.pass(Duration::from_secs(60));
    let takes = when(&mut bench, &Wanted::Take);
    assert_eq!((takes.len(), takes[1] - takes[0]), (2, TAKE_EVERY));
    // Nothing comes: nobody is woken but by the day's tidying.
    bench.wanted.clear();
    bench.pass(DAY * 3);
    assert_eq!((when(&mut bench, &Wanted::Take), when(&mut bench, &Wanted::Import)), (vec![], vec![]));
    let kept = when(&mut bench, &Wanted::Keep);
    assert_eq!((kept.len(), kept[1] - kept[0]), (3, KEEP_EVERY));
}

#[test]
fn what_follows_so_closely_that_nothing_is_told_of_it_is_stored_too() {
    let mut bench = bench(true);
    bench.pass(Duration::from_secs(60));
    bench.wanted.clear();
    // Of what comes in the next hundred milliseconds the watcher says nothing.
    bench.event(Event::Touched);
    bench.pass(Duration::from_secs(60));
    let takes = when(&mut bench, &Wanted::Take);
    assert_eq!((takes.len(), takes[1] - takes[0] > HINT_EVERY), (2, true), "{takes:?}");
    // Nor of what comes when the spool is read because of what came before.
    bench.wanted.clear();
    bench.event(Event::Touched);
    bench.pass(TAKE_EVERY - HINT_EVERY / 2);
    bench.event(Event::Touched);
    let last = bench.now();
    bench.pass(Duration::from_secs(60));
    let takes = when(&mut bench, &Wanted::Take);
    assert!(takes.last().is_some_and(|at| *at > last + HINT_EVERY), "{last:?} {takes:?}");
    // Nor where it is read in between for another reason.
    bench.wanted.clear();
    bench.event(Event::Touched);
    let last = bench.now();
    bench.pass(HINT_EVERY / 2);
    bench.event(Event::Looked(false, Vec::new()));
    bench.pass(Duration::from_secs(60));
    let takes = when(&mut bench, &Wanted::Take);
    assert!(takes.len() == 3 && takes[2] > last + HINT_EVERY, "{last:?} {takes:?}");
}

#[test]
fn what_cannot_be_stored_is_tried_again_at_growing_times() {
    let mut bench = bench(true);
    bench.wanted.clear();
    bench.taken = Came::Failed("the disk is full".into());
    bench.event(Event::Touched);
    for _ in 0..200 {
        bench.pass(Duration::from_secs(1));
        bench.event(Event::Touched);
    }
    let takes = when(&mut bench, &Wanted::Take);
    let waits: Vec<u64> = takes.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!((RETRY_MIN.as_secs(), RETRY_MAX.as_secs()), (1, 60));
    bench.taken = Came::All { new: true };
    bench.pass(RETRY_MAX);
    bench.wanted.clear();
    bench.pass(Duration::from_secs(60));
    assert_eq!(when(&mut bench, &Wanted::Take), []);
}

#[test]
fn one_look_at_a_time_so_that_the_last_one_says_how_it_is() {
    let mut bench = bench(false);
    bench.wanted.clear();
    // They are switched on while it is looked how they were.
    for _ in 0..3 {
        bench.event(Event::Answered { conn: None, response: Response::ok(), changed: true });
    }
    bench.takes_events = true;
    assert_eq!(when(&mut bench, &Wanted::Look).len(), 1);
    bench.event(Event::Looked(false, Vec::new()));
    assert_eq!(when(&mut bench, &Wanted::Look).len(), 2);
    bench.pass(Duration::from_secs(1));
    assert_eq!((when(&mut bench, &Wanted::Look).len(), when(&mut bench, &Wanted::Watch(true)).len()), (2, 1));
}

#[test]
fn what_keeps_agents_from_running_hooks_is_an_issue_of_every_project_until_a_look_finds_it_gone() {
    let mut bench = bench(true);
    assert_eq!(bench.core.issues(PROJECT), []);
    let problem = |kind, agent: &str| Problem { kind, agent: agent.into(), text: "text".into() };
    bench.hook_problems =
        vec![problem(IssueKind::HooksUntrusted, "codex"), problem(IssueKind::HooksReconcile, "claude")];
    bench.wanted.clear();
    // Events that come in are the sign to look; many are one.
    bench.taken = Came::All { new: true };
    for _ in 0..5 {
        bench.event(Event::Touched);
        bench.pass(Duration::from_secs(10));
    }
    assert_eq!(bench.core.issues(PROJECT), []);
    bench.taken = Came::All { new: false };
    bench.pass(LOOK_AFTER);
    assert_eq!(when(&mut bench, &Wanted::Look).len(), 1);
    let both = [IssueKind::HooksUntrusted, IssueKind::HooksReconcile];
    let mut issues = bench.core.issues(PROJECT);
    issues.sort();
    assert_eq!(issues, both);
    bench.hook_problems.pop();
    bench.event(Event::Answered { conn: None, response: Response::ok(), changed: true });
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.core.issues(PROJECT), [IssueKind::HooksUntrusted]);
    bench.hook_problems.clear();
    bench.pass(DAY);
    assert_eq!(bench.core.issues(PROJECT), [], "looked at every day in any case");
}

#[test]
fn transcripts_are_read_a_moment_after_somebody_was_at_work() {
    let mut bench = bench(true);
    bench.pass(Duration::from_secs(60));
    bench.wanted.clear();
    bench.taken = Came::All { new: true };
    let before = bench.now();
    for _ in 0..3 {
        bench.event(Event::Touched);
        bench.pass(Duration::from_secs(1));
    }
    bench.pass(Duration::from_secs(60));
    let imports = when(&mut bench, &Wanted::Import);
    assert_eq!(imports.len(), 1, "{imports:?}");
    let waited = imports[0] - before;
    assert!(waited >= IMPORT_AFTER && waited < IMPORT_AFTER + TAKE_EVERY, "{waited:?}");
}

#[test]
fn transcripts_are_read_as_long_as_an_agent_is_at_work_and_once_more() {
    let mut bench = bench(true);
    bench.pass(Duration::from_secs(60));
    bench.wanted.clear();
    // One that introduces itself and says nothing more.
    bench.processes.insert(10, 1);
    let beat = Heartbeat { agent_id: "OxAb12".into(), parent_pid: 10, ..Heartbeat::default() };
    bench.beat(PROJECT, beat);
    let (before, minutes) = (bench.now(), 10);
    bench.pass(Duration::from_secs(60 * minutes));
    let imports = when(&mut bench, &Wanted::Import);
    let is = |wait: Duration, wanted: Duration| wait >= wanted && wait < wanted + TAKE_EVERY;
    assert!(is(imports[0] - before, IMPORT_AFTER), "{imports:?}");
    assert!(imports.windows(2).all(|pair| is(pair[1] - pair[0], IMPORT_EVERY)), "{imports:?}");
    assert_eq!(imports.len() as u64, 60 * minutes / IMPORT_EVERY.as_secs());
    // A sign of life is not waited with.
    bench.pass(Duration::from_secs(10));
    bench.wanted.clear();
    let before = bench.now();
    bench.taken = Came::All { new: true };
    bench.event(Event::Touched);
    bench.taken = Came::All { new: false };
    bench.pass(IMPORT_EVERY - Duration::from_secs(1));
    let imports = when(&mut bench, &Wanted::Import);
    assert!(imports.len() == 1 && is(imports[0] - before, IMPORT_AFTER), "{before:?} {imports:?}");
    // It is gone: what it wrote last is read, and then nobody is woken.
    bench.processes.remove(&10);
    bench.pass(DAY);
    bench.wanted.clear();
    bench.pass(DAY);
    assert_eq!(when(&mut bench, &Wanted::Import), []);
}
