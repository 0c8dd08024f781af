//! Events into their store: a transcript of 100 MB of each program, beside a line scan of the same bytes, with the memory that it takes; ten
//! thousand lines of the spool; and what is asked of a full store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter};
use std::path::Path;

use common::support::transcript::{Program, write_long};
use common::{Times, fixed, note, peak, peak_anew, quick, ratio, rounds, time, title};
use ox::harness::transcript::sources::all;
use ox::hooks::import::{Projects, Run, import};
use ox::hooks::record::Record;
use ox::hooks::store::{Filter, Store};
use ox::project::Env;

/// What is promised of a rollout of 100 MB, in seconds and MiB.
const IMPORT: f64 = 3.0;
const MEMORY: f64 = 32.0;
/// And of an event from the spool, until its row is on disk, in milliseconds.
const TAKE: f64 = 1_000.0;

fn main() {
    title("events");
    let size: u64 = if quick() { 10_000_000 } else { 100_000_000 };
    for (program, place) in [
        (Program::Codex, ".codex/sessions/2036/03/12/rollout-2036-03-12T09-01-00-11111111.jsonl"),
        (Program::Claude, ".claude/projects/-home-anna-project/11111111.jsonl"),
        (Program::Gemini, ".gemini/tmp/project/chats/session-2036-03-12T09-01-11111111.jsonl"),
    ] {
        of_transcript(program, place, size);
    }
    of_spool();
}

fn of_transcript(program: Program, place: &str, size: u64) {
    let tmp = tempfile::tempdir().unwrap();
    let (home, db) = (tmp.path().join("home"), tmp.path().join("events.db"));
    let path = home.join(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut out = BufWriter::new(File::create(&path).unwrap());
    write_long(program, size, &mut out).unwrap();
    drop(out);
    let floor = time(|| lines(&path)).as_secs_f64();
    let mut store = Store::open(&db).unwrap().store;
    let before = peak_anew();
    let mut imported = None;
    let took = time(|| imported = Some(read(&mut store, &home))).as_secs_f64();
    let memory = (peak() - before) / 1024.0;
    let imported = imported.unwrap();
    assert!(imported.failed.is_empty() && imported.damaged == 0, "{imported:?}");
    let kind = program.kind();
    note(&format!("{kind}, events"), imported.events.new as f64, "");
    let whole = size as f64 / 1e8;
    ratio(&format!("{kind}, import / a line scan"), took * 1e3, floor * 1e3, "ms", 30.0);
    fixed(&format!("{kind}, import"), took / whole, "s", IMPORT);
    fixed(&format!("{kind}, memory"), memory, "MiB", MEMORY);
    let again = time(|| assert_eq!(read(&mut store, &home).unchanged, 1));
    note(&format!("{kind}, nothing new"), again.as_secs_f64() * 1e3, "ms");
}

fn read(store: &mut Store, home: &Path) -> ox::hooks::import::Imported {
    let (sources, _) = all(home, |_| None);
    let mut projects = Projects::new(Env::of([("HOME", home.as_os_str())], home), true);
    let run = Run { now: jiff::Timestamp::now(), projects: &mut projects, stop: &|| false };
    import(store, sources, run).unwrap()
}

fn of_spool() {
    let tmp = tempfile::tempdir().unwrap();
    let mut store = Store::open(&tmp.path().join("events.db")).unwrap().store;
    let record = |n: usize| Record {
        spool_id: uuid::Uuid::now_v7().to_string(),
        at_ms: 1_796_000_000_000 + n as i64,
        agent: "codex".into(),
        event: if n.is_multiple_of(2) { "PreToolUse" } else { "PostToolUse" }.into(),
        session_id: format!("session-{}", n / 500),
        tool_use_id: format!("call_{}", n / 2),
        tool_name: "Bash".into(),
        ..Record::default()
    };
    let (all, mut one) = (10_000, Times::default());
    let records: Vec<Record> = (0..all).map(record).collect();
    let took =
        time(|| records.chunks(500).for_each(|some| assert_eq!(store.take(some).unwrap().new, some.len())));
    note("spool, in batches of 500", all as f64 / took.as_secs_f64(), "events/s");
    for n in 0..rounds(200) {
        one.push(time(|| store.take(&[record(all + n)]).unwrap()));
    }
    fixed("spool, one event, p99", one.p99(), "ms", TAKE);
    let mut ask = Times::default();
    for _ in 0..rounds(200) {
        ask.push(time(|| store.list(&Filter { limit: 50, ..Filter::default() }).unwrap()));
    }
    note("the newest 50", ask.p50(), "ms");
}

fn lines(path: &Path) -> usize {
    let mut file = BufReader::with_capacity(256 << 10, File::open(path).unwrap());
    let (mut line, mut count) = (Vec::new(), 0);
    while file.read_until(b'\n', &mut line).unwrap() > 0 {
        line.clear();
        count += 1;
    }
    count
}
