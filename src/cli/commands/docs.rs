//! `ox docs`: the manual, made from the command table, the exit codes and the table of settings.

use std::path::{Path, PathBuf};

use clap_mangen::Man;

use super::version::OURS;
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::count;
use crate::project::settings::{Kind, Place, SETTINGS, Setting};

/// Flags of `ox docs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ox docs man ~/.local/share/man")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to write.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the manual pages into man1/ and man5/ below a directory
    #[command(after_help = "Examples:\n  ox docs man ~/.local/share/man")]
    Man {
        /// The directory, created if it is missing
        #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
        into: PathBuf,
    },
}

/// One page of the manual.
#[derive(Clone, Debug)]
pub struct Page {
    /// Name of its file.
    pub name: String,
    /// Its text, in roff.
    pub text: Vec<u8>,
}

/// Writes what was asked for.
pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let Command::Man { into } = &args.command;
    let written = write(into).map_err(|(path, e)| {
        Failure::new(Exit::Failed, "cannot write the manual").on_path(&path).because(&e)
    })?;
    if cx.ui.json() {
        return cx.ui.document(&serde_json::json!({ "success": true, "directory": into, "pages": written }));
    }
    cx.ui.note(&format!("wrote {} into {}", count(written as u64, "page"), into.display()));
    Ok(())
}

fn write(into: &Path) -> Result<usize, (PathBuf, std::io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |e| (path, e)
    };
    std::fs::create_dir_all(into).map_err(at(into))?;
    let pages = pages();
    for page in &pages {
        let path = into.join(&page.name);
        std::fs::write(&path, &page.text).map_err(at(&path))?;
    }
    Ok(pages.len())
}

/// All pages, `ox.1` first.
pub fn pages() -> Vec<Page> {
    let mut root = crate::cli::args::command();
    root.build();
    let mut pages = Vec::new();
    command_pages(&root, &mut pages);
    pages.push(settings_page());
    pages
}

fn command_pages(command: &clap::Command, pages: &mut Vec<Page>) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let is_root = name == "ox";
    let man = Man::new(command.clone().max_term_width(0)).source(format!("ox {OURS}")).manual("ox manual");
    let mut text = Vec::new();
    // Writing into memory cannot fail.
    let _ = man.render(&mut text);
    if is_root {
        text.extend(files().into_bytes());
        text.extend(environment().into_bytes());
    }
    text.extend(exit_codes(is_root).into_bytes());
    pages.push(Page { name: format!("{name}.1"), text });
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
        command_pages(sub, pages);
    }
}

/// Text as it stands in roff: no request, no escape, a hyphen that is a minus.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn section(name: &str, intro: &str, entries: &[(String, String)]) -> String {
    let mut text = format!(".SH {name}\n");
    if !intro.is_empty() {
        text.push_str(&format!("{}\n", roff(intro)));
    }
    for (term, meaning) in entries {
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(meaning)));
    }
    text
}

