//! Whom events are sent for, and what of them: asked by the daemon, and by commands where none runs.

use parking_lot::Mutex;

use super::event::{Fed, More, Off};
use crate::cloud::{self, RelayState as Login};
use crate::harness::PROGRAMS;
use crate::hooks::install;
use crate::hooks::store::{After, Store};
use crate::kit::cancel::Cancel;
use crate::kit::contact::Purpose;
use crate::kit::secret::Secret;
use crate::project::settings::Settings;
use crate::project::{Relay, RelayConsents, RelaySink, RelayTransport};
use crate::relay::account::Account;
use crate::relay::frame::Shape;
use crate::relay::gate::{self, Closed, Open, gate};
use crate::relay::link::{self, Access, Denied, Link, Sink, SyncError, Want};
use crate::relay::preview::{self, Preview};
use crate::relay::queue::{AccountQueue, Terms};
use crate::relay::record::{Cwd, Fact, Recorder, Source, Told};
use crate::relay::settle::Settle;
use crate::sync::Site;

/// Events that are read at a time, and how often before others have their turn.
const READ: usize = 512;
const READS: usize = 20;

/// The queue of an account.
pub(super) type Queue = std::sync::Arc<Mutex<AccountQueue>>;

fn settings(site: &Site) -> Relay {
    let (settings, trouble) = Settings::load(&site.env, &site.dirs, None);
    let (relay, wrong) = settings.relay();
    trouble.iter().chain(&wrong).for_each(|e| log::warn!("{e}"));
    relay
}

/// What the settings say of it, and whose events are sent to where, and what of them.
pub(super) fn look(site: &Site) -> Result<(Relay, Open), Off> {
    let mut relay = settings(site);
    if !relay.enabled {
        return Err(Off::Disabled);
    }
    let login = cloud::relay_identity(&site.dirs, &site.env);
    if relay.sink == RelaySink::Relay {
        match login.state {
            Login::NeedsLogin => return Err(Off::NeedsLogin),
            Login::Unusable(why) => return Err(Off::Unknown(why)),
            Login::LoggedOut | Login::LoggedIn | Login::Static => {}
        }
        if relay.url.is_empty() {
            relay.url.clone_from(&login.server_url);
        }
    }
    let login = (!login.user_id.is_empty()).then(|| gate::Login {
        account: Account::new(&login.server_url, &login.user_id),
        since_ms: login.since_ms,
    });
    let consents = RelayConsents::load(&site.dirs).map_err(|e| Off::Unknown(e.to_string()))?;
    let open = gate(&relay, login.as_ref(), &consents).map_err(|closed| match closed {
        Closed::Off => Off::Disabled,
        Closed::NoServer | Closed::NoCollector => Off::NoServer,
        Closed::LoggedOut(_) => Off::LoggedOut,
        Closed::NoConsent(_) => Off::NoConsent,
    })?;
    Ok((relay, open))
}

/// The account's queue, which is opened if it is not; that of another account is closed first.
pub(super) fn opened(
    held: &Mutex<Option<Queue>>,
    site: &Site,
    account: &Account,
    max: u64,
) -> Result<Queue, String> {
    let mut held = held.lock();
    if let Some(queue) = &*held {
        if queue.lock().account() == account {
            return Ok(Queue::clone(queue));
        }
        *held = None;
    }
    let (queue, found) = AccountQueue::open(&site.dirs.relay(), account, max).map_err(|e| e.to_string())?;
    if found.torn > 0 || found.missing > 0 || found.cursor_lost {
        log::warn!("the queue of the relay was not left in order: {found:?}");
    }
    let queue = Queue::new(Mutex::new(queue));
    *held = Some(Queue::clone(&queue));
    Ok(queue)
}

