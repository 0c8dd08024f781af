//! The bounds of everything this room reads, waits for or walks.

use std::time::Duration;

/// The largest configuration file that is read, in bytes.
pub const CONFIG_MAX: usize = 1024 * 1024;
/// The most keys of one JSON file's top level.
pub const CONFIG_KEYS_MAX: usize = 1000;
/// The largest marker file that is read, in bytes.
pub const MARKER_MAX: usize = 256 * 1024;
/// The most markers that are read in one `.sageox/`.
pub const MARKERS_MAX: usize = 64;
/// The largest sync state file that is read, in bytes.
pub const SYNC_STATE_MAX: usize = 64 * 1024;
/// The largest list of trusted hosts that is read, in bytes.
pub const TRUST_MAX: usize = 256 * 1024;
/// The most trusted hosts that are kept.
pub const TRUSTED_MAX: usize = 1000;
/// The longest remote URL, in bytes.
pub const REMOTE_MAX: usize = 4096;
/// The longest wait for another process that is changing the same file.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The longest socket path in bytes. Kernels take 103 (macOS) or 107 (Linux).
pub const SOCKET_PATH_MAX: usize = 100;
/// The largest user configuration file that is read, in bytes.
pub const USER_CONFIG_MAX: usize = 256 * 1024;
/// The deepest nesting of the user configuration, counted generously.
pub const YAML_DEPTH_MAX: usize = 200;