fn pairs(table: &[(&str, &str)]) -> Vec<(String, String)> {
    table.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// The files of the program. `$XDG_…` stands for the variable or its default.
const FILES: &[(&str, &str)] = &[
    (".sageox/config.json", "settings of the project, committed with it"),
    (".sageox/ledger, .sageox/teams/<team id>", "links to the clones; never committed"),
    (".sageox/config.local.toml", "where this machine keeps the ledger; never committed"),
    (
        ".sageox/REDACT.md, <team context>/docs/REDACT.md, ~/.config/sageox/REDACT.md",
        "more that counts as a secret: in blocks fenced as redact, lines of the form literal \"text\" -> [TOKEN] or regex \"pattern\" -> [TOKEN]",
    ),
    ("~/.config/sageox/config.yaml", "settings of the user; see ox-config(5)"),
    ("~/.config/sageox/trusted-hosts.json", "git hosts the user trusts"),
    ("~/.local/share/sageox/<endpoint>/ledgers/<repo id>/", "the clone of a project's ledger"),
    ("~/.local/share/sageox/<endpoint>/teams/<team id>/", "the clone of a team's context, for all projects"),
    ("~/.local/share/sageox/local/remotes/<repo id>.git", "the ledger's remote when no other is named"),
    ("~/.local/share/sageox/daemon.lock", "held by the one daemon of the user"),
    ("$XDG_RUNTIME_DIR/sageox/daemon/", "sockets, pid files and the registry"),
    ("~/.cache/sageox/logs/daemon.log", "the log of the daemon"),
    ("~/.cache/sageox/logs/crash.log", "report of the last fault in ox itself"),
];

fn files() -> String {
    let intro = "The directories follow XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME and XDG_RUNTIME_DIR.";
    section("FILES", intro, &pairs(FILES))
}

/// The variables that change what the program does.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("SAGEOX_DAEMON", "false: no command but daemon start and restart starts the daemon"),
    ("OX_NO_DAEMON", "1: as SAGEOX_DAEMON=false"),
    ("OX_PROJECT_ROOT", "the project, instead of the one around the current directory"),
    ("SAGEOX_ENDPOINT", "the server of a project that does not say local; see ox-config(5)"),
    ("OX_LOG", "how much the daemon logs: error, warn, info, debug"),
    ("OX_LOG_FORMAT", "json: the daemon logs one JSON object a line"),
    ("OX_USER_CONFIG", "the user's configuration file"),
    ("OX_XDG_DISABLE", "not empty: everything lies below ~/.sageox"),
    ("XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR", "base directories"),
    ("NO_COLOR", "not empty: never colour"),
    ("CLICOLOR_FORCE, FORCE_COLOR", "neither empty nor 0: colour also where there is no terminal"),
    ("TERM", "dumb: no colour"),
];

fn environment() -> String {
    section("ENVIRONMENT", "", &pairs(ENVIRONMENT))
}

fn exit_codes(all: bool) -> String {
    if !all {
        return section(
            "SEE ALSO",
            "ox(1) for files, environment and exit codes; ox-config(5) for settings.",
            &[],
        );
    }
    let codes: Vec<_> = Exit::ALL.iter().map(|e| (e.code().to_string(), e.meaning().to_owned())).collect();
    section("EXIT STATUS", "", &codes)
}

/// `ox-config.5`: every setting with its file, type, default and variable.
fn settings_page() -> Page {
    let mut text = format!(".TH ox-config 5 \"\" \"ox {OURS}\" \"ox manual\"\n");
    text.push_str(&section("NAME", "ox-config - settings of ox", &[]));
    let intro = "What speaks first counts: the command line, the environment, the user's file, the project's file, the default. \
                 ox config list --origin shows each value and where it comes from.";
    text.push_str(&section("DESCRIPTION", intro, &[]));
    text.push_str(&section(
        "FILES",
        "",
        &pairs(&[
            ("~/.config/sageox/config.yaml", "the user's; OX_USER_CONFIG names another"),
            (".sageox/config.json", "the project's, committed with it"),
        ]),
    ));
    for (place, heading) in [
        (Place::User, "SETTINGS OF THE USER"),
        (Place::UserOrRepository, "SETTINGS OF THE USER, OR OF THE PROJECT WHERE THE USER SAYS NOTHING"),
        (Place::Repository, "SETTINGS OF THE PROJECT"),
    ] {
        let rows: Vec<_> = SETTINGS.iter().filter(|s| s.place == place).map(setting_entry).collect();
        text.push_str(&section(heading, "", &rows));
    }
    text.push_str(&section("SEE ALSO", "ox(1), ox-config(1)", &[]));
    Page { name: "ox-config.5".into(), text: text.into_bytes() }
}

fn setting_entry(setting: &Setting) -> (String, String) {
    let kind = match setting.kind {
        Kind::Duration { .. } => "a duration, such as 90s or 5m",
        Kind::Bool => "true or false",
        Kind::Word(words) => &words.join(" or "),
        Kind::Text => "text",
    };
    let default = if setting.default.is_empty() { "none" } else { setting.default };
    let variable = setting.env.map(|name| format!(" Variable: {name}.")).unwrap_or_default();
    let instead =
        setting.instead.map(|how| format!(" Not set with ox config set: {how}.")).unwrap_or_default();
    let meaning = format!("{} Type: {kind}. Default: {default}.{variable}{instead}", setting.doc);
    (setting.key.to_owned(), meaning)
}
