//! Large files beside git: a client of Git LFS (its `docs/api/batch.md` and `basic-transfers.md`), without its program.
//!
//! An object is a content, known by its SHA-256 and size. The server is asked about up to 100 at a time and answers with an address for each
//! that is to come or go; four come or go beside each other. What fails for want of a network is tried again, by itself and a few times; what
//! a server refuses is told with the file's name. A file that came has its name only when its bytes are those of its id. Whether a remote has
//! such a server at all is found out once and kept ([`Lfs::is_there`]): a server that does not answer is never taken for one that has none.
//!
//! Addresses and headers of transfers are secrets: they are in no error and no log.

mod answer;
mod door;
mod known;
mod rounds;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use self::door::Grants;
use self::rounds::{Failed, Item, Operation, Rounds};
use self::transfer::{Mover, Trouble};
use super::command::{Git, host_of, is_ssh};
use super::error::GitError;
use super::remote::discover::local_path;
use crate::http::Client;
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::contact::Purpose;
use crate::kit::pointer::Pointer;

/// A content that goes to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id and size.
    pub object: Pointer,
    /// The file that has it; it must not change meanwhile.
    pub path: PathBuf,
}

/// A content that comes from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its id and size.
    pub object: Pointer,
    /// The file that it becomes, 0600. What of it came before lies beside it, with the ending `.part`.
    pub to: PathBuf,
}

/// Hears how many bytes of how many have come or gone.
pub type OnMoved<'a> = &'a mut dyn FnMut(u64, u64);

/// The large files of one remote.
pub struct Lfs<'a> {
    git: &'a Git,
    client: Client,
    /// The remote as git has it, without the slashes at its end.
    url: String,
    /// The file in which it is kept whether there is a server.
    kept: PathBuf,
    cancel: &'a Cancel,
    grants: Mutex<Grants>,
}

impl<'a> Lfs<'a> {
    /// Of the remote `url`. The file `kept` says what is known of its server.
    ///
    /// # Errors
    /// `git` has no HTTP client.
    pub fn new(git: &'a Git, url: &str, kept: &Path, cancel: &'a Cancel) -> Result<Lfs<'a>, GitError> {
        let Some(smart) = git.smart() else {
            let why = "there is no HTTP client".to_owned();
            return Err(GitError::Lfs { host: host_of(url), class: Class::Bug, why });
        };
        let url = url.trim_end_matches('/').to_owned();
        let (kept, grants) = (kept.to_owned(), Mutex::default());
        let client = smart.client().meant_for(Purpose::Lfs);
        Ok(Lfs { git, client, url, kept, cancel, grants })
    }

    /// Whether the remote keeps large files. A repository on this machine's disk does not; of any other it is asked once, and again when the
    /// answer is old or has turned out to be wrong.
    ///
    /// # Errors
    /// That nobody knows: the server does not answer, or not to us.
    pub fn is_there(&self) -> Result<bool, GitError> {
        Ok(self.door()?.is_some())
    }

    /// Brings contents to the server. What it has already is not sent again.
    ///
    /// # Errors
    /// [`GitError::NoLfs`]; [`GitError::LfsObjects`] names what did not arrive, all else did.
    pub fn upload(&self, uploads: &[Upload], on_moved: OnMoved<'_>) -> Result<(), GitError> {
        let items = uploads.iter().map(|u| Item::new(&u.object, &u.path)).collect();
        self.run(Operation::Upload, items, on_moved, &|mover, item, actions| mover.upload(item, actions))
    }

    /// Brings contents from the server. What lies in its place already, or in part, is not asked for again.
    ///
    /// # Errors
    /// As [`Lfs::upload`]; [`Class::Damage`] if the server has other bytes than the id says.
    pub fn download(&self, downloads: &[Download], on_moved: OnMoved<'_>) -> Result<(), GitError> {
        let is_missing = |d: &&Download| !transfer::is_whole(&d.to, &d.object);
        let items = downloads.iter().filter(is_missing).map(|d| Item::new(&d.object, &d.to)).collect();
        self.run(Operation::Download, items, on_moved, &|mover, item, actions| mover.download(item, actions))
    }

    /// Which of these the server does not give out, or with another size, in words; `names` are for them.
    ///
    /// # Errors
    /// That the server cannot be asked: then nothing is known.
    pub fn missing(&self, objects: &[(String, Pointer)]) -> Result<Vec<String>, GitError> {
        let items = objects.iter().map(|(name, object)| Item::new(object, Path::new(name))).collect();
        let looked = self.run(Operation::Download, items, &mut |_, _| (), &|mover, item, actions| {
            mover.measure(item, actions)
        });
        match looked {
            Ok(()) => Ok(Vec::new()),
            Err(GitError::LfsObjects { failed, .. }) if failed.iter().all(|f| f.class == Class::Usage) => {
                Ok(failed.iter().map(|f| format!("{} ({})", f.name, f.why)).collect())
            }
            Err(e) => Err(e),
        }
    }

    fn run(
        &self,
        operation: Operation,
        items: Vec<Item>,
        on_moved: OnMoved<'_>,
        work: &(dyn Fn(&Mover, &Item, &answer::Actions) -> Result<(), Trouble> + Sync),
    ) -> Result<(), GitError> {
        if items.is_empty() {
            return Ok(());
        }
        let moved = Arc::new(AtomicU64::new(0));
        let mover = Mover {
            client: self.client.clone(),
            cancel: self.cancel.clone(),
            stall: self.git.bounds().transfer_stall,
            moved: Arc::clone(&moved),
            now: self.git.now().wall,
        };
        let rounds = Rounds { lfs: self, operation, mover, failed: Vec::<Failed>::new() };
        rounds.run(items, on_moved, work)
    }

    fn host(&self) -> String {
        host_of(&self.url)
    }

    fn error(&self, class: Class, why: impl Into<String>) -> GitError {
        GitError::Lfs { host: self.host(), class, why: why.into() }
    }

    /// Whether the remote is a repository on this machine's disk, where nobody serves anything.
    fn is_path(&self) -> bool {
        local_path(&self.url).is_some()
    }

    fn is_ssh(&self) -> bool {
        is_ssh(&self.url)
    }
}

/// Forgets what is known of a remote's server.
pub(super) fn forget(kept: &Path) {
    if let Err(e) = fs::remove_file(kept)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        log::debug!("{}: {e}", kept.display());
    }
}
