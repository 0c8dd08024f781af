//! One look at all sources: what has not changed costs a look, what has grown is read from where it was left.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::{Info, Name};
use super::error::UsageError;
use super::line;
use super::read::{self, Told};
use super::store::{Known, Look, Store, Taker};
use crate::harness::transcript::opencode::{Database, SESSIONS_MAX};
use crate::harness::transcript::sources::{Listing, Source};
use crate::kit::lock::FileLock;
use crate::kit::{file, thread};

/// Another command that counts is waited for so long: the first time takes seconds.
const COUNTING_WAIT: Duration = Duration::from_secs(60);
/// So many files are taken in by one transaction.
const FILES_AT_ONCE: usize = 512;
/// Fewer files than this are read without other threads.
const THREADS_FROM: usize = 8;
/// At most so many threads read.
const THREADS_MAX: usize = 8;
/// So many files may have been read and not been taken in yet.
const AHEAD: usize = 64;
/// A session of opencode that began a turn within so long before the newest one did is read again: a turn says when it begins, and not when
/// it ends.
const TURN_MAX: SignedDuration = SignedDuration::from_hours(24);
/// That opencode's database was looked at stands under this part, what was read of a session under the session's id.
const WHOLE: &str = "";

/// A session that lies in a ledger, or that was recorded here.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its directory.
    pub dir: PathBuf,
    /// Its name.
    pub name: Name,
    /// The repository whose ledger it is.
    pub repo: String,
}

/// What is counted.
#[derive(Debug)]
pub struct Sources {
    /// Transcripts of this user.
    pub transcripts: Listing,
    /// opencode's database.
    pub opencode: Option<PathBuf>,
    /// What others tell. It is counted where no transcript of this user tells it.
    pub shared: Vec<Shared>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Files that are as they were.
    pub unchanged: usize,
    /// Files that were read.
    pub read: usize,
    /// What could not be read, and why: figures may be too low.
    pub failed: Vec<(PathBuf, String)>,
}

/// Something to be read.
#[derive(Debug)]
enum Job {
    Transcript { source: Source, saved: String },
    Shared { of: Shared, path: PathBuf },
}

impl Job {
    fn path(&self) -> &Path {
        match self {
            Job::Transcript { source, .. } => &source.path,
            Job::Shared { path, .. } => path,
        }
    }

    fn read(&self, look: Look) -> io::Result<Told> {
        match self {
            Job::Transcript { source, saved } => read::transcript(source, saved),
            Job::Shared { of, path } => {
                read::shared(path, &Info::person(&of.dir, &of.name), &of.repo, look.modified)
            }
        }
    }
}

type Done = (Job, Look, Result<Told, String>);

/// Looks at all sources and takes in what is new. `zone` is where days begin.
///
/// # Errors
/// The database cannot be used. What cannot be read of the sources is told and keeps nothing else from being counted.
pub fn scan(
    store: &mut Store,
    path: &Path,
    sources: Sources,
    zone: &TimeZone,
) -> Result<Scanned, UsageError> {
    let io = |source| UsageError::Io { path: path.to_owned(), source };
    let lock = file::with_suffix(path, ".lock");
    let _lock = FileLock::acquire(&lock, COUNTING_WAIT).map_err(io)?.ok_or(UsageError::Busy)?;
    store.settle_zone(zone).map_err(|e| store.error(e))?;
    take_in(store, sources, zone).map_err(|e| store.error(e))
}

fn take_in(store: &Store, sources: Sources, zone: &TimeZone) -> rusqlite::Result<Scanned> {
    let files = store.files()?;
    let mut scanned = Scanned::default();
    let (transcripts, unread) = sources.transcripts.all();
    scanned.failed.extend(unread.into_iter().map(|(path, e)| (path, e.to_string())));
    let jobs = changed(store, &files, transcripts, sources.shared, &mut scanned)?;
    let mut taker = Taker::new(&store.conn, zone);
    let mut taken = 0;
    let take = |(job, look, told): Done| -> rusqlite::Result<()> {
        match told {
            Ok(told) => {
                taker.take(&text(job.path()), WHOLE, look, &told)?;
                scanned.read += 1;
                taken += 1;
                if taken % FILES_AT_ONCE == 0 {
                    taker.commit()?;
                }
            }
            Err(why) => scanned.failed.push((job.path().to_owned(), why)),
        }
        Ok(())
    };
    read_all(jobs, take)?;
    taker.commit()?;
    if let Some(path) = sources.opencode {
        of_opencode(store, &files, &path, &mut taker, &mut scanned)?;
        taker.commit()?;
    }
    Ok(scanned)
}

