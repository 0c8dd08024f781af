//! Login, new tokens and logout at a server of the vendor's API (cloud and github, section 4).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::access::{AccessError, REFRESH_BEFORE, Want, ends};
use super::calls::{CallError, Calls, host_of};
use super::device::{Device, Dialect};
use super::login::{LoginError, Prompt, confirmed, or_cancelled};
use crate::kit::gotime::GoTime;
use crate::kit::mask::sanitise;
use crate::kit::secret::Secret;
use crate::project::{Dirs, Endpoint, Error, Login, Logins, UserInfo, is_token};

/// Who we are at the server.
const CLIENT: &str = "ox";
/// What is asked for.
const SCOPE: &str = "user:profile sageox:write";
/// The kind of question (RFC 8628, 3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The names of the calls.
const CODE: &str = "asking for a code";
const TOKEN: &str = "asking for the login";
const EXCHANGE: &str = "exchanging the token";
const USER: &str = "asking who logged in";
const RENEW: &str = "renewing the login";
const REVOKE: &str = "taking the login back";
const FORM: &str = "application/x-www-form-urlencoded";

/// Logs in: shows a code by `show`, waits until it is confirmed, asks who it was, and keeps the login.
///
/// # Errors
/// [`LoginError`]; nothing is written then. A file of logins that cannot be understood is one before anybody is asked.
pub fn vendor_login(
    calls: &Calls<'_>,
    dirs: &Dirs,
    endpoint: &Endpoint,
    show: &mut dyn FnMut(&Prompt),
) -> Result<Login, LoginError> {
    Logins::load(dirs, endpoint)?;
    let base = endpoint.base_url();
    let host = base.split('/').nth(2).unwrap_or_default().to_owned();
    let limit = calls.timeouts.login;
    let body = json!({ "client_id": CLIENT, "scope": SCOPE });
    let reply =
        calls.post(CODE, &format!("{base}/api/auth/device/code"), &body, limit).map_err(or_cancelled)?;
    let document = calls.document(CODE, &reply)?;
    let bad = |reason: &str| LoginError::BadAnswer { host: host.clone(), reason: reason.to_owned() };
    let mut device = Device::begin(Dialect::Vendor, calls.clock.now().mono, &document).map_err(bad)?;
    show(&Prompt::of(&device));
    let url = format!("{base}/api/auth/device/token");
    let poll = |device: &Device, limit| {
        let code = device.device_code().expose();
        calls.post(
            TOKEN,
            &url,
            &json!({ "grant_type": DEVICE_GRANT, "device_code": code, "client_id": CLIENT }),
            limit,
        )
    };
    let grant = confirmed(calls, &host, &mut device, &poll)?;
    let now = calls.clock.now().wall;
    let mut login = Login {
        expires_at: at(ends(now, grant.expires_in.as_ref())),
        access_token: grant.access_token,
        refresh_token: grant.refresh_token,
        session_token: grant.session_token,
        token_type: or(grant.token_type, "Bearer"),
        scope: or(grant.scope, SCOPE),
        ..Login::default()
    };
    match exchange(calls, &base, &login.access_token, limit) {
        Ok(exchanged) => exchanged.put_into(&mut login, now),
        Err(e @ (CallError::BadAnswer { .. } | CallError::Status { status: 404 | 405, .. })) => {
            log::warn!("{e}; the token is used as it is");
        }
        Err(e) => return Err(or_cancelled(e)),
    }
    login.user_info = user(calls, &base, &login.access_token).map_err(or_cancelled)?;
    if calls.cancel.is_cancelled() {
        return Err(LoginError::Cancelled);
    }
    Logins::replace(dirs, endpoint, login.clone())?;
    Ok(login)
}

fn or(text: String, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text }
}

fn at(seconds: i64) -> GoTime {
    GoTime(Timestamp::from_second(seconds).ok())
}

/// A token that was exchanged for another.
struct Exchanged {
    access: Secret,
    refresh: Option<Secret>,
    expires_in: Option<Value>,
    kind: Option<String>,
}

