//! Whether a summary is one of the session, and what becomes of the session by it.

use super::{Category, Summary};

/// Lengths of a title, in characters (agentwork and sessions, 6.4).
const TITLE: std::ops::RangeInclusive<usize> = 3..=200;
/// A summary is longer, in characters.
const SUMMARY_MIN: usize = 20;
/// Of a session with more entries more is asked.
const RICH_FROM: usize = 20;
/// Its summary, in characters.
const RICH_SUMMARY_MIN: usize = 80;
/// What was done in it.
const RICH_ACTIONS_MIN: usize = 3;
/// And of one with more than these a moment that mattered.
const MOMENTS_FROM: usize = 50;

/// Beginnings of sentences in which an agent tells of its own run, in lower case.
const OF_ITSELF: &[&str] = &[
    "let me ",
    "i'll ",
    "i will ",
    "i need permission",
    "i need approval",
    "i cannot ",
    "i can't ",
    "i was unable",
    "i am unable",
    "i'm unable",
    "i apologize",
    "sorry",
    "please approve",
    "please grant",
    "permission to ",
];
/// Marks of a call of a tool, wherever they stand.
const MARKUP: &[&str] = &["<invoke", "<function_calls", "</invoke", "\"tool_use\""];

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The title is too short or too long.
    #[error("the title has {0} characters")]
    Title(usize),
    /// The summary is too short.
    #[error("the summary has {0} characters")]
    Summary(usize),
    /// It does not say what came of the work.
    #[error("it has no outcome")]
    Outcome,
    /// It tells of the agent that writes it.
    #[error("it tells of its own writing")]
    OfItself,
    /// It names too little that was done in a long session.
    #[error("it names {0} actions of a long session")]
    Actions(usize),
    /// It names no moment of a long session that mattered.
    #[error("it names no moment of a long session")]
    Moments,
}

/// Whether it is the summary of a session with so many entries.
///
/// # Errors
/// Why not.
pub fn check(summary: &Summary, entries: usize) -> Result<(), Refused> {
    if summary.quality_category == Some(Category::Skip) {
        return Ok(());
    }
    let (title, text) = (summary.title.chars().count(), summary.summary.chars().count());
    if !TITLE.contains(&title) {
        return Err(Refused::Title(title));
    }
    if text < if entries > RICH_FROM { RICH_SUMMARY_MIN } else { SUMMARY_MIN } {
        return Err(Refused::Summary(text));
    }
    if summary.outcome.is_none() {
        return Err(Refused::Outcome);
    }
    if is_of_itself(&summary.title) || is_of_itself(&summary.summary) {
        return Err(Refused::OfItself);
    }
    if entries > RICH_FROM && summary.key_actions.len() < RICH_ACTIONS_MIN {
        return Err(Refused::Actions(summary.key_actions.len()));
    }
    if entries > MOMENTS_FROM && summary.aha_moments.is_empty() {
        return Err(Refused::Moments);
    }
    Ok(())
}

/// Whether its first sentence begins as one of an agent about its own run: a session may be about permissions.
fn is_of_itself(text: &str) -> bool {
    let lower = text.trim_start().to_lowercase();
    OF_ITSELF.iter().any(|words| lower.starts_with(words)) || MARKUP.iter().any(|mark| lower.contains(mark))
}

/// From which score on a session is told to others, and from which it is kept at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Told from here on.
    pub upload: f64,
    /// Kept from here on.
    pub discard: f64,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds { upload: 0.3, discard: 0.1 }
    }
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is told to others.
    Upload,
    /// It stays here.
    LocalOnly,
    /// It goes.
    Discard,
}

impl Disposition {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Disposition::Upload => "upload",
            Disposition::LocalOnly => "local_only",
            Disposition::Discard => "discard",
        }
    }
}

/// What becomes of the session: as the agent says, else by its score; what nobody judged is told.
pub fn disposition(summary: &Summary, at: Thresholds) -> Disposition {
    match (summary.quality_category, summary.quality_score) {
        (Some(Category::Share), _) | (None, None) => Disposition::Upload,
        (Some(Category::LocalOnly), _) => Disposition::LocalOnly,
        (Some(Category::Skip), _) => Disposition::Discard,
        (None, Some(score)) if score < at.discard => Disposition::Discard,
        (None, Some(score)) if score < at.upload => Disposition::LocalOnly,
        (None, Some(_)) => Disposition::Upload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::summary::{Moment, Outcome};

    fn good() -> Summary {
        Summary {
            title: "Ask for permission before a push".into(),
            summary: "The permission check was moved in front of the push. It now says which rule refuses, and why.".into(),
            key_actions: ["a", "b", "c"].map(str::to_owned).to_vec(),
            outcome: Some(Outcome::Success),
            aha_moments: vec![Moment::default()],
            ..Summary::default()
        }
    }

    #[test]
    fn agt_12_what_is_no_summary_of_the_session_is_refused() {
        let check = |change: fn(&mut Summary), entries: usize, expected: Option<Refused>| {
            let mut summary = good();
            change(&mut summary);
            assert_eq!(super::check(&summary, entries).err(), expected, "{summary:?}");
        };
        check(|_| (), 1000, None);
        check(|s| s.title = "Ab".into(), 5, Some(Refused::Title(2)));
        check(|s| s.title = "x".repeat(201), 5, Some(Refused::Title(201)));
        check(|s| s.summary = "It was mended.".into(), 5, Some(Refused::Summary(14)));
        check(|s| s.summary = "It was mended by a test.".into(), 5, None);
        check(|s| s.summary = "It was mended by a test.".into(), 21, Some(Refused::Summary(24)));
        check(|s| s.outcome = None, 5, Some(Refused::Outcome));
        check(|s| s.key_actions.truncate(2), 20, None);
        check(|s| s.key_actions.truncate(2), 21, Some(Refused::Actions(2)));
        check(|s| s.aha_moments.clear(), 50, None);
        check(|s| s.aha_moments.clear(), 51, Some(Refused::Moments));
        check(|s| s.title = "Let me look at the session".into(), 5, Some(Refused::OfItself));
        check(
            |s| s.summary = " I'll write the summary file now, one moment.".into(),
            5,
            Some(Refused::OfItself),
        );
        check(
            |s| s.summary = "Done: <invoke name=\"Bash\"> and so on and so on".into(),
            5,
            Some(Refused::OfItself),
        );
        check(|s| (s.title, s.quality_category) = (String::new(), Some(Category::Skip)), 90, None);
    }

    #[test]
    fn the_agents_word_counts_before_its_score_and_what_nobody_judged_is_told() {
        let check = |category: Option<Category>, score: Option<f64>, expected: &str| {
            let summary = Summary { quality_category: category, quality_score: score, ..good() };
            assert_eq!(disposition(&summary, Thresholds::default()).name(), expected);
        };
        check(None, None, "upload");
        check(None, Some(0.0), "discard");
        check(None, Some(0.1), "local_only");
        check(None, Some(0.3), "upload");
        check(Some(Category::Share), Some(0.0), "upload");
        check(Some(Category::LocalOnly), Some(1.0), "local_only");
        check(Some(Category::Skip), None, "discard");
    }
}
