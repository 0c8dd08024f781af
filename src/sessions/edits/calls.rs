//! Calls of tools that edit files: what each changes, as its program hands it over; and what all of them together wrote.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::diff::come;
use super::hash::normal;
use super::limits::{CALL_LINES_MAX, CALLS_BYTES_MAX, FILES_MAX, LINES_MAX};
use super::paths::Paths;
use super::runs::{Piece, Run};
use super::{Edit, Edited, Edits};
use crate::harness::tool::{self, PATCH, PATCHED};
use crate::kit::gotime::GoTime;
use crate::kit::text::cut;
use crate::redact::Redactor;
use crate::sessions::raw::Entry;

/// What opencode calls its tools; the other programs' names are in the table.
const OPENCODE: &[(&str, &str)] =
    &[("edit", "Edit"), ("multiedit", "MultiEdit"), ("write", "Write"), ("patch", "Edit"), ("bash", "Bash")];
/// Bytes of what a tool was given in which names of files are looked for.
const LOOK_BYTES_MAX: usize = 4 << 10;
/// The end of what a patch has of one file, or of all.
const PATCH_END: &str = "*** End";

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// It is written as a whole.
    Write { path: String, content: String },
    /// A part of it is replaced by another.
    Replace { path: String, old: String, new: String, all: bool },
    /// Lines of a patch that stand one below the other, as they are afterwards; the written ones are `true`.
    Patch { path: String, lines: Vec<(bool, String)> },
    /// It is somewhere else from now on.
    Move { from: String, to: String },
    /// It is gone.
    Delete { path: String },
    /// Some files were looked at, or may have been: the words of what a tool was given.
    Look { at: Vec<String> },
}

/// A call that may fail yet.
#[derive(Debug)]
struct Call {
    id: String,
    seq: i64,
    subagent: String,
    prompt: Option<i64>,
    at: Option<Timestamp>,
    changes: Vec<Change>,
}

/// The calls of a session.
#[derive(Debug)]
pub(super) struct Calls {
    all: Vec<Call>,
    failed: HashSet<String>,
    bytes: usize,
    truncated: bool,
}

impl Calls {
    pub(super) fn new() -> Calls {
        Calls { all: Vec::new(), failed: HashSet::new(), bytes: 0, truncated: false }
    }

    /// Takes an entry of the session, or of one of its sub-agents.
    pub(super) fn take(&mut self, entry: Entry, subagent: &str, prompt: Option<i64>) {
        if entry.is_error {
            if !entry.call_id.is_empty() {
                self.failed.insert(entry.call_id);
            }
            return;
        }
        if entry.tool_name.is_empty() || entry.tool_input.is_empty() {
            return;
        }
        let mut changes = changes(&entry.tool_name, &entry.tool_input);
        if changes.is_empty() {
            let input = cut(&entry.tool_input, LOOK_BYTES_MAX);
            changes.push(Change::Look { at: names_in(input) });
        }
        if self.bytes + entry.tool_input.len() > CALLS_BYTES_MAX {
            self.truncated = true;
            return;
        }
        self.bytes += entry.tool_input.len();
        self.all.push(Call {
            id: entry.call_id,
            seq: entry.seq.unwrap_or_default(),
            subagent: subagent.to_owned(),
            prompt,
            at: entry.timestamp,
            changes,
        });
    }

    /// What those that did not fail have written.
    pub(super) fn edits(self, paths: &mut Paths, redactor: &Redactor) -> Edits {
        let tokens: HashSet<String> = redactor.rules().iter().map(|rule| rule.token().to_owned()).collect();
        let mut book = Book {
            files: BTreeMap::new(),
            known: HashMap::new(),
            looked: HashSet::new(),
            lines: 0,
            truncated: self.truncated,
            redactor,
            tokens,
        };
        let mut calls: Vec<Call> =
            self.all.into_iter().filter(|call| !self.failed.contains(&call.id)).collect();
        // What sub-agents did is in between. Calls without a time stay where they are, behind those before them.
        let mut last = Timestamp::MIN;
        for call in &mut calls {
            last = call.at.unwrap_or(last);
            call.at = Some(last).filter(|at| *at > Timestamp::MIN);
        }
        calls.sort_by_key(|call| call.at);
        for call in calls {
            for change in &call.changes {
                book.change(&call, change, paths);
            }
        }
        let files = book.files.into_iter().map(|(path, edits)| Edited { path, edits }).collect();
        Edits { truncated: book.truncated, files, ..Edits::default() }
    }
}

