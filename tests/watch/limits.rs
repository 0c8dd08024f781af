//! Where not everything can be watched, or heard of.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ox::kit::clock::pause;
use ox::watch::{Mode, Reason};

use crate::support::seed::{self, rounds};
use crate::support::{until, until_or};
use crate::watch::driver::{Driver, Setup, apply};
use crate::watch::model::Repo;
use crate::watch::random::work;

/// Runs a test of this binary where the user may have 16 watches; false, with the reason, where that cannot be had.
fn with_few_watches(test: &str) -> bool {
    const INSIDE: &str = "OX_TEST_FEW_WATCHES";
    if std::env::var_os(INSIDE).is_some_and(|name| name == test) {
        return true;
    }
    let limit = "echo 16 > /proc/sys/user/max_inotify_watches";
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-Ur", "sh", "-c", script]).stdin(Stdio::null());
        command
    };
    match namespace(limit).output() {
        Ok(out) if out.status.success() => {}
        why => {
            println!("skipped: no user namespace with a limit of its own: {why:?}");
            return false;
        }
    }
    let out = namespace(&format!("{limit} && exec \"$0\" \"$1\" --exact --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn wat_02_with_sixteen_watches_the_rest_is_polled_and_one_issue_says_so() {
    if !with_few_watches(
        "watch::limits::wat_02_with_sixteen_watches_the_rest_is_polled_and_one_issue_says_so",
    ) {
        return;
    }
    let names: Vec<String> = (0..40).map(|n| format!("d{n:02}/f")).collect();
    let repo = Repo::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let driver = Driver::start(&repo.root);
    let limit = Reason::WatchLimit { limit: Some(16) };
    assert_eq!(driver.mode(), Mode::Degraded(limit.clone()));
    let watched = driver.told.lock().counters.dirs_watched;
    assert!((10..=15).contains(&watched), "beside the cookies and the git directory: {watched}");
    for name in ["d00/f", "d39/f", "d39/new/deep/f"] {
        repo.write(name, "second");
        let tree = repo.tree();
        until_or(|| driver.view() == tree, || format!("{name} is not seen"));
    }
    assert_eq!(driver.told.lock().trouble, [Some(limit.clone())]);
    assert!(limit.advice().contains("fs.inotify.max_user_watches") && limit.advice().contains("sudo sysctl"));
}

#[test]
fn wat_04_random_work_is_seen_with_few_watches_and_a_queue_of_sixteen() {
    if !with_few_watches("watch::limits::wat_04_random_work_is_seen_with_few_watches_and_a_queue_of_sixteen")
    {
        return;
    }
    let setup = Setup { hints_max: Some(16), ..Setup::default() };
    let driver = seed::with("watch::limits::wat_04", 11, |seed| work(seed, rounds(4, 60), false, setup));
    let told = driver.told.lock();
    assert!(told.trouble.len() <= 3, "{:?}", told.trouble);
}

#[test]
fn without_any_watcher_everything_is_polled() {
    let driver = seed::with("watch::limits::without", seed::fresh(), |seed| {
        work(seed, rounds(2, 30), false, Setup { blind: true, ..Setup::default() })
    });
    assert_eq!(driver.mode(), Mode::Degraded(Reason::NoWatcher));
    assert_eq!(driver.told.lock().trouble, [Some(Reason::NoWatcher)]);
}

#[test]
fn wat_03_after_the_kernels_queue_ran_over_the_truly_changed_set_is_told() {
    let repo = Repo::new(&["a", "b", "d/c"]);
    // Against the rule: it blocks the thread that reads the queue, which so runs over.
    let blocked = Arc::new(AtomicBool::new(false));
    let blocks = Arc::clone(&blocked);
    let on_wake = move || {
        while blocks.load(Ordering::Acquire) {
            pause(Duration::from_millis(1));
        }
    };
    let driver = Driver::with(&repo.root, Setup { on_wake: Some(Box::new(on_wake)), ..Setup::default() });
    let before = driver.view();
    blocked.store(true, Ordering::Release);
    let queue: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for n in 0..queue + 2000 {
        // Two events each, none equal to the one before.
        fs::write(repo.at(if n % 2 == 0 { "storm" } else { "d/storm" }), "1").unwrap();
    }
    fs::remove_file(repo.at("storm")).unwrap();
    fs::remove_file(repo.at("d/storm")).unwrap();
    repo.write("b", "second");
    fs::create_dir_all(repo.at("new/deep")).unwrap();
    repo.write("new/deep/f", "1");
    blocked.store(false, Ordering::Release);
    let tree = repo.tree();
    until(|| driver.view() == tree);
    assert!(driver.told.lock().counters.overflows > 0, "the queue did not run over");
    let mut told: BTreeSet<Box<[u8]>> = before.into_keys().collect();
    let now: BTreeSet<_> = tree.into_keys().collect();
    let mut named = BTreeSet::new();
    until(|| {
        let early = std::mem::take(&mut driver.told.lock().early);
        named.extend(early.iter().flat_map(|(_, b)| &b.changes).map(|c| c.path.clone()));
        apply(&mut told, &early);
        told == now
    });
    assert!(named.contains(&b"b"[..]), "{named:?}");
    assert!(
        !named.contains(&b"a"[..]) && !named.contains(&b"d/c"[..]),
        "not all files were changed: {named:?}"
    );
    until(|| driver.told.lock().settled.iter().any(|(_, b)| b.desynced));
    driver.forget();
    // What came after it is watched.
    repo.write("new/deep/f", "22");
    assert_eq!(driver.settled()[0].changes.len(), 1);
}
