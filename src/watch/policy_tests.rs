use super::*;
use crate::watch::Kind;

const ROOT: RootId = RootId(1);

fn ms(ms: u64) -> Mono {
    Mono::ZERO + Duration::from_millis(ms)
}

fn sec(s: u64) -> Mono {
    ms(s * 1000)
}

fn scanned() -> Report {
    Report {
        found: ScanStatus::Scanned,
        changes: Vec::new(),
        baseline: false,
        head: None,
        head_before: None,
        short: None,
        rescan: false,
        span: None,
        took: Duration::from_millis(10),
        dirs: 3,
        unrecorded: 0,
    }
}

fn done(report: Report) -> Event {
    Event::Done(Box::new(report))
}

fn hint(from: Mono, to: Mono) -> Event {
    Event::Pulse(Pulse { span: (from, to), lost: None })
}

fn loss(at: Mono) -> Event {
    Event::Pulse(Pulse { span: (at, at), lost: Some(Loss::Kernel) })
}

fn changed(path: &str, span: (Mono, Mono)) -> Report {
    let changes = vec![Change::new(path.as_bytes(), Kind::Modified)];
    Report { changes, span: Some(span), ..scanned() }
}

const SCAN: Effect = Effect::Run(Task::Scan { add: true });
const POLL: Effect = Effect::Run(Task::Scan { add: false });
const SAVE: Effect = Effect::Run(Task::Save);
const VERIFY: Effect = Effect::Run(Task::Verify { forced: false, cookie: false });

/// A machine that has looked at everything once, at time zero.
fn watching() -> Machine {
    let mut m = Machine::new(ROOT, 7, Mono::ZERO);
    assert_eq!(m.counters().mode, Mode::Starting);
    assert_eq!(m.handle(Mono::ZERO, Event::Due), [SCAN]);
    assert_eq!(m.handle(Mono::ZERO, done(Report { baseline: true, head: Some(None), ..scanned() })), [SAVE]);
    assert!(m.handle(Mono::ZERO, done(scanned())).is_empty());
    assert_eq!((m.counters().mode, m.next_deadline()), (Mode::Watching, None), "idle: no wake-up");
    m
}

#[test]
fn a_save_is_told_early_and_again_when_settled() {
    let mut m = watching();
    assert!(m.handle(sec(100), hint(sec(100), sec(100))).is_empty());
    assert_eq!(m.next_deadline(), Some(ms(100_500)));
    assert_eq!(m.handle(ms(100_500), Event::Due), [VERIFY]);
    let early = m.handle(ms(100_501), done(changed("a", (sec(100), sec(100)))));
    let [Effect::Early(early)] = &*early else { panic!("{early:?}") };
    assert_eq!(
        (early.changes.len(), early.stamp, early.desynced),
        (1, Stamp { instance: 7, tick: 1 }, false)
    );
    assert_eq!(m.next_deadline(), Some(sec(103)), "3 s after the save, not after the look");
    assert!(m.handle(ms(102_999), Event::Due).is_empty());
    let settled = m.handle(sec(103), Event::Due);
    assert!(
        matches!(&*settled, [Effect::Settled(b)] if b.changes == early.changes && b.stamp == early.stamp)
    );
    assert_eq!(m.next_deadline(), None);
    assert!(matches!(m.since(Stamp { instance: 7, tick: 0 }), Since::Paths(p, _) if p.len() == 1));
}

#[test]
fn hints_that_turn_out_to_be_nothing_are_told_to_nobody() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    m.handle(ms(100_500), Event::Due);
    assert!(m.handle(ms(100_510), done(scanned())).is_empty());
    assert_eq!((m.next_deadline(), m.stamp().tick), (None, 0));
}

#[test]
fn steady_hints_are_looked_into_every_second_and_settled_every_fifteen() {
    let mut m = watching();
    let (mut looks, mut settles) = (0, Vec::new());
    let mut running = None;
    // A hint every 200 ms for two minutes.
    for step in 0..600 {
        let now = sec(100) + Duration::from_millis(step * 200);
        let mut effects =
            running.take().map_or_else(Vec::new, |_| m.handle(now, done(changed("log", (now, now)))));
        effects.extend(m.handle(now, hint(now, now)));
        looks += effects.iter().filter(|e| **e == VERIFY).count();
        running = effects.contains(&VERIFY).then_some(());
        settles.extend(effects.iter().any(|e| matches!(e, Effect::Settled(_))).then_some(now));
    }
    assert!((90..=120).contains(&looks), "{looks}");
    assert!(settles.windows(2).all(|w| (w[1] - w[0]).as_secs() <= 16), "{settles:?}");
    assert!((7..=8).contains(&settles.len()));
}

