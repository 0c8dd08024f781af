//! What tools are called, whatever program calls them (relay and hooks, B.3), and which of them change files. Pure.

/// What a tool is called, whatever its program calls it.
const TOOLS: &[(&str, &str)] = &[
    ("apply_patch", "Edit"),
    ("write_stdin", "Bash"),
    ("exec_command", "Bash"),
    ("shell", "Bash"),
    ("local_shell_call", "Bash"),
    ("run_shell_command", "Bash"),
    ("read_file", "Read"),
    ("read_many_files", "Read"),
    ("write_file", "Write"),
    ("replace", "Edit"),
    ("glob", "Glob"),
    ("grep_search", "Grep"),
    ("list_directory", "LS"),
    ("web_fetch", "WebFetch"),
    ("google_web_search", "WebSearch"),
    ("write_todos", "TodoWrite"),
    ("save_memory", "Memory"),
    ("ask_user", "AskUser"),
];

/// What ours call the tool that a program calls `name`; an unknown one as it is.
pub fn called(name: &str) -> &str {
    TOOLS.iter().find(|(raw, _)| *raw == name).map_or(name, |(_, tool)| tool)
}

/// Tools that change a file, as ours call them.
pub const EDITS: &[&str] = &["Edit", "MultiEdit", "Write", "NotebookEdit"];
/// What a patch of codex begins with, in the call of a tool for it or of a shell.
pub const PATCH: &str = "*** Begin Patch";
/// How such a patch names a file that it changes; what is to be there after `Move to` is another one.
pub const PATCHED: [&str; 4] = ["*** Update File: ", "*** Delete File: ", "*** Add File: ", "*** Move to: "];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_one_name_whoever_calls_it() {
        let tools = ["apply_patch", "Bash", "mcp__a__b"].map(called);
        assert_eq!(tools, ["Edit", "Bash", "mcp__a__b"]);
    }
}
