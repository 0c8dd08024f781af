//! Waiting for what must happen, without a limit that a busy machine could reach. What must be measured in time is measured in
//! `benches/`; exact times are asked of policy on a simulated clock, or of the daemon's own records.

use std::fmt::Display;
use std::time::Duration;

use ox::kit::clock::wait_until;

/// After this long a test hangs: nothing that happens at all takes so long on a machine that still works. Nothing is measured by it.
pub const HANG: Duration = Duration::from_secs(180);

/// Waits until `condition` holds; false if that does not come.
pub fn comes(condition: impl FnMut() -> bool) -> bool {
    wait_until(HANG, condition)
}

/// Waits until `condition` holds; a test whose condition never comes fails where it called.
#[track_caller]
pub fn until(condition: impl FnMut() -> bool) {
    until_or(condition, || "what was waited for did not come");
}

/// As [`until`]; says `why` when it fails.
#[track_caller]
pub fn until_or<W: Display>(condition: impl FnMut() -> bool, why: impl FnOnce() -> W) {
    assert!(comes(condition), "not within {} s: {}", HANG.as_secs(), why());
}
