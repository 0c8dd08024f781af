//! What happens exactly when.

use std::time::Duration;

use ox::daemon::parts::records::HeartbeatFile;
use ox::daemon::parts::{clones, records};
use ox::daemon::{Effect, Event, HEARTBEATS_EVERY, Id, JobId, Key, Via};
use ox::health::IssueKind;
use ox::health::beats::Health;
use ox::ipc::Request;
use ox::ipc::wire::TriggerGcAsk;
use ox::kit::Class;
use ox::kit::gotime::GoTime;
use ox::sync::{Change, End, Outcome};

use super::bench::{Bench, QUICK, ledger_key, team_key};

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

const HOUR: Duration = secs(3600);

#[test]
fn a_team_is_pulled_as_often_for_ten_projects_as_for_one() {
    for projects in [1, 10] {
        let mut bench = Bench::new();
        for n in 0..projects {
            bench.attach(&format!("p{n}"), &["t"]);
        }
        bench.pass(HOUR);
        // Every 60 s, give or take a tenth.
        let pulls = bench.syncs(&team_key("t")).len();
        assert!((54..=67).contains(&pulls), "{projects} projects: {pulls} pulls");
    }
}

#[test]
fn what_becomes_due_at_one_instant_begins_in_order_of_its_urgency() {
    let mut bench = Bench::new();
    bench.host = Some("git.example".into());
    bench.attach("p", &["own", "a", "b", "c", "d"]);
    bench.pass(secs(30));
    // Everything fails, then the host is back: the first attempt lets all others go on at once.
    bench.sync_fails = Some(Class::Network);
    bench.pass(secs(600));
    bench.heartbeat("p", &["c"]);
    bench.pass(secs(5));
    bench.heartbeat("p", &["b"]);
    bench.sync_fails = None;
    let before = bench.wanted.len();
    bench.pass(secs(56));
    let begun = bench.wanted[before..].iter().filter_map(|(at, e)| match e {
        Effect::Clones(clones::Effect::Sync { job, .. }) => Some((*at, job.key.clone())),
        _ => None,
    });
    let begun: Vec<_> = begun.collect();
    let (_, probe) = &begun[0];
    let order =
        [ledger_key("p"), team_key("own"), team_key("b"), team_key("c"), team_key("a"), team_key("d")];
    let rest: Vec<Key> = order.into_iter().filter(|key| key != probe).collect();
    let at = begun[1].0;
    let together: Vec<Key> =
        begun[1..].iter().filter(|(t, _)| *t == at).map(|(_, key)| key.clone()).collect();
    assert_eq!(together, rest, "after {probe}");
}

/// Three checkouts that hold all slots for so long.
fn full(takes: Duration) -> Bench {
    let mut bench = Bench::new();
    bench.attach("p", &[]);
    bench.pass(secs(1));
    bench.clone_takes = takes;
    for n in 0..3 {
        bench.checkout("p", &format!("checkout-{n}"));
    }
    bench.pass(secs(1));
    bench
}

#[test]
fn a_free_slot_goes_to_the_clone_that_somebody_waits_for_then_to_the_own_one_then_to_the_one_in_use() {
    let mut bench = full(secs(100));
    let teams = ["own", "a", "asked", "b", "late"];
    bench.missing = teams.iter().map(|t| team_key(t)).collect();
    bench.says("p", &teams);
    bench.pass(secs(40));
    bench.heartbeat("p", &["b"]);
    let asked = bench.team_sync("p", "asked");
    // All of them wait by now. Those that are asked for, or used, while they wait move up.
    bench.pass(secs(30));
    let late = bench.team_sync("p", "late");
    bench.pass(HOUR);
    let begun: Vec<Key> = bench.clones().into_iter().skip(3).map(|(_, key)| key).collect();
    let order = ["asked", "late", "own"];
    assert_eq!(begun[..3], order.map(team_key));
    assert!(bench.answers(asked)[0].1.success && bench.answers(late)[0].1.success);
}

