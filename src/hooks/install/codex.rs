//! What codex says about hooks in its own configuration: read, and the switch set where the user asks for that. Trust is never written: its
//! hashes are codex's own business.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::edit::{Found, Refusal};
use super::error::Error;
use super::settings_file::{self, Next};

/// Whether the program uses hooks at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// It does.
    On,
    /// A switch in its configuration says no.
    Off,
    /// Its configuration cannot be read.
    Unknown,
}

/// Whether the program runs the handlers that are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It asks nobody.
    NotAsked,
    /// Not before the user trusts them.
    Untrusted,
    /// The user has switched one of them off.
    Disabled,
    /// They were trusted as they are, or as they were before a change: only the program can tell.
    TrustedOrModified,
    /// Nothing is installed, or its configuration cannot be read.
    Unknown,
}

impl Feature {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Feature::On => "on",
            Feature::Off => "off",
            Feature::Unknown => "unknown",
        }
    }
}

impl Trust {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Trust::NotAsked => "not asked",
            Trust::Untrusted => "untrusted",
            Trust::Disabled => "disabled",
            Trust::TrustedOrModified => "trusted or modified",
            Trust::Unknown => "unknown",
        }
    }
}

/// What its configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) feature: Feature,
    pub(super) trust: Trust,
    /// The deprecated name of the switch stands there.
    pub(super) has_alias: bool,
    /// It has handlers of its own there, which makes codex warn of two places.
    pub(super) has_hooks: bool,
}

/// Reads `config.toml` beside the file of hooks, for the handlers of ours in that file.
pub(super) fn read(file: &Path, ours: &[Found]) -> Said {
    let unknown =
        Said { feature: Feature::Unknown, trust: Trust::Unknown, has_alias: false, has_hooks: false };
    let Ok(seen) = settings_file::read(&file.with_file_name("config.toml")) else { return unknown };
    let Ok(doc) = seen.text.unwrap_or_default().parse::<DocumentMut>() else { return unknown };
    said(&doc, file, ours)
}

fn said(doc: &DocumentMut, file: &Path, ours: &[Found]) -> Said {
    let flag = |key: &str| doc.get("features").and_then(|table| table.get(key)).and_then(Item::as_bool);
    let feature = match flag("hooks").or_else(|| flag("codex_hooks")) {
        Some(false) => Feature::Off,
        _ => Feature::On,
    };
    let hooks = doc.get("hooks").and_then(Item::as_table_like);
    let state = hooks.and_then(|hooks| hooks.get("state")).and_then(Item::as_table_like);
    let has_hooks =
        hooks.is_some_and(|hooks| hooks.iter().any(|(key, item)| key != "state" && !item.is_none()));
    let real = file.canonicalize().ok();
    let paths: Vec<&str> =
        [Some(file), real.as_deref()].into_iter().flatten().filter_map(Path::to_str).collect();
    let entry = |found: &Found| {
        let place = format!("{}:{}:{}", snake(&found.event), found.group, found.handler);
        let get = |path: &&str| state?.get(&format!("{path}:{place}"))?.as_table_like();
        paths.iter().find_map(get)
    };
    let is_trusted = |table: &dyn TableLike| table.get("trusted_hash").is_some_and(Item::is_str);
    let is_off = |table: &dyn TableLike| table.get("enabled").and_then(Item::as_bool) == Some(false);
    let entries: Vec<Option<&dyn TableLike>> = ours.iter().map(entry).collect();
    let trust = if entries.is_empty() {
        Trust::Unknown
    } else if !entries.iter().all(|entry| entry.is_some_and(is_trusted)) {
        Trust::Untrusted
    } else if entries.iter().flatten().any(|entry| is_off(*entry)) {
        Trust::Disabled
    } else {
        Trust::TrustedOrModified
    };
    Said { feature, trust, has_alias: flag("codex_hooks").is_some(), has_hooks }
}