#[test]
fn while_git_holds_its_index_only_its_lock_is_looked_at() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    assert_eq!(m.handle(ms(100_500), Event::Due), [VERIFY]);
    let busy = || done(Report { found: ScanStatus::GitBusy, ..scanned() });
    assert!(m.handle(ms(100_500), busy()).is_empty());
    assert_eq!(m.next_deadline(), Some(ms(100_600)));
    m.handle(ms(100_550), hint(sec(100), ms(100_550)));
    assert_eq!(m.handle(sec(101), Event::Due), [VERIFY], "1 s after the first hint");
    // Git has ended.
    let oid = git2::Oid::from_bytes(&[1; 20]).unwrap();
    let report = Report { head: Some(Some(oid)), ..changed("a", (sec(100), sec(101))) };
    m.handle(ms(101_520), done(report));
    let settled = m.handle(sec(104), Event::Due);
    let [Effect::Settled(batch)] = &*settled else { panic!("{settled:?}") };
    assert_eq!(batch.head_moved, Some(HeadMove { old: None, new: Some(oid) }));
    assert!(!batch.partial);
}

#[test]
fn git_is_waited_for_a_minute_and_then_looked_past() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    let mut now = ms(100_500);
    let forced = Effect::Run(Task::Verify { forced: true, cookie: false });
    let mut looks = 0;
    loop {
        let effects = m.handle(now, Event::Due);
        if effects == [forced.clone()] {
            break;
        }
        assert_eq!(effects, [VERIFY]);
        looks += 1;
        m.handle(now, done(Report { found: ScanStatus::GitBusy, ..scanned() }));
        now = m.next_deadline().unwrap();
    }
    assert_eq!((now, looks), (ms(160_500), 600));
    let effects = m.handle(now, done(changed("a", (sec(100), sec(100)))));
    assert!(effects.iter().any(|e| matches!(e, Effect::Settled(b) if b.partial)), "{effects:?}");
}

#[test]
fn wat_03_after_a_loss_everything_is_compared_at_once_and_told_once() {
    let mut m = watching();
    assert_eq!(m.handle(sec(100), loss(sec(100))), [SCAN]);
    let effects = m.handle(ms(100_100), done(scanned()));
    assert!(matches!(&*effects, [Effect::Early(b)] if b.desynced && b.changes.is_empty()), "{effects:?}");
    let effects = m.handle(sec(104), Event::Due);
    assert!(effects.iter().any(|e| matches!(e, Effect::Settled(b) if b.desynced)), "{effects:?}");
    let c = m.counters();
    assert_eq!((c.overflows, c.rescans, c.mode), (1, 1, Mode::Watching));
}

#[test]
fn losses_in_a_row_are_polled_for_and_trusted_again_after_ten_quiet_minutes() {
    let mut m = watching();
    assert_eq!(m.handle(sec(100), loss(sec(100))), [SCAN]);
    m.handle(sec(101), done(scanned()));
    let mut scans = 0;
    let mut told = Vec::new();
    for s in 101..=200 {
        let effects = m.handle(sec(s), loss(sec(s)));
        told.extend(effects.iter().filter(|e| matches!(e, Effect::Trouble(_))).cloned());
        if effects.iter().any(|e| matches!(e, Effect::Run(Task::Scan { .. }))) {
            scans += 1;
            told.extend(
                m.handle(sec(s), done(scanned())).into_iter().filter(|e| matches!(e, Effect::Trouble(_))),
            );
        } else if effects.contains(&VERIFY) {
            told.extend(
                m.handle(sec(s), done(scanned())).into_iter().filter(|e| matches!(e, Effect::Trouble(_))),
            );
        }
    }
    assert!((15..=21).contains(&scans), "one about every 5 s: {scans}");
    assert_eq!(told, [Effect::Trouble(Some(Reason::Overflow))], "one issue");
    let mut now = sec(200);
    while m.counters().mode != Mode::Watching {
        now = m.next_deadline().unwrap();
        if m.handle(now, Event::Due).iter().any(|e| matches!(e, Effect::Run(_))) {
            told.extend(m.handle(now, done(scanned())));
        }
    }
    assert!(now >= sec(800) && now < sec(815), "{now:?}");
    assert_eq!(told.last(), Some(&Effect::Trouble(None)));
}

