//! What a worker answers about agents' settings.

use super::event::Ask;
use crate::hooks::entry;
use crate::hooks::install::{self, Asked, Done, Error};
use crate::hooks::store::Store;
use crate::ipc::wire::{HooksAgent, HooksSet, HooksSetDone, HooksState, Response};
use crate::project::settings;
use crate::sync::Site;

/// Means all agents: whether hooks are used at all.
const ALL: &str = "all";

pub(super) fn answer(site: &Site, ask: Ask) -> Response {
    match ask {
        Ask::State => state(site, Vec::new()),
        Ask::Reconcile => match reconcile(site) {
            Ok(done) => state(site, done),
            Err(e) => Response::error(e.line()),
        },
        Ask::Set(set) => self::set(site, &set),
    }
}

fn set(site: &Site, set: &HooksSet) -> Response {
    let words: Vec<&str> =
        install::rows().map(|hooks| hooks.word).filter(|word| *word == set.agent).collect();
    let is_all = set.agent == ALL;
    if words.is_empty() && !is_all {
        return Response::error(format!("no agent is called {:?}", set.agent));
    }
    // First what is wanted: what cannot be done now is done when the process begins the next time.
    let wanted = match is_all {
        true => settings::use_hooks(&site.dirs, &[], set.enabled, true),
        false => settings::use_hook(&site.dirs, words[0], set.enabled),
    };
    if let Err(e) = wanted {
        return Response::error(e.to_string());
    }
    let error = match reconcile(site) {
        Ok(done) => {
            let failed = |done: &Done| done.result.as_ref().err().map(Error::line);
            done.iter().filter(|done| is_all || done.agent == set.agent).find_map(failed)
        }
        Err(e) => Some(e.line()),
    };
    let ok = error.is_none();
    Response::data(&HooksSetDone { ok, enabled: set.enabled, error: error.unwrap_or_default() })
}

fn reconcile(site: &Site) -> Result<Vec<Done>, Error> {
    let program = entry::program();
    let done = install::reconcile(of(site, program.as_deref()), Asked::default())?;
    for one in &done {
        if let Err(e) = &one.result {
            log::warn!("hooks of {} are not as they should be: {}; ox hooks status", one.agent, e.line());
        }
    }
    Ok(done)
}

fn state(site: &Site, done: Vec<Done>) -> Response {
    let program = entry::program();
    let (enabled, agents) = match install::status(of(site, program.as_deref())) {
        Ok(status) => status,
        Err(e) => return Response::error(e.line()),
    };
    let store = Store::look(&site.dirs.events()).ok().flatten();
    let agents = agents.into_iter().map(|one| {
        let kind = crate::hooks::event::program(one.agent).map_or(one.agent, |program| program.kind);
        let last = store.as_ref().and_then(|store| store.last_event(kind).ok().flatten());
        let failed =
            done.iter().find(|done| done.agent == one.agent).and_then(|done| done.result.as_ref().err());
        HooksAgent {
            agent: one.agent.to_owned(),
            opted_in: one.opted_in,
            effective: one.effective,
            state: one.state().to_owned(),
            installed: one.is_installed(),
            missing_events: one.missing_events.iter().map(|event| (*event).to_owned()).collect(),
            feature: one.feature.name().to_owned(),
            trust: one.trust.name().to_owned(),
            last_event_ms: last.map(jiff::Timestamp::as_millisecond),
            error: failed.map(Error::line).unwrap_or_default(),
            next_steps: one.next_steps,
        }
    });
    Response::data(&HooksState { enabled, agents: agents.collect() })
}

fn of<'a>(site: &'a Site, program: Option<&'a std::path::Path>) -> install::Site<'a> {
    install::Site { env: &site.env, dirs: &site.dirs, program }
}
