//! What calls to the relay server are made with: a static token, or that of the login, renewed by one process for all.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::calls::{CallError, Calls, RELAY_TIMEOUTS, host_of};
use crate::http::{Client, Trust};
use crate::kit::Class;
use crate::kit::cancel::Cancel;
use crate::kit::clock::{SystemClock, pause};
use crate::kit::hex::hex;
use crate::kit::rng::Rng;
use crate::kit::secret::Secret;
use crate::project::settings::Settings;
use crate::project::{
    self, Dirs, Env, Relay, RelayLogin, RelayLogins, RelayLoginsLock, RelayPaths, RelayServer, is_token,
};
use sha2::{Digest as _, Sha256};

/// A token for calls to the relay server that is used instead of a login: for machines where nobody logs in.
pub const TOKEN_VAR: &str = "OX_RELAY_TOKEN";

/// A token that ends within this time is renewed (relay and hooks, A.1).
pub const REFRESH_BEFORE: Duration = Duration::from_secs(300);
/// The longest wait for another process that is renewing it.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
/// So often it is tried again, ...
pub const REFRESH_RETRIES: u32 = 3;
/// ... for the first time after this, then twice as long each time, ...
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// ... give or take so many percent, ...
const RETRY_JITTER: u32 = 20;
/// ... and all of it takes no longer than this.
pub const REFRESH_TOTAL: Duration = Duration::from_secs(30);
/// What a token is good for whose end the server does not tell.
pub const DEFAULT_LIFE: i64 = 3600;
/// The longest life of a token that is believed.
const LIFE_MAX: i64 = 366 * 24 * 3600;
/// The name of the call.
const CALL: &str = "renewing the login";

/// Which token is wanted.
#[derive(Clone, Debug)]
pub enum Want {
    /// One that is good for a while: it is renewed if it ends within five minutes.
    Fresh,
    /// Another one than this, which the server has refused.
    Forced {
        /// The token that was refused.
        not: Secret,
    },
}

/// What calls to the relay server are made with.
#[derive(Clone, Debug)]
pub struct RelayAccess {
    /// The server. The token is for nobody else.
    pub server: RelayServer,
    /// Its address as it was given: with the user's id it names the queue.
    pub server_url: String,
    /// Where its calls go.
    pub paths: RelayPaths,
    /// The server's id of the user; of a static token digits that tell it from another one.
    pub user_id: String,
    /// The user's address; empty with a static token.
    pub email: String,
    /// Since when, in milliseconds since 1970, events are this user's; zero with a static token.
    pub since_ms: i64,
    /// The token.
    pub token: Secret,
    /// When it ends; unknown of a static one.
    pub expires_at: Option<Timestamp>,
    /// It should have been renewed and could not be: why. It is still good until its end.
    pub refresh_error: Option<String>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Nobody is logged in.
    #[error("not logged in to a relay server")]
    NotLoggedIn,
    /// The server has refused the login for good.
    #[error("{server_url} does not accept the login any more")]
    NeedsLogin {
        /// The server.
        server_url: String,
    },
    /// Something here is set and cannot be used. Nothing goes on as if it were not there.
    #[error("{reason}")]
    Unusable {
        /// What, and what is wrong with it.
        reason: String,
    },
    /// It did not work this time.
    #[error("{reason}")]
    Transient {
        /// Why.
        reason: String,
        /// How long to wait, if the server said.
        retry_after: Option<Duration>,
    },
}

impl AccessError {
    /// Whether it stays so until a person does something.
    pub fn needs_person(&self) -> bool {
        !matches!(self, AccessError::Transient { .. })
    }

    /// The class, which decides on exit codes.
    pub fn class(&self) -> Class {
        match self {
            AccessError::Transient { .. } => Class::Network,
            _ => Class::Auth,
        }
    }

    pub(super) fn of_project(error: &project::Error) -> AccessError {
        match error.class() {
            Class::Auth | Class::Usage | Class::Damage => AccessError::Unusable { reason: error.to_string() },
            _ => AccessError::Transient { reason: error.to_string(), retry_after: None },
        }
    }
}

/// How the login at the relay server stands, as this machine knows it. Nobody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayIdentity {
    /// How it stands.
    pub state: RelayState,
    /// The server's address as it was given; empty if there is none.
    pub server_url: String,
    /// As in [`RelayAccess`].
    pub user_id: String,
    /// As in [`RelayAccess`].
    pub email: String,
    /// As in [`RelayAccess`].
    pub since_ms: i64,
    /// When the token ends; it is renewed by itself.
    pub expires_at: Option<Timestamp>,
}

