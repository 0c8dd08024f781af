//! Whispers of the past, as the daemon tells them.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Cx;
use super::errors::of_client;
use super::failure::Outcome;
use super::foreign;
use super::quoted::quoted;
use super::ui::Tone;
use super::ui::text::{Table, clean, cut, relative};
use crate::ipc::client::ClientError;
use crate::ipc::wire::{self, Message, WhisperEntry, WhisperHistory, WhisperHistoryAsk};
use crate::kit::gotime::GoTime;
use crate::project::Project;
use crate::whispers::Importance;

/// A page may take so long (whispers and watching, 8.2).
const PATIENCE: Duration = Duration::from_millis(500);
/// So many pages are asked for.
const PAGES_MAX: usize = 100;
/// What it says is cut off after so many characters.
const CONTENT_MAX: usize = 120;

/// A page of what an agent was given and will be, newest first; without an agent of everything.
///
/// # Errors
/// No daemon, or none that answers.
pub fn page(cx: &Cx, project: &Project, agent: &str, before: GoTime, limit: i64) -> Outcome<WhisperHistory> {
    let ask = WhisperHistoryAsk { agent_id: agent.to_owned(), before, limit };
    cx.client(project).call_as(Message::WhisperHistory, Some(&ask), PATIENCE).map_err(|e| match &e {
        ClientError::Remote(said) if said == wire::text::UNKNOWN_TYPE => {
            foreign::too_old(cx, project, "whispers")
        }
        _ => of_client("whispers cannot be read", &e),
    })
}

/// `ox agent <id> whisper history`.
pub fn of_agent(cx: &Cx, project: &Project, agent: &str) -> Outcome {
    let mut all: Vec<WhisperEntry> = Vec::new();
    let (mut before, mut partial, mut has_cursor) = (GoTime(None), None, false);
    for n in 0..PAGES_MAX {
        match page(cx, project, agent, before, 0) {
            Err(failure) if n == 0 => return Err(failure),
            Err(failure) => {
                partial = Some(failure);
                break;
            }
            Ok(page) => {
                has_cursor |= page.has_cursor;
                all.extend(page.entries);
                before = page.next_cursor;
                if !page.has_more {
                    break;
                }
            }
        }
    }
    if cx.ui.json() {
        cx.ui.document(&WhisperHistory { entries: all, has_cursor, ..WhisperHistory::default() })?;
    } else if all.is_empty() {
        cx.ui.print("no whispers are stored")?;
    } else {
        let now = cx.now();
        let (given, waits): (Vec<_>, Vec<_>) = all.iter().partition(|e| e.delivered == Some(true));
        for (title, some) in [("waits", waits), ("given", given)] {
            if !some.is_empty() {
                cx.ui.print(&format!("{title}:"))?;
                cx.ui
                    .print(&quoted(cx, &table(&some, now).lines(cx.ui.width(), cx.ui.paint()).join("\n")))?;
            }
        }
        if !has_cursor {
            cx.ui.note(&format!("{agent} has not been given anything yet"));
        }
    }
    if let Some(failure) = partial {
        cx.ui.warn(&format!("older ones are missing: {}", failure.headline()));
    }
    Ok(())
}

/// A row each.
pub fn table(entries: &[&WhisperEntry], now: Timestamp) -> Table {
    let mut table = Table::new(&["TIME", "IMPORTANCE", "FROM", "TOPIC", "CONTENT"]);
    for e in entries {
        let from = match e.source.as_str() {
            "murmur" if e.agent_id.is_empty() => clean(&e.principal_id),
            "murmur" => clean(&e.agent_id),
            "auto-murmur" | "recording-reminder" => format!("ox to {}", clean(&e.agent_id)),
            _ => "ox".to_owned(),
        };
        let first = e.content.lines().next().unwrap_or_default();
        table.row([
            e.created_at.0.map(|at| relative(at, now)).unwrap_or_default(),
            clean(&e.importance),
            cut(&from, Some(20)),
            cut(&clean(&e.topic), Some(16)),
            cut(&clean(first), Some(CONTENT_MAX)),
        ]);
        if e.importance == Importance::Critical.name() {
            table.tone(1, Tone::Bad);
        }
    }
    table
}
