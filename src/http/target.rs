//! Where a request may go: `https` anywhere, `http` only to this machine unless the user trusts a server without TLS.

use std::net::IpAddr;

use ureq::http::Uri;

use super::error::HttpError;
use super::limits::URL_CAP;

/// A URL that was checked.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) uri: Uri,
    /// Host, and port if it is named: what errors may say.
    pub(super) host: String,
    pub(super) tls: bool,
    /// `http` to other machines is agreed to.
    insecure: bool,
}

impl Target {
    /// Checks a URL; with `insecure` one without TLS may lead anywhere.
    pub(super) fn parse(url: &str, insecure: bool) -> Result<Target, HttpError> {
        let bad = |why| HttpError::BadRequest { why };
        if url.len() > URL_CAP {
            return Err(bad("the URL is too long"));
        }
        let uri: Uri = url.parse().map_err(|_| bad("the URL is malformed"))?;
        let authority = uri.authority().ok_or(bad("the URL has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a URL must not carry a login"));
        }
        if authority.host().is_empty() {
            return Err(bad("the URL has no host"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if insecure || is_loopback(authority.host()) => false,
            Some("http") => return Err(bad("http without TLS is for this machine only")),
            _ => return Err(bad("the URL is neither https nor http")),
        };
        let host = authority.as_str().to_ascii_lowercase();
        Ok(Target { uri, host, tls, insecure })
    }

    /// The URL itself.
    pub(super) fn url(&self) -> String {
        self.uri.to_string()
    }

    /// Where a redirect from here leads; `None` if that is another server, or not understood.
    pub(super) fn redirected(&self, location: &str) -> Option<Target> {
        let same = |t: &Target| t.host == self.host && t.tls == self.tls;
        if location.starts_with('/') && !location.starts_with("//") {
            let scheme = if self.tls { "https" } else { "http" };
            return Target::parse(&format!("{scheme}://{}{location}", self.host), self.insecure)
                .ok()
                .filter(same);
        }
        Target::parse(location, self.insecure).ok().filter(same)
    }
}

impl Target {
    /// Where a redirect from here leads that takes nothing along: any server over TLS; without TLS only from this machine to itself.
    pub(super) fn elsewhere(&self, location: &str) -> Option<Target> {
        self.redirected(location)
            .or_else(|| Target::parse(location, self.insecure).ok().filter(|t| t.tls || !self.tls))
    }
}

/// Whether a host, in brackets if it is an IPv6 address, is this machine by its very name.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_let_through() {
        let check = |url: &str, expected: Option<(&str, bool)>| {
            let found = Target::parse(url, false).ok().map(|t| (t.host, t.tls));
            assert_eq!(found.as_ref().map(|(h, t)| (h.as_str(), *t)), expected, "{url}");
        };
        check("https://Git.Example/x?y", Some(("git.example", true)));
        check("https://h:8443/", Some(("h:8443", true)));
        check("http://localhost:1/x", Some(("localhost:1", false)));
        check("http://127.9.9.9/x", Some(("127.9.9.9", false)));
        check("http://[::1]:3/x", Some(("[::1]:3", false)));
        check("http://example.org/x", None);
        check("http://localhost.example.org/x", None);
        check("https://user:word@h/x", None);
        check("http://localhost@evil.example/x", None);
        check("ftp://h/x", None);
        check("/x", None);
        check("h/x", None);
        check("https:///x", None);
        check("https://h/a b", None);
        check(&format!("https://h/{}", "x".repeat(URL_CAP)), None);
    }

    #[test]
    fn a_server_without_tls_is_taken_where_that_is_agreed_to_and_nothing_else_changes() {
        let check = |url: &str, taken: bool| assert_eq!(Target::parse(url, true).is_ok(), taken, "{url}");
        check("http://example.org/x", true);
        check("https://example.org/x", true);
        check("http://user:word@example.org/x", false);
        check("ftp://example.org/x", false);
        let tls = Target::parse("https://h/a", true).unwrap();
        assert!(tls.elsewhere("http://other/b").is_none() && tls.redirected("http://h/b").is_none());
    }

    #[test]
    fn a_redirect_without_headers_may_go_elsewhere_but_never_from_tls_to_none() {
        let check = |from: &str, to: &str, expected: Option<&str>| {
            let from = Target::parse(from, false).unwrap();
            assert_eq!(from.elsewhere(to).map(|t| t.url()).as_deref(), expected, "{to}");
        };
        check("https://h/a", "https://other/b?c", Some("https://other/b?c"));
        check("https://h/a", "/b", Some("https://h/b"));
        check("https://h/a", "http://127.0.0.1:1/b", None);
        check("https://h/a", "http://other/b", None);
        check("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", Some("http://127.0.0.1:2/b"));
        check("http://127.0.0.1:1/a", "http://other/b", None);
        check("https://h/a", "https://u@other/b", None);
    }

    #[test]
    fn a_redirect_stays_on_its_server() {
        let from = Target::parse("https://h:8443/a/b?c", false).unwrap();
        let check = |to: &str, expected: Option<&str>| {
            assert_eq!(from.redirected(to).map(|t| t.url()).as_deref(), expected, "{to}");
        };
        check("/d?e", Some("https://h:8443/d?e"));
        check("https://h:8443/d", Some("https://h:8443/d"));
        check("https://H:8443/d", Some("https://H:8443/d"));
        check("https://h/d", None);
        check("http://h:8443/d", None);
        check("https://other:8443/d", None);
        check("//other/d", None);
        check("https://u@h:8443/d", None);
        check("", None);
    }
}
