//! What a call of a tool did, read off what the tool was given: which files it changed, what it ran. Pure.

use serde_json::Value;

use crate::kit::text::{cut, plain};

/// Names under which tools are given a path.
const PATHS: [&str; 4] = ["file_path", "filePath", "notebook_path", "path"];
/// What stood there before.
const OLD: [&str; 3] = ["old_string", "oldString", "old_str"];
/// What stands there then.
const NEW: [&str; 6] = ["new_string", "newString", "new_str", "new_source", "content", "file_text"];
/// How a patch begins, wherever it is given: as text, or in a command.
const PATCH: &str = "*** Begin Patch";
/// Files of one call.
const FILES_MAX: usize = 100;
/// Of a command so much is told, in bytes.
const COMMAND_MAX: usize = 160;

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The file, as the tool was given it.
    pub(super) path: String,
    /// Lines that came.
    pub(super) added: u64,
    /// Lines that went.
    pub(super) removed: u64,
}

/// The files that a call with this input changes; none of one that changes none.
pub(super) fn changes(input: &str) -> Vec<Change> {
    if input.contains(PATCH) {
        return match serde_json::from_str(input) {
            Ok(value) => texts(&value).into_iter().flat_map(|text| patched(&text)).take(FILES_MAX).collect(),
            Err(_) => patched(input),
        };
    }
    let Ok(Value::Object(given)) = serde_json::from_str::<Value>(input) else { return Vec::new() };
    let given = Value::Object(given);
    let Some(path) = text(&given, &PATHS) else { return Vec::new() };
    let mut change = Change { path: path.to_owned(), ..Change::default() };
    let edits = given.get("edits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut is_edit = false;
    for edit in std::iter::once(&given).chain(edits) {
        if let Some(new) = text(edit, &NEW) {
            is_edit = true;
            let (added, removed) = lines(text(edit, &OLD).unwrap_or_default(), new);
            change.added += added;
            change.removed += removed;
        }
    }
    is_edit.then_some(change).into_iter().collect()
}

fn text<'a>(of: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| of.get(name)?.as_str())
}

/// The texts in a value that hold a patch.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.contains(PATCH) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Lines that came and went between two texts: those at both ends that are the same are neither.
fn lines(old: &str, new: &str) -> (u64, u64) {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    ((new.len() - head - tail) as u64, (old.len() - head - tail) as u64)
}

/// The files of a patch in the form that codex and others are given.
fn patched(text: &str) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    let inside = text.lines().skip_while(|line| !line.contains(PATCH)).skip(1);
    for line in inside.take_while(|line| !line.starts_with("*** End Patch")) {
        let of = ["*** Update File: ", "*** Add File: ", "*** Delete File: "];
        if let Some(path) = of.iter().find_map(|of| line.strip_prefix(of)) {
            if all.len() >= FILES_MAX {
                break;
            }
            all.push(Change { path: path.trim().to_owned(), ..Change::default() });
        } else if let Some(change) = all.last_mut() {
            change.added += u64::from(line.starts_with('+'));
            change.removed += u64::from(line.starts_with('-'));
        }
    }
    all
}

/// The head of the command that a tool was given to run.
pub(super) fn command(input: &str) -> Option<String> {
    let given: Value = serde_json::from_str(input).ok()?;
    let text = match given.get("command").or_else(|| given.get("cmd"))? {
        Value::String(text) => text.clone(),
        // A shell and its script, or a program and its words.
        Value::Array(words) => match words.as_slice() {
            [_, Value::String(flag), Value::String(script)] if flag.starts_with('-') => script.clone(),
            words => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        },
        _ => return None,
    };
    let line = plain(&text, true).lines().map(str::trim).find(|line| !line.is_empty())?.to_owned();
    let short = cut(&line, COMMAND_MAX);
    Some(if short.len() < line.len() { format!("{short}…") } else { line })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn edits_of_every_program_name_their_files() {
        let check = |input: &str, expected: &[(&str, u64, u64)]| {
            let all = changes(input);
            let told: Vec<(&str, u64, u64)> =
                all.iter().map(|c| (c.path.as_str(), c.added, c.removed)).collect();
            assert_eq!(told, expected, "{input}");
        };
        let claude = json!({ "file_path": "/p/a.rs", "old_string": "a\nb\nc", "new_string": "a\nB\nB2\nc" });
        check(&claude.to_string(), &[("/p/a.rs", 2, 1)]);
        let several = json!({ "file_path": "a", "edits": [
            { "old_string": "x", "new_string": "y" }, { "old_string": "", "new_string": "1\n2" }] });
        check(&several.to_string(), &[("a", 3, 1)]);
        check(&json!({ "filePath": "n.md", "content": "1\n2\n" }).to_string(), &[("n.md", 2, 0)]);
        check(&json!({ "notebook_path": "n.ipynb", "new_source": "x" }).to_string(), &[("n.ipynb", 1, 0)]);
        let patch = "*** Begin Patch\n*** Update File: src/a.rs\n@@\n-old\n+new\n+more\n*** Delete File: b\n*** End Patch\n+none";
        let expected = [("src/a.rs", 2, 1), ("b", 0, 0)];
        check(patch, &expected);
        check(&json!({ "input": patch }).to_string(), &expected);
        check(&json!({ "command": ["apply_patch", patch] }).to_string(), &expected);
        check(&json!({ "file_path": "/p/a.rs" }).to_string(), &[]);
        check(&json!({ "command": "cat a.rs" }).to_string(), &[]);
        check("[1]", &[]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn any_input_is_taken(old in "[ab\n]{0,12}", new in "[ab\n]{0,12}", any in ".{0,60}") {
            let (added, removed) = lines(&old, &new);
            let (before, after) = (old.lines().count() as u64, new.lines().count() as u64);
            prop_assert_eq!(before + added, after + removed);
            let _ = changes(&any);
            let _ = patched(&format!("{PATCH}\n{any}"));
        }
    }
}
