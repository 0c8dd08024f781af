//! Agents at work: who is there, who is silent, whose process has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use ox::daemon::{Effect, GRACE, Handover, Id, Via};
use ox::ipc::Request;
use ox::ipc::wire::{Heartbeat, InstanceInfo, Instances, InstancesAsk, Sessions};
use ox::kit::rng::Rng;

use super::bench::{Bench, QUICK};
use crate::support::seed::rounds;

const PROJECT: &str = "00000001";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn with_project() -> Bench {
    let mut bench = Bench::new();
    bench.attach(PROJECT, &[]);
    bench.pass(SECOND);
    bench
}

fn beat(bench: &mut Bench, agent: &str, pid: u32) {
    let parent_pid = i64::from(pid);
    let beat = Heartbeat { agent_id: agent.into(), parent_pid, ..Heartbeat::default() };
    bench.beat(PROJECT, beat);
}

fn instances(bench: &mut Bench) -> BTreeMap<String, InstanceInfo> {
    let all: Instances = bench.answer(PROJECT, Request::Instances(InstancesAsk::default()));
    all.instances.into_iter().map(|i| (i.agent_id.clone(), i)).collect()
}

fn statuses(bench: &mut Bench) -> Vec<String> {
    instances(bench).values().map(|i| format!("{} {}", i.agent_id, i.status)).collect()
}

#[test]
fn an_agent_is_active_idle_exited_and_gone_at_exact_times() {
    let mut bench = with_project();
    bench.processes.extend([(10, 1), (11, 2)]);
    beat(&mut bench, "OxLive", 10);
    beat(&mut bench, "OxDead", 11);
    beat(&mut bench, "OxNone", 0);
    bench.processes.remove(&11);
    let all = |s: [&str; 3]| {
        vec![format!("OxDead {}", s[0]), format!("OxLive {}", s[1]), format!("OxNone {}", s[2])]
    };
    let mut passed = Duration::ZERO;
    let mut check = |bench: &mut Bench, at: Duration, expected: Vec<String>| {
        bench.pass(at - passed);
        passed = at;
        assert_eq!(statuses(bench), expected, "after {at:?}");
    };
    check(&mut bench, 5 * MINUTE, all(["active", "active", "active"]));
    check(&mut bench, 5 * MINUTE + NANO, all(["exited", "idle", "idle"]));
    check(&mut bench, 15 * MINUTE, all(["exited", "idle", "idle"]));
    check(&mut bench, 15 * MINUTE + NANO, vec!["OxLive idle".into()]);
    check(&mut bench, 1440 * MINUTE - NANO, vec!["OxLive idle".into()]);
    check(&mut bench, 1440 * MINUTE, Vec::new());
    bench.pass(MINUTE);
    let sessions: Sessions = bench.answer(PROJECT, Request::Sessions);
    assert!(sessions.sessions.is_empty());
}

#[test]
fn sessions_go_by_silence_alone() {
    let mut bench = with_project();
    bench.processes.insert(10, 1);
    beat(&mut bench, "OxLive", 10);
    bench.pass(5 * MINUTE + NANO);
    beat(&mut bench, "OxNone", 0);
    let sessions: Sessions = bench.answer(PROJECT, Request::Sessions);
    let all: Vec<_> = sessions.sessions.iter().map(|s| (s.agent_id.as_str(), s.status.as_str())).collect();
    assert_eq!(all, [("OxNone", "active"), ("OxLive", "idle")]);
}

#[test]
fn a_process_that_ends_is_noticed_within_thirty_seconds_also_if_another_gets_its_number() {
    for reused in [false, true] {
        let mut bench = with_project();
        bench.processes.insert(10, 1);
        beat(&mut bench, "OxAAAA", 10);
        bench.pass(6 * MINUTE + 7 * SECOND);
        assert_eq!(statuses(&mut bench), ["OxAAAA idle"]);
        if reused {
            bench.processes.insert(10, 2);
        } else {
            bench.processes.remove(&10);
        }
        bench.pass(30 * SECOND + QUICK);
        assert_eq!(statuses(&mut bench), ["OxAAAA exited"], "{reused}");
        // It is heard of again: a new process.
        bench.processes.insert(10, 3);
        beat(&mut bench, "OxAAAA", 10);
        bench.pass(14 * MINUTE);
        assert_eq!(statuses(&mut bench), ["OxAAAA idle"]);
    }
}

