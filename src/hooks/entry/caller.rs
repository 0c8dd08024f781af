//! Whether the program whose entry ran may have run it, and which process did. A payload's form and the variables can only say no: they
//! prove nothing (decisions, section 10).

use super::scan::Scan;
use crate::kit::process::{self, StartedAt};

/// Whether what came may be an event of the program that `word` names. `is_set` tells of variables.
pub fn may_be(word: &str, scan: &Scan, is_set: impl Fn(&str) -> bool) -> bool {
    // Names in the other case are Copilot's and Cursor's; nothing came from who was cut off.
    if scan.has("sessionId") || scan.has("cursor_version") {
        return false;
    }
    let name = scan.get("hook_event_name", usize::MAX).unwrap_or_default();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains(['_', '.']) {
        return false;
    }
    match word {
        // Copilot runs the project's entries of Claude Code, with a time of its own and a transcript at the end only.
        "claude" => {
            let is_copilot = is_set("COPILOT_CLI") && !is_set("CLAUDE_PID");
            !is_copilot && !scan.has("timestamp") && (scan.has("transcript_path") || !scan.has("session_id"))
        }
        "codex" => !scan.has("timestamp") && !scan.has("effort") && !scan.has("prompt_id"),
        // Qwen Code's payloads are like Gemini CLI's, and say what is allowed.
        "gemini" => !scan.has("permission_mode") && (scan.has("timestamp") || !scan.has("session_id")),
        _ => true,
    }
}

/// The process that ran the entry, past shells, and when it began; 0 where that cannot be told.
pub fn process() -> (u32, u64) {
    let caller = process::caller();
    caller.map_or((0, 0), |(pid, StartedAt(start))| (pid, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_another_form_is_somebody_elses() {
        let check = |word: &str, payload: &str, set: &[&str], expected: bool| {
            let mut scan = Scan::default();
            scan.read(payload.as_bytes());
            assert!(scan.is_whole(), "{payload}");
            assert_eq!(may_be(word, &scan, |name| set.contains(&name)), expected, "{word} {payload} {set:?}");
        };
        let claude = r#"{"session_id":"s","transcript_path":"/t","cwd":"/p","hook_event_name":"PreToolUse","effort":{"level":"high"}}"#;
        let codex = r#"{"session_id":"s","transcript_path":null,"cwd":"/p","hook_event_name":"PreToolUse","turn_id":"t"}"#;
        let gemini = r#"{"session_id":"s","transcript_path":"/t","cwd":"/p","hook_event_name":"BeforeTool","timestamp":"2036-03-12T09:01:00Z"}"#;
        let copilot = r#"{"hook_event_name":"PreToolUse","session_id":"s","timestamp":"2036-03-12T09:01:00Z","cwd":"/p"}"#;
        let camel = r#"{"sessionId":"s","timestamp":1,"cwd":"/p"}"#;
        let qwen = r#"{"session_id":"s","transcript_path":"/t","cwd":"/p","hook_event_name":"PreToolUse","timestamp":"x","permission_mode":"yolo"}"#;
        for (word, own) in [("claude", claude), ("codex", codex), ("gemini", gemini)] {
            check(word, own, &[], true);
            for other in [copilot, camel, qwen] {
                check(word, other, &[], word == "gemini" && other == copilot);
            }
        }
        // A nested one has the outer one's variables, which prove nothing.
        check("codex", codex, &["CLAUDE_PID", "COPILOT_CLI"], true);
        check("claude", claude, &["COPILOT_CLI"], false);
        check("claude", claude, &["COPILOT_CLI", "CLAUDE_PID"], true);
        check("codex", claude, &[], false);
        check("gemini", claude, &[], false);
        check("claude", gemini, &[], false);
        check("codex", gemini, &[], false);
        check("opencode", r#"{"cwd":"/p","session_id":"ses_1"}"#, &[], true);
        check("claude", "{}", &[], true);
    }
}
