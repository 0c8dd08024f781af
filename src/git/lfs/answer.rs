//! What a server answers about objects, and which addresses of its are used.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rounds::Operation;
use crate::git::limits::LFS_HEADERS_MAX;
use crate::kit::pointer::Pointer;
use crate::kit::secret::Secret;

/// What an answer and a question are written in.
pub(super) const TYPE: &str = "application/vnd.git-lfs+json";

#[derive(Serialize)]
struct Question<'q> {
    operation: &'static str,
    transfers: [&'static str; 1],
    objects: Vec<ObjectRef<'q>>,
    hash_algo: &'static str,
}

#[derive(Serialize)]
struct ObjectRef<'q> {
    oid: &'q str,
    size: u64,
}

/// The question about `objects`.
pub(super) fn question<'q>(operation: Operation, objects: impl Iterator<Item = &'q Pointer>) -> Vec<u8> {
    let objects = objects.map(|o| ObjectRef { oid: &o.oid, size: o.size }).collect();
    let question =
        Question { operation: operation.word(), transfers: ["basic"], objects, hash_algo: "sha256" };
    // It has strings and numbers and nothing that could not be written.
    serde_json::to_vec(&question).unwrap_or_default()
}

/// What is told to the server when an object is there.
pub(super) fn verification(object: &Pointer) -> Vec<u8> {
    serde_json::to_vec(&ObjectRef { oid: &object.oid, size: object.size }).unwrap_or_default()
}

#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    transfer: Option<String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    actions: Option<HashMap<String, RawAction>>,
    #[serde(default)]
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct ObjectError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct RawAction {
    href: Secret,
    #[serde(default)]
    header: Option<HashMap<String, Secret>>,
    #[serde(default)]
    expires_in: Option<i64>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// An address and what is to be sent along.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) href: Secret,
    pub(super) headers: Vec<(String, Secret)>,
    /// When it stops to work.
    pub(super) until: Option<Timestamp>,
}

/// What is to be done about an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    pub(super) upload: Option<Action>,
    pub(super) download: Option<Action>,
    pub(super) verify: Option<Action>,
}

/// The answer about one object.
#[derive(Clone, Debug)]
pub(super) enum About {
    Actions(Actions),
    /// A status of its own and the server's words.
    Refused(u16, String),
    /// It knows an object of that id with another size.
    OtherSize(u64),
}

/// Why an answer is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Useless {
    /// It is none of such a server.
    Foreign,
    /// It speaks of transfers that nobody asked for.
    OtherTransfer,
    /// It names an address that is not used.
    BadAddress,
}

/// Reads an answer of the server at `base` as of `now`, by object.
pub(super) fn read(
    body: &[u8],
    base: &str,
    login: Option<&Secret>,
    now: Timestamp,
) -> Result<HashMap<String, About>, Useless> {
    let batch: Batch = serde_json::from_slice(body).map_err(|_| Useless::Foreign)?;
    if batch.transfer.as_deref().is_some_and(|t| !t.is_empty() && t != "basic") {
        return Err(Useless::OtherTransfer);
    }
    let mut about = HashMap::new();
    for object in batch.objects {
        let told = match object.error {
            Some(e) => About::Refused(e.code, e.message),
            None => {
                let mut actions = object.actions.unwrap_or_default();
                let login = login.filter(|_| !object.authenticated);
                let mut take =
                    |name: &str| actions.remove(name).map(|a| a.checked(base, login, now)).transpose();
                let actions =
                    Actions { upload: take("upload")?, download: take("download")?, verify: take("verify")? };
                About::Actions(actions)
            }
        };
        about.insert(size_key(&object.oid, object.size), told);
    }
    Ok(about)
}

/// Objects are looked up by id; what the server says of the size is kept with it.
fn size_key(oid: &str, size: Option<u64>) -> String {
    size.map_or_else(|| oid.to_owned(), |size| format!("{oid} {size}"))
}

/// What an answer says of `object`.
pub(super) fn about(answers: &HashMap<String, About>, object: &Pointer) -> Option<About> {
    let exact = answers.get(&size_key(&object.oid, Some(object.size))).or_else(|| answers.get(&object.oid));
    exact.cloned().or_else(|| {
        let (key, told) = answers.iter().find(|(key, _)| key.starts_with(&object.oid))?;
        // A server that refuses one often leaves its size out, or writes 0.
        match (told, key.split_once(' ').and_then(|(_, size)| size.parse().ok())) {
            (About::Refused(..), _) | (_, None) => Some(told.clone()),
            (About::Actions(_) | About::OtherSize(_), Some(size)) => Some(About::OtherSize(size)),
        }
    })
}

/// Headers that belong to the connection, or that we know better.
const OURS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "te",
    "trailer",
    "upgrade",
    "range",
    "accept-encoding",
    "proxy-authorization",
];

