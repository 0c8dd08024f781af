//! What stands of ours in agents' settings, brought to what the user wants of it: installed, put right, taken out, and told about.
//!
//! What is wanted stands in the user's settings and is written first. Then the file is changed, then the flag file that the entry reads; a
//! change that fails leaves the wish, and the next [`reconcile`] tries again.

mod change;
mod codex;
mod command;
mod edit;
#[cfg(test)]
mod edit_tests;
mod error;
mod json;
mod link;
mod place;
mod plugin;
mod record;
mod reject;
mod settings_file;
mod status;
mod wiring;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use codex::{Feature, Trust};
pub use edit::Refusal;
pub use error::Error;
pub use status::{Status, next_steps, status};
pub use wiring::{Wiring, wiring};

use crate::harness::PROGRAMS;
use crate::harness::hooks::{Form, Hooks};
use crate::hooks::flag::{self, Flag, Payload, Scope};
use crate::kit::lock::FileLock;
use crate::project::settings::{HooksIntent, Settings};
use crate::project::{Dirs, Env};

use edit::{Edited, Wanted};
use record::{Changed, Record};
use settings_file::{Next, Seen};

/// How long another change of hooks is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// This machine as it is handed in.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Environment and home directory.
    pub env: &'a Env,
    /// Where everything of ours lies.
    pub dirs: &'a Dirs,
    /// The program that agents are to run; without it the link to it is left as it is.
    pub program: Option<&'a Path>,
}

/// What a user has just asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The agents, by their words: their directory is made if it is missing.
    pub agents: &'a [&'static str],
    /// Also in a container.
    pub force: bool,
}

/// What came of one agent.
#[derive(Debug)]
pub struct Done {
    /// The agent's word.
    pub agent: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// What was done, or why nothing was.
    pub result: Result<Outcome, Error>,
    /// Events at which handlers of others now stand elsewhere, by number.
    pub shifted: Vec<String>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Handlers that were missing are there.
    Installed,
    /// Handlers that were there are as they should be.
    Repaired,
    /// Handlers are gone.
    Removed,
    /// Nothing: it was so.
    Unchanged,
}

impl Outcome {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Installed => "installed",
            Outcome::Repaired => "repaired",
            Outcome::Removed => "removed",
            Outcome::Unchanged => "unchanged",
        }
    }
}

/// A change that is not made.
#[derive(Debug)]
pub struct Preview {
    /// The agent's word.
    pub agent: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// What it holds and what it would hold, each `None` if there is no file; or why it would be left alone.
    pub change: Result<(Option<String>, Option<String>), Error>,
}

/// The rows of all agents whose hooks can be used.
pub fn rows() -> impl Iterator<Item = &'static Hooks> {
    PROGRAMS.iter().filter_map(|program| program.hooks)
}

