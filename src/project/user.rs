//! The user's `config.yaml`: read by a lossless parser, changed by replacing a value's bytes, so that all others stay.

use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use yaml_edit::{Mapping, YamlFile, YamlNode};

use super::{Dirs, Error, limits, lock};
use crate::kit::file;

/// A plain value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserValue {
    /// Its text without quotes.
    pub text: String,
    /// Its line, from 1.
    pub line: u32,
}

/// The parts of the file that mean something to us.
#[derive(Clone, Debug, Default)]
pub struct UserConfig {
    blocks: Vec<Block>,
    /// The keys of the top level themselves: those with a plain value stand in no block.
    top: Vec<Entry>,
}

/// A key of the top level with the keys below it.
#[derive(Clone, Debug)]
struct Block {
    name: String,
    form: Form,
    entries: Vec<Entry>,
}

/// How a block is written, with the place in the text where a further key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing, or one key a line below: the end of the block's own line, and the indent of its keys.
    Lines { at: usize, indent: usize },
    /// In braces: behind the opening one.
    Braces { at: usize },
    /// No block: a plain value or a list, with its text.
    Other(String),
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    /// `None` for a value that is no plain one.
    value: Option<UserValue>,
    /// Where the value stands; empty for none, then it is where one goes.
    span: Range<usize>,
}

impl UserConfig {
    /// Reads the user's file. A missing file is an empty one; a damaged one too, with the error to show.
    pub fn load(dirs: &Dirs) -> (UserConfig, Option<Error>) {
        match read(&dirs.user_config()) {
            Ok((_, config)) => (config, None),
            Err(e) => (UserConfig::default(), Some(e)),
        }
    }

    /// The value of `key` in the block `block`, or on the top level for an empty one.
    ///
    /// # Errors
    /// A text if the block is none or the key holds no plain value.
    pub fn get(&self, block: &str, key: &str) -> Result<Option<&UserValue>, String> {
        if block.is_empty() {
            return match self.top.iter().find(|e| e.key == key) {
                Some(entry) if entry.value.is_none() && !entry.span.is_empty() => {
                    Err(format!("{key} is not a plain value"))
                }
                entry => Ok(entry.and_then(|e| e.value.as_ref())),
            };
        }
        let found = self.blocks.iter().find(|b| b.name == block);
        if found.is_some_and(|b| matches!(b.form, Form::Other(_))) {
            return Err(format!("{block} holds no keys"));
        }
        match found.and_then(|b| b.entry(key)) {
            Some(entry) if entry.value.is_none() && !entry.span.is_empty() => {
                Err(format!("{block}.{key} is not a plain value"))
            }
            Some(entry) => Ok(entry.value.as_ref()),
            None => Ok(None),
        }
    }

    /// Sets `key` in the block `block`, or on the top level for an empty one, to a plain `value`, under a lock. Every other byte of the file stays, also through a link
    /// to where the file really lies; a new file is 0600.
    ///
    /// # Errors
    /// `Damaged` if the file cannot be understood: it is then left alone. `Busy`, `Read` or `Write`.
    pub fn set(dirs: &Dirs, block: &str, key: &str, value: &str) -> Result<(), Error> {
        let path = dirs.user_config();
        let _lock = lock::hold(&dirs.file_lock(&path), &path)?;
        let (text, config) = read(&path)?;
        let changed =
            config.with(&text, block, key, value).map_err(|reason| Error::damaged(&path, reason))?;
        write(&path, &changed).map_err(|e| Error::write(&path, e))
    }

    /// All keys, those of a block behind its name and a dot.
    pub fn keys(&self) -> Vec<String> {
        let inside =
            |b: &Block| b.entries.iter().map(|e| format!("{}.{}", b.name, e.key)).collect::<Vec<_>>();
        let one = |b: &Block| if b.entries.is_empty() { vec![b.name.clone()] } else { inside(b) };
        self.blocks.iter().flat_map(one).collect()
    }

