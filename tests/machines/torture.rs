//! Rounds of edits, faults, kills and syncs, from a seed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ox::kit::clock::wait_until;
use ox::kit::rng::Rng;

use crate::machines::fleet::{Fleet, REPOS};
use crate::machines::level::{Found, is_level, left_in, marked_files};
use crate::machines::person::{Person, Written};
use crate::support::Background;
use crate::support::http_git::Fault;
use crate::support::seed::{self, rounds};

/// A stalled request is let go after this time.
const STALL: Duration = Duration::from_millis(300);
/// A kill comes at most so long after the syncs began.
const KILL_WITHIN: Duration = Duration::from_millis(400);
/// Between two readings of all files.
const BREATH: Duration = Duration::from_millis(5);
/// When nobody writes any more, so many passes over all machines make them level.
const PASSES: usize = 6;

#[test]
fn four_machines_lose_nothing_whatever_happens() {
    seed::with("machines::torture::four_machines", seed::fresh(), torture);
}

fn torture(seed: u64) {
    let fleet = Fleet::new(4);
    let mut rng = Rng::new(seed);
    let mut written = Written::default();
    let (mut kills, mut failed) = (0, 0);
    let count = rounds(12, 500);
    for round in 1..=count {
        println!("round {round}");
        for (who, machine) in fleet.machines.iter().enumerate() {
            machine.settle_down();
            for repo in 0..REPOS.len() {
                if rng.chance(60) {
                    Person { machine, who, repo, round }.work(&mut rng, &mut written);
                }
            }
        }
        watch(&fleet, &written, "edits");
        let (killed, lost) = unmarked(&fleet, || syncs(&fleet, &mut rng));
        watch(&fleet, &written, "syncs");
        kills += killed;
        failed += lost;
        if rng.chance(30) {
            let who = rng.below(4) as usize;
            settle(&fleet, who, round);
            watch(&fleet, &written, "settling");
        }
    }
    converge(&fleet, count + 1);
    let found = Found::on(&fleet);
    let missing = found.missing(&written);
    let trail = if missing.is_empty() { String::new() } else { Found::trail(&fleet, &missing) };
    assert!(missing.is_empty(), "{} of {}: {missing:#?}\n{trail}", missing.len(), written.marks.len());
    for machine in &fleet.machines {
        for repo in 0..REPOS.len() {
            assert_eq!(left_in(machine, repo), Vec::<String>::new());
        }
        machine.ox(&["daemon", "stop", "--all"]).ok();
    }
    println!(
        "{count} rounds: {} lines and {} binary files, {kills} kills, {failed} failed syncs; {} written while git wrote there, of which it \
         wrote over {}",
        written.marks.len(),
        written.blobs.len(),
        written.moments.len(),
        found.overwritten(&written)
    );
    assert!(kills > 0 && failed > 0, "nothing was tried");
}

/// Looks after each step, if `OX_TORTURE_WATCH` is set: slow, but it tells which one lost something.
fn watch(fleet: &Fleet, written: &Written, after: &str) {
    if std::env::var_os("OX_TORTURE_WATCH").is_none() {
        return;
    }
    fleet.machines.iter().for_each(super::fleet::Machine::settle_down);
    let missing = Found::anywhere(fleet).missing(written);
    let logs: Vec<String> = fleet.machines.iter().map(super::fleet::Machine::log).collect();
    assert!(missing.is_empty(), "lost by {after}: {missing:#?}\n{}", logs.join("\n----\n"));
}

/// While nobody's own git is at work, whoever reads the files of a clone never finds a conflict marked in one, whatever happens.
fn unmarked<T>(fleet: &Fleet, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let ended = || done.load(Ordering::Relaxed);
            while !wait_until(BREATH, ended) {
                let clones = fleet.machines.iter().flat_map(|machine| &machine.clones);
                let marked: Vec<PathBuf> = clones.flat_map(|clone| marked_files(clone)).collect();
                assert_eq!(marked, Vec::<PathBuf>::new(), "a conflict is marked");
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        result
    })
}

/// All machines at once, with a fault and a kill; how many kills hit and how many syncs failed.
fn syncs(fleet: &Fleet, rng: &mut Rng) -> (usize, usize) {
    let faults = [
        Fault::Drop,
        Fault::Reset,
        Fault::Cut,
        Fault::Stall,
        Fault::StallHalfway,
        Fault::Status(503),
        Fault::Status(401),
    ];
    let fault = faults[rng.below(faults.len() as u64) as usize];
    match rng.below(3) {
        0 => fleet.server.fault(None),
        1 => fleet.server.fault_times(fault, 1 + rng.below(4) as usize),
        _ => fleet.server.fault_after(fault, rng.below(8) as usize),
    }
    let mut running: Vec<Background> = Vec::new();
    for machine in &fleet.machines {
        let (ledger, teams) = (rng.chance(70), rng.chance(70));
        running.extend(ledger.then(|| machine.start_sync(false)));
        running.extend(teams.then(|| machine.start_sync(true)));
    }
    let mut kills = 0;
    if rng.chance(60) {
        let victim = &fleet.machines[rng.below(4) as usize];
        let within = rng.up_to(KILL_WITHIN);
        wait_until(within, || running.iter_mut().all(Background::has_ended));
        kills += usize::from(victim.kill_daemon());
    }
    wait_until(STALL, || running.iter_mut().all(Background::has_ended));
    fleet.server.fault(None);
    let ended = running.iter_mut().map(Background::ended);
    let failed = ended.filter(|status| !status.success()).count();
    if rng.chance(20) {
        fleet.machines[rng.below(4) as usize].ox(&["daemon", "stop", "--all"]).ok();
    }
    (kills, failed)
}

/// The person of one machine sits down and brings everything in order.
fn settle(fleet: &Fleet, who: usize, round: usize) {
    let machine = &fleet.machines[who];
    // What a killed daemon left half done is its successor's to take back.
    machine.ox(&["sync"]);
    machine.ox(&["sync", "--all-teams"]);
    machine.settle_down();
    for repo in 0..REPOS.len() {
        Person { machine, who, repo, round }.settle();
    }
    for args in [&["sync"][..], &["sync", "--all-teams"]] {
        let ran = machine.ox(args);
        // Others' daemons go on meanwhile: what one of them has pushed since may conflict with what was brought in order.
        assert!(ran.code == Some(0) || ran.stderr.contains("conflict in"), "{ran:?}");
    }
}

fn converge(fleet: &Fleet, round: usize) {
    for pass in 0..PASSES {
        for who in 0..fleet.machines.len() {
            settle(fleet, who, round + pass);
        }
        if is_level(fleet).is_empty() {
            return;
        }
    }
    let logs: Vec<String> = fleet.machines.iter().map(super::fleet::Machine::log).collect();
    panic!("not level: {:#?}\n{}", is_level(fleet), logs.join("\n----\n"));
}