impl Exchanged {
    fn put_into(self, login: &mut Login, now: Timestamp) {
        login.access_token = self.access;
        if self.expires_in.as_ref().and_then(Value::as_f64).is_some_and(|s| s > 0.0) {
            login.expires_at = at(ends(now, self.expires_in.as_ref()));
        }
        if login.refresh_token.is_empty()
            && let Some(refresh) = self.refresh
        {
            login.refresh_token = refresh;
        }
        login.token_type = self.kind.unwrap_or_else(|| std::mem::take(&mut login.token_type));
    }
}

/// Exchanges a token for one that calls are made with. Older servers have the answer in an envelope.
fn exchange(calls: &Calls<'_>, base: &str, token: &Secret, limit: Duration) -> Result<Exchanged, CallError> {
    let request = calls.client().get(&format!("{base}/api/v1/cli/auth/token")).bearer(token);
    let reply = calls.send(EXCHANGE, request, limit)?;
    let document = calls.document(EXCHANGE, &reply)?;
    let inner = document.get("data").filter(|data| data.is_object()).unwrap_or(&document);
    let text = |key: &str| inner.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let bad =
        CallError::BadAnswer { call: EXCHANGE, host: host_of(&reply), reason: "it has no access_token" };
    Ok(Exchanged {
        access: Secret::new(text("access_token").filter(|t| is_token(t)).ok_or(bad)?),
        refresh: text("refresh_token").filter(|t| is_token(t)).map(Secret::new),
        expires_in: inner.get("expires_in").cloned(),
        kind: text("token_type").map(str::to_owned),
    })
}

/// Asks who a token belongs to. Some servers use the names of OpenID Connect.
fn user(calls: &Calls<'_>, base: &str, token: &Secret) -> Result<UserInfo, CallError> {
    let request = calls.client().get(&format!("{base}/oauth2/userinfo")).bearer(token);
    let reply = calls.send(USER, request, calls.timeouts.login)?;
    let document = calls.document(USER, &reply)?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(sanitise).filter(|t| !t.is_empty());
    let bad = CallError::BadAnswer { call: USER, host: host_of(&reply), reason: "it names nobody" };
    Ok(UserInfo {
        user_id: text("user_id").or_else(|| text("sub")).ok_or(bad)?,
        email: text("email").unwrap_or_default(),
        name: text("name").unwrap_or_default(),
    })
}

/// A token for an endpoint's calls, renewed if it ends within five minutes, or was refused. Of many processes that want one at once one asks;
/// what is stored is never lost by a failure.
///
/// # Errors
/// [`AccessError`]; `NeedsLogin` where the server refuses to renew it, or nothing to renew it with is known.
pub fn vendor_access(
    calls: &Calls<'_>,
    dirs: &Dirs,
    endpoint: &Endpoint,
    want: &Want,
) -> Result<Secret, AccessError> {
    if endpoint.is_local() {
        return Err(AccessError::NotLoggedIn);
    }
    let wrong = |e: Error| AccessError::of_project(&e);
    let stored = |logins: Logins| logins.get(endpoint).cloned().ok_or(AccessError::NotLoggedIn);
    let seen = stored(Logins::load(dirs, endpoint).map_err(wrong)?)?;
    let now = || calls.clock.now().wall;
    let left = |login: &Login| {
        let end =
            login.expires_at.0.map(|end| Duration::try_from(end.duration_since(now())).unwrap_or_default());
        end.unwrap_or_default()
    };
    let is_good = |login: &Login| match want {
        Want::Fresh => left(login) > REFRESH_BEFORE && !login.access_token.is_empty(),
        Want::Forced { not } => login.is_valid(now()) && login.access_token != *not,
    };
    if is_good(&seen) {
        return Ok(seen.access_token);
    }
    let needs_login = || AccessError::NeedsLogin { server_url: endpoint.to_string() };
    // Still good, if it only ends soon.
    let rest = |login: &Login, error: AccessError| match want {
        Want::Fresh if login.is_valid(now()) => {
            log::warn!("{error}");
            Ok(login.access_token.clone())
        }
        _ => Err(error),
    };
    let lock = match Logins::lock(dirs) {
        Ok(lock) => lock,
        Err(e) => return rest(&seen, wrong(e)),
    };
    let login = stored(lock.load(endpoint).map_err(wrong)?)?;
    let is_news = login.access_token != seen.access_token && login.is_valid(now());
    let is_refused = matches!(want, Want::Forced { not } if *not == login.access_token);
    if is_good(&login) || (is_news && !is_refused) {
        return Ok(login.access_token);
    }
    let credential = if login.refresh_token.is_empty() { &login.session_token } else { &login.refresh_token };
    if credential.is_empty() {
        return rest(&login, needs_login());
    }
    match renew(calls, &endpoint.base_url(), &login, credential) {
        Ok(renewed) => {
            let token = renewed.access_token.clone();
            if let Err(e) = lock.set(endpoint, renewed) {
                log::error!("{endpoint}: the renewed login could not be written down: {e}");
            }
            Ok(token)
        }
        Err(CallError::Status { status: 400 | 401, .. }) => {
            let again = stored(lock.load(endpoint).map_err(wrong)?)?;
            let is_another = again.access_token != login.access_token && again.is_valid(now());
            if is_another { Ok(again.access_token) } else { rest(&again, needs_login()) }
        }
        Err(e) => {
            let error =
                AccessError::Transient { reason: format!("{endpoint}: {e}"), retry_after: e.retry_after() };
            rest(&login, error)
        }
    }
}

