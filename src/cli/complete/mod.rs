//! Completion of command lines in shells: the scripts, and the answers to what these ask.
//!
//! A script calls `ox __complete <shell> <index> -- <words>` and shows the lines that come. The values are those of the project's files: the
//! daemon is neither asked nor started, nothing is written, and what cannot be read is left out without a word. Where a path is meant the
//! answer is an exit code, and the shell completes it as it completes all paths.

mod values;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueHint;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate, complete};

use super::args;
use super::commands::agent;
use super::ui;
use super::ui::text::clean;
use crate::kit::shell::unquoted;
use crate::kit::thread::{STACK_LARGE, spawn};
use values::{Pairs, VALUES};

/// The first word of what a script asks; no command of the table.
pub const ASK: &str = "__complete";

/// A shell is kept waiting no longer than this, whatever the disk does; then nothing is offered. Some 10 ms are usual.
const PATIENCE: Duration = Duration::from_millis(200);
/// The variable that names another number of milliseconds, for disks that are slower.
const PATIENCE_VAR: &str = "OX_COMPLETION_MS";
/// Exit code for the script: a path is meant here.
const PATHS: u8 = 10;
/// Exit code for the script: a directory is meant here.
const DIRECTORIES: u8 = 11;
/// Stands for all paths among the candidates.
const ANY_PATH: &str = "\0path";
/// Stands for all directories among the candidates.
const ANY_DIRECTORY: &str = "\0directory";

/// A shell that has a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU bash
    Bash,
    /// The Z shell
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        }
    }

    /// What it has to read to complete `ox`.
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("ox.bash"),
            Shell::Zsh => include_str!("ox.zsh"),
            Shell::Fish => include_str!("ox.fish"),
        }
    }

    fn of(name: &OsStr) -> Option<Shell> {
        [Shell::Bash, Shell::Zsh, Shell::Fish].into_iter().find(|shell| name == shell.name())
    }

    /// A candidate as a line for the script.
    fn line(self, candidate: &Candidate) -> String {
        let Candidate { value, help } = candidate;
        let (value, divider) = match self {
            // Where it lists more than one, it is the word alone that it can insert.
            Shell::Bash => return value.clone(),
            Shell::Zsh => (value.replace(':', "\\:"), ':'),
            Shell::Fish => (value.clone(), '\t'),
        };
        if help.is_empty() { value } else { format!("{value}{divider}{help}") }
    }
}

/// A word that may stand where the cursor is, and what it means in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    value: String,
    help: String,
}

/// What may stand where the cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// One of these words.
    Words(Vec<Candidate>),
    /// A path.
    Path,
    /// A directory.
    Directory,
}

/// Answers `<shell> <index> -- <words>`. What is malformed has no answer.
pub fn answer(asked: &[OsString]) -> ExitCode {
    let [shell, index, dashes, words @ ..] = asked else { return ExitCode::FAILURE };
    let index = index.to_str().and_then(|index| index.parse::<usize>().ok());
    let (Some(shell), Some(index)) = (Shell::of(shell), index.filter(|_| dashes == "--")) else {
        return ExitCode::FAILURE;
    };
    let (before, current) = line(words, index);
    let work = move || {
        // The values are those of the project that the command would work on; around the root directory there is none.
        if let Some(dir) = directory_of(&before) {
            let _ = std::env::set_current_dir(dir).or_else(|_| std::env::set_current_dir("/"));
        }
        candidates(&before, &current)
    };
    match within(patience(), work) {
        None => ExitCode::SUCCESS,
        Some(Answer::Path) => ExitCode::from(PATHS),
        Some(Answer::Directory) => ExitCode::from(DIRECTORIES),
        Some(Answer::Words(found)) => {
            let lines: String = found.iter().map(|one| shell.line(one) + "\n").collect();
            ui::answer(lines.as_bytes());
            ExitCode::SUCCESS
        }
    }
}

fn patience() -> Duration {
    let told = std::env::var(PATIENCE_VAR).ok().and_then(|ms| ms.parse().ok());
    told.map_or(PATIENCE, Duration::from_millis)
}

/// What `work` comes to, if it does so in time. It goes on otherwise, until the program ends.
fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = crossbeam_channel::bounded(1);
    spawn("completion", STACK_LARGE, move || {
        let _ = tell.send(work()); // nobody waits any more: it came too late
    })
    .ok()?;
    told.recv_timeout(patience).ok()
}

/// The words before the cursor and the one it stands in, as the command would get them. Bash takes `--flag=value` apart into three words.
fn line(words: &[OsString], index: usize) -> (Vec<OsString>, OsString) {
    let mut before: Vec<OsString> = Vec::new();
    for word in words.iter().take(index) {
        let follows_a_flag = before.last().and_then(|w| w.to_str()).is_some_and(|w| w.starts_with("--"));
        if !(word == "=" && follows_a_flag) {
            before.push(plain(word));
        }
    }
    (before, words.get(index).map(plain).unwrap_or_default())
}

/// The word without its quotes; bytes that are no text have none that could be told.
fn plain(word: &OsString) -> OsString {
    word.to_str().map_or_else(|| word.clone(), |text| unquoted(text).into())
}

