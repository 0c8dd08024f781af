//! What the entry keeps of an event: one line of the spool, private to this program (relay and hooks, B.5).

use serde::{Deserialize, Serialize};

/// The form of lines.
pub const VERSION: u32 = 1;
/// A longer name or id is none, in bytes.
pub const NAME_MAX: usize = 256;
/// What is stored as the program of an event whose caller is somebody else than the entry says, or not known.
pub const FOREIGN: &str = "foreign";

/// One event. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// [`VERSION`].
    pub v: u32,
    /// A UUIDv7, made when it was received: a line that is read again is the same event.
    pub spool_id: String,
    /// When it was received, in milliseconds since 1970.
    pub at_ms: i64,
    /// When the program says that it was, in the same unit; only Gemini CLI says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_at_ms: Option<i64>,
    /// How long the entry took until the line was written, in microseconds.
    pub handler_us: u64,
    /// Whose entry ran: the program's kind, or [`FOREIGN`] where the payload's form or the variables say that another one called it.
    pub agent: String,
    /// What ours call the event.
    pub event: String,
    /// What the program calls it.
    pub raw_event: String,
    /// The session, of a sub-agent the root's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// The turn; codex alone names it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub turn_id: String,
    /// The call of a tool, as the transcript names it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tool_use_id: String,
    /// The sub-agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
    /// Its type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// The model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// What the agent may do unasked, as its program calls it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permission_mode: String,
    /// What ours call the tool.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tool_name: String,
    /// What the program calls it, where that differs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tool_name_raw: String,
    /// `source`, `reason`, `trigger` or `notification_type` of the event.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// HMAC-SHA-256 of the working directory under the key of the flag file, in hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cwd_hash: String,
    /// The project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo_id: String,
    /// SHA-256 of the prompt without blanks around it, in hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prompt_sha256: String,
    /// The same of the last answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message_sha256: String,
    /// SHA-256 of the tool's name as ours call it, a NUL, and its input as canonical JSON, in hex; none where that is longer than the entry keeps in memory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub input_sha256: String,
    /// SHA-256 of the bytes that were received, in hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub payload_sha256: String,
    /// Length of the tool's input, in bytes as received.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_bytes: u64,
    /// Length of what the tool gave back.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_bytes: u64,
    /// A tool failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// A stop of an agent that went on because of a hook.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stop_hook_active: bool,
    /// Not all of it came in time, or it is longer than is read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// It was no JSON object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub parse_error: bool,
    /// The process that ran the entry, past a shell.
    #[serde(skip_serializing_if = "is_none")]
    pub caller_pid: u32,
    /// When that process began, in the system's ticks.
    #[serde(skip_serializing_if = "is_zero")]
    pub caller_start: u64,
    /// The payload as it was received, only where the user asked for it to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_none(n: &u32) -> bool {
    *n == 0
}
