//! When a clone is tidied up, and how. Pure.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kit::rng::Rng;
use crate::sync::record;

/// Days between two runs where nobody says otherwise.
pub const INTERVAL_DAYS: u32 = 7;
/// Shortest and longest interval that counts, in days.
pub const INTERVAL_DAYS_RANGE: (u32, u32) = (1, 90);
/// The interval varies by so much either way, so that the machines of a team do not all clone at once.
const JITTER_PERCENT: u32 = 10;
/// Smaller clones are never made anew unasked, in bytes of `.git`.
pub const WORTH_BYTES: u64 = 200_000_000;
/// A partial clone still has all commits and trees: this share of a full one.
const HISTORY_SHARE: u64 = 10;
/// Name of the record in the clone's state directory.
const FILE: &str = "gc.json";

/// What is remembered of a clone between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GcRecord {
    /// End of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// The remote that turned out not to serve partial clones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_filters: Option<String>,
}

impl GcRecord {
    /// Reads it from the clone's state directory; a missing or broken one knows nothing.
    pub fn load(state: &Path) -> GcRecord {
        record::load(&state.join(FILE))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, state: &Path) -> io::Result<()> {
        record::save(&state.join(FILE), self)
    }
}

/// What is known of a clone when it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes of its `.git`.
    pub git_bytes: u64,
    /// Bytes of the files that are checked out.
    pub checked_out_bytes: u64,
    /// It is a partial clone already.
    pub partial: bool,
    /// Its remote is known not to serve partial clones.
    pub without_filters: bool,
    /// A person asked for a reclone.
    pub asked: bool,
}

/// What to do with a clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time.
    NotBefore(Timestamp),
    /// Tidy it up in place.
    Maintain,
    /// Make it anew.
    Reclone,
}

/// What to do with a clone that was last tidied up at `last`. The jitter follows from that time, so that asking often does not
/// make it earlier.
pub fn due(facts: &Facts, last: Option<Timestamp>, interval_days: u32, now: Timestamp) -> Due {
    if facts.asked {
        return Due::Reclone;
    }
    let (least, most) = INTERVAL_DAYS_RANGE;
    let days = Duration::from_secs(u64::from(interval_days.clamp(least, most)) * 86_400);
    // A time of the future is a clock that was set back: it proves nothing.
    if let Some(last) = last.filter(|last| *last <= now)
        && let Ok(next) = last.checked_add(jittered(days, last))
        && now < next
    {
        return Due::NotBefore(next);
    }
    let worth = facts.git_bytes > WORTH_BYTES && estimate(facts) <= facts.git_bytes / 2;
    if worth && !facts.partial && !facts.without_filters { Due::Reclone } else { Due::Maintain }
}

fn jittered(days: Duration, last: Timestamp) -> Duration {
    Rng::new(last.as_nanosecond().rem_euclid(i128::from(u64::MAX)) as u64).jitter(days, JITTER_PERCENT)
}

/// Bytes that `.git` of a partial clone would take: history without contents, and what is checked out, uncompressed at worst.
fn estimate(facts: &Facts) -> u64 {
    facts.git_bytes / HISTORY_SHARE + facts.checked_out_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;
    const BIG: Facts = Facts {
        git_bytes: 900 * MB,
        checked_out_bytes: 100 * MB,
        partial: false,
        without_filters: false,
        asked: false,
    };

    fn at(days: f64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + (days * 86_400.0) as i64).unwrap()
    }

    #[test]
    fn a_clone_is_made_anew_only_where_that_halves_much_or_somebody_asks() {
        let check = |facts: Facts, expected| {
            assert_eq!(due(&facts, None, 7, at(0.0)), expected, "{facts:?}");
        };
        check(BIG, Due::Reclone);
        check(Facts { git_bytes: 200 * MB, checked_out_bytes: 0, ..BIG }, Due::Maintain);
        check(Facts { checked_out_bytes: 400 * MB, ..BIG }, Due::Maintain);
        check(Facts { partial: true, ..BIG }, Due::Maintain);
        check(Facts { without_filters: true, ..BIG }, Due::Maintain);
        check(Facts { git_bytes: 1, asked: true, partial: true, ..BIG }, Due::Reclone);
    }

    #[test]
    fn nothing_happens_twice_within_an_interval() {
        let ask = |last, now, days| due(&BIG, Some(at(last)), days, at(now));
        for n in 0..200 {
            let last = f64::from(n);
            assert!(matches!(ask(last, last + 6.2, 7), Due::NotBefore(_)));
            assert_eq!(ask(last, last + 7.8, 7), Due::Reclone);
            assert!(matches!(ask(last, last + 0.8, 0), Due::NotBefore(_)), "at least a day");
            assert_eq!(ask(last, last + 100.0, 10_000), Due::Reclone, "at most 90 days");
            assert_eq!(ask(last + 9.0, last, 7), Due::Reclone, "the clock was set back");
        }
    }

    #[test]
    fn a_healthy_clone_is_never_made_anew_in_thirty_days() {
        let mut last = None;
        let mut kept = 0;
        let small = Facts { git_bytes: 150 * MB, ..BIG };
        for hour in 0..30 * 24 {
            let now = at(f64::from(hour) / 24.0);
            match due(&small, last, INTERVAL_DAYS, now) {
                Due::Reclone => panic!("syn_13: a healthy clone was to be made anew"),
                Due::Maintain => (last, kept) = (Some(now), kept + 1),
                _ => {}
            }
        }
        assert!((4..=5).contains(&kept), "{kept}");
    }

    #[test]
    fn what_is_remembered_survives_and_nonsense_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let record = GcRecord { last: Some(at(0.0)), without_filters: Some("https://h/x".into()) };
        record.save(dir.path()).unwrap();
        assert_eq!(GcRecord::load(dir.path()), record);
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(GcRecord::load(dir.path()), GcRecord::default());
    }
}
