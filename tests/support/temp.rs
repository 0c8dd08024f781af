//! Where the files of tests lie.

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

/// The file system in memory that Linux machines have.
const IN_MEMORY: &str = "/dev/shm";
/// All tests at once, and as much again.
const ROOM: u64 = 4 << 30;

/// In memory, if there is room and programs may be run there, else the usual place: tests make and remove files by the ten thousand, which
/// takes a disk three times as long. `OX_TEST_DIR` names another place.
pub fn place() -> PathBuf {
    if let Some(named) = std::env::var_os("OX_TEST_DIR") {
        return PathBuf::from(named);
    }
    let usual = std::env::temp_dir();
    let is_set = std::env::var_os("TMPDIR").is_some();
    if !is_set && is_fit(Path::new(IN_MEMORY)) { PathBuf::from(IN_MEMORY) } else { usual }
}

fn is_fit(dir: &Path) -> bool {
    statvfs(dir).is_ok_and(|found| {
        found.f_bavail * found.f_frsize >= ROOM
            && !found.f_flag.intersects(StatVfsMountFlags::NOEXEC | StatVfsMountFlags::RDONLY)
    }) && rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}
