//! When a project that nobody uses is let go of.

use std::time::Duration;

/// Whether a project has been idle for long enough to be let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Zero means never.
    timeout: Duration,
}

/// An idle project is not let go before it has been served for this long.
const UPTIME_MIN: Duration = Duration::from_secs(60);

impl Idle {
    /// Lets go after `timeout`; never, if zero.
    pub fn new(timeout: Duration) -> Idle {
        Idle { timeout }
    }

    /// How long until it has to be asked again; `None` if never.
    pub fn ask_again(&self) -> Option<Duration> {
        (!self.timeout.is_zero())
            .then(|| (self.timeout / 10).clamp(Duration::from_secs(60), Duration::from_secs(300)))
    }

    /// Whether to let go: nobody has asked anything for the time-out, and nothing is being worked on.
    pub fn is_over(&self, idle: Duration, served: Duration, pending_work: bool) -> bool {
        !self.timeout.is_zero() && idle >= self.timeout && served >= UPTIME_MIN && !pending_work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_let_go_after_its_time_out_unless_work_is_pending() {
        let hour = Duration::from_secs(3600);
        let idle = Idle::new(hour);
        assert_eq!(idle.ask_again(), Some(Duration::from_secs(300)));
        assert!(!idle.is_over(hour - Duration::from_secs(1), hour * 2, false));
        assert!(!idle.is_over(hour, hour * 2, true));
        assert!(idle.is_over(hour, hour * 2, false));
        let short = Idle::new(Duration::from_secs(10));
        assert_eq!(short.ask_again(), Some(Duration::from_secs(60)));
        assert!(!short.is_over(Duration::from_secs(30), Duration::from_secs(30), false));
        assert!(!Idle::new(Duration::ZERO).is_over(hour * 99, hour * 99, false));
        assert_eq!(Idle::new(Duration::ZERO).ask_again(), None);
    }
}
