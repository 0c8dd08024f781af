//! Where records wait: nothing lost, nothing doubled, nothing without a limit, nobody else's.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use ox::kit::jsonl::QueueError;
use ox::relay::account::Account;
use ox::relay::frame::{self, Shape};
use ox::relay::gate::{Closed, Login, gate};
use ox::relay::preview::{self, Cut};
use ox::relay::queue::{AccountQueue, Error, purge};
use ox::relay::record::OVERFLOW;
use proptest::prelude::*;
use serde_json::Value;

use super::facts::*;

#[test]
fn a9_05_nothing_is_taken_up_while_logged_out_and_what_waits_has_a_limit() {
    let tmp = tempfile::tempdir().unwrap();
    let env = ox::project::Env::of([("HOME", tmp.path().as_os_str())], tmp.path());
    let dirs = ox::project::Dirs::from_env(&env).unwrap();
    let url = "https://relay.example";
    let consents = || ox::project::RelayConsents::load(&dirs).unwrap();
    let login = Login { account: account(), since_ms: 1_000 };
    let mut relay = settings();
    assert_eq!(gate(&relay, Some(&login), &consents()), Err(Closed::Off));
    relay.enabled = true;
    assert_eq!(gate(&relay, Some(&login), &consents()), Err(Closed::NoServer));
    relay.url = format!("{url}/");
    assert_eq!(gate(&relay, None, &consents()), Err(Closed::LoggedOut(url.into())));
    let elsewhere = Login { account: Account::new("https://other.example", "user-1"), since_ms: 0 };
    assert_eq!(gate(&relay, Some(&elsewhere), &consents()), Err(Closed::LoggedOut(url.into())));
    assert_eq!(gate(&relay, Some(&login), &consents()), Err(Closed::NoConsent(url.into())));
    let (kinds, now) = (ox::project::DataKind::ALL, jiff::Timestamp::from_millisecond(500).unwrap());
    ox::project::RelayConsents::grant(&dirs, url, &kinds[..1], now).unwrap();
    let open = gate(&relay, Some(&login), &consents()).unwrap();
    assert_eq!((open.account, open.since_ms), (account(), 1_000));
    assert!(!open.told.models && !open.told.projects);
    // A changed server asks anew, and one sink's consent is not the other's.
    relay.sink = ox::project::RelaySink::Otlp;
    assert_eq!(gate(&relay, Some(&login), &consents()), Err(Closed::NoCollector));
    relay.otlp_url = "http://127.0.0.1:4318".into();
    assert!(matches!(gate(&relay, Some(&login), &consents()), Err(Closed::NoConsent(_))));

    let bench = Bench::new();
    let mut queue = bench.open();
    let mut dropped = 0;
    for n in 0..40 {
        dropped += bench.feed(&mut queue, n * 100..(n + 1) * 100).dropped;
        let size: u64 = files(&bench.dir()).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(size <= SMALL + 8192, "{size}");
    }
    assert!(dropped > 1000 && queue.is_full());
    let first = i64::try_from(dropped).unwrap();
    assert_eq!(waiting(&mut queue), (first..4000).collect::<Vec<_>>(), "the oldest went, and nothing else");
    let stats = queue.stats().unwrap();
    assert_eq!((stats.dropped_total, stats.events), (dropped, 4000 - dropped));
    assert_eq!(stats.oldest_ms, Some(1_796_000_000_000 + first));
    // Nobody is told while there is no room, and once when there is.
    let mut told = Vec::new();
    while let Some(batch) = queue.next(100, BATCH).unwrap() {
        let records = batch.raw().into_iter().map(|raw| serde_json::from_slice::<Value>(raw).unwrap());
        told.extend(records.filter(|record| record["event_type"] == OVERFLOW));
        assert_eq!(queue.ack(batch.upto).unwrap(), batch.count);
        bench.feed(&mut queue, 0..0);
    }
    assert_eq!(told.len(), 1);
    assert_eq!((told[0]["dropped"].as_u64(), &told[0]["integration"]), (Some(dropped), &"ox".into()));
    assert_eq!(queue.stats().unwrap().acked_total, 4000 - dropped + 1);
    drop(queue);
    bench.feed(&mut bench.open(), 0..0);
    assert_eq!(bench.open().stats().unwrap().events, 0, "told once, also after a start");
}

