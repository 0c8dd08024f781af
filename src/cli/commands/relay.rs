//! `ox relay`: events of agents, sent to a server of the user's.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::context::Cx;
use crate::cli::errors::{of_project, of_reach};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::Tone;
use crate::cli::ui::text::{Table, bytes, clean, count, cut, relative, row};
use crate::daemon::{SendError, reach, relay_account, relay_preview, relay_queue, send_once};
use crate::ipc::client::{Client, ClientError};
use crate::ipc::wire::{RelayState, RelayStatus};
use crate::kit::clock::pause;
use crate::kit::shell::word;
use crate::project::settings::{self, Settings};
use crate::project::{DataKind, Relay, RelayConsents, RelaySink};
use crate::relay::account::Account;
use crate::relay::link::SyncError;
use crate::sync::Site;

/// `ox relay start` waits so long for the link to be begun (relay and hooks, A.1).
const START_WAIT: Duration = Duration::from_secs(2);
/// And looks so often.
const START_LOOK: Duration = Duration::from_millis(50);

/// Flags of `ox relay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox relay start\n  ox relay status\n  ox relay preview\n  ox relay stop")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Have events of agents sent from now on
    ///
    /// Asks first what may be sent to the server, once for each server. Needs a login there (ox login --relay URL), or a token in
    /// OX_RELAY_TOKEN. What happened before is not sent. The wish is kept in relay.enabled.
    #[command(
        after_help = "Examples:\n  ox relay start\n  ox relay start --kinds events,models\n  ox relay start --yes"
    )]
    Start(Start),
    /// Send nothing any more; what waits stays in the queue
    #[command(after_help = "Examples:\n  ox relay stop\n  ox relay stop --forget")]
    Stop(Stop),
    /// Show whether events are sent, and what waits
    #[command(
        after_help = "Examples:\n  ox relay status\n  ox relay status --check\n  ox relay status --json"
    )]
    Status(Status),
    /// Send all that waits now
    ///
    /// By the daemon's link if one runs, else by requests from here.
    #[command(after_help = "Examples:\n  ox relay sync")]
    Sync,
    /// Show what would be sent of the newest events, byte for byte
    ///
    /// Nothing is sent. What the settings and your consent leave out is left out.
    #[command(after_help = "Examples:\n  ox relay preview\n  ox relay preview --limit 100 --json")]
    Preview(PreviewArgs),
    /// List events that the server refused, send them once more, or forget them
    #[command(
        after_help = "Examples:\n  ox relay dead list\n  ox relay dead retry\n  ox relay dead clear --yes"
    )]
    Dead(Dead),
}