/// `PreToolUse` as `pre_tool_use`.
fn snake(event: &str) -> String {
    let mut snake = String::new();
    for c in event.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Switches the use of hooks on in the `config.toml` beside the file of hooks, if it is switched off there. Whether it was.
///
/// # Errors
/// It cannot be read or written, or is no TOML.
pub(super) fn enable(file: &Path) -> Result<bool, Error> {
    let path = file.with_file_name("config.toml");
    let mut choose = |text: Option<&str>| {
        let refuse = |e: toml_edit::TomlError| Refusal::Unclear(format!("it is no TOML: {}", e.message()));
        let mut doc: DocumentMut = text.unwrap_or_default().parse().map_err(refuse)?;
        if said(&doc, file, &[]).feature != Feature::Off {
            return Ok(Next::Keep);
        }
        let features = doc.entry("features").or_insert_with(|| Item::Table(Table::new()));
        let Some(features) = features.as_table_like_mut() else {
            return Err(Refusal::Unclear("features is no table".to_owned()));
        };
        // The value alone: what is said beside it stays.
        match features.get_mut("hooks").and_then(Item::as_value_mut) {
            Some(value) => {
                let decor = value.decor().clone();
                *value = true.into();
                *value.decor_mut() = decor;
            }
            None => {
                features.insert("hooks", toml_edit::value(true));
            }
        }
        Ok(Next::Text(doc.to_string()))
    };
    settings_file::change(&path, &mut choose, &mut |seen| settings_file::back_up(&path, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Vec<Found> {
        let of =
            |event: &str, group| Found { event: event.to_owned(), group, handler: 0, command: String::new() };
        vec![of("Stop", 0), of("PreToolUse", 2)]
    }

    fn check(toml: &str, feature: Feature, trust: Trust) {
        let said = said(&toml.parse().unwrap(), Path::new("/h/.codex/hooks.json"), &ours());
        assert_eq!((said.feature, said.trust), (feature, trust), "{toml}");
    }

    #[test]
    fn rly_12_what_codex_has_been_told_is_read_and_no_hash_is_made() {
        let entry =
            |place: &str, rest: &str| format!("[hooks.state.\"/h/.codex/hooks.json:{place}\"]\n{rest}\n");
        let stop = entry("stop:0:0", "trusted_hash = \"sha256:a\"");
        let tool = entry("pre_tool_use:2:0", "trusted_hash = \"sha256:b\"");
        check("", Feature::On, Trust::Untrusted);
        check(&stop, Feature::On, Trust::Untrusted);
        check(&format!("{stop}{tool}"), Feature::On, Trust::TrustedOrModified);
        check(&format!("{stop}{}", tool.replace(":2:0", ":1:0")), Feature::On, Trust::Untrusted);
        check(&format!("{stop}enabled = false\n{tool}"), Feature::On, Trust::Disabled);
        check(
            &format!("{stop}{}", entry("pre_tool_use:2:0", "enabled = true")),
            Feature::On,
            Trust::Untrusted,
        );
        check("[features]\nhooks = false", Feature::Off, Trust::Untrusted);
        check("[features]\ncodex_hooks = false", Feature::Off, Trust::Untrusted);
        check("[features]\nhooks = true\ncodex_hooks = false", Feature::On, Trust::Untrusted);
        check("features = { hooks = false }", Feature::Off, Trust::Untrusted);
        check("features = 1\nhooks = 1", Feature::On, Trust::Untrusted);
        let said = said(
            &"[[hooks.Stop]]\nx = 1\n[features]\ncodex_hooks = true".parse().unwrap(),
            Path::new("/x"),
            &[],
        );
        assert_eq!((said.has_alias, said.has_hooks, said.trust), (true, true, Trust::Unknown));
    }

    #[test]
    fn the_switch_is_set_only_where_it_says_no_and_nothing_else_changes() {
        let tmp = tempfile::tempdir().unwrap();
        let (file, config) = (tmp.path().join("hooks.json"), tmp.path().join("config.toml"));
        let after = |text: &str| {
            std::fs::write(&config, text).unwrap();
            enable(&file).unwrap().then(|| std::fs::read_to_string(&config).unwrap())
        };
        assert_eq!(after("# mine\n[features] # x\nhooks = false # no\nweb = true\n").unwrap(), {
            "# mine\n[features] # x\nhooks = true # no\nweb = true\n"
        });
        assert_eq!(after("[features]\ncodex_hooks = false\n").unwrap(), {
            "[features]\ncodex_hooks = false\nhooks = true\n"
        });
        for text in ["", "[features]\nhooks = true\n", "model = \"x\"\n"] {
            assert_eq!(after(text), None);
            assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
        }
        std::fs::write(&config, "[").unwrap();
        assert!(enable(&file).is_err());
    }
}
