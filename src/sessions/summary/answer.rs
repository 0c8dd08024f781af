//! The answer of an agent, found in what it said.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{LIST_MAX, Summary, TEXT_MAX};
use crate::kit::text::{cut, plain};

/// An answer is looked for in so much of what was said, in bytes.
const SAID_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing in it is a JSON object.
    #[error("the answer is no JSON object")]
    NotJson,
    /// It has no title.
    #[error("the answer has no title")]
    NoTitle,
    /// It names nothing that was done.
    #[error("the answer names no action")]
    NoActions,
}

/// Finds the answer: all that was said, what stands in a fence, or the outermost braces. A field of another type than it should have is left
/// out, the rest stays.
///
/// # Errors
/// There is none, or what it must have is not there.
pub fn parse(said: &str) -> Result<Summary, NoAnswer> {
    let said = cut(said.trim(), SAID_MAX);
    let tries = [Some(said), fenced(said, "```json"), fenced(said, "```"), braced(said)];
    let mut why = NoAnswer::NotJson;
    for text in tries.into_iter().flatten() {
        let Ok(Value::Object(object)) = serde_json::from_str(text.trim()) else { continue };
        match summary(object) {
            Ok(summary) => return Ok(summary),
            Err(e) => why = e,
        }
    }
    Err(why)
}

/// What stands in the first fence that begins so.
fn fenced<'a>(said: &'a str, open: &str) -> Option<&'a str> {
    let inside = &said[said.find(open)? + open.len()..];
    let inside = &inside[inside.find('\n')?..];
    inside.split_once("\n```").map(|(inside, _)| inside)
}

/// The first object whose braces are balanced, texts in it passed over.
fn braced(said: &str) -> Option<&str> {
    let start = said.find('{')?;
    let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
    for (at, byte) in said[start..].bytes().enumerate() {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{') => depth += 1,
            (false, b'}') => {
                depth -= 1;
                if depth == 0 {
                    return Some(&said[start..=start + at]);
                }
            }
            _ => {}
        }
    }
    None
}

/// Reads what is there of a summary; a field of another type than it should have is left out.
pub fn read(mut object: Map<String, Value>) -> Summary {
    fn take<T: DeserializeOwned>(object: &mut Map<String, Value>, key: &str) -> Option<T> {
        object.remove(key).and_then(|value| serde_json::from_value(value).ok())
    }
    let text = |object: &mut Map<String, Value>, key: &str| -> String {
        take::<String>(object, key).map(|text| clean(&text)).unwrap_or_default()
    };
    let list = |object: &mut Map<String, Value>, key: &str| -> Vec<String> {
        let all = take::<Vec<Value>>(object, key).unwrap_or_default();
        let texts = all.iter().filter_map(Value::as_str).map(clean).filter(|text| !text.is_empty());
        texts.take(LIST_MAX).collect()
    };
    let object = &mut object;
    let moments = take::<Vec<Value>>(object, "aha_moments").unwrap_or_default();
    let moments = moments.into_iter().filter_map(|moment| serde_json::from_value(moment).ok());
    Summary {
        title: text(object, "title"),
        summary: text(object, "summary"),
        key_actions: list(object, "key_actions"),
        outcome: take(object, "outcome"),
        topics_found: list(object, "topics_found"),
        aha_moments: moments.take(LIST_MAX).collect(),
        chapter_titles: list(object, "chapter_titles"),
        diagrams: list(object, "diagrams"),
        final_plan: text(object, "final_plan"),
        quality_score: take::<f64>(object, "quality_score").filter(|score| (0.0..=1.0).contains(score)),
        score_reason: text(object, "score_reason"),
        quality_category: take(object, "quality_category"),
        other: std::mem::take(object),
    }
}

fn summary(object: Map<String, Value>) -> Result<Summary, NoAnswer> {
    let summary = read(object);
    // What is to be skipped needs neither.
    if summary.quality_category == Some(super::Category::Skip) {
        return Ok(summary);
    }
    if summary.title.is_empty() {
        return Err(NoAnswer::NoTitle);
    }
    if summary.key_actions.is_empty() {
        return Err(NoAnswer::NoActions);
    }
    Ok(summary)
}

fn clean(text: impl AsRef<str>) -> String {
    cut(plain(text.as_ref(), true).trim(), TEXT_MAX).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sessions::summary::{Category, Outcome};

    const GOOD: &str = r#"{"title":"Mend the parser","summary":"It failed at {.","key_actions":["read","", 3, "mended"],"outcome":"success","quality_score":0.7}"#;

    #[test]
    fn the_answer_is_found_where_agents_put_it() {
        let check = |said: &str| {
            let found = parse(said).unwrap_or_else(|e| panic!("{e}: {said}"));
            assert_eq!((found.title.as_str(), found.outcome), ("Mend the parser", Some(Outcome::Success)));
            assert_eq!(found.key_actions, ["read", "mended"]);
        };
        check(GOOD);
        check(&format!("\n {GOOD} \n"));
        check(&format!("Here it is:\n```json\n{GOOD}\n```\nDone."));
        check(&format!("```\n{GOOD}\n```"));
        check(&format!("I looked at it. {GOOD} That is all. {{}}"));
    }

    #[test]
    fn agt_12_without_a_title_or_an_action_there_is_no_answer() {
        let check = |said: &str, expected: NoAnswer| assert_eq!(parse(said).unwrap_err(), expected, "{said}");
        check("", NoAnswer::NotJson);
        check("I cannot do that.", NoAnswer::NotJson);
        check("[1]", NoAnswer::NotJson);
        check("{\"title\":", NoAnswer::NotJson);
        check(r#"{"title":"  \u001b[0m ","key_actions":["a"]}"#, NoAnswer::NoTitle);
        check(r#"{"title":5,"key_actions":["a"]}"#, NoAnswer::NoTitle);
        check(r#"{"title":"T","key_actions":null}"#, NoAnswer::NoActions);
        check(r#"{"title":"T","key_actions":[" "]}"#, NoAnswer::NoActions);
        let skipped = parse(r#"{"quality_category":"skip","score_reason":"nothing"}"#).unwrap();
        assert_eq!(skipped.quality_category, Some(Category::Skip));
    }

    #[test]
    fn a_field_of_another_type_is_left_out_and_what_is_not_known_stays() {
        let said = r#"{"title":"T","key_actions":["a"],"outcome":"great","quality_score":7,"aha_moments":[{"seq":3,"why":"w"},5],
            "agent_summary":{"decisions":[]},"later":1,"topics_found":"x"}"#;
        let found = parse(said).unwrap();
        assert_eq!((found.outcome, found.quality_score, found.topics_found.len()), (None, None, 0));
        assert_eq!((found.aha_moments.len(), found.aha_moments[0].seq), (1, 3));
        let written = serde_json::to_value(&found).unwrap();
        assert_eq!(
            (&written["later"], &written["agent_summary"]["decisions"]),
            (&1.into(), &serde_json::json!([]))
        );
        assert_eq!(parse(&written.to_string()).unwrap(), found);
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_breaks_it(said in ".{0,300}", cut in 0_usize..200) {
            let _ = parse(&said);
            let end = GOOD.floor_char_boundary(cut.min(GOOD.len() - 1));
            prop_assert!(parse(&GOOD[..end]).is_err());
            let around = format!("{} {GOOD}", said.replace('{', "("));
            prop_assert!(parse(&around).is_ok() || said.contains('`'), "{}", around);
        }
    }
}
