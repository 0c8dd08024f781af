//! Whose server a project belongs to, or that it belongs to none.

use std::fmt;

use super::{Config, Env};

/// The variable that names the endpoint, except for projects that belong to no server.
pub const ENDPOINT_VAR: &str = "SAGEOX_ENDPOINT";

/// The word that stands in a configuration for "no server".
const LOCAL: &str = "local";

/// Host labels in front of the name that are dropped, one of them.
const DROPPED_LABELS: [&str; 4] = ["api.", "www.", "app.", "git."];

/// The base URL of a server in its normal form, or the word `local`: no server, no HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// No server: the project's data lives on disk and on git remotes of the user's own.
    pub fn local() -> Endpoint {
        Endpoint(LOCAL.to_owned())
    }

    /// Normalises `text`: outer space, one trailing `/` and one leading host label of `api.`, `www.`, `app.`, `git.` go.
    /// `None` if nothing is left.
    pub fn parse(text: &str) -> Option<Endpoint> {
        let text = text.trim();
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let host_at = text.find("://").map_or(0, |at| at + 3);
        let (scheme, host) = text.split_at(host_at);
        let host = DROPPED_LABELS
            .iter()
            .find_map(|label| {
                let head = host.get(..label.len())?;
                head.eq_ignore_ascii_case(label).then(|| &host[label.len()..])
            })
            // A server that happens to be called api.local must not turn into the word for "none".
            .filter(|rest| !rest.is_empty() && (!scheme.is_empty() || *rest != LOCAL))
            .unwrap_or(host);
        Some(Endpoint(format!("{scheme}{host}")))
    }

    /// The normal form, as it stands in files.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The base URL: `https` unless it says otherwise or is on this machine.
    pub fn base_url(&self) -> String {
        if self.0.contains("://") {
            return self.0.clone();
        }
        let scheme = if self.slug() == "localhost" { "http" } else { "https" };
        format!("{scheme}://{}", self.0)
    }

    /// Whether there is no server: then nothing ever speaks HTTP to one, whatever the environment says.
    pub fn is_local(&self) -> bool {
        self.0 == LOCAL
    }

    /// The directory name under which the endpoint's data lies: the lower-case host without port. `127.0.0.1` is
    /// `localhost`; what has no host is `unknown`.
    pub fn slug(&self) -> String {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = match host_port.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host_port.split(':').next().unwrap_or_default(),
        };
        match host.to_ascii_lowercase().as_str() {
            "127.0.0.1" => "localhost".to_owned(),
            host => super::safe_component(host),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The endpoint of a project. Its configuration's `local` always wins; then come `SAGEOX_ENDPOINT`, the configuration, the
/// marker's `marker` value. There is no built-in server, so nothing named is `local` too.
pub fn endpoint_for_project(env: &Env, config: &Config, marker: Option<&str>) -> Endpoint {
    let configured = config.endpoint();
    if configured.as_ref().is_some_and(Endpoint::is_local) {
        return Endpoint::local();
    }
    env.get(ENDPOINT_VAR)
        .and_then(Endpoint::parse)
        .or(configured)
        .or_else(|| marker.and_then(Endpoint::parse))
        .unwrap_or_else(Endpoint::local)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_normalised_and_have_a_slug() {
        let check = |input: &str, normal: &str, slug: &str| {
            let endpoint = Endpoint::parse(input).unwrap();
            assert_eq!((endpoint.as_str(), endpoint.slug().as_str()), (normal, slug), "{input}");
        };
        check("https://sageox.ai", "https://sageox.ai", "sageox.ai");
        check(" https://api.sageox.ai/ ", "https://sageox.ai", "sageox.ai");
        check("https://api.sageox.ai/v1", "https://sageox.ai/v1", "sageox.ai");
        check("https://API.Git.SageOx.ai", "https://Git.SageOx.ai", "git.sageox.ai");
        check("www.example.org:8080", "example.org:8080", "example.org");
        check("http://localhost:3000", "http://localhost:3000", "localhost");
        check("http://127.0.0.1:9", "http://127.0.0.1:9", "localhost");
        check("http://[::1]:3000/x", "http://[::1]:3000/x", "__1".trim_matches('_'));
        check("https://", "https:/", "https");
        check("http:///x", "http:///x", "unknown");
        check("local", "local", "local");
        check("http://u:p@../x", "http://u:p@../x", "unknown");
        assert_eq!(Endpoint::parse(" / "), None);
        assert_eq!(Endpoint::parse(""), None);
    }

    #[test]
    fn a_base_is_a_url() {
        let check =
            |text: &str, expected: &str| assert_eq!(Endpoint::parse(text).unwrap().base_url(), expected);
        check("https://api.sageox.ai/", "https://sageox.ai");
        check("sageox.ai", "https://sageox.ai");
        check("localhost:3000", "http://localhost:3000");
        check("http://127.0.0.1:9", "http://127.0.0.1:9");
    }

    #[test]
    fn only_the_word_itself_is_local() {
        assert!(Endpoint::parse(" local ").unwrap().is_local());
        for other in
            ["api.local", "https://local", "https://api.local", "Local", "local:80", "local.example.org"]
        {
            assert!(!Endpoint::parse(other).unwrap().is_local(), "{other}");
        }
    }

    #[test]
    fn the_first_source_that_speaks_names_the_endpoint() {
        let check = |var: &str, config: &str, marker: Option<&str>, expected: &str| {
            let env = Env::of([(ENDPOINT_VAR, var)], "/");
            let config = Config::parse(config.as_bytes()).unwrap();
            assert_eq!(endpoint_for_project(&env, &config, marker).as_str(), expected);
        };
        let (a, b, c) = ("https://a.example", "https://b.example", "https://c.example");
        check(a, r#"{"endpoint":"https://b.example"}"#, Some(c), a);
        check("", r#"{"endpoint":"https://b.example"}"#, Some(c), b);
        check("", r#"{"api_base_url":"https://api.b.example"}"#, Some(c), b);
        check("", "{}", Some(c), c);
        check("", "{}", None, "local");
        check(a, "{}", None, a);
        // A project that belongs to no server stays so.
        check(a, r#"{"endpoint":"local"}"#, Some(c), "local");
    }

    proptest! {
        #[test]
        fn sec_02_a_slug_is_one_path_component(text in any::<String>()) {
            if let Some(endpoint) = Endpoint::parse(&text) {
                let slug = endpoint.slug();
                prop_assert_eq!(std::path::Path::new(&slug).components().count(), 1);
                prop_assert!(slug != ".." && slug != ".");
            }
        }
    }
}
