//! One object on its way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::answer::{Action, Actions, TYPE, verification};
use super::rounds::{Item, NOT_THERE};
use crate::git::error::class_of_status;
use crate::git::limits::{LFS_LOW_SPEED, LFS_SLOW_START};
use crate::http::limits::PIECE;
use crate::http::{Client, HttpError, Reply, Request};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::file::{NOFOLLOW, sync_dir, with_suffix};
use crate::kit::pointer::{Hasher, Pointer};

/// Bytes of the body of an answer that is no success.
const WORDS: usize = 64 << 10;

/// Moves objects.
pub(super) struct Mover {
    pub(super) client: Client,
    pub(super) cancel: Cancel,
    pub(super) stall: Duration,
    pub(super) moved: Arc<AtomicU64>,
    pub(super) now: Timestamp,
}

/// Why an object did not come or go.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) class: Class,
    pub(super) why: String,
    /// The address may have been too old.
    pub(super) address: bool,
    pub(super) retry_after: Option<Duration>,
}

impl Trouble {
    fn new(class: Class, why: impl Into<String>) -> Trouble {
        Trouble { class, why: why.into(), address: false, retry_after: None }
    }

    /// One that is over by itself.
    pub(super) fn again(why: impl Into<String>) -> Trouble {
        Trouble::new(Class::Network, why)
    }
}

impl From<HttpError> for Trouble {
    fn from(e: HttpError) -> Trouble {
        Trouble::new(e.class(), e.to_string())
    }
}

