//! Contacts over a network: whoever makes one tells of it when it has ended, and whoever the process has named hears of it. Unless it has named
//! somebody, nobody does.
//!
//! ```
//! use ox::kit::contact::{self, Contact, End, Peer, Purpose};
//! let peer = Peer::of_url("https://someone@git.example/x.git").unwrap();
//! contact::tell(Contact { sent: Some(120), ..Contact::new(Purpose::Sync, peer, End::Status(200)) });
//! ```

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use super::child::{ChildError, Output};

/// Longer names of hosts are cut: there are none in the DNS.
const HOST_MAX: usize = 253;

/// What a contact is for: told with each, never to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Nothing that has a name here.
    #[default]
    Other,
    /// A remote of git is looked at, or what is new there fetched.
    Sync,
    /// A clone of a remote is made.
    Clone,
    /// Commits are sent.
    Push,
    /// Large files beside git.
    Lfs,
    /// The server that a project belongs to.
    VendorApi,
    /// Logging in and out, and staying so.
    Login,
    /// Events go to the relay's server.
    Relay,
    /// Events go to a collector of OpenTelemetry.
    Otlp,
    /// A server of chat completions answers.
    Chat,
    /// An agent program is run and reaches its vendor.
    Agent,
}

impl Purpose {
    /// In a word or two, as receipts have it.
    pub const fn word(self) -> &'static str {
        match self {
            Purpose::Other => "other",
            Purpose::Sync => "sync",
            Purpose::Clone => "clone",
            Purpose::Push => "push",
            Purpose::Lfs => "lfs",
            Purpose::VendorApi => "vendor api",
            Purpose::Login => "login",
            Purpose::Relay => "relay",
            Purpose::Otlp => "otlp",
            Purpose::Chat => "chat",
            Purpose::Agent => "agent",
        }
    }
}

/// One contact. It holds no path, query, login or content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// What it was for.
    pub purpose: Purpose,
    /// With whom.
    pub peer: Peer,
    /// The proxy in between, as `host:port`, where one is known.
    pub via: Option<String>,
    /// What came of it.
    pub end: End,
    /// Bytes that went out, where they were counted.
    pub sent: Option<u64>,
    /// Bytes that came in, where they were counted.
    pub received: Option<u64>,
}

/// The other side of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A server.
    Server {
        /// `https`, `http`, `wss`, `ws`, `ssh`, `git`, …
        scheme: Cow<'static, str>,
        /// Its name or address in lower case, an IPv6 address without brackets.
        host: String,
        /// Its port, also where it is the scheme's own; none of a scheme whose own is not known.
        port: Option<u16>,
    },
    /// A program that was run and reaches servers of its own, which nobody here knows.
    Program(&'static str),
}

/// What came of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It went well.
    Done,
    /// An answer of HTTP; 101 for a link that stands from now on.
    Status(u16),
    /// A link that was told of when it stood has ended: no contact of its own, it brings the bytes.
    Closed,
    /// There was no answer, or none that is of use: in a word or two, such as `refused`.
    Failed(&'static str),
}

/// [`End::Closed`] in a word.
pub const CLOSED: &str = "closed";

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Done => f.write_str("ok"),
            End::Status(status) => write!(f, "{status}"),
            End::Closed => f.write_str(CLOSED),
            End::Failed(word) => f.write_str(word),
        }
    }
}

impl End {
    /// What came of a program that was run; `None` if it could not be.
    pub fn of_run(ran: &Result<Output, ChildError>) -> Option<End> {
        match ran {
            Err(ChildError::NotFound { .. } | ChildError::Spawn { .. }) => None,
            Ok(output) if output.status.success() => Some(End::Done),
            Err(ChildError::Timeout { .. }) => Some(End::Failed("timeout")),
            Err(ChildError::Stalled { .. }) => Some(End::Failed("stalled")),
            Err(ChildError::Cancelled { .. }) => Some(End::Failed("cancelled")),
            _ => Some(End::Failed("failed")),
        }
    }
}

