//! The three kinds of line: a request, a progress line, a final line.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::text;
use crate::kit::Class;

/// A request as it is written.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Envelope<'a> {
    /// Name of the message type.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Eight hex digits of the workspace the caller means.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub workspace_id: &'a str,
    /// Eight hex digits of the clone the caller stands in.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub caller_id: &'a str,
    /// Depends on the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
}

/// A request as it was read, borrowing from its line.
#[derive(Clone, Debug, Default)]
pub struct RequestLine<'a> {
    /// Name of the message type.
    pub kind: Cow<'a, str>,
    /// Workspace the caller means; may be empty.
    pub workspace_id: Cow<'a, str>,
    /// Clone the caller stands in; may be empty.
    pub caller_id: Cow<'a, str>,
    /// JSON of the payload; `null` counts as absent.
    pub payload: Option<&'a RawValue>,
}

/// Reads a request line (without its newline).
///
/// # Errors
/// Not a JSON object, or a key of ours with a value of another type.
pub fn parse_request(line: &[u8]) -> Result<RequestLine<'_>, BadLine> {
    serde_json::from_slice(line).map_err(BadLine)
}

/// A line that is not what the protocol allows at its place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(serde_json::Error);

impl<'de: 'a, 'a> Deserialize<'de> for RequestLine<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RequestLine<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut line = RequestLine::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key.0 {
                        "type" => set(&mut line.kind, &mut map)?,
                        "workspace_id" => set(&mut line.workspace_id, &mut map)?,
                        "caller_id" => set(&mut line.caller_id, &mut map)?,
                        "payload" => line.payload = map.next_value::<Option<&'de RawValue>>()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(line)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Takes a string value; `null` leaves what was there.
fn set<'de, A: MapAccess<'de>>(field: &mut Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
    if let Some(Text(value)) = map.next_value::<Option<Text<'de>>>()? {
        *field = value;
    }
    Ok(())
}

/// A string, borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, s: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(s)))
            }

            fn visit_str<E: de::Error>(self, s: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(s.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

/// How far a long operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Name of the step; may be empty. Nobody may depend on its values.
    pub stage: String,
    /// 0 to 100; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<i64>,
    /// A sentence for people.
    pub message: String,
}

impl Progress {
    /// A step of unknown extent.
    pub fn new(stage: impl Into<String>, message: impl Into<String>) -> Progress {
        Progress { stage: stage.into(), percent: None, message: message.into() }
    }

    /// Appends the whole progress line, newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"progress\":");
        // A struct of strings and a number always encodes, and writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *out, self);
        out.extend_from_slice(b",\"success\":false}\n");
    }
}

/// The final line of an answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Whether the request was done.
    pub success: bool,
    /// Why not; empty if it was.
    pub error: String,
    /// JSON of the result, if the type has one.
    pub data: Option<Box<RawValue>>,
    /// Ours, additive: the class of the error, where a run on a clone has failed.
    pub class: Option<Class>,
}

impl Response {
    /// Done, nothing to say.
    pub fn ok() -> Response {
        Response { success: true, ..Response::default() }
    }

    /// Done, with a result; a result that cannot be encoded becomes an error reply.
    pub fn data<T: Serialize>(data: &T) -> Response {
        match serde_json::value::to_raw_value(data) {
            Ok(raw) => Response { success: true, data: Some(raw), ..Response::default() },
            Err(e) => Response::error(format!("{}{e}", text::MARSHAL)),
        }
    }

    /// Not done.
    pub fn error(error: impl Into<String>) -> Response {
        Response { error: error.into(), ..Response::default() }
    }

    /// The same with the class of what went wrong.
    pub fn of_class(self, class: Class) -> Response {
        Response { class: Some(class), ..self }
    }

    /// Refused for the moment: `what` is full.
    pub fn busy(what: &str) -> Response {
        Response::error(format!("{}{what}", text::BUSY))
    }

