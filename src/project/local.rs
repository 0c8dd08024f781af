//! `.sageox/config.local.toml`: what one machine knows about a project. Ignored by git; comments and unknown keys stay.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, Datetime, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::config::{PROJECT_DIR, check_project_dir};
use super::{Dirs, Error, limits, lock};
use crate::kit::file;
use crate::kit::gotime::GoTime;

/// The ledger's clone on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalLedger {
    /// Where the clone lies.
    pub path: PathBuf,
    /// When it was last brought up to date.
    pub last_sync: GoTime,
}

/// The clone of a team's context on this machine. It may be another team than the project's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalTeam {
    /// The team's id.
    pub team_id: String,
    /// Its name for people.
    pub team_name: String,
    /// Its short name; empty if it has none.
    pub slug: String,
    /// Where the clone lies.
    pub path: PathBuf,
    /// When it was last brought up to date.
    pub last_sync: GoTime,
}

/// The content of the file.
#[derive(Clone, Debug, Default)]
pub struct LocalConfig {
    doc: DocumentMut,
}

impl LocalConfig {
    /// Where it lies.
    pub fn path(root: &Path) -> PathBuf {
        root.join(PROJECT_DIR).join("config.local.toml")
    }

    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// `Read`, or `Damaged` if it is no TOML or one of its entries is none.
    pub fn load(root: &Path) -> Result<LocalConfig, Error> {
        let path = LocalConfig::path(root);
        let bytes = match file::read_capped(&path, limits::CONFIG_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(LocalConfig::default()),
            Err(e) => return Err(Error::read(&path, e)),
        };
        let text = std::str::from_utf8(&bytes).map_err(|e| Error::damaged(&path, e))?;
        let doc = text.parse().map_err(|e: toml_edit::TomlError| Error::damaged(&path, e.message()))?;
        let config = LocalConfig { doc };
        config.read_ledger().map_err(|reason| Error::damaged(&path, reason))?;
        config.read_teams().map_err(|reason| Error::damaged(&path, reason))?;
        Ok(config)
    }

    /// Reads the file, lets `change` change it and replaces it, 0600, all under the project's lock. If nothing changed, nothing
    /// is written.
    ///
    /// # Errors
    /// `NotInitialized` if there is no `.sageox/` (this never makes one), `Linked`, `Busy`, `Write`, or as [`LocalConfig::load`].
    pub fn update(root: &Path, dirs: &Dirs, change: impl FnOnce(&mut LocalConfig)) -> Result<(), Error> {
        let path = LocalConfig::path(root);
        check_project_dir(root)?;
        let _lock = lock::hold(&dirs.project_lock(root), &path)?;
        let mut config = LocalConfig::load(root)?;
        let before = config.doc.to_string();
        change(&mut config);
        let after = config.doc.to_string();
        if after == before {
            return Ok(());
        }
        file::write_atomic(&path, after.as_bytes(), 0o600).map_err(|e| Error::write(&path, e))
    }

    /// The ledger's entry.
    pub fn ledger(&self) -> Option<LocalLedger> {
        self.read_ledger().ok().flatten()
    }

    fn read_ledger(&self) -> Result<Option<LocalLedger>, String> {
        let Some(item) = self.doc.get("ledger") else { return Ok(None) };
        let table = item.as_table_like().ok_or("ledger is not a table")?;
        let path = text_of(table, "path").map_err(|e| format!("ledger.{e}"))?;
        if path.is_empty() {
            return Ok(None);
        }
        let last_sync = time_of(table, "last_sync").map_err(|e| format!("ledger.{e}"))?;
        Ok(Some(LocalLedger { path: PathBuf::from(path), last_sync }))
    }

