//! A whisper: what it is, where it comes from, and whom it is for.

use std::collections::BTreeMap;

use super::murmur::{Importance, Murmur};
use crate::kit::gotime::GoTime;

/// Where it comes from (5.1). More may be met in a database; they are for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A murmur of an agent.
    Murmur,
    /// A word to one agent that it may murmur.
    Nudge,
    /// Who is at work.
    Activity,
    /// A team's context has changed.
    TeamContext,
    /// A word to one agent that it is being recorded; of later programs.
    Reminder,
}

impl Source {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Source::Murmur => "murmur",
            Source::Nudge => "auto-murmur",
            Source::Activity => "activity-summary",
            Source::TeamContext => "team-context",
            Source::Reminder => "recording-reminder",
        }
    }

    /// Whether its whispers are for one agent, whose id they carry.
    fn is_personal(name: &str) -> bool {
        [Source::Nudge, Source::Reminder].iter().any(|source| source.name() == name)
    }
}

/// How much of what is said an agent wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attention {
    /// Only what is critical.
    Focused,
    /// Not what is background.
    #[default]
    Normal,
    /// Everything.
    All,
}

impl Attention {
    /// The one of that name; any other word is as none.
    pub fn of(name: &str) -> Attention {
        match name {
            "focused" => Attention::Focused,
            "all" => Attention::All,
            _ => Attention::Normal,
        }
    }

    /// Whether it wants to hear that (6.1).
    pub fn hears(self, importance: Importance) -> bool {
        match self {
            Attention::Focused => importance == Importance::Critical,
            Attention::Normal => importance != Importance::Ambient,
            Attention::All => true,
        }
    }
}

/// Which clone whispers come through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The ledger of a project.
    Ledger,
    /// The context of the team with this id.
    Team(String),
}

impl Scope {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Scope::Ledger => "ledger",
            Scope::Team(_) => "team",
        }
    }

    /// The team; empty for a ledger.
    pub fn team(&self) -> &str {
        match self {
            Scope::Ledger => "",
            Scope::Team(id) => id,
        }
    }
}

/// One whisper. All texts may be others' and are data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Whisper {
    /// Unique; that of its murmur.
    pub id: String,
    /// `ledger` or `team`.
    pub scope: String,
    /// `structural`, `time-based` or `trigger`.
    pub kind: String,
    /// Name of a [`Source`].
    pub source: String,
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub content: String,
    /// Name of an [`Importance`].
    pub importance: String,
    /// When it was made, by its author's clock.
    pub created_at: GoTime,
    /// Author of a murmur, several with commas between; addressee of what is for one agent.
    pub agent_id: String,
    /// Whom the author works for.
    pub principal_id: String,
    /// `human` or `ai`.
    pub principal_type: String,
    /// Team it comes through.
    pub team_id: String,
    /// More.
    pub metadata: BTreeMap<String, String>,
}

impl Whisper {
    /// The whisper that a murmur in a clone becomes.
    pub fn of(murmur: &Murmur, scope: &Scope) -> Whisper {
        Whisper {
            id: murmur.id.clone(),
            scope: scope.name().to_string(),
            kind: "trigger".to_string(),
            source: Source::Murmur.name().to_string(),
            topic: murmur.topic.clone(),
            content: murmur.content.clone(),
            importance: murmur.importance.clone(),
            created_at: murmur.timestamp,
            agent_id: murmur.agent_id.clone(),
            principal_id: murmur.principal_id.clone(),
            principal_type: murmur.principal_type.clone(),
            team_id: scope.team().to_string(),
            metadata: murmur.metadata.clone(),
        }
    }

    /// Its importance; a name that is none is background (6.1).
    pub fn rank(&self) -> Importance {
        Importance::of(&self.importance).unwrap_or(Importance::Ambient)
    }

    /// Whether it may be given to this agent at all (6.3).
    pub fn is_for(&self, agent: &str) -> bool {
        !Source::is_personal(&self.source) || self.agent_id == agent
    }

    /// Whether this agent wrote it itself (6.3).
    pub fn is_echo_for(&self, agent: &str) -> bool {
        self.source == Source::Murmur.name() && self.authors().any(|author| author == agent)
    }

    /// How many bytes it has in an answer, at most.
    pub(super) fn wire_size(&self) -> usize {
        /// Keys, quotes and the time.
        const FRAME: usize = 400;
        let texts = [
            &self.id,
            &self.scope,
            &self.kind,
            &self.source,
            &self.topic,
            &self.content,
            &self.importance,
            &self.agent_id,
            &self.principal_id,
            &self.principal_type,
            &self.team_id,
        ];
        let more = self.metadata.iter().flat_map(|(key, value)| [key, value]);
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' => 2,
            0..=0x1f => 6,
            _ => 1,
        };
        let text = |text: &String| text.bytes().map(escaped).sum::<usize>() + 6;
        FRAME + texts.into_iter().chain(more).map(text).sum::<usize>()
    }

    /// The agents that wrote it.
    pub fn authors(&self) -> impl Iterator<Item = &str> {
        self.agent_id.split(',').map(str::trim).filter(|id| !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_hears_what_the_matrix_says() {
        let check = |name: &str, heard: [bool; 3]| {
            assert_eq!(Importance::ALL.map(|i| Attention::of(name).hears(i)), heard, "{name}");
        };
        check("focused", [true, false, false]);
        check("normal", [true, true, false]);
        check("", [true, true, false]);
        check("nonsense", [true, true, false]);
        check("all", [true, true, true]);
    }

    #[test]
    fn wat_06_whispers_go_to_whom_they_are_for() {
        let check = |source: Source, of: &str, agent: &str, is_for: bool, echo: bool| {
            let w = Whisper { source: source.name().into(), agent_id: of.into(), ..Whisper::default() };
            assert_eq!((w.is_for(agent), w.is_echo_for(agent)), (is_for, echo), "{source:?} {of} {agent}");
        };
        check(Source::Murmur, "OxAAAA", "OxBBBB", true, false);
        check(Source::Murmur, "OxAAAA, OxBBBB,...", "OxBBBB", true, true);
        check(Source::Murmur, "OxAAAAB", "OxAAAA", true, false);
        check(Source::Nudge, "OxAAAA", "OxAAAA", true, false);
        check(Source::Nudge, "OxAAAA", "OxBBBB", false, false);
        check(Source::Reminder, "OxAAAA", "OxAAA", false, false);
        check(Source::Activity, "", "OxAAAA", true, false);
    }
}
