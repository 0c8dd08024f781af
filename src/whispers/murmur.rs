//! The file of a murmur: what it says, what of it is believed, and where it lies in a clone.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use super::limits::{
    AGE_MAX, AHEAD_MAX, CONTENT_MAX, FILE_MAX, ID_MAX, METADATA_KEY_MAX, METADATA_MAX, METADATA_VALUE_MAX,
    NAME_MAX, OTHER_MAX, TAGS_MAX, TOPIC_MAX,
};
use crate::kit::gotime::GoTime;
use crate::kit::text::{cut, plain};
use crate::redact::Redactor;

/// Where murmurs lie in a clone; below it a directory a day and in that one an hour, UTC (2.1).
pub const DIR: &str = "data/murmurs";

/// How much a whisper matters, as its sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// To be heard by everybody now.
    Critical,
    /// Worth knowing.
    Normal,
    /// Background.
    Ambient,
}

impl Importance {
    /// All, the most important first.
    pub const ALL: [Importance; 3] = [Importance::Critical, Importance::Normal, Importance::Ambient];

    /// Its name in files and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Importance::Critical => "critical",
            Importance::Normal => "normal",
            Importance::Ambient => "ambient",
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Importance> {
        Importance::ALL.into_iter().find(|i| i.name() == name)
    }
}

/// A note of an agent to its team. Keys stand in the order of the file (2.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Murmur {
    /// Version of the format: `1`.
    pub schema_version: String,
    /// The stem of its file; ours are UUIDs of version 7.
    pub id: String,
    /// When it was made, by its author's clock.
    pub timestamp: GoTime,
    /// Its author, `Ox` and four characters; several with commas between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
    /// Such as `claude-code`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// Short name of whom the agent works for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal_id: String,
    /// `human` or `ai`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal_type: String,
    /// What it is about.
    pub topic: String,
    /// Name of an [`Importance`].
    pub importance: String,
    /// What it says.
    pub content: String,
    /// More, such as `files`, with commas between.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Free words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `ledger` or `team`, for information.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// What newer programs say besides.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The keys that are known.
const KEYS: [&str; 13] = [
    "schema_version",
    "id",
    "timestamp",
    "agent_id",
    "agent_type",
    "principal_id",
    "principal_type",
    "topic",
    "importance",
    "content",
    "metadata",
    "tags",
    "scope",
];

/// Why a file is no murmur to be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// More bytes than are read.
    TooLarge(usize),
    /// Not a JSON object.
    NotJson(String),
    /// Its id is not the name of its file, or no name at all.
    Id,
    /// It says nothing.
    Empty,
    /// It has no time.
    NoTime,
    /// It is too old.
    Old,
    /// Its time has not come.
    Ahead,
    /// It is to lie where murmurs do not lie.
    Path,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooLarge(size) => write!(f, "{size} bytes are too many"),
            Refused::NotJson(why) => write!(f, "not a JSON object: {why}"),
            Refused::Id => f.write_str("its id is not the name of its file"),
            Refused::Empty => f.write_str("it says nothing"),
            Refused::NoTime => f.write_str("it has no time"),
            Refused::Old => f.write_str("it is older than a day"),
            Refused::Ahead => f.write_str("its time is in the future"),
            Refused::Path => f.write_str("its path is not that of a murmur"),
        }
    }
}

impl Murmur {
    /// Reads the file with the name `stem`. What is out of bounds but harmless is brought into bounds (4).
    ///
    /// # Errors
    /// What cannot be believed at all.
    pub fn read(stem: &str, bytes: &[u8], now: Timestamp) -> Result<Murmur, Refused> {
        if bytes.len() > FILE_MAX {
            return Err(Refused::TooLarge(bytes.len()));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|e| Refused::NotJson(e.to_string()))?;
        let Value::Object(map) = value else { return Err(Refused::NotJson("it is something else".into())) };
        let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
        let id = text("id").to_string();
        if id != stem || !is_id(stem) {
            return Err(Refused::Id);
        }
        let timestamp = GoTime::parse(text("timestamp")).ok().and_then(|t| t.0).ok_or(Refused::NoTime)?;
        match now.duration_since(timestamp) {
            age if age > AGE_MAX => return Err(Refused::Old),
            age if -age > AHEAD_MAX => return Err(Refused::Ahead),
            _ => {}
        }
        let content = cut(plain(text("content"), true).trim(), CONTENT_MAX).to_string();
        if content.is_empty() {
            return Err(Refused::Empty);
        }
        let name = |key: &str| cut(&plain(text(key), false), NAME_MAX).to_string();
        let importance = Importance::of(text("importance")).unwrap_or(Importance::Normal);
        let list = |key: &str| map.get(key).and_then(Value::as_array).into_iter().flatten();
        Ok(Murmur {
            schema_version: name("schema_version"),
            id,
            timestamp: GoTime(Some(timestamp)),
            agent_id: name("agent_id"),
            agent_type: name("agent_type"),
            principal_id: name("principal_id"),
            principal_type: name("principal_type"),
            topic: topic(text("topic")),
            importance: importance.name().to_string(),
            content,
            metadata: metadata(map.get("metadata")),
            tags: list("tags").filter_map(Value::as_str).take(TAGS_MAX).map(topic).collect(),
            scope: name("scope"),
            other: other(&map),
        })
    }

