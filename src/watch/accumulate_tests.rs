use std::time::Duration;

use super::*;

fn ms(ms: u64) -> Mono {
    Mono::ZERO + Duration::from_millis(ms)
}

fn one(path: &str, kind: Kind) -> Vec<Change> {
    vec![Change::new(path.as_bytes(), kind)]
}

/// Adds at a time, as if heard of right then.
fn add(acc: &mut Accumulator, at: u64, path: &str, kind: Kind) {
    acc.add(ms(at), ms(at), &one(path, kind));
}

#[test]
fn changes_of_one_path_collapse_as_the_table_says() {
    use Kind::{Created, Deleted, Modified, Renamed};
    let table = [
        (Created, [Some(Created), Some(Created), None, None]),
        (Modified, [Some(Modified), Some(Modified), Some(Deleted), Some(Renamed)]),
        (Deleted, [Some(Modified), Some(Modified), Some(Deleted), Some(Renamed)]),
        (Renamed, [Some(Modified), Some(Modified), Some(Deleted), Some(Renamed)]),
    ];
    for (pending, row) in table {
        for (new, expected) in [Created, Modified, Deleted, Renamed].into_iter().zip(row) {
            assert_eq!(collapse(pending, new), expected, "{pending} then {new}");
        }
    }
}

#[test]
fn a_batch_settles_three_seconds_after_the_last_change() {
    let mut acc = Accumulator::default();
    add(&mut acc, 0, "b", Kind::Modified);
    add(&mut acc, 2000, "a", Kind::Created);
    assert_eq!(acc.next_deadline(), Some(ms(5000)));
    assert_eq!(acc.settle(ms(4999)), None);
    let settled = acc.settle(ms(5000)).unwrap();
    assert_eq!(settled.changes, [one("a", Kind::Created), one("b", Kind::Modified)].concat());
    assert!(!settled.partial && !settled.desynced);
    assert_eq!(acc.next_deadline(), None);
}

#[test]
fn what_came_and_went_is_nothing() {
    let mut acc = Accumulator::default();
    add(&mut acc, 0, "a", Kind::Created);
    add(&mut acc, 1000, "a", Kind::Deleted);
    assert_eq!(acc.settle(ms(4000)), None);
    assert_eq!((acc.next_deadline(), acc.pending()), (None, 0));
}

#[test]
fn a_file_written_every_second_is_told_every_fifteen() {
    let mut acc = Accumulator::default();
    let told: Vec<u64> = (0..120)
        .filter(|s| {
            add(&mut acc, s * 1000, "log", Kind::Modified);
            acc.settle(ms(s * 1000)).is_some()
        })
        .collect();
    assert_eq!(told, [15, 31, 47, 63, 79, 95, 111]);
}

#[test]
fn while_git_is_at_work_nothing_settles_for_a_minute() {
    let mut acc = Accumulator::default();
    add(&mut acc, 0, "a", Kind::Modified);
    acc.git_busy(ms(1000), true);
    acc.git_busy(ms(30_000), true);
    assert!(!acc.git_is_late(ms(60_999)) && acc.git_is_late(ms(61_000)));
    assert_eq!(acc.settle(ms(60_999)), None);
    assert!(acc.settle(ms(61_000)).unwrap().partial);
    // Git has ended: all as usual.
    acc.git_busy(ms(70_000), true);
    acc.git_busy(ms(71_000), false);
    add(&mut acc, 72_000, "a", Kind::Modified);
    assert!(!acc.settle(ms(75_000)).unwrap().partial);
}

#[test]
fn moves_of_head_are_told_from_the_first_to_the_last_after_a_rest() {
    let oid = |n: u8| Some(git2::Oid::from_bytes(&[n; 20]).unwrap());
    let mut acc = Accumulator::default();
    acc.head_moved(ms(0), HeadMove { old: oid(1), new: oid(2) });
    acc.head_moved(ms(14_000), HeadMove { old: oid(2), new: oid(3) });
    assert_eq!(acc.next_deadline(), Some(ms(16_000)), "2 s after the last move, though held for 15");
    assert_eq!(acc.settle(ms(16_000)).unwrap().head_moved, Some(HeadMove { old: oid(1), new: oid(3) }));
    acc.head_moved(ms(20_000), HeadMove { old: oid(3), new: oid(4) });
    acc.head_moved(ms(21_000), HeadMove { old: oid(4), new: oid(3) });
    assert_eq!(acc.settle(ms(30_000)), None, "there and back again");
}

#[test]
fn too_many_changes_become_a_flag() {
    let mut acc = Accumulator::default();
    let many =
        |n: usize| (0..n).map(|n| Change::new(format!("{n}").as_bytes(), Kind::Created)).collect::<Vec<_>>();
    acc.add(ms(0), ms(0), &many(PENDING_MAX));
    assert_eq!((acc.pending(), acc.dropped()), (PENDING_MAX, 0));
    add(&mut acc, 0, "one more", Kind::Created);
    add(&mut acc, 0, "and one", Kind::Created);
    assert_eq!((acc.pending(), acc.dropped()), (0, PENDING_MAX as u64 + 2));
    let settled = acc.settle(ms(3000)).unwrap();
    assert!(settled.desynced && settled.changes.is_empty());
    acc.add(ms(4000), ms(4000), &many(PENDING_MAX));
    assert!(!acc.settle(ms(7000)).unwrap().desynced, "a new batch starts afresh");
    let long = "x".repeat(PENDING_BYTES_MAX + 1);
    add(&mut acc, 8000, &long, Kind::Created);
    assert!(acc.settle(ms(11_000)).unwrap().desynced);
    acc.desync(ms(20_000));
    assert!(acc.settle(ms(23_000)).unwrap().desynced, "also with nothing else to tell");
}
