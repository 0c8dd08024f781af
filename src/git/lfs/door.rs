//! Where a remote's server is, and who we are to it: beside the repository as whoever git is there, or where the machine behind ssh says.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::answer::{self, TYPE, Useless, question};
use super::rounds::Operation;
use super::{Lfs, known};
use crate::git::error::GitError;
use crate::git::limits::{LFS_ANSWER_CAP, LFS_DEADLINE, LFS_HEADERS_MAX, LOOK_DEADLINE};
use crate::git::remote::login::{Login, send_as_known};
use crate::http::Reply;
use crate::kit::Class;
use crate::kit::mask::sanitise;
use crate::kit::pointer::Pointer;
use crate::kit::secret::Secret;

/// A way to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// At this URL, beside the repository.
    Beside(String),
    /// Behind ssh, which names a URL for each operation.
    Ssh,
}

/// What the machine behind ssh has told, by operation.
pub(super) type Grants = HashMap<&'static str, Grant>;

#[derive(Clone)]
pub(super) struct Grant {
    href: String,
    headers: Vec<(String, Secret)>,
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RawGrant {
    href: String,
    #[serde(default)]
    header: HashMap<String, Secret>,
    #[serde(default)]
    expires_in: Option<i64>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// A server's answer about objects.
pub(super) struct Answered {
    pub(super) reply: Reply,
    /// The URL that was asked.
    pub(super) base: String,
    /// The header by which it knew us, for what else lies there.
    pub(super) login: Option<Secret>,
}

/// An address that ends sooner than this counts as ended.
const SPARE: SignedDuration = SignedDuration::from_secs(10);
/// So long a grant without an end counts.
const GRANT: SignedDuration = SignedDuration::from_secs(300);

/// An object that nobody has, to ask about.
const NOBODYS: &str = "0f0e0d0c0b0a09080706050403020100f0e0d0c0b0a090807060504030201000";

impl Lfs<'_> {
    /// The way to the server; `None` if the remote has none.
    pub(super) fn door(&self) -> Result<Option<Door>, GitError> {
        if self.is_path() {
            return Ok(None);
        }
        let now = self.git.now().wall;
        if let Some(known) = known::load(&self.kept, &self.url, now) {
            return Ok(known);
        }
        let found = if self.is_ssh() { self.knock_by_ssh()? } else { self.knock()? };
        known::save(&self.kept, &self.url, found.as_ref(), now);
        Ok(found)
    }

    /// The names that the server may have: the one of the standard, and the one without `.git`.
    fn bases(&self) -> Vec<String> {
        let url =
            self.git.smart().and_then(|smart| smart.base(&self.url)).unwrap_or_else(|| self.url.clone());
        let mut bases = vec![format!("{url}/info/lfs")];
        if !url.ends_with(".git") {
            bases.insert(0, format!("{url}.git/info/lfs"));
        }
        bases
    }

    fn knock(&self) -> Result<Option<Door>, GitError> {
        if !self.client.accepts(&self.url) {
            return Err(self.error(Class::Usage, "it is not reached over https"));
        }
        let answers = || self.git.smart().and_then(|smart| smart.answers().get(&self.url));
        let had_login = answers().is_some();
        if let Some(door) = self.knock_at_all()? {
            return Ok(Some(door));
        }
        // The repository itself has to be there, and to be seen by us: else the answer says nothing.
        crate::git::discover(self.git, &self.url, None, self.cancel)?;
        if !had_login && answers().is_some() {
            return self.knock_at_all();
        }
        Ok(None)
    }

    fn knock_at_all(&self) -> Result<Option<Door>, GitError> {
        for base in self.bases() {
            let nobodys = Pointer { oid: NOBODYS.to_owned(), size: 1 };
            let ask = |operation| {
                let body = question(operation, std::iter::once(&nobodys));
                self.post(&base, &body, LOOK_DEADLINE).map(|answered| answered.reply)
            };
            let reply = ask(Operation::Download)?;
            let is_there = self.is_server(&reply)? || {
                // Some say of one object that is not there what others say of all of it. Whether we may send one does not matter.
                is_typed(&reply) && reply.status == 404 && {
                    let reply = ask(Operation::Upload)?;
                    matches!(reply.status, 401 | 403) || self.is_server(&reply)?
                }
            };
            if is_there {
                return Ok(Some(Door::Beside(base)));
            }
        }
        Ok(None)
    }

    /// Whether this is the answer of a server of large files; of one that may be asked later nothing is known.
    fn is_server(&self, reply: &Reply) -> Result<bool, GitError> {
        match reply.status {
            200..=299 => {
                let read = answer::read(&reply.body, &self.url, None, Timestamp::UNIX_EPOCH);
                Ok(!matches!(read, Err(Useless::Foreign)))
            }
            422 => Ok(true),
            404 | 405 | 410 | 501 | 400 | 406 | 411 | 415 => Ok(false),
            _ => Err(self.refused(reply)),
        }
    }

    /// The error that a status other than success means, in the server's words.
    pub(super) fn refused(&self, reply: &Reply) -> GitError {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let said =
            serde_json::from_slice::<Said>(&reply.body).map(|s| sanitise(&s.message)).unwrap_or_default();
        GitError::LfsRefused {
            host: self.host(),
            status: reply.status,
            said,
            retry_after: reply.retry_after(self.git.now().wall),
        }
    }

    /// Asks the server about objects.
    pub(super) fn ask<'q>(
        &self,
        door: &Door,
        operation: Operation,
        objects: impl Iterator<Item = &'q Pointer>,
    ) -> Result<Answered, GitError> {
        let body = question(operation, objects);
        let Door::Beside(base) = door else { return self.ask_by_ssh(operation, &body) };
        self.post(base, &body, LFS_DEADLINE)
    }