/// The agents whose directory is there, or in whose settings something of ours was put, by their words.
pub fn present(site: Site<'_>) -> Vec<&'static str> {
    let record = Record::read(site.dirs.data()).unwrap_or_default();
    let is_there = |hooks: &&Hooks| {
        place::dir(hooks, site.env).is_some_and(|dir| dir.is_dir()) || !record.of(hooks.word).is_empty()
    };
    rows().filter(is_there).map(|hooks| hooks.word).collect()
}

/// Whether this is a container, in which a home directory may be that of the machine around it.
pub fn is_container(env: &Env) -> bool {
    place::container(env).is_some()
}

/// What the user wants. An error where that cannot be told: then nothing may be taken out.
fn intent(site: Site<'_>) -> Result<HooksIntent, Error> {
    let (settings, error) = Settings::load(site.env, site.dirs, None);
    if let Some(error) = error {
        return Err(error.into());
    }
    let (intent, errors) = settings.hooks();
    errors.into_iter().next().map_or(Ok(intent), |error| Err(error.into()))
}

/// Brings the settings and the flag of every agent to what the user wants, in both directions, each by itself: what fails at one changes
/// nothing for the others. An agent that is not on this machine is left out unless it was asked for.
///
/// # Errors
/// Nobody can tell what is wanted, or somebody else is at it.
pub fn reconcile(site: Site<'_>, asked: Asked<'_>) -> Result<Vec<Done>, Error> {
    let intent = intent(site)?;
    let data = site.dirs.data();
    let lock_path = flag::dir(data).join("installed.lock");
    let is_untouched = !intent.enabled && !flag::dir(data).exists();
    if is_untouched && asked.agents.is_empty() {
        return Ok(Vec::new());
    }
    crate::kit::file::private_dir(&flag::dir(data)).map_err(|e| Error::disk(&flag::dir(data), e))?;
    let lock = FileLock::acquire(&lock_path, LOCK_WAIT).map_err(|e| Error::disk(&lock_path, e))?;
    let Some(_lock) = lock else { return Err(Error::Busy { path: lock_path }) };
    let record = Record::read(data).map_err(|e| Error::disk(&record::path(data), e))?;
    let mut run = Run { site, asked, intent: &intent, record };
    let done = rows().flat_map(|hooks| run.agent(hooks)).collect();
    run.drop_link();
    Ok(done)
}

/// The key of digests and the id of this installation, made if nobody has needed them yet.
///
/// # Errors
/// Somebody else is at it, or the disk refuses.
pub fn identity(data: &Path) -> Result<([u8; 32], String), Error> {
    let lock_path = flag::dir(data).join("installed.lock");
    crate::kit::file::private_dir(&flag::dir(data)).map_err(|e| Error::disk(&flag::dir(data), e))?;
    let lock = FileLock::acquire(&lock_path, LOCK_WAIT).map_err(|e| Error::disk(&lock_path, e))?;
    let Some(_lock) = lock else { return Err(Error::Busy { path: lock_path }) };
    let path = record::path(data);
    let known = Record::read(data).map_err(|e| Error::disk(&path, e))?;
    let mut record = known.clone();
    let identity = record.identity().map_err(|e| Error::disk(&path, e))?;
    if record != known {
        record.write(data).map_err(|e| Error::disk(&path, e))?;
    }
    Ok(identity)
}

/// What [`reconcile`] would do for these agents if they were wanted, or not.
///
/// # Errors
/// The list of changed files cannot be read.
pub fn preview(site: Site<'_>, agents: &[&str], on: bool) -> Result<Vec<Preview>, Error> {
    let data = site.dirs.data();
    let record = Record::read(data).map_err(|e| Error::disk(&record::path(data), e))?;
    let mut previews = Vec::new();
    for hooks in rows().filter(|hooks| agents.contains(&hooks.word)) {
        for path in paths(site, hooks, &record) {
            let was = record.files.get(&*path.to_string_lossy()).cloned().unwrap_or_default();
            let wanted = wanted(site, hooks);
            let mut choose = |text: Option<&str>| match on {
                true => chosen(hooks, &wanted, text).map(|(next, _)| next),
                false => taken(hooks, &was, text).map(|(next, _)| next),
            };
            let change = settings_file::decide(&path, &mut choose).map(|(seen, next)| match next {
                Next::Keep => (seen.text.clone(), seen.text),
                Next::Text(text) => (seen.text, Some(text)),
                Next::Gone => (seen.text, None),
            });
            previews.push(Preview { agent: hooks.word, path, change });
        }
    }
    Ok(previews)
}

/// The files of an agent: where it looks now, and where something was put before.
fn paths(site: Site<'_>, hooks: &Hooks, record: &Record) -> Vec<PathBuf> {
    let mut paths = record.of(hooks.word);
    if let Some(path) = place::file(hooks, site.env).filter(|path| !paths.contains(path)) {
        paths.push(path);
    }
    paths
}

/// What is to stand in a file.
#[derive(Debug)]
enum Content {
    Handlers(Vec<Wanted>),
    Plugin(String),
}

/// `None` without a home directory, or with one whose path is no text.
fn wanted(site: Site<'_>, hooks: &Hooks) -> Option<Content> {
    let link = link::path(site.env.home()?);
    if hooks.form == Form::Plugin {
        return plugin::text(&link, hooks.word).map(Content::Plugin);
    }
    let of = |event: &'static crate::harness::hooks::Event| {
        let command = command::text(&link, hooks.word, event.name)?;
        Some(Wanted { event: event.name, matcher: event.matcher, timeout: event.timeout, command })
    };
    hooks.events.iter().map(of).collect::<Option<_>>().map(Content::Handlers)
}

