//! Which git remotes may be used without a server that vouches for them, and which never.
//!
//! A remote's URL may come from somebody else's commit and ends up as an argument of `git`, so only forms that are understood to
//! the last character are let through.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use super::{Error, limits};
use crate::kit::mask::sanitise;
use crate::kit::text::is_hidden;

/// How a remote is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteKind {
    /// An absolute path.
    Path,
    /// `file:///…`
    File,
    /// `http://…`, on this machine only.
    Http,
    /// `https://…`
    Https,
    /// `ssh://…` or `user@host:path`.
    Ssh,
}

/// A remote that may be used: `https`, `http` on this machine, `ssh` in both its forms, an absolute path or a `file` URL.
///
/// A user name alone is how ssh says who one is and is allowed there; in http and https nothing may stand before the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    raw: String,
    kind: RemoteKind,
    host: Option<String>,
    user: Option<String>,
    path: String,
}

type Refused = &'static str;

impl RemoteUrl {
    /// Checks a URL or absolute path.
    ///
    /// # Errors
    /// `RemoteRefused` for everything else: other transports, options, secrets, relative paths, control characters.
    pub fn parse(raw: &str) -> Result<RemoteUrl, Error> {
        parse(raw).map_err(|reason| Error::RemoteRefused { url: mask(raw), reason })
    }

    /// The remote as git wants it.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// How it is reached.
    pub fn kind(&self) -> RemoteKind {
        self.kind
    }

    /// The host in lower case, without brackets; `None` for paths and files.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The directory of a path or file remote.
    pub fn local_path(&self) -> Option<&Path> {
        matches!(self.kind, RemoteKind::Path | RemoteKind::File).then(|| Path::new(&self.path))
    }

    /// Whether using it leaves this machine.
    pub fn is_local(&self) -> bool {
        self.host.as_deref().is_none_or(|host| self.kind == RemoteKind::Http && is_loopback(host))
    }

    /// The remote for people and logs: a user name other than `git` is masked.
    pub fn display(&self) -> String {
        match self.user.as_deref() {
            None | Some("git") => self.raw.clone(),
            Some(user) => self.raw.replacen(&format!("{user}@"), "***@", 1),
        }
    }
}

fn parse(raw: &str) -> Result<RemoteUrl, Refused> {
    if raw.is_empty() {
        return Err("it is empty");
    }
    if raw.len() > limits::REMOTE_MAX {
        return Err("it is too long");
    }
    if raw.chars().any(is_hidden) {
        return Err("it holds control characters");
    }
    if raw.trim() != raw {
        return Err("it begins or ends with a space");
    }
    if raw.starts_with('-') {
        return Err("it looks like an option");
    }
    if raw.starts_with('/') {
        check_local_path(raw)?;
        return Ok(RemoteUrl::local(raw, RemoteKind::Path, raw.to_owned()));
    }
    if !raw.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a URL has only visible ASCII characters; encode the others");
    }
    match raw.split_once("://") {
        Some((scheme, rest)) => parse_url(raw, scheme, rest),
        None => parse_scp(raw),
    }
}

impl RemoteUrl {
    fn local(raw: &str, kind: RemoteKind, path: String) -> RemoteUrl {
        RemoteUrl { raw: raw.to_owned(), kind, host: None, user: None, path }
    }
}

fn parse_url(raw: &str, scheme: &str, rest: &str) -> Result<RemoteUrl, Refused> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let kind = match scheme {
        "https" => RemoteKind::Https,
        "http" => RemoteKind::Http,
        "ssh" => RemoteKind::Ssh,
        "file" => {
            if !authority.is_empty() {
                return Err("a file URL has three slashes and no host");
            }
            let decoded = decode(path)?;
            check_local_path(&decoded)?;
            return Ok(RemoteUrl::local(raw, RemoteKind::File, decoded));
        }
        _ => return Err("only https, ssh, file, absolute paths, and http on this machine are used"),
    };
    if path.contains(['?', '#', '\\']) || authority.contains(['?', '#', '\\']) {
        return Err("a remote has no query, fragment or backslash");
    }
    let (userinfo, host_port) = match authority.rsplit_once('@') {
        Some((userinfo, host_port)) => (Some(userinfo), host_port),
        None => (None, authority),
    };
    let user = match (userinfo, kind) {
        (None, _) => None,
        (Some(user), RemoteKind::Ssh) => Some(check_user(user)?),
        (Some(_), _) => return Err("names and secrets belong to git's credential helper, not into the URL"),
    };
    let host = parse_host_port(host_port)?;
    if kind == RemoteKind::Http && !is_loopback(&host) {
        return Err("http is for this machine only; use https");
    }
    let path = decode(path)?;
    if kind == RemoteKind::Ssh && path.trim_start_matches('/').is_empty() {
        return Err("the path is missing");
    }
    Ok(RemoteUrl { raw: raw.to_owned(), kind, host: Some(host), user, path })
}