#[test]
fn a9_06_an_event_has_its_id_before_it_is_sent_and_keeps_it() {
    let bench = Bench::new();
    let mut queue = bench.open();
    bench.feed(&mut queue, 0..10);
    let first = queue.next(10, BATCH).unwrap().unwrap();
    let ids: Vec<String> = first
        .raw()
        .into_iter()
        .map(|raw| {
            serde_json::from_slice::<Value>(raw).unwrap()["client_event_id"].as_str().unwrap().to_owned()
        })
        .collect();
    let form = |id: &String| uuid::Uuid::parse_str(id).map(|id| (id.get_version_num(), id.get_variant()));
    assert!(ids.iter().all(|id| form(id) == Ok((8, uuid::Variant::RFC4122))));
    let on_disk = fs::read_to_string(&segments(&bench.dir())[0]).unwrap();
    assert!(ids.iter().all(|id| on_disk.contains(id)));
    // Again after a lost connection, after a start, and after the server refused it once.
    queue.release();
    assert_eq!(queue.next(10, BATCH).unwrap().unwrap(), first);
    drop(queue);
    let mut queue = bench.open();
    let again = queue.next(10, BATCH).unwrap().unwrap();
    assert_eq!(again, first);
    queue.reject(&again.records[0], "invalid", 9).unwrap();
    assert_eq!(queue.retry_dead().unwrap(), 1);
    queue.release();
    let last = queue.next(10, BATCH).unwrap().unwrap();
    assert_eq!(last.records[9].bytes, first.records[0].bytes);
    // A second source that tells of the same event makes the same id.
    let by_transcript =
        ox::relay::record::Fact { sources: vec![ox::relay::record::Source::Transcript], at_ms: 1, ..fact(0) };
    let line: Value = serde_json::from_slice(&bench.recorder.line(&by_transcript).unwrap()).unwrap();
    assert_eq!(line["client_event_id"], ids[0].as_str());
}

#[test]
fn a9_07_lines_that_are_no_records_are_put_aside_and_never_in_the_way() {
    let bench = Bench::new();
    let mut queue = bench.open();
    bench.feed(&mut queue, 0..3);
    drop(queue);
    let bad =
        ["not json", "{\"client_event_id\":\"no envelope\"}", "{\"q\":[0,9],\"r\":{\"no\":\"id\"}}", ""];
    let long = format!("{{\"q\":[0,9],\"r\":{{\"client_event_id\":\"{}\"}}}}", "x".repeat(40 << 10));
    let segment = segments(&bench.dir()).pop().unwrap();
    let mut file = OpenOptions::new().append(true).open(&segment).unwrap();
    file.write_all(format!("{}\n{long}\n", bad.join("\n")).as_bytes()).unwrap();
    let mut queue = bench.open();
    bench.feed(&mut queue, 3..6);
    for _ in 0..2 {
        assert_eq!(waiting(&mut queue), [0, 1, 2, 3, 4, 5]);
        assert_eq!(queue.next(100, BATCH).unwrap().unwrap().count, 6);
    }
    let stats = queue.stats().unwrap();
    assert_eq!((stats.dead_total, stats.events), (4, 6), "each counted once, an empty line not at all");
    let aside = fs::read_to_string(bench.dir().join("damaged")).unwrap();
    assert!(bad[..3].iter().all(|line| aside.contains(line)));
    // A queue of nothing else is an empty one.
    let batch = queue.next(100, BATCH).unwrap().unwrap();
    queue.ack(batch.upto).unwrap();
    drop(queue);
    let segment = segments(&bench.dir()).pop().unwrap();
    OpenOptions::new().append(true).open(segment).unwrap().write_all(b"nothing\n").unwrap();
    let mut queue = bench.open();
    assert_eq!(queue.next(100, BATCH).unwrap(), None);
    assert_eq!((queue.stats().unwrap().events, queue.stats().unwrap().bytes), (0, 0));
}

#[test]
fn a9_11_what_cannot_be_looked_at_is_an_error_and_no_empty_queue() {
    let bench = Bench::new();
    let mut queue = bench.open();
    assert_eq!(queue.next(10, BATCH).unwrap(), None, "nothing there is nothing to do");
    bench.feed(&mut queue, 0..3);
    let segment = segments(&bench.dir()).pop().unwrap();
    let aside = segment.with_extension("aside");
    fs::rename(&segment, &aside).unwrap();
    fs::create_dir(&segment).unwrap();
    assert!(matches!(queue.next(10, BATCH), Err(Error::Queue(QueueError::Io { .. }))));
    assert!(matches!(queue.peek(1, 10, BATCH), Err(Error::Queue(QueueError::Io { .. }))));
    fs::remove_dir(&segment).unwrap();
    fs::rename(&aside, &segment).unwrap();
    assert_eq!(queue.next(10, BATCH).unwrap().unwrap().count, 3);
    drop(queue);
    let cursor = bench.dir().join("cursor");
    fs::rename(&cursor, &aside).unwrap();
    fs::create_dir(&cursor).unwrap();
    assert!(AccountQueue::open(&bench.relay, &account(), SMALL).is_err());
    fs::remove_dir(&cursor).unwrap();
    fs::rename(&aside, &cursor).unwrap();
    let ours = bench.dir().join("account.json");
    fs::rename(&ours, &aside).unwrap();
    fs::create_dir(&ours).unwrap();
    assert!(matches!(AccountQueue::open(&bench.relay, &account(), SMALL), Err(Error::Io { .. })));
}