/// What a file becomes in which something is wanted.
fn chosen(hooks: &Hooks, wanted: &Option<Content>, text: Option<&str>) -> Result<(Next, Edited), Refusal> {
    let unclear = |why: &str| Err(Refusal::Unclear(why.to_owned()));
    let keep = || Ok((Next::Keep, Edited::default()));
    match wanted {
        None => unclear("the home directory is not known, or its path is no text"),
        Some(Content::Handlers(handlers)) => {
            let edited = edit::install(text.unwrap_or_default(), hooks, handlers)?;
            match text {
                Some(text) if text == edited.text => keep(),
                _ => Ok((Next::Text(edited.text.clone()), edited)),
            }
        }
        Some(Content::Plugin(plugin)) => match text {
            Some(text) if text == plugin => keep(),
            Some(text) if !plugin::is_ours(text) => unclear("it was not made by ox"),
            old => {
                let (installed, repaired) = (usize::from(old.is_none()), usize::from(old.is_some()));
                Ok((Next::Text(plugin.clone()), Edited { installed, repaired, ..Edited::default() }))
            }
        },
    }
}

/// What a file becomes in which nothing is wanted.
fn taken(hooks: &Hooks, was: &Changed, text: Option<&str>) -> Result<(Next, Edited), Refusal> {
    let Some(text) = text else { return Ok((Next::Keep, Edited::default())) };
    if hooks.form == Form::Plugin {
        let next = if plugin::is_ours(text) { Next::Gone } else { Next::Keep };
        return Ok((next, Edited::default()));
    }
    let edited = edit::uninstall(text, hooks, &was.was)?;
    let holds_nothing = matches!(edited.text.split_whitespace().collect::<String>().as_str(), "" | "{}");
    let next = match edited.text == text {
        true => Next::Keep,
        false if was.created && holds_nothing => Next::Gone,
        false => Next::Text(edited.text.clone()),
    };
    Ok((next, edited))
}

/// One run over all agents, under the lock.
struct Run<'a> {
    site: Site<'a>,
    asked: Asked<'a>,
    intent: &'a HooksIntent,
    record: Record,
}

