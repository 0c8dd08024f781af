//! Which git remotes a server may name for its users' clones.

use super::remote::is_loopback;
use super::{Endpoint, Error, RemoteKind, RemoteUrl, TrustedHosts};

/// The user name under which tokens once stood in URLs.
const OLD_USER: &str = "oauth2";

/// The hosts that a server's answers may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    hosts: Vec<String>,
}

impl AllowedHosts {
    /// The endpoint's own host, that host with `git.` in front, the host of the credentials' git server, and those the user agreed to.
    pub fn of(endpoint: &Endpoint, server_url: Option<&str>, trusted: &TrustedHosts) -> AllowedHosts {
        let mut hosts = Vec::new();
        if let Some(host) = host_of(endpoint.as_str()).filter(|_| !endpoint.is_local()) {
            hosts.push(format!("git.{host}"));
            hosts.push(host);
        }
        hosts.extend(server_url.and_then(host_of));
        hosts.extend(trusted.hosts().iter().cloned());
        AllowedHosts { hosts }
    }

    fn contains(&self, host: &str) -> bool {
        // A server on this machine goes by several names.
        let allows = |known: &String| known == host || (is_loopback(known) && is_loopback(host));
        self.hosts.iter().any(allows)
    }
}

/// The host of a base URL, also of one without a scheme, in lower case.
fn host_of(url: &str) -> Option<String> {
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    RemoteUrl::parse(&url).ok()?.host().map(str::to_owned)
}

/// A remote that a server may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorUrl {
    /// The remote, without any secret.
    pub url: RemoteUrl,
    /// Whether a token of the old kind stood in the URL and was left out.
    pub stripped: bool,
}

impl RemoteUrl {
    /// Checks a remote that a server named or that an older clone has: `https`, or `http` on this machine, at an allowed host. The old
    /// form with `oauth2:<token>@` is taken without that part; nothing else may stand before the host.
    ///
    /// # Errors
    /// `RemoteRefused`.
    pub fn parse_vendor(raw: &str, allowed: &AllowedHosts) -> Result<VendorUrl, Error> {
        let plain = without_old_user(raw);
        let stripped = plain.is_some();
        let url = RemoteUrl::parse(plain.as_deref().unwrap_or(raw))?;
        let refuse = |reason| Err(Error::RemoteRefused { url: url.display(), reason });
        if !matches!(url.kind(), RemoteKind::Https | RemoteKind::Http) {
            return refuse("a server's remotes are reached by https");
        }
        if !url.host().is_some_and(|host| allowed.contains(host)) {
            return refuse("its host is neither the server's nor a trusted one");
        }
        Ok(VendorUrl { url, stripped })
    }
}

/// The URL without `oauth2@` or `oauth2:<anything>@`; `None` if neither stands there.
fn without_old_user(raw: &str) -> Option<String> {
    let (scheme, rest) = raw.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    // Two signs may mean another host to another reader: such a URL goes on as it is and is refused.
    let (user, host) = authority.split_once('@').filter(|(_, host)| !host.contains('@'))?;
    let is_old = user.strip_prefix(OLD_USER).is_some_and(|token| token.is_empty() || token.starts_with(':'));
    is_old.then(|| format!("{scheme}://{host}{}", &rest[authority.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::project::{Dirs, Env};

    fn allowed(endpoint: &str, server: Option<&str>) -> AllowedHosts {
        AllowedHosts::of(&Endpoint::parse(endpoint).unwrap(), server, &TrustedHosts::default())
    }

    fn check(allowed: &AllowedHosts, raw: &str, expected: Option<(&str, bool)>) {
        let parsed = RemoteUrl::parse_vendor(raw, allowed).ok();
        let got = parsed.as_ref().map(|v| (v.url.as_str(), v.stripped));
        assert_eq!(got, expected, "{raw}");
    }

    #[test]
    fn the_servers_own_hosts_are_allowed_and_no_other() {
        let hosts = allowed("https://api.sageox.ai/", Some("https://code.example.org:8443/x"));
        for url in [
            "https://sageox.ai/l.git",
            "https://git.sageox.ai/l.git",
            "https://GIT.sageox.ai:444/l.git",
            "https://code.example.org/l.git",
        ] {
            check(&hosts, url, Some((url, false)));
        }
        for url in [
            "https://evil.example/l.git",
            "https://sageox.ai.evil.example/l.git",
            "https://deep.git.sageox.ai/l.git",
            "https://xsageox.ai/l.git",
            "https://github.com/a/b.git",
            "http://sageox.ai/l.git",
            "http://localhost/l.git",
            "ssh://git@sageox.ai/l.git",
            "git@sageox.ai:l.git",
            "/srv/l.git",
            "file:///srv/l.git",
            "ext::sh -c id",
            "-oProxyCommand=id",
            "https://user:pw@sageox.ai/l.git",
            "https://oauth@sageox.ai/l.git",
            "https://oauth2x:t@sageox.ai/l.git",
            "https://oauth2:t@evil.example/l.git",
            "https://oauth2:t@sageox.ai@evil.example/l.git",
            "https://oauth2:t@evil.example\\@sageox.ai/l.git",
            "https://sageox.ai#@evil.example/l.git",
            "",
        ] {
            check(&hosts, url, None);
        }
    }

    #[test]
    fn syn_09_an_old_token_is_left_out_and_told() {
        let hosts = allowed("https://sageox.ai", None);
        let plain = Some(("https://git.sageox.ai/l.git", true));
        check(&hosts, "https://oauth2:glpat-canary@git.sageox.ai/l.git", plain);
        check(&hosts, "https://oauth2:@git.sageox.ai/l.git", plain);
        check(&hosts, "https://oauth2@git.sageox.ai/l.git", plain);
        let refused =
            RemoteUrl::parse_vendor("https://oauth2:canary@evil.example/l.git", &hosts).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused}");
    }

    #[test]
    fn a_server_on_this_machine_goes_by_all_its_names() {
        let hosts = allowed("http://localhost:3000", None);
        for url in ["http://localhost:9/l", "http://127.0.0.1:3000/l", "http://[::1]/l"] {
            check(&hosts, url, Some((url, false)));
        }
        check(&hosts, "http://oauth2:t@127.0.0.1:1/l", Some(("http://127.0.0.1:1/l", true)));
        check(&hosts, "http://192.168.0.1/l", None);
    }

    #[test]
    fn the_users_own_list_counts_and_no_server_is_no_host() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
        TrustedHosts::trust(&dirs, &RemoteUrl::parse("https://mine.example/x").unwrap()).unwrap();
        let (trusted, _) = TrustedHosts::load(&dirs);
        let hosts = AllowedHosts::of(&Endpoint::local(), None, &trusted);
        check(&hosts, "https://mine.example/l", Some(("https://mine.example/l", false)));
        check(&hosts, "https://local/l", None);
        check(&hosts, "https://git.local/l", None);
    }

    proptest! {
        #[test]
        fn syn_09_whatever_is_let_through_goes_to_an_allowed_host_with_no_secret(
            raw in r"(https|http)://(oauth2)?[:@]?[a-c.\\#?/@:]{0,6}@?(sageox\.ai|evil\.example)[/@:.a-c]{0,6}",
        ) {
            if let Ok(VendorUrl { url, .. }) = RemoteUrl::parse_vendor(&raw, &allowed("https://sageox.ai", None)) {
                prop_assert!(matches!(url.host(), Some("sageox.ai" | "git.sageox.ai")), "{}", raw);
                let authority = url.as_str().split('/').nth(2).unwrap_or_default();
                prop_assert!(!authority.contains('@'), "{}", raw);
            }
        }
    }
}
