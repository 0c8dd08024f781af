//! Every bound of the room. Numbers of the contract stand with the section of the specification (whispers and watching) they come from.

use std::time::Duration;

use jiff::SignedDuration;

/// A murmur's text as a command takes it, in bytes (2.3).
pub const SENT_MAX: usize = 500;
/// A murmur's text as it is taken from a clone; what is longer is cut, in bytes (2.3).
pub const CONTENT_MAX: usize = 4096;
/// A murmur's file in a clone, in bytes; a larger one is not read (2.3).
pub const FILE_MAX: usize = 64 << 10;
/// A murmur's file as a message brings it, in bytes (3.2).
pub const MESSAGE_MAX: usize = 16 << 10;
/// An agent may murmur so often (2.3).
pub const GAP: Duration = Duration::from_secs(5);
/// Older murmurs are of no interest (2.3).
pub const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A clock that is further ahead is wrong (2.3).
pub const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);
/// A topic, in characters (4).
pub const TOPIC_MAX: usize = 64;
/// An id, in bytes (3.2).
pub const ID_MAX: usize = 64;
/// Names of agents and people, in bytes.
pub const NAME_MAX: usize = 256;
/// Keys of a murmur's metadata (4).
pub const METADATA_MAX: usize = 16;
/// One such key, in bytes (4).
pub const METADATA_KEY_MAX: usize = 64;
/// One such value, in bytes (4).
pub const METADATA_VALUE_MAX: usize = 2048;
/// What a murmur says under keys that are not known, in bytes of JSON; more is left out.
pub const OTHER_MAX: usize = 16 << 10;
/// Uncommitted files that are told and remembered of one work tree.
pub const TREE_FILES_MAX: usize = 50;
/// Work trees whose uncommitted files are remembered of one project.
pub const TREES_MAX: usize = 64;
/// Tags of a murmur, and one tag in bytes.
pub const TAGS_MAX: usize = 16;

/// Murmurs that wait to be committed in one clone; a further one is refused.
pub const OUTBOX_MAX: usize = 20_000;
/// What could not be read of them and is kept to be looked at.
pub const BAD_MAX: usize = 100;
/// Murmurs in one commit.
pub const COMMIT_MAX: usize = 500;
/// Murmurs of one hour that are looked at.
pub const HOUR_MAX: usize = 20_000;
/// Contents left at the remote that are fetched for one look (2.5).
pub const FETCH_MAX: usize = 2_000;

/// Whispers in one answer (6.2).
pub const PAGE_MAX: usize = 500;
/// Bytes of one answer, everything included: well below the longest line of the wire, which is a megabyte.
pub const PAGE_BYTES: usize = 512 << 10;
/// Whispers in one page of the past, unless asked otherwise, and at most (6.4).
pub const HISTORY: (usize, usize) = (50, 200);
/// A new agent gets what came in so long before (6.2).
pub const FIRST_REACH: SignedDuration = SignedDuration::from_hours(12);
/// Whispers are kept so long after they came in (5.5).
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Murmurs that were taken in are remembered so long (5.5).
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(48);
/// How far an agent has read is remembered so long (5.5).
pub const READER_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A database, its log included, in bytes (5.5).
pub const DATABASE_MAX: u64 = 10 << 20;
/// So many whispers go at once when a database is too large (5.5).
pub const SHRINK_STEP: usize = 500;
/// Page cache of a connection, in KiB (the house's libraries).
pub const CACHE_KIB: i64 = 256;
/// A connection waits so long for another process (5.3).
pub const BUSY_WAIT: Duration = Duration::from_secs(5);
/// A database that nobody asks for is closed after so long (6.6).
pub const IDLE_CLOSE: Duration = Duration::from_secs(15 * 60);
/// An answer on its way keeps a second request of the same agent from getting the same at most so long: as long as a final line may take.
pub const LEASE: Duration = Duration::from_secs(15);

/// Between two nudges at an agent that murmurs, unless configured (7.3).
pub const NUDGE_EVERY: Duration = Duration::from_secs(15 * 60);
/// So many nudges without a murmur, then none for [`NUDGE_REST`] (7.3).
pub const NUDGES_MAX: u32 = 6;
/// How long an agent that does not answer is left alone (7.3).
pub const NUDGE_REST: SignedDuration = SignedDuration::from_hours(4);
/// Between two words about changes of one team's context (7.4).
pub const TEAM_WORD_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// Paths named in such a word, and in its metadata (7.4).
pub const TEAM_PATHS: (usize, usize) = (5, 50);

/// What is put before an agent at once, in bytes (decisions, section 5; lesson wat-09).
pub const FRAME_MAX: usize = 8 << 10;
/// Of that, what is kept for its first lines.
pub const FRAME_HEAD: usize = 2 << 10;
/// And what is left for whispers.
pub const FRAME_BODY: usize = FRAME_MAX - FRAME_HEAD;
/// What a prompt gets of it, in bytes (lesson wat-08).
pub const PROMPT_MAX: usize = 2 << 10;
