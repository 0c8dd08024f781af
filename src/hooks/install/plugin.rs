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
import {{ closeSync, openSync, unlinkSync, writeSync }} from "node:fs"
import {{ tmpdir }} from "node:os"
const ox = {link}
let n = 0
// A file without a name, all of it there when the process begins: what is written into a pipe waits for whatever is being done here.
const file = (text) => {{ try {{
  const path = `${{tmpdir()}}/ox-hook-${{process.pid}}-${{n++}}-${{Math.random().toString(36).slice(2)}}`
  const fd = openSync(path, "wx+", 0o600)
  unlinkSync(path)
  writeSync(fd, text, 0)
  return fd
}} catch {{ return undefined }} }}
const send = (event, data) => {{ try {{
  const text = JSON.stringify(data), fd = file(text)
  const p = spawn(ox, ["hook", {word}, event], {{ stdio: [fd ?? "pipe", "ignore", "ignore"], detached: true }})
  p.on("error", () => {{}})
  if (fd === undefined) {{ p.stdin.on("error", () => {{}}); p.stdin.end(text) }} else closeSync(fd)
  p.unref()
}} catch {{}} }}
// The message that began a session's turn, and the session that started another one.
const turns = new Map(), parents = new Map()
const keep = (map, key, value) => {{ if (map.size > 999) map.clear(); if (key && value) map.set(key, value) }}
const root = (id) => {{ let up = id; for (let n = 0; n < 32 && parents.has(up); n++) up = parents.get(up); return up }}
export const Ox = async (ctx) => {{
  const of = (id) => ({{
    cwd: ctx?.directory, timestamp: new Date().toISOString(), session_id: root(id), turn_id: turns.get(id),
    agent_id: parents.has(id) ? id : undefined,
  }})
  const call = (i, input) => ({{ ...of(i?.sessionID), tool_name: i?.tool, tool_use_id: i?.callID, tool_input: input }})
  return {{
    event: async (i) => {{ try {{
      const type = i?.event?.type, told = i?.event?.properties, id = told?.sessionID ?? told?.info?.id
      if (type === "session.created" || type === "session.updated") keep(parents, id, told?.info?.parentID)
      if ((type === "session.created" || type === "session.idle") && !parents.has(id)) send(type, of(id))
    }} catch {{}} }},
    "chat.message": async (i, o) => {{ try {{
      keep(turns, i?.sessionID, o?.message?.id)
      if (!parents.has(i?.sessionID)) send("chat.message", of(i?.sessionID))
    }} catch {{}} }},
    "tool.execute.before": async (i, o) => {{ try {{ send("tool.execute.before", call(i, o?.args)) }} catch {{}} }},
    "tool.execute.after": async (i) => {{ try {{ send("tool.execute.after", call(i, i?.args)) }} catch {{}} }},
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