/// Puts what is stored and was not looked at yet into the account's queue; of what was stored only just now others may still tell more.
pub(super) fn feed(
    site: &Site,
    held: &Mutex<Option<Queue>>,
    settle: &Mutex<Settle>,
    account: &Account,
    all: bool,
) -> Result<Fed, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let (relay, open) = match look(site) {
        Ok((relay, open)) if open.account == *account => (relay, open),
        // The core hears of it by its own look.
        _ => return Ok(Fed { new: 0, more: More::None, queued: 0 }),
    };
    let queue = opened(held, site, account, relay.max_queue_bytes)?;
    let store = Store::look(&site.dirs.events()).map_err(|e| text(&e))?;
    let mut queue = queue.lock();
    let Some(store) = store else {
        let queued = queue.stats().map_err(|e| text(&e))?.events;
        return Ok(Fed { new: 0, more: More::None, queued });
    };
    let last = store.last_seq().map_err(|e| text(&e))?;
    if last < queue.fed() {
        queue.restart().map_err(|e| text(&e))?;
    }
    let settled = settle.lock().look(last, site.clock.now().mono);
    let upto = if all { last } else { settled };
    let (key, install_id) = install::identity(site.dirs.data()).map_err(|e| text(&e))?;
    let home = site.env.home().map(|home| home.to_string_lossy().into_owned()).unwrap_or_default();
    let recorder = Recorder::new(&install_id, key, relay.cwd_hash, &home, open.told);
    let terms = Terms { recorder: &recorder, relay: &relay, since_ms: open.since_ms };
    let (mut new, mut more) = (0, if last > upto { More::Unsettled } else { More::None });
    for read in 0.. {
        if read >= READS {
            more = More::Settled;
            break;
        }
        let rows = store.after(queue.fed(), upto, READ).map_err(|e| text(&e))?;
        let count = rows.len();
        let now_ms = site.clock.now().wall.as_millisecond();
        let fed = queue.feed(rows.into_iter().map(fact), &terms, now_ms).map_err(|e| text(&e))?;
        new += fed.queued;
        if fed.dropped > 0 {
            log::warn!("the queue of the relay is full: {} of the oldest events are lost", fed.dropped);
        }
        if count < READ {
            break;
        }
    }
    Ok(Fed { new, more, queued: queue.stats().map_err(|e| text(&e))?.events })
}

/// What servers call a program: the word of its hooks, where it has some.
fn word_of(agent: String) -> String {
    let hooks = PROGRAMS.iter().find(|program| program.kind == agent).and_then(|program| program.hooks);
    hooks.map_or(agent, |hooks| hooks.word.to_owned())
}

/// What the store knows, in the words of the relay.
fn fact(row: After) -> (i64, Fact) {
    let source = |name: &&str| match *name {
        "hook" => Source::Hook,
        "transcript" => Source::Transcript,
        _ => Source::Cli,
    };
    let fact = Fact {
        agent: word_of(row.agent),
        session_id: row.session_id,
        event: row.event_type,
        raw_event: row.hook_event_name.unwrap_or_default(),
        tool: row.tool_name.unwrap_or_default(),
        tool_use_id: row.tool_use_id.unwrap_or_default(),
        turn_id: row.turn_id.unwrap_or_default(),
        model: row.model.unwrap_or_default(),
        permission_mode: row.permission_mode.unwrap_or_default(),
        reason: row.reason.unwrap_or_default(),
        at_ms: row.at_ms,
        duration_ms: 0,
        sources: row.sources.iter().map(source).collect(),
        dedup_key: row.dedup_key,
        repo_id: row.repo_id.unwrap_or_default(),
        cwd: row.cwd_hash.map_or(Cwd::Unknown, Cwd::Keyed),
    };
    (row.seq, fact)
}

/// How events are sent, as the settings say now.
pub(super) fn link_of(site: &Site, account: &Account, relay: &Relay) -> Result<Link, String> {
    let sink = match relay.sink {
        RelaySink::Relay => Sink::Relay,
        RelaySink::Otlp => Sink::Otlp { key: otlp_key(site, relay)? },
    };
    let purpose = if relay.sink == RelaySink::Otlp { Purpose::Otlp } else { Purpose::Relay };
    let trust = crate::http::Trust { insecure: relay.allow_insecure, ca_file: relay.ca_file.clone() };
    Ok(Link {
        client: site.http.for_daemon().meant_for(purpose).with_trust(trust),
        server_url: account.server_url.clone(),
        transport: relay.transport,
        batch_events: usize::try_from(relay.batch_events).unwrap_or(usize::MAX),
        flush: relay.flush,
        sink,
    })
}

/// The header that a collector wants, from the variable that the settings name.
fn otlp_key(site: &Site, relay: &Relay) -> Result<Option<(String, Secret)>, String> {
    if relay.otlp_key_env.is_empty() {
        return Ok(None);
    }
    let value = site.env.get(&relay.otlp_key_env).filter(|value| !value.is_empty());
    let value =
        value.ok_or_else(|| format!("{} is not set, and relay.otlp_key_env names it", relay.otlp_key_env))?;
    Ok(Some((relay.otlp_header.clone(), Secret::new(value))))
}

/// A token for the account; none for another one, whoever has logged in meanwhile.
pub(super) fn access(
    site: &Site,
    account: &Account,
    want: Want,
    last: &mut Option<Secret>,
    cancel: &Cancel,
) -> Result<Access, Denied> {
    let want = match (want, &*last) {
        (Want::Renewed, Some(not)) => cloud::Want::Forced { not: not.clone() },
        _ => cloud::Want::Fresh,
    };
    let http = site.http.for_daemon().meant_for(Purpose::Login);
    match cloud::relay_access(&site.dirs, &site.env, &http, &want, cancel) {
        Ok(access) if Account::new(&access.server_url, &access.user_id) != *account => {
            Err(Denied::NoLogin("somebody else is logged in".to_owned()))
        }
        Ok(access) => {
            *last = Some(access.token.clone());
            Ok(Access { token: access.token, expires_at: access.expires_at })
        }
        Err(e) if e.needs_person() => Err(Denied::NoLogin(e.to_string())),
        Err(e) => Err(Denied::Later(e.to_string())),
    }
}

