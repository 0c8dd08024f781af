//! `ox config`.

use serde_json::{Value, json};

use crate::cli::context::Cx;
use crate::cli::errors::of_project;
use crate::cli::failure::Outcome;
use crate::cli::ui::text::{Table, clean, tilde};
use crate::daemon::reach;
use crate::project::Error;
use crate::project::settings::{self, SettingValue, Settings};

/// Flags of `ox config`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ox config list --origin\n  ox config get daemon.sync_interval_read\n  ox config set daemon.sync_interval_read 5m"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the settings.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List every setting and its value
    #[command(after_help = "Examples:\n  ox config list\n  ox config list --origin")]
    List(List),
    /// Print the value of a setting
    #[command(after_help = "Examples:\n  ox config get daemon.auto_start")]
    Get(Get),
    /// Change a setting in your configuration file; all else in the file stays
    #[command(after_help = "Examples:\n  ox config set daemon.auto_start false")]
    Set(Set),
    /// Reset a setting to its default
    #[command(after_help = "Examples:\n  ox config unset daemon.auto_start")]
    Unset(Unset),
}

/// Flags of `ox config list`.
#[derive(Debug, clap::Args)]
struct List {
    /// Show where each value comes from
    #[arg(long)]
    origin: bool,
}

/// Flags of `ox config get`.
#[derive(Debug, clap::Args)]
struct Get {
    /// Name of the setting; ox config list has all
    key: String,
    /// Show where each value comes from
    #[arg(long)]
    origin: bool,
}

/// Flags of `ox config set`.
#[derive(Debug, clap::Args)]
struct Set {
    /// Name of the setting; ox config list has all
    key: String,
    /// The new value
    value: String,
}

/// Flags of `ox config unset`.
#[derive(Debug, clap::Args)]
struct Unset {
    /// Name of the setting; ox config list has all
    key: String,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let project = cx.project_or_warn();
    let settings = || {
        let (settings, error) = Settings::load(&cx.env, &cx.dirs, project.as_ref());
        warn(cx, error);
        settings
    };
    match &args.command {
        Command::List(args) => list(cx, &settings(), args.origin),
        Command::Get(args) => get(cx, &settings(), args),
        Command::Set(args) => set(cx, args),
        Command::Unset(args) => unset(cx, args),
    }
}

fn warn(cx: &Cx, errors: impl IntoIterator<Item = Error>) {
    errors.into_iter().for_each(|e| cx.ui.warn(&e.to_string()));
}

fn to_json(value: &SettingValue) -> Value {
    json!({ "key": value.setting.key, "value": value.text, "origin": value.origin.to_string() })
}

fn list(cx: &Cx, settings: &Settings<'_>, origin: bool) -> Outcome {
    let (values, errors) = settings.list();
    warn(cx, errors);
    if cx.ui.json() {
        return cx.ui.document(&values.iter().map(to_json).collect::<Vec<_>>());
    }
    let mut table = Table::new(if origin { &["KEY", "VALUE", "ORIGIN"] } else { &["KEY", "VALUE"] });
    for value in &values {
        let mut row = vec![value.setting.key.to_owned(), value.text.clone()];
        row.extend(origin.then(|| cx.ui.with_tilde(&value.origin.to_string()).into_owned()));
        table.row(row);
    }
    cx.ui.print(&table.lines(cx.ui.width(), cx.ui.paint()).join("\n"))
}

fn get(cx: &Cx, settings: &Settings<'_>, args: &Get) -> Outcome {
    let (value, error) = settings.get(&args.key).map_err(|e| of_project(&e))?;
    warn(cx, error);
    if cx.ui.json() {
        return cx.ui.document(&to_json(&value));
    }
    let origin = if args.origin { format!("  ({})", value.origin) } else { String::new() };
    cx.ui.print(&format!("{}{}", clean(&value.text), cx.ui.with_tilde(&origin)))
}

fn set(cx: &Cx, args: &Set) -> Outcome {
    settings::set(&cx.dirs, &args.key, &args.value).map_err(|e| of_project(&e))?;
    let file = cx.dirs.user_config();
    if cx.ui.json() {
        let (key, value) = (&args.key, &args.value);
        return cx.ui.document(&json!({ "success": true, "key": key, "value": value, "file": file }));
    }
    cx.ui.done(&format!(
        "set {} to {} in {}",
        args.key,
        args.value,
        tilde(&file.to_string_lossy(), &cx.home())
    ))?;
    restart_next(cx, &args.key);
    Ok(())
}

fn unset(cx: &Cx, args: &Unset) -> Outcome {
    let was_there = settings::unset(&cx.dirs, &args.key).map_err(|e| of_project(&e))?;
    let file = cx.dirs.user_config();
    if cx.ui.json() {
        let document = json!({ "success": true, "key": args.key, "changed": was_there, "file": file });
        return cx.ui.document(&document);
    }
    let shown = tilde(&file.to_string_lossy(), &cx.home());
    match was_there {
        true => cx.ui.done(&format!("removed {} from {shown}", args.key))?,
        false => cx.ui.done(&format!("{} is not set in {shown}", args.key))?,
    }
    if was_there {
        restart_next(cx, &args.key);
    }
    Ok(())
}

/// A running daemon has read its own settings when it started.
fn restart_next(cx: &Cx, key: &str) {
    if key.starts_with("daemon.") && reach::projects(&cx.dirs).is_ok() {
        cx.ui.next_step("ox daemon restart");
    }
}