    /// Removes `key` from the block `block`, or from the top level for an empty one, as [`UserConfig::set`] sets it. Returns whether it was there.
    ///
    /// # Errors
    /// As [`UserConfig::set`].
    pub fn unset(dirs: &Dirs, block: &str, key: &str) -> Result<bool, Error> {
        let path = dirs.user_config();
        let _lock = lock::hold(&dirs.file_lock(&path), &path)?;
        let (text, config) = read(&path)?;
        let changed = config.without(&text, block, key).map_err(|reason| Error::damaged(&path, reason))?;
        match changed {
            Some(changed) => write(&path, &changed).map(|()| true).map_err(|e| Error::write(&path, e)),
            None => Ok(false),
        }
    }

    /// The text without one key, which has to stand on a line of its own; `None` if it is not there. Checked by reading it again.
    fn without(&self, text: &str, block: &str, key: &str) -> Result<Option<String>, String> {
        let entries = match self.blocks.iter().find(|b| b.name == block) {
            _ if block.is_empty() => &self.top,
            Some(found) => &found.entries,
            None => return Ok(None),
        };
        let Some(entry) = entries.iter().find(|e| e.key == key) else { return Ok(None) };
        let from = text[..entry.span.start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[entry.span.end..].find('\n').map_or(text.len(), |at| entry.span.end + at + 1);
        let mut changed = text.to_owned();
        changed.replace_range(from..to, "");
        let again = parse(&changed).map_err(|_| NOT_UNDERSTOOD.to_owned())?;
        let same = |config: &UserConfig| config.plain_values(block, key);
        if again.get(block, key) != Ok(None) || same(self) != same(&again) {
            return Err(NOT_UNDERSTOOD.to_owned());
        }
        Ok(Some(changed))
    }

    /// The text with one value changed, checked by reading it again.
    fn with(&self, text: &str, block: &str, key: &str, value: &str) -> Result<String, String> {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let found = self.blocks.iter().find(|b| b.name == block);
        let entry = if block.is_empty() {
            self.top.iter().find(|e| e.key == key)
        } else {
            found.and_then(|b| b.entry(key))
        };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        let (span, insert) = match (found, entry) {
            (_, Some(entry)) if entry.span.is_empty() => (entry.span.clone(), format!(" {value}")),
            // Only a plain value on one line is replaced, nothing that somebody wrote more into.
            (_, Some(entry)) if entry.value.is_none() || text[entry.span.clone()].contains('\n') => {
                return Err(NOT_UNDERSTOOD.to_owned());
            }
            (_, Some(entry)) => (entry.span.clone(), value.to_owned()),
            _ if block.is_empty() => (text.len()..text.len(), format!("{gap}{key}: {value}{newline}")),
            (Some(Block { form: Form::Lines { at, indent }, .. }), None) => {
                (*at..*at, format!("{newline}{:indent$}{key}: {value}", ""))
            }
            (Some(Block { form: Form::Braces { at }, entries, .. }), None) => {
                let comma = if entries.is_empty() { "" } else { ", " };
                (*at..*at, format!("{key}: {value}{comma}"))
            }
            (Some(Block { form: Form::Other(_), .. }), None) => return Err(NOT_UNDERSTOOD.to_owned()),
            (None, None) => {
                (text.len()..text.len(), format!("{gap}{block}:{newline}  {key}: {value}{newline}"))
            }
        };
        let mut changed = text.to_owned();
        changed.replace_range(span, &insert);
        let again = parse(&changed).map_err(|_| NOT_UNDERSTOOD.to_owned())?;
        let now = again.get(block, key)?.map(|v| v.text.as_str());
        let same = |config: &UserConfig| config.plain_values(block, key);
        if now != Some(value) || same(self) != same(&again) {
            return Err(NOT_UNDERSTOOD.to_owned());
        }
        Ok(changed)
    }

    /// All plain values but one, for comparison.
    fn plain_values(&self, block: &str, key: &str) -> Vec<(String, String, Option<String>)> {
        let mut all = Vec::new();
        for b in &self.blocks {
            if let Form::Other(text) = &b.form
                && !(block.is_empty() && b.name == key)
            {
                all.push((b.name.clone(), String::new(), Some(text.clone())));
            }
            for e in b.entries.iter().filter(|e| b.name != block || e.key != key) {
                all.push((b.name.clone(), e.key.clone(), e.value.as_ref().map(|v| v.text.clone())));
            }
        }
        all
    }
}

const NOT_UNDERSTOOD: &str = "its layout does not allow the change; edit the file by hand";

impl Block {
    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }
}

