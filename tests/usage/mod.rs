//! Spend that adds up: what a model served is what `ox session usage` counts, whatever repeats it.

mod claude;
mod codex;
mod command;
mod gemini;
mod kills;
mod opencode;
mod recorded;
mod world;

use ox::sessions::usage::{By, Counts};

use crate::support::{TestEnv, seed};
use world::World;

/// Sessions with what comes of them, for each program.
const TREES: usize = 200;

/// Makes trees with `make` and looks after each; then asks the command the same.
fn trees(test: &str, make: impl Fn(&mut World)) {
    for seed in seed::seeds(0, seed::rounds(1, 5)) {
        seed::with(test, seed, |seed| {
            let env = TestEnv::new();
            let mut world = World::new(&env.home(), seed);
            for _ in 0..TREES {
                make(&mut world);
                world.look();
            }
            world.look_at_sessions();
            let (answers, counts) = world.total();
            println!("{TREES} trees, {answers} answers served, {} tokens", counts.total());
            for by in [By::Session, By::Agent, By::Branch, By::Person, By::Day, By::Project] {
                let report = world.report(by);
                assert_eq!((report.total.answers, report.total.counts), (answers, counts), "{by:?}");
                let mut sum = Counts::default();
                report.groups.iter().for_each(|(_, spend)| sum += spend.counts);
                assert_eq!(sum, counts, "{by:?}");
            }
            // Each figure is the sum of records.
            let (report, records) = (world.report(By::Session), world.records(By::Session));
            for (group, spend) in &report.groups {
                let (mut sum, mut price) = (Counts::default(), 0);
                for record in records.iter().filter(|record| record.group == *group) {
                    sum += record.counts;
                    price += record.price.known.0;
                }
                assert_eq!((sum, price), (spend.counts, spend.price.known.0), "{group:?}");
            }
            let said = env.ox(["session", "usage", "--json"]).ok().json();
            assert_eq!(said["total"]["answers"], answers, "{said}");
            let tokens = ["input", "cached", "cache_written", "output", "reasoning"];
            let tokens = tokens.map(|name| said["total"][format!("{name}_tokens")].as_u64().unwrap());
            let served = [counts.input, counts.cached, counts.cache_written, counts.output, counts.reasoning];
            assert_eq!(tokens, served, "difference to what was served");
            // And nothing is read twice.
            assert_eq!(world.scan().read, 0);
        });
    }
}

#[test]
fn agt_09_what_claude_code_repeats_is_counted_once() {
    trees("usage::agt_09_what_claude_code", claude::tree);
}

#[test]
fn agt_09_what_codex_repeats_is_counted_once() {
    trees("usage::agt_09_what_codex", codex::tree);
}

#[test]
fn agt_09_what_gemini_repeats_is_counted_once() {
    trees("usage::agt_09_what_gemini", gemini::tree);
}

#[test]
fn agt_09_what_opencode_repeats_is_counted_once() {
    trees("usage::agt_09_what_opencode", opencode::tree);
}
