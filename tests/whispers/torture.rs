//! Two machines, twenty agents, many murmurs, while daemons pause, restart and are killed.

use std::collections::{BTreeMap, BTreeSet};

use ox::ipc::wire::WhispersAsk;
use ox::kit::rng::Rng;

use crate::support::comes;
use crate::support::seed::{self, rounds};
use crate::whispers::machine::Machine;

/// What an agent has got, and how often.
type Got = BTreeMap<String, u32>;

fn agents(machine: usize) -> Vec<String> {
    (0..10).map(|n| format!("Ox{machine}A{n:02}")).collect()
}

/// All that waits for every agent of a machine is taken; critical ones come first in each answer.
fn take(machine: &Machine, agents: &[String], got: &mut BTreeMap<String, Got>) -> usize {
    let mut taken = 0;
    for agent in agents {
        let ask = WhispersAsk {
            agent_id: agent.clone(),
            attention: "all".into(),
            budget: 4096,
            ..WhispersAsk::default()
        };
        let Some(answer) = machine.asks(&ask) else { continue };
        let ranks: Vec<&str> = answer.entries.iter().map(|e| e.importance.as_str()).collect();
        let order =
            |importance: &&str| ["critical", "normal", "ambient"].iter().position(|i| i == importance);
        assert!(ranks.is_sorted_by_key(order), "{ranks:?}");
        for entry in answer.entries.iter().filter(|e| e.source == "murmur") {
            assert_ne!(&entry.agent_id, agent, "{} was given to its author", entry.content);
            *got.entry(agent.clone()).or_default().entry(entry.id.clone()).or_default() += 1;
            taken += 1;
        }
    }
    taken
}

#[test]
fn every_murmur_reaches_every_agent_through_restarts_and_crashes() {
    seed::with("whispers::torture::every_murmur", seed::fresh(), torture);
}

fn torture(seed: u64) {
    let (murmurs, upsets) = rounds((300, 4), (10_000, 40));
    let mut rng = Rng::new(seed);
    let a = Machine::first();
    let machines = [Machine::beside(&a), a];
    let agents = [agents(0), agents(1)];
    let mut got: BTreeMap<String, Got> = BTreeMap::new();
    for (machine, agents) in machines.iter().zip(&agents) {
        take(machine, agents, &mut got);
    }
    let mut said: BTreeSet<(String, String)> = BTreeSet::new();
    let mut crashes = 0;
    for n in 0..murmurs {
        let at = rng.below(2) as usize;
        let author = &agents[at][rng.below(10) as usize];
        let importance = ["critical", "normal", "ambient"][rng.below(3) as usize];
        let murmur = machines[at].murmur(author, importance, &format!("{n} of {author}"));
        machines[at].says(&murmur);
        said.insert((murmur.id, author.clone()));
        if rng.chance(8) {
            let at = rng.below(2) as usize;
            take(&machines[at], &agents[at], &mut got);
        }
        if n % (murmurs / upsets) == murmurs / upsets / 2 {
            let at = rng.below(2) as usize;
            if rng.chance(60) {
                crashes += 1;
                machines[at].crashes();
            } else {
                machines[at].restarts();
            }
        }
    }
    let everybody = || agents.iter().flatten();
    let wanted = |agent: &str| said.iter().filter(|(_, author)| author != agent).count();
    let done = |got: &BTreeMap<String, Got>| {
        everybody().all(|agent| got.get(agent).map_or(0, BTreeMap::len) == wanted(agent))
    };
    // As long as something comes it goes on.
    let all = |got: &mut BTreeMap<String, Got>| -> usize {
        machines.iter().zip(&agents).map(|(machine, agents)| take(machine, agents, got)).sum()
    };
    while !done(&got) && comes(|| all(&mut got) > 0) {}
    for agent in everybody() {
        let mine = got.remove(agent).unwrap_or_default();
        let missing: Vec<_> =
            said.iter().filter(|(id, author)| author != agent && !mine.contains_key(id)).take(5).collect();
        assert!(
            missing.is_empty(),
            "{agent} misses {missing:?}\n{}\n{}",
            machines[0].log(),
            machines[1].log()
        );
        let twice = mine.values().filter(|n| **n > 1).count();
        assert!(
            mine.values().all(|n| *n as usize <= 1 + crashes),
            "{agent}: more often than there were crashes"
        );
        assert!(crashes > 0 || twice == 0, "{agent} got {twice} twice without a crash");
    }
}