    fn post(&self, base: &str, body: &[u8], deadline: std::time::Duration) -> Result<Answered, GitError> {
        let request = || {
            let url = format!("{base}/objects/batch");
            let post = self.client.post(&url, TYPE, body.to_vec()).header("Accept", TYPE).repeatable();
            post.deadline(deadline).cap(LFS_ANSWER_CAP).cancel(self.cancel)
        };
        let used = parking_lot::Mutex::new(None);
        let send = |login: Option<&Login>| {
            *used.lock() = login.map(Login::header);
            let request = match login {
                Some(login) => request().basic(&login.user, &login.password),
                None => request(),
            };
            Ok(request.send()?)
        };
        let Some(smart) = self.git.smart() else {
            return Err(self.error(Class::Bug, "there is no HTTP client"));
        };
        let reply = send_as_known(self.git, smart.answers(), &self.url, self.cancel, &send)?;
        Ok(Answered { reply, base: base.to_owned(), login: used.into_inner() })
    }

    fn ask_by_ssh(&self, operation: Operation, body: &[u8]) -> Result<Answered, GitError> {
        let mut renewed = false;
        loop {
            let grant = self.grant(operation)?.ok_or_else(|| GitError::NoLfs(self.host()))?;
            let url = format!("{}/objects/batch", grant.href);
            let post = self.client.post(&url, TYPE, body.to_vec()).header("Accept", TYPE).repeatable();
            let post = post.deadline(LFS_DEADLINE).cap(LFS_ANSWER_CAP).cancel(self.cancel);
            let post = grant
                .headers
                .iter()
                .fold(post, |post, (name, value)| post.secret_header(name, value.clone()));
            let reply = post.send()?;
            if matches!(reply.status, 401 | 403) && !renewed {
                renewed = true;
                self.grants.lock().remove(operation.word());
                continue;
            }
            let is_login = |(name, _): &&(String, Secret)| name.eq_ignore_ascii_case("authorization");
            let login = grant.headers.iter().find(is_login).map(|(_, value)| value.clone());
            return Ok(Answered { reply, base: grant.href, login });
        }
    }

    fn knock_by_ssh(&self) -> Result<Option<Door>, GitError> {
        Ok(self.grant(Operation::Download)?.map(|_| Door::Ssh))
    }