/// As it is stored. What is no text is told from other files by what can be shown of it.
fn text(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// What is not as it was.
fn changed(
    store: &Store,
    files: &HashMap<String, Known>,
    transcripts: Vec<Source>,
    shared: Vec<Shared>,
    scanned: &mut Scanned,
) -> rusqlite::Result<Vec<(Job, Look)>> {
    let mut jobs = Vec::new();
    let known = |path: &Path| files.get(&*text(path));
    for source in transcripts {
        let look = Look { size: source.size, modified: source.modified };
        match known(&source.path) {
            Some(known) if known.look == look.columns() => scanned.unchanged += 1,
            known => {
                let saved = known.map(|known| store.saved(known.id)).transpose()?.unwrap_or_default();
                jobs.push((Job::Transcript { source, saved }, look));
            }
        }
    }
    for of in shared {
        let path = of.dir.join(line::FILE);
        // A link in a clone would lead to what somebody else chose.
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => meta,
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                scanned.failed.push((path, e.to_string()));
                continue;
            }
            _ => continue,
        };
        let modified = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let look = Look { size: meta.len(), modified: modified.unwrap_or_default() };
        match known(&path) {
            Some(known) if known.look == look.columns() => scanned.unchanged += 1,
            _ => jobs.push((Job::Shared { of, path }, look)),
        }
    }
    Ok(jobs)
}

/// Reads all of them, many at a time where there are many, and hands them over one by one.
fn read_all(
    jobs: Vec<(Job, Look)>,
    mut take: impl FnMut(Done) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (to_read, waiting) = unbounded();
    let is_many = jobs.len() >= THREADS_FROM;
    for job in jobs {
        // The other end is held here.
        let _ = to_read.send(job);
    }
    drop(to_read);
    let (done, came) = bounded(AHEAD);
    let threads: Vec<JoinHandle<()>> = if is_many {
        let start = |_| {
            let (waiting, done) = (waiting.clone(), done.clone());
            thread::spawn("usage", thread::STACK_LARGE, move || work_off(&waiting, &done)).ok()
        };
        (0..count).filter_map(start).collect()
    } else {
        Vec::new()
    };
    drop(done);
    if threads.is_empty() {
        return waiting.iter().try_for_each(|job| take(read_one(job)));
    }
    let taken = came.iter().try_for_each(&mut take);
    // Who has to hand something over sees that nobody takes it any more.
    drop(came);
    drop(waiting);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    taken
}

fn work_off(waiting: &Receiver<(Job, Look)>, done: &Sender<Done>) {
    for job in waiting {
        if done.send(read_one(job)).is_err() {
            return;
        }
    }
}

fn read_one((job, look): (Job, Look)) -> Done {
    let told = thread::contain(|| job.read(look).map_err(|e| e.to_string())).and_then(|told| told);
    (job, look, told)
}

/// The sessions of opencode, which are all in one file.
fn of_opencode(
    store: &Store,
    files: &HashMap<String, Known>,
    path: &Path,
    taker: &mut Taker<'_>,
    scanned: &mut Scanned,
) -> rusqlite::Result<()> {
    let Some(look) = look_at(path, scanned) else { return Ok(()) };
    let name = text(path);
    if files.get(&*name).is_some_and(|last| last.look == look.columns()) {
        scanned.unchanged += 1;
        return Ok(());
    }
    let opened = Database::open(path).and_then(|database| Ok((database.sessions()?, database)));
    let (sessions, database) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            scanned.failed.push((path.to_owned(), e.to_string()));
            return Ok(());
        }
    };
    if i64::try_from(sessions.len()).is_ok_and(|count| count >= SESSIONS_MAX) {
        let why = format!("only the {SESSIONS_MAX} newest sessions are looked at");
        scanned.failed.push((path.to_owned(), why));
    }
    // By the program's clock, whatever ours says.
    let newest = sessions.iter().map(|session| session.modified).max().unwrap_or_default();
    let running = newest.checked_sub(TURN_MAX).unwrap_or_default();
    for session in sessions {
        let own = Look { size: 0, modified: session.modified };
        let known = store.part(&name, &session.id)?;
        if known.is_some_and(|known| known.look == own.columns()) && session.modified < running {
            continue;
        }
        let saved = known.map(|known| store.saved(known.id)).transpose()?.unwrap_or_default();
        match read::opencode(&database, &session.id, &saved) {
            Ok(told) => taker.take(&name, &session.id, own, &told)?,
            Err(e) => {
                // The next look begins where this one did.
                scanned.failed.push((path.to_owned(), e.to_string()));
                return Ok(());
            }
        }
    }
    scanned.read += 1;
    taker.take(&name, WHOLE, look, &Told::default())
}

/// How the database and its log look together; none if it is not there.
fn look_at(path: &Path, scanned: &mut Scanned) -> Option<Look> {
    let mut all = Look { size: 0, modified: Timestamp::UNIX_EPOCH };
    for (at, part) in [path.to_owned(), file::with_suffix(path, "-wal")].iter().enumerate() {
        match fs::metadata(part) {
            Ok(meta) => {
                all.size = all.size.wrapping_add(meta.len());
                let modified = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
                all.modified = all.modified.max(modified.unwrap_or_default());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && at == 0 => return None,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                scanned.failed.push((part.clone(), e.to_string()));
                return None;
            }
        }
    }
    Some(all)
}
