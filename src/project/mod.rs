//! Who and where: ids, endpoints, directories, and the formats of all configuration files.
//!
//! Threads: none; every function runs on its caller's.
//! Files: `.sageox/` of a project; the user's `config.yaml`, `trusted-hosts.json`, `relay-consent.json`, `auth.json`, `relay-auth.json` and
//! `git-credentials-*.json`;
//! `REDACT.md` of team, repository and user; `sync-state.json` and `sync.manifest` of a clone; `agent_instances.jsonl` of a project;
//! a file for each session of an agent program below the temporary directory; `net/receipts.jsonl` with a line for each contact.
//! Locks: a kernel lock beside our data around each read-modify-write of a shared file; no lock in memory.
//! Promises: one place for every path and format; foreign keys and comments stay; a damaged file is never read as an empty one.

mod agent_session;
mod agent_worker;
mod auth;
mod clone_path;
mod config;
mod credentials;
mod dirs;
mod duration;
mod endpoint;
mod env;
mod error;
mod find;
mod ids;
mod instances;
mod json;
pub mod limits;
mod local;
mod lock;
mod manifest;
mod marker;
mod private;
mod receipts;
mod redaction;
mod relay;
mod relay_auth;
mod relay_consent;
mod relay_server;
mod remembered;
mod remote;
pub mod scaffold;
pub mod settings;
mod sync_state;
mod trust;
mod user;
mod vendor;

pub use agent_session::AgentSession;
pub use agent_worker::AgentWorker;
pub use auth::{Login, Logins, LoginsLock, UserInfo};
pub use clone_path::{check_clone_path, check_named_path};
pub use config::{CONFIG_VERSION, Config, PROJECT_DIR, Team};
pub use credentials::{CredentialRepo, CredentialStatus, FreshCredentials, GitCredentials};
pub use dirs::{Dirs, GIT_CREDENTIALS_VAR, LEGACY_VAR, USER_CONFIG_VAR};
pub use duration::{format_duration, parse_duration};
pub use endpoint::{ENDPOINT_VAR, Endpoint, endpoint_for_project};
pub use env::{Env, is_program};
pub use error::Error;
pub use find::{PROJECT_ROOT_VAR, Project, find_root, named_root, root_above};
pub use ids::{
    REPO_PREFIX, check_team_id, is_staging_name, new_repo_id, safe_component, workspace_id,
    workspace_id_of_path, workspace_id_of_repo,
};
pub use instances::{Instance, Introduction, agent_id_of, is_agent_id, user_slug};
pub use local::{LocalConfig, LocalLedger, LocalTeam};
pub use manifest::{Manifest, Resolve, Warning as ManifestWarning};
pub use marker::Marker;
pub(crate) use private::or_default;
pub use receipts::{Dealings, Receipt, Receipts, dealings, keep_receipts};
pub use redaction::{RedactRules, RuleFile, RulesStamp};
pub use relay::{CwdHash, Relay, RelaySink, RelayTransport};
pub(crate) use relay_auth::is_token;
pub use relay_auth::{RelayLogin, RelayLogins, RelayLoginsLock};
pub use relay_consent::{DataKind, RelayConsent, RelayConsents};
pub use relay_server::{BATCH_BYTES, BATCH_EVENTS, RelayPaths, RelayServer};
pub use remembered::{Lost, common_dir, recall, remember};
pub use remote::{RemoteKind, RemoteUrl};
pub use sync_state::SyncState;
pub use trust::TrustedHosts;
pub use user::{UserConfig, UserValue};
pub use vendor::{AllowedHosts, VendorUrl};
