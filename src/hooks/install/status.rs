//! How an agent's hooks are: wanted, in its settings, let in, run by it; and what is left to do.

use std::path::{Path, PathBuf};

use super::codex::{self, Feature, Trust};
use super::edit::{Found, found};
use super::error::Error;
use super::json::Doc;
use super::record::Record;
use super::{Site, command, edit, intent, link, paths, place, plugin, reject, rows, settings_file};
use crate::harness::hooks::{CODEX, Form, Hooks};
use crate::hooks::flag;
use crate::project::settings::HooksIntent;

/// How the hooks of one agent are.
#[derive(Debug)]
pub struct Status {
    /// The agent's word.
    pub agent: &'static str,
    /// The agent's own key says so.
    pub opted_in: bool,
    /// And hooks are used at all.
    pub effective: bool,
    /// The agent's directory is there.
    pub present: bool,
    /// Its file.
    pub path: PathBuf,
    /// Why the file cannot be used.
    pub refused: Option<Error>,
    /// Events at which ours is run, as the program calls them.
    pub installed_events: Vec<&'static str>,
    /// Events at which it should be.
    pub missing_events: Vec<&'static str>,
    /// A program that a handler names and that is not the one agents are to run, or that cannot be run.
    pub stale_path: Option<String>,
    /// Whether the agent uses hooks at all.
    pub feature: Feature,
    /// Whether it runs ours.
    pub trust: Trust,
    /// The entry takes events in.
    pub let_in: bool,
    /// What is left to do, a sentence or a command each.
    pub next_steps: Vec<String>,
}

impl Status {
    /// How it is, in two words at most.
    pub fn state(&self) -> &'static str {
        match &self.refused {
            Some(Error::Rejected { .. }) => return "file rejected",
            Some(Error::Disk { .. }) => return "file unreadable",
            Some(_) => return "file unclear",
            None => {}
        }
        match self.effective {
            false if self.installed_events.is_empty() => "off",
            false => "left over",
            true if self.installed_events.is_empty() => "missing",
            true if !self.missing_events.is_empty() => "incomplete",
            true if self.stale_path.is_some() => "stale path",
            true if !self.let_in => "no flag file",
            true if self.feature == Feature::Off => "switched off",
            true if self.trust == Trust::Untrusted => "untrusted",
            true if self.trust == Trust::Disabled => "disabled",
            true => "on",
        }
    }

    /// All that is wanted is there.
    pub fn is_installed(&self) -> bool {
        self.refused.is_none() && self.missing_events.is_empty()
    }
}

/// How the hooks of all agents are, and whether hooks are used at all.
///
/// # Errors
/// The user's settings or the list of changed files cannot be read.
pub fn status(site: Site<'_>) -> Result<(bool, Vec<Status>), Error> {
    let intent = intent(site)?;
    let data = site.dirs.data();
    let record = Record::read(data).map_err(|e| Error::disk(&super::record::path(data), e))?;
    let all = rows().flat_map(|hooks| {
        paths(site, hooks, &record).into_iter().map(|path| of(site, &intent, hooks, path)).collect::<Vec<_>>()
    });
    Ok((intent.enabled, all.collect()))
}

/// What is left to do for one agent at one of its files.
///
/// # Errors
/// As [`status`].
pub fn next_steps(site: Site<'_>, agent: &str, path: &Path) -> Result<Vec<String>, Error> {
    let all = status(site)?.1.into_iter();
    Ok(all.filter(|s| s.agent == agent && s.path == path).flat_map(|s| s.next_steps).collect())
}

/// What a file holds of ours.
#[derive(Default)]
pub(super) struct Holds {
    pub(super) ours: Vec<Found>,
    pub(super) events: Vec<String>,
    pub(super) programs: Vec<String>,
    switched_off: bool,
}

