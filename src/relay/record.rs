//! What a server is told of an event: one JSON object with the same keys in the same order for every event, without content, and without
//! what nobody agreed to.

use std::collections::HashMap;
use std::path::PathBuf;

use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::scrub::Scrub;
use crate::kit::hex::hex;
use crate::project::{CwdHash, DataKind, RelayConsent};
use crate::redact::{Redactor, hide_home};

/// The form of records.
pub const SCHEMA_VERSION: u32 = 2;
/// A record is not longer than this, in bytes.
pub const RECORD_MAX: usize = 32 << 10;
/// A longer name or id is none, in bytes.
const NAME_MAX: usize = 256;
/// So many names are kept with what is told of them.
const NAMES_MAX: usize = 256;
/// Free text is cut to this, in characters.
const TEXT_MAX: usize = 2048;
/// Events of programs that say they are another one. Nobody knows whose they are, so nobody is told.
const FOREIGN: &str = "foreign";
/// The event that tells of others that were given up.
pub const OVERFLOW: &str = "queue_overflow";

/// Who told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The program's hook.
    Hook,
    /// Its transcript.
    Transcript,
    /// The command line.
    Cli,
}

/// A working directory, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cwd {
    /// Not.
    #[default]
    Unknown,
    /// By its digest under this installation's key, in hex.
    Keyed(String),
    /// By its path.
    Path(PathBuf),
}

/// An event. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// The program: `claude`, `codex`, …
    pub agent: String,
    /// Its session.
    pub session_id: String,
    /// The event's canonical name.
    pub event: String,
    /// The program's own name of it.
    pub raw_event: String,
    /// The tool.
    pub tool: String,
    /// The call of it.
    pub tool_use_id: String,
    /// The turn.
    pub turn_id: String,
    /// The model.
    pub model: String,
    /// What the agent may do unasked, as its program calls it.
    pub permission_mode: String,
    /// Why, or by what it began; the only free text.
    pub reason: String,
    /// When it was, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long the hook took, in milliseconds.
    pub duration_ms: u64,
    /// Who told of it.
    pub sources: Vec<Source>,
    /// What it is known by in its session, whoever tells of it.
    pub dedup_key: String,
    /// The project.
    pub repo_id: String,
    /// The working directory.
    pub cwd: Cwd,
}

/// Why there is no record of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody knows which program's it is.
    #[error("it is not known which program's event it is")]
    Foreign,
    /// It has no name, or one that is too long.
    #[error("the event or its program has no name that can be sent")]
    Nameless,
    /// It does not fit.
    #[error("the record is longer than {RECORD_MAX} bytes")]
    TooLong,
}

/// What may be told beside that there was an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The name of the model.
    pub models: bool,
    /// The project's id and the digest of the working directory.
    pub projects: bool,
}

impl Told {
    /// What somebody agreed to.
    pub fn by(consent: &RelayConsent) -> Told {
        Told { models: consent.allows(DataKind::Models), projects: consent.allows(DataKind::Projects) }
    }
}

/// Makes records.
#[derive(Debug)]
pub struct Recorder {
    install_id: String,
    key: [u8; 32],
    policy: CwdHash,
    home: String,
    told: Told,
    scrub: Scrub,
    redactor: Redactor,
    /// Names that were looked at, and what is told of them: there are few, and each comes again and again.
    names: Mutex<HashMap<String, String>>,
}

/// The record; the order of its fields is the order of its keys.
#[derive(Debug, Serialize)]
struct Record<'a> {
    client_event_id: String,
    timestamp: i64,
    event_type: &'a str,
    tool_name: Option<&'a str>,
    policy_name: Option<&'a str>,
    policy_names: [&'a str; 0],
    decision: &'a str,
    reason: Option<&'a str>,
    duration_ms: u64,
    session_id: Option<&'a str>,
    cwd_hash: Option<&'a str>,
    permission_mode: Option<&'a str>,
    hook_event_name: Option<&'a str>,
    schema_version: u32,
    integration: &'a str,
    source: &'a str,
    tool_use_id: Option<&'a str>,
    turn_id: Option<&'a str>,
    model: Option<&'a str>,
    repo_id: Option<&'a str>,
    install_id: &'a str,
    dropped: Option<u64>,
}

impl Recorder {
    /// One for an installation with this id and key. Of paths that begin with `home` only the rest is told.
    pub fn new(install_id: &str, key: [u8; 32], policy: CwdHash, home: &str, told: Told) -> Recorder {
        let (scrub, redactor) = (Scrub::new(), Redactor::new());
        Recorder {
            install_id: install_id.to_owned(),
            key,
            policy,
            home: home.to_owned(),
            told,
            scrub,
            redactor,
            names: Mutex::default(),
        }
    }

