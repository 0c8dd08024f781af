//! Reads one JSON object as it comes, in memory that does not grow with it: short members are kept, digests made of long ones, and the rest
//! passed over. What stands in a member that is passed over is not checked. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memchr2;
use sha2::{Digest, Sha256};

use crate::kit::hex::hex;

/// Members that are kept as text; a longer one is not.
const KEPT: &[&str] = &[
    "session_id",
    "turn_id",
    "tool_use_id",
    "agent_id",
    "agent_type",
    "model",
    "permission_mode",
    "tool_name",
    "cwd",
    "source",
    "reason",
    "trigger",
    "notification_type",
    "hook_event_name",
    "timestamp",
    "transcript_path",
    "stop_hook_active",
    // Of these, whether they are there.
    "sessionId",
    "cursor_version",
    "effort",
    "prompt_id",
];
/// Members that are kept in memory until a digest is made of them.
const DIGESTED: &[&str] = &["prompt", "last_assistant_message", "prompt_response", "tool_input"];
/// Members that say the same of every event of a session, or when it was: they are no part of the event's digest.
const NOT_ITS_OWN: &[&str] =
    &["session_id", "transcript_path", "cwd", "permission_mode", "model", "timestamp", "hook_event_name"];

/// Longest kept member, in bytes as it is written.
const KEPT_MAX: usize = 16 << 10;
/// Of a longer member no digest is made, in bytes as it is written.
const DIGESTED_MAX: usize = crate::hooks::identity::INPUT_MAX;
/// Longer names of members are none that we know.
const NAME_MAX: usize = 64;

/// Members of a tool's input that name a file; they are kept.
const OF_INPUT: &[&str] = &["file_path", "notebook_path"];
/// And the one that holds a patch.
const PATCH: &[&str] = &["command"];

/// What has been read.
#[derive(Debug)]
pub struct Scan {
    state: State,
    /// Members that are kept as text.
    kept: &'static [&'static str],
    /// Members of which a digest may be made, or a beginning be asked for.
    digested: &'static [&'static str],
    /// A digest of the whole is made.
    digests: bool,
    name: Vec<u8>,
    /// The member that is being read, as it is written.
    value: Vec<u8>,
    /// How much of a member is kept.
    room: usize,
    /// How long the member is that is being read.
    length: u64,
    whole: Sha256,
    members: BTreeMap<String, Member>,
    own: bool,
}

/// A member of the object.
#[derive(Clone, Debug, Default)]
struct Member {
    /// As it is written, as far as it is kept.
    text: Vec<u8>,
    /// That is all of it.
    whole: bool,
    /// Its length, as it is written.
    length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but blanks yet.
    Start,
    /// Behind `{` or a comma.
    BeforeName,
    Name {
        escaped: bool,
    },
    AfterName,
    BeforeValue,
    Text {
        escaped: bool,
    },
    /// A number or a word.
    Word,
    /// An object or an array.
    Nested {
        depth: u32,
        text: bool,
        escaped: bool,
    },
    AfterValue,
    End,
    /// No JSON object.
    Bad,
}

impl Default for Scan {
    fn default() -> Scan {
        Scan {
            state: State::Start,
            kept: KEPT,
            digested: DIGESTED,
            digests: true,
            name: Vec::new(),
            value: Vec::new(),
            room: 0,
            length: 0,
            whole: Sha256::new(),
            members: BTreeMap::new(),
            own: false,
        }
    }
}

impl Scan {
    /// Reads a payload; `digests` says whether [`Scan::digest`] will be asked for, which costs a look at every byte.
    pub fn of_payload(digests: bool) -> Scan {
        Scan { digests, ..Scan::default() }
    }

    /// Reads what a tool is given.
    pub fn of_input() -> Scan {
        Scan { kept: OF_INPUT, digested: PATCH, digests: false, ..Scan::default() }
    }

