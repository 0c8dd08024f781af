//! The bytes that go to a server: one encoder for who sends and for who shows what would be sent.

use sha2::{Digest as _, Sha256};

use super::otlp;

/// How a batch is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As the text of one message on a WebSocket.
    Frame,
    /// As the body of one request.
    Body,
    /// As the body of one request to a collector of OpenTelemetry.
    Otlp,
}

impl Shape {
    /// The bytes of a batch.
    pub fn encode(self, records: &[&[u8]]) -> Vec<u8> {
        match self {
            Shape::Frame => batch_frame(&batch_id(records), records),
            Shape::Body => batch_body(records),
            Shape::Otlp => otlp::body(records),
        }
    }
}

/// The id of a batch, a UUID: the same whenever the same records are sent, so that what is shown is what is sent, and that a late
/// acknowledgement is still one of the same records.
pub fn batch_id(records: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for record in records {
        hash.update((record.len() as u64).to_be_bytes());
        hash.update(record);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// The text of one batch on a WebSocket. The id stands there as it is: it is one of our own.
pub fn batch_frame(batch_id: &str, records: &[&[u8]]) -> Vec<u8> {
    events(format!("{{\"batch_id\":\"{batch_id}\",\"events\":["), records)
}

/// The body of one batch over HTTP.
pub fn batch_body(records: &[&[u8]]) -> Vec<u8> {
    events("{\"events\":[".to_owned(), records)
}

/// How long the longer of the two gets, in bytes.
pub fn frame_len(records: usize, bytes: usize) -> usize {
    const AROUND: usize = "{\"batch_id\":\"00000000-0000-0000-0000-000000000000\",\"events\":[]}".len();
    AROUND + bytes + records.saturating_sub(1)
}

fn events(head: String, records: &[&[u8]]) -> Vec<u8> {
    let mut out = head.into_bytes();
    out.reserve(records.iter().map(|record| record.len() + 1).sum::<usize>() + 2);
    for (n, record) in records.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(record);
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_the_records_byte_for_byte_and_is_as_long_as_was_said() {
        let records: [&[u8]; 2] = [br#"{"b":1, "a":"\u00e9"}"#, br#"{"x":null}"#];
        let id = "018f0000-0000-7000-8000-000000000001";
        let frame = batch_frame(id, &records);
        let text = r#"{"batch_id":"018f0000-0000-7000-8000-000000000001","events":[{"b":1, "a":"\u00e9"},{"x":null}]}"#;
        assert_eq!(String::from_utf8(frame.clone()).unwrap(), text);
        assert_eq!(frame.len(), frame_len(2, records[0].len() + records[1].len()));
        assert_eq!(batch_body(&records[1..]), br#"{"events":[{"x":null}]}"#);
        assert_eq!(batch_frame(id, &[]).len(), frame_len(0, 0));
    }

    #[test]
    fn the_same_records_have_the_same_id_and_no_others() {
        let id = |records: &[&[u8]]| batch_id(records);
        assert_eq!(id(&[b"{}", b"[]"]), id(&[b"{}", b"[]"]));
        let others: [&[&[u8]]; 4] = [&[b"{}"], &[b"{}", b"[] "], &[b"{}[]"], &[b"[]", b"{}"]];
        for other in others {
            assert_ne!(id(&[b"{}", b"[]"]), id(other));
        }
        let frame: serde_json::Value = serde_json::from_slice(&Shape::Frame.encode(&[b"{}"])).unwrap();
        assert!(uuid::Uuid::parse_str(frame["batch_id"].as_str().unwrap()).is_ok());
    }
}