/// Flags of `ox relay preview`.
#[derive(Debug, clap::Args)]
struct PreviewArgs {
    /// At most N events
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// Flags of `ox relay dead`.
#[derive(Debug, clap::Args)]
struct Dead {
    #[command(subcommand)]
    what: What,
}

/// What is done with events that the server refused.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show them, the oldest first
    #[command(after_help = "Examples:\n  ox relay dead list\n  ox relay dead list --limit 100 --json")]
    List {
        /// Show at most N
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Put them back into the queue
    #[command(after_help = "Examples:\n  ox relay dead retry")]
    Retry,
    /// Delete them
    #[command(after_help = "Examples:\n  ox relay dead clear\n  ox relay dead clear --yes")]
    Clear {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Flags of `ox relay start`.
#[derive(Debug, clap::Args)]
struct Start {
    /// Agree without being asked
    #[arg(short, long)]
    yes: bool,
    /// Send these kinds of data and no others; events are always among them [default: all]
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    kinds: Vec<String>,
}

/// The words of [`DataKind`].
fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(DataKind::ALL.map(DataKind::name))
}

/// Flags of `ox relay stop`.
#[derive(Debug, clap::Args)]
struct Stop {
    /// Take back your yes to the server too: the next start asks again
    #[arg(long)]
    forget: bool,
}

/// Flags of `ox relay status`.
#[derive(Debug, clap::Args)]
struct Status {
    /// End with 3 if there is no connection
    #[arg(long)]
    check: bool,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    match &args.command {
        Command::Start(args) => start(cx, args),
        Command::Stop(args) => stop(cx, args),
        Command::Status(args) => status(cx, args),
        Command::Sync => sync(cx),
        Command::Preview(args) => preview(cx, args),
        Command::Dead(args) => dead(cx, &args.what),
    }
}

/// What the user wants of it.
fn wanted(cx: &Cx) -> Relay {
    let (settings, trouble) = Settings::load(&cx.env, &cx.dirs, None);
    let (relay, wrong) = settings.relay();
    trouble.iter().chain(&wrong).for_each(|e| cx.ui.warn(&e.to_string()));
    relay
}

/// The daemon, if one runs.
fn host(cx: &Cx) -> Option<Client> {
    Some(Client::new(cx.dirs.host_socket())).filter(Client::is_reachable)
}

/// What the daemon said to a question about the relay.
fn answer<T>(said: Result<T, ClientError>) -> Outcome<T> {
    said.map_err(|e| match e {
        // One of an older version knows no such message.
        ClientError::Remote(text) if text == crate::ipc::wire::text::UNKNOWN_TYPE => {
            Failure::new(Exit::Failed, "the daemon is of another version").hint("ox daemon restart")
        }
        ClientError::Remote(text) => off(&text),
        e => of_reach(&reach::ReachError::Client(e)),
    })
}

fn start(cx: &Cx, args: &Start) -> Outcome {
    let relay = wanted(cx);
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let Some(account) = relay_account(&site) else {
        let failure = match relay.target() {
            "" if relay.sink == RelaySink::Otlp => Failure::new(Exit::Failed, "no collector is named")
                .hint("ox config set relay.otlp_url https://collector.example.com:4318"),
            "" => Failure::new(Exit::Failed, "not logged in to a relay server: there is none built in")
                .hint("ox login --relay https://relay.example.com"),
            url => Failure::new(Exit::Failed, "not logged in to the relay server")
                .on(url)
                .hint(format!("ox login --relay {}", word(url))),
        };
        return Err(failure);
    };
    let kinds: Option<Vec<DataKind>> = (!args.kinds.is_empty()).then(|| {
        let named =
            |kind: &DataKind| *kind == DataKind::Events || args.kinds.iter().any(|word| word == kind.name());
        DataKind::ALL.into_iter().filter(named).collect()
    });
    match agree(cx, &account.server_url, kinds.as_deref(), args.yes)? {
        Some(true) => {}
        Some(false) => return Err(Failure::new(Exit::Failed, "not confirmed, nothing is sent")),
        None => {
            let hint = "ox relay start --yes";
            return Err(Failure::new(
                Exit::Usage,
                "this needs a confirmation, and there is no terminal to ask on",
            )
            .hint(hint));
        }
    }
    settings::set(&cx.dirs, "relay.enabled", "true").map_err(|e| of_project(&e))?;
    let status = begun(cx)?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "relay": status }));
    }
    cx.ui.done(&format!("events of agents are sent to {} from now on", clean(&status.server_url)))
}

/// Asks whether events may be sent to a server, unless that was said before, and keeps the answer; `kinds` of data, or all. `None` where
/// nobody can be asked.
///
/// # Errors
/// The answer cannot be kept.
pub fn agree(cx: &Cx, server: &str, kinds: Option<&[DataKind]>, yes: bool) -> Outcome<Option<bool>> {
    let relay = wanted(cx);
    let known = RelayConsents::load(&cx.dirs).map_err(|e| of_project(&e))?.of(server);
    let known = known.filter(|consent| {
        consent.allows(DataKind::Events) && kinds.is_none_or(|kinds| consent.kinds == kinds)
    });
    let meant = known.as_ref().map_or_else(|| kinds.unwrap_or(&DataKind::ALL), |consent| &consent.kinds);
    if cx.ui.is_read_by_a_person() && !yes {
        let about = meant.iter().map(|kind| format!("  {:<8} {}", kind.name(), kind.about()));
        cx.ui.note(&format!(
            "what can be sent to {}:\n{}",
            clean(server),
            about.collect::<Vec<_>>().join("\n")
        ));
    }
    let question = format!("Send events of agents to {} from now on?", clean(server));
    let answer = cx.ui.answer(&question, yes);
    if answer == Some(true) {
        let is_on = relay.enabled
            && Account::new(relay.target(), "").server_url == Account::new(server, "").server_url;
        let noted = match known {
            None => RelayConsents::grant(&cx.dirs, server, meant, cx.now()),
            // What was in between is not sent.
            Some(_) if !is_on => RelayConsents::resume(&cx.dirs, server, cx.now()).map(drop),
            Some(_) => Ok(()),
        };
        noted.map_err(|e| of_project(&e))?;
    }
    Ok(answer)
}

