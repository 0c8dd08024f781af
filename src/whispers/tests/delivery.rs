//! Who gets what, in which order, how often.

use super::*;

#[test]
fn each_gets_what_others_say_once_and_nobody_hears_itself() {
    let mut desk = Desk::new();
    for agent in ["OxAAAA", "OxBBBB", "OxCCCC"] {
        desk.says(agent, "normal", agent);
    }
    for agent in ["OxAAAA", "OxBBBB", "OxCCCC"] {
        let mut others = vec!["OxAAAA", "OxBBBB", "OxCCCC"];
        others.retain(|other| *other != agent);
        assert_eq!(desk.gets(agent), others, "{agent}");
        assert_eq!(desk.gets(agent), Vec::<String>::new(), "{agent} again");
    }
}

#[test]
fn wat_08_what_is_critical_comes_first_and_what_does_not_fit_waits() {
    let mut desk = Desk::new();
    desk.gets("OxBBBB");
    for n in 0..20 {
        desk.says("OxAAAA", "normal", &format!("n{n:02} {}", "x".repeat(100)));
        desk.pass(1);
    }
    desk.says("OxAAAA", "critical", "c0");
    desk.pass(1);
    desk.says("OxAAAA", "critical", "c1");
    let ask = Ask { budget: Some(1000), ..Desk::ask("OxBBBB") };
    let first = desk.gets_of(&["ledger"], &ask);
    assert_eq!(first[..3].iter().map(|t| &t[..2]).collect::<Vec<_>>(), ["c0", "c1", "n0"]);
    let mut all: Vec<String> = first.clone();
    while let more @ [_, ..] = desk.gets_of(&["ledger"], &ask).as_slice() {
        assert!(more.len() <= 6, "{}", more.len());
        all.extend(more.iter().cloned());
    }
    assert_eq!(all.len(), 22);
    let normal: Vec<&str> = all[2..].iter().map(|t| &t[..3]).collect();
    let expected: Vec<String> = (0..20).map(|n| format!("n{n:02}")).collect();
    assert_eq!(normal, expected, "in order, none twice, none lost");
}

#[test]
fn one_that_is_larger_than_all_room_comes_alone() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", &"x".repeat(4000));
    desk.says("OxAAAA", "normal", "small");
    let ask = Ask { budget: Some(500), ..Desk::ask("OxBBBB") };
    assert_eq!(desk.gets_of(&["ledger"], &ask).len(), 1);
    assert_eq!(desk.gets_of(&["ledger"], &ask), ["small"]);
}

#[test]
fn attention_and_topics_pass_over_the_rest_for_good() {
    let mut desk = Desk::new();
    // It has been here before: as a new one it would get nothing of the background.
    desk.gets("OxBBBB");
    for importance in ["critical", "normal", "ambient", "odd"] {
        desk.says("OxAAAA", importance, importance);
    }
    let ask = |attention| Ask { attention, ..Desk::ask("OxBBBB") };
    assert_eq!(desk.gets_of(&["ledger"], &ask(Attention::Focused)), ["critical"]);
    assert_eq!(desk.gets_of(&["ledger"], &ask(Attention::All)), Vec::<String>::new());
    for importance in ["ambient", "odd"] {
        desk.says("OxAAAA", importance, importance);
    }
    assert_eq!(desk.gets_of(&["ledger"], &ask(Attention::All)), ["ambient", "odd"]);
    let mut ci = desk.murmur("OxAAAA", "normal", "green");
    ci.topic = "ci".into();
    desk.comes_in("ledger", &ci);
    desk.says("OxAAAA", "normal", "work");
    let ask = Ask { topics: vec!["ci".into()], ..Desk::ask("OxBBBB") };
    assert_eq!(desk.gets_of(&["ledger"], &ask), ["green"]);
    assert_eq!(desk.gets("OxBBBB"), Vec::<String>::new());
}

#[test]
fn a_new_agent_gets_twelve_hours_without_the_background() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "critical", "old");
    desk.pass(11 * 3600 + 1800);
    desk.says("OxAAAA", "normal", "new");
    desk.says("OxAAAA", "ambient", "background");
    desk.pass(3600);
    let ask = Ask { attention: Attention::All, ..Desk::ask("OxBBBB") };
    assert_eq!(desk.gets_of(&["ledger"], &ask), ["new"]);
}

#[test]
fn what_is_relayed_late_is_given_all_the_same() {
    let mut desk = Desk::new();
    let late = desk.murmur("OxAAAA", "normal", "made long ago");
    desk.pass(3600);
    desk.says("OxAAAA", "normal", "new");
    assert_eq!(desk.gets("OxBBBB"), ["new"]);
    desk.pass(60);
    desk.comes_in("ledger", &late);
    desk.comes_in("ledger", &late);
    assert_eq!(desk.gets("OxBBBB"), ["made long ago"]);
    assert_eq!(desk.gets("OxBBBB"), Vec::<String>::new());
}

#[test]
fn an_answer_that_is_never_read_is_given_again() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "x");
    let states = [desk.state("ledger")];
    let given = desk.stores.pending(&states, &Desk::ask("OxBBBB"), desk.now());
    assert_eq!(given.whispers.len(), 1);
    // Meanwhile a second request of the same agent gets nothing, and another agent what is for it.
    let second = desk.stores.pending(&states, &Desk::ask("OxBBBB"), desk.now());
    assert!(second.whispers.is_empty() && !second.receipt.moves());
    desk.stores.given(second.receipt, true);
    assert_eq!(desk.gets("OxCCCC"), ["x"]);
    desk.stores.given(given.receipt, false);
    assert_eq!(desk.gets("OxBBBB"), ["x"]);
}