/// The value of `-C` among the words; a shell leaves `~` and `$HOME` to whoever reads them.
fn directory_of(words: &[OsString]) -> Option<PathBuf> {
    let at = words.iter().position(|word| word == "-C")?;
    let dir = PathBuf::from(words.get(at + 1)?);
    match (dir.strip_prefix("~").or_else(|_| dir.strip_prefix("$HOME")), std::env::home_dir()) {
        (Ok(below), Some(home)) => Some(home.join(below)),
        _ => Some(dir),
    }
}

fn candidates(before: &[OsString], current: &OsStr) -> Answer {
    let (words, id) = agent::take_id(before.to_vec());
    let Some(others) = agent::without_group(&words) else { return of_table(words, current) };
    // Right behind `ox agent`: its own commands, and either an agent or, behind one, every other command.
    let mut found = match of_table(words, current) {
        Answer::Words(found) => found,
        path => return path,
    };
    if id.is_none() {
        found.extend(words_of(values::of(values::agents), current));
    } else if let Answer::Words(all) = of_table(others, current) {
        let new = |one: &Candidate| one.value != "agent" && !found.iter().any(|own| own.value == one.value);
        let more: Vec<Candidate> = all.into_iter().filter(new).collect();
        found.extend(more);
    }
    Answer::Words(found)
}

/// The values that begin as the word at the cursor does.
fn words_of(values: Pairs, current: &OsStr) -> Vec<Candidate> {
    let begins = |one: &Candidate| current.to_str().is_some_and(|current| one.value.starts_with(current));
    offered(values).filter_map(|one| candidate(&one)).filter(begins).collect()
}

/// What the command table has for the word behind `before`.
fn of_table(mut before: Vec<OsString>, current: &OsStr) -> Answer {
    let index = before.len();
    if let Some(key) = setting_of(&before).filter(|_| !is_flag(current)) {
        return Answer::Words(words_of(values::of_setting(key), current));
    }
    let takes_words = args::named(&before).0.get_positionals().next().is_some();
    before.push(current.to_owned());
    let mut table = with_values(args::command(), "");
    let Ok(found) = complete(&mut table, before, index, None) else { return Answer::Words(Vec::new()) };
    // Behind `--flag=` the engine puts that before each.
    let stands_for_all =
        |all: &str| found.iter().any(|one| one.get_value().as_encoded_bytes().ends_with(all.as_bytes()));
    if stands_for_all(ANY_PATH) {
        return Answer::Path;
    }
    if stands_for_all(ANY_DIRECTORY) {
        return Answer::Directory;
    }
    // Flags are asked for by their dash, or are all there can be: where a word belongs, a dash would only be in its way.
    let with_flags =
        !current.is_empty() || (!takes_words && found.iter().all(|one| is_flag(one.get_value())));
    let shown = found.iter().filter(|one| !one.is_hide_set() && (with_flags || !is_flag(one.get_value())));
    Answer::Words(shown.filter_map(candidate).collect())
}

fn is_flag(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// A candidate of the command table as a line has it.
fn candidate(found: &CompletionCandidate) -> Option<Candidate> {
    let help = found.get_help().map(ToString::to_string).unwrap_or_default();
    let help = clean(help.lines().next().unwrap_or_default());
    Some(Candidate { value: found.get_value().to_str()?.to_owned(), help })
}

/// The values that can be inserted as they are, whoever chose them: no shell takes a character for its own, no command takes one for a flag.
fn offered(values: Pairs) -> impl Iterator<Item = CompletionCandidate> {
    let fit = values.into_iter().filter(|(value, _)| is_inert(value));
    fit.map(|(value, help)| CompletionCandidate::new(value).help(Some(help.into())))
}

fn is_inert(value: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    value.starts_with(is_plain) && value.chars().all(|c| is_plain(c) || "-./:@+=,%".contains(c))
}

/// The command table with what completes each value.
fn with_values(command: clap::Command, path: &str) -> clap::Command {
    let list_of = |arg: &clap::Arg| {
        let row = VALUES.iter().find(|(command, id, _)| *command == path && arg.get_id() == *id);
        row.map(|(_, _, list)| *list)
    };
    let command = command.mut_args(|arg| match (list_of(&arg), arg.get_value_hint()) {
        (Some(list), _) => arg.add(ArgValueCandidates::new(move || offered(values::of(list)).collect())),
        (None, ValueHint::DirPath) => stands_for(arg, ANY_DIRECTORY),
        (None, ValueHint::FilePath | ValueHint::AnyPath) => stands_for(arg, ANY_PATH),
        (None, _) => arg,
    });
    command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        with_values(sub, path.trim_start())
    })
}

fn stands_for(arg: clap::Arg, all: &'static str) -> clap::Arg {
    arg.add(ArgValueCompleter::new(move |_: &OsStr| vec![CompletionCandidate::new(all)]))
}

/// The setting whose value comes next.
fn setting_of(before: &[OsString]) -> Option<&str> {
    let words: Vec<&str> = before.iter().filter_map(|w| w.to_str()).filter(|w| !w.starts_with('-')).collect();
    match words[..] {
        [.., "config", "set", key] => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