    /// The record of an event: one line, without its newline.
    ///
    /// # Errors
    /// There is none of it.
    pub fn line(&self, fact: &Fact) -> Result<Vec<u8>, Refused> {
        if fact.agent == FOREIGN {
            return Err(Refused::Foreign);
        }
        let (integration, event_type) = (self.name(&fact.agent), self.name(&fact.event));
        let (Some(integration), Some(event_type)) = (integration, event_type) else {
            return Err(Refused::Nameless);
        };
        let id = event_id(&self.install_id, &fact.agent, &fact.session_id, &fact.event, &fact.dedup_key);
        let [tool, mode, raw] =
            [&fact.tool, &fact.permission_mode, &fact.raw_event].map(|text| self.name(text));
        let model = self.name(&fact.model).filter(|_| self.told.models);
        let reason = Some(self.text(&fact.reason)).filter(|text| !text.is_empty());
        let cwd = self.cwd(&fact.cwd).filter(|_| self.told.projects);
        let [session, call, turn, repo] =
            [&fact.session_id, &fact.tool_use_id, &fact.turn_id, &fact.repo_id].map(|text| known_id(text));
        let mut record = Record {
            client_event_id: id.to_string(),
            timestamp: fact.at_ms,
            event_type: &event_type,
            tool_name: tool.as_deref(),
            policy_name: None,
            policy_names: [],
            decision: "allow",
            reason: reason.as_deref(),
            duration_ms: fact.duration_ms,
            session_id: session.as_deref(),
            cwd_hash: cwd.as_deref(),
            permission_mode: mode.as_deref(),
            hook_event_name: raw.as_deref(),
            schema_version: SCHEMA_VERSION,
            integration: &integration,
            source: match fact.sources.iter().min() {
                Some(Source::Transcript) => "transcript",
                Some(Source::Cli) => "cli",
                Some(Source::Hook) | None => "hook",
            },
            tool_use_id: call.as_deref(),
            turn_id: turn.as_deref(),
            model: model.as_deref(),
            repo_id: repo.as_deref().filter(|_| self.told.projects),
            install_id: &self.install_id,
            dropped: None,
        };
        let line = encode(&record);
        if line.len() <= RECORD_MAX {
            return Ok(line);
        }
        record = Record { reason: None, tool_name: None, permission_mode: None, model: None, ..record };
        let line = encode(&Record { hook_event_name: None, ..record });
        if line.len() <= RECORD_MAX { Ok(line) } else { Err(Refused::TooLong) }
    }

    /// The record that says how many were given up because there was no room for them: `dropped`, of `total` over the life of the queue.
    pub fn overflow(&self, account: &str, dropped: u64, total: u64, at_ms: i64) -> Vec<u8> {
        encode(&Record {
            client_event_id: event_id(&self.install_id, "ox", account, OVERFLOW, &total.to_string())
                .to_string(),
            timestamp: at_ms,
            event_type: OVERFLOW,
            tool_name: None,
            policy_name: None,
            policy_names: [],
            decision: "allow",
            reason: None,
            duration_ms: 0,
            session_id: None,
            cwd_hash: None,
            permission_mode: None,
            hook_event_name: None,
            schema_version: SCHEMA_VERSION,
            integration: "ox",
            source: "cli",
            tool_use_id: None,
            turn_id: None,
            model: None,
            repo_id: None,
            install_id: &self.install_id,
            dropped: Some(dropped),
        })
    }

    /// A name without secrets; none where it says nothing, or more than a name.
    fn name(&self, text: &str) -> Option<String> {
        if text.is_empty() || text.len() > NAME_MAX {
            return None;
        }
        let mut names = self.names.lock();
        if let Some(told) = names.get(text) {
            return Some(told.clone());
        }
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        let told = self.text(text);
        names.insert(text.to_owned(), told.clone());
        Some(told)
    }

    /// Free text as it may be told.
    fn text(&self, text: &str) -> String {
        let mut text = self.scrub.scrub(hide_home(text, &self.home).into_owned());
        self.redactor.redact_text(&mut text);
        let end = text.char_indices().nth(TEXT_MAX).map_or(text.len(), |(at, _)| at);
        text.truncate(end);
        text
    }

    fn cwd(&self, cwd: &Cwd) -> Option<String> {
        use std::os::unix::ffi::OsStrExt as _;
        let path = match cwd {
            Cwd::Unknown => return None,
            // A digest under a key is no other digest.
            Cwd::Keyed(digest) => return (self.policy == CwdHash::Hmac).then(|| digest.clone()),
            Cwd::Path(path) => path.as_os_str().as_bytes(),
        };
        match self.policy {
            CwdHash::None => None,
            _ if path.is_empty() => None,
            CwdHash::Sha256 => Some(hex(&Sha256::digest(path))),
            CwdHash::Hmac => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
                mac.update(path);
                Some(hex(&mac.finalize().into_bytes()))
            }
        }
    }
}

/// The id under which an event is told: the same on every attempt, whichever source told of it first.
pub fn event_id(install_id: &str, agent: &str, session_id: &str, event_type: &str, dedup_key: &str) -> Uuid {
    let mut hash = Sha256::new();
    for (n, part) in [install_id, agent, session_id, event_type, dedup_key].into_iter().enumerate() {
        if n > 0 {
            hash.update(b"\0");
        }
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// An id as it is; of what has not the form of one, its digest.
fn known_id(text: &str) -> Option<String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'#');
    match text {
        "" => None,
        text if text.len() <= NAME_MAX && text.bytes().all(is_plain) => Some(text.to_owned()),
        text => Some(hex(&Sha256::digest(text))),
    }
}

fn encode(record: &Record<'_>) -> Vec<u8> {
    // It holds nothing that JSON has no form for.
    serde_json::to_vec(record).unwrap_or_default()
}