impl RawAction {
    fn checked(self, base: &str, login: Option<&Secret>, now: Timestamp) -> Result<Action, Useless> {
        if !may_use(base, self.href.expose()) {
            return Err(Useless::BadAddress);
        }
        let headers = self.header.unwrap_or_default().into_iter();
        let mut headers: Vec<(String, Secret)> =
            headers.filter(|(name, _)| !OURS.contains(&name.to_ascii_lowercase().as_str())).collect();
        if headers.len() > LFS_HEADERS_MAX {
            return Err(Useless::BadAddress);
        }
        let has_login = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let Some(login) = login.filter(|_| !has_login && origin(base) == origin(self.href.expose())) {
            headers.push(("Authorization".to_owned(), login.clone()));
        }
        let at = self.expires_at.and_then(|at| at.parse::<Timestamp>().ok());
        // Go programs write a time of their own for "never".
        let at = at.filter(|at| at.as_second() > 0);
        let within = self.expires_in.filter(|seconds| *seconds > 0);
        let within =
            within.and_then(|seconds| now.checked_add(jiff::SignedDuration::from_secs(seconds)).ok());
        Ok(Action { href: self.href, headers, until: within.or(at) })
    }
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some((scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
}

/// A host without its port.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether an address that the server at `base` names is used: on its own host as it is reached itself, or anywhere over TLS.
pub(super) fn may_use(base: &str, href: &str) -> bool {
    let (Some((scheme, there)), Some((own_scheme, here))) = (origin(href), origin(base)) else {
        return false;
    };
    let is_own = scheme == own_scheme && host(&there) == host(&here);
    !there.contains('@') && !there.is_empty() && (scheme == "https" || is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn addresses_are_used_on_the_own_host_and_over_tls() {
        let check =
            |base: &str, href: &str, expected| assert_eq!(may_use(base, href), expected, "{base} {href}");
        check("https://h/a", "https://h/b", true);
        check("https://h/a", "https://storage.example/b?sig=1", true);
        check("https://h/a", "http://h/b", false);
        check("https://h/a", "http://127.0.0.1/b", false);
        check("https://h/a", "https://u:p@evil/b", false);
        check("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", true);
        check("http://127.0.0.1:1/a", "http://localhost:2/b", false);
        check("http://127.0.0.1:1/a", "http://evil.example/b", false);
        check("http://[::1]:1/a", "http://[::1]:2/b", true);
        check("http://127.0.0.1:1/a", "https://evil.example/b", true);
        check("https://h/a", "file:///etc/passwd", false);
        check("https://h/a", "/b", false);
        check("https://h/a", "https:///b", false);
    }

    fn one(text: &str) -> Option<About> {
        let answers =
            read(text.as_bytes(), "https://h/a", Some(&Secret::new("Basic CANARY")), now()).unwrap();
        about(&answers, &Pointer { oid: OID.to_owned(), size: 5 })
    }

    #[test]
    fn answers_are_read_with_what_they_leave_out() {
        let told = one(&format!("{{\"objects\":[{{\"oid\":\"{OID}\",\"size\":5}}]}}"));
        assert!(matches!(told, Some(About::Actions(Actions { upload: None, download: None, verify: None }))));
        let told = one(&format!(
            "{{\"objects\":[{{\"oid\":\"{OID}\",\"error\":{{\"code\":404,\"message\":\"no\"}}}}]}}"
        ));
        assert!(matches!(told, Some(About::Refused(404, m)) if m == "no"));
        let told = one(&format!("{{\"objects\":[{{\"oid\":\"{OID}\",\"size\":6,\"actions\":{{}}}}]}}"));
        assert!(matches!(told, Some(About::OtherSize(6))));
        assert!(one("{\"objects\":[]}").is_none());
    }

    #[test]
    fn a_login_goes_only_to_the_server_it_is_for() {
        let headers = |href: &str, more: &str| {
            let told = one(&format!(
                "{{\"objects\":[{{\"oid\":\"{OID}\",\"size\":5{more},\"actions\":{{\"upload\":{{\"href\":\"{href}\",\"header\":{{\"Host\":\"x\",\"X-A\":\"1\"}},\"expires_in\":60}}}}}}]}}"
            ));
            let Some(About::Actions(Actions { upload: Some(action), .. })) = told else { panic!("{told:?}") };
            assert_eq!(action.until, Some("2026-03-01T00:01:00Z".parse().unwrap()));
            assert!(!format!("{action:?}").contains("CANARY"));
            let mut names: Vec<String> = action.headers.into_iter().map(|(name, _)| name).collect();
            names.sort();
            names
        };
        assert_eq!(headers("https://h/b", ""), ["Authorization", "X-A"]);
        assert_eq!(headers("https://h/b", ",\"authenticated\":true"), ["X-A"]);
        assert_eq!(headers("https://storage.example/b", ""), ["X-A"]);
        assert_eq!(headers("https://h:8443/b", ""), ["X-A"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |text: &str, expected| {
            assert_eq!(read(text.as_bytes(), "https://h/a", None, now()).unwrap_err(), expected, "{text}");
        };
        check("<html>", Useless::Foreign);
        check("{}", Useless::Foreign);
        check("{\"transfer\":\"tus\",\"objects\":[]}", Useless::OtherTransfer);
        check(
            "{\"objects\":[{\"oid\":\"a\",\"actions\":{\"download\":{\"href\":\"http://169.254.169.254/\"}}}]}",
            Useless::BadAddress,
        );
    }

    proptest::proptest! {
        #[test]
        fn no_answer_is_too_much(text in "\\PC{0,200}") {
            let _ = read(text.as_bytes(), "https://h/a", None, Timestamp::UNIX_EPOCH);
            let _ = may_use("https://h/a", &text);
        }
    }
}
