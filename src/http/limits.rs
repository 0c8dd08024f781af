//! Every number that bounds this room.

use std::time::Duration;

/// Name lookup, and then connection with TLS, each may take this long.
pub const CONNECT: Duration = Duration::from_secs(5);
/// A whole call, redirects and body included, unless it names another deadline.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of an answer's body after unpacking, unless the call names another cap; more is an error.
pub const BODY_CAP: usize = 8 << 20;
/// A transfer of a file is left when not one byte has come or gone for so long.
pub const STALL: Duration = Duration::from_secs(60);
/// A server that has a whole file may work on it for so many times as long before it answers.
pub const ANSWER_STALLS: u32 = 5;
/// Bytes of a file that are read or written at once.
pub const PIECE: usize = 64 << 10;
/// Bytes of an answer's head; more is an error.
pub const HEAD_CAP: usize = 32 << 10;
/// Input buffer of a connection; a whole head has to fit.
pub const INPUT_BUFFER: usize = HEAD_CAP;
/// Output buffer of a connection.
pub const OUTPUT_BUFFER: usize = 16 << 10;
/// Bytes of a URL; more is refused.
pub const URL_CAP: usize = 8 << 10;
/// Idle connections kept to one host; the oldest goes first.
pub const KEPT_PER_HOST: usize = 4;
/// Idle `https` connections kept in all; the oldest goes first.
pub const KEPT_TLS: usize = 28;
/// Idle connections to this machine kept in all; the oldest goes first.
pub const KEPT_LOOPBACK: usize = 4;
/// A connection idle for longer is not used again, and closed by the next call. Servers commonly hang up after 60 s or more.
pub const IDLE: Duration = Duration::from_secs(55);
/// Redirects of one GET that are followed; the next one is the answer.
pub const REDIRECTS: usize = 3;
/// A wait for bytes looks this often whether the call was cancelled.
pub const CANCEL_SLICE: Duration = Duration::from_millis(50);
/// Addresses of a name are used again for so long.
pub const NAMES_KEPT: Duration = Duration::from_secs(60);
/// Names whose addresses are remembered; at one more all are forgotten.
pub const NAMES_CAP: usize = 64;
/// Name lookups at a time, those given up but not ended included; one more fails.
pub const LOOKUPS: usize = 8;
/// Bytes of a proxy's answer to being asked for a connection; more is an error.
pub const PROXY_HEAD: usize = 8 << 10;
/// A `Retry-After` beyond this counts as this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Bytes of a file of trusted authorities; a larger one is an error.
pub const AUTHORITIES_CAP: usize = 4 << 20;

// At most 32 idle connections in all.
const _: () = assert!(KEPT_TLS + KEPT_LOOPBACK == 32 && KEPT_PER_HOST <= KEPT_LOOPBACK);
