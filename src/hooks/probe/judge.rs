//! Which link of the way is broken, by what stands in the settings and by what has arrived. Pure.

use super::How;
use super::stub::Served;
use super::watch::Arrived;
use crate::harness::hooks::CODEX;
use crate::hooks::event;
use crate::hooks::install::{Error, Feature, Trust, Wiring};
use crate::hooks::record::FOREIGN;

/// A link of the way, the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// Hooks are asked for, and our command stands in the file that the program reads.
    Configured,
    /// The program runs what stands there.
    Trusted,
    /// The program runs it at its events.
    Fired,
    /// The entry puts the event into the spool.
    Delivered,
    /// The daemon stores it.
    Stored,
}

impl Link {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Link::Configured => "configured",
            Link::Trusted => "trusted",
            Link::Fired => "fired",
            Link::Delivered => "delivered",
            Link::Stored => "stored",
        }
    }
}

/// The reason of one that nobody has asked for.
pub const NOT_OPTED_IN: &str = "not-opted-in";

/// A link that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub link: Link,
    /// Why, in a word that stays.
    pub reason: &'static str,
    /// Why, in words.
    pub what: String,
    /// What to do: a command, or words.
    pub next: String,
}

/// What has run the command of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The program.
    Run,
    /// The test, in its place.
    Replayed,
    /// Nothing did, though the program should have.
    No,
    /// Nobody knows: nothing was run, or nothing came of it.
    Unknown,
}

impl Fired {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Fired::Run => "run",
            Fired::Replayed => "replayed",
            Fired::No => "no",
            Fired::Unknown => "unknown",
        }
    }
}

/// What is known of one event. What follows on a broken link is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventProof {
    /// What the program calls it.
    pub event: &'static str,
    /// What ours call it.
    pub event_type: &'static str,
    /// Our command stands there.
    pub configured: bool,
    /// The program runs it.
    pub trusted: Option<bool>,
    /// Who has run it.
    pub fired: Fired,
    /// It was in the spool.
    pub delivered: Option<bool>,
    /// It was in the store.
    pub stored: Option<bool>,
    /// How long the entry took, in microseconds.
    pub handler_us: Option<u64>,
    /// How long after it was received it was in the store, in milliseconds.
    pub stored_ms: Option<u64>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What arrived in all.
    pub(super) arrived: Arrived,
    /// Events that the program's run has brought.
    pub(super) by_run: Vec<&'static str>,
    /// Events that it should have brought, and has not.
    pub(super) missed: Vec<&'static str>,
    /// Why the run did not come to its end.
    pub(super) cut_short: Option<String>,
    /// What was wrong with a command that was run in the program's place.
    pub(super) wrong: Option<String>,
    /// Why nothing can be put into the spool.
    pub(super) refused: Option<String>,
    /// A daemon lives.
    pub(super) daemon: bool,
    /// Something was run.
    pub(super) tried: bool,
}

/// What a run brings of the events at which a command stands: the end of a turn only where the model was asked, calls of tools where one was
/// asked for and not refused.
pub(super) fn expected(wiring: &Wiring, served: Served) -> Vec<&'static str> {
    let brings = |canonical: &str| match canonical {
        "SessionStart" | "UserPromptSubmit" | "SessionEnd" => true,
        "Stop" => served.answers > 0,
        "PreToolUse" | "PostToolUse" => served.ran,
        _ => false,
    };
    let wanted = wiring.hooks.events.iter().filter(|event| brings(event.canonical));
    let stands = |name: &&str| wiring.commands.iter().any(|(event, _)| event == name);
    wanted.map(|event| event.name).filter(stands).collect()
}

