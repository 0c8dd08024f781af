//! A finished session becomes part of the ledger: its contents go where the remote keeps large files, pointers to them and what is small into
//! a commit, and that to the remote. Nothing is destroyed here: only when this has succeeded may whoever has the session let go of its own
//! copy. Everything may be done again, and does then what is left to do.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Oid;

use super::guard::{DIR, FILE_MAX};
use super::outcome::Failure;
use super::run::{EXCLUDES, Job, LOCK_WAIT_FORCED, OnProgress, job};
use super::shape::Shape;
use super::site::Site;
use super::workspace::{Kind, Target};
use crate::git::lfs::{Download, Lfs, Upload};
use crate::git::{BlobContent, CloneLock, GitError, ManagedClone, Reader, discover};
use crate::kit::backoff::Backoff;
use crate::kit::cancel::Cancel;
use crate::kit::clock::wait_until;
use crate::kit::file::{self, NOFOLLOW};
use crate::kit::pointer::{self, Hasher, Pointer, Storage, Stored};
use crate::kit::{Class, openat};
use crate::redact::{Findings, Redactor};

/// A larger file is no blob of git's, in bytes: it could never be taken out of a history that is shared.
pub const PLAIN_MAX: u64 = 5 << 20;
/// Files of one session.
const FILES_MAX: usize = 200;
/// Attempts to push, each under the lock for itself.
const ATTEMPTS: u32 = 3;
/// The waits between them.
const WAITS: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(2) };
/// What is known of the remote's large files, beside the clone.
const LFS_KNOWN: &str = "lfs.json";
/// Where copies without secrets lie while they are sent, beside the clone.
const OUTGOING: &str = "outgoing";
/// Where files are kept that stood in a pointer's place, beside the clone.
const REPLACED: &str = "replaced";
/// Lines of JSON are looked through in pieces of so many bytes.
const PIECE: usize = 4 << 20;
/// A longer line is not looked into, in bytes.
const LINE_MAX: usize = 64 << 20;
/// Older versions left contents out by their endings here; it has to be a file that says nothing.
const IGNORE: &str = "# Sessions of this project's agents. Nothing is ignored here: contents are kept by Git LFS where the remote has it.\n";
/// What a server says that misses contents.
const MISSING_MARK: &str = "LFS objects are missing";

/// What git keeps of a session as it is: names and contents.
pub type Plain = Vec<(String, Vec<u8>)>;

/// A session on its way into the ledger.
pub struct Parcel<'a> {
    /// Name of its directory below `sessions/`.
    pub name: &'a str,
    /// Files for the remote's LFS, absolute paths; the base name is the name in the ledger. One that is a pointer already is carried over:
    /// the remote has to have what it stands for.
    pub content: Vec<PathBuf>,
    /// What git keeps as it is (`summary.json`, `meta.json`), made when it is known how the content is kept. It may be called more than
    /// once.
    pub plain: &'a dyn Fn(&[Stored]) -> io::Result<Plain>,
    /// The commit's message: `finalize session <name>` or `session: <name>`.
    pub message: String,
}

/// A session that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// A commit of the remote's branch that has it.
    pub commit: Oid,
    /// Its contents. Of those that are [`Storage::Here`] the only copy is still the caller's.
    pub stored: Vec<Stored>,
}

/// Brings a session into the ledger of `target` and pushes it. It has succeeded only when the remote has the commit, and gives out each
/// content with its size.
///
/// The stages that are told are `checking`, `uploading`, `verifying`, `writing`, `committing`, `pushing`.
///
/// # Errors
/// By class what is to be done: [`Class::Network`] and [`Class::Busy`] again later; all else stays until somebody acts. Whatever it is, the
/// session's own files are as they were.
pub fn share(
    site: &Site,
    target: &Target,
    parcel: &Parcel<'_>,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<Shared, Failure> {
    let job = ready(site, target, cancel)?;
    if job.at.read_only {
        return Err(Failure::new(
            Class::Usage,
            format!("nothing may be pushed to {}: it is read-only here", job.at),
        ));
    }
    check_name(parcel.name)?;
    let sharing = Sharing { job: &job, parcel, redactor: job.guard().redactor() };
    on_progress("checking", None, "looking at the session's files");
    let shared = sharing.run(on_progress);
    sharing.tidy();
    shared
}

