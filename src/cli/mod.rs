//! The command line: one file a command in `commands/`, one table of them, one place that prints; what commands share lies beside them.
//!
//! Threads: `main`, and `progress` while something long runs.
//! Files: none of its own; a report of a panic in `<cache>/logs`.
//! Locks: none.
//! Promises: results on stdout and all else on stderr; `--json` is one document; never a question without a terminal.

pub mod args;
mod clones;
mod collision;
mod commands;
mod commit;
mod complete;
mod context;
mod crash;
mod daemon_internals;
mod daemon_status;
mod errors;
pub mod exit;
mod failure;
mod foreign;
mod global;
mod heartbeat;
mod history;
mod hooked;
pub mod lines;
mod live;
mod me;
mod notices;
mod quoted;
mod team_clone;
mod trust;
pub mod ui;
mod when;
mod whispered;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

pub use commands::docs;
pub use hooked::after_hook;

use args::{Args, Command};
use commands::{
    agent, agents, completions, config, daemon, debug, doctor, events, gc, git_credential_helper, hooks,
    init, ledger, login, murmur, net, relay, rescue, session, status, sync, team, up, version, whispers, why,
    workspaces,
};
use context::Cx;
use exit::Exit;
use failure::{Failure, Outcome};
use me::Me;

use crate::hooks::entry;
use crate::kit::process::survive_file_limit;
use crate::kit::supervise;
use crate::project::keep_receipts;

/// Runs the command named by the process's arguments.
pub fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    // Before all else: an agent waits for it.
    if argv.get(1).is_some_and(|word| word == "hook") {
        entry::run(&argv[2..], after_hook);
        return ExitCode::SUCCESS;
    }
    // It has one thread and touches nothing of ours.
    if argv.get(1).is_some_and(|word| word == supervise::WORD) {
        return supervise::main(&argv[2..]);
    }
    survive_file_limit();
    run(argv)
}

fn run(argv: Vec<OsString>) -> ExitCode {
    if argv.get(1).is_some_and(|word| word == complete::ASK) {
        return complete::answer(&argv[2..]);
    }
    let (argv, agent) = agent::take_id(argv);
    let args = match args::parse(&argv) {
        Ok(args) => args,
        Err(error) => return refuse(&error, &argv).into(),
    };
    let json = args.global.json;
    match crash::guard(json, || start(args, agent)) {
        Some(code) => code,
        None => Exit::Internal.into(),
    }
}

fn start(args: Args, agent: Option<String>) -> ExitCode {
    // Asked by git, wherever that stands: no project, no terminal, not a word but the answer.
    if let Command::GitCredentialHelper(args) = &args.command {
        return git_credential_helper::run(args);
    }
    let ui = ui::Ui::new(args.global.options());
    let cx = match Cx::new(ui, &args.global, agent) {
        Ok(cx) => cx,
        Err(refused) => return refused.0.fail(&refused.1).into(),
    };
    keep_receipts(&cx.dirs, "ox");
    match dispatch(&cx, args.command) {
        Ok(code) => code,
        Err(failure) => cx.ui.fail(&failure).into(),
    }
}

fn dispatch(cx: &Cx, command: Command) -> Outcome<ExitCode> {
    // Before a word to the daemon makes it known there.
    if !matches!(&command, Command::Agent(args) if args.introduces()) {
        agent::check_known(cx)?;
    }
    if let Some(name) = command.heartbeat_name() {
        heartbeat::send(cx, name, matches!(command, Command::Agent(_)));
    }
    let name = command.heartbeat_name().filter(|_| !matches!(command, Command::Agent(_)));
    let code = run_command(cx, command)?;
    if let Some(name) = name.filter(|_| Me::is_named(cx)) {
        agent::afterwards(cx, name, true)?;
    }
    Ok(code)
}

fn run_command(cx: &Cx, command: Command) -> Outcome<ExitCode> {
    match command {
        Command::Agent(args) => agent::run(cx, &args).map(done),
        Command::Agents(args) => agents::run(cx, &args).map(done),
        Command::Up(args) => up::run(cx, &args).map(done),
        Command::Init(args) => init::run(cx, &args).map(done),
        Command::Sync(args) => sync::run(cx, &args).map(done),
        Command::Status(args) => status::run(cx, &args).map(done),
        Command::Gc(_) => gc::run(cx).map(ExitCode::from),
        Command::Doctor(args) => doctor::run(cx, &args).map(ExitCode::from),
        Command::Daemon(args) => daemon::run(cx, args.command),
        Command::Config(args) => config::run(cx, &args).map(done),
        Command::Team(args) => team::run(cx, &args).map(done),
        Command::Clones(args) => workspaces::run(cx, &args).map(done),
        Command::Login(args) => login::run(cx, &args).map(done),
        Command::Logout(args) => login::run_logout(cx, &args).map(done),
        Command::Whoami(args) => login::run_whoami(cx, &args).map(done),
        Command::Net(args) => net::run(cx, &args).map(done),
        Command::Ledger(args) => ledger::run(cx, &args).map(done),
        Command::Rescue(args) => rescue::run(cx, &args).map(ExitCode::from),
        Command::Debug(args) => debug::run(cx, &args).map(done),
        Command::Murmur(args) => murmur::run(cx, &args).map(done),
        Command::Session(args) => session::run(cx, &args).map(done),
        Command::Sessions(args) => events::run_sessions(cx, &args).map(done),
        Command::Events(args) => events::run(cx, &args).map(done),
        Command::Hooks(args) => hooks::run(cx, &args).map(done),
        Command::Relay(args) => relay::run(cx, &args).map(done),
        Command::Why(args) => why::run(cx, &args).map(done),
        Command::Whispers(args) => whispers::run(cx, &args).map(done),
        Command::Version(args) => version::run(cx, &args).map(done),
        Command::Completions(args) => completions::run(cx, &args).map(done),
        Command::Docs(args) => docs::run(cx, &args).map(done),
        Command::GitCredentialHelper(args) => Ok(git_credential_helper::run(&args)),
    }
}

