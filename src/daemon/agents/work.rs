//! What workers do for background work.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::cost;
use super::event::{Agent, Effect, Event, Found, Looked, Place};
use super::finish::{Means, places};
use crate::agents::budget::{Budget, Caps, Cost};
use crate::agents::kept::Kept;
use crate::agents::manager::{End, Ended, Settings as Wanted};
use crate::agents::runner::{self, Runner, Which};
use crate::agents::usable::{self, Effective, Usable};
use crate::daemon::host::lanes::{Lane, Lanes};
use crate::kit::supervise::Supervisor;
use crate::project::settings::Settings;
use crate::project::{AgentWorker, Instance, Project};
use crate::sessions::Places;
use crate::sessions::finish as ended;
use crate::sync::Site;

/// That an agent cannot be used is believed for so long.
const UNUSABLE_FOR: Duration = Duration::from_secs(5);

/// What was found of agents, and by which configuration.
struct Known {
    worker: AgentWorker,
    looked: usable::Looked,
}

/// What the work needs.
#[derive(Default)]
pub(in crate::daemon) struct Work {
    /// The number of what was kept last: workers do not keep the order.
    kept: Arc<Mutex<u64>>,
    known: Arc<Mutex<Option<Known>>>,
}

impl Work {
    pub(in crate::daemon) fn perform(&self, lanes: &Lanes, effect: Effect) {
        let (site, known, last) = (lanes.site.clone(), Arc::clone(&self.known), Arc::clone(&self.kept));
        match effect {
            Effect::Load => {
                let now = site.clock.now().wall;
                lanes.start(
                    Lane::Disk,
                    move || {
                        runner::sweep(&site.dirs.agent_work(), &site.env);
                        load(&site.dirs.agent_spend(), now)
                    },
                    // Where nobody could look, nobody knows.
                    move |kept| Event::Loaded(kept.unwrap_or_else(|_| unknown(now))).into(),
                );
            }
            Effect::Keep(kept) => {
                lanes.run(Lane::Disk, move || {
                    if let Err(e) = keep(&site.dirs.agent_spend(), &last, &kept) {
                        log::warn!("what background work has cost is not written down: {e}");
                    }
                });
            }
            Effect::Look(places) => lanes.start(
                Lane::Scan,
                move || look(&site, &known, &places),
                |looked| Event::Looked(looked.ok()).into(),
            ),
            Effect::Run { run, place, name, with_agent, kept } => {
                let (results, stop) = (lanes.sender(), lanes.stop.clone());
                let work = move || {
                    if with_agent && let Err(e) = keep(&site.dirs.agent_spend(), &last, &kept) {
                        let error = format!("what it costs cannot be written down: {e}");
                        return Ended { end: End::Failed, error, exit_code: 0, cost: Some(Cost::default()) };
                    }
                    let (worker, effective) = resolve(&site, &known);
                    let runner = effective.agent.filter(|_| with_agent);
                    let runner = runner.map(|agent| runner_of(&site, agent, &worker)).transpose();
                    let runner = match runner {
                        Ok(runner) => runner,
                        Err(why) => {
                            let cost = Some(Cost::default());
                            return Ended { end: End::Failed, error: why, exit_code: 0, cost };
                        }
                    };
                    let began = |pid: u32| drop(results.send(Event::Began(run, pid).into()));
                    let (place, worker, runner) = (&place, &worker, runner.as_ref());
                    Means { site: &site, place, worker, runner, began: &began, cancel: &stop }.finish(&name)
                };
                lanes.start(Lane::Agent, work, move |ended| {
                    let bug = |e: crate::daemon::host::lanes::NotDone| Ended {
                        end: End::Failed,
                        error: e.to_string(),
                        exit_code: 0,
                        cost: None,
                    };
                    Event::Ended(run, ended.unwrap_or_else(bug)).into()
                });
            }
        }
    }
}

/// What was spent. Where it is damaged nobody knows: all of it.
fn load(path: &Path, now: Timestamp) -> Kept {
    match Kept::load(path) {
        Ok(kept) => kept,
        Err(e) => {
            log::error!(
                "{}: {e}; no agent is run for a day, for nobody knows what was spent",
                path.display()
            );
            let kept = unknown(now);
            if let Err(e) = kept.save(path) {
                log::warn!("{}: {e}", path.display());
            }
            kept
        }
    }
}

fn unknown(now: Timestamp) -> Kept {
    Kept { budget: Budget::unknown(now), ..Kept::default() }
}

/// Writes it down, unless a later one is.
fn keep(path: &Path, last: &Mutex<u64>, kept: &Kept) -> io::Result<()> {
    let mut last = last.lock();
    if kept.serial > *last {
        kept.save(path)?;
        *last = kept.serial;
    }
    Ok(())
}