/// The process whose files would be everybody's.
#[test]
fn child_without_a_mask() {
    let Some(relay) = std::env::var_os("OX_TEST_RELAY_DIR") else { return };
    rustix::process::umask(rustix::fs::Mode::empty());
    let bench = Bench::new();
    let (mut queue, _) = AccountQueue::open(relay.as_ref(), &account(), SMALL).unwrap();
    bench.feed(&mut queue, 0..2000);
    let batch = queue.next(1, BATCH).unwrap().unwrap();
    queue.reject(&batch.records[0], "invalid", 1).unwrap();
}

#[test]
fn a9_12_what_waits_is_for_its_owner_alone_from_the_first_byte() {
    let bench = Bench::new();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["relay::queue::child_without_a_mask", "--exact"]).env("OX_TEST_RELAY_DIR", &bench.relay);
    assert!(child.output().unwrap().status.success());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for dir in [bench.relay.clone(), bench.relay.join("queue"), bench.dir(), bench.dir().join("dead")] {
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
    }
    let files = files(&bench.relay);
    assert!(files.len() > 5);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn one_accounts_events_are_never_anothers() {
    let bench = Bench::new();
    let mut queue = bench.open();
    bench.feed(&mut queue, 0..5);
    let others = [
        Account::new("https://relay.example", "user-2"),
        Account::new("https://other.example", "user-1"),
        Account::new("https://relay.example", ""),
    ];
    for other in &others {
        let (mut its, _) = AccountQueue::open(&bench.relay, other, SMALL).unwrap();
        assert_eq!(its.next(10, BATCH).unwrap(), None);
        assert_eq!(its.account(), other);
    }
    assert!(matches!(
        AccountQueue::open(&bench.relay, &account(), SMALL),
        Err(Error::Queue(QueueError::Busy { .. }))
    ));
    assert!(matches!(purge(&bench.relay, &account()), Err(Error::Queue(QueueError::Busy { .. }))));
    drop(queue);
    // A directory that was given another name, or lost what says whose it is.
    let theirs = ox::relay::queue::dir_of(&bench.relay, &others[0]);
    fs::remove_dir_all(&theirs).unwrap();
    fs::rename(bench.dir(), &theirs).unwrap();
    let refused = AccountQueue::open(&bench.relay, &others[0], SMALL).unwrap_err();
    assert!(matches!(refused, Error::WrongAccount { .. }), "{refused}");
    for text in [Some("{}"), Some(""), None] {
        match text {
            Some(text) => fs::write(theirs.join("account.json"), text).unwrap(),
            None => fs::remove_file(theirs.join("account.json")).unwrap(),
        }
        let refused = AccountQueue::open(&bench.relay, &others[0], SMALL).unwrap_err();
        assert!(matches!(refused, Error::NoAccount { .. }), "{refused}");
    }
    assert!(purge(&bench.relay, &others[0]).unwrap() && !theirs.exists());
    assert!(!purge(&bench.relay, &others[0]).unwrap());
}

