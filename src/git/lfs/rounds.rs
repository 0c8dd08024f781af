//! Objects that come or go, asked about in batches, four beside each other, and again as long as that helps.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::answer::{self, About, Actions, Useless};
use super::door::{Answered, Door};
use super::transfer::{Mover, Trouble};
use super::{Lfs, OnMoved};
use crate::git::error::{GitError, Unmoved, class_of_status};
use crate::git::limits::{LFS_ADDRESSES, LFS_ATTEMPTS, LFS_BATCH, LFS_PARALLEL, LFS_RETRY_AFTER_MAX};
use crate::kit::Class;
use crate::kit::clock::wait_until;
use crate::kit::mask::sanitise;
use crate::kit::pointer::Pointer;
use crate::kit::thread::each;

/// Which way objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Upload,
    Download,
}

impl Operation {
    /// As the protocol has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Operation::Upload => "upload",
            Operation::Download => "download",
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Operation::Upload => "uploading to",
            Operation::Download => "downloading from",
        }
    }
}

/// An object, its file, and what became of it so far.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) object: Pointer,
    pub(super) path: PathBuf,
    /// Addresses that did not work.
    pub(super) addresses: u32,
}

impl Item {
    pub(super) fn new(object: &Pointer, path: &Path) -> Item {
        Item { object: object.clone(), path: path.to_owned(), addresses: 0 }
    }

    /// What messages call it.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        sanitise(&name.to_string_lossy())
    }
}

pub(super) type Failed = Unmoved;

/// The work with each object whose address is known.
pub(super) type Work<'w> = &'w (dyn Fn(&Mover, &Item, &Actions) -> Result<(), Trouble> + Sync);

pub(super) struct Rounds<'r> {
    pub(super) lfs: &'r Lfs<'r>,
    pub(super) operation: Operation,
    pub(super) mover: Mover,
    pub(super) failed: Vec<Failed>,
}

/// What became of a batch.
#[derive(Default)]
struct Round {
    /// What is tried again, and why.
    again: Vec<(Item, Trouble)>,
    done: usize,
}

