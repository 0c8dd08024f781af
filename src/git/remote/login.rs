//! Who we are to a remote over HTTP: a login handed in, or one of the user's own credential helpers.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use parking_lot::Mutex;

use crate::git::command::{Git, Profile};
use crate::git::error::GitError;
use crate::git::limits::LOGINS_CAP;
use crate::http::Reply;
use crate::kit::cancel::Cancel;
use crate::kit::secret::Secret;

/// A name and password for a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

impl Login {
    /// As a header of HTTP has it.
    pub(in crate::git) fn header(&self) -> Secret {
        let pair = Secret::new(format!("{}:{}", self.user, self.password.expose()));
        let coded = Secret::new(base64::prelude::BASE64_STANDARD.encode(pair.expose()));
        Secret::new(format!("Basic {}", coded.expose()))
    }
}

/// Where logins come from: the login for a URL, `None` without one.
pub type Logins = Arc<dyn Fn(&str) -> Option<Login> + Send + Sync>;

/// What credential helpers answered, by URL; in memory only. At its cap all are forgotten and asked for again.
#[derive(Default)]
pub(in crate::git) struct Answers(Mutex<HashMap<String, Login>>);

impl Answers {
    pub(in crate::git) fn get(&self, url: &str) -> Option<Login> {
        self.0.lock().get(url).cloned()
    }

    pub(in crate::git) fn keep(&self, url: &str, login: Login) {
        let mut kept = self.0.lock();
        if kept.len() >= LOGINS_CAP && !kept.contains_key(url) {
            kept.clear();
        }
        kept.insert(url.to_owned(), login);
    }

    pub(in crate::git) fn forget(&self, url: &str) {
        self.0.lock().remove(url);
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} logins", self.0.lock().len())
    }
}

/// Sends a request to the remote `url` as whoever we are there; after a refusal once more, as the user's credential helpers say, or with the
/// login that was renewed meanwhile.
pub(in crate::git) fn send_as_known(
    git: &Git,
    answers: &Answers,
    url: &str,
    cancel: &Cancel,
    send: &dyn Fn(Option<&Login>) -> Result<Reply, GitError>,
) -> Result<Reply, GitError> {
    let first = git.login(url).or_else(|| answers.get(url));
    let reply = send(first.as_ref())?;
    if reply.status != 401 || !asks_for_password(&reply) {
        return Ok(reply);
    }
    if let Some(renewed) = git.login(url) {
        return if Some(&renewed) == first.as_ref() { Ok(reply) } else { send(Some(&renewed)) };
    }
    if git.profile() == Profile::Vendor {
        return Ok(reply);
    }
    answers.forget(url);
    let Some(login) = ask_helpers(git, url, cancel)? else { return Ok(reply) };
    let reply = send(Some(&login))?;
    if reply.status != 401 {
        answers.keep(url, login);
    }
    Ok(reply)
}

/// Whether a 401 can be answered with a name and a password.
pub(in crate::git) fn asks_for_password(reply: &Reply) -> bool {
    let scheme = reply.header("WWW-Authenticate").unwrap_or("Basic").trim_start();
    scheme.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("basic"))
}

/// Asks the user's credential helpers, nobody else: without one that answers there is no login.
pub(in crate::git) fn ask_helpers(git: &Git, url: &str, cancel: &Cancel) -> Result<Option<Login>, GitError> {
    let Some(question) = question(url) else { return Ok(None) };
    let ask = git.outside("credential", Path::new("/")).arg("fill").stdin(question.into_bytes());
    let mut out = ask.run_any(cancel)?;
    let login = if out.status.success() { read_answer(&out.stdout) } else { None };
    out.stdout.fill(0);
    Ok(login)
}

/// What git's helpers are asked (git-credential(1)): a line each for protocol, host with port, and path.
fn question(url: &str) -> Option<String> {
    let (protocol, rest) = url.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if url.contains(|c: char| c.is_control()) || host.is_empty() {
        return None;
    }
    Some(format!("protocol={protocol}\nhost={host}\npath={path}\n\n"))
}

fn read_answer(bytes: &[u8]) -> Option<Login> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    Some(Login { user: value("username")?.to_owned(), password: Secret::new(value("password")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_asked_with_host_and_path() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(question(url).as_deref(), expected);
        check("https://h:1/a/b.git", Some("protocol=https\nhost=h:1\npath=a/b.git\n\n"));
        check("https://h", Some("protocol=https\nhost=h\npath=\n\n"));
        check("https://h/a\nhost=evil", None);
        check("h:p", None);
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let login = read_answer(text.as_bytes());
            let expected = expected.map(|(u, p)| Login { user: u.into(), password: Secret::new(p) });
            assert_eq!(login, expected, "{text}");
        };
        check("protocol=https\nhost=h\nusername=u\npassword=p=q\n", Some(("u", "p=q")));
        check("username=u\n", None);
        check("", None);
    }

    #[test]
    fn logins_are_bounded_and_never_shown() {
        let answers = Answers::default();
        let login = Login { user: "u".into(), password: Secret::new("CANARY") };
        for n in 0..LOGINS_CAP + 1 {
            answers.keep(&n.to_string(), login.clone());
        }
        assert_eq!(answers.0.lock().len(), 1);
        assert_eq!(answers.get(&LOGINS_CAP.to_string()), Some(login.clone()));
        answers.forget(&LOGINS_CAP.to_string());
        assert_eq!(answers.get(&LOGINS_CAP.to_string()), None);
        assert!(!format!("{answers:?} {login:?}").contains("CANARY"));
    }
}
