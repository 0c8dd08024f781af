//! `ox session view`.

use std::collections::VecDeque;

use serde_json::json;

use super::{Which, find, read};
use crate::cli::context::Cx;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::ui::text::clean;
use crate::cli::ui::{Paint, Tone};
use crate::kit::text::plain;
use crate::sessions::finish::summary_of;
use crate::sessions::raw::{Entry, Kind};
use crate::sessions::summary::Summary;
use crate::sessions::{Found, Info};

/// Flags of `ox session view`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Show what one of its sub-agents did; ox session subagents lists them
    #[arg(long, value_name = "ID")]
    subagent: Option<String>,
    /// Show only the last N entries
    #[arg(long, value_name = "N")]
    last: Option<usize>,
}

pub fn run(cx: &Cx, args: &Args) -> Outcome {
    let found = find(cx, &args.which).ok().filter(|_| args.subagent.is_none());
    let summary = found.as_ref().and_then(|found| summary_of(&found.dir));
    if let (Some(found), Some(summary)) = (&found, &summary)
        && Info::of(found).is_ok_and(|info| !info.is_here)
    {
        return elsewhere(cx, found, summary);
    }
    let most = args.last.unwrap_or(usize::MAX);
    let mut entries = VecDeque::new();
    let session = read(cx, &args.which, args.subagent.as_deref(), &mut |entry| {
        entries.push_back(entry);
        if entries.len() > most {
            entries.pop_front();
        }
    })?;
    if session.damaged > 0 {
        cx.ui.warn(&format!("lines of the session that cannot be read: {}", session.damaged));
    }
    if cx.ui.json() {
        let entries: Vec<_> = entries.iter().map(document).collect();
        return cx.ui.document(&json!({
            "session_name": session.name, "title": session.title, "status": session.status, "summary": summary,
            "entries": entries,
        }));
    }
    let paint = cx.ui.paint();
    let mut text = format!(
        "{}\n",
        paint.text(Tone::Head, &clean(if session.title.is_empty() { &session.name } else { &session.title }))
    );
    text.extend(summary.iter().map(told));
    for entry in &entries {
        text.push('\n');
        text.push_str(&entry_text(entry, paint, cx.ui.verbose()));
    }
    cx.ui.page(&text)
}

/// A session of which only the summary is on this machine.
fn elsewhere(cx: &Cx, found: &Found, summary: &Summary) -> Outcome {
    let info = Info::of(found)
        .map_err(|e| Failure::new(Exit::Failed, "the session cannot be read").on(&*found.name).because(&e))?;
    if cx.ui.json() {
        return cx.ui.document(&json!({
            "session_name": &*found.name, "title": info.title, "status": info.status.name(), "summary": summary,
            "entries": [],
        }));
    }
    let title = if info.title.is_empty() { &*found.name } else { &info.title };
    cx.ui.page(&format!("{}\n{}", cx.ui.paint().text(Tone::Head, &clean(title)), told(summary)))?;
    cx.ui.note("its transcript is not on this machine");
    cx.ui.next_step(&format!("ox session download {}", found.name));
    Ok(())
}

/// What a session was about, above what was said in it.
fn told(summary: &Summary) -> String {
    let mut text = String::new();
    if !summary.summary.trim().is_empty() {
        text.push_str(&format!("\n{}\n", plain(summary.summary.trim(), true)));
    }
    for action in &summary.key_actions {
        text.push_str(&format!("- {}\n", clean(action)));
    }
    text
}

pub(super) fn document(entry: &Entry) -> serde_json::Value {
    json!({
        "seq": entry.seq, "type": entry.kind.name(), "timestamp": entry.timestamp, "content": entry.content,
        "tool_name": entry.tool_name, "tool_input": entry.tool_input, "tool_output": entry.tool_output,
        "is_error": entry.is_error, "call_id": entry.call_id,
    })
}

/// An entry on the page: who and when, and the text below it. What a tool was given is one line, unless more is wanted.
fn entry_text(entry: &Entry, paint: Paint, verbose: bool) -> String {
    let time = entry.timestamp.map(|t| t.strftime("%H:%M:%S").to_string()).unwrap_or_default();
    let (who, tone) = match entry.kind {
        Kind::User => ("user".to_owned(), Tone::Head),
        Kind::Assistant => ("assistant".to_owned(), Tone::Good),
        Kind::Tool if entry.is_error => (format!("{} failed", tool(entry)), Tone::Bad),
        Kind::Tool => (tool(entry), Tone::Dim),
        Kind::System | Kind::Info => (entry.kind.name().to_owned(), Tone::Dim),
    };
    let mut text = format!("{} {}\n", paint.text(tone, &who), paint.text(Tone::Dim, &time));
    for part in [&entry.content, &entry.tool_output] {
        // Text of others: what moves the cursor goes, lines stay.
        let part = plain(part.trim_end(), true);
        part.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    if !entry.tool_input.is_empty() {
        let input = clean(&entry.tool_input);
        let input = if verbose { input } else { crate::cli::ui::text::cut(&input, Some(INPUT_SHOWN)) };
        text.push_str(&format!("  {input}\n"));
    }
    text
}

/// Characters of what a tool was given.
const INPUT_SHOWN: usize = 100;

fn tool(entry: &Entry) -> String {
    if entry.tool_name.is_empty() { "tool".to_owned() } else { clean(&entry.tool_name) }
}