    /// Where its file lies in a clone: a day, an hour, its name. `None` without a time.
    pub fn place(&self) -> Option<[String; 3]> {
        let at = self.timestamp.0?;
        Some([
            at.strftime("%Y-%m-%d").to_string(),
            at.strftime("%H").to_string(),
            format!("{}.json", self.id),
        ])
    }

    /// Its file's path in a clone; empty without a time.
    pub fn path(&self) -> String {
        self.place().map(|[day, hour, name]| format!("{DIR}/{day}/{hour}/{name}")).unwrap_or_default()
    }

    /// The file: compact, without a last newline.
    pub fn to_json(&self) -> Vec<u8> {
        // Text, and maps of text: there is nothing in it that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Takes secrets, what nobody sees and the home directory out of each of its fields, and the files of secrets out of the list of files
    /// (8.8). True if anything changed.
    pub fn redact(&mut self, redactor: &Redactor, home: &str) -> bool {
        let before = self.clone();
        // Once more on the very text that is written: what was taken out may have parted a secret.
        let clean = |text: &str| {
            let text = redactor.redact(text);
            let text = redactor.redact(&plain(&text, true)).into_owned();
            crate::redact::hide_home(&text, home).into_owned()
        };
        let word = |text: &str| topic(&clean(&topic(&clean(text))));
        self.content = clean(&self.content);
        self.topic = word(&self.topic);
        self.tags.iter_mut().for_each(|tag| *tag = word(tag));
        for name in [
            &mut self.schema_version,
            &mut self.agent_id,
            &mut self.agent_type,
            &mut self.principal_id,
            &mut self.principal_type,
            &mut self.scope,
        ] {
            *name = clean(name);
        }
        let cleaned = std::mem::take(&mut self.metadata).into_iter().map(|(key, value)| {
            let value = match key.as_str() {
                "files" | super::uncommitted::FILES => {
                    let paths = value.split(',').map(str::trim);
                    let shown = paths.filter(|path| !crate::redact::is_secret_path(path));
                    clean(&shown.collect::<Vec<_>>().join(","))
                }
                // Our own digits; they look like a key's.
                super::uncommitted::TREE if super::uncommitted::is_tree(&value) => value,
                // Of a work tree its name is enough.
                "worktree" => clean(value.rsplit('/').next().unwrap_or_default()),
                _ => clean(&value),
            };
            (clean(&key), value)
        });
        self.metadata = cleaned.filter(|(_, value)| !value.is_empty()).collect();
        let other = std::mem::take(&mut self.other).into_iter().filter_map(|(key, mut value)| {
            clean_texts(&mut value, &clean);
            // What a name makes a secret of goes as a whole.
            let text = serde_json::json!({ &key: &value }).to_string();
            (redactor.redact(&text) == text).then_some((key, value))
        });
        self.other = other.collect();
        *self != before
    }

    /// The importance that its name says.
    pub fn rank(&self) -> Importance {
        Importance::of(&self.importance).unwrap_or(Importance::Normal)
    }
}

/// Whether a word can be the id of a murmur and the name of its file.
pub fn is_id(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=ID_MAX).contains(&word.len()) && !word.starts_with('.') && word.bytes().all(plain)
}

/// A topic as it is stored: short, and of characters that mean nothing anywhere (4).
pub fn topic(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._/-".contains(c) { c } else { '-' };
    let topic: String = text.trim().chars().take(TOPIC_MAX).map(safe).collect();
    if topic.is_empty() { "general".to_string() } else { topic }
}

