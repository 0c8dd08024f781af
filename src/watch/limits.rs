//! Every number that bounds this room.

use std::time::Duration;

/// A change is settled when nothing was heard for so long: what notes to team-mates wait for.
pub const SETTLE: Duration = Duration::from_secs(3);
/// However steadily things change, a batch is settled so long after its first change.
pub const SETTLE_HOLD: Duration = Duration::from_secs(15);
/// Hints are looked into, and told to whoever wants to know early, after so much quiet.
pub const EARLY: Duration = Duration::from_millis(500);
/// However steadily hints come, they are looked into so long after the first.
pub const EARLY_HOLD: Duration = Duration::from_secs(1);
/// After HEAD has moved nothing is settled for so long: git may not be done.
pub const HEAD_REST: Duration = Duration::from_secs(2);
/// While git holds its index a batch waits at most so long; then it is settled as partial.
pub const GIT_HOLD: Duration = Duration::from_secs(60);
/// Time between two looks at git's lock while it is held.
pub const GIT_LOOK: Duration = Duration::from_millis(100);

/// Paths with hints that are kept for one root; at one more they are forgotten and the root is compared as a whole.
pub const HINTS_MAX: usize = 20_000;
/// Bytes of those paths.
pub const HINT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Changes that wait to be settled; at one more they are dropped and the batch says so.
pub const PENDING_MAX: usize = 20_000;
/// Bytes of their paths.
pub const PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Directories watched below one root; a larger one is polled for the rest.
pub const DIRS_MAX: usize = 50_000;
/// Where more watches than this are let go of at once, a new watcher takes up the rest: for each one the library looks at all others.
pub const UNWATCH_MAX: usize = 256;
/// Directories deeper than this are not looked into.
pub const DEPTH_MAX: usize = 64;
/// Files that git neither tracks nor ignores and that are remembered; those beyond are counted, not told.
pub const UNTRACKED_MAX: usize = 50_000;

/// Time between looks at the whole tree while not all of it is watched, and something changes.
pub const POLL_ACTIVE: Duration = Duration::from_secs(5);
/// The same while nothing changes: a change is seen within 10 s.
pub const POLL_IDLE: Duration = Duration::from_secs(9);
/// So long after a change or hint a root still counts as active.
pub const ACTIVE: Duration = Duration::from_secs(60);
/// Looks at the whole tree take at most one part in so many of the time: 5 % of a core.
pub const POLL_SHARE: u32 = 20;
/// After a loss the tree is compared at once; a further loss within this time makes the root degraded: polled.
pub const LOSS_GAP: Duration = Duration::from_secs(10);
/// After so long without a loss, watching alone is trusted again.
pub const LOSS_QUIET: Duration = Duration::from_secs(600);
/// While a limit keeps directories from being watched, it is tried again so often.
pub const RETRY_FULL: Duration = Duration::from_secs(600);
/// A root that is gone is looked for so often.
pub const ROOT_LOOK: Duration = Duration::from_secs(30);
/// A job that failed is tried again after this.
pub const JOB_RETRY: Duration = Duration::from_secs(5);

/// What is kept of a tree across restarts, in bytes (whispers and watching, W15); of one with more unlike git's index nothing is kept.
pub const SAVED_MAX: usize = 1 << 20;
/// What was kept longer ago is of no use: nobody is told of changes that old (W15, 11.1).
pub const SAVED_AGE: jiff::SignedDuration = jiff::SignedDuration::from_mins(30);

/// How long a cookie file may take through the kernel's queue before the queue is taken for lost.
pub const COOKIE_WAIT: Duration = Duration::from_secs(2);
/// Cookies that are waited for at the same time.
pub const COOKIES_MAX: usize = 64;

/// Changes whose time is remembered for "what changed since".
pub const HISTORY_MAX: usize = 10_000;
/// How long they are.
pub const HISTORY_AGE: Duration = Duration::from_secs(12 * 3600);

/// The overlay is refreshed so long after the last change.
pub const OVERLAY_DEBOUNCE: Duration = Duration::from_secs(5);
/// Two refreshes start at least this far apart.
pub const OVERLAY_GAP: Duration = Duration::from_secs(30);
/// However steadily things change, a refresh starts so long after the first change it has not seen.
pub const OVERLAY_MAX: Duration = Duration::from_secs(30);