pub(super) fn of(site: Site<'_>, intent: &HooksIntent, hooks: &'static Hooks, path: PathBuf) -> Status {
    let (holds, refused) = match holds(hooks, &path) {
        Ok(holds) => (holds, None),
        Err(error) => (Holds::default(), Some(error)),
    };
    let (installed, missing): (Vec<_>, Vec<_>) =
        hooks.events.iter().map(|event| event.name).partition(|name| holds.events.iter().any(|e| e == name));
    let link = site.env.home().map(link::path);
    let is_stale =
        |program: &&String| link.as_deref() != Some(Path::new(program)) || !link::runs(Path::new(program));
    let stale_path = holds.programs.iter().find(is_stale).cloned();
    let said = (hooks.word == CODEX.word).then(|| codex::read(&path, &holds.ours));
    let mut status = Status {
        agent: hooks.word,
        opted_in: intent.agents.contains(&hooks.word),
        effective: intent.uses(hooks.word),
        present: place::dir(hooks, site.env).is_some_and(|dir| dir.is_dir()),
        path,
        refused,
        installed_events: installed,
        missing_events: missing,
        stale_path,
        feature: match &said {
            Some(said) => said.feature,
            None if holds.switched_off => Feature::Off,
            None => Feature::On,
        },
        trust: said.map_or(Trust::NotAsked, |said| said.trust),
        let_in: flag::read(site.dirs.data(), hooks.word).is_some(),
        next_steps: Vec::new(),
    };
    status.next_steps = steps(&status, intent, said, holds.switched_off);
    status
}

pub(super) fn holds(hooks: &Hooks, path: &Path) -> Result<Holds, Error> {
    let Some(text) = settings_file::read(path)?.text else { return Ok(Holds::default()) };
    if hooks.form == Form::Plugin {
        if !plugin::is_ours(&text) {
            return Ok(Holds::default());
        }
        let events = hooks.events.iter().map(|event| event.name.to_owned());
        let events = events.filter(|name| text.contains(&format!("\"{name}\""))).collect();
        return Ok(Holds {
            events,
            programs: plugin::program(&text).into_iter().collect(),
            ..Holds::default()
        });
    }
    if text.trim().is_empty() {
        return Ok(Holds::default());
    }
    let refused = |refusal| Error::refused(path, refusal);
    let doc = Doc::read(&text).map_err(|why| refused(edit::Refusal::Rejected(why)))?;
    if let Some(why) = reject::reason(&doc, hooks.form) {
        return Err(refused(edit::Refusal::Rejected(why)));
    }
    edit::shape(&doc, hooks).map_err(refused)?;
    let ours = found(&doc, hooks.word);
    let all_off = doc.root.member("disableAllHooks").map(|child| &text[child.node.span.clone()]);
    Ok(Holds {
        events: ours.iter().map(|found| found.event.clone()).collect(),
        programs: ours.iter().filter_map(|found| command::program(&found.command, hooks.word)).collect(),
        switched_off: all_off == Some("true"),
        ours,
    })
}

fn steps(status: &Status, intent: &HooksIntent, said: Option<codex::Said>, all_off: bool) -> Vec<String> {
    let (agent, file) = (status.agent, status.path.display());
    let mut steps = Vec::new();
    let mut step = |text: String| steps.push(text);
    if !status.effective {
        if !status.installed_events.is_empty() || status.let_in {
            step(format!("ox hooks uninstall --agent {agent}"));
        }
        match intent.transcripts {
            true => step(format!("events of {agent} are read from its transcripts all the same")),
            false => step(format!(
                "events of {agent} are not read from its transcripts either (hooks.import_transcripts)"
            )),
        }
        return steps;
    }
    if let Some(Error::Rejected { why, .. }) = &status.refused {
        step(format!("mend {file}, of which {agent} reads nothing: {why}"));
    }
    let is_complete = status.missing_events.is_empty() && status.stale_path.is_none() && status.let_in;
    if status.refused.is_some() || !is_complete {
        step(format!("ox hooks install --agent {agent}"));
        return steps;
    }
    if all_off {
        step(format!("remove disableAllHooks from {file}: it switches all hooks off"));
    }
    if let Some(said) = said {
        if said.feature == Feature::Off {
            step(format!("ox hooks install --agent {agent} --enable-feature"));
        }
        let config = status.path.with_file_name("config.toml");
        match said.trust {
            Trust::Untrusted => {
                step(format!("type /hooks in {agent} and trust those of {file}: it runs none before"))
            }
            Trust::Disabled => step(format!("type /hooks in {agent} and switch those of {file} on")),
            Trust::TrustedOrModified => {
                step(format!(
                    "if no event comes in, type /hooks in {agent}: it may want them to be trusted anew"
                ));
            }
            Trust::Unknown => step(format!(
                "{} cannot be read, so nobody knows whether {agent} uses hooks",
                config.display()
            )),
            Trust::NotAsked => {}
        }
        if said.has_alias {
            step(format!("codex_hooks in {} is an old name: write hooks instead", config.display()));
        }
        if said.has_hooks {
            step(format!("{} has hooks too, and {agent} warns of two places", config.display()));
        }
    }
    step(format!("start a new session of {agent}"));
    steps
}
