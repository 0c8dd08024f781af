//! What a pass over a transcript says of a session without anybody's judgement: how long, what was asked, run and changed. In memory that
//! does not grow with the session.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::paused::Paused;
use crate::kit::text::{cut, plain};
use crate::sessions::changes::{Change, changes, command};
use crate::sessions::info::headline;
use crate::sessions::raw::{Entry, Header, Kind, Line};

/// Files that are told of; more are counted.
pub(super) const FILES_MAX: usize = 200;
/// Commands that are told of.
const COMMANDS_MAX: usize = 8;
/// Of a path.
const PATH_MAX: usize = 512;
/// Calls whose end is waited for: those of an edit that failed changed nothing.
const CALLS_MAX: usize = 64;
/// A part of a session begins with what a person says, and after so many entries.
const PART_ENTRIES: usize = 16;
/// With more parts than this, two neighbours become one.
const PARTS_MAX: usize = 256;
/// Tools that a part tells apart.
const TOOLS_MAX: usize = 32;
/// Chapters of a session that nobody gave titles.
const CHAPTERS_MAX: usize = 8;

/// A stretch of the session.
#[derive(Clone, Debug, Default, PartialEq)]
struct Part {
    start: i64,
    end: i64,
    entries: usize,
    title: String,
    tools: BTreeMap<String, u64>,
    has_edits: bool,
}

/// Lines of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) added: u64,
    pub(super) removed: u64,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Collected {
    /// What its first line says, or the last that says it again.
    pub(super) header: Header,
    /// Entries, without those of a pause.
    pub(super) entries: usize,
    /// Those of a pause.
    pub(super) left_out: usize,
    /// Not all of it was looked at.
    pub(super) is_partial: bool,
    /// Characters that people said.
    pub(super) said: usize,
    /// Things that people said.
    prompts: usize,
    /// Things that the agent said.
    pub(super) answers: usize,
    /// Calls of tools.
    calls: usize,
    /// Calls that failed.
    failed: usize,
    /// The head of what a person said first, and of what the agent did.
    first: [String; 2],
    files: BTreeMap<String, Lines>,
    has_more_files: bool,
    waiting: VecDeque<(String, Vec<Change>)>,
    commands: Vec<String>,
    parts: Vec<Part>,
    /// A new one begins behind so many entries at the earliest.
    part_min: usize,
    times: Option<(Timestamp, Timestamp)>,
    next: i64,
    root: PathBuf,
}

impl Collected {
    /// Of a session whose project is at `root`: paths in it are told from there.
    pub(super) fn new(root: &Path) -> Collected {
        Collected { root: root.to_owned(), ..Collected::default() }
    }

    /// The next line. What was said in a pause is only counted. Answers the entry's number if it is one that counts.
    pub(super) fn line(&mut self, line: Line, paused: &Paused) -> Option<(i64, Entry)> {
        match line {
            Line::Header(header) => self.header = *header,
            Line::Entry(entry) => {
                let seq = entry.seq.unwrap_or(self.next);
                self.next = seq.saturating_add(1);
                if paused.covers(seq, &entry) {
                    self.left_out += 1;
                } else {
                    self.entry(seq, &entry);
                    return Some((seq, *entry));
                }
            }
            Line::Footer(_) | Line::Damaged => {}
        }
        None
    }

    fn entry(&mut self, seq: i64, entry: &Entry) {
        self.entries += 1;
        if let Some(at) = entry.timestamp {
            let (first, last) = self.times.unwrap_or((at, at));
            self.times = Some((first.min(at), last.max(at)));
        }
        self.begin_part(seq, entry);
        match entry.kind {
            Kind::User => {
                self.prompts += 1;
                self.said += plain(entry.content.trim(), true).chars().count();
            }
            Kind::Assistant => self.answers += 1,
            Kind::Tool => self.tool(entry),
            Kind::System | Kind::Info => {}
        }
        let first = match entry.kind {
            Kind::User => &mut self.first[0],
            Kind::Assistant => &mut self.first[1],
            _ => return,
        };
        if first.is_empty() {
            *first = headline(&plain(&entry.content, true));
        }
    }

