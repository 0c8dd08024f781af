//! Ids that begin with the time they were made at.

use std::sync::Mutex;

use jiff::Timestamp;
use uuid::{ContextV7, Uuid};

use super::clock::{Clock as _, SystemClock};

/// A new id, UUID version 7: those of one process sort by when they were made.
pub fn new_id() -> Uuid {
    static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    id_at(&CONTEXT, SystemClock.now().wall)
}

/// The same of a given moment. A clock that stands before 1970 counts as 1970: such an id holds no earlier one.
fn id_at(context: &Mutex<ContextV7>, now: Timestamp) -> Uuid {
    let now = now.max(Timestamp::UNIX_EPOCH);
    let (seconds, nanos) = (now.as_second().unsigned_abs(), now.subsec_nanosecond().unsigned_abs());
    Uuid::new_v7(uuid::Timestamp::from_unix(context, seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_with_their_time_and_sort_by_it_whatever_the_clock_says() {
        let context = Mutex::new(ContextV7::new());
        let at = |text: &str| id_at(&context, text.parse().unwrap());
        let id = at("2026-03-30T14:05:09.120Z");
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().map(|t| t.to_unix().0), Some(1_774_879_509));
        // A clock that was set back, and one that stands before the first moment of such ids.
        for early in ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z"] {
            assert!(at(early) > id);
        }
        let many: Vec<Uuid> = (0..1000).map(|_| new_id()).collect();
        assert!(many.is_sorted_by(|a, b| a < b));
    }
}
