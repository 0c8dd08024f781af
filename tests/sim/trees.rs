//! Work trees in which agents are at work: when they are watched, looked into, told of and let go of.

use std::time::Duration;

use ox::daemon::parts::{trees, whispers};
use ox::daemon::{Effect, Event};
use ox::ipc::wire::Heartbeat;
use ox::kit::clock::Mono;
use ox::watch::{Change, Kind, Pulse, Reason, Report, RootId, Task};

use super::bench::{Bench, ledger_key};

const PROJECT: &str = "p";

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn beat(bench: &mut Bench, agent: &str) {
    bench.beat(PROJECT, Heartbeat { agent_id: agent.into(), ..Heartbeat::default() });
}

pub fn report(changes: &[(&str, Kind)]) -> Report {
    Report {
        found: ox::watch::ScanStatus::Scanned,
        changes: changes.iter().map(|(path, kind)| Change::new(path.as_bytes(), *kind)).collect(),
        baseline: false,
        head: None,
        head_before: None,
        short: None,
        rescan: false,
        span: None,
        took: Duration::from_millis(5),
        dirs: 3,
        unrecorded: 0,
    }
}

/// A watched tree whose first look is done.
fn watched() -> (Bench, RootId) {
    let mut bench = Bench::new();
    bench.interval = secs(36_000);
    bench.attach(PROJECT, &[]);
    bench.pass(secs(10));
    assert!(
        !bench.wanted.iter().any(|(_, e)| matches!(e, Effect::Trees(trees::Effect::Watch { .. }))),
        "nobody is at work"
    );
    beat(&mut bench, "OxAAAA");
    bench.pass(secs(1));
    let root = bench.wanted.iter().find_map(|(_, e)| match e {
        Effect::Trees(trees::Effect::Watch { root, .. }) => Some(*root),
        _ => None,
    });
    let root = root.expect("a tree is watched");
    let scan = |(_, e): &(Duration, Effect)| {
        matches!(e, Effect::Trees(trees::Effect::Scan { task: Task::Scan { add: true }, .. }))
    };
    assert!(bench.wanted.iter().any(scan));
    bench.event(Event::Trees(trees::Event::Scanned(
        root,
        Some(Box::new(Report { baseline: true, ..report(&[]) })),
    )));
    let save = |(_, e): &(Duration, Effect)| {
        matches!(e, Effect::Trees(trees::Effect::Scan { task: Task::Save, .. }))
    };
    assert!(bench.wanted.iter().any(save), "what is known is kept");
    bench.event(Event::Trees(trees::Event::Scanned(root, Some(Box::new(report(&[]))))));
    bench.pass(secs(1));
    (bench, root)
}

/// Files change, and the look at them finds that.
fn change(bench: &mut Bench, root: RootId, changes: &[(&str, Kind)]) {
    let now = Mono::ZERO + bench.now();
    bench.event(Event::Trees(trees::Event::Pulse(root, Pulse { span: (now, now), lost: None })));
    bench.pass(secs(1));
    bench.event(Event::Trees(trees::Event::Scanned(
        root,
        Some(Box::new(Report { span: Some((now, now)), ..report(changes) })),
    )));
    bench.pass(secs(1));
}

