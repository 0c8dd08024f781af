//! The server's calls about repositories, ledgers and teams: one function each, typed answers, typed errors.
//!
//! Bodies and tokens never reach a log or an error. Unknown keys are ignored; what a server says beyond its answer, in headers, is
//! handed on as data.

mod error;
mod shapes;

use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

pub use error::ApiError;
pub use shapes::{Access, Ledger, LedgerState, Merge, Moved, RepoDetail, RepoTeam, Repos};

use crate::http::{Client, Reply};
use crate::kit::cancel::Cancel;
use crate::kit::contact::Purpose;
use crate::kit::mask::sanitise;
use crate::kit::secret::Secret;
use crate::project::Endpoint;

/// A whole call may take this long.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer; more is an error.
pub const BODY_MAX: usize = 1 << 20;
/// Bytes of an id in a path.
const ID_MAX: usize = 128;

/// An answer, and what the server said besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// What its headers say.
    pub notes: Notes,
}

/// What a server says to every caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// This version will not be served for long: the server's words, free of control characters; they may be empty.
    pub deprecated: Option<String>,
    /// Repositories or teams that became one.
    pub merge: Option<Merge>,
}

/// The calls at one endpoint, by one user.
#[derive(Clone, Debug)]
pub struct Api<'a> {
    http: &'a Client,
    base: String,
    bearer: &'a Secret,
    cancel: &'a Cancel,
    now: Timestamp,
}

impl<'a> Api<'a> {
    /// Calls at `endpoint` with the login `bearer`. `now` is what a date in `Retry-After` is counted from.
    ///
    /// # Errors
    /// `NoServer` for the endpoint without one, `NoLogin` without a token: neither is ever asked anything.
    pub fn new(
        http: &'a Client,
        endpoint: &Endpoint,
        bearer: &'a Secret,
        cancel: &'a Cancel,
        now: Timestamp,
    ) -> Result<Api<'a>, ApiError> {
        if endpoint.is_local() {
            return Err(ApiError::NoServer);
        }
        if bearer.is_empty() {
            return Err(ApiError::NoLogin(endpoint.to_string()));
        }
        Ok(Api { http, base: endpoint.base_url(), bearer, cancel, now })
    }

    /// `GET /api/v1/cli/repos`: fresh credentials for git, and the user's team contexts.
    ///
    /// # Errors
    /// Any of [`ApiError`].
    pub fn repos(&self) -> Result<Answer<Repos>, ApiError> {
        let answer: Answer<Repos> = self.get("/api/v1/cli/repos")?;
        answer.value.check().map_err(|reason| self.bad_answer(reason))?;
        Ok(answer)
    }

    /// `GET /api/v1/cli/repos/{repo_id}`: a repository's ledger and team contexts.
    ///
    /// # Errors
    /// Any of [`ApiError`]; `NotFound` from a server that does not know the call yet: then [`Api::ledger_status`] answers.
    pub fn repo(&self, repo_id: &str) -> Result<Answer<RepoDetail>, ApiError> {
        self.get(&format!("/api/v1/cli/repos/{}", segment(repo_id)?))
    }

    /// `GET /api/v1/repos/{repo_id}/ledger-status`: a repository's ledger.
    ///
    /// # Errors
    /// Any of [`ApiError`]; `NotFound` if there is no ledger.
    pub fn ledger_status(&self, repo_id: &str) -> Result<Answer<Ledger>, ApiError> {
        self.get(&format!("/api/v1/repos/{}/ledger-status", segment(repo_id)?))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ApiError> {
        let client = self.http.meant_for(Purpose::VendorApi);
        let request = client.get(&format!("{}{path}", self.base)).bearer(self.bearer);
        let request = request.header("Accept", "application/json").deadline(DEADLINE).cap(BODY_MAX);
        let reply = request.cancel(self.cancel).send()?;
        self.judge(&reply)
    }

    fn judge<T: DeserializeOwned>(&self, reply: &Reply) -> Result<Answer<T>, ApiError> {
        let server = self.base.clone();
        let retry_after = reply.retry_after(self.now);
        let error = match reply.status {
            // A list would pass for an object whose keys are all missing.
            200..=299 if reply.body.trim_ascii_start().first() != Some(&b'{') => {
                self.bad_answer("it is no JSON object")
            }
            200..=299 => {
                let value = serde_json::from_slice(&reply.body).map_err(|e| {
                    // The parser's own words may quote the body.
                    self.bad_answer(if e.is_data() {
                        "its values are not what they should be"
                    } else {
                        "it is no JSON object"
                    })
                })?;
                return Ok(Answer { value, notes: Notes::of(reply) });
            }
            401 => ApiError::Unauthorized(server),
            403 => ApiError::Forbidden(server),
            404 => ApiError::NotFound(server),
            426 => {
                let minimum = reply.header("X-SageOx-Min-Version").map(sanitise).filter(|v| !v.is_empty());
                ApiError::VersionUnsupported { server, minimum }
            }
            429 => ApiError::TooMany { server, retry_after },
            status @ 500.. => ApiError::Server { server, status, retry_after },
            status => ApiError::Refused { server, status },
        };
        Err(error)
    }

    fn bad_answer(&self, reason: &'static str) -> ApiError {
        ApiError::BadAnswer { server: self.base.clone(), reason }
    }
}

impl Notes {
    fn of(reply: &Reply) -> Notes {
        Notes {
            deprecated: reply.header("X-SageOx-Deprecated").map(sanitise),
            merge: reply.header("X-SageOx-Merge").and_then(Merge::parse),
        }
    }
}

/// An id as one part of a path: nothing in it could lead elsewhere.
fn segment(id: &str) -> Result<&str, ApiError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let good = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.');
    if good { Ok(id) } else { Err(ApiError::BadId) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_02_no_id_leads_to_another_call() {
        for id in ["repo_0190-ab", "team_a1", "a.b"] {
            assert_eq!(segment(id).unwrap(), id);
        }
        for id in
            ["", ".", "..", "../x", "a/b", "a?b", "a#b", "a%2fb", "a b", "ü", "a\n", &"a".repeat(ID_MAX + 1)]
        {
            assert!(matches!(segment(id), Err(ApiError::BadId)), "{id}");
        }
    }

    #[test]
    fn without_a_server_or_a_login_nothing_is_asked() {
        let http = Client::new(std::sync::Arc::new(crate::kit::clock::SystemClock));
        let (cancel, now) = (Cancel::new(), Timestamp::UNIX_EPOCH);
        let token = Secret::new("t");
        let local = Api::new(&http, &Endpoint::local(), &token, &cancel, now);
        assert!(matches!(local, Err(ApiError::NoServer)));
        let there = Endpoint::parse("https://sageox.ai").unwrap();
        let nobody = Secret::default();
        assert!(matches!(Api::new(&http, &there, &nobody, &cancel, now), Err(ApiError::NoLogin(_))));
    }
}