/// Whether anything can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// Nobody is logged in.
    LoggedOut,
    /// Somebody is.
    LoggedIn,
    /// A static token is used.
    Static,
    /// The server refused the login.
    NeedsLogin,
    /// Something is set or there and cannot be used; why.
    Unusable(String),
}

/// A token for the relay server, for the server that the settings name or, if they name none, the one that was logged in to last. It may call
/// that server, and takes half a minute at most.
///
/// # Errors
/// [`AccessError`]. A login that was refused is marked, so that nobody tries it again.
pub fn relay_access(
    dirs: &Dirs,
    env: &Env,
    http: &Client,
    want: &Want,
    cancel: &Cancel,
) -> Result<RelayAccess, AccessError> {
    let relay = settings(dirs, env);
    let http = http.with_trust(trust_of(&relay));
    let calls = Calls { http: &http, clock: &SystemClock, pause: &pause, cancel, timeouts: RELAY_TIMEOUTS };
    relay_access_with(&calls, dirs, env, want)
}

/// As [`relay_access`], with what it is made with.
///
/// # Errors
/// As there.
pub fn relay_access_with(
    calls: &Calls<'_>,
    dirs: &Dirs,
    env: &Env,
    want: &Want,
) -> Result<RelayAccess, AccessError> {
    access(dirs, env, &settings(dirs, env), calls, want)
}

/// How the login stands, without asking anybody.
pub fn relay_identity(dirs: &Dirs, env: &Env) -> RelayIdentity {
    let nobody = |state| RelayIdentity {
        state,
        server_url: String::new(),
        user_id: String::new(),
        email: String::new(),
        since_ms: 0,
        expires_at: None,
    };
    let relay = settings(dirs, env);
    let found = match static_access(env, &relay) {
        Err(e) => return nobody(RelayState::Unusable(e.to_string())),
        Ok(Some(access)) => {
            let RelayAccess { server_url, user_id, email, since_ms, .. } = access;
            return RelayIdentity {
                state: RelayState::Static,
                server_url,
                user_id,
                email,
                since_ms,
                expires_at: None,
            };
        }
        Ok(None) => stored(dirs, &relay),
    };
    match found {
        Err(AccessError::NotLoggedIn) => nobody(RelayState::LoggedOut),
        Err(e) => nobody(RelayState::Unusable(e.to_string())),
        Ok((_, login)) => RelayIdentity {
            state: if login.needs_login { RelayState::NeedsLogin } else { RelayState::LoggedIn },
            expires_at: Some(login.ends()),
            since_ms: login.since_ms,
            server_url: login.server_url,
            user_id: login.user_id,
            email: login.user_email,
        },
    }
}

/// What the user wants of the relay; values that cannot be used are as none, and told by whoever shows settings.
fn settings(dirs: &Dirs, env: &Env) -> Relay {
    Settings::load(env, dirs, None).0.relay().0
}

/// Which servers the settings trust beside the usual ones.
fn trust_of(relay: &Relay) -> Trust {
    Trust { insecure: relay.allow_insecure, ca_file: relay.ca_file.clone() }
}

/// The access that a static token gives; `None` where none is set.
fn static_access(env: &Env, relay: &Relay) -> Result<Option<RelayAccess>, AccessError> {
    let unusable = |why: &str| AccessError::Unusable { reason: format!("{TOKEN_VAR} {why}") };
    if env.get_os(TOKEN_VAR).is_none() {
        return Ok(None);
    }
    let text = env.get(TOKEN_VAR).unwrap_or_default().trim();
    let quoted = ['"', '\''].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q));
    let text = quoted.unwrap_or(text).trim();
    // As it stands in a header, where somebody has copied that.
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let token = if word.eq_ignore_ascii_case("bearer") { rest.trim() } else { text };
    if !is_token(token) {
        return Err(unusable("is set and is no token: it must be one word of visible ASCII characters"));
    }
    if relay.url.is_empty() {
        return Err(unusable("is set, and no server is named that it is for; set relay.url or OX_RELAY_URL"));
    }
    let server = server_of(relay, &relay.url)?;
    let digits = hex(&Sha256::digest(token));
    Ok(Some(RelayAccess {
        paths: RelayPaths::of(&server),
        server,
        server_url: relay.url.clone(),
        user_id: format!("token-{}", digits.get(..16).unwrap_or_default()),
        email: String::new(),
        since_ms: 0,
        token: Secret::new(token),
        expires_at: None,
        refresh_error: None,
    }))
}