#[test]
fn an_answer_nobody_tells_of_holds_up_its_agent_only_for_a_while() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "x");
    let lost = desk.stores.pending(&[desk.state("ledger")], &Desk::ask("OxBBBB"), desk.now());
    assert_eq!(desk.gets("OxBBBB"), Vec::<String>::new());
    desk.pass(limits::LEASE.as_secs());
    assert_eq!(desk.gets("OxBBBB"), ["x"]);
    drop(lost);
}

#[test]
fn wat_06_twenty_agents_of_two_projects_never_get_what_is_for_another() {
    let mut desk = Desk::new();
    let mut rng = crate::kit::rng::Rng::new(6);
    let agents: Vec<String> = (0..20).map(|n| format!("OxA{n:03}")).collect();
    for agent in &agents {
        for project in ["one", "two"] {
            desk.gets_of(&[project], &Ask { key: format!("{project}:{agent}"), ..Desk::ask(agent) });
        }
    }
    let mut expected: std::collections::BTreeMap<(String, String), Vec<String>> = Default::default();
    for n in 0..2000 {
        let to = &agents[rng.below(20) as usize];
        let project = if rng.chance(50) { "one" } else { "two" };
        let mut nudge = desk.murmur(to, "normal", &format!("{project} {to} {n}"));
        nudge.source = "auto-murmur".into();
        desk.comes_in(project, &nudge);
        expected.entry((project.into(), to.clone())).or_default().push(nudge.content);
    }
    for agent in &agents {
        for project in ["one", "two"] {
            let ask = Ask { key: format!("{project}:{agent}"), ..Desk::ask(agent) };
            let mut got = Vec::new();
            while let more @ [_, ..] = desk.gets_of(&[project], &ask).as_slice() {
                got.extend(more.iter().cloned());
            }
            assert_eq!(got, expected.remove(&(project.to_string(), agent.clone())).unwrap_or_default());
        }
    }
    assert!(desk.gets_of(&["one"], &Desk::ask("OxNone")).is_empty());
}

#[test]
fn several_databases_are_given_as_one() {
    let mut desk = Desk::new();
    for n in 0..6 {
        let whisper = desk.murmur("OxAAAA", if n == 5 { "critical" } else { "normal" }, &format!("{n}"));
        desk.comes_in(["ledger", "team"][n % 2], &whisper);
        if n == 0 {
            desk.comes_in("team", &whisper);
        }
        desk.pass(1);
    }
    let size = frame_size_of_one(&desk);
    let ask = Ask { budget: Some(size * 3), ..Desk::ask("OxBBBB") };
    assert_eq!(desk.gets_of(&["ledger", "team"], &ask), ["5", "0", "1"]);
    assert_eq!(desk.gets_of(&["ledger", "team"], &ask), ["2", "3", "4"]);
    assert_eq!(desk.gets_of(&["ledger", "team"], &ask), Vec::<String>::new());
}

/// What an entry of one character counts.
fn frame_size_of_one(desk: &Desk) -> usize {
    let past = desk.stores.past(&[desk.state("ledger")], None, None, 1, desk.now()).unwrap();
    frame::size(&past.whispers[0].0)
}

#[test]
fn a_database_that_cannot_be_read_keeps_no_other_back() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "x");
    std::fs::write(desk.state("team"), "a file where its directory belongs").unwrap();
    assert_eq!(desk.gets_of(&["team", "ledger"], &Desk::ask("OxBBBB")), ["x"]);
}

proptest::proptest! {
    /// Whatever comes in when, in whatever portions it is asked for, and whichever answers are lost: each whisper is given once.
    #[test]
    fn nothing_is_lost_and_nothing_twice(
        steps in proptest::collection::vec((0u8..6, 0u8..3, 60usize..2000), 1..80)
    ) {
        let mut desk = Desk::new();
        let ask = Ask { attention: Attention::All, ..Desk::ask("OxBBBB") };
        desk.gets_of(&["ledger", "team"], &ask);
        let (mut said, mut got) = (Vec::new(), Vec::new());
        let states = [desk.state("ledger"), desk.state("team")];
        for (n, (what, rank, budget)) in steps.into_iter().enumerate() {
            desk.pass(1);
            let ask = Ask { budget: Some(budget), ..ask.clone() };
            match what {
                0..=3 => {
                    let importance = Importance::ALL[rank as usize].name();
                    let whisper = desk.murmur("OxAAAA", importance, &format!("{n} {}", "x".repeat(budget / 8)));
                    desk.comes_in(["ledger", "team"][n % 2], &whisper);
                    said.push(whisper.content);
                }
                4 => got.extend(desk.gets_of(&["ledger", "team"], &ask)),
                _ => {
                    let lost = desk.stores.pending(&states, &ask, desk.now());
                    desk.stores.given(lost.receipt, false);
                }
            }
        }
        loop {
            let more = desk.gets_of(&["ledger", "team"], &Ask { budget: Some(700), ..ask.clone() });
            if more.is_empty() {
                break;
            }
            got.extend(more);
        }
        said.sort();
        got.sort();
        proptest::prop_assert_eq!(said, got);
    }
}