fn metadata(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    let texts = entries.filter_map(|(key, value)| Some((key, value.as_str()?)));
    let fits = |(key, _): &(&String, &str)| (1..=METADATA_KEY_MAX).contains(&key.len());
    texts
        .filter(fits)
        .take(METADATA_MAX)
        .map(|(key, value)| {
            (plain(key, false).into_owned(), cut(&plain(value, false), METADATA_VALUE_MAX).to_string())
        })
        .collect()
}

/// What is not known, as far as it fits.
fn other(map: &Map<String, Value>) -> Map<String, Value> {
    let is_key = |key: &str| !KEYS.contains(&key) && (1..=METADATA_KEY_MAX).contains(&key.len());
    let mut room = OTHER_MAX;
    let mut fits = |value: &Value| {
        let size = value.to_string().len();
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        fits
    };
    let found = map.iter().filter(|(key, _)| is_key(key) && plain(key, false) == **key);
    let kept = found.filter(|(_, value)| fits(value)).take(METADATA_MAX);
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Cleans every text in a value, and the names of its parts.
fn clean_texts(value: &mut Value, clean: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(list) => list.iter_mut().for_each(|value| clean_texts(value, clean)),
        Value::Object(map) => {
            let cleaned = std::mem::take(map).into_iter().map(|(key, mut value)| {
                clean_texts(&mut value, clean);
                (clean(&key), value)
            });
            *map = cleaned.collect();
        }
        _ => {}
    }
}

