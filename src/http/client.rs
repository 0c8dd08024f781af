//! The client: two pools of connections, who it says it is, what it trusts.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector, TcpConnector};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::error::HttpError;
use super::limits::{
    AUTHORITIES_CAP, CONNECT, HEAD_CAP, IDLE, INPUT_BUFFER, KEPT_LOOPBACK, KEPT_PER_HOST, KEPT_TLS,
    OUTPUT_BUFFER,
};
use super::names::Names;
use super::request::Request;
use super::target::Target;
use super::transport::WatchConnector;
use crate::kit::clock::Clock;
use crate::kit::contact::Purpose;
use crate::kit::file;

/// The HTTP client. Cheap to clone; clones share their connections. Nothing is read or connected before the first request.
#[derive(Clone)]
pub struct Client {
    program: &'static str,
    purpose: Purpose,
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) names: Names,
    loopback: OnceLock<Agent>,
    tls: OnceLock<Agent>,
    proxy: OnceLock<Option<Proxy>>,
    trust: Trust,
}

/// Which servers a client takes beside those that every client does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Those without TLS, wherever they are.
    pub insecure: bool,
    /// Those whose certificates these authorities vouch for, a PEM file, and of those with TLS no others.
    pub ca_file: Option<PathBuf>,
}

impl Client {
    /// A client that speaks for the command line.
    pub fn new(clock: Arc<dyn Clock>) -> Client {
        Client::trusting("ox", clock, Trust::default())
    }

    /// A client beside this one that speaks for the same program to servers which the user trusts by name. It has connections of its own.
    pub fn with_trust(&self, trust: Trust) -> Client {
        if trust == self.shared.trust {
            return self.clone();
        }
        Client::trusting(self.program, Arc::clone(&self.shared.clock), trust).meant_for(self.purpose)
    }

    fn trusting(program: &'static str, clock: Arc<dyn Clock>, trust: Trust) -> Client {
        let names = Names::new(Arc::clone(&clock));
        let (loopback, tls, proxy) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let shared = Arc::new(Shared { clock, names, loopback, tls, proxy, trust });
        Client { program, purpose: Purpose::Other, shared }
    }

    /// The same, connections included, speaking for the daemon.
    pub fn for_daemon(&self) -> Client {
        Client { program: "ox-daemon", ..self.clone() }
    }

    /// The same, connections included, whose requests are for that.
    pub fn meant_for(&self, purpose: Purpose) -> Client {
        Client { purpose, ..self.clone() }
    }

    /// What its requests are for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Who it says it is: `ox/<version> (<os>; <architecture>)`, or `ox-daemon/…`, with Go's names of both.
    pub fn user_agent(&self) -> String {
        format!("{}/{} ({}; {})", self.program, env!("CARGO_PKG_VERSION"), os(), architecture())
    }

    /// A GET of `url`.
    pub fn get(&self, url: &str) -> Request {
        Request::get(self.clone(), url)
    }

    /// A POST of `body` to `url`.
    pub fn post(&self, url: &str, content_type: &str, body: Vec<u8>) -> Request {
        Request::post(self.clone(), url, content_type, body)
    }

    /// A PUT of the first `size` bytes of `file` to `url`, read as they are sent.
    pub fn put(&self, url: &str, file: File, size: u64) -> Request {
        Request::put(self.clone(), url, file, size)
    }

    /// Whether requests to `url` are possible at all: `https`, or `http` to this machine; no login in it; no SOCKS proxy on the way.
    pub fn accepts(&self, url: &str) -> bool {
        self.target(url).and_then(|t| self.proxy(&t).map(drop)).is_ok()
    }

    /// Where a request of this client may go.
    pub(super) fn target(&self, url: &str) -> Result<Target, HttpError> {
        Target::parse(url, self.shared.trust.insecure)
    }

    /// The agent for a target.
    pub(super) fn agent(&self, target: &Target) -> Result<&Agent, HttpError> {
        let proxy = self.proxy(target)?;
        if !target.tls {
            return Ok(self
                .shared
                .loopback
                .get_or_init(|| self.build(KEPT_LOOPBACK, None, RootCerts::WebPki)));
        }
        if let Some(agent) = self.shared.tls.get() {
            return Ok(agent);
        }
        let roots = match &self.shared.trust.ca_file {
            Some(path) => authorities(path)?.into_iter().into(),
            None => roots(),
        };
        Ok(self.shared.tls.get_or_init(|| self.build(KEPT_TLS, proxy.cloned(), roots)))
    }

    /// The environment's proxy. What stays on this machine never takes one.
    pub(super) fn proxy(&self, target: &Target) -> Result<Option<&Proxy>, HttpError> {
        if !target.tls {
            return Ok(None);
        }
        let proxy = self.shared.proxy.get_or_init(Proxy::try_from_env).as_ref();
        let usable = |p: &Proxy| {
            matches!(p.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) || p.is_no_proxy(&target.uri)
        };
        if proxy.is_some_and(|p| !usable(p)) {
            return Err(HttpError::BadRequest {
                why: "the environment names a SOCKS proxy, which is not supported",
            });
        }
        Ok(proxy)
    }

    /// Host and port of the proxy on the way to a target.
    pub(super) fn via(&self, target: &Target) -> Option<String> {
        let proxy = self.proxy(target).ok()??;
        (!proxy.is_no_proxy(&target.uri)).then(|| format!("{}:{}", proxy.host(), proxy.port()))
    }

    /// Whom connections that are no requests trust.
    pub(super) fn trusted(&self) -> Result<RootCertStore, HttpError> {
        let mut store = RootCertStore::empty();
        match &self.shared.trust.ca_file {
            Some(path) => {
                let found = authorities(path)?;
                store.add_parsable_certificates(found.iter().map(|c| c.der().to_vec().into()));
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let why = "no authority that certificates could be trusted by is known";
        if store.is_empty() { Err(HttpError::BadRequest { why }) } else { Ok(store) }
    }

    fn build(&self, kept: usize, proxy: Option<Proxy>, roots: RootCerts) -> Agent {
        let config = Agent::config_builder()
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(self.user_agent())
            .timeout_connect(Some(CONNECT))
            .max_response_header_size(HEAD_CAP)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(kept)
            .max_idle_connections_per_host(KEPT_PER_HOST)
            .max_idle_age(IDLE)
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(WatchConnector)
                .chain(RustlsConnector::default());
        Agent::with_parts(config, connector, self.shared.names.clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)
    }
}

/// The system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others); Mozilla's if there are none.
fn roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs();
    for e in &found.errors {
        log::warn!("certificate authorities: {e}");
    }
    if found.certs.is_empty() {
        log::warn!("the system has no certificate authorities; those that come with ox are used");
        return RootCerts::WebPki;
    }
    found.certs.iter().map(|c| Certificate::from_der(c).to_owned()).into()
}

/// The authorities of a PEM file. One that cannot be used trusts nobody.
fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, HttpError> {
    let bad = || HttpError::BadRequest {
        why: "the file of trusted authorities holds no certificate that can be read",
    };
    let bytes = file::read_capped(path, AUTHORITIES_CAP)
        .map_err(|source| HttpError::File { what: "reading the trusted authorities from", source })?;
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| bad())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(bad()) } else { Ok(found) }
}

/// Go's name of the operating system.
fn os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    }
}

/// Go's name of the processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