/// Has the daemon begin to send, which is started if none runs; waits a moment for the connection.
fn begun(cx: &Cx) -> Outcome<RelayStatus> {
    let host = match host(cx) {
        Some(host) => host,
        None => {
            reach::may_start(&cx.dirs, &cx.env).map_err(|e| of_reach(&e))?;
            reach::start(&cx.dirs, &cx.env).map_err(|e| of_reach(&e))?;
            Client::new(cx.dirs.host_socket())
        }
    };
    let mut status = answer(host.reload_relay())?;
    let mut waited = Duration::ZERO;
    while is_begun(status.state) == Some(false) && waited < START_WAIT {
        pause(START_LOOK);
        waited += START_LOOK;
        status = answer(host.relay_status())?;
    }
    if is_begun(status.state) != Some(true) {
        let why = if status.why.is_empty() { status.last_error.clone() } else { status.why.clone() };
        return Err(Failure::new(Exit::Failed, "events are not sent yet")
            .because_of(clean(&why))
            .hint("ox relay status"));
    }
    Ok(status)
}

/// Tells a daemon that runs that the login has changed: the link ends, or begins for somebody else.
pub fn tell_login(cx: &Cx) {
    if let Some(host) = host(cx)
        && let Err(e) = host.reload_relay()
    {
        cx.ui.warn(&format!("the daemon hears of the login within half a minute: {e}"));
    }
}

/// Has the link of a daemon that runs end, before what it is made with goes. One that does not answer hears of it by itself.
pub fn end_link(cx: &Cx) {
    if let Some(host) = host(cx) {
        drop(host.stop_relay());
    }
}

/// Whether the link is under way; none where it will not be by waiting.
fn is_begun(state: RelayState) -> Option<bool> {
    match state {
        RelayState::Idle | RelayState::Connecting | RelayState::Connected | RelayState::HttpFallback => {
            Some(true)
        }
        RelayState::Backoff | RelayState::Unknown => Some(false),
        RelayState::Disabled | RelayState::NeedsLogin => None,
    }
}

fn stop(cx: &Cx, args: &Stop) -> Outcome {
    let was_on = wanted(cx).enabled;
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    if args.forget
        && let Some(account) = relay_account(&site)
    {
        RelayConsents::withdraw(&cx.dirs, &account.server_url).map_err(|e| of_project(&e))?;
    }
    settings::set(&cx.dirs, "relay.enabled", "false").map_err(|e| of_project(&e))?;
    if let Some(host) = host(cx) {
        answer(host.stop_relay())?;
    }
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "was_on": was_on }));
    }
    cx.ui.done(if was_on {
        "no events are sent any more; what waits stays in the queue"
    } else {
        "the relay was off already"
    })
}

fn status(cx: &Cx, args: &Status) -> Outcome {
    let host = host(cx);
    let status = host.as_ref().map(|host| answer(host.relay_status())).transpose()?;
    let is_connected = |status: &RelayStatus| {
        matches!(status.state, RelayState::Idle | RelayState::Connected | RelayState::HttpFallback)
    };
    let good = status.as_ref().is_some_and(is_connected);
    let status = status.unwrap_or_else(|| offline(cx));
    let refused = |good: bool| match args.check && !good {
        true => Err(Failure::new(Exit::NotRunning, "events are not sent now").hint("ox relay status")),
        false => Ok(()),
    };
    if cx.ui.json() {
        if args.check && !good {
            return refused(good)
                .map_err(|f| f.with("relay", json!(status)).with("daemon", host.is_some().into()));
        }
        return cx.ui.document(&json!({ "daemon": host.is_some(), "relay": status }));
    }
    cx.ui.print(&page(cx, &status, good).join("\n"))?;
    if host.is_none() && wanted(cx).enabled {
        cx.ui.note("the daemon is not running: nothing is sent");
        cx.ui.next_step("ox daemon start");
    }
    refused(good)
}

