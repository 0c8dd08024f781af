//! The messages on a WebSocket beside batches.

use std::time::Duration;

use serde::Deserialize;

/// The second dialect, as it is offered and chosen in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "ox-relay.v2";
/// Codes of errors that speak of the token.
pub const CODES_AUTH: &[&str] = &["unauthorized", "invalid_token", "token_expired"];
/// Codes of errors that speak of too much at a time.
pub const CODES_BUSY: &[&str] = &["rate_limited", "overloaded"];

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It has stored a batch.
    Ack(String),
    /// What it takes at a time.
    Hello { events: Option<usize>, bytes: Option<usize> },
    /// Something is wrong.
    Error {
        code: String,
        batch_id: Option<String>,
        retryable: bool,
        message: String,
        retry_after: Option<Duration>,
    },
    /// Nothing that means anything.
    Other,
}

#[derive(Deserialize)]
struct Message {
    ack: Option<String>,
    hello: Option<Hello>,
    error: Option<String>,
    batch_id: Option<String>,
    retryable: Option<bool>,
    message: Option<String>,
    retry_after_s: Option<u64>,
}

#[derive(Deserialize)]
struct Hello {
    max_batch_events: Option<usize>,
    max_batch_bytes: Option<usize>,
}

/// Reads a message of the server.
pub(super) fn read(text: &str) -> Said {
    let Ok(message) = serde_json::from_str::<Message>(text) else { return Said::Other };
    if let Some(id) = message.ack {
        return Said::Ack(id);
    }
    if let Some(hello) = message.hello {
        return Said::Hello { events: hello.max_batch_events, bytes: hello.max_batch_bytes };
    }
    let Some(code) = message.error else { return Said::Other };
    Said::Error {
        code,
        batch_id: message.batch_id,
        retryable: message.retryable.unwrap_or(true),
        message: message.message.unwrap_or_default(),
        retry_after: message.retry_after_s.map(Duration::from_secs),
    }
}

/// A new token for a connection of the second dialect.
pub(super) fn auth(token: &str) -> String {
    serde_json::json!({ "auth": token }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_in_every_form_and_none_is_fatal() {
        let check = |text: &str, expected: Said| assert_eq!(read(text), expected, "{text}");
        check(r#"{"ack":"b","more":1}"#, Said::Ack("b".into()));
        check(
            r#"{"hello":{"max_batch_events":5,"max_batch_bytes":9000}}"#,
            Said::Hello { events: Some(5), bytes: Some(9000) },
        );
        check(r#"{"hello":{}}"#, Said::Hello { events: None, bytes: None });
        let error = |retryable, batch_id: Option<&str>, retry_after: Option<u64>| Said::Error {
            code: "c".into(),
            batch_id: batch_id.map(str::to_owned),
            retryable,
            message: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        };
        check(r#"{"error":"c"}"#, error(true, None, None));
        check(
            r#"{"error":"c","batch_id":"b","retryable":false,"retry_after_s":7}"#,
            error(false, Some("b"), Some(7)),
        );
        for text in ["", "hello", "[]", "{}", "7", r#"{"ack":7}"#, r#"{"error":{}}"#] {
            check(text, Said::Other);
        }
        assert_eq!(auth("a.b"), r#"{"auth":"a.b"}"#);
    }
}
