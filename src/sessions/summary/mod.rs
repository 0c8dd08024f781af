//! What a session was about, as an agent writes it: read from the answer, checked, and what becomes of the session by it. Pure.

mod answer;
mod check;
mod prompt;

pub use answer::{NoAnswer, parse, read};
pub use check::{Disposition, Refused, Thresholds, check, disposition};
pub use prompt::{Prompt, Room, TRANSCRIPT_MAX, Transcript};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is kept of a list that an agent writes.
pub const LIST_MAX: usize = 100;
/// And of a text, in bytes.
pub const TEXT_MAX: usize = 8 << 10;

/// What came of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What was asked for.
    Success,
    /// A part of it.
    Partial,
    /// Nothing of it.
    Failed,
}

impl Outcome {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Partial => "partial",
            Outcome::Failed => "failed",
        }
    }
}

/// What the agent would have done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Decisions, causes, patterns, traps: others should know.
    Share,
    /// Routine work.
    LocalOnly,
    /// Nothing happened.
    Skip,
}

/// A moment that mattered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// The entry of the transcript.
    pub seq: u64,
    /// Whose it was.
    pub role: String,
    /// `question`, `insight`, `decision`, `breakthrough` or `synthesis`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What was said.
    pub highlight: String,
    /// Why it mattered.
    pub why: String,
}

/// `summary.json` (agentwork and sessions, 6.2). Keys that are not known stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Five to ten words.
    pub title: String,
    /// A paragraph.
    pub summary: String,
    /// What was done.
    pub key_actions: Vec<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What it was about, in words.
    pub topics_found: Vec<String>,
    /// Moments that mattered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aha_moments: Vec<Moment>,
    /// Titles of its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chapter_titles: Vec<String>,
    /// Drawings, as Mermaid has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagrams: Vec<String>,
    /// What was planned in the end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub final_plan: String,
    /// From 0 to 1; none where nobody judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_score: Option<f64>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub score_reason: String,
    /// What is to become of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_category: Option<Category>,
    /// All else: decisions, insights, and what later versions write.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
