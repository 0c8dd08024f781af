//! The pages of the commands.

use clap::builder::StyledStr;

use super::Page;
use super::documents::{self, DOCUMENTS};
use super::roff::Roff;
use super::texts;
use crate::cli::args;
use crate::cli::exit::Exit;
use crate::cli::global::HEADING;

/// A page a command, that of `ox` first.
pub fn of_commands() -> Vec<Page> {
    let mut root = args::command();
    root.build();
    let mut pages = vec![of_ox(&root)];
    below(&root, &mut pages);
    pages
}

fn below(command: &clap::Command, pages: &mut Vec<Page>) {
    for sub in shown(command) {
        pages.push(of_command(sub, command));
        below(sub, pages);
    }
}

/// The commands of a group that have pages.
fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set())
}

fn of_ox(root: &clap::Command) -> Page {
    let mut page = opening(root);
    page.heading("COMMANDS");
    for (title, names) in args::GROUPS {
        page.subheading(title);
        for sub in names.iter().filter_map(|name| root.find_subcommand(name)) {
            page.definition(&reference(sub), &about(sub));
        }
    }
    page.heading(HEADING);
    for arg in root.get_arguments().filter(|arg| !arg.is_hide_set()) {
        page.entry(&term(arg), &help(arg));
    }
    for (heading, intro, table) in [
        ("CONCEPTS", "", texts::CONCEPTS),
        ("WHAT TO DO WHEN", "", texts::SITUATIONS),
        ("FILES", texts::FILES_INTRO, texts::FILES),
        ("ENVIRONMENT", "", texts::ENVIRONMENT),
    ] {
        page.heading(heading);
        page.paragraphs(intro);
        table.iter().for_each(|(name, meaning)| page.definition(name, meaning));
    }
    page.heading("EXIT STATUS");
    Exit::ALL.iter().for_each(|exit| page.definition(&exit.code().to_string(), exit.meaning()));
    examples(&mut page, root);
    page.heading("JSON");
    page.paragraphs(documents::INTRO);
    DOCUMENTS.iter().for_each(|document| page.definition(document.0, &documents::text(document)));
    page.heading("NOTES");
    page.paragraphs(texts::NOTES);
    page.heading("SEE ALSO");
    let others: Vec<String> = shown(root).map(reference).collect();
    page.paragraphs(&format!("ox-config(5), {}, git(1)", others.join(", ")));
    page.page()
}

fn of_command(command: &clap::Command, parent: &clap::Command) -> Page {
    let mut page = opening(command);
    if shown(command).next().is_some() {
        page.heading("COMMANDS");
        shown(command).for_each(|sub| page.definition(&reference(sub), &about(sub)));
    }
    if own(command).next().is_some() {
        page.heading("OPTIONS");
        own(command).for_each(|arg| page.entry(&term(arg), &help(arg)));
    }
    page.heading(HEADING);
    let global = command.get_arguments().filter(|arg| is_global(arg) && !arg.is_hide_set());
    let names: Vec<String> = global.map(|arg| format!("`{arg}`")).collect();
    page.paragraphs(&format!("Every command takes {}; see ox(1).", names.join(", ")));
    page.heading("EXIT STATUS");
    let path = command.get_bin_name().unwrap_or_default();
    let own = texts::EXITS.iter().filter(|(of, _)| *of == path).map(|(_, text)| *text);
    let all: Vec<&str> = ["0 on success."].into_iter().chain(own).chain(["ox(1) has the table."]).collect();
    page.paragraphs(&all.join(" "));
    examples(&mut page, command);
    if let (_, Some(notes)) = split(command.get_after_help()) {
        page.heading("NOTES");
        page.paragraphs(&notes);
    }
    page.heading("SEE ALSO");
    let settings = if path == "ox config" { ", ox-config(5)" } else { "" };
    let above = if parent.get_name() == "ox" { String::new() } else { format!(", {}", reference(parent)) };
    page.paragraphs(&format!("ox(1){above}{settings}"));
    page.page()
}

/// NAME, SYNOPSIS and DESCRIPTION.
fn opening(command: &clap::Command) -> Roff {
    let mut page = Roff::new(name(command), 1, &about(command));
    page.heading("SYNOPSIS");
    page.usages(&synopsis(command));
    page.heading("DESCRIPTION");
    let long = command.get_long_about().map_or_else(|| about(command), ToString::to_string);
    let (first, rest) = long.split_once("\n\n").unwrap_or((&long, ""));
    page.paragraphs(&format!("{}.\n\n{rest}", first.trim_end_matches('.')));
    page
}

fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn reference(command: &clap::Command) -> String {
    format!("{}(1)", name(command))
}

fn about(command: &clap::Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn is_global(arg: &clap::Arg) -> bool {
    arg.get_help_heading() == Some(HEADING)
}

/// A command's own flags and arguments, arguments first.
fn own(command: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
    let is_own = |arg: &&clap::Arg| !is_global(arg) && !arg.is_hide_set();
    let (arguments, flags): (Vec<_>, Vec<_>) =
        command.get_arguments().filter(is_own).partition(|arg| arg.is_positional());
    arguments.into_iter().chain(flags)
}

/// How the command is called, a line for each form.
fn synopsis(command: &clap::Command) -> Vec<String> {
    if let Some(usage) = command.get_overridden_usage() {
        return usage.to_string().lines().map(|line| line.trim().to_owned()).collect();
    }
    let mut words = vec![command.get_bin_name().unwrap_or("ox").to_owned(), "[OPTIONS]".to_owned()];
    let (arguments, flags): (Vec<_>, Vec<_>) = own(command).partition(|arg| arg.is_positional());
    words.extend(flags.into_iter().map(|flag| format!("[{flag}]")));
    words.extend(arguments.into_iter().map(ToString::to_string));
    match (command.has_subcommands(), command.is_subcommand_required_set()) {
        (false, _) => {}
        (true, true) => words.push("<COMMAND>".to_owned()),
        (true, false) => words.push("[COMMAND]".to_owned()),
    }
    vec![words.join(" ")]
}

/// A flag with its short form, or an argument.
fn term(arg: &clap::Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(_)) => format!("-{short}, {arg}"),
        _ => arg.to_string(),
    }
}

/// What it means, its default and its values.
fn help(arg: &clap::Arg) -> String {
    let text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{}.", text.trim_end_matches('.'));
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() && !arg.is_hide_possible_values_set() {
        let one = |value: &clap::builder::PossibleValue| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        };
        text.push_str(&format!(" One of {}.", values.iter().map(one).collect::<Vec<_>>().join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        text.push_str(&format!(" Default: {}.", defaults.join(", ")));
    }
    text
}

fn examples(page: &mut Roff, command: &clap::Command) {
    let (examples, _) = split(command.get_after_help());
    page.heading("EXAMPLES");
    page.code(&examples.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The text behind a command's help: its examples, and what else it says.
fn split(after: Option<&StyledStr>) -> (Vec<String>, Option<String>) {
    let text = after.map(ToString::to_string).unwrap_or_default();
    let (examples, notes): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("  "));
    let notes: Vec<&str> = notes.into_iter().filter(|line| *line != "Examples:").collect();
    let notes = Some(notes.join("\n").trim().to_owned()).filter(|notes| !notes.is_empty());
    (examples.into_iter().map(|line| line.trim().to_owned()).collect(), notes)
}
