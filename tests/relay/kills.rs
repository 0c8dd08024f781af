//! The queue of a process that is killed at any of its steps: what the reader has and what waits is what was put in, each once.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use ox::kit::rng::Rng;
use ox::relay::queue::AccountQueue;

use super::facts::*;
use crate::support::seed::{self, rounds};

/// Where the child works; without it the child's test does nothing.
const DIR: &str = "OX_TEST_RELAY_KILLS";
/// Room for all that the children have refused, and small enough that kills fall between segments too.
const LIMIT: u64 = 8 << 20;
/// What the child says before or after each of its steps.
const POINTS: [&str; 8] = ["feed", "fed", "handed", "sent", "acking", "acked", "rejecting", "rejected"];

/// The process that is killed: takes events up, sends them to a file that stands for the server, acknowledges them, and puts some aside.
#[test]
fn child_that_relays() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let say = |point: &str| println!("\n{point}");
    let bench = Bench::new();
    let (mut queue, _) = AccountQueue::open(&dir.join("relay"), &account(), LIMIT).unwrap();
    let mut server = OpenOptions::new().append(true).create(true).open(dir.join("server")).unwrap();
    // Whoever was killed before may have left a line without an end.
    server.write_all(b"\n").unwrap();
    loop {
        let next = queue.fed();
        say("feed");
        bench.feed(&mut queue, next..next + 60);
        say("fed");
        while let Some(batch) = queue.next(25, BATCH).unwrap() {
            say("handed");
            let first = number(&batch.records[0].bytes);
            if first % 7 == 0 {
                say("rejecting");
                queue.reject(&batch.records[0], "no", 1).unwrap();
                say("rejected");
                continue;
            }
            let mut frame = batch.raw().join(&b'\n');
            frame.push(b'\n');
            server.write_all(&frame).unwrap();
            say("sent");
            say("acking");
            queue.ack(batch.upto).unwrap();
            say("acked");
        }
    }
}

/// Lets a child go on until it has said a word so often, and kills it.
fn kill_one(dir: &Path, point: &str, times: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["relay::kills::child_that_relays", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        heard += u64::from(line.unwrap() == point);
        if heard == times {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard >= times, "the child ended by itself");
}

#[test]
fn rly_07_kill_9_at_each_step_loses_nothing_and_doubles_nothing() {
    seed::with("relay::kills::rly_07", seed::fresh(), kills);
}

fn kills(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(seed);
    let mut kills = 0;
    for round in 0..rounds(2, 100) {
        for point in POINTS {
            kill_one(dir.path(), point, 1 + rng.below(6));
            kills += 1;
            if round % 10 == 0 {
                check(dir.path(), kills, &format!("round {round}, {point}"));
            }
        }
    }
    check(dir.path(), kills, "at the end");
}

/// All events that were looked at are at the server, aside or waiting, by their bytes, and few are at the server twice.
fn check(dir: &Path, kills: u64, when: &str) {
    let (mut queue, _) = AccountQueue::open(&dir.join("relay"), &account(), LIMIT).unwrap();
    let recorder = recorder();
    let mut at: BTreeMap<i64, u64> = BTreeMap::new();
    let mut found = |record: &[u8]| {
        let n = number(record);
        assert_eq!(record, recorder.line(&fact(n)).unwrap(), "{when}: {n}");
        *at.entry(n).or_default() += 1;
    };
    let server = fs::read(dir.join("server")).unwrap_or_default();
    let mut lines: Vec<&[u8]> = server.split(|b| *b == b'\n').collect();
    // What was killed while it wrote was not sent.
    lines.pop();
    let mut whole = 0;
    for line in lines {
        if serde_json::from_slice::<serde_json::Value>(line).is_ok() {
            found(line);
            whole += 1;
        }
    }
    let stats = queue.stats().unwrap();
    for dead in queue.dead(usize::MAX).unwrap() {
        found(dead.record.get().as_bytes());
    }
    for batch in queue.peek(usize::MAX, 100, BATCH).unwrap() {
        batch.raw().into_iter().for_each(&mut found);
    }
    assert_eq!(
        (stats.dropped_total, queue.dead(usize::MAX).unwrap().len() as u64),
        (0, stats.dead),
        "{when}"
    );
    let lost: Vec<i64> = (0..queue.fed()).filter(|n| !at.contains_key(n)).collect();
    assert_eq!(lost, Vec::<i64>::new(), "{when}: lost");
    assert!(at.keys().all(|n| *n < queue.fed()), "{when}: there without having been");
    let twice: u64 = at.values().map(|n| n - 1).sum();
    assert!(twice <= kills * 25, "{when}: {twice} twice after {kills} kills, {whole} sent");
}