fn read(path: &Path) -> Result<(String, UserConfig), Error> {
    let bytes = match file::read_capped(path, limits::USER_CONFIG_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(e) => return Err(Error::read(path, e)),
    };
    let text = String::from_utf8(bytes).map_err(|e| Error::damaged(path, e))?;
    let config = parse(&text).map_err(|reason| Error::damaged(path, reason))?;
    Ok((text, config))
}

/// Who keeps settings elsewhere has a link here; the link stays, and what it leads to keeps its mode.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mode = path.metadata().map_or(0o600, |meta| meta.permissions().mode() & 0o777);
    if let Some(dir) = path.parent() {
        file::make_dirs(dir, 0o700)?;
    }
    file::write_linked(path, text.as_bytes(), mode)
}

fn parse(text: &str) -> Result<UserConfig, String> {
    check_depth(text)?;
    let parsed = YamlFile::parse(text);
    if let Some(error) = parsed.positioned_errors().first() {
        return Err(format!("line {}: {}", line_of(text, error.range.start as usize), error.message));
    }
    let file = parsed.tree();
    let mut documents = file.documents();
    let Some(document) = documents.next() else { return Ok(UserConfig::default()) };
    if documents.next().is_some() {
        return Err("it holds more than one document".to_owned());
    }
    let Some(top) = document.as_mapping() else {
        let empty = document.as_sequence().is_none() && document.as_scalar().is_none();
        return if empty { Ok(UserConfig::default()) } else { Err("it is not a list of keys".to_owned()) };
    };
    let mut blocks: Vec<Block> = Vec::new();
    for entry in top.entries() {
        let (Some(key), value) = (entry.key_node(), entry.value_node()) else {
            return Err("a key is missing".to_owned());
        };
        let name = scalar(&key).ok_or("a key is not plain")?;
        if blocks.iter().any(|b| b.name == name) {
            return Err(format!("the key {name} stands there twice"));
        }
        blocks.push(block(text, name, &key, value.as_ref())?);
    }
    Ok(UserConfig { top: entries(text, &top)?, blocks })
}

/// What a top-level key begins.
fn block(text: &str, name: String, key: &YamlNode, value: Option<&YamlNode>) -> Result<Block, String> {
    let colon = after_colon(text, key)?;
    let line_end = text[colon..].find(['\r', '\n']).map_or(text.len(), |n| colon + n);
    let mapping = match value {
        None => None,
        Some(YamlNode::Mapping(mapping)) => Some(mapping),
        Some(other) if range(other).is_empty() => None,
        Some(other) => {
            let form = Form::Other(text.get(range(other)).unwrap_or_default().to_owned());
            return Ok(Block { name, form, entries: Vec::new() });
        }
    };
    let Some(mapping) = mapping else {
        let form = Form::Lines { at: line_end, indent: 2 };
        return Ok(Block { name, form, entries: Vec::new() });
    };
    let entries = entries(text, mapping)?;
    let at = text[colon..].find('{').map(|n| colon + n + 1);
    let form = match (mapping.is_flow_style(), at) {
        (true, Some(at)) => Form::Braces { at },
        (true, None) => return Err(NOT_UNDERSTOOD.to_owned()),
        (false, _) => {
            let first = mapping.keys().next().map_or(line_end, |key| range(&key).start);
            let line_start = text[..first].rfind('\n').map_or(0, |n| n + 1);
            Form::Lines { at: line_end, indent: first - line_start }
        }
    };
    Ok(Block { name, form, entries })
}

fn entries(text: &str, mapping: &Mapping) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for entry in mapping.entries() {
        let Some(key_node) = entry.key_node() else { return Err("a key is missing".to_owned()) };
        let key = scalar(&key_node).ok_or("a key is not plain")?;
        if entries.iter().any(|e| e.key == key) {
            return Err(format!("the key {key} stands there twice"));
        }
        let node = entry.value_node();
        let span = node.as_ref().map(range).filter(|span| !span.is_empty());
        let line = line_of(text, range(&key_node).start);
        let value =
            node.as_ref().filter(|_| span.is_some()).and_then(scalar).map(|text| UserValue { text, line });
        let span = match span {
            Some(span) => span,
            None => {
                let at = after_colon(text, &key_node)?;
                at..at
            }
        };
        entries.push(Entry { key, value, span });
    }
    Ok(entries)
}

