//! Why a call has no answer.

use std::time::Duration;

use crate::http::HttpError;
use crate::kit::Class;

/// Why a call has no answer. Its text never holds a token or a word of a body.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The project belongs to no server.
    #[error("this project has no server to ask")]
    NoServer,
    /// Nobody is logged in there.
    #[error("{0}: not logged in")]
    NoLogin(String),
    /// An id that cannot be one.
    #[error("the id of the repository or team is malformed; look into .sageox/config.json")]
    BadId,
    /// The login is not accepted (401).
    #[error("{0} does not accept the login; log in again")]
    Unauthorized(String),
    /// The user is not let in (403).
    #[error("{0} refuses access; ask a member of the team to let you in")]
    Forbidden(String),
    /// There is no such thing there (404).
    #[error("{0} knows nothing of it")]
    NotFound(String),
    /// This program is too old for the server (426).
    #[error("{server} no longer serves this version of ox{}; update it",
        minimum.as_ref().map(|v| format!(", only {v} and later")).unwrap_or_default())]
    VersionUnsupported {
        /// The server.
        server: String,
        /// The oldest version that it serves, if it said.
        minimum: Option<String>,
    },
    /// Too many calls (429).
    #[error("{server} asks to be called less often")]
    TooMany {
        /// The server.
        server: String,
        /// How long to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// The server is at fault (5xx).
    #[error("{server} failed with status {status}")]
    Server {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// How long to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    #[error("{server} answered with status {status}")]
    Refused {
        /// The server.
        server: String,
        /// The status.
        status: u16,
    },
    /// The answer is none; as it is where a network asks for a login of its own first.
    #[error("the answer of {server} cannot be used: {reason}")]
    BadAnswer {
        /// The server.
        server: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No answer came.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl ApiError {
    /// The class, which decides on retry.
    pub fn class(&self) -> Class {
        match self {
            ApiError::NoServer | ApiError::BadId => Class::Usage,
            ApiError::NotFound(_) | ApiError::VersionUnsupported { .. } | ApiError::Refused { .. } => {
                Class::Usage
            }
            ApiError::NoLogin(_) | ApiError::Unauthorized(_) | ApiError::Forbidden(_) => Class::Auth,
            ApiError::TooMany { .. } => Class::Busy,
            ApiError::Server { .. } | ApiError::BadAnswer { .. } => Class::Network,
            ApiError::Http(e) => e.class(),
        }
    }
}