/// `[user@]host:path`, the short form of ssh.
fn parse_scp(raw: &str) -> Result<RemoteUrl, Refused> {
    let (user, rest) = match raw.split_once('@') {
        Some((user, rest)) if !user.contains(['/', ':', '[']) => (Some(check_user(user)?), rest),
        _ => (None, raw),
    };
    let (host, path) = match rest.strip_prefix('[').and_then(|r| r.split_once("]:")) {
        Some((v6, path)) => (parse_v6(v6)?, path),
        None => match rest.split_once(':') {
            Some((host, _)) if host.contains('/') => return Err(RELATIVE),
            Some((host, path)) => (check_host(host)?, path),
            None => return Err(RELATIVE),
        },
    };
    if path.starts_with(':') {
        return Err("remote helpers run programs and are never used");
    }
    const SCHEMES: [&str; 8] = ["http", "https", "ssh", "file", "git", "ftp", "ext", "fd"];
    if SCHEMES.contains(&host.as_str()) {
        return Err("the two slashes after the colon are missing");
    }
    if path.is_empty() {
        return Err("the path is missing");
    }
    if path.starts_with('-') {
        return Err("its path looks like an option");
    }
    Ok(RemoteUrl {
        raw: raw.to_owned(),
        kind: RemoteKind::Ssh,
        host: Some(host),
        user,
        path: path.to_owned(),
    })
}

const RELATIVE: Refused = "a relative path means something else in every directory; use an absolute one";

fn check_user(user: &str) -> Result<String, Refused> {
    if user.contains(':') {
        return Err("a password belongs to git's credential helper, not into the URL");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~+-".contains(&b);
    if user.is_empty() || user.starts_with('-') || !user.bytes().all(plain) {
        return Err("its user name is none");
    }
    Ok(user.to_owned())
}

fn parse_host_port(text: &str) -> Result<String, Refused> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (v6, port) = rest.split_once(']').ok_or("its host is none")?;
        (parse_v6(v6)?, port.strip_prefix(':').or(port.is_empty().then_some("1")).ok_or("its host is none")?)
    } else {
        let (host, port) = text.split_once(':').unwrap_or((text, "1"));
        (check_host(host)?, port)
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(host),
        _ => Err("its port is none"),
    }
}

fn parse_v6(text: &str) -> Result<String, Refused> {
    text.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| "its host is none")
}

fn check_host(host: &str) -> Result<String, Refused> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let fits = (1..=253).contains(&host.len());
    if !fits || host.starts_with(['-', '.']) || host.contains("..") || !host.bytes().all(plain) {
        return Err("its host is none");
    }
    Ok(host.to_ascii_lowercase())
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Replaces `%XX`; refuses what would become a control character or no text.
fn decode(path: &str) -> Result<String, Refused> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        let byte = hex
            .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|h| u8::from_str_radix(h, 16).ok())
            .ok_or("a percent sign begins no code")?;
        bytes.push(byte);
        rest = &tail[2..];
    }
    let text = String::from_utf8(bytes).map_err(|_| "its codes make no text")?;
    if text.chars().any(is_hidden) {
        return Err("it holds control characters");
    }
    Ok(text)
}

fn check_local_path(path: &str) -> Result<(), Refused> {
    if !path.starts_with('/') {
        return Err(RELATIVE);
    }
    if Path::new(path).components().any(|c| c == Component::ParentDir) {
        return Err("its path goes up with `..`");
    }
    if PathBuf::from(path).parent().is_none() {
        return Err("the path is missing");
    }
    Ok(())
}