/// What the settings show to be broken, the first first. `is_off`: a variable switches every entry off.
pub(super) fn before(wiring: &Wiring, is_off: bool) -> Vec<Broken> {
    let (status, word) = (&wiring.status, wiring.hooks.word);
    let file = status.path.display();
    let install = format!("ox hooks install --agent {word}");
    let mut all = Vec::new();
    let mut broken = |link, reason, what: String, next: &str| {
        all.push(Broken { link, reason, what, next: next.to_owned() });
    };
    if !status.effective {
        let what = match wiring.enabled {
            false => "hooks are off (hooks.enabled)".to_owned(),
            true => format!("hooks of {word} are off (hooks.{word})"),
        };
        broken(Link::Configured, NOT_OPTED_IN, what, &install);
        return all;
    }
    if let Some(error) = &status.refused {
        let (reason, next) = match error {
            Error::Rejected { .. } => ("file-rejected", format!("mend {file}, then: {install}")),
            Error::Disk { .. } => ("file-unreadable", format!("see to it that {file} can be read")),
            _ => ("file-unclear", format!("mend {file}, then: {install}")),
        };
        broken(Link::Configured, reason, error.line(), &next);
        return all;
    }
    if status.installed_events.is_empty() {
        match wiring.elsewhere.first() {
            Some(other) => {
                let why = wiring.moved.as_ref().map(|(name, value)| format!("{name} is {value}, and "));
                let what = format!(
                    "{}nothing of ours is in {file}; it is in {}",
                    why.unwrap_or_default(),
                    other.display()
                );
                broken(Link::Configured, "foreign-configuration", what, &install);
            }
            None => {
                broken(Link::Configured, "not-installed", format!("nothing of ours is in {file}"), &install)
            }
        }
        return all;
    }
    if !status.missing_events.is_empty() {
        let what = format!("nothing of ours is in {file} for {}", status.missing_events.join(", "));
        broken(Link::Configured, "incomplete", what, &install);
    }
    if let Some(path) = &wiring.all_off {
        let what = format!("{} switches all hooks of {word} off (disableAllHooks)", path.display());
        broken(
            Link::Trusted,
            "hooks-disabled",
            what,
            &format!("remove disableAllHooks from {}", path.display()),
        );
    } else if status.feature == Feature::Off && word == CODEX.word {
        let config = status.path.with_file_name("config.toml");
        let what = format!("{} switches hooks off (features.hooks)", config.display());
        broken(Link::Trusted, "feature-off", what, &format!("{install} --enable-feature"));
    }
    match status.trust {
        Trust::Untrusted => {
            let what = format!("{word} runs no hook of {file} before it is trusted");
            broken(Link::Trusted, "untrusted", what, &format!("type /hooks in {word} and trust them"));
        }
        Trust::Disabled => {
            let what = format!("some hooks of {file} are switched off in {word}");
            broken(Link::Trusted, "disabled", what, &format!("type /hooks in {word} and switch them on"));
        }
        _ => {}
    }
    if let Some(program) = &wiring.dangling {
        let what = match std::fs::read_link(program) {
            Ok(to) => format!("{} leads to {}, which cannot be run", program.display(), to.display()),
            Err(_) => format!("{} is to be run and cannot be", program.display()),
        };
        broken(Link::Delivered, "dangling-command", what, &install);
    }
    if !status.let_in {
        let what =
            format!("nothing lets the entry of {word} take events in: its flag file is missing or damaged");
        broken(Link::Delivered, "no-flag-file", what, &install);
    }
    if is_off {
        let what = "OX_HOOKS is 0 here, which switches every entry off".to_owned();
        broken(Link::Delivered, "switched-off", what, "unset OX_HOOKS");
    }
    all
}

/// What is not broken and may surprise.
pub(super) fn notes(wiring: &Wiring) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(path), None) = (&wiring.status.stale_path, &wiring.dangling) {
        let word = wiring.hooks.word;
        notes.push(format!("the hooks of {word} run {path}, which is not what agents are to run"));
    }
    notes
}

