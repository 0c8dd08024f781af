//! Every bound of the archive, in bytes unless its name says otherwise.

use std::time::Duration;

/// A larger file is left where it is, and told of.
pub const FILE_MAX: u64 = 2 << 30;
/// Files that one run copies; another run goes on.
pub const FILES_MAX: usize = 20_000;
/// Bytes of transcripts that one run copies, the last file to the end of a line; another run goes on.
pub const RUN_MAX: u64 = 64 << 30;
/// A longer line is redacted as text in parts, whatever stands in it.
pub const LINE_MAX: u64 = 8 << 20;
/// A larger document is redacted as text in parts.
pub const DOCUMENT_MAX: u64 = 8 << 20;
/// A last line without its end may still be being written; after so long without a change nobody will.
pub const QUIET: Duration = Duration::from_secs(60 * 60);
/// By so many bytes of its beginning a file is known again, and by so many before the place where copying stood.
pub(super) const HEAD: usize = 4096;
/// In so many bytes of a transcript's beginning its first prompt is looked for.
pub(super) const BEGINNING_MAX: u64 = 4 << 20;
/// Files that were left, and transcripts that are lost next, are told one by one up to this number.
pub const TOLD_MAX: usize = 100;
/// Notes on files are written down when there are so many.
pub(super) const NOTES: usize = 1000;
