//! Login at a relay server: which one, who, and whether events go there.

use serde_json::json;

use super::{Args, client, failed, interrupts, show};
use crate::cli::commands::relay::{agree, tell_login};
use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::clean;
use crate::cloud::{Calls, RELAY_TIMEOUTS, TOKEN_VAR, relay_login};
use crate::http::Trust;
use crate::kit::clock::{SystemClock, pause};
use crate::kit::shell;
use crate::project::settings::{self, Settings};
use crate::project::{Relay, RelayLogin, RelayLogins, RelayServer};

/// The key by which a project suggests a server.
const SUGGESTED: &str = "relay_url";

pub(super) fn login(cx: &Cx, args: &Args, url: &str) -> Outcome {
    let relay = Settings::load(&cx.env, &cx.dirs, None).0.relay().0;
    let logins = RelayLogins::load(&cx.dirs).map_err(|e| of_project(&e))?;
    let Some(server) = server(cx, args, url, &relay, &logins)? else { return Ok(()) };
    if cx.env.get_os(TOKEN_VAR).is_some() {
        cx.ui.warn(&format!("{TOKEN_VAR} is set and counts instead of the login"));
    }
    if let Some(known) = logins.get(&server).filter(|login| !login.needs_login) {
        let who = clean(&known.user_email);
        let question = format!("Logged in to {} as {who} already. Log in again?", server.host());
        if cx.ui.answer(&question, args.yes) != Some(true) {
            return done(cx, &known, relay.enabled, true);
        }
    }
    let http = client().with_trust(Trust { insecure: relay.allow_insecure, ca_file: relay.ca_file.clone() });
    let interrupts = interrupts()?;
    let calls = Calls {
        http: &http,
        clock: &SystemClock,
        pause: &pause,
        cancel: interrupts.cancel(),
        timeouts: RELAY_TIMEOUTS,
    };
    cx.ui.note(&format!("asking {} for a code", server.host()));
    let again = format!("ox login --relay {}", shell::word(server.as_str()));
    let login = relay_login(&calls, &cx.dirs, &server, &mut |prompt| show(cx, prompt, args.no_browser));
    let login = login.map_err(|e| failed(&e, &interrupts, &again))?;
    // Questions are asked from here on: an interrupt ends them as ever.
    drop(interrupts);
    let enabled = enable(cx, args, &server, &relay)?;
    done(cx, &login, enabled, false)
}

/// The server to log in to; `None` if the answer was that it is none.
fn server(
    cx: &Cx,
    args: &Args,
    url: &str,
    relay: &Relay,
    logins: &RelayLogins,
) -> Outcome<Option<RelayServer>> {
    let example = "ox login --relay https://relay.example.com";
    let parse = |url: &str| {
        RelayServer::parse(url, relay.allow_insecure).map_err(|e| -> Failure { of_project(&e).hint(example) })
    };
    if !url.is_empty() {
        return parse(url).map(Some);
    }
    if !relay.url.is_empty() {
        return parse(&relay.url).map(Some);
    }
    if let Some(current) = logins.current() {
        return parse(&current.server_url).map(Some);
    }
    let suggested = cx.project_if_any()?.and_then(|project| project.config.word(SUGGESTED));
    let Some(suggested) = suggested else {
        return Err(
            Failure::new(Exit::Usage, "no relay server is known: there is none built in").hint(example)
        );
    };
    let server = parse(&suggested)?;
    // A server that was logged in to was agreed to.
    if logins.get(&server).is_some() {
        return Ok(Some(server));
    }
    let question = format!(
        "This project suggests the relay server {}. Somebody put that in its files. Log in there?",
        clean(server.host())
    );
    cx.ui.confirm(&question, args.yes)?;
    Ok(Some(server))
}

/// Asks whether events are sent, and keeps the answer with the server. Whether they are.
fn enable(cx: &Cx, args: &Args, server: &RelayServer, relay: &Relay) -> Outcome<bool> {
    // Where nobody can be asked, what was said of this server before still counts.
    let before = relay.enabled && server.is(&relay.url);
    let on = agree(cx, server.as_str(), None, args.yes)?.unwrap_or(before);
    settings::use_relay(&cx.dirs, Some(server.as_str()), on).map_err(|e| of_project(&e))?;
    tell_login(cx);
    Ok(on)
}

fn done(cx: &Cx, login: &RelayLogin, enabled: bool, already: bool) -> Outcome {
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "success": true, "already_logged_in": already, "server_url": login.server_url, "email": login.user_email,
            "user_id": login.user_id, "expires_at": login.expires_at, "relay_enabled": enabled,
        }));
    }
    let email = clean(&login.user_email);
    let who = if email.is_empty() { clean(&login.user_id) } else { email };
    cx.ui.done(&match already {
        true => format!("already logged in as {who} at {}", login.server_url),
        false => format!("logged in as {who} at {}", login.server_url),
    })?;
    if !enabled {
        cx.ui.next_step("ox relay start, to send events there");
    }
    Ok(())
}
