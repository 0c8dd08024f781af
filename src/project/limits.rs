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
/// The largest manifest of a team context that is read, in bytes.
pub const MANIFEST_MAX: usize = 256 * 1024;
/// A line of a manifest is shorter than this, in bytes without its newline.
pub const MANIFEST_LINE_MAX: usize = 64 * 1024;
/// The most rules of a manifest; one with more is not used.
pub const MANIFEST_RULES_MAX: usize = 1000;
/// The most warnings about one manifest; further ones are not kept.
pub const MANIFEST_WARNINGS_MAX: usize = 100;
/// Time between two syncs of a team context whose manifest does not say.
pub const TEAM_SYNC_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Time between two fresh clones of a team context whose manifest does not say, and of every ledger.
pub const GC_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest time between two fresh clones, in days.
pub const GC_DAYS_MAX: u64 = 90;
/// The largest file with tokens that is read, in bytes.
pub const SECRETS_MAX: usize = 1024 * 1024;
/// The most repositories of one credential file.
pub const REPOS_MAX: usize = 1000;
/// The most credential files that are looked at.
pub const CREDENTIAL_FILES_MAX: usize = 64;
/// Credentials that end within this time are to be replaced.
pub const EXPIRING_SOON: Duration = Duration::from_secs(60 * 60);
/// The most endpoints of the token file.
pub const LOGINS_MAX: usize = 100;
/// The longest token, in bytes.
pub const TOKEN_MAX: usize = 64 * 1024;
/// The longest team id, in bytes.
pub const TEAM_ID_MAX: usize = 128;
/// The most teams of one machine-local configuration or one project.
pub const TEAMS_MAX: usize = 1000;
/// The most agents that one file of instances names (agent work and sessions, 9.1).
pub const INSTANCES_MAX: usize = 500;
/// The largest file of instances that is read, in bytes.
pub const INSTANCES_FILE_MAX: usize = 1024 * 1024;
/// The most users whose files of instances are read in one project.
pub const INSTANCE_USERS_MAX: usize = 100;
/// The longest name of a user's directory.
pub const USER_SLUG_MAX: usize = 48;
/// The largest file about an agent program's session that is read, in bytes.
pub const PRIMED_MAX: usize = 64 * 1024;
/// The longest name of a session that is taken from an agent program, in bytes.
pub const SESSION_NAME_MAX: usize = 200;
/// The largest `REDACT.md` that is read, in bytes; of one above `redact::limits::CUSTOM_TEXT_MAX` the end is not taken in.
pub const REDACT_FILE_MAX: usize = 1024 * 1024;
/// The longest interval between syncs that a team's manifest can ask for, in minutes.
pub const SYNC_MINUTES_MAX: u64 = 366 * 24 * 60;
