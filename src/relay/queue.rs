//! Where records wait until the server has them: one queue for each account.

use crate::kit::jsonl::Position;

/// A record as it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Its bytes, as they are sent.
    pub bytes: Vec<u8>,
    /// The place behind it: what to acknowledge once the server has it and all before it.
    pub upto: Position,
}

/// What is sent at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records, oldest first; never none.
    pub records: Vec<Raw>,
    /// How many they are.
    pub count: usize,
    /// Their bytes, without what goes around them.
    pub bytes: usize,
    /// The place behind the last of them.
    pub upto: Position,
}

impl Batch {
    /// The records' bytes, for the encoders of [`frame`](super::frame).
    pub fn raw(&self) -> Vec<&[u8]> {
        self.records.iter().map(|record| record.bytes.as_slice()).collect()
    }
}
