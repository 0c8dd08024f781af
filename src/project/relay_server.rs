//! Where a relay server is, and where each of its calls goes: always on the origin that the user named.

use std::net::IpAddr;

use serde_json::Value;

use super::{Error, limits};
use crate::kit::text::{cut, is_hidden};

/// Events of one batch, unless the server wants fewer (relay and hooks, A.1).
pub const BATCH_EVENTS: u32 = 100;
/// Bytes of one batch, unless the server wants fewer (relay and hooks, A.6).
pub const BATCH_BYTES: u64 = 256 << 10;
/// No server brings a batch below this many bytes.
const BATCH_BYTES_MIN: u64 = 4 << 10;
/// Where a server says which paths it has.
const WELL_KNOWN: &str = "/.well-known/ox-relay";
/// What is kept of an address in an error.
const SHOWN_MAX: usize = 200;

/// The address of a relay server, checked: `https`, or `http` on this machine, or anywhere if the user agreed to that. No login, query or
/// fragment in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayServer {
    /// As it was given, without slashes at its end.
    base: String,
    /// Scheme, host and port in lower case; the scheme's own port is left out.
    origin: String,
    host: String,
}

impl RelayServer {
    /// Checks an address; with `insecure` one without TLS may be anywhere.
    ///
    /// # Errors
    /// `BadValue`, saying what is wrong with it.
    pub fn parse(text: &str, insecure: bool) -> Result<RelayServer, Error> {
        let base = text.trim().trim_end_matches('/');
        let bad = |reason: &str| Error::BadValue {
            key: "the address of the relay server".to_owned(),
            reason: format!("{reason}, not {:?}", cut(text, SHOWN_MAX)),
        };
        if base.len() > limits::REMOTE_MAX {
            return Err(bad("must be shorter"));
        }
        if base.chars().any(|c| is_hidden(c) || c.is_whitespace() || c == '\\') {
            return Err(bad("must have no spaces, backslashes or control characters"));
        }
        let Some((scheme, rest)) = base.split_once("://") else {
            return Err(bad("must begin with https://"));
        };
        let authority = rest.split('/').next().unwrap_or_default();
        if rest.contains(['?', '#']) {
            return Err(bad("must have no query and no fragment"));
        }
        if authority.contains('@') {
            // It is not repeated: what stands before the sign may be a password.
            return Err(Error::BadValue {
                key: "the address of the relay server".to_owned(),
                reason: "must have no login in it".to_owned(),
            });
        }
        if has_dots(rest) {
            return Err(bad("must have no .. in its path"));
        }
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad("must begin with https://")),
        };
        let (host, port) = host_and_port(authority).ok_or_else(|| bad("must name a host"))?;
        if !tls && !insecure && !is_loopback(&host) {
            return Err(bad("must be https (http is for this machine, or with relay.allow_insecure)"));
        }
        let origin = origin_of(tls, &host, port);
        Ok(RelayServer { base: base.to_owned(), origin, host: authority.to_ascii_lowercase() })
    }

    /// The address, without slashes at its end.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Host, and port if it is named: what is asked about and shown.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether `url` is this server: the same origin and path, whatever slashes stand at the end.
    pub fn is(&self, url: &str) -> bool {
        let path = |base: &str| base.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
        RelayServer::parse(url, true)
            .is_ok_and(|other| other.origin == self.origin && path(&other.base) == path(&self.base))
    }

    /// Where it says which paths it has (relay and hooks, C.5).
    pub fn well_known(&self) -> String {
        format!("{}{WELL_KNOWN}", self.base)
    }

    /// Whether a URL lies on the origin of this server.
    pub fn is_origin_of(&self, url: &str) -> bool {
        let parts = url.split_once("://").and_then(|(scheme, rest)| {
            let tls = match scheme.to_ascii_lowercase().as_str() {
                "https" | "wss" => true,
                "http" | "ws" => false,
                _ => return None,
            };
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let (host, port) = host_and_port(authority)?;
            Some(origin_of(tls, &host, port))
        });
        parts.is_some_and(|origin| origin == self.origin)
    }

    /// Where a path that the server names leads; `None` if that is not plainly on the server's own origin.
    fn resolve(&self, path: &str) -> Option<String> {
        let strange = |c: char| is_hidden(c) || c.is_whitespace() || matches!(c, '\\' | '#' | '?');
        if path.is_empty() || path.len() > limits::REMOTE_MAX || path.chars().any(strange) || has_dots(path) {
            return None;
        }
        if path.contains("://") {
            let authority = path.split('/').nth(2).unwrap_or_default();
            return (self.is_origin_of(path) && !authority.contains('@')).then(|| path.to_owned());
        }
        if path.starts_with("//") {
            return None;
        }
        Some(format!("{}/{}", self.base, path.trim_start_matches('/')))
    }
}

