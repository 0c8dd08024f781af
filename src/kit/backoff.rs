//! Exponential back-off.

use std::time::Duration;

/// Doubling delays between a base and a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub base: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

/// More doublings than this are never computed.
const SHIFT_MAX: u32 = 10;

impl Backoff {
    /// The delay after the `failures`-th failure in a row: `base * 2^(n-1)`, at most `cap`; zero for none.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            n => self.base.saturating_mul(1 << (n - 1).min(SHIFT_MAX)).min(self.cap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let b = Backoff { base: Duration::from_secs(60), cap: Duration::from_secs(1800) };
        let minutes: Vec<u64> = (0..9).map(|n| b.delay(n).as_secs() / 60).collect();
        assert_eq!(minutes, [0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(b.delay(u32::MAX), Duration::from_secs(1800));
    }
}