/// Brings contents of the shared session `name` into the directory `into`: files 0600, four at a time, going on where an earlier call ended.
/// Those that git keeps are copied from the clone. The paths are in the order of `wanted`.
///
/// # Errors
/// As [`share`]; [`Class::Damage`] for bytes that are not those of their id, which get no name. What came stays.
pub fn fetch_content(
    site: &Site,
    target: &Target,
    name: &str,
    wanted: &[Stored],
    into: &Path,
    on_progress: OnProgress<'_>,
    cancel: &Cancel,
) -> Result<Vec<PathBuf>, Failure> {
    let job = ready(site, target, cancel)?;
    check_name(name)?;
    file::make_dirs(into, 0o700).map_err(|e| Failure::io("making", into, &e))?;
    let (mut paths, mut downloads) = (Vec::new(), Vec::new());
    for stored in wanted {
        check_file_name(&stored.name)?;
        if !pointer::is_oid(&stored.oid) {
            return Err(Failure::new(Class::Usage, format!("{} has no id", stored.name)));
        }
        let to = into.join(&stored.name);
        let object = Pointer { oid: stored.oid.clone(), size: stored.size };
        match stored.storage {
            Storage::Lfs => downloads.push(Download { object, to: to.clone() }),
            Storage::Git => copy_from_clone(&job, name, stored, &to)?,
            Storage::Here => {
                let text =
                    format!("{} of session {name} is only on the machine that recorded it", stored.name);
                return Err(Failure::new(Class::Usage, text));
            }
        }
        paths.push(to);
    }
    if downloads.is_empty() {
        return Ok(paths);
    }
    let mut on_moved =
        |done: u64, total: u64| on_progress("downloading", percent(done, total), "fetching contents");
    lfs(&job)?.download(&downloads, &mut on_moved)?;
    Ok(paths)
}

/// A clone that may be worked with.
fn ready<'a>(site: &'a Site, target: &Target, cancel: &'a Cancel) -> Result<Job<'a>, Failure> {
    let job = job(site, target, cancel).map_err(|e| Failure::new(e.class(), e.to_string()))?;
    if job.at.kind != Kind::Ledger {
        return Err(Failure::new(Class::Usage, "sessions are kept in ledgers only"));
    }
    job.check_trust()?;
    job.finish_reclone()?;
    if !job.at.exists() {
        return Err(Failure::new(Class::Usage, format!("{} is not on this machine yet; ox sync", job.at)));
    }
    Ok(job)
}

fn lfs<'a>(job: &'a Job<'_>) -> Result<Lfs<'a>, Failure> {
    Ok(Lfs::new(job.git(), &job.at.url(), &job.at.state.join(LFS_KNOWN), job.cancel)?)
}

fn percent(done: u64, total: u64) -> Option<u8> {
    u8::try_from(done.saturating_mul(100) / total.max(1)).ok().map(|p| p.min(100))
}

/// A session's name becomes a directory's.
fn check_name(name: &str) -> Result<(), Failure> {
    match check_file_name(name) {
        Err(_) => Err(Failure::new(Class::Usage, "that is no name of a session")),
        ok => ok,
    }
}

/// A name of one plain file.
fn check_file_name(name: &str) -> Result<(), Failure> {
    let is_plain = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with(['.', '-'])
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    if is_plain { Ok(()) } else { Err(Failure::new(Class::Usage, "that is no name of a session's file")) }
}

/// A content on its way.
struct Kept {
    stored: Stored,
    /// The file that has what is kept; none for a pointer that is carried over.
    path: Option<PathBuf>,
}

impl Kept {
    fn pointer(&self) -> Pointer {
        Pointer { oid: self.stored.oid.clone(), size: self.stored.size }
    }
}

/// One call of [`share`].
struct Sharing<'s> {
    job: &'s Job<'s>,
    parcel: &'s Parcel<'s>,
    redactor: Redactor,
}

