//! `ox login`, `ox logout` and `ox whoami`.

mod logout;
mod relay;
mod vendor;
mod whoami;

use std::sync::Arc;

pub use logout::LogoutArgs;
pub use whoami::WhoamiArgs;

use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cloud::{LoginError, Prompt, browser};
use crate::http::Client;
use crate::kit::clock::SystemClock;
use crate::kit::interrupt::Interrupts;
use crate::project::Error;

/// Flags of `ox login`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox login --endpoint https://ox.example.org\n  ox login --relay https://relay.example.com\n  ox login --relay --no-browser"
)]
pub struct Args {
    /// Log in to a relay server [default: the one in relay.url]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "", conflicts_with = "endpoint")]
    relay: Option<String>,
    /// Log in to a server of ledgers and teams
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Open no browser; the address and the code are printed anyway
    #[arg(long)]
    no_browser: bool,
    /// Answer every question with yes; with --relay also the one whether events are sent
    #[arg(short, long)]
    yes: bool,
}

/// Logs in.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.relay {
        Some(url) => relay::login(cx, args, url),
        None => vendor::login(cx, args),
    }
}

/// Logs out.
pub fn run_logout(cx: &Cx, args: &LogoutArgs) -> Outcome {
    logout::run(cx, args)
}

/// Says who is logged in where.
pub fn run_whoami(cx: &Cx, args: &WhoamiArgs) -> Outcome {
    whoami::run(cx, args)
}

/// The client of a command.
fn client() -> Client {
    Client::new(Arc::new(SystemClock))
}

/// Interrupts end the command in order from here on.
pub(super) fn interrupts() -> Outcome<Interrupts> {
    Interrupts::watch().map_err(|e| Failure::new(Exit::Failed, "cannot watch for interrupts").because(&e))
}

/// Shows the page and the code, and only then opens the page.
fn show(cx: &Cx, prompt: &Prompt, no_browser: bool) {
    let code = &prompt.user_code;
    cx.ui.must_see(&match prompt.is_complete {
        true => format!("open     {}\ncode     {code}", prompt.url),
        false => format!("open     {}\nand type {code}", prompt.url),
    });
    if browser::open(&cx.env, &prompt.url, no_browser) {
        cx.ui.note("a browser is being opened; waiting until the login is confirmed there");
    } else {
        cx.ui.note("open the page in any browser; waiting until the login is confirmed there");
    }
}

/// A failure from a login that came to nothing.
fn failed(error: &LoginError, interrupts: &Interrupts, again: &str) -> Failure {
    let exit = match (error, error.class()) {
        (LoginError::Cancelled, _) if interrupts.is_term() => Exit::Terminated,
        (LoginError::Cancelled, _) => Exit::Interrupted,
        (_, None) => Exit::Failed,
        (_, Some(class)) => Exit::of_class(class),
    };
    let failure = Failure::new(exit, error.to_string());
    match error {
        LoginError::Project(Error::DamagedSecret { path, .. }) => {
            failure.hint(format!("mv {0} {0}.damaged", crate::kit::shell::word(&path.to_string_lossy())))
        }
        _ => failure.hint(again),
    }
}
