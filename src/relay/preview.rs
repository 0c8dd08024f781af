//! What would be sent, byte for byte, before it is.

use super::frame::Shape;
use super::queue::{AccountQueue, Batch, Error};
use super::record::{Fact, Recorder};

/// One message or request as it would go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// All of its bytes, but for what the transport puts around them.
    pub bytes: Vec<u8>,
    /// How many records they hold.
    pub count: usize,
}

impl Preview {
    fn of(batch: &Batch, shape: Shape) -> Preview {
        Preview { bytes: shape.encode(&batch.raw()), count: batch.count }
    }
}

/// How batches are cut and put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How a batch is put.
    pub shape: Shape,
    /// Records of a batch at most.
    pub events: usize,
    /// Its encoded bytes at most.
    pub bytes: usize,
}

/// The next batches of a queue, at most `batches` of them. Nothing of the queue changes.
///
/// # Errors
/// The disk's.
pub fn next(queue: &mut AccountQueue, batches: usize, cut: Cut) -> Result<Vec<Preview>, Error> {
    let batches = queue.peek(batches, cut.events, cut.bytes)?;
    Ok(batches.iter().map(|batch| Preview::of(batch, cut.shape)).collect())
}

/// What events would come to, for who has not agreed yet: one batch of those that there is a record of, at most `events` of them.
pub fn of_facts<'a>(
    facts: impl Iterator<Item = &'a Fact>,
    recorder: &Recorder,
    shape: Shape,
    events: usize,
) -> Option<Preview> {
    let records: Vec<_> = facts.filter_map(|fact| recorder.line(fact).ok()).take(events).collect();
    let raw: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    (!raw.is_empty()).then(|| Preview { bytes: shape.encode(&raw), count: raw.len() })
}