#[test]
fn only_what_was_handed_out_is_acknowledged_and_refused_records_wait_for_somebody() {
    let bench = Bench::new();
    let mut queue = bench.open();
    bench.feed(&mut queue, 0..10);
    let all = queue.peek(1, 100, BATCH).unwrap().remove(0);
    assert_eq!(queue.ack(all.upto).unwrap(), 0, "a look hands nothing out");
    let batch = queue.next(4, BATCH).unwrap().unwrap();
    queue.sent(batch.count);
    assert_eq!(queue.ack(all.upto).unwrap(), 4);
    assert_eq!(queue.ack(batch.upto).unwrap(), 0, "twice");
    let batch = queue.next(4, BATCH).unwrap().unwrap();
    assert_eq!(numbers(&batch), [4, 5, 6, 7]);
    // Half of it, then one that the server refuses, out of its turn and in it.
    assert_eq!(queue.ack(batch.records[0].upto).unwrap(), 1);
    assert!(matches!(queue.reject(&batch.records[2], "bad", 7), Err(Error::NotOldest)));
    queue.reject(&batch.records[1], "bad", 7).unwrap();
    let dead = queue.dead(10).unwrap();
    assert_eq!((dead.len(), dead[0].code.as_str(), dead[0].at_ms), (1, "bad", 7));
    assert_eq!(number(dead[0].record.get().as_bytes()), 5);
    assert_eq!(waiting(&mut queue), [6, 7, 8, 9]);
    drop(queue);
    let mut queue = bench.open();
    let stats = queue.stats().unwrap();
    assert_eq!((stats.acked_total, stats.sent_total, stats.dead_total, stats.dead), (5, 4, 1, 1));
    assert_eq!(queue.retry_dead().unwrap(), 1);
    assert_eq!(waiting(&mut queue), [6, 7, 8, 9, 5]);
    assert_eq!((queue.fed(), queue.stats().unwrap().dead), (10, 0));
    let batch = queue.next(1, BATCH).unwrap().unwrap();
    queue.reject(&batch.records[0], "bad", 8).unwrap();
    assert_eq!(queue.clear_dead().unwrap(), 1);
    assert_eq!((queue.dead(10).unwrap().len(), queue.stats().unwrap().dead_total), (0, 2));
}

#[test]
fn refused_records_have_a_limit_and_the_oldest_go() {
    let bench = Bench::new();
    let mut queue = bench.open();
    let mut n = 0;
    for _ in 0..15 {
        bench.feed(&mut queue, n..n + 100);
        n += 100;
        while let Some(batch) = queue.next(100, BATCH).unwrap() {
            for record in &batch.records {
                queue.reject(record, "no", n).unwrap();
            }
        }
    }
    let dead = queue.dead(usize::MAX).unwrap();
    assert!(dead.len() < 1400 && dead.len() as u64 == queue.stats().unwrap().dead);
    assert_eq!(number(dead.last().unwrap().record.get().as_bytes()), 1499);
    let size: u64 = files(&bench.dir().join("dead")).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(size <= SMALL / 4 + 4096, "{size}");
}

#[test]
fn what_is_being_sent_does_not_go_for_room() {
    let bench = Bench::new();
    let mut queue = bench.open();
    bench.feed(&mut queue, 0..100);
    let batch = queue.next(50, BATCH).unwrap().unwrap();
    bench.feed(&mut queue, 100..4000);
    assert!(queue.stats().unwrap().dropped_total > 0);
    assert_eq!(queue.ack(batch.upto).unwrap(), 50);
    assert_eq!(numbers(&queue.next(10, BATCH).unwrap().unwrap()), (50..60).collect::<Vec<_>>());
    let left = waiting(&mut queue);
    assert_eq!(left.len() as u64 + 50 + queue.stats().unwrap().dropped_total, 4000);
    drop(queue);
    assert_eq!(waiting(&mut bench.open()), left);
}

#[test]
fn a_batch_is_as_small_as_was_asked_for_and_a_preview_is_what_is_sent() {
    let bench = Bench::new();
    let mut queue = bench.open();
    bench.feed(&mut queue, 0..100);
    let cut = Cut { shape: Shape::Frame, events: 30, bytes: 4096 };
    let shown = preview::next(&mut queue, 3, cut).unwrap();
    assert_eq!(shown.len(), 3);
    for preview in shown {
        let batch = queue.next(30, 4096).unwrap().unwrap();
        let raw = batch.raw();
        assert_eq!(
            (preview.count, batch.bytes),
            (batch.count, raw.iter().map(|raw| raw.len()).sum::<usize>())
        );
        assert_eq!(preview.bytes, frame::batch_frame(&frame::batch_id(&raw), &raw));
        assert!(preview.bytes.len() <= 4096 && frame::batch_body(&raw).len() <= 4096);
        assert!(batch.count > 1 && batch.count < 30);
        let value: Value = serde_json::from_slice(&preview.bytes).unwrap();
        assert_eq!(value["events"].as_array().unwrap().len(), batch.count);
        queue.ack(batch.upto).unwrap();
    }
    // One in any case.
    assert_eq!(queue.next(0, 1).unwrap().unwrap().count, 1);
    let facts = [fact(1), fact(2)];
    let would = preview::of_facts(facts.iter(), &bench.recorder, Shape::Body, 1).unwrap();
    let line = bench.recorder.line(&facts[0]).unwrap();
    assert_eq!(would.bytes, frame::batch_body(&[&line]));
    assert_eq!(preview::of_facts([].iter(), &bench.recorder, Shape::Otlp, 1), None);
}

