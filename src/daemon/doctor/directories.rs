//! Can the directories be used that everything is kept in?

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Category, Check, Context, FixLevel, Outcome, Remedy};

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
    match bad {
        None => Outcome::passed("all can be written"),
        Some((dir, e)) => Outcome::failed(format!("{}: {e}", dir.display()))
            .remedy(Remedy::Person(format!("make {} a directory that you can write to", dir.display()))),
    }
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