/// Asks the server for new tokens.
fn renew(calls: &Calls<'_>, base: &str, login: &Login, credential: &Secret) -> Result<Login, CallError> {
    let limit = calls.timeouts.refresh;
    let fields =
        [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", credential.expose())];
    let request = calls.client().post(&format!("{base}/oauth2/token"), FORM, form(&fields));
    let reply = calls.send(RENEW, request, limit)?;
    let document = calls.document(RENEW, &reply)?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = |key: &str| text(key).filter(|t| is_token(t)).map(Secret::new);
    let bad = CallError::BadAnswer { call: RENEW, host: host_of(&reply), reason: "it has no access_token" };
    let now = calls.clock.now().wall;
    let mut renewed = Login {
        access_token: token("access_token").ok_or(bad)?,
        refresh_token: token("refresh_token").unwrap_or_default(),
        session_token: token("session_token").unwrap_or_default(),
        expires_at: at(ends(now, document.get("expires_in"))),
        token_type: text("token_type").unwrap_or("Bearer").to_owned(),
        scope: text("scope").map_or_else(|| login.scope.clone(), str::to_owned),
        ..Login::default()
    };
    match exchange(calls, base, &renewed.access_token, limit) {
        Ok(exchanged) => exchanged.put_into(&mut renewed, now),
        Err(e) => log::warn!("{e}; the token is used as it is"),
    }
    Ok(renewed)
}

/// Asks the server to take a login back. Only its plain yes is one.
///
/// # Errors
/// Why it may still take the login.
pub fn vendor_revoke(calls: &Calls<'_>, endpoint: &Endpoint, login: &Login) -> Result<(), CallError> {
    let (token, hint) = match login.refresh_token.is_empty() {
        false => (&login.refresh_token, "refresh_token"),
        true => (&login.access_token, "access_token"),
    };
    let fields = [("token", token.expose()), ("token_type_hint", hint), ("client_id", CLIENT)];
    let request = calls.client().post(&format!("{}/oauth2/revoke", endpoint.base_url()), FORM, form(&fields));
    let reply = calls.send(REVOKE, request, calls.timeouts.logout)?;
    if reply.status == 200 {
        return Ok(());
    }
    let detail = super::calls::detail(&reply.body);
    let (host, status, retry_after) = (host_of(&reply), reply.status, None);
    Err(CallError::Status { call: REVOKE, host, status, detail, retry_after })
}

/// The body of a form.
fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let coded = |text: &str| -> String {
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{}={}", coded(k), coded(v))).collect();
    fields.join("&").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_carries_any_token() {
        assert_eq!(form(&[("a", "b c&d=é"), ("t", "x-y_z.~")]), b"a=b%20c%26d%3D%C3%A9&t=x-y_z.~");
    }
}