fn done((): ()) -> ExitCode {
    Exit::Done.into()
}

/// Answers a command line that is no command: help and version on stdout, anything else is an error.
fn refuse(error: &clap::Error, argv: &[OsString]) -> Exit {
    let (json, path) = (argv.iter().any(|word| word == "--json"), args::named(argv).1);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => Exit::Done,
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
            Err(_) => Exit::Failed,
        },
        // A group of commands by itself is a question what there is.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let asked: Vec<OsString> = path.split(' ').chain(["-h"]).map(Into::into).collect();
            match args::parse(&asked) {
                Err(help) if help.kind() == ErrorKind::DisplayHelp && !json => refuse(&help, argv),
                _ => ui::fail_early(
                    &Failure::new(Exit::Usage, "a command is missing").hint(format!("{path} --help")),
                    json,
                ),
            }
        }
        _ => ui::fail_early(&usage_failure(error, &path), json),
    }
}

/// What people type who mean a command of a group.
const MEANT: [(&str, &str); 8] = [
    ("start", "ox daemon start"),
    ("stop", "ox daemon stop"),
    ("restart", "ox daemon restart"),
    ("kill", "ox daemon kill"),
    ("logs", "ox daemon logs"),
    ("list", "ox daemon list"),
    ("errors", "ox daemon errors"),
    ("prime", "ox agent prime"),
];

/// The error of the argument parser in our own form.
fn usage_failure(error: &clap::Error, path: &str) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.last().cloned(), // the nearest is the last
        _ => None,
    };
    let usage = |what: &str| Failure::new(Exit::Usage, what);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let meant = MEANT.iter().find(|(typed, _)| path == "ox" && *typed == word);
            let near = context(ContextKind::SuggestedSubcommand).map(|near| format!("{path} {near}"));
            let near = meant.map(|(_, command)| (*command).to_owned()).or(near);
            let hint = near.map_or_else(|| format!("{path} --help"), |near| format!("did you mean: {near}?"));
            usage("unknown command").on(word).hint(hint)
        }
        ErrorKind::UnknownArgument => {
            let word = context(ContextKind::InvalidArg).unwrap_or_default();
            let what = if word.starts_with('-') { "unknown flag" } else { "unexpected word" };
            let near = context(ContextKind::SuggestedArg);
            usage(what).on(word).hint(near.unwrap_or_else(|| format!("{} --help", path)))
        }
        ErrorKind::ArgumentConflict if path.starts_with("ox murmur") => {
            usage("the text is more than one word").hint("ox murmur \"…\", with the text in quotes")
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(names)) => names.join(" and "),
                _ => "an argument".to_owned(),
            };
            usage(&format!("{missing} {} missing", if missing.contains(" and ") { "are" } else { "is" }))
                .hint(format!("{} --help", path))
        }
        ErrorKind::InvalidValue => {
            let name = name_of(&context(ContextKind::InvalidArg).unwrap_or_default());
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => valid.join(", "),
                _ => String::new(),
            };
            let what = match valid.rsplit_once(", ") {
                Some((first, last)) => format!("{name} is {first} or {last}, not {value}"),
                None => format!("{name} needs a value"),
            };
            usage(&what).hint(format!("{} --help", path))
        }
        ErrorKind::ValueValidation => {
            let name = name_of(&context(ContextKind::InvalidArg).unwrap_or_default());
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let why = if why.contains("invalid digit") { "it must be a number".to_owned() } else { why };
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            usage(&format!("{name} cannot be {value:?}")).because_of(why).hint(format!("{} --help", path))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            usage(first.strip_prefix("error: ").unwrap_or(first)).hint(format!("{} --help", path))
        }
    }
}

/// The plain name of a flag or argument as the parser shows it.
fn name_of(shown: &str) -> String {
    let word = shown.split([' ', '=']).next().unwrap_or_default();
    word.trim_matches(['-', '<', '>', '[', ']', '.']).to_lowercase()
}