impl Sharing<'_> {
    fn run(&self, on_progress: OnProgress<'_>) -> Result<Shared, Failure> {
        let mut kept = self.prepare()?;
        self.store(&mut kept, on_progress)?;
        let commit = self.push(&kept, on_progress)?;
        Ok(Shared { commit, stored: kept.into_iter().map(|k| k.stored).collect() })
    }

    fn state(&self, dir: &str) -> PathBuf {
        self.job.at.state.join(dir).join(self.parcel.name)
    }

    /// What each file holds without secrets.
    fn prepare(&self) -> Result<Vec<Kept>, Failure> {
        let mut names = BTreeSet::new();
        let mut kept = Vec::new();
        if self.parcel.content.len() > FILES_MAX {
            return Err(Failure::new(Class::Usage, format!("a session of more than {FILES_MAX} files")));
        }
        for path in &self.parcel.content {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            check_file_name(name)?;
            if !names.insert(name.to_owned()) {
                return Err(Failure::new(Class::Usage, format!("two files are called {name}")));
            }
            kept.push(self.prepare_one(name, path)?);
        }
        Ok(kept)
    }

    fn prepare_one(&self, name: &str, path: &Path) -> Result<Kept, Failure> {
        let io_at = |e: io::Error| Failure::io("reading", path, &e);
        let mut file = open_regular(path).map_err(io_at)?;
        let size = file.metadata().map_err(io_at)?.size();
        let stored = |oid, size| Stored { name: name.to_owned(), oid, size, storage: Storage::Lfs };
        if size <= pointer::MAX as u64 {
            let mut head = Vec::new();
            (&mut file).take(pointer::MAX as u64 + 1).read_to_end(&mut head).map_err(io_at)?;
            if pointer::is_pointer(&head) {
                let Some(Pointer { oid, size }) = Pointer::parse(&head) else {
                    let text = format!("{} stands for a content, and does not say which", path.display());
                    return Err(Failure::new(Class::Damage, text));
                };
                return Ok(Kept { stored: stored(oid, size), path: None });
            }
            file = open_regular(path).map_err(io_at)?;
        }
        let mut hasher = Hasher::default();
        let found = redacted(&self.redactor, name, &mut file, &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        });
        let found = found.map_err(io_at)?;
        let (oid, size) = hasher.finish();
        let mut from = path.to_owned();
        if !found.is_empty() {
            log::info!("session {}: secrets in {name} are left out of what is shared", self.parcel.name);
            from = self.copy_redacted(name, path)?;
        }
        Ok(Kept { stored: stored(oid, size), path: Some(from) })
    }

    /// Writes a copy without secrets, for the time that it takes to send it.
    fn copy_redacted(&self, name: &str, path: &Path) -> Result<PathBuf, Failure> {
        let dir = self.state(OUTGOING);
        let to = dir.join(name);
        let write = || {
            file::make_dirs(&dir, 0o700)?;
            let mut file = open_regular(path)?;
            match fs::remove_file(&to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
            redacted(&self.redactor, name, &mut file, &mut |bytes| copy.write_all(bytes)).map(drop)
        };
        write().map_err(|e| Failure::io("writing", &to, &e))?;
        Ok(to)
    }

    /// Decides where each content is kept, and brings it there if that is not git.
    fn store(&self, kept: &mut [Kept], on_progress: OnProgress<'_>) -> Result<(), Failure> {
        let plain = self.plain_before()?;
        for one in kept.iter_mut() {
            // What git had as it is stays so: a pointer would not take it out of the history. An empty file has no pointer.
            let is_small = one.stored.size <= PLAIN_MAX && one.path.is_some();
            if is_small && (one.stored.size == 0 || plain.contains(&one.stored.name)) {
                one.stored.storage = Storage::Git;
            }
        }
        if !kept.iter().any(|k| k.stored.storage == Storage::Lfs) {
            return Ok(());
        }
        let lfs = lfs(self.job)?;
        if lfs.is_there()? {
            match self.upload(&lfs, kept, on_progress) {
                Err(Unstored::NoLfs) => log::info!("{}: its remote has no Git LFS any more", self.job.at),
                Err(Unstored::Failed(failure)) => return Err(failure),
                Ok(()) => return Ok(()),
            }
        }
        for one in kept.iter_mut().filter(|k| k.stored.storage == Storage::Lfs) {
            if one.path.is_none() {
                let text = format!(
                    "{} of session {} only stands for its content, and the remote has no Git LFS that could have it",
                    one.stored.name, self.parcel.name
                );
                return Err(Failure::new(Class::Usage, text));
            }
            one.stored.storage = if one.stored.size <= PLAIN_MAX { Storage::Git } else { Storage::Here };
        }
        Ok(())
    }

    /// The files of the session that HEAD has as they are.
    fn plain_before(&self) -> Result<BTreeSet<String>, Failure> {
        let reader = Reader::open(&self.job.at.path)?;
        let Some(head) = reader.head()?.commit else { return Ok(BTreeSet::new()) };
        let mut plain = BTreeSet::new();
        for blob in reader.blobs_in(head, &format!("{DIR}/{}", self.parcel.name), FILES_MAX)? {
            match reader.content(blob.id, pointer::MAX)? {
                BlobContent::Here(bytes) if pointer::is_pointer(&bytes) || bytes.is_empty() => {}
                BlobContent::Here(_) | BlobContent::TooLarge(_) => {
                    plain.insert(blob.name);
                }
                BlobContent::Missing => {}
            }
        }
        Ok(plain)
    }

    /// Uploads what is for LFS, and has the server prove that it has all of it.
    fn upload(&self, lfs: &Lfs<'_>, kept: &[Kept], on_progress: OnProgress<'_>) -> Result<(), Unstored> {
        let large: Vec<&Kept> = kept.iter().filter(|k| k.stored.storage == Storage::Lfs).collect();
        let uploads: Vec<Upload> = large
            .iter()
            .filter_map(|k| k.path.clone().map(|path| Upload { object: k.pointer(), path }))
            .collect();
        // The server says of pointers that are carried over whether it has what they stand for.
        let carried = |k: &&&Kept| k.path.is_none();
        let named = |k: &&Kept| (k.stored.name.clone(), k.pointer());
        let missing = lfs.missing(&large.iter().filter(carried).map(named).collect::<Vec<_>>())?;
        if !missing.is_empty() {
            let text = format!(
                "the remote's Git LFS does not have what pointers of session {} stand for: {}; nothing was pushed",
                self.parcel.name,
                missing.join(", ")
            );
            return Err(Unstored::Failed(Failure::new(Class::Usage, text)));
        }
        on_progress("uploading", Some(0), "uploading contents");
        lfs.upload(&uploads, &mut |done, total| {
            on_progress("uploading", percent(done, total), "uploading contents")
        })?;
        on_progress("verifying", None, "asking whether all of it arrived");
        let missing = lfs.missing(&large.iter().map(named).collect::<Vec<_>>())?;
        if !missing.is_empty() {
            let text =
                format!("the remote's Git LFS does not give out what was sent to it: {}", missing.join(", "));
            return Err(Unstored::Failed(Failure::new(Class::Network, text)));
        }
        Ok(())
    }

    /// Commits and pushes. Each attempt has the clone's lock for itself; between them others may work.
    fn push(&self, kept: &[Kept], on_progress: OnProgress<'_>) -> Result<Oid, Failure> {
        let mut has_stored_again = false;
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(kept, on_progress) {
                Ok(commit) => return Ok(commit),
                Err(failure) => failure,
            };
            if self.job.cancel.is_cancelled() {
                return Err(failure);
            }
            if failure.text.contains(MISSING_MARK) && !has_stored_again {
                has_stored_again = true;
                let lfs = lfs(self.job)?;
                self.upload(&lfs, kept, on_progress).map_err(|e| match e {
                    Unstored::Failed(failure) => failure,
                    Unstored::NoLfs => failure,
                })?;
                continue;
            }
            let passes = matches!(failure.class, Class::Network | Class::Busy);
            if !passes || attempt == ATTEMPTS || failure.retry_after.is_some_and(|wait| wait > WAITS.cap) {
                return Err(failure);
            }
            log::info!("session {}: {}; tried again", self.parcel.name, failure.text);
            wait_until(WAITS.delay(attempt), || self.job.cancel.is_cancelled());
            attempt += 1;
        }
    }

    fn attempt(&self, kept: &[Kept], on_progress: OnProgress<'_>) -> Result<Oid, Failure> {
        let job = self.job;
        let view = job.view()?;
        if view.origin != job.at.url() {
            let text = format!("{} has another remote than the project names; ox sync", job.at);
            return Err(Failure::new(Class::Busy, text));
        }
        let busy = || Failure::new(Class::Busy, format!("somebody else works on {}", job.at));
        let gate = |reader: &Reader, head, upstream| job.may_push(reader, head, upstream);
        let mut lock = CloneLock::acquire(&job.at.lock, LOCK_WAIT_FORCED)?.ok_or_else(busy)?;
        let mut clone = lock.open(job.git(), &job.at.path, job.cancel)?;
        clone.guard(&gate);
        clone.ensure_excludes(&EXCLUDES)?;
        on_progress("writing", None, "writing the session into the ledger");
        let paths = self.write(&clone, kept)?;
        on_progress("committing", None, "committing the session");
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let new = clone.commit(&paths, &self.parcel.message)?;
        if let Some(new) = new {
            log::info!("session {}: committed as {new}", self.parcel.name);
        }
        on_progress("pushing", None, "pushing the session");
        let rules = Shape::of(&job.at, clone.path()).rules();
        if clone.unpushed(&view.branch)? == 0 {
            // What is known of the remote may be old.
            let url = job.at.url();
            if discover(job.git(), &url, Some(&view.branch), job.cancel)?.tip
                != clone.remote_tip(&view.branch)?
            {
                clone.fetch(&view.branch)?;
                clone.integrate(&view.branch, &rules)?;
            }
        }
        job.redact_own(&mut clone, &view.branch)?;
        let pushed = clone.push_retry(&view.branch, &rules)?;
        pushed.commit.ok_or_else(|| Failure::new(Class::Bug, "there was nothing to push"))
    }

    /// Writes the session's files into the clone; their paths.
    fn write(&self, clone: &ManagedClone<'_>, kept: &[Kept]) -> Result<Vec<PathBuf>, Failure> {
        let root = clone.path();
        let dirs = [DIR, self.parcel.name];
        let stored: Vec<Stored> = kept.iter().map(|k| k.stored.clone()).collect();
        let session = Path::new(DIR).join(self.parcel.name);
        let plain =
            (self.parcel.plain)(&stored).map_err(|e| Failure::io("making the files of", &session, &e))?;
        let mut files = Vec::new();
        for one in kept {
            let name = &one.stored.name;
            match (one.stored.storage, &one.path) {
                (Storage::Here, _) => {}
                (Storage::Git, Some(path)) => {
                    let bytes = self.plain_content(one, path)?;
                    files.push((name.clone(), bytes));
                }
                _ => {
                    self.put_aside(root, name, &one.stored)?;
                    files.push((name.clone(), one.pointer().to_text().into_bytes()));
                }
            }
        }
        for (name, bytes) in plain {
            check_file_name(&name)?;
            if stored.iter().any(|s| s.name == name) {
                return Err(Failure::new(Class::Bug, format!("{name} is a content and a plain file")));
            }
            files.push((name, bytes));
        }
        let mut paths = Vec::new();
        for (name, bytes) in files {
            let path = session.join(&name);
            openat::replace_durable(root, &dirs, &name, &bytes, 0o644)
                .map_err(|e| Failure::io("writing", &path, &e))?;
            paths.push(path);
        }
        let ignore = Path::new(DIR).join(".gitignore");
        openat::replace_durable(root, &[DIR], ".gitignore", IGNORE.as_bytes(), 0o644)
            .map_err(|e| Failure::io("writing", &ignore, &e))?;
        paths.push(ignore);
        Ok(paths)
    }

    /// A small content, without secrets, as git keeps it.
    fn plain_content(&self, one: &Kept, path: &Path) -> Result<Vec<u8>, Failure> {
        let io_at = |e: io::Error| Failure::io("reading", path, &e);
        let mut file = open_regular(path).map_err(io_at)?;
        let mut bytes = Vec::new();
        redacted(&self.redactor, &one.stored.name, &mut file, &mut |piece| {
            bytes.extend_from_slice(piece);
            if bytes.len() as u64 > PLAIN_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
        })
        .map_err(io_at)?;
        let mut hasher = Hasher::default();
        hasher.update(&bytes);
        if hasher.finish() != (one.stored.oid.clone(), one.stored.size) {
            let text = format!("{} has changed meanwhile", path.display());
            return Err(Failure::new(Class::Busy, text));
        }
        Ok(bytes)
    }

    /// A content that lies where a pointer goes, and is not what the pointer stands for, is kept beside the clone: it may be the only copy.
    fn put_aside(&self, root: &Path, name: &str, stored: &Stored) -> Result<(), Failure> {
        let at = Path::new(DIR).join(self.parcel.name).join(name);
        let there = openat::read(root, &[DIR, self.parcel.name], name, FILE_MAX);
        let Some(there) = file::found(there).map_err(|e| Failure::io("reading", &at, &e))? else {
            return Ok(());
        };
        let mut hasher = Hasher::default();
        hasher.update(&there);
        let (oid, _) = hasher.finish();
        if pointer::is_pointer(&there) || oid == stored.oid {
            return Ok(());
        }
        let dir = self.state(REPLACED);
        let to = dir.join(format!("{}-{name}", oid.get(..16).unwrap_or_default()));
        file::make_dirs(&dir, 0o700)
            .and_then(|()| file::write_durable(&to, &there, 0o600))
            .map_err(|e| Failure::io("writing", &to, &e))?;
        log::warn!("{} had other content; it is kept as {}", at.display(), to.display());
        Ok(())
    }

    /// The copies that were made for sending.
    fn tidy(&self) {
        let dir = self.state(OUTGOING);
        let removed = fs::remove_dir_all(&dir);
        if let Some(e) = removed.err().filter(|e| e.kind() != io::ErrorKind::NotFound) {
            log::debug!("{}: {e}", dir.display());
        }
        // Those of another session may lie there.
        let _ = fs::remove_dir(self.job.at.state.join(OUTGOING));
    }
}

