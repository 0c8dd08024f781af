//! Whether a remote has a server of large files, as it was found out last.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::door::Door;
use crate::git::limits::{LFS_KNOWN, LFS_NONE_KNOWN};
use crate::kit::file;

/// A larger file is not ours.
const FILE_MAX: usize = 16 << 10;

#[derive(Serialize, Deserialize)]
struct Known {
    /// The remote, by a digest: it may hold a name that is nobody's business.
    remote: String,
    at: Timestamp,
    /// `none`, `ssh`, or the server's URL.
    server: String,
}

fn digest(url: &str) -> String {
    let mut hasher = crate::kit::pointer::Hasher::default();
    hasher.update(url.as_bytes());
    hasher.finish().0
}

/// What is known of `url` at `now`; the outer `None` if that is nothing, or of long ago.
pub(super) fn load(path: &Path, url: &str, now: Timestamp) -> Option<Option<Door>> {
    let known: Known = serde_json::from_slice(&file::read_capped(path, FILE_MAX).ok()?).ok()?;
    let door = match known.server.as_str() {
        "none" => None,
        "ssh" => Some(Door::Ssh),
        base => Some(Door::Beside(base.to_owned())),
    };
    let age = now.duration_since(known.at);
    let most = if door.is_some() { LFS_KNOWN } else { LFS_NONE_KNOWN };
    // What was found out in the future was found out by a clock that was wrong.
    let is_good = known.remote == digest(url) && !age.is_negative() && age.unsigned_abs() < most;
    is_good.then_some(door)
}

/// Keeps it; where that fails it is found out again.
pub(super) fn save(path: &Path, url: &str, door: Option<&Door>, now: Timestamp) {
    let server = match door {
        None => "none".to_owned(),
        Some(Door::Ssh) => "ssh".to_owned(),
        Some(Door::Beside(base)) => base.clone(),
    };
    let known = Known { remote: digest(url), at: now, server };
    let written = path.parent().map_or(Ok(()), |dir| file::make_dirs(dir, 0o700)).and_then(|()| {
        file::write_atomic(path, &serde_json::to_vec_pretty(&known).unwrap_or_default(), 0o600)
    });
    if let Err(e) = written {
        log::debug!("{}: {e}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_holds_for_its_remote_and_for_a_time() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("s/lfs.json");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let then = at("2026-03-01T00:00:00Z");
        assert_eq!(load(&path, "https://h/a", then), None);
        let doors = [None, Some(Door::Ssh), Some(Door::Beside("https://h/a/info/lfs".to_owned()))];
        for door in doors {
            save(&path, "https://h/a", door.as_ref(), then);
            assert_eq!(load(&path, "https://h/a", then), Some(door.clone()));
            assert_eq!(load(&path, "https://h/b", then), None, "another remote");
            assert_eq!(load(&path, "https://h/a", at("2026-02-28T23:59:59Z")), None, "of the future");
            let later = load(&path, "https://h/a", at("2026-03-02T00:00:00Z"));
            assert_eq!(later.is_some(), door.is_some(), "{door:?} a day later");
            assert_eq!(load(&path, "https://h/a", at("2026-04-01T00:00:00Z")), None, "a month later");
        }
    }
}