    fn begin_part(&mut self, seq: i64, entry: &Entry) {
        let is_prompt = entry.kind == Kind::User;
        let least = if is_prompt { self.part_min } else { self.part_min.max(PART_ENTRIES) };
        if self.parts.last().is_none_or(|part| part.entries >= least) {
            if self.parts.len() >= PARTS_MAX {
                self.halve();
            }
            let title = if is_prompt { headline(&plain(&entry.content, true)) } else { String::new() };
            self.parts.push(Part { start: seq, title, ..Part::default() });
        }
        if let Some(part) = self.parts.last_mut() {
            part.end = seq;
            part.entries += 1;
        }
    }

    /// Two neighbours become one.
    fn halve(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        let mut parts = parts.into_iter();
        while let Some(mut one) = parts.next() {
            if let Some(next) = parts.next() {
                join(&mut one, next);
            }
            self.parts.push(one);
        }
        // What follows is cut as coarsely.
        self.part_min = self.entries / self.parts.len().max(1);
    }

    fn tool(&mut self, entry: &Entry) {
        if entry.is_error {
            self.failed += 1;
            if let Some(at) = self.waiting.iter().rposition(|(call, _)| *call == entry.call_id) {
                self.waiting.remove(at);
            }
        }
        if entry.tool_name.is_empty() {
            return;
        }
        self.calls += 1;
        let all = if entry.is_error { Vec::new() } else { changes(&entry.tool_input) };
        if let Some(part) = self.parts.last_mut() {
            part.has_edits |= !all.is_empty();
            let name = cut(&plain(&entry.tool_name, false), 64).to_owned();
            if part.tools.len() < TOOLS_MAX || part.tools.contains_key(&name) {
                *part.tools.entry(name).or_default() += 1;
            }
        }
        if !all.is_empty() {
            if entry.call_id.is_empty() {
                self.changed(all);
            } else {
                self.waiting.push_back((entry.call_id.clone(), all));
            }
        } else if let Some(command) = command(&entry.tool_input)
            && self.commands.len() < COMMANDS_MAX
            && !self.commands.contains(&command)
        {
            self.commands.push(command);
        }
        while self.waiting.len() > CALLS_MAX {
            let all = self.waiting.pop_front().map(|(_, all)| all).unwrap_or_default();
            self.changed(all);
        }
    }

    fn changed(&mut self, all: Vec<Change>) {
        for Change { path, added, removed } in all {
            let path = self.short(&path);
            if self.files.len() >= FILES_MAX && !self.files.contains_key(&path) {
                self.has_more_files = true;
                continue;
            }
            let lines = self.files.entry(path).or_default();
            lines.added += added;
            lines.removed += removed;
        }
    }

    /// A path as it is told: from the project's directory, if it is in there.
    fn short(&self, path: &str) -> String {
        let plain = plain(path, false);
        let inside = Path::new(&*plain).strip_prefix(&self.root).ok().and_then(Path::to_str);
        let inside = inside.filter(|_| !self.root.as_os_str().is_empty());
        cut(inside.unwrap_or(&plain), PATH_MAX).to_owned()
    }

    /// All of it was handed in, or what was looked at of it.
    pub(super) fn end(mut self, is_partial: bool) -> Collected {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().for_each(|(_, all)| self.changed(all));
        self.is_partial = is_partial;
        self
    }

