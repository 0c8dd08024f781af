//! Payloads and results of all messages except `status`. Keys stand in wire order.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{is_false, is_zero};
use crate::kit::gotime::{self, GoTime};

/// One finished sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncEvent {
    /// When it ended.
    pub time: GoTime,
    /// `pull`, `push`, `full` or `team_context`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ledger` or a team id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workspace_id: String,
    /// How long it took.
    #[serde(with = "gotime::nanos")]
    pub duration: Duration,
    /// Files that came or went.
    pub files_changed: i64,
}

/// What came of having all sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelayFlushed {
    /// Events that were confirmed meanwhile.
    pub sent: i64,
    /// Events that still wait.
    pub left: i64,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What a command or an agent tells about itself. Every field but the time may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// Repository in use.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo_path: String,
    /// The sender's workspace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workspace_id: String,
    /// The sender's clone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub caller_path: String,
    /// `Ox` and four characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
    /// Teams the command touched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub team_ids: Vec<String>,
    /// Fresh credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// When it was made, by the sender's clock.
    pub timestamp: GoTime,
    /// Full version of the sender.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cli_version: String,
    /// Tokens this command put in front of the model, estimated.
    #[serde(skip_serializing_if = "is_zero")]
    pub context_tokens: i64,
    /// Such as `prime` or `session list`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command_name: String,
    /// Agent that started this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_agent_id: String,
    /// Such as `claude-code`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// Process of the agent.
    #[serde(skip_serializing_if = "is_zero")]
    pub parent_pid: i64,
    /// Short name of whom the agent works for; newer clients say it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal_id: String,
    /// `context_tokens` by what they are about, such as `team`; newer clients say it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context_tokens_by_source: BTreeMap<String, i64>,
    /// `context_tokens` by the kind of the knowledge base they come from; newer clients say it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context_tokens_by_kb_type: BTreeMap<String, i64>,
}

/// Credentials inside a heartbeat; every key is always written. Never logged, never stored.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// Token for git.
    pub token: String,
    /// Git server it is for.
    pub server_url: String,
    /// Zero: never expires.
    pub expires_at: GoTime,
    /// Token for the API.
    pub auth_token: String,
    /// Who.
    pub user_email: String,
    /// Who, by id.
    pub user_id: String,
}

impl std::fmt::Debug for Credentials {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &!self.token.is_empty())
            .field("server_url", &self.server_url)
            .field("expires_at", &self.expires_at)
            .field("auth_token", &!self.auth_token.is_empty())
            .field("user_email", &self.user_email)
            .finish_non_exhaustive()
    }
}

/// A usage event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Name of the event.
    pub event: String,
    /// Anything; `null` members are dropped when read.
    pub props: Map<String, Value>,
}

/// A command that was used wrongly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Friction {
    /// RFC 3339, UTC.
    pub ts: String,
    /// `unknown-command`, `unknown-flag`, `invalid-arg` or `parse-error`.
    pub kind: String,
    /// Command, if known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Its subcommand.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subcommand: String,
    /// `human` or `agent`.
    pub actor: String,
    /// Which agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// `home`, `repo` or `other`.
    pub path_bucket: String,
    /// What was typed, without secrets, at most 500 characters.
    pub input: String,
    /// What was answered, without secrets, at most 200 characters.
    pub error_msg: String,
}

/// Narrows down a `team_sync`; ours, may be absent as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeamSyncAsk {
    /// Only this team: its id, short name or name. Empty: all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team: String,
}

/// What became of one team in a `team_sync`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TeamSyncResult {
    /// Which.
    pub team_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team_name: String,
    /// Its short name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team_slug: String,
    /// Where its clone is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// `synced`, `skipped`, `cloning` or `error`.
    pub status: String,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// Asks for a clone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkout {
    /// Where to.
    pub repo_path: String,
    /// Where from.
    pub clone_url: String,
    /// `ledger` or `team_context`.
    pub repo_type: String,
}

/// What became of a [`Checkout`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckoutResult {
    /// Where it is.
    pub path: String,
    /// It was there before.
    pub already_exists: bool,
    /// It was cloned now.
    pub cloned: bool,
}

/// Which stored errors have been seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkErrors {
    /// None: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

/// An agent, older form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSession {
    /// Which.
    pub agent_id: String,
    /// Where.
    pub workspace_path: String,
    /// When it last beat.
    pub last_heartbeat: GoTime,
    /// How often, up to 100.
    pub heartbeat_count: i64,
    /// `active` or `idle`.
    pub status: String,
}