fn server_of(relay: &Relay, url: &str) -> Result<RelayServer, AccessError> {
    RelayServer::parse(url, relay.allow_insecure).map_err(|e| AccessError::of_project(&e))
}

/// The login that counts.
fn stored(dirs: &Dirs, relay: &Relay) -> Result<(RelayServer, RelayLogin), AccessError> {
    let logins = RelayLogins::load(dirs).map_err(|e| AccessError::of_project(&e))?;
    if !relay.url.is_empty() {
        let server = server_of(relay, &relay.url)?;
        let login = logins.get(&server).ok_or(AccessError::NotLoggedIn)?;
        return Ok((server, login));
    }
    let login = logins.current().ok_or(AccessError::NotLoggedIn)?;
    Ok((server_of(relay, &login.server_url)?, login))
}

fn access(
    dirs: &Dirs,
    env: &Env,
    relay: &Relay,
    calls: &Calls<'_>,
    want: &Want,
) -> Result<RelayAccess, AccessError> {
    if let Some(access) = static_access(env, relay)? {
        return match want {
            Want::Forced { not } if *not == access.token => Err(AccessError::Unusable {
                reason: format!("{} does not accept the token of {TOKEN_VAR}", access.server.host()),
            }),
            _ => Ok(access),
        };
    }
    let (server, login) = stored(dirs, relay)?;
    Renewal { dirs, calls, server: &server, want, started: calls.clock.now().mono }.run(login)
}

/// One wish for a token.
struct Renewal<'a> {
    dirs: &'a Dirs,
    calls: &'a Calls<'a>,
    server: &'a RelayServer,
    want: &'a Want,
    started: crate::kit::clock::Mono,
}

/// What one attempt came to.
enum Attempt {
    /// There is a good token.
    Got(RelayLogin),
    /// It did not work this time.
    Failed { reason: String, retry_after: Option<Duration>, again: bool },
}

