//! The daemon's core on a simulated clock: all state machines together, scripted effects, faults far denser than life.
//!
//! `OX_TEST_SEED=n` runs one seed (with `OX_SIM_TRACE=1` telling every step), `OX_SIM_SEEDS=n` so many from 0, `OX_SIM_DAYS=n` so many
//! virtual days each.

mod accounts;
mod agents;
mod archive;
mod bench;
mod cloud;
mod exact;
mod hooks;
mod host;
mod issues;
mod relay;
mod sessions;
mod site;
mod trees;
mod whispers;
mod work;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{own_process, seed};
use world::{Plan, Totals, World};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

const DAY: Duration = Duration::from_secs(86_400);

/// Seed 0 runs at the real beat, in the ordinary run for four hours; the others at one sixty times as slow.
fn paced(seed: u64, plan: &Plan) -> Plan {
    if seed > 0 {
        return Plan { slow: 60, ..plan.clone() };
    }
    Plan { slow: 1, length: seed::rounds(DAY / 6, plan.length), ..plan.clone() }
}

fn run(seed: u64, plan: &Plan) -> world::Totals {
    World::new(seed, plan).run()
}

#[test]
fn time_full_of_faults_breaks_no_promise() {
    let days = u32::try_from(number("OX_SIM_DAYS", seed::rounds(7, 30))).unwrap();
    let plan = Plan { length: DAY * days, ..Plan::faulty() };
    let (fixed, fresh) = seed::rounds((8, 2), (256, 64));
    let seeds = seed::seeds(number("OX_SIM_SEEDS", fixed), fresh);
    let one = |seed| seed::with("sim::time_full", seed, |seed| run(seed, &paced(seed, &plan)));
    if let [seed] = seeds[..] {
        println!("{:?}", one(seed));
        return;
    }
    let half =
        |odd: usize| seeds.iter().skip(odd).step_by(2).map(|s| one(*s)).fold(Totals::default(), |a, b| a + b);
    let total = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        half(0) + odd.join().unwrap()
    });
    println!("{} seeds: {total:?}", seeds.len());
    // The faults did happen: a simulation in which nothing goes wrong proves nothing.
    assert!(
        total.offline > 0
            && total.failed > 0
            && total.cloned > 0
            && total.suspended > 0
            && total.detached > 0
            && total.queued > 0
            && total.restarted > 0
            && total.slimmed > 0
            && total.probed > 0
            && total.scanned > 0
            && total.relayed > 0
            && total.murmured > 0
            && total.unstarted > 0
            && total.renewed > 0
            && total.logged_out > 0
            // Rare.
            && (total.late > 0 || seeds.len() < 256)
    );
}

#[test]
fn syn_11_after_any_time_offline_the_first_success_is_within_a_minute() {
    let lengths = seed::rounds(&[240, 8 * 3600][..], &[240, 8 * 3600, 5 * 86_400]);
    for (seed, offline) in lengths.iter().copied().enumerate() {
        let offline = Duration::from_secs(offline);
        let totals = run(
            seed as u64,
            &Plan {
                length: offline + seed::rounds(DAY / 4, DAY),
                offline_once: Some(offline),
                ..Plan::calm(4)
            },
        );
        println!(
            "offline {} s: back after {:?}, {} attempts",
            offline.as_secs(),
            totals.worst_recovery,
            totals.offline
        );
        assert!(totals.worst_recovery <= Duration::from_secs(60), "{:?}", totals.worst_recovery);
    }
}

#[test]
fn res_01_a_day_offline_costs_less_than_two_thousand_attempts() {
    for projects in [1, seed::rounds(3, 20)] {
        let plan = Plan { length: DAY * 2, offline_once: Some(DAY), ..Plan::calm(projects) };
        let totals = run(7, &plan);
        assert!((1000..2000).contains(&totals.offline), "{projects} projects: {} attempts", totals.offline);
    }
}

/// Counts what the log would get.
struct Written(AtomicU64);

static WRITTEN: Written = Written(AtomicU64::new(0));

impl log::Log for Written {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("ox")
    }

    fn log(&self, record: &log::Record<'_>) {
        // Time, level, process and project stand before the words.
        const HEAD: usize = 100;
        if self.enabled(record.metadata()) {
            self.0.fetch_add((HEAD + record.args().to_string().len()) as u64, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

#[test]
fn res_06_a_day_offline_writes_less_than_a_mebibyte_of_log_and_of_receipts() {
    /// A receipt of a contact with a host of a long name.
    const RECEIPT: u64 = 256;
    own_process("sim::res_06_a_day_offline_writes_less_than_a_mebibyte_of_log_and_of_receipts", || {
        log::set_logger(&WRITTEN).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        let plan = Plan { length: DAY * 2, offline_once: Some(DAY), ..Plan::calm(seed::rounds(3, 20)) };
        let totals = run(7, &plan);
        // Also without what leaves out a warning that was written in the last ten minutes.
        let written = WRITTEN.0.load(Ordering::Relaxed);
        println!("{written} bytes of log, {} attempts", totals.offline);
        assert!((1..1 << 20).contains(&written), "{written} bytes of log");
        assert!(totals.offline * RECEIPT < 1 << 20, "{} attempts", totals.offline);
    });
}

#[test]
fn syn_20_after_eight_hours_of_sleep_each_due_job_runs_once() {
    let sleep = Duration::from_secs(8 * 3600);
    let plan = Plan { length: Duration::from_secs(1800), suspend_once: Some(sleep), ..Plan::calm(1) };
    let with = run(3, &plan);
    let without = run(3, &Plan { suspend_once: None, ..plan });
    // Half an hour awake is half an hour of syncs, give or take the one that the waking itself brings.
    assert!(with.syncs.abs_diff(without.syncs) <= 2, "{} and {}", with.syncs, without.syncs);
}

#[test]
fn one_remote_that_never_answers_does_not_keep_its_neighbours_waiting() {
    // The first project's runs end in time-outs although the host is there.
    let plan = Plan { length: DAY, silent_project: true, ..Plan::calm(3) };
    let totals = run(5, &plan);
    assert!(totals.longest_wait <= Duration::from_secs(240), "{:?}", totals.longest_wait);
}

#[test]
fn res_01_a_remote_without_a_host_that_fails_is_backed_off_from_and_not_hammered() {
    let plan = Plan { length: DAY, silent_project: true, on_this_machine: true, ..Plan::calm(1) };
    let totals = run(9, &plan);
    // 1, 2, 4, 8, 16 minutes, then every half hour.
    assert!((40..80).contains(&totals.offline), "{} attempts", totals.offline);
}

#[test]
fn a_probe_without_a_worker_leaves_the_gate_to_the_next() {
    let plan = Plan {
        length: DAY,
        offline_once: Some(Duration::from_secs(7200)),
        few_workers: true,
        ..Plan::calm(3)
    };
    let totals = run(11, &plan);
    assert!(totals.unstarted > 0);
    assert!(totals.longest_wait <= Duration::from_secs(7200 + 400), "{:?}", totals.longest_wait);
}

#[test]
fn an_idle_daemon_wakes_only_for_what_is_due() {
    let totals = run(1, &Plan { length: Duration::from_secs(3600), ..Plan::calm(1) });
    // An hour: 60 syncs, each with its end and memory given back afterwards, 120 looks with their ends, 120 times the project's files, 12
    // times writing down, 12 looks for idleness.
    assert!(totals.turns < 60 * 3 * 12 / 10 + 120 * 3 + 40, "{} turns", totals.turns);
}
