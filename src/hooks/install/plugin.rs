//! The plug-in by which opencode runs our command: a file that is ours alone. It never throws and never waits, since an exception in it
//! makes a tool's call an error and a promise delays the turn (agents-observed, "Plug-ins instead of hooks"). Pure.

use std::path::Path;

use serde_json::Value as Json;

/// The first line of a file of ours.
const MARK: &str =
    "// Made by `ox hooks install`, and removed by `ox hooks uninstall`. What is changed here is lost.";
/// How the first line of every version begins.
const MARK_BEGINS: &str = "// Made by `ox hooks install`";

/// Whether a file is ours.
pub(super) fn is_ours(text: &str) -> bool {
    text.starts_with(MARK_BEGINS)
}

/// Which program a file of ours runs.
pub(super) fn program(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("const ox = "))?;
    serde_json::from_str(line).ok()
}

/// The text of the file; `None` if the path is no text.
pub(super) fn text(link: &Path, word: &str) -> Option<String> {
    let (link, word) = (Json::from(link.to_str()?), Json::from(word));
    Some(format!(
        r#"{MARK}
import {{ spawn }} from "node:child_process"
const ox = {link}
const send = (event, data) => {{ try {{
  const p = spawn(ox, ["hook", {word}, event], {{ stdio: ["pipe", "ignore", "ignore"], detached: true }})
  p.on("error", () => {{}}); p.stdin.on("error", () => {{}}); p.stdin.end(JSON.stringify(data)); p.unref()
}} catch {{}} }}
const call = (i, input) => ({{ session_id: i?.sessionID, tool_name: i?.tool, tool_use_id: i?.callID, tool_input: input }})
export const Ox = async (ctx) => {{
  const cwd = ctx?.directory
  return {{
    event: async (i) => {{
      const e = i?.event, told = e?.properties
      if (e?.type === "session.created" || e?.type === "session.idle") send(e.type, {{ cwd, session_id: told?.sessionID ?? told?.info?.id }})
    }},
    "chat.message": async (i) => send("chat.message", {{ cwd, session_id: i?.sessionID }}),
    "tool.execute.before": async (i, o) => send("tool.execute.before", {{ cwd, ...call(i, o?.args) }}),
    "tool.execute.after": async (i) => send("tool.execute.after", {{ cwd, ...call(i, i?.args) }}),
    "shell.env": async (i, o) => {{ try {{ if (i?.sessionID) o.env.OX_AGENT_SESSION = i.sessionID }} catch {{}} }},
  }}
}}
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::hooks::OPENCODE;

    #[test]
    fn the_plug_in_names_every_event_of_its_row_and_an_absolute_program() {
        let text = text(Path::new("/home/d \"x\"/.sageox/bin/ox"), OPENCODE.word).unwrap();
        assert!(is_ours(&text) && !is_ours(&text[1..]));
        assert_eq!(program(&text).as_deref(), Some("/home/d \"x\"/.sageox/bin/ox"));
        for event in OPENCODE.events {
            assert!(text.contains(&format!("\"{}\"", event.name)), "{}", event.name);
        }
        assert!(text.contains("[\"hook\", \"opencode\", event]"));
    }
}
