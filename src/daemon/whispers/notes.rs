//! What the daemon itself tells agents, and how whispers stand on the wire.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::ipc::wire::WhisperEntry;
use crate::kit::gotime::GoTime;
use crate::kit::id::new_id;
use crate::kit::text::plain;
use crate::whispers::limits::TEAM_PATHS;
use crate::whispers::{self, FileChanges, Importance, Murmur, Scope, Source, Whisper, uncommitted};

/// Topic of notes about a team's context.
pub(super) const TEAM_TOPIC: &str = "team-context";
/// What a nudge says (whispers and watching, 7.3).
const NUDGE: &str = "Tell your team in one or two sentences (at most 500 bytes) what you are working on and which files: \
                     ox murmur --topic=wip \"…\". The command writes no file of the project.";

/// The author of a note about changed files: those at work, the newest first (whispers and watching, 11.4).
pub(super) fn named(agents: &[String]) -> String {
    match agents {
        [] => "daemon".into(),
        [one] => one.clone(),
        [one, two] => format!("{one},{two}"),
        [one, two, ..] => format!("{one},{two},..."),
    }
}

/// What of a work tree is uncommitted.
pub(super) struct TreeState {
    /// The id of the work tree.
    pub(super) tree: String,
    /// What is uncommitted there now.
    pub(super) files: BTreeSet<String>,
    /// What was told as uncommitted and is so no longer.
    pub(super) clean: Vec<String>,
}

/// The note about changed files (whispers and watching, 11.4), with what is uncommitted where that is known.
pub(super) fn changes_murmur(
    changes: &FileChanges,
    branch: Option<&str>,
    tree: Option<&TreeState>,
    agents: &str,
    now: Timestamp,
) -> Murmur {
    const BACKGROUND_MAX: u64 = 10;
    let importance = if changes.count() <= BACKGROUND_MAX { Importance::Ambient } else { Importance::Normal };
    let mut metadata = BTreeMap::from([("file_count".to_string(), changes.count().to_string())]);
    metadata.extend(branch.map(|name| ("branch".to_string(), name.to_string())));
    let files = changes.listed();
    if !files.is_empty() {
        metadata.insert("files".into(), files);
    }
    if let Some(tree) = tree {
        metadata.insert(uncommitted::TREE.into(), tree.tree.clone());
        // An empty value is left out.
        metadata.insert(uncommitted::FILES.into(), uncommitted::listed(&tree.files));
    }
    Murmur {
        schema_version: "1".into(),
        id: new_id().to_string(),
        timestamp: GoTime(Some(now)),
        agent_id: agents.to_string(),
        principal_type: "human".into(),
        topic: whispers::FILE_CHANGES.into(),
        importance: importance.name().into(),
        content: changes.text(branch, tree.map_or(&[], |tree| &tree.clean)),
        metadata,
        scope: Scope::Ledger.name().into(),
        ..Murmur::default()
    }
}

pub(super) fn entry(w: Whisper, delivered: Option<bool>) -> WhisperEntry {
    WhisperEntry {
        id: w.id,
        scope: w.scope,
        kind: w.kind,
        source: w.source,
        topic: w.topic,
        content: w.content,
        importance: w.importance,
        created_at: w.created_at,
        agent_id: w.agent_id,
        principal_id: w.principal_id,
        principal_type: w.principal_type,
        team_id: w.team_id,
        metadata: w.metadata,
        delivered,
    }
}

/// A whisper of the daemon's own, made now.
pub(super) fn timed(now: Timestamp) -> Whisper {
    Whisper {
        id: new_id().to_string(),
        scope: Scope::Ledger.name().into(),
        kind: "time-based".into(),
        created_at: GoTime(Some(now)),
        ..Whisper::default()
    }
}

pub(super) fn nudge_for(agent: &str, now: Timestamp) -> Whisper {
    Whisper {
        source: Source::Nudge.name().into(),
        topic: "murmur-nudge".into(),
        content: NUDGE.into(),
        importance: Importance::Normal.name().into(),
        agent_id: agent.into(),
        ..timed(now)
    }
}

pub(super) fn team_note(team: &str, paths: &[String], head: &str, now: Timestamp) -> Whisper {
    let (named, listed) = TEAM_PATHS;
    let plain = |path: &String| plain(path, false).into_owned();
    let mut text = paths.iter().take(named).map(plain).collect::<Vec<_>>().join(", ");
    if paths.len() > named {
        text += &format!(" and {} more", paths.len() - named);
    }
    let files = paths.iter().take(listed).map(plain).collect::<Vec<_>>().join(",");
    Whisper {
        kind: "trigger".into(),
        source: Source::TeamContext.name().into(),
        topic: TEAM_TOPIC.into(),
        content: format!("Team context updated: {text}"),
        importance: Importance::Normal.name().into(),
        metadata: [
            ("files".to_string(), files),
            ("file_count".to_string(), paths.len().to_string()),
            ("commit".to_string(), head.to_string()),
            ("team".to_string(), team.to_string()),
        ]
        .into(),
        ..timed(now)
    }
}
