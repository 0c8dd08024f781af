//! What arrives while a test runs: lines of the spool, also those that the daemon takes away at once, and rows of the store with the time at
//! which they were there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::hooks::record::Record;
use crate::hooks::spool;
use crate::hooks::store::{Event, Filter, Store};
use crate::kit::clock::{self, Clock as _, SystemClock};
use crate::kit::thread;

/// How often it is looked. What the daemon has read stays for [a quarter of a second](crate::hooks::spool) at least.
const EVERY: Duration = Duration::from_millis(20);
/// A look is waited for no longer: the store may be locked.
const LOOK_MAX: Duration = Duration::from_secs(6);
/// No more lines, and no more rows, are kept.
const KEPT_MAX: usize = 2000;
/// No more is read of a file at a time, in bytes.
const READ_MAX: usize = 4 << 20;
/// The clock of whoever fires may have been read before ours.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

/// What arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrived {
    /// Lines of the spool.
    pub(super) records: Vec<Record>,
    /// Rows, with when they were seen first, by their number.
    pub(super) rows: BTreeMap<i64, (Event, Timestamp)>,
    /// The sessions of rows, also of those that a transcript alone has told of.
    sessions: BTreeSet<String>,
}

impl Arrived {
    /// The line of an event.
    pub(super) fn record(&self, event: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.raw_event == event)
    }

    /// Its row.
    pub(super) fn row(&self, event: &str) -> Option<&(Event, Timestamp)> {
        self.rows.values().find(|(row, _)| row.hook_event_name.as_deref() == Some(event))
    }

    /// Whether the entry has delivered it: what is stored was in the spool.
    pub(super) fn is_delivered(&self, event: &str) -> bool {
        self.record(event).is_some() || self.row(event).is_some()
    }

    /// The sessions that were told of.
    pub(super) fn sessions(&self) -> BTreeSet<&str> {
        let told = self.records.iter().map(|record| record.session_id.as_str());
        let stored = self.sessions.iter().map(String::as_str);
        told.chain(stored).filter(|session| !session.is_empty()).collect()
    }
}

/// Watches, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Only what is told of this project counts.
    repo_id: String,
    ended: AtomicBool,
    /// How often it was looked.
    looks: AtomicU64,
    arrived: Mutex<Arrived>,
}

impl Shared {
    fn keep(&self, new: Vec<Record>) {
        let mut arrived = self.arrived.lock();
        let room = KEPT_MAX.saturating_sub(arrived.records.len());
        let new = new.into_iter().filter(|record| record.repo_id == self.repo_id);
        arrived.records.extend(new.take(room));
    }
}

impl Watch {
    /// Begins with what is not there yet of the project with this id.
    ///
    /// # Errors
    /// No thread can be made.
    pub(super) fn start(data: &Path, events: &Path, repo_id: &str) -> io::Result<Watch> {
        let mut tails = Tails::default();
        let dir = spool::dir(data);
        tails.pass_over(&dir);
        let shared = Arc::new(Shared {
            repo_id: repo_id.to_owned(),
            ended: AtomicBool::new(false),
            looks: AtomicU64::new(0),
            arrived: Mutex::default(),
        });
        let (mine, events) = (Arc::clone(&shared), events.to_owned());
        let since = SystemClock.now().wall.checked_sub(SLACK).unwrap_or(Timestamp::MIN);
        let run = move || {
            let mut store = None;
            while !mine.ended.load(Ordering::Acquire) {
                mine.keep(tails.read(&dir));
                look(&mut store, &events, since, &mine);
                mine.looks.fetch_add(1, Ordering::AcqRel);
                clock::pause(EVERY);
            }
        };
        Ok(Watch { shared, thread: Some(thread::spawn("watch-hooks", thread::STACK_LARGE, run)?) })
    }

    /// What has arrived until now.
    pub(super) fn arrived(&self) -> Arrived {
        // The look that is under way may have begun before.
        let before = self.shared.looks.load(Ordering::Acquire);
        clock::wait_until(LOOK_MAX, || self.shared.looks.load(Ordering::Acquire) >= before + 2);
        self.shared.arrived.lock().clone()
    }

