//! What an agent's program finds when it is started here: which file of hooks is in force, what it says is to be run, and whether that can
//! be.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::record::{self, Record};
use super::status::{self, Status};
use super::{Site, command, intent, link, place, rows, settings_file};
use crate::harness::hooks::{CLAUDE, Form, Hooks};

/// How a program's hooks lead to the entry.
#[derive(Debug)]
pub struct Wiring {
    /// The program's row.
    pub hooks: &'static Hooks,
    /// How its hooks are, at the file that it reads here.
    pub status: Status,
    /// Its directory here.
    pub dir: PathBuf,
    /// Hooks are used at all.
    pub enabled: bool,
    /// The commands that a shell is to run, by the program's names of the events.
    pub commands: Vec<(&'static str, String)>,
    /// A program that one of them names and that cannot be run.
    pub dangling: Option<PathBuf>,
    /// The file that switches all hooks of the program off.
    pub all_off: Option<PathBuf>,
    /// The variable by which the program reads another directory here, and its value.
    pub moved: Option<(&'static str, String)>,
    /// Files in other directories with something of ours in them.
    pub elsewhere: Vec<PathBuf>,
}

/// How the hooks of the program that `word` names lead to the entry, for one that is started in `project`. None where it has no hooks, or no
/// home directory is known.
///
/// # Errors
/// The user's settings or the list of changed files cannot be read.
pub fn wiring(site: Site<'_>, word: &str, project: Option<&Path>) -> Result<Option<Wiring>, Error> {
    let Some(hooks) = rows().find(|hooks| hooks.word == word) else { return Ok(None) };
    let (Some(dir), Some(path)) = (place::dir(hooks, site.env), place::file(hooks, site.env)) else {
        return Ok(None);
    };
    let intent = intent(site)?;
    let data = site.dirs.data();
    let record = Record::read(data).map_err(|e| Error::disk(&record::path(data), e))?;
    let holds = status::holds(hooks, &path).unwrap_or_default();
    let is_held = |other: &PathBuf| {
        *other != path && status::holds(hooks, other).is_ok_and(|holds| !holds.events.is_empty())
    };
    let variable = [hooks.moved_by, hooks.home_by].into_iter().flatten();
    let moved = variable
        .filter_map(|name| Some((name, site.env.get_os(name)?.to_string_lossy().into_owned())))
        .next();
    let status = status::of(site, &intent, hooks, path.clone());
    let command = |event: &'static str| match hooks.form {
        Form::Plugin if status.installed_events.contains(&event) => {
            command::text(Path::new(holds.programs.first()?), word, event)
        }
        Form::Plugin => None,
        Form::Settings { .. } => {
            holds.ours.iter().find(|found| found.event == event).map(|f| f.command.clone())
        }
    };
    Ok(Some(Wiring {
        commands: hooks.events.iter().filter_map(|e| Some((e.name, command(e.name)?))).collect(),
        dangling: holds.programs.iter().map(PathBuf::from).find(|program| !link::runs(program)),
        all_off: all_off(hooks, &path, project),
        elsewhere: record.of(word).into_iter().filter(is_held).collect(),
        enabled: intent.enabled,
        hooks,
        status,
        dir,
        moved,
    }))
}

/// The file that switches all hooks of Claude Code off in a project: of its own files the first that says anything counts, then the user's.
fn all_off(hooks: &Hooks, path: &Path, project: Option<&Path>) -> Option<PathBuf> {
    if hooks.word != CLAUDE.word {
        return None;
    }
    let own = ["settings.local.json", "settings.json"];
    let own = project.into_iter().flat_map(|root| own.map(|name| root.join(".claude").join(name)));
    let says = |path: &PathBuf| {
        let text = settings_file::read(path).ok()?.text?;
        let settings: serde_json::Value = serde_json::from_str(&text).ok()?;
        settings.get("disableAllHooks")?.as_bool()
    };
    let mut all = own.chain([path.to_owned()]);
    all.find_map(|path| Some((says(&path)?, path))).filter(|(is_off, _)| *is_off).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_s_word_on_all_hooks_counts_before_the_user_s() {
        let tmp = tempfile::tempdir().unwrap();
        let (user, project) = (tmp.path().join("settings.json"), tmp.path().join("p"));
        std::fs::create_dir_all(project.join(".claude")).unwrap();
        let (shared, local) =
            (project.join(".claude/settings.json"), project.join(".claude/settings.local.json"));
        let say =
            |path: &Path, off: bool| std::fs::write(path, format!("{{\"disableAllHooks\":{off}}}")).unwrap();
        let ask = |hooks: &Hooks| all_off(hooks, &user, Some(&project));
        assert_eq!(ask(&CLAUDE), None);
        say(&user, true);
        assert_eq!(ask(&CLAUDE), Some(user.clone()));
        assert_eq!(ask(&crate::harness::hooks::GEMINI), None);
        say(&shared, false);
        assert_eq!(ask(&CLAUDE), None);
        say(&local, true);
        assert_eq!(ask(&CLAUDE), Some(local.clone()));
        assert_eq!(all_off(&CLAUDE, &user, None), Some(user.clone()));
    }
}
