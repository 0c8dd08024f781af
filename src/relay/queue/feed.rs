//! How events come into the queue: in the order of the store, each looked at once, none that was not agreed to.

use super::line::{self, Mark};
use super::{AccountQueue, Error, Note};
use crate::project::Relay;
use crate::relay::record::{Fact, Recorder};

/// So many records, or so many bytes of them, go to disk at a time.
const GROUP: usize = 512;
const GROUP_BYTES: usize = 1 << 20;
/// What was only passed over is written down when it is so much.
const PASSED: i64 = 512;

/// What may go into a queue.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Makes the records.
    pub recorder: &'a Recorder,
    /// Which events are sent.
    pub relay: &'a Relay,
    /// Nothing that was before this, in milliseconds since 1970: when the user agreed, or logged in, or switched the relay on; the latest.
    pub since_ms: i64,
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// They wait now.
    pub queued: u64,
    /// They are not to be sent.
    pub passed: u64,
    /// There can be no record of them.
    pub refused: u64,
    /// Older records that went for them.
    pub dropped: u64,
}

impl AccountQueue {
    /// Up to which number of the store the events have been looked at: where to read on.
    pub fn fed(&self) -> i64 {
        self.note.fed.seq
    }

    /// The store of events was begun anew and counts from the start. An event that comes again has the id that it had.
    ///
    /// # Errors
    /// The disk's.
    pub fn restart(&mut self) -> Result<(), Error> {
        let fed = Mark { age: self.note.fed.age + 1, seq: 0 };
        self.keep(self.queue.position(), Note { fed, ..self.note })
    }

    /// Puts events in, with their numbers in rising order: those on disk at the end that are to be sent. A kill in the middle loses none and
    /// doubles none. `now_ms` is the time.
    ///
    /// # Errors
    /// The disk's: then some may be in, and [`AccountQueue::fed`] says where to go on.
    pub fn feed(
        &mut self,
        rows: impl Iterator<Item = (i64, Fact)>,
        terms: &Terms<'_>,
        now_ms: i64,
    ) -> Result<Fed, Error> {
        let mut fed = Fed::default();
        let (mut group, mut bytes) = (Vec::new(), 0);
        let stored = self.note.fed;
        for (seq, fact) in rows {
            if seq <= self.note.fed.seq {
                continue;
            }
            let mark = Mark { seq, ..self.note.fed };
            if fact.at_ms < terms.since_ms || !terms.relay.sends(&fact.event) {
                fed.passed += 1;
            } else {
                match terms.recorder.line(&fact) {
                    Ok(record) => {
                        bytes += record.len();
                        group.push(line::join(mark, &record));
                        fed.queued += 1;
                    }
                    Err(_) => {
                        fed.refused += 1;
                        self.note.refused += 1;
                    }
                }
            }
            // Told by the line itself, should the next step fail.
            self.note.fed = mark;
            if group.len() >= GROUP || bytes >= GROUP_BYTES {
                fed.dropped += self.put(&mut group, stored)?;
                bytes = 0;
            }
        }
        let is_queued = fed.queued > 0;
        if !group.is_empty() {
            fed.dropped += self.put(&mut group, stored)?;
        }
        if !is_queued && self.note.fed.seq - stored.seq >= PASSED {
            self.keep(self.queue.position(), self.note)?;
        }
        self.tell_dropped(terms.recorder, now_ms)?;
        Ok(fed)
    }

    /// Puts a group in; where that fails, goes back to what is known to be in.
    fn put(&mut self, group: &mut Vec<Vec<u8>>, stored: Mark) -> Result<u64, Error> {
        let done = self.append(group);
        group.clear();
        if done.is_err() {
            let last = self.queue.last()?.and_then(|line| line::split(&line).map(|(mark, _)| mark));
            self.note.fed = last.map_or(stored, |last| last.max(stored));
        }
        done
    }

    /// Tells the server, once there is room again, how many records went.
    fn tell_dropped(&mut self, recorder: &Recorder, now_ms: i64) -> Result<(), Error> {
        let total = self.queue.losses().dropped;
        if total <= self.note.told || self.size() > self.max / 4 * 3 {
            return Ok(());
        }
        let record = recorder.overflow(&self.account.key(), total - self.note.told, total, now_ms);
        self.append(&[line::join(self.note.fed, &record)])?;
        self.keep(self.queue.position(), Note { told: total, ..self.note })
    }
}
