//! What waits for an agent, asked for and put before it.

use std::time::Duration;

use jiff::Timestamp;

use crate::ipc::client::Client;
use crate::ipc::wire::{Message, WhisperEntry, Whispers, WhispersAsk};
use crate::project::settings::Settings;
use crate::project::{Dirs, Env, Project};
use crate::whispers::{Source, Whisper, frame};

/// Who asks, and for how much.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Environment.
    pub env: &'a Env,
    /// Where everything of ours lies.
    pub dirs: &'a Dirs,
    /// Where the agent works.
    pub project: &'a Project,
    /// Its id.
    pub agent: &'a str,
    /// The most text that is wanted, in bytes.
    pub budget: usize,
    /// How long the daemon may take.
    pub patience: Duration,
}

impl Asked<'_> {
    /// What waits, which is then delivered; nothing if no daemon answers.
    pub fn entries(self, client: &Client) -> Vec<WhisperEntry> {
        let ask = WhispersAsk {
            agent_id: self.agent.to_owned(),
            budget: i64::try_from(self.budget).unwrap_or_default(),
            ..WhispersAsk::default()
        };
        let answer: Whispers =
            client.call_as(Message::Whispers, Some(&ask), self.patience).unwrap_or_default();
        if answer.entries.is_empty() {
            return Vec::new();
        }
        let (settings, _) = Settings::load(self.env, self.dirs, Some(self.project));
        let wanted = |w: &WhisperEntry| settings.receives_murmurs() || w.source != Source::Murmur.name();
        answer.entries.into_iter().filter(wanted).collect()
    }

    /// The same as the text that is put before an agent; empty where nothing waits.
    pub fn text(self, client: &Client, now: Timestamp) -> String {
        framed(self.entries(client), now)
    }
}

/// The text that is put before an agent; empty without any whisper.
pub fn framed(entries: Vec<WhisperEntry>, now: Timestamp) -> String {
    let whispers: Vec<Whisper> = entries.into_iter().map(whisper).collect();
    frame(&whispers, now)
}

fn whisper(entry: WhisperEntry) -> Whisper {
    Whisper {
        id: entry.id,
        scope: entry.scope,
        kind: entry.kind,
        source: entry.source,
        topic: entry.topic,
        content: entry.content,
        importance: entry.importance,
        created_at: entry.created_at,
        agent_id: entry.agent_id,
        principal_id: entry.principal_id,
        principal_type: entry.principal_type,
        team_id: entry.team_id,
        metadata: entry.metadata,
    }
}
