//! Login at a server of ledgers and teams.

use std::time::Duration;

use serde_json::json;

use super::{Args, client, failed, interrupts, show};
use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::clean;
use crate::cloud::{Calls, VENDOR_TIMEOUTS, vendor_login};
use crate::http::Client;
use crate::kit::cancel::Cancel;
use crate::kit::clock::{SystemClock, pause};
use crate::kit::shell;
use crate::project::{ENDPOINT_VAR, Endpoint, Login, Logins};
use crate::sync::account::CallOutcome;
use crate::sync::cloud::{Cloud, refresh_credentials};

/// A server may not know a new token at once: so it is asked again after these waits.
const CREDENTIALS_WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

pub(super) fn login(cx: &Cx, args: &Args) -> Outcome {
    let Some(endpoint) = endpoint(cx, args)? else { return Ok(()) };
    let http = client();
    if !http.accepts(&endpoint.base_url()) {
        return Err(Failure::new(Exit::Usage, "the address of the server must begin with https://")
            .on(endpoint.as_str())
            .hint("ox login --endpoint https://ox.example.org"));
    }
    let logins = Logins::load(&cx.dirs, &endpoint).map_err(|e| of_project(&e))?;
    if let Some(known) = logins.get(&endpoint).filter(|login| login.is_valid(cx.now())) {
        let question =
            format!("Logged in to {endpoint} as {} already. Log in again?", clean(&known.user_info.email));
        if cx.ui.answer(&question, args.yes) != Some(true) {
            return done(cx, &endpoint, known, true);
        }
    }
    let interrupts = interrupts()?;
    let calls = Calls {
        http: &http,
        clock: &SystemClock,
        pause: &pause,
        cancel: interrupts.cancel(),
        timeouts: VENDOR_TIMEOUTS,
    };
    cx.ui.note(&format!("asking {endpoint} for a code"));
    let again = format!("ox login --endpoint {}", shell::word(endpoint.as_str()));
    let login = vendor_login(&calls, &cx.dirs, &endpoint, &mut |prompt| show(cx, prompt, args.no_browser));
    let login = login.map_err(|e| failed(&e, &interrupts, &again))?;
    if login.refresh_token.is_empty() {
        cx.ui.warn(&format!(
            "{endpoint} gave nothing to renew the login with: at its end a new one is needed"
        ));
    }
    credentials(cx, &http, &endpoint, interrupts.cancel());
    drop(interrupts);
    done(cx, &endpoint, &login, false)
}

/// Git's credentials and the teams come with the login; without them the daemon asks later.
fn credentials(cx: &Cx, http: &Client, endpoint: &Endpoint, cancel: &Cancel) {
    let mut waits = CREDENTIALS_WAITS.into_iter();
    loop {
        let cloud = Cloud { http, dirs: &cx.dirs, endpoint, cancel, now: cx.now() };
        let Err(error) = refresh_credentials(&cloud) else { return };
        let wait =
            waits.next().filter(|_| error.called() == CallOutcome::Unauthorized && !cancel.is_cancelled());
        let Some(wait) = wait else {
            cx.ui.warn(&format!("git's credentials are not here yet: {error}"));
            return;
        };
        pause(wait);
    }
}

/// The server to log in to; `None` if it was to be chosen and none was.
fn endpoint(cx: &Cx, args: &Args) -> Outcome<Option<Endpoint>> {
    let hint = "ox login --endpoint https://ox.example.org, or ox login --relay https://relay.example.com";
    let named = args.endpoint.as_deref().or_else(|| cx.env.get(ENDPOINT_VAR));
    if let Some(named) = named {
        let endpoint = Endpoint::parse(named).filter(|endpoint| !endpoint.is_local());
        let bad = || Failure::new(Exit::Usage, "that is no address of a server").on(named).hint(hint);
        return endpoint.map(Some).ok_or_else(bad);
    }
    let logins = Logins::load(&cx.dirs, &Endpoint::local()).map_err(|e| of_project(&e))?;
    let mut known: Vec<Endpoint> = logins.endpoints();
    let own = cx.project_if_any()?.and_then(|project| project.config.endpoint()).filter(|e| !e.is_local());
    if let Some(own) = own.filter(|own| !known.contains(own)) {
        if known.is_empty() {
            // What a repository names is agreed to first.
            let question = format!("This project names the server {}. Log in there?", clean(own.as_str()));
            cx.ui.confirm(&question, args.yes)?;
            return Ok(Some(own));
        }
        known.push(own);
    }
    match known.as_slice() {
        [] => {
            Err(Failure::new(Exit::Usage, "no server is known to log in to: there is none built in")
                .hint(hint))
        }
        [one] => Ok(Some(one.clone())),
        several => {
            let state = |endpoint: &Endpoint| match logins.get(endpoint) {
                Some(login) if login.is_valid(cx.now()) => {
                    format!("{endpoint}: valid as {}", login.user_info.email)
                }
                Some(login) => format!("{endpoint}: expired: {}", login.user_info.email),
                None => format!("{endpoint}: named by this project"),
            };
            let options: Vec<String> = several.iter().map(state).collect();
            match cx.ui.choose("Which server?", &options) {
                Some(n) if n < several.len() => Ok(several.get(n).cloned()),
                Some(_) => {
                    cx.ui.note("nothing was changed");
                    Ok(None)
                }
                None => Err(Failure::new(Exit::Usage, "several servers are known")
                    .because_of(options.join(", "))
                    .hint(hint)),
            }
        }
    }
}

fn done(cx: &Cx, endpoint: &Endpoint, login: &Login, already: bool) -> Outcome {
    let user = &login.user_info;
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "already_logged_in": already, "server_url": endpoint.as_str(), "email": user.email,
            "user_id": user.user_id, "expires_at": login.expires_at.0.map(|end| end.as_second()),
        }));
    }
    let who = clean(if user.email.is_empty() { &user.user_id } else { &user.email });
    cx.ui.done(&match already {
        true => format!("already logged in as {who} at {endpoint}"),
        false => format!("logged in as {who} at {endpoint}"),
    })
}
