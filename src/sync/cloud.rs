//! What the account policy asks for, carried out: calls to the server, and the files that their answers change.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::access;
use super::account::{Account, CallOutcome};
use super::api::{Access, Answer, Api, ApiError, Ledger, LedgerState, Notes, RepoTeam};
use super::record;
use super::workspace::{Kind, allowed_hosts};
use crate::http::Client;
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::lock::FileLock;
use crate::kit::mask::sanitise;
use crate::kit::secret::Secret;
use crate::project::{
    self, CredentialStatus, Dirs, Endpoint, GitCredentials, Logins, RemoteUrl, check_team_id,
};

/// The longest wait for another process that is asking for the same credentials: a call and a little more.
const REFRESH_WAIT: Duration = Duration::from_secs(super::api::DEADLINE.as_secs() + 5);
/// Credentials that another process fetched this recently with the same login are taken as they are.
/// Less than the time between two calls of one process, which must not take its own last answer for news.
const JUST_NOW: Duration = Duration::from_secs(super::account::REPOS_EVERY.as_secs() / 2);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The server's side of it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A file of this machine.
    #[error(transparent)]
    Project(#[from] project::Error),
    /// The lock around a refresh could not be taken.
    #[error("cannot ask for credentials: {0}")]
    Lock(std::io::Error),
    /// Another process keeps asking.
    #[error("another process is asking for credentials")]
    Busy,
    /// The server could not make the ledger.
    #[error("the server could not make the ledger: {0}")]
    NotMade(String),
}

impl CloudError {
    /// The class, which decides on retry.
    pub fn class(&self) -> Class {
        match self {
            CloudError::Api(e) => e.class(),
            CloudError::Project(e) => e.class(),
            CloudError::Lock(e) => Class::of_io(e),
            CloudError::Busy => Class::Busy,
            CloudError::NotMade(_) => Class::Usage,
        }
    }

    /// What the account policy is told.
    pub fn called(&self) -> CallOutcome {
        match self {
            CloudError::Api(ApiError::NoLogin(_) | ApiError::Unauthorized(_)) => CallOutcome::Unauthorized,
            CloudError::Api(ApiError::VersionUnsupported { .. }) => CallOutcome::Unsupported,
            CloudError::Api(
                ApiError::TooMany { retry_after: Some(wait), .. }
                | ApiError::Server { retry_after: Some(wait), .. },
            ) => CallOutcome::Wait(*wait),
            CloudError::Api(ApiError::Http(_)) if self.class() != Class::Bug => CallOutcome::Network,
            CloudError::Busy => CallOutcome::Network,
            _ => CallOutcome::Failed,
        }
    }
}

/// One endpoint as this machine sees it.
#[derive(Clone, Copy, Debug)]
pub struct Cloud<'a> {
    /// The client that calls it.
    pub http: &'a Client,
    /// Where the files are.
    pub dirs: &'a Dirs,
    /// Whose server it is.
    pub endpoint: &'a Endpoint,
    /// Ends a call when set.
    pub cancel: &'a Cancel,
    /// The time, for ends of tokens.
    pub now: Timestamp,
}

/// What asking for credentials gave.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// The credentials as they are stored now.
    pub credentials: GitCredentials,
    /// Whether the stored ones changed.
    pub changed: bool,
    /// What the server said besides; nothing if another process had asked.
    pub notes: Notes,
}

/// Where a repository's ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerLookup {
    /// Its git remote, judged; `None` while it is being made.
    pub ledger: Option<RemoteUrl>,
    /// What the user may do with it.
    pub access: Access,
    /// The team contexts that go with the repository; `None` if the server does not tell. Their URLs are not judged yet.
    pub teams: Option<Vec<RepoTeam>>,
    /// What the server said besides.
    pub notes: Notes,
}

impl LedgerLookup {
    /// What the account policy is told.
    pub fn called(&self) -> CallOutcome {
        if self.ledger.is_some() { CallOutcome::Fine } else { CallOutcome::Pending }
    }
}