/// Whether a part of the path leads upwards, also where its dots are encoded.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}

/// Host in lower case and without brackets, and the port that is named.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6)?;
            (host, rest.strip_prefix(':').or_else(|| (!rest.is_empty()).then_some("x")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map(str::parse).transpose().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| (host.to_ascii_lowercase(), port))
}

fn origin_of(tls: bool, host: &str, port: Option<u16>) -> String {
    let (scheme, default) = if tls { ("https", 443) } else { ("http", 80) };
    format!("{scheme}://{host}:{}", port.unwrap_or(default))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Where each call of a relay server goes, and how much it takes at once (relay and hooks, C.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPaths {
    /// Asks for a code that a person confirms.
    pub device_code: String,
    /// Asks whether they have.
    pub device_token: String,
    /// Gives new tokens.
    pub refresh: String,
    /// Takes tokens back.
    pub logout: String,
    /// Takes a batch of events.
    pub batch: String,
    /// Takes events over a WebSocket; its scheme is `ws` or `wss`.
    pub ws: String,
    /// Events of one batch at most.
    pub batch_events: u32,
    /// Bytes of one batch at most.
    pub batch_bytes: u64,
}

impl RelayPaths {
    /// Those of a server that names none.
    pub fn of(server: &RelayServer) -> RelayPaths {
        let at = |path: &str| format!("{}{path}", server.base);
        RelayPaths {
            device_code: at("/api/v1/auth/device-code"),
            device_token: at("/api/v1/auth/device-token"),
            refresh: at("/api/v1/auth/refresh"),
            logout: at("/api/v1/auth/logout"),
            batch: at("/api/v1/events/batch"),
            ws: as_ws(&at("/ws/events/ingest")),
            batch_events: BATCH_EVENTS,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// Those that a server names in `document`; what that leaves out is as of a server that names none.
    ///
    /// # Errors
    /// What is wrong: a path that leads to another origin is never used, and never replaced by a guess.
    pub fn named(server: &RelayServer, document: &Value) -> Result<RelayPaths, String> {
        let mut paths = RelayPaths::of(server);
        if !document.is_object() {
            return Err("it is no JSON object".to_owned());
        }
        match document.get("version").and_then(Value::as_u64) {
            None | Some(1) => {}
            Some(other) => return Err(format!("its version is {other}, and this program knows 1")),
        }
        for (group, key, path) in [
            ("auth", "device_code", &mut paths.device_code),
            ("auth", "device_token", &mut paths.device_token),
            ("auth", "refresh", &mut paths.refresh),
            ("auth", "logout", &mut paths.logout),
            ("ingest", "batch", &mut paths.batch),
            ("ingest", "ws", &mut paths.ws),
        ] {
            let Some(named) = document.get(group).and_then(|g| g.get(key)).filter(|v| !v.is_null()) else {
                continue;
            };
            let resolved = named.as_str().and_then(|named| server.resolve(named));
            let is_ws = (group, key) == ("ingest", "ws");
            *path = match resolved {
                Some(url) if is_ws => as_ws(&url),
                Some(url) if url.to_ascii_lowercase().starts_with("http") => url,
                _ => return Err(format!("{group}.{key} does not lead to a path of {}", server.origin)),
            };
        }
        let limit = |key: &str| document.get("limits").and_then(|l| l.get(key)).and_then(Value::as_u64);
        if let Some(events) = limit("batch_events") {
            paths.batch_events = u32::try_from(events).unwrap_or(BATCH_EVENTS).clamp(1, BATCH_EVENTS);
        }
        if let Some(bytes) = limit("batch_bytes") {
            paths.batch_bytes = bytes.clamp(BATCH_BYTES_MIN, BATCH_BYTES);
        }
        Ok(paths)
    }
}

/// The same place for a WebSocket.
fn as_ws(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => format!("wss://{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => format!("ws://{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(url: &str) -> RelayServer {
        RelayServer::parse(url, false).unwrap()
    }

    #[test]
    fn a_server_is_named_by_https_or_on_this_machine() {
        let check = |text: &str, secure: bool, insecure: bool| {
            assert_eq!(RelayServer::parse(text, false).is_ok(), secure, "{text}");
            assert_eq!(RelayServer::parse(text, true).is_ok(), insecure, "{text}");
        };
        check("https://relay.example.com", true, true);
        check(" https://relay.example.com/base/ ", true, true);
        check("https://relay.example.com:8443//", true, true);
        check("HTTPS://Relay.example.com", true, true);
        check("http://127.0.0.1:3000", true, true);
        check("http://localhost", true, true);
        check("http://[::1]:9", true, true);
        check("http://relay.example.com", false, true);
        check("http://localhost.example.com", false, true);
        for never in [
            "",
            "relay.example.com",
            "ftp://relay.example.com",
            "ws://relay.example.com",
            "https://",
            "https:///x",
            "https://u:p@relay.example.com",
            "http://localhost@evil.example",
            "https://relay.example.com/?x",
            "https://relay.example.com/#x",
            "https://relay.example.com/a b",
            "https://relay.example.com/\u{1b}[31m",
            "https://relay.example.com\\@evil.example",
            "https://relay.example.com/../x",
            "https://relay.example.com/%2E%2e/x",
            "https://relay.example.com:99999",
            "https://[::1",
            "https://[::1]x",
        ] {
            check(never, false, false);
        }
        let refused = RelayServer::parse("https://u:canary@h", false).unwrap_err().to_string();
        assert!(!refused.contains("canary"), "{refused}");
    }

    #[test]
    fn a_server_is_the_same_whatever_slashes_its_address_ends_with() {
        let base = server("https://Relay.example.com:443/base");
        for same in ["https://relay.example.com/base", "https://relay.example.com/base//"] {
            assert!(base.is(same), "{same}");
        }
        for other in
            ["https://relay.example.com", "http://relay.example.com/base", "https://example.com/base", "x"]
        {
            assert!(!base.is(other), "{other}");
        }
        assert_eq!(
            (base.host(), base.as_str()),
            ("relay.example.com:443", "https://Relay.example.com:443/base")
        );
    }

    #[test]
    fn without_a_document_the_paths_are_the_usual_ones_below_the_prefix() {
        let paths = RelayPaths::of(&server("https://h.example/pre/"));
        assert_eq!(paths.device_code, "https://h.example/pre/api/v1/auth/device-code");
        assert_eq!(paths.ws, "wss://h.example/pre/ws/events/ingest");
        assert_eq!(RelayPaths::of(&server("http://127.0.0.1:9")).ws, "ws://127.0.0.1:9/ws/events/ingest");
        assert_eq!(RelayPaths::named(&server("https://h.example/pre"), &json!({ "version": 1 })), Ok(paths));
    }

    #[test]
    fn paths_that_a_server_names_stay_on_its_origin() {
        let s = server("https://h.example/pre");
        let refresh = |path: &str| {
            let named = RelayPaths::named(&s, &json!({ "version": 1, "auth": { "refresh": path } }));
            named.ok().map(|paths| paths.refresh)
        };
        assert_eq!(refresh("/r").as_deref(), Some("https://h.example/pre/r"));
        assert_eq!(refresh("r/s").as_deref(), Some("https://h.example/pre/r/s"));
        assert_eq!(refresh("https://h.example/r").as_deref(), Some("https://h.example/r"));
        assert_eq!(refresh("https://H.example:443/r").as_deref(), Some("https://H.example:443/r"));
        for bad in [
            "",
            "//evil.example/r",
            "https://evil.example/r",
            "http://h.example/r",
            "https://h.example:8443/r",
            "https://h.example@evil.example/r",
            "https://evil@h.example/r",
            "wss://h.example/r",
            "javascript://h.example/r",
            "/../r",
            "/%2e%2e/r",
            "/r?to=x",
            "/r\\x",
            "/r\n",
        ] {
            assert_eq!(refresh(bad), None, "{bad}");
        }
        let named = |document| RelayPaths::named(&s, &document);
        assert!(named(json!({ "version": 1, "auth": { "refresh": 7 } })).is_err());
        assert!(named(json!({ "version": 2 })).is_err());
        assert!(named(json!([])).is_err());
        let ws = |path: &str| named(json!({ "ingest": { "ws": path } })).map(|paths| paths.ws);
        assert_eq!(ws("/live").as_deref(), Ok("wss://h.example/pre/live"));
        assert_eq!(ws("wss://h.example/live").as_deref(), Ok("wss://h.example/live"));
        assert!(ws("ws://h.example/live").is_err());
    }

    #[test]
    fn what_a_server_says_of_batches_is_bounded() {
        let s = server("https://h.example");
        let limits = |events: Value, bytes: Value| {
            let paths =
                RelayPaths::named(&s, &json!({ "limits": { "batch_events": events, "batch_bytes": bytes } }));
            paths.map(|p| (p.batch_events, p.batch_bytes)).unwrap()
        };
        assert_eq!(limits(json!(10), json!(65536)), (10, 65536));
        assert_eq!(limits(json!(0), json!(0)), (1, BATCH_BYTES_MIN));
        assert_eq!(limits(json!(u64::MAX), json!(u64::MAX)), (BATCH_EVENTS, BATCH_BYTES));
        assert_eq!(limits(json!("many"), json!(-1)), (BATCH_EVENTS, BATCH_BYTES));
    }
}
