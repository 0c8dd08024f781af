//! Every bound of the room. Numbers of the contract stand with the section of the specification (agentwork and sessions) or the decision
//! they come from.

use std::time::Duration;

use jiff::SignedDuration;

/// Items that wait at most; one more is refused, or puts out a less urgent one (1.2).
pub const WAITING_MAX: usize = 100;
/// Runs of one item, counting those that failed by themselves (2.1).
pub const ATTEMPTS_MAX: u32 = 3;
/// The wait before the second run of an item, and before the third (2.6).
pub const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(5 * 60)];
/// Finished items that are remembered (2.1).
pub const HISTORY_MAX: usize = 10;
/// Between two looks for work (2.1).
pub const DETECT_EVERY: Duration = Duration::from_secs(5 * 60);
/// The first look comes so long after the start (2.2).
pub const DETECT_FIRST: Duration = Duration::from_secs(30);
/// Runs at a time, unless configured, and at most (decisions, section 5).
pub const CONCURRENCY: (usize, usize) = (1, 2);
/// Runs in an hour, unless configured (decisions, section 5).
pub const RUNS_AN_HOUR: u32 = 10;
/// Input tokens in a day, unless configured (decisions, section 5).
pub const TOKENS_A_DAY: u64 = 2_000_000;
/// A wall of the model's server lasts so long where it does not say until when (3.6).
pub const QUOTA_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// And no longer than this, whatever it says (3.6).
pub const QUOTA_PAUSE_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// After a refused login the agent is tried again so much later (3.6).
pub const AUTH_PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// What is kept of an error's text, in bytes.
pub const ERROR_MAX: usize = 500;
/// After so many failures in a row no agent is run for [`BREAK`] (lesson agt-03).
pub const FAILURES_IN_A_ROW: u32 = 3;
/// How long then.
pub const BREAK: SignedDuration = SignedDuration::from_hours(1);
/// A prompt is no longer than this, in bytes (decisions, section 5).
pub const PROMPT_MAX: u64 = 200 << 10;
/// So many bytes of a prompt are a token at least.
pub const BYTES_A_TOKEN: u64 = 3;
/// What an agent program reads beside the prompt at most, in tokens: with its tools switched off Claude Code and codex send a few thousand.
pub const OWN_TOKENS: u64 = 20_000;
/// An answer takes at most about so many tokens: a summary is far shorter.
pub const ANSWER_TOKENS: u64 = 8_000;
/// A run may take so long, unless configured (2.1).
pub const RUN_MAX: Duration = Duration::from_secs(5 * 60);
/// What a run says on standard output is read up to so many bytes, which is the most that a line of it may have too (3.2).
pub const STDOUT_MAX: usize = 8 << 20;
/// Of standard error the last bytes are kept (3.2).
pub const STDERR_TAIL: usize = 64 << 10;
/// Both together: what says more does nothing but that.
pub const OUTPUT_MAX: u64 = 64 << 20;
/// Directories for runs; more are never taken at a time than [`CONCURRENCY`] has, and some may be held by another daemon.
pub const PLACES: usize = 8;
/// What a program says of its flags is waited for so long, and read up to so many bytes.
pub const HELP_MAX: (Duration, usize) = (Duration::from_secs(20), 64 << 10);
/// So many programs' flags are remembered.
pub const HELPS: usize = 8;
/// Whether an agent can be used is found out within this (3.7); a program that is asked has a little less.
pub const USABLE_MAX: Duration = Duration::from_secs(2);
/// What was found out is good for so long (2.3).
pub const USABLE_FOR: Duration = Duration::from_secs(60);
