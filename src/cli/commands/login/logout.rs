//! `ox logout`: tokens are taken back at the server, and whatever comes of that, they are gone here.

use std::time::Duration;

use serde_json::{Value, json};

use super::{client, interrupts};
use crate::cli::commands::relay::{end_link, tell_login};
use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::clean;
use crate::cloud::{Calls, RELAY_TIMEOUTS, Timeouts, VENDOR_TIMEOUTS, relay_logout, vendor_revoke};
use crate::http::{Client, Trust};
use crate::kit::cancel::Cancel;
use crate::kit::clock::{SystemClock, pause, wait_until};
use crate::kit::jsonl::QueueError;
use crate::kit::shell;
use crate::project::settings::Settings;
use crate::project::{Endpoint, Error, GitCredentials, Logins, RelayLogin, RelayLogins, RelayServer};
use crate::relay::account::Account;
use crate::relay::queue;

/// So long the daemon may still have what waits for an account.
const PURGE_WAIT: Duration = Duration::from_secs(10);

/// Flags of `ox logout`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox logout\n  ox logout --relay\n  ox logout --endpoint https://ox.example.org\n  ox logout --all --force"
)]
pub struct LogoutArgs {
    /// Log out of a relay server [default: all]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["endpoint", "all"])]
    relay: Option<String>,
    /// Log out of a server of ledgers and teams
    #[arg(long, value_name = "URL", conflicts_with = "all")]
    endpoint: Option<String>,
    /// Log out everywhere
    #[arg(long)]
    all: bool,
    /// Also delete the events that wait for a relay server
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long)]
    force: bool,
}

/// Where somebody is logged in.
#[derive(Clone, Debug)]
enum Place {
    /// At a relay server.
    Relay(RelayServer, Box<RelayLogin>),
    /// At a server of ledgers and teams.
    Vendor(Endpoint, String),
}

impl Place {
    fn url(&self) -> &str {
        match self {
            Place::Relay(server, _) => server.as_str(),
            Place::Vendor(endpoint, _) => endpoint.as_str(),
        }
    }

    fn label(&self) -> String {
        match self {
            Place::Relay(server, login) => {
                format!("{} ({}, relay)", server.as_str(), clean(&login.user_email))
            }
            Place::Vendor(endpoint, email) => format!("{endpoint} ({})", clean(email)),
        }
    }
}

/// What one logout came to.
struct Done {
    url: String,
    revoked: bool,
    why_not: Option<String>,
    purged: bool,
}

pub(super) fn run(cx: &Cx, args: &LogoutArgs) -> Outcome {
    let relay = args.relay.is_some() || (args.endpoint.is_none() && args.relay.is_none());
    let vendor = args.endpoint.is_some() || args.relay.is_none();
    let mut places = Vec::new();
    if relay {
        match RelayLogins::load(&cx.dirs) {
            Ok(logins) => places.extend(relays(args, &logins)?),
            // Somebody who says it of this very file can leave it.
            Err(e @ Error::DamagedSecret { .. }) if args.relay.is_some() || args.all => {
                return discard(cx, args, &e);
            }
            Err(e) => return Err(of_project(&e)),
        }
    }
    if vendor {
        places.extend(vendors(cx, args)?);
    }
    if places.is_empty() {
        return say(cx, &[]);
    }
    let Some(places) = chosen(cx, args, places)? else { return Ok(()) };
    let labels: Vec<String> = places.iter().map(Place::label).collect();
    let question = format!("Log out of {}?", labels.join(", "));
    if cx.ui.answer(&question, args.force) == Some(false) {
        return Err(
            Failure::new(Exit::Failed, "not confirmed, nothing was changed").hint("ox logout --force")
        );
    }
    let interrupts = interrupts()?;
    let done = places
        .iter()
        .map(|place| leave(cx, args, place, interrupts.cancel()))
        .collect::<Outcome<Vec<_>>>()?;
    say(cx, &done)
}

/// The relay servers that are meant.
fn relays(args: &LogoutArgs, logins: &RelayLogins) -> Outcome<Vec<Place>> {
    let named = args.relay.as_deref().filter(|url| !url.is_empty());
    let named = named.map(|url| RelayServer::parse(url, true)).transpose().map_err(|e| of_project(&e))?;
    let all = logins.all().into_iter().filter_map(|login| {
        let server = RelayServer::parse(&login.server_url, true).ok()?;
        Some(Place::Relay(server, Box::new(login)))
    });
    let all: Vec<Place> =
        all.filter(|place| named.as_ref().is_none_or(|server| server.is(place.url()))).collect();
    Ok(all)
}

/// The servers of ledgers and teams that are meant, those too whose login has ended.
fn vendors(cx: &Cx, args: &LogoutArgs) -> Outcome<Vec<Place>> {
    let logins = Logins::load(&cx.dirs, &Endpoint::local()).map_err(|e| of_project(&e))?;
    let named = args.endpoint.as_deref();
    let is_meant = |endpoint: &Endpoint| {
        named.is_none_or(|name| {
            Endpoint::parse(name).is_some_and(|e| e == *endpoint) || name == endpoint.slug()
        })
    };
    let email =
        |endpoint: &Endpoint| logins.get(endpoint).map(|l| l.user_info.email.clone()).unwrap_or_default();
    let known = logins.endpoints().into_iter().filter(|endpoint| !endpoint.is_local() && is_meant(endpoint));
    Ok(known
        .map(|endpoint| {
            let email = email(&endpoint);
            Place::Vendor(endpoint, email)
        })
        .collect())
}