/// When changes were told, by whom and what.
fn told(bench: &Bench) -> Vec<(u64, String, String)> {
    let told = bench.wanted.iter().filter_map(|(at, e)| match e {
        Effect::Whispers(whispers::Effect::TellChanges { agents, changes, .. }) if !changes.is_empty() => {
            Some((at.as_secs(), agents.join(","), changes.text(None, &[])))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn what_changed_is_told_every_ten_minutes_while_somebody_is_at_work() {
    let (mut bench, root) = watched();
    change(&mut bench, root, &[("src/a.rs", Kind::Modified), ("src/new.rs", Kind::Created)]);
    bench.pass(secs(60));
    beat(&mut bench, "OxBBBB");
    change(&mut bench, root, &[("src/new.rs", Kind::Deleted), ("src/b.rs", Kind::Deleted)]);
    bench.pass(secs(600));
    assert_eq!(told(&bench), [(610, "OxBBBB,OxAAAA".into(), "del src/b.rs, mod src/a.rs".into())]);
    // Nothing changed: nothing is told. Then nobody is at work any more.
    bench.pass(secs(3000));
    assert_eq!(told(&bench).len(), 1);
    let let_go: Vec<u64> = bench
        .wanted
        .iter()
        .filter(|(_, e)| matches!(e, Effect::Trees(trees::Effect::Forget { root: r, .. }) if *r == root))
        .map(|(at, _)| at.as_secs())
        .collect();
    assert_eq!(let_go, [1210]);
    // The next heartbeat takes it up again, under another name.
    beat(&mut bench, "OxAAAA");
    bench.pass(secs(1));
    let roots =
        bench.wanted.iter().filter(|(_, e)| matches!(e, Effect::Trees(trees::Effect::Watch { .. }))).count();
    assert_eq!(roots, 2);
    bench.event(Event::Trees(trees::Event::Scanned(root, None)));
    bench.pass(secs(1));
}

#[test]
fn changes_count_as_told_when_a_murmur_of_them_is_kept_and_not_before() {
    let (mut bench, root) = watched();
    let saves = |bench: &Bench| {
        let save = |(_, e): &&(Duration, Effect)| {
            matches!(e, Effect::Trees(trees::Effect::Scan { task: Task::Save, .. }))
        };
        bench.wanted.iter().filter(save).count()
    };
    let before = saves(&bench);
    change(&mut bench, root, &[("src/a.rs", Kind::Modified)]);
    bench.pass(secs(610));
    let text = "mod src/a.rs".to_string();
    assert_eq!(told(&bench), [(610, "OxAAAA".into(), text.clone())]);
    assert_eq!(saves(&bench), before, "the murmur is not kept yet");
    // It never is: they are told with those that come meanwhile.
    let came = |bench: &mut Bench, told: whispers::NoteOutcome| {
        let changes = bench.wanted.iter().rev().find_map(|(_, e)| match e {
            Effect::Whispers(whispers::Effect::TellChanges { changes, .. }) => Some(changes.clone()),
            _ => None,
        });
        let (key, changes) = (ledger_key(PROJECT), changes.unwrap());
        let event = whispers::Event::ChangesTold { key, told, changes, uncommitted: true };
        bench.event(Event::Whispers(event));
    };
    came(&mut bench, whispers::NoteOutcome::Failed);
    beat(&mut bench, "OxAAAA");
    change(&mut bench, root, &[("src/b.rs", Kind::Created)]);
    bench.pass(secs(595));
    assert_eq!(told(&bench)[1..], [(1210, "OxAAAA".into(), format!("new src/b.rs, {text}"))]);
    assert_eq!(saves(&bench), before);
    came(&mut bench, whispers::NoteOutcome::Kept);
    bench.pass(secs(1));
    assert_eq!(saves(&bench), before + 1);
}

#[test]
fn while_others_believe_that_files_are_uncommitted_they_are_told_when_that_is_over() {
    let (mut bench, root) = watched();
    let asked = |bench: &Bench| -> Vec<(u64, bool)> {
        let asked = bench.wanted.iter().filter_map(|(at, e)| match e {
            Effect::Whispers(whispers::Effect::TellChanges { changes, .. }) => {
                Some((at.as_secs(), changes.is_empty()))
            }
            _ => None,
        });
        asked.collect()
    };
    let answer = |bench: &mut Bench, uncommitted: bool| {
        let (key, told, changes) = (ledger_key(PROJECT), whispers::NoteOutcome::Nothing, Box::default());
        bench.event(Event::Whispers(whispers::Event::ChangesTold { key, told, changes, uncommitted }));
    };
    let ten_minutes = |bench: &mut Bench| {
        for _ in 0..10 {
            beat(bench, "OxAAAA");
            bench.pass(secs(60));
            // What is known is saved.
            bench.event(Event::Trees(trees::Event::Scanned(root, Some(Box::new(report(&[]))))));
        }
    };
    // What an earlier process told is not known: it is asked about once.
    ten_minutes(&mut bench);
    assert_eq!(asked(&bench), [(610, true)]);
    answer(&mut bench, false);
    ten_minutes(&mut bench);
    assert_eq!(asked(&bench).len(), 1);
    change(&mut bench, root, &[("src/a.rs", Kind::Modified)]);
    ten_minutes(&mut bench);
    assert_eq!(asked(&bench)[1..], [(1810, false)]);
    answer(&mut bench, true);
    ten_minutes(&mut bench);
    assert_eq!(asked(&bench)[2..], [(2410, true)], "a commit changes no file");
    answer(&mut bench, false);
    ten_minutes(&mut bench);
    assert_eq!(asked(&bench).len(), 3);
}

#[test]
fn a_look_that_found_no_worker_is_tried_again() {
    let (mut bench, root) = watched();
    let now = Mono::ZERO + bench.now();
    bench.event(Event::Trees(trees::Event::Pulse(root, Pulse { span: (now, now), lost: None })));
    bench.pass(secs(1));
    let looks = |bench: &Bench| {
        bench.wanted.iter().filter(|(_, e)| matches!(e, Effect::Trees(trees::Effect::Scan { .. }))).count()
    };
    let before = looks(&bench);
    bench.event(Event::Trees(trees::Event::Scanned(root, None)));
    bench.pass(secs(10));
    assert!(looks(&bench) > before);
}

#[test]
fn wat_02_a_limit_is_one_issue_with_its_remedy_and_goes_with_it() {
    let (mut bench, root) = watched();
    let short = Report { short: Some(Reason::WatchLimit { limit: Some(16) }), ..report(&[]) };
    let now = Mono::ZERO + bench.now();
    bench.event(Event::Trees(trees::Event::Pulse(root, Pulse { span: (now, now), lost: None })));
    bench.pass(secs(1));
    for _ in 0..3 {
        bench.event(Event::Trees(trees::Event::Scanned(root, Some(Box::new(short.clone())))));
        bench.pass(secs(20));
    }
    let issues = bench.core.issues(PROJECT);
    assert_eq!(issues, [ox::health::IssueKind::WatchLimit]);
    assert!(Reason::WatchLimit { limit: Some(16) }.advice().contains("fs.inotify.max_user_watches"));
    for _ in 0..40 {
        bench.event(Event::Trees(trees::Event::Scanned(root, Some(Box::new(report(&[]))))));
        bench.pass(secs(20));
        beat(&mut bench, "OxAAAA");
    }
    assert_eq!(bench.core.issues(PROJECT), []);
}
