//! What an event is called, whatever program tells of it (relay and hooks, B.3). Pure.

use std::borrow::Cow;

use crate::harness::{PROGRAMS, Program};

/// The program that the word behind `ox hook` names.
pub fn program(word: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.hooks.is_some_and(|hooks| hooks.word == word))
}

/// What ours call the event that a program calls `name`, also where it is written in snake case; an unknown one as it is.
pub fn canonical<'a>(program: &Program, name: &'a str) -> Cow<'a, str> {
    let known = program.hooks.into_iter().flat_map(|hooks| hooks.events);
    if let Some(event) = known.into_iter().find(|event| is_same(event.name, name)) {
        return Cow::Borrowed(event.canonical);
    }
    match name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && name.contains('_') {
        true => Cow::Owned(name.split('_').map(capital).collect()),
        false => Cow::Borrowed(name),
    }
}

/// The same name, or the same in snake case.
fn is_same(name: &str, other: &str) -> bool {
    let letters =
        |text: &str| text.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
    name == other || other.contains('_') && letters(name) == letters(other)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_one_name_whoever_tells_of_them() {
        let check = |word: &str, name: &str, expected: &str| {
            assert_eq!(canonical(program(word).unwrap(), name), expected, "{word} {name}");
        };
        check("claude", "PreToolUse", "PreToolUse");
        check("claude", "pre_tool_use", "PreToolUse");
        check("gemini", "BeforeTool", "PreToolUse");
        check("gemini", "before_tool", "PreToolUse");
        check("gemini", "PreCompress", "PreCompact");
        check("opencode", "session.idle", "Stop");
        check("codex", "Interrupt", "Interrupt");
        check("codex", "something_new", "SomethingNew");
        check("codex", "SomethingNew", "SomethingNew");
        check("codex", "", "");
        assert!(program("vim").is_none() && program("claude-code").is_none());
    }
}