/// Answer to `sessions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sessions {
    /// All agents.
    pub sessions: Vec<AgentSession>,
}

/// An agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceInfo {
    /// Which.
    pub agent_id: String,
    /// Where.
    pub workspace_path: String,
    /// When it last beat.
    pub last_heartbeat: GoTime,
    /// How often, up to 100.
    pub heartbeat_count: i64,
    /// `active`, `idle` or `exited`.
    pub status: String,
    /// Tokens put in front of its model so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub cumulative_context_tokens: i64,
    /// Commands it ran.
    #[serde(skip_serializing_if = "is_zero")]
    pub command_count: i64,
    /// Agent that started it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_agent_id: String,
    /// Such as `claude-code`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// Its process.
    #[serde(skip_serializing_if = "is_zero")]
    pub parent_pid: i64,
    /// When it last took whispers.
    pub last_whisper: GoTime,
    /// Short name of whom it works for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal_id: String,
    /// The tokens by what they are about, as its heartbeats told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cumulative_context_tokens_by_source: BTreeMap<String, i64>,
    /// The tokens by the kind of knowledge base they come from, as its heartbeats told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cumulative_context_tokens_by_kb_type: BTreeMap<String, i64>,
    /// Ours, only when asked for: what its commands have cost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandCost>,
}

/// What the commands of one name have cost an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandCost {
    /// Such as `prime`.
    pub name: String,
    /// Tokens put in front of its model.
    pub tokens: i64,
    /// How often.
    pub count: i64,
}

/// How `instances` is to be answered; ours, may be absent as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstancesAsk {
    /// With [`InstanceInfo::commands`].
    #[serde(skip_serializing_if = "is_false")]
    pub detail: bool,
}

/// Answer to `instances`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instances {
    /// All agents.
    pub instances: Vec<InstanceInfo>,
}

/// Answer to `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doctor {
    /// The search for missing clones was started.
    pub anti_entropy_triggered: bool,
    /// Clones this request started.
    pub clones_triggered: i64,
    /// The search for unfinished recordings was started.
    pub session_finalize_triggered: bool,
    /// Recordings queued.
    pub session_finalize_queued: i64,
    /// What could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// How a `trigger_gc` is to be answered; ours, may be absent as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerGcAsk {
    /// With progress lines before the answer. Other clients take the first line for the answer.
    #[serde(skip_serializing_if = "is_false")]
    pub progress: bool,
}

/// Answer to `trigger_gc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerGc {
    /// Clones of team contexts begun; the ledger is not among them.
    pub triggered: i64,
    /// Already in progress.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: i64,
    /// The ledger's clone was begun, too.
    #[serde(skip_serializing_if = "is_false")]
    pub ledger_triggered: bool,
    /// Failures, and refusals because of uncommitted changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// Asks for a build of the code index; may be absent as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeIndex {
    /// Another repository than the project's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// From nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub full: bool,
}

/// What a build of the code index did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeIndexResult {
    /// Files read.
    pub blobs_parsed: i64,
    /// Symbols found.
    pub symbols_extracted: i64,
    /// Comments found.
    pub comments_extracted: i64,
    /// Milliseconds for the text.
    pub index_duration_ms: i64,
    /// Milliseconds for symbols.
    pub symbol_duration_ms: i64,
    /// Milliseconds for comments.
    pub comment_duration_ms: i64,
    /// Milliseconds in all.
    pub total_duration_ms: i64,
}

/// Asks for an agent's pending whispers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhispersAsk {
    /// Who asks; required.
    pub agent_id: String,
    /// `all`, `normal` or `focused`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub attention: String,
    /// Only these; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Ours: at most so many bytes of text; what does not fit waits. Zero: as much as an answer holds.
    #[serde(skip_serializing_if = "is_zero")]
    pub budget: i64,
}

/// One whisper.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhisperEntry {
    /// Unique.
    pub id: String,
    /// `ledger` or `team`.
    pub scope: String,
    /// `structural`, `time-based` or `trigger`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What made it.
    pub source: String,
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub content: String,
    /// `critical`, `normal` or `ambient`.
    pub importance: String,
    /// When it was made.
    pub created_at: GoTime,
    /// Agent it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
    /// Person or agent behind it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal_id: String,
    /// Which of the two.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal_type: String,
    /// Team it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team_id: String,
    /// More.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Ours, only in the past of an agent: whether that has got it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<bool>,
}

/// Answer to `whispers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whispers {
    /// What is pending.
    pub entries: Vec<WhisperEntry>,
}