/// What is written so far.
struct Book<'r> {
    files: BTreeMap<String, Vec<Edit>>,
    /// Files of which every line is known, as far as nobody else has changed them.
    known: HashMap<String, String>,
    /// Names of files that were there and looked at. What an agent has not seen it cannot repeat: a file that it writes without such a look
    /// has no line of anybody else's in it.
    looked: HashSet<String>,
    lines: usize,
    truncated: bool,
    redactor: &'r Redactor,
    /// What secrets were replaced by.
    tokens: HashSet<String>,
}

impl Book<'_> {
    fn change(&mut self, call: &Call, change: &Change, paths: &mut Paths) {
        let mut relative = |path: &str| paths.relative(path);
        match change {
            Change::Write { path, content } => {
                let Some(path) = relative(path) else { return };
                let before = self.known.remove(&path);
                let old = before.as_deref().map(normals).unwrap_or_default();
                let whole = self.looked.remove(name_of(&path));
                let lines: Vec<&str> = content.lines().collect();
                self.add(call, &path, &come(&old, &normals(content)), &lines, whole);
                self.known.insert(path, content.clone());
            }
            Change::Replace { path, old, new, all } => {
                let Some(path) = relative(path) else { return };
                match self.known.remove(&path) {
                    Some(before) if before.contains(old.as_str()) && !old.is_empty() => {
                        let after = match all {
                            true => before.replace(old.as_str(), new),
                            false => before.replacen(old.as_str(), new, 1),
                        };
                        let lines: Vec<&str> = after.lines().collect();
                        self.add(call, &path, &come(&normals(&before), &normals(&after)), &lines, false);
                        self.known.insert(path, after);
                    }
                    _ => {
                        // A file that is made this way has nothing to be replaced.
                        if old.is_empty() {
                            self.known.insert(path.clone(), new.clone());
                            let lines: Vec<&str> = new.lines().collect();
                            return self.add(call, &path, &vec![true; lines.len()], &lines, false);
                        }
                        self.looked.insert(name_of(&path).to_owned());
                        // What stands behind the last newline is a line of its own, unless both end with one.
                        let (old, new) = match (old.strip_suffix('\n'), new.strip_suffix('\n')) {
                            (Some(old), Some(new)) => (old, new),
                            _ => (old.as_str(), new.as_str()),
                        };
                        let old: Vec<String> = old.split('\n').map(normal).collect();
                        let lines: Vec<&str> = new.split('\n').collect();
                        let new: Vec<String> = lines.iter().map(|line| normal(line)).collect();
                        self.add(call, &path, &come(&old, &new), &lines, false);
                    }
                }
            }
            Change::Patch { path, lines } => {
                let Some(path) = relative(path) else { return };
                self.known.remove(&path);
                self.looked.insert(name_of(&path).to_owned());
                let written: Vec<bool> = lines.iter().map(|(written, _)| *written).collect();
                let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
                self.add(call, &path, &written, &text, false);
            }
            Change::Move { from, to } => {
                let (Some(from), Some(to)) = (relative(from), relative(to)) else { return };
                self.known.remove(&from);
                self.known.remove(&to);
                if let Some(edits) = self.files.remove(&from) {
                    self.files.entry(to).or_default().extend(edits);
                }
            }
            Change::Delete { path } => {
                if let Some(path) = relative(path) {
                    self.known.remove(&path);
                    self.looked.remove(name_of(&path));
                }
            }
            Change::Look { at } => self.looked.extend(at.iter().cloned()),
        }
    }

    /// Notes which of `lines` were written.
    fn add(&mut self, call: &Call, path: &str, written: &[bool], lines: &[&str], whole: bool) {
        let count = written.iter().filter(|written| **written).count();
        let is_new = !self.files.contains_key(path);
        if count == 0 {
            return;
        }
        if written.len() > CALL_LINES_MAX
            || self.lines + count > LINES_MAX
            || is_new && self.files.len() >= FILES_MAX
        {
            self.truncated = true;
            return;
        }
        self.lines += count;
        let near = |n: usize| {
            let around = n.saturating_sub(1)..(n + 2).min(written.len());
            around.into_iter().any(|n| written[n])
        };
        let of = |(n, line): (usize, &&str)| Piece {
            // Lines that no written one stands beside are not looked at.
            text: Some(*line).filter(|line| near(n) && !self.is_secret(line)).map(normal),
            written: written[n],
        };
        let pieces: Vec<Piece> = lines.iter().enumerate().map(of).collect();
        let edit = Edit {
            seq: call.seq,
            subagent: call.subagent.clone(),
            prompt: call.prompt,
            at: GoTime(call.at),
            whole,
            lines: count as u64,
            runs: Run::all(&pieces),
        };
        self.files.entry(path.to_owned()).or_default().push(edit);
    }

    /// Whether there is a secret in a line, or was one.
    fn is_secret(&self, line: &str) -> bool {
        line.contains('[') && self.tokens.iter().any(|token| line.contains(token.as_str()))
            || self.redactor.redact(line) != line
    }
}

