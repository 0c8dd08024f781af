use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { record: 100, segment: 256, total: 1024 };

fn open(dir: &Path) -> (Queue, Found) {
    Queue::open(dir, SMALL).unwrap()
}

/// A record that can be told from all others.
fn record(n: u64, length: usize) -> Vec<u8> {
    format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(length)).into_bytes()
}

fn number(record: &[u8]) -> u64 {
    serde_json::from_slice::<serde_json::Value>(record).unwrap()["n"].as_u64().unwrap()
}

/// Everything from the cursor on, read in small batches.
fn numbers(queue: &mut Queue) -> Vec<u64> {
    let mut from = queue.position();
    let mut out = Vec::new();
    loop {
        let batch = queue.read(from, 3, 150).unwrap();
        let Some(last) = batch.last() else { return out };
        from = last.next;
        out.extend(batch.iter().map(|r| number(&r.bytes)));
    }
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    list(dir).unwrap().iter().map(|s| dir.join(file_name(s.number))).collect()
}

#[test]
fn records_come_back_in_order_and_again_until_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, found) = open(dir.path());
    assert_eq!(found, Found::default());
    for n in 0..12 {
        assert_eq!(queue.append(&record(n, 20)).unwrap(), 0);
    }
    assert_eq!(numbers(&mut queue), (0..12).collect::<Vec<_>>());
    let batch = queue.read(queue.position(), 5, 1 << 20).unwrap();
    queue.ack(batch[4].next).unwrap();
    let pending = queue.pending();
    drop(queue);
    let (mut queue, found) = open(dir.path());
    assert_eq!(found, Found { pending, ..Found::default() });
    assert_eq!(numbers(&mut queue), (5..12).collect::<Vec<_>>());
}

#[test]
fn acknowledged_segments_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    for n in 0..20 {
        queue.append(&record(n, 20)).unwrap();
    }
    assert!(segment_files(dir.path()).len() > 2);
    let all = queue.read(queue.position(), 100, 1 << 20).unwrap();
    queue.ack(all[19].next).unwrap();
    assert_eq!((queue.pending(), segment_files(dir.path()).len()), (0, 1));
    // Acknowledging what is behind changes nothing.
    queue.ack(all[3].next).unwrap();
    assert!(numbers(&mut queue).is_empty());
    for n in 20..24 {
        queue.append(&record(n, 20)).unwrap();
        let all = queue.read(queue.position(), 100, 1 << 20).unwrap();
        queue.ack(all[0].next).unwrap();
    }
    assert_eq!(segment_files(dir.path()).len(), 1);
    queue.append(&record(24, 80)).unwrap();
    assert_eq!(segment_files(dir.path()).len(), 1, "a full segment with nothing unread stayed");
    assert_eq!(numbers(&mut queue), [24]);
}

#[test]
fn at_the_cap_the_oldest_segment_goes_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    let mut dropped = 0;
    for n in 0..100 {
        dropped += queue.append(&record(n, 20)).unwrap();
        assert!(queue.size() <= SMALL.total);
        let on_disk: u64 = segment_files(dir.path()).iter().map(|p| fs::metadata(p).unwrap().len()).sum();
        assert_eq!(on_disk, queue.size());
    }
    assert!(dropped > 50);
    assert_eq!(queue.losses(), Losses { dropped, ..Losses::default() });
    assert_eq!(numbers(&mut queue), (dropped..100).collect::<Vec<_>>());
    drop(queue);
    let (mut queue, _) = open(dir.path());
    assert_eq!(queue.losses().dropped, dropped);
    assert_eq!(numbers(&mut queue), (dropped..100).collect::<Vec<_>>());
}

#[test]
fn what_cannot_come_back_as_one_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    for bad in [&b""[..], b"{", b"{}\n", b"{\n}", b"{} {}", b"\xff"] {
        assert!(matches!(queue.append(bad), Err(QueueError::NotJson)), "{bad:?}");
    }
    let long = record(1, 100);
    assert!(matches!(queue.append(&long), Err(QueueError::TooLong { limit: 100, .. })));
    assert_eq!(queue.pending(), 0);
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for limits in [Limits { record: 256, ..SMALL }, Limits { total: 511, ..SMALL }] {
        assert!(matches!(Queue::open(dir.path(), limits), Err(QueueError::Limits { .. })));
    }
}