    /// What `git-lfs-authenticate` says behind ssh; `None` if there is no such program.
    fn grant(&self, operation: Operation) -> Result<Option<Grant>, GitError> {
        let now = self.git.now().wall;
        let is_good = |grant: &&Grant| grant.until.is_none_or(|until| until > now + SPARE);
        if let Some(grant) = self.grants.lock().get(operation.word()).filter(is_good) {
            return Ok(Some(grant.clone()));
        }
        let args = ssh_args(&self.url, operation.word())
            .ok_or_else(|| self.error(Class::Usage, "its address is not understood"))?;
        let out = self.git.ssh(&self.url, &args, self.cancel)?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if !out.status.success() {
            return match out.status.code() {
                _ if has_no_program(&said) => Ok(None),
                Some(127) => Ok(None),
                _ => Err(GitError::failed("lfs", out.status.code(), &said)),
            };
        }
        let Ok(raw) = serde_json::from_slice::<RawGrant>(&out.stdout) else { return Ok(None) };
        let href = raw.href.trim_end_matches('/').to_owned();
        if !self.client.accepts(&href) || raw.header.len() > LFS_HEADERS_MAX {
            return Err(self.error(Class::Usage, "ssh names a server that is not reached over https"));
        }
        let within = raw.expires_in.filter(|s| *s > 0).map(SignedDuration::from_secs);
        let until = within.and_then(|within| now.checked_add(within).ok());
        let at = raw.expires_at.and_then(|at| at.parse::<Timestamp>().ok()).filter(|at| at.as_second() > 0);
        let until = until.or(at).or_else(|| now.checked_add(GRANT).ok());
        let grant = Grant { href, headers: raw.header.into_iter().collect(), until };
        self.grants.lock().insert(operation.word(), grant.clone());
        Ok(Some(grant))
    }

    /// What was known of the server has turned out to be wrong.
    pub(super) fn forget_door(&self) {
        super::forget(&self.kept);
    }
}

/// Whether an answer is written as those of such servers are.
fn is_typed(reply: &Reply) -> bool {
    reply
        .header("Content-Type")
        .is_some_and(|found| found.split(';').next().unwrap_or_default().trim() == TYPE)
}

/// Whether what ssh printed says that there is no such program.
fn has_no_program(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    says(&["unrecognized command", "unknown command", "invalid command", "command not found"])
        || (said.contains("git-lfs-authenticate") && says(&["not found", "not allowed", "no such"]))
}

/// The words for ssh to ask for `operation` on the repository at `url`.
fn ssh_args(url: &str, operation: &str) -> Option<Vec<String>> {
    let (host, port, path) = match url.split_once("://") {
        Some((_, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                    (host, Some(port))
                }
                _ => (authority, None),
            };
            let path = match path.strip_prefix('~') {
                Some(_) => path.to_owned(),
                None => format!("/{path}"),
            };
            (host, port, path)
        }
        None => {
            let (host, path) = url.split_once(':')?;
            (host, None, path.to_owned())
        }
    };
    let host = host.trim_start_matches('[').replace(']', "");
    if host.is_empty() || host.starts_with('-') || path.is_empty() || path.chars().any(char::is_control) {
        return None;
    }
    let mut args = Vec::new();
    if let Some(port) = port {
        args.extend(["-p".to_owned(), port.to_owned()]);
    }
    args.push(host);
    args.push(format!("git-lfs-authenticate {} {operation}", crate::kit::shell::word(&path)));
    Some(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_asked_for_the_repository_by_its_path() {
        let check = |url: &str, expected: Option<&[&str]>| {
            let args = ssh_args(url, "upload");
            assert_eq!(
                args.as_deref(),
                expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{url}"
            );
        };
        check("git@h:a/b.git", Some(&["git@h", "git-lfs-authenticate a/b.git upload"]));
        check("ssh://git@h:2222/a/b", Some(&["-p", "2222", "git@h", "git-lfs-authenticate /a/b upload"]));
        check("ssh://h/~me/b", Some(&["h", "git-lfs-authenticate '~me/b' upload"]));
        check("h:it's here", Some(&["h", "git-lfs-authenticate 'it'\\''s here' upload"]));
        check("ssh://-oProxyCommand=x/a", None);
        check("-x:a", None);
        check("ssh://h", None);
    }

    #[test]
    fn a_missing_program_is_told_from_a_missing_network() {
        let check = |said: &str, expected| assert_eq!(has_no_program(said), expected, "{said}");
        check("fatal: unrecognized command 'git-lfs-authenticate '/a' download'", true);
        check("sh: 1: git-lfs-authenticate: not found", true);
        check("bash: line 1: git-lfs-authenticate: command not found", true);
        check("ssh: connect to host h port 22: Connection refused", false);
        check("git@h: Permission denied (publickey).", false);
        check("ERROR: Repository not found.", false);
    }
}
