//! `.sageox/config.local.toml`: what one machine knows about a project. Ignored by git; comments and unknown keys stay.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml_edit::{Datetime, DocumentMut, Item, Table, TableLike, Value};

use super::config::{PROJECT_DIR, check_project_dir};
use super::{Dirs, Error, limits, lock};
use crate::kit::file;
use crate::kit::gotime::GoTime;

/// The ledger's clone on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalLedger {
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
    /// `Read`, or `Damaged` if it is no TOML or its ledger entry is none.
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
        let path = match table.get("path") {
            Some(path) => path.as_str().ok_or("ledger.path is not a string")?,
            None => "",
        };
        if path.is_empty() {
            return Ok(None);
        }
        let last_sync = match table.get("last_sync") {
            None => GoTime(None),
            Some(time) => {
                let text = match (time.as_datetime(), time.as_str()) {
                    (Some(time), _) => time.to_string(),
                    (None, Some(text)) => text.to_owned(),
                    (None, None) => return Err("ledger.last_sync is not a time".to_owned()),
                };
                GoTime::parse(&text).map_err(|e| format!("ledger.last_sync: {e}"))?
            }
        };
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
        // A time of ours is always a valid one there, the zero time included.
        if let Ok(time) = ledger.last_sync.to_string().parse::<Datetime>() {
            put(table, "last_sync", time.into());
        }
    }
}

/// Sets a value in its place, with the space and the comment around it.
fn put(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            table.insert(key, Item::Value(value));
        }
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
        for text in
            ["[ledger", "ledger = 1", "[ledger]\npath = 5", "[ledger]\npath='/x'\nlast_sync=1", "\u{0}"]
        {
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
