//! A line of the queue: the record as it is sent, and up to where the events had been looked at when it was put in. So the line itself says
//! where to go on, and a kill between the two is none.

use serde::{Deserialize, Serialize};

/// The events up to a number in the store of events have been looked at. A store that was begun anew counts from the start, in the next
/// age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mark {
    pub age: u32,
    pub seq: i64,
}

const HEAD: &[u8] = b"{\"q\":[";
const MIDDLE: &[u8] = b"],\"r\":";
const RECORD: &[u8] = b"{\"client_event_id\":\"";
/// What goes around a record at most, in bytes.
pub(super) const AROUND: usize = 64;

/// The line of a record.
pub(super) fn join(mark: Mark, record: &[u8]) -> Vec<u8> {
    let mut line = HEAD.to_vec();
    line.extend_from_slice(format!("{},{}", mark.age, mark.seq).as_bytes());
    line.extend_from_slice(MIDDLE);
    line.extend_from_slice(record);
    line.push(b'}');
    line
}

/// The record of a line; none of what is no line of ours.
pub(super) fn split(line: &[u8]) -> Option<(Mark, &[u8])> {
    let rest = line.strip_prefix(HEAD)?;
    let numbers = rest.get(..rest.iter().position(|b| *b == b']')?)?;
    let record = rest.get(numbers.len()..)?.strip_prefix(MIDDLE)?.strip_suffix(b"}")?;
    let (age, seq) = std::str::from_utf8(numbers).ok()?.split_once(',')?;
    Some((Mark { age: age.parse().ok()?, seq: seq.parse().ok()? }, record))
}

/// Whether it is a line of ours with a whole record in it, which has its id.
pub(super) fn is_one(line: &[u8]) -> bool {
    split(line).is_some_and(|(_, record)| {
        record.starts_with(RECORD) && serde_json::from_slice::<serde::de::IgnoredAny>(record).is_ok()
    })
}

/// When the event of a record was.
pub(super) fn time(record: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Timed {
        timestamp: i64,
    }
    serde_json::from_slice::<Timed>(record).ok().map(|timed| timed.timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_record_back_byte_for_byte() {
        let record = br#"{"client_event_id":"x", "timestamp":5,"a":"]},\"r\":"}"#;
        for mark in [Mark::default(), Mark { age: u32::MAX, seq: i64::MAX }, Mark { age: 1, seq: -1 }] {
            let line = join(mark, record);
            assert_eq!(split(&line), Some((mark, &record[..])));
            assert!(is_one(&line) && line.len() <= record.len() + AROUND);
        }
        assert_eq!(time(record), Some(5));
        assert_eq!(time(b"{}"), None);
    }

    #[test]
    fn what_is_no_line_of_ours_is_none() {
        for bad in [
            &b""[..],
            b"{}",
            b"{\"client_event_id\":\"x\"}",
            b"{\"q\":[0,1],\"r\":{}}",
            b"{\"q\":[0,1],\"r\":{\"client_event_id\":\"x\"}",
            b"{\"q\":[0,1],\"r\":{\"client_event_id\":\"x\"}} ",
            b"{\"q\":[0],\"r\":{\"client_event_id\":\"x\"}}",
            b"{\"q\":[0,x],\"r\":{\"client_event_id\":\"x\"}}",
            b"{\"q\":[0,1],\"r\":{\"client_event_id\":\"x\"},\"s\":1}",
            b"{\"q\":[0,1],\"r\":[\"client_event_id\"]}",
        ] {
            assert!(!is_one(bad), "{}", String::from_utf8_lossy(bad));
        }
    }
}