#[test]
fn wat_02_under_a_watch_limit_all_is_polled_within_ten_seconds_and_one_issue_is_told() {
    let mut m = Machine::new(ROOT, 7, Mono::ZERO);
    m.handle(Mono::ZERO, Event::Due);
    let limit = Reason::WatchLimit { limit: Some(16) };
    let short = || Report { short: Some(limit.clone()), ..scanned() };
    let effects = m.handle(Mono::ZERO, done(Report { baseline: true, ..short() }));
    assert_eq!(effects, [Effect::Trouble(Some(limit.clone())), SAVE]);
    assert!(m.handle(Mono::ZERO, done(scanned())).is_empty());
    let advice = limit.advice();
    assert!(
        advice.contains("max_user_watches") && advice.contains("16") && advice.contains("sysctl"),
        "{advice}"
    );
    let (mut last, mut retries, mut longest) = (Mono::ZERO, 0, Duration::ZERO);
    while last < sec(3000) {
        let now = m.next_deadline().unwrap();
        longest = longest.max(now - last);
        match &*m.handle(now, Event::Due) {
            [effect] if *effect == SCAN => retries += 1,
            effects => assert_eq!(effects, [POLL]),
        }
        assert!(m.handle(now, done(short())).is_empty(), "the issue is told once");
        last = now;
    }
    assert!(longest < Duration::from_secs(10) && (4..=5).contains(&retries), "{longest:?} {retries}");
    // A slow look is taken rarely: 5 % of the time.
    let now = m.next_deadline().unwrap();
    m.handle(now, Event::Due);
    m.handle(now, done(Report { took: Duration::from_secs(2), ..short() }));
    assert_eq!(m.next_deadline(), Some(now + Duration::from_secs(40)));
    // There is room again.
    let mut effects = Vec::new();
    while m.counters().mode != Mode::Watching {
        let now = m.next_deadline().unwrap();
        let full = m.handle(now, Event::Due) == [SCAN];
        effects = m.handle(now, done(if full { scanned() } else { short() }));
    }
    assert_eq!((effects, m.next_deadline()), (vec![Effect::Trouble(None)], None));
}

#[test]
fn a_root_that_is_gone_is_looked_for_and_compared_when_it_is_back() {
    let mut m = watching();
    let lost = Event::Pulse(Pulse { span: (sec(100), sec(100)), lost: Some(Loss::Root) });
    assert_eq!(m.handle(sec(100), lost), [SCAN]);
    assert!(m.handle(sec(100), done(Report { found: ScanStatus::Gone, ..scanned() })).is_empty());
    assert_eq!((m.counters().mode, m.counters().dirs_watched), (Mode::Gone, 0));
    assert_eq!(m.next_deadline(), Some(sec(130)));
    assert_eq!(m.handle(sec(130), Event::Due), [SCAN]);
    let effects = m.handle(sec(130), done(changed("a", (sec(130), sec(130)))));
    assert!(matches!(&*effects, [Effect::Early(b)] if b.desynced && b.changes.len() == 1));
    assert_eq!(m.counters().mode, Mode::Watching);
}

#[test]
fn a_root_that_cannot_be_read_is_not_gone_and_says_why_until_it_can() {
    let mut m = watching();
    let why = Reason::Unreadable("its index is split".into());
    let unreadable = || done(Report { found: ScanStatus::Unreadable(why.clone()), ..scanned() });
    let lost = Event::Pulse(Pulse { span: (sec(100), sec(100)), lost: Some(Loss::Root) });
    assert_eq!(m.handle(sec(100), lost), [SCAN]);
    assert_eq!(m.handle(sec(100), unreadable()), [Effect::Trouble(Some(why.clone()))]);
    assert_eq!((m.counters().mode.name(), m.counters().mode.reason()), ("unreadable", Some(&why)));
    // Told once, tried again.
    assert_eq!((m.next_deadline(), m.handle(sec(130), Event::Due)), (Some(sec(130)), vec![SCAN]));
    assert!(m.handle(sec(130), unreadable()).is_empty());
    assert_eq!(m.handle(sec(160), Event::Due), [SCAN]);
    let effects = m.handle(sec(160), done(scanned()));
    assert!(effects.contains(&Effect::Trouble(None)), "{effects:?}");
    assert_eq!(m.counters().mode, Mode::Watching);
}

#[test]
fn a_sleep_of_the_machine_is_followed_by_a_look_at_everything() {
    let mut m = watching();
    assert_eq!(m.handle(sec(100), Event::Jumped), [SCAN]);
}

#[test]
fn a_flush_looks_at_once_through_the_queue_and_answers_after_telling() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    let flush = Effect::Run(Task::Verify { forced: true, cookie: true });
    assert_eq!(m.handle(sec(100), Event::Flush(1)), std::slice::from_ref(&flush));
    assert!(m.handle(sec(100), Event::Flush(2)).is_empty(), "the running look may be too old for it");
    let effects = m.handle(sec(101), done(changed("a", (sec(100), sec(100)))));
    let stamp = Stamp { instance: 7, tick: 1 };
    let [Effect::Early(_), Effect::Flushed { asked: 1, stamp: at }, next] = &*effects else {
        panic!("{effects:?}")
    };
    assert_eq!((*at, next), (stamp, &flush));
    // The cookie of the second is lost: everything is looked at, then it is answered.
    let effects = m.handle(sec(103), done(Report { found: ScanStatus::NoCookie, ..scanned() }));
    assert_eq!(effects.last(), Some(&SCAN));
    let effects = m.handle(sec(104), done(scanned()));
    assert!(effects.contains(&Effect::Flushed { asked: 2, stamp: m.stamp() }), "{effects:?}");
}

