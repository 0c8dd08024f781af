//! A small seeded random source for jitter and simulations. Not for secrets.

use std::time::Duration;

/// SplitMix64: one word of state, any seed is good.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A source that always gives the same sequence for the same seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; zero if `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        u64::try_from((u128::from(self.next_u64()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    /// True in `percent` of a hundred calls.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A duration spread evenly over `base` plus or minus `percent` of it.
    pub fn jitter(&mut self, base: Duration, percent: u32) -> Duration {
        let spread = base * percent / 100;
        let width = u64::try_from(spread.as_nanos() * 2 + 1).unwrap_or(u64::MAX);
        base.saturating_sub(spread) + Duration::from_nanos(self.below(width))
    }

    /// A duration in `0..=max`.
    pub fn up_to(&mut self, max: Duration) -> Duration {
        Duration::from_nanos(self.below(u64::try_from(max.as_nanos()).unwrap_or(u64::MAX).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_fraction() {
        let mut rng = Rng::new(7);
        for _ in 0..1000 {
            let d = rng.jitter(Duration::from_secs(60), 10);
            assert!((54_000..=66_000).contains(&d.as_millis()), "{d:?}");
        }
        assert_eq!(rng.jitter(Duration::from_secs(60), 0), Duration::from_secs(60));
        assert_eq!(rng.below(0), 0);
    }
}