impl Rounds<'_> {
    pub(super) fn run(
        mut self,
        items: Vec<Item>,
        on_moved: OnMoved<'_>,
        work: Work<'_>,
    ) -> Result<(), GitError> {
        let lfs = self.lfs;
        let mut door = lfs.door()?.ok_or_else(|| GitError::NoLfs(lfs.host()))?;
        let total = items.iter().map(|item| item.object.size).sum();
        let (mut left, mut in_vain) = (items, 0);
        let (mut has_knocked, mut retry_after) = (false, None);
        while !left.is_empty() {
            let mut next = Round::default();
            let before = self.mover.moved.load(Ordering::Relaxed);
            for batch in left.chunks(LFS_BATCH) {
                match self.batch(&door, batch, (total, on_moved), work, &mut next) {
                    Ok(()) => {}
                    // What was kept of it may be of another time.
                    Err(GitError::LfsRefused { status: 404 | 405 | 410 | 501, .. }) if !has_knocked => {
                        has_knocked = true;
                        lfs.forget_door();
                        door = lfs.door()?.ok_or_else(|| GitError::NoLfs(lfs.host()))?;
                        next.again.extend(
                            batch.iter().map(|item| (item.clone(), Trouble::again("its server has moved"))),
                        );
                        next.done += 1;
                    }
                    // It is there, and says so of objects that it does not have, if it has none of these.
                    Err(GitError::LfsRefused { status: 404, .. })
                        if self.operation == Operation::Download && has_knocked =>
                    {
                        let gone = |item: &Item| Failed {
                            name: item.name(),
                            class: Class::Usage,
                            why: NOT_THERE.to_owned(),
                        };
                        self.failed.extend(batch.iter().map(gone));
                    }
                    Err(e) if e.class() == Class::Network && in_vain + 1 < LFS_ATTEMPTS => {
                        let trouble =
                            Trouble { retry_after: e.retry_after(), ..Trouble::again(e.to_string()) };
                        next.again.extend(batch.iter().map(|item| (item.clone(), trouble.clone())));
                    }
                    Err(e) => return Err(e),
                }
                self.check_cancel()?;
            }
            let moved = self.mover.moved.load(Ordering::Relaxed) - before;
            // A large file that comes in pieces gets on.
            let gets_on = next.done > 0 || (self.operation == Operation::Download && moved >= PROGRESS);
            in_vain = if gets_on { 0 } else { in_vain + 1 };
            if next.again.is_empty() {
                break;
            }
            retry_after = next.again.iter().filter_map(|(_, trouble)| trouble.retry_after).max();
            let is_patient = retry_after.is_none_or(|wait| wait <= LFS_RETRY_AFTER_MAX);
            if in_vain >= LFS_ATTEMPTS || !is_patient {
                self.failed.extend(next.again.into_iter().map(|(item, t)| Failed {
                    name: item.name(),
                    class: t.class,
                    why: t.why,
                }));
                break;
            }
            let backoff = lfs.git.bounds().retry.delay(in_vain.max(1));
            self.wait(retry_after.map_or(backoff, |asked| asked.max(backoff)))?;
            left = next.again.into_iter().map(|(item, _)| item).collect();
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        self.failed.sort_by(|one, other| one.name.cmp(&other.name));
        Err(GitError::LfsObjects {
            doing: self.operation.doing(),
            host: lfs.host(),
            failed: self.failed,
            retry_after,
        })
    }

    /// Asks about a batch and does what there is to do.
    fn batch(
        &mut self,
        door: &Door,
        batch: &[Item],
        (total, on_moved): (u64, OnMoved<'_>),
        work: Work<'_>,
        round: &mut Round,
    ) -> Result<(), GitError> {
        let lfs = self.lfs;
        let Answered { reply, base, login } =
            lfs.ask(door, self.operation, batch.iter().map(|i| &i.object))?;
        if !(200..300).contains(&reply.status) {
            return Err(lfs.refused(&reply));
        }
        let answers = answer::read(&reply.body, &base, login.as_ref(), lfs.git.now().wall).map_err(|e| match e {
            // Somebody between may have answered.
            Useless::Foreign => lfs.error(Class::Network, "its answer is none of such a server"),
            Useless::OtherTransfer => lfs.error(Class::Usage, "it offers only transfers that ox does not know"),
            Useless::BadAddress => lfs.error(
                Class::Usage,
                "it names an address that is neither on its own host nor reached over https; nothing was sent there",
            ),
        })?;
        let mut ready = Vec::new();
        for item in batch {
            let (class, why) = match answer::about(&answers, &item.object) {
                Some(About::Actions(actions)) if self.has_work(&actions) => {
                    ready.push((item.clone(), actions));
                    continue;
                }
                // The server has it.
                Some(About::Actions(_)) if self.operation == Operation::Upload => {
                    round.done += 1;
                    continue;
                }
                Some(About::Actions(_)) => (Class::Usage, "the server does not say where it is".to_owned()),
                Some(About::Refused(404, _)) => (Class::Usage, NOT_THERE.to_owned()),
                Some(About::Refused(status, said)) => {
                    let class = class_of_status(status);
                    if class == Class::Network {
                        round.again.push((item.clone(), Trouble::again(format!("status {status}"))));
                        continue;
                    }
                    (class, format!("status {status}: {}", sanitise(&said)))
                }
                Some(About::OtherSize(size)) => (Class::Usage, format!("the server has one of {size} bytes")),
                None => (Class::Usage, "the server says nothing about it".to_owned()),
            };
            self.failed.push(Failed { name: item.name(), class, why });
        }
        let moved = &self.mover.moved;
        let mut meanwhile = || on_moved(moved.load(Ordering::Relaxed).min(total), total);
        let mover = &self.mover;
        let results = each(
            "lfs",
            LFS_PARALLEL,
            ready,
            |(item, actions)| {
                let result = work(mover, &item, &actions);
                (item, result)
            },
            &mut meanwhile,
        );
        for (mut item, result) in results {
            match result {
                Ok(()) => round.done += 1,
                Err(trouble) if trouble.address && item.addresses < LFS_ADDRESSES => {
                    item.addresses += 1;
                    round.again.push((item, trouble));
                }
                Err(trouble) if trouble.class == Class::Network && !trouble.address => {
                    round.again.push((item, trouble))
                }
                Err(Trouble { class, why, .. }) => self.failed.push(Failed { name: item.name(), class, why }),
            }
        }
        Ok(())
    }

    fn has_work(&self, actions: &Actions) -> bool {
        match self.operation {
            Operation::Upload => actions.upload.is_some(),
            Operation::Download => actions.download.is_some(),
        }
    }

    fn check_cancel(&self) -> Result<(), GitError> {
        if self.lfs.cancel.is_cancelled() { Err(GitError::Cancelled("lfs")) } else { Ok(()) }
    }

    fn wait(&self, wait: Duration) -> Result<(), GitError> {
        wait_until(wait, || self.lfs.cancel.is_cancelled());
        self.check_cancel()
    }
}

/// What is said of an object that the server lacks.
pub(super) const NOT_THERE: &str = "the server does not have it";
/// So many bytes that came are progress, in bytes.
const PROGRESS: u64 = 1 << 20;