/// What the user wants, and which agent that is now. Agents are looked at once a minute at most, and never where none is wanted.
fn resolve(site: &Site, known: &Mutex<Option<Known>>) -> (AgentWorker, Effective) {
    let (settings, trouble) = Settings::load(&site.env, &site.dirs, None);
    let (worker, wrong) = settings.agent_worker();
    trouble.iter().chain(&wrong).for_each(|e| log::warn!("{e}"));
    if !worker.is_wanted() {
        return (worker.clone(), usable::resolve(&worker, &[]));
    }
    let mut known = known.lock();
    let now = site.clock.now().mono;
    // One that could not be used may be mended by now.
    let is_usable = |known: &Known| usable::resolve(&worker, &known.looked.all).usable;
    let is_good = |known: &Known| {
        let is_fresh = known.looked.is_fresh(now);
        known.worker == worker && is_fresh && (is_usable(known) || now.since(known.looked.at) < UNUSABLE_FOR)
    };
    if !known.as_ref().is_some_and(is_good) {
        let looked = usable::look(&worker, &site.env, &site.http);
        *known = Some(Known { worker: worker.clone(), looked });
    }
    let all = known.as_ref().map(|known| known.looked.all.as_slice()).unwrap_or_default();
    let effective = usable::resolve(&worker, all);
    (worker, effective)
}

fn runner_of(site: &Site, agent: &str, worker: &AgentWorker) -> Result<Runner, String> {
    let which = Which::named(agent, worker, &site.env)?;
    let supervisor = Supervisor::own().map_err(|e| e.to_string())?;
    Ok(Runner::new(which, supervisor, site.http.clone()))
}

fn look(site: &Site, known: &Mutex<Option<Known>>, all: &[Place]) -> Looked {
    let (worker, effective) = resolve(site, known);
    let on = worker.is_wanted() && effective.agent.is_some();
    let (mut found, mut troubles, mut looks) = (Vec::new(), Vec::new(), worker.is_wanted());
    for place in all {
        let Ok(project) = Project::load(&place.root, &site.env) else { continue };
        let publish = worker.publishes(&project);
        if !on && !publish {
            continue;
        }
        looks = true;
        let places = places(site, place, &project);
        ended::tidy(&places, site.clock.now().wall);
        let looked = look_through(&places, &project, on, publish);
        let of_place = |one: &ended::Candidate| found_of(place, one);
        found.extend(looked.candidates.iter().map(of_place));
        let told = |one: ended::Trouble| (place.id.clone(), format!("{}: {}", one.path.display(), one.why));
        troubles.extend(looked.troubles.into_iter().map(told));
    }
    let agent = effective.agent.unwrap_or_default();
    let most = if on { cost::most(site, &worker, agent) } else { Some(0) };
    let settings = Wanted {
        on,
        looks,
        // By its program and model: what is known of one is not known of the other.
        agent: [agent, &worker.model, &worker.chat_url, &worker.chat_model].join(" "),
        usable: effective.usable && most.is_some(),
        concurrency: usize::try_from(worker.max_concurrent).unwrap_or(1),
        caps: Caps {
            runs: worker.max_invocations_per_hour,
            tokens: worker.max_input_tokens_per_day,
            micro_usd: worker.max_micro_usd_per_day,
        },
        micro_usd_a_run: most.unwrap_or(0),
    };
    let is_there = found_of_agent(known, agent, |found| found.installed) == Some(true);
    let detail = match most {
        Some(_) if effective.usable || !on => effective.why,
        Some(_) => found_of_agent(known, agent, |found| found.detail.clone()).unwrap_or(effective.why),
        None => {
            format!("what a run of {agent} costs is not known, and agent_worker.max_usd_per_day has a limit")
        }
    };
    let agent = Agent { word: agent.to_owned(), is_there, detail };
    Looked { settings, agent, found, troubles }
}

/// What was found of an agent, as far as anybody has looked.
fn found_of_agent<T>(
    known: &Mutex<Option<Known>>,
    agent: &str,
    what: impl FnOnce(&Usable) -> T,
) -> Option<T> {
    let known = known.lock();
    known.as_ref()?.looked.of(agent).map(what)
}

fn look_through(places: &Places, project: &Project, agents: bool, publish: bool) -> ended::Looked {
    let ours: BTreeMap<String, Instance> =
        if agents { Instance::all(&project.root) } else { BTreeMap::new() };
    let is_ours = |agent: &str| ours.contains_key(agent);
    ended::look(places, &ended::Wanted { agents, publish, is_ours: &is_ours })
}

fn found_of(place: &Place, one: &ended::Candidate) -> Found {
    let needs_agent = one.need == ended::Need::Summary;
    Found { id: place.id.clone(), name: one.name.clone(), needs_agent, bytes: one.bytes }
}
