//! When the core wants murmurs taken in, agents reminded and places written down: to the millisecond.

use std::path::PathBuf;
use std::time::Duration;

use ox::daemon::parts::{clones, whispers};
use ox::daemon::{Effect, Event, Id, Via};
use ox::ipc::Request;
use ox::ipc::wire::{AgentRef, Heartbeat, Murmur, WhispersAsk};
use ox::sync::Change;

use super::bench::{Bench, ledger_key, team_key};

const PROJECT: &str = "p";

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn beat(bench: &mut Bench, agent: &str) {
    bench.beat(PROJECT, Heartbeat { agent_id: agent.into(), ..Heartbeat::default() });
}

fn via() -> Via {
    Via::Project(Id::from(PROJECT))
}

/// When effects of one kind were wanted, in seconds.
fn when(bench: &Bench, wanted: impl Fn(&Effect) -> bool) -> Vec<u64> {
    bench.wanted.iter().filter(|(_, e)| wanted(e)).map(|(at, _)| at.as_secs()).collect()
}

#[test]
fn agents_at_work_are_looked_at_every_minute_and_reminded_no_more_when_they_are_silent() {
    let mut bench = Bench::new();
    bench.interval = secs(3600);
    bench.attach(PROJECT, &[]);
    bench.pass(secs(10));
    let nudges =
        |bench: &Bench| when(bench, |e| matches!(e, Effect::Whispers(whispers::Effect::Nudge { .. })));
    bench.pass(secs(590));
    assert_eq!(nudges(&bench), Vec::<u64>::new(), "nobody is at work");
    for _ in 0..3 {
        beat(&mut bench, "OxAAAA");
        bench.pass(secs(60));
    }
    bench.pass(secs(3000));
    // From 600 on, until five minutes after the last heartbeat at 720.
    assert_eq!(nudges(&bench), (660..=1020).step_by(60).collect::<Vec<_>>());
    beat(&mut bench, "OxAAAA");
    bench.pass(secs(61));
    assert_eq!(nudges(&bench).last(), Some(&3840));
    let named = bench.wanted.iter().rev().find_map(|(_, e)| match e {
        Effect::Whispers(whispers::Effect::Nudge { agents, .. }) => Some(agents.clone()),
        _ => None,
    });
    let named = named.unwrap();
    assert_eq!((named.len(), named[0].agent.as_str(), named[0].beats), (1, "OxAAAA", 1));
}

