//! Time, handed in everywhere: a system clock for the process, a simulated one for tests.

use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

/// A point on the monotonic clock, counted from an arbitrary start. It stands still while the machine sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(Duration);

impl Mono {
    /// The start of the clock.
    pub const ZERO: Mono = Mono(Duration::ZERO);

    /// A point `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Mono {
        Mono(Duration::from_nanos(nanos))
    }

    /// Nanoseconds since the start; saturates after some 584 years.
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long ago `earlier` was; zero if it is later.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The last multiple of `grain` since the clock's start that is not later; itself if `grain` is zero.
    pub fn on_grain(self, grain: Duration) -> Mono {
        let over = self.0.as_nanos().checked_rem(grain.as_nanos()).unwrap_or(0);
        Mono::from_nanos(self.as_nanos() - u64::try_from(over).unwrap_or(0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, rhs: Duration) -> Mono {
        Mono(self.0.saturating_add(rhs))
    }
}

impl Sub<Mono> for Mono {
    type Output = Duration;
    fn sub(self, rhs: Mono) -> Duration {
        self.since(rhs)
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For durations and deadlines.
    pub mono: Mono,
    /// For people and files.
    pub wall: Timestamp,
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { mono: mono_now(), wall: wall_now() }
    }
}

#[allow(clippy::disallowed_methods)] // the one place that reads the wall clock
fn wall_now() -> Timestamp {
    Timestamp::now()
}

/// Reads the kernel's monotonic clock, which all processes of a boot share.
fn mono_now() -> Mono {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Mono(Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0)))
}

/// A clock that moves only when told to. Clones share one time.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Mutex<Now>>);

impl SimClock {
    /// A clock standing at `wall`, with the monotonic clock at zero.
    pub fn new(wall: Timestamp) -> SimClock {
        SimClock(Arc::new(Mutex::new(Now { mono: Mono::ZERO, wall })))
    }

    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock();
        now.mono = now.mono + by;
        now.wall = now.wall.saturating_add(by).unwrap_or(Timestamp::MAX);
    }

    /// Lets the machine sleep for `by`: the wall clock moves, the monotonic one does not.
    pub fn suspend(&self, by: Duration) {
        let mut now = self.0.lock();
        now.wall = now.wall.saturating_add(by).unwrap_or(Timestamp::MAX);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        *self.0.lock()
    }
}

/// Blocks the thread for `d`. The only sleep there is: for the poll loops of locks and of the foreground.
#[allow(clippy::disallowed_methods)] // the one place that sleeps
pub fn pause(d: Duration) {
    std::thread::sleep(d);
}

/// Asks `condition` every few milliseconds until it holds (true) or `limit` has passed (false).
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = mono_now() + limit;
    let mut step = Duration::from_millis(1);
    loop {
        if condition() {
            return true;
        }
        let left = end.since(mono_now());
        if left.is_zero() {
            return condition();
        }
        pause(step.min(left));
        step = (step * 2).min(Duration::from_millis(20));
    }
}

/// After this long a unit test hangs. Nothing is measured by it: no machine that still works is so slow.
#[cfg(test)]
pub(crate) const HANG: Duration = Duration::from_secs(180);

/// Notices that wall and monotonic clock have drifted apart, as they do when the machine sleeps or is set.
#[derive(Clone, Copy, Debug)]
pub struct JumpDetector {
    last: Now,
}

/// A smaller difference than this between the clocks is drift or a small correction, not a jump.
pub const JUMP_MIN: Duration = Duration::from_secs(60);

impl JumpDetector {
    /// Starts comparing at `now`.
    pub fn new(now: Now) -> JumpDetector {
        JumpDetector { last: now }
    }

    /// Compares both clocks' progress since the last call; true when they differ by more than [`JUMP_MIN`].
    pub fn check(&mut self, now: Now) -> bool {
        let mono = i128::try_from((now.mono - self.last.mono).as_nanos()).unwrap_or(i128::MAX);
        let wall = now.wall.as_nanosecond() - self.last.wall.as_nanosecond();
        self.last = now;
        (wall - mono).unsigned_abs() > JUMP_MIN.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_of_the_machine_is_a_jump_and_waiting_is_not() {
        let clock = SimClock::new(Timestamp::UNIX_EPOCH);
        let mut jumps = JumpDetector::new(clock.now());
        clock.advance(Duration::from_secs(86_400));
        assert!(!jumps.check(clock.now()));
        clock.suspend(Duration::from_secs(61));
        assert!(jumps.check(clock.now()));
        assert!(!jumps.check(clock.now()));
        clock.suspend(Duration::from_secs(60));
        assert!(!jumps.check(clock.now()));
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let a = SystemClock.now();
        assert!(wait_until(HANG, || SystemClock.now().mono > a.mono));
    }
}
