//! A batch by HTTP.

use jiff::Timestamp;

use super::discover::{DOCUMENT_MAX, WELL_KNOWN};
use super::limits::REQUEST;
use super::machine::Answer;
use super::{Endpoints, Link, Sink};
use crate::http::{HttpError, Reply};
use crate::kit::cancel::Cancel;
use crate::kit::secret::Secret;
use crate::kit::text::plain;
use crate::relay::{frame, otlp};

const JSON: &str = "application/json";

/// Asks a server where it takes events. What it does not say is as with all.
///
/// # Errors
/// It could not be asked.
pub(super) fn discover(link: &Link, cancel: &Cancel) -> Result<Endpoints, HttpError> {
    if let Sink::Otlp { .. } = link.sink {
        return Ok(Endpoints { batch: collector(&link.server_url), ..Endpoints::of(&link.server_url) });
    }
    let url = format!("{}{WELL_KNOWN}", link.server_url.trim_end_matches('/'));
    let reply =
        link.client.get(&url).deadline(REQUEST).cap(DOCUMENT_MAX).no_redirects().cancel(cancel).peek()?;
    Ok(match reply.status {
        200 => Endpoints::read(&link.server_url, &reply.body),
        _ => Endpoints::of(&link.server_url),
    })
}

/// Where a collector takes logs: at the path that its address names, or else at the usual one.
fn collector(url: &str) -> String {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let base = url.trim_end_matches('/');
    if path.is_empty() { format!("{base}{}", otlp::PATH) } else { base.to_owned() }
}

/// Sends records. `None` where the call was cancelled.
pub(super) fn post(
    link: &Link,
    endpoints: &Endpoints,
    token: &Secret,
    records: &[&[u8]],
    now: Timestamp,
    cancel: &Cancel,
) -> Option<Answer> {
    let request = match &link.sink {
        Sink::Relay => link.client.post(&endpoints.batch, JSON, frame::batch_body(records)).bearer(token),
        Sink::Otlp { key } => {
            let request = link.client.post(&endpoints.batch, JSON, otlp::body(records));
            match key {
                Some((name, value)) => request.secret_header(name, value.clone()),
                None => request,
            }
        }
    };
    // The server knows a record that it has by its id, so it may be sent again.
    match request.deadline(REQUEST).cap(DOCUMENT_MAX).repeatable().cancel(cancel).peek() {
        Ok(reply) => Some(answer(&link.sink, &reply, now)),
        Err(HttpError::Cancelled { .. }) => None,
        Err(e) => Some(Answer::Failed { why: e.to_string(), reached: false }),
    }
}

fn answer(sink: &Sink, reply: &Reply, now: Timestamp) -> Answer {
    let retry_after = reply.retry_after(now);
    let failed = |why: String, reached| Answer::Failed { why, reached };
    match (reply.status, sink) {
        (200..=299, Sink::Otlp { .. }) => {
            let otlp::Taken { rejected, message } = otlp::taken(&reply.body);
            if rejected > 0 {
                let why = plain(&message, false);
                log::warn!("relay: the collector has taken a batch but for {rejected} events: {why}");
            }
            Answer::Taken
        }
        (200..=299, Sink::Relay) => Answer::Taken,
        (status @ (401 | 403), _) => Answer::Refused(status),
        (413, _) => Answer::TooLarge,
        (status @ 429, _) => Answer::Busy { status, retry_after },
        (status @ 503, _) if retry_after.is_some() => Answer::Busy { status, retry_after },
        (status @ (400 | 422), _) => Answer::Bad(format!("http_{status}")),
        (status @ 300..=399, _) => {
            let what = "the server sends its clients elsewhere, which is not followed with a login";
            failed(format!("{what} (HTTP {status})"), false)
        }
        (status, Sink::Otlp { .. }) => {
            failed(format!("the collector answers with HTTP {status}"), otlp::is_retryable(status))
        }
        (status, Sink::Relay) => failed(format!("the server answers with HTTP {status}"), status >= 500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_found_by_its_address_with_and_without_a_path() {
        assert_eq!(collector("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/logs");
        assert_eq!(collector("http://127.0.0.1:4318/"), "http://127.0.0.1:4318/v1/logs");
        assert_eq!(collector("https://h/otlp/v1/logs"), "https://h/otlp/v1/logs");
    }
}
