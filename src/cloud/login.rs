//! The way from a code to tokens, for both dialects: what is asked is a request of the caller's, when is the machine's.

use std::time::Duration;

use super::calls::{CallError, Calls};
use super::device::{Answer, Device, Grant, Next, Stop};
use crate::http::{HttpError, Reply};
use crate::kit::Class;
use crate::project;

/// Why nobody is logged in now. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A file of this machine, or an address.
    #[error(transparent)]
    Project(#[from] project::Error),
    /// It was denied in the browser.
    #[error("the login at {0} was denied")]
    Denied(String),
    /// Nobody confirmed the code in time.
    #[error("the code has expired before it was confirmed at {0}")]
    Expired(String),
    /// The server refuses the login.
    #[error("{host} refuses the login: {}", detail.clone().unwrap_or_else(|| format!("status {status}")))]
    Refused {
        /// The server.
        host: String,
        /// With this status.
        status: u16,
        /// What it says to people.
        detail: Option<String>,
    },
    /// What the server gave cannot be used.
    #[error("the answer of {host} cannot be used: {reason}")]
    BadAnswer {
        /// The server.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's cancel flag ended it.
    #[error("the login was interrupted; nothing was changed")]
    Cancelled,
}

impl LoginError {
    /// The class, which decides on exit codes; `None` where the answer was no, which is nobody's fault.
    pub fn class(&self) -> Option<Class> {
        match self {
            LoginError::Call(CallError::Status { .. }) | LoginError::BadAnswer { .. } => None,
            LoginError::Call(e) => Some(e.class()),
            LoginError::Project(e) => Some(e.class()),
            LoginError::Denied(_) | LoginError::Expired(_) | LoginError::Refused { .. } => None,
            LoginError::Cancelled => Some(Class::Busy),
        }
    }

    fn of_stop(stop: Stop, host: &str) -> LoginError {
        let host = host.to_owned();
        match stop {
            Stop::Denied => LoginError::Denied(host),
            Stop::Expired => LoginError::Expired(host),
            Stop::Refused { status, detail } => LoginError::Refused { host, status, detail },
            Stop::BadAnswer(reason) => LoginError::BadAnswer { host, reason: reason.to_owned() },
        }
    }
}

/// What a person is shown while the server waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The page, safe to show.
    pub url: String,
    /// The code to type there, safe to show.
    pub user_code: String,
    /// The page knows the code already.
    pub is_complete: bool,
}

impl Prompt {
    pub(super) fn of(device: &Device) -> Prompt {
        let Device { url, user_code, is_complete, .. } = device;
        Prompt { url: url.clone(), user_code: user_code.clone(), is_complete: *is_complete }
    }
}

/// Asks until the code is confirmed, refused or expired. `poll` is the request for it, with the time it may take.
pub(super) fn confirmed(
    calls: &Calls<'_>,
    host: &str,
    device: &mut Device,
    poll: &dyn Fn(&Device, Duration) -> Result<Reply, CallError>,
) -> Result<Grant, LoginError> {
    let mut next = device.first();
    loop {
        next = match next {
            Next::Wait(until) => match calls.wait_until(until) {
                true => device.due(calls.clock.now().mono),
                false => return Err(LoginError::Cancelled),
            },
            Next::Poll => {
                let reply = poll(device, calls.timeouts.login);
                let now = calls.clock.now();
                match reply {
                    Ok(reply) => {
                        let retry_after = reply.retry_after(now.wall);
                        let answer = Answer::Reply { status: reply.status, body: &reply.body, retry_after };
                        device.handle(now.mono, answer)
                    }
                    Err(e) if e.is_cancelled() => return Err(LoginError::Cancelled),
                    // A request that can never be sent will not be the next time.
                    Err(e @ CallError::Http { source: HttpError::BadRequest { .. }, .. }) => {
                        return Err(e.into());
                    }
                    Err(e) => {
                        log::debug!("{e}");
                        device.handle(now.mono, Answer::Nothing)
                    }
                }
            }
            Next::Granted(grant) => return Ok(*grant),
            Next::Stop(stop) => return Err(LoginError::of_stop(stop, host)),
        };
    }
}

/// A call that was cancelled is a login that was.
pub(super) fn or_cancelled(error: CallError) -> LoginError {
    if error.is_cancelled() { LoginError::Cancelled } else { error.into() }
}
