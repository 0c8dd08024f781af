//! Programs that change what they have written: records under an id that was there before, rows of a database.

mod gemini;
mod opencode;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ox::harness::transcript::{Fact, Role, Spent, What};

/// A recorded transcript.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/harness/transcripts").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// The n-th answer of the model behind a recorded run: input, cached, output, reasoning.
fn served(n: u64) -> [u64; 4] {
    let cached = if n % 2 == 1 { 100 + n } else { 0 };
    let thought = if n.is_multiple_of(3) { 5 } else { 0 };
    [1000 + 17 * n - cached, cached, 50 + n + thought, thought]
}

/// What was spent, each answer once, in the order in which it was told.
fn spent(facts: &[Fact]) -> Vec<[u64; 4]> {
    let mut seen = BTreeMap::new();
    let mut order = Vec::new();
    for fact in facts {
        if let What::Spent(Spent { answer, input, cached, cache_written, output, reasoning, .. }) = &fact.what
        {
            assert_eq!(*cache_written, 0);
            if seen.insert(answer.clone(), ()).is_none() {
                order.push([*input, *cached, *output, *reasoning]);
            }
        }
    }
    order
}

/// The facts in words, a line each.
fn told(facts: &[Fact]) -> Vec<String> {
    let line = |fact: &Fact| match &fact.what {
        What::Thread(t) => format!("thread {} {}", t.model, t.cwd).trim_end().to_string(),
        What::Said { role, text } => {
            let who = match role {
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::System => "system",
            };
            format!("{who}: {}", text.lines().next().unwrap_or_default())
        }
        What::Called { tool, input, .. } => format!("{tool} {input}"),
        What::Returned { output, failed, .. } => {
            format!("{} {}", if *failed { "failed" } else { "done" }, output.replace('\n', "|"))
        }
        What::Spent(spent) => format!("spent {} {}", spent.input + spent.cached, spent.output),
        What::Compacted => "compacted".to_string(),
        What::Turn(turn) => format!("{turn:?}"),
    };
    facts.iter().map(line).collect()
}

/// No two facts have one id, and each call has at most one result, after it.
fn assert_once(facts: &[Fact]) {
    let mut ids = BTreeMap::new();
    let mut calls: BTreeMap<&str, bool> = BTreeMap::new();
    for fact in facts {
        assert!(ids.insert(&fact.id, ()).is_none(), "told twice: {fact:?}");
        match &fact.what {
            What::Called { call, .. } => assert!(calls.insert(call, false).is_none(), "{call}"),
            What::Returned { call, .. } => assert_eq!(calls.insert(call, true), Some(false), "{call}"),
            _ => {}
        }
    }
}
