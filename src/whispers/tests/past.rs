//! Pages of the past.

use super::*;

fn contents(past: &Past) -> Vec<&str> {
    past.whispers.iter().map(|(w, _)| w.content.as_str()).collect()
}

#[test]
fn pages_go_back_in_time_and_never_cut_a_moment_in_two() {
    let mut desk = Desk::new();
    for n in 0..7 {
        desk.says("OxAAAA", "normal", &format!("{n}"));
        // Three of them in one moment.
        if !(2..4).contains(&n) {
            desk.pass(1);
        }
    }
    let states = [desk.state("ledger")];
    let page = |before, limit| desk.stores.past(&states, None, before, limit, desk.now()).unwrap();
    let first = page(None, 3);
    assert_eq!((contents(&first), first.more), (vec!["6", "5", "4", "3", "2"], true));
    let second = page(first.whispers.last().unwrap().0.created_at.0, 3);
    assert_eq!((contents(&second), second.more), (vec!["1", "0"], false));
    assert_eq!(contents(&page(None, 0)).len(), 7);
}

#[test]
fn an_agent_sees_what_was_for_it_and_what_it_has_got() {
    let mut desk = Desk::new();
    desk.says("OxAAAA", "normal", "own");
    let mut nudge = desk.murmur("OxBBBB", "normal", "for another");
    nudge.source = "auto-murmur".into();
    desk.comes_in("ledger", &nudge);
    desk.says("OxBBBB", "normal", "heard");
    let states = [desk.state("ledger")];
    let reader = Reader { key: "repo:OxAAAA", agent: "OxAAAA" };
    let past = |desk: &Desk| desk.stores.past(&states, Some(reader), None, 0, desk.now()).unwrap();
    let before = past(&desk);
    assert_eq!(before.read_up_to, None);
    assert_eq!((contents(&before), before.has_place), (vec!["heard", "own"], false));
    assert_eq!(desk.gets("OxAAAA"), ["heard"]);
    desk.pass(1);
    desk.says("OxBBBB", "normal", "new");
    let after = past(&desk);
    let read: Vec<bool> = after.whispers.iter().map(|(_, read)| *read).collect();
    assert_eq!((contents(&after), read), (vec!["new", "heard", "own"], vec![false, true, true]));
    assert!(after.has_place && after.read_up_to.is_some());
    // Looking moves nothing.
    assert_eq!(desk.gets("OxAAAA"), ["new"]);
    let all = desk.stores.past(&states, None, None, 0, desk.now()).unwrap();
    assert_eq!(all.whispers.len(), 4);
}