    /// Sets the ledger's entry. A path that is not UTF-8 cannot stand in the file and is written with its broken parts replaced.
    pub fn set_ledger(&mut self, ledger: &LocalLedger) {
        let item = self.doc.entry("ledger").or_insert_with(|| Item::Table(Table::new()));
        if item.as_table_like().is_none() {
            *item = Item::Table(Table::new());
        }
        let Some(table) = item.as_table_like_mut() else { return };
        put(table, "path", ledger.path.to_string_lossy().into_owned().into());
        put_time(table, "last_sync", ledger.last_sync);
    }

    /// The entries of team contexts, in the order of the file. One without an id is nobody's and is left out.
    pub fn teams(&self) -> Vec<LocalTeam> {
        self.read_teams().unwrap_or_default()
    }

    /// The entry of a team.
    pub fn team(&self, team_id: &str) -> Option<LocalTeam> {
        self.teams().into_iter().find(|team| team.team_id == team_id)
    }

    fn read_teams(&self) -> Result<Vec<LocalTeam>, String> {
        let teams = match self.doc.get(TEAMS) {
            None => return Ok(Vec::new()),
            Some(Item::ArrayOfTables(tables)) => {
                tables.iter().map(|t| read_team(t)).collect::<Result<Vec<_>, _>>()
            }
            Some(Item::Value(Value::Array(array))) => {
                let table =
                    |v: &Value| v.as_inline_table().map_or(Err(NO_TABLES.to_owned()), |t| read_team(t));
                array.iter().map(table).collect()
            }
            Some(_) => Err(NO_TABLES.to_owned()),
        };
        let mut teams = teams.map_err(|e| format!("{TEAMS}: {e}"))?;
        if teams.len() > limits::TEAMS_MAX {
            return Err(format!("{TEAMS}: more than {} entries", limits::TEAMS_MAX));
        }
        teams.retain(|team| !team.team_id.is_empty());
        Ok(teams)
    }

    /// Sets a team's entry, in its old place or at the end. A path that is not UTF-8 is written with its broken parts replaced.
    pub fn set_team(&mut self, team: &LocalTeam) {
        let is_it = |table: &dyn TableLike| text_of(table, "team_id").is_ok_and(|id| id == team.team_id);
        let item = self.doc.entry(TEAMS).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        match item {
            Item::ArrayOfTables(tables) => {
                let at = tables.iter().position(|t| is_it(t)).unwrap_or(tables.len());
                if at == tables.len() {
                    tables.push(Table::new());
                }
                tables.get_mut(at).into_iter().for_each(|table| write_team(table, team));
            }
            Item::Value(Value::Array(array)) => {
                let found = array.iter().position(|v| v.as_inline_table().is_some_and(|t| is_it(t)));
                let at = found.unwrap_or(array.len());
                if at == array.len() {
                    array.push(InlineTable::new());
                }
                let entry = array.get_mut(at).and_then(Value::as_inline_table_mut);
                entry.into_iter().for_each(|table| write_team(table, team));
            }
            // Anything else is refused on reading.
            _ => {}
        }
    }

    /// Takes a team's entry out. True if there was one.
    pub fn remove_team(&mut self, team_id: &str) -> bool {
        let is_other = |table: &dyn TableLike| text_of(table, "team_id").is_ok_and(|id| id != team_id);
        let count = |config: &LocalConfig| config.read_teams().map_or(0, |teams| teams.len());
        let before = count(self);
        match self.doc.get_mut(TEAMS) {
            Some(Item::ArrayOfTables(tables)) => tables.retain(|table| is_other(table)),
            Some(Item::Value(Value::Array(array))) => {
                array.retain(|value| value.as_inline_table().is_some_and(|table| is_other(table)));
            }
            _ => {}
        }
        count(self) < before
    }
}

/// The key of the team contexts, and what it must hold.
const TEAMS: &str = "team_contexts";
const NO_TABLES: &str = "it is not a list of tables";

fn read_team(table: &dyn TableLike) -> Result<LocalTeam, String> {
    Ok(LocalTeam {
        team_id: text_of(table, "team_id")?,
        team_name: text_of(table, "team_name")?,
        slug: text_of(table, "slug")?,
        path: text_of(table, "path")?.into(),
        last_sync: time_of(table, "last_sync")?,
    })
}

