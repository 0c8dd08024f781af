//! A look at a remote's refs by git's smart HTTP protocol (gitprotocol-http(5)), in process, on a kept connection.
//!
//! The first look at a URL asks what the server can do, and later ones are a single request: `ls-refs` of protocol 2, or all
//! refs of a server that knows only protocol 0 or 1.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::discover::Remote;
use super::login::{Answers, Login, asks_for_password, send_as_known};
use super::pkt::{Advertised, Broken, Capabilities, read_advertisement, read_refs, write_line};
use crate::git::command::{Git, Profile, host_of};
use crate::git::error::GitError;
use crate::git::limits::{LOOK_CAP, LOOK_DEADLINE, REMOTES_CAP};
use crate::http::{Client, Reply, Request};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::clock::Mono;

const SERVICE: &str = "git-upload-pack";

/// What is kept between looks. Clones share it.
#[derive(Clone)]
pub(in crate::git) struct Smart(Arc<Inner>);

struct Inner {
    client: Client,
    /// What a server said it can do, by URL; at its cap all are forgotten and learnt again.
    servers: Mutex<HashMap<String, Server>>,
    answers: Answers,
}

/// What is worth remembering of a server.
#[derive(Clone, Debug)]
struct Server {
    /// The repository's URL, after redirects on that server.
    base: String,
    /// Of one that takes commands; one that shows all refs is asked the same by each look.
    can: Option<Capabilities>,
}

/// What came of a look.
enum Seen {
    Remote(Remote),
    /// Another way to log in, which the git program may know.
    Elsewhere(GitError),
}

impl Smart {
    pub(in crate::git) fn new(client: Client) -> Smart {
        Smart(Arc::new(Inner { client, servers: Mutex::default(), answers: Answers::default() }))
    }

    /// Whether a URL can be looked at in process.
    pub(in crate::git) fn accepts(&self, url: &str) -> bool {
        // A query would end up in the middle of the URLs made of it.
        !url.contains(['?', '#']) && self.0.client.accepts(url)
    }

    /// Calls servers.
    pub(in crate::git) fn client(&self) -> &Client {
        &self.0.client
    }

    /// What the user's credential helpers answered.
    pub(in crate::git) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// The setting by which git reaches a remote whose server has moved it, as the last look found: git itself follows no redirect, for it
    /// would follow one to any host.
    pub(in crate::git) fn moved(&self, url: &str) -> Option<String> {
        let url = url.trim_end_matches('/');
        let base = self.base(url)?;
        // Git ends the name of a setting at the first `=`.
        (!base.contains('=')).then(|| format!("url.{base}.insteadOf={url}"))
    }

    /// Where the last look found the repository, if that is another address.
    pub(in crate::git) fn base(&self, url: &str) -> Option<String> {
        self.0.servers.lock().get(url).map(|s| s.base.clone()).filter(|base| base != url)
    }

    /// Where `branch` of `url` is (HEAD if `None`); `Ok(None)` if only the git program can tell.
    pub(in crate::git) fn ls_remote(
        &self,
        git: &Git,
        url: &str,
        branch: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Option<Remote>, GitError> {
        let url = url.trim_end_matches('/');
        let end = git.now().mono + LOOK_DEADLINE;
        match (LsRemote { git, smart: &self.0, url, branch, cancel, end }).run()? {
            Seen::Remote(remote) => Ok(Some(remote)),
            Seen::Elsewhere(_) if git.profile() == Profile::SelfHosted => Ok(None),
            Seen::Elsewhere(e) => Err(e),
        }
    }
}

impl fmt::Debug for Smart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smart").field("answers", &self.0.answers).finish_non_exhaustive()
    }
}

/// One look.
struct LsRemote<'a> {
    git: &'a Git,
    smart: &'a Inner,
    url: &'a str,
    branch: Option<&'a str>,
    cancel: &'a Cancel,
    end: Mono,
}