    /// Reads on.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            let used = match self.state {
                State::Text { escaped: false } => self.text(bytes),
                State::Nested { depth, text, escaped: false } => self.nested(bytes, depth, text),
                State::Text { escaped: true } => {
                    self.take(&bytes[..1]);
                    self.state = State::Text { escaped: false };
                    1
                }
                State::Nested { depth, text, escaped: true } => {
                    self.take(&bytes[..1]);
                    self.state = State::Nested { depth, text, escaped: false };
                    1
                }
                State::Word if !is_blank(byte) && !matches!(byte, b',' | b'}') => {
                    self.take(&bytes[..1]);
                    1
                }
                State::Bad => return,
                _ => {
                    self.between(byte);
                    1
                }
            };
            bytes = if used == 1 { rest } else { &bytes[used..] };
        }
    }

    /// Whether all that was read is one JSON object, as far as it was looked at.
    pub fn is_whole(&self) -> bool {
        self.state == State::End
    }

    /// The text of a kept member; a number or a word as it is written. None where it is not there, null, or longer than `max` bytes.
    pub fn get(&self, name: &str, max: usize) -> Option<Cow<'_, str>> {
        let text = self.raw(name)?;
        let text: Cow<'_, str> = match text.first()? {
            b'"' => serde_json::from_slice(text).ok()?,
            b'{' | b'[' => return None,
            _ => std::str::from_utf8(text).ok().filter(|word| *word != "null")?.into(),
        };
        (!text.is_empty() && text.len() <= max).then_some(text)
    }

    /// Whether it has such a member.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// How long a member is, as it is written.
    pub fn length(&self, name: &str) -> u64 {
        self.members.get(name).map_or(0, |member| member.length)
    }

    /// A kept or digested member, as it is written; none where it is too long.
    pub fn raw(&self, name: &str) -> Option<&[u8]> {
        self.members.get(name).filter(|member| member.whole).map(|member| &*member.text)
    }

    /// The beginning of such a member, also of one that is too long, or being read.
    pub fn beginning(&self, name: &str) -> &[u8] {
        match self.members.get(name) {
            Some(member) => &member.text,
            None if self.name == name.as_bytes() => &self.value,
            None => &[],
        }
    }

    /// SHA-256 of the members that are this event's own, in hex; empty where it is not made.
    pub fn digest(&self) -> String {
        if self.digests { hex(&self.whole.clone().finalize()) } else { String::new() }
    }

    /// Passes over a text up to its end or a backslash. Returns how far.
    fn text(&mut self, bytes: &[u8]) -> usize {
        let Some(at) = memchr2(b'"', b'\\', bytes) else {
            self.take(bytes);
            return bytes.len();
        };
        self.take(&bytes[..=at]);
        if bytes[at] == b'\\' {
            self.state = State::Text { escaped: true };
        } else {
            self.end();
        }
        at + 1
    }

    /// Passes over what is in an object or an array. Returns how far.
    fn nested(&mut self, bytes: &[u8], depth: u32, text: bool) -> usize {
        let found = match text {
            true => memchr2(b'"', b'\\', bytes),
            false => bytes.iter().position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']')),
        };
        let Some(at) = found else {
            self.take(bytes);
            return bytes.len();
        };
        self.take(&bytes[..=at]);
        match bytes[at] {
            b'\\' => self.state = State::Nested { depth, text, escaped: true },
            b'"' => self.state = State::Nested { depth, text: !text, escaped: false },
            b'{' | b'[' => {
                self.state = State::Nested { depth: depth.saturating_add(1), text, escaped: false }
            }
            _ if depth == 1 => self.end(),
            _ => self.state = State::Nested { depth: depth - 1, text, escaped: false },
        }
        at + 1
    }

    /// A byte that is in no value.
    fn between(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Word, _) => {
                self.end();
                return self.between(byte);
            }
            (State::Name { escaped }, _) => return self.name(byte, escaped),
            (state, _) if is_blank(byte) => state,
            (State::Start, b'{') => State::BeforeName,
            // An object without members, or one that ends where a member should come: both end.
            (State::BeforeName | State::AfterValue, b'}') => State::End,
            (State::BeforeName, b'"') => {
                self.name.clear();
                State::Name { escaped: false }
            }
            (State::AfterName, b':') => State::BeforeValue,
            (State::BeforeValue, _) => return self.begin(byte),
            (State::AfterValue, b',') => State::BeforeName,
            _ => State::Bad,
        };
    }

    fn name(&mut self, byte: u8, escaped: bool) {
        self.state = match byte {
            b'"' if !escaped => State::AfterName,
            _ => {
                // None that we know is written with an escape.
                if self.name.len() <= NAME_MAX {
                    self.name.push(byte);
                }
                State::Name { escaped: byte == b'\\' && !escaped }
            }
        };
    }

    fn begin(&mut self, byte: u8) {
        self.state = match byte {
            b'"' => State::Text { escaped: false },
            b'{' | b'[' => State::Nested { depth: 1, text: false, escaped: false },
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => State::Word,
            _ => State::Bad,
        };
        let is_of = |names: &[&str]| names.iter().any(|name| name.as_bytes() == self.name);
        self.room = if is_of(self.kept) {
            KEPT_MAX
        } else if is_of(self.digested) {
            DIGESTED_MAX
        } else {
            0
        };
        self.own = self.digests && !is_of(NOT_ITS_OWN);
        self.value.clear();
        self.length = 0;
        if self.own {
            self.whole.update(&self.name);
            self.whole.update(b":");
        }
        self.take(&[byte]);
    }

    fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.own {
            self.whole.update(bytes);
        }
        if self.value.len() < self.room {
            let end = bytes.len().min(self.room - self.value.len());
            self.value.extend_from_slice(&bytes[..end]);
        }
    }

    fn end(&mut self) {
        self.state = State::AfterValue;
        if self.own {
            self.whole.update(b",");
        }
        let Ok(name) = std::str::from_utf8(&self.name) else { return };
        let whole = self.room > 0 && self.length == self.value.len() as u64;
        let text = std::mem::take(&mut self.value);
        if self.room > 0 || name == "tool_response" || name == "error" || name == "tool_result" {
            self.members.insert(name.to_owned(), Member { text, whole, length: self.length });
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn scanned(bytes: &[u8], piece: usize) -> Scan {
        let mut scan = Scan::default();
        bytes.chunks(piece.max(1)).for_each(|piece| scan.read(piece));
        scan
    }

    #[test]
    fn short_members_are_kept_long_ones_measured_and_what_comes_last_is_read() {
        let long = "x\\n\\\"{[".repeat(400_000);
        let text = format!(
            r#" {{"session_id":"s\u00e9\ud83d\ude00","stop_hook_active":true,"agent_id":null,"model":5,"turn_id":{{"a":1}},"tool_response":"{long}","tool_input":{{"a":[1,{{"b":"}}"}}]}},"tool_use_id":"t"}} "#
        );
        for piece in [1, 7, 65_536, usize::MAX] {
            let scan = scanned(text.as_bytes(), piece);
            assert!(scan.is_whole());
            let get = |name: &str| scan.get(name, NAME_MAX).map(Cow::into_owned);
            assert_eq!(get("session_id").as_deref(), Some("sé😀"));
            assert_eq!(get("tool_use_id").as_deref(), Some("t"));
            assert_eq!(
                (get("stop_hook_active").as_deref(), get("model").as_deref()),
                (Some("true"), Some("5"))
            );
            assert_eq!((get("agent_id"), get("turn_id"), get("cwd")), (None, None, None));
            assert_eq!(scan.length("tool_response"), long.len() as u64 + 2);
            assert_eq!(scan.raw("tool_input"), Some(&br#"{"a":[1,{"b":"}"}]}"#[..]));
            assert!(scan.has("agent_id") && !scan.has("cwd"));
        }
    }

    #[test]
    fn what_is_no_object_is_told() {
        for bad in [
            "",
            " ",
            "[1]",
            "\"x\"",
            "{",
            "{\"a\"}",
            "{\"a\":1",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1}}",
            "{\"a\":1}x",
            "{\"a\":\"",
            "\u{0}",
        ] {
            assert!(!scanned(bad.as_bytes(), 3).is_whole(), "{bad:?}");
        }
        for good in ["{}", " { } ", "{\"a\":1}\n", "{\"a\" : [ ] , \"b\":-1.5e3}"] {
            assert!(scanned(good.as_bytes(), 3).is_whole(), "{good:?}");
        }
    }

    #[test]
    fn the_digest_is_of_what_is_this_events_own() {
        let of = |text: &str| scanned(text.as_bytes(), 5).digest();
        let one = of(r#"{"session_id":"a","cwd":"/p","message":"x","timestamp":1}"#);
        assert_eq!(one, of(r#"{"session_id":"b","message":"x","timestamp":2,"model":"m"}"#));
        assert_ne!(one, of(r#"{"session_id":"a","message":"y"}"#));
        assert_ne!(of(r#"{"a":"b","c":"d"}"#), of(r#"{"a":"b\",c:\"d"}"#));
    }

    #[test]
    fn a_member_that_is_too_long_is_not_kept_and_costs_no_memory() {
        let long = "y".repeat(KEPT_MAX);
        let scan = scanned(format!(r#"{{"cwd":"{long}","session_id":"s"}}"#).as_bytes(), 4096);
        assert_eq!((scan.get("cwd", usize::MAX), scan.get("session_id", 9).as_deref()), (None, Some("s")));
        let prompt = "z".repeat(DIGESTED_MAX);
        let scan = scanned(format!(r#"{{"prompt":"{prompt}"}}"#).as_bytes(), 4096);
        assert!(scan.raw("prompt").is_none() && scan.beginning("prompt").len() == DIGESTED_MAX);
        assert!(scan.members["prompt"].text.capacity() <= 2 * DIGESTED_MAX);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_a_parser_reads_whatever_the_pieces(
            members in prop::collection::vec((prop_oneof![prop::sample::select(KEPT), prop::sample::select(DIGESTED)], any_json()), 0..8),
            piece in 1_usize..40,
            pretty: bool,
        ) {
            let object: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let text = match pretty {
                true => serde_json::to_string_pretty(&object).unwrap(),
                false => serde_json::to_string(&object).unwrap(),
            };
            let scan = scanned(text.as_bytes(), piece);
            prop_assert!(scan.is_whole());
            for (name, value) in &object {
                let expected = match value {
                    Value::String(text) if !text.is_empty() => Some(text.clone()),
                    Value::Number(n) => Some(n.to_string()),
                    Value::Bool(b) => Some(b.to_string()),
                    _ => None,
                };
                prop_assert_eq!(scan.get(name, usize::MAX).map(Cow::into_owned), expected);
                prop_assert_eq!(&serde_json::from_slice::<Value>(scan.raw(name).unwrap()).unwrap(), value);
            }
        }

        #[test]
        fn it_never_fails(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..40) {
            let scan = scanned(&bytes, piece);
            if scan.is_whole() {
                prop_assert_eq!(bytes.iter().find(|b| !is_blank(**b)), Some(&b'{'));
            }
        }

        #[test]
        fn whatever_is_cut_off_is_not_whole(cut in 0_usize..60) {
            let text = br#"{"session_id":"s","tool_input":{"command":"ls \"x\""},"n":12}"#;
            prop_assert!(!scanned(&text[..cut.min(text.len() - 1)], 7).is_whole());
        }
    }
}