#[test]
fn a_job_that_broke_is_repeated_and_what_it_forgot_is_told() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    assert_eq!(m.handle(sec(101), Event::Due), [VERIFY]);
    assert!(m.handle(sec(101), Event::NotRun).is_empty());
    assert_eq!(m.handle(sec(106), Event::Due), [SCAN]);
    let effects = m.handle(sec(106), done(Report { baseline: true, ..scanned() }));
    assert!(matches!(&*effects, [Effect::Early(b)] if b.desynced), "{effects:?}");
    assert!(
        matches!(m.since(Stamp { instance: 7, tick: 0 }), Since::Paths(p, _) if p.is_empty())
            || m.stamp().tick > 0
    );
}

#[test]
fn changed_ignore_rules_ask_for_a_look_at_everything() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    m.handle(sec(101), Event::Due);
    let effects = m.handle(sec(101), done(Report { rescan: true, ..scanned() }));
    assert_eq!(effects, [SCAN]);
}

#[test]
fn what_is_known_is_kept_when_all_was_told_and_after_all_other_work() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    assert_eq!(m.handle(sec(101), Event::Due), [VERIFY]);
    assert!(m.handle(sec(101), Event::Told).is_empty(), "one job at a time");
    m.handle(sec(101), hint(sec(101), sec(101)));
    let effects = m.handle(ms(101_100), done(scanned()));
    assert_eq!(effects, [SAVE]);
    // One that cannot run is not worth a look at everything: the next telling asks again.
    assert!(m.handle(ms(101_200), Event::NotRun).is_empty());
    assert_eq!(m.handle(ms(101_500), Event::Due), [VERIFY]);
}

#[test]
fn changes_found_at_the_start_are_kept_as_known_only_when_they_were_told() {
    let mut m = Machine::new(ROOT, 7, Mono::ZERO);
    m.handle(Mono::ZERO, Event::Due);
    let (old, new) = (Oid::from_bytes(&[1; 20]).unwrap(), Oid::from_bytes(&[2; 20]).unwrap());
    let first = Report {
        baseline: true,
        head: Some(Some(new)),
        head_before: Some(Some(old)),
        ..changed("a", (Mono::ZERO, Mono::ZERO))
    };
    let effects = m.handle(Mono::ZERO, done(first));
    let moved = Some(HeadMove { old: Some(old), new: Some(new) });
    assert!(matches!(&*effects, [Effect::Early(b)] if b.head_moved == moved && !b.desynced), "{effects:?}");
    let effects = m.handle(sec(3), Event::Due);
    assert!(matches!(&*effects, [Effect::Settled(b)] if b.changes.len() == 1), "{effects:?}");
    assert_eq!(m.handle(sec(600), Event::Told), [SAVE]);
}

#[test]
fn what_was_not_told_is_not_kept_as_known_and_at_the_end_all_is_told() {
    let mut m = watching();
    m.handle(sec(100), hint(sec(100), sec(100)));
    assert_eq!(m.handle(sec(101), Event::Due), [VERIFY]);
    m.handle(sec(101), done(changed("a", (sec(100), sec(100)))));
    assert!(m.handle(sec(102), Event::Told).is_empty(), "it waits to be settled");
    assert!(
        matches!(&*m.handle(sec(103), Event::Due), [Effect::Settled(_)]),
        "and is not kept afterwards either"
    );
    assert_eq!(m.handle(sec(104), Event::Told), [SAVE]);
    assert!(m.handle(sec(104), done(scanned())).is_empty());

    // A look that is asked for while one runs, and that finds something.
    m.handle(sec(200), hint(sec(200), sec(200)));
    assert_eq!(m.handle(sec(201), Event::Due), [VERIFY]);
    assert!(m.handle(sec(201), Event::Told).is_empty());
    let effects = m.handle(sec(202), done(changed("b", (sec(200), sec(200)))));
    assert!(matches!(&*effects, [Effect::Early(_)]), "{effects:?}");
    m.handle(sec(202), hint(sec(202), sec(202)));
    let effects = m.handle(ms(202_100), Event::Ending);
    assert!(matches!(&*effects, [Effect::Settled(b)] if b.changes.len() == 1), "{effects:?}");
    assert!(m.handle(sec(300), Event::Due).is_empty() && m.is_idle(), "no job begins any more");
}
