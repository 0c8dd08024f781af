//! The archive: when transcripts are looked for, to the second.

use std::time::Duration;

use ox::daemon::parts::archive::{Effect as Wanted, Looked};
use ox::daemon::{ASK_EVERY, Effect, GO_ON, LOOK_MIN, RETRY, Via};
use ox::ipc::Request;

use super::bench::Bench;

const PROJECT: &str = "p";

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 60 * 60)
}

fn done(next: Option<Duration>) -> Looked {
    Looked::Done { more: false, next }
}

/// A core with one project, where looks come to this.
fn bench(looked: &[Looked]) -> Bench {
    let mut bench = Bench::new();
    bench.interval = days(300);
    bench.looked = looked.to_vec();
    bench.attach(PROJECT, &[]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(looks(&mut bench).len(), 1, "one when it is attached");
    bench
}

/// When looks were wanted since the last time.
fn looks(bench: &mut Bench) -> Vec<Duration> {
    let looks = bench.wanted.iter().filter_map(|(at, effect)| match effect {
        Effect::Archive(Wanted::Look(..)) => Some(*at),
        _ => None,
    });
    let looks = looks.collect();
    bench.wanted.clear();
    looks
}

#[test]
fn a_look_comes_when_something_is_due_and_an_unchanged_archive_wakes_nobody() {
    let mut bench = bench(&[done(Some(days(10)))]);
    bench.pass(Duration::from_secs(60 * 60));
    assert_eq!(looks(&mut bench), []);
    // Whoever works in the project changes nothing.
    bench.heartbeat(PROJECT, &[]);
    bench.pass(days(10) - Duration::from_secs(60 * 60 + 2));
    assert_eq!(looks(&mut bench), []);
    bench.pass(Duration::from_secs(3));
    assert_eq!(looks(&mut bench).len(), 1);
    bench.pass(days(10));
    assert_eq!(looks(&mut bench).len(), 1);
}

#[test]
fn a_look_that_has_its_fill_goes_on_soon_and_one_that_fails_later() {
    let more = Looked::Done { more: true, next: Some(days(10)) };
    let failed = Looked::Failed("no room".into());
    let mut bench = bench(&[more.clone(), more, failed.clone(), failed, done(None)]);
    bench.pass(GO_ON * 2 + Duration::from_secs(1));
    assert_eq!(looks(&mut bench).len(), 2, "the second has failed");
    bench.pass(RETRY - Duration::from_secs(3));
    assert_eq!(looks(&mut bench), []);
    bench.pass(Duration::from_secs(4));
    assert_eq!(looks(&mut bench).len(), 1);
    bench.pass(RETRY);
    assert_eq!(looks(&mut bench).len(), 1);
    // No program deletes anything: nothing is waited for.
    bench.pass(days(100));
    assert_eq!(looks(&mut bench), []);
}

#[test]
fn what_is_due_at_once_again_and_again_is_looked_at_once_an_hour() {
    let mut bench = bench(&[done(Some(Duration::ZERO))]);
    bench.pass(LOOK_MIN * 3 + Duration::from_secs(10));
    assert_eq!(looks(&mut bench).len(), 3);
}

#[test]
fn where_it_is_off_nothing_is_looked_at_until_somebody_works_there() {
    let mut bench = bench(&[Looked::Off, Looked::Off, done(Some(days(1)))]);
    bench.pass(days(3));
    assert_eq!(looks(&mut bench), []);
    bench.heartbeat(PROJECT, &[]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(looks(&mut bench).len(), 1);
    bench.heartbeat(PROJECT, &[]);
    bench.pass(ASK_EVERY);
    assert_eq!(looks(&mut bench), [], "it was asked just now");
    bench.heartbeat(PROJECT, &[]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(looks(&mut bench).len(), 1, "it is on now");
    bench.heartbeat(PROJECT, &[]);
    bench.pass(days(1) - Duration::from_secs(10));
    assert_eq!(looks(&mut bench), []);
    // The project is let go of.
    bench.ask(Via::Project(PROJECT.into()), Request::Stop);
    bench.pass(days(3));
    assert_eq!(looks(&mut bench), []);
}

#[test]
fn after_a_sleep_of_the_machine_it_is_looked_what_became_due_meanwhile() {
    let mut bench = bench(&[done(Some(days(2)))]);
    bench.clock.suspend(days(9));
    bench.pass(Duration::from_secs(60));
    assert_eq!(looks(&mut bench).len(), 1);
}
