//! The bytes that go to a server: one encoder for who sends and for who shows what would be sent.

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
}