/// The directories of a clone in which murmurs of the last `hours` hours lie, the newest first; one more for clocks that are ahead.
pub fn hour_dirs(now: Timestamp, hours: i64) -> Vec<String> {
    let at = |back| now.checked_sub(SignedDuration::from_hours(back)).unwrap_or(now);
    (-1..=hours).map(|back| at(back).strftime("data/murmurs/%Y-%m-%d/%H").to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEM: &str = "0195f0c2-9a41-7c1e-b7d4-2f60c1a9e001";

    fn now() -> Timestamp {
        "2026-03-30T14:10:00Z".parse().unwrap()
    }

    fn file(change: impl Fn(&mut serde_json::Map<String, Value>)) -> Vec<u8> {
        let text = r#"{"schema_version":"1","id":"0195f0c2-9a41-7c1e-b7d4-2f60c1a9e001","timestamp":"2026-03-30T14:05:09.120331Z","agent_id":"Oxa7b3","principal_id":"mira","principal_type":"human","topic":"wip","importance":"normal","content":"Splitting the auth middleware; src/auth/*.rs","metadata":{"files":"src/auth/mod.rs"},"scope":"ledger"}"#;
        let mut value: Value = serde_json::from_str(text).unwrap();
        change(value.as_object_mut().unwrap());
        serde_json::to_vec(&value).unwrap()
    }

    #[test]
    fn a_file_of_the_go_program_is_read_and_written_byte_for_byte() {
        let bytes = file(|_| ());
        let murmur = Murmur::read(STEM, &bytes, now()).unwrap();
        assert_eq!(String::from_utf8(murmur.to_json()).unwrap(), String::from_utf8(bytes).unwrap());
        assert_eq!(murmur.path(), format!("data/murmurs/2026-03-30/14/{STEM}.json"));
    }

    #[test]
    fn what_cannot_be_believed_is_refused() {
        let check = |change: &dyn Fn(&mut serde_json::Map<String, Value>), expected: Refused| {
            assert_eq!(Murmur::read(STEM, &file(change), now()).unwrap_err(), expected);
        };
        let set = |key: &'static str, value: Value| {
            move |map: &mut serde_json::Map<String, Value>| drop(map.insert(key.into(), value.clone()))
        };
        check(&set("id", "other".into()), Refused::Id);
        check(&set("id", Value::Null), Refused::Id);
        check(&set("content", "  \u{1b}\n".into()), Refused::Empty);
        check(&set("content", 5.into()), Refused::Empty);
        check(&set("timestamp", "yesterday".into()), Refused::NoTime);
        check(&set("timestamp", "0001-01-01T00:00:00Z".into()), Refused::NoTime);
        check(&set("timestamp", "2026-03-29T14:09:59Z".into()), Refused::Old);
        check(&set("timestamp", "2026-03-30T14:15:01Z".into()), Refused::Ahead);
        check(
            &set("content", "x".repeat(FILE_MAX).into()),
            Refused::TooLarge(file(set("content", "x".repeat(FILE_MAX).into())).len()),
        );
        assert!(matches!(Murmur::read(STEM, b"[1]", now()), Err(Refused::NotJson(_))));
        assert!(matches!(Murmur::read(STEM, b"{\"id\":", now()), Err(Refused::NotJson(_))));
    }

    #[test]
    fn what_is_out_of_bounds_is_brought_into_them() {
        let bytes = file(|map| {
            map.insert("importance".into(), "HUGE".into());
            map.insert("topic".into(), "</entry> x".into());
            map.insert("content".into(), format!("a\u{1b}[31m\u{202e}\n{}", "é".repeat(4000)).into());
            let metadata: serde_json::Map<String, Value> =
                (0..18).map(|n| (format!("k{n:02}"), Value::from("v".repeat(3000)))).collect();
            map.insert("metadata".into(), metadata.into());
            map.insert("principal_id".into(), Value::Null);
        });
        let m = Murmur::read(STEM, &bytes, now()).unwrap();
        assert_eq!((m.importance.as_str(), m.topic.as_str()), ("normal", "-/entry--x"));
        assert!(m.content.starts_with("a\né") && m.content.len() <= CONTENT_MAX);
        assert_eq!(m.metadata.len(), METADATA_MAX);
        assert!(m.metadata.values().all(|v| v.len() == METADATA_VALUE_MAX));
        assert_eq!(m.principal_id, "");
    }

    #[test]
    fn what_newer_programs_say_besides_stays_within_bounds_and_without_secrets() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let bytes = file(|map| {
            map.insert(
                "future_field".into(),
                serde_json::json!({ "deep": [1, { "said by": token }], "n": 1.5 }),
            );
            map.insert("password".into(), "correct-horse-7Battery".into());
            map.insert("large".into(), "x".repeat(OTHER_MAX).into());
            map.insert("k".repeat(METADATA_KEY_MAX + 1), 1.into());
            map.insert("more".into(), true.into());
        });
        let mut murmur = Murmur::read(STEM, &bytes, now()).unwrap();
        let keys = |m: &Murmur| m.other.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&murmur), ["future_field", "password", "more"]);
        assert_eq!(Murmur::read(STEM, &murmur.to_json(), now()).unwrap(), murmur);
        assert!(murmur.redact(&Redactor::with_rules(Vec::new()), "/nonexistent"));
        let text = String::from_utf8(murmur.to_json()).unwrap();
        assert!(!text.contains(&token) && !text.contains("Battery"), "{text}");
        assert_eq!(murmur.other["future_field"]["n"], 1.5);
        assert_eq!(murmur.other["more"], true);
    }

    #[test]
    fn only_plain_words_are_ids() {
        let check = |word: &str, expected: bool| assert_eq!(is_id(word), expected, "{word:?}");
        check(STEM, true);
        check("a.b_c-1", true);
        for word in ["", ".", "..", ".hidden", "a/b", "a b", "é", &"x".repeat(65), "a\n"] {
            check(word, false);
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Murmur::read(STEM, &bytes, now());
        }

        #[test]
        fn what_is_read_is_read_again_the_same(content in "\\PC{1,200}", topic in "\\PC{0,80}", key in "\\PC{0,70}") {
            let bytes = file(|map| {
                map.insert("content".into(), content.clone().into());
                map.insert("topic".into(), topic.clone().into());
                let metadata: serde_json::Map<String, Value> = [(key.clone(), content.clone().into())].into_iter().collect();
                map.insert("metadata".into(), metadata.into());
            });
            if let Ok(one) = Murmur::read(STEM, &bytes, now()) {
                proptest::prop_assert_eq!(Murmur::read(STEM, &one.to_json(), now()).unwrap(), one);
            }
        }
    }

    #[test]
    fn the_hours_that_are_looked_at_reach_back_a_day_and_one_ahead() {
        let dirs = hour_dirs("2026-03-01T00:30:00Z".parse().unwrap(), 24);
        assert_eq!(dirs.len(), 26);
        assert_eq!(dirs[0], "data/murmurs/2026-03-01/01");
        assert_eq!(dirs[1], "data/murmurs/2026-03-01/00");
        assert_eq!(dirs[25], "data/murmurs/2026-02-28/00");
    }
}
