//! The durable queue against processes that are killed at any moment and against a disk that refuses in the middle of a line.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::run;
use crate::support::seed::{self, rounds};
use ox::kit::jsonl::{Limits, Queue, QueueError};
use ox::kit::rng::Rng;

/// Small segments, so that kills fall between them too; nothing is dropped.
const LIMITS: Limits = Limits { record: 512, segment: 4096, total: 64 << 20 };

/// Where the child works; without it the children's tests do nothing.
const DIR: &str = "OX_TEST_QUEUE_DIR";
/// The first number the child appends.
const FIRST: &str = "OX_TEST_QUEUE_FIRST";

fn open(dir: &Path) -> Queue {
    Queue::open(dir, LIMITS).unwrap().0
}

fn record(n: u64) -> Vec<u8> {
    format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(usize::try_from(n * 37 % 300).unwrap())).into_bytes()
}

/// The numbers in the queue, which must be whole records.
fn numbers(queue: &mut Queue) -> Vec<u64> {
    let all = queue.read(queue.position(), usize::MAX, usize::MAX).unwrap();
    let number =
        |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["n"].as_u64().unwrap();
    all.iter()
        .map(|r| {
            let n = number(&r.bytes);
            assert_eq!(r.bytes, record(n));
            n
        })
        .collect()
}

/// The process that is killed: appends for ever, says so, and now and then acknowledges the older half.
#[test]
fn child_that_appends() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut n: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let mut queue = open(Path::new(&dir));
    loop {
        queue.append(&record(n)).unwrap();
        println!("\nappended {n}");
        if n.is_multiple_of(16) {
            let old = queue.read(queue.position(), 8, usize::MAX).unwrap();
            let first = numbers(&mut queue)[0];
            println!("\nacking {}", first + old.len() as u64);
            queue.ack(old.last().unwrap().next).unwrap();
            println!("\nacked {}", first + old.len() as u64);
        }
        n += 1;
    }
}

/// Lets a child run for some lines and kills it. Returns what it said last of each kind.
fn kill_one(dir: &Path, first: u64, lines: u64) -> Said {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["queue::child_that_appends", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Said::default();
    let mut heard = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((verb, number)) = line.split_once(' ') else { continue };
        let Ok(number) = number.parse() else { continue };
        match verb {
            "appended" => said.appended = Some(number),
            "acking" => said.acking = Some(number),
            "acked" => said.acked = Some(number),
            _ => continue,
        }
        heard += 1;
        // After the kill the pipe is read to its end: what was said before it counts.
        if heard == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard >= lines, "the child ended by itself");
    said
}

#[derive(Debug, Default)]
struct Said {
    appended: Option<u64>,
    acking: Option<u64>,
    acked: Option<u64>,
}

#[test]
fn what_was_appended_survives_kill_9() {
    seed::with("queue::what_was_appended", seed::fresh(), kills);
}

fn kills(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(seed);
    // The queue must hold `from..to`.
    let (mut from, mut to) = (1, 1);
    for round in 0..rounds(20, 200) {
        let said = kill_one(dir.path(), to, 1 + rng.below(60));
        let mut queue = open(dir.path());
        let there = numbers(&mut queue);
        let (first, end) = match there[..] {
            [first, .., last] => (first, last + 1),
            [only] => (only, only + 1),
            [] => panic!("round {round}: nothing is there, {said:?}"),
        };
        assert_eq!(
            there,
            (first..end).collect::<Vec<_>>(),
            "round {round}: a record is missing or out of order"
        );
        let appended = said.appended.map_or(to, |n| n + 1);
        assert!(end == appended || end == appended + 1, "round {round}: ends at {end}, {said:?}");
        let acked = said.acked.unwrap_or(from);
        assert!(first == acked || Some(first) == said.acking, "round {round}: starts at {first}, {said:?}");
        let losses = queue.losses();
        assert_eq!((losses.dropped, losses.damaged), (0, 0));
        (from, to) = (first, end);
    }
}

/// The process whose files may not grow beyond some size: appends until that fails, then says how far it came.
#[test]
fn child_that_hits_the_limit() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let limits = Limits { segment: 1 << 20, ..LIMITS };
    let mut queue = Queue::open(Path::new(&dir), limits).unwrap().0;
    let mut n = 0;
    let error = loop {
        match queue.append(&record(n)) {
            Ok(_) => n += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, QueueError::Io { .. }), "{error}");
    queue.append(&record(299)).unwrap_err();
    assert_eq!(numbers(&mut queue), (0..n).collect::<Vec<_>>());
    println!("\nappended {n}");
}

#[test]
fn a_line_the_disk_took_only_half_of_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    // Past the limit a write takes what still fits, the next one fails.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let exe = std::env::current_exe().unwrap();
    let cmd = ox::kit::child::Cmd::new("sh")
        .deadline(crate::support::HANG)
        .args(["-c", script, "sh"])
        .arg(exe)
        .args(["queue::child_that_hits_the_limit", "--exact", "--nocapture", "--test-threads=1"])
        .keep_all_env()
        .env(DIR, dir.path());
    let out = run(cmd, "child with a file size limit".into()).ok().stdout;
    let count = out.lines().find_map(|l| l.strip_prefix("appended ")).unwrap().parse().unwrap();
    assert!(count > 10, "{out}");
    let limits = Limits { segment: 1 << 20, ..LIMITS };
    let (mut queue, found) = Queue::open(dir.path(), limits).unwrap();
    assert_eq!((found.torn, found.missing, found.cursor_lost), (0, 0, false));
    queue.append(&record(count)).unwrap();
    assert_eq!(numbers(&mut queue), (0..=count).collect::<Vec<_>>());
}
