//! Login and logout at a relay server (relay and hooks, A.2, A.3 and C.5).

use std::time::Duration;

use serde_json::{Value, json};

use super::access::ends;
use super::calls::{CallError, Calls, object};
use super::device::{Device, Dialect};
use super::login::{LoginError, Prompt, confirmed, or_cancelled};
use crate::project::{Dirs, Error, RelayLogin, RelayLogins, RelayPaths, RelayServer};

/// The longest wait for another process that is renewing a login: its call and a little more.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// The longest list of paths that is kept, in bytes.
const DOCUMENT_MAX: usize = 16 << 10;
/// The names of the calls.
const PATHS: &str = "asking for the server's paths";
const CODE: &str = "asking for a code";
const TOKEN: &str = "asking for the login";
const LOGOUT: &str = "taking the login back";

/// Logs in: shows a code by `show`, waits until it is confirmed, and keeps the login.
///
/// # Errors
/// [`LoginError`]; nothing is written then. A file of logins that cannot be understood is one before anybody is asked.
pub fn relay_login(
    calls: &Calls<'_>,
    dirs: &Dirs,
    server: &RelayServer,
    show: &mut dyn FnMut(&Prompt),
) -> Result<RelayLogin, LoginError> {
    RelayLogins::load(dirs)?;
    let (paths, well_known) = paths(calls, server)?;
    let limit = calls.timeouts.login;
    let reply = calls.post(CODE, &paths.device_code, &json!({}), limit).map_err(or_cancelled)?;
    let document = calls.document(CODE, &reply).map_err(LoginError::from)?;
    let bad =
        |reason: &str| LoginError::BadAnswer { host: server.host().to_owned(), reason: reason.to_owned() };
    let mut device = Device::begin(Dialect::Relay, calls.clock.now().mono, &document).map_err(bad)?;
    show(&Prompt::of(&device));
    let poll = |device: &Device, limit| {
        let body = json!({ "device_code": device.device_code().expose() });
        calls.post(TOKEN, &paths.device_token, &body, limit)
    };
    let grant = confirmed(calls, server.host(), &mut device, &poll)?;
    // Who only logs in again is who they were.
    let before = RelayLogins::load(dirs)?.get(server).filter(|before| before.user_id == grant.user_id);
    let login = RelayLogin {
        expires_at: ends(calls.clock.now().wall, grant.expires_in.as_ref()),
        access_token: grant.access_token,
        refresh_token: grant.refresh_token,
        user_email: grant.email,
        user_id: grant.user_id,
        server_url: server.as_str().to_owned(),
        since_ms: before.map_or(calls.clock.now().wall.as_millisecond(), |before| before.since_ms),
        needs_login: false,
        well_known,
    };
    if calls.cancel.is_cancelled() {
        return Err(LoginError::Cancelled);
    }
    RelayLogins::lock(dirs, LOCK_WAIT, calls.cancel)?.put(&login, true)?;
    Ok(login)
}

/// Which paths the server names, and its document to be kept; null where it has none.
fn paths(calls: &Calls<'_>, server: &RelayServer) -> Result<(RelayPaths, Value), LoginError> {
    let request = calls.client().get(&server.well_known());
    let reply = calls.send(PATHS, request, calls.timeouts.login).map_err(or_cancelled)?;
    if reply.status >= 500 {
        return Err(calls.document(PATHS, &reply).err().map_or(LoginError::Cancelled, LoginError::from));
    }
    // A server that answers every path with a page has none.
    let document = object(&reply.body).filter(|_| (200..300).contains(&reply.status));
    let Some(document) = document else { return Ok((RelayPaths::of(server), Value::Null)) };
    let bad = |reason: String| LoginError::BadAnswer {
        host: server.host().to_owned(),
        reason: format!("/.well-known/ox-relay: {reason}"),
    };
    if reply.body.len() > DOCUMENT_MAX {
        return Err(bad("it is too large".to_owned()));
    }
    let paths = RelayPaths::named(server, &document).map_err(bad)?;
    Ok((paths, document))
}

/// What a logout came to.
#[derive(Debug)]
pub struct RelayLogout {
    /// Who was logged in; `None` if nobody was, or the login was not whole.
    pub login: Option<RelayLogin>,
    /// Something was there, and is gone.
    pub removed: bool,
    /// Why the server may still take the tokens; `None` if it has taken them back, or there were none.
    pub not_revoked: Option<CallError>,
}

/// Logs out: the server is asked to take the tokens back, and whatever comes of that, they are gone here.
///
/// # Errors
/// The file cannot be changed: `DamagedSecret` if it says nothing sensible, `Busy`, `Read` or `Write`.
pub fn relay_logout(calls: &Calls<'_>, dirs: &Dirs, server: &RelayServer) -> Result<RelayLogout, Error> {
    // From here on nobody renews what is taken back.
    let lock = RelayLogins::lock(dirs, LOCK_WAIT, calls.cancel)?;
    let login = lock.load()?.get(server);
    let token = login.as_ref().map(|login| login.refresh_token.expose()).filter(|token| !token.is_empty());
    let not_revoked = token.and_then(|token| {
        let url = login.as_ref().map_or_else(|| RelayPaths::of(server), |l| l.paths(server)).logout;
        let reply = calls.post(LOGOUT, &url, &json!({ "refresh_token": token }), calls.timeouts.logout);
        match reply {
            Ok(reply) if (200..300).contains(&reply.status) => None,
            Ok(reply) => calls.document(LOGOUT, &reply).err(),
            Err(e) => Some(e),
        }
    });
    let removed = lock.remove(server)?;
    Ok(RelayLogout { login, removed, not_revoked })
}