/// Why contents are not with LFS.
enum Unstored {
    NoLfs,
    Failed(Failure),
}

impl From<GitError> for Unstored {
    fn from(e: GitError) -> Unstored {
        match e {
            GitError::NoLfs(_) => Unstored::NoLfs,
            e => Unstored::Failed(e.into()),
        }
    }
}

fn open_regular(path: &Path) -> io::Result<File> {
    // Without NONBLOCK a FIFO in the file's place would block for ever.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(NOFOLLOW | nonblock).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Hands out what the file `name` holds without secrets, piece by piece, and says what they were.
fn redacted(
    redactor: &Redactor,
    name: &str,
    file: &mut File,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Findings> {
    let mut found = Findings::default();
    let mut held = Vec::new();
    match Path::new(name).extension().and_then(|e| e.to_str()) {
        Some("json") => {
            file.take(LINE_MAX as u64 + 1).read_to_end(&mut held)?;
            if held.len() > LINE_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            out(&redactor.redact_file(name, &held, &mut found))?;
            Ok(found)
        }
        Some("jsonl") => loop {
            let got = file.take(PIECE as u64).read_to_end(&mut held)?;
            let end = match memchr::memrchr(b'\n', &held) {
                _ if got == 0 => held.len(),
                Some(at) => at + 1,
                None if held.len() > LINE_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
                None => 0,
            };
            let rest = held.split_off(end);
            out(&redactor.redact_file(name, &held, &mut found))?;
            held = rest;
            if got == 0 {
                return Ok(found);
            }
        },
        _ => {
            let mut stream = redactor.stream();
            let (mut piece, mut clean) = (vec![0; PIECE >> 4], Vec::new());
            loop {
                let got = file.read(&mut piece)?;
                if got == 0 {
                    found.merge(&stream.finish(&mut clean));
                    out(&clean)?;
                    return Ok(found);
                }
                stream.push(piece.get(..got).unwrap_or_default(), &mut clean);
                out(&clean)?;
                clean.clear();
            }
        }
    }
}

/// Copies a content that git keeps out of the clone.
fn copy_from_clone(job: &Job<'_>, session: &str, stored: &Stored, to: &Path) -> Result<(), Failure> {
    let at = Path::new(DIR).join(session).join(&stored.name);
    let cap = usize::try_from(stored.size).unwrap_or(FILE_MAX).clamp(1, FILE_MAX);
    let is_it = |bytes: &[u8]| {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish() == (stored.oid.clone(), stored.size)
    };
    let checked_out =
        openat::read(&job.at.path, &[DIR, session], &stored.name, cap).ok().filter(|b| is_it(b));
    let bytes = match checked_out {
        Some(bytes) => Some(bytes),
        None => committed(job, session, &stored.name, cap)?.filter(|b| is_it(b)),
    };
    let Some(bytes) = bytes else {
        let text = format!("{} has no content with the id that the session names; ox sync", at.display());
        return Err(Failure::new(Class::Usage, text));
    };
    file::write_durable(to, &bytes, 0o600).map_err(|e| Failure::io("writing", to, &e))
}

/// A content as HEAD has it, if it is here.
fn committed(job: &Job<'_>, session: &str, name: &str, cap: usize) -> Result<Option<Vec<u8>>, Failure> {
    let reader = Reader::open(&job.at.path)?;
    let Some(head) = reader.head()?.commit else { return Ok(None) };
    let blobs = reader.blobs_in(head, &format!("{DIR}/{session}"), FILES_MAX)?;
    let Some(blob) = blobs.into_iter().find(|blob| blob.name == name) else { return Ok(None) };
    Ok(match reader.content(blob.id, cap)? {
        BlobContent::Here(bytes) => Some(bytes),
        BlobContent::TooLarge(_) | BlobContent::Missing => None,
    })
}
