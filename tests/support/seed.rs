//! How much a test tries, and from which seeds; and the line that repeats a failure.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ox::kit::clock::{Clock, SystemClock};
use ox::kit::rng::Rng;

/// Whether the long forms are wanted: `OX_TEST_LONG=1`.
pub fn is_long() -> bool {
    std::env::var_os("OX_TEST_LONG").is_some_and(|v| v == "1")
}

/// `short` in the ordinary run, `long` in the long one.
pub fn rounds<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// The one seed that is wanted, if `OX_TEST_SEED` names one.
pub fn named() -> Option<u64> {
    std::env::var("OX_TEST_SEED").ok().map(|s| s.parse().expect("OX_TEST_SEED is a number"))
}

/// The seed that is named, else `fixed` ones, 0 and up, which every run tries, and `fresh` ones that no run has tried before.
pub fn seeds(fixed: u64, fresh: usize) -> Vec<u64> {
    if let Some(seed) = named() {
        return vec![seed];
    }
    let now = u64::try_from(SystemClock.now().wall.as_nanosecond()).unwrap();
    let mut rng = Rng::new(now ^ u64::from(std::process::id()) << 32);
    // Short enough to be typed, and not one of the fixed.
    (0..fixed).chain((0..fresh).map(|_| 1_000_000 + rng.below(999_000_000))).collect()
}

/// One fresh seed, or the one that is named.
pub fn fresh() -> u64 {
    seeds(0, 1)[0]
}

/// Runs `body` with a seed. When it fails, the last line it prints says how to try the same again; `.ci/run` repeats that line at its
/// end.
pub fn with<T>(test: &str, seed: u64, body: impl FnOnce(u64) -> T) -> T {
    println!("{test}: seed {seed}");
    catch_unwind(AssertUnwindSafe(|| body(seed))).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        eprintln!("{}", again(test, seed));
        resume_unwind(panic)
    })
}

fn again(test: &str, seed: u64) -> String {
    format!("again: OX_TEST_SEED={seed} cargo test --test all {test}")
}
