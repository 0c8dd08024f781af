//! What the shell promises of work: one lane never waits for another, nobody waits for a disk, and what is to be written is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{bounded, unbounded};
use parking_lot::Mutex;

use super::accounts::{self, event::Effect};
use super::clones;
use super::host::lanes::{Lane, Lanes, Wake};
use super::host::latest::Latest;
use super::names::{Id, JobId, Key};
use crate::ipc::wire::Checkout;
use crate::ipc::{Config, Server};
use crate::kit::clock::{HANG, Mono, Now};
use crate::project::{Dirs, Endpoint, Env};
use crate::sync::Site;
use crate::sync::account::{self, Account, CallOutcome};

/// Lanes of a machine of their own.
fn lanes() -> (tempfile::TempDir, Lanes) {
    let temp = tempfile::tempdir().unwrap();
    let env = Env::of([("HOME", temp.path().as_os_str())], temp.path());
    let site = Site::new(Dirs::from_env(&env).unwrap(), env);
    let (inbox, _) = bounded::<Wake>(16);
    let server = Server::start(Config { clock: Arc::clone(&site.clock) }, inbox.clone()).unwrap();
    (temp, Lanes::new(site, server, inbox).unwrap())
}

/// Values in the order in which they were written.
type Written = Arc<Mutex<Vec<(u8, u32)>>>;

/// A place whose first write takes until somebody lets it go on, and fails if it is entered twice at once for one key.
fn slow() -> (Latest<u8, u32>, Written, crossbeam_channel::Receiver<()>, crossbeam_channel::Sender<()>) {
    let written = Written::default();
    let ((begun, has_begun), (go, wait)) = (unbounded(), unbounded::<()>());
    let (all, inside) = (Arc::clone(&written), AtomicBool::new(false));
    let latest = Latest::new(move |key: &u8, value: u32| {
        assert!(!inside.swap(true, Ordering::SeqCst), "two writers of one key");
        begun.send(()).unwrap();
        wait.recv().unwrap();
        inside.store(false, Ordering::SeqCst);
        all.lock().push((*key, value));
    });
    (latest, written, has_begun, go)
}

#[test]
fn who_has_something_written_waits_for_no_disk_and_the_newest_is_written_last() {
    let (_temp, lanes) = lanes();
    let (latest, written, has_begun, go) = slow();
    latest.put(&lanes, 1, 0);
    has_begun.recv_timeout(HANG).unwrap();
    // The disk is busy with the first. These return at once, or the test would not go on.
    (1..100).for_each(|value| latest.put(&lanes, 1, value));
    assert!(written.lock().is_empty());
    (0..2).for_each(|_| go.send(()).unwrap());
    assert!(lanes.close());
    assert_eq!(*written.lock(), [(1, 0), (1, 99)]);
}

#[test]
fn what_waits_to_be_written_at_the_end_is_written() {
    let (_temp, lanes) = lanes();
    let (latest, written, _begun, go) = slow();
    let one_after_the_other = Arc::new(AtomicUsize::new(0));
    (0..200).for_each(|_| go.send(()).unwrap());
    for value in 0..100 {
        latest.put(&lanes, 7, value);
        let ran = Arc::clone(&one_after_the_other);
        lanes.run(Lane::Disk, move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert!(lanes.close());
    assert_eq!(one_after_the_other.load(Ordering::SeqCst), 100);
    assert_eq!(written.lock().last(), Some(&(7, 99)));
    assert!(!lanes.run(Lane::Disk, || ()));
    // What comes when no worker takes anything any more is written by whoever ends the process.
    latest.put(&lanes, 8, 1);
    latest.finish();
    assert_eq!(written.lock().last(), Some(&(8, 1)));
}

#[test]
fn what_a_server_said_just_before_the_end_is_on_disk() {
    let endpoint = Endpoint::parse("https://box.example").unwrap();
    for round in 0..200 {
        let (_temp, lanes) = lanes();
        let work = accounts::work::Work::new(&lanes);
        let wall = jiff::Timestamp::from_second(1_800_000_000 + round).unwrap();
        let mut account = Account::default();
        // The disk may be at the first when the last comes.
        for event in [
            account::Event::Login(Some(format!("login {round}"))),
            account::Event::ReposDone(CallOutcome::Fine),
        ] {
            account.handle(Now { wall, mono: Mono::ZERO }, event);
            work.perform(
                &lanes,
                Effect::Save { endpoint: endpoint.to_string(), account: Box::new(account.clone()) },
            );
        }
        assert!(lanes.close());
        work.end();
        let on_disk = Account::load(&lanes.site.dirs, &endpoint);
        let [on_disk, said] = [on_disk, account].map(|account| serde_json::to_value(account).unwrap());
        assert_eq!(on_disk, said, "round {round}");
        assert_ne!(on_disk["repos_called"], serde_json::Value::Null);
    }
}

#[test]
fn values_that_are_merged_lose_nothing_while_the_disk_is_busy() {
    let (_temp, lanes) = lanes();
    let (latest, written, has_begun, go) = slow();
    let add = |value: u32| latest.merge(&lanes, 1, |before| before.unwrap_or(0) + value);
    add(1);
    has_begun.recv_timeout(HANG).unwrap();
    (0..10).for_each(|_| add(1));
    (0..2).for_each(|_| go.send(()).unwrap());
    assert!(lanes.close());
    assert_eq!(*written.lock(), [(1, 1), (1, 10)]);
}

#[test]
fn slow_servers_and_scans_keep_no_file_waiting() {
    let (_temp, lanes) = lanes();
    let (go, wait) = unbounded::<()>();
    for lane in [Lane::Git, Lane::Clone, Lane::Net, Lane::Scan] {
        for _ in 0..8 {
            let wait = wait.clone();
            lanes.run(lane, move || assert!(wait.recv().is_err()));
        }
    }
    let (done, is_done) = bounded(1);
    lanes.run(Lane::Disk, move || done.send(()).unwrap());
    is_done.recv_timeout(HANG).unwrap();
    drop(go);
    assert!(lanes.close());
}

#[test]
fn a_full_lane_is_told_to_the_core_and_never_waited_for() {
    let (_temp, lanes) = lanes();
    let (go, wait) = unbounded::<()>();
    let event = |_| super::projects::event::Event::Checked(Vec::new()).into();
    let mut begun = 0;
    while lanes.refused().is_empty() {
        let wait = wait.clone();
        lanes.start(Lane::Scan, move || wait.recv().is_err(), event);
        begun += 1;
        assert!(begun < 10_000);
    }
    drop(go);
    // One result each of those that were begun, and room for all of them.
    (1..begun).for_each(|_| drop(lanes.results().recv_timeout(HANG).unwrap()));
    assert!(lanes.close());
}

#[test]
fn checkouts_leave_nothing_behind() {
    let (temp, lanes) = lanes();
    let mut work = clones::work::Work::new(&lanes);
    for n in 0..50 {
        let repo_path = temp.path().join(format!("{n}")).to_string_lossy().into_owned();
        let checkout = Checkout { repo_path, clone_url: "no url".into(), repo_type: "ledger".into() };
        let job = JobId { key: Key::Checkout(Id::from(checkout.repo_path.as_str())), run: 0 };
        let root = PathBuf::from("/nowhere");
        work.perform(&lanes, clones::event::Effect::Checkout { job, root, checkout });
    }
    (0..50).for_each(|_| drop(lanes.results().recv_timeout(HANG).unwrap()));
    assert_eq!(work.len(), 0);
    assert!(lanes.close());
}