    /// What it is called where nobody gave it a title: what a person said first, else what the agent did; never empty.
    pub(super) fn title<'a>(&'a self, given: &'a str, name: &'a str) -> &'a str {
        let all = [given.trim(), &self.first[0], &self.first[1]];
        all.into_iter().find(|title| !title.is_empty()).unwrap_or(name)
    }

    /// The files that were changed, and how many lines of each.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, Lines)> {
        self.files.iter().map(|(path, lines)| (path.as_str(), *lines))
    }

    /// The same as `summary.json` has it.
    pub(super) fn files_changed(&self) -> Value {
        let file = |(path, lines): (&str, Lines)| {
            let mut file = json!({ "path": path, "added": lines.added });
            if lines.removed > 0 {
                file["removed"] = lines.removed.into();
            }
            file
        };
        self.files().map(file).collect()
    }

    /// Its chapters under these titles, or under what people said where there are none.
    pub(super) fn chapters(&self, titles: &[String]) -> Value {
        let many = if titles.is_empty() { CHAPTERS_MAX } else { titles.len() };
        let many = many.min(self.parts.len());
        let total: usize = self.parts.iter().map(|part| part.entries).sum();
        let (mut groups, mut passed): (Vec<Part>, usize) = (Vec::new(), 0);
        for (n, part) in self.parts.iter().enumerate() {
            let left = self.parts.len() - n;
            let is_next =
                groups.len() < many && (passed * many >= groups.len() * total || many - groups.len() >= left);
            passed += part.entries;
            match groups.last_mut() {
                Some(group) if !is_next => join(group, part.clone()),
                _ => groups.push(part.clone()),
            }
        }
        let chapter = |(n, group): (usize, Part)| {
            let title = match titles.get(n) {
                Some(title) => title.clone(),
                None if group.title.is_empty() => format!("Part {}", n + 1),
                None => group.title,
            };
            let total: u64 = group.tools.values().sum();
            let mut chapter = json!({
                "id": n + 1, "title": title, "start_seq": group.start, "end_seq": group.end, "total_tools": total,
                "has_edits": group.has_edits,
            });
            if total > 0 {
                chapter["tool_counts"] = json!(group.tools);
            }
            chapter
        };
        groups.into_iter().enumerate().map(chapter).collect()
    }

    /// How long it took.
    fn took(&self) -> Option<SignedDuration> {
        self.times.map(|(first, last)| last.duration_since(first))
    }

    /// What happened, in a paragraph.
    pub(super) fn paragraph(&self) -> String {
        let entries = if self.is_partial { usize::try_from(self.next).unwrap_or(0) } else { self.entries };
        let mut text = format!("A session of {}", count(entries, "entry", "entries"));
        if let Some(took) = self.took().filter(|took| took.as_secs() >= 60) {
            let (hours, minutes) = (took.as_hours(), took.as_mins() % 60);
            let took = if hours > 0 { format!("{hours} h {minutes} min") } else { format!("{minutes} min") };
            text.push_str(&format!(" in {took}"));
        }
        if !self.is_partial {
            let prompts = count(self.prompts, "prompt", "prompts");
            text.push_str(&format!(
                ": {prompts}, {}, {}",
                count(self.answers, "answer", "answers"),
                count(self.calls, "tool call", "tool calls")
            ));
            if self.failed > 0 {
                text.push_str(&format!(", {} of them failed", self.failed));
            }
        }
        text.push('.');
        let files: Vec<&str> = self.files.keys().take(3).map(String::as_str).collect();
        if !files.is_empty() {
            let more = match self.files.len() - files.len() {
                0 => String::new(),
                n if self.has_more_files => format!(" and more than {n} others"),
                n => format!(" and {}", count(n, "other", "others")),
            };
            text.push_str(&format!(" Changed {}{more}.", files.join(", ")));
        }
        text
    }

    /// What was done, a line each.
    pub(super) fn actions(&self) -> Vec<String> {
        let files = self.files().take(COMMANDS_MAX);
        let files =
            files.map(|(path, lines)| format!("Changed {path} (+{} −{})", lines.added, lines.removed));
        files.chain(self.commands.iter().map(|command| format!("Ran {command}"))).collect()
    }
}