impl Contact {
    /// A contact of which no bytes were counted.
    pub fn new(purpose: Purpose, peer: Peer, end: End) -> Contact {
        Contact { purpose, peer, via: None, end, sent: None, received: None }
    }
}

impl Peer {
    /// The server of a URL, or of git's `[user@]host:path`. `None` for what is on this machine's disk or names no host.
    pub fn of_url(url: &str) -> Option<Peer> {
        let Some((scheme, rest)) = url.split_once("://") else {
            let (authority, _) = url.split_once(':').filter(|(host, _)| !host.contains('/'))?;
            // The colon of an address in brackets is not the one before the path.
            let authority = match authority.contains('[') {
                true => url.get(..=url.find(']')?)?,
                false => authority,
            };
            return Peer::server("ssh".into(), authority);
        };
        let scheme = scheme.to_ascii_lowercase();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match scheme.as_str() {
            "file" => None,
            "git+ssh" | "ssh+git" => Peer::server("ssh".into(), authority),
            _ => Peer::server(scheme.into(), authority),
        }
    }

    fn server(scheme: Cow<'static, str>, authority: &str) -> Option<Peer> {
        let bare = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => bare.split_once(':').map_or((bare, None), |(host, port)| (host, Some(port))),
        };
        let is_of_host = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let host: String = host.chars().filter(is_of_host).take(HOST_MAX).collect::<String>().to_lowercase();
        let port = port.and_then(|port| port.parse().ok()).or(match &*scheme {
            "https" | "wss" => Some(443),
            "http" | "ws" => Some(80),
            "ssh" => Some(22),
            "git" => Some(9418),
            _ => None,
        });
        (!host.is_empty()).then_some(Peer::Server { scheme, host, port })
    }
}

type Recorder = Arc<dyn Fn(&Contact) + Send + Sync>;

static RECORDER: RwLock<Option<Recorder>> = RwLock::new(None);

/// From now on `recorder` hears of every contact of this process, on the thread that made it; who heard before does not any more.
pub fn record(recorder: impl Fn(&Contact) + Send + Sync + 'static) {
    *RECORDER.write() = Some(Arc::new(recorder));
}

/// Tells of a contact that has ended, or of a link that stands.
pub fn tell(contact: Contact) {
    let recorder = RECORDER.read().clone();
    if let Some(recorder) = recorder {
        recorder(&contact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_an_address_is_its_host_and_port_and_nothing_else() {
        let check = |url: &str, expected: Option<(&str, &str, Option<u16>)>| {
            let found = Peer::of_url(url);
            let found = found.as_ref().map(|peer| match peer {
                Peer::Server { scheme, host, port } => (&**scheme, host.as_str(), *port),
                Peer::Program(name) => (*name, "", None),
            });
            assert_eq!(found, expected, "{url}");
        };
        check("https://Git.Example/a/b.git?token=x", Some(("https", "git.example", Some(443))));
        check("https://user:word@h:8443/x", Some(("https", "h", Some(8443))));
        check("http://127.0.0.1:80/", Some(("http", "127.0.0.1", Some(80))));
        check("http://[::1]:3/x", Some(("http", "::1", Some(3))));
        check("wss://relay.example/socket", Some(("wss", "relay.example", Some(443))));
        check("ssh://git@h/x", Some(("ssh", "h", Some(22))));
        check("git+ssh://git@h:222/x", Some(("ssh", "h", Some(222))));
        check("git@h:a/b.git", Some(("ssh", "h", Some(22))));
        check("git@[::1]:a", Some(("ssh", "::1", Some(22))));
        check("git://h/x", Some(("git", "h", Some(9418))));
        check("odd://h/x", Some(("odd", "h", None)));
        check("https://h\u{1b}[31m/x", Some(("https", "h31m", Some(443))));
        for nobody in ["/a/b", "./a:b", "file:///a", "file://h/a", "", "x", "https:///x", "https://u@/x"] {
            check(nobody, None);
        }
    }
}