impl Renewal<'_> {
    fn run(&self, seen: RelayLogin) -> Result<RelayAccess, AccessError> {
        if seen.needs_login {
            return Err(self.needs_login());
        }
        if self.is_good(&seen) {
            return Ok(self.access(seen, None));
        }
        let seed = self.calls.clock.now().wall.as_nanosecond() ^ i128::from(std::process::id());
        let mut rng = Rng::new(u64::try_from(seed & i128::from(u64::MAX)).unwrap_or_default());
        let mut retries = 0;
        let (reason, retry_after) = loop {
            let (reason, retry_after, again) = match self.attempt(&seen)? {
                Attempt::Got(login) => return Ok(self.access(login, None)),
                Attempt::Failed { reason, retry_after, again } => (reason, retry_after, again),
            };
            let wait = rng.jitter(RETRY_FIRST * 2_u32.pow(retries), RETRY_JITTER);
            let now = self.calls.clock.now().mono;
            let fits = now.since(self.started) + wait < REFRESH_TOTAL;
            if !again || !fits || retries == REFRESH_RETRIES || retry_after.is_some_and(|asked| asked > wait)
            {
                break (reason, retry_after);
            }
            retries += 1;
            if !self.calls.wait_until(now + wait) {
                break (reason, retry_after);
            }
        };
        log::warn!("{reason}");
        // Only while it lasts, and never one that the server has refused.
        let still_good = matches!(self.want, Want::Fresh) && !seen.left(self.now()).is_zero();
        match still_good {
            true => Ok(self.access(seen, Some(reason))),
            false => Err(AccessError::Transient { reason, retry_after }),
        }
    }

    fn now(&self) -> Timestamp {
        self.calls.clock.now().wall
    }

    fn needs_login(&self) -> AccessError {
        AccessError::NeedsLogin { server_url: self.server.as_str().to_owned() }
    }

    /// Whether a token is what is wanted.
    fn is_good(&self, login: &RelayLogin) -> bool {
        let left = login.left(self.now());
        match self.want {
            Want::Fresh => left > REFRESH_BEFORE,
            Want::Forced { not } => login.access_token != *not && !left.is_zero(),
        }
    }

    /// Whether another process has renewed it since it was seen.
    fn is_news(&self, login: &RelayLogin, seen: &RelayLogin) -> bool {
        let another = login.access_token != seen.access_token && !login.left(self.now()).is_zero();
        another && !matches!(self.want, Want::Forced { not } if *not == login.access_token)
    }

    /// Takes the lock, looks whether somebody else has done it, and else asks the server once.
    fn attempt(&self, seen: &RelayLogin) -> Result<Attempt, AccessError> {
        let lock = match RelayLogins::lock(self.dirs, LOCK_WAIT, self.calls.cancel) {
            Ok(lock) => lock,
            Err(e) => {
                // Whoever has it may have written by now.
                let now = self.reread(RelayLogins::load(self.dirs))?;
                return Ok(match self.is_good(&now) || self.is_news(&now, seen) {
                    true => Attempt::Got(now),
                    false => failed(format!("{CALL}: {e}"), None, true),
                });
            }
        };
        let login = self.reread(lock.load())?;
        if self.is_good(&login) || self.is_news(&login, seen) {
            return Ok(Attempt::Got(login));
        }
        if login.refresh_token.is_empty() {
            let left = !login.left(self.now()).is_zero() && matches!(self.want, Want::Fresh);
            return if left { Ok(Attempt::Got(login)) } else { self.refused(&lock, login) };
        }
        match self.ask(&login) {
            Ok(renewed) => match lock.put(&renewed, false) {
                Ok(()) => Ok(Attempt::Got(renewed)),
                // The old one may be void by now; what there is is used, and told.
                Err(e) => {
                    log::error!("the renewed login could not be written down: {e}");
                    Ok(Attempt::Got(renewed))
                }
            },
            Err(CallError::Status { status: 400 | 401 | 403, .. }) => {
                let again = self.reread(lock.load())?;
                if self.is_news(&again, &login) {
                    return Ok(Attempt::Got(again));
                }
                self.refused(&lock, again)
            }
            Err(e) => {
                Ok(failed(e.to_string(), e.retry_after(), e.class() != Class::Bug && !e.is_cancelled()))
            }
        }
    }

    /// The login as it stands in the file now.
    fn reread(&self, loaded: Result<RelayLogins, project::Error>) -> Result<RelayLogin, AccessError> {
        let logins = loaded.map_err(|e| AccessError::of_project(&e))?;
        let login = logins.get(self.server).ok_or(AccessError::NotLoggedIn)?;
        if login.needs_login { Err(self.needs_login()) } else { Ok(login) }
    }

    /// Marks the login, so that nobody asks with it again.
    fn refused(&self, lock: &RelayLoginsLock, login: RelayLogin) -> Result<Attempt, AccessError> {
        let marked = RelayLogin { needs_login: true, ..login };
        if let Err(e) = lock.put(&marked, false) {
            log::error!("that the login was refused could not be written down: {e}");
        }
        Err(self.needs_login())
    }

    /// Asks the server for new tokens.
    fn ask(&self, login: &RelayLogin) -> Result<RelayLogin, CallError> {
        let spent = self.calls.clock.now().mono.since(self.started);
        let limit = self.calls.timeouts.refresh.min(REFRESH_TOTAL.saturating_sub(spent));
        let url = login.paths(self.server).refresh;
        let body = json!({ "refresh_token": login.refresh_token.expose() });
        let reply = self.calls.post(CALL, &url, &body, limit)?;
        let document = self.calls.document(CALL, &reply)?;
        let bad = |reason| CallError::BadAnswer { call: CALL, host: host_of(&reply), reason };
        let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let access = text("access_token").filter(|t| is_token(t)).ok_or(bad("it has no access_token"))?;
        let refresh = text("refresh_token").filter(|t| is_token(t));
        Ok(RelayLogin {
            access_token: Secret::new(access),
            refresh_token: refresh.map_or_else(|| login.refresh_token.clone(), Secret::new),
            expires_at: ends(self.now(), document.get("expires_in")),
            ..login.clone()
        })
    }

    fn access(&self, login: RelayLogin, refresh_error: Option<String>) -> RelayAccess {
        RelayAccess {
            server: self.server.clone(),
            paths: login.paths(self.server),
            expires_at: Some(login.ends()),
            since_ms: login.since_ms,
            server_url: login.server_url,
            user_id: login.user_id,
            email: login.user_email,
            token: login.access_token,
            refresh_error,
        }
    }
}

fn failed(reason: String, retry_after: Option<Duration>, again: bool) -> Attempt {
    Attempt::Failed { reason, retry_after, again }
}

/// When a token ends of which the server says how long it is good for; an hour if it does not.
pub(super) fn ends(now: Timestamp, expires_in: Option<&Value>) -> i64 {
    let said = expires_in.and_then(|v| v.as_i64().or_else(|| v.as_f64().map(|f| f as i64)));
    now.as_second() + said.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_LIFE).min(LIFE_MAX)
}
