//! Every number of the wire, in one place, with the relations between them checked when compiling.

use std::time::Duration;

/// Longest request line and longest line of an answer, newline included.
pub const LINE_MAX: usize = 1024 * 1024;

/// Open connections of one listener; the next one is told `busy` and closed.
pub const CONNECTIONS_PER_LISTENER: usize = 100;
/// At the limit, dead connections are looked for again after so many new ones.
pub const REAP_EVERY: usize = 16;

/// Open connections of all listeners together: bounds descriptors and memory with many projects.
pub const CONNECTIONS_TOTAL: usize = 512;

/// Listeners of one server: the host's and one a project.
pub const LISTENERS: usize = 256;

/// Bytes of unfinished request lines held for all connections together; beyond it a growing one is told `busy`.
pub const UNFINISHED_BYTES_TOTAL: usize = 16 * 1024 * 1024;

/// A request line has to be complete this long after the accept, or after its first byte on a kept connection.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);

/// A connection is closed this long after its first answer, unless another request follows: the Go program's server closes after the last
/// line (ipc and lifecycle, 4.1), and tools read until then.
pub const LINGER: Duration = Duration::from_secs(1);

/// A kept connection, one that more than one thing was asked on, is closed when nothing is asked for this long.
pub const IDLE_CLOSE: Duration = Duration::from_secs(60);

/// A progress line that the peer has not begun to take after this long is dropped.
pub const PROGRESS_WRITE: Duration = Duration::from_millis(100);

/// The final line has to be taken this long after it was ready; a fresh deadline for each.
pub const FINAL_WRITE: Duration = Duration::from_secs(5);

/// Length of the kernel's queue of connections not yet accepted.
pub const BACKLOG: i32 = 128;

/// Longest socket path in bytes. The kernels take 107 (Linux) and 103 (macOS).
pub const SOCKET_PATH_MAX: usize = 100;

/// First wait after a failed accept; doubles with each further failure.
pub const ACCEPT_RETRY_MIN: Duration = Duration::from_millis(100);

/// Longest wait after failed accepts.
pub const ACCEPT_RETRY_MAX: Duration = Duration::from_secs(10);

/// A request buffer larger than this is given up as soon as it is empty.
pub const READ_KEEP: usize = 16 * 1024;

/// Room for a request when its first bytes arrive; grows by doubling.
pub const READ_FIRST: usize = 512;

/// Empty request buffers kept for the next connections.
pub const SPARE_BUFFERS: usize = 16;

/// Request lines of one connection served before the others get their turn.
pub const LINES_PER_TURN: usize = 32;

/// Threads that encode snapshots and read stores.
pub const REQUEST_WORKERS: usize = 4;

/// Requests waiting for a request worker; beyond it the answer is `busy`.
pub const REQUEST_QUEUE: usize = 128;

/// Stack of the loop thread and of a request worker, in bytes.
pub const STACK: usize = 512 * 1024;

/// Commands waiting for the loop thread. Final replies need at most one place for each connection.
pub const OUTBOX: usize = 4096;

/// Progress lines are dropped while this many commands wait for the loop thread.
pub const OUTBOX_PROGRESS: usize = 1024;

/// Connections accepted from one listener in one turn of the loop.
pub const ACCEPTS_PER_TURN: usize = 32;

/// Events taken from the kernel in one turn of the loop.
pub const EVENTS_PER_TURN: usize = 256;

/// Messages without an answer are handed over together, after at most this long: one by one each would wake a sleeping thread.
pub const ONE_WAY_WAIT: Duration = Duration::from_millis(2);

/// So many of them are handed over at once.
pub const ONE_WAY_BATCH: usize = 64;

/// Longest encoded status. Longer ones lose timestamps first, then the oldest entries of their lists.
pub const STATUS_MAX: usize = 256 * 1024;

/// Timestamps that one list of a status has for all its keys together, before it is shortened.
pub const STATUS_TIMESTAMPS_ALL: usize = 2000;

/// Longest list of agents or errors in an answer; the oldest are left out.
pub const LIST_MAX: usize = LINE_MAX - 64 * 1024;

/// Timestamps kept for each key in the first step of shortening a status.
pub const STATUS_TIMESTAMPS: usize = 20;

/// Sync events in the answer to `sync_history`; the newest are kept.
pub const SYNC_HISTORY_MAX: usize = 100;

/// Request and answer fit the line together with their envelope.
pub const ENVELOPE_ROOM: usize = 4096;

/// How long answers already given may still be sent when the server is closed.
pub const CLOSE_DRAIN: Duration = Duration::from_secs(1);