impl LsRemote<'_> {
    fn run(&self) -> Result<Seen, GitError> {
        let known = self.smart.servers.lock().get(self.url).cloned();
        if let Some(Server { base, can: Some(can) }) = known {
            let seen = self.list(&base, &can);
            if !has_changed(&seen) {
                return seen;
            }
            self.smart.servers.lock().remove(self.url);
        }
        let reply = self.send(&|| {
            let url = format!("{}/info/refs?service={SERVICE}", self.url);
            self.smart.client.get(&url)
        })?;
        if let Some(e) = self.refusal(&reply) {
            return self.elsewhere_or(reply, e);
        }
        self.check_type(&reply, "advertisement")?;
        let base = reply.url.split("/info/refs?").next().unwrap_or(self.url).to_owned();
        let (seen, can) = match read_advertisement(&reply.body, self.branch).map_err(|e| self.broken(e))? {
            Advertised::Refs(remote) => (Seen::Remote(remote), None),
            Advertised::V2(can) => (self.list(&base, &can)?, Some(can)),
        };
        if matches!(seen, Seen::Remote(_)) && (can.is_some() || base != self.url) {
            self.remember(Server { base, can });
        }
        Ok(seen)
    }

    fn remember(&self, server: Server) {
        let mut servers = self.smart.servers.lock();
        if servers.len() >= REMOTES_CAP {
            servers.clear();
        }
        servers.insert(self.url.to_owned(), server);
    }

    /// The command `ls-refs` for nothing but HEAD and the branch.
    fn list(&self, base: &str, can: &Capabilities) -> Result<Seen, GitError> {
        let mut body = Vec::new();
        write_line(&mut body, "command=ls-refs");
        if can.object_format {
            write_line(&mut body, "object-format=sha1");
        }
        body.extend(b"0001");
        write_line(&mut body, "symrefs");
        if can.unborn {
            write_line(&mut body, "unborn");
        }
        write_line(&mut body, "ref-prefix HEAD");
        if let Some(branch) = self.branch {
            write_line(&mut body, &format!("ref-prefix refs/heads/{branch}"));
        }
        body.extend(b"0000");
        let reply = self.send(&|| {
            let url = format!("{base}/{SERVICE}");
            let post = self.smart.client.post(&url, "application/x-git-upload-pack-request", body.clone());
            post.header("Accept", "application/x-git-upload-pack-result").repeatable()
        })?;
        if let Some(e) = self.refusal(&reply) {
            return self.elsewhere_or(reply, e);
        }
        self.check_type(&reply, "result")?;
        read_refs(&reply.body, self.branch).map(Seen::Remote).map_err(|e| self.broken(e))
    }

    /// Sends a request as whoever we are.
    fn send(&self, request: &dyn Fn() -> Request) -> Result<Reply, GitError> {
        send_as_known(self.git, &self.smart.answers, self.url, self.cancel, &|login| {
            self.send_as(request(), login)
        })
    }

    fn send_as(&self, request: Request, login: Option<&Login>) -> Result<Reply, GitError> {
        let request = request
            .header("Git-Protocol", "version=2")
            // Some servers speak the smart protocol only with what calls itself git.
            .header("User-Agent", &format!("git/2.30 {}", self.smart.client.user_agent()))
            .deadline(self.end - self.git.now().mono)
            .cap(LOOK_CAP)
            .cancel(self.cancel);
        let request = match login {
            Some(login) => request.basic(&login.user, &login.password),
            None => request,
        };
        Ok(request.send()?)
    }

    /// The error that a status other than success means.
    fn refusal(&self, reply: &Reply) -> Option<GitError> {
        let (host, status) = (self.host(), reply.status);
        let to = reply.header("Location").filter(|to| matches!(status, 300..=399) && to.contains("://"));
        match (status, to.map(host_of).filter(|to| !to.eq_ignore_ascii_case(&host))) {
            (200, _) => None,
            (_, Some(to)) => Some(GitError::Redirected { from: host, to }),
            (status, None) => {
                Some(GitError::Refused { host, status, retry_after: reply.retry_after(self.git.now().wall) })
            }
        }
    }

    /// A login that is no password may still work with the git program. A redirect that was not followed is followed by nobody.
    fn elsewhere_or(&self, reply: Reply, error: GitError) -> Result<Seen, GitError> {
        match reply.status {
            401 if !asks_for_password(&reply) => Ok(Seen::Elsewhere(error)),
            _ => Err(error),
        }
    }

    fn check_type(&self, reply: &Reply, part: &str) -> Result<(), GitError> {
        let found = reply.header("Content-Type").unwrap_or_default();
        let found = found.split(';').next().unwrap_or_default().trim();
        if found == format!("application/x-git-upload-pack-{part}") {
            return Ok(());
        }
        Err(GitError::NotSmart { host: self.host(), why: "the answer is of another type" })
    }

    fn broken(&self, broken: Broken) -> GitError {
        match broken {
            Broken::Cut => GitError::CutOff(self.host()),
            Broken::Foreign(why) => GitError::NotSmart { host: self.host(), why },
            Broken::Refused(words) => GitError::failed("ls-remote", None, &format!("remote: error: {words}")),
        }
    }

    fn host(&self) -> String {
        host_of(self.url)
    }
}

/// Whether a remembered server does not answer as it used to: it may be another one now, and what it says of itself counts.
fn has_changed(seen: &Result<Seen, GitError>) -> bool {
    match seen {
        // A server that knows no commands answers one with nothing at all.
        Ok(Seen::Elsewhere(_)) | Err(GitError::NotSmart { .. } | GitError::CutOff(_)) => true,
        Err(GitError::Redirected { .. }) => true,
        Err(e @ GitError::Refused { .. }) => e.class() == Class::Usage,
        _ => false,
    }
}
