//! What was said in a pause: it is recorded here, and neither shared nor given to anybody.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::sessions::meta;
use crate::sessions::raw::Entry;
use crate::sessions::recording::Turn;

/// From a pause to the resume behind it; what has no end lasts to the session's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Range {
    seqs: (Option<i64>, Option<i64>),
    times: (Option<Timestamp>, Option<Timestamp>),
}

/// The pauses of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused(Vec<Range>);

impl Paused {
    /// Those of the finished session in `dir`.
    ///
    /// # Errors
    /// What is known of the session cannot be read.
    pub fn of_dir(dir: &Path) -> io::Result<Paused> {
        Paused::of_meta(meta::read(dir)?.get("lifecycle"))
    }

    /// Those that a `meta.json` tells of.
    ///
    /// # Errors
    /// They cannot be read: then nothing is known of what may be shared.
    pub(super) fn of_meta(lifecycle: Option<&Value>) -> io::Result<Paused> {
        let Some(lifecycle) = lifecycle else { return Ok(Paused::default()) };
        let turns: Vec<Turn> = serde_json::from_value(lifecycle.clone())?;
        Ok(Paused::of(&turns))
    }

    fn of(turns: &[Turn]) -> Paused {
        let (mut all, mut open): (Vec<Range>, Option<Range>) = (Vec::new(), None);
        for turn in turns {
            match turn.action.as_str() {
                "pause" if open.is_none() => {
                    open = Some(Range { seqs: (turn.seq, None), times: (turn.at.0, None) });
                }
                "resume" => {
                    all.extend(open.take().map(|from| Range {
                        seqs: (from.seqs.0, turn.seq),
                        times: (from.times.0, turn.at.0),
                    }))
                }
                _ => {}
            }
        }
        all.extend(open);
        Paused(all)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the entry with this number was said in one: by its number or by its time, since what was said before a resume may have been
    /// taken over behind it.
    pub fn covers(&self, seq: i64, entry: &Entry) -> bool {
        let is_in = |range: &Range| {
            let (from, to) = range.seqs;
            let (began, ended) = range.times;
            let by_seq = from.is_some_and(|from| from <= seq) && to.is_none_or(|to| seq < to);
            let by_time = entry.timestamp.zip(began).is_some_and(|(at, began)| began <= at)
                && entry.timestamp.zip(ended).is_none_or(|(at, ended)| at < ended);
            by_seq || by_time
        };
        self.0.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> Timestamp {
        format!("2026-03-12T09:{minute:02}:00Z").parse().unwrap()
    }

    fn turn(action: &str, seq: i64, minute: u32) -> Turn {
        Turn { action: action.into(), at: at(minute).into(), seq: Some(seq), ..Turn::default() }
    }

    #[test]
    fn what_is_in_a_pause_by_number_or_by_time_is() {
        let paused = Paused::of(&[
            turn("start", 0, 0),
            turn("pause", 3, 10),
            turn("pause", 4, 11),
            turn("resume", 5, 20),
            turn("pause", 9, 30),
            turn("stop", 12, 40),
        ]);
        let covers = |seq: i64, minute: Option<u32>| {
            paused.covers(seq, &Entry { timestamp: minute.map(at), ..Entry::default() })
        };
        assert!(!covers(2, Some(9)) && !covers(2, None));
        assert!(covers(3, None) && covers(4, Some(15)) && !covers(5, None) && !covers(6, Some(20)));
        assert!(covers(6, Some(19)), "it was written down late");
        assert!(covers(2, Some(10)), "the pause was noted late");
        assert!(covers(50, None) && covers(9, Some(50)) && covers(8, Some(31)));
        assert!(Paused::default().is_empty() && !paused.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_not_no_pause() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Paused::of_dir(dir.path()).unwrap().is_empty());
        std::fs::write(dir.path().join(meta::FILE), r#"{"lifecycle":[{"action":7}]}"#).unwrap();
        assert!(Paused::of_dir(dir.path()).is_err());
        std::fs::write(dir.path().join(meta::FILE), "{").unwrap();
        assert!(Paused::of_dir(dir.path()).is_err());
    }
}
