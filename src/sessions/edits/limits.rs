//! Limits of what is kept of a session's edits.

/// Files of one session.
pub const FILES_MAX: usize = 2_000;
/// Lines of one session that are hashed; about 900 KiB of [`FILE`](super::FILE).
pub const LINES_MAX: usize = 50_000;
/// Lines of one call of a tool, and of a file as it is known between two calls.
pub const CALL_LINES_MAX: usize = 20_000;
/// Bytes of calls that are held until it is known which of them failed.
pub const CALLS_BYTES_MAX: usize = 64 << 20;
/// Characters without white space from which on a line is hashed without its neighbours.
pub const ALONE_MIN: usize = 24;
/// A longer line is not hashed, in bytes: it is no source.
pub const LINE_BYTES_MAX: usize = 4 << 10;
/// A larger file is none of ours, in bytes.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// Lines of two versions of a file that are compared exactly: the product of what is left when beginning and end are taken off.
pub const COMPARED_MAX: usize = 4 << 20;
/// Letters and digits that neighbouring lines must have together to be found by: below that they could be anybody's.
pub const LETTERS_MIN: usize = 8;
/// Places of one piece of text that are followed; what is written more often says nothing.
pub const PLACES_MAX: usize = 64;
/// Lines that must be found of a file that was moved before it was ever committed, in number and of a hundred.
pub const MOVED_LINES_MIN: usize = 5;
/// See [`MOVED_LINES_MIN`].
pub const MOVED_PERCENT: usize = 50;
/// Of a longer transcript beginning and end are read, in bytes: whoever stops a session does not wait longer for a long one (lesson agt-13).
pub const READ_MAX: u64 = 16 << 20;
/// Transcripts that are read because nothing is kept of the session's edits; the newest.
pub const COLLECTED_MAX: usize = 50;
/// A larger one is not, in bytes.
pub const COLLECTED_BYTES_MAX: u64 = 64 << 20;
