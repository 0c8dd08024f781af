//! Is the directory of the sockets ours alone?

use std::os::unix::fs::MetadataExt as _;

use super::{Category, Check, Context, Fix, FixLevel, Outcome, Remedy};

pub(super) const CHECK: Check = Check {
    slug: "runtime-private",
    name: "socket directory",
    category: Category::Machine,
    fix_level: FixLevel::Suggested,
    run,
};

fn run(cx: &Context) -> Outcome {
    let dir = cx.dirs.socket_dir();
    let meta = match std::fs::symlink_metadata(&dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Outcome::passed("made when needed"),
        Err(e) => return Outcome::failed(format!("{}: {e}", dir.display())).remedy(move_away(&dir)),
    };
    if !meta.is_dir() || meta.uid() != rustix::process::getuid().as_raw() {
        return Outcome::failed(format!("{} is not a directory of yours", dir.display()))
            .remedy(move_away(&dir));
    }
    match meta.mode() & 0o777 {
        0o700 => Outcome::passed("ours alone"),
        mode => {
            Outcome::warning(format!("{} has mode {mode:o}, others may reach the sockets", dir.display()))
                .remedy(Remedy::Fix(Fix::MakePrivate(dir)))
        }
    }
}

fn move_away(dir: &std::path::Path) -> Remedy {
    Remedy::Person(format!("move {} away", dir.display()))
}