fn join(one: &mut Part, next: Part) {
    one.end = next.end;
    one.entries += next.entries;
    one.has_edits |= next.has_edits;
    if one.title.is_empty() {
        one.title = next.title;
    }
    for (name, n) in next.tools {
        if one.tools.len() < TOOLS_MAX || one.tools.contains_key(&name) {
            *one.tools.entry(name).or_default() += n;
        }
    }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, content: &str) -> Entry {
        Entry { kind, content: content.into(), ..Entry::default() }
    }

    fn called(tool: &str, input: Value, call: &str) -> Entry {
        let (tool_name, tool_input, call_id) = (tool.into(), input.to_string(), call.into());
        Entry { kind: Kind::Tool, tool_name, tool_input, call_id, ..Entry::default() }
    }

    fn of(entries: Vec<Entry>) -> Collected {
        let mut all = Collected::new(Path::new("/p"));
        for (n, entry) in entries.into_iter().enumerate() {
            let timestamp = Timestamp::from_second(n as i64 * 40).ok();
            all.line(Line::Entry(Box::new(Entry { timestamp, ..entry })), &Paused::default());
        }
        all.end(false)
    }

    #[test]
    fn a_session_is_told_without_anybodys_judgement() {
        let edit = |path: &str| json!({ "file_path": path, "old_string": "a", "new_string": "b\nc" });
        let all = of(vec![
            said(Kind::User, " Mend the\u{1b}[1m parser\nplease"),
            said(Kind::Assistant, "I look"),
            called("Edit", edit("/p/src/a.rs"), "1"),
            called("Edit", edit("/elsewhere/b.rs"), "2"),
            Entry { kind: Kind::Tool, is_error: true, call_id: "2".into(), ..Entry::default() },
            called("Bash", json!({ "command": "cargo test\n# more" }), "3"),
            called("shell", json!({ "command": ["bash", "-lc", "cargo fmt"] }), "4"),
            said(Kind::User, "Now the lexer"),
        ]);
        assert_eq!((all.title("", "n"), all.title("Given", "n"), all.said), ("Mend the parser", "Given", 35));
        assert_eq!(all.files_changed(), json!([{ "path": "src/a.rs", "added": 2, "removed": 1 }]));
        assert_eq!(all.actions(), ["Changed src/a.rs (+2 −1)", "Ran cargo test", "Ran cargo fmt"]);
        assert_eq!(
            all.paragraph(),
            "A session of 8 entries in 4 min: 2 prompts, 1 answer, 4 tool calls, 1 of them failed. Changed src/a.rs."
        );
        let chapters = all.chapters(&[]);
        assert_eq!(
            chapters[0],
            json!({ "id": 1, "title": "Mend the parser", "start_seq": 0, "end_seq": 6, "total_tools": 4, "has_edits": true,
                "tool_counts": { "Bash": 1, "Edit": 2, "shell": 1 } })
        );
        assert_eq!((&chapters[1]["title"], &chapters[1]["start_seq"]), (&"Now the lexer".into(), &7.into()));
        assert_eq!(all.chapters(&["One".into(), "Two".into(), "Three".into()]).as_array().unwrap().len(), 2);
        assert_eq!(of(vec![]).title("", "2026-03-12T11-09-dana-OxTndR"), "2026-03-12T11-09-dana-OxTndR");
        assert_eq!(of(vec![said(Kind::Assistant, "Hello")]).title(" ", "n"), "Hello");
    }

    #[test]
    fn agt_14_what_is_kept_does_not_grow_with_the_session() {
        let mut all = Collected::new(Path::new("/p"));
        for n in 0..30_000 {
            let entry = match n % 5 {
                0 => said(Kind::User, &format!("prompt {n}")),
                1 => called("Bash", json!({ "command": format!("run {n}") }), ""),
                _ => called(
                    &format!("tool{n}"),
                    json!({ "path": format!("f{n}"), "content": "x" }),
                    &n.to_string(),
                ),
            };
            all.line(Line::Entry(Box::new(entry)), &Paused::default());
        }
        assert!(all.parts.len() <= PARTS_MAX && all.waiting.len() <= CALLS_MAX);
        assert!(all.parts.iter().all(|part| part.tools.len() <= TOOLS_MAX));
        let all = all.end(false);
        assert_eq!((all.files.len(), all.has_more_files), (FILES_MAX, true));
        let titles: Vec<String> = (0..5).map(|n| format!("T{n}")).collect();
        let chapters = all.chapters(&titles);
        let chapters = chapters.as_array().unwrap();
        assert_eq!(chapters.len(), 5);
        let seqs = |key: &str| chapters.iter().map(|c| c[key].as_i64().unwrap()).collect::<Vec<_>>();
        let (starts, ends) = (seqs("start_seq"), seqs("end_seq"));
        assert_eq!((starts[0], ends[4]), (0, 29_999));
        assert!((1..5).all(|n| starts[n] == ends[n - 1] + 1), "{starts:?} {ends:?}");
        assert!((0..5).all(|n| (4_000..8_500).contains(&(ends[n] - starts[n]))), "{starts:?} {ends:?}");
    }
}