    /// Appends the whole final line, newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.success { b"{\"success\":true" } else { b"{\"success\":false" });
        if !self.error.is_empty() {
            out.extend_from_slice(b",\"error\":");
            let _ = serde_json::to_writer(&mut *out, &self.error); // a string into memory: cannot fail
        }
        if let Some(class) = &self.class {
            out.extend_from_slice(format!(",\"class\":\"{class}\"").as_bytes());
        }
        if let Some(data) = &self.data {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data.get().as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

/// The first of a list, as JSON, as many as an answer may hold.
pub fn fitting<T: Serialize>(all: impl Iterator<Item = T>) -> Vec<Box<RawValue>> {
    let mut room = super::super::limits::LIST_MAX;
    let encoded = all.filter_map(|item| serde_json::value::to_raw_value(&item).ok());
    let mut fits = |size: usize| {
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    // A comma each.
    encoded.take_while(|item| fits(item.get().len() + 1)).collect()
}

/// A line from the server.
#[derive(Clone, Debug)]
pub enum Line {
    /// The operation goes on.
    Progress(Progress),
    /// The first line without `progress`: the answer.
    Final(Response),
}

/// Reads a line from the server (without its newline).
///
/// # Errors
/// Not a JSON object, or a key of ours with a value of another type.
pub fn parse_line(line: &[u8]) -> Result<Line, BadLine> {
    let fields: Answer = serde_json::from_slice(line).map_err(BadLine)?;
    Ok(match fields.progress {
        Some(progress) => Line::Progress(progress),
        None => Line::Final(fields.response),
    })
}

#[derive(Default)]
struct Answer {
    progress: Option<Progress>,
    response: Response,
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Answer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an answer object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut answer = Answer::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key.0 {
                        "progress" => {
                            let raw = map.next_value::<Option<&'de RawValue>>()?;
                            answer.progress = match raw {
                                Some(raw) => Some(
                                    super::decode(Some(raw.get().as_bytes())).map_err(de::Error::custom)?,
                                ),
                                None => None,
                            };
                        }
                        "success" => {
                            answer.response.success = map.next_value::<Option<bool>>()?.unwrap_or(false)
                        }
                        "error" => {
                            if let Some(Text(error)) = map.next_value::<Option<Text<'de>>>()? {
                                answer.response.error = error.into_owned();
                            }
                        }
                        "class" => {
                            let name = map.next_value::<Option<Text<'de>>>()?;
                            answer.response.class = name.and_then(|Text(name)| Class::named(&name));
                        }
                        "data" => answer.response.data = map.next_value::<Option<Box<RawValue>>>()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(answer)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_with_unknown_null_and_double_keys() {
        let line =
            br#"{"type":"a","x":{"type":"no"},"type":"st\u0061tus","workspace_id":null,"payload":{"a":[1]}}"#;
        let request = parse_request(line).unwrap();
        assert_eq!(request.kind, "status");
        assert_eq!(request.workspace_id, "");
        assert_eq!(request.payload.unwrap().get(), r#"{"a":[1]}"#);
        assert!(parse_request(br#"{"type":"a","payload":null}"#).unwrap().payload.is_none());
    }

    #[test]
    fn what_is_not_an_object_of_strings_is_refused() {
        for bad in
            ["", "null", "7", "[]", "\"ping\"", "{", "{\"type\":1}", "{}x", "{\"type\":\"a\nb\"}", "\u{0}"]
        {
            assert!(parse_request(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse_request(b"\xff\xfe{}").is_err());
        assert_eq!(parse_request(b" {} \r").unwrap().kind, "");
    }

    #[test]
    fn deep_nesting_neither_crashes_nor_passes_as_an_envelope() {
        let deep = format!("{{\"type\":\"x\",\"payload\":{}1{}}}", "[".repeat(400_000), "]".repeat(400_000));
        let _ = parse_request(deep.as_bytes());
        assert!(parse_request("[".repeat(900_000).as_bytes()).is_err());
    }

    #[test]
    fn answers_are_told_apart_by_progress_alone() {
        let Line::Progress(p) =
            parse_line(br#"{"progress":{"stage":"s","percent":4},"success":true}"#).unwrap()
        else {
            panic!("a progress line")
        };
        assert_eq!(p, Progress { stage: "s".into(), percent: Some(4), message: String::new() });
        let Line::Final(r) = parse_line(br#"{"progress":null,"success":false,"error":"e"}"#).unwrap() else {
            panic!("a final line")
        };
        assert_eq!((r.success, r.error.as_str()), (false, "e"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_request(&bytes);
            let _ = parse_line(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(stage in ".*", message in ".*", error in ".+", percent in proptest::option::of(0i64..=100)) {
            let progress = Progress { stage, percent, message };
            let mut line = Vec::new();
            progress.write_line(&mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.contains(&b'\n'));
            let Ok(Line::Progress(read)) = parse_line(&line) else { return Err(TestCaseError::fail("no progress line")) };
            prop_assert_eq!(read, progress);
            line.clear();
            Response::error(error.clone()).write_line(&mut line);
            line.pop();
            let Ok(Line::Final(read)) = parse_line(&line) else { return Err(TestCaseError::fail("no final line")) };
            prop_assert_eq!(read.error, error);
        }
    }
}
