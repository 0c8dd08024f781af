//! Which files a call of a tool is about to change. Pure.

use memchr::memmem;

use super::scan::Scan;
use crate::harness::tool::{EDITS, PATCH, PATCHED};

/// Files of one call that are told of.
const EDITS_MAX: usize = 16;

/// The files that a call of `tool`, as ours call it, changes, as it names them. `input` is what the tool is given, or its beginning.
pub fn edited(tool: &str, input: &[u8]) -> Vec<String> {
    // codex also hands a patch to its shell, with models that have no tool for it.
    let is_shell = tool == "Bash" && memmem::find(input, PATCH.as_bytes()).is_some();
    if !is_shell && !EDITS.contains(&tool) {
        return Vec::new();
    }
    let mut scan = Scan::of_input();
    scan.read(input);
    let named = ["file_path", "notebook_path"].into_iter().find_map(|name| scan.get(name, usize::MAX));
    match named {
        Some(path) => vec![path.into_owned()],
        None => patched(scan.beginning("command")),
    }
}

/// The files that a patch changes, of which `text` is the beginning as JSON writes it.
fn patched(text: &[u8]) -> Vec<String> {
    // A line of the patch ends in `\n` as it is written; a name with an escape of its own is told of as none.
    let text = String::from_utf8_lossy(text);
    let lines = text.trim_start_matches('"').split("\\n");
    let named = lines.filter_map(|line| PATCHED.iter().find_map(|head| line.strip_prefix(head)));
    let whole = named.filter(|name| !name.is_empty() && !name.contains(['\\', '"']));
    whole.map(str::to_owned).take(EDITS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(tool: &str, input: &serde_json::Value, expected: &[&str]) {
        assert_eq!(edited(tool, input.to_string().as_bytes()), expected, "{tool} {input}");
    }

    #[test]
    fn the_files_of_an_edit_are_named() {
        check(
            "Edit",
            &json!({"file_path": "/p/ä b.rs", "old_string": "x", "new_string": "y"}),
            &["/p/ä b.rs"],
        );
        check("Write", &json!({"file_path": "/p/a", "content": "x".repeat(3 << 20)}), &["/p/a"]);
        check("NotebookEdit", &json!({"notebook_path": "/p/a.ipynb"}), &["/p/a.ipynb"]);
        check("Read", &json!({"file_path": "/p/a"}), &[]);
        check("Bash", &json!({"command": "*** Update File: a"}), &[]);
        check("Edit", &json!({"file_path": 1, "other": [1]}), &["1"]);
        check("Edit", &json!("text"), &[]);
        let patch = "*** Begin Patch\n*** Update File: src/a.rs\n*** Move to: src/b.rs\n@@\n-*** Update File: no\n+x\n*** Add File: c\n*** End Patch\n";
        check("Edit", &json!({"command": patch}), &["src/a.rs", "src/b.rs", "c"]);
        check("Bash", &json!({"command": format!("apply_patch '{patch}'")}), &["src/a.rs", "src/b.rs", "c"]);
        let many: String = (0..100).map(|n| format!("*** Add File: f{n}\n")).collect();
        assert_eq!(edited("Edit", json!({"command": many}).to_string().as_bytes()).len(), EDITS_MAX);
    }

    #[test]
    fn of_what_is_cut_off_the_beginning_counts() {
        let input = json!({"file_path": "/p/a", "content": "x".repeat(100)}).to_string();
        for end in 0..input.len() {
            let named = edited("Write", &input.as_bytes()[..end]);
            assert!(named.is_empty() || named == ["/p/a"], "{end} {named:?}");
        }
        assert_eq!(edited("Write", &input.as_bytes()[..40]), ["/p/a"]);
        let patch = json!({"command": format!("*** Update File: a\n{}", "+x\n".repeat(100_000))}).to_string();
        assert_eq!(edited("Edit", &patch.as_bytes()[..100]), ["a"]);
    }
}