fn page(cx: &Cx, status: &RelayStatus, good: bool) -> Vec<String> {
    let (now, paint) = (cx.now(), cx.ui.paint());
    let mark = if good { paint.text(Tone::Good, "●") } else { "○".to_owned() };
    if !status.why.is_empty() {
        return vec![format!("{mark} no events are sent: {}", clean(&status.why))];
    }
    let mut lines = vec![format!("{mark} events of agents go to {}", clean(&status.server_url))];
    lines.push(row("state", &state(status, now)));
    lines.push(row("waiting", &waiting(status, now)));
    if status.acked_total > 0 {
        let last = at(status.last_ack_ms).map(|at| format!(", the last {}", relative(at, now)));
        lines.push(row("sent", &format!("{}{}", events(status.acked_total), last.unwrap_or_default())));
    }
    if status.dropped_total > 0 {
        lines.push(row("lost", &format!("{}: the queue was full", events(status.dropped_total))));
    }
    if status.dead_total > 0 {
        lines.push(row("refused", &format!("{}: ox relay dead list", events(status.dead_total))));
    }
    if !status.last_error.is_empty() && !good {
        lines.push(row("problem", &clean(&status.last_error)));
    }
    lines
}

/// How the relay stands, in the words after its name on a page.
pub fn line(status: &RelayStatus, now: Timestamp) -> String {
    if !status.why.is_empty() {
        return clean(&status.why);
    }
    format!("{}; {}", state(status, now), waiting(status, now))
}

fn state(status: &RelayStatus, now: Timestamp) -> String {
    let what = match status.state {
        RelayState::Connected => format!("connected by {}", status.transport),
        RelayState::HttpFallback => "sending by requests".to_owned(),
        RelayState::Connecting => "connecting".to_owned(),
        RelayState::Idle => "nothing to send".to_owned(),
        RelayState::Backoff => {
            let next = at(status.next_retry_ms).filter(|at| *at > now).map(|at| relative(at, now));
            format!("not connected, tried again {}", next.unwrap_or_else(|| "soon".to_owned()))
        }
        RelayState::NeedsLogin => "the server takes the login no longer; ox login --relay".to_owned(),
        RelayState::Disabled | RelayState::Unknown => "off".to_owned(),
    };
    let since = at(status.since_ms).map(|at| format!(" since {}", relative(at, now)));
    format!("{what}{}", since.unwrap_or_default())
}

fn waiting(status: &RelayStatus, now: Timestamp) -> String {
    if status.queue_events == 0 {
        return "nothing waits".to_owned();
    }
    let size = bytes(u64::try_from(status.queue_bytes).unwrap_or(0));
    let oldest = at(status.oldest_event_ms).map(|at| format!(", the oldest from {}", relative(at, now)));
    format!("{} waiting, {size}{}", events(status.queue_events), oldest.unwrap_or_default())
}

fn events(n: i64) -> String {
    count(u64::try_from(n).unwrap_or(0), "event")
}

/// The moment of so many milliseconds since 1970; none for 0.
fn at(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok().filter(|_| ms > 0)
}

fn sync(cx: &Cx) -> Outcome {
    let (sent, left, error) = match host(cx) {
        Some(host) => {
            let done = answer(host.flush_relay())?;
            (done.sent, done.left, clean(&done.error))
        }
        None => (once(cx)?, 0, String::new()),
    };
    if cx.ui.json() && left == 0 {
        return cx.ui.document(&json!({ "success": true, "sent": sent, "left": left }));
    }
    if left > 0 {
        let failure = Failure::new(Exit::Network, format!("{} still waiting", events(left)));
        return Err(failure.because_of(error).with("sent", sent.into()).hint("ox relay status"));
    }
    cx.ui.done(&format!("sent {}", events(sent)))
}

/// Sends what there is from here.
fn once(cx: &Cx) -> Outcome<i64> {
    let interrupts = super::login::interrupts()?;
    let progress = cx.ui.progress("sending events");
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let sent = send_once(&site, interrupts.cancel());
    drop(progress);
    sent.map(|sent| i64::try_from(sent).unwrap_or(i64::MAX)).map_err(|e| {
        let exit = match &e {
            SendError::Off(text) => return off(text),
            SendError::Sync(SyncError::NoLogin(_)) => Exit::Auth,
            SendError::Sync(SyncError::Cancelled { .. }) => Exit::Interrupted,
            SendError::Sync(SyncError::Busy { .. } | SyncError::Failed { .. }) => Exit::Network,
            SendError::Sync(SyncError::Queue(_)) | SendError::Queue(_) => Exit::Failed,
        };
        Failure::new(exit, "the events were not sent")
            .because_of(clean(&e.to_string()))
            .hint("ox relay status")
    })
}

