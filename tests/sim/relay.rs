//! The relay: when there is a link, for whom, and when events are put into its queue.

use std::time::Duration;

use ox::daemon::parts::hooks::{self, Came};
use ox::daemon::parts::relay::{Effect as Wanted, Event, Fed, More, Off};
use ox::daemon::{Effect, FLUSH_MAX, LOOK_EVERY, RETRY_MAX, SETTLE, UNSENT_HOLD as HOLD, Via};
use ox::health::IssueKind;
use ox::ipc::wire::{RelayFlushed, RelayState, RelayStatus, decode};
use ox::ipc::{ConnId, Request};
use ox::relay::account::Account;

use super::bench::{Bench, QUICK};

const PROJECT: &str = "p";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NOTHING: Fed = Fed { new: 0, more: More::None, queued: 0 };

fn account(user: &str) -> Account {
    Account::new("https://relay.example", user)
}

/// A core with one project, and somebody logged in or not.
fn bench(relays: Result<Account, Off>) -> Bench {
    let mut bench = Bench::new();
    bench.interval = DAY * 300;
    bench.takes_events = true;
    bench.relays = relays;
    bench.restart();
    bench.attach(PROJECT, &[]);
    bench.pass(Duration::from_secs(60));
    bench
}

/// When something was wanted since the last time.
fn when(bench: &mut Bench, what: impl Fn(&Wanted) -> bool) -> Vec<Duration> {
    let all = bench.wanted.iter();
    all.filter_map(|(at, effect)| matches!(effect, Effect::Relay(one) if what(one)).then_some(*at)).collect()
}

fn feeds(bench: &mut Bench) -> Vec<Duration> {
    when(bench, |one| matches!(one, Wanted::Feed { .. }))
}

fn links(bench: &mut Bench) -> Vec<(u64, String)> {
    let of = |(_, effect): &(Duration, Effect)| match effect {
        Effect::Relay(Wanted::Open(run, account)) => Some((*run, account.user_id.clone())),
        _ => None,
    };
    bench.wanted.iter().filter_map(of).collect()
}

fn ask(bench: &mut Bench, request: Request) -> ConnId {
    bench.ask(Via::Host, request)
}

fn answer<T: serde::de::DeserializeOwned + Default>(bench: &Bench, conn: ConnId) -> T {
    let answers = bench.answers(conn);
    let [(_, response)] = answers[..] else { panic!("{} answers", answers.len()) };
    assert!(response.success, "{}", response.error);
    decode(response.data.as_ref().map(|d| d.get().as_bytes())).unwrap()
}

/// How the link stands, as it tells.
fn link(bench: &mut Bench, state: RelayState, waiting: i64, acked: i64) {
    let run = links(bench).last().unwrap().0;
    let status = RelayStatus { state, queue_events: waiting, acked_total: acked, ..RelayStatus::default() };
    bench.event(Event::Link(run, Box::new(status)));
}

#[test]
fn where_nobody_wants_it_nothing_is_done_and_nobody_is_woken() {
    let mut bench = bench(Err(Off::Disabled));
    assert_eq!(when(&mut bench, |one| *one == Wanted::Look).len(), 1);
    bench.event(hooks::Event::Taken(Came::All { new: true }));
    bench.wanted.clear();
    bench.pass(DAY);
    assert_eq!(when(&mut bench, |_| true), []);
    assert!(bench.core.published(PROJECT).unwrap().snapshot().status.as_ref().unwrap().relay.is_none());
}

#[test]
fn events_are_put_in_when_they_have_settled_and_sent_at_once() {
    let mut bench = bench(Ok(account("a")));
    assert_eq!(links(&mut bench), [(1, "a".to_owned())]);
    bench.wanted.clear();
    let at = bench.now();
    // They begin to settle when they are first looked at.
    bench.fed = Ok(Fed { new: 0, more: More::Unsettled, queued: 0 });
    bench.event(hooks::Event::Taken(Came::All { new: true }));
    bench.pass(Duration::from_millis(500));
    bench.event(hooks::Event::Taken(Came::All { new: true }));
    bench.fed = Ok(Fed { new: 3, more: More::None, queued: 3 });
    bench.pass(Duration::from_secs(60));
    assert_eq!(feeds(&mut bench), [at, at + SETTLE + QUICK]);
    assert_eq!(when(&mut bench, |one| *one == Wanted::Wake).len(), 1);
    // New ones end no wait of the link for a server that is not there.
    assert_eq!(when(&mut bench, |one| *one == Wanted::Login), []);
    // What had not settled then follows when it has.
    bench.wanted.clear();
    bench.fed = Ok(Fed { new: 1, more: More::Unsettled, queued: 1 });
    let at = bench.now();
    bench.event(hooks::Event::Taken(Came::All { new: true }));
    bench.pass(SETTLE + Duration::from_millis(100));
    bench.fed = Ok(NOTHING);
    bench.pass(DAY);
    assert_eq!(feeds(&mut bench), [at, at + SETTLE + QUICK, at + (SETTLE + QUICK) * 2]);
}