    /// Waits until `is_enough` of what has arrived, no longer than `limit`. Whether it was.
    pub(super) fn until(&self, limit: Duration, is_enough: impl Fn(&Arrived) -> bool) -> bool {
        clock::wait_until(limit, || is_enough(&self.shared.arrived.lock()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(store: &mut Option<Store>, events: &Path, since: Timestamp, shared: &Shared) {
    if store.is_none() {
        *store = Store::look(events).ok().flatten();
    }
    let filter = Filter { since: Some(since), limit: KEPT_MAX, ..Filter::default() };
    let Some(found) = store.as_ref().map(|store| store.list(&filter)) else { return };
    let Ok(found) = found else {
        // It may have been moved aside.
        *store = None;
        return;
    };
    let now = SystemClock.now().wall;
    let mut arrived = shared.arrived.lock();
    for event in found.into_iter().filter(|event| event.repo_id.as_deref() == Some(&shared.repo_id)) {
        arrived.sessions.insert(event.session_id.clone());
        // What a transcript alone has told of proves nothing of hooks.
        if event.rest.hook_at_ms.is_none() {
            continue;
        }
        if arrived.rows.len() < KEPT_MAX {
            arrived.rows.entry(event.seq).or_insert((event, now));
        }
    }
}

/// So much at the beginning of a file tells it from all others: it has the id of its first line.
const BEGINNING: usize = 64;

/// How far each file of the spool was read, by how it begins: it is renamed on its way, and its number is soon another one's.
#[derive(Debug, Default)]
struct Tails(HashMap<Vec<u8>, u64>);

impl Tails {
    fn files(dir: &Path) -> Vec<(File, Vec<u8>, u64)> {
        let all = fs::read_dir(dir).into_iter().flatten().flatten();
        let all = all.filter(|entry| entry.file_name().to_string_lossy().ends_with(".jsonl"));
        // Whoever opens a pipe waits for somebody at its other end.
        let all = all.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        all.filter_map(|entry| {
            let file = File::open(entry.path()).ok()?;
            let mut beginning = vec![0; BEGINNING];
            file.read_exact_at(&mut beginning, 0).ok()?;
            let length = file.metadata().ok()?.len();
            Some((file, beginning, length))
        })
        .collect()
    }

    /// Does not read what is there.
    fn pass_over(&mut self, dir: &Path) {
        self.0.extend(Tails::files(dir).into_iter().map(|(_, beginning, length)| (beginning, length)));
    }

    /// What is new.
    fn read(&mut self, dir: &Path) -> Vec<Record> {
        let mut records = Vec::new();
        for (file, beginning, length) in Tails::files(dir) {
            let from = self.0.entry(beginning).or_default();
            let Ok(bytes) = new_lines(&file, *from, length) else { continue };
            *from += bytes.len() as u64;
            let lines = bytes.split(|byte| *byte == b'\n');
            records.extend(lines.filter_map(|line| serde_json::from_slice::<Record>(line).ok()));
        }
        records
    }
}

/// What stands in a file behind a place, up to the end of its last whole line.
fn new_lines(file: &File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let most = usize::try_from(length.saturating_sub(from)).unwrap_or(READ_MAX).min(READ_MAX);
    let mut bytes = vec![0; most];
    file.read_exact_at(&mut bytes, from)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::clock::HANG;

    fn record(event: &str) -> Record {
        Record {
            spool_id: crate::kit::id::new_id().to_string(),
            at_ms: SystemClock.now().wall.as_millisecond(),
            agent: "codex".to_owned(),
            event: event.to_owned(),
            raw_event: event.to_owned(),
            session_id: "s".to_owned(),
            repo_id: "repo_1".to_owned(),
            ..Record::default()
        }
    }

    #[test]
    fn what_was_there_is_passed_over_and_what_comes_is_seen_once_also_when_it_is_taken_away() {
        let tmp = tempfile::tempdir().unwrap();
        let (data, events) = (tmp.path(), tmp.path().join("events/events.db"));
        spool::put(data, &record("Old")).unwrap();
        let watch = Watch::start(data, &events, "repo_1").unwrap();
        spool::put(data, &Record { repo_id: "repo_2".to_owned(), ..record("Stop") }).unwrap();
        spool::put(data, &record("Stop")).unwrap();
        assert!(watch.until(HANG, |arrived| arrived.record("Stop").is_some()));
        // As the daemon does it.
        let mut queue = spool::open(data).unwrap();
        let mut store = Store::open(&events).unwrap().store;
        queue.take_in().unwrap();
        let lines = queue.read(queue.position(), 100, 1 << 20).unwrap();
        let records: Vec<Record> =
            lines.iter().map(|line| serde_json::from_slice(&line.bytes).unwrap()).collect();
        store.take(&records).unwrap();
        queue.ack(lines.last().unwrap().next).unwrap();
        assert!(watch.until(HANG, |arrived| arrived.row("Stop").is_some()));
        spool::put(data, &record("SessionEnd")).unwrap();
        assert!(watch.until(HANG, |arrived| arrived.is_delivered("SessionEnd")));
        let arrived = watch.arrived();
        assert_eq!(arrived.sessions(), BTreeSet::from(["s"]));
        let seen: Vec<&str> = arrived.records.iter().map(|record| record.event.as_str()).collect();
        assert_eq!(seen, ["Stop", "SessionEnd"]);
        assert!(arrived.row("Old").is_some() && arrived.record("Old").is_none());
    }
}
