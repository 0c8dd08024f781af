//! When an agent is reminded that it may murmur. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::limits::{NUDGE_REST, NUDGES_MAX};

/// An agent that has not been heard of for this long is not nudged (7.3).
const SILENT: SignedDuration = SignedDuration::from_mins(5);
/// The first nudge of an agent that never murmured comes at once, the next ones after one minute, two, four, eight (7.3).
const FIRST: Duration = Duration::from_secs(60);
/// So often that doubles.
const DOUBLINGS: u32 = 3;

/// An agent at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which.
    pub agent: String,
    /// Its oldest heartbeat that is known.
    pub first_beat: Timestamp,
    /// Its newest one.
    pub last_beat: Timestamp,
    /// How many.
    pub beats: u32,
}

/// What is known about nudging it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The last nudge.
    pub last_nudge: Option<Timestamp>,
    /// Nudges since its last murmur.
    pub unanswered: u32,
    /// Its last murmur.
    pub last_murmur: Option<Timestamp>,
    /// It wants none.
    pub paused: bool,
}

/// Whether the agent is to be nudged now; with how many unanswered nudges it is then.
pub fn due(now: Timestamp, facts: &Facts, record: &Record, interval: Duration) -> Option<u32> {
    let passed = |at: Timestamp, wait: Duration| {
        SignedDuration::try_from(wait).is_ok_and(|wait| now.duration_since(at) >= wait)
    };
    if record.paused || interval.is_zero() || now.duration_since(facts.last_beat) > SILENT {
        return None;
    }
    let rested = record.last_nudge.is_none_or(|at| now.duration_since(at) >= NUDGE_REST);
    let unanswered = match record.unanswered {
        n if n >= NUDGES_MAX && rested => 0,
        n if n >= NUDGES_MAX => return None,
        n => n,
    };
    let due = match record.last_murmur {
        Some(murmur) => passed(murmur, interval) && record.last_nudge.is_none_or(|at| passed(at, interval)),
        None => {
            let known = passed(facts.first_beat, FIRST) || facts.beats >= 2;
            known && record.last_nudge.is_none_or(|at| passed(at, cool_down(unanswered, interval)))
        }
    };
    due.then_some(unanswered + 1)
}

fn cool_down(unanswered: u32, interval: Duration) -> Duration {
    let doublings = unanswered.saturating_sub(1);
    if doublings > DOUBLINGS { interval } else { FIRST * (1 << doublings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(15 * 60);

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + minute * 60).unwrap()
    }

    /// The minutes of a day in which an agent at work is nudged, if it murmurs at `murmurs`.
    fn nudges(murmurs: &[i64]) -> Vec<i64> {
        let (mut record, mut minutes) = (Record::default(), Vec::new());
        for minute in 0..24 * 60 {
            if murmurs.contains(&minute) {
                record.last_murmur = Some(at(minute));
                record.unanswered = 0;
            }
            let facts = Facts {
                agent: "OxAb12".into(),
                first_beat: at(0),
                last_beat: at(minute),
                beats: minute as u32,
            };
            if let Some(unanswered) = due(at(minute), &facts, &record, EVERY) {
                record = Record { last_nudge: Some(at(minute)), unanswered, ..record };
                minutes.push(minute);
            }
        }
        minutes
    }

    #[test]
    fn one_that_never_murmurs_is_nudged_less_and_less_and_then_left_alone() {
        let nudged = nudges(&[]);
        assert_eq!(&nudged[..6], [1, 2, 4, 8, 16, 31]);
        // Four hours later it starts again.
        assert_eq!(nudged[6], 31 + 240);
        assert!(nudged.len() < 40, "{nudged:?}");
    }

    #[test]
    fn one_that_murmurs_is_nudged_after_each_silence() {
        let nudged = nudges(&[5, 10]);
        assert_eq!(&nudged[..6], [1, 2, 4, 25, 40, 55]);
    }

    #[test]
    fn a_paused_or_silent_agent_is_left_alone() {
        let facts = Facts { agent: "OxAb12".into(), first_beat: at(0), last_beat: at(10), beats: 5 };
        let record = Record::default();
        let check = |minute: i64, record: &Record, every: Duration, expected: bool| {
            assert_eq!(due(at(minute), &facts, record, every).is_some(), expected);
        };
        check(10, &record, EVERY, true);
        check(16, &record, EVERY, false);
        check(10, &Record { paused: true, ..record.clone() }, EVERY, false);
        check(10, &record, Duration::ZERO, false);
    }
}