#[test]
fn waiting_in_vain_for_a_slot_is_answered_after_two_minutes_and_counts_no_attempt() {
    let mut bench = full(HOUR);
    bench.missing.insert(team_key("t"));
    bench.says("p", &["t"]);
    let asked = bench.now();
    let conn = bench.team_sync("p", "t");
    bench.pass(secs(600));
    let answers = bench.answers(conn);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0 - asked, secs(120) + QUICK * 2);
    assert!(answers[0].1.data.as_ref().unwrap().get().contains("clone semaphore timeout"));
    assert!(
        !bench.wanted.iter().any(|(_, e)| matches!(e, Effect::Clones(clones::Effect::SaveBackoff { .. })))
    );
    assert_eq!(bench.core.issues("p"), []);
    // It tries again at its own beat, and waits two minutes each time.
    let gaps: Vec<Duration> = bench.syncs(&team_key("t")).windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.iter().all(|gap| (secs(174)..=secs(187)).contains(gap)), "{gaps:?}");
}

/// Times between the end of a failed clone and the next attempt, in seconds.
fn retries(class: Class, restart_after: Option<usize>) -> Vec<Duration> {
    let mut bench = Bench::new();
    bench.interval = secs(30);
    bench.clone_fails = Some(class);
    bench.missing.insert(team_key("t"));
    bench.attach("p", &["t"]);
    for n in 0.. {
        let tries = bench.syncs(&team_key("t")).len();
        if restart_after.is_some_and(|after| tries == after) && n < 100_000 {
            bench.pass(secs(20));
            bench.restart();
            bench.pass(secs(6 * 3600));
            break;
        }
        if n > 6 * 360 {
            break;
        }
        bench.pass(secs(10));
    }
    bench.syncs(&team_key("t")).windows(2).map(|w| w[1] - w[0] - QUICK * 2).collect()
}

#[test]
fn a_failed_clone_is_tried_again_after_doubling_times_also_over_a_restart() {
    for restart in [None, Some(4)] {
        let minutes = |class, n| {
            let gaps = retries(class, restart);
            gaps[..n]
                .iter()
                .map(|d| (d.as_secs() / 60, d.as_secs() % 60, d.subsec_millis()))
                .collect::<Vec<_>>()
        };
        let exactly = |all: &[u64]| all.iter().map(|m| (*m, 0, 0)).collect::<Vec<_>>();
        assert_eq!(minutes(Class::Disk, 8), exactly(&[1, 2, 4, 8, 16, 32, 60, 60]), "{restart:?}");
        assert_eq!(minutes(Class::Auth, 6), exactly(&[1, 2, 4, 5, 5, 5]), "{restart:?}");
        assert_eq!(minutes(Class::Usage, 6), exactly(&[1, 2, 4, 5, 5, 5]), "{restart:?}");
    }
}

#[test]
fn a_team_that_its_project_names_no_longer_keeps_no_request_waiting() {
    let mut bench = Bench::new();
    bench.attach("p", &["a", "b"]);
    bench.pass(secs(1));
    bench.sync_takes = secs(20);
    let conn = bench.team_sync("p", "");
    bench.pass(secs(5));
    bench.says("p", &["a"]);
    bench.ask(Via::Project(Id::from("p")), Request::Doctor);
    bench.pass(secs(60));
    let answers = bench.answers(conn);
    assert_eq!(answers.len(), 1);
    let text = answers[0].1.data.as_ref().unwrap().get();
    assert!(text.contains("\"a\"") && text.contains("synced") && text.contains("\"b\""), "{text}");
}

#[test]
fn requests_are_begun_however_often_the_files_are_to_be_read_again() {
    let mut bench = Bench::new();
    bench.attach("p", &["a"]);
    bench.pass(secs(1));
    bench.load_takes = secs(3);
    let conn = bench.team_sync("p", "");
    for _ in 0..30 {
        bench.heartbeat("p", &["nobody"]);
        bench.pass(secs(1));
    }
    assert_eq!(bench.answers(conn).len(), 1);
}