/// A few digits that tell two logins apart and say nothing about either.
pub fn fingerprint(token: &Secret) -> String {
    Sha256::digest(token.expose()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

impl Cloud<'_> {
    /// The token for calls.
    ///
    /// # Errors
    /// `NoLogin` if there is none or it has ended; a damaged file is an error and not a missing login.
    pub fn bearer(&self) -> Result<Secret, CloudError> {
        let logins = Logins::load(self.dirs, self.endpoint)?;
        match logins.get(self.endpoint).filter(|login| login.is_valid(self.now)) {
            Some(login) => Ok(login.access_token.clone()),
            None => Err(ApiError::NoLogin(self.endpoint.to_string()).into()),
        }
    }

    fn api<'s>(&'s self, bearer: &'s Secret) -> Result<Api<'s>, CloudError> {
        Ok(Api::new(self.http, self.endpoint, bearer, self.cancel, self.now)?)
    }
}

/// Asks for credentials and teams and stores them. Of many processes and threads that want this at the same time one asks and all get
/// its answer. A failure leaves what is stored.
///
/// # Errors
/// Any of [`CloudError`].
pub fn refresh_credentials(cloud: &Cloud<'_>) -> Result<Refreshed, CloudError> {
    if cloud.endpoint.is_local() {
        return Err(ApiError::NoServer.into());
    }
    let slug = cloud.endpoint.slug();
    let bearer = cloud.bearer()?;
    let before = GitCredentials::load(cloud.dirs, &slug)?;
    let lock = FileLock::acquire(&cloud.dirs.refresh_lock(&slug), REFRESH_WAIT)
        .map_err(CloudError::Lock)?
        .ok_or(CloudError::Busy)?;
    if let Some(credentials) = just_fetched(cloud, &lock, &slug, &bearer)? {
        let changed = before.as_ref() != Some(&credentials);
        return Ok(Refreshed { credentials, changed, notes: Notes::default() });
    }
    let Answer { value, notes } = cloud.api(&bearer)?.repos()?;
    let changed = GitCredentials::save_fresh(cloud.dirs, &slug, value.to_fresh())?;
    // Only spares others a call; without it they ask, too.
    let _ = lock.write(stamp(cloud, &bearer).as_bytes());
    let credentials = GitCredentials::load(cloud.dirs, &slug)?.unwrap_or_default();
    Ok(Refreshed { credentials, changed, notes })
}

/// What the file of the lock says after a success: when, and with which login at which server. Two endpoints may share a slug.
fn stamp(cloud: &Cloud<'_>, bearer: &Secret) -> String {
    format!("{} {} {}", cloud.now, fingerprint(bearer), cloud.endpoint)
}

/// The stored credentials, if another process has just fetched them with the same login and they can be used.
fn just_fetched(
    cloud: &Cloud<'_>,
    lock: &FileLock,
    slug: &str,
    bearer: &Secret,
) -> Result<Option<GitCredentials>, CloudError> {
    let text = String::from_utf8(lock.read().map_err(CloudError::Lock)?).unwrap_or_default();
    let (time, who) = text.split_once(' ').unwrap_or_default();
    // Who waited for the lock read the clock before the one that fetched, so the time may seem to lie ahead.
    let age = time.parse::<Timestamp>().ok().map(|at| cloud.now.duration_since(at).unsigned_abs());
    let same = who == format!("{} {}", fingerprint(bearer), cloud.endpoint);
    if !same || age.is_none_or(|age| age >= JUST_NOW) {
        return Ok(None);
    }
    let stored = GitCredentials::load(cloud.dirs, slug)?;
    let usable = [CredentialStatus::Valid, CredentialStatus::ExpiringSoon];
    Ok(stored.filter(|c| usable.contains(&c.status(cloud.now))))
}

/// Asks where a repository's ledger is.
///
/// # Errors
/// Any of [`CloudError`]; a remote at a host that the server may not name is one.
pub fn lookup_ledger(cloud: &Cloud<'_>, repo_id: &str) -> Result<LedgerLookup, CloudError> {
    let bearer = cloud.bearer()?;
    let api = cloud.api(&bearer)?;
    match api.repo(repo_id) {
        Ok(Answer { value, notes }) => {
            let (ledger, access) = (value.ledger.unwrap_or_default(), value.access_level);
            note_access(cloud, Kind::Ledger, repo_id, access);
            for team in value.team_contexts.iter().filter(|t| check_team_id(&t.team_id).is_ok()) {
                note_access(cloud, Kind::Team, &team.team_id, team.access_level);
            }
            Ok(LedgerLookup {
                ledger: judge(cloud, &ledger)?,
                access,
                teams: Some(value.team_contexts),
                notes,
            })
        }
        // A server that does not know this call, or cannot answer it, may know the other one.
        Err(
            ApiError::NotFound(_)
            | ApiError::Server { retry_after: None, .. }
            | ApiError::BadAnswer { .. }
            | ApiError::Refused { .. },
        ) => {
            let Answer { value, notes } = api.ledger_status(repo_id)?;
            note_access(cloud, Kind::Ledger, repo_id, value.access_level);
            let ledger = judge(cloud, &value)?;
            Ok(LedgerLookup { ledger, access: value.access_level, teams: None, notes })
        }
        Err(e) => Err(e.into()),
    }
}

/// Remembers what the user may do, for as long as the server cannot be asked.
fn note_access(cloud: &Cloud<'_>, kind: Kind, id: &str, access: Access) {
    let state = cloud.dirs.state_of(&cloud.endpoint.slug(), &kind.state_name(id));
    if let Err(e) = access::note(&state, access == Access::Viewer) {
        log::warn!("{}: {e}", state.display());
    }
}

/// The remote of a ledger that is ready.
fn judge(cloud: &Cloud<'_>, ledger: &Ledger) -> Result<Option<RemoteUrl>, CloudError> {
    match ledger.status {
        LedgerState::Ready if !ledger.repo_url.is_empty() => Ok(Some(
            RemoteUrl::parse_vendor(&ledger.repo_url, &allowed_hosts(cloud.dirs, cloud.endpoint))?.url,
        )),
        LedgerState::Error => Err(CloudError::NotMade(sanitise(&ledger.message))),
        _ => Ok(None),
    }
}

impl Account {
    /// The account of an endpoint as the last process left it. It only keeps waits, so a missing or damaged one is a new one.
    pub fn load(dirs: &Dirs, endpoint: &Endpoint) -> Account {
        record::load(&dirs.account(endpoint))
    }

    /// Writes down what a restart must not forget.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, dirs: &Dirs, endpoint: &Endpoint) -> std::io::Result<()> {
        record::save(&dirs.account(endpoint), self)
    }
}
