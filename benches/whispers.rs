//! What an agent's question costs when its database is full, and how long a murmur takes to another machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    dead_code,
    missing_docs
)]

mod common;
#[path = "../tests/whispers/machine.rs"]
mod machine;

use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{Times, fixed, note, ratio, rounds, support, time, title};
use machine::{INTERVAL, Machine};
use ox::kit::clock::{Clock as _, SystemClock};
use ox::kit::gotime::GoTime;
use ox::whispers::limits::{PAGE_MAX, PROMPT_MAX};
use ox::whispers::{Ask, Stores, Whisper};
use rusqlite::types::Value;
use rusqlite::{Connection, Row};

/// Whispers in the database.
const STORED: usize = 10_000;
/// Agents that ask.
const AGENTS: usize = 200;

fn main() {
    title("whispers");
    let dir = tempfile::tempdir().unwrap();
    let states = [dir.path().join("ledger"), dir.path().join("team")];
    let stores = Stores::default();
    let now = SystemClock.now();
    let store = stores.of(&states[0]);
    let whispers: Vec<Whisper> = (0..STORED).map(|n| whisper(n, now.wall)).collect();
    let took = time(|| {
        for some in whispers.chunks(500) {
            assert_eq!(store.take_in(now, some, &[]).unwrap(), some.len());
        }
    });
    note("taking in 10,000 murmurs", took.as_secs_f64() * 1e3, "ms");
    note("database", store.size() as f64 / f64::from(1 << 20), "MiB");
    let prompt = ask(&stores, &states, "a prompt's worth", Some(PROMPT_MAX));
    fixed("a prompt's worth: p99", prompt.p99(), "ms", 1.0);
    let page = ask(&stores, &states, "a whole page", None);
    ratio("a whole page / its rows read", page.p50(), rows(store.path()).p50(), "ms", 3.0);
    heard();
}

/// From `ox murmur` on one machine to an agent's question on another, which hears of it by its beat alone. Each murmur is said right after the
/// one before was heard, when the next look is furthest away.
fn heard() {
    let a = Machine::first();
    let b = Machine::beside(&a);
    b.gets("OxBBBB");
    let mut times = Times::default();
    let mut longest: f64 = 0.0;
    for n in 0..rounds(20) {
        let text = format!("note {n}");
        let start = Instant::now();
        a.ox(["murmur", "--agent-id", &format!("OxA{n:03}"), &text]).ok();
        let heard = || b.gets("OxBBBB").contains(&text);
        support::until_or(heard, || format!("{}\n{}", a.log(), b.log()));
        times.push(start.elapsed());
        longest = longest.max(start.elapsed().as_secs_f64());
    }
    let interval = INTERVAL.as_secs_f64();
    note(&format!("to another machine, interval {interval} s: p50"), times.p50() / 1e3, "s");
    fixed("to another machine, the longest", longest, "s", interval + 1.0);
}

/// The floor of a whole page: the database alone hands out as many rows, each value as its own.
fn rows(database: &Path) -> Times {
    let conn = Connection::open(database).unwrap();
    let mut ask = conn.prepare("SELECT * FROM whispers ORDER BY seq DESC LIMIT ?1").unwrap();
    let columns = ask.column_count();
    let mut times = Times::default();
    for _ in 0..rounds(AGENTS).max(20) {
        times.push(time(|| {
            let row =
                |row: &Row<'_>| (0..columns).map(|n| row.get::<_, Value>(n)).collect::<Result<Vec<_>, _>>();
            let all: Vec<_> = ask.query_map([PAGE_MAX as i64], row).unwrap().map(Result::unwrap).collect();
            assert_eq!(all.len(), PAGE_MAX);
            all
        }));
    }
    times
}

/// Each agent asks once for what it has never had, and once more with nothing new.
fn ask(stores: &Stores, states: &[PathBuf], what: &str, budget: Option<usize>) -> Times {
    let (mut first, mut nothing) = (Times::default(), Times::default());
    for n in 0..rounds(AGENTS).max(20) {
        let agent = format!("OxB{n:03}");
        let ask = Ask { key: format!("{what}:{agent}"), agent, budget, ..Ask::default() };
        let get = || {
            let given = stores.pending(states, &ask, SystemClock.now());
            let any = !given.whispers.is_empty();
            stores.given(given.receipt, true);
            any
        };
        first.push(time(|| assert!(get())));
        let all = Ask { topics: vec!["none".into()], ..ask.clone() };
        let given = stores.pending(states, &all, SystemClock.now());
        stores.given(given.receipt, true);
        nothing.push(time(get));
    }
    note(&format!("{what}: p50"), first.p50(), "ms");
    fixed(&format!("{what}, little new: p99"), nothing.p99(), "ms", 1.0);
    first
}

fn whisper(n: usize, at: jiff::Timestamp) -> Whisper {
    Whisper {
        id: format!("m{n:06}"),
        scope: "ledger".into(),
        kind: "trigger".into(),
        source: "murmur".into(),
        topic: "wip".into(),
        content: format!("{n} {}", "what somebody works on ".repeat(8)),
        importance: ["critical", "normal", "normal", "ambient"][n % 4].into(),
        created_at: GoTime(Some(at)),
        agent_id: format!("OxA{:03}", n % 300),
        ..Whisper::default()
    }
}
