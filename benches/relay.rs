//! Events into the relay's queue and out of it: appending as the feeder does, beside opening, writing and closing a file; the way from an
//! event to a record; a full queue read and acknowledged batch by batch, with the memory that it takes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use common::{Times, at_least, fixed, note, peak, peak_anew, quick, ratio, rounds, time, title};
use ox::project::settings::Settings;
use ox::project::{CwdHash, Dirs, Env, Relay};
use ox::relay::account::Account;
use ox::relay::queue::{AccountQueue, Terms, dir_of};
use ox::relay::record::{Cwd, Fact, Recorder, Source, Told};

/// What is promised: of appending, of events a second that leave, and of memory beside a full queue in MiB.
const APPEND: f64 = 1.5;
const DRAIN: f64 = 20_000.0;
const MEMORY: f64 = 8.0;
/// The limit of a queue, and a batch (relay and hooks, A.1 and A.6).
const FULL: u64 = 50 << 20;
const EVENTS: usize = 100;
/// So many events the feeder puts in at a time.
const GROUP: i64 = 512;
const BYTES: usize = 256 << 10;

fn main() {
    title("relay");
    of_append();
    of_full_queue();
}

fn fact(n: i64) -> Fact {
    Fact {
        agent: "codex".into(),
        session_id: format!("018f0000-0000-7000-8000-{:012}", n / 500),
        event: "PostToolUse".into(),
        raw_event: "PostToolUse".into(),
        tool: "Bash".into(),
        tool_use_id: format!("call_{n:024}"),
        turn_id: format!("018f0000-0000-7000-8000-{:012}", n / 20),
        model: "gpt-5".into(),
        permission_mode: "default".into(),
        at_ms: 1_796_000_000_000 + n,
        sources: vec![Source::Hook],
        dedup_key: format!("t:call_{n:024}"),
        repo_id: "repo_018f0000-0000-7000-8000-000000000000".into(),
        cwd: Cwd::Keyed("ab".repeat(32)),
        ..Fact::default()
    }
}

fn settings() -> Relay {
    let env = Env::of([("HOME", "/nowhere")], Path::new("/nowhere"));
    Settings::load(&env, &Dirs::from_env(&env).unwrap(), None).0.relay().0
}

fn recorder() -> Recorder {
    let told = Told { models: true, projects: true };
    Recorder::new("018f0000-0000-7000-8000-000000000000", [7; 32], CwdHash::Hmac, "/home/anna", told)
}

fn of_append() {
    let tmp = tempfile::tempdir().unwrap();
    let account = Account::new("https://relay.example", "user");
    let (mut queue, _) = AccountQueue::open(tmp.path(), &account, FULL).unwrap();
    let (recorder, settings) = (recorder(), settings());
    let terms = Terms { recorder: &recorder, relay: &settings, since_ms: 0 };
    let line = recorder.line(&fact(1)).unwrap();
    let path = tmp.path().join("floor");
    let mut next = 0;
    // As many as the feeder has put in with one sync where it is behind, and as it has them while an agent works.
    for (count, budget) in [(GROUP, Some(APPEND)), (100, None)] {
        let (mut ours, mut floor) = (Times::default(), Times::default());
        for _ in 0..rounds(300) {
            let rows: Vec<_> = (next..next + count).map(|n| (n + 1, fact(n))).collect();
            next += count;
            ours.push(time(|| queue.feed(rows.into_iter(), &terms, 0).unwrap()));
            // The same events one by one, as who has no queue would put them in.
            floor.push(time(|| {
                for _ in 0..count {
                    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
                    file.write_all(&line).unwrap();
                }
            }));
        }
        match budget {
            Some(budget) => {
                let what = format!("{count} events taken up / open, write, close each");
                ratio(&what, ours.p50(), floor.p50(), "ms", budget);
            }
            None => note(&format!("{count} events taken up"), ours.p50(), "ms"),
        }
    }
    let mut made = Times::default();
    for n in 0..rounds(2000) {
        let fact = fact(n as i64);
        made.push(time(|| recorder.line(&fact).unwrap()));
    }
    note("an event's record", made.p50() * 1e3, "us");
    note("a record", line.len() as f64, "bytes");
}

fn of_full_queue() {
    let tmp = tempfile::tempdir().unwrap();
    let account = Account::new("https://relay.example", "user");
    drop(AccountQueue::open(tmp.path(), &account, FULL).unwrap());
    let line = recorder().line(&fact(1)).unwrap();
    let line = [b"{\"q\":[0,1],\"r\":", line.as_slice(), b"}\n"].concat();
    let segments = if quick() { 2 } else { 12 };
    let lines = line.repeat((4 << 20) / line.len());
    for number in 1..=segments {
        fs::write(dir_of(tmp.path(), &account).join(format!("{number:016}.jsonl")), &lines).unwrap();
    }
    drop(lines);
    let before = peak_anew();
    let mut opened = None;
    let open = time(|| opened = Some(AccountQueue::open(tmp.path(), &account, FULL).unwrap().0));
    let mut queue = opened.unwrap();
    let mut stats = Times::default();
    for _ in 0..rounds(1000) {
        stats.push(time(|| queue.stats().unwrap()));
    }
    let (mut events, mut frames) = (0, 0);
    let took = time(|| {
        while let Some(batch) = queue.next(EVENTS, BYTES).unwrap() {
            frames += ox::relay::frame::Shape::Frame.encode(&batch.raw()).len();
            events += queue.ack(batch.upto).unwrap();
        }
    });
    fixed("a full queue, memory", (peak() - before) / 1024.0, "MiB", MEMORY);
    at_least("read, put into frames, acknowledged, a second", events as f64 / took.as_secs_f64(), DRAIN, 1.0);
    note("opened", open.as_secs_f64() * 1e3, "ms");
    note("what is known of it", stats.p50() * 1e3, "us");
    note("in frames", frames as f64 / f64::from(1 << 20), "MiB");
}