#[test]
fn only_one_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, _) = open(dir.path());
    assert!(matches!(Queue::open(dir.path(), SMALL), Err(QueueError::Busy { .. })));
    drop(queue);
    open(dir.path());
}

#[test]
fn a_torn_last_line_is_cut_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    queue.append(&record(0, 5)).unwrap();
    drop(queue);
    let path = segment_files(dir.path()).remove(0);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"n\":1,\0\0\0").unwrap();
    let (mut queue, found) = open(dir.path());
    assert_eq!((found.torn, queue.losses().torn), (10, 1));
    queue.append(&record(2, 5)).unwrap();
    assert_eq!(numbers(&mut queue), [0, 2]);
    drop(queue);
    assert_eq!(open(dir.path()).1.torn, 0);
}

#[test]
fn damaged_lines_are_passed_over_kept_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    queue.append(&record(0, 5)).unwrap();
    drop(queue);
    let path = segment_files(dir.path()).remove(0);
    let long = "y".repeat(300);
    let damage = format!("{{broken\n\n{long}\n");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(damage.as_bytes()).unwrap();
    let (mut queue, _) = open(dir.path());
    queue.append(&record(1, 5)).unwrap();
    for _ in 0..2 {
        assert_eq!(numbers(&mut queue), [0, 1]);
    }
    drop(queue);
    let (mut queue, _) = open(dir.path());
    assert_eq!(numbers(&mut queue), [0, 1]);
    assert_eq!(queue.losses().damaged, 2, "an empty line is no damage");
    let kept = fs::read_to_string(dir.path().join("damaged")).unwrap();
    assert_eq!(kept, format!("{{broken\n{}\n", &long[..SMALL.record]));
}

#[test]
fn damage_at_the_end_does_not_stay_pending() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    queue.append(&record(0, 5)).unwrap();
    drop(queue);
    let path = segment_files(dir.path()).remove(0);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"broken\n").unwrap();
    let (mut queue, _) = open(dir.path());
    let batch = queue.read(queue.position(), 10, 1000).unwrap();
    queue.ack(batch[0].next).unwrap();
    assert!(numbers(&mut queue).is_empty());
    assert_eq!((queue.pending(), queue.losses().damaged), (0, 1));
}

#[test]
fn damaged_lines_kept_aside_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, _) = open(dir.path());
    let piece = vec![b'z'; 100 << 10];
    for _ in 0..40 {
        queue.set_aside(&piece).unwrap();
    }
    for name in ["damaged", "damaged.old"] {
        assert!(fs::metadata(dir.path().join(name)).unwrap().len() <= DAMAGED_MAX, "{name}");
    }
}

