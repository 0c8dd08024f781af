//! Every bound of this room, in bytes unless its name says otherwise.

/// Longer lines are handled in parts. Also what a stream holds back at most.
pub const LINE_MAX: usize = 256 * 1024;
/// Longest secret that a cut inside a longer line can never divide. What is longer is erased up to the next blank or quote.
pub const SECRET_MAX: usize = 16 * 1024;
/// Text examined in one go when much of it is there.
pub(super) const BATCH: usize = 1024 * 1024;
/// Longest private key block without its END line.
pub const PEM_MAX: usize = 64 * 1024;
/// Longest BEGIN or END line of a private key block.
pub(super) const PEM_LINE_MAX: usize = 64;
/// So many lines in a row that cannot be part of a key end a block without END.
pub(super) const PEM_DULL_LINES: u32 = 4;
/// A line of a key has at least so many base64 characters in a row (RFC 7468 writes 64, the last line may be shorter).
pub(super) const PEM_RUN: usize = 16;
/// A match begins at most so far before the literal that made us look for it.
pub(super) const LOOK_BACK: usize = 96;
/// So often the rules go over one line. What they take parts the text anew, and two rounds are enough for all that was seen.
pub(super) const PASSES_MAX: usize = 8;
/// JSON text in a string of JSON text, and so on: deeper levels are read as plain text.
pub const JSON_DEPTH: usize = 8;
/// Largest `REDACT.md`; the rest is not read.
pub const CUSTOM_TEXT_MAX: usize = 256 * 1024;
/// Rules of one `REDACT.md`.
pub const CUSTOM_RULES_MAX: usize = 200;
/// Bytes of one literal or pattern.
pub const CUSTOM_PATTERN_MAX: usize = 1024;
/// Characters of a token, without its brackets.
pub const CUSTOM_TOKEN_MAX: usize = 64;
/// Memory of one compiled pattern of a `REDACT.md`.
pub(super) const CUSTOM_PROGRAM_MAX: usize = 256 * 1024;
/// Bad lines reported of one `REDACT.md`.
pub const CUSTOM_BAD_MAX: usize = 50;
/// Memory of the states one rule keeps while it searches.
pub(super) const SEARCH_CACHE: usize = 256 * 1024;