fn preview(cx: &Cx, args: &PreviewArgs) -> Outcome {
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    let shown = relay_preview(&site, args.limit.clamp(1, PREVIEW_MAX));
    let shown = shown.map_err(|why| {
        Failure::new(Exit::Failed, "the events cannot be read").because_of(clean(&why)).hint("ox doctor")
    })?;
    let target =
        relay_account(&site).map_or_else(|| wanted(cx).target().to_owned(), |account| account.server_url);
    if cx.ui.json() {
        let bytes = shown.as_ref().map(|one| String::from_utf8_lossy(&one.bytes).into_owned());
        let events = shown.as_ref().map_or(0, |one| one.count);
        return cx.ui.document(&json!({ "server_url": target, "events": events, "bytes": bytes }));
    }
    let Some(shown) = shown else {
        cx.ui.note("no event is stored that would be sent");
        cx.ui.next_step("ox hooks install");
        return Ok(());
    };
    let to = if target.is_empty() { "a server".to_owned() } else { clean(&target) };
    cx.ui.note(&format!(
        "{} would go to {to} as {}:",
        events(shown.count as i64),
        bytes(shown.bytes.len() as u64)
    ));
    cx.ui.print(&String::from_utf8_lossy(&shown.bytes))
}

/// So many events are shown at most.
const PREVIEW_MAX: usize = 100;

fn dead(cx: &Cx, what: &What) -> Outcome {
    let site = Site::new(cx.dirs.clone(), cx.env.clone());
    if relay_account(&site).is_none() {
        return Err(Failure::new(Exit::Failed, "not logged in to a relay server").hint("ox login --relay"));
    }
    if let What::Clear { yes } = what {
        cx.ui.confirm("Delete the events that the server refused? Nobody else has them.", *yes)?;
    }
    // The queue has one owner: the daemon lets go of it for a moment.
    let host = host(cx).filter(|host| host.stop_relay().is_ok());
    let done = with_queue(cx, &site, what);
    if let Some(host) = host {
        answer(host.reload_relay())?;
    }
    done
}

fn with_queue(cx: &Cx, site: &Site, what: &What) -> Outcome {
    let failed = |why: String| {
        Failure::new(Exit::Failed, "the queue of the relay cannot be used")
            .because_of(clean(&why))
            .hint("ox relay status")
    };
    let mut queue = relay_queue(site).map_err(failed)?;
    match what {
        What::List { limit } => {
            let all = queue.dead(*limit).map_err(|e| failed(e.to_string()))?;
            let total = queue.stats().map_err(|e| failed(e.to_string()))?.dead;
            if cx.ui.json() {
                return cx.ui.document(&json!({ "dead": all, "total": total }));
            }
            if all.is_empty() {
                cx.ui.note("the server has refused nothing");
                return Ok(());
            }
            let mut table = Table::new(&["REFUSED", "WHY", "EVENT"]);
            for one in &all {
                let when = at(one.at_ms).map(|at| relative(at, cx.now())).unwrap_or_default();
                table.row([when, clean(&one.code), cut(&clean(&one.record.to_string()), Some(200)).clone()]);
            }
            cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))?;
            cx.ui.next_step("ox relay dead retry");
            Ok(())
        }
        What::Retry | What::Clear { .. } => {
            let is_retry = matches!(what, What::Retry);
            let done = if is_retry { queue.retry_dead() } else { queue.clear_dead() };
            let done = done.map_err(|e| failed(e.to_string()))?;
            if cx.ui.json() {
                return cx.ui.document(&json!({ "success": true, "events": done }));
            }
            let count = count(done, "event");
            cx.ui.done(&if is_retry {
                format!("{count} back in the queue")
            } else {
                format!("deleted {count}")
            })
        }
    }
}

/// What can be told of it while no daemon runs.
fn offline(cx: &Cx) -> RelayStatus {
    let relay = wanted(cx);
    let why =
        if relay.enabled { "the daemon is not running; ox daemon start" } else { "off; ox relay start" };
    RelayStatus { server_url: relay.target().to_owned(), why: why.to_owned(), ..RelayStatus::default() }
}

/// Nothing is sent: why, and behind the last `;` the command that leads out.
fn off(text: &str) -> Failure {
    let failure = Failure::new(Exit::Failed, "no events are sent");
    match text.rsplit_once("; ") {
        Some((why, hint)) => failure.because_of(clean(why)).hint(clean(hint)),
        None => failure.because_of(clean(text)).hint("ox whoami"),
    }
}
