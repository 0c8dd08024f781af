//! What the user wants of background work of agents: the section `agent_worker` of the user's file.

use std::time::Duration;

use super::settings::{Origin, Settings};
use super::{Error, Project, parse_duration};

/// The section, read.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentWorker {
    /// The agent: `claude`, `codex`, `gemini`, `chat`, or `none`; empty where nobody says anything.
    pub agent: String,
    /// Where nobody says anything, one that can be used is taken.
    pub auto_detect: bool,
    /// The model that it is told to ask; empty for its own choice.
    pub model: String,
    /// A run is ended after this.
    pub timeout: Duration,
    /// Runs an hour at most.
    pub max_invocations_per_hour: u32,
    /// Runs at a time.
    pub max_concurrent: u32,
    /// Input tokens a day at most.
    pub max_input_tokens_per_day: u64,
    /// Millionths of a dollar a day at most; none where only the others count.
    pub max_micro_usd_per_day: Option<u64>,
    /// Finished sessions are summarised.
    pub session_finalize: bool,
    /// Sessions scored below stay on this machine.
    pub quality_upload_threshold: f64,
    /// Sessions scored below are set aside.
    pub quality_discard_threshold: f64,
    /// Where the server of chat completions is; empty where there is none.
    pub chat_url: String,
    /// The model that it is asked for; empty for its own choice.
    pub chat_model: String,
    /// The variable that has its key; empty where it wants none.
    pub chat_key_env: String,
}

/// The key in a repository's configuration that says whether its sessions are shared by themselves when they have ended: `auto` or `manual`.
const PUBLISHING: &str = "session_publishing";

impl AgentWorker {
    /// Whether an agent is to finish sessions: one is named, or is to be found.
    pub fn is_wanted(&self) -> bool {
        let is_named = !self.agent.is_empty() && self.agent != "none";
        self.session_finalize && (is_named || self.agent.is_empty() && self.auto_detect)
    }

    /// Whether finished sessions of the project are shared without anybody saying so each time: as its repository says, and where that says
    /// nothing, if an agent is to finish them.
    pub fn publishes(&self, project: &Project) -> bool {
        match project.config.word(PUBLISHING).as_deref() {
            Some("manual") => false,
            Some("auto") => true,
            _ => self.is_wanted(),
        }
    }

    pub(super) fn read(settings: &Settings) -> (AgentWorker, Vec<Error>) {
        let mut errors = Vec::new();
        let mut value = |key: &str| match settings.get(&format!("agent_worker.{key}")) {
            Ok((value, error)) => {
                errors.extend(error);
                (value.text, value.origin)
            }
            Err(error) => {
                errors.push(error);
                (String::new(), Origin::Default)
            }
        };
        let (agent, origin) = value("agent");
        let is_said = origin != Origin::Default;
        let mut text = |key: &str| value(key).0;
        let model = text("model");
        let chat_model = Some(model.clone()).filter(|model| !model.is_empty());
        // A value that came through the table always parses.
        let worker = AgentWorker {
            agent: if is_said { agent } else { String::new() },
            auto_detect: text("auto_detect") == "true",
            timeout: parse_duration(&text("timeout")).unwrap_or_default(),
            max_invocations_per_hour: text("max_invocations_per_hour").parse().unwrap_or_default(),
            max_concurrent: text("max_concurrent").parse().unwrap_or_default(),
            max_input_tokens_per_day: text("max_input_tokens_per_day").parse().unwrap_or_default(),
            max_micro_usd_per_day: text("max_usd_per_day").parse().ok().map(micro),
            session_finalize: text("session_finalize") == "true",
            quality_upload_threshold: text("quality_upload_threshold").parse().unwrap_or_default(),
            quality_discard_threshold: text("quality_discard_threshold").parse().unwrap_or_default(),
            chat_url: text("chat_url"),
            chat_model: chat_model.unwrap_or_else(|| text("chat_model")),
            chat_key_env: text("chat_key_env"),
            model,
        };
        (worker, errors)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is not below zero
fn micro(usd: f64) -> u64 {
    (usd.max(0.0) * 1e6).round() as u64
}