/// Why not all could be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing is to be sent; the text names the command that leads out.
    #[error("{0}")]
    Off(String),
    /// The events could not be read, or put into the queue.
    #[error("{0}")]
    Queue(String),
    /// The server did not take them.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// Sends all that is stored and agreed to, once, from this process: for commands where no daemon runs. How many events the server took.
///
/// # Errors
/// What was not sent stays.
pub fn send_once(site: &Site, cancel: &Cancel) -> Result<usize, SendError> {
    let (relay, open) = look(site).map_err(|off| SendError::Off(off.text()))?;
    let held = Mutex::default();
    loop {
        let fed = feed(site, &held, &Mutex::default(), &open.account, true).map_err(SendError::Queue)?;
        if fed.more != More::Settled {
            break;
        }
    }
    let queue = opened(&held, site, &open.account, relay.max_queue_bytes).map_err(SendError::Queue)?;
    let link = link_of(site, &open.account, &relay).map_err(SendError::Queue)?;
    let mut last = None;
    let mut access = |want: Want| access(site, &open.account, want, &mut last, cancel);
    Ok(link::sync(&link, &queue, &mut access, &*site.clock, cancel)?)
}

/// The account that events go to, or would, whether that is wanted now or not.
pub fn relay_account(site: &Site) -> Option<Account> {
    let relay = settings(site);
    if relay.sink == RelaySink::Otlp {
        return (!relay.otlp_url.is_empty()).then(|| Account::new(&relay.otlp_url, ""));
    }
    let login = cloud::relay_identity(&site.dirs, &site.env);
    (!login.user_id.is_empty()).then(|| Account::new(&login.server_url, &login.user_id))
}

/// The queue of that account; while a daemon has it open nobody else gets it.
///
/// # Errors
/// Nobody is logged in, the queue is in use, or the disk refuses.
pub fn relay_queue(site: &Site) -> Result<AccountQueue, String> {
    let account = relay_account(site).ok_or_else(|| Off::LoggedOut.text())?;
    let max = settings(site).max_queue_bytes;
    AccountQueue::open(&site.dirs.relay(), &account, max).map(|(queue, _)| queue).map_err(|e| e.to_string())
}

/// What would be sent, byte for byte: of the events that were stored last, at most `events`, the newest batch, as the settings put it and as
/// far as the user has agreed; where they have not, as if to everything.
///
/// # Errors
/// The events cannot be read.
pub fn relay_preview(site: &Site, events: usize) -> Result<Option<Preview>, String> {
    let relay = settings(site);
    let shape = match relay.sink {
        RelaySink::Otlp => Shape::Otlp,
        RelaySink::Relay if relay.transport == RelayTransport::Http => Shape::Body,
        RelaySink::Relay => Shape::Frame,
    };
    let server = relay_account(site).map_or_else(|| relay.target().to_owned(), |account| account.server_url);
    let consent = RelayConsents::load(&site.dirs).ok().and_then(|all| all.of(&server));
    let told = consent.map_or(Told { models: true, projects: true }, |consent| Told::by(&consent));
    let Some(store) = Store::look(&site.dirs.events()).map_err(|e| e.to_string())? else { return Ok(None) };
    let last = store.last_seq().map_err(|e| e.to_string())?;
    let mut facts: Vec<Fact> = Vec::new();
    let mut upto = last;
    // Numbers have gaps where events went.
    while upto > 0 && facts.len() < events {
        let from = (upto - i64::try_from(READ).unwrap_or(i64::MAX)).max(0);
        let rows = store.after(from, upto, READ).map_err(|e| e.to_string())?;
        let sent = rows.into_iter().map(fact).map(|(_, fact)| fact).filter(|fact| relay.sends(&fact.event));
        facts.splice(0..0, sent);
        upto = from;
    }
    let skip = facts.len().saturating_sub(events);
    let (key, install_id) = install::identity(site.dirs.data()).map_err(|e| e.to_string())?;
    let home = site.env.home().map(|home| home.to_string_lossy().into_owned()).unwrap_or_default();
    let recorder = Recorder::new(&install_id, key, relay.cwd_hash, &home, told);
    Ok(preview::of_facts(facts[skip..].iter(), &recorder, shape, events))
}