#[test]
fn late_words_of_a_clone_that_was_let_go_of_free_no_slot() {
    let mut bench = Bench::new();
    bench.clone_takes = secs(300);
    let teams = ["a", "b", "c", "d"];
    bench.missing = teams.iter().map(|t| team_key(t)).collect();
    bench.attach("p", &["a", "b", "c"]);
    bench.pass(secs(10));
    let job = bench.wanted.iter().find_map(|(_, e)| match e {
        Effect::Clones(clones::Effect::Clone { job, .. }) if job.key == team_key("a") => Some(job.clone()),
        _ => None,
    });
    // The project drops one whose clone goes on for a while, and names another.
    bench.says("p", &["b", "c", "d"]);
    bench.pass(secs(60));
    let progress = ox::ipc::wire::Progress::new("cloning", "half");
    bench.event(Event::Clones(clones::Event::Progress { job: job.unwrap(), line: progress }));
    bench.pass(secs(10));
    assert_eq!(bench.clones().len(), 3, "a fourth clone beside three");
    bench.pass(secs(300));
    assert_eq!(bench.clones()[3].1, team_key("d"));
}

#[test]
fn the_late_end_of_an_earlier_sync_does_not_take_a_clone_out_of_the_queue() {
    let mut bench = full(secs(100));
    bench.sync_takes = secs(30);
    bench.says("p", &["t"]);
    bench.pass(secs(35));
    let at = |e: &(Duration, Effect)| matches!(&e.1, Effect::Clones(clones::Effect::Sync { job, .. }) if job.key == team_key("t"));
    let started = bench.wanted.iter().position(at);
    assert!(started.is_some(), "its first sync is in progress");
    // It is dropped and named again; its clone is gone meanwhile.
    bench.says("p", &[]);
    bench.ask(Via::Project(Id::from("p")), Request::Doctor);
    bench.pass(QUICK * 3);
    bench.missing.insert(team_key("t"));
    bench.says("p", &["t"]);
    bench.ask(Via::Project(Id::from("p")), Request::Doctor);
    bench.pass(secs(300));
    assert!(bench.clones().iter().any(|(_, key)| *key == team_key("t")), "it was forgotten in the queue");
}

#[test]
fn an_attempt_that_turns_into_a_clone_keeps_no_neighbour_waiting() {
    let mut bench = Bench::new();
    bench.host = Some("git.example".into());
    bench.sync_fails = Some(Class::Network);
    bench.clone_fails = Some(Class::Network);
    bench.clone_takes = secs(600);
    bench.missing.insert(team_key("a"));
    bench.attach("p", &["a"]);
    bench.pass(secs(3600));
    // Back: the ledger is level within a minute, although the team is being cloned for ten.
    (bench.sync_fails, bench.clone_fails) = (None, None);
    let back = bench.now();
    bench.pass(secs(120));
    let next = bench.syncs(&ledger_key("p")).into_iter().find(|at| *at >= back);
    assert!(next.is_some_and(|at| at - back <= secs(60)), "{:?}", next.map(|at| at - back));
}

#[test]
fn whoever_waits_hears_something_every_ten_seconds_although_others_join() {
    let mut bench = Bench::new();
    bench.attach("p", &[]);
    bench.pass(secs(1));
    bench.sync_takes = secs(60);
    let first = bench.ask(Via::Project(Id::from("p")), Request::Sync);
    for _ in 0..6 {
        bench.pass(secs(9));
        bench.ask(Via::Project(Id::from("p")), Request::Sync);
    }
    bench.pass(secs(20));
    let mut last = secs(1);
    for at in bench.lines(first) {
        assert!(at - last <= secs(10), "nothing from {last:?} to {at:?}");
        last = at;
    }
    assert_eq!(bench.answers(first).len(), 1);
}

#[test]
fn a_network_failure_raises_no_issue_and_counts_no_attempt() {
    let mut bench = Bench::new();
    bench.host = Some("git.example".into());
    bench.attach("p", &["t"]);
    bench.pass(secs(1));
    bench.sync_fails = Some(Class::Network);
    bench.pass(HOUR * 24);
    assert_eq!(bench.core.issues("p"), []);
    assert!(
        !bench.wanted.iter().any(|(_, e)| matches!(e, Effect::Clones(clones::Effect::SaveBackoff { .. })))
    );
    bench.sync_fails = Some(Class::Disk);
    bench.pass(secs(120));
    assert_eq!(bench.core.issues("p"), [IssueKind::SyncBackoff, IssueKind::SyncBackoff]);
    bench.sync_fails = None;
    bench.pass(HOUR);
    assert_eq!(bench.core.issues("p"), []);
}

