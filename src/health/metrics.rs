//! Counters of a project's syncs.

use std::time::Duration;

use jiff::Timestamp;

use crate::kit::ring::Ring;

/// Durations of so many pulls are kept for the percentile.
pub const DURATIONS_MAX: usize = 100;

/// Counters since the start of the daemon. A failure for want of a network is none.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Pulls that brought something in.
    pub pulls: u64,
    /// Pulls that failed.
    pub failures: u64,
    /// Failures because both sides changed the same thing.
    pub conflicts: u64,
    /// Pulls that found commits on both sides.
    pub divergences: u64,
    /// Team contexts that brought something in.
    pub team_syncs: u64,
    /// Syncs of team contexts that failed.
    pub team_failures: u64,
    /// When a pull last ended well.
    pub last_success: Option<Timestamp>,
    /// When one last failed.
    pub last_failure: Option<Timestamp>,
    /// When one last met a conflict.
    pub last_conflict: Option<Timestamp>,
    durations: Ring<Duration>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            pulls: 0,
            failures: 0,
            conflicts: 0,
            divergences: 0,
            team_syncs: 0,
            team_failures: 0,
            last_success: None,
            last_failure: None,
            last_conflict: None,
            durations: Ring::new(DURATIONS_MAX),
        }
    }
}

impl Metrics {
    /// Counts a pull that ended well.
    pub fn pulled(&mut self, at: Timestamp, took: Duration, diverged: bool) {
        self.pulls += 1;
        self.divergences += u64::from(diverged);
        self.last_success = Some(at);
        self.durations.push(took);
    }

    /// Counts a pull that failed.
    pub fn failed(&mut self, at: Timestamp, conflict: bool) {
        self.failures += 1;
        self.last_failure = Some(at);
        if conflict {
            self.conflicts += 1;
            self.last_conflict = Some(at);
        }
    }

    /// Counts a team context that brought something in.
    pub fn team_synced(&mut self) {
        self.team_syncs += 1;
    }

    /// Counts a sync of a team context that failed.
    pub fn team_failed(&mut self) {
        self.team_failures += 1;
    }

    /// Mean duration of the last pulls; zero if there are none.
    pub fn mean(&self) -> Duration {
        let n = u32::try_from(self.durations.len()).unwrap_or(u32::MAX);
        self.durations.iter().sum::<Duration>().checked_div(n).unwrap_or_default()
    }

    /// The duration that 95 of 100 pulls stayed below; zero if there are none.
    pub fn p95(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.durations.iter().copied().collect();
        sorted.sort_unstable();
        let at = (sorted.len() * 95 / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_and_mean_are_of_the_last_hundred() {
        let mut m = Metrics::default();
        assert_eq!((m.p95(), m.mean()), (Duration::ZERO, Duration::ZERO));
        for n in 1..=200 {
            m.pulled(Timestamp::UNIX_EPOCH, Duration::from_millis(n), n == 1);
        }
        assert_eq!(m.p95(), Duration::from_millis(196));
        assert_eq!(m.mean(), Duration::from_micros(150_500));
        m.failed(Timestamp::UNIX_EPOCH, true);
        assert_eq!((m.pulls, m.failures, m.conflicts, m.divergences), (200, 1, 1, 1));
    }
}