#[test]
fn a_queue_that_cannot_be_written_is_tried_again_at_growing_times() {
    let mut bench = bench(Ok(account("a")));
    bench.wanted.clear();
    bench.fed = Err("the disk is full".into());
    bench.event(hooks::Event::Taken(Came::All { new: true }));
    bench.pass(Duration::from_secs(400));
    let feeds = feeds(&mut bench);
    let waits: Vec<u64> = feeds.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    bench.fed = Ok(NOTHING);
    bench.pass(RETRY_MAX);
    bench.wanted.clear();
    bench.pass(DAY);
    assert_eq!(self::feeds(&mut bench), []);
}

#[test]
fn there_is_one_link_at_most_also_when_another_user_logs_in() {
    let mut bench = bench(Ok(account("a")));
    bench.relays = Ok(account("b"));
    let asked = ask(&mut bench, Request::RelayReload);
    bench.pass(Duration::from_secs(1));
    // The host refuses a second link before the first has ended.
    assert_eq!(links(&mut bench), [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(answer::<RelayStatus>(&bench, asked).server_url, "https://relay.example");
    // What the first one said last is not believed of the second.
    let late = RelayStatus { state: RelayState::Connected, ..RelayStatus::default() };
    bench.event(Event::Link(1, Box::new(late)));
    let asked = ask(&mut bench, Request::RelayStatus);
    bench.pass(Duration::from_secs(1));
    assert_ne!(answer::<RelayStatus>(&bench, asked).state, RelayState::Connected);
}

#[test]
fn a_stop_is_answered_when_the_link_has_ended_and_nothing_is_fed_after_it() {
    let mut bench = bench(Ok(account("a")));
    let asked = ask(&mut bench, Request::RelayStop);
    assert_eq!(bench.answers(asked).len(), 0);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.answers(asked).len(), 1);
    bench.wanted.clear();
    bench.event(hooks::Event::Taken(Came::All { new: true }));
    bench.pass(DAY);
    assert_eq!(when(&mut bench, |_| true), []);
    let asked = ask(&mut bench, Request::RelayReload);
    bench.pass(Duration::from_secs(1));
    answer::<RelayStatus>(&bench, asked);
    assert_eq!(links(&mut bench).len(), 1);
}

#[test]
fn what_was_looked_up_before_a_stop_begins_no_link_after_it() {
    let mut bench = bench(Ok(account("a")));
    bench.wanted.clear();
    let (looked, stopped) = (ask(&mut bench, Request::RelayReload), ask(&mut bench, Request::RelayStop));
    bench.pass(DAY);
    assert_eq!(links(&mut bench), []);
    assert_eq!((bench.answers(looked).len(), bench.answers(stopped).len()), (1, 1));
}

#[test]
fn a_login_is_looked_for_while_there_is_none_and_said_once() {
    let mut bench = bench(Err(Off::LoggedOut));
    assert_eq!(bench.core.issues(PROJECT), [IssueKind::RelayNeedsLogin]);
    bench.wanted.clear();
    bench.pass(LOOK_EVERY * 10);
    let looks = when(&mut bench, |one| *one == Wanted::Look);
    assert_eq!((looks.len(), looks[1] - looks[0]), (10, LOOK_EVERY + QUICK));
    bench.relays = Ok(account("a"));
    bench.pass(LOOK_EVERY * 2);
    assert_eq!(bench.core.issues(PROJECT), []);
    assert_eq!(links(&mut bench).len(), 1);
    bench.wanted.clear();
    bench.pass(DAY);
    assert_eq!(when(&mut bench, |_| true), []);
}

#[test]
fn a_login_that_the_server_refuses_and_a_full_queue_are_issues_until_they_are_not() {
    let mut bench = bench(Ok(account("a")));
    link(&mut bench, RelayState::NeedsLogin, 5, 0);
    assert_eq!(bench.core.issues(PROJECT), [IssueKind::RelayNeedsLogin]);
    link(&mut bench, RelayState::Connected, 5, 0);
    assert_eq!(bench.core.issues(PROJECT), []);
    let full = |dropped, queue_events| RelayStatus {
        state: RelayState::Backoff,
        queue_events,
        dropped_total: dropped,
        ..RelayStatus::default()
    };
    bench.event(Event::Link(1, Box::new(full(7, 5))));
    assert_eq!(bench.core.issues(PROJECT), [IssueKind::RelayQueueFull]);
    bench.event(Event::Link(1, Box::new(full(7, 0))));
    assert_eq!(bench.core.issues(PROJECT), []);
    // What was lost then is not lost again.
    bench.event(Event::Link(1, Box::new(full(7, 1))));
    assert_eq!(bench.core.issues(PROJECT), []);
}

#[test]
fn whoever_has_all_sent_is_told_when_it_is_or_how_far_it_came() {
    let mut bench = bench(Ok(account("a")));
    link(&mut bench, RelayState::Connected, 0, 40);
    bench.fed = Ok(Fed { new: 10, more: More::None, queued: 10 });
    bench.wanted.clear();
    let asked = ask(&mut bench, Request::RelayFlush);
    bench.pass(Duration::from_secs(1));
    assert!(when(&mut bench, |one| matches!(one, Wanted::Feed { all: true, .. })).len() == 1);
    let is_told = |acked, left| {
        let state = RelayState::Connected;
        RelayStatus { state, queue_events: left, acked_total: acked, ..RelayStatus::default() }
    };
    bench.event(Event::Link(1, Box::new(is_told(45, 5))));
    assert_eq!(bench.answers(asked).len(), 0);
    bench.event(Event::Link(1, Box::new(is_told(50, 0))));
    assert_eq!(answer::<RelayFlushed>(&bench, asked), RelayFlushed { sent: 10, ..RelayFlushed::default() });
    // It does not come to an end.
    let asked = ask(&mut bench, Request::RelayFlush);
    bench.pass(Duration::from_secs(1));
    let at = bench.now() - Duration::from_secs(1);
    let failing = RelayStatus { last_error: "the server does not answer".into(), ..is_told(53, 7) };
    bench.event(Event::Link(1, Box::new(failing)));
    bench.pass(FLUSH_MAX);
    assert_eq!(bench.answers(asked)[0].0, at + FLUSH_MAX);
    let done = answer::<RelayFlushed>(&bench, asked);
    assert_eq!((done.sent, done.left, done.error.as_str()), (3, 7, "the server does not answer"));
    // Nothing was there to be sent.
    bench.fed = Ok(NOTHING);
    let asked = ask(&mut bench, Request::RelayFlush);
    bench.pass(Duration::from_secs(1));
    assert_eq!(answer::<RelayFlushed>(&bench, asked).sent, 0);
    // And where it is off that is the answer.
    bench.relays = Err(Off::Disabled);
    ask(&mut bench, Request::RelayReload);
    bench.pass(Duration::from_secs(1));
    let asked = ask(&mut bench, Request::RelayFlush);
    assert!(bench.answers(asked)[0].1.error.contains("ox relay start"));
}

#[test]
fn a_link_that_fails_by_itself_is_begun_again_at_growing_times() {
    let mut bench = bench(Ok(account("a")));
    let mut at = Vec::new();
    for _ in 0..9 {
        // It lives for a moment.
        bench.pass(Duration::from_millis(10));
        at.push(bench.now());
        bench.end_link("bug");
        bench.pass(RETRY_MAX + Duration::from_secs(1));
    }
    let opened = when(&mut bench, |one| matches!(one, Wanted::Open(..)));
    let waits: Vec<u64> = opened[1..].iter().zip(&at).map(|(open, end)| (*open - *end).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn what_is_unsent_keeps_the_process_for_ten_minutes_without_a_confirmation() {
    let mut bench = Bench::new();
    (bench.interval, bench.idle_timeout) = (DAY * 300, Duration::from_secs(60));
    bench.relays = Ok(account("a"));
    bench.restart();
    bench.attach(PROJECT, &[]);
    bench.pass(Duration::from_secs(1));
    link(&mut bench, RelayState::Connected, 3, 1);
    bench.pass(HOLD - Duration::from_secs(1));
    assert_eq!(bench.core.served(), 1);
    link(&mut bench, RelayState::Connected, 2, 2);
    bench.pass(HOLD - Duration::from_secs(1));
    assert_eq!(bench.core.served(), 1);
    bench.pass(Duration::from_secs(120));
    assert_eq!(bench.core.served(), 0);
}