/// Asks for whispers of the past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhisperHistoryAsk {
    /// Whose; empty: all agents'.
    pub agent_id: String,
    /// Only older ones; zero: from the newest.
    pub before: GoTime,
    /// 0 = 50, at most 200.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: i64,
}

/// A page of whispers of the past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhisperHistory {
    /// Newest first.
    pub entries: Vec<WhisperEntry>,
    /// How far the agent has read.
    pub cursor: GoTime,
    /// It has read at all.
    pub has_cursor: bool,
    /// There is a further page.
    #[serde(skip_serializing_if = "is_false")]
    pub has_more: bool,
    /// `before` of the further page.
    pub next_cursor: GoTime,
}

/// A recording has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionFinalize {
    /// Which; required.
    pub session_name: String,
    /// Into which ledger; required.
    pub ledger_path: String,
    /// Where the recorded files lie.
    pub cache_path: String,
    /// Whose endpoint and login count.
    pub project_root: String,
}

/// Ours: what is asked of background work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentWorkAsk {
    /// No agent is to be run until further notice, or they are again; as it is if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    /// Answer at once, by what is known; else agents and sessions are looked at first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub peek: bool,
}

/// A recording to follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionWatchStart {
    /// Which.
    pub session_name: String,
    /// The agent's own file.
    pub session_file: String,
    /// Its format.
    pub adapter_name: String,
}

/// A recording to follow no longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionWatchStop {
    /// Which.
    pub session_name: String,
}

/// A note to publish.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Murmur {
    /// Clone to write into; required.
    pub target_dir: String,
    /// What it says.
    pub content: String,
    /// File in the clone; required.
    pub rel_path: String,
    /// What to write, standard base64 with padding.
    pub murmur_json: String,
}

impl Murmur {
    /// The murmur's id: the name of its file.
    pub fn murmur_id(&self) -> &str {
        self.rel_path.rsplit('/').next().unwrap_or_default().strip_suffix(".json").unwrap_or_default()
    }
}

/// Names an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentRef {
    /// Which.
    pub agent_id: String,
}

/// Ours: asks the host to serve a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attach {
    /// Directory that holds `.sageox`.
    pub project_root: String,
    /// The data directory of whoever asks; a daemon with another one refuses. Empty: any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_dir: String,
}

/// Ours: variables of the caller by which git reaches remotes. Those that do not count are left out, by either side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Values by name.
    pub vars: BTreeMap<String, String>,
}

/// Ours: the project is served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attached {
    /// Eight hex digits.
    pub workspace_id: String,
    /// Where it answers.
    pub socket_path: String,
}

/// Ours: a project the host serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectInfo {
    /// Eight hex digits.
    pub workspace_id: String,
    /// Directory that holds `.sageox`.
    pub project_root: String,
    /// Empty when the project has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo_id: String,
    /// Where it answers.
    pub socket_path: String,
    /// When it was attached.
    pub attached_at: GoTime,
}

/// Ours: answer to `projects`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Projects {
    /// By workspace id.
    pub projects: Vec<ProjectInfo>,
}

/// Ours: payload of `hooks_set`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksSet {
    /// The agent, or `all` for whether hooks are used at all.
    pub agent: String,
    /// Whether they are.
    pub enabled: bool,
}

/// Ours: answer to `hooks_set`. What the user wants is kept also where it could not be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksSetDone {
    /// It is done.
    pub ok: bool,
    /// What the user wants.
    pub enabled: bool,
    /// Why it is not done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// Ours: answer to `hooks_get` and `hooks_reconcile`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksState {
    /// Hooks are used at all.
    pub enabled: bool,
    /// Every agent whose hooks can be used.
    pub agents: Vec<HooksAgent>,
}

/// How the hooks of one agent are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksAgent {
    /// The agent, as `hooks_set` names it.
    pub agent: String,
    /// Its own switch is on.
    pub opted_in: bool,
    /// And hooks are used at all.
    pub effective: bool,
    /// In two words at most, as `ox hooks status` has it.
    pub state: String,
    /// Ours is run at every event at which it should be.
    pub installed: bool,
    /// Events at which it is not.
    pub missing_events: Vec<String>,
    /// `on`, `off` or `unknown`: whether the agent uses hooks at all.
    pub feature: String,
    /// Whether it runs ours.
    pub trust: String,
    /// When its last event was, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event_ms: Option<i64>,
    /// What is left to do, a sentence or a command each.
    pub next_steps: Vec<String>,
    /// Why its settings could not be made as the user wants them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}