/// What the trial has shown to be broken, the first first.
pub(super) fn after(wiring: &Wiring, how: &How, seen: &Seen) -> Vec<Broken> {
    let word = wiring.hooks.word;
    let names: Vec<&str> = wiring.commands.iter().map(|(event, _)| *event).collect();
    let mut all = Vec::new();
    let mut broken = |link, reason, what: String, next: String| {
        all.push(Broken { link, reason, what, next });
    };
    let (come, lost): (Vec<&str>, Vec<&str>) = names.iter().partition(|e| seen.arrived.is_delivered(e));
    let unfired: Vec<&str> = seen.missed.iter().copied().filter(|e| come.contains(e)).collect();
    if !unfired.is_empty() {
        let is_any = !seen.by_run.is_empty();
        let what = match is_any {
            true => format!("{word} did not run our command at {}", unfired.join(", ")),
            false => format!("{word} ran none of our commands"),
        };
        let next = match (is_any, word == CODEX.word) {
            (false, true) => "type /hooks in codex: it may want them to be trusted anew".to_owned(),
            (true, _) => format!("update {word}: an older one may not know of these events"),
            (false, false) => format!("look at what {word} says of its hooks: /hooks"),
        };
        broken(Link::Fired, "not-fired", what, next);
    }
    if !lost.is_empty() {
        let events = lost.join(", ");
        match (&seen.refused, &seen.wrong) {
            (Some(why), _) => {
                let what = format!("nothing can be put into the spool: {why}");
                broken(Link::Delivered, "spool-unwritable", what, "ox doctor".to_owned());
            }
            (None, Some(why)) => {
                let what = format!("the command in the settings of {word} fails: {why}");
                broken(Link::Delivered, "command-failed", what, format!("ox hooks install --agent {word}"));
            }
            (None, None) => {
                let what = format!("the command in the settings of {word} takes nothing in at {events}");
                broken(Link::Delivered, "not-delivered", what, format!("ox hooks install --agent {word}"));
            }
        }
    }
    let foreign: Vec<&str> = come.iter().copied().filter(|e| is_foreign(wiring, how, seen, e)).collect();
    if !foreign.is_empty() {
        let what = format!("what {word} tells at {} counts as another program's", foreign.join(", "));
        broken(Link::Delivered, "foreign-payload", what, "ox hooks status".to_owned());
    }
    let waiting: Vec<&str> = come.iter().copied().filter(|e| seen.arrived.row(e).is_none()).collect();
    if !waiting.is_empty() {
        match seen.daemon {
            false => {
                let what = "the daemon is not running, so nothing is stored".to_owned();
                broken(Link::Stored, "daemon-absent", what, "ox daemon start".to_owned());
            }
            true => {
                let what = format!("the daemon has not stored {}", waiting.join(", "));
                broken(Link::Stored, "not-stored", what, "ox daemon logs".to_owned());
            }
        }
    }
    all
}

/// Whether what the program itself has told is stored as somebody else's.
fn is_foreign(wiring: &Wiring, how: &How, seen: &Seen, event: &str) -> bool {
    let kind = event::program(wiring.hooks.word).map_or("", |program| program.kind);
    let agent = match (seen.arrived.row(event), seen.arrived.record(event)) {
        (Some((row, _)), _) => &row.agent,
        (None, Some(record)) => &record.agent,
        (None, None) => return false,
    };
    // Who runs this command may be an agent, and then that one is seen behind what is replayed.
    let is_by_run = *how == How::Run && seen.by_run.contains(&event);
    agent == FOREIGN || is_by_run && agent != kind
}

/// What is known of each event.
pub(super) fn events(wiring: &Wiring, broken: &[Broken], seen: &Seen) -> Vec<EventProof> {
    let is_broken = |link: Link| broken.iter().any(|broken| broken.link == link);
    let one = |event: &crate::harness::hooks::Event| {
        let name = event.name;
        let configured = wiring.status.installed_events.contains(&name) && wiring.status.effective;
        let trusted = configured.then(|| !is_broken(Link::Trusted));
        let is_delivered = seen.arrived.is_delivered(name);
        let (record, row) = (seen.arrived.record(name), seen.arrived.row(name));
        // What was not tried is not known, but for what cannot work.
        let delivered = match seen.tried {
            true => configured.then_some(is_delivered),
            false => (trusted == Some(true) && is_broken(Link::Delivered)).then_some(false),
        };
        EventProof {
            event: name,
            event_type: event.canonical,
            configured,
            trusted,
            fired: match () {
                () if seen.by_run.contains(&name) => Fired::Run,
                () if seen.missed.contains(&name) && is_delivered => Fired::No,
                () if is_delivered => Fired::Replayed,
                () => Fired::Unknown,
            },
            delivered,
            stored: (delivered == Some(true)).then_some(row.is_some()),
            handler_us: record.map(|record| record.handler_us),
            stored_ms: row.and_then(|(row, at)| {
                let after = at.as_millisecond() - row.rest.hook_at_ms?;
                u64::try_from(after.max(0)).ok()
            }),
        }
    };
    wiring.hooks.events.iter().map(one).collect()
}