/// Reads a queue that others filled, for its parent to see what that takes.
#[test]
fn child_that_reads_a_full_queue() {
    let Some(relay) = std::env::var_os("OX_TEST_RELAY_FULL") else { return };
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        // Not what is mapped of the program itself.
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let (mut queue, _) = AccountQueue::open(relay.as_ref(), &account(), 52_428_800).unwrap();
    let (mut read, mut most) = (0, resident());
    while let Some(batch) = queue.next(100, BATCH).unwrap() {
        read += batch.bytes;
        queue.ack(batch.upto).unwrap();
        most = most.max(resident());
    }
    println!("\nread {read} bytes in {} KiB", most - before);
}

#[test]
fn res_02_a_full_queue_is_read_in_little_memory() {
    let bench = Bench::new();
    drop(bench.open());
    let text = String::from_utf8(bench.recorder.line(&fact(1)).unwrap()).unwrap();
    let line = format!("{{\"q\":[0,1],\"r\":{text}}}\n");
    let (mut bytes, mut number) = (0, 1);
    while bytes < 47_000_000 {
        let lines = line.repeat((4 << 20) / line.len());
        fs::write(bench.dir().join(format!("{number:016}.jsonl")), &lines).unwrap();
        (bytes, number) = (bytes + lines.len(), number + 1);
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["relay::queue::child_that_reads_a_full_queue", "--exact", "--nocapture"])
        .env("OX_TEST_RELAY_FULL", &bench.relay);
    let out = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let said: Vec<_> = out.lines().find(|line| line.starts_with("read ")).unwrap().split(' ').collect();
    let (read, kib): (usize, u64) = (said[1].parse().unwrap(), said[4].parse().unwrap());
    assert_eq!(read, bytes / line.len() * text.len());
    assert!(kib <= 8 << 10, "{kib} KiB");
}

#[derive(Clone, Debug)]
enum Step {
    Feed(i64),
    Next(usize),
    Ack(usize),
    Reject,
    Release,
    Retry,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0i64..60).prop_map(Step::Feed),
        4 => (1usize..50).prop_map(Step::Next),
        4 => (0usize..50).prop_map(Step::Ack),
        1 => Just(Step::Reject),
        1 => Just(Step::Release),
        1 => Just(Step::Retry),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Beside a list that does the same.
    #[test]
    fn it_is_a_list_from_which_only_the_front_goes(steps in prop::collection::vec(step(), 1..40)) {
        let bench = Bench::new();
        let mut queue = bench.open();
        let (mut model, mut dead, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let (mut next, mut acked, mut rejected) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Feed(count) => {
                    // What was looked at already is passed over.
                    bench.feed(&mut queue, (next - 5).max(0)..next + count);
                    model.extend(next..next + count);
                    next += count;
                }
                Step::Next(count) => {
                    let batch = queue.next(count, BATCH).unwrap();
                    out = batch.map_or(Vec::new(), |batch| batch.records);
                    let there: Vec<i64> = out.iter().map(|record| number(&record.bytes)).collect();
                    prop_assert_eq!(&there, &model[..count.min(model.len())]);
                }
                Step::Ack(count) => {
                    let count = count.min(out.len());
                    if let Some(last) = count.checked_sub(1).map(|n| out[n].upto) {
                        prop_assert_eq!(queue.ack(last).unwrap(), count);
                    }
                    out.drain(..count);
                    model.drain(..count);
                    acked += count as u64;
                }
                Step::Reject => {
                    if !out.is_empty() {
                        queue.reject(&out.remove(0), "no", 1).unwrap();
                        dead.push(model.remove(0));
                        rejected += 1;
                    }
                }
                Step::Release => {
                    queue.release();
                    out.clear();
                }
                Step::Retry => {
                    prop_assert_eq!(queue.retry_dead().unwrap(), dead.len() as u64);
                    model.append(&mut dead);
                }
                Step::Reopen => {
                    drop(queue);
                    queue = bench.open();
                    out.clear();
                }
            }
            prop_assert_eq!(waiting(&mut queue), model.clone());
            let stats = queue.stats().unwrap();
            prop_assert_eq!((stats.events, stats.dead), (model.len() as u64, dead.len() as u64));
            prop_assert_eq!((stats.acked_total, stats.dead_total, stats.dropped_total), (acked, rejected, 0));
            prop_assert_eq!(stats.bytes == 0, model.is_empty());
            prop_assert_eq!(queue.fed(), next);
        }
    }
}