/// Which of several; `None` if the answer was none.
fn chosen(cx: &Cx, args: &LogoutArgs, places: Vec<Place>) -> Outcome<Option<Vec<Place>>> {
    if places.len() == 1 || args.all || args.relay.is_some() {
        return Ok(Some(places));
    }
    let mut options: Vec<String> = places.iter().map(Place::label).collect();
    options.push("all of them".to_owned());
    match cx.ui.choose("Log out of which server?", &options) {
        Some(n) if n < places.len() => Ok(Some(places.into_iter().skip(n).take(1).collect())),
        Some(n) if n == places.len() => Ok(Some(places)),
        Some(_) => {
            cx.ui.note("nothing was changed");
            Ok(None)
        }
        None => {
            options.pop();
            Err(Failure::new(Exit::Usage, "several servers are logged in to")
                .because_of(options.join(", "))
                .hint("ox logout --all, ox logout --relay, or ox logout --endpoint <URL>"))
        }
    }
}

fn leave(cx: &Cx, args: &LogoutArgs, place: &Place, cancel: &Cancel) -> Outcome<Done> {
    match place {
        Place::Relay(server, login) => {
            let relay = Settings::load(&cx.env, &cx.dirs, None).0.relay().0;
            let trust = Trust { insecure: relay.allow_insecure, ca_file: relay.ca_file };
            let http = client().with_trust(trust);
            let calls = site(&http, cancel, RELAY_TIMEOUTS);
            // Before its token goes.
            end_link(cx);
            let out = relay_logout(&calls, &cx.dirs, server).map_err(|e| of_project(&e));
            tell_login(cx);
            let out = out?;
            let account = out.login.as_ref().unwrap_or(login);
            let has_token = !account.refresh_token.is_empty();
            Ok(Done {
                url: place.url().to_owned(),
                revoked: out.not_revoked.is_none() && has_token,
                why_not: out.not_revoked.map(|e| e.to_string()),
                purged: args.purge && purge(cx, account)?,
            })
        }
        Place::Vendor(endpoint, _) => {
            let http = client();
            let calls = site(&http, cancel, VENDOR_TIMEOUTS);
            let logins = Logins::load(&cx.dirs, endpoint).map_err(|e| of_project(&e))?;
            let not_revoked =
                logins.get(endpoint).and_then(|login| vendor_revoke(&calls, endpoint, login).err());
            Logins::remove(&cx.dirs, endpoint).map_err(|e| of_project(&e))?;
            GitCredentials::remove(&cx.dirs, &endpoint.slug()).map_err(|e| of_project(&e))?;
            Ok(Done {
                url: place.url().to_owned(),
                revoked: not_revoked.is_none(),
                why_not: not_revoked.map(|e| e.to_string()),
                purged: false,
            })
        }
    }
}

fn site<'a>(http: &'a Client, cancel: &'a Cancel, timeouts: Timeouts) -> Calls<'a> {
    Calls { http, clock: &SystemClock, pause: &pause, cancel, timeouts }
}

/// Deletes what waits for an account. True if anything did.
fn purge(cx: &Cx, login: &RelayLogin) -> Outcome<bool> {
    let account = Account::new(&login.server_url, &login.user_id);
    let mut purged = Ok(false);
    // The daemon lets go of it when it sees that nobody is logged in any more.
    wait_until(PURGE_WAIT, || {
        purged = queue::purge(&cx.dirs.relay(), &account);
        !matches!(purged, Err(queue::Error::Queue(QueueError::Busy { .. })))
    });
    purged.map_err(|e| {
        let dir = queue::dir_of(&cx.dirs.relay(), &account);
        let what = "logged out, but the events that wait could not be deleted";
        let rest = format!("rm -r {}", shell::word(&dir.to_string_lossy()));
        Failure::new(Exit::Failed, what).because(&e).hint(rest)
    })
}

/// The file of relay logins says nothing sensible, and goes.
fn discard(cx: &Cx, args: &LogoutArgs, error: &Error) -> Outcome {
    cx.ui.warn(&error.to_string());
    if cx.ui.answer("Delete this file? No server can be told.", args.force) == Some(false) {
        return Err(
            Failure::new(Exit::Failed, "not confirmed, nothing was changed").hint("ox logout --force")
        );
    }
    let lock =
        RelayLogins::lock(&cx.dirs, crate::cloud::LOCK_WAIT, &Cancel::new()).map_err(|e| of_project(&e))?;
    lock.remove_all().map_err(|e| of_project(&e))?;
    let url = lock.path().to_string_lossy().into_owned();
    let why_not = Some("the file could not be read".to_owned());
    say(cx, &[Done { url, revoked: false, why_not, purged: false }])
}

fn say(cx: &Cx, done: &[Done]) -> Outcome {
    for one in done {
        if let Some(why) = &one.why_not {
            cx.ui.warn(&format!("the server's side of the login may live on: {why}"));
        }
    }
    if cx.ui.json() {
        let entry = |d: &Done| -> Value {
            json!({ "server_url": d.url, "revoked": d.revoked, "purged": d.purged, "error": d.why_not })
        };
        return cx.ui.document(&json!({
            "success": true, "logged_out": done.iter().map(entry).collect::<Vec<_>>(),
        }));
    }
    if done.is_empty() {
        return cx.ui.done("not logged in");
    }
    let line = |d: &Done| match d.purged {
        true => format!("logged out of {}; what waited for it is deleted", d.url),
        false => format!("logged out of {}", d.url),
    };
    cx.ui.done(&done.iter().map(line).collect::<Vec<_>>().join("\n"))
}
