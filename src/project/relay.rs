//! What the user wants of the relay: the section `relay` of the user's file.

use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::settings::Settings;

/// The section, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Events are sent at all.
    pub enabled: bool,
    /// Where to; empty where nobody said.
    pub url: String,
    /// How.
    pub transport: RelayTransport,
    /// A server without TLS is taken too, wherever it is. One on this machine always is.
    pub allow_insecure: bool,
    /// Certificates of authorities that are trusted instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// So much waits at most; then the oldest goes.
    pub max_queue_bytes: u64,
    /// Between two looks at what waits, while connected.
    pub flush: Duration,
    /// Events that are sent at a time, at most.
    pub batch_events: u32,
    /// What a path is turned into.
    pub cwd_hash: CwdHash,
    /// The events that are sent, by their canonical names; all where it is empty.
    pub events: Vec<String>,
    /// What takes them.
    pub sink: RelaySink,
    /// Where the collector of OTLP/HTTP is; empty where there is none.
    pub otlp_url: String,
    /// The header that its key goes into.
    pub otlp_header: String,
    /// The variable that has the value of that header; empty where it wants none.
    pub otlp_key_env: String,
}

/// How events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayTransport {
    /// By WebSocket, and where that does not work by HTTP.
    Auto,
    /// By WebSocket alone.
    Ws,
    /// By HTTP alone.
    Http,
}

/// What the path of a working directory is turned into before anything is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CwdHash {
    /// A digest with a key that only this installation has.
    Hmac,
    /// A plain digest, which whoever guesses the path can check.
    Sha256,
    /// Nothing.
    None,
}

/// What takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelaySink {
    /// A relay server.
    Relay,
    /// A collector that takes logs by OTLP/HTTP.
    Otlp,
}

impl Relay {
    /// Where events are sent to: the relay server, or the collector; empty where nobody said.
    pub fn target(&self) -> &str {
        match self.sink {
            RelaySink::Relay => &self.url,
            RelaySink::Otlp => &self.otlp_url,
        }
    }

    /// Whether events of that canonical name are sent.
    pub fn sends(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|name| name == event)
    }

    pub(super) fn read(settings: &Settings) -> (Relay, Vec<Error>) {
        let mut errors = Vec::new();
        let mut text = |key: &str| match settings.get(&format!("relay.{key}")) {
            Ok((value, error)) => {
                errors.extend(error);
                value.text
            }
            Err(error) => {
                errors.push(error);
                String::new()
            }
        };
        // A value that came through the table always parses.
        let relay = Relay {
            enabled: text("enabled") == "true",
            url: text("url"),
            transport: match text("transport").as_str() {
                "ws" => RelayTransport::Ws,
                "http" => RelayTransport::Http,
                _ => RelayTransport::Auto,
            },
            allow_insecure: text("allow_insecure") == "true",
            ca_file: Some(text("ca_file")).filter(|path| !path.is_empty()).map(PathBuf::from),
            max_queue_bytes: text("max_queue_bytes").parse().unwrap_or_default(),
            flush: Duration::from_millis(text("flush_ms").parse().unwrap_or_default()),
            batch_events: text("batch_events").parse().unwrap_or_default(),
            cwd_hash: match text("cwd_hash").as_str() {
                "sha256" => CwdHash::Sha256,
                "none" => CwdHash::None,
                _ => CwdHash::Hmac,
            },
            events: event_names(&text("events")).map(str::to_owned).collect(),
            sink: if text("sink") == "otlp" { RelaySink::Otlp } else { RelaySink::Relay },
            otlp_url: text("otlp_url"),
            otlp_header: text("otlp_header"),
            otlp_key_env: text("otlp_key_env"),
        };
        (relay, errors)
    }
}

/// The names in a list of events.
pub(super) fn event_names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}
