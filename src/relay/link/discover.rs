//! Where on a server what is found: as it says itself, or as all do that say nothing.

use serde::Deserialize;

/// Where a server may say so.
pub(super) const WELL_KNOWN: &str = "/.well-known/ox-relay";
/// Where batches go by HTTP.
const BATCH: &str = "/api/v1/events/batch";
/// Where the WebSocket is.
const SOCKET: &str = "/ws/events/ingest";
/// Bytes of what it says; the rest is not read.
pub(super) const DOCUMENT_MAX: usize = 64 << 10;

/// Where a server takes events, as URLs for HTTP, and how many at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Batches.
    pub batch: String,
    /// The WebSocket.
    pub socket: String,
    /// Records at a time, where it says so.
    pub batch_events: Option<usize>,
    /// Bytes at a time, where it says so.
    pub batch_bytes: Option<usize>,
}

#[derive(Deserialize)]
struct Document {
    version: u32,
    ingest: Option<Ingest>,
    limits: Option<Limits>,
}

#[derive(Deserialize)]
struct Ingest {
    batch: Option<String>,
    ws: Option<String>,
}

#[derive(Deserialize)]
struct Limits {
    batch_events: Option<usize>,
    batch_bytes: Option<usize>,
}

impl Endpoints {
    /// Those of a server that says nothing.
    pub fn of(server_url: &str) -> Endpoints {
        let base = server_url.trim_end_matches('/');
        Endpoints {
            batch: format!("{base}{BATCH}"),
            socket: format!("{base}{SOCKET}"),
            batch_events: None,
            batch_bytes: None,
        }
    }

    /// Those of a server that said this. What cannot be read, or leads to another server, counts as not said.
    pub fn read(server_url: &str, document: &[u8]) -> Endpoints {
        let known = Endpoints::of(server_url);
        let Ok(said) = serde_json::from_slice::<Document>(document) else { return known };
        if said.version != 1 {
            return known;
        }
        let (batch, socket) = said.ingest.map_or((None, None), |i| (i.batch, i.ws));
        let limits = said.limits;
        Endpoints {
            batch: batch.and_then(|to| within(server_url, &to)).unwrap_or(known.batch),
            socket: socket.and_then(|to| within(server_url, &to)).unwrap_or(known.socket),
            batch_events: limits.as_ref().and_then(|l| l.batch_events),
            batch_bytes: limits.as_ref().and_then(|l| l.batch_bytes),
        }
    }
}

/// The URL of a path below `server_url`, or of one on the same server.
fn within(server_url: &str, to: &str) -> Option<String> {
    let base = server_url.trim_end_matches('/');
    let origin_end = base.find("://").map_or(0, |at| at + 3);
    let origin = match base[origin_end..].find('/') {
        Some(at) => &base[..origin_end + at],
        None => base,
    };
    if to.bytes().any(|b| b <= b' ' || b == b'\\' || b == b'@') {
        return None;
    }
    if to.starts_with('/') && !to.starts_with("//") {
        return Some(format!("{base}{to}"));
    }
    let to = match to.split_once("://")? {
        ("wss", rest) => format!("https://{rest}"),
        ("ws", rest) => format!("http://{rest}"),
        _ => to.to_owned(),
    };
    let rest = to.strip_prefix(origin)?;
    rest.starts_with('/').then(|| to.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_kept_and_slashes_at_the_end_are_none() {
        let of = |url| Endpoints::of(url).socket;
        assert_eq!(of("https://h"), "https://h/ws/events/ingest");
        assert_eq!(of("https://h//"), "https://h/ws/events/ingest");
        assert_eq!(of("https://h:8443/a/b/"), "https://h:8443/a/b/ws/events/ingest");
        assert_eq!(Endpoints::of("http://127.0.0.1:7/").batch, "http://127.0.0.1:7/api/v1/events/batch");
    }

    #[test]
    fn a_server_may_move_its_endpoints_but_never_to_another_server() {
        let batch = |to: &str| {
            let document = format!(r#"{{"version":1,"ingest":{{"batch":"{to}"}}}}"#);
            Endpoints::read("https://h/p", document.as_bytes()).batch
        };
        let known = "https://h/p/api/v1/events/batch";
        assert_eq!(batch("/x"), "https://h/p/x");
        assert_eq!(batch("https://h/x"), "https://h/x");
        for elsewhere in
            ["//evil/x", "https://evil/x", "http://h/x", "https://h.evil/x", "https://h@evil/x", "x", ""]
        {
            assert_eq!(batch(elsewhere), known, "{elsewhere}");
        }
        let socket =
            br#"{"version":1,"ingest":{"ws":"wss://h/s"},"limits":{"batch_events":7,"batch_bytes":9}}"#;
        let read = Endpoints::read("https://h/p", socket);
        assert_eq!(
            (read.socket.as_str(), read.batch_events, read.batch_bytes),
            ("https://h/s", Some(7), Some(9))
        );
        for other in [&b""[..], b"{}", br#"{"version":2,"ingest":{"batch":"/x"}}"#, b"[]"] {
            assert_eq!(Endpoints::read("https://h/p", other), Endpoints::of("https://h/p"));
        }
    }
}
