//! `ox whoami`: who is logged in where, as this machine knows it. Nobody is asked.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::{clean, row};
use crate::cloud::{RelayIdentity, RelayState, TOKEN_VAR, relay_identity};
use crate::project::{Endpoint, Logins};

/// Flags of `ox whoami`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox whoami\n  ox whoami --json")]
pub struct WhoamiArgs {}

/// One login.
struct Identity {
    server_url: String,
    email: String,
    user_id: String,
    expires_at: Option<Timestamp>,
    needs_login: bool,
    note: &'static str,
}

impl Identity {
    fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    fn json(&self, now: Timestamp) -> Value {
        json!({
            "logged_in": !self.needs_login, "email": self.email, "user_id": self.user_id, "server_url": self.server_url,
            "expires_at": self.expires_at.map(Timestamp::as_second), "expired": self.expired(now),
            "needs_login": self.needs_login,
        })
    }

    fn lines(&self, now: Timestamp) -> [String; 3] {
        let who = if self.email.is_empty() { &self.user_id } else { &self.email };
        let token = match self.expires_at {
            _ if self.needs_login => "the server does not accept it any more; log in again".to_owned(),
            None => "does not expire".to_owned(),
            Some(end) if end > now => {
                let minutes = end.duration_since(now).as_secs() / 60;
                format!("expires in {minutes} {}", if minutes == 1 { "minute" } else { "minutes" })
            }
            Some(_) => "expired; it is renewed on next use".to_owned(),
        };
        let server = format!("{}{}", clean(&self.server_url), self.note);
        [clean(who), row("server", &server), row("token", &token)]
    }
}

pub(super) fn run(cx: &Cx, _: &WhoamiArgs) -> Outcome {
    let (now, relay) = (cx.now(), relay_identity(&cx.dirs, &cx.env));
    let logins = Logins::load(&cx.dirs, &Endpoint::local()).map_err(|e| of_project(&e))?;
    let of_endpoint = |endpoint: Endpoint| {
        let login = logins.get(&endpoint)?;
        let user = &login.user_info;
        Some(Identity {
            server_url: endpoint.to_string(),
            email: user.email.clone(),
            user_id: user.user_id.clone(),
            expires_at: Some(login.expires_at.0.unwrap_or(Timestamp::UNIX_EPOCH)),
            needs_login: !login.can_be_renewed() && !login.is_valid(now),
            note: "",
        })
    };
    let endpoints: Vec<Identity> = logins.endpoints().into_iter().filter_map(of_endpoint).collect();
    if let RelayState::Unusable(reason) = &relay.state {
        // What is set for machines without a person is never passed over.
        if cx.env.get_os(TOKEN_VAR).is_some() {
            return Err(Failure::new(Exit::Auth, reason.clone()).hint(format!("unset {TOKEN_VAR}")));
        }
        cx.ui.warn(reason);
    }
    let relay = identity(relay);
    let all: Vec<&Identity> = relay.iter().chain(&endpoints).collect();
    let any = all.iter().any(|identity| !identity.needs_login);
    let members = [
        ("logged_in", any.into()),
        ("relay", relay.as_ref().map_or(Value::Null, |identity| identity.json(now))),
        ("endpoints", endpoints.iter().map(|identity| identity.json(now)).collect()),
    ];
    if all.is_empty() {
        let failure = Failure::new(Exit::Failed, "not logged in").hint(
            "ox login --endpoint https://ox.example.org, or ox login --relay https://relay.example.com",
        );
        return Err(members.into_iter().fold(failure, |failure, (key, value)| failure.with(key, value)));
    }
    if cx.ui.json() {
        return cx
            .ui
            .document(&serde_json::Map::from_iter(members.map(|(key, value)| (key.to_owned(), value))));
    }
    let lines: Vec<String> = all.iter().flat_map(|identity| identity.lines(now)).collect();
    cx.ui.print(&lines.join("\n"))
}

/// The login at the relay server, if there is one.
fn identity(relay: RelayIdentity) -> Option<Identity> {
    let RelayIdentity { state, server_url, user_id, email, expires_at, .. } = relay;
    let (needs_login, note) = match state {
        RelayState::LoggedOut | RelayState::Unusable(_) => return None,
        RelayState::LoggedIn => (false, " (relay)"),
        RelayState::NeedsLogin => (true, " (relay)"),
        RelayState::Static => (false, " (relay, by OX_RELAY_TOKEN)"),
    };
    Some(Identity { server_url, email, user_id, expires_at, needs_login, note })
}