fn scalar(node: &YamlNode) -> Option<String> {
    node.as_scalar().map(|s| s.as_string())
}

fn range(node: &YamlNode) -> Range<usize> {
    let at = node.byte_range();
    at.start as usize..at.end as usize
}

fn after_colon(text: &str, key: &YamlNode) -> Result<usize, String> {
    let end = range(key).end;
    match text.get(end..).and_then(|rest| rest.find(':')) {
        Some(n) => Ok(end + n + 1),
        None => Err(NOT_UNDERSTOOD.to_owned()),
    }
}

fn line_of(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    u32::try_from(before.iter().filter(|b| **b == b'\n').count() + 1).unwrap_or(u32::MAX)
}

/// The parser calls itself for each level, so the depth is bounded before it runs.
fn check_depth(text: &str) -> Result<(), String> {
    let opened = text.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
    let indented =
        text.lines().map(|l| l.len() - l.trim_start_matches([' ', '-', '?', ':', '!', '&']).len()).max();
    if opened > limits::YAML_DEPTH_MAX || indented.unwrap_or(0) > limits::YAML_DEPTH_MAX {
        return Err("it is nested too deeply".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::project::Env;

    fn with(text: &str, key: &str, value: &str) -> Result<String, String> {
        parse(text)?.with(text, "daemon", key, value)
    }

    fn check(before: &str, after: &str) {
        assert_eq!(with(before, "auto_start", "false").as_deref(), Ok(after), "{before}");
    }

    #[test]
    fn a_value_is_replaced_and_every_other_byte_stays() {
        check(
            "# mine\ndisplay_name:   'Ä'  # me\ndaemon:\n    # why\n    auto_start:  true   # yes\n    other: [ 1,2 ]\nx: {a: 1}\n# end",
            "# mine\ndisplay_name:   'Ä'  # me\ndaemon:\n    # why\n    auto_start:  false   # yes\n    other: [ 1,2 ]\nx: {a: 1}\n# end",
        );
        check("daemon: {other: 1, auto_start: true}\n", "daemon: {other: 1, auto_start: false}\n");
        check("daemon:\n  auto_start: \"true\"\n", "daemon:\n  auto_start: false\n");
        check("daemon:\r\n  auto_start: true\r\n", "daemon:\r\n  auto_start: false\r\n");
        check("---\ndaemon:\n  auto_start: true\n", "---\ndaemon:\n  auto_start: false\n");
        check("daemon:\n  auto_start:   # unset\n", "daemon:\n  auto_start: false   # unset\n");
        check("daemon:\n  auto_start: ~\n  b: 1\n", "daemon:\n  auto_start: false\n  b: 1\n");
    }

    #[test]
    fn a_new_key_goes_into_its_block_or_a_new_one() {
        check("", "daemon:\n  auto_start: false\n");
        check("# only a comment\n", "# only a comment\ndaemon:\n  auto_start: false\n");
        check("a: 1", "a: 1\ndaemon:\n  auto_start: false\n");
        check("daemon:\n", "daemon:\n  auto_start: false\n");
        check("daemon: # c\na: 1\n", "daemon: # c\n  auto_start: false\na: 1\n");
        check(
            "daemon: # c\n\n    # about b\n    b: 1\na: 1\n",
            "daemon: # c\n    auto_start: false\n\n    # about b\n    b: 1\na: 1\n",
        );
        check("daemon: {}\n", "daemon: {auto_start: false}\n");
        check("daemon: {b: 1}\n", "daemon: {auto_start: false, b: 1}\n");
        check("a: 1\r\nb: 2\r\n", "a: 1\r\nb: 2\r\ndaemon:\r\n  auto_start: false\r\n");
    }

    #[test]
    fn what_cannot_be_changed_safely_is_refused() {
        for text in [
            "daemon: 5\n",
            "daemon: [a]\n",
            "- a\n",
            "text\n",
            "{a: 1}\n",
            "a: 1\n...\n",
            "a: 1\n---\nb: 2\n",
            "daemon: *x\n",
            "daemon:\n  a: 1\ndaemon:\n  b: 1\n",
            "daemon:\n  auto_start: true\n  auto_start: true\n",
            "daemon:\n  auto_start:\n    deep: 1\n",
            "daemon:\n  auto_start: [1]\n",
            "daemon:\n  auto_start: |\n    x\n",
            "a: [1\n",
        ] {
            let done = with(text, "auto_start", "false");
            assert!(done.is_err(), "{text:?} became {done:?}");
        }
    }

    #[test]
    fn values_are_read_with_their_lines() {
        let config = parse("a: 1\ndaemon:\n  x: '15m'\n  y:\n  z: [1]\n  d: \"a\\tb\"\n").unwrap();
        let get = |key| config.get("daemon", key).map(|v| v.map(|v| (v.text.as_str(), v.line)));
        assert_eq!(get("x"), Ok(Some(("15m", 3))));
        assert_eq!(get("y"), Ok(None));
        assert_eq!(get("none"), Ok(None));
        assert_eq!(get("d"), Ok(Some(("a\tb", 6))));
        assert!(get("z").is_err());
        assert!(config.get("a", "x").is_err());
    }

    #[test]
    fn a_damaged_file_means_defaults_says_so_and_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
        std::fs::create_dir_all(dirs.config()).unwrap();
        let deep = "[".repeat(100_000);
        let dashes = "- ".repeat(100_000);
        for text in ["daemon: [", "\tdaemon: {", "a: 'x\n", &deep, &dashes, "- a\n"] {
            std::fs::write(dirs.user_config(), text).unwrap();
            let (_, error) = UserConfig::load(&dirs);
            assert!(matches!(error, Some(Error::Damaged { .. })), "{:.20?}", text);
            assert!(UserConfig::set(&dirs, "daemon", "auto_start", "false").is_err());
            assert_eq!(std::fs::read_to_string(dirs.user_config()).unwrap(), text);
        }
    }

    #[test]
    fn a_link_to_the_real_file_stays_and_so_does_its_mode() {
        let tmp = tempfile::tempdir().unwrap();
        let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
        UserConfig::set(&dirs, "daemon", "auto_start", "true").unwrap();
        let mode = |p: &Path| p.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dirs.user_config()), 0o600);
        let real = tmp.path().join("real.yaml");
        std::fs::rename(dirs.user_config(), &real).unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&real, dirs.user_config()).unwrap();
        UserConfig::set(&dirs, "daemon", "auto_start", "false").unwrap();
        assert!(dirs.user_config().is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "daemon:\n  auto_start: false\n");
        assert_eq!(mode(&real), 0o644);
        // What a link leads to may still be missing, as on a new machine.
        std::fs::remove_file(&real).unwrap();
        UserConfig::set(&dirs, "daemon", "auto_start", "true").unwrap();
        assert!(dirs.user_config().is_symlink());
        assert_eq!(mode(&real), 0o600);
    }

    proptest! {
        /// Whatever the file holds, a change either is refused or only adds or replaces in one place.
        #[test]
        fn every_accepted_change_keeps_the_rest(
            lines in proptest::collection::vec(
                "(daemon:|  auto_start: (true|'no'|)|  b: 1|a: \\[1\\]|# c|  # d|x: \\|\n    text|daemon: \\{b: 1\\}|---|\\.\\.\\.|    deep: 1||  - i)( # t)?",
                0..8,
            ),
        ) {
            let text = lines.join("\n");
            if let Ok(changed) = with(&text, "auto_start", "false") {
                let again = parse(&changed).unwrap();
                prop_assert_eq!(again.get("daemon", "auto_start").unwrap().map(|v| v.text.as_str()), Some("false"));
                let head = text.bytes().zip(changed.bytes()).take_while(|(a, b)| a == b).count();
                let tail = text.bytes().rev().zip(changed.bytes().rev()).take_while(|(a, b)| a == b).count();
                // At most the old value is gone.
                prop_assert!(head + tail + "'no'".len() >= text.len(), "{:?} became {:?}", text, changed);
            }
        }

        #[test]
        fn reading_never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
