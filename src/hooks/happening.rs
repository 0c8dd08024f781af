//! What a source tells of an agent, in the words in which it is stored.

use super::record::Record;

/// Who tells of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The program's hook.
    #[default]
    Hook,
    /// Its transcript.
    Transcript,
}

impl Source {
    /// As it stands in a set of sources.
    pub fn bit(self) -> i64 {
        match self {
            Source::Hook => 1,
            Source::Transcript => 2,
        }
    }

    /// The names of those in a set.
    pub fn names(set: i64) -> Vec<&'static str> {
        [(1, "hook"), (2, "transcript"), (4, "cli")]
            .into_iter()
            .filter(|(bit, _)| set & bit != 0)
            .map(|(_, name)| name)
            .collect()
    }
}

/// One event as one source tells of it. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happening {
    /// Who tells.
    pub source: Source,
    /// When, in milliseconds since 1970: as the program says, where it does.
    pub at_ms: i64,
    /// The program, or `foreign`.
    pub agent: String,
    /// Its session, of a sub-agent the root's.
    pub session_id: String,
    /// What ours call the event.
    pub event: String,
    /// What the program calls it.
    pub raw_event: String,
    /// The turn.
    pub turn_id: String,
    /// The call of a tool.
    pub tool_use_id: String,
    /// The sub-agent.
    pub agent_id: String,
    /// Its type.
    pub agent_type: String,
    /// The sub-agent that started it; empty for one that the session itself started.
    pub parent_id: String,
    /// The model.
    pub model: String,
    /// What the agent may do unasked.
    pub permission_mode: String,
    /// What ours call the tool.
    pub tool_name: String,
    /// What the program calls it.
    pub tool_name_raw: String,
    /// `source`, `reason`, `trigger` or `notification_type` of the event.
    pub detail: String,
    /// The project.
    pub repo_id: String,
    /// HMAC-SHA-256 of the working directory under the installation's key, in hex; only hooks tell it.
    pub cwd_hash: String,
    /// SHA-256 of the prompt, in hex.
    pub prompt_sha256: String,
    /// The same of the answer.
    pub message_sha256: String,
    /// The same of the tool and its input.
    pub input_sha256: String,
    /// The same of all that a hook was given.
    pub payload_sha256: String,
    /// Length of the tool's input.
    pub input_bytes: u64,
    /// Length of what it gave back.
    pub output_bytes: u64,
    /// It failed.
    pub is_error: bool,
    /// What a hook was given, where the user asked for it to be kept.
    pub payload: Option<String>,
    /// What a transcript's fact is known by in its thread.
    pub fact: Option<i64>,
}

impl From<&Record> for Happening {
    fn from(record: &Record) -> Happening {
        let r = record.clone();
        Happening {
            source: Source::Hook,
            at_ms: r.agent_at_ms.unwrap_or(r.at_ms),
            agent: r.agent,
            session_id: r.session_id,
            event: r.event,
            raw_event: r.raw_event,
            turn_id: r.turn_id,
            tool_use_id: r.tool_use_id,
            agent_id: r.agent_id,
            agent_type: r.agent_type,
            parent_id: String::new(),
            model: r.model,
            permission_mode: r.permission_mode,
            tool_name_raw: if r.tool_name_raw.is_empty() { r.tool_name.clone() } else { r.tool_name_raw },
            tool_name: r.tool_name,
            detail: r.detail,
            repo_id: r.repo_id,
            cwd_hash: r.cwd_hash,
            prompt_sha256: r.prompt_sha256,
            message_sha256: r.message_sha256,
            input_sha256: r.input_sha256,
            payload_sha256: r.payload_sha256,
            input_bytes: r.input_bytes,
            output_bytes: r.output_bytes,
            is_error: r.is_error,
            payload: r.payload,
            fact: None,
        }
    }
}