fn write_team(table: &mut dyn TableLike, team: &LocalTeam) {
    put(table, "team_id", team.team_id.as_str().into());
    put(table, "team_name", team.team_name.as_str().into());
    if team.slug.is_empty() {
        table.remove("slug");
    } else {
        put(table, "slug", team.slug.as_str().into());
    }
    put(table, "path", team.path.to_string_lossy().into_owned().into());
    put_time(table, "last_sync", team.last_sync);
}

/// A text; an absent one is empty.
fn text_of(table: &dyn TableLike, key: &str) -> Result<String, String> {
    match table.get(key) {
        Some(item) => item.as_str().map(str::to_owned).ok_or_else(|| format!("{key} is not a string")),
        None => Ok(String::new()),
    }
}

/// A time, also as a text; an absent one is the zero time.
fn time_of(table: &dyn TableLike, key: &str) -> Result<GoTime, String> {
    let Some(item) = table.get(key) else { return Ok(GoTime(None)) };
    let text = match (item.as_datetime(), item.as_str()) {
        (Some(time), _) => time.to_string(),
        (None, Some(text)) => text.to_owned(),
        (None, None) => return Err(format!("{key} is not a time")),
    };
    GoTime::parse(&text).map_err(|e| format!("{key}: {e}"))
}

fn put_time(table: &mut dyn TableLike, key: &str, time: GoTime) {
    // A time of ours is always a valid one there, the zero time included.
    if let Ok(time) = time.to_string().parse::<Datetime>() {
        put(table, key, time.into());
    }
}