impl Run<'_> {
    fn agent(&mut self, hooks: &'static Hooks) -> Vec<Done> {
        let is_asked = self.asked.agents.contains(&hooks.word);
        let is_on = self.intent.uses(hooks.word);
        let mut paths = paths(self.site, hooks, &self.record);
        let recorded = self.record.of(hooks.word);
        if is_on && !is_asked {
            // The daemon's own variables may be those of another window.
            match recorded.is_empty() {
                false => paths = recorded.clone(),
                true => paths.retain(|_| place::dir(hooks, self.site.env).is_some_and(|dir| dir.is_dir())),
            }
        }
        if !is_on && let Err(e) = flag::remove(self.site.dirs.data(), hooks.word) {
            let path = flag::path(self.site.dirs.data(), hooks.word);
            return vec![Done {
                agent: hooks.word,
                path: path.clone(),
                result: Err(Error::disk(&path, e)),
                shifted: Vec::new(),
            }];
        }
        let mut all = Vec::new();
        for path in paths {
            let done = match is_on {
                true => self.put(hooks, &path, recorded.contains(&path)),
                false => self.take(hooks, &path),
            };
            let (result, shifted) = match done {
                Ok((outcome, shifted)) => (Ok(outcome), shifted),
                Err(error) => (Err(error), Vec::new()),
            };
            all.push(Done { agent: hooks.word, path, result, shifted });
        }
        all
    }

    /// Has a file hold what is wanted, and the entry take events in.
    fn put(
        &mut self,
        hooks: &'static Hooks,
        path: &Path,
        known: bool,
    ) -> Result<(Outcome, Vec<String>), Error> {
        self.record.container |= self.asked.force;
        let is_asked = self.record.container || known;
        if let Some(sign) = place::container(self.site.env).filter(|_| !is_asked) {
            return Err(Error::Container(sign));
        }
        if let (Some(home), Some(program)) = (self.site.env.home(), self.site.program) {
            let made = link::maintain(home, program)?;
            self.record.link |= made;
        }
        let key = path.to_str().map(str::to_owned);
        let Some(key) = key else {
            return Err(Error::refused(path, Refusal::Unclear("its path is no text".to_owned())));
        };
        let (data, wanted) = (self.site.dirs.data(), wanted(self.site, hooks));
        let edited = std::cell::RefCell::new(Edited::default());
        let mut choose = |text: Option<&str>| {
            let (next, now) = chosen(hooks, &wanted, text)?;
            *edited.borrow_mut() = now;
            Ok(next)
        };
        let record = &mut self.record;
        let mut before = |seen: &Seen| {
            let edited = edited.borrow();
            let note = record.files.entry(key.clone()).or_default();
            let is_first = edited.repaired + edited.removed == 0 && edited.installed >= hooks.events.len();
            if is_first || hooks.form == Form::Plugin {
                *note = Changed { created: seen.text.is_none(), ..Changed::default() };
            }
            note.word = hooks.word.to_owned();
            note.was.extend(edited.emptied.clone());
            record.write(data).map_err(|e| Error::disk(&record::path(data), e))?;
            if hooks.form == Form::Plugin { Ok(()) } else { settings_file::back_up(path, seen) }
        };
        let changed = settings_file::change(path, &mut choose, &mut before)?;
        let edited = edited.into_inner();
        let outcome = match (changed, edited.installed) {
            (false, _) => Outcome::Unchanged,
            (true, 0) => Outcome::Repaired,
            (true, _) => Outcome::Installed,
        };
        self.let_in(hooks.word, &key)?;
        Ok((outcome, edited.shifted))
    }

    /// Writes the agent's flag file, and notes the file that its handlers stand in.
    fn let_in(&mut self, word: &str, file: &str) -> Result<(), Error> {
        let data = self.site.dirs.data();
        let known = self.record.clone();
        self.record.files.entry(file.to_owned()).or_default().word = word.to_owned();
        let path = record::path(data);
        let (key, install_id) = self.record.identity().map_err(|e| Error::disk(&path, e))?;
        if self.record != known {
            self.record.write(data).map_err(|e| Error::disk(&path, e))?;
        }
        let flag = Flag {
            scope: Scope::of(&self.intent.scope).unwrap_or(Scope::Initialized),
            payload: Payload::of(&self.intent.payload).unwrap_or(Payload::Meta),
            key,
            install_id,
        };
        flag::write(data, word, &flag).map_err(|e| Error::disk(&flag::path(data, word), e))?;
        Ok(())
    }

    /// Takes what is ours out of a file, and with the last of it the file if it was ours.
    fn take(&mut self, hooks: &'static Hooks, path: &Path) -> Result<(Outcome, Vec<String>), Error> {
        let key = path.to_string_lossy().into_owned();
        let was = self.record.files.get(&key).cloned().unwrap_or_default();
        let mut shifted = Vec::new();
        let mut choose = |text: Option<&str>| {
            let (next, edited) = taken(hooks, &was, text)?;
            shifted = edited.shifted;
            Ok(next)
        };
        let changed = settings_file::change(path, &mut choose, &mut |_| Ok(()))?;
        if self.record.files.remove(&key).is_some() {
            let data = self.site.dirs.data();
            self.record.write(data).map_err(|e| Error::disk(&record::path(data), e))?;
            settings_file::drop_backup(path);
        }
        Ok((if changed { Outcome::Removed } else { Outcome::Unchanged }, shifted))
    }

    /// Removes the link that was made here once nothing leads to it any more.
    fn drop_link(&mut self) {
        let data = self.site.dirs.data();
        let is_used = rows().any(|hooks| self.intent.uses(hooks.word)) || !self.record.files.is_empty();
        if is_used || !self.record.link {
            return;
        }
        let Some(home) = self.site.env.home() else { return };
        self.record.link = false;
        let done = link::remove(home)
            .and_then(|()| self.record.write(data).map_err(|e| Error::disk(&record::path(data), e)));
        if let Err(e) = done {
            log::warn!("the link to ox stays: {e}");
        }
    }
}

/// Switches codex's use of hooks on where its configuration says no. Whether it did.
///
/// # Errors
/// The configuration cannot be read or written.
pub fn enable_feature(site: Site<'_>) -> Result<bool, Error> {
    match place::file(&crate::harness::hooks::CODEX, site.env) {
        Some(file) => codex::enable(&file),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::settings;

    #[test]
    fn every_row_has_its_setting() {
        for hooks in rows() {
            let key = format!("hooks.{}", hooks.word);
            assert_eq!(settings::find(&key).unwrap().default, "false", "{key}");
        }
        assert_eq!(
            rows().count(),
            settings::SETTINGS
                .iter()
                .filter(|s| s.key.starts_with("hooks.") && s.kind == settings::Kind::Bool)
                .filter(|s| !matches!(s.key, "hooks.enabled" | "hooks.collisions"))
                .count()
        );
    }
}
