//! The command that stands in agents' settings, and how it is told from everybody else's. Its form is for ever: who trusted it in codex
//! trusted its text (relay and hooks, B.4). Pure.

use std::path::Path;

use crate::kit::shell;

/// What an agent is to run at an event: the program at `link`, and nothing where that is gone. `None` if the path is no text.
pub(super) fn text(link: &Path, word: &str, event: &str) -> Option<String> {
    let link = quoted(link.to_str()?);
    Some(format!("[ -x {link} ] && {link} hook {word} {event} || :"))
}

/// In double quotes, as a POSIX shell reads it back.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

/// Whether a command is ours for the agent: `ox`, then `hook` and the agent's word.
pub(super) fn is_ours(command: &str, word: &str) -> bool {
    program(command, word).is_some()
}

/// Which program a command of ours runs.
pub(super) fn program(command: &str, word: &str) -> Option<String> {
    let words = words(command);
    let found = words.windows(3).find(|w| is_ox(&w[0]) && w[1] == "hook" && w[2] == word)?;
    Some(found[0].clone())
}

/// Whether a command is the one that version 0.3.0 of the Go program wrote.
pub(super) fn is_of_go(command: &str) -> bool {
    let words = words(command);
    words.windows(3).any(|w| is_ox(&w[0]) && w[1] == "agent" && (w[2] == "prime" || w[2] == "hook"))
}

fn is_ox(word: &str) -> bool {
    matches!(word.rsplit(['/', '\\']).next(), Some("ox" | "ox.exe"))
}

/// The words of a command as a POSIX shell splits it, without their quotes; operators are words.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = command.chars();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            words.push(shell::unquoted(&std::mem::take(word)));
        }
    };
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => {
                end(&mut word);
                continue;
            }
            (';' | '&' | '|' | '(' | ')' | '<' | '>', None) => {
                end(&mut word);
                end(&mut c.to_string());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    end(&mut word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rly_15_the_command_has_its_form_for_ever() {
        let check = |home: &str, expected: &str| {
            let command = text(&Path::new(home).join(".sageox/bin/ox"), "codex", "Stop").unwrap();
            assert_eq!(command, expected);
            assert!(is_ours(&command, "codex"), "{command}");
            let program = program(&command, "codex").unwrap();
            assert_eq!(program, format!("{home}/.sageox/bin/ox"));
        };
        check("/h", "[ -x \"/h/.sageox/bin/ox\" ] && \"/h/.sageox/bin/ox\" hook codex Stop || :");
        check("/h a", "[ -x \"/h a/.sageox/bin/ox\" ] && \"/h a/.sageox/bin/ox\" hook codex Stop || :");
        check("/$h", "[ -x \"/\\$h/.sageox/bin/ox\" ] && \"/\\$h/.sageox/bin/ox\" hook codex Stop || :");
        check("/`", "[ -x \"/\\`/.sageox/bin/ox\" ] && \"/\\`/.sageox/bin/ox\" hook codex Stop || :");
        check("/'\"", "[ -x \"/'\\\"/.sageox/bin/ox\" ] && \"/'\\\"/.sageox/bin/ox\" hook codex Stop || :");
    }

    #[test]
    fn only_the_agents_own_entry_is_ours() {
        let ours = [
            "ox hook claude Stop",
            "ox hook claude",
            "/usr/local/bin/ox hook claude Stop",
            "'/a b/ox' hook claude Stop",
            "\"C:\\bin\\ox.exe\" hook claude Stop",
            "OX_HOOK_DEBUG=1 ox hook claude Stop; true",
            "[ -x \"/gone/ox\" ]&&\"/gone/ox\" hook claude Stop||:",
            "(ox hook claude Stop)",
        ];
        let others = [
            "ox agent hook claude Stop",
            "ox agent hook SessionStart",
            "ox agent prime",
            "ox hooks claude",
            "ox hooks install claude",
            "ox hook codex Stop",
            "ox hook claude-code Stop",
            "ox-adapter-claude hook claude Stop",
            "/opt/fox hook claude Stop",
            "echo 'ox hook claude Stop'",
            "ox && hook claude",
            "ox 'hook claude' Stop",
            "hook claude Stop",
            "",
            "'ox hook claude",
        ];
        for command in ours {
            assert!(is_ours(command, "claude"), "{command}");
        }
        for command in others {
            assert!(!is_ours(command, "claude"), "{command}");
        }
        assert!(is_of_go("AGENT_ENV=gemini ox agent prime 2>&1 || true"));
        assert!(is_of_go("/usr/bin/ox agent hook SessionStart"));
        assert!(!is_of_go("box agent prime") && !is_of_go("ox agent list"));
    }
}