#[test]
fn a_lost_or_wrong_cursor_means_twice_and_never_not_at_all() {
    for text in [
        None,
        Some(""),
        Some("{\"read\":"),
        Some(
            r#"{"read":{"segment":1,"offset":7},"inspected":{"segment":0,"offset":0},"losses":{"dropped":0,"damaged":0,"torn":0}}"#,
        ),
        Some(
            r#"{"read":{"segment":99,"offset":5},"inspected":{"segment":0,"offset":0},"losses":{"dropped":0,"damaged":0,"torn":0}}"#,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (mut queue, _) = open(dir.path());
        for n in 0..10 {
            queue.append(&record(n, 20)).unwrap();
        }
        drop(queue);
        let path = dir.path().join("cursor");
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (mut queue, found) = open(dir.path());
        assert!(found.cursor_lost, "{text:?}");
        assert_eq!(numbers(&mut queue), (0..10).collect::<Vec<_>>(), "{text:?}");
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    for n in 0..26 {
        queue.append(&record(n, 20)).unwrap();
    }
    drop(queue);
    let files = segment_files(dir.path());
    fs::remove_file(&files[0]).unwrap();
    fs::remove_file(&files[2]).unwrap();
    let (mut queue, found) = open(dir.path());
    assert!(!found.cursor_lost);
    assert_eq!(found.missing, 2, "{found:?}");
    assert!(numbers(&mut queue).len() >= 5);
}

#[test]
fn leftovers_of_the_cursor_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::write(dir.path().join(".cursor.1.2.tmp"), "{").unwrap();
    drop(open(dir.path()));
    assert!(!dir.path().join(".cursor.1.2.tmp").exists());
}

/// Fails appends by putting `broken` in the place of the tail, and checks that nothing but the failed record is missing.
fn check_failed_append(broken: File) {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    queue.append(&record(0, 5)).unwrap();
    queue.tail = Some(broken);
    assert!(matches!(queue.append(&record(1, 5)), Err(QueueError::Io { .. })));
    assert_eq!(numbers(&mut queue), [0]);
    queue.append(&record(2, 5)).unwrap();
    assert_eq!(numbers(&mut queue), [0, 2]);
    drop(queue);
    assert_eq!(numbers(&mut open(dir.path()).0), [0, 2]);
}

#[test]
fn a_full_disk_fails_the_append_and_nothing_else() {
    check_failed_append(OpenOptions::new().append(true).open("/dev/full").unwrap());
}

#[test]
fn a_failed_sync_fails_the_append_and_nothing_else() {
    // A pipe takes the bytes and cannot be synced.
    let (_reader, writer) = io::pipe().unwrap();
    check_failed_append(std::os::fd::OwnedFd::from(writer).into());
}

#[test]
fn failing_again_and_again_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(dir.path());
    for n in 0..5 {
        queue.open_tail(1).unwrap();
        queue.tail = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
        queue.append(&record(n, 5)).unwrap_err();
        assert!(segment_files(dir.path()).is_empty());
    }
    queue.append(&record(9, 5)).unwrap();
    assert_eq!(numbers(&mut queue), [9]);
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Ack(usize),
    Reopen,
    Tear(usize),
    FailSync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..85).prop_map(Step::Append),
        3 => (0usize..12).prop_map(Step::Ack),
        1 => Just(Step::Reopen),
        1 => (1usize..60).prop_map(Step::Tear),
        1 => Just(Step::FailSync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_behaves_as_a_list_that_loses_only_what_it_counts(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path()).0;
        let mut model = VecDeque::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Append(length) => {
                    let dropped = queue.append(&record(next, length.min(SMALL.record - 20))).unwrap();
                    model.push_back(next);
                    next += 1;
                    model.drain(..usize::try_from(dropped).unwrap());
                }
                Step::Ack(count) => {
                    let batch = queue.read(queue.position(), count, 1 << 20).unwrap();
                    if let Some(last) = batch.last() {
                        queue.ack(last.next).unwrap();
                    }
                    model.drain(..batch.len());
                }
                Step::Reopen => {
                    drop(queue);
                    let found;
                    (queue, found) = open(dir.path());
                    prop_assert_eq!(found.torn, 0);
                    prop_assert!(!found.cursor_lost);
                }
                Step::Tear(bytes) => {
                    drop(queue);
                    if let Some(path) = segment_files(dir.path()).last() {
                        let torn = vec![b'{'; bytes];
                        OpenOptions::new().append(true).open(path).unwrap().write_all(&torn).unwrap();
                    }
                    queue = open(dir.path()).0;
                }
                Step::FailSync => {
                    let (_reader, writer) = io::pipe().unwrap();
                    if queue.tail.is_some() {
                        queue.tail = Some(std::os::fd::OwnedFd::from(writer).into());
                        let fits = queue.segments.back().unwrap().length + 20 <= SMALL.segment;
                        let before = queue.losses().dropped;
                        let failed = queue.append(&record(next, 0)).is_err();
                        model.drain(..usize::try_from(queue.losses().dropped - before).unwrap());
                        if !failed {
                            prop_assert!(!fits);
                            model.push_back(next);
                            next += 1;
                        }
                    }
                }
            }
            prop_assert_eq!(numbers(&mut queue), model.iter().copied().collect::<Vec<_>>());
            prop_assert!(queue.size() <= SMALL.total);
            prop_assert_eq!(queue.pending() == 0, model.is_empty());
        }
        prop_assert_eq!(queue.losses().damaged, 0);
    }
}

/// All records, read and acknowledged.
fn drain(queue: &mut Queue) -> Vec<u64> {
    let all = numbers(queue);
    let last = queue.read(queue.position(), usize::MAX, usize::MAX).unwrap().last().map(|r| r.next);
    if let Some(last) = last {
        queue.ack(last).unwrap();
    }
    all
}