fn disk(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Trouble {
    let text = format!("{what} {}", path.display());
    move |e| Trouble::new(Class::of_io(&e), format!("{text}: {e}"))
}

impl Mover {
    /// Sends the file, and has the server look at it where it wants to.
    pub(super) fn upload(&self, item: &Item, actions: &Actions) -> Result<(), Trouble> {
        let Some(action) = &actions.upload else { return Ok(()) };
        let (path, object) = (&item.path, &item.object);
        let open =
            || OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path).map_err(disk("opening", path));
        let file = open()?;
        let size = file.metadata().map_err(disk("reading", path))?.size();
        if size != object.size {
            return Err(Trouble::new(Class::Usage, "it has changed meanwhile"));
        }
        let send = |file: File, ask_first: bool| {
            let put = self.client.put(action.href.expose(), file, size).counting(&self.moved);
            // One of the server's own wins.
            let put = put.header("Content-Type", "application/octet-stream");
            let put = self.prepare(put, action, size);
            let put = if ask_first { put.ask_first() } else { put };
            put.cap(WORDS).send()
        };
        let sent = match send(file, false) {
            // A server that hangs up in the middle may have had something to say, which it does when it is asked before.
            Err(HttpError::Unreachable { .. }) => send(open()?, true),
            sent => sent,
        };
        self.check(&sent?, action)?;
        let Some(verify) = &actions.verify else { return Ok(()) };
        let post = self.client.post(verify.href.expose(), TYPE, verification(object)).header("Accept", TYPE);
        let reply = self.prepare(post, verify, 0).repeatable().cap(WORDS).send()?;
        match reply.status {
            404 | 422 => Err(Trouble::new(Class::Usage, "the server did not find it whole")),
            _ => self.check(&reply, verify),
        }
    }

    /// Fetches what is missing of the file, and gives it its name when it is what it should be.
    pub(super) fn download(&self, item: &Item, actions: &Actions) -> Result<(), Trouble> {
        let Some(action) = &actions.download else {
            return Err(Trouble::new(Class::Usage, "the server does not say where it is"));
        };
        let (to, object) = (&item.path, &item.object);
        let path = with_suffix(to, ".part");
        let Some(file) = claim(&path).map_err(disk("opening", &path))? else {
            return Err(Trouble::new(Class::Busy, "somebody else is fetching it"));
        };
        let there = file.metadata().map_err(disk("reading", &path))?.size();
        let from = if there > object.size { 0 } else { there };
        if from < object.size {
            self.fetch(action, &file, from, object)?;
        }
        let (oid, size) = hash(&file).map_err(disk("reading", &path))?;
        if size < object.size {
            return Err(Trouble::again("it ended too early"));
        }
        if (&oid, size) != (&object.oid, object.size) {
            file.set_len(0).map_err(disk("writing", &path))?;
            // What lay there before may have been at fault.
            return Err(match from {
                0 => {
                    let _ = fs::remove_file(&path);
                    Trouble::new(Class::Damage, "the server has other bytes than its id says")
                }
                _ => Trouble::again("what had come of it before was damaged"),
            });
        }
        file.sync_all().map_err(disk("writing", &path))?;
        fs::rename(&path, to).and_then(|()| sync_dir(to)).map_err(disk("writing", to))
    }

    fn fetch(&self, action: &Action, file: &File, from: u64, object: &Pointer) -> Result<(), Trouble> {
        let get = self.prepare(self.client.get(action.href.expose()), action, object.size);
        let got = get.counting(&self.moved).bare_redirects().cap(WORDS).download(file, from, object.size);
        let reply = got.map_err(|e| match e {
            HttpError::TooLarge { .. } => {
                // The next one begins anew.
                let _ = file.set_len(0);
                Trouble::new(Class::Damage, "the server has more bytes than its id says")
            }
            e => e.into(),
        })?;
        if reply.status == 416 {
            file.set_len(0).map_err(|e| Trouble::new(Class::of_io(&e), e.to_string()))?;
            return Err(Trouble::again("the server does not have the rest of it"));
        }
        self.check(&reply, action)
    }

    /// Looks whether the server gives the object out, and how large it is, by its first byte.
    pub(super) fn measure(&self, item: &Item, actions: &Actions) -> Result<(), Trouble> {
        let Some(action) = &actions.download else {
            return Err(Trouble::new(Class::Usage, "the server does not say where it is"));
        };
        let get = self.prepare(self.client.get(action.href.expose()), action, 0).bare_redirects();
        let reply = get.range(0, Some(0)).header("Accept-Encoding", "identity").cap(0).peek()?;
        if matches!(reply.status, 404 | 410) {
            return Err(Trouble::new(Class::Usage, NOT_THERE));
        }
        self.check(&reply, action)?;
        match reply.total_size() {
            Some(size) if size != item.object.size => Err(Trouble::new(
                Class::Usage,
                format!("the server has {size} of {} bytes", item.object.size),
            )),
            _ => Ok(()),
        }
    }

    /// What every request of a transfer has.
    fn prepare(&self, request: Request, action: &Action, size: u64) -> Request {
        let slow = Duration::from_secs(size / LFS_LOW_SPEED);
        let request = request.stall(self.stall).deadline(LFS_SLOW_START + slow).cancel(&self.cancel);
        action
            .headers
            .iter()
            .fold(request, |request, (name, value)| request.secret_header(name, value.clone()))
    }

    fn check(&self, reply: &Reply, action: &Action) -> Result<(), Trouble> {
        let status = reply.status;
        let is_over = action.until.is_some_and(|until| until <= self.now);
        let trouble = match status {
            200..=299 => return Ok(()),
            401 | 403 | 404 | 410 => {
                let class = if status < 404 { Class::Auth } else { Class::Usage };
                let why = if is_over { "its address was too old" } else { "its address was refused" };
                Trouble { address: true, ..Trouble::new(class, format!("{why}: status {status}")) }
            }
            300..=399 => {
                Trouble::new(Class::Usage, "the server sends it to another address, which is not followed")
            }
            413 => Trouble::new(Class::Usage, "it is too large for the server"),
            507 => Trouble::new(Class::Usage, "the server has no room left"),
            _ => Trouble::new(class_of_status(status), format!("status {status}")),
        };
        Err(Trouble { retry_after: reply.retry_after(self.now), ..trouble })
    }
}

/// Opens the file in which an object grows, for us alone; `None` if somebody else has it.
fn claim(path: &Path) -> io::Result<Option<File>> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NOFOLLOW);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
        // Who had it before may have given it its name meanwhile.
        let (mine, now) = (file.metadata()?, fs::symlink_metadata(path));
        if now.is_ok_and(|now| (now.dev(), now.ino()) == (mine.dev(), mine.ino())) {
            return Ok(Some(file));
        }
    }
}

/// Id and size of what a file holds.
pub(super) fn hash(file: &File) -> io::Result<(String, u64)> {
    let (mut hasher, mut piece, mut at) = (Hasher::default(), vec![0; PIECE], 0);
    loop {
        match file.read_at(&mut piece, at)? {
            0 => return Ok(hasher.finish()),
            got => {
                hasher.update(piece.get(..got).unwrap_or_default());
                at += got as u64;
            }
        }
    }
}

/// Whether the file at `path` is the object.
pub(super) fn is_whole(path: &PathBuf, object: &Pointer) -> bool {
    let open = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path);
    let is_file = |file: &File| file.metadata().is_ok_and(|m| m.is_file() && m.size() == object.size);
    open.is_ok_and(|file| is_file(&file) && hash(&file).is_ok_and(|(oid, _)| oid == object.oid))
}
