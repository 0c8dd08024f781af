//! `ox debug`: what helps whoever is to find a fault.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::daemon::logs;
use super::doctor;
use super::version::OURS;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::daemon::VERSION as WIRE;
use crate::daemon::reach;
use crate::health::StoredErrors;
use crate::project::Project;
use crate::project::settings::Settings;
use crate::redact::hide_home;

/// So many lines of the log's end go along.
const LOG_LINES: usize = 2_000;

/// Flags of `ox debug`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox debug bundle")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a report without secrets into one file
    ///
    /// Versions, settings, status, issues, stored errors, the findings of ox doctor and the end of the log, with `~` for the
    /// home directory. Nothing is sent: read it, then attach it to a report yourself.
    #[command(after_help = "Examples:\n  ox debug bundle\n  ox debug bundle --output report.json")]
    Bundle(Bundle),
}

/// Flags of `ox debug bundle`.
#[derive(Debug, clap::Args)]
struct Bundle {
    /// File to write, which must not exist yet [default: one named after the time]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// Does it.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let Command::Bundle(bundle) = &args.command;
    let now = cx.now();
    let named = || PathBuf::from(now.strftime("ox-debug-%Y%m%d-%H%M%S.json").to_string());
    let path = bundle.output.clone().unwrap_or_else(named);
    let progress = cx.ui.progress("collecting");
    let project = cx.project_if_any().ok().flatten();
    let mut content = collect(cx, project.as_ref());
    drop(progress);
    cx.redactor(project.as_ref()).redact_json(&mut content);
    without_home(&mut content, &cx.home().to_string_lossy());
    let text = serde_json::to_vec_pretty(&content).unwrap_or_default();
    write(&path, &text)
        .map_err(|e| Failure::new(Exit::Failed, "the bundle cannot be written").on_path(&path).because(&e))?;
    if cx.ui.json() {
        return cx.ui.document(&json!({ "success": true, "path": path, "bytes": text.len() }));
    }
    cx.ui.print(&path.to_string_lossy())?;
    cx.ui.note("nothing was sent; look through the file before you hand it on");
    Ok(())
}

/// Everything, as far as it is to be had: what cannot be read says why.
fn collect(cx: &Cx, project: Option<&Project>) -> Value {
    let mut all = Map::new();
    all.insert("made".into(), json!(cx.now()));
    all.insert("version".into(), json!({ "ox": OURS, "wire": WIRE }));
    all.insert("system".into(), json!({ "os": std::env::consts::OS, "machine": std::env::consts::ARCH }));
    all.insert("doctor".into(), crate::doctor::run(&doctor::gather(cx)).to_json());
    all.insert("settings".into(), settings(cx, project));
    if let Some(project) = project {
        let client = reach::client_of(&cx.dirs, project);
        let or_why = |answer: Result<Value, String>| answer.unwrap_or_else(|why| json!({ "error": why }));
        let status = client.status_patiently().map(|s| json!(s)).map_err(|e| e.to_string());
        all.insert("status".into(), or_why(status));
        let history = client.sync_history().map(|h| json!(h)).map_err(|e| e.to_string());
        all.insert("sync_history".into(), or_why(history));
        let errors = StoredErrors::peek(&cx.dirs.project_errors(&project.workspace_id));
        let errors = errors.map(|e| json!(e.newest_first().collect::<Vec<_>>())).map_err(|e| e.to_string());
        all.insert("errors".into(), or_why(errors));
    }
    all.insert("log".into(), json!(logs::end(cx, project, LOG_LINES)));
    Value::Object(all)
}

fn settings(cx: &Cx, project: Option<&Project>) -> Value {
    let (settings, damaged) = Settings::load(&cx.env, &cx.dirs, project);
    let (values, errors) = settings.list();
    let value = |v: crate::project::settings::SettingValue| json!({ "key": v.setting.key, "value": v.text, "origin": v.origin.to_string() });
    let errors = damaged.into_iter().chain(errors).map(|e| e.to_string());
    json!({ "values": values.into_iter().map(value).collect::<Vec<_>>(), "errors": errors.collect::<Vec<_>>() })
}

/// Writes the home directory as `~` wherever it stands.
fn without_home(value: &mut Value, home: &str) {
    match value {
        Value::String(text) => *text = hide_home(text, home).into_owned(),
        Value::Array(list) => list.iter_mut().for_each(|v| without_home(v, home)),
        Value::Object(map) => map.values_mut().for_each(|v| without_home(v, home)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A new file, for nobody else's eyes.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text).and_then(|()| file.write_all(b"\n"));
    if written.is_err() {
        let _ = std::fs::remove_file(path); // half of it is no use to anybody; the first failure is the one to tell
    }
    written
}
