//! Finding sessions by what was said and done in them: an index of words that is brought up to date before it is asked.
//!
//! The index is made of what lies in the sessions' directories and can be made anew at any time; it holds words and no text, and what looks
//! like a secret is taken out before it gets there.

mod excerpt;
mod index;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::info::Glance;
use super::place::{Found, Places};
use super::raw::{self, Entry, Line};
use super::subagents;
use crate::kit::file;
use crate::kit::text::plain;
use crate::redact::Redactor;

pub use excerpt::{Excerpt, Excerpts, excerpts};
pub use index::{Index, SearchError};

/// Of a longer session, in bytes of its text, the rest is not found.
const TEXT_MAX: usize = 16 << 20;

/// Something that can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is known by.
    pub key: String,
    /// Another number says that it has changed.
    pub stamp: i64,
}

/// The words of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What it is about: counts for more.
    pub title: String,
    /// All else.
    pub text: String,
}

/// What changed so short a time ago may change again without another time stamp; it is read once more the next time.
const SETTLED: i64 = 2;

/// What there is to be found in these places at `now`, newest first. Each costs one look: whoever changes a session replaces a file in its
/// directory, which changes that.
pub fn items(places: &Places, now: Timestamp) -> Vec<(Item, Found)> {
    let stamped = |found: Found| {
        let meta = fs::symlink_metadata(&found.dir).ok()?;
        let is_settled = now.as_second().saturating_sub(meta.mtime()) >= SETTLED;
        let stamp = meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec());
        let stamp = if is_settled { stamp | 1 } else { stamp & !1 };
        Some((Item { key: found.dir.to_string_lossy().into_owned(), stamp }, found))
    };
    places.all().0.into_iter().filter_map(stamped).collect()
}

/// The words of a session, without secrets.
///
/// # Errors
/// Its transcript is there and cannot be read.
pub fn text_of(found: &Found, redactor: &Redactor) -> io::Result<Text> {
    let glance = Glance::of(found);
    let mut text = [&*found.name, &glance.agent_type, &glance.summary].join("\n");
    let path = found.dir.join(raw::FILE);
    if file::found(raw::is_pointer(&path))? == Some(false) {
        raw::read(&path, &mut |line| take(line, &mut text))?;
    }
    for one in subagents::list(&found.dir) {
        raw::read(&one.dir.join(raw::FILE), &mut |line| take(line, &mut text))?;
    }
    Ok(words(&glance.title, &text, redactor))
}

/// The words of a session that was never recorded, from its entries: `hand_out` gives them.
pub fn text_of_entries(
    title: &str,
    redactor: &Redactor,
    hand_out: impl FnOnce(&mut dyn FnMut(Entry)),
) -> Text {
    let mut text = String::new();
    hand_out(&mut |entry| add(&entry, &mut text));
    words(title, &text, redactor)
}

fn words(title: &str, text: &str, redactor: &Redactor) -> Text {
    // Escape sequences would be a part of the word that follows them.
    let clean = |text: &str| redactor.redact(&plain(text, true)).into_owned();
    Text { title: clean(title), text: clean(text) }
}

fn take(line: Line, text: &mut String) {
    if let Line::Entry(entry) = line {
        add(&entry, text);
    }
}

fn add(entry: &Entry, text: &mut String) {
    for part in [&entry.content, &entry.tool_name, &entry.tool_input, &entry.tool_output] {
        if !part.is_empty() && text.len() < TEXT_MAX {
            text.push('\n');
            text.push_str(&part[..part.floor_char_boundary(TEXT_MAX - text.len().min(TEXT_MAX))]);
        }
    }
}

/// Where the index of a project lies, in its state directory.
pub fn path(state: &Path) -> PathBuf {
    state.join("sessions.db")
}

#[cfg(test)]
mod tests;