#[test]
fn a_process_named_by_a_heartbeat_is_looked_at_at_once() {
    let mut bench = with_project();
    beat(&mut bench, "OxAAAA", 10);
    bench.pass(20 * SECOND);
    bench.processes.insert(11, 1);
    beat(&mut bench, "OxBBBB", 11);
    bench.pass(SECOND + QUICK);
    // Another process gets the number within the half minute.
    bench.processes.insert(11, 2);
    bench.pass(6 * MINUTE);
    assert_eq!(statuses(&mut bench), ["OxAAAA exited", "OxBBBB exited"]);
}

#[test]
fn without_agents_nothing_is_looked_at() {
    let mut bench = with_project();
    bench.pass(10 * MINUTE);
    let looks = |b: &Bench| b.wanted.iter().filter(|(_, e)| matches!(e, Effect::Presence(_))).count();
    assert_eq!(looks(&bench), 0);
    beat(&mut bench, "OxAAAA", 0);
    bench.pass(60 * MINUTE);
    assert_eq!(looks(&bench), 0);
    assert!(instances(&mut bench).is_empty());
}

const NEWER: &str = "0.6.1+rs.0.2.0";

fn called(bench: &mut Bench, version: &str) {
    bench.beat(PROJECT, Heartbeat { cli_version: version.into(), ..Heartbeat::default() });
}

fn made_way(bench: &Bench) -> Option<(Duration, Handover)> {
    bench.wanted.iter().find_map(|(at, e)| match e {
        Effect::Exit { again } => Some((*at, again.clone().expect("it runs anew"))),
        _ => None,
    })
}

#[test]
fn ipc_09_only_a_newer_command_of_ours_has_the_daemon_make_way() {
    let mut bench = with_project();
    for version in ["", "0.7.0", "0.6.1+rs.0.1.0", "0.6.1+rs.0.0.9", "0.6.1+2030-01-01T00:00:00Z"] {
        called(&mut bench, version);
    }
    bench.pass(60 * MINUTE);
    assert!(made_way(&bench).is_none());
    called(&mut bench, NEWER);
    let asked = bench.now();
    bench.pass(60 * MINUTE);
    let (at, passed) = made_way(&bench).unwrap();
    assert_eq!((at, passed.version.as_str()), (asked + SECOND, NEWER));
}

#[test]
fn the_newer_command_itself_is_served_first() {
    let mut bench = with_project();
    bench.sync_takes = 5 * SECOND;
    called(&mut bench, NEWER);
    // Its request comes behind its heartbeat.
    let asked = bench.ask(Via::Project(Id::from(PROJECT)), Request::Sync);
    bench.pass(4 * SECOND);
    assert!(made_way(&bench).is_none());
    bench.pass(MINUTE);
    assert!(made_way(&bench).is_some());
    assert!(!bench.open.contains_key(&asked), "it was answered");
}

#[test]
fn ipc_09_it_makes_way_at_most_once_in_ten_minutes_and_once_for_a_version() {
    let mut bench = with_project();
    called(&mut bench, NEWER);
    bench.pass(SECOND);
    let (_, passed) = made_way(&bench).unwrap();
    // The program at its path is still the old one.
    bench.wanted.clear();
    bench.restart_with(passed);
    bench.pass(SECOND);
    called(&mut bench, "0.6.1+rs.0.3.0");
    bench.pass(9 * MINUTE);
    called(&mut bench, "0.6.1+rs.0.3.0");
    assert!(made_way(&bench).is_none());
    bench.pass(MINUTE);
    called(&mut bench, NEWER);
    assert!(made_way(&bench).is_none());
    called(&mut bench, "0.6.1+rs.0.3.0");
    bench.pass(SECOND);
    assert!(made_way(&bench).is_some());
}

#[test]
fn work_in_progress_is_waited_for_but_not_for_ever() {
    for (takes, within) in [(40 * SECOND, MINUTE + 10 * SECOND), (60 * MINUTE, GRACE + 30 * SECOND)] {
        let mut bench = with_project();
        bench.sync_takes = takes;
        bench.ask(Via::Project(Id::from(PROJECT)), Request::Sync);
        let asked = bench.now();
        called(&mut bench, NEWER);
        bench.pass(takes.min(GRACE) - SECOND);
        assert!(made_way(&bench).is_none());
        bench.pass(2 * MINUTE);
        let (at, _) = made_way(&bench).unwrap();
        assert!(at - asked <= within, "{:?}", at - asked);
    }
}