/// The last name of a path.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What may be names of files in what a tool was given.
fn names_in(input: &str) -> Vec<String> {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    input.split(|c| !is_of_name(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn normals(text: &str) -> Vec<String> {
    text.lines().map(normal).collect()
}

/// What a call of a tool changes; nothing where it edits no file, or hands over something else than its program does.
fn changes(name: &str, input: &str) -> Vec<Change> {
    let ours =
        OPENCODE.iter().find(|(theirs, _)| *theirs == name).map_or(tool::called(name), |(_, ours)| ours);
    let may_edit = tool::EDITS.contains(&ours) || ours == "Bash" && input.contains(PATCH);
    if !may_edit || ours == "NotebookEdit" {
        return Vec::new();
    }
    let all = match serde_json::from_str::<Value>(input) {
        Ok(Value::Object(all)) => all,
        // A tool for patches alone is handed the patch itself.
        _ => return patched(input, ours == "Bash"),
    };
    if let Some(patch) = all.values().find_map(patch_in) {
        return patched(patch, ours == "Bash");
    }
    let Some(path) = text(&all, &["file_path", "filePath", "path", "absolute_path"]) else {
        return Vec::new();
    };
    let replace = |of: &Map<String, Value>| {
        Some(Change::Replace {
            path: path.to_owned(),
            old: text(of, &["old_string", "oldString"])?.to_owned(),
            new: text(of, &["new_string", "newString"])?.to_owned(),
            all: ["replace_all", "replaceAll", "allow_multiple"]
                .iter()
                .any(|name| of.get(*name) == Some(&Value::Bool(true))),
        })
    };
    match ours {
        "Write" => {
            let content = text(&all, &["content"]);
            content.map(|content| Change::Write { path: path.to_owned(), content: content.to_owned() })
        }
        .into_iter()
        .collect(),
        _ => match all.get("edits").and_then(Value::as_array) {
            Some(edits) => edits.iter().filter_map(|edit| replace(edit.as_object()?)).collect(),
            None => replace(&all).into_iter().collect(),
        },
    }
}

fn text<'a>(all: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| all.get(*name)?.as_str())
}

/// The patch in a value: a text, or one of the words of a command.
fn patch_in(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => text.contains(PATCH).then_some(text.as_str()),
        Value::Array(words) => words.iter().find_map(patch_in),
        _ => None,
    }
}

/// What a patch of codex changes. In a shell it is one only where `apply_patch` is called.
fn patched(text: &str, in_shell: bool) -> Vec<Change> {
    let Some(at) = text.find(PATCH) else { return Vec::new() };
    if in_shell && !text[..at].contains("apply_patch") && !text[..at].contains("applypatch") {
        return Vec::new();
    }
    let [update, delete, add, moved] = PATCHED;
    let (mut changes, mut path, mut is_new) = (Vec::new(), String::new(), false);
    let mut lines: Vec<(bool, String)> = Vec::new();
    let flush = |path: &str, is_new: bool, lines: &mut Vec<(bool, String)>, changes: &mut Vec<Change>| {
        let lines = std::mem::take(lines);
        if is_new {
            let content: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
            changes.push(Change::Write { path: path.to_owned(), content: content.join("\n") });
        } else if lines.iter().any(|(written, _)| *written) {
            changes.push(Change::Patch { path: path.to_owned(), lines });
        }
    };
    for line in text[at..].lines().skip(1) {
        if line.starts_with(PATCH_END) || [update, delete, add].iter().any(|head| line.starts_with(head)) {
            flush(&path, is_new, &mut lines, &mut changes);
            is_new = line.starts_with(add);
            let named = [update, delete, add].iter().find_map(|head| line.strip_prefix(head));
            path = named.unwrap_or_default().trim_end().to_owned();
            if line.starts_with(delete) {
                changes.push(Change::Delete { path: path.clone() });
            }
            if line.starts_with("*** End Patch") {
                break;
            }
        } else if let Some(to) = line.strip_prefix(moved) {
            let to = to.trim_end().to_owned();
            changes.push(Change::Move { from: std::mem::replace(&mut path, to.clone()), to });
        } else if line.starts_with("@@") {
            if !is_new {
                flush(&path, is_new, &mut lines, &mut changes);
            }
        } else if let Some(line) = line.strip_prefix('+') {
            lines.push((true, line.to_owned()));
        } else if !line.starts_with('-') {
            // An empty line may have lost the blank before it.
            lines.push((false, line.strip_prefix(' ').unwrap_or(line).to_owned()));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(path: &str, content: &str) -> Change {
        Change::Write { path: path.into(), content: content.into() }
    }

    fn replace(path: &str, old: &str, new: &str, all: bool) -> Change {
        Change::Replace { path: path.into(), old: old.into(), new: new.into(), all }
    }

    #[test]
    fn each_program_says_in_its_own_words_what_it_changes() {
        let check = |name: &str, input: Value, expected: &[Change]| {
            assert_eq!(changes(name, &input.to_string()), expected, "{name} {input}");
        };
        check("Write", json!({"file_path": "/p/a", "content": "x\n"}), &[write("/p/a", "x\n")]);
        let edit = json!({"file_path": "/p/a", "old_string": "x", "new_string": "y", "replace_all": true});
        check("Edit", edit, &[replace("/p/a", "x", "y", true)]);
        let edits = json!({"file_path": "/p/a", "edits": [
            {"old_string": "x", "new_string": "y"}, {"old_string": "y", "new_string": "z"}, 3]});
        check("MultiEdit", edits, &[replace("/p/a", "x", "y", false), replace("/p/a", "y", "z", false)]);
        check("write_file", json!({"file_path": "a", "content": "x"}), &[write("a", "x")]);
        let edit = json!({"file_path": "a", "instruction": "i", "old_string": "x", "new_string": "y"});
        check("replace", edit, &[replace("a", "x", "y", false)]);
        check("write", json!({"filePath": "/p/a", "content": "x"}), &[write("/p/a", "x")]);
        check(
            "edit",
            json!({"filePath": "a", "oldString": "x", "newString": "y"}),
            &[replace("a", "x", "y", false)],
        );
        check("Read", json!({"file_path": "/p/a", "content": "x"}), &[]);
        check("mcp__notes__write", json!({"path": "/p/a", "content": "x"}), &[]);
        check("Write", json!({"file_path": 1, "content": "x"}), &[]);
        check("Edit", json!([1]), &[]);
    }

    #[test]
    fn a_patch_is_read_wherever_it_is_handed_over() {
        let patch = "*** Begin Patch\n*** Update File: src/a.rs\n*** Move to: src/b.rs\n@@ fn x()\n a\n-b\n+B\n\n@@\n+end\n*** End of File\n\
                     *** Add File: c\n+one\n+two\n*** Delete File: d\n*** End Patch\n+no\n";
        let line = |written: bool, text: &str| (written, text.to_owned());
        let expected = [
            Change::Move { from: "src/a.rs".into(), to: "src/b.rs".into() },
            Change::Patch {
                path: "src/b.rs".into(),
                lines: vec![line(false, "a"), line(true, "B"), line(false, "")],
            },
            Change::Patch { path: "src/b.rs".into(), lines: vec![line(true, "end")] },
            write("c", "one\ntwo"),
            Change::Delete { path: "d".into() },
        ];
        assert_eq!(changes("apply_patch", patch), expected);
        let call = |name: &str, input: Value| changes(name, &input.to_string());
        assert_eq!(call("apply_patch", json!({ "input": patch })), expected);
        assert_eq!(call("apply_patch", json!({ "patchText": patch })), expected);
        let script = format!("apply_patch <<'EOF'\n{patch}EOF");
        assert_eq!(call("shell", json!({ "command": ["bash", "-lc", script] })), expected);
        assert_eq!(call("exec_command", json!({ "cmd": script })), expected);
        assert_eq!(call("exec_command", json!({ "cmd": format!("cat <<'EOF'\n{patch}EOF") })), []);
        assert_eq!(call("exec_command", json!({ "cmd": "ls" })), []);
    }
}