/// How long to wait for the loop to end when the server is closed.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

const _: () = {
    assert!(CONNECTIONS_PER_LISTENER <= CONNECTIONS_TOTAL);
    assert!(OUTBOX_PROGRESS + 4 * CONNECTIONS_TOTAL <= OUTBOX, "final replies always find room");
    assert!(STATUS_MAX + ENVELOPE_ROOM <= LINE_MAX);
    assert!(LINE_MAX <= UNFINISHED_BYTES_TOTAL);
    assert!(READ_FIRST <= READ_KEEP && READ_KEEP <= LINE_MAX);
    assert!(SOCKET_PATH_MAX <= 103);
    assert!(PROGRESS_WRITE.as_millis() < FINAL_WRITE.as_millis());
    assert!(CLOSE_DRAIN.as_millis() < CLOSE_WAIT.as_millis());
    assert!(LINGER.as_millis() < READ_DEADLINE.as_millis());
    assert!(READ_DEADLINE.as_millis() < IDLE_CLOSE.as_millis());
    assert!(ACCEPT_RETRY_MIN.as_millis() < ACCEPT_RETRY_MAX.as_millis());
    assert!(REQUEST_QUEUE >= CONNECTIONS_PER_LISTENER, "one listener alone never fills the workers' queue");
};

/// What the client waits for, by call. House numbers of the wire's contract.
pub mod client {
    use std::time::Duration;

    /// Longest wait for a connection.
    pub const CONNECT: Duration = Duration::from_secs(5);
    /// Longest wait for a request to be taken.
    pub const WRITE: Duration = Duration::from_secs(5);
    /// Connecting and writing of a message without an answer.
    pub const ONE_WAY: Duration = Duration::from_millis(50);
    /// A call without its own number.
    pub const DEFAULT: Duration = Duration::from_millis(50);
    /// Is the daemon healthy?
    pub const HEALTH: Duration = Duration::from_millis(100);
    /// Is a daemon running at all?
    pub const STATE: Duration = Duration::from_secs(2);
    /// `status`, first attempt and within other commands.
    pub const STATUS: Duration = Duration::from_millis(500);
    /// `hooks_get`, `hooks_set`, `hooks_reconcile`: agents' settings are read, and written where they are not as they should be.
    pub const HOOKS: Duration = Duration::from_secs(10);
    /// `agent_work`: agents are looked at, which takes two seconds at most, and sessions of all projects.
    pub const WORK: Duration = Duration::from_secs(15);
    /// `relay_status`, `relay_reload`, `relay_stop`: files are read, and a link that ends waits for a confirmation that is under way.
    pub const RELAY: Duration = Duration::from_secs(5);
    /// `relay_flush`: the daemon answers within 25 seconds.
    pub const RELAY_FLUSH: Duration = Duration::from_secs(30);
    /// `status`, second attempt of `ox daemon status`.
    pub const STATUS_AGAIN: Duration = Duration::from_secs(2);
    /// Silence on a running `sync`.
    pub const SYNC_IDLE: Duration = Duration::from_secs(30);
    /// Silence on a running `team_sync`.
    pub const TEAM_SYNC_IDLE: Duration = Duration::from_secs(60);
    /// A whole `checkout`; progress does not prolong it.
    pub const CHECKOUT: Duration = Duration::from_secs(60);
    /// `stop`, in every path.
    pub const STOP: Duration = Duration::from_secs(2);
    /// `attach` of a project at the host.
    pub const ATTACH: Duration = Duration::from_secs(20);
    /// First wait before trying to reach the daemon once more.
    pub const RETRY_FIRST: Duration = Duration::from_millis(100);
    /// Longest wait between two attempts.
    pub const RETRY_MAX: Duration = Duration::from_secs(2);
    /// Pause between two looks while the kernel's queue of connections is full.
    pub const BACKLOG_PAUSE: Duration = Duration::from_millis(2);

    const _: () = {
        assert!(ONE_WAY.as_millis() <= DEFAULT.as_millis());
        assert!(DEFAULT.as_millis() < HEALTH.as_millis());
        assert!(HEALTH.as_millis() < STATUS.as_millis());
        assert!(STATUS.as_millis() < STATUS_AGAIN.as_millis());
        // A long operation speaks at least every 10 s; silence is judged much later.
        assert!(SYNC_IDLE.as_millis() >= 3 * super::PROGRESS_EVERY.as_millis());
    };
}

/// A long operation writes a line at least this often, also when there is nothing new.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(10);
