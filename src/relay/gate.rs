//! Whether events are taken up for a server at all, for whom, and which.

use super::account::Account;
use super::record::Told;
use crate::project::{DataKind, Relay, RelayConsents, RelaySink};

/// Who is logged in at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub account: Account,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

/// Events are taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// For this account.
    pub account: Account,
    /// This is told of them.
    pub told: Told,
    /// None that was before this, in milliseconds since 1970.
    pub since_ms: i64,
}

/// Why none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The user has not switched it on.
    #[error("the relay is off")]
    Off,
    /// Nobody says where to.
    #[error("no server is named (relay.url)")]
    NoServer,
    /// Nobody says where the collector is.
    #[error("no collector is named (relay.otlp_url)")]
    NoCollector,
    /// Nobody is logged in at that server.
    #[error("nobody is logged in at {0}")]
    LoggedOut(String),
    /// The user has not agreed to send events to that server.
    #[error("nothing has been agreed to be sent to {0}")]
    NoConsent(String),
}

/// Decides it. A collector wants no login.
///
/// # Errors
/// Nothing is taken up.
pub fn gate(relay: &Relay, login: Option<&Login>, consents: &RelayConsents) -> Result<Open, Closed> {
    if !relay.enabled {
        return Err(Closed::Off);
    }
    let (account, login_ms) = match relay.sink {
        RelaySink::Relay if relay.url.is_empty() => return Err(Closed::NoServer),
        RelaySink::Otlp if relay.otlp_url.is_empty() => return Err(Closed::NoCollector),
        RelaySink::Otlp => (Account::new(&relay.otlp_url, ""), 0),
        RelaySink::Relay => {
            let wanted = Account::new(&relay.url, "").server_url;
            let login = login.filter(|login| login.account.server_url == wanted);
            let login = login.ok_or(Closed::LoggedOut(wanted))?;
            (login.account.clone(), login.since_ms)
        }
    };
    let consent = consents.of(&account.server_url).filter(|consent| consent.allows(DataKind::Events));
    let consent = consent.ok_or_else(|| Closed::NoConsent(account.server_url.clone()))?;
    let since_ms = login_ms.max(consent.since.as_millisecond());
    Ok(Open { account, told: Told::by(&consent), since_ms })
}