/// Sets a value in its place, with the space and the comment around it.
fn put(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key) {
        // Written differently it may be, but it says the same.
        Some(Item::Value(old)) if same(old, &value) => {}
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a == b,
        _ => a.as_datetime().is_some() && a.as_datetime() == b.as_datetime(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::project::Env;

    struct Fixture {
        tmp: tempfile::TempDir,
        dirs: Dirs,
    }

    impl Fixture {
        fn new() -> Fixture {
            let tmp = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(tmp.path().join("p/.sageox")).unwrap();
            let dirs = Dirs::from_env(&Env::of([("HOME", tmp.path().as_os_str())], tmp.path())).unwrap();
            Fixture { tmp, dirs }
        }

        fn root(&self) -> PathBuf {
            self.tmp.path().join("p")
        }

        fn text(&self) -> String {
            std::fs::read_to_string(LocalConfig::path(&self.root())).unwrap()
        }
    }

    fn ledger(path: &str, time: &str) -> LocalLedger {
        LocalLedger { path: path.into(), last_sync: GoTime::parse(time).unwrap() }
    }

    fn check(before: &str, ledger: &LocalLedger, after: &str) {
        let f = Fixture::new();
        std::fs::write(LocalConfig::path(&f.root()), before).unwrap();
        LocalConfig::update(&f.root(), &f.dirs, |c| c.set_ledger(ledger)).unwrap();
        assert_eq!(f.text(), after);
        assert_eq!(LocalConfig::load(&f.root()).unwrap().ledger().as_ref(), Some(ledger));
    }

    #[test]
    fn comments_unknown_keys_and_teams_survive_a_rewrite() {
        check(
            "# head\n[ledger] # mine\nother = 1\npath = '/old' # where\nlast_sync = 2026-03-01T10:00:00Z\n\n[[team_contexts]]\nteam_id = 'team_a1'\nlast_sync = 0001-01-01T00:00:00Z\n[x]\ny = { z = [1,2 ] }\n",
            &ledger("/new", "2026-03-01T11:00:00.5Z"),
            "# head\n[ledger] # mine\nother = 1\npath = \"/new\" # where\nlast_sync = 2026-03-01T11:00:00.5Z\n\n[[team_contexts]]\nteam_id = 'team_a1'\nlast_sync = 0001-01-01T00:00:00Z\n[x]\ny = { z = [1,2 ] }\n",
        );
    }

    #[test]
    fn a_new_entry_is_written_with_the_zero_time() {
        check("", &ledger("/l", ""), "[ledger]\npath = \"/l\"\nlast_sync = 0001-01-01T00:00:00Z\n");
        check(
            "ledger = { path = '/a' }\n",
            &ledger("/l", ""),
            "ledger = { path = \"/l\" , last_sync = 0001-01-01T00:00:00Z }\n",
        );
    }

    fn team(id: &str, slug: &str, path: &str) -> LocalTeam {
        let last_sync = GoTime::parse("2026-03-01T10:00:05Z").unwrap();
        let (team_id, team_name) = (id.to_owned(), id.to_uppercase());
        LocalTeam { team_id, team_name, slug: slug.to_owned(), path: path.into(), last_sync }
    }

    fn check_teams(before: &str, change: impl Fn(&mut LocalConfig), after: &str, left: &[LocalTeam]) {
        let f = Fixture::new();
        std::fs::write(LocalConfig::path(&f.root()), before).unwrap();
        LocalConfig::update(&f.root(), &f.dirs, |c| change(c)).unwrap();
        assert_eq!(f.text(), after);
        assert_eq!(LocalConfig::load(&f.root()).unwrap().teams(), left);
    }

    const TWO: &str = "# head\n[ledger]\npath = '/l'\n\n# ours\n[[team_contexts]]\nteam_id = 'a1' # id\nteam_name = 'A1'\nslug = 's'\npath = '/a'\nlast_sync = 2026-03-01T10:00:05Z\nmine = 1\n\n[[team_contexts]]\nteam_id = 'b'\nteam_name = 'B'\npath = '/b'\nlast_sync = 2026-03-01T10:00:05Z\n";

    #[test]
    fn a_teams_entry_is_changed_in_its_place_and_what_is_foreign_stays() {
        let same = [team("a1", "s", "/a"), team("b", "", "/b")];
        check_teams(TWO, |c| same.iter().for_each(|t| c.set_team(t)), TWO, &same);
        let after = TWO.replace("slug = 's'\n", "");
        check_teams(
            TWO,
            |c| c.set_team(&team("a1", "", "/x")),
            &after.replace("'/a'", "\"/x\""),
            &[team("a1", "", "/x"), team("b", "", "/b")],
        );
    }

    #[test]
    fn a_new_team_comes_last_and_a_removed_one_leaves_the_rest() {
        let entry = "[[team_contexts]]\nteam_id = \"c\"\nteam_name = \"C\"\nslug = \"sc\"\npath = \"/c\"\nlast_sync = 2026-03-01T10:00:05Z\n";
        check_teams("", |c| c.set_team(&team("c", "sc", "/c")), entry, &[team("c", "sc", "/c")]);
        check_teams(
            TWO,
            |c| c.set_team(&team("c", "sc", "/c")),
            &format!("{TWO}\n{entry}"),
            &[team("a1", "s", "/a"), team("b", "", "/b"), team("c", "sc", "/c")],
        );
        let removed = |c: &mut LocalConfig| {
            assert!(c.remove_team("b"));
            assert!(!c.remove_team("b") && !c.remove_team("nobody"));
        };
        check_teams(
            TWO,
            removed,
            TWO.split("\n[[team_contexts]]\nteam_id = 'b'").next().unwrap(),
            &[team("a1", "s", "/a")],
        );
        let inline = "team_contexts = [{ team_id = 'a', path = '/a' }, { path = '/nobody' }]\n";
        let add = |c: &mut LocalConfig| {
            assert_eq!(c.team("a").unwrap().path, Path::new("/a"));
            assert!(c.remove_team("a"));
            c.set_team(&team("c", "", "/c"));
        };
        let f = Fixture::new();
        std::fs::write(LocalConfig::path(&f.root()), inline).unwrap();
        LocalConfig::update(&f.root(), &f.dirs, add).unwrap();
        assert_eq!(LocalConfig::load(&f.root()).unwrap().teams(), [team("c", "", "/c")]);
        assert!(f.text().contains("/nobody"), "{}", f.text());
    }

    #[test]
    fn the_number_of_teams_is_bounded() {
        let f = Fixture::new();
        let entries =
            |n: usize| (0..n).map(|i| format!("[[team_contexts]]\nteam_id='t{i}'\n")).collect::<String>();
        std::fs::write(LocalConfig::path(&f.root()), entries(limits::TEAMS_MAX)).unwrap();
        assert_eq!(LocalConfig::load(&f.root()).unwrap().teams().len(), limits::TEAMS_MAX);
        std::fs::write(LocalConfig::path(&f.root()), entries(limits::TEAMS_MAX + 1)).unwrap();
        assert!(matches!(LocalConfig::load(&f.root()), Err(Error::Damaged { .. })));
    }

    #[test]
    fn nothing_changed_writes_nothing_and_a_new_file_is_private() {
        let f = Fixture::new();
        LocalConfig::update(&f.root(), &f.dirs, |_| {}).unwrap();
        assert!(!LocalConfig::path(&f.root()).exists());
        LocalConfig::update(&f.root(), &f.dirs, |c| c.set_ledger(&ledger("/l", ""))).unwrap();
        let mode = LocalConfig::path(&f.root()).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(f.root().join(".sageox")).unwrap().count(), 1);
    }

    #[test]
    fn it_never_makes_the_project_directory_nor_writes_through_a_link() {
        let f = Fixture::new();
        std::fs::remove_dir(f.root().join(".sageox")).unwrap();
        let set = |c: &mut LocalConfig| c.set_ledger(&ledger("/l", ""));
        let error = LocalConfig::update(&f.root(), &f.dirs, set).unwrap_err();
        assert!(error.to_string().contains("project not initialized"), "{error}");
        std::os::unix::fs::symlink(f.tmp.path(), f.root().join(".sageox")).unwrap();
        assert!(matches!(LocalConfig::update(&f.root(), &f.dirs, set), Err(Error::Linked { .. })));
        // A link in the file's own place is replaced, not followed.
        std::fs::remove_file(f.root().join(".sageox")).unwrap();
        std::fs::create_dir(f.root().join(".sageox")).unwrap();
        let victim = f.tmp.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        std::os::unix::fs::symlink(&victim, LocalConfig::path(&f.root())).unwrap();
        LocalConfig::update(&f.root(), &f.dirs, set).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "");
    }

    #[test]
    fn res_07_a_broken_file_is_an_error_and_stays_as_it_is() {
        let f = Fixture::new();
        let path = LocalConfig::path(&f.root());
        for text in [
            "[ledger",
            "ledger = 1",
            "[ledger]\npath = 5",
            "[ledger]\npath='/x'\nlast_sync=1",
            "\u{0}",
            "team_contexts = 1",
            "team_contexts = [1]",
            "[team_contexts]",
            "[[team_contexts]]\nteam_id = 1",
            "[[team_contexts]]\nlast_sync = 'soon'",
        ] {
            std::fs::write(&path, text).unwrap();
            let done = LocalConfig::update(&f.root(), &f.dirs, |c| c.set_ledger(&ledger("/l", "")));
            assert!(matches!(done, Err(Error::Damaged { .. })), "{text:?}: {done:?}");
            assert_eq!(f.text(), text);
        }
    }

    #[test]
    fn updates_at_the_same_time_do_not_lose_each_other() {
        let f = Fixture::new();
        std::thread::scope(|s| {
            for i in 0..8 {
                let (root, dirs) = (f.root(), &f.dirs);
                s.spawn(move || {
                    LocalConfig::update(&root, dirs, |c| {
                        c.doc.insert(&format!("k{i}"), toml_edit::value(i));
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(LocalConfig::load(&f.root()).unwrap().doc.len(), 8);
    }
}
