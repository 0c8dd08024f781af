//! Whether the program whose entry ran may have run it, and which process did. A payload's form and the variables can only say no: they
//! prove nothing (decisions, section 10).

use super::scan::Scan;
use crate::harness::hooks::GEMINI;
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
    let is_of_session = scan.has("session_id");
    let transcript = scan.get("transcript_path", usize::MAX);
    let is_rollout = transcript.as_deref().map(|path| name_of(path).starts_with("rollout-"));
    match word {
        // Copilot runs the project's entries of Claude Code, with a time of its own and a transcript at the end only.
        "claude" => {
            let is_copilot = is_set("COPILOT_CLI") && !is_set("CLAUDE_PID");
            !is_copilot && !scan.has("timestamp") && (is_rollout == Some(false) || !is_of_session)
        }
        // It names a rollout, or null where it writes none.
        "codex" => {
            let others = ["timestamp", "effort", "prompt_id"];
            let is_named = scan.has("transcript_path") || !is_of_session;
            is_named && is_rollout != Some(false) && !others.into_iter().any(|name| scan.has(name))
        }
        // Qwen Code's payloads are like Gemini CLI's, and say what is allowed; Copilot's have events of other names.
        "gemini" => {
            let is_event = name.is_empty() || GEMINI.events.iter().any(|event| event.name == name);
            let is_whole = scan.has("timestamp") && scan.has("transcript_path");
            is_event && !scan.has("permission_mode") && (is_whole || !is_of_session)
        }
        // Our plug-in writes it.
        "opencode" => !scan.has("hook_event_name") && !scan.has("transcript_path"),
        _ => true,
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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
                check(word, other, &[], false);
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
        // Of what our plug-in says nothing is like another's payload, and the other way round.
        for (word, other) in [("claude", claude), ("codex", codex), ("gemini", gemini)] {
            check("opencode", other, &[], false);
            check(word, r#"{"cwd":"/p","session_id":"ses_1","timestamp":"x","turn_id":"msg_1"}"#, &[], false);
        }
        // Events that both have, and of which only the transcript's name says whose they are.
        let end = |transcript: &str| {
            format!(
                r#"{{"session_id":"s","transcript_path":{transcript},"cwd":"/p","hook_event_name":"SessionEnd","reason":"other"}}"#
            )
        };
        let (rollout, own) =
            (r#""/h/.codex/sessions/rollout-1.jsonl""#, r#""/h/.claude/projects/-p/s.jsonl""#);
        for (transcript, is_codex) in [(rollout, true), ("null", true), (own, false)] {
            check("codex", &end(transcript), &[], is_codex);
            check("claude", &end(transcript), &[], !is_codex);
        }
        check("claude", "{}", &[], true);
    }
}