#[test]
fn a_clone_that_comes_after_its_team_was_let_go_of_is_no_longer_its_business() {
    let mut bench = Bench::new();
    bench.clone_takes = secs(30);
    bench.missing.insert(team_key("t"));
    bench.attach("p", &["t"]);
    bench.pass(secs(10));
    bench.says("p", &[]);
    bench.pass(secs(40));
    assert_eq!(bench.core.clones().collect::<Vec<_>>(), [&ledger_key("p")]);
    // An end that nobody asked for changes nothing either.
    let end = End::UpToDate(Change::default());
    let outcome = Outcome { place: None, facts: None, end, took: QUICK };
    bench.event(Event::Clones(clones::Event::Cloned { job: JobId { key: team_key("t"), run: 77 }, outcome }));
    assert_eq!(bench.core.clones().count(), 1);
}

#[test]
fn a_slimming_that_is_asked_for_while_a_clone_waits_for_its_slot_does_not_take_that_slot() {
    let mut bench = full(secs(100));
    bench.missing.insert(ledger_key("p"));
    let sync = bench.ask(Via::Project(Id::from("p")), Request::Sync);
    bench.pass(secs(10));
    let ask = Request::TriggerGc(TriggerGcAsk { progress: true });
    let slim = bench.ask(Via::Project(Id::from("p")), ask);
    bench.pass(HOUR);
    let at = |wanted: fn(&Effect) -> Option<&Key>| {
        bench.wanted.iter().position(|(_, e)| wanted(e).is_some_and(|key| *key == ledger_key("p")))
    };
    let cloned =
        at(|e| if let Effect::Clones(clones::Effect::Clone { job, .. }) = e { Some(&job.key) } else { None });
    let slimmed =
        at(|e| if let Effect::Clones(clones::Effect::Gc { job, .. }) = e { Some(&job.key) } else { None });
    assert!(cloned.is_some() && slimmed > cloned, "cloned {cloned:?}, slimmed {slimmed:?}");
    assert!(bench.answers(sync)[0].1.success);
    assert_eq!(bench.answers(slim).len(), 1);
    let lines = bench.lines(slim);
    assert!(lines.windows(2).all(|w| w[1] - w[0] <= secs(10)), "{lines:?}");
}

#[test]
fn heartbeat_files_are_written_at_the_start_when_the_first_sync_has_ended_and_every_five_minutes() {
    let mut bench = Bench::new();
    bench.sync_takes = Duration::from_secs(7);
    bench.attach("p", &["t"]);
    bench.pass(Duration::from_secs(601));
    let written = bench.wanted.iter().filter_map(|(at, e)| match e {
        Effect::Records(records::Effect::WriteHeartbeats { repo_id, slug, lines, .. }) => {
            assert_eq!((repo_id.as_str(), slug.as_str()), ("repo_p", "local"));
            let (files, lines): (Vec<_>, Vec<_>) = lines.iter().cloned().unzip();
            Some((*at, files, lines))
        }
        _ => None,
    });
    let written: Vec<_> = written.collect();
    let all = vec![HeartbeatFile::Project, HeartbeatFile::Ledger, HeartbeatFile::Team("t".into())];
    assert_eq!(written.len(), 4, "{written:?}");
    let (at, first) = (written[0].0, &written[0].2[0]);
    assert_eq!(
        (first.status, first.version.as_str(), first.last_sync),
        (Health::Starting, "0.6.1", GoTime(None))
    );
    assert!(at < Duration::from_secs(1));
    // The ledger's first sync began within half a second and took seven.
    let (ended, second) = (written[1].0, &written[1].2[0]);
    assert_eq!(ended, bench.syncs(&Key::Ledger(Id::from("p")))[0] + bench.sync_takes);
    assert_eq!((second.status, second.last_sync), (Health::Healthy, second.ts));
    for (n, (at, files, lines)) in written[2..].iter().enumerate() {
        assert_eq!((*at, files), (HEARTBEATS_EVERY * (u32::try_from(n).unwrap() + 1), &all));
        assert!(lines.iter().all(|l| l.status == Health::Healthy && l.error_count == 0));
    }
}
