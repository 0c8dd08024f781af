//! Every number that bounds this room.

use std::time::Duration;

/// A git child that talks to a remote.
pub const NETWORK_DEADLINE: Duration = Duration::from_secs(60);
/// A look at a remote over HTTP in process, logging in included.
pub const LOOK_DEADLINE: Duration = Duration::from_secs(15);
/// An answer about large files, which may be many.
pub const LFS_DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of such an answer; more is an error.
pub const LFS_ANSWER_CAP: usize = 4 << 20;
/// Large files that are asked about at once.
pub const LFS_BATCH: usize = 100;
/// Large files that come or go beside each other.
pub const LFS_PARALLEL: usize = 4;
/// Bytes per second below which the transfer of a large file is given up, once [`LFS_SLOW_START`] is over.
pub const LFS_LOW_SPEED: u64 = 1000;
/// The transfer of any large file may take so long.
pub const LFS_SLOW_START: Duration = Duration::from_secs(600);
/// Attempts in a row without progress at large files.
pub const LFS_ATTEMPTS: u32 = 4;
/// An address for a transfer that does not work is asked for anew so many times.
pub const LFS_ADDRESSES: u32 = 2;
/// A server that asks to be left alone for longer is left to the caller.
pub const LFS_RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Headers of one transfer that a server may ask for.
pub const LFS_HEADERS_MAX: usize = 32;
/// So long it counts that a remote has large files.
pub const LFS_KNOWN: Duration = Duration::from_secs(30 * 86_400);
/// So long it counts that it has none.
pub const LFS_NONE_KNOWN: Duration = Duration::from_secs(86_400);
/// Bytes of an answer to a look; a server of protocol 0 shows all its refs, some 70 bytes each. More is an error.
pub const LOOK_CAP: usize = 16 * 1024 * 1024;
/// Remotes over HTTP whose abilities are remembered; at one more all are forgotten.
pub const REMOTES_CAP: usize = 256;
/// Answers of credential helpers that are remembered; at one more all are forgotten.
pub const LOGINS_CAP: usize = 64;
/// A git child that only touches the disk.
pub const LOCAL_DEADLINE: Duration = Duration::from_secs(30);
/// No git child but a clone ever runs longer.
pub const CHILD_MAX: Duration = Duration::from_secs(600);
/// A whole clone, while bytes keep coming.
pub const CLONE_MAX: Duration = Duration::from_secs(1800);
/// A clone, fetch or push without a byte of payload for so long is stuck.
pub const CLONE_STALL: Duration = Duration::from_secs(60);
/// A server that has work of its own before or behind the payload may show progress with it for so long.
pub const SERVER_WORK: Duration = Duration::from_secs(300);
/// Memory of one git child that talks to a network (`RLIMIT_DATA`), and of each child of it. Of those that run beside each other two may hold
/// all refs of a remote and one an object, so that they stay within 256 MiB together. A file that is sent whole needs none of it, one sent
/// as a difference twice its size.
pub const NETWORK_MEMORY: u64 = 96 << 20;
/// The same of a git child that works in a clone's files and only may have to fetch a content meanwhile: it holds the index, a few times, and
/// what it merges (see [`MERGE_CAP`]). Enough for half a million files.
pub const TREE_MEMORY: u64 = 192 << 20;
/// Bytes that a git child which talks to a network may print, what is not kept included.
pub const NETWORK_OUTPUT: u64 = 64 << 20;
/// Bytes of one file that a git child which talks to a network may write: of one pack.
pub const NETWORK_FILE: u64 = 8 << 30;
/// Own commits that are replayed on the remote's at once; more is an error.
pub const REPLAY_MAX: usize = 5000;
/// Commits of the remote that are compared with own ones, which may have come there another way: the newest since both sides parted.
pub const KNOWN_CHANGES_MAX: usize = 1000;
/// Replays begun anew because somebody committed meanwhile, before the integration gives up for now.
pub const REPLAY_ATTEMPTS: u32 = 3;
/// Attempts of one push; between them the remote's commits are brought in.
pub const PUSH_ATTEMPTS: u32 = 3;
/// Captures of dirty work that is written to meanwhile, before the integration gives up for now.
pub const CAPTURE_ATTEMPTS: u32 = 3;
/// Output kept of a git child; more is an error where the output is read.
pub const STDOUT_CAP: usize = 64 * 1024 * 1024;
/// Tail kept of what a git child writes to stderr.
pub const STDERR_CAP: usize = 64 * 1024;
/// Bytes of the state in a clone's lock file.
pub const RECORD_CAP: usize = 16 * 1024;
/// Files larger than this are never merged line by line, nor parsed: the remote's version stays, ours lies beside it.
pub const MERGE_CAP: usize = 32 * 1024 * 1024;
/// Bytes of `.git/info/exclude` that are read.
pub const EXCLUDE_CAP: usize = 1024 * 1024;
/// Ignored files, and files inside `.git`, that are carried to a new clone; with more the old one stays.
pub const PLAIN_FILES_CAP: usize = 200_000;
/// Untracked files below one directory that stands in the way.
pub const IN_THE_WAY_CAP: usize = 100_000;
/// Paths named in one error or report.
pub const NAMED_PATHS: usize = 20;
/// Lock files listed for one clone, and directories of refs looked into.
pub const LOCK_FILES_CAP: usize = 1000;
/// Rescue refs are kept so long.
pub const RESCUE_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Bytes of `.git/info/sparse-checkout`, and of our note of a set, that are read.
pub const SPARSE_CAP: usize = 4 * 1024 * 1024;
/// Changed files of a fast-forward into a sparse clone that are looked at in process; of more git is asked.
pub const FEW_CHANGES: usize = 256;
/// Missing objects that one command fetches.
pub const OBJECTS_BATCH: usize = 10_000;
/// Files of a `.git` that are counted for its size.
pub const SIZE_ENTRIES_CAP: usize = 1_000_000;
/// Bytes of one file in `.git` that old credentials are taken out of; a larger one is an error.
pub const CREDENTIALS_FILE_CAP: usize = 64 * 1024 * 1024;
/// A lock file without an owner's name is stale after this time.
pub const STALE_OWNERLESS: Duration = Duration::from_secs(3600);
/// A lock file whose owner is dead is stale after this time.
pub const STALE_DEAD_OWNER: Duration = Duration::from_secs(300);
/// A new holder of the lock waits this long for what a dead one's git children are still doing.
pub const ORPHANS_END: Duration = Duration::from_secs(5);
/// A file that another process still has open after this long is in use.
pub const OPEN_SETTLES: Duration = Duration::from_millis(500);
/// Names tried for one temporary sibling.
pub const STAGING_NAMES: u32 = 64;
/// Bytes of a file whose lines are followed through the history.
pub const BLAME_BYTES_MAX: u64 = 4 << 20;

// A git child without any sign of progress for five minutes would count as hung; ours are ended well before.
const _: () = assert!(
    CLONE_STALL.as_secs() < 300 && NETWORK_DEADLINE.as_secs() < 300 && LOCAL_DEADLINE.as_secs() < 300
);
const _: () = assert!(CHILD_MAX.as_secs() <= 600);