/// A refused text as it may be shown: everything that could be a secret before an `@` is gone, and it is short.
fn mask(raw: &str) -> String {
    // What follows is never needed to see which one is meant, and a user's name may be a token.
    let shown = match raw.rsplit_once('@') {
        Some((user, rest)) if !raw.contains("://") && user != "git" => format!("***@{rest}"),
        _ => sanitise(raw),
    };
    sanitise(shown.split(['?', '#']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_use_is_allowed() {
        use RemoteKind::*;
        let check = |raw: &str, kind: RemoteKind, host: Option<&str>, path: &str| {
            let url = RemoteUrl::parse(raw).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((url.kind(), url.host(), url.path.as_str()), (kind, host, path), "{raw}");
            assert_eq!(url.as_str(), raw);
        };
        check("https://git.example.org/a/b.git", Https, Some("git.example.org"), "/a/b.git");
        check("https://GIT.Example.org:8443/a%20b/~x+y@v1", Https, Some("git.example.org"), "/a b/~x+y@v1");
        check("http://localhost:3000/a.git", Http, Some("localhost"), "/a.git");
        check("http://127.0.0.2/a", Http, Some("127.0.0.2"), "/a");
        check("http://[::1]:80/a", Http, Some("::1"), "/a");
        check("ssh://git@example.org/a.git", Ssh, Some("example.org"), "/a.git");
        check("ssh://example.org:2222/~me/a.git", Ssh, Some("example.org"), "/~me/a.git");
        check("ssh://git@[2001:db8::1]:22/a", Ssh, Some("2001:db8::1"), "/a");
        check("git@example.org:a/b.git", Ssh, Some("example.org"), "a/b.git");
        check("example.org:/srv/a.git", Ssh, Some("example.org"), "/srv/a.git");
        check("my-alias:a@b", Ssh, Some("my-alias"), "a@b");
        check("git@[::1]:a.git", Ssh, Some("::1"), "a.git");
        check("/srv/git/ü a.git", Path, None, "/srv/git/ü a.git");
        check("/srv/x::y@z:w", Path, None, "/srv/x::y@z:w");
        check("file:///srv/a%20b.git", File, None, "/srv/a b.git");
    }

    /// Each of these would run something, go somewhere unexpected, carry a secret or mean something else elsewhere.
    const ATTACKS: [&str; 86] = [
        "",
        " ",
        "ext::sh -c touch% /tmp/x",
        "ext::/bin/id",
        "fd::17",
        "http::https://example.org/a",
        "a::b",
        "git@ext::x",
        "testgit::/srv/a",
        "-",
        "--upload-pack=touch /tmp/x",
        "-u./payload",
        "-oProxyCommand=id",
        "ssh://-oProxyCommand=id/a",
        "ssh://-oProxyCommand=id@example.org/a",
        "ssh://%2doProxyCommand=id/a",
        "ssh://git@-oProxyCommand=id/a",
        "-oProxyCommand=id:a",
        "git@-oProxyCommand=id:a",
        "-git@example.org:a",
        "git@example.org:-oProxyCommand=id",
        "example.org:--upload-pack=id",
        "git@[-oProxyCommand=id]:a",
        "[git@example.org:22]:a",
        "git@[::1%eth0]:a",
        "https://user:secret@example.org/a",
        "https://token@example.org/a",
        "https://@example.org/a",
        "https://:@example.org/a",
        "http://user:secret@localhost/a",
        "ssh://git:secret@example.org/a",
        "ssh://git:@example.org/a",
        "ssh://@example.org/a",
        "ssh://a@b@example.org/a",
        "ssh://a%40b@example.org/a",
        "git:secret@example.org:a",
        "https://example.org@evil.example/a",
        "http://example.org/a",
        "http://localhost.evil.example/a",
        "http://127.0.0.1.evil.example/a",
        "http://127.1/a",
        "http://0x7f000001/a",
        "http://2130706433/a",
        "http://0.0.0.0/a",
        "http://[::ffff:127.0.0.1]/a",
        "http://localhost\\@evil.example/a",
        "http://localhost#@evil.example/a",
        "http://localhost?@evil.example/a",
        "https://example.org\\.evil.example/a",
        "https://example.org/a?service=x",
        "https://example.org/a#b",
        "https://example.org/a\\b",
        "https://example.org/%0ahost=evil.example",
        "https://example.org/%00",
        "https://example.org/%zz",
        "https://example.org/%2",
        "https://example.org/%ff",
        "https://example.org%0a/a",
        "https://example.org\n/a",
        "https://example.org/a\r\nHost: evil",
        "https://example.org/a\0b",
        "https://exämple.org/a",
        "https:///a",
        "https://",
        "https://.example.org/a",
        "https://a..b/c",
        "https://example.org:/a",
        "https://example.org:0/a",
        "https://example.org:99999/a",
        "https://example.org:+80/a",
        "https://[::1/a",
        "https://[example.org]/a",
        "https:/example.org/a",
        "HTTPS://example.org/a",
        "git://example.org/a",
        "ftp://example.org/a",
        "git+ssh://git@example.org/a",
        "file://example.org/a",
        "file://localhost/a",
        "file:a",
        "file:///srv/../etc",
        "file:///srv/%2e%2e/etc",
        "/srv/../etc/a.git",
        "../a.git",
        "~/a.git",
        "/srv/a\u{202e}tig.",
    ];

    #[test]
    fn sec_02_attacks_are_refused() {
        for raw in ATTACKS {
            assert!(RemoteUrl::parse(raw).is_err(), "{raw:?}");
            assert!(RemoteUrl::parse(&format!("{raw}\n")).is_err(), "{raw:?}");
        }
        for raw in
            ["a.git", "./a", "a/b:c", "example.org:", "ssh://example.org", "ssh://example.org/", "/", "//"]
        {
            assert!(RemoteUrl::parse(raw).is_err(), "{raw:?}");
        }
        assert!(RemoteUrl::parse(&format!("/{}", "a".repeat(limits::REMOTE_MAX))).is_err());
    }

    #[test]
    fn syn_09_no_refusal_shows_a_secret() {
        for raw in [
            "https://user:hunter2@example.org/a",
            "https://hunter2@example.org/a",
            "https://user:se/hunter2@example.org/a",
            "ssh://git:hunter2@example.org/a",
            "git:hunter2@example.org:a",
            "ext::https://user:hunter2@example.org",
            "https://example.org/a?token=hunter2",
            "https://a@b:hunter2@example.org",
        ] {
            let text = RemoteUrl::parse(raw).unwrap_err().to_string();
            assert!(!text.contains("hunter2"), "{text}");
        }
        let long = RemoteUrl::parse(&"ü".repeat(10_000)).unwrap_err().to_string();
        assert!(long.len() < 1000);
    }

    #[test]
    fn user_names_are_masked_and_what_stays_here_is_known() {
        let check = |raw: &str, shown: &str, local: bool| {
            let url = RemoteUrl::parse(raw).unwrap();
            assert_eq!((url.display().as_str(), url.is_local()), (shown, local));
        };
        check("ssh://git@example.org/a", "ssh://git@example.org/a", false);
        check("ssh://ghp_123@example.org/a", "ssh://***@example.org/a", false);
        check("me@example.org:a@b", "***@example.org:a@b", false);
        check("https://example.org/a@b", "https://example.org/a@b", false);
        check("https://localhost/a", "https://localhost/a", false);
        check("http://localhost/a", "http://localhost/a", true);
        check("/srv/a", "/srv/a", true);
        check("file:///srv/a", "file:///srv/a", true);
    }

    proptest! {
        #[test]
        fn sec_02_what_is_allowed_is_no_option_and_no_helper(
            raw in r"(ext|fd|https|http|ssh|file|git|)(::|://|:|)[-a-z0-9@:/.%\[\]\\?#\x00-\x20]{0,24}",
        ) {
            if let Ok(url) = RemoteUrl::parse(&raw) {
                prop_assert!(!raw.starts_with('-'));
                prop_assert!(!raw.contains(|c: char| c.is_control()));
                if url.kind() != RemoteKind::Path {
                    let scheme = raw.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(0);
                    prop_assert!(!raw[scheme..].starts_with("::"), "{}", raw);
                }
                if let Some(host) = url.host() {
                    prop_assert!(!host.starts_with('-') && !host.is_empty());
                }
                if url.kind() == RemoteKind::Http {
                    prop_assert!(url.is_local());
                }
                if matches!(url.kind(), RemoteKind::Http | RemoteKind::Https) {
                    let authority = raw.split("://").nth(1).and_then(|r| r.split('/').next()).unwrap_or_default();
                    prop_assert!(!authority.contains('@'), "{}", raw);
                }
            }
        }

        #[test]
        fn parsing_never_panics(raw in any::<String>()) {
            let _ = RemoteUrl::parse(&raw).map_err(|e| e.to_string());
        }
    }
}