#[test]
fn two_thousand_agents_with_long_paths_fit_into_one_answer_and_the_oldest_give_way() {
    let mut bench = with_project();
    let path = format!("/{}", "\u{1}".repeat(200));
    for n in 0..2_100 {
        let agent_id = format!("Ox{n:04}");
        bench.beat(PROJECT, Heartbeat { agent_id, caller_path: path.clone(), ..Heartbeat::default() });
        bench.pass(QUICK);
    }
    let conn = bench.ask(Via::Project(Id::from(PROJECT)), Request::Instances(InstancesAsk::default()));
    let (_, response) = bench.answers(conn)[0];
    let mut line = Vec::new();
    response.write_line(&mut line);
    assert!(line.len() < 1 << 20, "{} bytes", line.len());
    let all: Instances = ox::ipc::wire::decode(response.data.as_ref().map(|d| d.get().as_bytes())).unwrap();
    assert!(all.instances.len() > 500, "{}", all.instances.len());
    let newest = (0..all.instances.len()).map(|n| format!("Ox{:04}", 2_099 - n));
    assert!(all.instances.iter().map(|i| i.agent_id.clone()).eq(newest));
    let sessions: Sessions = bench.answer(PROJECT, Request::Sessions);
    assert!(sessions.sessions.len() > 500);
}

/// What an agent has told, as the test knows it.
#[derive(Default)]
struct Model {
    path: String,
    kind: &'static str,
    tokens: i64,
    commands: i64,
    pid: u32,
    last: Duration,
}

#[test]
fn many_agents_in_twenty_work_trees_for_a_day_stay_apart_and_take_no_more_room() {
    // At once; over the day each is followed by others.
    let agents: u32 = rounds(50, 1_000);
    let mut bench = with_project();
    let mut rng = Rng::new(7);
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    let mut size = 0;
    for minute in 0..24 * 60_u32 {
        for n in 0..agents {
            // Each works for a stretch of hours, and then another comes in its place.
            let generation = (minute + n) / 240;
            if rng.below(3) == 0 {
                continue;
            }
            let agent = format!("Ox{:04x}", n * 7 + generation);
            let pid = 10_000 + n * 7 + generation;
            bench.processes.entry(pid).or_insert(u64::from(minute) + 1);
            let model = models.entry(agent.clone()).or_insert_with(|| Model {
                path: format!("/w/tree-{}", n % 20),
                kind: if n % 2 == 0 { "claude-code" } else { "codex" },
                pid,
                ..Model::default()
            });
            let tokens = i64::try_from(rng.below(3)).unwrap();
            model.tokens += tokens;
            model.commands += i64::from(tokens > 0);
            model.last = bench.now();
            bench.beat(
                PROJECT,
                Heartbeat {
                    caller_path: model.path.clone(),
                    agent_id: agent,
                    agent_type: model.kind.into(),
                    parent_pid: i64::from(pid),
                    context_tokens: tokens,
                    command_name: format!("command {}", rng.below(50)),
                    ..Heartbeat::default()
                },
            );
        }
        bench.pass(MINUTE);
        if minute == 300 {
            size = bench.core.size();
        }
        if minute % 240 == 239 {
            // Those whose turn is over end.
            let living = |m: &Model| bench.now() - m.last < 30 * MINUTE;
            let ended: Vec<u32> = models.values().filter(|m| !living(m)).map(|m| m.pid).collect();
            for pid in ended {
                bench.processes.remove(&pid);
            }
            bench.pass(31 * SECOND);
            let seen = instances(&mut bench);
            assert!(seen.len() >= agents as usize, "{}", seen.len());
            for (id, model) in &models {
                let silent = bench.now() - model.last;
                let gone = silent > 15 * MINUTE && !bench.processes.contains_key(&model.pid);
                assert_eq!(seen.contains_key(id), !gone, "{id} after {silent:?}");
                let Some(info) = seen.get(id) else { continue };
                assert_eq!(info.workspace_path, model.path);
                assert_eq!((info.agent_type.as_str(), info.parent_pid), (model.kind, i64::from(model.pid)));
                assert_eq!(
                    (info.cumulative_context_tokens, info.command_count),
                    (model.tokens, model.commands)
                );
            }
        }
    }
    assert!(
        bench.core.size() <= size + agents as usize,
        "{} entries after a day, {size} after five hours",
        bench.core.size()
    );
}