#[test]
fn what_is_put_in_at_the_door_comes_out_in_order_behind_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let inlet = Inlet::new(dir.path(), SMALL);
    let (mut queue, _) = open(dir.path());
    assert_eq!(queue.take_in().unwrap(), TakenIn::default());
    queue.append(&record(0, 20)).unwrap();
    for n in 1..10 {
        inlet.append(&record(n, 20)).unwrap();
    }
    assert_eq!(waiting(dir.path()).unwrap().records, 10);
    let taken = queue.take_in().unwrap();
    assert_eq!((taken.dropped, taken.bytes), (0, 9 * (record(1, 20).len() as u64 + 1)));
    queue.append(&record(10, 20)).unwrap();
    assert_eq!(waiting(dir.path()).unwrap().bytes, queue.pending());
    drop(queue);
    let (mut queue, found) = open(dir.path());
    assert_eq!((found.torn, found.missing, found.cursor_lost), (0, 0, false));
    assert_eq!(drain(&mut queue), (0..11).collect::<Vec<_>>());
    assert_eq!((waiting(dir.path()).unwrap(), queue.losses()), (Waiting::default(), Losses::default()));
    assert!(matches!(inlet.append(&record(0, 200)), Err(QueueError::TooLong { .. })));
    assert!(matches!(inlet.append(b"{}\n{}"), Err(QueueError::NotJson)));
}

#[test]
fn at_the_door_the_oldest_go_when_nobody_takes_them_in_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let inlet = Inlet::new(dir.path(), SMALL);
    for n in 0..200 {
        inlet.append(&record(n, 20)).unwrap();
        let size: u64 = closed_files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(size <= SMALL.total, "{size}");
    }
    let (mut queue, _) = open(dir.path());
    let dropped = queue.take_in().unwrap().dropped;
    let left = drain(&mut queue);
    assert!(dropped > 100 && left.len() > 10, "{dropped} {}", left.len());
    assert_eq!(left, (dropped..200).collect::<Vec<_>>());
    assert_eq!(queue.losses().dropped, dropped);
    assert_eq!(queue.take_in().unwrap(), TakenIn::default());
}

fn closed_files(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("in-")).collect()
}

#[test]
fn a_line_without_an_end_costs_nobody_elses_record() {
    let dir = tempfile::tempdir().unwrap();
    let inlet = Inlet::new(dir.path(), SMALL);
    inlet.append(&record(0, 5)).unwrap();
    let current = dir.path().join("in.jsonl");
    let cut = |text: &str| {
        let mut file = OpenOptions::new().append(true).open(&current).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    cut("{\"n\":1,\"x");
    inlet.append(&record(2, 5)).unwrap();
    // As when two found the same cut line.
    cut("\n");
    inlet.append(&record(3, 5)).unwrap();
    cut("\n{\"n\":4");
    let (mut queue, _) = open(dir.path());
    queue.take_in().unwrap();
    assert_eq!(drain(&mut queue), [0, 2, 3]);
    assert!(drain(&mut queue).is_empty());
    assert_eq!((queue.losses().damaged, queue.pending()), (2, 0));
    // A link in its place is nobody's door.
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &current).unwrap();
    assert!(inlet.append(&record(5, 5)).is_err());
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn rly_07_many_who_put_in_and_one_who_takes_in_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { record: 100, segment: 4096, total: 8 << 20 };
    let (mut queue, _) = Queue::open(dir.path(), limits).unwrap();
    let each = 2_000_u64;
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let inlet = Inlet::new(dir.path(), limits);
                scope.spawn(move || {
                    for n in 0..each {
                        inlet.append(&record(writer * each + n, 5)).unwrap();
                    }
                })
            })
            .collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            queue.take_in().unwrap();
            got.extend(drain(&mut queue));
        }
    });
    queue.take_in().unwrap();
    got.extend(drain(&mut queue));
    assert_eq!(queue.losses(), Losses::default());
    for writer in 0..4 {
        let own: Vec<u64> = got.iter().copied().filter(|n| n / each == writer).collect();
        let (mut sorted, count) = (own.clone(), own.len());
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((sorted.len(), count as u64), (usize::try_from(each).unwrap(), each), "writer {writer}");
    }
}
