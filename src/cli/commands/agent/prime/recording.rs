//! Whether the session that introduces itself is recorded, and its recording where that is to begin by itself.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::commands::session::{begin, places, record};
use crate::cli::context::Cx;
use crate::cli::me::Me;
use crate::project::Project;
use crate::project::settings::{RecordingMode, Settings};
use crate::sessions::{Place, can_read, stopped};

/// How it stands with recording.
#[derive(Debug, Default, Serialize)]
pub struct Recorded {
    /// The session is being recorded.
    pub recording: bool,
    /// `auto`, `manual` or `disabled`.
    pub mode: &'static str,
    /// Who says so.
    pub source: String,
    /// The recording's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_name: String,
    /// Its directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// It would be recorded, if the project had a clone of its ledger.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ledger_needed: bool,
    /// This introduction has begun it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_started: bool,
}

impl Recorded {
    /// What the agent is told of it; of what it was told before only what has changed.
    pub fn line(&self, prefix: &str, told_before: bool) -> Option<String> {
        match (self.recording, self.auto_started) {
            (true, false) if told_before => None,
            (true, _) => Some(format!(
                "This session is recorded, without secrets, on this machine alone; tell your user. End it: {prefix} session stop"
            )),
            (false, _) if self.ledger_needed => Some(
                "This session is not recorded: the project has no ledger here yet. Tell your user: ox up"
                    .to_owned(),
            ),
            (false, _) => None,
        }
    }

    /// Whether the agent may begin a recording.
    pub fn may_start(&self) -> bool {
        !self.recording && self.mode != RecordingMode::Disabled.name()
    }
}

/// How it stands, after the recording has begun if it is to.
pub fn of(cx: &Cx, project: &Project, me: &Me) -> Recorded {
    let (mode, origin) = Settings::load(&cx.env, &cx.dirs, Some(project)).0.recording();
    let known = Recorded { mode: mode.name(), source: origin.to_string(), ..Recorded::default() };
    let mut all = record::being(cx, project).into_iter();
    if let Some(own) = all.find(|being| being.recording.agent_id == me.id) {
        let (session_name, file) = (own.found.name.to_string(), Some(own.found.dir));
        return Recorded { recording: true, session_name, file, ..known };
    }
    // Of an agent whose transcript nobody can read nothing would be recorded.
    if mode != RecordingMode::Auto || !can_read(&me.kind) {
        return known;
    }
    let places = places(cx, project);
    if !places.dirs().any(|(place, _)| place == Place::Local) {
        return Recorded { ledger_needed: true, ..known };
    }
    if stopped::take(places.own(), &me.id) {
        return known;
    }
    match begin::begin(cx, project, me, "") {
        Ok(begun) => Recorded {
            recording: true,
            auto_started: true,
            session_name: begun.name.to_string(),
            file: Some(begun.dir),
            ..known
        },
        Err(e) => {
            cx.ui.warn(&format!("this session cannot be recorded: {e}"));
            known
        }
    }
}