#[test]
fn who_is_at_work_is_said_every_half_hour_while_anybody_is() {
    let mut bench = Bench::new();
    bench.interval = secs(36_000);
    bench.attach(PROJECT, &[]);
    bench.pass(secs(10));
    for minute in 0..70 {
        beat(&mut bench, "OxAAAA");
        if minute < 40 {
            beat(&mut bench, "OxBBBB");
        }
        bench.pass(secs(60));
    }
    bench.pass(secs(36_000));
    let said: Vec<(u64, String)> = bench
        .wanted
        .iter()
        .filter_map(|(at, e)| match e {
            Effect::Whispers(whispers::Effect::TellActivity { text, .. }) => {
                Some((at.as_secs(), text.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(said[0], (1810, "2 agents are at work; the ledger was synced 30 min ago".into()));
    assert_eq!(said[1], (3610, "1 agent is at work; the ledger was synced 60 min ago".into()));
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn murmurs_are_taken_in_at_the_first_sync_and_whenever_commits_moved() {
    let mut bench = Bench::new();
    bench.attach(PROJECT, &["own"]);
    bench.pass(secs(600));
    let relays = |bench: &Bench, key| {
        when(bench, |e| matches!(e, Effect::Whispers(whispers::Effect::Relay { key: k, .. }) if *k == key))
            .len()
    };
    assert_eq!((relays(&bench, ledger_key(PROJECT)), relays(&bench, team_key("own"))), (1, 1));
    bench.change = Change { pulled: true, ..Change::default() };
    bench.pass(secs(60));
    bench.change = Change::default();
    let after = relays(&bench, ledger_key(PROJECT));
    assert_eq!(after, 2);
    bench.pass(secs(600));
    assert_eq!(relays(&bench, ledger_key(PROJECT)), after);
    // One that did not get all is done again after the next sync.
    let failed = Some("c0ffee".to_string());
    bench.event(Event::Whispers(whispers::Event::Relayed { key: ledger_key(PROJECT), failed }));
    bench.pass(secs(70));
    assert_eq!(relays(&bench, ledger_key(PROJECT)), after + 1);
    // What was taken out since the relay that failed is taken back.
    let since = bench.wanted.iter().rev().find_map(|(_, e)| match e {
        Effect::Whispers(whispers::Effect::Relay { key, relay }) if *key == ledger_key(PROJECT) => {
            Some(relay.removed_since.clone())
        }
        _ => None,
    });
    assert_eq!(since.as_deref(), Some("c0ffee"));
}

#[test]
fn a_murmur_goes_only_into_the_projects_own_clones_and_a_sync_follows_at_once() {
    let mut bench = Bench::new();
    bench.interval = secs(3600);
    bench.attach(PROJECT, &["own"]);
    bench.pass(secs(60));
    for target in ["/", "/clones", "/clones/team local/own/..", "/clones/ledger of q", ""] {
        bench
            .ask(via(), Request::Murmur(Box::new(Murmur { target_dir: target.into(), ..Murmur::default() })));
    }
    bench.pass(secs(1));
    assert!(when(&bench, |e| matches!(e, Effect::Whispers(whispers::Effect::Murmur { .. }))).is_empty());
    let target_dir = format!("/clones/./{}", ledger_key(PROJECT));
    bench.ask(via(), Request::Murmur(Box::new(Murmur { target_dir, ..Murmur::default() })));
    bench.pass(secs(1));
    let state = bench.wanted.iter().find_map(|(_, e)| match e {
        Effect::Whispers(whispers::Effect::Murmur { key, state, .. }) => Some((key.clone(), state.clone())),
        _ => None,
    });
    let key = ledger_key(PROJECT);
    assert_eq!(state, Some((key.clone(), PathBuf::from(format!("/state/{key}")))));
    let begun = bench.now();
    bench.event(Event::Whispers(whispers::Event::Murmured(key.clone())));
    bench.pass(secs(10));
    let synced = bench.wanted.iter().filter_map(|(at, e)| match e {
        Effect::Clones(clones::Effect::Sync { job, .. }) if job.key == key && *at > begun => {
            Some(*at - begun)
        }
        _ => None,
    });
    assert_eq!(synced.collect::<Vec<_>>(), [Duration::from_millis(500)]);
}

#[test]
fn an_agent_is_asked_for_by_its_repository_and_places_are_written_down_soon_and_together() {
    let mut bench = Bench::new();
    bench.interval = secs(3600);
    bench.attach(PROJECT, &["own"]);
    bench.pass(secs(60));
    let ask = WhispersAsk { agent_id: "OxAAAA".into(), ..WhispersAsk::default() };
    bench.ask(via(), Request::Whispers(ask));
    bench.ask(via(), Request::MurmurPause(AgentRef { agent_id: "OxAAAA".into() }));
    bench.ask(via(), Request::MurmurPause(AgentRef::default()));
    bench.pass(secs(1));
    let asked = bench.wanted.iter().find_map(|(_, e)| match e {
        Effect::Whispers(whispers::Effect::Pending { states, ask, .. }) => {
            Some((states.clone(), ask.key.clone()))
        }
        _ => None,
    });
    let state = |key| PathBuf::from(format!("/state/{key}"));
    assert_eq!(
        asked,
        Some((vec![state(ledger_key(PROJECT)), state(team_key("own"))], "repo_p:OxAAAA".into()))
    );
    assert_eq!(
        when(&bench, |e| matches!(e, Effect::Whispers(whispers::Effect::PauseNudges { .. }))).len(),
        1
    );
    let begun = bench.now();
    for _ in 0..3 {
        bench.event(Event::Whispers(whispers::Event::Delivered {
            id: Id::from(PROJECT),
            agent: "OxAAAA".into(),
            any: true,
        }));
    }
    bench.pass(secs(5));
    let written = bench
        .wanted
        .iter()
        .filter(|(at, e)| *at >= begun && matches!(e, Effect::Whispers(whispers::Effect::WritePlaces)))
        .map(|(at, _)| *at - begun);
    assert_eq!(written.collect::<Vec<_>>(), [Duration::from_millis(200)]);
}
