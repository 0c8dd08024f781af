//! Can the directories be used that everything is kept in?

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};
use crate::kit::file;
use crate::kit::human::bytes;

/// With less than this, in bytes, a sync of anything but text fails soon.
const LEAST_FREE: u64 = 32 << 20;

pub(super) const CHECK: Check = Check {
    slug: "directories",
    name: "directories",
    category: Category::Machine,
    fix_level: FixLevel::CheckOnly,
    run,
};

fn run(cx: &Context) -> Outcome {
    let dirs = [cx.dirs.config(), cx.dirs.data(), cx.dirs.cache(), cx.dirs.state()];
    let bad = dirs.iter().find_map(|dir| usable(dir).err().map(|e| (dir, e)));
    let full =
        dirs.iter().find_map(|dir| free(dir).filter(|free| *free < LEAST_FREE).map(|free| (dir, free)));
    match bad {
        None if let Some((dir, free)) = full => {
            Outcome::failed(format!("the disk of {} is full: {} left", dir.display(), bytes(free)))
                .remedy(Remedy::Person("make room there".to_owned()))
        }
        None => Outcome::passed("all can be written"),
        Some((dir, e)) => Outcome::failed(format!("{}: {e}", dir.display()))
            .remedy(Remedy::Person(format!("make {} a directory that you can write to", dir.display()))),
    }
}

/// Bytes that a user may still write on the disk of a directory, or of where it would be made.
fn free(dir: &Path) -> Option<u64> {
    file::free(dir.ancestors().find(|dir| dir.exists())?).ok()
}

/// A directory we may write to, or one that we may make.
fn usable(dir: &Path) -> io::Result<()> {
    match dir.metadata() {
        Ok(meta) if !meta.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => Ok(access(dir, Access::WRITE_OK | Access::EXEC_OK)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => dir.parent().map_or(Err(e), usable),
        Err(e) => Err(e),
    }
}
